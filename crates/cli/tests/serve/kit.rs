//! A service under test: the real process, its ready line, its API over plain sockets, and its store's file.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use serde_json::Value as Json;

use crate::kit::{Place, until};

/// Two SQLite files and nothing between them but us: what a service does most quickly.
pub(crate) const PROJECT: &str = r"connections:
  erp: { type: sqlite, path: projects.db }
  cache: { type: sqlite, path: cache.db }
syncs:
  projects:
    from: { connection: erp, table: projects, key: [code] }
    to: { connection: cache, table: projects }
    mode: full
    write: upsert
    schedule: { every: 1s }
";

/// A place with [`PROJECT`] and `rows` rows in its table.
pub(crate) fn place(rows: u32) -> Place {
    let place = Place::empty();
    place.write("syncline.yaml", PROJECT);
    place.sql(
        "PRAGMA journal_mode = WAL; CREATE TABLE projects (code TEXT NOT NULL PRIMARY KEY, status TEXT)",
    );
    add(&place, 1, rows);
    place
}

/// Rows `from` to `to` of the source.
pub(crate) fn add(place: &Place, from: u32, to: u32) {
    place.sql(&format!(
        "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to})
         INSERT INTO projects SELECT printf('P-%05d', i), 'Active' FROM n"
    ));
}

/// The one value of a query over a SQLite file of the place; nothing while there is no such file or table.
pub(crate) fn one(place: &Place, file: &str, sql: &str) -> Option<i64> {
    let connection = rusqlite::Connection::open_with_flags(
        place.path(file),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX,
    );
    let connection = connection.ok()?;
    connection.busy_timeout(Duration::from_secs(5)).ok()?;
    connection.query_row(sql, [], |row| row.get(0)).ok()
}

/// The same of the store.
pub(crate) fn stored(place: &Place, sql: &str) -> Option<i64> {
    one(place, ".syncline/store.db", sql)
}

/// Rows that arrived.
pub(crate) fn arrived(place: &Place) -> Option<i64> {
    one(place, "cache.db", "SELECT count(*) FROM projects")
}

/// A running `syncline serve`.
pub(crate) struct Service {
    child: Child,
    /// What it said when it was ready.
    pub(crate) ready: Json,
    log: std::path::PathBuf,
}

impl Service {
    /// Starts one in a place and waits until it is ready. `name` is that of its node, and of its log.
    pub(crate) fn start(place: &Place, name: &str, args: &[&str]) -> Self {
        Self::start_from(place, name, &[], args)
    }

    /// The same with options before the command.
    pub(crate) fn start_from(place: &Place, name: &str, before: &[&str], after: &[&str]) -> Self {
        let log = place.path(&format!("{name}.log"));
        let all = ["--log-format", "json"].into_iter().chain(before.iter().copied());
        let all = all.chain(["serve", "--json", "--node", name, "--bind", "127.0.0.1:0"]);
        let all: Vec<&str> = all.chain(after.iter().copied()).collect();
        let mut command = place.command(&all);
        let mut child = command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = || std::fs::read_to_string(&log).unwrap();
        let ready =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}\n{}", said()));
        Self { child, ready, log }
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end, which somebody asked for.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        (status, std::fs::read_to_string(&self.log).unwrap())
    }

    /// Asks it to stop, and insists that it does so in order.
    pub(crate) fn stop(self) -> String {
        self.signal("TERM");
        let (status, log) = self.ended();
        assert_eq!(status.code(), Some(0), "{log}");
        log
    }

    /// Kills it where it stands.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(9));
    }

    fn address(&self) -> &str {
        self.ready["api"].as_str().unwrap().strip_prefix("http://").unwrap()
    }

    /// Opens a connection to its API.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// Sends a request and reads the answer: status and body.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.ask_with(method, path, "", body)
    }

    /// The same with a line of the head.
    pub(crate) fn ask_with(&self, method: &str, path: &str, header: &str, body: &str) -> (u16, String) {
        let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
        let mut stream = self.connect();
        let length = body.len();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        // One that is refused for its size may be answered before all of it was sent.
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}{kind}Content-Length: {length}\r\n\r\n{body}"
        )
        .ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, body.to_owned())
    }

    /// Reads a resource.
    pub(crate) fn get(&self, path: &str) -> Json {
        let (status, body) = self.ask("GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        let json = body.find(['{', '[']).map_or("", |start| &body[start..]);
        let json = json.rfind(['}', ']']).map_or("", |end| &json[..=end]);
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {body}"))
    }
}

impl Drop for Service {
    /// A test that fails leaves nothing behind.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// As [`until`], for what takes longer than that waits.
#[track_caller]
pub(crate) fn until_within(longest: Duration, what: &str, mut is_true: impl FnMut() -> bool) {
    for _ in 0..longest.as_millis() / 20 {
        if is_true() {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "another process gives no signal to wait on")]
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it never came true: {what}");
}

/// Waits until rows have arrived.
pub(crate) fn until_arrived(place: &Place, rows: i64) {
    until(&format!("{rows} rows arrived"), || arrived(place) == Some(rows));
}

/// Waits until an event was told so many times.
pub(crate) fn until_told(place: &Place, kind: &str, times: i64) {
    let sql = format!("SELECT count(*) FROM event WHERE kind = '{kind}'");
    until(&format!("{kind} was told"), || stored(place, &sql).unwrap_or(0) >= times);
}
