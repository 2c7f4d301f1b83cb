//! Digits, letters and signs of other alphabets as those of ASCII: `４１１１`, `+۴۹`, `ＤＥ８９`, `ａｎｎａ＠...`.
//!
//! Promises: one pass, and only over a text that has such a digit or sign; every byte knows where it was written.
//! Never: reads letters of words, or finds anything.

/// A text in ASCII digits, and where each of its bytes (and its end) stands in what it was made from.
pub(super) struct Folded {
    pub(super) text: String,
    pub(super) map: Vec<usize>,
}

/// None when nothing is written otherwise.
pub(super) fn fold(text: &str) -> Option<Folded> {
    let first = text.char_indices().find(|(_, c)| ascii(*c).is_some())?.0;
    let mut folded = Folded { text: text[..first].to_string(), map: (0..first).collect() };
    for (at, c) in text[first..].char_indices() {
        let plain = ascii(c).unwrap_or(if c == '\u{3000}' { ' ' } else { c });
        folded.text.push(plain);
        folded.map.extend((0..plain.len_utf8()).map(|i| first + at + i));
    }
    folded.map.push(text.len());
    Some(folded)
}

fn ascii(c: char) -> Option<char> {
    let c = u32::from(c);
    let plain = match c {
        0xff01..=0xff5e => c - 0xff01 + u32::from(b'!'),
        0x0660..=0x0669 | 0x06f0..=0x06f9 => (c & 0xf) + u32::from(b'0'),
        0x0966..=0x096f | 0x09e6..=0x09ef => c - if c < 0x0970 { 0x0966 } else { 0x09e6 } + u32::from(b'0'),
        0x0e50..=0x0e59 => c - 0x0e50 + u32::from(b'0'),
        0x1d7ce..=0x1d7ff => (c - 0x1d7ce) % 10 + u32::from(b'0'),
        _ => return None,
    };
    char::from_u32(plain)
}
