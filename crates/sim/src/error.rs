//! What can go wrong with the simulator itself, as opposed to what it simulates.

use thiserror::Error as ThisError;

/// A failure to start or to drive the simulator.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be listened on.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The log file cannot be opened.
    #[error("open the request log file")]
    LogFile {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificates cannot be made.
    #[error("make the simulator's certificates")]
    Certificate {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An application's certificate cannot be read.
    #[error("read a certificate of application {client_id}")]
    AppCertificate {
        /// The application.
        client_id: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No such site.
    #[error("no site '{site}'")]
    UnknownSite {
        /// As given.
        site: String,
    },
    /// No such list.
    #[error("no list '{list}'")]
    UnknownList {
        /// As given.
        list: String,
    },
    /// The simulated service refused.
    #[error("{status} {code}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Error code.
        code: String,
        /// Message.
        message: String,
    },
    /// Too many of something.
    #[error("too many {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
    },
}

impl From<crate::answer::Refusal> for Error {
    fn from(refusal: crate::answer::Refusal) -> Self {
        Self::Refused {
            status: refusal.status,
            code: refusal.code.into_owned(),
            message: refusal.message.into_owned(),
        }
    }
}
