//! Records that do not fit are parked with their keys; all others are loaded.

use super::kit::{Loads, MIRROR};

fn frozen() -> String {
    MIRROR.replace("table: public.things }\n    write", "table: public.things, schema: freeze }\n    write")
}

/// Runs with some records that do not fit, then mends them in the source.
fn parked_and_mended(loads: &Loads, keys: &[&str], code: &str, mend: &str) {
    let good = loads.from.one("SELECT count(*) FROM things").parse::<usize>().unwrap() - keys.len();
    let run = loads.run(&[]).with_code(3);
    run.saying(&format!("{} record", keys.len())).saying("syncline parked list things");
    assert_eq!(loads.to.one("SELECT count(*) FROM things"), good.to_string());
    let parked = loads.place.syncline(&["parked", "list", "things", "--json"]).with_code(0).json();
    let mut labels: Vec<_> =
        parked.iter().map(|p| p["key"].as_str().unwrap_or_default().to_owned()).collect();
    labels.sort();
    assert_eq!(labels, keys, "{parked:?}");
    assert!(parked.iter().all(|p| p["code"] == code), "{parked:?}");
    // again, without a change: still parked, each once
    loads.run(&[]).with_code(3);
    loads.run(&["--mode", "full"]).with_code(3);
    assert_eq!(loads.place.syncline(&["parked", "list", "things", "--json"]).json().len(), keys.len());
    loads.from.sql(mend);
    loads.run(&[]).with_code(0);
    assert_eq!(loads.place.syncline(&["parked", "list", "things", "--json"]).json().len(), 0);
}

#[test]
fn a_text_that_is_too_long_for_a_frozen_table() {
    let loads = Loads::new();
    loads.things(200);
    loads.from.sql("UPDATE things SET name = 'abc'; UPDATE things SET name = 'abcd', updated_at = now() WHERE id IN (7, 150)");
    loads.to.sql("CREATE TABLE things (id bigint PRIMARY KEY, name varchar(3), amount numeric(12,2), updated_at timestamptz)");
    loads.project(&frozen());
    parked_and_mended(
        &loads,
        &["150", "7"],
        "value",
        "UPDATE things SET name = 'ab', updated_at = now() WHERE id IN (7, 150)",
    );
    loads.same("things");
}

#[test]
fn a_number_that_is_too_large_and_a_null_that_is_not_allowed() {
    let loads = Loads::new();
    loads.things(200);
    loads.from.sql("UPDATE things SET amount = 5000, updated_at = now() WHERE id = 3");
    loads.from.sql("UPDATE things SET name = NULL, updated_at = now() WHERE id = 4");
    loads.to.sql(
        "CREATE TABLE things (id int PRIMARY KEY, name text NOT NULL, amount numeric(5,2), updated_at timestamptz)",
    );
    loads.from.sql("INSERT INTO things VALUES (3000000000, 'too large a key', 1, now())");
    loads.project(&frozen());
    let mend = "UPDATE things SET amount = 5, name = coalesce(name, 'n'), updated_at = now() WHERE id IN (3, 4); \
                DELETE FROM things WHERE id = 3000000000";
    parked_and_mended(&loads, &["3", "3000000000", "4"], "value", mend);
    loads.same("things");
}

#[test]
fn a_null_where_the_table_takes_none_although_the_types_are_the_same() {
    for write in ["mirror", "replace"] {
        let loads = Loads::new();
        loads.things(50);
        loads.from.sql("UPDATE things SET name = NULL, updated_at = now() WHERE id = 4");
        loads.to.sql(
            "CREATE TABLE things (id bigint PRIMARY KEY, name text NOT NULL, amount numeric(12,2), updated_at timestamptz)",
        );
        loads.project(&MIRROR.replace("write: mirror", &format!("write: {write}")));
        parked_and_mended(
            &loads,
            &["4"],
            "value",
            "UPDATE things SET name = 'n', updated_at = now() WHERE id = 4",
        );
        loads.same("things");
    }
}

#[test]
fn an_expression_that_fails_on_some_records() {
    let loads = Loads::new();
    loads.things(200);
    loads.from.sql("UPDATE things SET amount = 0, updated_at = now() WHERE id IN (5, 6)");
    let fields = "\n    fields:\n      \"*\": \"*\"\n      share: { cel: \"100 / int(amount)\" }";
    loads.project(&format!("{MIRROR}{fields}"));
    loads.from.sql("UPDATE things SET amount = 10 WHERE amount < 1 AND amount > 0");
    parked_and_mended(
        &loads,
        &["5", "6"],
        "expression",
        "UPDATE things SET amount = 50, updated_at = now() WHERE id IN (5, 6)",
    );
    assert_eq!(loads.to.one("SELECT share FROM things WHERE id = 5"), "2");
    assert_eq!(loads.to.one("SELECT count(*) FROM things WHERE share IS NULL"), "0");
}
