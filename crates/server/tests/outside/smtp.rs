//! A mail server for tests: it speaks SMTP on a real socket, keeps what it is given, and misbehaves when asked to.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, rustls};

/// How it behaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manners {
    /// Receivers that it refuses: those that contain one of these.
    pub(crate) refuses: Vec<&'static str>,
    /// The command that it does not answer.
    pub(crate) hangs_at: Option<&'static str>,
    /// Messages after which it closes the connection without a word.
    pub(crate) closes_after: Option<usize>,
    /// Offers STARTTLS.
    pub(crate) offers_tls: bool,
    /// Speaks TLS from the first byte.
    pub(crate) speaks_tls: bool,
    /// The only user and password, in base64 as PLAIN sends it.
    pub(crate) login: Option<&'static str>,
}

/// What it was given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken {
    /// Connections that were opened.
    pub(crate) connections: usize,
    /// Commands in order, arguments included; not those of messages.
    pub(crate) commands: Vec<String>,
    /// Messages: receivers and text.
    pub(crate) messages: Vec<(Vec<String>, String)>,
    /// Whether the last message came through TLS.
    pub(crate) encrypted: bool,
}

/// A running server; it ends with its owner.
pub(crate) struct Server {
    pub(crate) port: u16,
    /// PEM of the authority that its certificate is signed with: itself.
    pub(crate) authority: String,
    taken: Arc<Mutex<Taken>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = issued.signing_key.serialize_der();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![issued.cert.der().clone()], key.try_into().expect("a key"))
            .expect("a certificate");
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let taken = Arc::new(Mutex::new(Taken::default()));
        let mut tasks = JoinSet::new();
        let seen = Arc::clone(&taken);
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                seen.lock().expect("not poisoned").connections += 1;
                sessions.spawn(serve(stream, manners.clone(), acceptor.clone(), Arc::clone(&seen)));
            }
        });
        Self { port, authority: issued.cert.pem(), taken, _tasks: tasks }
    }

    pub(crate) fn taken(&self) -> Taken {
        self.taken.lock().expect("not poisoned").clone()
    }
}

async fn serve(stream: TcpStream, manners: Manners, acceptor: TlsAcceptor, taken: Arc<Mutex<Taken>>) {
    if manners.speaks_tls {
        if let Ok(stream) = acceptor.accept(stream).await {
            drop(talk(BufReader::new(stream), &manners, &taken, true, true).await);
        }
        return;
    }
    // a client that goes away ends the talk
    let Ok(Some(stream)) = talk(BufReader::new(stream), &manners, &taken, false, true).await else { return };
    if let Ok(stream) = acceptor.accept(stream.into_inner()).await {
        drop(talk(BufReader::new(stream), &manners, &taken, true, false).await);
    }
}

/// Talks until the client leaves; gives the stream back when TLS is to begin.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    manners: &Manners,
    taken: &Mutex<Taken>,
    encrypted: bool,
    greet: bool,
) -> std::io::Result<Option<BufReader<S>>> {
    if greet {
        if manners.hangs_at == Some("greeting") {
            std::future::pending::<()>().await;
        }
        stream.write_all(b"220 test ESMTP\r\n").await?;
    }
    let (mut to, mut messages) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        taken.lock().expect("not poisoned").commands.push(line.clone());
        if manners.hangs_at == Some(verb.as_str()) {
            std::future::pending::<()>().await;
        }
        let answer: String = match verb.as_str() {
            "EHLO" => {
                let tls = if manners.offers_tls && !encrypted { "250-STARTTLS\r\n" } else { "" };
                let login = if manners.login.is_some() { "250-AUTH PLAIN\r\n" } else { "" };
                format!("250-test\r\n{tls}{login}250 8BITMIME\r\n")
            }
            "STARTTLS" => {
                stream.write_all(b"220 go\r\n").await?;
                return Ok(Some(stream));
            }
            "AUTH" if manners.login.is_some_and(|login| line.ends_with(login)) => "235 welcome\r\n".into(),
            "AUTH" => "535 5.7.8 who is hunter2?\r\n".into(),
            "RCPT" if manners.refuses.iter().any(|part| line.contains(part)) => {
                format!("550 no {line} here\r\n")
            }
            "RCPT" => {
                to.push(line.trim_start_matches("RCPT TO:").trim_matches(['<', '>']).to_owned());
                "250 yes\r\n".into()
            }
            "DATA" => {
                stream.write_all(b"354 speak\r\n").await?;
                let message = read_message(&mut stream).await?;
                if manners.hangs_at == Some("message") {
                    std::future::pending::<()>().await;
                }
                let mut taken = taken.lock().expect("not poisoned");
                taken.messages.push((std::mem::take(&mut to), message));
                taken.encrypted = encrypted;
                messages += 1;
                "250 taken\r\n".into()
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(None);
            }
            "RSET" => {
                to.clear();
                "250 ok\r\n".into()
            }
            _ => "250 ok\r\n".into(),
        };
        stream.write_all(answer.as_bytes()).await?;
        if manners.closes_after == Some(messages) && verb == "DATA" {
            return Ok(None);
        }
    }
}

/// Up to the line with the point.
async fn read_message(stream: &mut (impl AsyncBufReadExt + AsyncReadExt + Unpin)) -> std::io::Result<String> {
    let mut message = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(message);
        }
        message.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
