//! Tenants do not see each other: by the queries, and by the database where a query forgets.

use jiff::Timestamp;
use syncline_core::sync::Mode;
use syncline_store::{
    About, NewRun, Store,
    postgres::{self, Options, PostgresStore},
};

use super::{Schema, Session, apart};

/// A role that is neither superuser nor may it bypass row-level security.
pub(super) struct Role(String);

impl Role {
    pub(super) fn of(schema: &Schema) -> Self {
        let role = format!("{}_role", schema.name);
        apart(&format!("CREATE ROLE {role} LOGIN; GRANT CREATE, USAGE ON SCHEMA {} TO {role}", schema.name));
        Self(role)
    }

    /// The schema's address with this role's login.
    pub(super) fn url(&self, schema: &Schema) -> String {
        schema.url().replace("postgres://postgres@", &format!("postgres://{}@", self.0))
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        apart(&format!("DROP OWNED BY {0}; DROP ROLE {0}", self.0));
    }
}

pub(super) async fn store_of(tenant: &str, url: &str) -> PostgresStore {
    let options = Options { tenant: tenant.to_owned(), connections: 2, ..Options::new(url) };
    postgres::open(options).await.expect("the store of a tenant")
}

async fn run_of(store: &PostgresStore, source: &str) -> u64 {
    let lease = store.claim("projects", Timestamp::UNIX_EPOCH).await.expect("a claim");
    let about = About { source: Some(source.to_owned()), ..About::default() };
    let run = NewRun { mode: Mode::Full, reason: None, about, at: Timestamp::UNIX_EPOCH };
    store.start_run(&lease, run).await.expect("a run")
}

#[tokio::test]
async fn a_query_without_a_filter_sees_its_tenant_only() {
    let schema = Schema::new();
    let role = Role::of(&schema);
    let url = role.url(&schema);
    let (acme, globex) = (store_of("acme", &url).await, store_of("globex", &url).await);
    let (of_acme, of_globex) = (run_of(&acme, "erp of acme").await, run_of(&globex, "erp of globex").await);

    // The first wall: a run of another tenant is not found, whatever its number.
    assert!(acme.run(of_acme).await.expect("run").is_some());
    assert_eq!(acme.run(of_globex).await.expect("run"), None);
    let sources = acme.runs(None, None, 9).await.expect("runs");
    assert_eq!(
        sources.iter().map(|run| run.about.source.as_deref()).collect::<Vec<_>>(),
        [Some("erp of acme")]
    );

    // The second wall: plain SQL without any condition.
    let session = Session::open(&url).await;
    let all = "SELECT source FROM data_update";
    assert_eq!(session.texts(all).await, [""; 0], "a session that says nothing is the nameless tenant's");
    session.client.batch_execute("SET syncline.tenant = 'globex'").await.expect("a tenant");
    assert_eq!(session.texts(all).await, ["erp of globex"]);
    assert_eq!(session.texts("SELECT name FROM tenant").await, ["globex"]);
    for table in ["sync", "run"] {
        let foreign = format!("SELECT tenant::text FROM {table} WHERE tenant <> syncline_tenant()");
        assert_eq!(session.texts(&foreign).await, [""; 0], "{table}");
    }
    let written = session.client.execute("UPDATE run SET source = 'ours'", &[]).await.expect("an update");
    assert_eq!(written, 1, "of its own runs");
    let smuggled = "INSERT INTO sync (tenant, name) SELECT number + 1, 'x' FROM tenant
                    UNION ALL SELECT number - 1, 'x' FROM tenant";
    let refused = session.client.execute(smuggled, &[]).await.expect_err("a row of another tenant");
    let refused = refused.as_db_error().expect("the server's refusal").message().to_owned();
    assert_eq!(refused, "new row violates row-level security policy for table \"sync\"");
}

#[tokio::test]
async fn every_table_has_the_second_wall() {
    let schema = Schema::new();
    drop(schema.store().await);
    let session = schema.session().await;
    let open = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
                  AND relname <> 'refinery_schema_history'
                  AND NOT (relrowsecurity AND relforcerowsecurity
                           AND EXISTS (SELECT FROM pg_policy WHERE polrelid = pg_class.oid))";
    assert_eq!(session.texts(open).await, [""; 0]);
    let views = "SELECT relname::text FROM pg_class WHERE relkind = 'v' AND relnamespace = current_schema()::regnamespace
                   AND NOT coalesce('security_invoker=true' = ANY(reloptions), false)";
    assert_eq!(session.texts(views).await, [""; 0], "a view shows what its reader may see, not its owner");
}
