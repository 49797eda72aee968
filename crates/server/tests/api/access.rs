//! Who may do what.

use reqwest::Method;
use serde_json::json;
use syncline_server::auth::{self, Scope};

use super::kit::{Made, World, answer, now};

#[tokio::test(flavor = "multi_thread")]
async fn probes_need_no_token_and_everything_else_does() {
    let world = World::make(Made { locked: true, ..Made::default() }).await;
    assert_eq!(world.get("/livez").await.ok(200)["status"], "ok");
    world.get("/readyz").await.problem(503, "not_ready");
    let described: serde_json::Value = serde_json::from_str(&syncline_server::api::document()).expect("JSON");
    let mut asked = 0;
    for (path, methods) in described["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            if path == "/livez" || path == "/readyz" {
                continue;
            }
            let method: Method = method.to_uppercase().parse().expect("a method");
            let refused = answer(world.request(method, &path.replace(['{', '}'], ""))).await;
            assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"syncline\""));
            refused.problem(401, "unauthorized");
            asked += 1;
        }
    }
    assert!(asked > 50, "{asked} operations");
    world.get("/nowhere").await.problem(401, "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_scope_may_do_its_own() {
    let world = World::open().await;
    let tokens = [Scope::Read, Scope::Run, Scope::Write, Scope::Admin];
    let mut secrets = Vec::new();
    for scope in tokens {
        secrets.push(world.token(scope.as_str(), &[scope]).await);
    }
    let operations = [
        (Method::GET, "/api/v1/runs", Scope::Read),
        (Method::GET, "/health", Scope::Read),
        (Method::GET, "/metrics", Scope::Read),
        (Method::POST, "/api/v1/runs/1/retry", Scope::Run),
        (Method::POST, "/api/v1/syncs/projects/held/reject", Scope::Write),
        (Method::DELETE, "/api/v1/syncs/projects", Scope::Write),
        (Method::GET, "/api/v1/tokens", Scope::Admin),
        (Method::DELETE, "/api/v1/tokens/99", Scope::Admin),
    ];
    for (method, path, needed) in operations {
        for (scope, secret) in tokens.iter().zip(&secrets) {
            let got = answer(world.request(method.clone(), path).bearer_auth(secret)).await;
            if *scope >= needed {
                assert!(![401, 403].contains(&got.status.as_u16()), "{scope:?} {path}: {got:?}");
            } else {
                let challenge = got.header("www-authenticate").map(str::to_owned);
                assert!(challenge.is_some_and(|c| c.contains("insufficient_scope")), "{path}");
                got.problem(403, "forbidden");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_does_not_work_is_refused_even_where_none_is_needed() {
    let world = World::open().await;
    world.get("/api/v1/runs").await.ok(200);
    let with =
        |value: &str| world.request(Method::GET, "/api/v1/runs").header("authorization", value.to_owned());
    let made_up = format!("Bearer syn_{}", "A".repeat(43));
    for value in ["", "Bearer", "Bearer x", "Basic YTpi", "syn_x", &made_up, &"x".repeat(4000)] {
        answer(with(value)).await.problem(401, "unauthorized");
    }
    let past = now() + jiff::SignedDuration::from_millis(300);
    let made =
        auth::create(&*world.store, "short", &[Scope::Read], Some(past), now()).await.expect("the store");
    let (id, secret) = made.expect("a token");
    let bearer = format!("Bearer {secret}");
    answer(with(&bearer)).await.ok(200);
    assert_eq!(
        world.get("/api/v1/runs").await.problem(401, "unauthorized")["code"],
        "unauthorized",
        "from the first token on"
    );
    let over = async {
        while answer(with(&bearer)).await.status != 401 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(super::kit::PATIENCE, over).await.expect("it expires");
    assert!(world.store.revoke_token(id, now()).await.expect("the store") || id > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_shown_and_revoked() {
    let world = World::open().await;
    let made = world.post("/api/v1/tokens", json!({ "name": "ci", "scopes": ["admin"] })).await.ok(201);
    let secret = made["token"].as_str().expect("the token").to_owned();
    assert!(secret.starts_with("syn_") && secret.len() == 47);
    let ask = |method, path: &str| world.request(method, path).bearer_auth(&secret);
    let listed = answer(ask(Method::GET, "/api/v1/tokens")).await;
    assert!(!listed.text.contains(&secret), "a token is shown once");
    let listed = listed.ok(200);
    assert_eq!(
        (&listed["items"][0]["name"], &listed["items"][0]["scopes"]),
        (&json!("ci"), &json!(["admin"]))
    );
    let twice = json!({ "name": "ci", "scopes": ["read"] });
    answer(ask(Method::POST, "/api/v1/tokens").json(&twice)).await.problem(422, "not_fitting");
    let late = json!({ "name": "late", "scopes": ["read"], "expires_at": "2001-01-01T00:00:00Z" });
    answer(ask(Method::POST, "/api/v1/tokens").json(&late)).await.problem(422, "not_fitting");
    let none = json!({ "name": "none", "scopes": [] });
    answer(ask(Method::POST, "/api/v1/tokens").json(&none)).await.problem(422, "not_fitting");
    let strange = json!({ "name": "x", "scopes": ["root"] });
    answer(ask(Method::POST, "/api/v1/tokens").json(&strange)).await.problem(400, "bad_body");
    answer(ask(Method::DELETE, "/api/v1/tokens/99")).await.problem(404, "not_found");
    let path = format!("/api/v1/tokens/{}", made["id"]);
    assert_eq!(answer(ask(Method::DELETE, &path)).await.status, 204);
    answer(ask(Method::GET, "/api/v1/tokens")).await.problem(401, "unauthorized");
    world.get("/api/v1/runs").await.problem(401, "unauthorized");
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_cannot_ask_in_the_name_of_who_looks_at_them() {
    let world = World::open().await;
    let rebound = world.request(Method::GET, "/api/v1/runs").header("host", "evil.example:80");
    answer(rebound).await.problem(421, "wrong_host");
    for host in ["localhost", "127.0.0.1:1", "[::1]:8450"] {
        answer(world.request(Method::GET, "/api/v1/runs").header("host", host)).await.ok(200);
    }
    let crossing = || world.request(Method::POST, "/api/v1/runs/1/retry");
    answer(crossing().header("origin", "https://evil.example")).await.problem(403, "cross_origin");
    answer(crossing().header("origin", "null")).await.problem(403, "cross_origin");
    answer(crossing().header("sec-fetch-site", "cross-site")).await.problem(403, "cross_origin");
    answer(crossing().header("origin", "http://localhost:8450")).await.problem(404, "not_found");
    let headers = world.get("/api/v1/runs").await.headers;
    assert!(!headers.keys().any(|name| name.starts_with("access-control")), "{headers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_served_from_pem() {
    let names = vec!["localhost".to_owned()];
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(names).expect("parameters");
    let certificate = params.self_signed(&key).expect("a certificate");
    let tls = Some((certificate.pem(), key.serialize_pem()));
    let world = World::make(Made { tls, ..Made::default() }).await;
    assert_eq!(world.scheme, "https");
    assert_eq!(world.get("/livez").await.ok(200)["status"], "ok");
    assert!(
        syncline_server::serve::tls(b"", key.serialize_pem().as_bytes())
            .is_err_and(|e| e.contains("no certificate"))
    );
    assert!(
        syncline_server::serve::tls(certificate.pem().as_bytes(), b"x").is_err_and(|e| e.contains("key"))
    );
    world.stop().await;
}
