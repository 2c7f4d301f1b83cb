//! Connections of a TCP listener: bound or refused with the reason, counted, limited, and with TLS where it is configured.
//!
//! Promises: at most so many connections at a time, handshakes included, and so many of one peer; one more is closed at once
//! and counted, and the log says when that begins. A peer outside the allowed networks is closed before a byte of it is
//! read. A handshake ends within its time.
//! Never: reads or answers anything itself.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::IngestError;
use super::network::Networks;
use super::seats::{Full, Seat, Seats};
use crate::clock::Stopwatch;
use crate::metric;

/// A TLS handshake takes at most this long.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Connections that are made and wait for who serves them.
const READY_MAX: usize = 16;
/// After an error that is not of a connection (no file handles left), before the next try.
const AFTER_ERROR: Duration = Duration::from_millis(500);
/// That there is no place is told so often at most.
const TELL_AGAIN: Duration = Duration::from_secs(600);

/// What a listener accepts.
pub struct Accepting {
    /// The source, for metrics and logs.
    pub name: Arc<str>,
    pub tls: Option<TlsAcceptor>,
    pub connections_max: usize,
    /// Of one peer.
    pub of_peer_max: usize,
    pub allow: Networks,
    /// Whatever closes a connection, unless its server says otherwise, resets it: peers take its end for an answer.
    pub resets: bool,
}

/// A connection, ready to be read.
pub struct Connection {
    pub wire: Wire,
    pub peer: SocketAddr,
    /// Given back when the connection is closed.
    pub seat: Seat,
}

/// Binds the address; the error says which and why not.
pub fn bind(runtime: &Handle, address: SocketAddr) -> Result<TcpListener, IngestError> {
    // Waits for nothing: an address is bound or not.
    runtime.block_on(TcpListener::bind(address)).map_err(|error| refused(address, &error))
}

/// What is wrong with an address, and what to do about it.
pub fn refused(address: SocketAddr, error: &io::Error) -> IngestError {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "; another program listens there: stop it, or choose another port",
        io::ErrorKind::AddrNotAvailable => "; expected an address of this machine, or 0.0.0.0 or [::] for all of them",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need the capability CAP_NET_BIND_SERVICE",
        _ => "",
    };
    let (address, message) = (address.to_string(), format!("cannot listen: {error}{advice}"));
    match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => IngestError::InUse { address, message },
        _ => IngestError::Listen { address, message },
    }
}

/// Accepts until nobody takes the connections any more; the address is free again when the task is done.
pub fn accept(listener: TcpListener, accepting: Accepting) -> (mpsc::Receiver<Connection>, JoinHandle<()>) {
    let (ready, connections) = mpsc::channel(READY_MAX);
    (connections, tokio::spawn(accept_all(listener, accepting, ready)))
}

async fn accept_all(listener: TcpListener, accepting: Accepting, ready: mpsc::Sender<Connection>) {
    let seats = Seats::new(accepting.connections_max, accepting.of_peer_max);
    let mut told: Option<Stopwatch> = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ready.closed() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_the_peer(&error) => continue,
            Err(error) => {
                tracing::warn!(source = &*accepting.name, %error, "a connection could not be accepted");
                tokio::time::sleep(AFTER_ERROR).await;
                continue;
            }
        };
        // A socket that refuses is gone already.
        let _gone = accepting.resets && stream.set_zero_linger().is_err();
        if !accepting.allow.contains(peer.ip()) {
            accepting.refuse(peer, "network", "its address is in none of the networks of `allow`");
            continue;
        }
        let seat = match seats.take(peer.ip()) {
            Ok(seat) => seat,
            Err(full) => {
                let why = match full {
                    Full::All => "there are as many connections as connections_max allows",
                    Full::OfPeer => "this peer has as many connections as one peer may have",
                };
                accepting.refuse(peer, "full", why);
                if told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
                    told = Some(Stopwatch::start());
                    let (source, most, of_peer) = (&*accepting.name, accepting.connections_max, accepting.of_peer_max);
                    tracing::warn!(source, %peer, connections_max = most, of_peer, "connections are refused: {why}");
                }
                continue;
            }
        };
        // Answers are short and shall not wait for more. A socket that refuses goes on without.
        let _refused = stream.set_nodelay(true).is_err();
        let Some(tls) = accepting.tls.clone() else {
            let wire = Wire::Plain(stream);
            // Nobody takes it: the listener is being closed.
            let _closed = ready.send(Connection { wire, peer, seat }).await.is_err();
            continue;
        };
        let (ready, name) = (ready.clone(), accepting.name.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_TIME_MAX, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let wire = Wire::Tls(Box::new(stream));
                    let _closed = ready.send(Connection { wire, peer, seat }).await.is_err();
                }
                Ok(Err(error)) => {
                    count(&name, "tls");
                    tracing::debug!(source = &*name, %peer, %error, "the TLS handshake failed");
                }
                Err(_) => {
                    count(&name, "tls");
                    tracing::debug!(source = &*name, %peer, "the TLS handshake took too long");
                }
            }
        });
    }
}

impl Accepting {
    fn refuse(&self, peer: SocketAddr, reason: &'static str, why: &str) {
        count(&self.name, reason);
        tracing::debug!(source = &*self.name, %peer, "a connection is refused: {why}");
    }
}

/// Counts something that a listener refused.
pub fn count(source: &str, reason: &'static str) {
    metrics::counter!(metric::REFUSED, "source" => source.to_owned(), "reason" => reason).increment(1);
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Whether nobody but this machine can reach an address.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// A TCP stream, with TLS or without.
pub enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Wire::Plain(stream) => stream,
            Wire::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Wire::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Wire::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(context),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
