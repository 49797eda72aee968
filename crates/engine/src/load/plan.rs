//! What a load would do: rows are staged where only this session sees them, and compared; nothing outlives the session.

use syncline_connect::{
    database::{Absent, Claim, Gone, How, Load, Preview, Previewed},
    source::Scan,
};
use syncline_core::{
    guard::{self, Verdict},
    plan::{FieldChange, Planned, PlannedAction},
    run::Phase,
    sync::Mode,
    sync::Write,
};
use tokio::sync::watch;

use super::{
    bind::Table,
    keys, params,
    prepare::{Prepared, prepare, read},
    reading::{self, NEW_COLUMN, Reading},
    run::Options,
    stage::{self, Moved, Moving, Progress},
};
use crate::{
    Engine, Error,
    plan::Summary,
    progress::{Event, Observer},
    reading::POSITION_LOST,
    run::mode_word,
};

/// Plans a load; hands at most `limit` records of each kind to `each`. Writes nothing: not to the source, not to the table,
/// not to the store.
///
/// # Errors
/// A system or the store failed.
pub async fn plan(
    engine: &Engine,
    table: &Table,
    options: &Options,
    limit: usize,
    observer: &dyn Observer,
    each: &mut (dyn FnMut(Planned) + Send),
) -> Result<Summary, Error> {
    let sync = &table.sync;
    params::check(sync, &options.partition)?;
    let lost = match planned(engine, table, options, limit, observer, each, None).await {
        Err(error) if error.position_lost() => reading::whole(POSITION_LOST),
        done => return done,
    };
    planned(engine, table, options, limit, observer, each, Some(lost)).await
}

/// `instead`: what is read, whatever the cursor says.
async fn planned(
    engine: &Engine,
    table: &Table,
    options: &Options,
    limit: usize,
    observer: &dyn Observer,
    each: &mut (dyn FnMut(Planned) + Send),
    instead: Option<Reading>,
) -> Result<Summary, Error> {
    let sync = &table.sync;
    let name = options.partition.name(&sync.name);
    observer.event(&Event::Phase { phase: Phase::Fetch });
    let claim = Claim {
        sync: name.clone(),
        table: sync.to.stream.clone(),
        lock_timeout: sync.to.table.lock_timeout,
        replaces: true,
        partition: params::scope(table, &options.partition)?,
        dry: true,
    };
    let doing = format!("looking at {:?}", sync.to.stream);
    let mut load = table.database.open(&claim).await.map_err(Error::connect(doing))?;
    let cursor = reading::cursor(load.state());
    let mut reading = reading::decide(sync, options.mode, cursor.as_ref(), load.table().is_some());
    if let (Some(from), Some(lookback)) = (&reading.from, options.lookback) {
        let last_start = load.state().and_then(|state| state.started_at);
        reading.overlap = reading::look_back(from, reading.overlap, last_start, lookback);
    }
    if reading.mode == Mode::Incremental && table.adds_columns(load.table()) {
        reading = reading::whole(NEW_COLUMN);
    }
    if let Some(instead) = instead {
        reading = instead;
    }
    let now = engine.clock.now().as_microsecond();
    let mut prepared = prepare(table, load.table(), &reading, options, None, now)?;
    // what takes the table's place is compared with it here, so that the plan can say what would change
    prepared.shape.takes_place = false;
    let replaces = prepared.commit.merge.how == How::Replace && load.table().is_some();
    if replaces && !table.match_on.is_empty() {
        prepared.commit.merge.how = How::Merge;
        prepared.commit.merge.gone = Gone::Delete;
        prepared.commit.absent = Absent::Unstaged;
    }
    let scan = Scan {
        read: read(
            table,
            &reading,
            &prepared.projection.columns,
            params::of_source(&table.stream, &options.partition),
        ),
        parts: 1,
        copy: prepared.copy.clone(),
        once: false,
    };
    let doing = format!("reading {:?}", scan.read.stream);
    let parts = table.source.scan(scan).await.map_err(Error::connect(doing))?;
    let writers = load.stage(&prepared.shape, 1).await.map_err(Error::connect("staging"))?;
    let (_never, cancel) = watch::channel(false);
    let columns = prepared.projection.columns.clone();
    let empty = super::project::Projection::empty(columns);
    let moving = Moving {
        projection: std::mem::replace(&mut prepared.projection, empty),
        cursor: None,
        progress: std::sync::Arc::new(Progress::default()),
        cancel,
        stream: sync.from.stream.clone(),
    };
    let moved = stage::move_rows(moving, parts, writers, || {}).await?;
    observer.event(&Event::Phase { phase: Phase::Plan });
    let summary = compare(engine, (table, &name), &mut *load, prepared, moved, limit, each).await;
    load.close().await.map_err(Error::connect("ending the look"))?;
    let mut summary = summary?;
    summary.mode = mode_word(reading.mode).into();
    summary.reason = reading.reason;
    if replaces {
        summary.notes.push("the table is replaced as a whole".into());
    }
    Ok(summary)
}

async fn compare(
    engine: &Engine,
    (table, name): (&Table, &str),
    load: &mut dyn Load,
    mut prepared: Prepared,
    moved: Moved,
    limit: usize,
    each: &mut (dyn FnMut(Planned) + Send),
) -> Result<Summary, Error> {
    let sync = &table.sync;
    let mut staged = moved.staged;
    let mut park = moved.failed.len() as u64;
    if !prepared.shape.key_is_total && !table.match_on.is_empty() && sync.write != Write::Append {
        let doubtful =
            load.exclude_doubtful().await.map_err(Error::connect("looking for keys that come twice"))?;
        staged -= doubtful.keyless + doubtful.doubled;
        park += doubtful.keyless + doubtful.doubled;
    }
    prepared.commit.staged = staged;
    let mut notes = table.notes.clone();
    if let Some(why) = &moved.shortfall {
        prepared.commit.absent = Absent::Unknown;
        notes.push(format!("nothing is said to be gone: {why}"));
    }
    if prepared.commit.absent == Absent::Unknown && prepared.commit.merge.how != How::Replace {
        let (absent, note) = keys::stage_gone(table, load).await?;
        prepared.commit.absent = absent;
        notes.extend(note);
    }
    let preview = load.preview(&prepared.commit, limit).await.map_err(Error::connect("comparing"))?;
    let approved = engine.store.approval(name).await?;
    let listed =
        if prepared.commit.absent == Absent::Unstaged { staged } else { preview.known - preview.absent };
    let verdict = guard::judge(&sync.deletes, preview.absent, preview.known, listed, approved);
    let held = if verdict == Verdict::Allow { 0 } else { preview.absent };
    show(table, &preview, &moved, held > 0, limit, each);
    // as a run counts them: a tombstone of a record that is not there, or that stays
    let quiet = preview.tombstones.saturating_sub(preview.deleted - preview.absent);
    let (stays, agrees) = if prepared.commit.merge.gone == Gone::Stay { (quiet, 0) } else { (0, quiet) };
    let mut summary = Summary {
        read: moved.read + preview.absent,
        create: preview.created,
        update: preview.updated,
        delete: preview.deleted - held,
        hold: held,
        park,
        unchanged: moved.read_before
            + staged.saturating_sub(preview.created + preview.updated + preview.tombstones)
            + agrees,
        skipped: moved.skipped + stays,
        notes,
        ..Summary::default()
    };
    if let Verdict::Hold(reason) = verdict {
        summary.notes.push(reason);
    }
    Ok(summary)
}

fn show(
    table: &Table,
    preview: &Preview,
    moved: &Moved,
    held: bool,
    limit: usize,
    each: &mut (dyn FnMut(Planned) + Send),
) {
    for record in &preview.records {
        each(record_planned(table, record, held));
    }
    for failed in moved.failed.iter().take(limit) {
        each(Planned {
            key: crate::planner::label(&failed.key),
            action: PlannedAction::Park,
            stream: table.sync.to.stream.clone(),
            from: None,
            fields: Vec::new(),
            note: Some(format!("{}: {}", failed.problem.code, failed.problem.message)),
        });
    }
}

fn record_planned(table: &Table, record: &Previewed, held: bool) -> Planned {
    let action = match record.action {
        "create" => PlannedAction::Create,
        "update" => PlannedAction::Update,
        _ if held => PlannedAction::Hold,
        _ => PlannedAction::Delete,
    };
    let json =
        |text: &Option<String>| text.clone().map_or(serde_json::Value::Null, serde_json::Value::String);
    let change = |(field, old, new): &(String, Option<String>, Option<String>)| FieldChange {
        field: field.clone(),
        old: json(old),
        new: json(new),
    };
    Planned {
        key: record.key.join(", "),
        action,
        stream: table.sync.to.stream.clone(),
        from: None,
        fields: record.changes.iter().map(change).collect(),
        note: None,
    }
}
