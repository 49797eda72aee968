//! The requests: each gets all pages of what it asks for, or fails (facts §4.4).

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{
    attendance::Seen,
    config::{Config, Registrations},
    doing,
    types::{Attendance, Id, Page, Registration, Report, Session, Webinar, single},
};
use crate::{
    Error,
    error::Kind,
    graph::{
        client::{Address, Answer, Call, Client, nonsense, segment},
        errors::Doing,
        paging::{self, Trail},
    },
};

/// Every request counts as one; no costs are published (facts §3.4).
const COST: u64 = 1;

/// Most pages of one listing; they may be empty and still go on (facts §1.5).
const PAGES_MAX: usize = 10_000;

/// Most elements of one listing, and most attendance records of one session: all of them are in memory at once.
const RECORDS_MAX: usize = 100_000;

/// The service shows at most this many reports of a session (facts §4.5).
const REPORTS_MAX: usize = 50;

const ROOT: &str = "/solutions/virtualEvents/webinars";

/// All attendance of a session.
#[derive(Default)]
pub(super) struct Attended {
    pub(super) records: Vec<Seen>,
    /// Why it may not be all.
    pub(super) shortfall: Option<String>,
}

/// What the requests are made with.
pub(super) struct Fetcher {
    pub(super) config: Config,
    pub(super) client: Arc<Client>,
    /// Lists registrations; another one than `client` where only an application may.
    pub(super) registrar: Arc<Client>,
}

impl Fetcher {
    /// The webinars of the user, of the users that were named, or of the tenant; each once, by id.
    pub(super) async fn webinars(&self, delegated: bool) -> Result<Vec<Webinar>, Error> {
        let mut paths = Vec::new();
        for role in &self.config.roles {
            if delegated {
                paths.push(format!("{ROOT}/getByUserRole(role='{role}')"));
            }
            for user in &self.config.users {
                let user = segment(&user.replace('\'', "''")).to_string();
                paths.push(format!("{ROOT}/getByUserIdAndRole(userId='{user}',role='{role}')"));
            }
        }
        if paths.is_empty() {
            paths.push(ROOT.to_owned());
        }
        let mut webinars: Vec<Webinar> = Vec::new();
        for path in paths {
            let page = self.pages(&self.client, &path, doing::EVENTS).await;
            webinars.extend(page.map_err(|e| e.context("webinars"))?);
        }
        webinars.retain(|webinar| self.config.unpublished || webinar.is_published());
        webinars.sort_by(|a, b| a.id.cmp(&b.id));
        webinars.dedup_by(|a, b| a.id == b.id);
        Ok(webinars)
    }

    /// A webinar, if it is there.
    pub(super) async fn webinar(&self, id: &str) -> Result<Option<Webinar>, Error> {
        let found = self.one(&webinar_path(id), doing::EVENT).await;
        found.map_err(|e| e.context("webinar"))
    }

    /// A session of a webinar, if it is there.
    pub(super) async fn session(&self, webinar: &str, id: &str) -> Result<Option<Session>, Error> {
        let path = format!("{}/sessions/{}", webinar_path(webinar), segment(id));
        self.one(&path, doing::EVENT).await.map_err(|e| e.context("session"))
    }

    /// The sessions of a webinar.
    pub(super) async fn sessions(&self, webinar: &str) -> Result<Vec<Session>, Error> {
        let path = format!("{}/sessions", webinar_path(webinar));
        self.pages(&self.client, &path, doing::EVENTS).await.map_err(|e| e.context("sessions"))
    }

    /// A registration, if it is there.
    pub(super) async fn registration(&self, webinar: &str, id: &str) -> Result<Option<Registration>, Error> {
        let path = format!("{}/registrations/{}", webinar_path(webinar), segment(id));
        self.one(&path, doing::REGISTRATION).await.map_err(|e| e.context("registration"))
    }

    /// All registrations of a webinar, cancelled ones among them; or those known from notifications.
    pub(super) async fn registrations(&self, webinar: &str) -> Result<Vec<Registration>, Error> {
        if let Registrations::Notified(file) = &self.config.registrations {
            let ids = super::notified::read(file, webinar)?;
            let one = async |id: String| self.registration(webinar, &id).await;
            return Ok(super::all(self.config.graph.concurrency, ids, one)
                .await?
                .into_iter()
                .flatten()
                .collect());
        }
        let path = format!("{}/registrations", webinar_path(webinar));
        let listed = self.pages(&self.registrar, &path, doing::REGISTRATIONS).await;
        listed.map_err(|e| e.context("registrations"))
    }

    /// What all reports of a session say. None before it has run: the service answers 404 then (facts §4.5).
    pub(super) async fn attendance(&self, webinar: &str, session: &str) -> Result<Attended, Error> {
        let path = format!("{}/sessions/{}/attendanceReports", webinar_path(webinar), segment(session));
        let reports: Vec<Report> = match self.pages(&self.client, &path, doing::ATTENDANCE).await {
            Ok(reports) => reports,
            Err(error) if error.kind == Kind::StreamMissing => return Ok(Attended::default()),
            Err(error) => return Err(error.context("attendance reports")),
        };
        let shortfall = (reports.len() >= REPORTS_MAX).then(|| {
            format!(
                "session {session} has {} attendance reports, the most that are shown: there may be more",
                reports.len()
            )
        });
        let one = async |report: Report| -> Result<Vec<Attendance>, Error> {
            let path = format!("{path}/{}/attendanceRecords", segment(&report.id.0));
            self.pages(&self.client, &path, doing::ATTENDANCE)
                .await
                .map_err(|e| e.context("attendance records"))
        };
        let found = super::all(self.config.graph.concurrency, reports, one).await?;
        let records: Vec<Seen> = found
            .into_iter()
            .enumerate()
            .flat_map(|(report, records)| records.into_iter().map(move |record| (report, record)))
            .collect();
        if records.len() > RECORDS_MAX {
            return Err(too_many("attendance records of one session"));
        }
        Ok(Attended { records, shortfall })
    }

    /// One entity; `None` when there is none of this id.
    async fn one<T: DeserializeOwned>(&self, path: &str, doing: Doing) -> Result<Option<T>, Error> {
        let answer = paging::fetch(&self.client, Call::get(Address::Path(path), COST), doing).await?;
        match answer.status {
            200 => single(&answer.body).map(Some).map_err(|e| nonsense(&answer.request, &e)),
            404 => Ok(None),
            _ => Err(answer.refusal(doing)),
        }
    }

    /// All pages of a collection.
    async fn pages<T: DeserializeOwned>(
        &self,
        client: &Client,
        first: &str,
        doing: Doing,
    ) -> Result<Vec<T>, Error> {
        let mut trail = Trail::of(PAGES_MAX);
        let mut all = Vec::new();
        let mut page: Page<T> = read_page(&self.fetch(client, Address::Path(first), doing).await?)?;
        loop {
            all.append(&mut page.value);
            if all.len() > RECORDS_MAX {
                return Err(too_many("elements in one listing"));
            }
            let Some(next) = page.next else { return Ok(all) };
            trail.follow(&next)?;
            page = read_page(&self.fetch(client, Address::Link(&next), doing).await?)?;
        }
    }

    async fn fetch(&self, client: &Client, address: Address<'_>, doing: Doing) -> Result<Answer, Error> {
        let answer = paging::fetch(client, Call::get(address, COST), doing).await?;
        match (answer.status, address) {
            (200, _) => Ok(answer),
            // Only the collection itself can be missing: a page that is lost is no end.
            (404 | 410, Address::Link(_)) => Err(Error { kind: Kind::Protocol, ..answer.refusal(doing) }
                .hint("a page of the listing was lost")),
            _ => Err(answer.refusal(doing)),
        }
    }
}

fn read_page<T: DeserializeOwned>(answer: &Answer) -> Result<Page<T>, Error> {
    serde_json::from_slice(&answer.body).map_err(|e| nonsense(&answer.request, &e))
}

fn webinar_path(id: &str) -> String {
    format!("{ROOT}/{}", segment(id))
}

fn too_many(what: &str) -> Error {
    Error::new(Kind::Definition, format!("more than {RECORDS_MAX} {what}, which is more than is read"))
}

/// Registrations by their ids, each once: pages may show one twice when they shift.
pub(super) fn distinct(mut registrations: Vec<Registration>) -> Vec<Registration> {
    registrations.sort_by(|a, b| a.id.cmp(&b.id));
    registrations.dedup_by(|a, b| a.id == b.id);
    registrations
}

/// The text of an id.
pub(super) fn text(id: &Id) -> &str {
    &id.0
}
