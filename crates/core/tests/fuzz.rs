//! Expressions of any bytes: compiled and evaluated, they give a value or a reason.

use std::borrow::Cow;

use syncline_core::{
    expr::{Expr, LENGTH_MAX},
    value::Value,
};

use crate::fuzzing;

/// In every text of the record; must be in no error.
const CANARY: &str = "c4n4ry";

const DICTIONARY: &[&str] = &[
    "==",
    "!=",
    "<=",
    ">=",
    "&&",
    "||",
    "?",
    "in ",
    ".map(x, ",
    ".filter(x, ",
    ".all(x, ",
    ".exists(x, ",
    ".exists_one(x, y, ",
    "has(",
    "size(",
    ".size()",
    ".replace('', ",
    ".split('')",
    ".join(",
    ".format([",
    ".matches('",
    "(a*)*",
    "{1000}",
    "\\\\w{20}",
    ".substring(",
    ".charAt(",
    ".indexOf(",
    "timestamp(",
    "duration('",
    "999999h",
    "string(",
    "int(",
    "uint(",
    "double(",
    "bytes(",
    "b'",
    "r'",
    "'''",
    "\"\"\"",
    "1u",
    "0xffffffffffffffff",
    "n",
    "at",
    "tags",
    "notes",
    "status",
    "amount",
    "x + x",
    "[?",
    ".?",
    "optional.of(",
    "cel.bind(x, ",
    "//",
    "@result",
    "__result__",
    ".getHours('+14:00')",
    "type(",
    "dyn(",
];

fn record(name: &str) -> Value<'static> {
    let text = |text: &str| Value::Text(Cow::Owned(format!("{CANARY} {text}")));
    match name {
        "status" | "name" | "city" | "kind" | "owner_email" => text("Active@contoso.com"),
        "notes" => text(&"lorem ipsum, ".repeat(300)),
        "tags" => Value::List((0..40).map(|i| text(&"é".repeat(i))).collect()),
        "n" | "id" => Value::Int64(i64::MIN + 1),
        "amount" | "budget_amount" => Value::Decimal("12345678901234567890.12".into()),
        "archived" => Value::Boolean(true),
        "at" => Value::Timestamp { micros: 253_402_300_799_999_999, zoned: true },
        "day" => Value::Date(i32::MAX),
        "json" => Value::Json(format!("{{\"a\":\"{CANARY}\"}}").into()),
        "raw" => Value::Binary(CANARY.as_bytes().to_vec().into()),
        "ratio" => Value::Float64(f64::NAN),
        _ => Value::Null,
    }
}

fn nothing(_: &str) -> Value<'static> {
    Value::Null
}

fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let expr = match Expr::compile(&text) {
        Ok(expr) => expr,
        Err(error) => {
            assert!(!error.message.is_empty());
            assert!(error.offset.is_none_or(|at| at <= text.len()), "a place outside: {error:?}");
            return;
        }
    };
    assert!(text.len() <= LENGTH_MAX);
    assert_eq!(expr.text(), text);
    assert!(expr.variables().is_sorted());
    for record in [record, nothing] {
        let first = expr.evaluate(record);
        assert_eq!(
            format!("{first:?}"),
            format!("{:?}", expr.evaluate(record)),
            "the same record, another outcome"
        );
        match first {
            Ok(value) => assert_eq!(expr.test(record).is_ok(), matches!(value, Value::Boolean(_))),
            Err(why) => assert!(!why.contains(CANARY), "a value is in the error: {why}"),
        }
    }
}

#[test]
fn expressions() {
    fuzzing::run("cel", &[], DICTIONARY, check);
}
