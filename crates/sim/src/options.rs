//! What a simulator is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::people::{ConsentSpec, UserSpec};
use crate::site::{ListSpec, SiteSpec};
use crate::switches::Switches;
use crate::webinars::spec::WebinarSpec;

/// How to start a [`Server`](crate::Server). Every field has a default; unknown fields are refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Serve HTTPS with a certificate of a self-made authority.
    pub tls: bool,
    /// Seed of identifiers and chance.
    pub seed: u64,
    /// Simulated seconds per real second; 0 freezes the clock until it is advanced.
    pub clock_scale: f64,
    /// The simulated instant of the start, in milliseconds since 1970; the machine's time when absent.
    pub start_at_ms: Option<i64>,
    /// Added to every Graph answer, in real time, after the request was applied.
    #[serde(with = "milliseconds", rename = "latency_ms")]
    pub latency: Duration,
    /// Size of the tenant, which sets its limits.
    pub tier: Tier,
    /// Limits on top of the tier's, for example 500 item operations in 10 s per list.
    pub extra_limits: Vec<ExtraLimit>,
    /// The rules no documentation settles.
    pub switches: Switches,
    /// Append-only request log as JSON lines.
    pub log_file: Option<PathBuf>,
    /// How many log entries are kept in memory.
    pub log_capacity: usize,
    /// Domain name of the tenant. Its GUID is made from the seed.
    pub tenant: String,
    /// Host name of the tenant's SharePoint.
    pub sharepoint_host: String,
    /// Client id of the first application.
    pub client_id: String,
    /// Secret of the first application.
    pub client_secret: String,
    /// Certificates (PEM) of the first application.
    pub certificates: Vec<String>,
    /// Application roles of the first application.
    pub roles: Vec<String>,
    /// Further applications of the tenant.
    pub apps: Vec<AppOptions>,
    /// Sites to create at the start, besides the root and `/sites/projects`.
    pub sites: Vec<SiteSpec>,
    /// Lists to create at the start.
    pub lists: Vec<ListSpec>,
    /// Users to know at the start.
    pub users: Vec<UserSpec>,
    /// What is consented to at the start.
    pub consents: Vec<ConsentSpec>,
    /// Webinars to create at the start.
    pub webinars: Vec<WebinarSpec>,
    /// Life of an access token in the caller's seconds.
    pub token_expires_in: u32,
    /// Most connections at a time; more wait.
    pub max_connections: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: false,
            seed: 1,
            clock_scale: 1.0,
            start_at_ms: None,
            latency: Duration::ZERO,
            tier: Tier::Unlimited,
            extra_limits: Vec::new(),
            switches: Switches::default(),
            log_file: None,
            log_capacity: 100_000,
            tenant: "contoso.onmicrosoft.com".into(),
            sharepoint_host: "contoso.sharepoint.com".into(),
            client_id: "11111111-2222-4333-8444-555555555502".into(),
            client_secret: "simulated-secret".into(),
            certificates: Vec::new(),
            roles: vec!["Sites.Manage.All".into(), "Sites.ReadWrite.All".into()],
            apps: Vec::new(),
            sites: Vec::new(),
            lists: Vec::new(),
            users: Vec::new(),
            consents: Vec::new(),
            webinars: Vec::new(),
            token_expires_in: 3_599,
            max_connections: 1_024,
        }
    }
}

/// An application registered in the tenant.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "snake_case")]
pub struct AppOptions {
    /// The application's id.
    pub client_id: String,
    /// Shown as the author of what it writes.
    pub display_name: String,
    /// Its secrets; any of them works.
    pub secrets: Vec<String>,
    /// Its public certificates in PEM.
    pub certificates: Vec<String>,
    /// `Sites.Read.All`, `Sites.ReadWrite.All`, `Sites.Manage.All`, `Sites.FullControl.All` or `Sites.Selected`, and
    /// those of virtual events (facts §4.1), such as `VirtualEvent.Read.All`.
    pub roles: Vec<String>,
    /// Grants that `Sites.Selected` looks at.
    pub grants: Vec<SiteGrant>,
}

/// What an administrator granted an application on one site (facts §2.2 \[M\]).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct SiteGrant {
    /// Server-relative path of the site, such as `/sites/projects`.
    pub site: String,
    /// `read`, `write`, `manage` or `fullcontrol`.
    pub role: String,
}

/// Licences of the tenant, which set its resource-unit limits (facts §3.2 \[D\]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// No limits; units are still counted.
    Unlimited,
    /// 0 to 1,000 licences.
    Smallest,
    /// 1,001 to 5,000.
    Small,
    /// 5,001 to 15,000.
    Medium,
    /// 15,001 to 50,000.
    Large,
    /// More than 50,000.
    Largest,
}

impl Tier {
    /// Units per app and minute, per app and day, per tenant and five minutes; `None` without limits.
    pub fn limits(self) -> Option<[u64; 3]> {
        let step = match self {
            Self::Unlimited => return None,
            Self::Smallest => 1,
            Self::Small => 2,
            Self::Medium => 3,
            Self::Large => 4,
            Self::Largest => 5,
        };
        Some([1_250 * step, 1_200_000 * step, 18_750 * step])
    }
}

/// A limit the user sets, in item operations (facts §3.5: often quoted, none documented).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct ExtraLimit {
    /// Operations allowed per window.
    pub operations: u64,
    /// Length of the window in simulated seconds.
    pub window_s: u64,
    /// What is counted together.
    pub per: LimitScope,
}

/// What an [`ExtraLimit`] counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    /// Operations on items of one list.
    List,
    /// All operations of one application.
    App,
}

mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
