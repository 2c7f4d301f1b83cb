//! Encodings in which a secret may travel, thirty and more, with their combinations.

use std::io::Write;

use data_encoding::{BASE32, BASE32_NOPAD, BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use flate2::Compression;
use serde_json::json;

pub type Encode = fn(&str) -> String;

/// Name, and what it does.
pub const ENCODINGS: &[(&str, Encode)] = &[
    ("percent, specials", |t| percent(t, false)),
    ("percent, all", |t| percent(t, true)),
    ("percent, lower case", |t| percent(t, true).to_lowercase()),
    ("percent twice", |t| percent(&percent(t, false), false)),
    ("percent twice, all", |t| percent(&percent(t, true), false)),
    ("percent three times", |t| percent(&percent(&percent(t, false), false), false)),
    ("percent u", |t| t.encode_utf16().map(|u| format!("%u{u:04x}")).collect()),
    ("percent U", |t| t.encode_utf16().map(|u| format!("%u{u:04X}")).collect()),
    ("plus", |t| percent(t, false).replace("%20", "+")),
    ("entities, named", named),
    ("entities, decimal", |t| t.chars().map(|c| format!("&#{};", c as u32)).collect()),
    ("entities, decimal, padded", |t| t.chars().map(|c| format!("&#{:07};", c as u32)).collect()),
    ("entities, hexadecimal", |t| t.chars().map(|c| format!("&#x{:x};", c as u32)).collect()),
    ("entities, hexadecimal, upper", |t| t.chars().map(|c| format!("&#X{:04X};", c as u32)).collect()),
    ("backslash x", |t| t.bytes().map(|b| format!("\\x{b:02x}")).collect()),
    ("backslash x, upper", |t| t.bytes().map(|b| format!("\\x{b:02X}")).collect()),
    ("backslash u", |t| t.encode_utf16().map(|u| format!("\\u{u:04x}")).collect()),
    ("backslash u, escaped again", |t| t.encode_utf16().map(|u| format!("\\\\u{u:04x}")).collect()),
    ("backslash u, specials", |t| {
        t.chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\u{:04x}", c as u32) })
            .collect()
    }),
    ("backslash u in braces", |t| t.chars().map(|c| format!("\\u{{{:x}}}", c as u32)).collect()),
    ("octal", |t| t.bytes().map(|b| format!("\\{b:03o}")).collect()),
    ("base64", |t| BASE64.encode(t.as_bytes())),
    ("base64, unpadded", |t| BASE64_NOPAD.encode(t.as_bytes())),
    ("base64url", |t| BASE64URL.encode(t.as_bytes())),
    ("base64url, unpadded", |t| BASE64URL_NOPAD.encode(t.as_bytes())),
    ("base64, slashes escaped", |t| BASE64.encode(format!("why??? {t}").as_bytes()).replace('/', "\\/")),
    ("base64 over lines", |t| lines(&BASE64.encode(t.as_bytes()), 24, "\n")),
    ("base64 over lines, crlf", |t| lines(&BASE64.encode(t.as_bytes()), 20, "\r\n")),
    ("base64 behind one byte", |t| BASE64.encode(format!(" {t}").as_bytes())),
    ("base64 behind two bytes", |t| BASE64.encode(format!("x {t}").as_bytes())),
    ("base64 in a text", |t| BASE64.encode(format!("a long text before it, {t}, and another behind it").as_bytes())),
    ("base64 behind a letter", |t| format!("x{}", BASE64.encode(t.as_bytes()))),
    ("data url", |t| format!("data:text/plain;base64,{}", BASE64.encode(t.as_bytes()))),
    ("base32", |t| BASE32.encode(t.as_bytes())),
    ("base32, lower", |t| BASE32.encode(t.as_bytes()).to_lowercase()),
    ("base32, unpadded", |t| BASE32_NOPAD.encode(t.as_bytes())),
    ("base32, lower, unpadded", |t| BASE32_NOPAD.encode(t.as_bytes()).to_lowercase()),
    ("hexadecimal", |t| HEXLOWER.encode(t.as_bytes())),
    ("hexadecimal, upper", |t| HEXUPPER.encode(t.as_bytes())),
    ("hexadecimal, 0x", |t| format!("0x{}", HEXLOWER.encode(t.as_bytes()))),
    ("hexadecimal, 0x, upper", |t| format!("0x{}", HEXUPPER.encode(t.as_bytes()))),
    ("hexadecimal, colons", |t| pairs(t, "", ":")),
    ("hexadecimal, blanks", |t| pairs(t, "", " ")),
    ("hexadecimal, dashes", |t| pairs(t, "", "-")),
    ("hexadecimal, bytes with 0x", |t| pairs(t, "0x", ", ")),
    ("hexadecimal, bytes with 0x, tight", |t| pairs(t, "0x", ",")),
    ("entities, decimal, no semicolons", |t| t.chars().map(|c| format!("&#{}", c as u32)).collect()),
    ("percent u, specials", |t| {
        t.chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("%u{:04X}", c as u32) })
            .collect()
    }),
    ("percent three times, all", |t| percent(&percent(&percent(t, true), false), false)),
    ("quoted printable", |t| t.bytes().map(|b| format!("={b:02X}")).collect()),
    ("quoted printable, specials", |t| {
        t.bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("={b:02X}") })
            .collect()
    }),
    ("quoted printable, soft breaks", |t| lines(&t.replace('=', "=3D"), 9, "=\r\n")),
    ("quoted printable, lower case", |t| t.bytes().map(|b| format!("={b:02x}")).collect()),
    ("quoted printable, a mail", |t| mail(&format!("Hello Ann,\r\n\r\nhere it is, as we said on Monday: {t}\r\nBye"))),
    ("quoted printable, a mail, broken", |t| {
        mail(&format!("Hello Ann, here it is, as we said on Monday, not to be shown to others: {t}, bye"))
    }),
    ("quoted printable, a header", |t| format!("=?utf-8?Q?{}?=", t.replace('=', "=3D").replace(' ', "=20"))),
    ("utf-16le in base64", |t| BASE64.encode(&utf16(t, u16::to_le_bytes, false))),
    ("utf-16be in base64", |t| BASE64.encode(&utf16(t, u16::to_be_bytes, false))),
    ("utf-16le with mark in base64", |t| BASE64.encode(&utf16(t, u16::to_le_bytes, true))),
    ("utf-16be with mark in base64", |t| BASE64.encode(&utf16(t, u16::to_be_bytes, true))),
    ("utf-16le in base64url", |t| BASE64URL_NOPAD.encode(&utf16(t, u16::to_le_bytes, false))),
    ("utf-16le in hexadecimal", |t| HEXLOWER.encode(&utf16(t, u16::to_le_bytes, false))),
    ("utf-16be with mark in hexadecimal", |t| HEXUPPER.encode(&utf16(t, u16::to_be_bytes, true))),
    ("utf-16le with mark in percent", |t| percent_bytes(&utf16(t, u16::to_le_bytes, true))),
    ("utf-16be with mark in percent", |t| percent_bytes(&utf16(t, u16::to_be_bytes, true))),
    ("utf-16le in percent", |t| percent_bytes(&utf16(t, u16::to_le_bytes, false))),
    ("utf-16be in percent", |t| percent_bytes(&utf16(t, u16::to_be_bytes, false))),
    ("gzip in base64", |t| BASE64.encode(&gzip(t))),
    ("gzip in base64url", |t| BASE64URL_NOPAD.encode(&gzip(t))),
    ("zlib in base64", |t| BASE64.encode(&zlib(t))),
    ("deflate in base64", |t| BASE64.encode(&deflate(t))),
    ("deflate in base64url", |t| BASE64URL_NOPAD.encode(&deflate(t))),
    ("deflate of json in base64", |t| {
        BASE64.encode(&deflate(&json!({"id": 4711, "user": "bob", "data": t}).to_string()))
    }),
    ("deflate of a long text in base64", |t| BASE64.encode(&deflate(&long(t)))),
    ("gzip of a long text in base64", |t| BASE64.encode(&gzip(&long(t)))),
    ("gzip in base64 over lines", |t| lines(&BASE64.encode(&gzip(&long(t))), 76, "\r\n")),
    ("zlib in base64 in percent", |t| percent(&BASE64.encode(&zlib(t)), true)),
    ("base64 over lines of mails", |t| lines(&BASE64.encode(long(t).as_bytes()), 76, "\r\n")),
    ("json in json", |t| json!({"data": json!({"inner": t}).to_string()}).to_string()),
    ("json in json in json", |t| json!({"d": json!({"d": json!({"d": t}).to_string()}).to_string()}).to_string()),
    ("base64 twice", |t| BASE64.encode(BASE64.encode(t.as_bytes()).as_bytes())),
    ("percent in base64", |t| BASE64.encode(percent(t, false).as_bytes())),
    ("base64 in percent", |t| percent(&BASE64.encode(t.as_bytes()), true)),
    ("base64 in hexadecimal", |t| HEXLOWER.encode(BASE64.encode(t.as_bytes()).as_bytes())),
    ("hexadecimal in base64", |t| BASE64.encode(HEXLOWER.encode(t.as_bytes()).as_bytes())),
    ("base64 of json", |t| BASE64URL_NOPAD.encode(json!({"id": 7, "data": t}).to_string().as_bytes())),
    ("base64 in json in percent", |t| percent(&json!({"blob": BASE64.encode(t.as_bytes())}).to_string(), false)),
    ("entities in percent", |t| percent(&named(t), false)),
    ("percent u in percent", |t| t.encode_utf16().map(|u| format!("%25u{u:04x}")).collect()),
    ("backslash u in percent", |t| {
        percent(&t.encode_utf16().map(|u| format!("\\u{u:04x}")).collect::<String>(), false)
    }),
    ("gzip of json in base64 in percent", |t| percent(&BASE64.encode(&gzip(&json!({"a": t}).to_string())), false)),
];

pub fn percent(text: &str, all: bool) -> String {
    let keep = |b: u8| !all && (b.is_ascii_alphanumeric() || b"-_.~".contains(&b));
    text.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// Each byte in two hexadecimal digits, with what stands before and between them.
fn pairs(text: &str, mark: &str, between: &str) -> String {
    text.bytes().map(|b| format!("{mark}{b:02x}")).collect::<Vec<_>>().join(between)
}

/// Amid a text of some length, which compresses.
fn long(text: &str) -> String {
    let around = "The quick brown fox jumps over the lazy dog, and the dog does not mind it, for it is a lazy dog. ";
    format!("{around}{around}{text}\n{around}")
}

/// As mails are written (RFC 2045): what must be escaped is, and lines end softly at 76 characters.
fn mail(text: &str) -> String {
    let mut out = String::new();
    for (number, line) in text.split("\r\n").enumerate() {
        out.push_str(if number > 0 { "\r\n" } else { "" });
        let mut width = 0;
        for b in line.bytes() {
            let is_plain = (0x20..0x7f).contains(&b) && b != b'=';
            let one = if is_plain { char::from(b).to_string() } else { format!("={b:02X}") };
            if width + one.len() > 75 {
                out.push_str("=\r\n");
                width = 0;
            }
            width += one.len();
            out.push_str(&one);
        }
    }
    out
}

fn percent_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("%{b:02X}")).collect()
}

fn named(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '=' => out.push_str("&equals;"),
            ':' => out.push_str("&colon;"),
            '@' => out.push_str("&commat;"),
            c => out.push(c),
        }
    }
    out
}

fn lines(text: &str, width: usize, end: &str) -> String {
    text.as_bytes().chunks(width).map(|c| String::from_utf8_lossy(c).into_owned()).collect::<Vec<_>>().join(end)
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2], mark: bool) -> Vec<u8> {
    mark.then_some(0xfeffu16).into_iter().chain(text.encode_utf16()).flat_map(bytes).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
    writer.write_all(text.as_bytes()).expect("memory takes it");
    writer.finish().expect("memory takes it")
}

fn zlib(text: &str) -> Vec<u8> {
    let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
    writer.write_all(text.as_bytes()).expect("memory takes it");
    writer.finish().expect("memory takes it")
}

fn deflate(text: &str) -> Vec<u8> {
    let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
    writer.write_all(text.as_bytes()).expect("memory takes it");
    writer.finish().expect("memory takes it")
}
