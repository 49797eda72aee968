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

/// `"a", "b"`.
pub(super) fn list(names: &[String]) -> String {
    names.iter().map(|name| Ident(name).to_string()).collect::<Vec<_>>().join(", ")
}

/// Columns of a listing in order: those of the reader first, then those it is ordered by, as stored.
pub(super) fn page(
    table: &str,
    columns: &[String],
    order: &[String],
    after: After,
    limit: Option<usize>,
) -> String {
    let mut sql = format!("SELECT {}", list(columns));
    if !order.is_empty() {
        sql += &format!(", {}", list(order));
    }
    sql += &format!(" FROM {}", Ident(table));
    let places = |n: usize| (1..=n).map(|i| format!("?{i}")).collect::<Vec<_>>().join(", ");
    match after {
        After::Start => {}
        After::From => sql += &format!(" WHERE {} >= ?1", Ident(&order[0])),
        After::Row => sql += &format!(" WHERE ({}) > ({})", list(order), places(order.len())),
    }
    if !order.is_empty() {
        sql += &format!(" ORDER BY {}", list(order));
    }
    limit.map_or(sql.clone(), |n| format!("{sql} LIMIT {n}"))
}

/// Where a page starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// At the start.
    Start,
    /// At a value of the first column of the order, inclusive.
    From,
    /// After a row.
    Row,
}

/// The records with some keys; an integer cast to text or the like is the caller's business.
pub(super) fn fetch(table: &str, columns: &[String], key: &[String], keys: usize) -> String {
    let mut place = 0;
    let rows: Vec<String> = (0..keys)
        .map(|_| {
            let terms: Vec<String> = key
                .iter()
                .map(|column| {
                    place += 1;
                    format!("{} = ?{place}", Ident(column))
                })
                .collect();
            format!("({})", terms.join(" AND "))
        })
        .collect();
    format!("SELECT {} FROM {} WHERE {}", list(columns), Ident(table), rows.join(" OR "))
}

/// Keys that occur more than once.
pub(super) fn duplicates(table: &str, key: &[String], limit: usize) -> String {
    let key = list(key);
    format!("SELECT {key} FROM {} GROUP BY {key} HAVING count(*) > 1 LIMIT {limit}", Ident(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn renders_pages() {
        let (columns, order) = (names(&["a", "b"]), names(&["b", "a"]));
        assert_eq!(
            page("t", &columns, &order, After::Row, Some(5)),
            r#"SELECT "a", "b", "b", "a" FROM "t" WHERE ("b", "a") > (?1, ?2) ORDER BY "b", "a" LIMIT 5"#
        );
        assert_eq!(
            page("t", &columns, &order, After::From, None),
            r#"SELECT "a", "b", "b", "a" FROM "t" WHERE "b" >= ?1 ORDER BY "b", "a""#
        );
        assert_eq!(page("t", &columns, &[], After::Start, None), r#"SELECT "a", "b" FROM "t""#);
    }

    #[test]
    fn names_stay_names() {
        let odd = names(&["a\"; DROP TABLE t; --", "select"]);
        assert_eq!(
            fetch("x.y", &odd, &odd[..1], 2),
            r#"SELECT "a""; DROP TABLE t; --", "select" FROM "x.y" WHERE ("a""; DROP TABLE t; --" = ?1) OR ("a""; DROP TABLE t; --" = ?2)"#
        );
        assert_eq!(
            duplicates("t", &odd[1..], 5),
            r#"SELECT "select" FROM "t" GROUP BY "select" HAVING count(*) > 1 LIMIT 5"#
        );
    }
}
