//! Credentials, permissions and addresses.

use std::net::{Ipv4Addr, TcpListener};

use serde_json::json;
use syncline_connect::{conformance::destination::Kit as _, error::Kind};
use syncline_core::remedy::{Effect, Remedy};
use syncline_sim::{AppOptions, Fault, OpKind, Options, SiteGrant, Switches};

use super::kit::Sim;

#[tokio::test]
async fn with_a_certificate() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem();
    let options = Options {
        certificates: vec![certificate.clone()],
        client_secret: String::new(),
        ..Options::default()
    };
    let sim = Sim::start(options).await;
    sim.file("app.pem", &certificate);
    sim.file("app.key", &key.serialize_pem());
    let mut options = sim.options();
    let auth = options["auth"].as_object_mut().unwrap();
    auth.remove("client_secret");
    auth.insert("certificate_file".into(), "app.pem".into());
    auth.insert("private_key_file".into(), "app.key".into());
    let list = sim.list();
    assert_eq!(sim.connect(options.clone()).await.unwrap().describe(&list).await.unwrap().name, list);

    sim.file("app.key", "not a key");
    let error = sim.connect(options).await.err().unwrap();
    assert_eq!(error.kind, Kind::Definition);
    assert!(error.message.contains("app.key"), "{error}");
}

#[tokio::test]
async fn a_wrong_credential_says_which_and_nothing_else() {
    let sim = Sim::with(Switches::default()).await;
    for (option, value, kind, words) in [
        ("client_secret", "hunter2-hunter2", Kind::Unauthenticated, "secret"),
        ("client_id", "99999999-2222-4333-8444-555555555502", Kind::Unauthenticated, "client_id"),
        ("tenant", "fabrikam.onmicrosoft.com", Kind::Unauthenticated, "tenant"),
    ] {
        let mut options = sim.options();
        options["auth"][option] = value.into();
        let error = sim.connect(options).await.unwrap().describe("X").await.unwrap_err();
        assert_eq!((error.kind, error.remedy()), (kind, Remedy::Operator), "{option}: {error}");
        assert!(error.message.contains("AADSTS"), "{error}");
        assert!(error.hint.as_ref().unwrap().contains(words), "{option}: {:?}", error.hint);
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_token_refused_twice_fails_at_once() {
    let sim = Sim::with(Switches::default()).await;
    let (list, destination) = (sim.list(), sim.destination().await);
    sim.fault_on(OpKind::Metadata, 2, Fault::ExpiredToken);
    let error = destination.describe(&list).await.unwrap_err();
    assert_eq!((error.kind, error.effect()), (Kind::Unauthenticated, Effect::NotApplied));
    assert_eq!(sim.server.world().counters().tokens_issued, 2);
}

#[tokio::test]
async fn a_token_is_fetched_once_for_everybody() {
    let sim = Sim::with(Switches::default()).await;
    let list = sim.list();
    let (one, two) = (sim.destination().await, sim.destination().await);
    let (a, b, c) = tokio::join!(one.describe(&list), two.describe(&list), one.streams());
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(sim.server.world().counters().tokens_issued, 1);
    // Renewed before it expires, so that nobody ever sends an old one.
    sim.advance(std::time::Duration::from_secs(3_590 - 300));
    one.describe(&list).await.unwrap();
    assert_eq!(sim.server.world().counters().tokens_issued, 1);
    sim.advance(std::time::Duration::from_secs(10));
    one.describe(&list).await.unwrap();
    assert_eq!(sim.server.world().counters().tokens_issued, 2);
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let sim = Sim::with(Switches::default()).await;
    let list = sim.list();
    let app = |roles: &[&str], grants: Vec<SiteGrant>| AppOptions {
        client_id: Options::default().client_id,
        secrets: vec![Options::default().client_secret],
        roles: roles.iter().map(|r| (*r).to_owned()).collect(),
        grants,
        ..AppOptions::default()
    };
    sim.server.world().set_app(&app(&["Sites.ReadWrite.All"], vec![])).unwrap();
    let destination = sim.destination().await;
    let stream = destination.describe(&list).await.unwrap();
    let error = destination.prepare(&stream).await.unwrap_err();
    assert_eq!(error.kind, Kind::Forbidden);
    assert!(error.hint.as_ref().unwrap().contains("Sites.Manage.All"), "{:?}", error.hint);
    assert!(error.message.contains(&list), "{error}");

    let grant = |role: &str| vec![SiteGrant { site: "/sites/projects".into(), role: role.into() }];
    sim.server.world().set_app(&app(&["Sites.Selected"], grant("read"))).unwrap();
    let create = syncline_connect::destination::Operation {
        kind: syncline_connect::destination::OperationKind::Create,
        identity: syncline_core::identity::Identity([1; 32]),
        values: vec![],
    };
    let error = destination.write(&stream, &[], &[create]).await.swap_remove(0).unwrap_err();
    assert_eq!(error.kind, Kind::Forbidden);
    assert!(error.hint.as_ref().unwrap().contains("Sites.ReadWrite.All"), "{:?}", error.hint);
    assert!(error.hint.unwrap().contains("role write"));
}

#[tokio::test]
async fn addresses_that_lead_nowhere() {
    let sim = Sim::with(Switches::default()).await;
    let list = sim.list();
    let mut options = sim.options();
    options["site"] = "contoso.sharepoint.com:/sites/nowhere".into();
    let error = sim.connect(options).await.unwrap().describe(&list).await.unwrap_err();
    assert_eq!(error.kind, Kind::StreamMissing);
    assert!(error.message.contains("/sites/nowhere"), "{error}");

    // A port on which nobody listens: nothing was sent.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    for option in ["graph", "authority"] {
        let mut options = sim.options();
        options[option] = format!("http://127.0.0.1:{port}").into();
        // The simulator grants tokens for its own address only.
        let error = sim.connect(options).await.unwrap().describe(&list).await.unwrap_err();
        let expected = if option == "graph" { Kind::Unauthenticated } else { Kind::Unreachable };
        assert_eq!((error.kind, error.effect()), (expected, Effect::NotApplied), "{option}: {error}");
    }
}

#[tokio::test]
async fn sites_by_every_address() {
    let sim = Sim::with(Switches::default()).await;
    let list = sim.list();
    let id = sim.server.world().lists().into_iter().find(|l| l.display_name == list).unwrap().site_id;
    for site in
        ["contoso.sharepoint.com:/sites/projects/", "https://contoso.sharepoint.com/sites/projects", &id]
    {
        let mut options = sim.options();
        options["site"] = site.into();
        let destination = sim.connect(options).await.unwrap();
        assert!(destination.describe(&list).await.is_ok(), "{site}");
    }
}

#[tokio::test]
async fn an_untrusted_certificate_is_no_connection() {
    let sim = Sim::start(Options { tls: true, ..Options::default() }).await;
    let mut options = sim.options();
    options["ca_file"] = json!(null);
    let error = sim.connect(options).await.unwrap().describe("X").await.unwrap_err();
    assert_eq!((error.kind, error.effect()), (Kind::Unreachable, Effect::NotApplied), "{error}");
}
