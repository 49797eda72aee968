//! What is particular to SharePoint: quotas, delta, batches, renamed lists, odd columns.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use syncline_connect::{
    Destination,
    conformance::destination::Kit as _,
    destination::{Listed, Operation, OperationKind, Stamp},
    error::Kind,
};
use syncline_core::{
    identity::Identity,
    schema::{Field, Stream},
    value::Value,
};
use syncline_sim::{
    Applied, Fault, FaultMatch, FaultWhen, Hyperlinks, ListSpec, OpKind, Options, PartOrder, Switches, Tier,
    UniqueViolation,
};

use super::kit::Sim;

/// A prepared list with its title field.
async fn prepared(sim: &Sim) -> (Arc<dyn Destination>, Stream, Vec<Field>) {
    let (list, destination) = (sim.list(), sim.destination().await);
    let stream = destination.describe(&list).await.unwrap();
    destination.prepare(&stream).await.unwrap();
    let stream = destination.describe(&list).await.unwrap();
    let fields = vec![stream.field("Title").unwrap().clone()];
    (destination, stream, fields)
}

fn creates(from: u8, to: u8) -> Vec<Operation> {
    let create = |n| Operation {
        kind: OperationKind::Create,
        identity: Identity([n; 32]),
        values: vec![(0, Value::Text(format!("r{n}").into()))],
    };
    (from..to).map(create).collect()
}

async fn ids(destination: &dyn Destination, stream: &Stream, fields: &[Field]) -> Result<Vec<String>, Kind> {
    let mut lister = destination.list(stream, fields).await.map_err(|e| e.kind)?;
    let mut ids = Vec::new();
    while let Some(page) = lister.next().await.map_err(|e| e.kind)? {
        ids.extend(page.into_iter().filter_map(|l| match l {
            Listed::Record(record) => Some(record.id),
            Listed::Deleted(_) => None,
        }));
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
}

#[tokio::test]
async fn a_renamed_list_is_found_by_its_id() {
    let sim = Sim::with(Switches::default()).await;
    let (destination, stream, fields) = prepared(&sim).await;
    sim.server.world().rename_list(&stream.name, "Something Else").unwrap();
    assert_eq!(destination.describe("Something Else").await.unwrap().id, stream.id);
    let renamed = destination.describe(&stream.id).await.unwrap();
    assert_eq!((&renamed.id, renamed.fields.len()), (&stream.id, stream.fields.len()));
    assert!(destination.write(&stream, &fields, &creates(0, 3)).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn throttled_parts_wait_for_the_longest_of_them() {
    for response_order in [PartOrder::Listed, PartOrder::Reversed] {
        let sim = Sim::with(Switches { batch_responses: response_order, ..Switches::default() }).await;
        let (destination, stream, fields) = prepared(&sim).await;
        for (after, wait) in [(1, "2.128"), (3, "30"), (5, "date:20")] {
            let matches = FaultMatch { kind: Some(OpKind::Create), ..FaultMatch::default() };
            let when = FaultWhen { after, count: Some(1), probability: None };
            sim.fault(matches, when, Fault::Throttle { retry_after: Some(wait.into()) });
        }
        let answers = destination.write(&stream, &fields, &creates(0, 10)).await;
        let throttled: Vec<Kind> = answers.iter().filter_map(|a| a.as_ref().err()).map(|e| e.kind).collect();
        assert_eq!(throttled, [Kind::Throttled { retry_after: Duration::from_secs(30) }; 3]);
        assert_eq!(sim.budget().usage().throttled, 1);
        assert_eq!(sim.count(&stream.name).await, 7);
    }
}

#[tokio::test]
async fn every_form_of_retry_after_on_whole_answers() {
    let sim = Sim::with(Switches::default()).await;
    let (destination, stream, fields) = prepared(&sim).await;
    for (retry_after, least, most) in [
        (Some("2.128"), Duration::from_millis(2_128), Duration::from_millis(2_128)),
        (Some("date:30"), Duration::from_secs(29), Duration::from_secs(32)),
        (None, Duration::from_secs(1), Duration::from_secs(60)),
    ] {
        for batch in [1, 3] {
            let matches =
                FaultMatch { method: Some("POST".into()), part: Some(false), ..FaultMatch::default() };
            let what = Fault::Throttle { retry_after: retry_after.map(str::to_owned) };
            sim.fault(matches, FaultWhen::next(1), what);
            for answer in destination.write(&stream, &fields, &creates(0, batch)).await {
                let kind = answer.unwrap_err().kind;
                let Kind::Throttled { retry_after: wait } = kind else { panic!("{kind:?}") };
                assert!((least..=most).contains(&wait), "{retry_after:?}: {wait:?}");
            }
            sim.heal().await;
            sim.advance(Duration::from_secs(60));
        }
    }
    assert_eq!(sim.count(&stream.name).await, 0);
}

#[tokio::test]
async fn not_ready_is_no_attempt_only_where_the_service_says_when() {
    let sim = Sim::with(Switches::default()).await;
    let (destination, stream, fields) = prepared(&sim).await;
    for (retry_after, throttled) in [(Some("5".to_owned()), true), (None, false)] {
        sim.fault_on(OpKind::Create, 1, Fault::Unavailable { retry_after });
        let kind = destination.write(&stream, &fields, &creates(0, 1)).await.swap_remove(0).unwrap_err().kind;
        assert_eq!(matches!(kind, Kind::Throttled { .. }), throttled, "{kind:?}");
        assert_eq!(kind == Kind::Unanswered, !throttled, "{kind:?}");
        sim.heal().await;
        sim.advance(Duration::from_secs(60));
    }
}

#[tokio::test]
async fn no_429_within_the_quota_beside_another_user_of_it() {
    let sim = Sim::start(Options { tier: Tier::Smallest, clock_scale: 0.0, ..Options::default() }).await;
    let mut options = sim.options();
    options["limits"] = json!({ "units_per_minute": 1_250 });
    let destination = sim.connect(options).await.unwrap();
    let list = sim.list();
    let stream = destination.describe(&list).await.unwrap();
    let fields = vec![stream.field("Title").unwrap().clone()];
    // Another process of the same application, with its own idea of the quota, uses most of it.
    let stranger = Sim::start(Options::default()).await;
    let stranger = stranger.connect(sim.options()).await.unwrap();
    for n in 0..28 {
        let operations = creates(n * 8, n * 8 + 8);
        assert!(
            stranger
                .write(&stream, &fields, &[&operations[..], &operations[..]].concat())
                .await
                .iter()
                .all(Result::is_ok)
        );
    }
    let before = sim.server.world().counters().ru;
    let mut done = 0;
    // The clock stands still, so what is gone is gone; the budget learns from the headers how much that is.
    let room = || sim.budget().windows().iter().all(|(limit, used)| used + 40 <= limit.units);
    while room() {
        let answers = destination.write(&stream, &fields, &creates(0, 20)).await;
        done += answers.iter().filter(|a| a.is_ok()).count();
    }
    let counters = sim.server.world().counters();
    assert_eq!(counters.throttled, 0, "{before} units were gone before {done} more writes");
    assert!(counters.ru <= 1_250 && done > 0, "{} units", counters.ru);
}

#[tokio::test]
async fn limits_of_the_users_own_hold_per_list() {
    use futures::FutureExt as _;
    let sim = Sim::with(Switches::default()).await;
    let mut options = sim.options();
    options["limits"]["extra"] = json!([{ "requests": 25, "per": 10_000, "scope": "list" }]);
    let destination = sim.connect(options).await.unwrap();
    let streams =
        [destination.describe(&sim.list()).await.unwrap(), destination.describe(&sim.list()).await.unwrap()];
    let fields = vec![streams[0].field("Title").unwrap().clone()];
    let operations = creates(0, 20);
    for stream in &streams {
        assert!(
            destination.write(stream, &fields, &operations).await.iter().all(Result::is_ok),
            "each by itself"
        );
        assert!(destination.write(stream, &fields, &operations).now_or_never().is_none(), "5 are left");
    }
    sim.advance(Duration::from_secs(11));
    assert!(destination.write(&streams[0], &fields, &operations).await.iter().all(Result::is_ok));
    assert_eq!(sim.count(&streams[0].name).await, 40);
}

#[tokio::test]
async fn a_delta_that_breaks_in_the_middle_is_an_error_once() {
    let sim = Sim::with(Switches { max_page_size: 7, ..Switches::default() }).await;
    let (destination, stream, fields) = prepared(&sim).await;
    let made = destination.write(&stream, &fields, &creates(0, 20)).await;
    sim.fault_on(OpKind::Delta, u64::MAX, Fault::BrokenDeletion);
    let mut lister = destination.list(&stream, &fields).await.unwrap();
    assert!(lister.next().await.unwrap().is_some());
    sim.delete(&stream.name, &made[4].as_ref().unwrap().id).await;
    // Items were handed out already and cannot be taken back.
    let end = loop {
        match lister.next().await {
            Ok(Some(_)) => {}
            end => break end.map(|_| ()).map_err(|e| e.kind),
        }
    };
    assert_eq!(end, Err(Kind::Protocol));
    let since = sim.server.world().last_seq();
    assert_eq!(ids(&*destination, &stream, &fields).await.unwrap().len(), 19, "page by page from now on");
    assert!(sim.server.world().log(since, 100).iter().all(|e| e.kind == OpKind::List));
}

#[tokio::test]
async fn an_expired_page_token_ends_the_listing() {
    let sim = Sim::with(Switches { max_page_size: 7, ..Switches::default() }).await;
    let (destination, stream, fields) = prepared(&sim).await;
    destination.write(&stream, &fields, &creates(0, 20)).await;
    let mut lister = destination.list(&stream, &fields).await.unwrap();
    assert!(lister.next().await.unwrap().is_some());
    sim.server.world().expire_delta_tokens();
    assert_eq!(lister.next().await.unwrap_err().kind, Kind::Protocol);
    assert!(lister.next().await.is_err(), "and it stays ended");
    assert_eq!(ids(&*destination, &stream, &fields).await.unwrap().len(), 20, "from the start");
}

#[tokio::test]
async fn a_listing_survives_hiccups() {
    let sim = Sim::with(Switches { max_page_size: 7, ..Switches::default() }).await;
    let (destination, stream, fields) = prepared(&sim).await;
    destination.write(&stream, &fields, &creates(0, 20)).await;
    for fault in [
        Fault::Status { status: 502, applied: Applied::Before },
        Fault::ResetBeforeApply,
        Fault::TruncatedBody,
        Fault::ExpiredToken,
    ] {
        let when = FaultWhen { after: 1, count: Some(1), probability: None };
        sim.fault(FaultMatch { kind: Some(OpKind::Delta), ..FaultMatch::default() }, when, fault.clone());
        assert_eq!(ids(&*destination, &stream, &fields).await.map(|i| i.len()), Ok(20), "{fault:?}");
        sim.heal().await;
    }
}

#[tokio::test]
async fn partial_failures_of_a_batch() {
    let sim = Sim::with(Switches::default()).await;
    let (destination, stream, fields) = prepared(&sim).await;
    for (status, kind) in
        [(500, Kind::Unanswered), (507, Kind::StreamFull), (423, Kind::Locked), (409, Kind::VersionMismatch)]
    {
        let matches = FaultMatch { kind: Some(OpKind::Create), ..FaultMatch::default() };
        let when = FaultWhen { after: 2, count: Some(1), probability: None };
        sim.fault(matches, when, Fault::Status { status, applied: Applied::Before });
        let answers = destination.write(&stream, &fields, &creates(0, 5)).await;
        let kinds: Vec<_> = answers.iter().map(|a| a.as_ref().err().map(|e| e.kind)).collect();
        assert_eq!(kinds, [None, None, Some(kind), None, None], "{status}");
        sim.heal().await;
        let deletes = answers.into_iter().flatten().map(|a| Operation {
            kind: OperationKind::Delete { id: a.id, version: a.version },
            identity: Identity([0; 32]),
            values: vec![],
        });
        let deletes: Vec<_> = deletes.collect();
        assert!(destination.write(&stream, &[], &deletes).await.iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn a_refused_record_names_its_field_and_not_its_value() {
    let sim = Sim::with(Switches::default()).await;
    let (destination, stream, _) = prepared(&sim).await;
    let fields = vec![stream.field("Status").unwrap().clone()];
    let secret = "Sensitive Choice";
    let mut operations = creates(0, 2);
    operations[0].values = vec![(0, Value::Text(secret.into()))];
    operations[1].values = vec![(0, Value::Text("Active".into()))];
    let answers = destination.write(&stream, &fields, &operations).await;
    let error = answers[0].as_ref().unwrap_err();
    assert_eq!(error.kind, Kind::Rejected);
    assert!(error.message.contains("'Status'") && !error.message.contains(secret), "{error}");
    assert!(answers[1].is_ok());
}

#[tokio::test]
async fn a_stamp_column_of_somebodys_own_is_made_unique() {
    for unique_violation in [UniqueViolation::InvalidRequest, UniqueViolation::NameAlreadyExists] {
        let sim = Sim::with(Switches { unique_violation, ..Switches::default() }).await;
        let (list, destination) = (sim.list(), sim.destination().await);
        let column = json!({ "name": "SynclineKey", "text": {} });
        sim.server.world().add_column(&list, column.as_object().unwrap()).unwrap();
        let stream = destination.describe(&list).await.unwrap();
        assert_eq!(destination.stamp(&stream), Stamp::None);
        assert_eq!(destination.prepare(&stream).await.unwrap().len(), 1);
        let stream = destination.describe(&list).await.unwrap();
        assert_eq!(destination.stamp(&stream), Stamp::Unique);
        assert!(destination.write(&stream, &[], &creates_bare(2)).await.iter().all(Result::is_ok));
        let again = destination.write(&stream, &[], &creates_bare(2)).await;
        assert!(again.iter().all(|a| a.as_ref().is_err_and(|e| e.kind == Kind::Duplicate)));
    }
}

fn creates_bare(n: u8) -> Vec<Operation> {
    creates(0, n).into_iter().map(|o| Operation { values: vec![], ..o }).collect()
}

#[tokio::test]
async fn columns_that_are_not_carried_say_why() {
    for hyperlinks in [Hyperlinks::Refuse, Hyperlinks::Accept] {
        let sim = Sim::with(Switches { hyperlinks, ..Switches::default() }).await;
        let stream = sim.destination().await.describe(&sim.list()).await.unwrap();
        let reason = |name: &str| stream.unsupported.iter().find(|(n, _)| n == name).map(|(_, r)| r.as_str());
        assert!(reason("Lead").unwrap().contains("person"));
        assert!(reason("Home").is_some(), "no facet is no type");
        assert!(stream.notes.iter().any(|n| n.contains("SynclineKey")), "{:?}", stream.notes);
        let modified = stream.field("Modified").unwrap();
        assert!(modified.limits.read_only);
    }
}

#[tokio::test]
async fn large_notes_travel_in_requests_of_their_own() {
    let sim = Sim::with(Switches { note_max_chars: 3_000_000, ..Switches::default() }).await;
    let (destination, stream, _) = prepared(&sim).await;
    let fields = vec![stream.field("Notes").unwrap().clone()];
    let mut operations = creates(0, 5);
    for operation in &mut operations {
        operation.values = vec![(0, Value::Text("n".repeat(2_000_000).into()))];
    }
    let answers = destination.write(&stream, &fields, &operations).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let ids: Vec<String> = answers.into_iter().flatten().map(|a| a.id).collect();
    let records = destination.get(&stream, &fields, &ids).await.unwrap();
    assert!(
        records.iter().all(|r| r.as_ref().is_some_and(
            |r| r.values == operations[0].values.iter().map(|v| v.1.clone()).collect::<Vec<_>>()
        ))
    );
}

#[tokio::test]
async fn a_full_list_stops_its_route_only() {
    let sim = Sim::with(Switches::default()).await;
    let spec = ListSpec { display_name: "Full".into(), max_items: Some(2), ..ListSpec::default() };
    sim.server.world().add_list(&spec).unwrap();
    let destination = sim.destination().await;
    let stream = destination.describe("Full").await.unwrap();
    let fields = vec![stream.field("Title").unwrap().clone()];
    let answers = destination.write(&stream, &fields, &creates(0, 3)).await;
    assert_eq!(answers.iter().filter(|a| a.as_ref().is_err_and(|e| e.kind == Kind::StreamFull)).count(), 1);
}
