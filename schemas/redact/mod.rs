//! Redaction: from any text that an outsider may have written to a text that may be kept.
//!
//! Promises: what is found, in the text as it stands or behind encodings, is replaced as the policy says: by
//! `[REDACTED:class]`, by a mask, or with a token; found only in a decoded form, the whole enclosing value goes. What is
//! returned, decoded again, holds nothing any more: if it would, the whole text goes. Control characters are printed as
//! `\x1b`. A text with nothing to find is returned as it is, without allocating.
//! Never: guesses secrets that have neither a telling name nor a known shape.

mod alike;
mod beside;
mod classes;
mod decode;
mod elements;
mod filters;
mod find;
pub(crate) mod form;
pub(crate) mod jwt;
mod names;
mod pairs;
mod personal;
pub mod policy;
mod profile;
mod rules;
mod schemes;
pub mod seal;
mod search;
mod segments;
mod shapes;
mod spelled;
mod sql;
mod tables;
pub mod token;
mod values;
mod vendor;
mod view;
mod words;

use std::borrow::Cow;
use std::sync::Arc;

pub use classes::{CLASSES, ClassInfo};
pub(crate) use classes::{Class, Found};
pub(crate) use decode::base64_whole;
pub(crate) use find::floor;
pub(crate) use policy::Column;
pub use policy::{Action, OwnClass, Policy, PolicyError};
#[doc(hidden)]
pub use rules::testing;
pub(crate) use values::{is_placeholder, is_random_anywhere};
pub(crate) use view::View;

use crate::limits::{FINDINGS_MAX, SEARCH_BYTES_MAX, TEXT_BYTES_MAX};
use find::Finding;
use policy::Plan;
use profile::{AT, BACKSLASH, CONTROL, ENTITY, ID_MIN, PERCENT, Profile};
use search::Hit;
use token::{Domain, TokenKey};

/// A text without its secrets and personal data. Borrowed, without any allocation, when there was nothing to remove.
pub fn scrub(text: &str) -> Cow<'_, str> {
    let profile = Profile::of(text.as_bytes());
    if text.len() <= TEXT_BYTES_MAX && profile.is_clean() && !search::is_told(text, profile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let unchanged = {
        let kept = Scrubber::default().scrub(text, &mut out, &mut Found::default());
        std::ptr::eq(kept, text)
    };
    if unchanged { Cow::Borrowed(text) } else { Cow::Owned(out) }
}

/// For tests: how many bytes were searched to scrub `text`, all its decodings together.
#[doc(hidden)]
pub fn searched(text: &str) -> usize {
    let mut scrubber = Scrubber::default();
    let window = &text[..floor(text, SEARCH_BYTES_MAX)];
    scrubber.hits(window, Profile::of(window.as_bytes()), &mut Vec::new());
    scrubber.work
}

/// The class of a value under a key of this name, if it is to be removed.
pub(crate) fn value_class(name: &[u8], value: &[u8]) -> Option<Class> {
    pairs::confirmed(names::says(name), value)
}

/// Does a name say by itself that a secret stands under it?
pub(crate) fn names_secret(name: &[u8]) -> bool {
    matches!(names::says(name), names::Says::Secret(_) | names::Says::Unless(_))
}

/// Scrubs texts one after the other, reusing its buffers.
pub(crate) struct Scrubber {
    plan: Arc<Plan>,
    key: Option<TokenKey>,
    column: Column,
    memo: names::Memo,
    inflater: decode::Inflater,
    /// Bytes searched for the text at hand.
    work: usize,
    hits: Vec<Hit>,
    texts: Vec<String>,
    bytes: Vec<Vec<u8>>,
    views: Vec<view::View>,
    lists: Vec<Vec<Finding>>,
}

impl Default for Scrubber {
    fn default() -> Scrubber {
        Scrubber::new(policy::DEFAULT.clone(), None)
    }
}

impl Scrubber {
    /// One that does as `plan` says; tokens need a key, without one they are left out.
    pub(crate) fn new(plan: Arc<Plan>, key: Option<TokenKey>) -> Scrubber {
        let own = plan.own.iter().flat_map(|own| own.keys.iter().map(|key| (key.clone(), own.class)));
        let memo = names::Memo::new(own.collect());
        Scrubber {
            plan,
            key,
            column: Column::Other,
            memo,
            inflater: decode::Inflater::default(),
            work: 0,
            hits: Vec::new(),
            texts: Vec::new(),
            bytes: Vec::new(),
            views: Vec::new(),
            lists: Vec::new(),
        }
    }

    /// The same, for texts of this column from now on.
    pub(crate) fn of(&mut self, column: Column) -> &mut Scrubber {
        self.column = column;
        self
    }

    /// Does the configuration look for patterns of its own?
    pub(crate) fn has_patterns(&self) -> bool {
        self.plan.has_patterns()
    }

    /// The name of a class, also of one of the configuration.
    pub(crate) fn name(&self, class: Class) -> &'static str {
        self.plan.name(class)
    }

    /// `text` without secrets: itself when there are none, else written to `out`. What was removed is added to `found`.
    pub(crate) fn scrub<'t>(&mut self, text: &'t str, out: &'t mut String, found: &mut Found) -> &'t str {
        if form::is_uuid(text.as_bytes()) && !self.plan.has_patterns() {
            return text;
        }
        let profile = Profile::of(text.as_bytes());
        let is_number = || profile.may_be_number() && (!profile.is_hex() || personal::may_begin_id(text.as_bytes()));
        let is_clean = profile.is_id()
            && !is_number()
            && (profile.run_all < ID_MIN || !search::may_hide(text, profile))
            && !search::is_told(text, profile);
        if is_clean && text.len() <= TEXT_BYTES_MAX && !self.plan.has_patterns() {
            return text;
        }
        self.scrub_suspect(text, profile, out, found)
    }

    fn scrub_suspect<'t>(
        &mut self,
        text: &'t str,
        profile: Profile,
        out: &'t mut String,
        found: &mut Found,
    ) -> &'t str {
        let window = &text[..floor(text, SEARCH_BYTES_MAX)];
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        self.hits(window, profile, &mut hits);
        let mut kept = text;
        if !hits.is_empty() || text.len() > TEXT_BYTES_MAX || profile.has(CONTROL) {
            let residue = !hits.is_empty() && profile.has(PERCENT | BACKSLASH | ENTITY | AT);
            self.rewrite(window, &mut hits, out, found);
            if residue {
                hits.clear();
                self.hits(out, Profile::of(out.as_bytes()), &mut hits);
                if let Some(hit) = hits.first() {
                    found.add(hit.class);
                    let class = hit.class;
                    self.replace_all(out, class);
                }
            }
            if out != text {
                kept = out;
            }
        }
        self.hits = hits;
        kept
    }

    /// Writes `text` with its hits replaced; overlapping ones become one. At most `TEXT_BYTES_MAX` of it are kept.
    fn rewrite(&self, text: &str, hits: &mut [Hit], out: &mut String, found: &mut Found) {
        out.clear();
        hits.iter().for_each(|hit| found.add(hit.class));
        // The layers of a text find the same again.
        hits.sort_by_key(|hit| (hit.start, std::cmp::Reverse(hit.end)));
        let mut i = 0;
        let limit = floor(text, TEXT_BYTES_MAX);
        let mut at = 0;
        let mut count = 0;
        while i < hits.len() && hits[i].start < limit {
            let merged = merge(hits, &mut i);
            count += 1;
            if count > FINDINGS_MAX {
                let class = merged.class;
                self.replace_all(out, class);
                return;
            }
            push_printable(&text[at..merged.start], out);
            self.replace(text, &merged, out);
            at = merged.end;
        }
        if at < limit {
            push_printable(&text[at..limit], out);
        }
        if limit < text.len() {
            out.push('…');
        }
    }

    fn replace(&self, text: &str, hit: &Hit, out: &mut String) {
        let secret = hit.secret.as_deref().unwrap_or(&text[hit.start..hit.end]);
        let action = self.plan.action(self.column, hit.class);
        let is_exact = !hit.widened || hit.secret.is_some();
        match (action, hit.class) {
            (Action::Mask, class) if !hit.whole && personal::mask(class, secret, out) => return,
            (Action::Mask | Action::Token, Class::EMAIL) if !hit.whole => {
                out.extend(secret.chars().next());
                out.push_str("***@");
            }
            (Action::Mask, class) if !hit.widened && !has_own_mask(class) => {
                out.push_str("****");
                let letters = secret.chars().count();
                if letters >= 12 && class != Class::PASSWORD {
                    out.push('-');
                    out.extend(secret.chars().skip(letters - 4).filter(|c| !c.is_control()));
                }
                return;
            }
            _ => {}
        }
        let token = (action == Action::Token && is_exact).then(|| self.token(hit.class, secret)).flatten();
        self.mark(out, hit.class, token.as_deref());
    }

    /// The token of a secret, however it was quoted, escaped or written.
    fn token(&self, class: Class, secret: &str) -> Option<String> {
        let key = self.key.as_ref()?;
        let plain = canonical(secret);
        Some(match class {
            Class::EMAIL => key.token(Domain::Principal, plain.to_lowercase().as_bytes()),
            Class::PASSWORD => key.token(Domain::Password, plain.as_bytes()),
            _ => key.token(Domain::Credential, plain.as_bytes()),
        })
    }

    fn mark(&self, out: &mut String, class: Class, token: Option<&str>) {
        out.push_str("[REDACTED:");
        out.push_str(self.name(class));
        if let Some(token) = token {
            out.push(':');
            out.push_str(token);
        }
        out.push(']');
    }

    fn replace_all(&self, out: &mut String, class: Class) {
        out.clear();
        self.mark(out, class, None);
    }
}

/// Classes whose mask shows that a number is of their form; a value that only its key names is not masked so.
fn has_own_mask(class: Class) -> bool {
    matches!(class, Class::CARD | Class::EMAIL | Class::IBAN | Class::PHONE | Class::NATIONAL_ID)
}

/// A secret without what its place put around and into it: quotes, escapes, `+` for blanks.
pub(crate) fn canonical(secret: &str) -> String {
    let mut text = secret.to_string();
    let mut view = view::View::default();
    for _ in 0..crate::limits::DECODE_DEPTH_MAX {
        if !view.undo(&text, None) {
            break;
        }
        std::mem::swap(&mut text, &mut view.text);
    }
    let trimmed = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '+'));
    trimmed.replace('+', " ")
}

/// Appends `text`, control characters as `\x1b`.
fn push_printable(text: &str, out: &mut String) {
    for piece in text.split_inclusive(|c: char| c.is_ascii_control()) {
        match piece.chars().next_back() {
            Some(last) if last.is_ascii_control() => {
                out.push_str(&piece[..piece.len() - 1]);
                out.push_str(&format!("\\x{:02x}", u32::from(last)));
            }
            _ => out.push_str(piece),
        }
    }
}

/// The hit at `i` joined with those that overlap it; `i` moves behind them. A value found by its key that holds
/// one masked thing keeps that mask only when the thing is the whole value.
fn merge(hits: &mut [Hit], i: &mut usize) -> Hit {
    let first = *i;
    let (start, mut end, class) = (hits[first].start, hits[first].end, hits[first].class);
    let (mut whole, mut widened) = (hits[first].whole, hits[first].widened);
    let mut secret = hits[first].secret.take();
    *i += 1;
    while let Some(next) = hits.get_mut(*i)
        && next.start < end
    {
        if (next.start, next.end) != (start, end) {
            whole = true;
            widened |= next.end > end;
        } else if secret.is_none() && widened == next.widened && next.class == class {
            secret = next.secret.take();
        }
        end = end.max(next.end);
        *i += 1;
    }
    Hit { start, end, class, whole, widened, secret }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_and_a_digest_stay_and_a_card_behind_an_escaped_blank_goes() {
        for text in ["has_iban=1", "has_iban=0", "has_iban=true", "hash=5d41402abc4b2a76b9719d911017c592"] {
            assert_eq!(scrub(text), text);
        }
        for text in ["iban=DE89370400440532013000", "upw=Marmot42xy", "kundenpin=4711"] {
            assert!(scrub(text).contains("[REDACTED:") || scrub(text).contains("****"), "{text}");
        }
        for text in ["/l/card%3D204532758104926375", "d=card%3D204532758104926375", "/l/card=204532758104926375"] {
            assert!(!scrub(text).contains("4532758104926375"), "{text} became {}", scrub(text));
        }
        assert_eq!(scrub("/l/card%3D204532758104926376"), "/l/card%3D204532758104926376");
    }

    #[test]
    fn what_was_scrubbed_before_does_not_matter() {
        let mut scrubber = Scrubber::default();
        let nested = r"{\x22a\x22:\x22{\x5c\x22b\x5c\x22:\x5c\x22pwd=fake\x5c\x22}\x22}";
        for before in ["", "/a%20path/with%41escapes", "bG9uZyBlbm91Z2ggdGV4dCBpbiBiYXNlNjQ", r"q=\x41\x42\x43", nested]
        {
            let (mut out, mut found) = (String::new(), Found::default());
            scrubber.scrub(before, &mut out, &mut found);
            let mut kept = String::new();
            assert_eq!(scrubber.scrub(nested, &mut kept, &mut found), scrub(nested), "after {before}");
            assert!(!kept.contains("fake"), "{kept}");
        }
    }
}
