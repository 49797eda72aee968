//! Runs that somebody waits for: of one partition and of a series, in a user's name and as the application.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use syncline_connect::clock::Clock;
use syncline_server::auth::Scope;
use tokio::sync::watch;

use super::{
    kit::{Answer, Made, World, answer},
    provider::{Provider, SigningKey},
};

const ANN: &str = "aaaaaaaa-0000-0000-0000-000000000001";
const BOB: &str = "bbbbbbbb-0000-0000-0000-000000000002";

const PROJECT: &str = "\
connections:
  source: { type: sqlite, path: source.db }
  cache: { type: sqlite, path: cache.db }
syncs:
  people:
    from: { connection: source, table: people, key: [code] }
    params: [session]
    to:
      connection: cache
      table: seen
      partition: { owner_id: owner, session_id: session }
      match: [owner_id, session_id, code]
    write: mirror
    fresh: 15m
    each:
      connection: source
      params: [series]
      query: SELECT session FROM session WHERE series = :series AND owner = :owner ORDER BY session
    fields: { code: code, name: name }
  shared:
    from: { connection: source, table: people, key: [code] }
    params: [session]
    to: { connection: cache, table: shared, partition: { session_id: session }, match: [session_id, code] }
    write: mirror
    fields: { code: code, name: name }
server:
  grace: 2s
";

/// A server with users, and a table of what each of them saw.
struct Stage {
    world: World,
    provider: Provider,
    key: SigningKey,
}

impl Stage {
    async fn open() -> Self {
        let key = SigningKey::rsa("one");
        let provider = Provider::start(&[&key]).await;
        let users = Some(provider.users());
        let world = World::make(Made { users, project: Some(PROJECT), ..Made::default() }).await;
        let stage = Self { world, provider, key };
        let sql = format!(
            "create table session (session text, series text, owner text);
             insert into session values ('1', 'spring', '{ANN}'), ('2', 'spring', '{ANN}'), ('', 'spring', '{ANN}'),
                 ('9', 'spring', '{BOB}');"
        );
        stage.file("source").execute_batch(&sql).expect("tables");
        let seen = "create table seen (owner_id text, session_id text, code text, name text,
            primary key (owner_id, session_id, code));";
        stage.file("cache").execute_batch(seen).expect("a table");
        stage
    }

    fn file(&self, name: &str) -> rusqlite::Connection {
        let path = self.world.directory.path().join(format!("{name}.db"));
        let file = rusqlite::Connection::open(path).expect("a database");
        file.busy_timeout(Duration::from_secs(20)).expect("a time-out");
        file
    }

    /// Rows of an owner's session.
    fn seen(&self, owner: &str, session: &str) -> i64 {
        let count = "select count(*) from seen where owner_id = ? and session_id = ?";
        self.file("cache").query_row(count, [owner, session], |row| row.get(0)).expect("a number")
    }

    fn token(&self, owner: &str) -> String {
        self.key.sign(&self.provider.claims(owner, self.world.clock.now().as_second()))
    }

    async fn ask(&self, bearer: &str, sync: &str, body: Value) -> Answer {
        let request = self.world.request(Method::POST, &format!("/api/v1/syncs/{sync}/runs"));
        answer(request.bearer_auth(bearer).json(&body)).await
    }

    /// As a user.
    async fn run(&self, owner: &str, body: Value) -> Answer {
        self.ask(&self.token(owner), "people", body).await
    }

    async fn outcome(&self, owner: &str, body: Value) -> String {
        self.run(owner, body).await.ok(200)["outcome"].as_str().expect("an outcome").to_owned()
    }

    async fn runs(&self) -> usize {
        self.world.store.runs(None, None, 1000).await.expect("the store").len()
    }
}

fn session(session: &str) -> Value {
    json!({ "params": { "session": session } })
}

fn insist(session: &str) -> Value {
    json!({ "params": { "session": session }, "insist": true })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_answers_how_it_ended_and_is_fresh_for_fifteen_minutes() {
    let stage = Stage::open().await;
    let ended = stage.run(ANN, session("1")).await.ok(200);
    assert_eq!((ended["outcome"].as_str(), ended["run"].as_u64()), (Some("synced"), Some(1)), "{ended}");
    assert_eq!((ended["counts"]["read"].as_u64(), ended["counts"]["created"].as_u64()), (Some(2), Some(2)));
    assert_eq!(ended["correlation"].as_str().map(str::len), Some(32));
    assert_eq!(stage.seen(ANN, "1"), 2);
    let again = stage.run(ANN, session("1")).await.ok(200);
    assert_eq!((again["outcome"].as_str(), &again["run"]), (Some("fresh"), &Value::Null));
    // the run is opened, and then its load begins
    let time = |answer: &Value| -> jiff::Timestamp {
        answer["synced_at"].as_str().and_then(|text| text.parse().ok()).expect("a time")
    };
    let later = time(&again).duration_since(time(&ended));
    assert!((0..5).contains(&later.as_secs()) && !later.is_negative(), "{later:?}");
    stage.world.clock.forward(14 * 60 + 50);
    assert_eq!(stage.outcome(ANN, session("1")).await, "fresh");
    assert_eq!(stage.outcome(ANN, session("2")).await, "synced", "another session is another part");
    stage.world.clock.forward(10);
    assert_eq!(stage.outcome(ANN, session("1")).await, "synced");
    assert_eq!(stage.outcome(ANN, session("1")).await, "fresh");
    assert_eq!(stage.outcome(ANN, insist("1")).await, "synced");
    assert_eq!(stage.runs().await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_part_needs_no_source() {
    let stage = Stage::open().await;
    stage.run(ANN, session("1")).await.ok(200);
    stage.file("source").execute_batch("drop table people").expect("it goes");
    assert_eq!(stage.outcome(ANN, session("1")).await, "fresh");
    let failed = stage.run(ANN, insist("1")).await;
    assert!(failed.status.as_u16() >= 400 && failed.json["correlation"].is_string(), "{failed:?}");
    assert_eq!(stage.seen(ANN, "1"), 2, "what was loaded stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_neither_see_nor_remove_each_others_rows() {
    let stage = Stage::open().await;
    let both = [ANN, BOB].map(|owner| stage.outcome(owner, session("1")));
    assert_eq!(join_all(both).await, ["synced", "synced"]);
    assert_eq!((stage.seen(ANN, "1"), stage.seen(BOB, "1")), (2, 2));
    stage.file("source").execute_batch("delete from people where code = 'A'").expect("one is gone");
    assert_eq!(stage.outcome(BOB, insist("1")).await, "synced");
    assert_eq!((stage.seen(ANN, "1"), stage.seen(BOB, "1")), (2, 1), "Ann's rows are hers");
    // nobody sees runs with a user's token, and only administrators see for whom they were
    let mut shown = Vec::new();
    for scope in [Scope::Read, Scope::Admin] {
        let token = stage.world.token(scope.as_str(), &[scope]).await;
        let runs =
            answer(stage.world.request(Method::GET, "/api/v1/runs?sync=people").bearer_auth(&token)).await;
        let runs = runs.ok(200);
        assert_eq!(runs["items"].as_array().map(Vec::len), Some(3), "{runs}");
        assert_eq!(runs["items"][0]["sync"], "people");
        shown.push((runs["items"][0]["owner"].clone(), runs["items"][0]["params"].clone()));
    }
    assert_eq!(shown, [(Value::Null, Value::Null), (json!(BOB), json!({ "session": "1" }))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_for_one_part_at_once_load_it_once() {
    for many in [2, 20] {
        let stage = Stage::open().await;
        let asked: Vec<_> = (0..many).map(|_| stage.outcome(ANN, session("1"))).collect();
        let mut told: BTreeMap<String, usize> = BTreeMap::new();
        for outcome in join_all(asked).await {
            *told.entry(outcome).or_default() += 1;
        }
        assert_eq!(told, [("fresh".to_owned(), many - 1), ("synced".to_owned(), 1)].into());
        assert_eq!((stage.seen(ANN, "1"), stage.runs().await), (2, 1));
        let insisting: Vec<_> = (0..many).map(|_| stage.outcome(ANN, insist("1"))).collect();
        assert!(join_all(insisting).await.iter().all(|outcome| outcome == "synced"));
        assert_eq!((stage.seen(ANN, "1"), stage.runs().await), (2, 1 + many), "they follow each other");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_names_what_became_of_each() {
    let stage = Stage::open().await;
    stage.run(ANN, session("2")).await.ok(200);
    let series = json!({ "each": { "series": "spring" } });
    let told = stage.run(ANN, series.clone()).await.ok(200);
    let totals = ["synced", "fresh", "failed"].map(|name| told[name].as_u64());
    assert_eq!(totals, [Some(1), Some(1), Some(1)], "{told}");
    let results = told["results"].as_array().expect("results");
    let each: Vec<_> =
        results.iter().map(|part| (part["params"]["session"].as_str(), part["outcome"].as_str())).collect();
    let expected = [(Some(""), Some("failed")), (Some("1"), Some("synced")), (Some("2"), Some("fresh"))];
    assert_eq!(each, expected);
    assert_eq!(results[0]["error"]["code"], "not_fitting", "{told}");
    assert_eq!(results[0]["error"]["correlation"].as_str().map(str::len), Some(32));
    assert_eq!(stage.seen(BOB, "9"), 0, "Bob's sessions are his");
    let none = stage.run(ANN, json!({ "each": { "series": "autumn" } })).await.ok(200);
    assert_eq!(none["results"], json!([]));
    stage.run(ANN, json!({ "each": {} })).await.problem(422, "params_missing");
    stage.run(ANN, json!({ "each": { "serie": "x" } })).await.problem(422, "params_unknown");
    stage.ask(&stage.token(ANN), "shared", series).await.problem(422, "not_fitting");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_do_not_fit_are_named_before_anything_is_opened() {
    let stage = Stage::open().await;
    let missing = stage.run(ANN, json!({})).await.problem(422, "params_missing");
    assert_eq!(missing["detail"], "sync \"people\" needs a value for session; it takes session");
    assert_eq!(missing["correlation"].as_str().map(str::len), Some(32));
    let unknown = json!({ "params": { "session": "1", "sesion": "1" } });
    let unknown = stage.run(ANN, unknown).await.problem(422, "params_unknown");
    assert_eq!(unknown["detail"], "sync \"people\" has no parameter sesion; it takes session");
    for value in ["", "a\u{0}b", &"x".repeat(1001)] {
        stage.run(ANN, session(value)).await.problem(422, "not_fitting");
    }
    let both = json!({ "params": { "session": "1" }, "each": { "series": "spring" } });
    stage.run(ANN, both).await.problem(422, "not_fitting");
    let more = json!({ "params": { "session": "1" }, "mode": "full" });
    stage.run(ANN, more).await.problem(422, "not_fitting");
    stage.run(ANN, json!({ "params": { "session": 1 } })).await.problem(400, "bad_body");
    assert_eq!(stage.runs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_run_what_names_no_owner() {
    let stage = Stage::open().await;
    let token = stage.world.token("ci", &[Scope::Run]).await;
    let ended = stage.ask(&token, "shared", session("1")).await.ok(200);
    assert_eq!(ended["outcome"], "synced");
    // a user's load would remove what the others see
    stage.ask(&stage.token(ANN), "shared", session("1")).await.problem(422, "not_fitting");
    let owned = stage.ask(&token, "people", session("1")).await.problem(422, "params_missing");
    assert!(owned["detail"].as_str().is_some_and(|detail| detail.contains("owner")), "{owned}");
    // without values there is nothing that could wait for a node
    stage.ask(&token, "shared", json!({})).await.problem(422, "params_missing");
    let read = stage.world.token("reader", &[Scope::Read]).await;
    stage.ask(&read, "shared", session("1")).await.problem(403, "forbidden");
    let run = format!("/api/v1/runs/{}/retry", ended["run"]);
    let retried = answer(stage.world.request(Method::POST, &run).bearer_auth(&token)).await;
    retried.problem(409, "not_possible");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_does_not_stop_its_run() {
    let stage = Stage::open().await;
    let holder = stage.file("cache");
    holder.execute_batch("begin immediate").expect("the file is held");
    let asked = tokio::time::timeout(Duration::from_millis(300), stage.run(ANN, session("1")));
    assert!(asked.await.is_err(), "the client goes away");
    holder.execute_batch("rollback").expect("the file is free");
    let loaded = async {
        while stage.seen(ANN, "1") < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(super::kit::PATIENCE, loaded).await.expect("it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_and_then_interrupts() {
    let stage = Stage::open().await;
    let holder = stage.file("cache");
    holder.execute_batch("begin immediate").expect("the file is held");
    let stop = watch::Sender::new(false);
    let waiting = stage.run(ANN, session("1"));
    let stopping = async {
        let begun = async {
            while stage.runs().await == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(super::kit::PATIENCE, begun).await.expect("it begins");
        stop.send_replace(true);
        stage.world.control.see_out(stop.subscribe()).await;
        stage.run(ANN, session("2")).await.problem(503, "interrupted")
    };
    let (told, after) = tokio::join!(waiting, stopping);
    assert_eq!(told.header("retry-after"), Some("10"));
    let told = told.problem(503, "interrupted");
    assert_eq!((told["retry"].as_bool(), after["retry"].as_bool()), (Some(true), Some(true)));
    holder.execute_batch("rollback").expect("the file is free");
    assert_eq!(stage.seen(ANN, "1"), 0, "nothing of it is there");
}

/// Everything that this process logs, whatever the level.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

// one thread, so that the log of everything is that of this thread
#[tokio::test]
async fn neither_tokens_nor_values_are_logged_told_or_stored() {
    const VALUE: &str = "hidden-session";
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    let stage = Stage::open().await;
    let good = stage.token(ANN);
    let mut claims = stage.provider.claims(ANN, stage.world.clock.now().as_second() - 9999);
    claims["secret"] = json!("hidden-claim");
    let expired = stage.key.sign(&claims);
    let mut told = String::new();
    for (token, body) in
        [(&good, session(VALUE)), (&good, json!({ "params": { "x": VALUE } })), (&expired, session(VALUE))]
    {
        told += &stage.ask(token, "people", body).await.text;
    }
    let events = stage.world.store.events(&Default::default(), 0, 1000).await.expect("the store");
    told += &format!("{events:?}");
    let logged = String::from_utf8(lines.0.lock().expect("not poisoned").clone()).expect("UTF-8");
    assert!(
        logged.contains("run.started") || logged.contains("began"),
        "the log is that of the run: {logged}"
    );
    let files = std::fs::read(stage.world.directory.path().join("store.db")).expect("the store");
    let files = String::from_utf8_lossy(&files);
    let signature = |token: &str| token.rsplit('.').next().unwrap_or_default().to_owned();
    for hidden in [signature(&good), signature(&expired), "hidden-claim".into(), "hidden-name".into()] {
        assert!(!logged.contains(&hidden) && !told.contains(&hidden) && !files.contains(&hidden), "{hidden}");
    }
    for hidden in [VALUE, ANN] {
        assert!(!logged.contains(hidden) && !told.contains(hidden), "{hidden} is told");
    }
}
