//! `syncline reset`

use syncline_store::Store;

use crate::{
    args::{Global, ResetArgs},
    exit::{Exit, Failure},
    output, project, wiring,
};

pub(crate) async fn run(global: &Global, args: &ResetArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let store = opened.store_of(&args.sync).await?;
    let lease = store.claim(&args.sync, wiring::clock().now()).await?;
    if store.reset(&lease).await? {
        output::line(format!("{}: the cursor is forgotten; the next run reads everything", args.sync));
    } else {
        output::line(format!("{}: there was no cursor; the next run reads everything anyway", args.sync));
    }
    Ok(Exit::Done)
}
