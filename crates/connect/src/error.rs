//! What can go wrong at a system, and the two questions every failure answers.

use std::time::Duration;

use syncline_core::remedy::{Effect, Remedy};

/// A failed operation at a source or destination.
///
/// The message says what happened and where, in lower case, without values of records and without secrets; `hint` says
/// what to do next.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure it is; decides everything.
    pub kind: Kind,
    /// What happened, where.
    pub message: String,
    /// What to do next, where that is not obvious.
    pub hint: Option<String>,
    /// What the user's client must satisfy before it asks again ([`Kind::Challenged`]): the claims, as JSON. To be handed on to
    /// whoever asked, and to nobody else.
    pub claims: Option<String>,
    /// The id under which the far side's support finds the request.
    pub request: Option<String>,
}

/// Kinds of failure. [`Error::remedy`] and [`Error::effect`] are exhaustive matches over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request was never sent: no connection, name not found, TLS refused.
    Unreachable,
    /// The request was sent and no usable answer came: time-out, reset, truncated body, ambiguous 5xx.
    Unanswered,
    /// Over a quota, or the service is not ready; the budget already waits. Not an attempt.
    Throttled {
        /// How long the far side asks to wait.
        retry_after: Duration,
    },
    /// The credential was refused.
    Unauthenticated,
    /// The credential lacks a permission.
    Forbidden,
    /// The stream (table, list) or its site or database does not exist.
    StreamMissing,
    /// The record does not exist (any more).
    RecordMissing,
    /// The record has another version than we expected: somebody changed it.
    VersionMismatch,
    /// A unique field already has this value in another record.
    Duplicate,
    /// The system refuses this record's values.
    Rejected,
    /// The stream is full or locked for writing by its owner.
    StreamFull,
    /// The record or stream is locked for the moment.
    Locked,
    /// The answer makes no sense (page token repeated, element without id); nothing of it was used.
    Protocol,
    /// The definition and the system do not fit: unknown column, wrong type, bad address.
    Definition,
    /// The source does not know the position any more from which changes were to be told.
    PositionLost,
    /// Nobody has allowed the application to act for this user: an administrator's consent is missing.
    ConsentRequired,
    /// The user must prove more (a second factor, a device) before the far side answers: see [`Error::claims`].
    Challenged,
    /// The token of the user has expired or is not for us: a fresh one is needed.
    UserTokenRefused,
    /// The account lacks a licence, and the far side said so.
    LicenceRequired,
    /// What was asked for is there, and was not published.
    Unpublished,
}

impl Error {
    /// An error without a hint.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, claims: None, request: None }
    }

    /// The error of a failpoint.
    #[cfg(debug_assertions)]
    pub fn failpoint(kind: Kind, place: &str) -> Self {
        Self::new(kind, format!("failpoint {place}: an error was asked for"))
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts what was being done before the message: `list "Projects": …`.
    #[must_use]
    pub fn context(mut self, doing: impl std::fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// Who acts next.
    pub fn remedy(&self) -> Remedy {
        match self.kind {
            Kind::Unreachable | Kind::Unanswered | Kind::Protocol => {
                Remedy::RetryAfter(Duration::from_secs(1))
            }
            Kind::Throttled { retry_after } => Remedy::RetryAfter(retry_after),
            Kind::Locked => Remedy::RetryAfter(Duration::from_secs(5)),
            Kind::PositionLost => Remedy::RetryAfter(Duration::ZERO),
            Kind::VersionMismatch | Kind::RecordMissing => Remedy::RetryAfter(Duration::ZERO),
            Kind::Unauthenticated
            | Kind::Forbidden
            | Kind::StreamMissing
            | Kind::StreamFull
            | Kind::Definition
            | Kind::ConsentRequired
            | Kind::Challenged
            | Kind::UserTokenRefused
            | Kind::LicenceRequired
            | Kind::Unpublished => Remedy::Operator,
            Kind::Duplicate | Kind::Rejected => Remedy::Never,
        }
    }

    /// What the far side knows of a *write* that failed with this.
    pub fn effect(&self) -> Effect {
        match self.kind {
            Kind::Unanswered | Kind::Protocol => Effect::Unknown,
            Kind::Unreachable
            | Kind::Throttled { .. }
            | Kind::Unauthenticated
            | Kind::Forbidden
            | Kind::StreamMissing
            | Kind::RecordMissing
            | Kind::VersionMismatch
            | Kind::Duplicate
            | Kind::Rejected
            | Kind::StreamFull
            | Kind::Locked
            | Kind::Definition
            | Kind::PositionLost
            | Kind::ConsentRequired
            | Kind::Challenged
            | Kind::UserTokenRefused
            | Kind::LicenceRequired
            | Kind::Unpublished => Effect::NotApplied,
        }
    }

    /// The stable code that is stored and shown: the kind in snake case.
    pub fn code(&self) -> &'static str {
        match self.kind {
            Kind::Unreachable => "unreachable",
            Kind::Unanswered => "unanswered",
            Kind::Throttled { .. } => "throttled",
            Kind::Unauthenticated => "unauthenticated",
            Kind::Forbidden => "forbidden",
            Kind::StreamMissing => "stream_missing",
            Kind::RecordMissing => "record_missing",
            Kind::VersionMismatch => "version_mismatch",
            Kind::Duplicate => "duplicate",
            Kind::Rejected => "rejected",
            Kind::StreamFull => "stream_full",
            Kind::Locked => "locked",
            Kind::Protocol => "protocol",
            Kind::Definition => "definition",
            Kind::PositionLost => "position_lost",
            Kind::ConsentRequired => "consent_required",
            Kind::Challenged => "challenged",
            Kind::UserTokenRefused => "user_token_refused",
            Kind::LicenceRequired => "licence_required",
            Kind::Unpublished => "unpublished",
        }
    }
}
