//! The work of each operation, once it is admitted (facts §2).

use serde_json::{Map, Value, json};

use crate::access::Need;
use crate::answer::{Refusal, Reply, Stamp};
use crate::column::{Column, text_of};
use crate::delta::{self, DeltaRequest};
use crate::graph::{Call, Effect, Twist};
use crate::json_out::JsonOut;
use crate::list::{List, WriteContext};
use crate::listing::{self, ListingRequest};
use crate::query::FieldsShape;
use crate::route::{ListRef, Route, SiteRef};
use crate::show::{self, Place};
use crate::site::ListSpec;
use crate::state::State;
use crate::webinars;

/// Executes an operation. `effect` says what was changed, also when the answer is a refusal.
pub(crate) fn execute(
    state: &mut State,
    call: &Call,
    stamp: &Stamp,
    twist: Twist,
    effect: &mut Effect,
) -> Result<Reply, Refusal> {
    if let Some(problem) = &call.problem {
        return Err(problem.clone());
    }
    match (&call.route, call.method.as_str()) {
        (Route::Sites, "GET") => search_sites(state, call),
        (Route::Site(site), "GET") => get_site(state, call, site),
        (Route::Lists(site), "GET") => get_lists(state, call, site),
        (Route::Lists(site), "POST") => create_list(state, call, site, effect),
        (Route::List(list), "GET") => get_list(state, call, list),
        (Route::List(list), "PATCH") => change_list(state, call, list, effect),
        (Route::List(list), "DELETE") => delete_list(state, call, list, effect),
        (Route::Columns(list), "GET") => get_columns(state, call, list),
        (Route::Columns(list), "POST") => create_column(state, call, list, effect),
        (Route::Column(list, column), "GET") => get_column(state, call, list, column),
        (Route::Column(list, column), "PATCH") => change_column(state, call, list, column, effect),
        (Route::Column(list, column), "DELETE") => delete_column(state, call, list, column, effect),
        (Route::Items(list), "GET") => get_items(state, call, list),
        (Route::Items(list), "POST") => create_item(state, call, list, effect),
        (Route::Item(list, id), "GET") => get_item(state, call, list, id),
        (Route::Item(list, id), "PATCH") => update_item(state, call, list, id, effect),
        (Route::Item(list, id), "DELETE") => delete_item(state, call, list, id, effect),
        (Route::Fields(list, id), "GET") => get_fields(state, call, list, id),
        (Route::Fields(list, id), "PATCH") => update_fields(state, call, list, id, effect),
        (Route::Delta(list, token, path), "GET") => {
            get_delta(state, call, stamp, twist, (list, token.as_deref(), path))
        }
        (Route::Event(event), _) => webinars::answer::answer(state, call, event),
        (Route::Unknown(segment), _) => {
            Err(Refusal::new(400, "BadRequest", format!("Resource not found for the segment '{segment}'.")))
        }
        _ => Err(Refusal::new(
            405,
            "Request_BadRequest",
            "Specified HTTP method is not allowed for the request target.",
        )),
    }
}

fn allowed_site(state: &State, call: &Call, site: &SiteRef, need: Need) -> Result<usize, Refusal> {
    match state.find_site(site) {
        Ok(found) => state.may(&call.caller, need, Some(&state.sites[found])).map(|()| found),
        // Without a role for all sites, a missing site looks like a forbidden one.
        Err(missing) => state.may(&call.caller, need, None).and(Err(missing)),
    }
}

fn allowed_list(state: &State, call: &Call, list: &ListRef, need: Need) -> Result<(usize, usize), Refusal> {
    allowed_site(state, call, &list.site, need)?;
    state.find_list(list)
}

fn place<'a>(state: &'a State, call: &'a Call, at: (usize, usize)) -> Place<'a> {
    let site = &state.sites[at.0];
    Place { base: &call.base, site, list: &site.lists[at.1] }
}

/// A collection answer: `@odata.context` and `value`.
fn collection(context: &str, write: impl FnOnce(&mut JsonOut)) -> Reply {
    let mut out = JsonOut::with_capacity(1024);
    out.open();
    out.text_field("@odata.context", context);
    out.key("value");
    out.open_array();
    write(&mut out);
    out.close_array();
    out.close();
    Reply::json(200, out.into_bytes())
}

fn search_sites(state: &State, call: &Call) -> Result<Reply, Refusal> {
    state.may(&call.caller, Need::Read, None)?;
    let text = call.query.search.as_deref().unwrap_or("*").trim_matches(['"', '*']).to_lowercase();
    let found = state.sites.iter().filter(|site| {
        site.display_name.to_lowercase().contains(&text) || site.name().to_lowercase().contains(&text)
    });
    Ok(collection(&format!("{}/v1.0/$metadata#sites", call.base), |out| {
        found.for_each(|site| show::site(out, site, None));
    }))
}

fn get_site(state: &State, call: &Call, site: &SiteRef) -> Result<Reply, Refusal> {
    let at = allowed_site(state, call, site, Need::Read)?;
    let mut out = JsonOut::with_capacity(512);
    show::site(&mut out, &state.sites[at], Some(&call.base));
    Ok(Reply::json(200, out.into_bytes()))
}

fn get_lists(state: &State, call: &Call, site: &SiteRef) -> Result<Reply, Refusal> {
    let at = allowed_site(state, call, site, Need::Read)?;
    let site = &state.sites[at];
    let wanted = call.query.filter.as_deref().map(list_filter).transpose()?;
    let context = format!("{}/v1.0/$metadata#sites('{}')/lists", call.base, site.id.replace(',', "%2C"));
    Ok(collection(&context, |out| {
        let named =
            |list: &&List| wanted.as_ref().is_none_or(|title| list.display_name.eq_ignore_ascii_case(title));
        for list in site.lists.iter().filter(|list| !list.hidden).filter(named) {
            let place = Place { base: &call.base, site, list };
            show::list(out, &place, false, call.query.expands("columns"));
        }
    }))
}

/// `displayName eq '…'`, the one filter on lists that is simulated; another is refused, never ignored.
fn list_filter(text: &str) -> Result<String, Refusal> {
    let title = text.trim().strip_prefix("displayName eq '").and_then(|rest| rest.strip_suffix('\''));
    title.map(|title| title.replace("''", "'")).ok_or_else(|| {
        Refusal::invalid("Invalid filter clause: lists are filtered by displayName only")
            .with_inner("invalidQueryOption")
    })
}

fn one_list(state: &State, call: &Call, at: (usize, usize), status: u16) -> Reply {
    let mut out = JsonOut::with_capacity(1024);
    show::list(&mut out, &place(state, call, at), true, call.query.expands("columns"));
    Reply::json(status, out.into_bytes())
}

fn get_list(state: &State, call: &Call, list: &ListRef) -> Result<Reply, Refusal> {
    let at = allowed_list(state, call, list, Need::Read)?;
    Ok(one_list(state, call, at, 200))
}

fn create_list(
    state: &mut State,
    call: &Call,
    site: &SiteRef,
    effect: &mut Effect,
) -> Result<Reply, Refusal> {
    let at = allowed_site(state, call, site, Need::Manage)?;
    let body = call.body.object()?;
    let spec = ListSpec {
        display_name: text_of(body, "displayName")?.unwrap_or_default(),
        name: text_of(body, "name")?,
        description: text_of(body, "description")?.unwrap_or_default(),
        columns: body.get("columns").and_then(Value::as_array).cloned().unwrap_or_default(),
        ..ListSpec::default()
    };
    let template = body.get("list").and_then(|list| list.get("template")).and_then(Value::as_str);
    let now_ms = state.clock.now_ms();
    let State { sites, chance, rules, .. } = state;
    let list = sites[at].create_list(&spec, now_ms, chance, rules)?;
    if let Some(template) = template {
        template.clone_into(&mut sites[at].lists[list].template);
    }
    effect.applied = true;
    Ok(one_list(state, call, (at, list), 201))
}

fn change_list(
    state: &mut State,
    call: &Call,
    list: &ListRef,
    effect: &mut Effect,
) -> Result<Reply, Refusal> {
    let at = allowed_list(state, call, list, Need::Manage)?;
    let body = call.body.object()?;
    let title = text_of(body, "displayName")?.or(text_of(body, "name")?);
    let description = text_of(body, "description")?;
    if let Some(title) = title {
        let taken = state.sites[at.0].find_list(&title, true).is_some_and(|other| other != at.1);
        if taken || title.trim().is_empty() {
            return Err(Refusal::new(409, "nameAlreadyExists", "Name already exists"));
        }
        state.list_mut(at).display_name = title;
    }
    let list = state.list_mut(at);
    if let Some(description) = description {
        list.description = description;
    }
    list.touch_schema();
    effect.applied = true;
    Ok(one_list(state, call, at, 200))
}

fn delete_list(
    state: &mut State,
    call: &Call,
    list: &ListRef,
    effect: &mut Effect,
) -> Result<Reply, Refusal> {
    let at = allowed_list(state, call, list, Need::Manage)?;
    state.sites[at.0].lists.remove(at.1);
    effect.applied = true;
    Ok(Reply::empty(204))
}

fn columns_context(state: &State, call: &Call, at: (usize, usize)) -> String {
    let site = &state.sites[at.0];
    format!(
        "{}/v1.0/$metadata#sites('{}')/lists('{}')/columns",
        call.base,
        site.id.replace(',', "%2C"),
        site.lists[at.1].id
    )
}

fn get_columns(state: &State, call: &Call, list: &ListRef) -> Result<Reply, Refusal> {
    let at = allowed_list(state, call, list, Need::Read)?;
    let list = &state.sites[at.0].lists[at.1];
    let show_hidden = state.rules.columns_show_hidden;
    Ok(collection(&columns_context(state, call, at), |out| {
        for column in list.columns().filter(|column| show_hidden || !column.hidden) {
            column.write(out);
        }
    }))
}

fn one_column(state: &State, call: &Call, at: (usize, usize), number: u32, status: u16) -> Reply {
    let mut out = JsonOut::with_capacity(512);
    out.open();
    out.text_field("@odata.context", &format!("{}/$entity", columns_context(state, call, at)));
    if let Some(column) = state.sites[at.0].lists[at.1].column(number) {
        column.write_properties(&mut out);
    }
    out.close();
    Reply::json(status, out.into_bytes())
}

fn found_column(list: &List, key: &str) -> Result<u32, Refusal> {
    list.find_column(key).ok_or_else(|| Refusal::not_found("The specified column was not found"))
}

fn get_column(state: &State, call: &Call, list: &ListRef, key: &str) -> Result<Reply, Refusal> {
    let at = allowed_list(state, call, list, Need::Read)?;
    let number = found_column(&state.sites[at.0].lists[at.1], key)?;
    Ok(one_column(state, call, at, number, 200))
}

fn create_column(
    state: &mut State,
    call: &Call,
    list: &ListRef,
    effect: &mut Effect,
) -> Result<Reply, Refusal> {
    let at = allowed_list(state, call, list, Need::Manage)?;
    let State { sites, chance, rules, .. } = state;
    let column = Column::parse(call.body.object()?, chance)?;
    let number = sites[at.0].lists[at.1].add_column(column, rules)?;
    effect.applied = true;
    Ok(one_column(state, call, at, number, 201))
}

fn change_column(
    state: &mut State,
    call: &Call,
    list: &ListRef,
    key: &str,
    effect: &mut Effect,
) -> Result<Reply, Refusal> {
    let at = allowed_list(state, call, list, Need::Manage)?;
    let State { sites, rules, .. } = state;
    let list = &mut sites[at.0].lists[at.1];
    let number = found_column(list, key)?;
    let body = call.body.object()?;
    let column = list.column(number).map(|column| column.patched(body)).transpose()?;
    if let Some(column) = column {
        list.change_column(number, column, rules)?;
        effect.applied = true;
    }
    Ok(one_column(state, call, at, number, 200))
}

fn delete_column(
    state: &mut State,
    call: &Call,
    list: &ListRef,
    key: &str,
    effect: &mut Effect,
) -> Result<Reply, Refusal> {
    let at = allowed_list(state, call, list, Need::Manage)?;
    let list = state.list_mut(at);
    let number = found_column(list, key)?;
    list.remove_column(number)?;
    effect.applied = true;
    Ok(Reply::empty(204))
}

fn get_items(state: &State, call: &Call, list: &ListRef) -> Result<Reply, Refusal> {
    let at = allowed_list(state, call, list, Need::Read)?;
    let request = ListingRequest {
        query: &call.query,
        prefer: call.prefer.as_deref(),
        path: &call.path,
        raw_query: &call.raw_query,
        now_ms: state.clock.now_ms(),
    };
    listing::list_items(&place(state, call, at), &request, &state.rules)
}

fn get_delta(
    state: &mut State,
    call: &Call,
    stamp: &Stamp,
    twist: Twist,
    (list, path_token, path): (&ListRef, Option<&str>, &str),
) -> Result<Reply, Refusal> {
    let at = allowed_list(state, call, list, Need::Read)?;
    let request = DeltaRequest {
        query: &call.query,
        path_token,
        path,
        now_ms: state.clock.now_ms(),
        generation: state.delta_generation,
        broken_deletion: twist.broken_deletion,
        stamp,
    };
    let State { sites, rules, chance, .. } = state;
    let site = &sites[at.0];
    let place = Place { base: &call.base, site, list: &site.lists[at.1] };
    delta::delta(&place, &request, rules, chance)
}

fn item_number(id: &str) -> Result<u64, Refusal> {
    id.parse().map_err(|_| Refusal::invalid("The item id is not valid"))
}

fn one_item(state: &State, call: &Call, at: (usize, usize), id: u64, status: u16) -> Result<Reply, Refusal> {
    let place = place(state, call, at);
    let item = place.list.item(id)?;
    listing::check_lookups(place.list, &call.query.shape.fields, &state.rules)?;
    let mut shape = call.query.shape.clone();
    if call.method != hyper::Method::GET && shape.fields == FieldsShape::Absent {
        // Answers to writes show the fields [K], under a switch for creates.
        let shown = status != 201 || state.rules.create_returns_fields;
        shape.fields = if shown { FieldsShape::All } else { FieldsShape::Absent };
    }
    let mut out = JsonOut::with_capacity(2048);
    show::item(&mut out, &place, item, &shape, true);
    Ok(Reply::json(status, out.into_bytes()).with_header("ETag", item.etag()))
}

fn get_item(state: &State, call: &Call, list: &ListRef, id: &str) -> Result<Reply, Refusal> {
    let at = allowed_list(state, call, list, Need::Read)?;
    one_item(state, call, at, item_number(id)?, 200)
}

fn fields_answer(state: &State, call: &Call, at: (usize, usize), id: u64) -> Result<Reply, Refusal> {
    let place = place(state, call, at);
    let item = place.list.item(id)?;
    let shape = match &call.query.shape.select {
        Some(names) => FieldsShape::Named(names.clone()),
        None => FieldsShape::All,
    };
    let mut out = JsonOut::with_capacity(1024);
    let context = show::fields_context(&place, item);
    show::fields(&mut out, place.list, item, &shape, Some(&context));
    Ok(Reply::json(200, out.into_bytes()).with_header("ETag", item.etag()))
}

fn get_fields(state: &State, call: &Call, list: &ListRef, id: &str) -> Result<Reply, Refusal> {
    let at = allowed_list(state, call, list, Need::Read)?;
    fields_answer(state, call, at, item_number(id)?)
}

/// The `fields` of an item body. A bare map of column values is refused here (facts §2.6 \[D\]).
fn wrapped_fields(body: &Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
    const KNOWN: [&str; 4] = ["fields", "contentType", "name", "description"];
    let unknown = body.keys().find(|key| !key.contains("@odata.") && !KNOWN.contains(&key.as_str()));
    if let Some(key) = unknown {
        return Err(Refusal::invalid(format!(
            "The property '{key}' does not exist on type 'microsoft.graph.listItem'."
        )));
    }
    match body.get("fields") {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(fields)) => Ok(fields.clone()),
        Some(_) => Err(Refusal::invalid("The property 'fields' must be an object")),
    }
}

fn create_item(
    state: &mut State,
    call: &Call,
    list: &ListRef,
    effect: &mut Effect,
) -> Result<Reply, Refusal> {
    let at = allowed_list(state, call, list, Need::Write)?;
    let fields = wrapped_fields(call.body.object()?)?;
    let now_ms = state.clock.now_ms();
    let State { sites, rules, chance, apps, .. } = state;
    let list = &mut sites[at.0].lists[at.1];
    let written = list.parse_fields(&fields, rules)?;
    let context = WriteContext { who: &apps[call.caller.app].actor, now_ms, rules };
    let id = list.create(written, &context, chance)?;
    *effect = Effect { applied: true, item: Some(id) };
    one_item(state, call, at, id, 201)
}

fn update(
    state: &mut State,
    call: &Call,
    at: (usize, usize),
    id: u64,
    fields: &Map<String, Value>,
    effect: &mut Effect,
) -> Result<(), Refusal> {
    let now_ms = state.clock.now_ms();
    let State { sites, rules, apps, .. } = state;
    let list = &mut sites[at.0].lists[at.1];
    list.item(id)?;
    let written = list.parse_fields(fields, rules)?;
    let context = WriteContext { who: &apps[call.caller.app].actor, now_ms, rules };
    list.update(id, written, call.if_match.as_deref(), &context)?;
    *effect = Effect { applied: true, item: Some(id) };
    Ok(())
}

fn update_item(
    state: &mut State,
    call: &Call,
    list: &ListRef,
    id: &str,
    effect: &mut Effect,
) -> Result<Reply, Refusal> {
    let at = allowed_list(state, call, list, Need::Write)?;
    let id = item_number(id)?;
    let fields = wrapped_fields(call.body.object()?)?;
    update(state, call, at, id, &fields, effect)?;
    one_item(state, call, at, id, 200)
}

fn update_fields(
    state: &mut State,
    call: &Call,
    list: &ListRef,
    id: &str,
    effect: &mut Effect,
) -> Result<Reply, Refusal> {
    let at = allowed_list(state, call, list, Need::Write)?;
    let id = item_number(id)?;
    update(state, call, at, id, call.body.object()?, effect)?;
    fields_answer(state, call, at, id)
}

fn delete_item(
    state: &mut State,
    call: &Call,
    list: &ListRef,
    id: &str,
    effect: &mut Effect,
) -> Result<Reply, Refusal> {
    let at = allowed_list(state, call, list, Need::Write)?;
    let id = item_number(id)?;
    let now_ms = state.clock.now_ms();
    let State { sites, rules, apps, .. } = state;
    let context = WriteContext { who: &apps[call.caller.app].actor, now_ms, rules };
    sites[at.0].lists[at.1].delete(id, call.if_match.as_deref(), &context)?;
    *effect = Effect { applied: true, item: Some(id) };
    Ok(Reply::empty(204))
}

/// The envelope around errors of the control side, which is not Graph.
pub(crate) fn control_error(status: u16, message: &str) -> Reply {
    Reply::value(status, &json!({ "error": message }))
}
