//! `syncline serve`: everything that serves, under one owner.
//!
//! The node carries runs out; beside it the definitions are followed, the API answers, alerts are sent and the process
//! manager is kept informed. The node ends last of what works on data: the API answers while the batches in hand are
//! finished.

use std::{sync::Arc, time::Duration};

use syncline_connect::clock::Clock;
use syncline_engine::service::{Control, Local, Node, alerts::deliver::Alerts};
use syncline_server::{
    api::{Api, Setup},
    metrics::{Measured, Metrics},
    outside::Reach,
    serve::serve,
    users::Users,
};
use syncline_store::service::ServiceStore;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    args::Global,
    exit::{Exit, Failure},
    output, project,
    service::{
        args::ServeArgs, definitions::Follower, door::Door, notify::Manager, reading::Place, summary::Summary,
    },
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
    let reach =
        Reach::new(directory, Arc::clone(&clock)).map_err(|failure| Failure::failed(failure.message))?;
    let reach = Arc::new(reach);
    let metrics = Arc::new(Metrics::default());
    let local = Arc::new(Local::new(control.clone(), reach.clone()));
    let executor = Measured::new(local, Arc::clone(&store), Arc::clone(&clock), Arc::clone(&metrics));
    let url = door.as_ref().map(Door::url);
    let summary = Summary::of(&served.borrow(), &*store, clock.now(), &name, url).await?;

    let mut parts = Parts::default();
    if let Some(Door { listener, tls, access, .. }) = door {
        let (store, clock, definitions) =
            (Arc::clone(&store), Arc::clone(&clock), Arc::new(follower.checks()));
        let control = control.clone();
        let node = name.clone();
        let users = options.users.clone().map(|users| Users::new(users, Arc::clone(&clock)));
        let users = users.transpose().map_err(Failure::usage)?;
        let api =
            Api::new(Setup { store, control, systems, clock, definitions, access, users, metrics, node });
        let stop = cancelled(parts.ending());
        parts.add("the API", async move { serve(&api, listener, tls, stop).await });
    }
    let alerts = Alerts { store, served, messenger: reach, clock };
    parts.add("alerts", alerts.run(parts.ending()));
    parts.add("the definitions", follower.follow(parts.ending()));
    parts.add("the watchdog", watched(Arc::clone(&manager), parts.ending()));
    parts.add("the stop", said(Arc::clone(&manager), options.grace, cancel.clone(), parts.ending()));
    let asked = control.clone();
    let node = Node::new(control, Arc::new(executor), name, env!("CARGO_PKG_VERSION").to_owned());
    summary.tell(args.json);
    output::finish()?;
    manager.ready(&summary.sentence());
    let ended = tokio::select! {
        // the API still answers those who wait for a run
        _ = async { tokio::join!(Box::pin(node.run(cancel.clone())), asked.see_out(cancel.clone())) } => Ok(Exit::Done),
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
