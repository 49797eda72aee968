-- The table that the example pushes: projects, as many companies keep them.

create table projects (
    id            uuid primary key,
    project_code  text not null unique,
    name          text not null,
    description   text,
    status        text not null default 'Active' check (status in ('Planned', 'Active', 'On Hold', 'Closed')),
    budget_amount numeric(14,2),
    start_date    date,
    end_date      date,
    owner_email   text,
    tags          text[] not null default '{}',
    metadata      jsonb not null default '{}',
    is_active     boolean not null default true,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
);

-- The cursor: incremental runs read by it, so it has an index and the database itself keeps it up to date.
create index projects_updated_at on projects (updated_at);

create function projects_touch() returns trigger language plpgsql as $$
begin
    new.updated_at := now();
    return new;
end
$$;

create trigger projects_touch before update on projects for each row execute function projects_touch();
