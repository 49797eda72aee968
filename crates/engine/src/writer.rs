//! Sending operations and finding out what became of them: the write protocol at work.

use std::{collections::BTreeMap, time::Duration};

use futures::StreamExt;
use syncline_connect::{
    Error as ConnectError,
    destination::{Applied, Operation, OperationKind, Record, Stamp},
    error::Kind,
};
use syncline_core::{identity::Identity, mutant, schema::Stream, sync::OnEdit, value::Value};
use syncline_store::{IntentKind, Lease};

use crate::{
    Bound, Engine, Error,
    planner::Work,
    protocol::{AfterLook, Sent, Verdict, after_create, after_delete, after_update, judge},
    retry::Policy,
};

/// How a write ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It is in the destination; `created` when an update had to make the record again.
    Written { applied: Applied, created: bool },
    /// It is gone from the destination.
    Removed,
    /// It cannot be written, or somebody else edited it (`conflict`) and it is left alone.
    Failed { code: String, message: String, left: Left },
    /// So many records carry the stamp: left to a person, and the intent stays open so that nothing is sent for it.
    Quarantined(usize),
    /// Certainly not applied, and the run stops: as if never tried.
    NotSent,
    /// Nobody knows, and the run stops: the intent stays open.
    Open,
}

/// What a failed write leaves in the destination.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// What was there before.
    Nothing,
    /// What was there before, and something on its way that may still be applied.
    Late,
    /// A record that carries our stamp and not our values.
    Record(Applied),
}

/// What is to be done next with one operation.
#[derive(Debug)]
enum Next {
    Send,
    /// Look first; `duplicate`: a unique field refused it, `settled`: the settle time has passed.
    Look {
        duplicate: bool,
        settled: bool,
    },
    Done(End),
}

struct Flight {
    work: Work,
    stream: Stream,
    operation: Operation,
    next: Next,
    attempts: u32,
    /// Whether something that was sent may still be applied.
    unknown: bool,
    /// The record that a look found under the stamp of what was to be created.
    found: Option<Applied>,
    last_error: Option<ConnectError>,
}

/// Sends operations for one run. Stops sending to a stream, or at all, when that is hopeless.
pub(crate) struct Writer<'a> {
    engine: &'a Engine,
    bound: &'a Bound,
    /// Looked at again after every wait: whoever lost it sends nothing more. A dry run has none.
    lease: Option<&'a Lease>,
    retry: Policy,
    random: fastrand::Rng,
    /// Streams nothing more can be written to, and why.
    pub stopped: BTreeMap<String, ConnectError>,
    /// Until when a create that was sent again at once may still arrive a second time.
    settles: Duration,
    foreign: BTreeMap<String, Stream>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(engine: &'a Engine, bound: &'a Bound, lease: Option<&'a Lease>) -> Self {
        let random = fastrand::Rng::with_seed(engine.seed);
        let (stopped, foreign) = (BTreeMap::new(), BTreeMap::new());
        let settles = Duration::ZERO;
        Self { engine, bound, lease, retry: engine.retry, random, stopped, settles, foreign }
    }

    /// Sends `works`; every one comes back with its end, in the same order. The second part is what stops the run.
    pub(crate) async fn send(&mut self, works: Vec<Work>) -> (Vec<(Work, End)>, Option<Error>) {
        let mut flights = Vec::with_capacity(works.len());
        for work in works {
            flights.push(self.flight(work).await);
        }
        let mut stop = None;
        let mut waited = Duration::ZERO;
        while stop.is_none() && flights.iter().any(|f| !matches!(f.next, Next::Done(_))) {
            if !waited.is_zero() {
                tokio::time::sleep(waited).await;
                if let Err(lost) = self.check_lease().await {
                    stop = Some(lost);
                    break;
                }
            }
            waited = self.send_ready(&mut flights, &mut stop).await;
            // A look that is due after a wait comes after it.
            if stop.is_none() && waited.is_zero() {
                waited = waited.max(self.look_up(&mut flights, &mut stop).await);
            }
        }
        let ends = flights.into_iter().map(|flight| match flight.next {
            Next::Done(end) => (flight.work, end),
            Next::Look { .. } => (flight.work, End::Open),
            Next::Send if flight.unknown || flight.found.is_some() => (flight.work, End::Open),
            Next::Send => (flight.work, End::NotSent),
        });
        (ends.collect(), stop)
    }

    /// Waits until nothing is on its way any more. The system refuses the second of two creates only as long as the first is
    /// there: were the next run to move or delete it before that, the latecomer would take its place.
    pub(crate) async fn settle(&self) {
        let left = self.settles.saturating_sub(self.engine.clock.elapsed());
        if !left.is_zero() {
            tokio::time::sleep(left).await;
        }
    }

    async fn check_lease(&self) -> Result<(), Error> {
        match self.lease {
            Some(lease) => Ok(self.engine.store.check(lease).await?),
            None => Ok(()),
        }
    }

    async fn flight(&mut self, work: Work) -> Flight {
        let operation = operation(&work);
        let (stream, next) = match self.stream(&work.row.stream, work.stream).await {
            Ok(stream) => match self.stopped.get(&stream.id) {
                Some(error) => (stream.clone(), Next::Done(failed(error, Left::Nothing))),
                None => (stream, Next::Send),
            },
            Err(error) => (Stream::default(), Next::Done(failed(&error, Left::Nothing))),
        };
        Flight { work, stream, operation, next, attempts: 0, unknown: false, found: None, last_error: None }
    }

    /// A stream of the sync, or one that it does not name any more.
    pub(crate) async fn stream(&mut self, id: &str, index: Option<usize>) -> Result<Stream, ConnectError> {
        if let Some(index) = index.or_else(|| self.bound.mapping.stream_of(id)) {
            return Ok(self.bound.mapping.streams[index].stream.clone());
        }
        if let Some(stream) = self.foreign.get(id) {
            return Ok(stream.clone());
        }
        let stream = self.bound.destination.describe(id).await?;
        self.foreign.insert(id.to_owned(), stream.clone());
        Ok(stream)
    }

    /// Sends everything that is ready, in parallel. Returns how long to wait before the next round.
    async fn send_ready(&mut self, flights: &mut [Flight], stop: &mut Option<Error>) -> Duration {
        let facts = self.bound.destination.facts();
        let chunks = chunks(flights, facts.batch_max, |f| matches!(f.next, Next::Send));
        let bound = self.bound;
        let sent = futures::stream::iter(chunks)
            .map(|(indexes, stream)| {
                let operations: Vec<Operation> =
                    indexes.iter().map(|i| flights[*i].operation.clone()).collect();
                let fields = fields(bound, &flights[indexes[0]]);
                async move { (bound.destination.write(&stream, &fields, &operations).await, indexes) }
            })
            .buffer_unordered(facts.concurrency.max(1))
            .collect::<Vec<_>>()
            .await;
        let mut wait = Duration::ZERO;
        for (answers, indexes) in sent {
            let mut answers = answers.into_iter();
            for index in indexes {
                let missing =
                    || Err(ConnectError::new(Kind::Unanswered, "the answer names no result for it"));
                let answer = answers.next().unwrap_or_else(missing);
                wait = wait.max(self.answer(&mut flights[index], answer, stop));
            }
        }
        wait
    }

    fn answer(
        &mut self,
        flight: &mut Flight,
        answer: Result<Applied, ConnectError>,
        stop: &mut Option<Error>,
    ) -> Duration {
        let verdict = judge(sent(&flight.operation), &answer);
        let created = matches!(flight.operation.kind, OperationKind::Create);
        match (verdict, answer) {
            (Verdict::Done, Ok(applied)) => {
                let removed = matches!(flight.operation.kind, OperationKind::Delete { .. });
                flight.next =
                    Next::Done(if removed { End::Removed } else { End::Written { applied, created } });
                Duration::ZERO
            }
            (_, Ok(_)) => Duration::ZERO,
            (verdict, Err(error)) => self.refused(flight, verdict, error, stop),
        }
    }

    fn refused(
        &mut self,
        flight: &mut Flight,
        verdict: Verdict,
        error: ConnectError,
        stop: &mut Option<Error>,
    ) -> Duration {
        flight.last_error = Some(error.clone());
        match verdict {
            Verdict::Gone => flight.next = Next::Done(End::Removed),
            // A record that was only to be marked as gone is gone altogether.
            Verdict::Recreate if flight.work.row.gone => flight.next = Next::Done(End::Removed),
            Verdict::Recreate => flight.operation = recreate(&flight.work),
            Verdict::Park => return self.give_up(flight),
            Verdict::StopStream => {
                self.stopped.insert(flight.stream.id.clone(), error);
                return self.give_up(flight);
            }
            Verdict::StopRun => set(stop, "writing", error),
            Verdict::Look => {
                flight.unknown |= error.kind != Kind::Duplicate && error.kind != Kind::VersionMismatch;
                flight.next = Next::Look { duplicate: error.kind == Kind::Duplicate, settled: false };
            }
            Verdict::Again => return self.again(flight, &error, stop),
            // The budget is closed: the next round waits there.
            Verdict::Wait | Verdict::Done => {}
        }
        Duration::ZERO
    }

    /// Counts an attempt that certainly did nothing. The last one stops the run when nothing can be reached, and parks the
    /// record otherwise.
    fn again(&mut self, flight: &mut Flight, error: &ConnectError, stop: &mut Option<Error>) -> Duration {
        flight.attempts += 1;
        if flight.attempts < self.retry.attempts {
            return self.wait(flight.attempts, error);
        }
        if error.kind == Kind::Unreachable {
            set(stop, "writing", error.clone());
            return Duration::ZERO;
        }
        self.give_up(flight)
    }

    /// Ends a flight that cannot be written. A create or an adoption that may still arrive is looked for once more, after the
    /// settle time: parked before that, it would belong to nobody.
    fn give_up(&mut self, flight: &mut Flight) -> Duration {
        let claims = matches!(flight.operation.kind, OperationKind::Create) || flight.work.stamp;
        if flight.unknown && claims && self.bound.destination.stamp(&flight.stream) != Stamp::None {
            flight.next = Next::Look { duplicate: true, settled: true };
            return self.bound.destination.facts().settle;
        }
        let left = match flight.found.take() {
            Some(applied) => Left::Record(applied),
            None if flight.unknown => Left::Late,
            None => Left::Nothing,
        };
        flight.next =
            Next::Done(flight.last_error.as_ref().map_or(End::NotSent, |error| failed(error, left)));
        Duration::ZERO
    }

    fn wait(&mut self, attempt: u32, error: &ConnectError) -> Duration {
        let asked = match error.kind {
            Kind::Throttled { retry_after } => retry_after,
            _ => Duration::ZERO,
        };
        self.retry.backoff(attempt, asked, self.random.f64())
    }

    /// Looks for everything whose effect is unknown. Returns how long to wait before the next round.
    async fn look_up(&mut self, flights: &mut [Flight], stop: &mut Option<Error>) -> Duration {
        let facts = self.bound.destination.facts();
        let mut wait = Duration::ZERO;
        for by_stamp in [true, false] {
            let is_create = |f: &Flight| matches!(f.operation.kind, OperationKind::Create);
            let looking = |f: &Flight| matches!(f.next, Next::Look { .. }) && is_create(f) == by_stamp;
            for (indexes, stream) in chunks(flights, facts.batch_max, looking) {
                let stamp = self.bound.destination.stamp(&stream);
                if by_stamp && stamp == Stamp::None {
                    wait = wait.max(self.cannot_look(flights, &indexes, facts.settle));
                    continue;
                }
                match self.found(flights, &indexes, &stream, by_stamp).await {
                    Ok(found) => {
                        for (index, records) in indexes.into_iter().zip(found) {
                            let flight = &mut flights[index];
                            let settle = self.decide(flight, &records, stamp, facts.settle);
                            wait = wait.max(settle);
                        }
                    }
                    Err(error) => wait = wait.max(self.look_failed(flights, &indexes, &error, stop)),
                }
                if stop.is_some() {
                    return wait;
                }
            }
        }
        wait
    }

    /// Without a stamp there is no way to know: sent again after the settle time, and the run has said that this may double.
    fn cannot_look(&mut self, flights: &mut [Flight], indexes: &[usize], settle: Duration) -> Duration {
        for index in indexes {
            let flight = &mut flights[*index];
            flight.attempts += 1;
            flight.next = if flight.attempts < self.retry.attempts {
                Next::Send
            } else {
                Next::Done(flight.last_error.as_ref().map_or(End::Open, |e| failed(e, Left::Nothing)))
            };
        }
        settle
    }

    async fn found(
        &self,
        flights: &[Flight],
        indexes: &[usize],
        stream: &Stream,
        by_stamp: bool,
    ) -> Result<Vec<Vec<Record>>, ConnectError> {
        let fields = fields(self.bound, &flights[indexes[0]]);
        if by_stamp {
            let identities: Vec<Identity> = indexes.iter().map(|i| flights[*i].operation.identity).collect();
            let records = self.bound.destination.lookup(stream, &fields, &identities).await?;
            let carry =
                |identity: &Identity, record: &Record| record.stamp.as_deref() == Some(&identity.stamp());
            return Ok(identities
                .iter()
                .map(|id| records.iter().filter(|r| carry(id, r)).cloned().collect())
                .collect());
        }
        let ids: Vec<String> = indexes.iter().map(|i| target(&flights[*i].operation).to_owned()).collect();
        let records = self.bound.destination.get(stream, &fields, &ids).await?;
        Ok(records.into_iter().map(|record| record.into_iter().collect()).collect())
    }

    /// What a look says about one operation.
    fn decide(&mut self, flight: &mut Flight, found: &[Record], stamp: Stamp, settle: Duration) -> Duration {
        let Next::Look { duplicate, settled } = flight.next else { return Duration::ZERO };
        let own = flight.operation.identity.stamp();
        let ours = |record: &Record| record.stamp.as_deref() == Some(own.as_str());
        // What is to be adopted and holds the right values is ours only with our stamp.
        let claimed = |record: &Record| !flight.work.stamp || stamp == Stamp::None || ours(record);
        let same = |record: &Record| claimed(record) && self.holds(&flight.work, record);
        let untouched = found.first().is_some_and(|r| self.untouched(&flight.work, &flight.stream.id, r));
        let policy = if untouched { OnEdit::Overwrite } else { self.bound.sync.on_edit };
        let after = match &flight.operation.kind {
            OperationKind::Create => after_create(found, same, stamp, duplicate, settled),
            OperationKind::Update { version, .. } => {
                after_update(found.first(), found.first().is_some_and(same), version.as_deref(), policy)
            }
            OperationKind::Delete { version, .. } => after_delete(found.first(), version.as_deref(), policy),
        };
        let created = matches!(flight.operation.kind, OperationKind::Create);
        // After the settle time nothing is on its way any more.
        flight.unknown &= !settled;
        if let Some(record) = found.first().filter(|r| flight.work.stamp && !created && ours(r)) {
            // What was to be adopted has our stamp: it is ours, whatever somebody else has written since.
            flight.found = Some(Applied { id: record.id.clone(), version: record.version.clone() });
        }
        flight.next = match after {
            AfterLook::Done(applied) => Next::Done(End::Written { applied, created }),
            AfterLook::Gone => Next::Done(End::Removed),
            AfterLook::Conflict => {
                let left = flight.found.take().map_or(Left::Nothing, Left::Record);
                Next::Done(conflict("edited in the destination since the last run", left))
            }
            AfterLook::Quarantine(n) => Next::Done(End::Quarantined(n)),
            AfterLook::Park => return self.give_up(flight),
            AfterLook::Settle => {
                flight.next = Next::Look { duplicate, settled: true };
                return settle;
            }
            AfterLook::Recreate if flight.work.row.gone => Next::Done(End::Removed),
            AfterLook::Recreate => {
                flight.operation = recreate(&flight.work);
                return self.attempt(flight);
            }
            AfterLook::Overwrite(applied) => {
                if created {
                    // What was sent first has arrived.
                    (flight.found, flight.unknown) = (Some(applied.clone()), false);
                }
                flight.operation = overwrite(&flight.work, applied);
                if flight.work.row.gone {
                    // Only the mark is written over what somebody else left there.
                    let mapped = fields(self.bound, flight);
                    let written =
                        |name: &String| flight.work.changed.iter().any(|index| mapped[*index].name == *name);
                    flight.work.row.fields.retain(|name, _| written(name));
                    flight.work.row.hash = None;
                }
                return self.attempt(flight);
            }
            AfterLook::DeleteVersion(applied) => {
                flight.operation.kind = OperationKind::Delete { id: applied.id, version: applied.version };
                return self.attempt(flight);
            }
            AfterLook::SendAgain => {
                if created && !settled {
                    self.settles = self.engine.clock.elapsed() + settle;
                }
                return self.attempt(flight);
            }
        };
        Duration::ZERO
    }

    /// Sends once more after a look, until the attempts are used up. The service answered the look, so a record that never
    /// gets through is that record's own trouble.
    fn attempt(&mut self, flight: &mut Flight) -> Duration {
        flight.attempts += 1;
        if flight.attempts >= self.retry.attempts {
            return self.give_up(flight);
        }
        flight.next = Next::Send;
        match &flight.last_error {
            Some(error) if error.kind == Kind::Unanswered => {
                let error = error.clone();
                self.wait(flight.attempts, &error)
            }
            _ => Duration::ZERO,
        }
    }

    fn look_failed(
        &mut self,
        flights: &mut [Flight],
        indexes: &[usize],
        error: &ConnectError,
        stop: &mut Option<Error>,
    ) -> Duration {
        if matches!(error.kind, Kind::Throttled { .. }) {
            return Duration::ZERO;
        }
        let mut attempts = 0;
        for index in indexes {
            flights[*index].attempts += 1;
            attempts = attempts.max(flights[*index].attempts);
        }
        let hopeless =
            !matches!(error.kind, Kind::Unanswered | Kind::Unreachable | Kind::Protocol | Kind::Locked);
        if hopeless || attempts >= self.retry.attempts {
            set(stop, "finding out what became of a write", error.clone());
            return Duration::ZERO;
        }
        self.wait(attempts, error)
    }

    /// Whether a record's mapped fields still hold what we last wrote: then nobody's edit is lost by writing over it, whatever
    /// its version says. Somebody may have edited a field that is not mapped.
    pub(crate) fn untouched(&self, work: &Work, stream: &str, record: &Record) -> bool {
        let Some(stream) = self.bound.mapping.stream_of(stream) else { return false };
        let found = self.bound.mapping.canonical_fields(stream, &record.values);
        !work.written.is_empty() && work.written.iter().all(|(name, value)| found.get(name) == Some(value))
    }

    /// Whether a record holds what a write wanted it to hold.
    fn holds(&self, work: &Work, record: &Record) -> bool {
        let Some(stream) = work.stream else { return false };
        let mapping = &self.bound.mapping;
        mapping.is_gone(&record.values) == work.row.gone
            && work.row.hash == Some(mapping.hash(stream, &record.values, &mut Vec::new()))
    }
}

fn set(stop: &mut Option<Error>, doing: &str, error: ConnectError) {
    stop.get_or_insert_with(|| Error::connect(doing)(error));
}

fn failed(error: &ConnectError, left: Left) -> End {
    End::Failed { code: error.code().to_owned(), message: error.message.clone(), left }
}

/// Somebody else edited the record, and the sync says to leave it.
pub(crate) fn conflict(message: &str, left: Left) -> End {
    End::Failed { code: "conflict".into(), message: message.into(), left }
}

fn fields(bound: &Bound, flight: &Flight) -> std::sync::Arc<[syncline_core::schema::Field]> {
    let index = flight.work.stream.or_else(|| bound.mapping.stream_of(&flight.stream.id)).unwrap_or_default();
    std::sync::Arc::clone(&bound.mapping.streams[index].fields)
}

fn sent(operation: &Operation) -> Sent {
    match operation.kind {
        OperationKind::Create => Sent::Create,
        OperationKind::Update { .. } => Sent::Update,
        OperationKind::Delete { .. } => Sent::Delete,
    }
}

fn target(operation: &Operation) -> &str {
    match &operation.kind {
        OperationKind::Create => "",
        OperationKind::Update { id, .. } | OperationKind::Delete { id, .. } => id,
    }
}

/// The first thing to send for a work. Of a move that is the create; the old record goes after the ledger knows the new one.
fn operation(work: &Work) -> Operation {
    let (id, mut version) = (work.row.record_id.clone(), work.row.version.clone());
    if mutant!(UpdateAnyVersion) && work.kind == IntentKind::Update {
        version = None;
    }
    match work.kind {
        IntentKind::Create | IntentKind::Move => recreate(work),
        IntentKind::Update => Operation {
            kind: OperationKind::Update { id, version, stamp: work.stamp },
            identity: work.row.identity,
            values: work.changed.iter().map(|i| (*i, work.values[*i].clone())).collect(),
        },
        IntentKind::Delete => Operation {
            kind: OperationKind::Delete { id, version },
            identity: work.row.identity,
            values: Vec::new(),
        },
    }
}

fn all_values(work: &Work) -> Vec<(usize, Value<'static>)> {
    work.values.iter().cloned().enumerate().collect()
}

fn recreate(work: &Work) -> Operation {
    // A new record holds nothing: null need not be written.
    let values = all_values(work).into_iter().filter(|(_, value)| !value.is_null()).collect();
    Operation { kind: OperationKind::Create, identity: work.row.identity, values }
}

/// Everything, over what somebody else wrote, and with the stamp: it may have been cleared. Of a record that is only marked
/// as gone, nothing but the mark is known.
fn overwrite(work: &Work, applied: Applied) -> Operation {
    let values = if work.row.gone {
        work.changed.iter().map(|i| (*i, work.values[*i].clone())).collect()
    } else {
        all_values(work)
    };
    Operation {
        kind: OperationKind::Update { id: applied.id, version: applied.version, stamp: true },
        identity: work.row.identity,
        values,
    }
}

/// Groups the flights for which `ready` holds into requests: of one stream and one set of fields, at most `max` in each,
/// taking turns between streams so that all of them move.
fn chunks(flights: &[Flight], max: usize, ready: impl Fn(&Flight) -> bool) -> Vec<(Vec<usize>, Stream)> {
    let mut by_stream: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, flight) in flights.iter().enumerate().filter(|(_, f)| ready(f)) {
        by_stream.entry(&flight.stream.id).or_default().push(index);
    }
    let mut turns: Vec<std::vec::IntoIter<Vec<usize>>> = by_stream
        .into_values()
        .map(|indexes| indexes.chunks(max.max(1)).map(<[usize]>::to_vec).collect::<Vec<_>>().into_iter())
        .collect();
    let mut chunks = Vec::new();
    while !turns.is_empty() {
        turns.retain_mut(|turn| match turn.next() {
            Some(indexes) => {
                let stream = flights[indexes[0]].stream.clone();
                chunks.push((indexes, stream));
                true
            }
            None => false,
        });
    }
    chunks
}
