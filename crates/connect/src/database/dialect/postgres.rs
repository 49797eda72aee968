//! PostgreSQL 14 or newer. <https://www.postgresql.org/docs/current/sql.html>

use syncline_core::schema::{FieldType, Limits};

use super::{Dialect, Length, UpdateForm};
use crate::database::Column;

/// The facts.
pub static POSTGRES: Dialect = Dialect {
    name: "postgres",
    quotes: ('"', '"'),
    // NAMEDATALEN less the closing zero; the server would cut a longer one off
    name_max: Length::Bytes(63),
    transactional_ddl: true,
    parameter: |n| format!("${n}"),
    declare,
    limits,
    differ,
    same: |left, right| format!("{left} = {right}"),
    as_text: |value| format!("{value}::text"),
    limited: |select, limit| format!("SELECT {select} LIMIT {limit}"),
    update: UpdateForm::From,
    delete_names_alias: false,
    alias: "AS ",
    create_staging: ("CREATE UNLOGGED TABLE", "CREATE TEMPORARY TABLE"),
    session_table: ("", ""),
    nullable: "",
    table_suffix: "",
    retype: |table, column, declared, _| format!("ALTER TABLE {table} ALTER {column} TYPE {declared}"),
    drop_table: |table| format!("DROP TABLE IF EXISTS {table}"),
    merge: None,
    now: "now()",
    truth: "true",
    falsehood: "false",
    boolean: "boolean",
    own_types: ("text", "text", "bigint"),
    // what `after` statements lock first they then see as others have left it
    begin: "BEGIN ISOLATION LEVEL READ COMMITTED",
    for_update: " FOR UPDATE",
    widens,
};

fn declare(kind: &FieldType, _: bool) -> String {
    match kind {
        FieldType::Boolean => "boolean".into(),
        FieldType::Int64 => "bigint".into(),
        FieldType::Float64 => "double precision".into(),
        FieldType::Decimal { precision: Some(p), scale: Some(s) } if *p <= 1000 && s <= p => {
            format!("numeric({p},{s})")
        }
        FieldType::Decimal { .. } => "numeric".into(),
        FieldType::Text => "text".into(),
        FieldType::Binary => "bytea".into(),
        FieldType::Date => "date".into(),
        FieldType::Time => "time without time zone".into(),
        FieldType::Timestamp { zoned: true } => "timestamp with time zone".into(),
        FieldType::Timestamp { zoned: false } => "timestamp without time zone".into(),
        FieldType::Uuid => "uuid".into(),
        FieldType::Json => "jsonb".into(),
        FieldType::List(of) => format!("{}[]", declare(of, false)),
    }
}

/// See `describe::limits` of the connector, which knows more of tables that exist.
fn limits(column: &Column) -> Limits {
    // the elements of an array have those of their type
    let kind = match &column.kind {
        FieldType::List(of) => of,
        kind => kind,
    };
    match kind {
        FieldType::Text => {
            let max_chars = parts(column.declared.trim_end_matches("[]"))
                .1
                .first()
                .and_then(|n| usize::try_from(*n).ok());
            Limits { no_nul: true, max_chars, ..Limits::default() }
        }
        FieldType::Json => Limits { valid_json: true, ..Limits::default() },
        FieldType::Date | FieldType::Timestamp { .. } => {
            Limits { years: Some((-4712, 294_275)), infinity: true, ..Limits::default() }
        }
        _ => Limits::default(),
    }
}

/// Types without an equality are compared as their text.
fn differ(left: &str, right: &str, column: &Column) -> String {
    let without_equality = ["json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle"];
    let base = column.declared.trim_end_matches("[]");
    if without_equality.contains(&base) {
        return format!("{left}::text IS DISTINCT FROM {right}::text");
    }
    format!("{left} IS DISTINCT FROM {right}")
}

/// A type and its length or digits: `numeric(14,2)`.
fn parts(declared: &str) -> (&str, Vec<u32>) {
    let Some((name, rest)) = declared.split_once('(') else { return (declared, Vec::new()) };
    let (numbers, after) = rest.split_once(')').unwrap_or((rest, ""));
    let numbers = numbers.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    // timestamp(3) without time zone: the words after the brackets belong to the name
    if after.is_empty() { (name, numbers) } else { (declared, numbers) }
}

fn widens(from: &str, to: &str) -> bool {
    let ((a, given), (b, wanted)) = (parts(from), parts(to));
    let texts = ["character varying", "character", "text", "name"];
    let whole = ["smallint", "integer", "bigint"];
    let place = |name: &str| whole.iter().position(|n| *n == name);
    match (a, b) {
        _ if from == to => false,
        ("numeric", "numeric") => match (given.as_slice(), wanted.as_slice()) {
            (_, []) => true,
            ([p, s], [q, t]) => t >= s && q.saturating_sub(*t) >= p.saturating_sub(*s),
            _ => false,
        },
        (a, "text") => texts.contains(&a),
        ("character varying", "character varying") => match (given.as_slice(), wanted.as_slice()) {
            (_, []) => true,
            ([n], [m]) => m > n,
            _ => false,
        },
        ("real", "double precision") => true,
        (a, "numeric") => place(a).is_some() && wanted.is_empty(),
        (a, b) => matches!((place(a), place(b)), (Some(x), Some(y)) if y > x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wider_types_are_wider() {
        for (from, to, expected) in [
            ("integer", "bigint", true),
            ("bigint", "integer", false),
            ("bigint", "bigint", false),
            ("smallint", "numeric", true),
            ("bigint", "numeric(10,0)", false),
            ("numeric(10,2)", "numeric(14,2)", true),
            ("numeric(10,2)", "numeric(11,4)", false),
            ("numeric(10,2)", "numeric", true),
            ("numeric", "numeric(10,2)", false),
            ("character varying(10)", "character varying(20)", true),
            ("character varying(20)", "character varying(10)", false),
            ("character varying(20)", "text", true),
            ("text", "character varying(20)", false),
            ("real", "double precision", true),
            ("timestamp without time zone", "timestamp with time zone", false),
            ("integer", "text", false),
        ] {
            assert_eq!(widens(from, to), expected, "{from} to {to}");
        }
    }
}
