//! When the faults are over: everything agrees after a bounded number of runs, and then nothing moves any more.

use std::collections::{BTreeMap, BTreeSet};

use syncline_core::{
    identity::Identity,
    plan::Planned,
    run::Status,
    sync::{DeletePolicy, Mode},
};
use syncline_engine::{progress::Silent, run::Options};
use syncline_store::{Drift, DriftKind, Parked, Store, memory::MemoryStore};

use crate::{
    far::Item,
    life::Life,
    node::{LONGER_THAN_PARKED, Node, SYNC},
    oracle::{self, Expected},
    scenario::KeyKind,
    table::Row,
    world::World,
};

/// Runs within which the living records must agree once the faults are over, in the sync's own mode.
const RUNS_TO_AGREE: u32 = 3;

/// The faults stop; everything must come to rest, in agreement.
pub async fn come_to_rest(life: &mut Life) {
    let round = life.scenario.rounds;
    {
        let mut world = life.world.lock();
        world.quiet = true;
        world.table.settle();
        world.say("time", format_args!("the faults are over"));
    }
    for _ in 0..RUNS_TO_AGREE {
        usual_run(life, round, None).await;
    }
    check(life, "usual runs", false).await;
    if broken(life) {
        return;
    }
    approve_everything(life).await;
    usual_run(life, round, Some(Mode::Full)).await;
    repair(life, round).await;
    for _ in 0..2 {
        approve_everything(life).await;
        usual_run(life, round, Some(Mode::Full)).await;
    }
    check(life, "a full run", true).await;
    if broken(life) {
        return;
    }
    no_more_writes(life, round).await;
    quota(life);
}

fn broken(life: &Life) -> bool {
    !life.world.lock().violations.is_empty()
}

async fn usual_run(life: &mut Life, round: usize, mode: Option<Mode>) {
    tokio::time::sleep(LONGER_THAN_PARKED).await;
    life.world.lock().advance();
    let options = Options { mode, ..Options::default() };
    let report = life.process(round, &options, None, None).await;
    let finished = report.is_some_and(|r| matches!(r.status, Status::Succeeded | Status::Partial));
    if !finished {
        life.world.lock().violate("every run ends", "a run without faults did not succeed");
    }
}

async fn approve_everything(life: &Life) {
    let store = MemoryStore::open(&life.disk);
    let now = syncline_connect::clock::Clock::now(&crate::world::WorldClock::of(&life.world.lock()));
    if let Ok(lease) = store.claim(SYNC, now).await {
        // A store without a run needs no approval; any other failure shows as deletes that are missing.
        store.approve(&lease, u64::MAX >> 1, now).await.ok();
    }
}

/// What the second user did behind our back is found by `verify --repair`.
async fn repair(life: &mut Life, round: usize) {
    let node = life.node(round);
    let Ok(bound) = node.bound().await else { return };
    let found = syncline_engine::verify::verify(&node.engine, &bound, usize::MAX >> 1).await;
    life.world.lock().forget_unsaved(node.process);
    let parked = life.parked().await;
    let drift: Vec<Drift> = match found {
        Ok(comparison) => comparison.drift,
        Err(error) => {
            life.world.lock().violate("verify", error.chain());
            return;
        }
    };
    let left = unsettled(life, &drift).await;
    {
        let mut world = life.world.lock();
        world.say("person", format_args!("verify finds {} differences, repairs them", drift.len()));
        // What is parked may be known to be wrong.
        let is_parked = |d: &&Drift| parked.iter().any(|(identity, _)| Some(*identity) == d.identity);
        let is_left = |d: &&Drift| d.identity.is_some_and(|identity| left.contains(&identity));
        let ours = |d: &&Drift| {
            matches!(d.kind, DriftKind::Missing | DriftKind::Edited) && !is_parked(d) && !is_left(d)
        };
        let unexpected = drift.iter().find(ours).filter(|_| !world.may_drift());
        if let Some(drift) = unexpected {
            let text = format!("{:?} of {} although nobody meddled", drift.kind, drift.label);
            world.violate("no silent drift", text);
        }
    }
    if let Err(error) = syncline_engine::verify::mark(&node.engine, &bound, &drift).await {
        life.world.lock().violate("verify", error.chain());
    }
}

/// Records that are gone from the source and of which the ledger does not know what they hold: an update was interrupted, and no
/// run writes them any more to find out.
async fn unsettled(life: &Life, drift: &[Drift]) -> BTreeSet<Identity> {
    let identities: Vec<Identity> = drift.iter().filter_map(|d| d.identity).collect();
    let entries = MemoryStore::open(&life.disk).find(SYNC, &identities).await.unwrap_or_default();
    let world = life.world.lock();
    let rows = world.table.rows.values().filter(|row| !(life.scenario.tombstones && row.deleted));
    let living: BTreeSet<Identity> = rows.filter_map(|row| oracle::identity(&life.scenario, row)).collect();
    let unknown =
        identities.into_iter().zip(entries).filter(|(_, e)| e.as_ref().is_some_and(|e| e.hash.is_none()));
    unknown.map(|(identity, _)| identity).filter(|identity| !living.contains(identity)).collect()
}

impl World {
    /// What an incremental listing would stay below now.
    fn bound(&self) -> i64 {
        self.table.bound(&self.scenario, self.now())
    }

    /// Whether ledger and destination may differ without a fault of ours.
    fn may_drift(&self) -> bool {
        self.meddled || self.doubled
    }
}

/// One more full run and its plan: nothing is sent.
async fn no_more_writes(life: &mut Life, round: usize) {
    let before = life.world.lock().far.writes;
    usual_run(life, round, Some(Mode::Full)).await;
    let after = life.world.lock().far.writes;
    if after != before {
        let text = format!("{} writes in a world that agrees", after - before);
        life.world.lock().violate("a second run writes nothing", text);
    }
}

fn quota(life: &Life) {
    let mut world = life.world.lock();
    if world.two_nodes {
        // Each counts what it spends itself.
        return;
    }
    for limit in life.scenario.limits.clone() {
        let most = world.most_charged(limit);
        if most > limit.units {
            let text = format!("{most} units within {:?}, {} are allowed", limit.window, limit.units);
            world.violate("quota", text);
        }
    }
}

/// Compares source and far side. `complete`: deletes have been carried out too, and drift repaired.
async fn check(life: &Life, after: &str, complete: bool) {
    let parked: BTreeMap<Identity, String> = life.parked().await.into_iter().collect();
    let mut world = life.world.lock();
    if !complete && (world.lied || world.meddled || world.doubled) {
        return;
    }
    let wrongs = differences(&world, life, &parked, complete);
    for wrong in wrongs.into_iter().take(5) {
        world.violate("everything agrees", format!("after {after}: {wrong}"));
    }
}

fn differences(
    world: &World,
    life: &Life,
    parked: &BTreeMap<Identity, String>,
    complete: bool,
) -> Vec<String> {
    let (scenario, definition) = (&life.scenario, life.scenario.definition(life.scenario.rounds));
    let mut rows: BTreeMap<Identity, Vec<&Row>> = BTreeMap::new();
    let mut wrongs = Vec::new();
    for row in world.table.rows.values().filter(|row| !(scenario.tombstones && row.deleted)) {
        match oracle::identity(scenario, row) {
            Some(identity) => rows.entry(identity).or_default().push(row),
            None if complete && !parked.values().any(|code| code == "no_key") => {
                wrongs.push("a row without a key is not parked".to_owned());
            }
            None => {}
        }
    }
    let mut items: BTreeMap<Identity, Vec<(u64, &Item)>> = BTreeMap::new();
    for (id, item) in &world.far.items {
        if let Some(owner) = item.owner {
            items.entry(owner).or_default().push((*id, item));
        }
    }
    for (identity, rows) in &rows {
        let items = items.remove(identity).unwrap_or_default();
        let who = format!("{} ({:?})", &identity.stamp()[..6], rows[0].code);
        // What recovery or first contact found several times is left to a person, who sees it among the parked.
        let code = parked.get(identity).map(String::as_str);
        let seen = matches!(code, Some("ambiguous" | "quarantined"));
        if items.len() > 1 && !world.doubled && !world.strayed.contains(identity) && !seen {
            wrongs.push(format!("{who} has {} items", items.len()));
        }
        let wanted: Vec<Expected> = rows.iter().map(|row| oracle::expected(definition, row)).collect();
        if scenario.key == KeyKind::Loose && !complete {
            // Which of several rows with one key counts is settled by full runs.
            continue;
        }
        if !wanted.iter().any(|wanted| met(wanted, &items, identity, world, life, parked, complete)) {
            let held = items.iter().map(|(id, item)| format!("item {id}: {item:?}")).collect::<Vec<_>>();
            let state = parked.get(identity).map_or("not parked", String::as_str);
            wrongs.push(format!("{who} should be {wanted:?}, is {held:?}, {state}"));
        }
    }
    if complete {
        wrongs.extend(items.iter().filter_map(|(identity, items)| {
            let code = parked.get(identity).map(String::as_str);
            gone(world, life, identity, items, code)
        }));
    }
    wrongs
}

/// Whether what there is of a record is what is wanted.
fn met(
    wanted: &Expected,
    items: &[(u64, &Item)],
    identity: &Identity,
    world: &World,
    life: &Life,
    parked: &BTreeMap<Identity, String>,
    complete: bool,
) -> bool {
    let code = parked.get(identity).map(String::as_str);
    // Reasons to leave a record to a person that are not Syncline's to remove.
    let left = (code == Some("conflict") && items.iter().any(|(_, item)| unnamed(life, item)))
        || matches!(code, Some("ambiguous"))
        || (world.doubled && code.is_some())
        || (!complete && code == Some("conflict"));
    match wanted {
        _ if left => true,
        Expected::Parked => code.is_some(),
        Expected::Skipped => {
            let removed =
                complete && life.scenario.out_of_filter && life.scenario.policy == DeletePolicy::Delete;
            !removed || items.is_empty() || world.released.contains(identity) || world.doubled
        }
        Expected::Item(list, values) => {
            items.iter().any(|(_, item)| item.list == *list && oracle::same(values, &item.values))
        }
    }
}

/// Verification does not look into lists that the sync does not name any more: an edit there stays a conflict.
fn unnamed(life: &Life, item: &Item) -> bool {
    let definition = life.scenario.definition(life.scenario.rounds);
    match item.list {
        0 => false,
        1 => definition.large.is_none(),
        _ => !definition.closed,
    }
}

/// What is wrong about the items of a record that is gone from the source; `code`: why it is parked.
fn gone(
    world: &World,
    life: &Life,
    identity: &Identity,
    items: &[(u64, &Item)],
    code: Option<&str>,
) -> Option<String> {
    if code == Some("conflict") && items.iter().any(|(_, item)| unnamed(life, item)) {
        return None;
    }
    if world.released.contains(identity) || world.doubled {
        return None;
    }
    let marked = |item: &Item| !item.values[6].is_null();
    let right = match life.scenario.policy {
        DeletePolicy::Ignore => true,
        DeletePolicy::Delete => false,
        DeletePolicy::Soft { .. } => items.iter().all(|(_, item)| marked(item)),
    };
    (!right).then(|| format!("{} is gone from the source: {items:?}", &identity.stamp()[..6]))
}

/// Without faults, a plan writes nothing and the run after it does what it said.
pub async fn plan_and_run(life: &mut Life, round: usize) {
    let was_quiet = {
        let mut world = life.world.lock();
        world.advance();
        // Nothing commits meanwhile: what is due does so before, and where only a lag stands for what is open, all of it.
        world.commit();
        if !life.scenario.tells_oldest {
            world.table.advance(std::time::Duration::MAX);
        }
        world.still = true;
        std::mem::replace(&mut world.quiet, true)
    };
    // What is still on its way arrives first.
    tokio::time::sleep(life.scenario.settle * 2).await;
    life.world.lock().advance();
    let node = life.node(round);
    let parked_before =
        MemoryStore::open(&life.disk).parked(Some(SYNC), None, usize::MAX).await.unwrap_or_default();
    let (store, far) = (life.disk.snapshot(), life.world.lock().far.items.clone());
    let options = Options::default();
    let below = life.world.lock().bound();
    let summary = planned(&node, &options).await;
    let planned_at = node.engine.clock.now();
    // What a plan spends is not remembered across processes.
    life.world.lock().forget_unsaved(node.process);
    if let Some(summary) = summary {
        {
            let mut world = life.world.lock();
            world.say("person", format_args!("plans: {summary:?}"));
            if store != life.disk || far != world.far.items {
                world.violate("plan writes nothing", "the store or the far side has changed");
            }
        }
        if let Some(report) = life.process(round, &options, None, None).await {
            let counts = report.counts;
            let failed = matches!(report.status, Status::Failed);
            let said = [
                summary.create,
                summary.moves,
                summary.delete,
                summary.hold,
                summary.update + summary.adopt + summary.unchanged + summary.skipped,
            ];
            let did = [
                counts.created,
                counts.moved,
                counts.deleted,
                counts.held,
                counts.updated + counts.unchanged + counts.skipped,
            ];
            let parked = (summary.park + summary.ambiguous, counts.parked + counts.conflicted);
            let refused = parked.1.saturating_sub(parked.0);
            let wrong = said.iter().zip(&did).any(|(said, did)| said < did)
                || said.iter().sum::<u64>() != did.iter().sum::<u64>() + refused;
            let mut world = life.world.lock();
            // Where a key comes twice, which row counts depends on what the far side takes and on what is parked.
            let loose = life.scenario.key == KeyKind::Loose;
            // What has become due for its retry meanwhile the plan could not see.
            let due = |p: &Parked| p.retry_at > planned_at && p.retry_at <= node.engine.clock.now();
            let loose = loose || parked_before.iter().any(due);
            // So with what an incremental listing shows only now.
            let now_below = world.bound();
            let ripe = |row: &Row| row.updated.is_some_and(|at| below <= at && at < now_below);
            let loose = loose || (summary.mode == "incremental" && world.table.rows.values().any(ripe));
            if !failed && wrong && !loose && !world.meddled && !world.doubled {
                world.violate("the run does what the plan said", format!("said {summary:?}, did {counts:?}"));
            }
        }
    }
    let mut world = life.world.lock();
    world.still = false;
    world.quiet = was_quiet;
}

async fn planned(node: &Node, options: &Options) -> Option<syncline_engine::plan::Summary> {
    let bound = node.bound().await.ok()?;
    let world = node.world.clone();
    let mut each = |planned: Planned| {
        world.lock().say(
            "plan",
            format_args!(
                "{} {} in {:?} {:?}",
                planned.action.as_str(),
                planned.key,
                planned.stream,
                planned.note
            ),
        );
    };
    syncline_engine::plan::plan(&node.engine, &bound, options, &Silent, &mut each).await.ok()
}
