//! Snapshot and restore: all state of the engine as bytes.
//!
//! Promises: the same state gives the same bytes. A cut, changed or foreign snapshot is refused by its header and
//! checksum. State belongs to a detector by id and by a hash of what it counts: when that changed, or the detector is
//! gone, its state is dropped and a note says so; the others keep theirs.
//! Never: writes a file.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use schemas::Lane;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use siphasher::sip128::SipHasher13;

use super::binary::{self, BinaryError};
use super::order::{Held, LaneState, Waiting};
use super::{Engine, EngineError, EngineLimits, check_schema};
use crate::rule::Rule;

/// Names the format and its version. Change it with any change of what is written.
const MAGIC: &[u8; 8] = b"GWSTATE3";
const HEADER: usize = MAGIC.len() + 16;

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
    lanes: Vec<(String, i32, LaneState)>,
    folded_to: Option<i64>,
    newest: Option<i64>,
    counters: [u64; 4],
    /// Id, hash of the state identity, state.
    detectors: Vec<(String, u128, Bytes)>,
    seen: Vec<(String, Bytes)>,
    /// Source, partition, Arrow IPC stream of the rows that wait.
    held: Vec<(String, i32, Bytes)>,
}

impl Engine {
    /// All state as bytes: what was folded, what waits, and how far each lane has come.
    pub fn snapshot(&self) -> Vec<u8> {
        self.try_snapshot().expect("state in memory can be written to memory")
    }

    fn try_snapshot(&self) -> Result<Vec<u8>, EngineError> {
        let mut detectors = Vec::with_capacity(self.detectors.len());
        for detector in &self.detectors {
            let mut state = Vec::new();
            detector.save(&mut state)?;
            let rule = detector.rule();
            detectors.push((rule.id.clone(), identity(rule), Bytes(state)));
        }
        let names = self.seen.names().into_iter().enumerate();
        let seen: Result<Vec<(String, Bytes)>, BinaryError> =
            names.map(|(index, name)| Ok((name.to_owned(), Bytes(self.seen.save(index)?)))).collect();
        let held: Result<Vec<(String, i32, Bytes)>, EngineError> = self
            .order
            .waiting_by_lane()?
            .into_iter()
            .map(|(lane, events)| Ok((lane.source.to_string(), lane.partition, Bytes(to_ipc(&events)?))))
            .collect();
        let lanes = self.order.lanes.iter();
        let saved = Saved {
            hash_key: self.limits.hash_key,
            lanes: lanes.map(|(lane, state)| (lane.source.to_string(), lane.partition, state.clone())).collect(),
            folded_to: self.order.folded_to,
            newest: self.order.newest,
            counters: [self.events, self.folded, self.late, self.unevaluated],
            detectors,
            seen: seen?,
            held: held?,
        };
        // Growing by doubling would touch twice the memory.
        let parts = saved.detectors.iter().map(|(.., b)| b).chain(saved.seen.iter().map(|(_, b)| b));
        let parts = parts.chain(saved.held.iter().map(|(.., b)| b));
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
        let saved = open(bytes)?;
        let limits = EngineLimits { hash_key: saved.hash_key, ..limits };
        let mut engine = Engine::new(rules, limits)?;
        for (source, partition, state) in saved.lanes {
            engine.order.lanes.insert(Lane::new(&source, partition), state);
        }
        (engine.order.folded_to, engine.order.newest) = (saved.folded_to, saved.newest);
        [engine.events, engine.folded, engine.late, engine.unevaluated] = saved.counters;
        engine.restore_detectors(&saved.detectors)?;
        for (name, state) in &saved.seen {
            if !engine.seen.load(name, &state.0)? {
                engine.notes.push(format!("first-seen times of {name} dropped: no detector asks for them"));
            }
        }
        for (source, partition, ipc) in &saved.held {
            engine.restore_held(&Lane::new(source, *partition), &ipc.0)?;
        }
        Ok(engine)
    }

    fn restore_detectors(&mut self, saved: &[(String, u128, Bytes)]) -> Result<(), EngineError> {
        for (id, hash, state) in saved {
            match self.detectors.iter_mut().find(|d| d.rule().id == *id) {
                None => self.notes.push(format!("state of detector {id} dropped: the detector is gone")),
                Some(d) if identity(d.rule()) != *hash => {
                    self.notes.push(format!("state of detector {id} dropped: what it counts has changed"));
                }
                Some(detector) => detector.load(&state.0)?,
            }
        }
        for detector in &self.detectors {
            let id = &detector.rule().id;
            if !saved.iter().any(|(known, ..)| known == id) {
                self.notes.push(format!("detector {id} is new and starts without a past"));
            }
        }
        Ok(())
    }

    fn restore_held(&mut self, lane: &Lane, ipc: &[u8]) -> Result<(), EngineError> {
        for events in StreamReader::try_new(Cursor::new(ipc), None)? {
            let events = events?;
            check_schema(&events)?;
            let columns = self.plan.compute(&events)?.0;
            let waiting = Waiting::Range(0, events.num_rows());
            self.order.held.push(Held { lane: lane.clone(), events, columns, waiting });
        }
        Ok(())
    }
}

impl From<BinaryError> for EngineError {
    fn from(error: BinaryError) -> EngineError {
        EngineError::Snapshot(error.to_string())
    }
}

fn open(bytes: &[u8]) -> Result<Saved, EngineError> {
    let Some((header, body)) = bytes.split_at_checked(HEADER) else {
        return Err(EngineError::Snapshot(format!("{} bytes are too few for a header", bytes.len())));
    };
    if header[..MAGIC.len()] != *MAGIC {
        return Err(EngineError::Snapshot("not a state of this version of the engine".into()));
    }
    if header[MAGIC.len()..] != checksum(body) {
        return Err(EngineError::Snapshot("the checksum does not fit; the file was cut or changed".into()));
    }
    Ok(binary::read(body)?)
}

fn checksum(body: &[u8]) -> [u8; 16] {
    SipHasher13::new_with_keys(0x736e_6170, 0x7368_6f74).hash(body).as_bytes()
}

fn identity(rule: &Rule) -> u128 {
    SipHasher13::new_with_keys(0x7275_6c65, 0x6964).hash(rule.state_identity().as_bytes()).as_u128()
}

fn to_ipc(events: &RecordBatch) -> Result<Vec<u8>, EngineError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &events.schema())?;
    writer.write(events)?;
    Ok(writer.into_inner()?)
}
