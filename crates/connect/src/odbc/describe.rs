//! What the driver and the server tell about a table, a view or a statement.

use odbc_api::{ColumnDescription, Nullability, ResultSetMetadata};
use syncline_core::schema::{Field, Stream};

use super::{
    bind::Param,
    client::{Row, Session},
    dialect::Dialect,
    error,
    sql::{self, Ident},
    types::{Native, Wire},
};
use crate::{Error, error::Kind};

/// A table as found, with what is needed to read it.
pub(super) struct Found {
    /// As it stands behind FROM.
    pub(super) table: String,
    /// Schema (MySQL: database), where there is one, and name; none: a statement.
    pub(super) place: Option<(Option<String>, String)>,
    pub(super) stream: Stream,
    /// Parallel to the stream's fields.
    pub(super) columns: Vec<Column>,
}

/// A column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) dialect: Dialect,
    pub(super) quote: char,
    pub(super) field: Field,
    pub(super) native: Native,
    pub(super) wire: Wire,
}

impl Column {
    pub(super) fn new(dialect: Dialect, quote: char, field: Field, native: Native) -> Self {
        let wire = native.wire(dialect, &field.kind);
        Self { dialect, quote, field, native, wire }
    }
}

impl Found {
    /// Finds the column called `name`.
    ///
    /// # Errors
    /// [`Kind::Definition`].
    pub(super) fn column(&self, name: &str) -> Result<&Column, Error> {
        self.columns.iter().find(|c| c.field.name == name).ok_or_else(|| {
            let names: Vec<_> = self.columns.iter().map(|c| c.field.name.as_str()).collect();
            Error::new(Kind::Definition, format!("stream {:?} has no column {name:?}", self.stream.name))
                .hint(format!("its columns: {}", names.join(", ")))
        })
    }

    fn add(&mut self, session: &Session, name: String, nullable: bool, native: Native) {
        match native.kind(session.dialect) {
            Some(kind) => {
                let field = Field::new(name, kind, nullable);
                self.stream.fields.push(field.clone());
                self.columns.push(Column::new(session.dialect, session.quote, field, native));
            }
            None => self.stream.unsupported.push((name, native.shown())),
        }
    }
}

/// Names of tables and views, at most 1,000, as they can be asked for.
pub(super) fn names(session: &Session) -> Result<Vec<String>, Error> {
    const NOBODYS: [&str; 7] =
        ["information_schema", "pg_catalog", "pg_toast", "sys", "mysql", "performance_schema", "SYSIBM"];
    let facts = session.dialect.facts();
    let catalog = match facts.schema {
        Some(sql) if facts.schema_is_catalog => session.text(sql)?.unwrap_or_default(),
        _ => String::new(),
    };
    let mut names = Vec::new();
    for row in session.tables(&catalog, "", "%", "TABLE,VIEW", 1000)? {
        let mut cells = row.into_iter();
        let (catalog, schema) = (cells.next().flatten(), cells.next().flatten());
        let Some(table) = cells.next().flatten() else { continue };
        let schema = if facts.schema_is_catalog { catalog } else { schema };
        match schema.filter(|s| !s.is_empty()) {
            Some(schema) if NOBODYS.contains(&schema.as_str()) => {}
            Some(schema) => names.push(sql::written(&[&schema, &table])),
            None => names.push(sql::written(&[&table])),
        }
    }
    Ok(names)
}

/// Finds and describes a table or view, or a statement in parentheses.
///
/// # Errors
/// [`Kind::StreamMissing`]; [`Kind::Definition`] when the name fits more than one table.
pub(super) fn find(session: &Session, wanted: &str) -> Result<Found, Error> {
    if wanted.trim_start().starts_with('(') {
        return statement(session, wanted);
    }
    let missing = || {
        Error::new(Kind::StreamMissing, format!("there is no table or view {wanted:?}"))
            .hint("check the name of the table and its schema; names in quotes are taken as they are")
    };
    let parts = sql::name_parts(wanted).ok_or_else(missing)?;
    let fold = |by: fn(&str) -> String| -> Vec<String> {
        parts.iter().map(|(name, quoted)| if *quoted { name.clone() } else { by(name) }).collect()
    };
    for parts in [fold(str::to_owned), fold(str::to_uppercase), fold(str::to_lowercase)] {
        if let Some(found) = table(session, wanted, &parts)? {
            return Ok(found);
        }
    }
    Err(missing())
}

/// The table with exactly these parts of a name.
fn table(session: &Session, wanted: &str, parts: &[String]) -> Result<Option<Found>, Error> {
    let facts = session.dialect.facts();
    let [before @ .., name] = parts else { return Ok(None) };
    let default = match (before, facts.schema) {
        ([], Some(sql)) => session.text(sql)?,
        _ => None,
    };
    let (catalog, schema) = match (before, facts.schema_is_catalog) {
        ([], true) => (default.unwrap_or_default(), String::new()),
        ([.., catalog], true) => (catalog.clone(), String::new()),
        ([], false) => (String::new(), default.unwrap_or_default()),
        ([schema], false) => (String::new(), schema.clone()),
        ([catalog, .., schema], false) => (catalog.clone(), schema.clone()),
    };
    let same = |cell: &Option<String>, wanted: &str| wanted.is_empty() || cell.as_deref() == Some(wanted);
    let rows = match facts.columns {
        Some(sql) => {
            let place = if facts.schema_is_catalog { &catalog } else { &schema };
            session.rows(sql, &[Param::Text(place.clone()), Param::Text(name.clone())], usize::MAX)?
        }
        // the arguments are patterns, in which `_` stands for any sign: what comes is a superset
        None => session.columns(&catalog, &schema, name)?,
    };
    let rows: Vec<_> = rows
        .into_iter()
        .filter(|row| same(&row[1], &schema) && same(&row[2], name))
        .filter(|row| !facts.schema_is_catalog || same(&row[0], &catalog))
        .collect();
    let Some(first) = rows.first().cloned() else { return Ok(None) };
    if let Some(other) = rows.iter().find(|row| row[..2] != first[..2]) {
        let both =
            format!("{:?} and {:?}", first[1].as_deref().unwrap_or(""), other[1].as_deref().unwrap_or(""));
        return Err(Error::new(
            Kind::Definition,
            format!("there is a table {wanted:?} in the schemas {both}"),
        )
        .hint("put the schema before the name"));
    }
    let owner = if facts.schema_is_catalog { first[0].clone() } else { first[1].clone() };
    let owner = owner.filter(|o| !o.is_empty());
    let mut place: Vec<&str> = owner.as_deref().into_iter().chain([name.as_str()]).collect();
    let id = sql::written(&place);
    if !facts.schema_is_catalog && !catalog.is_empty() {
        place.insert(0, &catalog);
    }
    let quoted = place.iter().map(|name| Ident { name, quote: session.quote }.to_string());
    let mut found = Found {
        table: quoted.collect::<Vec<_>>().join("."),
        place: Some((owner.clone(), name.clone())),
        stream: Stream { name: wanted.to_owned(), id, ..Stream::default() },
        columns: Vec::new(),
    };
    for row in rows {
        column(session, &mut found, &row);
    }
    let given = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    keys(session, &mut found, given(&first[0]).as_deref(), given(&first[1]).as_deref(), name)?;
    indexes(session, &mut found, owner.as_deref().unwrap_or_default(), name)?;
    Ok(Some(found))
}

/// A row of the driver's list: catalog, schema, table, column, type code, type name, size, digits, nullable.
fn column(session: &Session, found: &mut Found, row: &Row) {
    fn number<T: std::str::FromStr>(row: &Row, at: usize) -> Option<T> {
        row[at].as_deref().and_then(|text| text.trim().parse().ok())
    }
    let native = Native {
        code: number(row, 4).unwrap_or(0),
        name: row[5].as_deref().unwrap_or_default().to_ascii_lowercase(),
        size: number(row, 6),
        digits: number(row, 7),
    };
    let nullable = row[8].as_deref().map(str::trim) != Some("0");
    found.add(session, row[3].clone().unwrap_or_default(), nullable, native);
}

fn keys(
    session: &Session,
    found: &mut Found,
    catalog: Option<&str>,
    schema: Option<&str>,
    table: &str,
) -> Result<(), Error> {
    let place = |row: &Row| row[1].as_deref().and_then(|n| n.trim().parse::<u16>().ok());
    let mut rows = session.primary_key(catalog, schema, table)?;
    rows.sort_by_key(place);
    found.stream.primary_key = rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
    found.stream.indexed.extend(found.stream.primary_key.first().cloned());
    Ok(())
}

fn indexes(session: &Session, found: &mut Found, schema: &str, table: &str) -> Result<(), Error> {
    let Some(sql) = session.dialect.facts().indexes else {
        found.stream.notes.push("Which columns have an index is not known for this kind of server.".into());
        return Ok(());
    };
    let params = [Param::Text(schema.to_owned()), Param::Text(table.to_owned())];
    let rows = session.rows(sql, &params, 10_000)?;
    let same_index = |a: &Row, b: &Row| a[0] == b[0];
    for index in rows.chunk_by(same_index) {
        let Some(columns) = index.iter().map(|row| row[3].clone()).collect::<Option<Vec<_>>>() else {
            continue;
        };
        let is = |at: usize| index[0][at].as_deref().map(str::trim) == Some("1");
        if let Some(first) = columns.first()
            && !found.stream.indexed.contains(first)
        {
            found.stream.indexed.push(first.clone());
        }
        if is(2) {
            // in case the driver did not find it
            found.stream.primary_key = columns;
        } else if is(1) && columns != found.stream.primary_key {
            found.stream.unique.push((index[0][0].clone().unwrap_or_default(), columns));
        }
    }
    let indexed = &found.stream.indexed;
    let fields = found.stream.fields.iter_mut().chain(found.columns.iter_mut().map(|c| &mut c.field));
    fields.for_each(|field| field.limits.indexed = indexed.contains(&field.name));
    Ok(())
}

/// A statement, described by its result without records.
fn statement(session: &Session, wanted: &str) -> Result<Found, Error> {
    let table = wanted.trim().trim_end_matches(';').trim_end().to_owned();
    let stream = Stream { name: wanted.to_owned(), id: table.clone(), ..Stream::default() };
    let mut found = Found { table, place: None, stream, columns: Vec::new() };
    let mut told = Vec::new();
    {
        let no_result = || Error::new(Kind::Definition, "the statement gives no records");
        let mut cursor = session.cursor(&sql::nothing(&found.table), &[])?.ok_or_else(no_result)?;
        let count = cursor.num_result_cols().map_err(|e| error::of(&e))?;
        for at in 1..=u16::try_from(count).unwrap_or(0) {
            let mut column = ColumnDescription::default();
            cursor.describe_col(at, &mut column).map_err(|e| error::of(&e))?;
            let unsigned = cursor.column_is_unsigned(at).unwrap_or(false);
            told.push((column, unsigned));
        }
    }
    let mut columns = Vec::new();
    for (column, unsigned) in told {
        let name = column.name_to_string().map_err(|_| {
            Error::new(Kind::Definition, "a column of the statement has a name that is not Unicode")
        })?;
        let native = Native {
            code: column.data_type.data_type().0,
            name: if unsigned { "unsigned".into() } else { String::new() },
            size: column.data_type.column_size().map(std::num::NonZeroUsize::get),
            digits: Some(column.data_type.decimal_digits()),
        };
        columns.push((name, column.nullability != Nullability::NoNulls, native));
    }
    if session.dialect == Dialect::Postgres {
        name_types(session, &found.table, &mut columns)?;
    }
    for (name, nullable, native) in columns {
        found.add(session, name, nullable, native);
    }
    found.stream.notes.push("A statement has no key of its own: name key columns that are unique.".into());
    Ok(found)
}

/// PostgreSQL tells the types of a statement without running it, by names of its own.
fn name_types(session: &Session, table: &str, columns: &mut [(String, bool, Native)]) -> Result<(), Error> {
    let types: Vec<_> = columns
        .iter()
        .map(|(name, ..)| format!("CAST(pg_typeof(t.{}) AS text)", Ident { name, quote: session.quote }))
        .collect();
    let sql = format!("SELECT {} FROM (SELECT 1) one LEFT JOIN {table} t ON false", types.join(", "));
    let Some(row) = session.rows(&sql, &[], 1)?.pop() else { return Ok(()) };
    for ((.., native), name) in columns.iter_mut().zip(row) {
        native.name = match name.as_deref().unwrap_or_default() {
            "boolean" => "bool".into(),
            "timestamp with time zone" => "timestamptz".into(),
            other => other.to_owned(),
        };
    }
    Ok(())
}
