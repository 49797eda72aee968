//! What every destination must do: each sentence of the [`Destination`] contract as a check.
//!
//! A connector's tests bring a [`Kit`] (a real or simulated system and its ways of misbehaving) and call [`all`]. Every
//! check makes its own stream, so they are independent, and fails by panicking with what was expected.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::FutureExt;
use syncline_core::{
    canonical::canonical,
    identity::Identity,
    remedy::Effect,
    schema::{Field, FieldType, Stream},
    value::Value,
};

use crate::{
    Destination, Error,
    budget::Budget,
    destination::{Applied, Listed, Operation, OperationKind, Record, Stamp},
    error::Kind,
};

/// A system under test.
#[async_trait]
pub trait Kit: Send + Sync {
    /// Opens a connection; all of them share their budgets.
    async fn open(&self) -> Arc<dyn Destination>;
    /// Makes an empty stream without a stamp field, with the fields of [`samples`](Kit::samples) and
    /// [`text_field`](Kit::text_field); returns its name.
    async fn make_stream(&self) -> String;
    /// Name of a writable text field without a unique constraint.
    fn text_field(&self) -> &'static str;
    /// For each field, values it must carry unharmed, edges among them.
    fn samples(&self) -> Vec<(&'static str, Vec<Value<'static>>)>;
    /// Somebody else creates a record with this text; returns its id.
    async fn create(&self, stream: &str, text: &str) -> String;
    /// Somebody else changes the text of a record.
    async fn edit(&self, stream: &str, id: &str, text: &str);
    /// Somebody else deletes a record.
    async fn delete(&self, stream: &str, id: &str);
    /// Somebody else deletes the stream.
    async fn delete_stream(&self, stream: &str);
    /// How many records the system really holds.
    async fn count(&self, stream: &str) -> usize;
    /// Makes the system misbehave from now on.
    async fn inject(&self, fault: Fault);
    /// Ends all faults.
    async fn heal(&self);
    /// Lets time pass.
    fn advance(&self, by: Duration);
    /// The budget the connections spend from.
    fn budget(&self) -> Arc<Budget>;
}

/// Ways to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks before the next write is done.
    LoseBeforeApply,
    /// The next write is done, then the connection breaks.
    LoseAfterApply,
    /// The next write is done, and its answer ends early.
    CutAnswer,
    /// The next write gets a server error after it was done.
    FailAfterApply,
    /// The next write is refused for quota; the wait asked for.
    Throttle(Duration),
    /// All credentials in use expire.
    ExpireCredentials,
    /// Every read of records fails.
    FailReads,
}

/// Faults after which nobody but the system itself knows whether a write was done.
const AMBIGUOUS: [Fault; 4] =
    [Fault::LoseBeforeApply, Fault::LoseAfterApply, Fault::CutAnswer, Fault::FailAfterApply];

/// Runs every check.
pub async fn all(kit: &dyn Kit) {
    describes_what_is_there(kit).await;
    prepares_once(kit).await;
    answers_each_operation_in_order(kit).await;
    values_come_back(kit).await;
    null_clears_and_absent_is_left_alone(kit).await;
    versions_guard_updates_and_deletes(kit).await;
    a_unique_stamp_is_enforced(kit).await;
    strangers_are_adopted(kit).await;
    failures_tell_the_truth_about_effects(kit).await;
    throttling_closes_the_budget_for_everyone(kit).await;
    expired_credentials_are_invisible(kit).await;
    listings_are_complete_or_an_error(kit).await;
    deletions_show_in_listings(kit).await;
    missing_streams_are_not_missing_records(kit).await;
}

/// A prepared stream and a connection to it.
struct Bench {
    destination: Arc<dyn Destination>,
    name: String,
    stream: Stream,
    fields: Vec<Field>,
}

impl Bench {
    async fn new(kit: &dyn Kit) -> Self {
        let name = kit.make_stream().await;
        let destination = kit.open().await;
        let stream = good(destination.describe(&name).await);
        good(destination.prepare(&stream).await);
        let stream = good(destination.describe(&name).await);
        let wanted = kit.samples().into_iter().map(|(name, _)| name);
        let mut fields = vec![field(&stream, kit.text_field())];
        fields.extend(wanted.filter(|n| *n != kit.text_field()).map(|n| field(&stream, n)));
        Self { destination, name, stream, fields }
    }

    async fn write(&self, operations: &[Operation]) -> Vec<Result<Applied, Error>> {
        let answers = self.destination.write(&self.stream, &self.fields, operations).await;
        assert_eq!(answers.len(), operations.len(), "exactly one answer per operation");
        answers
    }

    async fn write_one(&self, operation: Operation) -> Result<Applied, Error> {
        self.write(&[operation]).await.swap_remove(0)
    }

    async fn get(&self, ids: &[&str]) -> Vec<Option<Record>> {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        good(self.destination.get(&self.stream, &self.fields, &ids).await)
    }

    async fn lookup(&self, identities: &[Identity]) -> Vec<Record> {
        good(self.destination.lookup(&self.stream, &self.fields, identities).await)
    }

    /// Folds a whole listing: the last word about each id counts.
    async fn list(&self) -> Result<Vec<Record>, Error> {
        let mut lister = self.destination.list(&self.stream, &self.fields).await?;
        let mut records: Vec<Record> = Vec::new();
        while let Some(page) = lister.next().await? {
            fold(&mut records, page);
        }
        Ok(records)
    }
}

fn fold(records: &mut Vec<Record>, page: Vec<Listed>) {
    for listed in page {
        let id = match &listed {
            Listed::Record(record) => &record.id,
            Listed::Deleted(id) => id,
        };
        records.retain(|r| r.id != *id);
        if let Listed::Record(record) = listed {
            records.push(record);
        }
    }
}

fn good<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|e| panic!("{:?}: {e} ({:?})", e.kind, e.hint))
}

fn bad<T: std::fmt::Debug>(result: Result<T, Error>) -> Error {
    result.expect_err("this must fail")
}

fn field(stream: &Stream, name: &str) -> Field {
    stream.field(name).unwrap_or_else(|| panic!("no field {name:?} in {:?}", stream.fields)).clone()
}

fn identity(n: usize) -> Identity {
    Identity::of(&[Value::Int64(n as i64)], false).expect("a key without nulls")
}

fn text(text: &str) -> Value<'static> {
    Value::Text(text.to_owned().into())
}

fn create(n: usize, values: Vec<(usize, Value<'static>)>) -> Operation {
    Operation { kind: OperationKind::Create, identity: identity(n), values }
}

fn update(n: usize, of: &Applied, values: Vec<(usize, Value<'static>)>) -> Operation {
    let kind = OperationKind::Update { id: of.id.clone(), version: of.version.clone(), stamp: false };
    Operation { kind, identity: identity(n), values }
}

fn delete(n: usize, id: &str, version: Option<String>) -> Operation {
    Operation {
        kind: OperationKind::Delete { id: id.to_owned(), version },
        identity: identity(n),
        values: vec![],
    }
}

/// A described stream has its fields, and one that does not exist is [`Kind::StreamMissing`].
pub async fn describes_what_is_there(kit: &dyn Kit) {
    let name = kit.make_stream().await;
    let destination = kit.open().await;
    let stream = good(destination.describe(&name).await);
    assert_eq!(stream.name, name);
    for (name, values) in kit.samples() {
        let field = field(&stream, name);
        assert!(!field.limits.read_only, "{name}");
        assert!(values.iter().all(|v| v.fits(&field.kind)), "{name} is {}", field.kind);
    }
    let by_id = good(destination.describe(&stream.id).await);
    assert_eq!((by_id.id, by_id.fields), (stream.id, stream.fields), "the id names the stream as well");
    assert!(good(destination.streams().await).contains(&name));
    assert_eq!(bad(destination.describe("There Is No Such Stream").await).kind, Kind::StreamMissing);
}

/// Preparing makes the stamp field once, and says so once.
pub async fn prepares_once(kit: &dyn Kit) {
    let name = kit.make_stream().await;
    let destination = kit.open().await;
    let stream = good(destination.describe(&name).await);
    assert_eq!(destination.stamp(&stream), Stamp::None);
    assert!(!good(destination.prepare(&stream).await).is_empty(), "something was missing");
    let stream = good(destination.describe(&name).await);
    assert_ne!(destination.stamp(&stream), Stamp::None);
    assert_eq!(good(destination.prepare(&stream).await), Vec::<String>::new(), "nothing is missing now");
}

/// Exactly one answer per operation, in their order, whatever becomes of the others.
pub async fn answers_each_operation_in_order(kit: &dyn Kit) {
    let bench = Bench::new(kit).await;
    let most = bench.destination.facts().batch_max;
    let creates: Vec<Operation> = (0..most).map(|n| create(n, vec![(0, text(&format!("r{n}")))])).collect();
    let made: Vec<Applied> = bench.write(&creates).await.into_iter().map(good).collect();
    let ids: Vec<&str> = made.iter().map(|a| a.id.as_str()).collect();
    for (n, record) in bench.get(&ids).await.into_iter().enumerate() {
        let record = record.unwrap_or_else(|| panic!("record {n} is there"));
        assert_eq!(record.values[0], text(&format!("r{n}")), "answer {n} is about operation {n}");
        assert_eq!(record.stamp, Some(identity(n).stamp()), "creates are stamped");
    }
    let mixed = [
        update(0, &made[0], vec![(0, text("changed"))]),
        delete(1, &made[1].id, made[1].version.clone()),
        // A boolean in a text field: refused, alone.
        create(900, vec![(0, Value::Boolean(true))]),
        create(901, vec![(0, text("new"))]),
        delete(902, "999999", None),
    ];
    let answers = bench.write(&mixed).await;
    let kinds: Vec<Option<Kind>> = answers.iter().map(|a| a.as_ref().err().map(|e| e.kind)).collect();
    assert_eq!(kinds, [None, None, Some(Kind::Rejected), None, Some(Kind::RecordMissing)]);
    let after = bench.get(&[ids[0], ids[1]]).await;
    assert_eq!(after[0].as_ref().map(|r| &r.values[0]), Some(&text("changed")));
    assert_eq!(after[1], None, "deleted");
    assert_eq!(kit.count(&bench.name).await, most, "one gone, one new");
    assert!(bench.write(&[]).await.is_empty());
}

/// What is written reads back the same in canonical form: by id, by stamp and in a listing.
pub async fn values_come_back(kit: &dyn Kit) {
    let bench = Bench::new(kit).await;
    let mut operations = Vec::new();
    for (name, values) in kit.samples() {
        let index = bench.fields.iter().position(|f| f.name == name).expect("a field per sample");
        operations.extend(values.into_iter().map(|v| (index, v)));
    }
    let operations: Vec<Operation> =
        operations.into_iter().enumerate().map(|(n, value)| create(n, vec![value])).collect();
    let mut records = Vec::new();
    for chunk in operations.chunks(bench.destination.facts().batch_max) {
        let made: Vec<Applied> = bench.write(chunk).await.into_iter().map(good).collect();
        let ids: Vec<&str> = made.iter().map(|a| a.id.as_str()).collect();
        records.extend(bench.get(&ids).await.into_iter().flatten());
        let stamps: Vec<Identity> = chunk.iter().map(|o| o.identity).collect();
        assert_eq!(bench.lookup(&stamps).await.len(), chunk.len());
    }
    assert_eq!(records.len(), operations.len());
    let listed = good(bench.list().await);
    for (operation, record) in operations.iter().zip(&records) {
        let (index, written) = &operation.values[0];
        let field = &bench.fields[*index];
        let read = canonical(record.values[*index].clone(), field);
        assert_eq!(read, canonical(written.clone(), field), "{} wrote {written:?}", field.name);
        let same = listed.iter().find(|l| l.id == record.id).expect("listed");
        assert_eq!((&same.values, &same.stamp), (&record.values, &record.stamp), "a listing reads the same");
        assert_eq!(same.version, record.version, "and tells the same version");
    }
}

/// Null clears a field, and a field that is not mentioned keeps its value.
pub async fn null_clears_and_absent_is_left_alone(kit: &dyn Kit) {
    let bench = Bench::new(kit).await;
    let samples = kit.samples();
    let value_of =
        |f: &Field| samples.iter().find(|(n, _)| *n == f.name).and_then(|(_, v)| v.first().cloned());
    let values: Vec<(usize, Value<'static>)> =
        bench.fields.iter().enumerate().filter_map(|(i, f)| Some((i, value_of(f)?))).collect();
    let made = good(bench.write_one(create(1, values.clone())).await);
    let made = good(bench.write_one(update(1, &made, vec![(0, text("only this"))])).await);
    let record = bench.get(&[&made.id]).await.swap_remove(0).expect("there");
    for (index, value) in values.iter().filter(|(i, _)| *i != 0) {
        let field = &bench.fields[*index];
        let read = canonical(record.values[*index].clone(), field);
        assert_eq!(read, canonical(value.clone(), field), "{} was not mentioned", field.name);
    }
    let nulls = (0..bench.fields.len()).map(|i| (i, Value::Null)).collect();
    let version = record.version.clone();
    let made = good(bench.write_one(update(1, &Applied { id: made.id, version }, nulls)).await);
    let record = bench.get(&[&made.id]).await.swap_remove(0).expect("there");
    assert!(record.values.iter().all(Value::is_null), "{:?}", record.values);
    assert_eq!(record.stamp, Some(identity(1).stamp()), "the stamp stays");
    let empty = (0..bench.fields.len()).map(|i| (i, Value::Null)).collect();
    good(bench.write_one(create(2, empty)).await);
}

/// An update or delete with an old version changes nothing and is [`Kind::VersionMismatch`].
pub async fn versions_guard_updates_and_deletes(kit: &dyn Kit) {
    let bench = Bench::new(kit).await;
    let made = good(bench.write_one(create(1, vec![(0, text("mine"))])).await);
    assert!(made.version.is_some(), "a create tells its version");
    let second = good(bench.write_one(update(1, &made, vec![(0, text("mine 2"))])).await);
    assert!(second.version.is_some() && second.version != made.version, "an update makes a new version");
    kit.edit(&bench.name, &made.id, "theirs").await;
    let refused = bad(bench.write_one(update(1, &second, vec![(0, text("mine 3"))])).await);
    assert_eq!((refused.kind, refused.effect()), (Kind::VersionMismatch, Effect::NotApplied));
    let refused = bad(bench.write_one(delete(1, &made.id, second.version)).await);
    assert_eq!(refused.kind, Kind::VersionMismatch);
    let record = bench.get(&[&made.id]).await.swap_remove(0).expect("nothing was deleted");
    assert_eq!(record.values[0], text("theirs"), "nothing was written");
    // Without a version, and with the right one, it goes through.
    let any = Applied { id: made.id.clone(), version: None };
    let now = good(bench.write_one(update(1, &any, vec![(0, text("mine 4"))])).await);
    let gone = good(bench.write_one(delete(1, &made.id, now.version)).await);
    assert_eq!(gone, Applied { id: made.id.clone(), version: None });
    kit.create(&bench.name, "another").await;
    assert_eq!(bad(bench.write_one(update(1, &any, vec![])).await).kind, Kind::RecordMissing);
    assert_eq!(bad(bench.write_one(delete(1, &made.id, None)).await).kind, Kind::RecordMissing);
}

/// Where the system enforces the stamp, a second create of one identity is [`Kind::Duplicate`] and makes nothing.
pub async fn a_unique_stamp_is_enforced(kit: &dyn Kit) {
    let bench = Bench::new(kit).await;
    let first = good(bench.write_one(create(1, vec![(0, text("first"))])).await);
    if bench.destination.stamp(&bench.stream) != Stamp::Unique {
        return;
    }
    let answers = bench.write(&[create(1, vec![]), create(2, vec![])]).await;
    let refused = answers[0].as_ref().expect_err("there is one already");
    assert_eq!((refused.kind, refused.effect()), (Kind::Duplicate, Effect::NotApplied));
    assert!(answers[1].is_ok(), "the other one is not to blame");
    let found = bench.lookup(&[identity(1), identity(3)]).await;
    assert_eq!(found.iter().map(|r| &r.id).collect::<Vec<_>>(), [&first.id]);
    assert_eq!(kit.count(&bench.name).await, 2);
}

/// A record that was there before carries no stamp, and an adopting update gives it one.
pub async fn strangers_are_adopted(kit: &dyn Kit) {
    let bench = Bench::new(kit).await;
    let id = kit.create(&bench.name, "stranger").await;
    let listed = good(bench.list().await);
    assert_eq!((listed.len(), &listed[0].stamp, &listed[0].values[0]), (1, &None, &text("stranger")));
    assert_eq!(bench.lookup(&[identity(1)]).await, []);
    let kind = OperationKind::Update { id: id.clone(), version: listed[0].version.clone(), stamp: true };
    good(bench.write_one(Operation { kind, identity: identity(1), values: vec![] }).await);
    let found = bench.lookup(&[identity(1)]).await;
    assert_eq!((found.len(), &found[0].id, &found[0].values[0]), (1, &id, &text("stranger")));
}

/// `NotApplied` is said only when nothing was done, and nothing is ever sent twice.
pub async fn failures_tell_the_truth_about_effects(kit: &dyn Kit) {
    for fault in AMBIGUOUS {
        for batch in [1, 3] {
            let bench = Bench::new(kit).await;
            kit.inject(fault).await;
            let creates: Vec<Operation> = (0..batch).map(|n| create(n, vec![(0, text("x"))])).collect();
            let answers = bench.write(&creates).await;
            kit.heal().await;
            let mut there = 0;
            for (n, answer) in answers.iter().enumerate() {
                let found = bench.lookup(&[identity(n)]).await;
                assert!(found.len() < 2, "{fault:?}: sent twice");
                there += found.len();
                match answer {
                    Ok(applied) => assert_eq!(found[0].id, applied.id, "{fault:?}: applied means there"),
                    Err(e) if e.effect() == Effect::NotApplied => {
                        assert!(found.is_empty(), "{fault:?}: {e} says not applied");
                    }
                    Err(e) => assert_eq!(e.effect(), Effect::Unknown, "{fault:?}: {e}"),
                }
            }
            assert!(answers.iter().any(Result::is_err), "{fault:?} must show");
            assert_eq!(kit.count(&bench.name).await, there);
            if fault == Fault::LoseBeforeApply {
                assert!(there < batch, "the fault kept something from being done");
            }
        }
    }
}

/// A throttled write did nothing, and nobody spends from the budget before the time the system named.
pub async fn throttling_closes_the_budget_for_everyone(kit: &dyn Kit) {
    let wait = Duration::from_secs(40);
    for batch in [1, 3] {
        let bench = Bench::new(kit).await;
        let budget = kit.budget();
        let before = budget.usage();
        kit.inject(Fault::Throttle(wait)).await;
        let creates: Vec<Operation> = (0..batch).map(|n| create(n, vec![(0, text("x"))])).collect();
        let answers = bench.write(&creates).await;
        let throttled = answers.iter().filter_map(|a| a.as_ref().err());
        let mut count = 0;
        for error in throttled {
            count += 1;
            let Kind::Throttled { retry_after } = error.kind else { panic!("{error}: {:?}", error.kind) };
            assert!(retry_after >= wait, "{retry_after:?} is shorter than asked");
            assert_eq!(error.effect(), Effect::NotApplied);
        }
        assert!(count > 0);
        assert_eq!(kit.count(&bench.name).await, batch - count);
        assert!(budget.usage().spent > before.spent, "requests are paid for");
        assert!(budget.usage().throttled > before.throttled);
        let other = kit.open().await;
        assert!(other.describe(&bench.name).now_or_never().is_none(), "another connection waits too");
        kit.advance(wait - Duration::from_secs(1));
        assert!(budget.acquire(1).now_or_never().is_none(), "not before the time that was named");
        kit.advance(Duration::from_secs(3));
        let again: Vec<Operation> =
            creates.into_iter().zip(answers).filter(|(_, a)| a.is_err()).map(|(o, _)| o).collect();
        bench.write(&again).await.into_iter().for_each(|a| {
            good(a);
        });
        assert_eq!(kit.count(&bench.name).await, batch, "then it goes through");
    }
}

/// A credential that expires in mid-run is renewed, and nothing is done twice for it.
pub async fn expired_credentials_are_invisible(kit: &dyn Kit) {
    let bench = Bench::new(kit).await;
    for (n, batch) in [(0, 1), (10, 3)] {
        kit.inject(Fault::ExpireCredentials).await;
        let creates: Vec<Operation> = (n..n + batch).map(|n| create(n, vec![(0, text("x"))])).collect();
        let ids: Vec<String> = bench.write(&creates).await.into_iter().map(|a| good(a).id).collect();
        kit.inject(Fault::ExpireCredentials).await;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        assert!(bench.get(&ids).await.iter().all(Option::is_some));
        kit.inject(Fault::ExpireCredentials).await;
        assert!(good(bench.list().await).len() >= batch);
    }
    assert_eq!(kit.count(&bench.name).await, 4);
    kit.heal().await;
}

/// A listing that ends without an error is the whole stream, and one that fails says so.
pub async fn listings_are_complete_or_an_error(kit: &dyn Kit) {
    let bench = Bench::new(kit).await;
    assert_eq!(good(bench.list().await), [], "an empty stream");
    let most = bench.destination.facts().batch_max;
    let mut ids = Vec::new();
    for chunk in (0..5 * most).collect::<Vec<_>>().chunks(most) {
        let creates: Vec<Operation> = chunk.iter().map(|n| create(*n, vec![(0, text("x"))])).collect();
        ids.extend(bench.write(&creates).await.into_iter().map(|a| good(a).id));
    }
    let mut listed: Vec<String> = good(bench.list().await).into_iter().map(|r| r.id).collect();
    listed.sort();
    ids.sort();
    assert_eq!(listed, ids);
    kit.inject(Fault::FailReads).await;
    assert!(bench.list().await.is_err());
    assert!(bench.destination.get(&bench.stream, &bench.fields, &ids[..2]).await.is_err(), "not: missing");
    assert!(bench.destination.lookup(&bench.stream, &bench.fields, &[identity(1)]).await.is_err());
    kit.heal().await;
    assert_eq!(good(bench.list().await).len(), ids.len());
}

/// A record deleted while it is listed is gone at the end, or was there when its page was read; and deleted records stay
/// gone.
pub async fn deletions_show_in_listings(kit: &dyn Kit) {
    let bench = Bench::new(kit).await;
    let mut ids = Vec::new();
    for n in 0..30 {
        ids.push(kit.create(&bench.name, &format!("r{n}")).await);
    }
    kit.delete(&bench.name, &ids[3]).await;
    let mut lister = good(bench.destination.list(&bench.stream, &bench.fields).await);
    let mut records = Vec::new();
    fold(&mut records, good(lister.next().await).expect("a first page"));
    kit.delete(&bench.name, &ids[29]).await;
    while let Some(page) = good(lister.next().await) {
        fold(&mut records, page);
    }
    let has = |id: &String| records.iter().any(|r| r.id == *id);
    assert!(!has(&ids[3]), "deleted before");
    assert!(ids[..29].iter().filter(|id| **id != ids[3]).all(has), "all that were there throughout");
    assert_eq!(good(bench.list().await).len(), 28, "the next listing knows");
    assert_eq!(
        bench.get(&[&ids[3], &ids[4]]).await.iter().map(Option::is_some).collect::<Vec<_>>(),
        [false, true]
    );
}

/// When the stream goes, nothing says that its records are missing.
pub async fn missing_streams_are_not_missing_records(kit: &dyn Kit) {
    let bench = Bench::new(kit).await;
    let made = good(bench.write_one(create(1, vec![(0, text("x"))])).await);
    kit.delete_stream(&bench.name).await;
    let operations = [create(2, vec![]), update(1, &made, vec![]), delete(1, &made.id, None)];
    for operation in &operations {
        let refused = bad(bench.write_one(operation.clone()).await);
        assert_eq!(
            (refused.kind, refused.effect()),
            (Kind::StreamMissing, Effect::NotApplied),
            "{operation:?}"
        );
    }
    for answer in bench.write(&operations[..2]).await {
        assert_eq!(bad(answer).kind, Kind::StreamMissing);
    }
    let destination = &bench.destination;
    let missing = [
        bad(destination.get(&bench.stream, &bench.fields, &[made.id]).await).kind,
        bad(destination.lookup(&bench.stream, &bench.fields, &[identity(1)]).await).kind,
        bad(bench.list().await).kind,
        bad(destination.describe(&bench.stream.id).await).kind,
    ];
    assert_eq!(missing, [Kind::StreamMissing; 4]);
}

/// Sample values for a field type, edges among them; for kits.
pub fn edges(kind: &FieldType) -> Vec<Value<'static>> {
    let decimal = |v: &'static str| Value::Decimal(v.into());
    let day = |text| Value::Date(syncline_core::time::parse_date(text).expect("a date"));
    let at = |text| Value::Timestamp {
        micros: syncline_core::time::parse_timestamp(text).expect("a time").0,
        zoned: true,
    };
    match kind {
        FieldType::Boolean => vec![Value::Boolean(true), Value::Boolean(false)],
        FieldType::Decimal { .. } => [
            "450000.00",
            "0.10",
            "0",
            "-0.01",
            "1234567890123.45",
            "999999999999999",
            "-999999999999.999",
            "1e-7",
        ]
        .map(decimal)
        .to_vec(),
        FieldType::Text => [
            "plain",
            "O'Brien \"x\" \\ </script>",
            "cafe\u{301} Ω 漢字 🦀👩‍👩‍👧",
            " padded ",
            "",
            "tab\there",
            "null",
        ]
        .map(text)
        .to_vec(),
        FieldType::Date => {
            ["2026-01-31", "1900-01-01", "8900-12-31", "1969-12-31", "2024-02-29"].map(day).to_vec()
        }
        FieldType::Timestamp { zoned: true } => [
            "2026-01-31T10:17:05.999999Z",
            "1900-01-01T00:00:00Z",
            "8900-12-31T23:59:59Z",
            "1969-12-31T23:59:59Z",
        ]
        .map(at)
        .to_vec(),
        _ => Vec::new(),
    }
}
