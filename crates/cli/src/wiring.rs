//! Where concrete systems, the environment and the clock come in.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use syncline_connect::{
    Database, Destination, Source, Statements,
    budget::Budgets,
    clock::{Clock, SystemClock},
    error::Kind,
    files,
    graph::Tokens,
    mysql, postgres,
    registry::{Caller, Context, Registry},
    sharepoint, sqlite, teams_webinars,
};
use syncline_core::{connection::Connection, mapping, sync::Sync};
use syncline_engine::{Bound, Engine, Error, Flow, load, retry::Policy, service};
use syncline_spec::{Environment, Project};
use syncline_store::{Store, service::ServiceStore};

use crate::exit::Failure;

/// Makes the process's choice of cryptography, once: every TLS connection asks for it.
pub(crate) fn use_crypto() {
    // An error means that it was made before.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
}

/// The connectors of this binary.
pub(crate) fn registry() -> Registry {
    // Shared: a token for Microsoft Graph is good for every connector to it.
    let tokens = Tokens::default();
    let registry = Registry::default()
        .with(mysql::Connector)
        .with(postgres::Connector)
        .with(sqlite::Connector)
        .with(files::Connector)
        .with(sharepoint::Connector::sharing(&tokens))
        .with(teams_webinars::Connector::sharing(&tokens));
    #[cfg(feature = "odbc")]
    let registry = registry.with(syncline_connect::odbc::Connector);
    registry
}

/// The machine's clock.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// The environment as a project file sees it.
pub(crate) struct Surroundings {
    /// What relative paths are relative to.
    directory: PathBuf,
    /// Answer for variables and files that are not there, instead of an error: for commands that only need the store. Then
    /// this one answers for where that is.
    strict: Option<Box<Self>>,
}

impl Surroundings {
    pub(crate) fn of(directory: &Path, lenient: bool) -> Self {
        let strict = Self { directory: directory.to_owned(), strict: None };
        Self { directory: directory.to_owned(), strict: lenient.then(|| Box::new(strict)) }
    }
}

impl Environment for Surroundings {
    fn variable(&self, name: &str) -> Option<String> {
        #[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
        let value = std::env::var(name).ok();
        value.or_else(|| self.strict.is_some().then(|| "unset".to_owned()))
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let read = std::fs::read_to_string(self.directory.join(path));
        match read {
            Err(_) if self.strict.is_some() => Ok("unset".to_owned()),
            read => read.map_err(|error| reason(&error)),
        }
    }

    fn for_store(&self) -> Option<&dyn Environment> {
        self.strict.as_deref().map(|strict| strict as &dyn Environment)
    }
}

/// Why a file cannot be read or written, in the words of the other messages.
pub(crate) fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "not found".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "it is a directory".to_owned(),
        ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}

/// Everything that is needed to open connections.
pub(crate) struct Systems {
    registry: Registry,
    context: Context,
}

impl Systems {
    /// `directory`: what relative paths in connections are relative to.
    pub(crate) fn new(directory: &Path) -> Self {
        let clock = clock();
        let budgets = Arc::new(Budgets::new(Arc::clone(&clock)));
        let seed = seed(&*clock);
        Self {
            registry: registry(),
            context: Context {
                clock,
                budgets,
                seed,
                directory: directory.to_owned(),
                caller: Caller::default(),
            },
        }
    }

    /// An engine on `store` that shares clock and quotas with the connections.
    pub(crate) fn engine(&self, store: Arc<dyn Store>) -> Engine {
        let Context { clock, budgets, seed, .. } = &self.context;
        let retry = Policy::default();
        Engine { store, clock: Arc::clone(clock), budgets: Arc::clone(budgets), retry, seed: *seed }
    }

    pub(crate) async fn source(
        &self,
        connection: &Connection,
        caller: &Caller,
    ) -> Result<Arc<dyn Source>, syncline_connect::Error> {
        let context = Context { caller: caller.clone(), ..self.context.clone() };
        self.registry.of(connection)?.source(connection, &context).await
    }

    pub(crate) async fn destination(
        &self,
        connection: &Connection,
    ) -> Result<Arc<dyn Destination>, syncline_connect::Error> {
        self.registry.of(connection)?.destination(connection, &self.context).await
    }

    pub(crate) async fn database(
        &self,
        connection: &Connection,
    ) -> Result<Arc<dyn Database>, syncline_connect::Error> {
        self.registry.of(connection)?.database(connection, &self.context).await
    }

    pub(crate) async fn statements(
        &self,
        connection: &Connection,
    ) -> Result<Arc<dyn Statements>, syncline_connect::Error> {
        self.registry.of(connection)?.statements(connection, &self.context).await
    }

    /// Whether a connection is written by bulk loads.
    pub(crate) fn loads(&self, connection: &Connection) -> bool {
        self.registry.of(connection).is_ok_and(|connector| connector.spec().loads)
    }

    /// Opens both connections of a sync and binds it; `caller`: for whom. `None`: it does not fit; the problems say why.
    pub(crate) async fn open(
        &self,
        project: &Project,
        sync: &Sync,
        caller: &Caller,
    ) -> Result<(Option<Flow>, Vec<mapping::Problem>), Failure> {
        let (from, to) = ends(project, sync)?;
        self.bind(from, to, sync, caller).await.map_err(|unopened| match unopened {
            Unopened::Connection(error) => error.into(),
            Unopened::Sync(error) => error.into(),
        })
    }

    /// Opens the two connections and binds the sync to them.
    async fn bind(
        &self,
        from: &Connection,
        to: &Connection,
        sync: &Sync,
        caller: &Caller,
    ) -> Result<(Option<Flow>, Vec<mapping::Problem>), Unopened> {
        if self.loads(to) {
            let (source, database) = tokio::try_join!(self.source(from, caller), self.database(to))?;
            let (table, problems) = load::Table::open(sync.clone(), source, database).await?;
            return Ok((table.map(Flow::Load), problems));
        }
        let (source, destination) = tokio::try_join!(self.source(from, caller), self.destination(to))?;
        let (bound, problems) = Bound::open(sync.clone(), source, destination).await?;
        Ok((bound.map(Flow::Push), problems))
    }
}

/// Why a sync could not be opened.
enum Unopened {
    /// One of its connections.
    Connection(syncline_connect::Error),
    /// What it found there.
    Sync(Error),
}

impl From<syncline_connect::Error> for Unopened {
    fn from(error: syncline_connect::Error) -> Self {
        Self::Connection(error)
    }
}

impl From<Error> for Unopened {
    fn from(error: Error) -> Self {
        Self::Sync(error)
    }
}

/// The connections of this binary, as a service reaches them.
pub(crate) struct Serving {
    pub(crate) systems: Systems,
    pub(crate) store: Arc<dyn ServiceStore>,
}

#[async_trait]
impl service::Systems for Serving {
    fn engine(&self) -> Engine {
        let store: Arc<dyn ServiceStore> = Arc::clone(&self.store);
        self.systems.engine(store)
    }

    async fn open(&self, project: &Project, sync: &Sync, caller: &Caller) -> Result<Flow, Error> {
        let doing = || format!("opening the connections of sync {:?}", sync.name);
        let unopened = |source| Error::Connect { doing: doing(), source };
        let find = |name: &str| {
            let missing = || {
                let what = format!("there is no connection {name:?}");
                unopened(syncline_connect::Error::new(Kind::Definition, what))
            };
            project.connection(name).ok_or_else(missing)
        };
        let (from, to) = (find(&sync.from.connection)?, find(&sync.to.connection)?);
        match Box::pin(self.systems.bind(from, to, sync, caller)).await {
            Ok((Some(flow), _)) => Ok(flow),
            Ok((None, problems)) => Err(Error::Definition { sync: sync.name.clone(), problems }),
            Err(Unopened::Connection(error)) => Err(unopened(error)),
            Err(Unopened::Sync(error)) => Err(error),
        }
    }

    async fn source(
        &self,
        connection: &Connection,
        caller: &Caller,
    ) -> Result<Arc<dyn Source>, syncline_connect::Error> {
        self.systems.source(connection, caller).await
    }

    async fn database(&self, connection: &Connection) -> Result<Arc<dyn Database>, syncline_connect::Error> {
        self.systems.database(connection).await
    }

    async fn statements(
        &self,
        connection: &Connection,
    ) -> Result<Arc<dyn Statements>, syncline_connect::Error> {
        let Systems { registry, context } = &self.systems;
        registry.of(connection)?.statements(connection, context).await
    }

    /// Asks for the names of what is there: whoever is told them has signed in.
    async fn probe(&self, connection: &Connection) -> Result<(), syncline_connect::Error> {
        let Systems { registry, context } = &self.systems;
        let connector = registry.of(connection)?;
        let spec = connector.spec();
        match (spec.source, spec.loads) {
            (true, _) => connector.source(connection, context).await?.streams().await.map(|_| ()),
            (false, true) => connector.database(connection, context).await.map(|_| ()),
            (false, false) => connector.destination(connection, context).await?.streams().await.map(|_| ()),
        }
    }
}

/// The two connections of a sync.
pub(crate) fn ends<'p>(
    project: &'p Project,
    sync: &Sync,
) -> Result<(&'p Connection, &'p Connection), Failure> {
    let find = |name: &str| {
        let missing = || Failure::usage(format!("sync {:?}: there is no connection {name:?}", sync.name));
        project.connection(name).ok_or_else(missing)
    };
    Ok((find(&sync.from.connection)?, find(&sync.to.connection)?))
}

/// Different in every process: the jitter of two processes must not agree.
fn seed(clock: &dyn Clock) -> u64 {
    let nanoseconds = clock.now().as_nanosecond().to_le_bytes();
    let low: [u8; 8] = std::array::from_fn(|index| nanoseconds[index]);
    u64::from_le_bytes(low) ^ u64::from(std::process::id()).rotate_left(32)
}
