//! The listener and its connections.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::error::Error;
use crate::options::Options;
use crate::service;
use crate::tls;
use crate::world::World;

/// A caller that sends no request line within this time is cut off.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A running simulator. Dropping it stops it without waiting; [`Server::stop`] waits.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    scheme: &'static str,
    ca_pem: Option<String>,
    world: World,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a simulator on the current Tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be listened on, the log file cannot be opened, or a certificate cannot be read.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let world = World::new(&options)?;
        let tls = options.tls.then(|| tls::make(&options.listen.ip().to_string())).transpose()?;
        let listen = |source| Error::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let scheme = if options.tls { "https" } else { "http" };
        world.set_base(format!("{scheme}://{address}"));
        let (acceptor, ca_pem) = tls.map(|tls| (tls.acceptor, tls.ca_pem)).unzip();
        let (stop, stopped) = oneshot::channel();
        let door = Door {
            listener,
            acceptor,
            world: world.clone(),
            places: Arc::new(Semaphore::new(options.max_connections.max(1))),
        };
        #[expect(clippy::disallowed_methods, reason = "`stop` awaits the handle, `drop` aborts it")]
        let task = tokio::spawn(door.run(stopped));
        Ok(Self { address, scheme, ca_pem, world, stop: Some(stop), task: Some(task) })
    }

    /// The root of everything: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// The certificate to trust, when HTTPS is served.
    pub fn ca_pem(&self) -> Option<String> {
        self.ca_pem.clone()
    }

    /// The simulated tenant, for tests and demos in the same process.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Closes the listener and every connection, and waits for that.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            // The task may be gone already, which is as good.
            stop.send(()).ok();
        }
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            tracing::warn!(%error, "the simulator's listener ended badly");
        }
        self.world.lock().log.flush();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// Accepts connections. Its connections live in a set that ends with it.
struct Door {
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    world: World,
    places: Arc<Semaphore>,
}

impl Door {
    async fn run(self, mut stopped: oneshot::Receiver<()>) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                _ = &mut stopped => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = self.accept() => accepted,
            };
            if let Some((stream, place)) = accepted {
                let (acceptor, world) = (self.acceptor.clone(), self.world.clone());
                connections.spawn(connection(stream, acceptor, world, place));
            }
        }
        connections.shutdown().await;
    }

    async fn accept(&self) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let place = self.places.clone().acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) => Some((stream, place)),
            Err(error) => {
                // Out of file descriptors, most likely: give connections a moment to end.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    world: World,
    _place: OwnedSemaphorePermit,
) {
    // Small answers must not wait for more; a socket that refuses this still works.
    stream.set_nodelay(true).ok();
    let Some(acceptor) = acceptor else {
        if let Some(stream) = speak(stream, world, "http").await {
            reset(&stream);
        }
        return;
    };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            if let Some(stream) = speak(stream, world, "https").await {
                reset(stream.get_ref().0);
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

/// Without lingering, closing the socket sends RST instead of FIN.
fn reset(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "a connection could not be reset");
    }
}

/// Whether the connection ended because a fault asked for a reset.
fn is_reset(error: &hyper::Error) -> bool {
    let Some(cause) = error.source() else { return false };
    cause.is::<service::Reset>()
}

/// Serves HTTP/1.1 on a connection. Gives the stream back when it must be reset.
async fn speak<S>(stream: S, world: World, scheme: &'static str) -> Option<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(move |request| Box::pin(service::serve(world.clone(), scheme, request)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    let ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    let killed = ended.as_ref().is_err_and(is_reset);
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
    killed.then(|| connection.into_parts().io.into_inner())
}
