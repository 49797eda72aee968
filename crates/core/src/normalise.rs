//! What makes two ways to write the same thing one: of texts, of e-mail addresses, of the domain that an address belongs to.
//!
//! Pure functions; `None` says that the text is not such a thing. Giving one its own result changes nothing.

use std::{borrow::Cow, net::Ipv4Addr};

use idna::{
    AsciiDenyList,
    uts46::{DnsLength, Hyphens, Uts46},
};
use psl::{Psl, Type};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Bytes of a local part, of an address, and of a domain: RFC 5321, 4.5.3.1.
const LOCAL_MAX: usize = 64;
const ADDRESS_MAX: usize = 254;
/// A domain as it is written may be longer than as it is sent; this is more than any that fits when sent.
const WRITTEN_MAX: usize = 1024;

/// Marks that may stand between the characters of a local part without quotes, RFC 5322, 3.2.3 (`atext`).
const LOCAL_MARKS: &str = "!#$%&'*+-/=?^_`{|}~";

/// Without the white space around it.
pub fn trim(text: &str) -> &str {
    text.trim()
}

/// In lower case, by Unicode's rules: `ÄÖ` becomes `äö`.
pub fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.to_lowercase())
}

/// In Unicode's form C: a letter with its accent is one character, however it was written.
pub fn nfc(text: &str) -> Cow<'_, str> {
    if is_nfc(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

/// The address, trimmed, in lower case and form C, its domain in letters of the network (`bücher.de` becomes
/// `xn--bcher-kva.de`); `None`: it is no address that one can write to in the internet.
///
/// What an address is: a local part of at most 64 bytes without quotes, an `@`, and a domain of two labels or more, 254 bytes
/// in all (RFC 5321; letters beyond ASCII by RFC 6531). Neither quoted local parts, nor addresses of machines, nor names
/// before an address in `<>` are taken. Dots and what follows a `+` stay: only the receiver knows what they mean.
pub fn email(text: &str) -> Option<String> {
    let (local, host) = text.trim().rsplit_once('@')?;
    let local = nfc(&lower(&nfc(local))).into_owned();
    let atoms = || local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(may_be_local));
    if local.len() > LOCAL_MAX || !atoms() {
        return None;
    }
    let host = host_name(host)?;
    let address = format!("{local}@{host}");
    (host.contains('.') && address.len() <= ADDRESS_MAX).then_some(address)
}

/// Whether [`email`] takes it.
pub fn is_email(text: &str) -> bool {
    email(text).is_some()
}

/// The domain that somebody registered, of a host or of an e-mail address: one label more than the public suffix under which
/// it stands (`kt.kpmg.com`: `kpmg.com`, `www.bbc.co.uk`: `bbc.co.uk`), by the list of <https://publicsuffix.org> that the
/// program was built with. `private`: also by that list's part of companies that give out names (`a.github.io` instead of
/// `github.io`). A suffix that the list does not know has one label.
///
/// `None`: an address of a machine, a public suffix itself, a name of one label, no name of a host at all.
pub fn domain(text: &str, private: bool) -> Option<String> {
    let text = text.trim();
    let host = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let host = host_name(host.strip_suffix('.').unwrap_or(host))?;
    let suffix = public_suffix(&host, private)?;
    let above = host[..host.len() - suffix.len()].strip_suffix('.')?;
    let label = above.rfind('.').map_or(0, |dot| dot + 1);
    Some(host[label..].to_owned())
}

fn public_suffix(host: &str, private: bool) -> Option<&str> {
    let mut rest = host;
    loop {
        let suffix = psl::List.suffix(rest.as_bytes())?;
        let at = rest.len() - suffix.as_bytes().len();
        if private || suffix.typ() != Some(Type::Private) {
            return Some(&rest[at..]);
        }
        // The longest rule that fits was a company's; the others that fit are shorter.
        rest = rest[at..].split_once('.')?.1;
    }
}

/// The host in lower-case letters of the network, without a dot at its end.
fn host_name(host: &str) -> Option<String> {
    if host.len() > WRITTEN_MAX {
        return None;
    }
    let ascii = Uts46::new()
        .to_ascii(host.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .ok()?;
    // What ends in a number is an address of a machine, or nothing.
    let last = ascii.rsplit('.').next()?;
    let is_number = last.bytes().all(|b| b.is_ascii_digit()) || ascii.parse::<Ipv4Addr>().is_ok();
    (!is_number).then(|| ascii.into_owned())
}

fn may_be_local(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || LOCAL_MARKS.contains(c);
    }
    // Characters that one does not see are an accident of copying.
    let invisible = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !(invisible || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts() {
        assert_eq!(trim("\u{a0} a b\t\n"), "a b");
        assert_eq!(lower("ÄRGER Σ ΟΔΟΣ abc"), "ärger σ οδος abc");
        assert!(matches!(lower("plain 1"), Cow::Borrowed("plain 1")));
        assert_eq!(nfc("e\u{301}"), "é");
        assert!(matches!(nfc("é"), Cow::Borrowed("é")));
    }

    #[test]
    fn addresses() {
        let long = |n: usize| "a".repeat(n);
        for (text, expected) in [
            ("  Ann.Lee@Contoso.COM ", Some("ann.lee@contoso.com")),
            ("o'neil+x@mail.contoso.co.uk", Some("o'neil+x@mail.contoso.co.uk")),
            ("Jörg@Bücher.DE", Some("jörg@xn--bcher-kva.de")),
            ("jo\u{308}rg@bücher.de", Some("jörg@xn--bcher-kva.de")),
            ("ann@XN--BCHER-KVA.de", Some("ann@xn--bcher-kva.de")),
            (&format!("{}@contoso.com", long(64)), Some(&*format!("{}@contoso.com", long(64)))),
            ("", None),
            ("ann", None),
            ("@contoso.com", None),
            ("ann@", None),
            ("ann@contoso", None),
            ("ann@contoso.com.", None),
            ("ann@.contoso.com", None),
            ("ann@contoso..com", None),
            ("ann@-contoso.com", None),
            ("ann@con_toso.com", None),
            ("ann@10.0.0.1", None),
            ("ann@[10.0.0.1]", None),
            ("ann..lee@contoso.com", None),
            (".ann@contoso.com", None),
            ("ann lee@contoso.com", None),
            ("ann@lee@contoso.com", None),
            ("\"ann lee\"@contoso.com", None),
            ("Ann <ann@contoso.com>", None),
            ("a\u{200b}nn@contoso.com", None),
            (&format!("{}@contoso.com", long(65)), None),
            (&format!("ann@{}.com", long(64)), None),
            (
                &format!("ann@{}com", format!("{}.", long(60)).repeat(4)),
                Some(&*format!("ann@{}com", format!("{}.", long(60)).repeat(4))),
            ),
            (&format!("annlee.annlee@{}com", format!("{}.", long(60)).repeat(4)), None),
        ] {
            assert_eq!(email(text).as_deref(), expected, "{text}");
            assert_eq!(is_email(text), expected.is_some(), "{text}");
        }
    }

    #[test]
    fn registered_domains() {
        for (text, expected) in [
            ("kt.kpmg.com", Some("kpmg.com")),
            ("kpmg.com", Some("kpmg.com")),
            ("kpmg.au", Some("kpmg.au")),
            ("mail.kpmg.com.au", Some("kpmg.com.au")),
            ("Ann@KT.KPMG.com ", Some("kpmg.com")),
            ("www.bbc.co.uk", Some("bbc.co.uk")),
            ("www.bbc.co.uk.", Some("bbc.co.uk")),
            ("co.uk", None),
            ("com", None),
            ("localhost", None),
            ("www.bbc.co.uk..", None),
            (".bbc.co.uk", None),
            // wildcard and its exception: *.ck, !www.ck
            ("a.b.c.ck", Some("b.c.ck")),
            ("a.www.ck", Some("www.ck")),
            // the suffix is one only for companies
            ("ann.github.io", Some("github.io")),
            ("bucket.s3.amazonaws.com", Some("amazonaws.com")),
            ("github.io", Some("github.io")),
            // not on the list
            ("mail.corp.internal", Some("corp.internal")),
            // beyond ASCII, written either way
            ("www.食狮.公司.cn", Some("xn--85x722f.xn--55qx5d.cn")),
            ("www.xn--85x722f.xn--55qx5d.cn", Some("xn--85x722f.xn--55qx5d.cn")),
            ("post.bücher.de", Some("xn--bcher-kva.de")),
            ("10.0.0.1", None),
            ("ann@10.0.0.1", None),
            ("ann@[IPv6:2001:db8::1]", None),
            ("2001:db8::1", None),
            ("https://contoso.com", None),
            ("contoso.com:8080", None),
            ("", None),
            ("ann@", None),
        ] {
            assert_eq!(domain(text, false).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn companies_that_give_out_names() {
        for (text, expected) in [
            ("x.ann.github.io", Some("ann.github.io")),
            ("github.io", None),
            ("kt.kpmg.com", Some("kpmg.com")),
            ("www.bbc.co.uk", Some("bbc.co.uk")),
        ] {
            assert_eq!(domain(text, true).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn doing_it_twice_changes_nothing(text in "\\PC{0,12}@?(\\PC|[a-zA-Z0-9.-]){0,20}(\\.com|\\.co\\.uk)?") {
            let lowered = lower(&text).into_owned();
            prop_assert_eq!(&lower(&lowered), &lowered);
            if let Some(once) = email(&text) {
                prop_assert_eq!(email(&once), Some(once));
            }
            for private in [false, true] {
                if let Some(once) = domain(&text, private) {
                    prop_assert_eq!(domain(&once, private), Some(once));
                }
            }
        }
    }
}
