//! Faults: which operation they hit, when, and what happens to it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::chance::Chance;
use crate::route::OpKind;

/// Rules that can be set at a time.
const RULES_MAX: usize = 1_000;

/// A fault and the operations it hits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct FaultRule {
    /// Which operations are looked at; all when absent.
    #[serde(default, rename = "match")]
    pub matches: FaultMatch,
    /// Which of those are hit; all when absent.
    #[serde(default)]
    pub when: FaultWhen,
    /// What happens to them.
    pub what: Fault,
}

/// The operations a rule looks at. Every given part must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct FaultMatch {
    /// HTTP method.
    pub method: Option<String>,
    /// A part of the decoded path with query.
    pub path: Option<String>,
    /// Kind of operation.
    pub kind: Option<OpKind>,
    /// Creates, updates and deletes of items.
    pub writes: Option<bool>,
    /// Title or id of the list.
    pub list: Option<String>,
    /// Only parts of a batch (true), only requests of their own (false).
    pub part: Option<bool>,
}

/// Which of the matching operations are hit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct FaultWhen {
    /// Skip this many matches first.
    pub after: u64,
    /// Then hit at most this many; without end when absent.
    pub count: Option<u64>,
    /// Hit each with this probability, by the seeded generator; always when absent.
    pub probability: Option<f64>,
}

impl FaultWhen {
    /// The next `count` matching operations.
    pub fn next(count: u64) -> Self {
        Self { count: Some(count), ..Self::default() }
    }

    /// Each matching operation with a probability.
    pub fn sometimes(probability: f64) -> Self {
        Self { probability: Some(probability), ..Self::default() }
    }
}

/// Whether the operation was applied when the fault shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Applied {
    /// Nothing was done.
    #[default]
    Before,
    /// The operation was done and its answer lost.
    After,
}

/// What happens to an operation that is hit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "snake_case")]
pub enum Fault {
    /// The answer comes later, in real milliseconds.
    Latency {
        /// Milliseconds.
        ms: u64,
    },
    /// 429, nothing done.
    Throttle {
        /// `Retry-After`: `"12"`, `"2.128"`, or `"date:30"` for an HTTP date that many seconds ahead. Absent: no header.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// 503, nothing done.
    Unavailable {
        /// As in `throttle`.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// Another status: 500, 502, 504, 507…
    Status {
        /// The status.
        status: u16,
        /// Whether the operation was done.
        #[serde(default)]
        applied: Applied,
    },
    /// The connection is reset, nothing done.
    ResetBeforeApply,
    /// The operation is done, then the connection is reset.
    ResetAfterApply,
    /// The operation is done, the answer ends early and the connection closes.
    TruncatedBody,
    /// The answer is lost now (reset, or 504 in a batch), and the operation is done later.
    LateApply {
        /// Simulated milliseconds.
        delay_ms: u64,
    },
    /// The operation is done twice.
    DuplicatedDelivery {
        /// The answer of the second delivery is sent, not that of the first.
        #[serde(default)]
        second_answer: bool,
    },
    /// On a batch: some parts fail, nothing done for them.
    PartialBatch {
        /// Their status.
        status: u16,
        /// Probability of each part.
        share: f64,
    },
    /// The token of the request stops working: 401.
    ExpiredToken,
    /// 403.
    Forbidden,
    /// 404 for the site.
    SiteMissing,
    /// 404 for the list.
    ListMissing,
    /// Another user edits the item just before an update or delete.
    EtagRace {
        /// Fields that user writes; only the version rises when empty.
        #[serde(default)]
        fields: Map<String, Value>,
    },
    /// A delta page shows its first deletion as an error object (facts §2.9 \[O\]).
    BrokenDeletion,
}

impl Fault {
    /// The name under which the log shows it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Latency { .. } => "latency",
            Self::Throttle { .. } => "throttle",
            Self::Unavailable { .. } => "unavailable",
            Self::Status { .. } => "status",
            Self::ResetBeforeApply => "reset_before_apply",
            Self::ResetAfterApply => "reset_after_apply",
            Self::TruncatedBody => "truncated_body",
            Self::LateApply { .. } => "late_apply",
            Self::DuplicatedDelivery { .. } => "duplicated_delivery",
            Self::PartialBatch { .. } => "partial_batch",
            Self::ExpiredToken => "expired_token",
            Self::Forbidden => "forbidden",
            Self::SiteMissing => "site_missing",
            Self::ListMissing => "list_missing",
            Self::EtagRace { .. } => "etag_race",
            Self::BrokenDeletion => "broken_deletion",
        }
    }

    /// Whether the fault can happen to such an operation at all.
    fn suits(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::EtagRace { .. } => matches!(subject.kind, OpKind::Update | OpKind::Delete),
            Self::BrokenDeletion => subject.kind == OpKind::Delta,
            Self::PartialBatch { .. } => subject.kind == OpKind::Batch,
            Self::SiteMissing | Self::ListMissing => !matches!(subject.kind, OpKind::Batch | OpKind::Token),
            Self::LateApply { .. } | Self::DuplicatedDelivery { .. } => subject.kind != OpKind::Token,
            _ => true,
        }
    }
}

/// An operation as rules see it.
pub(crate) struct Subject<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) kind: OpKind,
    /// Id and title of its list.
    pub(crate) list: Option<(String, &'a str)>,
    pub(crate) in_batch: bool,
}

impl FaultMatch {
    fn holds(&self, subject: &Subject<'_>) -> bool {
        let same_list = |wanted: &String| {
            subject.list.as_ref().is_some_and(|(id, title)| {
                id.eq_ignore_ascii_case(wanted) || title.eq_ignore_ascii_case(wanted)
            })
        };
        self.kind.is_none_or(|kind| kind == subject.kind)
            && self.writes.is_none_or(|writes| writes == subject.kind.is_write())
            && self.part.is_none_or(|part| part == subject.in_batch)
            && self.method.as_ref().is_none_or(|method| method.eq_ignore_ascii_case(subject.method))
            && self.path.as_ref().is_none_or(|path| subject.path.contains(path.as_str()))
            && self.list.as_ref().is_none_or(same_list)
    }
}

#[derive(Debug)]
struct ActiveRule {
    id: u64,
    rule: FaultRule,
    seen: u64,
    hits: u64,
}

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<ActiveRule>,
    next_id: u64,
}

impl Faults {
    /// Adds a rule and returns its id; `None` when there are too many.
    pub(crate) fn add(&mut self, rule: FaultRule) -> Option<u64> {
        if self.rules.len() >= RULES_MAX {
            return None;
        }
        self.next_id += 1;
        self.rules.push(ActiveRule { id: self.next_id, rule, seen: 0, hits: 0 });
        Some(self.next_id)
    }

    pub(crate) fn remove(&mut self, id: Option<u64>) {
        self.rules.retain(|active| id.is_some_and(|id| active.id != id));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Rules with their ids and how often each has hit.
    pub(crate) fn report(&self) -> Vec<(u64, FaultRule, u64)> {
        self.rules.iter().map(|active| (active.id, active.rule.clone(), active.hits)).collect()
    }

    /// The faults that hit this operation: any latencies, and the first other one.
    pub(crate) fn strike(&mut self, subject: &Subject<'_>, chance: &mut Chance) -> Strike {
        let mut strike = Strike::default();
        for active in &mut self.rules {
            let latency = matches!(active.rule.what, Fault::Latency { .. });
            if (strike.fault.is_some() && !latency)
                || !active.rule.matches.holds(subject)
                || !active.rule.what.suits(subject)
            {
                continue;
            }
            active.seen += 1;
            let when = &active.rule.when;
            let due = active.seen > when.after && when.count.is_none_or(|count| active.hits < count);
            if !due || !when.probability.is_none_or(|p| chance.happens(p)) {
                continue;
            }
            active.hits += 1;
            match &active.rule.what {
                Fault::Latency { ms } => strike.latency_ms += ms,
                fault => strike.fault = Some(fault.clone()),
            }
        }
        strike
    }
}

/// What hits one operation.
#[derive(Debug, Default, Clone)]
pub(crate) struct Strike {
    pub(crate) latency_ms: u64,
    pub(crate) fault: Option<Fault>,
}
