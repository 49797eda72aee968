//! The demo's SharePoint: `syncline sim` as a child process, driven through its control API like any other would.

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Map, Value as Json, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::exit::Failure;

/// What a request to a process on this machine may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Milliseconds added to every answer: about what a near data centre takes.
const LATENCY_MS: &str = "5";

/// Items asked for at once.
const PAGE: usize = 5_000;

/// Largest answer that is read: a page of items has a few megabytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A running simulator; it is killed when this is dropped.
pub(super) struct Tenant {
    pub(super) url: String,
    client: reqwest::Client,
    _process: Child,
}

/// An item of a list.
pub(super) struct Item {
    pub(super) id: u64,
    pub(super) fields: Map<String, Json>,
}

impl Item {
    /// The text in a column; empty when there is none.
    pub(super) fn text(&self, column: &str) -> &str {
        self.fields.get(column).and_then(Json::as_str).unwrap_or_default()
    }
}

impl Tenant {
    /// Starts the simulator and waits for its address.
    pub(super) async fn start(binary: &Path, directory: &Path) -> Result<Self, Failure> {
        let mut process = Command::new(binary)
            .args(["sim", "--unlimited", "--latency", LATENCY_MS, "--log-file", "requests.jsonl"])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Failure::failed(format!("the simulator cannot be started: {error}")))?;
        let died = || Failure::failed("the simulator ended before it said its address");
        let out = process.stdout.take().ok_or_else(died)?;
        let first = tokio::time::timeout(TIMEOUT, BufReader::new(out).lines().next_line()).await;
        let url = first.ok().and_then(Result::ok).flatten().ok_or_else(died)?;
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|error| Failure::failed(format!("no HTTP client: {error}")))?;
        Ok(Self { url, client, _process: process })
    }

    pub(super) async fn add_list(&self, title: &str, columns: &Json) -> Result<(), Failure> {
        self.post("lists", &json!({ "displayName": title, "columns": columns })).await
    }

    /// Another user edits an item.
    pub(super) async fn edit(&self, list: &str, id: u64, fields: &Json) -> Result<(), Failure> {
        self.post("items/edit", &json!({ "list": list, "id": id, "fields": fields })).await
    }

    /// Another user deletes an item.
    pub(super) async fn delete(&self, list: &str, id: u64) -> Result<(), Failure> {
        self.post("items/delete", &json!({ "list": list, "id": id })).await
    }

    /// Every item of a list.
    pub(super) async fn items(&self, list: &str) -> Result<Vec<Item>, Failure> {
        let mut items: Vec<Item> = Vec::new();
        loop {
            let after = items.last().map_or(0, |item| item.id).to_string();
            let query = [("list", list), ("after", &after), ("limit", &PAGE.to_string())];
            let page = self.get("items", &query).await?;
            let page = page.get("items").and_then(Json::as_array).cloned().unwrap_or_default();
            let full = page.len() == PAGE;
            items.extend(page.into_iter().map(|item| Item {
                id: item.get("id").and_then(Json::as_u64).unwrap_or_default(),
                fields: item.get("fields").and_then(Json::as_object).cloned().unwrap_or_default(),
            }));
            if !full {
                return Ok(items);
            }
        }
    }

    /// Creates, updates and deletes applied so far.
    pub(super) async fn writes(&self) -> Result<u64, Failure> {
        let counters = self.get("counters", &[]).await?;
        let writes = counters.get("writes_applied").or_else(|| counters.get("writesApplied"));
        writes.and_then(Json::as_u64).ok_or_else(|| Failure::failed("the simulator counts no writes"))
    }

    async fn get(&self, action: &str, query: &[(&str, &str)]) -> Result<Json, Failure> {
        let request = self.client.get(format!("{}/_sim/{action}", self.url)).query(query);
        Self::answer(action, request).await
    }

    async fn post(&self, action: &str, body: &Json) -> Result<(), Failure> {
        let request = self.client.post(format!("{}/_sim/{action}", self.url)).json(body);
        Self::answer(action, request).await.map(drop)
    }

    async fn answer(action: &str, request: reqwest::RequestBuilder) -> Result<Json, Failure> {
        let failed = |what: String| Failure::failed(format!("the simulator's {action}: {what}"));
        let mut response = request.send().await.map_err(|error| failed(error.to_string()))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(error.to_string()))? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(failed("the answer is too large".to_owned()));
            }
        }
        if !status.is_success() {
            return Err(failed(format!("{status}: {}", String::from_utf8_lossy(&body))));
        }
        serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))
    }
}
