//! Records whose secrets once got through: none may be readable again, in any column or reject, as it stands or behind an
//! encoding. The data is not part of the repository: its folder is `$GATEWATCH_REFERENCE`, without which this is ignored.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)] // a test is told by the environment where data is

use std::io::Read;

use data_encoding::{BASE32_NOPAD, BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use schemas::{Keys, Lane, Normaliser, RawBatch, SourceConfig, event_json};
use serde_json::Value;

/// Fewest characters of a secret that are one.
const PIECE: usize = 8;

fn decoded(text: &str) -> Vec<u8> {
    data_encoding::BASE64.decode(text.as_bytes()).expect("base64")
}

fn outputs(kind: &str, record: &[u8]) -> Vec<String> {
    let mut normaliser = Normaliser::new(&SourceConfig::new(kind), &Keys::new("k1", b"fake")).expect("a built-in kind");
    let mut raw = RawBatch::new();
    raw.push(0, 0, record);
    let normalised = normaliser.normalise(&Lane::new("leak", 0), &raw);
    let mut texts: Vec<String> =
        normalised.rejects.iter().map(|reject| format!("{:?} {}", reject.code, reject.detail)).collect();
    for row in 0..normalised.events.num_rows() {
        texts.extend(
            event_json(&normalised.events, row).into_iter().filter_map(|(_, value)| value.as_str().map(String::from)),
        );
    }
    texts
}

/// Is a piece of `secret` in `text`, or in what encodings in it stand for?
fn reveals(text: &[u8], secret: &[u8], depth: usize) -> bool {
    let width = PIECE.min(secret.len());
    if secret.windows(width).any(|piece| text.windows(width).any(|w| w == piece)) {
        return true;
    }
    if depth == 0 {
        return false;
    }
    let mut forms: Vec<Vec<u8>> =
        vec![unescaped(text), text.iter().copied().filter(|b| !matches!(b, 0 | b'\r' | b'\n')).collect()];
    for run in text.split(|b| !b.is_ascii_alphanumeric() && !b"+/-_".contains(b)).filter(|run| run.len() >= 12) {
        let plain: Vec<u8> = run
            .iter()
            .map(|&b| {
                if b == b'-' {
                    b'+'
                } else if b == b'_' {
                    b'/'
                } else {
                    b
                }
            })
            .collect();
        for skip in 0..4 {
            let part = &plain[skip..];
            forms.extend(BASE64_NOPAD.decode(&part[..part.len() / 4 * 4]));
        }
        forms.extend(HEXLOWER_PERMISSIVE.decode(&run[..run.len() / 2 * 2]));
        forms.extend(BASE32_NOPAD.decode(&run.to_ascii_uppercase()[..run.len() / 8 * 8]));
    }
    let mut inflated = Vec::new();
    if text.starts_with(&[0x1f, 0x8b])
        && flate2::read::GzDecoder::new(text).take(1 << 16).read_to_end(&mut inflated).is_ok()
    {
        forms.push(inflated);
    }
    forms.iter().filter(|form| form.as_slice() != text).any(|form| reveals(form, secret, depth - 1))
}

/// Percent, backslash, entity and quoted-printable escapes undone once.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let hex = |pair: Option<&[u8]>| pair.and_then(|p| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok());
    let (mut out, mut i) = (Vec::new(), 0);
    while i < text.len() {
        let rest = &text[i..];
        let (byte, width) = match rest {
            [b'%', b'u', ..] => (hex(rest.get(4..6)), 6),
            [b'\\', b'u', ..] => (hex(rest.get(4..6)), 6),
            [b'\\', b'x', ..] => (hex(rest.get(2..4)), 4),
            [b'%' | b'=', ..] => (hex(rest.get(1..3)), 3),
            [b'&', b'#', ..] => {
                let end = rest.iter().position(|&b| b == b';').unwrap_or(0);
                (std::str::from_utf8(rest.get(2..end).unwrap_or(b"")).ok().and_then(|d| d.parse().ok()), end + 1)
            }
            _ => (None, 1),
        };
        out.push(byte.unwrap_or(text[i]));
        i += if byte.is_some() { width } else { 1 };
    }
    out
}

#[test]
#[ignore = "needs GATEWATCH_REFERENCE"]
fn no_secret_of_the_leak_cases_gets_through() {
    let root = std::env::var_os("GATEWATCH_REFERENCE").expect("GATEWATCH_REFERENCE names the folder of the data");
    let text =
        std::fs::read_to_string(std::path::PathBuf::from(root).join("leak-cases/cases.jsonl")).expect("the leak cases");
    let (mut cases, mut failed) = (0, Vec::new());
    for line in text.lines() {
        let case: Value = serde_json::from_str(line).expect("a case is JSON");
        let field = |name: &str| case[name].as_str().expect("a text").to_string();
        let (record, secret) = (decoded(&field("line_b64")), decoded(&field("secret_b64")));
        cases += 1;
        let texts = outputs(&field("source"), &record);
        if let Some(text) = texts.iter().find(|text| reveals(text.as_bytes(), &secret, 3)) {
            failed.push(format!("{}: {text}", field("id")));
        }
        if std::env::var_os("GATEWATCH_SHOW").is_some() {
            println!("{}: {texts:?}", field("id"));
        }
    }
    assert!(failed.is_empty(), "{} of {cases} got through:\n{}", failed.len(), failed.join("\n"));
}

/// Of the paths and queries of a real access log, hardly any holds a secret.
#[test]
#[ignore = "needs GATEWATCH_REFERENCE"]
fn hardly_anything_of_a_real_log_is_redacted() {
    let root = std::env::var_os("GATEWATCH_REFERENCE").expect("GATEWATCH_REFERENCE names the folder of the data");
    let log = std::path::PathBuf::from(root).join("access-logs/apache_semicomplete_2015.log");
    let text = String::from_utf8_lossy(&std::fs::read(log).expect("the log")).into_owned();
    let (mut all, mut changed) = (0, Vec::new());
    for line in text.lines() {
        let Some(target) = line.split('"').nth(1).and_then(|request| request.split(' ').nth(1)) else { continue };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        for text in [path, query].into_iter().filter(|text| !text.is_empty()) {
            all += 1;
            let kept = schemas::scrub(text);
            if kept.contains("[REDACTED") || kept.contains("****") {
                changed.push(format!("{text} -> {kept}"));
            }
        }
    }
    for text in &changed {
        println!("{text}");
    }
    assert!(changed.len() * 1000 <= all, "{} of {all} were redacted", changed.len());
}
