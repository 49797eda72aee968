//! In whose name, with whose consent, and what happens when either is refused (facts §5.4 to §5.6).

use std::sync::{Arc, Mutex};

use futures::future::join_all;
use serde_json::json;
use syncline_connect::{Error, Source, error::Kind};
use syncline_core::remedy::Remedy;
use syncline_sim::{
    AppOptions, ConsentSpec, Fault, FaultWhen, MintKey, MintSpec, NoLicence, OpKind, Options,
    RegistrationsList, Switches, UserSpec,
};

use super::kit::{ANN, BEN, Tenant, list, params, record, registration, report};

const R1: &str = "10000000-84e1-7b62-fd98-1c9d39def7b6";

async fn webinars(source: &dyn Source) -> Result<Vec<Vec<String>>, Error> {
    list(source, "webinars", params(&[]), &["name"]).await.map(|listed| listed.records)
}

/// The error of listing webinars with a token of this making.
async fn refused(tenant: &Tenant, spec: MintSpec) -> Error {
    let token = tenant.token(&spec);
    let source = tenant.open(tenant.options("on_behalf_of"), ANN, &token).await.unwrap();
    webinars(&*source).await.unwrap_err()
}

fn of_ann() -> MintSpec {
    MintSpec { oid: ANN.into(), ..MintSpec::default() }
}

#[tokio::test]
async fn twenty_callers_of_one_user_share_one_exchange() {
    let tenant = Tenant::with(Switches::default()).await;
    tenant.webinar(Vec::new(), Vec::new());
    let token = tenant.token(&of_ann());
    let sources = join_all((0..20).map(|_| tenant.open(tenant.options("on_behalf_of"), ANN, &token))).await;
    let sources: Vec<_> = sources.into_iter().map(Result::unwrap).collect();
    let listed = join_all(sources.iter().map(|source| webinars(&**source))).await;
    for names in listed {
        assert_eq!(names.unwrap(), [["Quarterly update"]]);
    }
    assert_eq!(tenant.server.world().counters().obo_requests, 1);
}

#[tokio::test]
async fn two_users_never_share() {
    let tenant = Tenant::with(Switches::default()).await;
    let (webinar, session) = tenant.webinar(Vec::new(), Vec::new());
    let (ann, ben) = (tenant.of(ANN).await, tenant.of(BEN).await);
    assert_eq!(webinars(&*ann).await.unwrap().len(), 1);
    assert!(webinars(&*ben).await.unwrap().is_empty(), "Ben organizes nothing");
    let given = params(&[("webinar", &webinar), ("session", &session)]);
    let error = list(&*ben, "participants", given, &["person"]).await.unwrap_err();
    assert_eq!(error.kind, Kind::Forbidden, "{error}");
    assert_eq!(tenant.server.world().counters().obo_requests, 2);
}

#[tokio::test]
async fn a_token_that_is_refused_once_is_exchanged_anew() {
    let tenant = Tenant::with(Switches::default()).await;
    tenant.webinar(Vec::new(), Vec::new());
    let ann = tenant.of(ANN).await;
    webinars(&*ann).await.unwrap();
    tenant.server.world().expire_tokens();
    assert_eq!(webinars(&*ann).await.unwrap().len(), 1);
    assert_eq!(tenant.server.world().counters().obo_requests, 2);
    tenant.fault(OpKind::Webinars, FaultWhen::next(2), Fault::ExpiredToken);
    assert_eq!(webinars(&*ann).await.unwrap_err().kind, Kind::Unauthenticated, "not for ever");
}

#[tokio::test]
async fn tokens_of_the_user_that_are_no_good() {
    let tenant = Tenant::with(Switches::default()).await;
    for spec in [
        MintSpec { exp: Some(1_000_000_000), nbf: Some(999_990_000), ..of_ann() },
        MintSpec { aud: Some("api://another".into()), ..of_ann() },
        MintSpec { issuer: Some("https://elsewhere.example/v2.0".into()), ..of_ann() },
        MintSpec { key: MintKey::Forged, ..of_ann() },
    ] {
        let error = refused(&tenant, spec.clone()).await;
        assert_eq!(
            (error.kind, error.remedy()),
            (Kind::UserTokenRefused, Remedy::Operator),
            "{spec:?}: {error}"
        );
        assert!(error.hint.unwrap().contains("fresh"));
        assert!(error.request.is_some());
    }
}

#[tokio::test]
async fn nobody_has_consented() {
    let tenant = Tenant::bare(Options::default()).await;
    let error = refused(&tenant, of_ann()).await;
    assert_eq!(error.kind, Kind::ConsentRequired, "{error}");
    let hint = error.hint.unwrap();
    let url = format!(
        "{}/{}/adminconsent?client_id={}",
        tenant.server.url(),
        tenant.server.world().tenant_id(),
        Options::default().client_id
    );
    assert!(hint.contains("VirtualEvent.Read") && hint.ends_with(&url), "{hint}");
}

#[tokio::test]
async fn the_user_must_prove_more() {
    let tenant = Tenant::with(Switches::default()).await;
    let claims = json!({ "access_token": { "acrs": { "essential": true, "value": "c1" } } });
    let user = UserSpec { oid: ANN.into(), mfa_required: Some(claims.clone()), ..UserSpec::default() };
    tenant.server.world().add_user(&user).unwrap();
    let error = refused(&tenant, of_ann()).await;
    assert_eq!(error.kind, Kind::Challenged, "{error}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&error.claims.unwrap()).unwrap(), claims);
}

#[tokio::test]
async fn a_challenge_in_the_middle_is_handed_on_and_not_retried() {
    let tenant = Tenant::with(Switches::default()).await;
    let ann = tenant.of(ANN).await;
    webinars(&*ann).await.unwrap();
    let claims = json!({ "access_token": { "nbf": { "essential": true, "value": "1604106651" } } });
    tenant.server.world().challenge_user(ANN, Some(&claims));
    let before = tenant.server.world().counters().requests;
    let error = webinars(&*ann).await.unwrap_err();
    assert_eq!(error.kind, Kind::Challenged, "{error}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&error.claims.unwrap()).unwrap(), claims);
    assert_eq!(tenant.server.world().counters().requests - before, 1, "no second try");
    tenant.server.world().challenge_user(ANN, None);
    webinars(&*ann).await.unwrap();
    assert_eq!(tenant.server.world().counters().obo_requests, 2, "the token was forgotten");
}

#[tokio::test]
async fn the_credential_of_the_application_is_wrong() {
    let tenant = Tenant::with(Switches::default()).await;
    let mut options = tenant.options("on_behalf_of");
    options["auth"]["client_secret"] = "hunter2-hunter2".into();
    let source = tenant.open(options, ANN, &tenant.token(&of_ann())).await.unwrap();
    let error = webinars(&*source).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unauthenticated);
    assert!(error.hint.as_ref().unwrap().contains("secret") && !format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_token_service_out_of_order() {
    let tenant = Tenant::with(Switches::default()).await;
    let ann = tenant.of(ANN).await;
    tenant.fault(OpKind::Token, FaultWhen::default(), Fault::Unavailable { retry_after: None });
    let error = webinars(&*ann).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
    tenant.server.world().clear_faults(None);
    webinars(&*ann).await.unwrap();
}

#[tokio::test]
async fn a_connection_for_users_needs_one_of_its_tenant() {
    let tenant = Tenant::with(Switches::default()).await;
    let error = tenant.open_application(tenant.options("on_behalf_of")).await.err().unwrap();
    assert_eq!(error.kind, Kind::Definition);
    assert!(error.message.contains("acts for a signed-in user"), "{error}");
    let mut options = tenant.options("on_behalf_of");
    options["auth"]["tenant"] = "99999999-804b-46af-b810-62085248da33".into();
    let error = tenant.open(options, ANN, "token").await.err().unwrap();
    assert_eq!(error.kind, Kind::UserTokenRefused);
}

#[tokio::test]
async fn a_licence_is_missing_or_something_is() {
    for (no_licence, kind) in
        [(NoLicence::LicenseRequired, Kind::LicenceRequired), (NoLicence::BareForbidden, Kind::Forbidden)]
    {
        let tenant = Tenant::with(Switches { no_licence, ..Switches::default() }).await;
        let user = UserSpec { oid: ANN.into(), licence: false, ..UserSpec::default() };
        tenant.server.world().add_user(&user).unwrap();
        let error = webinars(&*tenant.of(ANN).await).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        let request = error.request.clone().unwrap();
        assert!(error.message.contains(&request), "{error}");
        match kind {
            Kind::LicenceRequired => {
                assert!(error.message.contains("Teams webinar license required"), "{error}");
            }
            _ => {
                let hint = error.hint.unwrap();
                for cause in ["delegated permission VirtualEvent.Read", "co-organizer", "licence"] {
                    assert!(hint.contains(cause), "{hint}");
                }
            }
        }
    }
}

/// Registrations that only an application may list (facts §4.3).
async fn closed() -> (Tenant, String) {
    let list = RegistrationsList::Deny;
    let tenant = Tenant::with(Switches { registrations_list_delegated: list, ..Switches::default() }).await;
    let registrations = vec![registration(R1, "ann@x.example", "registered")];
    let (webinar, _) = tenant.webinar(registrations, vec![report(vec![record(None, None, &[(0, 1)])])]);
    (tenant, webinar)
}

#[tokio::test]
async fn listing_registrations_is_refused_with_the_ways_out() {
    let (tenant, webinar) = closed().await;
    let given = params(&[("webinar", &webinar)]);
    let error = list(&*tenant.of(ANN).await, "registrations", given, &["email"]).await.unwrap_err();
    assert_eq!(error.kind, Kind::Forbidden, "{error}");
    let hint = error.hint.unwrap();
    assert!(hint.contains("registrations: application") && hint.contains("VirtualEvent.Read.Chat"), "{hint}");
}

#[tokio::test]
async fn an_application_lists_registrations_for_the_user() {
    let (tenant, webinar) = closed().await;
    let other = AppOptions {
        client_id: "22222222-2222-4333-8444-555555555502".into(),
        secrets: vec!["other-secret".into()],
        roles: vec!["VirtualEvent.Read.Chat".into()],
        ..AppOptions::default()
    };
    tenant.server.world().set_app(&other).unwrap();
    let policy = ConsentSpec {
        client_id: Some(other.client_id.clone()),
        organizers: vec![ANN.into()],
        ..ConsentSpec::default()
    };
    tenant.server.world().consent(&policy).unwrap();
    let mut options = tenant.options("on_behalf_of");
    options["registrations"] = "application".into();
    options["application"] = json!({ "client_id": other.client_id, "client_secret": "other-secret" });
    let source = tenant.open(options, ANN, &tenant.token(&of_ann())).await.unwrap();
    let given = params(&[("webinar", &webinar)]);
    assert_eq!(
        list(&*source, "registrations", given, &["email"]).await.unwrap().records,
        [["ann@x.example"]]
    );
}

#[tokio::test]
async fn registrations_known_from_notifications_are_read_one_by_one() {
    let (tenant, webinar) = closed().await;
    let gone = "99999999-84e1-7b62-fd98-1c9d39def7b6";
    std::fs::write(tenant.directory().join("ids.txt"), format!("{webinar} {R1}\n{webinar} {gone}\n"))
        .unwrap();
    let mut options = tenant.options("on_behalf_of");
    options["registrations"] = "notified".into();
    options["registration_ids_file"] = "ids.txt".into();
    let source = tenant.open(options, ANN, &tenant.token(&of_ann())).await.unwrap();
    let given = params(&[("webinar", &webinar)]);
    let listed = list(&*source, "registrations", given, &["email"]).await.unwrap();
    assert_eq!(listed.records, [["ann@x.example"]]);
    assert!(listed.shortfall.unwrap().contains("notifications"), "never taken for all of them");
}

#[tokio::test]
async fn an_application_by_itself() {
    let tenant = Tenant::with(Switches::default()).await;
    let consent = ConsentSpec {
        roles: vec!["VirtualEvent.Read.All".into()],
        organizers: vec![ANN.into()],
        ..ConsentSpec::default()
    };
    tenant.webinar(Vec::new(), Vec::new());
    let denied = tenant.open_application(tenant.options("client_credentials")).await.unwrap();
    let error = webinars(&*denied).await.unwrap_err();
    assert_eq!(error.kind, Kind::Forbidden);
    assert!(error.hint.unwrap().contains("application permission VirtualEvent.Read.All"));
    tenant.server.world().consent(&consent).unwrap();
    let mut by_user = tenant.options("client_credentials");
    by_user["users"] = ANN.into();
    for options in [tenant.options("client_credentials"), by_user] {
        let source = tenant.open_application(options).await.unwrap();
        assert_eq!(webinars(&*source).await.unwrap(), [["Quarterly update"]]);
    }
}

/// What was logged.
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer({
            let log = Arc::clone(&log);
            move || Log(Arc::clone(&log))
        })
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let tenant = Tenant::with(Switches::default()).await;
    let token = tenant.token(&of_ann());
    let source = tenant.open(tenant.options("on_behalf_of"), ANN, &token).await.unwrap();
    webinars(&*source).await.unwrap();
    tenant
        .server
        .world()
        .consent(&ConsentSpec {
            scopes: vec!["VirtualEvent.Read".into()],
            revoke: true,
            ..ConsentSpec::default()
        })
        .unwrap();
    tenant.server.world().expire_tokens();
    let error = webinars(&*source).await.unwrap_err();
    let log = String::from_utf8_lossy(&log.lock().unwrap()).into_owned();
    assert!(log.contains("TRACE"), "the log was captured");
    let signature = token.rsplit('.').next().unwrap();
    for shown in [log, format!("{error:?} {error}")] {
        for secret in [signature, Options::default().client_secret.as_str()] {
            assert!(!shown.contains(secret), "a secret was shown");
        }
    }
}
