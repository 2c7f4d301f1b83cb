//! Networks that may send: `192.0.2.0/24`, `2001:db8::/32`, or one address.
//!
//! Promises: an IPv4 address that comes mapped into IPv6 is the IPv4 address.

use std::net::IpAddr;

/// Networks from which a peer may come; of none of them, every peer may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Networks {
    /// The error is the text that is no network.
    pub fn parse(texts: &[String]) -> Result<Networks, String> {
        let parse = |text: &String| Network::parse(text).ok_or_else(|| text.clone());
        texts.iter().map(parse).collect::<Result<_, _>>().map(Networks)
    }

    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.is_empty() || self.0.iter().any(|network| network.contains(peer))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Network { address, bits })
    }

    fn contains(&self, peer: IpAddr) -> bool {
        let differ = match (self.address, peer) {
            (IpAddr::V4(own), IpAddr::V4(peer)) => u128::from(own.to_bits() ^ peer.to_bits()) << 96,
            (IpAddr::V6(own), IpAddr::V6(peer)) => own.to_bits() ^ peer.to_bits(),
            _ => return false,
        };
        self.bits <= differ.leading_zeros()
    }
}

/// An IPv6 host has a /64 of addresses.
pub fn one_peer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_in_a_network_or_not() {
        let networks = |texts: &[&str]| Networks::parse(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        let inside =
            |texts: &[&str], peer: &str| networks(texts).expect("networks").contains(peer.parse().expect("ip"));
        assert!(inside(&["192.0.2.0/24"], "192.0.2.255") && !inside(&["192.0.2.0/24"], "192.0.3.0"));
        assert!(inside(&["192.0.2.0/24"], "::ffff:192.0.2.7"));
        assert!(inside(&["192.0.2.7"], "192.0.2.7") && !inside(&["192.0.2.7"], "192.0.2.6"));
        assert!(inside(&["2001:db8::/32"], "2001:db8:1::1") && !inside(&["2001:db8::/32"], "2001:db9::1"));
        assert!(inside(&["0.0.0.0/0"], "203.0.113.1") && !inside(&["0.0.0.0/0"], "2001:db8::1"));
        assert!(inside(&[], "203.0.113.1"));
        for wrong in ["192.0.2.0/33", "192.0.2", "gateway", "192.0.2.0/", "2001:db8::/129"] {
            assert_eq!(networks(&["192.0.2.1", wrong]), Err(wrong.to_owned()));
        }
    }
}
