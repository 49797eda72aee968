//! The `files` destination: a load writes one file, and a commit gives it its name.
//!
//! Limits, and what a user should know:
//! - `replace` makes a file anew, or leaves one file in a directory; `append` adds a file to a directory. Nothing is merged.
//! - A file takes the place of another at once. A directory that held several files shows the new one first, then the old
//!   ones go; a changed schema beside a file comes just before it.
//! - In a directory of this machine a lock keeps loads of one table apart. An object store has none: the load that began last
//!   wins, and the other ends with an error and without effect. A file of more than 5 GB cannot be copied to its name there.
//! - NaN and infinity do not fit a `decimal(p,s)`. A JSON null in a JSON column is a null in JSON Lines.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use syncline_core::{
    batch::{Batch, RecordOp},
    schema::{Field, Stream},
};
use tokio::runtime::Handle;

use super::{
    Files, Format, claim,
    config::Settings,
    describe,
    encode::{Encoder, Sources},
    error, find,
    put::{Upload, Version},
    scan::Scanned,
    schema,
    state::{Document, Names, Pending},
    store::{Root, Store},
};
use crate::{
    Database, Error,
    database::{
        Change, Claim, Commit, Doubtful, Facts, How, Load, Outcome, Preview, Rows, Shape, State, Table,
        Writer, dialect::files::FILES,
    },
    error::Kind,
};

/// Largest state that is read.
const STATE_MAX: u64 = 16 << 20;

#[async_trait]
impl Database for Files {
    fn facts(&self) -> Facts {
        Facts { dialect: &FILES, copies: false, writers_max: 1, merges: false }
    }

    async fn describe(&self, table: &str) -> Result<Option<Table>, Error> {
        let table = table.to_owned();
        self.ask(move |store, settings| Ok(look(&store, settings, &table)?.table)).await
    }

    async fn tables(&self) -> Result<Vec<String>, Error> {
        self.ask(|store, _| find::names(&store)).await
    }

    async fn state(&self, sync: &str, table: &str) -> Result<Option<State>, Error> {
        let name = table.to_owned();
        let found = self.ask(move |store, settings| look(&store, settings, &name)).await?;
        let (document, _) = remembered(&self.store, &found.id).await?;
        Ok(document.of(sync))
    }

    async fn open(&self, claim: &Claim) -> Result<Box<dyn Load>, Error> {
        if !claim.partition.is_empty() {
            return Err(Error::new(Kind::Definition, "a file cannot be loaded in partitions")
                .hint("load into a table of a database, or remove to.partition"));
        }
        let name = claim.table.clone();
        let found = self.ask(move |store, settings| look(&store, settings, &name)).await?;
        let names = Names::of(&found.id);
        let lock = if claim.dry { None } else { claim::lock(&self.store, &names, claim).await? };
        let (mut document, mut version) = remembered(&self.store, &found.id).await?;
        let state = document.of(&claim.sync);
        if !claim.dry {
            if !document.pending.is_empty() {
                settle(&self.store, &document.pending).await?;
                document.pending = Pending::default();
            }
            document.claim(&claim.sync);
            version = self.store.put(&names.state(), document.write(), &version).await?;
            for left in self.store.beginning_with(names.folder(), &names.staged()).await? {
                self.store.remove(&left).await?;
            }
        }
        // described again, now that nobody else changes it
        let name = claim.table.clone();
        let found = self.ask(move |store, settings| look(&store, settings, &name)).await?;
        let loading = Loading {
            root: self.store.clone(),
            settings: Arc::clone(&self.settings),
            sync: claim.sync.clone(),
            dry: claim.dry,
            found,
            names,
            document,
            version,
            state,
            staged: None,
            gone: Arc::default(),
            _lock: lock,
        };
        Ok(Box::new(loading))
    }
}

/// A table as it is found.
struct Found {
    /// Its name in its one form.
    id: String,
    format: Format,
    table: Option<Table>,
    /// Its files.
    files: Vec<String>,
}

impl Found {
    fn is_directory(&self) -> bool {
        self.id.ends_with('/')
    }

    /// The name of the schema beside it.
    fn schema(&self) -> String {
        format!("{}{}", self.id.trim_end_matches('/'), find::SCHEMA)
    }
}

/// Looks for a table.
fn look(store: &Store, settings: &Settings, wanted: &str) -> Result<Found, Error> {
    match describe::found(store, settings, wanted) {
        Ok(found) => {
            let mut stream = found.stream;
            stream.dialect = Some(FILES.name);
            stream.fields.iter_mut().for_each(|f| f.native = Some(f.kind.to_string()));
            let id = stream.id.clone();
            let files = found.entries.into_iter().map(|e| e.name).collect();
            let table = Some(Table { stream, dependents: Vec::new() });
            Ok(Found { id, format: found.layout.format, table, files })
        }
        Err(e) if e.kind == Kind::StreamMissing => missing(settings, wanted),
        Err(e) => Err(e),
    }
}

/// A table that is not there, where its name says how it is to be made.
fn missing(settings: &Settings, wanted: &str) -> Result<Found, Error> {
    let name = wanted.trim_matches('/');
    let part = |p: &str| p.is_empty() || p == "." || p == ".." || p.contains(char::is_control);
    if name.is_empty() || name.split('/').any(part) || name.starts_with(['_', '.']) {
        return Err(Error::new(Kind::Definition, format!("{wanted:?} cannot be the name of a file"))
            .hint("name a file, such as orders.csv, or a directory, such as orders/"));
    }
    let directory = wanted.ends_with('/');
    let told = if directory { None } else { Format::of(name) };
    let format = settings.format.or(told).ok_or_else(|| {
        error::malformed(wanted, "its format cannot be told by its name")
            .hint("give format at the connection, one of csv, jsonl and parquet")
    })?;
    let id = if directory { format!("{name}/") } else { name.to_owned() };
    Ok(Found { id, format, table: None, files: Vec::new() })
}

/// What is remembered of loads into a table, and the version of the file that says so.
async fn remembered(root: &Root, id: &str) -> Result<(Document, Version), Error> {
    let name = Names::of(id).state();
    match root.get(&name, STATE_MAX).await? {
        Some((bytes, version)) => Ok((Document::read(&name, &bytes)?, version)),
        None => Ok((Document::new(id), Version::ABSENT)),
    }
}

/// Puts the files of a committed load in place. Doing it again changes nothing.
async fn settle(root: &Root, pending: &Pending) -> Result<(), Error> {
    for (staged, name) in &pending.moves {
        root.rename(staged, name).await?;
    }
    for name in &pending.removes {
        root.remove(name).await?;
    }
    Ok(())
}

/// A load under way.
struct Loading {
    root: Root,
    settings: Arc<Settings>,
    sync: String,
    dry: bool,
    found: Found,
    names: Names,
    /// As it was written with our epoch in it.
    document: Document,
    version: Version,
    /// What was remembered before.
    state: Option<State>,
    staged: Option<Staged>,
    gone: Arc<AtomicU64>,
    _lock: Option<claim::Lock>,
}

/// What was staged.
struct Staged {
    fields: Vec<Field>,
    key: Vec<String>,
    takes_place: bool,
    file: String,
}

impl Loading {
    fn ending(&self) -> &'static str {
        self.found.format.ending()
    }

    /// The fields of the file, and where their values come from.
    fn fields(&self, shape: &Shape) -> Result<(Vec<Field>, Sources), Error> {
        let given = |name: &str| shape.columns.iter().position(|c| c.name == name);
        match &self.found.table {
            Some(table) if !shape.takes_place => {
                if shape.changes.iter().any(|c| !matches!(c, Change::Create { .. })) {
                    return Err(Error::new(
                        Kind::Definition,
                        format!(
                            "{:?} would need other columns, and its files stay as they are",
                            self.found.id
                        ),
                    )
                    .hint("write replace, or name another directory"));
                }
                let fields = table.stream.fields.clone();
                let sources = fields.iter().map(|f| given(&f.name)).collect();
                Ok((fields, sources))
            }
            _ => {
                let field = |c: &crate::database::Column| Field::new(&c.name, c.kind.clone(), c.nullable);
                let fields = shape.columns.iter().map(field).collect();
                Ok((fields, (0..shape.columns.len()).map(Some).collect()))
            }
        }
    }

    /// What a commit has to do to the files.
    fn pending(&self, staged: &Staged, rows: u64) -> Pending {
        let mut pending = Pending::default();
        let directory = self.found.is_directory();
        let part = format!("{}part-{:012}.{}", self.found.id, self.document.epoch, self.ending());
        let name = if directory { part } else { self.found.id.clone() };
        if !staged.takes_place && rows == 0 {
            return pending;
        }
        if staged.takes_place || self.found.table.is_none() {
            let schema = self.names.staging(self.document.epoch, "schema.json");
            pending.moves.push((schema, self.found.schema()));
        }
        pending.moves.push((staged.file.clone(), name.clone()));
        if staged.takes_place && directory {
            pending.removes.extend(self.found.files.iter().filter(|f| **f != name).cloned());
        }
        pending
    }

    fn refuse(&self, what: &str) -> Error {
        Error::new(Kind::Definition, format!("{:?}: {what}", self.found.id))
    }
}

#[async_trait]
impl Load for Loading {
    fn table(&self) -> Option<&Table> {
        self.found.table.as_ref()
    }

    fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    fn remembers(&self) -> bool {
        true
    }

    async fn known(&mut self) -> Result<u64, Error> {
        let Some(Table { stream: Stream { name, .. }, .. }) = &self.found.table else { return Ok(0) };
        let (name, settings) = (name.clone(), Arc::clone(&self.settings));
        let store = Store::new(self.root.clone(), Handle::current());
        let count = move || {
            let found = describe::found(&store, &settings, &name)?;
            if let Some(records) = found.stream.records {
                return Ok(records);
            }
            let scanned = Scanned::new(store, found, Vec::new());
            let mut walk = scanned.walk();
            let mut count = 0;
            while walk.advance()? {
                count += 1;
            }
            Ok(count)
        };
        #[expect(clippy::disallowed_methods, reason = "awaited here")]
        let counted = tokio::task::spawn_blocking(count);
        counted.await.map_err(|_| Error::new(Kind::Protocol, "the counting thread ended early"))?
    }

    async fn stage(&mut self, shape: &Shape, writers: usize) -> Result<Vec<Box<dyn Writer>>, Error> {
        if writers != 1 {
            return Err(Error::new(Kind::Protocol, format!("{writers} streams into one file")));
        }
        let (fields, sources) = self.fields(shape)?;
        if !shape.takes_place && self.found.table.is_some() && !self.found.is_directory() && !self.dry {
            return Err(self
                .refuse("a file is not appended to")
                .hint("name a directory, orders/, to add files to it"));
        }
        let encoder = Encoder::new(self.found.format, &self.settings.csv, &fields)?;
        let file = self.names.staging(self.document.epoch, self.ending());
        let upload = if self.dry { None } else { Some(self.root.upload(&file).await?) };
        let staged = Staged { fields, key: shape.key.clone(), takes_place: shape.takes_place, file };
        if !self.dry {
            let schema = self.names.staging(self.document.epoch, "schema.json");
            self.root.put(&schema, schema::write(&staged.fields, &staged.key), &Version::ABSENT).await?;
        }
        self.staged = Some(staged);
        Ok(vec![Box::new(FileWriter { upload, encoder, sources, rows: 0, gone: Arc::clone(&self.gone) })])
    }

    /// Files keep every record: what a reader takes for the same record is the reader's business.
    async fn exclude_doubtful(&mut self) -> Result<Doubtful, Error> {
        Ok(Doubtful::default())
    }

    async fn stage_gone(&mut self, _: Vec<Batch>) -> Result<(), Error> {
        Err(self.refuse("records of files cannot be deleted one by one"))
    }

    async fn preview(&mut self, commit: &Commit, _: usize) -> Result<Preview, Error> {
        Ok(Preview { created: commit.staged, known: self.known().await?, ..Preview::default() })
    }

    async fn commit(&mut self, commit: &Commit) -> Result<Outcome, Error> {
        if self.dry {
            return Err(self.refuse("a look commits nothing"));
        }
        if !commit.after.is_empty() {
            return Err(self.refuse("files run no statements").hint("take out after"));
        }
        if commit.merge.how == How::Merge {
            return Err(self.refuse("files cannot be merged").hint("write replace or append"));
        }
        let rows = commit.staged.saturating_sub(self.gone.load(Ordering::Relaxed));
        let pending = self.staged.as_ref().map(|s| self.pending(s, rows)).unwrap_or_default();
        let mut document = self.document.clone();
        document.commit(&self.sync, commit.cursor.as_ref(), commit.started_at, pending.clone());
        let (now, _) = remembered(&self.root, &self.found.id).await?;
        if now.epoch != self.document.epoch {
            let message = format!("another load of {:?} has begun", self.found.id);
            return Err(Error::new(Kind::Locked, message).hint("let one sync at a time load it"));
        }
        // when this returns, the load has happened
        self.version = self.root.put(&self.names.state(), document.write(), &self.version).await?;
        let tombstones = self.gone.load(Ordering::Relaxed);
        let created = commit.staged.saturating_sub(tombstones);
        let mut outcome = Outcome { created, tombstones, ..Outcome::default() };
        match settle(&self.root, &pending).await {
            Ok(()) => {
                document.pending = Pending::default();
                // what stays pending is done again by the next load, and changes nothing
                if let Ok(version) = self.root.put(&self.names.state(), document.write(), &self.version).await
                {
                    self.version = version;
                }
            }
            Err(error) => outcome.notes.push(format!(
                "the load has happened, and its files are put in place by the next one: {error}"
            )),
        }
        self.document = document;
        self.staged = None;
        Ok(outcome)
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        // what a commit has still to move stays
        if self.dry || !self.document.pending.is_empty() {
            return Ok(());
        }
        for left in self
            .root
            .beginning_with(self.names.folder(), &self.names.staging(self.document.epoch, ""))
            .await?
        {
            self.root.remove(&left).await?;
        }
        Ok(())
    }
}

/// The stream into the staged file.
struct FileWriter {
    /// `None`: only counted.
    upload: Option<Upload>,
    encoder: Encoder,
    sources: Sources,
    rows: u64,
    /// Records with a tombstone: they are staged, and left out of the file.
    gone: Arc<AtomicU64>,
}

#[async_trait]
impl Writer for FileWriter {
    async fn write(&mut self, rows: Rows) -> Result<(), Error> {
        let Rows::Batch(batch) = rows else {
            return Err(Error::new(Kind::Protocol, "tuples of PostgreSQL on their way into a file"));
        };
        let gone = (0..batch.len()).filter(|row| batch.op(*row) == RecordOp::Delete).count();
        self.gone.fetch_add(gone as u64, Ordering::Relaxed);
        self.rows += batch.len() as u64;
        if let Some(upload) = &mut self.upload {
            let bytes = self.encoder.batch(&batch, &self.sources)?;
            upload.write(Bytes::from(bytes)).await?;
        }
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<u64, Error> {
        if let Some(mut upload) = self.upload {
            upload.write(Bytes::from(self.encoder.finish()?)).await?;
            upload.finish().await?;
        }
        Ok(self.rows)
    }
}
