//! A simulator of Microsoft Graph for SharePoint lists and Teams webinars, with quotas and faults.
//!
//! It stands in for the service in tests, load tests and the demo: token endpoint with its users and consents, sites, lists,
//! columns, items, webinars, `$batch`, filters, pages, delta, throttling, and every way an answer can get lost. It shares no code with the
//! client. Rules that no documentation settles are [`Switches`]; everything else cites the facts file
//! (`facts §…` with its certainty tag).
//!
//! Start reading at [`Server`], then `graph.rs` (the life of one operation) and `operations.rs` (its work).
//! What is deliberately absent: webhooks, writes to webinars, document libraries, versions of items.

mod access;
mod answer;
mod assertion;
mod batch;
mod chance;
mod clock;
mod column;
mod control;
mod delta;
mod discovery;
mod error;
mod faults;
mod filter;
mod graph;
mod item;
mod json_out;
mod list;
mod listing;
mod mint;
mod on_behalf;
mod operations;
mod options;
mod people;
mod query;
mod request_log;
mod route;
mod server;
mod service;
mod show;
mod signing;
mod site;
mod state;
mod switches;
mod throttle;
mod tls;
mod token;
mod value;
mod webinars;
mod world;

pub use clock::Clock;
pub use error::Error;
pub use faults::{Applied, Fault, FaultMatch, FaultRule, FaultWhen};
pub use mint::MintSpec;
pub use options::{AppOptions, ExtraLimit, LimitScope, Options, SiteGrant, Tier};
pub use people::{ConsentSpec, UserSpec};
pub use request_log::{Counters, LogEntry};
pub use route::OpKind;
pub use server::Server;
pub use signing::MintKey;
pub use site::{ListSpec, SiteSpec};
pub use switches::{
    Hyperlinks, NoLicence, OversizeTop, PartOrder, RateLimitReset, RegistrationsList, ResyncCode,
    SessionTimes, Switches, ThrottleBody, UniqueViolation, WindowKind, ZonelessDates,
};
pub use webinars::seed::WebinarSummary;
pub use webinars::spec::{
    EventStatus, IntervalSpec, RecordSpec, RegistrationSpec, ReportSpec, SessionSpec, WebinarSpec, ZonedTime,
};
pub use world::{FaultReport, ItemDump, ListSummary, World};
