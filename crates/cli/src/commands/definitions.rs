//! `syncline definitions`

use serde_json::json;
use syncline_store::service::{Definition, DefinitionKind, ServiceStore};

use crate::{
    args::Global,
    exit::{Exit, Failure},
    output, project,
    service::args::{
        DefinitionArgs, DefinitionsCommand, DefinitionsDiffArgs, DefinitionsListArgs, DefinitionsVersionsArgs,
    },
    show,
    table::{Set, Table},
};

pub(crate) async fn run(global: &Global, command: DefinitionsCommand) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let Some(store) = opened.existing_store().await? else { return Err(opened.nothing_yet()) };
    match command {
        DefinitionsCommand::List(args) => list(&*store, &args).await,
        DefinitionsCommand::Versions(args) => versions(&*store, &args).await,
        DefinitionsCommand::Diff(args) => diff(&*store, &args).await,
    }
}

async fn list(store: &dyn ServiceStore, args: &DefinitionsListArgs) -> Result<Exit, Failure> {
    let found = store.definitions().await?;
    print(&found, args.json, "nothing is stored: the project file alone defines what is served");
    Ok(Exit::Done)
}

async fn versions(store: &dyn ServiceStore, args: &DefinitionsVersionsArgs) -> Result<Exit, Failure> {
    let (kind, name) = named(&args.definition)?;
    let found = store.definition_versions(kind, name, None, args.limit).await?;
    print(&found, args.json, "there is no such definition in the store");
    Ok(Exit::Done)
}

async fn diff(store: &dyn ServiceStore, args: &DefinitionsDiffArgs) -> Result<Exit, Failure> {
    let (kind, name) = named(&args.definition)?;
    let before = args.number.map(|version| version.saturating_add(1));
    let found = store.definition_versions(kind, name, before, 2).await?;
    let newest = found.first().filter(|d| args.number.is_none_or(|version| version == d.version));
    let newest = newest.ok_or_else(|| {
        Failure::usage("there is no such version").hint("`syncline definitions versions` shows what there is")
    })?;
    let body =
        |definition: Option<&Definition>| definition.and_then(|d| d.stored.body.clone()).unwrap_or_default();
    let text = syncline_spec::diff(&body(found.get(1)), &body(Some(newest)));
    output::line(text.trim_end());
    Ok(Exit::Done)
}

/// A project has no name, all else has one.
fn named(args: &DefinitionArgs) -> Result<(DefinitionKind, &str), Failure> {
    let kind = DefinitionKind::from(args.kind);
    match (kind, args.name.as_str()) {
        (DefinitionKind::Project, "") => Ok((kind, "")),
        (DefinitionKind::Project, _) => Err(Failure::usage("there is one project, without a name")),
        (_, "") => Err(Failure::usage(format!("which {}? give its name", kind.as_str()))),
        (_, name) => Ok((kind, name)),
    }
}

fn print(found: &[Definition], as_json: bool, nothing: &str) {
    if as_json {
        for Definition { version, stored } in found {
            output::json(&json!({
                "kind": stored.kind,
                "name": stored.name,
                "version": version,
                "removed": stored.body.is_none(),
                "by": stored.by,
                "at": stored.at,
            }));
        }
        return;
    }
    if found.is_empty() {
        output::line(nothing);
        return;
    }
    let columns = [("kind", Set::Left), ("name", Set::Left), ("version", Set::Right)];
    let rest = ["stored", "by", ""].map(|name| (name, Set::Left));
    let mut table = Table::new(&[&columns[..], &rest[..]].concat());
    for Definition { version, stored } in found {
        let removed = if stored.body.is_none() { "removed" } else { "" };
        table.row(vec![
            stored.kind.as_str().to_owned(),
            stored.name.clone(),
            version.to_string(),
            show::time(stored.at),
            stored.by.clone(),
            removed.to_owned(),
        ]);
    }
    table.lines().for_each(output::line);
}
