//! A simulator, and connections to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use syncline_connect::{
    Destination, Error, Source,
    budget::{Budget, Budgets},
    clock::{Clock, SystemClock},
    conformance::destination::{Fault, Kit, edges},
    registry::{Connector as _, Context},
    sharepoint::Connector,
};
use syncline_core::{connection::Connection, schema::FieldType, value::Value};
use syncline_sim::{
    Applied, Fault as SimFault, FaultMatch, FaultRule, FaultWhen, ListSpec, OpKind, Options, Server, Switches,
};

/// Time that passes only when it is told to; the date is the machine's, as that of the simulator's caller must be.
#[derive(Debug)]
pub(super) struct ManualClock {
    system: SystemClock,
    millis: AtomicU64,
}

impl Clock for ManualClock {
    fn now(&self) -> jiff::Timestamp {
        self.system.now()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::SeqCst))
    }
}

/// A running simulator with the connector under test.
pub(super) struct Sim {
    pub(super) server: Server,
    pub(super) connector: Connector,
    pub(super) context: Context,
    clock: Arc<ManualClock>,
    /// Keeps the simulator's certificate authority on disk.
    directory: tempfile::TempDir,
    lists: AtomicU64,
}

impl Sim {
    pub(super) async fn start(options: Options) -> Self {
        let server = Server::start(options).await.unwrap();
        let clock = Arc::new(ManualClock { system: SystemClock::new(), millis: AtomicU64::new(0) });
        let directory = tempfile::tempdir().unwrap();
        if let Some(pem) = server.ca_pem() {
            std::fs::write(directory.path().join("ca.pem"), pem).unwrap();
        }
        let context = Context {
            clock: clock.clone(),
            budgets: Arc::new(Budgets::new(clock.clone())),
            seed: 7,
            directory: directory.path().to_owned(),
            caller: Default::default(),
        };
        Self { server, connector: Connector::default(), context, clock, directory, lists: AtomicU64::new(0) }
    }

    pub(super) async fn with(switches: Switches) -> Self {
        Self::start(Options { switches, ..Options::default() }).await
    }

    /// Writes a file that options may name.
    pub(super) fn file(&self, name: &str, content: &str) {
        std::fs::write(self.directory.path().join(name), content).unwrap();
    }

    /// The options of a connection to this simulator.
    pub(super) fn options(&self) -> Json {
        let defaults = Options::default();
        let mut options = json!({
            "site": "contoso.sharepoint.com:/sites/projects",
            "auth": { "type": "client_credentials", "tenant": defaults.tenant,
                      "client_id": defaults.client_id, "client_secret": defaults.client_secret },
            "authority": self.server.url(),
            "graph": self.server.url(),
            "timeout": 20_000,
            "limits": { "unlimited": true },
        });
        if self.server.ca_pem().is_some() {
            options["ca_file"] = "ca.pem".into();
        }
        options
    }

    pub(super) async fn connect(&self, options: Json) -> Result<Arc<dyn Destination>, Error> {
        let connection = Connection { name: "intranet".into(), kind: "sharepoint".into(), options };
        self.connector.destination(&connection, &self.context).await
    }

    pub(super) async fn destination(&self) -> Arc<dyn Destination> {
        self.connect(self.options()).await.unwrap()
    }

    pub(super) async fn source(&self) -> Arc<dyn Source> {
        let connection =
            Connection { name: "intranet".into(), kind: "sharepoint".into(), options: self.options() };
        self.connector.source(&connection, &self.context).await.unwrap()
    }

    /// Waits for something while time passes: whoever is told to wait by the service waits by the test's clock.
    pub(super) async fn while_time_passes<T>(&self, doing: impl Future<Output = T>) -> T {
        tokio::pin!(doing);
        loop {
            tokio::select! {
                biased;
                done = &mut doing => return done,
                () = tokio::task::yield_now() => self.advance(Duration::from_millis(100)),
            }
        }
    }

    /// An empty list with a column of every supported kind.
    pub(super) fn list(&self) -> String {
        let title = format!("Projects {}", self.lists.fetch_add(1, Ordering::SeqCst));
        let columns = vec![
            json!({ "name": "Notes", "text": { "allowMultipleLines": true, "textType": "plain" } }),
            json!({ "name": "BudgetAmount", "displayName": "Budget amount", "number": { "decimalPlaces": "two" } }),
            json!({ "name": "Price", "currency": { "locale": "en-us" } }),
            json!({ "name": "IsOpen", "boolean": {} }),
            json!({ "name": "StartDate", "dateTime": { "format": "dateOnly" } }),
            json!({ "name": "ChangedAt", "dateTime": { "format": "dateTime" } }),
            json!({ "name": "Status", "choice": { "choices": ["Active", "Closed", "Very Large"] } }),
            json!({ "name": "Stage", "choice": { "choices": ["A"], "allowTextEntry": true } }),
            json!({ "name": "Tags", "choice": { "choices": ["A", "B", "C, D"], "displayAs": "checkBoxes" } }),
            json!({ "name": "Home", "hyperlinkOrPicture": { "isPicture": false } }),
            json!({ "name": "Lead", "personOrGroup": {} }),
        ];
        let spec = ListSpec { display_name: title.clone(), columns, ..ListSpec::default() };
        self.server.world().add_list(&spec).unwrap();
        title
    }

    pub(super) fn fault(&self, matches: FaultMatch, when: FaultWhen, what: SimFault) {
        self.server.world().add_fault(FaultRule { matches, when, what }).unwrap();
    }

    pub(super) fn fault_on(&self, kind: OpKind, count: u64, what: SimFault) {
        let matches = FaultMatch { kind: Some(kind), ..FaultMatch::default() };
        self.fault(matches, FaultWhen::next(count), what);
    }

    fn fault_on_next_write(&self, what: SimFault) {
        let matches = FaultMatch { writes: Some(true), ..FaultMatch::default() };
        self.fault(matches, FaultWhen::next(1), what);
    }

    fn map(text: &str) -> serde_json::Map<String, Json> {
        [("Title".to_owned(), Json::from(text))].into_iter().collect()
    }
}

#[async_trait]
impl Kit for Sim {
    async fn open(&self) -> Arc<dyn Destination> {
        self.destination().await
    }

    async fn make_stream(&self) -> String {
        self.list()
    }

    fn text_field(&self) -> &'static str {
        "Title"
    }

    fn samples(&self) -> Vec<(&'static str, Vec<Value<'static>>)> {
        let text = |t: &str| Value::Text(t.to_owned().into());
        let texts = |t: &[&str]| t.iter().map(|t| text(t)).collect::<Vec<_>>();
        let of = |kind: FieldType| edges(&kind);
        let mut titles = of(FieldType::Text);
        // 255 as SharePoint counts: an emoji is two.
        titles.extend([text(&"x".repeat(255)), text(&format!("x{}", "🦀".repeat(127)))]);
        let mut notes = of(FieldType::Text);
        notes.extend(texts(&["line 1\r\nline 2\nline 3\r", &"long ".repeat(20_000)]));
        let numbers = of(FieldType::Decimal { precision: None, scale: None });
        let tags = |t: &[&str]| Value::List(texts(t));
        vec![
            ("Title", titles),
            ("Notes", notes),
            ("BudgetAmount", numbers.clone()),
            ("Price", numbers),
            ("IsOpen", of(FieldType::Boolean)),
            ("StartDate", of(FieldType::Date)),
            ("ChangedAt", of(FieldType::Timestamp { zoned: true })),
            ("Status", texts(&["Active", "Very Large"])),
            ("Stage", texts(&["anything at all"])),
            ("Tags", vec![tags(&["B", "A"]), tags(&["C, D"]), tags(&[])]),
        ]
    }

    async fn create(&self, stream: &str, text: &str) -> String {
        self.server.world().create_item(stream, &Self::map(text)).unwrap().to_string()
    }

    async fn edit(&self, stream: &str, id: &str, text: &str) {
        self.server.world().edit_item(stream, id.parse().unwrap(), &Self::map(text)).unwrap();
    }

    async fn delete(&self, stream: &str, id: &str) {
        self.server.world().delete_item(stream, id.parse().unwrap()).unwrap();
    }

    async fn delete_stream(&self, stream: &str) {
        self.server.world().remove_list(stream).unwrap();
    }

    async fn count(&self, stream: &str) -> usize {
        self.server.world().item_count(stream).unwrap()
    }

    async fn inject(&self, fault: Fault) {
        match fault {
            Fault::LoseBeforeApply => self.fault_on_next_write(SimFault::ResetBeforeApply),
            Fault::LoseAfterApply => self.fault_on_next_write(SimFault::ResetAfterApply),
            Fault::CutAnswer => self.fault_on_next_write(SimFault::TruncatedBody),
            Fault::FailAfterApply => {
                self.fault_on_next_write(SimFault::Status { status: 504, applied: Applied::After });
            }
            Fault::Throttle(wait) => {
                let retry_after = Some(wait.as_secs_f64().to_string());
                self.fault_on_next_write(SimFault::Throttle { retry_after });
            }
            Fault::ExpireCredentials => self.server.world().expire_tokens(),
            Fault::FailReads => {
                for kind in [OpKind::Get, OpKind::List, OpKind::Delta] {
                    let what = SimFault::Status { status: 500, applied: Applied::Before };
                    self.fault_on(kind, u64::MAX, what);
                }
            }
        }
    }

    async fn heal(&self) {
        self.server.world().clear_faults(None);
    }

    fn advance(&self, by: Duration) {
        self.clock.millis.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }

    fn budget(&self) -> Arc<Budget> {
        self.context.budgets.all().into_iter().next().expect("a connection was opened")
    }
}
