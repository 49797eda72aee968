//! Comparing a table with its source: which keys are gone, and whether both hold the same.
//!
//! Both sides count their records and add up their hashes by buckets of the key space, at the same time. Records of buckets
//! that differ are read, so many at once as memory allows, and compared exactly: converted to what the destination's columns
//! hold, in canonical form. A hash that differs without reason costs time, never a finding. Where a column has no common form
//! in both databases, both are read whole and the sums are made here.

use std::collections::HashMap;

use futures::try_join;
use syncline_connect::{
    Database, Source,
    compare::{
        Bucket, Extent, Form, Hash, Partition, Pass, ROWS_BUCKETS_MAX, Side, Subject, Which, bit_ranges,
        differing,
    },
    source::Reader,
};
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions, RecordOp},
    canonical::{self, ContentHash, canonical},
    convert::convert,
    schema::{Field, FieldType},
    value::Value,
};

use crate::Error;

/// About how many records of both sides are compared at once: what bounds the memory.
const CHUNK_ROWS: u64 = 262_144;
/// The same where their columns are compared too.
const CHUNK_ROWS_WIDE: u64 = 65_536;
/// Most keys in a batch of those that are gone.
const BATCH_ROWS: usize = 8_192;

/// Two tables and which of their columns belong together: those at the same places.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairing {
    /// The source's side.
    pub source: Subject,
    /// The destination's side.
    pub destination: Subject,
}

/// Keys that the destination has and the source has not.
#[derive(Debug, Default)]
pub struct Gone {
    /// The keys, as the destination holds them; the fields are its key columns.
    pub keys: Vec<Batch>,
    /// How many.
    pub count: u64,
    /// Records of the destination with a whole key that are not marked as gone.
    pub known: u64,
    /// Records of the source with a whole key that are not marked as gone.
    pub listed: u64,
    /// Records of either side whose key could not be read or converted. While there are any, one of the keys may be wrongly
    /// among those gone: nothing should be deleted.
    pub unreadable: u64,
    /// Records that were read to find them, of both sides.
    pub read: u64,
}

impl Gone {
    fn add(&mut self, key: &[Value<'_>], keys: &mut BatchBuilder) {
        for (column, value) in key.iter().enumerate() {
            keys.push(column, value).expect("keys are read into the destination's fields");
        }
        keys.end_record(RecordOp::Upsert);
        self.count += 1;
        if keys.len() >= BATCH_ROWS {
            self.keys.push(keys.finish(Positions::None));
        }
    }
}

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// Records of the source, and of the destination, that were compared: those with a whole key, not marked as gone.
    pub source: u64,
    /// See `source`.
    pub destination: u64,
    /// Keys of the source that the destination lacks.
    pub missing: u64,
    /// Keys of the destination that the source lacks.
    pub extra: u64,
    /// Keys of both whose records differ.
    pub different: u64,
    /// Records in differing buckets that share their key with another one of their side.
    pub doubled: u64,
    /// Records in differing buckets that cannot be read, or not converted to what the destination holds.
    pub unreadable: u64,
    /// Records that were read to find this, of both sides.
    pub read: u64,
    /// The first findings, in no order.
    pub records: Vec<Finding>,
    /// How it was compared.
    pub how: How,
}

impl Findings {
    /// Whether both sides hold the same.
    pub fn agree(&self) -> bool {
        self.missing + self.extra + self.different + self.doubled + self.unreadable == 0
    }
}

/// One key on which the sides do not agree.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Its values, as the destination's columns hold them.
    pub key: Vec<Value<'static>>,
    /// What is wrong.
    pub what: What,
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The destination lacks it.
    Missing,
    /// The source lacks it.
    Extra,
    /// These columns (by the destination's names) differ.
    Different(Vec<String>),
}

/// How a comparison was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum How {
    /// Counts and checksums of all columns inside both databases.
    #[default]
    Inside,
    /// Both sides were read, since these columns (by the destination's names) have no common form in both databases.
    Read(Vec<String>),
}

/// Both sides of a comparison, each in a snapshot of its own. Dropping it ends their sessions.
pub struct Sides {
    source: Box<dyn Side>,
    destination: Box<dyn Side>,
    key: usize,
}

impl Sides {
    /// Opens both. `None`: one of them cannot count and hash by itself.
    ///
    /// # Errors
    /// A system failed, or does not have one of the columns.
    pub async fn open(
        source: &dyn Source,
        database: &dyn Database,
        pairing: &Pairing,
    ) -> Result<Option<Self>, Error> {
        let open = async { source.side(&pairing.source).await.map_err(Error::connect("opening the source")) };
        let other = async {
            let side = database.side(&pairing.destination).await;
            side.map_err(Error::connect("opening the destination"))
        };
        let (source, destination) = try_join!(open, other)?;
        let key = pairing.destination.key.len();
        Ok(source.zip(destination).map(|(source, destination)| Self::of(source, destination, key)))
    }

    /// Of two open sides with as many columns each, `key` of which are the key.
    pub fn of(source: Box<dyn Side>, destination: Box<dyn Side>, key: usize) -> Self {
        Self { source, destination, key }
    }
}

/// Finds the keys that the destination has and the source has not, reading only where key ranges differ.
///
/// Writes nothing. Compared columns are left alone.
///
/// # Errors
/// A system failed. What was found until then is not returned: half a list would look like a whole one.
pub async fn gone_keys(sides: &mut Sides) -> Result<Gone, Error> {
    let mut gone = Gone::default();
    let key = sides.key;
    let mut work = Work::new(sides, false).await?;
    let mut keys = BatchBuilder::new(work.fields.iter().take(key).cloned().collect());
    let buckets = match work.bits.take() {
        Some(ranges) => {
            for range in ranges {
                work.bits_of(range, &mut gone, &mut keys).await?;
            }
            Vec::new()
        }
        None => work.first_pass().await?,
    };
    (gone.listed, gone.known) = (work.source.rows, work.destination.rows);
    for chunk in chunks(&buckets, CHUNK_ROWS) {
        work.chunk(&chunk, |found| {
            if let Found::Extra(row) = found {
                gone.add(row, &mut keys);
            }
        })
        .await?;
    }
    if !keys.is_empty() {
        gone.keys.push(keys.finish(Positions::None));
    }
    (gone.unreadable, gone.read) = (work.unreadable, work.read);
    Ok(gone)
}

/// Compares all columns of both sides; lists at most `limit` findings, and counts all.
///
/// Writes nothing.
///
/// # Errors
/// A system failed.
pub async fn verify(sides: &mut Sides, limit: usize) -> Result<Findings, Error> {
    let mut findings = Findings::default();
    let key = sides.key;
    let mut work = Work::new(sides, true).await?;
    findings.how = work.how.clone();
    let buckets = work.first_pass().await?;
    (findings.source, findings.destination) = (work.source.rows, work.destination.rows);
    let names: Vec<String> = work.fields.iter().skip(key).map(|f| f.name.clone()).collect();
    for chunk in chunks(&buckets, CHUNK_ROWS_WIDE) {
        work.chunk(&chunk, |found| {
            let (count, key, what) = match found {
                Found::Missing(key) => (&mut findings.missing, key, What::Missing),
                Found::Extra(row) => {
                    let key = row.iter().take(key).map(|value| value.clone().into_owned()).collect();
                    (&mut findings.extra, key, What::Extra)
                }
                Found::Different(key, columns) => {
                    let columns = columns.into_iter().map(|at| names[at].clone()).collect();
                    (&mut findings.different, key, What::Different(columns))
                }
            };
            *count += 1;
            if findings.records.len() < limit {
                findings.records.push(Finding { key, what });
            }
        })
        .await?;
    }
    (findings.unreadable, findings.doubled, findings.read) = (work.unreadable, work.doubled, work.read);
    Ok(findings)
}

/// Groups of neighbouring differing buckets with about `rows` records each.
fn chunks(buckets: &[(u32, u64)], rows: u64) -> Vec<Vec<u32>> {
    let mut chunks: Vec<Vec<u32>> = Vec::new();
    let mut filled = u64::MAX;
    for (number, held) in buckets {
        let last = chunks.last_mut().filter(|c| filled + held <= rows && c.len() < ROWS_BUCKETS_MAX);
        match last {
            Some(chunk) => {
                chunk.push(*number);
                filled += held;
            }
            None => {
                chunks.push(vec![*number]);
                filled = *held;
            }
        }
    }
    chunks
}

/// What one record amounts to.
enum Found<'a> {
    Missing(Vec<Value<'static>>),
    /// The destination's values.
    Extra(&'a [Value<'a>]),
    Different(Vec<Value<'static>>, Vec<usize>),
}

/// One side at work.
struct At<'a> {
    side: &'a mut dyn Side,
    name: &'static str,
    rows: u64,
}

impl At<'_> {
    async fn summarize(&mut self, pass: &Pass) -> Result<Vec<Bucket>, Error> {
        let name = self.name;
        self.side.summarize(pass).await.map_err(Error::connect(format!("comparing the {name}")))
    }

    async fn rows(&mut self, which: Which<'_>, columns: bool) -> Result<Box<dyn Reader>, Error> {
        let name = self.name;
        self.side.rows(which, columns).await.map_err(Error::connect(format!("reading the {name}")))
    }

    async fn extent(&mut self) -> Result<Extent, Error> {
        let name = self.name;
        self.side.extent().await.map_err(Error::connect(format!("measuring the {name}")))
    }
}

/// A comparison under way.
struct Work<'a> {
    source: At<'a>,
    destination: At<'a>,
    /// The destination's fields: the key, and with `wide` the compared columns.
    fields: Vec<Field>,
    key: usize,
    /// Whether columns are compared too.
    wide: bool,
    how: How,
    pass: Pass,
    /// The ranges to walk where the first pass can say which keys there are.
    bits: Option<Vec<Partition>>,
    unreadable: u64,
    doubled: u64,
    read: u64,
}

impl<'a> Work<'a> {
    async fn new(sides: &'a mut Sides, wide: bool) -> Result<Self, Error> {
        let Sides { source, destination, key } = sides;
        let key = *key;
        let taken = if wide { usize::MAX } else { key };
        let fields: Vec<Field> = destination.stream().fields.iter().take(taken).cloned().collect();
        let alike =
            source.stream().dialect.is_some() && source.stream().dialect == destination.stream().dialect;
        let shared = |(a, b): (&Field, &Field)| {
            Form::shared(a, b, alike).filter(|f| source.writes(a, *f) && destination.writes(b, *f))
        };
        let forms: Vec<Option<Form>> = source.stream().fields.iter().zip(&fields).map(shared).collect();
        let without: Vec<String> = fields
            .iter()
            .zip(&forms)
            .filter(|(_, form)| form.is_none())
            .map(|(field, _)| field.name.clone())
            .collect();
        let forms: Vec<Form> = forms.into_iter().flatten().collect();
        let own = source.own_hash().is_some() && source.own_hash() == destination.own_hash();
        let walked = source.walks() && destination.walks() && !wide;
        let kinds = [&source.stream().fields, &destination.stream().fields];
        let numbers = kinds.iter().all(|f| f.first().is_some_and(|f| f.kind == FieldType::Int64));
        let mut source = At { side: source.as_mut(), name: "source", rows: 0 };
        let mut destination = At { side: destination.as_mut(), name: "destination", rows: 0 };
        let (a, b) = try_join!(source.extent(), destination.extent())?;
        let bounds = match (a.bounds, b.bounds) {
            (Some((a, x)), Some((b, y))) => Some((a.min(b), x.max(y))),
            // an empty table has none
            (one, other) => one.filter(|_| b.records == 0).or_else(|| other.filter(|_| a.records == 0)),
        };
        let inside = without.is_empty();
        let whole = inside && key == 1 && forms.first() == Some(&Form::Integer);
        let (records, bounds) = (a.records.max(b.records), bounds.filter(|_| whole));
        let partition = Partition::of(records, bounds);
        let bits = bit_ranges(records, bounds.filter(|_| walked && numbers)).map(Iterator::collect);
        let pass = Pass {
            key: forms.iter().take(key).copied().collect(),
            columns: forms.iter().skip(key).copied().collect(),
            hash: if own { Hash::Own } else { Hash::Md5 },
            partition,
        };
        let how = if inside { How::Inside } else { How::Read(without) };
        Ok(Self {
            source,
            destination,
            fields,
            key,
            wide,
            how,
            pass,
            bits,
            unreadable: 0,
            doubled: 0,
            read: 0,
        })
    }

    /// The buckets that differ, with the records of both in them.
    async fn first_pass(&mut self) -> Result<Vec<(u32, u64)>, Error> {
        let (mut a, mut b) = if self.how == How::Inside {
            try_join!(self.source.summarize(&self.pass), self.destination.summarize(&self.pass))?
        } else {
            (self.sum_up(false).await?, self.sum_up(true).await?)
        };
        self.source.rows = a.iter().map(|bucket| bucket.rows).sum();
        self.destination.rows = b.iter().map(|bucket| bucket.rows).sum();
        Ok(differing(&mut a, &mut b))
    }

    /// Finds the gone keys of some ranges from their bits alone.
    async fn bits_of(
        &mut self,
        ranges: Partition,
        gone: &mut Gone,
        keys: &mut BatchBuilder,
    ) -> Result<(), Error> {
        let Partition::Ranges { from, .. } = ranges else { return Ok(()) };
        let pass = Pass { hash: Hash::Bits, partition: ranges, ..self.pass.clone() };
        let (mut a, b) = try_join!(self.source.summarize(&pass), self.destination.summarize(&pass))?;
        self.source.rows += a.iter().map(|bucket| bucket.rows).sum::<u64>();
        self.destination.rows += b.iter().map(|bucket| bucket.rows).sum::<u64>();
        a.sort_unstable_by_key(|bucket| bucket.number);
        for bucket in &b {
            let there = a.binary_search_by_key(&bucket.number, |a| a.number).ok().map(|at| &a[at]);
            bucket.keys_without(there, from).for_each(|key| gone.add(&[Value::Int64(key)], keys));
        }
        Ok(())
    }

    fn at(&mut self, destination: bool) -> &mut At<'a> {
        if destination { &mut self.destination } else { &mut self.source }
    }

    /// Reads a side whole and makes its sums here. What cannot be read changes its bucket, and is counted where it is read
    /// again.
    async fn sum_up(&mut self, destination: bool) -> Result<Vec<Bucket>, Error> {
        let count = self.count();
        let wide = self.wide;
        let mut rows = self.at(destination).rows(Which::All, wide).await?;
        let mut buckets: Vec<Bucket> = (0..count).map(|number| Bucket { number, rows: 0, sum: 0 }).collect();
        let mut hasher = Hasher::default();
        while let Some(batch) = next(rows.as_mut()).await? {
            self.read += batch.len() as u64;
            for row in 0..batch.len() {
                let values = self.values(&batch, row);
                let (number, sum) = match values.as_deref() {
                    Some(values) => {
                        let id = hasher.id(&values[..self.key]);
                        (bucket(id, count), hasher.id(values) as i64)
                    }
                    // never equal to what the other side has
                    None => (0, if destination { 1 } else { 2 }),
                };
                let bucket = &mut buckets[number as usize];
                bucket.rows += 1;
                bucket.sum = bucket.sum.wrapping_add(sum);
            }
        }
        buckets.retain(|bucket| bucket.rows > 0);
        Ok(buckets)
    }

    fn count(&self) -> u32 {
        match self.pass.partition {
            Partition::Ranges { count, .. } | Partition::Hashed { count } => count,
        }
    }

    /// A record's values as the destination's columns hold them, in canonical form.
    fn values<'b>(&self, batch: &'b Batch, row: usize) -> Option<Vec<Value<'b>>> {
        if batch.problem(row).is_some() {
            return None;
        }
        let value = |(column, field)| {
            let value = convert(batch.value(row, column), field).ok()?;
            Some(canonical(value, field))
        };
        self.fields.iter().enumerate().map(value).collect()
    }

    /// Compares the records of some differing buckets. Of the source a hash per key is kept (and per column), the
    /// destination's records are looked up in it as they come.
    async fn chunk(&mut self, buckets: &[u32], mut found: impl FnMut(Found<'_>)) -> Result<(), Error> {
        let (pass, wide, inside) = (self.pass.clone(), self.wide, self.how == How::Inside);
        let which = if inside { Which::Of(&pass, buckets) } else { Which::All };
        // both begin at once; the destination's answer waits in its connection
        let (mut rows, mut others) =
            try_join!(self.source.rows(which, wide), self.destination.rows(which, wide))?;
        let mut hasher = Hasher::default();
        let count = self.count();
        let outside = |id: u128| !inside && buckets.binary_search(&bucket(id, count)).is_err();
        let mut kept: HashMap<u128, Kept> = HashMap::new();
        while let Some(batch) = next(rows.as_mut()).await? {
            self.read += batch.len() as u64;
            for row in 0..batch.len() {
                let Some(values) = self.values(&batch, row) else {
                    self.unreadable += u64::from(inside || buckets.first() == Some(&0));
                    continue;
                };
                let (key, columns) = values.split_at(self.key);
                let id = hasher.id(key);
                if outside(id) {
                    continue;
                }
                let key =
                    if wide { key.iter().map(|v| v.clone().into_owned()).collect() } else { Vec::new() };
                let kept = kept.insert(id, Kept { key, columns: hasher.each(columns), met: false });
                self.doubled += u64::from(kept.is_some());
            }
        }
        while let Some(batch) = next(others.as_mut()).await? {
            self.read += batch.len() as u64;
            for row in 0..batch.len() {
                let Some(values) = self.values(&batch, row) else {
                    self.unreadable += u64::from(inside || buckets.first() == Some(&0));
                    continue;
                };
                let (key, columns) = values.split_at(self.key);
                let id = hasher.id(key);
                if outside(id) {
                    continue;
                }
                let Some(same) = kept.get_mut(&id) else {
                    found(Found::Extra(&self.as_it_is(&batch, row)));
                    continue;
                };
                self.doubled += u64::from(std::mem::replace(&mut same.met, true));
                let columns = hasher.each(columns);
                let differ: Vec<usize> =
                    (0..columns.len()).filter(|at| columns[*at] != same.columns[*at]).collect();
                if !differ.is_empty() {
                    found(Found::Different(same.key.clone(), differ));
                }
            }
        }
        if wide {
            let mut missing: Vec<_> = kept.into_iter().filter(|(_, kept)| !kept.met).collect();
            missing.sort_unstable_by_key(|(id, _)| *id);
            missing.into_iter().for_each(|(_, kept)| found(Found::Missing(kept.key)));
        }
        Ok(())
    }

    /// A record of the destination as it was read: what is to be found again must not be in another form.
    fn as_it_is<'b>(&self, batch: &'b Batch, row: usize) -> Vec<Value<'b>> {
        (0..self.key).map(|column| batch.value(row, column)).collect()
    }
}

/// What is kept of a record of the source.
struct Kept {
    /// Only where findings are listed.
    key: Vec<Value<'static>>,
    columns: Box<[u64]>,
    /// Whether the destination has it.
    met: bool,
}

/// Which bucket a key is in, where the sums are made here.
fn bucket(id: u128, count: u32) -> u32 {
    (id % u128::from(count.max(1))) as u32
}

async fn next(rows: &mut dyn Reader) -> Result<Option<Batch>, Error> {
    rows.next().await.map_err(Error::connect("reading the records that differ"))
}

/// Hashes of canonical values.
#[derive(Default)]
struct Hasher {
    names: ContentHash,
    scratch: Vec<u8>,
}

impl Hasher {
    fn id(&mut self, values: &[Value<'_>]) -> u128 {
        let hash = canonical::content_hash(&self.names, values, &mut self.scratch);
        let (first, _) = hash.split_first_chunk::<16>().expect("a hash has 32 bytes");
        u128::from_le_bytes(*first)
    }

    fn each(&mut self, values: &[Value<'_>]) -> Box<[u64]> {
        values.iter().map(|value| self.id(std::slice::from_ref(value)) as u64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_hold_about_so_many_records() {
        assert_eq!(chunks(&[], 10), Vec::<Vec<u32>>::new());
        assert_eq!(
            chunks(&[(1, 4), (2, 6), (5, 1), (9, 100), (10, 1)], 10),
            [vec![1, 2], vec![5], vec![9], vec![10]]
        );
        let many: Vec<_> = (0..20_000).map(|n| (n, 0)).collect();
        assert_eq!(chunks(&many, 10).iter().map(Vec::len).collect::<Vec<_>>(), [ROWS_BUCKETS_MAX, 3_616]);
    }

    #[test]
    fn every_column_has_a_hash_of_its_own() {
        let mut hasher = Hasher::default();
        let text = |t: &'static str| Value::Text(t.into());
        let (a, b) = (hasher.each(&[text("x"), Value::Null]), hasher.each(&[text("x"), text("")]));
        assert_eq!((a[0] == b[0], a[1] == b[1]), (true, false));
        assert_ne!(hasher.id(&[text("ab"), text("c")]), hasher.id(&[text("a"), text("bc")]));
    }
}
