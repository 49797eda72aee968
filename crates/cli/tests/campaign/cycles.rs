//! One cycle: a run (or another command) that fails, is killed or waits at a place, or is killed at a random moment.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStderr, ExitStatus, Stdio},
};

use syncline_core::failpoint::{Action, Setting};

use super::living::Living;
use crate::kit::until;

/// What a cycle does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cycle {
    /// At a failpoint.
    At(Setting),
    /// SIGKILL at a random moment.
    Kill,
}

impl std::fmt::Display for Cycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(setting) => write!(f, "{setting}"),
            Self::Kill => f.write_str("SIGKILL at a random moment"),
        }
    }
}

impl Living {
    /// Carries out a cycle. What is wrong with how the command behaved is the error; what it left behind is counted later.
    pub(crate) fn cycle(&mut self, cycle: Cycle) -> Result<(), String> {
        match cycle {
            Cycle::At(setting) => {
                self.prepare(&setting)?;
                let done = self.at(setting);
                self.clear_up(&setting)?;
                done
            }
            Cycle::Kill => {
                self.faults_on();
                self.kill_somewhere();
                Ok(())
            }
        }?;
        self.nothing_pretends_to_run()
    }

    /// Sees to it that the place will be reached, and that reaching it matters.
    fn prepare(&mut self, setting: &Setting) -> Result<(), String> {
        match setting.place {
            "engine.contact.listed" => {
                // A record that is marked as gone has no row that would bring it into the new ledger.
                self.bring_back();
                self.rest()?;
                self.lose_the_store();
                self.change_but_keep();
                self.faults_on();
                return Ok(());
            }
            "engine.recover.looked" => {
                self.change();
                self.faults_on();
                let crash = Setting { place: "engine.send.after", action: Action::Crash, hit: 1 };
                self.attempt(crash, &["run", "-q"])?;
            }
            "engine.parked.retried" => {
                self.faults_off();
                self.break_a_row();
                self.place.syncline(&["run", "-q"]).with_code(3);
                self.mend_rows();
            }
            "connect.source.between_pages" => self.add_drafts(),
            place if is_for_the_store(place) && !self.has_a_store() => self.rest()?,
            _ => {}
        }
        self.change();
        self.faults_on();
        Ok(())
    }

    fn clear_up(&mut self, setting: &Setting) -> Result<(), String> {
        match setting.place {
            // Whoever lost the store must run once before rows are deleted: nobody else knows whose records those are.
            "engine.contact.listed" => self.rest(),
            "connect.source.between_pages" => {
                self.remove_drafts();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn at(&mut self, setting: Setting) -> Result<(), String> {
        let args: &[&str] = match setting.place.rsplit_once('.') {
            Some(("store.reset", _)) => &["reset", "projects"],
            Some(("store.waiting", _)) => &["held", "approve", "projects", "--max", "5"],
            _ => &["run", "-q"],
        };
        if self.attempt(setting, args)? {
            return Ok(());
        }
        // There was less to do than to reach it so often.
        self.change_but_keep();
        if setting.hit > 1 && self.attempt(Setting { hit: 1, ..setting }, args)? {
            return Ok(());
        }
        Err("the place was not reached".to_owned())
    }

    /// Runs a command with a failpoint; returns whether it was reached.
    fn attempt(&mut self, setting: Setting, args: &[&str]) -> Result<bool, String> {
        let mut child = self.start(&setting, args);
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let Some(before) = said_before(&mut said, &setting) else {
            child.wait().unwrap();
            return Ok(false);
        };
        let meanwhile = match setting.action {
            Action::Error => Ok(()),
            Action::Crash => {
                child.kill().unwrap();
                Ok(())
            }
            Action::Delay => self.meanwhile(&setting, args),
        };
        drop(child.stdin.take());
        let (status, after) = ended(child, said);
        meanwhile?;
        // The sync before the one that got there may have failed, and said so then.
        judge(&setting, status, &(before + &after))?;
        if setting.action == Action::Error {
            self.recorded(&setting, status)?;
        }
        Ok(true)
    }

    /// While a process waits: rows change, and another process tries the same.
    fn meanwhile(&mut self, setting: &Setting, args: &[&str]) -> Result<(), String> {
        self.change_but_keep();
        if !self.holds_a_lease(setting) {
            return Ok(());
        }
        let rival = self.place.syncline(args);
        let refused = ["is being run by another process", "the database is locked by another process"];
        if rival.code == 1 && refused.iter().any(|words| rival.err.contains(words)) {
            return Ok(());
        }
        Err(format!("another process was not refused: {rival:?}"))
    }

    /// Whether whoever waits at this place has claimed a sync.
    fn holds_a_lease(&self, setting: &Setting) -> bool {
        match setting.place {
            "cli.run.opened" => false,
            // Reached also while the lists are described, before there is a run.
            place if place.starts_with("connect.sharepoint.") => {
                self.status().values().any(|sync| sync["last_run"]["status"] == "running")
            }
            _ => true,
        }
    }

    /// After an error, the run is in the store as what it was.
    fn recorded(&self, setting: &Setting, status: ExitStatus) -> Result<(), String> {
        let expected = match setting.place {
            // Nothing was opened, or it was closed before the error.
            "cli.run.opened" | "store.finish_run.after_commit" => return Ok(()),
            "store.claim.before_commit" | "store.claim.after_commit" | "store.start_run.before_commit" => {
                return Ok(());
            }
            place if is_for_the_store(place) => return Ok(()),
            // Described in vain, or sent again.
            place if place.starts_with("connect.sharepoint.") && status.code() != Some(1) => return Ok(()),
            place if place.starts_with("connect.sharepoint.") => "",
            "store.start_run.after_commit" | "store.finish_run.before_commit" => "interrupted",
            _ => "failed",
        };
        let status = self.status();
        if expected.is_empty() || status.values().any(|sync| sync["last_run"]["status"] == expected) {
            return Ok(());
        }
        Err(format!("no run is recorded as {expected}: {status:?}"))
    }

    /// A run whose process is gone is not said to be running.
    fn nothing_pretends_to_run(&self) -> Result<(), String> {
        let status = self.status();
        match status.values().find(|sync| sync["last_run"]["status"] == "running") {
            Some(sync) => Err(format!("nobody runs, and yet {sync}")),
            None => Ok(()),
        }
    }

    /// Up to a few batches further on; sometimes while it starts, or looks up what it left open.
    fn kill_somewhere(&mut self) {
        loop {
            self.change();
            let by_writes = self.random.bool();
            let further = if by_writes { self.random.u64(0..50) } else { self.random.u64(0..60) };
            let world = self.place.world().clone();
            let now = move || {
                let counters = world.counters();
                if by_writes { counters.writes_applied } else { counters.operations }
            };
            let wait_for = now() + further;
            let mut command = self.place.command(&["run", "-q"]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            until("the run goes on or ends", || now() >= wait_for || child.try_wait().unwrap().is_some());
            child.kill().unwrap();
            if child.wait().unwrap().signal() == Some(9) {
                return;
            }
        }
    }

    /// SQLite's own opinion of the store.
    pub(crate) fn store_is_whole(&self) -> Result<(), String> {
        let path = self.place.path(".syncline/store.db");
        let store = rusqlite::Connection::open(path).map_err(|error| error.to_string())?;
        let found: String = store
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .map_err(|error| error.to_string())?;
        if found == "ok" { Ok(()) } else { Err(format!("the store is damaged: {found}")) }
    }
}

/// Whether a place is in what a person does to the store alone.
fn is_for_the_store(place: &str) -> bool {
    place.starts_with("store.reset.") || place.starts_with("store.waiting.")
}

/// Reads until the process says that it is there, and returns what it said until then; none when it ends before.
fn said_before(said: &mut BufReader<ChildStderr>, setting: &Setting) -> Option<String> {
    let marker = format!("syncline failpoint {}: {}", setting.place, setting.action.as_str());
    let mut before = String::new();
    for line in said.lines() {
        let line = line.unwrap();
        if line == marker {
            return Some(before);
        }
        before.push_str(&line);
        before.push('\n');
    }
    None
}

fn ended(mut child: Child, mut said: BufReader<ChildStderr>) -> (ExitStatus, String) {
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    (child.wait().unwrap(), rest)
}

/// What the exit code and the words must be; `said` is without the marker.
fn judge(setting: &Setting, status: ExitStatus, said: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{why}: {status}\n{said}"));
    if said.contains("panicked") {
        return wrong("it panicked");
    }
    let errors = || said.lines().filter(|line| line.starts_with("error: "));
    let hint = said.lines().any(|line| line.starts_with("hint: "));
    match (setting.action, status.code()) {
        (Action::Crash, None) if status.signal() == Some(9) => Ok(()),
        (Action::Crash, _) => wrong("it was not killed"),
        (_, Some(1)) if !hint => wrong("it does not say what to do next"),
        (Action::Delay, Some(0 | 3)) => Ok(()),
        // Answers are lost, too often in a row now and then; but a delay is no error.
        (Action::Delay, Some(1))
            if errors().count() > 0 && errors().all(|line| !line.contains("failpoint")) =>
        {
            Ok(())
        }
        (Action::Error, Some(1)) if errors().any(|line| line.contains(setting.place)) => Ok(()),
        // The write protocol and reads deal with it.
        (Action::Error, Some(0 | 3)) if setting.place.starts_with("connect.sharepoint.") => Ok(()),
        _ => wrong("the exit code and the words are not what they should be"),
    }
}
