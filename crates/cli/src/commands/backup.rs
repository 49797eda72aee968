//! `syncline backup` and `syncline restore`

use std::path::PathBuf;

use clap::Args;
use syncline_store::backup::{Summary, backup, restore};

use crate::{
    args::Global,
    exit::{Exit, Failure},
    output, project, show,
};

/// Copy the store into a file, also while something runs
///
/// The copy is the same for every database, so it is also the way to move: back up with the one, restore with --store
/// naming the other. It holds what records hold, and no secrets.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file; compressed when its name ends in .gz
    #[arg(value_name = "FILE")]
    copy: PathBuf,
}

/// Restore a copy of the store, all or nothing
///
/// Into an empty store only, unless --replace. A file that is damaged, cut off or of a newer version is refused.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The file that `syncline backup` wrote
    #[arg(value_name = "FILE")]
    copy: PathBuf,

    /// Remove what is in the store
    #[arg(long)]
    replace: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(global: &Global, args: &BackupArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let (place, options) = (opened.store_place(), &opened.loaded.project.store);
    if !place.exists(options).await? {
        return Err(opened.nothing_yet());
    }
    let store = place.open(options).await?;
    let summary = backup(store.as_archive(), &args.copy).await?;
    output::line(format!("{}: {} of {}", args.copy.display(), told(&summary), place.shown()));
    Ok(Exit::Done)
}

pub(crate) async fn run_restore(global: &Global, args: &RestoreArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let (place, options) = (opened.store_place(), &opened.loaded.project.store);
    if args.replace && !args.yes && place.exists(options).await? {
        let question = format!("Remove all that is in the store {}, and restore the backup?", place.shown());
        match output::confirmed(&question) {
            Some(true) => {}
            Some(false) => return Err(Failure::failed("nothing was restored")),
            None => {
                return Err(Failure::usage(
                    "nothing was restored: all that is in the store would be removed",
                )
                .hint("--yes does it without asking"));
            }
        }
    }
    let store = place.open(options).await?;
    let summary = restore(store.as_archive(), &args.copy, args.replace).await?;
    output::line(format!("{}: {} restored", place.shown(), told(&summary)));
    Ok(Exit::Done)
}

fn told(summary: &Summary) -> String {
    format!("{}, {} bytes", show::some(summary.rows, "row", "rows"), summary.bytes)
}
