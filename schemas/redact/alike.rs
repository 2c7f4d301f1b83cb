//! Letters, digits and signs that look like those of ASCII: full-width `ｐａｓｓ＝`, `４１１１`, `+۴۹`, mathematical and circled
//! letters, a Cyrillic or Greek letter amid Latin ones, and what is not seen at all (a zero-width space).
//!
//! Promises: bounded work per letter. A word in its own alphabet stays as it is: `пароль` is no Latin word.
//! Never: finds anything; `view.rs` keeps where each letter was written.

/// How far a word is looked at for a letter of ASCII.
const WORD_MAX: usize = 16;

/// The letter that begins at `at`, and what it looks like; None for one that cannot be seen.
pub(super) fn plain(text: &str, at: usize) -> Option<(char, Option<char>)> {
    let c = text.get(at..)?.chars().next()?;
    if is_unseen(c) {
        return Some((c, None));
    }
    let plain = always(c).or_else(|| amid(c).filter(|_| is_amid_ascii(text, at, c)))?;
    Some((c, Some(plain)))
}

/// Zero-width spaces and joiners, the mark of byte order, the soft hyphen.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

fn always(c: char) -> Option<char> {
    let code = u32::from(c);
    let letter = |at: u32| if at < 26 { at + u32::from(b'A') } else { at - 26 + u32::from(b'a') };
    let plain = match code {
        0xff01..=0xff5e => code - 0xff01 + u32::from(b'!'),
        0x3000 | 0xa0 | 0x202f => u32::from(b' '),
        0x0660..=0x0669 | 0x06f0..=0x06f9 => (code & 0xf) + u32::from(b'0'),
        0x0966..=0x096f => code - 0x0966 + u32::from(b'0'),
        0x09e6..=0x09ef => code - 0x09e6 + u32::from(b'0'),
        0x0e50..=0x0e59 => code - 0x0e50 + u32::from(b'0'),
        0x24b6..=0x24e9 => letter(code - 0x24b6),
        0x1d400..=0x1d6a3 => letter((code - 0x1d400) % 52),
        0x1d7ce..=0x1d7ff => (code - 0x1d7ce) % 10 + u32::from(b'0'),
        _ => return None,
    };
    char::from_u32(plain)
}

/// Letters of other alphabets that look like a Latin one (of the confusables of Unicode TS 39, those that are typed).
fn amid(c: char) -> Option<char> {
    const FROM: &str = "асԁеһіјкӏмоѕртухԛԝгпнвАВСЕНІЈКМОРЅТУХԚԜαβεικνορτυχΑΒΕΗΙΚΜΝΟΡΤΥΧΖıſ";
    const TO: &str = "acdehijklmosptyxqwrnhbABCEHIJKMOPSTYXQWabeikvoptuxABEHIKMNOPTYXZis";
    FROM.chars().zip(TO.chars()).find(|(from, _)| *from == c).map(|(_, to)| to)
}

/// Is there a Latin letter in the word around `c`, which has none but Latin letters and those that look like one?
fn is_amid_ascii(text: &str, at: usize, c: char) -> bool {
    let part = |c: &char| c.is_ascii_alphabetic() || amid(*c).is_some();
    let before = text[..at].chars().rev().take(WORD_MAX);
    let behind = text[at + c.len_utf8()..].chars().take(WORD_MAX);
    let is_own = |c: Option<char>| c.is_some_and(|c| c.is_alphabetic() && !part(&c));
    let (mut latin, mut others) = (false, false);
    let mut look = |letters: &mut dyn Iterator<Item = char>| {
        for c in letters {
            if !part(&c) {
                others |= is_own(Some(c));
                return;
            }
            latin |= c.is_ascii_alphabetic();
        }
    };
    look(&mut before.into_iter());
    look(&mut behind.into_iter());
    latin && !others
}

#[cfg(test)]
mod tests {
    use super::super::view::View;

    #[test]
    fn what_looks_like_ascii_is_read_as_such() {
        for (text, expected) in [
            ("ｐａｓｓ＝ｘ１", "pass=x1"),
            ("密码：x", "密码:x"),
            ("p\u{430}ssw\u{43e}rd=x", "password=x"),
            ("p\u{430}\u{455}\u{455}word", "password"),
            ("pass\u{200b}word", "password"),
            ("\u{1d429}\u{1d41a}\u{1d42c}\u{1d42c}", "pass"),
            ("ⓟⓐⓢⓢ", "pass"),
            ("+۴۹", "+49"),
        ] {
            let mut view = View::default();
            assert!(view.fold(text, None), "{text}");
            assert_eq!(view.text, expected);
            assert_eq!((view.map.len(), view.map.last()), (expected.len() + 1, Some(&(text.len() as u32))));
        }
        for text in ["пароль", "κωδικός", "contraseña", "сосна=x", "plain"] {
            assert!(!View::default().fold(text, None), "{text}");
        }
    }
}
