//! Ctrl-C and SIGTERM.

use std::future::Future;

use tokio::{sync::watch, task::JoinSet};

use crate::{exit::Failure, output};

/// Turns true when a person or the system asks us to stop.
pub(crate) type Cancel = watch::Receiver<bool>;

/// Exit code of a process that was told to stop twice, as shells count it.
const STOPPED_AT_ONCE: i32 = 130;

/// Runs `work` with a switch that the first signal turns. The second one ends the process at once.
pub(crate) async fn with_cancel<T, F: Future<Output = T>>(work: impl FnOnce(Cancel) -> F) -> T {
    let (sender, cancel) = watch::channel(false);
    let mut listener = JoinSet::new();
    listener.spawn(listen(sender));
    // The listener ends with the set, when the work is done.
    work(cancel).await
}

/// Ends when the switch is on. For commands that can simply be dropped.
pub(crate) async fn cancelled(mut cancel: Cancel) {
    if cancel.wait_for(|on| *on).await.is_err() {
        // The listener is gone: nobody can cancel any more.
        std::future::pending::<()>().await;
    }
}

/// Runs `work` until it ends or the switch is on. Only for work that may be dropped at any await point.
pub(crate) async fn unless_cancelled<T>(
    cancel: &Cancel,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        () = cancelled(cancel.clone()) => Err(Failure::cancelled()),
    }
}

async fn listen(sender: watch::Sender<bool>) {
    let Ok(mut signals) = Signals::new() else {
        output::note("signals cannot be heard; Ctrl-C ends the process at once");
        return sender.closed().await;
    };
    signals.next().await;
    sender.send_replace(true);
    signals.next().await;
    #[expect(clippy::disallowed_methods, reason = "asked twice: destructors are what takes too long")]
    std::process::exit(STOPPED_AT_ONCE);
}

/// What asks a process to stop.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
