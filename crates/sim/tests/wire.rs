//! What only the wire shows: TLS, links built from the caller's own host, the log file, the control API.

use serde_json::json;
use syncline_sim::{Options, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::caller::{Bench, CLIENT, SECRET, part, still, token_form};

/// Sends bytes and reads until the other side closes.
pub(crate) async fn exchange(url: &str, request: &str) -> String {
    let address = url.split_once("://").expect("a URL").1;
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn links_carry_the_callers_host() {
    let bench = Bench::start(still()).await;
    bench.list("Projects");
    let request = format!(
        "GET /v1.0/sites/root HTTP/1.1\r\nHost: graph.test:99\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        bench.bearer
    );
    let answer = exchange(&bench.url, &request).await;
    assert!(answer.contains("http://graph.test:99/v1.0/$metadata#sites/$entity"), "{answer}");
}

#[tokio::test]
async fn https_works_with_the_given_authority() {
    let bench = Bench::start(Options { tls: true, ..still() }).await;
    assert!(bench.url.starts_with("https://127.0.0.1:"));
    let list = bench.list("Projects");
    let answer = bench.get(&format!("{list}/items/delta")).await;
    let link = answer.body["@odata.deltaLink"].as_str().expect("a link");
    assert!(link.starts_with(&bench.url), "{link}");
    assert_eq!(bench.get(link).await.status, 200);
}

#[tokio::test]
async fn the_control_api_does_what_the_world_does() {
    let bench = Bench::start(still()).await;
    let call = |method: &'static str, path: &'static str, body| bench.call(method, path, body);
    call("POST", "/_sim/sites", Some(json!({ "path": "/sites/ops", "displayName": "Operations" }))).await;
    let list =
        json!({ "site": "/sites/ops", "displayName": "Assets", "columns": [{ "name": "Tag", "text": {} }] });
    let created = call("POST", "/_sim/lists", Some(list)).await;
    assert!(created.body["id"].is_string(), "{}", created.body);
    let edit = json!({ "list": "Assets", "fields": { "Title": "A" } });
    assert_eq!(call("POST", "/_sim/items/create", Some(edit)).await.body["id"], 1);
    let edit = json!({ "list": "Assets", "id": 1, "fields": { "Tag": "t" } });
    call("POST", "/_sim/items/edit", Some(edit)).await;
    let copied = call("POST", "/_sim/items/duplicate", Some(json!({ "list": "Assets", "id": 1 }))).await;
    assert_eq!(copied.body["id"], 2);
    call("POST", "/_sim/items/delete", Some(json!({ "list": "Assets", "id": 2 }))).await;
    let items = call("GET", "/_sim/items?list=Assets", None).await;
    assert_eq!(items.body["items"][0]["fields"], json!({ "Title": "A", "Tag": "t" }));
    assert_eq!(items.body["items"].as_array().map(Vec::len), Some(1));
    let now = call("POST", "/_sim/clock/advance", Some(json!({ "ms": 1_000 }))).await;
    assert_eq!(now.body["now_ms"], crate::caller::START_MS + 1_000);
    let rule =
        json!({ "match": { "kind": "metadata" }, "when": { "count": 1 }, "what": { "kind": "forbidden" } });
    assert_eq!(call("POST", "/_sim/faults", Some(rule)).await.body["id"], 1);
    assert_eq!(bench.get("/v1.0/sites/root").await.status, 403);
    assert_eq!(call("GET", "/_sim/faults", None).await.body["faults"][0]["hits"], 1);
    let switched = call("POST", "/_sim/switches", Some(json!({ "max_page_size": 7 }))).await;
    assert_eq!(switched.body["max_page_size"], 7);
    assert_eq!(call("POST", "/_sim/switches", Some(json!({ "max_pages": 7 }))).await.status, 400);
    call("POST", "/_sim/tokens/expire", None).await;
    assert_eq!(bench.get("/v1.0/sites/root").await.status, 401);
    let log = call("GET", "/_sim/log?since=1", None).await;
    assert_eq!(log.body["entries"][0]["fault"], "forbidden");
    assert_eq!(call("GET", "/_sim/counters", None).await.body["by_status"]["401"], 1);
    assert_eq!(call("GET", "/_sim/nothing", None).await.status, 404);
    assert_eq!(call("GET", "/_sim/items?list=Nothing", None).await.status, 404);
}

#[tokio::test]
async fn the_log_file_has_every_part_and_the_ring_keeps_totals() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("sim-log-{}.jsonl", std::process::id()));
    let options = Options { log_file: Some(path.clone()), log_capacity: 4, ..still() };
    let bench = Bench::start(options).await;
    let list = bench.list("Projects");
    let create = |n: usize| {
        part(&n.to_string(), "POST", &format!("{list}/items"), Some(json!({ "fields": { "Title": "A" } })))
    };
    bench.batch((0..20).map(create).collect()).await;
    let counters = bench.world().counters();
    assert_eq!((counters.requests, counters.operations, counters.writes_applied), (1, 20, 20));
    assert_eq!(bench.world().log(0, 100).len(), 4);
    assert_eq!(bench.world().last_seq(), 22, "a token, twenty parts, their batch");
    bench.server.stop().await;
    let text = std::fs::read_to_string(&path).expect("the log file");
    std::fs::remove_file(&path).expect("removed");
    let entries: Vec<syncline_sim::LogEntry> =
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    assert_eq!(entries.len(), 22);
    assert!(entries.iter().zip(1..).all(|(entry, seq)| entry.seq == seq));
    assert_eq!(entries[1].part.as_deref(), Some("0"));
    assert_eq!((entries[1].item, entries[1].applied, entries[1].ru), (Some(1), true, 2));
}

#[tokio::test]
async fn nonsense_is_answered_and_stop_ends_connections() {
    let bench = Bench::start(still()).await;
    for (request, status) in [
        ("POST /v1.0/$batch HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{]}", "401"),
        ("GET /v1.0/%FF%00 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "401"),
        ("GET /else HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "404"),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let answer = exchange(&bench.url, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
    for body in ["[]", "\"text\"", "{]", "{\"requests\":[{\"id\":1}]}"] {
        let request = format!(
            "POST /v1.0/$batch HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            bench.bearer,
            body.len()
        );
        let answer = exchange(&bench.url, &request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body}: {answer}");
    }
    let url = bench.url.clone();
    bench.server.stop().await;
    let address = url.trim_start_matches("http://").to_owned();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn two_simulators_with_one_seed_are_alike_and_options_read_from_json() {
    let options: Options = serde_json::from_value(json!({
        "seed": 9, "clock_scale": 0.0, "start_at_ms": 0, "latency_ms": 0, "tier": "smallest",
        "switches": { "hyperlinks": "accept" },
        "sites": [{ "path": "/sites/ops", "displayName": "Operations" }],
        "lists": [{ "site": "/sites/ops", "displayName": "Assets", "columns": [{ "name": "Tag", "text": {} }] }]
    }))
    .expect("options");
    let (one, two) =
        (Server::start(options.clone()).await.expect("one"), Server::start(options).await.expect("two"));
    assert_eq!(one.world().tenant_id(), two.world().tenant_id());
    assert_eq!(one.world().lists()[0].site_path, "/sites/ops");
    assert!(serde_json::from_value::<Options>(json!({ "tls": true, "speed": 1 })).is_err());
    let bench = Bench::start(still()).await;
    assert_eq!(bench.token(&token_form(CLIENT, SECRET)).await.status, 200);
}
