//! The suites every connector runs.

pub mod destination;
pub mod source;
