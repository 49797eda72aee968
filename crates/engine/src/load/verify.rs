//! Drift between a table and its source: both are counted and hashed where they are, and read only where they differ.

use syncline_core::value::Value;

use super::{
    bind::Table,
    compare::{self, Findings, Sides, What},
    keys,
};
use crate::{Error, bind};

/// What a comparison found, and what it could not look at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verified {
    /// Findings; the listed ones are the first of them.
    pub findings: Findings,
    /// Columns that are computed on the way, which are not compared.
    pub computed: Vec<String>,
}

/// What is to be repaired: keys of the source's records that are to be loaded again, and keys of the table's records that
/// the source does not have.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Repair {
    /// Source keys.
    pub load: Vec<Vec<Value<'static>>>,
    /// Destination keys.
    pub remove: Vec<Vec<Value<'static>>>,
}

impl Repair {
    /// Of the listed findings.
    pub fn of(findings: &Findings) -> Self {
        let mut repair = Self::default();
        for finding in &findings.records {
            match finding.what {
                What::Missing | What::Different(_) => repair.load.push(finding.key.clone()),
                What::Extra => repair.remove.push(finding.key.clone()),
            }
        }
        repair
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.load.is_empty() && self.remove.is_empty()
    }
}

/// Compares the table with its source; lists at most `limit` findings and counts all. Writes nothing.
///
/// A source with a filter has records that the table rightly lacks: those are not told from missing ones, so such a sync is
/// refused.
///
/// # Errors
/// A system failed, or the two cannot be compared.
pub async fn verify(table: &Table, limit: usize) -> Result<Verified, Error> {
    if table.sync.from.filter.is_some() {
        return Err(Error::Incomparable { column: "from.filter".into() });
    }
    let doing = format!("looking at {:?}", table.sync.to.stream);
    let found = table.database.describe(&table.sync.to.stream).await.map_err(Error::connect(doing))?;
    let Some(found) = found else {
        let missing = syncline_connect::Error::new(
            syncline_connect::error::Kind::StreamMissing,
            format!("there is no table {:?}", table.sync.to.stream),
        );
        return Err(Error::connect("comparing")(missing.hint("`syncline run` makes it")));
    };
    let (pairing, computed) = keys::pairing(table, Some(&found), true)?;
    let Some(mut sides) = Sides::open(&*table.source, &*table.database, &pairing).await? else {
        return Err(Error::Incomparable { column: "the key".into() });
    };
    Ok(Verified { findings: compare::verify(&mut sides, limit).await?, computed })
}

/// Most records that one repair takes in hand; the next one takes the rest.
pub const REPAIRED_MAX: usize = bind::BATCH_ROWS * 8;
