//! W3C extended log files: `#Fields:` names the columns of the lines behind it.
//!
//! Promises: a field is read under its own name (`cs(User-Agent)`), and `date` and `time` together as `date-time`; `-` is
//! absent. Directives are neither events nor rejects. Of a line with more values than fields nobody can say which is which.
//! Never: keeps the fields between batches; whoever owns the reader does.

use super::mapping::{Separator, W3c};
use super::plan::Plan;
use super::slots::{Scalar, Slots};
use crate::reject::Code;
use crate::request::Fault;

/// Longest `#Fields` line that is followed.
const FIELDS_MAX: usize = 128;

/// The fields of the lines to come, as slots.
#[derive(Clone)]
pub(crate) struct Fields {
    /// Of several, that with as many fields as the line has values counts.
    choices: Vec<Vec<u16>>,
    separator: Separator,
    quotes: bool,
    /// What the last `#Fields` line said.
    list: Option<String>,
}

impl Fields {
    pub(super) fn new(config: &W3c, plan: &Plan) -> Fields {
        let lists = config.fields.clone().into_vec();
        Fields {
            choices: lists.iter().map(|list| slots(list, plan)).collect(),
            separator: config.separator,
            quotes: config.quotes,
            list: None,
        }
    }

    /// What the last `#Fields` line said, if there was one.
    pub(crate) fn list(&self) -> Option<&str> {
        self.list.as_deref()
    }

    /// The same reader after a line `#Fields: list`.
    pub(crate) fn renamed(&self, list: &str, plan: &Plan) -> Fields {
        Fields {
            choices: vec![slots(list, plan)],
            separator: self.separator,
            quotes: self.quotes,
            list: Some(list.to_string()),
        }
    }

    /// The same reader, which reads no line before the next `#Fields` line.
    pub(crate) fn untold(self) -> Fields {
        if self.list.is_some() { self } else { Fields { choices: Vec::new(), ..self } }
    }

    /// Fills the slots from a line that is no directive; true when it holds more values than there are fields.
    pub(super) fn fill<'b>(&self, line: &'b str, filled: &mut Slots<'b>) -> Result<bool, Fault> {
        filled.clear();
        let mut values: Vec<&'b str> = Vec::with_capacity(FIELDS_MAX);
        match self.separator {
            Separator::Tab => values.extend(line.split('\t').map(str::trim)),
            Separator::Blank if self.quotes => split_quoted(line, &mut values),
            Separator::Blank => values.extend(line.split_ascii_whitespace()),
        }
        let exact = self.choices.iter().find(|slots| slots.len() == values.len());
        let Some(slots) = exact.or(self.choices.first()).filter(|slots| slots.len() <= values.len()) else {
            let Some(first) = self.choices.first() else {
                return Err(Fault::new(Code::InvalidLine, "expected a #Fields line before it"));
            };
            let (found, expected) = (values.len(), first.len());
            return Err(Fault::new(Code::InvalidLine, format!("expected {expected} fields, found {found}")));
        };
        for (slot, value) in slots.iter().zip(&values) {
            if *value == "-" {
                continue;
            }
            let has_quotes = self.quotes && value.contains("\"\"");
            let value = match has_quotes {
                true => filled.copy(|out| out.push_str(&value.replace("\"\"", "\""))),
                false => Scalar::Text(value),
            };
            filled.put(*slot, value);
        }
        Ok(slots.len() < values.len())
    }
}

fn slots(list: &str, plan: &Plan) -> Vec<u16> {
    list.split_ascii_whitespace().take(FIELDS_MAX).map(|name| plan.slot_named(name)).collect()
}

/// Values between blanks; one in quotes may hold blanks, and quotes that are doubled there.
fn split_quoted<'b>(line: &'b str, values: &mut Vec<&'b str>) {
    let mut rest = line.trim_start();
    // Where one quote is not closed, none of those behind it is: they were looked through for it.
    let mut closes = true;
    while !rest.is_empty() {
        let inside = rest.strip_prefix('"');
        let end = match inside {
            Some(inside) if closes => closing(inside.as_bytes()),
            Some(inside) => is_closing(inside.as_bytes(), 0).then_some(0),
            None => None,
        };
        closes &= inside.is_none() || end.is_some();
        let quoted = inside.zip(end).map(|(inside, end)| (&inside[..end], &inside[end + 1..]));
        let (value, after) = quoted.unwrap_or_else(|| rest.split_once([' ', '\t']).unwrap_or((rest, "")));
        values.push(value);
        rest = after.trim_start();
    }
}

/// Where the quote stands that ends a value: not one of two, which are a quote in it, and before a blank or the end.
fn closing(inside: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'"', inside.get(at..)?) {
        at += found;
        if is_closing(inside, at) {
            return Some(at);
        }
        at += if inside.get(at + 1) == Some(&b'"') { 2 } else { 1 };
    }
    None
}

fn is_closing(inside: &[u8], at: usize) -> bool {
    inside.get(at) == Some(&b'"') && matches!(inside.get(at + 1), None | Some(b' ' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<&str> {
        let mut values = Vec::new();
        split_quoted(line, &mut values);
        values
    }

    #[test]
    fn in_quotes_two_quotes_are_one_of_the_value() {
        assert_eq!(split(r#"a "b c" "" d"#), ["a", "b c", "", "d"]);
        assert_eq!(split(r#""x"" 198.51.100.77 ""y" -"#), [r#"x"" 198.51.100.77 ""y"#, "-"]);
        assert_eq!(split(r#""say ""hi""" 200"#), [r#"say ""hi"""#, "200"]);
        assert_eq!(split(r#""a"b" c"#), [r#"a"b"#, "c"]);
    }

    #[test]
    fn a_quote_that_is_not_closed_joins_nothing() {
        assert_eq!(split(r#""a b "" "c"#), [r#""a"#, "b", "", r#""c"#]);
        let many = "\"a ".repeat(200_000);
        assert_eq!(split(&many).len(), 200_000);
    }
}
