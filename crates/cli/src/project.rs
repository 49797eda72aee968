//! The project file and its store, as a command finds them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use syncline_core::{project::StoreOptions, sync::Sync};
use syncline_spec::{Loaded, Problem, Severity, decode, did_you_mean, parse};
use syncline_store::service::ServiceStore;

use crate::{
    args::Global,
    exit::{Exit, Failure},
    output, problems,
    store::Place,
    wiring::{Surroundings, reason, registry},
};

/// A project that was read, and where it lies.
pub(crate) struct Opened {
    pub(crate) loaded: Loaded,
    /// The directory of its file.
    pub(crate) directory: PathBuf,
    /// The file's text, for showing lines of it.
    pub(crate) text: String,
    store: Option<PathBuf>,
}

/// What could be read of a project file.
pub(crate) struct Read {
    pub(crate) text: String,
    /// The project, or everything that is wrong with it.
    pub(crate) parsed: Result<Loaded, Vec<Problem>>,
}

/// Reads the project file. What is wrong in it is data here, not a failure.
///
/// # Errors
/// When there is no such file.
pub(crate) fn read(global: &Global, lenient: bool) -> Result<Read, Failure> {
    let name = global.file.display().to_string();
    let bytes = std::fs::read(&global.file).map_err(|error| {
        let failure = Failure::usage(format!("{name}: {}", reason(&error)));
        if error.kind() == std::io::ErrorKind::NotFound {
            failure.hint("`syncline init` writes a commented project; -f FILE names another one")
        } else {
            failure
        }
    })?;
    let text = match decode(&name, &bytes) {
        Ok(text) => text.to_owned(),
        Err(problem) => return Ok(Read { text: String::new(), parsed: Err(vec![problem]) }),
    };
    let surroundings = Surroundings::of(&directory(global), lenient);
    let parsed = parse(&name, &text, &registry().specs(), &surroundings);
    Ok(Read { text, parsed })
}

/// The directory of the project file; empty for the current one, so that paths are shown as they are written.
pub(crate) fn directory(global: &Global) -> PathBuf {
    global.file.parent().map(Path::to_owned).unwrap_or_default()
}

/// Opens the project for a command that needs it whole.
///
/// # Errors
/// When there is a problem in it; all of them have been printed.
pub(crate) fn open(global: &Global) -> Result<Opened, Failure> {
    open_as(global, false)
}

/// Opens the project for a command that needs only the store: variables may be unset.
pub(crate) fn open_for_store(global: &Global) -> Result<Opened, Failure> {
    open_as(global, true)
}

fn open_as(global: &Global, lenient: bool) -> Result<Opened, Failure> {
    let Read { text, parsed } = read(global, lenient)?;
    let loaded = parsed.map_err(|found| {
        let errors = found.iter().filter(|p| p.severity == Severity::Error).count();
        problems::print(&found, &text);
        output::error(&problems::total(errors, found.len() - errors));
        Failure::told(Exit::Usage)
    })?;
    Ok(Opened { loaded, directory: directory(global), text, store: global.store.clone() })
}

impl Opened {
    /// The syncs with these names; all when none is named.
    pub(crate) fn syncs(&self, names: &[String]) -> Result<Vec<&Sync>, Failure> {
        let project = &self.loaded.project;
        if names.is_empty() {
            return Ok(project.syncs.iter().collect());
        }
        let mut syncs: Vec<&Sync> = Vec::new();
        for name in names {
            let sync = project.sync(name).ok_or_else(|| self.unknown(name))?;
            if !syncs.iter().any(|known| known.name == *name) {
                syncs.push(sync);
            }
        }
        Ok(syncs)
    }

    fn unknown(&self, name: &str) -> Failure {
        let known: Vec<&str> = self.loaded.project.syncs.iter().map(|s| s.name.as_str()).collect();
        let failure = Failure::usage(format!("there is no sync {name:?} in the project"));
        match did_you_mean(name, &known, "its syncs") {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// Where the store is.
    pub(crate) fn store_place(&self) -> Place {
        match &self.store {
            Some(named) => Place::of(&named.to_string_lossy(), Path::new("")),
            None => Place::of(&self.loaded.project.store.path, &self.directory),
        }
    }

    /// Opens the store, and makes it when it is not there.
    pub(crate) async fn store(&self) -> Result<Arc<dyn ServiceStore>, Failure> {
        self.store_at(&self.store_place()).await
    }

    /// Opens the store if there is one.
    pub(crate) async fn existing_store(&self) -> Result<Option<Arc<dyn ServiceStore>>, Failure> {
        let there = self.store_place().exists(&self.loaded.project.store).await?;
        if there { self.store().await.map(Some) } else { Ok(None) }
    }

    /// Opens the store; where there is none, one that is gone when it is dropped. For commands that must leave nothing.
    pub(crate) async fn store_or_scratch(&self) -> Result<(Arc<dyn ServiceStore>, Option<Scratch>), Failure> {
        if let Some(store) = self.existing_store().await? {
            return Ok((store, None));
        }
        let scratch = Scratch::new()?;
        Ok((self.store_at(&Place::File(scratch.directory.join("store.db"))).await?, Some(scratch)))
    }

    async fn store_at(&self, place: &Place) -> Result<Arc<dyn ServiceStore>, Failure> {
        Ok(place.open(&self.loaded.project.store).await?.into_service())
    }

    /// The store and a sync in it, for commands that change what is stored about one sync. A sync that has left the
    /// project may still have records waiting.
    pub(crate) async fn store_of(&self, sync: &str) -> Result<Arc<dyn ServiceStore>, Failure> {
        let store = self.existing_store().await?;
        let Some(store) = store else {
            self.syncs(&[sync.to_owned()])?;
            return Err(self.nothing_yet());
        };
        let known =
            self.loaded.project.sync(sync).is_some() || !store.runs(Some(sync), None, 1).await?.is_empty();
        if known { Ok(store) } else { Err(self.unknown(sync)) }
    }

    /// For commands that need something to have happened.
    pub(crate) fn nothing_yet(&self) -> Failure {
        let place = self.store_place();
        Failure::failed(format!("nothing has run yet: there is no store {}", place.shown()))
            .hint("`syncline run` makes it; --store PATH names another one")
    }
}

/// The store that the command line names, for a service whose project is in it.
pub(crate) async fn named_store(global: &Global) -> Result<Arc<dyn ServiceStore>, Failure> {
    let Some(path) = global.store.clone() else {
        return Err(Failure::usage("--from-store needs --store: the project is in it"));
    };
    let options = StoreOptions {
        path: String::new(),
        max_size: None,
        busy_timeout: Duration::from_secs(5),
        tenant: String::new(),
    };
    Ok(Place::of(&path.to_string_lossy(), Path::new("")).open(&options).await?.into_service())
}

/// A directory that goes with its owner, unless it is kept.
pub(crate) struct Scratch {
    pub(crate) directory: PathBuf,
    kept: bool,
}

impl Scratch {
    /// A fresh directory below the system's place for such things.
    pub(crate) fn new() -> Result<Self, Failure> {
        #[expect(clippy::disallowed_methods, reason = "a name nobody else has; nothing depends on it")]
        let now = jiff::Timestamp::now().as_nanosecond();
        let directory = std::env::temp_dir().join(format!("syncline-{}-{now:x}", std::process::id()));
        create_private(&directory)
            .map_err(|error| Failure::failed(format!("{}: {}", directory.display(), reason(&error))))?;
        Ok(Self { directory, kept: false })
    }

    /// Leaves the directory to whoever wants to look into it.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = std::fs::remove_dir_all(&self.directory) {
            tracing::warn!(directory = %self.directory.display(), %error, "a temporary directory is left behind");
        }
    }
}

/// Makes a directory that only its owner can look into: what lies in it are other people's records.
fn create_private(directory: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}
