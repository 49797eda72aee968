//! Tokens for a user: assertions, consent, challenges (facts §4.1, §5).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use syncline_sim::{
    AppOptions, ConsentSpec, Fault, FaultMatch, FaultRule, FaultWhen, MintKey, MintSpec, OpKind,
};
use syncline_sim::{Options, UserSpec};

use crate::caller::{Answer, Bench, CLIENT, SECRET, still, token_form};

pub(crate) const DIANE: &str = "b7ef013a-c73c-4ec7-8ccb-e56290f45f68";

const READ: &str = "https%3A%2F%2Fgraph.microsoft.com%2FVirtualEvent.Read";

/// A world with one user, for whom the application may read events.
pub(crate) async fn with_diane(options: Options) -> Bench {
    let bench = Bench::start(options).await;
    let user = UserSpec {
        oid: DIANE.into(),
        upn: "diane@contoso.com".into(),
        display_name: "Diane".into(),
        ..UserSpec::default()
    };
    bench.world().add_user(&user).expect("a user");
    consent(&bench, &["VirtualEvent.Read", "OnlineMeetingArtifact.Read.All"]);
    bench
}

fn consent(bench: &Bench, scopes: &[&str]) {
    let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    bench.world().consent(&ConsentSpec { scopes, ..ConsentSpec::default() }).expect("consent");
}

pub(crate) fn mint(bench: &Bench, spec: MintSpec) -> String {
    let oid = if spec.oid.is_empty() { DIANE.to_owned() } else { spec.oid };
    bench.world().mint_user_token(&MintSpec { oid, ..spec }).expect("a token")
}

pub(crate) fn obo_form(assertion: &str, scope: &str) -> String {
    format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&requested_token_use=on_behalf_of\
         &client_id={CLIENT}&client_secret={SECRET}&assertion={assertion}&scope={scope}"
    )
}

async fn exchange(bench: &Bench, spec: MintSpec) -> Answer {
    bench.token(&obo_form(&mint(bench, spec), READ)).await
}

fn refused(answer: &Answer, error: &str, number: u64) {
    assert_eq!((answer.status, answer.body["error"].as_str()), (400, Some(error)), "{}", answer.body);
    assert_eq!(answer.body["error_codes"], json!([number]));
    let text = answer.body["error_description"].as_str().expect("a description");
    assert!(text.starts_with(&format!("AADSTS{number}: ")), "{text}");
    assert!(
        text.contains("\r\nTrace ID: ") && text.ends_with("\r\nTimestamp: 2026-01-31 10:17:05Z"),
        "{text}"
    );
}

#[tokio::test]
async fn a_users_token_buys_what_was_consented_to() {
    let bench = with_diane(still()).await;
    let answer = exchange(&bench, MintSpec::default()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["scope"], "https://graph.microsoft.com/VirtualEvent.Read");
    assert_eq!(answer.body["expires_in"], 3599);
    assert!(answer.body.get("refresh_token").is_none(), "offline_access was not asked for");
    let all = format!("{READ}%20offline_access%20openid%20profile");
    let answer = bench.token(&obo_form(&mint(&bench, MintSpec::default()), &all)).await;
    let refresh = answer.body["refresh_token"].as_str().expect("a refresh token").to_owned();
    let everything = "https%3A%2F%2Fgraph.microsoft.com%2F.default";
    let answer = bench.token(&obo_form(&mint(&bench, MintSpec::default()), everything)).await;
    assert_eq!(
        answer.body["scope"],
        "https://graph.microsoft.com/OnlineMeetingArtifact.Read.All https://graph.microsoft.com/VirtualEvent.Read"
    );
    let form = format!(
        "grant_type=refresh_token&client_id={CLIENT}&client_secret={SECRET}&refresh_token={refresh}&scope={READ}"
    );
    assert_eq!(bench.token(&form).await.status, 200);
    assert_eq!(bench.token(&form).await.status, 200, "a refresh token is not used up");
    bench.world().expire_tokens();
    refused(&bench.token(&form).await, "invalid_grant", 700_082);
    let counters = bench.world().counters();
    assert_eq!((counters.obo_requests, counters.tokens_issued), (3, 6));
    assert_eq!(counters.by_route["token.on_behalf_of"], 3);
    assert_eq!(counters.by_route["token.refresh"], 3);
}

#[tokio::test]
async fn an_assertion_is_verified_in_every_part() {
    let bench = with_diane(still()).await;
    let wrong = [
        (MintSpec { key: MintKey::Forged, ..MintSpec::default() }, 50_013),
        (MintSpec { key: MintKey::Unpublished, ..MintSpec::default() }, 50_013),
        (MintSpec { issuer: Some("https://login.example.com/v2.0".into()), ..MintSpec::default() }, 50_013),
        (
            MintSpec { tid: Some("f9448ec4-804b-46af-b810-62085248da33".into()), ..MintSpec::default() },
            50_013,
        ),
        (MintSpec { aud: Some("https://graph.microsoft.com".into()), ..MintSpec::default() }, 500_131),
        (MintSpec { exp: Some(1_769_854_625), ..MintSpec::default() }, 500_133),
        (MintSpec { nbf: Some(4_102_444_800), exp: Some(4_102_448_400), ..MintSpec::default() }, 500_133),
        (MintSpec { roles: Some(vec!["Sync.Run".into()]), ..MintSpec::default() }, 7_000_114),
        (MintSpec { oid: "11111111-2222-4333-8444-555555555599".into(), ..MintSpec::default() }, 50_034),
    ];
    for (spec, number) in wrong {
        refused(&exchange(&bench, spec).await, "invalid_grant", number);
    }
    refused(&bench.token(&obo_form("no.such.token", READ)).await, "invalid_grant", 50_013);
    let good = mint(&bench, MintSpec { aud: Some(CLIENT.into()), ..MintSpec::default() });
    assert_eq!(
        bench.token(&obo_form(&good, READ)).await.status,
        200,
        "the bare client id is an audience too"
    );
    let (head, signature) = good.rsplit_once('.').expect("a token");
    let (header, _) = head.split_once('.').expect("a token");
    let other = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"oid":"x"}"#);
    refused(
        &bench.token(&obo_form(&format!("{header}.{other}.{signature}"), READ)).await,
        "invalid_grant",
        50_013,
    );
}

#[tokio::test]
async fn another_applications_token_is_of_no_use() {
    let app = AppOptions { client_id: "other".into(), secrets: vec!["s".into()], ..AppOptions::default() };
    let bench = with_diane(Options { apps: vec![app], ..still() }).await;
    let form = obo_form(&mint(&bench, MintSpec::default()), READ);
    let form = form.replace(CLIENT, "other").replace(SECRET, "s");
    refused(&bench.token(&form).await, "invalid_grant", 500_131);
}

#[tokio::test]
async fn keys_are_rolled_over_with_two_published() {
    let bench = with_diane(still()).await;
    let published = async || {
        let keys = bench.get("/contoso.onmicrosoft.com/discovery/v2.0/keys").await.body;
        let keys = keys["keys"].as_array().expect("keys").clone();
        keys.iter().map(|key| key["kid"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    let first = published().await;
    assert_eq!((first.len(), published().await), (1, first.clone()));
    let old = mint(&bench, MintSpec::default());
    let second = bench.world().roll_signing_key().expect("a key");
    assert_eq!(published().await, [first[0].clone(), second.clone()]);
    assert_eq!(bench.token(&obo_form(&old, READ)).await.status, 200);
    assert_eq!(
        exchange(&bench, MintSpec { key: MintKey::Previous, ..MintSpec::default() }).await.status,
        200
    );
    let third = bench.world().roll_signing_key().expect("a key");
    assert_eq!(published().await, [second, third]);
    refused(&bench.token(&obo_form(&old, READ)).await, "invalid_grant", 50_013);
    assert_eq!(exchange(&bench, MintSpec::default()).await.status, 200);
}

#[tokio::test]
async fn without_consent_there_is_no_token() {
    let bench = with_diane(still()).await;
    let undo = ConsentSpec {
        scopes: vec!["VirtualEvent.Read".into(), "OnlineMeetingArtifact.Read.All".into()],
        revoke: true,
        ..ConsentSpec::default()
    };
    bench.world().consent(&undo).expect("revoked");
    let answer = exchange(&bench, MintSpec::default()).await;
    refused(&answer, "invalid_grant", 65_001);
    assert_eq!(answer.body["suberror"], "consent_required");
    // Virtual events need an administrator even when delegated (facts §4.1); attendance does not.
    let own = |scope: &str| json!({ "user": DIANE, "scopes": [scope] });
    let answer = bench.call("POST", "/_sim/consent", Some(own("VirtualEvent.Read"))).await;
    assert_eq!(answer.status, 403, "{}", answer.body);
    let answer = bench.call("POST", "/_sim/consent", Some(own("OnlineMeetingArtifact.Read.All"))).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let attendance = READ.replace("VirtualEvent.Read", "OnlineMeetingArtifact.Read.All");
    let assertion = mint(&bench, MintSpec::default());
    assert_eq!(bench.token(&obo_form(&assertion, &attendance)).await.status, 200);
    let both = format!("{attendance}%20{READ}");
    refused(&bench.token(&obo_form(&assertion, &both)).await, "invalid_grant", 65_001);
}

#[tokio::test]
async fn a_second_factor_is_asked_for_with_claims() {
    let bench = with_diane(still()).await;
    let claims = json!({ "access_token": { "polids": { "essential": true, "values": ["9ab03e19"] } } });
    for (enrolment, number) in [(false, 50_076), (true, 50_079)] {
        let user = json!({ "oid": DIANE, "mfa_required": claims, "mfa_enrolment": enrolment });
        assert_eq!(bench.call("POST", "/_sim/users", Some(user)).await.status, 200);
        let answer = exchange(&bench, MintSpec::default()).await;
        refused(&answer, "interaction_required", number);
        assert_eq!(answer.body["suberror"], "basic_action");
        let inside: Value =
            serde_json::from_str(answer.body["claims"].as_str().expect("text")).expect("JSON");
        assert_eq!(inside, claims);
    }
}

#[tokio::test]
async fn scopes_are_known_and_of_one_resource() {
    let bench = with_diane(still()).await;
    let assertion = mint(&bench, MintSpec::default());
    for scope in
        ["VirtualEvent.Wrong", "openid", "VirtualEvent.Read%20https%3A%2F%2Fgraph.microsoft.us%2FUser.Read"]
    {
        refused(&bench.token(&obo_form(&assertion, scope)).await, "invalid_scope", 70_011);
    }
    let foreign = "https%3A%2F%2Fvault.example.com%2FUser.Read";
    refused(&bench.token(&obo_form(&assertion, foreign)).await, "invalid_resource", 500_011);
    assert_eq!(bench.token(&obo_form(&assertion, "VirtualEvent.Read")).await.status, 200);
}

#[tokio::test]
async fn a_users_token_never_carries_roles() {
    let mut bench = with_diane(still()).await;
    let list = bench.list("Projects");
    assert_eq!(bench.get(&list).await.status, 200, "the application's own role");
    let answer = exchange(&bench, MintSpec::default()).await;
    bench.bearer = answer.body["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(bench.get(&list).await.status, 403);
    consent(&bench, &["Sites.Read.All"]);
    let scope = READ.replace("VirtualEvent.Read", "Sites.Read.All");
    let answer = bench.token(&obo_form(&mint(&bench, MintSpec::default()), &scope)).await;
    bench.bearer = answer.body["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(bench.get(&list).await.status, 200);
    assert_eq!(bench.create(&list, json!({ "Title": "A" })).await.status, 403);
    bench.world().advance(Duration::from_secs(3_599));
    assert_eq!(bench.get(&list).await.status, 401);
}

#[tokio::test]
async fn limits_on_token_requests_are_switches() {
    let mut options = still();
    options.switches.delegation_requests_per_user = Some(2);
    let bench = with_diane(options).await;
    let statuses = [
        exchange(&bench, MintSpec::default()).await.status,
        exchange(&bench, MintSpec::default()).await.status,
    ];
    assert_eq!(statuses, [200, 200]);
    let over = exchange(&bench, MintSpec::default()).await;
    assert_eq!((over.status, over.header("retry-after")), (429, Some("300")));
    bench.world().advance(Duration::from_secs(301));
    assert_eq!(exchange(&bench, MintSpec::default()).await.status, 200);

    let mut options = still();
    options.switches.token_loop_guard = Some(3);
    let bench = Bench::start(options).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(bench.token(&token_form(CLIENT, SECRET)).await.status);
    }
    assert_eq!(statuses, [200, 200, 400], "the bench has asked once itself");
    refused(&bench.token(&token_form(CLIENT, SECRET)).await, "invalid_grant", 50_196);
}

#[tokio::test]
async fn a_challenged_user_is_refused_with_claims() {
    let mut bench = with_diane(still()).await;
    let answer = exchange(&bench, MintSpec::default()).await;
    bench.bearer = answer.body["access_token"].as_str().expect("a token").to_owned();
    let claims = json!({ "access_token": { "acrs": { "essential": true, "value": "cp1" } } });
    let given = json!({ "oid": DIANE, "claims": claims });
    assert_eq!(bench.call("POST", "/_sim/users/challenge", Some(given)).await.status, 200);
    let refused = bench.get("/v1.0/sites/root").await;
    assert_eq!((refused.status, refused.code()), (401, "InvalidAuthenticationToken"));
    let header = refused.header("www-authenticate").expect("a challenge");
    let (before, rest) = header.split_once("claims=\"").expect("claims");
    assert_eq!(
        before,
        "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", \
         error=\"insufficient_claims\", "
    );
    // The very text of facts §5.6.
    assert_eq!(rest, "eyJhY2Nlc3NfdG9rZW4iOnsiYWNycyI6eyJlc3NlbnRpYWwiOnRydWUsInZhbHVlIjoiY3AxIn19fQ==\"");
    assert_eq!(STANDARD.decode(rest.trim_end_matches('"')).expect("base64"), claims.to_string().into_bytes());
    let mut switches = bench.world().switches();
    switches.challenge_needs_capability = true;
    bench.world().set_switches(switches);
    assert_eq!(bench.get("/v1.0/sites/root").await.status, 403, "this client never declared cp1");
    let capable =
        "&claims=%7B%22access_token%22%3A%7B%22xms_cc%22%3A%7B%22values%22%3A%5B%22cp1%22%5D%7D%7D%7D";
    let form = obo_form(&mint(&bench, MintSpec::default()), READ) + capable;
    bench.bearer = bench.token(&form).await.body["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(bench.get("/v1.0/sites/root").await.status, 401);
    bench.world().challenge_user(DIANE, None);
    assert_eq!(bench.get("/v1.0/sites/root").await.status, 403);
}

#[tokio::test]
async fn the_token_service_can_be_slow_and_down() {
    let bench = with_diane(still()).await;
    let rule = |what| FaultRule {
        matches: FaultMatch { kind: Some(OpKind::Token), ..FaultMatch::default() },
        when: FaultWhen::next(1),
        what,
    };
    bench.world().add_fault(rule(Fault::Unavailable { retry_after: Some("7".into()) })).expect("a rule");
    let answer = exchange(&bench, MintSpec::default()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("7")));
    assert_eq!(answer.body["error"], "temporarily_unavailable");
    bench.world().add_fault(rule(Fault::Latency { ms: 50 })).expect("a rule");
    assert_eq!(exchange(&bench, MintSpec::default()).await.status, 200);
    assert_eq!(bench.world().faults()[1].hits, 1);
}
