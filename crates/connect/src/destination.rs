//! Writing records to an API.

use std::time::Duration;

use async_trait::async_trait;
use syncline_core::{
    identity::Identity,
    schema::{Field, Stream},
    value::Value,
};

use crate::Error;

/// A system records are written to, opened on one connection.
///
/// Contract, checked by [`crate::conformance::destination`]:
/// - Every operation gets exactly one answer, in the order of the operations.
/// - A failed answer tells the truth about its [effect](Error::effect): `NotApplied` only when the far side certainly did
///   nothing. The connector never resends a create, nor anything whose effect is unknown.
/// - A refused token is refreshed once and the request sent again (the far side did nothing); after that it is
///   [`Kind::Unauthenticated`](crate::error::Kind::Unauthenticated).
/// - Every request spends from the connection's budget before it is sent, and a throttled answer closes the budget for
///   everyone until the time the far side named. Throttled operations are answered `Throttled`; the engine sends them
///   again.
/// - What [`list`](Destination::list) returned completely is the whole stream; a listing that may be incomplete is an
///   error.
#[async_trait]
pub trait Destination: Send + Sync {
    /// What this destination can do.
    fn facts(&self) -> Facts;

    /// Finds a stream (by name, path or id) and describes its fields.
    ///
    /// # Errors
    /// [`Kind::StreamMissing`](crate::error::Kind::StreamMissing) when there is none.
    async fn describe(&self, stream: &str) -> Result<Stream, Error>;

    /// Names of at most 1,000 streams, for "did you mean".
    async fn streams(&self) -> Result<Vec<String>, Error>;

    /// How well this stream carries identities.
    fn stamp(&self, stream: &Stream) -> Stamp;

    /// Creates what the write protocol wants and the stream lacks (the stamp field). Returns the sentences that say what
    /// was done; empty when nothing was missing.
    async fn prepare(&self, stream: &Stream) -> Result<Vec<String>, Error>;

    /// Sends at most [`Facts::batch_max`] operations, no two of one identity; `fields` are the mapped fields that the
    /// operations' values refer to.
    async fn write(
        &self,
        stream: &Stream,
        fields: &[Field],
        operations: &[Operation],
    ) -> Vec<Result<Applied, Error>>;

    /// Records that carry these stamps (at most [`Facts::batch_max`]); several may carry the same one. Works only where
    /// [`stamp`](Destination::stamp) is not [`Stamp::None`].
    async fn lookup(
        &self,
        stream: &Stream,
        fields: &[Field],
        identities: &[Identity],
    ) -> Result<Vec<Record>, Error>;

    /// The records with these ids (at most [`Facts::batch_max`]), in order; `None` for one that does not exist.
    async fn get(
        &self,
        stream: &Stream,
        fields: &[Field],
        ids: &[String],
    ) -> Result<Vec<Option<Record>>, Error>;

    /// Where people find the record with this id: an address for a browser. `None`: there is no such record, or the system
    /// has no such address.
    async fn link(&self, _stream: &Stream, _id: &str) -> Result<Option<String>, Error> {
        Ok(None)
    }

    /// Opens a complete listing of the stream.
    async fn list(&self, stream: &Stream, fields: &[Field]) -> Result<Box<dyn Lister>, Error>;
}

/// An open listing of a destination stream.
#[async_trait]
pub trait Lister: Send {
    /// The next page, possibly empty; `None` when the listing is complete. A record may come more than once: the last one
    /// counts. After an error the listing was not complete.
    async fn next(&mut self) -> Result<Option<Vec<Listed>>, Error>;
}

/// One element of a listing.
#[derive(Debug, Clone, PartialEq)]
pub enum Listed {
    /// The record exists.
    Record(Record),
    /// The record with this id was deleted; withdraws an earlier element.
    Deleted(String),
}

/// What a destination can do.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Most operations in one request.
    pub batch_max: usize,
    /// Requests that may be in flight at once.
    pub concurrency: usize,
    /// How long after a lost answer the far side may still apply the write, where no unique stamp protects us.
    pub settle: Duration,
    /// Name of the field that carries the identity.
    pub stamp_field: &'static str,
}

/// How well a stream carries identities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// Indexed, and the system itself enforces uniqueness: exactly once.
    Unique,
    /// Present and indexed but not unique: lost creates are found, late ones may double.
    Indexed,
    /// Absent or not indexed: at-least-once.
    None,
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// What to do.
    pub kind: OperationKind,
    /// Whose record; stamped on creates and on updates that adopt.
    pub identity: Identity,
    /// Values to write: index into the mapped fields, value of that field's type. `Null` clears. Empty for deletes.
    pub values: Vec<(usize, Value<'static>)>,
}

/// What a write does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationKind {
    /// Makes a new record.
    Create,
    /// Changes the record `id`.
    Update {
        /// The system's id.
        id: String,
        /// Only if the record still has this version.
        version: Option<String>,
        /// Also write the stamp: the record was not ours before.
        stamp: bool,
    },
    /// Removes the record `id`.
    Delete {
        /// The system's id.
        id: String,
        /// Only if the record still has this version.
        version: Option<String>,
    },
}

/// A write that certainly happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The record's id.
    pub id: String,
    /// Its version now, where the answer told; `None` after a delete.
    pub version: Option<String>,
}

/// A record as the destination holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The system's id.
    pub id: String,
    /// Its version.
    pub version: Option<String>,
    /// The stamp it carries.
    pub stamp: Option<String>,
    /// One value per asked field, of that field's type; absent in the answer means null. A value that cannot be read as the
    /// field's type is [`Value::Text`] of its JSON, so that it compares as different.
    pub values: Vec<Value<'static>>,
}
