//! Bad input of every kind is a problem, never a fault of the server; and no client harms the others.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::kit::{PATIENCE, World, answer};

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_told() {
    let world = World::open().await;
    let post = |path: &str| world.request(Method::POST, path);
    let json =
        |path: &str, body: &'static str| post(path).header("content-type", "application/json").body(body);
    let start = "/api/v1/syncs/projects/runs";
    answer(json(start, "{")).await.problem(400, "bad_body");
    answer(json(start, "[1]")).await.problem(400, "bad_body");
    answer(json(start, r#"{"mode": 1}"#)).await.problem(400, "bad_body");
    let unknown = answer(json(start, r#"{"mod": "full"}"#)).await.problem(400, "bad_body");
    assert!(unknown["detail"].as_str().is_some_and(|d| d.contains("unknown field `mod`")), "{unknown}");
    answer(post(start).body("{}")).await.problem(415, "type_unsupported");
    answer(post(start).header("content-type", "text/plain").body("{}"))
        .await
        .problem(415, "type_unsupported");
    answer(json("/api/v1/schedules/pause", "{}")).await.problem(400, "bad_body");
    answer(json("/api/v1/schedules/pause", r#"{"sync": ""}"#)).await.problem(400, "bad_body");
    answer(json("/api/v1/schedules/pause", r#"{"sync": "a\u0000b"}"#)).await.problem(400, "bad_body");
    for path in
        ["/api/v1/runs/x", "/api/v1/runs/-1", "/api/v1/runs/9223372036854775808", "/api/v1/syncs/a%00b"]
    {
        world.get(path).await.problem(400, "bad_path");
    }
    world.get(&format!("/api/v1/syncs/{}", "x".repeat(201))).await.problem(400, "bad_path");
    let queries =
        ["limit=0", "limit=1001", "limit=x", "limt=3", "status=over", "sync=", "sync=a&sync=b", "sync=%00"];
    for query in queries {
        world.get(&format!("/api/v1/runs?{query}")).await.problem(400, "bad_query");
    }
    world.get("/api/v1/syncs/projects?verbose=1").await.problem(400, "bad_query");
    world.get("/api/v1/runs?cursor=x").await.problem(400, "bad_cursor");
    world.get("/nowhere").await.problem(404, "not_found");
    world.get("/api/v1").await.problem(404, "not_found");
    let wrong = answer(world.request(Method::PATCH, "/api/v1/runs")).await;
    assert_eq!(wrong.header("allow"), Some("GET,HEAD"));
    wrong.problem(405, "method_not_allowed");
    let header = |name: &'static str, value: String| post(start).header(name, value);
    answer(header("idempotency-key", "k".repeat(201))).await.problem(400, "bad_header");
    answer(header("idempotency-key", String::new())).await.problem(400, "bad_header");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_over_the_limit_are_refused() {
    let world = World::open().await;
    let large = json!({ "mode": "x".repeat(1 << 20) });
    world.post("/api/v1/syncs/projects/runs", large).await.problem(413, "body_too_large");
    // without a length: counted while it comes
    let chunks = (0..40).map(|_| Ok::<_, std::io::Error>("y".repeat(64 * 1024)));
    let body = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    let request = world.request(Method::PUT, "/api/v1/syncs/big").header("content-type", "application/yaml");
    answer(request.header("if-none-match", "*").body(body)).await.problem(413, "body_too_large");
    world.get("/livez").await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_bounded_and_broken_requests_do_no_harm() {
    let world = World::open().await;
    for head in [
        format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(100_000)),
        "GET /livez HTTP/9.9\r\n\r\n".to_owned(),
        "\0\0\0\0\r\n\r\n".to_owned(),
        "POST /api/v1/syncs/projects/runs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{"
            .to_owned(),
    ] {
        let mut stream = TcpStream::connect(world.address).await.expect("a connection");
        // the server may have hung up in the middle
        stream.write_all(head.as_bytes()).await.ok();
        stream.shutdown().await.ok();
        let mut said = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it hangs up");
        let said = String::from_utf8_lossy(&said);
        assert!(read.is_err() || said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    world.get("/livez").await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_requests_end_and_takes_no_more() {
    let world = World::open().await;
    let address = world.address;
    world.get("/livez").await.ok(200);
    tokio::time::timeout(Duration::from_secs(20), world.stop()).await.expect("it stops");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");
}
