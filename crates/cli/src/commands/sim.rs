//! `syncline sim`

use std::{net::SocketAddr, path::Path, time::Duration};

use serde::Deserialize;
use syncline_sim::{ListSpec, Options, Server, SiteSpec, Tier};

use crate::{
    args::SimArgs,
    exit::{Exit, Failure},
    output,
    signals::{Cancel, cancelled},
    wiring::reason,
};

/// What a simulator begins with.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Beginning {
    sites: Vec<SiteSpec>,
    lists: Vec<ListSpec>,
}

pub(crate) async fn run(args: &SimArgs, cancel: &Cancel) -> Result<Exit, Failure> {
    let beginning = match &args.world {
        Some(path) => read(path)?,
        None => Beginning::default(),
    };
    let options = Options {
        listen: SocketAddr::new(args.listen, args.port),
        tls: args.tls,
        seed: args.seed,
        clock_scale: args.clock_scale,
        latency: Duration::from_millis(args.latency),
        tier: if args.unlimited { Tier::Unlimited } else { args.tier.into() },
        log_file: args.log_file.clone(),
        ..Options::default()
    };
    let failed = |error: syncline_sim::Error| Failure::failed(chain(&error));
    let server = Server::start(options).await.map_err(failed)?;
    let world = server.world();
    for site in &beginning.sites {
        world.add_site(site).map_err(failed)?;
    }
    for list in &beginning.lists {
        world.add_list(list).map_err(failed)?;
    }
    // Whoever started us waits for this line: the lists are there when it comes.
    output::line(server.url());
    if let Some(pem) = server.ca_pem() {
        output::line(pem.trim_end());
    }
    output::finish()?;
    cancelled(cancel.clone()).await;
    server.stop().await;
    Ok(Exit::Done)
}

fn read(path: &Path) -> Result<Beginning, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{name} cannot be read: {}", reason(&error))))?;
    serde_json::from_str(&text).map_err(|error| Failure::usage(format!("{name}: {error}")))
}

/// The error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
