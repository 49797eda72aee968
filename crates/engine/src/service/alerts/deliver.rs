//! The loop: looks what holds, stores what changes, and delivers what waits. Any node may run it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use jiff::Timestamp;
use syncline_connect::clock::Clock;
use syncline_core::{alert::AlertKind, project::Project, run::Status};
use syncline_store::{
    RunId,
    service::{
        AlertState, ChainFilter, ChainRun, NewEvent, RunFilter, ServiceStore, Subject, SubjectKind, Summary,
    },
};
use tokio::sync::watch;

use super::{
    Messenger, Notice, Pending,
    change::{Change, changes},
    judge::{FULL_RUNS, Known, Past},
};
use crate::{
    Error,
    service::{Served, health},
};

/// How often to look.
pub const EVERY: Duration = Duration::from_secs(15);
/// How long a message is one node's to deliver; longer than a delivery may take.
const TAKEN: Duration = Duration::from_secs(60);
/// How long one receiver may take.
const TELL: Duration = Duration::from_secs(45);
/// Deliveries of a message before it is given up: about three hours.
pub const ATTEMPTS_MAX: u32 = 20;
/// The longest pause between two of them.
const PAUSE_MAX: Duration = Duration::from_secs(900);
/// Runs among which full ones are looked for.
const RUNS_MAX: usize = 200;
/// Runs of a chain that are looked at.
const CHAIN_RUNS: usize = 20;
/// Messages that are delivered in one look; the rest waits for the next.
const DELIVERED_MAX: usize = 20;

/// What the loop needs.
pub struct Alerts {
    /// Where states are kept.
    pub store: Arc<dyn ServiceStore>,
    /// The definitions in force.
    pub served: watch::Receiver<Arc<Served>>,
    /// How receivers are reached.
    pub messenger: Arc<dyn Messenger>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Full runs of a sync by its newest run, so that they are looked up once.
type Memory = BTreeMap<String, (RunId, Vec<(RunId, u64)>)>;

impl Alerts {
    /// Looks every [`EVERY`] until `stop` is true. A store that fails is tried again at the next look.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let began = self.clock.now();
        let mut memory = Memory::new();
        loop {
            if let Err(error) = self.look(&mut memory, began).await {
                tracing::warn!(error = %error, "alerts: the store failed; the next look is in {} s", EVERY.as_secs());
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                stopped = stop.wait_for(|stop| *stop) => {
                    drop(stopped);
                    return;
                }
            }
        }
    }

    /// Looks once: stores what has changed, and delivers what waits. Returns how many messages were delivered.
    ///
    /// # Errors
    /// The store failed; what was stored before stays.
    pub async fn once(&self) -> Result<usize, Error> {
        let now = self.clock.now();
        self.look(&mut Memory::new(), now).await
    }

    async fn look(&self, memory: &mut Memory, began: Timestamp) -> Result<usize, Error> {
        let served = Arc::clone(&self.served.borrow());
        let states = self.store.alert_states().await?;
        if served.project.alerts.is_empty() && states.iter().all(|s| !s.active && s.message.is_none()) {
            return Ok(0);
        }
        let now = self.clock.now();
        for change in self.changes(&served.project, &states, memory, began.max(served.since), now).await? {
            self.store_change(&change, now).await?;
        }
        self.deliver(&served.project).await
    }

    async fn changes(
        &self,
        project: &Project,
        states: &[AlertState],
        memory: &mut Memory,
        served: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Change>, Error> {
        let summaries = self.store.summaries().await?;
        let mut paused: BTreeMap<Subject, BTreeSet<String>> = BTreeMap::new();
        for state in self.store.schedule_states().await? {
            if state.paused_at.is_some() {
                paused.entry(state.subject).or_default().insert(state.schedule);
            }
        }
        let summaries: BTreeMap<&str, &Summary> = summaries.iter().map(|s| (s.sync.as_str(), s)).collect();
        if project.alerts.iter().any(|rule| rule.on.contains(&AlertKind::Anomaly)) {
            self.remember(project, &summaries, memory).await?;
        }
        let mut chains: BTreeMap<&str, Vec<ChainRun>> = BTreeMap::new();
        for chain in &project.chains {
            let filter = ChainFilter { chain: Some(chain.name.clone()), ..ChainFilter::default() };
            chains.insert(&chain.name, self.store.chain_runs(&filter, CHAIN_RUNS).await?);
        }
        let none = BTreeSet::new();
        let mut known = Vec::with_capacity(project.syncs.len() + project.chains.len());
        for sync in &project.syncs {
            let subject = Subject::sync(&sync.name);
            let summary = summaries.get(sync.name.as_str()).copied();
            let full = memory.get(&sync.name).map_or(&[][..], |(_, full)| full);
            let health = health::of_sync(sync, summary, paused.get(&subject).unwrap_or(&none), now);
            known.push(Known {
                subject,
                schedules: &sync.schedules,
                health,
                past: Past::Sync { summary, full },
            });
        }
        for chain in &project.chains {
            let subject = Subject::chain(&chain.name);
            let runs = chains.get(chain.name.as_str()).map_or(&[][..], Vec::as_slice);
            let health = health::of_chain(chain, runs, paused.get(&subject).unwrap_or(&none), now);
            known.push(Known { subject, schedules: &chain.schedules, health, past: Past::Chain(runs) });
        }
        Ok(changes(&project.alerts, &known, states, served, now))
    }

    /// Looks the full runs of the syncs up that have run since the last look.
    async fn remember(
        &self,
        project: &Project,
        summaries: &BTreeMap<&str, &Summary>,
        memory: &mut Memory,
    ) -> Result<(), Error> {
        for sync in &project.syncs {
            let Some(last) = summaries.get(sync.name.as_str()).and_then(|s| s.last.as_ref()) else {
                continue;
            };
            let stale = memory.get(&sync.name).is_none_or(|(run, _)| *run != last.id);
            if !stale || !last.status.is_final() {
                continue;
            }
            let filter = RunFilter { sync: Some(sync.name.clone()), ..RunFilter::default() };
            let runs = self.store.page_runs(&filter, RUNS_MAX).await?;
            let complete = |status| matches!(status, Status::Succeeded | Status::Partial);
            let full = runs
                .iter()
                .filter(|run| run.mode == "full" && complete(run.status))
                .map(|run| (run.id, run.counts.read))
                .take(FULL_RUNS + 1);
            memory.insert(sync.name.clone(), (last.id, full.collect()));
        }
        memory.retain(|name, _| project.sync(name).is_some());
        Ok(())
    }

    /// Stores a change, and an event with it. Where another node was first, it has done the same.
    async fn store_change(&self, change: &Change, now: Timestamp) -> Result<(), Error> {
        if !self.store.swap_alert(change.previous.as_ref(), &change.next).await? {
            return Ok(());
        }
        let next = &change.next;
        if change.previous.as_ref().is_some_and(|p| p.active) == next.active {
            return Ok(());
        }
        let word = if next.active { "alert.active" } else { "alert.over" };
        let message = format!(
            "{}: {} {}",
            next.subject,
            next.kind.as_str(),
            if next.active { "holds" } else { "is over" }
        );
        self.event(word, next, message, now).await
    }

    /// Delivers the messages that wait. Of several nodes one takes a message on; when it dies with it, another one does.
    async fn deliver(&self, project: &Project) -> Result<usize, Error> {
        let now = self.clock.now();
        let due = |s: &AlertState| s.message.is_some() && s.try_at.is_none_or(|at| at <= now);
        let mut delivered = 0;
        for state in self.store.alert_states().await?.into_iter().filter(due).take(DELIVERED_MAX) {
            let taken = AlertState { try_at: Some(after(now, TAKEN)), ..state.clone() };
            if !self.store.swap_alert(Some(&state), &taken).await? {
                continue;
            }
            let pending =
                state.message.as_ref().and_then(|m| serde_json::from_value::<Pending>(m.clone()).ok());
            let Some(pending) = pending else {
                // of another version: it cannot be told
                self.store
                    .swap_alert(Some(&taken), &AlertState { message: None, try_at: None, ..taken.clone() })
                    .await?;
                continue;
            };
            let left = self.tell(project, &pending).await;
            delivered += usize::from(left.is_empty());
            self.record(taken, pending, left).await?;
        }
        Ok(delivered)
    }

    /// Tells every receiver that was not told yet; returns those that could not be, with the reason.
    async fn tell(&self, project: &Project, pending: &Pending) -> Vec<(String, (String, String))> {
        let tries = pending.to.iter().map(|name| async move {
            let Some(receiver) = project.receivers.iter().find(|r| r.name == *name) else {
                // it was taken out of the project
                return None;
            };
            let telling = self.messenger.tell(project, receiver, &pending.notice, self.clock.now());
            let told = tokio::time::timeout(TELL, telling).await;
            let told = told.unwrap_or_else(|_| {
                Err(("timeout".to_owned(), format!("no answer within {} s", TELL.as_secs())))
            });
            told.err().map(|why| (name.clone(), why))
        });
        join_all(tries).await.into_iter().flatten().collect()
    }

    /// Stores how a delivery went.
    async fn record(
        &self,
        taken: AlertState,
        pending: Pending,
        left: Vec<(String, (String, String))>,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let told_at = if left.len() < pending.to.len() { Some(now) } else { taken.told_at };
        let title = pending.notice.title.clone();
        let mut next = AlertState { told_at, ..taken.clone() };
        let (word, message) = match left.first() {
            None => {
                next = AlertState { message: None, attempts: 0, try_at: None, ..next };
                ("alert.sent", format!("{title}: told to {}", pending.to.join(", ")))
            }
            Some((name, (code, why))) => {
                next.attempts += 1;
                tracing::warn!(receiver = %name, code = %code, attempt = next.attempts, "an alert was not delivered: {why}");
                if next.attempts >= ATTEMPTS_MAX {
                    next = AlertState { message: None, try_at: None, ..next };
                    (
                        "alert.lost",
                        format!("{title}: given up after {ATTEMPTS_MAX} attempts: receiver {name:?}: {why}"),
                    )
                } else {
                    let to = left.iter().map(|(name, _)| name.clone()).collect();
                    let rest = Pending { notice: pending.notice, to };
                    next.message = serde_json::to_value(rest).ok();
                    next.try_at = Some(after(now, pause(next.attempts)));
                    ("alert.delayed", format!("{title}: receiver {name:?}: {why}"))
                }
            }
        };
        // where it changed meanwhile, something newer is told
        if self.store.swap_alert(Some(&taken), &next).await? {
            self.event(word, &next, message, now).await?;
        }
        Ok(())
    }

    async fn event(
        &self,
        word: &str,
        state: &AlertState,
        message: String,
        now: Timestamp,
    ) -> Result<(), Error> {
        let event = NewEvent {
            at: now,
            kind: word.to_owned(),
            subject: (state.subject.kind != SubjectKind::Backfill).then(|| state.subject.clone()),
            run: None,
            correlation: None,
            message,
            data: serde_json::json!({ "rule": state.rule, "alert": state.kind.as_str(), "active": state.active }),
        };
        self.store.append_events(&[event]).await?;
        Ok(())
    }
}

/// Whether messages reach a receiver; nothing is stored.
///
/// # Errors
/// Those of [`Messenger::tell`].
pub async fn test(
    messenger: &dyn Messenger,
    project: &Project,
    receiver: &syncline_core::alert::Receiver,
    now: Timestamp,
) -> Result<(), (String, String)> {
    messenger.tell(project, receiver, &Notice::test(&receiver.name, now), now).await
}

/// 10 s, doubling.
fn pause(attempts: u32) -> Duration {
    Duration::from_secs(10).saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(PAUSE_MAX)
}

fn after(now: Timestamp, span: Duration) -> Timestamp {
    now.checked_add(span).unwrap_or(Timestamp::MAX)
}
