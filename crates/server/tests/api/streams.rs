//! Events as they happen.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::Value;
use syncline_store::service::NewEvent;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::kit::{PATIENCE, World, answer, now};

fn event(kind: &str, text: &str) -> NewEvent {
    NewEvent {
        at: now(),
        kind: kind.to_owned(),
        subject: None,
        run: None,
        correlation: None,
        message: text.to_owned(),
        data: Value::Null,
    }
}

async fn append(world: &World, count: usize) -> u64 {
    let events: Vec<NewEvent> = (0..count).map(|n| event("test.event", &format!("event {n}"))).collect();
    world.store.append_events(&events).await.expect("the store works")
}

/// Numbers of the next `count` events of a stream; none may be missed.
async fn numbers(stream: &mut Response, count: usize) -> Vec<u64> {
    let reading = async {
        let mut text = String::new();
        while text.matches("\ndata: {\"id\"").count() < count {
            let chunk = stream.chunk().await.expect("the stream goes on").expect("the stream is open");
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect()
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the events come")
}

async fn open(world: &World, last: Option<u64>) -> Response {
    let mut request = world.request(Method::GET, "/api/v1/events/stream");
    if let Some(last) = last {
        request = request.header("last-event-id", last.to_string());
    }
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_where_the_client_was() {
    let world = World::open().await;
    let before = append(&world, 3).await;
    let mut live = open(&world, None).await;
    let last = append(&world, 2).await;
    assert_eq!(numbers(&mut live, 2).await, [last - 1, last], "from now on");
    drop(live);
    let newest = append(&world, 250).await;
    let mut again = open(&world, Some(last)).await;
    let missed = numbers(&mut again, 250).await;
    assert_eq!(missed, (last + 1..=newest).collect::<Vec<_>>());
    let mut whole = open(&world, Some(before - 3)).await;
    assert_eq!(numbers(&mut whole, 255).await.len(), 255);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_another_store_is_told_of_the_gap() {
    let world = World::open().await;
    append(&world, 1).await;
    let mut stream = open(&world, Some(1_000_000)).await;
    let newest = append(&world, 1).await;
    let reading = async {
        let mut text = String::new();
        while !text.contains(&format!("id: {newest}\n")) {
            let chunk = stream.chunk().await.expect("the stream goes on").expect("the stream is open");
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        text
    };
    let text = tokio::time::timeout(PATIENCE, reading).await.expect("the event comes");
    assert!(text.starts_with("event: gap\n"), "{text}");
    let bad = world.request(Method::GET, "/api/v1/events/stream").header("last-event-id", "x");
    answer(bad).await.problem(400, "bad_header");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_left_make_room() {
    let world = World::open().await;
    let mut open_ones = Vec::new();
    for _ in 0..100 {
        open_ones.push(open(&world, None).await);
    }
    let full = answer(world.request(Method::GET, "/api/v1/events/stream")).await;
    assert!(full.header("retry-after").is_some());
    full.problem(503, "overloaded");
    world.get("/api/v1/runs").await.ok(200);
    drop(open_ones);
    let closed = |text: &str| text.contains("\nsyncline_event_streams 0\n");
    world.until("/metrics", |answer| closed(&answer.text)).await;
    drop(open(&world, None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_holds_up_nobody_and_is_not_buffered() {
    let world = World::open().await;
    let mut slow = TcpStream::connect(world.address).await.expect("a connection");
    let head = "GET /api/v1/events/stream?after=0 HTTP/1.1\r\nhost: localhost\r\n\r\n";
    slow.write_all(head.as_bytes()).await.expect("the head is taken");
    // far more than the buffers of both sockets hold; the client reads none of it
    let text = "x".repeat(60_000);
    for _ in 0..20 {
        let page: Vec<NewEvent> = (0..20).map(|_| event("test.large", &text)).collect();
        world.store.append_events(&page).await.expect("the store works");
        world.get("/livez").await.ok(200);
    }
    let mut other = open(&world, None).await;
    let last = append(&world, 1).await;
    assert_eq!(numbers(&mut other, 1).await, [last], "another client gets its events");
    // the slow one is only slow: what it reads at last is in order, and nothing is missing
    let reading = async {
        let (mut seen, mut text, mut buffer) = (0, String::new(), vec![0; 1 << 16]);
        while seen < last {
            let n = slow.read(&mut buffer).await.expect("it is still open");
            assert!(n > 0, "it is still open");
            text.push_str(&String::from_utf8_lossy(&buffer[..n]));
            while let Some(end) = text.find('\n') {
                let line: String = text.drain(..=end).collect();
                if let Some(id) = line.strip_prefix("id: ").and_then(|id| id.trim().parse::<u64>().ok()) {
                    assert_eq!(id, seen + 1);
                    seen = id;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE + Duration::from_secs(1), reading).await.expect("everything comes");
}
