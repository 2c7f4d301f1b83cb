//! An entry of the audit: who did what about which thing, and how it is chained to the one before.
//!
//! `hash = SHA-256("gatewatch-audit-v1\0" || previous || canonical JSON of the entry)`. The first entry of an instance
//! follows 32 zero bytes. A line of an export is the canonical JSON of the entry with `previous` and `hash` in it.
//!
//! Promises: a line that is not exactly what would be written again is refused.
//! Never: does I/O.

use aws_lc_rs::digest::{self, Context};
use serde_json::{Map, Value, json};

use super::canonical::{CanonicalError, canonical};

const DOMAIN: &[u8] = b"gatewatch-audit-v1\0";
const HEAD_DOMAIN: &[u8] = b"gatewatch-audit-head-v1\0";

/// A SHA-256.
pub type Hash = [u8; 32];
/// What the first entry of an instance follows.
pub const BEGINNING: Hash = [0; 32];

/// Declares the words for what was done, with their meanings.
macro_rules! whats {
    ($($name:ident = $word:literal $meaning:literal;)*) => {
        /// What was done. The words are stored: they are never changed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum What { $(#[doc = $meaning] $name),* }

        /// All of them, with the word that is stored and what it means.
        pub const WHATS: &[(What, &str, &str)] = &[$((What::$name, $word, $meaning)),*];
    };
}

whats! {
    AlertUpdate = "alert_update" "An alert opened, was updated or closed.";
    Incident = "incident" "An incident changed: its state, assignee, verdict, comments.";
    Plan = "plan" "What was to be done about an incident was decided.";
    Approval = "approval" "A person approved or refused an action.";
    ActionStep = "action_step" "A step of an action: what was sent, what was answered, what was undone.";
    Query = "query" "Somebody asked the tables.";
    Suppression = "suppression" "A suppression was made, changed or ended.";
    NeverBlock = "never_block" "An entry of the never-block list was made or removed.";
    Halt = "halt" "Actions were stopped, or allowed again.";
    Configuration = "configuration" "The configuration is another one than before: at a start, or the detectors while it ran.";
    Start = "start" "The service started.";
    Stop = "stop" "The service stopped in good order.";
    RejectsOpened = "rejects_opened" "Somebody opened a sealed reject.";
    Exported = "exported" "Somebody exported the audit.";
    Head = "head" "The chain up to here is signed.";
}

impl What {
    pub fn parse(word: &str) -> Option<What> {
        WHATS.iter().find(|(_, stored, _)| *stored == word).map(|(what, ..)| *what)
    }

    pub fn word(self) -> &'static str {
        let found = WHATS.iter().find(|(what, ..)| *what == self);
        found.map(|(_, word, _)| *word).expect("the table has every one: it is made with them")
    }
}

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// From 1 within the instance, without a gap.
    pub n: i64,
    pub time_us: i64,
    pub instance: String,
    pub actor: String,
    /// A word of `WHATS`, or of a newer version's.
    pub what: String,
    /// The id of what it is about; empty: the instance.
    pub about: String,
    pub detail: Map<String, Value>,
}

/// An entry in its place in the chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Chained {
    pub entry: Entry,
    pub previous: Hash,
    pub hash: Hash,
}

/// The signature in a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadSignature {
    /// The id of the key.
    pub key: String,
    pub signature: String,
    /// The public key that signs from here on, when the head names another one.
    pub next: Option<String>,
}

impl Entry {
    fn fields(&self) -> Map<String, Value> {
        let value = json!({
            "n": self.n, "time_us": self.time_us, "instance": self.instance, "actor": self.actor, "what": self.what,
            "about": self.about, "detail": self.detail,
        });
        match value {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    /// Its hash after the one before.
    pub fn hash(&self, previous: &Hash) -> Result<Hash, CanonicalError> {
        let text = canonical(&Value::Object(self.fields()))?;
        Ok(sha256(&[DOMAIN, previous, text.as_bytes()]))
    }

    /// Puts it after the one before.
    pub fn chain(self, previous: Hash) -> Result<Chained, CanonicalError> {
        let hash = self.hash(&previous)?;
        Ok(Chained { entry: self, previous, hash })
    }

    /// What a head's signature is over: all of it but the signature, and the hash before.
    pub fn signed_bytes(&self, previous: &Hash) -> Result<Vec<u8>, CanonicalError> {
        let mut unsigned = self.clone();
        unsigned.detail.remove("signature");
        let text = canonical(&Value::Object(unsigned.fields()))?;
        Ok([HEAD_DOMAIN, previous, text.as_bytes()].concat())
    }

    /// The signature of a head; `None` of one that has none, or of another entry.
    pub fn head_signature(&self) -> Option<HeadSignature> {
        let text = |name: &str| Some(self.detail.get(name)?.as_str()?.to_owned());
        if self.what != What::Head.word() {
            return None;
        }
        Some(HeadSignature { key: text("key")?, signature: text("signature")?, next: text("next_key") })
    }
}

impl Chained {
    /// Its line of an export, without the line break.
    pub fn line(&self) -> Result<String, CanonicalError> {
        let mut fields = self.entry.fields();
        fields.insert("previous".to_owned(), hex(&self.previous).into());
        fields.insert("hash".to_owned(), hex(&self.hash).into());
        canonical(&Value::Object(fields))
    }

    /// Reads a line. The error says what was expected.
    pub fn parse(line: &str) -> Result<Chained, &'static str> {
        let value: Value = serde_json::from_str(line).map_err(|_| "expected a JSON object")?;
        let read = Chained::of(&value).ok_or("expected the fields of an entry of the audit")?;
        match read.line() {
            Ok(again) if again == line => Ok(read),
            _ => Err("expected canonical JSON with the fields of an entry of the audit"),
        }
    }

    fn of(value: &Value) -> Option<Chained> {
        let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
        let number = |name: &str| value.get(name)?.as_i64();
        let entry = Entry {
            n: number("n")?,
            time_us: number("time_us")?,
            instance: text("instance")?,
            actor: text("actor")?,
            what: text("what")?,
            about: text("about")?,
            detail: value.get("detail")?.as_object()?.clone(),
        };
        Some(Chained { entry, previous: unhex(&text("previous")?)?, hash: unhex(&text("hash")?)? })
    }
}

pub fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().try_into().expect("a SHA-256 has 32 bytes")
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash from its 64 digits, in lower case.
pub fn unhex(text: &str) -> Option<Hash> {
    let digit = |byte: u8| "0123456789abcdef".bytes().position(|one| one == byte).and_then(|at| u8::try_from(at).ok());
    let bytes: Option<Vec<u8>> =
        text.as_bytes().chunks(2).map(|pair| Some((digit(pair[0])? << 4) | digit(*pair.get(1)?)?)).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let detail = json!({"sql": "SELECT 1", "rows": 1});
        Entry {
            n: 1,
            time_us: 1_780_000_000_000_000,
            instance: "main".to_owned(),
            actor: "ann (uid 1000)".to_owned(),
            what: What::Query.word().to_owned(),
            about: String::new(),
            detail: detail.as_object().expect("an object").clone(),
        }
    }

    /// Whoever checks a chain in another language starts here; `printf ... | sha256sum` gives the same.
    #[test]
    fn the_hash_is_the_documented_one() {
        let text = r#"{"about":"","actor":"ann (uid 1000)","detail":{"rows":1,"sql":"SELECT 1"},"instance":"main","n":1,"time_us":1780000000000000,"what":"query"}"#;
        let expected = sha256(&[b"gatewatch-audit-v1\0", &[0; 32], text.as_bytes()]);
        assert_eq!(entry().hash(&BEGINNING), Ok(expected));
    }

    #[test]
    fn a_line_is_read_as_it_was_written_and_no_other_way() {
        let chained = entry().chain(BEGINNING).expect("chained");
        let line = chained.line().expect("a line");
        assert_eq!(Chained::parse(&line), Ok(chained));
        let capital = line.replace(&hex(&BEGINNING), &"A".repeat(64));
        for other in
            [line.replace("\"n\":1", "\"n\": 1"), capital, format!("{line} "), line.replace("main", "m\\u0061in")]
        {
            assert!(other != line && Chained::parse(&other).is_err(), "{other}");
        }
        assert!(Chained::parse(&line.replace("{\"about\"", "{\"more\":1,\"about\"")).is_err());
        assert!(Chained::parse("").is_err() && Chained::parse("[]").is_err());
    }

    #[test]
    fn words_are_used_once_and_explained() {
        let mut words = std::collections::HashSet::new();
        for (what, word, meaning) in WHATS {
            assert_eq!(what.word(), *word);
            assert!(words.insert(word) && meaning.ends_with('.'), "{word}");
        }
    }
}
