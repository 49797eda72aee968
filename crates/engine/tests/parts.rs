//! Loads of parts of a table, with values for parameters, and loads from sources that tell changes by tokens.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use syncline_connect::{
    Database, Error, Source,
    budget::Budgets,
    clock::SystemClock,
    error::Kind,
    registry::{Connector as _, Context},
    source::{Fetch, Params, Read, Reader},
    sqlite,
};
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions, RecordOp},
    connection::Connection,
    cursor::Position,
    partition::Partition,
    run::Status,
    schema::{Field, FieldType, Stream},
    sync::{DeletePolicy, Deletes, FieldMap, Mode, Origin, Sync, TableOptions, To, Write},
    value::Value,
};
use syncline_engine::{
    Engine,
    load::{self, Table},
    plan::Summary,
    progress::Silent,
    retry::Policy,
    run::Report,
};
use syncline_store::{Run, memory::MemoryStore};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::pairs;

const ANN: &str = "0d9b7a1e-6a9e-4d0e-9a54-3b9d7f1c2e10";
const BOB: &str = "5f6c1d52-0f0b-4c5e-8f1c-7c2a7c6de0aa";

/// A file with the tables of both sides, and a store.
struct House {
    directory: TempDir,
    engine: Engine,
}

impl House {
    fn new(statements: &str) -> Self {
        let clock = Arc::new(SystemClock::new());
        let engine = Engine {
            store: Arc::new(MemoryStore::new()),
            clock: clock.clone(),
            budgets: Arc::new(Budgets::new(clock)),
            retry: Policy::default(),
            seed: 1,
        };
        let house = Self { directory: tempfile::tempdir().unwrap(), engine };
        house.sql(statements);
        house
    }

    fn file(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.directory.path().join("test.db")).unwrap()
    }

    fn sql(&self, statements: &str) {
        self.file().execute_batch(statements).unwrap();
    }

    /// The rows of a query of one text.
    fn rows(&self, sql: &str) -> Vec<String> {
        let file = self.file();
        let mut statement = file.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    fn opened(&self) -> (Connection, Context) {
        let options = serde_json::json!({ "path": "test.db" });
        let connection = Connection { name: "file".into(), kind: "sqlite".into(), options };
        let context = Context {
            clock: self.engine.clock.clone(),
            budgets: self.engine.budgets.clone(),
            seed: 1,
            directory: self.directory.path().to_owned(),
            caller: Default::default(),
        };
        (connection, context)
    }

    async fn database(&self) -> Arc<dyn Database> {
        let (connection, context) = self.opened();
        sqlite::Connector.database(&connection, &context).await.unwrap()
    }

    async fn source(&self) -> Arc<dyn Source> {
        let (connection, context) = self.opened();
        sqlite::Connector.source(&connection, &context).await.unwrap()
    }

    async fn table(&self, sync: Sync, source: Arc<dyn Source>) -> Table {
        let (table, problems) = Table::open(sync, source, self.database().await).await.unwrap();
        table.unwrap_or_else(|| panic!("{problems:?}"))
    }

    async fn try_run(&self, table: &Table, options: load::run::Options) -> Result<Report, String> {
        let (_keep, cancel) = watch::channel(false);
        let run = load::run::run(&self.engine, table, &options, &Silent, cancel).await;
        run.map_err(|error| format!("{}: {error}; {}", error.code(), error.hint().unwrap_or_default()))
    }

    async fn run(&self, table: &Table, options: load::run::Options) -> (Report, Run) {
        let report = self.try_run(table, options).await.unwrap();
        let stored = self.engine.store.run(report.run).await.unwrap().unwrap();
        (report, stored)
    }

    async fn plan(&self, table: &Table, options: &load::run::Options) -> Summary {
        load::plan::plan(&self.engine, table, options, 100, &Silent, &mut |_| {}).await.unwrap()
    }
}

/// A sync of `people` into `attendance`, parted by owner and session.
fn sync() -> Sync {
    let base = pairs::sync("people", "attendance");
    Sync {
        name: "attendance".into(),
        to: To {
            table: TableOptions {
                partition: vec![("owner_id".into(), "owner".into()), ("session_id".into(), "session".into())],
                after: vec![
                    "UPDATE sessions SET seen = :run_at, run = :run, n = (SELECT count(*) FROM attendance AS a \
                     WHERE a.owner_id = :owner AND a.session_id = :session) \
                     WHERE session = :session /* not :this */"
                        .into(),
                ],
                ..TableOptions::default()
            },
            ..base.to
        },
        write: Write::Mirror,
        deletes: Deletes { policy: DeletePolicy::Delete, ..base.deletes },
        fields: vec![
            field("id", Origin::Column("id".into())),
            field("name", Origin::Column("name".into())),
            field("webinar", Origin::Param("webinar".into())),
            field("loaded_at", Origin::Param("run_at".into())),
        ],
        rest: false,
        params: vec!["webinar".into(), "session".into()],
        ..base
    }
}

fn field(to: &str, from: Origin) -> FieldMap {
    use syncline_core::sync::Direction;
    FieldMap { to: to.into(), from, direction: Direction::Push, required: false, default: None, kind: None }
}

fn part(owner: &str, session: &str) -> load::run::Options {
    let params = [("webinar", "w1"), ("session", session)];
    let params = params.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let partition = Partition { params: BTreeMap::from(params), owner: Some(owner.to_owned()) };
    load::run::Options { parallel: 2, partition, ..load::run::Options::default() }
}

const PEOPLE: &str = "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT);
    INSERT INTO people VALUES (1, 'Zoë'), (2, 'Li'), (3, 'Bo');
    CREATE TABLE sessions (session TEXT PRIMARY KEY, seen TEXT, run INTEGER, n INTEGER);
    INSERT INTO sessions (session) VALUES ('s1'), ('s2');";

const ATTENDANCE: &str =
    "SELECT substr(owner_id, 1, 2) || ' ' || session_id || ' ' || id || ' ' || name || ' ' || webinar
     FROM attendance ORDER BY 1";

#[tokio::test]
async fn a_part_is_loaded_and_mirrored_by_itself() {
    let house = House::new(PEOPLE);
    let table = house.table(sync(), house.source().await).await;
    assert_eq!(table.match_on, ["owner_id", "session_id", "id"], "the partition belongs to the key");
    let planned = house.plan(&table, &part(ANN, "s1")).await;
    assert_eq!((planned.create, planned.delete), (3, 0));
    let (report, run) = house.run(&table, part(ANN, "s1")).await;
    assert_eq!((report.status, report.counts.created), (Status::Succeeded, 3), "{:?}", report.error);
    assert_eq!((run.about.owner.as_deref(), &run.about.params["session"][..]), (Some(ANN), "s1"));
    assert!(run.sync.starts_with("attendance#"), "{}", run.sync);
    let sessions = "SELECT session || ' ' || (seen LIKE '20__-%Z') || ' ' || run || ' ' || n FROM sessions WHERE seen IS NOT NULL";
    assert_eq!(house.rows(sessions), [format!("s1 1 {} 3", report.run)]);

    house.run(&table, part(ANN, "s2")).await;
    house.run(&table, part(BOB, "s1")).await;
    house.sql("DELETE FROM people WHERE id = 2; UPDATE people SET name = 'Bob' WHERE id = 3");
    let planned = house.plan(&table, &part(ANN, "s1")).await;
    assert_eq!((planned.create, planned.delete, planned.update), (0, 1, 2), "loaded_at changes in each");
    let (report, _) = house.run(&table, part(ANN, "s1")).await;
    assert_eq!((report.status, report.counts.deleted), (Status::Succeeded, 1), "{:?}", report.error);
    assert_eq!(
        house.rows(ATTENDANCE),
        [
            "0d s1 1 Zoë w1",
            "0d s1 3 Bob w1",
            "0d s2 1 Zoë w1",
            "0d s2 2 Li w1",
            "0d s2 3 Bo w1",
            "5f s1 1 Zoë w1",
            "5f s1 2 Li w1",
            "5f s1 3 Bo w1",
        ]
    );
    // the runs of the sync are those of its parts
    let runs = house.engine.store.runs(Some("attendance"), None, 9).await.unwrap();
    assert_eq!(runs.len(), 4);
    let of_part = house.engine.store.runs(Some(&runs[0].sync), None, 9).await.unwrap();
    assert_eq!(of_part.len(), 2, "those of one part");
}

#[tokio::test]
async fn what_is_held_waits_for_its_part_alone() {
    let house = House::new(PEOPLE);
    let table = house.table(sync(), house.source().await).await;
    for owner in [ANN, BOB] {
        house.run(&table, part(owner, "s1")).await;
    }
    house.sql("DELETE FROM people");
    let (report, run) = house.run(&table, part(ANN, "s1")).await;
    assert_eq!((report.status, report.counts.held), (Status::Partial, 3), "an empty source is held");
    let store = &house.engine.store;
    assert_eq!(store.held(Some(&run.sync), 9).await.unwrap().len(), 3);
    let lease = store.claim(&run.sync, house.engine.clock.now()).await.unwrap();
    store.approve(&lease, 3, house.engine.clock.now()).await.unwrap();
    drop(lease);
    let (report, _) = house.run(&table, part(ANN, "s1")).await;
    assert_eq!((report.status, report.counts.deleted), (Status::Succeeded, 3), "{:?}", report.error);
    let (report, _) = house.run(&table, part(BOB, "s1")).await;
    assert_eq!((report.status, report.counts.held), (Status::Partial, 3), "nobody approved this one");
    assert_eq!(house.rows("SELECT count(*) || '' FROM attendance"), ["3"]);
}

#[tokio::test]
async fn values_that_are_missing_are_told_before_anything_is_opened() {
    let house = House::new(PEOPLE);
    let table = house.table(sync(), house.source().await).await;
    let with = |change: fn(&mut Partition)| {
        let mut options = part(ANN, "s1");
        change(&mut options.partition);
        options
    };
    for (options, expected) in [
        (
            with(|p| drop(p.params.remove("session"))),
            "params: sync \"attendance\" needs a value for session; its parameters: webinar, session",
        ),
        (with(|p| p.owner = None), "params: sync \"attendance\" is run for a user"),
        (
            with(|p| drop(p.params.insert("sesion".into(), "x".into()))),
            "params: sync \"attendance\" has no parameter \"sesion\"",
        ),
        (
            with(|p| drop(p.params.insert("session".into(), String::new()))),
            "params: sync \"attendance\" needs a value",
        ),
    ] {
        let refused = house.try_run(&table, options).await.expect_err("values are missing");
        assert!(refused.starts_with(expected), "{refused}");
    }
    assert!(house.engine.store.runs(None, None, 9).await.unwrap().is_empty(), "no run was opened");
}

#[tokio::test]
async fn a_table_that_is_there_says_what_type_its_parameters_have() {
    let house = House::new(PEOPLE);
    house.sql(
        "CREATE TABLE attendance (owner_id UUID NOT NULL, session_id INTEGER NOT NULL, id INTEGER NOT NULL, name TEXT, \
         webinar TEXT, loaded_at TIMESTAMP, PRIMARY KEY (owner_id, session_id, id))",
    );
    let table = house.table(sync(), house.source().await).await;
    let upper = ANN.to_uppercase();
    for owner in [ANN, upper.as_str()] {
        let (report, _) = house.run(&table, part(owner, "007")).await;
        assert_eq!(report.status, Status::Succeeded, "{:?}", report.error);
    }
    let rows = house
        .rows("SELECT DISTINCT owner_id || ' ' || session_id || ' ' || typeof(session_id) FROM attendance");
    assert_eq!(rows, [format!("{ANN} 7 integer")], "however they are written, they are the same");
    let refused = house.try_run(&table, part(ANN, "seven")).await.unwrap();
    let error = refused.error.expect("no number");
    assert_eq!(error.code(), "params");
    assert!(error.to_string().contains("session_id") && !error.to_string().contains("seven"), "{error}");
}

/// What a [`Script`] shows next.
#[derive(Clone, Default)]
struct Listing {
    /// Id and name; none: it is gone.
    records: Vec<(i64, Option<&'static str>)>,
    resume: Option<&'static str>,
    shortfall: Option<&'static str>,
    /// The position is lost, after so many records.
    lost_after: Option<usize>,
}

/// A source that tells changes by tokens. No database does.
#[derive(Default)]
struct Script {
    next: Mutex<Vec<Listing>>,
    /// From where it was read, and with what.
    asked: Mutex<Vec<(Option<Value<'static>>, Params)>>,
}

impl Script {
    fn shows(&self, listings: &[Listing]) {
        self.next.lock().unwrap().extend(listings.iter().rev().cloned());
    }

    fn asked(&self) -> Vec<Option<String>> {
        let asked = self.asked.lock().unwrap();
        let text = |value: &Value<'static>| match value {
            Value::Text(text) => text.to_string(),
            other => panic!("no token: {other:?}"),
        };
        asked.iter().map(|(from, _)| from.as_ref().map(text)).collect()
    }
}

#[async_trait]
impl Source for Script {
    async fn describe(&self, stream: &str) -> Result<Stream, Error> {
        Ok(Stream {
            name: stream.into(),
            id: stream.into(),
            fields: vec![
                Field::new("id", FieldType::Int64, false),
                Field::new("name", FieldType::Text, true),
            ],
            primary_key: vec!["id".into()],
            params: vec![("webinar".into(), false)],
            tells_changes: true,
            ..Stream::default()
        })
    }

    async fn streams(&self) -> Result<Vec<String>, Error> {
        Ok(vec!["people".into()])
    }

    async fn read(&self, request: Read) -> Result<Box<dyn Reader>, Error> {
        let from = request.from.map(|position| position.cursor);
        self.asked.lock().unwrap().push((from, request.params));
        let listing = self.next.lock().unwrap().pop().expect("a listing");
        Ok(Box::new(Told { listing, columns: request.columns, at: 0 }))
    }

    async fn fetch(&self, _: Fetch) -> Result<Batch, Error> {
        panic!("nothing is fetched here")
    }

    async fn duplicate_keys(
        &self,
        _: &str,
        _: &[String],
        _: usize,
    ) -> Result<Vec<Vec<Value<'static>>>, Error> {
        Ok(Vec::new())
    }
}

struct Told {
    listing: Listing,
    columns: Vec<String>,
    at: usize,
}

#[async_trait]
impl Reader for Told {
    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        if self.listing.lost_after.is_some_and(|after| self.at >= after) {
            return Err(Error::new(Kind::PositionLost, "410 Gone"));
        }
        let Some((id, name)) = self.listing.records.get(self.at).copied() else { return Ok(None) };
        self.at += 1;
        let kinds = self.columns.iter().map(|c| match c.as_str() {
            "id" => Field::new("id", FieldType::Int64, false),
            name => Field::new(name, FieldType::Text, true),
        });
        let mut builder = BatchBuilder::new(kinds.collect());
        for (at, column) in self.columns.iter().enumerate() {
            let value = match (column.as_str(), name) {
                ("id", _) => Value::Int64(id),
                (_, Some(name)) => Value::Text(name.into()),
                (_, None) => Value::Null,
            };
            builder.push(at, &value).unwrap();
        }
        builder.end_record(if name.is_some() { RecordOp::Upsert } else { RecordOp::Delete });
        Ok(Some(builder.finish(Positions::None)))
    }

    fn resume(&self) -> Option<Position> {
        let token = self.listing.resume?;
        Some(Position { cursor: Value::Text(token.into()), key: Vec::new() })
    }

    fn shortfall(&self) -> Option<String> {
        self.listing.shortfall.map(str::to_owned)
    }
}

fn told(records: &[(i64, Option<&'static str>)], resume: &'static str) -> Listing {
    Listing { records: records.to_vec(), resume: Some(resume), ..Listing::default() }
}

/// A sync of everything the source tells into `copy`.
fn changes() -> Sync {
    let base = pairs::sync("people", "copy");
    Sync {
        name: "copy".into(),
        mode: Mode::Incremental,
        write: Write::Mirror,
        deletes: Deletes { policy: DeletePolicy::Delete, ..base.deletes },
        fields: vec![
            field("id", Origin::Column("id".into())),
            FieldMap { required: true, ..field("name", Origin::Column("name".into())) },
        ],
        rest: false,
        ..base
    }
}

const COPY: &str = "SELECT id || ' ' || name FROM copy ORDER BY id";

#[tokio::test]
async fn tokens_of_the_source_say_where_to_go_on() {
    let house = House::new("SELECT 1");
    let script = Arc::new(Script::default());
    let table = house.table(changes(), script.clone()).await;
    script.shows(&[
        told(&[(1, Some("a")), (2, Some("b")), (3, Some("c"))], "t1"),
        told(&[(2, None), (3, Some("C")), (9, None)], "t2"),
        told(&[], "t3"),
        told(&[(4, Some("d"))], "t4"),
    ]);
    let mut told = Vec::new();
    for _ in 0..4 {
        let (report, _) = house.run(&table, load::run::Options::default()).await;
        assert_eq!(report.status, Status::Succeeded, "{:?}", report.error);
        told.push((report.counts.created, report.counts.updated, report.counts.deleted));
    }
    assert_eq!(told, [(3, 0, 0), (0, 1, 1), (0, 0, 0), (1, 0, 0)]);
    let some = |token: &str| Some(token.to_owned());
    assert_eq!(script.asked(), [None, some("t1"), some("t2"), some("t3")]);
    assert_eq!(house.rows(COPY), ["1 a", "3 C", "4 d"]);
}

#[tokio::test]
async fn a_lost_position_makes_the_load_begin_again_once() {
    let house = House::new("SELECT 1");
    let script = Arc::new(Script::default());
    let table = house.table(changes(), script.clone()).await;
    let lost =
        |after| Listing { lost_after: Some(after), ..told(&[(1, Some("x")), (7, Some("y"))], "never") };
    script.shows(&[
        told(&[(1, Some("a")), (2, Some("b"))], "t1"),
        // of a plan
        lost(1),
        told(&[(1, Some("A"))], "t2"),
        // of the run
        lost(1),
        told(&[(1, Some("A"))], "t2"),
        // lost at once, and again in the full listing
        lost(0),
        lost(1),
    ]);
    house.run(&table, load::run::Options::default()).await;
    let planned = house.plan(&table, &load::run::Options::default()).await;
    assert_eq!((planned.update, planned.delete), (1, 1));
    let lost = "the source does not know the position any more: everything is read";
    assert_eq!((planned.mode.as_str(), planned.reason.as_deref()), ("full", Some(lost)));
    let (report, run) = house.run(&table, load::run::Options::default()).await;
    assert_eq!((report.status, report.counts.deleted), (Status::Succeeded, 1), "{:?}", report.error);
    assert!(run.notes.iter().any(|note| note == lost), "{:?}", run.notes);
    assert_eq!(house.rows(COPY), ["1 A"]);
    let (report, _) = house.run(&table, load::run::Options::default()).await;
    assert_eq!(report.status, Status::Failed, "once, and not for ever");
    assert_eq!(house.rows(COPY), ["1 A"]);
    assert_eq!(script.asked().len(), 7);
}

#[tokio::test]
async fn of_a_listing_that_falls_short_nothing_is_gone() {
    let house = House::new("SELECT 1");
    let script = Arc::new(Script::default());
    let table = house.table(Sync { mode: Mode::Full, ..changes() }, script.clone()).await;
    let short = Listing { shortfall: Some("only 5,000 are shown"), ..told(&[(2, Some("B"))], "t2") };
    script.shows(&[told(&[(1, Some("a")), (2, Some("b"))], "t1"), short.clone(), short]);
    house.run(&table, load::run::Options::default()).await;
    let planned = house.plan(&table, &load::run::Options::default()).await;
    assert_eq!((planned.update, planned.delete), (1, 0));
    let (report, run) = house.run(&table, load::run::Options::default()).await;
    assert_eq!((report.status, report.counts.deleted), (Status::Succeeded, 0), "{:?}", report.error);
    assert!(run.notes.iter().any(|note| note.contains("only 5,000 are shown")), "{:?}", run.notes);
    assert_eq!(house.rows(COPY), ["1 a", "2 B"]);
}

#[tokio::test]
async fn a_source_is_given_the_parameters_that_it_takes() {
    let house = House::new(PEOPLE);
    let script = Arc::new(Script::default());
    let mut sync = Sync { mode: Mode::Incremental, ..sync() };
    sync.from.key.columns = syncline_core::sync::KeyColumns::PrimaryKey;
    let table = house.table(sync, script.clone()).await;
    script.shows(&[
        told(&[(1, Some("a"))], "s1-1"),
        told(&[(1, Some("b"))], "s2-1"),
        told(&[(1, None)], "s1-2"),
    ]);
    for session in ["s1", "s2", "s1"] {
        let (report, _) = house.run(&table, part(ANN, session)).await;
        assert_eq!(report.status, Status::Succeeded, "{:?}", report.error);
    }
    let given = Params::from([("webinar".to_owned(), "w1".to_owned())]);
    assert!(script.asked.lock().unwrap().iter().all(|(_, params)| *params == given));
    assert_eq!(script.asked(), [None, None, Some("s1-1".to_owned())], "each part has a position of its own");
    assert_eq!(house.rows(ATTENDANCE), ["0d s2 1 b w1"]);
}
