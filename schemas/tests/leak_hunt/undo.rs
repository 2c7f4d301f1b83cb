//! Looks for a secret in what came out: as it stands, and behind any of the encodings that the hunt plants, undone here by
//! code of its own, which shares nothing with the redactor's.
//!
//! A secret is found by eight characters of it in a row, without regard to case, with or without what separates groups.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::rc::Rc;

const WINDOW: usize = 8;
const DEPTH: usize = 4;
const INFLATED_MAX: u64 = 1 << 16;

/// What must not be seen.
pub struct Needles {
    windows: HashSet<[u8; WINDOW]>,
    short: Vec<Vec<u8>>,
}

impl Needles {
    pub fn new(parts: &[String]) -> Needles {
        let mut needles = Needles { windows: HashSet::new(), short: Vec::new() };
        for part in parts {
            let lower = part.to_lowercase().into_bytes();
            let packed = packed(&lower);
            if lower.len() < WINDOW {
                needles.short.push(lower);
                continue;
            }
            for text in [lower, packed] {
                needles.windows.extend(text.windows(WINDOW).map(|w| <[u8; WINDOW]>::try_from(w).expect("a window")));
            }
        }
        needles
    }

    fn seen_in(&self, form: &Form) -> bool {
        let windows = |text: &[u8]| {
            text.windows(WINDOW).any(|w| self.windows.contains(&<[u8; WINDOW]>::try_from(w).expect("a window")))
        };
        windows(&form.lower)
            || windows(&form.packed)
            || self.short.iter().any(|short| form.lower.windows(short.len()).any(|w| w == short))
    }
}

/// One reading of a text.
struct Form {
    lower: Vec<u8>,
    packed: Vec<u8>,
}

/// Letters and digits alone: the spaces and dashes of Unicode are none.
fn packed(text: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(text).chars().filter(|c| c.is_alphanumeric()).collect::<String>().into_bytes()
}

/// Undoes encodings, and remembers what it made of a text, for most texts repeat.
#[derive(Default)]
pub struct Undo {
    known: HashMap<String, Rc<Vec<Form>>>,
}

impl Undo {
    pub fn reveals(&mut self, text: &str, needles: &Needles) -> bool {
        if text.len() < 3 {
            return false;
        }
        let forms = match self.known.get(text) {
            Some(forms) => forms.clone(),
            None => {
                if self.known.len() > 20_000 {
                    self.known.clear();
                }
                let forms = Rc::new(forms(text.as_bytes()));
                self.known.insert(text.to_string(), forms.clone());
                forms
            }
        };
        forms.iter().any(|form| needles.seen_in(form))
    }
}

fn forms(text: &[u8]) -> Vec<Form> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    collect(text.to_vec(), DEPTH, &mut seen, &mut found);
    found
}

fn collect(text: Vec<u8>, depth: usize, seen: &mut HashSet<Vec<u8>>, found: &mut Vec<Form>) {
    if text.len() < 3 || seen.len() > 400 || !seen.insert(text.clone()) {
        return;
    }
    let lower: Vec<u8> = String::from_utf8_lossy(&text).to_lowercase().into_bytes();
    found.push(Form { packed: packed(&lower), lower });
    if text.contains(&0) {
        collect(text.iter().copied().filter(|&b| b != 0).collect(), depth, seen, found);
    }
    if depth == 0 || !readable(&text) {
        return;
    }
    let mut all = text.clone();
    for undo in [percents, entities, backslashes, quoted_printable] {
        let once = undo(&text);
        all = undo(&all);
        if once != text {
            collect(once, depth - 1, seen, found);
        }
    }
    if all != text {
        collect(all, depth - 1, seen, found);
    }
    for decoded in runs(&text) {
        let inner: Vec<u8> = decoded.iter().copied().filter(|&b| b != 0).collect();
        for inflated in inflate(&decoded) {
            collect(inflated, depth - 1, seen, found);
        }
        if inner.len() != decoded.len() {
            collect(inner, depth - 1, seen, found);
        }
        collect(decoded, depth - 1, seen, found);
    }
}

/// Is it a text, rather than bytes that only by chance could be decoded?
fn readable(text: &[u8]) -> bool {
    let odd = text.iter().filter(|&&b| b < 0x20 && !b"\t\r\n".contains(&b) || b == 0x7f).count();
    odd * 8 <= text.len()
        && (std::str::from_utf8(text).is_ok() || text.iter().filter(|b| **b >= 0x80).count() * 3 < text.len())
}

fn number(digits: Option<&[u8]>, radix: u32) -> Option<u32> {
    let digits = digits.filter(|d| !d.is_empty() && d.iter().all(u8::is_ascii_alphanumeric))?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

fn push_char(out: &mut Vec<u8>, code: u32) {
    out.extend(char::from_u32(code).unwrap_or('\u{fffd}').to_string().bytes());
}

fn percents(text: &[u8]) -> Vec<u8> {
    replace(text, b'%', |rest, out| {
        if rest.get(1).is_some_and(|b| b.eq_ignore_ascii_case(&b'u'))
            && let Some(code) = number(rest.get(2..6), 16)
        {
            push_char(out, code);
            return 6;
        }
        number(rest.get(1..3), 16).map_or(0, |byte| {
            out.push(byte as u8);
            3
        })
    })
}

fn quoted_printable(text: &[u8]) -> Vec<u8> {
    replace(text, b'=', |rest, out| {
        if rest.starts_with(b"=\r\n") {
            return 3;
        }
        if rest.starts_with(b"=\n") {
            return 2;
        }
        number(rest.get(1..3), 16).map_or(0, |byte| {
            out.push(byte as u8);
            3
        })
    })
}

fn backslashes(text: &[u8]) -> Vec<u8> {
    replace(text, b'\\', |rest, out| {
        let octal = rest[1..].iter().take(3).take_while(|b| (b'0'..=b'7').contains(*b)).count();
        match rest.get(1) {
            Some(b'x' | b'X') if number(rest.get(2..4), 16).is_some() => {
                out.push(number(rest.get(2..4), 16).expect("looked at") as u8);
                4
            }
            Some(b'u' | b'U') if rest.get(2) == Some(&b'{') => {
                let end = rest.iter().position(|&b| b == b'}').unwrap_or(2);
                number(rest.get(3..end.max(3)), 16).map_or(0, |code| {
                    push_char(out, code);
                    end + 1
                })
            }
            Some(b'u' | b'U') if number(rest.get(2..6), 16).is_some() => {
                push_char(out, number(rest.get(2..6), 16).expect("looked at"));
                6
            }
            Some(_) if octal > 1 => {
                out.push(number(rest.get(1..=octal), 8).expect("octal digits") as u8);
                octal + 1
            }
            Some(b'n') => {
                out.push(b'\n');
                2
            }
            Some(&other) => {
                out.push(other);
                2
            }
            None => 0,
        }
    })
}

const ENTITIES: [(&[u8], u8); 16] = [
    (b"&amp;", b'&'),
    (b"&lt;", b'<'),
    (b"&gt;", b'>'),
    (b"&quot;", b'"'),
    (b"&apos;", b'\''),
    (b"&equals;", b'='),
    (b"&colon;", b':'),
    (b"&commat;", b'@'),
    (b"&period;", b'.'),
    (b"&lowbar;", b'_'),
    (b"&sol;", b'/'),
    (b"&plus;", b'+'),
    (b"&dash;", b'-'),
    (b"&nbsp;", b' '),
    (b"&lbrace;", b'{'),
    (b"&rbrace;", b'}'),
];

fn entities(text: &[u8]) -> Vec<u8> {
    replace(text, b'&', |rest, out| {
        if let Some((name, byte)) = ENTITIES.iter().find(|(name, _)| rest.starts_with(name)) {
            out.push(*byte);
            return name.len();
        }
        if rest.get(1) != Some(&b'#') {
            return 0;
        }
        let (from, radix) = if rest.get(2).is_some_and(|b| b.eq_ignore_ascii_case(&b'x')) { (3, 16) } else { (2, 10) };
        let digits = rest[from.min(rest.len())..].iter().take(7).take_while(|b| b.is_ascii_hexdigit()).count();
        number(rest.get(from..from + digits), radix).map_or(0, |code| {
            push_char(out, code);
            from + digits + usize::from(rest.get(from + digits) == Some(&b';'))
        })
    })
}

/// Replaces what `one` makes of the places that begin with `mark`; it returns how many bytes it took, 0 for none.
fn replace(text: &[u8], mark: u8, one: impl Fn(&[u8], &mut Vec<u8>) -> usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let width = if text[at] == mark { one(&text[at..], &mut out) } else { 0 };
        if width == 0 {
            out.push(text[at]);
        }
        at += width.max(1);
    }
    out
}

/// What the runs of base64, base32 and hexadecimal digits in a text hold, at any phase, also over line breaks.
fn runs(text: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let joined: Vec<u8> = text.iter().copied().filter(|b| !b"\r\n\t ".contains(b)).collect();
    let texts = if joined.len() == text.len() { vec![text.to_vec()] } else { vec![text.to_vec(), joined] };
    for text in texts {
        bits(&text, sextet, 6, 12, &mut out);
        bits(&text, quintet, 5, 16, &mut out);
        bits(&text, hex_digit, 4, 16, &mut out);
        // Where the case of letters was turned over on the way.
        let turned: Vec<u8> = text
            .iter()
            .map(|b| if b.is_ascii_lowercase() { b.to_ascii_uppercase() } else { b.to_ascii_lowercase() })
            .collect();
        bits(&turned, sextet, 6, 12, &mut out);
    }
    // Hexadecimal digits in pairs, whatever stands between them.
    let pairs = String::from_utf8_lossy(text).replace("0x", "").replace([':', '-', ',', ' ', '\t'], "").into_bytes();
    if pairs.len() < text.len() {
        bits(&pairs, hex_digit, 4, 16, &mut out);
    }
    out
}

fn hex_digit(b: u8) -> Option<u32> {
    char::from(b).to_digit(16)
}

fn sextet(b: u8) -> Option<u32> {
    Some(
        match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        }
        .into(),
    )
}

fn quintet(b: u8) -> Option<u32> {
    Some(
        match b.to_ascii_uppercase() {
            upper @ b'A'..=b'Z' => upper - b'A',
            b'2'..=b'7' => b - b'2' + 26,
            _ => return None,
        }
        .into(),
    )
}

fn bits(text: &[u8], digit: impl Fn(u8) -> Option<u32>, width: u32, least: usize, out: &mut Vec<Vec<u8>>) {
    for run in text.split(|&b| digit(b).is_none()).filter(|run| run.len() >= least) {
        let phases = match width {
            6 => 4,
            5 => 8,
            _ => 2,
        };
        for phase in 0..phases {
            let (mut held, mut count, mut bytes) = (0u32, 0, Vec::with_capacity(run.len()));
            for &b in &run[phase..] {
                held = held << width | digit(b).expect("the run has digits alone");
                count += width;
                if count >= 8 {
                    count -= 8;
                    bytes.push((held >> count) as u8);
                    held &= (1 << count) - 1;
                }
            }
            out.push(bytes);
        }
    }
}

fn inflate(bytes: &[u8]) -> Vec<Vec<u8>> {
    let read = |reader: &mut dyn Read| {
        let mut out = Vec::new();
        let _partial = reader.take(INFLATED_MAX).read_to_end(&mut out);
        out
    };
    let mut all = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        all.push(read(&mut flate2::read::GzDecoder::new(bytes)));
    } else if bytes.first() == Some(&0x78) {
        all.push(read(&mut flate2::read::ZlibDecoder::new(bytes)));
    } else {
        all.push(read(&mut flate2::read::DeflateDecoder::new(bytes)));
    }
    all.retain(|text| text.len() >= 8);
    all
}
