//! The two questions every failure answers.

use std::time::Duration;

/// Who acts next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Syncline tries again, no earlier than after this time.
    RetryAfter(Duration),
    /// A person must change something (credential, permission, definition); trying again alone is useless.
    Operator,
    /// The same request can never succeed; the record waits (parked) until it or the rules change.
    Never,
}

/// What the far side knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The write certainly did not happen.
    NotApplied,
    /// The write certainly happened.
    Applied,
    /// Nobody can tell yet: look before doing anything else.
    Unknown,
}
