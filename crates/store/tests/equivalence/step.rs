//! The steps of a trace: what one process does.

use jiff::Timestamp;
use syncline_core::{identity::Identity, run::Status};
use syncline_store::{Checkpoint, Drift, Intent, NewRun, RunEnd, Scratch};

/// What one process does. Leases and runs are told by how old they are, because a trace is made before anything is
/// answered: 0 is the newest, 1 the one before.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// Which of the processes.
    pub(super) process: usize,
    pub(super) sync: &'static str,
    /// How many claims ago the lease was given that is shown.
    pub(super) lease: u64,
    /// How many runs ago the run was started that is named.
    pub(super) run: u64,
    pub(super) act: Act,
}

/// What is done.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// The process dies; its next step opens the store again.
    Crash,
    Claim(Timestamp),
    /// Drops the lease, if this process holds it.
    GiveUp,
    Check,
    StartRun(NewRun),
    FinishRun(RunEnd),
    Intend(Vec<Intent>),
    Checkpoint(Box<Checkpoint>),
    Reset,
    RetryParked(Option<Vec<Identity>>, Timestamp),
    DropParked(Option<Vec<Identity>>),
    Approve(u64, Timestamp),
    Reject,
    /// Marks what the last comparison found, and this.
    MarkDrifted(Vec<Drift>, Timestamp),
    ScratchPut(Vec<Scratch>),
    ScratchRemove(String, String),
    ScratchRemoveOwned,
    ScratchClear,
    Compare(Vec<String>, usize),
    Find(Vec<Identity>),
    Details(Vec<Identity>),
    Writes(Identity, usize),
    /// Seen numbers as bits, where to begin, how many.
    Unseen(u64, u64, usize),
    Runs(bool, Option<Status>, usize),
    Parked(bool, Option<Timestamp>, usize),
    Held(bool, usize),
    Spent(String, Timestamp),
    ScratchByStamp(Vec<Identity>),
    ScratchByNatural(Vec<[u8; 32]>),
    Everything,
}
