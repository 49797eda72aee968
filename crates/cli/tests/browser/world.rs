//! A company whose service is looked at: two databases and a simulated SharePoint, with runs that succeeded, records that
//! are parked, deletes that are held, a chain that came to its end and one that did not. All of it made by real runs.

use serde_json::{Value as Json, json};
use syncline_sim::{ListSpec, Options};

use crate::{
    kit::{Place, until},
    serve::kit::{Service, stored, until_within},
};

const PROJECT: &str = r#"connections:
  erp: { type: sqlite, path: projects.db }
  warehouse: { type: sqlite, path: warehouse.db }
  archive: { type: sqlite, path: archive/contracts.db }
  intranet:
    type: sharepoint
    site: contoso.sharepoint.com:/sites/projects
    auth: { type: client_credentials, tenant: contoso.onmicrosoft.com, client_id: 11111111-2222-4333-8444-555555555502, client_secret: "${CLIENT_SECRET}" }
    authority: "${SIM}"
    graph: "${SIM}"
    settle: 0s
syncs:
  projects:
    from: { connection: erp, table: projects, key: [code] }
    to: { connection: intranet, list: Active Projects }
    mode: full
    deletes: delete
    fields:
      Title: code
      ProjectName: name
      Status: status
      BudgetAmount: budget
      ProjectManager: { cel: "manager.lowerAscii()" }
    route:
      - { when: "status == 'Closed'", list: Closed Projects }
    schedule: { cron: "30 5 * * *", zone: Europe/Berlin }
  customers:
    from: { connection: erp, table: customers, key: [customer_no] }
    to: { connection: warehouse, table: customers }
    mode: full
    write: upsert
    schedule: { cron: "0 4 * * *", zone: Europe/Berlin }
  invoices:
    from: { connection: erp, table: invoices, key: [invoice_no] }
    to: { connection: warehouse, table: invoices }
    mode: full
    write: upsert
  contracts:
    from: { connection: archive, table: contracts, key: [contract_no] }
    to: { connection: warehouse, table: contracts }
    mode: full
    write: upsert
chains:
  nightly:
    schedule: { cron: "0 2 * * *", zone: Europe/Berlin }
    steps:
      customers: { sync: customers }
      invoices: { sync: invoices }
      revenue:
        needs: [customers, invoices]
        sql:
          connection: warehouse
          statements:
            - DROP TABLE IF EXISTS revenue
            - CREATE TABLE revenue AS SELECT customer_no, sum(amount) AS amount FROM invoices GROUP BY customer_no
      enough:
        needs: [revenue]
        check: { rows: { connection: warehouse, query: "SELECT count(*) FROM revenue", min: 1 } }
      projects: { sync: projects, needs: [enough] }
      announce: { needs: [projects], required: false, http: { url: "http://127.0.0.1:9/hook" } }
  month_end:
    steps:
      contracts: { sync: contracts }
      customers: { sync: customers }
      close: { needs: [contracts, customers], sql: { connection: warehouse, statements: ["SELECT 1"] } }
"#;

const SOURCE: &str = "PRAGMA journal_mode = WAL;
CREATE TABLE projects (code TEXT NOT NULL PRIMARY KEY, name TEXT, status TEXT, budget DECIMAL(14,2), manager TEXT);
INSERT INTO projects
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
  SELECT printf('P-%04d', 1000 + i),
    (CASE i % 6 WHEN 0 THEN 'Warehouse' WHEN 1 THEN 'Office' WHEN 2 THEN 'Bridge' WHEN 3 THEN 'Station' WHEN 4 THEN 'School' ELSE 'Harbour' END)
      || ' ' || (CASE i % 5 WHEN 0 THEN 'Hamburg' WHEN 1 THEN 'Leipzig' WHEN 2 THEN 'Graz' WHEN 3 THEN 'Basel' ELSE 'Bremen' END),
    CASE i % 5 WHEN 0 THEN 'Closed' WHEN 1 THEN 'Planned' ELSE 'Active' END, 12500 * i + 0.5,
    'Project.Office' || (i % 7) || '@contoso.com'
  FROM n;
CREATE TABLE customers (customer_no INTEGER NOT NULL PRIMARY KEY, name TEXT, city TEXT);
INSERT INTO customers
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4200)
  SELECT 10000 + i, 'Customer ' || i, CASE i % 3 WHEN 0 THEN 'Lyon' WHEN 1 THEN 'Porto' ELSE 'Gdansk' END FROM n;
CREATE TABLE invoices (invoice_no INTEGER NOT NULL PRIMARY KEY, customer_no INTEGER, amount INTEGER);
INSERT INTO invoices
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
  SELECT 900000 + i, 10001 + i % 4200, i * 7 % 900 FROM n;";

/// Days of which there are runs.
const HISTORY: usize = 9;

/// The company's service, and what it works with.
pub(crate) struct World {
    /// First: it ends before its directory goes.
    pub(crate) service: Service,
    pub(crate) place: Place,
}

impl World {
    /// A service with nothing done yet.
    pub(crate) fn fresh() -> Self {
        let mut place = Place::empty();
        place.start_sim(Options::default());
        let columns = [
            json!({ "name": "ProjectName", "text": {} }),
            json!({ "name": "Status", "choice": { "choices": ["Planned", "Active", "Closed"] } }),
            json!({ "name": "BudgetAmount", "number": {} }),
            json!({ "name": "ProjectManager", "text": {} }),
        ];
        for title in ["Active Projects", "Closed Projects"] {
            let list =
                ListSpec { display_name: title.into(), columns: columns.to_vec(), ..ListSpec::default() };
            place.world().add_list(&list).unwrap();
        }
        place.write("syncline.yaml", PROJECT);
        place.sql(SOURCE);
        // the archive is not there, which it says; the lists are made ready all the same
        place.syncline(&["check", "--fix"]);
        let service = Service::start(&place, "one", &[]);
        Self { service, place }
    }

    /// A service after some days of a company: most is well, some things need a person.
    pub(crate) fn lived_in() -> Self {
        let world = Self::fresh();
        world.run("/api/v1/syncs/projects/runs");
        world.place.sql("UPDATE customers SET city = 'Nantes' WHERE customer_no % 40 = 0");
        world.run("/api/v1/syncs/customers/runs");
        world.run("/api/v1/chains/nightly/runs");
        // two records that the list does not take, and more deletes than the guard lets through
        world.place.sql(
            "UPDATE projects SET status = 'On hold' WHERE code IN ('P-1007', 'P-1021');
             DELETE FROM projects WHERE code > 'P-1045';
             UPDATE projects SET budget = budget + 4000 WHERE code < 'P-1012';
             DELETE FROM customers WHERE customer_no > 14190;
             UPDATE customers SET name = name || ' GmbH' WHERE customer_no % 100 = 0",
        );
        world.run("/api/v1/syncs/projects/runs");
        world.run("/api/v1/syncs/customers/runs");
        world.run("/api/v1/chains/month_end/runs");
        world
    }

    /// The same with more runs, hours apart: what happened last is as old as it really is.
    pub(crate) fn with_history() -> Self {
        let world = Self::lived_in();
        for day in 0..HISTORY {
            world.place.sql(&format!(
                "UPDATE customers SET city = 'Trieste {day}' WHERE customer_no % 50 = {day};
                 INSERT INTO invoices SELECT 920000 + {day} * 100 + customer_no % 90, customer_no, {day}
                   FROM customers WHERE customer_no BETWEEN 11000 AND 11030 + {day} * 7"
            ));
            world.run("/api/v1/syncs/customers/runs");
            world.run("/api/v1/syncs/invoices/runs");
        }
        let hours = |column: &str, of: &str| {
            let back = format!("((((SELECT max(id) FROM {of}) - id) * 190) || ' minutes')");
            format!("{column} = strftime('%Y-%m-%dT%H:%M:%f', {column}, '-' || {back}) || '000Z'")
        };
        let (began, ended) = (hours("started_at", "run"), hours("finished_at", "run"));
        let store = rusqlite::Connection::open(world.place.path(".syncline/store.db")).unwrap();
        store.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        store.execute_batch(&format!("UPDATE run SET {began}, {ended}")).unwrap();
        world
    }

    /// Where its pages are.
    pub(crate) fn address(&self) -> &str {
        self.service.ready["api"].as_str().unwrap()
    }

    /// Asks for a run of a sync or chain and waits for its end. Returns what became of it.
    pub(crate) fn run(&self, path: &str) -> Json {
        let asked = self.ask(path);
        self.until_done(&asked)
    }

    /// Asks for a run and returns the address of its occurrence.
    pub(crate) fn ask(&self, path: &str) -> String {
        let (status, body) = self.service.ask("POST", path, "{}");
        assert_eq!(status, 202, "{path}: {body}");
        let start = body.find('{').unwrap();
        let shown: Json =
            serde_json::Deserializer::from_str(&body[start..]).into_iter().next().unwrap().unwrap();
        format!("/api/v1/occurrences/{}", shown["id"])
    }

    /// Waits for the end of an occurrence.
    pub(crate) fn until_done(&self, occurrence: &str) -> Json {
        let mut last = Json::Null;
        until_within(std::time::Duration::from_secs(60), &format!("{occurrence} is done"), || {
            last = self.service.get(occurrence);
            last["state"] == "done"
        });
        last
    }

    /// Waits until the store gives this number.
    pub(crate) fn until_stored(&self, sql: &str, wanted: i64) {
        until(&format!("{sql} gives {wanted}"), || stored(&self.place, sql) == Some(wanted));
    }
}
