//! What a service says when it is ready.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::json;
use syncline_core::calendar::Timing;
use syncline_engine::service::Served;
use syncline_store::service::{ServiceStore, Subject};

use crate::{exit::Failure, output, show};

/// What is served, for whoever started it.
pub(crate) struct Summary {
    node: String,
    /// Of the API.
    url: Option<String>,
    syncs: usize,
    chains: usize,
    schedules: usize,
    next: Option<(Timestamp, Subject, String)>,
    broken: Option<String>,
    now: Timestamp,
}

impl Summary {
    pub(crate) async fn of(
        served: &Served,
        store: &dyn ServiceStore,
        now: Timestamp,
        node: &str,
        url: Option<String>,
    ) -> Result<Self, Failure> {
        let states = store.schedule_states().await?;
        let paused: BTreeSet<(&Subject, &str)> = states
            .iter()
            .filter(|s| s.paused_at.is_some())
            .map(|s| (&s.subject, s.schedule.as_str()))
            .collect();
        let project = &served.project;
        let of_syncs = project.syncs.iter().map(|sync| (Subject::sync(&sync.name), &sync.schedules));
        let of_chains = project.chains.iter().map(|chain| (Subject::chain(&chain.name), &chain.schedules));
        let (mut schedules, mut next) = (0, None);
        for (subject, of_subject) in of_syncs.chain(of_chains) {
            for schedule in of_subject.iter().filter(|schedule| schedule.enabled) {
                schedules += 1;
                let label = schedule.label();
                if paused.contains(&(&subject, label.as_str())) {
                    continue;
                }
                let first = Timing::of(schedule).ok().and_then(|timing| timing.after(now));
                next = next.into_iter().chain(first.map(|at| (at, subject.clone(), label))).min();
            }
        }
        Ok(Self {
            node: node.to_owned(),
            url,
            syncs: project.syncs.len(),
            chains: project.chains.len(),
            schedules,
            next,
            broken: served.broken.clone(),
            now,
        })
    }

    pub(crate) fn sentence(&self) -> String {
        let some = |n: usize, one, many| show::some(n as u64, one, many);
        format!(
            "serving {}, {} and {}",
            some(self.syncs, "sync", "syncs"),
            some(self.chains, "chain", "chains"),
            some(self.schedules, "schedule", "schedules")
        )
    }

    pub(crate) fn tell(&self, as_json: bool) {
        if as_json {
            output::json(&json!({
                "event": "ready",
                "node": self.node,
                "api": self.url,
                "syncs": self.syncs,
                "chains": self.chains,
                "schedules": self.schedules,
                "next": self.next.as_ref().map(|(at, subject, schedule)| {
                    json!({ "at": at, "kind": subject.kind, "name": subject.name, "schedule": schedule })
                }),
                "broken": self.broken,
            }));
            return;
        }
        output::line(format!("{} as {}", self.sentence(), self.node));
        match &self.url {
            Some(url) => {
                output::line(format!("the API is at {url}"));
                output::line(format!("open {url} to look at it"));
            }
            None => output::line("there is no API"),
        }
        match &self.next {
            Some((at, subject, schedule)) => output::line(format!(
                "next: {subject} ({schedule}) at {}, {}",
                show::time(*at),
                show::relative(*at, self.now)
            )),
            None => output::line("no schedule is due: runs start when they are asked for"),
        }
        if let Some(broken) = &self.broken {
            output::note(format!(
                "some stored definitions do not fit the project and are left out:\n{broken}"
            ));
        }
    }
}
