//! E-mail addresses that are spelled so that no program reads them: `anna[at]mail.example`, `anna (at) mail (dot) example`.
//!
//! Promises: linear time; what stands around a bracket is looked at for a bounded length.
//! Never: takes a word in brackets for a sign where no domain follows.

use super::classes::Class;
use super::find::Finding;

const LOCAL_MAX: usize = 64;
const LABELS_MAX: usize = 6;

pub(crate) fn addresses(bytes: &[u8], findings: &mut Vec<Finding>) {
    let mut from = 0;
    while let Some(open) = memchr::memchr3(b'[', b'(', b'{', &bytes[from..]).map(|i| from + i) {
        from = open + 1;
        if let Some(behind) = sign(bytes, open, &[b"at", b"@", b"ad", b"arroba"])
            && let Some(start) = local(bytes, open)
            && let Some(end) = domain(bytes, behind)
        {
            findings.push(Finding::new(start, end, Class::EMAIL));
            from = end;
        }
    }
}

/// Where what follows the bracket at `open` begins, when one of `words` is in it.
fn sign(bytes: &[u8], open: usize, words: &[&[u8]]) -> Option<usize> {
    let close = match bytes.get(open)? {
        b'[' => b']',
        b'(' => b')',
        b'{' => b'}',
        _ => return None,
    };
    let inner = &bytes[open + 1..bytes.len().min(open + 12)];
    let length = memchr::memchr(close, inner)?;
    let word = inner[..length].trim_ascii();
    words.iter().any(|known| word.eq_ignore_ascii_case(known)).then_some(open + length + 2)
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'+' | b'_')
}

/// Where the name before the bracket begins.
fn local(bytes: &[u8], open: usize) -> Option<usize> {
    let blanks = bytes[..open].iter().rev().take(2).take_while(|&&b| is_blank(b)).count();
    let end = open - blanks;
    let is_local = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-') || **b >= 0x80;
    let length = bytes[..end].iter().rev().take(LOCAL_MAX).take_while(is_local).count();
    (length > 0).then_some(end - length)
}

/// The end of the domain at `from`: labels with dots between them, as signs or as words.
fn domain(bytes: &[u8], from: usize) -> Option<usize> {
    let over = |at: usize| at + bytes[at.min(bytes.len())..].iter().take(2).take_while(|&&b| is_blank(b)).count();
    let mut at = over(from);
    let mut labels = 0;
    loop {
        let is_label = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'-' || **b >= 0x80;
        let length = bytes[at.min(bytes.len())..].iter().take(LOCAL_MAX).take_while(is_label).count();
        if length == 0 {
            return None;
        }
        let label = &bytes[at..at + length];
        at += length;
        labels += 1;
        let next = match bytes.get(at) {
            Some(b'.') if bytes.get(at + 1).is_some_and(u8::is_ascii_alphanumeric) => Some(at + 1),
            _ => sign(bytes, over(at), &[b"dot", b".", b"punkt", b"punto", b"point"]).map(over),
        };
        match next {
            Some(next) if labels < LABELS_MAX => at = next,
            _ => {
                let is_top = length >= 2 && label.iter().any(|b| !b.is_ascii_digit());
                return (labels >= 2 && is_top).then_some(at);
            }
        }
    }
}
