//! Expressions over a record: CEL, side-effect free and bounded.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, IdedExpr, Program, Value as Cel,
    common::ast::{EntryExpr, Expr as Ast, MapExpr, StructExpr},
    extensions,
};

use crate::{
    cost::{self, Cost, Size},
    functions, infer,
    schema::FieldType,
    time,
    value::Value,
};

/// Longest expression, in bytes. What it can ask for on one record is bounded by an estimate (`cost`) before it is
/// evaluated.
pub const LENGTH_MAX: usize = 4096;

/// Longest list a comprehension may walk; a record with a longer one is an error on that record.
const LIST_MAX: usize = 10_000;

/// Stands for the column in an expression of [`Expr::transform`].
const STAND_IN: &str = "value";

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings)
        .expect("the strings extension does not clash with the standard library");
    env.add_extension(functions::extension).expect("our functions have names of their own");
    Arc::new(env)
});

/// A compiled expression. Variables are source columns by name.
#[derive(Clone)]
pub struct Expr {
    text: String,
    program: Arc<Program>,
    variables: Vec<String>,
    /// The column that [`STAND_IN`] stands for; its name need not be one that an expression can have.
    column: Option<String>,
    /// Compiled sizes of the patterns that are written down.
    patterns: Arc<BTreeMap<String, usize>>,
    /// Whether its work must be estimated on every record.
    can_grow: bool,
}

impl std::fmt::Debug for Expr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Expr({:?})", self.text)
    }
}

/// An expression that does not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// What is wrong.
    pub message: String,
    /// Byte offset in the expression, where known.
    pub offset: Option<usize>,
}

impl Expr {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Syntax errors, unknown functions, patterns that are none or too large, and expressions that are longer than
    /// [`LENGTH_MAX`] or nested too deeply.
    pub fn compile(text: &str) -> Result<Self, CompileError> {
        if text.len() > LENGTH_MAX {
            let message =
                format!("the expression has {} bytes; at most {LENGTH_MAX} are allowed", text.len());
            return Err(CompileError { message, offset: None });
        }
        let program = ENV.compile(text).map_err(|errors| first_error(text, &errors))?;
        check_depth(&program)?;
        let references = program.references();
        if let Some(unknown) = references.functions().into_iter().find(|f| !known_function(f)) {
            let message = format!("unknown function {unknown}()");
            return Err(CompileError { message, offset: text.find(unknown) });
        }
        let mut variables = BTreeSet::new();
        free_variables(program.expression(), &mut Vec::new(), &mut variables);
        Ok(Self {
            text: text.to_owned(),
            variables: variables.into_iter().collect(),
            column: None,
            patterns: Arc::new(patterns(&program)?),
            can_grow: cost::can_grow(program.expression()),
            program: Arc::new(program),
        })
    }

    /// What [`TRANSFORMS`](functions::TRANSFORMS), the first innermost, make of a column, whatever the name of it looks like.
    ///
    /// # Errors
    /// As [`Expr::compile`].
    pub fn transform(column: &str, functions: &[&str]) -> Result<Self, CompileError> {
        let of =
            |inner: &str| functions.iter().fold(inner.to_owned(), |inner, name| format!("{name}({inner})"));
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let text = if column.chars().all(plain) { of(column) } else { of(&format!("`{column}`")) };
        let compiled = Self::compile(&of(STAND_IN))?;
        Ok(Self { text, variables: vec![column.to_owned()], column: Some(column.to_owned()), ..compiled })
    }

    /// The column that a variable of the program stands for.
    fn column_of<'n>(&'n self, variable: &'n str) -> &'n str {
        self.column.as_deref().unwrap_or(variable)
    }

    /// The expression as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Source columns it reads, sorted.
    pub fn variables(&self) -> &[String] {
        &self.variables
    }

    /// The type of its value, as far as its text and the types of its variables tell; `None`: it may be any.
    pub fn kind(&self, column: impl Fn(&str) -> Option<FieldType>) -> Option<FieldType> {
        infer::kind(self.program.expression(), &|name| column(self.column_of(name)))
    }

    /// Evaluates over a record: `column` gives the value of a variable.
    ///
    /// # Errors
    /// What went wrong, without values: a type error, a null where a value was needed, an overflow, or a record on which
    /// it could take more work or memory than is allowed.
    pub fn evaluate<'a>(&self, column: impl Fn(&str) -> Value<'a>) -> Result<Value<'static>, String> {
        self.check_work(&column)?;
        let mut context = Context::with_env(Arc::clone(&ENV));
        for name in &self.variables {
            let value = to_cel(&column(name)).map_err(|why| format!("`{name}`: {why}"))?;
            let variable = if self.column.is_some() { STAND_IN } else { name };
            context.add_variable_from_value(variable, value);
        }
        let result = self.program.execute(&context).map_err(|e| self.explain(&e, &column))?;
        from_cel(&result)
    }

    fn check_work<'a>(&self, column: &impl Fn(&str) -> Value<'a>) -> Result<(), String> {
        // A work that is not a number is too much as well.
        if !self.can_grow || self.cost(column).work <= cost::WORK_MAX {
            return Ok(());
        }
        let most = cost::WORK_MAX;
        Err(format!(
            "could take more than {most} steps on this record: it loops over too much, or makes too much text"
        ))
    }

    /// An upper bound on what evaluating it over this record takes and makes.
    pub(crate) fn cost<'a>(&self, column: &impl Fn(&str) -> Value<'a>) -> Cost {
        let variable = |name: &str| size(&column(self.column_of(name)));
        let pattern = |text: &str| self.patterns.get(text).copied();
        cost::estimate(self.program.expression(), &variable, &pattern)
    }

    /// Evaluates a condition.
    ///
    /// # Errors
    /// As [`Expr::evaluate`], and when the result is not a boolean.
    pub fn test<'a>(&self, column: impl Fn(&str) -> Value<'a>) -> Result<bool, String> {
        match self.evaluate(column)? {
            Value::Boolean(b) => Ok(b),
            other => Err(format!("gives {}, not true or false", other.type_name())),
        }
    }

    /// The error without the values that CEL puts into it, and with the usual cause.
    fn explain<'a>(&self, error: &cel::ExecutionError, column: &impl Fn(&str) -> Value<'a>) -> String {
        let nulls: Vec<&str> =
            self.variables.iter().filter(|v| column(v).is_null()).map(String::as_str).collect();
        let what = match error {
            cel::ExecutionError::UndeclaredReference(name) => format!("no column `{name}`"),
            _ => "cannot be evaluated on this record (types do not fit, or the result overflows)".to_owned(),
        };
        if nulls.is_empty() { what } else { format!("{what}; null here: {}", nulls.join(", ")) }
    }
}

fn check_depth(program: &Program) -> Result<(), CompileError> {
    let (levels, nested) = cost::depth(program.expression());
    let message = if levels > cost::DEPTH_MAX {
        format!("the expression has {levels} levels; at most {} are allowed", cost::DEPTH_MAX)
    } else if nested > cost::NESTED_MAX {
        format!("{nested} loops stand inside each other; at most {} may", cost::NESTED_MAX)
    } else {
        return Ok(());
    };
    Err(CompileError { message, offset: None })
}

/// The patterns that are written down, with their compiled sizes.
fn patterns(program: &Program) -> Result<BTreeMap<String, usize>, CompileError> {
    let mut sizes = BTreeMap::new();
    for (node, pattern) in cost::patterns(program.expression()) {
        let bytes = cost::pattern_bytes(pattern).map_err(|why| CompileError {
            message: format!("the pattern of matches() {why}"),
            offset: program.source_info().offset_for(node.id).map(|(start, _)| start as usize),
        })?;
        sizes.insert(pattern.to_owned(), bytes);
    }
    Ok(sizes)
}

/// About how many bytes a value takes in an expression.
pub(crate) fn size(value: &Value<'_>) -> Size {
    match value {
        Value::Text(text) | Value::Json(text) => Size::text(text.len()),
        Value::Binary(bytes) => Size::text(bytes.len()),
        // Those that become texts.
        Value::Date(_) | Value::Time(_) | Value::Uuid(_) | Value::Timestamp { .. } => Size::text(40),
        Value::List(values) => Size::list(values.iter().map(size)),
        Value::Null | Value::Boolean(_) | Value::Int64(_) | Value::Float64(_) | Value::Decimal(_) => {
            Size::SCALAR
        }
    }
}

fn first_error(text: &str, errors: &cel::ParseErrors) -> CompileError {
    let Some(error) = errors.errors.first() else {
        return CompileError { message: "does not compile".into(), offset: None };
    };
    let line_start: usize =
        text.split_inclusive('\n').take(usize::try_from(error.pos.0 - 1).unwrap_or(0)).map(str::len).sum();
    let offset = line_start + usize::try_from(error.pos.1 - 1).unwrap_or(0);
    CompileError { message: error.msg.clone(), offset: Some(offset.min(text.len())) }
}

/// Whether the environment has a function of this name; operators have names that are not identifiers.
fn known_function(name: &str) -> bool {
    let operator = !name.starts_with(|c: char| c.is_ascii_alphabetic());
    // The crate has no look-up, but it refuses to add a function under a name that is taken.
    operator || Context::with_env(Arc::clone(&ENV)).add_function(name, || true).is_err()
}

/// Collects the variables that a comprehension does not bind (`t` in `tags.exists(t, t == 'a')`).
fn free_variables<'e>(node: &'e IdedExpr, bound: &mut Vec<&'e str>, free: &mut BTreeSet<String>) {
    match &node.expr {
        Ast::Unspecified | Ast::Literal(_) => {}
        Ast::Ident(name) => {
            if !name.starts_with('@') && !bound.contains(&name.as_str()) {
                free.insert(name.clone());
            }
        }
        Ast::Call(call) => {
            call.target.iter().for_each(|target| free_variables(target, bound, free));
            call.args.iter().for_each(|arg| free_variables(arg, bound, free));
        }
        Ast::Select(select) => free_variables(&select.operand, bound, free),
        Ast::List(list) => list.elements.iter().for_each(|element| free_variables(element, bound, free)),
        Ast::Map(MapExpr { entries }) | Ast::Struct(StructExpr { entries, .. }) => {
            for entry in entries {
                match &entry.expr {
                    EntryExpr::StructField(field) => free_variables(&field.value, bound, free),
                    EntryExpr::MapEntry(entry) => {
                        free_variables(&entry.key, bound, free);
                        free_variables(&entry.value, bound, free);
                    }
                }
            }
        }
        Ast::Comprehension(comprehension) => {
            free_variables(&comprehension.iter_range, bound, free);
            free_variables(&comprehension.accu_init, bound, free);
            let outer = bound.len();
            bound.extend([comprehension.iter_var.as_str(), comprehension.accu_var.as_str()]);
            bound.extend(comprehension.iter_var2.as_deref());
            for inner in [&comprehension.loop_cond, &comprehension.loop_step, &comprehension.result] {
                free_variables(inner, bound, free);
            }
            bound.truncate(outer);
        }
    }
}

fn to_cel(value: &Value<'_>) -> Result<Cel, String> {
    Ok(match value {
        Value::Null => Cel::Null,
        Value::Boolean(v) => Cel::Bool(*v),
        Value::Int64(v) => Cel::Int(*v),
        Value::Float64(v) => Cel::Float(*v),
        // CEL has no decimals: conditions and sums see the nearest double. `check` says so.
        Value::Decimal(v) => Cel::Float(v.trim().parse().map_err(|_| "not a number".to_owned())?),
        Value::Text(v) | Value::Json(v) => Cel::String(Arc::new(v.to_string())),
        Value::Binary(v) => Cel::Bytes(Arc::new(v.to_vec())),
        Value::Timestamp { micros, zoned } if !matches!(*micros, i64::MAX | i64::MIN) => {
            let text = time::timestamp_text(*micros, *zoned);
            let utc = if *zoned { text } else { text + "Z" };
            match chrono::DateTime::parse_from_rfc3339(&utc) {
                Ok(instant) => Cel::Timestamp(instant),
                Err(_) => return Err("the timestamp is outside the years 1 to 9999".to_owned()),
            }
        }
        Value::Date(_) | Value::Time(_) | Value::Timestamp { .. } | Value::Uuid(_) => {
            Cel::String(Arc::new(value.to_json().as_str().unwrap_or_default().to_owned()))
        }
        Value::List(values) if values.len() > LIST_MAX => {
            return Err(format!("a list of {} values; at most {LIST_MAX} are allowed", values.len()));
        }
        Value::List(values) => Cel::List(Arc::new(values.iter().map(to_cel).collect::<Result<_, _>>()?)),
    })
}

fn from_cel(value: &Cel) -> Result<Value<'static>, String> {
    Ok(match value {
        Cel::Null => Value::Null,
        Cel::Bool(v) => Value::Boolean(*v),
        Cel::Int(v) => Value::Int64(*v),
        Cel::UInt(v) => Value::Decimal(v.to_string().into()),
        Cel::Float(v) => Value::Float64(*v),
        Cel::String(v) => Value::Text(v.as_str().to_owned().into()),
        Cel::Bytes(v) => Value::Binary(v.as_slice().to_owned().into()),
        Cel::Timestamp(v) => Value::Timestamp { micros: v.timestamp_micros(), zoned: true },
        Cel::List(values) => Value::List(values.iter().map(from_cel).collect::<Result<_, _>>()?),
        other => return Err(format!("gives a {:?}, which no field can hold", other.type_of())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str) -> Value<'static> {
        match name {
            "status" => Value::Text("Active".into()),
            "budget_amount" => Value::Decimal("1000000.00".into()),
            "owner_email" => Value::Text("Ann@Contoso.COM".into()),
            "tags" => Value::List(vec![Value::Text("b".into()), Value::Text("a".into())]),
            "updated_at" => Value::Timestamp { micros: 1_769_854_625_000_000, zoned: true },
            "n" => Value::Int64(3),
            _ => Value::Null,
        }
    }

    #[test]
    fn conditions_as_users_write_them() {
        for (text, expected) in [
            ("status == 'Active'", true),
            ("budget_amount >= 1000000", true),
            ("budget_amount > 1000000.0", false),
            ("status == 'Closed' || n == 3", true),
            ("status in ['Open', 'Active']", true),
            ("nothing == null", true),
            ("tags.exists(t, t == 'a')", true),
            ("updated_at < timestamp('2027-01-01T00:00:00Z')", true),
            ("owner_email.endsWith('.COM')", true),
        ] {
            assert_eq!(Expr::compile(text).unwrap().test(record), Ok(expected), "{text}");
        }
    }

    #[test]
    fn values_and_errors() {
        let eval = |text: &str| Expr::compile(text).unwrap().evaluate(record);
        assert_eq!(eval("owner_email.lowerAscii()"), Ok(Value::Text("ann@contoso.com".into())));
        assert_eq!(eval("n * 2"), Ok(Value::Int64(6)));
        assert_eq!(eval("tags"), Ok(record("tags")));
        assert_eq!(eval("nothing"), Ok(Value::Null));
        let error = eval("nothing.lowerAscii()").unwrap_err();
        assert!(error.contains("null here: nothing"), "{error}");
        assert!(Expr::compile("n").unwrap().test(record).unwrap_err().contains("int64, not true or false"));
    }

    #[test]
    fn transforms_of_any_column() {
        let expr = Expr::transform("owner_email", &["trim", "lower"]).unwrap();
        assert_eq!(
            (expr.text(), expr.variables()),
            ("lower(trim(owner_email))", &["owner_email".to_owned()][..])
        );
        assert_eq!(expr.evaluate(record), Ok(Value::Text("ann@contoso.com".into())));
        let odd = |name: &str| if name == "E-mail of owner" { record("owner_email") } else { Value::Null };
        let expr = Expr::transform("E-mail of owner", &["domain"]).unwrap();
        assert_eq!(expr.text(), "domain(`E-mail of owner`)");
        assert_eq!(expr.evaluate(odd), Ok(Value::Text("contoso.com".into())));
        assert_eq!(expr.kind(|_| None), Some(FieldType::Text));
        let expr = Expr::transform("n", &["email"]).unwrap();
        assert!(expr.evaluate(record).unwrap_err().contains("types do not fit"));
        assert_eq!(Expr::transform("nothing", &["lower"]).unwrap().evaluate(record), Ok(Value::Null));
    }

    #[test]
    fn compile_errors_have_places() {
        let error = Expr::compile("status == ").unwrap_err();
        assert!(error.offset.is_some(), "{error:?}");
        let error = Expr::compile("statos.lowerAscci()").unwrap_err();
        assert_eq!((error.message.as_str(), error.offset), ("unknown function lowerAscci()", Some(7)));
        assert!(Expr::compile(&"1+".repeat(4000)).is_err());
        assert_eq!(Expr::compile("a.b == c && a.d").unwrap().variables(), ["a", "c"]);
        assert_eq!(Expr::compile("tags.exists(t, t == status)").unwrap().variables(), ["status", "tags"]);
    }
}
