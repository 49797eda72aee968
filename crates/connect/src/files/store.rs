//! A directory or an object store: names and ranges of bytes, each checked to be of the file that was opened.
//!
//! Its methods wait, and are called on reading threads.

use std::{ops::Range, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures::StreamExt;
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path};
use tokio::runtime::Handle;

use super::{config::Place, error};
use crate::{Error, error::Kind};

/// Most files that are looked at in one listing.
const LISTED_MAX: usize = 100_000;

/// An opened place.
#[derive(Debug, Clone)]
pub(super) struct Root {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Where it lies on this machine, if it does.
    directory: Option<PathBuf>,
}

/// A place as a reading thread uses it.
#[derive(Debug, Clone)]
pub(super) struct Store {
    root: Root,
    runtime: Handle,
}

/// A file as it was found.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its name, relative to the connection's place.
    pub(super) name: String,
    meta: ObjectMeta,
}

impl Entry {
    /// Bytes.
    pub(super) fn size(&self) -> u64 {
        self.meta.size
    }

    /// Whether this is the same content, as far as the store tells.
    fn is(&self, now: &ObjectMeta) -> bool {
        let then = &self.meta;
        then.size == now.size
            && match (&then.e_tag, &now.e_tag) {
                (Some(then), Some(now)) => then == now,
                _ => then.last_modified == now.last_modified,
            }
    }
}

/// Opens a place.
///
/// # Errors
/// [`Kind::Unreachable`] for a directory that is not there, [`Kind::Definition`] for a place that this binary cannot use.
pub(super) fn open(place: &Place) -> Result<Root, Error> {
    match place {
        Place::Directory(path) => {
            let store = LocalFileSystem::new_with_prefix(path).map_err(|_| {
                Error::new(Kind::Unreachable, "the directory cannot be opened")
                    .hint("check the path, and that this user may read it")
            })?;
            Ok(Root { store: Arc::new(store), prefix: Path::default(), directory: Some(path.clone()) })
        }
        #[cfg(feature = "object-stores")]
        Place::Bucket(bucket) => super::buckets::open(bucket),
        #[cfg(not(feature = "object-stores"))]
        Place::Bucket(bucket) => Err(Error::new(
            Kind::Definition,
            format!("url {}://: this binary was built without object stores", bucket.url.scheme()),
        )
        .hint("build it with the feature object-stores, or copy the files and give path")),
    }
}

impl Root {
    /// A place below `prefix` of a store.
    #[cfg(feature = "object-stores")]
    pub(super) fn new(store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { store, prefix, directory: None }
    }

    pub(super) fn store(&self) -> &dyn ObjectStore {
        &*self.store
    }

    pub(super) fn directory(&self) -> Option<&std::path::Path> {
        self.directory.as_deref()
    }

    /// The path of a name. It leads nowhere outside the place: `..` is refused.
    pub(super) fn path(&self, name: &str) -> Result<Path, Error> {
        let prefix = self.prefix.as_ref();
        let whole = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        Path::parse(whole).map_err(|_| {
            Error::new(Kind::StreamMissing, format!("{name:?} cannot be the name of a file"))
                .hint("give a name relative to the place of the connection")
        })
    }

    /// The name of a path below the place.
    pub(super) fn name(&self, path: &Path) -> Option<String> {
        let prefix = self.prefix.as_ref();
        let rest = path.as_ref().strip_prefix(prefix)?;
        if prefix.is_empty() { Some(rest.to_owned()) } else { rest.strip_prefix('/').map(str::to_owned) }
    }
}

impl Store {
    pub(super) fn new(root: Root, runtime: Handle) -> Self {
        Self { root, runtime }
    }

    /// The runtime that does the waiting.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The file called `name`, if there is one.
    pub(super) fn head(&self, name: &str) -> Result<Option<Entry>, Error> {
        let path = self.root.path(name)?;
        match self.runtime.block_on(self.root.store.head(&path)) {
            Ok(meta) => Ok(Some(Entry { name: name.to_owned(), meta })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => match error::of(&e, name) {
                // a directory is no file
                other if other.kind == Kind::Unanswered && self.is_directory(&path) => Ok(None),
                other => Err(other),
            },
        }
    }

    /// Whether something lies below `path`.
    fn is_directory(&self, path: &Path) -> bool {
        let first = async { self.root.store.list(Some(path)).next().await };
        matches!(self.runtime.block_on(first), Some(Ok(_)))
    }

    /// The files below `folder` (empty: all), in the order of their names.
    ///
    /// # Errors
    /// Also when there are more than 100,000.
    pub(super) fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        let path = self.root.path(folder)?;
        let listing = async {
            let mut listing = self.root.store.list(Some(&path));
            let mut entries = Vec::new();
            while let Some(meta) = listing.next().await {
                let meta = meta.map_err(|e| error::of(&e, folder))?;
                if entries.len() == LISTED_MAX {
                    let message = format!("more than {LISTED_MAX} files below {folder:?}");
                    return Err(
                        Error::new(Kind::Definition, message).hint("put them into several directories")
                    );
                }
                entries.extend(self.root.name(&meta.location).map(|name| Entry { name, meta }));
            }
            Ok(entries)
        };
        let mut entries = self.runtime.block_on(listing)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// These bytes of a file, fewer where it ends.
    ///
    /// # Errors
    /// [`Kind::Locked`] when the file is no longer the one that was found.
    pub(super) fn range(&self, entry: &Entry, range: Range<u64>) -> Result<Bytes, Error> {
        let range = range.start..range.end.min(entry.size());
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let wanted = range.end - range.start;
        let options = GetOptions {
            range: Some(range.into()),
            if_match: entry.meta.e_tag.clone(),
            ..GetOptions::default()
        };
        let got = async {
            let got = self.root.store.get_opts(&entry.meta.location, options).await?;
            Ok((got.meta.clone(), got.bytes().await?))
        };
        let gone = |e: &object_store::Error| matches!(e, object_store::Error::NotFound { .. });
        match self.runtime.block_on(got) {
            Ok((meta, bytes)) if entry.is(&meta) && bytes.len() as u64 == wanted => Ok(bytes),
            Ok(_) => Err(error::changed(&entry.name)),
            Err(e) if gone(&e) => Err(error::changed(&entry.name)),
            Err(e) => Err(error::of(&e, &entry.name)),
        }
    }

    /// A whole file of at most `max` bytes, if there is one of this name.
    pub(super) fn small(&self, name: &str, max: u64) -> Result<Option<Bytes>, Error> {
        let Some(entry) = self.head(name)? else { return Ok(None) };
        if entry.size() > max {
            return Err(error::malformed(name, format_args!("more than {max} bytes")));
        }
        self.range(&entry, 0..max).map(Some)
    }

    /// Checks that a file is still the one that was found.
    pub(super) fn unchanged(&self, entry: &Entry) -> Result<(), Error> {
        match self.runtime.block_on(self.root.store.head(&entry.meta.location)) {
            Ok(meta) if entry.is(&meta) => Ok(()),
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Err(error::changed(&entry.name)),
            Err(e) => Err(error::of(&e, &entry.name)),
        }
    }
}
