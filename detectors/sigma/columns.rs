//! Our own events as Sigma's web server and proxy rules name their fields.
//!
//! Public rules do not agree on what `cs-uri-query` is: the specification of the proxy category says the path, W3C the query alone,
//! and rules of the web server category look for paths in it. So a field of the address has every form that rules mean by it, and a
//! rule matches when one of them does.
//!
//! Promises: one table; a field that we have not is named with the reason.
//! Never: sees what redaction removed: a rule that looks for it finds the mark in its place.

use std::borrow::Cow;

use super::fields::{Fields, Value};

/// One event, as far as rules can name it. Null where the gateway does not say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Row<'a> {
    /// RFC 3339 in UTC.
    pub time: Option<&'a str>,
    pub method: Option<&'a str>,
    pub host: Option<&'a str>,
    pub path: Option<&'a str>,
    /// Without the question mark.
    pub query: Option<&'a str>,
    pub status: Option<i64>,
    pub user_agent: Option<&'a str>,
    pub referrer: Option<&'a str>,
    pub client_ip: Option<&'a str>,
    pub principal: Option<&'a str>,
    pub request_bytes: Option<i64>,
    pub response_bytes: Option<i64>,
    pub latency_us: Option<i64>,
    pub country: Option<&'a str>,
}

/// What a field of a rule is among our columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Time,
    Method,
    Host,
    Path,
    /// The query, and the path with the query.
    Query,
    /// The path with the query, and the whole address.
    Address,
    /// What follows the last dot of the path.
    Extension,
    Status,
    UserAgent,
    Referrer,
    ClientIp,
    Principal,
    RequestBytes,
    ResponseBytes,
    LatencyMs,
    Country,
}

/// The names that rules of these categories use.
pub const FIELDS: &[(&str, Column)] = &[
    ("cs-method", Column::Method),
    ("cs-uri", Column::Address),
    ("c-uri", Column::Address),
    ("cs-uri-stem", Column::Path),
    ("c-uri-stem", Column::Path),
    ("c-uri-path", Column::Path),
    ("cs-uri-query", Column::Query),
    ("c-uri-query", Column::Query),
    ("c-uri-extension", Column::Extension),
    ("cs-uri-extension", Column::Extension),
    ("sc-status", Column::Status),
    ("c-useragent", Column::UserAgent),
    ("cs-user-agent", Column::UserAgent),
    ("cs-useragent", Column::UserAgent),
    ("cs-referer", Column::Referrer),
    ("cs-referrer", Column::Referrer),
    ("cs-host", Column::Host),
    ("r-dns", Column::Host),
    ("c-ip", Column::ClientIp),
    ("src_ip", Column::ClientIp),
    ("cs-username", Column::Principal),
    ("cs-bytes", Column::RequestBytes),
    ("sc-bytes", Column::ResponseBytes),
    ("time-taken", Column::LatencyMs),
    ("date", Column::Time),
    ("time", Column::Time),
    ("@timestamp", Column::Time),
    ("c-country", Column::Country),
    // The Elastic names of the same, which rules with `taxonomy: ecs` use.
    ("http.request.method", Column::Method),
    ("url.original", Column::Address),
    ("url.full", Column::Address),
    ("url.path", Column::Path),
    ("url.query", Column::Query),
    ("url.extension", Column::Extension),
    ("url.domain", Column::Host),
    ("http.response.status_code", Column::Status),
    ("user_agent.original", Column::UserAgent),
    ("http.request.referrer", Column::Referrer),
    ("source.ip", Column::ClientIp),
    ("client.ip", Column::ClientIp),
    ("user.name", Column::Principal),
    ("http.request.bytes", Column::RequestBytes),
    ("http.response.bytes", Column::ResponseBytes),
];

/// Names that such rules use, too, and why there is nothing behind them.
pub const MISSING: &[(&str, &str)] = &[
    ("cs-cookie", "cookies are secrets and are not kept"),
    ("cs-version", "the version of HTTP is not kept"),
    ("cs-protocol", "the protocol is not kept"),
    ("dst_ip", "the address of the server is not kept"),
    ("s-ip", "the address of the server is not kept"),
    ("s-port", "the port of the server is not kept"),
    ("src_port", "the port of the client is not kept"),
    ("c-port", "the port of the client is not kept"),
    ("dst_port", "the port of the server is not kept"),
    ("s-computername", "the name of the server is not kept"),
    ("s-sitename", "the name of the site is not kept"),
    ("sc-substatus", "only the HTTP status is kept"),
    ("sc-win32-status", "only the HTTP status is kept"),
    ("cs-content-type", "the content type is not kept"),
    ("sc-content-type", "the content type is not kept"),
];

/// What is behind a name, or why nothing is.
pub fn column(name: &str) -> Result<Column, String> {
    if let Some((_, column)) = FIELDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return Ok(*column);
    }
    match MISSING.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        Some((known, why)) => Err(format!("`{known}`: {why}")),
        None => Err(format!("`{name}`: no field of a request")),
    }
}

impl<'a> Row<'a> {
    fn target(&self) -> Option<Cow<'a, str>> {
        let path = self.path?;
        Some(match self.query {
            Some(query) if !query.is_empty() => Cow::Owned(format!("{path}?{query}")),
            _ => Cow::Borrowed(path),
        })
    }

    /// The whole address. A scheme is not kept, and every client that says one says https.
    fn address(&self) -> Option<Cow<'a, str>> {
        let (host, target) = (self.host?, self.target()?);
        Some(Cow::Owned(format!("https://{host}{target}")))
    }

    fn extension(&self) -> Option<&'a str> {
        let name = self.path?.rsplit('/').next()?;
        name.rsplit_once('.').map(|(_, extension)| extension).filter(|extension| !extension.is_empty())
    }

    fn put(&self, column: Column, found: &mut Vec<Value<'a>>) {
        let text = |text: Option<&'a str>| text.map(|text| Value::Text(Cow::Borrowed(text)));
        match column {
            Column::Time => found.extend(text(self.time)),
            Column::Method => found.extend(text(self.method)),
            Column::Host => found.extend(text(self.host)),
            Column::Path => found.extend(text(self.path)),
            Column::Query => {
                found.extend(text(self.query));
                found.extend(self.target().map(Value::Text));
            }
            Column::Address => {
                found.extend(self.target().map(Value::Text));
                found.extend(self.address().map(Value::Text));
            }
            Column::Extension => found.extend(text(self.extension())),
            Column::Status => found.extend(self.status.map(Value::Int)),
            Column::UserAgent => found.extend(text(self.user_agent)),
            Column::Referrer => found.extend(text(self.referrer)),
            Column::ClientIp => found.extend(text(self.client_ip)),
            Column::Principal => found.extend(text(self.principal)),
            Column::RequestBytes => found.extend(self.request_bytes.map(Value::Int)),
            Column::ResponseBytes => found.extend(self.response_bytes.map(Value::Int)),
            Column::LatencyMs => found.extend(self.latency_us.map(|us| Value::Int(us / 1_000))),
            Column::Country => found.extend(text(self.country)),
        }
    }
}

impl Fields for Row<'_> {
    fn values<'a>(&'a self, name: &str, found: &mut Vec<Value<'a>>) {
        if let Ok(column) = column(name) {
            self.put(column, found);
        }
    }

    /// Keywords are looked for in what the client wrote.
    fn everything<'a>(&'a self, found: &mut Vec<Value<'a>>) {
        for column in [
            Column::Method,
            Column::Address,
            Column::UserAgent,
            Column::Referrer,
            Column::Host,
            Column::Principal,
            Column::ClientIp,
            Column::Status,
        ] {
            self.put(column, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(row: &Row, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        row.values(name, &mut found);
        let text = |value: Value| match value {
            Value::Text(text) => text.into_owned(),
            other => format!("{other:?}"),
        };
        found.into_iter().map(text).collect()
    }

    #[test]
    fn an_address_has_every_form_that_rules_mean() {
        let row = Row {
            host: Some("api.example.com"),
            path: Some("/v1/report.tar.gz"),
            query: Some("day=1"),
            latency_us: Some(2_500),
            ..Row::default()
        };
        let target = "/v1/report.tar.gz?day=1";
        assert_eq!(values(&row, "cs-uri-query"), ["day=1", target]);
        assert_eq!(values(&row, "c-uri"), [target, "https://api.example.com/v1/report.tar.gz?day=1"]);
        assert_eq!(values(&row, "cs-uri-stem"), ["/v1/report.tar.gz"]);
        assert_eq!(values(&row, "c-uri-extension"), ["gz"]);
        assert_eq!(values(&row, "time-taken"), ["Int(2)"]);
        assert!(values(&row, "cs-cookie").is_empty());
        assert!(values(&Row::default(), "c-uri").is_empty());
    }

    #[test]
    fn every_name_is_known_once() {
        let mut names: Vec<&str> =
            FIELDS.iter().map(|(name, _)| *name).chain(MISSING.iter().map(|(name, _)| *name)).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert_eq!(column("CS-Method"), Ok(Column::Method));
        assert_eq!(column("cs-cookie").unwrap_err(), "`cs-cookie`: cookies are secrets and are not kept");
        assert!(column("Image").unwrap_err().contains("no field of a request"));
    }
}
