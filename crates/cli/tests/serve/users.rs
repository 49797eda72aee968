//! Users of a service: the real binary checks their tokens by the keys of a simulated provider.

use std::io::{Read as _, Write as _};

use serde_json::{Value as Json, json};
use syncline_sim::{MintKey, MintSpec, Options};

use super::kit::{Service, one};
use crate::kit::Place;

const ANN: &str = "aaaaaaaa-2222-4333-8444-555555555501";

const PROJECT: &str = "connections:
  erp: { type: sqlite, path: projects.db }
  cache: { type: sqlite, path: cache.db }
syncs:
  projects:
    from: { connection: erp, table: projects, key: [code] }
    params: [session]
    to:
      connection: cache
      table: projects
      partition: { owner_id: owner, session_id: session }
      match: [owner_id, session_id, code]
    mode: full
    write: mirror
    fresh: 15m
    fields: { code: code, status: status }
server:
  users:
    issuer: '${SIM}/${TENANT}/v2.0'
    audience: ['api://${CLIENT_ID}']
    tenant: '${TENANT}'
    required_scope: access_as_user
";

/// A place with three rows, and a provider of users.
fn place() -> Place {
    let mut place = super::kit::place(3);
    let options = Options::default();
    let client = options.client_id.clone();
    place.start_sim(options);
    let tenant = place.world().tenant_id();
    place.set("TENANT", &tenant);
    place.set("CLIENT_ID", &client);
    place.write("syncline.yaml", PROJECT);
    place
}

/// Asks for a run with this token: status and body.
fn ask(service: &Service, token: &str) -> (u16, Json) {
    let body = json!({ "params": { "session": "s1" } }).to_string();
    let mut stream = service.connect();
    write!(
        stream,
        "POST /api/v1/syncs/projects/runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

fn token(place: &Place, spec: &MintSpec) -> String {
    place.world().mint_user_token(spec).unwrap()
}

fn of(oid: &str) -> MintSpec {
    MintSpec { oid: oid.into(), ..MintSpec::default() }
}

#[test]
fn a_user_of_a_real_provider_runs_a_sync_and_no_bad_token_does() {
    let place = place();
    let service = Service::start(&place, "one", &[]);
    let bad = [
        MintSpec { key: MintKey::Forged, ..of(ANN) },
        MintSpec { key: MintKey::Unpublished, ..of(ANN) },
        MintSpec { issuer: Some("https://login.example/v2.0".into()), ..of(ANN) },
        MintSpec { aud: Some("https://graph.microsoft.com".into()), ..of(ANN) },
        MintSpec { exp: Some(1_700_000_000), nbf: Some(1_600_000_000), ..of(ANN) },
        MintSpec { roles: Some(vec!["All".into()]), ..of(ANN) },
        MintSpec { tid: Some("99999999-2222-4333-8444-555555555501".into()), ..of(ANN) },
    ];
    for spec in bad {
        let (status, told) = ask(&service, &token(&place, &spec));
        assert_eq!((status, told["code"].as_str()), (401, Some("user_token_refused")), "{spec:?} {told}");
    }
    let good = token(&place, &of(ANN));
    let (status, told) = ask(&service, &good);
    assert_eq!((status, told["outcome"].as_str()), (200, Some("synced")), "{told}");
    let sql = format!("SELECT count(*) FROM projects WHERE owner_id = '{ANN}' AND session_id = 's1'");
    assert_eq!(one(&place, "cache.db", &sql), Some(3));
    let (status, told) = ask(&service, &good);
    assert_eq!((status, told["outcome"].as_str()), (200, Some("fresh")), "{told}");
    let log = service.stop();
    assert!(!log.contains(good.rsplit('.').next().unwrap()) && !log.contains(ANN), "{log}");
}
