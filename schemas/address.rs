//! Addresses: reading them as gateways write them, and the trusted-proxy rule that tells the client from the proxies.
//!
//! Promises: the client is the nearest address that is not a trusted proxy. A forwarding header counts only as far as
//! trusted proxies vouch for it, from the right; what is not an address never wins. IPv4 in IPv6 clothes is IPv4.
//! Never: resolves a name.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::FORWARDED_HOPS_MAX;

/// Where the client address came from, as the column `client_ip_source` shows it.
pub(crate) const PEER: &str = "peer";
pub(crate) const FORWARDED: &str = "forwarded";
/// The line can be read in more than one way, and they differ in the client: never blocked on.
pub(crate) const UNPROVEN: &str = "unproven";

/// Proxies whose word about the address before them is taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trusted {
    networks: Vec<(u128, u128)>,
    /// Peers over a local socket, which have no address.
    socket: bool,
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

    fn contains(&self, address: IpAddr) -> bool {
        let bits = bits(address);
        self.networks.iter().any(|(network, mask)| bits & mask == *network)
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

/// An address as gateways write it: with a port, in brackets, with a zone, quoted.
pub(crate) fn parse(text: &str) -> Option<IpAddr> {
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
        Some((v4, port)) if is_port(port) => Some(IpAddr::V4(v4.parse().ok()?)),
        _ => v6(text),
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

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn v6(text: &str) -> Option<IpAddr> {
    let address = text.split_once('%').map_or(text, |(address, _zone)| address);
    Some(address.parse::<Ipv6Addr>().ok()?.to_canonical())
}

/// The client of a request from its peer and the forwarding header (`X-Forwarded-For`), and where it came from. Where
/// no peer is logged, the last hop of the header stands for it.
pub(crate) fn client(peer: Option<&str>, forwarded: Option<&str>, trusted: &Trusted) -> Option<(IpAddr, &'static str)> {
    let forwarded = forwarded.unwrap_or("");
    let address = peer.and_then(parse);
    let mut client = match (address, peer) {
        (Some(address), _) if !trusted.contains(address) => return Some((address, PEER)),
        (Some(address), _) => Some((address, PEER)),
        (None, Some(peer)) if !(trusted.socket && peer.starts_with("unix:")) => return None,
        _ => None,
    };
    for hop in forwarded.rsplit(',').take(FORWARDED_HOPS_MAX) {
        let Some(hop) = parse(hop) else { break };
        client = Some((hop, FORWARDED));
        if !trusted.contains(hop) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trusted(networks: &[&str]) -> Trusted {
        Trusted::parse(&networks.iter().map(|n| n.to_string()).collect::<Vec<_>>()).expect("networks parse")
    }

    #[track_caller]
    fn check(peer: &str, forwarded: &str, expected: Option<(&str, &str)>) {
        let trusted = trusted(&["198.51.100.0/24", "2001:db8:1::/48"]);
        let found = client((!peer.is_empty()).then_some(peer), Some(forwarded), &trusted);
        let found = found.map(|(ip, source)| (ip.to_string(), source));
        assert_eq!(found, expected.map(|(ip, source)| (ip.to_string(), source)));
    }

    #[test]
    fn the_client_is_the_nearest_address_that_is_no_trusted_proxy() {
        check("203.0.113.9", "", Some(("203.0.113.9", PEER)));
        check("203.0.113.9", "192.0.2.1", Some(("203.0.113.9", PEER)));
        check("198.51.100.1", "192.0.2.1", Some(("192.0.2.1", FORWARDED)));
        check("198.51.100.1", "192.0.2.1, 203.0.113.7, 198.51.100.2", Some(("203.0.113.7", FORWARDED)));
        check("198.51.100.1", "198.51.100.3,198.51.100.2", Some(("198.51.100.3", FORWARDED)));
        check("[2001:db8:1::1]:4711", "[2001:db8:2::9]:80", Some(("2001:db8:2::9", FORWARDED)));
        check("::ffff:198.51.100.1", "::ffff:192.0.2.1", Some(("192.0.2.1", FORWARDED)));
    }

    #[test]
    fn garbage_never_wins() {
        check("198.51.100.1", "' or 1=1", Some(("198.51.100.1", PEER)));
        check("198.51.100.1", "192.0.2.1, unknown", Some(("198.51.100.1", PEER)));
        check("198.51.100.1", "192.0.2.1, <x>, 198.51.100.2", Some(("198.51.100.2", FORWARDED)));
        check("198.51.100.1", "", Some(("198.51.100.1", PEER)));
        check("not-an-address", "192.0.2.1", None);
        check("unix:", "192.0.2.1", None);
        check("", "192.0.2.1, 203.0.113.7", Some(("203.0.113.7", FORWARDED)));
        check("", "", None);
        let socket = trusted(&["unix:"]);
        assert_eq!(client(Some("unix:"), Some("192.0.2.1"), &socket).map(|c| c.1), Some(FORWARDED));
    }

    #[test]
    fn addresses_in_their_forms() {
        for (text, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            (" 192.0.2.1:443 ", Some("192.0.2.1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("2001:DB8:0::1", Some("2001:db8::1")),
            ("fe80::1%eth0", Some("fe80::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("\"[2001:db8::1]\"", Some("2001:db8::1")),
            ("192.0.2.256", None),
            ("192.0.2.1:http", None),
            ("[2001:db8::1", None),
            ("[2001:db8::1]x", None),
            ("_hidden", None),
            ("", None),
        ] {
            assert_eq!(parse(text).map(|ip| ip.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn networks_are_checked() {
        for bad in ["10.0.0.0/33", "2001:db8::/129", "10.0.0/8", "proxy.example", "", "10.0.0.0/", "10.0.0.0/-1"] {
            assert_eq!(Trusted::parse(&[bad.to_string()]).err().as_deref(), Some(bad));
        }
        let all = trusted(&["0.0.0.0/0"]);
        assert!(all.contains(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1))));
        assert!(!all.contains(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert!(trusted(&["::/0"]).contains(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert!(trusted(&["192.0.2.7"]).contains("192.0.2.7".parse().expect("an address")));
        assert!(!trusted(&["192.0.2.7"]).contains("192.0.2.8".parse().expect("an address")));
    }

    proptest! {
        #[test]
        fn addresses_print_as_the_standard_library_does(bits in any::<u32>(), v6 in any::<u128>()) {
            for address in [IpAddr::V4(Ipv4Addr::from_bits(bits)), IpAddr::V6(Ipv6Addr::from_bits(v6))] {
                let mut out = String::from("old");
                write(address, &mut out);
                prop_assert_eq!(out, address.to_string());
            }
        }

        #[test]
        fn an_untrusted_peer_is_always_the_client(forwarded in "\\PC{0,60}") {
            let found = client(Some("203.0.113.9"), Some(&forwarded), &trusted(&["10.0.0.0/8"]));
            prop_assert_eq!(found, Some(("203.0.113.9".parse().expect("an address"), PEER)));
        }
    }
}
