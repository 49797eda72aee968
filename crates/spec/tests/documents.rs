//! Syncs and chains that are defined beside a project file.

use syncline_core::{project::Project, schedule::Schedule};
use syncline_spec::{Definition, DocumentKind, merge};

use crate::world::{CONNECTORS, SECRET, load, project, rendered};

fn sync<'t>(name: &'t str, text: &'t str) -> Definition<'t> {
    Definition { kind: DocumentKind::Sync, name, text }
}

fn chain<'t>(name: &'t str, text: &'t str) -> Definition<'t> {
    Definition { kind: DocumentKind::Chain, name, text }
}

/// Merges with a project that has a sync `s` and a chain `c`.
fn merged(definitions: &[Definition<'_>]) -> Result<Project, String> {
    let base = load(&format!("{}chains: {{ c: {{ steps: {{ s: {{ sync: s }} }} }} }}\n", project("")));
    merge(base, CONNECTORS, definitions).map_err(|problems| {
        assert!(!format!("{problems:?}").contains(SECRET));
        rendered(&problems)
    })
}

const SYNC: &str = r#"{"from": {"connection": "a", "table": "t"}, "to": {"connection": "b", "list": "l"},
    "fields": {"F": "c"}, "schedule": {"every": "1h"}}"#;

#[test]
fn definitions_join_the_project() {
    // A chain may come before the sync that it names.
    let project = merged(&[
        chain("d", "steps:\n  x: { sync: other }\n  y: { sync: s, needs: [x] }\n"),
        sync("other", SYNC),
    ]);
    let project = project.unwrap();
    let names: Vec<&str> = project.syncs.iter().map(|sync| sync.name.as_str()).collect();
    assert_eq!(names, ["s", "other"]);
    let hourly = Schedule { every: Some(std::time::Duration::from_secs(3600)), ..Schedule::EMPTY };
    assert_eq!(project.syncs[1].schedules, [hourly]);
    assert_eq!(project.chains.iter().map(|chain| chain.name.as_str()).collect::<Vec<_>>(), ["c", "d"]);
    assert_eq!(project.chains[1].steps.len(), 2);
}

#[test]
fn each_definition_has_one_place() {
    assert_eq!(
        merged(&[sync("s", SYNC), chain("c", "steps: { s: { sync: s } }"), sync("x", SYNC), sync("x", SYNC)])
            .unwrap_err(),
        "sync s:1:1: sync s is defined in p.yaml: there is one place for each; remove one of them\n\
         chain c:1:1: chain c is defined in p.yaml: there is one place for each; remove one of them\n\
         sync x:1:1: sync x is defined in another definition: there is one place for each; remove one of them\n"
    );
    // A sync and a chain are two things.
    assert_eq!(merged(&[sync("c", SYNC)]).map(|project| project.syncs.len()), Ok(2));
}

#[test]
fn problems_have_their_place_in_the_definition() {
    let broken =
        "from: { connection: aa, table: t }\nto: { connection: b, list: l }\nfields: { F: c }\nscedule: {}\n";
    assert_eq!(
        merged(&[sync("x", broken), chain("y", "steps: { z: { sync: xx } }"), sync("not a name", SYNC)])
            .unwrap_err(),
        "sync x:1:21: syncs.x.from.connection \"aa\" is not a connection; connections that can be read from: a\n\
         sync x:4:1: unknown key \"scedule\" in syncs.x; did you mean \"schedule\"?\n\
         chain y:1:21: chains.y.steps.z.sync \"xx\" is not a sync; syncs: s, x, not a name\n\
         sync not a name:1:1: \"not a name\" is not a name; names are made of letters, digits, _, - and ., start with a \
         letter, a digit or _, and have at most 63 characters\n"
    );
    assert_eq!(merged(&[sync("x", "")]).unwrap_err(), "sync x:1:1: the file is empty\n");
}

#[test]
fn the_machine_is_not_read() {
    let reads =
        "steps:\n  x: { http: { url: 'https://x/${CLIENT_SECRET}', body: '${file:/run/secrets/x}' } }\n";
    assert_eq!(
        merged(&[chain("x", reads)]).unwrap_err(),
        "chain x:2:32: \"${CLIENT_SECRET}\" has no meaning here: variables are for project files; write $${ for the text ${ itself\n\
         chain x:2:58: \"${file:/run/secrets/x}\" has no meaning here: variables are for project files; write $${ for the text ${ itself\n"
    );
    assert!(merged(&[chain("x", "steps:\n  x: { http: { url: 'https://x', body: '$${x}' } }\n")]).is_ok());
}
