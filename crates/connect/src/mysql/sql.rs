//! Pure rendering of SQL. Names go through [`Ident`], values through parameters; nothing else reaches a statement but
//! the statement that a sync reads from, as its author wrote it.

use std::fmt::{self, Display, Formatter};

use crate::{Error, error::Kind};

/// A name, always quoted when shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ident(pub(super) String);

impl Display for Ident {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0.replace('`', "``"))
    }
}

/// What records are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A table or view as found.
    Table {
        /// Its database.
        schema: Ident,
        /// Its name.
        name: Ident,
    },
    /// A statement in parentheses.
    Statement(String),
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table { schema, name } => write!(f, "{schema}.{name}"),
            Self::Statement(text) => f.write_str(text),
        }
    }
}

/// A table name as users write it: `projects`, `shop.projects`, names with other signs in backquotes. Database, if given,
/// and table; nothing when it is not a name.
pub(super) fn table_name(text: &str) -> Option<(Option<String>, String)> {
    let (first, rest) = name_part(text.trim())?;
    match rest.strip_prefix('.') {
        None if rest.is_empty() => Some((None, first)),
        None => None,
        Some(rest) => {
            let (second, rest) = name_part(rest)?;
            rest.is_empty().then_some((Some(first), second))
        }
    }
}

/// A stream with further columns that the server computes.
///
/// # Errors
/// When the stream is not the name of a table.
pub(super) fn derived(stream: &str, columns: &[(String, String)]) -> Result<String, Error> {
    let from = if stream.trim_start().starts_with('(') {
        stream.to_owned()
    } else {
        let named = table_name(stream)
            .ok_or_else(|| Error::new(Kind::Definition, format!("{stream:?} is not the name of a table")))?;
        let (schema, name) = (named.0.map(|schema| format!("{}.", Ident(schema))), Ident(named.1));
        format!("{}{name}", schema.unwrap_or_default())
    };
    let columns: Vec<_> =
        columns.iter().map(|(name, sql)| format!("({sql}) AS {}", Ident(name.clone()))).collect();
    Ok(format!("(SELECT t.*, {} FROM {from} AS t)", columns.join(", ")))
}

/// The first part of a dotted name, and what follows it.
fn name_part(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('`') else {
        let end = text.find(['.', '`']).unwrap_or(text.len());
        let (part, rest) = text.split_at(end);
        return (!part.is_empty()).then(|| (part.to_owned(), rest));
    };
    let mut name = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        if c != '`' {
            name.push(c);
        } else if quoted[at + 1..].starts_with('`') {
            name.push('`');
            chars.next();
        } else {
            return (!name.is_empty()).then_some((name, &quoted[at + 1..]));
        }
    }
    None
}

/// A name as a user may write it: quoted only where it has to be.
pub(super) fn written(name: &str) -> String {
    let plain =
        !name.is_empty() && !name.contains(['.', '`']) && name.trim() == name && !name.starts_with('(');
    if plain { name.to_owned() } else { Ident(name.to_owned()).to_string() }
}

/// A column in a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnSql {
    /// Its name.
    pub(super) name: Ident,
    /// Where a parameter stands that it is compared with.
    pub(super) place: String,
}

impl Display for ColumnSql {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "t.{}", self.name)
    }
}

/// A listing. Columns are borrowed from the description.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    pub(super) origin: &'a Origin,
    pub(super) columns: Vec<&'a ColumnSql>,
    pub(super) key: Vec<&'a ColumnSql>,
    /// The cursor column of an incremental listing.
    pub(super) cursor: Option<&'a ColumnSql>,
    /// How far the start lies before the first parameter (decimals; others are moved before they are bound).
    pub(super) back: u64,
    /// Whether the cursor is a date: a zero date and one without month or day is no position.
    pub(super) is_date: bool,
    /// Whether the listing stops below the last parameter.
    pub(super) is_bounded: bool,
    /// Rows of a page; none: one statement for the whole listing.
    pub(super) page: Option<usize>,
    /// Whether rows come ordered by key.
    pub(super) is_ordered: bool,
}

impl Listing<'_> {
    /// The first page, or the whole listing. Parameters: the start (incremental), the bound (if any).
    pub(super) fn first(&self) -> String {
        let start = self.cursor.map(|cursor| {
            let back = if self.back > 0 { format!(" - {}", self.back) } else { String::new() };
            format!("{cursor} >= {}{back}", cursor.place)
        });
        self.render(start)
    }

    /// A later page. Parameters: [`after_params`] of the order columns of the last row of the page before, then the bound
    /// (if any).
    pub(super) fn next(&self) -> String {
        self.render(Some(after(&self.order())))
    }

    /// The columns the rows are ordered by.
    fn order(&self) -> Vec<&ColumnSql> {
        let key = if self.is_ordered { self.key.as_slice() } else { &[] };
        self.cursor.into_iter().chain(key.iter().copied()).collect()
    }

    fn render(&self, condition: Option<String>) -> String {
        let mut conditions: Vec<_> = condition.into_iter().collect();
        if let Some(cursor) = self.cursor {
            if self.is_date {
                conditions.push(format!("LAST_DAY({cursor}) >= DATE({cursor})"));
                conditions.push(format!("DAYOFMONTH({cursor}) > 0"));
            }
            if self.is_bounded {
                conditions.push(format!("{cursor} < {}", cursor.place));
            }
        }
        let mut sql = format!("SELECT {} FROM {} AS t", list(&self.columns), self.origin);
        let mut part = |word: &str, what: &str| {
            if !what.is_empty() {
                sql.push_str(word);
                sql.push_str(what);
            }
        };
        part(" WHERE ", &conditions.join(" AND "));
        part(" ORDER BY ", &list(&self.order()));
        part(" LIMIT ", &self.page.map(|n| n.to_string()).unwrap_or_default());
        sql
    }
}

/// Behind a row in the order of these columns. Not `(a, b) > (?, ?)`, for which neither server walks an index.
fn after(order: &[&ColumnSql]) -> String {
    match order {
        [] => "FALSE".to_owned(),
        [last] => format!("{last} > {}", last.place),
        [first, rest @ ..] => {
            let place = &first.place;
            format!("({first} > {place} OR {first} = {place} AND {})", after(rest))
        }
    }
}

/// The values of the order columns as [`Listing::next`] takes them: all but the last twice.
pub(super) fn after_params<T: Clone>(order: &[T]) -> Vec<T> {
    let (last, others) = match order.split_last() {
        Some((last, others)) => (Some(last), others),
        None => (None, order),
    };
    others.iter().flat_map(|value| [value, value]).chain(last).cloned().collect()
}

fn list(columns: &[&ColumnSql]) -> String {
    columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The columns of a statement, without any of its rows.
pub(super) fn no_rows(origin: &Origin) -> String {
    format!("SELECT * FROM {origin} AS t LIMIT 0")
}

/// The records with `rows` keys. Parameters: the key values, row by row.
pub(super) fn fetch(origin: &Origin, columns: &[&ColumnSql], key: &[&ColumnSql], rows: usize) -> String {
    let parts: Vec<_> = key.iter().map(|c| format!("{c} = {}", c.place)).collect();
    let one = format!("({})", parts.join(" AND "));
    format!("SELECT {} FROM {origin} AS t WHERE {}", list(columns), vec![one; rows].join(" OR "))
}

/// Keys that occur more than once. Keys with a null are no keys, so they are not counted.
pub(super) fn duplicates(origin: &Origin, key: &[&ColumnSql], limit: usize) -> String {
    let not_null: Vec<_> = key.iter().map(|c| format!("{c} IS NOT NULL")).collect();
    let (key, not_null) = (list(key), not_null.join(" AND "));
    format!(
        "SELECT {key} FROM {origin} AS t WHERE {not_null} GROUP BY {key} HAVING COUNT(*) > 1 LIMIT {limit}"
    )
}

/// The greatest value of a cursor column.
pub(super) fn greatest(origin: &Origin, cursor: &ColumnSql) -> String {
    format!("SELECT {cursor} FROM {origin} AS t WHERE {cursor} IS NOT NULL ORDER BY {cursor} DESC LIMIT 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> ColumnSql {
        ColumnSql { name: Ident(name.into()), place: "?".into() }
    }

    fn table() -> Origin {
        Origin::Table { schema: Ident("shop".into()), name: Ident("say `hi`".into()) }
    }

    #[test]
    fn columns_that_the_server_computes() {
        let columns = [("a`b".to_owned(), "round(x, 2)".to_owned()), ("n".to_owned(), "1".to_owned())];
        let from = |stream: &str| derived(stream, &columns).unwrap();
        assert_eq!(
            from("shop.items"),
            "(SELECT t.*, (round(x, 2)) AS `a``b`, (1) AS `n` FROM `shop`.`items` AS t)"
        );
        assert_eq!(
            from("(SELECT 1 AS x)"),
            "(SELECT t.*, (round(x, 2)) AS `a``b`, (1) AS `n` FROM (SELECT 1 AS x) AS t)"
        );
        assert_eq!(derived("a.b.c", &columns).unwrap_err().kind, Kind::Definition);
    }

    #[test]
    fn names_as_users_write_them() {
        let name = |schema: Option<&str>, name: &str| Some((schema.map(str::to_owned), name.to_owned()));
        for (text, expected) in [
            ("projects", name(None, "projects")),
            (" shop.Projects ", name(Some("shop"), "Projects")),
            ("`Odd.Name`.`x`", name(Some("Odd.Name"), "x")),
            ("shop.`say ``hi```", name(Some("shop"), "say `hi`")),
            ("select", name(None, "select")),
            ("temps réel", name(None, "temps réel")),
            ("a.b.c", None),
            ("a..b", None),
            (".a", None),
            ("a.", None),
            ("", None),
            ("`open", None),
            ("``", None),
            ("`a`b", None),
        ] {
            assert_eq!(table_name(text), expected, "{text}");
        }
        for name in ["projects", "a.b", "say `hi`", "(x", " y"] {
            assert_eq!(table_name(&written(name)), Some((None, name.to_owned())));
        }
    }

    #[test]
    fn full_pages_walk_the_key() {
        let (table, code, year) = (table(), column("code"), column("Jahr`"));
        let listing = Listing {
            origin: &table,
            columns: vec![&code, &year],
            key: vec![&year, &code],
            cursor: None,
            back: 0,
            is_date: false,
            is_bounded: false,
            page: Some(500),
            is_ordered: true,
        };
        assert_eq!(
            listing.first(),
            "SELECT t.`code`, t.`Jahr``` FROM `shop`.`say ``hi``` AS t ORDER BY t.`Jahr```, t.`code` LIMIT 500"
        );
        assert_eq!(
            listing.next(),
            "SELECT t.`code`, t.`Jahr``` FROM `shop`.`say ``hi``` AS t WHERE (t.`Jahr``` > ? OR t.`Jahr``` = ? AND \
             t.`code` > ?) ORDER BY t.`Jahr```, t.`code` LIMIT 500"
        );
        assert_eq!(after_params(&[1, 2, 3]), [1, 1, 2, 2, 3]);
        let statement = Origin::Statement("(select 1 AS code)".into());
        let unordered =
            Listing { origin: &statement, columns: vec![&code], page: None, is_ordered: false, ..listing };
        assert_eq!(unordered.first(), "SELECT t.`code` FROM (select 1 AS code) AS t");
    }

    #[test]
    fn incremental_pages_walk_cursor_and_key_below_the_bound() {
        let (table, id, at) = (table(), column("id"), column("at"));
        let listing = Listing {
            origin: &table,
            columns: vec![&id, &at],
            key: vec![&id],
            cursor: Some(&at),
            back: 0,
            is_date: true,
            is_bounded: true,
            page: Some(2),
            is_ordered: true,
        };
        assert_eq!(
            listing.first(),
            "SELECT t.`id`, t.`at` FROM `shop`.`say ``hi``` AS t WHERE t.`at` >= ? AND LAST_DAY(t.`at`) >= DATE(t.`at`) \
             AND DAYOFMONTH(t.`at`) > 0 AND t.`at` < ? ORDER BY t.`at`, t.`id` LIMIT 2"
        );
        let amount = ColumnSql { place: "CAST(? AS DECIMAL(65,30))".into(), ..column("n") };
        let by_number = Listing {
            cursor: Some(&amount),
            back: 7,
            is_date: false,
            is_bounded: false,
            page: None,
            ..listing
        };
        assert_eq!(
            by_number.first(),
            "SELECT t.`id`, t.`at` FROM `shop`.`say ``hi``` AS t WHERE t.`n` >= CAST(? AS DECIMAL(65,30)) - 7 ORDER BY \
             t.`n`, t.`id`"
        );
        assert_eq!(
            by_number.next(),
            "SELECT t.`id`, t.`at` FROM `shop`.`say ``hi``` AS t WHERE (t.`n` > CAST(? AS DECIMAL(65,30)) OR t.`n` = \
             CAST(? AS DECIMAL(65,30)) AND t.`id` > ?) ORDER BY t.`n`, t.`id`"
        );
    }

    #[test]
    fn look_ups() {
        let (table, id, code) = (table(), column("id"), column("code"));
        assert_eq!(
            fetch(&table, &[&id], &[&id, &code], 2),
            "SELECT t.`id` FROM `shop`.`say ``hi``` AS t WHERE (t.`id` = ? AND t.`code` = ?) OR (t.`id` = ? AND \
             t.`code` = ?)"
        );
        assert_eq!(
            duplicates(&table, &[&code], 10),
            "SELECT t.`code` FROM `shop`.`say ``hi``` AS t WHERE t.`code` IS NOT NULL GROUP BY t.`code` HAVING \
             COUNT(*) > 1 LIMIT 10"
        );
        assert_eq!(
            greatest(&table, &id),
            "SELECT t.`id` FROM `shop`.`say ``hi``` AS t WHERE t.`id` IS NOT NULL ORDER BY t.`id` DESC LIMIT 1"
        );
    }
}
