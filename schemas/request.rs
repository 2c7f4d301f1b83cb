//! A request as a record tells it: raw, borrowed, not yet redacted. What every source fills and only `normalise.rs` reads.
//!
//! Promises: units are canonical already; `-` and empty texts are absent.
//! Never: leaves this crate, or is printed: no Debug.

use crate::reject::Code;

/// Columns that are null or doubtful because the record held something there that cannot be: a set, by number of the
/// mapping's inputs, and one for a record that was cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Damaged(u64);

impl Damaged {
    /// The record ends early.
    pub(crate) const RECORD: u8 = 63;

    pub(crate) fn add(&mut self, number: u8) {
        self.0 |= 1 << number;
    }

    pub(crate) fn has(self, number: u8) -> bool {
        self.0 & (1 << number) != 0
    }

    /// Those of both.
    pub(crate) fn join(&mut self, other: Damaged) {
        self.0 |= other.0;
    }

    /// The numbers in it.
    pub(crate) fn iter(self) -> impl Iterator<Item = u8> {
        (0..64).filter(move |number| self.has(*number))
    }
}

/// The raw request. Everything is optional but the time, which `normalise.rs` insists on.
#[derive(Clone, Copy, Default)]
pub(crate) struct Request<'a> {
    /// When the response was complete.
    pub(crate) time_us: Option<i64>,
    /// When the request began; used with the latency where `time_us` is absent.
    pub(crate) start_us: Option<i64>,
    /// What the envelope of the record says of the time; where the record itself says nothing.
    pub(crate) envelope_us: Option<i64>,
    /// The unit in which the time would be a likely one, where it is none in that of the mapping.
    pub(crate) likely_unit: Option<&'static str>,
    pub(crate) latency_us: Option<i64>,
    pub(crate) method: Option<&'a str>,
    /// Target as in the request line: path and query, or an absolute URL.
    pub(crate) target: Option<&'a str>,
    pub(crate) path: Option<&'a str>,
    pub(crate) query: Option<&'a str>,
    /// `GET /path HTTP/1.1`; used where method or target are absent.
    pub(crate) request_line: Option<&'a str>,
    pub(crate) host: Option<&'a str>,
    /// The gateway's own route: `/pets/{petId}`, `GET /pets/:id`, or only its name.
    pub(crate) route: Option<&'a str>,
    pub(crate) status: Option<i32>,
    pub(crate) grpc_status: Option<i32>,
    /// The gateway's words for how it answered.
    pub(crate) details: Option<&'a str>,
    pub(crate) request_bytes: Option<i64>,
    pub(crate) response_bytes: Option<i64>,
    pub(crate) peer: Option<&'a str>,
    /// `peer` is the nearest hop of the forwarding list, or the list; the peer only where there was no list.
    pub(crate) peer_is_nearest: bool,
    pub(crate) forwarded: Option<&'a str>,
    /// The forwarding list as RFC 7239 has it: the header `Forwarded`.
    pub(crate) elements: Option<&'a str>,
    /// One address that a proxy vouches for: `X-Real-IP`.
    pub(crate) real_ip: Option<&'a str>,
    /// The line can be read in more than one way, and they differ in who sent the request or when.
    pub(crate) unproven: bool,
    /// The forwarding list can.
    pub(crate) list_unproven: bool,
    /// The account and the credential may be what a client wrote into another value.
    pub(crate) who_unproven: bool,
    pub(crate) user_agent: Option<&'a str>,
    pub(crate) referrer: Option<&'a str>,
    pub(crate) principal: Option<&'a str>,
    pub(crate) principal_kind: Option<&'a str>,
    pub(crate) principal_source: Option<&'a str>,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) request_id: Option<&'a str>,
    pub(crate) trace_id: Option<&'a str>,
    pub(crate) authorization: Option<&'a str>,
    pub(crate) api_key: Option<&'a str>,
    pub(crate) cookie: Option<&'a str>,
    pub(crate) certificate: Option<&'a str>,
    /// The gateway's own name for the credential used.
    pub(crate) credential_id: Option<&'a str>,
    pub(crate) scopes: Option<&'a str>,
    pub(crate) tls_version: Option<&'a str>,
    pub(crate) country: Option<&'a str>,
    pub(crate) asn: Option<i64>,
    pub(crate) as_org: Option<&'a str>,
    pub(crate) records: Option<i64>,
    pub(crate) damaged: Damaged,
}

impl Request<'_> {
    /// Says who, or what was asked for: something that a detector can act on.
    pub(crate) fn tells(&self) -> bool {
        self.tells_who() || self.tells_what()
    }

    pub(crate) fn tells_who(&self) -> bool {
        let who = [self.principal, self.authorization, self.api_key];
        self.tells_address() || who.iter().any(Option::is_some)
    }

    pub(crate) fn tells_what(&self) -> bool {
        let what = [self.target, self.path, self.request_line, self.method];
        what.iter().any(Option::is_some)
    }

    /// Names an address that may be the client's.
    pub(crate) fn tells_address(&self) -> bool {
        [self.peer, self.forwarded, self.elements, self.real_ip].iter().any(Option::is_some)
    }

    /// Tells so much that it is a gateway's own record: how a request was answered, or who sent one with which method. A
    /// path, a host, a time or an address alone may be keys that a shipper put beside the gateway's line.
    #[inline]
    pub(crate) fn is_whole(&self) -> bool {
        match self.status {
            Some(_) => self.tells(),
            None => (self.method.is_some() || self.request_line.is_some()) && self.tells_who(),
        }
    }

    #[inline]
    pub(crate) fn has_time(&self) -> bool {
        self.time_us.is_some() || self.start_us.is_some() || self.envelope_us.is_some()
    }

    /// Is it, where a text was read that may be anything, a record: who and what, who or what and the answer, or the beginning
    /// of one that was cut?
    pub(crate) fn is_record(&self) -> bool {
        let (who, what) = (self.tells_who(), self.tells_what());
        (who && what) || (self.status.is_some() && (who || what)) || (self.damaged.has(Damaged::RECORD) && who)
    }
}

/// Why a record is not an event. `detail` names a field and what was expected, never what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) detail: String,
}

impl Fault {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Fault {
        Fault { code, detail: detail.into() }
    }
}

/// Where a request was aimed at, taken apart.
#[derive(Clone, Copy, Default)]
pub(crate) struct Target<'a> {
    pub(crate) method: Option<&'a str>,
    pub(crate) host: Option<&'a str>,
    pub(crate) path: Option<&'a str>,
    pub(crate) query: Option<&'a str>,
    /// A `user:password@` was left out of the URL.
    pub(crate) has_userinfo: bool,
    /// It is no HTTP target; the path is all that was sent in its place.
    pub(crate) is_raw: bool,
}

impl<'a> Target<'a> {
    pub(crate) fn of(request: &Request<'a>) -> Target<'a> {
        let (mut method, mut target) = (request.method, request.target);
        if let Some(line) = request.request_line
            && (target, request.path) == (None, None)
            && request_line(line).is_none()
        {
            let method = method.filter(|method| is_method(method));
            // Parsers of logs leave what is between method and protocol under the name of the line.
            if method.is_none() || !line.starts_with('/') {
                // Not HTTP: TLS sent to a plain port, a worm. What stands there is kept whole.
                return Target { method, host: request.host, path: Some(line), is_raw: true, ..Target::default() };
            }
            target = Some(line);
        }
        if (method.is_none() || (target.is_none() && request.path.is_none()))
            && let Some((line_method, line_target)) = request.request_line.and_then(request_line)
        {
            method = method.or(Some(line_method));
            target = target.or(Some(line_target));
        }
        let (authority, path, query) = split_target(target.or(request.path).unwrap_or(""));
        let (userinfo, url_host) = match authority.map(|a| a.rsplit_once('@').unwrap_or(("", a))) {
            Some((userinfo, host)) => (userinfo, Some(host)),
            None => ("", None),
        };
        let path = if path.is_empty() { None } else { Some(path) };
        Target {
            method: method.or_else(|| route_method(request.route?)).filter(|m| is_method(m)),
            host: request.host.or(url_host),
            path,
            query: query.or(request.query.map(|q| q.strip_prefix('?').unwrap_or(q))).filter(|q| !q.is_empty()),
            has_userinfo: !userinfo.is_empty(),
            is_raw: false,
        }
    }
}

/// The method of a route that names one: `GET /pets/{petId}`.
fn route_method(route: &str) -> Option<&str> {
    let (method, rest) = route.split_once(' ')?;
    (rest.starts_with('/') && METHODS.contains(&method)).then_some(method)
}

/// A method is letters and perhaps a dash: what else stands there is garbage and could be anything.
fn is_method(text: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphabetic() || b == b'-';
    (2..=16).contains(&text.len()) && text.bytes().all(letters)
}

/// Method and target of a request line; the target may hold spaces. `None` for what is not HTTP.
pub(crate) fn request_line(line: &str) -> Option<(&str, &str)> {
    let (method, rest) = line.split_once(' ')?;
    // The protocol is what stands last: one before it is a client's, who would have what is behind it overlooked.
    let target = match memchr::memmem::rfind(rest.as_bytes(), b" HTTP/") {
        Some(at) => &rest[..at],
        None if rest.starts_with('/') => rest,
        None => return None,
    };
    // A word that is no method before something that is no target is not HTTP: it could be any text.
    let is_target = target.starts_with(['/', '*']) || target.contains("://") || METHODS.contains(&method);
    (is_method(method) && is_target && !target.is_empty()).then_some((method, target))
}

/// Methods that are believed even before a target of a strange form.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// Authority (of an absolute URL), path and query. A fragment, which no client should send, stays with the query.
fn split_target(target: &str) -> (Option<&str>, &str, Option<&str>) {
    let (host, rest) = match absolute(target) {
        Some((host, rest)) => (Some(host), if rest.is_empty() { "/" } else { rest }),
        None => (None, target),
    };
    match memchr::memchr(b'?', rest.as_bytes()) {
        Some(0) => (host, "/", Some(&rest[1..])),
        Some(at) => (host, &rest[..at], Some(&rest[at + 1..])),
        None => (host, rest, None),
    }
}

fn absolute(target: &str) -> Option<(&str, &str)> {
    if target.starts_with('/') {
        return None;
    }
    let (scheme, rest) = target.split_once("://")?;
    if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some((&rest[..end], &rest[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines() {
        assert_eq!(request_line("GET / HTTP/1.1"), Some(("GET", "/")));
        assert_eq!(request_line("GET /a b?c=d  HTTP/2.0"), Some(("GET", "/a b?c=d ")));
        assert_eq!(request_line("GET /old"), Some(("GET", "/old")));
        assert_eq!(request_line("GET /x HTTP/1.1\" 200 5 \" HTTP/1.1"), Some(("GET", "/x HTTP/1.1\" 200 5 \"")));
        assert_eq!(request_line("GET /x HTTP/1.1' or 1=1 HTTP/1.1"), Some(("GET", "/x HTTP/1.1' or 1=1")));
        assert_eq!(request_line("PROPFIND http://a.example/x HTTP/1.1"), Some(("PROPFIND", "http://a.example/x")));
        for garbage in
            ["", "HELP", "\\x16\\x03\\x01", "lv|'|'|x /y HTTP/1.0", "GET  HTTP/1.1", "GET x", "Bearer fake / HTTP/1.1"]
        {
            assert_eq!(request_line(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn a_route_that_names_the_method_gives_it_where_nothing_else_does() {
        let method = |method, route| {
            Target::of(&Request { method, route: Some(route), target: Some("/a"), ..Request::default() }).method
        };
        assert_eq!(method(None, "GET /v1/{id}"), Some("GET"));
        assert_eq!(method(Some("PUT"), "GET /v1/{id}"), Some("PUT"));
        assert_eq!((method(None, "$default"), method(None, "ANY /v1"), method(None, "get orders")), (None, None, None));
    }

    #[test]
    fn targets_are_taken_apart() {
        let target = |target| {
            let t = Target::of(&Request { target: Some(target), ..Request::default() });
            (t.host, t.path, t.query)
        };
        assert_eq!(target("/a?b=c?d"), (None, Some("/a"), Some("b=c?d")));
        assert_eq!(target("/a?"), (None, Some("/a"), None));
        assert_eq!(target("http://u:p@a.example:81/x?y"), (Some("a.example:81"), Some("/x"), Some("y")));
        assert_eq!(target("https://a.example"), (Some("a.example"), Some("/"), None));
        assert_eq!(target("/redirect?to=https://b.example/"), (None, Some("/redirect"), Some("to=https://b.example/")));
        assert_eq!(target("*"), (None, Some("*"), None));
        assert_eq!(target(""), (None, None, None));
    }
}
