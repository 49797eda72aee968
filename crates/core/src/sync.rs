//! A sync as the user defined it, checked as far as the file alone allows.

use std::time::Duration;

use crate::expr::Expr;
pub use crate::schedule::Schedule;

/// One configured flow from a source stream to destination streams.
#[derive(Debug, Clone)]
pub struct Sync {
    /// Unique name in the project.
    pub name: String,
    /// Where records come from.
    pub from: From,
    /// Where they go.
    pub to: To,
    /// How much of the source an ordinary run reads.
    pub mode: Mode,
    /// How records are written.
    pub write: Write,
    /// What happens to destination records whose source record is gone.
    pub deletes: Deletes,
    /// Destination field ← source field or expression, in the user's order; empty only with `rest`.
    pub fields: Vec<FieldMap>,
    /// First match wins; no match: `to.stream`.
    pub routes: Vec<Route>,
    /// Natural-key fields of the destination by which existing records are paired at first contact.
    pub adopt: Option<Vec<String>>,
    /// What to do when somebody else edited a record that we are about to update.
    pub on_edit: OnEdit,
    /// Most operations that are written between two checkpoints.
    pub batch: usize,
    /// Whether every source column that no field reads is written under its own name (tables only).
    pub rest: bool,
    /// When it runs, and how; several by mode. The project's defaults are merged in; each name stands here once.
    pub schedules: Vec<Schedule>,
    /// Names of the parameters whose values a run must be given; such a sync has no schedules (tables only).
    pub params: Vec<String>,
    /// A partition that was loaded within this time is not loaded again unless somebody insists.
    pub fresh: Option<Duration>,
    /// How the partitions of a series are found.
    pub each: Option<Each>,
}

/// How the partitions of a series are found, so that all of them can be asked for at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Each {
    /// Connection that is asked.
    pub connection: String,
    /// A query whose columns are named as the sync's parameters; one row per partition. It may use `:owner` and `params`.
    pub query: String,
    /// Names of the parameters whose values are given with the request.
    pub params: Vec<String>,
}

/// The source of a sync.
#[derive(Debug, Clone)]
pub struct From {
    /// Name of the connection.
    pub connection: String,
    /// Table, view or resource, as the user wrote it (`public.projects`), or a statement in parentheses (`(select …)`,
    /// without a semicolon), whose key is always [`KeyColumns::Columns`] or [`KeyColumns::Hashed`].
    pub stream: String,
    /// What full runs read instead: a stream in the same form.
    pub mass_query: Option<String>,
    /// Which columns say "same record".
    pub key: Key,
    /// Column that grows with every change.
    pub cursor: Option<String>,
    /// How far back every incremental read starts before the stored cursor.
    pub overlap: Overlap,
    /// How far below "now" an incremental read stops where the database cannot tell its oldest writer.
    pub lag: Duration,
    /// Column that is non-null (or true) on a record that was deleted softly in the source.
    pub tombstone: Option<String>,
    /// The values of that column that say so, where it is a status; empty: any but null and false (tables only).
    pub tombstone_values: Vec<String>,
    /// Only records for which this holds are synced.
    pub filter: Option<Expr>,
}

/// Re-reading before the cursor, in the cursor's own unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overlap {
    /// For date and timestamp cursors.
    pub time: Duration,
    /// For integer cursors.
    pub count: u64,
}

/// Key strategy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Where the columns come from.
    pub columns: KeyColumns,
    /// Compare text without regard to case.
    pub ignore_case: bool,
}

/// Which columns make the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyColumns {
    /// The primary key of the source table.
    PrimaryKey,
    /// The columns of the named unique constraint.
    UniqueConstraint(String),
    /// These columns.
    Columns(Vec<String>),
    /// A hash over these columns; empty: over every supported column. For tables that have no key: an edit of a
    /// hashed column is a new record and the disappearance of an old one.
    Hashed(Vec<String>),
}

/// The destination of a sync.
#[derive(Debug, Clone)]
pub struct To {
    /// Name of the connection.
    pub connection: String,
    /// Default stream (SharePoint: list by title, path or id; databases: table; files: path).
    pub stream: String,
    /// How a table is loaded; of no meaning for APIs.
    pub table: TableOptions,
}

/// How a table of a database, or a file, is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOptions {
    /// What happens when the source has columns or types that the table lacks.
    pub schema: SchemaPolicy,
    /// Destination columns that say "same record"; `None`: those that the source's key columns are mapped to.
    pub match_on: Option<Vec<String>>,
    /// Destination columns that are updated; `None`: all but `match_on`.
    pub update: Option<Vec<String>>,
    /// Destination columns that are given at insertion; `None`: all.
    pub insert: Option<Vec<String>>,
    /// SQL condition over `s` (the staged record) and `d` (the destination's): only then is a record updated.
    pub update_when: Option<String>,
    /// Destination columns that hold a parameter of the run, and which: a run reads and writes only rows that have its values
    /// there, and a complete listing says only of those which are gone. The columns are written, and belong to the key.
    pub partition: Vec<(String, String)>,
    /// Statements run in the transaction of the merge, after it. `:name` is the value of a parameter, which is bound.
    pub after: Vec<String>,
    /// How long to wait for locks that others hold.
    pub lock_timeout: Duration,
    /// Most ranges read and staged at once; `None`: as many as the machine has cores, at most 4.
    pub parallel: Option<usize>,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            schema: SchemaPolicy::Evolve,
            match_on: None,
            update: None,
            insert: None,
            update_when: None,
            partition: Vec::new(),
            after: Vec::new(),
            lock_timeout: Duration::from_secs(30),
            parallel: None,
        }
    }
}

/// What happens when the source has columns or types that the destination's table lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaPolicy {
    /// New columns are added and types widened; anything else stops the run with the statement a person could run.
    Evolve,
    /// New columns are left out and reported; the table is never changed.
    Freeze,
}

/// How much of the source a run reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything; the only mode whose listing may imply deletes.
    Full,
    /// From the stored cursor on.
    Incremental,
}

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Add every record that is read; nothing is compared (tables and files).
    Append,
    /// Create or update by key.
    Upsert,
    /// Upsert, and every complete listing removes what the source no longer has.
    Mirror,
    /// Every run reads everything and takes the place of all there was (tables and files).
    Replace,
}

impl Write {
    /// The word in files and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Upsert => "upsert",
            Self::Mirror => "mirror",
            Self::Replace => "replace",
        }
    }
}

/// Delete policy and guard.
#[derive(Debug, Clone, PartialEq)]
pub struct Deletes {
    /// What to do with a record that is gone from the source.
    pub policy: DeletePolicy,
    /// Held when more than this many …
    pub guard_count: u64,
    /// … and more than this share (percent) of the known records would go.
    pub guard_percent: f64,
    /// Whether a record that stops matching the filter counts as gone.
    pub out_of_filter: bool,
    /// How it is found out that records are gone.
    pub detect: Detect,
}

/// How it is found out that records are gone from the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detect {
    /// By a complete listing: a full run.
    #[default]
    Listing,
    /// By comparing keys on both sides after every run: hashes of ranges first, then the keys where they differ (tables
    /// only).
    Keys,
}

/// What to do with a record that is gone from the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeletePolicy {
    /// Leave it.
    Ignore,
    /// Mark it: the time goes into this destination field (or `true` when the field is boolean); cleared when the
    /// record comes back.
    Soft {
        /// Destination field.
        field: String,
    },
    /// Delete it.
    Delete,
}

/// One mapped field.
#[derive(Debug, Clone)]
pub struct FieldMap {
    /// Destination field.
    pub to: String,
    /// Where the value comes from.
    pub from: Origin,
    /// Which way it flows. Push and both are written; pull only is left alone by a one-way sync.
    pub direction: Direction,
    /// Null is refused.
    pub required: bool,
    /// Used when the value is null.
    pub default: Option<serde_json::Value>,
    /// Written as this kind although the destination does not declare it (SharePoint: `hyperlink`).
    pub kind: Option<As>,
}

/// Where a mapped value comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A source column.
    Column(String),
    /// An expression over source columns.
    Expression(Expr),
    /// An expression in the source's own SQL, which the source evaluates (tables only).
    Sql(String),
    /// A parameter of the run (tables only): one of the sync's, or one of [`BUILT_IN`](crate::partition::BUILT_IN).
    Param(String),
}

/// Which way a field flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Source to destination and back (the way back needs a two-way sync).
    Both,
    /// Source to destination.
    Push,
    /// Destination to source only.
    Pull,
}

/// A kind of value that the destination's own description does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// A link: written as address and description.
    Hyperlink,
}

/// One routing rule.
#[derive(Debug, Clone)]
pub struct Route {
    /// Condition over source columns.
    pub when: Expr,
    /// Stream for records that match.
    pub stream: String,
}

/// What to do when somebody else edited the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnEdit {
    /// Write our values over it.
    Overwrite,
    /// Leave it and report a conflict.
    Report,
}

impl Sync {
    /// Every destination stream named by the sync, the default first, each once.
    pub fn streams(&self) -> Vec<&str> {
        let mut streams = vec![self.to.stream.as_str()];
        for route in &self.routes {
            if !streams.contains(&route.stream.as_str()) {
                streams.push(&route.stream);
            }
        }
        streams
    }

    /// Source columns the sync reads, apart from key columns that only the source's description can tell; sorted.
    pub fn columns(&self) -> Vec<String> {
        let mut columns: Vec<String> = Vec::new();
        let expressions = self.routes.iter().map(|r| &r.when).chain(self.from.filter.iter()).chain(
            self.fields.iter().filter_map(|f| match &f.from {
                Origin::Expression(expr) => Some(expr),
                Origin::Column(_) | Origin::Sql(_) | Origin::Param(_) => None,
            }),
        );
        columns.extend(expressions.flat_map(|e| e.variables().iter().cloned()));
        columns.extend(self.fields.iter().filter_map(|f| match &f.from {
            Origin::Column(name) => Some(name.clone()),
            Origin::Expression(_) | Origin::Sql(_) | Origin::Param(_) => None,
        }));
        columns.extend(self.from.cursor.clone());
        columns.extend(self.from.tombstone.clone());
        if let KeyColumns::Columns(key) | KeyColumns::Hashed(key) = &self.from.key.columns {
            columns.extend(key.iter().cloned());
        }
        columns.sort();
        columns.dedup();
        columns
    }
}
