//! Names that stand for values in SQL: `:name`. The value is bound, so a statement is split here and never filled in.

/// What a database takes for text, names and comments, beside what all of them do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Syntax {
    /// A backslash in a text takes the meaning of what follows it (MySQL).
    pub backslash: bool,
    /// `#` begins a comment, and `--` only before white space (MySQL).
    pub hash: bool,
    /// `$tag$ … $tag$` is a text, `E'…'` one with backslashes, and comments nest (PostgreSQL).
    pub dollar: bool,
    /// `[name]` is a name (SQLite, SQL Server).
    pub brackets: bool,
}

impl Syntax {
    /// That of a kind of database, by the name of its connector; of one that is not known, what all have in common.
    pub fn named(database: &str) -> Self {
        let common = Self::default();
        match database {
            "postgres" => Self { dollar: true, ..common },
            "mysql" | "mariadb" => Self { backslash: true, hash: true, ..common },
            "sqlite" | "tsql" => Self { brackets: true, ..common },
            _ => common,
        }
    }
}

/// A `:name` in a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placeholder<'s> {
    /// Without the colon.
    pub name: &'s str,
    /// Where the colon stands, in bytes.
    pub at: usize,
}

/// The placeholders of a statement, in order. Texts, quoted names, comments, casts (`::`) and assignments (`:=`) have none,
/// nor has a colon right behind a letter, digit or bracket (`a[1:n]`).
pub fn placeholders(sql: &str, syntax: Syntax) -> Vec<Placeholder<'_>> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if let Some(end) = passed_over(sql, at, syntax) {
            at = end;
        } else if *byte == b':' && !follows_word(bytes, at) {
            let name = word(&bytes[at + 1..]);
            if name > 0 {
                found.push(Placeholder { name: &sql[at + 1..at + 1 + name], at });
            }
            at += 1 + name;
        } else {
            at += 1;
        }
    }
    found
}

/// A statement with the database's own mark for each placeholder, and the names that they stand for, in order. `mark` is given
/// the place, from 1.
pub fn rendered(sql: &str, syntax: Syntax, mark: impl Fn(usize) -> String) -> (String, Vec<&str>) {
    let (mut text, mut names, mut from) = (String::with_capacity(sql.len()), Vec::new(), 0);
    for placeholder in placeholders(sql, syntax) {
        names.push(placeholder.name);
        text.push_str(&sql[from..placeholder.at]);
        text.push_str(&mark(names.len()));
        from = placeholder.at + 1 + placeholder.name.len();
    }
    text.push_str(&sql[from..]);
    (text, names)
}

/// Where what begins at `at` ends, if nothing in it can be a placeholder. All it looks at is ASCII, so it ends between
/// characters.
fn passed_over(sql: &str, at: usize, syntax: Syntax) -> Option<usize> {
    let bytes = sql.as_bytes();
    let next = bytes.get(at + 1).copied();
    match (bytes[at], next) {
        (b'\'', _) => Some(quoted(bytes, at, b'\'', syntax.backslash || syntax.dollar && escapes(bytes, at))),
        (b'"', _) => Some(quoted(bytes, at, b'"', syntax.backslash)),
        (b'`', _) => Some(quoted(bytes, at, b'`', false)),
        (b'[', _) if syntax.brackets => Some(quoted(bytes, at, b']', false)),
        (b'-', Some(b'-')) if !syntax.hash || bytes.get(at + 2).is_none_or(u8::is_ascii_whitespace) => {
            Some(line_end(bytes, at))
        }
        (b'#', _) if syntax.hash => Some(line_end(bytes, at)),
        (b'/', Some(b'*')) => Some(comment(bytes, at, syntax.dollar)),
        (b'$', _) if syntax.dollar && !follows_word(bytes, at) => dollar(sql, at),
        (b':', Some(b':' | b'=')) => Some(at + 2),
        _ => None,
    }
}

/// Behind the closing quote; one that is doubled begins the next text at once, which comes to the same.
fn quoted(bytes: &[u8], at: usize, close: u8, backslash: bool) -> usize {
    let mut at = at + 1;
    while let Some(byte) = bytes.get(at) {
        match *byte {
            b'\\' if backslash => at += 2,
            byte if byte == close => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Whether the text that begins here is one with backslashes: `E'…'`.
fn escapes(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1).is_some_and(|e| matches!(bytes[e], b'e' | b'E') && !follows_word(bytes, e))
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |end| at + end + 1)
}

fn comment(bytes: &[u8], at: usize, nests: bool) -> usize {
    let (mut at, mut depth) = (at + 2, 1_usize);
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'*', Some(b'/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            (b'/', Some(b'*')) if nests => {
                depth += 1;
                at += 2;
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Behind `$tag$ … $tag$`; none: it is no such text (`$1`).
fn dollar(sql: &str, at: usize) -> Option<usize> {
    let tag = word(&sql.as_bytes()[at + 1..]);
    let open = at + tag + 2;
    if sql.as_bytes().get(open - 1) != Some(&b'$') {
        return None;
    }
    let mark = &sql[at..open];
    Some(sql[open..].find(mark).map_or(sql.len(), |end| open + end + mark.len()))
}

/// The length of the name at the beginning: letters, digits and underscores, no digit first.
fn word(bytes: &[u8]) -> usize {
    if bytes.first().is_some_and(u8::is_ascii_digit) {
        return 0;
    }
    bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count()
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| bytes[before]);
    before.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b']') || !b.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sql: &str, database: &str) -> Vec<String> {
        placeholders(sql, Syntax::named(database)).iter().map(|p| p.name.to_owned()).collect()
    }

    #[test]
    fn names_stand_outside_of_texts_names_and_comments() {
        for database in ["postgres", "mysql", "sqlite", "another"] {
            for (sql, expected) in [
                ("UPDATE t SET at = :run_at WHERE a=:owner AND b IN(:a,:_b2)", "run_at owner a _b2"),
                ("SELECT ':no', 'it''s :no', \"a:no\", \":no\", `:no`, :yes", "yes"),
                ("SELECT 1 -- :no\n, :yes /* :no */ -- :no", "yes"),
                ("SELECT a::int, :x::uuid, @v := :y", "x y"),
                ("SELECT a[1:n], t:5, '12:30', :1, : x", ""),
                ("SELECT 'é', é:no, :yes", "yes"),
                ("SELECT 'open :no", ""),
                ("SELECT /* open :no", ""),
                ("", ""),
                (":", ""),
            ] {
                assert_eq!(names(sql, database).join(" "), expected, "{database}: {sql}");
            }
        }
    }

    #[test]
    fn each_database_has_its_own_texts_and_comments() {
        for (database, sql, expected) in [
            ("postgres", "SELECT $$ :no $$, $a$ $b$ :no $a$, $1, :yes", "yes"),
            ("postgres", r"SELECT '\', :yes, E'\' :no', e'\\', :too", "yes too"),
            ("postgres", "SELECT /* a /* b */ :no */ :yes", "yes"),
            ("postgres", "SELECT a$b$ + :yes", "yes"),
            ("postgres", "SELECT $open$ :no", ""),
            ("postgres", "SELECT 5 # :yes", "yes"),
            ("mysql", r"SELECT '\' :no', :yes", "yes"),
            ("mysql", "SELECT 1 # :no\n, 5--:yes, :too -- :no", "yes too"),
            ("mysql", "SELECT /* a /* b */ :yes", "yes"),
            ("sqlite", "SELECT [a :no b], :yes", "yes"),
        ] {
            assert_eq!(names(sql, database).join(" "), expected, "{database}: {sql}");
        }
    }

    #[test]
    fn marks_take_the_place_of_names() {
        let (sql, names) =
            rendered("SELECT :a, ':b' WHERE x::int = :c AND :a", Syntax::named("postgres"), |n| {
                format!("${n}")
            });
        assert_eq!(sql, "SELECT $1, ':b' WHERE x::int = $2 AND $3");
        assert_eq!(names, ["a", "c", "a"]);
        assert_eq!(rendered("SELECT 1", Syntax::default(), |_| "?".into()), ("SELECT 1".into(), vec![]));
    }
}
