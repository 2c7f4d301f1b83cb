//! What stands in an object beside the line that it holds: an address that may be the client's, or a request, says that an
//! application logged what its client typed; then the client in the line proves nothing.
//!
//! Promises: what shippers say of themselves (the host, the pod, the agent, the sender of a log) is nobody's client. An address
//! under any other name counts, also one that is known nowhere; two of them, a list, or what a header says vouches for nobody.
//! Never: looks into the line itself, or further down than `DEPTH_MAX`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::value::RawValue;

use super::wrapper::{BATCHES, LINES, RESOURCES, Text};
use crate::address;

const DEPTH_MAX: usize = 4;
/// Of a name, what is looked at.
const NAME_CHARS_MAX: usize = 64;
/// Elements of a list that are looked at.
const ELEMENTS_MAX: usize = 64;

/// Who stands beside a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Around {
    #[default]
    Nobody,
    /// One address: the client in the line is proven where it is the same.
    Client(IpAddr),
    /// The client in the line is not proven.
    Doubt,
}

impl Around {
    /// Of the object `text`.
    pub(crate) fn of(text: &str) -> Around {
        let mut look = Look::default();
        if let Ok(keys) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) {
            look.object(&keys, 0);
        }
        if look.method && look.answer { Around::Doubt } else { look.around }
    }

    /// Whether a line with this client beside it is doubtful.
    pub(crate) fn doubts(self, client: Option<&str>) -> bool {
        match self {
            Around::Nobody => false,
            Around::Client(address) => client.and_then(address::parse) != Some(address),
            Around::Doubt => true,
        }
    }
}

/// Words of names under which shippers, collectors and platforms tell of themselves. A name with one of `CLIENTS` in it is not one
/// of these.
const SHIPPERS: [&str; 50] = [
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
    "metadata",
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
/// Of the sender of a log, by whoever took it in: Filebeat, Graylog, NXLog.
const SENDERS: [&str; 3] = ["log.source.address", "gl2_remote_ip", "messagesourceaddress"];

#[derive(Default)]
struct Look {
    around: Around,
    method: bool,
    answer: bool,
    path: String,
}

impl Look {
    fn object(&mut self, keys: &BTreeMap<String, &RawValue>, depth: usize) {
        let record = if depth == 0 { record_in(keys) } else { None };
        for (name, value) in keys.iter().filter(|(name, _)| record != Some(name.as_str())) {
            if depth == 0
                && (BATCHES.contains(&name.as_str()) || RESOURCES.contains(&name.as_str()) || name == "values")
            {
                continue;
            }
            self.below(name, |look| look.value(value, depth));
        }
    }

    fn below(&mut self, name: &str, look: impl FnOnce(&mut Look)) {
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
            Some(b'{') if depth < DEPTH_MAX && !self.is_shippers() => {
                let Ok(keys) = serde_json::from_str::<BTreeMap<String, &RawValue>>(raw) else { return };
                match (keys.get("key"), keys.get("value")) {
                    // `{"key": "client.address", "value": {"stringValue": ".."}}`
                    (Some(key), Some(inner)) => {
                        self.below(key.get().trim_matches('"'), |look| look.value(inner, depth + 1));
                    }
                    _ => self.object(&keys, depth + 1),
                }
            }
            Some(b'[') if depth < DEPTH_MAX && !self.is_shippers() => {
                let elements = serde_json::from_str::<Vec<&RawValue>>(raw).unwrap_or_default();
                elements.into_iter().take(ELEMENTS_MAX).for_each(|element| self.value(element, depth + 1));
            }
            _ => self.name_of_a_request(),
        }
    }

    fn text(&mut self, raw: &str) {
        self.name_of_a_request();
        // Longer than a list of addresses, it is a line or a text.
        if raw.len() > 512 || !raw.bytes().any(|b| b.is_ascii_digit()) || !raw.contains(['.', ':']) {
            return;
        }
        let Ok(Text(text)) = serde_json::from_str::<Text<'_>>(raw) else { return };
        let mut found = text.split(',').filter_map(|part| address::hop(part.trim()));
        let Some(address) = found.next() else { return };
        if self.is_shippers() {
            return;
        }
        let words = self.path.to_ascii_lowercase();
        let is_sent = ["forward", "header", "xff", "real"].iter().any(|word| words.contains(word));
        self.around = match self.around {
            Around::Nobody if !is_sent && found.next().is_none() => Around::Client(address),
            Around::Client(known) if known == address && !is_sent && found.next().is_none() => self.around,
            _ => Around::Doubt,
        };
    }

    /// Notes the names under which applications log a request and its answer.
    fn name_of_a_request(&mut self) {
        let last = self.path.rsplit('.').next().unwrap_or_default();
        let name: String = last.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        self.method |= matches!(name.as_str(), "method" | "httpmethod" | "requestmethod" | "verb");
        self.answer |= matches!(
            name.as_str(),
            "url" | "uri" | "requesturi" | "requesturl" | "status" | "statuscode" | "httpstatus" | "responsestatus"
        );
    }

    /// Whether what stands at this path is what a shipper says of itself.
    fn is_shippers(&self) -> bool {
        let path = self.path.to_ascii_lowercase();
        if SENDERS.iter().any(|sender| path.ends_with(sender)) || path.starts_with("@metadata") {
            return true;
        }
        let first = path.split('.').next().unwrap_or_default();
        let has = |text: &str, known: &[&str]| {
            text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| known.contains(&word))
        };
        // `host.ip`: all that is below the name of a shipper is the shipper's.
        [first, path.as_str()].into_iter().any(|name| has(name, &SHIPPERS) && !has(name, &CLIENTS))
    }
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
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let told = match Around::of(text) {
            Around::Nobody => "nobody".to_owned(),
            Around::Client(address) => address.to_string(),
            Around::Doubt => "doubt".to_owned(),
        };
        assert_eq!(told, expected, "{text}");
    }

    #[test]
    fn what_shippers_say_of_themselves_is_no_client() {
        for text in [
            r#"{"log":"203.0.113.7 - - x","stream":"stdout","time":"2026-09-21T14:13:21.5Z"}"#,
            r#"{"@timestamp":"2026-09-21T14:13:21Z","message":"x","host":{"name":"web1","ip":["10.0.0.5","fe80::1"]},"agent":{"version":"8.15.1","hostname":"10.0.0.5"},"log":{"file":{"path":"/x"},"source":{"address":"10.0.0.9:514"}}}"#,
            r#"{"log":"x","kubernetes":{"pod_ip":"10.1.2.3","annotations":{"cni.projectcalico.org/podIP":"10.1.2.3/32"},"host":"10.0.0.1"}}"#,
            r#"{"MESSAGE":"x","_HOSTNAME":"10.0.0.5","PRIORITY":"6"}"#,
            r#"{"message":"x","host":"10.0.0.5","@metadata":{"ip_address":"10.0.0.6"},"fromhost-ip":"10.0.0.7","syslog_server_ip":"10.0.0.1"}"#,
            r#"{"version":"1.1","host":"10.0.0.5","short_message":"x","gl2_remote_ip":"10.0.0.6"}"#,
            r#"{"stream":{"instance":"10.0.0.5:9080","job":"nginx"},"values":[["1795773600000000000","203.0.113.9 - - x"]]}"#,
            r#"{"body":{"stringValue":"x"},"attributes":[{"key":"log.file.name","value":{"stringValue":"a.log"}},{"key":"host.ip","value":{"stringValue":"10.0.0.5"}}]}"#,
            r#"{"owner":"123456789012","logGroup":"g","logEvents":[{"id":"1","message":"203.0.113.9 x"}]}"#,
            r#"{"message":"x","path":"/var/log/nginx/access.log","level":"info","version":"1.2.3.4"}"#,
            r#"{"insertId":"a","jsonPayload":{"remote_addr":"203.0.113.66","status":401,"request_method":"GET"}}"#,
        ] {
            check(text, "nobody");
        }
    }

    #[test]
    fn an_address_under_any_other_name_may_be_the_clients() {
        for name in [
            "remote_addr",
            "ip",
            "client_ip",
            "_client_ip",
            "CLIENT_IP",
            "remoteAddress",
            "visitor",
            "addr",
            "who",
            "source_ip",
        ] {
            check(&format!(r#"{{"message":"x","{name}":"203.0.113.66"}}"#), "203.0.113.66");
        }
        for text in [
            r#"{"message":"x","req":{"ip":"203.0.113.66"}}"#,
            r#"{"message":"x","source":{"ip":"203.0.113.66","port":1}}"#,
            r#"{"message":"x","client":{"address":"203.0.113.66:4711"},"remote_addr":"203.0.113.66"}"#,
            r#"{"message":"x","fields":{"network.peer.address":"203.0.113.66"}}"#,
            r#"{"body":{"stringValue":"x"},"attributes":[{"key":"client.address","value":{"stringValue":"203.0.113.66"}}]}"#,
            r#"{"textPayload":"x","labels":{"remote_ip":"203.0.113.66"}}"#,
        ] {
            check(text, "203.0.113.66");
        }
    }

    #[test]
    fn long_names_over_many_objects_take_no_longer() {
        let many: String = (0..30_000).map(|n| format!("\"{n}\":{{}},")).collect();
        let text = format!("{{\"message\":\"x\",\"{}\":{{{many}\"ip\":\"203.0.113.66\"}}}}", "n".repeat(500_000));
        // A look at the whole name for each object would take minutes.
        check(&text, "203.0.113.66");
    }

    #[test]
    fn two_addresses_a_header_or_a_request_vouch_for_nobody() {
        for text in [
            r#"{"message":"x","ip":"203.0.113.66","remote":"203.0.113.67"}"#,
            r#"{"message":"x","x_forwarded_for":"198.51.100.9"}"#,
            r#"{"message":"x","headers":{"x-real-ip":"198.51.100.9"}}"#,
            r#"{"message":"x","ips":"203.0.113.66, 10.0.0.1"}"#,
            r#"{"message":"x","ips":["203.0.113.66","10.0.0.1"]}"#,
            r#"{"method":"POST","url":"/login","statusCode":401,"body":"x"}"#,
            r#"{"event":{"original":"x","method":"POST","status":401}}"#,
            r#"{"log":{"ip":"203.0.113.66"},"message":"x","req":{"ip":"203.0.113.67"}}"#,
            r#"{"log":"x","http":{"request":{"method":"POST"},"response":{"status_code":401}}}"#,
        ] {
            check(text, "doubt");
        }
    }
}
