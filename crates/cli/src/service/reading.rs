//! One reading of the definitions: the project's text, the files it names, and what the API stored.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use syncline_core::project::Project;
use syncline_engine::service::Origin;
use syncline_spec::{Environment, Problem, Severity};
use syncline_store::service::{Definition, DefinitionKind, Subject};

use crate::wiring::{Surroundings, reason, registry};

/// Most problems that are told of one reading.
const PROBLEMS_TOLD: usize = 50;

/// Where a project comes from.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The project file. What it names is relative to its directory, also where the project itself is in the store.
    pub(crate) file: PathBuf,
    /// Whether the project is the one that `syncline apply` stored.
    pub(crate) applied: bool,
    /// Whether variables and files that are not there are answered for: where only names matter.
    pub(crate) lenient: bool,
}

impl Place {
    /// What relative paths are relative to; empty for the current directory.
    pub(crate) fn directory(&self) -> PathBuf {
        self.file.parent().map(Path::to_owned).unwrap_or_default()
    }
}

/// What was read.
pub(crate) struct Reading {
    /// The definitions, or everything that is wrong with them.
    pub(crate) found: Result<Definitions, String>,
    /// Of all that was looked at, right or wrong: two readings that agree in it agree in everything.
    pub(crate) digest: [u8; 32],
    /// Files that were looked at, the project's first.
    pub(crate) files: Vec<PathBuf>,
}

/// Definitions that hold together.
pub(crate) struct Definitions {
    pub(crate) project: Arc<Project>,
    pub(crate) origins: BTreeMap<Subject, Origin>,
}

/// What tells that a file has changed. A file that cannot be looked at has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp(Option<(SystemTime, u64, u64)>);

/// The stamps of files, in their order.
pub(crate) fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|file| Stamp(stamp(file).ok())).collect()
}

fn stamp(file: &Path) -> std::io::Result<(SystemTime, u64, u64)> {
    let data = std::fs::metadata(file)?;
    // A file that was moved here in the place of another one may be as long and as old.
    #[cfg(unix)]
    let which = std::os::unix::fs::MetadataExt::ino(&data);
    #[cfg(not(unix))]
    let which = 0;
    Ok((data.modified()?, data.len(), which))
}

/// Reads everything. `stored`: the definitions in the store.
pub(crate) fn read(place: &Place, stored: &[Definition]) -> Reading {
    let world = World::new(place);
    let text = text(place, stored, &world);
    let mut hash = world.hash.borrow().clone();
    for definition in stored.iter().filter(|d| d.stored.kind != DefinitionKind::Project) {
        let (kind, name) = (definition.stored.kind.as_str(), &definition.stored.name);
        hash_in(&mut hash, &format!("{kind} {name}"), definition.stored.body.as_deref().unwrap_or_default());
    }
    let found = text.and_then(|(name, text)| understand(place, &name, &text, stored, &world));
    // What was read while parsing is part of it too.
    let mut files = vec![place.file.clone()];
    let read = world.files.into_inner();
    for (path, content) in &read {
        hash_in(&mut hash, &path.display().to_string(), content);
    }
    files.extend(read.into_keys().filter(|path| *path != place.file));
    if place.applied {
        files.remove(0);
    }
    Reading { found, digest: hash.finalize().into(), files }
}

/// The name and text of the project.
fn text(place: &Place, stored: &[Definition], world: &World) -> Result<(String, String), String> {
    let (name, text) = if place.applied {
        let applied = stored.iter().find(|d| d.stored.kind == DefinitionKind::Project);
        let applied = applied.and_then(|d| Some((d.version, d.stored.body.clone()?)));
        let (version, text) = applied.ok_or("no project is applied: `syncline apply` stores one")?;
        (format!("version {version}"), text)
    } else {
        let name = place.file.display().to_string();
        let bytes = std::fs::read(&place.file).map_err(|error| format!("{name}: {}", reason(&error)))?;
        let text = syncline_spec::decode(&name, &bytes).map_err(|problem| problem.to_string())?.to_owned();
        (name, text)
    };
    hash_in(&mut world.hash.borrow_mut(), "project", &text);
    Ok((name, text))
}

fn understand(
    place: &Place,
    name: &str,
    text: &str,
    stored: &[Definition],
    world: &World,
) -> Result<Definitions, String> {
    let connectors = registry().specs();
    let loaded = syncline_spec::parse(name, text, &connectors, world).map_err(|found| told(&found))?;
    let origin = if place.applied { Origin::Applied } else { Origin::File };
    let origins = origins(&loaded.project, origin);
    Ok(Definitions { project: Arc::new(loaded.project), origins })
}

/// Every sync and chain of a project, with where it is defined.
fn origins(project: &Project, origin: Origin) -> BTreeMap<Subject, Origin> {
    let syncs = project.syncs.iter().map(|sync| Subject::sync(&sync.name));
    let chains = project.chains.iter().map(|chain| Subject::chain(&chain.name));
    syncs.chain(chains).map(|subject| (subject, origin)).collect()
}

/// The errors among problems, one a line.
pub(crate) fn told(found: &[Problem]) -> String {
    let errors: Vec<_> = found.iter().filter(|problem| problem.severity == Severity::Error).collect();
    let mut text = String::new();
    for problem in errors.iter().take(PROBLEMS_TOLD) {
        writeln!(text, "{problem}").ok();
    }
    if let Some(more) = errors.len().checked_sub(PROBLEMS_TOLD).filter(|more| *more > 0) {
        writeln!(text, "… and {more} more").ok();
    }
    text.trim_end().to_owned()
}

/// The real surroundings, and what of them was looked at.
struct World {
    real: Surroundings,
    directory: PathBuf,
    files: RefCell<BTreeMap<PathBuf, String>>,
    hash: RefCell<blake3::Hasher>,
}

impl World {
    fn new(place: &Place) -> Self {
        let directory = place.directory();
        Self {
            real: Surroundings::of(&directory, place.lenient),
            directory,
            files: RefCell::default(),
            hash: RefCell::new(blake3::Hasher::new()),
        }
    }
}

impl Environment for World {
    fn variable(&self, name: &str) -> Option<String> {
        self.real.variable(name)
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let read = self.real.file(path);
        let content = read.as_ref().map_or_else(|why| format!("cannot be read: {why}"), Clone::clone);
        self.files.borrow_mut().insert(self.directory.join(path), content);
        read
    }
}

/// Adds a name and a text, unambiguously.
fn hash_in(hash: &mut blake3::Hasher, name: &str, text: &str) {
    for part in [name, text] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
}
