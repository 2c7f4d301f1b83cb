//! Lines that came in several records: container runtimes split what is longer than 16 KiB, journald what is longer than 48.
//!
//! What a client wrote stands at the beginning of such a rest, and may look like a line of its own. So it is known of each stream
//! of a lane whether its last record had an end.
//!
//! Promises: bounded in streams and bytes. Where it is not known what came before, that is said.
//! Never: guesses that a rest is a line; puts the text of a record into what is saved of a lane.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::limits::{SPLIT_BYTES_MAX, SPLIT_PATIENCE, SPLIT_STREAMS_MAX, SPLIT_TEXTS_MAX};

/// What is told of a record that may be a part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    /// Which output of which container it is from, as far as the record says.
    pub(crate) stream: u64,
    pub(crate) end: End,
    /// The record says of itself that it goes on with a line.
    pub(crate) goes_on: bool,
    /// Nothing else is in the lane than what one container wrote.
    pub(crate) alone: bool,
    /// Others in the lane may be of the same stream, as far as the record says.
    pub(crate) mixed: bool,
}

/// Is the end of the line in the record?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Here,
    Later,
    /// Likely, but nothing says so.
    Perhaps,
}

impl Split {
    /// The same, where a record may be of another stream than the one before.
    pub(crate) fn among_others(self) -> Split {
        let end = if self.end == End::Here { End::Perhaps } else { self.end };
        Split { end, alone: false, mixed: true, ..self }
    }

    /// The same, in a record that says of which container it is.
    pub(crate) fn within(self, outer: Split) -> Split {
        Split { stream: outer.stream.rotate_left(1) ^ self.stream, alone: false, ..self }
    }
}

/// The lines of a lane that have begun and have no end yet.
#[derive(Clone, Default)]
pub(crate) struct Parts {
    open: Vec<Open>,
    /// What came before the next record is not known.
    pub(crate) is_unknown: bool,
}

/// One of them.
#[derive(Clone)]
pub(crate) struct Open {
    stream: u64,
    /// What there is of it, when it is still to be read.
    pub(crate) text: Option<String>,
    /// In so many records that may be its end, that is looked for.
    patience: u16,
}

impl Open {
    fn new(stream: u64, text: Option<String>) -> Open {
        Open { stream, text, patience: SPLIT_PATIENCE }
    }

    /// Its end may have come already, among what others wrote.
    pub(crate) fn may_be_over(&self) -> bool {
        self.patience < SPLIT_PATIENCE
    }
}

impl Parts {
    /// Of a lane that begins; `is_unknown` says that it has a past which nobody knows.
    pub(crate) fn after(is_unknown: bool) -> Parts {
        Parts { is_unknown, ..Parts::default() }
    }

    /// Those of a lane of which it was saved which streams are within a line, and how long an end is looked for.
    pub(crate) fn restored(streams: &[u64], patience: &[u16]) -> Parts {
        let open = |(i, stream): (usize, &u64)| {
            let patience = patience.get(i).copied().unwrap_or(SPLIT_PATIENCE);
            Open { patience, ..Open::new(*stream, None) }
        };
        Parts { open: streams.iter().enumerate().take(SPLIT_STREAMS_MAX).map(open).collect(), is_unknown: false }
    }

    /// The streams that are within a line.
    pub(crate) fn streams(&self) -> Vec<u64> {
        self.open.iter().map(|open| open.stream).collect()
    }

    /// In how many more records the end of each is looked for; empty where none was looked for yet.
    pub(crate) fn patience(&self) -> Vec<u16> {
        let all: Vec<u16> = self.open.iter().map(|open| open.patience).collect();
        if all.iter().all(|patience| *patience == SPLIT_PATIENCE) { Vec::new() } else { all }
    }

    /// Whether some line waits for its end to be read.
    pub(crate) fn holds_texts(&self) -> bool {
        self.open.iter().any(|open| open.text.is_some())
    }

    /// Whether the stream is within a line.
    pub(crate) fn has(&self, stream: u64) -> bool {
        self.open.iter().any(|open| open.stream == stream)
    }

    /// The line that the stream is in, which is its no more.
    #[inline]
    pub(crate) fn take(&mut self, stream: u64) -> Option<Open> {
        let at = self.open.iter().position(|open| open.stream == stream)?;
        Some(self.open.remove(at))
    }

    /// A record may have been the end of this line, or a line of another one: the next may be its end as well.
    pub(crate) fn keep(&mut self, open: Open) {
        if open.patience > 1 {
            self.open.push(Open { text: None, patience: open.patience - 1, ..open });
        }
    }

    /// The stream is within a line; `text` is what is to be read of it. Where too many are, the oldest is forgotten.
    pub(crate) fn put(&mut self, stream: u64, text: Option<String>) {
        if self.open.len() >= SPLIT_STREAMS_MAX {
            self.open.remove(0);
            self.is_unknown = true;
        }
        if self.open.iter().filter(|open| open.text.is_some()).count() >= SPLIT_TEXTS_MAX
            && let Some(oldest) = self.open.iter_mut().find(|open| open.text.is_some())
        {
            oldest.text = None;
        }
        self.open.push(Open::new(stream, text.filter(|text| text.len() <= SPLIT_BYTES_MAX)));
    }
}

/// Bytes from which Docker splits a line.
const DOCKER_BYTES: usize = 16 << 10;
/// What tells the outputs of containers apart.
const STREAMS: [&str; 11] = [
    "stream",
    "source",
    "PRIORITY",
    "_MACHINE_ID",
    "_HOSTNAME",
    "hostname",
    "host",
    "pod",
    "pod_name",
    "namespace",
    "container_name",
];
const CONTAINERS: [&str; 6] = ["container_id", "CONTAINER_ID", "_PID", "kubernetes", "docker", "container"];

/// Beside the line of a record of journald, also where its key was renamed.
const JOURNALD: [&str; 3] = ["__REALTIME_TIMESTAMP", "_LINE_BREAK", "_SYSTEMD_UNIT"];

/// Google's mark of an entry that was too long for one: which of how many it is. Numbers may be texts.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    uid: &'a RawValue,
    #[serde(borrow, default)]
    index: Option<&'a RawValue>,
    #[serde(borrow, rename = "totalSplits")]
    total: &'a RawValue,
}

impl Entry<'_> {
    fn split(&self) -> Option<Split> {
        let number = |raw: &RawValue| raw.get().trim_matches('"').parse::<u32>().ok();
        let index = self.index.map_or(Some(0), number)?;
        let end = if index.saturating_add(1) < number(self.total)? { End::Later } else { End::Here };
        Some(Split { stream: hash(FNV, self.uid.get()), end, goes_on: index > 0, alone: false, mixed: false })
    }
}

/// What Filebeat says of the file and of the line beside it: an object, or keys with dots.
#[derive(Default, Deserialize)]
struct Harvest<'a> {
    #[serde(borrow, default)]
    flags: Option<&'a RawValue>,
    #[serde(borrow, default)]
    file: Option<&'a RawValue>,
}

/// What the keys of an envelope tell of the line in it; `line` is the text of the key `log`, if that is it.
pub(super) fn split(keys: &BTreeMap<String, &RawValue>, line: Option<&str>) -> Option<Split> {
    let get = |name: &str| keys.get(name).map(|value| value.get().trim_matches('"'));
    let is = |name: &str, value: &str| get(name) == Some(value);
    let attribute = keys.get("attributes").map(|value| value.get()).filter(|raw| raw.contains("logtag"));
    let tag = get("logtag").or_else(|| get("_p")).or_else(|| attribute.and_then(|raw| attribute_of(raw, "logtag")));
    let part = |is_part: bool| if is_part { End::Later } else { End::Here };
    let of = |name: &str| keys.get(name).copied();
    let entry = of("split").and_then(|raw| serde_json::from_str::<Entry<'_>>(raw.get()).ok());
    if let Some(split) = entry.and_then(|entry| entry.split()) {
        return Some(split);
    }
    let harvest = of("log").filter(|raw| raw.get().starts_with('{'));
    let harvest = harvest.and_then(|raw| serde_json::from_str::<Harvest<'_>>(raw.get()).ok()).unwrap_or_default();
    let flags = harvest.flags.or_else(|| of("log.flags")).map(RawValue::get);
    let file = harvest.file.or_else(|| of("log.file.path")).map(RawValue::get).filter(|file| *file != "null");
    // Docker's own drivers number the parts.
    let number = get("partial_ordinal").or_else(|| get("CONTAINER_PARTIAL_ORDINAL"));
    let is_last = is("partial_last", "true") || is("CONTAINER_PARTIAL_LAST", "true");
    let (end, goes_on) = if let Some(tag) = tag {
        (part(tag.split(':').next() == Some("P")), false)
    } else if get("partial_message").is_some() || get("CONTAINER_PARTIAL_ID").is_some() {
        (part(!is_last), number.map_or(is_last, |number| number != "1"))
    } else if keys.contains_key("MESSAGE") || JOURNALD.iter().any(|name| keys.contains_key(*name)) {
        (part(is("_LINE_BREAK", "line-max") || is("CONTAINER_PARTIAL_MESSAGE", "true")), false)
    } else if let Some(is_part) = get("_partial") {
        (part(is_part == "true"), false)
    } else if is("source_type", "docker_logs") || is("source_type", "kubernetes_logs") {
        // Vector marks all parts but the last.
        (End::Here, false)
    } else if file.is_some() || flags.is_some() {
        (part(flags.is_some_and(|flags| flags.contains("\"partial\""))), false)
    } else {
        let line = line?;
        let end = match line.ends_with('\n') {
            true => End::Here,
            false if line.len() >= DOCKER_BYTES => End::Later,
            false => End::Perhaps,
        };
        (end, false)
    };
    let (mut stream, mut is_named) = (FNV, false);
    for name in STREAMS.iter().chain(&CONTAINERS) {
        // A name alone is that of many.
        if let Some(value) = keys.get(*name).filter(|value| *name != "container" || value.get().contains("\"id\"")) {
            stream = hash(stream, value.get());
            is_named |= CONTAINERS.contains(name);
        }
    }
    if let Some(name) = attribute.and_then(|raw| attribute_of(raw, "log.iostream")) {
        stream = hash(stream, name);
    }
    if let Some(file) = file {
        (stream, is_named) = (hash(stream, file), true);
    }
    let alone = keys.keys().all(|key| matches!(key.as_str(), "log" | "stream" | "time" | "attrs"));
    // Of which container it is, nothing says: it may be a line of another one.
    let split = Split { stream, end, goes_on, alone, mixed: false };
    Some(if is_named || alone || goes_on { split } else { split.among_others() })
}

/// The text behind `"name"` in attributes, whichever way they are written: the next short one that is no key of theirs.
pub(super) fn attribute_of<'a>(raw: &'a str, name: &str) -> Option<&'a str> {
    let behind = raw.split_once(&format!("\"{name}\""))?.1;
    behind.split('"').skip(1).step_by(2).find(|text| !matches!(*text, "value" | "stringValue" | "string_value"))
}

/// The stream of this name.
pub(super) fn stream(name: &str) -> u64 {
    hash(FNV, name)
}

/// FNV-1a: the same in every process, for what is saved of a lane.
const FNV: u64 = 0xcbf2_9ce4_8422_2325;

fn hash(start: u64, text: &str) -> u64 {
    text.bytes().chain([0]).fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn told(text: &str) -> Option<(End, bool, bool)> {
        let keys: BTreeMap<String, &RawValue> = serde_json::from_str(text).expect("an object");
        let line = keys.get("log").and_then(|value| serde_json::from_str::<String>(value.get()).ok());
        split(&keys, line.as_deref()).map(|split| (split.end, split.goes_on, split.alone))
    }

    #[test]
    fn parts_are_told_by_what_runtimes_and_shippers_say() {
        let long = "x".repeat(DOCKER_BYTES);
        for (text, expected) in [
            (r#"{"log":"x\n","stream":"stdout","time":"x"}"#, Some((End::Here, false, true))),
            (r#"{"log":"x","stream":"stdout","kubernetes":{}}"#, Some((End::Perhaps, false, false))),
            (&*format!(r#"{{"log":"{long}","stream":"stdout"}}"#), Some((End::Later, false, true))),
            (&*format!(r#"{{"log":"{long}\n","stream":"stdout"}}"#), Some((End::Here, false, true))),
            (r#"{"log":"x","logtag":"P"}"#, Some((End::Later, false, false))),
            (r#"{"message":"x","_p":"F"}"#, Some((End::Perhaps, false, false))),
            (r#"{"message":"x","_p":"F","kubernetes":{"pod_name":"x"}}"#, Some((End::Here, false, false))),
            (r#"{"message":"x","_partial":true}"#, Some((End::Later, false, false))),
            (
                r#"{"log":"x","partial_message":"true","partial_ordinal":"1","partial_last":"false"}"#,
                Some((End::Later, false, false)),
            ),
            (
                r#"{"log":"x","partial_message":"true","partial_ordinal":"2","partial_last":"true"}"#,
                Some((End::Here, true, false)),
            ),
            (r#"{"MESSAGE":"x","_PID":"7"}"#, Some((End::Here, false, false))),
            (r#"{"MESSAGE":"x","_LINE_BREAK":"line-max"}"#, Some((End::Later, false, false))),
            (r#"{"MESSAGE":"x","CONTAINER_PARTIAL_MESSAGE":"true"}"#, Some((End::Later, false, false))),
            (
                r#"{"MESSAGE":"x","CONTAINER_PARTIAL_ID":"a","CONTAINER_PARTIAL_ORDINAL":"3","CONTAINER_PARTIAL_LAST":"true"}"#,
                Some((End::Here, true, false)),
            ),
            (
                r#"{"body":{"stringValue":"x"},"attributes":[{"key":"logtag","value":{"stringValue":"P"}}]}"#,
                Some((End::Later, false, false)),
            ),
            (r#"{"body":"x","attributes":{"logtag":"F","log.iostream":"stdout"}}"#, Some((End::Perhaps, false, false))),
            (r#"{"message":"x","stream":"stdout"}"#, None),
            (
                r#"{"message":"x","log":{"offset":5,"flags":["partial"],"file":{"path":"/a"}}}"#,
                Some((End::Later, false, false)),
            ),
            (r#"{"message":"x","log":{"offset":9,"file":{"path":"/a"}}}"#, Some((End::Here, false, false))),
            (r#"{"message":"x","log":{"level":"info"}}"#, None),
            (r#"{"textPayload":"x","split":{"uid":"a","index":1,"totalSplits":3}}"#, Some((End::Later, true, false))),
            (r#"{"textPayload":"x","split":{"uid":"a","totalSplits":2}}"#, Some((End::Later, false, false))),
            (r#"{"textPayload":"x","split":{"uid":"a","index":1,"totalSplits":2}}"#, Some((End::Here, true, false))),
        ] {
            assert_eq!(told(text), expected, "{}", &text[..text.len().min(100)]);
        }
    }

    #[test]
    fn streams_and_texts_are_bounded() {
        let mut parts = Parts::default();
        (0..SPLIT_TEXTS_MAX as u64 + 1).for_each(|stream| parts.put(stream, Some("x".to_string())));
        assert_eq!(parts.take(0).and_then(|open| open.text), None);
        assert_eq!(parts.take(1).and_then(|open| open.text).as_deref(), Some("x"));
        parts.put(1, Some("x".repeat(SPLIT_BYTES_MAX + 1)));
        assert!(parts.take(1).is_some_and(|open| open.text.is_none()) && !parts.is_unknown);
        (0..SPLIT_STREAMS_MAX as u64 * 2).for_each(|stream| parts.put(stream, None));
        assert!(parts.streams().len() == SPLIT_STREAMS_MAX && parts.is_unknown);
    }
}
