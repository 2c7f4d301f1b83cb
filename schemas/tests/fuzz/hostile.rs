//! Texts that somebody wrote in order to hurt: deep, long, nested, repeated, broken.
//!
//! Promises: about `size` bytes, at most twice that.

use std::io::Write;

use super::random::Random;

/// Pieces that are repeated until the size is reached. Many are the start of something that a reader must look ahead for.
const REPEATED: &[&str] = &[
    "[",
    "{",
    "{\"a\":",
    "[[{\"a\":",
    "\"",
    ",\"status\":\"a",
    ",\"remote_addr\":\"\\q",
    "\\",
    "\\\"",
    "\\\\\"",
    "'",
    ",",
    ",,\"\",",
    "null,",
    "0,",
    "\"a\",",
    ":",
    "%25",
    "%",
    "%u0041",
    "%2525",
    "%00",
    "%c0%ae",
    "+",
    "&",
    "=",
    "&=",
    "a=b&",
    "k=v;",
    "&amp;",
    "&#x41;",
    "&#",
    "\\x22",
    "\\x5c",
    "\\u005c",
    "\\u0041",
    "\\ud83d",
    "\\n",
    "=3D",
    "=\r\n",
    " ",
    "\t",
    "\r",
    "\n",
    "\r\n",
    "\0",
    "\u{feff}",
    "\u{a0}\r",
    "[REDACTED:token]",
    "<TOKEN>",
    "{{id}}",
    "${x}",
    "${jndi:${lower:",
    "***",
    "xxxx",
    "password=",
    "token: ",
    "\"password\":\"",
    "api_key=\"\"",
    "Bearer ",
    "Basic ",
    "Authorization: ",
    "eyJ.",
    "eyJhbGciOiJIUzI1NiJ9.e30.",
    "AKIA",
    "ghp_",
    "sk_live_",
    "-----BEGIN PRIVATE KEY-----",
    "4",
    "4111 1111 1111 1111 ",
    "4111-",
    "+49 30 ",
    "DE89 3704 ",
    "1.2.3.4, ",
    "::",
    "2001:db8::1,",
    "for=\"[",
    "a@",
    "a@b.c ",
    "@",
    "://a:b@",
    "/",
    "/a",
    "/../",
    "/;a=b",
    "/{x}",
    "/7/",
    "<",
    "<a>",
    "<34>1 ",
    "<!--",
    "a.",
    "ä",
    "\u{1f511}",
    "- ",
];

const WORDS: [&str; 6] = [
    "password=fake-hunter2",
    "GET /v1/orders/7 HTTP/1.1",
    "{\"token\":\"fake\"}",
    "anna@shop.example",
    "\\",
    "a=b&c=d",
];

pub fn hostile(random: &mut Random, size: usize) -> Vec<u8> {
    match random.below(14) {
        0..=4 => repeated(random.of(REPEATED).as_bytes(), size),
        5 => {
            let (a, b) = (random.of(REPEATED), random.of(REPEATED));
            repeated(format!("{a}{b}").as_bytes(), size)
        }
        6 => {
            let (open, close) = *random.of(&[("[", "]"), ("{\"a\":", "}"), ("<a>", "</a>"), ("(", ")"), ("${", "}")]);
            let depth = size / (open.len() + close.len());
            [open.repeat(depth), "1".to_string(), close.repeat(depth)].concat().into_bytes()
        }
        7 => pairs(random, size),
        8 => nested(random, size),
        9 => (0..size).map(|_| random.next() as u8).collect(),
        10 => {
            let alphabet =
                *random.of(&["\"\\ ", "%250", "[]{},:\"", "=+/Aa0", "&=;%", "0123456789- ", "ab/.;{}", " \"-[]"]);
            (0..size).map(|_| *random.of(alphabet.as_bytes())).collect()
        }
        11 => {
            let bad: [&[u8]; 5] = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x92", b"a\x80"];
            repeated(bad[random.below(bad.len())], size)
        }
        12 => {
            let record = r#"{"message":"203.0.113.7 - - [27/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5"}"#;
            format!("[{}]", vec![record; size / record.len() + 1].join(",")).into_bytes()
        }
        _ => packed(random, size),
    }
}

fn repeated(piece: &[u8], size: usize) -> Vec<u8> {
    piece.iter().copied().cycle().take(size).collect()
}

/// Ten thousand pairs, or as many as there is room for.
fn pairs(random: &mut Random, size: usize) -> Vec<u8> {
    let form = random.below(6);
    let mut text = String::new();
    for i in 0..10_000 {
        match form {
            0 => text.push_str(&format!("k{i}=v{i}&")),
            1 => text.push_str(&format!("\"k{i}\":{i},")),
            2 => text.push_str(&format!("token{i}=\"fake {i}\" ")),
            3 => text.push_str(&format!("<k{i}>v</k{i}>")),
            4 => text.push_str(&format!("\"k\":{{\"password\":\"fake{i}\"}},")),
            _ => text.push_str(&format!("k: v{i}\n")),
        }
        if text.len() >= size {
            break;
        }
    }
    if form == 1 || form == 4 {
        text = format!("{{{}}}", text.trim_end_matches(','));
    }
    text.into_bytes()
}

/// One encoding in the other, as deep as there is room for.
fn nested(random: &mut Random, size: usize) -> Vec<u8> {
    let mut text = random.of(&WORDS).to_string();
    let form = random.below(8);
    for _ in 0..40 {
        let next = match if form == 7 { random.below(7) } else { form } {
            0 => data_encoding::BASE64.encode(text.as_bytes()),
            1 => data_encoding::BASE64URL_NOPAD.encode(text.as_bytes()),
            2 => text.bytes().map(|b| format!("%{b:02x}")).collect(),
            3 => serde_json::Value::String(text.clone()).to_string(),
            4 => serde_json::json!({"log": text, "message": text}).to_string(),
            5 => data_encoding::HEXLOWER.encode(text.as_bytes()),
            _ => text.replace('%', "%25") + "%41",
        };
        if next.len() > size {
            break;
        }
        text = next;
    }
    text.into_bytes()
}

/// Something that is far larger when it is unpacked.
fn packed(random: &mut Random, size: usize) -> Vec<u8> {
    let plain = repeated(random.of(&WORDS).as_bytes(), size.saturating_mul(20).min(4 << 20));
    let level = flate2::Compression::fast();
    let mut bytes = if random.one_in(2) {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
        gzip.write_all(&plain).and_then(|()| gzip.finish())
    } else {
        let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), level);
        deflate.write_all(&plain).and_then(|()| deflate.finish())
    }
    .expect("writing to memory succeeds");
    bytes.truncate(size);
    if random.one_in(2) {
        // UTF-16, too, in base64.
        bytes = WORDS.concat().encode_utf16().flat_map(u16::to_le_bytes).cycle().take(size).collect();
    }
    data_encoding::BASE64.encode(&bytes).into_bytes()
}
