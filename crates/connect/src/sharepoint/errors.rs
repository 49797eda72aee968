//! What an HTTP status and an error envelope mean: the one place that decides. Pure.

use std::fmt::Write as _;

use serde::Deserialize;
use syncline_core::remedy::Effect;

use super::throttle::Signals;
use crate::{Error, error::Kind};

/// Most characters of the service's message that are kept.
const MESSAGE_MAX: usize = 300;

/// Longest quoted name that is kept in a message.
const NAME_MAX: usize = 64;

/// Inner errors deeper than this are not looked at.
const DEPTH_MAX: usize = 8;

/// What was asked for, as far as it changes what an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// Reading a site, a list, its columns or several items.
    Read,
    /// Reading one item.
    ReadItem,
    /// Creating an item.
    Create,
    /// Changing or deleting an item.
    Change,
    /// Creating or changing a column.
    Columns,
}

impl Doing {
    fn writes(self) -> bool {
        match self {
            Self::Read | Self::ReadItem => false,
            Self::Create | Self::Change | Self::Columns => true,
        }
    }

    /// The least application permission for it (facts §2.2).
    fn permission(self) -> (&'static str, &'static str) {
        match self {
            Self::Read | Self::ReadItem => ("Sites.Read.All", "read"),
            Self::Create | Self::Change => ("Sites.ReadWrite.All", "write"),
            Self::Columns => ("Sites.Manage.All", "manage"),
        }
    }
}

/// The error envelope of Graph (facts §1.3), flattened: codes from the outermost to the innermost.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Envelope {
    pub(super) codes: Vec<String>,
    pub(super) message: String,
}

#[derive(Deserialize)]
struct Outer {
    error: Option<Inner>,
}

#[derive(Deserialize)]
struct Inner {
    code: Option<serde_json::Value>,
    message: Option<String>,
    // Older pages spell it in lower case.
    #[serde(alias = "innererror", rename = "innerError")]
    inner: Option<Box<Inner>>,
}

impl Envelope {
    /// Reads a body; anything that is no envelope is an empty one.
    pub(super) fn read(body: &[u8]) -> Self {
        let mut envelope = Self::default();
        let mut next = serde_json::from_slice::<Outer>(body).ok().and_then(|o| o.error);
        while let Some(error) = next {
            if let Some(serde_json::Value::String(code)) = error.code
                && !code.is_empty()
            {
                envelope.codes.push(code);
            }
            if let Some(message) = error.message.filter(|m| !m.is_empty())
                && envelope.message.is_empty()
            {
                envelope.message = message;
            }
            next = error.inner.map(|inner| *inner).filter(|_| envelope.codes.len() < DEPTH_MAX);
        }
        envelope
    }

    /// Casing differs by workload (facts §1.3).
    fn has(&self, code: &str) -> bool {
        self.codes.iter().any(|c| c.eq_ignore_ascii_case(code))
    }

    /// Whether a unique column refused a value. The code for it is not documented [X], so the known texts count as well;
    /// taking another refusal for this one costs a look-up, no record.
    fn duplicate(&self) -> bool {
        const TEXTS: [&str; 5] =
            ["duplicate value", "unique value", "must be unique", "values must be unique", "uniqueness"];
        let text = self.message.to_ascii_lowercase();
        self.has("nameAlreadyExists")
            || self.has("duplicateValue")
            || TEXTS.iter().any(|t| text.contains(t))
            || (text.contains("unique") && text.contains("already"))
    }
}

/// The kind of failure. Exhaustive over what Graph documents (facts §1.4); unknown statuses fall to their class.
pub(super) fn kind(status: u16, doing: Doing, envelope: &Envelope, signals: &Signals) -> Kind {
    let throttled = Kind::Throttled { retry_after: signals.wait() };
    match status {
        // Graph does not redirect item calls: somebody else answered.
        300..=399 => Kind::Definition,
        401 => Kind::Unauthenticated,
        403 if envelope.has("quotaLimitReached") => Kind::StreamFull,
        403 => Kind::Forbidden,
        404 => match doing {
            Doing::ReadItem | Doing::Change => Kind::RecordMissing,
            Doing::Read | Doing::Create | Doing::Columns => Kind::StreamMissing,
        },
        408 => Kind::Unanswered,
        409 if envelope.duplicate() => Kind::Duplicate,
        // Seen without any If-Match, when a process of the server touched the item (facts §1.4 [O]).
        409 | 412 => Kind::VersionMismatch,
        // The page token is gone; the listing must start over (facts §2.9).
        410 => Kind::Protocol,
        // 424: the part this one depended on failed, so it was not tried.
        423 | 424 => Kind::Locked,
        429 | 509 => throttled,
        // "Not ready" comes with Retry-After [D §3.3] and then nothing was done. Without it, it may as well come from a
        // gateway whose backend fell silent in the middle.
        503 if !doing.writes() || signals.retry_after.is_some() => throttled,
        507 => Kind::StreamFull,
        500 | 502..=504 => Kind::Unanswered,
        501 | 505 => refused(doing, envelope),
        400..=499 => refused(doing, envelope),
        // A success we did not ask for, or no HTTP status at all.
        _ => Kind::Unanswered,
    }
}

fn refused(doing: Doing, envelope: &Envelope) -> Kind {
    match doing {
        Doing::Create | Doing::Change if envelope.duplicate() => Kind::Duplicate,
        Doing::Create | Doing::Change => Kind::Rejected,
        // No record is to blame for a refused query or column.
        Doing::Read | Doing::ReadItem | Doing::Columns => Kind::Definition,
    }
}

/// The error for an answer that is no success. `request` is the id under which the vendor's support finds it.
pub(super) fn refusal(status: u16, doing: Doing, body: &[u8], signals: &Signals, request: &str) -> Error {
    let envelope = Envelope::read(body);
    let kind = kind(status, doing, &envelope, signals);
    let mut message = format!("SharePoint answered {status}");
    if let Some(code) = envelope.codes.last() {
        let code: String = code.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
        // Writing to a string cannot fail.
        write!(message, " {code}").ok();
    }
    if !envelope.message.is_empty() {
        write!(message, ": {}", without_values(&envelope.message)).ok();
    }
    write!(message, " (request {request})").ok();
    let error = Error::new(kind, message);
    match hint(kind, doing) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn hint(kind: Kind, doing: Doing) -> Option<String> {
    Some(match kind {
        Kind::Unauthenticated => {
            "the service refused a fresh token: check tenant, client_id and the graph address of this cloud"
                .into()
        }
        Kind::Forbidden => {
            let (permission, role) = doing.permission();
            format!(
                "ask an administrator to grant the application the Microsoft Graph application permission \
                 {permission} with admin consent (or Sites.Selected with the role {role} on this site)"
            )
        }
        Kind::StreamMissing => "check the site and the list; syncline check lists the known names".into(),
        Kind::StreamFull => "the list or site is out of space: its owner must make room".into(),
        Kind::Duplicate => "another item already has this value in a column that must be unique".into(),
        Kind::Definition if doing == Doing::Read => {
            "check the columns of the mapping against the list: syncline check".into()
        }
        _ => return None,
    })
}

/// The error for an operation that was not sent because of `error`, which may itself be ambiguous about another request.
pub(super) fn nothing_sent(error: Error) -> Error {
    match error.effect() {
        Effect::NotApplied => error,
        // Whatever it was that failed, it was not this write.
        Effect::Unknown | Effect::Applied => Error { kind: Kind::Unreachable, ..error },
    }
}

/// The service's message without what may be values of records: quoted parts are kept only where the word before says
/// that they name a field, and only short ones.
pub(super) fn without_values(message: &str) -> String {
    let mut out = String::with_capacity(message.len().min(MESSAGE_MAX));
    let mut rest = message;
    while let Some((before, quote, inner, after)) = next_quoted(rest) {
        out.push_str(before);
        let word = before.trim_end().rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let names = ["field", "column", "property", "type"].iter().any(|w| word.eq_ignore_ascii_case(w));
        out.push(quote);
        out.push_str(if names && inner.chars().count() <= NAME_MAX { inner } else { "…" });
        out.push(quote);
        rest = after;
    }
    out.push_str(rest);
    let clean = out.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut cut: String = clean.take(MESSAGE_MAX).collect();
    if out.chars().nth(MESSAGE_MAX).is_some() {
        cut.push('…');
    }
    cut
}

/// The first quoted part: what is before it, the quote, what is in it, what is after it. An apostrophe inside a word
/// (`can't`) is no quote.
fn next_quoted(text: &str) -> Option<(&str, char, &str, &str)> {
    let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    for (start, quote) in text.match_indices(['\'', '"']) {
        if inside(text[..start].chars().next_back()) {
            continue;
        }
        let open = start + quote.len();
        let close = text[open..]
            .match_indices(quote)
            .map(|(at, _)| open + at)
            .find(|at| !inside(text[at + quote.len()..].chars().next()));
        let Some(close) = close else {
            // Cut off in the middle of a quotation: the rest may be a value.
            return Some((&text[..start], quote.chars().next()?, &text[open..], ""));
        };
        return Some((
            &text[..start],
            quote.chars().next()?,
            &text[open..close],
            &text[close + quote.len()..],
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(status: u16, doing: Doing, body: &str) -> Kind {
        kind(status, doing, &Envelope::read(body.as_bytes()), &Signals::default())
    }

    fn error(code: &str, message: &str) -> String {
        serde_json::json!({ "error": { "code": code, "message": message } }).to_string()
    }

    #[test]
    fn statuses() {
        use Doing::{Change, Columns, Create, Read, ReadItem};
        for (status, doing, code, expected) in [
            (400, Create, "invalidRequest", Kind::Rejected),
            (400, Read, "invalidRequest", Kind::Definition),
            (401, Change, "InvalidAuthenticationToken", Kind::Unauthenticated),
            (402, Change, "", Kind::Rejected),
            (403, Change, "accessDenied", Kind::Forbidden),
            (404, Change, "itemNotFound", Kind::RecordMissing),
            (404, ReadItem, "itemNotFound", Kind::RecordMissing),
            (404, Create, "itemNotFound", Kind::StreamMissing),
            (404, Read, "itemNotFound", Kind::StreamMissing),
            (409, Change, "resourceModified", Kind::VersionMismatch),
            (409, Create, "NameAlreadyExists", Kind::Duplicate),
            (410, Read, "resyncRequired", Kind::Protocol),
            (412, Change, "resourceModified", Kind::VersionMismatch),
            (413, Create, "", Kind::Rejected),
            (415, Create, "", Kind::Rejected),
            (422, Read, "notSupported", Kind::Definition),
            (423, Change, "notAllowed", Kind::Locked),
            (424, Change, "FailedDependency", Kind::Locked),
            (500, Create, "generalException", Kind::Unanswered),
            (501, Create, "NotImplemented", Kind::Rejected),
            (502, Create, "UnknownError", Kind::Unanswered),
            (503, Create, "serviceNotAvailable", Kind::Unanswered),
            (504, Create, "", Kind::Unanswered),
            (507, Create, "quotaLimitReached", Kind::StreamFull),
            (302, Read, "", Kind::Definition),
            (403, Columns, "accessDenied", Kind::Forbidden),
        ] {
            assert_eq!(of(status, doing, &error(code, "")), expected, "{status} {doing:?}");
        }
        let throttled = |status, doing| matches!(of(status, doing, ""), Kind::Throttled { .. });
        assert!(throttled(429, Create) && throttled(509, Create) && throttled(503, Read));
        let ready = Signals { retry_after: Some(Duration::from_secs(3)), ..Signals::default() };
        assert_eq!(
            kind(503, Create, &Envelope::default(), &ready),
            Kind::Throttled { retry_after: Duration::from_secs(3) }
        );
    }

    #[test]
    fn a_violated_unique_column_in_every_known_wording() {
        for body in [
            error("nameAlreadyExists", ""),
            error(
                "invalidRequest",
                "duplicate values were found in the following field(s) in the list: [SynclineKey]",
            ),
            error("invalidRequest", "The value of field 'SynclineKey' must be unique"),
            r#"{"error":{"code":"invalidRequest","message":"no","innererror":{"code":"DuplicateValue"}}}"#
                .to_owned(),
        ] {
            assert_eq!(of(400, Doing::Create, &body), Kind::Duplicate, "{body}");
            assert_eq!(of(409, Doing::Create, &body), Kind::Duplicate, "{body}");
        }
        assert_eq!(
            of(400, Doing::Create, &error("invalidRequest", "Field 'X' is not recognized")),
            Kind::Rejected
        );
    }

    #[test]
    fn envelopes_of_every_shape() {
        let nested =
            br#"{"error":{"code":"a","message":"m","innerError":{"code":"b","innererror":{"code":"c"}}}}"#;
        assert_eq!(Envelope::read(nested).codes, ["a", "b", "c"]);
        for nothing in ["", "<html>", "[]", r#"{"error":"text"}"#, r#"{"error":{"code":7}}"#] {
            assert_eq!(Envelope::read(nothing.as_bytes()), Envelope::default(), "{nothing}");
        }
    }

    #[test]
    fn messages_carry_names_but_no_values() {
        for (given, expected) in [
            ("Field 'X' is not recognized", "Field 'X' is not recognized"),
            ("can't set field \"Budget\" to 'secret thing'", "can't set field \"Budget\" to '…'"),
            ("value 'O'Brien' of column 'Owner'", "value '…' of column 'Owner'"),
            ("cut in 'the mid", "cut in '…'"),
            ("a\r\nb", "a  b"),
        ] {
            assert_eq!(without_values(given), expected, "{given}");
        }
        assert_eq!(without_values(&format!("field '{}'", "x".repeat(65))), "field '…'");
        assert_eq!(without_values(&"é".repeat(1000)).chars().count(), MESSAGE_MAX + 1);
    }
}
