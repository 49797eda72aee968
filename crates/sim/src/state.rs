//! Everything the simulated tenant holds, behind one lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::access::{App, Token};
use crate::answer::Refusal;
use crate::batch::Batch;
use crate::chance::Chance;
use crate::clock::Clock;
use crate::error::Error;
use crate::faults::Faults;
use crate::graph::{self, Call};
use crate::item::Actor;
use crate::list::{List, WriteContext};
use crate::options::{AppOptions, Options};
use crate::people::People;
use crate::request_log::RequestLog;
use crate::route::{ListRef, SiteRef};
use crate::signing::SigningKeys;
use crate::site::{Site, SiteSpec};
use crate::switches::Switches;
use crate::throttle::{Throttle, Window};
use crate::token::RefreshToken;
use crate::webinars::Webinars;

/// Operations that wait for a late apply.
const DEFERRED_MAX: usize = 100_000;

/// An operation whose answer was lost and that is applied later.
#[derive(Debug)]
pub(crate) enum Deferred {
    Call(Box<Call>),
    Batch(Box<Batch>),
}

/// The simulated tenant.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) clock: Arc<Clock>,
    pub(crate) rules: Switches,
    pub(crate) chance: Chance,
    pub(crate) tenant: String,
    pub(crate) tenant_id: Uuid,
    pub(crate) host: String,
    /// Scheme and address the server listens on, without a slash at the end.
    pub(crate) base: String,
    pub(crate) token_expires_in: u32,
    pub(crate) apps: Vec<App>,
    pub(crate) tokens: HashMap<String, Token>,
    pub(crate) refresh_tokens: HashMap<String, RefreshToken>,
    pub(crate) people: People,
    pub(crate) webinars: Webinars,
    /// Calls on virtual events by application and user; the user is empty for all of them together.
    pub(crate) event_windows: HashMap<(String, String), Window>,
    pub(crate) keys: SigningKeys,
    /// On-behalf-of requests by user.
    pub(crate) delegations: HashMap<String, Window>,
    /// Identical token requests.
    pub(crate) token_loops: HashMap<String, Window>,
    pub(crate) sites: Vec<Site>,
    pub(crate) throttle: Throttle,
    pub(crate) faults: Faults,
    pub(crate) log: RequestLog,
    /// Raised to expire all delta tokens.
    pub(crate) delta_generation: u64,
    deferred: BTreeMap<(i64, u64), Deferred>,
    deferred_count: u64,
    colleague: Arc<Actor>,
}

impl State {
    pub(crate) fn new(options: &Options, clock: Arc<Clock>) -> Result<Self, Error> {
        let mut chance = Chance::new(options.seed);
        let now_ms = clock.now_ms();
        let first = AppOptions {
            client_id: options.client_id.clone(),
            display_name: "Our sync app".into(),
            secrets: vec![options.client_secret.clone()],
            certificates: options.certificates.clone(),
            roles: options.roles.clone(),
            grants: Vec::new(),
        };
        let apps =
            std::iter::once(&first).chain(&options.apps).map(App::new).collect::<Result<Vec<_>, _>>()?;
        let tenant_id = chance.guid();
        let root = SiteSpec { display_name: "Contoso".into(), ..SiteSpec::default() };
        let projects = SiteSpec {
            path: "/sites/projects".into(),
            display_name: "Projects".into(),
            ..SiteSpec::default()
        };
        let host = &options.sharepoint_host;
        let sites = [root, projects].map(|spec| Site::new(host, &spec, now_ms, &mut chance)).into();
        let log = RequestLog::new(options.log_capacity, options.log_file.as_deref())
            .map_err(|source| Error::LogFile { source })?;
        Ok(Self {
            clock,
            rules: options.switches.clone(),
            chance,
            tenant: options.tenant.clone(),
            tenant_id,
            host: options.sharepoint_host.clone(),
            base: String::new(),
            token_expires_in: options.token_expires_in,
            apps,
            tokens: HashMap::new(),
            refresh_tokens: HashMap::new(),
            people: People::default(),
            webinars: Webinars::default(),
            event_windows: HashMap::new(),
            keys: SigningKeys::new(tenant_id),
            delegations: HashMap::new(),
            token_loops: HashMap::new(),
            sites,
            throttle: Throttle::new(options.tier, options.extra_limits.clone()),
            faults: Faults::default(),
            log,
            delta_generation: 0,
            deferred: BTreeMap::new(),
            deferred_count: 0,
            colleague: Arc::new(Actor::colleague()),
        })
    }

    pub(crate) fn find_site(&self, site: &SiteRef) -> Result<usize, Refusal> {
        let found = self.sites.iter().position(|s| match site {
            SiteRef::Root => s.path.is_empty(),
            SiteRef::Id(id) => {
                s.id.eq_ignore_ascii_case(id) || (s.path.is_empty() && s.host.eq_ignore_ascii_case(id))
            }
            SiteRef::Path(host, path) => {
                let path = path.trim_end_matches('/');
                s.host.eq_ignore_ascii_case(host) && s.path.eq_ignore_ascii_case(path)
            }
            SiteRef::Group(group) => s.group_id.as_ref().is_some_and(|id| id.eq_ignore_ascii_case(group)),
        });
        found.ok_or_else(|| Refusal::not_found("Requested site could not be found"))
    }

    pub(crate) fn find_list(&self, list: &ListRef) -> Result<(usize, usize), Refusal> {
        let site = self.find_site(&list.site)?;
        let found = self.sites[site].find_list(&list.list, self.rules.list_by_title);
        let found = found.ok_or_else(|| Refusal::not_found("The specified list was not found"))?;
        Ok((site, found))
    }

    /// A list of any site by id or title, for the control side.
    pub(crate) fn any_list(&mut self, key: &str) -> Result<(usize, usize), Error> {
        let found = self
            .sites
            .iter()
            .enumerate()
            .find_map(|(site, s)| s.find_list(key, true).map(|list| (site, list)));
        found.ok_or_else(|| Error::UnknownList { list: key.to_owned() })
    }

    pub(crate) fn list_mut(&mut self, at: (usize, usize)) -> &mut List {
        &mut self.sites[at.0].lists[at.1]
    }

    /// A site of any tenant host by path or id, for the control side; `/sites/projects` when absent.
    pub(crate) fn any_site(&self, key: Option<&str>) -> Result<usize, Error> {
        let key = key.unwrap_or("/sites/projects");
        let path = key.trim_end_matches('/');
        let found = self
            .sites
            .iter()
            .position(|s| s.path.eq_ignore_ascii_case(path) || s.id.eq_ignore_ascii_case(key));
        found.ok_or_else(|| Error::UnknownSite { site: key.to_owned() })
    }

    /// Schedules a late apply. Returns false when too many wait already.
    pub(crate) fn defer(&mut self, delay_ms: u64, what: Deferred) -> bool {
        if self.deferred.len() >= DEFERRED_MAX {
            return false;
        }
        let due = self.clock.now_ms().saturating_add(i64::try_from(delay_ms).unwrap_or(i64::MAX / 4));
        self.deferred_count += 1;
        self.deferred.insert((due, self.deferred_count), what);
        true
    }

    /// Applies what is due by now. Called before anything looks at the world.
    pub(crate) fn settle(&mut self) {
        let now = self.clock.now_ms();
        while let Some(entry) = self.deferred.first_entry() {
            if entry.key().0 > now {
                break;
            }
            match entry.remove() {
                Deferred::Call(call) => graph::apply_late(self, &call),
                Deferred::Batch(batch) => batch.apply_late(self),
            }
        }
    }

    pub(crate) fn deferred_len(&self) -> usize {
        self.deferred.len()
    }

    /// A write by another user, outside Graph: no token, no charge, no fault.
    pub(crate) fn colleague_creates(
        &mut self,
        at: (usize, usize),
        fields: &Map<String, Value>,
    ) -> Result<u64, Refusal> {
        let who = self.colleague.clone();
        let now_ms = self.clock.now_ms();
        let Self { sites, rules, chance, .. } = self;
        let list = &mut sites[at.0].lists[at.1];
        let written = list.parse_fields(fields, rules)?;
        list.create(written, &WriteContext { who: &who, now_ms, rules }, chance)
    }

    pub(crate) fn colleague_edits(
        &mut self,
        at: (usize, usize),
        id: u64,
        fields: &Map<String, Value>,
    ) -> Result<(), Refusal> {
        let who = self.colleague.clone();
        let now_ms = self.clock.now_ms();
        let Self { sites, rules, .. } = self;
        let list = &mut sites[at.0].lists[at.1];
        let written = list.parse_fields(fields, rules)?;
        list.update(id, written, None, &WriteContext { who: &who, now_ms, rules })
    }

    pub(crate) fn colleague_deletes(&mut self, at: (usize, usize), id: u64) -> Result<(), Refusal> {
        let who = self.colleague.clone();
        let now_ms = self.clock.now_ms();
        let Self { sites, rules, .. } = self;
        let list = &mut sites[at.0].lists[at.1];
        list.delete(id, None, &WriteContext { who: &who, now_ms, rules })
    }

    /// Copies an item with its values; a unique column refuses the copy.
    pub(crate) fn colleague_duplicates(&mut self, at: (usize, usize), id: u64) -> Result<u64, Refusal> {
        let who = self.colleague.clone();
        let now_ms = self.clock.now_ms();
        let Self { sites, rules, chance, .. } = self;
        let list = &mut sites[at.0].lists[at.1];
        let values = list.item(id)?.values.clone();
        let written = values.into_iter().map(|(column, value)| (column, Some(value))).collect();
        list.create(written, &WriteContext { who: &who, now_ms, rules }, chance)
    }
}
