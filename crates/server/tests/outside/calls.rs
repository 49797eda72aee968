//! Calls of web services.

use syncline_core::chain::HttpCall;
use syncline_engine::service::Outside as _;

use super::{
    kit::World,
    web::{Server, status},
};

fn call(method: &str, url: String) -> HttpCall {
    HttpCall { method: method.into(), url, headers: Vec::new(), body: None, expect: Vec::new() }
}

#[tokio::test]
async fn a_call_is_made_and_its_status_judged() {
    let server = Server::start(|path| match path {
        "/missing?key=hunter2" => status("404 Not Found"),
        _ => status("204 No Content"),
    })
    .await;
    let world = World::new(&[]).await;
    let mut post = call("POST", format!("{}/start", server.url));
    post.headers = vec![("X-Key".into(), "hunter2".into())];
    post.body = Some("{\"a\":1}".into());
    let line = world.reach.http(&post).await.expect("it was taken");
    assert!(line.starts_with("204 No Content in ") && line.ends_with(" ms"), "{line}");
    let request = &server.requests()[0];
    assert_eq!(request.line, "POST /start HTTP/1.1");
    assert_eq!((request.headers["x-key"].as_str(), request.body.as_str()), ("hunter2", "{\"a\":1}"));

    let mut missing =
        call("GET", format!("{}/missing?key=hunter2", server.url.replace("//", "//me:hunter2@")));
    let (code, message) = world.reach.http(&missing).await.expect_err("it is not there");
    assert_eq!(code, "refused");
    assert_eq!(message, format!("{}/missing answered 404 Not Found", server.url));
    missing.expect = vec![404];
    assert!(world.reach.http(&missing).await.is_ok());
}

#[tokio::test]
async fn redirects_lead_to_the_same_host_only() {
    let other = Server::start(|_| status("200 OK")).await;
    let elsewhere = other.url.clone();
    let server = Server::start(move |path| match path {
        "/out" => format!("HTTP/1.1 302 Found\r\nLocation: {elsewhere}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        "/round" => "HTTP/1.1 302 Found\r\nLocation: /round\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into(),
        "/moved" => "HTTP/1.1 307 Temporary Redirect\r\nLocation: /here\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into(),
        _ => status("200 OK"),
    })
    .await;
    let world = World::new(&[]).await;
    assert!(world.reach.http(&call("GET", format!("{}/moved", server.url))).await.is_ok());
    for path in ["/out", "/round"] {
        let (code, message) =
            world.reach.http(&call("GET", format!("{}{path}", server.url))).await.expect_err(path);
        assert_eq!(code, "refused", "{message}");
    }
    assert_eq!(other.requests().len(), 0, "nothing went elsewhere");
    assert!(server.requests().len() < 12, "a circle ends");
}

#[tokio::test]
async fn answers_are_read_up_to_a_limit() {
    // more is announced than will ever come
    let server = Server::start(|_| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n{}", "x".repeat(70_000))
    })
    .await;
    let world = World::new(&[]).await;
    assert!(world.reach.http(&call("GET", server.url.clone())).await.is_ok());
}

#[tokio::test]
async fn who_is_not_there_and_what_makes_no_sense() {
    let url = Server::start(|_| status("200 OK")).await.url.clone();
    let world = World::new(&[]).await;
    let (code, message) =
        world.reach.http(&call("GET", format!("{url}/a?b=hunter2"))).await.expect_err("gone");
    assert_eq!((code.as_str(), message), ("unreachable", format!("{url}/a cannot be reached")));
    for wrong in [call("GET", "ftp://example.com".into()), call("GE T", url.clone()), {
        let mut call = call("GET", url.clone());
        call.headers = vec![("a b".into(), "c".into())];
        call
    }] {
        let (code, _) = world.reach.http(&wrong).await.expect_err("no sense");
        assert_eq!(code, "definition");
    }
}
