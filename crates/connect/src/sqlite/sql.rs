//! Pure rendering of SQL. Names go through [`Ident`], values through parameters.

use std::fmt::{self, Display, Formatter};

/// A name, always quoted when shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ident<'a>(pub(super) &'a str);

impl Display for Ident<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A name as users write it: bare, in double quotes, with `main.` before it.
pub(super) fn table_name(text: &str) -> String {
    let text = text.trim();
    let bare = ["main.", "\"main\"."].iter().find_map(|p| text.strip_prefix(p)).unwrap_or(text);
    match bare.strip_prefix('"').and_then(|b| b.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => bare.to_owned(),
    }
}

/// A column in a statement. Always with its table: SQLite takes a quoted name it does not know for a text.
pub(super) fn column(name: &str) -> String {
    format!("t.{}", Ident(name))
}

/// What a listing is ordered by, or a look-up compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Term {
    /// The column.
    pub(super) name: String,
    /// A function that makes its values comparable, where what is stored is not.
    pub(super) function: Option<&'static str>,
    /// The collation of the index that makes it unique, which is the one it must be ordered by.
    pub(super) collation: Option<String>,
}

impl Display for Term {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.function {
            Some(function) => write!(f, "{function}({})", column(&self.name))?,
            None => f.write_str(&column(&self.name))?,
        }
        match &self.collation {
            Some(collation) => write!(f, " COLLATE {}", Ident(collation)),
            None => Ok(()),
        }
    }
}

/// A listing. Rows hold the columns, then the terms they are ordered by, as they are compared.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    pub(super) table: &'a str,
    pub(super) columns: &'a [String],
    pub(super) order: &'a [Term],
    /// A condition that holds whatever the page, without parameters.
    pub(super) always: Option<String>,
    /// Rows of a page; none: one statement for the whole listing.
    pub(super) page: Option<usize>,
}

impl Listing<'_> {
    /// The first page, from `?1` on where `start` says that there is one.
    pub(super) fn first(&self, start: bool) -> String {
        let start = self.order.first().filter(|_| start).map(|term| format!("{term} >= ?1"));
        self.render(start)
    }

    /// A page after the row whose terms are `?1` and so on.
    pub(super) fn next(&self) -> String {
        let places: Vec<_> = (1..=self.order.len()).map(|i| format!("?{i}")).collect();
        self.render(Some(format!("({}) > ({})", terms(self.order), places.join(", "))))
    }

    fn render(&self, condition: Option<String>) -> String {
        let columns =
            self.columns.iter().map(|c| column(c)).chain(self.order.iter().map(ToString::to_string));
        let mut sql =
            format!("SELECT {} FROM {} AS t", columns.collect::<Vec<_>>().join(", "), Ident(self.table));
        let conditions: Vec<_> = condition.into_iter().chain(self.always.clone()).collect();
        if !conditions.is_empty() {
            sql += &format!(" WHERE {}", conditions.join(" AND "));
        }
        if !self.order.is_empty() {
            sql += &format!(" ORDER BY {}", terms(self.order));
        }
        if let Some(page) = self.page {
            sql += &format!(" LIMIT {page}");
        }
        sql
    }
}

fn terms(terms: &[Term]) -> String {
    terms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The records with `rows` keys. Parameters: the key values, row by row.
pub(super) fn fetch(table: &str, columns: &[String], key: &[Term], rows: usize) -> String {
    let names: Vec<_> = columns.iter().map(|c| column(c)).collect();
    let one = |row: usize| {
        let parts = key.iter().enumerate().map(|(i, term)| format!("{term} = ?{}", row * key.len() + i + 1));
        format!("({})", parts.collect::<Vec<_>>().join(" AND "))
    };
    let keys: Vec<_> = (0..rows).map(one).collect();
    format!("SELECT {} FROM {} AS t WHERE {}", names.join(", "), Ident(table), keys.join(" OR "))
}

/// Keys that occur more than once. Keys with a null are no keys, so they are not counted.
pub(super) fn duplicates(table: &str, key: &[String], by: &[Term], limit: usize) -> String {
    let names: Vec<_> = key.iter().map(|c| column(c)).collect();
    let not_null: Vec<_> = by.iter().map(|term| format!("{term} IS NOT NULL")).collect();
    format!(
        "SELECT {} FROM {} AS t WHERE {} GROUP BY {} HAVING count(*) > 1 LIMIT {limit}",
        names.join(", "),
        Ident(table),
        not_null.join(" AND "),
        terms(by)
    )
}

/// The cell with the greatest value of `by` among those of `always`.
pub(super) fn greatest(table: &str, by: &Term, always: &str) -> String {
    format!(
        "SELECT {} FROM {} AS t WHERE {always} ORDER BY {by} DESC LIMIT 1",
        column(&by.name),
        Ident(table)
    )
}

/// Whether a column holds anything that does not fulfil `condition`, null apart.
pub(super) fn any_other(table: &str, name: &str, condition: &str) -> String {
    let c = column(name);
    format!("SELECT EXISTS (SELECT 1 FROM {} AS t WHERE {c} IS NOT NULL AND NOT ({condition}))", Ident(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(name: &str, function: Option<&'static str>) -> Term {
        Term { name: name.into(), function, collation: None }
    }

    #[test]
    fn names() {
        for (text, expected) in [
            ("projects", "projects"),
            ("main.projects", "projects"),
            (r#""say ""hi""""#, r#"say "hi""#),
            (r#"main."a.b""#, "a.b"),
            ("a.b", "a.b"),
        ] {
            assert_eq!(table_name(text), expected);
        }
        assert_eq!(Ident(r#"a"b"#).to_string(), r#""a""b""#);
    }

    #[test]
    fn pages() {
        let columns = ["id".to_owned(), "or\"der".to_owned()];
        let order = [term("at", Some("syncline_instant")), term("id", None)];
        let listing = Listing {
            table: "t.x",
            columns: &columns,
            order: &order,
            always: Some("1".into()),
            page: Some(10),
        };
        assert_eq!(
            listing.first(true),
            r#"SELECT t."id", t."or""der", syncline_instant(t."at"), t."id" FROM "t.x" AS t WHERE syncline_instant(t."at") >= ?1 AND 1 ORDER BY syncline_instant(t."at"), t."id" LIMIT 10"#
        );
        assert_eq!(
            listing.next(),
            r#"SELECT t."id", t."or""der", syncline_instant(t."at"), t."id" FROM "t.x" AS t WHERE (syncline_instant(t."at"), t."id") > (?1, ?2) AND 1 ORDER BY syncline_instant(t."at"), t."id" LIMIT 10"#
        );
        let all = Listing { order: &[], always: None, page: None, ..listing };
        assert_eq!(all.first(false), r#"SELECT t."id", t."or""der" FROM "t.x" AS t"#);
    }

    #[test]
    fn look_ups() {
        let collated = Term { collation: Some("NOCASE".into()), ..term("a", None) };
        assert_eq!(
            fetch("t", &["v".into()], &[collated.clone(), term("b", None)], 2),
            r#"SELECT t."v" FROM "t" AS t WHERE (t."a" COLLATE "NOCASE" = ?1 AND t."b" = ?2) OR (t."a" COLLATE "NOCASE" = ?3 AND t."b" = ?4)"#
        );
        assert_eq!(
            duplicates("t", &["b".into()], &[term("b", None)], 3),
            r#"SELECT t."b" FROM "t" AS t WHERE t."b" IS NOT NULL GROUP BY t."b" HAVING count(*) > 1 LIMIT 3"#
        );
        assert_eq!(
            greatest("t", &collated, "1"),
            r#"SELECT t."a" FROM "t" AS t WHERE 1 ORDER BY t."a" COLLATE "NOCASE" DESC LIMIT 1"#
        );
    }
}
