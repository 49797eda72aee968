//! Answers of any bytes: each parser takes them for what they are, or refuses them, and never for more.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use serde_json::Value as Json;
use syncline_core::{
    batch::{BatchBuilder, Positions},
    identity::Identity,
    remedy::Effect,
    schema::{Field, FieldType, Limits, Stream},
    value::Value,
};

use super::{
    batch, changes,
    columns::Shape,
    describe::{self, Column, List, Page},
    doing,
    listing::{self, Next, Outcome, Way},
    read, write,
};
use crate::{
    Error,
    destination::{Listed, Operation, OperationKind, Record},
    error::Kind,
    fuzzing,
    graph::{
        client::Answer,
        errors::{Acts, Doing, Refusal},
        grant::{self, Asked},
        paging::Trail,
        throttle::Signals,
    },
};

/// In the texts of token answers; must be in no error.
const CANARY: &str = "c4n4ry";

/// Longest message that an answer makes.
const MESSAGE_CHARS_MAX: usize = 600;

const DICTIONARY: &[&str] = &[
    "\"id\":",
    "\"status\":",
    "\"headers\":",
    "\"body\":",
    "\"responses\":[",
    "\"value\":[",
    "\"fields\":{",
    "\"deleted\":{}",
    "\"error\":{\"code\":\"x\"}",
    "\"innerError\":",
    "\"@odata.etag\":\"\\\"g,1\\\"\"",
    "\"eTag\":",
    "\"@odata.nextLink\":",
    "\"@odata.deltaLink\":",
    "\"Retry-After\":\"5\"",
    "\"SynclineKey\":",
    "\"Title\":",
    "\"Amount\":",
    "\"+1\"",
    "\"01\"",
    "\"0\"",
    "200",
    "201",
    "204",
    "401",
    "404",
    "409",
    "412",
    "429",
    "503",
    "65536",
    "2026-01-31T10:17:05Z",
    "Sat, 31 Jan 2026 10:17:20 GMT",
    "access_token",
    "expires_in",
    "error_description",
    "AADSTS",
    "error_codes",
    "invalid_client",
    "name",
    "displayName",
    "text",
    "number",
    "choice",
    "dateTime",
    "hyperlinkOrPicture",
    "webUrl",
    "RateLimit-Remaining: ",
    "RateLimit-Reset: ",
    "Retry-After: ",
];

fn answer(body: &[u8]) -> Answer {
    Answer {
        status: 200,
        signals: Signals::default(),
        body: body.to_vec(),
        request: "r".into(),
        at: Timestamp::UNIX_EPOCH,
        token: 1,
        acts: Acts::Application,
        challenge: None,
        location: None,
    }
}

fn fields() -> Vec<Field> {
    let of = |name: &str, kind| Field::new(name, kind, true);
    let link = Limits { hyperlink: true, ..Limits::default() };
    vec![
        of("Title", FieldType::Text),
        of("Amount", FieldType::Decimal { precision: None, scale: None }),
        of("Due", FieldType::Date),
        of("At", FieldType::Timestamp { zoned: true }),
        of("Done", FieldType::Boolean),
        of("Tags", FieldType::List(Box::new(FieldType::Text))),
        Field { limits: link, ..of("Link", FieldType::Text) },
    ]
}

fn error_is_sound(error: &Error) {
    let length = error.message.chars().count();
    assert!((1..=MESSAGE_CHARS_MAX).contains(&length), "{length} characters: {}", error.message);
    assert!(!error.message.chars().any(char::is_control), "a control character: {:?}", error.message);
    let (_remedy, _code) = (error.remedy(), error.code());
}

fn record_is_sound(record: &Record, fields: usize, body: &[u8]) {
    assert!(!record.id.is_empty(), "a record without an id");
    assert_eq!(record.values.len(), fields);
    for value in &record.values {
        // A page of numbers must not become a hundred times as large in memory.
        if let Value::Decimal(digits) = value {
            assert!(digits.len() <= body.len() + 1_000, "{} digits", digits.len());
        }
    }
}

/// The body as another reader sees it, if it can. The parsers skip what they do not want without a look at its encoding,
/// or at whether a number has a double.
fn json(body: &[u8]) -> Option<Json> {
    serde_json::from_str(&String::from_utf8_lossy(body)).ok()
}

/// Ids for which the answer has a result, found by another reader.
fn answered(body: &[u8]) -> Option<BTreeSet<String>> {
    let responses = json(body)?["responses"].as_array().cloned().unwrap_or_default();
    Some(responses.iter().filter_map(|r| r["id"].as_str().map(str::to_owned)).collect())
}

/// One part of each kind, and more parts than any answer has.
fn operations() -> Vec<(Operation, Doing)> {
    let version = Some("\"g,1\"".to_owned());
    let kinds = [
        (OperationKind::Create, doing::CREATE),
        (OperationKind::Update { id: "7".into(), version: version.clone(), stamp: false }, doing::CHANGE),
        (OperationKind::Delete { id: "8".into(), version }, doing::CHANGE),
    ];
    let operation = |kind| Operation { kind, identity: Identity([7; 32]), values: Vec::new() };
    kinds.into_iter().cycle().take(20).map(|(kind, doing)| (operation(kind), doing)).collect()
}

fn check_batch(body: &[u8]) {
    let (results, wait) = batch::read(20, &answer(body));
    assert_eq!(results.len(), 20, "one result for each part");
    assert!(wait.is_none_or(|wait| wait <= Duration::from_secs(24 * 3600)));
    let there = answered(body);
    for (index, (result, (operation, doing))) in results.into_iter().zip(operations()).enumerate() {
        let part = match result {
            Ok(part) => part,
            Err(error) => {
                assert_eq!((error.kind, error.effect()), (Kind::Unanswered, Effect::Unknown), "{index}");
                continue;
            }
        };
        assert!(
            there.as_ref().is_none_or(|ids| ids.contains(&index.to_string())),
            "a result for part {index}, which was not answered"
        );
        match write::applied(&operation, doing, &part) {
            Ok(applied) => {
                assert!(part.is_success() && !applied.id.is_empty());
                let create = matches!(operation.kind, OperationKind::Create);
                if let Some(made) = json(&part.body).filter(|_| create) {
                    assert_eq!(made["id"].as_str(), Some(applied.id.as_str()), "another item was made");
                }
            }
            Err(error) => {
                error_is_sound(&error);
                // A success that does not say what it made is a doubt, never a no.
                assert!(!part.is_success() || error.effect() == Effect::Unknown, "{}", error.message);
            }
        }
    }
}

/// The same page as one of changes: what it leads to can be put into a batch, whatever it holds.
fn check_changes(body: &[u8]) {
    let list = Stream { fields: fields(), ..Stream::default() };
    let mut wanted: Vec<String> = list.fields.iter().map(|f| f.name.clone()).collect();
    wanted.extend(["id", "created_at", "modified_at", "etag", "web_url"].map(str::to_owned));
    let shape = Shape::of(&list, &wanted, None).unwrap();
    let mut collected = changes::Collected::default();
    match changes::take(body, "r", &shape, &mut collected) {
        Ok(_) => {}
        Err(error) => {
            assert!(matches!(error.kind, Kind::Protocol | Kind::PositionLost), "{error:?}");
            error_is_sound(&error);
        }
    }
    let mut batch = BatchBuilder::new(std::sync::Arc::clone(shape.fields()));
    for (id, row) in &collected.items {
        assert!(*id > 0);
        match row {
            Some(row) => shape.push(row, &mut batch).unwrap(),
            None => shape.push_gone(*id, &mut batch).unwrap(),
        }
    }
    assert_eq!(batch.finish(Positions::None).len(), collected.items.len());
}

fn check_page(body: &[u8]) {
    let fields = fields();
    let json = json(body);
    let sees_all = json.is_some();
    let json = json.unwrap_or_default();
    let items = json["value"].as_array().map(Vec::len);
    let link = |name: &str| json[name].as_str().map(str::to_owned);
    for way in [Way::Delta, Way::Pages, Way::PlainPages] {
        match listing::read_page(&answer(body), &fields, way) {
            Ok(Outcome::Listed(listed, next)) => {
                assert!(!sees_all || Some(listed.len()) == items, "an item was left out");
                for item in &listed {
                    match item {
                        Listed::Record(record) => record_is_sound(record, fields.len(), body),
                        Listed::Deleted(id) => assert!(!id.is_empty()),
                    }
                }
                match next {
                    _ if !sees_all => {}
                    Next::Link(next) => assert_eq!(Some(next), link("@odata.nextLink")),
                    Next::End => {
                        assert!(link("@odata.nextLink").is_none(), "ended although there is more");
                        assert!(way != Way::Delta || link("@odata.deltaLink").is_some(), "cut off");
                    }
                    Next::First | Next::Failed => panic!("{next:?}"),
                }
            }
            Ok(Outcome::BrokenDelta) => assert_eq!(way, Way::Delta),
            Err(error) => {
                assert_eq!(error.kind, Kind::Protocol);
                error_is_sound(&error);
            }
        }
    }
    let wanted = BTreeSet::from(["ab".to_owned()]);
    let mut found = Vec::new();
    if let Err(error) = read::matches(body, "r", &fields, &wanted, &mut found) {
        error_is_sound(&error);
    }
    for record in &found {
        record_is_sound(record, fields.len(), body);
        assert_eq!(record.stamp.as_deref(), Some("ab"), "found by another stamp");
    }
}

fn check_error(body: &[u8]) {
    let signals = Signals { retry_after: Some(Duration::from_secs(3)), ..Signals::default() };
    let statuses = [0, 204, 302, 400, 401, 403, 404, 409, 412, 423, 429, 500, 502, 503, 507, 999];
    for doing in [doing::READ, doing::READ_ITEM, doing::CREATE, doing::CHANGE, doing::COLUMNS] {
        // A quarter of them for each body, so that there is time for more bodies.
        for status in statuses.into_iter().skip(body.len() % 4).step_by(4) {
            let acts = Acts::Application;
            let error =
                Refusal { status, body, signals: &signals, request: "r", acts, challenge: None }.error(doing);
            error_is_sound(&error);
            // What the body says never turns a doubt about a write into a certainty.
            assert!(!matches!(status, 500 | 502) || error.effect() == Effect::Unknown);
            assert!(error.effect() != Effect::Applied);
            assert_eq!(error.kind == Kind::Unauthenticated, status == 401);
        }
    }
}

fn check_columns(body: &[u8]) {
    let lists = serde_json::from_slice::<Page<List>>(body).map(|page| page.value).unwrap_or_default();
    let columns = serde_json::from_slice::<Page<Column>>(body).map(|page| page.value).unwrap_or_default();
    for list in &lists {
        let stream = describe::described("asked", list, &columns);
        assert_eq!(stream.fields.len() + stream.unsupported.len(), columns.len());
        for field in &stream.fields {
            assert!(!field.limits.unique || stream.indexed.contains(&field.name), "unique without an index");
            assert!(
                field.limits.minimum.is_none_or(f64::is_finite)
                    && field.limits.maximum.is_none_or(f64::is_finite)
            );
        }
    }
    for asked in ["Projects", "sites/ops/Lists/Projects", "https://x/sites/ops/Lists/My%20Closed", "", "/"] {
        if let Err(error) = describe::choose(lists.clone(), asked) {
            assert!(matches!(error.kind, Kind::StreamMissing | Kind::Definition));
        }
    }
}

fn check_token(body: &[u8]) {
    let asked = Duration::from_secs(1_000);
    match grant::granted(body, asked) {
        Ok(token) => {
            assert!(asked <= token.renew_at && token.renew_at <= token.expires_at);
            assert!(token.expires_at <= asked + Duration::from_secs(24 * 3600));
            assert!(token.bearer.is_sensitive() && token.bearer.len() > "Bearer ".len());
        }
        Err(error) => {
            assert_eq!(error.kind, Kind::Unreachable);
            assert!(!error.message.contains(CANARY), "{}", error.message);
        }
    }
    // The code is a word of the standard and is shown; everything else about the refusal is not.
    let Some(json) = json(body) else { return };
    let code: String =
        json["error"].as_str().unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
    for (status, acts) in [(400, Acts::Application), (401, Acts::User), (400, Acts::User), (503, Acts::User)]
    {
        let asked = Asked { acts, scopes: "s".into(), consent: "c".into() };
        let error = grant::refused(status, body, &asked);
        error_is_sound(&error);
        let of_a_user =
            matches!(error.kind, Kind::Challenged | Kind::ConsentRequired | Kind::UserTokenRefused);
        assert!(
            matches!(error.kind, Kind::Unauthenticated | Kind::Unreachable)
                || (of_a_user && acts == Acts::User)
        );
        assert!(error.hint.is_some() || error.kind == Kind::Unreachable);
        // Claims are handed on as they are, for the client of the user.
        let error = Error { claims: None, ..error };
        assert!(code.contains(CANARY) || !format!("{error:?}").contains(CANARY), "{error:?}");
    }
}

fn check_headers(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let now: Timestamp = "2026-01-31T10:17:00Z".parse().expect("a time");
    let mut signals = Signals::default();
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        signals.read(name, value, now);
    }
    let day = Duration::from_secs(24 * 3600);
    assert!(signals.wait() <= day && signals.asked().is_none_or(|wait| wait <= day));
    assert!(signals.left().is_none_or(|(_, reset)| reset <= day));
    assert!(signals.asked().is_none_or(|wait| signals.retry_after.is_some_and(|said| wait >= said)));
}

#[test]
fn batch_answers() {
    fuzzing::run("batch", &[], DICTIONARY, check_batch);
}

#[test]
fn pages_of_items() {
    fuzzing::run("page", &[], DICTIONARY, check_page);
    fuzzing::run("page", &[], DICTIONARY, check_changes);
}

#[test]
fn error_bodies() {
    fuzzing::run("error", &[], DICTIONARY, check_error);
}

#[test]
fn lists_and_columns() {
    fuzzing::run("columns", &[], DICTIONARY, check_columns);
}

#[test]
fn token_answers() {
    fuzzing::run("token", &[], DICTIONARY, check_token);
}

#[test]
fn quota_headers() {
    fuzzing::run("headers", &[], DICTIONARY, check_headers);
}

#[test]
fn a_link_is_followed_once() {
    let mut trail = Trail::of(10_000);
    let link = |page: usize| format!("https://g/x?token={page}");
    for page in 0..1_000 {
        assert!(trail.follow(&link(page)).is_ok());
    }
    for page in [999, 0, 500] {
        assert_eq!(trail.follow(&link(page)).unwrap_err().kind, Kind::Protocol, "page {page} came back");
    }
}

#[test]
fn numbers_that_are_not_to_be_trusted() {
    let life = |seconds: &str| {
        let body = format!(r#"{{"access_token":"t","expires_in":{seconds}}}"#);
        grant::granted(body.as_bytes(), Duration::from_secs(9))
            .map(|t| t.expires_at.as_secs())
            .map_err(|e| e.kind)
    };
    assert_eq!(life("3600"), Ok(3_609));
    assert_eq!(life("\"3600\""), Ok(3_609), "some clouds send a text");
    assert_eq!(life("18446744073709551615"), Ok(86_409));
    assert_eq!(life("\"soon\""), Ok(9));
    assert_eq!(life("-1"), Err(Kind::Unreachable));
    let empty = grant::granted(br#"{"access_token":"","expires_in":60}"#, Duration::ZERO);
    assert!(empty.is_err_and(|e| e.message.contains("no token")));
}

#[test]
fn ids_that_were_not_sent_and_items_without_one() {
    let body = br#"{"responses":[{"id":"+1","status":201,"body":{"id":"5"}},{"id":"02","status":201,"body":{"id":"6"}},
        {"id":"0","status":201,"body":{"id":""}}]}"#;
    let (results, _) = batch::read(3, &answer(body));
    let created = Operation { kind: OperationKind::Create, identity: Identity([7; 32]), values: Vec::new() };
    let kinds: Vec<_> = results
        .into_iter()
        .map(|part| part.and_then(|part| write::applied(&created, doing::CREATE, &part)).map_err(|e| e.kind))
        .map(|result| result.map(|applied| applied.id))
        .collect();
    assert_eq!(kinds, [Err(Kind::Unanswered), Err(Kind::Unanswered), Err(Kind::Unanswered)]);
    let page = br#"{"value":[{"id":"","fields":{"Amount":1}}]}"#;
    assert!(listing::read_page(&answer(page), &fields(), Way::Pages).is_err());
}

#[test]
fn a_number_too_large_for_a_double_is_not_written_out() {
    let page = br#"{"value":[{"id":"1","fields":{"Amount":1e20000}}]}"#;
    let Ok(Outcome::Listed(items, _)) = listing::read_page(&answer(page), &fields(), Way::Pages) else {
        panic!("a page")
    };
    let Listed::Record(record) = &items[0] else { panic!("a record") };
    assert_eq!(record.values[1], Value::Text("1e20000".into()));
}

#[test]
fn a_piece_of_the_answer_is_not_repeated() {
    let error =
        |body: &[u8]| listing::read_page(&answer(body), &fields(), Way::Pages).err().map(|e| e.message);
    assert_eq!(
        error(br#"{"value":"the customer's \" secret at line 7"}"#).as_deref(),
        Some("the answer makes no sense: invalid type: string … at line 1 column 45 (request r)")
    );
    assert_eq!(
        error(b"{}").as_deref(),
        Some("the answer makes no sense: missing field `value` at line 1 column 2 (request r)")
    );
}
