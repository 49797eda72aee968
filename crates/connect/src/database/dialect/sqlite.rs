//! SQLite 3.35 or newer. <https://www.sqlite.org/lang.html>

use syncline_core::schema::FieldType;

use super::{Dialect, Length, UpdateForm};

/// The facts.
pub static SQLITE: Dialect = Dialect {
    name: "sqlite",
    quotes: ('"', '"'),
    // none of its own; what others can take
    name_max: Length::Bytes(1000),
    transactional_ddl: true,
    parameter: |n| format!("?{n}"),
    declare,
    limits: |_| syncline_core::schema::Limits::default(),
    differ: |left, right, _| format!("{left} IS NOT {right}"),
    same: |left, right| format!("{left} = {right}"),
    as_text: |value| format!("CAST({value} AS TEXT)"),
    limited: |select, limit| format!("SELECT {select} LIMIT {limit}"),
    update: UpdateForm::From,
    delete_names_alias: false,
    alias: "AS ",
    create_staging: ("CREATE TEMPORARY TABLE", "CREATE TEMPORARY TABLE"),
    nullable: "",
    table_suffix: "",
    // a column's type is only a word there
    retype: |_, _, _, _| String::new(),
    drop_table: |table| format!("DROP TABLE IF EXISTS {table}"),
    merge: None,
    now: "strftime('%Y-%m-%d %H:%M:%f+00:00', 'now')",
    truth: "1",
    falsehood: "0",
    boolean: "boolean",
    own_types: ("TEXT", "TEXT", "INTEGER"),
    begin: "BEGIN IMMEDIATE",
    for_update: "",
    widens: |_, _| false,
};

/// The words that our own source reads back as the same types (`sqlite/types.rs`). Those with TEXT in them keep every digit:
/// of a `DECIMAL` SQLite would make a double.
fn declare(kind: &FieldType, _: bool) -> String {
    match kind {
        FieldType::Boolean => "BOOLEAN".into(),
        FieldType::Int64 => "BIGINT".into(),
        FieldType::Float64 => "DOUBLE".into(),
        FieldType::Decimal { precision: Some(p), scale: Some(s) } => format!("DECIMAL_TEXT({p},{s})"),
        FieldType::Decimal { .. } => "DECIMAL_TEXT".into(),
        FieldType::Text => "TEXT".into(),
        FieldType::Binary => "BLOB".into(),
        FieldType::Date => "DATE".into(),
        FieldType::Time => "TIME".into(),
        FieldType::Timestamp { zoned: true } => "TIMESTAMP".into(),
        FieldType::Timestamp { zoned: false } => "TIMESTAMP WITHOUT TIME ZONE".into(),
        FieldType::Uuid => "UUID".into(),
        FieldType::Json | FieldType::List(_) => "JSON_TEXT".into(),
    }
}
