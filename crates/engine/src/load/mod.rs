//! Loads of tables and files: whole batches go into a staging table of the destination, and everything else happens in one
//! transaction there, cursor included. No ledger, no intents: what the destination committed is what happened.
//!
//! Start reading at [`run`]: the life of a load. [`bind`] finds out what is loaded, `project` turns source records into
//! rows, `stage` moves them, [`plan`] looks at what a load would do, [`verify`] compares both sides, [`reset`] forgets the
//! cursor.

mod account;
pub mod bind;
pub mod compare;
mod keys;
pub mod params;
pub mod plan;
mod prepare;
mod project;
pub mod range;
mod reading;
pub mod reset;
pub mod run;
mod stage;
pub mod verify;

pub use bind::Table;
