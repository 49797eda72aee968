//! The suite of the service's memory: what the comments of [`ServiceStore`] promise, as tests.

mod chains;
mod claims;
mod occurrences;
mod parallel;
mod records;
mod runs;
mod schedules;
mod upkeep;
mod world;

use std::{pin::Pin, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{Lease, service::ServiceStore};

/// Where one store lives: empty at first, and shared by every handle that is opened there.
#[async_trait]
pub trait ServicePlace: Send + Sync {
    /// Opens a handle, as one node does. Several may be open at once.
    async fn open(&self) -> Arc<dyn ServiceStore>;

    /// Lets the lease of every claim run out; `now` is the time that the caller has reached. Returns the time to go on with: a store that
    /// measures by what it is told is told a later time, one that measures by its own clock has its rows aged.
    async fn expire_leases(&self, now: Timestamp) -> Timestamp;

    /// Ends the process that holds the lease of a sync, and whatever time others then must wait: nobody holds it any more.
    async fn bury(&self, lease: Lease);
}

/// A case of the suite, over a fresh place.
pub type Case = fn(Arc<dyn ServicePlace>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Names the cases once: the list for [`one`], and a test each for [`service_suite!`](crate::service_suite).
macro_rules! cases {
    ($($module:ident { $($case:ident),* $(,)? })*) => {
        /// Every case, by name.
        pub const CASES: &[(&str, Case)] = &[
            $($((concat!(stringify!($module), "::", stringify!($case)), |place| Box::pin($module::$case(place))),)*)*
        ];

        /// Makes one test of each case; the argument is a function without arguments that makes a fresh
        /// [`ServicePlace`](crate::conformance::service::ServicePlace).
        #[macro_export]
        macro_rules! service_suite {
            ($fresh:path) => {
                $($(
                    #[tokio::test]
                    async fn $case() {
                        let name = concat!(stringify!($module), "::", stringify!($case));
                        $crate::conformance::service::one(name, std::sync::Arc::new($fresh())).await;
                    }
                )*)*
            };
        }
    };
}

cases! {
    schedules {
        a_new_schedule_adds_nothing,
        an_instant_is_decided_about_once,
        a_decision_is_all_or_nothing,
        a_busy_subject_skips_or_queues,
        a_paused_schedule_never_fires_the_past,
        a_subject_is_paused_as_a_whole,
    }
    occurrences {
        what_was_asked_for_comes_back,
        an_idempotency_key_starts_once,
        no_more_than_ten_wait,
        occurrences_are_listed_newest_first,
        a_waiting_one_is_cancelled_at_once,
    }
    claims {
        heavier_ones_first_then_the_longest_due,
        one_at_a_time_per_subject,
        limits_hold,
        a_claim_is_renewed_until_it_is_lost,
        an_expired_claim_goes_to_who_asks_first,
        an_old_claim_writes_nothing,
        released_claims_wait_again,
        an_end_closes_and_adds_what_follows,
        a_success_makes_retries_needless,
        a_claimed_one_is_asked_to_stop,
        the_next_moment_is_known,
    }
    runs {
        runs_are_walked_by_pages,
        a_summary_says_where_a_sync_stands,
    }
    chains {
        a_chain_goes_from_running_to_its_end,
        a_chain_is_resumed_on_the_same_run,
        a_claim_is_good_for_its_own_chain,
        a_cancelled_chain_is_closed,
        runs_of_chains_are_listed_newest_first,
        a_backfill_is_recorded,
    }
    records {
        definitions_keep_every_version,
        events_are_read_in_order,
        events_are_searched_backwards,
        tokens_come_and_go,
        an_alert_is_swapped_by_who_saw_it,
        settings_are_kept,
    }
    upkeep {
        nodes_are_known_by_their_beats,
        runs_of_the_dead_are_closed,
        forgetting_is_bounded,
        times_are_kept_to_the_microsecond,
        everything_is_there_after_reopening,
    }
    parallel {
        two_nodes_claim_each_once,
        limits_hold_between_nodes,
        deciding_twice_adds_once,
        events_have_no_gap,
        one_key_starts_once_between_nodes,
        one_node_wins_an_alert,
        one_node_writes_a_version,
    }
}

/// Runs one case by its name.
///
/// # Panics
/// When it fails, or there is none of that name.
pub async fn one(name: &str, place: Arc<dyn ServicePlace>) {
    let case = CASES.iter().find(|(known, _)| *known == name);
    let (_, case) = case.expect("the suite has a case of this name");
    case(place).await;
}
