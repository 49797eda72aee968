//! The right to write for one sync: a locked file while the process lives, and an epoch for those who lost it.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction};
use syncline_core::{canonical, run::Status, value::hex};

use super::{codec, fault::Fault};
use crate::Lease;

/// Characters of a sync's name in the name of its lock file; the rest tells them apart.
const NAME_SHOWN: usize = 40;

/// What a leased write knows: which sync, by its number.
pub(super) struct Claimed {
    pub(super) sync: i64,
    pub(super) epoch: i64,
}

/// The folder of locks beside a store.
pub(super) fn folder(store: &Path) -> Result<PathBuf, Fault> {
    let mut folder = store.as_os_str().to_owned();
    folder.push(".locks");
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Locks the file of a sync. The operating system lets go of it when the process ends, however it ends, so a killed
/// run can be taken over at once.
///
/// The file is never removed: a process that opened it before could lock what is no longer there.
pub(super) fn lock(store: &Path, sync: &str) -> Result<File, Fault> {
    let path = folder(store)?.join(lock_name(sync));
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(Fault::Busy { sync: sync.to_owned(), holder: holder(&mut file) });
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

/// Readable, safe on every file system (no case, no separators), and different for different syncs.
fn lock_name(sync: &str) -> String {
    let shown: String = sync
        .chars()
        .take(NAME_SHOWN)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '_' })
        .collect();
    format!("{shown}-{}.lock", hex(&canonical::names_hash([sync])[..8]))
}

/// Whoever holds the file wrote its process id into it, a moment after taking it.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    // Without a readable file there is nobody to name; that it is locked is known all the same.
    let read = file.take(32).read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(process) if read.is_ok() => format!("process {process}"),
        _ => "process unknown".to_owned(),
    }
}

/// Raises the epoch and closes what a dead process left; returns the new epoch.
pub(super) fn claim(transaction: &Transaction<'_>, sync: &str, now: Timestamp) -> Result<u64, Fault> {
    let now = codec::time_text(now)?;
    let (number, epoch): (i64, i64) = transaction
        .prepare_cached(
            "INSERT INTO sync (name, epoch) VALUES (?1, 1)
             ON CONFLICT (name) DO UPDATE SET epoch = epoch + 1
             RETURNING number, epoch",
        )?
        .query_row([sync], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let closed = transaction
        .prepare_cached(
            "UPDATE run SET status = ?3, finished_at = ?2 WHERE sync = ?1 AND status IN ('queued', 'running')",
        )?
        .execute((number, now, Status::Interrupted.as_str()))?;
    if closed > 0 {
        tracing::info!(sync, runs = closed, "runs of a dead process are now interrupted");
    }
    u64::try_from(epoch).map_err(|_| Fault::Broken("an epoch below zero".to_owned()))
}

/// Refuses a lease that is no longer the newest. First in every leased transaction: one that writes has the write lock
/// already, so the answer stays true until it ends.
pub(super) fn check(connection: &Connection, lease: &Token) -> Result<Claimed, Fault> {
    let found = connection
        .prepare_cached("SELECT number, epoch FROM sync WHERE name = ?1")?
        .query_row([&lease.sync], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    let ours = codec::signed(lease.epoch)?;
    match found {
        Some((sync, epoch)) if epoch == ours => Ok(Claimed { sync, epoch }),
        // A store without the sync is a new store in the place of ours.
        other => Err(Fault::Stale {
            sync: lease.sync.clone(),
            ours: lease.epoch,
            found: other.and_then(|(_, epoch)| u64::try_from(epoch).ok()).unwrap_or(0),
        }),
    }
}

/// The part of a [`Lease`] that goes to another thread; the guard stays with its owner.
pub(super) struct Token {
    pub(super) sync: String,
    pub(super) epoch: u64,
}

impl From<&Lease> for Token {
    fn from(lease: &Lease) -> Self {
        Self { sync: lease.sync.clone(), epoch: lease.epoch }
    }
}

/// The number of a sync, if the store has heard of it.
pub(super) fn number(connection: &Connection, sync: &str) -> Result<Option<i64>, Fault> {
    let mut statement = connection.prepare_cached("SELECT number FROM sync WHERE name = ?1")?;
    Ok(statement.query_row([sync], |row| row.get(0)).optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_names_are_safe_and_differ() {
        let name = lock_name("Büro/Größe ../..");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{name}");
        assert!(!name.contains(".."));
        assert_ne!(lock_name("projects"), lock_name("Projects"));
        assert!(lock_name(&"x".repeat(5000)).len() < 100);
    }
}
