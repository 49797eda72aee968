//! What `WWW-Authenticate` demands of the user before Graph answers again (facts §5.6). Pure.

use base64::{Engine, alphabet, engine};

/// Longer headers and claims are not looked at.
const BYTES_MAX: usize = 8 << 10;

/// The vendor pads; others do not.
const BASE64: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new().with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
);

/// A claims challenge: only the user's own client can satisfy it, by signing in again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// The claims, as JSON, where they could be read.
    pub(crate) claims: Option<String>,
}

/// The claims challenge among the values of the header, which may be repeated. `None`: there is none.
pub(super) fn read<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut insufficient = false;
    let mut claims = None;
    for header in headers.filter(|header| header.len() <= BYTES_MAX) {
        for (name, value) in parameters(header) {
            if name.eq_ignore_ascii_case("error") {
                insufficient |= value.eq_ignore_ascii_case("insufficient_claims");
            } else if name.eq_ignore_ascii_case("claims") {
                claims = claims.or_else(|| json(value));
            }
        }
    }
    insufficient.then_some(Challenge { claims })
}

/// `name="value"` and `name=value`, in any order.
fn parameters(header: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = header;
    while let Some((before, after)) = rest.split_once('=') {
        let name = before.rsplit([' ', ',', '\t']).next().unwrap_or_default();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once([',', ' ']).unwrap_or((after, "")),
        };
        found.push((name, value));
        rest = next;
    }
    found
}

/// Claims come in Base64, of either alphabet; older gateways send them as they are.
fn json(value: &str) -> Option<String> {
    let decoded = if value.trim_start().starts_with('{') {
        value.to_owned()
    } else {
        let standard = value.replace('-', "+").replace('_', "/");
        String::from_utf8(BASE64.decode(standard).ok()?).ok()?
    };
    serde_json::from_str::<serde::de::IgnoredAny>(&decoded).ok().map(|_| decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_in_every_form() {
        let claims = r#"{"access_token":{"acrs":{"essential":true,"value":"cp1"}}}"#;
        // Of the vendor's page, as it is there.
        let vendors = "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", \
            error=\"insufficient_claims\", \
            claims=\"eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiY3AxIn19fQ==\"";
        let unpadded = "Bearer claims=eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiY3AxIn19fQ, \
            error=insufficient_claims";
        for headers in [vec![vendors], vec![unpadded], vec!["Basic realm=\"x\"", vendors]] {
            assert_eq!(
                read(headers.iter().copied()),
                Some(Challenge { claims: Some(claims.into()) }),
                "{headers:?}"
            );
        }
        let without = "Bearer error=\"insufficient_claims\", claims=\"???\"";
        assert_eq!(read([without].into_iter()), Some(Challenge { claims: None }));
    }

    #[test]
    fn no_challenge() {
        for header in [
            "",
            "Bearer",
            "Bearer error=\"invalid_token\", claims=\"e30=\"",
            "=\"insufficient_claims",
            "\"\"==",
        ] {
            assert_eq!(read([header].into_iter()), None, "{header}");
        }
    }
}
