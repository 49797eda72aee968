//! Where everything stands: summaries, paused schedules and health, read together and kept for a moment, so that lists,
//! health and metrics of ten thousand syncs cost the store one question a second.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use syncline_engine::service::{
    Served,
    health::{self, Health, Level},
};
use syncline_store::{
    Error,
    service::{ChainFilter, Subject, Summary},
};
use tokio::sync::Mutex;

use super::Api;

/// How old an answer may be.
const AGE_MAX: Duration = Duration::from_secs(1);
/// Runs of a chain that its health looks at.
const CHAIN_RUNS: usize = 20;

/// The last look, and when it was made.
#[derive(Default)]
pub(crate) struct Board(Mutex<Option<(Duration, Arc<Standing>)>>);

/// Where everything stood at one moment.
pub(crate) struct Standing {
    /// When.
    pub(crate) at: Timestamp,
    /// The definitions then.
    pub(crate) served: Arc<Served>,
    /// By sync; syncs that left the definitions too.
    pub(crate) summaries: BTreeMap<String, Summary>,
    /// Labels of paused schedules.
    pub(crate) paused: BTreeMap<Subject, BTreeSet<String>>,
    /// Of every sync and chain that is defined.
    pub(crate) health: BTreeMap<Subject, Health>,
    /// The worst of them.
    pub(crate) overall: Level,
}

impl Standing {
    /// The health of a sync or chain.
    pub(crate) fn health(&self, subject: &Subject) -> Option<&Health> {
        self.health.get(subject)
    }

    /// Labels of its paused schedules.
    pub(crate) fn paused(&self, subject: &Subject) -> Vec<String> {
        self.paused.get(subject).into_iter().flatten().cloned().collect()
    }
}

impl Api {
    /// Where everything stands, at most a second ago. Of several who ask at once, one asks the store.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn standing(&self) -> Result<Arc<Standing>, Error> {
        let mut last = self.0.board.0.lock().await;
        let now = self.0.clock.elapsed();
        let number = self.served().number;
        if let Some((at, standing)) = &*last
            && now.saturating_sub(*at) < AGE_MAX
            && standing.served.number == number
        {
            return Ok(Arc::clone(standing));
        }
        let standing = Arc::new(look(self).await?);
        *last = Some((now, Arc::clone(&standing)));
        Ok(standing)
    }
}

impl Api {
    /// Makes whoever asks next look anew: something was decided, and is to be seen as done.
    pub(crate) async fn look_again(&self) {
        *self.0.board.0.lock().await = None;
    }
}

async fn look(api: &Api) -> Result<Standing, Error> {
    let (store, served, at) = (&api.store, api.served(), api.clock.now());
    let summaries: BTreeMap<String, Summary> =
        store.summaries().await?.into_iter().map(|summary| (summary.sync.clone(), summary)).collect();
    let mut paused: BTreeMap<Subject, BTreeSet<String>> = BTreeMap::new();
    for state in store.schedule_states().await?.into_iter().filter(|state| state.paused_at.is_some()) {
        paused.entry(state.subject).or_default().insert(state.schedule);
    }
    let none = BTreeSet::new();
    let mut all = BTreeMap::new();
    for sync in &served.project.syncs {
        let subject = Subject::sync(sync.name.clone());
        let of = paused.get(&subject).unwrap_or(&none);
        let health = health::of_sync(sync, summaries.get(&sync.name), of, at);
        all.insert(subject, health);
    }
    for chain in &served.project.chains {
        let subject = Subject::chain(chain.name.clone());
        let filter = ChainFilter { chain: Some(chain.name.clone()), ..ChainFilter::default() };
        let runs = store.chain_runs(&filter, CHAIN_RUNS).await?;
        let of = paused.get(&subject).unwrap_or(&none);
        let health = health::of_chain(chain, &runs, of, at);
        all.insert(subject, health);
    }
    let overall = health::overall(all.values().map(|health| health.level));
    Ok(Standing { at, served, summaries, paused, health: all, overall })
}
