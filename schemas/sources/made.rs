//! JSON that a gateway makes of strings, of which it escapes none (HAProxy's `log-format`, Apigee's message templates): which of the
//! keys of a record are the gateway's, and which a client may have written into a value of his.
//!
//! Such a template says the same keys in every record, and a client can add keys but take none away: so a client, a list or an account
//! that not every record of the lane has is nobody's word. Of the forwarding list, which many templates leave out, nothing is believed
//! before that is known, unless only what the gateway itself writes stands before it.
//! Promises: the same records in the same order say the same, however they are cut into batches. Time in proportion to the record.
//! Never: takes a value away; it only says that nobody vouches for it. A record that is doubtful otherwise teaches nothing.

use memchr::{memchr_iter, memchr2, memmem};
use serde::{Deserialize, Serialize};

use super::json::value_at;
use super::mapping::Input;
use super::plan::Plan;
use super::present;
use super::slots::{SLOT_NONE, Scalar, Slots};
use crate::address;
use crate::request::Request;

/// Records before a lane is known to have a key in each of them. Where its template has none, whoever wants to write one must be
/// alone in the lane for so long from its first record on.
const RECORDS: u8 = 100;
/// Records in a row that have a key which others had not, before it is one of the template's: somebody changed that.
const RECORDS_AGAIN: u32 = 1_000_000;
/// Keys of who that a lane remembers; more are the word of nobody.
const KEYS_MAX: usize = 62;
/// That a record has any client, any list.
const CLIENT: u64 = 1 << 62;
const LIST: u64 = 1 << 63;

/// Whose column a key is read for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    Client,
    List,
    Who,
    /// How it was answered, and when: not remembered, but a second value of it counts wherever it stands.
    Answer,
}

const ABOUT: [(About, &[Input]); 4] = [
    (About::Client, &[Input::ClientIp]),
    (About::List, &[Input::ForwardedFor, Input::Forwarded, Input::RealIp]),
    (
        About::Who,
        &[
            Input::Principal,
            Input::Authorization,
            Input::ApiKey,
            Input::Cookie,
            Input::Certificate,
            Input::CredentialId,
        ],
    ),
    (About::Answer, &[Input::Status, Input::Time, Input::StartTime]),
];

/// What a gateway writes by itself: nothing of it can hold a quote.
const GATEWAYS: [Input; 7] = [
    Input::ClientIp,
    Input::Time,
    Input::StartTime,
    Input::Status,
    Input::Latency,
    Input::RequestBytes,
    Input::ResponseBytes,
];

struct Key {
    /// As it stands in a record, in quotes.
    literal: Box<[u8]>,
    slot: u16,
    about: About,
}

/// The keys of a mapping whose records are made of strings.
pub(super) struct Made {
    keys: Vec<Key>,
    /// Which keys these are: what a lane remembers is of no use for others.
    version: u32,
}

/// Who is not proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unproven {
    pub(super) client: bool,
    pub(super) list: bool,
    /// The list is not the gateway's, or not all of it: it says nothing.
    pub(super) no_list: bool,
    pub(super) who: bool,
}

/// What the records of a lane have told of its template so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usual {
    #[serde(default)]
    lists: Lists,
    version: u32,
    /// So many records were looked at, up to `RECORDS`.
    seen: u8,
    /// The keys that each of them had, by number.
    all: u64,
    /// Others, that each of the last `later_seen` had.
    later: u64,
    later_seen: u32,
}

impl Made {
    pub(super) fn of(plan: &Plan) -> Made {
        let mut keys: Vec<Key> = Vec::new();
        for (about, inputs) in ABOUT {
            for edge in plan.root().edges() {
                let slot = plan.node_of(edge).slot;
                let literal = edge.literal.strip_suffix(b":").unwrap_or_default();
                let is_new = keys.iter().all(|key| key.slot != slot);
                if is_new && !literal.is_empty() && slot != SLOT_NONE && plan.reads_slot(slot, inputs) {
                    keys.push(Key { literal: literal.into(), slot, about });
                }
            }
        }
        let hash = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        let version = keys.iter().flat_map(|key| key.literal.iter()).fold(0x811c_9dc5, hash);
        Made { keys, version }
    }

    /// Fills in the values of keys that stand within `text`, which the mapping does not read: a client who writes before and behind
    /// a key of the gateway's can put an object around it.
    #[cold]
    pub(super) fn fill_hidden<'b>(&self, text: &'b str, slots: &mut Slots<'b>) {
        // One pair without anything inside can be looked at faster, and there may be very many.
        let is_pair = memchr2(b'{', b'[', text.as_bytes()).is_none();
        for key in self.keys.iter().filter(|key| !is_pair || text.as_bytes().starts_with(&key.literal)) {
            for at in memmem::find_iter(text.as_bytes(), &key.literal) {
                let Some(rest) = text[at + key.literal.len()..].trim_start().strip_prefix(':') else { continue };
                let value = value_at(rest.trim_start(), slots);
                slots.hide(key.slot, value);
            }
        }
    }

    /// Who is not proven by this record, one JSON object; with `learns` the lane learns of it.
    pub(super) fn judge(
        &self,
        plan: &Plan,
        slots: &Slots<'_>,
        text: &str,
        learns: bool,
        usual: &mut Usual,
    ) -> Unproven {
        let there = self.there(slots);
        let is_known = usual.version == self.version && usual.seen == RECORDS;
        let all = if usual.version == self.version && usual.seen > 0 { usual.all } else { u64::MAX };
        let mut unproven = Unproven::default();
        let mut client = None;
        for (n, key) in self.keys.iter().enumerate().filter(|(_, key)| says(slots, key)) {
            let is_strange = n >= KEYS_MAX || all & (1 << n) == 0;
            match key.about {
                About::Client => {
                    // Of several that differ the first counts, if it is the gateway's.
                    let (first, is_first_strange) = *client.get_or_insert((key.slot, is_strange));
                    let differs = slots.read(slots.get(first)) != slots.read(slots.get(key.slot));
                    unproven.client |= all & CLIENT == 0 || (differs && is_first_strange);
                }
                About::Who => unproven.who |= is_strange || slots.values_of(key.slot).count() > 1,
                About::List => {
                    let list = slots.read(slots.get(key.slot));
                    unproven.no_list |= all & LIST == 0 || goes_on(text, list);
                    unproven.list |= unproven.no_list || !(is_known || self.stands_first(plan, text, list));
                }
                About::Answer => {}
            }
        }
        if learns {
            self.learn(there, text, usual);
        }
        unproven
    }

    /// Which keys have a value, and whether there is any client and any list.
    fn there(&self, slots: &Slots<'_>) -> u64 {
        let is_there = |(_, key): &(usize, &Key)| !matches!(slots.get(key.slot), Scalar::Absent);
        self.keys.iter().enumerate().filter(is_there).fold(0, |all, (n, key)| all | bit(n) | key.about.bit())
    }

    fn learn(&self, mut there: u64, text: &str, usual: &mut Usual) {
        if usual.version != self.version || usual.seen == 0 {
            *usual = Usual { version: self.version, all: u64::MAX, lists: usual.lists, ..Usual::default() };
        }
        // A key with null has no value and is there; nor can a client hide one from this look.
        for (n, key) in self.keys.iter().enumerate() {
            let missing = (bit(n) | key.about.bit()) & !there;
            if missing & (usual.all | usual.later) != 0 && memmem::find(text.as_bytes(), &key.literal).is_some() {
                there |= missing;
            }
        }
        usual.seen = usual.seen.saturating_add(1).min(RECORDS);
        usual.all &= there;
        let goes_on = usual.later_seen > 0 && usual.later & there != 0;
        usual.later = if goes_on { usual.later & there } else { there & !usual.all };
        usual.later_seen = match usual.later != 0 && usual.seen == RECORDS {
            true if goes_on => usual.later_seen + 1,
            true => 1,
            false => 0,
        };
        if usual.later_seen == RECORDS_AGAIN {
            usual.all |= usual.later;
            usual.later_seen = 0;
        }
        if usual.later_seen == 0 {
            usual.later = 0;
        }
    }

    /// Does only what the gateway writes by itself stand before this list?
    #[cold]
    fn stands_first(&self, plan: &Plan, text: &str, list: &str) -> bool {
        let mut before = text.strip_prefix('{').unwrap_or_default();
        loop {
            let named = before.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'));
            let Some((name, rest)) = named else { return false };
            let Some(value) = rest.trim_start().strip_prefix(':').map(str::trim_start) else { return false };
            let slot = plan.slot_named(name);
            if self.keys.iter().any(|key| key.slot == slot && key.about == About::List) {
                let rest = value.strip_prefix('"').and_then(|value| value.strip_prefix(list));
                return rest.is_some_and(|rest| rest.starts_with('"'));
            }
            // Addresses, times and numbers have no quotes, and no commas.
            let Some((value, rest)) = value.split_once(',') else { return false };
            let inner = value.trim_end();
            let inner = inner.strip_prefix('"').map_or(Some(inner), |inner| inner.strip_suffix('"'));
            let is_plain = inner.is_some_and(|inner| !inner.contains(['"', '{', '[']));
            if !is_plain || !plan.reads_slot(slot, &GATEWAYS) {
                return false;
            }
            before = rest;
        }
    }
}

/// Of the keys a lane remembers, the bit of one; none of those that are too many.
fn bit(n: usize) -> u64 {
    if n < KEYS_MAX { 1 << n } else { 0 }
}

impl About {
    fn bit(self) -> u64 {
        match self {
            About::Client => CLIENT,
            About::List => LIST,
            About::Who | About::Answer => 0,
        }
    }
}

fn says(slots: &Slots<'_>, key: &Key) -> bool {
    let value = slots.get(key.slot);
    let is_text = matches!(value, Scalar::Text(_) | Scalar::Copied(..));
    !matches!(value, Scalar::Absent) && (!is_text || present(slots.read(value)).is_some())
}

/// Does another text of the record end as a list does? Who writes a quote into a list ends it there, and what the proxy added stands
/// in what he began behind it.
fn goes_on(text: &str, list: &str) -> bool {
    let mut begin = 0;
    memchr_iter(b'"', text.as_bytes()).any(|quote| {
        let piece = &text[begin..quote];
        begin = quote + 1;
        let last = piece.rsplit_once(',').map(|(_, last)| last.trim());
        piece != list && last.is_some_and(|last| !last.is_empty() && address::hop(last).is_some())
    })
}

/// Which of the headers `X-Forwarded-For` and `Forwarded` the records of a lane have. The proxies before a gateway write one of them,
/// into every request; the other one is what a client sent, and whoever sends it must not be harder to prove for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Lists {
    /// Records that had one or both, up to `RECORDS`.
    seen: u8,
    /// One of them had no `X-Forwarded-For`, no `Forwarded`.
    lacked_list: bool,
    lacked_elements: bool,
}

impl Usual {
    /// Leaves of two headers the one that the proxies write, where the records before say which that is.
    pub(super) fn choose(&mut self, request: &mut Request<'_>, learns: bool) {
        let lists = &mut self.lists;
        let (has_list, has_elements) = (request.forwarded.is_some(), request.elements.is_some());
        if learns {
            lists.seen = lists.seen.saturating_add(1).min(RECORDS);
            lists.lacked_list |= !has_list;
            lists.lacked_elements |= !has_elements;
        }
        if has_list && has_elements && lists.seen == RECORDS {
            match (lists.lacked_list, lists.lacked_elements) {
                (false, true) => request.elements = None,
                (true, false) => request.forwarded = None,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sources::{Parser, Reader, SourceConfig};

    /// Where the client comes from after each of these records, in one lane behind a proxy.
    fn told(kind: &str, records: &[String]) -> Vec<(String, String)> {
        let config = SourceConfig { trusted_proxies: vec!["192.0.2.0/24".to_string()], ..SourceConfig::new(kind) };
        let keys = crate::Keys::new("k1", b"fake");
        let mut normaliser = crate::Normaliser::new(&config, &keys).expect("a built-in kind");
        let mut raw = crate::RawBatch::new();
        records.iter().enumerate().for_each(|(n, record)| {
            raw.push(n as i64, 1_790_000_000_000_000, record.as_bytes());
        });
        let events = normaliser.normalise(&crate::Lane::new("test", 0), &raw).events;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_string();
        let rows = (0..events.num_rows()).map(|row| crate::event_json(&events, row));
        rows.map(|event| (text(&event["client_ip"]), text(&event["client_ip_source"]))).collect()
    }

    fn record(before: &str, agent: &str, behind: &str) -> String {
        format!(
            "{{\"time\":1790000000,\"client_ip\":\"192.0.2.10\",{before}\"uri\":\"/a\",\"status\":200,\"user_agent\":\"{agent}\"{behind}}}"
        )
    }

    fn is(told: &(String, String), address: &str, source: &str) -> bool {
        (told.0.as_str(), told.1.as_str()) == (address, source)
    }

    #[test]
    fn a_list_that_no_record_has_is_the_word_of_nobody() {
        let forged = "x\",\"xff\":\"198.51.100.9";
        for honest in [0, 1, 99, 100, 500] {
            let mut records = vec![record("", "curl/8.5.0", ""); honest];
            records.extend(vec![record("", forged, ""); 200]);
            let told = told("haproxy", &records);
            assert!(told[..honest].iter().all(|told| is(told, "192.0.2.10", "peer")));
            // Alone in the lane from its first record on it would be believed in the end, as the header says.
            let forged = if honest == 0 { &told[..100] } else { &told[honest..] };
            assert!(forged.iter().all(|told| told.1 == "unproven"), "{honest}: {forged:?}");
        }
    }

    #[test]
    fn a_list_that_every_record_has_is_believed() {
        let honest = record("", "curl/8.5.0", ",\"xff\":\"203.0.113.7\"");
        let without = record("", "curl/8.5.0", ",\"xff\":null");
        let mut records = vec![honest.clone(); 60];
        records.extend(vec![without; 60]);
        records.extend([honest.clone(), record("", "curl/8.5.0", ""), honest]);
        let told = told("haproxy", &records);
        assert!(told[..60].iter().all(|told| is(told, "203.0.113.7", "unproven")), "{told:?}");
        assert!(is(&told[120], "203.0.113.7", "forwarded") && is(&told[121], "192.0.2.10", "peer"), "{told:?}");
        // One that has none, and none is believed any more.
        assert!(is(&told[122], "192.0.2.10", "unproven"), "{told:?}");
    }

    #[test]
    fn a_list_before_what_a_client_writes_is_believed_at_once() {
        let told = told("haproxy", &[record("\"xff\" : \"203.0.113.7\",", "curl/8.5.0", "")]);
        assert!(is(&told[0], "203.0.113.7", "forwarded"), "{told:?}");
    }

    /// The proxy adds its client behind what that one sent.
    #[test]
    fn a_list_that_a_client_ends_is_not_believed() {
        for sent in [
            "198.51.100.9\",\"z\":\"",
            "198.51.100.9\",\"z\":\"a",
            "198.51.100.9\", \"z\" : {\"y\":\"",
            "198.51.100.9\",\"z\":\"\\",
        ] {
            for separator in [",", ", "] {
                let list = format!("\"xff\":\"{sent}{separator}203.0.113.66\",");
                let honest = record("\"xff\":\"203.0.113.7, 192.0.2.44\",", "curl/8.5.0", "");
                let forged = [record(&list, "x", ""), record(&list, "x", "}")];
                for forged in forged {
                    let mut records = vec![honest.clone(); 100];
                    records.push(forged.clone());
                    let told = told("haproxy", &records);
                    assert!(is(&told[99], "203.0.113.7", "forwarded"), "{told:?}");
                    assert!(told.get(100).is_none_or(|told| told.1 == "unproven"), "{forged}: {:?}", told.get(100));
                }
            }
        }
    }

    /// Two values of a client's around the gateway's keys put an object around these.
    #[test]
    fn what_a_client_hides_in_an_object_counts() {
        let forged = |key: &str, said: &str, hidden: &str| {
            format!(
                "{{\"time\":1790000000,\"uri\":\"/a\",\"user_agent\":\"x\",\"{key}\":\"{said}\",\"z\":{{\"y\":\"\",{hidden},\"referer\":\"\"}},\"y\":\"\",\"status\":403}}"
            )
        };
        let client = forged("client_ip", "198.51.100.9", "\"client_ip\":\"203.0.113.66\"");
        let other = forged("ci", "198.51.100.9", "\"client_ip\":\"203.0.113.66\"");
        for record in [client, other] {
            let told = told("haproxy", std::slice::from_ref(&record));
            assert_eq!(told[0].1, "unproven", "{record}");
        }
        let parser = Parser::new(&SourceConfig::new("haproxy")).expect("a built-in kind");
        let arena = bumpalo::Bump::new();
        let record = "{\"time\":1790000000,\"client_ip\":\"203.0.113.66\",\"user_agent\":\"x\",\"status\":200,\"z\":{\"y\":\"\",\"status\":401,\"referer\":\"\"},\"y\":\"\",\"uri\":\"/a\"}";
        let mut status = None;
        Reader::new(&parser, &arena).read(record, 0, &mut None, &mut |outcome| {
            status = outcome.ok().map(|(request, _)| (request.status, request.unproven));
        });
        assert_eq!(status, Some((Some(401), false)));
    }

    #[test]
    fn a_client_that_no_record_has_is_the_word_of_nobody() {
        let record =
            |agent: &str| format!("{{\"time\":1790000000,\"uri\":\"/a\",\"status\":200,\"user_agent\":\"{agent}\"}}");
        let told = told("haproxy", &[record("curl/8.5.0"), record("x\",\"client_ip\":\"198.51.100.9")]);
        assert_eq!((told[0].1.as_str(), told[1].1.as_str()), ("", "unproven"));
    }

    #[test]
    fn who_is_named_twice_is_not_proven() {
        let line = |agent: &str, app: &str| {
            format!(
                "{{\"timestamp\":1790000000000,\"proxy.client.ip\":\"203.0.113.66\",\"request.verb\":\"GET\",\"request.uri\":\"/a\",\"response.status.code\":\"200\",{app}\"useragent\":\"{agent}\"}}"
            )
        };
        let keys = crate::Keys::new("k1", b"fake");
        let sources = |records: &[String]| {
            let mut normaliser = crate::Normaliser::new(&SourceConfig::new("apigee"), &keys).expect("a built-in kind");
            let mut raw = crate::RawBatch::new();
            records.iter().for_each(|record| raw.push(0, 1_790_000_000_000_000, record.as_bytes()));
            let events = normaliser.normalise(&crate::Lane::new("test", 0), &raw).events;
            let rows = (0..events.num_rows()).map(|row| crate::event_json(&events, row));
            rows.map(|event| event["principal_source"].as_str().map(str::to_string)).collect::<Vec<_>>()
        };
        let named = "\"developer.app.name\":\"shop\",";
        let forged = "x\",\"developer.app.name\":\"victim";
        let gateway = Some("gateway".to_string());
        let unproven = Some("unproven".to_string());
        assert_eq!(
            sources(&[line("x", named), line(forged, named), line(forged, named)]),
            [gateway.clone(), unproven.clone(), unproven.clone()]
        );
        assert_eq!(sources(&[line("x", ""), line(forged, "")]), [None, unproven.clone()]);
        let other = "x\",\"developer_app\":\"victim";
        assert_eq!(sources(&[line("x", named), line(other, named)]), [gateway, unproven]);
    }
}
