//! Which kind of source a log is of: the first records are read by every kind, and the one that makes the most of them wins.
//!
//! Promises: deterministic; a kind that reads nothing, or mostly what cannot stand there, is not named. It is a proposal
//! with its reason, for people and for one-off runs; a service names its kinds.
//! Never: keeps anything of what it reads.

use std::cmp::Reverse;

use arrow::array::{Array, AsArray};
use regex::bytes::Regex;

use crate::envelope;
use crate::limits::RECOGNISED_RECORDS;
use crate::normalise::Normaliser;
use crate::record::{Lane, RawBatch};
use crate::redact::token::Keys;
use crate::sources::{KINDS, SourceConfig};

/// Columns that tell how much a kind makes of a record: what detectors look at most.
const TELLING: [&str; 9] =
    ["client_ip", "method", "path", "status", "response_bytes", "latency_us", "user_agent", "host", "request_id"];

/// What one kind made of the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    pub kind: &'static str,
    /// Events, and the records they are of.
    pub events: usize,
    pub records: usize,
    /// Telling columns that have a value in most of the events.
    pub columns: Vec<&'static str>,
    /// Values over all events and telling columns, less twice the damaged ones; of JSON these take nothing away, since their keys
    /// were known, unless more are damaged than are not.
    score: usize,
}

/// The kinds that read anything of the first records, the likeliest first.
pub fn recognise(raw: &RawBatch) -> Vec<Recognised> {
    let mut sample = RawBatch::new();
    for entry in raw.entries.iter().take(RECOGNISED_RECORDS) {
        sample.push(entry.offset, entry.observed_us, &raw.arena[entry.start..entry.end]);
    }
    let kinds = KINDS.iter().enumerate().filter_map(|(order, kind)| {
        let signed = kind.sign().is_some_and(|sign| has_sign(&sign, &sample));
        Some(((!signed, order), read(kind.name, &sample)?))
    });
    let mut found: Vec<((bool, usize), Recognised)> = kinds.filter(|(_, recognised)| recognised.score > 0).collect();
    // Of equals the one of which records have the sign, then the one that is first in the table: the more usual one.
    found.sort_by_key(|(rank, recognised)| (Reverse(recognised.score), *rank));
    found.into_iter().map(|(_, recognised)| recognised).collect()
}

/// What the kind makes of the records; none when it needs settings of its own.
fn read(kind: &'static str, sample: &RawBatch) -> Option<Recognised> {
    let config = SourceConfig::new(kind);
    let mut normaliser = Normaliser::new(&config, &Keys::new("recognise", b"kept nowhere")).ok()?;
    let normalised = normaliser.normalise(&Lane::new(kind, 0), sample);
    let events = normalised.events;
    let values = |name: &str| events.column_by_name(name).map_or(0, |column| column.len() - column.null_count());
    let columns = TELLING.into_iter().filter(|name| values(name) * 2 > events.num_rows()).collect();
    let damaged = events.column_by_name("damaged").map_or(0, |column| column.as_list::<i32>().values().len());
    let values: usize = TELLING.iter().map(|name| values(name)).sum();
    let gained = values + events.num_rows();
    let score = match is_json(sample) && damaged <= values {
        true => gained.saturating_sub(normalised.rejects.len()),
        false => gained.saturating_sub(2 * damaged + normalised.rejects.len()),
    };
    Some(Recognised { kind, events: events.num_rows(), records: sample.len(), columns, score })
}

/// Do most of the records have the sign of a kind?
fn has_sign(sign: &Regex, sample: &RawBatch) -> bool {
    let records = sample.entries.iter().map(|entry| &sample.arena[entry.start..entry.end]);
    records.filter(|record| sign.is_match(record.trim_ascii_end())).count() * 2 > sample.len()
}

/// Do most of the records have names for their values? A shipper's names are not those of the values of a line in it.
fn is_json(sample: &RawBatch) -> bool {
    let is_line = |record: &[u8]| {
        let text = std::str::from_utf8(record).unwrap_or_default().trim();
        text.starts_with('{') && envelope::unwrap(text).first().is_some_and(|inner| !inner.text.contains("{\""))
    };
    let has_keys = |record: &&[u8]| memchr::memmem::find(record, b"{\"").is_some() && !is_line(record);
    let records = sample.entries.iter().map(|entry| &sample.arena[entry.start..entry.end]);
    records.filter(has_keys).count() * 2 > sample.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[&str], expected: Option<&str>) {
        let mut raw = RawBatch::new();
        lines.iter().enumerate().for_each(|(i, line)| raw.push(i as i64, 0, line.as_bytes()));
        assert_eq!(recognise(&raw).first().map(|found| found.kind), expected, "{lines:?}");
    }

    #[test]
    fn kinds_are_recognised_by_what_they_make_of_records() {
        let combined = "203.0.113.7 - - [27/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"curl/8.5.0\"";
        check(&[combined], Some("combined"));
        check(
            &["2026-11-27T10:00:00Z stdout F x", &format!("2026-11-27T10:00:00Z stdout F {combined}")],
            Some("combined"),
        );
        let traefik = format!("{combined} 12 \"shop@docker\" \"http://192.0.2.80:80\" 3ms");
        check(&[&traefik, &traefik, combined], Some("traefik"));
        check(&[combined, combined, &traefik], Some("combined"));
        let kong = r#"{"started_at":1790000000000,"client_ip":"203.0.113.7","request":{"method":"GET","uri":"/","headers":{}},"response":{"status":200,"size":5},"latencies":{"request":3}}"#;
        check(&[kong], Some("kong"));
        let nginx = r#"{"msec":1790000000.1,"remote_addr":"203.0.113.7","request_method":"GET","request_uri":"/","status":200,"body_bytes_sent":5,"http_user_agent":"curl/8"}"#;
        check(&[nginx, "not a record"], Some("nginx_json"));
        let comma = r#"{"msec": "1790000000.000", "remote_addr": "203.0.113.7", "request_method": "GET", "request_uri": "/", "status": 404, "body_bytes_sent": 5, "request_time": "0,003", "http_user_agent": "curl/8.5.0"}"#;
        check(&[comma; 3], Some("nginx_json"));
        let shipped = r#"{"host":"web1","path":"/var/log/access.json","client_ip":"192.0.2.9","message":"{\"msec\":\"1790000000.000\",\"remote_addr\":\"203.0.113.7\",\"request_uri\":\"/\",\"status\":404}"}"#;
        check(&[shipped; 3], Some("nginx_json"));
        // The fields of another kind, too; between tabs they are CloudFront's.
        let chosen = "#Fields: date time c-ip cs-method cs-uri-stem sc-status time-taken";
        check(&[chosen, "2026-11-27\t10:00:00\t203.0.113.7\tGET\t/\t200\t0.003"], Some("cloudfront"));
        check(&[chosen, "2026-11-27 10:00:00 203.0.113.7 GET / 200 3"], Some("iis"));
        let elb = r#"2026-11-27T10:00:00.945958Z my-lb 203.0.113.7:2817 192.0.2.1:80 0.000073 0.001048 0.000057 200 200 0 29 \"GET https://api.shop.example:443/v1/orders HTTP/1.1\" \"curl/8.5.0\" - -"#;
        let shipped = format!(r#"{{"@timestamp":"2026-11-27T10:00:01Z","log":{{"offset":0}},"message":"{elb}"}}"#);
        check(&[shipped.as_str(); 3], Some("elb"));
        check(&[&elb.replace('\\', "")], Some("elb"));
        check(&["hello", "{}", "[]"], None);
        // Columns without their names, but none of them can be what stands there.
        let mail = "Nov 27 10:00:00 mx postfix/smtpd[811]: warning: unknown[203.0.113.7]: SASL LOGIN failed";
        let proxy = "2026/11/27 10:00:00 [info] 10#10: *3 client login failed: \"bad\" while in http auth state, client: 203.0.113.7, server: 192.0.2.1:25, login: \"a\"";
        check(&[mail], None);
        check(&[proxy, proxy], None);
        check(&[], None);
    }
}
