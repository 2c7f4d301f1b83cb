//! The inputs of each target: something from the corpus, changed, or something hostile.
//!
//! Promises: an input depends on the seed and its number alone.

use super::corpus::{Corpus, LOGFMT_LINES};
use super::hostile::hostile;
use super::mutate::{INPUT_BYTES_MAX, mutate};
use super::random::Random;
use super::targets::Target;

/// What one run of a target is given.
pub struct Input {
    /// The kind of source that reads the records: its number in the corpus.
    pub kind: usize,
    /// A mapping file, `log_format` or OpenAPI document, where the target is for these.
    pub setup: Option<String>,
    pub records: Vec<Vec<u8>>,
}

impl Input {
    pub fn len(&self) -> usize {
        self.setup.as_ref().map_or(0, String::len) + self.records.iter().map(Vec::len).sum::<usize>()
    }

    /// As text: everything that is needed to see it again.
    pub fn dump(&self, corpus: &Corpus) -> String {
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let mut text = format!("kind {}\n", corpus.kinds[self.kind].name);
        text.extend(self.setup.iter().map(|setup| format!("setup {}\n", hex(setup.as_bytes()))));
        text.extend(self.records.iter().map(|record| format!("record {}\n", hex(record))));
        text
    }
}

/// Input `number` of `target` in the run with `seed`, and the target that it is for (of `all`, one of the others).
pub fn input(corpus: &Corpus, target: Target, seed: u64, number: u64) -> (Target, Input) {
    let random = &mut Random::of_input(seed, number);
    let target = if target == Target::All { Target::ALL[random.below(Target::ALL.len() - 1)] } else { target };
    let kinds = target.kinds(corpus);
    let mut kind = *random.of(&kinds);
    let (mut setup, mut records) = (None, Vec::new());
    match target {
        Target::Json | Target::Text | Target::W3c | Target::Logfmt => {
            records.push(record(random, corpus, target, kind))
        }
        Target::Envelope => {
            let record = record(random, corpus, target, kind);
            let mut wrapped = wrap(random, record);
            if random.one_in(2) {
                let other = random.below(1 << 20);
                mutate(random, &mut wrapped, random_record(corpus, kind, other));
            }
            records.push(wrapped);
        }
        Target::Mapping => {
            setup = Some(yaml(random, &corpus.mappings));
            records.extend((0..3).map(|_| record(random, corpus, Target::Json, kind)));
            records.push(LOGFMT_LINES[random.below(LOGFMT_LINES.len())].as_bytes().to_vec());
        }
        Target::Form => {
            if random.one_in(2) {
                let format = text(random, &corpus.log_formats);
                records.extend((0..3).map(|_| line_of(random, &format, '$')));
                kind = corpus.kinds.iter().position(|kind| kind.name == "nginx").expect("nginx is a kind");
                setup = Some(format);
            } else {
                let (yaml, form) = with_form(random, corpus, kind);
                records.extend((0..3).map(|_| line_of(random, &form, '<')));
                setup = Some(yaml);
            }
        }
        Target::Redaction => {
            let mut part = || record(random, corpus, Target::Redaction, kind);
            records = vec![part(), part(), part()];
        }
        Target::Templates | Target::All => {
            let document = yaml(random, &corpus.documents);
            records.extend((0..6).map(|_| request(random, &document)));
            setup = Some(document);
        }
    }
    records.iter_mut().for_each(|record| record.truncate(INPUT_BYTES_MAX));
    (target, Input { kind, setup, records })
}

fn random_record(corpus: &Corpus, kind: usize, at: usize) -> &[u8] {
    let (records, cases) = (&corpus.kinds[kind].records, &corpus.field_cases);
    // One of eight may be of another kind.
    match at % 8 {
        0 if !cases.is_empty() => &cases[at / 8 % cases.len()],
        _ => &records[at / 8 % records.len()],
    }
}

/// A record of `kind`, seldom as it is.
fn record(random: &mut Random, corpus: &Corpus, target: Target, kind: usize) -> Vec<u8> {
    if random.one_in(16) {
        let size = random.length(1 << 20);
        return hostile(random, size);
    }
    let (at, other) = (random.below(1 << 20), random.below(1 << 20));
    let mut bytes = match target {
        Target::Logfmt => LOGFMT_LINES[at % LOGFMT_LINES.len()].as_bytes().to_vec(),
        _ => random_record(corpus, kind, at).to_vec(),
    };
    if target == Target::W3c && random.one_in(2) {
        let lines: Vec<&[u8]> = (0..3).map(|i| random_record(corpus, kind, other + i)).collect();
        bytes = lines.join(&b"\n"[..]);
    }
    if !random.one_in(32) {
        mutate(random, &mut bytes, random_record(corpus, kind, other));
    }
    bytes
}

fn text(random: &mut Random, texts: &[String]) -> String {
    let mut bytes = random.of(texts).clone().into_bytes();
    if !random.one_in(8) {
        let other = random.of(texts).clone().into_bytes();
        mutate(random, &mut bytes, &other);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A YAML document, changed or made to hurt.
fn yaml(random: &mut Random, texts: &[String]) -> String {
    if !random.one_in(16) {
        return text(random, texts);
    }
    let size = random.length(256 << 10);
    let hostile = String::from_utf8_lossy(&hostile(random, size)).into_owned();
    match random.below(4) {
        0 => hostile,
        1 => format!("{}\n{hostile}", random.of(texts)),
        2 => random.of(texts).replacen(": ", &format!(": {hostile}"), 1 + random.below(3)),
        _ => {
            // Each line twice the one before it.
            let mut text = "a0: &a0 [x, x]\n".to_string();
            for i in 0..1 + random.below(60) {
                text.push_str(&format!("a{}: &a{} [*a{i}, *a{i}]\n", i + 1, i + 1));
            }
            text + random.of(texts).as_str()
        }
    }
}

/// Puts one to three envelopes around the record.
fn wrap(random: &mut Random, mut record: Vec<u8>) -> Vec<u8> {
    for _ in 0..1 + random.below(3) {
        let text = String::from_utf8_lossy(&record).into_owned();
        let quoted = serde_json::Value::String(text.clone()).to_string();
        let raw = if text.starts_with(['{', '[']) { text.clone() } else { quoted.clone() };
        let wrapped = match random.below(20) {
            0 => format!("2026-11-27T10:00:00.123456789Z stdout F {text}"),
            1 => format!("2026-11-27T10:00:00Z stderr P {text}"),
            2 => format!(r#"{{"log":{quoted},"stream":"stdout","time":"2026-11-27T10:00:00Z"}}"#),
            3 => format!(r#"{{"MESSAGE":{quoted},"__REALTIME_TIMESTAMP":"1790000000000000"}}"#),
            4 => format!(r#"{{"@timestamp":"2026-11-27T10:00:00Z","message":{quoted},"agent":{{"type":"filebeat"}}}}"#),
            5 => format!(
                r#"{{"messageType":"DATA_MESSAGE","logEvents":[{{"timestamp":1790000000000,"message":{quoted}}}]}}"#
            ),
            6 => format!(r#"{{"records":[{raw},{raw}]}}"#),
            7 => format!(
                r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"timeUnixNano":"1790000000000000000","body":{{"stringValue":{quoted}}}}}]}}]}}]}}"#
            ),
            8 => format!("[{raw},{raw},{quoted}]"),
            9 => quoted,
            10 => format!("<134>Nov 27 10:00:00 gw nginx: {text}"),
            11 => format!("<134>1 2026-11-27T10:00:00Z gw nginx 7 ID47 [a@1 b=\"c\\]\"] {text}"),
            12 => format!("Nov 27 10:00:00 gw nginx[7]: {text}"),
            13 => format!("2026-11-27T10:00:00+00:00 gw nginx[7]: {text}"),
            14 => format!("nginx: {text}"),
            15 => format!("gateway-1  | {text}"),
            16 => format!("2026-11-27T10:00:00Z {text}"),
            17 => format!(r#"{{"event":{raw},"time":1790000000.5,"sourcetype":"x"}}"#),
            18 => format!(r#"{{"payload":{raw},"body":{quoted},"full_message":{quoted}}}"#),
            _ => text.replace('\n', "\r"),
        };
        if wrapped.len() > INPUT_BYTES_MAX {
            break;
        }
        record = wrapped.into_bytes();
    }
    record
}

/// The mapping of `kind` with one of its forms changed, and that form.
fn with_form(random: &mut Random, corpus: &Corpus, kind: usize) -> (String, String) {
    let form = text(random, &corpus.forms);
    let mut yaml = String::new();
    let mut done = false;
    for line in corpus.kinds[kind].yaml.lines() {
        let is_form = line.trim_start().starts_with("- '") && line.contains('<');
        match line.split_once("- '") {
            Some((indent, _)) if is_form && !done && !random.one_in(4) => {
                done = true;
                yaml.push_str(&format!("{indent}- {}\n", serde_json::Value::String(form.clone())));
            }
            _ => yaml.extend([line, "\n"]),
        }
    }
    (yaml, form)
}

/// A line as a form has it, or as nginx writes it: something in the place of each field.
fn line_of(random: &mut Random, form: &str, start: char) -> Vec<u8> {
    const VALUES: [&str; 16] = [
        "203.0.113.7",
        "[2001:db8::1]:443",
        "-",
        "200",
        "1790000000.123",
        "27/Nov/2026:10:00:00 +0000",
        "2026-11-27T10:00:00Z",
        "GET /v1/orders/7?token=fake HTTP/1.1",
        "anna",
        "0.012",
        "12ms",
        "198.51.100.7, 192.0.2.1",
        "a \\\"b\\\" c",
        "\\x22",
        "",
        "x",
    ];
    let mut line = String::new();
    let mut rest = form.split_once('\'').map_or(form, |(_, rest)| if start == '$' { rest } else { form });
    while let Some((before, after)) = rest.split_once(start) {
        line.push_str(before);
        let name = if start == '<' {
            after.find('>').map_or(after.len(), |i| i + 1)
        } else {
            after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len())
        };
        let (name, after) = after.split_at(name);
        line.push_str(match name {
            name if name.contains("addr") || name.contains("client") || name.contains("peer") => {
                VALUES[random.below(2)]
            }
            name if name.contains("clf") || name.contains("local") => VALUES[5],
            name if name.contains("iso") || name.contains("rfc") => VALUES[6],
            name if name.contains("status") => VALUES[3],
            name if name.contains("request:") || name == "request" => VALUES[7],
            _ => random.of::<&str>(&VALUES),
        });
        rest = after;
    }
    line.push_str(rest.trim_end_matches(['\'', ';', '\n']));
    let mut bytes = line.into_bytes();
    if random.one_in(2) {
        mutate(random, &mut bytes, form.as_bytes());
    }
    bytes
}

/// A record of a request for something that looks like one of the document's paths.
fn request(random: &mut Random, document: &str) -> Vec<u8> {
    let paths: Vec<&str> =
        document.split(['\'', '"', ' ', '\n']).filter(|word| word.starts_with('/')).take(64).collect();
    let mut path = Vec::new();
    for piece in
        paths.get(random.below(paths.len())).copied().unwrap_or("/v1/orders/7").split_inclusive(['/', '}', ':'])
    {
        match piece.contains('{') {
            true => path
                .extend_from_slice(random.of(&["7", "me", "a.b", "a%2fb", "..", "ghp_fake", "x;y=z", ""]).as_bytes()),
            false => path.extend_from_slice(piece.trim_end_matches(':').as_bytes()),
        }
        if piece.ends_with('}') && random.one_in(2) {
            path.push(b'/');
        }
    }
    match random.below(8) {
        0 => mutate(random, &mut path, document.as_bytes()),
        1 => {
            let size = random.length(64 << 10);
            path = [b"/".to_vec(), hostile(random, size)].concat();
        }
        _ => {}
    }
    let path = String::from_utf8_lossy(&path).into_owned();
    let host =
        *random.of(&["eu.shop.example", "US.shop.example:8443", "x.y.shop.example", "admin.shop.example", "[::1]", ""]);
    let method = *random.of(&["GET", "HEAD", "OPTIONS", "POST", "get", "FOO", ""]);
    let kong = serde_json::json!({
        "started_at": 1_790_000_000_000_u64, "client_ip": "203.0.113.7", "response": {"status": 200},
        "request": {"method": method, "uri": path, "headers": {"host": host}},
        "route": {"paths": [path]},
    });
    kong.to_string().into_bytes()
}
