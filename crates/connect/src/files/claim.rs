//! One load of a table at a time, where files can be locked.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, Write},
    time::Duration,
};

use super::{error, state::Names, store::Root};
use crate::{Error, database::Claim, error::Kind};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// A lock. The system takes it back when it is dropped, and when its process dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Locks a table, waiting for at most the claim's time; `None` in an object store, which has no locks.
///
/// # Errors
/// [`Kind::Locked`], naming the sync that holds it.
pub(super) async fn lock(root: &Root, names: &Names, claim: &Claim) -> Result<Option<Lock>, Error> {
    let Some(path) = root.local(&names.lock()) else { return Ok(None) };
    let open = || -> io::Result<File> {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        File::options().read(true).write(true).create(true).truncate(false).open(&path)
    };
    let mut file = open().map_err(|e| error::of_disk(&e, &names.lock()))?;
    let tries = claim.lock_timeout.as_millis() / PAUSE.as_millis() + 1;
    for attempt in 0..tries {
        match file.try_lock() {
            Ok(()) => {
                let name = format!("{:?}", claim.sync);
                let told = file.set_len(0).and_then(|()| file.write_all(name.as_bytes()));
                told.map_err(|e| error::of_disk(&e, &names.lock()))?;
                return Ok(Some(Lock { _file: file }));
            }
            Err(TryLockError::WouldBlock) if attempt + 1 < tries => tokio::time::sleep(PAUSE).await,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(e)) => return Err(error::of_disk(&e, &names.lock())),
        }
    }
    let mut holder = String::new();
    // who it is helps, and is not needed
    if file.rewind().is_err() || file.take(1_000).read_to_string(&mut holder).is_err() {
        holder = "another sync".into();
    }
    let message = format!("{:?} is being loaded by {holder}", claim.table);
    Err(Error::new(Kind::Locked, message).hint("wait until it is done, or raise lock_timeout"))
}
