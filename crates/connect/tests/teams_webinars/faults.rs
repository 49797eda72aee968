//! What goes wrong on the way: a listing is whole, or an error.

use std::time::Duration;

use syncline_connect::{
    clock::{Clock as _, SystemClock},
    error::Kind,
};
use syncline_sim::{Applied, Fault, FaultWhen, OpKind, Switches};

use super::kit::{ANN, Tenant, list, params, record, registration, report};

/// Three pages of registrations and two reports of two pages.
async fn tenant() -> (Tenant, [String; 2]) {
    let tenant = Tenant::with(Switches { virtual_event_page_size: 2, ..Switches::default() }).await;
    let id = |i: u32| format!("{i}0000000-84e1-7b62-fd98-1c9d39def7b6");
    let registrations =
        (1..=5).map(|i| registration(&id(i), &format!("p{i}@x.example"), "registered")).collect();
    let records = |minute| (1..=3).map(|i| record(Some(&id(i)), None, &[(minute, minute + 1)])).collect();
    let (webinar, session) = tenant.webinar(registrations, vec![report(records(0)), report(records(10))]);
    (tenant, [webinar, session])
}

async fn participants(
    tenant: &Tenant,
    ids: &[String; 2],
) -> Result<Vec<Vec<String>>, syncline_connect::Error> {
    let given = params(&[("webinar", &ids[0]), ("session", &ids[1])]);
    let source = tenant.of(ANN).await;
    list(&*source, "participants", given, &["person", "seconds"]).await.map(|listed| listed.records)
}

fn whole() -> Vec<Vec<String>> {
    let row = |i: u32| vec![format!("p{i}@x.example"), if i <= 3 { "120".into() } else { "0".into() }];
    (1..=5).map(row).collect()
}

#[tokio::test]
async fn hiccups_are_survived() {
    let (tenant, ids) = tenant().await;
    for kind in [OpKind::Webinars, OpKind::Registrations, OpKind::Attendance] {
        for what in [
            Fault::Status { status: 502, applied: Applied::Before },
            Fault::ResetBeforeApply,
            Fault::TruncatedBody,
            Fault::ExpiredToken,
        ] {
            tenant.fault(kind, FaultWhen { after: 1, count: Some(1), ..FaultWhen::default() }, what.clone());
            assert_eq!(participants(&tenant, &ids).await.unwrap(), whole(), "{kind:?} {what:?}");
            tenant.server.world().clear_faults(None);
        }
    }
}

#[tokio::test]
async fn a_page_that_is_lost_fails_the_listing() {
    let (tenant, ids) = tenant().await;
    for (kind, after) in [(OpKind::Registrations, 2), (OpKind::Attendance, 3)] {
        let when = FaultWhen { after, ..FaultWhen::default() };
        tenant.fault(kind, when, Fault::Status { status: 500, applied: Applied::Before });
        let error = participants(&tenant, &ids).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unanswered, "{error}");
        assert!(error.message.contains("stream \"participants\""), "{error}");
        assert!(error.request.is_some());
        tenant.server.world().clear_faults(None);
    }
    assert_eq!(participants(&tenant, &ids).await.unwrap(), whole());
}

#[tokio::test]
async fn a_page_that_is_gone_is_no_end() {
    let (tenant, ids) = tenant().await;
    let when = FaultWhen { after: 1, ..FaultWhen::default() };
    tenant.fault(OpKind::Registrations, when, Fault::Status { status: 404, applied: Applied::Before });
    assert_eq!(participants(&tenant, &ids).await.unwrap_err().kind, Kind::Protocol);
}

#[tokio::test]
async fn throttled_calls_wait_as_long_as_they_are_told() {
    let (tenant, ids) = tenant().await;
    tenant.fault(
        OpKind::Registrations,
        FaultWhen::next(2),
        Fault::Throttle { retry_after: Some("0.2".into()) },
    );
    let clock = SystemClock::new();
    let began = clock.elapsed();
    assert_eq!(participants(&tenant, &ids).await.unwrap(), whole());
    assert!(clock.elapsed() - began >= Duration::from_millis(400));
}
