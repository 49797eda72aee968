//! The log, on standard error. Only Syncline's own events are written: those of libraries may hold values and secrets.

use tracing_subscriber::EnvFilter;

use crate::args::{Global, LogFormat};

/// Begins to log. Warnings by default; `-v` adds what was done, `-vv` how, `-vvv` everything.
pub(crate) fn start(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, 2) => "debug",
        (false, _) => "trace",
    };
    let filter = EnvFilter::builder().parse_lossy(format!("off,syncline={level}"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A logger that is there already would only mean that this function was called twice.
    match global.log_format {
        LogFormat::Text => log.with_target(false).with_ansi(false).try_init().ok(),
        LogFormat::Json => log.json().flatten_event(true).try_init().ok(),
    };
}
