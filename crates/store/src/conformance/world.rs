//! What the cases have in common: a store, a lease, a run, and facts made from small numbers.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use syncline_core::{counts::Counts, identity::Identity, run::Status, sync::Mode, value::Value};

use super::Place;
use crate::{
    About, Checkpoint, Fields, Held, Intent, IntentKind, Lease, LedgerChange, LedgerRow, NewRun, Parked,
    RunEnd, RunId, Store,
};

/// The sync most cases work in.
pub(super) const SYNC: &str = "projects";

/// A store with a run under way.
pub(super) struct World {
    /// The store.
    pub(super) store: Arc<dyn Store>,
    /// The lease of [`SYNC`].
    pub(super) lease: Lease,
    /// The run under way.
    pub(super) run: RunId,
}

impl World {
    /// Opens the place's store and starts a run.
    pub(super) async fn of(place: &Arc<dyn Place>) -> Self {
        let store = place.open().await;
        let lease = store.claim(SYNC, at(0)).await.expect("a claim");
        let run = store.start_run(&lease, new_run(0)).await.expect("a run");
        Self { store, lease, run }
    }

    /// Records ledger rows.
    pub(super) async fn put(&self, rows: impl IntoIterator<Item = LedgerRow>) {
        self.checkpoint(Checkpoint {
            ledger: rows.into_iter().map(LedgerChange::Put).collect(),
            ..Checkpoint::default()
        })
        .await;
    }

    /// Records a checkpoint.
    pub(super) async fn checkpoint(&self, checkpoint: Checkpoint) {
        self.store.checkpoint(&self.lease, self.run, checkpoint).await.expect("a checkpoint");
    }
}

/// A moment: so many seconds after an arbitrary one.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + seconds).expect("a time of our era")
}

pub(super) fn days(days: i64) -> Timestamp {
    at(0).checked_add(SignedDuration::from_hours(24 * days)).expect("a time of our era")
}

pub(super) fn new_run(seconds: i64) -> NewRun {
    NewRun { mode: Mode::Full, reason: None, about: About::default(), at: at(seconds) }
}

pub(super) fn end(status: Status, seconds: i64) -> RunEnd {
    RunEnd {
        status,
        counts: Counts::default(),
        by_stream: BTreeMap::new(),
        error: None,
        notes: Vec::new(),
        at: at(seconds),
    }
}

/// The key of record `n`.
pub(super) fn key(n: u64) -> Vec<Value<'static>> {
    vec![Value::Text(format!("PRJ-{n}").into())]
}

/// The identity of record `n`.
pub(super) fn id(n: u64) -> Identity {
    Identity::of(&key(n), false).expect("a key without nulls")
}

pub(super) fn fields(title: &str) -> Fields {
    Fields::from([("Title".to_owned(), title.into()), ("Amount".to_owned(), 0.1.into())])
}

/// The ledger row of record `n`, in stream `active`.
pub(super) fn row(n: u64) -> LedgerRow {
    LedgerRow {
        identity: id(n),
        stream: "site/active".to_owned(),
        record_id: n.to_string(),
        version: Some(format!("\"etag-{n},1\"")),
        hash: Some(hash(n)),
        gone: false,
        key: key(n),
        fields: fields(&format!("PRJ-{n}")),
    }
}

/// A hash that stands for the values of record `n`.
pub(super) fn hash(n: u64) -> [u8; 32] {
    let mut hash = [7; 32];
    hash[..8].copy_from_slice(&n.to_le_bytes());
    hash
}

pub(super) fn create(n: u64) -> Intent {
    let row = LedgerRow { record_id: String::new(), version: None, ..row(n) };
    Intent { kind: IntentKind::Create, row, from: None, created: false }
}

pub(super) fn park(n: u64, first: i64, retry: i64) -> Parked {
    Parked {
        sync: SYNC.to_owned(),
        identity: id(n),
        key: Some(key(n)),
        label: format!("PRJ-{n}"),
        kind: Some(IntentKind::Create),
        code: "rejected".to_owned(),
        message: "the title is too long".to_owned(),
        attempts: 1,
        first_at: at(first),
        last_at: at(first),
        retry_at: at(retry),
        run: 1,
    }
}

pub(super) fn hold(n: u64) -> Held {
    Held {
        sync: SYNC.to_owned(),
        identity: id(n),
        label: format!("PRJ-{n}"),
        stream: "site/active".to_owned(),
        record_id: n.to_string(),
        reason: "60 of 100 records would go".to_owned(),
        since: at(1),
        run: 1,
    }
}
