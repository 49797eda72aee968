//! Which records of the table the source does not have any more, found by comparing keys.

use syncline_connect::database::Shape;
use syncline_core::batch::Batch;

use super::bind::Table;
use crate::Error;

/// Keys of the table that the source does not have, as batches of the shape's key columns.
pub(super) async fn gone(_table: &Table, _shape: &Shape) -> Result<Vec<Batch>, Error> {
    Ok(Vec::new())
}
