//! What people ask of a sync: each a page that asks first, and a form.

use axum::{
    Extension, Router,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use syncline_core::sync::{Mode, Sync};
use syncline_engine::service::StartOptions;
use syncline_store::service::Subject;

use super::{
    Page, Shown, Ui,
    confirm::{Confirm, Field},
    fault::Fault,
    flash::{self, Done},
    form::Form,
    layout::{Frame, Tab},
    needs,
    session::Visitor,
    sync::address,
};
use crate::{
    api::{cursors, drift, occurrences},
    auth::Scope,
};

pub(crate) fn routes() -> Router<Ui> {
    Router::new()
        .route("/syncs/{sync}/run", needs(Scope::Run, get(ask_run).post(run)))
        .route("/syncs/{sync}/verify", needs(Scope::Run, get(ask_verify).post(verify)))
        .route("/syncs/{sync}/pause", needs(Scope::Write, get(ask_pause).post(pause)))
        .route("/syncs/{sync}/resume", needs(Scope::Write, get(ask_resume).post(resume)))
        .route("/syncs/{sync}/reset", needs(Scope::Write, get(ask_reset).post(reset)))
}

type Named = Path<String>;
type Who = Extension<Visitor>;

/// The page that asks; `sentences` say what it means.
async fn asking(
    ui: &Ui,
    visitor: &Visitor,
    sync: &Sync,
    verb: &str,
    sentences: &[&str],
) -> Result<Confirm, Fault> {
    let question = format!("{verb} {}?", sync.name);
    let frame = ui.frame(visitor, Tab::Overview, verb).await?;
    let at = address(&sync.name);
    Ok(Confirm {
        frame: frame.crumb("Overview", "/").crumb(sync.name.clone(), at.clone()),
        question,
        means: sentences.iter().map(|sentence| (*sentence).to_owned()).collect(),
        action: String::new(),
        hidden: Vec::new(),
        fields: Vec::new(),
        button: "Do it",
        grave: false,
        back: at,
    })
}

async fn ask_run(State(ui): State<Ui>, Extension(visitor): Who, Path(name): Named) -> Shown<Confirm> {
    let sync = ui.sync(&name)?;
    let says = ["It waits for a free node, then reads the source and writes what differs."];
    let confirm = asking(&ui, &visitor, &sync, "Run", &says).await?;
    Ok(Page(Confirm {
        action: format!("{}/run", address(&name)),
        fields: vec![modes(&sync), Field::Tick { name: "only_parked", label: "Only retry what is parked" }],
        button: "Run it",
        ..confirm
    }))
}

/// The modes that a sync can run in.
pub(super) fn modes(sync: &Sync) -> Field {
    let own = if sync.mode == Mode::Full { "full" } else { "incremental" };
    let mut options = vec![(String::new(), format!("As it is defined ({own})"), true)];
    options.push(("full".to_owned(), "Full: read everything".to_owned(), false));
    if sync.from.cursor.is_some() {
        options.push(("incremental".to_owned(), "Incremental: from the cursor on".to_owned(), false));
    }
    Field::Choice { name: "mode", label: "Mode", options }
}

async fn run(
    State(ui): State<Ui>,
    Extension(visitor): Who,
    Path(name): Named,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Fault> {
    ui.sync(&name)?;
    let options = StartOptions {
        mode: form.get("mode").map(str::to_owned),
        only_parked: form.ticked("only_parked"),
        ..StartOptions::default()
    };
    let enqueued =
        ui.api.control.start(&Subject::sync(name.clone()), &options, None, &visitor.caller.name).await?;
    occurrences::asked_for(&enqueued)?;
    Ok(flash::back(&headers, &address(&name), Done::Started))
}

async fn ask_verify(State(ui): State<Ui>, Extension(visitor): Who, Path(name): Named) -> Shown<Confirm> {
    let sync = ui.sync(&name)?;
    let says = [
        "The destination is read again and compared with what Syncline wrote there. Nothing is changed.",
        "It takes requests of the destination's quota, and for a large list its time.",
    ];
    let confirm = asking(&ui, &visitor, &sync, "Verify", &says).await?;
    Ok(Page(Confirm { action: format!("{}/verify", address(&name)), button: "Verify", ..confirm }))
}

async fn verify(
    State(ui): State<Ui>,
    Path(name): Named,
    headers: HeaderMap,
    _form: Form,
) -> Result<Response, Fault> {
    ui.sync(&name)?;
    drift::begin(&ui.api, &name)?;
    Ok(flash::back(&headers, &address(&name), Done::Verifying))
}

async fn ask_pause(State(ui): State<Ui>, Extension(visitor): Who, Path(name): Named) -> Shown<Confirm> {
    let sync = ui.sync(&name)?;
    let says = [
        "No schedule starts it until somebody resumes it. A run that is under way goes on, and people can still ask for runs.",
        "Instants that pass meanwhile are not made up for.",
    ];
    let confirm = asking(&ui, &visitor, &sync, "Pause", &says).await?;
    Ok(Page(Confirm { action: format!("{}/pause", address(&name)), button: "Pause it", ..confirm }))
}

async fn pause(
    State(ui): State<Ui>,
    Path(name): Named,
    headers: HeaderMap,
    _form: Form,
) -> Result<Response, Fault> {
    ui.api.control.pause(&Subject::sync(name.clone()), None).await?;
    Ok(flash::back(&headers, &address(&name), Done::Paused))
}

async fn ask_resume(State(ui): State<Ui>, Extension(visitor): Who, Path(name): Named) -> Shown<Confirm> {
    let sync = ui.sync(&name)?;
    let says = ["Its schedules start it again, from their next instants on."];
    let confirm = asking(&ui, &visitor, &sync, "Resume", &says).await?;
    Ok(Page(Confirm { action: format!("{}/resume", address(&name)), button: "Resume it", ..confirm }))
}

async fn resume(
    State(ui): State<Ui>,
    Path(name): Named,
    headers: HeaderMap,
    _form: Form,
) -> Result<Response, Fault> {
    ui.api.control.resume(&Subject::sync(name.clone()), None).await?;
    Ok(flash::back(&headers, &address(&name), Done::Resumed))
}

async fn ask_reset(State(ui): State<Ui>, Extension(visitor): Who, Path(name): Named) -> Shown<Confirm> {
    let sync = ui.sync(&name)?;
    let says = [
        "The position up to which everything was read is forgotten: the next run reads the whole source.",
        "What is known about the records stays, so nothing is created twice and what is equal is not written again. The run \
         takes as long as the first one took to read.",
    ];
    let confirm = asking(&ui, &visitor, &sync, "Reset the cursor of", &says).await?;
    Ok(Page(Confirm {
        action: format!("{}/reset", address(&name)),
        button: "Reset the cursor",
        grave: true,
        frame: Frame { title: "Reset the cursor".to_owned(), ..confirm.frame },
        ..confirm
    }))
}

async fn reset(
    State(ui): State<Ui>,
    Path(name): Named,
    headers: HeaderMap,
    _form: Form,
) -> Result<Response, Fault> {
    ui.sync(&name)?;
    cursors::forget(&ui.api, &name).await?;
    Ok(flash::back(&headers, &address(&name), Done::Reset))
}
