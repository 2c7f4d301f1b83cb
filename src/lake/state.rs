//! The state file of a checkpoint: what a restart needs, and the rows that have to follow the commit.
//!
//! It is stored before the commit that names it, under a name made of the checkpoint number and a digest of its content;
//! the commit carries both. So two writers never overwrite each other's file, a file that was never committed is never
//! read, and damage is noticed.
//!
//! Never: interprets the engine snapshot.

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use std::io::Write;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use schemas::Lane;
use serde::{Deserialize, Serialize};

const MAGIC: &[u8] = b"gatewatch state 1\n";
const HASH_BYTES: usize = 32;
/// Below 1: packed twice as fast for a file a little larger, which lives for two checkpoints.
const ZSTD_LEVEL: i32 = -3;
/// A state larger than this is refused when it is read: the file is damaged, or not ours.
const STATE_BYTES_MAX: u64 = 8 << 30;

/// A checkpoint as the state file keeps it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    pub(crate) instance: String,
    pub(crate) checkpoint: i64,
    pub(crate) positions: Vec<(Lane, i64)>,
    pub(crate) snapshot: Vec<u8>,
    /// Rows for `alerts` and `rejects`, appended after the commit; again after a crash.
    pub(crate) alerts: Option<RecordBatch>,
    pub(crate) rejects: Option<RecordBatch>,
    pub(crate) lane_states: Vec<(Lane, Arc<[u8]>)>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    instance: String,
    checkpoint: i64,
    positions: Vec<(String, i32, i64)>,
    alerts_bytes: u64,
    rejects_bytes: u64,
    snapshot_bytes: u64,
    /// Of each lane that has a state, its length; files of earlier versions have none.
    #[serde(default)]
    lane_states: Vec<(String, i32, u64)>,
}

/// A state file ready to be stored.
pub(crate) struct StateFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: i64,
}

/// Where the state file of a checkpoint lies under the root of the lake.
pub(crate) fn path(instance: &str, checkpoint: i64, digest: i64) -> String {
    format!("{}/{checkpoint:012}-{digest:016x}.checkpoint", folder(instance))
}

/// Holds a folder for each instance.
pub(crate) const FOLDER: &str = "_state";

pub(crate) fn folder(instance: &str) -> String {
    format!("{FOLDER}/{instance}")
}

/// The checkpoint number in the name of a state file.
pub(crate) fn number(file_name: &str) -> Option<i64> {
    file_name.strip_suffix(".checkpoint")?.split('-').next()?.parse().ok()
}

impl State {
    pub(crate) fn encode(&self) -> Result<StateFile, String> {
        let alerts = self.alerts.as_ref().map(to_ipc).transpose()?.unwrap_or_default();
        let rejects = self.rejects.as_ref().map(to_ipc).transpose()?.unwrap_or_default();
        let header = Header {
            instance: self.instance.clone(),
            checkpoint: self.checkpoint,
            positions: self.positions.iter().map(|(l, o)| (l.source.to_string(), l.partition, *o)).collect(),
            alerts_bytes: alerts.len() as u64,
            rejects_bytes: rejects.len() as u64,
            snapshot_bytes: self.snapshot.len() as u64,
            lane_states: self
                .lane_states
                .iter()
                .map(|(l, s)| (l.source.to_string(), l.partition, s.len() as u64))
                .collect(),
        };
        let header = serde_json::to_vec(&header).map_err(|e| e.to_string())?;
        let length = (header.len() as u64).to_le_bytes();
        let mut parts: Vec<&[u8]> = vec![&length, &header, &alerts, &rejects, &self.snapshot];
        parts.extend(self.lane_states.iter().map(|(_, state)| &**state));
        let raw: usize = parts.iter().map(|part| part.len()).sum();
        let mut bytes = [MAGIC, &[0; HASH_BYTES], &(raw as u64).to_le_bytes()].concat();
        let mut packer = zstd::Encoder::new(&mut bytes, ZSTD_LEVEL).map_err(|e| e.to_string())?;
        for part in parts {
            packer.write_all(part).map_err(|e| e.to_string())?;
        }
        packer.finish().map_err(|e| e.to_string())?;
        let hash = digest(&SHA256, &bytes[MAGIC.len() + HASH_BYTES..]);
        bytes[MAGIC.len()..MAGIC.len() + HASH_BYTES].copy_from_slice(hash.as_ref());
        Ok(StateFile { bytes, digest: short(hash.as_ref()) })
    }

    pub(crate) fn decode(bytes: &[u8], expected_digest: i64) -> Result<State, String> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("not a state file of this version")?;
        let (hash, body) = rest.split_at_checked(HASH_BYTES).ok_or("cut short")?;
        if digest(&SHA256, body).as_ref() != hash {
            return Err("its content does not match its checksum".into());
        }
        if short(hash) != expected_digest {
            return Err("it is not the file that was committed".into());
        }
        let (length, packed) = body.split_first_chunk::<8>().ok_or("cut short")?;
        let length = u64::from_le_bytes(*length);
        if length > STATE_BYTES_MAX {
            return Err(format!("it claims {length} bytes"));
        }
        let length = usize::try_from(length).map_err(|e| e.to_string())?;
        let raw = zstd::bulk::decompress(packed, length).map_err(|e| e.to_string())?;
        State::parse(&raw)
    }

    fn parse(raw: &[u8]) -> Result<State, String> {
        let (length, rest) = raw.split_first_chunk::<8>().ok_or("cut short")?;
        let (header, rest) = take(rest, u64::from_le_bytes(*length))?;
        let header: Header = serde_json::from_slice(header).map_err(|e| e.to_string())?;
        let (alerts, rest) = take(rest, header.alerts_bytes)?;
        let (rejects, rest) = take(rest, header.rejects_bytes)?;
        let (snapshot, mut rest) = take(rest, header.snapshot_bytes)?;
        let mut lane_states = Vec::with_capacity(header.lane_states.len());
        for (source, partition, bytes) in &header.lane_states {
            let (state, after) = take(rest, *bytes)?;
            lane_states.push((Lane::new(source, *partition), state.into()));
            rest = after;
        }
        Ok(State {
            instance: header.instance,
            checkpoint: header.checkpoint,
            positions: header.positions.iter().map(|(s, p, o)| (Lane::new(s, *p), *o)).collect(),
            snapshot: snapshot.to_vec(),
            alerts: from_ipc(alerts)?,
            rejects: from_ipc(rejects)?,
            lane_states,
        })
    }
}

fn take(bytes: &[u8], length: u64) -> Result<(&[u8], &[u8]), String> {
    let length = usize::try_from(length).map_err(|e| e.to_string())?;
    bytes.split_at_checked(length).ok_or_else(|| "cut short".to_string())
}

/// The first 63 bits of the checksum: what fits into the version of an application transaction.
fn short(hash: &[u8]) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    (u64::from_be_bytes(first) >> 1) as i64
}

fn to_ipc(batch: &RecordBatch) -> Result<Vec<u8>, String> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).map_err(|e| e.to_string())?;
    writer.write(batch).map_err(|e| e.to_string())?;
    writer.into_inner().map_err(|e| e.to_string())
}

fn from_ipc(bytes: &[u8]) -> Result<Option<RecordBatch>, String> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut reader = StreamReader::try_new(bytes, None).map_err(|e| e.to_string())?;
    reader.next().transpose().map_err(|e| e.to_string())
}
