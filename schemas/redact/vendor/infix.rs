//! Keys that are told by what stands in their middle or at their end: `...Q~...`, `....atlasv1....`, `123456:AA...`,
//! `...-us12`, the webhook paths of chat services, and an AWS secret beside its id.
//!
//! Promises: linear time.
//! Never: takes a mark alone for a key: what is around it must be of the right form.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::super::classes::Class;
use super::super::find::Finding;
use super::super::form;
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
    /// A UUID before, and nothing after.
    Uuid,
    /// `T.../B.../secret` after.
    Slack,
    /// Key characters and `$` after.
    Parts,
    /// The rest of the path segment after.
    Segment,
    /// The rest of the path after.
    Path,
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
    ("access_token$", Around::Parts, Class::VENDOR_KEY),
    ("configcat-sdk-", Around::Crypt, Class::VENDOR_KEY),
    ("AzFu", Around::Base64(36, 4), Class::VENDOR_KEY),
    ("AzSe", Around::Base64(36, 4), Class::VENDOR_KEY),
    ("AzCa", Around::Base64(36, 4), Class::VENDOR_KEY),
    ("ACDb", Around::Base64(70, 8), Class::VENDOR_KEY),
    ("+ASt", Around::Base64(70, 6), Class::VENDOR_KEY),
    ("+ASb", Around::Base64(32, 6), Class::VENDOR_KEY),
    ("+AEh", Around::Base64(32, 6), Class::VENDOR_KEY),
    ("+ARm", Around::Base64(32, 6), Class::VENDOR_KEY),
    ("+ACR", Around::Base64(36, 4), Class::VENDOR_KEY),
    ("AIoT", Around::Base64(32, 6), Class::VENDOR_KEY),
    ("APIM", Around::Base64(70, 6), Class::VENDOR_KEY),
    ("AZDO", Around::Key(60, 4), Class::VENDOR_KEY),
    (".apps.googleusercontent.com:", Around::Key(12, 12), Class::GCP_KEY),
    (":AA", Around::Telegram, Class::VENDOR_KEY),
    ("-us", Around::Mailchimp, Class::VENDOR_KEY),
    (":fx", Around::Uuid, Class::VENDOR_KEY),
    ("_mmk", Around::Key(30, 0), Class::VENDOR_KEY),
    ("/services/T", Around::Slack, Class::SLACK_TOKEN),
    ("/workflows/T", Around::Slack, Class::SLACK_TOKEN),
    ("/triggers/T", Around::Slack, Class::SLACK_TOKEN),
    ("/webhookb2/", Around::Path, Class::VENDOR_KEY),
    ("/IncomingWebhook/", Around::Path, Class::VENDOR_KEY),
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
    ("$krb5pa$", Around::Crypt, Class::PASSWORD),
    ("ENC(", Around::Crypt, Class::PASSWORD),
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
    paired(bytes, findings);
}

fn key_around(bytes: &[u8], start: usize, after: usize, around: Around) -> Option<(usize, usize)> {
    match around {
        Around::Key(before, behind) => {
            sides(bytes, start, after, (before, behind), |b| is_part(b) || matches!(b, b'.' | b'~'))
        }
        Around::Base64(before, behind) => {
            let base64 = |b: u8| is_part(b) || matches!(b, b'+' | b'/');
            let (start, end) = sides(bytes, start, after, (before, behind), base64)?;
            let padded = end + bytes[end..].iter().take(2).take_while(|&&b| b == b'=').count();
            // A signature may follow: `AQE...=-...`.
            let rest = right(bytes, padded, base64);
            let goes_on = padded > end && bytes.get(padded) == Some(&b'-') && rest - padded > 8;
            Some((start, if goes_on { rest } else { padded }))
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
        Around::Uuid => {
            let before = left(bytes, start, is_part);
            let is_free = bytes.get(after).is_none_or(|b| !b.is_ascii_alphanumeric());
            (is_free && form::is_uuid(&bytes[start - before..start])).then_some((start - before, after))
        }
        Around::Slack => {
            let team = right(bytes, after, |b| b.is_ascii_alphanumeric());
            let channel = right(bytes, team + 1, |b| b.is_ascii_alphanumeric());
            let is_path = bytes.get(team) == Some(&b'/') && bytes.get(channel) == Some(&b'/');
            let end = right(bytes, channel + 1, |b| is_part(b) || b == b'/');
            (is_path && team - after >= 6 && end - channel > 12).then_some((after - 1, end))
        }
        Around::Segment | Around::Path => {
            let is_end = |b: u8| matches!(b, b'?' | b'&' | b' ' | b'"' | b'#' | b'\\' | b'<');
            let over = matches!(around, Around::Path);
            let rest = &bytes[after..];
            let length = rest.iter().position(|&b| is_end(b) || (b == b'/' && !over)).unwrap_or(rest.len());
            // Of a team's webhook the group stands before it, where its host was cut off.
            let group = left(bytes, start, is_part);
            let from = if over && group == 36 { start - group } else { after };
            (length >= 10).then_some((from, after + length))
        }
        Around::Parts => {
            let end = right(bytes, after, |b| is_part(b) || b == b'$');
            (end - after >= 20).then_some((start, end))
        }
        Around::Crypt => {
            // As long as they like; a ticket of Kerberos has names between stars.
            let is_ticket = bytes[start..].starts_with(b"$krb5");
            let is_crypt = |b: &&u8| is_part(**b) || b"./$+=,:".contains(b) || (is_ticket && b"*@".contains(b));
            // Of bcrypt the length is known: what follows is the path behind it.
            let most = if bytes[start..].starts_with(b"$2") { BCRYPT_BYTES } else { usize::MAX };
            let end = after + bytes[after..].iter().take(most).take_while(is_crypt).count();
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
            32 => is_short_pair(bytes, dot, middle).then_some(middle),
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

/// Eight characters, a dot, and 32 of letters in both cases and digits: both drawn. A file with its hash is not.
fn is_short_pair(bytes: &[u8], dot: usize, end: usize) -> bool {
    let key = &bytes[dot + 1..end];
    let any = |is: fn(&u8) -> bool| key.iter().any(is);
    left(bytes, dot, is_part) == 8
        && any(u8::is_ascii_uppercase)
        && any(u8::is_ascii_lowercase)
        && any(u8::is_ascii_digit)
        && !key.contains(&b'-')
        && looks_random(key, 20)
        && looks_random(&bytes[dot - 8..dot], 8)
}

/// Keys with a colon in them: `1/123...:32 digits` and `2/123.../456...:32 digits` of Asana, `0.uuid.30 letters:base64` of
/// Bitwarden's machines, `app.key:secret` of Ably.
fn paired(bytes: &[u8], findings: &mut Vec<Finding>) {
    let mut from = 0;
    while let Some(colon) = memchr::memchr(b':', &bytes[from..]).map(|i| from + i) {
        from = colon + 1;
        let end = right(bytes, colon + 1, is_part);
        if end - colon <= 16 && bytes.get(end).is_none_or(|b| !matches!(b, b'+' | b'/')) {
            continue;
        }
        let before = &bytes[colon - left(bytes, colon, |b| is_part(b) || matches!(b, b'.' | b'/'))..colon];
        let secret = &bytes[colon + 1..end];
        let found = asana(before, secret)
            .map(|width| (width, end))
            .or_else(|| bitwarden(before, bytes, colon))
            .or_else(|| ably(before, secret).map(|width| (width, end)));
        if let Some((width, end)) = found {
            findings.push(Finding { start: colon - width, end, class: Class::VENDOR_KEY, whole: false });
            from = end;
        }
    }
}

/// How much before the colon belongs to the key.
fn asana(before: &[u8], secret: &[u8]) -> Option<usize> {
    let mut parts = before.rsplit(|&b| b == b'/');
    let number =
        |part: Option<&[u8]>| part.filter(|p| p.len() >= 8 && p.iter().all(u8::is_ascii_digit)).map(<[u8]>::len);
    let is_digest = secret.len() == 32 && secret.iter().all(u8::is_ascii_hexdigit);
    let first = number(parts.next()).filter(|_| is_digest)?;
    match parts.next()? {
        b"1" => Some(first + 2),
        other => (parts.next() == Some(&b"2"[..])).then_some(first + number(Some(other))? + 3),
    }
}

fn bitwarden(before: &[u8], bytes: &[u8], colon: usize) -> Option<(usize, usize)> {
    let mut parts = before.rsplit(|&b| b == b'.');
    let secret = parts.next().filter(|p| (24..=40).contains(&p.len()) && p.iter().all(u8::is_ascii_alphanumeric))?;
    let id = parts.next().filter(|p| p.len() == 36 && p.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-'))?;
    let version = parts.next()?.last().filter(|b| b.is_ascii_digit())?;
    let end = right(bytes, colon + 1, |b| is_part(b) || matches!(b, b'+' | b'/'));
    let end = end + bytes[end..].iter().take(2).take_while(|&&b| b == b'=').count();
    (version.is_ascii_digit() && end - colon > 16).then_some((secret.len() + id.len() + 3, end))
}

fn ably(before: &[u8], secret: &[u8]) -> Option<usize> {
    let mut parts = before.rsplit(|&b| b == b'.');
    let is_id = |p: &&[u8]| (5..=7).contains(&p.len()) && p.iter().all(u8::is_ascii_alphanumeric);
    let key = parts.next().filter(is_id)?;
    let app = parts.next()?.rsplit(|&b| b == b'/').next().filter(is_id)?;
    let any = |is: fn(&u8) -> bool| secret.iter().any(is);
    let is_secret = secret.len() >= 16 && any(u8::is_ascii_uppercase) && any(u8::is_ascii_lowercase);
    (is_secret && looks_random(secret, 8)).then_some(key.len() + app.len() + 1)
}

/// Fewest letters in a row among which a key of a wallet can be.
pub(super) const WALLET_MIN: u32 = 51;

/// Private keys of wallets in the import format: base58, 51 characters that begin with `5`, or 52 that begin with `K` or `L`
/// (`c` for test networks).
pub(super) fn wallets(bytes: &[u8], findings: &mut Vec<Finding>) {
    let mut at = 0;
    while let Some(start) = bytes[at..].iter().position(u8::is_ascii_alphanumeric).map(|i| at + i) {
        let length = bytes[start..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        at = start + length;
        let key = &bytes[start..at];
        let begins = matches!((length, key[0]), (51, b'5' | b'9') | (52, b'K' | b'L' | b'c'));
        let is_base58 = || !key.iter().any(|b| matches!(b, b'0' | b'O' | b'I' | b'l'));
        if begins && is_base58() && key.iter().any(u8::is_ascii_uppercase) && looks_random(key, 30) {
            findings.push(Finding { start, end: at, class: Class::VENDOR_KEY, whole: false });
        }
    }
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
