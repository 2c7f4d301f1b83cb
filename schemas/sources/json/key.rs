//! Keys of a record, and how they are looked up: as three numbers, so that most comparisons are of integers.
//!
//! Promises: two keys of up to 16 bytes are equal exactly when their numbers are.
//! Never: looks beyond the key.

use std::borrow::Cow;

use super::unescape::unescape_lenient;

/// A key between its quotes, as it stands there.
#[derive(Clone, Copy)]
pub(super) struct Key<'b> {
    bytes: &'b [u8],
    start: usize,
    end: usize,
    pub(super) has_escapes: bool,
}

impl<'b> Key<'b> {
    #[inline]
    pub(super) fn new(bytes: &'b [u8], start: usize, end: usize, has_escapes: bool) -> Key<'b> {
        Key { bytes, start, end, has_escapes }
    }

    #[inline]
    pub(super) fn raw(&self) -> &'b [u8] {
        &self.bytes[self.start..self.end]
    }

    /// The key as the text it stands for. A lenient scan lets escapes through that are none.
    pub(super) fn text(&self) -> Cow<'b, str> {
        let raw = String::from_utf8_lossy(self.raw());
        if !self.has_escapes {
            return raw;
        }
        let mut text = String::new();
        unescape_lenient(&raw, &mut text);
        Cow::Owned(text)
    }

    /// The key as numbers.
    #[inline]
    pub(super) fn words(&self) -> Words {
        let length = self.end - self.start;
        match self.bytes.get(self.start..).and_then(|rest| rest.first_chunk::<16>()) {
            Some(chunk) => Words::of_chunk(chunk, length),
            None => Words::of(self.raw()),
        }
    }
}

/// A key as three numbers: up to 16 bytes they are the key, beyond they tell most apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sources) struct Words {
    pub(super) length: usize,
    first: u64,
    second: u64,
}

impl Words {
    pub(in crate::sources) fn of(key: &[u8]) -> Words {
        let mut chunk = [0; 16];
        let kept = key.len().min(16);
        chunk[..kept].copy_from_slice(&key[..kept]);
        Words::of_chunk(&chunk, key.len())
    }

    /// Of the first `length` bytes of `chunk`; what is behind them does not count.
    #[inline]
    fn of_chunk(chunk: &[u8; 16], length: usize) -> Words {
        let bits = u128::from_le_bytes(*chunk);
        let kept = if length >= 16 { bits } else { bits & ((1u128 << (length * 8)) - 1) };
        Words { length, first: kept as u64, second: (kept >> 64) as u64 }
    }

    /// Letters in lower case, by setting the bit that makes them so in every byte.
    #[inline]
    pub(in crate::sources) fn lower(self) -> Words {
        const BITS: u64 = 0x2020_2020_2020_2020;
        Words { length: self.length, first: self.first | BITS, second: self.second | BITS }
    }

    /// Five bits of a hash.
    #[inline]
    pub(in crate::sources) fn hash(self) -> usize {
        let mixed = self.first ^ self.second.rotate_left(23) ^ self.length as u64;
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::Scan;
    use super::*;

    #[test]
    fn words_tell_keys_apart_and_do_not_see_what_follows() {
        let keys = ["", "a", "b", "ab", "started_at", "sixteen bytes 16", "seventeen bytes17", "seventeen bytes18"];
        for key in keys {
            for tail in ["", ":1", ":\"more than sixteen bytes\"}"] {
                let text = format!("\"{key}\":{tail}");
                let words = Scan::new(&text).key().expect("a key").words();
                let same: Vec<_> = keys.iter().filter(|other| Words::of(other.as_bytes()) == words).collect();
                assert_eq!(same.len(), if key.len() > 16 { 2 } else { 1 }, "{key}");
            }
        }
        assert_eq!(Words::of(b"User-Agent").lower(), Words::of(b"user-agent").lower());
    }
}
