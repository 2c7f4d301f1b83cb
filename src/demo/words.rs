//! Invented people, companies and user agents. Addresses come from ranges reserved for benchmarks (198.18.0.0/15) and
//! documentation (2001:db8::/32), because the small documentation ranges do not hold 50,000 clients.
//!
//! Never: a real person, company or address.

pub(super) const FIRST_NAMES: [&str; 40] = [
    "ana", "bruno", "chiara", "david", "elena", "farid", "grace", "hugo", "ines", "jonas", "kaya", "lena", "marek",
    "nadia", "oskar", "priya", "quinn", "rosa", "samir", "tomas", "uma", "viktor", "wanda", "xenia", "yusuf", "zofia",
    "amara", "boris", "clara", "dmitri", "esther", "felix", "gita", "henrik", "irina", "jorge", "keiko", "luca",
    "mina", "nils",
];

pub(super) const LAST_NAMES: [&str; 50] = [
    "silva",
    "berg",
    "rossi",
    "novak",
    "petrov",
    "haddad",
    "okafor",
    "martin",
    "costa",
    "weber",
    "yilmaz",
    "fischer",
    "kowalski",
    "rahman",
    "lindqvist",
    "sharma",
    "murphy",
    "garcia",
    "aziz",
    "horak",
    "patel",
    "ivanov",
    "nowak",
    "papadakis",
    "demir",
    "zielinska",
    "mensah",
    "popov",
    "dubois",
    "volkov",
    "cohen",
    "keller",
    "rao",
    "olsen",
    "sokolova",
    "ramos",
    "tanaka",
    "bianchi",
    "park",
    "jensen",
    "moreau",
    "santos",
    "fonseca",
    "hoffmann",
    "larsen",
    "mwangi",
    "ortega",
    "quist",
    "reyes",
    "szabo",
];

pub(super) const TENANTS: [&str; 40] = [
    "northwind",
    "bluepeak",
    "harborline",
    "cedarworks",
    "lumenfoods",
    "ironvale",
    "pixelmill",
    "oakbridge",
    "sunfield",
    "tidewater",
    "quartzlab",
    "redfern",
    "silverbay",
    "thornhill",
    "umbra-media",
    "vantage-air",
    "westmoor",
    "yarrow",
    "zephyr-bank",
    "alderney",
    "brightside",
    "copperleaf",
    "driftwood",
    "emberstone",
    "foxglove",
    "granite-hr",
    "hazelnut",
    "inkwell",
    "juniper-care",
    "kestrel",
    "larkspur",
    "meadowlark",
    "nimbus-law",
    "orchard",
    "pinecone",
    "quillon",
    "rosewood",
    "sandpiper",
    "tamarind",
    "underhill",
];

pub(super) const BROWSERS: [&str; 8] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
    "AcmeDesk/5.12.0 (iPhone; iOS 18.1; Scale/3.00)",
    "AcmeDesk/5.12.1 (Android 15; Pixel 8)",
    "Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
];

pub(super) const LIBRARIES: [&str; 8] = [
    "python-requests/2.32.3",
    "okhttp/4.12.0",
    "axios/1.7.9",
    "Go-http-client/2.0",
    "Java-http-client/21.0.5",
    "GuzzleHttp/7",
    "acme-sdk-node/3.4.1",
    "aiohttp/3.11.9",
];

/// Log-in name of the n-th user: unique, and without a dot-at that would look like an e-mail address.
pub(super) fn user_name(n: u32) -> String {
    let names = (FIRST_NAMES.len() * LAST_NAMES.len()) as u32;
    // 769 is coprime to the 2,000 names, so neighbours do not share a first name.
    let mixed = (n % names) * 769 % names;
    let (first, last) = (FIRST_NAMES[mixed as usize / LAST_NAMES.len()], LAST_NAMES[mixed as usize % LAST_NAMES.len()]);
    match n / names {
        0 => format!("{first}.{last}"),
        round => format!("{first}.{last}{}", round + 1),
    }
}

/// Slug of the n-th tenant.
pub(super) fn tenant_name(n: usize) -> String {
    TENANTS.get(n).map_or_else(|| format!("tenant-{n:04}"), |name| (*name).to_owned())
}

/// How many different addresses `address` has: the size of 198.18.0.0/15.
pub(super) const ADDRESSES: u32 = 1 << 17;

/// The n-th home address, `n` below `ADDRESSES`: one in eight is IPv6.
pub(super) fn address(n: u32) -> String {
    // A bijection of 17 bits: neighbours in n are not neighbours in the network.
    let mixed = n.wrapping_mul(0x9e37) & (ADDRESSES - 1);
    if mixed % 8 == 5 {
        return format!("2001:db8:{:x}:{:x}::{:x}", mixed >> 9, mixed & 0x1ff, 0x10 + (mixed >> 3));
    }
    format!("198.{}.{}.{}", 18 + (mixed >> 16), (mixed >> 8) & 0xff, mixed & 0xff)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn names_and_addresses_are_unique() {
        let names: HashSet<String> = (0..50_000).map(user_name).collect();
        let addresses: HashSet<IpAddr> = (0..ADDRESSES).map(|n| address(n).parse().unwrap()).collect();
        assert_eq!((names.len(), addresses.len()), (50_000, ADDRESSES as usize));
    }

    #[test]
    fn every_address_is_reserved() {
        for n in 0..ADDRESSES {
            let reserved = match address(n).parse().unwrap() {
                IpAddr::V4(a) => a.octets()[0] == 198 && matches!(a.octets()[1], 18 | 19),
                IpAddr::V6(a) => a.segments()[..2] == [0x2001, 0x0db8],
            };
            assert!(reserved, "{}", address(n));
        }
    }
}
