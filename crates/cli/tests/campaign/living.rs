//! A project whose rows never stand still: two syncs from SQLite into lists of the simulator, and the binary on them.

use std::{
    collections::BTreeMap,
    process::{Child, Stdio},
};

use syncline_core::failpoint::Setting;
use syncline_sim::{Fault, FaultMatch, FaultRule, FaultWhen, ListSpec, OpKind, Options};

use crate::kit::{Ended, Place};

/// Rows of the two tables at the start; changes keep their number about there.
const PROJECTS: u32 = 400;
const ASSETS: u32 = 150;

/// Rows that the filter leaves out, more than a page of the source. Most cycles do without: they only take time.
const DRAFTS: u32 = 8_300;

pub(crate) const ACTIVE: &str = "Active Projects";
pub(crate) const CLOSED: &str = "Closed Projects";
pub(crate) const ASSET_LIST: &str = "Assets";

/// `projects` lists completely, routes, moves and deletes; `assets` goes by cursor and tombstone, and marks.
const PROJECT: &str = r#"connections:
  erp: { type: sqlite, path: projects.db }
  intranet:
    type: sharepoint
    site: contoso.sharepoint.com:/sites/projects
    auth: { type: client_credentials, tenant: contoso.onmicrosoft.com, client_id: 11111111-2222-4333-8444-555555555502, client_secret: "${CLIENT_SECRET}" }
    authority: "${SIM}"
    graph: "${SIM}"
    settle: 0s
    limits: { unlimited: true }
store: { busy_timeout: 300ms }
syncs:
  projects:
    from: { connection: erp, table: projects, key: [code], filter: "status != 'Draft'" }
    to: { connection: intranet, list: Active Projects }
    mode: full
    deletes: delete
    batch: 20
    fields:
      Title: code
      Status: status
      BudgetAmount: budget
    route:
      - { when: "status == 'Closed'", list: Closed Projects }
  assets:
    from: { connection: erp, table: assets, key: [id], cursor: version, overlap: 20, tombstone: gone }
    to: { connection: intranet, list: Assets }
    mode: incremental
    deletes: { policy: soft, field: DeletedAt }
    batch: 20
    fields:
      Title: name
      Worth: worth
"#;

/// The project, the directory it lies in, and the simulator behind it.
pub(crate) struct Living {
    pub(crate) place: Place,
    pub(crate) random: fastrand::Rng,
    /// Changes so far, for names that are new.
    changes: u32,
}

impl Living {
    /// Nothing was run yet; the lists have their key columns.
    pub(crate) fn new(seed: u64) -> Self {
        let mut place = Place::empty();
        place.start_sim(Options { seed, ..Options::default() });
        let status = serde_json::json!({ "name": "Status", "choice": { "choices": ["Active", "Closed"] } });
        let number = |name: &str| serde_json::json!({ "name": name, "number": {} });
        let deleted = serde_json::json!({ "name": "DeletedAt", "dateTime": { "format": "dateTime" } });
        for (title, columns) in [
            (ACTIVE, vec![status.clone(), number("BudgetAmount")]),
            (CLOSED, vec![status, number("BudgetAmount")]),
            (ASSET_LIST, vec![number("Worth"), deleted]),
        ] {
            let list = ListSpec { display_name: title.into(), columns, ..ListSpec::default() };
            place.world().add_list(&list).unwrap();
        }
        place.write("syncline.yaml", PROJECT);
        place.sql(&format!(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE projects (code TEXT NOT NULL PRIMARY KEY, status TEXT, budget DECIMAL(14,2));
             CREATE TABLE assets (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, name TEXT, worth INTEGER, gone BOOLEAN);
             CREATE INDEX assets_version ON assets (version);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {PROJECTS})
             INSERT INTO projects SELECT printf('P-%05d', i), CASE i % 5 WHEN 0 THEN 'Closed' ELSE 'Active' END, i * 10.25 FROM n;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ASSETS})
             INSERT INTO assets SELECT i, i, printf('A-%05d', i), i * 3, 0 FROM n"
        ));
        place.syncline(&["check", "--fix"]).with_code(0);
        Self { place, random: fastrand::Rng::with_seed(seed), changes: 0 }
    }

    /// Rows are made, edited, moved to the other list, deleted and marked as gone, and some of those come back.
    pub(crate) fn change(&mut self) {
        self.change_but_keep();
        let some = self.some(3);
        let gone = self.some(3);
        self.place.sql(&format!(
            "DELETE FROM projects WHERE rowid IN (SELECT rowid FROM projects {some});
             UPDATE assets SET gone = 1, {NEXT} WHERE id IN (SELECT id FROM assets WHERE gone = 0 {gone});"
        ));
    }

    /// As above, and nothing is deleted: for times when nobody remembers whose the records are.
    pub(crate) fn change_but_keep(&mut self) {
        self.changes += 1;
        let number = self.changes;
        let [edited, moved, assets, back] = [25, 6, 12, 2].map(|n| self.some(n));
        self.place.sql(&format!(
            "UPDATE projects SET budget = budget + 1 WHERE rowid IN (SELECT rowid FROM projects {edited});
             UPDATE projects SET status = CASE status WHEN 'Closed' THEN 'Active' ELSE 'Closed' END
               WHERE rowid IN (SELECT rowid FROM projects WHERE status <> 'Draft' {moved});
             INSERT INTO projects VALUES ('N-{number}-1', 'Active', 1.5), ('N-{number}-2', 'Closed', 2), ('N-{number}-3', 'Active', NULL);
             UPDATE assets SET worth = worth + 1, {NEXT} WHERE id IN (SELECT id FROM assets WHERE gone = 0 {assets});
             UPDATE assets SET gone = 0, {NEXT} WHERE id IN (SELECT id FROM assets WHERE gone = 1 {back});
             INSERT INTO assets SELECT max(id) + 1, max(version) + 1, 'B-{number}', {number}, 0 FROM assets;"
        ));
    }

    /// The end of a query that takes `n` rows, other ones each time.
    fn some(&mut self, n: u32) -> String {
        format!("ORDER BY rowid * {} % 10007 LIMIT {n}", self.random.u32(1..10_007))
    }

    /// A row that the destination refuses, until it is mended.
    pub(crate) fn break_a_row(&self) {
        self.place.sql(&format!("INSERT INTO projects VALUES ('X-{}', 'Nonsense', 1)", self.changes));
    }

    pub(crate) fn mend_rows(&self) {
        self.place.sql("UPDATE projects SET status = 'Active' WHERE status = 'Nonsense'");
    }

    /// More rows than one page of the source, all of them left out by the filter.
    pub(crate) fn add_drafts(&self) {
        self.place.sql(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {DRAFTS})
             INSERT INTO projects SELECT 'D-' || i, 'Draft', i FROM n"
        ));
    }

    pub(crate) fn remove_drafts(&self) {
        self.place.sql("DELETE FROM projects WHERE status = 'Draft'");
    }

    /// Loses some answers and some requests, and throttles.
    pub(crate) fn faults_on(&self) {
        self.faults_off();
        let batches = FaultMatch { kind: Some(OpKind::Batch), ..FaultMatch::default() };
        let parts = FaultMatch { part: Some(true), ..FaultMatch::default() };
        let throttle = Fault::Throttle { retry_after: Some("0.1".into()) };
        for (matches, probability, what) in [
            (batches.clone(), 0.05, Fault::ResetAfterApply),
            (batches, 0.03, Fault::ResetBeforeApply),
            (parts, 0.01, throttle),
        ] {
            let rule = FaultRule { matches, when: FaultWhen::sometimes(probability), what };
            self.place.world().add_fault(rule).unwrap();
        }
    }

    pub(crate) fn faults_off(&self) {
        self.place.world().clear_faults(None);
    }

    /// Starts a command with a failpoint armed; what it says on standard error and hears on standard input is the caller's.
    pub(crate) fn start(&self, setting: &Setting, args: &[&str]) -> Child {
        let mut command = self.place.command(args);
        command.env("SYNCLINE_FAILPOINT", setting.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What the store alone says about each sync.
    pub(crate) fn status(&self) -> BTreeMap<String, serde_json::Value> {
        let status = self.place.syncline(&["status", "--json"]).with_code(0);
        status.json().into_iter().map(|sync| (sync["sync"].as_str().unwrap().to_owned(), sync)).collect()
    }

    /// Whether anything was run yet.
    pub(crate) fn has_a_store(&self) -> bool {
        self.place.path(".syncline/store.db").exists()
    }

    /// No row is marked as gone any more.
    pub(crate) fn bring_back(&self) {
        self.place.sql(&format!("UPDATE assets SET gone = 0, {NEXT} WHERE gone = 1"));
    }

    /// The store's file and everything beside it is lost.
    pub(crate) fn lose_the_store(&self) {
        std::fs::remove_dir_all(self.place.path(".syncline")).unwrap();
    }

    /// Without faults, runs until nothing is left to do: parked records are tried again, held deletes approved.
    pub(crate) fn rest(&self) -> Result<(), String> {
        self.faults_off();
        let mut last: Ended = self.place.syncline(&["run", "-q"]);
        for _ in 0..6 {
            let status = self.status();
            let waiting = |what: &str| {
                let of =
                    |(name, sync): (&String, &serde_json::Value)| Some((name.clone(), sync[what].as_u64()?));
                status.iter().filter_map(of).filter(|(_, n)| *n > 0).collect::<Vec<_>>()
            };
            let (parked, held) = (waiting("parked"), waiting("held"));
            if last.code == 0 && parked.is_empty() && held.is_empty() && waiting("open_intents").is_empty() {
                return Ok(());
            }
            for (sync, _) in parked {
                self.place.syncline(&["parked", "retry", &sync]).with_code(0);
            }
            for (sync, n) in &held {
                self.place.syncline(&["held", "approve", sync, "--max", &n.to_string()]).with_code(0);
            }
            let full: &[&str] =
                if held.is_empty() { &["run", "-q"] } else { &["run", "-q", "--mode", "full"] };
            last = self.place.syncline(full);
        }
        Err(format!("it does not come to rest: {:?}\n{}\n{}", self.status(), last.out, last.err))
    }
}

/// The next version of an asset.
const NEXT: &str = "version = (SELECT max(version) + 1 FROM assets)";
