//! The `postgres` destination of bulk loads.
//!
//! A load has one session for its statements, which holds an advisory lock on the table's name, and one for each stream into the
//! staging table.
//!
//! Limits, and what a user should know:
//! - `replace` swaps by rename. A transaction at REPEATABLE READ or above that began before the swap and first looks at the table
//!   after it sees none of its rows (PostgreSQL's catalogue is not of the past); at READ COMMITTED, the default, every
//!   statement sees the old table or the new one.
//! - A table on which something hangs that a rename would not carry along (views, foreign keys, triggers …) is not swapped but
//!   merged: rows that differ are updated, missing ones added, those that are gone deleted, in one transaction.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::{
    bind::Param,
    client::{Access, Patience, Session},
    config::Settings,
    describe, error, sql, swap,
    write::CopyWriter,
};
use crate::{
    Error,
    compare::{Side, Subject},
    database::{
        Facts, Shape, Table, Writer,
        dialect::{Dialect, Named, postgres::POSTGRES},
        sql::{Hold, Link, Server, Stage},
    },
    error::Kind,
};

/// Streams into one staging table: more of them wait for each other at its end.
const WRITERS_MAX: usize = 16;

/// Memory of the server for each join or sort of a merge.
const MERGE_MEMORY: &str = "64MB";

/// Whether the staged rows (`$2`) are few beside the table (`$1`), and whether the server counts what a transaction does. Few
/// rows are looked up by the table's index, one by one, and changed in place: joining, the server would read the whole
/// table. Measured on 5 % of a million rows, that takes twice as long.
const FEW: &str = "SELECT (s.reltuples * 5 < d.reltuples)::text, current_setting('track_counts') \
    FROM pg_catalog.pg_class d, pg_catalog.pg_class s \
    WHERE d.oid = to_regclass($1::text) AND s.oid = to_regclass($2::text)";

/// Rows that this transaction has added to the table `$1`, and changed in it.
const DONE: &str = "SELECT pg_stat_get_xact_tuples_inserted(to_regclass($1::text)), \
    pg_stat_get_xact_tuples_updated(to_regclass($1::text))";

/// A PostgreSQL server as a destination.
pub(super) struct Postgres {
    pub(super) settings: Settings,
}

/// A session, shared with a stream that uses it (in a look, whose staging table only it sees).
pub(super) struct Connected(Arc<Session>);

impl Connected {
    pub(super) fn session(&self) -> &Session {
        &self.0
    }
}

#[async_trait]
impl Link for Connected {
    fn is_open(&self) -> bool {
        self.0.is_open()
    }

    async fn execute(&mut self, sql: &str, parameters: &[&str]) -> Result<u64, Error> {
        self.0.execute(sql, &params(parameters)).await
    }

    async fn query(&mut self, sql: &str, parameters: &[&str]) -> Result<Vec<Vec<Option<String>>>, Error> {
        self.0.texts(sql, &params(parameters)).await
    }
}

fn params(texts: &[&str]) -> Vec<Param> {
    texts.iter().map(|text| Param::Text((*text).to_owned())).collect()
}

/// Schema and name of a table that may not exist, `$1` as the user wrote it, quoted: where the server would make it.
const WHERE: &str = "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1::text)";

/// Views, foreign keys from elsewhere and others that depend on the table (`$1`), and what a renamed copy would lack.
pub(super) const DEPENDENTS_OF: &str = "SELECT DISTINCT coalesce('view ' || v.oid::regclass::text, \
      'foreign key ' || quote_ident(f.conname), 'function ' || p.oid::regprocedure::text, d.classid::regclass::text) \
    FROM pg_catalog.pg_depend d \
    LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid \
    LEFT JOIN pg_catalog.pg_class v ON v.oid = r.ev_class \
    LEFT JOIN pg_catalog.pg_constraint f ON d.classid = 'pg_constraint'::regclass AND f.oid = d.objid \
    LEFT JOIN pg_catalog.pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid \
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = to_regclass($1::text) AND d.deptype IN ('n', 'a', 'x') \
      AND d.classid NOT IN ('pg_attrdef'::regclass, 'pg_toast'::regnamespace) \
      AND NOT (d.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_catalog.pg_class i \
        WHERE i.oid = d.objid AND (i.relkind = 'i' OR i.relkind = 'S'))) \
      AND NOT (d.classid = 'pg_constraint'::regclass AND f.conrelid = to_regclass($1::text) AND f.contype IN ('p', 'u', 'c', 'n')) \
      AND NOT (d.classid = 'pg_rewrite'::regclass AND v.oid = to_regclass($1::text)) \
      AND NOT (d.classid = 'pg_type'::regclass) \
    UNION ALL SELECT 'trigger ' || quote_ident(tgname) FROM pg_catalog.pg_trigger \
      WHERE tgrelid = to_regclass($1::text) AND NOT tgisinternal \
    UNION ALL SELECT 'policy ' || quote_ident(polname) FROM pg_catalog.pg_policy WHERE polrelid = to_regclass($1::text) \
    UNION ALL SELECT 'rule ' || quote_ident(rulename) FROM pg_catalog.pg_rewrite WHERE ev_class = to_regclass($1::text) \
    UNION ALL SELECT 'inheritance' FROM pg_catalog.pg_inherits WHERE inhrelid = to_regclass($1::text) OR inhparent = to_regclass($1::text) \
    UNION ALL SELECT 'publication' FROM pg_catalog.pg_publication_rel WHERE prrelid = to_regclass($1::text) \
    UNION ALL SELECT 'a kind other than a plain table' FROM pg_catalog.pg_class \
      WHERE oid = to_regclass($1::text) AND (relkind <> 'r' OR relrowsecurity OR relreplident NOT IN ('d') OR relpersistence <> 'p' \
        OR reloftype <> 0)";

/// Who holds a lock on the table `$1`, other than we: those first who do more than read, whom a merge waits for; a swap
/// waits for readers too.
const HOLDERS: &str = "SELECT 'process ' || a.pid || ' (' || coalesce(nullif(a.application_name, ''), 'no name') || ', user ' || \
      coalesce(a.usename, '?') || ', ' || coalesce(a.state, '?') || ', transaction open for ' || \
      coalesce(extract(epoch FROM now() - a.xact_start)::int8::text, '?') || ' s) holds it in ' || l.mode \
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
    WHERE l.relation = to_regclass($1::text) AND a.datname = current_database() AND l.granted AND a.application_name <> 'syncline-blocker' \
    ORDER BY l.mode = 'AccessShareLock', a.xact_start LIMIT 1";

/// Who holds the advisory lock `$1`.
const LOADER: &str = "SELECT 'process ' || a.pid || ' of ' || coalesce(host(a.client_addr), 'this machine') || ', since ' || \
      to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC' \
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND a.pid <> pg_backend_pid() \
      AND (l.classid::int8 << 32 | l.objid::int8) = $1::text::int8 LIMIT 1";

/// The number of the advisory lock of a table's name: the same in every process, whatever loads it.
pub(crate) fn lock_number(table: &Named) -> i64 {
    lock_number_of(&table.to_string())
}

fn lock_number_of(what: &str) -> i64 {
    let digest = Sha256::digest(format!("syncline {what}").as_bytes());
    digest.first_chunk::<8>().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

/// The server would cut a longer name off, and find another table.
fn check_lengths(table: &str) -> Result<(), Error> {
    match sql::table_parts(table).into_iter().flatten().find(|part| !POSTGRES.name_max.holds(part)) {
        None => Ok(()),
        Some(_) => {
            let message = format!("table {table:?}: names have at most {}", POSTGRES.name_max);
            Err(Error::new(Kind::Definition, message).hint("choose a shorter name"))
        }
    }
}

impl Postgres {
    async fn session(&self) -> Result<Session, Error> {
        Session::connect_for(&self.settings, Access::Write, Patience::Some).await
    }

    /// Where a table of this name is, or would be made.
    async fn place(&self, session: &Session, table: &str) -> Result<Named, Error> {
        check_lengths(table)?;
        let unusable = || {
            Error::new(Kind::Definition, format!("{table:?} is not the name of a table"))
                .hint(r#"write table, schema.table or "Schema"."Table""#)
        };
        for exact in [false, true] {
            let quoted = sql::table_name(table, exact).ok_or_else(unusable)?;
            let rows = session.texts(WHERE, &[Param::Text(quoted)]).await?;
            if let Some([Some(schema), Some(name)]) = rows.first().map(Vec::as_slice) {
                return Ok(Named { schema: Some(schema.clone()), name: name.clone() });
            }
        }
        let mut parts = sql::table_parts(table).ok_or_else(unusable)?;
        let name = parts.pop().ok_or_else(unusable)?;
        let schema = match parts.pop() {
            Some(schema) => Some(schema),
            None => {
                session.texts("SELECT current_schema()", &[]).await?.into_iter().flatten().flatten().next()
            }
        };
        let Some(schema) = schema else {
            return Err(Error::new(Kind::Definition, format!("{table:?}: there is no schema to make it in"))
                .hint("write schema.table"));
        };
        Ok(Named { schema: Some(schema), name })
    }
}

#[async_trait]
impl Server for Postgres {
    type Link = Connected;

    fn dialect(&self) -> &'static Dialect {
        &POSTGRES
    }

    fn facts(&self) -> Facts {
        Facts { dialect: &POSTGRES, copies: true, writers_max: WRITERS_MAX, merges: true }
    }

    async fn connect(&self) -> Result<Connected, Error> {
        Ok(Connected(Arc::new(self.session().await?)))
    }

    async fn find(&self, link: &mut Connected, table: &str) -> Result<(Named, Option<Table>), Error> {
        let session = link.session();
        let named = self.place(session, table).await?;
        let quoted = POSTGRES.table(&named);
        let found = match describe::find(session, &quoted).await {
            Ok(found) => found,
            Err(error) if error.kind == Kind::StreamMissing => return Ok((named, None)),
            Err(error) => return Err(error),
        };
        Ok((named, Some(Table { stream: found.stream, dependents: Vec::new() })))
    }

    async fn locate(&self, link: &mut Connected, table: &str) -> Result<Named, Error> {
        self.place(link.session(), table).await
    }

    async fn dependents(&self, link: &mut Connected, table: &Named) -> Result<Vec<String>, Error> {
        let table = Param::Text(POSTGRES.table(table));
        let dependents = link.session().texts(DEPENDENTS_OF, &[table]).await?;
        Ok(dependents.into_iter().flatten().flatten().collect())
    }

    async fn tables(&self, link: &mut Connected) -> Result<Vec<String>, Error> {
        Ok(link.query(describe::STREAMS, &[]).await?.into_iter().flatten().flatten().collect())
    }

    async fn lock(
        &self,
        link: &mut Connected,
        table: &Named,
        hold: Hold<'_>,
        timeout: Duration,
    ) -> Result<(), Error> {
        let session = link.session();
        let number = lock_number(table);
        // who loads a part shares the table with others who do
        let (numbers, locks) = match hold {
            Hold::Table => (vec![number], format!("SELECT pg_advisory_lock({number})")),
            Hold::Part(part) => {
                let part = lock_number_of(&format!("{table} {part}"));
                let both =
                    format!("SELECT pg_advisory_lock({part}); SELECT pg_advisory_lock_shared({number})");
                (vec![part, number], both)
            }
            Hold::Change => {
                let change = lock_number_of(&format!("{table} change"));
                (vec![change], format!("SELECT pg_advisory_lock({change})"))
            }
        };
        let take = format!("SET lock_timeout = {}; {locks}", timeout.as_millis().max(1));
        match session.batch(&take).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind == Kind::Locked => {
                let mut holder = None;
                for number in numbers {
                    let rows = session.texts(LOADER, &[Param::Text(number.to_string())]).await?;
                    holder = holder.or(rows.into_iter().flatten().flatten().next());
                }
                let holder = holder.unwrap_or_else(|| "another process".into());
                let message = format!("{table} is being loaded by {holder}");
                Err(Error::new(Kind::Locked, message)
                    .hint("wait until that load is done, or raise to.lock_timeout; nothing was changed"))
            }
            Err(error) => Err(error),
        }
    }

    async fn beginning_with(
        &self,
        link: &mut Connected,
        table: &Named,
        prefix: &str,
    ) -> Result<Vec<String>, Error> {
        const TABLES: &str = "SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n \
            ON n.oid = c.relnamespace WHERE n.nspname = $1::text AND c.relkind = 'r' AND starts_with(c.relname::text, $2::text)";
        let schema = table.schema.as_deref().unwrap_or_default();
        Ok(link.query(TABLES, &[schema, prefix]).await?.into_iter().flatten().flatten().collect())
    }

    async fn make_staging(&self, link: &mut Connected, stage: &Stage<'_>) -> Result<(), Error> {
        let making = |e: Error| e.context("making the staging table");
        if stage.shape.takes_place {
            return swap::make(link.session(), stage).await.map_err(making);
        }
        let Shape { columns, tombstones, .. } = stage.shape;
        // Autovacuum would only get in the way of something that lives for minutes.
        let sql = POSTGRES.create_staging(stage.staging, columns, *tombstones, stage.in_session);
        link.session().batch(&sql).await.map_err(making)
    }

    async fn writers(
        &self,
        link: &mut Connected,
        stage: &Stage<'_>,
        writers: usize,
    ) -> Result<Vec<Box<dyn Writer>>, Error> {
        let table = POSTGRES.table(stage.staging);
        if stage.in_session {
            let session = Arc::clone(&link.0);
            return Ok(vec![Box::new(CopyWriter::open(session, &POSTGRES, &table, stage.shape).await?)]);
        }
        let mut opened: Vec<Box<dyn Writer>> = Vec::new();
        for _ in 0..writers {
            let session = Session::connect_for(&self.settings, Access::Write, Patience::None).await;
            let session = match session {
                Ok(session) => Arc::new(session),
                // as many as the server takes: one is enough, and that may be ours, which has nothing else to do
                Err(error) if error.kind == Kind::Unreachable && !opened.is_empty() => break,
                Err(error) if error.kind == Kind::Unreachable && link.session().is_open() => {
                    let session = Arc::clone(&link.0);
                    opened.push(Box::new(CopyWriter::open(session, &POSTGRES, &table, stage.shape).await?));
                    break;
                }
                Err(error) => return Err(error),
            };
            opened.push(Box::new(CopyWriter::open(session, &POSTGRES, &table, stage.shape).await?));
        }
        Ok(opened)
    }

    async fn staged(&self, link: &mut Connected, stage: &Stage<'_>) -> Result<(), Error> {
        if stage.in_session {
            // Of the rows of one partition the planner expects few, and would look each up in the whole staging table.
            link.session().batch("SET enable_nestloop = off").await?;
        }
        // The planner knows the staging table's size by itself; of its columns only the key matters for a join.
        let key: Vec<_> = stage.shape.key.iter().map(|k| POSTGRES.quote(k)).collect();
        if key.is_empty() {
            return Ok(());
        }
        let (staging, key) = (POSTGRES.table(stage.staging), key.join(", "));
        link.session().batch(&format!("SET work_mem = '{MERGE_MEMORY}'; ANALYZE {staging} ({key})")).await
    }

    async fn upsert(
        &self,
        link: &mut Connected,
        stage: &Stage<'_>,
        sql: &str,
    ) -> Result<Option<(u64, u64)>, Error> {
        if !stage.indexed {
            return Ok(None);
        }
        let tables = [POSTGRES.table(stage.table), POSTGRES.table(stage.staging)].map(Param::Text);
        let session = link.session();
        let few = session.texts(FEW, &tables).await?.into_iter().flatten().flatten();
        if few.collect::<Vec<_>>() != ["true", "on"] {
            return Ok(None);
        }
        let done = async || -> Result<Vec<u64>, Error> {
            let counts = session.texts(DONE, &tables[..1]).await?.into_iter().flatten().flatten();
            Ok(counts.map(|n| n.parse().unwrap_or_default()).collect())
        };
        let before = done().await?;
        let touched = session.execute(sql, &[]).await?;
        let after = done().await?;
        let updated = match (before.as_slice(), after.as_slice()) {
            ([_, before], [_, after]) => after.saturating_sub(*before),
            _ => return Err(Error::new(Kind::Protocol, "no answer about what was changed")),
        };
        // triggers may change further rows of the table: what was touched is what the statement says
        let updated = updated.min(touched);
        Ok(Some((touched - updated, updated)))
    }

    async fn before_swap(&self, link: &mut Connected, stage: &Stage<'_>) -> Result<(), Error> {
        swap::finish_copy(link.session(), stage).await
    }

    async fn swap(&self, link: &mut Connected, stage: &Stage<'_>) -> Result<(), Error> {
        swap::swap(link.session(), stage).await
    }

    async fn merged(&self, link: &mut Connected) -> Result<(), Error> {
        link.session().batch("RESET enable_nestloop").await
    }

    async fn keep_writers_out(&self, link: &mut Connected, table: &Named, whole: bool) -> Result<(), Error> {
        if !whole {
            return Ok(());
        }
        let sql = format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", POSTGRES.table(table));
        link.session()
            .batch(&sql)
            .await
            .map_err(|e| e.context(format_args!("locking {table} against other writers")))
    }

    async fn side(&self, subject: &Subject) -> Result<Option<Box<dyn Side>>, Error> {
        Ok(Some(Box::new(super::compare::Snapshot::open(&self.settings, subject).await?)))
    }

    async fn reindex(&self, link: &mut Connected, table: &Named) -> Result<(), Error> {
        let sql = format!("REINDEX TABLE CONCURRENTLY {}", POSTGRES.table(table));
        link.session()
            .batch(&sql)
            .await
            .map_err(|e| e.context(format_args!("rebuilding the indexes of {table}")))
    }

    async fn blocker(&self, table: &Named) -> Option<String> {
        let session = self.session().await.ok()?;
        let rows = session.texts(HOLDERS, &[Param::Text(POSTGRES.table(table))]).await.ok()?;
        rows.into_iter().flatten().flatten().next()
    }
}

/// Turns rows whose columns are all texts into those.
pub(super) fn texts(rows: &[tokio_postgres::Row]) -> Result<Vec<Vec<Option<String>>>, Error> {
    let row = |row: &tokio_postgres::Row| (0..row.len()).map(|i| cell(row, i)).collect();
    rows.iter().map(row).collect()
}

/// A text, or a count as text: what our own statements answer.
fn cell(row: &tokio_postgres::Row, index: usize) -> Result<Option<String>, Error> {
    use tokio_postgres::types::Type;
    let read = |e: tokio_postgres::Error| error::of(&e);
    match *row.columns()[index].type_() {
        Type::INT8 => Ok(row.try_get::<_, Option<i64>>(index).map_err(read)?.map(|n| n.to_string())),
        Type::NUMERIC => {
            let raw: super::bind::Raw<'_> = row.try_get(index).map_err(read)?;
            let mut text = String::new();
            Ok(raw.0.and_then(|raw| super::numeric::decode(raw, &mut text)).map(|()| text))
        }
        _ => row.try_get(index).map_err(read),
    }
}
