//! The parameters of a run: which a sync needs, their values, and the columns that hold them. Pure.

use std::collections::BTreeMap;

use syncline_connect::{
    database::{self, Column, dialect::Dialect},
    source::Params,
};
use syncline_core::{
    convert::{convert, from_text},
    mapping::Problem,
    partition::{BUILT_IN, OWNER, Partition},
    placeholder::{Syntax, placeholders},
    schema::{Field, FieldType, Stream},
    sync::{DeletePolicy, Mode, Origin, Sync},
    value::Value,
};
use syncline_store::RunId;

use super::bind::{From, Loaded, Table};
use crate::Error;

/// Values by name, the built-in ones among them.
pub(super) type Values = BTreeMap<String, Value<'static>>;

/// Looks whether a run of `sync` may be about `partition`: before anything is opened.
///
/// # Errors
/// [`Error::Params`], naming what is missing or unknown.
pub fn check(sync: &Sync, partition: &Partition) -> Result<(), Error> {
    let refused = |problem: String| {
        Err(Error::Params { sync: sync.name.clone(), problem, params: sync.params.clone() })
    };
    let missing: Vec<&str> =
        sync.params.iter().map(String::as_str).filter(|name| partition.get(name).is_none()).collect();
    if !missing.is_empty() {
        return refused(format!("needs a value for {}", missing.join(", ")));
    }
    if let Some(unknown) = partition.params.keys().find(|name| !sync.params.contains(name)) {
        return refused(format!("has no parameter {unknown:?}"));
    }
    if let Some(name) = partition.params.iter().find(|(_, value)| value.is_empty()).map(|(name, _)| name) {
        return refused(format!("needs a value for {name}, and it is empty"));
    }
    if partition.owner.is_none() && names_owner(sync) {
        return refused(
            "is run for a user, whose object id is the parameter owner, and there is none".into(),
        );
    }
    Ok(())
}

/// Whether a run of the sync must be given values: of parameters, or a user.
pub fn takes_values(sync: &Sync) -> bool {
    !sync.params.is_empty() || names_owner(sync)
}

/// Whether the definition says something of the user for whom a run is made.
fn names_owner(sync: &Sync) -> bool {
    let after = &sync.to.table.after;
    sync.to.table.partition.iter().any(|(_, param)| param == OWNER)
        || sync.fields.iter().any(|f| matches!(&f.from, Origin::Param(name) if name == OWNER))
        || after.iter().any(|sql| placeholders(sql, Syntax::default()).iter().any(|p| p.name == OWNER))
}

/// The values of a run: of the sync's parameters as the table's columns take them, and the built-in ones. `run`: none, where
/// only looked. `at`: microseconds since 1970 UTC.
pub(super) fn values(
    table: &Table,
    partition: &Partition,
    run: Option<RunId>,
    at: i64,
    found: Option<&database::Table>,
) -> Values {
    let mut values: Values = partition
        .params
        .iter()
        .map(|(name, value)| (name.clone(), typed(table, name, value, found)))
        .collect();
    if let Some(owner) = &partition.owner {
        values.insert(OWNER.into(), typed(table, OWNER, owner, found));
    }
    values.insert("run_at".into(), Value::Timestamp { micros: at, zoned: true });
    let number = run.and_then(|run| i64::try_from(run).ok());
    values.insert("run".into(), number.map_or(Value::Null, Value::Int64));
    values
}

/// A parameter as the first column that holds it takes it; as it was given where that does not fit, which the record's own
/// conversion then says.
fn typed(table: &Table, name: &str, text: &str, found: Option<&database::Table>) -> Value<'static> {
    let plain = || Value::Text(text.to_owned().into());
    let holds = |loaded: &&Loaded| matches!(&loaded.from, From::Param(param) if param == name);
    let column = table.fields.iter().find(holds).map(|loaded| as_found(loaded, found));
    column.and_then(|column| from_text(text, &column.kind)).unwrap_or_else(plain)
}

/// What the source is given: the values of the parameters that a listing of the stream takes.
pub(super) fn of_source(stream: &Stream, partition: &Partition) -> Params {
    let of = |(name, _): &(String, bool)| Some((name.clone(), partition.get(name)?.to_owned()));
    stream.params.iter().filter_map(of).collect()
}

/// The values of the partition's columns, as texts.
///
/// # Errors
/// [`Error::Params`]: a column of the table cannot hold its value.
pub(super) fn scope(table: &Table, partition: &Partition) -> Result<Vec<(String, String)>, Error> {
    let of = |(column, param): &(String, String)| {
        let text = partition.get(param).unwrap_or_default();
        let loaded = table.fields.iter().find(|f| f.column.name == *column);
        let column_is = loaded.map(|loaded| as_found(loaded, table.found.as_ref()));
        if let Some(column_is) = &column_is {
            let field = Field::new(column.clone(), column_is.kind.clone(), false);
            let value =
                from_text(text, &column_is.kind).unwrap_or_else(|| Value::Text(text.to_owned().into()));
            if let Err(why) = convert(value, &field) {
                let problem = format!("cannot put the value of {param} into column {column:?}: {why}");
                let sync = table.sync.name.clone();
                return Err(Error::Params { sync, problem, params: table.sync.params.clone() });
            }
        }
        // however a number or a uuid was written, it is the same one
        let value = column_is.and_then(|is| from_text(text, &is.kind));
        let one = value.filter(|value| matches!(value, Value::Int64(_) | Value::Uuid(_)));
        let as_text = Field::new(column.clone(), FieldType::Text, false);
        let text = match one.map(|value| convert(value, &as_text)) {
            Some(Ok(Value::Text(text))) => text.into_owned(),
            _ => text.to_owned(),
        };
        Ok((column.clone(), text))
    };
    table.sync.to.table.partition.iter().map(of).collect()
}

/// A loaded column as it is wanted in the table: one that holds a parameter is of whatever type the table gives it.
pub(super) fn as_found(loaded: &Loaded, found: Option<&database::Table>) -> Column {
    let field = found.and_then(|table| table.stream.field(&loaded.column.name));
    match (&loaded.from, field) {
        (From::Param(_), Some(field)) => Column {
            kind: field.kind.clone(),
            declared: field.native.clone().unwrap_or_else(|| loaded.column.declared.clone()),
            ..loaded.column.clone()
        },
        _ => loaded.column.clone(),
    }
}

/// The column that a parameter would be made with.
pub(super) fn column(sync: &Sync, dialect: &'static Dialect, name: &str, param: &str) -> Column {
    let kind = match param {
        "run_at" => FieldType::Timestamp { zoned: true },
        "run" => FieldType::Int64,
        _ => FieldType::Text,
    };
    let table = &sync.to.table;
    let key = table.partition.iter().any(|(column, _)| column == name)
        || table.match_on.iter().flatten().any(|column| column == name);
    Column { name: name.to_owned(), declared: (dialect.declare)(&kind, key), kind, nullable: !key }
}

/// The columns of the partition that no field names: they are written all the same.
pub(super) fn of_partition(sync: &Sync, dialect: &'static Dialect) -> Vec<Loaded> {
    let named = |column: &str| sync.fields.iter().any(|f| f.to == column);
    let columns = sync.to.table.partition.iter().filter(|(column, _)| !named(column));
    let loaded = |(name, param): &(String, String)| Loaded {
        column: column(sync, dialect, name, param),
        from: From::Param(param.clone()),
        default: None,
        required: true,
    };
    columns.map(loaded).collect()
}

/// What does not fit together: parameters of the source and of the sync, columns of the partition, keys of what is gone.
pub(super) fn problems(sync: &Sync, stream: &Stream, fields: &[Loaded], match_on: &[String]) -> Vec<Problem> {
    let problem =
        |path: &str, message: String| Problem { path: path.into(), message, unknown: None, warning: false };
    let mut problems = Vec::new();
    for (name, _) in stream.params.iter().filter(|(name, required)| *required && !sync.params.contains(name))
    {
        let message = format!("{:?} is read with the parameter {name:?}; add it to params", stream.name);
        problems.push(problem("params", message));
    }
    for field in fields {
        if let From::Param(name) = &field.from
            && !sync.params.contains(name)
            && !BUILT_IN.contains(&name.as_str())
        {
            let mut known = sync.params.clone();
            known.extend(BUILT_IN.map(str::to_owned));
            problems.push(Problem {
                unknown: Some((name.clone(), known)),
                ..problem(&format!("fields.{}", field.column.name), format!("there is no parameter {name:?}"))
            });
        }
    }
    for (column, param) in &sync.to.table.partition {
        let holds = |f: &&Loaded| f.column.name == *column;
        if !matches!(fields.iter().find(holds).map(|f| &f.from), Some(From::Param(name)) if name == param) {
            let message =
                format!("column {column:?} holds the parameter {param:?}, and fields gives it another value");
            problems.push(problem("to.partition", message));
        }
        if !match_on.is_empty() && !match_on.contains(column) {
            let message = format!("column {column:?} must belong to the key: add it to to.match");
            problems.push(problem("to.partition", message));
        }
    }
    let removes = sync.deletes.policy != DeletePolicy::Ignore && sync.mode == Mode::Incremental;
    if stream.tells_changes && removes {
        problems.extend(untold_key(sync, stream, fields, match_on).map(|name| {
            let message = format!(
                "the source tells only the keys of records that are gone, and column {name:?} of the table's key is not made \
                 of them; map the source's key to the table's, or use mode: full"
            );
            problem("to.match", message)
        }));
    }
    if sync.mode == Mode::Incremental && sync.from.cursor.is_none() && !stream.tells_changes {
        let message = format!(
            "{:?} does not tell what changed: name a column that grows with every change in from.cursor, or use mode: full",
            stream.name
        );
        problems.push(problem("mode", message));
    }
    problems
}

/// A column of the table's key that cannot be told from the source's key alone.
fn untold_key<'t>(
    sync: &Sync,
    stream: &Stream,
    fields: &[Loaded],
    match_on: &'t [String],
) -> Option<&'t String> {
    let key = match &sync.from.key.columns {
        syncline_core::sync::KeyColumns::Columns(key) => key.as_slice(),
        _ => stream.primary_key.as_slice(),
    };
    let told = |name: &&String| {
        let field = fields.iter().find(|f| f.column.name == **name);
        field.is_some_and(|field| match &field.from {
            From::Column(column) => key.contains(column),
            From::Param(_) => true,
            From::Expression(expr) => expr.variables().iter().all(|v| key.contains(v)),
        })
    };
    match_on.iter().find(|name| !told(name))
}
