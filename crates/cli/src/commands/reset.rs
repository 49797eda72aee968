//! `syncline reset`

use syncline_core::sync::Sync;
use syncline_engine::load::reset::reset;

use crate::{
    args::{Global, ResetArgs},
    exit::{Exit, Failure},
    output,
    project::{self, Opened},
    wiring::{self, Systems, ends},
};

pub(crate) async fn run(global: &Global, args: &ResetArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    if let Some(sync) = opened.loaded.project.sync(&args.sync)
        && systems_load(&opened, sync)
    {
        return Box::pin(table(global, args)).await;
    }
    let store = opened.store_of(&args.sync).await?;
    let lease = store.claim(&args.sync, wiring::clock().now()).await?;
    if store.reset(&lease).await? {
        output::line(format!("{}: the cursor is forgotten; the next run reads everything", args.sync));
    } else {
        output::line(format!("{}: there was no cursor; the next run reads everything anyway", args.sync));
    }
    Ok(Exit::Done)
}

fn systems_load(opened: &Opened, sync: &Sync) -> bool {
    ends(&opened.loaded.project, sync).is_ok_and(|(_, to)| Systems::new(&opened.directory).loads(to))
}

/// Of a sync into a table: the destination remembers the cursor.
async fn table(global: &Global, args: &ResetArgs) -> Result<Exit, Failure> {
    let opened = project::open(global)?;
    let systems = Systems::new(&opened.directory);
    let Some(sync) = opened.loaded.project.sync(&args.sync) else { return Ok(Exit::Done) };
    let (_, to) = ends(&opened.loaded.project, sync)?;
    let store = opened.store().await?;
    // where the destination may not remember, the store does
    let lease = store.claim(&args.sync, wiring::clock().now()).await?;
    let in_store = store.reset(&lease).await?;
    let database = systems.database(to).await?;
    let engine = systems.engine(store);
    if reset(&engine, sync, &*database).await? || in_store {
        output::line(format!("{}: the cursor is forgotten; the next run reads everything", args.sync));
    } else {
        output::line(format!("{}: there was no cursor; the next run reads everything anyway", args.sync));
    }
    Ok(Exit::Done)
}
