-- What the application knows before anything is asked of Teams; for PostgreSQL and SQLite. The owner is Ann of the simulated
-- tenant (world.json).

insert into internal_domains (domain) values ('contoso.com');

insert into series (owner_id, series_id, title) values
    ('aaaaaaaa-0000-4000-8000-000000000001', 'onboarding', 'Onboarding');

insert into sessions (owner_id, session_id, webinar_id, series_id, title, starts_at, published) values
    ('aaaaaaaa-0000-4000-8000-000000000001', 'c0000001-0000-4000-8000-000000000000',
     'b0000001-0000-4000-8000-000000000000@a833bdcd-b6d1-4eb1-88dc-97e5aab5fe3d', 'onboarding', 'First steps', '2026-01-13T15:00:00Z', true),
    ('aaaaaaaa-0000-4000-8000-000000000001', 'c0000002-0000-4000-8000-000000000000',
     'b0000002-0000-4000-8000-000000000000@a833bdcd-b6d1-4eb1-88dc-97e5aab5fe3d', 'onboarding', 'Reports', '2026-01-20T15:00:00Z', true),
    ('aaaaaaaa-0000-4000-8000-000000000001', 'c0000003-0000-4000-8000-000000000000',
     'b0000003-0000-4000-8000-000000000000@a833bdcd-b6d1-4eb1-88dc-97e5aab5fe3d', 'onboarding', 'Questions', '2026-01-27T15:00:00Z', false);
