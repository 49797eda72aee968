//! Every type through every pair of systems: each value arrives as `docs/types.md` says, or its record is parked for a
//! reason that stands there. Never is anything silently different.
//!
//! A row has a value in one column and null in the others, so that what is parked tells which value it was.

mod columns;
mod lists;
mod table;
mod world;

use std::collections::BTreeMap;

use fastrand::Rng;
use insta::assert_snapshot;
use mysql_async::prelude::Queryable;
use serde_json::value::RawValue;
use syncline_core::{
    convert::convert,
    decimal,
    schema::{Field, FieldType},
    value::Value,
};

pub(crate) use self::world::sync;
use self::{
    columns::{Column, MYSQL, POSTGRES, SQLITE},
    world::{End, Record, World, contents, load},
};

const SEED: u64 = 20_260_131;
/// Values drawn for each column.
const DRAWN: usize = 12;

/// What a row holds: column, value, and whether it was drawn. Row `i` has the id `i + 1`.
type Cells = Vec<(&'static str, String, bool)>;

fn cells(columns: &'static [Column]) -> Cells {
    let mut random = Rng::with_seed(SEED);
    let mut cells = Vec::new();
    for column in columns {
        cells.extend(column.edges.iter().map(|edge| (column.name, (*edge).to_owned(), false)));
        cells.extend((0..DRAWN).map(|_| (column.name, (column.draw)(&mut random), true)));
    }
    cells
}

/// The statements that make table `a` and fill it.
fn statements(columns: &'static [Column], cells: &Cells, quote: (&str, fn(&str) -> String)) -> Vec<String> {
    let (mark, literal) = quote;
    let list: Vec<_> = columns.iter().map(|c| format!("{mark}{}{mark} {}", c.name, c.declared)).collect();
    let mut statements = vec![format!("CREATE TABLE a (id bigint PRIMARY KEY, {})", list.join(", "))];
    for (at, (column, value, _)) in cells.iter().enumerate() {
        let value = value.strip_prefix('=').map_or_else(|| literal(value), str::to_owned);
        let id = at + 1;
        statements.push(format!("INSERT INTO a (id, {mark}{column}{mark}) VALUES ({id}, {value})"));
    }
    statements
}

fn doubled(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn escaped(text: &str) -> String {
    doubled(&text.replace('\\', "\\\\"))
}

async fn fill_postgres(world: &World) -> Cells {
    let cells = cells(POSTGRES);
    let types = "CREATE TYPE mood AS ENUM ('so-so', 'it''s 🙂', ''); CREATE DOMAIN short AS varchar(5); \
                 CREATE TYPE pair AS (n integer, t text)";
    world.postgres.batch_execute(types).await.unwrap();
    for statement in statements(POSTGRES, &cells, ("\"", doubled)) {
        world.postgres.batch_execute(&statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
    }
    cells
}

fn fill_sqlite(world: &World) -> Cells {
    let cells = cells(SQLITE);
    let mut file = world.sqlite_file();
    let transaction = file.transaction().unwrap();
    for statement in statements(SQLITE, &cells, ("\"", doubled)) {
        transaction.execute(&statement, []).unwrap_or_else(|e| panic!("{statement}: {e:?}"));
    }
    transaction.commit().unwrap();
    cells
}

async fn fill_mysql(world: &World) -> Cells {
    let cells = cells(MYSQL);
    let mut session = world.mysql.lock().await;
    for statement in statements(MYSQL, &cells, ("`", escaped)) {
        session.query_drop(&statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
    }
    cells
}

/// Loads a table from one system into another and looks at every value. Returns why the values at the edges were parked.
async fn pair(from: &End, stream: &str, to: &End, cells: &Cells) -> Result<String, String> {
    let table = to.table(from.name);
    let parked = load(from, stream, to, &table).await;
    let (source, before) = contents(from, stream).await;
    let (destination, after) = contents(to, &table).await;
    let mut wrong = Vec::new();
    for (field, why) in &destination.unsupported {
        wrong.push(format!("{field} cannot be read back: {why}"));
    }
    for (id, record) in &before {
        let fields = &source.fields;
        let there = &destination.fields;
        if let Err(why) = judge(record, fields, after.get(id), there, parked.get(id), to.name) {
            let (column, value, _) = &cells[usize::try_from(*id).unwrap() - 1];
            wrong.push(format!("{column} = {value:?}: {why}"));
        }
    }
    let more: Vec<_> = after.keys().filter(|id| !before.contains_key(id)).collect();
    if !more.is_empty() {
        wrong.push(format!("records that the source does not have: {more:?}"));
    }
    if !wrong.is_empty() {
        return Err(format!("seed {SEED}, {} to {}:\n  {}", from.name, to.name, wrong.join("\n  ")));
    }
    let mut lines = format!("{} to {}\n", from.name, to.name);
    for (id, why) in &parked {
        let (column, value, drawn) = &cells[usize::try_from(*id).unwrap() - 1];
        if !drawn {
            lines += &format!("  {column} {value:?}: {why}\n");
        }
    }
    Ok(lines)
}

/// Whether a record arrived as it should, or was parked as it may be.
fn judge(
    before: &Record,
    fields: &[Field],
    after: Option<&Record>,
    there: &[Field],
    parked: Option<&String>,
    to: &str,
) -> Result<(), String> {
    match (after, parked) {
        (Some(_), Some(_)) => return Err("is parked and is there".into()),
        (None, None) => return Err("is neither parked nor there".into()),
        (None, Some(why)) if table::documented(why) => return Ok(()),
        (None, Some(why)) => return Err(format!("is parked for a reason that is not documented: {why}")),
        (Some(_), None) => {}
    }
    let after = match after {
        Some(Ok(after)) => after,
        Some(Err(why)) => return Err(format!("cannot be read back: {why}")),
        None => return Ok(()),
    };
    let before = match before {
        Ok(before) => before,
        // between two PostgreSQL servers values go through that we could not read: compared as texts elsewhere
        Err(why) => return Err(format!("was loaded and cannot be read in the source: {why}")),
    };
    for (field, value) in fields.iter().zip(before) {
        let at = there.iter().position(|f| f.name == field.name).ok_or("has no column in the destination")?;
        let kind = Field::new(field.name.clone(), there[at].kind.clone(), true);
        // SQLite keeps what it is given, whatever digits the type names
        let expected = if field.kind == kind.kind {
            value.clone()
        } else {
            convert(value.clone(), &kind)
                .map_err(|why| format!("{:?} has no place in a {}: {why}", field.kind, kind.kind))?
        };
        if !same(&expected, &after[at], to) {
            return Err(format!("{expected:?} became {:?}", after[at]));
        }
    }
    Ok(())
}

/// Whether two values are the same; stricter than the canonical form: texts by their characters, lists in their order.
fn same(a: &Value<'_>, b: &Value<'_>, to: &str) -> bool {
    match (a, b) {
        (Value::Decimal(a), Value::Decimal(b)) => decimal::normal(a) == decimal::normal(b),
        (Value::Float64(a), Value::Float64(b)) => a == b || a.is_nan() && b.is_nan(),
        // the one value of JSON Lines that means both
        (Value::Json(a), Value::Null) => to == "jsonl" && a.trim() == "null",
        (Value::Json(a), Value::Json(b)) => a == b || json(a).is_some_and(|form| json(b) == Some(form)),
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, to))
        }
        (a, b) => a == b,
    }
}

/// JSON without what has no meaning: spaces, the order of names, all but the last value of a name, how numbers are written.
fn json(text: &str) -> Option<String> {
    let text = text.trim();
    Some(match text.bytes().next()? {
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            let form =
                |(name, value): (&String, &&RawValue)| Some(format!("{name:?}: {}", json(value.get())?));
            format!("{{{}}}", members.iter().map(form).collect::<Option<Vec<_>>>()?.join(", "))
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            format!("[{}]", items.iter().map(|i| json(i.get())).collect::<Option<Vec<_>>>()?.join(", "))
        }
        b'"' => format!("{:?}", serde_json::from_str::<String>(text).ok()?),
        b't' | b'f' | b'n' => text.to_owned(),
        _ => decimal::normal(text),
    })
}

/// Loads from one system into all of these.
async fn pairs(from: &End, stream: &str, to: &[End], cells: &Cells) -> String {
    let (mut parked, mut wrong) = (String::new(), Vec::new());
    for to in to {
        match pair(from, stream, to, cells).await {
            Ok(lines) => parked += &lines,
            Err(lines) => wrong.push(lines),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    parked
}

#[tokio::test]
async fn from_postgres() {
    World::with(|world| async move {
        let cells = fill_postgres(&world).await;
        let from = world.postgres().await;
        let to = world.destinations().await;
        assert_snapshot!(pairs(&from, "a", &to, &cells).await);
    })
    .await;
}

/// Where both sides are PostgreSQL and every type is the server's own, everything is the same, readable to us or not.
#[tokio::test]
async fn from_postgres_to_postgres() {
    World::with(|world| async move {
        let cells = fill_postgres(&world).await;
        let end = world.postgres().await;
        let own = ["e", "ae", "dom", "comp"];
        let drop = own.map(|name| format!("DROP COLUMN {name}")).join(", ");
        world.postgres.batch_execute(&format!("ALTER TABLE a {drop}")).await.unwrap();
        assert_eq!(load(&end, "a", &end, "b").await, BTreeMap::new(), "seed {SEED}");
        let types = async |table: &str| -> Vec<(String, String)> {
            let sql = "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute \
                       WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
            let rows = world.postgres.query(sql, &[&table]).await.unwrap();
            rows.iter().map(|row| (row.get(0), row.get(1))).collect()
        };
        assert_eq!(types("b").await, types("a").await);
        for name in POSTGRES.iter().map(|c| c.name).filter(|name| !own.contains(name)) {
            let sql = format!(
                "SELECT count(*), count(*) FILTER (WHERE a.\"{name}\"::text IS DISTINCT FROM b.\"{name}\"::text) \
                 FROM a FULL JOIN b USING (id)"
            );
            let row = world.postgres.query_one(&sql, &[]).await.unwrap();
            let counts: (i64, i64) = (row.get(0), row.get(1));
            assert_eq!(counts, (i64::try_from(cells.len()).unwrap(), 0), "seed {SEED}: {name}");
        }
    })
    .await;
}

#[tokio::test]
async fn from_sqlite() {
    World::with(|world| async move {
        let cells = fill_sqlite(&world);
        let from = world.sqlite().await;
        let to = world.destinations().await;
        assert_snapshot!(pairs(&from, "a", &to, &cells).await);
    })
    .await;
}

#[tokio::test]
async fn from_mysql() {
    World::with(|world| async move {
        let cells = fill_mysql(&world).await;
        let from = world.mysql().await;
        let to = world.destinations().await;
        assert_snapshot!(pairs(&from, "a", &to, &cells).await);
    })
    .await;
}

/// Files have what PostgreSQL gave them, and give it to everything else.
#[tokio::test]
async fn from_files() {
    World::with(|world| async move {
        let cells = fill_postgres(&world).await;
        let postgres = world.postgres().await;
        let mut parked = String::new();
        for from in world.files().await {
            let stream = from.table("postgres");
            pair(&postgres, "a", &from, &cells).await.unwrap_or_else(|wrong| panic!("{wrong}"));
            parked += &pairs(&from, &stream, &world.destinations().await, &cells).await;
        }
        assert_snapshot!(parked);
    })
    .await;
}
