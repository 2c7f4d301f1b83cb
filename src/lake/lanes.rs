//! What the lanes in a lake have to know to go on where they stand, for a reader that has no writer at hand.
//!
//! Promises: nothing is moved, completed or removed. Of a lane that several copies had, what the one knew counts that brought
//! it to where it stands.
//! Never: fails over a state file that is not there any more or is damaged; its lanes are as if nothing were known of them.

use std::collections::HashMap;
use std::sync::Arc;

use deltalake::ObjectStore;
use object_store::path::Path;
use schemas::Lane;

use super::error::{During, LakeError};
use super::layout::Table;
use super::log::TableLog;
use super::{LakeConfig, instance_id, lane_id, place, read_state, root_store, root_url, state, state_id};

/// By lane, its state as the last checkpoint that moved it has it.
pub async fn stored_lane_states(config: &LakeConfig) -> Result<HashMap<Lane, Arc<[u8]>>, LakeError> {
    let root_url = root_url(&config.uri)?;
    let place = place(config, &root_url, Table::Events);
    let mut states = HashMap::new();
    if !place.exists().await? {
        return Ok(states);
    }
    let (mut log, root) = (TableLog::open(place).await?, root_store(config, &root_url)?);
    let listed = root.list_with_delimiter(Some(&Path::from(state::FOLDER))).await;
    let folders = listed.during(|| format!("list {}", state::FOLDER))?.common_prefixes;
    for instance in folders.iter().filter_map(Path::filename) {
        let Some(number) = log.marker(&instance_id(instance)).await? else { continue };
        let digest = log.marker(&state_id(instance)).await?.unwrap_or_default();
        let state = match read_state(&*root, instance, number, digest).await {
            Ok(state) => state,
            Err(LakeError::StateDamaged { .. } | LakeError::StateMissing { .. }) => continue,
            Err(error) => return Err(error),
        };
        let committed: HashMap<&Lane, i64> = state.positions.iter().map(|(lane, at)| (lane, *at)).collect();
        for (lane, bytes) in &state.lane_states {
            let at = log.marker(&lane_id(lane)).await?;
            if at.is_some() && committed.get(lane).copied() == at {
                states.insert(lane.clone(), bytes.clone());
            }
        }
    }
    Ok(states)
}
