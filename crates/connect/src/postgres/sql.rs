//! Pure rendering of SQL. Names go through [`Ident`], values through parameters; nothing else reaches a statement.

use std::fmt::{self, Display, Formatter, Write as _};

/// A name, always quoted when shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ident(pub(super) String);

impl Display for Ident {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            if c == '"' {
                f.write_char('"')?;
            }
            f.write_char(c)?;
        }
        f.write_char('"')
    }
}

/// A table as found: schema and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) schema: Ident,
    pub(super) name: Ident,
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// A table name as users write it: `projects`, `public.projects`, `"Odd.Name"."x"`. Without quotes it is folded to lower
/// case as the server does; `exact` leaves it as it was written.
///
/// Returns the name quoted, for `to_regclass`; nothing when it is not a name.
pub(super) fn table_name(text: &str, exact: bool) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = text.trim();
    loop {
        let part;
        (part, rest) = name_part(rest, exact)?;
        parts.push(Ident(part).to_string());
        match rest.strip_prefix('.') {
            Some(next) => rest = next,
            None => break,
        }
    }
    (rest.is_empty() && parts.len() <= 2).then(|| parts.join("."))
}

/// The first part of a dotted name, and what follows it.
fn name_part(text: &str, exact: bool) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(['.', '"']).unwrap_or(text.len());
        let (part, rest) = text.split_at(end);
        let part = if exact { part.to_owned() } else { part.to_lowercase() };
        return (!part.is_empty()).then_some((part, rest));
    };
    let mut name = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            name.push(c);
        } else if quoted[at + 1..].starts_with('"') {
            name.push('"');
            chars.next();
        } else {
            return (!name.is_empty()).then_some((name, &quoted[at + 1..]));
        }
    }
    None
}

/// A column in a statement: how it is selected, compared and bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnSql {
    /// Its name.
    pub(super) name: Ident,
    /// What the server turns it into before it is sent (`text`), for types that have no field type of their own.
    pub(super) select_as: Option<&'static str>,
    /// The type parameters are sent as.
    pub(super) bind_as: String,
    /// The type a parameter is then turned into, where that differs.
    pub(super) compare_as: Option<String>,
}

impl ColumnSql {
    pub(super) fn selected(&self) -> String {
        match self.select_as {
            Some(kind) => format!("t.{}::{kind}", self.name),
            None => self.plain(),
        }
    }

    pub(super) fn plain(&self) -> String {
        format!("t.{}", self.name)
    }

    /// Parameter `n` as a value to compare the column with.
    fn param(&self, n: usize) -> String {
        match &self.compare_as {
            Some(kind) => format!("${n}::{}::{kind}", self.bind_as),
            None => format!("${n}::{}", self.bind_as),
        }
    }
}

/// What an incremental listing stops at, exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upper {
    /// The last parameter.
    Bound,
    /// Infinity and NaN: nothing that is read after them could be told from what was read before.
    Infinity,
    /// Nothing.
    Open,
}

/// A listing of a table. Columns are borrowed from the description.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    pub(super) table: &'a Table,
    pub(super) columns: Vec<&'a ColumnSql>,
    pub(super) key: Vec<&'a ColumnSql>,
    /// The cursor column of an incremental listing.
    pub(super) cursor: Option<&'a ColumnSql>,
    /// How far the start lies before the first parameter (number cursors; others are moved before they are bound).
    pub(super) back: u64,
    pub(super) upper: Upper,
    /// Rows of a page; none: one statement for the whole listing.
    pub(super) page: Option<usize>,
    /// Whether rows come ordered by key.
    pub(super) ordered: bool,
}

impl Listing<'_> {
    /// The first page, or the whole listing. Parameters: the start (incremental), the bound (if any).
    pub(super) fn first(&self) -> String {
        let mut n = 0;
        let mut conditions = Vec::new();
        if let Some(cursor) = self.cursor {
            n += 1;
            let back = if self.back > 0 { format!(" - {}", self.back) } else { String::new() };
            conditions.push(format!("{} >= {}{back}", cursor.plain(), cursor.param(n)));
            conditions.extend(self.below(cursor, n + 1));
        }
        self.render(&conditions)
    }

    /// A later page. Parameters: the order columns of the last row of the page before, then the bound (if any).
    pub(super) fn next(&self) -> String {
        let order = self.order();
        let left: Vec<_> = order.iter().map(|c| c.plain()).collect();
        let right: Vec<_> = order.iter().enumerate().map(|(i, c)| c.param(i + 1)).collect();
        // one row comparison, not a chain of "or": only this form walks the index
        let mut conditions = vec![format!("({}) > ({})", left.join(", "), right.join(", "))];
        if let Some(cursor) = self.cursor {
            conditions.extend(self.below(cursor, order.len() + 1));
        }
        self.render(&conditions)
    }

    /// The columns the rows are ordered by, which are the parameters of the next page.
    fn order(&self) -> Vec<&ColumnSql> {
        let key = if self.ordered { self.key.as_slice() } else { &[] };
        self.cursor.into_iter().chain(key.iter().copied()).collect()
    }

    fn below(&self, cursor: &ColumnSql, n: usize) -> Option<String> {
        match self.upper {
            Upper::Bound => Some(format!("{} < {}", cursor.plain(), cursor.param(n))),
            Upper::Infinity => Some(format!("{} < 'Infinity'::{}", cursor.plain(), cursor.bind_as)),
            Upper::Open => None,
        }
    }

    fn render(&self, conditions: &[String]) -> String {
        let mut sql = format!("SELECT {} FROM {} AS t", selected(&self.columns), self.table);
        let mut part = |word: &str, what: &str| {
            if !what.is_empty() {
                sql.push_str(word);
                sql.push_str(what);
            }
        };
        part(" WHERE ", &conditions.join(" AND "));
        part(" ORDER BY ", &self.order().iter().map(|c| c.plain()).collect::<Vec<_>>().join(", "));
        part(" LIMIT ", &self.page.map(|n| n.to_string()).unwrap_or_default());
        sql
    }
}

fn selected(columns: &[&ColumnSql]) -> String {
    columns.iter().map(|c| c.selected()).collect::<Vec<_>>().join(", ")
}

/// The records with `rows` keys. Parameters: the key values, row by row.
pub(super) fn fetch(table: &Table, columns: &[&ColumnSql], key: &[&ColumnSql], rows: usize) -> String {
    let width = key.len();
    let tuple = |row: usize| {
        let values: Vec<_> = key.iter().enumerate().map(|(i, c)| c.param(row * width + i + 1)).collect();
        format!("({})", values.join(", "))
    };
    format!(
        "SELECT {} FROM {table} AS t WHERE ({}) IN (VALUES {})",
        selected(columns),
        key.iter().map(|c| c.plain()).collect::<Vec<_>>().join(", "),
        (0..rows).map(tuple).collect::<Vec<_>>().join(", "),
    )
}

/// Keys that occur more than once. Keys with a null are no keys, so they are not counted.
pub(super) fn duplicates(table: &Table, key: &[&ColumnSql], limit: usize) -> String {
    let plain: Vec<_> = key.iter().map(|c| c.plain()).collect();
    format!(
        "SELECT {} FROM {table} AS t WHERE {} GROUP BY {} HAVING count(*) > 1 LIMIT {limit}",
        selected(key),
        plain.iter().map(|c| format!("{c} IS NOT NULL")).collect::<Vec<_>>().join(" AND "),
        plain.join(", "),
    )
}

/// The greatest value of a cursor column that a listing can start from. Not `max`, which not every sortable type has.
pub(super) fn greatest(table: &Table, cursor: &ColumnSql, upper: Upper) -> String {
    let below = match upper {
        Upper::Infinity => format!("< 'Infinity'::{}", cursor.bind_as),
        Upper::Bound | Upper::Open => "IS NOT NULL".to_owned(),
    };
    let plain = cursor.plain();
    format!(
        "SELECT {} FROM {table} AS t WHERE {plain} {below} ORDER BY {plain} DESC LIMIT 1",
        cursor.selected()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, bind_as: &str) -> ColumnSql {
        ColumnSql { name: Ident(name.into()), select_as: None, bind_as: bind_as.into(), compare_as: None }
    }

    fn odd_table() -> Table {
        Table { schema: Ident("Odd.Schema".into()), name: Ident("say \"hi\"".into()) }
    }

    #[test]
    fn names_as_users_write_them() {
        for (text, expected) in [
            ("projects", Some(r#""projects""#)),
            ("public.projects", Some(r#""public"."projects""#)),
            (" Public.Projects ", Some(r#""public"."projects""#)),
            (r#""Odd.Name"."x""#, Some(r#""Odd.Name"."x""#)),
            (r#"public."say ""hi""""#, Some(r#""public"."say ""hi""""#)),
            ("select", Some(r#""select""#)),
            ("Übersicht", Some(r#""übersicht""#)),
            ("temps réel", Some(r#""temps réel""#)),
            ("a.b.c", None),
            ("a..b", None),
            (".a", None),
            ("a.", None),
            ("", None),
            (r#""open"#, None),
            (r#""""#, None),
            (r#""a"b"#, None),
            (r#"a"b""#, None),
        ] {
            assert_eq!(table_name(text, false).as_deref(), expected, "{text}");
        }
        assert_eq!(table_name("Public.Projects", true).as_deref(), Some(r#""Public"."Projects""#));
    }

    #[test]
    fn full_pages_walk_the_key() {
        let (table, code, year) = (odd_table(), column("code", "text"), column("Jahr\"", "int8"));
        let note = ColumnSql { select_as: Some("text"), ..column("order", "text") };
        let listing = Listing {
            table: &table,
            columns: vec![&code, &year, &note],
            key: vec![&year, &code],
            cursor: None,
            back: 0,
            upper: Upper::Open,
            page: Some(500),
            ordered: true,
        };
        assert_eq!(
            listing.first(),
            r#"SELECT t."code", t."Jahr""", t."order"::text FROM "Odd.Schema"."say ""hi""" AS t ORDER BY t."Jahr""", t."code" LIMIT 500"#
        );
        assert_eq!(
            listing.next(),
            r#"SELECT t."code", t."Jahr""", t."order"::text FROM "Odd.Schema"."say ""hi""" AS t WHERE (t."Jahr""", t."code") > ($1::int8, $2::text) ORDER BY t."Jahr""", t."code" LIMIT 500"#
        );
        let unordered = Listing { page: None, ordered: false, ..listing };
        assert_eq!(
            unordered.first(),
            r#"SELECT t."code", t."Jahr""", t."order"::text FROM "Odd.Schema"."say ""hi""" AS t"#
        );
    }

    #[test]
    fn incremental_pages_walk_cursor_and_key_below_the_bound() {
        let table = Table { schema: Ident("public".into()), name: Ident("t".into()) };
        let (id, at) = (column("id", "uuid"), column("at", "timestamptz"));
        let listing = Listing {
            table: &table,
            columns: vec![&id, &at],
            key: vec![&id],
            cursor: Some(&at),
            back: 0,
            upper: Upper::Bound,
            page: Some(2),
            ordered: true,
        };
        assert_eq!(
            listing.first(),
            r#"SELECT t."id", t."at" FROM "public"."t" AS t WHERE t."at" >= $1::timestamptz AND t."at" < $2::timestamptz ORDER BY t."at", t."id" LIMIT 2"#
        );
        assert_eq!(
            listing.next(),
            r#"SELECT t."id", t."at" FROM "public"."t" AS t WHERE (t."at", t."id") > ($1::timestamptz, $2::uuid) AND t."at" < $3::timestamptz ORDER BY t."at", t."id" LIMIT 2"#
        );
        let number = column("n", "numeric");
        let by_number =
            Listing { cursor: Some(&number), back: 7, upper: Upper::Infinity, page: None, ..listing };
        assert_eq!(
            by_number.first(),
            r#"SELECT t."id", t."at" FROM "public"."t" AS t WHERE t."n" >= $1::numeric - 7 AND t."n" < 'Infinity'::numeric ORDER BY t."n", t."id""#
        );
    }

    #[test]
    fn look_ups() {
        let table = Table { schema: Ident("public".into()), name: Ident("t".into()) };
        let (id, net) = (
            column("id", "int8"),
            ColumnSql {
                select_as: Some("text"),
                compare_as: Some(r#""pg_catalog"."inet""#.into()),
                ..column("net", "text")
            },
        );
        assert_eq!(
            fetch(&table, &[&id, &net], &[&id, &net], 2),
            r#"SELECT t."id", t."net"::text FROM "public"."t" AS t WHERE (t."id", t."net") IN (VALUES ($1::int8, $2::text::"pg_catalog"."inet"), ($3::int8, $4::text::"pg_catalog"."inet"))"#
        );
        assert_eq!(
            duplicates(&table, &[&net], 10),
            r#"SELECT t."net"::text FROM "public"."t" AS t WHERE t."net" IS NOT NULL GROUP BY t."net" HAVING count(*) > 1 LIMIT 10"#
        );
        assert_eq!(
            greatest(&table, &id, Upper::Open),
            r#"SELECT t."id" FROM "public"."t" AS t WHERE t."id" IS NOT NULL ORDER BY t."id" DESC LIMIT 1"#
        );
    }
}
