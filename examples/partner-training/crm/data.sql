INSERT INTO partners VALUES
    (101, 'Alder Consulting',  'Gold',       'ines@vendor.example', now() - interval '400 days'),
    (102, 'Birch Systems',     'Silver',     'ines@vendor.example', now() - interval '400 days'),
    (103, 'Cedar <Cloud> Ltd', 'Gold',       'omar@vendor.example', now() - interval '400 days'),
    (104, 'Dogwood',           'Registered', 'omar@vendor.example', now() - interval '400 days'),
    (105, 'Elm & Söhne',       'Silver',     'ines@vendor.example', now() - interval '400 days'),
    (106, 'Fir Partners',      'Registered', 'omar@vendor.example', now() - interval '400 days');
INSERT INTO contacts
    SELECT n, 101 + n % 6, 'contact' || n || '@partner.example', now() - interval '50 days' FROM generate_series(1, 30) AS n;
INSERT INTO leads
    SELECT n, 'Prospect ' || n, CASE n % 3 WHEN 0 THEN 'converted' WHEN 1 THEN 'open' ELSE 'lost' END, now() - n * interval '1 day'
    FROM generate_series(1, 12) AS n;
