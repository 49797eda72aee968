//! A source that is empty, or of which most is gone: deletes wait for a person, upserts do not.

use super::kit::Loads;

fn sync(write: &str) -> String {
    format!(
        "  things:\n    from: {{ connection: source, table: public.things, cursor: updated_at }}\n    \
         to: {{ connection: cache, table: public.things }}\n    write: {write}"
    )
}

fn gone(write: &str, condition: &str, held: u64) {
    let loads = Loads::new();
    loads.things(500);
    loads.project(&sync(write));
    loads.run(&["-q"]).with_code(0);
    loads.to.sql("CREATE INDEX things_name ON things (name)");
    loads.from.sql(&format!("DELETE FROM things WHERE {condition}"));
    loads.from.sql("UPDATE things SET name = 'kept', updated_at = now()");
    let kept = loads.from.one("SELECT count(*) FROM things");
    loads
        .run(&["--mode", "full"])
        .with_code(3)
        .saying(&format!("{held} deletes are held"))
        .saying("syncline held list things");
    assert_eq!(loads.to.one("SELECT count(*) FROM things"), "500", "{write}: nothing was deleted");
    assert_eq!(
        loads.to.one("SELECT count(*) FROM things WHERE name = 'kept'"),
        kept,
        "{write}: upserts are done"
    );
    assert_eq!(loads.to.leftovers(), Vec::<String>::new());
    let listed = loads.place.syncline(&["held", "list", "things", "--json", "--limit", "1000"]).with_code(0);
    assert_eq!(u64::try_from(listed.json().len()).unwrap(), held, "{write}: each is listed");
    // an approval of fewer is no approval
    loads.place.syncline(&["held", "approve", "things", "--max", "5"]);
    loads.run(&["-q", "--mode", "full"]).with_code(3);
    assert_eq!(loads.to.one("SELECT count(*) FROM things"), "500");
    loads.place.syncline(&["held", "approve", "things", "--max", &held.to_string()]).with_code(0);
    loads.run(&["-q", "--mode", "full"]).with_code(0);
    loads.same("things");
    assert_eq!(loads.place.syncline(&["held", "list", "things", "--json"]).with_code(0).json().len(), 0);
    assert_eq!(loads.to.one("SELECT count(*) FROM pg_indexes WHERE indexname = 'things_name'"), "1");
    // the approval is used up
    loads.from.sql("DELETE FROM things");
    loads.run(&["-q", "--mode", "full"]).with_code(if kept == "0" { 0 } else { 3 });
}

#[test]
fn of_a_mirror_whose_source_is_empty() {
    gone("mirror", "true", 500);
}

#[test]
fn of_a_mirror_of_which_sixty_percent_are_gone() {
    gone("mirror", "id <= 300", 300);
}

#[test]
fn of_a_replaced_table_whose_source_is_empty() {
    gone("replace", "true", 500);
}

#[test]
fn of_a_replaced_table_of_which_sixty_percent_are_gone() {
    gone("replace", "id <= 300", 300);
}
