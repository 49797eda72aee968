//! What can be asked of a chain: run, resume, cancel; each with a page that asks first.

use axum::{
    Extension,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use syncline_engine::service::StartOptions;
use syncline_store::service::{ChainRun, Enqueued, Subject};

use super::super::{
    Page, Shown, Ui,
    confirm::Confirm,
    fault::Fault,
    flash::{self, Done},
    form::Form,
    layout::{Frame, Tab},
    session::Visitor,
    show::{part, some},
};
use crate::api::occurrences;

fn place(chain: &str) -> String {
    format!("/chains/{}", part(chain))
}

async fn frame(ui: &Ui, visitor: &Visitor, title: &str, chain: &str) -> Result<Frame, Fault> {
    let frame = ui.frame(visitor, Tab::Chains, title).await?;
    Ok(frame.crumb("Chains", "/chains").crumb(chain, place(chain)))
}

async fn run_of(ui: &Ui, id: &str) -> Result<ChainRun, Fault> {
    let number: Option<u64> = id.parse().ok().filter(|id| i64::try_from(*id).is_ok());
    let found = match number {
        Some(number) => ui.api.store.chain_run(number).await?,
        None => None,
    };
    found.ok_or_else(|| Fault::missing("run of a chain", id))
}

fn taken(enqueued: &Enqueued) -> Result<(), Fault> {
    match enqueued {
        Enqueued::New(_) | Enqueued::Existing(_) | Enqueued::KeyReused => Ok(()),
        Enqueued::Full => Err(Fault::conflict("Too many runs of it wait already.")),
    }
}

pub(super) async fn ask_run(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
) -> Shown<Confirm> {
    let served = ui.api.control.served();
    let Some(chain) = served.project.chain(&name) else { return Err(Fault::missing("chain", &name)) };
    Ok(Page(Confirm {
        frame: frame(&ui, &visitor, "Run", &name).await?,
        question: format!("Run {name} now?"),
        means: vec![format!(
            "{} in order, each when those it needs have succeeded.",
            some(chain.steps.len() as u64, "step is run", "steps are run")
        )],
        action: format!("{}/run", place(&name)),
        hidden: Vec::new(),
        fields: Vec::new(),
        button: "Run it",
        grave: false,
        back: place(&name),
    }))
}

pub(super) async fn run(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    headers: HeaderMap,
    _: Form,
) -> Result<Response, Fault> {
    let subject = Subject::chain(name.clone());
    let by = &visitor.caller.name;
    taken(&ui.api.control.start(&subject, &StartOptions::default(), None, by).await?)?;
    Ok(flash::back(&headers, &place(&name), Done::Started))
}

pub(super) async fn ask_resume(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Shown<Confirm> {
    let run = run_of(&ui, &id).await?;
    let steps = ui.api.control.resume_set(run.id).await?;
    if steps.is_empty() {
        return Err(Fault::conflict(format!("Nothing of run {id} is left to be done.")));
    }
    Ok(Page(Confirm {
        frame: frame(&ui, &visitor, "Resume", &run.chain).await?,
        question: format!("Resume run {} of {}?", run.id, run.chain),
        means: vec![
            format!(
                "{} begun again: {}.",
                some(steps.len() as u64, "step is", "steps are"),
                steps.join(", ")
            ),
            "What succeeded stays as it is. The same record of the run goes on.".to_owned(),
        ],
        action: format!("/chain-runs/{}/resume", run.id),
        hidden: Vec::new(),
        fields: Vec::new(),
        button: "Resume",
        grave: false,
        back: place(&run.chain),
    }))
}

pub(super) async fn resume(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    headers: HeaderMap,
    _: Form,
) -> Result<Response, Fault> {
    let run = run_of(&ui, &id).await?;
    taken(&ui.api.control.resume_chain(run.id, None, &visitor.caller.name).await?)?;
    Ok(flash::back(&headers, &place(&run.chain), Done::Started))
}

pub(super) async fn ask_cancel(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> Shown<Confirm> {
    let run = run_of(&ui, &id).await?;
    Ok(Page(Confirm {
        frame: frame(&ui, &visitor, "Cancel", &run.chain).await?,
        question: format!("Stop run {} of {}?", run.id, run.chain),
        means: vec![
            "Steps under way end after the batch in hand; the others are not begun.".to_owned(),
            "It can be resumed later.".to_owned(),
        ],
        action: format!("/chain-runs/{}/cancel", run.id),
        hidden: Vec::new(),
        fields: Vec::new(),
        button: "Stop it",
        grave: true,
        back: place(&run.chain),
    }))
}

pub(super) async fn cancel(
    State(ui): State<Ui>,
    Path(id): Path<String>,
    headers: HeaderMap,
    _: Form,
) -> Result<Response, Fault> {
    let run = run_of(&ui, &id).await?;
    let subject = Subject::chain(run.chain.clone());
    let carrying = occurrences::carrying(&ui.api, subject, run.id).await?;
    let occurrence = carrying.ok_or_else(|| Fault::conflict(format!("Run {id} is not under way.")))?;
    ui.api.control.cancel(occurrence).await?;
    Ok(flash::back(&headers, &place(&run.chain), Done::Cancelled))
}
