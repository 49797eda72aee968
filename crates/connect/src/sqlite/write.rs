//! Rows into a staging table: one prepared statement, one transaction. (A statement for many rows is no faster: what costs
//! is binding.)

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use rusqlite::types::{ToSqlOutput, Value as Stored, ValueRef};
use syncline_core::{
    batch::{Batch, RecordOp},
    decimal,
    time::{self, DAY_MICROS},
    value::Value,
};
use tokio::task::JoinHandle;

use super::{
    database::Session,
    error,
    types::{self, Affinity},
};
use crate::{
    Error,
    database::{
        Rows, Writer,
        dialect::{TOMBSTONE, sqlite::SQLITE},
        sql::Stage,
    },
    error::Kind,
};

/// What is done with the rows of a staging table.
struct Plan {
    insert: String,
    /// Made when all rows are there.
    index: Option<String>,
    /// Name and affinity.
    columns: Vec<(String, Affinity)>,
    tombstones: bool,
}

impl Plan {
    fn of(stage: &Stage<'_>) -> Self {
        let shape = stage.shape;
        let parameters = shape.columns.len() + usize::from(shape.tombstones);
        let parameters: Vec<_> = (1..=parameters).map(SQLITE.parameter).collect();
        let names =
            shape.columns.iter().map(|c| c.name.as_str()).chain(shape.tombstones.then_some(TOMBSTONE));
        let names: Vec<_> = names.map(|name| SQLITE.quote(name)).collect();
        let insert = format!(
            "INSERT INTO {} ({}) VALUES ({})",
            SQLITE.table(stage.staging),
            names.join(", "),
            parameters.join(", ")
        );
        // The table looks for its rows by key when it finds out which are gone. A new one, or one that is replaced, asks
        // nothing.
        let asked = !shape.key.is_empty() && !shape.takes_place && stage.exists;
        let key: Vec<_> = shape.key.iter().map(|k| SQLITE.quote(k)).collect();
        let name = SQLITE.quote(&format!("{}_key", stage.staging.name));
        let index = asked.then(|| {
            format!("CREATE INDEX temp.{name} ON {} ({})", SQLITE.quote(&stage.staging.name), key.join(", "))
        });
        let columns = shape.columns.iter().map(|c| (c.name.clone(), types::affinity(&c.declared)));
        Self { insert, index, columns: columns.collect(), tombstones: shape.tombstones }
    }
}

/// One stream of rows. While a batch is written, the next one can be read.
pub(super) struct Staging {
    session: Arc<Mutex<Session>>,
    plan: Arc<Plan>,
    rows: u64,
    begun: bool,
    pending: Option<JoinHandle<Result<(), Error>>>,
}

impl Staging {
    pub(super) fn new(session: Arc<Mutex<Session>>, stage: &Stage<'_>) -> Self {
        Self { session, plan: Arc::new(Plan::of(stage)), rows: 0, begun: false, pending: None }
    }

    async fn settle(&mut self) -> Result<(), Error> {
        match self.pending.take() {
            Some(pending) => {
                pending.await.map_err(|_| Error::new(Kind::Protocol, "the writing thread ended early"))?
            }
            None => Ok(()),
        }
    }

    /// Does something with the session, on a thread of its own.
    fn start(&mut self, work: impl FnOnce(&Session, &Plan) -> Result<(), Error> + Send + 'static) {
        let (session, plan) = (Arc::clone(&self.session), Arc::clone(&self.plan));
        let work = move || work(&session.lock().unwrap_or_else(PoisonError::into_inner), &plan);
        #[expect(
            clippy::disallowed_methods,
            reason = "awaited by settle; after a drop it ends with its batch"
        )]
        let pending = tokio::task::spawn_blocking(work);
        self.pending = Some(pending);
    }
}

#[async_trait]
impl Writer for Staging {
    async fn write(&mut self, rows: Rows) -> Result<(), Error> {
        let Rows::Batch(batch) = rows else {
            return Err(Error::new(Kind::Protocol, "SQLite takes batches, no tuples of another database"));
        };
        self.settle().await?;
        let first = !std::mem::replace(&mut self.begun, true);
        self.rows += batch.len() as u64;
        self.start(move |session, plan| {
            if first {
                // of the temporary database alone: it locks nothing in the file
                run(session, "BEGIN")?;
            }
            insert(session, plan, &batch)
        });
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, Error> {
        self.settle().await?;
        let begun = self.begun;
        self.start(move |session, plan| {
            if let Some(index) = &plan.index {
                run(session, index)?;
            }
            if begun { run(session, "COMMIT") } else { Ok(()) }
        });
        self.settle().await?;
        Ok(self.rows)
    }
}

fn run(session: &Session, sql: &str) -> Result<(), Error> {
    session.connection.execute(sql, []).map(drop).map_err(|e| error::of(&e))
}

fn insert(session: &Session, plan: &Plan, batch: &Batch) -> Result<(), Error> {
    let of = |e: rusqlite::Error| error::of(&e).context("staging");
    let mut statement = session.connection.prepare(&plan.insert).map_err(of)?;
    for row in 0..batch.len() {
        for (column, (name, affinity)) in plan.columns.iter().enumerate() {
            let value = batch.value(row, column);
            let stored = stored(&value, *affinity)
                .map_err(|why| Error::new(Kind::Rejected, format!("column {name:?}: {why}")))?;
            statement.raw_bind_parameter(column + 1, stored).map_err(of)?;
        }
        if plan.tombstones {
            let gone = batch.op(row) == RecordOp::Delete;
            statement.raw_bind_parameter(plan.columns.len() + 1, gone).map_err(of)?;
        }
        statement.raw_execute().map_err(of)?;
    }
    Ok(())
}

/// A value as it is stored: so that the source reads it back the same. The limits of the described fields keep away what
/// cannot be, so that it costs one record; here it would cost the load.
///
/// # Errors
/// Why it cannot be stored, without the value.
fn stored<'a>(value: &'a Value<'_>, affinity: Affinity) -> Result<ToSqlOutput<'a>, &'static str> {
    let text = |text: &'a str| ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()));
    Ok(ToSqlOutput::Owned(match value {
        Value::Null => Stored::Null,
        Value::Boolean(v) => Stored::Integer(i64::from(*v)),
        Value::Int64(v) => Stored::Integer(*v),
        Value::Float64(v) if v.is_nan() => return Err("NaN would become null"),
        Value::Float64(v) => Stored::Real(*v),
        Value::Decimal(v) if !decimal::is_finite(v) => return Err("a number that is not finite"),
        Value::Decimal(v) if affinity == Affinity::Number && !survives(v) => {
            return Err("the column stores doubles and the decimal has more digits than a double can hold");
        }
        Value::Text(v) | Value::Json(v) if affinity == Affinity::Number && types::looks_like_a_number(v) => {
            return Err("the column would store the number that the text looks like");
        }
        Value::Decimal(v) | Value::Text(v) | Value::Json(v) => return Ok(text(v)),
        Value::Binary(v) => return Ok(ToSqlOutput::Borrowed(ValueRef::Blob(v))),
        Value::Date(v @ (i32::MAX | i32::MIN)) => Stored::Text(time::date_text(*v)),
        Value::Timestamp { micros: v @ (i64::MAX | i64::MIN), .. } => {
            Stored::Text(time::timestamp_text(*v, false))
        }
        Value::Date(v) => Stored::Text(date(i64::from(*v)).ok_or(OUTSIDE)?),
        Value::Time(v) => Stored::Text(time_of_day(*v)),
        Value::Timestamp { micros, zoned } => Stored::Text(timestamp(*micros, *zoned).ok_or(OUTSIDE)?),
        Value::Uuid(v) => Stored::Text(uuid::Uuid::from_bytes(*v).to_string()),
        Value::List(_) => Stored::Text(value.to_json().to_string()),
    }))
}

const OUTSIDE: &str = "the date is outside the years -9999 to 9999";

fn survives(text: &str) -> bool {
    decimal::normal(text).parse::<i64>().is_ok() || decimal::to_double_exactly(text).is_some()
}

/// `2026-01-05`; years before Christ with sign and six digits: `-000043-03-15`.
fn date(days: i64) -> Option<String> {
    let date = time::civil_date(i32::try_from(days).ok()?)?;
    let (year, month, day) = (date.year(), date.month(), date.day());
    Some(if year < 0 {
        format!("-{:06}-{month:02}-{day:02}", year.unsigned_abs())
    } else {
        format!("{year:04}-{month:02}-{day:02}")
    })
}

/// Always with six digits after the point: in one form, the order of texts is that of time.
fn time_of_day(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    format!("{:02}:{:02}:{:02}.{fraction:06}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `2026-01-05 09:00:00.000000Z`; without `Z` where there is no zone.
fn timestamp(micros: i64, zoned: bool) -> Option<String> {
    let mut text = date(micros.div_euclid(DAY_MICROS))?;
    let zone = if zoned { "Z" } else { "" };
    write!(text, " {}{zone}", time_of_day(micros.rem_euclid(DAY_MICROS))).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use syncline_core::schema::FieldType;

    use super::*;
    use crate::database::{
        Column, Gone, Shape,
        dialect::{Layout, MergeSql, Named, Which},
    };

    fn text_of(value: &Value<'_>) -> Option<String> {
        match stored(value, Affinity::None) {
            Ok(ToSqlOutput::Owned(Stored::Text(text))) => Some(text),
            _ => None,
        }
    }

    #[test]
    fn times_have_one_form() {
        for (value, expected) in [
            (Value::Date(20_458), "2026-01-05"),
            (Value::Date(-719_528), "0000-01-01"),
            (Value::Date(-735_160), "-000043-03-15"),
            (Value::Date(i32::MIN), "-infinity"),
            (Value::Timestamp { micros: i64::MAX, zoned: true }, "infinity"),
            (Value::Time(0), "00:00:00.000000"),
            (Value::Time(DAY_MICROS), "24:00:00.000000"),
            (Value::Timestamp { micros: 1_767_603_600_000_000, zoned: true }, "2026-01-05 09:00:00.000000Z"),
            (Value::Timestamp { micros: -1, zoned: false }, "1969-12-31 23:59:59.999999"),
            (Value::Uuid([0xAB; 16]), "abababab-abab-abab-abab-abababababab"),
            (Value::List(vec![Value::Int64(1), Value::Text("a\"b".into())]), r#"[1,"a\"b"]"#),
        ] {
            assert_eq!(text_of(&value).as_deref(), Some(expected), "{value:?}");
        }
    }

    #[test]
    fn what_would_be_changed_is_refused() {
        let decimal = |text: &'static str| Value::Decimal(text.into());
        for (value, affinity, fits) in [
            (decimal("12345678901234567890123456789.01"), Affinity::Text, true),
            (decimal("12345678901234567890123456789.01"), Affinity::Number, false),
            (decimal("9007199254740993"), Affinity::Number, true),
            (decimal("1234567890123.45"), Affinity::Number, true),
            (decimal("NaN"), Affinity::Text, false),
            (Value::Float64(f64::NAN), Affinity::Number, false),
            (Value::Float64(f64::INFINITY), Affinity::Number, true),
            (Value::Text("007".into()), Affinity::Number, false),
            (Value::Text("007".into()), Affinity::Text, true),
            (Value::Json("1.50".into()), Affinity::Number, false),
            (Value::Date(i32::MAX), Affinity::None, true),
            (Value::Date(2_932_897), Affinity::None, false),
            (Value::Timestamp { micros: i64::MAX - 1, zoned: true }, Affinity::None, false),
        ] {
            assert_eq!(stored(&value, affinity).is_ok(), fits, "{value:?} in {affinity:?}");
        }
    }

    /// Where there is an index on the table's key, neither side is read once for every row of the other.
    #[test]
    fn merges_search_by_key() {
        let column = |name: &str| Column {
            name: name.into(),
            kind: FieldType::Text,
            declared: "TEXT".into(),
            nullable: false,
        };
        let names = ["k".to_owned(), "l".to_owned(), "v".to_owned()];
        let shape = Shape {
            columns: names.iter().map(|n| column(n)).collect(),
            key: names[..2].to_vec(),
            ..Shape::default()
        };
        let (table, staging) =
            (Named { schema: None, name: "t".into() }, Named { schema: None, name: "s1".into() });
        let stage = Stage {
            table: &table,
            exists: true,
            indexed: true,
            staging: &staging,
            shape: &shape,
            in_session: false,
        };
        let connection = rusqlite::Connection::open_in_memory().expect("memory");
        let layout = Layout { columns: &shape.columns, key: &shape.key };
        let index = Plan::of(&stage).index.expect("an index on the key");
        let make = [
            SQLITE.create_table(&table, layout),
            SQLITE.create_staging(&staging, &shape.columns, false, false),
            index,
        ];
        for sql in make {
            connection.execute(&sql, []).unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
        let merge = MergeSql {
            dialect: &SQLITE,
            table: &table,
            staging: &staging,
            shape: &shape,
            update: &names[2..],
            insert: &names,
            update_when: None,
            gone: &Gone::Delete,
            scope: &[],
        };
        for (sql, searched) in [
            (merge.update(), "d"),
            (Some(merge.insert_new()), "d"),
            (merge.count_changed(), "d"),
            (merge.remove(Which::Unstaged), "s"),
            (Some(merge.count_gone(Which::Unstaged)), "s"),
        ] {
            let sql = sql.expect("a statement");
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a plan");
            let plan = plan.query_map([], |row| row.get::<_, String>(3)).expect("its steps");
            let plan: Vec<_> = plan.collect::<Result<_, _>>().expect("its steps");
            let search = format!("SEARCH {searched} USING");
            assert!(plan.iter().any(|step| step.starts_with(&search)), "{sql}: {plan:?}");
            assert_eq!(plan.iter().filter(|step| step.starts_with("SCAN")).count(), 1, "{sql}: {plan:?}");
        }
    }

    proptest! {
        #[test]
        fn times_come_back_and_sort(
            a in -62_167_219_200_000_000_i64..=253_402_300_799_999_999,
            b in -62_167_219_200_000_000_i64..=253_402_300_799_999_999,
            early in -377_705_116_800_000_000_i64..-62_167_219_200_000_000,
            zoned: bool,
        ) {
            let form = |micros| timestamp(micros, zoned).expect("within the years");
            prop_assert_eq!(form(a).cmp(&form(b)), a.cmp(&b));
            for micros in [a, early] {
                let text = form(micros);
                let read = types::read(ValueRef::Text(text.as_bytes()), &FieldType::Timestamp { zoned });
                prop_assert_eq!(read, Some(Value::Timestamp { micros, zoned }));
                let day = micros.div_euclid(DAY_MICROS);
                let text = date(day).expect("within the years");
                let read = types::read(ValueRef::Text(text.as_bytes()), &FieldType::Date);
                prop_assert_eq!(read, i32::try_from(day).ok().map(Value::Date));
            }
        }
    }
}
