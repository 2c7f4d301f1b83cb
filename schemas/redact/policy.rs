//! What is done with each class: drop, mask, token or keep, also by column, and classes of the configuration's own.
//!
//! Promises: a policy that `check` accepts works; an error names the class, column or pattern and what is expected. Without a
//! word in the configuration cards, bank
//! accounts, telephone and national numbers are masked, e-mail addresses and passwords become tokens, and the rest is dropped.
//! Never: finds anything; it only says what to do.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use super::classes::{CLASSES, Class, OWN_FIRST, OWN_MAX};
use crate::limits::PATTERN_BYTES_MAX;

/// What becomes of a secret that was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// `[REDACTED:class]`.
    #[default]
    Drop,
    /// `****-1234`, `n***@[REDACTED:email]`.
    Mask,
    /// `[REDACTED:class:k1:0123...]`: the same for the same secret, so that it can be counted and followed.
    Token,
    /// Left as it is.
    Keep,
}

/// The configuration of redaction: `redaction:` in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// By class.
    pub classes: BTreeMap<String, Action>,
    /// By column and class; wins over `classes`.
    pub columns: BTreeMap<String, BTreeMap<String, Action>>,
    /// Classes of your own.
    pub own: Vec<OwnClass>,
}

/// A class of the configuration's own: found by names of keys, by a pattern, or by both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnClass {
    pub name: String,
    #[serde(default)]
    pub keys: Vec<String>,
    #[serde(default)]
    pub pattern: Option<String>,
    #[serde(default)]
    pub policy: Action,
}

/// Why a policy is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("redaction: unknown class {0:?}, expected one of {classes}", classes = class_names())]
    Class(String),
    #[error("redaction: unknown column {0:?}, expected one of {columns}", columns = COLUMN_NAMES.join(", "))]
    Column(String),
    #[error(
        "redaction: own class {0:?}: expected a name of small letters, digits and _, at most 32, that is no built-in class and not there twice"
    )]
    Name(String),
    #[error("redaction: own class {0:?}: expected keys, a pattern, or both")]
    Empty(String),
    #[error("redaction: own class {name:?}: key {key:?}: expected at least 2 letters or digits")]
    Key { name: String, key: String },
    #[error("redaction: own class {name:?}: {reason}")]
    Pattern { name: String, reason: String },
    #[error("redaction: at most {OWN_MAX} own classes, found {0}")]
    TooMany(usize),
}

fn class_names() -> String {
    CLASSES.iter().map(|class| class.name).collect::<Vec<_>>().join(", ")
}

/// The columns that hold scrubbed text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Column {
    Path,
    Query,
    Referrer,
    UserAgent,
    Host,
    Principal,
    #[default]
    Other,
}

const COLUMNS: usize = 7;
static COLUMN_NAMES: [&str; COLUMNS - 1] = ["path", "query", "referrer", "user_agent", "host", "principal"];

/// A policy, checked and made ready.
pub(crate) struct Plan {
    actions: [[Action; 64]; COLUMNS],
    pub(crate) own: Vec<Own>,
}

/// An own class, made ready.
pub(crate) struct Own {
    pub(crate) class: Class,
    name: &'static str,
    /// Letters and digits of the keys, in lower case.
    pub(crate) keys: Vec<Vec<u8>>,
    pub(crate) pattern: Option<Regex>,
}

/// Names of own classes, kept for the life of the process, each once: the `redactions` column borrows them.
static OWN_NAMES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());

fn kept_name(name: &str) -> &'static str {
    let mut names = OWN_NAMES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(known) = names.iter().find(|known| **known == name) {
        return known;
    }
    let kept: &'static str = Box::leak(name.into());
    names.push(kept);
    kept
}

/// Is this the name of a class of some configuration?
pub(crate) fn is_own(name: &str) -> bool {
    OWN_NAMES.lock().unwrap_or_else(std::sync::PoisonError::into_inner).contains(&name)
}

impl Policy {
    /// Whether it can be used.
    pub fn check(&self) -> Result<(), PolicyError> {
        self.plan().map(drop)
    }

    pub(crate) fn plan(&self) -> Result<Plan, PolicyError> {
        if self.own.len() > OWN_MAX {
            return Err(PolicyError::TooMany(self.own.len()));
        }
        let mut defaults = [Action::Drop; 64];
        for class in [Class::CARD, Class::IBAN, Class::PHONE, Class::NATIONAL_ID] {
            defaults[usize::from(class.0)] = Action::Mask;
        }
        defaults[usize::from(Class::EMAIL.0)] = Action::Token;
        defaults[usize::from(Class::PASSWORD.0)] = Action::Token;
        let mut own: Vec<Own> = Vec::new();
        for (i, class) in self.own.iter().enumerate() {
            let ready = class.ready(Class(OWN_FIRST + i as u8))?;
            if own.iter().any(|other| other.name == ready.name) {
                return Err(PolicyError::Name(class.name.clone()));
            }
            defaults[usize::from(ready.class.0)] = class.policy;
            own.push(ready);
        }
        let number = |name: &String| {
            let built_in = CLASSES.iter().position(|class| class.name == name);
            let number =
                built_in.or_else(|| own.iter().find(|own| own.name == name).map(|own| usize::from(own.class.0)));
            number.ok_or_else(|| PolicyError::Class(name.clone()))
        };
        for (name, action) in &self.classes {
            defaults[number(name)?] = *action;
        }
        let mut actions = [defaults; COLUMNS];
        for (column, classes) in &self.columns {
            let at = COLUMN_NAMES
                .iter()
                .position(|name| name == column)
                .ok_or_else(|| PolicyError::Column(column.clone()))?;
            for (name, action) in classes {
                actions[at][number(name)?] = *action;
            }
        }
        Ok(Plan { actions, own })
    }
}

impl OwnClass {
    fn ready(&self, class: Class) -> Result<Own, PolicyError> {
        let name = || self.name.clone();
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !(1..=32).contains(&self.name.len())
            || !self.name.bytes().all(good)
            || CLASSES.iter().any(|c| c.name == self.name)
        {
            return Err(PolicyError::Name(name()));
        }
        if self.keys.is_empty() && self.pattern.is_none() {
            return Err(PolicyError::Empty(name()));
        }
        let mut keys = Vec::new();
        for key in &self.keys {
            let letters = letters(key.as_bytes());
            if letters.len() < 2 {
                return Err(PolicyError::Key { name: name(), key: key.clone() });
            }
            keys.push(letters);
        }
        let pattern = self.pattern.as_deref().map(|pattern| self.compile(pattern)).transpose()?;
        Ok(Own { class, name: kept_name(&self.name), keys, pattern })
    }

    fn compile(&self, pattern: &str) -> Result<Regex, PolicyError> {
        let failed = |reason: String| PolicyError::Pattern { name: self.name.clone(), reason };
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(failed(format!("expected a pattern of at most {PATTERN_BYTES_MAX} bytes")));
        }
        let regex = RegexBuilder::new(pattern).size_limit(1 << 20).dfa_size_limit(1 << 20).build();
        let regex = regex.map_err(|error| failed(format!("the pattern is no regular expression: {error}")))?;
        if regex.is_match("") {
            return Err(failed("the pattern matches the empty text, so it would match everywhere".to_string()));
        }
        Ok(regex)
    }
}

/// The letters and digits of a name, in lower case.
pub(crate) fn letters(name: &[u8]) -> Vec<u8> {
    name.iter().filter(|b| b.is_ascii_alphanumeric() || **b >= 0x80).map(u8::to_ascii_lowercase).collect()
}

impl Plan {
    #[inline]
    pub(crate) fn action(&self, column: Column, class: Class) -> Action {
        self.actions[column as usize][usize::from(class.0)]
    }

    /// The name of a class.
    pub(crate) fn name(&self, class: Class) -> &'static str {
        match class.0.checked_sub(OWN_FIRST) {
            Some(place) => self.own.get(usize::from(place)).map_or("own", |own| own.name),
            None => class.name(),
        }
    }

    pub(crate) fn has_patterns(&self) -> bool {
        self.own.iter().any(|own| own.pattern.is_some())
    }
}

/// The plan of a policy with nothing set.
pub(crate) static DEFAULT: LazyLock<std::sync::Arc<Plan>> =
    LazyLock::new(|| std::sync::Arc::new(Policy::default().plan().expect("the default policy is one")));

#[cfg(test)]
mod tests {
    use super::*;

    fn own(name: &str, keys: &[&str], pattern: Option<&str>) -> Policy {
        let class = OwnClass {
            name: name.into(),
            keys: keys.iter().map(|k| k.to_string()).collect(),
            pattern: pattern.map(String::from),
            policy: Action::Token,
        };
        Policy { own: vec![class], ..Policy::default() }
    }

    #[test]
    fn wrong_policies_are_refused_with_what_is_wrong() {
        let with = |class: &str| Policy { classes: [(class.to_string(), Action::Keep)].into(), ..Policy::default() };
        assert!(with("email").check().is_ok());
        assert!(with("mail").check().unwrap_err().to_string().contains("unknown class \"mail\""));
        let column = Policy { columns: [("agent".to_string(), BTreeMap::new())].into(), ..Policy::default() };
        assert!(column.check().unwrap_err().to_string().contains("user_agent"));
        assert!(own("staff_id", &["staff_id"], Some(r"\bE\d{6}\b")).check().is_ok());
        for (name, keys, pattern) in [
            ("Email", &["a1"][..], None),
            ("email", &["a1"], None),
            ("x", &[], None),
            ("x", &["_"], None),
            ("x", &[], Some("(")),
            ("x", &[], Some("a*")),
        ] {
            assert!(own(name, keys, pattern).check().is_err(), "{name} {keys:?} {pattern:?}");
        }
    }
}
