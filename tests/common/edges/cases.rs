//! A case as the case systems here keep it, and how a test reads it.

use serde_json::Value;

/// What became of one case.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// The incident's id, wherever the system keeps it.
    pub incident: String,
    pub text: String,
    /// How often it was closed.
    pub closed: u32,
    pub notes: Vec<String>,
    /// Observables, artifacts.
    pub parts: Vec<Value>,
    pub version: i64,
}

impl Case {
    /// One line that says all that may be doubled or lost; `part` names a part.
    pub fn line(&self, part: impl Fn(&Value) -> String) -> String {
        let revision = |note: &String| {
            let number = note.rsplit("revision ").next().unwrap_or_default();
            number.chars().take_while(char::is_ascii_digit).collect::<String>()
        };
        let mut parts: Vec<String> = self.parts.iter().map(part).collect();
        parts.sort();
        let notes: Vec<String> = self.notes.iter().map(revision).collect();
        format!("case {}: closed {}, notes {notes:?}, parts {parts:?}", self.incident, self.closed)
    }
}

/// The lines of all cases.
pub fn lines(cases: &[Case], part: impl Fn(&Value) -> String) -> Vec<String> {
    cases.iter().map(|case| case.line(&part)).collect()
}

/// The place of a case by a name such as `SEC-3`.
pub fn place(cases: &[Case], name: &str, prefix: &str) -> Result<usize, String> {
    let number = name.strip_prefix(prefix).and_then(|number| number.parse::<usize>().ok());
    number.filter(|n| *n < cases.len()).ok_or_else(|| format!("no case {name}"))
}
