//! `syncline backup` and `syncline restore`

use syncline_store::backup::{Summary, backup, restore};

use crate::{
    args::{BackupArgs, Global, RestoreArgs},
    exit::{Exit, Failure},
    output, project, show,
};

pub(crate) async fn run(global: &Global, args: &BackupArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let (place, options) = (opened.store_place(), &opened.loaded.project.store);
    if !place.exists(options).await? {
        return Err(opened.nothing_yet());
    }
    let store = place.open(options).await?;
    let summary = backup(store.as_archive(), &args.file).await?;
    output::line(format!("{}: {} of {}", args.file.display(), told(&summary), place.shown()));
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
    let summary = restore(store.as_archive(), &args.file, args.replace).await?;
    output::line(format!("{}: {} restored", place.shown(), told(&summary)));
    Ok(Exit::Done)
}

fn told(summary: &Summary) -> String {
    format!("{}, {} bytes", show::some(summary.rows, "row", "rows"), summary.bytes)
}
