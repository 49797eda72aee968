//! The one test binary of the command line crate.

mod repo;
