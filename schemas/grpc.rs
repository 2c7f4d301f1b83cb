//! What became of a gRPC call: it is refused with HTTP status 200, and the refusal is in the gRPC status or, where the
//! gateway logs none, in what it says of the response.
//!
//! Promises: the effective status of a call is the HTTP status that the same refusal would have had over HTTP, so that
//! one detector sees both. An HTTP status that tells of a refusal itself is never overruled.
//! Never: reads what a client wrote; all of this is the gateway's or the service's word.

/// The statuses of gRPC in the order of their numbers, and the HTTP status each amounts to.
static STATUSES: [(&str, i32); 17] = [
    ("ok", 200),
    ("cancelled", 499),
    ("unknown", 500),
    ("invalidargument", 400),
    ("deadlineexceeded", 504),
    ("notfound", 404),
    ("alreadyexists", 409),
    ("permissiondenied", 403),
    ("resourceexhausted", 429),
    ("failedprecondition", 400),
    ("aborted", 409),
    ("outofrange", 400),
    // A method that is not there: what a search for methods runs into.
    ("unimplemented", 404),
    ("internal", 500),
    ("unavailable", 503),
    ("dataloss", 500),
    ("unauthenticated", 401),
];

/// The number of a status as gateways write it: `16`, `Unauthenticated`, `UNAUTHENTICATED`, `StatusCode.PERMISSION_DENIED`.
pub(crate) fn status(text: &str) -> Option<i32> {
    let name = text.rsplit_once('.').map_or(text, |(_, name)| name);
    if let Ok(number) = name.parse::<i32>() {
        return STATUSES.get(usize::try_from(number).ok()?).map(|_| number);
    }
    let letters = || name.bytes().filter(|b| !matches!(b, b'_' | b'-' | b' ')).map(|b| b.to_ascii_lowercase());
    let is_named = |(known, _): &(&str, i32)| letters().eq(known.bytes());
    // Go and Envoy's camel case have one l less.
    let number = STATUSES.iter().position(is_named).or_else(|| letters().eq("canceled".bytes()).then_some(1))?;
    i32::try_from(number).ok()
}

/// The status of an answer, gRPC's refusal counted where HTTP says 200 or nothing.
pub(crate) fn effective_status(http: Option<i32>, grpc: Option<i32>) -> Option<i32> {
    match (http, grpc) {
        (None | Some(200), Some(grpc)) => usize::try_from(grpc)
            .ok()
            .and_then(|number| STATUSES.get(number))
            .map(|(_, status)| *status)
            // A number that gRPC does not have counts as unknown, as its clients take it.
            .or(Some(500)),
        (http, _) => http,
    }
}

/// What Envoy says of an answer of its own (`RESPONSE_CODE_DETAILS`), the gRPC status it then sent and the HTTP status the
/// refusal amounts to.
static DETAILS: [(&str, i32, i32); 13] = [
    ("rbac_access_denied", 7, 403),
    ("jwt_authn_access_denied", 16, 401),
    ("ext_authz_denied", 7, 403),
    ("ext_authz_error", 7, 403),
    ("request_rate_limited", 14, 429),
    ("local_rate_limited", 14, 429),
    ("route_not_found", 12, 404),
    ("cluster_not_found", 14, 503),
    ("no_healthy_upstream", 14, 503),
    ("upstream_reset", 14, 503),
    ("upstream_response_timeout", 14, 504),
    ("upstream_per_try_timeout", 14, 504),
    ("upstream_max_stream_duration_reached", 4, 504),
];

/// The refusal behind an HTTP status of 200 (gRPC and HTTP status), where Envoy answered in the place of the service and no
/// gRPC status is logged, as in Istio's text format: `rbac_access_denied_matched_policy[none]`.
pub(crate) fn refusal(http: Option<i32>, details: &str) -> Option<(i32, i32)> {
    if http != Some(200) {
        return None;
    }
    let known = DETAILS.iter().find(|(word, ..)| details.starts_with(word));
    known.map(|(_, grpc, status)| (*grpc, *status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_by_number_and_by_name() {
        for (text, expected) in [
            ("0", Some(0)),
            ("16", Some(16)),
            ("OK", Some(0)),
            ("Unauthenticated", Some(16)),
            ("UNAUTHENTICATED", Some(16)),
            ("PermissionDenied", Some(7)),
            ("PERMISSION_DENIED", Some(7)),
            ("StatusCode.PERMISSION_DENIED", Some(7)),
            ("permission-denied", Some(7)),
            ("Canceled", Some(1)),
            ("CANCELLED", Some(1)),
            ("DATA_LOSS", Some(15)),
            ("OutOfRange", Some(11)),
            ("17", None),
            ("-1", None),
            ("-", None),
            ("", None),
            ("_", None),
            ("InvalidCode", None),
        ] {
            assert_eq!(status(text), expected, "{text}");
        }
    }

    #[test]
    fn a_refusal_counts_as_over_http() {
        let expected = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 404, 500, 503, 500, 401]
            .into_iter()
            .enumerate();
        for (grpc, status) in expected {
            assert_eq!(effective_status(Some(200), Some(grpc as i32)), Some(status), "{grpc}");
            assert_eq!(effective_status(None, Some(grpc as i32)), Some(status), "{grpc}");
            assert_eq!(effective_status(Some(503), Some(grpc as i32)), Some(503), "{grpc}");
        }
        assert_eq!(effective_status(Some(200), Some(99)), Some(500));
        assert_eq!(effective_status(Some(200), Some(-1)), Some(500));
        assert_eq!(effective_status(Some(404), None), Some(404));
        assert_eq!(effective_status(Some(0), Some(0)), Some(0));
        assert_eq!(effective_status(None, None), None);
    }

    #[test]
    fn refusals_of_envoy_itself() {
        let rbac = "rbac_access_denied_matched_policy[ns[shop]-policy[need-jwt]-rule[0]]";
        assert_eq!(refusal(Some(200), rbac), Some((7, 403)));
        assert_eq!(refusal(Some(200), "rbac_access_denied_matched_policy[none]"), Some((7, 403)));
        assert_eq!(refusal(Some(200), "jwt_authn_access_denied{Jwt_is_missing}"), Some((16, 401)));
        assert_eq!(refusal(Some(403), rbac), None, "HTTP says it itself");
        assert_eq!(refusal(Some(200), "via_upstream"), None);
        assert_eq!(refusal(Some(200), "-"), None);
        assert_eq!(refusal(None, rbac), None);
    }
}
