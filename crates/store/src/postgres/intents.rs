//! Intents: what was about to be done. Written before anything is sent, gone when its outcome is recorded.

use syncline_core::identity::Identity;
use tokio_postgres::Row;

use super::{
    codec::{self, Wide},
    connection::Work,
    fault::Fault,
    lease::{self, Token},
    ledger, runs,
};
use crate::{Intent, LedgerRow, RunId};

/// Adds intents, each with its JSON. What could not be made into JSON is told only to who still holds the sync.
pub(super) async fn intend(
    work: &Work<'_>,
    lease: &Token,
    run: RunId,
    intents: &[Intent],
    wide: Result<Vec<Wide>, Fault>,
) -> Result<(), Fault> {
    let claimed = lease::hold(work, lease).await?;
    let wide = wide?;
    runs::expect_running(work, &claimed, run).await?;
    let origins = intents.iter().filter_map(|intent| intent.from.as_ref().map(|(stream, _)| stream.as_str()));
    let streams = intents.iter().map(|intent| intent.row.stream.as_str()).chain(origins);
    let numbers = ledger::stream_numbers(work, streams).await?;
    let number = |id: &str| numbers.get(id).copied();

    let identities: Vec<&[u8]> = intents.iter().map(|intent| intent.row.identity.0.as_slice()).collect();
    let kinds: Vec<&str> = intents.iter().map(|intent| intent.kind.as_str()).collect();
    let streams: Vec<Option<i32>> = intents.iter().map(|intent| number(&intent.row.stream)).collect();
    let records: Vec<&str> = intents.iter().map(|intent| intent.row.record_id.as_str()).collect();
    let versions: Vec<Option<&str>> = intents.iter().map(|intent| intent.row.version.as_deref()).collect();
    let hashes: Vec<Option<&[u8]>> =
        intents.iter().map(|intent| intent.row.hash.as_ref().map(<[u8; 32]>::as_slice)).collect();
    let gone: Vec<bool> = intents.iter().map(|intent| intent.row.gone).collect();
    let keys: Vec<&str> = wide.iter().map(|wide| wide.key.as_str()).collect();
    let fields: Vec<&str> = wide.iter().map(|wide| wide.fields.as_str()).collect();
    let from_streams: Vec<Option<i32>> =
        intents.iter().map(|intent| intent.from.as_ref().and_then(|(stream, _)| number(stream))).collect();
    let from_records: Vec<Option<&str>> =
        intents.iter().map(|intent| intent.from.as_ref().map(|(_, record)| record.as_str())).collect();
    let created: Vec<bool> = intents.iter().map(|intent| intent.created).collect();
    work.execute(
        "INSERT INTO intent (tenant, sync, run, identity, kind, stream, record_id, version, hash, gone, key, fields,
           from_stream, from_record, created)
         SELECT $1, $2, $3, identity, kind, stream, record_id, version, hash, gone, key::json, fields::json,
           from_stream, from_record, created
         FROM unnest($4::bytea[], $5::text[], $6::int[], $7::text[], $8::text[], $9::bytea[], $10::boolean[],
             $11::text[], $12::text[], $13::int[], $14::text[], $15::boolean[])
           WITH ORDINALITY AS given (identity, kind, stream, record_id, version, hash, gone, key, fields, from_stream,
             from_record, created, place)
         ORDER BY place",
        &[
            &work.tenant,
            &claimed.sync,
            &codec::signed(run)?,
            &identities,
            &kinds,
            &streams,
            &records,
            &versions,
            &hashes,
            &gone,
            &keys,
            &fields,
            &from_streams,
            &from_records,
            &created,
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn open(work: &Work<'_>, sync: &str) -> Result<Vec<Intent>, Fault> {
    let rows = work
        .rows(
            "SELECT intent.kind, intent.identity, place.id, intent.record_id, intent.version, intent.hash,
               intent.gone, intent.key::text, intent.fields::text, origin.id, intent.from_record, intent.created
             FROM sync JOIN intent ON intent.tenant = $1 AND intent.sync = sync.number
             JOIN stream AS place ON place.tenant = $1 AND place.number = intent.stream
             LEFT JOIN stream AS origin ON origin.tenant = $1 AND origin.number = intent.from_stream
             WHERE sync.tenant = $1 AND sync.name = $2
             ORDER BY intent.number",
            &[&work.tenant, &sync],
        )
        .await?;
    rows.iter().map(intent).collect()
}

fn intent(row: &Row) -> Result<Intent, Fault> {
    let from_stream: Option<String> = row.try_get(9)?;
    let from_record: Option<String> = row.try_get(10)?;
    Ok(Intent {
        kind: codec::kind(row.try_get(0)?)?,
        row: LedgerRow {
            identity: codec::identity(row, 1)?,
            stream: row.try_get(2)?,
            record_id: row.try_get(3)?,
            version: row.try_get(4)?,
            hash: codec::hash_or_null(row, 5)?,
            gone: row.try_get(6)?,
            key: codec::from_json(row, 7)?,
            fields: codec::from_json(row, 8)?,
        },
        from: from_stream.zip(from_record),
        created: row.try_get(11)?,
    })
}

/// Forgets intents whose outcome is recorded. One that is not open is no error: a record may be closed that never
/// needed an intent.
pub(super) async fn close(work: &Work<'_>, sync: i32, closed: &[Identity]) -> Result<(), Fault> {
    if !closed.is_empty() {
        let sql = "DELETE FROM intent WHERE tenant = $1 AND sync = $2 AND identity = ANY($3)";
        work.execute(sql, &[&work.tenant, &sync, &codec::bytes(closed)]).await?;
    }
    Ok(())
}

/// Marks moves as half done. Here an intent that is not open is an error: nobody would remove the old record.
pub(super) async fn half_done(work: &Work<'_>, sync: i32, created: &[Identity]) -> Result<(), Fault> {
    if created.is_empty() {
        return Ok(());
    }
    let rows = work
        .rows(
            "UPDATE intent SET created = TRUE WHERE tenant = $1 AND sync = $2 AND identity = ANY($3)
             RETURNING identity",
            &[&work.tenant, &sync, &codec::bytes(created)],
        )
        .await?;
    let marked = rows.iter().map(|row| codec::identity(row, 0)).collect::<Result<Vec<_>, _>>()?;
    if created.iter().all(|identity| marked.contains(identity)) {
        return Ok(());
    }
    Err(Fault::Broken("a half-done move has no open intent".to_owned()))
}
