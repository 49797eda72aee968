//! MySQL 8 and MariaDB 10.6 or newer. <https://mariadb.com/kb/en/sql-statements/>

use syncline_core::schema::FieldType;

use super::{Dialect, Length, UpdateForm};
use crate::database::Column;

/// The facts.
pub static MYSQL: Dialect = Dialect {
    name: "mysql",
    quotes: ('`', '`'),
    name_max: Length::Chars(64),
    transactional_ddl: false,
    parameter: |_| "?".to_owned(),
    declare,
    limits: |_| syncline_core::schema::Limits::default(),
    differ,
    same: |left, right| format!("{left} = {right}"),
    as_text: |value| format!("CAST({value} AS CHAR)"),
    limited: |select, limit| format!("SELECT {select} LIMIT {limit}"),
    update: UpdateForm::Join,
    delete_names_alias: true,
    alias: "AS ",
    create_staging: ("CREATE TABLE", "CREATE TEMPORARY TABLE"),
    nullable: "",
    table_suffix: " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
    retype: |table, column, declared, nullable| {
        let null = if nullable { "NULL" } else { "NOT NULL" };
        format!("ALTER TABLE {table} MODIFY {column} {declared} {null}")
    },
    drop_table: |table| format!("DROP TABLE IF EXISTS {table}"),
    merge: None,
    now: "utc_timestamp(6)",
    truth: "1",
    falsehood: "0",
    boolean: "tinyint(1)",
    own_types: ("varchar(190)", "longtext", "bigint"),
    begin: "START TRANSACTION",
    for_update: " FOR UPDATE",
    widens,
};

/// Longest text in a key: with four bytes a character, several of them fit into an index of 3,072 bytes.
const KEY_CHARS: u32 = 190;

fn declare(kind: &FieldType, key: bool) -> String {
    match kind {
        FieldType::Boolean => "tinyint(1)".into(),
        FieldType::Int64 => "bigint".into(),
        FieldType::Float64 => "double".into(),
        FieldType::Decimal { precision: Some(p), scale: Some(s) } if *p <= 65 && *s <= 30 && s <= p => {
            format!("decimal({p},{s})")
        }
        // no bound, or more digits than it has: exact as text only
        FieldType::Decimal { .. } => "decimal(65,30)".into(),
        FieldType::Text if key => format!("varchar({KEY_CHARS})"),
        FieldType::Text => "longtext".into(),
        FieldType::Binary if key => format!("varbinary({})", KEY_CHARS * 4),
        FieldType::Binary => "longblob".into(),
        FieldType::Date => "date".into(),
        FieldType::Time => "time(6)".into(),
        // TIMESTAMP ends in 2038; our sessions are in UTC
        FieldType::Timestamp { .. } => "datetime(6)".into(),
        FieldType::Uuid => "char(36)".into(),
        // its JSON type changes numbers; what is written stays as it is
        FieldType::Json | FieldType::List(_) => "longtext".into(),
    }
}

/// Texts are compared byte by byte: most collations take `a` and `A` for the same.
fn differ(left: &str, right: &str, column: &Column) -> String {
    match column.kind {
        FieldType::Text | FieldType::Json | FieldType::List(_) | FieldType::Uuid => {
            format!("NOT (CAST({left} AS BINARY) <=> CAST({right} AS BINARY))")
        }
        _ => format!("NOT ({left} <=> {right})"),
    }
}

fn widens(from: &str, to: &str) -> bool {
    let whole = ["tinyint", "smallint", "mediumint", "int", "bigint"];
    let texts = ["tinytext", "text", "mediumtext", "longtext"];
    let place = |list: &[&str], name: &str| list.iter().position(|n| *n == name);
    let length = |declared: &str, name: &str| -> Option<u32> {
        declared.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')?.parse().ok()
    };
    let name = |declared: &str| declared.split('(').next().unwrap_or_default().to_owned();
    let (a, b) = (name(from), name(to));
    if let (Some(x), Some(y)) = (place(&whole, &a), place(&whole, &b)) {
        return y > x;
    }
    if let (Some(x), Some(y)) = (place(&texts, &a), place(&texts, &b)) {
        return y > x;
    }
    match (length(from, "varchar"), length(to, "varchar")) {
        (Some(x), Some(y)) => y > x,
        (Some(_), None) => to == "longtext",
        _ => (a == "float" && b == "double") || wider_decimal(from, to),
    }
}

fn wider_decimal(from: &str, to: &str) -> bool {
    let digits = |declared: &str| -> Option<(u32, u32)> {
        let inside = declared.strip_prefix("decimal(")?.strip_suffix(')')?;
        let (p, s) = inside.split_once(',')?;
        Some((p.parse().ok()?, s.parse().ok()?))
    };
    match (digits(from), digits(to)) {
        (Some((p, s)), Some((q, t))) => {
            (q, t) != (p, s) && t >= s && q.saturating_sub(t) >= p.saturating_sub(s)
        }
        _ => false,
    }
}
