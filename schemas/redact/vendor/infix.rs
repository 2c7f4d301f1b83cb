//! Keys that are told by what stands in their middle or at their end: `...Q~...`, `....atlasv1....`, `123456:AA...`,
//! `...-us12`, the webhook paths of chat services, and an AWS secret beside its id.
//!
//! Promises: linear time.
//! Never: takes a mark alone for a key: what is around it must be of the right form.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::super::classes::Class;
use super::super::find::Finding;
use super::looks_random;

/// How a mark's surroundings are read.
#[derive(Clone, Copy)]
enum Around {
    /// Key characters on both sides, so many at least, random together.
    Key(usize, usize),
    /// The same with the characters of base64.
    Base64(usize, usize),
    /// Eight to ten digits before, 30 or more key characters after.
    Telegram,
    /// 32 hexadecimal digits before, one or two digits after.
    Mailchimp,
    /// `T.../B.../secret` after.
    Slack,
    /// `digits/secret` after.
    Hook,
    /// The rest of the path segment after.
    Segment,
    /// 20 or more key characters after, in parts between `$`.
    Dollars,
    /// A password as a program stores it: 20 or more characters of salt and hash after.
    Crypt,
}

static MARKS: &[(&str, Around, Class)] = &[
    ("Q~", Around::Key(4, 28), Class::VENDOR_KEY),
    (".atlasv1.", Around::Key(8, 40), Class::VENDOR_KEY),
    ("T3BlbkFJ", Around::Key(20, 20), Class::VENDOR_KEY),
    ("JQQJ99", Around::Base64(30, 20), Class::VENDOR_KEY),
    ("NRAL", Around::Key(32, 0), Class::VENDOR_KEY),
    ("!AR", Around::Key(15, 40), Class::VENDOR_KEY),
    ("!AQ", Around::Key(15, 40), Class::VENDOR_KEY),
    ("IQoJb3JpZ2lu", Around::Base64(0, 40), Class::AWS_KEY),
    ("FwoGZXIvYXdz", Around::Base64(0, 40), Class::AWS_KEY),
    ("FQoGZXIvYXdz", Around::Base64(0, 40), Class::AWS_KEY),
    ("AQE", Around::Base64(0, 60), Class::VENDOR_KEY),
    ("1//0", Around::Key(0, 40), Class::GCP_KEY),
    ("4/0A", Around::Key(0, 40), Class::GCP_KEY),
    ("access_token$", Around::Dollars, Class::VENDOR_KEY),
    ("configcat-sdk-", Around::Crypt, Class::VENDOR_KEY),
    ("AzFu", Around::Base64(36, 6), Class::VENDOR_KEY),
    ("AzSe", Around::Base64(36, 6), Class::VENDOR_KEY),
    ("AzCa", Around::Base64(36, 6), Class::VENDOR_KEY),
    ("ACDb", Around::Base64(70, 8), Class::VENDOR_KEY),
    ("+ASt", Around::Base64(70, 6), Class::VENDOR_KEY),
    ("+ASb", Around::Base64(32, 6), Class::VENDOR_KEY),
    ("+AEh", Around::Base64(32, 6), Class::VENDOR_KEY),
    ("+ARm", Around::Base64(32, 6), Class::VENDOR_KEY),
    ("+ACR", Around::Base64(36, 8), Class::VENDOR_KEY),
    ("AIoT", Around::Base64(32, 6), Class::VENDOR_KEY),
    ("APIM", Around::Base64(70, 6), Class::VENDOR_KEY),
    ("AZDO", Around::Key(60, 4), Class::VENDOR_KEY),
    (".apps.googleusercontent.com:", Around::Key(12, 12), Class::GCP_KEY),
    (":AA", Around::Telegram, Class::VENDOR_KEY),
    ("-us", Around::Mailchimp, Class::VENDOR_KEY),
    ("/services/T", Around::Slack, Class::SLACK_TOKEN),
    ("/workflows/T", Around::Slack, Class::SLACK_TOKEN),
    ("/triggers/T", Around::Slack, Class::SLACK_TOKEN),
    ("/api/webhooks/", Around::Hook, Class::VENDOR_KEY),
    ("/hooks/catch/", Around::Hook, Class::VENDOR_KEY),
    ("/webhookb2/", Around::Segment, Class::VENDOR_KEY),
    ("/IncomingWebhook/", Around::Segment, Class::VENDOR_KEY),
    ("/with/key/", Around::Segment, Class::VENDOR_KEY),
    ("$2a$", Around::Crypt, Class::PASSWORD),
    ("$2b$", Around::Crypt, Class::PASSWORD),
    ("$2x$", Around::Crypt, Class::PASSWORD),
    ("$2y$", Around::Crypt, Class::PASSWORD),
    ("$argon2id$", Around::Crypt, Class::PASSWORD),
    ("$argon2i$", Around::Crypt, Class::PASSWORD),
    ("$argon2d$", Around::Crypt, Class::PASSWORD),
    ("$6$", Around::Crypt, Class::PASSWORD),
    ("$5$", Around::Crypt, Class::PASSWORD),
    ("$y$", Around::Crypt, Class::PASSWORD),
    ("$7$", Around::Crypt, Class::PASSWORD),
    ("$8$", Around::Crypt, Class::PASSWORD),
    ("$9$", Around::Crypt, Class::PASSWORD),
    ("$scrypt$", Around::Crypt, Class::PASSWORD),
    ("$apr1$", Around::Crypt, Class::PASSWORD),
    ("pbkdf2_sha256$", Around::Crypt, Class::PASSWORD),
    ("pbkdf2_sha1$", Around::Crypt, Class::PASSWORD),
    ("pbkdf2:sha256:", Around::Crypt, Class::PASSWORD),
    ("scrypt:", Around::Crypt, Class::PASSWORD),
    ("bcrypt_sha256$", Around::Crypt, Class::PASSWORD),
    ("$krb5asrep$", Around::Crypt, Class::PASSWORD),
    ("$krb5tgs$", Around::Crypt, Class::PASSWORD),
    ("$pbkdf2-sha256$", Around::Crypt, Class::PASSWORD),
    ("$pbkdf2-sha512$", Around::Crypt, Class::PASSWORD),
    ("{SSHA}", Around::Crypt, Class::PASSWORD),
    ("{SSHA256}", Around::Crypt, Class::PASSWORD),
    ("{SSHA512}", Around::Crypt, Class::PASSWORD),
    ("$S$", Around::Crypt, Class::PASSWORD),
    ("$P$", Around::Crypt, Class::PASSWORD),
    ("$H$", Around::Crypt, Class::PASSWORD),
];

/// Most characters of a key on either side of its mark.
const SIDE_MAX: usize = 128;

/// Of bcrypt, behind `$2b$`: the cost, `$`, salt and digest.
const BCRYPT_BYTES: usize = 3 + 22 + 31;

/// Marks of one automaton: more would leave its vector path, which is five times as fast.
const AUTOMATON_MARKS: usize = 40;

static AUTOMATA: LazyLock<Vec<AhoCorasick>> = LazyLock::new(|| {
    let automaton = |marks: &[(&str, Around, Class)]| {
        AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(marks.iter().map(|(mark, ..)| mark))
            .expect("the marks are a short fixed list")
    };
    MARKS.chunks(AUTOMATON_MARKS).map(automaton).collect()
});

/// Does a hash of a password begin so?
pub(super) fn is_crypt(prefix: &str) -> bool {
    let crypt = MARKS.iter().filter(|(_, around, _)| matches!(around, Around::Crypt));
    crypt.map(|(mark, ..)| mark).any(|mark| prefix.starts_with(mark) || mark.starts_with(prefix))
}

pub(super) fn find(bytes: &[u8], findings: &mut Vec<Finding>) {
    for (automaton, marks) in AUTOMATA.iter().zip(MARKS.chunks(AUTOMATON_MARKS)) {
        let mut from = 0;
        while let Some(hit) = automaton.find(&bytes[from..]) {
            let (start, after) = (from + hit.start(), from + hit.end());
            let (_, around, class) = marks[hit.pattern().as_usize()];
            from = start + 1;
            if let Some((start, end)) = key_around(bytes, start, after, around) {
                // A dot at its end ends the sentence, not the key.
                let dots = bytes[start..end].iter().rev().take_while(|&&b| b == b'.').count();
                let end = end - dots;
                findings.push(Finding { start, end, class, whole: false });
                from = end.max(from);
            }
        }
    }
    dotted(bytes, findings);
}

fn key_around(bytes: &[u8], start: usize, after: usize, around: Around) -> Option<(usize, usize)> {
    match around {
        Around::Key(before, behind) => {
            sides(bytes, start, after, (before, behind), |b| is_part(b) || matches!(b, b'.' | b'~'))
        }
        Around::Base64(before, behind) => {
            let base64 = |b: u8| is_part(b) || matches!(b, b'+' | b'/');
            let (start, end) = sides(bytes, start, after, (before, behind), base64)?;
            Some((start, end + bytes[end..].iter().take(2).take_while(|&&b| b == b'=').count()))
        }
        Around::Telegram => {
            let digits = left(bytes, start, |b| b.is_ascii_digit());
            let end = right(bytes, after, is_part);
            ((8..=11).contains(&digits) && end - after >= 30 && looks_random(&bytes[after..end], 8))
                .then_some((start - digits, end))
        }
        Around::Mailchimp => {
            let end = right(bytes, after, |b| b.is_ascii_digit());
            let is_free = bytes.get(end).is_none_or(|b| !b.is_ascii_alphanumeric());
            (left(bytes, start, |b| b.is_ascii_hexdigit()) == 32 && (1..=2).contains(&(end - after)) && is_free)
                .then(|| (start - 32, end))
        }
        Around::Slack => {
            let team = right(bytes, after, |b| b.is_ascii_alphanumeric());
            let channel = right(bytes, team + 1, |b| b.is_ascii_alphanumeric());
            let is_path = bytes.get(team) == Some(&b'/') && bytes.get(channel) == Some(&b'/');
            let end = right(bytes, channel + 1, |b| is_part(b) || b == b'/');
            (is_path && team - after >= 6 && end - channel > 12).then_some((after - 1, end))
        }
        Around::Hook => {
            let number = right(bytes, after, |b| b.is_ascii_digit());
            let end = right(bytes, number + 1, is_part);
            let is_path = number > after && bytes.get(number) == Some(&b'/');
            (is_path && end - number > 5).then_some((number + 1, end))
        }
        Around::Segment => {
            let end = after
                + bytes[after..]
                    .iter()
                    .position(|&b| matches!(b, b'/' | b'?' | b'&' | b' ' | b'"' | b'#'))
                    .unwrap_or(bytes.len() - after);
            (end - after >= 10).then_some((after, end))
        }
        Around::Dollars => {
            let end = right(bytes, after, |b| is_part(b) || b == b'$');
            (end - after >= 20).then_some((start, end))
        }
        Around::Crypt => {
            let end = right(bytes, after, |b| is_part(b) || b"./$+=,:".contains(&b));
            // Of bcrypt the length is known: what follows is the path behind it.
            let end = if bytes[start..].starts_with(b"$2") { end.min(after + BCRYPT_BYTES) } else { end };
            (end - after >= 20).then_some((start, end))
        }
    }
}

/// The key around a mark, when enough of its characters are on both sides and together they look generated.
fn sides(
    bytes: &[u8],
    start: usize,
    after: usize,
    least: (usize, usize),
    part: impl Fn(u8) -> bool + Copy,
) -> Option<(usize, usize)> {
    let (before, end) = (left(bytes, start, part), right(bytes, after, part));
    let end = end - bytes[after..end].iter().rev().take_while(|&&b| b == b'.').count();
    let enough = before >= least.0 && end - after >= least.1;
    let random = || looks_random(&bytes[start - before..end], 10) || looks_random(&bytes[after..end], 10);
    let rest = || bytes[end..].iter().take_while(|&&b| part(b)).count();
    (enough && random()).then(|| (start - before, end + rest()))
}

fn left(bytes: &[u8], start: usize, part: impl Fn(u8) -> bool) -> usize {
    bytes[..start].iter().rev().take(SIDE_MAX).take_while(|&&b| part(b)).count()
}

fn right(bytes: &[u8], after: usize, part: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(after..).unwrap_or_default();
    after + rest.iter().take(SIDE_MAX).take_while(|&&b| part(b)).count()
}

fn is_part(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')
}

/// Keys told by their dots: a bot token of Discord (an id in base64, six characters of time, 27 or more of a digest; it
/// begins with the base64 of a digit), and 32 hexadecimal digits with 16 characters behind them.
fn dotted(bytes: &[u8], findings: &mut Vec<Finding>) {
    let mut from = 0;
    while let Some(dot) = memchr::memchr(b'.', &bytes[from..]).map(|i| from + i) {
        from = dot + 1;
        let middle = right(bytes, dot + 1, is_part);
        let end = match middle - dot - 1 {
            6 if bytes.get(middle) == Some(&b'.') => discord_end(bytes, dot, middle),
            16 => is_hex_pair(bytes, dot, middle).then_some(middle),
            _ => None,
        };
        if let Some(end) = end {
            let start = dot - left(bytes, dot, is_part);
            findings.push(Finding { start, end, class: Class::VENDOR_KEY, whole: false });
            from = end;
        }
    }
}

fn discord_end(bytes: &[u8], dot: usize, middle: usize) -> Option<usize> {
    let id = left(bytes, dot, is_part);
    let end = right(bytes, middle + 1, is_part);
    let begins = matches!(bytes.get(dot - id), Some(b'M' | b'N' | b'O'));
    let is_token = begins && (23..=28).contains(&id) && (27..=45).contains(&(end - middle - 1));
    (is_token && looks_random(&bytes[dot - id..dot], 10)).then_some(end)
}

fn is_hex_pair(bytes: &[u8], dot: usize, end: usize) -> bool {
    let before = &bytes[..dot];
    left(bytes, dot, is_part) == 32
        && before[dot - 32..].iter().all(u8::is_ascii_hexdigit)
        && looks_random(&bytes[dot + 1..end], 10)
}

/// How far from its id an AWS secret is looked for.
const BESIDE_BYTES: usize = 160;
const AWS_SECRET_BYTES: usize = 40;

/// The secret that belongs to the AWS key id at `start..end`: 40 characters of base64 near it.
pub(super) fn aws_secret(bytes: &[u8], start: usize, end: usize, findings: &mut Vec<Finding>) {
    let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    let windows = [(start.saturating_sub(BESIDE_BYTES), start), (end, bytes.len().min(end + BESIDE_BYTES))];
    for (mut at, last) in windows {
        while at < last {
            let run = bytes[at..last].iter().take_while(|&&b| base64(b)).count();
            // A path before it may be written with the same characters: the last 40 count.
            let first = at + run.saturating_sub(AWS_SECRET_BYTES);
            let secret = &bytes[first..at + run];
            let mixed = secret.iter().any(u8::is_ascii_uppercase) && secret.iter().any(u8::is_ascii_lowercase);
            if secret.len() == AWS_SECRET_BYTES && mixed && looks_random(secret, 6) {
                findings.push(Finding { start: first, end: at + run, class: Class::AWS_KEY, whole: false });
            }
            at += run + 1;
        }
    }
}
