//! Executes a run: read, plan, write, checkpoint; recovers what a crash left open.
//!
//! The engine knows no connector by name and decides everything that is decided about records. Its rules are pure
//! ([`protocol`], [`retry`], and the crate `syncline-core`); [`run`], [`plan`] and [`verify`] put them to work.
//!
//! Start reading at [`run`]: it is the life of a run from the lease to the closed account.
#![warn(missing_docs)]

mod account;
pub mod bind;
mod contact;
mod deletes;
pub mod error;
mod flow;
pub mod load;
pub mod plan;
mod planner;
pub mod progress;
pub mod protocol;
mod read;
mod reading;
mod recover;
pub mod retry;
pub mod run;
pub mod sample;
pub mod service;
pub mod story;
mod units;
pub mod verify;
mod writer;

use std::sync::Arc;

use syncline_connect::{budget::Budgets, clock::Clock};
use syncline_store::Store;

pub use bind::Bound;
pub use error::Error;
pub use flow::Flow;

/// What every run of a process shares.
#[derive(Clone)]
pub struct Engine {
    /// Memory.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Quotas of the accounts in use.
    pub budgets: Arc<Budgets>,
    /// How often a request is tried.
    pub retry: retry::Policy,
    /// Seed of the jitter.
    pub seed: u64,
}
