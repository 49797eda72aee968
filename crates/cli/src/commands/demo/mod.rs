//! `syncline demo`: the whole of Syncline in a minute, with real processes over real HTTP.
//!
//! Every command that is shown is run as it is shown, as a child process in the demo's directory, so what a person sees
//! is what they will see at home. The last step does not trust any of it: it asks both sides and compares.

mod account;
mod source;
mod tenant;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use tokio::process::Command;

use self::{source::Projects, tenant::Tenant};
use crate::{
    args::DemoArgs,
    exit::{Exit, Failure},
    output,
    project::Scratch,
    show,
    wiring::reason,
};

/// The lists, in the order of the project file: default, closed, large.
const LISTS: [&str; 3] = ["Active Projects", "Closed Projects", "Large Projects"];

const PROJECT: &str = include_str!("project.yaml");
const COLUMNS: &str = include_str!("columns.json");

/// What the simulator's application signs in with.
const SECRET: &str = "simulated-secret";

/// The projects are the same in every demo.
const SEED: u64 = 2026;

/// Projects that change before the run that is killed.
const REORGANISED: usize = 3_000;

/// Writes that have reached SharePoint when the run is killed: about the middle.
const KILLED_AFTER: u64 = 1_200;

/// How often the demo looks how far the run is that it wants to kill.
const LOOK: Duration = Duration::from_millis(10);

pub(crate) async fn run(args: &DemoArgs) -> Result<Exit, Failure> {
    let scratch = Scratch::new()?;
    let directory = scratch.directory.clone();
    let ended = Box::pin(story(&directory, args.records)).await;
    if args.keep {
        scratch.keep();
        output::line(format!("\nKept: {}", directory.display()));
        output::line(
            "  syncline.yaml, projects.db, .syncline/store.db, requests.jsonl (every request there was)",
        );
    }
    ended
}

/// The demo's stage.
struct Demo {
    binary: PathBuf,
    directory: PathBuf,
    tenant: Tenant,
    projects: Projects,
    step: u32,
}

async fn story(directory: &Path, records: u32) -> Result<Exit, Failure> {
    let mut demo = Demo::set(directory, records).await?;
    demo.first_load(records).await?;
    demo.a_day().await?;
    demo.damage().await?;
    demo.kill().await?;
    demo.account().await
}

impl Demo {
    async fn set(directory: &Path, records: u32) -> Result<Self, Failure> {
        let binary = std::env::current_exe()
            .map_err(|error| Failure::failed(format!("where this program lies is not known: {error}")))?;
        let tenant = Tenant::start(&binary, directory).await?;
        let projects = Projects::create(&directory.join("projects.db"), records, SEED).map_err(database)?;
        write(&directory.join("syncline.yaml"), &PROJECT.replace("{url}", &tenant.url))?;
        write(&directory.join("secret.txt"), SECRET)?;
        let columns = serde_json::from_str(COLUMNS)
            .map_err(|error| Failure::failed(format!("the columns of the lists: {error}")))?;
        for list in LISTS {
            tenant.add_list(list, &columns).await?;
        }
        Ok(Self { binary, directory: directory.to_owned(), tenant, projects, step: 0 })
    }

    async fn first_load(&mut self, records: u32) -> Result<(), Failure> {
        self.say(&format!(
            "A SQLite database holds {} projects; a SharePoint site (simulated, real HTTP, 5 ms away) has three empty \
             lists. `check` finds every problem before anything runs, and --fix creates the column that makes \
             creates safe to repeat.",
            show::count(records.into())
        ));
        self.syncline(&["check", "--fix"], &[Exit::Done]).await?;
        self.say("The first run reads everything, routes each project to its list and creates it there.");
        self.syncline(&["run"], &[Exit::Done]).await
    }

    async fn a_day(&mut self) -> Result<(), Failure> {
        self.projects.a_day().map_err(database)?;
        self.say(
            "A working day: 70 projects were edited, 30 now belong into another list, 15 are new and 5 are gone. \
             `plan` shows what a run would do, and writes nothing.",
        );
        self.syncline(&["plan", "--limit", "6"], &[Exit::Done]).await?;
        self.say("The run does what the plan said.");
        self.syncline(&["run"], &[Exit::Done]).await
    }

    async fn damage(&mut self) -> Result<(), Failure> {
        let items = self.tenant.items(LISTS[0]).await?;
        let [edited, .., deleted] = items.as_slice() else {
            return Err(Failure::failed("the list has too few items"));
        };
        let fields = json!({ "Status": "On Hold", "BudgetAmount": 1.5 });
        self.tenant.edit(LISTS[0], edited.id, &fields).await?;
        self.tenant.delete(LISTS[0], deleted.id).await?;
        self.say(&format!(
            "Somebody edits {} in SharePoint and deletes {}. The source did not change, so only `verify` sees it: it \
             reads the lists again and compares.",
            edited.text("Title"),
            deleted.text("Title")
        ));
        self.syncline(&["verify"], &[Exit::Partial]).await?;
        self.say("--repair writes the edited item again and makes the deleted one again.");
        self.syncline(&["verify", "--repair"], &[Exit::Done]).await?;
        self.syncline(&["verify"], &[Exit::Done]).await
    }

    async fn kill(&mut self) -> Result<(), Failure> {
        self.projects.reorganise(REORGANISED).map_err(database)?;
        self.say(&format!(
            "A reorganisation changes {} projects and adds 200. In the middle of the run its process is killed \
             (SIGKILL: no chance to clean up).",
            show::count(REORGANISED as u64)
        ));
        self.run_and_kill().await?;
        self.say("What was announced and not confirmed is on record; nobody has to guess.");
        self.syncline(&["status"], &[Exit::Done]).await?;
        self.say("The next run looks up what became of those operations, and goes on.");
        self.syncline(&["run"], &[Exit::Done]).await
    }

    async fn run_and_kill(&self) -> Result<(), Failure> {
        let before = self.tenant.writes().await?;
        let mut run = self.command(&["run"])?;
        let killed = loop {
            if let Some(ended) = run.try_wait().map_err(process)? {
                return Err(Failure::failed(format!("the run ended before it could be killed: {ended}")));
            }
            let writes = self.tenant.writes().await?.saturating_sub(before);
            if writes >= KILLED_AFTER {
                run.kill().await.map_err(process)?;
                break writes;
            }
            tokio::time::sleep(LOOK).await;
        };
        output::line(format!("killed after {} writes", show::count(killed)));
        Ok(())
    }

    async fn account(&mut self) -> Result<Exit, Failure> {
        self.say(
            "The account of every record. It is not Syncline's own: rows are read from the database, items from \
             SharePoint, and both are compared by identity.",
        );
        let expected = self.projects.expected().map_err(database)?;
        let mut lists = Vec::new();
        for list in LISTS {
            lists.push((list, self.tenant.items(list).await?));
        }
        account::close(&expected, &lists).print()?;
        output::line("");
        output::line(output::paint_result("1;32", "Nothing lost, nothing twice."));
        Ok(Exit::Done)
    }

    /// Begins a step.
    fn say(&mut self, text: &str) {
        self.step += 1;
        output::line("");
        output::line(output::paint_result("1", &format!("{}. {text}", self.step)));
    }

    /// Runs a command to its end; `expected` are the codes it may end with.
    async fn syncline(&self, args: &[&str], expected: &[Exit]) -> Result<(), Failure> {
        let ended = self.command(args)?.wait().await.map_err(process)?;
        if expected.iter().any(|exit| ended.code() == Some(exit.code().into())) {
            return Ok(());
        }
        Err(Failure::failed(format!("`syncline {}` ended unexpectedly: {ended}", args.join(" "))))
    }

    /// Starts a command, shown as it would be typed.
    fn command(&self, args: &[&str]) -> Result<tokio::process::Child, Failure> {
        output::line(output::paint_result("36", &format!("$ syncline {}", args.join(" "))));
        Command::new(&self.binary)
            .args(args)
            .current_dir(&self.directory)
            .kill_on_drop(true)
            .spawn()
            .map_err(process)
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::failed(format!("{}: {}", path.display(), reason(&error))))
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
fn database(error: rusqlite::Error) -> Failure {
    Failure::failed(format!("the demo's database: {error}"))
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
fn process(error: std::io::Error) -> Failure {
    Failure::failed(format!("a process of the demo: {error}"))
}
