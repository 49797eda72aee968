//! A store that fails is asked again: a service outlives the restart of its database.

use std::time::Duration;

use syncline_store::Error;

/// First wait after the store failed; doubles up to [`WAIT_MAX`].
const WAIT: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How long to wait before the store is asked again.
pub(super) struct Patience(Duration);

impl Patience {
    pub(super) fn new() -> Self {
        Self(WAIT)
    }

    /// Waits, longer each time.
    pub(super) async fn wait(&mut self, doing: &str, error: &Error) {
        tracing::warn!(error = %error, "{doing} failed; it is tried again in {:?}", self.0);
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(WAIT_MAX);
    }
}

/// The claim was taken over: nothing more is to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost;

/// Tells a lost claim from a store that failed.
pub(super) fn lost<T>(answer: Result<T, Error>) -> Result<Result<T, Lost>, Error> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(Error::Stale { .. }) => Ok(Err(Lost)),
        Err(error) => Err(error),
    }
}

/// Asks the store until it answers, with waits between. It has no end of its own: whoever cannot wait drops the future,
/// as a node does with the runs of claims that it could not renew.
macro_rules! persist {
    ($doing:expr, $ask:expr) => {{
        let mut patience = $crate::service::persist::Patience::new();
        loop {
            match $ask.await {
                Ok(answer) => break answer,
                Err(error) => patience.wait($doing, &error).await,
            }
        }
    }};
}
pub(super) use persist;
