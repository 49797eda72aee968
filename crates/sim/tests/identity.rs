//! The token service and permissions (facts §2.2, §5).

use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use syncline_sim::{AppOptions, Options, SiteGrant};

use crate::caller::{Answer, Bench, CLIENT, SECRET, TENANT, still, token_form};

fn refused(answer: &Answer, status: u16, error: &str, number: u64) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.body["error"], error);
    assert_eq!(answer.body["error_codes"], json!([number]));
    let text = answer.body["error_description"].as_str().expect("a description");
    assert!(text.starts_with(&format!("AADSTS{number}: ")), "{text}");
    assert!(answer.body["timestamp"].as_str().is_some_and(|t| t == "2026-01-31 10:17:05Z"));
    assert!(answer.body.get("trace_id").is_some() && answer.body.get("correlation_id").is_some());
}

#[tokio::test]
async fn a_secret_buys_a_token_and_nothing_else() {
    let bench = Bench::start(still()).await;
    let answer = bench.token(&token_form(CLIENT, SECRET)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["token_type"], "Bearer");
    assert_eq!(answer.body["expires_in"], 3599);
    assert_eq!(answer.body["ext_expires_in"], 3599);
    assert!(answer.body["access_token"].as_str().is_some_and(|token| token.len() > 100));
    assert_eq!(answer.body.as_object().expect("an object").len(), 4, "no refresh token, no scope");
}

#[tokio::test]
async fn wrong_credentials_are_refused_in_the_right_shape() {
    let bench = Bench::start(still()).await;
    refused(&bench.token(&token_form(CLIENT, "wrong")).await, 401, "invalid_client", 7_000_215);
    refused(&bench.token(&token_form("nobody", SECRET)).await, 400, "unauthorized_client", 700_016);
    let form = token_form(CLIENT, SECRET);
    refused(&bench.token(&form.replace(".default", "User.Read")).await, 400, "invalid_scope", 70_011);
    let foreign = form.replace("graph.microsoft.com", "vault.example.com");
    refused(&bench.token(&foreign).await, 400, "invalid_resource", 500_011);
    let grant = form.replace("client_credentials", "password");
    refused(&bench.token(&grant).await, 400, "unsupported_grant_type", 70_003);
}

#[tokio::test]
async fn http_basic_and_own_scopes_work() {
    let bench = Bench::start(still()).await;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{CLIENT}:{SECRET}"));
    let request = format!(
        "POST /{TENANT}/oauth2/v2.0/token HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {basic}\r\n\
         Connection: close\r\nContent-Length: 67\r\n\r\n"
    );
    let form = "grant_type=client_credentials&scope=http%3A%2F%2Fh%2F.default&state";
    assert_eq!(form.len(), 67);
    let answer = crate::wire::exchange(&bench.url, &format!("{request}{form}")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn tokens_end_on_the_simulated_clock() {
    let bench = Bench::start(still()).await;
    let list = bench.list("Projects");
    bench.world().advance(Duration::from_secs(3_598));
    assert_eq!(bench.get(&list).await.status, 200);
    bench.world().advance(Duration::from_secs(1));
    let answer = bench.get(&list).await;
    assert_eq!((answer.status, answer.code()), (401, "InvalidAuthenticationToken"));
}

fn app(id: &str, roles: &[&str], grants: Vec<SiteGrant>) -> AppOptions {
    AppOptions {
        client_id: id.into(),
        display_name: id.into(),
        secrets: vec!["s".into()],
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        grants,
        ..AppOptions::default()
    }
}

#[tokio::test]
async fn roles_decide_what_may_be_done() {
    let grant = |role: &str| vec![SiteGrant { site: "/sites/projects".into(), role: role.into() }];
    let apps = vec![
        app("none", &[], vec![]),
        app("read", &["Sites.Read.All"], vec![]),
        app("write", &["Sites.ReadWrite.All"], vec![]),
        app("manage", &["Sites.Manage.All"], vec![]),
        app("ungranted", &["Sites.Selected"], vec![]),
        app("granted", &["Sites.Selected"], grant("write")),
    ];
    let mut bench = Bench::start(Options { apps, ..still() }).await;
    let list = bench.list("Projects");
    let expected = [
        ("none", [403, 403, 403, 403]),
        ("read", [200, 403, 403, 200]),
        ("write", [200, 201, 403, 200]),
        ("manage", [200, 201, 201, 200]),
        ("ungranted", [403, 403, 403, 403]),
        ("granted", [200, 201, 403, 403]),
    ];
    for (id, statuses) in expected {
        let token = bench.token(&token_form(id, "s")).await;
        bench.bearer = token.body["access_token"].as_str().expect("a token").to_owned();
        let column = json!({ "name": format!("C{id}"), "text": {} });
        let seen = [
            bench.get(&format!("{list}/items")).await,
            bench.create(&list, json!({ "Title": "A" })).await,
            bench.call("POST", &format!("{list}/columns"), Some(column)).await,
            bench.get("/v1.0/sites/root").await,
        ];
        assert_eq!(seen.each_ref().map(|answer| answer.status), statuses, "{id}");
        for answer in seen.iter().filter(|answer| answer.status == 403) {
            assert_eq!(answer.code(), "accessDenied");
        }
    }
}

/// A key and its certificate, in PEM and DER.
struct Credential {
    key: EncodingKey,
    pem: String,
    der: Vec<u8>,
}

fn credential() -> Credential {
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048);
    let key = key.expect("a key");
    let params = rcgen::CertificateParams::new(vec!["app".to_owned()]).expect("names");
    let certificate = params.self_signed(&key).expect("a certificate");
    Credential {
        key: EncodingKey::from_rsa_pem(key.serialize_pem().as_bytes()).expect("an RSA key"),
        pem: certificate.pem(),
        der: certificate.der().to_vec(),
    }
}

/// Builds the header by hand: the thumbprint members are the subject here.
fn signed(
    credential: &Credential,
    algorithm: Algorithm,
    thumbprint: (&str, String),
    claims: &Value,
) -> String {
    let name = if algorithm == Algorithm::PS256 { "PS256" } else { "RS256" };
    let mut header = json!({ "alg": name, "typ": "JWT" });
    header[thumbprint.0] = thumbprint.1.into();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(&header), encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &credential.key, algorithm);
    format!("{message}.{}", signature.expect("a signature"))
}

fn assertion_form(jwt: &str) -> String {
    format!(
        "grant_type=client_credentials&client_id={CLIENT}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default\
         &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={jwt}"
    )
}

#[tokio::test]
async fn a_certificate_buys_a_token_in_both_forms() {
    let (ours, foreign) = (credential(), credential());
    let bench = Bench::start(Options { certificates: vec![ours.pem.clone()], ..still() }).await;
    // Assertions are written by the caller's clock, not the simulated one.
    let now = callers_now();
    let claims = json!({
        "aud": format!("{}/{TENANT}/oauth2/v2.0/token", bench.url), "iss": CLIENT, "sub": CLIENT,
        "jti": "0b8d51ea-33b4-4b86-8f4a-d1c3b7a3c7b1", "nbf": now, "iat": now, "exp": now + 300,
    });
    let sha256 = || ("x5t#S256", URL_SAFE_NO_PAD.encode(digest(&SHA256, &ours.der)));
    let sha1 = ("x5t", URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &ours.der)));
    let ask = |jwt: String| {
        let (bench, form) = (&bench, assertion_form(&jwt));
        async move { bench.token(&form).await }
    };
    assert_eq!(ask(signed(&ours, Algorithm::PS256, sha256(), &claims)).await.status, 200);
    assert_eq!(ask(signed(&ours, Algorithm::RS256, sha1, &claims)).await.status, 200);
    let forged = ask(signed(&foreign, Algorithm::PS256, sha256(), &claims)).await;
    refused(&forged, 401, "invalid_client", 700_027);
    for (claim, value, number) in [
        ("aud", json!("https://elsewhere/token"), 700_023),
        ("iss", json!("someone"), 700_021),
        ("exp", json!(now - 3_600), 700_024),
        ("nbf", json!(now + 3_600), 700_024),
    ] {
        let mut claims = claims.clone();
        claims[claim] = value;
        let answer = ask(signed(&ours, Algorithm::PS256, sha256(), &claims)).await;
        refused(&answer, 401, "invalid_client", number);
    }
}

#[expect(clippy::disallowed_methods, reason = "assertions are checked against the machine's clock")]
fn callers_now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[tokio::test]
async fn discovery_points_at_this_host() {
    let bench = Bench::start(still()).await;
    let url = &bench.url;
    let answer = bench.get(&format!("/{TENANT}/v2.0/.well-known/openid-configuration")).await;
    let tenant = bench.world().tenant_id();
    assert_eq!(answer.body["token_endpoint"], format!("{url}/{TENANT}/oauth2/v2.0/token"));
    assert_eq!(answer.body["issuer"], format!("{url}/{tenant}/v2.0"));
    let keys = bench.get(answer.body["jwks_uri"].as_str().expect("a URL")).await;
    assert_eq!(keys.body["keys"][0]["n"].as_str().map(str::len), Some(342));
    assert_eq!(keys.body["keys"][0]["e"], "AQAB");
}
