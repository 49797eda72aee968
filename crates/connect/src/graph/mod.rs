//! Microsoft Graph v1.0, for every connector that goes through it: signing in, one request, its quota, its errors.
//!
//! A workload (lists, webinars) brings the words of its errors and the permissions it needs as data
//! (`errors::Doing`), its quota (`config::Config::windows`) and the meaning of the answers; nothing here knows what a
//! list is. Facts: `microsoft-graph.md` §1, §3 and §5.
//!
//! Vendor pages: <https://learn.microsoft.com/graph/errors>, <https://learn.microsoft.com/graph/throttling>,
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>,
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-on-behalf-of-flow>,
//! <https://learn.microsoft.com/entra/identity-platform/claims-challenge>.

mod challenge;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod errors;
pub(crate) mod grant;
mod http;
pub(crate) mod paging;
mod proof;
pub(crate) mod throttle;
pub(crate) mod token;

pub use token::Tokens;
