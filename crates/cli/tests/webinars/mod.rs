//! `examples/webinar-metrics`: exactly those files, on a real PostgreSQL and a real SQLite file.

mod metrics;
mod statements;

use std::path::Path;

/// A file of the example.
fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/webinar-metrics").join(file);
    std::fs::read_to_string(path).unwrap()
}
