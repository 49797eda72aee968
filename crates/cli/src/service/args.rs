//! What can be typed to serve, and to look after what is served. The doc comments are the help.

use std::net::SocketAddr;

use clap::{Args, Subcommand, ValueEnum};
use syncline_store::service::{DefinitionKind, OccurrenceState};

/// Run as a service: schedules, chains, the API, health and alerts, until it is told to stop
///
/// Several may serve one store and share the work: on one machine with a SQLite file, on several with PostgreSQL. A changed
/// project file is taken over within seconds; while it is broken the last good one is served. Ctrl-C or SIGTERM stops
/// after the batches in hand, a second one at once; nothing is lost either way.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where the API listens, instead of server.bind; anything but this machine itself needs TLS and a token
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "no_api")]
    pub(crate) bind: Option<SocketAddr>,

    /// Serve no API: schedules, chains and alerts alone
    #[arg(long)]
    pub(crate) no_api: bool,

    /// What this node is called in the store, in events and in the log; the name of the machine unless it is given
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,

    /// Follow the project that `syncline apply` stored, not a file; --store says where
    #[arg(long)]
    pub(crate) from_store: bool,

    /// Say what is served as one JSON object, once everything listens
    #[arg(long)]
    pub(crate) json: bool,
}

/// `pause` and `unpause`
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// The sync or chain
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Only this schedule of it, by its name, or by its time where it has none; all of them unless it is given
    #[arg(long, value_name = "SCHEDULE")]
    pub(crate) schedule: Option<String>,

    /// The name is that of a chain, where a sync has it too
    #[arg(long)]
    pub(crate) chain: bool,
}

/// `chains …`
#[derive(Debug, Subcommand)]
pub(crate) enum ChainsCommand {
    /// Runs of chains, newest first
    List(ChainsListArgs),
    /// One run and its steps
    Show(ChainsShowArgs),
    /// Go on from what failed: shows which steps begin again, and asks; a running service carries it out
    Resume(ChainsResumeArgs),
}

/// `chains list`
#[derive(Debug, Args)]
pub(crate) struct ChainsListArgs {
    /// Only of this chain
    #[arg(value_name = "CHAIN")]
    pub(crate) chain: Option<String>,

    /// Most runs shown
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,

    /// One JSON object per run
    #[arg(long)]
    pub(crate) json: bool,
}

/// `chains show`
#[derive(Debug, Args)]
pub(crate) struct ChainsShowArgs {
    /// Number of the run, as in `syncline chains list`
    #[arg(value_name = "RUN")]
    pub(crate) run: u64,

    /// As a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `chains resume`
#[derive(Debug, Args)]
pub(crate) struct ChainsResumeArgs {
    /// Number of the run, as in `syncline chains list`
    #[arg(value_name = "RUN")]
    pub(crate) run: u64,

    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// `occurrences …`
#[derive(Debug, Subcommand)]
pub(crate) enum OccurrencesCommand {
    /// Occurrences, newest first
    List(OccurrencesListArgs),
    /// Stop one: at once where it waits, after the batch in hand where it runs
    Cancel(OccurrencesCancelArgs),
}

/// `occurrences list`
#[derive(Debug, Args)]
pub(crate) struct OccurrencesListArgs {
    /// Only of this sync or chain
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Only in this state
    #[arg(long, value_enum)]
    pub(crate) state: Option<StateArg>,

    /// Most occurrences shown
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,

    /// One JSON object per occurrence
    #[arg(long)]
    pub(crate) json: bool,
}

/// `occurrences cancel`
#[derive(Debug, Args)]
pub(crate) struct OccurrencesCancelArgs {
    /// Number of the occurrence, as in `syncline occurrences list`
    #[arg(value_name = "OCCURRENCE")]
    pub(crate) occurrence: u64,
}

/// Where an occurrence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateArg {
    Waiting,
    Claimed,
    Done,
    Skipped,
    Cancelled,
}

impl From<StateArg> for OccurrenceState {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Waiting => Self::Waiting,
            StateArg::Claimed => Self::Claimed,
            StateArg::Done => Self::Done,
            StateArg::Skipped => Self::Skipped,
            StateArg::Cancelled => Self::Cancelled,
        }
    }
}

/// Store the project as a new version, for services that run with --from-store
///
/// Checks the file, shows what differs from the stored version, and stores it. Variables stay unfilled: each node fills
/// in its own. Services take it over within seconds.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// Show what differs, and store nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `definitions …`
#[derive(Debug, Subcommand)]
pub(crate) enum DefinitionsCommand {
    /// What is stored, in its newest version
    List(DefinitionsListArgs),
    /// Versions of one definition, newest first
    Versions(DefinitionsVersionsArgs),
    /// What a version changed
    Diff(DefinitionsDiffArgs),
}

/// `definitions list`
#[derive(Debug, Args)]
pub(crate) struct DefinitionsListArgs {
    /// One JSON object per definition
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which definition.
#[derive(Debug, Args)]
pub(crate) struct DefinitionArgs {
    /// `project`, or `sync` or `chain` with its name
    #[arg(value_name = "KIND", value_enum)]
    pub(crate) kind: KindArg,

    /// Name of the sync or chain
    #[arg(value_name = "NAME", default_value = "")]
    pub(crate) name: String,
}

/// `definitions versions`
#[derive(Debug, Args)]
pub(crate) struct DefinitionsVersionsArgs {
    #[command(flatten)]
    pub(crate) definition: DefinitionArgs,

    /// Most versions shown
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,

    /// One JSON object per version
    #[arg(long)]
    pub(crate) json: bool,
}

/// `definitions diff`
#[derive(Debug, Args)]
pub(crate) struct DefinitionsDiffArgs {
    #[command(flatten)]
    pub(crate) definition: DefinitionArgs,

    /// The version that is looked at, with the one before it; the newest unless it is given
    #[arg(long, value_name = "VERSION")]
    pub(crate) number: Option<u64>,
}

/// Kinds of stored definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindArg {
    Project,
    Sync,
    Chain,
}

impl From<KindArg> for DefinitionKind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Project => Self::Project,
            KindArg::Sync => Self::Sync,
            KindArg::Chain => Self::Chain,
        }
    }
}
