//! From a line of a rule (`field|modifier|modifier: values`) to its tests.
//!
//! Promises: modifiers act in the order in which they are written; a combination that has no meaning, a value that does not
//! fit and what depends on a pipeline (`expand`) are refused with the reason.
//! Never: leaves out a modifier.

use data_encoding::BASE64;
use rsigma_parser::{DetectionItem, Modifier, SigmaString, SigmaValue, SpecialChar, StringPart};

use super::address::Network;
use super::fields::FieldNames;
use super::limits::ALTERNATIVES_MAX;
use super::regexes::{self, Flags};
use super::test::{Item, Order, Place, Test, telling};
use super::text::{DASHES, Pattern, Piece};
use super::time::Part;

/// What the modifiers of a line come to.
#[derive(Debug, Default)]
struct Plan {
    kind: Kind,
    place: Place,
    encodings: Vec<Encoding>,
    flags: Flags,
    cased: bool,
    all: bool,
    negated: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Kind {
    #[default]
    Value,
    Regex,
    Network,
    Exists,
    Field,
    Compare(Order),
    Part(Part),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Encoding {
    Dashes,
    Wide { big: bool, mark: bool },
    Base64,
    Base64Offset,
}

/// Compiles a line of a selection.
pub fn item(line: &DetectionItem, names: &mut FieldNames) -> Result<Item, String> {
    let field = line.field.name.as_deref().map(rsigma_parser::fieldpath::unescape_brackets);
    let plan = Plan::new(&line.field.modifiers, field.is_none())?;
    let mut values = Vec::with_capacity(line.values.len());
    for value in &line.values {
        values.push(plan.tests(value, names).map_err(|why| format!("value `{}`: {why}", short(value)))?);
    }
    if values.is_empty() {
        // An empty list asks for a field without a value.
        values.push(vec![Test::Null]);
    }
    let field = field.map(|name| names.number(&name));
    if field.is_none() && values.iter().flatten().any(|test| matches!(test, Test::Null)) {
        return Err("null among keywords; expected text or numbers".to_owned());
    }
    Ok(Item { field, values, all: plan.all, negated: plan.negated })
}

/// Compiles a list of keywords: each may stand anywhere in any field.
pub fn keywords(values: &[SigmaValue]) -> Result<Item, String> {
    if values.is_empty() {
        return Err("an empty selection; expected fields with values, or keywords".to_owned());
    }
    let plan = Plan { place: Place::Anywhere, ..Plan::default() };
    let mut tests = Vec::with_capacity(values.len());
    for value in values {
        let text = text_of(value).ok_or_else(|| "null among keywords; expected text or numbers".to_owned())?;
        tests.push(plan.texts(&text)?);
    }
    Ok(Item { field: None, values: tests, all: false, negated: false })
}

fn short(value: &SigmaValue) -> String {
    value.to_string().chars().take(60).collect()
}

impl Plan {
    fn new(modifiers: &[Modifier], keyword: bool) -> Result<Plan, String> {
        let mut plan = Plan::default();
        let mut places = 0;
        for modifier in modifiers {
            match modifier {
                Modifier::Contains | Modifier::StartsWith | Modifier::EndsWith => {
                    places += 1;
                    plan.place = place(*modifier);
                }
                Modifier::All => plan.all = true,
                Modifier::Neq => plan.negated = true,
                Modifier::Cased => plan.cased = true,
                Modifier::Base64 => plan.encodings.push(Encoding::Base64),
                Modifier::Base64Offset => plan.encodings.push(Encoding::Base64Offset),
                Modifier::Wide => plan.encodings.push(Encoding::Wide { big: false, mark: false }),
                Modifier::Utf16be => plan.encodings.push(Encoding::Wide { big: true, mark: false }),
                Modifier::Utf16 => plan.encodings.push(Encoding::Wide { big: false, mark: true }),
                Modifier::WindAsh => plan.encodings.push(Encoding::Dashes),
                Modifier::IgnoreCase => plan.flags.ignore_case = true,
                Modifier::Multiline => plan.flags.multi_line = true,
                Modifier::DotAll => plan.flags.dot_all = true,
                Modifier::Expand => {
                    return Err("`expand` fills placeholders from a pipeline, and there is none here; expected the \
                                values themselves"
                        .to_owned());
                }
                other => plan.becomes(*other)?,
            }
        }
        if places > 1 {
            return Err("two of contains, startswith and endswith; expected one".to_owned());
        }
        if keyword && plan.place == Place::Whole {
            plan.place = Place::Anywhere;
        }
        plan.fits(keyword).map(|()| plan)
    }

    fn becomes(&mut self, modifier: Modifier) -> Result<(), String> {
        if self.kind != Kind::Value {
            return Err(format!("`{}` beside another modifier of its kind; expected one", word(modifier)));
        }
        self.kind = match modifier {
            Modifier::Re => Kind::Regex,
            Modifier::Cidr => Kind::Network,
            Modifier::Exists => Kind::Exists,
            Modifier::FieldRef => Kind::Field,
            Modifier::Lt => Kind::Compare(Order::Less),
            Modifier::Lte => Kind::Compare(Order::AtMost),
            Modifier::Gt => Kind::Compare(Order::More),
            Modifier::Gte => Kind::Compare(Order::AtLeast),
            Modifier::Minute => Kind::Part(Part::Minute),
            Modifier::Hour => Kind::Part(Part::Hour),
            Modifier::Day => Kind::Part(Part::Day),
            Modifier::Week => Kind::Part(Part::Week),
            Modifier::Month => Kind::Part(Part::Month),
            Modifier::Year => Kind::Part(Part::Year),
            other => return Err(format!("`{}` is not known here", word(other))),
        };
        Ok(())
    }

    /// Refuses what has no meaning together.
    fn fits(&self, keyword: bool) -> Result<(), String> {
        let plain = self.kind == Kind::Value;
        if !self.encodings.is_empty() && !plain {
            return Err("an encoding beside a modifier that takes no text; expected one of them".to_owned());
        }
        if self.flags != Flags::default() && self.kind != Kind::Regex {
            return Err("`i`, `m` or `s` without `re` before it".to_owned());
        }
        if self.cased && !matches!(self.kind, Kind::Value | Kind::Field | Kind::Regex) {
            return Err("`cased` beside a modifier that compares no text".to_owned());
        }
        if self.place != Place::Whole && !matches!(self.kind, Kind::Value | Kind::Field | Kind::Regex) {
            return Err("contains, startswith or endswith beside a modifier that compares no text".to_owned());
        }
        if keyword && !matches!(self.kind, Kind::Value | Kind::Regex) {
            return Err("a modifier that needs a field, without a field".to_owned());
        }
        Ok(())
    }

    fn tests(&self, value: &SigmaValue, names: &mut FieldNames) -> Result<Vec<Test>, String> {
        let text = || text_of(value).ok_or_else(|| "nothing; expected text".to_owned());
        match self.kind {
            Kind::Value => self.plain(value),
            Kind::Regex => self.regex(&text()?.original),
            Kind::Network => Ok(vec![Test::Network(Network::parse(&text()?.original)?)]),
            Kind::Exists => match text()?.original.to_lowercase().as_str() {
                "true" | "yes" => Ok(vec![Test::Exists(true)]),
                "false" | "no" => Ok(vec![Test::Exists(false)]),
                _ => Err("expected true or false".to_owned()),
            },
            Kind::Field => {
                let number = names.number(&text()?.original);
                Ok(vec![Test::Field { number, place: self.place, cased: self.cased }])
            }
            Kind::Compare(order) => Ok(vec![Test::Compare(order, number(value)?)]),
            Kind::Part(part) => {
                let wanted = number(value)?;
                let whole = wanted as i64;
                if whole as f64 == wanted {
                    Ok(vec![Test::Part(part, whole)])
                } else {
                    Err("expected a whole number".to_owned())
                }
            }
        }
    }

    fn plain(&self, value: &SigmaValue) -> Result<Vec<Test>, String> {
        let bare = self.place == Place::Whole && self.encodings.is_empty();
        match value {
            SigmaValue::Null if bare => Ok(vec![Test::Null]),
            SigmaValue::Null => Err("nothing to look for; expected text".to_owned()),
            SigmaValue::Integer(number) if bare => Ok(vec![Test::Number(*number as f64)]),
            SigmaValue::Float(number) if bare => Ok(vec![Test::Number(*number)]),
            // Whether an event says true or 1 is its writer's choice.
            SigmaValue::Bool(is) if bare => {
                let mut tests = self.texts(&SigmaString::new(&is.to_string()))?;
                tests.push(Test::Number(if *is { 1.0 } else { 0.0 }));
                Ok(tests)
            }
            other => self.texts(&text_of(other).unwrap_or_else(|| SigmaString::new(""))),
        }
    }

    /// The anchors of `startswith` and `endswith` hold for an expression, too; it is searched for anywhere otherwise.
    fn regex(&self, perl: &str) -> Result<Vec<Test>, String> {
        let ours = regexes::translate(perl);
        let text = match self.place {
            Place::Start => format!(r"\A(?:{ours})"),
            Place::End => format!(r"(?:{ours})\z"),
            Place::Whole | Place::Anywhere => ours,
        };
        let regex = Box::new(regexes::build(&text, self.flags)?);
        Ok(vec![Test::Regex { regex, literals: telling(regexes::literals(&text, self.flags)) }])
    }

    fn texts(&self, text: &SigmaString) -> Result<Vec<Test>, String> {
        let mut alternatives = vec![text.parts.iter().map(part).collect::<Vec<Part8>>()];
        for encoding in &self.encodings {
            let mut next = Vec::new();
            for alternative in alternatives {
                next.extend(encode(*encoding, alternative)?);
            }
            alternatives = next;
        }
        let compile = |parts: Vec<Part8>| {
            let mut pieces = parts.into_iter().map(piece).collect::<Result<Vec<Piece>, String>>()?;
            if matches!(self.place, Place::End | Place::Anywhere) {
                pieces.insert(0, Piece::Many);
            }
            if matches!(self.place, Place::Start | Place::Anywhere) {
                pieces.push(Piece::Many);
            }
            Pattern::new(&pieces, self.cased).map(Test::Text)
        };
        alternatives.into_iter().map(compile).collect()
    }
}

/// The name under which a rule writes it.
fn word(modifier: Modifier) -> String {
    format!("{modifier:?}").to_lowercase()
}

fn place(modifier: Modifier) -> Place {
    match modifier {
        Modifier::StartsWith => Place::Start,
        Modifier::EndsWith => Place::End,
        _ => Place::Anywhere,
    }
}

fn text_of(value: &SigmaValue) -> Option<SigmaString> {
    match value {
        SigmaValue::String(text) => Some(text.clone()),
        SigmaValue::Null => None,
        // Neither a number nor a truth value holds a wildcard.
        other => Some(SigmaString::new(&other.to_string())),
    }
}

fn number(value: &SigmaValue) -> Result<f64, String> {
    let number = match value {
        SigmaValue::Integer(number) => Some(*number as f64),
        SigmaValue::Float(number) => Some(*number),
        SigmaValue::String(text) => text.original.trim().parse().ok(),
        SigmaValue::Bool(_) | SigmaValue::Null => None,
    };
    number.filter(|number: &f64| number.is_finite()).ok_or_else(|| "expected a number".to_owned())
}

/// A part of a text while encodings work on it: these make bytes that are no text.
#[derive(Clone, Debug)]
enum Part8 {
    Bytes(Vec<u8>),
    Many,
    One,
    Dash,
}

fn part(part: &StringPart) -> Part8 {
    match part {
        StringPart::Plain(text) => Part8::Bytes(text.clone().into_bytes()),
        StringPart::Special(SpecialChar::WildcardMulti) => Part8::Many,
        StringPart::Special(SpecialChar::WildcardSingle) => Part8::One,
    }
}

fn piece(part: Part8) -> Result<Piece, String> {
    Ok(match part {
        Part8::Bytes(bytes) => Piece::Text(
            String::from_utf8(bytes).map_err(|_| "its wide form is no text; expected base64 after it".to_owned())?,
        ),
        Part8::Many => Piece::Many,
        Part8::One => Piece::One,
        Part8::Dash => Piece::Dash,
    })
}

fn encode(encoding: Encoding, parts: Vec<Part8>) -> Result<Vec<Vec<Part8>>, String> {
    let bytes = |all: Vec<Vec<u8>>| all.into_iter().map(|bytes| vec![Part8::Bytes(bytes)]).collect();
    match encoding {
        Encoding::Dashes => Ok(vec![parts.into_iter().flat_map(dashes).collect()]),
        Encoding::Wide { big, mark } => wide(parts, big, mark).map(|parts| vec![parts]),
        Encoding::Base64 => {
            Ok(bytes(without_wildcards(parts)?.iter().map(|it| BASE64.encode(it).into_bytes()).collect()))
        }
        Encoding::Base64Offset => {
            let texts = without_wildcards(parts)?;
            let all: Vec<_> = texts.iter().flat_map(|it| (0..3).map(|by| shifted(it, by))).collect();
            if all.iter().any(Vec::is_empty) {
                return Err(
                    "too short for base64offset, nothing of it stays the same; expected 2 bytes or more".to_owned()
                );
            }
            Ok(bytes(all))
        }
    }
}

/// Cuts a text at each dash that begins a word and follows none, as on a Windows command line.
fn dashes(part: Part8) -> Vec<Part8> {
    let Part8::Bytes(bytes) = part else { return vec![part] };
    let Ok(text) = std::str::from_utf8(&bytes) else { return vec![Part8::Bytes(bytes)] };
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let (mut parts, mut plain) = (Vec::new(), String::new());
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if DASHES[..2].contains(&c) && !word(before) && word(chars.peek().copied()) {
            parts.push(Part8::Bytes(std::mem::take(&mut plain).into_bytes()));
            parts.push(Part8::Dash);
        } else {
            plain.push(c);
        }
        before = Some(c);
    }
    parts.push(Part8::Bytes(plain.into_bytes()));
    parts.retain(|part| !matches!(part, Part8::Bytes(bytes) if bytes.is_empty()));
    parts
}

fn wide(parts: Vec<Part8>, big: bool, mark: bool) -> Result<Vec<Part8>, String> {
    let unit = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
    let mut out = Vec::with_capacity(parts.len() + 1);
    if mark {
        out.push(Part8::Bytes(unit(0xfeff).to_vec()));
    }
    for part in parts {
        out.push(match part {
            Part8::Bytes(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| "it is encoded already".to_owned())?;
                Part8::Bytes(text.encode_utf16().flat_map(unit).collect())
            }
            other => other,
        });
    }
    Ok(out)
}

/// The texts that this stands for, each dash in each of its forms.
fn without_wildcards(parts: Vec<Part8>) -> Result<Vec<Vec<u8>>, String> {
    let mut all = vec![Vec::new()];
    for part in parts {
        match part {
            Part8::Bytes(bytes) => all.iter_mut().for_each(|text| text.extend_from_slice(&bytes)),
            Part8::Dash if all.len() * DASHES.len() > ALTERNATIVES_MAX => {
                return Err("more than three dashes before an encoding; expected at most three".to_owned());
            }
            Part8::Dash => {
                let with = |text: &Vec<u8>, dash: char| [text.as_slice(), dash.to_string().as_bytes()].concat();
                all = all.iter().flat_map(|text| DASHES.map(|dash| with(text, dash))).collect();
            }
            Part8::Many | Part8::One => {
                return Err(
                    "a wildcard in a text that is encoded; expected plain text, a wildcard escaped as \\*".to_owned()
                );
            }
        }
    }
    Ok(all)
}

/// The part of the base64 form that stays the same where `by` bytes stand before the text, whatever follows.
fn shifted(bytes: &[u8], by: usize) -> Vec<u8> {
    let padded = [vec![b' '; by], bytes.to_vec()].concat();
    let encoded = BASE64.encode(&padded).into_bytes();
    let start = [0, 2, 3][by];
    let end = encoded.len().saturating_sub([0, 3, 2][padded.len() % 3]);
    encoded.get(start..end).unwrap_or_default().to_vec()
}
