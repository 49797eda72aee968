//! Names of tables and columns that need quoting, or look like something else.

use super::kit::Loads;

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text of the project file.
fn yaml(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

#[test]
fn names_stay_names_however_they_are_written() {
    let longest = "ü".repeat(31) + "x";
    assert_eq!(longest.len(), 63);
    for name in [
        "with \"quotes\"",
        "with.dots",
        "with spaces",
        " USING ",
        "Größe 表 🙂",
        longest.as_str(),
        "select",
        "user",
        "x\"; drop table victims; --",
        "x'; drop table victims; --",
        "$1",
        "%I %s",
        "a\\b",
    ] {
        for write in ["mirror", "replace"] {
            survives(name, write);
        }
    }
}

fn survives(name: &str, write: &str) {
    let loads = Loads::new();
    let q = quoted(name);
    for side in [&loads.from, &loads.to] {
        side.sql(&format!(
            "CREATE TABLE victims (id int); INSERT INTO victims VALUES (1); CREATE SCHEMA {q}"
        ));
    }
    loads.from.sql(&format!(
        "CREATE TABLE {q}.{q} ({q} bigint PRIMARY KEY, value text, updated_at timestamptz NOT NULL DEFAULT now()); \
         INSERT INTO {q}.{q} SELECT i, 'v', now() - interval '1 day' FROM generate_series(1, 200) i"
    ));
    let table = yaml(&format!("{q}.{q}"));
    loads.project(&format!(
        "  things:\n    from: {{ connection: source, table: {table}, cursor: updated_at }}\n    \
         to: {{ connection: cache, table: {table} }}\n    write: {write}"
    ));
    let table = format!("{q}.{q}");
    let look = |what: &str| {
        assert_eq!(loads.from.digest(&table), loads.to.digest(&table), "{name} {write}: {what}");
        assert_eq!(loads.to.leftovers(), Vec::<String>::new(), "{name} {write}: {what}");
        assert_eq!(
            (loads.from.one("SELECT id FROM victims"), loads.to.one("SELECT id FROM victims")),
            ("1".into(), "1".into())
        );
    };
    loads.run(&["-q"]).with_code(0);
    look("created");
    loads.to.sql(&format!("CREATE UNIQUE INDEX {} ON {table} ({q}, value)", quoted("an \" INDEX ON USING")));
    loads.from.sql(&format!("UPDATE {table} SET value = 'w', updated_at = now() WHERE {q} < 10"));
    loads.run(&["-q"]).with_code(0);
    look("incremental");
    loads.from.sql(&format!("DELETE FROM {table} WHERE {q} IN (20, 30)"));
    loads.run(&["-q", "--mode", "full"]).with_code(0);
    look("full");
    loads.from.sql(&format!("ALTER TABLE {table} ADD {} int DEFAULT 5", quoted("new \" one")));
    loads.run(&["-q"]).with_code(0);
    look("a new column");
    loads.place.syncline(&["plan", "--exit-code"]).with_code(0);
    let indexes = format!("SELECT count(*) FROM pg_indexes WHERE tablename = '{}'", name.replace('\'', "''"));
    assert_eq!(loads.to.one(&indexes), "2");
}

#[test]
fn a_name_that_the_server_would_cut_off_is_refused() {
    let loads = Loads::new();
    let (cut, long) = ("x".repeat(63), "x".repeat(64));
    for side in [&loads.from, &loads.to] {
        side.sql(&format!("CREATE TABLE {cut} (id int PRIMARY KEY); INSERT INTO {cut} VALUES (1)"));
    }
    loads.from.sql("CREATE TABLE things (id int PRIMARY KEY)");
    let sync = |from: &str, to: &str, fields: &str| {
        format!(
            "  things:\n    from: {{ connection: source, table: {from} }}\n    to: {{ connection: cache, table: {to} }}\n    write: mirror{fields}"
        )
    };
    let column = format!("\n    fields: {{ id: id, {long}: id }}");
    for text in [
        sync(&format!("public.{long}"), "public.other", ""),
        sync(&long, "public.other", ""),
        sync("public.things", &format!("public.{long}"), ""),
        sync("public.things", &long, ""),
        sync("public.things", "public.other", &column),
    ] {
        loads.project(&text);
        let ended = loads.run(&["-q"]).saying("63 bytes");
        assert!(ended.code == 1 || ended.code == 2, "{ended:?}");
    }
    assert_eq!(
        loads.to.rows(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ),
        [cut]
    );
}
