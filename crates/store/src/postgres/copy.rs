//! The ledger of a sync in pages, for the scratch listing on this machine. All pages in one transaction, so they show one
//! state.

use super::{codec, connection::Work, fault::Fault};
use crate::sqlite::Copied;

/// Rows of a page.
const PAGE: i64 = 5_000;

/// A page of things after a seq, and the seq of the last of them; none at the end.
type Page<T> = Option<(i64, Vec<T>)>;

/// Stream and id of the records that the ledger of a sync names.
pub(super) async fn owned(work: &Work<'_>, sync: &str, after: i64) -> Result<Page<(String, String)>, Fault> {
    let rows = work
        .rows(
            "SELECT ledger.seq, stream.id, ledger.record_id
             FROM ledger JOIN stream ON stream.tenant = $1 AND stream.number = ledger.stream
             WHERE ledger.tenant = $1 AND ledger.seq > $3
               AND ledger.sync = (SELECT number FROM sync WHERE tenant = $1 AND name = $2)
             ORDER BY ledger.seq LIMIT $4",
            &[&work.tenant, &sync, &after, &PAGE],
        )
        .await?;
    let Some(last) = rows.last() else { return Ok(None) };
    let last = last.try_get(0)?;
    let owned = rows.iter().map(|row| Ok((row.try_get(1)?, row.try_get(2)?)));
    Ok(Some((last, owned.collect::<Result<_, Fault>>()?)))
}

/// Whole rows of the ledger of a sync.
pub(super) async fn rows(work: &Work<'_>, sync: &str, after: i64) -> Result<Page<Copied>, Fault> {
    let rows = work
        .rows(
            "SELECT ledger.seq, ledger.identity, stream.id, ledger.record_id, ledger.hash, ledger.gone,
               detail.key::text, detail.fields::text
             FROM ledger JOIN stream ON stream.tenant = $1 AND stream.number = ledger.stream
             JOIN ledger_detail AS detail ON detail.tenant = $1 AND detail.seq = ledger.seq
             WHERE ledger.tenant = $1 AND ledger.seq > $3
               AND ledger.sync = (SELECT number FROM sync WHERE tenant = $1 AND name = $2)
             ORDER BY ledger.seq LIMIT $4",
            &[&work.tenant, &sync, &after, &PAGE],
        )
        .await?;
    let Some(last) = rows.last() else { return Ok(None) };
    let last = last.try_get(0)?;
    let copied = rows.iter().map(|row| {
        Ok(Copied {
            identity: codec::hash(row, 1)?,
            stream: row.try_get(2)?,
            record_id: row.try_get(3)?,
            hash: codec::hash_or_null(row, 4)?,
            gone: row.try_get(5)?,
            key: row.try_get(6)?,
            fields: row.try_get(7)?,
        })
    });
    Ok(Some((last, copied.collect::<Result<_, Fault>>()?)))
}
