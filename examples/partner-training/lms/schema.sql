-- The learning platform: courses, people who learn, groups of people, and who took which course.
CREATE TABLE courses (
    course_id  integer PRIMARY KEY,
    name       text NOT NULL,
    hours      numeric(5, 1) NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE users (
    user_id    integer PRIMARY KEY,
    email      text NOT NULL,
    name       text NOT NULL,
    updated_at timestamptz NOT NULL
);
-- a group belongs to one partner of the CRM; a partner may have several
CREATE TABLE groups (
    group_id   integer PRIMARY KEY,
    name       text NOT NULL,
    partner_no integer NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE group_members (
    group_id integer NOT NULL REFERENCES groups,
    user_id  integer NOT NULL REFERENCES users,
    PRIMARY KEY (group_id, user_id)
);
CREATE TABLE enrolments (
    enrolment_id integer PRIMARY KEY,
    user_id      integer NOT NULL REFERENCES users,
    course_id    integer NOT NULL REFERENCES courses,
    status       text NOT NULL,          -- enrolled, in progress, completed
    enrolled_on  date NOT NULL,
    completed_on date,
    expires_on   date,                   -- of the certificate
    updated_at   timestamptz NOT NULL
);
CREATE INDEX ON courses (updated_at);
CREATE INDEX ON users (updated_at);
CREATE INDEX ON groups (updated_at);
CREATE INDEX ON enrolments (updated_at);
