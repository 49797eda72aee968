//! A project: what a file defines, or everything that is wrong with it.

use syncline_core::{connection::ConnectorSpec, project::Project};

use crate::{
    alerts, chains, connections,
    documents::Defaults,
    keys::PROJECT,
    names::Names,
    params,
    places::{Places, START},
    problem::{Place, Problem, Severity},
    reader::{Reader, Record, Spot},
    reports, schedule, server, sync,
    tree::{self, Node, Value},
    variables::{Environment, Variables},
};

/// Largest project file.
pub const FILE_BYTES_MAX: usize = 8 << 20;

/// A project file that was read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it defines.
    pub project: Project,
    /// What its author should know, in the file's order.
    pub warnings: Vec<Problem>,
    /// Where everything stands in it.
    pub places: Places,
    pub(crate) file: String,
    /// What syncs that are defined elsewhere are given, too.
    pub(crate) defaults: Defaults,
}

impl Loaded {
    /// A problem with the value at `path` (see [`Places::path`]) that was found later, against a live system.
    pub fn error(&self, path: &str, message: impl Into<String>, hint: Option<String>) -> Problem {
        self.problem(Severity::Error, self.places.value(path), path, message.into(), hint)
    }

    /// As [`Loaded::error`], about the key itself: a destination field is the key of its mapping.
    pub fn error_at_key(&self, path: &str, message: impl Into<String>, hint: Option<String>) -> Problem {
        self.problem(Severity::Error, self.places.key(path), path, message.into(), hint)
    }

    /// As [`Loaded::error`], for what does not stop a run.
    pub fn warning(&self, path: &str, message: impl Into<String>, hint: Option<String>) -> Problem {
        self.problem(Severity::Warning, self.places.value(path), path, message.into(), hint)
    }

    /// As [`Loaded::error_at_key`], for what does not stop a run.
    pub fn warning_at_key(&self, path: &str, message: impl Into<String>, hint: Option<String>) -> Problem {
        self.problem(Severity::Warning, self.places.key(path), path, message.into(), hint)
    }

    fn problem(
        &self,
        severity: Severity,
        place: Place,
        path: &str,
        message: String,
        hint: Option<String>,
    ) -> Problem {
        let Place { line, column } = place;
        Problem { file: self.file.clone(), line, column, path: path.to_owned(), message, hint, severity }
    }
}

/// The text of a file.
///
/// # Errors
/// A file that is too large or is not UTF-8, with the place of the first byte that is not.
pub fn decode<'b>(file_name: &str, bytes: &'b [u8]) -> Result<&'b str, Problem> {
    if let Some(problem) = too_large(file_name, bytes.len()) {
        return Err(problem);
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        // Lines end as in YAML: a carriage return alone ends one too.
        let before = before.replace("\r\n", "\n").replace('\r', "\n");
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let hint = Some("save the file as UTF-8".to_owned());
        fatal(file_name, Place { line, column }, "the file is not UTF-8".to_owned(), hint)
    })
}

/// Reads a project file.
///
/// `file_name` is used in problems only. `connectors` are the types that a connection may have.
///
/// # Errors
/// Every error and warning, in the file's order; there is at least one error among them. For text that is not YAML,
/// or has more than 8 MiB, this is one problem.
pub fn parse(
    file_name: &str,
    text: &str,
    connectors: &[ConnectorSpec],
    environment: &dyn Environment,
) -> Result<Loaded, Vec<Problem>> {
    if let Some(problem) = too_large(file_name, text.len()) {
        return Err(vec![problem]);
    }
    let mut root = match tree::read(text) {
        Ok(root) => root,
        Err(fault) => return Err(vec![fatal(file_name, fault.place, fault.message, fault.hint)]),
    };
    let mut reader = Reader::new(file_name, text);
    reader.prepare(&mut Variables::new(environment), &mut root, "", START);
    let project = project(&mut reader, &root, connectors, environment);
    let (problems, places) = reader.finish();
    match project {
        Some(project) if problems.iter().all(|p| p.severity == Severity::Warning) => {
            let (file, defaults) = (file_name.to_owned(), Defaults::of(root));
            Ok(Loaded { project, warnings: problems, places, file, defaults })
        }
        _ => Err(problems),
    }
}

/// `None` when the file is not a project at all, which is then reported.
fn project(
    reader: &mut Reader<'_>,
    root: &Node,
    connectors: &[ConnectorSpec],
    environment: &dyn Environment,
) -> Option<Project> {
    let spot = Spot { path: String::new(), key: START, node: root };
    let record = reader.record(&spot, &PROJECT)?;
    let named = record.get("connections").map(|spot| connections::read(reader, &spot, connectors));
    let named = named.unwrap_or_default();
    let defaults = record.get("defaults").map(|spot| schedule::defaults(reader, &spot)).unwrap_or_default();
    let syncs = record.get("syncs").map(|spot| sync::read(reader, &spot, &named, &defaults));
    let names = Names {
        connections: names_in(&record, "connections"),
        syncs: names_in(&record, "syncs"),
        chains: names_in(&record, "chains"),
        reports: names_in(&record, "reports"),
        receivers: names_in(&record, "receivers"),
        asked_for: syncs
            .iter()
            .flatten()
            .filter(|sync| params::asked_for(sync))
            .map(|s| s.name.clone())
            .collect(),
    };
    let chains = record.get("chains").map(|spot| chains::read(reader, &spot, &names));
    let reports = record.get("reports").map(|spot| reports::read(reader, &spot, &names, environment));
    let alerts = record.get("alerts").map(|spot| alerts::read(reader, &spot, &names));
    let mail = record.side_gives("server", "mail") == Some(true);
    let receivers = record.get("receivers").map(|spot| alerts::receivers(reader, &spot, mail));
    let server = record.get("server").map(|spot| server::read(reader, &spot, &names)).unwrap_or_default();
    let store = server::store(reader, record.get("store"));
    Some(Project {
        connections: named.into_iter().filter_map(|n| n.connection).collect(),
        syncs: syncs.unwrap_or_default(),
        chains: chains.unwrap_or_default(),
        reports: reports.unwrap_or_default(),
        alerts: alerts.unwrap_or_default(),
        receivers: receivers.unwrap_or_default(),
        store,
        server,
    })
}

/// The names that a map of the file gives, whether or not what they name can be read.
fn names_in<'t>(project: &Record<'t>, key: &str) -> Vec<&'t str> {
    match project.get(key).map(|spot| &spot.node.value) {
        Some(Value::Map(entries)) => entries.iter().map(|entry| entry.key.as_str()).collect(),
        _ => Vec::new(),
    }
}

pub(crate) fn too_large(file: &str, bytes: usize) -> Option<Problem> {
    let message = format!("the file has {bytes} bytes; at most {FILE_BYTES_MAX} are allowed");
    (bytes > FILE_BYTES_MAX).then(|| fatal(file, START, message, None))
}

pub(crate) fn fatal(file: &str, place: Place, message: String, hint: Option<String>) -> Problem {
    let Place { line, column } = place;
    Problem {
        file: file.to_owned(),
        line,
        column,
        path: String::new(),
        message,
        hint,
        severity: Severity::Error,
    }
}
