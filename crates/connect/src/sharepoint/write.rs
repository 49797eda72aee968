//! Creates, updates and deletes (facts §2.6), twenty to a request.

use reqwest::Method;
use serde::Deserialize;
use syncline_core::{
    identity::Identity,
    schema::{Field, Stream},
};

use super::{
    COST_OTHER, STAMP_FIELD,
    batch::{self, Part, PartAnswer},
    describe, doing, stamp, types,
};
use crate::{
    Error,
    destination::{Applied, Operation, OperationKind},
    error::Kind,
    graph::{
        client::{Client, segment},
        errors::{self, Doing},
    },
};

/// Sends operations; one result each, in order.
pub(super) async fn write(
    client: &Client,
    list: &str,
    stream: &Stream,
    fields: &[Field],
    operations: &[Operation],
) -> Vec<Result<Applied, Error>> {
    let stamped = stamp::is_present(stream);
    let mut results: Vec<Option<Result<Applied, Error>>> = Vec::with_capacity(operations.len());
    let mut parts = Vec::with_capacity(operations.len());
    let mut sent = Vec::with_capacity(operations.len());
    for (index, operation) in operations.iter().enumerate() {
        match part(list, fields, operation, stamped) {
            Ok(part) => {
                parts.push(part);
                sent.push(index);
                results.push(None);
            }
            Err(error) => results.push(Some(Err(error))),
        }
    }
    let answers = batch::exchange(client, &stream.id, &parts).await;
    let mut missing = false;
    for ((index, part), answer) in sent.iter().zip(&parts).zip(answers) {
        let result = answer.and_then(|answer| applied(&operations[*index], part.doing, &answer));
        missing |= result.as_ref().is_err_and(|e| is_missing(e.kind));
        results[*index] = Some(result);
    }
    if missing {
        tell_missing_apart(client, list, stream, &mut results).await;
    }
    results.into_iter().map(|r| r.unwrap_or_else(unanswered)).collect()
}

/// Cannot happen: every operation is either refused here or sent. But a wrong answer would be worse than a doubt.
fn unanswered() -> Result<Applied, Error> {
    Err(Error::new(Kind::Unanswered, "no answer to this operation"))
}

fn part(list: &str, fields: &[Field], operation: &Operation, stamped: bool) -> Result<Part, Error> {
    let item = |id: &str| format!("{list}/items/{}", segment(id));
    let write = |doing, method, path, if_match: &Option<String>, body| Part {
        doing,
        method,
        path,
        if_match: if_match.clone(),
        body,
        cost: COST_OTHER,
    };
    Ok(match &operation.kind {
        OperationKind::Create => {
            let mut body = b"{\"fields\":".to_vec();
            columns(fields, operation, stamped.then_some(&operation.identity), &mut body)?;
            body.push(b'}');
            write(doing::CREATE, Method::POST, format!("{list}/items"), &None, Some(body))
        }
        OperationKind::Update { id, version, stamp } => {
            // On `/fields` the map is bare (facts §2.6).
            let mut body = Vec::new();
            let identity = (*stamp && stamped).then_some(&operation.identity);
            columns(fields, operation, identity, &mut body)?;
            write(doing::CHANGE, Method::PATCH, format!("{}/fields", item(id)), version, Some(body))
        }
        OperationKind::Delete { id, version } => {
            write(doing::CHANGE, Method::DELETE, item(id), version, None)
        }
    })
}

/// Appends the map of columns.
fn columns(
    fields: &[Field],
    operation: &Operation,
    identity: Option<&Identity>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    out.push(b'{');
    let mut first = true;
    if let Some(identity) = identity {
        batch::text(STAMP_FIELD, out);
        out.push(b':');
        batch::text(&identity.stamp(), out);
        first = false;
    }
    for (index, value) in &operation.values {
        let field = fields.get(*index).ok_or_else(|| {
            Error::new(Kind::Definition, format!("the operation names field {index} of {}", fields.len()))
        })?;
        if !first {
            out.push(b',');
        }
        first = false;
        types::write(field, value, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// What a write answers: a listItem after a create, a fieldValueSet after an update.
#[derive(Deserialize)]
struct Written {
    id: Option<String>,
    #[serde(rename = "@odata.etag")]
    odata_etag: Option<String>,
    #[serde(rename = "eTag")]
    etag: Option<String>,
}

pub(super) fn applied(operation: &Operation, doing: Doing, answer: &PartAnswer) -> Result<Applied, Error> {
    if !answer.is_success() {
        let error = answer.refusal(doing);
        return Err(match &operation.kind {
            OperationKind::Create => error,
            OperationKind::Update { id, .. } | OperationKind::Delete { id, .. } => {
                error.context(format_args!("item {id}"))
            }
        });
    }
    let written: Option<Written> = serde_json::from_slice(&answer.body).ok();
    let version = written.as_ref().and_then(|w| w.odata_etag.clone().or_else(|| w.etag.clone()));
    match &operation.kind {
        OperationKind::Create => match written.and_then(|w| w.id).filter(|id| !id.is_empty()) {
            Some(id) => Ok(Applied { id, version }),
            // It happened, but where? Only a look-up can tell.
            None => Err(Error::new(
                Kind::Unanswered,
                format!("created, but the answer does not say which item (request {})", answer.request()),
            )),
        },
        OperationKind::Update { id, .. } => Ok(Applied { id: id.clone(), version }),
        OperationKind::Delete { id, .. } => Ok(Applied { id: id.clone(), version: None }),
    }
}

fn is_missing(kind: Kind) -> bool {
    matches!(kind, Kind::RecordMissing | Kind::StreamMissing)
}

/// A 404 means the item or the list; one look at the list tells which.
async fn tell_missing_apart(
    client: &Client,
    list: &str,
    stream: &Stream,
    results: &mut [Option<Result<Applied, Error>>],
) {
    let there = describe::exists(client, list).await;
    for error in results.iter_mut().filter_map(|r| r.as_mut()?.as_mut().err()) {
        if !is_missing(error.kind) {
            continue;
        }
        match &there {
            Ok(false) => {
                *error = Error::new(Kind::StreamMissing, format!("list {:?} does not exist", stream.name))
                    .hint("it was deleted, or the application may not see it any more");
            }
            // A create does not need an item, and the list is there: not findable for the moment.
            Ok(true) if error.kind == Kind::StreamMissing => error.kind = Kind::Locked,
            Ok(true) => {}
            // Not known which; nothing was applied either way.
            Err(why) => *error = errors::nothing_sent(why.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_core::{schema::FieldType, value::Value};

    fn operation(kind: OperationKind) -> Operation {
        let values = vec![(1, Value::Decimal("450000.00".into())), (0, Value::Null)];
        Operation { kind, identity: Identity([7; 32]), values }
    }

    fn body(kind: OperationKind, stamped: bool) -> (String, String, Option<String>) {
        let fields = [
            Field::new("Title", FieldType::Text, true),
            Field::new("Budget", FieldType::Decimal { precision: None, scale: None }, true),
        ];
        let part = part("/sites/s/lists/l", &fields, &operation(kind), stamped).unwrap();
        (
            format!("{} {}", part.method, part.path),
            String::from_utf8(part.body.unwrap_or_default()).unwrap(),
            part.if_match,
        )
    }

    #[test]
    fn requests_are_as_documented() {
        let stamp = "07".repeat(32);
        let update =
            |stamp| OperationKind::Update { id: "36".into(), version: Some("\"g,3\"".into()), stamp };
        assert_eq!(
            body(OperationKind::Create, true),
            (
                "POST /sites/s/lists/l/items".into(),
                format!(r#"{{"fields":{{"SynclineKey":"{stamp}","Budget":450000.00,"Title":null}}}}"#),
                None
            )
        );
        assert_eq!(body(OperationKind::Create, false).1, r#"{"fields":{"Budget":450000.00,"Title":null}}"#);
        let (line, map, version) = body(update(false), true);
        assert_eq!(line, "PATCH /sites/s/lists/l/items/36/fields");
        assert_eq!(
            (map.as_str(), version.as_deref()),
            (r#"{"Budget":450000.00,"Title":null}"#, Some("\"g,3\""))
        );
        assert!(body(update(true), true).1.starts_with(r#"{"SynclineKey":"07"#));
        let delete = OperationKind::Delete { id: "9/../1".into(), version: None };
        assert_eq!(body(delete, true).0, "DELETE /sites/s/lists/l/items/9%2F..%2F1");
    }
}
