//! Reading ahead: the next batch is fetched while the present one is worked on.

use syncline_connect::{Error, source::Reader};
use syncline_core::{batch::Batch, cursor::Position, mutant};
use tokio::{sync::mpsc, task::JoinHandle};

/// Batches that may wait between the source and the planner. With one in the source's hands and one being planned, at
/// most three are in memory.
const AHEAD: usize = 1;

/// What a complete listing tells at its end.
#[derive(Debug, Default)]
pub(crate) struct End {
    /// Where an incremental read may start ([`Reader::resume`]).
    pub(crate) resume: Option<Position>,
    /// Why it is not the whole ([`Reader::shortfall`]).
    pub(crate) shortfall: Option<String>,
}

/// A listing that reads one batch ahead on its own task.
pub(crate) struct ReadAhead {
    batches: mpsc::Receiver<Result<Batch, Error>>,
    task: JoinHandle<End>,
}

impl ReadAhead {
    /// Takes over an open listing.
    pub(crate) fn start(mut reader: Box<dyn Reader>) -> Self {
        let (sender, batches) = mpsc::channel(AHEAD);
        #[expect(clippy::disallowed_methods, reason = "awaited by `finish`, aborted by drop")]
        let task = tokio::spawn(async move {
            loop {
                let batch = match reader.next().await {
                    Ok(Some(batch)) => Ok(batch),
                    Ok(None) => return End { resume: reader.resume(), shortfall: reader.shortfall() },
                    Err(error) => Err(error),
                };
                let over = batch.is_err();
                if sender.send(batch).await.is_err() || over {
                    return End::default();
                }
            }
        });
        Self { batches, task }
    }

    /// The next batch; `None` when the listing is complete.
    pub(crate) async fn next(&mut self) -> Result<Option<Batch>, Error> {
        match self.batches.recv().await.transpose() {
            Err(_) if mutant!(FailedListingComplete) => Ok(None),
            batch => batch,
        }
    }

    /// After the last batch.
    pub(crate) async fn finish(mut self) -> End {
        (&mut self.task).await.unwrap_or_default()
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.task.abort();
    }
}
