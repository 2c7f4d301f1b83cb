//! Names with their values, whatever the grammar: `a=b`, `"a": "b"`, `:a => "b"`, `a[$eq]=b`, `Cookie: x`, `;a:b`, `--a=b`,
//! `["a", "b"]`, `s:1:"a";s:1:"b"`, private members of a JSON Web Key. A name and a value in two fields: see `beside.rs`.
//!
//! Promises: linear time; a value ends where its grammar says: at its quote, its bracket, the next pair, the end of the line.
//! Never: decodes; the text is read as it stands.

use super::beside::{Beside, plain_value};
use super::classes::Class;
use super::find::Finding;
use super::names::{Memo, NAME_BYTES_MAX, Says};
use super::rules;
use super::values::{is_camel, is_labelled_digest, is_placeholder, is_plain, is_random, is_random_anywhere, trim};

/// A pair as it stands.
pub(crate) struct Pair<'t> {
    pub(crate) name: &'t [u8],
    pub(crate) name_start: usize,
    /// Where the separator stands.
    pub(crate) at: usize,
    quoted: bool,
}

/// Finds the values of secret names.
pub(crate) fn pairs(text: &str, memo: &mut Memo, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let mut around = Around::default();
    let mut beside = Beside::default();
    let mut is_key_set = None;
    let mut has_user = None;
    let mut from = 0;
    // The padding of base64 at the end is before no value, and what it stands behind is no name.
    let end = text.trim_end_matches('=').len();
    while let Some(at) = memchr::memchr2(b'=', b':', &bytes[from.min(end)..end]).map(|i| from + i) {
        let floor = from;
        from = at + 1;
        if let Some(end) = marker_end(bytes, at) {
            from = end;
            continue;
        }
        let Some(pair) = pair_at(bytes, at, floor) else { continue };
        let says = match memo.says(pair.name) {
            _ if is_key_member(bytes, &pair, &mut is_key_set) => Says::Hardly(Class::PRIVATE_KEY),
            Says::Nothing if is_password_field(bytes, &pair) => Says::Name,
            // With a user beside it `pass` is no ticket.
            Says::Unless(class) if is_pass(pair.name) && *has_user.get_or_insert_with(|| names_user(bytes)) => {
                Says::Secret(class)
            }
            says @ (Says::Nothing | Says::Name | Says::Value | Says::Hardly(_) | Says::Perhaps(_)) => {
                words_before(bytes, &pair, floor).unwrap_or(says)
            }
            says => says,
        };
        match says {
            Says::Nothing => {}
            Says::Name | Says::Value => {
                if let Some(finding) = beside.take(bytes, &pair, says, memo) {
                    from = from.max(finding.end);
                    findings.push(finding);
                }
            }
            _ if pair.name.eq_ignore_ascii_case(b"key") && beside.is_name(bytes, &pair, memo) => {
                if let Some(finding) = beside.take(bytes, &pair, Says::Name, memo) {
                    from = from.max(finding.end);
                    findings.push(finding);
                }
            }
            _ => {
                if let Some((start, end)) = secret_value(bytes, &pair, says, &mut around)
                    && let Some(class) = confirmed(says, &bytes[start..end])
                    && rules::has(rules::PAIR)
                {
                    findings.push(Finding { start, end, class, whole: class != Class::PHONE });
                    from = from.max(end);
                }
            }
        }
    }
}

/// `mật khẩu: x`, `كلمة السر: x`, `mot de passe = x`: what a noun of two or three words says.
fn words_before(bytes: &[u8], pair: &Pair<'_>, floor: usize) -> Option<Says> {
    let end = pair.name_start + pair.name.len();
    let mut start = pair.name_start;
    for _ in 0..2 {
        if start <= floor || !matches!(bytes[start - 1], b' ' | b'+') {
            return None;
        }
        let lowest = floor.max(start.saturating_sub(NAME_BYTES_MAX / 2));
        let is_letter = |b: &u8| b.is_ascii_alphabetic() || *b >= 0x80;
        let word = bytes[lowest..start - 1].iter().rev().take_while(|b| is_letter(b)).count();
        if word < 2 || end - start + word > NAME_BYTES_MAX {
            return None;
        }
        start -= 1 + word;
        if let Some(class) = super::names::of_words(&bytes[start..end]) {
            return Some(if class == Class::PASSWORD { Says::Secret(class) } else { Says::Unless(class) });
        }
    }
    None
}

fn is_pass(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"pass")
}

/// Does a key in the text say who somebody is, or a condition of SQL?
fn names_user(bytes: &[u8]) -> bool {
    let is = |word: &[u8]| memchr::memmem::find(bytes, word).is_some();
    [&b"user"[..], b"User", b"login", b"Login", b"mail", b"where", b"WHERE"].into_iter().any(is)
}

/// A private member of a JSON Web Key (RFC 7518): one or two letters, where a `kty` stands, too.
fn is_key_member(bytes: &[u8], pair: &Pair<'_>, is_key_set: &mut Option<bool>) -> bool {
    let is_member = matches!(pair.name, b"d" | b"p" | b"q" | b"dp" | b"dq" | b"qi" | b"k" | b"r" | b"t");
    is_member
        && rules::has(rules::JWK)
        && *is_key_set.get_or_insert_with(|| memchr::memmem::find(bytes, b"kty").is_some())
}

/// `type="password" value="x"`: the kind of a field names what its value is.
fn is_password_field(bytes: &[u8], pair: &Pair<'_>) -> bool {
    pair.name.eq_ignore_ascii_case(b"type")
        && plain_value(bytes, pair.at + 1)
            .is_some_and(|(start, end)| bytes[start..end].eq_ignore_ascii_case(b"password"))
}

/// The class of a value, when its looks agree with what its name says.
pub(crate) fn confirmed(says: Says, value: &[u8]) -> Option<Class> {
    if value.is_empty() || is_placeholder(value) {
        return None;
    }
    match says {
        // `show_password=1` and `has_iban=1` switch something.
        Says::Secret(
            Class::PASSWORD | Class::IBAN | Class::CARD | Class::NATIONAL_ID | Class::HEALTH_ID | Class::EMAIL,
        ) if matches!(trim(value), b"0" | b"1") => None,
        Says::Secret(class) => Some(class),
        // `sin=45`, `pan=-30` are numbers of something else.
        Says::Unless(Class::NATIONAL_ID | Class::CARD) if is_small(value) => None,
        Says::Unless(class) => (has_digit(value) || !is_plain(value)).then_some(class),
        Says::Perhaps(class) => (!is_plain(value) && !is_camel(value)).then_some(class),
        Says::Drawn(class) => (is_random(value) && !is_labelled_digest(value)).then_some(class),
        Says::Hardly(Class::PHONE) => {
            (value.iter().filter(|b| b.is_ascii_digit()).count() >= 7).then_some(Class::PHONE)
        }
        // `hash=` of a file.
        Says::Hardly(Class::SIGNATURE) if is_md5(value) => None,
        Says::Hardly(class) => (is_random_anywhere(value) && !is_labelled_digest(value)).then_some(class),
        Says::Nothing | Says::Name | Says::Value => None,
    }
}

/// A number of at most five digits.
fn is_small(value: &[u8]) -> bool {
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    digits <= 5 && value.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b' '))
}

/// 32 hexadecimal digits.
fn is_md5(value: &[u8]) -> bool {
    let value = trim(value);
    value.len() == 32 && value.iter().all(u8::is_ascii_hexdigit)
}

fn has_digit(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_digit)
}

/// The end of a `[REDACTED:class:token]` whose colon stands at `at`.
pub(crate) fn marker_end(bytes: &[u8], at: usize) -> Option<usize> {
    const OPEN: &[u8] = b"[REDACTED";
    if !bytes[..at].ends_with(OPEN) {
        return None;
    }
    let rest = &bytes[at + 1..];
    let end = rest.iter().take(160).position(|&b| b == b']')?;
    let inner = std::str::from_utf8(&rest[..end]).ok()?;
    let mut parts = inner.splitn(2, ':');
    let class = parts.next()?;
    let is_token = |token: &str| {
        token.rsplit_once(':').is_some_and(|(_, hex)| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    (super::classes::is_known(class) && parts.next().is_none_or(is_token)).then_some(at + 1 + end + 1)
}

fn pair_at(bytes: &[u8], at: usize, floor: usize) -> Option<Pair<'_>> {
    let mut end = at;
    // `password != 'x'`
    if bytes[at] == b'=' && end > floor && matches!(bytes[end - 1], b'!' | b'<' | b'>' | b'~') {
        end -= 1;
    }
    while end > floor && matches!(bytes[end - 1], b' ' | b'\t' | b'+' | b'\n' | b'\r') {
        end -= 1;
    }
    // `**password**: x`
    while end > floor && bytes[end - 1] == b'*' {
        end -= 1;
    }
    let mut quoted = false;
    if let Some(inner) = strip_closing(bytes, end, floor) {
        (end, quoted) = (inner, true);
    }
    let lowest = floor.max(end.saturating_sub(NAME_BYTES_MAX));
    let start = bytes[lowest..end].iter().rposition(|&b| !is_name(b)).map_or(lowest, |i| lowest + i + 1);
    (start < end).then(|| Pair { name: &bytes[start..end], name_start: start, at, quoted })
}

pub(crate) fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']' | b'$' | b'%') || b >= 0x80
}

/// Where the text before a closing quote at `end` ends: `"`, `'`, `\"`, and `"]` of `x["a"]`.
pub(crate) fn strip_closing(bytes: &[u8], end: usize, floor: usize) -> Option<usize> {
    let mut at = end;
    if at > floor + 1 && bytes[at - 1] == b']' && matches!(bytes[at - 2], b'"' | b'\'') {
        at -= 1;
    }
    if at == floor || !matches!(bytes[at - 1], b'"' | b'\'' | b'`') {
        return None;
    }
    at -= 1;
    while at > floor && bytes[at - 1] == b'\\' {
        at -= 1;
    }
    Some(at)
}

/// The range of the value of a pair that may be secret.
fn secret_value(bytes: &[u8], pair: &Pair<'_>, says: Says, around: &mut Around) -> Option<(usize, usize)> {
    let colon = bytes[pair.at] == b':';
    if colon && bytes[pair.at + 1..].starts_with(b"//") {
        return None;
    }
    let mut start = pair.at + 1;
    while start < bytes.len() && matches!(bytes[start], b'=' | b'>' | b':') && start < pair.at + 3 {
        start += 1;
    }
    // A plus is a blank of a form, but before a digit it belongs to a number.
    let is_blank = |i: &usize| match bytes[*i] {
        b' ' | b'\t' => true,
        b'+' => !bytes.get(i + 1).is_some_and(u8::is_ascii_digit),
        b'\n' | b'\r' => pair.quoted,
        _ => false,
    };
    // `**password:** x`
    let stars = bytes[start..].iter().take(3).take_while(|&&b| b == b'*').count();
    start += if stars < 3 && bytes.get(start + stars) == Some(&b' ') { stars } else { 0 };
    let blanks = (start..bytes.len()).take_while(is_blank).count();
    start += blanks;
    // `$password: String = "x"`: what follows the colon is the type of a variable of GraphQL.
    if colon && pair.name[0] == b'$' {
        let word = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'!' | b'[' | b']' | b' ');
        let kind = bytes[start..].iter().take(KIND_MAX).take_while(word).count();
        if bytes.get(start + kind) == Some(&b'=') {
            start += kind + 1;
            start += (start..bytes.len()).take_while(is_blank).count();
        }
    }
    if start >= bytes.len() {
        return None;
    }
    let (start, end, quoted) = value_at(bytes, start, pair, says, around)?;
    // `/token:refresh` names a method.
    let bare = colon && !pair.quoted && !quoted && blanks == 0;
    let is_path = pair.name_start > 0 && bytes[pair.name_start - 1] == b'/';
    (start < end && !(bare && is_path && is_plain(&bytes[start..end]))).then_some((start, end))
}

fn value_at(
    bytes: &[u8],
    start: usize,
    pair: &Pair<'_>,
    says: Says,
    around: &mut Around,
) -> Option<(usize, usize, bool)> {
    let class = says.class()?;
    // What must look drawn is not long.
    let bytes = if matches!(says, Says::Hardly(_) | Says::Drawn(_)) {
        &bytes[..bytes.len().min(start + HARDLY_BYTES_MAX)]
    } else {
        bytes
    };
    let line = class == Class::AUTHORIZATION || class == Class::COOKIE;
    let colon = bytes[pair.at] == b':';
    if bytes[start..].starts_with(b"\"\"\"") {
        let end = memchr::memmem::find(&bytes[start + 3..], b"\"\"\"").map_or(bytes.len(), |i| start + 3 + i);
        return Some((start + 3, end, true));
    }
    if let Some(width) = opening_quote(&bytes[start..]) {
        let inner = start + width;
        let open = &bytes[start..inner];
        let mut end = closing(bytes, inner, open);
        // A quote amid the value is part of it.
        for _ in 0..QUOTES_IN_VALUE_MAX {
            if end >= bytes.len() || bytes.get(end + width).is_none_or(|&b| is_after_quote(b)) {
                break;
            }
            end = closing(bytes, end + width, open);
        }
        let first = closing(bytes, inner, open);
        if end < bytes.len() || first >= bytes.len() {
            return Some((inner, end, true));
        }
    } else if matches!(bytes[start], b'{' | b'[') {
        return Some((start, nested_end(bytes, start), true));
    } else if matches!(bytes[start], b'|' | b'>')
        && colon
        && let Some(end) = block_end(bytes, start)
    {
        return Some((start, end, true));
    }
    around.advance(bytes, start);
    let end = if line {
        line_end(bytes, start, colon, around)
    } else {
        unquoted_end(
            bytes,
            start,
            is_free(class) && matches!(says, Says::Secret(_) | Says::Unless(_)),
            pair.quoted,
            around,
        )
    };
    Some((start, end, false))
}

/// Bytes of the type of a variable.
const KIND_MAX: usize = 64;

/// Bytes of a value that is only a secret when it looks drawn.
const HARDLY_BYTES_MAX: usize = 512;

/// Quotes in a quoted value that are looked behind.
const QUOTES_IN_VALUE_MAX: usize = 8;

fn is_after_quote(b: u8) -> bool {
    matches!(
        b,
        b',' | b'}'
            | b']'
            | b')'
            | b';'
            | b'&'
            | b'>'
            | b'/'
            | b' '
            | b'\t'
            | b'\r'
            | b'\n'
            | b'"'
            | b'\''
            | b'\\'
            | b'<'
            | b':'
            | b'|'
            | b'+'
            | b'.'
            | b'?'
    )
}

pub(crate) fn opening_quote(bytes: &[u8]) -> Option<usize> {
    let backslashes = bytes.iter().take_while(|&&b| b == b'\\').count();
    matches!(bytes.get(backslashes)?, b'"' | b'\'' | b'`').then_some(backslashes + 1)
}

/// The place of the closing quote that is not escaped itself: after a plain `"`, a `\"` belongs to the value.
pub(crate) fn closing(bytes: &[u8], inner: usize, open: &[u8]) -> usize {
    let mut from = inner;
    while let Some(end) = memchr::memmem::find(&bytes[from..], open).map(|i| from + i) {
        let escapes = bytes[inner..end].iter().rev().take_while(|&&b| b == b'\\').count();
        if escapes % 2 == 0 || open.len() > 1 {
            return end;
        }
        from = end + open.len();
    }
    bytes.len()
}

/// The end of the array or object that starts at `start`, or of the text. Brackets in strings do not count.
fn nested_end(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut in_string, mut i) = (0usize, false, start);
    while i < bytes.len() {
        match bytes[i] {
            b'"' => in_string = !in_string,
            b'\\' if in_string => i += 1,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
        i += 1;
        if depth == 0 {
            return i.min(bytes.len());
        }
    }
    bytes.len()
}

/// The end of a YAML block (`|`, `>-`) that begins at `start`: the lines that are indented.
fn block_end(bytes: &[u8], start: usize) -> Option<usize> {
    let line = memchr::memchr(b'\n', &bytes[start..])? + start;
    if line > start + 4 {
        return None;
    }
    let mut end = line;
    while end < bytes.len() && matches!(bytes.get(end + 1), Some(b' ' | b'\t' | b'\n')) {
        end = memchr::memchr(b'\n', &bytes[end + 1..]).map_or(bytes.len(), |i| end + 1 + i);
    }
    (end > line).then_some(end)
}

/// Values that people choose, and may hold any character.
fn is_free(class: Class) -> bool {
    class == Class::PASSWORD || class == Class::SECRET
}

/// To the end of the line, or of the quote all of it stands in; after `=` also to the next parameter.
fn line_end(bytes: &[u8], start: usize, colon: bool, around: &Around) -> usize {
    let stop = |i: usize| match bytes[i] {
        b'\r' | b'\n' => true,
        b'&' => !colon,
        b'"' | b'\'' | b'`' => around.inside(bytes[i]),
        _ => false,
    };
    (start..bytes.len()).find(|&i| stop(i)).unwrap_or(bytes.len())
}

fn unquoted_end(bytes: &[u8], start: usize, free: bool, json: bool, around: &Around) -> usize {
    let mut depth = 0usize;
    for i in start..bytes.len() {
        let stop = match bytes[i] {
            b'&' | b'\r' | b'\n' => true,
            b'<' | b'>' | b'#' | b'\t' => !free,
            b' ' => !free || json || is_pair_next(bytes, i + 1),
            b';' => is_pair_next(bytes, i + 1) || i + 1 == bytes.len(),
            b',' => json || is_pair_next(bytes, i + 1),
            b'"' | b'\'' | b'`' => around.inside(bytes[i]) && bytes.get(i + 1).is_none_or(|&b| is_after_quote(b)),
            b'(' | b'[' | b'{' => {
                depth += 1;
                false
            }
            b @ (b')' | b']' | b'}') => {
                let own = depth > 0;
                depth = depth.saturating_sub(1);
                !own && (json || around.opened(b))
            }
            _ => false,
        };
        if stop {
            return i;
        }
    }
    bytes.len()
}

/// Does another pair begin at `from`, after blanks: a name and `=` or `:`, or a flag?
fn is_pair_next(bytes: &[u8], from: usize) -> bool {
    let rest = &bytes[from.min(bytes.len())..];
    let blanks = rest.iter().take(8).take_while(|&&b| matches!(b, b' ' | b'\t' | b'+')).count();
    let rest = &rest[blanks..];
    if rest.starts_with(b"--") || rest.starts_with(b"|") {
        return true;
    }
    let quote = rest.iter().take(2).take_while(|&&b| matches!(b, b'"' | b'\'')).count();
    let name = rest[quote..].iter().take(40).take_while(|&&b| is_name(b)).count();
    let mut after = rest[quote + name..].iter().skip_while(|&&b| matches!(b, b'"' | b'\''));
    name > 0 && matches!(after.next(), Some(b'=' | b':'))
}

/// What is open around a place: quotes and brackets that began before it.
#[derive(Default)]
struct Around {
    at: usize,
    double: bool,
    single: bool,
    back: bool,
    round: usize,
    square: usize,
    curly: usize,
}

impl Around {
    /// Reads on to `to`. Each byte is read once.
    fn advance(&mut self, bytes: &[u8], to: usize) {
        while self.at < to {
            let i = self.at;
            self.at += 1;
            match bytes[i] {
                b'"' => self.double = !self.double,
                // In a word it is an apostrophe.
                b'\''
                    if !(i > 0
                        && bytes[i - 1].is_ascii_alphabetic()
                        && bytes.get(i + 1).is_some_and(u8::is_ascii_alphabetic)) =>
                {
                    self.single = !self.single
                }
                b'`' => self.back = !self.back,
                b'(' => self.round += 1,
                b'[' => self.square += 1,
                b'{' => self.curly += 1,
                b')' => self.round = self.round.saturating_sub(1),
                b']' => self.square = self.square.saturating_sub(1),
                b'}' => self.curly = self.curly.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn inside(&self, quote: u8) -> bool {
        match quote {
            b'"' => self.double,
            b'\'' => self.single,
            _ => self.back,
        }
    }

    fn opened(&self, closing: u8) -> bool {
        match closing {
            b')' => self.round > 0,
            b']' => self.square > 0,
            _ => self.curly > 0,
        }
    }
}

/// `"password", "x"` and `"password";s:1:"x"`.
pub(crate) fn lists(text: &str, memo: &mut Memo, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let mut from = if rules::has(rules::LIST) { 0 } else { bytes.len() };
    while let Some(at) = memchr::memchr2(b',', b';', &bytes[from..]).map(|i| from + i) {
        let floor = from;
        from = at + 1;
        let mut end = at;
        while end > floor && matches!(bytes[end - 1], b' ' | b'\t' | b'+') {
            end -= 1;
        }
        let Some(end) = strip_closing(bytes, end, floor) else { continue };
        let lowest = floor.max(end.saturating_sub(NAME_BYTES_MAX));
        let start = bytes[lowest..end].iter().rposition(|&b| !is_name(b)).map_or(lowest, |i| lowest + i + 1);
        if start == end || start == 0 || !matches!(bytes[start - 1], b'"' | b'\'' | b'`') {
            continue;
        }
        let mut value =
            at + 1 + bytes[at + 1..].iter().take_while(|&&b| matches!(b, b' ' | b'\t' | b'+' | b'\n' | b'\r')).count();
        if bytes[value..].starts_with(b"s:") {
            value += 2 + bytes[value + 2..].iter().take(8).take_while(|b| b.is_ascii_digit() || **b == b':').count();
        }
        let Some(width) = bytes.get(value..).and_then(opening_quote) else { continue };
        let inner = value + width;
        let to = closing(bytes, inner, &bytes[value..inner]);
        // In a list of names each is followed by another.
        let class = match memo.says(&bytes[start..end]) {
            Says::Secret(class) | Says::Unless(class)
                if !is_plain(&bytes[inner..to]) && !is_placeholder(&bytes[inner..to]) =>
            {
                Some(class)
            }
            Says::Perhaps(class) | Says::Drawn(class) if is_random(&bytes[inner..to]) => Some(class),
            _ => None,
        };
        if let Some(class) = class {
            findings.push(Finding { start: inner, end: to, class, whole: true });
            from = to;
        }
    }
}
