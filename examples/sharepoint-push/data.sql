-- Projects to push: 10,000, or as many as `set syncline.rows = 500;` says before. The same ones every time.

insert into projects (id, project_code, name, description, status, budget_amount, start_date, end_date, owner_email,
                      tags, metadata, is_active, created_at, updated_at)
select
    md5('project ' || n)::uuid,
    'P-' || lpad(n::text, 6, '0'),
    (array['New', 'Shared', 'Northern', 'Digital', 'Quiet', 'Second', 'Green'])[1 + n % 7] || ' '
        || (array['Bridge', 'Archive', 'Warehouse', 'Portal', 'Laboratory'])[1 + n % 5] || ' ' || n,
    -- some have none, some have several lines
    case when n % 9 = 0 then null
         else 'Phase ' || (1 + n % 4) || E' of the programme.\nSteering group: every ' || (1 + n % 3) || ' weeks — "green".'
    end,
    (array['Active', 'Active', 'Planned', 'Active', 'On Hold', 'Closed', 'Active', 'Active', 'Closed', 'Active'])[1 + n % 10],
    case when n % 50 = 0 then null
         when n % 11 = 0 then 1000000 + (n * 7919 % 5000000) + (n % 100) / 100.0
         else 10000 + (n * 7919 % 900000) + (n % 100) / 100.0
    end,
    date '2024-01-01' + n % 700,
    case when n % 4 = 0 then null else date '2026-01-01' + n % 900 end,
    case when n % 40 = 0 then null
         else (array['Ann', 'bea', 'Chris', 'Dana', 'eli'])[1 + n % 5] || '.' || (n % 300) || '@Contoso.com'
    end,
    (array['eu', 'internal', 'priority', 'regulated'])[1 + n % 4 : 1 + n % 4 + n % 2],
    jsonb_build_object('cost_center', 4000 + n % 60, 'risk', (array['low', 'medium', 'high'])[1 + n % 3]),
    n % 10 <> 8,
    timestamptz '2025-03-01 08:00:00+00' + n * interval '7 minutes',
    -- thirteen projects share each instant, as after a bulk update
    timestamptz '2026-01-01 00:00:00+00' + (n / 13) * interval '1 minute' + interval '123456 microseconds'
from generate_series(1, coalesce(current_setting('syncline.rows', true)::integer, 10000)) as n;
