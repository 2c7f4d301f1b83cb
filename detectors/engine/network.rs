//! Networks of IPv6 clients. One client has at least a /64 and changes its address within it at will, so what is judged
//! is the network.
//!
//! Promises: an IPv4 address written as IPv6 is IPv4; the SQL finds exactly the addresses of the network, in the one
//! spelling that events have (RFC 5952).
//! Never: guesses at text that is no address.

use std::net::{IpAddr, Ipv6Addr};

/// Bits of the network that one IPv6 client has at least.
pub(crate) const CLIENT_BITS: u8 = 64;
/// Bits of the networks that neighbours are joined into, narrower first.
pub(crate) const JOINED_BITS: [u8; 2] = [56, 48];

/// The IPv6 address that this text is; `None` for all else.
#[inline]
pub(crate) fn ipv6(text: &str) -> Option<Ipv6Addr> {
    if !text.as_bytes().contains(&b':') {
        return None;
    }
    let address = text.parse::<Ipv6Addr>().ok()?;
    matches!(address.to_canonical(), IpAddr::V6(_)).then_some(address)
}

/// The first address of the network of so many bits (1 to 128) around an address.
#[inline]
pub(crate) fn network(address: Ipv6Addr, bits: u8) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & u128::MAX << (128 - u32::from(bits)))
}

/// `2001:db8::/64`
pub(crate) fn cidr(address: Ipv6Addr, bits: u8) -> String {
    format!("{}/{bits}", network(address, bits))
}

/// A condition that holds for the addresses of a network written as CIDR; `None` when the text is no such network.
pub(crate) fn sql(column: &str, text: &str) -> Option<String> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits) = (address.parse::<Ipv6Addr>().ok()?, bits.parse::<u8>().ok()?);
    (48..=CLIENT_BITS).contains(&bits).then(|| format!("regexp_like({column}, '{}')", pattern(address, bits)))
}

/// Any one of the eight groups.
const GROUP: &str = "[0-9a-f]{1,4}";

/// A regular expression for the addresses of a network of 48, 56 or 64 bits. The longest run of zeros of an address is
/// written `::`: it can lie behind the network's groups, begin in them, or end in them.
fn pattern(address: Ipv6Addr, bits: u8) -> String {
    let network = network(address, bits).segments();
    let whole = usize::from(bits / 16);
    let mut groups: Vec<String> = network[..whole].iter().map(|group| format!("{group:x}")).collect();
    let mut zeros: Vec<bool> = network[..whole].iter().map(|group| *group == 0).collect();
    if bits % 16 == 8 {
        let high = network[whole] >> 8;
        groups.push(if high == 0 { "[0-9a-f]{1,2}".to_owned() } else { format!("{high:x}[0-9a-f]{{2}}") });
        zeros.push(high == 0);
    }
    let left = 8 - groups.len();
    let rest = |groups: &[String]| format!("{}:{GROUP}(:{GROUP}){{{}}}", groups.join(":"), left - 1);
    let mut ways = vec![format!("{}:", groups.join(":"))];
    // What begins in the groups and goes on to their end, at least.
    let begins = zeros.iter().rposition(|zero| !zero).map_or(0, |last| last + 1);
    if begins < groups.len() {
        ways.push(format!("{}::({GROUP}(:{GROUP}){{0,{}}})?$", groups[..begins].join(":"), left - 1));
    }
    // What begins and ends in them.
    let mut at = 0;
    while let Some(start) = (at..whole).find(|group| zeros[*group]) {
        let end = (start..whole).find(|group| !zeros[*group]).unwrap_or(whole);
        if end - start > 1 && end < groups.len() {
            ways.push(format!("{}::{}$", groups[..start].join(":"), rest(&groups[end..])));
        }
        at = end;
    }
    format!("^({})", ways.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Predicate;
    use crate::testkit::batch_of;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn only_what_is_ipv6_is() {
        for text in ["203.0.113.7", "::ffff:203.0.113.7", "", "anna", "host:80", "2001:db8::g"] {
            assert_eq!(ipv6(text), None, "{text}");
        }
        let address = ipv6("2001:db8:1:2ff:3::4").unwrap();
        let cidrs = [64, 56, 48].map(|bits| cidr(address, bits));
        assert_eq!(cidrs, ["2001:db8:1:2ff::/64", "2001:db8:1:200::/56", "2001:db8:1::/48"]);
        assert_eq!(sql("client_ip", "203.0.113.0/24"), None);
        assert_eq!(sql("client_ip", "unix:/run/x"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// Against the definition, with many zeros, where spellings differ most.
        #[test]
        fn the_sql_finds_the_addresses_of_the_network(
            network in prop::array::uniform4(prop::sample::select(vec![0_u16, 0, 0, 1, 0x12, 0xab0, 0xab00, 0x2001])),
            others in prop::collection::vec(
                prop::array::uniform8(prop::sample::select(vec![0_u16, 0, 0, 0, 1, 0x12, 0xff, 0xab0, 0xab01, 0x2001])), 60),
            bits in prop::sample::select(vec![48_u8, 56, 64]),
        ) {
            let of = |groups: [u16; 8]| Ipv6Addr::from(groups);
            let [a, b, c, d] = network;
            let base = of([a, b, c, d, 0, 0, 0, 0]);
            let inside = others.iter().map(|o| of([a, b, c, d, o[4], o[5], o[6], o[7]]));
            let near = others.iter().map(|o| of([a, b, c, o[3], o[4], o[5], o[6], o[7]]));
            let all: Vec<Ipv6Addr> = inside.chain(near).chain(others.iter().map(|o| of(*o))).collect();
            let all: Vec<Ipv6Addr> = all.into_iter().filter(|a| ipv6(&a.to_string()).is_some()).collect();
            let rows: Vec<_> = all.iter().map(|a| json!({ "time": 0, "client_ip": a.to_string() })).collect();
            let condition = sql("client_ip", &cidr(base, bits)).unwrap();
            let found = Predicate::compile(&condition).unwrap().matches(&batch_of(&rows).unwrap()).0;
            for (at, address) in all.iter().enumerate() {
                let is_in = super::network(*address, bits) == super::network(base, bits);
                prop_assert_eq!(found.value(at), is_in, "{} in {}: {}", address, cidr(base, bits), condition);
            }
        }
    }
}
