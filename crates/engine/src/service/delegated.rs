//! Runs that are made at once for who asks, and whose end is answered: of one partition, or of every partition of a series.
//!
//! They happen in this process, for a user's token is stored nowhere and so no other node has it. Apart from that they are as
//! other runs: they hold the lease of their partition, are recorded and told, and count for the limits. What was begun goes
//! on when the one who asked goes away; the service awaits it when it stops.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use syncline_connect::{registry::Caller, source::Params};
use syncline_core::{
    counts::Counts,
    partition::{OWNER, Partition},
    project::Project,
    run::Status,
    sync::{Each, Sync},
    value::Value,
};
use syncline_store::{About, RunId};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};

use super::{
    control::{Control, Refused, ends, sync_of},
    gate::{Gate, Turns},
    local::BUSY_MAX,
    node,
    once::{PartOf, SyncOrder},
};
use crate::{
    Error,
    load::{params, run::Options},
};

/// Runs and series that are under way or wait.
const ASKED_MAX: usize = 1000;
/// How long a run waits for room.
const ROOM_MAX: Duration = Duration::from_secs(240);
/// Partitions of a series, and how many of them are loaded at once.
const SERIES_MAX: usize = 1000;
const SERIES_AT_ONCE: usize = 4;
/// How long the query of a series may take.
const SERIES_QUERY: Duration = Duration::from_secs(60);
/// Longest value of a parameter.
const VALUE_CHARS_MAX: usize = 1000;
/// How far ahead of us another node's clock may be.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// A run that somebody waits for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The sync.
    pub sync: String,
    /// Values of its parameters; of a series, of those that its query takes.
    pub params: Params,
    /// For whom: with a user, the partition is that user's.
    pub caller: Caller,
    /// Load it, however fresh it is.
    pub insist: bool,
}

/// What became of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was loaded.
    Synced,
    /// It was loaded, and some records could not be.
    Partial,
    /// It was loaded lately, so nothing was read.
    Fresh,
}

/// How a run that somebody waited for ended. What it says is durable.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// What became of it.
    pub outcome: Outcome,
    /// The run; none where nothing was to be done.
    pub run: Option<RunId>,
    /// When the load that committed last began.
    pub synced_at: Timestamp,
    /// What it did.
    pub counts: Counts,
    /// Links log lines, events, runs and requests to the source.
    pub correlation: String,
    /// What people should read.
    pub notes: Vec<String>,
}

/// A run that somebody waited for and that did not do what it was to do: nothing of it is in the destination.
#[derive(Debug)]
pub struct Failed {
    /// The run, where one was opened.
    pub run: Option<RunId>,
    /// Links log lines, events, runs and requests to the source.
    pub correlation: String,
    /// Why.
    pub why: Refused,
}

/// A partition of a series, by its parameters.
pub type Part = (Params, Result<Ended, Failed>);

/// What is under way because somebody waits for it.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    pub(super) gate: Arc<Gate>,
    turns: Arc<Turns>,
    /// None: the service stops, nothing more is begun.
    runs: Mutex<Runs>,
    /// Turns true when what runs is to stop after the batch in hand.
    stops: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Runs {
    set: JoinSet<()>,
    closed: bool,
}

impl UnderWay {
    /// Begins work that goes on whether somebody waits for it or not; gives what it gave.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Refused> {
        let (done, result) = oneshot::channel();
        {
            let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
            if runs.closed {
                return Err(Refused::Stopping);
            }
            while runs.set.try_join_next().is_some() {}
            if runs.set.len() >= ASKED_MAX {
                return Err(Refused::Overloaded(format!("{ASKED_MAX} runs are under way or wait already")));
            }
            runs.set.spawn(async move {
                // an error means that nobody waits any more
                done.send(work.await).ok();
            });
        }
        result
            .await
            .map_err(|_| if *self.stops.borrow() { Refused::Stopping } else { Error::Interrupted.into() })
    }

    fn close(&self) -> JoinSet<()> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.closed = true;
        std::mem::take(&mut runs.set)
    }
}

impl Control {
    /// Makes a run now, in this process, and waits for its end. One that is fresh is not made. Dropping the future does not
    /// stop what was begun.
    ///
    /// # Errors
    /// The run could not be made or failed; nothing of it is in the destination.
    pub async fn run_now(&self, asked: Asked) -> Result<Ended, Failed> {
        let correlation = asked.caller.correlation.clone().unwrap_or_else(|| self.correlation());
        let failed = |why| Failed { run: None, correlation: correlation.clone(), why };
        let work = self.prepare(asked, correlation.clone()).map_err(failed)?;
        let control = self.clone();
        let work = async move { control.load(work).await };
        self.asked.run(work).await.unwrap_or_else(|why| Err(failed(why)))
    }

    /// Makes a run for every partition of a series, a few at once, each on its own: one that fails stops none of the others.
    /// In the order of the series' query. Dropping the future does not stop what was begun.
    ///
    /// # Errors
    /// The series could not be found out; nothing was begun.
    pub async fn run_each(&self, asked: Asked) -> Result<Vec<Part>, Failed> {
        let correlation = asked.caller.correlation.clone().unwrap_or_else(|| self.correlation());
        let failed = |why| Failed { run: None, correlation: correlation.clone(), why };
        let control = self.clone();
        let parts = self.parts(&asked).await.map_err(failed)?;
        let work = async move {
            let runs = parts.into_iter().map(|params| control.part(&asked, params));
            stream::iter(runs).buffered(SERIES_AT_ONCE).collect().await
        };
        self.asked.run(work).await.map_err(failed)
    }

    async fn part(&self, asked: &Asked, params: Params) -> Part {
        let correlation = self.correlation();
        let asked = Asked { params: params.clone(), ..asked.clone() };
        let ended = match self.prepare(asked, correlation.clone()) {
            Ok(work) => Box::pin(self.load(work)).await,
            Err(why) => Err(Failed { run: None, correlation, why }),
        };
        (params, ended)
    }

    /// Waits for the runs of [`run_now`](Self::run_now) and [`run_each`](Self::run_each) once `stop` turns true: nothing new is
    /// begun; what has not ended after half of the project's `grace` is asked to stop after the batch in hand, and dropped
    /// after all of it.
    pub async fn see_out(&self, mut stop: watch::Receiver<bool>) {
        // nobody left who could tell counts as told
        stop.wait_for(|stop| *stop).await.ok();
        let mut runs = self.asked.close();
        let half = self.served().project.server.grace / 2;
        for stops in [false, true] {
            self.asked.stops.send_replace(stops);
            let ended = async { while runs.join_next().await.is_some() {} };
            if tokio::time::timeout(half, ended).await.is_ok() {
                return;
            }
        }
        tracing::warn!(runs = runs.len(), "runs that somebody waits for did not end in time and are dropped");
        runs.shutdown().await;
    }

    /// Looks at what is asked for; opens nothing.
    fn prepare(&self, asked: Asked, correlation: String) -> Result<Work, Refused> {
        let project = self.served().project.clone();
        let sync = sync_of(&project, &asked.sync)?.clone();
        fits(&sync, &sync.params, &asked.params)?;
        let owner = asked.caller.user.as_ref().map(|user| user.owner.clone());
        if owner.is_some() && !sync.to.table.partition.iter().any(|(_, param)| param == OWNER) {
            return Err(Refused::Unfit(format!(
                "sync {:?} has no column for its owner, so each user would remove what another one sees: name one in \
                 to.partition, such as owner_id: owner",
                sync.name
            )));
        }
        let partition = Partition { params: asked.params, owner };
        // what is left to be missing is the owner
        params::check(&sync, &partition).map_err(|error| Refused::ParamsMissing(error.to_string()))?;
        let caller = Caller { correlation: Some(correlation.clone()), ..asked.caller };
        Ok(Work {
            project,
            sync,
            partition,
            caller,
            correlation,
            insist: asked.insist,
            came: self.clock.now(),
        })
    }

    /// Carries out one run: waits for its turn, looks whether it is needed, waits for room, loads.
    async fn load(&self, work: Work) -> Result<Ended, Failed> {
        let failed = |why| Failed { run: None, correlation: work.correlation.clone(), why };
        let name = work.partition.name(&work.sync.name);
        let _turn = self.asked.turns.take(&name).await;
        if let Some(synced_at) = self.fresh(&work, &name).await.map_err(failed)? {
            return Ok(Ended {
                outcome: Outcome::Fresh,
                run: None,
                synced_at,
                counts: Counts::default(),
                correlation: work.correlation.clone(),
                notes: Vec::new(),
            });
        }
        let _place = self.room(&work.sync).await.map_err(failed)?;
        let about = About { correlation: Some(work.correlation.clone()), ..About::default() };
        let options = Options { about, partition: work.partition.clone(), ..Options::default() };
        let (project, sync, caller) = (&*work.project, &work.sync, work.caller.clone());
        let order = SyncOrder { project, sync, options, caller, patience: BUSY_MAX, plan: None };
        let done = Box::pin(self.run_sync(order, self.asked.stops.subscribe(), PartOf::Asked)).await;
        let why = match (done.run, done.failure) {
            (Some(run), None) => match self.recorded(run, &work.correlation).await {
                Ok(ended) => return Ok(ended),
                Err(why) => why,
            },
            (_, Some(Error::Cancelled)) if *self.asked.stops.borrow() => Refused::Stopping,
            (_, Some(error)) => error.into(),
            (None, None) => Error::Interrupted.into(),
        };
        Err(Failed { run: done.run, correlation: work.correlation, why })
    }

    /// What the store says of a run that ended.
    async fn recorded(&self, run: RunId, correlation: &str) -> Result<Ended, Refused> {
        let record = self.store.run(run).await?.ok_or(Error::Interrupted)?;
        let outcome = if record.status == Status::Partial { Outcome::Partial } else { Outcome::Synced };
        Ok(Ended {
            outcome,
            run: Some(run),
            synced_at: record.started_at,
            counts: record.counts,
            correlation: correlation.to_owned(),
            notes: record.notes,
        })
    }

    /// When the partition was loaded last, if that is fresh enough. The destination says so, in the row that commits with the
    /// data; one that may not remember is never fresh. The source is not opened.
    async fn fresh(&self, work: &Work, name: &str) -> Result<Option<Timestamp>, Refused> {
        if work.insist {
            return Ok(None);
        }
        let Work { project, sync, .. } = work;
        let Some(connection) = project.connection(&sync.to.connection) else { return Ok(None) };
        let doing = || Error::connect(format!("asking {:?} when it was loaded last", sync.to.stream));
        let database = self.systems.database(connection).await.map_err(doing())?;
        let state = database.state(name, &sync.to.stream).await.map_err(doing())?;
        let began = state.and_then(|state| Timestamp::from_microsecond(state.started_at?).ok());
        Ok(began.filter(|began| is_fresh(*began, work.came, self.clock.now(), sync.fresh)))
    }

    /// Waits for a place among the runs of this process, as the limits in force say.
    async fn room(&self, sync: &Sync) -> Result<super::gate::Place, Refused> {
        let stored = self.store.settings().await?;
        let settings = node::settings(&self.served().project.server, &stored);
        if settings.paused {
            return Err(Refused::Conflict("the service is paused: nothing is begun".into()));
        }
        let wait = self.asked.gate.wait(ends(sync), settings.parallel, &settings.limits);
        let mut stops = self.asked.stops.subscribe();
        tokio::select! {
            place = tokio::time::timeout(ROOM_MAX, wait) => place.map_err(|_| {
                let why = format!("no place came free within {} s", ROOM_MAX.as_secs());
                Refused::Overloaded(why)
            }),
            _ = stops.wait_for(|stops| *stops) => Err(Refused::Stopping),
        }
    }

    /// The partitions of a series.
    async fn parts(&self, asked: &Asked) -> Result<Vec<Params>, Refused> {
        let project = self.served().project.clone();
        let sync = sync_of(&project, &asked.sync)?;
        let Some(each) = &sync.each else {
            return Err(Refused::Unfit(format!(
                "sync {:?} has no series: it says nothing of each",
                sync.name
            )));
        };
        fits(sync, &each.params, &asked.params)?;
        let connection = project
            .connection(&each.connection)
            .ok_or_else(|| Refused::Unknown(format!("there is no connection {:?}", each.connection)))?;
        let doing = || Error::connect(format!("asking for the series of sync {:?}", sync.name));
        let statements = self.systems.statements(connection).await.map_err(doing())?;
        let values = given(asked);
        let rows =
            statements.query_with(&each.query, &values, SERIES_MAX, SERIES_QUERY).await.map_err(doing())?;
        rows.rows.iter().map(|row| part_of(sync, each, &rows.columns, row)).collect()
    }
}

/// A run that is to be made.
struct Work {
    project: Arc<Project>,
    sync: Sync,
    partition: Partition,
    caller: Caller,
    correlation: String,
    insist: bool,
    /// When it was asked for.
    came: Timestamp,
}

/// Whether a load that began at `began` answers a request that came at `came`: it began after the request, or is not older
/// than what the sync calls fresh. Pure.
fn is_fresh(began: Timestamp, came: Timestamp, now: Timestamp, fresh: Option<Duration>) -> bool {
    let later = |time: Timestamp, by: Duration| time.saturating_add(by).unwrap_or(time);
    if began > later(now, AHEAD_MAX) {
        return false;
    }
    began > came || fresh.is_some_and(|fresh| now < later(began, fresh))
}

/// Whether the values are those of the parameters `known`: all of them, and no others. Pure.
fn fits(sync: &Sync, known: &[String], params: &Params) -> Result<(), Refused> {
    let takes = match known {
        [] => "it takes none".to_owned(),
        known => format!("it takes {}", known.join(", ")),
    };
    let unknown: Vec<&str> = params.keys().filter(|name| !known.contains(name)).map(String::as_str).collect();
    if !unknown.is_empty() {
        let what = format!("sync {:?} has no parameter {}; {takes}", sync.name, unknown.join(", "));
        return Err(Refused::ParamsUnknown(what));
    }
    let missing: Vec<&str> =
        known.iter().filter(|name| !params.contains_key(*name)).map(String::as_str).collect();
    if !missing.is_empty() {
        let what = format!("sync {:?} needs a value for {}; {takes}", sync.name, missing.join(", "));
        return Err(Refused::ParamsMissing(what));
    }
    let fits = |value: &str| {
        !value.is_empty() && value.chars().count() <= VALUE_CHARS_MAX && !value.chars().any(char::is_control)
    };
    match params.iter().find(|(_, value)| !fits(value)) {
        None => Ok(()),
        Some((name, _)) => Err(Refused::Unfit(format!(
            "the value of {name} has 1 to {VALUE_CHARS_MAX} characters, none of them a control character"
        ))),
    }
}

/// What the query of a series is given.
fn given(asked: &Asked) -> BTreeMap<String, Value<'static>> {
    let text = |value: &String| Value::Text(value.clone().into());
    let mut values: BTreeMap<_, _> =
        asked.params.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    values.extend(asked.caller.user.as_ref().map(|user| (OWNER.to_owned(), text(&user.owner))));
    values
}

/// The parameters that a row of a series names. Pure.
fn part_of(sync: &Sync, each: &Each, columns: &[String], row: &[Value<'static>]) -> Result<Params, Refused> {
    let of = |name: &String| {
        let value = columns.iter().position(|column| column == name).and_then(|at| row.get(at));
        let text = match value.map(Value::to_json) {
            Some(serde_json::Value::String(text)) => Some(text),
            Some(number @ serde_json::Value::Number(_)) => Some(number.to_string()),
            Some(serde_json::Value::Bool(boolean)) => Some(boolean.to_string()),
            _ => None,
        };
        let missing = || {
            let what = format!("a row of the series of sync {:?} has no value for {name}", sync.name);
            let columns = columns.join(", ");
            Refused::Unfit(format!("{what}: the query on {:?} gives {columns}", each.connection))
        };
        text.map(|text| (name.clone(), text)).ok_or_else(missing)
    };
    sync.params.iter().map(of).collect()
}
