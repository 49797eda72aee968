//! The example in use: its database, its simulated tenant, and a service that users ask.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value as Json, json};
use syncline_sim::Options;

use super::{TENANT, read, session, webinar};
use crate::{databases::Postgres, kit::Place, serve::kit::Service};

const CLIENT: &str = "11111111-2222-4333-8444-555555555502";

pub(super) struct House {
    /// Its directory and the simulator, which go with it.
    _place: Place,
    pub(super) database: Postgres,
    pub(super) service: Service,
    sim: String,
}

/// What the API answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Json,
}

impl House {
    /// The example on PostgreSQL; `None` without one.
    pub(super) fn open(name: &str) -> Option<Self> {
        Self::with(name, |project| project)
    }

    /// The same with changes to the project file.
    pub(super) fn with(name: &str, change: impl FnOnce(String) -> String) -> Option<Self> {
        let database = Postgres::create(name)?;
        database.execute(&read("schema.sql"));
        database.execute(&read("data.sql"));
        let mut place = Place::empty();
        place.start_sim(Options::default());
        let sim = settings(&mut place);
        place.set("WAREHOUSE_URL", &database.url);
        place.write("syncline.yaml", change(read("syncline.yaml")));
        seed(&sim);
        let service = Service::start(&place, "one", &[]);
        Some(Self { _place: place, database, service, sim })
    }

    /// Changes what the simulated tenant holds or does.
    pub(super) fn sim(&self, path: &str, body: &Json) -> Json {
        control(&self.sim, "POST", path, body)
    }

    /// Requests that Graph has had.
    pub(super) fn requests(&self) -> Option<u64> {
        control(&self.sim, "GET", "counters", &Json::Null)["requests"].as_u64()
    }

    /// Makes operations of a kind fail in a way: all of them from the `after`th on.
    pub(super) fn fault(&self, matches: &Json, after: u64, what: &Json) {
        self.sim("faults", &json!({ "match": matches, "when": { "after": after }, "what": what }));
    }

    pub(super) fn clear_faults(&self) {
        control(&self.sim, "DELETE", "faults", &Json::Null);
    }

    /// Opens the page of a session: a run in the name of a user.
    pub(super) fn open_session(&self, user: &str, number: u32) -> Answer {
        self.ask(user, &json!({ "params": { "webinar": webinar(number), "session": session(number) } }))
    }

    /// Insists on a run, however fresh the rows are.
    pub(super) fn insist(&self, user: &str, number: u32) -> Answer {
        let params = json!({ "webinar": webinar(number), "session": session(number) });
        self.ask(user, &json!({ "params": params, "insist": true }))
    }

    pub(super) fn ask(&self, user: &str, body: &Json) -> Answer {
        let minted = self.sim("tokens/mint", &json!({ "oid": user }));
        let header = format!("Authorization: Bearer {}", minted["token"].as_str().unwrap());
        let path = "/api/v1/syncs/participants/runs";
        let (status, body) = self.service.ask_with("POST", path, &header, &body.to_string());
        let body = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{status}: {error} in {body}"));
        Answer { status, body }
    }

    /// The rows of a query, each on a line, its columns with a space between them.
    pub(super) fn rows(&self, sql: &str) -> String {
        let line = |row: Vec<Option<String>>| {
            row.into_iter().map(|cell| cell.unwrap_or("-".to_owned())).collect::<Vec<_>>().join(" ")
        };
        self.database.query(sql).into_iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Every row with its version: what was written shows, whatever its value.
    pub(super) fn versions(&self) -> String {
        ["participants", "session_metrics", "series_metrics"]
            .map(|table| self.rows(&format!("SELECT xmin, t.* FROM {table} t ORDER BY 2, 3, 4")))
            .join("\n")
    }

    /// That nothing of any load is there.
    #[track_caller]
    pub(super) fn assert_untouched(&self) {
        let written = "SELECT (SELECT count(*) FROM participants), (SELECT count(*) FROM session_metrics),
            (SELECT count(*) FROM series_metrics), (SELECT count(*) FROM sessions WHERE last_sync_at IS NOT NULL),
            (SELECT count(*) FROM series WHERE last_sync_at IS NOT NULL)";
        assert_eq!(self.rows(written), "0 0 0 0 0");
    }
}

impl Answer {
    /// Insists on the status, and gives the body.
    #[track_caller]
    pub(super) fn with(self, status: u16) -> Json {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// A problem with this status and code, which can be looked up in the service's and in Graph's logs.
    #[track_caller]
    pub(super) fn problem(self, status: u16, code: &str) -> Json {
        let body = self.with(status);
        assert_eq!(body["code"], code, "{body}");
        assert!(body["correlation"].as_str().is_some_and(|id| id.len() == 32), "{body}");
        body
    }
}

/// Where the simulator is, in the variables of the project file; its address.
pub(super) fn settings(place: &mut Place) -> String {
    let command = place.command(&[]);
    let url =
        command.get_envs().find(|(name, _)| *name == "SIM").unwrap().1.unwrap().to_str().unwrap().to_owned();
    for (name, value) in
        [("AUTHORITY", url.as_str()), ("GRAPH", &url), ("TENANT", TENANT), ("CLIENT_ID", CLIENT)]
    {
        place.set(name, value);
    }
    url
}

/// Puts `world.json` into the simulator.
pub(super) fn seed(sim: &str) {
    let world: Json = serde_json::from_str(&read("world.json")).unwrap();
    for (part, path) in [("users", "users"), ("consents", "consent"), ("webinars", "webinars")] {
        for entry in world[part].as_array().unwrap() {
            control(sim, "POST", path, entry);
        }
    }
}

/// One call of the simulator's own control interface.
pub(super) fn control(sim: &str, method: &str, path: &str, body: &Json) -> Json {
    let address = sim.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    write!(stream, "{method} /_sim/{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
    let json = body.find('{').map_or("null", |from| &body[from..=body.rfind('}').unwrap()]);
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {body}"))
}
