//! A node: claims what is due, has it carried out, keeps its claims alive, and lets go of them when it stops.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Deserialize;
use syncline_core::run::Status;
use syncline_store::{
    Error,
    service::{Claim, HEARTBEAT, Limits, NodeBeat, Retention},
};
use tokio::{
    sync::watch,
    task::{self, JoinError, JoinSet},
};
use tracing::Instrument;

use super::{
    Done, Executor, Order,
    control::Control,
    held::{Held, InHand},
    persist::{Lost, lost, persist},
    retry, scheduler, spans,
};

/// How often a node looks for work that nobody told it of.
const POLL: Duration = Duration::from_secs(1);
/// How often claims that could not be renewed are looked at.
const WATCH: Duration = Duration::from_secs(1);
/// How long one renewal may take before it is tried anew.
const RENEWAL_MAX: Duration = Duration::from_secs(8);
/// How often runs of dead processes are closed.
const CLOSE: Duration = Duration::from_secs(60);
/// How often what is old is forgotten, and how many times in a row.
const FORGET: Duration = Duration::from_secs(3600);
const FORGET_MAX: usize = 1000;
/// Claims of one transaction.
const BATCH: usize = 500;
/// An occurrence whose claims were cut off so often is given up: it takes its node with it.
const ATTEMPTS_MAX: u32 = 20;

/// What may be changed while serving.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Settings {
    /// Runs of this node at once.
    pub(super) parallel: usize,
    pub(super) limits: Limits,
    /// Nothing is begun.
    pub(super) paused: bool,
}

/// Setting `limits`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SetLimits {
    total: Option<usize>,
    connections: BTreeMap<String, usize>,
}

/// A node of the service.
pub struct Node {
    control: Control,
    executor: Arc<dyn Executor>,
    beat: NodeBeat,
    held: Arc<Held>,
    settings: watch::Sender<Settings>,
}

impl Node {
    /// A node called `name`, which no other process has. Settings of the store go before the project's options: `parallel` (a
    /// number), `limits` (`{"total": 10, "connections": {"erp": 2}}`), `paused` (a boolean).
    pub fn new(control: Control, executor: Arc<dyn Executor>, name: String, version: String) -> Self {
        let beat = NodeBeat { node: name, version, started_at: control.clock.now(), running: 0 };
        Self { control, executor, beat, held: Arc::default(), settings: watch::Sender::default() }
    }

    /// Serves until `stop` turns true, then lets the runs end: nothing new is claimed, what runs is asked to stop after the
    /// batch in hand, and what has not ended after the project's `grace` is dropped and released. A store that fails is
    /// asked again; it never ends the node.
    ///
    /// Dropping the future is as a crash: what it held is carried out by others once the leases are over.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let ready = async {
            let store = &self.control.store;
            persist!("closing what dead processes left", store.close_interrupted(self.control.clock.now()));
            self.refresh().await;
        };
        tokio::select! {
            () = ready => {}
            () = stopped(&mut stop) => return,
        }
        let upkeep = async {
            tokio::join!(
                self.keep_claims(),
                self.keep_house(),
                scheduler::run(&self.control, self.settings.subscribe())
            )
        };
        tokio::select! {
            () = self.work(stop) => {}
            _ = upkeep => {}
        }
    }

    /// Claims and carries out, until told to stop and everything has ended.
    async fn work(&self, mut stop: watch::Receiver<bool>) {
        let (stops, stopping) = watch::channel(false);
        let mut runs: JoinSet<()> = JoinSet::new();
        let mut claims: BTreeMap<task::Id, Claim> = BTreeMap::new();
        while !*stop.borrow() {
            let mut nap = POLL;
            match self.claim(runs.len()).await {
                Ok((claimed, next)) => {
                    let more = !claimed.is_empty();
                    nap = next;
                    for (claim, hand) in claimed {
                        let id = self.begin(&mut runs, claim.clone(), hand, stopping.clone());
                        claims.insert(id, claim);
                    }
                    if more {
                        continue;
                    }
                }
                Err(error) => tracing::warn!(error = %error, "looking for work failed; it is tried again"),
            }
            tokio::select! {
                () = stopped(&mut stop) => {}
                () = self.control.woken.notified() => {}
                Some(ended) = runs.join_next_with_id() => self.ended(ended, &mut claims).await,
                () = tokio::time::sleep(nap) => {}
            }
        }
        stops.send_replace(true);
        self.held.stop_all();
        let grace = self.control.served().project.server.grace;
        let drained = tokio::time::timeout(grace, async {
            while let Some(ended) = runs.join_next_with_id().await {
                self.ended(ended, &mut claims).await;
            }
        });
        if drained.await.is_err() {
            let left = self.held.claims();
            tracing::warn!(
                runs = left.len(),
                "runs did not end in time; they are dropped, and go on elsewhere"
            );
            runs.shutdown().await;
            if let Err(error) = self.control.store.release(&left, self.control.clock.now()).await {
                tracing::warn!(error = %error, "claims could not be released; they end by themselves");
            }
        }
    }

    /// Claims what is due, up to the free slots, and tells when to look again. The cheap question comes first.
    async fn claim(&self, running: usize) -> Result<(Vec<(Claim, InHand)>, Duration), Error> {
        let settings = self.settings.borrow().clone();
        let free = settings.parallel.saturating_sub(running).min(BATCH);
        if free == 0 || settings.paused {
            return Ok((Vec::new(), POLL));
        }
        let store = &self.control.store;
        let now = self.control.clock.now();
        match store.next_due().await? {
            None => return Ok((Vec::new(), POLL)),
            Some(due) if due > now => {
                let left = Duration::try_from(due.duration_since(now)).unwrap_or(POLL);
                return Ok((Vec::new(), left.clamp(Duration::from_millis(1), POLL)));
            }
            Some(_) => {}
        }
        let asked = self.control.clock.elapsed();
        let claims = store.claim_due(&self.beat.node, &settings.limits, free, now).await?;
        let held = claims.into_iter().map(|claim| (claim.clone(), self.held.take(claim.id, asked)));
        Ok((held.collect(), POLL))
    }

    fn begin(
        &self,
        runs: &mut JoinSet<()>,
        claim: Claim,
        hand: InHand,
        stopping: watch::Receiver<bool>,
    ) -> task::Id {
        let id = claim.id;
        let project = Arc::clone(&self.control.served.borrow().project);
        let order = Order { claim, project, stopping };
        let handle = runs.spawn(carry_out(self.control.clone(), Arc::clone(&self.executor), order, hand));
        self.held.carried_out_by(id, handle.clone());
        handle.id()
    }

    /// A run ended; one that ended by a fault of ours is closed here, so that it does not come back for ever.
    async fn ended(&self, ended: Result<(task::Id, ()), JoinError>, claims: &mut BTreeMap<task::Id, Claim>) {
        let (id, fault) = match &ended {
            Ok((id, ())) => (*id, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        let Some(claim) = claims.remove(&id).filter(|_| fault) else { return };
        let error = (
            "fault".to_owned(),
            "the run ended by a fault in Syncline; please report this as a bug".to_owned(),
        );
        let end = retry::end(&self.control, &claim, Done { status: Status::Failed, error: Some(error) });
        if let Err(error) = self.control.store.finish(&claim.id, end).await {
            tracing::warn!(error = %error, "the end of a run could not be recorded");
        }
    }

    /// Renews the claims, and drops the runs whose claim is lost or can no longer be known to hold.
    async fn keep_claims(&self) {
        let mut wait = HEARTBEAT;
        let renew = async {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.control.cancelled.notified() => {}
                }
                let renewed = tokio::time::timeout(RENEWAL_MAX, self.renew()).await;
                wait = if matches!(renewed, Ok(Ok(()))) { HEARTBEAT } else { WATCH };
            }
        };
        let look = async {
            loop {
                tokio::time::sleep(WATCH).await;
                let dropped = self.held.drop_expired(self.control.clock.elapsed());
                if dropped > 0 {
                    tracing::error!(
                        runs = dropped,
                        "claims could not be renewed in time; their runs are dropped"
                    );
                }
            }
        };
        tokio::join!(renew, look);
    }

    async fn renew(&self) -> Result<(), Error> {
        let claims = self.held.claims();
        for claims in claims.chunks(BATCH) {
            let asked = self.control.clock.elapsed();
            let renewed = self.control.store.renew(claims, self.control.clock.now()).await;
            let renewed =
                renewed.inspect_err(|error| tracing::warn!(error = %error, "renewing claims failed"))?;
            self.held.renewed(claims, &renewed, asked);
        }
        Ok(())
    }

    /// Says that the node lives, takes settings over, closes what dead processes left, forgets what is old.
    async fn keep_house(&self) {
        let clock = &self.control.clock;
        let (mut closed, mut forgot) = (clock.elapsed(), None::<Duration>);
        loop {
            let beat = NodeBeat { running: self.held.claims().len() as u64, ..self.beat.clone() };
            self.note(self.control.store.beat(&beat, clock.now()).await, "saying that the node lives");
            if clock.elapsed().saturating_sub(closed) >= CLOSE {
                closed = clock.elapsed();
                self.note(
                    self.control.store.close_interrupted(clock.now()).await,
                    "closing interrupted runs",
                );
            }
            if forgot.is_none_or(|at| clock.elapsed().saturating_sub(at) >= FORGET) {
                forgot = Some(clock.elapsed());
                self.forget().await;
            }
            tokio::time::sleep(HEARTBEAT).await;
            self.refresh().await;
        }
    }

    async fn forget(&self) {
        let limits: Retention = self.control.served().project.server.retention;
        for _ in 0..FORGET_MAX {
            match self.control.store.forget(&limits, self.control.clock.now()).await {
                Ok(0) => return,
                Ok(_) => task::yield_now().await,
                Err(error) => return self.note(Err::<(), _>(error), "forgetting what is old"),
            }
        }
    }

    fn note<T>(&self, answer: Result<T, Error>, doing: &str) {
        if let Err(error) = answer {
            tracing::warn!(node = %self.beat.node, error = %error, "{doing} failed");
        }
    }

    /// Takes over the settings; those of the project where the store has none, or has something that cannot be read.
    async fn refresh(&self) {
        let stored = match self.control.store.settings().await {
            Ok(stored) => stored,
            Err(error) => {
                self.note(Err::<(), _>(error), "reading the settings");
                if self.settings.borrow().parallel > 0 {
                    return;
                }
                Vec::new()
            }
        };
        let served = self.control.served();
        let settings = settings(&served.project.server, &stored);
        self.settings.send_if_modified(|now| {
            let changed = *now != settings;
            *now = settings;
            changed
        });
    }
}

pub(super) fn settings(
    options: &syncline_core::project::ServerOptions,
    stored: &[(String, serde_json::Value)],
) -> Settings {
    let find = |name: &str| stored.iter().find(|(stored, _)| stored == name).map(|(_, value)| value);
    let parallel = find("parallel").and_then(serde_json::Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let limits: SetLimits =
        find("limits").and_then(|value| serde_json::from_value(value.clone()).ok()).unwrap_or_default();
    let mut connections = options.limits.clone();
    connections.extend(limits.connections);
    Settings {
        parallel: parallel.unwrap_or(options.parallel).max(1),
        limits: Limits { total: limits.total, connections },
        paused: find("paused").and_then(serde_json::Value::as_bool).unwrap_or(false),
    }
}

/// Has one order carried out, and records how it ended. The claim is renewed until that is recorded.
async fn carry_out(control: Control, executor: Arc<dyn Executor>, order: Order, hand: InHand) {
    let claim = order.claim.clone();
    let stopping = order.stopping.clone();
    let done = if claim.attempts > ATTEMPTS_MAX {
        let message = format!("it was begun {ATTEMPTS_MAX} times and cut off each time");
        Done { status: Status::Failed, error: Some(("cut_off".to_owned(), message)) }
    } else {
        let span = spans::occurrence(&claim);
        let done = executor.execute(order, hand.cancel.clone()).instrument(span.clone()).await;
        spans::status(&span, done.status.as_str());
        done
    };
    let node_stops = *stopping.borrow() && !hand.stopped_by_person();
    let goes_on = done.status == Status::Interrupted || (node_stops && done.status == Status::Cancelled);
    if goes_on {
        persist!("releasing a claim", control.store.release(&[claim.id], control.clock.now()));
    } else {
        let end = retry::end(&control, &claim, done);
        let recorded = persist!("recording the end of a run", async {
            lost(control.store.finish(&claim.id, end.clone()).await)
        });
        if recorded == Err(Lost) {
            let occurrence = claim.id.occurrence;
            tracing::warn!(occurrence, "the claim was taken over; its end is recorded elsewhere");
        }
    }
    drop(hand);
    control.wake();
}

/// Waits until a node is told to stop; nobody left to tell it counts as that.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("nobody is left who could stop the node in order");
    }
}

impl Node {
    /// When the process started, and what it is.
    pub fn beat(&self) -> &NodeBeat {
        &self.beat
    }

    /// Since when it serves.
    pub fn since(&self) -> Timestamp {
        self.beat.started_at
    }
}
