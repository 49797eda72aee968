//! Comparing what two databases hold without moving it: each side counts its records and adds up their hashes in buckets of
//! the key space, and only the records of buckets that differ are read.
//!
//! A side may be wrong in one direction only. Two different values must not have the same text (then a difference would go
//! unseen); two equal values may have different ones, which costs reading their bucket and no more: what is found there is
//! compared exactly, by whoever asked.
//!
//! Start reading at [`Side`]. The SQL is rendered in [`crate::database::dialect::compare`].

use async_trait::async_trait;
use syncline_core::schema::{Field, FieldType, Stream};

use crate::{Error, source::Reader};

/// What is compared, in one side's words.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Subject {
    /// The table or stream, as the user wrote it.
    pub table: String,
    /// Key columns, in key order. Records with a null among them are left out.
    pub key: Vec<String>,
    /// Columns that are compared beside the key; empty: the keys only.
    pub columns: Vec<String>,
    /// Records that are left out because they are marked as gone.
    pub gone: Option<Marked>,
}

/// How a record says that it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The column.
    pub column: String,
    /// Its values, as texts, that say so; empty: any value but null and `false`.
    pub values: Vec<String>,
}

/// The form in which both sides write a value, so that equal values have equal texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// A whole number, and true and false as 1 and 0.
    Integer,
    /// A decimal without insignificant zeros.
    Decimal,
    /// The text itself.
    Text,
    /// Bytes in hexadecimal.
    Bytes,
    /// `2026-01-31`.
    Date,
    /// Microseconds since midnight.
    Time,
    /// Microseconds since 1970; of an instant, in UTC.
    Timestamp,
    /// With hyphens; in lower case, except where it is a text.
    Uuid,
    /// The database's own text: both sides are of one database and the columns of one type.
    Same,
}

impl Form {
    /// The form that two columns share; `None`: they are compared by reading them. `alike`: both are of one database.
    pub fn shared(a: &Field, b: &Field, alike: bool) -> Option<Self> {
        use FieldType as T;
        let whole = |kind: &T| matches!(kind, T::Int64 | T::Boolean);
        Some(match (&a.kind, &b.kind) {
            (x, y) if whole(x) && whole(y) => Self::Integer,
            (T::Decimal { .. } | T::Int64, T::Decimal { .. } | T::Int64) => Self::Decimal,
            (T::Text, T::Text) => Self::Text,
            (T::Binary, T::Binary) => Self::Bytes,
            (T::Date, T::Date) => Self::Date,
            (T::Time, T::Time) => Self::Time,
            (T::Timestamp { .. }, T::Timestamp { .. }) => Self::Timestamp,
            (T::Uuid | T::Text, T::Uuid | T::Text) => Self::Uuid,
            (x, y) if alike && x == y && a.native.is_some() && a.native == b.native => Self::Same,
            _ => return None,
        })
    }
}

/// How texts become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// The first 60 bits of the MD5 of the canonical texts: the same in every database.
    Md5,
    /// The database's own hash functions: faster, and the same only where [`Side::own_hash`] is.
    Own,
    /// None: a bucket is a range of [`BITS`] whole-number keys, and its sum has one bit for each of them that is there. So the
    /// first pass says which keys there are. Only where [`Side::walks`].
    Bits,
}

/// Keys in a bucket of [`Hash::Bits`].
pub const BITS: i64 = 64;

/// How keys are put into buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// By ranges of a single whole-number key: bucket `n` is `from + n * width ..` of that width.
    Ranges {
        /// The smallest key of either side.
        from: i64,
        /// Numbers in a range; at least 1.
        width: i64,
        /// Ranges.
        count: u32,
    },
    /// By the key's hash.
    Hashed {
        /// Buckets; a power of two.
        count: u32,
    },
}

/// The ranges of [`Hash::Bits`] that cover dense `bounds`, in parts of at most [`BUCKETS_MAX`]. `None` where [`Partition::of`]
/// takes no ranges.
pub fn bit_ranges(records: u64, bounds: Option<(i64, i64)>) -> Option<impl Iterator<Item = Partition>> {
    let (from, to) = bounds?;
    let Partition::Ranges { .. } = Partition::of(records, bounds) else { return None };
    let part = BITS * i64::from(BUCKETS_MAX);
    // no bit may lie outside what databases count in
    to.checked_add(part)?;
    let parts = (to - from) / part;
    Some((0..=parts).map(move |n| {
        let from = from + n * part;
        let ranges = ((to - from) / BITS + 1).min(i64::from(BUCKETS_MAX));
        Partition::Ranges { from, width: BITS, count: u32::try_from(ranges).unwrap_or(BUCKETS_MAX) }
    }))
}

/// Most buckets of a pass: what bounds its memory (a few megabytes on each side).
pub const BUCKETS_MAX: u32 = 1 << 18;
/// Most buckets that [`Side::rows`] takes at once: what bounds the length of its statement.
pub const ROWS_BUCKETS_MAX: usize = 16_384;
/// About how many records should fall into a bucket.
const BUCKET_ROWS: i64 = 128;
/// At least one number in so many must be a key for ranges: then no range holds many more records than others.
const SPARSE_MAX: i128 = 4;

impl Partition {
    /// For tables of about `records`, whose single whole-number key lies in `bounds` (inclusive) where there is such a key.
    pub fn of(records: u64, bounds: Option<(i64, i64)>) -> Self {
        let records = i64::try_from(records).unwrap_or(i64::MAX).max(1);
        if let Some((from, to)) = bounds {
            let numbers = i128::from(to) - i128::from(from) + 1;
            if numbers <= SPARSE_MAX * i128::from(records.max(BUCKET_ROWS)) {
                let even = (numbers * i128::from(BUCKET_ROWS) / i128::from(records)).max(1);
                let width = even.max(numbers.div_euclid(i128::from(BUCKETS_MAX)) + 1);
                let count = u32::try_from(numbers.div_euclid(width) + 1).unwrap_or(BUCKETS_MAX);
                // neither bound of a range may lie outside what databases count in
                let end = i128::from(from) + i128::from(count) * width;
                if let Ok(width) = i64::try_from(width)
                    && from > i64::MIN
                    && end <= i128::from(i64::MAX)
                {
                    return Self::Ranges { from, width, count };
                }
            }
        }
        let buckets = u32::try_from(records / BUCKET_ROWS).unwrap_or(BUCKETS_MAX).max(1);
        Self::Hashed { count: buckets.next_power_of_two().min(BUCKETS_MAX) }
    }
}

/// One pass over a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Pass {
    /// The form of each key column.
    pub key: Vec<Form>,
    /// The form of each compared column; empty: the keys only, whatever the subject.
    pub columns: Vec<Form>,
    /// How texts become numbers.
    pub hash: Hash,
    /// How keys are put into buckets.
    pub partition: Partition,
}

/// What a side says of a bucket that is not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Its number.
    pub number: u32,
    /// Its records.
    pub rows: u64,
    /// The sum of their hashes, modulo 2^60; of [`Hash::Bits`] the bits.
    pub sum: i64,
}

impl Bucket {
    /// The keys of this bucket of a [`Hash::Bits`] pass, whose first range begins at `from`, that `other` has not.
    pub fn keys_without(&self, other: Option<&Self>, from: i64) -> impl Iterator<Item = i64> {
        let first = from + i64::from(self.number) * BITS;
        let bits = self.sum & !other.map_or(0, |other| other.sum);
        (0..BITS).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| first + bit)
    }
}

/// What is known before the first pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// About how many records.
    pub records: u64,
    /// Smallest and greatest key, where the key is a single whole number; `None` also for an empty table.
    pub bounds: Option<(i64, i64)>,
}

/// Which records to read.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// All of them.
    All,
    /// Those of these buckets of a pass: ascending, at most [`ROWS_BUCKETS_MAX`].
    Of(&'a Pass, &'a [u32]),
}

/// One side of a comparison: a session with one snapshot, in which every answer is given. Reads only; dropping it ends the
/// session.
#[async_trait]
pub trait Side: Send {
    /// The table with the subject's columns and no others: the key, then the compared ones.
    fn stream(&self) -> &Stream;

    /// Whether this column's values can be written in this form here.
    fn writes(&self, field: &Field, form: Form) -> bool;

    /// What [`Hash::Own`] depends on, as a text: sides with equal texts have equal hashes. `None`: it has none.
    fn own_hash(&self) -> Option<&str> {
        None
    }

    /// Whether ranges of the key are walked by an index, which [`Hash::Bits`] needs.
    fn walks(&self) -> bool {
        false
    }

    /// Asks how large the table is.
    async fn extent(&mut self) -> Result<Extent, Error>;

    /// Counts and adds up. At most [`BUCKETS_MAX`] buckets, in any order, none of them empty.
    async fn summarize(&mut self, pass: &Pass) -> Result<Vec<Bucket>, Error>;

    /// Reads records: the key columns, and with `columns` the compared ones. Whoever asks for the next records has given up the
    /// ones before.
    async fn rows(&mut self, which: Which<'_>, columns: bool) -> Result<Box<dyn Reader>, Error>;
}

/// The numbers of the buckets in which two sides differ, with the records of both in them: ascending.
///
/// Sorts both.
pub fn differing(a: &mut [Bucket], b: &mut [Bucket]) -> Vec<(u32, u64)> {
    a.sort_unstable_by_key(|bucket| bucket.number);
    b.sort_unstable_by_key(|bucket| bucket.number);
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut found = Vec::new();
    loop {
        let number = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) => x.number.min(y.number),
            (Some(one), None) | (None, Some(one)) => one.number,
            (None, None) => return found,
        };
        let (x, y) = (a.next_if(|x| x.number == number), b.next_if(|y| y.number == number));
        if x != y {
            found.push((number, x.map_or(0, |x| x.rows) + y.map_or(0, |y| y.rows)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dense_keys_are_cut_into_ranges_and_others_by_hash() {
        assert_eq!(
            Partition::of(2_000_000, Some((1, 2_000_000))),
            Partition::Ranges { from: 1, width: 128, count: 15_626 }
        );
        assert_eq!(
            Partition::of(1_000, Some((-2_000, 1_999))),
            Partition::Ranges { from: -2_000, width: 512, count: 8 }
        );
        assert_eq!(Partition::of(2_000_000, Some((1, i64::MAX))), Partition::Hashed { count: 16_384 });
        assert_eq!(Partition::of(1_000, Some((i64::MIN, i64::MAX))), Partition::Hashed { count: 8 });
        assert_eq!(Partition::of(0, None), Partition::Hashed { count: 1 });
        assert_eq!(Partition::of(u64::MAX, None), Partition::Hashed { count: BUCKETS_MAX });
        let Partition::Ranges { width, count, .. } = Partition::of(200_000_000, Some((0, 199_999_999)))
        else {
            panic!("dense")
        };
        assert!(count <= BUCKETS_MAX && width * i64::from(count) >= 200_000_000, "{width} {count}");
    }

    #[test]
    fn bits_are_keys() {
        let bucket = |number, sum| Bucket { number, rows: 1, sum };
        let (a, b) = (bucket(2, i64::MIN | 0b1011), bucket(2, 0b0010));
        assert_eq!(a.keys_without(Some(&b), -200).collect::<Vec<_>>(), [-72, -69, -9]);
        assert_eq!(b.keys_without(None, 0).collect::<Vec<_>>(), [129]);
        assert_eq!(b.keys_without(Some(&a), 0).count(), 0);
        let parts = |records, bounds| bit_ranges(records, bounds).map(Iterator::collect::<Vec<_>>);
        let range = |from, count| Partition::Ranges { from, width: 64, count };
        assert_eq!(parts(100, Some((-1, 63))), Some(vec![range(-1, 2)]));
        assert_eq!(
            parts(20_000_000, Some((1, 20_000_000))),
            Some(vec![range(1, BUCKETS_MAX), range(16_777_217, 50_356)])
        );
        assert_eq!(parts(100, Some((i64::MAX - 100, i64::MAX))), None);
        assert_eq!(parts(100, Some((0, i64::MAX))), None);
        assert_eq!(parts(100, None), None);
    }

    #[test]
    fn what_has_one_text_in_both_is_compared_by_it() {
        let field = |kind: FieldType, native: &str| Field {
            native: Some(native.into()),
            ..Field::new("a", kind, true)
        };
        let decimal = FieldType::Decimal { precision: Some(14), scale: Some(2) };
        let shared = |a: &Field, b: &Field| Form::shared(a, b, true);
        let whole = field(FieldType::Int64, "bigint");
        assert_eq!(shared(&whole, &field(FieldType::Boolean, "boolean")), Some(Form::Integer));
        assert_eq!(shared(&whole, &field(decimal, "numeric(14,2)")), Some(Form::Decimal));
        let json = |native| field(FieldType::Json, native);
        assert_eq!(shared(&json("jsonb"), &json("jsonb")), Some(Form::Same));
        assert_eq!(shared(&json("jsonb"), &json("json")), None);
        assert_eq!(Form::shared(&json("jsonb"), &json("jsonb"), false), None);
        let double = field(FieldType::Float64, "double precision");
        assert_eq!(Form::shared(&double, &double, false), None);
        assert_eq!(shared(&whole, &field(FieldType::Text, "text")), None);
    }

    /// The buckets of a set of keys, with their hashes.
    fn buckets(keys: &BTreeMap<u32, i64>) -> Vec<Bucket> {
        let mut of: BTreeMap<u32, Bucket> = BTreeMap::new();
        for (key, hash) in keys {
            let bucket = of.entry(key / 8).or_insert(Bucket { number: key / 8, rows: 0, sum: 0 });
            bucket.rows += 1;
            bucket.sum = (bucket.sum + hash) & ((1 << 60) - 1);
        }
        of.into_values().rev().collect()
    }

    proptest! {
        /// Whatever the sets: the buckets found are those that hold a difference.
        #[test]
        fn buckets_found_are_those_that_differ(
            common in proptest::collection::btree_map(0..400_u32, 0..1_i64 << 60, 0..200),
            removed in proptest::collection::btree_set(0..400_u32, 0..20),
            added in proptest::collection::btree_map(0..400_u32, 0..1_i64 << 60, 0..20),
        ) {
            let mut other = common.clone();
            other.retain(|key, _| !removed.contains(key));
            other.extend(added);
            let (mut a, mut b) = (buckets(&common), buckets(&other));
            let found: BTreeSet<u32> = differing(&mut a, &mut b).into_iter().map(|(number, _)| number).collect();
            let keys: BTreeSet<u32> = common.keys().chain(other.keys()).copied().collect();
            let differ: BTreeSet<u32> =
                keys.into_iter().filter(|key| common.get(key) != other.get(key)).map(|key| key / 8).collect();
            prop_assert_eq!(found, differ);
        }
    }
}
