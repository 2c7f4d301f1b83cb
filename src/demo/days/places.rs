//! Where the callers of the long demo are: 512 invented networks of 256 addresses in the range for benchmarks, each with
//! a /48 of the documentation's IPv6 beside it, and the database in the MaxMind DB format that says so.
//!
//! Promises: an address belongs to one network, a network to one place and one autonomous system with a private number;
//! the database is the same on every machine.
//! Never: a real network, or a real operator's name. Countries and coordinates are those of real cities, because
//! travel between them has to be judged.

use std::collections::BTreeMap;

/// Networks there are: 198.18.0.0/15 cut into /24.
pub(super) const NETWORKS: u32 = 512;
/// The first private number of an autonomous system (RFC 6996).
const FIRST_ASN: u32 = 64_512;

/// Kinds of network, by number.
pub(super) const HOMES: std::ops::Range<u32> = 0..180;
pub(super) const CARRIERS: std::ops::Range<u32> = 180..216;
pub(super) const CLOUDS: std::ops::Range<u32> = 216..240;
pub(super) const RELAYS: std::ops::Range<u32> = 240..246;
pub(super) const OFFICES: std::ops::Range<u32> = 246..258;
/// Whoever is planted comes from these.
pub(super) const STAGE: std::ops::Range<u32> = 264..512;

/// Code, latitude and longitude. The first eight are where the customers are, the rest is far away.
const CITIES: [(&str, f64, f64); 12] = [
    ("DE", 52.5, 13.4),
    ("FR", 48.9, 2.4),
    ("NL", 52.4, 4.9),
    ("GB", 51.5, -0.1),
    ("PL", 52.2, 21.0),
    ("AT", 48.2, 16.4),
    ("CH", 47.4, 8.5),
    ("DK", 55.7, 12.6),
    ("BR", -23.5, -46.6),
    ("JP", 35.7, 139.7),
    ("AU", -33.9, 151.2),
    ("ZA", -33.9, 18.4),
];
const NEAR: u32 = 8;

/// Whether two networks are in one city.
pub(super) fn together(a: u32, b: u32) -> bool {
    city(a) == city(b)
}

/// The city of a network: customers' networks are near, every second one of the stage is far.
fn city(network: u32) -> usize {
    let far = STAGE.contains(&network) && network % 2 == 1;
    if far { (NEAR + network / 2 % 4) as usize } else { (network / 2 % NEAR) as usize }
}

/// Far networks in which nothing is planted: journeys and the noise of the internet.
const FAR_PLAIN: u32 = 84;

/// A network far from everybody at home for what is planted; different `n` below 84 give different ones.
pub(super) fn far_network(n: u32) -> u32 {
    STAGE.start + 1 + n % FAR_PLAIN * 2
}

/// The same for ordinary callers, in networks of their own.
pub(super) fn far_plain(n: u32) -> u32 {
    STAGE.start + 1 + (FAR_PLAIN + n % (NETWORKS / 2 - STAGE.start / 2 - FAR_PLAIN)) * 2
}

/// Networks of the stage in one city, every eighth near one.
pub(super) const NEAR_STEP: u32 = NEAR;

/// A network of the stage that is near; different `n` below 124 give different ones.
pub(super) fn near_network(n: u32) -> u32 {
    STAGE.start + n % 124 * 2
}

/// A network of this kind in the same country as `like`, so that a phone and a home are not a journey apart.
pub(super) fn neighbour(kind: &std::ops::Range<u32>, like: u32, n: u32) -> u32 {
    let here: Vec<u32> = kind.clone().filter(|network| city(*network) == city(like)).collect();
    here.get(n as usize % here.len().max(1)).copied().unwrap_or(kind.start)
}

pub(super) fn v4(network: u32, host: u32) -> String {
    format!("198.{}.{}.{}", 18 + network / 256, network % 256, 1 + host % 254)
}

pub(super) fn v6(network: u32, host: u32) -> String {
    format!("2001:db8:{:x}:{:x}::{:x}", network, host, 0x10 + host % 0xff)
}

/// The database: an IPv6 tree with IPv4 in its first /96, and one record for each network.
pub fn database() -> Vec<u8> {
    let mut tree = Tree { nodes: vec![[None; 2]] };
    let mut data = Vec::new();
    for network in 0..NETWORKS {
        let at = data.len() as u32;
        record(network, &mut data);
        let v4 = (198u128 << 24) | (u128::from(18 + network / 256) << 16) | (u128::from(network % 256) << 8);
        tree.insert(v4, 120, at);
        tree.insert((0x2001_0db8u128 << 96) | (u128::from(network) << 80), 48, at);
    }
    let mut out = tree.written();
    let nodes = tree.nodes.len() as u32;
    out.extend([0; 16]);
    out.extend(data);
    metadata(nodes, &mut out);
    out
}

/// What a side of a node leads to.
#[derive(Clone, Copy)]
enum Side {
    Node(u32),
    Data(u32),
}

struct Tree {
    nodes: Vec<[Option<Side>; 2]>,
}

impl Tree {
    fn insert(&mut self, address: u128, bits: u32, data: u32) {
        let mut node = 0;
        for depth in 0..bits {
            let side = (address >> (127 - depth)) as usize & 1;
            if depth + 1 == bits {
                self.nodes[node][side] = Some(Side::Data(data));
                return;
            }
            node = match self.nodes[node][side] {
                Some(Side::Node(next)) => next as usize,
                _ => {
                    self.nodes.push([None; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side] = Some(Side::Node(next as u32));
                    next
                }
            };
        }
    }

    /// Records of 32 bits: a node's number, the number of nodes for nothing, or beyond it and 16 the place in the data.
    fn written(&self) -> Vec<u8> {
        let nodes = self.nodes.len() as u32;
        let number = |side: &Option<Side>| match side {
            None => nodes,
            Some(Side::Node(node)) => *node,
            Some(Side::Data(at)) => nodes + 16 + at,
        };
        self.nodes.iter().flatten().flat_map(|side| number(side).to_be_bytes()).collect()
    }
}

fn record(network: u32, out: &mut Vec<u8>) {
    let (code, latitude, longitude) = CITIES[city(network)];
    map(4, out);
    text("autonomous_system_number", out);
    number(FIRST_ASN + network, out);
    text("autonomous_system_organization", out);
    text(&format!("Example Network {network}"), out);
    text("country", out);
    map(1, out);
    text("iso_code", out);
    text(code, out);
    text("location", out);
    map(2, out);
    text("latitude", out);
    double(latitude, out);
    text("longitude", out);
    double(longitude, out);
}

fn metadata(nodes: u32, out: &mut Vec<u8>) {
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let numbers: BTreeMap<&str, u32> = [
        ("binary_format_major_version", 2),
        ("binary_format_minor_version", 0),
        ("build_epoch", 1_767_571_200),
        ("ip_version", 6),
        ("node_count", nodes),
        ("record_size", 32),
    ]
    .into();
    map(9, out);
    for (key, value) in numbers {
        text(key, out);
        match key {
            "build_epoch" => long(value.into(), out),
            "node_count" => number(value, out),
            _ => short(value as u16, out),
        }
    }
    text("database_type", out);
    text("Example-City-ASN", out);
    text("languages", out);
    out.extend([0x01, 0x04]);
    text("en", out);
    text("description", out);
    map(1, out);
    text("en", out);
    text("Invented networks", out);
}

/// The control byte of a map with fewer than 29 pairs.
fn map(pairs: u8, out: &mut Vec<u8>) {
    out.push(0xe0 | pairs);
}

fn text(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    if bytes.len() < 29 {
        out.push(0x40 | bytes.len() as u8);
    } else {
        out.extend([0x40 | 29, (bytes.len() - 29) as u8]);
    }
    out.extend(bytes);
}

fn double(value: f64, out: &mut Vec<u8>) {
    out.push(0x68);
    out.extend(value.to_be_bytes());
}

fn short(value: u16, out: &mut Vec<u8>) {
    out.push(0xa2);
    out.extend(value.to_be_bytes());
}

fn number(value: u32, out: &mut Vec<u8>) {
    out.push(0xc4);
    out.extend(value.to_be_bytes());
}

/// An unsigned number of 64 bits, type 9: beyond the seven that fit into the control byte.
fn long(value: u64, out: &mut Vec<u8>) {
    out.extend([0x08, 0x02]);
    out.extend(value.to_be_bytes());
}
