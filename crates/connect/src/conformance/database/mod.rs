//! What every destination of bulk loads in a SQL database must do.
//!
//! A connector's tests give a [`Kit`], which opens an empty database and runs plain SQL in it, and call [`run`]. A broken promise
//! panics with the promise. Values in panics are the suite's own.

mod evolve;
mod gone;
mod load;
mod look;
mod names;
mod parts;
mod state;
mod values;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions, RecordOp},
    schema::{Field, FieldType},
    sync::{DeletePolicy, Deletes},
    value::Value,
};

use crate::{
    Database, Error, Source,
    database::{
        Absent, Change, Claim, Column, Commit, Gone, How, Load, Merge, Outcome, Rows, Shape,
        dialect::{Dialect, Layout, Named},
    },
};

/// Name of the sync of most loads.
const SYNC: &str = "suite";

/// A real database that is empty at the beginning. Its methods panic when it does not play along.
#[async_trait]
pub trait Kit: Send + Sync {
    /// Opens it as a destination.
    async fn database(&self) -> Arc<dyn Database>;

    /// Opens it as a source.
    async fn source(&self) -> Arc<dyn Source>;

    /// Runs a statement, on a connection of its own.
    async fn run(&self, sql: &str);

    /// Runs a query whose columns are texts.
    async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>>;

    /// Names of all tables, staging tables too.
    async fn tables(&self) -> Vec<String>;

    /// Facts and rendering.
    fn dialect(&self) -> &'static Dialect;

    /// A table's name as a user writes it; by default quoted.
    fn written(&self, table: &str) -> String {
        self.dialect().quote(table)
    }

    /// Statements after which every update of a row of `table` adds a row to the table `touched` (one integer column);
    /// empty: there are no triggers.
    fn count_updates(&self, table: &str) -> Vec<String>;

    /// Whether parts of one table can be loaded at once; else each holds the table.
    fn loads_parts_at_once(&self) -> bool {
        true
    }

    /// A smaller and a larger integer type, where columns can be widened.
    fn wider(&self) -> Option<(&'static str, &'static str)>;

    /// Values of `kind`, extremes included, that a table made for it keeps exactly. Empty: there is no such type.
    fn values(&self, kind: &FieldType) -> Vec<Value<'static>>;

    /// Values of `kind` that a table made for it cannot keep, so that they must be refused one by one.
    fn refused(&self, kind: &FieldType) -> Vec<Value<'static>>;
}

/// Runs the suite.
pub async fn run(kit: &dyn Kit) {
    load::run(kit).await;
    gone::run(kit).await;
    state::run(kit).await;
    parts::run(kit).await;
    look::run(kit).await;
    evolve::run(kit).await;
    names::run(kit).await;
    values::run(kit).await;
}

/// A staged record.
type Record = (Vec<Value<'static>>, RecordOp);

fn column(kit: &dyn Kit, name: &str, kind: FieldType, key: bool) -> Column {
    let declared = (kit.dialect().declare)(&kind, key);
    Column { name: name.into(), kind, declared, nullable: !key }
}

/// One table of integers and texts, and loads into it.
struct Bench<'a> {
    kit: &'a dyn Kit,
    database: Arc<dyn Database>,
    table: String,
    shape: Shape,
}

impl<'a> Bench<'a> {
    /// A table that is not there yet, of the columns `id` (its key), `name` and `n`.
    async fn new(kit: &'a dyn Kit, table: &str) -> Self {
        let columns = vec![
            column(kit, "id", FieldType::Int64, true),
            column(kit, "name", FieldType::Text, false),
            column(kit, "n", FieldType::Int64, false),
        ];
        let key = vec!["id".to_owned()];
        let shape =
            Shape { columns, changes: vec![Change::Create { key: key.clone() }], key, ..Shape::default() };
        Self { kit, database: kit.database().await, table: table.into(), shape }
    }

    /// Makes the table, by hand, with these rows.
    async fn with(kit: &'a dyn Kit, table: &str, rows: &[(i64, Option<&str>, i64)]) -> Self {
        let bench = Self::new(kit, table).await;
        let layout = Layout { columns: &bench.shape.columns, key: &bench.shape.key };
        kit.run(&kit.dialect().create_table(&bench.named(), layout)).await;
        for (id, name, n) in rows {
            let name = name.map_or("NULL".to_owned(), |name| format!("'{name}'"));
            kit.run(&format!("INSERT INTO {} VALUES ({id}, {name}, {n})", bench.quoted())).await;
        }
        bench
    }

    fn named(&self) -> Named {
        Named { schema: None, name: self.table.clone() }
    }

    fn quoted(&self) -> String {
        self.kit.dialect().quote(&self.table)
    }

    fn q(&self, column: &str) -> String {
        self.kit.dialect().quote(column)
    }

    fn claim(&self) -> Claim {
        Claim {
            sync: SYNC.into(),
            table: self.kit.written(&self.table),
            lock_timeout: Duration::from_secs(20),
            replaces: self.shape.takes_place,
            partition: Vec::new(),
            dry: false,
        }
    }

    async fn open(&self) -> Box<dyn Load> {
        fine(self.database.open(&self.claim()).await, "open a load")
    }

    /// Opens a load and stages `records` in the bench's shape.
    async fn staged(&self, records: &[Record]) -> Box<dyn Load> {
        let mut load = self.open().await;
        stage(load.as_mut(), &self.shape, records).await;
        load
    }

    /// A commit that merges `records`, updates all but the key, and knows nothing of absent ones.
    fn commit(&self, records: &[Record]) -> Commit {
        let names: Vec<_> = self.shape.columns.iter().map(|c| c.name.clone()).collect();
        let update = names.iter().filter(|name| !self.shape.key.contains(name)).cloned().collect();
        let merge = Merge { how: How::Merge, update, insert: names, update_when: None, gone: Gone::Stay };
        Commit {
            merge,
            absent: Absent::Unknown,
            guard: guard(),
            approved: None,
            after: Vec::new(),
            params: std::collections::BTreeMap::new(),
            reindex: false,
            cursor: Some("\"here\"".into()),
            started_at: 1_769_853_600_000_000,
            staged: records.len() as u64,
        }
    }

    /// A whole load.
    async fn load(&self, records: &[Record], commit: &Commit) -> Outcome {
        let mut load = self.staged(records).await;
        let outcome = fine(load.commit(commit).await, "commit a load");
        fine(load.close().await, "close a load");
        outcome
    }

    /// The columns of all rows as texts, in the order of the first.
    async fn read(&self, columns: &[&str]) -> Vec<Vec<Option<String>>> {
        let texts: Vec<_> = columns.iter().map(|c| (self.kit.dialect().as_text)(&self.q(c))).collect();
        // with its table, for a bare name may be that of the text
        let (table, first) = (self.quoted(), self.q(columns[0]));
        let sql = format!("SELECT {} FROM {table} ORDER BY {table}.{first}", texts.join(", "));
        self.kit.rows(&sql).await
    }

    /// The table's rows: id, name and n, with `-` for null.
    async fn rows(&self) -> Vec<String> {
        let rows = self.read(&["id", "name", "n"]).await;
        let cell = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "-".into());
        rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" ")).collect()
    }

    async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT {} FROM {table}", (self.kit.dialect().as_text)("count(*)"));
        let rows = self.kit.rows(&sql).await;
        rows[0][0].as_ref().and_then(|n| n.parse().ok()).expect("a count")
    }
}

fn guard() -> Deletes {
    Deletes {
        policy: DeletePolicy::Delete,
        guard_count: 3,
        guard_percent: 30.0,
        out_of_filter: false,
        detect: Default::default(),
    }
}

/// A living record of a [`Bench`].
fn record(id: i64, name: Option<&str>, n: i64) -> Record {
    let name = name.map_or(Value::Null, |name| Value::Text(name.to_owned().into()));
    (vec![Value::Int64(id), name, Value::Int64(n)], RecordOp::Upsert)
}

/// One that is gone: of a tombstone only the key is sure.
fn tombstone(id: i64) -> Record {
    (vec![Value::Int64(id), Value::Null, Value::Null], RecordOp::Delete)
}

fn batch(columns: &[Column], records: &[Record]) -> Batch {
    let fields = columns.iter().map(|c| Field::new(c.name.clone(), c.kind.clone(), true));
    let mut builder = BatchBuilder::new(fields.collect());
    for (values, op) in records {
        for (at, value) in values.iter().enumerate() {
            builder.push(at, value).expect("a value of the column's type");
        }
        builder.end_record(*op);
    }
    builder.finish(Positions::None)
}

/// Stages records, one batch for every two of them. A table that is there is not made.
async fn stage(load: &mut dyn Load, shape: &Shape, records: &[Record]) {
    let mut shape = shape.clone();
    if load.table().is_some() {
        shape.changes.retain(|change| !matches!(change, Change::Create { .. }));
    }
    let mut writers = fine(load.stage(&shape, 1).await, "make a staging table");
    let mut writer = writers.pop().expect("at least one writer");
    let mut total = 0;
    for records in records.chunks(2) {
        let rows = Rows::Batch(batch(&shape.columns, records));
        fine(writer.write(rows).await, "stage rows");
        total += records.len() as u64;
    }
    assert_eq!(fine(writer.finish().await, "finish staging"), total, "the destination counts what it staged");
    for writer in writers {
        fine(writer.finish().await, "finish a writer that got nothing");
    }
}

fn fine<T>(result: Result<T, Error>, what: &str) -> T {
    result.unwrap_or_else(|e| panic!("{what}: {e} ({:?}; {:?})", e.kind, e.hint))
}

fn refused<T>(result: Result<T, Error>, what: &str) -> Error {
    match result {
        Ok(_) => panic!("{what}: must be refused"),
        Err(error) => error,
    }
}
