//! `syncline serve`: everything that serves, under one owner.
//!
//! The node carries runs out; beside it the definitions are followed, the API answers, alerts are sent and the process
//! manager is kept informed. The node ends last of what works on data: the API answers while the batches in hand are
//! finished.

use std::{collections::BTreeSet, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use serde_json::json;
use syncline_connect::clock::Clock;
use syncline_core::calendar::Timing;
use syncline_engine::service::{Control, Local, Node, Served};
use syncline_store::service::{ServiceStore, Subject};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use crate::{
    args::Global,
    exit::{Exit, Failure},
    output, project,
    service::{args::ServeArgs, definitions::Follower, notify::Manager, reading::Place},
    show,
    signals::{Cancel, cancelled},
    wiring::{self, Serving, Systems},
};

/// How long the parts beside the node may take to end.
const LONGEST_END: Duration = Duration::from_secs(5);

pub(crate) async fn run(global: &Global, args: &ServeArgs, cancel: &Cancel) -> Result<Exit, Failure> {
    let manager = Arc::new(Manager::of_environment());
    let clock = wiring::clock();
    let store = store(global, args).await?;
    let name = node_name(args, &*clock);
    let place = Place { file: global.file.clone(), applied: args.from_store, lenient: false };
    let directory = place.directory();
    let (follower, served) = Follower::start(place, Arc::clone(&store), Arc::clone(&clock), &name).await?;
    let systems = Arc::new(Serving { systems: Systems::new(&directory), store: Arc::clone(&store) });
    let control = Control::new(Arc::clone(&store), Arc::clone(&clock), served.clone(), systems.clone());
    let options = served.borrow().project.server.clone();
    let door = Door::open(args, &options, &directory, &*store, clock.now()).await?;
    let reach = Reach::new(directory, Arc::clone(&clock)).map_err(|failure| Failure::failed(failure.message))?;
    let reach = Arc::new(reach);
    let metrics = Arc::new(Metrics::default());
    let local = Arc::new(Local::new(control.clone(), reach.clone()));
    let executor = Measured::new(local, Arc::clone(&store), Arc::clone(&clock), Arc::clone(&metrics));
    let url = door.as_ref().map(Door::url);
    let summary = Summary::of(&served.borrow(), &*store, clock.now(), &name, url).await?;

    let mut parts = Parts::default();
    if let Some(Door { listener, tls, access, .. }) = door {
        let (store, clock, definitions) = (Arc::clone(&store), Arc::clone(&clock), Arc::new(follower.checks()));
        let control = control.clone();
        let node = name.clone();
        let api = Api::new(Setup { store, control, systems, clock, definitions, access, metrics, node });
        let stop = cancelled(parts.ending());
        parts.add("the API", async move { serve(&api, listener, tls, stop).await });
    }
    let alerts = Alerts { store, served, messenger: reach, clock };
    parts.add("alerts", alerts.run(parts.ending()));
    parts.add("the definitions", follower.follow(parts.ending()));
    parts.add("the watchdog", watched(Arc::clone(&manager), parts.ending()));
    parts.add("the stop", said(Arc::clone(&manager), options.grace, cancel.clone(), parts.ending()));
    let node = Node::new(control, Arc::new(executor), name, env!("CARGO_PKG_VERSION").to_owned());
    summary.tell(args.json);
    output::finish()?;
    manager.ready(&summary.sentence());
    let ended = tokio::select! {
        () = Box::pin(node.run(cancel.clone())) => Ok(Exit::Done),
        part = parts.first_to_end() => Err(Failure::failed(format!("{part} ended by itself; the service stops"))),
    };
    parts.end().await;
    ended
}

/// The store: that of the project, or the one that the command line names.
async fn store(global: &Global, args: &ServeArgs) -> Result<Arc<dyn ServiceStore>, Failure> {
    if !args.from_store {
        return project::open(global)?.store().await;
    }
    project::named_store(global).await
}

/// What this process is called: no other process ever was.
fn node_name(args: &ServeArgs, clock: &dyn Clock) -> String {
    let machine = || {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = name.trim();
        if name.is_empty() { "node".to_owned() } else { name.to_owned() }
    };
    let name = args.node.clone().unwrap_or_else(machine);
    format!("{name}.{:x}.{:x}", std::process::id(), clock.now().as_millisecond())
}

/// The API's listener, and who is let in; nothing with `--no-api`.
struct Door {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    access: Access,
}

impl Door {
    /// Listens, where that is safe.
    async fn open(
        args: &ServeArgs,
        options: &ServerOptions,
        directory: &Path,
        store: &dyn ServiceStore,
        now: jiff::Timestamp,
    ) -> Result<Option<Self>, Failure> {
        if args.no_api {
            return Ok(None);
        }
        let bind = args.bind.unwrap_or(options.bind);
        let tls = options.tls.as_ref().map(|tls| certificate(tls, directory)).transpose()?;
        let tokens = store.tokens().await?;
        let tokens = tokens.iter().filter(|token| in_force(token, now)).count();
        let access = Access::decide(bind, tls.is_some(), tokens).map_err(Failure::usage)?;
        let taken = |error: std::io::Error| {
            Failure::failed(format!("the API cannot listen on {bind}: {error}"))
                .hint("--bind names another address, --no-api serves none")
        };
        let listener = TcpListener::bind(bind).await.map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        Ok(Some(Self { listener, address, tls, access }))
    }

    fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }
}

/// Reads certificate and key.
fn certificate(tls: &Tls, directory: &Path) -> Result<Arc<rustls::ServerConfig>, Failure> {
    let read = |file: &str| {
        let path = directory.join(file);
        std::fs::read(&path).map_err(|error| Failure::usage(format!("{}: {}", path.display(), wiring::reason(&error))))
    };
    let (certificate, key) = (read(&tls.certificate)?, read(&tls.key)?);
    syncline_server::serve::tls(&certificate, &key).map_err(Failure::usage)
}

/// What runs beside the node. Dropping it stops all of it.
struct Parts {
    running: JoinSet<&'static str>,
    ending: watch::Sender<bool>,
}

impl Default for Parts {
    fn default() -> Self {
        Self { running: JoinSet::new(), ending: watch::Sender::new(false) }
    }
}

impl Parts {
    /// Turns true when the parts are to end.
    fn ending(&self) -> Cancel {
        self.ending.subscribe()
    }

    fn add(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(async move {
            part.await;
            name
        });
    }

    /// Waits until one of them ends, which none should.
    async fn first_to_end(&mut self) -> String {
        match self.running.join_next().await {
            Some(Ok(name)) => name.to_owned(),
            Some(Err(error)) => format!("a part of the service ({error})"),
            None => std::future::pending().await,
        }
    }

    /// Asks all to end, waits a moment, and drops what has not.
    async fn end(mut self) {
        self.ending.send_replace(true);
        let all = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(LONGEST_END, all).await.is_err() {
            tracing::warn!(
                parts = self.running.len(),
                "parts of the service did not end in time and are dropped"
            );
        }
    }
}

/// Tells the process manager that we live, as often as it wants.
async fn watched(manager: Arc<Manager>, ending: Cancel) {
    let alive = async {
        let Some(every) = manager.watchdog else { return std::future::pending().await };
        loop {
            manager.alive();
            tokio::time::sleep(every).await;
        }
    };
    tokio::select! {
        () = alive => {}
        () = cancelled(ending) => {}
    }
}

/// Says that the stop was heard and may take a moment; then waits for the others.
async fn said(manager: Arc<Manager>, grace: Duration, cancel: Cancel, ending: Cancel) {
    tokio::select! {
        () = cancelled(cancel) => {
            manager.stopping(grace);
            output::chat(format!(
                "stopping: nothing new is begun, the batches in hand have {} to end; once more to stop at once (nothing is lost either way)",
                show::duration(grace)
            ));
            cancelled(ending).await;
        }
        () = cancelled(ending.clone()) => {}
    }
}

/// What is served, for whoever started it.
struct Summary {
    node: String,
    /// Of the API.
    url: Option<String>,
    syncs: usize,
    chains: usize,
    schedules: usize,
    next: Option<(jiff::Timestamp, Subject, String)>,
    broken: Option<String>,
    now: jiff::Timestamp,
}

impl Summary {
    async fn of(
        served: &Served,
        store: &dyn ServiceStore,
        now: jiff::Timestamp,
        node: &str,
        url: Option<String>,
    ) -> Result<Self, Failure> {
        let states = store.schedule_states().await?;
        let paused: BTreeSet<(&Subject, &str)> = states
            .iter()
            .filter(|s| s.paused_at.is_some())
            .map(|s| (&s.subject, s.schedule.as_str()))
            .collect();
        let project = &served.project;
        let of_syncs = project.syncs.iter().map(|sync| (Subject::sync(&sync.name), &sync.schedules));
        let of_chains = project.chains.iter().map(|chain| (Subject::chain(&chain.name), &chain.schedules));
        let (mut schedules, mut next) = (0, None);
        for (subject, of_subject) in of_syncs.chain(of_chains) {
            for schedule in of_subject.iter().filter(|schedule| schedule.enabled) {
                schedules += 1;
                let label = schedule.label();
                if paused.contains(&(&subject, label.as_str())) {
                    continue;
                }
                let first = Timing::of(schedule).ok().and_then(|timing| timing.after(now));
                next = next.into_iter().chain(first.map(|at| (at, subject.clone(), label))).min();
            }
        }
        Ok(Self {
            node: node.to_owned(),
            url,
            syncs: project.syncs.len(),
            chains: project.chains.len(),
            schedules,
            next,
            broken: served.broken.clone(),
            now,
        })
    }

    fn sentence(&self) -> String {
        let some = |n: usize, one, many| show::some(n as u64, one, many);
        format!(
            "serving {}, {} and {}",
            some(self.syncs, "sync", "syncs"),
            some(self.chains, "chain", "chains"),
            some(self.schedules, "schedule", "schedules")
        )
    }

    fn tell(&self, as_json: bool) {
        if as_json {
            output::json(&json!({
                "event": "ready",
                "node": self.node,
                "api": self.url,
                "syncs": self.syncs,
                "chains": self.chains,
                "schedules": self.schedules,
                "next": self.next.as_ref().map(|(at, subject, schedule)| {
                    json!({ "at": at, "kind": subject.kind, "name": subject.name, "schedule": schedule })
                }),
                "broken": self.broken,
            }));
            return;
        }
        output::line(format!("{} as {}", self.sentence(), self.node));
        match &self.url {
            Some(url) => output::line(format!("the API is at {url}")),
            None => output::line("there is no API"),
        }
        match &self.next {
            Some((at, subject, schedule)) => output::line(format!(
                "next: {subject} ({schedule}) at {}, {}",
                show::time(*at),
                show::relative(*at, self.now)
            )),
            None => output::line("no schedule is due: runs start when they are asked for"),
        }
        if let Some(broken) = &self.broken {
            output::note(format!(
                "some stored definitions do not fit the project and are left out:\n{broken}"
            ));
        }
    }
}
