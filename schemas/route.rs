//! Paths to endpoint templates: `/v1/orders/4711` is `/v1/orders/{id}`. Pure heuristics on each segment by itself, so the
//! same path is the same endpoint in every run.
//!
//! Promises: numbers, UUIDs, ULIDs, hexadecimal and other mixed identifiers, dates and e-mail addresses are `{id}`;
//! versions and words stay; static files are `{file}` with their extension; slugs of five and more words are `{slug}`.
//! Depth and length are bounded; what is beyond is `{rest}`.
//! Never: sees the query. Learns nothing: two paths that differ in a word are two endpoints.

use crate::limits::{ENDPOINT_BYTES_MAX, ENDPOINT_SEGMENTS_MAX};

/// Writes the template of `path` after what `out` holds. Calls `id` with each segment that is an identifier.
pub(crate) fn template(path: &str, out: &mut String, mut id: impl FnMut(&str)) {
    let limit = out.len() + ENDPOINT_BYTES_MAX;
    let mut rest = path.strip_prefix('/').unwrap_or(path);
    let mut count = 0;
    if path.starts_with('/') && rest.is_empty() {
        out.push('/');
        return;
    }
    loop {
        let (segment, after) = match memchr::memchr(b'/', rest.as_bytes()) {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let kind = classify(segment, after.is_none());
        if matches!(kind, Segment::Id(_)) {
            id(segment);
        }
        if count < ENDPOINT_SEGMENTS_MAX {
            count = if push(kind, segment, limit, out) { count + 1 } else { ENDPOINT_SEGMENTS_MAX + 1 };
        } else if count == ENDPOINT_SEGMENTS_MAX {
            out.push_str("/{rest}");
            count += 1;
        }
        match after {
            Some(after) => rest = after,
            None => return,
        }
    }
}

/// Appends a segment; when it does not fit, `{rest}`, and false.
fn push(kind: Segment, segment: &str, limit: usize, out: &mut String) -> bool {
    if out.len() + segment.len().max(8) + 8 > limit {
        out.push_str("/{rest}");
        return false;
    }
    out.push('/');
    match kind {
        Segment::Word => out.push_str(segment),
        Segment::Id(extension) => {
            out.push_str("{id}");
            out.push_str(&segment[segment.len() - extension..]);
        }
        Segment::File(extension) => {
            out.push_str("{file}");
            out.push_str(&segment[segment.len() - extension..]);
        }
        Segment::Slug => out.push_str("{slug}"),
        Segment::Other => out.push_str("{other}"),
    }
    true
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    Word,
    /// An identifier, followed by an extension of so many bytes.
    Id(usize),
    /// A static file with an extension of so many bytes.
    File(usize),
    Slug,
    /// Characters that no ordinary path has: attacks, mostly.
    Other,
}

/// What a segment is made of.
#[derive(Clone, Copy, Default)]
struct Shape {
    digits: usize,
    lower: usize,
    upper: usize,
    /// Of the letters, those above `f`: what is left is hexadecimal.
    beyond_hex: usize,
    dashes: usize,
    underscores: usize,
    dots: usize,
    /// Escapes, `@`, and marks of a redaction.
    foreign: usize,
    other: usize,
}

/// One of each count of a `Shape`, seven bits wide: a segment is counted by adding numbers, without a branch per byte.
const DIGIT: u64 = 1;
const LOWER: u64 = 1 << 7;
const UPPER: u64 = 1 << 14;
const BEYOND_HEX: u64 = 1 << 21;
const DASH: u64 = 1 << 28;
const UNDERSCORE: u64 = 1 << 35;
const DOT: u64 = 1 << 42;
const FOREIGN: u64 = 1 << 49;
const OTHER: u64 = 1 << 56;
/// As many of each fit into seven bits.
const COUNT_MAX: usize = 127;

static COUNTS: [u64; 256] = counts();

const fn counts() -> [u64; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        table[i] = match i as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' => LOWER,
            b'g'..=b'z' | 0x80.. => LOWER + BEYOND_HEX,
            b'A'..=b'F' => UPPER,
            b'G'..=b'Z' => UPPER + BEYOND_HEX,
            b'-' => DASH,
            b'_' => UNDERSCORE,
            b'.' => DOT,
            b'%' | b'@' | b'*' | b'[' | b']' => FOREIGN,
            b'~' | b'{' | b'}' | b':' | b'+' | b'!' | b',' => 0,
            _ => OTHER,
        };
        i += 1;
    }
    table
}

impl Shape {
    fn of(segment: &[u8]) -> Shape {
        let mut shape = Shape::default();
        for part in segment.chunks(COUNT_MAX) {
            let sum: u64 = part.iter().map(|&b| COUNTS[usize::from(b)]).sum();
            let count = |one: u64| (sum / one) as usize & COUNT_MAX;
            shape.digits += count(DIGIT);
            shape.lower += count(LOWER);
            shape.upper += count(UPPER);
            shape.beyond_hex += count(BEYOND_HEX);
            shape.dashes += count(DASH);
            shape.underscores += count(UNDERSCORE);
            shape.dots += count(DOT);
            shape.foreign += count(FOREIGN);
            shape.other += count(OTHER);
        }
        shape
    }
}

/// A segment longer than this is an identifier, whatever it is made of.
const WORD_BYTES_MAX: usize = 48;

#[inline]
fn classify(segment: &str, last: bool) -> Segment {
    let bytes = segment.as_bytes();
    if bytes.len() < 20 && bytes.iter().all(u8::is_ascii_lowercase) {
        return Segment::Word;
    }
    let shape = Shape::of(bytes);
    if shape.digits == 0 && shape.foreign + shape.other + shape.dots == 0 && bytes.len() < 20 {
        return Segment::Word;
    }
    if shape.other > 0 {
        return Segment::Other;
    }
    if shape.foreign > 0 {
        return if bytes == b"*" { Segment::Word } else { Segment::Id(0) };
    }
    if let Some(extension) = extension(bytes) {
        return file(segment, extension, last);
    }
    if is_id(bytes, shape) {
        return Segment::Id(0);
    }
    let is_slug = shape.dashes.max(shape.underscores) >= 4 && bytes.len() >= 20;
    if is_slug { Segment::Slug } else { Segment::Word }
}

/// The length of a file extension with its dot: one to five letters or digits, not all digits.
fn extension(bytes: &[u8]) -> Option<usize> {
    let dot = bytes.iter().rposition(|&b| b == b'.')?;
    let tail = &bytes[dot + 1..];
    let is_extension = dot > 0
        && (1..=5).contains(&tail.len())
        && tail.iter().all(u8::is_ascii_alphanumeric)
        && tail.iter().any(u8::is_ascii_alphabetic);
    is_extension.then_some(tail.len() + 1)
}

/// Extensions of files that are many and alike: each is `{file}`.
#[rustfmt::skip]
static STATIC: &[&str] = &["png", "jpg", "jpeg", "gif", "webp", "svg", "ico", "avif", "bmp", "css", "js", "mjs", "map",
    "woff", "woff2", "ttf", "otf", "eot", "mp3", "mp4", "webm", "ogg", "pdf", "zip", "gz", "ts", "m3u8", "wasm"];

fn file(segment: &str, extension: usize, last: bool) -> Segment {
    let stem = &segment.as_bytes()[..segment.len() - extension];
    let kind = &segment[segment.len() - extension + 1..];
    if last && STATIC.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
        return Segment::File(extension);
    }
    let shape = Shape::of(stem);
    if is_id(stem, shape) {
        return Segment::Id(extension);
    }
    if shape.dashes.max(shape.underscores) >= 4 && stem.len() >= 20 { Segment::File(extension) } else { Segment::Word }
}

fn is_id(bytes: &[u8], shape: Shape) -> bool {
    let letters = shape.lower + shape.upper;
    let length = bytes.len();
    if length > WORD_BYTES_MAX && shape.dashes.max(shape.underscores) < 4 {
        return true;
    }
    if shape.digits == 0 || is_version(bytes) {
        return false;
    }
    // Numbers, dates, 1.5, 2024-01-15.
    if letters == 0 {
        return true;
    }
    // Hexadecimal, with dashes: UUIDs, hashes.
    if shape.beyond_hex == 0 && length >= 8 && (shape.lower == 0 || shape.upper == 0) {
        return true;
    }
    // order-1234, user_99887, cus9981: a word and a number. oauth2, s3 and ipv4 are words.
    if shape.digits >= 3 {
        return true;
    }
    // Both cases and digits, or digits between letters, in something long: base62 and its like.
    let mixed = shape.upper > 0 && shape.lower > 0 && length >= 8;
    mixed || (length >= 12 && shape.dashes + shape.underscores == 0)
}

/// v1, v2.1, v1beta1, api2 is a word.
fn is_version(bytes: &[u8]) -> bool {
    let Some((b'v' | b'V', rest)) = bytes.split_first() else { return false };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let tail = &rest[digits..];
    let named = [&b"alpha"[..], b"beta", b"rc"]
        .iter()
        .any(|name| tail.strip_prefix(*name).is_some_and(|n| n.len() <= 2 && n.iter().all(u8::is_ascii_digit)));
    let dotted =
        tail.first() == Some(&b'.') && tail.len() <= 6 && tail.iter().all(|&b| b == b'.' || b.is_ascii_digit());
    (1..=3).contains(&digits) && (tail.is_empty() || named || dotted)
}

/// Does a query key name the object of the request? `id`, `uuid`, `guid`, and names that end in `_id`, `-id` or `Id`,
/// except those of sessions, clients and of the request itself.
pub(crate) fn names_object(key: &str) -> bool {
    if matches!(key, "id" | "ID" | "uuid" | "guid") {
        return true;
    }
    let Some(stem) = ["_id", "-id", "Id", "ID"].iter().find_map(|end| key.strip_suffix(end)) else { return false };
    let other =
        ["session", "client", "request", "trace", "span", "correlation", "state", "nonce", "track", "click", "device"];
    let stem = stem.trim_end_matches(['-', '_']).to_ascii_lowercase();
    !stem.is_empty() && !other.iter().any(|name| stem.ends_with(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(path: &str, expected: &str) {
        let mut out = String::new();
        template(path, &mut out, |_| {});
        assert_eq!(out, expected, "of {path}");
    }

    #[test]
    fn identifiers_are_replaced() {
        check("/v1/orders/4711", "/v1/orders/{id}");
        check("/v1/orders/4711/items/2", "/v1/orders/{id}/items/{id}");
        check("/users/550e8400-e29b-41d4-a716-446655440000/profile", "/users/{id}/profile");
        check("/x/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/x/{id}");
        check("/commit/4bf92f3577b34da6", "/commit/{id}");
        check("/commit/deadbeef", "/commit/deadbeef");
        check("/commit/deadbee1", "/commit/{id}");
        check("/watch/dQw4w9WgXcQ", "/watch/{id}");
        check("/reports/2024-01-15", "/reports/{id}");
        check("/customers/cus_9s6XKzkNRiz8i3", "/customers/{id}");
        check("/users/alice%40example.com", "/users/{id}");
        check("/users/a***@[REDACTED:email]/x", "/users/{id}/x");
        check("/orders/order-10293", "/orders/{id}");
        check("/export/4711.json", "/export/{id}.json");
    }

    #[test]
    fn words_and_versions_stay() {
        for path in [
            "/",
            "/v1",
            "/v2.1/status",
            "/api/v1beta1/pods",
            "/oauth2/token",
            "/s3/buckets",
            "/index.html",
            "/login.php",
            "/api/reset-password",
            "/.well-known/openid-configuration",
            "/.env",
            "/.git/config",
            "/wp-admin/setup-config.php",
            "/pets/{petId}",
            "/v1/orders:batchGet",
            "/users/me",
            "/a//b",
            "/a/",
            "/robots.txt",
            "/getUserAccountSettings",
        ] {
            check(path, path);
        }
        check("*", "/*");
    }

    #[test]
    fn ordinary_web_sites_do_not_explode() {
        check("/images/photo-of-a-cat.png", "/images/{file}.png");
        check("/static/main.8f3a2b1c.js", "/static/{file}.js");
        check("/blog/2015/01/how-to-measure-the-speed-of-light", "/blog/{id}/{id}/{slug}");
        check("/data/migrations/1548957970627_remove-db-version.sql", "/data/migrations/{id}.sql");
        check("/a/b/c/d/e/f/g/h/i/j/k/l", "/a/b/c/d/e/f/g/h/i/j/{rest}");
        check(&format!("/{}", "word/".repeat(40)), "/word/word/word/word/word/word/word/word/word/word/{rest}");
        check("/cgi-bin/$(id)/x", "/cgi-bin/{other}/x");
        check("/a/'or'1'='1", "/a/{other}");
    }

    #[test]
    fn identifiers_are_reported_in_order() {
        let mut ids = Vec::new();
        template("/t/7/orders/ab12cd34ef/x.png", &mut String::new(), |id| ids.push(id.to_string()));
        assert_eq!(ids, ["7", "ab12cd34ef"]);
    }

    #[test]
    fn query_keys_that_name_an_object() {
        for key in ["id", "order_id", "orderId", "account-id", "userID", "uuid"] {
            assert!(names_object(key), "{key}");
        }
        for key in ["session_id", "clientId", "request_id", "X-Trace-Id", "paid", "valid", "_id", "page", "grid"] {
            assert!(!names_object(key), "{key}");
        }
    }

    proptest! {
        #[test]
        fn templates_are_bounded_and_stable(path in "/\\PC{0,400}") {
            let (mut once, mut twice) = (String::new(), String::new());
            template(&path, &mut once, |_| {});
            template(&path, &mut twice, |_| {});
            prop_assert_eq!(&once, &twice);
            prop_assert!(once.len() <= ENDPOINT_BYTES_MAX + 8);
        }
    }
}
