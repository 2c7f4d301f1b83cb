//! How a source takes syslog: over which transports, from whom, how much.

use std::net::SocketAddr;
use std::time::Duration;

use crate::ingest::network::Networks;
use crate::ingest::tls::ServerTls;

#[derive(Clone, Debug)]
pub struct SyslogConfig {
    pub udp: Option<SocketAddr>,
    pub tcp: Option<SocketAddr>,
    /// Syslog over TLS, and what it is done with.
    pub tls: Option<(SocketAddr, ServerTls)>,
    /// Bytes of a message; a longer one becomes a reject.
    pub message_max: usize,
    /// Of each of the TCP and TLS listeners.
    pub connections_max: usize,
    /// A connection that says nothing at all for so long is closed,
    pub first_timeout: Duration,
    /// and one that said something.
    pub idle_timeout: Duration,
    /// Who may send; of none, everybody.
    pub allow: Networks,
}
