//! The simulated tenant as tests, demos and the control API see it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::access::App;
use crate::clock::Clock;
use crate::error::Error;
use crate::faults::FaultRule;
use crate::json_out::JsonOut;
use crate::options::{AppOptions, Options, Tier};
use crate::query::FieldsShape;
use crate::request_log::{Counters, LogEntry};
use crate::show;
use crate::site::{ListSpec, Site, SiteSpec};
use crate::state::State;
use crate::switches::Switches;

/// An item as it is stored, for comparing with what a client believes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemDump {
    /// Item id.
    pub id: u64,
    /// `"guid,version"` with its quotes.
    pub e_tag: String,
    /// Rises by one with each update.
    pub version: u32,
    /// Whether the last writer was an application, and which.
    pub app: Option<String>,
    /// All values, hidden columns too; empty columns are absent.
    pub fields: Map<String, Value>,
}

/// A list as the control API reports it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListSummary {
    /// Guid.
    pub id: String,
    /// Title.
    pub display_name: String,
    /// Id of the site.
    pub site_id: String,
    /// Path of the site.
    pub site_path: String,
    /// Number of items.
    pub items: usize,
    /// Items in the recycle bin.
    pub recycled: usize,
    /// Internal names of the columns.
    pub columns: Vec<String>,
}

/// A rule in force and how often it has hit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultReport {
    /// For removing it.
    pub id: u64,
    /// How often it has hit.
    pub hits: u64,
    /// The rule.
    pub rule: FaultRule,
}

/// A handle on the simulated tenant. Clones are the same tenant.
#[derive(Debug, Clone)]
pub struct World {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<Clock>,
    latency: Mutex<Duration>,
    state: Mutex<State>,
}

impl World {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let clock = Arc::new(Clock::new(options.start_at_ms, options.clock_scale));
        let state = Mutex::new(State::new(options, clock.clone())?);
        let world = Self { shared: Arc::new(Shared { clock, latency: Mutex::new(options.latency), state }) };
        for site in &options.sites {
            world.add_site(site)?;
        }
        for list in &options.lists {
            world.add_list(list)?;
        }
        options.users.iter().try_for_each(|user| world.add_user(user))?;
        options.consents.iter().try_for_each(|consent| world.consent(consent))?;
        for webinar in &options.webinars {
            world.add_webinar(webinar)?;
        }
        Ok(world)
    }

    /// The state, with everything applied that is due. A panic elsewhere leaves plain data, so a poisoned lock is
    /// still good.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle();
        state
    }

    pub(crate) fn latency(&self) -> Duration {
        *self.shared.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Scheme and address of the server; empty before it listens.
    pub(crate) fn base(&self) -> String {
        self.lock().base.clone()
    }

    pub(crate) fn set_base(&self, base: String) {
        self.lock().base = base;
    }

    /// Sets what is added to every Graph answer from now on, in real time.
    pub fn set_latency(&self, latency: Duration) {
        *self.shared.latency.lock().unwrap_or_else(PoisonError::into_inner) = latency;
    }

    /// Simulated milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.shared.clock.now_ms()
    }

    /// Moves the simulated clock forward and applies what became due.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
        drop(self.lock());
    }

    /// Guid of the tenant.
    pub fn tenant_id(&self) -> String {
        self.lock().tenant_id.to_string()
    }

    /// Creates a site and returns its id.
    ///
    /// # Errors
    /// When a site with that path exists.
    pub fn add_site(&self, spec: &SiteSpec) -> Result<String, Error> {
        let mut state = self.lock();
        let now_ms = state.clock.now_ms();
        let host = state.host.clone();
        let site = Site::new(&host, spec, now_ms, &mut state.chance);
        if state.sites.iter().any(|other| other.path.eq_ignore_ascii_case(&site.path)) {
            return Err(Error::Refused {
                status: 409,
                code: "nameAlreadyExists".into(),
                message: format!("a site with the path '{}' exists", site.path),
            });
        }
        let id = site.id.clone();
        state.sites.push(site);
        Ok(id)
    }

    /// Creates a list with its columns and returns its id.
    ///
    /// # Errors
    /// When the site is unknown, the title is taken or a column definition is wrong.
    pub fn add_list(&self, spec: &ListSpec) -> Result<String, Error> {
        let mut state = self.lock();
        let site = state.any_site(spec.site.as_deref())?;
        let now_ms = state.clock.now_ms();
        let State { sites, chance, rules, .. } = &mut *state;
        let list = sites[site].create_list(spec, now_ms, chance, rules)?;
        Ok(sites[site].lists[list].id.to_string())
    }

    /// Removes a list, as its owner might.
    ///
    /// # Errors
    /// When there is no such list.
    pub fn remove_list(&self, list: &str) -> Result<(), Error> {
        let mut state = self.lock();
        let (site, list) = state.any_list(list)?;
        state.sites[site].lists.remove(list);
        Ok(())
    }

    /// Renames a list, as its owner might.
    ///
    /// # Errors
    /// When there is no such list.
    pub fn rename_list(&self, list: &str, title: &str) -> Result<(), Error> {
        let mut state = self.lock();
        let at = state.any_list(list)?;
        let list = state.list_mut(at);
        title.clone_into(&mut list.display_name);
        list.touch_schema();
        Ok(())
    }

    /// Adds a column in Graph `columnDefinition` JSON and returns its internal name.
    ///
    /// # Errors
    /// When the list is unknown or the definition is wrong.
    pub fn add_column(&self, list: &str, definition: &Map<String, Value>) -> Result<String, Error> {
        let mut state = self.lock();
        let at = state.any_list(list)?;
        let State { sites, chance, rules, .. } = &mut *state;
        let column = crate::column::Column::parse(definition, chance)?;
        let list = &mut sites[at.0].lists[at.1];
        let number = list.add_column(column, rules)?;
        Ok(list.column(number).map_or_else(String::new, |column| column.name.clone()))
    }

    /// Removes a column and its values.
    ///
    /// # Errors
    /// When the list or column is unknown, or the column is built in.
    pub fn remove_column(&self, list: &str, column: &str) -> Result<(), Error> {
        let mut state = self.lock();
        let at = state.any_list(list)?;
        let list = state.list_mut(at);
        let number = list.find_column(column).ok_or(Error::Refused {
            status: 404,
            code: "itemNotFound".into(),
            message: format!("no column '{column}'"),
        })?;
        Ok(list.remove_column(number)?)
    }

    /// All lists of all sites.
    pub fn lists(&self) -> Vec<ListSummary> {
        let state = self.lock();
        let all = state.sites.iter().flat_map(|site| site.lists.iter().map(move |list| (site, list)));
        all.map(|(site, list)| ListSummary {
            id: list.id.to_string(),
            display_name: list.display_name.clone(),
            site_id: site.id.clone(),
            site_path: site.path.clone(),
            items: list.items.len(),
            recycled: list.recycled.len(),
            columns: list.columns().map(|column| column.name.clone()).collect(),
        })
        .collect()
    }

    /// Number of items in a list, by id or title.
    ///
    /// # Errors
    /// When there is no such list.
    pub fn item_count(&self, list: &str) -> Result<usize, Error> {
        let mut state = self.lock();
        let at = state.any_list(list)?;
        Ok(state.list_mut(at).items.len())
    }

    /// All items of a list, by id or title.
    ///
    /// # Errors
    /// When there is no such list.
    pub fn items(&self, list: &str) -> Result<Vec<ItemDump>, Error> {
        self.items_after(list, 0, usize::MAX)
    }

    /// At most `limit` items of a list with an id above `after`.
    ///
    /// # Errors
    /// When there is no such list.
    pub fn items_after(&self, list: &str, after: u64, limit: usize) -> Result<Vec<ItemDump>, Error> {
        let mut state = self.lock();
        let at = state.any_list(list)?;
        let list = &state.sites[at.0].lists[at.1];
        let names: Vec<String> = list
            .columns()
            .filter(|column| !column.read_only)
            .flat_map(|column| [column.name.clone(), format!("{}LookupId", column.name)])
            .collect();
        let shape = FieldsShape::Named(names);
        let dumps = list.items.range(after.saturating_add(1)..).take(limit).map(|(id, item)| {
            let mut out = JsonOut::with_capacity(512);
            show::fields(&mut out, list, item, &shape, None);
            let mut fields: Map<String, Value> =
                serde_json::from_slice(&out.into_bytes()).unwrap_or_default();
            fields.remove("@odata.etag");
            ItemDump {
                id: *id,
                e_tag: item.etag(),
                version: item.version,
                app: item.editor.app.as_ref().map(|(id, _)| id.clone()),
                fields,
            }
        });
        Ok(dumps.collect())
    }

    /// Another user creates an item; returns its id.
    ///
    /// # Errors
    /// When the list is unknown or the fields are refused.
    pub fn create_item(&self, list: &str, fields: &Map<String, Value>) -> Result<u64, Error> {
        let mut state = self.lock();
        let at = state.any_list(list)?;
        Ok(state.colleague_creates(at, fields)?)
    }

    /// Another user edits an item.
    ///
    /// # Errors
    /// When list or item is unknown or the fields are refused.
    pub fn edit_item(&self, list: &str, id: u64, fields: &Map<String, Value>) -> Result<(), Error> {
        let mut state = self.lock();
        let at = state.any_list(list)?;
        Ok(state.colleague_edits(at, id, fields)?)
    }

    /// Another user deletes an item.
    ///
    /// # Errors
    /// When list or item is unknown.
    pub fn delete_item(&self, list: &str, id: u64) -> Result<(), Error> {
        let mut state = self.lock();
        let at = state.any_list(list)?;
        Ok(state.colleague_deletes(at, id)?)
    }

    /// Another user copies an item; returns the copy's id.
    ///
    /// # Errors
    /// When list or item is unknown, or a unique column refuses the copy.
    pub fn duplicate_item(&self, list: &str, id: u64) -> Result<u64, Error> {
        let mut state = self.lock();
        let at = state.any_list(list)?;
        Ok(state.colleague_duplicates(at, id)?)
    }

    /// Adds a fault rule and returns its id.
    ///
    /// # Errors
    /// When there are too many rules.
    pub fn add_fault(&self, rule: FaultRule) -> Result<u64, Error> {
        self.lock().faults.add(rule).ok_or(Error::TooMany { what: "fault rules" })
    }

    /// Removes one fault rule, or all.
    pub fn clear_faults(&self, id: Option<u64>) {
        self.lock().faults.remove(id);
    }

    /// The rules in force.
    pub fn faults(&self) -> Vec<FaultReport> {
        let report = self.lock().faults.report();
        report.into_iter().map(|(id, rule, hits)| FaultReport { id, hits, rule }).collect()
    }

    /// Operations that wait for their late apply.
    pub fn pending_late_applies(&self) -> usize {
        self.lock().deferred_len()
    }

    /// Makes all access and refresh tokens stop working.
    pub fn expire_tokens(&self) {
        let mut state = self.lock();
        state.revoke_tokens(None);
        state.refresh_tokens.clear();
    }

    /// Makes all delta tokens stop working: they are answered with 410.
    pub fn expire_delta_tokens(&self) {
        self.lock().delta_generation += 1;
    }

    /// Changes the size of the tenant and forgets what was used.
    pub fn set_tier(&self, tier: Tier) {
        self.lock().throttle.set_tier(tier);
    }

    /// The rules in force.
    pub fn switches(&self) -> Switches {
        self.lock().rules.clone()
    }

    /// Replaces the rules.
    pub fn set_switches(&self, switches: Switches) {
        let mut state = self.lock();
        state.rules = switches;
        let State { webinars, rules, .. } = &mut *state;
        webinars.rewrite(rules);
    }

    /// Registers an application, or replaces the one with the same id.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub fn set_app(&self, options: &AppOptions) -> Result<(), Error> {
        let app = App::new(options)?;
        let mut state = self.lock();
        let known = state.apps.iter().position(|known| known.client_id.eq_ignore_ascii_case(&app.client_id));
        match known {
            Some(at) => state.apps[at] = app,
            None => state.apps.push(app),
        }
        Ok(())
    }

    /// At most `limit` log entries after `seq`. Entries beyond the log's capacity are gone; totals are not.
    pub fn log(&self, seq: u64, limit: usize) -> Vec<LogEntry> {
        self.lock().log.since(seq, limit)
    }

    /// Number of the last log entry.
    pub fn last_seq(&self) -> u64 {
        self.lock().log.last_seq()
    }

    /// Totals since the start.
    pub fn counters(&self) -> Counters {
        let mut state = self.lock();
        let now_ms = state.clock.now_ms();
        let State { throttle, log, apps, .. } = &mut *state;
        let first = apps.first().map_or("", |app| app.client_id.as_str());
        let (ru_last_minute, ru_last_day) = throttle.usage(first, now_ms);
        Counters {
            ru_by_minute: throttle.by_minute.clone(),
            ru_limit_per_minute: throttle.tier().limits().map(|limits| limits[0]),
            ru_last_minute,
            ru_last_day,
            now_ms,
            ..log.totals.clone()
        }
    }
}
