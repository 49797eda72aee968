//! Keeps the leases of this process: a thread with a connection of its own renews them, and gives back those that were
//! dropped.
//!
//! A thread, because a lease must be renewed while the process is busy, and given back when it ends: whoever drops a
//! lease, or the store, waits for that, a moment at most.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as blocking},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    Options,
    address::Address,
    codec,
    connection::{Single, set_up},
    fault::Fault,
};
use crate::Error;

/// Longest wait for a lease to be given back. One that was not is free when its time is over.
const GIVE_BACK_WAIT: Duration = Duration::from_secs(2);
/// Leases that wait to be given back, at most.
const ORDERS: usize = 4096;

/// The thread and what it knows.
pub(super) struct Keeper {
    known: Arc<Known>,
    orders: mpsc::Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// What is asked of the thread; each is answered when it is done.
enum Order {
    GiveBack(Held, blocking::SyncSender<()>),
    /// Gives everything back and ends.
    Stop,
}

/// One lease.
#[derive(Debug, Clone)]
struct Held {
    name: String,
    /// Number of the sync.
    sync: i32,
    epoch: u64,
}

/// The leases of this process, by name of the sync and epoch.
struct Known {
    leases: Mutex<Leases>,
    lasts: Duration,
}

type Leases = BTreeMap<(String, u64), Kept>;

/// What is known of a lease.
struct Kept {
    /// Number of the sync.
    sync: i32,
    /// When it was renewed last, by our clock; `None`: too late, it is lost.
    renewed: Option<Instant>,
}

impl Known {
    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks what was not renewed in time as lost, for good: whoever claimed it by now must not meet us again.
    fn expire(&self, now: Instant) {
        for ((sync, epoch), kept) in self.leases().iter_mut() {
            if kept.renewed.is_some_and(|renewed| now.duration_since(renewed) >= self.lasts) {
                tracing::warn!(
                    sync,
                    epoch,
                    "a lease could not be renewed in time: nothing more is written under it"
                );
                kept.renewed = None;
            }
        }
    }
}

/// The process's own clock: it has no leaps, and goes on while the process is stopped.
pub(super) fn monotonic() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "whether a lease may still be used is asked of this clock alone"
    )]
    Instant::now()
}

/// What keeps others out of a sync until it is dropped.
pub(super) struct Guard {
    held: Held,
    known: Arc<Known>,
    orders: mpsc::Sender<Order>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let forgotten = self.known.leases().remove(&(self.held.name.clone(), self.held.epoch));
        if forgotten.is_none() {
            return;
        }
        let (done, wait) = blocking::sync_channel(1);
        // A keeper that is gone gave everything back; one with too much to do lets the time run out.
        if self.orders.try_send(Order::GiveBack(self.held.clone(), done)).is_ok()
            && wait.recv_timeout(GIVE_BACK_WAIT) == Err(blocking::RecvTimeoutError::Timeout)
        {
            tracing::warn!(
                sync = self.held.name,
                "the lease was not given back; it is free when its time is over"
            );
        }
    }
}

impl Keeper {
    /// Starts the thread. It connects when there is something to do.
    pub(super) fn start(options: &Options, tenant: i32) -> Result<Self, Error> {
        let failed = |place: &str, message: String| Error::Database { place: place.to_owned(), message };
        let address = Address::of(&options.url).map_err(|why| failed("at this address", why))?;
        let place = address.place.clone();
        let known = Arc::new(Known { leases: Mutex::default(), lasts: options.lease });
        let (orders, received) = mpsc::channel(ORDERS);
        let mut renewer = Renewer {
            address,
            set_up: set_up(options),
            tenant,
            lease: options.lease,
            heartbeat: options.heartbeat,
            known: Arc::clone(&known),
            connection: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(&place, error.to_string()))?;
        let thread = std::thread::Builder::new()
            .name("syncline-leases".to_owned())
            .spawn(move || runtime.block_on(renewer.keep(received)))
            .map_err(|error| failed(&place, error.to_string()))?;
        Ok(Self { known, orders, thread: Some(thread) })
    }

    /// Keeps a lease from now on, counted from `since`, when it was asked for. Made before the claim is committed: dropped
    /// in between, it gives back what may have been claimed.
    pub(super) fn guard(&self, name: &str, sync: i32, epoch: u64, since: Instant) -> Guard {
        self.known.leases().insert((name.to_owned(), epoch), Kept { sync, renewed: Some(since) });
        let held = Held { name: name.to_owned(), sync, epoch };
        Guard { held, known: Arc::clone(&self.known), orders: self.orders.clone() }
    }

    /// Whether this process had the lease and could not renew it in time. Of a lease it does not keep it knows nothing.
    pub(super) fn lost(&self, sync: &str, epoch: u64) -> bool {
        self.known.expire(monotonic());
        self.known.leases().get(&(sync.to_owned(), epoch)).is_some_and(|kept| kept.renewed.is_none())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let asked = self.orders.try_send(Order::Stop).is_ok();
        if let Some(thread) = self.thread.take()
            && asked
            && thread.join().is_err()
        {
            tracing::warn!("the thread that keeps leases ended badly");
        }
    }
}

/// What runs on the thread.
struct Renewer {
    address: Address,
    set_up: String,
    tenant: i32,
    lease: Duration,
    heartbeat: Duration,
    known: Arc<Known>,
    connection: Option<Single>,
}

impl Renewer {
    async fn keep(&mut self, mut orders: mpsc::Receiver<Order>) {
        let mut beat = tokio::time::interval(self.heartbeat);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::GiveBack(held, done)) => {
                        self.give_back(&[held]).await;
                        // Nobody waits any more: done all the same.
                        done.try_send(()).ok();
                    }
                    Some(Order::Stop) | None => break,
                },
                _ = beat.tick() => self.renew().await,
            }
        }
        let left: Vec<_> = std::mem::take(&mut *self.known.leases())
            .into_iter()
            .map(|((name, epoch), kept)| Held { name, sync: kept.sync, epoch })
            .collect();
        self.give_back(&left).await;
    }

    /// Renews everything in one statement. What is no longer ours is left as it is, and its writes are refused by the epoch.
    async fn renew(&mut self) {
        let began = monotonic();
        self.known.expire(began);
        let (mut syncs, mut epochs, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for ((name, epoch), kept) in self.known.leases().iter() {
            if let (Some(_), Ok(number)) = (kept.renewed, codec::signed(*epoch)) {
                syncs.push(kept.sync);
                epochs.push(number);
                names.push((name.clone(), *epoch));
            }
        }
        if syncs.is_empty() {
            return;
        }
        let lasts = self.lease.as_millis() as f64;
        let sql = "UPDATE lease SET until = clock_timestamp() + $4 * interval '1 millisecond'
             FROM unnest($2::int[], $3::bigint[]) AS ours (sync, epoch)
             WHERE lease.tenant = $1 AND lease.sync = ours.sync AND lease.epoch = ours.epoch
             RETURNING lease.sync, lease.epoch";
        let tenant = self.tenant;
        match self.ask(sql, &[&tenant, &syncs, &epochs, &lasts]).await {
            Ok(rows) => {
                let renewed: Vec<(i32, i64)> = rows
                    .iter()
                    .filter_map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?)))
                    .collect();
                let mut leases = self.known.leases();
                for ((name, sync), epoch) in names.into_iter().zip(syncs).zip(epochs) {
                    if renewed.contains(&(sync, epoch))
                        && let Some(Kept { renewed: Some(last), .. }) = leases.get_mut(&name)
                    {
                        *last = began;
                    }
                }
            }
            Err(fault) => {
                let error = fault.at(&self.address.place);
                tracing::warn!(%error, "leases could not be renewed; the next try follows");
            }
        }
    }

    async fn give_back(&mut self, held: &[Held]) {
        if held.is_empty() {
            return;
        }
        let syncs: Vec<i32> = held.iter().map(|held| held.sync).collect();
        let epochs: Vec<i64> =
            held.iter().map(|held| codec::signed(held.epoch).unwrap_or_default()).collect();
        let sql = "DELETE FROM lease USING unnest($2::int[], $3::bigint[]) AS ours (sync, epoch)
             WHERE lease.tenant = $1 AND lease.sync = ours.sync AND lease.epoch = ours.epoch
             RETURNING lease.sync, lease.epoch";
        let tenant = self.tenant;
        match tokio::time::timeout(GIVE_BACK_WAIT, self.ask(sql, &[&tenant, &syncs, &epochs])).await {
            Ok(Ok(_)) => {}
            Ok(Err(fault)) => {
                let error = fault.at(&self.address.place);
                tracing::warn!(%error, "a lease was not given back; it is free when its time is over");
            }
            Err(_) => self.connection = None,
        }
    }

    /// Asks on the connection that there is; on a new one, once, where it is lost.
    async fn ask(
        &mut self,
        sql: &str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, Fault> {
        if self.connection.as_ref().is_some_and(|single| single.client.is_closed()) {
            self.connection = None;
        }
        let single = match &self.connection {
            Some(single) => single,
            None => self.connection.insert(Single::connect(&self.address, &self.set_up).await?),
        };
        let asked = single.client.query(sql, params).await;
        if asked.is_err() {
            // Whatever it was, the next try begins anew.
            self.connection = None;
        }
        Ok(asked?)
    }
}
