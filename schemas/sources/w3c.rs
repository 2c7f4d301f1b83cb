//! W3C extended log files: `#Fields:` names the columns of the lines behind it.
//!
//! Promises: a field is read under its own name (`cs(User-Agent)`), and `date` and `time` together as `date-time`; `-` is
//! absent. Directives are neither events nor rejects. Of a line with more values than fields nobody can say which is which;
//! one with fewer was cut, and is read as far as it goes, if time and client are there.
//! Never: keeps the fields between batches; whoever owns the reader does.

use std::cmp::Ordering;

use super::mapping::{Input, Separator, W3c};
use super::plan::Plan;
use super::slots::{Scalar, Slots};
use super::text::Reading;
use crate::address;
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

    /// Fills the slots from a line that is no directive.
    pub(super) fn fill<'b>(&self, line: &'b str, plan: &Plan, filled: &mut Slots<'b>) -> Result<Reading, Fault> {
        filled.clear();
        let mut values: Vec<&'b str> = Vec::with_capacity(FIELDS_MAX);
        match self.separator {
            Separator::Tab => values.extend(line.split('\t').map(str::trim)),
            Separator::Blank if self.quotes => split_quoted(line, &mut values),
            Separator::Blank => values.extend(line.split_ascii_whitespace()),
        }
        if values.is_empty() {
            return Err(Fault::new(Code::Empty, "expected values, got only blanks"));
        }
        let exact = self.choices.iter().find(|slots| slots.len() == values.len());
        let Some(slots) = exact.or(self.choices.first()) else {
            return Err(Fault::new(Code::InvalidLine, "expected a #Fields line before it"));
        };
        let (found, expected) = (values.len(), slots.len());
        if found < expected {
            // What is cut may be a shorter number, or another address; of a status three digits are all.
            let (last, value) = (found - 1, values[found - 1]);
            let is_status = value.len() == 3 && plan.reads_slot(slots[last], &[Input::Status]);
            let is_told = is_status || plan.reads_slot(slots[last], &TEXTS);
            values.truncate(if is_told { found } else { last });
        }
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
        match found.cmp(&expected) {
            Ordering::Equal => Ok(Reading::default()),
            // A blank in what a client wrote moved everything behind it.
            Ordering::Greater => Ok(Reading {
                unproven: true,
                time_unproven: true,
                status_unproven: true,
                list_unproven: true,
                ..Reading::default()
            }),
            Ordering::Less => self
                .cut(line, slots, plan, filled)
                .ok_or_else(|| Fault::new(Code::InvalidLine, format!("expected {expected} fields, found {found}"))),
        }
    }

    /// How sure a line is that ends early; none where it does not tell who and when.
    #[cold]
    fn cut(&self, line: &str, slots: &[u16], plan: &Plan, filled: &Slots<'_>) -> Option<Reading> {
        let is_blank = |pair: &[u8]| pair.iter().all(u8::is_ascii_whitespace);
        // So many values are certainly those of their fields.
        let sure = match self.separator {
            // It may be a whole line of another list.
            _ if self.list.is_none() => 0,
            Separator::Tab => slots.len(),
            // A field with nothing in it.
            Separator::Blank if line.as_bytes().windows(2).any(is_blank) => 0,
            // A blank in what a client wrote would have moved what is behind it.
            Separator::Blank => slots.iter().position(|slot| plan.reads_slot(*slot, &SENT)).unwrap_or(slots.len()),
        };
        let client = slots.iter().find(|slot| plan.reads_slot(**slot, &[Input::ClientIp]))?;
        let client = filled.read(filled.get(*client));
        let is_client = !client.is_empty() && (self.list.is_some() || address::parse(client).is_some());
        let behind = |inputs: &[Input]| slots[sure..].iter().any(|slot| plan.reads_slot(*slot, inputs));
        (is_client && plan.tells_time(filled)).then(|| Reading {
            unproven: behind(&[Input::ClientIp]),
            time_unproven: false,
            status_unproven: behind(&[Input::Status]) && plan.has_value(Input::Status, filled),
            list_unproven: behind(&[Input::ForwardedFor, Input::Forwarded, Input::RealIp]),
            cut: true,
            shortened: false,
            is_json: false,
        })
    }
}

/// Columns that are told as far as they go when their value is cut.
const TEXTS: [Input; 5] = [Input::Target, Input::Path, Input::Query, Input::UserAgent, Input::Referrer];

/// Columns of what a client wrote.
const SENT: [Input; 15] = [
    Input::Method,
    Input::Target,
    Input::Path,
    Input::Query,
    Input::RequestLine,
    Input::Host,
    Input::UserAgent,
    Input::Referrer,
    Input::Principal,
    Input::Authorization,
    Input::ApiKey,
    Input::Cookie,
    Input::RequestId,
    Input::ForwardedFor,
    Input::Forwarded,
];

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
