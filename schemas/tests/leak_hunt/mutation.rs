//! Is every rule of redaction needed? Each is taken out in turn, and then something must go wrong: a secret of the hunt gets
//! through, or one made for the word, prefix or scheme that the rule is named after; or an ordinary text is taken away.
//!
//! What is right is never asked of the redactor: a random value is a secret, `42` and `morning` are not.

use schemas::redact::testing::{rules, without};
use schemas::scrub;

use super::Sample;
use super::ordinary;
use super::rng::Rng;
use super::undo::{Needles, Undo};

struct Held {
    sample: Sample,
    needles: Needles,
    kept: String,
}

impl Held {
    /// A sample that the whole set of rules holds.
    fn new(sample: Sample, undo: &mut Undo) -> Option<Held> {
        let (needles, kept) = (Needles::new(&sample.parts), scrub(&sample.text).into_owned());
        (!undo.reveals(&kept, &needles)).then_some(Held { sample, needles, kept })
    }

    fn leaks(&self, undo: &mut Undo) -> bool {
        let kept = scrub(&self.sample.text);
        *kept != self.kept && undo.reveals(&kept, &self.needles)
    }
}

/// Rules without which nothing goes wrong, and the number of all rules.
pub fn unneeded(samples: Vec<Sample>) -> (Vec<String>, usize) {
    let mut undo = Undo::default();
    let held: Vec<Held> = samples.into_iter().filter_map(|sample| Held::new(sample, &mut undo)).collect();
    let lower: Vec<String> =
        held.iter().map(|one| format!("{} {}", one.sample.name, one.sample.text).to_lowercase()).collect();
    let lists = [ordinary::PATHS, ordinary::QUERIES, ordinary::AGENTS, ordinary::REFERRERS, ordinary::TEXTS];
    let texts: Vec<&str> = lists.into_iter().flatten().copied().filter(|text| scrub(text) == *text).collect();
    let all = rules();
    let mut unneeded = Vec::new();
    for rule in &all {
        let (kind, word) = rule.split_once(':').unwrap_or(("", rule));
        let lowered = word.to_lowercase();
        // Samples that name the rule come first: mostly one of them shows it. A rule that is no word may concern any.
        let named = (0..held.len()).filter(|&i| lower[i].contains(&lowered));
        let everywhere = ["decode", "grammar", "finder", ""].contains(&kind);
        let others = (0..held.len()).filter(|&i| everywhere && !lower[i].contains(&lowered));
        let shown = without(rule, || named.chain(others).any(|index| held[index].leaks(&mut undo)));
        if shown {
            continue;
        }
        let leaks = |(text, secret): &(String, String)| {
            !scrub(text).contains(secret.as_str()) && without(rule, || scrub(text).contains(secret.as_str()))
        };
        let is_taken = |text: &str| scrub(text) == text && without(rule, || scrub(text) != text);
        let needed = candidates(kind, word).iter().any(leaks)
            || ordinary_candidates(kind, word).iter().any(|text| is_taken(text))
            || texts.iter().any(|text| is_taken(text));
        if !needed {
            unneeded.push(rule.clone());
        }
    }
    (unneeded, all.len())
}

/// Names that a word is a part of.
fn names(word: &str) -> Vec<String> {
    let mut names = vec![word.to_string(), format!("{word}s"), format!("{word}2"), format!("user[{word}]")];
    for other in
        ["key", "token", "secret", "code", "id", "number", "password", "pin", "session", "hash", "card", "cookie", "no"]
    {
        names.push(format!("{word}_{other}"));
        names.push(format!("{other}_{word}"));
        names.push(format!("{word}{other}"));
        names.push(format!("{other}{word}"));
    }
    for other in ["user", "my", "auth", "api", "access", "sign", "otp", "x", "login", "client"] {
        names.push(format!("{other}_{word}"));
        names.push(format!("{other}{word}"));
    }
    names
}

/// Texts with a secret where a rule of this name looks, and that secret.
fn candidates(kind: &str, word: &str) -> Vec<(String, String)> {
    let mut rng = Rng::of(&format!("{kind} {word}"));
    let mut samples = Vec::new();
    let mut add = |text: String, secret: String| {
        // A finding covers the whole key, so what tells whose it is goes with it.
        let owner = text.split(|c: char| !c.is_ascii_alphanumeric()).find(|piece| !piece.is_empty());
        if let Some(owner) = owner.filter(|owner| kind == "vendor" && (2..=24).contains(&owner.len())) {
            samples.push((text.clone(), owner.to_owned()));
        }
        samples.push((text, secret));
    };
    match kind {
        "word" | "ending" => {
            let names = if kind == "word" { names(word) } else { vec![format!("foo{word}"), format!("blu{word}")] };
            for name in names {
                for which in 0..5 {
                    let secret = match which {
                        0 => rng.secret(24),
                        1 => format!("swordfish{}", rng.text(b"bcdfghk", 4)),
                        2 => rng.digits(9),
                        3 => rng.text(b"0123456789abcdef", 32),
                        _ => rng.digits(17),
                    };
                    add(format!("{name}={secret}"), secret);
                }
            }
        }
        "prefix" | "vendor" => {
            for alphabet in [
                &b"ABCDEFGHabcdefgh0123456789"[..],
                b"0123456789abcdef",
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
                b"0123456789",
            ] {
                for length in [10, 16, 20, 24, 32, 36, 40, 64, 120, 300] {
                    let secret = rng.text(alphabet, length);
                    add(format!("{word}{secret}"), secret.clone());
                    add(format!("{word}-{secret}"), secret.clone());
                    add(format!("acme{word}{secret}"), secret.clone());
                    add(format!("{word}{}.{}.{secret}", rng.secret(30), rng.secret(60)), secret);
                }
            }
            // Some are of one length alone.
            for length in (8..=110).filter(|_| kind == "vendor") {
                for alphabet in
                    [&b"ABCDEFGHabcdefgh0123456789"[..], b"0123456789abcdef", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"]
                {
                    let secret = rng.text(alphabet, length);
                    add(format!("{word}{secret}"), secret);
                }
            }
            let (number, secret) = (rng.digits(7), rng.secret(24));
            add(format!("{word}{number}/{secret}"), secret);
            // Headers of tokens with blanks in them.
            for blank in [" ", "\n", "\r\n"] {
                let header = data_encoding::BASE64URL_NOPAD.encode(format!("{{{blank}\"alg\": \"HS256\"}}").as_bytes());
                let secret = rng.secret(43);
                if header.starts_with(word) {
                    add(format!("{header}.{}.{secret}", rng.secret(60)), secret);
                }
            }
            let lines: Vec<String> = (0..4).map(|_| rng.secret(64)).collect();
            add(format!("{word} PRIVATE KEY-----\n{}", lines.join("\n")), lines[2].clone());
            add(format!("{word}{}", lines.join("\n")), lines[2].clone());
        }
        "scheme" => {
            for secret in [rng.secret(20), rng.secret(40), rng.text(b"0123456789abcdef", 64)] {
                for form in [
                    "S #",
                    "x: S #",
                    "Authorization S #",
                    "S token=\"#\"",
                    "S id=\"x\", mac=\"#\"",
                    "S realm=x #",
                    "S Credential=x, Signature=#",
                    "h=S #",
                    "S: #",
                    "S=#",
                    "S bob #",
                ] {
                    add(form.replace('S', word).replace('#', &secret), secret.clone());
                }
            }
        }
        "telling" => {
            for length in [12, 20, 24, 32, 43, 64] {
                for secret in [rng.secret(length), rng.text(b"0123456789abcdef", length)] {
                    for form in ["/S/#", "/v1/S/#/x", "/users/S/#", "/S-x/#", "/x-S/#", "/S_x/#"] {
                        add(form.replace('S', word).replace('#', &secret), secret.clone());
                    }
                }
            }
        }
        _ => {}
    }
    samples
}

/// Ordinary texts with the word in them.
fn ordinary_candidates(kind: &str, word: &str) -> Vec<String> {
    if kind != "word" {
        return vec![
            format!("/{word}/list"),
            format!("/{word}/42"),
            format!("{word} of good news"),
            format!("a {word} here"),
        ];
    }
    let names = names(word);
    let values = ["42", "morning", "DE", "true", "2026-09-21", "4711", "blue-shoes"];
    let pairs = names.iter().flat_map(|name| values.map(|value| format!("{name}={value}")));
    pairs.collect()
}
