//! A process of `syncline serve`, and what the system says of it.

use std::{
    fmt::Write,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Ticks of `/proc/PID/stat` in a second: the same on every Linux that people run services on.
const TICKS: f64 = 100.0;

/// How long a node may take until it is ready.
const READY_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Node {
    child: Child,
    pub(crate) url: String,
    /// Seconds from the start of the process until it said that it is ready.
    pub(crate) ready_s: f64,
}

impl Node {
    /// Starts a node on the project in `directory` and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it does not become ready; its log is `NAME.log` in the directory.
    pub(crate) fn start(directory: &Path, name: &str, store: Option<&str>) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(directory.join(format!("{name}.log")))
            .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncline"));
        command.current_dir(directory).args([
            "serve",
            "--node",
            name,
            "--bind",
            &format!("127.0.0.1:{port}"),
        ]);
        if let Some(store) = store {
            command.args(["--store", store]);
        }
        command.stdout(Stdio::null()).stderr(log);
        let began = Instant::now();
        let child = command.spawn().unwrap();
        let mut node = Self { child, url: format!("http://127.0.0.1:{port}"), ready_s: 0.0 };
        while !node.is_ready() {
            assert!(node.child.try_wait().unwrap().is_none(), "{name} ended before it was ready");
            assert!(began.elapsed() < READY_MAX, "{name} is not ready after {READY_MAX:?}");
            thread::sleep(Duration::from_millis(10));
        }
        node.ready_s = began.elapsed().as_secs_f64();
        node
    }

    fn is_ready(&self) -> bool {
        get(&self.url, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Seconds on the processors so far.
    pub(crate) fn cpu_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // after the name in parentheses, which may hold anything: user and system are the 12th and 13th
        let (_, rest) = stat.rsplit_once(')').unwrap();
        let fields: Vec<&str> = rest.split_whitespace().collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap() / TICKS).sum()
    }

    /// Memory that is resident now, in MB.
    pub(crate) fn rss_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Node {
    /// As a power cut.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// One request on a connection of its own; `None` when nobody answers.
pub(crate) fn get(url: &str, path: &str) -> Option<String> {
    use std::io::{Read, Write};
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Writes a project of `count` syncs named `s00000` and on, each from its own small table into a file of its own, with
/// `schedule` at each.
pub(crate) fn project(directory: &Path, count: usize, schedule: &str, server: &str) {
    let mut text = format!(
        "connections:\n  from: {{ type: sqlite, path: source.db }}\n  to: {{ type: files, path: out }}\n\
         server: {server}\nsyncs:\n"
    );
    for number in 0..count {
        writeln!(
            text,
            "  s{number:05}: {{ from: {{ connection: from, table: records, key: [id] }}, \
             to: {{ connection: to, path: s{number:05}.csv }}{schedule} }}"
        )
        .unwrap();
    }
    std::fs::write(directory.join("syncline.yaml"), text).unwrap();
    std::fs::create_dir_all(directory.join("out")).unwrap();
    let source = rusqlite::Connection::open(directory.join("source.db")).unwrap();
    source
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE records (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
             INSERT INTO records VALUES (1, 'one'), (2, 'two');",
        )
        .unwrap();
}
