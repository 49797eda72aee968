-- The hub: what both systems hold, and what is computed from it. A record that is gone in its source stays and is marked:
-- it has a deleted_at and is not active. When it comes back, it is active again.
CREATE TABLE courses (
    course_id integer PRIMARY KEY, name text NOT NULL, hours numeric(5, 1) NOT NULL, updated_at timestamptz NOT NULL,
    deleted_at timestamptz, is_active boolean GENERATED ALWAYS AS (deleted_at IS NULL) STORED
);
CREATE TABLE users (
    user_id integer PRIMARY KEY, email text NOT NULL, name text NOT NULL, updated_at timestamptz NOT NULL,
    deleted_at timestamptz, is_active boolean GENERATED ALWAYS AS (deleted_at IS NULL) STORED
);
CREATE TABLE groups (
    group_id integer PRIMARY KEY, name text NOT NULL, partner_no integer NOT NULL, updated_at timestamptz NOT NULL,
    deleted_at timestamptz, is_active boolean GENERATED ALWAYS AS (deleted_at IS NULL) STORED
);
CREATE TABLE group_members (
    group_id integer NOT NULL, user_id integer NOT NULL, PRIMARY KEY (group_id, user_id)
);
CREATE TABLE enrolments (
    enrolment_id integer PRIMARY KEY, user_id integer NOT NULL, course_id integer NOT NULL, status text NOT NULL,
    enrolled_on date NOT NULL, completed_on date, expires_on date, updated_at timestamptz NOT NULL,
    deleted_at timestamptz, is_active boolean GENERATED ALWAYS AS (deleted_at IS NULL) STORED
);
CREATE TABLE partners (
    partner_no integer PRIMARY KEY, name text NOT NULL, tier text NOT NULL, manager_email text NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz, is_active boolean GENERATED ALWAYS AS (deleted_at IS NULL) STORED
);
CREATE TABLE contacts (
    contact_no integer PRIMARY KEY, partner_no integer NOT NULL, email text NOT NULL, updated_at timestamptz NOT NULL,
    deleted_at timestamptz, is_active boolean GENERATED ALWAYS AS (deleted_at IS NULL) STORED
);
CREATE TABLE leads (
    lead_no integer PRIMARY KEY, company text NOT NULL, status text NOT NULL, updated_at timestamptz NOT NULL,
    deleted_at timestamptz, is_active boolean GENERATED ALWAYS AS (deleted_at IS NULL) STORED
);

-- computed by the chains
CREATE TABLE course_credits (course_id integer PRIMARY KEY, credits numeric(6, 1) NOT NULL);
CREATE TABLE partner_counts (
    partner_no integer PRIMARY KEY, users bigint NOT NULL, certificates bigint NOT NULL, credits numeric(10, 1) NOT NULL
);

-- who belongs to which partner: once, in however many of its groups
CREATE VIEW partner_users AS
    SELECT DISTINCT g.partner_no, u.user_id, u.name
    FROM group_members m
    JOIN groups g ON g.group_id = m.group_id AND g.is_active
    JOIN users u ON u.user_id = m.user_id AND u.is_active;

-- a certificate: a completed course that has not expired
CREATE VIEW certificates AS
    SELECT e.enrolment_id, e.user_id, e.course_id, e.completed_on, e.expires_on
    FROM enrolments e
    WHERE e.is_active AND e.status = 'completed' AND (e.expires_on IS NULL OR e.expires_on >= current_date);
