//! Conditions: expressions that are true or false.

use syncline_core::expr::Expr;

use crate::reader::{Reader, Record};

/// A condition: an expression that can be true or false.
pub(crate) fn condition(reader: &mut Reader<'_>, record: &Record<'_>, name: &str) -> Option<Expr> {
    let expr = record.expression(reader, name)?;
    let spot = record.get(name)?;
    if let (true, Err(why)) = (expr.variables().is_empty(), test(&expr)) {
        reader.error(
            spot.node.place,
            &spot.path,
            format!("{} is not a condition: it {why}", spot.path),
            None,
        );
        return None;
    }
    Some(expr)
}

fn test(expr: &Expr) -> Result<bool, String> {
    expr.test(|_| syncline_core::value::Value::Null)
}

/// The value of a condition that no column can change.
pub(crate) fn constant(expr: &Expr) -> Option<bool> {
    if expr.variables().is_empty() { test(expr).ok() } else { None }
}
