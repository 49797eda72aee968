//! Users of an identity provider: whose tokens are taken, and what they open.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};
use syncline_connect::clock::Clock;

use super::{
    kit::{Answer, Made, World, answer},
    provider::{Provider, SigningKey},
};

const ANN: &str = "aaaaaaaa-0000-0000-0000-000000000001";

/// A server whose users are those of a provider with one key.
struct Signed {
    world: World,
    provider: Provider,
    key: SigningKey,
}

impl Signed {
    async fn open() -> Self {
        let key = SigningKey::rsa("one");
        let provider = Provider::start(&[&key]).await;
        let world = World::make(Made { users: Some(provider.users()), ..Made::default() }).await;
        Self { world, provider, key }
    }

    fn claims(&self) -> Value {
        self.provider.claims(ANN, self.world.clock.now().as_second())
    }

    /// What a token gets where users may not go: 403 proves that it was taken.
    async fn knock(&self, token: &str) -> Answer {
        answer(self.world.request(Method::GET, "/api/v1/runs").bearer_auth(token)).await
    }

    #[track_caller]
    fn refused(answer: Answer, why: &str) {
        let challenge = answer.header("www-authenticate").map(str::to_owned);
        assert_eq!(
            challenge.as_deref(),
            Some("Bearer realm=\"syncline\", error=\"invalid_token\""),
            "{answer:?}"
        );
        let body = answer.problem(401, "user_token_refused");
        assert_eq!(body["detail"], format!("the user's token is refused: {why}"));
        assert_eq!(body["correlation"].as_str().map(str::len), Some(32));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_lets_its_user_in_and_nowhere_else() {
    let signed = Signed::open().await;
    let token = signed.key.sign(&signed.claims());
    let described: Value = serde_json::from_str(&syncline_server::api::document()).expect("JSON");
    let mut asked = 0;
    for (path, methods) in described["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            if matches!(path.as_str(), "/livez" | "/readyz" | "/api/v1/syncs/{sync}/runs") {
                continue;
            }
            let method: Method = method.to_uppercase().parse().expect("a method");
            let request = signed.world.request(method, &path.replace(['{', '}'], ""));
            answer(request.bearer_auth(&token)).await.problem(403, "forbidden");
            asked += 1;
        }
    }
    assert!(asked > 50, "{asked} operations");
    let runs = |sync: &str| signed.world.request(Method::POST, &format!("/api/v1/syncs/{sync}/runs"));
    let whole = answer(runs("people").bearer_auth(&token).json(&json!({}))).await.problem(403, "forbidden");
    assert_eq!(
        whole["detail"],
        "sync \"people\" has no parameters and names no owner: it is not run for a user"
    );
    answer(runs("nobody").bearer_auth(&token).json(&json!({}))).await.problem(404, "not_found");
    assert_eq!(signed.provider.asked(), 1, "keys are fetched once");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_good_are_refused() {
    let signed = Signed::open().await;
    let with = |name: &str, value: Value| {
        let mut claims = signed.claims();
        claims[name] = value;
        signed.key.sign(&claims)
    };
    let without = |name: &str| {
        let mut claims = signed.claims();
        claims.as_object_mut().expect("claims").remove(name);
        signed.key.sign(&claims)
    };
    let now = signed.world.clock.now().as_second();
    let cases = [
        (with("iss", json!("https://login.example/t1/v2.0")), "another issuer made it"),
        (with("aud", json!("https://graph.microsoft.com")), "it is for another service"),
        (with("exp", json!(now - 61)), "it has expired"),
        (with("nbf", json!(now + 600)), "it is not good yet"),
        (with("idtyp", json!("app")), "it is an application's and names no user"),
        (without("scp"), "it is an application's and names no user"),
        (with("scp", json!("openid")), "it lacks the scope that this service asks for"),
        (with("tid", json!("other")), "its user is of another tenant"),
        (without("oid"), "it does not say who its user is (oid and tid)"),
    ];
    for (token, why) in cases {
        Signed::refused(signed.knock(&token).await, why);
    }
    signed.knock(&signed.key.sign(&signed.claims())).await.problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_that_are_not_the_issuers_are_refused() {
    const NOT_THEIRS: &str = "its signature is not the issuer's";
    const NOT_SO: &str = "it is signed in a way that is not accepted";
    let signed = Signed::open().await;
    let claims = signed.claims();
    let good = signed.key.sign(&claims);
    let stranger = SigningKey::rsa("one");
    Signed::refused(signed.knock(&stranger.sign(&claims)).await, NOT_THEIRS);
    Signed::refused(signed.knock(&signed.key.named("two").sign(&claims)).await, NOT_THEIRS);
    let curve = SigningKey::elliptic("one");
    Signed::refused(signed.knock(&curve.sign(&claims)).await, NOT_SO);
    Signed::refused(signed.knock(&signed.key.by(Algorithm::RS512).sign(&claims)).await, NOT_SO);
    // the public key taken for a shared secret
    Signed::refused(signed.knock(&hs256("one", &claims, signed.key.public.as_bytes())).await, NOT_SO);
    let parts: Vec<&str> = good.split('.').collect();
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = encoded(&json!({ "alg": "none", "kid": "one" }));
    for token in [format!("{none}.{}.", parts[1]), format!("{none}.{}.{}", parts[1], parts[2])] {
        Signed::refused(signed.knock(&token).await, "it is not a signed token");
    }
    let mut other = claims.clone();
    other["oid"] = json!("bob");
    let swapped = format!("{}.{}.{}", parts[0], encoded(&other), parts[2]);
    Signed::refused(signed.knock(&swapped).await, NOT_THEIRS);
    for nonsense in ["x", "a.b.c", "..", &good[..good.len() - 20], &"x".repeat(16_300)] {
        signed.knock(nonsense).await.problem(401, "user_token_refused");
    }
    let crit = encoded(&json!({ "alg": "RS256", "kid": "one", "crit": ["exp"] }));
    Signed::refused(signed.knock(&format!("{crit}.{}.{}", parts[1], parts[2])).await, NOT_SO);
    let other_ways = [signed.key.by(Algorithm::PS256), signed.key.clone()];
    for key in other_ways {
        signed.knock(&key.sign(&claims)).await.problem(403, "forbidden");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_roll_over_and_are_fetched_once_a_minute_at_most() {
    let signed = Signed::open().await;
    let (old, new) = (signed.key.clone(), SigningKey::elliptic("two"));
    signed.knock(&old.sign(&signed.claims())).await.problem(403, "forbidden");
    signed.provider.publish(&[&new, &old]);
    for _ in 0..10 {
        signed.knock(&new.sign(&signed.claims())).await.problem(401, "user_token_refused");
    }
    assert_eq!(signed.provider.asked(), 1, "names that are made up must not make us ask");
    signed.world.clock.forward(60);
    let tokens: Vec<String> = (0..20).map(|_| new.sign(&signed.claims())).collect();
    for taken in futures::future::join_all(tokens.iter().map(|token| signed.knock(token))).await {
        taken.problem(403, "forbidden");
    }
    assert_eq!(signed.provider.asked(), 2, "all wait for one");
    signed.knock(&old.sign(&signed.claims())).await.problem(403, "forbidden");
    signed.provider.publish(&[&new]);
    signed.world.clock.forward(3600);
    signed.knock(&old.sign(&signed.claims())).await.problem(401, "user_token_refused");
    signed.knock(&new.sign(&signed.claims())).await.problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_answer_is_no_fault_of_the_token() {
    let signed = Signed::open().await;
    signed.provider.set_down(true);
    let token = signed.key.sign(&signed.claims());
    let refused = signed.knock(&token).await;
    assert_eq!(refused.header("retry-after"), Some("5"));
    let body = refused.problem(503, "user_keys_unavailable");
    assert_eq!((body["retry"].as_bool(), body["retry_after"].as_u64()), (Some(true), Some(5)));
    signed.provider.set_down(false);
    signed.world.clock.forward(5);
    signed.knock(&token).await.problem(403, "forbidden");
    signed.provider.set_down(true);
    signed.world.clock.forward(3600);
    signed.knock(&signed.key.sign(&signed.claims())).await.problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_ours_work_beside_those_of_users() {
    let signed = Signed::open().await;
    let ours = signed.world.token("ci", &[syncline_server::auth::Scope::Read]).await;
    signed.knock(&ours).await.ok(200);
    signed.knock("syn_x").await.problem(401, "unauthorized");
    let world = World::open().await;
    let theirs = signed.key.sign(&signed.claims());
    let refused = answer(world.request(Method::GET, "/api/v1/runs").bearer_auth(&theirs)).await;
    refused.problem(401, "unauthorized");
}

/// A token that is signed with a shared secret.
fn hs256(name: &str, claims: &Value, secret: &[u8]) -> String {
    let header = Header { kid: Some(name.into()), ..Header::new(Algorithm::HS256) };
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret)).expect("a token")
}
