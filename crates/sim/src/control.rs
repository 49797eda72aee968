//! The control API below `/_sim/`: seed data, move the clock, inject faults, read the log. See the crate's README.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::answer::Reply;
use crate::error::Error;
use crate::faults::FaultRule;
use crate::mint::MintSpec;
use crate::operations::control_error;
use crate::options::{AppOptions, Tier};
use crate::people::{ConsentSpec, UserSpec};
use crate::service::Arrived;
use crate::site::{ListSpec, SiteSpec};
use crate::switches::Switches;
use crate::webinars;
use crate::world::World;

/// Entries of one log or item page when no limit is given.
const PAGE: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
struct Advance {
    ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemAction {
    list: String,
    #[serde(default)]
    id: u64,
    #[serde(default)]
    fields: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnAction {
    list: String,
    #[serde(default)]
    column: Option<Map<String, Value>>,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ListAction {
    list: String,
    #[serde(default)]
    display_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Challenge {
    oid: String,
    #[serde(default)]
    claims: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TierAction {
    tier: Tier,
}

/// A control request that could not be done.
#[derive(Debug)]
pub(crate) enum Problem {
    Body(String),
    World(Error),
    Unknown,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::World(error)
    }
}

/// Answers a control request.
pub(crate) fn answer(world: &World, arrived: &Arrived) -> Reply {
    let (path, query) = arrived.target.split_once('?').unwrap_or((&arrived.target, ""));
    let action = path.trim_start_matches("/_sim").trim_matches('/');
    let done = match arrived.method.as_str() {
        "GET" => read(world, action, query),
        "DELETE" => delete(world, action, query, &arrived.bytes),
        _ => write(world, action, &arrived.bytes),
    };
    match done {
        Ok(value) => Reply::value(200, &value),
        Err(Problem::Body(why)) => control_error(400, &why),
        Err(Problem::Unknown) => control_error(404, "no such control call; see crates/sim/README.md"),
        Err(Problem::World(error)) => {
            let status = match &error {
                Error::UnknownList { .. } | Error::UnknownSite { .. } => 404,
                Error::Refused { status, .. } => *status,
                _ => 400,
            };
            control_error(status, &error.to_string())
        }
    }
}

pub(crate) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| Problem::Body(error.to_string()))
}

fn option<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, v)| v)
}

fn number(query: &str, name: &str) -> Result<Option<u64>, Problem> {
    let parse = |text: &str| text.parse().map_err(|_| Problem::Body(format!("'{name}' is no number")));
    option(query, name).map(parse).transpose()
}

fn listed(query: &str) -> Result<String, Problem> {
    let list = option(query, "list").ok_or_else(|| Problem::Body("name a list: ?list=".into()))?;
    Ok(percent_encoding::percent_decode_str(&list.replace('+', " ")).decode_utf8_lossy().into_owned())
}

fn read(world: &World, action: &str, query: &str) -> Result<Value, Problem> {
    let limit = number(query, "limit")?.map_or(PAGE, |limit| usize::try_from(limit).unwrap_or(PAGE));
    Ok(match action {
        "" | "world" => {
            json!({ "tenant_id": world.tenant_id(), "now_ms": world.now_ms(), "lists": world.lists() })
        }
        "lists" => json!({ "lists": world.lists() }),
        "items" => {
            let after = number(query, "after")?.unwrap_or(0);
            json!({ "items": world.items_after(&listed(query)?, after, limit)? })
        }
        "log" => {
            let since = number(query, "since")?.unwrap_or(0);
            json!({ "last": world.last_seq(), "entries": world.log(since, limit) })
        }
        "counters" => json!(world.counters()),
        "faults" => json!({ "faults": world.faults() }),
        "users" => json!({ "users": world.users() }),
        "webinars" => json!({ "webinars": world.webinars() }),
        "switches" => json!(world.switches()),
        "clock" => json!({ "now_ms": world.now_ms(), "late": world.pending_late_applies() }),
        _ => return Err(Problem::Unknown),
    })
}

fn write(world: &World, action: &str, bytes: &[u8]) -> Result<Value, Problem> {
    let done = json!({});
    Ok(match action {
        "sites" => json!({ "id": world.add_site(&body::<SiteSpec>(bytes)?)? }),
        "lists" => json!({ "id": world.add_list(&body::<ListSpec>(bytes)?)? }),
        "lists/rename" => {
            let given: ListAction = body(bytes)?;
            world.rename_list(&given.list, given.display_name.as_deref().unwrap_or(""))?;
            done
        }
        "columns" => {
            let given: ColumnAction = body(bytes)?;
            let column = given.column.ok_or_else(|| Problem::Body("give a 'column'".into()))?;
            json!({ "name": world.add_column(&given.list, &column)? })
        }
        "clock/advance" => {
            world.advance(Duration::from_millis(body::<Advance>(bytes)?.ms));
            json!({ "now_ms": world.now_ms() })
        }
        "latency" => {
            world.set_latency(Duration::from_millis(body::<Advance>(bytes)?.ms));
            done
        }
        "faults" => json!({ "id": world.add_fault(body::<FaultRule>(bytes)?)? }),
        "switches" => {
            world.set_switches(patched_switches(world, bytes)?);
            json!(world.switches())
        }
        "tier" => {
            world.set_tier(body::<TierAction>(bytes)?.tier);
            done
        }
        "apps" => {
            world.set_app(&body::<AppOptions>(bytes)?)?;
            done
        }
        "users" => {
            world.add_user(&body::<UserSpec>(bytes)?)?;
            done
        }
        "users/challenge" => {
            let given: Challenge = body(bytes)?;
            world.challenge_user(&given.oid, given.claims.as_ref());
            done
        }
        "consent" => {
            world.consent(&body::<ConsentSpec>(bytes)?)?;
            done
        }
        "tokens/mint" => json!({ "token": world.mint_user_token(&body::<MintSpec>(bytes)?)? }),
        "tokens/roll" => json!({ "kid": world.roll_signing_key()? }),
        "tokens/expire" => {
            world.expire_tokens();
            done
        }
        "delta/expire" => {
            world.expire_delta_tokens();
            done
        }
        _ if action.starts_with("webinars") => return webinars::seed::control(world, action, bytes),
        _ => return item_action(world, action, bytes),
    })
}

/// What another user does.
fn item_action(world: &World, action: &str, bytes: &[u8]) -> Result<Value, Problem> {
    let Some(action) = action.strip_prefix("items/") else { return Err(Problem::Unknown) };
    if !matches!(action, "create" | "edit" | "delete" | "duplicate") {
        return Err(Problem::Unknown);
    }
    let given: ItemAction = body(bytes)?;
    let id = match action {
        "create" => world.create_item(&given.list, &given.fields)?,
        "duplicate" => world.duplicate_item(&given.list, given.id)?,
        "edit" => world.edit_item(&given.list, given.id, &given.fields).map(|()| given.id)?,
        _ => world.delete_item(&given.list, given.id).map(|()| given.id)?,
    };
    Ok(json!({ "id": id }))
}

fn delete(world: &World, action: &str, query: &str, bytes: &[u8]) -> Result<Value, Problem> {
    match action {
        "faults" => world.clear_faults(number(query, "id")?),
        "lists" => world.remove_list(&listed(query)?)?,
        "columns" => {
            let given: ColumnAction = body(bytes)?;
            world.remove_column(&given.list, given.name.as_deref().unwrap_or(""))?;
        }
        _ => return Err(Problem::Unknown),
    }
    Ok(json!({}))
}

/// Only the given switches change.
fn patched_switches(world: &World, bytes: &[u8]) -> Result<Switches, Problem> {
    let given: Map<String, Value> = body(bytes)?;
    let mut all = json!(world.switches());
    if let Some(all) = all.as_object_mut() {
        all.extend(given);
    }
    serde_json::from_value(all).map_err(|error| Problem::Body(error.to_string()))
}
