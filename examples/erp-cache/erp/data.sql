-- Some 13,000 records of the ERP, the same ones every time.

insert into customers
select n,
    (array['Müller & Söhne', 'Ångström Verktyg', 'O''Brien Ltd', 'Łódzkie Zakłady', '株式会社サクラ', 'Café "Zur Post"',
           'Ελληνική Ναυτιλία', 'Nguyễn Trading'])[1 + n % 8] || ' ' || n,
    (array['GmbH', 'AB', 'Ltd', null])[1 + n % 4],
    case when n % 7 = 0 then null else 'Hauptstraße ' || n % 120 + 1 end,
    lpad((n * 37 % 100000)::text, 5, '0'),
    (array['Köln', 'Göteborg', 'Cork', 'Łódź', '大阪', 'Wien', 'Πειραιάς', 'Huế'])[1 + n % 8],
    (array['DE', 'SE', 'IE', 'PL', 'JP', 'AT', 'GR', 'VN'])[1 + n % 8],
    case when n % 5 = 0 then null else 'V' || lpad(n::text, 9, '0') end,
    (n * 7919 % 500000) + (n % 100) / 100.0,
    (array[14, 30, 60])[1 + n % 3],
    n % 41 = 0,
    -- none, empty, and several lines: three different things
    case n % 6 when 0 then null when 1 then '' else E'Delivers to dock ' || n % 9 || E'.\nAsk for "Zoë" 🚚 — not before 7:00' end,
    md5('customer ' || n)::uuid,
    case when n % 10 = 0 then null else date '1998-02-28' + n * 19 % 9000 end,
    case when n % 97 = 0 then timestamptz '2025-11-30 23:59:59.999999+00' end,
    timestamptz '2025-06-01 00:00:00+00' + n * interval '1 minute 0.000001 seconds'
from generate_series(1, 400) n;

insert into suppliers
select n, (array['Nordstahl', 'Plásticos Río', 'Écrous Réunis', 'Brno Ložiska'])[1 + n % 4] || ' ' || n,
    case when n % 3 = 0 then null else 'purchasing' || n || '@supplier.example' end,
    'XX' || lpad(n::text, 20, '0'), 'never leaves the ERP',
    (array['Kiel', 'Vigo', 'Lyon', 'Brno'])[1 + n % 4], (array['DE', 'ES', 'FR', 'CZ'])[1 + n % 4],
    case when n % 8 = 0 then null else n % 50 / 10.0 end, n % 5 = 0,
    timestamptz '2025-06-02 00:00:00+00' + n * interval '1 hour'
from generate_series(1, 80) n;

insert into item_groups values
    ('ALL', null, 'Everything', null), ('MET', 'ALL', 'Metal', 12.50), ('PLA', 'ALL', 'Plastics', 18.00),
    ('ELE', 'ALL', 'Electrical', 22.25), ('TOO', 'ALL', 'Tools', 30.00), ('BOL', 'MET', 'Bolts', 12.50),
    ('NUT', 'MET', 'Nuts', 11.00), ('SHE', 'MET', 'Sheets', 9.75), ('TUB', 'PLA', 'Tubes', 18.00),
    ('CAB', 'ELE', 'Cables', 25.00), ('SWI', 'ELE', 'Switches', 27.50), ('HAN', 'TOO', 'Hand tools', 33.33);

insert into items
select n, (array['BOL', 'NUT', 'SHE', 'TUB', 'CAB', 'SWI', 'HAN'])[1 + n % 7], 'SKU-' || lpad(n::text, 6, '0'),
    case when n % 9 = 0 then null else '40' || lpad((n * 7919)::text, 11, '0') end,
    (array['Hex bolt', 'Flange nut', 'Sheet', 'Tube', 'Cable', 'Switch', 'Wrench'])[1 + n % 7] || ' M' || 3 + n % 20,
    'M' || 3 + n % 20,
    case when n % 4 = 0 then null else 'Surface: zinc, ' || n % 30 || ' µm ± 10 %.' || repeat(' Keep dry.', n % 12) end,
    (array['pc', 'm', 'kg'])[1 + n % 3], case when n % 3 = 0 then 100 end,
    (n * 31 % 90000) / 10000.0 + 0.0001, (n * 17 % 90000) / 1000000.0 + 0.000001,
    case when n % 6 = 0 then null else (n * 19 % 90000) / 1000000.0 end, (array['EUR', 'USD', 'SEK'])[1 + n % 3],
    (array[19.00, 7.00, 25.00])[1 + n % 3], case when n % 10 = 0 then null else n % 5000 / 1000.0 end,
    n % 300, n % 200, n % 100, case when n % 2 = 0 then n / 10000.0 end, (array['DE', 'CN', 'IT'])[1 + n % 3],
    lpad((n * 97)::text, 11, '0'), (array['A', 'B', 'C', null])[1 + n % 4], n % 500, n % 1000, n % 60,
    case when n % 50 = 0 then 365 end, n % 23 = 0, n % 29 = 0, n % 31 = 0, n % 37 <> 0,
    case when n % 37 = 0 then date '2025-03-01' + n end,
    jsonb_build_object('colour', (array['grey', 'blue', 'grün'])[1 + n % 3], 'din', 900 + n % 50, 'big', 9007199254740993),
    timestamptz '2019-01-01 00:00:00+00' + n * interval '5 hours', 'import',
    timestamptz '2025-07-01 00:00:00+00' + (n / 13) * interval '1 minute', case when n % 2 = 0 then 'zoë' end
from generate_series(1, 600) n;

insert into warehouses values
    (1, 'Central', 'Köln', '1994-05-01', '06:00', false), (2, 'North', 'Kiel', '2003-09-15', '06:30', false),
    (3, 'Port', 'Rotterdam', '2011-01-10', null, true), (4, 'South', 'Wien', '2016-02-29', '07:00', false),
    (5, 'Outlet', 'Łódź', '2021-12-31', '09:00', false);

insert into stock_levels
select w, i, (i * w * 31) % 900, (i * w) % 40,
    case when i % 11 = 0 then null else timestamp '2025-12-31 18:30:00' + i * interval '3 minutes' end,
    timestamptz '2025-08-01 00:00:00+00' + (i * 5 + w) * interval '10 seconds'
from generate_series(1, 5) w, generate_series(1, 600) i where (i + w) % 2 = 0;

insert into sales_orders
select n, 1 + n % 400, date '2025-01-02' + n % 330, case when n % 3 = 0 then null else date '2025-02-01' + n % 330 end,
    (array['Open', 'Shipped', 'Invoiced', 'Invoiced'])[1 + n % 4], (array['EUR', 'USD', 'SEK'])[1 + n % 3],
    (n * 7919 % 2000000) / 100.0, case when n % 5 = 0 then null else 'PO/' || n || '-ß' end,
    timestamptz '2025-09-01 00:00:00+00' + n * interval '1 minute'
from generate_series(1, 1500) n;

insert into sales_order_lines
select o, l, 1 + (o * 7 + l) % 600, 1 + (o + l) % 50 + (l % 4) * 0.125, (o * 13 % 90000) / 10000.0, (o % 4) * 2.5,
    o % 4 > 0, timestamptz '2025-09-01 00:00:00+00' + o * interval '1 minute'
from generate_series(1, 1500) o, generate_series(1, 5) l where l <= 1 + o % 5;

insert into purchase_orders
select n, 1 + n % 80, date '2025-01-05' + n % 300, date '2025-02-05' + n % 300,
    (array['Sent', 'Confirmed', 'Received'])[1 + n % 3], (n * 104729 % 9000000) / 100.0,
    timestamptz '2025-09-15 00:00:00+00' + n * interval '7 minutes'
from generate_series(1, 400) n;

insert into purchase_order_lines
select p, l, 1 + (p * 3 + l) % 600, 10 * l + p % 7, case when p % 3 = 2 then 10 * l + p % 7 else 0 end,
    (p * l * 11 % 90000) / 1000000.0, timestamptz '2025-09-15 00:00:00+00' + p * interval '7 minutes'
from generate_series(1, 400) p, generate_series(1, 3) l;

insert into invoices
select n, n, 1 + n % 400, date '2025-02-01' + n % 330, date '2025-03-03' + n % 330, (n * 7919 % 2000000) / 100.0,
    round((n * 7919 % 2000000) / 100.0 * 0.19, 2),
    case when n % 3 = 0 then (n * 7919 % 2000000) / 100.0 else 0 end,
    case when n % 3 = 0 then 'Open' else 'Paid' end, timestamptz '2025-10-01 00:00:00+00' + n * interval '1 minute'
from generate_series(1, 1400) n;

insert into payments
select n, n * 3 / 2, timestamptz '2025-10-05 12:00:00+00' + n * interval '11 minutes', (n * 7919 % 2000000) / 100.0,
    (array['transfer', 'card', 'cash'])[1 + n % 3], case when n % 3 = 2 then null else 'ref ' || md5(n::text) end
from generate_series(1, 900) n;

insert into gl_accounts
select lpad((1000 + n * 50)::text, 6, '0'), 'Account ' || n, (array['asset', 'liability', 'revenue', 'expense'])[1 + n % 4],
    n % 12 <> 0
from generate_series(1, 90) n;

insert into exchange_rates
select c, date '2024-07-01' + d, 1 + (d * length(c) * 7919 % 100000) / 100000000.0, 'central bank'
from unnest(array['USD', 'SEK', 'PLN', 'JPY']) c, generate_series(0, 549) d;
