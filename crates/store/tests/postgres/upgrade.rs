//! Tables of each earlier version are brought up to date with everything in them, and every table is behind the second wall.

use jiff::Timestamp;
use syncline_core::schedule::Overlap;
use syncline_store::{
    Store,
    service::{Enqueued, NewOccurrence, OccurrenceFilter, ServiceStore, Subject},
};

use super::{
    Schema, Session,
    tenants::{Role, store_of},
};

/// What the first version left, as refinery notes it.
const FIRST: [&str; 2] = [
    include_str!("../../migrations/postgres/V1__first.sql"),
    "CREATE TABLE refinery_schema_history (
       version int4 PRIMARY KEY, name VARCHAR(255), applied_on VARCHAR(255), checksum VARCHAR(255));
     INSERT INTO refinery_schema_history
     VALUES (1, 'first', '2026-11-27T08:00:00Z', '1665005203186143274')",
];

/// A tenant's sync with a success and failures after it.
fn tenant(name: &str, failures: u64) -> String {
    format!(
        "SET syncline.tenant = '{name}';
         INSERT INTO tenant (name) VALUES ('{name}');
         INSERT INTO counter (name, value) VALUES ('ledger_seq', 0);
         INSERT INTO sync (name, epoch) VALUES ('projects', 9);
         INSERT INTO run (sync, epoch, mode, status, started_at, finished_at)
         SELECT number, 1, 'full', 'succeeded', '2026-11-20T08:00:00Z', '2026-11-20T08:01:00Z' FROM sync;
         INSERT INTO run (sync, epoch, mode, status, started_at, finished_at, error_code, error_message)
         SELECT number, 1, 'full', 'failed', '2026-11-20T09:00:00Z', '2026-11-20T09:01:00Z', 'c', 'm'
         FROM sync, generate_series(1, {failures})"
    )
}

#[tokio::test]
async fn tables_of_the_first_version_are_upgraded_for_every_tenant() {
    let schema = Schema::new();
    let role = Role::of(&schema);
    let url = role.url(&schema);
    let session = Session::open(&url).await;
    for statements in FIRST {
        session.client.batch_execute(statements).await.expect("tables of the first version");
    }
    for statements in [tenant("acme", 1), tenant("globex", 2)] {
        session.client.batch_execute(&statements).await.expect("a tenant");
    }

    let (acme, globex) = (store_of("acme", &url).await, store_of("globex", &url).await);
    for (store, failures) in [(&acme, 1), (&globex, 2)] {
        let summary = store.summaries().await.expect("summaries").remove(0);
        assert_eq!((summary.sync.as_str(), summary.failures), ("projects", failures));
        let success = summary.last_success_at.map(|time| time.to_string());
        assert_eq!(success.as_deref(), Some("2026-11-20T08:01:00Z"));
        let newest = store.runs(None, None, 1).await.expect("runs").pop();
        assert_eq!(summary.last, newest);
    }

    // What a service adds is a tenant's own, by both walls.
    let occurrence = NewOccurrence {
        subject: Subject::sync("projects"),
        schedule: None,
        instant: Timestamp::UNIX_EPOCH,
        due_at: Timestamp::UNIX_EPOCH,
        overlap: Overlap::Skip,
        weight: 0,
        retry: false,
        options: serde_json::Value::Null,
        connections: Vec::new(),
        requested_by: "cli".to_owned(),
        idempotency_key: Some("key-1".to_owned()),
        correlation: "c-1".to_owned(),
    };
    for store in [&acme, &globex] {
        let answer = store.enqueue(occurrence.clone(), Timestamp::UNIX_EPOCH).await.expect("enqueue");
        assert!(matches!(answer, Enqueued::New(_)), "each tenant has keys of its own: {answer:?}");
        assert_eq!(store.occurrences(&OccurrenceFilter::default(), 9).await.expect("list").len(), 1);
    }
    session.client.batch_execute("SET syncline.tenant = 'acme'").await.expect("a tenant");
    let seen = session.client.query_one("SELECT count(*) FROM occurrence", &[]).await.expect("a count");
    assert_eq!(seen.get::<_, i64>(0), 1, "a query without a filter sees its tenant only");
    let open = session
        .client
        .query_one(
            "SELECT string_agg(relname, ' ') FROM pg_class WHERE relkind = 'r'
             AND relnamespace = current_schema()::regnamespace AND NOT (relrowsecurity AND relforcerowsecurity)",
            &[],
        )
        .await
        .expect("the tables");
    assert_eq!(open.get::<_, Option<&str>>(0), Some("refinery_schema_history"));
}
