//! Standard output is for results, standard error for everything that is said about them.
//!
//! A reader that went away (`syncline plan | head`) is no error: what was to be said is said to nobody. Any other failure
//! to write results is one, and [`finish`] tells.

use std::{
    io::{IsTerminal, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use serde::Serialize;

use crate::exit::Failure;

static QUIET: AtomicBool = AtomicBool::new(false);

/// The first failure to write results.
static BROKEN: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// With `-q` only results and errors are printed.
pub(crate) fn quiet(quiet: bool) {
    QUIET.store(quiet, Relaxed);
}

pub(crate) fn is_quiet() -> bool {
    QUIET.load(Relaxed)
}

/// Prints a line of results.
pub(crate) fn line(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{}", text.as_ref()) {
        BROKEN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => line(text),
        Err(error) => self::error(&format!("a value cannot be written as JSON: {error}")),
    }
}

/// Says something that is not a result, unless `-q`.
pub(crate) fn chat(text: impl AsRef<str>) {
    if !is_quiet() {
        say(text.as_ref());
    }
}

/// Says something that an operator should read.
pub(crate) fn note(text: impl AsRef<str>) {
    if !is_quiet() {
        say(&format!("{} {}", paint("33", "note:"), text.as_ref()));
    }
}

/// Says what went wrong.
pub(crate) fn error(text: &str) {
    say(&format!("{} {text}", paint("1;31", "error:")));
}

/// Says what to do next.
pub(crate) fn hint(text: &str) {
    say(&format!("{} {text}", paint("36", "hint:")));
}

/// Says where a process is that somebody made stop or wait there.
#[cfg(debug_assertions)]
pub(crate) fn marker(text: &str) {
    say(text);
}

/// Writes a line to standard error; where that cannot be done there is nobody to tell.
fn say(text: &str) {
    writeln!(std::io::stderr().lock(), "{text}").ok();
}

/// Whether there is a person at the other end of standard error (progress bars, questions).
pub(crate) fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Colours for standard error, on a terminal that wants them.
pub(crate) fn paint(code: &str, text: &str) -> String {
    if colours() && is_terminal() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Colours for standard output, on a terminal that wants them.
pub(crate) fn paint_result(code: &str, text: &str) -> String {
    if colours() && std::io::stdout().is_terminal() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// See <https://no-color.org>.
fn colours() -> bool {
    #[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !unwanted
}

/// Writes out what is buffered.
///
/// # Errors
/// When results were lost, other than because nobody reads them any more.
pub(crate) fn finish() -> Result<(), Failure> {
    let flushed = std::io::stdout().lock().flush().err();
    let broken = BROKEN.lock().unwrap_or_else(PoisonError::into_inner).take().or(flushed);
    match broken {
        Some(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("the results cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Asks a question that is answered with `y` or `yes`; without a terminal nobody can answer.
pub(crate) fn confirmed(question: &str) -> Option<bool> {
    if !is_terminal() || !std::io::stdin().is_terminal() {
        return None;
    }
    let mut err = std::io::stderr().lock();
    write!(err, "{question} [y/N] ").ok();
    err.flush().ok();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).ok()?;
    Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
