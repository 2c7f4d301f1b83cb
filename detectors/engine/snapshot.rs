//! Snapshot and restore: all state of the engine as bytes.
//!
//! Promises: the same state gives the same bytes. A cut, changed or foreign snapshot is refused by its header and
//! checksum. State belongs to a detector by id and by a hash of what it counts: when that changed, or the detector is
//! gone, its state is dropped and a note says so; the others keep theirs. Of an older format what is not of a detector is
//! read: lanes go on from where they were and no row is lost or counted twice; detectors start without a past, and notes
//! say so.
//! Never: writes a file.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use schemas::Lane;
use schemas::event::{FIELDS, Field, arrow_schema};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use siphasher::sip128::SipHasher13;

use super::binary::{self, BinaryError};
use super::clock::{LaneClock, Standstill};
use super::order::Held;
use super::{Engine, EngineError, EngineLimits};
use crate::rule::Rule;

/// Names the format and its version. Change it with any change of what is written.
const MAGIC: &[u8; 8] = b"GWSTATE4";
/// The one before: entities queued in order of arrival, IPv6 clients were single addresses, sets of values had no samples.
const MAGIC_3: &[u8; 8] = b"GWSTATE3";
/// Before that rows had no places, clocks were the newest time, and no detector held late rows.
const MAGIC_2: &[u8; 8] = b"GWSTATE2";
const HEADER: usize = MAGIC.len() + 16;

/// In the place of the id of a detector, which is never one of these: what is open and joined (`cause`), and what came of each lane
/// since its clock last moved.
const CAUSES: &str = "";
const STANDSTILL: &str = "\0standstill";

/// Bytes written in one piece.
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct BytesVisitor;
        impl<'de> Visitor<'de> for BytesVisitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Bytes, A::Error> {
                Err(A::Error::custom("bytes expected, a list found"))
            }
        }
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

#[derive(Serialize, Deserialize)]
struct Saved {
    hash_key: (u64, u64),
    lanes: Vec<(String, i32, LaneClock)>,
    folded_to: Option<i64>,
    counters: [u64; 4],
    ahead_of_closed: u64,
    /// Id, hash of the state identity, state. `CAUSES` and `STANDSTILL` are of no detector.
    detectors: Vec<SavedDetector>,
    seen: Vec<(String, Bytes)>,
    /// Source, partition, Arrow IPC stream of the rows that wait, their places.
    held: Vec<(String, i32, Bytes, Vec<i64>)>,
}

/// Id, hash of the state identity, state, late rows that the state does not hold.
type SavedDetector = (String, u128, Bytes, Bytes);

#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct Saved2 {
    hash_key: (u64, u64),
    lanes: Vec<(String, i32, Lane2)>,
    folded_to: Option<i64>,
    #[allow(dead_code, reason = "a part of the format; what waits says it")]
    newest: Option<i64>,
    counters: [u64; 4],
    detectors: Vec<(String, u128, Bytes)>,
    seen: Vec<(String, Bytes)>,
    held: Vec<(String, i32, Bytes)>,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct Lane2 {
    lateness_us: i64,
    newest: Option<i64>,
    idle: bool,
}

impl From<Lane2> for LaneClock {
    fn from(lane: Lane2) -> LaneClock {
        let mut clock =
            LaneClock::starting_at(lane.newest.map_or(i64::MIN, |newest| newest.saturating_sub(lane.lateness_us)));
        clock.set_lateness(lane.lateness_us);
        clock.idle = lane.idle;
        clock
    }
}

impl From<Saved2> for Saved {
    fn from(saved: Saved2) -> Saved {
        let lanes = saved.lanes.into_iter().map(|(source, partition, lane)| (source, partition, lane.into()));
        let detectors = saved.detectors.into_iter().map(|(id, hash, state)| (id, hash, state, Bytes(Vec::new())));
        let held = saved.held.into_iter().map(|(source, partition, ipc)| (source, partition, ipc, Vec::new()));
        Saved {
            hash_key: saved.hash_key,
            lanes: lanes.collect(),
            folded_to: saved.folded_to,
            counters: saved.counters,
            ahead_of_closed: 0,
            detectors: detectors.collect(),
            seen: saved.seen,
            held: held.collect(),
        }
    }
}

impl Engine {
    /// All state as bytes: what was folded, what waits, and how far each lane has come.
    pub fn snapshot(&self) -> Vec<u8> {
        self.try_snapshot().expect("state in memory can be written to memory")
    }

    fn try_snapshot(&self) -> Result<Vec<u8>, EngineError> {
        let mut detectors = Vec::with_capacity(self.detectors.len());
        for detector in &self.detectors {
            let (mut state, mut late) = (Vec::new(), Vec::new());
            detector.save(&mut state)?;
            detector.save_late(&mut late)?;
            let rule = detector.rule();
            detectors.push((rule.id.clone(), identity(rule), Bytes(state), Bytes(late)));
        }
        let mut causes = Vec::new();
        self.causes.save(&mut causes)?;
        detectors.push((CAUSES.to_owned(), 0, Bytes(causes), Bytes(Vec::new())));
        let mut standstill = Vec::new();
        binary::write(&mut standstill, &self.order.lanes.values().map(|clock| &clock.standstill).collect::<Vec<_>>())?;
        detectors.push((STANDSTILL.to_owned(), 0, Bytes(standstill), Bytes(Vec::new())));
        let names = self.seen.names().into_iter().enumerate();
        let seen: Result<Vec<(String, Bytes)>, BinaryError> =
            names.map(|(index, name)| Ok((name.to_owned(), Bytes(self.seen.save(index)?)))).collect();
        let one = |(lane, events, places): (Lane, RecordBatch, Vec<i64>)| {
            Ok((lane.source.to_string(), lane.partition, Bytes(to_ipc(&events)?), places))
        };
        let held: Result<Vec<_>, EngineError> = self.order.waiting_by_lane()?.into_iter().map(one).collect();
        let lanes = self.order.lanes.iter();
        let saved = Saved {
            hash_key: self.limits.hash_key,
            lanes: lanes.map(|(lane, clock)| (lane.source.to_string(), lane.partition, clock.clone())).collect(),
            folded_to: self.order.folded_to,
            counters: [self.events, self.folded, self.late, self.unevaluated],
            ahead_of_closed: self.order.ahead_of_closed,
            detectors,
            seen: seen?,
            held: held?,
        };
        // Growing by doubling would touch twice the memory.
        let parts = saved.detectors.iter().map(|(.., b, _)| b).chain(saved.seen.iter().map(|(_, b)| b));
        let parts = parts.chain(saved.held.iter().map(|(.., b, _)| b));
        let mut bytes = Vec::with_capacity(HEADER + parts.map(|b| b.0.len() + 64).sum::<usize>() + (4 << 10));
        bytes.resize(HEADER, 0);
        binary::write(&mut bytes, &saved)?;
        let checksum = checksum(&bytes[HEADER..]);
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[MAGIC.len()..HEADER].copy_from_slice(&checksum);
        Ok(bytes)
    }

    /// An engine that goes on where the snapshot was taken. What could not be kept is in `notes`.
    pub fn restore(rules: Vec<Arc<Rule>>, limits: EngineLimits, bytes: &[u8]) -> Result<Engine, EngineError> {
        let (saved, is_older) = open(bytes)?;
        let limits = EngineLimits { hash_key: saved.hash_key, ..limits };
        let mut engine = Engine::new(rules, limits)?;
        for (source, partition, clock) in &saved.lanes {
            engine.order.lanes.insert(Lane::new(source, *partition), clock.clone());
        }
        let standstill = saved.detectors.iter().find(|(id, ..)| id == STANDSTILL && !is_older);
        if let Some((.., state, _)) = standstill {
            let all: Vec<Standstill> = binary::read(&state.0)?;
            engine.order.lanes.values_mut().zip(all).for_each(|(clock, standstill)| clock.standstill = standstill);
        }
        (engine.order.folded_to, engine.order.ahead_of_closed) = (saved.folded_to, saved.ahead_of_closed);
        [engine.events, engine.folded, engine.late, engine.unevaluated] = saved.counters;
        engine.restore_detectors(&saved.detectors, is_older)?;
        if !is_older {
            engine.restore_causes(&saved.detectors)?;
        }
        for (name, state) in &saved.seen {
            if is_older {
                engine.notes.push(format!("first-seen times of {name} dropped: they are of an older format"));
            } else if !engine.seen.load(name, &state.0)? {
                engine.notes.push(format!("first-seen times of {name} dropped: no detector asks for them"));
            }
        }
        for (source, partition, ipc, places) in &saved.held {
            engine.restore_held(&Lane::new(source, *partition), &ipc.0, places)?;
        }
        Ok(engine)
    }

    fn restore_detectors(&mut self, saved: &[SavedDetector], is_older: bool) -> Result<(), EngineError> {
        for (id, hash, state, late) in saved.iter().filter(|(id, ..)| id != CAUSES && !id.starts_with('\0')) {
            let why = match self.detectors.iter_mut().find(|d| d.rule().id == *id) {
                None => "the detector is gone",
                Some(_) if is_older => "it is of an older format",
                Some(d) if identity(d.rule()) != *hash => "what it counts has changed",
                Some(detector) => {
                    detector.load(&state.0)?;
                    if !late.0.is_empty() {
                        detector.load_late(&late.0)?;
                    }
                    continue;
                }
            };
            self.notes.push(format!("state of detector {id} dropped: {why}"));
            self.emptied.push(id.clone());
        }
        for detector in &self.detectors {
            let id = &detector.rule().id;
            if !saved.iter().any(|(known, ..)| known == id) {
                self.notes.push(format!("detector {id} is new and starts without a past"));
            }
        }
        Ok(())
    }

    /// Of alerts whose detector goes on; the others are closed.
    fn restore_causes(&mut self, saved: &[SavedDetector]) -> Result<(), EngineError> {
        let Some((.., state, _)) = saved.iter().find(|(id, ..)| id == CAUSES) else { return Ok(()) };
        let goes_on = |id: &str| !self.emptied.iter().any(|gone| gone == id);
        let time = self.order.folded_to.unwrap_or(i64::MIN);
        Ok(self.causes.load(&state.0, goes_on, time)?)
    }

    /// Without places every row stands at its time.
    fn restore_held(&mut self, lane: &Lane, ipc: &[u8], places: &[i64]) -> Result<(), EngineError> {
        let (mut from, any) = (0, !places.is_empty());
        for events in StreamReader::try_new(Cursor::new(ipc), None)? {
            let events = of_now(&events?)?;
            let mut columns = self.plan.compute(&events)?.0;
            let to = from + events.num_rows();
            if any {
                let places = places.get(from..to).ok_or_else(|| EngineError::Snapshot("rows without places".into()))?;
                columns = columns.standing_at(places.to_vec());
            }
            self.order.held.push(Held::whole(lane.clone(), columns, events));
            from = to;
        }
        Ok(())
    }
}

/// Rows of an older version have fewer columns; what it did not know is null.
fn of_now(events: &RecordBatch) -> Result<RecordBatch, EngineError> {
    let column = |field: &Field| match events.column_by_name(field.name) {
        Some(column) => Ok(column.clone()),
        None if field.nullable => Ok(new_null_array(&field.kind.data_type(), events.num_rows())),
        None => Err(EngineError::Snapshot(format!("its rows have no column {}", field.name))),
    };
    let columns = FIELDS.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(arrow_schema(), columns).map_err(|error| EngineError::Snapshot(error.to_string()))
}

impl From<BinaryError> for EngineError {
    fn from(error: BinaryError) -> EngineError {
        EngineError::Snapshot(error.to_string())
    }
}

/// What was saved, and whether in an older format.
fn open(bytes: &[u8]) -> Result<(Saved, bool), EngineError> {
    let Some((header, body)) = bytes.split_at_checked(HEADER) else {
        return Err(EngineError::Snapshot(format!("{} bytes are too few for a header", bytes.len())));
    };
    let magic = &header[..MAGIC.len()];
    let (is_2, is_older) = (magic == MAGIC_2, magic == MAGIC_2 || magic == MAGIC_3);
    if magic != MAGIC && !is_older {
        return Err(EngineError::Snapshot("not a state of this version of the engine".into()));
    }
    if header[MAGIC.len()..] != checksum(body) {
        return Err(EngineError::Snapshot("the checksum does not fit; the file was cut or changed".into()));
    }
    let saved = if is_2 { binary::read::<Saved2>(body)?.into() } else { binary::read(body)? };
    Ok((saved, is_older))
}

fn checksum(body: &[u8]) -> [u8; 16] {
    SipHasher13::new_with_keys(0x736e_6170, 0x7368_6f74).hash(body).as_bytes()
}

/// What a detector counts, as a hash: one that counts the same may go on with the state of the other.
pub(super) fn identity(rule: &Rule) -> u128 {
    SipHasher13::new_with_keys(0x7275_6c65, 0x6964).hash(rule.state_identity().as_bytes()).as_u128()
}

fn to_ipc(events: &RecordBatch) -> Result<Vec<u8>, EngineError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &events.schema())?;
    writer.write(events)?;
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests;
