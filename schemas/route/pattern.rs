//! A path template as people and gateways write it: `/pets/{petId}`, `/pets/:id`, `/pets/<int:id>`, `/files/{name}.{ext}`,
//! `/a:verb`, `/static/{path+}`. Read once, then matched against the segments of canonical paths.
//!
//! Promises: what cannot be understood is refused with what was expected, never half understood. Matching is linear in
//! the length of a segment. Matrix parameters (`/report;from={from}`) are left out, as they are of the paths of requests.
//! Never: runs a regular expression; a constraint such as `{id:[0-9]+}` is read over.

use percent_encoding::{CONTROLS, percent_decode_str, utf8_percent_encode};

use super::canonical::canonical;
use crate::limits::{TEMPLATE_BYTES_MAX, TEMPLATE_SEGMENTS_MAX};

/// A template taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// As endpoints show it, with `{name}` for every parameter.
    pub(super) text: Box<str>,
    pub(super) segments: Vec<Vec<Bit>>,
    /// The last segment is a parameter that takes all that is left.
    pub(super) has_tail: bool,
}

/// A piece of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Bit {
    Literal(Box<str>),
    /// A parameter; whether it names an object.
    Param(bool),
}

/// Parameters that say how to answer, not about what.
#[rustfmt::skip]
static NO_OBJECTS: &[&str] = &["version", "apiversion", "v", "ver", "locale", "lang", "language", "culture", "format", "ext",
    "extension", "stage", "env", "environment", "region", "page", "action", "verb", "method", "operation", "protocol",
    "proxy", "rest", "type", "kind", "currency"];

fn names_object(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    !NO_OBJECTS.contains(&plain.as_str())
}

impl Pattern {
    /// Reads the template of a path; the error says what was expected.
    pub(super) fn parse(path: &str) -> Result<Pattern, String> {
        let rest = path.strip_prefix('/').ok_or("expected a path that begins with /")?;
        let mut pattern = Pattern { text: Box::default(), segments: Vec::new(), has_tail: false };
        let mut text = String::new();
        for segment in split(rest.strip_suffix('/').unwrap_or(rest))? {
            if pattern.has_tail {
                return Err("expected nothing behind a parameter that takes the rest of the path".to_string());
            }
            let mut reading = Reading::default();
            reading.segment(without_matrix(segment))?;
            text.push('/');
            text.push_str(&reading.text);
            pattern.has_tail = reading.is_tail;
            pattern.segments.push(reading.bits);
        }
        if pattern.segments.len() > TEMPLATE_SEGMENTS_MAX || text.len() > TEMPLATE_BYTES_MAX {
            return Err(format!("expected at most {TEMPLATE_SEGMENTS_MAX} segments and {TEMPLATE_BYTES_MAX} bytes"));
        }
        if text.is_empty() {
            text.push('/');
        }
        pattern.text = text.into();
        Ok(pattern)
    }

    /// The template with each spelling that its literals may have in a path: as it is, with what is not ASCII in escapes, or
    /// without those.
    pub(super) fn spellings(self) -> Vec<Pattern> {
        let is_spelled = |bit: &Bit| matches!(bit, Bit::Literal(text) if text.contains('%') || !text.is_ascii());
        if !self.segments.iter().flatten().any(is_spelled) {
            return vec![self];
        }
        let with = |spell: &dyn Fn(&str) -> String| {
            let mut pattern = self.clone();
            for bit in pattern.segments.iter_mut().flatten() {
                if let Bit::Literal(text) = bit {
                    *text = spell(text).into();
                }
            }
            pattern
        };
        let mut spellings = vec![with(&escaped), with(&unescaped)];
        spellings.dedup();
        spellings
    }

    /// Does some part of the template stand for itself?
    pub(super) fn has_literal(&self) -> bool {
        let letters = |bit: &Bit| matches!(bit, Bit::Literal(text) if text.bytes().any(|b| b.is_ascii_alphanumeric()));
        self.segments.iter().flatten().any(letters)
    }

    pub(super) fn has_param(&self) -> bool {
        self.segments.iter().flatten().any(|bit| matches!(bit, Bit::Param(_)))
    }

    /// Hands the parameters of `path`, which matches, to `value`: with the number of its segment, and whether the
    /// parameter names an object.
    pub(super) fn values<'p>(&self, path: &[&'p str], mut value: impl FnMut(usize, &'p str, bool)) {
        for (at, (bits, text)) in self.segments.iter().zip(path).enumerate() {
            if self.has_tail && at + 1 == self.segments.len() {
                return;
            }
            matches_bits(bits, text, |part, is_object| value(at, part, is_object));
        }
    }
}

/// The segments, cut at slashes outside of braces.
fn split(path: &str) -> Result<Vec<&str>, String> {
    let (mut segments, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    if path.is_empty() {
        return Ok(segments);
    }
    for (at, byte) in path.bytes().enumerate() {
        match byte {
            b'{' | b'<' => depth += 1,
            b'}' | b'>' => depth = depth.checked_sub(1).ok_or("expected { before }")?,
            b'/' if depth == 0 => {
                segments.push(&path[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err("expected } after {".to_string());
    }
    segments.push(&path[start..]);
    Ok(segments)
}

/// A segment without the parameters behind its `;`.
fn without_matrix(segment: &str) -> &str {
    let mut depth = 0_usize;
    let end = segment.bytes().position(|byte| {
        match byte {
            b'{' | b'<' => depth += 1,
            b'}' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        byte == b';' && depth == 0
    });
    &segment[..end.unwrap_or(segment.len())]
}

/// A literal as canonical paths have it that came with escapes.
fn escaped(text: &str) -> String {
    let text = utf8_percent_encode(text, CONTROLS).to_string();
    let mut out = String::new();
    canonical(&text, &mut out, &mut Default::default());
    out.split_off(1)
}

/// The same as paths have it that came without.
fn unescaped(text: &str) -> String {
    let escaped = escaped(text);
    let plain = percent_decode_str(&escaped).decode_utf8().unwrap_or_default();
    let is_plain = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-._~!$'()*+,:=@".contains(c);
    if plain.chars().all(is_plain) { plain.into_owned() } else { escaped.clone() }
}

/// One segment being read.
#[derive(Default)]
struct Reading {
    text: String,
    bits: Vec<Bit>,
    is_tail: bool,
}

impl Reading {
    fn segment(&mut self, segment: &str) -> Result<(), String> {
        if segment.is_empty() || matches!(segment, "." | "..") {
            return Err("expected no empty segment and no dots for a segment".to_string());
        }
        if let Some(name) = segment.strip_prefix('*') {
            self.is_tail = true;
            return self.param(if name.is_empty() || name == "*" { "rest" } else { name });
        }
        if let Some(rest) = segment.strip_prefix(':') {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            self.param(&rest[..end])?;
            return self.literal(rest[end..].trim_end_matches('?'));
        }
        let mut rest = segment;
        while let Some(open) = rest.find(['{', '<']) {
            let close = closing(&rest[open..]).ok_or("expected } after {")? + open;
            self.literal(&rest[..open])?;
            if matches!(self.bits.last(), Some(Bit::Param(_))) {
                return Err("expected some text between two parameters of one segment".to_string());
            }
            self.braced(&rest[open + 1..close], rest.as_bytes()[open] == b'<')?;
            rest = &rest[close + 1..];
        }
        self.literal(rest)?;
        if self.is_tail && self.bits.len() > 1 {
            return Err("expected a parameter that takes the rest of the path to be a segment of its own".to_string());
        }
        Ok(())
    }

    /// What stands between braces (or angle brackets, as in Flask).
    fn braced(&mut self, inner: &str, angled: bool) -> Result<(), String> {
        let (name, constraint) = match inner.split_once(':') {
            Some((kind, name)) if angled => (name, kind),
            Some((name, constraint)) => (name, constraint),
            None => (inner, ""),
        };
        let bare = name.trim_start_matches('*').trim_end_matches(['+', '*', '?', '.']);
        let takes_rest = name.trim_end_matches('?') != bare || matches!(constraint, ".*" | ".+" | "**" | "path");
        self.is_tail |= takes_rest;
        self.param(bare)
    }

    fn param(&mut self, name: &str) -> Result<(), String> {
        let fits = |c: char| c.is_alphanumeric() || "_-.$@".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
            return Err("expected the name of a parameter: 1 to 64 letters, digits, _ - . $ or @".to_string());
        }
        self.text.extend(["{", name, "}"]);
        self.bits.push(Bit::Param(names_object(name)));
        Ok(())
    }

    fn literal(&mut self, text: &str) -> Result<(), String> {
        if text.is_empty() {
            return Ok(());
        }
        if text.contains(|c: char| c.is_control() || c.is_whitespace() || "^\\|[]?#\"*".contains(c)) {
            return Err("expected a path with parameters in braces, no query and no regular expression".to_string());
        }
        self.text.push_str(text);
        self.bits.push(Bit::Literal(text.into()));
        Ok(())
    }
}

/// Where the bracket that `text` begins with is closed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' | b'<' => depth += 1,
            b'}' | b'>' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Does a segment of a path have this form? Parameters are not empty and as short as can be; what is last reaches to
/// the end.
pub(super) fn matches_bits<'p>(bits: &[Bit], segment: &'p str, mut value: impl FnMut(&'p str, bool)) -> bool {
    let (mut at, mut open) = (0, None);
    for (number, bit) in bits.iter().enumerate() {
        let last = number + 1 == bits.len();
        match (bit, open) {
            (Bit::Param(is_object), _) => open = Some((at, *is_object)),
            (Bit::Literal(text), None) if segment[at..].starts_with(&**text) => at += text.len(),
            (Bit::Literal(text), Some((start, is_object))) => {
                let rest = &segment[start..];
                let Some(first) = rest.chars().next().map(char::len_utf8) else { return false };
                let found = if last { rest.rfind(&**text) } else { rest[first..].find(&**text).map(|i| i + first) };
                let Some(found) = found.filter(|found| *found > 0) else { return false };
                value(&rest[..found], is_object);
                at = start + found + text.len();
                open = None;
            }
            (Bit::Literal(_), None) => return false,
        }
    }
    match open {
        Some((start, is_object)) if start < segment.len() => {
            value(&segment[start..], is_object);
            true
        }
        Some(_) => false,
        None => at == segment.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str) -> String {
        Pattern::parse(path).map_or_else(|error| error, |pattern| pattern.text.to_string())
    }

    #[test]
    fn spellings_of_templates() {
        for (path, expected) in [
            ("/", "/"),
            ("/pets/{petId}", "/pets/{petId}"),
            ("/pets/{petId}/", "/pets/{petId}"),
            ("/pets/:id", "/pets/{id}"),
            ("/pets/:id.json", "/pets/{id}.json"),
            ("/pets/<id>", "/pets/{id}"),
            ("/pets/<int:id>/x", "/pets/{id}/x"),
            ("/pets/{id:[0-9]{2,4}}", "/pets/{id}"),
            ("/pets/{id:[^/]+}/x", "/pets/{id}/x"),
            ("/files/{name}.{ext}", "/files/{name}.{ext}"),
            ("/a:verb", "/a:verb"),
            ("/a/{id}:verb", "/a/{id}:verb"),
            ("/Orders({id})", "/Orders({id})"),
            ("/static/{path+}", "/static/{path}"),
            ("/static/*", "/static/{rest}"),
            ("/static/{file:.*}", "/static/{file}"),
            ("/report;from={from}", "/report"),
            ("/a;x={x};y={y}/{id:[;]}/b", "/a/{id}/b"),
        ] {
            assert_eq!(shown(path), expected, "of {path}");
        }
        for (bad, expected) in [
            ("pets", "begins with /"),
            ("/a/{b", "expected }"),
            ("/a/b}", "expected {"),
            ("/a/{}", "name of a parameter"),
            ("/a/{b}{c}", "between two parameters"),
            ("/a/*/b", "nothing behind"),
            ("/a//b", "no empty segment"),
            ("/a/[0-9]+", "no regular expression"),
            ("/a?b=c", "no query"),
        ] {
            assert!(shown(bad).contains(expected), "{bad}: {}", shown(bad));
        }
    }

    #[test]
    fn literals_have_the_spellings_of_paths() {
        let spellings = |path| {
            let all = Pattern::parse(path).expect("a template").spellings();
            all.iter().map(|pattern| format!("{:?}", pattern.segments[0])).collect::<Vec<_>>()
        };
        let (escaped, plain) = (r#"[Literal("%C3%A4")]"#, r#"[Literal("ä")]"#);
        assert_eq!(spellings("/ä/{id}"), [escaped, plain]);
        assert_eq!(spellings("/%c3%a4/{id}"), [escaped, plain]);
        assert_eq!(spellings("/a%20b"), [r#"[Literal("a%20b")]"#]);
        assert_eq!(spellings("/a/{id}"), [r#"[Literal("a")]"#]);
    }

    #[track_caller]
    fn check(template: &str, segment: &str, expected: Option<&[&str]>) {
        let pattern = Pattern::parse(template).expect("a template");
        let mut values = Vec::new();
        let fits = matches_bits(&pattern.segments[0], segment, |value, _| values.push(value));
        assert_eq!(fits.then_some(values.as_slice()), expected, "{template} on {segment}");
    }

    #[test]
    fn segments_match() {
        check("/{name}.{ext}", "a.pdf", Some(&["a", "pdf"]));
        check("/{name}.{ext}", ".pdf", None);
        check("/{name}.{ext}", "pdf.", None);
        check("/{id}:verb", "7:verb", Some(&["7"]));
        check("/{id}:verb", "7:verbs", None);
        check("/{id}:verb", "a:verb:verb", Some(&["a:verb"]));
        check("/x-{id}", "x-1", Some(&["1"]));
        check("/x-{id}", "x-", None);
        check("/{id}.json", "é.json", Some(&["é"]));
        check("/{id}", "", None);
        check("/word", "word", Some(&[]));
        check("/word", "words", None);
    }
}
