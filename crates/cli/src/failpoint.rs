//! Arming a failpoint from outside: builds with debug assertions only. See `docs/failpoints.md`.

use syncline_core::failpoint::{Action, PLACES, Setting, arm};

use crate::{exit::Failure, output};

/// Which failpoint is armed: `SYNCLINE_FAILPOINT=store.intend.after_commit=crash@2`.
const VARIABLE: &str = "SYNCLINE_FAILPOINT";

/// Arms what the environment asks for.
///
/// # Errors
/// When it asks for something that is not there; the hint lists what is.
pub(crate) fn start() -> Result<(), Failure> {
    #[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
    let Some(asked) = std::env::var_os(VARIABLE) else { return Ok(()) };
    let setting = asked.to_string_lossy().parse().map_err(|why| {
        Failure::usage(format!("{VARIABLE}: {why}")).hint(format!("failpoints: {}", PLACES.join(", ")))
    })?;
    if arm(setting, act) { Ok(()) } else { Err(Failure::failed("a failpoint is armed already")) }
}

/// Says where we are, in a line of its own that whoever watches standard error can wait for, and does what was asked.
fn act(setting: &Setting) {
    output::marker(&format!("syncline failpoint {}: {}", setting.place, setting.action.as_str()));
    match setting.action {
        Action::Error => {}
        Action::Crash => loop {
            std::thread::park();
        },
        // A line, or the end of standard input: somebody lets us go on.
        Action::Delay => drop(std::io::stdin().read_line(&mut String::new())),
    }
}

/// The error of a failpoint in this crate.
pub(crate) fn failure(place: &str) -> Failure {
    Failure::failed(format!("failpoint {place}: an error was asked for"))
}
