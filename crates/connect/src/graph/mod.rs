//! Microsoft Graph v1.0, for every connector that goes through it: signing in, one request, its quota, its errors.
//!
//! A workload (lists, webinars) brings the words of its errors and the permissions it needs as data
//! ([`errors::Doing`]), its quota ([`config::Config::windows`]) and the meaning of the answers; nothing here knows what a
//! list is. Facts: `microsoft-graph.md` §1, §3 and §5.
//!
//! Vendor pages: <https://learn.microsoft.com/graph/errors>, <https://learn.microsoft.com/graph/throttling>,
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>.

pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod errors;
mod http;
pub(crate) mod paging;
pub(crate) mod throttle;
pub(crate) mod token;
