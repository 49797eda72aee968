//! Listings and look-ups. Everything is fetched before the first batch is given, so a listing is whole or an error.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use syncline_core::{
    batch::{Batch, BatchBuilder, Positions, RecordOp},
    cursor::Position,
    schema::Field,
    value::Value,
};

use super::{
    Account, all,
    attendance::merge,
    config::Registrations,
    describe,
    fetch::{distinct, text},
    notified, participants,
    rows::Row,
    types::{Session, Webinar},
};
use crate::{
    Error,
    error::Kind,
    source::{Fetch, Params, Read, Reader},
};

/// Records, and why they may not be all.
#[derive(Default)]
struct Gathered {
    rows: Vec<Row>,
    shortfalls: Vec<String>,
}

/// An open listing.
pub(super) struct Listing {
    account: Arc<Account>,
    request: Read,
    fields: Arc<[Field]>,
    state: State,
}

enum State {
    New,
    Giving { rows: std::vec::IntoIter<Row>, shortfall: Option<String> },
    Failed,
}

impl Listing {
    /// # Errors
    /// [`Kind::StreamMissing`]; [`Kind::Definition`] for columns and parameters that do not fit.
    pub(super) fn open(account: Arc<Account>, request: Read) -> Result<Self, Error> {
        let fields = fields(&request.stream, &request.columns)?;
        if request.from.is_some() || request.cursor.is_some() {
            return Err(Error::new(Kind::Definition, "webinars are read whole: there is no cursor column"));
        }
        check_params(&request.stream, &request.params)?;
        Ok(Self { account, request, fields, state: State::New })
    }

    async fn start(&self) -> Result<State, Error> {
        let gathered = gather(&self.account, &self.request.stream, &self.request.params).await;
        let gathered = gathered.map_err(|e| e.context(format_args!("stream {:?}", self.request.stream)))?;
        let unkeyed = gathered
            .rows
            .iter()
            .filter(|row| row.value("person").is_null() && row.problem().is_some())
            .count();
        if unkeyed > 0 {
            tracing::warn!(
                stream = self.request.stream,
                unkeyed,
                "records without anything to tell whose they are"
            );
        }
        let shortfall = (!gathered.shortfalls.is_empty()).then(|| gathered.shortfalls.join("; "));
        Ok(State::Giving { rows: gathered.rows.into_iter(), shortfall })
    }
}

#[async_trait]
impl Reader for Listing {
    async fn next(&mut self) -> Result<Option<Batch>, Error> {
        if matches!(self.state, State::New) {
            // Failed until it is known to be whole.
            self.state = State::Failed;
            self.state = self.start().await?;
        }
        match &mut self.state {
            State::Giving { rows, .. } => {
                batch(rows, &self.fields, self.request.batch_rows, self.request.batch_bytes)
            }
            State::New | State::Failed => Err(Error::new(Kind::Protocol, "the listing failed before")),
        }
    }

    fn resume(&self) -> Option<Position> {
        None
    }

    fn shortfall(&self) -> Option<String> {
        match &self.state {
            State::Giving { shortfall, .. } => shortfall.clone(),
            State::New | State::Failed => None,
        }
    }
}

/// The records with these keys.
///
/// # Errors
/// As the requests; [`Kind::Definition`] for streams whose records are computed from many.
pub(super) async fn fetch(account: &Account, request: &Fetch) -> Result<Batch, Error> {
    let fields = fields(&request.stream, &request.columns)?;
    let keys: Vec<Key> = request.keys.iter().map(|values| key(request, values)).collect::<Result<_, _>>()?;
    let one = async |key: Key| lookup(account, &request.stream, &key).await;
    let rows = all(account.fetcher.config.graph.concurrency, keys, one).await?;
    let mut rows = rows.into_iter().flatten().collect::<Vec<_>>().into_iter();
    let found = batch(&mut rows, &fields, usize::MAX, usize::MAX)?;
    Ok(found.unwrap_or_else(|| BatchBuilder::new(fields).finish(Positions::None)))
}

/// Ids by the columns they are in.
type Key = BTreeMap<String, String>;

fn key(request: &Fetch, values: &[Value<'static>]) -> Result<Key, Error> {
    let pair = |(column, value): (&String, &Value<'static>)| match value {
        Value::Text(id) => Ok((column.clone(), id.clone().into_owned())),
        _ => Err(Error::new(Kind::Definition, format!("a key of {:?} is texts", request.stream))),
    };
    request.key.iter().zip(values).map(pair).collect()
}

async fn lookup(account: &Account, stream: &str, key: &Key) -> Result<Option<Row>, Error> {
    let part = |name: &str| {
        let needs =
            || Error::new(Kind::Definition, format!("fetching from {stream:?} needs the column {name:?}"));
        key.get(name).cloned().ok_or_else(needs)
    };
    let fetcher = &account.fetcher;
    let wanted = |webinar: &Webinar| fetcher.config.unpublished || webinar.is_published();
    match stream {
        "webinars" => {
            let webinar = fetcher.webinar(&part("id")?).await?.filter(wanted);
            Ok(webinar.map(|webinar| Row::Webinar(Box::new(webinar))))
        }
        "sessions" => {
            let (webinar, session) = (part("webinar_id")?, part("session_id")?);
            let Some(of) = fetcher.webinar(&webinar).await?.filter(wanted) else { return Ok(None) };
            let session = fetcher.session(&webinar, &session).await?;
            Ok(session.map(|session| Row::Session { webinar, status: of.status, session }))
        }
        "registrations" => {
            let webinar = part("webinar_id")?;
            let registration = fetcher.registration(&webinar, &part("registration_id")?).await?;
            let registration = registration.map(Box::new);
            Ok(registration.map(|registration| Row::Registration { webinar, registration }))
        }
        _ => Err(Error::new(
            Kind::Definition,
            format!(
                "stream {stream:?} is computed from all reports of a session: its records cannot be fetched by key"
            ),
        )),
    }
}

fn fields(stream: &str, columns: &[String]) -> Result<Arc<[Field]>, Error> {
    let stream = describe::stream(stream)?;
    let field = |column: &String| {
        stream.field(column).cloned().ok_or_else(|| {
            Error::new(Kind::Definition, format!("stream {:?} has no column {column:?}", stream.name))
        })
    };
    columns.iter().map(field).collect()
}

fn check_params(stream: &str, params: &Params) -> Result<(), Error> {
    let known = describe::stream(stream)?.params;
    for (name, required) in &known {
        if *required && params.get(name).is_none_or(String::is_empty) {
            return Err(Error::new(
                Kind::Definition,
                format!("stream {stream:?} needs the parameter {name:?}"),
            ));
        }
    }
    if params.contains_key("session")
        && !params.contains_key("webinar")
        && known.iter().any(|(k, _)| k == "session")
    {
        return Err(Error::new(
            Kind::Definition,
            format!("stream {stream:?}: the parameter \"session\" needs \"webinar\""),
        ));
    }
    Ok(())
}

async fn gather(account: &Account, stream: &str, params: &Params) -> Result<Gathered, Error> {
    let scope = Scope::of(account, params).await?;
    match stream {
        "webinars" => {
            let rows = scope.webinars.into_iter().map(|webinar| Row::Webinar(Box::new(webinar))).collect();
            Ok(Gathered { rows, ..Gathered::default() })
        }
        "sessions" => sessions(account, scope).await,
        "registrations" => registrations(account, scope).await,
        "attendance" => attendance(account, scope).await,
        _ => participants(account, scope).await,
    }
}

/// What a listing is about: webinars, and one session where the parameters name it.
struct Scope {
    webinars: Vec<Webinar>,
    session: Option<Session>,
}

impl Scope {
    async fn of(account: &Account, params: &Params) -> Result<Self, Error> {
        let fetcher = &account.fetcher;
        let Some(id) = params.get("webinar") else {
            return Ok(Self { webinars: fetcher.webinars(account.delegated).await?, session: None });
        };
        let (webinar, session) = futures::try_join!(fetcher.webinar(id), async {
            match params.get("session") {
                Some(session) => fetcher.session(id, session).await.map(|found| Some((session, found))),
                None => Ok(None),
            }
        })?;
        let webinar = webinar.ok_or_else(|| missing("webinar", id))?;
        if !fetcher.config.unpublished && !webinar.is_published() {
            let status = webinar.status.as_deref().unwrap_or("unknown");
            return Err(Error::new(
                Kind::Unpublished,
                format!("webinar {id:?} is not published: its status is {status:?}"),
            )
            .hint("publish it, or set unpublished in the connection"));
        }
        let session = match session {
            None => None,
            Some((id, None)) => return Err(missing("session", id)),
            Some((_, Some(session))) => Some(session),
        };
        Ok(Self { webinars: vec![webinar], session })
    }

    /// The sessions of these webinars, by ids: webinar, its status, session.
    async fn sessions(self, account: &Account) -> Result<Vec<(String, Option<String>, Session)>, Error> {
        if let (Some(session), [webinar]) = (&self.session, &self.webinars[..]) {
            return Ok(vec![(webinar.id.0.clone(), webinar.status.clone(), session.clone())]);
        }
        let one = async |webinar: Webinar| {
            let mut sessions = account.fetcher.sessions(text(&webinar.id)).await?;
            sessions.sort_by(|a, b| a.id.cmp(&b.id));
            sessions.dedup_by(|a, b| a.id == b.id);
            Ok((webinar, sessions))
        };
        let found = all(account.fetcher.config.graph.concurrency, self.webinars, one).await?;
        let of = |(webinar, sessions): (Webinar, Vec<Session>)| {
            sessions.into_iter().map(move |session| (webinar.id.0.clone(), webinar.status.clone(), session))
        };
        Ok(found.into_iter().flat_map(of).collect())
    }
}

fn missing(what: &str, id: &str) -> Error {
    Error::new(Kind::StreamMissing, format!("{what} not found: {id:?}"))
        .hint("check the id; what was deleted is gone")
}

async fn sessions(account: &Account, scope: Scope) -> Result<Gathered, Error> {
    let rows = scope.sessions(account).await?.into_iter();
    let rows = rows.map(|(webinar, status, session)| Row::Session { webinar, status, session }).collect();
    Ok(Gathered { rows, ..Gathered::default() })
}

async fn registrations(account: &Account, scope: Scope) -> Result<Gathered, Error> {
    let one = async |webinar: Webinar| {
        let found = account.fetcher.registrations(text(&webinar.id)).await?;
        Ok((webinar.id.0, distinct(found)))
    };
    let found = all(account.fetcher.config.graph.concurrency, scope.webinars, one).await?;
    let mut gathered = Gathered { shortfalls: notified_only(account), ..Gathered::default() };
    for (webinar, registrations) in found {
        gathered.rows.extend(registrations.into_iter().map(|registration| Row::Registration {
            webinar: webinar.clone(),
            registration: Box::new(registration),
        }));
    }
    Ok(gathered)
}

fn notified_only(account: &Account) -> Vec<String> {
    match account.fetcher.config.registrations {
        Registrations::Notified(_) => vec![notified::SHORTFALL.to_owned()],
        Registrations::Listed | Registrations::Application(_) => Vec::new(),
    }
}

async fn attendance(account: &Account, scope: Scope) -> Result<Gathered, Error> {
    let sessions = scope.sessions(account).await?;
    let one = async |(webinar, _, session): (String, Option<String>, Session)| {
        let found = account.fetcher.attendance(&webinar, text(&session.id)).await?;
        let mut people: Vec<_> =
            merge(found.records).into_iter().map(|attendee| (attendee.person(), attendee)).collect();
        // By key; those without one come last.
        people.sort_by(|(a, _), (b, _)| (a.is_none(), a).cmp(&(b.is_none(), b)));
        Ok((webinar, session.id.0, people, found.shortfall))
    };
    let mut gathered = Gathered::default();
    for (webinar, session, people, shortfall) in
        all(account.fetcher.config.graph.concurrency, sessions, one).await?
    {
        gathered.shortfalls.extend(shortfall);
        gathered.rows.extend(people.into_iter().map(|(person, attendee)| Row::Attendee {
            webinar: webinar.clone(),
            session: session.clone(),
            person,
            attendee: Box::new(attendee),
        }));
    }
    Ok(gathered)
}

async fn participants(account: &Account, scope: Scope) -> Result<Gathered, Error> {
    let (Some(session), [webinar]) = (&scope.session, &scope.webinars[..]) else {
        return Err(Error::new(Kind::Definition, "participants are those of one session"));
    };
    let (webinar, session) = (text(&webinar.id), text(&session.id));
    let (registrations, attended) = futures::try_join!(
        account.fetcher.registrations(webinar),
        account.fetcher.attendance(webinar, session),
    )?;
    let joined = participants::join(registrations, attended.records);
    let mut shortfalls = notified_only(account);
    shortfalls.extend(attended.shortfall);
    Ok(Gathered { rows: joined.into_iter().map(|p| Row::Participant(Box::new(p))).collect(), shortfalls })
}

/// The next rows as a batch.
fn batch(
    rows: &mut std::vec::IntoIter<Row>,
    fields: &Arc<[Field]>,
    most: usize,
    bytes: usize,
) -> Result<Option<Batch>, Error> {
    let mut builder = BatchBuilder::new(Arc::clone(fields));
    while builder.is_empty() || (builder.len() < most && builder.bytes() < bytes) {
        let Some(row) = rows.next() else { break };
        for (column, field) in fields.iter().enumerate() {
            let pushed = builder.push(column, &row.value(&field.name));
            pushed.map_err(|e| Error::new(Kind::Protocol, e.to_string()))?;
        }
        if let Some(why) = row.problem() {
            builder.problem(why);
        }
        builder.end_record(RecordOp::Upsert);
    }
    Ok((!builder.is_empty()).then(|| builder.finish(Positions::None)))
}
