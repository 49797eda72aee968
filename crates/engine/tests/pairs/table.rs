//! `docs/types.md` against the code.

use syncline_connect::database::dialect::{
    Dialect, files::FILES, mysql::MYSQL, postgres::POSTGRES, sqlite::SQLITE,
};

use super::FieldType;

const DOCS: &str = include_str!("../../../../docs/types.md");

/// The lines of a table below a heading, less its head.
fn rows(heading: &str) -> Vec<&'static str> {
    let (_, section) = DOCS.split_once(&format!("\n{heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    section.lines().filter(|line| line.starts_with("| ")).skip(2).collect()
}

/// Whether a record may be parked for this reason: one of the documented ones is part of it.
pub(super) fn documented(why: &str) -> bool {
    let reason = |row: &&str| row.split('`').nth(1).is_some_and(|reason| holds(why, reason));
    rows("## Why a value is parked").iter().any(reason)
}

/// Whether the parts of `reason`, around `…`, stand in `why` in their order.
fn holds(why: &str, reason: &str) -> bool {
    let mut rest = Some(why);
    for part in reason.split('…') {
        rest = rest.and_then(|rest| rest.split_once(part)).map(|(_, after)| after);
    }
    rest.is_some()
}

#[test]
fn reasons_have_gaps() {
    assert!(holds(
        "field \"a\": the text has 7 characters, 5 are allowed",
        "the text has … characters, … are allowed"
    ));
    assert!(!holds("the text has 7 characters", "the text has … characters, … are allowed"));
}

#[test]
fn the_table_of_created_types_is_that_of_the_code() {
    let decimal = |precision, scale| FieldType::Decimal { precision, scale };
    let kinds = [
        FieldType::Boolean,
        FieldType::Int64,
        FieldType::Float64,
        decimal(Some(14), Some(2)),
        decimal(None, None),
        FieldType::Text,
        FieldType::Binary,
        FieldType::Date,
        FieldType::Time,
        FieldType::Timestamp { zoned: true },
        FieldType::Timestamp { zoned: false },
        FieldType::Uuid,
        FieldType::Json,
        FieldType::List(Box::new(FieldType::Int64)),
    ];
    let created = |kind: &FieldType| {
        let of = |dialect: &Dialect| format!("`{}`", (dialect.declare)(kind, false));
        format!("| {kind} | {} | {} | {} | {} |", of(&POSTGRES), of(&MYSQL), of(&SQLITE), of(&FILES))
    };
    let expected: Vec<String> = kinds.iter().map(created).collect();
    let shown = expected.join("\n");
    assert_eq!(rows("## What a column becomes"), expected, "docs/types.md should have:\n{shown}");
}
