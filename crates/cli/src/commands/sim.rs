//! `syncline sim`

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use syncline_sim::{ConsentSpec, ListSpec, Options, Server, SiteSpec, Tier, UserSpec, WebinarSpec, World};

use crate::{
    exit::{Exit, Failure},
    output,
    signals::{Cancel, cancelled},
    wiring::reason,
};

/// Serve a simulated SharePoint, for trying things out; runs until Ctrl-C
///
/// The first line printed is its address. Its tenant is contoso.onmicrosoft.com, its application
/// 11111111-2222-4333-8444-555555555502 with the secret "simulated-secret"; what it holds is seen and changed below
/// /_sim/ (see crates/sim/README.md).
#[derive(Debug, Args)]
pub(crate) struct SimArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) listen: IpAddr,

    /// Port; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,

    /// Serve HTTPS; the certificate of its authority is printed after the address
    #[arg(long)]
    pub(crate) tls: bool,

    /// Size of the tenant, which sets its quota
    #[arg(long, value_enum, default_value_t = TierArg::Smallest)]
    pub(crate) tier: TierArg,

    /// No quota at all; the same as --tier unlimited
    #[arg(long, conflicts_with = "tier")]
    pub(crate) unlimited: bool,

    /// Milliseconds added to every answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) latency: u64,

    /// Seed of identifiers and chance
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// Simulated seconds per real second
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    pub(crate) clock_scale: f64,

    /// Append every request to this file, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,

    /// Sites and lists to begin with, as JSON: {"sites": [...], "lists": [...]}
    #[arg(long, value_name = "FILE")]
    pub(crate) world: Option<PathBuf>,
}

/// Size of a simulated tenant, by its licences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TierArg {
    /// No limits
    Unlimited,
    /// Up to 1,000: 1,250 resource units a minute
    Smallest,
    /// Up to 5,000
    Small,
    /// Up to 15,000
    Medium,
    /// Up to 50,000
    Large,
    /// More
    Largest,
}

impl From<TierArg> for Tier {
    fn from(tier: TierArg) -> Self {
        match tier {
            TierArg::Unlimited => Self::Unlimited,
            TierArg::Smallest => Self::Smallest,
            TierArg::Small => Self::Small,
            TierArg::Medium => Self::Medium,
            TierArg::Large => Self::Large,
            TierArg::Largest => Self::Largest,
        }
    }
}

/// What a simulator begins with.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Beginning {
    sites: Vec<SiteSpec>,
    lists: Vec<ListSpec>,
    users: Vec<UserSpec>,
    consents: Vec<ConsentSpec>,
    webinars: Vec<WebinarSpec>,
}

impl Beginning {
    fn put_into(&self, world: &World) -> Result<(), syncline_sim::Error> {
        self.sites.iter().try_for_each(|site| world.add_site(site).map(drop))?;
        self.lists.iter().try_for_each(|list| world.add_list(list).map(drop))?;
        self.users.iter().try_for_each(|user| world.add_user(user))?;
        self.consents.iter().try_for_each(|consent| world.consent(consent))?;
        self.webinars.iter().try_for_each(|webinar| world.add_webinar(webinar).map(drop))
    }
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
    beginning.put_into(server.world()).map_err(failed)?;
    // Whoever started us waits for this line: what it begins with is there when it comes.
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
