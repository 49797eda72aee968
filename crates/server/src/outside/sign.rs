//! The signature of webhooks: `t=1764230400,v1=5257a8…`, HMAC-SHA256 over the time stamp, a point and the body. Who receives one
//! computes the same with the shared secret, compares in constant time, and refuses what is older than five minutes.

use std::time::Duration;

use aws_lc_rs::hmac;
use jiff::Timestamp;
use syncline_core::value::hex;

/// The header that holds it.
pub const HEADER: &str = "X-Syncline-Signature";
/// How far a time stamp may be from the receiver's clock.
pub const WINDOW: Duration = Duration::from_secs(300);

/// The signature of a body that is sent now.
pub fn sign(secret: &str, body: &[u8], now: Timestamp) -> String {
    let at = now.as_second();
    let tag = hmac::sign(&key(secret), &signed(&at.to_string(), body));
    format!("t={at},v1={}", hex(tag.as_ref()))
}

/// Whether a signature is that of the body, made with the secret at most [`WINDOW`] before or after `now`.
pub fn verify(secret: &str, body: &[u8], header: &str, now: Timestamp) -> bool {
    let part =
        |name: &str| header.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    let (Some(at), Some(tag)) = (part("t"), part("v1")) else { return false };
    let (Ok(seconds), Some(tag)) = (at.parse::<i64>(), bytes(tag)) else { return false };
    let in_time = now.as_second().abs_diff(seconds) <= WINDOW.as_secs();
    // in constant time
    in_time && hmac::verify(&key(secret), &signed(at, body), &tag).is_ok()
}

fn key(secret: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())
}

fn signed(at: &str, body: &[u8]) -> Vec<u8> {
    [at.as_bytes(), b".", body].concat()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs =
        hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_hold_for_their_body_secret_and_time() {
        let now = Timestamp::from_second(1_764_230_400).expect("a time");
        let header = sign("hush", b"{}", now);
        // computed with: printf '1764230400.{}' | openssl dgst -sha256 -hmac hush
        assert_eq!(
            header,
            "t=1764230400,v1=52a0ba140cce38385d2ccf56a1beea53d2bffe0ce0299a6c64f1c03fa5052291"
        );
        let later = |seconds: i64| Timestamp::from_second(1_764_230_400 + seconds).expect("a time");
        assert!(verify("hush", b"{}", &header, now));
        assert!(verify("hush", b"{}", &header, later(300)) && verify("hush", b"{}", &header, later(-300)));
        assert!(!verify("hush", b"{}", &header, later(301)) && !verify("hush", b"{}", &header, later(-301)));
        assert!(!verify("other", b"{}", &header, now));
        assert!(!verify("hush", b"{ }", &header, now));
        for broken in ["", "t=1", "v1=00", "t=1764230400,v1=", "t=1764230400,v1=zz", "t=x,v1=00", "t=9,v1=é"]
        {
            assert!(!verify("hush", b"{}", broken, now), "{broken}");
        }
    }
}
