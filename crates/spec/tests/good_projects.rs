//! What a good file means.

use std::time::Duration;

use serde_json::json;
use syncline_core::project::StoreOptions;
use syncline_core::sync::{
    As, DeletePolicy, Deletes, Detect, Direction, Key, KeyColumns, Mode, OnEdit, Origin, Overlap, Write,
};
use syncline_spec::{Place, Places, template};

use crate::world::{load, problems, project, sync};

/// As the design has it.
pub(crate) const DESIGN: &str = include_str!("files/design.yaml");

#[test]
fn the_design_s_example() {
    let loaded = load(DESIGN);
    let connections = &loaded.project.connections;
    assert_eq!(connections.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["erp", "intranet"]);
    assert_eq!(connections[0].options, json!({ "url": "postgres://app:hunter2@db/erp" }));
    assert_eq!(
        connections[1].options,
        json!({
            "site": "contoso.sharepoint.com:/sites/projects",
            "auth": {
                "type": "client_credentials",
                "tenant": "id of TENANT",
                "client_id": "id of CLIENT_ID",
                "client_secret": "hunter2",
            },
        })
    );
    let sync = loaded.project.sync("projects").unwrap();
    assert_eq!((sync.from.connection.as_str(), sync.from.stream.as_str()), ("erp", "public.projects"));
    assert_eq!(sync.from.key.columns, KeyColumns::Columns(vec!["project_code".into()]));
    assert_eq!(sync.from.cursor.as_deref(), Some("updated_at"));
    assert_eq!(sync.streams(), ["Active Projects", "Large Projects", "Closed Projects"]);
    assert_eq!((sync.mode, sync.write, sync.on_edit), (Mode::Incremental, Write::Upsert, OnEdit::Overwrite));
    assert_eq!(sync.deletes.policy, DeletePolicy::Soft { field: "DeletedAt".into() });
    let fields: Vec<_> = sync.fields.iter().map(|f| f.to.as_str()).collect();
    assert_eq!(fields, ["Title", "BudgetAmount", "StartDate", "Status", "Owner"]);
    assert_eq!(sync.fields[3].direction, Direction::Both);
    assert!(matches!(&sync.fields[4].from, Origin::Expression(e) if e.text() == "owner_email.lowerAscii()"));
    assert_eq!((sync.routes[0].when.text(), sync.batch), ("budget_amount >= 1000000", 500));
    assert_eq!(problems(DESIGN), "");
    // Neither the project nor anything in it shows a secret.
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn the_template_is_a_project_without_warnings() {
    let loaded = load(template());
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.project.syncs.len(), 1);
}

#[test]
fn defaults() {
    let loaded = load(&project(""));
    let sync = &loaded.project.syncs[0];
    assert_eq!(sync.from.key, Key { columns: KeyColumns::PrimaryKey, ignore_case: false });
    assert_eq!(sync.from.overlap, Overlap { time: Duration::from_secs(120), count: 1000 });
    assert_eq!((sync.from.lag, sync.mode, sync.write), (Duration::ZERO, Mode::Full, Write::Upsert));
    assert_eq!(
        sync.deletes,
        Deletes {
            policy: DeletePolicy::Ignore,
            guard_count: 10,
            guard_percent: 10.0,
            out_of_filter: false,
            detect: Detect::Listing
        }
    );
    assert_eq!((sync.on_edit, sync.batch, &sync.adopt), (OnEdit::Overwrite, 500, &None));
    assert_eq!(
        loaded.project.store,
        StoreOptions {
            path: ".syncline/store.db".into(),
            max_size: None,
            busy_timeout: Duration::from_secs(5),
            tenant: String::new(),
        }
    );
}

#[test]
fn every_key_of_a_sync() {
    let sync = sync(
        "    from:
      connection: a
      table: t
      key: { columns: [x, y], ignore_case: true }
      cursor: n
      overlap: 10
      lag: 1m30s
      tombstone: gone
      filter: |
        kind == 'P' &&
          n > 0
    mode: full
    write: mirror
    deletes: { policy: soft, field: Gone, guard: { count: 0, percent: 12.5 }, out_of_filter: true }
    fields:
      A: x
      B: { from: y, direction: pull, required: true, default: 0.50, as: hyperlink }
      C: { cel: \"n + 1\", default: \"7\" }
      1: y
    route: [{ when: true, list: 2026 }]
    adopt: { by: [A, C] }
    on_edit: report
    batch: \"${FIFTY}\"
",
    );
    assert_eq!(
        sync.from.key,
        Key { columns: KeyColumns::Columns(vec!["x".into(), "y".into()]), ignore_case: true }
    );
    assert_eq!(sync.from.overlap, Overlap { time: Duration::from_secs(120), count: 10 });
    assert_eq!(sync.from.lag, Duration::from_secs(90));
    assert_eq!(sync.from.tombstone.as_deref(), Some("gone"));
    assert_eq!(
        sync.from.filter.as_ref().map(syncline_core::expr::Expr::text),
        Some("kind == 'P' &&\n  n > 0")
    );
    assert_eq!((sync.mode, sync.write, sync.on_edit), (Mode::Full, Write::Mirror, OnEdit::Report));
    assert_eq!(
        sync.deletes,
        Deletes {
            policy: DeletePolicy::Soft { field: "Gone".into() },
            guard_count: 0,
            guard_percent: 12.5,
            out_of_filter: true,
            detect: Detect::Listing,
        }
    );
    let b = &sync.fields[1];
    assert_eq!((b.direction, b.required, b.kind), (Direction::Pull, true, Some(As::Hyperlink)));
    assert_eq!(b.default, Some(json!(0.5)));
    assert_eq!(sync.fields[2].default, Some(json!("7")));
    assert_eq!((sync.fields[3].to.as_str(), sync.routes[0].stream.as_str()), ("1", "2026"));
    assert_eq!(sync.adopt, Some(vec!["A".into(), "C".into()]));
    assert_eq!(sync.batch, 50);
}

#[test]
fn key_strategies() {
    let columns = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    for (key, expected) in [
        ("primary", KeyColumns::PrimaryKey),
        ("[a, b]", KeyColumns::Columns(columns(&["a", "b"]))),
        ("{ columns: [a] }", KeyColumns::Columns(columns(&["a"]))),
        ("{ unique: t_code_key }", KeyColumns::UniqueConstraint("t_code_key".into())),
        ("{ hashed: [a, b] }", KeyColumns::Hashed(columns(&["a", "b"]))),
        ("{ hashed: all }", KeyColumns::Hashed(vec![])),
        ("{ ignore_case: true }", KeyColumns::PrimaryKey),
    ] {
        let sync = sync(&format!("    from: {{ connection: a, table: t, key: {key} }}\n"));
        assert_eq!(sync.from.key.columns, expected, "{key}");
    }
}

#[test]
fn what_is_implied() {
    let policy = |text: &str| sync(text).deletes.policy;
    assert_eq!(policy("    write: mirror\n"), DeletePolicy::Delete);
    assert_eq!(policy("    write: mirror\n    deletes: { guard: { count: 1 } }\n"), DeletePolicy::Delete);
    assert_eq!(policy("    deletes: { out_of_filter: false }\n"), DeletePolicy::Ignore);
    assert_eq!(policy("    deletes: delete\n"), DeletePolicy::Delete);
    let mode = |from: &str| sync(&format!("    from: {{ connection: a, table: t, {from} }}\n")).mode;
    assert_eq!(mode("cursor: n"), Mode::Incremental);
    assert_eq!(mode("lag: 1s"), Mode::Full);
    let overlap = sync("    from: { connection: a, table: t, cursor: c, overlap: 5m }\n").from.overlap;
    assert_eq!(overlap, Overlap { time: Duration::from_secs(300), count: 1000 });
}

#[test]
fn options_of_every_kind() {
    let loaded = load(
        "connections:
  p: { type: postgres, url: \"${file:/run/secrets/x}\", timeout: 1m, tls: true }
  s:
    type: sharepoint
    site: \"$${not a variable} ${TENANT}\"
    auth: { type: certificate, tenant: 007, client_id: c }
    limits: [{ requests: ${FIFTY}, per: 10s }, { requests: 10000, per: 10m }]
syncs:
  x: { from: { connection: p, table: t }, to: { connection: s, list: l }, fields: { F: c } }
store: { path: ../x.db, max_size: 4GiB, busy_timeout: 500ms }
"
        .replace("${FIFTY}", "\"${FIFTY}\"")
        .as_str(),
    );
    assert_eq!(
        loaded.project.connections[0].options,
        json!({ "url": "hunter2", "timeout": 60000, "tls": true })
    );
    assert_eq!(
        loaded.project.connections[1].options,
        json!({
            "site": "${not a variable} id of TENANT",
            "auth": { "type": "certificate", "tenant": "007", "client_id": "c" },
            "limits": [{ "requests": 50, "per": 10000 }, { "requests": 10000, "per": 600000 }],
        })
    );
    assert_eq!(
        loaded.project.store,
        StoreOptions {
            path: "../x.db".into(),
            max_size: Some(4 << 30),
            busy_timeout: Duration::from_millis(500),
            tenant: String::new(),
        }
    );
}

#[test]
fn anchors_and_line_ends() {
    let text = project("    from: &f { connection: a, table: t }\n    fields: { A: &c x, B: *c }\n")
        + "  s2: { from: *f, to: { connection: b, list: l }, fields: { A: b } }\n";
    for text in [text.clone(), text.replace('\n', "\r\n"), format!("\u{feff}{text}")] {
        let loaded = load(&text);
        assert_eq!(loaded.project.syncs[1].from.stream, "t");
        assert!(matches!(&loaded.project.syncs[0].fields[1].from, Origin::Column(c) if c == "x"));
    }
}

#[test]
fn everything_has_its_place() {
    let loaded = load(DESIGN);
    let at = |line, column| Place { line, column };
    let title = Places::path(&["syncs", "projects", "fields", "Title"]);
    assert_eq!((loaded.places.key(&title), loaded.places.value(&title)), (at(17, 7), at(17, 14)));
    assert_eq!(loaded.places.value("syncs.projects.from.key[0]"), at(11, 60));
    assert_eq!(loaded.places.value("syncs.projects.route[1].list"), at(24, 45));
    // What the file does not have is found around.
    assert_eq!(loaded.places.value("syncs.projects.fields.Title.from"), at(17, 14));
    let problem = loaded.error_at_key(&title, "no column \"Title\" in the list", Some("create it".into()));
    assert_eq!(problem.to_string(), "p.yaml:17:7: no column \"Title\" in the list; create it");
    let problem = loaded.warning("syncs.projects.from.cursor", "no index on updated_at", None);
    assert_eq!(problem.to_string(), "p.yaml:11:83: warning: no index on updated_at");
}
