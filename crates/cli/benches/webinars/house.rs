//! The example in use: a database, a simulated tenant as its own process, and `syncline serve`.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::PATIENCE;

const SYNCLINE: &str = env!("CARGO_BIN_EXE_syncline");
const CLIENT: &str = "11111111-2222-4333-8444-555555555502";

pub(crate) struct House {
    sim: Process,
    service: Process,
    database: String,
    _directory: TempDir,
}

/// What the simulated tenant counted.
pub(crate) struct Requests {
    /// Requests of virtual events.
    pub(crate) sent: u64,
    /// Those that were refused for the quota.
    pub(crate) throttled: u64,
}

impl House {
    /// The example's files with these `limits` of the connection, on an empty database of its own.
    pub(crate) fn open(name: &str, limits: &str) -> Self {
        let server = std::env::var("SYNCLINE_TEST_POSTGRES")
            .expect("SYNCLINE_TEST_POSTGRES is not set: use `make bench-webinars`");
        let database = format!("{}/bench_webinars_{name}", server.rsplit_once('/').unwrap().0);
        psql(&server, &format!("DROP DATABASE IF EXISTS bench_webinars_{name} WITH (FORCE)"));
        psql(&server, &format!("CREATE DATABASE bench_webinars_{name}"));
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/webinar-metrics");
        let read = |file: &str| std::fs::read_to_string(example.join(file)).unwrap();
        psql(&database, &read("schema.sql"));
        let directory = tempfile::tempdir().unwrap();
        let graph = "    graph: \"${GRAPH}\"";
        let project = read("syncline.yaml");
        assert!(project.contains(graph), "the example has changed");
        let project = project.replace(graph, &format!("    limits: {limits}\n{graph}"));
        std::fs::write(directory.path().join("syncline.yaml"), project).unwrap();

        let mut sim = Command::new(SYNCLINE);
        let sim = Process::start(sim.args(["sim", "--unlimited"]), |line| line.trim().to_owned());
        let tenant =
            control(&sim.url, "GET", "world", &Value::Null)["tenant_id"].as_str().unwrap().to_owned();
        control(
            &sim.url,
            "POST",
            "consent",
            &json!({ "scopes": ["VirtualEvent.Read", "OnlineMeetingArtifact.Read.All"] }),
        );
        let mut service = Command::new(SYNCLINE);
        service.args(["serve", "--json", "--bind", "127.0.0.1:0"]).current_dir(directory.path());
        service.env("AUTHORITY", &sim.url).env("GRAPH", &sim.url).env("TENANT", tenant);
        service
            .env("CLIENT_ID", CLIENT)
            .env("CLIENT_SECRET", "simulated-secret")
            .env("WAREHOUSE_URL", &database);
        let service = Process::start(&mut service, |line| {
            serde_json::from_str::<Value>(line).unwrap()["api"].as_str().unwrap().to_owned()
        });
        Self { sim, service, database, _directory: directory }
    }

    pub(crate) fn sim(&self, path: &str, body: &Value) -> Value {
        control(&self.sim.url, "POST", path, body)
    }

    /// A user with a webinar of one session, and so many people who registered and attended; their ids.
    pub(crate) fn webinar(&self, number: u64, people: u64) -> (String, String, String) {
        let user = format!("aaaaaaaa-0000-4000-8000-{number:012}");
        let session = format!("cccccccc-0000-4000-8000-{number:012}");
        self.sim(
            "users",
            &json!({ "oid": user, "upn": format!("user{number}@contoso.com"), "display_name": "User" }),
        );
        let webinar = json!({ "organizer": user, "sessions": [{ "id": session }] });
        let webinar = self.sim("webinars", &webinar)["id"].as_str().unwrap().to_owned();
        self.sim(
            "webinars/registrations/generate",
            &json!({ "webinar": webinar, "count": people, "seed": number }),
        );
        let report = json!({ "webinar": webinar, "session": session, "count": people, "seed": number });
        self.sim("webinars/reports/generate", &report);
        self.database(&format!(
            "INSERT INTO series VALUES ('{user}', 's', 'Series');
             INSERT INTO sessions VALUES ('{user}', '{session}', '{webinar}', 's', 'Session')"
        ));
        (user, webinar, session)
    }

    pub(crate) fn token(&self, user: &str) -> String {
        self.sim("tokens/mint", &json!({ "oid": user }))["token"].as_str().unwrap().to_owned()
    }

    /// A user opens the page of a session: how long until it is answered.
    pub(crate) fn opens(&self, user: &str, webinar: &str, session: &str) -> Duration {
        let token = self.token(user);
        let began = Instant::now();
        self.run(&token, webinar, session);
        began.elapsed()
    }

    pub(crate) fn run(&self, token: &str, webinar: &str, session: &str) {
        let body = json!({ "params": { "webinar": webinar, "session": session }, "insist": true });
        let head = format!("Authorization: Bearer {token}\r\n");
        let (status, answer) =
            request(&self.service.url, "POST", "/api/v1/syncs/participants/runs", &head, &body.to_string());
        assert_eq!(status, 200, "{answer}");
        assert!(answer.contains("\"synced\""), "{answer}");
    }

    pub(crate) fn requests(&self) -> Requests {
        let counters = control(&self.sim.url, "GET", "counters", &Value::Null);
        let kinds = ["webinars", "registrations", "attendance"];
        let sent = kinds.iter().filter_map(|kind| counters["by_kind"][kind].as_u64()).sum();
        Requests { sent, throttled: counters["throttled"].as_u64().unwrap() }
    }

    pub(crate) fn database(&self, sql: &str) -> String {
        psql(&self.database, sql)
    }

    pub(crate) fn number(&self, sql: &str) -> u64 {
        self.database(sql).trim().parse().unwrap()
    }

    /// Memory of the service that was resident at most, in MB.
    pub(crate) fn peak_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.service.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    /// Rows that something wrote: of participants and metrics; of series and sessions, whose `last_sync_at` is set.
    pub(crate) fn written_by(&self, something: impl FnOnce()) -> (usize, usize) {
        let loaded = || self.versions(&["participants", "session_metrics", "series_metrics"]);
        let timed = || self.versions(&["series", "sessions"]);
        let (rows, times) = (loaded(), timed());
        something();
        (differing(&rows, &loaded()), differing(&times, &timed()))
    }

    /// The transaction that wrote each row, by its place: an update moves it.
    fn versions(&self, tables: &[&str]) -> BTreeMap<String, String> {
        let all =
            tables.iter().map(|table| self.database(&format!("SELECT '{table}' || ctid, xmin FROM {table}")));
        let all: Vec<String> = all.collect();
        let rows = all.iter().flat_map(|text| text.lines());
        rows.map(|row| row.split_once('|').unwrap()).map(|(at, by)| (at.to_owned(), by.to_owned())).collect()
    }
}

/// Rows of `after` that were not there, or of another transaction; and how many fewer there are.
fn differing(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> usize {
    let written = after.iter().filter(|(at, by)| before.get(*at) != Some(by)).count();
    written + before.len().saturating_sub(after.len())
}

/// A process whose first line says where it listens.
struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(command: &mut Command, url: impl FnOnce(&str) -> String) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { url: url(&line), child }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn psql(url: &str, sql: &str) -> String {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql]);
    let output = command.output().expect("psql is there");
    assert!(output.status.success(), "{}\nin {sql}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn control(sim: &str, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, answer) = request(sim, method, &format!("/_sim/{path}"), "", &body);
    assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    serde_json::from_str(&answer).unwrap_or(Value::Null)
}

/// One request on a connection of its own: status and body.
fn request(url: &str, method: &str, path: &str, head: &str, body: &str) -> (u16, String) {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = match (body.find('{'), body.rfind('}')) {
        (Some(from), Some(to)) => body[from..=to].to_owned(),
        _ => body.to_owned(),
    };
    (status, body)
}
