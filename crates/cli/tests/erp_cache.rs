//! `examples/erp-cache`, end to end: exactly those files, a real PostgreSQL and a real MariaDB as sources, PostgreSQL and
//! SQLite as the cache. Whether a table is right is asked of the databases, in their own words, on both sides.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value as Json;

use crate::{
    databases::{MariaDb, Postgres, Rows},
    kit::{Place, until},
    serve::kit::{Service, stored, until_within},
};

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/erp-cache").join(file);
    std::fs::read_to_string(path).unwrap()
}

/// The syncs: name, table of the cache.
const ERP: [(&str, &str); 14] = [
    ("customers", "customers"),
    ("suppliers", "vendors"),
    ("item_groups", "item_groups"),
    ("items", "items"),
    ("warehouses", "warehouses"),
    ("stock_levels", "stock_levels"),
    ("sales_orders", "sales_orders"),
    ("sales_order_lines", "sales_order_lines"),
    ("purchase_orders", "purchase_orders"),
    ("purchase_order_lines", "purchase_order_lines"),
    ("invoices", "invoices"),
    ("payments", "payments"),
    ("gl_accounts", "gl_accounts"),
    ("exchange_rates", "exchange_rates"),
];
const CMS: [&str; 8] =
    ["sites", "contacts", "assets", "contracts", "contract_lines", "documents", "tickets", "ticket_notes"];

/// What the cache should hold, as views of the sources, where it is not the table as it stands. Written by hand.
const ERP_VIEWS: &str = "
    CREATE VIEW expected_customers AS SELECT * FROM customers WHERE deleted_at IS NULL;
    CREATE VIEW expected_suppliers AS SELECT supplier_no AS vendor_id, name AS vendor_name,
        coalesce(contact, 'unknown') AS vendor_contact, city AS town, country, rating AS score, is_preferred AS preferred
        FROM suppliers;
    CREATE VIEW expected_sales_orders AS SELECT *, CASE WHEN net_amount >= 10000 THEN 'large'
        WHEN net_amount >= 1000 THEN 'medium' ELSE 'small' END AS order_class FROM sales_orders;
    CREATE VIEW expected_sales_order_lines AS
        SELECT *, round(quantity * unit_price * (100 - discount_percent) / 100, 2) AS line_amount FROM sales_order_lines;
    CREATE VIEW expected_purchase_orders AS SELECT po_no, supplier_no, name AS supplier_name, ordered_on, expected_on, status,
        net_amount, CASE WHEN p.updated_at > s.updated_at THEN p.updated_at ELSE s.updated_at END AS changed_at
        FROM purchase_orders p JOIN suppliers s USING (supplier_no);
    CREATE VIEW expected_exchange_rates AS SELECT * FROM exchange_rates WHERE rate_date > DATE '2024-12-31';";
const CMS_VIEWS: &str = "
    CREATE VIEW expected_documents AS SELECT *, substring_index(file_name, '.', -1) AS kind FROM documents;
    CREATE VIEW expected_tickets AS SELECT * FROM tickets WHERE status NOT IN ('Deleted', 'D');";

/// How a column's values are written so that three databases write the same.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Plain,
    Decimal,
    Boolean,
    /// An instant or a wall clock.
    Time,
    Bytes,
}

impl Form {
    fn of(declared: &str) -> Self {
        match declared {
            "numeric" | "decimal" => Self::Decimal,
            "boolean" | "tinyint(1)" => Self::Boolean,
            "bytea" => Self::Bytes,
            d if d.starts_with("timestamp") || d.starts_with("datetime") => Self::Time,
            d if d.starts_with("decimal") => Self::Decimal,
            d if d.starts_with("binary") || d.starts_with("varbinary") => Self::Bytes,
            _ => Self::Plain,
        }
    }

    fn in_postgres(self, name: &str) -> String {
        match self {
            Self::Boolean => format!("{name}::int"),
            Self::Time => format!("to_char({name}, 'YYYY-MM-DD HH24:MI:SS.US')"),
            Self::Bytes => format!("encode({name}, 'hex')"),
            Self::Plain | Self::Decimal => name.to_owned(),
        }
    }

    fn in_mariadb(self, name: &str) -> String {
        match self {
            Self::Time => format!("date_format({name}, '%Y-%m-%d %H:%i:%s.%f')"),
            Self::Bytes => format!("lower(hex({name}))"),
            Self::Plain | Self::Decimal | Self::Boolean => name.to_owned(),
        }
    }

    fn in_sqlite(self, name: &str) -> String {
        match self {
            Self::Time => format!("rtrim({name}, 'Z')"),
            // the hex of null is an empty text
            Self::Bytes => format!("CASE WHEN {name} IS NOT NULL THEN lower(hex({name})) END"),
            Self::Plain | Self::Decimal | Self::Boolean => name.to_owned(),
        }
    }

    /// What may still be written in several ways.
    fn canonical(self, text: String) -> String {
        match self {
            Self::Decimal if text.contains('.') => {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            // objects in the order of their keys, without spaces
            Self::Plain if text.starts_with('{') => serde_json::from_str::<BTreeMap<String, Json>>(&text)
                .map_or(text, |object| object.iter().map(|(key, value)| format!("{key}={value};")).collect()),
            // a time of day
            Self::Plain => text.trim_end_matches(".000000").to_owned(),
            _ => text,
        }
    }
}

type Columns = Vec<(String, Form)>;

fn selected(columns: &Columns, form: impl Fn(Form, &str) -> String) -> String {
    columns.iter().map(|(name, f)| form(*f, name)).collect::<Vec<_>>().join(", ")
}

fn canonical(rows: Rows, columns: &Columns) -> Rows {
    let cell = |(cell, (_, form)): (Option<String>, &(String, Form))| cell.map(|text| form.canonical(text));
    let mut rows: Rows =
        rows.into_iter().map(|row| row.into_iter().zip(columns).map(cell).collect()).collect();
    rows.sort();
    rows
}

enum Cache {
    Postgres(Postgres),
    Sqlite(PathBuf),
}

impl Cache {
    fn query(&self, sql: &str) -> Rows {
        match self {
            Self::Postgres(database) => database.query(sql),
            Self::Sqlite(path) => {
                let file = rusqlite::Connection::open(path).unwrap();
                let mut statement = file.prepare(sql).unwrap_or_else(|error| panic!("{error}\nin {sql}"));
                let width = statement.column_count();
                let cell = |row: &rusqlite::Row<'_>, i| match row.get_ref(i).unwrap() {
                    rusqlite::types::ValueRef::Null => None,
                    rusqlite::types::ValueRef::Integer(n) => Some(n.to_string()),
                    rusqlite::types::ValueRef::Real(n) => Some(n.to_string()),
                    rusqlite::types::ValueRef::Text(text) | rusqlite::types::ValueRef::Blob(text) => {
                        Some(String::from_utf8(text.to_vec()).unwrap())
                    }
                };
                let rows = statement.query_map([], |row| Ok((0..width).map(|i| cell(row, i)).collect()));
                rows.unwrap().map(Result::unwrap).collect()
            }
        }
    }

    fn rows(&self, from: &str, columns: &Columns) -> Rows {
        let select = match self {
            Self::Postgres(_) => selected(columns, Form::in_postgres),
            Self::Sqlite(_) => selected(columns, Form::in_sqlite),
        };
        let zone = if matches!(self, Self::Postgres(_)) { "SET TIME ZONE 'UTC'; " } else { "" };
        canonical(self.query(&format!("{zone}SELECT {select} FROM {from}")), columns)
    }

    /// Names of a table's columns, sorted.
    fn columns(&self, table: &str) -> Vec<String> {
        let sql = match self {
            Self::Postgres(_) => {
                format!("SELECT column_name FROM information_schema.columns WHERE table_name = '{table}'")
            }
            Self::Sqlite(_) => format!("SELECT name FROM pragma_table_info('{table}')"),
        };
        let mut names: Vec<_> = self.query(&sql).into_iter().flatten().flatten().collect();
        names.sort();
        names
    }
}

/// Both sources, a cache, and the project between them.
struct Stage {
    place: Place,
    erp: Postgres,
    cms: MariaDb,
    cache: Cache,
    file: &'static str,
}

impl Stage {
    fn set(name: &str, sqlite: bool) -> Option<Self> {
        let erp = Postgres::create(&format!("{name}_erp"))?;
        let cms = MariaDb::create(&format!("{name}_cms"))?;
        for file in ["schema.sql", "data.sql"] {
            erp.execute(&read(&format!("erp/{file}")));
            cms.execute(&read(&format!("cms/{file}")));
        }
        erp.execute(ERP_VIEWS);
        cms.execute(CMS_VIEWS);
        let mut place = Place::empty();
        place.set("ERP_URL", &erp.url);
        place.set("CMS_URL", &cms.url);
        let file = if sqlite { "syncline-sqlite.yaml" } else { "syncline.yaml" };
        place.write(file, read(file));
        let cache = if sqlite {
            Cache::Sqlite(place.path("cache.db"))
        } else {
            let cache = Postgres::create(&format!("{name}_cache"))?;
            place.set("CACHE_URL", &cache.url);
            Cache::Postgres(cache)
        };
        Some(Self { place, erp, cms, cache, file })
    }

    fn change(&self) {
        self.erp.execute(&read("erp/changes.sql"));
        self.cms.execute(&read("cms/changes.sql"));
    }

    /// What a sync's table should hold, and what it holds.
    fn both(&self, sync: &str) -> (Rows, Rows) {
        let erp = ERP.iter().find(|(name, _)| *name == sync);
        let catalogue = |kind: &str, schema: &str, relation: &str| {
            format!(
                "SELECT column_name, {kind} FROM information_schema.columns WHERE table_schema = {schema} \
                 AND table_name = '{relation}' ORDER BY ordinal_position"
            )
        };
        let described = |rows: Rows| -> Columns {
            let column = |row: Vec<Option<String>>| {
                let [Some(name), Some(kind)] = row.as_slice() else { panic!("{row:?}") };
                (name.clone(), Form::of(kind))
            };
            rows.into_iter().map(column).collect()
        };
        let view = format!("expected_{sync}");
        let (columns, expected) = if erp.is_some() {
            let describe =
                |relation: &str| described(self.erp.query(&catalogue("data_type", "'public'", relation)));
            let (relation, columns) = either(&view, sync, describe);
            let select = selected(&columns, Form::in_postgres);
            let sql = format!("SET TIME ZONE 'UTC'; SELECT {select} FROM {relation}");
            (columns, self.erp.query(&sql))
        } else {
            let describe =
                |relation: &str| described(self.cms.query(&catalogue("column_type", "database()", relation)));
            let (relation, columns) = either(&view, sync, describe);
            let select = selected(&columns, Form::in_mariadb);
            (columns, self.cms.query(&format!("SELECT {select} FROM {relation}")))
        };
        let table = erp.map_or(sync, |(_, table)| *table);
        let mut names: Vec<_> = columns.iter().map(|(name, _)| name.clone()).collect();
        if sync == "contracts" {
            names.push("removed_at".into());
        }
        names.sort();
        assert_eq!(self.cache.columns(table), names, "{sync}: columns");
        let living = if sync == "contracts" { "contracts WHERE removed_at IS NULL" } else { table };
        (canonical(expected, &columns), self.cache.rows(living, &columns))
    }

    /// Which tables hold something else than their sources do.
    fn behind(&self) -> Vec<&'static str> {
        let mut behind = Vec::new();
        for sync in ERP.iter().map(|(name, _)| *name).chain(CMS) {
            let (expected, found) = self.both(sync);
            assert!(expected.len() > 4, "{sync}: the source holds something");
            if expected != found {
                behind.push(sync);
            }
        }
        behind
    }

    /// Runs `syncline COMMAND --json …` and returns the lines of what `is` picks, by sync.
    fn lines(&self, args: &[&str], is: impl Fn(&Json) -> bool) -> BTreeMap<String, Json> {
        let args: Vec<&str> = ["-f", self.file].into_iter().chain(args.iter().copied()).collect();
        let lines = self.place.syncline(&args).with_code(0).json();
        let named = |line: Json| (line["sync"].as_str().unwrap().to_owned(), line);
        lines.into_iter().filter(|line| is(line)).map(named).collect()
    }

    /// Plans and runs a schedule; the plan tells what the run does. Returns the accounts.
    fn run(&self, schedule: &str) -> BTreeMap<String, Json> {
        let plan = self.lines(&["plan", "--schedule", schedule, "--json"], |line| !line["summary"].is_null());
        let ran = self.lines(&["run", "--schedule", schedule, "--json"], |line| line["event"] == "finished");
        assert_eq!(plan.keys().collect::<Vec<_>>(), ran.keys().collect::<Vec<_>>());
        for (sync, planned) in &plan {
            let (planned, counts) = (&planned["summary"], &ran[sync]["counts"]);
            let n = |of: &Json, name: &str| of[name].as_u64().unwrap();
            if planned["notes"]
                .as_array()
                .unwrap()
                .iter()
                .any(|note| note == "the table is replaced as a whole")
            {
                // every row of the new table is a created one; the plan compares it with the old table
                let kept = n(planned, "create") + n(planned, "update") + n(planned, "unchanged");
                assert_eq!(kept, n(counts, "created"), "{schedule} {sync}: {planned} {counts}");
                continue;
            }
            for (planned_as, counted_as) in [
                ("read", "read"),
                ("create", "created"),
                ("update", "updated"),
                ("delete", "deleted"),
                ("hold", "held"),
                ("park", "parked"),
                ("unchanged", "unchanged"),
                ("skipped", "skipped"),
            ] {
                assert_eq!(
                    n(planned, planned_as),
                    n(counts, counted_as),
                    "{schedule} {sync}, {counted_as}: {planned} {counts}"
                );
            }
        }
        ran.into_iter().map(|(sync, line)| (sync, line["counts"].clone())).collect()
    }

    /// The post-processor's table, and what it should hold after the last run.
    fn balances(&self) -> (Rows, Rows) {
        let columns: Columns =
            ["customer_no", "invoices", "open_cents"].map(|c| (c.into(), Form::Plain)).into();
        let expected = self.erp.query(
            "SELECT customer_no, count(*), sum((open_amount * 100)::bigint) FROM invoices GROUP BY customer_no",
        );
        (canonical(expected, &columns), self.cache.rows("customer_balances", &columns))
    }
}

/// The view where there is one, else the table.
fn either(view: &str, table: &str, describe: impl Fn(&str) -> Columns) -> (String, Columns) {
    let columns = describe(view);
    if columns.is_empty() { (table.to_owned(), describe(table)) } else { (view.to_owned(), columns) }
}

fn counted(counts: &Json) -> [u64; 4] {
    ["created", "updated", "deleted", "unchanged"].map(|name| counts[name].as_u64().unwrap())
}

/// The whole story: Mass, changes, Hourly, Daily, Mass.
fn life(stage: &Stage) {
    let check = stage.place.syncline(&["-f", stage.file, "check"]).with_code(0).out;
    assert_eq!(check, "everything is fine (3 connections, 22 syncs)\n");

    let first = stage.run("mass");
    assert_eq!(first.len(), 22);
    assert_eq!(counted(&first["items"]), [600, 0, 0, 0]);
    assert_eq!(counted(&first["tickets"]), [640, 0, 0, 160]);
    assert_eq!(stage.behind(), [""; 0]);
    let (expected, found) = stage.balances();
    assert_eq!(found, expected);

    // nothing changed: nothing is written
    let idle = stage.run("hourly");
    assert_eq!(idle.len(), 20, "gl_accounts and exchange_rates have no hourly run");
    for (sync, counts) in idle.iter().filter(|(sync, _)| *sync != "warehouses") {
        assert_eq!(counted(counts)[..3], [0, 0, 0], "{sync}: {counts}");
    }

    stage.change();
    let hourly = stage.run("hourly");
    assert_eq!(counted(&hourly["customers"])[..3], [1, 3, 2], "tombstones are deletes");
    assert_eq!(counted(&hourly["suppliers"])[..3], [0, 1, 0], "a column that is not copied changes nothing");
    assert_eq!(counted(&hourly["item_groups"]), [0, 1, 0, 11]);
    assert_eq!(counted(&hourly["items"])[..3], [0, 30, 0]);
    assert_eq!(counted(&hourly["stock_levels"])[..3], [2, 50, 2], "keys are compared");
    assert_eq!(counted(&hourly["sales_order_lines"])[..3], [2, 24, 0]);
    assert_eq!(counted(&hourly["purchase_orders"])[..3], [0, 10, 0], "those of two suppliers that changed");
    assert_eq!(counted(&hourly["payments"])[..3], [2, 0, 0]);
    assert_eq!(counted(&hourly["tickets"])[..3], [1, 2, 3]);
    assert_eq!(counted(&hourly["contacts"])[..3], [1, 20, 0]);
    // what is gone without a trace is seen by a run that reads everything
    assert_eq!(
        stage.behind(),
        [
            "sales_orders",
            "sales_order_lines",
            "purchase_orders",
            "purchase_order_lines",
            "gl_accounts",
            "exchange_rates",
            "contacts",
            "contracts",
            "contract_lines",
            "documents"
        ]
    );
    let (expected, found) = stage.balances();
    assert_eq!(found, expected);

    let daily = stage.run("daily");
    assert_eq!(counted(&daily["gl_accounts"]), [0, 1, 1, 88]);
    assert_eq!(counted(&daily["exchange_rates"])[..3], [2, 1, 0]);
    assert_eq!(counted(&daily["items"])[..3], [0, 0, 0]);
    assert!(!stage.behind().contains(&"gl_accounts"));

    let mass = stage.run("mass");
    assert_eq!(counted(&mass["sales_order_lines"]), [0, 0, 5, 4497], "compared, not replaced");
    assert_eq!(counted(&mass["contracts"]), [0, 0, 2, 198], "marked");
    assert_eq!(stage.behind(), [""; 0]);
    let (expected, found) = stage.balances();
    assert_eq!(found, expected);
    let marked =
        stage.cache.query("SELECT contract_no FROM contracts WHERE removed_at IS NOT NULL ORDER BY 1");
    assert_eq!(marked.concat(), [Some("7".to_owned()), Some("14".to_owned())]);
    // a source of MariaDB cannot be compared inside the databases
    let comparable = ["-f", stage.file, "verify"].into_iter().chain(ERP.iter().map(|(sync, _)| *sync));
    stage.place.syncline(&comparable.collect::<Vec<_>>()).with_code(0);
    assert_eq!(stage.cache.query("SELECT count(*) FROM syncline_state").concat(), [Some("22".to_owned())]);
}

#[test]
fn a_cache_in_postgresql() {
    let Some(stage) = Stage::set("cli_cache", false) else { return };
    life(&stage);
    let staging = "SELECT relname FROM pg_class WHERE relname ~ '^syncline_[0-9a-f]{12}_'";
    assert_eq!(stage.cache.query(staging), Rows::new(), "no staging table is left behind");
}

#[test]
fn a_cache_in_sqlite() {
    let Some(stage) = Stage::set("cli_cache_lite", true) else { return };
    life(&stage);
}

/// As a service: never synced means Mass, and when all of them have run everything is healthy.
#[test]
fn a_cache_that_is_served() {
    let Some(stage) = Stage::set("cli_cache_served", false) else { return };
    let service = Service::start(&stage.place, "one", &[]);
    assert_eq!((&service.ready["syncs"], &service.ready["chains"]), (&22.into(), &0.into()));
    let mass = "SELECT count(DISTINCT sync) FROM run WHERE status = 'succeeded' AND schedule = 'mass'";
    until_within(Duration::from_secs(180), "every table had its Mass run", || {
        stored(&stage.place, mass) == Some(22)
    });
    until("no operation is open", || {
        stored(&stage.place, "SELECT count(*) FROM data_update WHERE \"end\" IS NULL") == Some(0)
    });
    assert_eq!(stage.behind(), [""; 0]);
    let (expected, found) = stage.balances();
    assert_eq!(found, expected);
    let health = service.get("/health");
    assert_eq!((&health["level"], &health["healthy"]), (&"healthy".into(), &22.into()), "{health}");
    let failed = "SELECT count(*) FROM data_update WHERE success = 0";
    assert_eq!(stored(&stage.place, failed), Some(0));
    service.stop();
}

#[test]
fn rows_that_did_not_change_are_not_rewritten() {
    let Some(stage) = Stage::set("cli_cache_rows", false) else { return };
    let run = |schedule: &str| {
        let run = ["run", "sales_order_lines", "--schedule", schedule];
        stage.place.syncline(&run).with_code(0);
    };
    run("mass");
    let keep = "CREATE TABLE before AS SELECT order_no, line_no, xmin::text AS written, ctid::text AS place FROM sales_order_lines";
    stage.cache.query(keep);
    stage.change();
    run("hourly");
    run("mass");
    let rewritten = "SELECT count(*) FROM before b JOIN sales_order_lines l USING (order_no, line_no) \
                     WHERE (b.written, b.place) IS DISTINCT FROM (l.xmin::text, l.ctid::text)";
    let kept = "SELECT count(*) FROM sales_order_lines";
    assert_eq!(stage.cache.query(rewritten).concat(), [Some("24".to_owned())]);
    assert_eq!(stage.cache.query(kept).concat(), [Some("4497".to_owned())]);
}

#[test]
fn the_two_projects_differ_in_the_cache_alone() {
    let differing = |file: &str, other: &str| -> Vec<String> {
        let other = read(other);
        let known: Vec<_> = other.lines().collect();
        read(file)
            .lines()
            .filter(|line| !known.contains(line) && !line.starts_with('#'))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(
        differing("syncline.yaml", "syncline-sqlite.yaml"),
        [r#"  cache: { type: postgres, url: "${CACHE_URL}" }"#, "  path: .syncline/store.db"]
    );
    assert_eq!(
        differing("syncline-sqlite.yaml", "syncline.yaml"),
        ["  cache: { type: sqlite, path: cache.db }", "  path: .syncline/sqlite.db"]
    );
}
