//! Talking to the process manager, in the words of `sd_notify(3)`: ready, alive, stopping.
//!
//! Where nobody listens (no `NOTIFY_SOCKET`) nothing is said. A message that cannot be sent is not sent again: the
//! manager's own time-outs say what it makes of that.

use std::{
    ffi::{OsStr, OsString},
    time::Duration,
};

/// The manager's socket, and how often it wants to hear from us.
pub(crate) struct Manager {
    socket: Option<OsString>,
    /// Half of what the manager allows between two signs of life.
    pub(crate) watchdog: Option<Duration>,
}

impl Manager {
    /// As the environment says.
    pub(crate) fn of_environment() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the command line reads the environment")]
        let variable = |name: &str| std::env::var_os(name);
        let socket = variable("NOTIFY_SOCKET").filter(|socket| !socket.is_empty());
        let for_us = variable("WATCHDOG_PID")
            .is_none_or(|process| process.to_str().and_then(|p| p.parse().ok()) == Some(std::process::id()));
        let watchdog =
            socket.as_ref().and_then(|_| half(variable("WATCHDOG_USEC").filter(|_| for_us)?.to_str()?));
        Self { socket, watchdog }
    }

    /// Everything listens and works.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// Still alive.
    pub(crate) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// On the way out, and may need this long.
    pub(crate) fn stopping(&self, grace: Duration) {
        let longest = grace + Duration::from_secs(10);
        self.tell(&format!("STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC={}", longest.as_micros()));
    }

    fn tell(&self, message: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = send(socket, message.as_bytes()) {
            tracing::warn!(%error, "the process manager cannot be told");
        }
    }
}

/// Half of a number of microseconds; nothing for what is none, or zero.
fn half(microseconds: &str) -> Option<Duration> {
    microseconds.parse().ok().filter(|n| *n > 0).map(|n: u64| Duration::from_micros(n) / 2)
}

/// A socket in the file system, or in the abstract name space where it begins with `@`.
#[cfg(target_os = "linux")]
fn send(socket: &OsStr, message: &[u8]) -> std::io::Result<()> {
    use std::os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    };
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    let from = UnixDatagram::unbound()?;
    from.set_nonblocking(true)?;
    from.send_to_addr(message, &address).map(|_| ())
}

#[cfg(not(target_os = "linux"))]
fn send(_: &OsStr, _: &[u8]) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_of_life_comes_twice_as_often_as_it_must() {
        assert_eq!(half("60000000"), Some(Duration::from_secs(30)));
        for none in ["0", "", "-1", "soon"] {
            assert_eq!(half(none), None, "{none}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_manager_hears_the_three_messages() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let listener = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let manager = Manager { socket: Some(path.into_os_string()), watchdog: None };
        manager.ready("serving");
        manager.alive();
        manager.stopping(Duration::from_secs(30));
        let mut buffer = [0; 256];
        let mut heard = || {
            let n = listener.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..n].to_vec()).unwrap()
        };
        assert_eq!(heard(), "READY=1\nSTATUS=serving");
        assert_eq!(heard(), "WATCHDOG=1");
        assert_eq!(heard(), "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=40000000");
    }
}
