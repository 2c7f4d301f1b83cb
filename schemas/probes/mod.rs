//! Attack payloads in a request, by class: traversal, SQL, script, command, and so on (`CLASSES`). Decided on the raw texts, before
//! redaction, so that a suffix which looks like a secret hides nothing. `signatures.rs` has what they look like, `known.rs` the paths
//! and files that only an attack asks for.
//!
//! Promises: of a long text its beginning and its end are searched; plain signatures over the text and over each layer of its escapes
//! undone; linear time; a text without any character that an attack needs costs one pass over its bytes, and in a path two look-ups
//! for each `/` and `.`. `tests/probes.rs` holds the share of false and missed ones.
//! Never: keeps or returns a part of the text.

mod known;
mod signatures;
mod words;

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};

use crate::limits::{PROBE_ALIASES_MAX, PROBE_BYTES_MAX, PROBE_LAYERS_MAX, PROBE_NESTED_MAX};
use crate::redact::{View, floor};

/// The classes, in the order of their bits.
#[rustfmt::skip]
pub(crate) static CLASSES: [&str; 16] = [
    "traversal", "sqli", "xss", "cmdi", "jndi", "nosqli", "ldapi", "ssrf", "template", "deserialisation", "pollution", "crlf", "graphql",
    "xxe", "exploit", "sensitive",
];

const TRAVERSAL: u16 = 1;
const SQLI: u16 = 1 << 1;
const XSS: u16 = 1 << 2;
const CMDI: u16 = 1 << 3;
const JNDI: u16 = 1 << 4;
const NOSQLI: u16 = 1 << 5;
const LDAPI: u16 = 1 << 6;
const SSRF: u16 = 1 << 7;
const TEMPLATE: u16 = 1 << 8;
const DESERIALISATION: u16 = 1 << 9;
const POLLUTION: u16 = 1 << 10;
const CRLF: u16 = 1 << 11;
const GRAPHQL: u16 = 1 << 12;
const XXE: u16 = 1 << 13;
const EXPLOIT: u16 = 1 << 14;
const SENSITIVE: u16 = 1 << 15;

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Probed(u16);

impl Probed {
    pub(crate) fn merge(&mut self, other: Probed) {
        self.0 |= other.0;
    }

    /// The names, written over `names`.
    pub(crate) fn names(self, names: &mut Vec<&'static str>) {
        names.clear();
        names.extend(CLASSES.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| *name));
    }
}

/// Where a text stood: an ampersand separates the parameters of a query, and a semicolon the parts of a user agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
}

/// Words that attacks without special characters are made of. In small letters or not, they are looked for in every query that has
/// one of the signs `:`, `.`, `_`, `/`, `[`, or a blank.
static WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let words = [
        "..",
        " or ",
        " and ",
        "union",
        "select",
        "having",
        "order by",
        "group by",
        "/etc/",
        "javascript:",
        "etcpasswd",
        " like ",
        "waitfor",
        "drop ",
        "jndi",
        "system32",
        "web-inf",
        ".ini",
        "/proc/",
        ".ssh/",
        "alert",
        "--",
        "on",
        "://",
        ":/",
        "http",
        "__",
        "constructor",
        "classloader",
        "0x2e",
        "%c0",
        "%e5%98",
        "%00",
        "ro0ab",
        "aced0005",
        "aaeaaad",
        "xdebug",
        "think",
        "call_user",
        "/bin/",
        "c:",
        "/./",
        "latest/meta",
        "2.5.13",
        "powershell",
        "wget",
        "curl",
        "cmd",
        "ping",
        "rm -",
        "sh -",
        "cat ",
        "chmod",
        "this.",
        "db.",
        "java.",
        "update ",
        "insert ",
        "delete ",
        "exec",
        "process.",
        "/?",
        "revslider",
        "rest_route",
        "element_parents",
        "type=rau",
        "duplicator",
    ];
    AhoCorasick::builder().ascii_case_insensitive(true).build(words).expect("the words are a fixed list")
});

/// Looks for attacks, reusing its buffers.
#[derive(Default)]
pub(crate) struct Prober {
    view: View,
    next: View,
    plain: String,
    bare: String,
}

/// What each byte is to attacks: one they need, an escape or a blank, the first of a file's name, one of a word in a query.
const NEEDED: u8 = 1;
const ESCAPED: u8 = 2;
const FILE: u8 = 4;
const WORD: u8 = 8;

static BYTES: [u8; 256] = {
    let mut table = [0u8; 256];
    let needed = b"'\"<>;|$()`*{}\\!\0\n";
    let mut i = 0;
    while i < needed.len() {
        table[needed[i] as usize] = NEEDED;
        i += 1;
    }
    (table[b'%' as usize], table[b'+' as usize], table[b' ' as usize], table[b'&' as usize]) =
        (ESCAPED, ESCAPED, ESCAPED, 0);
    (table[b'/' as usize], table[b'.' as usize]) = (FILE | WORD, FILE | WORD);
    (table[b':' as usize], table[b'_' as usize], table[b'[' as usize]) = (WORD, WORD, WORD);
    // Letters that are none of ASCII may look like some.
    i = 0xc0;
    while i < 256 {
        table[i] = ESCAPED;
        i += 1;
    }
    table
};

impl Prober {
    /// The classes of attack in `text`.
    #[inline]
    pub(crate) fn of(&mut self, text: &str, place: Place) -> Probed {
        let bytes = text.as_bytes();
        let flags = bytes.iter().fold(0, |flags, &b| flags | BYTES[usize::from(b)]);
        if flags & (NEEDED | ESCAPED) == 0 && !is_told(bytes, flags, place) {
            return Probed::default();
        }
        self.search(text, place)
    }

    fn search(&mut self, text: &str, place: Place) -> Probed {
        let mut probed = self.search_part(&text[..floor(text, PROBE_BYTES_MAX)], place);
        // What stands before an attack does not hide it.
        if text.len() > PROBE_BYTES_MAX {
            let from = (text.len() - PROBE_BYTES_MAX..).find(|at| text.is_char_boundary(*at));
            probed.merge(self.search_part(&text[from.unwrap_or(text.len())..], place));
        }
        probed
    }

    fn search_part(&mut self, text: &str, place: Place) -> Probed {
        let mut probed = Probed::default();
        if place == Place::Query {
            // An ampersand between parameters is no command.
            for parameter in text.split('&').filter(|parameter| is_suspect(parameter.as_bytes())) {
                probed.merge(self.layers(parameter, place));
            }
            return probed;
        }
        self.layers(text, place)
    }

    /// The text, each layer of its escapes undone, and what it looks like or is an encoding of.
    fn layers(&mut self, text: &str, place: Place) -> Probed {
        let mut probed = self.signatures(text, place);
        let mut view = std::mem::take(&mut self.view);
        let mut next = std::mem::take(&mut self.next);
        let mut undone = view.undo(text, None);
        let is_escaped = undone;
        for _ in 0..PROBE_LAYERS_MAX {
            if !undone {
                break;
            }
            probed.merge(self.signatures(&view.text, place));
            undone = next.undo(&view.text, None);
            if undone {
                std::mem::swap(&mut view, &mut next);
            }
        }
        let inner: &str = if is_escaped { &view.text } else { text };
        if next.fold(inner, None) {
            probed.merge(self.signatures(&next.text, place));
        }
        if place != Place::Header {
            for part in base64_parts(inner, place) {
                if let Some(decoded) = decoded(part) {
                    probed.merge(self.signatures(&decoded, Place::Query));
                    if next.undo(&decoded, None) {
                        probed.merge(self.signatures(&next.text, Place::Query));
                    }
                }
            }
        }
        (self.view, self.next) = (view, next);
        probed
    }

    /// What the signatures say of one layer.
    fn signatures(&mut self, text: &str, place: Place) -> Probed {
        self.plain.clear();
        let mut blank = false;
        for c in text.chars() {
            let c = match c {
                '+' | '\t' | '\u{b}' | '\u{c}' | '\u{a0}' => ' ',
                '\r' => '\n',
                c => c.to_ascii_lowercase(),
            };
            if !(blank && c == ' ') {
                self.plain.push(c);
            }
            blank = c == ' ';
        }
        let mut found = match place {
            Place::Path => known::of_path(text),
            Place::Query => known::of_parameter(&self.plain),
            Place::Header => 0,
        };
        if place == Place::Path && self.plain.contains("('") {
            without_keys(&mut self.plain);
        }
        // In a query the name of the parameter is no part of the attack.
        let from = if place == Place::Query { self.plain.find('=').map_or(0, |i| i + 1) } else { 0 };
        let value = &self.plain[from..];
        // An ampersand that was written as an escape is no separator.
        let is_joined = place == Place::Query && value.contains('&');
        if !is_joined && !is_needed(self.plain.as_bytes()) && !WORDS.is_match(&self.plain) {
            return Probed(found);
        }
        found |= signatures::classes(value, place);
        if from > 0 {
            found |= signatures::classes(&self.plain, place);
        }
        if place != Place::Header && is_flood(value) {
            found |= GRAPHQL;
        }
        // The look-up says where it leads.
        if found & SSRF != 0 && (found & JNDI != 0 || returns(&self.plain[..from])) {
            found &= !SSRF;
        }
        if without_disguise(value, &mut self.bare) {
            found |= signatures::classes(&self.bare, place) & (SQLI | CMDI | TRAVERSAL | XSS);
        }
        Probed(found)
    }
}

/// Is a parameter of this name where the browser goes afterwards? There an address of the own machine is that of a developer, or
/// of an app that waits for the answer of a log-in (RFC 8252).
fn returns(name: &str) -> bool {
    ["redirect", "return", "callback", "post_logout", "origin", "continue", "relaystate"]
        .iter()
        .any(|word| name.starts_with(word))
}

/// Writes the text without what hides words from a search and says nothing to whoever runs them: comments of SQL, quotes and
/// backslashes inside a word of a shell. False when there was none.
fn without_disguise(text: &str, bare: &mut String) -> bool {
    let has_comment = text.contains("/*");
    let is_shell = |b: &u8| matches!(b, b'\'' | b'"' | b'\\' | b'^');
    let bytes = text.as_bytes();
    let is_quoted = |at: usize| {
        let is_letter = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphabetic);
        is_shell(&bytes[at]) && at > 0 && is_letter(bytes.get(at - 1)) && is_letter(bytes.get(at + 1))
    };
    let marks = (0..bytes.len()).filter(|&at| is_quoted(at)).count();
    // One is an apostrophe.
    if !has_comment && marks < 2 {
        return false;
    }
    bare.clear();
    let mut rest = 0;
    for (at, c) in text.char_indices() {
        if at < rest {
            continue;
        }
        if has_comment && text[at..].starts_with("/*") && !text[at..].starts_with("/*!") {
            rest = text[at + 2..].find("*/").map_or(text.len(), |end| at + 2 + end + 2);
            continue;
        }
        if marks < 2 || !is_quoted(at) {
            bare.push(c);
        }
    }
    true
}

/// More aliases, operations or nested fields than one query of GraphQL has use for.
fn is_flood(value: &str) -> bool {
    if value.len() < PROBE_ALIASES_MAX || !value.contains('{') {
        return false;
    }
    let (mut depth, mut deepest, mut aliases) = (0usize, 0, 0);
    let bytes = value.as_bytes();
    for (at, b) in bytes.iter().enumerate() {
        match b {
            b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' => depth = depth.saturating_sub(1),
            // `a1: user(id: 1) {`: a name, a colon, a name, and what it is asked for.
            b':' => {
                let behind = value[at + 1..].trim_start();
                let name = behind.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
                let is_named = name > 0 && behind.as_bytes()[0].is_ascii_alphabetic();
                let is_asked = matches!(behind[name..].trim_start().as_bytes().first(), Some(b'(' | b'{'));
                aliases += usize::from(is_named && is_asked);
            }
            _ => {}
        }
    }
    let operations = value.matches("\"query\"").count();
    let is_query = value.contains("query") || value.trim_start().starts_with('{') || value.contains("mutation");
    is_query && (aliases >= PROBE_ALIASES_MAX || operations >= PROBE_ALIASES_MAX)
        || (value.trim_start().starts_with("query") && deepest >= PROBE_NESTED_MAX)
}

/// Letters of base64 from which on something may be encoded in it.
const BASE64_MIN: usize = 14;

/// The parts of a text that may be base64: the value of a parameter, the segments of a path.
fn base64_parts(text: &str, place: Place) -> impl Iterator<Item = &str> {
    let value = if place == Place::Query { text.find('=').map_or(text, |at| &text[at + 1..]) } else { text };
    let separator = if place == Place::Query { '\0' } else { '/' };
    value
        .split(separator)
        .map(|part| part.trim_end_matches('='))
        .filter(|part| part.len() >= BASE64_MIN && begins_printable(part.as_bytes()))
}

/// Does base64 decode to text here? Of what is no text the first letters tell it.
fn begins_printable(part: &[u8]) -> bool {
    let Some(begin) = part.get(..12) else { return false };
    // The first letter of each four holds the upper bits of a byte: those of ASCII signs, or of a line break.
    if ![begin[0], begin[4], begin[8]].iter().all(|b| matches!(b, b'C' | b'D' | b'I'..=b'Z' | b'a'..=b'f')) {
        return false;
    }
    let mut bytes = [0u8; 9];
    let decoded = BASE64_NOPAD.decode_mut(begin, &mut bytes).or_else(|_| BASE64URL_NOPAD.decode_mut(begin, &mut bytes));
    decoded.is_ok() && bytes.iter().all(|b| matches!(b, b' '..=b'~' | b'\n' | b'\r' | b'\t'))
}

fn decoded(part: &str) -> Option<String> {
    let bytes = BASE64_NOPAD.decode(part.as_bytes()).or_else(|_| BASE64URL_NOPAD.decode(part.as_bytes())).ok()?;
    String::from_utf8(bytes).ok()
}

/// Keys of one path that are looked at.
const KEYS_MAX: usize = 8;

/// Takes the quotes off the keys of OData: `/customers('alfki')/orders`. A key is one word, and ends its segment.
fn without_keys(text: &mut String) {
    let mut from = 0;
    for _ in 0..KEYS_MAX {
        let Some(open) = text[from..].find("('").map(|at| from + at) else { return };
        from = open + 2;
        let key =
            text[from..].bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')).count();
        let behind = &text[from + key..];
        let is_named = text[..open].ends_with(|c: char| c.is_ascii_alphanumeric());
        let ends = behind.strip_prefix("')").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if key > 0 && is_named && ends {
            text.replace_range(from + key..from + key + 1, "");
            text.replace_range(open + 1..open + 2, "");
        }
    }
}

/// Is there something to be searched for in a text without special characters?
fn is_told(bytes: &[u8], flags: u8, place: Place) -> bool {
    match place {
        Place::Path => {
            known::may_begin(bytes) || is_told_file(bytes) || bytes.split(|&b| b == b'/').any(begins_printable)
        }
        Place::Query => flags & WORD != 0 && WORDS.is_match(bytes) || bytes.split(|&b| b == b'&').any(is_encoded),
        Place::Header => flags & FILE != 0 && WORDS.is_match(bytes),
    }
}

/// May the value of this parameter be base64 of a text?
fn is_encoded(parameter: &[u8]) -> bool {
    let from = memchr::memchr(b'=', parameter).map_or(0, |at| at + 1);
    let value = &parameter[from..];
    // What is no text when it is decoded: serialised objects of Java and .NET.
    let is_object = [&b"rO0AB"[..], b"AAEAAAD", b"aced0005"].iter().any(|begin| value.starts_with(begin));
    is_object || begins_printable(value)
}

/// Files that only an attack asks for; they need no special character.
static FILES: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let files = ["/etc/", "/proc/", ".ini", "/.ssh", "-INF/", "-inf/", "/./", "/bin/"];
    AhoCorasick::new(files).expect("the files are a fixed list")
});

/// Is there a `..`, or a file that only an attack asks for?
fn is_told_file(bytes: &[u8]) -> bool {
    let mut marks = memchr::memchr2_iter(b'/', b'.', bytes);
    let is_begun = marks.any(|at| {
        matches!(
            &bytes[at..],
            [b'.', b'.', ..]
                | [b'.', b'i', b'n', ..]
                | [b'/', b'e', b't', ..]
                | [b'/', b'p', b'r', b'o', b'c', ..]
                | [b'/', b'.', b's' | b'/', ..]
                | [b'/', b'b', b'i', b'n', ..]
                | [b'/', b'W' | b'w', b'E' | b'e', b'B' | b'b', ..]
        )
    });
    is_begun && (memchr::memmem::find(bytes, b"..").is_some() || FILES.is_match(bytes))
}

fn is_suspect(parameter: &[u8]) -> bool {
    let flags = parameter.iter().fold(0, |flags, &b| flags | BYTES[usize::from(b)]);
    flags & (NEEDED | ESCAPED) != 0 || WORDS.is_match(parameter) || is_encoded(parameter)
}

fn is_needed(bytes: &[u8]) -> bool {
    bytes.iter().any(|&b| BYTES[usize::from(b)] & NEEDED != 0)
}
