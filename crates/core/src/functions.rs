//! The functions of expressions beside those of CEL: what [`normalise`] does, on values. A null gives null.

use cel::{
    DeclarationError, Env, ExecutionError,
    common::{
        types::{BOOL_TYPE, CelBool, CelNull, CelString, DYN_TYPE, NULL_TYPE, STRING_TYPE},
        value::CowVal,
    },
};

use crate::normalise;

/// The functions that take a text and give one, in the order of the alphabet: what a field's `transform` may name.
pub const TRANSFORMS: &[&str] = &["domain", "email", "lower", "nfc", "trim"];

/// Longest result of those that give an address or a domain, in bytes.
pub(crate) const RESULT_MAX: usize = 254;

/// Whether a call of this function gives a text.
pub(crate) fn gives_text(name: &str) -> bool {
    TRANSFORMS.contains(&name)
}

/// Declares the functions in an environment that has the strings extension: `trim` is a method there.
///
/// # Errors
/// A name is taken.
pub(crate) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    for name in TRANSFORMS {
        env.add_overload(name, &format!("{name}_null"), vec![NULL_TYPE], null)?;
        env.add_member_overload(name, &format!("{name}_of_null"), NULL_TYPE, vec![], null)?;
    }
    both(env, "domain", |args| Ok(text_or_null(normalise::domain(text(&args, 0)?, false))))?;
    both(env, "email", |args| Ok(text_or_null(normalise::email(text(&args, 0)?))))?;
    both(env, "lower", |args| Ok(given(normalise::lower(text(&args, 0)?))))?;
    both(env, "nfc", |args| Ok(given(normalise::nfc(text(&args, 0)?))))?;
    env.add_overload("trim", "trim_string", vec![STRING_TYPE], |args| {
        Ok(given(normalise::trim(text(&args, 0)?)))
    })?;
    env.add_overload("domain", "domain_string_bool", vec![STRING_TYPE, BOOL_TYPE], |args| {
        let private = args[1].downcast_ref::<CelBool>().is_some_and(|private| *private.inner());
        Ok(text_or_null(normalise::domain(text(&args, 0)?, private)))
    })?;
    env.add_overload("domain", "domain_null_any", vec![NULL_TYPE, DYN_TYPE], null)?;
    // A condition: what is not there is no address.
    env.add_overload("is_email", "is_email_string", vec![STRING_TYPE], |args| {
        Ok(CowVal::owned(CelBool::from(normalise::is_email(text(&args, 0)?))))
    })?;
    env.add_overload("is_email", "is_email_null", vec![NULL_TYPE], |_| {
        Ok(CowVal::owned(CelBool::from(false)))
    })
}

type Function = for<'b, 'v> fn(Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError>;

/// `name(text)` and `text.name()`.
fn both(env: &mut Env, name: &str, function: Function) -> Result<(), DeclarationError> {
    env.add_overload(name, &format!("{name}_string"), vec![STRING_TYPE], function)?;
    env.add_member_overload(name, &format!("{name}_of_string"), STRING_TYPE, vec![], function)
}

fn null<'b, 'v>(_: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    Ok(CowVal::owned(CelNull))
}

/// An argument that was declared as a text.
fn text<'a>(args: &'a [CowVal<'_, '_>], at: usize) -> Result<&'a str, ExecutionError> {
    let text = args[at].downcast_ref::<CelString<'_>>().map(CelString::inner);
    text.ok_or_else(|| ExecutionError::UnexpectedType {
        got: args[at].get_type().name().to_owned(),
        want: "string".to_owned(),
    })
}

fn given<'b, 'v>(text: impl Into<String>) -> CowVal<'b, 'v> {
    CowVal::owned(CelString::from(text.into()))
}

fn text_or_null<'b, 'v>(text: Option<String>) -> CowVal<'b, 'v> {
    text.map_or_else(|| CowVal::owned(CelNull), given)
}

#[cfg(test)]
mod tests {
    use crate::{expr::Expr, schema::FieldType, value::Value};

    fn record(name: &str) -> Value<'static> {
        match name {
            "email" => Value::Text(" Ann@KT.KPMG.com".into()),
            "bad" => Value::Text("ann at kpmg".into()),
            "host" => Value::Text("x.ann.github.io".into()),
            "name" => Value::Text(" E\u{301}VA ".into()),
            "n" => Value::Int64(3),
            _ => Value::Null,
        }
    }

    #[test]
    fn as_users_write_them() {
        let text = |text: &'static str| Value::Text(text.into());
        for (source, expected) in [
            ("trim(name)", text("E\u{301}VA")),
            ("name.trim()", text("E\u{301}VA")),
            ("lower(name)", text(" e\u{301}va ")),
            ("name.lower().trim().nfc()", text("éva")),
            ("nfc(lower(trim(name)))", text("éva")),
            ("email(email)", text("ann@kt.kpmg.com")),
            ("email.email()", text("ann@kt.kpmg.com")),
            ("email(bad)", Value::Null),
            ("is_email(email)", Value::Boolean(true)),
            ("is_email(bad)", Value::Boolean(false)),
            ("is_email(nothing)", Value::Boolean(false)),
            ("domain(email)", text("kpmg.com")),
            ("domain(email(email))", text("kpmg.com")),
            ("domain(bad)", Value::Null),
            ("domain(host)", text("github.io")),
            ("domain(host, false)", text("github.io")),
            ("domain(host, true)", text("ann.github.io")),
            ("email(email) == null ? 'none' : domain(email(email))", text("kpmg.com")),
            ("[email, bad].filter(e, is_email(e)).map(e, domain(e))", Value::List(vec![text("kpmg.com")])),
        ] {
            assert_eq!(Expr::compile(source).unwrap().evaluate(record), Ok(expected), "{source}");
        }
    }

    #[test]
    fn null_gives_null_and_other_values_an_error() {
        for name in super::TRANSFORMS {
            for source in [format!("{name}(nothing)"), format!("nothing.{name}()")] {
                assert_eq!(Expr::compile(&source).unwrap().evaluate(record), Ok(Value::Null), "{source}");
            }
            let error = Expr::compile(&format!("{name}(n)")).unwrap().evaluate(record).unwrap_err();
            assert!(error.contains("types do not fit"), "{name}: {error}");
        }
        assert_eq!(Expr::compile("domain(nothing, true)").unwrap().evaluate(record), Ok(Value::Null));
    }

    #[test]
    fn types_are_told() {
        for (source, expected) in [
            ("email(email)", FieldType::Text),
            ("domain(email, true)", FieldType::Text),
            ("name.trim().lower()", FieldType::Text),
            ("is_email(email)", FieldType::Boolean),
        ] {
            assert_eq!(Expr::compile(source).unwrap().kind(|_| None), Some(expected), "{source}");
        }
    }
}
