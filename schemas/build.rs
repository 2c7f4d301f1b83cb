//! Takes the shapes of vendors' keys out of the rule set that `secrets_scanner` ships (gitleaks, MIT, and Kingfisher,
//! Apache-2.0), when this crate is built: of each rule the literal that its secret begins with, the characters that may
//! follow and how many. Compiling the 987 regular expressions when the program starts would take 8 s and 660 MB. Of
//! `phonenumber` it takes the lengths of each country's telephone numbers: reading them then would take 1.7 s, and an
//! attacker could make it compile hundreds of expressions for one record.
//!
//! Promises: writes two tables into the build's own folder, and invented keys for the tests; the same rules make the same ones.
//! Never: copies a rule; keeps a rule that names no literal (those are found by the name of the key).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Class, Hir, HirKind};
use secrets_scanner::rules::BUNDLED_RULES;
use secrets_scanner::rules::validation::escape_literal_braces;
use secrets_scanner::{RuleConfig, RulesetConfig};

/// What follows a prefix: a set of ASCII characters, and how many.
#[derive(Clone, Copy)]
struct Tail {
    allowed: u128,
    least: usize,
    most: usize,
}

/// Prefixes are cut here: more says no more.
const PREFIX_BYTES_MAX: usize = 24;
const TAIL_BYTES_MAX: usize = 1024;
/// Secrets that are invented for each rule.
const KEYS_OF_RULE: usize = 6;

/// Rules of other finders: URLs with a password, PEM blocks, JWTs, `key=value` of any name.
const LEFT_OUT: &[&str] = &["jwt", "private-key", "generic", "curl", "privkey", ".uri.", "my-internal", "travisci.2"];

fn main() {
    let rules: RulesetConfig = toml::from_str(BUNDLED_RULES).expect("the bundled rules are TOML");
    let mut tails: BTreeMap<String, Tail> = BTreeMap::new();
    let mut keys = String::new();
    for rule in &rules.rules {
        if LEFT_OUT.iter().any(|part| rule.id.contains(part)) {
            continue;
        }
        let found = prefixes(rule);
        if !found.is_empty() {
            keys.push_str(&drawn(rule));
        }
        for (prefix, tail) in found {
            tails
                .entry(prefix)
                .and_modify(|known| {
                    known.allowed |= tail.allowed;
                    known.least = known.least.min(tail.least);
                    known.most = known.most.max(tail.most);
                })
                .or_insert(tail);
        }
    }
    assert!(tails.len() > 300, "the form of the bundled rules has changed");
    write("vendor_rules.rs", &vendor_table(&tails));
    write("vendor_keys.txt", &keys);
    write("phone_lengths.rs", &phone_table());
}

/// Per calling code the lengths of the numbers behind it, as bits.
fn phone_table() -> String {
    let mut text = String::from("pub(super) static LENGTHS: &[(u16, u32)] = &[\n");
    let mut count = 0;
    for code in 1u16..1000 {
        let Some(countries) = phonenumber::metadata::DATABASE.by_code(&code) else { continue };
        let mut bits = 0u32;
        for kinds in countries.iter().map(|country| country.descriptors()) {
            let all = [
                kinds.fixed_line(),
                kinds.mobile(),
                kinds.toll_free(),
                kinds.shared_cost(),
                kinds.personal_number(),
                kinds.voip(),
                kinds.uan(),
                kinds.premium_rate(),
            ];
            let lengths = all.into_iter().flatten().chain([kinds.general()]).flat_map(|kind| kind.possible_length());
            lengths.filter(|length| **length < 32).for_each(|length| bits |= 1 << length);
        }
        count += u32::from(bits != 0);
        writeln!(text, "    ({code}, {bits:#x}),").expect("a text takes all");
    }
    assert!(count > 200, "the form of the telephone metadata has changed");
    text.push_str("];\n");
    text
}

/// The expression of a rule, in the case of its spelling and in all that it allows, and the groups that are the secret.
fn parsed(rule: &RuleConfig) -> Option<(Hir, Hir, RangeInclusive<u32>)> {
    let pattern = rule.regex.as_deref().map(escape_literal_braces)?;
    // A prefix counts as the rule spells it, the characters behind it in the cases the rule allows.
    let spelled = ["(?-i:", "(?i:"].iter().fold(pattern.clone(), |text, flag| text.replace(flag, "(?:"));
    let spelled =
        spelled.replace("(?i)", "").replace("(?xi)", "(?x)").replace("(?ix)", "(?x)").replace("(?xis)", "(?xs)");
    let (spelled, whole) = (parse(&spelled)?, parse(&pattern)?);
    let groups = spelled.properties().explicit_captures_len() as u32;
    let wanted = match rule.secret_group {
        Some(0) => 0..=0,
        Some(group) => group as u32..=group as u32,
        None if groups == 0 => 0..=0,
        None => 1..=groups,
    };
    Some((spelled, whole, wanted))
}

/// Invented secrets that the expression of a rule fits, a line each: what the tests plant, whatever the table makes of it.
fn drawn(rule: &RuleConfig) -> String {
    let Some((spelled, _, mut wanted)) = parsed(rule) else { return String::new() };
    let group = wanted.find_map(|group| capture(&spelled, group));
    let mut state =
        rule.id.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let mut lines = String::new();
    for _ in 0..KEYS_OF_RULE {
        let mut key = Vec::new();
        group.iter().for_each(|hir| draw(hir, &mut state, &mut key));
        if let Some(key) = String::from_utf8(key).ok().filter(|key| key.bytes().all(|b| b.is_ascii_graphic())) {
            lines.push_str(&key);
            lines.push('\n');
        }
    }
    lines
}

/// Appends something that `hir` matches.
fn draw(hir: &Hir, state: &mut u64, out: &mut Vec<u8>) {
    let mut below = |count: usize| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 20) as usize % count.max(1)
    };
    match hir.kind() {
        _ if out.len() > TAIL_BYTES_MAX => {}
        HirKind::Literal(literal) => out.extend_from_slice(&literal.0),
        HirKind::Class(Class::Bytes(class)) => {
            let all: Vec<u8> = class.ranges().iter().flat_map(|range| range.start()..=range.end()).collect();
            let usual: Vec<u8> = all.iter().copied().filter(u8::is_ascii_alphanumeric).collect();
            let from = if usual.is_empty() { &all } else { &usual };
            out.extend(from.get(below(from.len())));
        }
        HirKind::Repetition(repeated) => {
            let more = repeated.max.map_or(8, |max| (max - repeated.min).min(8));
            let times = repeated.min as usize + below(more as usize + 1);
            (0..times).for_each(|_| draw(&repeated.sub, state, out));
        }
        HirKind::Capture(of) => draw(&of.sub, state, out),
        HirKind::Concat(parts) => parts.iter().for_each(|part| draw(part, state, out)),
        HirKind::Alternation(parts) => {
            let part = below(parts.len());
            draw(&parts[part], state, out);
        }
        _ => {}
    }
}

/// The literals that the secret of a rule may begin with, and what follows them.
fn prefixes(rule: &RuleConfig) -> Vec<(String, Tail)> {
    let Some((spelled, whole, wanted)) = parsed(rule) else { return Vec::new() };
    let mut found = Vec::new();
    for group in wanted {
        let (Some(spelled), Some(whole)) = (capture(&spelled, group), capture(&whole, group)) else { continue };
        let sequence =
            Extractor::new().limit_class(2).limit_literal_len(PREFIX_BYTES_MAX).limit_total(64).extract(spelled);
        for literal in sequence.literals().unwrap_or_default() {
            let Ok(prefix) = String::from_utf8(literal.as_bytes().to_vec()) else { continue };
            let size = |length: Option<usize>| length.unwrap_or(TAIL_BYTES_MAX).min(TAIL_BYTES_MAX);
            let (least, most) = (spelled.properties().minimum_len(), spelled.properties().maximum_len());
            let mut allowed = 0;
            characters(whole, &mut allowed);
            let least = size(least).saturating_sub(prefix.len());
            let tail = Tail { allowed, least, most: size(most).saturating_sub(prefix.len()) };
            if tells(&prefix, least) {
                found.push((prefix, tail));
            }
        }
    }
    found
}

/// Is a prefix rare enough, and what follows it long enough?
fn tells(prefix: &str, least: usize) -> bool {
    let long_enough = match prefix.len() {
        0 | 1 => false,
        2 => least >= 30,
        3 => least >= 20,
        _ => least >= 10,
    };
    let is_odd = prefix.bytes().any(|b| !b.is_ascii_lowercase()) || least >= 32;
    let is_other = prefix.contains(['/', ':', '=', ' ', '"', '\''])
        || ["ey", "ew", "0x", "--"].iter().any(|p| prefix.starts_with(p));
    let is_number = prefix.bytes().all(|b| b.is_ascii_digit());
    prefix.is_ascii() && long_enough && is_odd && !is_other && !is_number
}

fn parse(pattern: &str) -> Option<Hir> {
    regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern).ok()
}

fn capture(hir: &Hir, group: u32) -> Option<&Hir> {
    match hir.kind() {
        _ if group == 0 => Some(hir),
        HirKind::Capture(capture_of) if capture_of.index == group => Some(&capture_of.sub),
        HirKind::Capture(other) => capture(&other.sub, group),
        HirKind::Repetition(repeated) => capture(&repeated.sub, group),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().find_map(|part| capture(part, group)),
        _ => None,
    }
}

/// Adds the ASCII characters that may occur anywhere in what `hir` matches.
fn characters(hir: &Hir, set: &mut u128) {
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.iter().filter(|b| b.is_ascii()).for_each(|b| *set |= 1 << b),
        HirKind::Class(Class::Bytes(class)) => class.ranges().iter().for_each(|range| {
            (range.start()..=range.end()).filter(u8::is_ascii).for_each(|b| *set |= 1 << b);
        }),
        HirKind::Class(Class::Unicode(class)) => class.ranges().iter().for_each(|range| {
            (range.start()..=range.end().min('\u{7f}')).for_each(|c| *set |= 1 << u32::from(c));
        }),
        HirKind::Repetition(repeated) => characters(&repeated.sub, set),
        HirKind::Capture(capture_of) => characters(&capture_of.sub, set),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().for_each(|part| characters(part, set)),
        _ => {}
    }
}

fn vendor_table(tails: &BTreeMap<String, Tail>) -> String {
    let mut text = String::from("pub(super) static RULES: &[(&str, u128, u16, u16)] = &[\n");
    for (prefix, tail) in tails {
        // White space, quotes and what separates values in a URL are in no key.
        let separators = b"\t\n\r \"'&<>;,#?".iter().fold(0u128, |set, b| set | 1 << b);
        let allowed = tail.allowed & !separators & !0xffff_ffff;
        writeln!(text, "    ({prefix:?}, {allowed:#x}, {}, {}),", tail.least, tail.most).expect("a text takes all");
    }
    text.push_str("];\n");
    text
}

#[allow(clippy::disallowed_methods, reason = "cargo tells a build script its folder this way")]
fn write(name: &str, text: &str) {
    let folder = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets the folder"));
    std::fs::write(folder.join(name), text).expect("the build's folder can be written");
    writeln!(std::io::stdout(), "cargo:rerun-if-changed=build.rs").expect("cargo reads");
}
