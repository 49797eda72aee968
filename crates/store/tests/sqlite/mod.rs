//! The store in a SQLite file.

mod faults;
mod file;
mod service_speed;
mod speed;
mod upgrade;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use syncline_store::{
    Lease, Store,
    conformance::{Place, service::ServicePlace},
    service::{LEASE, ServiceStore},
    sqlite::{self, Options, SqliteStore},
};
use tempfile::TempDir;

/// A folder of its own for a store, removed at the end.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("made on demand").join("store.db")
    }

    fn options(&self) -> Options {
        Options { busy_timeout: Duration::from_millis(50), ..Options::new(self.path()) }
    }

    pub(crate) async fn store(&self) -> SqliteStore {
        sqlite::open(self.options()).await.expect("the store opens")
    }
}

pub(crate) fn fresh() -> Folder {
    Folder(TempDir::new().expect("a folder for the test"))
}

#[async_trait]
impl Place for Folder {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.store().await)
    }
}

mod conformance {
    syncline_store::suite!(super::fresh);
}

/// The same folder, for several nodes: they wait for each other.
struct Served(Folder);

fn served() -> Served {
    Served(fresh())
}

#[async_trait]
impl ServicePlace for Served {
    async fn open(&self) -> Arc<dyn ServiceStore> {
        Arc::new(sqlite::open(Options::new(self.0.path())).await.expect("the store opens"))
    }

    async fn expire_leases(&self, now: Timestamp) -> Timestamp {
        now + LEASE
    }

    async fn bury(&self, lease: Lease) {
        // The operating system closes the files of a dead process, and nothing else.
        drop(lease);
    }
}

mod service {
    syncline_store::service_suite!(super::served);
}
