//! What was written to each record: appended with the outcome, forgotten with the run.

use std::collections::BTreeMap;

use jiff::Timestamp;
use syncline_core::identity::Identity;

use super::{codec, connection::Work, fault::Fault};
use crate::{RunId, Write, WriteKind, Written};

pub(super) async fn append(
    work: &Work<'_>,
    run: RunId,
    written: &[Written],
    at: Timestamp,
    streams: &BTreeMap<String, i32>,
) -> Result<(), Fault> {
    if written.is_empty() {
        return Ok(());
    }
    let identities: Vec<&[u8]> = written.iter().map(|written| written.identity.0.as_slice()).collect();
    let kinds: Vec<&str> = written.iter().map(|written| written.kind.as_str()).collect();
    let numbers: Vec<Option<i32>> =
        written.iter().map(|written| streams.get(&written.stream).copied()).collect();
    let records: Vec<&str> = written.iter().map(|written| written.record_id.as_str()).collect();
    work.execute(
        "INSERT INTO written (tenant, run, at, identity, kind, stream, record_id)
         SELECT $1, $2, $3, identity, kind, stream, record_id
         FROM unnest($4::bytea[], $5::text[], $6::int[], $7::text[])
           WITH ORDINALITY AS given (identity, kind, stream, record_id, place)
         ORDER BY place",
        &[&work.tenant, &codec::signed(run)?, &codec::time(at)?, &identities, &kinds, &numbers, &records],
    )
    .await?;
    Ok(())
}

pub(super) async fn list(
    work: &Work<'_>,
    sync: &str,
    identity: Identity,
    limit: usize,
) -> Result<Vec<Write>, Fault> {
    let rows = work
        .rows(
            "SELECT written.run, written.kind, stream.id, written.record_id, written.at
             FROM written
             JOIN run ON run.tenant = $1 AND run.id = written.run
             JOIN stream ON stream.tenant = $1 AND stream.number = written.stream
             WHERE written.tenant = $1 AND written.identity = $3
               AND run.sync = (SELECT number FROM sync WHERE tenant = $1 AND name = $2)
             ORDER BY written.number DESC LIMIT $4",
            &[&work.tenant, &sync, &identity.0.as_slice(), &codec::limit(limit)],
        )
        .await?;
    let write = |row: &tokio_postgres::Row| {
        Ok(Write {
            run: codec::unsigned(row, 0)?,
            kind: WriteKind::parse(row.try_get(1)?)
                .ok_or_else(|| Fault::Broken("a stored kind of write is unknown".to_owned()))?,
            stream: row.try_get(2)?,
            record_id: row.try_get(3)?,
            at: codec::stored_time(row, 4)?,
        })
    };
    rows.iter().map(write).collect()
}
