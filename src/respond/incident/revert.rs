//! Taking an action back.
//!
//! Promises: whoever it contains is let go at every target, and wanted there no more while the incident lasts. What was renewed since
//! is taken back with what stands in its place.
//! Never: waits for a target; the undoings go through the outbox.

use serde_json::json;

use super::desk::{DeskError, no_action};
use crate::audit::{self, Fact, What};
use crate::respond::action::{Action, Op, State, StepKind, hex_id, scrub};
use crate::respond::queue::{ENTRY, Entry, NewStep, Queue, Tx, with_state};
use crate::respond::scope::{NETWORK, RANGE};
use crate::respond::wanted;
use crate::store::{Store, StoreError};

/// Takes it back: what waits is cancelled, and who is contained by it is let go at every target. The id of what was taken back: that
/// of the newest renewal where there is one.
pub async fn revert(store: &Store, id: &str, actor: &str, why: &str, now_us: i64) -> Result<String, DeskError> {
    let queue = Queue::new(store.clone());
    let mut tx = queue.begin().await?;
    // As it stands until this is done: an attempt may begin at any moment.
    let (mut entry, mut state) = Queue::entry_in(&mut tx, id).await?.ok_or_else(|| no_action(id))?;
    if state == State::Expired
        && let Some(newer) = renewal(&mut tx, &entry).await?
    {
        (entry, state) = newer;
    }
    let action = entry.action.clone();
    let id = action.id.as_str();
    if !action.kind.contains() {
        let expected = "a message cannot be taken back; close its incident";
        return Err(DeskError::State { id: id.to_owned(), state: state.name(), expected });
    }
    let may_be_there = match state {
        State::Awaiting | State::Pending | State::Parked => {
            let step = NewStep::new(StepKind::Cancelled, format!("by {actor}: {why}"));
            Queue::settle_in(&mut tx, &entry, state, State::Cancelled, now_us, step).await?;
            // An attempt may have had its effect, or is under way.
            entry.attempts > 0
        }
        State::Delivered => true,
        _ => {
            let expected = "only what waits or was delivered can be taken back";
            return Err(DeskError::State { id: id.to_owned(), state: state.name(), expected });
        }
    };
    // The control loop sees to the other targets where it is wanted; what was taken up is wanted by nobody.
    let others = Queue::alike_in_force(&mut tx, &action.queue).await?;
    let others = others.into_iter().filter(|other| other.action.id != id);
    for undone in may_be_there.then_some(entry).into_iter().chain(others) {
        let Some(nth) = Queue::next_revert(&mut tx, &undone.action.id).await? else { continue };
        let revert = Action {
            id: hex_id(&["revert", &undone.action.id, &nth.to_string()]),
            op: Op::Revert,
            undoes: Some(undone.action.id.clone()),
            created_us: now_us,
            about_us: now_us,
            expires_us: None,
            renews: false,
            ..undone.action.clone()
        };
        let steps = [NewStep::new(StepKind::Planned, format!("undoes {}, by {actor}: {why}", undone.action.id))];
        Queue::insert(&mut tx, &revert, State::Pending, &steps).await?;
    }
    let is_wide = [RANGE, NETWORK].contains(&action.entity_kind.as_str());
    // A range of neighbours and a network that a detector told of are one at the targets.
    for kind in if is_wide { vec![RANGE, NETWORK] } else { vec![action.entity_kind.as_str()] } {
        wanted::lift(&mut tx, action.kind, kind, &action.entity_value).await?;
    }
    let detail = json!({ "approved": false, "reason": scrub(why), "incident": action.incident_id });
    audit::pend(&mut tx, now_us, &Fact::new(What::Approval, actor, id, detail)).await?;
    Queue::commit(tx).await?;
    Ok(action.id)
}

/// What stands in the place of an action at its target, or is about to: it was prolonged without a gap.
async fn renewal(tx: &mut Tx, entry: &Entry) -> Result<Option<(Entry, State)>, StoreError> {
    let sql = format!(
        "SELECT {ENTRY}, state FROM outbox WHERE target = ? AND queue = ? AND op = 'apply' AND n > ? ORDER BY n"
    );
    let query = sqlx::query(&sql).bind(&entry.action.target).bind(&entry.action.queue).bind(entry.n);
    let newer = query.fetch_all(&mut **tx).await?;
    let newer = newer.iter().map(with_state).collect::<Result<Vec<_>, _>>()?;
    let mut ends_us = entry.action.expires_us.unwrap_or(i64::MIN);
    let follows = |(entry, _): &(Entry, State)| {
        let follows = entry.action.renews || entry.action.created_us < ends_us;
        ends_us = ends_us.max(entry.action.expires_us.unwrap_or(i64::MIN));
        follows
    };
    let stands = |state: &State| [State::Delivered, State::Pending, State::Awaiting, State::Parked].contains(state);
    Ok(newer.into_iter().take_while(follows).filter(|(_, state)| stands(state)).last())
}
