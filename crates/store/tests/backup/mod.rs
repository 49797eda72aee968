//! Backups of both stores, and what is not restored.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use jiff::Timestamp;
use syncline_core::{
    cursor::{Cursor, Position},
    identity::Identity,
    sync::Mode,
    value::Value,
};
use syncline_store::{
    About, Checkpoint, Error, LedgerChange, LedgerRow, NewRun, Store,
    backup::{Archive, backup, restore},
    conformance::Place,
};
use tempfile::TempDir;

use crate::{
    equivalence::{everything, happen},
    postgres::Schema,
    sqlite::{Folder, fresh},
};

/// A place whose store can be copied.
#[async_trait]
trait Copied: Place {
    async fn archive(&self) -> Box<dyn Archive>;
}

#[async_trait]
impl Copied for Folder {
    async fn archive(&self) -> Box<dyn Archive> {
        Box::new(self.store().await)
    }
}

#[async_trait]
impl Copied for Schema {
    async fn archive(&self) -> Box<dyn Archive> {
        Box::new(self.store().await)
    }
}

struct File(TempDir);

impl File {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder for the test"))
    }

    fn named(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// The lines of a file that say what is in the store, in an order that no database decides.
fn lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).expect("a backup");
    let mut table = String::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("{\"table\"") {
            table = line.to_owned();
        } else if line.starts_with('[') {
            lines.push(format!("{table} {line}"));
        }
    }
    lines.sort();
    lines
}

/// Copies a store, and the copy once more.
#[expect(clippy::print_stdout, reason = "a test that fails tells its seed")]
async fn there_and_on(from: Arc<dyn Copied>, to: Arc<dyn Copied>, seed: u64) {
    println!("seed {seed}");
    happen(Arc::clone(&from), seed).await;
    let folder = File::new();
    let (first, second) = (folder.named("first.jsonl"), folder.named("second.jsonl"));
    let told = backup(&*from.archive().await, &first).await.expect("a backup");
    assert!(told.rows > 20, "{} rows", told.rows);
    assert_eq!(told.bytes, first.metadata().expect("the file").len());
    assert_eq!(restore(&*to.archive().await, &first, false).await.expect("a restore"), told);
    backup(&*to.archive().await, &second).await.expect("a backup of the copy");
    assert_eq!(lines(&first), lines(&second));
    assert_eq!(everything(from).await, everything(Arc::clone(&to)).await);

    // Numbers go on after those of the copy.
    let store = to.open().await;
    let newest = store.runs(None, None, 1).await.expect("runs").first().map_or(0, |run| run.id);
    let lease = store.claim("another", Timestamp::UNIX_EPOCH).await.expect("a claim");
    let new = NewRun { mode: Mode::Full, reason: None, about: About::default(), at: Timestamp::UNIX_EPOCH };
    assert!(store.start_run(&lease, new).await.expect("a run") > newest);
}

#[tokio::test]
async fn a_store_comes_back_as_it_was() {
    there_and_on(Arc::new(fresh()), Arc::new(fresh()), 0x5709_e001).await;
}

#[tokio::test]
async fn a_store_moves_from_sqlite_to_postgres() {
    there_and_on(Arc::new(fresh()), Arc::new(Schema::new()), 0x5709_e002).await;
}

#[tokio::test]
async fn a_store_moves_from_postgres_to_sqlite() {
    there_and_on(Arc::new(Schema::new()), Arc::new(fresh()), 0x5709_e003).await;
}

#[tokio::test]
async fn a_store_comes_back_in_postgres_as_it_was() {
    there_and_on(Arc::new(Schema::new()), Arc::new(Schema::new()), 0x5709_e004).await;
}

#[tokio::test]
async fn a_compressed_backup_is_the_same_and_smaller() {
    let (from, to, folder) = (Arc::new(fresh()), Arc::new(fresh()), File::new());
    happen(Arc::clone(&from), 0x5709_e005).await;
    let plain = backup(&*from.archive().await, &folder.named("plain")).await.expect("a backup");
    let small = backup(&*from.archive().await, &folder.named("small.gz")).await.expect("a backup");
    assert!(small.bytes * 2 < plain.bytes && small.rows == plain.rows, "{small:?} {plain:?}");
    restore(&*to.archive().await, &folder.named("small.gz"), false).await.expect("a restore");
    assert_eq!(everything(from).await, everything(to).await);
}

#[tokio::test]
async fn a_damaged_backup_changes_nothing() {
    let (from, folder) = (Arc::new(fresh()), File::new());
    happen(Arc::clone(&from), 0x5709_e006).await;
    let (whole, broken) = (folder.named("whole"), folder.named("broken"));
    backup(&*from.archive().await, &whole).await.expect("a backup");
    let bytes = std::fs::read(&whole).expect("the backup");
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let without_a_row = lines.iter().enumerate().filter(|(at, _)| *at != lines.len() / 2);
    let edited = String::from_utf8(bytes.clone()).expect("text").replace("too long", "too wide").into_bytes();
    let newer = String::from_utf8(bytes.clone()).expect("text").replacen("\"schema\":", "\"schema\":9", 1);
    let cases = [
        (
            "the last line is cut off",
            bytes[..bytes.len() - lines.last().map_or(0, |line| line.len())].to_vec(),
        ),
        ("the last byte is cut off", bytes[..bytes.len() - 1].to_vec()),
        ("half of it is there", bytes[..bytes.len() / 2].to_vec()),
        ("nothing is there", Vec::new()),
        ("a row is missing", without_a_row.flat_map(|(_, line)| line.iter().copied()).collect()),
        ("a value is edited", edited),
        ("something follows", [bytes.clone(), b"[]\n".to_vec()].concat()),
        ("a later version wrote it", newer.into_bytes()),
        ("it is another file", b"{\"hello\": 1}\n".to_vec()),
    ];
    let to = Arc::new(fresh());
    let before = everything(Arc::clone(&to)).await;
    for (what, bytes) in cases {
        assert!(bytes != std::fs::read(&whole).expect("the backup"), "{what}");
        std::fs::write(&broken, bytes).expect("a file");
        let refused = restore(&*to.archive().await, &broken, true).await;
        assert!(matches!(refused, Err(Error::Backup { .. })), "{what}: {refused:?}");
        assert_eq!(everything(Arc::clone(&to)).await, before, "{what}");
    }
}

/// Whoever held a lease of what was there before writes nothing into what is there now.
async fn only_an_empty_store_or_instead(from: Arc<dyn Copied>, to: Arc<dyn Copied>) {
    let folder = File::new();
    happen(Arc::clone(&from), 0x5709_e007).await;
    backup(&*from.archive().await, &folder.named("backup")).await.expect("a backup");
    let store = to.open().await;
    let lease = store.claim("projects", Timestamp::UNIX_EPOCH).await.expect("a claim");
    let archive = to.archive().await;
    let busy = restore(&*archive, &folder.named("backup"), true).await;
    assert!(matches!(busy, Err(Error::Busy { .. })), "{busy:?}");

    let old = syncline_store::Lease { sync: lease.sync.clone(), epoch: lease.epoch, guard: Box::new(()) };
    drop(lease);
    let refused = restore(&*archive, &folder.named("backup"), false).await;
    assert!(matches!(refused, Err(Error::NotEmpty { .. })), "{refused:?}");
    store.check(&old).await.expect("nothing was restored");
    restore(&*archive, &folder.named("backup"), true).await.expect("a restore");
    assert!(matches!(store.check(&old).await, Err(Error::Stale { .. })));
    assert_eq!(
        store.cursor("projects").await.expect("cursor"),
        from.open().await.cursor("projects").await.expect("cursor")
    );
}

#[tokio::test]
async fn a_store_with_something_in_it_is_replaced_only_on_demand() {
    only_an_empty_store_or_instead(Arc::new(fresh()), Arc::new(fresh())).await;
}

#[tokio::test]
async fn a_postgres_store_with_something_in_it_is_replaced_only_on_demand() {
    only_an_empty_store_or_instead(Arc::new(fresh()), Arc::new(Schema::new())).await;
}

fn row(n: i64) -> LedgerRow {
    let key = vec![Value::Int64(n)];
    LedgerRow {
        identity: Identity::of(&key, false).expect("a key"),
        stream: "list".to_owned(),
        record_id: n.to_string(),
        version: None,
        hash: Some([1; 32]),
        gone: false,
        key,
        fields: [("Title".to_owned(), n.into())].into(),
    }
}

/// Checkpoints of ten rows each; the cursor says how many rows there are.
async fn write_until_told(store: Arc<dyn Store>, mut enough: tokio::sync::oneshot::Receiver<()>) {
    let lease = store.claim("projects", Timestamp::UNIX_EPOCH).await.expect("a claim");
    let new = NewRun { mode: Mode::Full, reason: None, about: About::default(), at: Timestamp::UNIX_EPOCH };
    let run = store.start_run(&lease, new).await.expect("a run");
    let mut rows = 0;
    while enough.try_recv().is_err() {
        let ledger = (rows..rows + 10).map(|n| LedgerChange::Put(row(n))).collect();
        rows += 10;
        let position = Some(Position { cursor: Value::Int64(rows), key: Vec::new() });
        let cursor = Some(Cursor { position, fingerprint: String::new() });
        let checkpoint = Checkpoint { ledger, cursor, ..Checkpoint::default() };
        store.checkpoint(&lease, run, checkpoint).await.expect("a checkpoint");
    }
}

async fn shows_one_moment(from: Arc<dyn Copied>) {
    let (folder, store) = (File::new(), from.open().await);
    let (stop, enough) = tokio::sync::oneshot::channel();
    let mut writing = tokio::task::JoinSet::new();
    writing.spawn(write_until_told(Arc::clone(&store), enough));
    let archive = from.archive().await;
    let mut grown = Vec::new();
    for copy in 0..4 {
        // Not before there is more than in the copy before.
        while store.last_seq().await.expect("seq") <= grown.last().copied().unwrap_or(20) {
            tokio::task::yield_now().await;
        }
        let file = folder.named(&copy.to_string());
        backup(&*archive, &file).await.expect("a backup");
        let to = fresh();
        restore(&*to.archive().await, &file, false).await.expect("a restore");
        let copied = to.open().await;
        let rows = copied.known("projects").await.expect("known").first().map_or(0, |(_, rows)| *rows);
        let cursor = copied.cursor("projects").await.expect("cursor").and_then(|cursor| cursor.position);
        let rows_of_cursor = cursor.map(|position| position.cursor);
        assert_eq!(rows_of_cursor, Some(Value::Int64(i64::try_from(rows).expect("few"))));
        grown.push(rows);
    }
    assert!(grown.is_sorted_by(|a, b| a < b), "{grown:?}");
    stop.send(()).expect("the writer goes on until it is told");
    writing.join_next().await.expect("the writer").expect("it does not panic");
}

#[tokio::test]
async fn a_backup_while_a_run_writes_shows_one_moment() {
    shows_one_moment(Arc::new(fresh())).await;
}

#[tokio::test]
async fn a_backup_of_postgres_while_a_run_writes_shows_one_moment() {
    shows_one_moment(Arc::new(Schema::new())).await;
}

/// A table that is added and not copied would be lost in silence.
#[tokio::test]
async fn every_table_is_copied_or_belongs_to_the_moment() {
    const OF_THE_MOMENT: [&str; 4] = ["lease", "node", "refinery_schema_history", "tenant"];
    let folder = File::new();
    let copied = |file: &Path| {
        let text = std::fs::read_to_string(file).expect("a backup");
        let tables = text.lines().filter_map(|line| line.strip_prefix("{\"table\":\"")?.split('"').next());
        tables.map(str::to_owned).collect::<Vec<_>>()
    };
    let expected = |tables: Vec<String>| {
        let kept = tables.into_iter().filter(|table| !OF_THE_MOMENT.contains(&table.as_str()));
        let mut kept: Vec<_> = kept.collect();
        kept.sort();
        kept
    };

    let sqlite = fresh();
    backup(&*sqlite.archive().await, &folder.named("sqlite")).await.expect("a backup");
    let file = rusqlite::Connection::open(sqlite.path()).expect("the file");
    let mut tables = file
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .expect("a statement");
    let tables = tables.query_map([], |row| row.get(0)).expect("tables").collect::<Result<_, _>>();
    let mut of_sqlite = copied(&folder.named("sqlite"));
    of_sqlite.sort();
    assert_eq!(of_sqlite, expected(tables.expect("names")));

    let postgres = Schema::new();
    backup(&*postgres.archive().await, &folder.named("postgres")).await.expect("a backup");
    let tables = postgres
        .texts("SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace")
        .await;
    let mut of_postgres = copied(&folder.named("postgres"));
    of_postgres.sort();
    assert_eq!(of_postgres, expected(tables));
}
