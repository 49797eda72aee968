//! `docs/project-file.md` says what the tables say: its rows are theirs, word for word.

use crate::keys::{
    ADOPT, ALERT, ALL, CHAIN, CHECK, CONNECTION, DEFAULTS, DELETES, EACH, FIELD, FRESH, FROM, GUARD, HTTP,
    KEY, Key, Kind, MAIL, PROJECT, RECEIVER, REPORT, RETENTION, ROUTE, ROWS, SCHEDULE, SERVER, SLACK, SQL,
    STEP, STORE, SYNC, SYNCED, Shape, TLS, TO, TOMBSTONE, USERS, WEBHOOK,
};

const DOCUMENT: &str = include_str!("../../../docs/project-file.md");

/// Each map and its heading, in the document's order.
static SECTIONS: &[(&str, &Shape)] = &[
    ("## The file", &PROJECT),
    ("## `connections`", &CONNECTION),
    ("## `syncs`", &SYNC),
    ("### `from`", &FROM),
    ("#### `key`", &KEY),
    ("#### `tombstone`", &TOMBSTONE),
    ("### `to`", &TO),
    ("### `deletes`", &DELETES),
    ("#### `guard`", &GUARD),
    ("### `fields`", &FIELD),
    ("### `route`", &ROUTE),
    ("### `adopt`", &ADOPT),
    ("### `schedule`", &SCHEDULE),
    ("#### `misfire`", &ALL),
    ("### `each`", &EACH),
    ("## `defaults`", &DEFAULTS),
    ("## `chains`", &CHAIN),
    ("### `steps`", &STEP),
    ("#### `sql`", &SQL),
    ("#### `check`", &CHECK),
    ("##### `rows`", &ROWS),
    ("##### `fresh`", &FRESH),
    ("##### `synced`", &SYNCED),
    ("#### `http`", &HTTP),
    ("## `reports`", &REPORT),
    ("## `alerts`", &ALERT),
    ("## `receivers`", &RECEIVER),
    ("### `webhook`", &WEBHOOK),
    ("### `slack`", &SLACK),
    ("## `server`", &SERVER),
    ("### `tls`", &TLS),
    ("### `users`", &USERS),
    ("### `retention`", &RETENTION),
    ("### `mail`", &MAIL),
    ("## `store`", &STORE),
];

fn row(key: &Key) -> String {
    let default = match (key.required, key.default) {
        (true, _) => "required".to_owned(),
        (false, "") => "none".to_owned(),
        (false, default) => default.to_owned(),
    };
    format!("| `{}` | {} | {default} | {} |", key.name, kind(&key.kind), key.help)
}

fn kind(of: &Kind) -> String {
    match of {
        Kind::Text | Kind::Secret => "text".to_owned(),
        Kind::Sql => "SQL".to_owned(),
        Kind::Integer { min, max } if *max >= i64::MAX as u64 => format!("whole number from {min}"),
        Kind::Integer { min, max } => format!("whole number, {min} to {max}"),
        Kind::Number { min, max } => format!("number, {min} to {max}"),
        Kind::Boolean => "`true` or `false`".to_owned(),
        Kind::Duration => "duration".to_owned(),
        Kind::Size => "size".to_owned(),
        Kind::Expression => "CEL".to_owned(),
        Kind::Scalar => "any single value".to_owned(),
        Kind::Words(words) => words.words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", "),
        Kind::Texts => "list of texts".to_owned(),
        Kind::Shape(shape) => format!("map, see {}", shape.title),
        Kind::Named(of) => format!("names to: {}", kind(of)),
        Kind::List(of) => format!("list of: {}", kind(of)),
        Kind::Either(kinds) => kinds.iter().map(kind).collect::<Vec<_>>().join("; or "),
        Kind::Connection => "map, see connection".to_owned(),
    }
}

/// The text under a heading, up to the next one.
fn section(heading: &str) -> Option<&'static str> {
    let (_, after) = DOCUMENT.split_once(&format!("\n{heading}\n"))?;
    Some(after.split("\n#").next().unwrap_or(after))
}

#[test]
fn every_key_is_in_the_reference() {
    let mut missing = String::new();
    for (heading, shape) in SECTIONS {
        let text = section(heading).unwrap_or_else(|| panic!("no heading {heading}"));
        for row in shape.keys.iter().map(row).filter(|row| !text.contains(row.as_str())) {
            missing.push_str(&format!("{heading}: {row}\n"));
        }
        let rows = text.lines().filter(|line| line.starts_with("| `")).count();
        if rows > shape.keys.len() {
            missing.push_str(&format!("{heading}: {} rows instead of {rows}\n", shape.keys.len()));
        }
    }
    assert!(missing.is_empty(), "docs/project-file.md lacks these rows:\n{missing}");
}

#[test]
fn every_word_is_explained() {
    for (heading, shape) in SECTIONS {
        let text = section(heading).unwrap_or_default();
        for key in shape.keys {
            let words = match &key.kind {
                Kind::Words(words) => words.words,
                Kind::Either([Kind::Words(words), ..]) => words.words,
                _ => &[],
            };
            for word in words {
                assert!(text.contains(&format!("`{word}`")), "{heading} does not explain `{word}`");
            }
        }
    }
}

#[test]
fn its_examples_are_read() {
    struct Anything;
    impl crate::Environment for Anything {
        fn variable(&self, name: &str) -> Option<String> {
            let scheme = if name.starts_with("SMTP") { "smtp" } else { "https" };
            Some(format!("{scheme}://value-of/{name}"))
        }
        fn file(&self, _: &str) -> Result<String, String> {
            Ok("value of a file".into())
        }
    }
    let examples: Vec<&str> =
        DOCUMENT.split("```yaml\n").skip(1).filter_map(|text| text.split("```").next()).collect();
    let whole: Vec<&&str> = examples.iter().filter(|e| e.contains("connections:")).collect();
    assert!(!whole.is_empty());
    for example in whole {
        // Without connectors only the types are unknown.
        let problems = crate::parse("example", example, &[], &Anything).unwrap_err();
        let unknown = problems.iter().filter(|p| !p.message.contains("is not a type of connection"));
        let errors: Vec<String> =
            unknown.filter(|p| p.severity == crate::Severity::Error).map(ToString::to_string).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
}
