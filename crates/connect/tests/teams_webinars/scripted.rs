//! What is sent, and answers that no well-behaved service gives.

use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use serde_json::json;
use syncline_connect::{
    Source,
    budget::Budgets,
    clock::SystemClock,
    error::Kind,
    registry::{Caller, Connector as _, Context, User},
    teams_webinars::Connector,
};
use syncline_core::connection::Connection;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::kit::{CORRELATION, list, params};

/// A server that answers token requests decently and every other one with this body. Ends with the test.
struct Script {
    root: String,
    /// Heads of the requests.
    seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Script {
    async fn start(body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let body = body.replace("{root}", &root);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::clone(&seen);
        #[expect(clippy::disallowed_methods, reason = "aborted when the script is dropped")]
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(head) = request(&mut stream).await else { continue };
                let token = json!({ "access_token": "t", "expires_in": 3599 }).to_string();
                let body = if head.contains("/token ") { &token } else { &body };
                heads.lock().unwrap().push(head);
                let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nrequest-id: 93b6f17e-c05d-4f45-ad2a-6665c708d8a0";
                let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.ok();
            }
        });
        Self { root, seen, task }
    }

    async fn source(&self) -> Arc<dyn Source> {
        let options = json!({
            "authority": self.root, "graph": self.root, "timeout": 20_000, "roles": "organizer",
            "auth": { "type": "on_behalf_of", "tenant": "t", "client_id": "c", "client_secret": "s" },
        });
        let clock = Arc::new(SystemClock::new());
        let user =
            User { owner: "o".into(), tenant: "t".into(), assertion: SecretString::from("a".to_owned()) };
        let caller = Caller { user: Some(Arc::new(user)), correlation: Some(CORRELATION.into()) };
        let budgets = Arc::new(Budgets::new(clock.clone()));
        let context = Context { clock, budgets, seed: 7, directory: "/".into(), caller };
        let connection = Connection { name: "c".into(), kind: "teams_webinars".into(), options };
        Connector::default().source(&connection, &context).await.unwrap()
    }
}

/// Reads one request; its head.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(head.to_owned());
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

#[tokio::test]
async fn every_request_carries_the_id_of_the_run() {
    let script = Script::start(r#"{"value":[]}"#).await;
    list(&*script.source().await, "webinars", params(&[]), &["id"]).await.unwrap();
    let seen = script.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 2, "a token and a page: {seen:?}");
    for head in seen {
        assert!(head.contains("client-request-id: 0af76519-16cd-43dd-8448-eb211c80319c"), "{head}");
    }
}

#[tokio::test]
async fn links_that_go_round_or_away() {
    for (link, words) in [
        ("{root}/v1.0/next", "the same page link twice"),
        ("https://elsewhere.example/v1.0/next", "leads away"),
    ] {
        let script = Script::start(&format!(r#"{{"value":[],"@odata.nextLink":"{link}"}}"#)).await;
        let error = list(&*script.source().await, "webinars", params(&[]), &["id"]).await.unwrap_err();
        assert_eq!(error.kind, Kind::Protocol);
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn answers_that_make_no_sense_name_the_request() {
    for body in ["", "{}", r#"{"value":[{}]}"#, r#"{"value":[{"error":{"code":"x"}}]}"#] {
        let script = Script::start(body).await;
        let error = list(&*script.source().await, "webinars", params(&[]), &["id"]).await.unwrap_err();
        assert_eq!(
            (error.kind, error.request.as_deref()),
            (Kind::Protocol, Some("93b6f17e-c05d-4f45-ad2a-6665c708d8a0")),
            "{body}"
        );
    }
}
