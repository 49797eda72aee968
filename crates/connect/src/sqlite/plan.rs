//! What a listing reads, in which order, from where to where.

use std::time::Duration;

use rusqlite::{
    Connection, OptionalExtension,
    types::{Value as Stored, ValueRef},
};
use syncline_core::{
    batch::Positions, cursor::Position, schema::FieldType, sync::Overlap, time::DAY_MICROS, value::Value,
};

use super::{
    client,
    describe::Found,
    error,
    rows::{Shape, position},
    sql::{self, Term},
    types::{self, Form},
};
use crate::{Error, error::Kind, source::Read};

/// Rows of a page where every page sorts the table.
const UNINDEXED_PAGE: usize = 10_000;

/// Wall clocks without a zone run at most this far ahead of UTC …
const CLOCK_AHEAD: i64 = 14 * 3_600_000_000;
/// … and this far behind.
const CLOCK_BEHIND: i64 = 12 * 3_600_000_000;

/// A request resolved against the table.
pub(super) struct Plan {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
    pub(super) shape: Shape,
    pub(super) order: Vec<Term>,
    pub(super) always: Option<String>,
    pub(super) start: Option<Stored>,
    pub(super) window: Option<Window>,
    pub(super) page: Option<usize>,
    pub(super) resume: Option<Position>,
    pub(super) batch_rows: usize,
    pub(super) batch_bytes: usize,
}

/// The part of an ordered listing that is wanted, where the statement's own bounds are coarser.
pub(super) struct Window {
    pub(super) column: usize,
    pub(super) kind: FieldType,
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Window {
    /// Where a row with this cursor cell lies.
    pub(super) fn side(&self, cell: ValueRef<'_>) -> Side {
        match types::read(cell, &self.kind).map(|v| in_micros(&v)) {
            // a misfit is no position, so it is read by full listings only
            None => Side::Before,
            Some(at) if at < self.start => Side::Before,
            Some(at) if at >= self.end => Side::After,
            Some(_) => Side::Inside,
        }
    }
}

/// Where a row lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Before what is wanted.
    Before,
    /// Wanted.
    Inside,
    /// Behind, as is everything that follows.
    After,
}

impl Plan {
    /// `now` in microseconds since 1970.
    pub(super) fn of(
        connection: &Connection,
        found: &Found,
        request: &Read,
        now: i64,
    ) -> Result<Self, Error> {
        let cursor = request.cursor.as_deref();
        if request.from.is_some() && cursor.is_none() {
            return Err(Error::new(Kind::Definition, "an incremental read needs a cursor column"));
        }
        let at = |name: &str| position(&request.columns, name);
        let key: Vec<_> = request.key.iter().map(|k| at(k)).collect::<Result<_, _>>()?;
        let positions = match (cursor, &request.from) {
            (Some(cursor), Some(_)) => Positions::Columns { cursor: at(cursor)?, key },
            _ => Positions::None,
        };
        let total = request.key_is_total && !request.key.is_empty();
        let mut plan = Self {
            table: found.table.clone(),
            columns: request.columns.clone(),
            shape: Shape::new(found, &request.columns, request.tombstone.as_deref(), positions)?,
            order: Vec::new(),
            always: None,
            start: None,
            window: None,
            page: total.then_some(request.batch_rows.max(1)),
            resume: None,
            batch_rows: request.batch_rows.max(1),
            batch_bytes: request.batch_bytes,
        };
        if let Some(name) = cursor {
            let now = now.saturating_sub(micros(request.lag));
            let cursor = Cursor { connection, found, name, kind: &found.field(name)?.kind, now };
            match &request.from {
                Some(from) => plan.incremental(&cursor, &from.cursor, request.overlap, at(name)?)?,
                None => plan.resume = cursor.resume()?.map(|cursor| Position { cursor, key: Vec::new() }),
            }
        }
        if total || request.from.is_some() {
            plan.order.extend(key_terms(found, &request.key));
        }
        Ok(plan)
    }

    fn incremental(
        &mut self,
        cursor: &Cursor<'_>,
        from: &Value<'static>,
        overlap: Overlap,
        column: usize,
    ) -> Result<(), Error> {
        if !from.fits(cursor.kind) || from.is_null() {
            return Err(Error::new(
                Kind::Definition,
                format!("column {:?} ({}): the stored cursor is of another type", cursor.name, cursor.kind),
            )
            .hint("the column's type was changed: reset the cursor, which reads everything once"));
        }
        let start = before(from, overlap);
        let indexed = cursor.found.field(cursor.name)?.limits.indexed;
        let form = if indexed { cursor.form()? } else { None };
        if !indexed || (form.is_none() && cursor.term().function.is_some()) {
            self.page = self.page.map(|page| page.max(UNINDEXED_PAGE));
        }
        self.always = Some(cursor.condition(form.is_some()));
        match form {
            Some(form) => {
                let (start, end) = (in_micros(&start), cursor.end().unwrap_or(i64::MAX));
                self.order.push(cursor.stored_term());
                self.start = Some(form.lower(start));
                self.window = Some(Window { column, kind: cursor.kind.clone(), start, end });
            }
            None => {
                self.order.push(cursor.term());
                self.start = Some(types::comparable(&start));
            }
        }
        Ok(())
    }
}

/// By the collation of the index that makes the key unique: by another one, two keys could be ties.
fn key_terms(found: &Found, key: &[String]) -> Vec<Term> {
    let collations = found.collations(key);
    let term = |(i, name): (usize, &String)| Term {
        name: name.clone(),
        function: None,
        collation: collations.as_ref().map(|c| c[i].clone()),
    };
    key.iter().enumerate().map(term).collect()
}

/// The cursor column.
struct Cursor<'a> {
    connection: &'a Connection,
    found: &'a Found,
    name: &'a str,
    kind: &'a FieldType,
    /// Now less the lag.
    now: i64,
}

impl Cursor<'_> {
    /// As it is compared whatever the form it is stored in.
    fn term(&self) -> Term {
        Term { function: client::function(self.kind), ..self.stored_term() }
    }

    fn stored_term(&self) -> Term {
        Term { name: self.name.to_owned(), function: None, collation: None }
    }

    /// The form all its times are stored in, if there is one whose order is that of time.
    fn form(&self) -> Result<Option<Form>, Error> {
        if !matches!(self.kind, FieldType::Date | FieldType::Timestamp { .. }) {
            return Ok(None);
        }
        let read = |cell: ValueRef<'_>| {
            types::read(cell, self.kind).and_then(|_| Form::of(cell, &sql::column(self.name)))
        };
        let sample = sql::greatest(&self.found.table, &self.stored_term(), &self.condition(true));
        let sample = self.connection.query_row(&sample, [], |row| Ok(read(row.get_ref(0)?))).optional();
        let Some((form, condition)) = sample.map_err(|e| error::of(&e))?.flatten() else { return Ok(None) };
        let others = sql::any_other(&self.found.table, self.name, &condition);
        let others = self.connection.query_row(&others, [], |row| row.get::<_, bool>(0));
        Ok((!others.map_err(|e| error::of(&e))?).then_some(form))
    }

    /// What every listed row fulfils: its cursor is a value of the type (a misfit is no position), and below the end.
    fn condition(&self, windowed: bool) -> String {
        let column = sql::column(self.name);
        match self.kind {
            FieldType::Int64 => format!("typeof({column}) = 'integer'"),
            // nothing that comes after infinity could be told from what came before
            FieldType::Float64 | FieldType::Decimal { .. } => {
                format!("typeof({column}) IN ('integer', 'real') AND {column} < 9e999")
            }
            FieldType::Binary => format!("typeof({column}) = 'blob'"),
            FieldType::Text | FieldType::Json | FieldType::List(_) => format!("typeof({column}) = 'text'"),
            _ if windowed => format!("{column} IS NOT NULL"),
            _ => match self.end() {
                Some(end) => format!("{} < {}", self.term(), self.in_unit(end)),
                None => format!("{} IS NOT NULL", self.term()),
            },
        }
    }

    /// The exclusive end of an incremental listing, for times: SQLite does not tell its writers, but has one at a time.
    fn end(&self) -> Option<i64> {
        match self.kind {
            FieldType::Timestamp { zoned: true } => Some(self.now),
            FieldType::Timestamp { zoned: false } => Some(self.now.saturating_add(CLOCK_AHEAD)),
            // of a day that is not over, what is there is read, and read again the next time
            FieldType::Date => {
                let day = self.now.saturating_add(CLOCK_AHEAD).div_euclid(DAY_MICROS);
                Some((day + 1).saturating_mul(DAY_MICROS))
            }
            _ => None,
        }
    }

    fn in_unit(&self, micros: i64) -> i64 {
        if *self.kind == FieldType::Date { micros.div_euclid(DAY_MICROS) } else { micros }
    }

    /// Where an incremental read may start after a full one that starts now.
    fn resume(&self) -> Result<Option<Value<'static>>, Error> {
        let behind = self.now.saturating_sub(CLOCK_BEHIND);
        match self.kind {
            FieldType::Timestamp { zoned: true } => {
                return Ok(Some(Value::Timestamp { micros: self.now, zoned: true }));
            }
            FieldType::Timestamp { zoned: false } => {
                return Ok(Some(Value::Timestamp { micros: behind, zoned: false }));
            }
            FieldType::Date => {
                return Ok(i32::try_from(behind.div_euclid(DAY_MICROS)).ok().map(Value::Date));
            }
            _ => {}
        }
        let sql = sql::greatest(&self.found.table, &self.term(), &self.condition(false));
        let read = |cell: ValueRef<'_>| types::read(cell, self.kind).map(Value::into_owned);
        let greatest = self.connection.query_row(&sql, [], |row| Ok(read(row.get_ref(0)?))).optional();
        Ok(greatest.map_err(|e| error::of(&e))?.flatten().filter(|v| !v.is_null()))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A time as microseconds since 1970.
fn in_micros(value: &Value<'_>) -> i64 {
    match value {
        // Dates reach further than times.
        Value::Date(day) => i64::from(*day).saturating_mul(DAY_MICROS),
        Value::Timestamp { micros, .. } => *micros,
        _ => 0,
    }
}

/// A position less the overlap, in the cursor's own unit.
fn before(cursor: &Value<'static>, overlap: Overlap) -> Value<'static> {
    match cursor {
        Value::Timestamp { micros: at, zoned } => {
            Value::Timestamp { micros: at.saturating_sub(micros(overlap.time)), zoned: *zoned }
        }
        Value::Date(day) => {
            // a part of a day reaches into the day before
            let time = micros(overlap.time);
            let days = time.div_euclid(DAY_MICROS) + i64::from(time.rem_euclid(DAY_MICROS) > 0);
            Value::Date(i32::try_from(i64::from(*day).saturating_sub(days)).unwrap_or(i32::MIN))
        }
        Value::Int64(n) => Value::Int64(n.saturating_sub_unsigned(overlap.count)),
        Value::Float64(n) => Value::Float64(n - overlap.count as f64),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor() -> impl Strategy<Value = Value<'static>> {
        prop_oneof![
            prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX)]
                .prop_map(|micros| Value::Timestamp { micros, zoned: true }),
            prop_oneof![any::<i32>(), Just(i32::MIN), Just(i32::MAX)].prop_map(Value::Date),
            any::<i64>().prop_map(Value::Int64),
        ]
    }

    fn overlap() -> impl Strategy<Value = Overlap> {
        (prop_oneof![Just(0), 0..u64::MAX, 0..1_000_000_u64], prop_oneof![Just(0), any::<u64>()])
            .prop_map(|(micros, count)| Overlap { time: Duration::from_micros(micros), count })
    }

    fn place(value: &Value<'_>) -> i64 {
        match value {
            Value::Int64(n) => *n,
            time => in_micros(time),
        }
    }

    proptest! {
        #[test]
        fn an_overlap_never_moves_up_and_more_of_it_moves_further(at in cursor(), small in overlap(), more in overlap()) {
            let large = Overlap { time: small.time.saturating_add(more.time), count: small.count.saturating_add(more.count) };
            let (near, far) = (before(&at, small), before(&at, large));
            prop_assert_eq!(near.type_name(), at.type_name());
            prop_assert!(place(&near) <= place(&at), "{:?} from {:?}", near, at);
            prop_assert!(place(&far) <= place(&near), "{:?} behind {:?}", far, near);
            prop_assert_eq!(before(&at, Overlap { time: Duration::ZERO, count: 0 }), at);
        }

        #[test]
        fn days_are_in_the_order_of_their_moments(a in any::<i32>(), b in any::<i32>()) {
            let (x, y) = (in_micros(&Value::Date(a)), in_micros(&Value::Date(b)));
            prop_assert!(if a <= b { x <= y } else { x >= y }, "{} at {}, {} at {}", a, x, b, y);
        }
    }

    #[test]
    fn an_overlap_is_in_the_cursors_unit() {
        let overlap = Overlap { time: Duration::from_secs(90_000), count: 3 };
        let zoned = |micros| Value::Timestamp { micros, zoned: true };
        assert_eq!(before(&zoned(0), overlap), zoned(-90_000_000_000));
        assert_eq!(before(&zoned(i64::MIN), overlap), zoned(i64::MIN));
        assert_eq!(before(&Value::Date(10), overlap), Value::Date(8));
        assert_eq!(before(&Value::Int64(i64::MIN + 1), overlap), Value::Int64(i64::MIN));
        assert_eq!(before(&Value::Text("b".into()), overlap), Value::Text("b".into()));
    }
}
