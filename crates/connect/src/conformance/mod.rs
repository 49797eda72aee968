//! The suites every connector runs.

pub mod database;
pub mod destination;
pub mod source;
pub mod statements;
