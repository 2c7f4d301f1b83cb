//! Networks, as `cidr` names them.
//!
//! Promises: an IPv4 address in the clothes of IPv6 is the IPv4 address.
//! Never: resolves a name.

use std::net::IpAddr;

/// A network of IPv4 or IPv6 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    pub fn parse(text: &str) -> Result<Network, String> {
        let wrong = || format!("`{text}` is no network; expected one like 192.0.2.0/24 or 2001:db8::/32");
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), str::parse).map_err(|_| wrong())?;
        if prefix > bits { Err(wrong()) } else { Ok(Network { address, prefix }) }
    }

    pub fn contains(&self, text: &str) -> bool {
        let text = text.trim().trim_start_matches('[').trim_end_matches(']');
        let Ok(address) = text.parse::<IpAddr>() else { return false };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(it)) => same(net.to_bits().into(), it.to_bits().into(), 32 - self.prefix),
            (IpAddr::V6(net), IpAddr::V6(it)) => same(net.to_bits(), it.to_bits(), 128 - self.prefix),
            // A network such as ::ffff:0:0/96 holds addresses in those clothes.
            (IpAddr::V6(net), IpAddr::V4(it)) => same(net.to_bits(), it.to_ipv6_mapped().to_bits(), 128 - self.prefix),
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        }
    }
}

/// Whether two addresses are the same but for their last bits.
fn same(one: u128, other: u128, last: u32) -> bool {
    (one ^ other).checked_shr(last).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let holds = |net: &str, address: &str| Network::parse(net).unwrap().contains(address);
        assert!(holds("192.0.2.0/24", "192.0.2.255"));
        assert!(holds("192.0.2.7/24", "192.0.2.1"));
        assert!(holds("192.0.2.7", "192.0.2.7"));
        assert!(holds("0.0.0.0/0", "198.51.100.1"));
        assert!(holds("192.0.2.0/24", "::ffff:192.0.2.9"));
        assert!(holds("2001:db8::/32", "[2001:db8::1]"));
        assert!(!holds("192.0.2.0/24", "192.0.3.0"));
        assert!(!holds("0.0.0.0/0", "2001:db8::1"));
        assert!(!holds("192.0.2.0/24", "host"));
        assert!(Network::parse("192.0.2.0/33").unwrap_err().contains("expected"));
        assert!(Network::parse("example").is_err());
    }
}
