//! Evidence: what a person needs to believe an alert. Gathered only for entities that look bad.
//!
//! Promises: bounded (six small counters, at most five samples, the first `ROWS_MAX` events); counts are of events
//! that were counted and never more than there were; the SQL shows the rows of the alert and quotes what came from
//! outside.
//! Never: on the path of an ordinary event.

use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use siphasher::sip128::SipHasher13;

use super::columns::UNPROVEN;
use super::network;
use super::run::{EventRow, POSITIONS};
use super::time::rfc3339;
use crate::distinct::Distinct;
use crate::rule::{EntityColumn, EntityKind, Rule};

/// Events that are counted in detail per suspect. An attack of millions needs no more to be understood.
const ROWS_MAX: u64 = 2_000;
const VALUES_MAX: usize = 16;
const SHOWN: usize = 5;
const FIRST_SAMPLES: usize = 4;
/// Longest text kept of one value, in characters.
const TEXT_MAX: usize = 200;

/// The values of an entity's columns, in the order of its kind; with a mark before them where its address is unproven.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Name(Box<str>);

/// Between the values of a name; values come without control characters.
const SEPARATOR: char = '\u{1f}';
const MARK: char = '\u{1e}';

impl Name {
    /// An IPv6 client is its network of so many bits.
    pub fn of(kind: &EntityKind, columns: &[usize], event: EventRow<'_>, bits: u8) -> Name {
        let mut name = String::new();
        let is_client = kind.columns().contains(&EntityColumn::ClientIp);
        if is_client && event.text(POSITIONS.client_ip_source) == Some(UNPROVEN) {
            name.push(MARK);
        }
        for (at, (column, position)) in kind.columns().iter().zip(columns).enumerate() {
            if at > 0 {
                name.push(SEPARATOR);
            }
            match column {
                EntityColumn::Asn => name.push_str(&event.number(*position).unwrap_or_default().to_string()),
                _ => {
                    let text = event.text(*position).unwrap_or_default();
                    let address = if *column == EntityColumn::ClientIp { network::ipv6(text) } else { None };
                    if let Some(address) = address {
                        name.push_str(&network::cidr(address, bits));
                        continue;
                    }
                    name.extend(text.chars().filter(|c| ![SEPARATOR, MARK].contains(c)));
                }
            }
        }
        Name(name.into())
    }

    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.text().split(SEPARATOR)
    }

    /// The value in the alert; empty when everything is one entity.
    pub fn shown(&self) -> String {
        self.text().replace(SEPARATOR, "+")
    }

    /// Nobody vouches for the address.
    pub fn is_unproven(&self) -> bool {
        self.0.starts_with(MARK)
    }

    fn text(&self) -> &str {
        self.0.strip_prefix(MARK).unwrap_or(&self.0)
    }
}

/// The most frequent values of one column, in few places. When they are taken, a new value takes the place of the
/// rarest one, so counts are never too high.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tops {
    values: Vec<(Box<str>, u64)>,
}

impl Tops {
    fn add(&mut self, value: &str) {
        if let Some((_, count)) = self.values.iter_mut().find(|(known, _)| **known == *value) {
            *count += 1;
            return;
        }
        if self.values.len() == VALUES_MAX {
            let rarest = (0..VALUES_MAX).rev().min_by_key(|i| self.values[*i].1).unwrap_or(0);
            self.values.swap_remove(rarest);
        }
        self.values.push((value.into(), 1));
    }

    fn show(&self) -> Option<Value> {
        let mut top: Vec<&(Box<str>, u64)> = self.values.iter().collect();
        top.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let shown: Vec<Value> =
            top.into_iter().take(SHOWN).map(|(value, count)| json!({"value": &**value, "count": count})).collect();
        (!shown.is_empty()).then_some(Value::Array(shown))
    }
}

/// One event an investigator can look up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sample {
    time: i64,
    request_id: Option<String>,
    source: String,
    partition: i64,
    offset: i64,
    endpoint: Option<String>,
    status: Option<i64>,
}

impl Sample {
    fn of(time: i64, event: EventRow<'_>) -> Sample {
        let at = &*POSITIONS;
        Sample {
            time,
            request_id: event.text(at.request_id).map(short),
            source: event.text(at.source).map(short).unwrap_or_default(),
            partition: event.number(at.partition).unwrap_or_default(),
            offset: event.number(at.offset).unwrap_or_default(),
            endpoint: event.text(at.endpoint).map(short),
            status: event.number(at.status),
        }
    }

    fn show(&self) -> Value {
        json!({
            "time": rfc3339(self.time),
            "request_id": self.request_id,
            "source": self.source,
            "partition": self.partition,
            "offset": self.offset,
            "endpoint": self.endpoint,
            "status": self.status,
        })
    }
}

fn short(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

/// What was seen of one suspect since it looked bad.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evidence {
    /// False when there are too many suspects at once: then only samples of tellings are kept.
    detailed: bool,
    counted: u64,
    endpoints: Tops,
    statuses: Tops,
    countries: Tops,
    client_ips: Tops,
    principals: Tops,
    /// Principals of those events in which they proved who they are.
    proven: Tops,
    first: Vec<Sample>,
    /// The event of the latest telling.
    telling: Option<Sample>,
    /// Whether it is about a client, and the different addresses of one that is an IPv6 network.
    of_client: bool,
    addresses: Option<Box<Distinct>>,
    /// Principals behind the client, at most.
    principals_behind: u32,
}

/// What a finding adds to the evidence: the history behind it as JSON, and by what share it is off at one sigma.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    pub baseline: Option<&'a str>,
    pub error: Option<f64>,
}

impl Evidence {
    pub fn new(detailed: bool, kind: &EntityKind) -> Evidence {
        let of_client = kind.columns().contains(&EntityColumn::ClientIp);
        Evidence { detailed, of_client, ..Evidence::default() }
    }

    pub fn is_detailed(&self) -> bool {
        self.detailed
    }

    /// Notes an event of a client with so many principals behind it.
    pub fn record(&mut self, time: i64, event: EventRow<'_>, principals_behind: u32) {
        self.principals_behind = self.principals_behind.max(principals_behind);
        if self.detailed
            && self.of_client
            && let Some(address) = event.text(POSITIONS.client_ip).and_then(network::ipv6)
        {
            self.addresses.get_or_insert_default().put(hash_of(address), 0);
        }
        if !self.detailed || self.counted >= ROWS_MAX {
            return;
        }
        self.counted += 1;
        let at = &*POSITIONS;
        // An address that nobody vouches for is nobody's, and so makes nobody the author of something else.
        let claimed = !self.of_client && event.text(at.client_ip_source) == Some(UNPROVEN);
        let columns = [
            (&mut self.endpoints, Some(at.endpoint)),
            (&mut self.countries, Some(at.country)),
            (&mut self.client_ips, Some(at.client_ip).filter(|_| !claimed)),
            (&mut self.principals, Some(at.principal)),
        ];
        for (tops, column) in columns {
            if let Some(text) = column.and_then(|column| event.text(column)) {
                tops.add(cut(text));
            }
        }
        if let Some(principal) = event.text(at.principal).filter(|_| is_proven(event)) {
            self.proven.add(cut(principal));
        }
        if let Some(status) = event.number(at.status) {
            self.statuses.add(&status.to_string());
        }
        if self.first.len() < FIRST_SAMPLES {
            self.first.push(Sample::of(time, event));
        }
    }

    /// Keeps the event at which an alert opened or grew.
    pub fn keep_telling(&mut self, time: i64, event: EventRow<'_>) {
        self.telling = Some(Sample::of(time, event));
    }

    pub fn show(&self, rule: &Rule, name: &Name, (from, to): (i64, i64), found: Found<'_>) -> Value {
        let mut shown = Map::new();
        let entity = rule.entity.columns().iter().zip(name.values());
        shown.insert("entity".into(), entity.map(|(c, value)| (c.name().to_owned(), Value::from(value))).collect());
        if name.is_unproven() {
            shown.insert("client_ip_source".into(), UNPROVEN.into());
        }
        let columns = [
            ("endpoints", &self.endpoints),
            ("statuses", &self.statuses),
            ("countries", &self.countries),
            ("client_ips", &self.client_ips),
            ("principals", &self.principals),
            ("proven", &self.proven),
        ];
        for (label, tops) in columns {
            if let Some(top) = tops.show() {
                shown.insert(label.into(), top);
            }
        }
        if let Some(addresses) = &self.addresses {
            shown.insert("addresses".into(), addresses.count().into());
            shown.extend(addresses.error().map(|error| ("addresses_error".into(), in_thousandths(error).into())));
        }
        if self.principals_behind > 0 {
            shown.insert("principals_behind".into(), self.principals_behind.into());
        }
        shown.insert("counted".into(), self.counted.into());
        let last = self.telling.iter().filter(|t| !self.first.contains(t));
        shown.insert("samples".into(), self.first.iter().chain(last).map(Sample::show).collect());
        let baseline = found.baseline.and_then(|json| serde_json::from_str::<Value>(json).ok());
        shown.extend(baseline.map(|baseline| (rule.method.found_name().into(), baseline)));
        shown.extend(found.error.map(|error| ("observed_error".into(), in_thousandths(error).into())));
        shown.insert("sql".into(), sql(rule, name, from, to).into());
        Value::Object(shown)
    }
}

/// Whether the principal is more than a claim: the gateway vouches for it.
fn is_proven(event: EventRow<'_>) -> bool {
    event.text(POSITIONS.principal_source) == Some("gateway")
}

/// Outside nobody chooses what follows from it: the addresses are those of one network of a suspect.
fn hash_of(address: Ipv6Addr) -> u32 {
    (SipHasher13::new_with_keys(0x6164_6472, 0x6573_7365).hash(&address.octets()).as_u128()) as u32
}

/// A share as a person reads it.
pub(crate) fn in_thousandths(share: f64) -> f64 {
    (share * 1000.0).round() / 1000.0
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(TEXT_MAX).map_or(text, |(end, _)| &text[..end])
}

/// A query over the table `events` that shows what an alert counted.
fn sql(rule: &Rule, name: &Name, from: i64, to: i64) -> String {
    let mut conditions =
        vec![format!("time >= TIMESTAMP '{}'", rfc3339(from)), format!("time <= TIMESTAMP '{}'", rfc3339(to))];
    for (column, value) in rule.entity.columns().iter().zip(name.values()) {
        let network = if *column == EntityColumn::ClientIp { network::sql(column.name(), value) } else { None };
        conditions.push(match column {
            _ if network.is_some() => network.unwrap_or_default(),
            EntityColumn::Asn => format!("asn = {}", value.parse::<i64>().unwrap_or_default()),
            column => format!("{} = '{}'", column.name(), value.replace('\'', "''")),
        });
    }
    if name.is_unproven() {
        conditions.push(format!("client_ip_source = '{UNPROVEN}'"));
    }
    if let Some(filter) = &rule.filter {
        conditions.push(format!("({})", filter.sql()));
    }
    format!("SELECT * FROM events WHERE {} ORDER BY time, \"partition\", \"offset\"", conditions.join(" AND "))
}
