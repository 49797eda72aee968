-- The CRM: partner companies, their contacts and leads; and what Syncline tells it of their training.
CREATE TABLE partners (
    partner_no    integer PRIMARY KEY,
    name          text NOT NULL,
    tier          text NOT NULL,          -- Gold, Silver, Registered
    manager_email text NOT NULL,
    updated_at    timestamptz NOT NULL
);
CREATE TABLE contacts (
    contact_no integer PRIMARY KEY,
    partner_no integer NOT NULL REFERENCES partners,
    email      text NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE TABLE leads (
    lead_no    integer PRIMARY KEY,
    company    text NOT NULL,
    status     text NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX ON partners (updated_at);
CREATE INDEX ON contacts (updated_at);
CREATE INDEX ON leads (updated_at);
-- written by the sync partner_counts
CREATE TABLE partner_training (
    partner_no   integer PRIMARY KEY,
    users        bigint NOT NULL,
    certificates bigint NOT NULL,
    credits      numeric(10, 1) NOT NULL
);
