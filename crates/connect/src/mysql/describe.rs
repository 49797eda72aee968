//! What a table or a statement looks like, from the server's catalogue.

use std::collections::BTreeMap;

use mysql_async::{Row, Value as Raw, consts::ColumnFlags};
use syncline_core::schema::{Field, Stream};

use super::{
    bind, bound,
    client::{Session, number, text, text_or_null},
    sql::{self, ColumnSql, Ident, Origin},
    types::{Codec, Native, Order},
};
use crate::{Error, error::Kind};

/// What [`Field::native`] is in the words of.
const DIALECT: &str = "mysql";

/// A table, view or statement as found, with what is needed to read it.
pub(super) struct Found {
    pub(super) origin: Origin,
    pub(super) stream: Stream,
    pub(super) columns: Vec<Column>,
}

/// A column, parallel to the stream's fields.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) field: Field,
    pub(super) codec: Codec,
    pub(super) order: Order,
    pub(super) sql: ColumnSql,
    /// The type as the server shows it, for messages.
    pub(super) shown: String,
}

impl Column {
    fn new(name: String, native: &Native, nullable: bool, shown: String) -> Self {
        Self {
            sql: ColumnSql { name: Ident(name.clone()), place: bind::place(native.codec) },
            field: Field::new(name, native.codec.field_type(), nullable),
            codec: native.codec,
            order: native.order,
            shown,
        }
    }
}

impl Found {
    /// Finds the column called `name`.
    ///
    /// # Errors
    /// [`Kind::Definition`].
    pub(super) fn column(&self, name: &str) -> Result<&Column, Error> {
        self.columns.iter().find(|c| c.field.name == name).ok_or_else(|| {
            let carried = self.stream.unsupported.iter().find(|(column, _)| column == name);
            let names: Vec<_> = self.columns.iter().map(|c| c.field.name.as_str()).collect();
            let (message, hint) = match carried {
                Some((_, reason)) => (format!("column {name:?} is not carried"), reason.clone()),
                None => (
                    format!("stream {:?} has no column {name:?}", self.stream.name),
                    format!("its columns: {}", names.join(", ")),
                ),
            };
            Error::new(Kind::Definition, message).hint(hint)
        })
    }
}

/// Parameters: database or null, name. Names are compared without regard to case here, whatever the server does with
/// them: more than one may be found.
const RELATION: &str = "SELECT table_schema, table_name, table_type, table_rows, engine FROM information_schema.tables \
    WHERE table_schema = IFNULL(?, DATABASE()) AND table_name = ?";

/// Parameters of this and the next two: database, table.
const COLUMNS: &str = "SELECT column_name, data_type, column_type, is_nullable FROM information_schema.columns \
    WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position";

/// One row for each column of each index; an expression has no name, the first part of a text has a length.
const INDEXES: &str = "SELECT index_name, non_unique, column_name, sub_part, index_type FROM information_schema.statistics \
    WHERE table_schema = ? AND table_name = ? ORDER BY index_name, seq_in_index";

/// MariaDB's JSON is a text that is checked.
const CHECKS: &str = "SELECT check_clause FROM information_schema.check_constraints \
    WHERE constraint_schema = ? AND table_name = ?";

/// Tables and views a user may mean: those of the database of the address, or of all where it names none.
const STREAMS: &str = "SELECT table_schema, table_name, DATABASE() IS NULL FROM information_schema.tables \
    WHERE table_schema = IFNULL(DATABASE(), table_schema) AND table_type <> 'SEQUENCE' \
      AND table_schema NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys') \
    ORDER BY table_schema, table_name LIMIT 1000";

/// The names of at most 1,000 tables and views, written so that they can be pasted into a project file.
pub(super) async fn streams(session: &mut Session) -> Result<Vec<String>, Error> {
    let rows = session.rows(STREAMS, Vec::new()).await?;
    let name = |row: &Row| -> Result<String, Error> {
        let (schema, name) = (text(Some(row), 0)?, sql::written(&text(Some(row), 1)?));
        let qualified = number(Some(row), 2)? == Some(1);
        Ok(if qualified { format!("{}.{name}", sql::written(&schema)) } else { name })
    };
    rows.iter().map(name).collect()
}

/// Finds and describes `name`: a table or view, or a statement in parentheses.
///
/// # Errors
/// [`Kind::StreamMissing`] when there is no such table or view.
pub(super) async fn find(session: &mut Session, name: &str) -> Result<Found, Error> {
    let found = if name.trim_start().starts_with('(') {
        statement(session, name).await
    } else {
        table(session, name).await
    };
    let mut found = found.map_err(|e| e.context(format_args!("stream {name:?}")))?;
    found.stream.notes.extend(bound::note(session).await?);
    Ok(found)
}

async fn table(session: &mut Session, name: &str) -> Result<Found, Error> {
    let relation = relation(session, name).await?;
    let (schema, table) = (text(Some(&relation), 0)?, text(Some(&relation), 1)?);
    let place = || vec![Raw::Bytes(schema.clone().into_bytes()), Raw::Bytes(table.clone().into_bytes())];
    let mut stream = Stream {
        name: name.to_owned(),
        id: format!("{schema}.{table}"),
        dialect: Some(DIALECT),
        records: number(Some(&relation), 3)?.and_then(|n| u64::try_from(n).ok()),
        ..Stream::default()
    };
    let checks = if session.is_mariadb { session.rows(CHECKS, place()).await? } else { Vec::new() };
    let checks: Vec<_> = checks.iter().map(|row| text(Some(row), 0)).collect::<Result<_, _>>()?;
    let mut columns = Vec::new();
    for row in session.rows(COLUMNS, place()).await? {
        let (column, data_type) = (text(Some(&row), 0)?, text(Some(&row), 1)?);
        let (mut shown, nullable) = (text(Some(&row), 2)?, text(Some(&row), 3)? == "YES");
        let mut native = Native::of(&data_type, &shown);
        if checks.contains(&format!("json_valid({})", Ident(column.clone()))) {
            (native, shown) = (Native::of("json", "json"), "json".to_owned());
        }
        match native {
            Ok(native) => {
                let mut column = Column::new(column, &native, nullable, shown.clone());
                column.field.native = Some(shown);
                columns.push(column);
            }
            Err(reason) => stream.unsupported.push((column, format!("{shown}: {reason}"))),
        }
    }
    indexes(session, place(), &mut stream).await?;
    notes(&relation, &mut stream)?;
    for column in &mut columns {
        column.field.limits.indexed = stream.indexed.contains(&column.field.name);
    }
    stream.fields = columns.iter().map(|c| c.field.clone()).collect();
    Ok(Found { origin: Origin::Table { schema: Ident(schema), name: Ident(table) }, stream, columns })
}

async fn relation(session: &mut Session, name: &str) -> Result<Row, Error> {
    let (schema, table) = sql::table_name(name).ok_or_else(|| {
        Error::new(Kind::Definition, "this is not the name of a table")
            .hint("write table, database.table or `Odd.Name`.`Table`")
    })?;
    let schema = schema.map_or(Raw::NULL, |s| Raw::Bytes(s.into_bytes()));
    let mut rows = session.rows(RELATION, vec![schema, Raw::Bytes(table.clone().into_bytes())]).await?;
    let exact = rows.iter().position(|row| text(Some(row), 1).is_ok_and(|name| name == table));
    if rows.is_empty() {
        return Err(Error::new(Kind::StreamMissing, "there is no table or view of this name").hint(
            "check the name, its case, and the database: the one at the end of the url, or database.table",
        ));
    }
    Ok(rows.swap_remove(exact.unwrap_or(0)))
}

async fn indexes(session: &mut Session, place: Vec<Raw>, stream: &mut Stream) -> Result<(), Error> {
    let mut all: BTreeMap<String, Index> = BTreeMap::new();
    for row in session.rows(INDEXES, place).await? {
        let index = all.entry(text(Some(&row), 0)?).or_insert_with(|| Index {
            is_unique: true,
            is_whole: true,
            is_ordered: true,
            columns: Vec::new(),
        });
        index.is_unique &= number(Some(&row), 1)? == Some(0);
        index.is_ordered &= text(Some(&row), 4)? == "BTREE";
        let column = text_or_null(Some(&row), 2)?;
        index.is_whole &= column.is_some() && number(Some(&row), 3)?.is_none();
        index.columns.push(column.unwrap_or_default());
    }
    for (name, Index { is_unique, is_whole, is_ordered, columns }) in all {
        let first = columns.first().filter(|_| is_ordered && is_whole);
        if let Some(first) = first.filter(|c| !stream.indexed.contains(c)) {
            stream.indexed.push(first.clone());
        }
        if name == "PRIMARY" {
            stream.primary_key = columns;
        } else if is_unique && is_whole {
            stream.unique.push((name, columns));
        }
    }
    Ok(())
}

struct Index {
    is_unique: bool,
    /// Made of whole columns: no expressions, no first parts of texts.
    is_whole: bool,
    is_ordered: bool,
    columns: Vec<String>,
}

fn notes(relation: &Row, stream: &mut Stream) -> Result<(), Error> {
    let (kind, engine) = (text(Some(relation), 2)?, text_or_null(Some(relation), 4)?);
    if kind == "VIEW" {
        stream.notes.push("A view has no key of its own: name key columns that are unique.".to_owned());
    }
    let engine = engine.unwrap_or_default();
    if ["MyISAM", "Aria", "MEMORY", "CSV", "ARCHIVE", "MRG_MyISAM"].contains(&engine.as_str()) {
        stream.notes.push(format!(
            "Tables of the engine {engine} have no snapshots: what changes while the table is read may be seen or not."
        ));
    }
    Ok(())
}

async fn statement(session: &mut Session, name: &str) -> Result<Found, Error> {
    let written = name.trim();
    if !written.ends_with(')') {
        return Err(Error::new(Kind::Definition, "a statement stands in parentheses")
            .hint("write (SELECT … FROM …), without a semicolon"));
    }
    let origin = Origin::Statement(written.to_owned());
    let prepared = session.prepare(&sql::no_rows(&origin)).await?;
    let mut stream =
        Stream { name: name.to_owned(), id: written.to_owned(), dialect: Some(DIALECT), ..Stream::default() };
    let mut columns = Vec::new();
    for sent in prepared.columns().iter() {
        let nullable = !sent.flags().contains(ColumnFlags::NOT_NULL_FLAG);
        let column = sent.name_str().into_owned();
        match Native::of_sent(sent) {
            (Ok(native), shown) => columns.push(Column::new(column, &native, nullable, shown)),
            (Err(reason), shown) => stream.unsupported.push((column, format!("{shown}: {reason}"))),
        }
    }
    stream.fields = columns.iter().map(|c| c.field.clone()).collect();
    Ok(Found { origin, stream, columns })
}
