//! Records by key, and keys that are not unique: each is a scan of all files.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use syncline_core::{
    batch::{Batch, Positions},
    value::Value,
};

use super::{
    config::Settings,
    describe,
    order::key_bytes,
    scan::{Scanned, Shape, position},
    store::Store,
};
use crate::{Error, error::Kind, source::Fetch};

/// Most records that one look-up gives: the keys of a look-up may repeat.
const FOUND_MAX: usize = 50_000;
/// Most keys that are remembered while looking for those that repeat; 16 bytes of each.
const KEYS_MAX: usize = 2_000_000;

/// The records with the requested keys.
pub(super) fn fetch(store: Store, settings: &Settings, request: &Fetch) -> Result<Batch, Error> {
    let found = describe::found(&store, settings, &request.stream)?;
    let fields = found.fields(&request.columns)?;
    let tombstone = request.tombstone.as_deref().map(|t| position(&request.columns, t)).transpose()?;
    let shape = Shape::new(fields.clone(), tombstone, Positions::None);
    let mut builder = shape.builder();
    // the wanted columns need not have the key: what they lack lies behind them
    let mut columns = fields;
    let mut key_at = Vec::with_capacity(request.key.len());
    for field in found.fields(&request.key)? {
        let at = columns.iter().position(|c| c.name == field.name);
        key_at.push(at.unwrap_or(columns.len()));
        if at.is_none() {
            columns.push(field);
        }
    }
    let mut wanted = BTreeSet::new();
    for key in &request.keys {
        if key.len() != request.key.len() || key.is_empty() {
            let message = format!("a key of {} values for {} key columns", key.len(), request.key.len());
            return Err(Error::new(Kind::Definition, message));
        }
        wanted.extend(key_bytes(key.iter().cloned()));
    }
    if wanted.is_empty() {
        return Ok(shape.finish(&mut builder));
    }
    let scanned = Scanned::new(store, found, columns);
    let mut walk = scanned.walk();
    while walk.advance()? {
        let row = walk.row();
        let key = key_bytes(key_at.iter().map(|at| row.values[*at].clone()));
        if !key.is_some_and(|key| wanted.contains(&key)) {
            continue;
        }
        if builder.len() == FOUND_MAX {
            let message = format!("more than {FOUND_MAX} records have the keys of one look-up");
            return Err(Error::new(Kind::Definition, message).hint("name key columns that are unique"));
        }
        shape.push(&mut builder, row)?;
    }
    Ok(shape.finish(&mut builder))
}

/// Keys that more than one record has, in the order in which they repeat.
///
/// # Errors
/// Also when there are more keys than can be remembered.
pub(super) fn duplicates(
    store: Store,
    settings: &Settings,
    stream: &str,
    key: &[String],
    limit: usize,
) -> Result<Vec<Vec<Value<'static>>>, Error> {
    let found = describe::found(&store, settings, stream)?;
    let columns = found.fields(key)?;
    let mut repeated = Vec::new();
    if columns.is_empty() || limit == 0 {
        return Ok(repeated);
    }
    let scanned = Scanned::new(store, found, columns);
    let (mut seen, mut told) = (BTreeSet::new(), BTreeSet::new());
    let mut walk = scanned.walk();
    while walk.advance()? {
        let row = walk.row();
        let Some(bytes) = key_bytes(row.values.iter().cloned()) else { continue };
        let digest = digest(&bytes);
        if seen.insert(digest) {
            if seen.len() > KEYS_MAX {
                let message = format!("stream {stream:?}: more than {KEYS_MAX} keys to remember");
                return Err(Error::new(Kind::Definition, message)
                    .hint("whether keys repeat can be found out where the files come from"));
            }
        } else if told.insert(digest) {
            repeated.push(row.into_owned().values);
            if repeated.len() == limit {
                break;
            }
        }
    }
    Ok(repeated)
}

/// 128 bits of a key's hash: two keys of two million share them with a chance of one in 10²⁶.
fn digest(bytes: &[u8]) -> [u8; 16] {
    let hash = Sha256::digest(bytes);
    std::array::from_fn(|at| hash[at])
}
