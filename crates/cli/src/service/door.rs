//! Where the API listens, and who is let in.

use std::{net::SocketAddr, path::Path, sync::Arc};

use syncline_core::project::{ServerOptions, Tls};
use syncline_server::auth::{Access, in_force};
use syncline_store::service::ServiceStore;
use tokio::net::TcpListener;

use super::args::ServeArgs;
use crate::{exit::Failure, wiring::reason};

/// The API's listener, and who is let in; nothing with `--no-api`.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    address: SocketAddr,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) access: Access,
}

impl Door {
    /// Listens, where that is safe.
    pub(crate) async fn open(
        args: &ServeArgs,
        options: &ServerOptions,
        directory: &Path,
        store: &dyn ServiceStore,
        now: jiff::Timestamp,
    ) -> Result<Option<Self>, Failure> {
        if args.no_api {
            return Ok(None);
        }
        let bind = args.bind.unwrap_or(options.bind);
        let tls = options.tls.as_ref().map(|tls| certificate(tls, directory)).transpose()?;
        let tokens = store.tokens().await?;
        let tokens = tokens.iter().filter(|token| in_force(token, now)).count();
        let access = Access::decide(bind, tls.is_some(), tokens).map_err(Failure::usage)?;
        let taken = |error: std::io::Error| {
            Failure::failed(format!("the API cannot listen on {bind}: {error}"))
                .hint("--bind names another address, --no-api serves none")
        };
        let listener = TcpListener::bind(bind).await.map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        Ok(Some(Self { listener, address, tls, access }))
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }
}

/// Reads certificate and key.
fn certificate(tls: &Tls, directory: &Path) -> Result<Arc<rustls::ServerConfig>, Failure> {
    let read = |file: &str| {
        let path = directory.join(file);
        std::fs::read(&path)
            .map_err(|error| Failure::usage(format!("{}: {}", path.display(), reason(&error))))
    };
    let (certificate, key) = (read(&tls.certificate)?, read(&tls.key)?);
    syncline_server::serve::tls(&certificate, &key).map_err(Failure::usage)
}
