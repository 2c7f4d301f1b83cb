//! The form of a path or a query: its words, and how many digits its numbers have. What redaction finds in such a text does
//! not depend on the digits, so that it is searched once for all of its form.
//!
//! Promises: only texts have a form in which no number can tell of a person; a test tries the words that name secrets.
//! Never: speaks for a policy with patterns of its own.

/// Digits of a number in a path that says nothing of a person, whatever its digits are and unless the word before it says so.
const NUMBER_MAX: usize = 8;
/// The same in the value of a parameter, from two digits on: one alone may be yes or no. Longer ones may be days.
const VALUE_MAX: usize = 4;

/// Writes the form of a path of words, versions, and numbers between words: digits of these as zeros. What redaction finds in
/// such a path depends on its form alone. False for any other path.
pub(crate) fn of_path(path: &str, form: &mut Vec<u8>) -> bool {
    form.clear();
    let bytes = path.as_bytes();
    // What the segment before was.
    let (mut is_word, mut is_number, mut at) = (false, false, 0);
    loop {
        let end = bytes[at..].iter().position(|&b| b == b'/').map_or(bytes.len(), |length| at + length);
        let segment = &bytes[at..end];
        if is_number && !segment.is_empty() && !is_a_word(segment) {
            return false;
        }
        let was_word = std::mem::replace(&mut is_word, is_a_word(segment));
        is_number = false;
        if is_word || segment.is_empty() || is_version(segment) {
            form.extend_from_slice(segment);
        } else if was_word && is_plain_number(segment, NUMBER_MAX) {
            is_number = true;
            form.resize(form.len() + segment.len(), b'0');
        } else {
            return false;
        }
        if end == bytes.len() {
            return true;
        }
        form.push(b'/');
        at = end + 1;
    }
}

/// Writes the form of a query: the short numbers behind words, in values of words and such numbers, as zeros; all else as it is.
/// What redaction finds in it depends on its form alone.
pub(crate) fn of_query(query: &str, form: &mut Vec<u8>) -> bool {
    form.clear();
    let mut rest = query.as_bytes();
    loop {
        let end = memchr::memchr(b'&', rest).unwrap_or(rest.len());
        let pair = &rest[..end];
        let from = form.len();
        let is_known = memchr::memchr(b'=', pair).is_some_and(|at| {
            let (name, value) = (&pair[..at], &pair[at + 1..]);
            let is_led = is_a_word(name) || value.first().is_some_and(u8::is_ascii_alphabetic);
            form.extend_from_slice(&pair[..=at]);
            is_led && (is_a_word(name) || name.iter().all(u8::is_ascii_alphabetic)) && write_value(value, form)
        });
        if !is_known {
            form.truncate(from);
            form.extend_from_slice(pair);
        }
        if end == rest.len() {
            return true;
        }
        form.push(b'&');
        rest = &rest[end + 1..];
    }
}

/// Writes the form of a value: one short number, or words with blanks between them and at most one such number behind each.
fn write_value(value: &[u8], form: &mut Vec<u8>) -> bool {
    let (mut at, mut was_number) = (0, false);
    loop {
        let length = value[at..].iter().take_while(|&&b| b != b'+' && b != b'%').count();
        let piece = &value[at..at + length];
        let is_number = piece.len() > 1 && is_plain_number(piece, VALUE_MAX);
        if is_number && !was_number {
            form.resize(form.len() + piece.len(), b'0');
        } else if is_a_word(piece) {
            form.extend_from_slice(piece);
        } else {
            return false;
        }
        was_number = is_number;
        at += length;
        let blank = match &value[at..] {
            [] => return true,
            [b'+', ..] => 1,
            [b'%', b'2', b'0', ..] => 3,
            _ => return false,
        };
        form.extend_from_slice(&value[at..at + blank]);
        at += blank;
    }
}

/// Letters that no number has.
fn is_a_word(text: &[u8]) -> bool {
    text.len() > 2 && text.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_'))
}

/// `v2`.
fn is_version(segment: &[u8]) -> bool {
    matches!(segment, [b'v', digits @ ..] if matches!(digits.len(), 1 | 2) && digits.iter().all(u8::is_ascii_digit))
}

/// A zero before it may be that of a telephone number.
fn is_plain_number(text: &[u8], digits_max: usize) -> bool {
    (1..=digits_max).contains(&text.len())
        && text.iter().all(u8::is_ascii_digit)
        && (text.len() == 1 || text[0] != b'0')
}

/// A UUID and nothing else: the name of something, whatever its digits are.
pub(crate) fn is_uuid(text: &[u8]) -> bool {
    let is_right = |(i, b): (usize, &u8)| match i {
        8 | 13 | 18 | 23 => *b == b'-',
        _ => b.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.iter().enumerate().all(is_right)
}

#[cfg(test)]
mod tests {
    use super::super::{Found, Scrubber, segments, words};
    use super::*;

    #[test]
    fn paths_of_one_form_have_the_same_in_them() {
        for (path, expected) in [
            ("/v1/orders/4711", Some("/v1/orders/0000")),
            ("/v1/orders/4711/items/3/", Some("/v1/orders/0000/items/0/")),
            ("/health", Some("/health")),
            ("", Some("")),
            ("/carts/6f1c2f0e-9b7d-4e2a-8c35-d41b7a90e6f2", None),
            ("/v1/orders/04711", None),
            ("/v1/orders/123456789", None),
            ("/orders/4711/12", None),
            ("/orders/4711//12", None),
            ("/orders/4711/v2", None),
            ("/4711", None),
            ("/gb/82/west", None),
            ("/orders/4711a", None),
            ("/orders/a b", None),
            ("/otp:/123456", None),
        ] {
            let mut form = Vec::new();
            assert_eq!(of_path(path, &mut form).then_some(&form[..]), expected.map(str::as_bytes), "{path}");
        }
    }

    #[test]
    fn queries_of_one_form_have_the_same_in_them() {
        for (query, expected) in [
            ("page=12&limit=50", "page=00&limit=00"),
            ("page=1&from=2026-01-01&q=item%201662+red", "page=1&from=2026-01-01&q=item%200000+red"),
            ("page=012&id=4711&ok", "page=012&id=4711&ok"),
            ("order=47110&page=1=2&q=12%2034", "order=47110&page=1=2&q=12%2034"),
            ("name=red%201234%20%20x&name=a%201234", "name=red%201234%20%20x&name=a%201234"),
            ("", ""),
        ] {
            let mut form = Vec::new();
            assert!(of_query(query, &mut form));
            assert_eq!(form, expected.as_bytes(), "{query}");
        }
    }

    /// By trying: no digits make a difference, behind any word that tells of a secret or names one.
    #[test]
    fn what_is_found_depends_on_the_form_alone() {
        let mut state = 7u64;
        let mut random = move |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let mut scrubber = Scrubber::default();
        let mut is_clean = |text: &str| {
            let (mut out, mut found) = (String::new(), Found::default());
            std::ptr::eq(scrubber.scrub(text, &mut out, &mut found), text) && found.is_empty()
        };
        let telling = segments::TELLING.iter().map(|(word, _)| word);
        let mut tried = 0;
        for word in words::all().iter().chain(telling).chain(&["mrn", "npi", "provider", "items"]) {
            for digits in 1..=NUMBER_MAX as u32 {
                let first = 10u64.pow(digits - 1);
                let told = [9, 12, 411, 1_985, 20_261, 120_485, 4_111_111, 19_850_412][digits as usize - 1];
                let numbers: Vec<u64> =
                    (0..12).map(|_| first + random(first * 9)).chain([first, first * 10 - 1, told]).collect();
                let write = |form: &dyn Fn(u64) -> String| numbers.iter().map(|number| form(*number)).collect();
                let alike: [Vec<String>; 4] = [
                    write(&|number| format!("/v1/{word}/{number}/items")),
                    write(&|number| format!("a=b&{word}={number}&page=x")),
                    write(&|number| format!("q={word}%20{number}+blue&page=x")),
                    write(&|number| format!("name={word}&value={number}&page=x")),
                ];
                for (texts, of) in alike.iter().zip([of_path, of_query, of_query, of_query]) {
                    let (mut form, mut first) = (Vec::new(), Vec::new());
                    if !of(&texts[0], &mut first) {
                        continue;
                    }
                    let is_first = is_clean(&texts[0]);
                    for text in texts {
                        assert!(of(text, &mut form), "{text}");
                        if form == first {
                            assert_eq!(is_clean(text), is_first, "{text} and {}", texts[0]);
                            tried += 1;
                        }
                    }
                }
            }
        }
        assert!(tried > 100_000, "{tried}");
    }
}
