//! Objects that no JSON reader takes, put right: half a surrogate, control characters and unknown escapes in a text, a comma at the
//! end, an end that is missing.
//!
//! Promises: what is JSON stays as it is, byte for byte, but for half a surrogate, which is U+FFFD. Nothing is added but quotes and brackets
//! at an end that is missing; what is half there (a key, a number) goes.
//! Never: puts anything in the place of what a text says.

/// An object or a text that was put right.
pub(crate) struct Mended {
    pub(crate) text: String,
    /// Its end is missing: what would stand there is not known.
    pub(crate) is_cut: bool,
}

/// None where there is nothing to mend.
#[cold]
pub(crate) fn mended(text: &str) -> Option<Mended> {
    let (bytes, mut out) = (text.as_bytes(), String::with_capacity(text.len() + 16));
    // What has to close, and how far it was whole, with what had to close there.
    let (mut open, mut whole): (Vec<u8>, (usize, usize)) = (Vec::new(), (0, 0));
    let (mut at, mut is_cut) = (0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => match string(text, at, &mut out) {
                Some(end) => at = end,
                // Cut within a text: as far as it goes.
                None => {
                    out.push('"');
                    (at, is_cut) = (bytes.len(), true);
                }
            },
            byte @ (b'{' | b'[') => {
                open.push(if byte == b'{' { b'}' } else { b']' });
                out.push(char::from(byte));
                at += 1;
            }
            byte @ (b'}' | b']') => {
                if open.pop() != Some(byte) {
                    return None;
                }
                out.truncate(out.trim_end().strip_suffix(',').map_or(out.len(), str::len));
                out.push(char::from(byte));
                whole = (out.len(), open.len());
                at += 1;
            }
            byte => {
                if byte == b',' {
                    whole = (out.len(), open.len());
                }
                let length = text[at..].find(['"', '{', '[', '}', ']', ',']).unwrap_or(text.len() - at).max(1);
                out.push_str(&text[at..at + length]);
                at += length;
            }
        }
    }
    is_cut |= !open.is_empty();
    if is_cut {
        let closed = |text: &str, open: &[u8]| {
            let ends: String = open.iter().rev().map(|byte| char::from(*byte)).collect();
            let text = format!("{}{ends}", text.trim_end().trim_end_matches(','));
            serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok().then_some(text)
        };
        out = closed(&out, &open).or_else(|| closed(&out[..whole.0], &open[..whole.1.min(open.len())]))?;
    }
    (out != text).then_some(Mended { text: out, is_cut })
}

/// The text whose quote stands at `at`, put right; where it ends. None where it has no end.
fn string(text: &str, at: usize, out: &mut String) -> Option<usize> {
    let bytes = text.as_bytes();
    out.push('"');
    let mut at = at + 1;
    loop {
        let length = text[at..].find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(text.len() - at);
        out.push_str(&text[at..at + length]);
        at += length;
        match *bytes.get(at)? {
            b'"' => {
                out.push('"');
                return Some(at + 1);
            }
            b'\\' => match *bytes.get(at + 1)? {
                b'u' => match unit(text, at) {
                    Some(0xD800..=0xDBFF) if matches!(unit(text, at + 6), Some(0xDC00..=0xDFFF)) => {
                        out.push_str(&text[at..at + 12]);
                        at += 12;
                    }
                    Some(0xD800..=0xDFFF) => {
                        out.push('\u{fffd}');
                        at += 6;
                    }
                    Some(_) => {
                        out.push_str(&text[at..at + 6]);
                        at += 6;
                    }
                    // Half of one, at the end.
                    None if text.len() - at < 6 => return None,
                    None => {
                        out.push_str("\\\\u");
                        at += 2;
                    }
                },
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                    out.push_str(&text[at..at + 2]);
                    at += 2;
                }
                _ => {
                    out.push_str("\\\\");
                    at += 1;
                }
            },
            control => {
                out.push_str(&format!("\\u{control:04x}"));
                at += 1;
            }
        }
    }
}

/// The number behind `\u`.
fn unit(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_put_right_and_nothing_else() {
        for (text, expected) in [
            (r#"{"log":"a \udcff b","n":1}"#, "{\"log\":\"a \u{fffd} b\",\"n\":1}"),
            (r#"{"log":"\ud83d\ude00 \ud83d"}"#, "{\"log\":\"\\ud83d\\ude00 \u{fffd}\"}"),
            ("{\"log\":\"a\tb\u{1b}c\"}", r#"{"log":"a\u0009b\u001bc"}"#),
            (r#"{"log":"a\x1b"}"#, r#"{"log":"a\\x1b"}"#),
            (r#"{"log":"a","n":[1,2,],}"#, r#"{"log":"a","n":[1,2]}"#),
            (r#"{"log":"a","stream":"std"#, r#"{"log":"a","stream":"std"}"#),
            (r#"{"log":"a","str"#, r#"{"log":"a"}"#),
            (r#"{"log":"a","n":{"b":1,"c":"#, r#"{"log":"a","n":{"b":1}}"#),
            (r#"{"log":"a","n":{"b":"x\u00"#, r#"{"log":"a","n":{"b":"x"}}"#),
            (r#"{"log":"a","#, r#"{"log":"a"}"#),
        ] {
            assert_eq!(mended(text).map(|mended| mended.text).as_deref(), Some(expected), "{text}");
        }
        for text in [r#"{"log":"a","n":[1,{"b":null}]}"#, r#"{"a":"\ud83d\ude00\u00e9\n"}"#, "}", "{]", ""] {
            assert!(mended(text).is_none(), "{text}");
        }
    }

    #[test]
    fn nothing_cut_anywhere_is_added() {
        let whole = r#"{"log":"a \"b\" \u00e9","n":{"b":[1,{"c":"d"}],"e":true},"f":"g"}"#;
        let all: serde_json::Value = serde_json::from_str(whole).expect("JSON");
        for end in 1..whole.len() {
            let Some(mended) = mended(&whole[..end]) else { continue };
            let part: serde_json::Value = serde_json::from_str(&mended.text).expect("JSON");
            let log = (part["log"].as_str(), all["log"].as_str().expect("a text"));
            assert!(
                mended.is_cut && log.0.is_none_or(|log_part| log.1.starts_with(log_part)),
                "{end}: {}",
                mended.text
            );
        }
    }
}
