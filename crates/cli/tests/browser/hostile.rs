//! What others wrote stays text: keys, messages, reasons, notes, names.

use serde_json::json;

use super::{audit::quiet, driver::Browser, world::World};

/// It ends an attribute, a tag and a script, and would say so.
const EVIL: &str = r#""'></title><img src=x onerror=alert(1)><script>alert(2)</script>"#;

#[test]
fn nothing_that_others_wrote_becomes_a_part_of_a_page() {
    let world = World::lived_in();
    let quoted = EVIL.replace('\'', "''");
    let notes = json!([EVIL]).to_string().replace('\'', "''");
    let store = rusqlite::Connection::open(world.place.path(".syncline/store.db")).unwrap();
    store.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    store
        .execute_batch(&format!(
            "UPDATE parked SET label = '{quoted}' || label, code = '{quoted}', message = '{quoted}';
             UPDATE held SET label = '{quoted}' || label, record_id = '{quoted}' || record_id, reason = '{quoted}';
             UPDATE run SET notes = '{notes}', reason = '{quoted}';
             UPDATE run SET error_code = '{quoted}', error_message = '{quoted}' WHERE status = 'failed';
             UPDATE event SET message = '{quoted}', kind = kind || '{quoted}', data = json_object('by', '{quoted}');
             UPDATE chain_step SET detail = '{quoted}' WHERE error_code IS NULL;
             UPDATE chain_step SET error_message = '{quoted}' WHERE error_code IS NOT NULL;
             INSERT INTO sync (name) VALUES ('{quoted}');
             UPDATE parked SET sync = (SELECT max(number) FROM sync) WHERE rowid = (SELECT min(rowid) FROM parked)"
        ))
        .unwrap();
    world.place.sql(&format!("UPDATE projects SET name = '{quoted}'"));
    let browser = Browser::start(world.address());
    let of = |path: &str| format!("{path}{}", percent(EVIL));
    let queries =
        [of("/?text="), of("/events?text="), of("/held?sync="), of("/parked?sync="), of("/chains?text=")];
    let pages = [
        "/",
        "/held",
        "/parked",
        "/chains",
        "/chains/nightly",
        "/chains/month_end",
        "/connections",
        "/events",
    ];
    let more = ["/syncs/projects", "/runs/1", "/syncs/projects/record?key=P-1001"];
    let all = pages.iter().chain(&more).map(|&path| path.to_owned()).chain(queries);
    for path in all {
        browser.open(&path);
        let made = "return document.querySelectorAll('img[src=x], script:not([src]), [onerror]').length";
        assert_eq!(browser.run(made, &[]), 0, "{path}");
        quiet(&browser);
    }
    for path in ["/held", "/parked", "/events", "/chains/nightly"] {
        browser.open(path);
        browser.says(EVIL);
    }
}

/// For a query.
fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
