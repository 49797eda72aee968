//! Systems that are away, refuse us or fail: what happened, where, and what to do next.

use syncline_sim::{Fault, FaultMatch, FaultRule, FaultWhen, OpKind};

use crate::kit::{Place, SECRET};

#[test]
fn a_wrong_secret() {
    let mut place = Place::with_projects(5);
    place.set("CLIENT_SECRET", "not-the-secret");
    let told = "connection \"intranet\": site contoso.sharepoint.com:/sites/projects: token service answered 401 invalid_client";
    let hint =
        "the client secret or certificate is wrong or has expired: make a new one under App registrations";
    let check = place.syncline(&["check"]).with_code(2);
    assert!(check.out.starts_with(&format!("syncline.yaml:3:3: error: {told}")), "{}", check.out);
    assert!(
        check.out.contains(hint)
            && check.out.ends_with("\n    3 |   intranet: …\n      |   ^\n1 error (2 connections, 1 sync)\n"),
        "{}",
        check.out
    );
    let run = place.syncline(&["run"]).with_code(1);
    assert!(run.err.starts_with("error: projects: writing sync \"projects\": "), "{}", run.err);
    assert!(
        run.err.contains("401 invalid_client") && run.err.contains(&format!("\nhint: {hint}")),
        "{}",
        run.err
    );
    for text in [&check.out, &run.err] {
        assert!(!text.contains("not-the-secret"));
    }
    assert_eq!(run.out, "");
}

#[test]
fn a_destination_that_is_away() {
    let mut place = Place::after_first_run(5);
    place.stop_sim();
    place.set("SIM", "http://127.0.0.1:1");
    let check = place.syncline(&["check"]).with_code(2);
    assert!(
        check.out.starts_with(
            "syncline.yaml:3:3: error: connection \"intranet\": site contoso.sharepoint.com:/sites/projects: token service: no connection"
        ),
        "{}",
        check.out
    );
    place.syncline(&["run"]).with_code(1).saying("no connection");
    // nothing is known, so nothing is missing
    let verify = place.syncline(&["verify"]).with_code(1);
    assert_eq!(verify.out, "");
    assert!(verify.err.starts_with("error: unknown: projects: "), "{}", verify.err);
    let json = place.syncline(&["verify", "--json"]).with_code(1).json();
    assert!(json[0]["unknown"]["error"].is_string(), "{json:?}");
}

#[test]
fn a_database_that_is_away() {
    let place = Place::with_projects(5);
    std::fs::remove_file(place.path("projects.db")).unwrap();
    let check = place.syncline(&["check"]).with_code(2);
    assert_eq!(
        check.out,
        "syncline.yaml:2:3: error: connection \"erp\", file \"projects.db\": the database file cannot be opened; check the path, \
         and that this user may read the file and its folder\n    2 |   erp: …\n      |   ^\n1 error (2 connections, 1 sync)\n"
    );
    place.syncline(&["plan"]).with_code(1).saying("the database file cannot be opened");
}

#[test]
fn a_network_that_is_cut_in_mid_run() {
    let place = Place::with_projects(600);
    place.syncline(&["check", "--fix"]).with_code(0);
    let cut = |what| FaultRule {
        matches: FaultMatch { kind: Some(OpKind::Batch), ..FaultMatch::default() },
        when: FaultWhen { after: 10, ..FaultWhen::default() },
        what,
    };
    place.world().add_fault(cut(Fault::ResetBeforeApply)).unwrap();
    let run = place.syncline(&["run"]).with_code(1);
    assert!(run.out.starts_with("projects: failed in "), "{}", run.out);
    run.saying("error: projects: ");
    let status = place.syncline(&["status"]).with_code(0);
    status.saying("projects: stopped by ");
    place.world().clear_faults(None);
    place.syncline(&["run"]).with_code(0);
    assert_eq!(place.items("Active Projects") + place.items("Closed Projects"), 600);
}

#[test]
fn a_sync_that_fails_does_not_stop_the_others() {
    let place = Place::with_projects(10);
    place.syncline(&["check", "--fix"]).with_code(0);
    let text = std::fs::read_to_string(place.path("syncline.yaml")).unwrap();
    let second = text.split_once("syncs:\n").unwrap().1;
    let broken = second.replace("  projects:\n", "  broken:\n").replace("table: projects", "table: nothing");
    place.write("syncline.yaml", text.replace("syncs:\n", &format!("syncs:\n{broken}")));
    let run = place.syncline(&["run"]).with_code(2);
    run.saying("sync \"broken\" does not fit its systems").saying("10 read = 10 created");
    let run = place.syncline(&["run", "projects"]).with_code(0);
    run.saying("10 read = 10 unchanged");
}

#[test]
fn a_run_beside_a_run() {
    let place = Place::after_first_run(5);
    // this process holds the lease of the sync, as another run would
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _lease = runtime.block_on(async {
        use syncline_store::Store;
        let options = syncline_store::sqlite::Options::new(place.path(".syncline/store.db"));
        let store = syncline_store::sqlite::open(options).await.unwrap();
        store.claim("projects", "2026-01-01T00:00:00Z".parse().unwrap()).await.unwrap()
    });
    let run = place.syncline(&["run"]).with_code(1);
    let process = std::process::id();
    assert_eq!(
        run.err,
        format!(
            "error: projects: the store failed: sync \"projects\" is being run by another process (process {process})\n\
             hint: wait for the other run to end, or stop it; a dead process holds nothing\n"
        )
    );
    place.syncline(&["reset", "projects"]).with_code(1).saying("is being run by another process");
    place.syncline(&["plan"]).with_code(0);
    assert!(!run.err.contains(SECRET));
}
