//! Whom we keep out, and since when: so that what is denied because of it is known to be our doing. The outbox says what is in
//! force; the pipeline marks events by it (`denied_by_us`) before detection sees them.
//!
//! Promises: what ended is remembered for `KEPT_US`, for events that come late. Where nobody is kept out a batch costs one look. Of a
//! revoked principal those denials are marked that the gateway itself says are its, and those of a credential with which the gateway
//! let it in before: a name that a client writes marks nothing.
//! Never: keeps anything over a restart but what is in force then.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{Int32Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use ipnet::IpNet;

/// How gateways, edges and WAFs answer whom they keep out; 0 where the connection is just closed, 444 in nginx's words.
const DENIALS: [i32; 5] = [0, 403, 406, 429, 444];
/// How gateways answer whose credential or account is not good any more.
const REVOKED: [i32; 2] = [401, 403];
/// Who enforces a block may learn of its end so much later: bouncers ask every ten seconds.
const AFTER_US: i64 = 15_000_000;
const KEPT_US: i64 = 3_600_000_000;
/// Credentials of revoked principals that are known; all are forgotten beyond, and learned again.
const CREDENTIALS_MAX: usize = 10_000;
/// So often it is asked for a principal's credentials: what was read last is stored a little later.
const LOOKS: u8 = 3;
/// What `client_ip_source` says of an address that nobody vouches for.
const UNPROVEN: &str = "unproven";
/// What `principal_source` says of a principal that the gateway vouches for.
const GATEWAY: &str = "gateway";

/// Shared by who blocks and who reads.
#[derive(Debug, Default)]
pub struct Blocked(RwLock<Out>);

#[derive(Debug, Default)]
struct Out {
    nets: Nets,
    principals: Principals,
}

/// From when to when; the end of time while it is in force, or may be by now.
type Span = (i64, i64);

/// When each was kept out.
#[derive(Debug)]
struct Spans<K> {
    spans: HashMap<K, Vec<Span>>,
    /// Those that were in force when it was last said.
    in_force: HashSet<K>,
}

impl<K> Default for Spans<K> {
    fn default() -> Spans<K> {
        Spans { spans: HashMap::new(), in_force: HashSet::new() }
    }
}

impl<K: Eq + Hash + Clone> Spans<K> {
    fn begin(&mut self, who: K, since_us: i64) {
        let spans = self.spans.entry(who).or_default();
        if spans.iter().all(|(_, to)| *to != i64::MAX) {
            spans.push((since_us, i64::MAX));
        }
    }

    fn is(&mut self, still: HashMap<K, i64>, now_us: i64) {
        self.spans.retain(|who, spans| {
            let ended_us = now_us.saturating_add(AFTER_US);
            if !still.contains_key(who) {
                spans.iter_mut().filter(|(_, to)| *to == i64::MAX).for_each(|(_, to)| *to = ended_us);
            }
            spans.retain(|(_, to)| *to >= now_us.saturating_sub(KEPT_US));
            !spans.is_empty()
        });
        self.in_force = still.keys().cloned().collect();
        still.into_iter().for_each(|(who, since_us)| self.begin(who, since_us));
    }

    fn failed(&mut self, who: &K, now_us: i64) {
        if !self.in_force.contains(who)
            && let Some(spans) = self.spans.get_mut(who)
        {
            spans.iter_mut().filter(|(_, to)| *to == i64::MAX).for_each(|(_, to)| *to = now_us);
        }
    }
}

fn hold(spans: Option<&Vec<Span>>, time_us: i64) -> bool {
    spans.is_some_and(|spans| spans.iter().any(|(from, to)| (*from..=*to).contains(&time_us)))
}

#[derive(Debug, Default)]
struct Nets {
    all: Spans<IpNet>,
    /// Lengths of prefixes there are, longest first, of IPv4 and IPv6.
    bits: [BTreeSet<std::cmp::Reverse<u8>>; 2],
}

impl Nets {
    fn begin(&mut self, net: IpNet, since_us: i64) {
        self.all.begin(net, since_us);
        self.note_bits(net);
    }

    fn note_bits(&mut self, net: IpNet) {
        self.bits[usize::from(net.addr().is_ipv6())].insert(std::cmp::Reverse(net.prefix_len()));
    }

    fn holds(&self, address: IpAddr, time_us: i64) -> bool {
        let address = address.to_canonical();
        self.bits[usize::from(address.is_ipv6())].iter().any(|bits| {
            let net = IpNet::new(address, bits.0).ok();
            hold(net.and_then(|net| self.all.spans.get(&net.trunc())), time_us)
        })
    }
}

#[derive(Debug, Default)]
struct Principals {
    all: Spans<String>,
    /// By credential, as tokens.
    credentials: HashMap<String, String>,
    /// How often each was asked for.
    looks: HashMap<String, u8>,
}

impl Principals {
    fn learn(&mut self, credential: String, principal: String) {
        if self.credentials.len() >= CREDENTIALS_MAX {
            self.credentials.clear();
            self.looks.clear();
        }
        self.credentials.insert(credential, principal);
    }
}

impl Blocked {
    fn read(&self) -> RwLockReadGuard<'_, Out> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Out> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in force now, each with when it was put there.
    pub fn is(&self, in_force: &[(IpNet, i64)], now_us: i64) {
        let nets = &mut self.write().nets;
        nets.all.is(in_force.iter().map(|(net, since_us)| (net.trunc(), *since_us)).collect(), now_us);
        nets.bits = Default::default();
        for net in nets.all.spans.keys().copied().collect::<Vec<_>>() {
            nets.note_bits(net);
        }
    }

    /// A target is about to keep somebody out. Until it is known to (`is`), that holds for a moment.
    pub fn begins(&self, net: IpNet, since_us: i64) {
        self.write().nets.begin(net.trunc(), since_us);
    }

    /// The target did not take it: what it answers from here on is not our doing.
    pub fn failed(&self, net: IpNet, now_us: i64) {
        self.write().nets.all.failed(&net.trunc(), now_us);
    }

    /// The principals that are revoked now, each with when that was done.
    pub fn revoked(&self, in_force: HashMap<String, i64>, now_us: i64) {
        let Principals { all, credentials, looks } = &mut self.write().principals;
        all.is(in_force, now_us);
        credentials.retain(|_, principal| all.spans.contains_key(principal));
        looks.retain(|principal, _| all.spans.contains_key(principal));
    }

    /// A target is about to revoke this principal.
    pub fn begins_to_revoke(&self, principal: &str, since_us: i64) {
        self.write().principals.all.begin(principal.to_owned(), since_us);
    }

    /// The target did not.
    pub fn failed_to_revoke(&self, principal: &str, now_us: i64) {
        self.write().principals.all.failed(&principal.to_owned(), now_us);
    }

    /// Revoked principals whose credentials are to be looked up.
    pub fn to_look_up(&self) -> Vec<String> {
        let principals = &self.read().principals;
        let is_open = |principal: &&String| principals.looks.get(*principal).is_none_or(|looks| *looks < LOOKS);
        principals.all.spans.keys().filter(is_open).cloned().collect()
    }

    /// With which credentials, as tokens, the gateway let these principals in before: (credential, principal).
    pub fn learn(&self, principals: &[String], credentials: Vec<(String, String)>) {
        let known = &mut self.write().principals;
        for principal in principals {
            *known.looks.entry(principal.clone()).or_default() += 1;
        }
        credentials.into_iter().for_each(|(credential, principal)| known.learn(credential, principal));
    }

    /// The events, with what we denied marked. Who can write a client's address into a log could hide behind one that is blocked: an
    /// address that nobody vouches for is not marked.
    pub fn mark(&self, events: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let out = self.read();
        let Out { nets, principals } = &*out;
        if nets.all.spans.is_empty() && principals.all.spans.is_empty() {
            return Ok(events.clone());
        }
        let schema = events.schema();
        let column = |name| Ok::<_, ArrowError>(events.column(schema.index_of(name)?));
        let (times, statuses) = (column("time")?, column("status")?);
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let (statuses, clients) = (statuses.as_primitive::<Int32Type>(), column("client_ip")?.as_string::<i32>());
        let says = |name, word| {
            let column = column(name)?.as_dictionary::<Int32Type>();
            let words = column.values().as_string::<i32>();
            Ok::<_, ArrowError>(move |row: usize| column.key(row).is_some_and(|key| words.value(key) == word))
        };
        let (is_unproven, is_vouched) = (says("client_ip_source", UNPROVEN)?, says("principal_source", GATEWAY)?);
        let of_net = |row: usize| {
            let is_denial = DENIALS.contains(&statuses.value(row)) && !is_unproven(row);
            let client = (is_denial && clients.is_valid(row)).then(|| clients.value(row).parse().ok()).flatten();
            client.is_some_and(|client| nets.holds(client, times.value(row)))
        };
        let (names, credentials) = (column("principal")?.as_string::<i32>(), column("credential")?.as_string::<i32>());
        let name = |row: usize| (names.is_valid(row) && is_vouched(row)).then(|| names.value(row));
        let credential = |row: usize| credentials.is_valid(row).then(|| credentials.value(row));
        let of_principal = |row: usize| {
            if principals.all.spans.is_empty() || !REVOKED.contains(&statuses.value(row)) {
                return false;
            }
            let owner = || principals.credentials.get(credential(row)?).map(String::as_str);
            // Who tries passwords of others beside a dead credential is not denied because of that.
            let is_other = |owner: &&str| names.is_valid(row) && names.value(row) != *owner;
            let principal = name(row).or_else(|| owner().filter(|owner| !is_other(owner)));
            hold(principal.and_then(|principal| principals.all.spans.get(principal)), times.value(row))
        };
        let denied = |row: usize| (statuses.is_valid(row) && (of_net(row) || of_principal(row))).then_some(true);
        let marks: BooleanArray = (0..events.num_rows()).map(denied).collect();
        let mut columns = events.columns().to_vec();
        columns[schema.index_of("denied_by_us")?] = Arc::new(marks);
        let is_of_revoked = |row: &usize| name(*row).is_some_and(|name| principals.all.spans.contains_key(name));
        let seen = |row: usize| {
            let credential = credential(row).filter(|it| !principals.credentials.contains_key(*it))?;
            Some((credential.to_owned(), name(row)?.to_owned()))
        };
        let any = !principals.all.spans.is_empty();
        let rows = if any { 0..events.num_rows() } else { 0..0 };
        let learned: Vec<(String, String)> = rows.filter(is_of_revoked).filter_map(seen).collect();
        drop(out);
        if !learned.is_empty() {
            self.learn(&[], learned);
        }
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

    /// (time, principal, who vouches for it, credential, status)
    type Row = (i64, Option<&'static str>, &'static str, Option<&'static str>, i32);

    fn marks_of(blocked: &Blocked, rows: &[Row]) -> Vec<bool> {
        let mut builder = EventBuilder::new();
        for (seconds, principal, source, credential, status) in rows {
            builder.append(&EventRow {
                time: seconds * S,
                client_ip: Some("203.0.113.7"),
                principal: *principal,
                principal_source: Some(source),
                credential: *credential,
                status: Some(*status),
                ..EventRow::default()
            });
        }
        let events = blocked.mark(&builder.finish()).expect("the schema stays");
        let marked = events.column_by_name("denied_by_us").expect("there").as_boolean().clone();
        (0..marked.len()).map(|row| marked.is_valid(row)).collect()
    }

    #[test]
    fn what_a_revoked_principal_is_denied_is_ours_and_a_name_alone_is_not() {
        let blocked = Blocked::default();
        let rows = [
            (100, Some("mallory"), GATEWAY, None, 403),
            (100, Some("mallory"), UNPROVEN, None, 403),
            (100, Some("mallory"), UNPROVEN, Some("tok:1"), 401),
            (100, None, UNPROVEN, Some("tok:1"), 401),
            (100, None, UNPROVEN, Some("tok:1"), 404),
            (100, Some("mallory"), UNPROVEN, Some("tok:forged"), 401),
            (100, Some("anna"), GATEWAY, Some("tok:2"), 403),
            (99, Some("mallory"), GATEWAY, None, 403),
        ];
        assert_eq!(marks_of(&blocked, &rows), [false; 8], "nobody is revoked");
        blocked.begins_to_revoke("mallory", 100 * S);
        assert_eq!(marks_of(&blocked, &rows), [true, false, false, false, false, false, false, false]);
        assert_eq!(blocked.to_look_up(), ["mallory"]);
        blocked.learn(&["mallory".to_owned()], vec![("tok:1".to_owned(), "mallory".to_owned())]);
        let known = [true, false, true, true, false, false, false, false];
        assert_eq!(marks_of(&blocked, &rows), known);
        let guess = (100, Some("anna"), UNPROVEN, Some("tok:1"), 401);
        assert_eq!(marks_of(&blocked, &[guess]), [false], "who tries the password of another is seen");
        blocked.revoked(HashMap::from([("mallory".to_owned(), 100 * S)]), 110 * S);
        assert_eq!(marks_of(&blocked, &rows), known);
        for _ in 1..LOOKS {
            blocked.learn(&["mallory".to_owned()], Vec::new());
        }
        assert!(blocked.to_look_up().is_empty());
        // A token that is let in until it ends.
        assert_eq!(marks_of(&blocked, &[(120, Some("mallory"), GATEWAY, Some("tok:3"), 200)]), [false]);
        assert_eq!(marks_of(&blocked, &[(130, Some("mallory"), UNPROVEN, Some("tok:3"), 401)]), [true]);
        blocked.revoked(HashMap::new(), 200 * S);
        assert_eq!(marks_of(&blocked, &[(214, None, UNPROVEN, Some("tok:3"), 401)]), [true]);
        assert_eq!(marks_of(&blocked, &[(216, None, UNPROVEN, Some("tok:3"), 401)]), [false]);
        blocked.begins_to_revoke("anna", 300 * S);
        blocked.failed_to_revoke("anna", 301 * S);
        assert_eq!(marks_of(&blocked, &[(302, Some("anna"), GATEWAY, None, 403)]), [false]);
        blocked.revoked(HashMap::new(), 200 * S + 2 * KEPT_US);
        assert_eq!(marks_of(&blocked, &rows), [false; 8], "for an hour");
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
