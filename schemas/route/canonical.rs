//! One spelling of a path: what a server makes of it before it looks for a route. `/a//./b;v=1/%6frders/../x` is `/a/b/x`.
//!
//! Promises: matrix parameters, empty and dot segments are gone, `..` took its parent away, escapes of characters that
//! need none are decoded (through up to three layers), other escapes are in upper case. A segment that hides a traversal,
//! a control character or broken UTF-8 is `?`, which no route knows. Linear in the length; idempotent but for layers
//! deeper than three.
//! Never: decodes `/` into a separator: most gateways do not.

/// Layers of escapes that are taken off.
const LAYERS_MAX: usize = 3;

/// Writes `path` in its one spelling over `out`. `bytes` is a buffer.
pub(super) fn canonical(path: &str, out: &mut String, bytes: &mut [Vec<u8>; 2]) {
    out.clear();
    let mut ends_open = false;
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        let start = out.len();
        out.push('/');
        let name = memchr::memchr(b';', segment.as_bytes()).map_or(segment, |at| &segment[..at]);
        write(name, out, bytes);
        let parents = match &out[start + 1..] {
            "" | "." => Some(0),
            ".." => Some(1),
            _ => None,
        };
        ends_open = parents.is_some();
        if let Some(parents) = parents {
            out.truncate(start);
            if parents > 0 {
                out.truncate(out.rfind('/').unwrap_or(0));
            }
        }
    }
    if ends_open || out.is_empty() {
        out.push('/');
    }
}

/// Does a path with this segment need `canonical`? Only to be asked of segments that are no plain words.
pub(super) fn is_odd(segment: &str, last: bool) -> bool {
    match segment.as_bytes() {
        [] => !last,
        [b'.'] | [b'.', b'.'] => true,
        bytes => memchr::memchr3(b'%', b';', b'\\', bytes).is_some(),
    }
}

fn write(name: &str, out: &mut String, [from, to]: &mut [Vec<u8>; 2]) {
    if !name.contains('%') {
        let plain = !name.bytes().any(|b| b < b' ' || b == 0x7f || b == b'\\');
        out.push_str(if plain { name } else { "?" });
        return;
    }
    from.clear();
    from.extend_from_slice(name.as_bytes());
    for _ in 0..LAYERS_MAX {
        if !decode(from, to) {
            break;
        }
        std::mem::swap(from, to);
    }
    match std::str::from_utf8(from) {
        Ok(text) if !is_hostile(text) => encode(text, out),
        _ => out.push('?'),
    }
}

/// Takes one layer of escapes off; false when there was none.
fn decode(from: &[u8], to: &mut Vec<u8>) -> bool {
    to.clear();
    let (mut at, mut changed) = (0, false);
    while at < from.len() {
        match escaped(&from[at..]) {
            Some(byte) => {
                to.push(byte);
                at += 3;
                changed = true;
            }
            None => {
                to.push(from[at]);
                at += 1;
            }
        }
    }
    changed
}

fn escaped(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |b: &u8| char::from(*b).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

/// Control characters, backslashes, and dot segments between encoded slashes.
fn is_hostile(text: &str) -> bool {
    text.bytes().any(|b| b < b' ' || b == 0x7f || b == b'\\')
        || (text.contains('/') && text.split('/').any(|piece| matches!(piece, "." | "..")))
}

fn encode(text: &str, out: &mut String) {
    let padding = text.len() - text.trim_end_matches('=').len();
    for (at, byte) in text.bytes().enumerate() {
        let keeps = matches!(byte, b' ' | b'/' | b'%' | b'?' | b'#' | b'&' | b';') || !byte.is_ascii();
        let pads = at + padding >= text.len() && padding <= 2;
        if keeps || pads {
            out.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        } else {
            out.push(char::from(byte));
        }
    }
}

const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(path: &str) -> String {
        let mut out = String::new();
        canonical(path, &mut out, &mut Default::default());
        out
    }

    #[test]
    fn spellings_of_one_path_are_one() {
        for (path, expected) in [
            ("/", "/"),
            ("", "/"),
            ("/a/./b", "/a/b"),
            ("/a//b", "/a/b"),
            ("///a", "/a"),
            ("/a/", "/a/"),
            ("/a//", "/a/"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a/../../../etc/passwd", "/etc/passwd"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/%252e%252e/b", "/b"),
            ("/a/..;x=1/b", "/b"),
            ("/orders;v=1/42;color=red", "/orders/42"),
            ("/a/;jsessionid=1", "/a/"),
            ("/%6frders/%34%32", "/orders/42"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%2f..%2fb", "/?"),
            ("/..%5c..%5cx", "/?"),
            ("/x\\y", "/?"),
            ("/%00", "/?"),
            ("/%c0%ae%c0%ae/x", "/?/x"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/100%25", "/100%25"),
            ("/100%", "/100%25"),
            ("/Zg%3D%3D", "/Zg%3D%3D"),
            ("/blue%20shoes", "/blue%20shoes"),
            ("/%27or%27", "/'or'"),
            ("*", "/*"),
        ] {
            assert_eq!(of(path), expected, "of {path}");
        }
        assert_eq!(of(&format!("{}a", "/.".repeat(4096) + "/")), "/a");
        assert_eq!(of(&format!("{}/a", "/x/..".repeat(4096))), "/a");
    }

    proptest! {
        #[test]
        fn what_has_one_spelling_keeps_it(path in "(/([a-c;.%/\\\\]|%2[eEfF5]|%6f|é|\\PC){0,6}){0,6}") {
            let once = of(&path);
            prop_assert_eq!(of(&once), once.clone(), "of {}", path);
            prop_assert!(once.len() <= 3 * path.len() + 1);
        }
    }
}
