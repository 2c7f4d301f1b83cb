//! Conditions in words, as filters of APIs and of SQL have them: `password eq 'x'` (OData, SCIM), `password LIKE 'x'`,
//! `password not in ('x', 'y')`, `password <> 'x'`, `contains(password, 'x')`.
//!
//! Promises: linear time: what is looked at before an operator and behind it is bounded. A name that says nothing of a secret
//! keeps its value, and words of a sentence (`key in hand`) are no condition: behind them a quote or a bracket must follow.
//! Never: reads `=` and what ends with it, see `pairs.rs`.

use super::classes::Class;
use super::find::Finding;
use super::names::{Memo, NAME_BYTES_MAX};
use super::pairs::{closing, confirmed, is_name, opening_quote, strip_closing};
use super::rules;

/// An operator between a name and its value, and whether a value without quotes may follow.
#[rustfmt::skip]
static OPERATORS: [(&[u8], bool); 26] = [
    (b"eq", true), (b"ne", true), (b"neq", true), (b"co", true), (b"sw", true), (b"ew", true), (b"gt", true), (b"ge", true),
    (b"gte", true), (b"lt", true), (b"le", true), (b"lte", true), (b"<>", true), (b">", true), (b"<", true), (b"~", true), (b"!~", true),
    (b"in", false), (b"like", false), (b"ilike", false), (b"rlike", false), (b"regexp", false), (b"is", false), (b"contains", false),
    (b"startswith", false), (b"equals", false),
];
const OPERATOR_BYTES_MAX: usize = 10;
/// Values in the brackets of one condition.
const VALUES_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 1024;
/// A quote with its escapes.
const QUOTE_BYTES_MAX: usize = 16;

/// Finds the values that conditions compare secret names with.
pub(crate) fn filters(text: &str, memo: &mut Memo, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    if !rules::has(rules::PAIR) {
        return;
    }
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|&b| is_blank(b) || b == b'(') {
        let sign = at + found;
        at = sign + 1;
        let end = if bytes[sign] == b'(' {
            of_function(bytes, at, memo, findings)
        } else {
            of_operator(bytes, sign, memo, findings)
        };
        at = end.map_or(at, |end| end.max(at));
    }
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'+' | b'\r' | b'\n')
}

fn over_blanks(bytes: &[u8], from: usize) -> usize {
    from + bytes[from..].iter().take_while(|&&b| is_blank(b)).count()
}

/// The condition whose operator stands behind the blank at `blank`; how far was read.
fn of_operator(bytes: &[u8], blank: usize, memo: &mut Memo, findings: &mut Vec<Finding>) -> Option<usize> {
    let (behind, takes_word) = operator(bytes, blank + 1)?;
    let mut end = blank;
    while end > 0 && is_blank(bytes[end - 1]) {
        end -= 1;
    }
    let name = name_before(bytes, end)?;
    // `password not like 'x'`
    let name = match name {
        b"not" | b"NOT" => name_before(bytes, bytes[..end - 3].iter().rposition(|&b| !is_blank(b))? + 1)?,
        name => name,
    };
    let says = memo.says(name);
    says.class()?;
    let mut at = over_blanks(bytes, behind);
    let in_brackets = bytes.get(at) == Some(&b'(');
    at += usize::from(in_brackets);
    for _ in 0..if in_brackets { VALUES_MAX } else { 1 } {
        at = over_blanks(bytes, at);
        let (start, to) = value(bytes, at, takes_word || in_brackets)?;
        let found = confirmed(says, &bytes[start..to]).map(|class| whole(bytes, start, to, class));
        let to = found.map_or(to, |finding| finding.end);
        findings.extend(found);
        at = over_blanks(bytes, (to + usize::from(start > at)).min(bytes.len()));
        if bytes.get(at) != Some(&b',') {
            break;
        }
        at += 1;
    }
    Some(at)
}

/// `contains(password, 'x')`: a name and a value in quotes are what the bracket before `start` opens for.
fn of_function(bytes: &[u8], start: usize, memo: &mut Memo, findings: &mut Vec<Finding>) -> Option<usize> {
    let from = over_blanks(bytes, start);
    let length = bytes[from..].iter().take(NAME_BYTES_MAX).take_while(|&&b| is_name(b) || b == b'/').count();
    let name = bytes[from..from + length].rsplit(|&b| b == b'/').next().filter(|name| !name.is_empty())?;
    let comma = over_blanks(bytes, from + length);
    if bytes.get(comma) != Some(&b',') {
        return None;
    }
    let at = over_blanks(bytes, comma + 1);
    let (start, to) = value(bytes, at, false)?;
    let found = whole(bytes, start, to, confirmed(memo.says(name), &bytes[start..to])?);
    findings.push(found);
    Some(found.end)
}

/// The finding of a value, to its end where that is further off than was looked.
fn whole(bytes: &[u8], start: usize, to: usize, class: Class) -> Finding {
    let is_long = to - start + QUOTE_BYTES_MAX >= VALUE_BYTES_MAX;
    let more = || bytes[to..].iter().position(|b| matches!(b, b'"' | b'\'')).unwrap_or(bytes.len() - to);
    let end = if is_long { to + more() } else { to };
    Finding { start, end, class, whole: true }
}

/// The end of the operator that begins at `at` and stands alone, and whether a bare word may follow it.
fn operator(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    let rest = &bytes[at..];
    let length =
        rest.iter().take(OPERATOR_BYTES_MAX + 1).position(|&b| is_blank(b) || matches!(b, b'(' | b'\'' | b'"'))?;
    let word = &rest[..length];
    let known = OPERATORS.iter().find(|(operator, _)| operator.eq_ignore_ascii_case(word))?;
    Some((at + length, known.1))
}

/// The name that ends at `end`, which may stand in quotes.
fn name_before(bytes: &[u8], end: usize) -> Option<&[u8]> {
    let end = strip_closing(bytes, end, 0).unwrap_or(end);
    let lowest = end.saturating_sub(NAME_BYTES_MAX);
    let start = bytes[lowest..end].iter().rposition(|&b| !is_name(b)).map_or(lowest, |i| lowest + i + 1);
    (start < end).then(|| &bytes[start..end])
}

/// The value at `at`: what stands in quotes, of which two are one in it, or a word.
fn value(bytes: &[u8], at: usize, takes_word: bool) -> Option<(usize, usize)> {
    let rest = bytes.get(at..bytes.len().min(at + VALUE_BYTES_MAX))?;
    let Some(width) = opening_quote(rest) else {
        let is_end = |b: &u8| is_blank(*b) || matches!(b, b'&' | b')' | b',' | b';' | b']' | b'"' | b'\'');
        let length = rest.iter().position(is_end).unwrap_or(rest.len());
        return (takes_word && length > 0).then_some((at, at + length));
    };
    let open = &rest[..width];
    let mut end = closing(rest, width, open);
    while rest.get(end + width..).is_some_and(|behind| behind.starts_with(open)) && rest[end..].starts_with(open) {
        end = closing(rest, end + 2 * width, open);
    }
    (end > width).then_some((at + width, at + end))
}

#[cfg(test)]
mod tests {
    use super::super::scrub;

    #[test]
    fn what_a_secret_is_compared_with_goes() {
        for text in [
            "$filter=password eq 'Marmot42xy'",
            "$filter=password%20eq%20%27Marmot42xy%27",
            "filter=userName%20eq%20%22bob%22%20and%20password%20eq%20%22Marmot42xy%22",
            "filter=userName+eq+%22bob%22+and+password+eq+%22Marmot42xy%22",
            "filter=password+in+%28%27a%27%2C+%27Marmot42xy%27%29",
            "filter=password in ('Marmot42xy')",
            "q=password LIKE '%25Marmot42xy%25'",
            "q=password NOT LIKE 'Marmot42xy'",
            "filter=password ne 'Marmot42xy'",
            "filter=password co \"Marmot42xy\"",
            "filter=password sw \"Marmot42xy\"",
            "filter=password gt 'Marmot42xy'",
            "filter=password != 'Marmot42xy'",
            "filter=password!='Marmot42xy'",
            "filter=password <> 'Marmot42xy'",
            "filter=password%20%21%3D%20%27Marmot42xy%27",
            "filter=password eq Marmot42xy",
            "filter=(user/password eq 'Marmot42xy')",
            "filter=urn:ietf:params:scim:schemas:core:2.0:User:password eq \"Marmot42xy\"",
            "$filter=contains(password,'Marmot42xy')",
            "$filter=startswith(user/password, 'Marmot42xy')",
            "filter=\"password\" eq 'Marmot42xy'",
            "filter=password eq 'it''s Marmot42xy'",
            "filter=access_token eq 'Marmot42xy'",
        ] {
            let kept = scrub(text);
            assert!(!kept.contains("Marmot42xy"), "{text} became {kept}");
        }
    }

    #[test]
    fn other_conditions_stay() {
        for text in [
            "$filter=status eq 'open'",
            "$filter=name eq 'pass'",
            "$filter=name%20eq%20%27pass%27%20and%20age%20gt%2030",
            "filter=userName eq \"bob\" and active eq true",
            "filter=password ne null",
            "filter=code in ('DE', 'FR')",
            "q=the key in my hand",
            "q=password in the url",
            "q=forgot password is it safe",
            "q=token like that",
            "$filter=contains(name,'password')",
            "$filter=Price lt 10 and startswith(Name,'Sea')",
            "$orderby=name desc&$filter=created ge 2026-01-01",
        ] {
            assert_eq!(scrub(text), text);
        }
    }

    #[test]
    fn many_conditions_take_time_in_proportion() {
        for text in [
            "password eq ".repeat(20_000),
            "(password,".repeat(20_000),
            "password in (".repeat(20_000),
            "'' ".repeat(60_000),
        ] {
            scrub(&text);
        }
    }
}
