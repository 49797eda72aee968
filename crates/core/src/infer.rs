//! The type of an expression's value, as far as its text tells: what a column is created with.

use cel::{
    IdedExpr,
    common::ast::{CallExpr, Expr as Ast, LiteralValue},
};

use crate::{functions, schema::FieldType};

/// The type of `expr`, where `column` gives the types of its variables; `None`: it may be any.
pub(crate) fn kind(expr: &IdedExpr, column: &dyn Fn(&str) -> Option<FieldType>) -> Option<FieldType> {
    match &expr.expr {
        Ast::Ident(name) => column(name),
        Ast::Literal(LiteralValue::Boolean(_)) => Some(FieldType::Boolean),
        Ast::Literal(LiteralValue::Int(_) | LiteralValue::UInt(_)) => Some(FieldType::Int64),
        Ast::Literal(LiteralValue::Double(_)) => Some(FieldType::Float64),
        Ast::Literal(LiteralValue::String(_)) => Some(FieldType::Text),
        Ast::Literal(LiteralValue::Bytes(_)) => Some(FieldType::Binary),
        Ast::Call(call) => of_call(call, column),
        _ => None,
    }
}

fn of_call(call: &CallExpr, column: &dyn Fn(&str) -> Option<FieldType>) -> Option<FieldType> {
    let argument = |n: usize| call.args.get(n).and_then(|a| kind(a, column));
    match call.func_name.as_str() {
        "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" | "_&&_" | "_||_" | "!_" | "@in" | "contains"
        | "startsWith" | "endsWith" | "matches" | "bool" | "is_email" => Some(FieldType::Boolean),
        "size" | "int" | "uint" | "indexOf" | "lastIndexOf" | "getFullYear" | "getMonth" | "getDate"
        | "getDayOfMonth" | "getHours" | "getMinutes" | "getSeconds" => Some(FieldType::Int64),
        "double" => Some(FieldType::Float64),
        "string" | "upperAscii" | "lowerAscii" | "trim" | "replace" | "substring" | "charAt" | "join"
        | "format" | "quote" | "reverse" => Some(FieldType::Text),
        name if functions::gives_text(name) => Some(FieldType::Text),
        "timestamp" => Some(FieldType::Timestamp { zoned: true }),
        "_?_:_" => {
            let (yes, no) = (argument(1), argument(2));
            // a null branch says nothing
            if yes == no || no.is_none() { yes } else { no.filter(|_| yes.is_none()) }
        }
        "_+_" | "_-_" | "_*_" | "_/_" | "_%_" => match (argument(0)?, argument(1)?) {
            // expressions see decimals as doubles
            (FieldType::Float64 | FieldType::Decimal { .. }, _)
            | (_, FieldType::Float64 | FieldType::Decimal { .. }) => Some(FieldType::Float64),
            (a, b) if a == b => Some(a),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::{expr::Expr, schema::FieldType};

    #[test]
    fn types_follow_from_the_text() {
        let column = |name: &str| match name {
            "n" => Some(FieldType::Int64),
            "amount" => Some(FieldType::Decimal { precision: Some(14), scale: Some(2) }),
            "name" => Some(FieldType::Text),
            _ => None,
        };
        for (text, expected) in [
            ("name.upperAscii()", Some(FieldType::Text)),
            ("name == 'a' && n > 3", Some(FieldType::Boolean)),
            ("n * 2 + 1", Some(FieldType::Int64)),
            ("amount * 1.5", Some(FieldType::Float64)),
            ("name + '-x'", Some(FieldType::Text)),
            ("n > 3 ? 'many' : 'few'", Some(FieldType::Text)),
            ("n > 3 ? name : null", Some(FieldType::Text)),
            ("size(name)", Some(FieldType::Int64)),
            ("name in ['a', 'b']", Some(FieldType::Boolean)),
            ("other", None),
        ] {
            assert_eq!(Expr::compile(text).expect(text).kind(column), expected, "{text}");
        }
    }
}
