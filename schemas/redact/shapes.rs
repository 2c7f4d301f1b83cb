//! Secrets by their shape: a prefix and what follows it; private key blocks, also without their first line; the secret that
//! stands beside an AWS key.
//!
//! Promises: one search for all prefixes; linear time.
//! Never: decodes.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::classes::Class;
use super::find::{Finding, floor};
use super::rules::{self, Kind};

/// What may follow a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// `A-Z0-9`.
    Capitals,
    /// `A-Za-z0-9_-.`, the characters of vendors' keys.
    Key,
    /// A JWT: the same and `=`, and there must be a dot.
    Dotted,
    /// Base64: the body of a private key.
    Body,
    /// `... PRIVATE KEY`, up to the end of the block.
    Pem,
}

/// A shape: a prefix, and at least `least` characters of its tail.
pub(crate) struct Shape {
    pub(crate) class: Class,
    pub(crate) prefix: &'static str,
    pub(crate) tail: Tail,
    pub(crate) least: usize,
}

const fn shape(class: Class, prefix: &'static str, tail: Tail, least: usize) -> Shape {
    Shape { class, prefix, tail, least }
}

/// The shapes. Minimum lengths are below what vendors issue, so that a cut key is found too.
#[rustfmt::skip]
pub(crate) static SHAPES: &[Shape] = &[
    shape(Class::JWT, "eyJ", Tail::Dotted, 8), shape(Class::JWT, "eyA", Tail::Dotted, 8),
    shape(Class::JWT, "ewo", Tail::Dotted, 8), shape(Class::JWT, "ew0", Tail::Dotted, 8),
    shape(Class::AWS_KEY, "AKIA", Tail::Capitals, 12), shape(Class::AWS_KEY, "ASIA", Tail::Capitals, 12),
    shape(Class::GCP_KEY, "AIza", Tail::Key, 20), shape(Class::GCP_KEY, "ya29.", Tail::Key, 12),
    shape(Class::GCP_KEY, "GOCSPX-", Tail::Key, 10),
    shape(Class::GITHUB_TOKEN, "ghp_", Tail::Key, 8), shape(Class::GITHUB_TOKEN, "gho_", Tail::Key, 8),
    shape(Class::GITHUB_TOKEN, "ghu_", Tail::Key, 8), shape(Class::GITHUB_TOKEN, "ghs_", Tail::Key, 8),
    shape(Class::GITHUB_TOKEN, "ghr_", Tail::Key, 8), shape(Class::GITHUB_TOKEN, "github_pat_", Tail::Key, 8),
    shape(Class::GITLAB_TOKEN, "glpat-", Tail::Key, 8), shape(Class::GITLAB_TOKEN, "gldt-", Tail::Key, 8),
    shape(Class::GITLAB_TOKEN, "glrt-", Tail::Key, 8),
    shape(Class::SLACK_TOKEN, "xoxa-", Tail::Key, 8), shape(Class::SLACK_TOKEN, "xoxb-", Tail::Key, 8),
    shape(Class::SLACK_TOKEN, "xoxp-", Tail::Key, 8), shape(Class::SLACK_TOKEN, "xoxr-", Tail::Key, 8),
    shape(Class::SLACK_TOKEN, "xoxs-", Tail::Key, 8), shape(Class::SLACK_TOKEN, "xoxe.", Tail::Key, 8),
    shape(Class::SLACK_TOKEN, "xoxe-", Tail::Key, 8), shape(Class::SLACK_TOKEN, "xoxo-", Tail::Key, 8),
    shape(Class::SLACK_TOKEN, "xoxc-", Tail::Key, 8), shape(Class::SLACK_TOKEN, "xoxd-", Tail::Key, 8),
    shape(Class::SLACK_TOKEN, "xapp-", Tail::Key, 8),
    shape(Class::STRIPE_KEY, "sk_live_", Tail::Key, 8), shape(Class::STRIPE_KEY, "rk_live_", Tail::Key, 8),
    shape(Class::STRIPE_KEY, "sk_test_", Tail::Key, 8), shape(Class::STRIPE_KEY, "rk_test_", Tail::Key, 8),
    shape(Class::STRIPE_KEY, "whsec_", Tail::Key, 8),
    shape(Class::VENDOR_KEY, "npm_", Tail::Key, 24), shape(Class::VENDOR_KEY, "hvs.", Tail::Key, 16),
    shape(Class::VENDOR_KEY, "SG.", Tail::Key, 24), shape(Class::VENDOR_KEY, "dop_v1_", Tail::Key, 16),
    shape(Class::VENDOR_KEY, "sk-ant-", Tail::Key, 8), shape(Class::VENDOR_KEY, "sk-proj-", Tail::Key, 8),
    shape(Class::VENDOR_KEY, "shpat_", Tail::Key, 16), shape(Class::VENDOR_KEY, "pypi-", Tail::Key, 24),
    shape(Class::VENDOR_KEY, "hf_", Tail::Key, 24),
    shape(Class::PRIVATE_KEY, "-----BEGIN", Tail::Pem, 0), shape(Class::PRIVATE_KEY, "MIIEv", Tail::Body, 60), shape(Class::PRIVATE_KEY, "MIIEp", Tail::Body, 60),
    shape(Class::PRIVATE_KEY, "MIIEo", Tail::Body, 60), shape(Class::PRIVATE_KEY, "MIICX", Tail::Body, 60), shape(Class::PRIVATE_KEY, "MIICd", Tail::Body, 60), shape(Class::PRIVATE_KEY, "MIIJ", Tail::Body, 60),
    shape(Class::PRIVATE_KEY, "MIGHAgEA", Tail::Body, 40), shape(Class::PRIVATE_KEY, "MHcCAQEE", Tail::Body, 40), shape(Class::PRIVATE_KEY, "MC4CAQAw", Tail::Body, 30),
    shape(Class::PRIVATE_KEY, "b3BlbnNzaC1rZXktdjE", Tail::Body, 40),
];

static PREFIXES: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostFirst)
        .build(SHAPES.iter().map(|s| s.prefix))
        .expect("the prefixes are a short fixed list")
});

/// Secrets by shape.
pub(crate) fn shapes(text: &str, findings: &mut Vec<Finding>) {
    let mut from = 0;
    while let Some(hit) = PREFIXES.find(&text.as_bytes()[from..]) {
        let (start, after) = (from + hit.start(), from + hit.end());
        from = after;
        let shape = &SHAPES[hit.pattern().as_usize()];
        if !rules::on(Kind::Prefix, hit.pattern().as_usize()) {
            continue;
        }
        match match_shape(text, start, after, shape) {
            Some(finding) => {
                findings.push(finding);
                from = finding.end.max(after);
            }
            // The same run without a dot would be read again from each prefix in it.
            None if shape.tail == Tail::Dotted => from = after + dotted_run(&text.as_bytes()[after..]),
            None => {}
        }
    }
}

fn dotted_run(tail: &[u8]) -> usize {
    tail.iter().position(|&b| !(is_key(b) || b == b'=')).unwrap_or(tail.len())
}

fn match_shape(text: &str, start: usize, after: usize, shape: &Shape) -> Option<Finding> {
    let tail = &text.as_bytes()[after..];
    let run = |allowed: fn(u8) -> bool| tail.iter().position(|&b| !allowed(b)).unwrap_or(tail.len());
    let (start, length) = match shape.tail {
        Tail::Capitals => (start, run(|b| b.is_ascii_uppercase() || b.is_ascii_digit())),
        Tail::Key => (start, run(is_key)),
        Tail::Dotted => {
            let length = dotted_run(tail);
            tail[..length].contains(&b'.').then_some((start, length))?
        }
        Tail::Body => (start, run(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\r' | b'\n'))),
        Tail::Pem => (start, pem(&text[after..]).filter(|_| rules::has(rules::PEM_HEADER))?),
    };
    if length < shape.least
        || (shape.class != Class::PRIVATE_KEY
            && start > 0
            && text.as_bytes()[start - 1].is_ascii_alphanumeric()
            && !is_certain(shape))
    {
        return None;
    }
    let end = after + length;
    let end = if shape.class == Class::AWS_KEY { aws_secret_end(text.as_bytes(), end) } else { end };
    Some(Finding::new(start, end, shape.class))
}

fn is_key(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')
}

/// Length of a private key block after its `-----BEGIN`: to the end of its last line, or of the text.
fn pem(after: &str) -> Option<usize> {
    let header = &after[..floor(after, 48)];
    header.contains("PRIVATE").then(|| match after.find("-----END") {
        Some(end) => {
            let rest = &after[end + 8..];
            end + 8 + rest.find("-----").map_or(rest.len(), |i| i + 5)
        }
        None => after.len(),
    })
}

/// Shapes that need no boundary before them: a letter in front does not make them a word.
fn is_certain(shape: &Shape) -> bool {
    matches!(shape.tail, Tail::Dotted | Tail::Pem)
}

/// The end of the 40 characters of a secret that stand behind an AWS key, or the end of the key.
fn aws_secret_end(bytes: &[u8], key_end: usize) -> usize {
    let blanks = bytes[key_end..]
        .iter()
        .take(4)
        .take_while(|&&b| matches!(b, b':' | b'/' | b',' | b' ' | b';' | b'|' | b'&' | b'"' | b'\''))
        .count();
    let secret = &bytes[key_end + blanks..];
    let length =
        secret.iter().take_while(|&&b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'%')).count();
    let found = blanks > 0 && (40..=60).contains(&length) && rules::has(rules::AWS_SECRET);
    if found { key_end + blanks + length } else { key_end }
}

/// Private key blocks of which the first line is cut off: what stands between `PRIVATE KEY-----` and the last line, and
/// what stands before a last line.
pub(crate) fn key_blocks(text: &str, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    if !rules::has(rules::PEM_REST) {
        return;
    }
    for at in memchr::memmem::find_iter(bytes, b"PRIVATE KEY").take(8) {
        let behind = at + 11;
        let is_last = bytes[at.saturating_sub(24)..at].windows(3).any(|w| w == b"END");
        if is_last {
            let line = bytes[..at].iter().rposition(|&b| !is_header(b)).map_or(0, |i| i + 1);
            let start = bytes[..line].iter().rposition(|&b| !is_body(b)).map_or(0, |i| i + 1);
            if line - start >= 16 {
                findings.push(Finding { start, end: behind, class: Class::PRIVATE_KEY, whole: true });
            }
            continue;
        }
        let rest = &bytes[behind..];
        let end = memchr::memmem::find(rest, b"-----END").unwrap_or_else(|| {
            let head = rest.iter().take_while(|&&b| b == b'-' || b == b' ').count();
            head + rest[head..].iter().position(|&b| !is_body(b)).unwrap_or(rest.len() - head)
        });
        if end >= 21 {
            findings.push(Finding { start: behind, end: behind + end, class: Class::PRIVATE_KEY, whole: true });
        }
    }
}

/// Of the last line of a block: `-----END RSA `.
fn is_header(b: u8) -> bool {
    matches!(b, b'-' | b' ') || b.is_ascii_uppercase()
}

fn is_body(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\r' | b'\n' | b' ' | b'-' | b'_')
}
