//! What the scheduler decides: which instants have come, and what is to run of them. Pure; times come in.
//!
//! The next instant of each schedule stands in a heap, so that nothing is walked over while nothing is due. Wall-clock time
//! is never trusted to go on: each decision is computed from how far the schedule was decided about and from what the
//! clock says now.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use syncline_core::{
    calendar::{self, Timing},
    precedence,
    project::Project,
    schedule::Schedule,
    sync::Sync,
};
use syncline_store::service::{Decision, NewOccurrence, ScheduleState, Subject, SubjectKind};

use super::{StartOptions, control::connections};

/// Most instants that one schedule catches up on at once.
const CATCH_UP_MAX: usize = 100;

/// The schedules of a project, and when each is to be decided about next.
pub struct Agenda {
    project: Arc<Project>,
    entries: Vec<Entry>,
    /// Next instant, and place in `entries`.
    next: BinaryHeap<Reverse<(Timestamp, usize)>>,
}

struct Entry {
    subject: Subject,
    /// Place among the subject's schedules.
    place: usize,
    label: String,
    timing: Timing,
    considered: Timestamp,
}

impl Agenda {
    /// The agenda of a project, from what was decided before; `succeeded` says of which syncs there is a success. The
    /// decisions are about schedules that were never seen before: they begin now, and a sync that never succeeded and runs
    /// at intervals is due at once, by the heaviest of its schedules.
    ///
    /// Schedules whose time cannot be read are left out; the project file was refused for them already.
    pub fn new(
        project: &Arc<Project>,
        states: &[ScheduleState],
        succeeded: impl Fn(&str) -> bool,
        correlation: &mut dyn FnMut() -> String,
        now: Timestamp,
    ) -> (Self, Vec<Decision>) {
        let states: BTreeMap<(&Subject, &str), Timestamp> = states
            .iter()
            .map(|state| ((&state.subject, state.schedule.as_str()), state.considered))
            .collect();
        let mut agenda = Self { project: Arc::clone(project), entries: Vec::new(), next: BinaryHeap::new() };
        let mut first = Vec::new();
        let syncs = project.syncs.iter().map(|sync| (Subject::sync(sync.name.clone()), &sync.schedules));
        let chains =
            project.chains.iter().map(|chain| (Subject::chain(chain.name.clone()), &chain.schedules));
        for (subject, schedules) in syncs.chain(chains) {
            let begin = agenda.entries.len();
            let mut unseen = Vec::new();
            for (place, schedule) in schedules.iter().enumerate().filter(|(_, schedule)| schedule.enabled) {
                let Ok(timing) = Timing::of(schedule) else { continue };
                let label = schedule.label();
                let known = states.get(&(&subject, label.as_str())).copied();
                if known.is_none() {
                    unseen.push(place);
                }
                let considered = known.unwrap_or(now);
                agenda.entries.push(Entry { subject: subject.clone(), place, label, timing, considered });
            }
            if unseen.is_empty() {
                continue;
            }
            let at_once = match project.sync(&subject.name).filter(|_| subject.kind == SubjectKind::Sync) {
                Some(sync) if !succeeded(&sync.name) => at_once(sync, &unseen, now),
                _ => None,
            };
            for at in begin..agenda.entries.len() {
                let entry = &agenda.entries[at];
                if unseen.contains(&entry.place) || at_once == Some(entry.place) {
                    let due = at_once == Some(entry.place);
                    first.extend(agenda.begin(at, due, correlation, now));
                }
            }
        }
        for (at, entry) in agenda.entries.iter().enumerate() {
            agenda.next.extend(entry.timing.after(entry.considered).map(|next| Reverse((next, at))));
        }
        (agenda, first)
    }

    /// Makes a schedule known. One that is due at once begins just before its last instant, so that several nodes that see
    /// it first agree.
    fn begin(
        &self,
        at: usize,
        due: bool,
        correlation: &mut dyn FnMut() -> String,
        now: Timestamp,
    ) -> Vec<Decision> {
        let entry = &self.entries[at];
        let decision = |considered, occurrences| Decision {
            subject: entry.subject.clone(),
            schedule: entry.label.clone(),
            considered,
            occurrences,
        };
        match entry.timing.until(now).filter(|_| due) {
            Some(last) => {
                let before = last.checked_sub(Duration::from_millis(1)).unwrap_or(last);
                let occurrence = self.occurrence(entry, last, correlation());
                vec![decision(before, Vec::new()), decision(last, vec![occurrence])]
            }
            None => vec![decision(now, Vec::new())],
        }
    }

    /// When something is to be decided next.
    pub fn next(&self) -> Option<Timestamp> {
        self.next.peek().map(|Reverse((next, _))| *next)
    }

    /// Decides about what has come by `now`, of at most `limit` subjects; nothing is left when the answer is empty. Of several schedules
    /// of a sync that are due the heaviest runs, and the others are satisfied by it.
    pub fn due(
        &mut self,
        now: Timestamp,
        limit: usize,
        correlation: &mut dyn FnMut() -> String,
    ) -> Vec<Decision> {
        let mut subjects: BTreeMap<Subject, Vec<(usize, Vec<Timestamp>)>> = BTreeMap::new();
        while let Some(Reverse((next, at))) = self.next.peek().copied() {
            let entry = &mut self.entries[at];
            if next > now || (subjects.len() >= limit && !subjects.contains_key(&entry.subject)) {
                break;
            }
            self.next.pop();
            let schedule = schedules(&self.project, &entry.subject).get(entry.place);
            let instants = schedule.map_or_else(Vec::new, |schedule| {
                entry.timing.due(entry.considered, now, schedule.misfire, CATCH_UP_MAX)
            });
            entry.considered = entry.timing.until(now).map_or(next, |last| last.max(entry.considered));
            self.next.extend(entry.timing.after(entry.considered).map(|next| Reverse((next, at))));
            subjects.entry(entry.subject.clone()).or_default().push((at, instants));
        }
        let mut decisions = Vec::new();
        for (subject, due) in subjects {
            let chosen = self.chosen(&subject, &due, now);
            for (at, instants) in due {
                let entry = &self.entries[at];
                let runs = chosen.is_none_or(|chosen| chosen == entry.place);
                let instants = instants.into_iter().filter(|_| runs);
                let occurrences =
                    instants.map(|instant| self.occurrence(entry, instant, correlation())).collect();
                decisions.push(Decision {
                    subject: subject.clone(),
                    schedule: entry.label.clone(),
                    considered: entry.considered,
                    occurrences,
                });
            }
        }
        decisions
    }

    /// Which schedule of a sync runs when several have come; `None`: each stands for itself.
    fn chosen(&self, subject: &Subject, due: &[(usize, Vec<Timestamp>)], now: Timestamp) -> Option<usize> {
        let sync = self.project.sync(&subject.name).filter(|_| subject.kind == SubjectKind::Sync)?;
        let come = due.iter().filter(|(_, instants)| !instants.is_empty());
        let places: Vec<usize> = come.map(|(at, _)| self.entries[*at].place).collect();
        precedence::choose(sync, &places, true, now).map(|choice| choice.run)
    }

    fn occurrence(&self, entry: &Entry, instant: Timestamp, correlation: String) -> NewOccurrence {
        let schedule = schedules(&self.project, &entry.subject).get(entry.place).unwrap_or(&Schedule::EMPTY);
        let late = calendar::offset(&entry.subject.name, &entry.label, calendar::spread(schedule));
        NewOccurrence {
            subject: entry.subject.clone(),
            schedule: Some(entry.label.clone()),
            instant,
            due_at: instant.checked_add(late).unwrap_or(instant),
            overlap: schedule.overlap,
            weight: self.weight(entry, schedule),
            retry: false,
            options: options(&entry.subject, schedule),
            connections: connections(&self.project, &entry.subject),
            requested_by: "schedule".to_owned(),
            idempotency_key: None,
            correlation,
        }
    }

    fn weight(&self, entry: &Entry, schedule: &Schedule) -> i32 {
        let sync = self.project.sync(&entry.subject.name).filter(|_| entry.subject.kind == SubjectKind::Sync);
        sync.map_or(0, |sync| precedence::weight(schedule, sync).number())
    }
}

/// Of a sync that never succeeded: the schedule that is due at once, where one of those that are new has an interval.
fn at_once(sync: &Sync, unseen: &[usize], now: Timestamp) -> Option<usize> {
    let every = |place: &&usize| sync.schedules.get(**place).is_some_and(|schedule| schedule.every.is_some());
    let due: Vec<usize> = unseen.iter().filter(every).copied().collect();
    let run = precedence::choose(sync, &due, false, now)?.run;
    // one that was seen before has been decided about up to now
    Some(if unseen.contains(&run) { run } else { *due.first()? })
}

pub(super) fn schedules<'p>(project: &'p Project, subject: &Subject) -> &'p [Schedule] {
    match subject.kind {
        SubjectKind::Sync => project.sync(&subject.name).map_or(&[], |sync| &sync.schedules),
        SubjectKind::Chain => project.chain(&subject.name).map_or(&[], |chain| &chain.schedules),
        SubjectKind::Backfill => &[],
    }
}

/// What is stored with an occurrence of a schedule.
pub(super) fn options(subject: &Subject, schedule: &Schedule) -> serde_json::Value {
    let options = match subject.kind {
        SubjectKind::Sync => StartOptions::of_schedule(schedule),
        SubjectKind::Chain | SubjectKind::Backfill => StartOptions::default(),
    };
    serde_json::to_value(options).unwrap_or_default()
}
