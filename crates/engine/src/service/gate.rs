//! How many runs of this process are under way, of all and by connection; and whose turn it is at a partition.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use syncline_store::service::Limits;
use tokio::sync::{Notify, OwnedMutexGuard};

/// Counts runs. Those that the store's claims let in are only counted; those that somebody waits for wait here for room.
#[derive(Debug, Default)]
pub(super) struct Gate {
    inside: Mutex<Inside>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Inside {
    total: usize,
    connections: BTreeMap<String, usize>,
}

impl Inside {
    /// Whether one more run that uses `connections` fits. `parallel`: most runs at once.
    fn has_room(&self, connections: &[String], parallel: usize, limits: &Limits) -> bool {
        let most = limits.total.unwrap_or(usize::MAX).min(parallel);
        let free = |name: &String| {
            let used = self.connections.get(name).copied().unwrap_or_default();
            limits.connections.get(name).is_none_or(|limit| used < *limit)
        };
        self.total < most && connections.iter().all(free)
    }
}

/// The place of a run; dropping it makes room.
#[derive(Debug)]
pub(super) struct Place {
    gate: Arc<Gate>,
    connections: Vec<String>,
}

impl Gate {
    /// Takes a place, whether there is room or not. A connection that is named twice is used once.
    pub(super) fn enter(self: &Arc<Self>, connections: Vec<String>) -> Place {
        self.take(&mut self.lock(), connections)
    }

    /// Waits until there is room. It has no end of its own: whoever cannot wait drops the future.
    pub(super) async fn wait(
        self: &Arc<Self>,
        connections: Vec<String>,
        parallel: usize,
        limits: &Limits,
    ) -> Place {
        loop {
            let left = self.left.notified();
            {
                let mut inside = self.lock();
                if inside.has_room(&connections, parallel, limits) {
                    return self.take(&mut inside, connections);
                }
            }
            left.await;
        }
    }

    fn take(self: &Arc<Self>, inside: &mut Inside, mut connections: Vec<String>) -> Place {
        connections.sort_unstable();
        connections.dedup();
        inside.total += 1;
        for name in &connections {
            *inside.connections.entry(name.clone()).or_default() += 1;
        }
        Place { gate: Arc::clone(self), connections }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.gate.lock();
        inside.total -= 1;
        for name in &self.connections {
            if let Some(used) = inside.connections.get_mut(name) {
                *used -= 1;
            }
        }
        inside.connections.retain(|_, used| *used > 0);
        drop(inside);
        self.gate.left.notify_waiters();
    }
}

/// Runs of one partition follow each other, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>);

/// A turn; dropping it lets the next one begin.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    name: String,
    /// Taken out only when the turn is dropped.
    mutex: Option<Arc<tokio::sync::Mutex<()>>>,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for the turn of whoever asks under this name.
    pub(super) async fn take(self: &Arc<Self>, name: &str) -> Turn {
        let mutex = Arc::clone(self.lock().entry(name.to_owned()).or_default());
        // made before the wait: a wait that is dropped cleans up, too
        let mut turn = Turn {
            turns: Arc::clone(self),
            name: name.to_owned(),
            mutex: Some(Arc::clone(&mutex)),
            held: None,
        };
        turn.held = Some(mutex.lock_owned().await);
        turn
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<tokio::sync::Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.held = None;
        let mut turns = self.turns.lock();
        self.mutex = None;
        // nobody else waits: the map's own is the last
        if turns.get(&self.name).is_some_and(|mutex| Arc::strong_count(mutex) == 1) {
            turns.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn runs_wait_for_room_of_all_and_of_their_connections() {
        let gate = Arc::new(Gate::default());
        let limits = Limits { total: None, connections: [("crm".to_owned(), 1)].into() };
        let waits = |connections: &[&str], parallel| {
            let (gate, limits, connections) = (Arc::clone(&gate), limits.clone(), names(connections));
            async move {
                let wait = gate.wait(connections, parallel, &limits);
                tokio::time::timeout(Duration::from_secs(1), wait).await.ok()
            }
        };
        let one = waits(&["crm", "dwh"], 2).await.expect("room");
        assert!(waits(&["crm"], 9).await.is_none(), "the connection is full");
        let two = waits(&["dwh", "dwh"], 2).await.expect("dwh has no limit");
        assert!(waits(&["dwh"], 2).await.is_none(), "all are full");
        let scheduled = gate.enter(names(&["crm"]));
        let waiting = waits(&["crm"], 9);
        let leaves = async { drop((one, two, scheduled)) };
        let (place, ()) = tokio::join!(waiting, leaves);
        drop(place.expect("there is room when all have left"));
        assert_eq!(gate.lock().total, 0);
        assert!(gate.lock().connections.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn turns_of_a_name_follow_each_other_and_leave_nothing() {
        let turns = Arc::new(Turns::default());
        let first = turns.take("a").await;
        let other = turns.take("b").await;
        let waiting = tokio::time::timeout(Duration::from_secs(1), turns.take("a")).await;
        assert!(waiting.is_err(), "it is another's turn");
        drop(first);
        let second = turns.take("a").await;
        drop((second, other));
        assert!(turns.lock().is_empty());
    }
}
