//! Records that senders push as syslog: over UDP, TCP or TLS. A message is a record as it came; its header is taken off
//! where every envelope is, in `schemas`.
//!
//! Syslog has no acknowledgement. What was read is on disk before more is read, and what is on disk is handed over once;
//! what lies in the buffers of a network or a machine that dies is lost, and a sender that sends again after a broken
//! connection sends twice. One answer there is: over TCP and TLS, a sender that ends its side of the connection and then
//! reads its end without an error knows that everything is on disk. However else a connection ends (a kill, a stop, a
//! message that cannot be framed, no place for it), it ends with a reset.
//!
//! Promises: over TCP and TLS a full spool stops the reading, and so the sender. Over UDP it drops, and counts.
//! Never: opens a message.

mod config;
mod framing;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub use self::config::SyslogConfig;
use self::framing::{Framer, FramingError, trim_end};
use super::accept::{self, Accepting, Connection, Wire, count};
use super::spool::{Parcel, Spool, SpoolError};
use super::{Clock, IngestError, ReadLimits};

/// Read at a time from a connection.
const READ_BYTES: usize = 64 << 10;
/// Longest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// Datagrams, and bytes of them, that are put into the spool together.
const DATAGRAMS_MAX: usize = 4096;
const DATAGRAMS_BYTES_MAX: usize = 1 << 20;
/// How long what was read may take to get to disk when the listeners are let go.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// Where messages go.
pub struct Inlet {
    pub source: Arc<str>,
    pub config: SyslogConfig,
    pub limits: ReadLimits,
    pub clock: Clock,
    pub spool: Spool,
}

/// Open listeners; dropping closes them and their connections. Not to be dropped in an asynchronous task.
pub struct Listening {
    runtime: Handle,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let tasks = join_all(std::mem::take(&mut self.tasks));
        if self.runtime.block_on(async { tokio::time::timeout(DRAIN_TIME_MAX, tasks).await }).is_err() {
            tracing::warn!("syslog connections were still busy when the listener was closed");
        }
    }
}

/// Opens the listeners of a source.
pub fn listen(runtime: &Handle, inlet: Inlet) -> Result<Listening, IngestError> {
    let inlet = Arc::new(inlet);
    let (stop, stopped) = watch::channel(false);
    let mut listening = Listening { runtime: runtime.clone(), stop, tasks: Vec::new() };
    let config = &inlet.config;
    let tls = match &config.tls {
        Some((address, files)) => Some((*address, Some(files.acceptor()?))),
        None => None,
    };
    for (address, tls) in config.tcp.map(|address| (address, None)).into_iter().chain(tls) {
        let listener = accept::bind(runtime, address)?;
        tracing::info!(source = &*inlet.source, %address, tls = tls.is_some(), "listening for syslog over TCP");
        listening.tasks.push(runtime.spawn(streams(inlet.clone(), listener, tls, stopped.clone())));
    }
    if let Some(address) = config.udp {
        let bound = runtime.block_on(UdpSocket::bind(address));
        let socket = bound.map_err(|error| accept::refused(address, &error))?;
        tracing::info!(source = &*inlet.source, %address, "listening for syslog over UDP");
        listening.tasks.push(runtime.spawn(datagrams(inlet.clone(), socket, stopped)));
    }
    Ok(listening)
}

/// Resolves when it is time to stop.
async fn stopping(stopped: &mut watch::Receiver<bool>) {
    // A sender that went away says the same.
    let _gone = stopped.wait_for(|stop| *stop).await.is_err();
}

/// Serves the connections of a listener until it is stopped, and then what they are at.
async fn streams(
    inlet: Arc<Inlet>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut stopped: watch::Receiver<bool>,
) {
    let accepting = Accepting {
        name: inlet.source.clone(),
        tls,
        connections_max: inlet.config.connections_max,
        of_peer_max: inlet.config.connections_max.div_ceil(2),
        allow: inlet.config.allow.clone(),
        // From the first moment on, also of one that is refused, and when this process ends: the sender shall not take the
        // end for an answer.
        resets: true,
    };
    let (mut connections, accepted) = accept::accept(listener, accepting);
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            Some(connection) = connections.recv() => {
                serving.spawn(stream(inlet.clone(), connection, stopped.clone()));
            }
            // So that those that ended are not kept.
            Some(_) = serving.join_next() => {}
            () = stopping(&mut stopped) => break,
        }
    }
    drop(connections);
    while serving.join_next().await.is_some() {}
    // A task that panicked holds no listener any more.
    let _panicked = accepted.await.is_err();
}

/// How a connection ended.
enum Ended {
    /// The sender ended it, and all it sent is on disk.
    Well,
    Idle,
    Stopped,
    Broken(io::Error),
    Framing(FramingError),
    Spool(SpoolError),
}

async fn stream(inlet: Arc<Inlet>, mut connection: Connection, mut stopped: watch::Receiver<bool>) {
    let ended = tokio::select! {
        ended = inlet.read(&mut connection.wire) => ended,
        () = stopping(&mut stopped) => Ended::Stopped,
    };
    let (source, peer) = (&*inlet.source, connection.peer);
    match ended {
        Ended::Well => answer(&mut connection.wire).await,
        Ended::Idle => tracing::debug!(source, %peer, "a silent connection is closed"),
        Ended::Stopped => {}
        Ended::Broken(error) => tracing::debug!(source, %peer, %error, "a connection broke"),
        Ended::Framing(error) => {
            count(source, "shape");
            tracing::warn!(source, %peer, %error, "a connection is closed");
        }
        Ended::Spool(SpoolError::Stopping) => {}
        Ended::Spool(error) => {
            count(source, "disk");
            tracing::warn!(source, %peer, %error, "a connection is closed");
        }
    }
}

/// Ends our side as well, which says that everything is on disk.
async fn answer(wire: &mut Wire) {
    #[allow(deprecated, reason = "it takes the zero back, which is the one that does not block")]
    let lingers = wire.tcp().set_linger(None);
    if lingers.is_ok() {
        // A sender that went away does not want the answer.
        let _gone = wire.shutdown().await.is_err();
    }
}

/// Whether what follows the header is one JSON text.
fn ends_in_json(message: &[u8]) -> bool {
    let begin = message.iter().position(|byte| *byte == b'{');
    begin.is_some_and(|begin| serde_json::from_slice::<serde::de::IgnoredAny>(&message[begin..]).is_ok())
}

impl Inlet {
    async fn read(&self, wire: &mut Wire) -> Ended {
        let mut framer = Framer::new(self.config.message_max);
        let mut buffer = vec![0; READ_BYTES];
        let mut patience = self.config.first_timeout;
        loop {
            let read = match tokio::time::timeout(patience, wire.read(&mut buffer)).await {
                Ok(Ok(read)) => read,
                Ok(Err(error)) => return Ended::Broken(error),
                Err(_) => return Ended::Idle,
            };
            patience = self.config.idle_timeout;
            let mut parcel = Parcel::default();
            let observed_us = (self.clock)();
            let mut note = |kept: &[u8], length| self.note(&mut parcel, observed_us, kept, length);
            let framed = match read {
                0 => framer.end(&mut note),
                _ => framer.feed(&buffer[..read], &mut note),
            };
            // What came whole before a fault is kept.
            if !parcel.is_empty()
                && let Err(error) = self.spool.append_when_room(parcel).await
            {
                return Ended::Spool(error);
            }
            match framed {
                Err(error) => return Ended::Framing(error),
                Ok(()) if read == 0 => return Ended::Well,
                Ok(()) => {}
            }
        }
    }

    /// A datagram and a message with a count may hold several lines: each is a record, unless they are the lines of one
    /// JSON text.
    fn note(&self, parcel: &mut Parcel, observed_us: i64, kept: &[u8], length: u64) {
        let is_whole = length == kept.len() as u64;
        if !is_whole || !kept.contains(&b'\n') || ends_in_json(kept) {
            return self.note_record(parcel, observed_us, kept, length);
        }
        for line in kept.split(|byte| *byte == b'\n').map(trim_end).filter(|line| !line.is_empty()) {
            self.note_record(parcel, observed_us, line, line.len() as u64);
        }
    }

    fn note_record(&self, parcel: &mut Parcel, observed_us: i64, kept: &[u8], length: u64) {
        let is_over = length > kept.len() as u64 || kept.len() > self.config.message_max;
        let most = if is_over { self.limits.kept_bytes.min(self.config.message_max) } else { kept.len() };
        parcel.push(observed_us, &kept[..kept.len().min(most)], length);
    }

    /// The datagrams that are there, up to a bound, and how many there are.
    fn receive(&self, socket: &UdpSocket, buffer: &mut [u8]) -> (Parcel, io::Result<()>) {
        let (mut parcel, mut bytes) = (Parcel::default(), 0);
        let observed_us = (self.clock)();
        while parcel.len() < DATAGRAMS_MAX && bytes < DATAGRAMS_BYTES_MAX {
            let (length, peer): (usize, SocketAddr) = match socket.try_recv_from(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return (parcel, Err(error)),
            };
            if !self.config.allow.contains(peer.ip()) {
                count(&self.source, "network");
                continue;
            }
            let message = trim_end(&buffer[..length]);
            if !message.is_empty() {
                self.note(&mut parcel, observed_us, message, message.len() as u64);
                bytes += message.len();
            }
        }
        (parcel, Ok(()))
    }
}

/// Takes datagrams until it is stopped.
async fn datagrams(inlet: Arc<Inlet>, socket: UdpSocket, mut stopped: watch::Receiver<bool>) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut dropping = false;
    loop {
        tokio::select! {
            // An error of the socket shows at the reading.
            _ = socket.readable() => {}
            () = stopping(&mut stopped) => return,
        }
        let (parcel, received) = inlet.receive(&socket, &mut buffer);
        if let Err(error) = received {
            tracing::debug!(source = &*inlet.source, %error, "a datagram could not be received");
        }
        if parcel.is_empty() {
            continue;
        }
        let messages = parcel.len() as u64;
        let stored = inlet.spool.append(parcel).await;
        if let Err(error) = &stored {
            let reason = if *error == SpoolError::Full { "full" } else { "disk" };
            let labels = [("source", inlet.source.to_string()), ("reason", reason.to_owned())];
            metrics::counter!(crate::metric::REFUSED, &labels).increment(messages);
            // Told once for each time that it begins; the metric counts them all.
            if !dropping {
                tracing::warn!(source = &*inlet.source, %error, "datagrams are dropped");
            }
        }
        dropping = stored.is_err();
    }
}
