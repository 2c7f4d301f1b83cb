//! What a lane has to know in order to go on as if it had never stopped: saved with the position it belongs to, and handed
//! back when the lane is taken up again.
//!
//! Promises: parts that are absent are as at the beginning; a version that is not known, or bytes that are no state, are an
//! error, never half a state.
//! Never: holds a secret: what is learned of paths is what endpoints show.

use serde::{Deserialize, Serialize};

use crate::limits::LANE_STATE_BYTES_MAX;
use crate::route::Saved;
use crate::sources::{Bare, Front, Usual};

const VERSION: u32 = 1;

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct LaneState {
    pub(crate) version: u32,
    /// The `#Fields` line that holds for what comes next, in W3C logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fields: Option<String>,
    /// The streams that are within a line which goes on in a later record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) open: Vec<u64>,
    /// In how many more records the end of each of them is looked for, where some were looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) patience: Vec<u16>,
    /// What stands before the clients in text lines, where the kind has lines with and without it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) front: Front,
    /// Whether there are lines without a prefix.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) bare: Bare,
    /// What JSON made of strings told of its template.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) usual: Usual,
    /// What was learned of the paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) learned: Option<Saved>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Why a saved state cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("the saved state of a lane is of version {0}; expected {VERSION}")]
    Version(u32),
    #[error("the saved state of a lane is damaged")]
    Damaged,
}

impl LaneState {
    pub(crate) fn encode(mut self) -> Vec<u8> {
        self.version = VERSION;
        serde_json::to_vec(&self).expect("texts, numbers and lists are JSON")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<LaneState, StateError> {
        if bytes.len() > LANE_STATE_BYTES_MAX {
            return Err(StateError::Damaged);
        }
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_slice(bytes).map_err(|_| StateError::Damaged)?;
        if version != VERSION {
            return Err(StateError::Version(version));
        }
        serde_json::from_slice(bytes).map_err(|_| StateError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_and_what_is_no_state_is_refused() {
        let fields = Some("#Fields: date time".to_string());
        let bytes = LaneState { fields, open: vec![7, u64::MAX], ..LaneState::default() }.encode();
        let again = LaneState::decode(&bytes).expect("a state");
        assert_eq!((again.fields.as_deref(), again.learned), (Some("#Fields: date time"), None));
        assert_eq!(again.open, [7, u64::MAX]);
        assert_eq!(LaneState::decode(br#"{"version":9}"#).err(), Some(StateError::Version(9)));
        for damaged in [&b""[..], b"{}", b"\xff", br#"{"version":1,"learned":{"next":0}}"#, &bytes[..bytes.len() - 1]] {
            assert_eq!(LaneState::decode(damaged).err(), Some(StateError::Damaged));
        }
    }
}
