//! The ledger: which destination record belongs to which identity, and what was last written to it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use syncline_core::{identity::Identity, seen::Seen};
use tokio_postgres::Row;

use super::{
    codec::{self, Wide},
    connection::Work,
    fault::Fault,
    lease,
};
use crate::{Details, Entry, LedgerRow};

/// Ids of destination streams by their number. Numbers are never reused and never change, so what is known stays true.
#[derive(Default)]
pub(super) struct Streams {
    known: Mutex<HashMap<i32, Arc<str>>>,
}

impl Streams {
    /// Makes sure that these are known.
    async fn learn(&self, work: &Work<'_>, numbers: BTreeSet<i32>) -> Result<HashMap<i32, Arc<str>>, Fault> {
        let missing: Vec<i32> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            numbers.into_iter().filter(|number| !known.contains_key(number)).collect()
        };
        let rows = match missing.is_empty() {
            true => Vec::new(),
            false => {
                let sql = "SELECT number, id FROM stream WHERE tenant = $1 AND number = ANY($2)";
                work.rows(sql, &[&work.tenant, &missing]).await?
            }
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            known.insert(row.try_get(0)?, row.try_get::<_, &str>(1)?.into());
        }
        Ok(known.clone())
    }

    /// Entries of rows that begin with the columns of [`ENTRY`].
    async fn entries(&self, work: &Work<'_>, rows: &[Row]) -> Result<Vec<Entry>, Fault> {
        let numbers = rows.iter().map(|row| row.try_get(1)).collect::<Result<_, _>>()?;
        let known = self.learn(work, numbers).await?;
        rows.iter().map(|row| entry(row, &known)).collect()
    }
}

/// Columns of an [`Entry`], for [`entry`].
const ENTRY: &str = "ledger.seq, ledger.stream, ledger.record_id, ledger.version, ledger.hash, ledger.gone";

fn entry(row: &Row, streams: &HashMap<i32, Arc<str>>) -> Result<Entry, Fault> {
    let stream = streams.get(&row.try_get(1)?);
    Ok(Entry {
        seq: codec::unsigned(row, 0)?,
        stream: Arc::clone(stream.ok_or_else(|| Fault::Broken("a stored stream has no id".to_owned()))?),
        record_id: row.try_get(2)?,
        version: row.try_get(3)?,
        hash: codec::hash_or_null(row, 4)?,
        gone: row.try_get(5)?,
    })
}

/// Puts found things where they were asked for; places count from one.
fn in_place<T: Clone>(
    asked: usize,
    found: impl IntoIterator<Item = Result<(i64, T), Fault>>,
) -> Result<Vec<Option<T>>, Fault> {
    let mut places = vec![None; asked];
    for found in found {
        let (place, found) = found?;
        let place = usize::try_from(place - 1).ok().and_then(|place| places.get_mut(place));
        *place.ok_or_else(|| Fault::Broken("an answer to what was not asked".to_owned()))? = Some(found);
    }
    Ok(places)
}

/// One statement for any number of identities: they travel as one array, and the index is asked for each.
pub(super) async fn find(
    work: &Work<'_>,
    streams: &Streams,
    sync: &str,
    identities: &[Identity],
) -> Result<Vec<Option<Entry>>, Fault> {
    let sql = format!(
        "SELECT {ENTRY}, asked.place
         FROM unnest($3::bytea[]) WITH ORDINALITY AS asked (identity, place)
         JOIN ledger ON ledger.tenant = $1 AND ledger.identity = asked.identity
           AND ledger.sync = (SELECT number FROM sync WHERE tenant = $1 AND name = $2)"
    );
    let rows = work.rows(&sql, &[&work.tenant, &sync, &codec::bytes(identities)]).await?;
    let entries = streams.entries(work, &rows).await?;
    let placed = rows.iter().zip(entries).map(|(row, entry)| Ok((row.try_get(6)?, entry)));
    in_place(identities.len(), placed)
}

pub(super) async fn details(
    work: &Work<'_>,
    sync: &str,
    identities: &[Identity],
) -> Result<Vec<Option<Details>>, Fault> {
    let rows = work
        .rows(
            "SELECT asked.place, detail.key::text, detail.fields::text, detail.run
             FROM unnest($3::bytea[]) WITH ORDINALITY AS asked (identity, place)
             JOIN ledger ON ledger.tenant = $1 AND ledger.identity = asked.identity
               AND ledger.sync = (SELECT number FROM sync WHERE tenant = $1 AND name = $2)
             JOIN ledger_detail AS detail ON detail.tenant = $1 AND detail.seq = ledger.seq",
            &[&work.tenant, &sync, &codec::bytes(identities)],
        )
        .await?;
    let placed = rows.iter().map(|row| {
        let details = Details {
            key: codec::from_json(row, 1)?,
            fields: codec::from_json(row, 2)?,
            run: codec::unsigned(row, 3)?,
        };
        Ok((row.try_get(0)?, details))
    });
    in_place(identities.len(), placed)
}

pub(super) async fn known(work: &Work<'_>, sync: &str) -> Result<Vec<(String, u64)>, Fault> {
    let rows = work
        .rows(
            "SELECT stream.id, live.records
             FROM (SELECT ledger.stream, count(*) AS records FROM ledger
                   WHERE ledger.tenant = $1 AND NOT ledger.gone
                     AND ledger.sync = (SELECT number FROM sync WHERE tenant = $1 AND name = $2)
                   GROUP BY ledger.stream) AS live
             JOIN stream ON stream.tenant = $1 AND stream.number = live.stream
             ORDER BY stream.id",
            &[&work.tenant, &sync],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, codec::unsigned(row, 1)?))).collect()
}

/// Unseen records, and where to go on.
type UnseenPage = (Vec<(Identity, Entry)>, Option<u64>);

/// Numbers of the living that are looked at in one statement.
const WALK: i64 = 20_000;

/// Walks the index of the living, which is a few bytes a row, and reads the rows of the unseen alone. Fills its page unless
/// the ledger ends, so an empty page is the last one.
pub(super) async fn unseen(
    work: &Work<'_>,
    streams: &Streams,
    sync: &str,
    seen: &Seen,
    after: u64,
    limit: usize,
) -> Result<UnseenPage, Fault> {
    let Some(sync) = lease::number(work, sync).await? else { return Ok((Vec::new(), None)) };
    if limit == 0 {
        return Ok((Vec::new(), Some(after)));
    }
    let mut unseen: Vec<i64> = Vec::new();
    // No row has a seq above 2^63.
    let mut last = i64::try_from(after).unwrap_or(i64::MAX);
    let ended = loop {
        let rows = work
            .rows(
                "SELECT seq FROM ledger WHERE tenant = $1 AND sync = $2 AND NOT gone AND seq > $3
                 ORDER BY seq LIMIT $4",
                &[&work.tenant, &sync, &last, &WALK],
            )
            .await?;
        for row in &rows {
            last = row.try_get(0)?;
            if !seen.contains(codec::unsigned(row, 0)?) {
                unseen.push(last);
            }
            if unseen.len() == limit {
                break;
            }
        }
        if unseen.len() == limit {
            break false;
        }
        if (rows.len() as i64) < WALK {
            break true;
        }
    };
    let sql =
        format!("SELECT {ENTRY}, identity FROM ledger WHERE tenant = $1 AND seq = ANY($2) ORDER BY seq");
    let rows = work.rows(&sql, &[&work.tenant, &unseen]).await?;
    let entries = streams.entries(work, &rows).await?;
    let found = rows.iter().zip(entries).map(|(row, entry)| Ok((codec::identity(row, 6)?, entry)));
    let go_on = if ended { None } else { u64::try_from(last).ok() };
    Ok((found.collect::<Result<_, Fault>>()?, go_on))
}

/// The last number given out, 0 in a new store.
pub(super) async fn last_seq(work: &Work<'_>) -> Result<u64, Fault> {
    let row = work
        .one("SELECT value FROM counter WHERE tenant = $1 AND name = 'ledger_seq'", &[&work.tenant])
        .await?;
    codec::unsigned(&row, 0)
}

/// Numbers of destination streams by their id, new ones too. In the order of the ids, so that two transactions which
/// make the same ones wait for each other and not in a circle.
pub(super) async fn stream_numbers<'i>(
    work: &Work<'_>,
    ids: impl IntoIterator<Item = &'i str>,
) -> Result<BTreeMap<String, i32>, Fault> {
    let ids: Vec<&str> = ids.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let mut numbers = BTreeMap::new();
    if ids.is_empty() {
        return Ok(numbers);
    }
    let sql = "SELECT id, number FROM stream WHERE tenant = $1 AND id = ANY($2)";
    for again in [false, true] {
        for row in work.rows(sql, &[&work.tenant, &ids]).await? {
            numbers.insert(row.try_get(0)?, row.try_get(1)?);
        }
        let missing: Vec<&str> = ids.iter().filter(|id| !numbers.contains_key(**id)).copied().collect();
        if missing.is_empty() {
            break;
        }
        if again {
            return Err(Fault::Broken("a stream was not stored".to_owned()));
        }
        work.execute(
            "INSERT INTO stream (tenant, id) SELECT $1, id FROM unnest($2::text[]) AS missing (id) ORDER BY id
             ON CONFLICT (tenant, id) DO NOTHING",
            &[&work.tenant, &missing],
        )
        .await?;
    }
    Ok(numbers)
}

/// A row to be put, with its JSON and the number of its stream.
pub(super) struct Put<'c> {
    pub(super) row: &'c LedgerRow,
    pub(super) wide: &'c Wide,
    pub(super) stream: i32,
}

/// Puts rows in their order, no identity twice. A record that is known keeps its number; new ones get the next.
pub(super) async fn put(work: &Work<'_>, sync: i32, run: i64, rows: &[Put<'_>]) -> Result<(), Fault> {
    let seqs = numbered(work, sync, rows).await?;
    let identities: Vec<&[u8]> = rows.iter().map(|put| put.row.identity.0.as_slice()).collect();
    let streams: Vec<i32> = rows.iter().map(|put| put.stream).collect();
    let records: Vec<&str> = rows.iter().map(|put| put.row.record_id.as_str()).collect();
    let versions: Vec<Option<&str>> = rows.iter().map(|put| put.row.version.as_deref()).collect();
    let hashes: Vec<Option<&[u8]>> =
        rows.iter().map(|put| put.row.hash.as_ref().map(<[u8; 32]>::as_slice)).collect();
    let gone: Vec<bool> = rows.iter().map(|put| put.row.gone).collect();
    work.execute(
        "INSERT INTO ledger (tenant, sync, seq, identity, stream, record_id, version, hash, gone)
         SELECT $1, $2, seq, identity, stream, record_id, version, hash, gone
         FROM unnest($3::bigint[], $4::bytea[], $5::int[], $6::text[], $7::text[], $8::bytea[], $9::boolean[])
           WITH ORDINALITY AS given (seq, identity, stream, record_id, version, hash, gone, place)
         ORDER BY place
         ON CONFLICT (tenant, sync, identity) DO UPDATE SET stream = excluded.stream,
           record_id = excluded.record_id, version = excluded.version, hash = excluded.hash, gone = excluded.gone",
        &[&work.tenant, &sync, &seqs, &identities, &streams, &records, &versions, &hashes, &gone],
    )
    .await?;
    let keys: Vec<&str> = rows.iter().map(|put| put.wide.key.as_str()).collect();
    let fields: Vec<&str> = rows.iter().map(|put| put.wide.fields.as_str()).collect();
    work.execute(
        "INSERT INTO ledger_detail (tenant, seq, run, key, fields)
         SELECT $1, seq, $2, key::json, fields::json
         FROM unnest($3::bigint[], $4::text[], $5::text[]) AS given (seq, key, fields)
         ON CONFLICT (tenant, seq) DO UPDATE SET run = excluded.run, key = excluded.key, fields = excluded.fields",
        &[&work.tenant, &run, &seqs, &keys, &fields],
    )
    .await?;
    Ok(())
}

/// The number of each row: its own, or a new one. Whoever takes new ones keeps others from it until the commit, so that
/// numbers have no gaps.
async fn numbered(work: &Work<'_>, sync: i32, rows: &[Put<'_>]) -> Result<Vec<i64>, Fault> {
    let identities: Vec<&[u8]> = rows.iter().map(|put| put.row.identity.0.as_slice()).collect();
    let known = work
        .rows(
            "SELECT ledger.identity, ledger.seq FROM unnest($3::bytea[]) AS asked (identity)
             JOIN ledger ON ledger.tenant = $1 AND ledger.sync = $2 AND ledger.identity = asked.identity",
            &[&work.tenant, &sync, &identities],
        )
        .await?;
    let mut seqs = HashMap::new();
    for row in &known {
        seqs.insert(codec::hash(row, 0)?, row.try_get::<_, i64>(1)?);
    }
    let new = codec::signed((rows.len() - seqs.len()) as u64)?;
    let mut next = 0;
    if new > 0 {
        let row = work
            .one(
                "UPDATE counter SET value = value + $2 WHERE tenant = $1 AND name = 'ledger_seq' RETURNING value",
                &[&work.tenant, &new],
            )
            .await?;
        next = row.try_get::<_, i64>(0)? - new;
    }
    let number = |put: &Put<'_>| {
        seqs.get(&put.row.identity.0).copied().unwrap_or_else(|| {
            next += 1;
            next
        })
    };
    Ok(rows.iter().map(number).collect())
}

/// Takes records out of the ledger; their details go with them.
pub(super) async fn remove(work: &Work<'_>, sync: i32, identities: &[&[u8]]) -> Result<(), Fault> {
    let sql = "DELETE FROM ledger WHERE tenant = $1 AND sync = $2 AND identity = ANY($3)";
    work.execute(sql, &[&work.tenant, &sync, &identities]).await?;
    Ok(())
}
