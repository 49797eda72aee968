//! Positions in a source's order, and the cursor: the position that is stored.

use serde::{Deserialize, Serialize};

use crate::value::Value;

/// A place in a listing ordered by (cursor column, key): everything at or before it has been read.
///
/// Carries the source's full precision; ordering is the source's business, so positions of different syncs or
/// sources must not be compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Value of the cursor column.
    pub cursor: Value<'static>,
    /// Values of the key columns, in key order.
    pub key: Vec<Value<'static>>,
}

/// What is stored between runs for one sync.
///
/// A cursor passes a record only when that record is done or parked: the engine moves it in the same store
/// transaction that records the outcomes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// Where the last incremental read ended; `None`: nothing read yet, or reset.
    pub position: Option<Position>,
    /// Fingerprint of key, mapping, routes and filter under which it was moved. A different fingerprint makes the
    /// next run read in full.
    pub fingerprint: String,
}
