//! The lock that says "I load this table": a locked file beside the database. Readers and other writers of the database are
//! not kept waiting while rows are staged.

use std::{
    fs::{File, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};
use syncline_core::value::hex;

use super::client;
use crate::{Error, error::Kind};

/// Characters of a table's name in the name of its lock file; the rest tells them apart.
const NAME_SHOWN: usize = 40;

/// The first wait between two tries, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// Locks the file of a table; waits at most `timeout`. The operating system lets go of it when the process ends, however it
/// ends.
///
/// The file is never removed: a process that opened it before could lock what is no longer there.
///
/// # Errors
/// [`Kind::Locked`], naming the process that holds it.
pub(super) async fn take(database: &Path, table: &str, timeout: Duration) -> Result<File, Error> {
    wait(database, table, timeout, false).await
}

/// Files for parts of one table, at most: they stay. Parts that share one wait for each other.
const PLACES: u64 = 256;

/// The name to lock for a part of a table.
pub(super) fn place(table: &str, part: &str) -> String {
    let digest = Sha256::digest(part.as_bytes());
    let number = digest.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes)) % PLACES;
    format!("{table} part {number}")
}

/// As [`take`], beside others who share it.
pub(super) async fn share(database: &Path, table: &str, timeout: Duration) -> Result<File, Error> {
    wait(database, table, timeout, true).await
}

async fn wait(database: &Path, table: &str, timeout: Duration, shared: bool) -> Result<File, Error> {
    let (mut wait, mut left) = (WAITS.0, timeout);
    loop {
        let (database, name) = (database.to_owned(), table.to_owned());
        match client::blocking(move || Ok(attempt(&database, &name, shared))).await? {
            Ok(Ok(file)) => return Ok(file),
            Err(error) => return Err(of(&error)),
            Ok(Err(holder)) if left.is_zero() => {
                let message = format!("another load of table {table:?} is under way: {holder}");
                return Err(Error::new(Kind::Locked, message)
                    .hint("wait until it is done, end it, or raise to.lock_timeout; nothing was changed"));
            }
            Ok(Err(_)) => {}
        }
        let pause = wait.min(left);
        tokio::time::sleep(pause).await;
        left = left.saturating_sub(pause);
        wait = (wait * 2).min(WAITS.1);
    }
}

fn of(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Error::new(Kind::Forbidden, "no lock file may be made beside the database")
                .hint("check the permissions of the folder that the database is in")
        }
        io::ErrorKind::StorageFull => Error::new(Kind::StreamFull, "the disk of the database is full")
            .hint("free space where the file is; nothing was changed"),
        kind => Error::new(Kind::Unreachable, format!("the lock file beside the database: {kind}")),
    }
}

/// The locked file, or who has it.
fn attempt(database: &Path, table: &str, shared: bool) -> io::Result<Result<File, String>> {
    let path = folder(database)?.join(lock_name(table));
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
    match if shared { file.try_lock_shared() } else { file.try_lock() } {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Err(holder(&mut file))),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Ok(file))
}

/// The folder of locks beside a database, whatever link leads to it.
fn folder(database: &Path) -> io::Result<PathBuf> {
    let mut folder = match database.canonicalize() {
        Ok(real) => real,
        Err(_) => database.to_owned(),
    }
    .into_os_string();
    folder.push(".locks");
    match std::fs::create_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(folder.into()),
    }
}

/// Readable, safe on every file system, and different for different tables. SQLite does not tell capitals from small letters.
fn lock_name(table: &str) -> String {
    let table = table.to_ascii_lowercase();
    let sign = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let shown: String = table.chars().take(NAME_SHOWN).map(sign).collect();
    format!("{shown}-{}.lock", hex(&Sha256::digest(table.as_bytes())[..8]))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_names_are_safe_and_differ() {
        let name = lock_name("Büro/Größe ../..");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{name}");
        assert!(!name.contains(".."));
        assert_eq!(lock_name("projects"), lock_name("Projects"), "one table");
        assert_ne!(lock_name("a/b"), lock_name("a.b"));
        assert!(lock_name(&"x".repeat(5000)).len() < 100);
    }
}
