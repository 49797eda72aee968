//! Definitions beyond the project file: syncs and chains that came one by one, on the connections of a project.
//!
//! They read neither environment variables nor files: whoever may define a sync through the API is not therefore somebody
//! who may read the machine it runs on.

use std::collections::BTreeSet;

use syncline_core::{
    chain::Chain,
    connection::{Connection, ConnectorSpec},
    project::Project,
    sync::Sync,
};

use crate::{
    chains,
    connections::{NAMED_MAX, Named, check_name},
    names::Names,
    params,
    places::{Places, START},
    problem::{Problem, Severity, echo},
    project::{Loaded, fatal, too_large},
    reader::{Reader, Spot},
    schedule, sync,
    tree::{self, Node, Value},
    variables::Variables,
};

/// What a document defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DocumentKind {
    /// A sync, as its value under `syncs`.
    Sync,
    /// A chain, as its value under `chains`.
    Chain,
}

impl DocumentKind {
    fn word(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Chain => "chain",
        }
    }

    fn section(self) -> &'static str {
        match self {
            Self::Sync => "syncs",
            Self::Chain => "chains",
        }
    }
}

/// A sync or a chain that is not in the project file.
#[derive(Debug, Clone, Copy)]
pub struct Definition<'t> {
    /// What it is.
    pub kind: DocumentKind,
    /// Its name.
    pub name: &'t str,
    /// What would stand under its name in a project file: YAML, or JSON.
    pub text: &'t str,
}

/// The `defaults` of a project file, to be read again with a sync that is defined elsewhere.
#[derive(Clone, Default)]
pub(crate) struct Defaults(Option<Node>);

impl Defaults {
    /// Those of a file.
    pub(crate) fn of(root: Node) -> Self {
        let Value::Map(entries) = root.value else { return Self(None) };
        Self(entries.into_iter().find(|entry| entry.key == "defaults").map(|entry| entry.node))
    }
}

impl std::fmt::Debug for Defaults {
    /// Without what variables gave.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Defaults").finish_non_exhaustive()
    }
}

/// A project together with definitions that are not in its file. `connectors` are those it was read with.
///
/// The connections, reports and default schedules of the project are theirs, too; a chain may name any of the syncs.
///
/// # Errors
/// Every error and warning of every definition. `file` of a problem is `sync NAME` or `chain NAME`; a name that the
/// project has, too, is a problem: one place for each.
pub fn merge(
    base: Loaded,
    connectors: &[ConnectorSpec],
    definitions: &[Definition<'_>],
) -> Result<Project, Vec<Problem>> {
    if definitions.len() > NAMED_MAX {
        let message = format!("{} definitions; at most {NAMED_MAX} are allowed", definitions.len());
        return Err(vec![fatal(&base.file, START, message, None)]);
    }
    let known = Known { names: names(&base.project, definitions), base: &base, connectors };
    let (mut syncs, mut chains, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    let taken = taken(&base, definitions);
    for (definition, taken) in definitions.iter().zip(taken) {
        let (found, sync, chain) = known.read(definition, taken);
        problems.extend(found);
        syncs.extend(sync);
        chains.extend(chain);
    }
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(problems);
    }
    drop(known);
    let mut project = base.project;
    project.syncs.extend(syncs);
    project.chains.extend(chains);
    Ok(project)
}

/// What definitions may name.
struct Known<'k> {
    names: Names<'k>,
    base: &'k Loaded,
    connectors: &'k [ConnectorSpec],
}

impl Known<'_> {
    /// Reads one definition; `taken`: where there is another one of its name.
    fn read(
        &self,
        definition: &Definition<'_>,
        taken: Option<&str>,
    ) -> (Vec<Problem>, Option<Sync>, Option<Chain>) {
        let Definition { kind, name, text } = *definition;
        let (file, path) = (format!("{} {name}", kind.word()), Places::path(&[kind.section(), name]));
        if let Some(problem) = too_large(&file, text.len()) {
            return (vec![problem], None, None);
        }
        let mut root = match tree::read(text) {
            Ok(root) => root,
            Err(fault) => return (vec![fatal(&file, fault.place, fault.message, fault.hint)], None, None),
        };
        let mut reader = Reader::new(&file, text);
        reader.prepare(&mut Variables::refused(), &mut root, &path, START);
        let spot = Spot { path, key: START, node: &root };
        check_name(&mut reader, &spot, name, &echo(name));
        if let Some(place) = taken {
            let message =
                format!("{} {name} is defined in {place}: there is one place for each", kind.word());
            reader.error(START, &spot.path, message, Some("remove one of them".to_owned()));
        }
        let (sync, chain) = match kind {
            DocumentKind::Sync => (self.sync(&mut reader, &spot, name), None),
            DocumentKind::Chain => (None, chains::chain(&mut reader, &spot, name, &self.names)),
        };
        (reader.finish().0, sync, chain)
    }

    fn sync(&self, reader: &mut Reader<'_>, spot: &Spot<'_>, name: &str) -> Option<Sync> {
        let named = |connection: &Connection| Named {
            name: connection.name.clone(),
            connector: self.connectors.iter().find(|c| c.name == connection.kind),
            connection: Some(connection.clone()),
        };
        let named: Vec<Named<'_>> = self.base.project.connections.iter().map(named).collect();
        let defaults = self.base.defaults.0.as_ref().map(|node| {
            let spot = Spot { path: "defaults".to_owned(), key: node.place, node };
            // They are those of a good project: there is nothing to report.
            schedule::defaults(&mut Reader::new(&self.base.file, ""), &spot)
        });
        sync::sync(reader, spot, name, &named, &defaults.unwrap_or_default())
    }
}

/// For each definition, where its name is taken: in the project, or by one before it.
fn taken<'b>(base: &'b Loaded, definitions: &[Definition<'_>]) -> Vec<Option<&'b str>> {
    let project = &base.project;
    let in_file: BTreeSet<(DocumentKind, &str)> = (project.syncs.iter())
        .map(|sync| (DocumentKind::Sync, sync.name.as_str()))
        .chain(project.chains.iter().map(|chain| (DocumentKind::Chain, chain.name.as_str())))
        .collect();
    let mut before = BTreeSet::new();
    let place = |definition: &Definition<'_>| {
        let name = (definition.kind, definition.name);
        let first = before.insert((definition.kind, definition.name.to_owned()));
        let file = in_file.contains(&name).then_some(base.file.as_str());
        file.or((!first).then_some("another definition"))
    };
    definitions.iter().map(place).collect()
}

/// What a chain may name: what the project has, and what is defined beside it.
fn names<'n>(project: &'n Project, definitions: &[Definition<'n>]) -> Names<'n> {
    let beside = |kind| definitions.iter().filter(move |d| d.kind == kind).map(|d| d.name);
    Names {
        connections: project.connections.iter().map(|c| c.name.as_str()).collect(),
        syncs: project.syncs.iter().map(|s| s.name.as_str()).chain(beside(DocumentKind::Sync)).collect(),
        chains: project.chains.iter().map(|c| c.name.as_str()).chain(beside(DocumentKind::Chain)).collect(),
        reports: project.reports.iter().map(|r| r.name.as_str()).collect(),
        receivers: project.receivers.iter().map(|r| r.name.as_str()).collect(),
        asked_for: project.syncs.iter().filter(|s| params::asked_for(s)).map(|s| s.name.clone()).collect(),
    }
}
