//! `syncline apply`

use serde_json::json;
use syncline_store::service::{Definition, DefinitionKind, NewDefinition, NewEvent, ServiceStore};

use crate::{
    args::Global,
    exit::{Exit, Failure},
    output, project,
    service::{
        args::ApplyArgs,
        reading::{self, Place},
    },
    wiring,
};

pub(crate) async fn run(global: &Global, args: &ApplyArgs) -> Result<Exit, Failure> {
    let opened = project::open_for_store(global)?;
    let store = opened.store().await?;
    let stored = store.definitions().await?;
    let now = wiring::clock().now();
    let current = stored.iter().find(|d| d.stored.kind == DefinitionKind::Project).cloned();
    let new = NewDefinition {
        kind: DefinitionKind::Project,
        name: String::new(),
        body: Some(opened.text.clone()),
        by: "cli".to_owned(),
        at: now,
    };
    let before = current.as_ref().and_then(|d| d.stored.body.as_deref()).unwrap_or_default();
    if before == opened.text {
        let version = current.map_or(0, |d| d.version);
        output::line(format!("nothing differs from version {version}"));
        return Ok(Exit::Done);
    }
    fits(global, &new, stored)?;
    output::line(syncline_spec::diff(before, &opened.text).trim_end());
    if args.dry_run {
        output::chat("nothing was stored");
        return Ok(Exit::Changes);
    }
    // A removed definition has a version too.
    let expected = newest(&*store).await?;
    let version = store.put_definition(new, Some(expected)).await?.ok_or_else(|| {
        Failure::failed("somebody else stored a version meanwhile; nothing was stored")
            .hint("look at it with `syncline definitions diff project`, then apply again")
    })?;
    let message = format!("version {version} of the project was applied");
    let data = json!({ "version": version, "by": "cli" });
    let event = NewEvent {
        at: now,
        kind: "definition.applied".to_owned(),
        subject: None,
        run: None,
        correlation: None,
        message,
        data,
    };
    store.append_events(&[event]).await?;
    output::line(format!("stored as version {version}; services that run with --from-store take it over"));
    Ok(Exit::Done)
}

/// The version that is newest, 0 where there is none.
async fn newest(store: &dyn ServiceStore) -> Result<u64, Failure> {
    let versions = store.definition_versions(DefinitionKind::Project, "", None, 1).await?;
    Ok(versions.first().map_or(0, |definition| definition.version))
}

/// Whether the project goes together with what the API stored.
fn fits(global: &Global, new: &NewDefinition, mut stored: Vec<Definition>) -> Result<(), Failure> {
    stored.retain(|d| d.stored.kind != DefinitionKind::Project);
    stored.push(Definition { version: 0, stored: new.clone() });
    let place = Place { file: global.file.clone(), applied: true, lenient: true };
    match reading::read(&place, &stored).found {
        Ok(_) => Ok(()),
        Err(broken) => {
            Err(Failure::usage(format!("it does not go together with what is stored:\n{}", broken.told)))
        }
    }
}
