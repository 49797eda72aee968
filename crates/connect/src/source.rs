//! Reading records.

use std::time::Duration;

use async_trait::async_trait;
use syncline_core::{
    batch::Batch,
    cursor::Position,
    expr::Expr,
    mapping::RecordProblem,
    schema::{Field, Stream},
    sync::Overlap,
    value::Value,
};

use crate::{
    Error,
    compare::{Side, Subject},
    database::Rows,
    error::Kind,
};

/// A system records are read from, opened on one connection.
///
/// Contract, checked by [`crate::conformance::source`]:
/// - Nothing is ever written to the source.
/// - A full read returns every record that exists during the whole read with an unchanged key, null keys and
///   duplicate keys included, ordered by key where the key is total.
/// - An incremental read returns every record whose cursor is at or after the start position less the overlap and below
///   the upper bound, ordered by (cursor, key); ties are never lost or split wrongly across pages.
/// - Values keep the source's full precision. Values the batch cannot carry are an error that names column and type.
/// - Memory is bounded by a few batches, whatever the size of the stream.
/// - A position that the source does not know any more is [`Kind::PositionLost`], before the first batch or later; everything
///   is read then.
/// - A listing ends only when every page of every part of it was seen; what could not be read is an error.
#[async_trait]
pub trait Source: Send + Sync {
    /// Finds a stream and describes it.
    ///
    /// # Errors
    /// [`Kind::StreamMissing`] when there is none of this name.
    async fn describe(&self, stream: &str) -> Result<Stream, Error>;

    /// Names of at most 1,000 streams, for "did you mean".
    async fn streams(&self) -> Result<Vec<String>, Error>;

    /// Opens a listing.
    async fn read(&self, request: Read) -> Result<Box<dyn Reader>, Error>;

    /// The records with these keys, as they are now; keys that do not exist are left out, order is free. At most
    /// [`FETCH_MAX`] keys.
    async fn fetch(&self, request: Fetch) -> Result<Batch, Error>;

    /// Keys that occur in more than one record (at most `limit`), for a key that nothing in the source guarantees to be
    /// unique.
    async fn duplicate_keys(
        &self,
        stream: &str,
        key: &[String],
        limit: usize,
    ) -> Result<Vec<Vec<Value<'static>>>, Error>;

    /// Opens a listing for a bulk load: in several parts that may be read at once where the source can, all of them of one
    /// snapshot. By default [`Source::read`] in one part.
    async fn scan(&self, scan: Scan) -> Result<Vec<Box<dyn Part>>, Error> {
        Ok(vec![Box::new(Whole(self.read(scan.read).await?))])
    }

    /// Opens one side of a comparison, in a snapshot of its own. `None`: this source cannot count and hash by itself.
    async fn side(&self, _subject: &Subject) -> Result<Option<Box<dyn Side>>, Error> {
        Ok(None)
    }

    /// A stream with further columns that the source itself computes: name and expression in its own SQL.
    ///
    /// # Errors
    /// [`Kind::Definition`] where a source has no SQL.
    fn derived(&self, stream: &str, _columns: &[(String, String)]) -> Result<String, Error> {
        Err(Error::new(Kind::Definition, format!("stream {stream:?}: this source has no SQL"))
            .hint("use cel instead of sql"))
    }
}

/// What to list for a bulk load.
#[derive(Debug, Clone)]
pub struct Scan {
    /// What to list. `read.tombstone` is not set where the tombstone is a status.
    pub read: Read,
    /// Most parts; at least 1.
    pub parts: usize,
    /// What [`Rows::Copy`] would carry, where the destination takes it; the source may ignore it and send batches of
    /// `read.columns`.
    pub copy: Option<CopyPlan>,
    /// Each record may be shown once only over incremental reads that follow each other (`append`): the position to resume at
    /// is the end of what was read, and not below it.
    pub once: bool,
}

/// What tuples carry, so that only what must be is decoded.
#[derive(Debug, Clone)]
pub struct CopyPlan {
    /// One per field.
    pub outputs: Vec<Output>,
    /// Only records for which this holds.
    pub filter: Option<Expr>,
    /// The column that says that a record is gone, and the values that do; none: any but null and false. One more field, a
    /// boolean, then says so for each record.
    pub tombstone: Option<(String, Vec<String>)>,
}

/// A field of a tuple.
#[derive(Debug, Clone)]
pub enum Output {
    /// A column of the source, by name, as it is.
    Column(String),
    /// A value that is computed.
    Computed(Box<Computed>),
}

/// A value that is computed for a field of a tuple.
#[derive(Debug, Clone)]
pub struct Computed {
    /// Over source columns.
    pub expr: Expr,
    /// The field that takes it, with its limits.
    pub field: Field,
    /// Its type in PostgreSQL's words: `numeric(14,2)`.
    pub declared: String,
    /// Instead of null.
    pub default: Option<Value<'static>>,
}

/// What a part hands over at once.
#[derive(Debug)]
pub struct Portion {
    /// Rows.
    pub rows: Rows,
    /// Records read for it; of them:
    pub read: u64,
    /// left out by [`CopyPlan::filter`],
    pub skipped: u64,
    /// and left out because a value could not be computed.
    pub failed: Vec<Failed>,
}

/// A record that cannot be loaded.
#[derive(Debug, Clone)]
pub struct Failed {
    /// Values of its key columns.
    pub key: Vec<Value<'static>>,
    /// Why.
    pub problem: RecordProblem,
}

/// A part of a listing.
#[async_trait]
pub trait Part: Send {
    /// The next rows; `None` when the part is complete. After an error the listing is over and was not complete.
    async fn next(&mut self) -> Result<Option<Portion>, Error>;

    /// After all parts are complete: where a later incremental read may start to miss nothing. A position without a key says
    /// that everything below its cursor value was read; `None`: the source does not tell, go on behind the last record.
    fn resume(&self) -> Option<Position>;

    /// See [`Reader::shortfall`].
    fn shortfall(&self) -> Option<String> {
        None
    }
}

impl From<Batch> for Portion {
    fn from(batch: Batch) -> Self {
        Self { read: batch.len() as u64, rows: Rows::Batch(batch), skipped: 0, failed: Vec::new() }
    }
}

/// A listing in one part.
struct Whole(Box<dyn Reader>);

#[async_trait]
impl Part for Whole {
    async fn next(&mut self) -> Result<Option<Portion>, Error> {
        Ok(self.0.next().await?.map(Portion::from))
    }

    fn resume(&self) -> Option<Position> {
        self.0.resume()
    }

    fn shortfall(&self) -> Option<String> {
        self.0.shortfall()
    }
}

/// Most keys in one [`Source::fetch`].
pub const FETCH_MAX: usize = 500;

/// An open listing. Dropping it gives up the listing and whatever the source holds for it.
#[async_trait]
pub trait Reader: Send {
    /// The next batch, never empty; `None` when the listing is complete. After an error the listing is over and was not
    /// complete.
    async fn next(&mut self) -> Result<Option<Batch>, Error>;

    /// After a complete full listing: where an incremental read may start to miss nothing (the upper bound of the first
    /// snapshot, with an empty key). `None` before the first batch, without a cursor column, and for incremental reads.
    ///
    /// Of a source that [tells changes](Stream::tells_changes), after any complete listing: its token, as a text.
    fn resume(&self) -> Option<Position>;

    /// After the end: why the listing is not the whole of what was asked for (the service shows only so much), though every
    /// page of it was seen. Then nothing is said to be gone. `None`: it is the whole.
    fn shortfall(&self) -> Option<String> {
        None
    }
}

/// What to list.
#[derive(Debug, Clone)]
pub struct Read {
    /// Stream, as the user wrote it.
    pub stream: String,
    /// Columns wanted, in this order; they are the fields of the batches.
    pub columns: Vec<String>,
    /// Key columns, all among `columns`.
    pub key: Vec<String>,
    /// Whether the key is unique and not null by the source's own guarantee, so that paging by it is total.
    pub key_is_total: bool,
    /// Cursor column, among `columns`.
    pub cursor: Option<String>,
    /// Column that marks a deleted record (non-null, and not `false`), among `columns`; such records are
    /// [`RecordOp::Delete`](syncline_core::batch::RecordOp::Delete).
    pub tombstone: Option<String>,
    /// Full (`None`), or incremental from this position; a position with an empty key starts at the cursor value
    /// itself, inclusive. Needs `cursor`.
    pub from: Option<Position>,
    /// How far before `from` an incremental read starts.
    pub overlap: Overlap,
    /// How far below "now" to stop where the database cannot tell its oldest writer.
    pub lag: Duration,
    /// Most records in a batch; at least 1.
    pub batch_rows: usize,
    /// A batch ends early when it holds about this many bytes.
    pub batch_bytes: usize,
    /// Values of the parameters of [`Stream::params`].
    pub params: Params,
}

/// Values of parameters by name.
pub type Params = std::collections::BTreeMap<String, String>;

/// Which records to fetch.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Stream, as the user wrote it.
    pub stream: String,
    /// Columns wanted, in this order.
    pub columns: Vec<String>,
    /// Key columns.
    pub key: Vec<String>,
    /// Tombstone column.
    pub tombstone: Option<String>,
    /// Key values, each as long as `key`.
    pub keys: Vec<Vec<Value<'static>>>,
    /// Values of the parameters of [`Stream::params`].
    pub params: Params,
}
