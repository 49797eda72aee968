//! Answers no well-behaved service gives, from a script: the simulator is too decent for them.

use std::{collections::VecDeque, sync::Arc};

use serde_json::json;
use syncline_connect::{
    Destination,
    budget::Budgets,
    clock::SystemClock,
    destination::{Operation, OperationKind},
    error::{Error, Kind},
    registry::{Connector as _, Context},
    sharepoint::Connector,
};
use syncline_core::{connection::Connection, identity::Identity, remedy::Effect, schema::Stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A server that answers the token and site requests decently, and every other one with the next line of its script.
/// `{root}` in a line is the server's address. Ends with the test's runtime.
struct Script {
    root: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Script {
    async fn start(lines: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let fill = |text: &str| text.replace("{root}", &root);
        let mut lines: VecDeque<(String, String)> = lines.iter().map(|(h, b)| (fill(h), fill(b))).collect();
        #[expect(clippy::disallowed_methods, reason = "aborted when the script is dropped")]
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(path) = request(&mut stream).await else { continue };
                let (head, body) = if path.ends_with("/token") {
                    ("200 OK".to_owned(), json!({ "access_token": "t", "expires_in": "3599" }).to_string())
                } else if path.starts_with("/v1.0/sites/h.example:/") {
                    ("200 OK".to_owned(), json!({ "id": "h.example,1,2" }).to_string())
                } else {
                    lines.pop_front().unwrap_or_else(|| ("418 Script Is Over".into(), String::new()))
                };
                let answer = format!(
                    "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.ok();
            }
        });
        Self { root, task }
    }

    async fn destination(&self) -> Arc<dyn Destination> {
        let options = json!({
            "site": "h.example:/sites/x", "authority": self.root, "graph": self.root, "timeout": 20_000,
            "auth": { "type": "client_credentials", "tenant": "t", "client_id": "c", "client_secret": "s" },
        });
        let clock = Arc::new(SystemClock::new());
        let budgets = Arc::new(Budgets::new(clock.clone()));
        let context = Context { clock, budgets, seed: 7, directory: "/".into(), caller: Default::default() };
        let connection = Connection { name: "c".into(), kind: "sharepoint".into(), options };
        Connector::default().destination(&connection, &context).await.unwrap()
    }

    /// Ids of a whole listing, page by page.
    async fn list(lines: &[(&str, &str)]) -> Result<Vec<usize>, Error> {
        let script = Self::start(lines).await;
        let mut lister = script.destination().await.list(&stream(), &[]).await?;
        let mut pages = Vec::new();
        while let Some(page) = lister.next().await? {
            pages.push(page.len());
        }
        Ok(pages)
    }

    /// Kinds of the answers to two creates.
    async fn write(lines: &[(&str, &str)]) -> [Result<String, Error>; 2] {
        let script = Self::start(lines).await;
        let create =
            |n| Operation { kind: OperationKind::Create, identity: Identity([n; 32]), values: vec![] };
        let answers = script.destination().await.write(&stream(), &[], &[create(1), create(2)]).await;
        let ids: Vec<Result<String, Error>> = answers.into_iter().map(|a| a.map(|a| a.id)).collect();
        ids.try_into().unwrap()
    }
}

/// Reads one request; its path.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return head.split(' ').nth(1).map(str::to_owned);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn stream() -> Stream {
    Stream { name: "L".into(), id: "l".into(), ..Stream::default() }
}

const OK: &str = "200 OK";
const ITEM: &str = r#"{"id":"1","eTag":"v","fields":{}}"#;

#[tokio::test]
async fn a_page_link_that_comes_back_is_an_error() {
    let page = format!(r#"{{"value":[{ITEM}],"@odata.nextLink":"{{root}}/v1.0/next?token=1"}}"#);
    let error = Script::list(&[(OK, &page), (OK, &page), (OK, &page)]).await.unwrap_err();
    assert_eq!(error.kind, Kind::Protocol);
    assert!(error.message.contains("twice"), "{error}");
}

#[tokio::test]
async fn a_link_to_somebody_else_is_not_followed() {
    for link in ["https://evil.example/v1.0/next?token=1", "http://127.0.0.1:1/v1.0/next", "not a link"] {
        let page = format!(r#"{{"value":[{ITEM}],"@odata.nextLink":"{link}"}}"#);
        assert_eq!(Script::list(&[(OK, &page)]).await.unwrap_err().kind, Kind::Protocol, "{link}");
    }
}

#[tokio::test]
async fn an_error_inside_the_first_delta_page_falls_back_to_pages() {
    let broken = r#"{"value":[{"id":"1","fields":{}},{"error":{"code":"InternalServerError"}}],"@odata.deltaLink":"x"}"#;
    let page = format!(r#"{{"value":[{ITEM}],"@odata.nextLink":"{{root}}/v1.0/next?$skiptoken=1"}}"#);
    let last = format!(r#"{{"value":[{ITEM},{ITEM}]}}"#);
    assert_eq!(Script::list(&[(OK, broken), (OK, &page), (OK, &last)]).await.unwrap(), [1, 2]);
    // No delta here at all, and then a page size it does not like.
    let no = ("400 Bad Request", r#"{"error":{"code":"invalidRequest","message":"no"}}"#);
    assert_eq!(Script::list(&[no, no, (OK, &last)]).await.unwrap(), [2]);
}

#[tokio::test]
async fn pages_without_sense_are_errors() {
    for page in [r#"{"value":[]}"#, r#"{"value":[{"fields":{}}],"@odata.deltaLink":"x"}"#, "<html>", "{}"] {
        let error = Script::list(&[(OK, page)]).await.unwrap_err();
        assert!(matches!(error.kind, Kind::Protocol | Kind::Definition), "{page}: {error}");
    }
    let moved = ("302 Found\r\nLocation: https://login.example/", "");
    let error = Script::list(&[moved]).await.unwrap_err();
    assert_eq!(error.kind, Kind::Definition);
    assert!(error.hint.unwrap().contains("login.example"));
}

#[tokio::test]
async fn a_batch_answer_that_lacks_a_part_leaves_that_part_unknown() {
    let body = r#"{"responses":[{"id":"1","status":201,"body":{"id":"42"}},{"id":"7","status":201}]}"#;
    let [first, second] = Script::write(&[(OK, body)]).await;
    assert_eq!(first.unwrap_err().effect(), Effect::Unknown);
    assert_eq!(second.unwrap(), "42");
    // Created, but which? And: said to be fine, but no batch answer.
    let nameless = r#"{"responses":[{"id":"0","status":201,"body":{}},{"id":"1","status":201}]}"#;
    for body in [nameless, "<html>", "", r#"{"responses":[{"id":"0"}]}"#] {
        for answer in Script::write(&[(OK, body)]).await {
            assert_eq!(answer.unwrap_err().effect(), Effect::Unknown, "{body}");
        }
    }
}

#[tokio::test]
async fn a_whole_batch_that_fails() {
    for (head, kind) in [
        ("500 Oops", Kind::Unanswered),
        ("502 Oops", Kind::Unanswered),
        ("503 Oops", Kind::Unanswered),
        ("504 Oops", Kind::Unanswered),
        ("403 No", Kind::Forbidden),
        ("404 No", Kind::Definition),
        ("302 Elsewhere", Kind::Definition),
        ("200 OK\r\nContent-Encoding: gzip", Kind::Unanswered),
    ] {
        for answer in Script::write(&[(head, "{}")]).await {
            assert_eq!(answer.unwrap_err().kind, kind, "{head}");
        }
    }
    // A refused envelope was not looked into: each part gets its own request and its own answer.
    let no = ("400 Bad Request", r#"{"error":{"code":"BadRequest","message":"no"}}"#);
    let [first, second] = Script::write(&[no, ("201 Created", r#"{"id":"5"}"#), no]).await;
    assert_eq!(first.unwrap(), "5");
    assert_eq!(second.unwrap_err().kind, Kind::Rejected);
}
