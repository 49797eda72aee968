//! The column `SynclineKey`, which carries the identity of each record (facts §2.6: a create has no idempotency key).

use bytes::Bytes;
use reqwest::Method;
use serde_json::json;
use syncline_core::schema::{FieldType, Stream};

use super::{COST_OTHER, STAMP_FIELD, describe, doing};
use crate::{
    Error,
    destination::Stamp,
    error::Kind,
    graph::client::{Address, Call, Client, segment},
};

/// Length of a stamp: SHA-256 in hexadecimal.
const STAMP_LENGTH: usize = 64;

/// How well a list carries identities.
pub(super) fn of(stream: &Stream) -> Stamp {
    match stream.field(STAMP_FIELD) {
        Some(field) if field.kind != FieldType::Text || field.limits.read_only => Stamp::None,
        Some(field) if field.limits.max_length.is_some_and(|max| max < STAMP_LENGTH) => Stamp::None,
        Some(field) if field.limits.unique => Stamp::Unique,
        Some(field) if field.limits.indexed => Stamp::Indexed,
        _ => Stamp::None,
    }
}

/// Whether stamps can be written at all, found again or not.
pub(super) fn is_present(stream: &Stream) -> bool {
    stream.field(STAMP_FIELD).is_some_and(|f| f.kind == FieldType::Text && !f.limits.read_only)
}

/// Makes the column, or makes an existing one indexed and unique.
pub(super) async fn prepare(client: &Client, list: &str, stream: &Stream) -> Result<Vec<String>, Error> {
    let named = |e: Error| e.context(format_args!("list {:?}", stream.name));
    prepare_column(client, list)
        .await
        .map_err(named)
        .map(|done| done.map(|what| format!("list {:?}: {what}", stream.name)).into_iter().collect())
}

async fn prepare_column(client: &Client, list: &str) -> Result<Option<String>, Error> {
    let Some(column) = describe::column(client, list, STAMP_FIELD).await? else {
        let body = json!({
            "name": STAMP_FIELD,
            "displayName": STAMP_FIELD,
            "description": "Identity of the record this item is kept in agreement with. Written by Syncline.",
            "text": { "allowMultipleLines": false, "maxLength": STAMP_LENGTH },
            "indexed": true,
            "enforceUniqueValues": true,
        });
        change(client, Method::POST, &format!("{list}/columns"), &body).await?;
        return Ok(Some(format!("created the column {STAMP_FIELD}: text, indexed, unique")));
    };
    if column.indexed && column.enforce_unique_values {
        return Ok(None);
    }
    let path = format!("{list}/columns/{}", segment(&column.id));
    change(client, Method::PATCH, &path, &json!({ "indexed": true, "enforceUniqueValues": true })).await?;
    Ok(Some(format!("made the column {STAMP_FIELD} indexed and unique")))
}

async fn change(client: &Client, method: Method, path: &str, body: &serde_json::Value) -> Result<(), Error> {
    let call = Call {
        method,
        address: Address::Path(path),
        body: Some(Bytes::from(body.to_string())),
        if_match: None,
        cost: COST_OTHER,
        requests: 1,
        list: None,
    };
    let answer = client.send(call).await?;
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    let error = answer.refusal(doing::COLUMNS).context(format_args!("column {STAMP_FIELD}"));
    Err(match error.kind {
        Kind::Forbidden => error.hint(format!(
            "creating columns needs the Microsoft Graph application permission Sites.Manage.All (or Sites.Selected with \
             the role manage on this site): ask an administrator to grant it, or to add the column by hand: single line \
             of text, named {STAMP_FIELD}, indexed, with unique values enforced"
        )),
        Kind::Definition | Kind::Duplicate => error.hint(format!(
            "the list may hold equal values in {STAMP_FIELD}, or too many items to be indexed now; its owner can make the \
             column indexed and unique in the list's settings"
        )),
        _ => error,
    })
}
