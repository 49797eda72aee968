//! The definitions that a service follows: read again when they change, and kept when the newer ones are broken.

use std::{collections::BTreeMap, fmt::Debug, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::json;
use syncline_connect::clock::Clock;
use syncline_core::project::Project;
use syncline_engine::service::Served;
use syncline_store::service::{Definition, DefinitionKind, NewDefinition, NewEvent, ServiceStore};
use tokio::sync::{Notify, watch};

use super::reading::{Place, Reading, Stamp, read, stamps};
use crate::{exit::Failure, show, signals::Cancel};

/// How often files and store are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Most names in an event.
const NAMES_TOLD: usize = 100;

/// Where the definitions come from, and what was seen of them.
pub(crate) struct Follower {
    place: Place,
    store: Arc<dyn ServiceStore>,
    clock: Arc<dyn Clock>,
    served: watch::Sender<Arc<Served>>,
    /// Somebody stored a definition.
    stored: Arc<Notify>,
    node: String,
    /// Of the newest reading.
    digest: [u8; 32],
    files: Vec<PathBuf>,
    read_at: Seen,
    /// What the last look saw.
    last: Seen,
}

/// What tells that something may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    stamps: Vec<Stamp>,
    revision: u64,
}

impl Follower {
    /// Reads the definitions for the first time. What the API stored and does not fit the project any more is left out, and
    /// told in [`Served::broken`]: one definition does not keep a service from starting.
    ///
    /// # Errors
    /// When the project itself is broken, or the store.
    pub(crate) async fn start(
        place: Place,
        store: Arc<dyn ServiceStore>,
        clock: Arc<dyn Clock>,
        node: &str,
    ) -> Result<(Self, watch::Receiver<Arc<Served>>), Failure> {
        let revision = store.definitions_revision().await?;
        let stored = store.definitions().await?;
        let reading = reading(&place, stored.clone()).await;
        let (definitions, broken) = match reading.found {
            Ok(definitions) => (definitions, None),
            Err(broken) => {
                let alone = stored.into_iter().filter(|d| d.stored.kind == DefinitionKind::Project).collect();
                let definitions = self::reading(&place, alone).await.found;
                (definitions.map_err(|broken| Failure::usage(broken).hint(HINT))?, Some(broken))
            }
        };
        let since = clock.now();
        let served = Served {
            project: definitions.project,
            number: 1,
            since,
            origins: definitions.origins,
            broken: broken.clone(),
        };
        let seen = Seen { stamps: stamps(&reading.files), revision };
        let (served, receiver) = watch::channel(Arc::new(served));
        let (digest, files) = (reading.digest, reading.files);
        let node = node.to_owned();
        let follower = Self {
            place,
            store,
            clock,
            served,
            stored: Arc::default(),
            node,
            digest,
            files,
            read_at: seen.clone(),
            last: seen,
        };
        if let Some(broken) = broken {
            follower.tell(broken_event(since, &broken)).await?;
        }
        Ok((follower, receiver))
    }

    /// What checks definitions before they are stored.
    pub(crate) fn checks(&self) -> Checks {
        let (place, store) = (self.place.clone(), Arc::clone(&self.store));
        Checks { place, store, stored: Arc::clone(&self.stored) }
    }

    /// Follows changes until it is stopped.
    pub(crate) async fn follow(mut self, mut stop: Cancel) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.stored.notified() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "the definitions could not be looked at; they stay as they are");
            }
        }
    }

    /// Looks whether something changed, and takes it over.
    async fn look(&mut self) -> Result<(), syncline_store::Error> {
        let revision = self.store.definitions_revision().await?;
        let seen = Seen { stamps: stamps(&self.files), revision };
        // Somebody may be in the middle of writing: files are read when they were the same twice.
        let still = seen.stamps == self.last.stamps;
        self.last = seen.clone();
        if seen == self.read_at || !still {
            return Ok(());
        }
        let stored = self.store.definitions().await?;
        let reading = reading(&self.place, stored).await;
        let now = self.clock.now();
        if reading.digest != self.digest {
            let current = Arc::clone(&self.served.borrow());
            let (next, event) = next(&current, &reading, now);
            // What cannot be told now is told by the next look, which finds the same.
            self.tell(event).await?;
            self.served.send_replace(Arc::new(next));
        }
        self.digest = reading.digest;
        self.files = reading.files;
        self.read_at = Seen { stamps: stamps(&self.files), revision };
        self.last = self.read_at.clone();
        Ok(())
    }

    async fn tell(&self, mut event: NewEvent) -> Result<(), syncline_store::Error> {
        if let Some(data) = event.data.as_object_mut() {
            data.insert("node".to_owned(), self.node.clone().into());
        }
        match event.kind.as_str() {
            BROKEN => tracing::error!("{}", event.message),
            _ => tracing::info!("{}", event.message),
        }
        self.store.append_events(&[event]).await.map(|_| ())
    }
}

/// Checks definitions that the API is asked to store.
pub(crate) struct Checks {
    place: Place,
    store: Arc<dyn ServiceStore>,
    stored: Arc<Notify>,
}

impl Checks {
    /// What would be wrong with the whole, were this definition in it.
    ///
    /// # Errors
    /// Every problem, one a line.
    pub(crate) async fn check(&self, kind: DefinitionKind, name: &str, body: Option<&str>) -> Result<(), Vec<String>> {
        let failed = |error: syncline_store::Error| vec![error.to_string()];
        let mut stored = self.store.definitions().await.map_err(failed)?;
        stored.retain(|d| (d.stored.kind, d.stored.name.as_str()) != (kind, name));
        if let Some(body) = body {
            let (name, body, by) = (name.to_owned(), Some(body.to_owned()), String::new());
            stored.push(Definition { version: 0, stored: NewDefinition { kind, name, body, by, at: Timestamp::UNIX_EPOCH } });
        }
        let found = reading(&self.place, stored).await.found;
        found.map(|_| ()).map_err(|problems| problems.lines().map(str::to_owned).collect())
    }

    /// Says that the store holds new definitions.
    pub(crate) fn changed(&self) {
        self.stored.notify_one();
    }
}

const HINT: &str = "`syncline check` shows every problem with its place";
const BROKEN: &str = "definition.broken";

/// Reading and parsing may take a moment.
async fn reading(place: &Place, stored: Vec<Definition>) -> Reading {
    let place = place.clone();
    #[expect(clippy::disallowed_methods, reason = "awaited at once")]
    let reading = tokio::task::spawn_blocking(move || read(&place, &stored)).await;
    reading.unwrap_or_else(|error| Reading {
        found: Err(format!("the definitions could not be read: {error}")),
        digest: [0; 32],
        files: Vec::new(),
    })
}

/// What is served after a reading that differs from the one before, and what is told about it.
fn next(current: &Served, reading: &Reading, now: Timestamp) -> (Served, NewEvent) {
    match &reading.found {
        Err(broken) => {
            let next = Served { broken: Some(broken.clone()), ..current.clone() };
            (next, broken_event(now, broken))
        }
        Ok(definitions) => {
            let changes = Changes::between(&current.project, &definitions.project);
            let recovered = current.broken.is_some();
            let next = Served {
                project: Arc::clone(&definitions.project),
                number: current.number + 1,
                since: now,
                origins: definitions.origins.clone(),
                broken: None,
            };
            let (kind, start) = match recovered {
                true => ("definition.recovered", "the definitions are right again"),
                false => ("definition.changed", "changed definitions are served"),
            };
            let message = format!("{start}: {}", changes.sentence());
            (next, event(now, kind, message, changes.data()))
        }
    }
}

fn broken_event(now: Timestamp, broken: &str) -> NewEvent {
    let first = broken.lines().next().unwrap_or_default();
    let message = match broken.lines().count() {
        0 | 1 => format!("the newer definitions are broken, the last good ones are served: {first}"),
        n => format!("the newer definitions are broken, the last good ones are served: {first} (and {} more)", n - 1),
    };
    event(now, BROKEN, message, json!({ "problems": broken.lines().collect::<Vec<_>>() }))
}

fn event(at: Timestamp, kind: &str, message: String, data: serde_json::Value) -> NewEvent {
    NewEvent { at, kind: kind.to_owned(), subject: None, run: None, correlation: None, message, data }
}

/// Names of syncs and chains that differ between two projects.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
}

impl Changes {
    fn between(old: &Project, new: &Project) -> Self {
        let mut changes = Self::default();
        changes.add("sync", &by_name(&old.syncs, |s| &s.name), &by_name(&new.syncs, |s| &s.name));
        changes.add("chain", &by_name(&old.chains, |c| &c.name), &by_name(&new.chains, |c| &c.name));
        changes
    }

    fn add(&mut self, kind: &str, old: &BTreeMap<&str, String>, new: &BTreeMap<&str, String>) {
        let named = |name: &&str| format!("{kind} {name}");
        self.added.extend(new.keys().filter(|name| !old.contains_key(*name)).map(named));
        self.removed.extend(old.keys().filter(|name| !new.contains_key(*name)).map(named));
        let changed = new.iter().filter(|(name, now)| old.get(*name).is_some_and(|before| before != *now));
        self.changed.extend(changed.map(|(name, _)| named(name)));
    }

    fn sentence(&self) -> String {
        let some = |names: &Vec<String>, word: &str| {
            (!names.is_empty()).then(|| format!("{} {word}", show::count(names.len() as u64)))
        };
        let parts = [some(&self.added, "added"), some(&self.changed, "changed"), some(&self.removed, "removed")];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "no sync and no chain differs".to_owned() } else { parts.join(", ") }
    }

    fn data(&self) -> serde_json::Value {
        let some = |names: &Vec<String>| names.iter().take(NAMES_TOLD).cloned().collect::<Vec<_>>();
        json!({ "added": some(&self.added), "changed": some(&self.changed), "removed": some(&self.removed) })
    }
}

/// Definitions by name, in a form in which equal ones are equal: `Debug` shows all of a sync or chain.
fn by_name<'p, T: Debug>(items: &'p [T], name: impl Fn(&'p T) -> &'p String) -> BTreeMap<&'p str, String> {
    items.iter().map(|item| (name(item).as_str(), format!("{item:?}"))).collect()
}
