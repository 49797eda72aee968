//! One HTTP request to Graph: budget, token, time-out, bounded answer. What the answer means is not decided here.

use std::{
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method,
    header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, LOCATION, WWW_AUTHENTICATE},
};
use serde::de::DeserializeOwned;
use syncline_core::failpoint;
use tokio::sync::Semaphore;
use url::Url;
use uuid::Uuid;

use super::{
    challenge::{self, Challenge},
    config::{Config, Extra},
    errors::{Acts, Doing, Refusal},
    grant::plain_id,
    http::{self, bounded_body, transport},
    throttle::Signals,
    token::{TokenSource, Tokens},
};
use crate::{
    Error,
    budget::{Budget, Budgets, Permit},
    clock::Clock,
    error::Kind,
    registry::Context,
};

/// Largest answer that is read, unpacked. A page of 1,000 wide items is a few megabytes.
const BODY_MAX: usize = 64 << 20;

/// What stays as it is in a path segment: unreserved characters, and the comma of site ids.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b',');

/// `text` as one segment of a path.
pub(crate) fn segment(text: &str) -> impl Display + '_ {
    utf8_percent_encode(text, SEGMENT)
}

/// A version-4 id from a seeded generator.
pub(crate) fn guid(random: &mut fastrand::Rng) -> Uuid {
    uuid::Builder::from_random_bytes(random.u128(..).to_be_bytes()).into_uuid()
}

/// 32 hexadecimal digits in the form of a GUID.
fn guid_of(digits: &str) -> Option<String> {
    (digits.len() == 32).then(|| Uuid::try_parse(digits).ok()).flatten().map(|id| id.hyphenated().to_string())
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Address<'a> {
    /// Below the Graph root and version: `/sites/…`.
    Path(&'a str),
    /// A link the service gave, followed verbatim (facts §1.5).
    Link(&'a str),
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) address: Address<'a>,
    /// JSON.
    pub(crate) body: Option<Bytes>,
    /// Version the item must have.
    pub(crate) if_match: Option<&'a str>,
    /// Units of quota it is charged.
    pub(crate) cost: u64,
    /// Requests it counts as: the parts of a batch.
    pub(crate) requests: u64,
    /// The list whose items it is about.
    pub(crate) list: Option<&'a str>,
}

impl<'a> Call<'a> {
    /// A GET.
    pub(crate) fn get(address: Address<'a>, cost: u64) -> Self {
        Self { method: Method::GET, address, body: None, if_match: None, cost, requests: 1, list: None }
    }

    /// The same, about items of this list.
    pub(crate) fn of_list(mut self, list: &'a str) -> Self {
        self.list = Some(list);
        self
    }
}

/// An answer of any status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) signals: Signals,
    pub(crate) body: Vec<u8>,
    /// The service's id of the request, else ours.
    pub(crate) request: String,
    /// When it was answered, by the service's clock where it says.
    pub(crate) at: Timestamp,
    /// Which token was used.
    pub(crate) token: u64,
    /// In whose name it was asked.
    pub(crate) acts: Acts,
    /// What the user must satisfy first.
    pub(crate) challenge: Option<Challenge>,
    /// `Location`, of redirects and of 410.
    pub(crate) location: Option<String>,
}

impl Answer {
    /// The error this answer is.
    pub(crate) fn refusal(&self, doing: Doing) -> Error {
        let error = Refusal {
            status: self.status,
            body: &self.body,
            signals: &self.signals,
            request: &self.request,
            acts: self.acts,
            challenge: self.challenge.as_ref(),
        }
        .error(doing);
        match &self.location {
            Some(location) if (300..400).contains(&self.status) => {
                let host = Url::parse(location).ok().and_then(|u| u.host_str().map(str::to_owned));
                error.hint(format!(
                    "redirected to {}: is the graph address right, or is there a proxy in between?",
                    host.as_deref().unwrap_or("another path")
                ))
            }
            _ => error,
        }
    }
}

/// Talks to one Graph root as one application.
pub(crate) struct Client {
    http: reqwest::Client,
    /// `https://graph.microsoft.com/v1.0`.
    base: String,
    root: Url,
    tokens: Arc<TokenSource>,
    budgets: Arc<Budgets>,
    budget: Arc<Budget>,
    extra: Vec<Extra>,
    slots: Semaphore,
    /// The id of every request, where they belong to a run.
    correlation: Option<String>,
    random: Mutex<fastrand::Rng>,
    clock: Arc<dyn Clock>,
}

impl Client {
    /// Opens a client; nothing is sent yet.
    pub(crate) fn open(config: &Config, tokens: &Tokens, context: &Context) -> Result<Self, Error> {
        let seed = config.name.bytes().fold(context.seed, |s, b| s.rotate_left(5) ^ u64::from(b));
        Ok(Self {
            http: http::client(config)?,
            base: format!("{}/v1.0", config.graph.as_str().trim_end_matches('/')),
            root: config.graph.clone(),
            tokens: tokens.get(config, context)?,
            budget: context.budgets.get(&config.quota(), &config.windows),
            budgets: Arc::clone(&context.budgets),
            extra: config.extra.clone(),
            slots: Semaphore::new(config.concurrency),
            correlation: context.caller.correlation.as_deref().and_then(guid_of),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            clock: Arc::clone(&context.clock),
        })
    }

    /// Sends a request and reads its answer, whatever its status. A refused token is renewed once and the request sent
    /// again: the far side did nothing. Not so where the user must prove more: the same user's next token would be refused
    /// as well.
    ///
    /// # Errors
    /// No answer came: [`Kind::Unreachable`] when the request certainly was not sent, else [`Kind::Unanswered`]. Or there
    /// is no token.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer, Error> {
        let answer = self.send_once(&call).await?;
        if answer.status != 401 && answer.challenge.is_none() {
            return Ok(answer);
        }
        self.tokens.evict(answer.token).await;
        if answer.challenge.is_some() {
            return Ok(answer);
        }
        self.send_once(&call).await
    }

    /// Forgets a token that parts of a batch were refused with.
    pub(crate) async fn evict(&self, token: u64) {
        self.tokens.evict(token).await;
    }

    /// A GET whose success is JSON.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        address: Address<'_>,
        cost: u64,
        doing: Doing,
    ) -> Result<T, Error> {
        let answer = self.send(Call::get(address, cost)).await?;
        if answer.status != 200 {
            return Err(answer.refusal(doing));
        }
        serde_json::from_slice(&answer.body).map_err(|e| nonsense(&answer.request, &e))
    }

    /// Passes on to the budget what the parts of a batch said about the quota: the longest wait of throttled ones, and
    /// the least that is left.
    pub(crate) fn heed_parts(&self, wait: Option<Duration>, remaining: Option<(u64, Duration)>) {
        if let Some((units, reset)) = remaining {
            self.budget.observe(units, reset);
        }
        if let Some(wait) = wait {
            self.close_for(wait);
        }
    }

    /// Nobody sends before this wait is over.
    fn close_for(&self, wait: Duration) {
        tracing::info!(budget = self.budget.name(), wait_ms = wait.as_millis() as u64, "throttled");
        self.budget.close_for(wait);
    }

    async fn send_once(&self, call: &Call<'_>) -> Result<Answer, Error> {
        let url = self.url(call.address)?;
        // The narrow limits first, then a slot, then the shared quota: what is scarce for one list must not hold up the
        // others, and a unit reserved from the quota is used at once.
        let mut permits = self.acquire_extra(call).await;
        let _slot =
            self.slots.acquire().await.map_err(|_| Error::new(Kind::Unreachable, "the client is closed"))?;
        permits.push(self.budget.acquire(call.cost).await);
        // After the wait, which may outlast a token.
        let ours = self.request_id();
        let bearer = self.tokens.bearer(&self.http, &ours).await?;
        let mut builder = self
            .http
            .request(call.method.clone(), url)
            .header(AUTHORIZATION, bearer.header)
            .header("client-request-id", &ours);
        if let Some(version) = call.if_match {
            builder = builder.header("If-Match", version);
        }
        if let Some(body) = &call.body {
            builder = builder.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let named = |e: Error, request: &str| Error {
            message: format!("{} (request {request})", e.message),
            request: Some(request.to_owned()),
            ..e
        };
        failpoint!("connect.sharepoint.before_send", |place| Error::failpoint(Kind::Unreachable, place));
        let mut response = builder.send().await.map_err(|e| named(transport(e), &ours))?;
        failpoint!("connect.sharepoint.before_read", |place| Error::failpoint(Kind::Unanswered, place));
        let status = response.status().as_u16();
        let (signals, at) = self.signals(response.headers());
        let request = text(response.headers(), "request-id").and_then(plain_id).unwrap_or(ours);
        let demands = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|v| v.to_str().ok());
        let challenge = challenge::read(demands).filter(|_| matches!(status, 401 | 403));
        let location = text(response.headers(), LOCATION.as_str()).map(str::to_owned);
        let body = match bounded_body(&mut response, BODY_MAX).await {
            Ok(body) => body,
            // The status of a refusal says enough without its body.
            Err(_) if (400..500).contains(&status) => Vec::new(),
            Err(e) => return Err(named(e, &request)),
        };
        drop(permits);
        self.heed(status, &signals);
        Ok(Answer {
            status,
            signals,
            body,
            request,
            at,
            token: bearer.serial,
            acts: self.tokens.acts(),
            challenge,
            location,
        })
    }

    /// The id under which a request is sent.
    fn request_id(&self) -> String {
        let random = || guid(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner)).to_string();
        self.correlation.clone().unwrap_or_else(random)
    }

    /// Passes on to the budget what the service says about the quota.
    fn heed(&self, status: u16, signals: &Signals) {
        if let Some((units, reset)) = signals.left() {
            self.budget.observe(units, reset);
        }
        if matches!(status, 429 | 503 | 509) {
            self.close_for(signals.wait());
        }
    }

    async fn acquire_extra(&self, call: &Call<'_>) -> Vec<Permit> {
        let mut permits = Vec::with_capacity(self.extra.len() + 1);
        for (index, extra) in self.extra.iter().enumerate() {
            let name = match (extra.per_list, call.list) {
                (false, _) => format!("{} limit {index}", self.budget.name()),
                (true, Some(list)) => format!("{} limit {index} list {list}", self.budget.name()),
                (true, None) => continue,
            };
            let amount = if extra.units { call.cost } else { call.requests };
            permits.push(self.budgets.get(&name, &[extra.limit]).acquire(amount).await);
        }
        permits
    }

    fn signals(&self, headers: &HeaderMap) -> (Signals, Timestamp) {
        let said = headers.get(DATE).and_then(|d| httpdate::parse_http_date(d.to_str().ok()?).ok());
        let now = said.and_then(|d| Timestamp::try_from(d).ok()).unwrap_or_else(|| self.clock.now());
        let mut signals = Signals::default();
        for (name, value) in headers {
            if let Ok(value) = value.to_str() {
                signals.read(name.as_str(), value, now);
            }
        }
        (signals, now)
    }

    /// Whether a link leads to where the token may go.
    pub(crate) fn is_own(&self, link: &str) -> bool {
        Url::parse(link).is_ok_and(|url| url.origin() == self.root.origin())
    }

    /// Where a request goes, as a URL. A link must stay where the token may go.
    fn url(&self, address: Address<'_>) -> Result<Url, Error> {
        let elsewhere = || Error::new(Kind::Protocol, "the service gave a link that leads away from it");
        match address {
            Address::Path(path) => Url::parse(&format!("{}{path}", self.base))
                .map_err(|e| Error::new(Kind::Definition, format!("no address: {e}"))),
            Address::Link(link) => {
                let url = Url::parse(link).map_err(|_| elsewhere())?;
                (url.origin() == self.root.origin()).then_some(url).ok_or_else(elsewhere)
            }
        }
    }
}

/// The answer of a read is not what it should be; nothing of it was used.
pub(crate) fn nonsense(request: &str, why: &dyn Display) -> Error {
    let why = without_content(&why.to_string());
    let message = format!("the answer makes no sense: {why} (request {request})");
    Error { request: Some(request.to_owned()), ..Error::new(Kind::Protocol, message) }
}

/// The reader's reason without the piece of the answer that it repeats: that may be a value of a record.
fn without_content(why: &str) -> String {
    let names_a_field = why.starts_with("missing field") || why.starts_with("duplicate field");
    match why.find(['"', '`']).filter(|_| !names_a_field) {
        Some(at) => format!("{}…{}", &why[..at], why.rfind(" at line ").map_or("", |place| &why[place..])),
        None => why.to_owned(),
    }
}
