-- The database that the application and Syncline share (PostgreSQL). The application writes `series`, `sessions` and
-- `internal_domains`; Syncline writes `participants`, and in the same transaction what follows from it.
-- Texts are compared as bytes: "sorted" means the same on every machine.

create table series (
    owner_id     text not null,
    series_id    text collate "C" not null,
    title        text not null,
    last_sync_at timestamptz,
    primary key (owner_id, series_id)
);

create table sessions (
    owner_id     text not null,
    session_id   text collate "C" not null,
    webinar_id   text not null,
    series_id    text collate "C",
    title        text not null,
    starts_at    timestamptz,
    published    boolean not null default true,
    last_sync_at timestamptz,
    primary key (owner_id, session_id),
    foreign key (owner_id, series_id) references series
);
create index sessions_of_series on sessions (owner_id, series_id);

-- Domains of our own people: counted in totals, never an account.
create table internal_domains (
    domain text collate "C" primary key
);

-- One row per person of a session. `email` is the address in its one form, or, of somebody without one, the key that the
-- source knows the person by.
create table participants (
    owner_id            text not null,
    session_id          text collate "C" not null,
    email               text collate "C" not null,
    webinar_id          text not null,
    name                text,
    domain              text collate "C",
    registered          boolean not null,
    registration_status text,
    registered_at       timestamptz,
    attended            boolean not null,
    seconds             bigint,
    first_joined_at     timestamptz,
    last_left_at        timestamptz,
    role                text,
    updated_at          timestamptz not null default now(),
    primary key (owner_id, session_id, email)
);

-- When a row was last changed, which is not when it was last read.
create function set_updated_at() returns trigger language plpgsql as
    'begin new.updated_at := now(); return new; end';
create trigger participants_updated before update on participants
    for each row execute function set_updated_at();

create table session_metrics (
    owner_id           text not null,
    session_id         text collate "C" not null,
    registrations      bigint not null,
    attendees          bigint not null,
    registrant_domains bigint not null,
    attendee_domains   bigint not null,
    -- ["fabrikam.com", …]
    warm_accounts      jsonb not null,
    updated_at         timestamptz not null default now(),
    primary key (owner_id, session_id)
);

create table series_metrics (
    owner_id            text not null,
    series_id           text collate "C" not null,
    registrations       bigint not null,
    attendees           bigint not null,
    registrant_domains  bigint not null,
    accounts_influenced bigint not null,
    -- [{"domain": "fabrikam.com", "rule": "W2"}, …]
    warm_accounts       jsonb not null,
    updated_at          timestamptz not null default now(),
    primary key (owner_id, series_id)
);

-- What the metrics are, computed from the rows that are there now.

-- Participants who belong to an account: their domain is known and not ours.
create view external_participants as
    select p.owner_id, s.series_id, p.session_id, p.email, p.domain, p.registered, p.attended
    from participants p
    join sessions s on s.owner_id = p.owner_id and s.session_id = p.session_id
    where p.domain is not null
      and not exists (select 1 from internal_domains i where i.domain = p.domain);

-- W1: two or more people of the account attended one session.
create view warm_by_session as
    select owner_id, series_id, session_id, domain
    from external_participants
    where attended
    group by owner_id, series_id, session_id, domain
    having count(distinct email) >= 2;

-- W2: one person of the account attended two or more sessions of the series.
create view warm_by_return as
    select distinct owner_id, series_id, domain
    from (
        select owner_id, series_id, domain, email
        from external_participants
        where attended
        group by owner_id, series_id, domain, email
        having count(distinct session_id) >= 2
    ) who;

-- One rule per account of a series: W2 beats W1.
create view warm_in_series as
    select owner_id, series_id, domain, max(rule) as rule
    from (
        select owner_id, series_id, domain, 'W1' as rule from warm_by_session
        union all
        select owner_id, series_id, domain, 'W2' from warm_by_return
    ) rules
    group by owner_id, series_id, domain;

create view session_metrics_now as
    select s.owner_id, s.session_id,
        (select count(*) from participants p
            where p.owner_id = s.owner_id and p.session_id = s.session_id and p.registered) as registrations,
        (select count(*) from participants p
            where p.owner_id = s.owner_id and p.session_id = s.session_id and p.attended) as attendees,
        (select count(distinct e.domain) from external_participants e
            where e.owner_id = s.owner_id and e.session_id = s.session_id and e.registered) as registrant_domains,
        (select count(distinct e.domain) from external_participants e
            where e.owner_id = s.owner_id and e.session_id = s.session_id and e.attended) as attendee_domains,
        (select coalesce(jsonb_agg(w.domain order by w.domain), '[]') from warm_by_session w
            where w.owner_id = s.owner_id and w.session_id = s.session_id) as warm_accounts
    from sessions s;

create view series_metrics_now as
    select r.owner_id, r.series_id,
        (select count(*) from sessions s
            join participants p on p.owner_id = s.owner_id and p.session_id = s.session_id
            where s.owner_id = r.owner_id and s.series_id = r.series_id and p.registered) as registrations,
        (select count(*) from sessions s
            join participants p on p.owner_id = s.owner_id and p.session_id = s.session_id
            where s.owner_id = r.owner_id and s.series_id = r.series_id and p.attended) as attendees,
        (select count(distinct e.domain) from external_participants e
            where e.owner_id = r.owner_id and e.series_id = r.series_id and e.registered) as registrant_domains,
        (select count(distinct e.domain) from external_participants e
            where e.owner_id = r.owner_id and e.series_id = r.series_id and e.attended) as accounts_influenced,
        (select coalesce(jsonb_agg(jsonb_build_object('domain', w.domain, 'rule', w.rule) order by w.domain), '[]')
            from warm_in_series w
            where w.owner_id = r.owner_id and w.series_id = r.series_id) as warm_accounts
    from series r;
