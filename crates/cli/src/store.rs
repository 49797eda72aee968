//! Where the store is, and opening it there: a SQLite file or a PostgreSQL database.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use syncline_core::project::StoreOptions;
use syncline_store::{
    backup::Archive,
    postgres::{self, PostgresStore},
    service::ServiceStore,
    sqlite::{self, SqliteStore},
};

use crate::exit::Failure;

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    File(PathBuf),
    /// The address has a password in it, perhaps.
    Address(String),
}

impl Place {
    /// What was written for it: an address, or a path relative to `directory`.
    pub(crate) fn of(written: &str, directory: &Path) -> Self {
        if postgres::is_address(written) {
            Self::Address(written.to_owned())
        } else {
            Self::File(directory.join(written))
        }
    }

    /// For messages.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Address(url) => postgres::shown(url),
        }
    }

    /// Whether there is a store.
    pub(crate) async fn exists(&self, options: &StoreOptions) -> Result<bool, Failure> {
        match self {
            Self::File(path) => Ok(path.exists()),
            Self::Address(url) => Ok(postgres::exists(&of_postgres(url, options)).await?),
        }
    }

    /// Opens the store, and makes it when it is not there.
    pub(crate) async fn open(&self, options: &StoreOptions) -> Result<Opened, Failure> {
        Ok(match self {
            Self::File(path) => {
                let (path, max_size, busy_timeout) = (path.clone(), options.max_size, options.busy_timeout);
                Opened::File(sqlite::open(sqlite::Options { path, max_size, busy_timeout }).await?)
            }
            Self::Address(url) => Opened::Address(Box::new(postgres::open(of_postgres(url, options)).await?)),
        })
    }
}

fn of_postgres(url: &str, options: &StoreOptions) -> postgres::Options {
    postgres::Options {
        tenant: options.tenant.clone(),
        holder: format!("process {}{}", std::process::id(), on_host()),
        lock_timeout: options.busy_timeout,
        ..postgres::Options::new(url)
    }
}

/// The machine's name, for the people of another machine; nothing depends on it.
fn on_host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { String::new() } else { format!(" on {}", name.trim()) }
}

/// An open store.
pub(crate) enum Opened {
    File(SqliteStore),
    Address(Box<PostgresStore>),
}

impl Opened {
    pub(crate) fn into_service(self) -> Arc<dyn ServiceStore> {
        match self {
            Self::File(store) => Arc::new(store),
            Self::Address(store) => Arc::new(*store),
        }
    }

    pub(crate) fn as_archive(&self) -> &dyn Archive {
        match self {
            Self::File(store) => store,
            Self::Address(store) => &**store,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_no_path_and_is_shown_without_its_login() {
        let place = Place::of("postgres://me:hunter2@db.example/sync", Path::new("project"));
        assert_eq!(place.shown(), "postgres://db.example:5432/sync");
        let place = Place::of(".syncline/store.db", Path::new("project"));
        assert_eq!(place, Place::File("project/.syncline/store.db".into()));
    }
}
