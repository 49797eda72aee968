//! Files: no SQL at all. Types are the words of our own schemas; nothing is ever rendered from the rest.

use syncline_core::schema::{FieldType, Limits};

use super::{Dialect, Length, UpdateForm};

/// The facts.
pub static FILES: Dialect = Dialect {
    name: "files",
    quotes: ('"', '"'),
    name_max: Length::Bytes(1000),
    transactional_ddl: true,
    parameter: |n| format!("?{n}"),
    declare: |kind, _| kind.to_string(),
    // a decimal of fixed digits is a number in every format, Parquet among them
    // what is not JSON would break its line of JSON Lines
    limits: |column| Limits {
        valid_json: column.kind == FieldType::Json,
        finite: matches!(column.kind, FieldType::Decimal { precision: Some(_), scale: Some(_) }),
        ..Limits::default()
    },
    differ: |left, right, _| format!("{left} IS DISTINCT FROM {right}"),
    same: |left, right| format!("{left} = {right}"),
    as_text: |value| format!("CAST({value} AS TEXT)"),
    limited: |select, limit| format!("SELECT {select} LIMIT {limit}"),
    update: UpdateForm::From,
    delete_names_alias: false,
    alias: "AS ",
    create_staging: ("CREATE TABLE", "CREATE TABLE"),
    session_table: ("", ""),
    table_suffix: "",
    nullable: "",
    retype: |_, _, _, _| String::new(),
    drop_table: |table| format!("DROP TABLE IF EXISTS {table}"),
    merge: None,
    now: "CURRENT_TIMESTAMP",
    truth: "TRUE",
    falsehood: "FALSE",
    boolean: "boolean",
    own_types: ("text", "text", "int64"),
    begin: "BEGIN",
    for_update: "",
    widens: |_, _| false,
};
