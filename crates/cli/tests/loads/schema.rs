//! Tables that change between two runs.

use super::kit::{Loads, MIRROR};

fn loaded() -> Loads {
    let loads = Loads::new();
    loads.things(100);
    loads.project(MIRROR);
    loads.run(&["-q"]).with_code(0);
    loads
}

fn columns(loads: &Loads) -> Vec<String> {
    loads.to.rows(
        "SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute \
         WHERE attrelid = 'things'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname",
    )
}

#[test]
fn a_type_that_became_wider_is_widened() {
    let loads = loaded();
    loads.from.sql("ALTER TABLE things ALTER amount TYPE numeric(20,4)");
    loads.from.sql("UPDATE things SET amount = 1234567890123456.7891, updated_at = now() WHERE id = 1");
    loads.run(&[]).with_code(0);
    assert_eq!(
        columns(&loads),
        ["amount numeric(20,4)", "id bigint", "name text", "updated_at timestamp with time zone"]
    );
    assert_eq!(loads.to.one("SELECT amount FROM things WHERE id = 1"), "1234567890123456.7891");
    loads.run(&["-q", "--mode", "full"]).with_code(0);
    loads.same("things");
}

#[test]
fn a_type_that_fits_no_more_stops_with_the_statement_that_would_change_it() {
    let loads = loaded();
    let before = loads.to.digest("things");
    loads.from.sql("ALTER TABLE things DROP amount, ADD amount bytea DEFAULT '\\x00'");
    loads.from.sql("UPDATE things SET name = 'changed', updated_at = now()");
    loads
        .run(&["-q"])
        .with_code(2)
        .saying("amount")
        .saying(r#"ALTER TABLE "public"."things" ALTER "amount" TYPE bytea"#);
    assert_eq!(loads.to.digest("things"), before);
    assert_eq!(loads.to.leftovers(), Vec::<String>::new());
}

#[test]
fn a_type_below_a_view_cannot_be_widened_and_says_why() {
    let loads = loaded();
    loads.to.sql("CREATE VIEW totals AS SELECT sum(amount) FROM things");
    loads.from.sql("ALTER TABLE things ALTER amount TYPE numeric(20,4)");
    let before = loads.to.digest("things");
    loads
        .run(&["-q"])
        .with_code(1)
        .saying("changing public.things: cannot alter type of a column used by a view or rule")
        .saying("hint: drop what uses the column");
    assert_eq!(loads.to.digest("things"), before);
    loads.project(
        &MIRROR.replace(
            "table: public.things }\n    write",
            "table: public.things, schema: freeze }\n    write",
        ),
    );
    loads.run(&["-q"]).with_code(0);
}

#[test]
fn a_dropped_column_stays_as_it_was() {
    let loads = loaded();
    loads.from.sql("ALTER TABLE things DROP amount; UPDATE things SET name = 'changed', updated_at = now()");
    loads.run(&["-q"]).with_code(0);
    assert_eq!(
        loads.to.one("SELECT count(*), sum(amount) FROM things WHERE name = 'changed'"),
        "100|6312.50"
    );
}

#[test]
fn a_dropped_column_that_the_sync_names_stops_it() {
    let loads = loaded();
    loads.project(&format!("{MIRROR}\n    fields: {{ id: id, amount: amount }}"));
    loads.from.sql("ALTER TABLE things DROP amount");
    loads.run(&["-q"]).with_code(2).saying("\"amount\" does not exist");
}

#[test]
fn a_dropped_cursor_stops_it() {
    let loads = loaded();
    loads.from.sql("ALTER TABLE things RENAME updated_at TO changed_at");
    let before = loads.to.digest("things");
    loads.run(&["-q"]).with_code(2).saying("\"updated_at\" does not exist");
    assert_eq!(loads.to.digest("things"), before);
}

#[test]
fn a_renamed_column_is_a_new_one_and_is_filled() {
    let loads = loaded();
    loads.from.sql("ALTER TABLE things RENAME name TO title");
    loads.run(&[]).with_code(0).saying("column \"title\" (text) is added").saying("everything is read");
    assert_eq!(loads.to.one("SELECT count(*) FROM things WHERE title = 'thing ' || id"), "100");
    assert_eq!(
        loads.to.one("SELECT count(*) FROM things WHERE name = 'thing ' || id"),
        "100",
        "the old one stays"
    );
}

#[test]
fn a_new_column_of_the_source_that_is_not_null_is_added_and_filled_everywhere() {
    for write in ["mirror", "upsert", "replace"] {
        let loads = Loads::new();
        loads.things(100);
        loads.project(&MIRROR.replace("mirror", write));
        loads.run(&["-q"]).with_code(0);
        // no record's cursor moves
        loads.from.sql("ALTER TABLE things ADD kind text NOT NULL DEFAULT 'plain'");
        loads.run(&["-q"]).with_code(0);
        assert_eq!(loads.to.one("SELECT count(*) FROM things WHERE kind = 'plain'"), "100", "{write}");
        loads.same("things");
        loads.run(&["-q"]).with_code(0);
    }
}

#[test]
fn a_new_column_is_reported_and_left_out_when_the_schema_is_frozen() {
    let loads = loaded();
    loads.project(
        &MIRROR.replace(
            "table: public.things }\n    write",
            "table: public.things, schema: freeze }\n    write",
        ),
    );
    loads.from.sql("ALTER TABLE things ADD kind text NOT NULL DEFAULT 'plain'");
    loads.run(&[]).with_code(0).saying(
        r#"left out (schema: freeze). To add it, run: ALTER TABLE "public"."things" ADD "kind" text"#,
    );
    assert_eq!(columns(&loads).len(), 4);
}

#[test]
fn a_column_of_the_destination_that_must_be_given_stops_it() {
    let loads = loaded();
    loads.to.sql("ALTER TABLE things ADD must int; UPDATE things SET must = 1; ALTER TABLE things ALTER must SET NOT NULL");
    let before = loads.to.digest("things");
    loads.from.sql("UPDATE things SET name = 'changed', updated_at = now()");
    loads
        .run(&["-q"])
        .with_code(2)
        .saying(r#"ALTER TABLE "public"."things" ALTER COLUMN "must" DROP NOT NULL"#);
    assert_eq!(loads.to.digest("things"), before);
}

#[test]
fn a_table_that_was_dropped_is_made_again() {
    let loads = loaded();
    loads.to.sql("DROP TABLE things");
    loads.run(&[]).with_code(0).saying("the table is not there: everything is read again");
    loads.same("things");
}

#[test]
fn a_source_that_was_dropped_stops_it() {
    let loads = loaded();
    loads.from.sql("DROP TABLE things");
    let before = loads.to.digest("things");
    let ended = loads.run(&["-q"]);
    assert!(ended.code == 1 || ended.code == 2, "{ended:?}");
    ended.saying("things");
    assert_eq!(loads.to.digest("things"), before);
}
