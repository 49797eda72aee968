//! What an HTTP status and an error envelope mean: the one place that decides. Pure.

use std::fmt::Write as _;

use serde::Deserialize;
use syncline_core::remedy::Effect;

use super::{challenge::Challenge, throttle::Signals};
use crate::{Error, error::Kind};

/// Most characters of the service's message that are kept.
const MESSAGE_MAX: usize = 300;

/// Longest quoted name that is kept in a message.
const NAME_MAX: usize = 64;

/// Inner errors deeper than this are not looked at.
const DEPTH_MAX: usize = 8;

/// What was asked for, as far as it changes what an answer means and what is said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Doing {
    pub(crate) act: Act,
    pub(crate) workload: &'static Workload,
    pub(crate) permission: Permission,
}

/// The kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Reading a stream, what it is in, its columns or several of its items.
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

impl Act {
    fn writes(self) -> bool {
        match self {
            Self::Read | Self::ReadItem => false,
            Self::Create | Self::Change | Self::Columns => true,
        }
    }
}

/// A service behind Graph: what it is called in messages, and its own advice.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    /// `SharePoint`.
    pub(crate) name: &'static str,
    /// What to do about a stream that is not there.
    pub(crate) missing: &'static str,
    /// What to do about one that takes no more.
    pub(crate) full: &'static str,
    /// What to do about a query that was refused.
    pub(crate) refused: &'static str,
    /// What is said when an answer speaks of a licence; `None`: such an answer is like any other.
    pub(crate) licence: Option<&'static str>,
}

/// The least permissions for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permission {
    /// Of an application by itself.
    pub(crate) application: &'static str,
    /// Of an application that acts for a user.
    pub(crate) delegated: &'static str,
    /// Whether a user may consent to the delegated one; else only an administrator may.
    pub(crate) user_may_consent: bool,
    /// What does as well, or may be the cause instead; comes after it, and may be empty.
    pub(crate) instead: &'static str,
}

/// In whose name a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acts {
    /// The application's own.
    Application,
    /// A user's, who signed in.
    User,
}

/// The error envelope of Graph (facts §1.3), flattened: codes from the outermost to the innermost.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Envelope {
    pub(crate) codes: Vec<String>,
    pub(crate) message: String,
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
    pub(crate) fn read(body: &[u8]) -> Self {
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

    /// Whether it speaks of a licence, in either spelling. The code for it is not documented [X] (facts §4.6).
    fn licence(&self) -> bool {
        let speaks =
            |text: &String| ["license", "licence"].iter().any(|w| text.to_ascii_lowercase().contains(w));
        speaks(&self.message) || self.codes.iter().any(speaks)
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
pub(crate) fn kind(status: u16, doing: Doing, envelope: &Envelope, signals: &Signals) -> Kind {
    let throttled = Kind::Throttled { retry_after: signals.wait() };
    match status {
        // Graph does not redirect item calls: somebody else answered.
        300..=399 => Kind::Definition,
        401 => Kind::Unauthenticated,
        403 if envelope.has("quotaLimitReached") => Kind::StreamFull,
        403 => Kind::Forbidden,
        404 => match doing.act {
            Act::ReadItem | Act::Change => Kind::RecordMissing,
            Act::Read | Act::Create | Act::Columns => Kind::StreamMissing,
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
        503 if !doing.act.writes() || signals.retry_after.is_some() => throttled,
        507 => Kind::StreamFull,
        500 | 502..=504 => Kind::Unanswered,
        501 | 505 => refused(doing, envelope),
        400..=499 => refused(doing, envelope),
        // A success we did not ask for, or no HTTP status at all.
        _ => Kind::Unanswered,
    }
}

fn refused(doing: Doing, envelope: &Envelope) -> Kind {
    match doing.act {
        Act::Create | Act::Change if envelope.duplicate() => Kind::Duplicate,
        Act::Create | Act::Change => Kind::Rejected,
        // No record is to blame for a refused query or column.
        Act::Read | Act::ReadItem | Act::Columns => Kind::Definition,
    }
}

/// An answer that is no success, as far as it says why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    pub(crate) signals: &'a Signals,
    /// The id under which the vendor's support finds the request.
    pub(crate) request: &'a str,
    /// In whose name it was asked.
    pub(crate) acts: Acts,
    /// What the user must satisfy first.
    pub(crate) challenge: Option<&'a Challenge>,
}

impl Refusal<'_> {
    /// The error it is.
    pub(crate) fn error(&self, doing: Doing) -> Error {
        let Self { status, request, .. } = *self;
        let envelope = Envelope::read(self.body);
        let licence =
            doing.workload.licence.filter(|_| status == 402 || (status == 403 && envelope.licence()));
        let kind = match (self.challenge, licence) {
            (Some(_), _) if matches!(status, 401 | 403) => Kind::Challenged,
            (_, Some(_)) => Kind::LicenceRequired,
            _ => kind(status, doing, &envelope, self.signals),
        };
        let mut message = licence.map(|said| format!("{said}: ")).unwrap_or_default();
        // Writing to a string cannot fail.
        write!(message, "{} answered {status}", doing.workload.name).ok();
        if let Some(code) = envelope.codes.last() {
            let code: String = code.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
            write!(message, " {code}").ok();
        }
        if !envelope.message.is_empty() {
            write!(message, ": {}", without_values(&envelope.message)).ok();
        }
        write!(message, " (request {request})").ok();
        let mut error = Error::new(kind, message);
        error.request = Some(request.to_owned());
        error.hint = hint(kind, doing, self.acts);
        if kind == Kind::Challenged {
            error.claims = self.challenge.and_then(|challenge| challenge.claims.clone());
        }
        error
    }
}

fn hint(kind: Kind, doing: Doing, acts: Acts) -> Option<String> {
    let workload = doing.workload;
    Some(match kind {
        Kind::Unauthenticated => {
            "the service refused a fresh token: check tenant, client_id and the graph address of this cloud"
                .into()
        }
        Kind::Forbidden => forbidden(doing.permission, acts),
        Kind::Challenged => SIGN_IN_AGAIN.into(),
        Kind::LicenceRequired => {
            "an administrator must give the account a licence that this needs; it is not a missing permission"
                .into()
        }
        Kind::StreamMissing => workload.missing.into(),
        Kind::StreamFull => workload.full.into(),
        Kind::Duplicate => "another item already has this value in a column that must be unique".into(),
        Kind::Definition if doing.act == Act::Read => workload.refused.into(),
        _ => return None,
    })
}

/// What to do about a claims challenge.
pub(super) const SIGN_IN_AGAIN: &str =
    "the user must sign in again and prove more (a second factor, a device); then ask with the new token";

/// Which permission, of which sort, and who consents to it.
fn forbidden(permission: Permission, acts: Acts) -> String {
    let Permission { application, delegated, user_may_consent, instead } = permission;
    match acts {
        Acts::Application => format!(
            "ask an administrator to grant the application the Microsoft Graph application permission \
             {application} with admin consent{instead}"
        ),
        Acts::User if user_may_consent => format!(
            "the application needs the Microsoft Graph delegated permission {delegated}, to which the user or an \
             administrator consents{instead}"
        ),
        Acts::User => format!(
            "ask an administrator to grant the application the Microsoft Graph delegated permission \
             {delegated} with admin consent{instead}"
        ),
    }
}

/// The error for an operation that was not sent because of `error`, which may itself be ambiguous about another request.
pub(crate) fn nothing_sent(error: Error) -> Error {
    match error.effect() {
        Effect::NotApplied => error,
        // Whatever it was that failed, it was not this write.
        Effect::Unknown | Effect::Applied => Error { kind: Kind::Unreachable, ..error },
    }
}

/// The service's message without what may be values of records: quoted parts are kept only where the word before says
/// that they name a field, and only short ones.
pub(crate) fn without_values(message: &str) -> String {
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

    const LISTS: Workload = Workload { name: "Lists", missing: "", full: "", refused: "", licence: None };
    const EVENTS: Workload = Workload { licence: Some("no licence"), ..LISTS };

    fn doing(act: Act) -> Doing {
        let permission = Permission {
            application: "A.Read",
            delegated: "D.Read",
            user_may_consent: false,
            instead: " (or less)",
        };
        Doing { act, workload: &LISTS, permission }
    }

    fn refusal(status: u16, acts: Acts, body: &str, challenge: Option<&Challenge>) -> Error {
        let body = body.as_bytes();
        let refusal = Refusal { status, body, signals: &Signals::default(), request: "r", acts, challenge };
        refusal.error(Doing { workload: &EVENTS, ..doing(Act::Read) })
    }

    fn of(status: u16, act: Act, body: &str) -> Kind {
        kind(status, doing(act), &Envelope::read(body.as_bytes()), &Signals::default())
    }

    fn error(code: &str, message: &str) -> String {
        serde_json::json!({ "error": { "code": code, "message": message } }).to_string()
    }

    #[test]
    fn statuses() {
        use Act::{Change, Columns, Create, Read, ReadItem};
        for (status, act, code, expected) in [
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
            assert_eq!(of(status, act, &error(code, "")), expected, "{status} {act:?}");
        }
        let throttled = |status, act| matches!(of(status, act, ""), Kind::Throttled { .. });
        assert!(throttled(429, Create) && throttled(509, Create) && throttled(503, Read));
        let ready = Signals { retry_after: Some(Duration::from_secs(3)), ..Signals::default() };
        assert_eq!(
            kind(503, doing(Create), &Envelope::default(), &ready),
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
            assert_eq!(of(400, Act::Create, &body), Kind::Duplicate, "{body}");
            assert_eq!(of(409, Act::Create, &body), Kind::Duplicate, "{body}");
        }
        assert_eq!(
            of(400, Act::Create, &error("invalidRequest", "Field 'X' is not recognized")),
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
    fn the_permission_that_is_missing_is_named() {
        let hint = |acts| refusal(403, acts, "", None).hint.unwrap_or_default();
        assert_eq!(
            hint(Acts::Application),
            "ask an administrator to grant the application the Microsoft Graph application permission A.Read with \
             admin consent (or less)"
        );
        assert!(hint(Acts::User).contains("delegated permission D.Read with admin consent (or less)"));
    }

    #[test]
    fn a_licence_only_where_the_answer_says_so() {
        let inner = |code: &str| {
            format!(
                r#"{{"error":{{"code":"Forbidden","message":"Forbidden","innerError":{{"code":"{code}"}}}}}}"#
            )
        };
        let kind = |status, body: &str| refusal(status, Acts::User, body, None).kind;
        assert_eq!(kind(403, &inner("licenseRequired")), Kind::LicenceRequired);
        assert_eq!(kind(403, &error("Forbidden", "The user has no Teams Licence")), Kind::LicenceRequired);
        assert_eq!(kind(402, ""), Kind::LicenceRequired);
        assert_eq!(kind(403, &inner("Authorization_RequestDenied")), Kind::Forbidden);
        assert_eq!(kind(403, &error("Forbidden", "Forbidden")), Kind::Forbidden);
        assert_eq!(kind(400, &inner("licenseRequired")), Kind::Definition);
        assert!(refusal(402, Acts::User, "", None).message.starts_with("no licence: Lists answered 402"));
    }

    #[test]
    fn a_challenge_is_handed_on() {
        let challenge = Challenge { claims: Some("{}".into()) };
        for status in [401, 403] {
            let error = refusal(status, Acts::User, "", Some(&challenge));
            assert_eq!((error.kind, error.claims.as_deref()), (Kind::Challenged, Some("{}")));
            assert_eq!(error.request.as_deref(), Some("r"));
        }
        assert_eq!(refusal(401, Acts::User, "", None).kind, Kind::Unauthenticated);
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
