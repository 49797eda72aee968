//! A database behind an ODBC driver as a destination of bulk loads: SQL Server, Oracle, PostgreSQL, MySQL.
//!
//! A load has one session for its statements, which holds a lock of the server for the table's name, and one for each stream
//! into the staging table. Rows are staged by arrays of parameters.
//!
//! Limits, and what a user should know:
//! - `replace` deletes and adds all rows in one transaction, so that indexes, grants, views and triggers stay. Readers see the
//!   old rows until it commits (SQL Server: with READ_COMMITTED_SNAPSHOT; without it they wait).
//! - Oracle and MySQL commit changes of tables by themselves: a new table is there, empty, before its first rows are.
//! - Oracle's user needs EXECUTE on DBMS_LOCK.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use syncline_core::{schema::Limits, value::hex};

use super::{
    bind::Param,
    client::{Session, waiting},
    config::Settings,
    describe::{self, Found},
    dialect as kinds, sql,
    write::{Shared, Staging, with},
};
use crate::{
    Error,
    database::{
        Change, Column, Facts, Shape, Table, Writer,
        dialect::{
            Dialect, Layout, Named, TOMBSTONE, mysql::MYSQL, oracle::ORACLE, postgres::POSTGRES,
            tsql::SQL_SERVER,
        },
        sql::{Hold, Link, Server, Stage},
    },
    error::Kind,
};

/// Streams into one staging table.
const WRITERS_MAX: usize = 4;

/// PostgreSQL's facts with ODBC's mark of parameters.
static POSTGRES_ODBC: Dialect = Dialect { parameter: |_| "?".to_owned(), ..POSTGRES };

/// The facts of a kind of server; none: it cannot be loaded in this way.
fn facts(kind: kinds::Dialect) -> Option<&'static Dialect> {
    match kind {
        kinds::Dialect::Postgres => Some(&POSTGRES_ODBC),
        kinds::Dialect::Mysql => Some(&MYSQL),
        kinds::Dialect::SqlServer => Some(&SQL_SERVER),
        kinds::Dialect::Oracle => Some(&ORACLE),
        kinds::Dialect::Sqlite | kinds::Dialect::Sybase | kinds::Dialect::Db2 | kinds::Dialect::Generic => {
            None
        }
    }
}

/// A server as a destination.
pub(super) struct Loads {
    settings: Arc<Settings>,
    kind: kinds::Dialect,
    dialect: &'static Dialect,
}

impl Loads {
    /// Connects once, to find out what kind of server it is.
    ///
    /// # Errors
    /// [`Kind::Definition`] for one that cannot be loaded.
    pub(super) async fn of(mut settings: Settings) -> Result<Self, Error> {
        let asked = settings.clone();
        let kind = waiting(move || Ok(Session::open(&asked)?.dialect)).await?;
        settings.dialect = Some(kind);
        let name = &settings.name;
        let dialect = facts(kind).ok_or_else(|| {
            Error::new(Kind::Definition, format!("connection {name:?}: tables of this kind of server cannot be loaded"))
                .hint(match kind {
                    kinds::Dialect::Sqlite => "use a connection of type sqlite",
                    _ => "SQL Server, Oracle, PostgreSQL and MySQL can; say dialect where the driver's name is another",
                })
        })?;
        Ok(Self { settings: Arc::new(settings), kind, dialect })
    }

    async fn session(&self) -> Result<Shared, Error> {
        let settings = Arc::clone(&self.settings);
        Ok(Arc::new(Mutex::new(waiting(move || Session::open(&settings)).await?)))
    }
}

/// A session, shared with a stream that uses it (in a look, whose staging table only it sees).
pub(super) struct Linked {
    session: Shared,
    begin: &'static str,
    /// Statements that commit by themselves, for when the transaction has.
    afterwards: Vec<String>,
}

impl Linked {
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        with(&self.session, work).await
    }
}

#[async_trait]
impl Link for Linked {
    async fn execute(&mut self, sql: &str, parameters: &[&str]) -> Result<u64, Error> {
        // where a transaction begins and ends is the driver's matter
        match sql {
            _ if sql == self.begin => return self.with(|session| session.begin().map(|()| 0)).await,
            "ROLLBACK" => {
                self.afterwards.clear();
                return self.with(|session| session.rollback().map(|()| 0)).await;
            }
            "COMMIT" => {
                self.with(Session::commit).await?;
                for sql in std::mem::take(&mut self.afterwards) {
                    // what stays behind is removed by the next load
                    drop(self.with(move |session| session.execute(&sql, &[])).await);
                }
                return Ok(0);
            }
            _ => {}
        }
        let (sql, params) = (sql.to_owned(), params(parameters));
        self.with(move |session| session.execute(&sql, &params)).await
    }

    fn is_open(&self) -> bool {
        self.session.try_lock().is_ok_and(|session| session.is_open())
    }

    async fn query(&mut self, sql: &str, parameters: &[&str]) -> Result<Vec<Vec<Option<String>>>, Error> {
        let (sql, params) = (sql.to_owned(), params(parameters));
        self.with(move |session| session.rows(&sql, &params, usize::MAX)).await
    }
}

fn params(texts: &[&str]) -> Vec<Param> {
    texts.iter().map(|text| Param::Text((*text).to_owned())).collect()
}

/// The name of the lock of a table: the same in every process, short, and without signs that mean something.
fn lock_name(table: &Named) -> String {
    format!("syncline_{}", hex(&Sha256::digest(table.to_string().as_bytes())[..16]))
}

/// How long statements wait for locks, then the statement that takes the lock of a load. It gives 1, or nothing; or fails.
fn lock(kind: kinds::Dialect, table: &Named, timeout: Duration) -> (Vec<String>, String) {
    let name = lock_name(table);
    let millis = timeout.as_millis().clamp(1, 2_000_000_000);
    let seconds = millis.div_ceil(1000);
    match kind {
        kinds::Dialect::Postgres => (
            vec![format!("SET lock_timeout = {millis}")],
            format!("SELECT 1 FROM (SELECT pg_advisory_lock({})) l", crate::postgres::lock_number(table)),
        ),
        kinds::Dialect::SqlServer => (
            vec![format!("SET LOCK_TIMEOUT {millis}")],
            format!(
                "SET NOCOUNT ON; DECLARE @r int; EXEC @r = sp_getapplock @Resource = '{name}', @LockMode = 'Exclusive', \
                 @LockOwner = 'Session', @LockTimeout = {millis}; SELECT 1 WHERE @r >= 0"
            ),
        ),
        kinds::Dialect::Oracle => (
            vec![
                format!("ALTER SESSION SET DDL_LOCK_TIMEOUT = {}", seconds.min(1_000_000)),
                // 4: this session has it already
                format!(
                    "DECLARE h VARCHAR2(128); r INTEGER; BEGIN DBMS_LOCK.ALLOCATE_UNIQUE('{name}', h); \
                     r := DBMS_LOCK.REQUEST(h, DBMS_LOCK.X_MODE, {}, FALSE); \
                     IF r NOT IN (0, 4) THEN RAISE_APPLICATION_ERROR(-20001, 'lock request time out'); END IF; END;",
                    seconds.min(32_767)
                ),
            ],
            "SELECT '1' FROM dual".into(),
        ),
        _ => (
            vec![format!(
                "SET SESSION lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {}",
                seconds.min(1_000_000)
            )],
            format!("SELECT GET_LOCK('{}', {seconds}) = 1", crate::mysql::lock_name(table)),
        ),
    }
}

/// Where a table of this name would be made.
fn place(session: &Session, table: &str) -> Result<Named, Error> {
    let unusable = || {
        Error::new(Kind::Definition, format!("{table:?} is not the name of a table"))
            .hint("write table, schema.table or \"Schema\".\"Table\"")
    };
    let fold = |(name, quoted): (String, bool)| match session.dialect {
        _ if quoted => name,
        kinds::Dialect::Postgres => name.to_lowercase(),
        kinds::Dialect::Oracle => name.to_uppercase(),
        _ => name,
    };
    let mut parts = sql::name_parts(table).ok_or_else(unusable)?;
    let name = fold(parts.pop().ok_or_else(unusable)?);
    let schema = match parts.pop() {
        Some(schema) => Some(fold(schema)),
        None => session.dialect.facts().schema.map(|sql| session.text(sql)).transpose()?.flatten(),
    };
    Ok(Named { schema, name })
}

/// Finds a table as a destination.
fn find(session: &Session, dialect: &'static Dialect, wanted: &str) -> Result<(Named, Option<Table>), Error> {
    let too_long = |part: &&(String, bool)| !dialect.name_max.holds(&part.0);
    if let Some((part, _)) = sql::name_parts(wanted).unwrap_or_default().iter().find(too_long) {
        let message = format!("table {part:?}: names have at most {}", dialect.name_max);
        return Err(Error::new(Kind::Definition, message).hint("choose a shorter name"));
    }
    match describe::find(session, wanted) {
        Ok(found) => as_destination(session, dialect, found),
        Err(error) if error.kind == Kind::StreamMissing => Ok((place(session, wanted)?, None)),
        Err(error) => Err(error),
    }
}

fn as_destination(
    session: &Session,
    dialect: &'static Dialect,
    mut found: Found,
) -> Result<(Named, Option<Table>), Error> {
    let Some((schema, name)) = found.place else {
        return Err(Error::new(Kind::Definition, "a statement is no table").hint("name a table"));
    };
    let params = [schema.clone().unwrap_or_default(), name.clone()].map(Param::Text);
    let declared = match session.dialect.facts().declared {
        Some(sql) => session.rows(sql, &params, usize::MAX)?,
        None => Vec::new(),
    };
    let is = |cell: &Option<String>| cell.as_deref().map(str::trim) == Some("1");
    let stream = &mut found.stream;
    stream.dialect = Some(dialect.name);
    for field in &mut stream.fields {
        let Some(row) = declared.iter().find(|row| row[0].as_ref() == Some(&field.name)) else { continue };
        field.native = row[1].clone();
        let column = Column {
            name: field.name.clone(),
            kind: field.kind.clone(),
            declared: row[1].clone().unwrap_or_default(),
            nullable: field.nullable,
        };
        field.limits = Limits {
            required: is(&row[2]),
            read_only: is(&row[3]),
            unique: stream.unique.iter().any(|(_, columns)| *columns == [field.name.clone()]),
            indexed: field.limits.indexed,
            ..(dialect.limits)(&column)
        };
    }
    Ok((Named { schema, name }, Some(Table { stream: found.stream, dependents: Vec::new() })))
}

/// The statements of a swap: all rows are deleted and added in one transaction.
struct Swap {
    /// Make the table, or change it.
    prepare: Vec<String>,
    delete: String,
    insert: String,
    counts: [String; 2],
    drop: String,
}

impl Swap {
    fn of(dialect: &'static Dialect, stage: &Stage<'_>) -> Self {
        let shape = stage.shape;
        let (table, staging) = (dialect.table(stage.table), dialect.table(stage.staging));
        let columns: Vec<_> = shape.columns.iter().map(|c| dialect.quote(&c.name)).collect();
        let columns = columns.join(", ");
        let living = match shape.tombstones {
            true => format!(" WHERE {} <> {}", dialect.quote(TOMBSTONE), dialect.truth),
            false => String::new(),
        };
        let layout = Layout { columns: &shape.columns, key: &shape.key };
        let changes = shape.changes.iter().filter_map(|change| match change {
            Change::Add(column) => Some(dialect.add_column(stage.table, column)),
            Change::Widen(column) => Some(dialect.widen_column(stage.table, column)),
            Change::Create { .. } => None,
        });
        let prepare = match stage.exists {
            true => changes.collect(),
            false => vec![dialect.create_table(stage.table, layout)],
        };
        Self {
            prepare,
            delete: format!("DELETE FROM {table}"),
            insert: format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM {staging}{living}"),
            counts: [
                format!("SELECT count(*) FROM {staging}{living}"),
                format!("SELECT count(*) FROM {table}"),
            ],
            drop: dialect.drop_table(stage.staging),
        }
    }

    fn run(&self, session: &Session) -> Result<(), Error> {
        session.execute(&self.delete, &[])?;
        session.execute(&self.insert, &[])?;
        let (staged, arrived) = (session.text(&self.counts[0])?, session.text(&self.counts[1])?);
        if staged != arrived {
            let count = |text: Option<String>| text.unwrap_or_else(|| "?".into());
            let message = format!(
                "{} records were staged and the table holds {}; nothing was changed",
                count(staged),
                count(arrived)
            );
            return Err(Error::new(Kind::Rejected, message)
                .hint("see which trigger of the table takes records away, or who else writes to it"));
        }
        Ok(())
    }
}

#[async_trait]
impl Server for Loads {
    type Link = Linked;

    fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    fn facts(&self) -> Facts {
        Facts { dialect: self.dialect, copies: false, writers_max: WRITERS_MAX, merges: true }
    }

    async fn connect(&self) -> Result<Linked, Error> {
        Ok(Linked { session: self.session().await?, begin: self.dialect.begin, afterwards: Vec::new() })
    }

    async fn find(&self, link: &mut Linked, table: &str) -> Result<(Named, Option<Table>), Error> {
        let (dialect, wanted) = (self.dialect, table.to_owned());
        link.with(move |session| find(session, dialect, &wanted)).await
    }

    async fn tables(&self, link: &mut Linked) -> Result<Vec<String>, Error> {
        let schema = link.with(|session| Ok(place(session, "x")?.schema)).await?;
        let streams = link.with(describe::names).await?;
        // those of our own schema by their bare names
        let before = schema.map(|schema| format!("{}.", sql::written(&[&schema]))).unwrap_or_default();
        let bare = |name: String| name.strip_prefix(&before).map(str::to_owned).unwrap_or(name);
        Ok(streams.into_iter().map(bare).filter(|name| !name.starts_with("syncline_")).collect())
    }

    async fn lock(
        &self,
        link: &mut Linked,
        table: &Named,
        hold: Hold<'_>,
        timeout: Duration,
    ) -> Result<(), Error> {
        if hold == Hold::Change {
            // a part holds the whole table here
            return Ok(());
        }
        let (before, take) = lock(self.kind, table, timeout);
        let taken = link.with(move |session| {
            for sql in before {
                session.execute(&sql, &[])?;
            }
            session.text(&take)
        });
        let busy = || {
            Error::new(Kind::Locked, format!("{table} is being loaded by another process"))
                .hint("wait until that load is done, or raise to.lock_timeout; nothing was changed")
        };
        match taken.await {
            Ok(Some(taken)) if taken.trim() == "1" => Ok(()),
            Ok(_) => Err(busy()),
            Err(error) if error.kind == Kind::Locked => Err(busy()),
            Err(error) => Err(error),
        }
    }

    async fn beginning_with(
        &self,
        link: &mut Linked,
        table: &Named,
        prefix: &str,
    ) -> Result<Vec<String>, Error> {
        let (owner, prefix) = (table.schema.clone().unwrap_or_default(), prefix.to_owned());
        link.with(move |session| {
            let is_catalog = session.dialect.facts().schema_is_catalog;
            let (catalog, schema) = if is_catalog { (owner.as_str(), "") } else { ("", owner.as_str()) };
            // in a pattern `_` stands for any sign: what comes is a superset
            let rows = session.tables(catalog, schema, &format!("{prefix}%"), "TABLE", usize::MAX)?;
            let ours = |row: Vec<Option<String>>| {
                let place = if is_catalog { &row[0] } else { &row[1] };
                let there = owner.is_empty() || place.as_deref() == Some(owner.as_str());
                row[2].clone().filter(|name| there && name.starts_with(&prefix))
            };
            Ok(rows.into_iter().filter_map(ours).collect())
        })
        .await
    }

    async fn make_staging(&self, link: &mut Linked, stage: &Stage<'_>) -> Result<(), Error> {
        let shape: &Shape = stage.shape;
        // the columns that the table lacks are added to a staging table that takes its place
        let lacks = |column: &Column| {
            shape.changes.iter().any(|c| matches!(c, Change::Add(a) if a.name == column.name))
        };
        let columns: Vec<_> =
            shape.columns.iter().filter(|c| !shape.takes_place || !lacks(c)).cloned().collect();
        let sql = self.dialect.create_staging(stage.staging, &columns, shape.tombstones, stage.in_session);
        link.execute(&sql, &[]).await.map(drop).map_err(|e| e.context("making the staging table"))
    }

    async fn writers(
        &self,
        link: &mut Linked,
        stage: &Stage<'_>,
        writers: usize,
    ) -> Result<Vec<Box<dyn Writer>>, Error> {
        let mut opened: Vec<Box<dyn Writer>> = Vec::new();
        if stage.in_session {
            let session = Arc::clone(&link.session);
            opened.push(Box::new(Staging::open(session, self.dialect, stage)));
            return Ok(opened);
        }
        for _ in 0..writers {
            match self.session().await {
                Ok(session) => opened.push(Box::new(Staging::open(session, self.dialect, stage))),
                // as many as the server takes: one is enough
                Err(error) if error.kind == Kind::Unreachable && !opened.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(opened)
    }

    async fn staged(&self, link: &mut Linked, stage: &Stage<'_>) -> Result<(), Error> {
        if self.kind != kinds::Dialect::Postgres || stage.shape.key.is_empty() {
            return Ok(());
        }
        let key: Vec<_> = stage.shape.key.iter().map(|k| self.dialect.quote(k)).collect();
        let sql = format!("ANALYZE {} ({})", self.dialect.table(stage.staging), key.join(", "));
        link.execute(&sql, &[]).await.map(drop)
    }

    async fn before_swap(&self, link: &mut Linked, stage: &Stage<'_>) -> Result<(), Error> {
        if !self.dialect.transactional_ddl {
            for sql in Swap::of(self.dialect, stage).prepare {
                link.execute(&sql, &[]).await?;
            }
        }
        Ok(())
    }

    async fn swap(&self, link: &mut Linked, stage: &Stage<'_>) -> Result<(), Error> {
        let swap = Swap::of(self.dialect, stage);
        if self.dialect.transactional_ddl {
            for sql in &swap.prepare {
                link.execute(sql, &[]).await?;
            }
        }
        link.afterwards.push(swap.drop.clone());
        link.with(move |session| swap.run(session)).await
    }

    async fn keep_writers_out(&self, link: &mut Linked, table: &Named, _whole: bool) -> Result<(), Error> {
        let table = self.dialect.table(table);
        let sql = match self.kind {
            kinds::Dialect::Postgres => format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"),
            kinds::Dialect::Oracle => format!("LOCK TABLE {table} IN EXCLUSIVE MODE"),
            // SQL Server's merge locks the ranges that it looked at; MySQL would end the transaction
            _ => return Ok(()),
        };
        link.execute(&sql, &[])
            .await
            .map(drop)
            .map_err(|e| e.context("locking the table against other writers"))
    }

    async fn reindex(&self, link: &mut Linked, table: &Named) -> Result<(), Error> {
        let quoted = self.dialect.table(table);
        let text = |name: &str| name.replace('\'', "''");
        let sql = match self.kind {
            kinds::Dialect::Postgres => format!("REINDEX TABLE {quoted}"),
            kinds::Dialect::SqlServer => format!("ALTER INDEX ALL ON {quoted} REBUILD"),
            kinds::Dialect::Oracle => format!(
                "BEGIN FOR i IN (SELECT owner, index_name FROM all_indexes WHERE table_owner = '{}' AND table_name = '{}' \
                 AND index_type = 'NORMAL') LOOP EXECUTE IMMEDIATE 'ALTER INDEX \"' || i.owner || '\".\"' || i.index_name || \
                 '\" REBUILD'; END LOOP; END;",
                text(table.schema.as_deref().unwrap_or_default()),
                text(&table.name)
            ),
            _ => format!("ALTER TABLE {quoted} FORCE"),
        };
        link.execute(&sql, &[]).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_asked_for_in_each_server_s_words() {
        let table = Named { schema: Some("dbo".into()), name: "it's".into() };
        let asked = |kind| lock(kind, &table, Duration::from_millis(1500));
        let (before, take) = asked(kinds::Dialect::SqlServer);
        assert_eq!(before, ["SET LOCK_TIMEOUT 1500"]);
        assert!(take.contains("sp_getapplock @Resource = 'syncline_"), "{take}");
        let (before, _) = asked(kinds::Dialect::Oracle);
        assert!(before[1].contains("DBMS_LOCK.X_MODE, 2, FALSE"), "{}", before[1]);
        assert!(
            !format!("{:?}", asked(kinds::Dialect::Mysql)).contains("it's"),
            "no name of a user in a statement"
        );
    }
}
