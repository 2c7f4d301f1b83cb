//! A finding, and the finders of what an `@` gives away: e-mail addresses, the userinfo of URLs and of data source names;
//! and of card numbers.
//!
//! Promises: linear time; every finding is a range on character boundaries.
//! Never: decodes (see `search.rs`), replaces, or keeps anything.

use super::classes::Class;
use super::values::is_plain;
use super::{rules, spelled};

/// A secret found: the bytes `start..end` are of `class`. `whole` asks for a plain replacement, without a mask, as for
/// a value that holds the secret only in encoded form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) class: Class,
    pub(crate) whole: bool,
}

impl Finding {
    pub(crate) fn new(start: usize, end: usize, class: Class) -> Finding {
        Finding { start, end, class, whole: false }
    }
}

/// The smallest character boundary of `text` that is at least `at`.
pub(crate) fn ceil(text: &str, at: usize) -> usize {
    (at..text.len()).find(|&i| text.is_char_boundary(i)).unwrap_or(text.len())
}

/// The largest character boundary of `text` that is at most `at`.
pub(crate) fn floor(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// E-mail addresses, and `user:password@` of URLs.
pub(crate) fn addresses(text: &str, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let stop = |b: &u8| matches!(b, b'/' | b'?' | b'#' | b' ' | b'"' | b'\'' | b'<' | b'>');
    // Behind the last stop so far, and how far was looked: each byte is looked at once, however many `@` there are.
    let (mut start, mut seen) = (None, 0);
    for at in memchr::memchr_iter(b'@', bytes) {
        start = bytes[seen..at].iter().rposition(stop).map(|i| seen + i + 1).or(start);
        seen = at;
        let url = start.and_then(|start| userinfo(bytes, start, at));
        if let Some(finding) = url.or_else(|| data_source(bytes, at)).or_else(|| email(bytes, at)) {
            findings.push(finding);
            findings.extend(password_of(bytes, &finding));
        }
    }
    if rules::has(rules::SPELLED) {
        spelled::addresses(bytes, findings);
    }
}

/// What stands behind an e-mail address in a list of accounts: `ann@mail.example:Pa55word`, with `;` or `|` as well.
fn password_of(bytes: &[u8], address: &Finding) -> Option<Finding> {
    let rest = bytes.get(address.end..)?.strip_prefix(b":").or_else(|| bytes[address.end..].strip_prefix(b"|"));
    let rest = rest.or_else(|| bytes[address.end..].strip_prefix(b";")).filter(|_| address.class == Class::EMAIL)?;
    let stop =
        |b: &u8| b.is_ascii_whitespace() || matches!(b, b',' | b';' | b'|' | b'&' | b'"' | b'\'' | b'<' | b'>' | b'\\');
    // No further than that, however many addresses stand in one run.
    let rest = &rest[..rest.len().min(WIDTH)];
    let length = rest.iter().position(stop).unwrap_or(rest.len());
    let secret = rest[..length].split(|b| *b == b'/').next().unwrap_or_default();
    let has = |test: fn(&u8) -> bool| secret.iter().any(test);
    // Behind a host there may be a port, or the owner of a repository: `git@host.example:team2/repo.git`.
    let is_path = secret.len() < length && bytes[address.start..].starts_with(b"git@");
    let is_secret =
        secret.len() >= 6 && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) && !has(|b| *b == b'=');
    let start = address.end + 1;
    (is_secret && !is_path && !is_plain(secret)).then(|| Finding::new(start, start + secret.len(), Class::PASSWORD))
}

/// `user:password` between `//` and the `@` at `at`. A password may hold a `/`: then what stands before it is no port.
fn userinfo(bytes: &[u8], start: usize, at: usize) -> Option<Finding> {
    if !rules::has(rules::USERINFO) || is_marked(bytes, at) {
        return None;
    }
    if start >= 2 && &bytes[start - 2..start] == b"//" {
        return (start < at).then(|| Finding::new(start, at, Class::USERINFO));
    }
    let lowest = at.saturating_sub(WIDTH);
    let begin = lowest + memchr::memmem::rfind(&bytes[lowest..at], b"://")? + 3;
    let inner = &bytes[begin..at];
    let authority = &inner[..memchr::memchr(b'/', inner)?];
    let port = &authority[memchr::memchr(b':', authority)? + 1..];
    let is_port = port.iter().all(u8::is_ascii_digit);
    let is_other = inner.iter().any(|b| matches!(b, b' ' | b'"' | b'\'' | b'<' | b'>' | b'&' | b'?' | b'='));
    (!is_port && !is_other).then(|| Finding::new(begin, at, Class::USERINFO))
}

/// Does a mark of ours end at `at`?
fn is_marked(bytes: &[u8], at: usize) -> bool {
    let lowest = at.saturating_sub(WIDTH);
    bytes[..at].ends_with(b"]") && memchr::memmem::rfind(&bytes[lowest..at], b"[REDACTED:").is_some()
}

/// How far around an `@` is looked for a user and a host.
const WIDTH: usize = 256;

/// `user:password` before the `@` of a data source name: `app:x@tcp(db:3306)/shop`, `app:x@db.example:5432`.
fn data_source(bytes: &[u8], at: usize) -> Option<Finding> {
    let lowest = at.saturating_sub(WIDTH);
    let stop = |b: &u8| {
        matches!(
            b,
            b' ' | b'"'
                | b'\''
                | b'<'
                | b'>'
                | b'='
                | b'&'
                | b'/'
                | b'?'
                | b','
                | b';'
                | b'('
                | b'{'
                | b'['
                | b'@'
                | b'\n'
                | b'\r'
                | b'\t'
        )
    };
    let start = bytes[lowest..at].iter().rposition(stop).map_or(lowest, |i| lowest + i + 1);
    let colon = start + memchr::memchr(b':', &bytes[start..at])?;
    let (user, secret) = (&bytes[start..colon], &bytes[colon + 1..at]);
    if is_marked(bytes, at) {
        return None;
    }
    let is_uri = ADDRESS_SCHEMES.iter().any(|scheme| user.eq_ignore_ascii_case(scheme));
    let host = &bytes[at + 1..];
    let length =
        host.iter().take(WIDTH).take_while(|&&b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')).count();
    let is_host =
        length > 0 && host[0].is_ascii_alphabetic() | host[0].is_ascii_digit() && !host.starts_with(b"sha256:");
    // Numbers with fewer than three dots are a version.
    let dots = host[..length].iter().filter(|&&b| b == b'.').count();
    let is_host = is_host && (dots == 3 || !host[..length].iter().all(|b| b.is_ascii_digit() || *b == b'.'));
    // `bob:Pa55word@db`: a host of one word proves less.
    let is_word = is_host && !bytes[..start].ends_with(b"//") && is_passphrase(secret);
    let is_address = host.starts_with(b"[")
        || is_word
        || (is_host && (host[..length].contains(&b'.') || matches!(host.get(length), Some(b'(' | b':' | b'/'))));
    let found = secret.len() >= 3 && !is_uri && is_address && !user.is_empty() && rules::has(rules::DSN);
    // A port or a version is no password: `example.com:8080@`, nor is the tag of an image: `repo:tag1234@registry/path`.
    let is_tag = !host[..length].contains(&b'.') && host.get(length) == Some(&b'/') && is_tag(secret);
    (found && !is_tag && !secret.iter().all(|&b| b.is_ascii_digit() || b == b'.'))
        .then(|| Finding::new(start, at, Class::USERINFO))
}

/// As tags are named, and hardly a password: `tag1234`, `v2beta1`, `rc3`, `latest`.
fn is_tag(text: &[u8]) -> bool {
    let is_plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
    let numbered = [b"tag".as_slice(), b"v", b"rc"].into_iter().filter_map(|name| text.strip_prefix(name));
    let is_numbered = numbered
        .map(|rest| rest.strip_prefix(b"-").unwrap_or(rest))
        .any(|rest| rest.first().is_some_and(u8::is_ascii_digit));
    text.len() <= 24 && text.iter().all(is_plain) && (is_numbered || matches!(text, b"latest" | b"stable" | b"nightly"))
}

/// As people choose passwords, and nobody a tag or a version.
fn is_passphrase(secret: &[u8]) -> bool {
    let has = |test: fn(&u8) -> bool| secret.iter().any(test);
    secret.len() >= 6
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
        && !secret.iter().any(|b| matches!(b, b'.' | b':'))
        && !is_plain(secret)
}

/// Schemes of URIs that hold an address and no password.
static ADDRESS_SCHEMES: [&[u8]; 9] = [b"mailto", b"acct", b"xmpp", b"sip", b"sips", b"im", b"email", b"mail", b"skype"];

fn email(bytes: &[u8], at: usize) -> Option<Finding> {
    let local =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'') || *b >= 0x80;
    let domain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-') || *b >= 0x80;
    let start =
        quoted_local(bytes, at).unwrap_or_else(|| bytes[..at].iter().rposition(|b| !local(b)).map_or(0, |i| i + 1));
    if let Some(end) = literal_end(bytes, at + 1).filter(|_| start < at && rules::has(rules::EMAIL)) {
        return Some(Finding::new(start, end, Class::EMAIL));
    }
    let mut end = bytes[at + 1..].iter().position(|b| !domain(b)).map_or(bytes.len(), |i| at + 1 + i);
    while end > at + 1 && matches!(bytes[end - 1], b'.' | b'-') {
        end -= 1;
    }
    let mut host = &bytes[at + 1..end];
    let mut dot = host.iter().rposition(|&b| b == b'.').unwrap_or(0);
    // `/users/bob@mail.example.com.json`
    if let Some(inner) = host[..dot].iter().rposition(|&b| b == b'.').filter(|_| is_file(&host[dot + 1..]))
        && is_top(&host[inner + 1..dot])
        && host[..inner]
            .rsplit(|&b| b == b'.')
            .next()
            .is_some_and(|label| label.first().is_some_and(u8::is_ascii_alphabetic))
    {
        (end, host, dot) = (at + 1 + dot, &host[..dot], inner);
    }
    let top = &host[dot..];
    let top = top.strip_prefix(b".").unwrap_or(top);
    if rules::has(rules::EMAIL) && start < at && is_own_host(host, top) && is_told(bytes, start) {
        return Some(Finding::new(start, end, Class::EMAIL));
    }
    let is_email = rules::has(rules::EMAIL)
        && !is_file(top)
        && start < at
        && dot > 0
        && top.len() >= 2
        && !top.iter().all(u8::is_ascii_digit);
    is_email.then(|| Finding::new(start, end, Class::EMAIL))
}

/// A host without a domain of its own: `localhost`, `192.0.2.7`.
fn is_own_host(host: &[u8], top: &[u8]) -> bool {
    host.len() >= 2 && (host.len() == top.len() || top.iter().all(u8::is_ascii_digit))
}

/// Does a key say that an address follows: `email=`, `"mail": "`?
fn is_told(bytes: &[u8], start: usize) -> bool {
    let between =
        bytes[..start].iter().rev().take(4).take_while(|b| matches!(b, b'=' | b':' | b'"' | b' ' | b'\'')).count();
    let before = &bytes[..start - between];
    let before = before.strip_suffix(b"s").unwrap_or(before);
    between > 0 && before.len() >= 4 && before[before.len() - 4..].eq_ignore_ascii_case(b"mail")
}

/// Where a local part in quotes begins that ends at `at`: `"ann vee"@mail.example`.
fn quoted_local(bytes: &[u8], at: usize) -> Option<usize> {
    let close = at.checked_sub(1).filter(|&close| bytes[close] == b'"')?;
    let inner = bytes[..close].strip_suffix(b"\\").unwrap_or(&bytes[..close]);
    let lowest = inner.len().saturating_sub(LOCAL_MAX);
    let open = lowest + inner[lowest..].iter().rposition(|b| matches!(b, b'"' | b'\r' | b'\n'))?;
    (inner[open] == b'"' && open + 1 < inner.len()).then_some(open)
}

/// Bytes of a local part in quotes.
const LOCAL_MAX: usize = 64;

/// The end of an address in brackets in place of a domain: `@[192.0.2.17]`, `@[IPv6:2001:db8::1]`.
fn literal_end(bytes: &[u8], from: usize) -> Option<usize> {
    let inner = bytes.get(from..)?.strip_prefix(b"[")?;
    let inner = inner.get(..5).filter(|p| p.eq_ignore_ascii_case(b"ipv6:")).map_or(inner, |_| &inner[5..]);
    let length = inner.iter().take(46).take_while(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b':')).count();
    let skipped = bytes.len() - from - inner.len();
    let marks = inner[..length].iter().filter(|b| matches!(b, b'.' | b':')).count();
    (inner.get(length) == Some(&b']') && marks >= 2).then_some(from + skipped + length + 1)
}

/// A domain that ends in front of the type of a file: of a country, or one of the usual others.
fn is_top(top: &[u8]) -> bool {
    const TOPS: [&[u8]; 20] = [
        b"com", b"org", b"net", b"edu", b"gov", b"mil", b"int", b"info", b"biz", b"name", b"pro", b"app", b"dev",
        b"cloud", b"online", b"shop", b"xyz", b"email", b"mail", b"example",
    ];
    (top.len() == 2 && top.iter().all(u8::is_ascii_alphabetic) && !is_file(top) && !is_suffix(top))
        || TOPS.iter().any(|t| top.eq_ignore_ascii_case(t))
}

/// Two letters that are a country's, and more often a language's or a kind of source.
fn is_suffix(top: &[u8]) -> bool {
    [b"en", b"es", b"ts", b"md", b"rs", b"py", b"sh", b"js"].iter().any(|t| top.eq_ignore_ascii_case(*t))
}

/// What stands behind the last dot is the type of a file (`logo@2x.png`), no domain.
fn is_file(top: &[u8]) -> bool {
    const TYPES: [&[u8]; 24] = [
        b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"ico", b"css", b"js", b"mjs", b"json", b"map", b"html",
        b"htm", b"php", b"pdf", b"xml", b"avif", b"woff", b"woff2", b"ttf", b"mp4", b"tgz", b"bmp",
    ];
    TYPES.iter().any(|t| top.eq_ignore_ascii_case(t))
}
