//! A SQLite file as a destination of loads.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{Connection, InterruptHandle, OpenFlags, params_from_iter, types::ValueRef};
use syncline_core::schema::{FieldType, Limits};

use super::{
    client,
    compare::Snapshot,
    describe::{self, Found},
    error, lock,
    sql::{self, Ident},
    types,
    write::Staging,
};
use crate::{
    Error,
    compare::{Side, Subject},
    database::{
        Change, Column, Facts, Table, Writer,
        dialect::{Dialect, Layout, Named, TOMBSTONE, sqlite::SQLITE},
        sql::{Hold, Link, Server, Stage},
    },
    error::Kind,
};

/// Memory for pages, of the file and of staging tables each, in KiB.
const CACHE_KIB: u32 = 8_000;

/// Most records of a table that may be compared by a key without an index: every staged row reads all of them.
const UNINDEXED_MAX: i64 = 10_000;

/// A file. It need not exist.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
}

/// An open file.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: Connection,
    /// By which staged rows are told.
    key: Vec<String>,
    /// Given back after the connection is closed.
    locks: Vec<fs::File>,
}

impl Session {
    /// Looks only. A file that does not exist is one without tables.
    fn look(path: &Path) -> Result<Self, Error> {
        let connection = if path.exists() {
            client::open(path)?
        } else {
            within_a_folder(path)?;
            let connection = Connection::open_in_memory().map_err(|e| error::of(&e))?;
            client::prepare(&connection).map_err(|e| error::of(&e))?;
            connection
        };
        settings(&connection).map_err(|e| error::of(&e))?;
        Ok(Self { connection, key: Vec::new(), locks: Vec::new() })
    }

    /// Opens for writing, and makes the file if it is not there.
    fn write(path: &Path, timeout: Duration) -> Result<Connection, Error> {
        within_a_folder(path)?;
        let ours = fs::metadata(path).map_or(true, |file| file.len() == 0);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(path, flags)?;
            client::prepare(&connection)?;
            connection.busy_timeout(timeout)?;
            if ours {
                // of another's file the mode stays as it is: programs may count on it
                connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
            }
            connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")?;
            settings(&connection)?;
            let readable_only = connection.is_readonly("main")?;
            Ok::<_, rusqlite::Error>((connection, readable_only))
        };
        match open().map_err(|e| error::of(&e))? {
            (_, true) => Err(Error::new(Kind::Forbidden, "the database file may not be written")
                .hint("check the permissions of the file and its folder")),
            (connection, false) => Ok(connection),
        }
    }
}

/// # Errors
/// There is no folder for the file; none is made, for its name may be a slip.
fn within_a_folder(path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return Err(Error::new(Kind::Definition, "the folder of the database file does not exist")
            .hint("make it, or correct the path of the connection"));
    }
    Ok(())
}

/// Staging tables are files, and memory is bounded.
fn settings(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute_batch(&format!(
        "PRAGMA temp_store = FILE; PRAGMA main.cache_size = -{CACHE_KIB}; PRAGMA temp.cache_size = -{CACHE_KIB}"
    ))
}

/// A session; its statements run on threads where waiting does no harm.
pub(super) struct Open {
    session: Arc<Mutex<Session>>,
    interrupt: InterruptHandle,
}

impl Open {
    fn new(session: Session) -> Self {
        let interrupt = session.connection.get_interrupt_handle();
        Self { session: Arc::new(Mutex::new(session)), interrupt }
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let session = Arc::clone(&self.session);
        client::blocking(move || work(&mut session.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

impl Drop for Open {
    /// A statement that nobody waits for ends, and with it the session and its locks.
    fn drop(&mut self) {
        self.interrupt.interrupt();
    }
}

#[async_trait]
impl Link for Open {
    /// Opening is cheap, and what was opened may have been made or taken away since.
    fn is_open(&self) -> bool {
        false
    }

    async fn execute(&mut self, sql: &str, parameters: &[&str]) -> Result<u64, Error> {
        let (sql, parameters) = (sql.to_owned(), owned(parameters));
        self.with(move |session| {
            let connection = &session.connection;
            let done = execute(connection, &sql, &parameters).map_err(|e| error::of(&e));
            if done.is_err() && sql == "COMMIT" && !connection.is_autocommit() {
                // what could not be committed would stay open and keep other writers out
                connection.execute("ROLLBACK", []).map_err(|e| error::of(&e))?;
            }
            done
        })
        .await
    }

    async fn query(&mut self, sql: &str, parameters: &[&str]) -> Result<Vec<Vec<Option<String>>>, Error> {
        let (sql, parameters) = (sql.to_owned(), owned(parameters));
        self.with(move |session| query(&session.connection, &sql, &parameters).map_err(|e| error::of(&e)))
            .await
    }
}

fn owned(parameters: &[&str]) -> Vec<String> {
    parameters.iter().map(|p| (*p).to_owned()).collect()
}

/// Statements of users may give rows; those are passed over.
fn execute(connection: &Connection, sql: &str, parameters: &[String]) -> Result<u64, rusqlite::Error> {
    let mut statement = connection.prepare(sql)?;
    if statement.column_count() == 0 {
        return statement.execute(params_from_iter(parameters)).map(|rows| rows as u64);
    }
    let mut rows = statement.query(params_from_iter(parameters))?;
    while rows.next()?.is_some() {}
    Ok(connection.changes())
}

fn query(
    connection: &Connection,
    sql: &str,
    parameters: &[String],
) -> Result<Vec<Vec<Option<String>>>, rusqlite::Error> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let text = |cell: ValueRef<'_>| match cell {
        ValueRef::Null => None,
        ValueRef::Integer(v) => Some(v.to_string()),
        ValueRef::Real(v) => Some(v.to_string()),
        ValueRef::Text(v) | ValueRef::Blob(v) => Some(String::from_utf8_lossy(v).into_owned()),
    };
    let rows = statement.query_map(params_from_iter(parameters), |row| {
        (0..columns).map(|i| row.get_ref(i).map(text)).collect::<Result<Vec<_>, _>>()
    })?;
    rows.collect()
}

#[async_trait]
impl Server for File {
    type Link = Open;

    fn dialect(&self) -> &'static Dialect {
        &SQLITE
    }

    fn facts(&self) -> Facts {
        Facts { dialect: &SQLITE, copies: false, writers_max: 1, merges: true }
    }

    async fn connect(&self) -> Result<Open, Error> {
        let path = self.path.clone();
        client::blocking(move || Session::look(&path)).await.map(Open::new)
    }

    async fn find(&self, link: &mut Open, table: &str) -> Result<(Named, Option<Table>), Error> {
        let wanted = table.to_owned();
        link.with(move |session| find(&session.connection, &wanted)).await
    }

    async fn tables(&self, link: &mut Open) -> Result<Vec<String>, Error> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_' \
                   AND substr(name, 1, 9) <> 'syncline_' ORDER BY name LIMIT 1000";
        Ok(link.query(sql, &[]).await?.into_iter().flatten().flatten().collect())
    }

    async fn lock(
        &self,
        link: &mut Open,
        table: &Named,
        hold: Hold<'_>,
        timeout: Duration,
    ) -> Result<(), Error> {
        let name = &table.name;
        if hold == Hold::Change {
            let change = lock::take(&self.path, &format!("{name} change"), timeout).await?;
            return link
                .with(move |session| {
                    session.locks.push(change);
                    Ok(())
                })
                .await;
        }
        let path = self.path.clone();
        // the file first: its real name is the lock's
        let connection = client::blocking(move || Session::write(&path, timeout)).await?;
        let locks = match hold {
            Hold::Part(part) => vec![
                lock::take(&self.path, &lock::place(name, part), timeout).await?,
                lock::share(&self.path, name, timeout).await?,
            ],
            _ => vec![lock::take(&self.path, name, timeout).await?],
        };
        *link = Open::new(Session { connection, key: Vec::new(), locks });
        Ok(())
    }

    async fn beginning_with(
        &self,
        link: &mut Open,
        _table: &Named,
        prefix: &str,
    ) -> Result<Vec<String>, Error> {
        let sql = "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND substr(name, 1, length(?1)) = ?1 \
                   LIMIT 1000";
        Ok(link.query(sql, &[prefix]).await?.into_iter().flatten().flatten().collect())
    }

    async fn make_staging(&self, link: &mut Open, stage: &Stage<'_>) -> Result<(), Error> {
        let shape = stage.shape;
        // the columns that the table lacks are added to a staging table that takes its place
        let lacks = |column: &Column| {
            shape.changes.iter().any(|c| matches!(c, Change::Add(a) if a.name == column.name))
        };
        let columns: Vec<_> =
            shape.columns.iter().filter(|c| !shape.takes_place || !lacks(c)).cloned().collect();
        let sql = SQLITE.create_staging(stage.staging, &columns, shape.tombstones, true);
        let key = shape.key.clone();
        link.with(move |session| {
            session.key = key;
            execute(&session.connection, &sql, &[]).map(drop).map_err(|e| error::of(&e))
        })
        .await
    }

    async fn writers(
        &self,
        link: &mut Open,
        stage: &Stage<'_>,
        _writers: usize,
    ) -> Result<Vec<Box<dyn Writer>>, Error> {
        Ok(vec![Box::new(Staging::new(Arc::clone(&link.session), stage))])
    }

    async fn before_swap(&self, link: &mut Open, _stage: &Stage<'_>) -> Result<(), Error> {
        // Deleting all records must not delete or clear those that refer to them: most will be back at once. The swap itself
        // looks whether any is missing. (It cannot be switched within a transaction.)
        link.execute("PRAGMA foreign_keys = OFF", &[]).await.map(drop)
    }

    async fn swap(&self, link: &mut Open, stage: &Stage<'_>) -> Result<(), Error> {
        let swap = Swap::of(stage);
        link.with(move |session| swap.run(&session.connection)).await
    }

    async fn keep_writers_out(&self, link: &mut Open, table: &Named, _whole: bool) -> Result<(), Error> {
        // there is one writer, and that is this transaction
        let table = table.name.clone();
        link.with(move |session| can_be_compared(&session.connection, &table, &session.key)).await
    }

    async fn side(&self, subject: &Subject) -> Result<Option<Box<dyn Side>>, Error> {
        Ok(Some(Box::new(Snapshot::open(&self.path, subject.clone()).await?)))
    }

    async fn reindex(&self, link: &mut Open, table: &Named) -> Result<(), Error> {
        // with its schema: a bare name could be that of a collation
        link.execute(&format!("REINDEX main.{}", Ident(&table.name)), &[]).await.map(drop)
    }
}

/// The statements of a swap. All are in the one transaction of the load, SQLite has one writer at a time, and a transaction
/// is seen whole or not at all: so no reader sees an empty or half table, and indexes, triggers and views stay as they are.
struct Swap {
    table: String,
    /// Make the table, or empty it and add columns.
    begin: Vec<String>,
    insert: String,
    counts: [String; 2],
    drop: String,
}

impl Swap {
    fn of(stage: &Stage<'_>) -> Self {
        let shape = stage.shape;
        let (table, staging) = (SQLITE.table(stage.table), SQLITE.table(stage.staging));
        let columns: Vec<_> = shape.columns.iter().map(|c| SQLITE.quote(&c.name)).collect();
        let columns = columns.join(", ");
        let key: Vec<_> = shape.key.iter().map(|k| SQLITE.quote(k)).collect();
        let living = match shape.tombstones {
            true => format!(" WHERE {} <> 1", SQLITE.quote(TOMBSTONE)),
            false => String::new(),
        };
        // in key order every page is filled once
        let order = if key.is_empty() { String::new() } else { format!(" ORDER BY {}", key.join(", ")) };
        let layout = Layout { columns: &shape.columns, key: &shape.key };
        let add = shape.changes.iter().filter_map(|change| match change {
            Change::Add(column) => Some(SQLITE.add_column(stage.table, column)),
            // types are not changed here, and a table that is not there is made first
            Change::Widen(_) | Change::Create { .. } => None,
        });
        let first = match stage.exists {
            true => format!("DELETE FROM {table}"),
            false => SQLITE.create_table(stage.table, layout),
        };
        Self {
            table: stage.table.name.clone(),
            begin: [first].into_iter().chain(add).collect(),
            insert: format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM {staging}{living}{order}"),
            counts: [
                format!("SELECT count(*) FROM {staging}{living}"),
                format!("SELECT count(*) FROM {table}"),
            ],
            drop: SQLITE.drop_table(stage.staging),
        }
    }

    fn run(&self, connection: &Connection) -> Result<(), Error> {
        let of = |e: rusqlite::Error| error::of(&e);
        let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(of);
        let broken_before = self.broken_references(connection).map_err(of)?;
        for sql in &self.begin {
            connection.execute(sql, []).map_err(of)?;
        }
        connection.execute(&self.insert, []).map_err(of)?;
        let (staged, arrived) = (count(&self.counts[0])?, count(&self.counts[1])?);
        if staged != arrived {
            let message =
                format!("{staged} records were staged and the table holds {arrived}; nothing was changed");
            return Err(
                Error::new(Kind::Rejected, message).hint("see which trigger of the table takes records away")
            );
        }
        let broken = self.broken_references(connection).map_err(of)?;
        if broken > broken_before {
            let message =
                format!("{} foreign keys from or to the table would lead nowhere", broken - broken_before);
            return Err(Error::new(Kind::Rejected, message)
                .hint("load the table they lead to first; nothing was changed"));
        }
        connection.execute(&self.drop, []).map(drop).map_err(of)
    }

    /// Rows of this table, or of those that refer to it, whose foreign keys lead nowhere.
    fn broken_references(&self, connection: &Connection) -> Result<i64, rusqlite::Error> {
        let mut statement = connection.prepare(
            "SELECT DISTINCT m.name FROM main.sqlite_schema AS m, pragma_foreign_key_list(m.name) AS f
             WHERE m.type = 'table' AND (f.\"table\" = ?1 COLLATE NOCASE OR m.name = ?1 COLLATE NOCASE)",
        )?;
        let tables = statement.query_map([&self.table], |row| row.get::<_, String>(0))?;
        let tables = tables.collect::<Result<Vec<_>, _>>()?;
        let count = |table: &String| {
            let sql = "SELECT count(*) FROM pragma_foreign_key_check(?1)";
            connection.query_row(sql, [table], |row| row.get::<_, i64>(0))
        };
        tables.iter().map(count).sum()
    }
}

/// Finds a table as a destination.
fn find(connection: &Connection, wanted: &str) -> Result<(Named, Option<Table>), Error> {
    let name = sql::table_name(wanted);
    if name.is_empty() || name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_")) {
        let message = format!("{wanted:?} cannot be the name of a table");
        return Err(
            Error::new(Kind::Definition, message).hint("names that begin with sqlite_ are SQLite's own")
        );
    }
    match describe::find(connection, wanted) {
        Ok(found) if !found.is_table => {
            Err(Error::new(Kind::Definition, format!("{wanted:?} is a view")).hint("name a table"))
        }
        Ok(found) => {
            let named = Named { schema: None, name: found.table.clone() };
            Ok((named, Some(as_destination(connection, found))))
        }
        Err(error) if error.kind == Kind::StreamMissing => Ok((Named { schema: None, name }, None)),
        Err(error) => Err(error),
    }
}

fn as_destination(connection: &Connection, mut found: Found) -> Table {
    let sql = format!("SELECT max(rowid) FROM {}", Ident(&found.table));
    // the last number given, without a look at every record; a table without rowid has none
    let last = connection.query_row(&sql, [], |row| row.get::<_, Option<i64>>(0));
    found.stream.records = last.ok().map(|n| n.unwrap_or_default().unsigned_abs());
    let unique: BTreeSet<String> =
        found.stream.unique.iter().filter(|(_, c)| c.len() == 1).flat_map(|(_, c)| c.clone()).collect();
    for (field, declared) in found.stream.fields.iter_mut().zip(&found.declared) {
        field.limits = Limits {
            required: declared.required,
            read_only: found.generated.contains(&field.name),
            unique: unique.contains(&field.name),
            indexed: field.limits.indexed,
            ..(SQLITE.limits)(&Column {
                name: field.name.clone(),
                kind: field.kind.clone(),
                declared: declared.words.clone(),
                nullable: field.nullable,
            })
        };
        if let FieldType::Decimal { precision, scale } = &mut field.kind {
            // SQLite does not count digits
            (*precision, *scale) = (None, None);
        }
    }
    Table { stream: found.stream, dependents: Vec::new() }
}

/// Whether records can be found by this key, and by comparing what is stored.
fn can_be_compared(connection: &Connection, table: &str, key: &[String]) -> Result<(), Error> {
    let found = describe::find(connection, table)?;
    let of = |e: rusqlite::Error| error::of(&e);
    let name = Ident(table);
    if !found.stream.indexed.iter().any(|column| key.contains(column)) {
        let many = format!("SELECT count(*) FROM (SELECT 1 FROM {name} LIMIT {})", UNINDEXED_MAX + 1);
        let many = connection.query_row(&many, [], |row| row.get::<_, i64>(0)).map_err(of)?;
        if many > UNINDEXED_MAX {
            let columns: Vec<_> = key.iter().map(|k| Ident(k).to_string()).collect();
            let message = format!("table {table:?} has no index on its key {}", columns.join(", "));
            let statement = format!(
                "CREATE UNIQUE INDEX {} ON {name} ({})",
                Ident(&format!("{table}_key")),
                columns.join(", ")
            );
            return Err(Error::new(Kind::Definition, message).hint(format!("run: {statement}")));
        }
    }
    for column in key {
        let field = found.field(column)?;
        let Some(form) = types::written_form(&field.kind, &sql::column(column)) else { continue };
        let other = sql::any_other(table, column, &form);
        if connection.query_row(&other, [], |row| row.get::<_, bool>(0)).map_err(of)? {
            let message =
                format!("key column {column:?} ({}) holds values in another form than ours", field.kind);
            return Err(Error::new(Kind::Definition, message).hint(
                "records could not be told by it: bring its values into our form (2026-01-05 09:00:00.000000Z, lower-case uuids with hyphens, 0 and 1), or load into a new table",
            ));
        }
    }
    Ok(())
}
