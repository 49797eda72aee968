//! Faults built in by hand, for showing that the tests would see them.
//!
//! With the feature `mutants` one of them can be switched on for the present thread; without it every [`mutant!`] is the
//! constant `false`, and the compiler leaves nothing of it. Each is a mistake that somebody could make at that place. The
//! simulation of whole runs must find every one (`make mutants`).
//!
//! [`mutant!`]: crate::mutant!

/// Names the faults once.
macro_rules! mutants {
    ($($(#[doc = $what:literal])* $name:ident,)*) => {
        /// A fault built in by hand.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[doc = $what])* $name,)*
        }

        impl Mutant {
            /// Every fault, with what is wrong.
            pub const ALL: &[(Self, &str)] = &[$((Self::$name, concat!($($what,)*)),)*];
        }
    };
}

mutants! {
    /// The guard lets one delete more go than it says.
    GuardOffByOne,
    /// An empty source deletes everything.
    GuardForgetsEmptySource,
    /// An approval covers any number of deletes.
    ApprovalWithoutCeiling,
    /// Tombstones are not under the guard.
    TombstonesPassGuard,
    /// The identity is made of key and content.
    IdentityWithContent,
    /// Keys that differ in case are two records although the sync says otherwise.
    CaseCounts,
    /// The hash is over the values as they are sent, not over their canonical forms.
    HashOverSentValues,
    /// The last route that fits wins.
    LastRouteWins,
    /// A record that is routed elsewhere stays where it is.
    RouteForgotten,
    /// The cursor is stored before the records it passes are written.
    CursorBeforeWrite,
    /// The cursor moves on when a run stops in the middle of a batch.
    CursorPastStop,
    /// After a full run the cursor stands above the bound of its snapshot.
    CursorAboveBound,
    /// An incremental read starts at the cursor, without the overlap.
    OverlapForgotten,
    /// Intents are recorded after sending.
    IntentAfterSending,
    /// A create without an answer is sent again without looking.
    UnknownCreateResent,
    /// A create that is not found is sent again at once, although it may still arrive.
    SettleForgotten,
    /// A delete without an answer counts as done.
    UnknownDeleteDone,
    /// A create that meets a record with its stamp is given up.
    DuplicateGivenUp,
    /// Updates overwrite whatever version there is.
    UpdateAnyVersion,
    /// A null that replaces a value is not written.
    NullNotWritten,
    /// A move deletes the old record before it creates the new one.
    DeleteBeforeCreate,
    /// A move leaves the old record where it is.
    OldRecordLeft,
    /// Recovery closes interrupted creates without looking for them.
    RecoveryForgetsCreates,
    /// Recovery trusts the ledger about an update that was not applied yet.
    RecoveryTrustsLedger,
    /// Recovery takes over a record that was to be adopted and never was.
    RecoveryTakesStrangers,
    /// A record that is adopted by its natural key is not stamped.
    AdoptedWithoutStamp,
    /// Of a listing of the destination only the first page is taken.
    PageDropped,
    /// A listing of the source that fails counts as complete.
    FailedListingComplete,
    /// A listed record that cannot be mapped counts as absent.
    PoisonCountsAsAbsent,
    /// A write with an old epoch is accepted.
    EpochUnchecked,
    /// Quota is counted when the answer is there, not when the request leaves.
    BudgetAfterAnswer,
    /// What earlier processes spent is not counted.
    BudgetForgetsPast,
    /// A throttled request uses up an attempt.
    ThrottlingCostsAttempts,
    /// Parked records are not retried.
    ParkedForgotten,
    /// A failed record ends its batch.
    PoisonEndsBatch,
    /// A record that could not be written is counted as written.
    FailureCountsAsUpdate,
}

/// Whether a fault is switched on.
#[cfg(not(feature = "mutants"))]
pub const fn is_active(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use switch::{is_active, set};

#[cfg(feature = "mutants")]
mod switch {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! { static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) }; }

    /// Whether a fault is switched on for this thread.
    pub fn is_active(mutant: Mutant) -> bool {
        ACTIVE.get() == Some(mutant)
    }

    /// Switches a fault on for this thread, or all off.
    pub fn set(mutant: Option<Mutant>) {
        ACTIVE.set(mutant);
    }
}

/// Whether the fault of this name is switched on: `mutant!(GuardOffByOne)`. A constant in all but the harness.
#[macro_export]
macro_rules! mutant {
    ($name:ident) => {
        $crate::mutant::is_active($crate::mutant::Mutant::$name)
    };
}
