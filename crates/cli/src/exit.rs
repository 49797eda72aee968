//! How a command ends: the exit code, and for failures what happened and what to do next.

use std::process::ExitCode;

use crate::output;

/// The exit codes. They are a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Done,
    /// Something failed; what was done before is recorded.
    Failed,
    /// The command line or the project is wrong; nothing was done.
    Usage,
    /// Done, and some records wait (parked, held, conflicts, drift that was not repaired).
    Partial,
    /// A plan with `--exit-code` has changes.
    Changes,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Partial => 3,
            Self::Changes => 4,
        }
    }

    /// The code of several syncs together: a failure outweighs a wrong definition, that outweighs the rest.
    pub(crate) fn and(self, other: Self) -> Self {
        [Self::Failed, Self::Usage, Self::Partial, Self::Changes]
            .into_iter()
            .find(|exit| *exit == self || *exit == other)
            .unwrap_or(Self::Done)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A command that could not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What happened, where; empty: it has been said already.
    pub(crate) what: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, what: what.into(), hint: None }
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, what: what.into(), hint: None }
    }

    /// A failure that has been reported in full.
    pub(crate) fn told(exit: Exit) -> Self {
        Self { exit, what: String::new(), hint: None }
    }

    pub(crate) fn cancelled() -> Self {
        Self::failed("cancelled")
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts what it is about before the message.
    #[must_use]
    pub(crate) fn about(mut self, what: impl std::fmt::Display) -> Self {
        self.what = format!("{what}: {}", self.what);
        self
    }

    pub(crate) fn print(&self) {
        if self.what.is_empty() {
            return;
        }
        output::error(&self.what);
        if let Some(hint) = &self.hint {
            output::hint(hint);
        }
    }
}

impl From<syncline_engine::Error> for Failure {
    fn from(error: syncline_engine::Error) -> Self {
        let exit = match &error {
            syncline_engine::Error::Definition { .. } => Exit::Usage,
            syncline_engine::Error::Connect { source, .. } => exit_of(source),
            _ => Exit::Failed,
        };
        Self { exit, what: error.chain(), hint: error.hint() }
    }
}

impl From<syncline_connect::Error> for Failure {
    fn from(error: syncline_connect::Error) -> Self {
        Self { exit: exit_of(&error), what: error.message, hint: error.hint }
    }
}

/// An address that cannot be right is a mistake in the project, not in the system.
fn exit_of(error: &syncline_connect::Error) -> Exit {
    match error.kind {
        syncline_connect::error::Kind::Definition => Exit::Usage,
        _ => Exit::Failed,
    }
}

impl From<syncline_store::Error> for Failure {
    fn from(error: syncline_store::Error) -> Self {
        // The engine's error knows what to do about the store's.
        let error = syncline_engine::Error::from(error);
        let what = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        Self { exit: Exit::Failed, what, hint: error.hint() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_counts() {
        use Exit::{Changes, Done, Failed, Partial, Usage};
        for (a, b, expected) in [
            (Done, Done, Done),
            (Done, Changes, Changes),
            (Partial, Changes, Partial),
            (Usage, Partial, Usage),
            (Usage, Failed, Failed),
        ] {
            assert_eq!(a.and(b), expected);
            assert_eq!(b.and(a), expected);
        }
    }
}
