//! Lines that are too long to be fitted to forms as they are: what is in their middle is left out, for how a request was
//! answered stands behind what a client made long.
//!
//! Promises: no quote that was escaped stands unescaped afterwards, nor the other way round; never longer than `LINE_BYTES_MAX`.
//! Never: fits anything.

use bumpalo::Bump;

use crate::limits::LINE_BYTES_MAX;

/// How much of that is from the end: what stands behind the longest field.
const END_BYTES: usize = LINE_BYTES_MAX / 4;

/// The beginning and the end of a line, and how much of it is the beginning.
pub(super) fn shortened<'b>(line: &str, arena: &'b Bump) -> (&'b str, usize) {
    let before = beginning_of(line, LINE_BYTES_MAX - END_BYTES);
    let mut from = line.len() - END_BYTES;
    while !line.is_char_boundary(from) {
        from += 1;
    }
    // The rest of an escape, and a quote that it escaped.
    let escapes = line.as_bytes()[..from].iter().rev().take_while(|byte| **byte == b'\\').count();
    let is_escaped = escapes % 2 == 1 && line.as_bytes()[from].is_ascii();
    let behind = &line[from + usize::from(is_escaped)..];
    (arena.alloc_str(&[before, behind].concat()), before.len())
}

/// As much of a line as is fitted to forms.
pub(super) fn beginning(line: &str) -> &str {
    &line[..crate::redact::floor(line, LINE_BYTES_MAX)]
}

/// So much of it, without an escape that has only begun.
fn beginning_of(line: &str, length: usize) -> &str {
    let before = &line[..crate::redact::floor(line, length)];
    let escapes = before.len() - before.trim_end_matches('\\').len();
    &before[..before.len() - escapes % 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_quote_changes_what_it_is() {
        for shift in 0..8 {
            for escape in [r#"\""#, r#"\\\""#, r"\\", r"\x22"] {
                let line = format!("{}{}", "é".repeat(shift), escape.repeat(LINE_BYTES_MAX));
                let arena = Bump::new();
                let (short, told) = shortened(&line, &arena);
                assert!(short.len() <= LINE_BYTES_MAX && told <= short.len() && line.starts_with(&short[..told]));
                let mut bytes = short.bytes();
                while let Some(byte) = bytes.next() {
                    assert_ne!(byte, b'"', "{shift} {escape}");
                    if byte == b'\\' {
                        bytes.next();
                    }
                }
            }
        }
        let line = format!("{}{}", r"\\".repeat(LINE_BYTES_MAX), r#"" 404"#);
        assert!(shortened(&line, &Bump::new()).0.ends_with(r#"\\" 404"#));
    }
}
