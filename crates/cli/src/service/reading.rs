//! One reading of the definitions: the project's text, the files it names, and what the API stored.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use syncline_core::project::Project;
use syncline_engine::service::Origin;
use syncline_spec::{DocumentKind, Environment, Problem, Severity};
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
    pub(crate) found: Result<Definitions, Broken>,
    /// Of all that was looked at, right or wrong: two readings that agree in it agree in everything.
    pub(crate) digest: [u8; 32],
    /// Files that were looked at, each as it was just before.
    pub(crate) files: Vec<(PathBuf, Stamp)>,
}

/// Definitions that hold together.
pub(crate) struct Definitions {
    pub(crate) project: Arc<Project>,
    pub(crate) origins: BTreeMap<Subject, Origin>,
}

/// Definitions that do not hold together.
pub(crate) struct Broken {
    /// Every problem, one a line, for people.
    pub(crate) told: String,
    /// Definitions of the store that have a problem, while the project itself has none: `sync NAME`, `chain NAME`.
    pub(crate) stored: BTreeSet<String>,
}

impl Broken {
    fn project(told: String) -> Self {
        Self { told, stored: BTreeSet::new() }
    }
}

/// What tells that a file has changed. A file that cannot be looked at has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp(Option<(SystemTime, u64, u64)>);

impl Stamp {
    pub(crate) fn of(file: &Path) -> Self {
        Self(stamp(file).ok())
    }
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
    let project = (!place.applied).then(|| (place.file.clone(), Stamp::of(&place.file)));
    let text = text(place, stored, &world);
    let mut hash = world.hash.borrow().clone();
    for definition in stored.iter().filter(|d| d.stored.kind != DefinitionKind::Project) {
        let (kind, name) = (definition.stored.kind.as_str(), &definition.stored.name);
        hash_in(&mut hash, &format!("{kind} {name}"), definition.stored.body.as_deref().unwrap_or_default());
    }
    let found = text
        .map_err(Broken::project)
        .and_then(|(name, text)| understand(place, &name, &text, stored, &world));
    // What was read while parsing is part of it too.
    let mut files = Vec::from_iter(project);
    for (path, (stamp, content)) in world.files.into_inner() {
        hash_in(&mut hash, &path.display().to_string(), &content);
        files.push((path, stamp));
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
) -> Result<Definitions, Broken> {
    let connectors = registry().specs();
    let parsed = syncline_spec::parse(name, text, &connectors, world);
    let loaded = parsed.map_err(|found| Broken::project(told(&found)))?;
    let mut origins = origins(&loaded.project, if place.applied { Origin::Applied } else { Origin::File });
    let beside: Vec<_> = stored.iter().filter_map(beside).collect();
    let project = syncline_spec::merge(loaded, &connectors, &beside).map_err(|found| Broken {
        told: told(&found),
        stored: found.into_iter().filter(|p| p.severity == Severity::Error).map(|p| p.file).collect(),
    })?;
    origins.extend(beside.iter().map(|definition| {
        let subject = match definition.kind {
            DocumentKind::Sync => Subject::sync(definition.name),
            DocumentKind::Chain => Subject::chain(definition.name),
        };
        (subject, Origin::Api)
    }));
    Ok(Definitions { project: Arc::new(project), origins })
}

/// A definition that is not in the project; nothing for the project itself, and for what was removed.
fn beside(definition: &Definition) -> Option<syncline_spec::Definition<'_>> {
    let kind = match definition.stored.kind {
        DefinitionKind::Project => return None,
        DefinitionKind::Sync => DocumentKind::Sync,
        DefinitionKind::Chain => DocumentKind::Chain,
    };
    let text = definition.stored.body.as_deref()?;
    Some(syncline_spec::Definition { kind, name: &definition.stored.name, text })
}

/// Every sync and chain of a project, with where it is defined.
fn origins(project: &Project, origin: Origin) -> BTreeMap<Subject, Origin> {
    let syncs = project.syncs.iter().map(|sync| Subject::sync(&sync.name));
    let chains = project.chains.iter().map(|chain| Subject::chain(&chain.name));
    syncs.chain(chains).map(|subject| (subject, origin)).collect()
}

/// The errors among problems, one a line.
fn told(found: &[Problem]) -> String {
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
    files: RefCell<BTreeMap<PathBuf, (Stamp, String)>>,
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
        let full = self.directory.join(path);
        let stamp = Stamp::of(&full);
        let read = self.real.file(path);
        let content = read.as_ref().map_or_else(|why| format!("cannot be read: {why}"), Clone::clone);
        self.files.borrow_mut().insert(full, (stamp, content));
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use syncline_store::service::NewDefinition;

    use super::*;

    const PROJECT: &str = "connections:\n  a: { type: sqlite, path: \"${file:path}\" }\nsyncs:\n  one:\n    \
                           from: { connection: a, table: t, key: [id] }\n    to: { connection: a, table: u }\n";
    const SYNC: &str = "from: { connection: a, table: t, key: [id] }\nto: { connection: a, table: v }\n";

    fn place(applied: bool) -> (tempfile::TempDir, Place) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("syncline.yaml"), PROJECT).unwrap();
        std::fs::write(directory.path().join("path"), "a.db\n").unwrap();
        let file = directory.path().join("syncline.yaml");
        (directory, Place { file, applied, lenient: false })
    }

    fn stored(kind: DefinitionKind, name: &str, body: &str) -> Definition {
        let (name, body, by) = (name.to_owned(), Some(body.to_owned()), "test".to_owned());
        Definition { version: 3, stored: NewDefinition { kind, name, body, by, at: Timestamp::UNIX_EPOCH } }
    }

    fn names(reading: &Reading) -> Vec<(String, Origin)> {
        let definitions = reading.found.as_ref().unwrap_or_else(|broken| panic!("{}", broken.told));
        definitions.origins.iter().map(|(subject, origin)| (subject.to_string(), *origin)).collect()
    }

    #[test]
    fn a_file_and_what_it_names_are_looked_at() {
        let (directory, place) = place(false);
        let first = read(&place, &[]);
        assert_eq!(names(&first), [("sync \"one\"".to_owned(), Origin::File)]);
        let files: Vec<_> = first.files.iter().map(|(file, _)| file.file_name().unwrap()).collect();
        assert_eq!(files, ["syncline.yaml", "path"]);
        assert_eq!(read(&place, &[]).digest, first.digest);
        std::fs::write(directory.path().join("path"), "b.db\n").unwrap();
        assert_ne!(read(&place, &[]).digest, first.digest, "what the file names counts too");
        assert_ne!(Stamp::of(&first.files[1].0), Stamp(None));
        assert_eq!(Stamp::of(&directory.path().join("none")), Stamp(None));
    }

    #[test]
    fn an_applied_project_is_read_in_the_place_of_the_file() {
        let (directory, place) = place(true);
        std::fs::remove_file(directory.path().join("syncline.yaml")).unwrap();
        let none = read(&place, &[]).found.err().unwrap();
        assert_eq!(none.told, "no project is applied: `syncline apply` stores one");
        let reading = read(&place, &[stored(DefinitionKind::Project, "", PROJECT)]);
        assert_eq!(names(&reading), [("sync \"one\"".to_owned(), Origin::Applied)]);
        let broken = read(&place, &[stored(DefinitionKind::Project, "", "syncs: {}\n")]);
        assert!(broken.found.err().unwrap().told.starts_with("version 3:1:1: "));
    }

    #[test]
    fn definitions_of_the_store_stand_beside_the_project_and_are_named_when_they_do_not_fit() {
        let (_directory, place) = place(false);
        let two = stored(DefinitionKind::Sync, "two", SYNC);
        let reading = read(&place, std::slice::from_ref(&two));
        let beside = ("sync \"two\"".to_owned(), Origin::Api);
        assert_eq!(names(&reading), [("sync \"one\"".to_owned(), Origin::File), beside]);
        let again = stored(DefinitionKind::Sync, "one", SYNC);
        let broken = read(&place, &[again, two]).found.err().unwrap();
        assert_eq!(broken.stored.into_iter().collect::<Vec<_>>(), ["sync one"]);
        assert!(broken.told.contains("one place for each"), "{}", broken.told);
    }
}
