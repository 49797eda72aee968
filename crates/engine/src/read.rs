//! Reading ahead: the next batch is fetched while the present one is worked on.

use syncline_connect::{Error, source::Reader};
use syncline_core::{batch::Batch, cursor::Position, mutant};
use tokio::{sync::mpsc, task::JoinHandle};

/// Batches that may wait between the source and the planner. With one in the source's hands and one being planned, at
/// most three are in memory.
const AHEAD: usize = 1;

/// A listing that reads one batch ahead on its own task.
pub(crate) struct ReadAhead {
    batches: mpsc::Receiver<Result<Batch, Error>>,
    task: JoinHandle<Option<Position>>,
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
                    Ok(None) => return reader.resume(),
                    Err(error) => Err(error),
                };
                let over = batch.is_err();
                if sender.send(batch).await.is_err() || over {
                    return None;
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

    /// After the last batch: where an incremental read may start ([`Reader::resume`]).
    pub(crate) async fn finish(mut self) -> Option<Position> {
        (&mut self.task).await.ok().flatten()
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.task.abort();
    }
}
