//! A sync into a table, whose systems have answered: what is read, what is written, what the table must become.

use std::sync::Arc;

use syncline_connect::{
    Database, Source,
    database::{
        self, Column, Gone, Shape,
        dialect::Named,
        evolve::{self, Decision},
    },
    error::Kind,
};
use syncline_core::{
    convert::from_json,
    expr::Expr,
    mapping::{Problem, key_columns},
    schema::{Field, FieldType, Stream},
    sync::{DeletePolicy, Direction, Origin, SchemaPolicy, Sync, Write},
    value::Value,
};

use super::params;
use crate::Error;

/// A sync into a table, bound to its systems.
pub struct Table {
    /// The definition.
    pub sync: Sync,
    /// The source's description of what is read.
    pub stream: Stream,
    /// Where records come from.
    pub source: Arc<dyn Source>,
    /// Where they go.
    pub database: Arc<dyn Database>,
    /// Sentences an operator should read.
    pub notes: Vec<String>,
    /// What is read: the user's stream, with columns added that the source computes.
    pub reads: String,
    /// What full runs read.
    pub reads_in_full: String,
    /// Key columns of the source.
    pub key: Vec<String>,
    /// Whether the source guarantees that the key is unique and not null.
    pub key_is_total: bool,
    /// Destination columns that say "same record".
    pub match_on: Vec<String>,
    /// What is to be loaded.
    pub fields: Vec<Loaded>,
    /// The table as it was found when the sync was bound.
    pub found: Option<database::Table>,
}

/// A column of the destination and where its values come from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// As it would be created.
    pub column: Column,
    /// Where values come from.
    pub from: From,
    /// Written instead of null.
    pub default: Option<Value<'static>>,
    /// Null is refused.
    pub required: bool,
}

/// Where values come from.
#[derive(Debug, Clone)]
pub enum From {
    /// A column of the stream that is read.
    Column(String),
    /// An expression over its columns.
    Expression(Expr),
    /// A parameter of the run: the same value in every record.
    Param(String),
}

impl Table {
    /// Describes the systems of `sync` and binds it to them.
    ///
    /// Returns `None` when the definition does not fit; every problem and warning in any case. Reads only.
    ///
    /// # Errors
    /// A system that cannot be reached or refuses us.
    pub async fn open(
        sync: Sync,
        source: Arc<dyn Source>,
        database: Arc<dyn Database>,
    ) -> Result<(Option<Self>, Vec<Problem>), Error> {
        let mut problems = Vec::new();
        let failed = || Error::connect(format!("reading sync {:?}", sync.name));
        let stream = match source.describe(&sync.from.stream).await {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind, Kind::StreamMissing | Kind::Definition) => {
                let known = source.streams().await.unwrap_or_default();
                problems.push(missing("from.table", &error, &sync.from.stream, known));
                return Ok((None, problems));
            }
            Err(error) => return Err(failed()(error)),
        };
        let (key, hashed) = key_columns(&sync, &stream, &mut problems);
        if hashed {
            problems.push(error("from.key", "a hashed key is for APIs; name columns that are unique"));
        }
        let derived = derive(&sync, &*source, &stream).await.map_err(failed())?;
        let Some((reads, stream_read)) = accept(derived, "fields", &mut problems) else {
            return Ok((None, problems));
        };
        let mut reads_in_full = reads.clone();
        if let Some(query) = &sync.from.mass_query {
            let whole = Sync {
                from: syncline_core::sync::From { stream: query.clone(), ..sync.from.clone() },
                ..sync.clone()
            };
            match derive(&whole, &*source, &stream).await.map_err(failed())? {
                Ok((text, described)) => {
                    same_columns(&stream_read, &described, &mut problems);
                    reads_in_full = text;
                }
                Err(refused) => problems.push(error("from.mass_query", &refused.message)),
            }
        }
        let fields = fields(&sync, &stream, &stream_read, &*database, &mut problems);
        check_columns(&sync, &stream_read, &mut problems);
        let match_on = match_on(&sync, &key, &fields, &mut problems);
        let key_is_total =
            stream.is_unique(&key) && key.iter().all(|k| stream.field(k).is_some_and(|f| !f.nullable));
        problems.extend(stream.notes.iter().map(|note| warning("from", note)));
        check_write(&sync, &match_on, &stream_read, &mut problems);
        problems.extend(params::problems(&sync, &stream_read, &fields, &match_on));
        let described = database.describe(&sync.to.stream).await;
        let described = match described {
            Err(refused) if refused.kind == Kind::Definition => {
                problems.push(error("to.table", &refused.message));
                None
            }
            described => described.map_err(Error::connect(format!("writing sync {:?}", sync.name)))?,
        };
        let mut table = Self {
            stream: stream_read,
            source,
            database,
            notes: Vec::new(),
            reads,
            reads_in_full,
            key,
            key_is_total,
            match_on,
            fields,
            found: described,
            sync,
        };
        let decision = table.decide(table.found.as_ref());
        for (column, message) in &decision.problems {
            problems.push(error(&format!("fields.{column}"), &format!("column {column:?} {message}")));
        }
        problems.extend(decision.notes.iter().map(|note| warning("to", note)));
        table.notes = problems.iter().filter(|p| p.warning).map(|p| p.message.clone()).collect();
        let fits = problems.iter().all(|p| p.warning);
        Ok((fits.then_some(table), problems))
    }

    /// What the table must become, seen as it is now.
    pub fn decide(&self, table: Option<&database::Table>) -> Decision {
        let name = named(table.map_or(self.sync.to.stream.as_str(), |t| t.stream.id.as_str()));
        let dialect = self.database.facts().dialect;
        let wanted: Vec<Column> = self.fields.iter().map(|f| params::as_found(f, table)).collect();
        let mut decision =
            evolve::decide(dialect, &name, table, &wanted, &self.match_on, self.sync.to.table.schema);
        if let Gone::Mark { column, flag } = self.gone(table) {
            let there = table.is_some_and(|t| t.stream.field(&column).is_some());
            let kind = if flag { FieldType::Boolean } else { FieldType::Timestamp { zoned: true } };
            let declared = (dialect.declare)(&kind, false);
            if !there && (table.is_none() || self.sync.to.table.schema == SchemaPolicy::Evolve) {
                let mark = Column { name: column, kind, declared, nullable: true };
                decision.changes.push(database::Change::Add(mark));
            } else if !there {
                decision
                    .problems
                    .push((column, "is missing in the table and marks records that are gone".into()));
            }
        }
        decision
    }

    /// Whether records may come that say that they are gone.
    pub fn tombstones(&self) -> bool {
        self.sync.from.tombstone.is_some() || self.stream.tells_changes
    }

    /// Whether columns of the source are new to the table, whose records are to be completed. What was appended stays as it
    /// was.
    pub fn adds_columns(&self, table: Option<&database::Table>) -> bool {
        let new = |c: &database::Change| matches!(c, database::Change::Add(column) if self.fields.iter().any(|f| f.column.name == column.name));
        table.is_some() && self.sync.write != Write::Append && self.decide(table).changes.iter().any(new)
    }

    /// What happens to records that are gone.
    pub fn gone(&self, table: Option<&database::Table>) -> Gone {
        match &self.sync.deletes.policy {
            DeletePolicy::Ignore => Gone::Stay,
            DeletePolicy::Delete => Gone::Delete,
            DeletePolicy::Soft { field } => {
                let there = table.and_then(|t| t.stream.field(field));
                let flag = there.is_some_and(|f| f.kind == FieldType::Boolean);
                Gone::Mark { column: field.clone(), flag }
            }
        }
    }

    /// The staging table for what was decided. What the rows come as is filled in later.
    pub fn shape(&self, decision: &Decision) -> Shape {
        Shape {
            columns: decision.columns.clone(),
            key: self.match_on.clone(),
            tombstones: self.tombstones(),
            changes: decision.changes.clone(),
            ..Shape::default()
        }
    }

    /// A field with the limits of the destination's column, for each of the decision's columns.
    pub fn destination_fields(&self, decision: &Decision, table: Option<&database::Table>) -> Vec<Field> {
        let dialect = self.database.facts().dialect;
        let field = |column: &Column| {
            let there = table.and_then(|t| t.stream.field(&column.name));
            match there.filter(|f| f.native.as_deref() == Some(column.declared.as_str())) {
                Some(field) => {
                    Field { name: column.name.clone(), kind: column.kind.clone(), ..field.clone() }
                }
                None => Field {
                    limits: (dialect.limits)(column),
                    ..Field::new(column.name.clone(), column.kind.clone(), column.nullable)
                },
            }
        };
        decision.columns.iter().map(field).collect()
    }

    /// Whether keys are unique and not null in the destination's columns (`fields`) too: those of the source are, and
    /// arrive as they are.
    pub fn keys_stay_apart(&self, fields: &[Field]) -> bool {
        let arrives = |name: &String| {
            let of = |loaded: &&Loaded| loaded.column.name == *name;
            let loaded = self.fields.iter().find(of);
            if loaded.is_some_and(|loaded| matches!(loaded.from, From::Param(_))) {
                return true;
            }
            let wanted = loaded.map(|loaded| &loaded.column.kind);
            fields.iter().find(|f| f.name == *name).is_some_and(|field| {
                let same = wanted == Some(&field.kind)
                    || matches!(
                        (wanted, &field.kind),
                        (Some(FieldType::Uuid | FieldType::Int64), FieldType::Text)
                    )
                    || matches!((wanted, &field.kind), (Some(FieldType::Int64), FieldType::Decimal { .. }));
                same && !field.limits.folds && !field.limits.whole_seconds
            })
        };
        self.key_is_total && self.sync.to.table.match_on.is_none() && self.match_on.iter().all(arrives)
    }

    /// Whether null is refused: where the sync says so, and where the table takes none that the source may have. A key is
    /// looked at when everything is staged.
    pub fn requires(&self, loaded: &Loaded, column: &Column) -> bool {
        loaded.required || !column.nullable && loaded.column.nullable && !self.match_on.contains(&column.name)
    }

    /// Columns of the stream that a load reads, the key among them.
    pub fn columns(&self) -> Vec<String> {
        let mut columns: Vec<String> = Vec::new();
        let mut add = |name: &String| {
            if !columns.contains(name) {
                columns.push(name.clone());
            }
        };
        for field in &self.fields {
            match &field.from {
                From::Column(name) => add(name),
                From::Expression(expr) => expr.variables().iter().for_each(&mut add),
                From::Param(_) => {}
            }
        }
        self.key.iter().for_each(&mut add);
        self.sync.from.cursor.iter().chain(&self.sync.from.tombstone).for_each(&mut add);
        self.sync.from.filter.iter().flat_map(Expr::variables).for_each(&mut add);
        columns
    }
}

/// Schema and name, for statements that are shown.
pub(super) fn named(text: &str) -> Named {
    match text.split_once('.') {
        Some((schema, name)) => Named { schema: Some(schema.to_owned()), name: name.to_owned() },
        None => Named { schema: None, name: text.to_owned() },
    }
}

fn error(path: &str, message: &str) -> Problem {
    Problem { path: path.into(), message: message.to_owned(), unknown: None, warning: false }
}

fn warning(path: &str, message: &str) -> Problem {
    Problem { warning: true, ..error(path, message) }
}

fn missing(path: &str, refused: &syncline_connect::Error, name: &str, known: Vec<String>) -> Problem {
    let unknown = (refused.kind == Kind::StreamMissing).then(|| (name.to_owned(), known));
    Problem { unknown, ..error(path, &refused.message) }
}

fn accept<T>(
    result: Result<T, syncline_connect::Error>,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    result.map_err(|refused| problems.push(error(path, &refused.message))).ok()
}

/// The stream with the columns that the source computes, and its description. The inner error is the definition's fault.
async fn derive(
    sync: &Sync,
    source: &dyn Source,
    stream: &Stream,
) -> Result<Result<(String, Stream), syncline_connect::Error>, syncline_connect::Error> {
    let computed: Vec<(String, String)> = sync
        .fields
        .iter()
        .filter_map(|f| {
            if let Origin::Sql(sql) = &f.from { Some((computed_name(&f.to), sql.clone())) } else { None }
        })
        .collect();
    let text = sync.from.stream.clone();
    if computed.is_empty() && text == stream.name {
        return Ok(Ok((text, stream.clone())));
    }
    let text = if computed.is_empty() {
        text
    } else {
        match source.derived(&text, &computed) {
            Ok(text) => text,
            Err(refused) => return Ok(Err(refused)),
        }
    };
    match source.describe(&text).await {
        Ok(described) => Ok(Ok((text, described))),
        Err(refused) if matches!(refused.kind, Kind::Definition | Kind::StreamMissing) => Ok(Err(refused)),
        Err(failed) => Err(failed),
    }
}

/// The name under which a field's SQL is selected.
fn computed_name(field: &str) -> String {
    format!("syncline {field}")
}

fn same_columns(usual: &Stream, whole: &Stream, problems: &mut Vec<Problem>) {
    for field in &usual.fields {
        match whole.field(&field.name) {
            None => {
                let message =
                    format!("has no column {:?}, which the table has; give it the same columns", field.name);
                problems.push(error("from.mass_query", &message));
            }
            Some(other) if other.kind != field.kind => {
                let message =
                    format!("column {:?} is {} here and {} in the table", field.name, other.kind, field.kind);
                problems.push(error("from.mass_query", &message));
            }
            Some(_) => {}
        }
    }
}

/// What is loaded: the fields of the definition, then every other column where it says so.
fn fields(
    sync: &Sync,
    base: &Stream,
    read: &Stream,
    database: &dyn Database,
    problems: &mut Vec<Problem>,
) -> Vec<Loaded> {
    let dialect = database.facts().dialect;
    let column = |to: &str, from: &Field, key: bool| {
        let native = from.native.clone().filter(|_| read.dialect == Some(dialect.name));
        let declared = native.unwrap_or_else(|| (dialect.declare)(&from.kind, key));
        Column { name: to.to_owned(), kind: from.kind.clone(), declared, nullable: from.nullable }
    };
    let is_key = |name: &str| {
        base.primary_key.iter().any(|k| k == name)
            || matches!(&sync.from.key.columns, syncline_core::sync::KeyColumns::Columns(key) if key.iter().any(|k| k == name))
    };
    let mut loaded = Vec::new();
    for field in sync.fields.iter().filter(|f| f.direction != Direction::Pull) {
        let path = format!("fields.{}", field.to);
        let (name, from) = match &field.from {
            Origin::Column(name) => (name.clone(), From::Column(name.clone())),
            Origin::Sql(_) => (computed_name(&field.to), From::Column(computed_name(&field.to))),
            Origin::Expression(expr) => (String::new(), From::Expression(expr.clone())),
            Origin::Param(name) => (String::new(), From::Param(name.clone())),
        };
        let column = match &from {
            From::Column(_) => match read.field(&name) {
                Some(source) => column(&field.to, source, is_key(&name)),
                None => {
                    problems.push(unknown_column(&path, &name, read));
                    continue;
                }
            },
            From::Expression(expr) => {
                let of = |variable: &str| read.field(variable).map(|f| f.kind.clone());
                let kind = expr.kind(of).unwrap_or(FieldType::Text);
                let declared = (dialect.declare)(&kind, false);
                Column { name: field.to.clone(), kind, declared, nullable: true }
            }
            From::Param(name) => params::column(sync, dialect, &field.to, name),
        };
        let default = match field.default.clone().map(from_json).transpose() {
            Ok(default) => default,
            Err(why) => {
                problems.push(error(&path, &format!("the default does not fit: {why}")));
                None
            }
        };
        loaded.push(Loaded { column, from, default, required: field.required });
    }
    loaded.extend(params::of_partition(sync, dialect));
    if sync.rest {
        for (name, why) in &read.unsupported {
            problems.push(warning("from", &format!("column {name:?} is left out: {why}")));
        }
        for source in &base.fields {
            let taken = loaded.iter().any(|f| f.column.name == source.name)
                || sync.fields.iter().any(|f| {
                    f.to == source.name || matches!(&f.from, Origin::Column(name) if *name == source.name)
                });
            if !taken {
                loaded.push(Loaded {
                    column: column(&source.name, source, is_key(&source.name)),
                    from: From::Column(source.name.clone()),
                    default: None,
                    required: false,
                });
            }
        }
    }
    loaded
}

fn unknown_column(path: &str, name: &str, stream: &Stream) -> Problem {
    Problem {
        unknown: Some((name.to_owned(), stream.fields.iter().map(|f| f.name.clone()).collect())),
        ..error(path, &format!("column {name:?} does not exist"))
    }
}

/// Columns that are named outside of the fields.
fn check_columns(sync: &Sync, stream: &Stream, problems: &mut Vec<Problem>) {
    let mut check = |path: &str, name: &String| {
        if stream.field(name).is_none() {
            problems.push(unknown_column(path, name, stream));
        }
    };
    sync.from.cursor.iter().for_each(|name| check("from.cursor", name));
    sync.from.tombstone.iter().for_each(|name| check("from.tombstone", name));
    sync.from.filter.iter().flat_map(Expr::variables).for_each(|name| check("from.filter", name));
    for field in &sync.fields {
        if let Origin::Expression(expr) = &field.from {
            expr.variables().iter().for_each(|name| check(&format!("fields.{}", field.to), name));
        }
    }
}

/// The destination columns that say "same record": as the user says, or those that the key is mapped to.
fn match_on(sync: &Sync, key: &[String], fields: &[Loaded], problems: &mut Vec<Problem>) -> Vec<String> {
    if let Some(columns) = &sync.to.table.match_on {
        for name in columns.iter().filter(|name| fields.iter().all(|f| f.column.name != **name)) {
            problems.push(error("to.match", &format!("column {name:?} is not among the fields")));
        }
        return columns.clone();
    }
    // what is appended may come again when it has changed: its key is no key of the table
    if sync.write == Write::Append {
        return Vec::new();
    }
    let mut mapped = Vec::new();
    for name in key {
        match fields.iter().find(|f| matches!(&f.from, From::Column(c) if c == name)) {
            Some(field) => mapped.push(field.column.name.clone()),
            None => problems
                .push(error("from.key", &format!("key column {name:?} is not among the fields; map it"))),
        }
    }
    if !mapped.is_empty() {
        let partition = sync.to.table.partition.iter().map(|(column, _)| column.clone());
        mapped.splice(..0, partition);
    }
    mapped
}

/// The word a statement begins with, if that begins or ends a transaction.
fn ends_transactions(statement: &str) -> Option<&'static str> {
    let first = statement.split_whitespace().next()?.trim_end_matches(';');
    ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "PREPARE"]
        .into_iter()
        .find(|word| first.eq_ignore_ascii_case(word))
}

/// What a way of writing needs.
fn check_write(sync: &Sync, match_on: &[String], stream: &Stream, problems: &mut Vec<Problem>) {
    if match_on.is_empty() && matches!(sync.write, Write::Upsert | Write::Mirror) {
        let message =
            format!("{} needs a key: name columns in from.key, or in to.match", sync.write.as_str());
        problems.push(error("from.key", &message));
    }
    let cursor = sync.from.cursor.as_ref().and_then(|c| stream.field(c));
    if let (Write::Append, Some(field)) = (sync.write, cursor)
        && !matches!(field.kind, FieldType::Int64 | FieldType::Date | FieldType::Timestamp { .. })
    {
        problems.push(error(
            "from.cursor",
            "append needs a cursor of whole numbers or times, which tells what was read",
        ));
    }
    let table = &sync.to.table;
    for (number, statement) in (1..).zip(&table.after) {
        if let Some(word) = ends_transactions(statement) {
            let message = format!(
                "statement {number} begins with {word}: the load's own transaction is not to be ended"
            );
            problems.push(error("to.after", &message));
        }
    }
    for (path, columns) in [("to.update", &table.update), ("to.insert", &table.insert)] {
        let mapped: Vec<&str> = sync.fields.iter().map(|f| f.to.as_str()).collect();
        for name in columns.iter().flatten() {
            let known = mapped.contains(&name.as_str()) || (sync.rest && stream.field(name).is_some());
            if !known {
                problems.push(error(path, &format!("column {name:?} is not among the fields")));
            }
        }
    }
}
