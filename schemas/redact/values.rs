//! What a value looks like: a plain word or small number, or something a machine drew.
//!
//! Promises: one pass over the value, no allocation.
//! Never: knows the name of the value.

/// What others put where a secret was, or a value that says nothing.
pub(crate) fn is_placeholder(value: &[u8]) -> bool {
    let value = trim(value);
    value.starts_with(b"[REDACTED")
        || value.iter().all(|&b| matches!(b, b'*' | b'-' | b'x' | b'X' | b'.'))
        || NOTHING.iter().any(|word| value.eq_ignore_ascii_case(word))
        || (value.starts_with(b"{")
            && value.ends_with(b"}")
            && value.iter().all(|&b| b.is_ascii_alphabetic() || matches!(b, b'{' | b'}' | b'_')))
}

static NOTHING: [&[u8]; 13] = [
    b"REDACTED",
    b"[FILTERED]",
    b"<redacted>",
    b"null",
    b"true",
    b"false",
    b"undefined",
    b"none",
    b"nil",
    b"filtered",
    b"yes",
    b"no",
    b"nan",
];

pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    let edge = |b: u8| matches!(b, b' ' | b'\t' | b'"' | b'\'' | b'`' | b'+' | b'\r' | b'\n');
    while let [first, rest @ ..] = value
        && edge(*first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && edge(*last)
    {
        value = rest;
    }
    value
}

/// A short plain word, a few of them, or a small number: `DE`, `de-BY`, `morning`, `42`. What people and programs write
/// that means no secret.
pub(crate) fn is_plain(value: &[u8]) -> bool {
    let value = trim(value);
    if value.len() > 20 {
        return false;
    }
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    if digits > 0 {
        return digits <= 5 && value.iter().all(|&b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'-' | b'+'))
            || value.len() <= 4;
    }
    value.split(|&b| matches!(b, b'-' | b'_' | b'.' | b' ' | b'+' | b',' | b'/' | b':')).all(is_word)
}

/// Letters in one case, but for the first.
fn is_word(word: &[u8]) -> bool {
    let letters = word.iter().all(|&b| b.is_ascii_alphabetic() || b >= 0x80);
    let rest = word.get(1..).unwrap_or(b"");
    letters && word.len() <= 12 && (!rest.iter().any(u8::is_ascii_uppercase) || word.iter().all(u8::is_ascii_uppercase))
}

/// Two or three words in one, as programs name things: `ArrowLeft`, `InvalidRequest`, `pageDown`.
pub(crate) fn is_camel(value: &[u8]) -> bool {
    let value = trim(value);
    let starts = value.iter().skip(1).filter(|b| b.is_ascii_uppercase()).count();
    let is_vowel = |b: &u8| matches!(b.to_ascii_lowercase(), b'a' | b'e' | b'i' | b'o' | b'u' | b'y');
    let mut humps = 0;
    let mut at = 0;
    while at < value.len() {
        let length = 1 + value[at + 1..].iter().take_while(|b| b.is_ascii_lowercase()).count();
        if !value[at].is_ascii_alphabetic() || length < 2 || !value[at..at + length].iter().any(is_vowel) {
            return false;
        }
        humps += usize::from(length >= 4);
        at += length;
    }
    value.len() <= 24 && (1..=2).contains(&starts) && humps >= 1
}

/// What a text is made of, counted.
#[derive(Default)]
struct Mix {
    lower: usize,
    upper: usize,
    digits: usize,
    other: usize,
    /// How often letters turn to digits or back, or small letters to capitals or back.
    turns: usize,
}

fn mix(text: &[u8]) -> Mix {
    let mut mix = Mix::default();
    let mut last = 0;
    for &b in text {
        let kind = match b {
            b'a'..=b'z' => 1,
            b'A'..=b'Z' => 2,
            b'0'..=b'9' => 3,
            _ => 0,
        };
        match kind {
            1 => mix.lower += 1,
            2 => mix.upper += 1,
            3 => mix.digits += 1,
            _ => mix.other += 1,
        }
        if kind != 0 && last != 0 && kind != last {
            mix.turns += 1;
        }
        last = kind;
    }
    mix
}

/// Drawn by a machine: long enough, and of letters and digits in no order that a word or a number has. Behind a telling
/// word UUIDs and hexadecimal numbers are such values too.
pub(crate) fn is_random(value: &[u8]) -> bool {
    let value = trim(value);
    let plain = |&b: &u8| {
        b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'_' | b'.' | b'~' | b'=' | b'+' | b':' | b'%' | b'!' | b'$' | b'/')
    };
    if value.len() < 8 || !value.iter().all(plain) {
        return false;
    }
    if is_hexadecimal(value) {
        return true;
    }
    let whole = mix(value);
    if whole.lower + whole.upper == 0 {
        return false;
    }
    let piece_is = |piece: &[u8]| {
        let mix = mix(piece);
        let letters = mix.lower + mix.upper;
        piece.len() >= 8
            && (mix.digits >= 1
                && letters >= 2
                && (mix.turns >= 3 || (mix.lower > 0 && mix.upper > 0 && mix.digits >= 2))
                || mix.digits == 0 && mix.turns >= 5
                || mix.digits == 0 && piece.len() >= 25)
    };
    if value.split(|&b| matches!(b, b'-' | b'_' | b'.' | b':' | b'/' | b'=')).any(piece_is) {
        return true;
    }
    value.len() >= 16 && whole.digits >= 2 && whole.lower > 0 && whole.upper > 0 && whole.turns >= 5
}

/// 16 or more hexadecimal digits with letters and digits, or a UUID.
fn is_hexadecimal(value: &[u8]) -> bool {
    let hex = value.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-');
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    let letters = value.iter().filter(|b| b.is_ascii_alphabetic()).count();
    hex && digits >= 2 && letters >= 2 && digits + letters >= 16
}

/// Looks drawn even where nothing tells: 16 or more characters without a UUID, a hash or a path among them.
pub(crate) fn is_random_anywhere(value: &[u8]) -> bool {
    let value = trim(value);
    let bare = value.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    bare && value.len() >= 16 && !is_uuid(value) && is_random(value)
}

/// `sha256-e3b0c442...`: the digest of something public, with the name of its algorithm.
pub(crate) fn is_labelled_digest(value: &[u8]) -> bool {
    let labels: [&[u8]; 5] = [b"sha256-", b"sha384-", b"sha512-", b"sha1-", b"md5-"];
    let value = trim(value);
    labels.iter().any(|label| value.get(..label.len()).is_some_and(|head| head.eq_ignore_ascii_case(label)))
}

fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && [8, 13, 18, 23].iter().all(|&i| value[i] == b'-')
        && value.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_random() {
        for plain in ["DE", "morning", "en-US", "42", "1.5", "de_DE", "OK", "not found", "E12"] {
            assert!(is_plain(plain.as_bytes()) && !is_random(plain.as_bytes()), "{plain}");
        }
        for random in [
            "RHtUVQcDMpg0TMkxpdzPaEMM1ZA7V0FhHVJWDBt2hWd",
            "aB3dE6gH",
            "1ea2cbd390b656a4d2bad821df997d52",
            "a1b2c3d4-0000-4000-8000-00000000abcd",
        ] {
            assert!(is_random(random.as_bytes()) && !is_plain(random.as_bytes()), "{random}");
        }
        for neither in ["spring-sale-2024", "20240115", "setup-x86_64.exe", "resetPassword", "iphone15pro"] {
            assert!(!is_random(neither.as_bytes()), "{neither}");
        }
    }
}
