//! Others use the table, or load it.

use super::kit::{Loads, MIRROR};

fn impatient(write: &str) -> String {
    MIRROR.replace("write: mirror", &format!("write: {write}")).replace(
        "table: public.things }\n    write",
        "table: public.things, lock_timeout: 500ms }\n    write",
    )
}

#[test]
fn a_long_reader_is_named_when_a_swap_cannot_wait_for_it() {
    let loads = Loads::new();
    loads.things(100);
    loads.project(&impatient("replace"));
    loads.run(&["-q"]).with_code(0);
    loads.from.sql("UPDATE things SET name = 'changed'");
    let reader = loads.to.again();
    reader.sql("SET application_name = 'monthly report'; BEGIN; SELECT count(*) FROM things");
    let pid = reader.one("SELECT pg_backend_pid()");
    let before = loads.to.digest("things");
    loads
        .run(&["-q"])
        .with_code(1)
        .saying("waiting for readers of public.things to end")
        .saying(&format!("process {pid} (monthly report, user postgres, idle in transaction"))
        .saying("holds it in AccessShareLock")
        .saying("to.lock_timeout");
    assert_eq!(loads.to.digest("things"), before);
    assert_eq!(loads.to.leftovers(), Vec::<String>::new());
    reader.sql("COMMIT");
    loads.run(&["-q"]).with_code(0);
    loads.same("things");
}

#[test]
fn a_merge_waits_for_writers_not_for_readers() {
    let loads = Loads::new();
    loads.things(100);
    loads.project(&impatient("mirror"));
    loads.run(&["-q"]).with_code(0);
    loads.from.sql("UPDATE things SET name = 'changed', updated_at = now()");
    let (reader, writer) = (loads.to.again(), loads.to.again());
    reader.sql("SET application_name = 'reader'; BEGIN; SELECT count(*) FROM things");
    writer.sql("SET application_name = 'by hand'; BEGIN; UPDATE things SET name = 'mine' WHERE id = 1");
    let before = loads.to.digest("things");
    loads
        .run(&["-q"])
        .with_code(1)
        .saying("(by hand, user postgres")
        .saying("locking public.things against other writers");
    assert_eq!(loads.to.digest("things"), before);
    writer.sql("ROLLBACK");
    loads.run(&["-q"]).with_code(0);
    loads.same("things");
}

#[test]
fn two_syncs_into_one_table_wait_for_each_other() {
    let loads = Loads::new();
    loads.things(2_000);
    loads.project(&impatient("mirror").replace("500ms", "60s"));
    loads.run(&["-q"]).with_code(0);
    // four directories: nothing is shared but the table
    let others: Vec<_> = (0..4)
        .map(|number| {
            let other = crate::kit::Place::empty();
            let name = if number % 2 == 0 { "things" } else { "others" };
            let text =
                impatient("mirror").replace("500ms", "60s").replace("  things:", &format!("  {name}:"));
            other.write("syncline.yaml", super::kit::project(&loads.from.url, &loads.to.url, &text));
            other
        })
        .collect();
    for _ in 0..3 {
        loads.from.sql("UPDATE things SET amount = amount + 1, updated_at = now() WHERE id % 7 = 0");
        let running: Vec<_> =
            others.iter().map(|place| super::kit::start(place, &["run", "-q", "--mode", "full"])).collect();
        for (child, said) in running {
            super::kit::go_on(child, said).with_code(0);
        }
        loads.same("things");
    }
}
