//! A list that is pushed to by one sync and pulled from by another.

use crate::kit::{PROJECT, Place};

/// [`PROJECT`] and a sync that goes the other way.
fn both_ways() -> String {
    let connections = "connections:\n  cache: { type: sqlite, path: cache.db }\n";
    let pull = "  back:
    from: { connection: intranet, list: Active Projects, key: [id] }
    to: { connection: cache, table: active_projects }
    mode: incremental
    write: mirror
    fields: { id: id, title: Title, budget: BudgetAmount, changed_at: modified_at, address: web_url }
";
    assert!(PROJECT.contains("connections:\n") && PROJECT.ends_with('\n'));
    format!("{}{pull}", PROJECT.replacen("connections:\n", connections, 1))
}

fn titles(place: &Place) -> Vec<(i64, String)> {
    let cache = rusqlite::Connection::open(place.path("cache.db")).unwrap();
    let mut rows = cache.prepare("SELECT id, title FROM active_projects ORDER BY id").unwrap();
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
}

fn there(place: &Place) -> Vec<(i64, String)> {
    let item = |item: syncline_sim::ItemDump| {
        (i64::try_from(item.id).unwrap(), item.fields["Title"].as_str().unwrap_or_default().to_owned())
    };
    place.world().items("Active Projects").unwrap().into_iter().map(item).collect()
}

#[test]
fn a_list_is_pushed_to_and_pulled_from() {
    let place = Place::with_projects(50);
    place.write("syncline.yaml", both_ways());
    drop(
        rusqlite::Connection::open(place.path("cache.db")).unwrap().execute_batch("PRAGMA user_version = 1"),
    );
    place.syncline(&["check", "--fix"]).with_code(0);
    place.syncline(&["run", "projects", "-q"]).with_code(0);
    place.syncline(&["run", "back", "-q"]).with_code(0);
    assert_eq!(titles(&place).len(), 40, "a fifth is closed, and in the other list");
    assert_eq!(titles(&place), there(&place));

    place.sql(
        "DELETE FROM projects WHERE code = 'P-00001'; UPDATE projects SET budget = 7 WHERE code = 'P-00002'",
    );
    let person = [("Title".to_owned(), "by hand".into())].into_iter().collect();
    place.world().create_item("Active Projects", &person).unwrap();
    place.syncline(&["run", "projects", "-q"]).with_code(0);
    place.syncline(&["plan", "back"]).with_code(0);
    place.syncline(&["run", "back", "-q"]).with_code(0);
    let runs = place.syncline(&["runs", "--json"]).with_code(0).out;
    let modes: Vec<&str> = runs
        .lines()
        .filter(|run| run.contains("\"back\""))
        .filter_map(|run| run.split("\"mode\":\"").nth(1)?.split('"').next())
        .collect();
    assert_eq!(modes, ["incremental", "full"], "the second run asks what changed");
    assert_eq!(titles(&place), there(&place));
    let shown = titles(&place);
    assert!(shown.iter().any(|(_, title)| title == "by hand"));
    assert!(shown.iter().all(|(_, title)| title != "P-00001"));
}
