//! Listings of several pages: links that are followed once, and reads that are asked for again.

use std::{collections::BTreeSet, time::Duration};

use sha2::{Digest, Sha256};

use super::{
    client::{Answer, Call, Client},
    errors::Doing,
};
use crate::{Error, error::Kind};

/// Tries of one page; a page is a read, so asking again is safe, and a long listing must survive a hiccup.
const TRIES: u32 = 3;

/// Throttled answers to one page before giving up; each has waited as long as it was told to.
const THROTTLED_MAX: u32 = 20;

/// Wait before the second try of a page; the third waits four times as long.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The links of a listing that were followed.
#[derive(Debug)]
pub(crate) struct Trail {
    pages_max: usize,
    pages: usize,
    /// Hashed: one that comes back would go round for ever.
    seen: BTreeSet<[u8; 16]>,
}

impl Trail {
    /// None yet, and at most so many.
    pub(crate) fn of(pages_max: usize) -> Self {
        Self { pages_max, pages: 0, seen: BTreeSet::new() }
    }

    /// The listing begins again; its pages go on counting.
    pub(crate) fn start_over(&mut self) {
        self.seen.clear();
    }

    /// # Errors
    /// A link that was followed before, and more links than a listing can have pages.
    pub(crate) fn follow(&mut self, link: &str) -> Result<(), Error> {
        self.pages += 1;
        let mut hash = [0; 16];
        hash.copy_from_slice(&Sha256::digest(link)[..16]);
        if !self.seen.insert(hash) {
            return Err(Error::new(Kind::Protocol, "the service gave the same page link twice"));
        }
        if self.pages >= self.pages_max {
            return Err(Error::new(Kind::Protocol, "the service's pages do not end"));
        }
        Ok(())
    }
}

/// Sends a read, with patience: a throttled one waits for the budget, a broken one is sent again. The answer is a success or
/// a refusal that stands.
///
/// # Errors
/// As [`Client::send`], after the last try.
pub(crate) async fn fetch(client: &Client, call: Call<'_>, doing: Doing) -> Result<Answer, Error> {
    let (mut tries, mut throttled) = (1, 0);
    loop {
        let error = match client.send(call.clone()).await {
            Ok(answer) => match answer.refusal(doing) {
                refusal if answer.status >= 400 && is_passing(&refusal) => refusal,
                _ => return Ok(answer),
            },
            Err(error) => error,
        };
        match error.kind {
            Kind::Throttled { .. } if throttled < THROTTLED_MAX => throttled += 1,
            _ if is_passing(&error) && tries < TRIES => {
                tokio::time::sleep(AGAIN_AFTER * 4_u32.pow(tries - 1)).await;
                tries += 1;
            }
            _ => return Err(error),
        }
    }
}

fn is_passing(error: &Error) -> bool {
    matches!(error.kind, Kind::Unreachable | Kind::Unanswered | Kind::Throttled { .. })
}
