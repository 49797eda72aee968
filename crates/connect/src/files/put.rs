//! Writing: small files as a whole, large ones in parts, names that change. In a directory everything is on the disk when a
//! method returns.

use std::{fs, io, io::Write, path::PathBuf};

use bytes::Bytes;
use futures::StreamExt;
use object_store::{ObjectStoreExt, PutMode, PutOptions, UpdateVersion, WriteMultipart};

use super::{error, store::Root};
use crate::{Error, error::Kind};

/// Parts of an upload that are on their way at once; 5 MiB each.
const PARTS: usize = 2;
/// Most files of ours in one place.
const OURS_MAX: usize = 10_000;

/// A version of a small file, to write it only if nobody else has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version(Option<UpdateVersion>);

impl Version {
    /// Of a file that is not there.
    pub(super) const ABSENT: Self = Self(None);
}

/// A file that is being written; it gets its name when it is finished.
pub(super) struct Upload {
    root: Root,
    name: String,
    parts: WriteMultipart,
}

impl Upload {
    /// Takes bytes on; waits while the store is slower.
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.parts.wait_for_capacity(PARTS).await.map_err(|e| error::of_write(&e, &self.name))?;
        self.parts.put(bytes);
        Ok(())
    }

    /// Ends the file. Durable.
    pub(super) async fn finish(self) -> Result<(), Error> {
        self.parts.finish().await.map_err(|e| error::of_write(&e, &self.name))?;
        match self.root.local(&self.name) {
            Some(path) => on_disk(&self.name, move || fs::File::open(&path)?.sync_all()).await,
            None => Ok(()),
        }
    }
}

impl Root {
    /// A small file and its version.
    pub(super) async fn get(&self, name: &str, max: u64) -> Result<Option<(Bytes, Version)>, Error> {
        let got = match self.store().get(&self.path(name)?).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(e) => return Err(error::of(&e, name)),
        };
        if got.meta.size > max {
            return Err(error::malformed(name, format_args!("more than {max} bytes")));
        }
        let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
        let bytes = got.bytes().await.map_err(|e| error::of(&e, name))?;
        Ok(Some((bytes, Version(Some(version)))))
    }

    /// Writes a small file as a whole, if it is still of the version `was`. In a directory that is for a lock to see to.
    ///
    /// # Errors
    /// [`Kind::Locked`] when somebody else has written it.
    pub(super) async fn put(&self, name: &str, bytes: Vec<u8>, was: &Version) -> Result<Version, Error> {
        if let Some(path) = self.local(name) {
            on_disk(name, move || replace(&path, &bytes)).await?;
            return Ok(Version(None));
        }
        let mode = was.0.clone().map_or(PutMode::Create, PutMode::Update);
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.store().put_opts(&self.path(name)?, bytes.into(), options).await {
            Ok(put) => Ok(Version(Some(UpdateVersion { e_tag: put.e_tag, version: put.version }))),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Err(Error::new(Kind::Locked, format!("{name:?} was written by another load")))
            }
            Err(e) => Err(error::of_write(&e, name)),
        }
    }

    /// Begins a file.
    pub(super) async fn upload(&self, name: &str) -> Result<Upload, Error> {
        let upload = self.store().put_multipart(&self.path(name)?).await;
        let parts = WriteMultipart::new(upload.map_err(|e| error::of_write(&e, name))?);
        Ok(Upload { root: self.clone(), name: name.to_owned(), parts })
    }

    /// Gives a file another name, and takes that from whatever had it. Nothing happens where there is no such file.
    ///
    /// Atomic and durable in a directory; in an object store a copy, then a deletion.
    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        if let (Some(old), Some(new)) = (self.local(from), self.local(to)) {
            return on_disk(to, move || match fs::symlink_metadata(&old) {
                Ok(_) => {
                    new.parent().map_or(Ok(()), fs::create_dir_all)?;
                    fs::rename(&old, &new)?;
                    sync_folder(&new)
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(e) => Err(e),
            })
            .await;
        }
        match self.store().rename(&self.path(from)?, &self.path(to)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(error::of_write(&e, to)),
        }
    }

    /// Removes a file, if there is one.
    pub(super) async fn remove(&self, name: &str) -> Result<(), Error> {
        if let Some(path) = self.local(name) {
            return on_disk(name, move || match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            })
            .await;
        }
        match self.store().delete(&self.path(name)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(error::of_write(&e, name)),
        }
    }

    /// Names of the files in `folder` that begin with `prefix`, unfinished ones among them.
    pub(super) async fn beginning_with(&self, folder: &str, prefix: &str) -> Result<Vec<String>, Error> {
        if let Some(path) = self.local(folder) {
            let (folder, prefix) = (folder.to_owned(), prefix.to_owned());
            let list = move || {
                let entries = match fs::read_dir(&path) {
                    Ok(entries) => entries,
                    Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                    Err(e) => return Err(e),
                };
                let name = |entry: io::Result<fs::DirEntry>| {
                    entry.map(|e| format!("{folder}/{}", e.file_name().to_string_lossy()))
                };
                let names = entries.take(OURS_MAX).map(name).collect::<Result<Vec<_>, _>>()?;
                Ok(names.into_iter().filter(|name| name.starts_with(&prefix)).collect())
            };
            return on_disk("_syncline", list).await;
        }
        let mut names = Vec::new();
        let mut listing = self.store().list(Some(&self.path(folder)?)).take(OURS_MAX);
        while let Some(meta) = listing.next().await {
            let meta = meta.map_err(|e| error::of(&e, folder))?;
            names.extend(self.name(&meta.location).filter(|name| name.starts_with(prefix)));
        }
        Ok(names)
    }

    /// Where a file lies on this machine.
    pub(super) fn local(&self, name: &str) -> Option<PathBuf> {
        self.directory().map(|directory| directory.join(name))
    }
}

/// Writes a file beside the one it replaces, then takes its place.
fn replace(path: &PathBuf, bytes: &[u8]) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    let beside = path.with_extension("new");
    let mut file = fs::File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_folder(path)
}

/// Names are on the disk when their directory is.
fn sync_folder(path: &std::path::Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

/// Does something with the disk on a thread where waiting does no harm.
async fn on_disk<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    #[expect(clippy::disallowed_methods, reason = "awaited here")]
    let done = tokio::task::spawn_blocking(work);
    let done = done.await.map_err(|_| Error::new(Kind::Protocol, "the writing thread ended early"))?;
    done.map_err(|e| error::of_disk(&e, name))
}
