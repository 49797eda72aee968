//! The append-only request log and the totals, which outlive the entries.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::route::OpKind;

/// One request, or one part of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Rising by one.
    pub seq: u64,
    /// Simulated milliseconds since 1970.
    pub at_ms: i64,
    /// HTTP method.
    pub method: String,
    /// Decoded path and raw query.
    pub path: String,
    /// Status of the answer, even when the answer was lost; 0 when there was none.
    pub status: u16,
    /// Resource units charged.
    pub ru: u64,
    /// What the operation does.
    pub kind: OpKind,
    /// Its list.
    pub list: Option<Uuid>,
    /// Its item, also the one just created.
    pub item: Option<u64>,
    /// The fault that hit it.
    pub fault: Option<String>,
    /// Whether something was changed.
    pub applied: bool,
    /// `request-id` of the answer; the same for all parts of a batch.
    pub request_id: Uuid,
    /// Id of the part in its batch.
    pub part: Option<String>,
}

/// Totals since the start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// HTTP requests to Graph; a batch is one.
    pub requests: u64,
    /// Graph operations: single requests and parts of batches.
    pub operations: u64,
    /// Operations by kind.
    pub by_kind: BTreeMap<OpKind, u64>,
    /// Operations by status.
    pub by_status: BTreeMap<u16, u64>,
    /// Creates, updates and deletes of items that were applied.
    pub writes_applied: u64,
    /// Items created.
    pub created: u64,
    /// Items updated.
    pub updated: u64,
    /// Items deleted.
    pub deleted: u64,
    /// Operations answered with 429.
    pub throttled: u64,
    /// Operations hit by a fault.
    pub faults: u64,
    /// Token requests that were granted.
    pub tokens_issued: u64,
    /// On-behalf-of requests with a valid assertion, granted or not.
    #[serde(default)]
    pub obo_requests: u64,
    /// Requests by what they address: `registrations.list`, `attendance.report`, `token.on_behalf_of` and so on.
    /// Only virtual events and the token service are told apart here.
    #[serde(default)]
    pub by_route: BTreeMap<String, u64>,
    /// Resource units charged.
    pub ru: u64,
    /// Resource units by simulated minute (minutes since 1970), the last three days.
    pub ru_by_minute: BTreeMap<i64, u64>,
    /// Units per minute an app may use; absent without a limit.
    pub ru_limit_per_minute: Option<u64>,
    /// Units the first app used within the last minute and the last day.
    pub ru_last_minute: u64,
    /// Within the last day.
    pub ru_last_day: u64,
    /// Simulated milliseconds since 1970.
    pub now_ms: i64,
}

impl Counters {
    pub(crate) fn count_route(&mut self, name: &'static str) {
        match self.by_route.get_mut(name) {
            Some(count) => *count += 1,
            None => {
                self.by_route.insert(name.to_owned(), 1);
            }
        }
    }
}

/// A bounded ring of entries, totals, and an optional file.
#[derive(Debug)]
pub(crate) struct RequestLog {
    entries: VecDeque<LogEntry>,
    capacity: usize,
    next: u64,
    file: Option<BufWriter<File>>,
    pub(crate) totals: Counters,
}

impl RequestLog {
    pub(crate) fn new(capacity: usize, file: Option<&Path>) -> std::io::Result<Self> {
        let file = file.map(|path| OpenOptions::new().create(true).append(true).open(path)).transpose()?;
        Ok(Self {
            entries: VecDeque::new(),
            capacity: capacity.max(1),
            next: 1,
            file: file.map(BufWriter::new),
            totals: Counters::default(),
        })
    }

    pub(crate) fn push(&mut self, mut entry: LogEntry) {
        entry.seq = self.next;
        self.next += 1;
        self.count(&entry);
        if let Some(file) = &mut self.file {
            let written = serde_json::to_writer(&mut *file, &entry)
                .map_err(std::io::Error::from)
                .and_then(|()| file.write_all(b"\n"));
            if let Err(error) = written {
                tracing::warn!(%error, "the request log file cannot be written; it is closed");
                self.file = None;
            }
        }
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    fn count(&mut self, entry: &LogEntry) {
        let totals = &mut self.totals;
        if entry.part.is_none() && entry.kind != OpKind::Token {
            totals.requests += 1;
        }
        if !matches!(entry.kind, OpKind::Batch | OpKind::Token) {
            totals.operations += 1;
        }
        *totals.by_kind.entry(entry.kind).or_default() += 1;
        *totals.by_status.entry(entry.status).or_default() += 1;
        totals.throttled += u64::from(entry.status == 429);
        totals.faults += u64::from(entry.fault.is_some());
        totals.ru += entry.ru;
        if entry.applied && entry.kind.is_write() {
            totals.writes_applied += 1;
            match entry.kind {
                OpKind::Create => totals.created += 1,
                OpKind::Update => totals.updated += 1,
                _ => totals.deleted += 1,
            }
        }
    }

    /// Hands what was logged to the operating system, once per HTTP request.
    pub(crate) fn flush(&mut self) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.flush()
        {
            tracing::warn!(%error, "the request log file cannot be written");
        }
    }

    /// Entries after `seq`, at most `limit`.
    pub(crate) fn since(&self, seq: u64, limit: usize) -> Vec<LogEntry> {
        let skip = self.entries.partition_point(|entry| entry.seq <= seq);
        self.entries.iter().skip(skip).take(limit).cloned().collect()
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.next - 1
    }
}
