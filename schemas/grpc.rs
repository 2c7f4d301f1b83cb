//! gRPC status codes: reading them, and the HTTP status that they amount to.
//!
//! Never: looks at a message.

/// The codes by number, with the HTTP status each amounts to (google.rpc.Code; unimplemented is what a wrong path gets).
static CODES: [(&str, i32); 17] = [
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
    ("unimplemented", 404),
    ("internal", 500),
    ("unavailable", 503),
    ("dataloss", 500),
    ("unauthenticated", 401),
];

pub(crate) fn is_code(code: i32) -> bool {
    (0..CODES.len() as i32).contains(&code)
}

/// `16`, `UNAUTHENTICATED`, `Unauthenticated`, `PermissionDenied`.
pub(crate) fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse() {
        return Some(number).filter(|number| is_code(*number));
    }
    let name: String = text.chars().filter(|c| *c != '_' && *c != ' ').map(|c| c.to_ascii_lowercase()).collect();
    let name = if name == "canceled" { "cancelled" } else { name.as_str() };
    CODES.iter().position(|(known, _)| *known == name).map(|at| at as i32)
}
