//! A sync bound to the streams it reads and writes: from a source record to what the destination should hold.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    batch::Batch,
    canonical::{self, ContentHash, canonical},
    convert::{Suits, convert, from_json, suits},
    expr::Expr,
    identity::Identity,
    mutant,
    plan::Fields,
    schema::{Field, FieldType, Limits, Stream},
    sync::{As, DeletePolicy, Direction, KeyColumns, Origin, Sync},
    value::Value,
};

/// A sync whose names have all been found.
#[derive(Debug)]
pub struct Mapping {
    /// Source columns to read, in batch order.
    pub columns: Vec<String>,
    /// Key columns, all among `columns`.
    pub key: Vec<String>,
    /// Whether the source guarantees that the key is unique and not null.
    pub key_is_total: bool,
    /// Whether the key is a hash over columns that may be null.
    pub hashed: bool,
    /// Destination streams by index; routes and mapped records refer to them.
    pub streams: Vec<MappedStream>,
    key_at: Vec<usize>,
    ignore_case: bool,
    filter: Option<Expr>,
    routes: Vec<(Expr, usize)>,
    at: BTreeMap<String, usize>,
    origins: Vec<FieldOrigin>,
    names: ContentHash,
}

/// A destination stream with the fields that are written in it.
#[derive(Debug)]
pub struct MappedStream {
    /// As the user named it.
    pub name: String,
    /// As the destination describes it.
    pub stream: Stream,
    /// Mapped fields, the same names in the same order for every stream of the sync.
    pub fields: Arc<[Field]>,
}

#[derive(Debug)]
struct FieldOrigin {
    from: Source,
    default: Option<Value<'static>>,
    required: bool,
}

#[derive(Debug)]
enum Source {
    Column(usize),
    Expression(Expr),
    /// The soft-delete field: null while the record lives.
    Gone,
}

/// Something about a definition that does not fit the systems it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Place in the definition, below the sync: `fields.Title`, `from.key`, `route.0`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// A name that was not found, and the names there are.
    pub unknown: Option<(String, Vec<String>)>,
    /// Whether the sync can run all the same.
    pub warning: bool,
}

impl Problem {
    fn error(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), unknown: None, warning: false }
    }

    fn warning(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { warning: true, ..Self::error(path, message) }
    }

    fn unknown(path: String, what: &str, name: &str, known: impl Iterator<Item = String>) -> Self {
        Self {
            unknown: Some((name.to_owned(), known.collect())),
            ..Self::error(path, format!("{what} {name:?} does not exist"))
        }
    }
}

/// Why one record cannot be mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordProblem {
    /// Stable code: `no_key`, `source_value`, `filter`, `route`, `expression`, `value`.
    pub code: &'static str,
    /// What is wrong, without values.
    pub message: String,
}

/// What the destination should hold for a record.
#[derive(Debug)]
pub struct Mapped<'b> {
    /// Index of the stream.
    pub stream: usize,
    /// One value per mapped field, ready to be sent.
    pub values: Vec<Value<'b>>,
    /// Hash of their canonical forms.
    pub hash: ContentHash,
}

impl Mapping {
    /// Binds `sync` to the described source and destination streams (`streams` in the order of [`Sync::streams`]).
    ///
    /// Returns the mapping when nothing but warnings was found, and every problem in any case.
    pub fn bind(sync: &Sync, source: &Stream, streams: &[Stream]) -> (Option<Self>, Vec<Problem>) {
        let mut problems = Vec::new();
        let (key, hashed) = key_columns(sync, source, &mut problems);
        let mut columns = sync.columns();
        columns.extend(key.iter().filter(|k| !columns.contains(k)).cloned().collect::<Vec<_>>());
        check_columns(sync, source, &columns, &mut problems);
        check_cursor(sync, source, &mut problems);
        let key_is_total = !hashed
            && source.is_unique(&key)
            && key.iter().all(|k| source.field(k).is_some_and(|f| !f.nullable));
        if !hashed && !key.is_empty() && !key_is_total && problems.is_empty() {
            problems.push(Problem::warning(
                "from.key",
                format!("nothing in the source guarantees that ({}) is unique and not null; records with a null or \
                         repeated key are parked, and a full read runs in one long transaction", key.join(", ")),
            ));
        }
        let mapped: Vec<_> = sync.fields.iter().filter(|f| f.direction != Direction::Pull).collect();
        let bound = bind_streams(sync, &mapped, source, streams, &mut problems);
        if problems.iter().any(|p| !p.warning) {
            return (None, problems);
        }
        let at: BTreeMap<String, usize> = columns.iter().enumerate().map(|(i, c)| (c.clone(), i)).collect();
        let origins = origins(sync, &mapped, &at);
        let names = canonical::names_hash(bound[0].fields.iter().map(|f| f.name.as_str()));
        let order: Vec<&str> = sync.streams();
        let routes = sync.routes.iter().map(|r| {
            let stream = order.iter().position(|s| *s == r.stream).unwrap_or_default();
            (r.when.clone(), stream)
        });
        let mapping = Self {
            key_at: key.iter().map(|k| at[k]).collect(),
            ignore_case: sync.from.key.ignore_case,
            filter: sync.from.filter.clone(),
            routes: routes.collect(),
            streams: bound,
            columns,
            key,
            key_is_total,
            hashed,
            at,
            origins,
            names,
        };
        (Some(mapping), problems)
    }

    /// The key values of a record.
    pub fn key_values(&self, batch: &Batch, row: usize) -> Vec<Value<'static>> {
        self.key_at.iter().map(|k| batch.value(row, *k).into_owned()).collect()
    }

    /// The identity of a record.
    ///
    /// # Errors
    /// `no_key` when a key column is null.
    pub fn identity(&self, batch: &Batch, row: usize) -> Result<Identity, RecordProblem> {
        let key: Vec<Value<'_>> = self.key_at.iter().map(|k| batch.value(row, *k)).collect();
        if mutant!(IdentityWithContent) {
            return Ok(self.keyless_identity("content", batch, row));
        }
        if self.hashed {
            return Ok(Identity::of_keyless("hashed", &key));
        }
        let ignore_case = self.ignore_case && !mutant!(CaseCounts);
        Identity::of(&key, ignore_case).map_err(|at| RecordProblem {
            code: "no_key",
            message: format!("key column {:?} is null", self.key[at]),
        })
    }

    /// An identity for a record that has none, over all its values.
    pub fn keyless_identity(&self, reason: &str, batch: &Batch, row: usize) -> Identity {
        let values: Vec<Value<'_>> = (0..self.columns.len()).map(|c| batch.value(row, c)).collect();
        Identity::of_keyless(reason, &values)
    }

    /// What the destination should hold for a record; `None` when the filter excludes it. `scratch` is reused.
    ///
    /// # Errors
    /// The first thing that keeps this record from being written.
    pub fn map<'b>(
        &self,
        batch: &'b Batch,
        row: usize,
        scratch: &mut Vec<u8>,
    ) -> Result<Option<Mapped<'b>>, RecordProblem> {
        if let Some(problem) = batch.problem(row) {
            return Err(RecordProblem { code: "source_value", message: problem.to_owned() });
        }
        let column = |name: &str| self.at.get(name).map_or(Value::Null, |c| batch.value(row, *c));
        if let Some(filter) = &self.filter
            && !filter.test(column).map_err(|why| problem("filter", format!("filter: {why}")))?
        {
            return Ok(None);
        }
        let mut stream = 0;
        for (index, (when, to)) in self.routes.iter().enumerate() {
            if when.test(column).map_err(|why| problem("route", format!("route {}: {why}", index + 1)))? {
                stream = *to;
                if !mutant!(LastRouteWins) {
                    break;
                }
            }
        }
        let fields = &self.streams[stream].fields;
        let mut values = Vec::with_capacity(fields.len());
        for (origin, field) in self.origins.iter().zip(fields.iter()) {
            values.push(origin.value(batch, row, field, column)?);
        }
        scratch.clear();
        let hash = self.hash(stream, &values, scratch);
        Ok(Some(Mapped { stream, values, hash }))
    }

    /// Whether a record with these values is marked as gone; never without the soft policy.
    pub fn is_gone(&self, values: &[Value<'_>]) -> bool {
        self.gone_at().is_some_and(|at| !matches!(values[at], Value::Null | Value::Boolean(false)))
    }

    fn gone_at(&self) -> Option<usize> {
        self.origins.iter().position(|o| matches!(o.from, Source::Gone))
    }

    /// The content hash of values of one stream's mapped fields. A mark as gone is not content: it is a state of its own
    /// ([`Mapping::is_gone`]), and a marked record has the hash it had while it lived.
    pub fn hash(&self, stream: usize, values: &[Value<'_>], scratch: &mut Vec<u8>) -> ContentHash {
        scratch.clear();
        scratch.push(canonical::VERSION);
        scratch.extend_from_slice(&self.names);
        let gone_at = self.gone_at();
        for (at, (value, field)) in values.iter().zip(self.streams[stream].fields.iter()).enumerate() {
            let value = if gone_at == Some(at) { Value::Null } else { value.clone() };
            let value = if mutant!(HashOverSentValues) { value } else { canonical(value, field) };
            canonical::write(&value, scratch);
        }
        *blake3::hash(scratch).as_bytes()
    }

    /// The canonical values of one stream's mapped fields by name, as the ledger keeps them.
    pub fn canonical_fields(&self, stream: usize, values: &[Value<'_>]) -> Fields {
        let fields = &self.streams[stream].fields;
        values
            .iter()
            .zip(fields.iter())
            .map(|(v, f)| (f.name.clone(), canonical(v.clone(), f).to_json()))
            .collect()
    }

    /// Hash of the values of some mapped fields, for pairing records by natural key; `None` when one is null.
    pub fn natural_key(&self, stream: usize, by: &[usize], values: &[Value<'_>]) -> Option<[u8; 32]> {
        let fields = &self.streams[stream].fields;
        let mut bytes = Vec::with_capacity(64);
        for index in by {
            let value = canonical(values[*index].clone(), &fields[*index]);
            if value.is_null() {
                return None;
            }
            canonical::write(&value, &mut bytes);
        }
        Some(*blake3::hash(&bytes).as_bytes())
    }

    /// Indexes of the mapped fields with these names.
    pub fn indexes(&self, names: &[String]) -> Vec<usize> {
        let fields = &self.streams[0].fields;
        names.iter().filter_map(|name| fields.iter().position(|f| f.name == *name)).collect()
    }

    /// Index of the stream with this id.
    pub fn stream_of(&self, id: &str) -> Option<usize> {
        self.streams.iter().position(|s| s.stream.id == id)
    }

    /// The value that marks a record as gone, with the index of its field; `None` without the soft policy.
    pub fn gone_value(&self, stream: usize, micros: i64) -> Option<(usize, Value<'static>)> {
        let index = self.gone_at()?;
        let value = match self.streams[stream].fields[index].kind {
            FieldType::Boolean => Value::Boolean(true),
            FieldType::Date => Value::Date(i32::try_from(micros.div_euclid(crate::time::DAY_MICROS)).ok()?),
            _ => Value::Timestamp { micros, zoned: true },
        };
        Some((index, value))
    }
}

fn problem(code: &'static str, message: String) -> RecordProblem {
    RecordProblem { code, message }
}

impl FieldOrigin {
    fn value<'b>(
        &self,
        batch: &'b Batch,
        row: usize,
        field: &Field,
        column: impl Fn(&str) -> Value<'b>,
    ) -> Result<Value<'b>, RecordProblem> {
        let value = match &self.from {
            Source::Column(at) => batch.value(row, *at),
            Source::Expression(expr) => expr
                .evaluate(column)
                .map_err(|why| problem("expression", format!("field {:?}: {why}", field.name)))?,
            Source::Gone => return Ok(Value::Null),
        };
        let value = match (&self.default, value) {
            (Some(default), Value::Null) => default.clone(),
            (_, value) => value,
        };
        if self.required && value.is_null() {
            return Err(problem(
                "value",
                format!("field {:?}: is required, but the value is null", field.name),
            ));
        }
        convert(value, field).map_err(|why| problem("value", format!("field {:?}: {why}", field.name)))
    }
}

/// The key columns of a sync's source, and whether they are hashed; what is wrong with them goes to `problems`.
pub fn key_columns(sync: &Sync, source: &Stream, problems: &mut Vec<Problem>) -> (Vec<String>, bool) {
    match &sync.from.key.columns {
        KeyColumns::PrimaryKey if source.primary_key.is_empty() => {
            let unique: Vec<String> =
                source.unique.iter().map(|(_, c)| format!("[{}]", c.join(", "))).collect();
            let advice = if unique.is_empty() {
                "name the columns that say \"same record\" (key: [...]), or use key: {hashed: all}".to_owned()
            } else {
                format!("unique here: key: {}", unique.join(" or key: "))
            };
            let message = format!("table {:?} has no primary key; {advice}", source.name);
            problems.push(Problem::error("from.key", message));
            (Vec::new(), false)
        }
        KeyColumns::PrimaryKey => (source.primary_key.clone(), false),
        KeyColumns::UniqueConstraint(name) => match source.unique.iter().find(|(n, _)| n == name) {
            Some((_, columns)) => (columns.clone(), false),
            None => {
                let known = source.unique.iter().map(|(n, _)| n.clone());
                problems.push(Problem::unknown("from.key".into(), "unique constraint", name, known));
                (Vec::new(), false)
            }
        },
        KeyColumns::Columns(columns) => (columns.clone(), false),
        KeyColumns::Hashed(columns) if columns.is_empty() => {
            (source.fields.iter().map(|f| f.name.clone()).collect(), true)
        }
        KeyColumns::Hashed(columns) => (columns.clone(), true),
    }
}

fn check_columns(sync: &Sync, source: &Stream, columns: &[String], problems: &mut Vec<Problem>) {
    for column in columns {
        if source.field(column).is_some() {
            continue;
        }
        let path = place_of_column(sync, column);
        if let Some((_, reason)) = source.unsupported.iter().find(|(name, _)| name == column) {
            problems.push(Problem::error(path, format!("column {column:?} cannot be read: {reason}")));
        } else {
            let known = source.fields.iter().map(|f| f.name.clone());
            problems.push(Problem::unknown(path, "column", column, known));
        }
    }
}

/// Where in the definition a column is named first.
fn place_of_column(sync: &Sync, column: &str) -> String {
    let uses = |expr: &Expr| expr.variables().iter().any(|v| v == column);
    if let KeyColumns::Columns(key) | KeyColumns::Hashed(key) = &sync.from.key.columns
        && key.iter().any(|k| k == column)
    {
        return "from.key".into();
    }
    if sync.from.cursor.as_deref() == Some(column) {
        return "from.cursor".into();
    }
    if sync.from.tombstone.as_deref() == Some(column) {
        return "from.tombstone".into();
    }
    if sync.from.filter.as_ref().is_some_and(uses) {
        return "from.filter".into();
    }
    if let Some(field) = sync.fields.iter().find(|f| match &f.from {
        Origin::Column(name) => name == column,
        Origin::Expression(expr) => uses(expr),
        Origin::Sql(_) | Origin::Param(_) => false,
    }) {
        return format!("fields.{}", field.to);
    }
    sync.routes.iter().position(|r| uses(&r.when)).map_or_else(|| "from".into(), |i| format!("route.{i}"))
}

fn check_cursor(sync: &Sync, source: &Stream, problems: &mut Vec<Problem>) {
    let Some(field) = sync.from.cursor.as_ref().and_then(|c| source.field(c)) else { return };
    if field.nullable {
        problems.push(Problem::warning(
            "from.cursor",
            format!("column {:?} may be null; such records are read by full runs only", field.name),
        ));
    }
    if !source.indexed.contains(&field.name) {
        problems.push(Problem::warning(
            "from.cursor",
            format!("column {:?} leads no index; every incremental run scans the whole table", field.name),
        ));
    }
    match field.kind {
        FieldType::Timestamp { zoned: false } => problems.push(Problem::warning(
            "from.cursor",
            format!("column {:?} has no time zone; it is compared in the session's time zone", field.name),
        )),
        FieldType::Timestamp { .. } | FieldType::Date | FieldType::Int64 => {}
        _ => problems.push(Problem::warning(
            "from.cursor",
            format!(
                "column {:?} is {}; only timestamps, dates and integers re-read an overlap",
                field.name, field.kind
            ),
        )),
    }
}

fn bind_streams(
    sync: &Sync,
    mapped: &[&crate::sync::FieldMap],
    source: &Stream,
    streams: &[Stream],
    problems: &mut Vec<Problem>,
) -> Vec<MappedStream> {
    let names = sync.streams();
    let mut bound = Vec::with_capacity(streams.len());
    for (name, stream) in names.iter().zip(streams) {
        let mut fields = Vec::with_capacity(mapped.len() + 1);
        for map in mapped {
            let path = format!("fields.{}", map.to);
            let Some(field) = destination_field(&map.to, map.kind, name, stream, &path, problems) else {
                continue;
            };
            check_origin(map, &field, source, &path, problems);
            fields.push(field);
        }
        if let DeletePolicy::Soft { field } = &sync.deletes.policy
            && let Some(found) = destination_field(field, None, name, stream, "deletes.field", problems)
        {
            if !matches!(found.kind, FieldType::Boolean | FieldType::Date | FieldType::Timestamp { .. }) {
                let message =
                    format!("field {field:?} is {}; a soft delete needs a date or a boolean", found.kind);
                problems.push(Problem::error("deletes.field", message));
            }
            fields.push(found);
        }
        for missing in stream.fields.iter().filter(|f| f.limits.required && !f.limits.read_only) {
            if !fields.iter().any(|f| f.name == missing.name) {
                let message = format!("list {name:?} requires {:?}, which is not mapped", missing.name);
                problems.push(Problem::warning("fields", message));
            }
        }
        bound.push(MappedStream { name: (*name).to_owned(), stream: stream.clone(), fields: fields.into() });
    }
    for by in sync.adopt.iter().flatten() {
        if !mapped.iter().any(|m| m.to == *by) {
            let known = mapped.iter().map(|m| m.to.clone());
            problems.push(Problem::unknown("adopt".into(), "mapped field", by, known));
        }
    }
    // Several lists repeat the same finding; one is enough.
    let mut seen = std::collections::BTreeSet::new();
    problems.retain(|p| seen.insert((p.path.clone(), p.message.clone())));
    bound
}

fn destination_field(
    name: &str,
    kind: Option<As>,
    list: &str,
    stream: &Stream,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<Field> {
    if let Some(field) = stream.field(name) {
        if field.limits.read_only {
            problems.push(Problem::error(path, format!("column {name:?} of list {list:?} is read-only")));
            return None;
        }
        return Some(field.clone());
    }
    if let Some((_, reason)) = stream.unsupported.iter().find(|(n, _)| n == name) {
        if kind == Some(As::Hyperlink) {
            let limits =
                Limits { hyperlink: true, empty_is_null: true, no_control: true, ..Limits::default() };
            return Some(Field { limits, ..Field::new(name, FieldType::Text, true) });
        }
        problems.push(Problem::error(
            path,
            format!("column {name:?} of list {list:?} cannot be written: {reason}"),
        ));
        return None;
    }
    if let Some(field) = stream.fields.iter().find(|f| f.label.as_deref() == Some(name)) {
        let message =
            format!("list {list:?} shows {name:?}, but its internal name is {:?}; use that", field.name);
        problems.push(Problem::error(path, message));
        return None;
    }
    let known = stream.fields.iter().filter(|f| !f.limits.read_only).map(|f| f.name.clone());
    let mut problem = Problem::unknown(path.to_owned(), "column", name, known);
    problem.message = format!("list {list:?} has no column {name:?}");
    problems.push(problem);
    None
}

fn check_origin(
    map: &crate::sync::FieldMap,
    field: &Field,
    source: &Stream,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    if let Some(default) = &map.default
        && let Err(why) = from_json(default.clone()).and_then(|v| convert(v, field))
    {
        problems.push(Problem::error(path, format!("the default does not fit: {why}")));
    }
    match &map.from {
        Origin::Column(column) => {
            let Some(from) = source.field(column) else { return };
            match suits(&from.kind, field) {
                Suits::Yes => {}
                Suits::Note(text) => problems.push(Problem::warning(path, text)),
                Suits::No(text) => problems.push(Problem::error(path, text)),
            }
            if field.limits.required && from.nullable && map.default.is_none() {
                let message = format!("the destination requires a value and column {column:?} may be null");
                problems.push(Problem::warning(path, message));
            }
        }
        Origin::Expression(expr) => {
            for decimal in expr
                .variables()
                .iter()
                .filter(|v| source.field(v).is_some_and(|f| matches!(f.kind, FieldType::Decimal { .. })))
            {
                let message = format!("the expression sees decimal column {decimal:?} as a double");
                problems.push(Problem::warning(path, message));
            }
        }
        Origin::Sql(_) => problems.push(Problem::error(path, "sql is for tables and files; use cel here")),
        Origin::Param(_) => problems.push(Problem::error(path, "param is for tables only")),
    }
}

fn origins(sync: &Sync, mapped: &[&crate::sync::FieldMap], at: &BTreeMap<String, usize>) -> Vec<FieldOrigin> {
    let mut origins: Vec<FieldOrigin> = mapped
        .iter()
        .map(|map| FieldOrigin {
            from: match &map.from {
                Origin::Column(name) => Source::Column(at[name]),
                Origin::Expression(expr) => Source::Expression(expr.clone()),
                // refused before
                Origin::Sql(_) | Origin::Param(_) => Source::Gone,
            },
            default: map.default.clone().and_then(|d| from_json(d).ok()),
            required: map.required,
        })
        .collect();
    if matches!(sync.deletes.policy, DeletePolicy::Soft { .. }) {
        origins.push(FieldOrigin { from: Source::Gone, default: None, required: false });
    }
    origins
}
