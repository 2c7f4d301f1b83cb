//! Regular expressions: Sigma's are those of Perl, ours are those of an engine that is linear in the text. What both write
//! differently is translated; what only the former has (look-around, back-references) is refused with its name.
//!
//! Promises: a compiled expression and its cache are bounded; no expression makes a search worse than linear.
//! Never: drops a part of an expression that it cannot have.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind};

use super::limits::{CLAUSE_MAX, REGEX_BYTES_MAX};
use super::text::fold_char;

/// The modifiers beside `re`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    pub ignore_case: bool,
    pub multi_line: bool,
    pub dot_all: bool,
}

/// Compiles an expression in our own syntax.
pub fn build(text: &str, flags: Flags) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .case_insensitive(flags.ignore_case)
        .multi_line(flags.multi_line)
        .dot_matches_new_line(flags.dot_all)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|error| said(&error))
}

/// The last line of the engine's complaint says what is wrong; those before it draw where.
fn said(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error:").trim().to_owned()
}

/// Translates what Perl's expressions write in another way: braces that count nothing, brackets and doubled signs within a
/// class, and a few escapes.
pub fn translate(perl: &str) -> String {
    let chars: Vec<char> = perl.chars().collect();
    let mut out = String::with_capacity(perl.len() + 8);
    let mut at = 0;
    let mut class_from = None;
    while at < chars.len() {
        let (c, next) = (chars[at], chars.get(at + 1).copied());
        if c == '\\' {
            out.push_str(&escape(next, class_from.is_some()));
            at += 2;
            continue;
        }
        match (class_from, c) {
            (None, '[') => {
                out.push('[');
                at += 1;
                if chars.get(at) == Some(&'^') {
                    out.push('^');
                    at += 1;
                }
                // A bracket that comes first is a member.
                if chars.get(at) == Some(&']') {
                    out.push_str(r"\]");
                    at += 1;
                }
                class_from = Some(at);
                continue;
            }
            (None, '{') if !counts(&chars[at..]) => out.push_str(r"\{"),
            (Some(_), ']') => {
                out.push(']');
                class_from = None;
            }
            (Some(_), '[') if next == Some(':') && named_class(&chars[at..]).is_some() => {
                let length = named_class(&chars[at..]).unwrap_or(1);
                out.extend(&chars[at..at + length]);
                at += length;
                continue;
            }
            (Some(_), '[') => out.push_str(r"\["),
            (Some(from), '&' | '~') if at > from && chars[at - 1] == c => {
                out.push('\\');
                out.push(c);
            }
            (Some(from), '-') if at > from && (chars[at - 1] == '-' || next == Some('-')) => out.push_str(r"\-"),
            _ => out.push(c),
        }
        at += 1;
    }
    out
}

fn escape(letter: Option<char>, in_class: bool) -> String {
    match letter {
        None => r"\\".to_owned(),
        Some('Z') if !in_class => r"(?:\n?\z)".to_owned(),
        Some('h') if in_class => r"\t ".to_owned(),
        Some('h') => r"[\t ]".to_owned(),
        Some('e') => r"\x1B".to_owned(),
        // To our engine these are the edges of a word.
        Some(c @ ('<' | '>')) => c.to_string(),
        Some(c) if !c.is_ascii() => c.to_string(),
        Some(c) => format!("\\{c}"),
    }
}

/// Whether a brace begins `{n}`, `{n,}` or `{n,m}`.
fn counts(from: &[char]) -> bool {
    let Some(end) = from.iter().position(|c| *c == '}') else { return false };
    let inner: String = from[1..end].iter().collect();
    let number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    match inner.split_once(',') {
        None => number(&inner),
        Some((low, high)) => number(low) && (high.is_empty() || number(high)),
    }
}

/// The length of `[:alpha:]` and its like.
fn named_class(from: &[char]) -> Option<usize> {
    let end = from.windows(2).position(|two| two == [':', ']'])?;
    (end > 1 && from[2..end].iter().all(char::is_ascii_alphabetic)).then_some(end + 2)
}

/// Folded texts of which every text that the expression matches contains one; none where no such are known.
pub fn literals(text: &str, flags: Flags) -> Option<Vec<String>> {
    let parsed = regex_syntax::ParserBuilder::new()
        .case_insensitive(flags.ignore_case)
        .multi_line(flags.multi_line)
        .dot_matches_new_line(flags.dot_all)
        .build()
        .parse(text)
        .ok()?;
    needed(&parsed)
}

/// Recursion is bounded by the parser's own limit on nesting.
fn needed(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Literal(_) | HirKind::Class(_) => single(hir).map(|text| vec![text]),
        HirKind::Capture(capture) => needed(&capture.sub),
        HirKind::Repetition(repeated) if repeated.min > 0 => needed(&repeated.sub),
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(needed(branch)?);
                if all.len() > CLAUSE_MAX {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Concat(parts) => best_of_row(parts),
        _ => None,
    }
}

/// Of texts that stand in a row the longest run, or what one of its members needs where that is longer.
fn best_of_row(parts: &[Hir]) -> Option<Vec<String>> {
    let mut best: Option<Vec<String>> = None;
    let mut run = String::new();
    let mut offer = |candidate: Vec<String>| {
        let shortest = |all: &[String]| all.iter().map(String::len).min().unwrap_or(0);
        if shortest(&candidate) > best.as_deref().map_or(0, shortest) {
            best = Some(candidate);
        }
    };
    for part in parts {
        match single(part) {
            Some(text) => run.push_str(&text),
            None => {
                offer(vec![std::mem::take(&mut run)]);
                if let Some(candidate) = needed(part) {
                    offer(candidate);
                }
            }
        }
    }
    offer(vec![run]);
    best
}

/// The one folded text that this matches, whatever its case.
fn single(hir: &Hir) -> Option<String> {
    match hir.kind() {
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).ok()?;
            Some(text.chars().map(fold_char).collect())
        }
        HirKind::Class(Class::Unicode(class)) => {
            let mut members = class.iter().flat_map(|range| range.start()..=range.end()).take(9).map(fold_char);
            let first = members.next()?;
            members.all(|c| c == first).then(|| first.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(perl: &str, text: &str) -> bool {
        build(&translate(perl), Flags::default()).expect("it can be had").is_match(text)
    }

    #[test]
    fn what_perl_writes_in_another_way_is_translated() {
        assert!(matches(r"\${jndi:", "${jndi:"));
        assert!(matches("a{2}b{,3}", "aab{,3}"));
        assert!(matches("[[]x", "[x"));
        assert!(matches("[]x]+$", "]x]"));
        assert!(matches("[a&&b]+$", "a&b"));
        assert!(matches(r"[\w--z]+$", "a-z"));
        assert!(matches("[[:digit:]]+$", "12"));
        assert!(matches(r"\<b\>\/\-\_", "<b>/-_"));
        assert!(matches(r"end\Z", "the end\n"));
        assert!(matches(r"a\hb", "a\tb"));
    }

    #[test]
    fn what_our_engine_has_not_is_named() {
        let complaint = |text: &str| build(&translate(text), Flags::default()).unwrap_err();
        assert!(complaint("a(?!b)").contains("look-ahead"), "{}", complaint("a(?!b)"));
        assert!(complaint(r"(a)\1").contains("backreferences"), "{}", complaint(r"(a)\1"));
        assert!(complaint(r"((\w{1,200}){1,200}){1,200}").contains("size limit"));
        assert!(!complaint("a(b").is_empty());
    }

    #[test]
    fn every_match_contains_one_of_the_literals() {
        let of = |text: &str, ignore_case| literals(text, Flags { ignore_case, ..Flags::default() });
        assert_eq!(of("x.*Select.+from", false), Some(vec!["select".to_owned()]));
        assert_eq!(of("(?:union|SELECT)+ a", false), Some(vec!["union".to_owned(), "select".to_owned()]));
        assert_eq!(of("Task", true), Some(vec!["task".to_owned()]));
        assert_eq!(of("(abc)?d", false), Some(vec!["d".to_owned()]));
        assert_eq!(of("[a-z]+", false), None);
        assert_eq!(of("abc|.", false), None);
    }
}
