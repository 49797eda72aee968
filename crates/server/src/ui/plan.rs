//! What a run would do, before it does it: made on request, searched, downloaded, and run exactly as it was shown.

use std::sync::Arc;

use askama::Template;
use axum::{
    Extension, Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use syncline_core::plan::Planned;
use syncline_engine::{
    plan::Summary,
    service::{StartOptions, control::Plan},
};
use syncline_store::service::Subject;

use super::{
    Page, Shown, Ui,
    acts::modes,
    confirm::{Confirm, Field},
    fault::Fault,
    flash::{self, Done},
    form::{Asked, Form},
    layout::{Frame, Tab},
    needs,
    plans::{self, ACTIONS, Entry, State as Stage},
    session::Visitor,
    show::{Mark, When, count, part, shortened},
    sync::address,
};
use crate::{api::occurrences, auth::Scope};

/// Records of a page.
const ROWS: usize = 50;
/// Fields that are shown of a record; the download has all.
const FIELDS: usize = 40;

pub(crate) fn routes() -> Router<Ui> {
    Router::new()
        .route("/syncs/{sync}/plan", get(show))
        .route("/syncs/{sync}/plan/make", needs(Scope::Run, post(make)))
        .route("/syncs/{sync}/plan/run", needs(Scope::Run, get(ask_run).post(run)))
        .route("/syncs/{sync}/plan.csv", get(csv))
        .route("/syncs/{sync}/plan.json", get(json))
}

/// The page.
#[derive(Template)]
#[template(path = "plan.html")]
struct PlanPage {
    frame: Frame,
    name: String,
    at: String,
    modes: Vec<(String, String, bool)>,
    body: Body,
}

/// What there is to show.
enum Body {
    Nothing,
    Making { since: When },
    Failed { detail: String, hint: Option<String> },
    Made(Box<MadeShown>),
}

struct MadeShown {
    at: When,
    headline: String,
    mode: String,
    reason: Option<String>,
    notes: Vec<String>,
    /// Word of the action, its words, number, and whether it is chosen.
    actions: Vec<(&'static str, &'static str, String, bool)>,
    rows: Vec<Row>,
    text: String,
    place: String,
    previous: Option<String>,
    next: Option<String>,
    /// How many records are kept, where there are more.
    cut: Option<String>,
    may_run: bool,
}

struct Row {
    key: String,
    action: &'static str,
    stream: String,
    from: Option<String>,
    fields: Vec<Change>,
    more: usize,
    note: Option<String>,
}

/// A field that changes; nothing before it: it is new.
struct Change {
    field: String,
    old: String,
    new: String,
}

/// What is looked for in a plan.
struct Wanted<'a> {
    text: &'a str,
    action: Option<&'a str>,
    page: usize,
}

fn made(name: &str, entry: &Entry, made: &Plan, wanted: &Wanted<'_>, now: Timestamp) -> MadeShown {
    let found: Vec<&Planned> = plans::found(&made.records, wanted.text, wanted.action).collect();
    let pages = found.len().div_ceil(ROWS).max(1);
    let page = wanted.page.clamp(1, pages);
    let first = (page - 1) * ROWS;
    let rows: Vec<Row> = found.iter().skip(first).take(ROWS).map(|record| row(record)).collect();
    let (text, action) = (part(wanted.text), wanted.action.unwrap_or_default());
    let to = |page: usize| format!("{}/plan?action={action}&text={text}&page={page}", address(name));
    let number =
        |word: &str| made.records.iter().filter(|record| record.action.as_str() == word).count() as u64;
    let shown = ACTIONS.into_iter().map(|(action, words)| {
        let word = action.as_str();
        (word, words, total(&made.summary, word).unwrap_or_else(|| number(word)))
    });
    MadeShown {
        at: When::of(entry.at, now),
        headline: headline(&made.summary),
        mode: made.summary.mode.clone(),
        reason: made.summary.reason.clone(),
        notes: made.summary.notes.clone(),
        actions: shown
            .filter(|(_, _, n)| *n > 0)
            .map(|(word, words, n)| (word, words, count(n), Some(word) == wanted.action))
            .collect(),
        place: match rows.len() {
            0 => "no record".to_owned(),
            n => format!(
                "{} to {} of {}",
                count(first as u64 + 1),
                count((first + n) as u64),
                count(found.len() as u64)
            ),
        },
        rows,
        text: wanted.text.to_owned(),
        previous: (page > 1).then(|| to(page - 1)),
        next: (page < pages).then(|| to(page + 1)),
        cut: made.cut.then(|| count(made.records.len() as u64)),
        may_run: !made.summary.is_empty(),
    }
}

/// The total of an action.
fn total(summary: &Summary, word: &str) -> Option<u64> {
    Some(match word {
        "create" => summary.create,
        "adopt" => summary.adopt,
        "update" => summary.update,
        "move" => summary.moves,
        "delete" => summary.delete,
        "hold" => summary.hold,
        "park" => summary.park,
        "ambiguous" => summary.ambiguous,
        "stranger" => summary.strangers,
        _ => return None,
    })
}

fn headline(summary: &Summary) -> String {
    if summary.is_empty() {
        return format!("A run would change nothing: {} records agree.", count(summary.unchanged));
    }
    let parts = [
        (summary.create, "create"),
        (summary.adopt, "adopt"),
        (summary.update, "update"),
        (summary.moves, "move"),
        (summary.delete, "delete"),
        (summary.hold, "hold"),
        (summary.park, "park"),
    ];
    let parts: Vec<String> =
        parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, verb)| format!("{verb} {}", count(n))).collect();
    let said = if parts.is_empty() { "leave some records unpaired".to_owned() } else { parts.join(", ") };
    format!("A run would {said}; {} agree.", count(summary.unchanged))
}

fn row(record: &Planned) -> Row {
    let change = |change: &syncline_core::plan::FieldChange| Change {
        field: change.field.clone(),
        old: shortened(&plans::text(&change.old)),
        new: shortened(&plans::text(&change.new)),
    };
    Row {
        key: record.key.clone(),
        action: record.action.as_str(),
        stream: record.stream.clone(),
        from: record.from.clone(),
        fields: record.fields.iter().take(FIELDS).map(change).collect(),
        more: record.fields.len().saturating_sub(FIELDS),
        note: record.note.clone(),
    }
}

async fn show(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    asked: Asked,
) -> Shown<PlanPage> {
    let sync = ui.sync(&name)?;
    let frame = ui.frame(&visitor, Tab::Overview, "Plan").await?;
    let frame = frame.crumb("Overview", "/").crumb(name.clone(), address(&name));
    let now = ui.api.clock.now();
    let wanted = Wanted {
        text: asked.get("text").unwrap_or_default(),
        action: asked.get("action"),
        page: asked.get("page").and_then(|page| page.parse().ok()).unwrap_or(1),
    };
    let body = match ui.plans.get(&name, ui.api.clock.elapsed()) {
        None => Body::Nothing,
        Some(entry) => match &entry.state {
            Stage::Making => Body::Making { since: When::of(entry.at, now) },
            Stage::Failed(problem) => {
                Body::Failed { detail: problem.detail.clone(), hint: problem.hint.clone() }
            }
            Stage::Made(plan) => Body::Made(Box::new(made(&name, &entry, plan, &wanted, now))),
        },
    };
    let Field::Choice { options: modes, .. } = modes(&sync) else {
        return Err(Fault::internal("the modes are no choice"));
    };
    Ok(Page(PlanPage { frame, at: address(&name), name, modes, body }))
}

async fn make(
    State(ui): State<Ui>,
    Path(name): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Fault> {
    let sync = ui.sync(&name)?;
    let options = StartOptions { mode: form.get("mode").map(str::to_owned), ..StartOptions::default() };
    let subject = Subject::sync(name.clone());
    options.fit(&subject, Some(&sync)).map_err(Fault::bad)?;
    ui.begin_plan(&name, &options)?;
    Ok(flash::go(&headers, &format!("{}/plan", address(&name))))
}

/// The plan that is kept, if it was made.
fn kept(ui: &Ui, name: &str) -> Result<Arc<Entry>, Fault> {
    let entry = ui.plans.get(name, ui.api.clock.elapsed());
    entry.filter(|entry| matches!(entry.state, Stage::Made(_))).ok_or_else(|| {
        Fault::missing("plan of sync", name).hint("Plans are kept for an hour. Make a new one.")
    })
}

async fn ask_run(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
) -> Shown<Confirm> {
    let entry = kept(&ui, &name)?;
    let Stage::Made(made) = &entry.state else { return Err(Fault::missing("plan of sync", &name)) };
    let frame = ui.frame(&visitor, Tab::Overview, "Run this plan").await?;
    let back = format!("{}/plan", address(&name));
    Ok(Page(Confirm {
        frame: frame.crumb("Overview", "/").crumb(name.clone(), address(&name)).crumb("Plan", back.clone()),
        question: format!("Run exactly this plan of {name}?"),
        means: vec![
            headline(&made.summary),
            "The run plans once more before it writes anything. If that plan is another one, because the source or the \
             destination changed meanwhile, it writes nothing and says so."
                .to_owned(),
        ],
        action: format!("{back}/run"),
        hidden: vec![("digest", made.digest.clone())],
        fields: Vec::new(),
        button: "Run this plan",
        grave: made.summary.delete > 0,
        back,
    }))
}

async fn run(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, Fault> {
    let entry = kept(&ui, &name)?;
    let Stage::Made(made) = &entry.state else { return Err(Fault::missing("plan of sync", &name)) };
    if form.get("digest") != Some(&made.digest) {
        return Err(Fault::conflict("Another plan was made meanwhile.").hint("Look at it first."));
    }
    let options = StartOptions { plan_digest: Some(made.digest.clone()), ..entry.options.clone() };
    let enqueued =
        ui.api.control.start(&Subject::sync(name.clone()), &options, None, &visitor.caller.name).await?;
    occurrences::asked_for(&enqueued)?;
    Ok(flash::back(&headers, &address(&name), Done::Started))
}

async fn csv(State(ui): State<Ui>, Path(name): Path<String>) -> Result<Response, Fault> {
    let entry = kept(&ui, &name)?;
    let Stage::Made(made) = &entry.state else { return Err(Fault::missing("plan of sync", &name)) };
    Ok(file(plans::csv(&made.records), "text/csv; charset=utf-8", "plan.csv"))
}

async fn json(State(ui): State<Ui>, Path(name): Path<String>) -> Result<Response, Fault> {
    let entry = kept(&ui, &name)?;
    let Stage::Made(made) = &entry.state else { return Err(Fault::missing("plan of sync", &name)) };
    let all = serde_json::json!({
        "sync": name,
        "planned_at": entry.at,
        "digest": made.digest,
        "complete": !made.cut,
        "totals": made.summary,
        "records": made.records,
    });
    Ok(file(all.to_string(), "application/json", "plan.json"))
}

/// Something to be kept rather than shown.
fn file(content: String, kind: &'static str, name: &str) -> Response {
    let mut response = content.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}
