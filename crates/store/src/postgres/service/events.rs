//! Events. Who appends waits until the one before has committed, so numbers rise in the order in which events become
//! visible.

use tokio_postgres::Row;

use super::{
    codec,
    connection::Work,
    fault::Fault,
    filter::{self, Filter},
    words,
};
use crate::service::{Event, EventFilter, EventSearch, NewEvent, go_on, searched};

pub(super) async fn append(work: &Work<'_>, events: &[NewEvent]) -> Result<u64, Fault> {
    words::alone(work, "events").await?;
    let times = events.iter().map(|event| codec::time(event.at)).collect::<Result<Vec<_>, _>>()?;
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    let subject =
        |event: &NewEvent| event.subject.clone().map(|subject| (subject.kind.as_str(), subject.name));
    let (subject_kinds, subjects): (Vec<_>, Vec<_>) =
        events.iter().map(|event| subject(event).unzip()).unzip();
    let runs = events.iter().map(|event| words::number_or_null(event.run)).collect::<Result<Vec<_>, _>>()?;
    let correlations: Vec<Option<&str>> = events.iter().map(|event| event.correlation.as_deref()).collect();
    let messages: Vec<_> = events.iter().map(|event| codec::text(&event.message)).collect();
    let data = events.iter().map(|event| codec::json(&event.data)).collect::<Result<Vec<_>, _>>()?;
    work.execute(
        "INSERT INTO event (tenant, at, kind, subject_kind, subject, run, correlation, message, data)
         SELECT $1, at, kind, subject_kind, subject, run, correlation, message, data::json
         FROM unnest($2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[],
           $9::text[]) WITH ORDINALITY AS given (at, kind, subject_kind, subject, run, correlation, message, data, place)
         ORDER BY place",
        &[
            &work.tenant,
            &times,
            &kinds,
            &subject_kinds,
            &subjects,
            &runs,
            &correlations,
            &messages,
            &data,
        ],
    )
    .await?;
    Ok(range(work).await?.0)
}

pub(super) async fn list(
    work: &Work<'_>,
    wanted: &EventFilter,
    after: u64,
    limit: usize,
) -> Result<Vec<Event>, Fault> {
    let filter = about(work, wanted).and("id > $$", Some(filter::number(after)));
    filter.rows(work, SELECT, "id", limit).await?.iter().map(read).collect()
}

pub(super) async fn search(
    work: &Work<'_>,
    wanted: &EventSearch,
    limit: usize,
) -> Result<(Vec<Event>, Option<u64>), Fault> {
    let range = range(work).await?;
    let searched = searched(wanted, range);
    let rows = about(work, &wanted.filter)
        .and("id >= $$", Some(filter::number(searched.start)))
        .and("id < $$", Some(filter::number(searched.end)))
        .and("at >= $$", wanted.since.map(codec::time).transpose()?)
        .and("at <= $$", wanted.until.map(codec::time).transpose()?)
        .and(
            // by the collation "C" only the letters of English have two cases, as in SQLite
            "strpos(lower((kind || ' ' || coalesce(subject, '') || ' ' || message) COLLATE \"C\"), $$) > 0",
            wanted.text.as_deref().map(str::to_ascii_lowercase),
        )
        .rows(work, SELECT, "id DESC", limit)
        .await?;
    let found: Vec<Event> = rows.iter().map(read).collect::<Result<_, _>>()?;
    let next = go_on(&searched, range.1, &found, limit);
    Ok((found, next))
}

const SELECT: &str =
    "SELECT id, at, kind, subject_kind, subject, run, correlation, message, data::text FROM event";

fn about(work: &Work<'_>, wanted: &EventFilter) -> Filter {
    let subject = wanted.subject.as_ref();
    Filter::of(work, "tenant")
        .and("subject_kind = $$", subject.map(|s| s.kind.as_str()))
        .and("subject = $$", subject.map(|s| s.name.clone()))
        .and("run = $$", wanted.run.map(filter::number))
        .and("starts_with(kind, $$)", wanted.kind.clone())
}

fn read(row: &Row) -> Result<Event, Fault> {
    let about = row.try_get::<_, Option<&str>>(4)?.is_some();
    Ok(Event {
        id: codec::unsigned(row, 0)?,
        event: NewEvent {
            at: codec::stored_time(row, 1)?,
            kind: row.try_get(2)?,
            subject: about.then(|| words::subject(row, 3)).transpose()?,
            run: codec::unsigned_or_null(row, 5)?,
            correlation: row.try_get(6)?,
            message: row.try_get(7)?,
            data: codec::from_json(row, 8)?,
        },
    })
}

pub(super) async fn range(work: &Work<'_>) -> Result<(u64, u64), Fault> {
    let sql = "SELECT coalesce((SELECT max(id) FROM event WHERE tenant = $1), 0),
                 coalesce((SELECT min(id) FROM event WHERE tenant = $1), 0)";
    let row = work.one(sql, &[&work.tenant]).await?;
    Ok((codec::unsigned(&row, 0)?, codec::unsigned(&row, 1)?))
}
