//! What a listing reads, in which order, from where to where.

use syncline_core::{cursor::Position, schema::FieldType, sync::Overlap, time::DAY_MICROS, value::Value};

use super::{
    describe::{Column, Found},
    rows::{is_time, position},
    sql::Listing,
    types::{Codec, Order},
};
use crate::{Error, error::Kind, source::Read};

/// Batches of a page. At its end the server waits for our next statement and we for its answer: fewer ends, fewer waits.
/// Rows stream, so a longer page takes no memory.
const PAGE_BATCHES: usize = 4;

/// A request resolved against the table.
pub(super) struct Plan<'a> {
    pub(super) columns: Vec<&'a Column>,
    /// Indexes into `columns`.
    pub(super) key: Vec<usize>,
    pub(super) cursor: Option<usize>,
    pub(super) tombstone: Option<usize>,
    is_incremental: bool,
    /// Rows of a page, where the listing has pages.
    pub(super) page: Option<usize>,
    is_ordered: bool,
    /// The columns the listing is ordered by.
    pub(super) order: Vec<usize>,
    overlap: Overlap,
}

impl<'a> Plan<'a> {
    pub(super) fn of(found: &'a Found, request: &Read) -> Result<Self, Error> {
        let columns: Vec<_> = request.columns.iter().map(|c| found.column(c)).collect::<Result<_, _>>()?;
        let at = |name: &String| position(&request.columns, name);
        let key: Vec<_> = request.key.iter().map(at).collect::<Result<_, _>>()?;
        let cursor = request.cursor.as_ref().map(at).transpose()?;
        let tombstone = request.tombstone.as_ref().map(at).transpose()?;
        let is_incremental = request.from.is_some();
        if is_incremental && cursor.is_none() {
            return Err(Error::new(Kind::Definition, "an incremental read needs a cursor column"));
        }
        if let Some(column) = cursor.map(|c| columns[c]).filter(|c| c.order != Order::Keyset) {
            let (name, shown) = (&column.field.name, &column.shown);
            return Err(Error::new(
                Kind::Definition,
                format!("column {name:?} ({shown}) cannot be a cursor"),
            )
            .hint("choose a column whose values grow with every change: a timestamp or a version number"));
        }
        let all = |least: &[Order]| !key.is_empty() && key.iter().all(|k| least.contains(&columns[*k].order));
        let is_sortable = all(&[Order::Keyset, Order::Sorted]);
        // Without an index on the cursor every page would sort the table again; one statement sorts it once.
        let is_indexed = !is_incremental || cursor.is_some_and(|c| columns[c].field.limits.indexed);
        let page = (request.key_is_total && all(&[Order::Keyset]) && is_indexed)
            .then_some(request.batch_rows.max(1).saturating_mul(PAGE_BATCHES));
        let is_ordered = is_sortable && (request.key_is_total || is_incremental);
        let leading = cursor.filter(|_| is_incremental);
        let order = leading.into_iter().chain(key.iter().copied().filter(|_| is_ordered)).collect();
        let overlap = request.overlap;
        Ok(Self { columns, key, cursor, tombstone, is_incremental, page, is_ordered, order, overlap })
    }

    /// The cursor column.
    pub(super) fn cursor_column(&self) -> Option<&'a Column> {
        self.cursor.map(|c| self.columns[c])
    }

    /// Whether the cursor is a point in time, which the oldest writer bounds.
    pub(super) fn by_time(&self) -> bool {
        self.cursor_column().is_some_and(|c| is_time(&c.field.kind))
    }

    /// Its SQL.
    pub(super) fn listing(&self, found: &'a Found) -> Listing<'a> {
        let cursor = self.cursor_column().filter(|_| self.is_incremental);
        let is_time = cursor.is_some() && self.by_time();
        Listing {
            origin: &found.origin,
            columns: self.columns.iter().map(|c| &c.sql).collect(),
            key: self.key.iter().map(|k| &self.columns[*k].sql).collect(),
            cursor: cursor.map(|c| &c.sql),
            back: match cursor.map(|c| c.codec) {
                Some(Codec::Decimal { .. }) => self.overlap.count,
                _ => 0,
            },
            is_date: is_time,
            is_bounded: is_time,
            page: self.page,
            is_ordered: self.is_ordered,
        }
    }

    /// The first cursor value to read; `from` is of the column's type.
    pub(super) fn start(&self, from: &Position) -> Value<'static> {
        match self.cursor_column().map(|c| (c.codec, &c.field.kind)) {
            Some((Codec::Unsigned | Codec::Bits64, FieldType::Decimal { .. })) => {
                whole_before(&from.cursor, self.overlap.count)
            }
            _ => before(&from.cursor, self.overlap),
        }
    }
}

/// A position less the overlap, in the cursor's own unit. Decimals are moved by the statement, which has their
/// arithmetic.
fn before(cursor: &Value<'static>, overlap: Overlap) -> Value<'static> {
    let micros = i64::try_from(overlap.time.as_micros()).unwrap_or(i64::MAX);
    match *cursor {
        Value::Timestamp { micros: at @ (i64::MIN | i64::MAX), zoned } => {
            Value::Timestamp { micros: at, zoned }
        }
        Value::Timestamp { micros: at, zoned } => {
            Value::Timestamp { micros: at.saturating_sub(micros), zoned }
        }
        Value::Date(day @ (i32::MIN | i32::MAX)) => Value::Date(day),
        Value::Date(day) => {
            // a part of a day reaches into the day before
            let days = micros.div_euclid(DAY_MICROS) + i64::from(micros.rem_euclid(DAY_MICROS) > 0);
            Value::Date(i32::try_from(i64::from(day).saturating_sub(days)).unwrap_or(i32::MIN))
        }
        Value::Int64(n) => Value::Int64(n.saturating_sub_unsigned(overlap.count)),
        Value::Float64(n) => Value::Float64(n - overlap.count as f64),
        ref other => other.clone(),
    }
}

/// The same for whole numbers without a sign: the server refuses to go below zero.
fn whole_before(cursor: &Value<'static>, count: u64) -> Value<'static> {
    match cursor {
        Value::Decimal(text) => match text.parse::<u64>() {
            Ok(number) => Value::Decimal(number.saturating_sub(count).to_string().into()),
            Err(_) => cursor.clone(),
        },
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn place(value: &Value<'_>) -> i64 {
        match value {
            Value::Timestamp { micros, .. } => *micros,
            Value::Date(day) => i64::from(*day),
            Value::Int64(n) => *n,
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        /// Whatever is configured: never above the stored position, of its type, and infinity stays.
        #[test]
        fn an_overlap_never_moves_up(number in any::<i64>(), end in 0..3_u8, kind in 0..3_u8, micros in any::<u64>(), count in any::<u64>()) {
            let number = [number, i64::MIN, i64::MAX][usize::from(end)];
            let day = [number as i32, i32::MIN, i32::MAX][usize::from(end)];
            let at = [Value::Timestamp { micros: number, zoned: false }, Value::Date(day), Value::Int64(number)][usize::from(kind)].clone();
            let found = before(&at, Overlap { time: Duration::from_micros(micros), count });
            prop_assert_eq!(found.type_name(), at.type_name());
            prop_assert!(place(&found) <= place(&at), "{:?} from {:?}", found, at);
            if end > 0 && kind < 2 {
                prop_assert_eq!(found, at);
            }
        }
    }

    #[test]
    fn an_overlap_is_in_the_cursors_unit() {
        let overlap = Overlap { time: Duration::from_micros(5), count: 3 };
        let at = |micros| Value::Timestamp { micros, zoned: true };
        assert_eq!(before(&at(12), overlap), at(7));
        assert_eq!(before(&Value::Date(10), overlap), Value::Date(9));
        assert_eq!(before(&Value::Int64(i64::MIN + 1), overlap), Value::Int64(i64::MIN));
        assert_eq!(before(&Value::Float64(0.5), overlap), Value::Float64(-2.5));
        assert_eq!(before(&Value::Text("b".into()), overlap), Value::Text("b".into()));
        let whole = |text: &'static str| whole_before(&Value::Decimal(text.into()), 3);
        assert_eq!(whole("18446744073709551615"), Value::Decimal("18446744073709551612".into()));
        assert_eq!(whole("2"), Value::Decimal("0".into()));
    }
}
