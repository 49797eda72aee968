//! The suite every store runs: what the trait's comments promise, as tests.
//!
//! A store under test gives a [`Place`]; [`suite!`](crate::suite) makes one test of each case, [`run`] calls them all in
//! turn. A failing case panics. New promises go here, not into the tests of one store.

mod drift;
mod intents;
mod leases;
mod ledger;
mod runs;
mod scratch;
pub mod service;
mod waiting;
mod world;
mod writes;

use std::{pin::Pin, sync::Arc};

use async_trait::async_trait;

use crate::Store;

/// Where one store lives: empty at first. A store that is opened there again finds what was there before.
#[async_trait]
pub trait Place: Send + Sync {
    /// Opens the store of this place. In the suite, earlier stores of the place have been dropped; the test that compares stores
    /// opens one per process.
    async fn open(&self) -> Arc<dyn Store>;
}

#[async_trait]
impl<P: Place + ?Sized> Place for Arc<P> {
    async fn open(&self) -> Arc<dyn Store> {
        (**self).open().await
    }
}

/// A case of the suite, over a fresh place.
pub type Case = fn(Arc<dyn Place>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Names the cases once: the list for [`run`], and a test each for [`suite!`](crate::suite).
macro_rules! cases {
    ($($module:ident { $($case:ident),* $(,)? })*) => {
        /// Every case, by name.
        pub const CASES: &[(&str, Case)] = &[
            $($((concat!(stringify!($module), "::", stringify!($case)), |place| Box::pin($module::$case(place))),)*)*
        ];

        /// Makes one test of each case; the argument is a function without arguments that makes a fresh
        /// [`Place`](crate::conformance::Place).
        #[macro_export]
        macro_rules! suite {
            ($fresh:path) => {
                $($(
                    #[tokio::test]
                    async fn $case() {
                        let name = concat!(stringify!($module), "::", stringify!($case));
                        $crate::conformance::one(name, std::sync::Arc::new($fresh())).await;
                    }
                )*)*
            };
        }
    };
}

cases! {
    leases {
        a_second_claim_is_busy,
        a_dropped_lease_can_be_claimed_at_once,
        an_old_lease_writes_nothing,
        a_lease_is_checked_against_the_newest,
        an_old_lease_is_told_before_anything_else,
        a_claim_interrupts_what_was_running,
        leases_of_two_syncs_do_not_meet,
    }
    runs {
        a_run_goes_from_running_to_its_end,
        runs_are_listed_newest_first,
        runs_of_a_sync_are_those_of_its_partitions_too,
        an_account_that_does_not_close_is_refused,
        a_finished_run_takes_no_more_writes,
        old_runs_and_spent_units_are_forgotten,
        spent_units_add_up,
        times_are_kept_to_the_microsecond,
    }
    ledger {
        entries_come_back_in_order,
        ten_thousand_are_found_at_once,
        any_question_is_answered_rightly,
        keys_of_every_type_come_back,
        a_record_keeps_its_number,
        a_number_is_never_given_twice,
        one_record_has_one_owner,
        syncs_do_not_see_each_other,
        known_counts_the_living,
        unseen_walks_what_was_not_seen,
        everything_is_there_after_reopening,
    }
    intents {
        intents_stay_open_until_closed,
        an_identity_has_one_open_intent,
        a_move_is_half_done_before_it_is_closed,
        a_checkpoint_happens_whole_or_not_at_all,
        the_cursor_is_kept_and_reset,
    }
    writes {
        what_was_written_is_told_newest_first,
        writes_go_with_their_run,
        a_refused_checkpoint_wrote_nothing,
    }
    waiting {
        parked_records_live_and_leave,
        parked_records_are_retried_and_dropped,
        held_deletes_are_replaced_as_a_whole,
        an_approval_is_used_once,
        rejected_records_leave_the_ledger,
        waiting_counts_per_sync,
    }
    scratch {
        the_last_one_counts,
        stamps_and_natural_keys_are_found,
        what_the_ledger_knows_can_be_left_out,
        a_scratch_listing_does_not_outlive_the_store,
    }
    drift {
        every_kind_of_drift_is_told,
        output_is_bounded_and_totals_are_true,
        a_destination_without_stamps_is_compared,
        drifted_records_are_planned_again,
        a_record_that_moved_since_is_not_marked,
        drift_is_told_by_key,
    }
}

/// Runs every case in turn, each over a fresh place.
///
/// # Panics
/// When a case fails.
pub async fn run<P: Place + 'static>(fresh: impl Fn() -> P) {
    for (name, case) in CASES {
        tracing::debug!(name, "case");
        case(Arc::new(fresh())).await;
    }
}

/// Runs one case by its name.
///
/// # Panics
/// When it fails, or there is none of that name.
pub async fn one(name: &str, place: Arc<dyn Place>) {
    let case = CASES.iter().find(|(known, _)| *known == name);
    let (_, case) = case.expect("the suite has a case of this name");
    case(place).await;
}
