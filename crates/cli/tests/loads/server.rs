//! A PostgreSQL server of a test's own, from the same programs as the shared one: it may be shut down, filled up and set
//! otherwise. It runs as the user `postgres` when we are root, and dies with the test.

use std::{
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::kit::Db;
use crate::kit::until;

pub(crate) struct Server {
    directory: TempDir,
    programs: PathBuf,
    port: u16,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[], &[])
    }

    /// With lines of `postgresql.conf`, and variables for the server's process.
    pub(super) fn start_with(settings: &[&str], environment: &[(String, String)]) -> Self {
        let directory = tempfile::tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let mut server = Self {
            directory,
            programs: programs(),
            port: free_port(),
            environment: environment.to_vec(),
            child: None,
        };
        std::fs::create_dir(server.home()).unwrap();
        server.give(&server.home());
        let home = server.home();
        let data = home.join("data");
        let made = server
            .command("initdb")
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
            .arg("--no-instructions")
            .arg("--pgdata")
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut text = std::fs::read_to_string(data.join("postgresql.conf")).unwrap();
        text.push_str(&format!(
            "\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\nfull_page_writes = off\n\
             max_wal_size = 64MB\nshared_buffers = 16MB\n{}\n",
            home.display(),
            settings.join("\n")
        ));
        std::fs::write(data.join("postgresql.conf"), text).unwrap();
        server.go();
        server
    }

    pub(super) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Writes a file of the server's.
    pub(super) fn write(&self, name: &str, text: &[u8]) {
        let path = self.home().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        self.give(&path);
    }

    /// Makes a directory of the server's.
    pub(super) fn directory(&self, name: &str) -> PathBuf {
        let path = self.home().join(name);
        std::fs::create_dir(&path).unwrap();
        self.give(&path);
        path
    }

    fn give(&self, path: &Path) {
        if let Some((user, group)) = owner() {
            chown(path, Some(user), Some(group)).unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The server's user runs it; the kernel stops it when we die.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig=QUIT").current_dir("/");
        if owner().is_some() {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        }
        command.arg(self.programs.join(program)).stdin(Stdio::null());
        command
    }

    /// Starts it on its port, and waits until it answers.
    pub(crate) fn go(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory.path().join("log"))
            .unwrap();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.home().join("data")).arg("-p").arg(self.port.to_string());
        command.envs(self.environment.iter().cloned());
        self.child = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let url = self.url();
        until("the server answers", || Db::try_open(&url).is_ok());
    }

    /// Reads its settings again.
    pub(super) fn reload(&self) {
        Db::open(&self.url()).sql("SELECT pg_reload_conf()");
    }

    /// The immediate shutdown: it recovers when it is started again.
    pub(crate) fn shut_down(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = child.id().to_string();
            Command::new("kill").args(["-QUIT", &pid]).status().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// User and group to run the server as; none: our own.
fn owner() -> Option<(u32, u32)> {
    let id = |args: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(args).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    Some((id(&["-u", "postgres"])?, id(&["-g", "postgres"])?))
}

/// Where `initdb` and `postgres` are: the newest that Debian has installed, or those of the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|entry| entry.path()).max_by_key(number);
    if let Some(programs) = newest.map(|path| path.join("bin")).filter(|path| path.join("initdb").exists()) {
        return programs;
    }
    let found = Command::new("sh").args(["-c", "command -v postgres"]).output().unwrap();
    let path = PathBuf::from(String::from_utf8(found.stdout).unwrap().trim());
    path.parent().expect("PostgreSQL is installed").to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
