//! Project files as people write them, and as they should not.

mod bad_input;
mod documents;
mod fingerprint;
mod fuzz;
#[expect(clippy::print_stdout, reason = "who repeats a run needs its seed")]
#[path = "../../core/tests/fuzzing.rs"]
mod fuzzing;
mod good_projects;
mod params;
mod problems;
mod schema;
mod service;
mod tables;
mod transforms;
mod world;
