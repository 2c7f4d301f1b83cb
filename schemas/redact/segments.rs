//! Segments of a path that are secrets because of the word before them: `/reset-password/<token>`, `/sessions/<id>/refresh`,
//! `/bot<id>:<secret>/`, `/services/T../B../<secret>`.
//!
//! Promises: linear time; an ordinary word or a number behind a telling word stays: `/sessions/42`, `/verify/email`.
//! Never: looks further than the next two segments.

use super::classes::Class;
use super::find::Finding;
use super::rules::{self, Kind};
use super::values::is_random;

/// Words of a segment after which a drawn segment is a secret.
#[rustfmt::skip]
pub(crate) static TELLING: &[(&str, Class)] = &[
    ("reset", Class::TOKEN), ("verify", Class::TOKEN), ("verification", Class::TOKEN), ("verifications", Class::TOKEN), ("invite", Class::TOKEN), ("invites", Class::TOKEN),
    ("invitation", Class::TOKEN), ("invitations", Class::TOKEN), ("confirm", Class::TOKEN), ("confirmation", Class::TOKEN), ("confirmations", Class::TOKEN), ("activate", Class::TOKEN),
    ("activation", Class::TOKEN), ("session", Class::SESSION), ("sessions", Class::SESSION), ("token", Class::TOKEN), ("tokens", Class::TOKEN), ("webhook", Class::TOKEN), ("webhooks", Class::TOKEN),
    ("hook", Class::TOKEN), ("hooks", Class::TOKEN), ("magic", Class::TOKEN), ("unsubscribe", Class::TOKEN), ("subscribe", Class::TOKEN), ("share", Class::TOKEN), ("shared", Class::TOKEN), ("shares", Class::TOKEN), ("s", Class::TOKEN), ("download", Class::TOKEN),
    ("downloads", Class::TOKEN), ("password", Class::PASSWORD), ("passwords", Class::PASSWORD), ("oauth", Class::CODE), ("oauth2", Class::CODE), ("callback", Class::CODE), ("login", Class::TOKEN), ("signin", Class::TOKEN), ("signup", Class::TOKEN), ("logout", Class::TOKEN), ("auth", Class::TOKEN),
    ("sso", Class::TOKEN), ("otp", Class::CODE), ("code", Class::CODE), ("codes", Class::CODE), ("key", Class::API_KEY), ("keys", Class::API_KEY), ("apikey", Class::API_KEY), ("apikeys", Class::API_KEY), ("secret", Class::SECRET), ("secrets", Class::SECRET),
    ("register", Class::TOKEN), ("recover", Class::TOKEN), ("recovery", Class::TOKEN), ("unlock", Class::TOKEN), ("approve", Class::TOKEN), ("accept", Class::TOKEN), ("join", Class::TOKEN), ("access", Class::TOKEN), ("link", Class::TOKEN), ("links", Class::TOKEN), ("ticket", Class::TOKEN), ("tickets", Class::TOKEN), ("grant", Class::TOKEN),
    ("credential", Class::SECRET), ("credentials", Class::SECRET), ("jwt", Class::TOKEN), ("bearer", Class::TOKEN), ("optout", Class::TOKEN), ("refresh", Class::TOKEN), ("revoke", Class::TOKEN), ("validate", Class::TOKEN), ("check", Class::TOKEN), ("signed", Class::SIGNATURE), ("sig", Class::SIGNATURE), ("signature", Class::SIGNATURE), ("forgot", Class::TOKEN), ("change", Class::TOKEN), ("deactivate", Class::TOKEN), ("redeem", Class::CODE), ("claim", Class::CODE), ("voucher", Class::CODE), ("gift", Class::CODE), ("setup", Class::TOKEN), ("onboarding", Class::TOKEN), ("enroll", Class::TOKEN), ("pair", Class::TOKEN), ("device", Class::TOKEN), ("calendar", Class::TOKEN), ("feed", Class::TOKEN), ("ical", Class::TOKEN), ("preview", Class::TOKEN), ("guest", Class::TOKEN), ("impersonate", Class::TOKEN), ("integration", Class::TOKEN), ("integrations", Class::TOKEN), ("incoming", Class::TOKEN), ("trigger", Class::TOKEN), ("notify", Class::TOKEN), ("auth0", Class::TOKEN), ("saml", Class::TOKEN), ("sid", Class::SESSION), ("bot", Class::TOKEN), ("resetpassword", Class::TOKEN),
];

/// After these a UUID or a hash is an ordinary name of a thing.
static OFTEN_IDS: [&str; 26] = [
    "s",
    "share",
    "shared",
    "shares",
    "download",
    "downloads",
    "key",
    "keys",
    "ticket",
    "tickets",
    "login",
    "device",
    "auth",
    "calendar",
    "feed",
    "preview",
    "link",
    "links",
    "check",
    "integration",
    "integrations",
    "change",
    "access",
    "join",
    "trigger",
    "callback",
];

pub(crate) fn segments(text: &str, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let mut start = 0;
    let mut class = None;
    let mut left = 0;
    while start < bytes.len() {
        let end = bytes[start..].iter().position(|&b| is_edge(b)).map_or(bytes.len(), |i| start + i);
        let segment = &bytes[start..end];
        if let Some((from, class)) = bot(segment) {
            findings.push(Finding { start: start + from, end, class, whole: true });
        } else if let Some((class, ids)) = class.filter(|_| is_random(segment) && rules::has(rules::SEGMENT))
            && !(ids && is_id(segment))
        {
            findings.push(Finding { start, end, class, whole: true });
        }
        match telling(segment) {
            Some(told) => (class, left) = (Some(told), 2),
            None if left > 1 => left -= 1,
            None => class = None,
        }
        // What follows a `?` or a blank is another text.
        if end < bytes.len() && bytes[end] != b'/' {
            class = None;
        }
        start = end + 1;
    }
}

/// `/hooks/catch/<account>/<secret>`: secrets so short that they look like words.
pub(crate) fn hooks(text: &str, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(at) = memchr::memmem::find(&bytes[from..], b"/hooks/").map(|i| from + i) {
        from = at + 7;
        let mut segments = bytes[from..].split(|&b| is_edge(b));
        let (Some(verb), Some(account), Some(secret)) = (segments.next(), segments.next(), segments.next()) else {
            return;
        };
        let is_hook = matches!(verb, b"catch" | b"standard") && account.iter().all(u8::is_ascii_digit);
        let start = from + verb.len() + account.len() + 2;
        if is_hook && secret.len() >= 4 && bytes[start - 1] == b'/' && rules::has(rules::SEGMENT) {
            findings.push(Finding { start, end: start + secret.len(), class: Class::TOKEN, whole: true });
        }
    }
}

fn is_edge(b: u8) -> bool {
    matches!(
        b,
        b'/' | b'?'
            | b'#'
            | b'&'
            | b' '
            | b'\t'
            | b'"'
            | b'\''
            | b'<'
            | b'>'
            | b';'
            | b','
            | b')'
            | b'('
            | b'\r'
            | b'\n'
            | b'='
    )
}

/// Is there a telling word at all?
pub(crate) fn any_telling(text: &str) -> bool {
    text.as_bytes().split(|&b| b == b'/').any(|segment| telling(segment).is_some())
}

/// The class that a segment with a telling word promises for the next, and whether ids are usual there.
fn telling(segment: &[u8]) -> Option<(Class, bool)> {
    if segment.len() > 48 || segment.is_empty() {
        return None;
    }
    let mut lower = [0u8; 48];
    let lower = &mut lower[..segment.len()];
    lower.copy_from_slice(segment);
    lower.make_ascii_lowercase();
    let mut words = lower.split(|&b| matches!(b, b'-' | b'_' | b'.' | b':'));
    words.find_map(|word| {
        let place = place_of(word)?;
        rules::on(Kind::Telling, place).then(|| (TELLING[place].1, OFTEN_IDS.contains(&TELLING[place].0)))
    })
}

fn place_of(word: &[u8]) -> Option<usize> {
    use std::sync::LazyLock;
    static PLACES: LazyLock<rustc_hash::FxHashMap<&'static [u8], usize>> =
        LazyLock::new(|| TELLING.iter().enumerate().map(|(place, (word, _))| (word.as_bytes(), place)).collect());
    PLACES.get(word).copied()
}

/// A UUID, a hexadecimal number, or one of these with a short ending.
fn is_id(segment: &[u8]) -> bool {
    segment.iter().all(|&b| b.is_ascii_hexdigit() || b == b'-')
}

/// `bot<id>:<secret>` and `<id>:<secret>` of a messenger's bots.
fn bot(segment: &[u8]) -> Option<(usize, Class)> {
    let rest = segment.strip_prefix(b"bot").or_else(|| segment.strip_prefix(b"BOT")).unwrap_or(segment);
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let secret = rest.get(digits + 1..).filter(|_| (6..=14).contains(&digits) && rest[digits] == b':')?;
    let is_key = secret.len() >= 20 && secret.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    (is_key && rules::has(rules::BOT)).then_some((segment.len() - rest.len(), Class::TOKEN))
}
