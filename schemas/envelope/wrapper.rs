//! JSON objects around a record, and objects that hold several.
//!
//! Promises: an object that holds nothing known is no envelope. Of several known keys the innermost meaning counts:
//! batches first, then the line.
//! Never: recurses; what is inside may be an envelope again, and whoever asked asks again.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::parts::{self, Split};
use crate::limits::RECORD_EVENTS_MAX;
use crate::time;

/// What was inside, and what the envelope says of the time.
pub(crate) struct Inner<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) time_us: Option<i64>,
    /// What is told of lines that came in several records; then the text is as it stands there.
    pub(crate) split: Option<Split>,
}

/// The keys that shippers and collectors use, by what they are for. What they hold may be of any type.
pub(super) const BATCHES: [&str; 4] = ["records", "Records", "logEvents", "streams"];
pub(super) const RESOURCES: [&str; 2] = ["resourceLogs", "resource_logs"];
/// Docker and Fluent Bit; Filebeat, Vector and Logstash; journald; Splunk HEC and `event.original` of Elastic; GELF; the
/// body of an OpenTelemetry log record; Kafka Connect; Google's log entries; logcli; AKS; exports of Splunk; Azure's diagnostics;
/// CloudEvents and Firehose; exports of Elasticsearch.
pub(super) const LINES: [&str; 19] = [
    "log",
    "message",
    "MESSAGE",
    "event",
    "event.original",
    "full_message",
    "short_message",
    "body",
    "payload",
    "textPayload",
    "jsonPayload",
    "line",
    "LogMessage",
    "LogEntry",
    "_raw",
    "result",
    "properties",
    "data",
    "_source",
];
/// Of these, those under which a gateway's own record may hold what a client sent.
const BODIES: [&str; 3] = ["body", "payload", "data"];
const TIMES: [&str; 6] =
    ["__REALTIME_TIMESTAMP", "@timestamp", "timestamp", "time", "timeUnixNano", "observedTimeUnixNano"];

/// What `text`, an object or a text in quotes, is an envelope of, in order.
pub(crate) fn unwrap(text: &str) -> Vec<Inner<'_>> {
    if text.starts_with('"') {
        return quoted(text).into_iter().collect();
    }
    let Ok(Pairs(pairs)) = serde_json::from_str::<Pairs<'_>>(text) else { return Vec::new() };
    // Of a batch that is there twice each counts: what one holds must not be lost.
    let named = |name: &'static str| pairs.iter().filter(move |(key, _)| *key == name).map(|(_, value)| *value);
    let lists: Vec<&RawValue> = BATCHES.iter().flat_map(|name| named(name)).collect();
    // Of any other key that is there twice the last value counts, as in records.
    let keys: BTreeMap<String, &RawValue> = pairs.iter().map(|(key, value)| (key.to_string(), *value)).collect();
    let values = |names: &'static [&str]| names.iter().filter_map(|name| keys.get(*name).copied());
    let time_us = values(&TIMES).find_map(time_of);
    // Graylog names the streams that a message is in.
    let is_batch =
        |list: &Vec<&RawValue>| !keys.contains_key("streams") || list.iter().any(|one| one.get().starts_with('{'));
    let batches: Vec<&RawValue> = lists.into_iter().filter_map(elements).filter(is_batch).flatten().collect();
    if !batches.is_empty() {
        return batches
            .into_iter()
            .map(|element| inner(element, time_us).unwrap_or_else(|| as_it_is(element)))
            .collect();
    }
    let resources: Vec<&RawValue> = values(&RESOURCES).filter_map(elements).flatten().collect();
    if !resources.is_empty() {
        return log_records(&resources);
    }
    if keys.contains_key("stream")
        && let Some(pairs) = keys.get("values").copied().and_then(elements)
    {
        return pairs.into_iter().map(|value| pair(value).unwrap_or_else(|| as_it_is(value))).collect();
    }
    let inside = texts_first(&keys, &LINES).find_map(|line| inner(line, time_us));
    let inside = inside.map(|inside| if keys.contains_key("data") { unpacked(inside) } else { inside });
    inside.map(|inside| told(&keys, inside)).into_iter().collect()
}

/// The keys of an object with their values, in its order.
struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Pairs<'de>;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs<'de>, M::Error> {
                let mut pairs = Vec::new();
                while let Some((Text(key), value)) = map.next_entry()? {
                    pairs.push((key, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// The array of an object that is no JSON, under a key of batches, and whether nothing stands before it that a client might have
/// written.
#[cold]
pub(crate) fn broken_batch(text: &str) -> Option<(&str, bool)> {
    let end = text.trim_end().strip_suffix('}')?.rfind(']')? + 1;
    let array = |name: &&str| {
        let key = format!("\"{name}\"");
        let at = text.find(&key)?;
        // The key may stand behind the last bracket.
        let value = text.get(at + key.len()..end)?.trim_start().strip_prefix(':')?.trim_start();
        let is_first = text[..at].chars().all(|c| c == '{' || c.is_whitespace());
        value.starts_with('[').then_some((value, is_first))
    };
    BATCHES.iter().find_map(array)
}

/// A line with what the envelope tells of its end.
fn told<'a>(keys: &BTreeMap<String, &'a RawValue>, inside: Inner<'a>) -> Inner<'a> {
    let whole = |name: &str| serde_json::from_str::<Text<'a>>(keys.get(name)?.get()).ok();
    let log = whole("log");
    let Some(split) = parts::split(keys, log.as_ref().map(|log| &*log.0)) else { return inside };
    // With the blanks around it: it may be the middle of a line.
    let line = log.or_else(|| ["message", "MESSAGE", "body", "textPayload"].into_iter().find_map(whole));
    let text = line.map(|line| line.0).filter(|line| line.trim() == inside.text).unwrap_or(inside.text);
    Inner { text, split: Some(split), ..inside }
}

/// What may be the line of a gateway's in an object with keys of its own, the likeliest first.
pub(crate) fn lines(text: &str) -> Vec<Inner<'_>> {
    let Ok(keys) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else { return Vec::new() };
    let time_us = TIMES.iter().filter_map(|name| keys.get(*name).copied()).find_map(time_of);
    let lines = LINES.iter().copied().filter(|name| !BODIES.contains(name)).collect::<Vec<_>>();
    let inside = texts_first(&keys, &lines).filter_map(|line| inner(line, time_us));
    inside.map(|inside| told(&keys, inside)).collect()
}

/// The values of these keys. A text is the line itself; Filebeat has an object `log` beside its `message`.
fn texts_first<'k, 'a>(
    keys: &'k BTreeMap<String, &'a RawValue>,
    names: &'k [&str],
) -> impl Iterator<Item = &'a RawValue> {
    let is_text = |line: &&RawValue| line.get().starts_with('"');
    let values = names.iter().filter_map(|name| keys.get(*name).copied());
    values.clone().filter(is_text).chain(values.filter(move |line| !is_text(line)))
}

/// One line of Loki's: `["1795773600000000000", "line"]`, perhaps with labels behind it.
fn pair(value: &RawValue) -> Option<Inner<'_>> {
    let pair = elements(value)?;
    inner(pair.get(1)?, time_of(pair[0]))
}

/// Firehose has the record in base64.
fn unpacked(inside: Inner<'_>) -> Inner<'_> {
    let bytes = data_encoding::BASE64.decode(inside.text.as_bytes()).ok();
    match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(text) if inside.text.len() > 8 => Inner { text: Cow::Owned(text.trim().to_string()), ..inside },
        _ => inside,
    }
}

/// A record that is written as a JSON text.
fn quoted(text: &str) -> Option<Inner<'_>> {
    let text = serde_json::from_str::<Text<'_>>(text).ok()?.0;
    Some(Inner { text, time_us: None, split: None })
}

/// A text, or an object that is a record or an envelope itself.
fn inner(value: &RawValue, time_us: Option<i64>) -> Option<Inner<'_>> {
    let raw = value.get();
    let text = match raw.as_bytes().first()? {
        b'"' => serde_json::from_str::<Text<'_>>(raw).ok()?.0,
        b'{' => original(raw).unwrap_or(Cow::Borrowed(raw)),
        // journald writes a message that is no text as an array of bytes.
        b'[' => Cow::Owned(String::from_utf8_lossy(&serde_json::from_str::<Vec<u8>>(raw).ok()?).into_owned()),
        _ => return None,
    };
    let text = match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_string()),
    };
    (!text.is_empty()).then_some(Inner { text, time_us, split: None })
}

#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// `{"original": "line"}` and `{"stringValue": "line"}`.
fn original(raw: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Original<'a> {
        #[serde(borrow, alias = "stringValue", alias = "string_value")]
        original: Text<'a>,
    }
    serde_json::from_str::<Original<'_>>(raw).ok().map(|original| original.original.0)
}

fn elements(value: &RawValue) -> Option<Vec<&RawValue>> {
    let list: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
    (!list.is_empty() && list.len() <= RECORD_EVENTS_MAX).then_some(list)
}

/// An element that holds nothing: whoever reads it says what is wrong with it.
fn as_it_is(value: &RawValue) -> Inner<'_> {
    Inner { text: Cow::Borrowed(value.get()), time_us: None, split: None }
}

/// The log records of `resourceLogs[].scopeLogs[].logRecords[]`. What is not as it should be there is handed on as it is.
fn log_records<'a>(resources: &[&'a RawValue]) -> Vec<Inner<'a>> {
    #[derive(Deserialize)]
    struct Resource<'a> {
        #[serde(borrow, default, rename = "scopeLogs", alias = "scope_logs")]
        scopes: Option<Vec<&'a RawValue>>,
    }
    #[derive(Deserialize)]
    struct Scope<'a> {
        #[serde(borrow, default, rename = "logRecords", alias = "log_records")]
        records: Option<Vec<&'a RawValue>>,
    }
    let mut inside = Vec::new();
    for resource in resources {
        let Ok(Resource { scopes }) = serde_json::from_str(resource.get()) else {
            inside.push(as_it_is(resource));
            continue;
        };
        for scope in scopes.into_iter().flatten() {
            match serde_json::from_str(scope.get()) {
                Ok(Scope { records }) => inside.extend(records.into_iter().flatten().map(as_it_is)),
                Err(_) => inside.push(as_it_is(scope)),
            }
        }
    }
    inside
}

/// RFC 3339, or an epoch whose unit its size tells.
fn time_of(value: &RawValue) -> Option<i64> {
    let text = value.get().trim_matches('"');
    time::rfc3339(text.as_bytes()).or_else(|| {
        let fits = |micros: &i64| (time::YEAR_2000_US..time::YEAR_2100_US).contains(micros);
        [1_000_000_000, 1_000_000, 1_000, 1]
            .into_iter()
            .find_map(|nanos| time::decimal(text.as_bytes(), nanos).filter(fits))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let inside = unwrap(text);
        let texts: Vec<&str> = inside.iter().map(|inner| inner.text.trim()).collect();
        assert_eq!(texts, expected, "{text}");
    }

    #[test]
    fn what_is_inside_is_handed_on() {
        check(r#"{"log":"203.0.113.7 - -\n","stream":"stdout","time":"2026-11-27T10:00:00Z"}"#, &["203.0.113.7 - -"]);
        check(r#"{"@timestamp":"x","message":"{\"a\":1}","host":{"name":"h"}}"#, &[r#"{"a":1}"#]);
        check(r#"{"log":{"a":1},"kubernetes":{}}"#, &[r#"{"a":1}"#]);
        check(r#"{"log":{"file":{"path":"x"}},"message":"line"}"#, &["line"]);
        check(r#"{"MESSAGE":[104,105,255],"__REALTIME_TIMESTAMP":"1795773600000000"}"#, &["hi\u{fffd}"]);
        check(r#"{"event":{"original":"line","kind":"event"}}"#, &["line"]);
        check(
            r#"{"messageType":"DATA_MESSAGE","logEvents":[{"id":"1","message":"a"},{"id":"2","message":"b"}]}"#,
            &[r#"{"id":"1","message":"a"}"#, r#"{"id":"2","message":"b"}"#],
        );
        check(r#"{"records":[{"a":1}],"x":1,"records":[{"b":2}]}"#, &[r#"{"a":1}"#, r#"{"b":2}"#]);
        check(r#"{"records":[{"time":"x"},{}]}"#, &[r#"{"time":"x"}"#, "{}"]);
        let otlp =
            r#"{"resourceLogs":[{"resource":{},"scopeLogs":[{"logRecords":[{"a":1},{"b":2}]}]},{"scopeLogs":[]}]}"#;
        check(otlp, &[r#"{"a":1}"#, r#"{"b":2}"#]);
        check(
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"a":1}]},{"logRecords":null},{"logRecords":7}]},5,{"scopeLogs":null}]}"#,
            &[r#"{"a":1}"#, r#"{"logRecords":7}"#, "5"],
        );
        check(
            r#"{"records":[null,5,"",["x"],{"time":"x"}],"logEvents":[{"message":"b"}]}"#,
            &["null", "5", "\"\"", "[\"x\"]", r#"{"time":"x"}"#, r#"{"message":"b"}"#],
        );
        check(r#"{"stream":{},"values":[["1"],["2",""],null,["3","a"]]}"#, &["[\"1\"]", "[\"2\",\"\"]", "null", "a"]);
        check(r#"{"message":"line","streams":["000000000000000000000001"]}"#, &["line"]);
        check(r#"{"body":{"stringValue":"line"}}"#, &["line"]);
        check(r#"{"@timestamp":1,"time":2,"timestamp":3,"message":"line"}"#, &["line"]);
        check(r#"{"insertId":"a","textPayload":"line"}"#, &["line"]);
        check(r#"{"insertId":"a","jsonPayload":{"a":1}}"#, &[r#"{"a":1}"#]);
        check(r#"{"labels":{"app":"x"},"line":"line","timestamp":"2026-11-27T10:00:00Z"}"#, &["line"]);
        check(
            r#"{"streams":[{"stream":{"app":"x"},"values":[["1","a"]]}]}"#,
            &[r#"{"stream":{"app":"x"},"values":[["1","a"]]}"#],
        );
        check(r#"{"stream":{"app":"x"},"values":[["1795773600000000000","a"],["2","b",{"c":"d"}]]}"#, &["a", "b"]);
        check(r#"{"category":"x","properties":{"log":"line"}}"#, &[r#"{"log":"line"}"#]);
        check(r#"{"LogMessage":"line","PodName":"x"}"#, &["line"]);
        check(r#"{"specversion":"1.0","type":"x","data":{"a":1}}"#, &[r#"{"a":1}"#]);
        check(r#"{"preview":false,"result":{"_raw":"line"}}"#, &[r#"{"_raw":"line"}"#]);
        check(r#"{"data":"MjAzLjAuMTEzLjcgLSAtCg=="}"#, &["203.0.113.7 - -"]);
        check(r#"{"event.original":"line","event.kind":"event"}"#, &["line"]);
        check(r#"{"_index":"x","_id":"1","_source":{"message":"line"}}"#, &[r#"{"message":"line"}"#]);
        check(r#"{"data":"203.0.113.7 - -"}"#, &["203.0.113.7 - -"]);
        check(r#"{"short_message":"short","full_message":"whole line"}"#, &["whole line"]);
        for plain in [r#"{"a":1}"#, "{", "[]", r#"{"records":7}"#, r#"{"message":""}"#, r#"{"log":null}"#] {
            check(plain, &[]);
        }
    }

    #[test]
    fn a_batch_that_is_no_json_is_found_where_its_key_stands_before_its_end() {
        assert_eq!(broken_batch(r#"{"records": [{"a":1},{"b}]}"#), Some((r#"[{"a":1},{"b}]"#, true)));
        assert_eq!(broken_batch(r#"{"a":"x","records":[1,}]}"#), Some(("[1,}]", false)));
        for text in
            [r#"{"a":["x" "records":1}"#, r#"{"a":[1] "records":}"#, r#"{"records"]}"#, r#"{]"records"}"#, "]}", "{}"]
        {
            assert_eq!(broken_batch(text), None, "{text}");
        }
    }

    #[test]
    fn the_time_of_the_envelope_is_read() {
        let at = time::rfc3339(b"2026-11-27T10:00:00Z");
        for text in [
            r#"{"log":"x","time":"2026-11-27T10:00:00Z"}"#,
            r#"{"MESSAGE":"x","__REALTIME_TIMESTAMP":"1795773600000000"}"#,
            r#"{"message":"x","timestamp":1795773600000}"#,
            r#"{"event":"x","time":1795773600.0}"#,
        ] {
            assert_eq!(unwrap(text)[0].time_us, at, "{text}");
        }
    }
}
