//! Where loads go to, and who loads.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::measure::{self, Cost};

const SYNCLINE: &str = env!("CARGO_BIN_EXE_syncline");

/// A PostgreSQL database of its own, dropped with this value.
pub(crate) struct Database {
    server: String,
    name: String,
    /// Without TLS, for both sides alike: it would cost both the same and hide the difference.
    pub(crate) url: String,
}

impl Database {
    /// An empty one; what had the name is dropped.
    pub(crate) fn new(server: &str, name: &str) -> Self {
        let name = format!("bench_mirror_{}_{name}", std::process::id());
        let (base, _) = server.rsplit_once('/').unwrap();
        let database =
            Self { server: server.to_owned(), url: format!("{base}/{name}?sslmode=disable"), name };
        psql(server, &[&database.drop_statement(), &format!("CREATE DATABASE {}", database.name)]);
        database
    }

    /// Executes statements in one session.
    pub(crate) fn execute(&self, statements: &[&str]) -> Cost {
        psql(&self.url, statements)
    }

    /// The answer to a question with one answer.
    pub(crate) fn ask(&self, question: &str) -> String {
        let done = client(&self.url).args(["-At", "-c", question]).stderr(Stdio::inherit()).output().unwrap();
        assert!(done.status.success(), "{question}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    fn drop_statement(&self) -> String {
        format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Not measured and not checked: this may be on the way out of a failed case.
        client(&self.server).args(["-c", &self.drop_statement()]).status().ok();
    }
}

fn client(url: &str) -> Command {
    let mut command = Command::new("psql");
    command.args([url, "-X", "-q", "-v", "ON_ERROR_STOP=1"]);
    command.env("PGOPTIONS", "-c client_min_messages=warning");
    command
}

fn psql(url: &str, statements: &[&str]) -> Cost {
    let mut command = client(url);
    command.args(statements.iter().flat_map(|statement| ["-c", statement]));
    measure::run(command.stdout(Stdio::null()))
}

/// The raw limit of a copy: one client's `COPY … TO STDOUT BINARY` into another's `COPY … FROM STDIN BINARY`. The receiving
/// client executes `before` and `after` in the same session, so that no second client is started.
pub(crate) fn pipe(
    from: &Database,
    select: &str,
    to: &Database,
    before: &[&str],
    table: &str,
    after: &[&str],
) -> Cost {
    let script = r#"set -o pipefail
        source=$1 select=$2 destination=$3; shift 3
        psql "$source" -Xq -v ON_ERROR_STOP=1 -c "COPY ($select) TO STDOUT (FORMAT binary)" |
          psql "$destination" -Xq -v ON_ERROR_STOP=1 "$@""#;
    let copy = format!("COPY {table} FROM STDIN (FORMAT binary)");
    let statements = before.iter().copied().chain([copy.as_str()]).chain(after.iter().copied());
    let mut command = shell(script, &[&from.url, select, &to.url]);
    measure::run(command.args(statements.flat_map(|statement| ["-c", statement])))
}

/// A shell with its script and the script's arguments.
pub(crate) fn shell(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash"]).args(arguments).stdout(Stdio::null());
    command
}

/// A destination with the project that fills it, in a directory of its own, where Syncline keeps its store.
pub(crate) struct Place {
    pub(crate) source: String,
    pub(crate) destination: String,
    file: PathBuf,
}

impl Place {
    /// `source` and `destination` are type and address; `rest` is what the sync says beside where from and where to.
    pub(crate) fn new(directory: &Path, source: (&str, &str), destination: (&str, &str), rest: &str) -> Self {
        if directory.exists() {
            std::fs::remove_dir_all(directory).unwrap();
        }
        std::fs::create_dir_all(directory).unwrap();
        let table = |kind: &str| if kind == "postgres" { "public.projects" } else { "projects" };
        let connection = |(kind, url): (&str, &str)| format!("{{ type: {kind}, url: \"{url}\" }}");
        let project = format!(
            "connections:\n  source: {}\n  cache: {}\nsyncs:\n  projects:\n    \
             from: {{ connection: source, table: {}, key: [id], cursor: updated_at }}\n    \
             to: {{ connection: cache, table: {} }}\n{rest}",
            connection(source),
            connection(destination),
            table(source.0),
            table(destination.0),
        );
        let file = directory.join("syncline.yaml");
        std::fs::write(&file, project).unwrap();
        Self { source: source.1.to_owned(), destination: destination.1.to_owned(), file }
    }
}

/// Who loads.
pub(crate) enum Runner {
    Syncline,
    /// Another tool, behind `scripts/peers/NAME`.
    Peer(String),
}

impl Runner {
    /// Installs the tool, which is not measured.
    pub(crate) fn peer(name: String) -> Self {
        let status = Command::new(peer_script(&name)).arg("install").status().unwrap();
        assert!(status.success(), "{name} cannot be installed");
        Self::Peer(name)
    }

    /// Everything, into the destination as it is.
    pub(crate) fn full(&self, place: &Place) -> Cost {
        self.run(place, "full")
    }

    /// What has changed since the last time.
    pub(crate) fn incremental(&self, place: &Place) -> Cost {
        self.run(place, "incremental")
    }

    fn run(&self, place: &Place, mode: &str) -> Cost {
        let log = place.file.with_file_name("output.log");
        let mut command = match self {
            Self::Syncline => {
                let mut command = Command::new(SYNCLINE);
                command.args(["run", "projects", "--json", "--mode", mode, "-f"]).arg(&place.file);
                command
            }
            Self::Peer(name) => {
                let mut command = Command::new(peer_script(name));
                command.args([mode, &place.source, &place.destination]);
                command
            }
        };
        let output = File::create(&log).unwrap();
        if matches!(self, Self::Peer(_)) {
            // They say much, and only matter when they fail.
            command.stderr(output.try_clone().unwrap());
        }
        let (cost, status) = measure::time(command.stdout(output));
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        assert!(status.success(), "{command:?}: {status}\n{}", said());
        cost
    }
}

fn peer_script(name: &str) -> PathBuf {
    Path::new("../../scripts/peers").join(name)
}
