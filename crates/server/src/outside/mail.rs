//! Mail by SMTP: one connection for several messages, TLS where the server offers it, and a time for each message after which a
//! server that hangs is an error. A receiver that the server refuses does not keep the message from the others.

use std::{net::IpAddr, path::Path, time::Duration};

use jiff::Timestamp;
use lettre::{
    Address, Message,
    message::{Mailbox, MultiPart, SinglePart},
    transport::smtp::{
        Error,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        commands::{Data, Mail as From, Rcpt, Rset},
        extension::{ClientId, Extension, MailParameter},
    },
};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use syncline_core::project::Mail;

use super::Failure;

/// How long good-bye may take.
const QUIT: Duration = Duration::from_secs(5);

/// A message.
pub(super) struct Letter<'a> {
    /// Addresses, perhaps with names.
    pub(super) to: &'a [String],
    pub(super) subject: &'a str,
    pub(super) text: &'a str,
    pub(super) html: Option<&'a str>,
    /// Unique, in letters and digits.
    pub(super) id: String,
    pub(super) at: Timestamp,
}

/// What became of a message that the server took.
pub(super) struct Taken {
    /// Receivers it was taken for.
    pub(super) receivers: usize,
    /// Why it was not taken for others.
    pub(super) refused: Vec<String>,
}

/// A message as it is sent.
struct Composed {
    message: Vec<u8>,
    to: Vec<Address>,
    /// Why others are no receivers.
    refused: Vec<String>,
}

/// Whether to speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tls {
    /// From the first byte.
    Always,
    /// After STARTTLS, which must be offered.
    Required,
    /// After STARTTLS where it is offered.
    Offered,
    Off,
}

/// A mail server, with a connection once one is needed.
pub(super) struct Post {
    host: String,
    port: u16,
    tls: Tls,
    authority: Option<Certificate>,
    credentials: Option<Credentials>,
    from: Mailbox,
    timeout: Duration,
    connection: Option<AsyncSmtpConnection>,
}

impl Post {
    /// Reads the settings. Paths are relative to `directory`.
    ///
    /// # Errors
    /// They make no sense; named without what they hold.
    pub(super) fn new(mail: &Mail, directory: &Path) -> Result<Self, Failure> {
        let wrong = |why: &str| Failure::new("definition", format!("server.mail: {why}"));
        let url: Url = mail.url.parse().map_err(|_| wrong("the url is not an address"))?;
        let host = url.host_str().filter(|h| !h.is_empty()).ok_or_else(|| wrong("the url names no host"))?;
        let mut tls = match url.scheme() {
            "smtp" => Tls::Offered,
            "smtps" => Tls::Always,
            _ => return Err(wrong("the url begins with smtp:// or smtps://")),
        };
        let mut authority = None;
        for (name, value) in url.query_pairs() {
            match (name.as_ref(), value.as_ref()) {
                ("tls", "required") if tls == Tls::Offered => tls = Tls::Required,
                ("tls", "off") if tls == Tls::Offered => tls = Tls::Off,
                ("ca_file", file) => {
                    let pem = std::fs::read(directory.join(file));
                    let pem = pem.map_err(|e| wrong(&format!("ca_file: {}", e.kind())))?;
                    authority =
                        Some(Certificate::from_pem(&pem).map_err(|_| wrong("ca_file holds no certificate"))?);
                }
                _ => return Err(wrong("the url takes tls=required, tls=off and ca_file=PATH")),
            }
        }
        let part = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8();
            decoded.map(std::borrow::Cow::into_owned).map_err(|_| wrong("user or password is not text"))
        };
        let credentials = match (url.username(), url.password()) {
            ("", _) => None,
            (user, password) => Some(Credentials::new(part(user)?, part(password.unwrap_or_default())?)),
        };
        let otherwise = match (tls, &credentials) {
            (Tls::Always, _) => 465,
            (_, Some(_)) => 587,
            (_, None) => 25,
        };
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(otherwise),
            tls,
            authority,
            credentials,
            from: mail.from.parse().map_err(|_| wrong("from is not an address"))?,
            timeout: mail.timeout,
            connection: None,
        })
    }

    /// Sends a message, within the time for one.
    ///
    /// # Errors
    /// Nobody gets it; after a time-out or a broken connection perhaps somebody does. The next message has a new connection.
    pub(super) async fn send(&mut self, letter: &Letter<'_>) -> Result<Taken, Failure> {
        let Composed { message, to, mut refused } = self.compose(letter)?;
        let timeout = self.timeout;
        let sent = tokio::time::timeout(timeout, self.transfer(&message, &to)).await.unwrap_or_else(|_| {
            let message = format!("the mail server did not answer within {} s", timeout.as_secs_f64());
            Err(Failure::new("timeout", message))
        });
        match sent {
            Ok(mut taken) => {
                refused.append(&mut taken.refused);
                Ok(Taken { refused, ..taken })
            }
            Err(failure) => {
                if failure.code != "refused" {
                    // whatever state it is in
                    self.connection = None;
                }
                Err(failure)
            }
        }
    }

    /// Says good-bye.
    pub(super) async fn close(mut self) {
        if let Some(mut connection) = self.connection.take() {
            let parted = tokio::time::timeout(QUIT, connection.quit()).await;
            if !matches!(parted, Ok(Ok(_))) {
                tracing::debug!("the mail server did not say good-bye");
            }
        }
    }

    /// The message, who gets it, and which addresses are none. Addresses may come from data: each is one address, whatever
    /// stands in it.
    fn compose(&self, letter: &Letter<'_>) -> Result<Composed, Failure> {
        let (mut to, mut refused) = (Vec::<Mailbox>::new(), Vec::new());
        for (at, text) in letter.to.iter().enumerate() {
            match text.parse::<Mailbox>() {
                Ok(mailbox) if !text.contains(char::is_control) => {
                    if !to.iter().any(|known| known.email == mailbox.email) {
                        to.push(mailbox);
                    }
                }
                _ => refused.push(format!("receiver {} is not an address", at + 1)),
            }
        }
        if to.is_empty() {
            return Err(Failure::new("refused", refused.join("; ")));
        }
        let domain = self.from.email.domain();
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(letter.subject)
            .date(letter.at.into())
            .message_id(Some(format!("<{}@{domain}>", letter.id)));
        for mailbox in &to {
            builder = builder.to(mailbox.clone());
        }
        let plain = SinglePart::plain(letter.text.to_owned());
        let message = match letter.html {
            None => builder.singlepart(plain),
            Some(html) => {
                let boundary = format!("=_{}", letter.id);
                let parts = MultiPart::alternative().boundary(boundary).singlepart(plain);
                builder.multipart(parts.singlepart(SinglePart::html(html.to_owned())))
            }
        };
        let message = message.map_err(|_| Failure::new("refused", "the message cannot be written"))?;
        Ok(Composed { message: message.formatted(), to: to.into_iter().map(|m| m.email).collect(), refused })
    }

    async fn transfer(&mut self, message: &[u8], to: &[Address]) -> Result<Taken, Failure> {
        let kept = self.connection.is_some();
        let mut connection = self.connected().await?;
        let utf8 = to.iter().chain([&self.from.email]).any(|a| !a.to_string().is_ascii());
        if utf8 && !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            self.connection = Some(connection);
            return Err(Failure::new("refused", "the mail server does not take addresses beyond ASCII"));
        }
        let options = || if utf8 { vec![MailParameter::SmtpUtfEight] } else { Vec::new() };
        let mut begun = connection.command(From::new(Some(self.from.email.clone()), options())).await;
        if kept && begun.as_ref().is_err_and(gone) {
            // a connection that waited too long; nothing was sent over it
            connection = self.connected().await?;
            begun = connection.command(From::new(Some(self.from.email.clone()), options())).await;
        }
        begun.map_err(|e| of(&e, "the sender"))?;
        let taken = hand_over(&mut connection, message, to).await;
        if taken.as_ref().is_ok() || taken.as_ref().is_err_and(|f| f.code == "refused") {
            self.connection = Some(connection);
        }
        taken
    }

    /// The connection, taken out, so that it is gone when anything breaks.
    async fn connected(&mut self) -> Result<AsyncSmtpConnection, Failure> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let parameters = || {
            let mut builder = TlsParameters::builder(self.host.clone());
            if let Some(authority) = &self.authority {
                builder = builder.add_root_certificate(authority.clone());
            }
            builder.build_rustls().map_err(|_| Failure::new("definition", "TLS cannot be set up"))
        };
        let hello = ClientId::Domain(self.from.email.domain().to_owned());
        let first = if self.tls == Tls::Always { Some(parameters()?) } else { None };
        let server = (self.host.as_str(), self.port);
        let connected = AsyncSmtpConnection::connect_tokio1(server, Some(self.timeout), &hello, first, None);
        let mut connection = connected.await.map_err(|e| of(&e, "the connection"))?;
        let offered = connection.can_starttls();
        match self.tls {
            Tls::Required if !offered => {
                return Err(Failure::new("refused", "the mail server does not offer TLS"));
            }
            Tls::Required | Tls::Offered if offered => {
                connection.starttls(parameters()?, &hello).await.map_err(|e| of(&e, "TLS"))?;
            }
            _ => {}
        }
        if let Some(credentials) = &self.credentials {
            if !connection.is_encrypted() && !self.is_local() {
                let message = "the mail server does not offer TLS, and the password would be seen by others";
                return Err(Failure::new("refused", message));
            }
            let signed_in = connection.auth(DEFAULT_MECHANISMS, credentials).await;
            signed_in.map_err(|e| of(&e, "user and password"))?;
        }
        Ok(connection)
    }

    /// Whether nobody else is on the line.
    fn is_local(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

async fn hand_over(
    connection: &mut AsyncSmtpConnection,
    message: &[u8],
    to: &[Address],
) -> Result<Taken, Failure> {
    let mut refused = Vec::new();
    for (at, address) in to.iter().enumerate() {
        if let Err(error) = connection.command(Rcpt::new(address.clone(), Vec::new())).await {
            let failure = of(&error, &format!("receiver {}", at + 1));
            if failure.code != "refused" {
                return Err(failure);
            }
            refused.push(failure.message);
        }
    }
    if refused.len() == to.len() {
        connection.command(Rset).await.map_err(|e| of(&e, "RSET"))?;
        return Err(Failure::new("refused", refused.join("; ")));
    }
    connection.command(Data).await.map_err(|e| of(&e, "the message"))?;
    connection.message(message).await.map_err(|e| of(&e, "the message"))?;
    Ok(Taken { receivers: to.len() - refused.len(), refused })
}

/// Whether the connection is no longer there, or the server says that it is about to close it.
fn gone(error: &Error) -> bool {
    error.status().is_none_or(|code| code.to_string() == "421")
}

/// What the server says of `what`: the code and not its words, which may hold addresses.
fn of(error: &Error, what: &str) -> Failure {
    match error.status() {
        Some(code) => Failure::new("refused", format!("the mail server refused {what} ({code})")),
        None if error.is_timeout() => Failure::new("timeout", "the mail server did not answer in time"),
        None if error.is_tls() => Failure::new("unreachable", "TLS with the mail server failed"),
        None if error.is_client() => {
            Failure::new("refused", "the mail server offers no way to sign in that we know")
        }
        None => Failure::new("unreachable", "the mail server cannot be reached, or broke the connection"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(url: &str) -> Mail {
        Mail { url: url.into(), from: "Syncline <sync@example.com>".into(), timeout: Duration::from_secs(1) }
    }

    #[test]
    fn settings_of_the_server() {
        let of = |url: &str| {
            let mail = mail(url);
            let post = Post::new(&mail, Path::new("/"))?;
            Ok::<_, Failure>((post.host.clone(), post.port, post.tls, post.credentials.is_some()))
        };
        assert_eq!(of("smtp://mail.example"), Ok(("mail.example".into(), 25, Tls::Offered, false)));
        assert_eq!(
            of("smtp://a%40b:p%20w@mail.example"),
            Ok(("mail.example".into(), 587, Tls::Offered, true))
        );
        assert_eq!(of("smtps://u:p@mail.example"), Ok(("mail.example".into(), 465, Tls::Always, true)));
        assert_eq!(of("smtp://[::1]:2525?tls=off"), Ok(("::1".into(), 2525, Tls::Off, false)));
        assert_eq!(of("smtp://m.example?tls=required"), Ok(("m.example".into(), 25, Tls::Required, false)));
        for url in [
            "mail.example",
            "http://mail.example",
            "smtp://",
            "smtp://m?x=1",
            "smtps://m?tls=off",
            "smtp://m?ca_file=none",
        ] {
            let Err(failure) = of(url) else { panic!("{url} was taken") };
            assert!(failure.message.starts_with("server.mail: "), "{url}: {failure:?}");
        }
    }

    #[test]
    fn data_cannot_add_headers_or_receivers() {
        let settings = mail("smtp://mail.example");
        let post = Post::new(&settings, Path::new("/")).expect("settings");
        let to = [
            "Zoë <zoe@example.com>",
            "a@example.com, b@example.com",
            "a@example.com\r\nBcc: spy@example.com",
            "x <a@example.com>\nSubject: y",
            "ZOE <zoe@example.com>",
            "nobody",
        ]
        .map(str::to_owned);
        let letter = Letter {
            to: &to,
            subject: "Grüße\r\nBcc: spy@example.com",
            text: ".\r\nQUIT\r\n",
            html: None,
            id: "abc".into(),
            at: Timestamp::UNIX_EPOCH,
        };
        let Composed { message, to: receivers, refused } = post.compose(&letter).expect("a message");
        assert_eq!(receivers.len(), 1);
        assert_eq!(refused.len(), 4, "{refused:?}");
        assert!(refused.iter().all(|r| !r.contains('@')), "{refused:?}");
        let message = String::from_utf8(message).expect("text");
        let (head, _) = message.split_once("\r\n\r\n").expect("a head");
        let names: Vec<_> =
            head.lines().filter(|l| !l.starts_with([' ', '\t'])).map(|l| l.split(':').next()).collect();
        assert!(!names.contains(&Some("Bcc")), "{head}");
    }
}
