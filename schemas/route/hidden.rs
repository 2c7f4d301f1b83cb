//! Which segments of a path redaction changed: those are shown as `{secret}`, and never become an object's token.
//!
//! Promises: personal data that identifies an object (an e-mail address for a user, a number that looks like a card's) is
//! still an identifier, so the template of a path is the same whether or not redaction found something in it.
//! Never: looks for secrets.

use super::segment::{Segment, classify};

/// Classes of redaction that say whom or what a segment names, not how to get in.
static PERSONAL: &[&str] = &["email", "card", "phone", "iban", "ssn", "national_id", "health_id", "tax_id", "passport"];

/// The segments of a path that are secret: bit n for segment n, the last bit for all that are deeper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hidden(u64);

impl Hidden {
    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(super) fn has(self, segment: usize) -> bool {
        self.0 >> segment.min(63) & 1 == 1
    }

    fn add(&mut self, segment: usize) {
        self.0 |= 1 << segment.min(63);
    }

    /// Compares a path with what redaction left of it.
    pub(super) fn between(path: &str, kept: &str) -> Hidden {
        let mut hidden = Hidden::default();
        if path == kept {
            return hidden;
        }
        let [raw, left] = [path, kept].map(|text| text.strip_prefix('/').unwrap_or(text));
        let count = |text: &str| memchr::memchr_iter(b'/', text.as_bytes()).count() + 1;
        let segments = count(raw);
        if segments == count(left) {
            for (at, (own, kept)) in raw.split('/').zip(left.split('/')).enumerate() {
                if own != kept && !is_personal(own, kept, at + 1 == segments) {
                    hidden.add(at);
                }
            }
            return hidden;
        }
        // What was removed went over slashes: all that is between what is left on both sides.
        let same = |(own, kept): &(&str, &str)| own == kept;
        let before = raw.split('/').zip(left.split('/')).take_while(same).count().min(segments - 1);
        let after = raw.rsplit('/').zip(left.rsplit('/')).take_while(same).count();
        let end = (segments - after.min(segments)).max(before + 1);
        (before..end).for_each(|at| hidden.add(at));
        hidden
    }
}

impl Hidden {
    /// Also the words of a path in its one spelling that redaction took away from how it was written: what gives a secret
    /// away may be gone there, as the second slash of `https://hooks.example/...`.
    pub(super) fn and_words(mut self, spelled: &str, (path, kept): (&str, &str)) -> Hidden {
        let segments = spelled.strip_prefix('/').unwrap_or(spelled).split('/').take(HIDDEN_WORDS_MAX);
        for (at, segment) in segments.enumerate() {
            let is_word = segment.len() >= HIDDEN_WORD_MIN && classify(segment, false) == Segment::Word;
            if is_word && path.contains(segment) && !kept.contains(segment) {
                self.add(at);
            }
        }
        self
    }
}

/// Shortest word that may be a secret, and how many of a path are looked at: a template shows no more.
const HIDDEN_WORD_MIN: usize = 6;
const HIDDEN_WORDS_MAX: usize = 32;

fn is_personal(own: &str, kept: &str, last: bool) -> bool {
    let named = |kept: &str| {
        let mut names = kept.split("[REDACTED:").skip(1).filter_map(|rest| rest.split(']').next()).peekable();
        (names.peek().is_some() || kept.contains("****")) && names.all(|name| PERSONAL.contains(&name))
    };
    // A word would be shown as it stands.
    classify(own, last) != Segment::Word && named(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, kept: &str, expected: &[usize]) {
        let hidden = Hidden::between(path, kept);
        let found: Vec<usize> = (0..8).filter(|at| hidden.has(*at)).collect();
        assert_eq!(found, expected, "{path} {kept}");
    }

    #[test]
    fn words_taken_away_before_it_was_spelled_are_hidden() {
        let written = ("/x/https://h.example/catch/abcdefghi", "/x/https://h.example/[REDACTED:vendor_key]");
        let hidden = Hidden::default().and_words("/x/https:/h.example/catch/abcdefghi", written);
        let found: Vec<usize> = (0..8).filter(|at| hidden.has(*at)).collect();
        assert_eq!(found, [4]);
    }

    #[test]
    fn changed_segments_are_hidden() {
        check("/a/b", "/a/b", &[]);
        check("/a/b/c", "/a/[REDACTED:token]/c", &[1]);
        check("/users/a@example.com", "/users/a***@[REDACTED:email]", &[]);
        check("/orders/4111111111111111", "/orders/****-1111", &[]);
        check("/word/x", "/[REDACTED:email]/x", &[0]);
        check("/a@example.com", "/[REDACTED:password][REDACTED:email]", &[0]);
        check("/a/b/c/d", "/a/[REDACTED:encoded]/d", &[1, 2]);
        check("/a/b/c", "[REDACTED:encoded]", &[0, 1, 2]);
        check("/a/b", "/a/x/y/b", &[1]);
    }
}
