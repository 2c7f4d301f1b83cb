//! Tests of `address.rs`: addresses in all their forms, and who is the client in each circumstance.

use proptest::prelude::*;

use super::*;

fn trusted(networks: &[&str]) -> Trusted {
    Trusted::parse(&networks.iter().map(|n| n.to_string()).collect::<Vec<_>>()).expect("networks parse")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[track_caller]
fn check_by(trusted: &Trusted, (peer, forwarded, header): (&str, &str, &str), expected: Option<(&str, &str)>) {
    let given = |text| Some(text).filter(|text: &&str| !text.is_empty());
    let found = client(given(peer), given(forwarded), given(header), trusted);
    let found = found.map(|(ip, source)| (ip.to_string(), source));
    assert_eq!(found, expected.map(|(ip, source)| (ip.to_string(), source)), "{peer:?} {forwarded:?} {header:?}");
}

#[track_caller]
fn check(peer: &str, forwarded: &str, expected: Option<(&str, &str)>) {
    check_by(&trusted(&["198.51.100.0/24", "2001:db8:1::/48"]), (peer, forwarded, "203.0.113.200"), expected);
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
    check("198.51.100.1", "", Some(("198.51.100.1", PEER)));
    // Empty elements are no hops.
    check("198.51.100.1", "192.0.2.1,", Some(("192.0.2.1", FORWARDED)));
    check("198.51.100.1", "203.0.113.9,, 198.51.100.2", Some(("203.0.113.9", FORWARDED)));
    check("198.51.100.1", " , ,", Some(("198.51.100.1", PEER)));
    check("unix:1", "192.0.2.1", Some(("192.0.2.1", UNPROVEN)));
    check("unix", "192.0.2.1", Some(("192.0.2.1", UNPROVEN)));
    check("198.51.100.1", "-", Some(("198.51.100.1", PEER)));
}

#[test]
fn what_stands_left_of_the_client_never_matters() {
    for odd in
        ["unknown", "-", "", " ", "u08022", "_gazonk", "' or 1=1", "\u{fffd}", "192.0.2.50", "for=192.0.2.50", "a=b;"]
    {
        check("198.51.100.1", &format!("{odd}, 203.0.113.66"), Some(("203.0.113.66", FORWARDED)));
        check("198.51.100.1", &format!("{odd},203.0.113.66:5000,198.51.100.7"), Some(("203.0.113.66", FORWARDED)));
    }
}

#[test]
fn a_word_nearer_than_the_client_leaves_the_last_proxy_unproven() {
    check("198.51.100.1", "' or 1=1", Some(("198.51.100.1", UNPROVEN)));
    check("198.51.100.1", "192.0.2.1, unknown", Some(("198.51.100.1", UNPROVEN)));
    check("198.51.100.1", "192.0.2.1, <x>, 198.51.100.2", Some(("198.51.100.2", UNPROVEN)));
    check("not-an-address", "192.0.2.1", None);
    check("", "unknown", None);
    check("", "", None);
}

#[test]
fn without_a_peer_the_configuration_says_whether_the_list_counts() {
    check("", "192.0.2.1, 203.0.113.7", Some(("203.0.113.7", FORWARDED)));
    let nobody = Trusted::default();
    check_by(&nobody, ("", "192.0.2.1, 203.0.113.7", ""), Some(("203.0.113.7", UNPROVEN)));
    check_by(&nobody, ("unix:", "192.0.2.1", ""), Some(("192.0.2.1", UNPROVEN)));
    check_by(&trusted(&["192.0.2.0/24"]), ("unix:", "203.0.113.1", "192.0.2.9"), Some(("203.0.113.1", UNPROVEN)));
    let socket = trusted(&["unix:"]);
    check_by(&socket, ("unix:", "192.0.2.1", ""), Some(("192.0.2.1", FORWARDED)));
    check_by(&socket, ("unix:", "192.0.2.1, unix:", ""), Some(("192.0.2.1", FORWARDED)));
    check_by(&socket, ("unix:", "", ""), None);
}

#[test]
fn elements_of_the_forwarded_header() {
    for (list, expected) in [
        ("for=203.0.113.66", "203.0.113.66"),
        ("for=192.0.2.50, For=\"203.0.113.66:4711\";proto=https;by=198.51.100.9", "203.0.113.66"),
        ("proto=https;for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=\"[2001:db8:cafe::17]:_port\"", "2001:db8:cafe::17"),
        // A quote that the client left open swallows nothing: lists are read from the right.
        ("for=\"192.0.2.50, for=203.0.113.66", "203.0.113.66"),
    ] {
        check("198.51.100.1", list, Some((expected, FORWARDED)));
    }
    for odd in ["for=_hidden", "for=unknown", "for=", "by=203.0.113.66", "for=192.0.2.50;for=203.0.113.66", "="] {
        check("198.51.100.1", odd, Some(("198.51.100.1", UNPROVEN)));
    }
}

#[test]
fn proxies_told_by_their_number() {
    let by = |hops, list: &str, expected: (&str, &str)| {
        check_by(&Trusted::default().with_hops(hops), ("198.51.100.1", list, ""), Some(expected));
    };
    by(1, "192.0.2.50, 203.0.113.66", ("203.0.113.66", FORWARDED));
    by(2, "192.0.2.50, 203.0.113.66, 198.51.100.2", ("203.0.113.66", FORWARDED));
    by(2, "203.0.113.66, unknown", ("203.0.113.66", FORWARDED));
    // The gateway added its peer before it logged the list.
    by(1, "192.0.2.50, 203.0.113.66, 198.51.100.1", ("203.0.113.66", FORWARDED));
    // Too short, or no address at the place: a proxy, perhaps, so nobody is blocked.
    by(1, "", ("198.51.100.1", UNPROVEN));
    by(1, "198.51.100.1", ("198.51.100.1", UNPROVEN));
    by(2, "203.0.113.66", ("203.0.113.66", UNPROVEN));
    by(1, "192.0.2.50, unknown", ("198.51.100.1", UNPROVEN));
    by(2, "192.0.2.50, unknown, 198.51.100.2", ("198.51.100.2", UNPROVEN));
    let one = Trusted::default().with_hops(1);
    check_by(&one, ("unix:", "192.0.2.50, 203.0.113.66", ""), Some(("203.0.113.66", FORWARDED)));
    check_by(&one, ("", "192.0.2.50, 203.0.113.66", ""), Some(("203.0.113.66", FORWARDED)));
}

#[test]
fn a_header_with_one_address_is_believed_from_trusted_peers_when_told_so() {
    let by = trusted(&["198.51.100.0/24"]).with_header(true);
    check_by(&by, ("198.51.100.1", "192.0.2.50", "203.0.113.66"), Some(("203.0.113.66", HEADER)));
    check_by(&by, ("198.51.100.1", "", "203.0.113.66"), Some(("203.0.113.66", HEADER)));
    check_by(&by, ("203.0.113.9", "", "192.0.2.50"), Some(("203.0.113.9", PEER)));
    // A word, or a proxy: the list decides.
    check_by(&by, ("198.51.100.1", "203.0.113.66", "unknown"), Some(("203.0.113.66", FORWARDED)));
    check_by(&by, ("198.51.100.1", "203.0.113.66", "198.51.100.3"), Some(("203.0.113.66", FORWARDED)));
    check_by(&Trusted::default().with_header(true), ("", "", "192.0.2.50"), None);
    let hops = Trusted::default().with_hops(1).with_header(true);
    check_by(&hops, ("198.51.100.1", "", "203.0.113.66"), Some(("203.0.113.66", HEADER)));
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
        ("fe80::1%25eth0", Some("fe80::1")),
        ("[fe80::1%25en0]:443", Some("fe80::1")),
        ("::ffff:192.0.2.1", Some("192.0.2.1")),
        ("::FFFF:c000:0201", Some("192.0.2.1")),
        ("::ffff:192.0.2.1:443", Some("192.0.2.1")),
        ("[::ffff:192.0.2.1]:99", Some("192.0.2.1")),
        ("\"[2001:db8::1]\"", Some("2001:db8::1")),
        ("2001:db8:0:0:0:0:0:1:50599", Some("2001:db8::1")),
        ("2001:db8:0:0:0:0:0:1:80", Some("2001:db8::1")),
        ("2001:db8::1:50599", Some("2001:db8::1")),
        // One more group, as far as anybody can tell.
        ("2001:db8::1:4711", Some("2001:db8::1:4711")),
        ("192.0.2.256", None),
        ("192.0.2.01", None),
        ("0300.0.2.1", None),
        ("3221225985", None),
        ("0xc0.0.2.1", None),
        ("192.0.2.1:http", None),
        ("192.0.2.1:70000", None),
        ("2001:db8::1:70000", None),
        ("[2001:db8::1", None),
        ("[2001:db8::1]x", None),
        ("fe80::1%", None),
        ("fe80::1%<x>", None),
        ("_hidden", None),
        ("unknown", None),
        ("-", None),
        ("unix:", None),
        ("", None),
    ] {
        assert_eq!(parse(text).map(|ip| ip.to_string()).as_deref(), expected, "{text}");
        assert_eq!(hop(text), parse(text), "{text}");
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
    assert!(trusted(&["192.0.2.7"]).contains(ip("192.0.2.7")));
    assert!(!trusted(&["192.0.2.7"]).contains(ip("192.0.2.8")));
}

proptest! {
    #[test]
    fn addresses_print_as_the_standard_library_does(bits in any::<u32>(), v6 in any::<u128>()) {
        for address in [IpAddr::V4(Ipv4Addr::from_bits(bits)), IpAddr::V6(Ipv6Addr::from_bits(v6))] {
            let mut out = String::from("old");
            write(address, &mut out);
            prop_assert_eq!(&out, &address.to_string());
            prop_assert_eq!(parse(&out), Some(address.to_canonical()));
        }
    }

    #[test]
    fn an_untrusted_peer_is_always_the_client(forwarded in "\\PC{0,60}", header in "\\PC{0,20}") {
        let trusted = trusted(&["10.0.0.0/8"]).with_header(true);
        let found = client(Some("203.0.113.9"), Some(&forwarded), Some(&header), &trusted);
        prop_assert_eq!(found, Some((ip("203.0.113.9"), PEER)));
    }

    /// Whatever the client writes before it, the proxies' own part of the list decides.
    #[test]
    fn what_a_client_writes_never_wins(written in "[0-9a-f:.,;=\" forunkw\\[\\]_%-]{0,60}", proxies in 0usize..3) {
        let mut list = format!("{written}, 203.0.113.66");
        (0..proxies).for_each(|n| list.push_str(&format!(", 198.51.100.{n}")));
        let expected = Some((ip("203.0.113.66"), FORWARDED));
        let by_network = trusted(&["198.51.100.0/24"]);
        prop_assert_eq!(client(Some("198.51.100.9"), Some(&list), None, &by_network), expected);
        let by_number = Trusted::default().with_hops(proxies + 1);
        prop_assert_eq!(client(Some("198.51.100.9"), Some(&list), None, &by_number), expected);
    }
}
