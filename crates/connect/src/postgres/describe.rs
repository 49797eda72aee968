//! What a table looks like, from the system catalogues.

use syncline_core::schema::{Field, Limits, Stream};
use tokio_postgres::{Row, Statement};

use super::{
    bind::Param,
    client::Session,
    error,
    sql::{self, ColumnSql, Ident, Relation, Table},
    types::{Codec, Native},
};
use crate::{Error, database::dialect::postgres::POSTGRES, error::Kind};

/// A table as found, with what is needed to read it.
pub(super) struct Found {
    pub(super) table: Relation,
    /// Whether it is a table with blocks of its own, all of whose records are its own.
    pub(super) ordinary: bool,
    pub(super) stream: Stream,
    pub(super) columns: Vec<Column>,
}

/// A column, parallel to the stream's fields.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) field: Field,
    pub(super) codec: Codec,
    pub(super) sql: ColumnSql,
    pub(super) sortable: bool,
    /// The type as the server shows it, for messages.
    pub(super) shown: String,
}

impl Found {
    /// Finds the column called `name`.
    ///
    /// # Errors
    /// [`Kind::Definition`].
    pub(super) fn column(&self, name: &str) -> Result<&Column, Error> {
        self.columns.iter().find(|c| c.field.name == name).ok_or_else(|| {
            let names: Vec<_> = self.columns.iter().map(|c| c.field.name.as_str()).collect();
            Error::new(Kind::Definition, format!("stream {:?} has no column {name:?}", self.stream.name))
                .hint(format!("its columns: {}", names.join(", ")))
        })
    }
}

/// `$1`: the quoted name.
const RELATION: &str = "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.reltuples::float8, \
    c.relispopulated, has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT'), \
    row_security_active(c.oid), \
    c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid), \
    pg_has_role('pg_read_all_stats', 'USAGE') \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.oid = to_regclass($1::text) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

/// The columns of the table `$1`. What the server computes cannot be written; what it has a value for need not be.
const OF_TABLE: &str = "SELECT a.attnum, 0 AS depth, a.attname::text AS name, a.attnotnull AS not_null, \
      a.atttypid AS type, a.atttypmod AS modifier, format_type(a.atttypid, a.atttypmod) AS shown, \
      a.attgenerated <> '' OR a.attidentity = 'a' AS computed, a.atthasdef OR a.attidentity <> '' AS filled \
    FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped";

/// The columns of a statement, as its preparation described them, in the JSON `$1`.
const OF_STATEMENT: &str = "SELECT a.attnum, 0 AS depth, a.name, false AS not_null, a.type::oid AS type, a.modifier, \
      format_type(a.type::oid, a.modifier) AS shown, false AS computed, false AS filled \
    FROM json_to_recordset($1::json) AS a(attnum int2, name text, type int8, modifier int4)";

/// One row per column and step of its type: domains lead to what they are made of, arrays to their elements. An array is
/// known by the function that receives it; the old vectors look like one and are not.
const COLUMNS: &str = "WITH RECURSIVE step AS ( \
    {columns} \
    UNION ALL \
    SELECT s.attnum, s.depth + 1, s.name, s.not_null, \
      CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END, \
      CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE s.modifier END, s.shown, s.computed, s.filled \
    FROM step s JOIN pg_catalog.pg_type t ON t.oid = s.type \
    WHERE t.typtype = 'd' OR t.typelem <> 0 AND t.typreceive = 'pg_catalog.array_recv'::regproc \
  ) \
  SELECT s.name, s.not_null, s.shown, s.modifier, t.typname::text, n.nspname::text, t.typtype::text, \
    t.typtype <> 'd' AND t.typelem <> 0 AND t.typreceive = 'pg_catalog.array_recv'::regproc, s.depth, \
    s.computed, s.filled \
  FROM step s JOIN pg_catalog.pg_type t ON t.oid = s.type JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
  ORDER BY s.attnum, s.depth";

/// `$1`: the table. The columns of each usable index without those it merely includes; an expression has no name.
const INDEXES: &str = "SELECT i.relname::text, x.indisprimary, \
    x.indisunique AND x.indimmediate AND x.indpred IS NULL AND x.indexprs IS NULL, \
    am.amname = 'btree' AND x.indpred IS NULL, \
    ARRAY(SELECT coalesce(a.attname::text, '') FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k(n, place) \
      LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.n AND k.n > 0 \
      WHERE k.place <= x.indnkeyatts ORDER BY k.place) \
  FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid \
  JOIN pg_catalog.pg_am am ON am.oid = i.relam \
  WHERE x.indrelid = $1::oid AND x.indisvalid AND x.indisready AND x.indislive ORDER BY i.relname";

/// Tables and views a user may mean, written so that they can be pasted into a project file.
pub(super) const STREAMS: &str = "SELECT format('%I.%I', n.nspname, c.relname) \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition \
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%' \
      AND n.nspname NOT LIKE 'pg\\_temp%' AND has_schema_privilege(n.oid, 'USAGE') \
    ORDER BY 1 LIMIT 1000";

/// Finds and describes `name`, resolved through the search path.
///
/// # Errors
/// [`Kind::StreamMissing`] when there is no such table or view.
pub(super) async fn find(session: &Session, name: &str) -> Result<Found, Error> {
    if name.starts_with('(') {
        return statement(session, name).await;
    }
    let relation = relation(session, name).await?;
    let oid: u32 = get(&relation, 0)?;
    let table = Table { schema: Ident(get(&relation, 1)?), name: Ident(get(&relation, 2)?) };
    let columns = columns(session, OF_TABLE, oid.to_string()).await?;
    let mut stream = Stream {
        name: name.to_owned(),
        id: format!("{}.{}", table.schema.0, table.name.0),
        dialect: Some("postgres"),
        fields: columns.iter().map(|c| c.field.clone()).collect(),
        ..Stream::default()
    };
    // -1: never counted
    let estimate: f64 = get(&relation, 4)?;
    stream.records = (estimate >= 0.0).then_some(estimate as u64);
    indexes(session, oid, &mut stream).await?;
    notes(&relation, &mut stream)?;
    for field in &mut stream.fields {
        field.limits.indexed = stream.indexed.contains(&field.name);
    }
    let (kind, has_children): (String, bool) = (get(&relation, 3)?, get(&relation, 8)?);
    let ordinary = kind == "r" && !has_children;
    Ok(Found { table: Relation::Table(table), ordinary, stream, columns })
}

/// A statement in parentheses as a stream: its columns are those that the server describes. It has no key of its own.
async fn statement(session: &Session, text: &str) -> Result<Found, Error> {
    let prepared = session.prepare(&format!("SELECT * FROM {text} AS t")).await;
    let prepared = prepared.map_err(|e| e.context("the source statement"))?;
    let columns = of_statement(session, &prepared).await?;
    for (at, column) in columns.iter().enumerate() {
        if columns[..at].iter().any(|c| c.field.name == column.field.name) {
            let message = format!("the source statement has two columns {:?}", column.field.name);
            return Err(Error::new(Kind::Definition, message).hint("name one of them differently with AS"));
        }
    }
    let stream = Stream {
        name: text.to_owned(),
        id: text.to_owned(),
        dialect: Some("postgres"),
        fields: columns.iter().map(|c| c.field.clone()).collect(),
        ..Stream::default()
    };
    Ok(Found { table: Relation::Statement(text.to_owned()), ordinary: false, stream, columns })
}

/// The columns of a prepared statement, in order.
pub(super) async fn of_statement(session: &Session, prepared: &Statement) -> Result<Vec<Column>, Error> {
    let described = prepared.columns().iter().enumerate().map(|(at, c)| {
        serde_json::json!({
            "attnum": at + 1, "name": c.name(), "type": c.type_().oid(), "modifier": c.type_modifier(),
        })
    });
    let described = serde_json::Value::Array(described.collect()).to_string();
    columns(session, OF_STATEMENT, described).await
}

/// As the server would read the name; where that finds nothing, as it is written: a table that was made with quotes
/// around capitals is found without them.
async fn relation(session: &Session, name: &str) -> Result<Row, Error> {
    let unusable = || {
        Error::new(Kind::Definition, format!("stream {name:?}: this is not the name of a table"))
            .hint(r#"write table, schema.table or "Schema"."Table""#)
    };
    let too_long = |part: &String| !POSTGRES.name_max.holds(part);
    if sql::table_parts(name).into_iter().flatten().any(|part| too_long(&part)) {
        // the server would cut it off, and find another table
        let message = format!("stream {name:?}: names have at most {}", POSTGRES.name_max);
        return Err(Error::new(Kind::Definition, message).hint("check the name"));
    }
    for exact in [false, true] {
        let quoted = sql::table_name(name, exact).ok_or_else(unusable)?;
        let rows = session.rows(RELATION, &[Param::Text(quoted)]).await;
        if let Some(row) = rows.map_err(|e| e.context(format_args!("stream {name:?}")))?.into_iter().next() {
            return Ok(row);
        }
    }
    Err(Error::new(Kind::StreamMissing, format!("stream {name:?}: there is no table or view of this name"))
        .hint("check name, schema and search path; a name with capitals made in quotes needs the quotes"))
}

fn get<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, Error> {
    row.try_get(index).map_err(|e| error::of(&e))
}

async fn columns(session: &Session, of: &str, which: String) -> Result<Vec<Column>, Error> {
    let rows = session.rows(&COLUMNS.replace("{columns}", of), &[Param::Text(which)]).await?;
    let mut columns = Vec::new();
    let mut steps: Vec<Step> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        steps.push(Step::of(row)?);
        let last = match rows.get(at + 1) {
            Some(next) => get::<i32>(next, 8)? == 0,
            None => true,
        };
        if last {
            let mut column = column(get(row, 0)?, get(row, 1)?, get(row, 2)?, &steps);
            let (computed, filled): (bool, bool) = (get(row, 9)?, get(row, 10)?);
            column.field.limits.read_only = computed;
            column.field.limits.required = !column.field.nullable && !filled && !computed;
            columns.push(column);
            steps.clear();
        }
    }
    Ok(columns)
}

/// One step from a column's type towards its base type.
#[derive(Debug, Clone)]
struct Step {
    modifier: i32,
    name: String,
    schema: String,
    kind: String,
    is_array: bool,
}

impl Step {
    fn of(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            modifier: get(row, 3)?,
            name: get(row, 4)?,
            schema: get(row, 5)?,
            kind: get(row, 6)?,
            is_array: get(row, 7)?,
        })
    }
}

fn column(name: String, not_null: bool, shown: String, steps: &[Step]) -> Column {
    let arrays = steps.iter().filter(|s| s.is_array).count();
    let base = steps.last();
    let scalar = base.map_or_else(
        || Native::of("", true, false),
        |b| Native::of(&b.name, b.schema == "pg_catalog", b.kind == "e"),
    );
    let native = match arrays {
        0 => scalar,
        1 => scalar.list(),
        // an array of a domain over an array: as its text
        _ => Native { codec: Codec::Text, select_as: Some("text"), sortable: false },
    };
    // parameters are compared with the column as what it is below its domains
    let below_domains = steps.iter().find(|s| s.kind != "d");
    let qualified = below_domains
        .map(|s| format!("{}.{}", Ident(s.schema.clone()), Ident(s.name.clone())))
        .unwrap_or_default();
    let (bind_as, compare_as) = match (native.select_as, &native.codec) {
        (Some(kind), _) => (kind.to_owned(), Some(qualified)),
        // the widest of the family: a start that lies outside the column's own type is still a number
        (None, Codec::Int2 | Codec::Int4 | Codec::Int8) => ("int8".to_owned(), None),
        (None, Codec::Float4 | Codec::Float8) => ("float8".to_owned(), None),
        (None, _) => (qualified, None),
    };
    let kind = native.codec.field_type(base.map_or(-1, |b| b.modifier));
    let mut field = Field::new(name.clone(), kind, !not_null);
    // types of others are nowhere else
    let builtin = steps.iter().all(|s| s.kind != "d" && s.schema == "pg_catalog");
    field.native = builtin.then(|| shown.clone());
    field.limits = limits(&native.codec, base);
    Column {
        sql: ColumnSql { name: Ident(name), select_as: native.select_as, bind_as, compare_as },
        field,
        codec: native.codec,
        sortable: native.sortable,
        shown,
    }
}

/// What a column of this type demands of the values that are written into it.
fn limits(codec: &Codec, base: Option<&Step>) -> Limits {
    let range = |min: f64, max: f64| Limits { minimum: Some(min), maximum: Some(max), ..Limits::default() };
    match codec {
        Codec::Int2 => range(i16::MIN.into(), i16::MAX.into()),
        Codec::Int4 => range(i32::MIN.into(), i32::MAX.into()),
        Codec::Oid => range(0.0, u32::MAX.into()),
        Codec::Text => {
            let declared = base.filter(|b| matches!(b.name.as_str(), "varchar" | "bpchar") && b.modifier > 4);
            let max_chars = declared.and_then(|b| usize::try_from(b.modifier - 4).ok());
            Limits { no_nul: true, max_chars, ..Limits::default() }
        }
        Codec::Json | Codec::Jsonb => Limits { valid_json: true, ..Limits::default() },
        Codec::Date | Codec::Timestamp | Codec::Timestamptz => {
            Limits { years: Some((-4712, 294_275)), infinity: true, ..Limits::default() }
        }
        Codec::List(of) => limits(of, base),
        Codec::Bool | Codec::Int8 | Codec::Float4 | Codec::Float8 | Codec::Numeric | Codec::Bytea => {
            Limits::default()
        }
        Codec::Time | Codec::Uuid => Limits::default(),
    }
}

async fn indexes(session: &Session, oid: u32, stream: &mut Stream) -> Result<(), Error> {
    for row in session.rows(INDEXES, &[Param::Text(oid.to_string())]).await? {
        let name: String = get(&row, 0)?;
        let columns: Vec<String> = get(&row, 4)?;
        let (primary, unique, ordered): (bool, bool, bool) = (get(&row, 1)?, get(&row, 2)?, get(&row, 3)?);
        if let Some(first) = columns.first().filter(|c| ordered && !c.is_empty())
            && !stream.indexed.contains(first)
        {
            stream.indexed.push(first.clone());
        }
        // A deferred primary key is broken only inside the transaction that defers it, which no reader sees.
        if primary {
            stream.primary_key = columns;
        } else if unique {
            stream.unique.push((name, columns));
        }
    }
    Ok(())
}

fn notes(relation: &Row, stream: &mut Stream) -> Result<(), Error> {
    let kind: String = get(relation, 3)?;
    let (populated, readable, filtered, has_children, sees_all): (bool, bool, bool, bool, bool) =
        (get(relation, 5)?, get(relation, 6)?, get(relation, 7)?, get(relation, 8)?, get(relation, 9)?);
    let mut note = |applies: bool, text: &str| {
        if applies {
            stream.notes.push(text.to_owned());
        }
    };
    note(!readable, "This role may not read it: grant SELECT on it.");
    note(!populated, "The materialised view was never filled: REFRESH MATERIALIZED VIEW.");
    note(
        filtered,
        "Row level security hides records from this role: what is hidden looks deleted to a full listing.",
    );
    note(
        !sees_all,
        "This role does not see when other roles' transactions began: while any of them is connected, incremental \
         reads stop the configured lag below now; GRANT pg_read_all_stats to it for the exact bound.",
    );
    note(kind == "v", "A view has no key of its own: name key columns that are unique.");
    note(
        has_children,
        "Other tables inherit from it, and their records are listed with it: no constraint of the parent makes a key \
         unique among all of them.",
    );
    if has_children {
        stream.primary_key.clear();
        stream.unique.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use syncline_core::schema::FieldType;

    use super::*;

    fn step(name: &str, kind: &str, is_array: bool) -> Step {
        Step { modifier: -1, name: name.into(), schema: "pg_catalog".into(), kind: kind.into(), is_array }
    }

    #[test]
    fn domains_and_arrays_lead_to_their_base() {
        let amount = Step { modifier: (12 << 16 | 2) + 4, ..step("numeric", "b", false) };
        let domain = Step { schema: "public".into(), ..step("money_t", "d", false) };
        let c = column("a".into(), true, "money_t".into(), &[domain.clone(), amount.clone()]);
        assert_eq!(c.field.kind, FieldType::Decimal { precision: Some(12), scale: Some(2) });
        assert_eq!(c.sql.bind_as, r#""pg_catalog"."numeric""#);
        let c = column("a".into(), true, "money_t[]".into(), &[step("_money_t", "b", true), domain, amount]);
        assert_eq!(c.codec, Codec::List(Box::new(Codec::Numeric)));
        assert_eq!(c.sql.bind_as, r#""pg_catalog"."_money_t""#);
    }

    #[test]
    fn what_has_no_type_of_its_own_travels_as_text() {
        let c = column("a".into(), false, "inet".into(), &[step("inet", "b", false)]);
        assert_eq!((c.sql.select_as, c.sql.bind_as.as_str()), (Some("text"), "text"));
        assert_eq!(c.sql.compare_as.as_deref(), Some(r#""pg_catalog"."inet""#));
        assert!(c.field.nullable && c.sortable);
        let c =
            column("a".into(), false, "inet[]".into(), &[step("_inet", "b", true), step("inet", "b", false)]);
        assert_eq!(
            (c.sql.select_as, c.field.kind),
            (Some("text[]"), FieldType::List(Box::new(FieldType::Text)))
        );
        let c = column("a".into(), false, "xml".into(), &[step("xml", "b", false)]);
        assert!(!c.sortable);
    }
}
