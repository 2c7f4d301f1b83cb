//! Whom our own blocks keep out, and since when: so that what they deny is known to be our doing. The outbox says what is in
//! force; the pipeline marks events by it (`denied_by_us`) before detection sees them.
//!
//! Promises: a block that ended is remembered for `KEPT_US`, for events that come late. Without blocks a batch costs one look.
//! Never: keeps anything over a restart but what is in force then.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use ipnet::IpNet;

/// How gateways, edges and WAFs answer whom they keep out; 0 where the connection is just closed, 444 in nginx's words.
const DENIALS: [i32; 5] = [0, 403, 406, 429, 444];
/// Who enforces a block may learn of its end so much later: bouncers ask every ten seconds.
const AFTER_US: i64 = 15_000_000;
const KEPT_US: i64 = 3_600_000_000;
/// What `client_ip_source` says of an address that nobody vouches for.
const UNPROVEN: &str = "unproven";

/// Shared by who blocks and who reads.
#[derive(Debug, Default)]
pub struct Blocked(RwLock<Nets>);

/// From when to when; the end of time while it is in force, or may be by now.
type Span = (i64, i64);

#[derive(Debug, Default)]
struct Nets {
    spans: HashMap<IpNet, Vec<Span>>,
    /// Those that were in force when it was last said.
    in_force: HashSet<IpNet>,
    /// Lengths of prefixes there are, longest first, of IPv4 and IPv6.
    bits: [BTreeSet<std::cmp::Reverse<u8>>; 2],
}

impl Nets {
    fn begin(&mut self, net: IpNet, since_us: i64) {
        let spans = self.spans.entry(net).or_default();
        if spans.iter().all(|(_, to)| *to != i64::MAX) {
            spans.push((since_us, i64::MAX));
        }
        self.note_bits(net);
    }

    fn note_bits(&mut self, net: IpNet) {
        self.bits[usize::from(net.addr().is_ipv6())].insert(std::cmp::Reverse(net.prefix_len()));
    }

    fn holds(&self, address: IpAddr, time_us: i64) -> bool {
        let address = address.to_canonical();
        self.bits[usize::from(address.is_ipv6())].iter().any(|bits| {
            let net = IpNet::new(address, bits.0).ok();
            let spans = net.and_then(|net| self.spans.get(&net.trunc()));
            spans.is_some_and(|spans| spans.iter().any(|(from, to)| (*from..=*to).contains(&time_us)))
        })
    }
}

impl Blocked {
    /// What is in force now, each with when it was put there.
    pub fn is(&self, in_force: &[(IpNet, i64)], now_us: i64) {
        let mut nets = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let still: HashMap<IpNet, i64> = in_force.iter().map(|(net, since_us)| (net.trunc(), *since_us)).collect();
        nets.spans.retain(|net, spans| {
            let ended_us = now_us.saturating_add(AFTER_US);
            if !still.contains_key(net) {
                spans.iter_mut().filter(|(_, to)| *to == i64::MAX).for_each(|(_, to)| *to = ended_us);
            }
            spans.retain(|(_, to)| *to >= now_us.saturating_sub(KEPT_US));
            !spans.is_empty()
        });
        nets.bits = Default::default();
        for net in nets.spans.keys().copied().collect::<Vec<_>>() {
            nets.note_bits(net);
        }
        nets.in_force = still.keys().copied().collect();
        for (net, since_us) in still {
            nets.begin(net, since_us);
        }
    }

    /// A target is about to keep somebody out. Until it is known to (`is`), that holds for a moment.
    pub fn begins(&self, net: IpNet, since_us: i64) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).begin(net.trunc(), since_us);
    }

    /// The target did not take it: what it answers from here on is not our doing.
    pub fn failed(&self, net: IpNet, now_us: i64) {
        let mut nets = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let net = net.trunc();
        if !nets.in_force.contains(&net)
            && let Some(spans) = nets.spans.get_mut(&net)
        {
            spans.iter_mut().filter(|(_, to)| *to == i64::MAX).for_each(|(_, to)| *to = now_us);
        }
    }

    /// The events, with what our own blocks denied marked. Who can write a client's address into a log could hide behind one that
    /// is blocked: an address that nobody vouches for is not marked.
    pub fn mark(&self, events: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let nets = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if nets.spans.is_empty() {
            return Ok(events.clone());
        }
        let schema = events.schema();
        let column = |name| Ok::<_, ArrowError>(events.column(schema.index_of(name)?));
        let (times, statuses) = (column("time")?, column("status")?);
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let (statuses, clients) = (statuses.as_primitive::<Int32Type>(), column("client_ip")?.as_string::<i32>());
        let vouched = column("client_ip_source")?.as_dictionary::<Int32Type>();
        let words = vouched.values().as_string::<i32>();
        let is_unproven = |row| vouched.key(row).is_some_and(|key| words.value(key) == UNPROVEN);
        let denied = |row: usize| {
            let is_denial = statuses.is_valid(row) && DENIALS.contains(&statuses.value(row)) && !is_unproven(row);
            let client = (is_denial && clients.is_valid(row)).then(|| clients.value(row).parse().ok()).flatten();
            client.is_some_and(|client| nets.holds(client, times.value(row))).then_some(true)
        };
        let marks: BooleanArray = (0..events.num_rows()).map(denied).collect();
        let mut columns = events.columns().to_vec();
        columns[schema.index_of("denied_by_us")?] = Arc::new(marks);
        RecordBatch::try_new(schema, columns)
    }
}

#[cfg(test)]
mod tests {
    use schemas::{EventBuilder, EventRow};

    use super::*;

    const S: i64 = 1_000_000;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

    fn marks(blocked: &Blocked, rows: &[(i64, &str, i32)]) -> Vec<bool> {
        let mut builder = EventBuilder::new();
        for (seconds, client, status) in rows {
            builder.append(&EventRow {
                time: seconds * S,
                client_ip: Some(client.trim_start_matches('?')),
                client_ip_source: Some(if client.starts_with('?') { UNPROVEN } else { "peer" }),
                status: Some(*status),
                ..EventRow::default()
            });
        }
        let events = blocked.mark(&builder.finish()).expect("the schema stays");
        let marked = events.column_by_name("denied_by_us").expect("there").as_boolean().clone();
        assert_eq!(marked.false_count(), 0, "true or null");
        (0..marked.len()).map(|row| marked.is_valid(row)).collect()
    }

    #[test]
    fn what_a_block_denies_is_marked_from_its_beginning_to_a_little_after_its_end() {
        let blocked = Blocked::default();
        let rows = [
            (99, "203.0.113.7", 403),
            (100, "203.0.113.7", 403),
            (130, "203.0.113.7", 444),
            (130, "203.0.113.7", 200),
            (130, "203.0.113.7", 404),
            (130, "203.0.113.8", 403),
            (130, "?203.0.113.7", 403),
            (214, "203.0.113.7", 403),
            (216, "203.0.113.7", 403),
        ];
        assert_eq!(marks(&blocked, &rows), [false; 9], "nobody is blocked");
        blocked.is(&[(net("203.0.113.7/32"), 100 * S)], 101 * S);
        assert_eq!(marks(&blocked, &rows), [false, true, true, false, false, false, false, true, true]);
        blocked.is(&[(net("203.0.113.7/32"), 160 * S)], 160 * S);
        assert!(marks(&blocked, &rows)[1], "renewed: since the first");
        blocked.is(&[], 200 * S);
        assert_eq!(marks(&blocked, &rows), [false, true, true, false, false, false, false, true, false]);
        blocked.begins(net("203.0.113.7/32"), 290 * S);
        blocked.failed(net("203.0.113.7/32"), 291 * S);
        assert_eq!(marks(&blocked, &[(290, "203.0.113.7", 403), (295, "203.0.113.7", 403)]), [true, false]);
        blocked.begins(net("203.0.113.7/32"), 300 * S);
        assert_eq!(marks(&blocked, &[(301, "203.0.113.7", 403)]), [true], "it may be denied before the target answers");
        blocked.is(&[(net("203.0.113.7/32"), 300 * S)], 300 * S);
        blocked.failed(net("203.0.113.7/32"), 301 * S);
        assert_eq!(marks(&blocked, &[(302, "203.0.113.7", 403)]), [true], "it failed at another target");
        assert!(marks(&blocked, &rows)[1], "blocked again; what was before is remembered");
        blocked.is(&[], 400 * S);
        blocked.is(&[], 400 * S + KEPT_US);
        assert!(!marks(&blocked, &rows)[1], "for an hour");
    }

    #[test]
    fn networks_hold_all_that_is_in_them_however_it_is_spelt() {
        let blocked = Blocked::default();
        blocked.is(&[(net("2001:db8:1:2::/64"), 0), (net("198.51.100.0/24"), 0)], 0);
        let rows = [
            (5, "2001:db8:1:2::9", 403),
            (5, "2001:db8:1:3::9", 403),
            (5, "198.51.100.77", 429),
            (5, "::ffff:198.51.100.78", 403),
            (5, "no address", 403),
        ];
        assert_eq!(marks(&blocked, &rows), [true, false, true, true, false]);
    }
}
