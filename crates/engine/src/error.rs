//! What stops a run.

use syncline_core::mapping::Problem;

/// A run, plan or verification that stopped. What was done before is recorded; running again goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system could not be read or written.
    #[error("{doing}")]
    Connect {
        /// What was being done.
        doing: String,
        /// What happened.
        #[source]
        source: syncline_connect::Error,
    },
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] syncline_store::Error),
    /// The definition does not fit the systems it names; nothing was read or written.
    #[error("sync {sync:?} does not fit the systems it names ({} problems)", .problems.len())]
    Definition {
        /// The sync.
        sync: String,
        /// Every problem found.
        problems: Vec<Problem>,
    },
    /// Records were lost count of: a fault in Syncline itself.
    #[error(
        "the account does not close: {read} records read, {accounted} accounted for; please report this as a bug"
    )]
    Unbalanced {
        /// Records read.
        read: u64,
        /// Records accounted for.
        accounted: u64,
    },
    /// The destination counts other rows than were sent; nothing was committed.
    #[error("{sent} rows were sent and the destination counts {counted}; nothing was committed")]
    Miscounted {
        /// Rows sent.
        sent: u64,
        /// Rows counted.
        counted: u64,
    },
    /// More records cannot be loaded than are kept one by one; nothing was committed.
    #[error("more than {limit} records cannot be loaded; nothing was committed")]
    TooManyParked {
        /// The limit.
        limit: usize,
    },
    /// A table without a key cannot be replaced, because too many records are gone; nothing was committed.
    #[error("the table is not replaced: {reason}")]
    Held {
        /// Records that would be gone.
        gone: u64,
        /// Why.
        reason: String,
    },
    /// Both sides cannot be compared because of this.
    #[error("both sides cannot be compared because of {column}")]
    Incomparable {
        /// A column of the key that is computed, or another part of the definition.
        column: String,
    },
    /// The run's parameters do not fit the sync; nothing was opened, read or written.
    #[error("sync {sync:?} {problem}")]
    Params {
        /// The sync.
        sync: String,
        /// What is missing or unknown; no value is named.
        problem: String,
        /// The parameters that it has.
        params: Vec<String>,
    },
    /// A part of the work ended without an answer: a fault in Syncline itself.
    #[error("a part of the work ended early; nothing was committed; please report this as a bug")]
    Interrupted,
    /// A run was asked for by a plan that is no longer what would be done; nothing was written.
    #[error(
        "the plan is not the one that was looked at: the source or the destination changed meanwhile; nothing was written"
    )]
    PlanChanged,
    /// Stopped by a person; what was done is recorded.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// Wraps a connector's error with what was being done.
    pub(crate) fn connect(doing: impl Into<String>) -> impl FnOnce(syncline_connect::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Connect { doing, source }
    }

    /// A value in a column of another type: a fault of ours.
    pub(crate) fn mismatch(error: &syncline_core::batch::TypeMismatch) -> Self {
        let source = syncline_connect::Error::new(syncline_connect::error::Kind::Protocol, error.to_string());
        Self::Connect { doing: "making rows".into(), source }
    }

    /// The error of a failpoint.
    #[cfg(debug_assertions)]
    pub(crate) fn failpoint(place: &str) -> Self {
        let source = syncline_connect::Error::failpoint(syncline_connect::error::Kind::Unanswered, place);
        Self::Connect { doing: "going on".into(), source }
    }

    /// Whether the source does not know the position any more from which it was to tell changes.
    pub(crate) fn position_lost(&self) -> bool {
        matches!(self, Self::Connect { source, .. } if source.kind == syncline_connect::error::Kind::PositionLost)
    }

    /// Stable code that is stored with the run.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connect { source, .. } => source.code(),
            Self::Store(syncline_store::Error::Busy { .. }) => "busy",
            Self::Store(_) => "store",
            Self::Definition { .. } => "definition",
            Self::Unbalanced { .. } => "unbalanced",
            Self::Miscounted { .. } => "miscounted",
            Self::TooManyParked { .. } => "too_many_parked",
            Self::Held { .. } => "held",
            Self::Incomparable { .. } => "incomparable",
            Self::Params { .. } => "params",
            Self::Interrupted => "interrupted",
            Self::PlanChanged => "plan_changed",
            Self::Cancelled => "cancelled",
        }
    }

    /// What to do next, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Connect { source, .. } => source.hint.clone(),
            Self::Store(syncline_store::Error::Busy { .. }) => {
                Some("wait for the other run to end, or stop it; a dead process holds nothing".into())
            }
            Self::Store(syncline_store::Error::Full { .. }) => {
                Some("free some space (or raise store.max_size) and run again: nothing is lost".into())
            }
            Self::Store(syncline_store::Error::Locked { .. }) => {
                Some("another program has the store file open for writing; close it and run again".into())
            }
            Self::Store(syncline_store::Error::Unreachable { .. }) => Some(
                "check host, port, user, password and database of the store's address (--store, or store.path in the \
                 project), and that the server runs; what is recorded stays"
                    .into(),
            ),
            Self::Store(syncline_store::Error::NotEmpty { .. }) => {
                Some("name a new store with --store, or restore with --replace, which removes what is there".into())
            }
            Self::Store(syncline_store::Error::Database { .. }) => Some(
                "look at the store's file, its disk and its permissions, then try again; what is recorded stays".into(),
            ),
            Self::Definition { .. } => Some("run `syncline check` for every problem and its place".into()),
            Self::TooManyParked { .. } => {
                Some("`syncline plan` shows the reason record by record; mend the definition and run again".into())
            }
            Self::Held { gone, .. } => {
                Some(format!("look at the source; to let them go: `syncline held approve SYNC --max {gone}`, then run again"))
            }
            Self::Incomparable { .. } => {
                Some("a full run loads everything again; with write: mirror it also removes what is gone".into())
            }
            Self::Params { params, .. } if params.is_empty() => {
                Some("this sync has no parameters of its own; one that names owner is run with a user's token".into())
            }
            Self::Params { params, .. } => Some(format!("its parameters: {}", params.join(", "))),
            Self::Miscounted { .. } => Some("run again; the staging table is left for the next load to remove".into()),
            Self::PlanChanged => Some("make a new plan and look at it".into()),
            Self::Store(_) | Self::Unbalanced { .. } | Self::Interrupted | Self::Cancelled => None,
        }
    }

    /// The whole chain in one line, for records and logs.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}
