//! Drift: the ledger beside the scratch listing of the destination, compared by the database.

use rusqlite::{Connection, OptionalExtension, Row, params};
use syncline_core::identity::Identity;

use super::{codec, fault::Fault, lease, scratch};
use crate::{Comparison, Drift, DriftKind, Fields, KeyValues, rules};

/// The ledger's side: every row of the listed streams beside the record it names.
///
/// CROSS JOIN fixes the order: both sides are then read along their indexes on (stream, record id).
const LEDGER_SIDE: &str = "FROM temp.listed CROSS JOIN ledger
      ON ledger.sync = ?1 AND ledger.stream = listed.ledger
    LEFT JOIN temp.scratch ON scratch.stream = listed.scratch AND scratch.record_id = ledger.record_id";

/// What became of a ledger row. `gone` and away is as it should be: somebody emptied the bin.
/// A missing stamp says that somebody cleared it, unless nothing in the stream has one, because the destination has no
/// field for it.
const LEDGER_KIND: &str = "CASE
    WHEN scratch.number IS NULL THEN CASE WHEN ledger.gone THEN 'equal' ELSE 'missing' END
    WHEN ledger.gone <> scratch.gone THEN 'edited'
    WHEN ledger.gone AND ledger.hash IS NULL THEN 'equal'
    WHEN ledger.hash IS NOT scratch.hash THEN 'edited'
    WHEN listed.stamped AND scratch.stamp IS NOT ledger.identity THEN 'edited'
    ELSE 'equal' END";

/// The destination's side: records of the listed streams that no ledger row names, beside the row their stamp names.
const SCRATCH_SIDE: &str = "FROM temp.listed CROSS JOIN temp.scratch ON scratch.stream = listed.scratch
    LEFT JOIN ledger AS own
      ON own.sync = ?1 AND own.stream = listed.ledger AND own.record_id = scratch.record_id
    LEFT JOIN ledger ON ledger.sync = ?1 AND ledger.identity = scratch.stamp
    WHERE own.identity IS NULL";

const SCRATCH_KIND: &str = "CASE
    WHEN scratch.stamp IS NULL THEN 'stranger'
    WHEN ledger.identity IS NULL THEN 'orphan'
    ELSE 'duplicate' END";

const KINDS: [(DriftKind, &str); 5] = [
    (DriftKind::Missing, "missing"),
    (DriftKind::Edited, "edited"),
    (DriftKind::Duplicate, "duplicate"),
    (DriftKind::Orphan, "orphan"),
    (DriftKind::Stranger, "stranger"),
];

pub(super) fn compare(
    connection: &Connection,
    sync: &str,
    streams: &[String],
    limit: usize,
) -> Result<Comparison, Fault> {
    // A sync the store has not heard of has an empty ledger; no sync has the number 0.
    let sync = lease::number(connection, sync)?.unwrap_or(0);
    set_listed(connection, streams)?;
    let mut comparison = Comparison::default();
    totals(connection, sync, &mut comparison)?;
    for (kind, word) in KINDS {
        if comparison.totals.contains_key(&kind) {
            comparison.drift.extend(first(connection, sync, kind, word, limit)?);
        }
    }
    Ok(comparison)
}

fn set_listed(connection: &Connection, streams: &[String]) -> Result<(), Fault> {
    connection.prepare_cached("DELETE FROM temp.listed")?.execute([])?;
    // Numbered in the order of their ids.
    let mut streams: Vec<&String> = streams.iter().collect();
    streams.sort_unstable();
    streams.dedup();
    for stream in streams {
        let in_ledger: Option<i64> = connection
            .prepare_cached("SELECT number FROM stream WHERE id = ?1")?
            .query_row([stream], |row| row.get(0))
            .optional()?;
        let in_scratch = scratch::known_stream(connection, stream)?;
        connection
            .prepare_cached(
                "INSERT INTO temp.listed (ledger, scratch, stamped) VALUES (?1, ?2,
                   EXISTS (SELECT 1 FROM temp.scratch WHERE stream = ?2 AND stamp IS NOT NULL))",
            )?
            .execute(params![in_ledger, in_scratch])?;
    }
    Ok(())
}

fn totals(connection: &Connection, sync: i64, comparison: &mut Comparison) -> Result<(), Fault> {
    let sql = format!(
        "SELECT {LEDGER_KIND} AS kind, count(*) {LEDGER_SIDE} GROUP BY kind
         UNION ALL SELECT {SCRATCH_KIND} AS kind, count(*) {SCRATCH_SIDE} GROUP BY kind"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([sync])?;
    while let Some(row) = rows.next()? {
        let word = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        let count = codec::unsigned(row, 1)?;
        match KINDS.iter().find(|(_, known)| *known == word) {
            Some((kind, _)) => {
                comparison.totals.insert(*kind, count);
            }
            None => comparison.equal = count,
        }
    }
    Ok(())
}

/// The first value of a key as it sorts by itself, 9 before 10: of a timestamp, its microseconds; a double is kept as text.
macro_rules! first_value {
    ($key:literal) => {
        concat!(
            "CASE json_extract(",
            $key,
            ", '$[0].t') WHEN 'float64' THEN CAST(json_extract(",
            $key,
            ", '$[0].v') AS REAL) ELSE coalesce(json_extract(",
            $key,
            ", '$[0].v.micros'), json_extract(",
            $key,
            ", '$[0].v')) END"
        )
    };
}

/// The first drifted records of a kind, by key: its first value, then the whole key. Then, and without a key, by record id,
/// the shorter first, which does for numbers what sorting by value does; and by stream, so that the order is one.
fn first(
    connection: &Connection,
    sync: i64,
    kind: DriftKind,
    word: &str,
    limit: usize,
) -> Result<Vec<Drift>, Fault> {
    let (side, case) = match kind {
        DriftKind::Missing | DriftKind::Edited => (LEDGER_SIDE, LEDGER_KIND),
        DriftKind::Duplicate | DriftKind::Orphan | DriftKind::Stranger => (SCRATCH_SIDE, SCRATCH_KIND),
    };
    let glue = if side == LEDGER_SIDE { "WHERE" } else { "AND" };
    // Chosen by numbers alone, so that the sorter stays small; the wide columns are read for what is shown.
    let sql = format!(
        "WITH chosen AS MATERIALIZED (
           SELECT ledger.identity AS identity, scratch.number AS number, listed.number AS place
           {side} {glue} {case} = ?2
           ORDER BY (SELECT {first_chosen} FROM ledger_detail WHERE seq = ledger.seq),
             (SELECT key FROM ledger_detail WHERE seq = ledger.seq),
             length(coalesce(scratch.record_id, ledger.record_id)), coalesce(scratch.record_id, ledger.record_id),
             listed.number
           LIMIT ?3)
         SELECT coalesce(ledger.identity, scratch.stamp), coalesce(found.id, expected.id),
           coalesce(scratch.record_id, ledger.record_id) AS record_id, scratch.version, detail.key, detail.fields,
           scratch.fields
         FROM chosen
         LEFT JOIN temp.scratch ON scratch.number = chosen.number
         LEFT JOIN temp.scratch_stream AS found ON found.number = scratch.stream
         LEFT JOIN ledger ON ledger.sync = ?1 AND ledger.identity = chosen.identity
         LEFT JOIN stream AS expected ON expected.number = ledger.stream
         LEFT JOIN ledger_detail AS detail ON detail.seq = ledger.seq
         ORDER BY {first_shown}, detail.key, length(coalesce(scratch.record_id, ledger.record_id)),
           coalesce(scratch.record_id, ledger.record_id), chosen.place",
        first_chosen = first_value!("key"),
        first_shown = first_value!("detail.key"),
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![sync, word, codec::limit(limit)])?;
    let mut drift = Vec::new();
    while let Some(row) = rows.next()? {
        drift.push(read(row, kind)?);
    }
    Ok(drift)
}

fn read(row: &Row<'_>, kind: DriftKind) -> Result<Drift, Fault> {
    let identity: Option<[u8; 32]> = row.get(0)?;
    let record_id: String = row.get(2)?;
    let key: Option<KeyValues> = codec::from_json_or_null(row, 4)?;
    let expected: Option<Fields> = codec::from_json_or_null(row, 5)?;
    let found: Option<Fields> = codec::from_json_or_null(row, 6)?;
    Ok(Drift {
        kind,
        identity: identity.map(Identity),
        label: key.map_or_else(|| record_id.clone(), |key| rules::label(&key)),
        stream: row.get(1)?,
        record_id,
        version: row.get(3)?,
        expected: expected.unwrap_or_default(),
        found: found.unwrap_or_default(),
    })
}
