//! The life of a load in a SQL database.

use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use syncline_core::{
    batch::Batch,
    guard::{self, Verdict},
    value::hex,
};

use super::{Hold, Link, Server, Stage};
use crate::{
    Error,
    database::{
        Absent, Change, Claim, Commit, Doubtful, Gone, Held, How, Load, NAMED_MAX, Outcome, Preview, Rows,
        Shape, State, Table, Writer,
        dialect::{MergeSql, Named, STATE, Which},
    },
    error::Kind,
    statements::bound,
};

/// Most rows that share their key with others; more of them is no slip but a wrong key.
const DOUBTFUL_MAX: u64 = 100_000;

/// A load under way.
pub(super) struct Loading<S: Server> {
    pub(super) server: Arc<S>,
    pub(super) link: S::Link,
    pub(super) claim: Claim,
    pub(super) tables: Tables,
    /// The state as this load found it; its epoch is the one before ours.
    state: Option<State>,
    /// Our epoch; `None`: the destination remembers nothing.
    epoch: Option<u64>,
    staged: bool,
    gone_staged: bool,
}

/// The tables of a load.
pub(super) struct Tables {
    pub(super) table: Named,
    pub(super) found: Option<Table>,
    staging: Named,
    gone: Named,
    pub(super) shape: Shape,
    dry: bool,
    /// Columns of the partition that is loaded, and their values; empty: the whole table.
    scope: (Vec<String>, Vec<String>),
}

impl Tables {
    /// Whether only a part of the table is loaded.
    fn is_part(&self) -> bool {
        !self.scope.0.is_empty()
    }

    /// Whether nothing that is staged is to outlive the session.
    fn in_session(&self) -> bool {
        self.dry || self.is_part()
    }

    fn stage(&self) -> Stage<'_> {
        Stage {
            table: &self.table,
            exists: self.found.is_some(),
            indexed: self.found.as_ref().is_some_and(|t| t.stream.is_unique(&self.shape.key)),
            staging: &self.staging,
            shape: &self.shape,
            in_session: self.in_session(),
        }
    }
}

/// What names of staging tables of `table` begin with. A load holds the table's lock, so every such table but its own was
/// left behind by a dead one.
fn prefix(table: &Named) -> String {
    let digest = Sha256::digest(table.to_string().as_bytes());
    format!("syncline_{}_", hex(&digest[..6]))
}

/// Reads what is remembered; nothing where there is no table of states.
pub(super) async fn state<S: Server>(
    server: &S,
    link: &mut S::Link,
    sync: &str,
    table: &Named,
) -> Result<Option<State>, Error> {
    let states = table.beside(STATE);
    if server.beginning_with(link, table, STATE).await?.iter().all(|name| name != STATE) {
        return Ok(None);
    }
    let sql = server.dialect().select_state(&states, false);
    let rows = link.query(&sql, &[sync, &table.to_string()]).await?;
    rows.first().map(|row| read_state(row)).transpose()
}

fn read_state(row: &[Option<String>]) -> Result<State, Error> {
    let broken =
        || Error::new(Kind::Protocol, format!("the table {STATE:?} holds something else than states"));
    let [Some(epoch), cursor, started_at] = row else { return Err(broken()) };
    Ok(State {
        epoch: epoch.parse().map_err(|_| broken())?,
        cursor: cursor.clone(),
        started_at: started_at.as_ref().map(|at| at.parse()).transpose().map_err(|_| broken())?,
    })
}

impl<S: Server> Loading<S> {
    pub(super) async fn open(server: Arc<S>, mut link: S::Link, claim: &Claim) -> Result<Self, Error> {
        let table = server.locate(&mut link, &claim.table).await?;
        if !server.dialect().name_max.holds(&table.name) {
            let message = format!("table {:?}: names have at most {}", table.name, server.dialect().name_max);
            return Err(Error::new(Kind::Definition, message));
        }
        if !claim.dry {
            // texts in quotes: no two partitions look alike
            let part = hex(&Sha256::digest(format!("{:?}", claim.partition).as_bytes())[..16]);
            let hold = if claim.partition.is_empty() { Hold::Table } else { Hold::Part(&part) };
            server.lock(&mut link, &table, hold, claim.lock_timeout).await?;
        }
        // described now that nobody else changes it
        let (table, mut found) = server.find(&mut link, &claim.table).await?;
        if let (Some(found), true) = (&mut found, claim.replaces) {
            found.dependents.extend(server.dependents(&mut link, &table).await?);
        }
        let (epoch, state) = if claim.dry {
            (None, state(&*server, &mut link, &claim.sync, &table).await?)
        } else {
            // beside loads of other parts nothing is left behind, and what there is may be theirs
            if claim.partition.is_empty() {
                Self::clear(&*server, &mut link, &table).await?;
            }
            Self::claim(&*server, &mut link, &claim.sync, &table).await?
        };
        // unique within the destination: epochs of one sync rise, and a table is loaded by one sync at a time
        let suffix = epoch.unwrap_or_default();
        let start = prefix(&table);
        let tables = Tables {
            staging: table.beside(format!("{start}{suffix}")),
            gone: table.beside(format!("{start}{suffix}_gone")),
            table,
            found,
            shape: Shape::default(),
            dry: claim.dry,
            scope: claim.partition.iter().cloned().unzip(),
        };
        let claim = claim.clone();
        Ok(Self { server, link, claim, tables, state, epoch, staged: false, gone_staged: false })
    }

    /// Removes what dead loads left behind.
    async fn clear(server: &S, link: &mut S::Link, table: &Named) -> Result<(), Error> {
        for name in server.beginning_with(link, table, &prefix(table)).await? {
            link.execute(&server.dialect().drop_table(&table.beside(name)), &[]).await?;
        }
        Ok(())
    }

    /// Raises the epoch, and makes the table of states if that is missing and allowed.
    async fn claim(
        server: &S,
        link: &mut S::Link,
        sync: &str,
        table: &Named,
    ) -> Result<(Option<u64>, Option<State>), Error> {
        let dialect = server.dialect();
        let states = table.beside(STATE);
        let there = |names: Vec<String>| names.iter().any(|name| name == STATE);
        if !there(server.beginning_with(link, table, STATE).await?)
            && let Err(error) = link.execute(&dialect.create_state(&states), &[]).await
        {
            // another load may have made it meanwhile
            if error.kind == Kind::Forbidden {
                return Ok((None, None));
            }
            if !there(server.beginning_with(link, table, STATE).await?) {
                return Err(error.context(format_args!("making the table {states}")));
            }
        }
        let of = [sync, &table.to_string()];
        let before = state(server, link, sync, table).await?;
        let raised = match before {
            Some(_) => link.execute(&dialect.raise_epoch(&states), &of).await,
            None => link.execute(&dialect.insert_state(&states), &of).await,
        };
        match raised {
            Ok(1) => {}
            Err(error) if error.kind == Kind::Forbidden => return Ok((None, None)),
            Err(error) => return Err(error.context(format_args!("claiming {table}"))),
            Ok(_) => return Err(Error::new(Kind::Locked, format!("the state of {table} changed meanwhile"))),
        }
        let epoch = before.as_ref().map_or(0, |state| state.epoch) + 1;
        Ok((Some(epoch), before))
    }

    pub(super) fn merge<'a>(&'a self, commit: &'a Commit) -> MergeSql<'a> {
        MergeSql {
            dialect: self.server.dialect(),
            table: &self.tables.table,
            staging: &self.tables.staging,
            shape: &self.tables.shape,
            update: &commit.merge.update,
            insert: &commit.merge.insert,
            update_when: commit.merge.update_when.as_deref(),
            gone: &commit.merge.gone,
            scope: &self.tables.scope.0,
        }
    }

    /// What statements about no columns but the key's are rendered from.
    fn bare<'a>(&'a self, gone: &'a Gone) -> MergeSql<'a> {
        MergeSql {
            dialect: self.server.dialect(),
            table: &self.tables.table,
            staging: &self.tables.staging,
            shape: &self.tables.shape,
            update: &[],
            insert: &[],
            update_when: None,
            gone,
            scope: &self.tables.scope.0,
        }
    }

    pub(super) async fn run(&mut self, sql: &str) -> Result<u64, Error> {
        self.link.execute(sql, &[]).await
    }

    /// Runs a statement about the rows of the partition.
    async fn run_in_scope(&mut self, sql: &str) -> Result<u64, Error> {
        self.link.execute(sql, &texts(&self.tables.scope.1)).await
    }

    /// The first cell of a query, as a number.
    pub(super) async fn count(&mut self, sql: &str) -> Result<u64, Error> {
        let rows = self.link.query(sql, &[]).await?;
        Ok(numbers(rows)?.first().copied().unwrap_or_default())
    }

    /// As [`count`](Self::count), of the rows of the partition.
    pub(super) async fn count_in_scope(&mut self, sql: &str) -> Result<u64, Error> {
        let rows = self.link.query(sql, &texts(&self.tables.scope.1)).await?;
        Ok(numbers(rows)?.first().copied().unwrap_or_default())
    }

    async fn texts(&mut self, sql: &str) -> Result<Vec<Vec<String>>, Error> {
        Ok(shown(self.link.query(sql, &[]).await?))
    }

    /// Keys of rows of the partition.
    pub(super) async fn keys_in_scope(&mut self, sql: &str) -> Result<Vec<Vec<String>>, Error> {
        Ok(shown(self.link.query(sql, &texts(&self.tables.scope.1)).await?))
    }

    pub(super) fn which(&self, absent: Absent) -> Option<Which<'_>> {
        match absent {
            Absent::Unknown => None,
            Absent::Unstaged => Some(Which::Unstaged),
            Absent::Named if self.gone_staged => Some(Which::Named(&self.tables.gone)),
            Absent::Named => None,
        }
    }

    /// Everything between the beginning and the end of the transaction.
    async fn transact(&mut self, commit: &Commit) -> Result<Outcome, Error> {
        self.check_epoch().await?;
        if self.server.dialect().transactional_ddl && !self.tables.is_part() {
            self.change(commit.merge.how).await?;
        }
        let mut outcome = Outcome::default();
        if self.staged {
            self.merge_staged(commit, &mut outcome).await?;
        }
        self.remove_absent(commit, &mut outcome).await?;
        // not before: what is absent is what was not staged
        if self.staged && self.server.dialect().transactional_ddl {
            self.run(&self.server.dialect().drop_table(&self.tables.staging)).await?;
            self.staged = false;
        }
        if self.tables.in_session() {
            self.server.merged(&mut self.link).await?;
        }
        for (number, statement) in (1..).zip(&commit.after) {
            let dialect = self.server.dialect();
            let of_statement = |e: Error| e.context(format_args!("statement {number} of after"));
            let (sql, values) =
                bound(statement, dialect.name, dialect.parameter, &commit.params).map_err(of_statement)?;
            self.link.execute(&sql, &texts(&values)).await.map_err(of_statement)?;
        }
        if let Some(epoch) = self.epoch {
            let states = self.tables.table.beside(STATE);
            let cursor = commit.cursor.is_some();
            let sql = self.server.dialect().save_state(&states, epoch, commit.started_at, cursor);
            let name = self.tables.table.to_string();
            let of = commit.cursor.as_deref().into_iter().chain([self.claim.sync.as_str(), name.as_str()]);
            if self.link.execute(&sql, &of.collect::<Vec<_>>()).await? != 1 {
                return Err(overtaken(&self.tables.table));
            }
        }
        Ok(outcome)
    }

    /// A write with an old epoch changes nothing.
    async fn check_epoch(&mut self) -> Result<(), Error> {
        let Some(epoch) = self.epoch else { return Ok(()) };
        let sql = self.server.dialect().select_state(&self.tables.table.beside(STATE), true);
        let rows = self.link.query(&sql, &[&self.claim.sync, &self.tables.table.to_string()]).await?;
        let now = rows.first().map(|row| read_state(row)).transpose()?.map(|state| state.epoch);
        if now == Some(epoch) { Ok(()) } else { Err(overtaken(&self.tables.table)) }
    }

    /// # Errors
    /// The staging table does not hold what was staged.
    async fn check_count(&mut self, staged: u64) -> Result<(), Error> {
        let sql = format!("SELECT count(*) FROM {}", self.server.dialect().table(&self.tables.staging));
        let counted = self.count(&sql).await?;
        if counted == staged {
            return Ok(());
        }
        let message = format!("{staged} rows were staged and {counted} are there; nothing was changed");
        Err(Error::new(Kind::Protocol, message))
    }

    async fn merge_staged(&mut self, commit: &Commit, outcome: &mut Outcome) -> Result<(), Error> {
        match commit.merge.how {
            How::Replace => {
                let server = Arc::clone(&self.server);
                let undone = server.dialect().transactional_ddl;
                if !undone {
                    self.check_count(commit.staged).await?;
                }
                server.swap(&mut self.link, &self.tables.stage()).await?;
                // where a swap commits by itself, the old table has the name of the staging table now
                self.staged = !undone;
                outcome.created = commit.staged;
                return Ok(());
            }
            How::Append => {
                let sql = self.merge(commit).insert_all();
                outcome.created = self.run(&sql).await?;
            }
            How::Merge => {
                let server = Arc::clone(&self.server);
                let whole = !self.tables.is_part();
                server.keep_writers_out(&mut self.link, &self.tables.table, whole).await?;
                let merge = self.merge(commit);
                let (update, insert, upsert) = (merge.update(), merge.insert_new(), merge.upsert());
                let remove = merge.remove(Which::Tombstones).filter(|_| self.tables.shape.tombstones);
                let count = self.tables.shape.tombstones.then(|| merge.count_tombstones());
                if let Some(sql) = count {
                    outcome.tombstones = self.count(&sql).await?;
                }
                let at_once = match &upsert {
                    Some(sql) => server.upsert(&mut self.link, &self.tables.stage(), sql).await?,
                    None => None,
                };
                if let Some((created, updated)) = at_once {
                    (outcome.created, outcome.updated) = (created, updated);
                } else if let Some(sql) = update {
                    outcome.updated = self.run(&sql).await?;
                }
                // where every living row has changed one, none is new
                if at_once.is_none() && outcome.updated + outcome.tombstones < commit.staged {
                    outcome.created = self.run(&insert).await?;
                }
                if let Some(sql) = remove {
                    outcome.tombstones_deleted = self.run_in_scope(&sql).await?;
                }
            }
        }
        Ok(())
    }

    /// Deletes or marks what is absent, or holds it when the guard says so.
    async fn remove_absent(&mut self, commit: &Commit, outcome: &mut Outcome) -> Result<(), Error> {
        if commit.merge.how == How::Replace || commit.merge.gone == Gone::Stay {
            return Ok(());
        }
        let Some(which) = self.which(commit.absent) else { return Ok(()) };
        let merge = self.merge(commit);
        let (count, known) = (merge.count_gone(which), merge.count_known());
        let (remove, list) = (merge.remove(which), merge.list_gone(which, NAMED_MAX));
        let gone = self.count_in_scope(&count).await?;
        if gone == 0 {
            return Ok(());
        }
        let known = self.count_in_scope(&known).await?;
        let listed = if commit.absent == Absent::Unstaged { commit.staged } else { known - gone };
        match guard::judge(&commit.guard, gone, known, listed, commit.approved) {
            Verdict::Hold(reason) => {
                let keys = self.keys_in_scope(&list).await?;
                outcome.held = Some(Held { count: gone, reason, keys });
            }
            Verdict::Allow => {
                if let Some(sql) = remove {
                    outcome.absent_deleted = self.run_in_scope(&sql).await?;
                }
            }
        }
        Ok(())
    }

    /// Adds who is in the way to a lock that did not come in time.
    async fn explain(&self, error: Error) -> Error {
        if error.kind != Kind::Locked {
            return error;
        }
        match self.server.blocker(&self.tables.table).await {
            Some(who) => Error { message: format!("{}: {who}", error.message), ..error }
                .hint("wait until it is done, end it, or raise to.lock_timeout; nothing was changed"),
            None => error,
        }
    }
}

fn texts(values: &[String]) -> Vec<&str> {
    values.iter().map(String::as_str).collect()
}

fn shown(rows: Vec<Vec<Option<String>>>) -> Vec<Vec<String>> {
    rows.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect()).collect()
}

/// The cells of the first row, as numbers.
fn numbers(rows: Vec<Vec<Option<String>>>) -> Result<Vec<u64>, Error> {
    let cells = rows.into_iter().next().unwrap_or_default();
    let number = |cell: Option<String>| {
        let cell = cell.unwrap_or_default();
        // sums of integers may come as decimals
        cell.split('.').next().and_then(|whole| whole.parse().ok())
    };
    let numbers: Option<Vec<u64>> = cells.into_iter().map(number).collect();
    numbers.ok_or_else(|| Error::new(Kind::Protocol, "a count is not a number"))
}

fn overtaken(table: &Named) -> Error {
    Error::new(Kind::Locked, format!("{table}: a newer load of this sync took over; nothing was changed"))
        .hint("one process at a time may run a sync; this one was too slow or was started twice")
}

#[async_trait]
impl<S: Server> Load for Loading<S> {
    fn table(&self) -> Option<&Table> {
        self.tables.found.as_ref()
    }

    fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    fn remembers(&self) -> bool {
        self.tables.dry || self.epoch.is_some()
    }

    async fn known(&mut self) -> Result<u64, Error> {
        if self.tables.found.is_none() {
            return Ok(0);
        }
        let sql = self.bare(&Gone::Stay).count_known();
        self.count_in_scope(&sql).await
    }

    async fn stage(&mut self, shape: &Shape, writers: usize) -> Result<Vec<Box<dyn Writer>>, Error> {
        self.tables.shape = shape.clone();
        let server = Arc::clone(&self.server);
        let writers = if self.tables.in_session() { 1 } else { writers.clamp(1, server.facts().writers_max) };
        if self.tables.in_session() {
            // it lives where only its session sees it
            let own = |table: &Named| server.dialect().in_session(table);
            (self.tables.staging, self.tables.gone) = (own(&self.tables.staging), own(&self.tables.gone));
        }
        let stage = self.tables.stage();
        server.make_staging(&mut self.link, &stage).await?;
        self.staged = true;
        if shape.takes_place {
            let staging = &self.tables.staging;
            for sql in shape
                .changes
                .iter()
                .filter(|c| !matches!(c, Change::Create { .. }))
                .filter_map(|c| self.render(c, staging))
                .collect::<Vec<_>>()
            {
                self.run(&sql).await?;
            }
        }
        let stage = self.tables.stage();
        server.writers(&mut self.link, &stage, writers).await
    }

    async fn exclude_doubtful(&mut self) -> Result<Doubtful, Error> {
        let gone = Gone::Stay;
        let merge = self.bare(&gone);
        let keyless = (merge.count_keyless(), merge.delete_keyless());
        let doubled = (merge.count_doubled(), merge.list_doubled(NAMED_MAX), merge.delete_doubled());
        let mut doubtful = Doubtful { keyless: self.count(&keyless.0).await?, ..Doubtful::default() };
        if doubtful.keyless > 0 {
            self.run(&keyless.1).await?;
        }
        let counts = numbers(self.link.query(&doubled.0, &[]).await?)?;
        doubtful.doubled = counts.get(1).copied().unwrap_or_default();
        if doubtful.keyless + doubtful.doubled > DOUBTFUL_MAX {
            let message = format!(
                "{} records have no key and {} share theirs with another",
                doubtful.keyless, doubtful.doubled
            );
            return Err(Error::new(Kind::Definition, message)
                .hint("name columns in from.key that are unique and never null"));
        }
        if doubtful.doubled > 0 {
            doubtful.keys = self.texts(&doubled.1).await?;
            self.run(&doubled.2).await?;
        }
        Ok(doubtful)
    }

    async fn stage_gone(&mut self, keys: Vec<Batch>) -> Result<(), Error> {
        let columns =
            self.tables.shape.columns.iter().filter(|c| self.tables.shape.key.contains(&c.name)).cloned();
        let shape =
            Shape { columns: columns.collect(), key: self.tables.shape.key.clone(), ..Shape::default() };
        let server = Arc::clone(&self.server);
        let stage = Stage { staging: &self.tables.gone, shape: &shape, ..self.tables.stage() };
        server.make_staging(&mut self.link, &stage).await?;
        self.gone_staged = true;
        let mut writers = server.writers(&mut self.link, &stage, 1).await?;
        let Some(mut writer) = writers.pop() else {
            return Err(Error::new(Kind::Protocol, "no stream into the staging table"));
        };
        for batch in keys {
            writer.write(Rows::Batch(batch)).await?;
        }
        writer.finish().await.map(drop)
    }

    async fn preview(&mut self, commit: &Commit, limit: usize) -> Result<Preview, Error> {
        self.compare(commit, limit).await
    }

    async fn commit(&mut self, commit: &Commit) -> Result<Outcome, Error> {
        if self.tables.dry {
            return Err(Error::new(Kind::Protocol, "a look is not a load: nothing was committed"));
        }
        let server = Arc::clone(&self.server);
        let replaces = commit.merge.how == How::Replace && self.staged;
        if self.staged {
            if replaces {
                server.before_swap(&mut self.link, &self.tables.stage()).await?;
            } else {
                server.staged(&mut self.link, &self.tables.stage()).await?;
            }
        }
        if self.tables.is_part() {
            self.change_beside_others().await?;
        } else if !server.dialect().transactional_ddl {
            self.change(commit.merge.how).await?;
        }
        self.run(server.dialect().begin).await?;
        let staged = self.staged;
        let outcome = match self.transact(commit).await {
            Ok(outcome) => outcome,
            Err(error) => {
                self.staged = staged;
                // what ended the session has undone it already
                drop(self.run("ROLLBACK").await);
                return Err(self.explain(error).await);
            }
        };
        self.run("COMMIT").await?;
        if commit.reindex {
            server.reindex(&mut self.link, &self.tables.table).await?;
        }
        Ok(outcome)
    }

    async fn close(mut self: Box<Self>) -> Result<(), Error> {
        let dialect = self.server.dialect();
        for (there, table) in
            [(self.staged, self.tables.staging.clone()), (self.gone_staged, self.tables.gone.clone())]
        {
            if there {
                self.run(&dialect.drop_table(&table)).await?;
            }
        }
        Ok(())
    }
}
