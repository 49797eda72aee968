//! The definitions that a service follows: read again when they change, and kept when the newer ones are broken.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;
use syncline_connect::clock::Clock;
use syncline_core::project::Project;
use syncline_engine::service::Served;
use syncline_server::api::definitions::Definitions;
use syncline_store::service::{Definition, DefinitionKind, NewDefinition, NewEvent, ServiceStore};
use tokio::sync::{Notify, watch};

use super::reading::{Broken, Place, Reading, Stamp, read};
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
    read_at: Seen,
    /// What the last look saw.
    last: Seen,
    /// Definitions of the store that did not fit at the start: `sync NAME`, `chain NAME`.
    left_out: BTreeSet<String>,
}

/// What tells that something may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    files: Vec<(PathBuf, Stamp)>,
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
        let Fitting { reading, left_out, told } = fitting(&place, stored, |_| true).await;
        let definitions = reading.found.map_err(|broken| Failure::usage(broken.told).hint(HINT))?;
        let since = clock.now();
        let served = Served {
            project: definitions.project,
            number: 1,
            since,
            origins: definitions.origins,
            broken: told.clone(),
        };
        let (served, receiver) = watch::channel(Arc::new(served));
        let read_at = Seen { files: reading.files, revision };
        let follower = Self {
            place,
            store,
            clock,
            served,
            stored: Arc::default(),
            node: node.to_owned(),
            digest: reading.digest,
            last: read_at.clone(),
            read_at,
            left_out,
        };
        if let Some(told) = told {
            follower.tell(broken_event(since, LEFT_OUT, &told)).await?;
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
        let stamped = |(file, _): &(PathBuf, Stamp)| (file.clone(), Stamp::of(file));
        let seen = Seen { files: self.read_at.files.iter().map(stamped).collect(), revision };
        // Somebody may be in the middle of writing: files are read when they were the same twice.
        let still = seen.files == self.last.files;
        self.last = seen.clone();
        if seen == self.read_at || !still {
            return Ok(());
        }
        let stored = self.store.definitions().await?;
        let fitting = fitting(&self.place, stored, |name| self.left_out.contains(name)).await;
        let now = self.clock.now();
        if fitting.reading.digest != self.digest {
            let current = Arc::clone(&self.served.borrow());
            let (next, event) = next(&current, &fitting, now);
            // What cannot be told now is told by the next look, which finds the same.
            self.tell(event).await?;
            self.served.send_replace(Arc::new(next));
        }
        self.digest = fitting.reading.digest;
        self.read_at = Seen { files: fitting.reading.files, revision };
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

#[async_trait]
impl Definitions for Checks {
    async fn check(&self, kind: DefinitionKind, name: &str, body: Option<&str>) -> Result<(), Vec<String>> {
        let failed = |error: syncline_store::Error| vec![error.to_string()];
        let mut stored = self.store.definitions().await.map_err(failed)?;
        stored.retain(|d| (d.stored.kind, d.stored.name.as_str()) != (kind, name));
        if let Some(body) = body {
            let (name, body, by) = (name.to_owned(), Some(body.to_owned()), String::new());
            let stored_as = NewDefinition { kind, name, body, by, at: Timestamp::UNIX_EPOCH };
            stored.push(Definition { version: 0, stored: stored_as });
        }
        let found = read_all(&self.place, stored).await.found;
        found.map(|_| ()).map_err(|broken| broken.told.lines().map(str::to_owned).collect())
    }

    fn changed(&self) {
        self.stored.notify_one();
    }
}

const HINT: &str = "`syncline check` shows every problem with its place";
const BROKEN: &str = "definition.broken";

/// Reading and parsing may take a moment.
async fn read_all(place: &Place, stored: Vec<Definition>) -> Reading {
    let place = place.clone();
    #[expect(clippy::disallowed_methods, reason = "awaited at once")]
    let reading = tokio::task::spawn_blocking(move || read(&place, &stored)).await;
    reading.unwrap_or_else(|error| Reading {
        found: Err(Broken {
            told: format!("the definitions could not be read: {error}"),
            stored: BTreeSet::new(),
        }),
        digest: [0; 32],
        files: Vec::new(),
    })
}

/// A reading, and what had to be left out for it.
struct Fitting {
    reading: Reading,
    left_out: BTreeSet<String>,
    /// Why, for people; none: nothing was.
    told: Option<String>,
}

/// Reads, and again without definitions of the store that do not fit, where they `may` be left out.
async fn fitting(place: &Place, mut stored: Vec<Definition>, may: impl Fn(&String) -> bool) -> Fitting {
    let mut reading = read_all(place, stored.clone()).await;
    let (mut left_out, mut told) = (BTreeSet::new(), Vec::new());
    while let Err(broken) = &reading.found {
        let before = stored.len();
        let named = |d: &Definition| format!("{} {}", d.stored.kind.as_str(), d.stored.name);
        if broken.stored.iter().all(&may) {
            stored.retain(|definition| !broken.stored.contains(&named(definition)));
        }
        if stored.len() == before {
            break;
        }
        left_out.extend(broken.stored.iter().cloned());
        told.push(broken.told.clone());
        reading.found = read_all(place, stored.clone()).await.found;
    }
    Fitting { reading, left_out, told: (!told.is_empty()).then(|| told.join("\n")) }
}

/// What is served after a reading that differs from the one before, and what is told about it.
fn next(current: &Served, fitting: &Fitting, now: Timestamp) -> (Served, NewEvent) {
    match &fitting.reading.found {
        Err(broken) => {
            let next = Served { broken: Some(broken.told.clone()), ..current.clone() };
            (next, broken_event(now, KEPT, &broken.told))
        }
        Ok(definitions) => {
            let changes = Changes::between(&current.project, &definitions.project);
            let next = Served {
                project: Arc::clone(&definitions.project),
                number: current.number + 1,
                since: now,
                origins: definitions.origins.clone(),
                broken: fitting.told.clone(),
            };
            let (kind, start) = match (&current.broken, &fitting.told) {
                (Some(_), None) => ("definition.recovered", "the definitions are right again"),
                _ => ("definition.changed", "changed definitions are served"),
            };
            let message = format!("{start}: {}", changes.sentence());
            (next, event(now, kind, message, changes.data()))
        }
    }
}

/// What is done about definitions that are broken.
const KEPT: &str = "the newer definitions are broken, the last good ones are served";
const LEFT_OUT: &str = "stored definitions that do not fit are left out";

fn broken_event(now: Timestamp, done: &str, broken: &str) -> NewEvent {
    let first = broken.lines().next().unwrap_or_default();
    let more = match broken.lines().count() {
        0 | 1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    let problems: Vec<&str> = broken.lines().collect();
    event(now, BROKEN, format!("{done}: {first}{more}"), json!({ "problems": problems }))
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
        let parts =
            [some(&self.added, "added"), some(&self.changed, "changed"), some(&self.removed, "removed")];
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
