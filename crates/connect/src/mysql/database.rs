//! The `mysql` destination of bulk loads.
//!
//! A load has one session for its statements, which holds a named lock (`GET_LOCK`) for the table, and one for each stream into
//! the staging table.
//!
//! Limits, and what a user should know:
//! - Statements that change tables commit by themselves. New columns and wider types are made before the transaction of a load,
//!   and stay when that fails. A swap (`replace`) is one atomic `RENAME TABLE` just before the transaction that remembers the
//!   cursor and runs the `after` statements: when the process dies between the two, the rows are new and the cursor is old, and
//!   the next load reads the same once more. The first load of `append` is not a swap, so that its rows cannot come twice.
//! - `replace` swaps tables on which nothing hangs that a rename would not carry along. Tables with triggers, or foreign keys
//!   from or to them, are merged: rows that differ are updated, missing ones added, those that are gone deleted, in one
//!   transaction. Triggers are seen by users with the right `TRIGGER`.
//! - MySQL cannot keep other writers out of a table within a transaction. What they write while rows are merged is either seen
//!   or makes the load fail and be undone; after a complete listing it may be deleted as absent.
//! - A type that is widened keeps its name and whether it may be null; a default, a comment or `AUTO_INCREMENT` has to be given
//!   again.
//! - A text key is compared by the collation of its column. In tables that we make that is byte by byte.
//! - `LOAD DATA LOCAL` is used where `local_infile` is on (MySQL's default is off); it is several times as fast as `INSERT`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mysql_async::{Row, Value as Raw};
use sha2::{Digest, Sha256};
use syncline_core::value::hex;
use tokio::sync::Mutex;

use super::{
    client::{Access, Session, number, text, text_or_null},
    config::Settings,
    describe::{self, Found},
    rows, sql,
    sql::Origin,
    swap,
    write::{self, Bulk},
};
use crate::{
    Error,
    database::{
        Facts, Table, Writer,
        dialect::{
            Dialect, Named,
            mysql::{MARIADB, MYSQL, limits},
        },
        sql::{Hold, Link, Server, Stage},
    },
    error::Kind,
};

/// Streams into one staging table.
const WRITERS_MAX: usize = 4;

/// Longest wait for a lock, in seconds: a day.
const LOCK_SECONDS_MAX: u64 = 86_400;

/// A server as a destination.
pub(super) struct Tables {
    settings: Settings,
    dialect: &'static Dialect,
    bulk: Bulk,
}

/// A session, shared with a stream that uses it (in a look, whose staging table only it sees).
pub(super) struct Connected(Arc<Mutex<Session>>);

impl Connected {
    async fn rows(&self, sql: &str, parameters: &[&str]) -> Result<Vec<Row>, Error> {
        self.0.lock().await.rows(sql, raw(parameters)).await
    }

    /// A query of one column of texts.
    pub(super) async fn texts(&self, sql: &str, parameters: &[&str]) -> Result<Vec<String>, Error> {
        let rows = self.rows(sql, parameters).await?;
        rows.iter().map(|row| Ok(cell(rows::cell(row, 0)?).unwrap_or_default())).collect()
    }

    pub(super) async fn run(&self, sql: &str) -> Result<u64, Error> {
        self.0.lock().await.execute(sql, Vec::new()).await
    }
}

fn raw(parameters: &[&str]) -> Vec<Raw> {
    parameters.iter().map(|text| Raw::Bytes(text.as_bytes().to_vec())).collect()
}

/// A cell of our own statements, which are texts or numbers.
fn cell(raw: &Raw) -> Option<String> {
    match raw {
        Raw::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Raw::Int(n) => Some(n.to_string()),
        Raw::UInt(n) => Some(n.to_string()),
        Raw::Float(v) => Some(v.to_string()),
        Raw::Double(v) => Some(v.to_string()),
        _ => None,
    }
}

#[async_trait]
impl Link for Connected {
    async fn execute(&mut self, sql: &str, parameters: &[&str]) -> Result<u64, Error> {
        self.0.lock().await.execute(sql, raw(parameters)).await
    }

    fn is_open(&self) -> bool {
        // one that a statement still uses was given up in the middle
        self.0.try_lock().is_ok_and(|session| session.is_open())
    }

    async fn query(&mut self, sql: &str, parameters: &[&str]) -> Result<Vec<Vec<Option<String>>>, Error> {
        let rows = self.rows(sql, parameters).await?;
        let cells = |row: &Row| (0..row.len()).map(|i| Ok(cell(rows::cell(row, i)?))).collect();
        rows.iter().map(cells).collect()
    }
}

/// Parameters of this and the next two: database, table.
const KIND: &str = "SELECT table_type, IFNULL(engine, '') FROM information_schema.tables \
    WHERE table_schema = ? AND table_name = ?";

/// What `describe` does not ask for, because a source does not need it. In MariaDB the default of a column that may be null is
/// the text NULL.
const COLUMNS: &str = "SELECT column_name, column_default IS NULL, is_nullable, extra, character_set_name, collation_name \
    FROM information_schema.columns WHERE table_schema = ? AND table_name = ?";

/// What a rename would take away with the old table. Parameters: database and table, four times.
const DEPENDENTS: &str = "SELECT CONCAT('trigger ', trigger_name) FROM information_schema.triggers \
      WHERE event_object_schema = ? AND event_object_table = ? \
    UNION SELECT CONCAT('foreign key ', constraint_name) FROM information_schema.key_column_usage \
      WHERE table_schema = ? AND table_name = ? AND referenced_table_name IS NOT NULL \
    UNION SELECT CONCAT('foreign key ', constraint_name, ' of ', table_schema, '.', table_name) \
      FROM information_schema.key_column_usage WHERE referenced_table_schema = ? AND referenced_table_name = ? \
    UNION SELECT 'its history' FROM information_schema.tables \
      WHERE table_schema = ? AND table_name = ? AND table_type = 'SYSTEM VERSIONED'";

/// Who holds the lock called `?`.
const LOADER: &str = "SELECT CONCAT('process ', id, ' (user ', user, ' at ', host, ')') \
    FROM information_schema.processlist WHERE id = IS_USED_LOCK(?)";

/// Who holds a lock on the table, where the server tells. Parameters: database, table.
const HOLDERS: &str = "SELECT CONCAT('process ', p.id, ' (user ', p.user, ' at ', p.host, ', ', p.command, ' for ', p.time, \
      ' s) holds it in ', l.lock_type) \
    FROM performance_schema.metadata_locks l JOIN performance_schema.threads t ON t.thread_id = l.owner_thread_id \
    JOIN information_schema.processlist p ON p.id = t.processlist_id \
    WHERE l.object_type = 'TABLE' AND l.lock_status = 'GRANTED' AND l.object_schema = ? AND l.object_name = ? \
    ORDER BY p.time DESC LIMIT 1";

/// Whose transaction has been open for longest.
const OLDEST: &str = "SELECT CONCAT('process ', p.id, ' (user ', p.user, ' at ', p.host, ', ', p.command, ' for ', p.time, \
      ' s) has the oldest open transaction') \
    FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id \
    WHERE p.id <> CONNECTION_ID() ORDER BY t.trx_started LIMIT 1";

/// The name of a table's lock: the same in every process, whatever loads it, and at most 64 characters.
pub(crate) fn lock_name(table: &Named) -> String {
    lock_name_of(&table.to_string())
}

fn lock_name_of(what: &str) -> String {
    let digest = Sha256::digest(format!("syncline {what}").as_bytes());
    format!("syncline_{}", hex(&digest[..16]))
}

/// Parts of a table that may be loaded at once. Named locks cannot be shared: who loads a part takes one of so many places,
/// who loads the whole table takes them all.
const PARTS_MAX: usize = 16;

fn place_name(table: &Named, place: usize) -> String {
    lock_name_of(&format!("{table} place {place}"))
}

/// Takes locks, one after the other; returns the name of the first that did not come in time.
async fn take(link: &Connected, names: &[String], seconds: f64) -> Result<Option<String>, Error> {
    for name in names {
        let taken = link.texts(&format!("SELECT GET_LOCK(?, {seconds})"), &[name]).await?;
        if taken.first().map(String::as_str) != Some("1") {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}

/// Takes one of several locks: the first that is free, or, if none is, the first.
async fn take_one(link: &Connected, names: &[String], seconds: f64) -> Result<Option<String>, Error> {
    for name in names {
        if take(link, std::slice::from_ref(name), 0.0).await?.is_none() {
            return Ok(None);
        }
    }
    take(link, &names[..1], seconds).await
}

impl Tables {
    /// Looks what kind of server it is.
    pub(super) async fn open(settings: Settings) -> Result<Self, Error> {
        const HOW: &str =
            "SELECT CAST(@@GLOBAL.local_infile AS SIGNED), CAST(@@max_allowed_packet AS SIGNED)";
        let mut session = Session::connect_for(&settings, Access::Write).await?;
        let rows = session.rows(HOW, Vec::new()).await?;
        let local_infile = number(rows.first(), 0)? == Some(1);
        let packet = number(rows.first(), 1)?.unwrap_or_default();
        let packet_bytes = usize::try_from(packet).unwrap_or_default().clamp(1 << 10, 8 << 20);
        let dialect = if session.is_mariadb { &MARIADB } else { &MYSQL };
        Ok(Self { settings, dialect, bulk: Bulk { local_infile, packet_bytes } })
    }

    async fn session(&self) -> Result<Arc<Mutex<Session>>, Error> {
        let session = Session::connect_for(&self.settings, Access::Write).await?;
        Ok(Arc::new(Mutex::new(session)))
    }

    /// Where a table that does not exist would be made.
    async fn place(&self, link: &Connected, table: &str) -> Result<Named, Error> {
        let (schema, name) = sql::table_name(table).ok_or_else(|| unusable(table))?;
        let schema = match schema {
            Some(schema) => Some(schema),
            None => link.texts("SELECT DATABASE()", &[]).await?.pop().filter(|name| !name.is_empty()),
        };
        match schema {
            Some(schema) => Ok(Named { schema: Some(schema), name }),
            None => {
                let message = format!("{table:?}: there is no database to make it in");
                Err(Error::new(Kind::Definition, message)
                    .hint("write database.table, or name the database at the end of the url"))
            }
        }
    }
}

fn unusable(table: &str) -> Error {
    Error::new(Kind::Definition, format!("{table:?} is not the name of a table"))
        .hint("write table, database.table or `Odd.Name`.`Table`")
}

#[async_trait]
impl Server for Tables {
    type Link = Connected;

    fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    fn facts(&self) -> Facts {
        Facts { dialect: self.dialect, copies: false, writers_max: WRITERS_MAX, merges: true }
    }

    async fn connect(&self) -> Result<Connected, Error> {
        Ok(Connected(self.session().await?))
    }

    async fn find(&self, link: &mut Connected, table: &str) -> Result<(Named, Option<Table>), Error> {
        if sql::table_name(table).is_none() {
            return Err(unusable(table));
        }
        let found = describe::find(&mut *link.0.lock().await, table).await;
        let found = match found {
            Ok(found) => found,
            Err(error) if error.kind == Kind::StreamMissing => {
                return Ok((self.place(link, table).await?, None));
            }
            Err(error) => return Err(error),
        };
        let Origin::Table { schema, name } = &found.origin else { return Err(unusable(table)) };
        let named = Named { schema: Some(schema.0.clone()), name: name.0.clone() };
        must_be_a_table(link, &named).await?;
        Ok((named.clone(), Some(as_destination(link, found, &named).await?)))
    }

    async fn dependents(&self, link: &mut Connected, table: &Named) -> Result<Vec<String>, Error> {
        let place = [table.schema.as_deref().unwrap_or_default(), table.name.as_str()];
        link.texts(DEPENDENTS, &place.repeat(4)).await
    }

    async fn tables(&self, link: &mut Connected) -> Result<Vec<String>, Error> {
        let streams = describe::streams(&mut *link.0.lock().await).await?;
        Ok(streams.into_iter().filter(|name| !name.starts_with("syncline_")).collect())
    }

    async fn lock(
        &self,
        link: &mut Connected,
        table: &Named,
        hold: Hold<'_>,
        timeout: Duration,
    ) -> Result<(), Error> {
        let seconds = timeout.as_secs_f64().min(LOCK_SECONDS_MAX as f64);
        let busy = match hold {
            Hold::Table => {
                let mut names = vec![lock_name(table)];
                names.extend((0..PARTS_MAX).map(|place| place_name(table, place)));
                take(link, &names, seconds).await?
            }
            Hold::Part(part) => {
                let own = lock_name_of(&format!("{table} {part}"));
                let places = (0..PARTS_MAX).map(|place| place_name(table, place));
                match take(link, std::slice::from_ref(&own), seconds).await? {
                    Some(busy) => Some(busy),
                    None => take_one(link, &places.collect::<Vec<_>>(), seconds).await?,
                }
            }
            Hold::Change => take(link, &[lock_name_of(&format!("{table} change"))], seconds).await?,
        };
        if let Some(name) = busy {
            let holder = link.texts(LOADER, &[&name]).await.ok().and_then(|mut names| names.pop());
            let holder = holder.unwrap_or_else(|| "another process".into());
            return Err(Error::new(Kind::Locked, format!("{table} is being loaded by {holder}"))
                .hint("wait until that load is done, or raise to.lock_timeout; nothing was changed"));
        }
        let seconds = timeout.as_millis().div_ceil(1000).clamp(1, u128::from(LOCK_SECONDS_MAX));
        let set = format!("SET SESSION lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}");
        link.run(&set).await?;
        if let Hold::Part(_) = hold {
            // gaps between the rows of a part belong to others
            link.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
        }
        Ok(())
    }

    async fn beginning_with(
        &self,
        link: &mut Connected,
        table: &Named,
        prefix: &str,
    ) -> Result<Vec<String>, Error> {
        const TABLES: &str = "SELECT table_name FROM information_schema.tables \
            WHERE table_schema = ? AND LEFT(table_name, CHAR_LENGTH(?)) = ?";
        let schema = table.schema.as_deref().unwrap_or_default();
        let names = link.texts(TABLES, &[schema, prefix, prefix]).await?;
        // the catalogue compares without regard to case
        Ok(names.into_iter().filter(|name| name.starts_with(prefix)).collect())
    }

    async fn make_staging(&self, link: &mut Connected, stage: &Stage<'_>) -> Result<(), Error> {
        swap::make_staging(self.dialect, link, stage).await.map_err(|e| e.context("making the staging table"))
    }

    async fn writers(
        &self,
        link: &mut Connected,
        stage: &Stage<'_>,
        writers: usize,
    ) -> Result<Vec<Box<dyn Writer>>, Error> {
        if stage.in_session {
            return Ok(vec![write::open(Arc::clone(&link.0), self.bulk, stage).await?]);
        }
        let mut opened = Vec::new();
        for _ in 0..writers {
            opened.push(write::open(self.session().await?, self.bulk, stage).await?);
        }
        Ok(opened)
    }

    async fn staged(&self, link: &mut Connected, stage: &Stage<'_>) -> Result<(), Error> {
        swap::finish_staging(self.dialect, link, stage).await
    }

    async fn before_swap(&self, link: &mut Connected, stage: &Stage<'_>) -> Result<(), Error> {
        swap::finish_copy(self.dialect, link, stage).await
    }

    async fn swap(&self, link: &mut Connected, stage: &Stage<'_>) -> Result<(), Error> {
        swap::swap(self.dialect, link, stage).await
    }

    async fn reindex(&self, link: &mut Connected, table: &Named) -> Result<(), Error> {
        let sql = format!("ALTER TABLE {} FORCE", self.dialect.table(table));
        let rebuilt = link.run(&sql).await;
        rebuilt.map(drop).map_err(|e| e.context(format_args!("rebuilding the indexes of {table}")))
    }

    async fn blocker(&self, table: &Named) -> Option<String> {
        let session = Session::connect(&self.settings).await.ok()?;
        let link = Connected(Arc::new(Mutex::new(session)));
        let place = [table.schema.as_deref().unwrap_or_default(), &table.name];
        // the user may not be allowed to look, and MariaDB keeps no list by default
        let holder = link.texts(HOLDERS, &place).await.ok().and_then(|mut names| names.pop());
        match holder {
            Some(holder) => Some(holder),
            None => link.texts(OLDEST, &[]).await.ok()?.pop(),
        }
    }
}

/// # Errors
/// A view, or a table whose changes cannot be undone.
async fn must_be_a_table(link: &Connected, table: &Named) -> Result<(), Error> {
    let place = [table.schema.as_deref().unwrap_or_default(), &table.name];
    let rows = link.rows(KIND, &place).await?;
    let (kind, engine) = (text(rows.first(), 0)?, text(rows.first(), 1)?);
    if kind.ends_with("VIEW") {
        return Err(Error::new(Kind::Definition, format!("{table} is a view")).hint("name a table"));
    }
    if ["MyISAM", "Aria", "MEMORY", "CSV", "ARCHIVE", "MRG_MyISAM", "BLACKHOLE"].contains(&engine.as_str()) {
        let message = format!("{table} is a table of the engine {engine}, which has no transactions");
        return Err(Error::new(Kind::Definition, message)
            .hint(format!("run: ALTER TABLE {} ENGINE = InnoDB", MYSQL.table(table))));
    }
    Ok(())
}

/// Adds what the table demands of values, and what hangs on it.
async fn as_destination(link: &Connected, mut found: Found, table: &Named) -> Result<Table, Error> {
    let place = [table.schema.as_deref().unwrap_or_default(), table.name.as_str()];
    let rows = link.rows(COLUMNS, &place).await?;
    for row in &rows {
        let column = text(Some(row), 0)?;
        let unique = found.stream.is_unique(std::slice::from_ref(&column));
        let Some(field) = found.stream.fields.iter_mut().find(|f| f.name == column) else { continue };
        let (no_default, nullable) = (number(Some(row), 1)? == Some(1), text(Some(row), 2)? == "YES");
        let extra = text(Some(row), 3)?.to_ascii_lowercase();
        let charset = text_or_null(Some(row), 4)?.unwrap_or_default();
        let collation = text_or_null(Some(row), 5)?;
        let read_only = ["virtual generated", "stored generated"].iter().any(|g| extra.contains(g));
        let limits = limits(field.native.as_deref().unwrap_or_default(), &field.kind);
        field.limits = syncline_core::schema::Limits {
            required: !nullable && no_default && !read_only && !extra.contains("auto_increment"),
            read_only,
            unique,
            indexed: field.limits.indexed,
            max_char: highest(&charset),
            folds: collation.is_some_and(|name| !is_exact(&name)),
            ..limits
        };
    }
    Ok(Table { stream: found.stream, dependents: Vec::new() })
}

/// The highest character of an encoding, where it has all below. What others lack, the server refuses.
fn highest(charset: &str) -> Option<char> {
    match charset {
        "utf8" | "utf8mb3" | "ucs2" => Some('\u{ffff}'),
        "ascii" => Some('\u{7f}'),
        _ => None,
    }
}

/// Whether a collation tells all texts apart: byte by byte, spaces at the end too.
fn is_exact(collation: &str) -> bool {
    collation == "binary" || collation.ends_with("nopad_bin") || collation.ends_with("0900_bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_locks_are_short_and_of_one_table() {
        let named = |name: &str| Named { schema: Some("shop".into()), name: name.into() };
        let long = lock_name(&named(&"x".repeat(64)));
        assert_eq!(long.len(), 41, "{long}");
        assert_ne!(long, lock_name(&named("x")));
        assert_eq!(lock_name(&named("x")), lock_name(&named("x")));
    }

    #[test]
    fn collations_that_tell_all_texts_apart() {
        for (collation, exact) in [
            ("utf8mb4_nopad_bin", true),
            ("utf8mb4_0900_bin", true),
            ("utf8mb4_bin", false),
            ("utf8mb4_general_ci", false),
            ("utf8mb4_0900_as_cs", false),
        ] {
            assert_eq!(is_exact(collation), exact, "{collation}");
        }
    }
}
