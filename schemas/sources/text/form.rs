//! A form of text lines: fields with what stands between them, as one line of a mapping file.
//!
//! ```text
//! <client:address> <:ident> <user:text> [<time:clf>] "<request:text>" <status:status> <bytes:count>
//! ```
//!
//! `<name:class>` is a field, `<:class>` one that is stepped over; everything else stands in the line as it stands here, a
//! blank for one or more. `!` at the start says that a line of this form never proves who the client was. `?` says the same,
//! and that another form proves the client only where this one finds the same one, or where nothing stands before the clients of
//! the lane (`front.rs`).
//! Promises: a form that parsed always works; an error says where and what was expected.
//! Never: reads a line.

use super::class::{Class, Run};
use crate::limits::{ENDS_MAX, FORM_PARTS_MAX};

/// A form, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(super) parts: Vec<Part>,
    /// Quotes in the literals.
    pub(super) quotes: usize,
    /// The last part with one in it; 0 where none has.
    pub(super) last_quote: usize,
    /// The form cannot tell the client from what others write.
    pub(super) unproven: bool,
    /// Another form proves the client only where this one, if the line fits it, finds the same.
    pub(super) doubts: bool,
    /// It is that of lines without what stands first, or last, where nothing was written but a blank: a line that fits another form
    /// may look like it.
    pub(super) lacks: Ends,
}

/// The two ends of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(super) first: bool,
    pub(super) last: bool,
}

impl Ends {
    /// At which there may be a blank, or another sign that counts as one.
    pub(crate) fn blanks(record: &[u8]) -> Ends {
        let line = record.strip_suffix(b"\n").unwrap_or(record);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_blank = |sign: Option<&u8>| sign.is_some_and(|sign| !sign.is_ascii_graphic());
        Ends { first: is_blank(line.first()), last: is_blank(line.last()) }
    }

    pub(super) fn any(self) -> bool {
        self.first || self.last
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Literal(Box<str>),
    Field(Field),
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Part::Literal(literal) => write!(f, "`{literal}`"),
            Part::Field(field) if field.name.is_empty() => write!(f, "{}", field.class.name()),
            Part::Field(field) => write!(f, "{} ({})", field.name, field.class.name()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Empty for one that is stepped over.
    pub(super) name: Box<str>,
    pub(super) class: Class,
    /// There are quotes around it.
    pub(super) quoted: bool,
    /// The gateway writes nothing for no value, and a sign stands behind it that no value begins with.
    pub(super) may_be_empty: bool,
    /// It is a path with its query behind it, in two variables.
    pub(super) in_parts: bool,
    /// It may be badly written.
    pub(super) loose: Option<Loose>,
}

/// What may be badly written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loose {
    Status,
    Size,
}

impl Field {
    pub(super) fn new(name: &str, class: Class) -> Field {
        Field { name: name.into(), class, quoted: false, may_be_empty: false, in_parts: false, loose: None }
    }

    /// Where it ends when it begins at `at` and its class is strict; `stop` is the byte that stands behind it in the form.
    #[inline]
    pub(super) fn end(&self, line: &str, at: usize, stop: Option<u8>) -> Option<usize> {
        self.end_after(line, at, stop, &mut Run::default())
    }

    /// The same, for one of several places of the same field in their order; `last` is what was found for those before.
    #[inline]
    pub(super) fn end_after(&self, line: &str, at: usize, stop: Option<u8>, last: &mut Run) -> Option<usize> {
        if self.may_be_empty && stop.is_some() && line.as_bytes().get(at).copied() == stop {
            return Some(at);
        }
        let end = self.class.end_after(line, at, stop, last);
        match self.loose {
            None => end,
            Some(Loose::Status) => Class::loose_status_end(line, at).or(end),
            Some(Loose::Size) => Class::loose_size_end(line, at).or(end),
        }
    }
}

impl Form {
    pub(crate) fn parse(text: &str) -> Result<Form, String> {
        let (unproven, doubts) = (text.starts_with(['!', '?']), !text.starts_with('!'));
        let text = if unproven { &text[1..] } else { text };
        let mut parts: Vec<Part> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let field = field_at(rest).transpose()?;
            if let Some((field, after)) = field {
                let behind_text = matches!(parts.last(), Some(Part::Field(before)) if before.class.is_free());
                if behind_text {
                    return Err(format!("{text:?}: expected something between a text and <{}>", field.name));
                }
                parts.push(Part::Field(field));
                rest = after;
                continue;
            }
            // A `<` that begins no field stands for itself.
            let first = rest.chars().next().map_or(1, char::len_utf8);
            let next = rest[first..].find('<').map_or(rest.len(), |at| first + at);
            match parts.last_mut() {
                Some(Part::Literal(literal)) => *literal = format!("{literal}{}", &rest[..next]).into(),
                _ => parts.push(Part::Literal(rest[..next].into())),
            }
            rest = &rest[next..];
        }
        if parts.len() > FORM_PARTS_MAX || !parts.iter().any(|part| matches!(part, Part::Field(_))) {
            return Err(format!("{text:?}: expected 1 to {FORM_PARTS_MAX} fields written <name:class>"));
        }
        Ok(Form { unproven, doubts, ..Form::of(parts) })
    }

    /// From parts; notes which fields stand in quotes.
    pub(super) fn of(mut parts: Vec<Part>) -> Form {
        for i in 1..parts.len() {
            let opens = matches!(&parts[i - 1], Part::Literal(before) if before.ends_with('"'));
            let closes = matches!(parts.get(i + 1), Some(Part::Literal(after)) if after.starts_with('"'));
            if let Part::Field(field) = &mut parts[i] {
                field.quoted = opens && closes;
            }
        }
        let quotes = |part: &Part| match part {
            Part::Literal(literal) => literal.matches('"').count(),
            Part::Field(_) => 0,
        };
        let last_quote = parts.iter().rposition(|part| quotes(part) > 0).unwrap_or(0);
        let quotes = parts.iter().map(quotes).sum();
        Form { quotes, last_quote, parts, unproven: false, doubts: true, lacks: Ends::default() }
    }

    /// The forms of lines whose first fields, or last, or both, are nothing: the blanks beside them are not there, for blanks around a
    /// line are nothing.
    pub(super) fn without_ends(&self, may_be_nothing: impl Fn(&Field) -> bool) -> Vec<Form> {
        let shorter = |parts: Vec<Part>| {
            let next = |parts: &Vec<Part>| without_first(parts, &may_be_nothing);
            std::iter::successors(Some(parts), next).take(ENDS_MAX + 1)
        };
        let mut forms = Vec::new();
        for (from, parts) in shorter(self.parts.clone()).enumerate() {
            for (to, parts) in shorter(reversed(parts)).map(reversed).enumerate() {
                let lacks = Ends { first: from > 0, last: to > 0 };
                forms.push(Form { unproven: self.unproven, lacks, ..Form::of(parts) });
            }
        }
        forms.retain(|form| form.lacks.any());
        forms
    }

    /// Does anything fit behind the last field that counts?
    pub(super) fn is_open(&self) -> bool {
        matches!(self.parts.last(), Some(Part::Field(field)) if field.class == Class::Any)
    }

    /// The same form, for lines in which what `loose` says of a field may be badly written.
    pub(super) fn loosened(&self, loose: impl Fn(&Field) -> Option<Loose>) -> Form {
        let mut form = self.clone();
        for part in &mut form.parts {
            if let Part::Field(field) = part {
                field.loose = loose(field);
            }
        }
        form
    }

    /// Marked `?`.
    pub(super) fn is_doubt(&self) -> bool {
        self.unproven && self.doubts
    }

    /// Whether a line may begin as the prefixes of runtimes and syslog do.
    pub(super) fn begins_as_prefix(&self) -> bool {
        match self.parts.first() {
            Some(Part::Field(field)) => matches!(field.class, Class::Rfc3339 | Class::Datetime),
            Some(Part::Literal(literal)) => literal.starts_with(['[', '<']),
            None => false,
        }
    }

    pub(super) fn begins_with_field(&self) -> bool {
        matches!(self.parts.first(), Some(Part::Field(_)))
    }

    /// Do both begin with the same part, before the same?
    pub(super) fn begins_like(&self, other: &Form) -> bool {
        (self.parts.first(), self.parts.get(1)) == (other.parts.first(), other.parts.get(1))
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = &Field> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(field) => Some(field),
            Part::Literal(_) => None,
        })
    }
}

/// The parts without the field that they begin with, and the blank behind it, where that field may be nothing.
fn without_first(parts: &[Part], may_be_nothing: impl Fn(&Field) -> bool) -> Option<Vec<Part>> {
    let [Part::Field(field), Part::Literal(literal), rest @ ..] = parts else { return None };
    if !may_be_nothing(field) || field.class == Class::Any || rest.is_empty() {
        return None;
    }
    let literal = literal.strip_prefix([' ', '\t'])?;
    let literal = (!literal.is_empty()).then(|| Part::Literal(literal.into()));
    Some(literal.into_iter().chain(rest.iter().cloned()).collect())
}

/// From the last to the first, and their texts so too.
fn reversed(mut parts: Vec<Part>) -> Vec<Part> {
    parts.reverse();
    for part in &mut parts {
        if let Part::Literal(literal) = part {
            *literal = literal.chars().rev().collect();
        }
    }
    parts
}

/// The field that begins here, if one does, and what follows.
fn field_at(text: &str) -> Option<Result<(Field, &str), String>> {
    let (inside, after) = text.strip_prefix('<')?.split_once('>')?;
    let (name, class) = inside.split_once(':')?;
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) {
        return None;
    }
    Some(match Class::parse(class) {
        Some(class) => Ok((Field::new(name, class), after)),
        None => Err(format!("<{inside}>: unknown class, expected one of {}", Class::names())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_and_mistakes_named() {
        let form =
            Form::parse(r#"!<client:address> - [<time:clf>] "<request:text>" <<x>> <rest:any>"#).expect("a form");
        assert!((form.unproven, form.doubts, form.quotes, form.is_open()) == (true, false, 2, true));
        let marks = |text| Form::parse(text).map(|form| (form.unproven, form.doubts));
        assert_eq!(marks("?<host:phrase> <client:client>"), Ok((true, true)));
        assert_eq!(marks("<host:phrase> <client:client>"), Ok((false, true)));
        let named: Vec<(&str, bool)> = form.fields().map(|field| (&*field.name, field.quoted)).collect();
        assert_eq!(named, [("client", false), ("time", false), ("request", true), ("rest", false)]);
        for (bad, expected) in [
            ("<a:text><b:word>", "something between"),
            ("<a:words>", "unknown class, expected one of address"),
            ("no field", "1 to 256 fields"),
            ("", "1 to 256 fields"),
        ] {
            let error = Form::parse(bad).expect_err(bad);
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }
}
