//! What a mapping makes of the first records of the source: asked for, and never kept.

use askama::Template;
use axum::{
    Extension, Router,
    extract::{Path, State},
    routing::get,
};
use syncline_core::plan::Fields;
use syncline_engine::sample::{Becomes, Sampled};

use super::{
    Page, Shown, Ui,
    layout::{Frame, Tab},
    needs, plans,
    session::Visitor,
    show::{Mark, shortened},
    sync::address,
};
use crate::auth::Scope;

/// Records of a sample.
const RECORDS: usize = 5;
/// Fields that are shown of a record.
const FIELDS: usize = 100;

pub(crate) fn routes() -> Router<Ui> {
    Router::new().route("/syncs/{sync}/samples", needs(Scope::Run, get(show)))
}

/// The page; its part is put into that of the sync.
#[derive(Template)]
#[template(path = "samples.html")]
struct SamplesPage {
    frame: Frame,
    records: Vec<Record>,
}

/// A record before and after.
struct Record {
    mark: Mark,
    /// The stream it goes to, or why it goes nowhere.
    about: String,
    source: Vec<(String, String)>,
    fields: Vec<(String, String)>,
}

fn record(sampled: &Sampled) -> Record {
    let (mark, about, fields) = match &sampled.becomes {
        Becomes::Written { stream, fields } => (Mark::ok("written"), format!("to {stream}"), listed(fields)),
        Becomes::LeftOut => (Mark::off("left out"), "by the filter".to_owned(), Vec::new()),
        Becomes::Parked { message } => (Mark::bad("parked"), message.clone(), Vec::new()),
    };
    Record { mark, about, source: listed(&sampled.source), fields }
}

fn listed(fields: &Fields) -> Vec<(String, String)> {
    let shown = fields.iter().take(FIELDS);
    shown.map(|(name, value)| (name.clone(), shortened(&plans::text(value)))).collect()
}

async fn show(
    State(ui): State<Ui>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
) -> Shown<SamplesPage> {
    ui.sync(&name)?;
    let frame = ui.frame(&visitor, Tab::Overview, "Samples").await?;
    let frame = frame.crumb("Overview", "/").crumb(name.clone(), address(&name));
    let _place = ui.api.look()?;
    let sampled = Box::pin(ui.api.control.sample(&name, RECORDS)).await?;
    Ok(Page(SamplesPage { frame, records: sampled.iter().map(record).collect() }))
}
