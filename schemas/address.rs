//! Addresses: reading them as gateways write them, and the rule that tells the client from the proxies.
//!
//! Promises: the client is the nearest address that no trusted proxy vouches for any further. A forwarding header counts
//! only as far as trusted proxies wrote it, from the right; what stands left of the client never matters. Where the
//! header does not tell, the address is that of the last proxy that is vouched for and is marked `unproven`; so is an
//! address for which nobody vouches. IPv4 in IPv6 clothes is IPv4.
//! Never: resolves a name, or takes a word that is no address for one.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::FORWARDED_HOPS_MAX;

/// Where the client address came from, as the column `client_ip_source` shows it.
pub(crate) const PEER: &str = "peer";
pub(crate) const FORWARDED: &str = "forwarded";
pub(crate) const HEADER: &str = "header";
/// Nobody to be trusted says that this is the client. It is counted and told like any other, and never blocked.
pub(crate) const UNPROVEN: &str = "unproven";

/// Proxies whose word about the address before them is taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trusted {
    networks: Vec<(u128, u128)>,
    /// Peers over a local socket, which have no address.
    socket: bool,
    /// How many proxies stand before the gateway, where they are told by number and not by address.
    hops: usize,
    /// Trusted proxies set the header with the client's address.
    header: bool,
}

impl Trusted {
    /// From `10.0.0.0/8`, `2001:db8::/32`, a single address, or `unix:`. The error says which is none of these.
    pub(crate) fn parse(networks: &[String]) -> Result<Trusted, String> {
        let mut trusted = Trusted::default();
        for text in networks {
            if text == "unix:" {
                trusted.socket = true;
            } else {
                trusted.networks.push(network(text).ok_or_else(|| text.clone())?);
            }
        }
        Ok(trusted)
    }

    /// With so many proxies before the gateway, in the place of networks; 0 leaves it at the networks.
    pub(crate) fn with_hops(self, hops: usize) -> Trusted {
        Trusted { hops: hops.min(FORWARDED_HOPS_MAX), ..self }
    }

    /// Whether the header with a single address is believed from them.
    pub(crate) fn with_header(self, header: bool) -> Trusted {
        Trusted { header, ..self }
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let bits = bits(address);
        self.networks.iter().any(|(network, mask)| bits & mask == *network)
    }

    /// Whether there is any proxy to believe.
    pub(crate) fn any(&self) -> bool {
        self.hops > 0 || self.socket || !self.networks.is_empty()
    }
}

/// Addresses of both families in one space: IPv4 as IPv4-mapped IPv6.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn network(text: &str) -> Option<(u128, u128)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let (width, shift) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
    let length = length.unwrap_or(width);
    if length > width {
        return None;
    }
    let mask = u128::MAX.checked_shl(128 - (length + shift)).unwrap_or(0);
    Some((bits(address) & mask, mask))
}

/// The longest address with zone, port, brackets and what people put around it; a longer text is none.
const ADDRESS_BYTES_MAX: usize = 256;

/// An address as gateways write it: with a port, in brackets, with a zone, quoted, IPv4 mapped into IPv6. Also IPv6 with a
/// port behind a colon (as AWS load balancers write it) where that cannot be one more group of the address.
pub(crate) fn parse(text: &str) -> Option<IpAddr> {
    if text.len() > ADDRESS_BYTES_MAX {
        return None;
    }
    let text = text.trim_matches(|c: char| c == ' ' || c == '\t' || c == '"');
    if let Ok(v4) = text.parse::<Ipv4Addr>() {
        return Some(IpAddr::V4(v4));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let is_port = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        return is_port.then(|| v6(inside)).flatten();
    }
    match text.split_once(':') {
        Some((v4, port)) if is_port(port) && v4.contains('.') => Some(IpAddr::V4(v4.parse().ok()?)),
        Some(_) => v6(text).or_else(|| v6_with_port(text)),
        None => None,
    }
}

/// A hop of a forwarding list: an address as `parse` reads it, or an element of RFC 7239 (`for="[2001:db8::1]:4711"`).
/// `None` for `unknown`, `_hidden`, `-`, names, nothing, and an element that says `for` more than once or not at all.
pub(crate) fn hop(text: &str) -> Option<IpAddr> {
    if !text.contains('=') {
        return parse(text);
    }
    let mut nodes = text.split(';').filter_map(|pair| {
        let (name, node) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(node)
    });
    match (nodes.next(), nodes.next()) {
        (Some(node), None) => parse(node),
        _ => None,
    }
}

/// Writes `address` over `out`, as the standard library prints it. Faster for IPv4, since every event has one.
pub(crate) fn write(address: IpAddr, out: &mut String) {
    out.clear();
    let IpAddr::V4(v4) = address else {
        write!(out, "{address}").expect("writing to a string succeeds");
        return;
    };
    for (i, octet) in v4.octets().into_iter().enumerate() {
        if i > 0 {
            out.push('.');
        }
        let digit = |n: u8| char::from(b'0' + n % 10);
        if octet >= 100 {
            out.push(digit(octet / 100));
        }
        if octet >= 10 {
            out.push(digit(octet / 10));
        }
        out.push(digit(octet));
    }
}

/// A port; RFC 7239 allows a made-up one that starts with `_`.
fn is_port(text: &str) -> bool {
    let hidden = || {
        text.strip_prefix('_').is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        })
    };
    ((1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok())
        || hidden()
}

fn v6(text: &str) -> Option<IpAddr> {
    let (address, zone) = text.split_once('%').unwrap_or((text, "0"));
    let is_zone = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if zone.is_empty() || !zone.bytes().all(is_zone) {
        return None;
    }
    Some(address.parse::<Ipv6Addr>().ok()?.to_canonical())
}

/// `2001:db8:0:0:0:0:0:1:50599` has a group too many, and `50599` is too long for one: the last is a port.
fn v6_with_port(text: &str) -> Option<IpAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let is_port = is_port(port) && !port.starts_with('_');
    is_port.then(|| v6(address)).flatten()
}

/// The client of a request, and where its address came from: by the networks of the proxies, or by their number. Where
/// no peer is logged, the last hop of the list is the nearest that is known; whether it is vouched for, only the
/// configuration can say.
pub(crate) fn client(
    peer: Option<&str>,
    forwarded: Option<&str>,
    header: Option<&str>,
    trusted: &Trusted,
) -> Option<(IpAddr, &'static str)> {
    let over_socket = peer.is_some_and(is_socket);
    let peer = match peer {
        Some(peer) if !is_socket(peer) => Some(parse(peer)?),
        _ => None,
    };
    let believed = trusted.any() && (!over_socket || trusted.hops > 0 || trusted.socket);
    let is_empty = |list: &str| list.trim() == "-" || list.bytes().all(|b| matches!(b, b',' | b' ' | b'\t'));
    let list = forwarded.filter(|list| !is_empty(list));
    let by_proxy = trusted.hops > 0 || peer.is_none_or(|address| trusted.contains(address));
    if !by_proxy {
        return peer.map(|address| (address, PEER));
    }
    if trusted.header
        && believed
        && let Some(address) = header.and_then(parse)
        && !trusted.contains(address)
    {
        return Some((address, HEADER));
    }
    let found = match (list, trusted.hops) {
        (Some(list), 0) => nearest_untrusted(peer, list, trusted),
        (Some(list), hops) => at_hop(peer, list, hops),
        // Without a list there is only the peer. A proxy told by number is one even then.
        (None, hops) => peer.map(|address| (address, if hops > 0 { UNPROVEN } else { PEER })),
    };
    found.map(|(address, source)| (address, if believed { source } else { UNPROVEN }))
}

/// The hops of a list from the right; empty elements are none (RFC 9110, 5.6.1).
fn hops(list: &str) -> impl Iterator<Item = &str> {
    list.rsplit(',').filter(|element| !element.trim().is_empty())
}

/// How nginx names a peer without an address; HAProxy has a number for its port.
pub(crate) fn is_socket(text: &str) -> bool {
    text == "unix" || text.starts_with("unix:")
}

/// From the right: the first hop that is no trusted proxy, or the leftmost where all are. A hop that is no address ends
/// the walk: all that is known then is the last proxy.
fn nearest_untrusted(peer: Option<IpAddr>, list: &str, trusted: &Trusted) -> Option<(IpAddr, &'static str)> {
    let mut nearest = peer;
    for text in hops(list).take(FORWARDED_HOPS_MAX) {
        if trusted.socket && is_socket(text.trim()) {
            continue;
        }
        let Some(address) = hop(text) else { return nearest.map(|address| (address, UNPROVEN)) };
        nearest = Some(address);
        if !trusted.contains(address) {
            break;
        }
    }
    nearest.map(|address| (address, FORWARDED))
}

/// The hop so many places from the right, the peer being place 0. Where there are fewer, or it is no address, the
/// farthest address on the way there.
fn at_hop(peer: Option<IpAddr>, list: &str, count: usize) -> Option<(IpAddr, &'static str)> {
    let mut texts = hops(list).peekable();
    // A gateway that adds its peer to the list before it logs it tells the peer twice.
    if peer.is_some() && texts.peek().and_then(|last| hop(last)) == peer {
        texts.next();
    }
    let (mut nearest, mut walked, mut last_read) = (peer, 0, false);
    for text in texts.take(count) {
        let address = hop(text);
        last_read = address.is_some();
        nearest = address.or(nearest);
        walked += 1;
    }
    let source = if walked == count && last_read { FORWARDED } else { UNPROVEN };
    nearest.map(|address| (address, source))
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
