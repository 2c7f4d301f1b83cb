//! How a gateway tells of one exchange: the same traffic as Kong http-log, nginx combined, nginx JSON or Envoy JSON.
//!
//! Promises: one line, without its newline; JSON formats are valid JSON. Times, sizes and units are those of the real
//! gateway: Kong and Envoy name the start of a request, nginx its end; nginx counts seconds, the others milliseconds.
//! Never: escapes. Every text that gets here is made by this module's siblings without quotes or control characters.

use super::client::{Client, Credential};

/// A log format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Kong,
    NginxCombined,
    NginxJson,
    Envoy,
}

impl Format {
    pub const ALL: [Format; 4] = [Format::Kong, Format::NginxCombined, Format::NginxJson, Format::Envoy];
}

/// One request and its response, as the gateway saw it.
pub(super) struct Exchange<'a> {
    pub(super) completed_ms: i64,
    pub(super) latency_ms: u32,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Without the question mark; empty when there is none.
    pub(super) query: &'a str,
    pub(super) service: &'a str,
    pub(super) status: u16,
    pub(super) request_bytes: u32,
    pub(super) response_bytes: u64,
    pub(super) request_id: [u64; 2],
    /// Sent without a credential.
    pub(super) open: bool,
    pub(super) client: &'a Client,
    /// What only the long demo writes: its gateways log a little more.
    pub(super) detail: Option<Detail>,
}

pub(super) struct Detail {
    pub(super) tls: &'static str,
    /// Rows of the answer, where the service says.
    pub(super) records: Option<u64>,
}

const HOST: &str = "api.example.com";

impl Format {
    /// The source kind that reads this format.
    pub fn source_kind(self) -> &'static str {
        match self {
            Format::Kong => "kong",
            Format::NginxCombined => "combined",
            Format::NginxJson => "nginx_json",
            Format::Envoy => "envoy",
        }
    }

    pub(super) fn write(self, exchange: &Exchange<'_>, out: &mut Vec<u8>) {
        match self {
            Format::Kong => kong(exchange, out),
            Format::NginxCombined => nginx_combined(exchange, out),
            Format::NginxJson => nginx_json(exchange, out),
            Format::Envoy => envoy(exchange, out),
        }
    }
}

fn kong(x: &Exchange<'_>, out: &mut Vec<u8>) {
    put(out, "{\"request\":{\"id\":\"");
    hex(out, x.request_id);
    put(out, "\",\"method\":\"");
    put(out, x.method);
    put(out, "\",\"uri\":\"");
    target(out, x);
    put(out, "\",\"url\":\"https://api.example.com:8443");
    target(out, x);
    put(out, "\",\"size\":");
    number(out, x.request_bytes.into());
    put(out, ",\"querystring\":{");
    kong_query(out, x.query);
    put(out, "},\"headers\":{\"host\":\"api.example.com\",\"user-agent\":\"");
    put(out, x.client.user_agent);
    put(out, "\"");
    kong_headers(out, x);
    put(out, "}");
    if let Some(detail) = &x.detail {
        quoted(out, ",\"tls\":{\"version\":\"", detail.tls);
        put(out, "}");
    }
    put(out, "},\"response\":{\"status\":");
    number(out, x.status.into());
    put(out, ",\"size\":");
    number(out, x.response_bytes + 260);
    if let Some(records) = x.detail.as_ref().and_then(|detail| detail.records) {
        put(out, ",\"headers\":{\"x-total-count\":");
        number(out, records);
        put(out, "}");
    }
    put(out, "},\"latencies\":{\"request\":");
    number(out, x.latency_ms.into());
    put(out, ",\"kong\":1,\"proxy\":");
    number(out, u64::from(x.latency_ms).saturating_sub(1));
    put(out, "},\"service\":{\"name\":\"");
    put(out, x.service);
    put(out, "\"},\"route\":{\"name\":\"");
    put(out, x.service);
    put(out, "-v1\"}");
    kong_consumer(out, x.client);
    put(out, ",\"client_ip\":\"");
    put(out, &x.client.address);
    put(out, "\",\"started_at\":");
    number(out, (x.completed_ms - i64::from(x.latency_ms)) as u64);
    put(out, "}");
}

fn kong_headers(out: &mut Vec<u8>, x: &Exchange<'_>) {
    credential(out, x, [",\"authorization\":\"", ",\"x-api-key\":\""]);
    if let Some(tenant) = &x.client.tenant {
        quoted(out, ",\"x-tenant-id\":\"", tenant);
    }
    if let Some(cookie) = &x.client.cookie {
        quoted(out, ",\"cookie\":\"", cookie);
    }
}

fn kong_consumer(out: &mut Vec<u8>, client: &Client) {
    if let Some(principal) = &client.principal {
        quoted(out, ",\"consumer\":{\"username\":\"", principal);
        put(out, "}");
    }
}

/// The credential behind the opening for an authorization or for an API key, when one was sent.
fn credential(out: &mut Vec<u8>, x: &Exchange<'_>, [authorization, api_key]: [&str; 2]) {
    let mut with_scheme = |scheme, secret: &str| {
        put(out, authorization);
        quoted(out, scheme, secret);
    };
    match &x.client.credential {
        Credential::Bearer(token) if !x.open => with_scheme("Bearer ", token),
        Credential::Basic(pair) if !x.open => with_scheme("Basic ", pair),
        Credential::ApiKey(key) if !x.open => quoted(out, api_key, key),
        _ => {}
    }
}

/// The query string as Kong shows it: an object of decoded values.
fn kong_query(out: &mut Vec<u8>, query: &str) {
    for (i, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        put(out, if i == 0 { "\"" } else { ",\"" });
        put(out, key);
        put(out, "\":\"");
        let mut value = value.split("%40");
        put(out, value.next().unwrap_or_default());
        value.for_each(|part| {
            put(out, "@");
            put(out, part);
        });
        put(out, "\"");
    }
}

fn nginx_combined(x: &Exchange<'_>, out: &mut Vec<u8>) {
    put(out, &x.client.address);
    put(out, " - ");
    put(out, x.client.principal.as_deref().unwrap_or("-"));
    put(out, " [");
    clf_time(out, x.completed_ms);
    put(out, "] \"");
    put(out, x.method);
    put(out, " ");
    target(out, x);
    put(out, " HTTP/1.1\" ");
    number(out, x.status.into());
    put(out, " ");
    number(out, x.response_bytes);
    put(out, " \"-\" \"");
    put(out, x.client.user_agent);
    put(out, "\"");
}

fn nginx_json(x: &Exchange<'_>, out: &mut Vec<u8>) {
    put(out, "{\"time_iso8601\":\"");
    iso_time(out, x.completed_ms, "+00:00", false);
    quoted(out, "\",\"remote_addr\":\"", &x.client.address);
    quoted(out, ",\"remote_user\":\"", x.client.principal.as_deref().unwrap_or_default());
    quoted(out, ",\"request_method\":\"", x.method);
    put(out, ",\"request_uri\":\"");
    target(out, x);
    put(out, "\",\"server_protocol\":\"HTTP/1.1\",\"status\":");
    number(out, x.status.into());
    put(out, ",\"body_bytes_sent\":");
    number(out, x.response_bytes);
    put(out, ",\"request_length\":");
    number(out, x.request_bytes.into());
    put(out, ",\"request_time\":");
    seconds(out, x.latency_ms);
    put(out, ",\"upstream_response_time\":\"");
    seconds(out, x.latency_ms.saturating_sub(1));
    quoted(out, "\",\"host\":\"", HOST);
    quoted(out, ",\"http_user_agent\":\"", x.client.user_agent);
    put(out, ",\"http_referer\":\"\",\"request_id\":\"");
    hex(out, x.request_id);
    put(out, "\"");
    credential(out, x, [",\"http_authorization\":\"", ",\"http_x_api_key\":\""]);
    if let Some(detail) = &x.detail {
        put(out, ",\"msec\":");
        number(out, (x.completed_ms / 1000) as u64);
        out.push(b'.');
        padded(out, x.completed_ms.rem_euclid(1000) as u32, 3);
        quoted(out, ",\"ssl_protocol\":\"", detail.tls);
        if let Some(tenant) = &x.client.tenant {
            quoted(out, ",\"http_x_tenant_id\":\"", tenant);
        }
        if let Some(cookie) = x.client.cookie.as_ref().filter(|_| !x.open) {
            quoted(out, ",\"http_cookie\":\"", cookie);
        }
        if let Some(records) = detail.records {
            put(out, ",\"sent_http_x_total_count\":");
            number(out, records);
        }
    }
    put(out, "}");
}

fn envoy(x: &Exchange<'_>, out: &mut Vec<u8>) {
    put(out, "{\"start_time\":\"");
    iso_time(out, x.completed_ms - i64::from(x.latency_ms), "Z", true);
    quoted(out, "\",\"method\":\"", x.method);
    put(out, ",\"path\":\"");
    target(out, x);
    put(out, "\",\"protocol\":\"HTTP/1.1\",\"response_code\":");
    number(out, x.status.into());
    put(out, ",\"response_flags\":\"-\",\"response_code_details\":\"via_upstream\",\"bytes_received\":");
    number(out, x.request_bytes.into());
    put(out, ",\"bytes_sent\":");
    number(out, x.response_bytes);
    put(out, ",\"duration\":");
    number(out, x.latency_ms.into());
    put(out, ",\"upstream_service_time\":\"");
    number(out, u64::from(x.latency_ms).saturating_sub(1));
    quoted(out, "\",\"x_forwarded_for\":\"", &x.client.address);
    quoted(out, ",\"user_agent\":\"", x.client.user_agent);
    put(out, ",\"request_id\":\"");
    hex(out, x.request_id);
    quoted(out, "\",\"authority\":\"", HOST);
    quoted(out, ",\"upstream_cluster\":\"", x.service);
    put(out, ",\"upstream_host\":\"192.0.2.240:8080\",\"downstream_remote_address\":\"");
    let v6 = x.client.address.contains(':');
    put(out, if v6 { "[" } else { "" });
    put(out, &x.client.address);
    put(out, if v6 { "]:" } else { ":" });
    number(out, 20_000 + x.request_id[0] % 40_000);
    put(out, "\",\"requested_server_name\":\"api.example.com\"");
    if let Some(principal) = &x.client.principal {
        quoted(out, ",\"jwt_sub\":\"", principal);
    }
    credential(out, x, [",\"authorization\":\"", ",\"x-api-key\":\""]);
    if let Some(detail) = &x.detail {
        quoted(out, ",\"downstream_tls_version\":\"", detail.tls);
        if let Some(cookie) = x.client.cookie.as_ref().filter(|_| !x.open) {
            quoted(out, ",\"cookie\":\"", cookie);
        }
    }
    put(out, "}");
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// `opening` ends inside the quotes.
fn quoted(out: &mut Vec<u8>, opening: &str, text: &str) {
    put(out, opening);
    put(out, text);
    out.push(b'"');
}

fn target(out: &mut Vec<u8>, x: &Exchange<'_>) {
    put(out, x.path);
    if !x.query.is_empty() {
        out.push(b'?');
        put(out, x.query);
    }
}

fn number(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// `n` with leading zeros to `width` digits.
fn padded(out: &mut Vec<u8>, n: u32, width: u32) {
    (0..width).rev().for_each(|place| out.push(b'0' + (n / 10u32.pow(place) % 10) as u8));
}

/// Milliseconds as seconds with three decimals.
fn seconds(out: &mut Vec<u8>, ms: u32) {
    number(out, u64::from(ms / 1000));
    out.push(b'.');
    padded(out, ms % 1000, 3);
}

fn hex(out: &mut Vec<u8>, words: [u64; 2]) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    for word in words {
        out.extend(word.to_be_bytes().iter().flat_map(|b| [HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]));
    }
}

/// Year, month and day of a time after 1970.
fn date(ms: i64) -> (u32, u32, u32) {
    // Days are counted from 0000-03-01, so that a leap day is the last of its year.
    let days = ms.div_euclid(86_400_000) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    ((year + era * 400 + i64::from(month <= 2)) as u32, month as u32, day as u32)
}

fn time_of_day(out: &mut Vec<u8>, ms: i64) {
    let second = ms.div_euclid(1000).rem_euclid(86_400) as u32;
    padded(out, second / 3600, 2);
    out.push(b':');
    padded(out, second / 60 % 60, 2);
    out.push(b':');
    padded(out, second % 60, 2);
}

fn clf_time(out: &mut Vec<u8>, ms: i64) {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day) = date(ms);
    padded(out, day, 2);
    out.push(b'/');
    put(out, MONTHS[month as usize - 1]);
    out.push(b'/');
    padded(out, year, 4);
    out.push(b':');
    time_of_day(out, ms);
    put(out, " +0000");
}

fn iso_time(out: &mut Vec<u8>, ms: i64, zone: &str, with_ms: bool) {
    let (year, month, day) = date(ms);
    padded(out, year, 4);
    out.push(b'-');
    padded(out, month, 2);
    out.push(b'-');
    padded(out, day, 2);
    out.push(b'T');
    time_of_day(out, ms);
    if with_ms {
        out.push(b'.');
        padded(out, ms.rem_euclid(1000) as u32, 3);
    }
    put(out, zone);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_right() {
        assert_eq!(text(|out| clf_time(out, 1_767_571_200_000)), "05/Jan/2026:00:00:00 +0000");
        assert_eq!(text(|out| iso_time(out, 1_709_211_599_042, "Z", true)), "2024-02-29T12:59:59.042Z");
        assert_eq!(text(|out| iso_time(out, 1_798_761_599_000, "+00:00", false)), "2026-12-31T23:59:59+00:00");
    }

    #[test]
    fn numbers_are_right() {
        assert_eq!(text(|out| number(out, 0)), "0");
        assert_eq!(text(|out| number(out, u64::MAX)), u64::MAX.to_string());
        assert_eq!(text(|out| seconds(out, 42)), "0.042");
        assert_eq!(text(|out| hex(out, [0xab, 1])), "00000000000000ab0000000000000001");
        assert_eq!(
            text(|out| kong_query(out, "email=a.b%40example.com&limit=5")),
            r#""email":"a.b@example.com","limit":"5""#
        );
    }
}
