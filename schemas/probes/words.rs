//! The words that a pattern cannot do without: a text that has none of them does not match, whatever else is in it. So a text is
//! searched once for the words of all signatures, and then by the signatures alone that it has a word of.
//!
//! Promises: every text that matches a pattern holds one of its words, as they stand in the pattern. Follows the syntax tree:
//! a sequence needs the words of any one of its parts, a choice those of all of its branches.
//! Never: looks at a text.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Words of one part; beyond them a part is no choice of words.
const WORDS_MAX: usize = 256;
/// Letters of one set that are words of one letter each.
const LETTERS_MAX: usize = 8;
/// Letters of a word beyond which it tells no more.
const TELLING: usize = 4;

type Words = Vec<Vec<u8>>;

/// The words, one of which is in every text that `pattern` matches; empty, if it may match without any. Nothing for what is no pattern.
pub(super) fn required(pattern: &str) -> Option<Words> {
    let hir = ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern).ok()?;
    Some(of(&hir).needed().unwrap_or_default())
}

/// What is known of a part of a pattern.
struct Part {
    /// All texts it matches, where they are few.
    whole: Option<Words>,
    /// Words of which what it matches holds one.
    held: Option<Words>,
    /// Words of which it begins and ends with one, where it is one of them again and again.
    ends: Option<Words>,
}

impl Part {
    fn nothing() -> Part {
        Part::whole(vec![Vec::new()])
    }

    fn whole(words: Words) -> Part {
        Part { whole: Some(words), held: None, ends: None }
    }

    fn unknown() -> Part {
        Part { whole: None, held: None, ends: None }
    }

    fn needed(self) -> Option<Words> {
        better(self.whole.filter(|words| words.iter().all(|word| !word.is_empty())), self.held)
    }
}

fn of(hir: &Hir) -> Part {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Part::nothing(),
        HirKind::Literal(literal) => Part::whole(vec![literal.0.to_vec()]),
        HirKind::Class(class) => letters(class).map_or_else(Part::unknown, Part::whole),
        HirKind::Capture(capture) => of(&capture.sub),
        HirKind::Repetition(repetition) => {
            let part = of(&repetition.sub);
            match (repetition.min, repetition.max) {
                (1, Some(1)) => part,
                (0, Some(1)) => {
                    let whole = part.whole.map(|mut words| {
                        words.push(Vec::new());
                        words
                    });
                    Part { whole, ..Part::unknown() }
                }
                (0, _) => Part::unknown(),
                _ => Part { whole: None, ends: part.whole.clone(), held: part.needed() },
            }
        }
        HirKind::Alternation(branches) => choice(branches),
        HirKind::Concat(parts) => sequence(parts),
    }
}

fn letters(class: &Class) -> Option<Words> {
    let Class::Bytes(class) = class else { return None };
    let count: usize = class.ranges().iter().map(regex_syntax::hir::ClassBytesRange::len).sum();
    let all = || class.ranges().iter().flat_map(|range| (range.start()..=range.end()).map(|letter| vec![letter]));
    (count <= LETTERS_MAX).then(|| all().collect())
}

fn choice(branches: &[Hir]) -> Part {
    let parts: Vec<Part> = branches.iter().map(of).collect();
    let whole = parts.iter().try_fold(Words::new(), |mut all, part| {
        all.extend(part.whole.as_ref()?.iter().cloned());
        (all.len() <= WORDS_MAX).then_some(all)
    });
    let held = parts.into_iter().try_fold(Words::new(), |mut all, part| {
        all.extend(part.needed()?);
        Some(all)
    });
    Part { whole, held, ends: None }
}

fn sequence(parts: &[Hir]) -> Part {
    let (mut best, mut run, mut is_whole) = (None, vec![Vec::new()], true);
    for part in parts.iter().map(of) {
        if let Some(joined) = part.whole.as_ref().and_then(|words| join(&run, words)) {
            run = joined;
            continue;
        }
        // The run ends here: what stood together is one choice of words, and the next begins.
        is_whole = false;
        let ended = part.ends.as_ref().and_then(|ends| join(&run, ends)).unwrap_or(run);
        run = part.ends.clone().unwrap_or_else(|| vec![Vec::new()]);
        best = better(better(best, Part::whole(ended).needed()), part.needed());
    }
    if is_whole {
        return Part::whole(run);
    }
    Part { held: better(best, Part::whole(run).needed()), ..Part::unknown() }
}

/// Each word of the one with each of the other behind it, where they are few enough.
fn join(before: &Words, behind: &Words) -> Option<Words> {
    if before.len() * behind.len() > WORDS_MAX {
        return None;
    }
    Some(before.iter().flat_map(|a| behind.iter().map(move |b| [a.as_slice(), b.as_slice()].concat())).collect())
}

/// The words that tell more: longer ones, and of those as long the fewer.
fn better(one: Option<Words>, other: Option<Words>) -> Option<Words> {
    let worth = |words: &Words| {
        let shortest = words.iter().map(Vec::len).min().unwrap_or(0).min(TELLING);
        (shortest, std::cmp::Reverse(words.len()))
    };
    match (one, other) {
        (Some(one), Some(other)) => Some(if worth(&other) > worth(&one) { other } else { one }),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pattern: &str) -> Vec<String> {
        let mut words: Vec<String> = required(pattern)
            .expect("a pattern")
            .into_iter()
            .map(|word| String::from_utf8_lossy(&word).into_owned())
            .collect();
        words.sort();
        words
    }

    #[test]
    fn the_longest_words_that_no_match_can_do_without() {
        assert_eq!(words(r"\bunion\b[ (]*(?:all|distinct)?[ (]*select\b"), ["union"]);
        assert_eq!(words(r"on(?:load|error) ?="), ["onerror =", "onerror=", "onload =", "onload="]);
        assert_eq!(words(r"[a-z]+(?:ab|cde)\d"), ["ab", "cde"]);
        assert_eq!(words(r"a?b{2,}c*"), ["b"]);
        assert_eq!(words(r"[^a-z]\.\.+[/\\]"), [".."]);
        assert_eq!(words(r"x*|abc"), [""; 0]);
        assert_eq!(words(r"[a-z]*"), [""; 0]);
        assert_eq!(words(r"(?:ab)?"), [""; 0]);
    }
}
