//! Words to the service manager (systemd's sd_notify protocol): ready, stopping, still alive. One datagram each.
//!
//! Promises: without a manager that asks for it nothing is sent; a word that cannot be sent is no reason to stop.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::config;

/// The manager, when there is one that listens.
pub struct Manager {
    socket: Option<String>,
    watchdog: Option<Duration>,
}

impl Manager {
    pub fn from_environment() -> Manager {
        let (socket, watchdog) = config::service_manager().unzip();
        Manager { socket, watchdog: watchdog.flatten() }
    }

    /// How often it wants to hear `WATCHDOG=1`: well within its patience.
    pub fn alive_every(&self) -> Option<Duration> {
        self.watchdog.map(|patience| patience / 3)
    }

    pub fn ready(&self) {
        self.say("READY=1");
    }

    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    fn say(&self, word: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = send(socket, word) {
            tracing::warn!(%error, word, "the service manager (NOTIFY_SOCKET) did not hear this");
        }
    }
}

/// A path, or a name in the abstract namespace, which is written with an `@`.
fn send(socket: &str, word: &str) -> io::Result<()> {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(word.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_arrive_at_a_path_and_at_an_abstract_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let name = format!("gatewatch-test-{}", std::process::id());
        let sockets = [
            (path.display().to_string(), UnixDatagram::bind(&path).expect("bound")),
            (
                format!("@{name}"),
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).expect("a name")).expect("bound"),
            ),
        ];
        for (address, socket) in sockets {
            let manager = Manager { socket: Some(address), watchdog: Some(Duration::from_secs(30)) };
            manager.ready();
            manager.alive();
            let mut buffer = [0; 64];
            for expected in ["READY=1", "WATCHDOG=1"] {
                let bytes = socket.recv(&mut buffer).expect("a word");
                assert_eq!(&buffer[..bytes], expected.as_bytes());
            }
            assert_eq!(manager.alive_every(), Some(Duration::from_secs(10)));
        }
    }
}
