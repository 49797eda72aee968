//! What can be typed. The doc comments are the help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use syncline_core::{run::Status, sync::Mode};

use crate::{
    commands::{
        alerts::AlertsCommand,
        backup::{BackupArgs, RestoreArgs},
        report::ReportArgs,
        sim::SimArgs,
    },
    service::args::{ApplyArgs, ChainsCommand, DefinitionsCommand, OccurrencesCommand, PauseArgs, ServeArgs},
};

/// Keeps records in one system in agreement with records in another.
#[derive(Debug, Parser)]
#[command(
    name = "syncline",
    version,
    propagate_version = true,
    max_term_width = 110,
    after_help = "Start with `syncline init`, then `check`, `plan` and `run`; or see it work with `syncline demo`.\n\
                  Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 partial (some records wait),\n\
                  4 the plan has changes (with --exit-code)."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The project file
    #[arg(short, long, global = true, value_name = "FILE", default_value = "syncline.yaml")]
    pub(crate) file: PathBuf,

    /// The store, instead of the one the project names (.syncline/store.db beside the project file): a file, or postgres://…
    #[arg(long, global = true, value_name = "STORE")]
    pub(crate) store: Option<PathBuf>,

    /// How the log on standard error is written
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,

    /// Print results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Log more; give it twice or three times for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(InitArgs),
    Check(CheckArgs),
    Plan(PlanArgs),
    Run(RunArgs),
    Status(StatusArgs),
    Schedules(SchedulesArgs),
    Runs(RunsArgs),
    Show(ShowArgs),
    Verify(VerifyArgs),
    /// Records that failed and wait for their retry
    #[command(subcommand)]
    Parked(ParkedCommand),
    /// Deletes that wait for approval
    #[command(subcommand)]
    Held(HeldCommand),
    Reset(ResetArgs),
    Backup(BackupArgs),
    Restore(RestoreArgs),
    Serve(ServeArgs),
    /// Start nothing by schedule for a while
    ///
    /// What runs goes on, and so does what people ask for. Works on the store: a service sees it within a moment, and no
    /// service need run.
    Pause(PauseArgs),
    /// Let schedules go on; instants that passed meanwhile do not fire
    Unpause(PauseArgs),
    /// Runs of chains: how far they are, and going on from what failed
    #[command(subcommand)]
    Chains(ChainsCommand),
    /// What waits to be started, is being carried out, or was left out
    #[command(subcommand)]
    Occurrences(OccurrencesCommand),
    Apply(ApplyArgs),
    /// What is stored of definitions: the applied project, and what the API made
    #[command(subcommand)]
    Definitions(DefinitionsCommand),
    Report(ReportArgs),
    /// What people are told of, and whether messages reach them
    #[command(subcommand)]
    Alerts(AlertsCommand),
    /// Tokens for the API of `syncline serve`
    #[command(subcommand)]
    Tokens(TokensCommand),
    Schema(SchemaArgs),
    Sim(SimArgs),
    Demo(DemoArgs),
}

/// Write a commented project file
///
/// Refuses to overwrite a file. Edit it, set the environment variables it names, then run `syncline check`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {}

/// Find every problem of the project at once
///
/// Reads the file, connects to the systems, and verifies tables, columns, keys, cursors, lists and types. Each problem
/// has its place, the reason and the nearest valid name. Writes nothing, except with --fix.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Only what the file alone can tell: connect to nothing
    #[arg(long, conflicts_with = "fix")]
    pub(crate) offline: bool,

    /// Create what the write protocol needs and the lists lack (the indexed, unique column SynclineKey)
    #[arg(long)]
    pub(crate) fix: bool,

    /// One JSON object per problem, then a summary object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show what a run would do, and write nothing
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The syncs to plan; all when none is named
    #[arg(value_name = "SYNC")]
    pub(crate) syncs: Vec<String>,

    /// What to read, where it is to differ from the project
    #[arg(long, value_enum)]
    pub(crate) mode: Option<ModeArg>,

    /// Plan a run as this schedule says; --mode goes before it
    #[arg(long, value_name = "NAME")]
    pub(crate) schedule: Option<String>,

    /// One JSON object per planned record, then a summary object
    #[arg(long)]
    pub(crate) json: bool,

    /// Most records shown per sync; the totals are complete in any case, and so is --json
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,

    /// Exit with code 4 when there is something to do
    #[arg(long)]
    pub(crate) exit_code: bool,

    #[command(flatten)]
    pub(crate) whom: WhomArgs,
}

/// Bring the destinations into agreement with their sources
///
/// Every record read ends in exactly one place of the account: created, updated, moved, deleted, unchanged, skipped,
/// parked, held or conflicted. A run that was killed, at whatever moment, is continued by the next one.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The syncs to run, one after the other; all when none is named
    #[arg(value_name = "SYNC")]
    pub(crate) syncs: Vec<String>,

    /// What to read, where it is to differ from the project
    #[arg(long, value_enum, conflicts_with = "parked")]
    pub(crate) mode: Option<ModeArg>,

    /// Run as this schedule says: its mode, lookback, prepurge and reindex; --mode goes before it. Without names, every sync
    /// whose schedule of that name is switched on
    #[arg(long, value_name = "NAME", conflicts_with = "parked")]
    pub(crate) schedule: Option<String>,

    /// Replace the tables as a whole in a full run, instead of merging into them
    #[arg(long, conflicts_with = "parked")]
    pub(crate) prepurge: bool,

    /// Rebuild the tables' indexes after the run
    #[arg(long, conflicts_with = "parked")]
    pub(crate) reindex: bool,

    /// One JSON event per line
    #[arg(long)]
    pub(crate) json: bool,

    /// Only retry parked records that are due
    #[arg(long)]
    pub(crate) parked: bool,

    #[command(flatten)]
    pub(crate) whom: WhomArgs,
}

/// Which part of a sync, and for whom.
#[derive(Debug, Default, Args)]
pub(crate) struct WhomArgs {
    /// Value of a parameter of the sync; once for each
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,

    /// File with the access token of the user for whom it is done; - reads the standard input. The token is handed on to the
    /// system that is asked, and kept nowhere
    #[arg(long, value_name = "FILE")]
    pub(crate) user_token_file: Option<PathBuf>,
}

/// How things stand, from the store alone: works while the systems are away
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// One JSON object per sync
    #[arg(long)]
    pub(crate) json: bool,
}

/// When syncs and chains run next, in the time of their zone and in UTC
///
/// What `syncline serve` starts, from the project file alone; a start may come a little later (`jitter`).
#[derive(Debug, Args)]
pub(crate) struct SchedulesArgs {
    /// The syncs and chains; all when none is named
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// How many times per schedule
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) next: u16,

    /// One JSON object per schedule
    #[arg(long)]
    pub(crate) json: bool,
}

/// The history of runs, newest first
#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    /// Only of this sync
    #[arg(long, value_name = "SYNC")]
    pub(crate) sync: Option<String>,

    /// Only with this status
    #[arg(long, value_enum)]
    pub(crate) status: Option<StatusArg>,

    /// Most runs shown
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,

    /// One JSON object per run
    #[arg(long)]
    pub(crate) json: bool,
}

/// Everything that is known about a run
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Number of the run, as in `syncline runs`
    #[arg(value_name = "RUN")]
    pub(crate) run: u64,

    /// As a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Find drift: read the destination again and compare it with what was written last
///
/// A destination that cannot be read completely is reported as unknown, never as missing records. Exit code 3 when
/// drift was found and not repaired.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The syncs to verify; all when none is named
    #[arg(value_name = "SYNC")]
    pub(crate) syncs: Vec<String>,

    /// Write edited records again and make missing ones again; duplicates and strangers are never touched
    #[arg(long)]
    pub(crate) repair: bool,

    /// One JSON object per finding, then a summary object
    #[arg(long)]
    pub(crate) json: bool,

    /// Most findings shown of each kind; the totals are complete in any case
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,
}

/// `parked …`
#[derive(Debug, Subcommand)]
pub(crate) enum ParkedCommand {
    /// Show what is parked, and why
    List(WaitingListArgs),
    /// Make parked records due now; the next run, or `syncline run --parked`, tries them
    Retry(ParkedRetryArgs),
    /// Forget parked records; source and destination are not touched
    Drop(ParkedDropArgs),
}

/// `… list`
#[derive(Debug, Args)]
pub(crate) struct WaitingListArgs {
    /// Only of this sync
    #[arg(value_name = "SYNC")]
    pub(crate) sync: Option<String>,

    /// Most records shown
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,

    /// One JSON object per record
    #[arg(long)]
    pub(crate) json: bool,
}

/// `parked retry`
#[derive(Debug, Args)]
pub(crate) struct ParkedRetryArgs {
    /// The sync
    #[arg(value_name = "SYNC")]
    pub(crate) sync: String,

    /// Keys as `parked list` shows them; all when none is given
    #[arg(value_name = "KEY")]
    pub(crate) keys: Vec<String>,
}

/// `parked drop`
#[derive(Debug, Args)]
pub(crate) struct ParkedDropArgs {
    /// The sync
    #[arg(value_name = "SYNC")]
    pub(crate) sync: String,

    /// Keys as `parked list` shows them; all when none is given
    #[arg(value_name = "KEY")]
    pub(crate) keys: Vec<String>,

    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `held …`
#[derive(Debug, Subcommand)]
pub(crate) enum HeldCommand {
    /// Show which deletes are held, and why
    List(WaitingListArgs),
    /// Let the next full run delete
    Approve(HeldApproveArgs),
    /// Keep the records: they leave the ledger and Syncline never touches them again
    Reject(HeldRejectArgs),
}

/// `held approve`
#[derive(Debug, Args)]
pub(crate) struct HeldApproveArgs {
    /// The sync
    #[arg(value_name = "SYNC")]
    pub(crate) sync: String,

    /// Most records the next full run may delete; if more are gone by then, they are held again
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max: u64,
}

/// `held reject`
#[derive(Debug, Args)]
pub(crate) struct HeldRejectArgs {
    /// The sync
    #[arg(value_name = "SYNC")]
    pub(crate) sync: String,

    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Forget where a sync was: its next run reads everything
///
/// What is known about the records stays, so nothing is created twice.
#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    /// The sync
    #[arg(value_name = "SYNC")]
    pub(crate) sync: String,
}

/// `tokens …`
#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// Make a token and print it, this once
    ///
    /// From the first token on, every request needs one. The store keeps a hash only: a token that is lost cannot be shown
    /// again.
    Create(TokensCreateArgs),
    /// Show the tokens, without the tokens themselves
    List(TokensListArgs),
    /// Revoke a token, from the next request on
    Revoke(TokensRevokeArgs),
}

/// `tokens create`
#[derive(Debug, Args)]
pub(crate) struct TokensCreateArgs {
    /// A name for people; unique among the tokens in force
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// What it may do; each scope includes those before it
    #[arg(long, value_enum, required = true)]
    pub(crate) scope: Vec<ScopeArg>,

    /// When it stops working: 90d, 12h; never, unless it is given
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<jiff::Span>,
}

/// `tokens list`
#[derive(Debug, Args)]
pub(crate) struct TokensListArgs {
    /// One JSON object per token
    #[arg(long)]
    pub(crate) json: bool,
}

/// `tokens revoke`
#[derive(Debug, Args)]
pub(crate) struct TokensRevokeArgs {
    /// Number of the token, as in `syncline tokens list`
    #[arg(value_name = "TOKEN")]
    pub(crate) token: u64,
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScopeArg {
    /// Look at everything
    Read,
    /// Start, retry, resume, plan and cancel
    Run,
    /// Change definitions and settings; parked records, held deletes
    Write,
    /// Make and revoke tokens
    Admin,
}

/// Print the JSON Schema of project files, for editors
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {}

/// See it work: 10,000 records to a simulated SharePoint, damage, repair, a killed run, and the account of every record
///
/// Offline, in a directory of its own, in about a minute.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep the directory (project, database, store, request log) for looking around
    #[arg(long)]
    pub(crate) keep: bool,

    /// How many projects
    #[arg(long, value_name = "N", default_value_t = 10_000, hide = true,
          value_parser = clap::value_parser!(u32).range(1_000..=100_000))]
    pub(crate) records: u32,
}

/// What a run reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeArg {
    /// Everything; only then can it be seen what is gone
    Full,
    /// What changed since the last run
    Incremental,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Full => Self::Full,
            ModeArg::Incremental => Self::Incremental,
        }
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusArg {
    Queued,
    Running,
    Succeeded,
    Partial,
    Failed,
    Cancelled,
    Interrupted,
}

impl From<StatusArg> for Status {
    fn from(status: StatusArg) -> Self {
        match status {
            StatusArg::Queued => Self::Queued,
            StatusArg::Running => Self::Running,
            StatusArg::Succeeded => Self::Succeeded,
            StatusArg::Partial => Self::Partial,
            StatusArg::Failed => Self::Failed,
            StatusArg::Cancelled => Self::Cancelled,
            StatusArg::Interrupted => Self::Interrupted,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
