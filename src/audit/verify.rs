//! Checks a chain: that no entry was changed, removed, put elsewhere or doubled, and up to where it is signed.
//!
//! Entries are taken in the order in which they stand. An entry that was changed no longer has its hash; whoever gives it
//! a new hash breaks its bond with the next one; whoever makes the chain anew from there on lacks the key for its heads.
//!
//! Promises: each finding names the entry. Works on what it is given alone: entries and public keys.
//! Never: does I/O; needs the whole chain in memory.

use std::collections::BTreeMap;
use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value, json};

use super::canonical::canonical;
use super::entry::{BEGINNING, Chained, Hash, What, hex, unhex};
use crate::keys::signing::{PublicKey, SigningKey};
use crate::limits::AUDIT_HEAD_ENTRIES_MAX;

const CLOSING_DOMAIN: &[u8] = b"gatewatch-audit-export-v1\0";
/// Findings that are named; more are counted.
pub const FINDINGS_MAX: usize = 1_000;

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It does not have its hash.
    Changed,
    /// The next one was chained to another entry of this number.
    Replaced,
    /// From this one to that one they are not there.
    Missing {
        to: i64,
    },
    /// It stands after this one.
    Moved {
        after: i64,
    },
    Doubled,
    /// It is not the same in the lake and in the state store.
    Differs,
    /// Of another instance.
    Instance(String),
    /// The first entry follows something.
    Beginning,
    /// A head whose signature does not fit.
    Signature,
    /// A head without a signature.
    Unsigned,
    /// A head by a key that is neither given nor named by an earlier head.
    Key(String),
    /// A line that is no entry.
    Line {
        line: u64,
        expected: String,
    },
    /// The chain ends without a head for longer than one is due.
    Tail {
        signed: i64,
    },
    /// There is nothing that is signed.
    NothingSigned,
    /// The line that closes an export is missing.
    NotClosed,
    /// The line that closes an export says that it ends, or begins, elsewhere.
    Closing {
        first: i64,
        last: i64,
    },
    /// The line that closes an export does not fit what is before it.
    ClosingBroken,
}

/// A finding, and the entry it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub n: i64,
    pub wrong: Wrong,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.n;
        match &self.wrong {
            Wrong::Changed => write!(f, "entry {n} was changed: it does not have its hash"),
            Wrong::Replaced => write!(f, "entry {n} was changed: entry {} follows another entry {n}", n + 1),
            Wrong::Missing { to } if *to == n => write!(f, "entry {n} is missing"),
            Wrong::Missing { to } => write!(f, "entries {n} to {to} are missing"),
            Wrong::Moved { after } => write!(f, "entry {n} was moved: it stands after entry {after}"),
            Wrong::Doubled => write!(f, "entry {n} is there twice"),
            Wrong::Differs => write!(f, "entry {n} is another one in the state store than in the lake"),
            Wrong::Instance(found) => write!(f, "entry {n} is of another instance: {found}"),
            Wrong::Beginning => write!(f, "entry {n} was changed: it is the first one and follows another"),
            Wrong::Signature => write!(
                f,
                "entry {n} is a head whose signature does not fit: it, or what it signs since the head before, was changed"
            ),
            Wrong::Unsigned => write!(f, "entry {n} is a head without a signature"),
            Wrong::Key(key) => {
                write!(f, "entry {n} is a head signed by key {key}, which is none of the public keys given")
            }
            Wrong::Line { line, expected } => write!(f, "line {line}, after entry {n}: {expected}"),
            Wrong::Tail { signed } => {
                write!(
                    f,
                    "the chain ends at entry {n} and is signed up to {signed} only: heads were cut off or left out"
                )
            }
            Wrong::NothingSigned => {
                write!(f, "nothing is signed: there is no head and no closing line up to entry {n}")
            }
            Wrong::NotClosed => {
                write!(f, "the end is cut off after entry {n}: the closing line of the export is missing")
            }
            Wrong::Closing { first, last } if *last == n => {
                write!(
                    f,
                    "entries are left out at the beginning or changed: the export was of entries {first} to {last}"
                )
            }
            Wrong::Closing { first, last } => {
                write!(
                    f,
                    "the end is cut off or entries are left out: the export was of entries {first} to {last}, not to {n}"
                )
            }
            Wrong::ClosingBroken => write!(f, "the closing line after entry {n} is not signed by a key that was given"),
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub instance: String,
    pub entries: u64,
    pub first: i64,
    pub last: i64,
    /// The newest entry that a signature covers, when it was signed, and by which key.
    pub signed: Option<(i64, i64, String)>,
    pub findings: Vec<Finding>,
    /// Findings beyond `FINDINGS_MAX`.
    pub more: u64,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Entries between two that are there.
struct Gap {
    to: i64,
    /// The hash of the entry before the gap, and the one that the entry behind it follows; none: it cannot be said.
    left: Option<Hash>,
    right: Option<Hash>,
}

/// A check under way.
pub struct Verifier {
    /// The keys whose heads count.
    keys: Vec<PublicKey>,
    /// Where the highest entry so far is: its number, and its hash unless it is wrong already.
    last: Option<(i64, Option<Hash>)>,
    /// What the first entry follows.
    first_previous: Option<Hash>,
    gaps: BTreeMap<i64, Gap>,
    /// The last entry as it stands, whatever its number.
    stands: i64,
    closed: bool,
    report: Report,
}

impl Verifier {
    pub fn new(keys: Vec<PublicKey>) -> Verifier {
        let (gaps, report) = (BTreeMap::new(), Report::default());
        Verifier { keys, last: None, first_previous: None, gaps, stands: 0, closed: false, report }
    }

    /// One line of an export: an entry, or what closes it.
    pub fn take_line(&mut self, number: u64, line: &str) {
        if line.starts_with(r#"{"export":"#) {
            return self.take_closing(line);
        }
        let expected = match Chained::parse(line) {
            _ if self.closed => "expected nothing after the closing line".to_owned(),
            Ok(chained) => return self.take(&chained),
            Err(expected) => format!("cannot be read, or was changed: {expected}"),
        };
        self.found(self.stands, Wrong::Line { line: number, expected });
    }

    /// The next entry.
    pub fn take(&mut self, chained: &Chained) {
        let (entry, n) = (&chained.entry, chained.entry.n);
        self.report.entries += 1;
        let own = entry.hash(&chained.previous).is_ok_and(|hash| hash == chained.hash);
        if !own {
            self.found(n, Wrong::Changed);
            // What it says of itself may be wrong, too: it counts where it stands, or not at all.
            if self.last.is_some_and(|(last, _)| n != last + 1) {
                return;
            }
        } else if self.report.instance.is_empty() {
            self.report.instance.clone_from(&entry.instance);
        } else if entry.instance != self.report.instance {
            return self.found(n, Wrong::Instance(entry.instance.clone()));
        }
        self.place(chained, own);
        self.stands = n;
        if own && entry.what == What::Head.word() {
            self.take_head(chained);
        }
    }

    /// Its place among the others. `own`: it has its hash.
    fn place(&mut self, chained: &Chained, own: bool) {
        let n = chained.entry.n;
        let (previous, hash) = (own.then_some(chained.previous), own.then_some(chained.hash));
        let Some((last, last_hash)) = self.last else {
            if n == 1 && own && chained.previous != BEGINNING {
                self.found(n, Wrong::Beginning);
            }
            self.report.first = n;
            self.first_previous = previous;
            self.last = Some((n, hash));
            return;
        };
        if n > last {
            if n > last + 1 {
                self.gaps.insert(last + 1, Gap { to: n - 1, left: last_hash, right: previous });
            } else if differ(previous, last_hash) {
                self.found(last, Wrong::Replaced);
            }
            self.last = Some((n, hash));
        } else if n < self.report.first {
            self.found(n, Wrong::Moved { after: self.stands });
            if n + 1 < self.report.first {
                let gap = Gap { to: self.report.first - 1, left: hash, right: self.first_previous };
                self.gaps.insert(n + 1, gap);
            } else if differ(hash, self.first_previous) {
                self.found(n, Wrong::Replaced);
            }
            self.report.first = n;
            self.first_previous = previous;
        } else if let Some(from) = self.gap_of(n) {
            self.found(n, Wrong::Moved { after: self.stands });
            self.fill(from, n, previous, hash);
        } else {
            self.found(n, Wrong::Doubled);
        }
    }

    fn gap_of(&self, n: i64) -> Option<i64> {
        let (from, gap) = self.gaps.range(..=n).next_back()?;
        (n <= gap.to).then_some(*from)
    }

    /// A missing entry has come, out of its place.
    fn fill(&mut self, from: i64, n: i64, previous: Option<Hash>, hash: Option<Hash>) {
        let Some(gap) = self.gaps.remove(&from) else { return };
        if n > from {
            self.gaps.insert(from, Gap { to: n - 1, left: gap.left, right: previous });
        } else if differ(previous, gap.left) {
            self.found(n - 1, Wrong::Replaced);
        }
        if n < gap.to {
            self.gaps.insert(n + 1, Gap { to: gap.to, left: hash, right: gap.right });
        } else if differ(hash, gap.right) {
            self.found(n, Wrong::Replaced);
        }
    }

    fn take_head(&mut self, chained: &Chained) {
        let n = chained.entry.n;
        let Some(head) = chained.entry.head_signature() else { return self.found(n, Wrong::Unsigned) };
        let Some(key) = self.keys.iter().find(|key| key.id() == head.key).cloned() else {
            return self.found(n, Wrong::Key(head.key));
        };
        let signature = BASE64_STANDARD.decode(&head.signature).unwrap_or_default();
        let signed = chained.entry.signed_bytes(&chained.previous);
        if !signed.is_ok_and(|bytes| key.verifies(&bytes, &signature)) {
            return self.found(n, Wrong::Signature);
        }
        self.signed(n, chained.entry.time_us, head.key);
        if let Some(next) = head.next {
            match PublicKey::from_base64(&next) {
                // From here on the old key signs nothing any more, whoever has it now.
                Some(next) => self.keys = vec![next],
                None => self.found(n, Wrong::Signature),
            }
        }
    }

    fn signed(&mut self, n: i64, time_us: i64, key: String) {
        if self.report.signed.as_ref().is_none_or(|(signed, ..)| *signed < n) {
            self.report.signed = Some((n, time_us, key));
        }
    }

    fn take_closing(&mut self, line: &str) {
        let twice = std::mem::replace(&mut self.closed, true);
        let (last, last_hash) = self.last.unwrap_or((0, None));
        let Some(closing) = Closing::parse(line).filter(|_| !twice) else {
            return self.found(last, Wrong::ClosingBroken);
        };
        let key = self.keys.iter().find(|key| key.id() == closing.key);
        if !key.is_some_and(|key| closing.is_signed_by(key)) || closing.instance != self.report.instance {
            return self.found(last, Wrong::ClosingBroken);
        }
        let seen = (self.report.first, last, self.report.entries);
        if seen != (closing.first, closing.last, closing.entries) {
            return self.found(last, Wrong::Closing { first: closing.first, last: closing.last });
        }
        if differ(last_hash, Some(closing.hash)) {
            return self.found(last, Wrong::Replaced);
        }
        if last_hash.is_some() {
            self.signed(last, closing.time_us, closing.key);
        }
    }

    /// The end of a chain as it lies in the lake and the state store: the newest entries may wait for their head.
    pub fn finish(mut self) -> Report {
        let last = self.last.map_or(0, |(last, _)| last);
        self.settle(last);
        let signed = self.report.signed.as_ref().map_or(self.report.first - 1, |(signed, ..)| *signed);
        if self.report.entries > 0 && self.report.is_good() {
            if self.report.signed.is_none() {
                self.found(last, Wrong::NothingSigned);
            } else if last - signed > AUDIT_HEAD_ENTRIES_MAX {
                self.found(last, Wrong::Tail { signed });
            }
        }
        self.report
    }

    /// The end of an export, which a signed line closes.
    pub fn finish_export(mut self) -> Report {
        let last = self.last.map_or(0, |(last, _)| last);
        self.settle(last);
        if !self.closed {
            self.found(last, Wrong::NotClosed);
        }
        if self.report.signed.is_none() && self.report.is_good() {
            self.found(last, Wrong::NothingSigned);
        }
        self.report
    }

    fn settle(&mut self, last: i64) {
        self.report.last = last;
        for (from, gap) in std::mem::take(&mut self.gaps) {
            self.found(from, Wrong::Missing { to: gap.to });
        }
        self.report.findings.sort_by_key(|finding| finding.n);
    }

    /// Notes what was found elsewhere.
    pub fn found(&mut self, n: i64, wrong: Wrong) {
        let finding = Finding { n, wrong };
        if self.report.findings.contains(&finding) {
            return;
        }
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(finding);
        } else {
            self.report.more += 1;
        }
    }
}

/// Both are known and not the same.
fn differ(one: Option<Hash>, other: Option<Hash>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one != other)
}

/// What closes an export: which entries it was of, signed, so that one without its end is noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    pub instance: String,
    pub first: i64,
    pub last: i64,
    pub entries: u64,
    pub hash: Hash,
    pub time_us: i64,
    pub key: String,
    signature: Vec<u8>,
}

impl Closing {
    /// The line that closes an export of these entries.
    pub fn sign(of: &Counted, time_us: i64, key: &SigningKey) -> Closing {
        let mut closing = Closing {
            instance: of.instance.clone(),
            first: of.first,
            last: of.last,
            entries: of.entries,
            hash: of.hash,
            time_us,
            key: key.public().id(),
            signature: Vec::new(),
        };
        closing.signature = key.sign(&closing.message());
        closing
    }

    fn fields(&self) -> Map<String, Value> {
        let value = json!({
            "instance": self.instance, "first": self.first, "last": self.last, "entries": self.entries,
            "hash": hex(&self.hash), "time_us": self.time_us, "key": self.key,
        });
        value.as_object().cloned().unwrap_or_default()
    }

    fn message(&self) -> Vec<u8> {
        let text = canonical(&Value::Object(self.fields())).unwrap_or_default();
        [CLOSING_DOMAIN, text.as_bytes()].concat()
    }

    pub fn line(&self) -> String {
        let mut fields = self.fields();
        fields.insert("signature".to_owned(), BASE64_STANDARD.encode(&self.signature).into());
        canonical(&json!({ "export": fields })).unwrap_or_default()
    }

    fn parse(line: &str) -> Option<Closing> {
        let value: Value = serde_json::from_str(line).ok()?;
        let fields = value.get("export")?;
        let text = |name: &str| fields.get(name)?.as_str();
        let closing = Closing {
            instance: text("instance")?.to_owned(),
            first: fields.get("first")?.as_i64()?,
            last: fields.get("last")?.as_i64()?,
            entries: fields.get("entries")?.as_u64()?,
            hash: unhex(text("hash")?)?,
            time_us: fields.get("time_us")?.as_i64()?,
            key: text("key")?.to_owned(),
            signature: BASE64_STANDARD.decode(text("signature")?).ok()?,
        };
        (closing.line() == line).then_some(closing)
    }

    fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(&self.message(), &self.signature)
    }
}

/// What an export holds so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub instance: String,
    pub first: i64,
    pub last: i64,
    pub entries: u64,
    pub hash: Hash,
}

impl Counted {
    pub fn add(&mut self, chained: &Chained) {
        if self.entries == 0 {
            self.instance.clone_from(&chained.entry.instance);
            self.first = chained.entry.n;
        }
        self.last = chained.entry.n;
        self.entries += 1;
        self.hash = chained.hash;
    }
}
