//! A tenant with users and webinars, and connections to it.

use std::{path::Path, sync::Arc};

use secrecy::SecretString;
use serde_json::{Value as Json, json};
use syncline_connect::{
    Error, Source,
    budget::Budgets,
    clock::SystemClock,
    registry::{Caller, Connector as _, Context, User},
    source::{Fetch, Params, Read},
    teams_webinars::Connector,
};
use syncline_core::{batch::Batch, connection::Connection, value::Value};
use syncline_sim::{
    ConsentSpec, Fault, FaultMatch, FaultRule, FaultWhen, IntervalSpec, MintSpec, OpKind, Options,
    RecordSpec, RegistrationSpec, ReportSpec, Server, SessionSpec, Switches, UserSpec, WebinarSpec,
};

pub(super) const ANN: &str = "aaaaaaaa-2222-4333-8444-555555555501";
pub(super) const BEN: &str = "bbbbbbbb-2222-4333-8444-555555555502";

/// Thirty-two digits, as a run's number is.
pub(super) const CORRELATION: &str = "0af7651916cd43dd8448eb211c80319c";

/// A running simulator with the connector under test.
pub(super) struct Tenant {
    pub(super) server: Server,
    connector: Connector,
    context: Context,
    directory: tempfile::TempDir,
}

impl Tenant {
    /// Ann and Ben, and an administrator who has consented to what is needed.
    pub(super) async fn with(switches: Switches) -> Self {
        let tenant = Self::bare(Options { switches, ..Options::default() }).await;
        tenant.consent(&["VirtualEvent.Read", "OnlineMeetingArtifact.Read.All"]);
        tenant
    }

    /// Nobody has consented to anything.
    pub(super) async fn bare(options: Options) -> Self {
        let server = Server::start(options).await.unwrap();
        for (oid, name) in [(ANN, "Ann"), (BEN, "Ben")] {
            let upn = format!("{name}@contoso.example");
            let user = UserSpec { oid: oid.into(), upn, display_name: name.into(), ..UserSpec::default() };
            server.world().add_user(&user).unwrap();
        }
        let clock = Arc::new(SystemClock::new());
        let directory = tempfile::tempdir().unwrap();
        let context = Context {
            budgets: Arc::new(Budgets::new(clock.clone())),
            clock,
            seed: 7,
            directory: directory.path().to_owned(),
            caller: Caller::default(),
        };
        Self { server, connector: Connector::default(), context, directory }
    }

    pub(super) fn consent(&self, scopes: &[&str]) {
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        self.server.world().consent(&ConsentSpec { scopes, ..ConsentSpec::default() }).unwrap();
    }

    pub(super) fn options(&self, kind: &str) -> Json {
        let defaults = Options::default();
        json!({
            "auth": { "type": kind, "tenant": self.server.world().tenant_id(),
                      "client_id": defaults.client_id, "client_secret": defaults.client_secret },
            "authority": self.server.url(),
            "graph": self.server.url(),
            "timeout": 20_000,
            "limits": { "unlimited": true },
        })
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn token(&self, spec: &MintSpec) -> String {
        self.server.world().mint_user_token(spec).unwrap()
    }

    /// A connection that acts for the user with this token.
    pub(super) async fn open(&self, options: Json, oid: &str, token: &str) -> Result<Arc<dyn Source>, Error> {
        let assertion = SecretString::from(token.to_owned());
        let user = User { owner: oid.into(), tenant: self.server.world().tenant_id(), assertion };
        let caller = Caller { user: Some(Arc::new(user)), correlation: Some(CORRELATION.into()) };
        let connection = Connection { name: "events".into(), kind: "teams_webinars".into(), options };
        self.connector.source(&connection, &Context { caller, ..self.context.clone() }).await
    }

    /// A connection of the application's own.
    pub(super) async fn open_application(&self, options: Json) -> Result<Arc<dyn Source>, Error> {
        let connection = Connection { name: "events".into(), kind: "teams_webinars".into(), options };
        self.connector.source(&connection, &self.context).await
    }

    /// A connection that acts for this user, with a fresh token.
    pub(super) async fn of(&self, oid: &str) -> Arc<dyn Source> {
        let token = self.token(&MintSpec { oid: oid.into(), ..MintSpec::default() });
        self.open(self.options("on_behalf_of"), oid, &token).await.unwrap()
    }

    /// A published webinar of Ann's with one session; their ids.
    pub(super) fn webinar(
        &self,
        registrations: Vec<RegistrationSpec>,
        reports: Vec<ReportSpec>,
    ) -> (String, String) {
        let session = SessionSpec { id: Some(SESSION.into()), reports, ..SessionSpec::default() };
        let spec = WebinarSpec {
            display_name: "Quarterly update".into(),
            organizer: ANN.into(),
            organizer_name: "Ann".into(),
            registrations,
            sessions: vec![session],
            ..WebinarSpec::default()
        };
        (self.server.world().add_webinar(&spec).unwrap(), SESSION.into())
    }

    pub(super) fn fault(&self, kind: OpKind, when: FaultWhen, what: Fault) {
        let matches = FaultMatch { kind: Some(kind), ..FaultMatch::default() };
        self.server.world().add_fault(FaultRule { matches, when, what }).unwrap();
    }
}

const SESSION: &str = "8d62dd52-4dff-4c75-96a9-f905cc3ff942";

pub(super) fn registration(id: &str, email: &str, status: &str) -> RegistrationSpec {
    RegistrationSpec {
        id: Some(id.into()),
        first_name: "Em".into(),
        last_name: "Pham".into(),
        email: email.into(),
        status: status.into(),
        ..RegistrationSpec::default()
    }
}

/// A record with intervals in minutes after ten.
pub(super) fn record(
    registration: Option<&str>,
    email: Option<&str>,
    intervals: &[(u32, u32)],
) -> RecordSpec {
    let at = |minute: u32| format!("2026-03-30T{:02}:{:02}:00.0000000Z", 10 + minute / 60, minute % 60);
    RecordSpec {
        registration_id: registration.map(str::to_owned),
        email_address: email.map(str::to_owned),
        attendance_intervals: intervals
            .iter()
            .map(|(join, leave)| IntervalSpec {
                join_date_time: at(*join),
                leave_date_time: at(*leave),
                duration_in_seconds: None,
            })
            .collect(),
        ..RecordSpec::default()
    }
}

pub(super) fn report(records: Vec<RecordSpec>) -> ReportSpec {
    ReportSpec { records, ..ReportSpec::default() }
}

pub(super) fn params(given: &[(&str, &str)]) -> Params {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What a listing came to.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) records: Vec<Vec<String>>,
    pub(super) problems: usize,
    pub(super) shortfall: Option<String>,
}

/// The whole of a stream, columns as texts.
pub(super) async fn list(
    source: &dyn Source,
    stream: &str,
    given: Params,
    columns: &[&str],
) -> Result<Listed, Error> {
    let described = source.describe(stream).await?;
    let mut reader = source
        .read(Read {
            stream: stream.into(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            key: described.primary_key.iter().filter(|k| columns.contains(&k.as_str())).cloned().collect(),
            key_is_total: false,
            cursor: None,
            tombstone: None,
            from: None,
            overlap: Default::default(),
            lag: Default::default(),
            batch_rows: 700,
            batch_bytes: 1 << 20,
            params: given,
        })
        .await?;
    let mut listed = Listed { records: Vec::new(), problems: 0, shortfall: None };
    while let Some(batch) = reader.next().await? {
        assert!(!batch.is_empty());
        listed.problems += (0..batch.len()).filter(|&row| batch.problem(row).is_some()).count();
        listed.records.extend(texts(&batch));
    }
    listed.shortfall = reader.shortfall();
    Ok(listed)
}

pub(super) async fn fetch(
    source: &dyn Source,
    stream: &str,
    columns: &[&str],
    key: &[&str],
    ids: &[&[&str]],
) -> Result<Vec<Vec<String>>, Error> {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let key_of =
        |ids: &&[&str]| ids.iter().map(|id| Value::Text((*id).to_owned().into())).collect::<Vec<_>>();
    let request = Fetch {
        stream: stream.into(),
        columns: owned(columns),
        key: owned(key),
        tombstone: None,
        keys: ids.iter().map(key_of).collect(),
        params: Params::new(),
    };
    source.fetch(request).await.map(|batch| texts(&batch))
}

fn texts(batch: &Batch) -> Vec<Vec<String>> {
    let cell = |row, column| match batch.value(row, column) {
        Value::Null => "-".to_owned(),
        Value::Text(text) | Value::Json(text) => text.into_owned(),
        Value::Int64(number) => number.to_string(),
        Value::Boolean(yes) => yes.to_string(),
        Value::Timestamp { micros, .. } => jiff::Timestamp::from_microsecond(micros).unwrap().to_string(),
        other => format!("{other:?}"),
    };
    (0..batch.len()).map(|row| (0..batch.fields().len()).map(|column| cell(row, column)).collect()).collect()
}
