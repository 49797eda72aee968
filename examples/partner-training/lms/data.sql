INSERT INTO courses VALUES
    (1, 'Foundations',        4,   now() - interval '300 days'),
    (2, 'Sales Essentials',   6.5, now() - interval '300 days'),
    (3, 'Service Delivery',  12,   now() - interval '200 days'),
    (4, 'Security',           3.5, now() - interval '200 days'),
    (5, 'Architecture',      24,   now() - interval '100 days');

INSERT INTO users SELECT n, 'user' || n || '@learn.example', 'User ' || n, now() - interval '90 days' + n * interval '1 hour'
    FROM generate_series(1, 14) AS n;

INSERT INTO groups VALUES
    (10, 'Alder Sales',     101, now() - interval '80 days'),
    (11, 'Alder Delivery',  101, now() - interval '80 days'),
    (20, 'Birch',           102, now() - interval '80 days'),
    (30, 'Cedar',           103, now() - interval '80 days'),
    (40, 'Dogwood',         104, now() - interval '80 days'),
    (50, 'Elm & Söhne',     105, now() - interval '80 days');

-- users 3 and 4 are in both groups of partner 101: each is one user of that partner all the same
INSERT INTO group_members VALUES
    (10, 1), (10, 2), (10, 3), (10, 4), (11, 3), (11, 4), (11, 5),
    (20, 6), (20, 7), (30, 8), (30, 9), (30, 10), (40, 11), (50, 12), (50, 13);

-- enrolment, user, course, status, enrolled so many days ago, completed so many days ago, valid for so many days
INSERT INTO enrolments
    SELECT e, u, c, s, current_date - enrolled, current_date - completed, current_date - completed + valid,
           now() - least(enrolled, coalesce(completed, enrolled)) * interval '1 day'
    FROM (VALUES
        ( 1,  1, 1, 'completed',   340, 335,  365),
        ( 2,  1, 2, 'completed',   320, 300,  365),
        ( 3,  2, 1, 'completed',   200, 190,  365),
        ( 4,  3, 1, 'completed',   320, 310,  365),
        ( 5,  3, 3, 'completed',   150, 120,  730),
        ( 6,  4, 3, 'in progress',  20, NULL, NULL),
        ( 7,  5, 1, 'completed',   100,  95,  365),
        ( 8,  5, 4, 'completed',    90,  88,  365),
        ( 9,  6, 1, 'completed',   360, 350,  365),
        (10,  6, 2, 'enrolled',      5, NULL, NULL),
        (11,  7, 1, 'completed',    60,  50,  365),
        (12,  8, 1, 'completed',    45,  40,  365),
        (13,  8, 2, 'completed',    44,  30,  365),
        (14,  9, 1, 'completed',    43,  41,  365),
        (15, 10, 5, 'completed',    42,  10,  730),
        (16, 11, 1, 'in progress',  12, NULL, NULL),
        (17, 12, 1, 'completed',    30,  25,  365),
        (18, 13, 1, 'completed',    29,  20,  365),
        (19, 13, 4, 'completed',    15,   9,  365),
        (20, 14, 1, 'completed',    14,   8,  365)
    ) AS v (e, u, c, s, enrolled, completed, valid);
