//! `make bench-push`: the main push, measured on the real binary, a real PostgreSQL and the simulator as its own process.
//!
//! Prints a table and writes `target/bench/push.json`. Needs SYNCLINE_TEST_POSTGRES (the Makefile starts a server). The
//! number of rows of the large case can be lowered with PUSH_ROWS.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark: it measures time and prints"
)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

const SYNCLINE: &str = env!("CARGO_BIN_EXE_syncline");
const LISTS: [&str; 3] = ["Active Projects", "Closed Projects", "Large Projects"];

fn main() {
    let server = std::env::var("SYNCLINE_TEST_POSTGRES")
        .expect("SYNCLINE_TEST_POSTGRES is not set: use `make bench-push`");
    let rows: u64 = std::env::var("PUSH_ROWS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let directory = tempfile::tempdir().unwrap();
    let database = Database::new(&server);
    let mut figures = serde_json::Map::new();

    database.fill(10_000);
    let bench = Bench::new(
        directory.path(),
        &database.url,
        "small",
        &["--unlimited", "--latency", "5"],
        "unlimited: true",
    );
    let first = bench.run(&["--mode", "full"]);
    assert_eq!(first.counts["created"], 10_000, "{:?}", first.counts);
    figures.insert("first_load_items_per_s".into(), json!((10_000.0 / first.seconds).round()));
    let mut plans: Vec<f64> = (0..5).map(|_| bench.plan()).collect();
    plans.sort_by(f64::total_cmp);
    figures.insert("plan_s".into(), json!(round(plans[2])));
    drop(bench);

    let quota = quota(directory.path(), &database.url);
    figures.extend(quota);

    database.fill(rows);
    let bench = Bench::new(directory.path(), &database.url, "large", &["--unlimited"], "unlimited: true");
    let load = bench.run(&["--mode", "full"]);
    let unchanged = bench.run(&["--mode", "full"]);
    assert_eq!(unchanged.counts["unchanged"], rows, "{:?}", unchanged.counts);
    figures.insert("unchanged_rows_per_s".into(), json!((rows as f64 / unchanged.seconds).round()));
    figures.insert("peak_rss_mb".into(), json!(unchanged.peak_mb));
    drop(bench);

    println!("{:<28}{:>12}{:>14}", "figure", "measured", "to reach");
    for (name, goal) in [
        ("first_load_items_per_s", ">= 4000"),
        ("unchanged_rows_per_s", ">= 150000"),
        ("peak_rss_mb", "< 150"),
        ("quota_used_pct", ">= 97"),
        ("throttled", "0"),
        ("plan_s", "< 0.3"),
    ] {
        println!("{name:<28}{:>12}{goal:>14}", figures[name].to_string());
    }
    println!("large case: {rows} rows; loaded in {:.0} s with a peak of {} MB", load.seconds, load.peak_mb);
    std::fs::create_dir_all("../../target/bench").unwrap();
    std::fs::write("../../target/bench/push.json", serde_json::to_string_pretty(&figures).unwrap()).unwrap();
}

/// The smallest tier on a clock 60 times as fast: a simulated minute is a second, and so is the client's window.
fn quota(directory: &Path, database: &str) -> serde_json::Map<String, Value> {
    let limits = "unlimited: true, extra: [{ units: 1250, per: 1s, scope: tenant }]";
    let bench =
        Bench::new(directory, database, "quota", &["--tier", "smallest", "--clock-scale", "60"], limits);
    let run = bench.run(&["--mode", "full"]);
    assert_eq!(run.counts["created"], 10_000, "{:?}", run.counts);
    let counters = bench.sim.get("counters");
    let minutes: Vec<u64> =
        counters["ru_by_minute"].as_object().unwrap().values().filter_map(Value::as_u64).collect();
    // Start and end are not steady.
    let steady = &minutes[2..minutes.len() - 2];
    let used = steady.iter().sum::<u64>() as f64 / (steady.len() as f64 * 1_250.0) * 100.0;
    let mut figures = serde_json::Map::new();
    figures.insert("quota_used_pct".into(), json!((used * 10.0).round() / 10.0));
    figures.insert("throttled".into(), counters["throttled"].clone());
    figures
}

fn round(seconds: f64) -> f64 {
    (seconds * 1_000.0).round() / 1_000.0
}

struct Database {
    server: String,
    url: String,
    name: String,
}

impl Database {
    fn new(server: &str) -> Self {
        let name = format!("bench_push_{}", std::process::id());
        psql(server, &format!("CREATE DATABASE {name}"));
        let (base, _) = server.rsplit_once('/').unwrap();
        Self { server: server.to_owned(), url: format!("{base}/{name}"), name }
    }

    fn fill(&self, rows: u64) {
        psql(
            &self.url,
            &format!(
                "DROP TABLE IF EXISTS projects;
                 CREATE TABLE projects (id uuid NOT NULL, project_code text PRIMARY KEY, name text NOT NULL, status text NOT NULL,
                   budget_amount numeric(14,2), start_date date, owner_email text, is_active boolean, tags text[], metadata jsonb,
                   created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
                 INSERT INTO projects SELECT gen_random_uuid(), 'PRJ-' || lpad(n::text, 8, '0'), 'Project number ' || n,
                   CASE n % 5 WHEN 0 THEN 'Closed' ELSE 'Active' END, CASE n % 10 WHEN 1 THEN 1500000.00 ELSE (n % 90000) + 0.25 END,
                   date '2025-01-01' + (n % 500)::int, 'owner' || (n % 100) || '@contoso.com', n % 5 > 0, ARRAY['A', 'B'],
                   jsonb_build_object('n', n), now(), timestamptz '2026-01-01' + n * interval '1 second'
                   FROM generate_series(1, {rows}) n;
                 CREATE INDEX ON projects (updated_at, project_code); ANALYZE projects;"
            ),
        );
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        psql(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

fn psql(url: &str, sql: &str) {
    let done = Command::new("psql").args([url, "-q", "-v", "ON_ERROR_STOP=1", "-c", sql]).status().unwrap();
    assert!(done.success());
}

/// A simulator as a process of its own.
struct Sim {
    child: Child,
    url: String,
}

impl Sim {
    fn start(args: &[&str], world: &Path) -> Self {
        let mut command = Command::new(SYNCLINE);
        command.arg("sim").args(args).arg("--world").arg(world).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, url: line.trim().to_owned() }
    }

    fn get(&self, what: &str) -> Value {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://")).unwrap();
        write!(stream, "GET /_sim/{what} HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

struct Bench {
    sim: Sim,
    file: std::path::PathBuf,
}

struct Measured {
    seconds: f64,
    peak_mb: u64,
    counts: Value,
}

impl Bench {
    fn new(directory: &Path, database: &str, name: &str, sim: &[&str], limits: &str) -> Self {
        let directory = directory.join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let columns = json!([
            { "name": "ProjectName", "text": {} },
            { "name": "Status", "choice": { "choices": ["Active", "Closed"] } },
            { "name": "BudgetAmount", "number": {} },
            { "name": "StartDate", "dateTime": { "format": "dateOnly" } },
            { "name": "Owner", "text": {} },
            { "name": "IsActive", "boolean": {} },
            { "name": "ChangedAt", "dateTime": { "format": "dateTime" } },
            { "name": "SynclineKey", "text": {}, "indexed": true, "enforceUniqueValues": true }
        ]);
        let lists: Vec<Value> =
            LISTS.iter().map(|l| json!({ "displayName": l, "columns": columns })).collect();
        let world = directory.join("world.json");
        std::fs::write(&world, json!({ "lists": lists }).to_string()).unwrap();
        let sim = Sim::start(sim, &world);
        let file = directory.join("syncline.yaml");
        std::fs::write(&file, project(&sim.url, database, limits)).unwrap();
        Self { sim, file }
    }

    fn run(&self, args: &[&str]) -> Measured {
        let mut command = Command::new(SYNCLINE);
        command.arg("run").arg("--json").arg("-f").arg(&self.file).args(args).stdout(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let lines = std::thread::spawn(move || output.lines().map_while(Result::ok).last());
        let mut peak_kb = 0;
        while child.try_wait().unwrap().is_none() {
            peak_kb = peak_kb.max(high_water_kb(child.id()));
            std::thread::sleep(Duration::from_millis(5));
        }
        let seconds = begun.elapsed().as_secs_f64();
        let finished: Value = serde_json::from_str(&lines.join().unwrap().expect("a last event")).unwrap();
        Measured { seconds, peak_mb: peak_kb / 1024, counts: finished["counts"].clone() }
    }

    fn plan(&self) -> f64 {
        let begun = Instant::now();
        let args = ["plan", "--mode", "full", "--exit-code", "-f"];
        let done = Command::new(SYNCLINE).args(args).arg(&self.file).stdout(Stdio::null()).status().unwrap();
        assert!(done.success(), "nothing has changed");
        begun.elapsed().as_secs_f64()
    }
}

/// Most memory the process has had resident so far.
fn high_water_kb(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}

fn project(sim: &str, database: &str, limits: &str) -> String {
    format!(
        r#"connections:
  erp: {{ type: postgres, url: "{database}" }}
  intranet:
    type: sharepoint
    site: contoso.sharepoint.com:/sites/projects
    auth: {{ type: client_credentials, tenant: contoso.onmicrosoft.com, client_id: 11111111-2222-4333-8444-555555555502, client_secret: simulated-secret }}
    authority: "{sim}"
    graph: "{sim}"
    concurrency: 6
    limits: {{ {limits} }}
syncs:
  projects:
    from: {{ connection: erp, table: public.projects, cursor: updated_at }}
    to: {{ connection: intranet, list: Active Projects }}
    deletes: delete
    fields:
      Title: project_code
      ProjectName: name
      Status: status
      BudgetAmount: budget_amount
      StartDate: start_date
      Owner: {{ cel: "owner_email.lowerAscii()" }}
      IsActive: is_active
      ChangedAt: updated_at
    route:
      - {{ when: "budget_amount >= 1000000", list: Large Projects }}
      - {{ when: "status == 'Closed'", list: Closed Projects }}
"#
    )
}
