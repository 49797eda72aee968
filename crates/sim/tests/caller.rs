//! A plain HTTP caller and a frozen simulator to call.

use std::time::Duration;

use serde_json::{Map, Value, json};
use syncline_sim::{ListSpec, Options, Server, World};

/// Saturday, 31 January 2026, 10:17:05 UTC: the instant of the facts' samples.
pub(crate) const START_MS: i64 = 1_769_854_625_000;

pub(crate) const CLIENT: &str = "11111111-2222-4333-8444-555555555502";
pub(crate) const SECRET: &str = "simulated-secret";
pub(crate) const TENANT: &str = "contoso.onmicrosoft.com";
pub(crate) const SITE: &str = "/v1.0/sites/contoso.sharepoint.com:/sites/projects:";

/// Options of a world that stands still and shuffles nothing.
pub(crate) fn still() -> Options {
    let mut options = Options { clock_scale: 0.0, start_at_ms: Some(START_MS), ..Options::default() };
    options.switches.batch_responses = syncline_sim::PartOrder::Listed;
    options
}

/// An answer as it came over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Map<String, Value>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(Value::as_str)
    }

    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }

    pub(crate) fn values(&self) -> &[Value] {
        self.body["value"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// A running simulator and a caller with a token.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) url: String,
    client: reqwest::Client,
    pub(crate) bearer: String,
}

impl Bench {
    pub(crate) async fn start(options: Options) -> Self {
        // Another test of this process may have chosen the provider already.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let server = Server::start(options).await.expect("the simulator starts");
        let mut builder = reqwest::Client::builder().timeout(Duration::from_secs(20));
        builder = builder.retry(reqwest::retry::never());
        if let Some(pem) = server.ca_pem() {
            let ca = reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate");
            builder = builder.tls_certs_only([ca]);
        }
        let client = builder.build().expect("a client");
        let mut bench = Self { url: server.url(), server, client, bearer: String::new() };
        let answer = bench.token(&token_form(CLIENT, SECRET)).await;
        bench.bearer = answer.body["access_token"].as_str().unwrap_or("").to_owned();
        bench
    }

    pub(crate) fn world(&self) -> &World {
        self.server.world()
    }

    /// A list with the columns most tests use; returns its path.
    pub(crate) fn list(&self, name: &str) -> String {
        let columns = [
            json!({ "name": "SynclineKey", "text": {}, "indexed": true, "enforceUniqueValues": true }),
            json!({ "name": "Amount", "number": {} }),
            json!({ "name": "Status", "choice": { "choices": ["Active", "Closed"] }, "indexed": true }),
            json!({ "name": "Body", "text": { "allowMultipleLines": true } }),
        ];
        let spec = ListSpec { display_name: name.into(), columns: columns.to_vec(), ..ListSpec::default() };
        self.world().add_list(&spec).expect("a list");
        format!("{SITE}/lists/{name}")
    }

    pub(crate) async fn token(&self, form: &str) -> Answer {
        let path = format!("{}/{TENANT}/oauth2/v2.0/token", self.url);
        let request = self
            .client
            .post(path)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.to_owned());
        read(request.send().await.expect("an answer")).await.expect("a whole answer")
    }

    /// Sends a request; an error when the answer was lost.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, reqwest::Error> {
        let method: reqwest::Method = method.parse().expect("a method");
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url) };
        let mut request = self.client.request(method, url);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            request = request.bearer_auth(&self.bearer);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        read(request.send().await?).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.send(method, path, &[], body.as_ref()).await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    pub(crate) async fn create(&self, list: &str, fields: Value) -> Answer {
        self.call("POST", &format!("{list}/items"), Some(json!({ "fields": fields }))).await
    }

    pub(crate) async fn batch(&self, requests: Vec<Value>) -> Answer {
        self.call("POST", "/v1.0/$batch", Some(json!({ "requests": requests }))).await
    }

    /// Follows nextLinks to the end: all values, and the last page.
    pub(crate) async fn pages(&self, path: &str) -> (Vec<Value>, Answer, usize) {
        let mut all = Vec::new();
        let mut page = self.get(path).await;
        let mut count = 1;
        loop {
            assert_eq!(page.status, 200, "{}", page.body);
            all.extend_from_slice(page.values());
            let Some(next) = page.body["@odata.nextLink"].as_str().map(str::to_owned) else {
                return (all, page, count);
            };
            page = self.get(&next).await;
            count += 1;
            assert!(count < 10_000, "endless pages");
        }
    }
}

async fn read(mut response: reqwest::Response) -> Result<Answer, reqwest::Error> {
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").into()))
        .collect();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).expect("JSON") };
    Ok(Answer { status, headers, body })
}

pub(crate) fn token_form(client: &str, secret: &str) -> String {
    format!(
        "grant_type=client_credentials&client_id={client}&client_secret={secret}\
         &scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
    )
}

pub(crate) fn part(id: &str, method: &str, url: &str, body: Option<Value>) -> Value {
    let url = url.strip_prefix("/v1.0").unwrap_or(url);
    let mut part = json!({ "id": id, "method": method, "url": url });
    if let Some(body) = body {
        part["headers"] = json!({ "Content-Type": "application/json" });
        part["body"] = body;
    }
    part
}
