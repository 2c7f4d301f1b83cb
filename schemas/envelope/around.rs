//! What stands in an object beside the line that it holds: an address that may be the client's, or a request, says that an
//! application logged what its client typed; then the client in the line proves nothing.
//!
//! Promises: what shippers say of themselves (the host, the pod, the agent, the sender of a log) is nobody's client, nor are the names,
//! paths and agents that a client writes itself. An address under any other name counts, also one that is known nowhere. Where one
//! stands under the name of a client and is the line's, the object tells of the same request: whatever else it tells of it
//! takes nothing away.
//! Never: looks into the line itself, or further down than `DEPTH_MAX`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use serde_json::value::RawValue;

use super::parts;
use super::wrapper::{BATCHES, LINES, RESOURCES, Text};
use crate::address;

const DEPTH_MAX: usize = 4;
/// Of a name, what is looked at.
const NAME_CHARS_MAX: usize = 64;
/// Elements of a list that are looked at.
const ELEMENTS_MAX: usize = 64;
/// Longer than a list of addresses, it is a line or a text.
const ADDRESSES_BYTES_MAX: usize = 512;

/// Who and what stands beside a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Around {
    /// Under the name of a client or an address.
    named: Found,
    /// Of these, under a name that parsers of logs give the client of a line; and the host that some of them take it for.
    parsed: Found,
    host: Option<IpAddr>,
    /// Under any other name.
    unnamed: Found,
    /// What somebody said of the way the request went.
    list: bool,
    /// A method and an answer.
    request: bool,
}

/// The addresses of one sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Found {
    #[default]
    Nobody,
    One(IpAddr),
    Several,
}

impl Found {
    fn note(&mut self, address: IpAddr) {
        *self = match *self {
            Found::Nobody => Found::One(address),
            Found::One(known) if known == address => *self,
            _ => Found::Several,
        };
    }
}

impl Around {
    /// Of the object `text`.
    pub(crate) fn of(text: &str) -> Around {
        let mut look = Look::default();
        let transport = parts::attribute_of(text, "net.transport");
        look.is_taken_in = transport.is_some_and(|transport| INPUTS.contains(&transport));
        if let Ok(keys) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) {
            look.tells_of_sender = keys.keys().any(|key| SYSTEMS.contains(&&**key) || key.starts_with("gl2_"));
            look.is_taken_apart = ["source_type", "request", "size"].iter().all(|key| keys.contains_key(*key));
            look.object(&keys, 0);
        }
        Around { request: look.method && look.answer, ..look.around }
    }

    pub(crate) fn is_nobody(self) -> bool {
        // A host alone is the shipper's.
        Around { host: None, ..self } == Around::default()
    }

    /// Whether a line with this client beside it is doubtful.
    pub(crate) fn doubts(self, client: Option<&str>) -> bool {
        let client = client.and_then(address::parse);
        let is_client = |found: Found| client.is_some_and(|client| found == Found::One(client));
        // An application that logs a request of its own may have the address from a header.
        let may_be_another =
            (self.list || self.request) && !is_client(self.parsed) && (self.host.is_none() || self.host != client);
        match (self.named, self.unnamed) {
            (Found::Nobody, Found::Nobody) => may_be_another,
            (Found::Nobody, unnamed) => self.list || self.request || !is_client(unnamed),
            (named, _) => may_be_another || !is_client(named),
        }
    }
}

/// Words of names under which shippers, collectors and platforms tell of themselves. A name with one of `CLIENTS` in it is not one
/// of these.
const SHIPPERS: [&str; 51] = [
    "host",
    "hostname",
    "agent",
    "kubernetes",
    "k8s",
    "pod",
    "node",
    "container",
    "docker",
    "cloud",
    "aws",
    "gcp",
    "azure",
    "ec2",
    "ecs",
    "instance",
    "server",
    "destination",
    "dest",
    "dst",
    "observer",
    "collector",
    "shipper",
    "beat",
    "fluent",
    "fluentd",
    "fluentbit",
    "vector",
    "resource",
    "service",
    "local",
    "listen",
    "listener",
    "upstream",
    "interface",
    "sender",
    "relay",
    "fromhost",
    "syslog",
    "broker",
    "bind",
    "machine",
    "vm",
    "dns",
    "gateway",
    "backend",
    "cluster",
    "namespace",
    "version",
    "stream",
    "sourcehost",
];
const CLIENTS: [&str; 15] = [
    "client",
    "remote",
    "peer",
    "forwarded",
    "user",
    "visitor",
    "req",
    "request",
    "header",
    "headers",
    "caller",
    "xff",
    "real",
    "src",
    "source",
];
const ADDRESSES: [&str; 10] =
    ["ip", "ips", "ipv4", "ipv6", "ipaddr", "ipaddress", "addr", "addrs", "address", "addresses"];
/// The last word of names under which the texts stand that a client writes, or is known by.
const WRITTEN: [&str; 30] = [
    "user",
    "username",
    "login",
    "name",
    "id",
    "ident",
    "auth",
    "principal",
    "email",
    "agent",
    "useragent",
    "referer",
    "referrer",
    "request",
    "url",
    "uri",
    "path",
    "route",
    "endpoint",
    "query",
    "target",
    "args",
    "params",
    "cookie",
    "cookies",
    "body",
    "title",
    "text",
    "line",
    "page",
];
/// What is below these a client wrote.
const CONTENTS: [&str; 12] =
    ["agent", "useragent", "ua", "query", "params", "args", "body", "form", "cookie", "cookies", "search", "arguments"];
/// What parsers of logs call the client of a line: grok, Fluent Bit, Elastic's and Datadog's pipelines.
const PARSED: [&str; 4] = ["clientip", "remote", "source.address", "source.ip"];
const PARSED_WITHIN: [&str; 3] = [".network.client.ip", ".source.address", ".source.ip"];
const HOSTS: [&str; 5] = ["host", "hostname", "vhost", "domain", "authority"];
/// Of the sender of a log, by whoever took it in: Filebeat, Graylog, NXLog, syslog-ng.
const SENDERS: [&str; 3] = ["log.source.address", "gl2_remote_ip", "messagesourceaddress"];
const SYSLOG_NG: &str = "SOURCEIP";
/// Keys of Vector, Splunk, syslog and fluentd, beside which the source is who sent the log,
const SYSTEMS: [&str; 4] = ["source_type", "sourcetype", "facility", "ident"];
/// under these names.
const SOURCES: [&str; 3] = ["source", "source_ip", "source_address"];
/// The inputs of OpenTelemetry's collector name so whoever sent the log; applications name their client so.
const PEER: &str = "net.peer.ip";
const INPUTS: [&str; 2] = ["IP.TCP", "IP.UDP"];
/// Labels of a log: what is told of a request there is of the line.
const LABELS: [&str; 3] = ["stream", "labels", "kubernetes"];

#[derive(Default)]
struct Look {
    around: Around,
    method: bool,
    answer: bool,
    path: String,
    tells_of_sender: bool,
    /// Vector took a line apart and kept it.
    is_taken_apart: bool,
    /// By an input of OpenTelemetry's collector.
    is_taken_in: bool,
}

impl Look {
    fn object(&mut self, keys: &BTreeMap<String, &RawValue>, depth: usize) {
        let record = if depth == 0 { record_in(keys) } else { None };
        for (name, value) in keys.iter().filter(|(name, _)| record != Some(name.as_str())) {
            if depth == 0 && (holds_records(name) || (name == "log_processed" && keys.contains_key("log"))) {
                continue;
            }
            // Most of what stands beside a line.
            if depth == 0 && SHIPPERS.contains(&name.as_str()) && !MAY_BE_CLIENTS.is_match(value.get()) {
                self.around.host = self.around.host.or_else(|| host_of(name, value));
                continue;
            }
            match name.as_str() {
                // The value of the key before it, in OTLP.
                "stringValue" | "string_value" if depth > 0 => self.value(value, depth),
                _ => self.below(name, |look| look.value(value, depth)),
            }
        }
    }

    fn below(&mut self, name: &str, look: impl FnOnce(&mut Self)) {
        let before = self.path.len();
        if before > 0 {
            self.path.push('.');
        }
        self.path.extend(name.chars().take(NAME_CHARS_MAX));
        look(self);
        self.path.truncate(before);
    }

    fn value(&mut self, value: &RawValue, depth: usize) {
        let raw = value.get();
        match raw.as_bytes().first() {
            Some(b'"') => self.text(raw),
            Some(b'{') if depth < DEPTH_MAX => {
                let Ok(keys) = serde_json::from_str::<BTreeMap<String, &RawValue>>(raw) else { return };
                match (keys.get("key"), keys.get("value")) {
                    // `{"key": "client.address", "value": {"stringValue": ".."}}`
                    (Some(key), Some(inner)) => {
                        self.below(key.get().trim_matches('"'), |look| look.value(inner, depth + 1));
                    }
                    _ => self.object(&keys, depth + 1),
                }
            }
            Some(b'[') if depth < DEPTH_MAX => {
                let elements = serde_json::from_str::<Vec<&RawValue>>(raw).unwrap_or_default();
                elements.into_iter().take(ELEMENTS_MAX).for_each(|element| self.value(element, depth + 1));
            }
            _ => self.name_of_a_request(),
        }
    }

    fn text(&mut self, raw: &str) {
        self.name_of_a_request();
        let may_be = raw.bytes().any(|b| b.is_ascii_digit()) && raw.contains(['.', ':']);
        if raw.len() > ADDRESSES_BYTES_MAX || !may_be {
            return;
        }
        let Ok(Text(text)) = serde_json::from_str::<Text<'_>>(raw) else { return };
        let found = addresses(&text);
        let Some(address) = found.first() else { return };
        let words = words(&self.path);
        let last = words_of_last(&self.path);
        let has = |words: &[String], known: &[&str]| words.iter().any(|word| known.contains(&&**word));
        let is_peers = |word: &str| matches!(word, "client" | "remote" | "peer" | "caller");
        let is_clients = words.iter().any(|word| is_clients(word));
        let is_address = has(&last, &ADDRESSES) || last.iter().any(|word| is_clients_address(word));
        let is_written = has(&last, &WRITTEN) || (has(&last, &HOSTS) && !last.iter().any(|word| is_peers(word)));
        if self.path == "host" {
            self.around.host = Some(*address);
            return;
        }
        if has(&words, &CONTENTS) {
            return;
        }
        if (has(&words, &SHIPPERS) && !is_clients) || (is_written && !is_address) || self.is_senders() {
            return;
        }
        let path = self.path.to_ascii_lowercase();
        let is_sent = ["forward", "header", "xff"].iter().any(|word| path.contains(word)) || has(&words, &["real"]);
        if is_sent || found.len() > 1 {
            self.around.list = true;
        } else if is_clients || is_address {
            self.around.named.note(*address);
            let is_vectors = self.is_taken_apart && self.path == "client";
            if is_vectors || PARSED.contains(&&*self.path) || PARSED_WITHIN.iter().any(|name| self.path.ends_with(name))
            {
                self.around.parsed.note(*address);
            }
        } else {
            self.around.unnamed.note(*address);
        }
    }

    /// Whether what stands at this path is who sent the log.
    fn is_senders(&self) -> bool {
        let path = &*self.path;
        path.starts_with("@metadata")
            || path == SYSLOG_NG
            || SENDERS.iter().any(|sender| path.to_ascii_lowercase().ends_with(sender))
            || (self.tells_of_sender && SOURCES.contains(&path))
            || (path.ends_with(PEER) && self.is_taken_in)
    }

    /// Notes the names under which applications log a request and its answer.
    fn name_of_a_request(&mut self) {
        let (first, last) = (self.path.split('.').next(), self.path.rsplit('.').next().unwrap_or_default());
        if first.is_some_and(|first| LABELS.contains(&first)) {
            return;
        }
        let name: String = last.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        self.method |= matches!(name.as_str(), "method" | "httpmethod" | "requestmethod" | "verb");
        self.answer |= matches!(
            name.as_str(),
            "url"
                | "uri"
                | "requesturi"
                | "requesturl"
                | "status"
                | "statuscode"
                | "httpstatus"
                | "httpstatuscode"
                | "responsestatus"
                | "responsecode"
                | "response"
                | "code"
        );
    }
}

/// What is in there are records, and their senders' words.
fn holds_records(name: &str) -> bool {
    BATCHES.contains(&name) || RESOURCES.contains(&name) || name == "values"
}

/// The words that what is a shipper's has to have in it somewhere to tell of a client or a request.
static MAY_BE_CLIENTS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let words = CLIENTS.into_iter().chain(["method", "verb"]);
    let built = AhoCorasick::builder().ascii_case_insensitive(true).build(words);
    built.expect("a few words")
});

/// Where the host is named by an address.
fn host_of(name: &str, value: &RawValue) -> Option<IpAddr> {
    let Text(text) = serde_json::from_str::<Text<'_>>(value.get()).ok().filter(|_| name == "host")?;
    address::hop(&text)
}

/// The addresses in a text that is one, or a list of them, and nothing else.
fn addresses(text: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match address::hop(part).or_else(|| address::hop(undressed(part))) {
            Some(address) => found.push(address),
            None if matches!(part, "-" | "unknown") => {}
            None => return Vec::new(),
        }
    }
    found
}

/// `/198.51.100.66:4711` of Java, `tcp://198.51.100.66:4711`, `[client 198.51.100.66:443]`, `198.51.100.66#4711`,
/// `198.51.100.66:4711->10.0.0.1:443`.
fn undressed(text: &str) -> &str {
    let text = text.split_once("://").map_or(text, |(_, behind)| behind).trim_start_matches('/');
    let text = text.strip_prefix("[client ").map_or(text, |client| client.trim_end_matches(']'));
    let text = text.split_once("->").map_or(text, |(from, _)| from);
    text.split_once('#').map_or(text, |(address, _)| address).trim()
}

/// The words of a name: `clientIp` and `client_ip` are two.
fn words(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, &c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map_or(' ', |before| chars[before]);
        let after = chars.get(at + 1).copied().unwrap_or(' ');
        let begins = c.is_ascii_uppercase()
            && (before.is_ascii_lowercase() || (before.is_ascii_uppercase() && after.is_ascii_lowercase()));
        if begins || !c.is_ascii_alphanumeric() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_ascii_alphanumeric()) {
            word.push(c.to_ascii_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The words of the last name; of `user_agent.original` those of both.
fn words_of_last(path: &str) -> Vec<String> {
    let (before, last) = path.rsplit_once('.').unwrap_or(("", path));
    let is_part = matches!(last, "original" | "full" | "raw" | "value");
    let from = if is_part { before.rfind('.').map_or(0, |dot| dot + 1) } else { path.len() - last.len() };
    words(&path[from..])
}

/// `client`, and `clientip` in one word.
fn is_clients(word: &str) -> bool {
    CLIENTS.contains(&word) || is_clients_address(word)
}

fn is_clients_address(word: &str) -> bool {
    CLIENTS.iter().any(|client| word.strip_prefix(client).is_some_and(|rest| ADDRESSES.contains(&rest)))
}

/// The object in it that is the record itself: what is in there stands beside nothing.
fn record_in(keys: &BTreeMap<String, &RawValue>) -> Option<&'static str> {
    let begins = |name: &str, sign: char| keys.get(name).is_some_and(|value| value.get().starts_with(sign));
    if LINES.iter().any(|name| begins(name, '"')) {
        return None;
    }
    let name = LINES.into_iter().find(|name| begins(name, '{'))?;
    let inner = serde_json::from_str::<BTreeMap<String, &RawValue>>(keys.get(name)?.get()).ok()?;
    // A text, with more beside it.
    (!inner.contains_key("original")).then_some(name)
}

#[cfg(test)]
mod tests;
