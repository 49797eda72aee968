//! Every kind of fault: what the caller sees, and what was done.

use std::time::Duration;

use serde_json::{Value, json};
use syncline_sim::{Applied, Fault, FaultMatch, FaultRule, FaultWhen, OpKind};

use crate::caller::{Bench, CLIENT, SECRET, part, still, token_form};
use crate::schema;

fn on(kind: OpKind, what: Fault) -> FaultRule {
    FaultRule {
        matches: FaultMatch { kind: Some(kind), ..FaultMatch::default() },
        when: FaultWhen::next(1),
        what,
    }
}

async fn bench_with(rule: FaultRule) -> (Bench, String) {
    let bench = Bench::start(still()).await;
    let list = bench.list("Projects");
    bench.world().add_fault(rule).expect("a rule");
    (bench, list)
}

fn count(bench: &Bench) -> usize {
    bench.world().item_count("Projects").expect("the list")
}

fn body() -> Value {
    json!({ "fields": { "Title": "A", "SynclineKey": "k1" } })
}

/// Posts an item; `None` when the answer was lost.
async fn post(bench: &Bench, list: &str) -> Option<u16> {
    let answer = bench.send("POST", &format!("{list}/items"), &[], Some(&body())).await;
    answer.ok().map(|answer| answer.status)
}

#[tokio::test]
async fn a_reset_before_apply_does_nothing() {
    let (bench, list) = bench_with(on(OpKind::Create, Fault::ResetBeforeApply)).await;
    assert_eq!(post(&bench, &list).await, None);
    assert_eq!(count(&bench), 0);
    assert_eq!(post(&bench, &list).await, Some(201), "the rule hits once");
}

#[tokio::test]
async fn a_reset_after_apply_has_done_it() {
    let (bench, list) = bench_with(on(OpKind::Create, Fault::ResetAfterApply)).await;
    assert_eq!(post(&bench, &list).await, None);
    assert_eq!(count(&bench), 1);
    assert_eq!(post(&bench, &list).await, Some(400), "the unique key stops the second");
    let hit = bench.world().log(0, 10).into_iter().find(|entry| entry.fault.is_some()).expect("logged");
    assert_eq!((hit.applied, hit.item, hit.fault.as_deref()), (true, Some(1), Some("reset_after_apply")));
}

#[tokio::test]
async fn a_truncated_body_has_done_it() {
    let (bench, list) = bench_with(on(OpKind::Create, Fault::TruncatedBody)).await;
    assert_eq!(post(&bench, &list).await, None, "the answer ends before its announced length");
    assert_eq!(count(&bench), 1);
}

#[tokio::test]
async fn a_late_apply_comes_when_its_time_has_come() {
    let (bench, list) = bench_with(on(OpKind::Create, Fault::LateApply { delay_ms: 5_000 })).await;
    assert_eq!(post(&bench, &list).await, None);
    assert_eq!((count(&bench), bench.world().pending_late_applies()), (0, 1));
    bench.world().advance(Duration::from_millis(4_999));
    assert_eq!(count(&bench), 0);
    bench.world().advance(Duration::from_millis(1));
    assert_eq!((count(&bench), bench.world().pending_late_applies()), (1, 0));
}

#[tokio::test]
async fn a_resent_create_beats_the_late_one() {
    let (bench, list) = bench_with(on(OpKind::Create, Fault::LateApply { delay_ms: 5_000 })).await;
    assert_eq!(post(&bench, &list).await, None);
    assert_eq!(post(&bench, &list).await, Some(201));
    bench.world().advance(Duration::from_secs(6));
    assert_eq!(count(&bench), 1, "the unique key stops the late one");
}

#[tokio::test]
async fn a_duplicated_delivery_is_stopped_by_a_unique_column_only() {
    let twice = Fault::DuplicatedDelivery { second_answer: false };
    let (bench, list) = bench_with(on(OpKind::Create, twice)).await;
    assert_eq!(post(&bench, &list).await, Some(201));
    assert_eq!(count(&bench), 1);

    let (bench, list) =
        bench_with(on(OpKind::Create, Fault::DuplicatedDelivery { second_answer: true })).await;
    assert_eq!(post(&bench, &list).await, Some(400), "the caller sees the second delivery fail");
    assert_eq!(count(&bench), 1);
    bench
        .world()
        .add_fault(on(OpKind::Create, Fault::DuplicatedDelivery { second_answer: true }))
        .expect("a rule");
    assert_eq!(bench.create(&list, json!({ "Title": "no key" })).await.status, 201);
    assert_eq!(count(&bench), 3);
}

#[tokio::test]
async fn statuses_before_and_after_apply() {
    for status in [500, 502, 504, 507] {
        for applied in [Applied::Before, Applied::After] {
            let (bench, list) = bench_with(on(OpKind::Create, Fault::Status { status, applied })).await;
            let answer = bench.create(&list, json!({ "Title": "A" })).await;
            assert_eq!(answer.status, status);
            schema::check("error", &answer.body);
            assert_eq!(count(&bench), usize::from(applied == Applied::After));
        }
    }
}

#[tokio::test]
async fn throttling_on_demand_in_every_form() {
    for (given, seen) in [(None, None), (Some("12"), Some("12")), (Some("2.128"), Some("2.128"))] {
        let fault = Fault::Throttle { retry_after: given.map(str::to_owned) };
        let (bench, list) = bench_with(on(OpKind::Create, fault)).await;
        let answer = bench.create(&list, json!({ "Title": "A" })).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, seen));
        assert_eq!((answer.code(), count(&bench)), ("TooManyRequests", 0));
    }
    let fault = Fault::Unavailable { retry_after: Some("date:30".into()) };
    let (bench, list) = bench_with(on(OpKind::Create, fault)).await;
    let answer = bench.create(&list, json!({ "Title": "A" })).await;
    assert_eq!((answer.status, answer.code()), (503, "serviceNotAvailable"));
    assert!(answer.header("retry-after").expect("a date").ends_with(" GMT"));
}

#[tokio::test]
async fn refusals_on_demand() {
    let cases = [
        (Fault::Forbidden, 403, "accessDenied"),
        (Fault::SiteMissing, 404, "itemNotFound"),
        (Fault::ListMissing, 404, "itemNotFound"),
    ];
    for (fault, status, code) in cases {
        let (bench, list) = bench_with(on(OpKind::Create, fault)).await;
        let answer = bench.create(&list, json!({ "Title": "A" })).await;
        assert_eq!((answer.status, answer.code(), count(&bench)), (status, code, 0));
    }
}

#[tokio::test]
async fn an_expired_token_stays_expired() {
    let (mut bench, list) = bench_with(on(OpKind::Create, Fault::ExpiredToken)).await;
    assert_eq!(post(&bench, &list).await, Some(401));
    assert_eq!(post(&bench, &list).await, Some(401), "until a new one is fetched");
    let token = bench.token(&token_form(CLIENT, SECRET)).await;
    bench.bearer = token.body["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(post(&bench, &list).await, Some(201));
}

#[tokio::test]
async fn an_etag_race_is_lost() {
    let (bench, list) = bench_with(FaultRule {
        matches: FaultMatch { writes: Some(true), ..FaultMatch::default() },
        when: FaultWhen::default(),
        what: Fault::EtagRace { fields: [("Amount".to_owned(), json!(7))].into_iter().collect() },
    })
    .await;
    let created = bench.create(&list, json!({ "Title": "A" })).await;
    assert_eq!(created.status, 201, "a create cannot lose this race");
    let etag = created.body["eTag"].as_str().expect("an ETag");
    let path = format!("{list}/items/1/fields");
    let patch = json!({ "Amount": 1 });
    let answer = bench.send("PATCH", &path, &[("If-Match", etag)], Some(&patch)).await.expect("an answer");
    assert_eq!((answer.status, answer.code()), (412, "resourceModified"));
    let item = bench.get(&format!("{list}/items/1?$expand=fields")).await;
    assert_eq!(item.body["fields"]["Amount"], 7);
    assert!(item.body["lastModifiedBy"].get("application").is_none(), "a person edited it");
}

#[tokio::test]
async fn failing_reads_leave_writes_alone() {
    let reads = FaultRule {
        matches: FaultMatch {
            method: Some("get".into()),
            path: Some("/items".into()),
            list: Some("projects".into()),
            ..FaultMatch::default()
        },
        when: FaultWhen::default(),
        what: Fault::Status { status: 500, applied: Applied::Before },
    };
    let (bench, list) = bench_with(reads).await;
    assert_eq!(post(&bench, &list).await, Some(201));
    assert_eq!(bench.get(&format!("{list}/items")).await.status, 500);
    assert_eq!(bench.get(&format!("{list}/items/delta")).await.status, 500);
    assert_eq!(bench.get(&format!("{list}/columns")).await.status, 200);
}

#[tokio::test]
async fn a_broken_deletion_stands_in_the_values() {
    let (bench, list) = bench_with(on(OpKind::Delta, Fault::BrokenDeletion)).await;
    bench.world().clear_faults(None);
    bench.create(&list, json!({ "Title": "A" })).await;
    let (_, last, _) = bench.pages(&format!("{list}/items/delta")).await;
    bench.call("DELETE", &format!("{list}/items/1"), None).await;
    bench.world().add_fault(on(OpKind::Delta, Fault::BrokenDeletion)).expect("a rule");
    let link = last.body["@odata.deltaLink"].as_str().expect("a link").to_owned();
    let broken = bench.get(&link).await;
    assert_eq!(broken.status, 200);
    assert_eq!(broken.values()[0]["error"]["code"], "InternalServerError");
    let whole = bench.get(&link).await;
    schema::check("tombstone", &whole.values()[0]);
}

#[tokio::test]
async fn parts_of_a_batch_fail_on_their_own() {
    let (bench, list) = bench_with(on(OpKind::Batch, Fault::PartialBatch { status: 503, share: 0.5 })).await;
    let create = |n: usize| {
        part(&n.to_string(), "POST", &format!("{list}/items"), Some(json!({ "fields": { "Title": "A" } })))
    };
    let answer = bench.batch((0..20).map(create).collect()).await;
    schema::check("batchResponse", &answer.body);
    let statuses: Vec<u64> = answer.body["responses"]
        .as_array()
        .expect("responses")
        .iter()
        .map(|part| part["status"].as_u64().expect("a status"))
        .collect();
    let made = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!(made, count(&bench));
    assert!(made > 0 && made < 20 && statuses.iter().all(|s| matches!(s, 201 | 503)), "{statuses:?}");
}

#[tokio::test]
async fn a_fault_on_one_part_spares_the_others() {
    let (bench, list) = bench_with(FaultRule {
        matches: FaultMatch { kind: Some(OpKind::Create), part: Some(true), ..FaultMatch::default() },
        when: FaultWhen { after: 1, count: Some(1), probability: None },
        what: Fault::Throttle { retry_after: Some("10".into()) },
    })
    .await;
    let create =
        |id: &str| part(id, "POST", &format!("{list}/items"), Some(json!({ "fields": { "Title": id } })));
    let answer = bench.batch(vec![create("1"), create("2"), create("3")]).await;
    assert_eq!(answer.status, 200);
    let parts = answer.body["responses"].as_array().expect("responses");
    assert_eq!(parts[1]["status"], 429);
    assert_eq!(parts[1]["headers"]["Retry-After"], "10");
    assert_eq!(parts[1]["body"]["error"]["innerError"]["status"], "429");
    assert_eq!((&parts[0]["status"], &parts[2]["status"]), (&json!(201), &json!(201)));
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_batch_keeps_what_came_before() {
    let (bench, list) = bench_with(FaultRule {
        matches: FaultMatch { kind: Some(OpKind::Create), ..FaultMatch::default() },
        when: FaultWhen { after: 2, count: Some(1), probability: None },
        what: Fault::ResetBeforeApply,
    })
    .await;
    let create = |n: usize| {
        part(&n.to_string(), "POST", &format!("{list}/items"), Some(json!({ "fields": { "Title": "A" } })))
    };
    let batch = json!({ "requests": (0..5).map(create).collect::<Vec<_>>() });
    assert!(bench.send("POST", "/v1.0/$batch", &[], Some(&batch)).await.is_err());
    assert_eq!(count(&bench), 2);
}

#[tokio::test]
async fn whole_batches_get_lost() {
    for (fault, made, made_later) in [
        (Fault::ResetBeforeApply, 0, 0),
        (Fault::ResetAfterApply, 3, 3),
        (Fault::TruncatedBody, 3, 3),
        (Fault::LateApply { delay_ms: 1_000 }, 0, 3),
    ] {
        let name = fault.name();
        let (bench, list) = bench_with(on(OpKind::Batch, fault)).await;
        let create = |n: usize| {
            let fields = json!({ "fields": { "Title": "A", "SynclineKey": n.to_string() } });
            part(&n.to_string(), "POST", &format!("{list}/items"), Some(fields))
        };
        let batch = json!({ "requests": (0..3).map(create).collect::<Vec<_>>() });
        assert!(bench.send("POST", "/v1.0/$batch", &[], Some(&batch)).await.is_err(), "{name}");
        assert_eq!(count(&bench), made, "{name}");
        bench.world().advance(Duration::from_secs(2));
        assert_eq!(count(&bench), made_later, "{name}");
    }
}

#[tokio::test]
async fn chance_is_seeded() {
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (bench, list) = bench_with(FaultRule {
            matches: FaultMatch::default(),
            when: FaultWhen::sometimes(0.3),
            what: Fault::Status { status: 500, applied: Applied::Before },
        })
        .await;
        let mut statuses = Vec::new();
        for _ in 0..40 {
            statuses.push(post(&bench, &list).await);
        }
        seen.push(statuses);
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].contains(&Some(500)) && seen[0].contains(&Some(201)));
}

#[tokio::test]
async fn latency_adds_to_other_faults_and_tokens_fail_too() {
    let (bench, list) = bench_with(on(OpKind::Create, Fault::Latency { ms: 1 })).await;
    bench.world().add_fault(on(OpKind::Create, Fault::Forbidden)).expect("a rule");
    assert_eq!(post(&bench, &list).await, Some(403));
    assert_eq!(bench.world().faults().iter().map(|report| report.hits).collect::<Vec<_>>(), [1, 1]);
    bench.world().add_fault(on(OpKind::Token, Fault::Unavailable { retry_after: None })).expect("a rule");
    let answer = bench.token(&token_form(CLIENT, SECRET)).await;
    assert_eq!((answer.status, answer.body["error"].as_str()), (503, Some("temporarily_unavailable")));
}
