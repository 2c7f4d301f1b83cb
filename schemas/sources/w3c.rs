//! W3C extended log files: `#Fields:` names the columns of the lines behind it.
//!
//! Promises: a field is read under its own name (`cs(User-Agent)`), and `date` and `time` together as `date-time`; `-` is
//! absent. Directives are neither events nor rejects.
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
}

impl Fields {
    pub(super) fn new(config: &W3c, plan: &Plan) -> Fields {
        let lists = config.fields.clone().into_vec();
        Fields { choices: lists.iter().map(|list| slots(list, plan)).collect(), separator: config.separator }
    }

    /// The same reader after a line `#Fields: list`.
    pub(crate) fn renamed(&self, list: &str, plan: &Plan) -> Fields {
        Fields { choices: vec![slots(list, plan)], separator: self.separator }
    }

    /// Fills the slots from a line that is no directive.
    pub(super) fn fill<'b>(&self, line: &'b str, filled: &mut Slots<'b>) -> Result<(), Fault> {
        filled.clear();
        let mut values: Vec<&'b str> = Vec::with_capacity(FIELDS_MAX);
        match self.separator {
            Separator::Tab => values.extend(line.split('\t').map(str::trim)),
            Separator::Blank => split_blank(line, &mut values),
        }
        let exact = self.choices.iter().find(|slots| slots.len() == values.len());
        let Some(slots) = exact.or(self.choices.first()).filter(|slots| slots.len() <= values.len()) else {
            let (found, expected) = (values.len(), self.choices.first().map_or(0, Vec::len));
            return Err(Fault::new(Code::InvalidLine, format!("expected {expected} fields, found {found}")));
        };
        for (slot, value) in slots.iter().zip(&values) {
            if *value != "-" {
                filled.put(*slot, Scalar::Text(value));
            }
        }
        Ok(())
    }
}

fn slots(list: &str, plan: &Plan) -> Vec<u16> {
    list.split_ascii_whitespace().take(FIELDS_MAX).map(|name| plan.slot_named(name)).collect()
}

/// Values between blanks; one in quotes may hold blanks, and a doubled quote.
fn split_blank<'b>(line: &'b str, values: &mut Vec<&'b str>) {
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let quoted = rest.strip_prefix('"').and_then(|inner| {
            let end = memchr::memmem::find_iter(inner.as_bytes(), b"\"")
                .find(|at| matches!(inner.as_bytes().get(at + 1), None | Some(b' ' | b'\t')))?;
            Some((&inner[..end], &inner[end + 1..]))
        });
        let (value, after) = quoted.unwrap_or_else(|| rest.split_once([' ', '\t']).unwrap_or((rest, "")));
        values.push(value);
        rest = after.trim_start();
    }
}
