//! Pure rendering of SQL. Names go through [`Ident`], values through parameters; nothing else reaches a statement.

use std::fmt::{self, Display, Formatter};

use syncline_core::schema::FieldType;

use super::{
    describe::Column,
    dialect::{Dialect, First},
};
use crate::{Error, error::Kind};

/// A name, always quoted when shown, by the sign that the driver tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ident<'a> {
    pub(super) name: &'a str,
    pub(super) quote: char,
}

impl Display for Ident<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { name, quote } = self;
        let doubled = name.replace(*quote, &format!("{quote}{quote}"));
        write!(f, "{quote}{doubled}{quote}")
    }
}

/// A table name as users write it: `projects`, `dbo.projects`, `"Odd.Name"."x"`, `[dbo].[x]`; at most three parts, each with
/// whether it was quoted. Nothing when it is not a name.
pub(super) fn name_parts(text: &str) -> Option<Vec<(String, bool)>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let part;
        (part, rest) = name_part(rest)?;
        parts.push(part);
        match rest.strip_prefix('.') {
            Some(next) => rest = next,
            None => break,
        }
    }
    (rest.is_empty() && parts.len() <= 3).then_some(parts)
}

fn name_part(text: &str) -> Option<((String, bool), &str)> {
    let close = match text.chars().next()? {
        '[' => ']',
        quote @ ('"' | '`') => quote,
        _ => {
            let end = text.find(['.', '"', '`', '[']).unwrap_or(text.len());
            let (part, rest) = text.split_at(end);
            return (!part.is_empty()).then(|| ((part.to_owned(), false), rest));
        }
    };
    let quoted = &text[1..];
    let mut name = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        if c != close {
            name.push(c);
        } else if quoted[at + 1..].starts_with(close) {
            name.push(close);
            chars.next();
        } else {
            return (!name.is_empty()).then(|| ((name, true), &quoted[at + 1..]));
        }
    }
    None
}

/// Whether a name means the same with and without quotes, but for its case.
fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_$#".contains(c))
}

/// A name as it has to be written to be found again by [`name_parts`].
pub(super) fn written(parts: &[&str]) -> String {
    let part = |name: &&str| {
        if is_plain(name) { (*name).to_owned() } else { Ident { name, quote: '"' }.to_string() }
    };
    parts.iter().map(part).collect::<Vec<_>>().join(".")
}

impl Column {
    /// The column as it is compared and sorted.
    pub(super) fn compared(&self) -> String {
        match (self.dialect, &self.field.kind) {
            // times are texts in whatever form; milliseconds is all its functions have
            (Dialect::Sqlite, FieldType::Timestamp { .. }) => {
                format!("strftime('%Y-%m-%d %H:%M:%f', {})", self.plain())
            }
            _ => self.plain(),
        }
    }

    fn plain(&self) -> String {
        format!("t.{}", Ident { name: &self.field.name, quote: self.quote })
    }

    /// The column as it is fetched.
    fn selected(&self) -> String {
        let plain = self.plain();
        match (self.dialect, &self.field.kind) {
            // the driver asks SQLite for a text of 15 digits
            (Dialect::Sqlite, FieldType::Float64) => {
                format!(
                    "CASE typeof({plain}) WHEN 'real' THEN printf('%!.20g', {plain}) ELSE CAST({plain} AS text) END"
                )
            }
            (_, FieldType::Float64 | FieldType::Binary) => plain,
            (Dialect::Postgres, FieldType::Int64 | FieldType::Text) => plain,
            (Dialect::Postgres, FieldType::Boolean) => format!("CAST({plain} AS int)"),
            // its driver makes a zero of every BIT
            (Dialect::Mysql, _) if self.native.code == -7 || self.native.name.starts_with("bit") => {
                format!("CAST({plain} AS UNSIGNED)")
            }
            (Dialect::Postgres, FieldType::Timestamp { zoned: true }) => {
                format!("CAST({plain} AT TIME ZONE 'UTC' AS text)")
            }
            (Dialect::Postgres | Dialect::Sqlite, _) => format!("CAST({plain} AS text)"),
            (Dialect::Oracle, FieldType::Timestamp { zoned: true }) => format!("SYS_EXTRACT_UTC({plain})"),
            _ => plain,
        }
    }

    /// A parameter as a value to compare the column with.
    fn param(&self) -> String {
        let kind = &self.field.kind;
        let cast = |name: &str| format!("CAST(? AS {name})");
        match self.dialect {
            Dialect::Postgres => match kind {
                FieldType::Boolean => "(CAST(? AS int) = 1)".into(),
                FieldType::Int64 => cast("bigint"),
                FieldType::Float64 => cast("double precision"),
                FieldType::Decimal { .. } => cast("numeric"),
                FieldType::Text => cast("text"),
                FieldType::Date => cast("date"),
                FieldType::Time => cast("time"),
                FieldType::Timestamp { zoned: true } => cast("timestamptz"),
                FieldType::Timestamp { zoned: false } => cast("timestamp"),
                FieldType::Uuid => cast("uuid"),
                FieldType::Json => cast("jsonb"),
                FieldType::Binary | FieldType::List(_) => "?".into(),
            },
            Dialect::Mysql => match kind {
                FieldType::Boolean | FieldType::Int64 => cast("SIGNED"),
                FieldType::Float64 => cast("DOUBLE"),
                FieldType::Decimal { .. } => cast("DECIMAL(65,30)"),
                FieldType::Date => cast("DATE"),
                FieldType::Time => cast("TIME(6)"),
                FieldType::Timestamp { .. } => cast("DATETIME(6)"),
                _ => "?".into(),
            },
            Dialect::Sqlite => match kind {
                FieldType::Boolean | FieldType::Int64 => cast("INTEGER"),
                FieldType::Float64 => cast("REAL"),
                FieldType::Decimal { .. } => cast("NUMERIC"),
                FieldType::Timestamp { .. } => "strftime('%Y-%m-%d %H:%M:%f', ?)".into(),
                _ => "?".into(),
            },
            Dialect::SqlServer => self.param_sql_server(),
            Dialect::Oracle => self.param_oracle(),
            Dialect::Sybase => match kind {
                FieldType::Boolean => "CONVERT(bit, ?)".into(),
                FieldType::Int64 => "CONVERT(bigint, ?)".into(),
                FieldType::Float64 => "CONVERT(double precision, ?)".into(),
                FieldType::Decimal { .. } => format!("CONVERT({}, ?)", self.numeric("numeric")),
                FieldType::Date => "CONVERT(date, ?)".into(),
                FieldType::Time => "CONVERT(bigtime, ?)".into(),
                FieldType::Timestamp { .. } => "CONVERT(bigdatetime, ?)".into(),
                _ => "?".into(),
            },
            Dialect::Db2 => match kind {
                FieldType::Boolean => cast("BOOLEAN"),
                FieldType::Int64 => cast("BIGINT"),
                FieldType::Float64 => cast("DOUBLE"),
                FieldType::Decimal { .. } => cast(&self.numeric("DECIMAL")),
                FieldType::Date => cast("DATE"),
                FieldType::Time => cast("TIME"),
                FieldType::Timestamp { .. } => cast("TIMESTAMP(6)"),
                _ => "?".into(),
            },
            Dialect::Generic => "?".into(),
        }
    }

    /// A parameter as a value to be stored in the column, whose type in the server's words is `declared`.
    pub(super) fn stored(&self, declared: &str) -> String {
        match (self.dialect, &self.field.kind) {
            (_, FieldType::Binary) => "?".into(),
            // a type that texts are not assigned to by themselves (an enum, an address)
            (Dialect::Postgres, FieldType::Text | FieldType::List(_)) if !is_text(declared) => {
                format!("CAST(CAST(? AS text) AS {declared})")
            }
            // what it makes of a text is exact, where a cast would need the column's own digits
            (Dialect::Mysql, kind) if *kind != FieldType::Boolean => "?".into(),
            (Dialect::Oracle, FieldType::Text | FieldType::Json | FieldType::List(_)) => "?".into(),
            (Dialect::Oracle, FieldType::Time | FieldType::Uuid) => "?".into(),
            _ => self.param(),
        }
    }

    fn param_sql_server(&self) -> String {
        let cast = |name: &str| format!("CAST(? AS {name})");
        match &self.field.kind {
            FieldType::Boolean => cast("bit"),
            FieldType::Int64 => cast("bigint"),
            FieldType::Float64 => cast("float"),
            FieldType::Decimal { .. } => cast(&self.numeric("decimal")),
            FieldType::Date => cast("date"),
            FieldType::Time => cast("time(6)"),
            // A datetime has 1/300 seconds: as datetime2 it would compare as another time than it shows.
            FieldType::Timestamp { .. } if self.native.name == "datetime" => {
                "CONVERT(datetime, LEFT(?, 23), 121)".into()
            }
            FieldType::Timestamp { zoned: false } => cast("datetime2(6)"),
            FieldType::Timestamp { zoned: true } => cast("datetimeoffset(6)"),
            FieldType::Uuid => cast("uniqueidentifier"),
            _ => "?".into(),
        }
    }

    fn param_oracle(&self) -> String {
        const FORM: &str = "'YYYY-MM-DD HH24:MI:SS.FF6'";
        match &self.field.kind {
            FieldType::Boolean | FieldType::Int64 | FieldType::Decimal { .. } => "TO_NUMBER(?)".into(),
            FieldType::Float64 => "TO_BINARY_DOUBLE(?)".into(),
            // a whole second, so that a start lies no later and an end no later than asked; a cast would round up
            FieldType::Timestamp { .. } if self.native.name == "date" => {
                "TO_DATE(SUBSTR(?, 1, 19), 'YYYY-MM-DD HH24:MI:SS')".into()
            }
            FieldType::Date => "TO_DATE(?, 'YYYY-MM-DD')".into(),
            FieldType::Timestamp { zoned: false } => format!("TO_TIMESTAMP(?, {FORM})"),
            FieldType::Timestamp { zoned: true } => {
                format!("FROM_TZ(TO_TIMESTAMP(SUBSTR(?, 1, 26), {FORM}), 'UTC')")
            }
            // a parameter in the national character set would turn the column into it, and its index away
            FieldType::Text if !self.native.name.starts_with('n') => "TO_CHAR(?)".into(),
            _ => "?".into(),
        }
    }

    fn numeric(&self, name: &str) -> String {
        match self.field.kind {
            FieldType::Decimal { precision: Some(p), scale: Some(s) } => format!("{name}({p},{s})"),
            _ => format!("{name}(31,9)"),
        }
    }

    fn equals(&self) -> String {
        format!("{} = {}", self.compared(), self.param())
    }
}

/// Whether a type of PostgreSQL takes texts as they are, and refuses those that are too long.
fn is_text(declared: &str) -> bool {
    ["text", "character varying", "character", "name"]
        .contains(&declared.split('(').next().unwrap_or_default())
}

/// What a listing stops at, exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upper {
    /// The last parameter.
    Bound,
    /// Infinity and NaN, where the server has them.
    Infinity,
    /// Nothing.
    Open,
}

/// A listing: one statement. Columns are borrowed from the description.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    /// As it stands behind FROM.
    pub(super) table: &'a str,
    pub(super) columns: Vec<&'a Column>,
    /// Cursor and key, or what of them the listing is ordered by.
    pub(super) order: Vec<&'a Column>,
    /// The cursor column of an incremental listing.
    pub(super) cursor: Option<&'a Column>,
    /// The cursor column of a full listing that stops at the last parameter.
    pub(super) below: Option<&'a Column>,
    /// How far the start lies before the first parameter (decimals and doubles; others are moved before they are bound).
    pub(super) back: u64,
    pub(super) upper: Upper,
}

impl Listing<'_> {
    /// Parameters: the start (incremental), the end (if any).
    ///
    /// Rows without a cursor value are in every full listing.
    pub(super) fn render(&self) -> String {
        let mut sql = format!("SELECT {} FROM {} t", selected(&self.columns), self.table);
        if let Some(cursor) = self.cursor {
            let back = if self.back > 0 { format!(" - {}", self.back) } else { String::new() };
            sql += &format!(" WHERE {} >= {}{back}", cursor.compared(), cursor.param());
            match self.upper {
                Upper::Bound => sql += &format!(" AND {} < {}", cursor.compared(), cursor.param()),
                Upper::Infinity if cursor.dialect == Dialect::Postgres => {
                    let kind = if cursor.field.kind == FieldType::Float64 { "float8" } else { "numeric" };
                    sql += &format!(" AND {} < CAST('Infinity' AS {kind})", cursor.compared());
                }
                Upper::Infinity if cursor.dialect == Dialect::Sqlite => {
                    sql += &format!(" AND {} < 9e999", cursor.compared());
                }
                Upper::Infinity | Upper::Open => {}
            }
        }
        if let Some(cursor) = self.below {
            let compared = cursor.compared();
            sql += &format!(" WHERE ({compared} < {} OR {compared} IS NULL)", cursor.param());
        }
        if !self.order.is_empty() {
            sql += &format!(" ORDER BY {}", compared(&self.order));
        }
        sql
    }
}

fn selected(columns: &[&Column]) -> String {
    columns.iter().map(|c| c.selected()).collect::<Vec<_>>().join(", ")
}

fn compared(columns: &[&Column]) -> String {
    columns.iter().map(|c| c.compared()).collect::<Vec<_>>().join(", ")
}

/// A stream with further columns that the server computes.
///
/// # Errors
/// When the stream is not the name of a table.
pub(super) fn derived(stream: &str, columns: &[(String, String)], quote: char) -> Result<String, Error> {
    let from = if stream.trim_start().starts_with('(') {
        stream.trim().trim_end_matches(';').to_owned()
    } else {
        let parts = name_parts(stream)
            .ok_or_else(|| Error::new(Kind::Definition, format!("{stream:?} is not the name of a table")))?;
        // a plain one is left to the server, which folds its case
        let part = |(name, quoted): &(String, bool)| {
            if *quoted || !is_plain(name) { Ident { name, quote }.to_string() } else { name.clone() }
        };
        parts.iter().map(part).collect::<Vec<_>>().join(".")
    };
    let columns: Vec<_> =
        columns.iter().map(|(name, sql)| format!("({sql}) AS {}", Ident { name, quote })).collect();
    Ok(format!("(SELECT t.*, {} FROM {from} t)", columns.join(", ")))
}

/// No records, for the description of a statement.
pub(super) fn nothing(table: &str) -> String {
    format!("SELECT t.* FROM {table} t WHERE 1 = 0")
}

/// The records with `rows` keys. Parameters: the key values, row by row.
pub(super) fn fetch(table: &str, columns: &[&Column], key: &[&Column], rows: usize) -> String {
    let one = format!("({})", key.iter().map(|c| c.equals()).collect::<Vec<_>>().join(" AND "));
    format!("SELECT {} FROM {table} t WHERE {}", selected(columns), vec![one; rows].join(" OR "))
}

/// Keys that occur more than once. Keys with a null are no keys, so they are not counted.
pub(super) fn duplicates(table: &str, key: &[&Column], limit: usize, first: First) -> String {
    let not_null = key.iter().map(|c| format!("{} IS NOT NULL", c.plain())).collect::<Vec<_>>().join(" AND ");
    // grouped by what is selected: standard SQL selects nothing else
    let by: Vec<_> = key.iter().map(|c| c.plain()).collect();
    let inner = format!(
        "SELECT {by} FROM {table} t WHERE {not_null} GROUP BY {by} HAVING COUNT(*) > 1",
        by = by.join(", ")
    );
    limited(&format!("{} FROM ({inner}) t", selected(key)), limit, first)
}

/// The greatest value of a cursor column that a listing can start from. Not `MAX`, which not every sortable type has.
pub(super) fn greatest(table: &str, cursor: &Column, upper: Upper, first: First) -> String {
    let below = match (upper, cursor.dialect) {
        (Upper::Infinity, Dialect::Postgres) => format!("{} < 'Infinity'", cursor.plain()),
        _ => format!("{} IS NOT NULL", cursor.plain()),
    };
    let compared = cursor.compared();
    limited(&format!("{} FROM {table} t WHERE {below} ORDER BY {compared} DESC", cursor.selected()), 1, first)
}

/// `rest` is a statement without its SELECT.
fn limited(rest: &str, limit: usize, first: First) -> String {
    match first {
        First::Top => format!("SELECT TOP {limit} {rest}"),
        First::Limit => format!("SELECT {rest} LIMIT {limit}"),
        First::Fetch => format!("SELECT {rest} FETCH FIRST {limit} ROWS ONLY"),
        First::No => format!("SELECT {rest}"),
    }
}

#[cfg(test)]
mod tests {
    use syncline_core::schema::Field;

    use super::{super::types::Native, *};

    fn column(dialect: Dialect, name: &str, kind: FieldType, native: &str) -> Column {
        let quote = if dialect == Dialect::Mysql { '`' } else { '"' };
        let native = Native { name: native.into(), ..Native::default() };
        Column::new(dialect, quote, Field::new(name, kind, false), native)
    }

    #[test]
    fn names_as_users_write_them() {
        let parts =
            |text| name_parts(text).map(|p| p.into_iter().map(|(n, _)| n).collect::<Vec<_>>().join("|"));
        for (text, expected) in [
            ("projects", Some("projects")),
            (" dbo.projects ", Some("dbo|projects")),
            ("[my db].dbo.[a]]b]", Some("my db|dbo|a]b")),
            (r#""Odd.Name"."say ""hi""""#, Some("Odd.Name|say \"hi\"")),
            ("`a``b`", Some("a`b")),
            ("a.b.c.d", None),
            ("a..b", None),
            ("", None),
            ("[open", None),
            ("[a]b", None),
        ] {
            assert_eq!(parts(text).as_deref(), expected, "{text}");
        }
        assert_eq!(written(&["dbo", "a.b\""]), r#"dbo."a.b""""#);
        let derived = |stream| derived(stream, &[("n".into(), "upper(t.a)".into())], '"').map_err(|e| e.kind);
        assert_eq!(
            derived("dbo.[x y]").as_deref(),
            Ok(r#"(SELECT t.*, (upper(t.a)) AS "n" FROM dbo."x y" t)"#)
        );
        assert_eq!(
            derived("x; drop table y").as_deref(),
            Ok(r#"(SELECT t.*, (upper(t.a)) AS "n" FROM "x; drop table y" t)"#)
        );
        assert_eq!(derived("a..b"), Err(Kind::Definition));
        assert_eq!(
            derived("(select 1)").as_deref(),
            Ok(r#"(SELECT t.*, (upper(t.a)) AS "n" FROM (select 1) t)"#)
        );
    }

    #[test]
    fn oracle() {
        let zoned = FieldType::Timestamp { zoned: true };
        let id = column(
            Dialect::Oracle,
            "ID",
            FieldType::Decimal { precision: Some(10), scale: Some(0) },
            "number",
        );
        let at = column(Dialect::Oracle, "AT", zoned, "timestamp(6) with time zone");
        let day = column(Dialect::Oracle, "DAY", FieldType::Timestamp { zoned: false }, "date");
        let code = column(Dialect::Oracle, "CODE", FieldType::Text, "varchar2");
        let listing = Listing {
            table: r#""HR"."PEOPLE""#,
            columns: vec![&id, &at],
            order: vec![&at, &id],
            cursor: Some(&at),
            below: None,
            back: 0,
            upper: Upper::Bound,
        };
        assert_eq!(
            listing.render(),
            r#"SELECT t."ID", SYS_EXTRACT_UTC(t."AT") FROM "HR"."PEOPLE" t WHERE t."AT" >= FROM_TZ(TO_TIMESTAMP(SUBSTR(?, 1, 26), 'YYYY-MM-DD HH24:MI:SS.FF6'), 'UTC') AND t."AT" < FROM_TZ(TO_TIMESTAMP(SUBSTR(?, 1, 26), 'YYYY-MM-DD HH24:MI:SS.FF6'), 'UTC') ORDER BY t."AT", t."ID""#
        );
        assert_eq!(
            fetch("x", &[&id], &[&day, &code], 2),
            r#"SELECT t."ID" FROM x t WHERE (t."DAY" = TO_DATE(SUBSTR(?, 1, 19), 'YYYY-MM-DD HH24:MI:SS') AND t."CODE" = TO_CHAR(?)) OR (t."DAY" = TO_DATE(SUBSTR(?, 1, 19), 'YYYY-MM-DD HH24:MI:SS') AND t."CODE" = TO_CHAR(?))"#
        );
        assert_eq!(
            duplicates("x", &[&code], 3, First::Fetch),
            r#"SELECT t."CODE" FROM (SELECT t."CODE" FROM x t WHERE t."CODE" IS NOT NULL GROUP BY t."CODE" HAVING COUNT(*) > 1) t FETCH FIRST 3 ROWS ONLY"#
        );
    }

    #[test]
    fn sql_server_and_sybase() {
        let price = FieldType::Decimal { precision: Some(12), scale: Some(2) };
        let at = column(Dialect::SqlServer, "at", FieldType::Timestamp { zoned: false }, "datetime");
        let cents = column(Dialect::SqlServer, "a\"b", price.clone(), "decimal");
        let old = column(Dialect::Sybase, "price", price, "numeric");
        let listing = Listing {
            table: r#""dbo"."t""#,
            columns: vec![&cents],
            order: vec![&cents],
            cursor: Some(&cents),
            below: None,
            back: 5,
            upper: Upper::Infinity,
        };
        assert_eq!(
            listing.render(),
            r#"SELECT t."a""b" FROM "dbo"."t" t WHERE t."a""b" >= CAST(? AS decimal(12,2)) - 5 ORDER BY t."a""b""#
        );
        assert_eq!(
            greatest("t", &at, Upper::Bound, First::Top),
            r#"SELECT TOP 1 t."at" FROM t t WHERE t."at" IS NOT NULL ORDER BY t."at" DESC"#
        );
        assert_eq!(
            fetch("t", &[&at], &[&at], 1),
            r#"SELECT t."at" FROM t t WHERE (t."at" = CONVERT(datetime, LEFT(?, 23), 121))"#
        );
        assert_eq!(
            fetch("t", &[&old], &[&old], 1),
            r#"SELECT t."price" FROM t t WHERE (t."price" = CONVERT(numeric(12,2), ?))"#
        );
    }

    #[test]
    fn postgres_and_mysql() {
        let zoned = FieldType::Timestamp { zoned: true };
        let at = column(Dialect::Postgres, "at", zoned.clone(), "timestamptz");
        let n = column(Dialect::Mysql, "a`b", zoned, "timestamp");
        assert_eq!(
            fetch("(select 1)", &[&at], &[&at], 1),
            r#"SELECT CAST(t."at" AT TIME ZONE 'UTC' AS text) FROM (select 1) t WHERE (t."at" = CAST(? AS timestamptz))"#
        );
        assert_eq!(
            fetch("`d`.`t`", &[&n], &[&n], 1),
            "SELECT t.`a``b` FROM `d`.`t` t WHERE (t.`a``b` = CAST(? AS DATETIME(6)))"
        );
    }
}
