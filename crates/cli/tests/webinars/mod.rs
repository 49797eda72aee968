//! `examples/webinar-metrics`: exactly those files, on a real PostgreSQL and a real SQLite file.

mod house;
mod metrics;
mod pages;
mod parts;
mod statements;

use std::path::Path;

const ANN: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const BOB: &str = "aaaaaaaa-0000-4000-8000-000000000002";

/// The webinar with a number, as Graph calls it.
fn webinar(number: u32) -> String {
    format!("b000000{number}-0000-4000-8000-000000000000@{TENANT}")
}

/// The one session of the webinar with a number.
fn session(number: u32) -> String {
    format!("c000000{number}-0000-4000-8000-000000000000")
}

/// Of the simulator with its usual seed.
const TENANT: &str = "a833bdcd-b6d1-4eb1-88dc-97e5aab5fe3d";

/// A file of the example.
fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/webinar-metrics").join(file);
    std::fs::read_to_string(path).unwrap()
}
