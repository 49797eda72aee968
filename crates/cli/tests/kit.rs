//! A place with a project, a database and a simulated SharePoint, and the binary to try on it.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

use syncline_sim::{ListSpec, Options, Server, World};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What the simulated application signs in with. It must never be seen in any output or file of Syncline's.
pub(crate) const SECRET: &str = "simulated-secret";

pub(crate) const PROJECT: &str = r#"connections:
  erp: { type: sqlite, path: projects.db }
  intranet:
    type: sharepoint
    site: contoso.sharepoint.com:/sites/projects
    auth: { type: client_credentials, tenant: contoso.onmicrosoft.com, client_id: 11111111-2222-4333-8444-555555555502, client_secret: "${CLIENT_SECRET}" }
    authority: "${SIM}"
    graph: "${SIM}"
    settle: 0s
    limits: { unlimited: true }
syncs:
  projects:
    from: { connection: erp, table: projects, key: [code] }
    to: { connection: intranet, list: Active Projects }
    mode: full
    deletes: delete
    fields:
      Title: code
      Status: status
      BudgetAmount: budget
    route:
      - { when: "status == 'Closed'", list: Closed Projects }
"#;

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    /// Insists on the exit code.
    #[track_caller]
    pub(crate) fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- out\n{}\n--- err\n{}", self.out, self.err);
        self
    }

    /// Insists on words in what was said, wherever it was said.
    #[track_caller]
    pub(crate) fn saying(self, words: &str) -> Self {
        let all = format!("{}\n{}", self.out, self.err);
        assert!(all.contains(words), "{words:?} is not in\n--- out\n{}\n--- err\n{}", self.out, self.err);
        self
    }

    /// The lines of standard output, each a JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        self.out.lines().map(parse).collect()
    }
}

/// A directory with a project, and perhaps a simulator.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    sim: Option<Sim>,
    variables: Vec<(String, String)>,
}

struct Sim {
    server: Server,
    /// Last: the server ends first.
    _runtime: Runtime,
}

impl Place {
    /// An empty directory.
    pub(crate) fn empty() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), sim: None, variables: Vec::new() }
    }

    /// A simulator with two empty lists, and [`PROJECT`] with `rows` rows in its table.
    pub(crate) fn with_projects(rows: u32) -> Self {
        let mut place = Self::empty();
        place.start_sim(Options::default());
        place.add_lists();
        place.write("syncline.yaml", PROJECT);
        place
            .sql("PRAGMA journal_mode = WAL; CREATE TABLE projects (code TEXT NOT NULL PRIMARY KEY, status TEXT, budget DECIMAL(14,2))");
        place.sql(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO projects SELECT printf('P-%05d', i), CASE i % 5 WHEN 0 THEN 'Closed' ELSE 'Active' END, i * 10.25 FROM n"
        ));
        place
    }

    /// As above, and everything is in the lists already.
    pub(crate) fn after_first_run(rows: u32) -> Self {
        let place = Self::with_projects(rows);
        place.syncline(&["check", "--fix"]).with_code(0);
        place.syncline(&["run", "-q"]).with_code(0);
        place
    }

    pub(crate) fn start_sim(&mut self, options: Options) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(Server::start(options)).unwrap();
        let url = server.url();
        self.sim = Some(Sim { server, _runtime: runtime });
        self.set("SIM", &url);
        self.set("CLIENT_SECRET", SECRET);
    }

    pub(crate) fn stop_sim(&mut self) {
        self.sim = None;
    }

    fn add_lists(&self) {
        let columns = [
            serde_json::json!({ "name": "Status", "choice": { "choices": ["Planned", "Active", "Closed"] } }),
            serde_json::json!({ "name": "BudgetAmount", "number": {} }),
        ];
        for title in ["Active Projects", "Closed Projects"] {
            let columns = columns.to_vec();
            let list = ListSpec { display_name: title.into(), columns, ..ListSpec::default() };
            self.world().add_list(&list).unwrap();
        }
    }

    pub(crate) fn world(&self) -> &World {
        self.sim.as_ref().expect("the place has a simulator").server.world()
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.variables.retain(|(known, _)| known != name);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Writes the project with a part of it replaced.
    #[track_caller]
    pub(crate) fn project_with(&self, from: &str, to: &str) {
        assert!(PROJECT.contains(from), "{from:?} is not in the project");
        self.write("syncline.yaml", PROJECT.replace(from, to));
    }

    /// Executes SQL in the source.
    pub(crate) fn sql(&self, sql: &str) {
        rusqlite::Connection::open(self.path("projects.db")).unwrap().execute_batch(sql).unwrap();
    }

    /// The binary in this place, with nothing of our own environment but what it needs.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncline"));
        command.args(args).current_dir(self.directory.path()).env_clear().stdin(Stdio::null());
        command.env("TMPDIR", self.directory.path());
        command.envs(self.variables.iter().cloned());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn syncline(&self, args: &[&str]) -> Ended {
        self.command(args).output().unwrap().into()
    }

    /// Items in a list.
    pub(crate) fn items(&self, list: &str) -> usize {
        self.world().item_count(list).unwrap()
    }
}

/// Looks until something is true; the caller says what, for the day it never becomes true.
#[track_caller]
pub(crate) fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if is_true() {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "another process gives no signal to wait on")]
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it never came true: {what}");
}
