//! Envelopes: what runtimes, shippers and collectors put around the line that a gateway wrote. Taken off for every kind of
//! source, before its shape is looked at.
//!
//! * before the line: the container runtime's prefix (CRI), syslog headers (RFC 3164, RFC 5424, and as rsyslog writes
//!   them to files);
//! * around it: Docker's json-file, journald, Filebeat, Fluent Bit, Vector, GELF, Splunk (HEC and exports), an OpenTelemetry
//!   body, Google's `textPayload`, Loki's `line`, AKS, CloudEvents;
//! * several in one: arrays, CloudWatch's `logEvents`, Azure's and Firehose's `records`, OTLP's `resourceLogs`, Loki's `streams`.
//!
//! Promises: what is inside is handed on as it was written; the envelope's time counts only where the record has none.
//! Never: decides what a record means, or takes an envelope off a record that tells of a request as it is.

mod around;
mod mended;
mod parts;
mod syslog;
mod wrapper;

pub(crate) use around::Around;
pub(crate) use mended::mended;
pub(crate) use parts::{End, Parts, Split};
pub(crate) use wrapper::{Inner, broken_batch, lines, unwrap};

use crate::time::{self, Zone};

/// A line behind its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stripped<'b> {
    pub(crate) line: &'b str,
    pub(crate) time_us: Option<i64>,
    /// What is told of lines that came in several records.
    pub(crate) split: Option<Split>,
}

/// `text` without a prefix, if it has one. `observed_us` tells the year, which RFC 3164 leaves out.
#[inline]
pub(crate) fn strip(text: &str, observed_us: i64, zone: Zone) -> Stripped<'_> {
    let plain = Stripped { line: text, time_us: None, split: None };
    match text.as_bytes().first() {
        Some(b'0'..=b'9') => container(text)
            .or_else(|| syslog::file(text))
            .or_else(|| syslog::counted(text, observed_us, zone))
            .or_else(|| tagged(text))
            .unwrap_or(plain),
        Some(b'[') => pod(text).unwrap_or(plain),
        Some(b'<') => syslog::message(text, observed_us, zone).unwrap_or(plain),
        Some(b'A'..=b'Z') => syslog::old_file(text, observed_us, zone).unwrap_or(plain),
        Some(b'a'..=b'z') => syslog::tag(text).unwrap_or(plain),
        _ => plain,
    }
}

/// `2026-01-24T01:34:36.743Z stdout F line`: the prefix of containerd and CRI-O.
fn container(text: &str) -> Option<Stripped<'_>> {
    let (at, rest) = text.split_once(' ')?;
    let (name, rest) = rest.split_once(' ').filter(|(name, _)| matches!(*name, "stdout" | "stderr"))?;
    let (tag, line) = rest.split_once(' ').unwrap_or((rest, &rest[rest.len()..]));
    let end = match tag.split(':').next() {
        Some("F") => End::Here,
        Some("P") => End::Later,
        _ => return None,
    };
    let time_us = Some(time::rfc3339(at.as_bytes())?);
    // As it stands there: it may be the middle of a line.
    Some(Stripped {
        line,
        time_us,
        split: Some(Split { stream: parts::stream(name), end, goes_on: false, alone: true, mixed: false }),
    })
}

/// Does a line go on in the next record? Then blanks at its end belong to it.
#[cold]
pub(crate) fn goes_on(text: &str) -> bool {
    container(text).and_then(|stripped| stripped.split).is_some_and(|split| split.end == End::Later)
}

/// `time TAB tag TAB {"log":..}`: what fluentd writes to files.
fn tagged(text: &str) -> Option<Stripped<'_>> {
    let (at, rest) = text.split_once('\t')?;
    let (tag, line) = rest.split_once('\t')?;
    let time_us = Some(time::rfc3339(at.as_bytes())?);
    (line.starts_with('{') && !tag.contains(' ')).then_some(Stripped { line, time_us, split: None })
}

/// `[pod/nginx-5d/nginx] line`: what `kubectl logs --prefix` puts before a line, of pods and of containers.
fn pod(text: &str) -> Option<Stripped<'_>> {
    let (name, line) = text.strip_prefix("[pod/")?.split_once("] ")?;
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
    name.bytes().all(is_name).then_some(Stripped { line: line.trim_start(), time_us: None, split: None })
}

/// Lines that a person's tools put something before: `kubectl logs --timestamps`, `docker compose logs`, `aws logs tail`. Tried
/// when nothing else made sense of a record: what may be the line, the likeliest first.
pub(crate) fn strip_tool(text: &str) -> Vec<Stripped<'_>> {
    let stripped = |line, time_us| Stripped { line, time_us, split: None };
    if let Some((time_us, line)) = timed(text) {
        // The name of a stream before the line.
        let behind = line.split_once(' ').map(|(name, rest)| (name, rest.trim_start()));
        let behind = behind.filter(|(name, _)| name.len() <= STREAM_BYTES_MAX);
        let is_stream = behind.is_some_and(|(name, rest)| name.contains('/') || rest.starts_with('{'));
        let mut lines = vec![stripped(line, Some(time_us))];
        lines.extend(behind.map(|(_, rest)| stripped(rest, Some(time_us))));
        if is_stream {
            lines.reverse();
        }
        return lines;
    }
    let Some((name, line)) = text.split_once('|') else { return Vec::new() };
    let is_sign = |b: u8| matches!(b, b'-' | b'_' | b'.' | b'/' | b'@');
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.trim_end().bytes().all(|b| b.is_ascii_alphanumeric() || is_sign(b));
    if !is_name {
        return Vec::new();
    }
    // With `--timestamps` there is a time, too.
    let line = line.trim_start();
    let behind = timed(line).map(|(time_us, line)| stripped(line, Some(time_us)));
    behind.into_iter().chain([stripped(line, None)]).collect()
}

/// Bytes of the longest names of a service, and of a stream.
const NAME_BYTES_MAX: usize = 64;
const STREAM_BYTES_MAX: usize = 512;

/// A time before a line, and the line.
fn timed(text: &str) -> Option<(i64, &str)> {
    let (at, line) = text.split_once(' ')?;
    Some((time::rfc3339(at.as_bytes())?, line.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBSERVED_US: i64 = 1_795_773_600_000_000; // 2026-11-27T10:00:00Z

    #[track_caller]
    fn check(text: &str, line: &str, time: Option<&str>) {
        let stripped = strip(text, OBSERVED_US, Zone::default());
        assert_eq!(stripped.line.trim_start(), line, "{text}");
        assert_eq!(stripped.time_us, time.and_then(|time| time::rfc3339(time.as_bytes())), "{text}");
    }

    #[test]
    fn prefixes_are_taken_off() {
        let at = Some("2026-11-27T09:59:58Z");
        check("2026-11-27T09:59:58Z stdout F 203.0.113.7 - -", "203.0.113.7 - -", at);
        check("2026-11-27T09:59:58.000+00:00 stderr F {\"a\":1}", "{\"a\":1}", at);
        check("2026-11-27T09:59:58Z stdout F", "", at);
        check("<190>Nov 27 09:59:58 gw-1 nginx: 203.0.113.7 - -", "203.0.113.7 - -", at);
        check("<190>Nov 27 09:59:58 gw-1 nginx[12]: {\"a\":1}", "{\"a\":1}", at);
        check("Nov 27 09:59:58 gw-1 haproxy[28029]: 203.0.113.7:1 [x]", "203.0.113.7:1 [x]", at);
        check("<134>1 2026-11-27T09:59:58Z gw-1 kong 77 - - {\"a\":1}", "{\"a\":1}", at);
        check("<134>1 2026-11-27T09:59:58Z gw-1 kong 77 ID [x@1 a=\"b\\\"]\"][y] \u{feff}line", "line", at);
        check("<134>1 - - - - - - line", "line", None);
        // With the length before it, as over TCP; with the year, as Cisco and others write it; without structured data, as
        // Heroku does.
        check("72 <134>1 2026-11-27T09:59:58Z gw-1 kong 77 - - {\"a\":1}", "{\"a\":1}", at);
        check("58 <190>Nov 27 09:59:58 gw-1 nginx: 203.0.113.7 - -", "203.0.113.7 - -", at);
        check("<190>Nov 27 2026 09:59:58 gw-1 nginx: 203.0.113.7 - -", "203.0.113.7 - -", at);
        check("<190>*Nov 27 09:59:58 gw-1 nginx: 203.0.113.7 - -", "203.0.113.7 - -", at);
        check("<190>Nov 27 09:59:58.000 gw-1 nginx: 203.0.113.7 - -", "203.0.113.7 - -", at);
        check("<190>Nov 27 10:59:58.000 CET: gw-1 nginx: 203.0.113.7 - -", "203.0.113.7 - -", at);
        check("<190>Nov  27 2026 09:59:58 UTC gw-1 nginx: 203.0.113.7 - -", "203.0.113.7 - -", at);
        check("Nov 27 09:59:58.000 gw-1 nginx[7]: 203.0.113.7 - -", "203.0.113.7 - -", at);
        check("<190>Nov 27 09:59:58 gw-1 app: @cee: {\"a\":1}", "{\"a\":1}", at);
        check("<158>1 2026-11-27T09:59:58+00:00 host heroku nginx - 203.0.113.7 - -", "203.0.113.7 - -", at);
        check("2026-11-27T09:59:58+00:00\tapp.nginx\t{\"log\":\"x\"}", "{\"log\":\"x\"}", at);
        check("[pod/nginx-5d/nginx] 203.0.113.7 - -", "203.0.113.7 - -", None);
        check("haproxy[28029]: 203.0.113.7:1 [x]", "203.0.113.7:1 [x]", None);
        check("2026-11-27T09:59:58+00:00 gw-1 nginx[3]: 203.0.113.7 - -", "203.0.113.7 - -", at);
        // December, told in January, was last year's.
        let january = time::rfc3339(b"2027-01-01T00:00:05Z").expect("a time");
        let stripped = strip("<13>Dec 31 23:59:58 h t: x", january, Zone::default());
        assert_eq!(stripped.time_us, time::rfc3339(b"2026-12-31T23:59:58Z"));
    }

    #[test]
    fn lines_without_a_prefix_stay_as_they_are() {
        for line in [
            "203.0.113.7 - - [27/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5",
            "2014-02-15T23:39:43.945958Z my-lb 192.0.2.39:2817 192.0.2.1:80 0.000073 0.001048 0.000057 200 200 0 29 \"GET / HTTP/1.1\"",
            "2026-11-27T09:59:58Z stdout X line",
            "Nov 27 is a day",
            "host.example [x]: y",
            "host[7] - [27/Nov/2026:10:00:00 +0000]: y",
            "<x>",
            "72 <x>1 2026",
            "[pod/a b] x",
            "[2026-11-27T09:59:58Z] \"GET / HTTP/1.1\" 200",
            "2026-11-27T09:59:58Z\tapp.nginx\tline",
            "GET / HTTP/1.1",
            "https 2023-04-26T19:53:47.809400Z app/a/b 192.0.2.14:44750 -",
            "",
        ] {
            check(line, line, None);
        }
    }

    #[test]
    fn what_tools_put_before_a_line_is_taken_off() {
        let check = |text, expected: &[&str]| {
            let lines: Vec<_> = strip_tool(text).iter().map(|stripped| stripped.line).collect();
            assert_eq!(lines, expected, "{text}");
        };
        check("2026-11-27T09:59:58+00:00 nginx/web/77 {\"a\":1}", &["{\"a\":1}", "nginx/web/77 {\"a\":1}"]);
        check("2026-11-27T09:59:58Z ecs/lb/abc [x] y", &["[x] y", "ecs/lb/abc [x] y"]);
        check("2026-11-27T09:59:58Z 203.0.113.7 - -", &["203.0.113.7 - -", "- -"]);
        check("web-1 | 203.0.113.7 - -", &["203.0.113.7 - -"]);
        check("web.1.x7@node | 203.0.113.7 - -", &["203.0.113.7 - -"]);
        check(
            "lb-1  | 2026-11-27T09:59:58.123456789Z {\"a\":1}",
            &["{\"a\":1}", "2026-11-27T09:59:58.123456789Z {\"a\":1}"],
        );
        check("203.0.113.7 - -", &[]);
        let time_us = strip_tool("lb-1  | 2026-11-27T09:59:58Z x")[0].time_us;
        assert_eq!(time_us, time::rfc3339(b"2026-11-27T09:59:58Z"));
    }

    #[test]
    fn parts_are_told() {
        let split = |text| strip(text, OBSERVED_US, Zone::default()).split;
        let end = |text| split(text).map(|split| split.end);
        assert_eq!(end("2026-11-27T09:59:58Z stdout P {\"a\":"), Some(End::Later));
        assert_eq!(end("2026-11-27T09:59:58Z stdout P:x {\"a\":"), Some(End::Later));
        assert_eq!(end("2026-11-27T09:59:58Z stdout F {\"a\":1}"), Some(End::Here));
        assert_eq!(end("{\"a\":1}"), None);
        let stream = |text| split(text).map(|split| split.stream);
        assert_ne!(stream("2026-11-27T09:59:58Z stdout F x"), stream("2026-11-27T09:59:58Z stderr F x"));
    }
}
