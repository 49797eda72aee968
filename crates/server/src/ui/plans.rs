//! Plans that were made for people, in the memory of this process: made in the background, bounded in number, size and age.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use syncline_core::plan::{Planned, PlannedAction};
use syncline_engine::service::{StartOptions, control::Plan};
use tokio::task::JoinSet;

use super::{Ui, fault::Fault};
use crate::api::problem::Problem;

/// Plans that are kept; the oldest goes.
const KEPT_MAX: usize = 20;
/// How long one is kept.
const LIFE: Duration = Duration::from_secs(60 * 60);
/// Bytes of the texts of a plan that are kept.
const BYTES_MAX: usize = 32 << 20;

/// The plans, by sync: one for each, the newest.
#[derive(Default)]
pub(crate) struct Plans {
    known: Mutex<BTreeMap<String, Arc<Entry>>>,
    /// Those that are being made; they end with the service.
    running: Mutex<JoinSet<()>>,
}

/// A plan of a sync.
pub(crate) struct Entry {
    /// What was asked for.
    pub(crate) options: StartOptions,
    /// When, by the wall and by the clock that only runs forward.
    pub(crate) at: Timestamp,
    began: Duration,
    pub(crate) state: State,
}

/// How far it is.
pub(crate) enum State {
    Making,
    Made(Plan),
    Failed(Problem),
}

impl Plans {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Entry>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plan of a sync.
    pub(crate) fn get(&self, sync: &str, now: Duration) -> Option<Arc<Entry>> {
        let entry = self.lock().get(sync).cloned()?;
        (now.saturating_sub(entry.began) < LIFE).then_some(entry)
    }

    /// Notes one that is about to be made. `false`: one is under way.
    fn begin(&self, sync: &str, entry: Entry) -> bool {
        let mut known = self.lock();
        if known.get(sync).is_some_and(|entry| matches!(entry.state, State::Making)) {
            return false;
        }
        let now = entry.began;
        known.retain(|_, entry| {
            matches!(entry.state, State::Making) || now.saturating_sub(entry.began) < LIFE
        });
        let made = known.iter().filter(|(_, entry)| !matches!(entry.state, State::Making));
        let oldest = made.min_by_key(|(_, entry)| entry.began).map(|(name, _)| name.clone());
        if known.len() >= KEPT_MAX
            && let Some(oldest) = oldest
        {
            known.remove(&oldest);
        }
        known.insert(sync.to_owned(), Arc::new(entry));
        true
    }
}

impl Ui {
    /// Begins to make a plan of a sync.
    ///
    /// # Errors
    /// One is being made, or too many are.
    pub(crate) fn begin_plan(&self, sync: &str, options: &StartOptions) -> Result<(), Fault> {
        let place = self.api.look()?;
        let (at, began) = (self.api.clock.now(), self.api.clock.elapsed());
        let entry = |state| Entry { options: options.clone(), at, began, state };
        if !self.plans.begin(sync, entry(State::Making)) {
            return Err(Fault::conflict("A plan of this sync is being made."));
        }
        let (ui, name, wanted) = (self.clone(), sync.to_owned(), options.clone());
        let work = async move {
            let _place = place;
            let ended = Box::pin(ui.api.control.plan_whole(&name, &wanted)).await;
            let state = match ended {
                Ok(plan) => State::Made(bounded(plan)),
                Err(refused) => State::Failed(refused.into()),
            };
            let entry = Entry { options: wanted, at, began, state };
            ui.plans.lock().insert(name, Arc::new(entry));
        };
        let mut running = self.plans.running.lock().unwrap_or_else(PoisonError::into_inner);
        while running.try_join_next().is_some() {}
        running.spawn(work);
        Ok(())
    }
}

/// A plan without the records that would take too much memory.
fn bounded(mut plan: Plan) -> Plan {
    let mut bytes = 0;
    let size = |record: &Planned| {
        let fields =
            record.fields.iter().map(|f| f.field.len() + text(&f.old).len() + text(&f.new).len() + 64);
        fields.sum::<usize>() + record.key.len() + 128
    };
    let fits = plan.records.iter().take_while(|record| {
        bytes += size(record);
        bytes <= BYTES_MAX
    });
    let fits = fits.count();
    plan.cut |= fits < plan.records.len();
    plan.records.truncate(fits);
    plan
}

/// Records whose key contains `text`, and what is to be done is `action`.
pub(crate) fn found<'a>(
    records: &'a [Planned],
    text: &str,
    action: Option<&'a str>,
) -> impl Iterator<Item = &'a Planned> + use<'a> {
    let text = text.to_lowercase();
    records.iter().filter(move |record| {
        action.is_none_or(|action| record.action.as_str() == action)
            && (text.is_empty() || record.key.to_lowercase().contains(&text))
    })
}

/// A plan as CSV: a line per record, or per field where fields change. What a spreadsheet would take for a formula begins
/// with an apostrophe.
pub(crate) fn csv(records: &[Planned]) -> String {
    let mut out = String::from("key,action,stream,from,field,old,new,note\r\n");
    let mut line = |values: [&str; 8]| {
        let cells: Vec<String> = values.into_iter().map(cell).collect();
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    };
    for record in records {
        let Planned { key, stream, from, note, .. } = record;
        let (action, from, note) =
            (record.action.as_str(), from.as_deref().unwrap_or(""), note.as_deref().unwrap_or(""));
        if record.fields.is_empty() {
            line([key, action, stream, from, "", "", "", note]);
        }
        for change in &record.fields {
            line([key, action, stream, from, &change.field, &text(&change.old), &text(&change.new), note]);
        }
    }
    out
}

/// A value as it is read: texts without quotes, null as nothing.
pub(crate) fn text(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn cell(value: &str) -> String {
    let formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']) && value.parse::<f64>().is_err();
    let guard = if formula { "'" } else { "" };
    if formula || value.contains([',', '"', '\n', '\r']) {
        format!("\"{guard}{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

/// The order in which actions are listed, each with its word for people.
pub(crate) const ACTIONS: [(PlannedAction, &str); 9] = [
    (PlannedAction::Create, "created"),
    (PlannedAction::Adopt, "adopted"),
    (PlannedAction::Update, "updated"),
    (PlannedAction::Move, "moved"),
    (PlannedAction::Delete, "deleted"),
    (PlannedAction::Hold, "held for approval"),
    (PlannedAction::Park, "parked"),
    (PlannedAction::Ambiguous, "not paired for certain"),
    (PlannedAction::Stranger, "strangers, left alone"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;
    use syncline_core::plan::FieldChange;

    use super::*;

    #[test]
    fn csv_keeps_what_is_in_it() {
        let change = |field: &str, old, new| FieldChange { field: field.into(), old, new };
        let records = [
            Planned {
                key: "P,1".into(),
                action: PlannedAction::Update,
                stream: "Active".into(),
                from: None,
                fields: vec![
                    change("Budget", json!(1.5), json!(-2)),
                    change("Title", json!(null), json!("=cmd|\"x\"")),
                ],
                note: None,
            },
            Planned {
                key: "P2".into(),
                action: PlannedAction::Move,
                stream: "Closed".into(),
                from: Some("Active".into()),
                fields: Vec::new(),
                note: Some("a\nb".into()),
            },
        ];
        assert_eq!(
            csv(&records),
            "key,action,stream,from,field,old,new,note\r\n\"P,1\",update,Active,,Budget,1.5,-2,\r\n\
             \"P,1\",update,Active,,Title,,\"'=cmd|\"\"x\"\"\",\r\nP2,move,Closed,Active,,,,\"a\nb\"\r\n"
        );
    }
}
