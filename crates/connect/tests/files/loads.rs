//! Loads into files: what is written is read back, and a load happens once or not at all.

use std::{fs, sync::Arc, time::Duration};

use serde_json::json;
use syncline_connect::{
    Database, Error,
    conformance::source::Kit,
    database::{Absent, Claim, Column, Commit, Gone, How, Load, Merge, Outcome, Rows, Shape},
    error::Kind,
};
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions, RecordOp},
    schema::{Field, FieldType},
    sync::{DeletePolicy, Deletes, Detect},
    value::Value,
};

use super::{
    full,
    kit::{Directory, Format},
    rows, text,
};

fn claim(sync: &str, table: &str) -> Claim {
    Claim {
        sync: sync.into(),
        table: table.into(),
        lock_timeout: Duration::ZERO,
        replaces: true,
        partition: Vec::new(),
        dry: false,
    }
}

fn shape(fields: &[Field], how: How) -> Shape {
    let column = |f: &Field| Column {
        name: f.name.clone(),
        kind: f.kind.clone(),
        declared: f.kind.to_string(),
        nullable: f.nullable,
    };
    Shape {
        columns: fields.iter().map(column).collect(),
        key: vec![fields[0].name.clone()],
        takes_place: how == How::Replace,
        ..Shape::default()
    }
}

fn commit(how: How, cursor: &str, staged: u64) -> Commit {
    Commit {
        merge: Merge { how, update: Vec::new(), insert: Vec::new(), update_when: None, gone: Gone::Stay },
        absent: Absent::Unknown,
        guard: Deletes {
            policy: DeletePolicy::Ignore,
            guard_count: 10,
            guard_percent: 10.0,
            out_of_filter: false,
            detect: Detect::Listing,
        },
        approved: None,
        after: Vec::new(),
        params: std::collections::BTreeMap::new(),
        reindex: false,
        cursor: Some(cursor.into()),
        started_at: 7,
        staged,
    }
}

fn records(fields: &[Field], rows: &[Vec<Value<'static>>]) -> Batch {
    let mut builder = BatchBuilder::new(fields.to_vec().into());
    for row in rows {
        for (column, value) in row.iter().enumerate() {
            builder.push(column, value).expect("a value of the column's type");
        }
        builder.end_record(RecordOp::Upsert);
    }
    builder.finish(Positions::None)
}

async fn open(database: &Arc<dyn Database>, claim: &Claim) -> Box<dyn Load> {
    database.open(claim).await.unwrap_or_else(|e| panic!("{e}"))
}

async fn stage(
    load: &mut dyn Load,
    fields: &[Field],
    how: How,
    rows: &[Vec<Value<'static>>],
) -> Result<u64, Error> {
    let mut writer = load.stage(&shape(fields, how), 1).await?.remove(0);
    // several batches, so that files are made in parts
    for part in rows.chunks(3) {
        writer.write(Rows::Batch(records(fields, part))).await?;
    }
    writer.finish().await
}

/// A whole load.
async fn load(
    database: &Arc<dyn Database>,
    table: &str,
    how: How,
    fields: &[Field],
    rows: &[Vec<Value<'static>>],
    cursor: &str,
) -> Result<Outcome, Error> {
    let mut load = open(database, &claim("copy", table)).await;
    let staged = stage(&mut *load, fields, how, rows).await?;
    let outcome = load.commit(&commit(how, cursor, staged)).await?;
    load.close().await?;
    Ok(outcome)
}

fn ids() -> Vec<Field> {
    vec![Field::new("id", FieldType::Int64, false), Field::new("name", FieldType::Text, true)]
}

fn row(id: i64, name: &str) -> Vec<Value<'static>> {
    vec![Value::Int64(id), text(name)]
}

/// Names of everything in a directory but what a load leaves for the next one.
fn listed(directory: &Directory, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(directory.path(folder)).expect("a directory");
    let names = entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|n| !n.ends_with(".lock") && !n.ends_with(".state.json")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn every_value_comes_back() {
    for format in [Format::Csv, Format::Jsonl, Format::Parquet] {
        let directory = Directory::new(format);
        let database = directory.database(json!({ "path": "." })).await;
        let decimal = |precision, scale| FieldType::Decimal { precision, scale };
        let list = |of| FieldType::List(Box::new(of));
        let kinds = [
            FieldType::Boolean,
            FieldType::Int64,
            FieldType::Float64,
            decimal(Some(30), Some(4)),
            decimal(Some(60), Some(4)),
            decimal(Some(90), Some(4)),
            decimal(None, None),
            FieldType::Text,
            FieldType::Binary,
            FieldType::Date,
            FieldType::Time,
            FieldType::Timestamp { zoned: true },
            FieldType::Timestamp { zoned: false },
            FieldType::Uuid,
            FieldType::Json,
            list(FieldType::Text),
            list(FieldType::Int64),
            list(decimal(None, None)),
        ];
        for (number, kind) in kinds.iter().enumerate() {
            let bounded = matches!(kind, FieldType::Decimal { precision: Some(_), .. });
            let numbers = |v: &Value<'static>| {
                !bounded || !matches!(v, Value::Decimal(t) if t.contains('N') || t.contains('I'))
            };
            let values = directory.values(kind).into_iter().filter(numbers).chain([Value::Null]);
            let written: Vec<_> = values.enumerate().map(|(i, v)| vec![Value::Int64(i as i64), v]).collect();
            let fields = [Field::new("id", FieldType::Int64, false), Field::new("v", kind.clone(), true)];
            let table = format!("t{number}.{}", format.ending());
            let outcome = load(&database, &table, How::Replace, &fields, &written, "{}").await;
            let outcome = outcome.unwrap_or_else(|e| panic!("{format:?} {kind}: {e}"));
            assert_eq!((outcome.created, outcome.notes.len()), (written.len() as u64, 0));
            let described = directory.source().await.describe(&table).await.unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(
                (&described.fields[1].kind, &described.primary_key[..]),
                (kind, &["id".to_owned()][..])
            );
            let read = rows(&directory, full(&table, &["id", "v"])).await;
            // the scale of a decimal is that of its column in Parquet
            let normal = |rows: Vec<Vec<Value<'static>>>| -> Vec<Vec<Value<'static>>> {
                let value = |v: Value<'static>| match v {
                    Value::Decimal(t) if bounded => Value::Decimal(syncline_core::decimal::normal(&t).into()),
                    other => other,
                };
                rows.into_iter().map(|r| r.into_iter().map(value).collect()).collect()
            };
            assert_eq!(normal(read), normal(written), "{format:?} {kind}");
        }
    }
}

#[tokio::test]
async fn decimals_of_every_length_are_numbers_in_parquet() {
    let directory = Directory::new(Format::Parquet);
    let database = directory.database(json!({ "path": "." })).await;
    for precision in 1..=76_u32 {
        let kind = FieldType::Decimal { precision: Some(precision), scale: Some(0) };
        let fields = [Field::new("v", kind.clone(), true)];
        let nines = "9".repeat(precision as usize);
        let written =
            [nines.clone(), format!("-{nines}"), "0".into()].map(|d| vec![Value::Decimal(d.into())]);
        let outcome = load(&database, "t.parquet", How::Replace, &fields, &written, "{}").await;
        assert!(outcome.is_ok(), "{precision}: {outcome:?}");
        fs::remove_file(directory.path("t.parquet.schema.json")).expect("the schema");
        let described =
            directory.source().await.describe("t.parquet").await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(described.fields[0].kind, kind);
        assert_eq!(rows(&directory, full("t.parquet", &["v"])).await, written, "{precision} digits");
    }
}

#[tokio::test]
async fn parquet_files_say_their_types_themselves() {
    let directory = Directory::new(Format::Parquet);
    let database = directory.database(json!({ "path": "." })).await;
    let kinds = [
        FieldType::Int64,
        FieldType::Decimal { precision: Some(14), scale: Some(2) },
        FieldType::Uuid,
        FieldType::Json,
        FieldType::Timestamp { zoned: true },
        FieldType::List(Box::new(FieldType::Text)),
    ];
    let fields: Vec<_> =
        kinds.iter().enumerate().map(|(i, k)| Field::new(format!("c{i}"), k.clone(), i > 0)).collect();
    let outcome = load(&database, "t.parquet", How::Replace, &fields, &[], "{}").await;
    assert_eq!(outcome.map(|o| o.created).ok(), Some(0));
    fs::remove_file(directory.path("t.parquet.schema.json")).expect("the schema");
    let described = directory.source().await.describe("t.parquet").await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(described.fields.iter().map(|f| f.kind.clone()).collect::<Vec<_>>(), kinds);
    assert!(!described.fields[0].nullable && described.fields[1].nullable);
}

#[tokio::test]
async fn a_load_takes_the_place_of_a_file_and_remembers() {
    let directory = Directory::new(Format::Csv);
    let database = directory.database(json!({ "path": "." })).await;
    assert_eq!(database.describe("t.csv").await.ok(), Some(None));
    assert_eq!(database.state("copy", "t.csv").await.ok(), Some(None));
    let first = load(&database, "t.csv", How::Replace, &ids(), &[row(1, "a"), row(2, "")], "one").await;
    assert!(first.is_ok());
    assert_eq!(fs::read_to_string(directory.path("t.csv")).ok().as_deref(), Some("id,name\n1,a\n2,\"\"\n"));
    let second = load(&database, "t.csv", How::Replace, &ids(), &[row(3, "x,\"y")], "two").await;
    assert!(second.is_ok());
    assert_eq!(fs::read_to_string(directory.path("t.csv")).ok().as_deref(), Some("id,name\n3,\"x,\"\"y\"\n"));
    let state = database.state("copy", "t.csv").await.ok().flatten().expect("a state");
    assert_eq!((state.epoch, state.cursor.as_deref(), state.started_at), (2, Some("two"), Some(7)));
    assert_eq!(database.state("other", "t.csv").await.ok(), Some(None));
    let table = database.describe("t.csv").await.ok().flatten().expect("a table");
    assert_eq!(table.stream.fields[0].native.as_deref(), Some("int64"));
    let mut looking = open(&database, &claim("copy", "t.csv")).await;
    assert_eq!((looking.known().await.ok(), looking.remembers()), (Some(1), true));
    assert_eq!(listed(&directory, "_syncline"), [""; 0], "nothing is left behind");
    assert_eq!(directory.source().await.streams().await.ok(), Some(vec!["t.csv".to_owned()]));
}

#[tokio::test]
async fn a_directory_gets_a_file_for_each_load() {
    let directory = Directory::new(Format::Jsonl);
    let database = directory.database(json!({ "path": ".", "format": "jsonl" })).await;
    for (id, how) in [(1, How::Replace), (2, How::Append), (3, How::Append)] {
        assert!(load(&database, "t/", how, &ids(), &[row(id, "x")], "{}").await.is_ok());
    }
    let nothing = load(&database, "t/", How::Append, &ids(), &[], "four").await;
    assert!(nothing.is_ok());
    assert_eq!(
        listed(&directory, "t"),
        ["part-000000000001.jsonl", "part-000000000002.jsonl", "part-000000000003.jsonl"]
    );
    let state = database.state("copy", "t/").await.ok().flatten().expect("a state");
    assert_eq!(state.cursor.as_deref(), Some("four"), "a load of nothing remembers too");
    assert_eq!(rows(&directory, full("t/", &["id"])).await, [1, 2, 3].map(|id| [Value::Int64(id)]));
    // a column that is not given is null in what is added
    let only_ids = &ids()[..1];
    assert!(load(&database, "t/", How::Append, only_ids, &[vec![Value::Int64(5)]], "{}").await.is_ok());
    assert_eq!(rows(&directory, full("t/", &["name"])).await[3], [Value::Null]);
    assert!(load(&database, "t/", How::Replace, &ids(), &[row(9, "z")], "{}").await.is_ok());
    assert_eq!(listed(&directory, "t"), ["part-000000000006.jsonl"]);
    assert_eq!(rows(&directory, full("t/", &["id"])).await, [[Value::Int64(9)]]);
}

#[tokio::test]
async fn a_load_that_dies_leaves_the_table_as_it_was() {
    let directory = Directory::new(Format::Csv);
    let database = directory.database(json!({ "path": "." })).await;
    assert!(load(&database, "t.csv", How::Replace, &ids(), &[row(1, "a")], "one").await.is_ok());
    let before = fs::read(directory.path("t.csv")).expect("the file");
    let mut dying = open(&database, &claim("copy", "t.csv")).await;
    assert!(stage(&mut *dying, &ids(), How::Replace, &[row(2, "b")]).await.is_ok());
    drop(dying);
    assert_eq!(listed(&directory, "_syncline").len(), 2, "the staged file and its schema");
    assert_eq!(fs::read(directory.path("t.csv")).ok(), Some(before));
    let next = open(&database, &claim("copy", "t.csv")).await;
    assert_eq!(next.state().and_then(|s| s.cursor.as_deref()), Some("one"));
    assert_eq!(listed(&directory, "_syncline"), [""; 0], "what a dead load left is removed");
}

#[tokio::test]
async fn a_load_that_dies_behind_its_commit_has_happened() {
    let directory = Directory::new(Format::Csv);
    let database = directory.database(json!({ "path": "." })).await;
    assert!(load(&database, "t.csv", How::Replace, &ids(), &[row(1, "a")], "one").await.is_ok());
    // as a commit leaves it that dies before it moves its file
    let state = fs::read_dir(directory.path("_syncline")).expect("a directory");
    let state =
        state.map(|e| e.expect("an entry").path()).find(|p| p.to_string_lossy().ends_with(".state.json"));
    let path = state.expect("the state");
    let mut document: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).expect("the state")).expect("JSON");
    document["syncs"]["copy"]["cursor"] = "two".into();
    document["pending"] = json!({ "moves": [["_syncline/staged.csv", "t.csv"]], "removes": [] });
    fs::write(&path, document.to_string()).expect("the state");
    directory.put("_syncline/staged.csv", "id,name\n2,b\n");
    for _ in 0..2 {
        let next = open(&database, &claim("copy", "t.csv")).await;
        assert_eq!(next.state().and_then(|s| s.cursor.as_deref()), Some("two"));
        assert_eq!(rows(&directory, full("t.csv", &["id"])).await, [[Value::Int64(2)]]);
    }
    let document: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).expect("the state")).expect("JSON");
    assert_eq!(document.get("pending"), None);
}

#[tokio::test]
async fn one_load_at_a_time() {
    let directory = Directory::new(Format::Csv);
    let database = directory.database(json!({ "path": "." })).await;
    let mut holder = open(&database, &claim("first", "t.csv")).await;
    let Err(error) = database.open(&claim("second", "t.csv")).await else { panic!("two loads at once") };
    assert_eq!(
        (error.kind, error.message.as_str()),
        (Kind::Locked, "\"t.csv\" is being loaded by \"first\"")
    );
    assert!(database.open(&claim("second", "u.csv")).await.is_ok(), "another table is free");
    // as if somebody else had begun a load where there are no locks
    let path =
        fs::read_dir(directory.path("_syncline")).expect("a directory").map(|e| e.expect("an entry").path());
    for path in path.filter(|p| p.to_string_lossy().ends_with(".state.json")) {
        let document = fs::read_to_string(&path).expect("the state").replace("\"epoch\": 1", "\"epoch\": 5");
        fs::write(&path, document).expect("the state");
    }
    let staged =
        stage(&mut *holder, &ids(), How::Replace, &[row(1, "a")]).await.unwrap_or_else(|e| panic!("{e}"));
    let Err(error) = holder.commit(&commit(How::Replace, "{}", staged)).await else { panic!("an old epoch") };
    assert_eq!(error.kind, Kind::Locked);
    assert!(!directory.path("t.csv").exists());
    drop(holder);
    assert!(database.open(&claim("second", "t.csv")).await.is_ok(), "a lock goes with its load");
}

#[tokio::test]
async fn what_files_cannot_do_is_said() {
    let directory = Directory::new(Format::Csv);
    let database = directory.database(json!({ "path": "." })).await;
    assert!(load(&database, "t.csv", How::Replace, &ids(), &[row(1, "a")], "{}").await.is_ok());
    let refused = |result: Result<Outcome, Error>| match result {
        Ok(_) => panic!("it was accepted"),
        Err(error) => (error.kind, error.message),
    };
    let append = refused(load(&database, "t.csv", How::Append, &ids(), &[], "{}").await);
    assert_eq!(append, (Kind::Definition, "\"t.csv\": a file is not appended to".to_owned()));
    let mut merging = open(&database, &claim("copy", "t.csv")).await;
    let merge = refused(merging.commit(&commit(How::Merge, "{}", 0)).await);
    assert_eq!(merge, (Kind::Definition, "\"t.csv\": files cannot be merged".to_owned()));
    let mut after = commit(How::Replace, "{}", 0);
    after.after.push("select 1".into());
    assert_eq!(refused(merging.commit(&after).await).0, Kind::Definition);
    drop(merging);
    for name in ["../t.csv", "", "/", "a/../b.csv", "_x.csv", "orders", "orders/"] {
        let refused = database.describe(name).await.map_err(|e| e.kind);
        assert_eq!(refused.err(), Some(Kind::Definition), "{name:?}");
    }
    let before = directory.contents().await;
    let mut look = open(&database, &Claim { dry: true, ..claim("copy", "t.csv") }).await;
    assert_eq!(stage(&mut *look, &ids(), How::Replace, &[row(1, "a")]).await.ok(), Some(1));
    let preview = look.preview(&commit(How::Replace, "{}", 1), 9).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((preview.created, preview.known), (1, 1));
    assert!(look.commit(&commit(How::Replace, "{}", 1)).await.is_err());
    assert!(look.close().await.is_ok());
    assert_eq!(directory.contents().await, before, "a look leaves no trace");
}
