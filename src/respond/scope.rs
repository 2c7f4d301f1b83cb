//! What a block keeps out: one address, or a network.
//!
//! Promises: one spelling per address (`::ffff:203.0.113.7` is 203.0.113.7, the bits behind a network's prefix are zero).
//! Never: takes a principal or a path that happens to read like an address for one; those an attacker chooses.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::action::Action;

/// Entity kinds that are addresses and networks.
pub const ADDRESS: &str = "client_ip";
pub const NETWORK: &str = "network";
/// Of networks that are kept out together (`neighbours.rs`): no alert is about it.
pub const RANGE: &str = "range";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(IpNet);

impl Scope {
    /// What this action is about, where that is an address or a network.
    pub fn of(action: &Action) -> Option<Scope> {
        Scope::of_entity(&action.entity_kind, &action.entity_value)
    }

    pub fn of_entity(kind: &str, value: &str) -> Option<Scope> {
        match kind {
            // An IPv6 client is judged as its network.
            ADDRESS => Scope::parse(value).filter(|scope| scope.is_address() || !scope.is_v4()),
            NETWORK | RANGE => Scope::parse(value),
            _ => None,
        }
    }

    pub fn address(address: IpAddr) -> Scope {
        Scope(IpNet::from(address.to_canonical()))
    }

    /// The network of that many bits around an address.
    pub fn around(address: IpAddr, bits: u8) -> Option<Scope> {
        IpNet::new(address.to_canonical(), bits).ok().map(|net| Scope(net.trunc()))
    }

    /// `203.0.113.7` or `203.0.113.0/24`.
    pub fn parse(text: &str) -> Option<Scope> {
        match text.trim().split_once('/') {
            None => text.trim().parse::<IpAddr>().ok().map(Scope::address),
            Some((address, bits)) => {
                let (address, bits): (IpAddr, u8) = (address.trim().parse().ok()?, bits.trim().parse().ok()?);
                match (address, address.to_canonical()) {
                    // A mapped network is the IPv4 one inside it.
                    (IpAddr::V6(_), IpAddr::V4(inner)) if bits >= 96 => Scope::around(inner.into(), bits - 96),
                    (IpAddr::V6(wide), IpAddr::V4(_)) => {
                        IpNet::new(wide.into(), bits).ok().map(|net| Scope(net.trunc()))
                    }
                    _ => Scope::around(address, bits),
                }
            }
        }
    }

    /// A network that is an IPv4 one already where it could be.
    pub fn of_net(net: IpNet) -> Scope {
        Scope(net.trunc())
    }

    pub fn net(&self) -> IpNet {
        self.0
    }

    pub fn is_address(&self) -> bool {
        self.0.prefix_len() == self.0.max_prefix_len()
    }

    pub fn is_v4(&self) -> bool {
        matches!(self.0, IpNet::V4(_))
    }

    pub fn contains(&self, other: &Scope) -> bool {
        self.0.contains(&other.0)
    }

    /// Whether they have an address in common.
    pub fn overlaps(&self, other: &Scope) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// With its prefix even where it is one address: `203.0.113.7/32`.
    pub fn cidr(&self) -> String {
        self.0.to_string()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_address() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_spelling_each() {
        for (text, shown, cidr) in [
            ("203.0.113.7", "203.0.113.7", "203.0.113.7/32"),
            ("::ffff:203.0.113.7", "203.0.113.7", "203.0.113.7/32"),
            ("203.0.113.7/24", "203.0.113.0/24", "203.0.113.0/24"),
            ("::ffff:203.0.113.0/120", "203.0.113.0/24", "203.0.113.0/24"),
            ("2001:DB8::1", "2001:db8::1", "2001:db8::1/128"),
            ("2001:db8:0:0:1::/64", "2001:db8::/64", "2001:db8::/64"),
        ] {
            let scope = Scope::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((scope.to_string().as_str(), scope.cidr().as_str()), (shown, cidr), "{text}");
        }
        for wrong in ["", "203.0.113", "203.0.113.0/33", "2001:db8::/129", "anna", "10.0.0.0/x"] {
            assert_eq!(Scope::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_clients_and_networks_are_scopes() {
        assert!(Scope::of_entity("client_ip", "203.0.113.7").is_some());
        assert!(Scope::of_entity("network", "203.0.113.0/24").is_some());
        assert!(Scope::of_entity("principal", "203.0.113.7").is_none());
        assert!(Scope::of_entity("client_ip", "203.0.113.0/24").is_none());
        assert_eq!(Scope::of_entity("client_ip", "2001:db8::/64"), Scope::of_entity("network", "2001:db8::/64"));
    }

    proptest! {
        /// Against the definition: an address is in a network when its first `bits` bits are the network's.
        #[test]
        fn a_network_holds_what_shares_its_first_bits(a: u32, b: u32, bits in 0u8..=32) {
            let network = Scope::parse(&format!("{}/{bits}", std::net::Ipv4Addr::from(a))).expect("valid");
            let same = bits == 0 || a >> (32 - bits) == b >> (32 - bits);
            prop_assert_eq!(network.contains(&Scope::address(std::net::Ipv4Addr::from(b).into())), same);
        }
    }
}
