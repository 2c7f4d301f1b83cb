//! What one segment of a path is: a word, an identifier, a file, a slug, or nothing an ordinary path has. Pure rules on
//! the segment by itself, so the same segment is the same in every run.
//!
//! Promises: numbers, UUIDs, ULIDs, hexadecimal and other mixed identifiers, dates and e-mail addresses are identifiers;
//! versions, words and the names of gRPC services are words. Linear in the length of the segment.
//! Never: allocates; learns.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Word,
    /// An identifier, followed by an extension of so many bytes.
    Id(usize),
    /// A name, and behind so many bytes of it a key in parentheses: `Orders(4711)`, as OData has it.
    Key(usize),
    /// A static file with an extension of so many bytes.
    File(usize),
    Slug,
    /// Characters that no ordinary path has: attacks, mostly.
    Other,
    /// Something that redaction removes; never what `classify` says.
    Secret,
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

/// What `segment` is; `last` says that nothing follows it.
#[inline]
pub(super) fn classify(segment: &str, last: bool) -> Segment {
    let bytes = segment.as_bytes();
    if bytes.len() < 20 && bytes.iter().all(u8::is_ascii_lowercase) {
        return Segment::Word;
    }
    if last && let Some(verb) = verb(segment) {
        return match classify(&segment[..segment.len() - verb], false) {
            Segment::Id(0) => Segment::Id(verb),
            other => other,
        };
    }
    let shape = Shape::of(bytes);
    if shape.digits == 0 && shape.foreign + shape.other + shape.dots == 0 && bytes.len() < 20 {
        return Segment::Word;
    }
    if let Some(name) = keyed(bytes) {
        return Segment::Key(name);
    }
    if shape.other > 0 || (shape.foreign > 0 && is_escapes(bytes)) {
        return Segment::Other;
    }
    let extension = extension(bytes);
    if shape.foreign > 0 {
        // logo@2x.png is a file; pictures and fonts are named so.
        return match extension {
            Some(extension) if last && is_static(&segment[segment.len() - extension + 1..]) => Segment::File(extension),
            _ if bytes == b"*" => Segment::Word,
            _ => Segment::Id(0),
        };
    }
    if let Some(extension) = extension {
        return file(segment, extension, last);
    }
    if is_id(bytes, shape) {
        return Segment::Id(0);
    }
    let is_slug = shape.dashes.max(shape.underscores) >= 4 && bytes.len() >= 20;
    if is_slug { Segment::Slug } else { Segment::Word }
}

/// The length of a custom verb with its colon, as Google's APIs have it: `v1:batchGet`, `4711:cancel`.
fn verb(segment: &str) -> Option<usize> {
    let (stem, verb) = segment.rsplit_once(':')?;
    let is_verb = (3..=32).contains(&verb.len())
        && verb.starts_with(|c: char| c.is_ascii_lowercase())
        && verb.bytes().all(|b| b.is_ascii_alphabetic());
    (is_verb && !stem.is_empty() && !stem.contains(':')).then_some(verb.len() + 1)
}

/// The length of the name in `Orders(4711)`, `Orders('4711')`: one key, by its value alone.
fn keyed(bytes: &[u8]) -> Option<usize> {
    let inside = bytes.strip_suffix(b")")?;
    let open = inside.iter().position(|&b| b == b'(').filter(|&open| open > 0)?;
    let (name, key) = (&inside[..open], &inside[open + 1..]);
    let key = key.strip_prefix(b"'").and_then(|key| key.strip_suffix(b"'")).unwrap_or(key);
    let is_name = name.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'.')) && name.len() <= 64;
    let is_key = !key.is_empty() && key.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    (is_name && is_key).then_some(open)
}

/// The key in `Orders('4711')`, of which the name has so many bytes.
pub(super) fn key_of(segment: &str, name: usize) -> &str {
    segment[name..].trim_matches(['(', ')', '\''])
}

/// Nothing but escapes of characters that paths are not made of.
fn is_escapes(bytes: &[u8]) -> bool {
    bytes.chunks(3).all(|escape| matches!(escape, [b'%', b'0'..=b'7', _]) || escape == b"%")
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
    if last && is_static(kind) {
        return Segment::File(extension);
    }
    let shape = Shape::of(stem);
    if is_id(stem, shape) {
        return Segment::Id(extension);
    }
    if shape.dashes.max(shape.underscores) >= 4 && stem.len() >= 20 { Segment::File(extension) } else { Segment::Word }
}

fn is_static(extension: &str) -> bool {
    STATIC.iter().any(|known| known.eq_ignore_ascii_case(extension))
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
pub(super) fn is_version(bytes: &[u8]) -> bool {
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

/// Bytes of the name of a gRPC service; longer ones are none.
const SERVICE_BYTES_MAX: usize = 200;

/// Are these two segments, the last of a path, a gRPC service and its method? `shop.v1.Accounts` and `Login`: names
/// joined by dots, of which the last begins with a capital or another is a version, and a name.
pub(super) fn is_rpc(service: &str, method: &str) -> bool {
    let (mut labels, mut version, mut last) = (0, false, "");
    if service.len() > SERVICE_BYTES_MAX || !service.contains('.') || !is_name(method) {
        return false;
    }
    for label in service.split('.') {
        if !is_name(label) {
            return false;
        }
        labels += 1;
        version |= is_version(label.as_bytes());
        last = label;
    }
    labels >= 2 && (version || last.starts_with(|c: char| c.is_ascii_uppercase())) && !is_version(last.as_bytes())
}

/// A name as Protocol Buffers have it, with few digits: more of them are an identifier.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    (1..=64).contains(&bytes.len())
        && !bytes[0].is_ascii_digit()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
        && digits <= 4
        && digits * 2 <= bytes.len()
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
    use super::*;

    #[test]
    fn services_of_grpc_are_names() {
        for service in ["shop.v1.Accounts", "shop.Accounts", "a.b.v2beta1.C2", "package.Service2", "shop.v1.accounts"] {
            assert!(is_rpc(service, "GetV2"), "{service}");
        }
        for other in ["shop", "v1.2", "report.2024", "1.2.3", "a..B", "john.doe", "x.4bf92f3577b34da6.Y", "lodash.v1"] {
            assert!(!is_rpc(other, "Get"), "{other}");
        }
        assert!(!is_rpc("shop.v1.Accounts", "4711") && !is_rpc("shop.v1.Accounts", ""));
    }

    #[test]
    fn verbs_keys_and_escapes() {
        assert_eq!(classify("v1:batchGet", true), Segment::Word);
        assert_eq!(classify("orders:search", true), Segment::Word);
        assert_eq!(classify("4711:cancel", true), Segment::Id(7));
        assert_eq!(classify("4711:cancel", false), Segment::Id(0));
        assert_eq!(classify("urn:isbn:9783161484100", true), Segment::Id(0));
        assert_eq!(classify("Orders(4711)", true), Segment::Key(6));
        assert_eq!(classify("Orders('4711')", false), Segment::Key(6));
        assert_eq!((key_of("Orders('4711')", 6), key_of("Orders(4711)", 6)), ("4711", "4711"));
        for other in ["Orders()", "(4711)", "Orders(1 or 1=1)", "%25", "%", "%3C%3E"] {
            assert_eq!(classify(other, true), Segment::Other, "{other}");
        }
        assert_eq!(classify("%C3%A9t%C3%A9", true), Segment::Id(0));
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
}
