//! Takes up what stands at a target with our mark and is not in force as far as the state store knows, as after a restore from a
//! backup, or the loss of the store: what was done since the backup would be undone by nobody.
//!
//! Promises: it is shown, ends when its entry says, or an hour from now, can be taken back, and obeys rails and kill switch like
//! any other; each once, as a step `adopted`. It counts neither towards the budget nor as an offence. What is known to be over is
//! undone, however long ago that was.
//! Never: takes up an entry that names no action of this copy of the service (`instance`): another one may be at work on the same list.
//! Nor an action that is on its way.

use std::collections::HashSet;

use super::action::{Action, Kind, Op, State, StepKind, hex_id};
use super::control::{Pass, UNDO_AGAIN_US};
use super::outbox::{HOUR_US, Lane, Outbox};
use super::queue::{Entry, NewStep, Queue, Tx, note_containment, write_steps};
use super::scope::{ADDRESS, NETWORK, Scope};
use super::target::InForce;
use super::wanted::queue_of;
use crate::store::StoreError;

/// As the targets know them whose entries are principals.
const PRINCIPAL: &str = "principal";
const OVER: &str = "it is there again, and was over";
const WORDS: &str = "it stands there with our mark, and was not in force as far as was known here";
/// Characters of an id that say which copy of the service it is of.
const TAG_CHARS: usize = 8;
/// Nothing that is taken up lasts longer, whatever its entry says: no policy's containment does.
const LASTS_US_MAX: i64 = 7 * 24 * HOUR_US;

/// How the ids end of whom this copy of the service keeps out.
pub(super) fn tag_of(instance: &str) -> String {
    hex_id(&["instance", instance])[..TAG_CHARS].to_owned()
}

impl Outbox {
    /// Known by this name among the copies of the service.
    #[must_use]
    pub fn named(mut self, instance: &str) -> Outbox {
        self.tag = tag_of(instance);
        self
    }

    /// The id as this copy of the service writes it.
    pub(super) fn own_id(&self, id: &str) -> String {
        format!("{}{}", &id[..id.len() - TAG_CHARS], self.tag)
    }

    /// Takes up those of `there` that are ours and not in force as far as is known. `held`: who is.
    pub(super) async fn adopt(
        &self,
        tx: &mut Tx,
        lane: &Lane,
        there: &[InForce],
        held: &HashSet<(Kind, String)>,
        pass: &mut Pass,
    ) -> Result<(), StoreError> {
        for found in there {
            let is_own = found.action_id.as_ref().is_some_and(|id| id.ends_with(&self.tag));
            let Some(action) = action_of(lane, found, pass.now_us).filter(|_| is_own) else { continue };
            // The store is asked now: what was sent while the list was read is in it.
            let known = Queue::entry_in(tx, &action.id).await?;
            let step = NewStep::new(StepKind::Adopted, WORDS);
            let entry = match known {
                None => Queue::adopt(tx, &action, found.remote_ref.as_deref(), step.clone()).await?,
                // Not of this entry: somebody wrote the mark.
                Some((entry, _)) if entry.action.queue != action.queue || entry.action.target != action.target => {
                    continue;
                }
                Some((entry, State::Delivered)) if entry.action.op == Op::Apply => continue,
                Some((entry, state)) if entry.attempts == 0 && entry.action.op == Op::Apply => {
                    Queue::take_up(tx, entry, state, &action, found.remote_ref.as_deref(), step.clone()).await?
                }
                Some((entry, State::Expired | State::Reverted | State::Cancelled)) if entry.action.op == Op::Apply => {
                    let is_held = held.contains(&(entry.action.kind, found.entity.clone()));
                    if !is_held && Queue::may_undo_again(tx, &entry, pass.now_us.saturating_sub(UNDO_AGAIN_US)).await? {
                        self.undo(tx, lane, &entry, OVER, pass).await?;
                    }
                    continue;
                }
                Some(_) => continue,
            };
            pass.taken.new.push((entry.action.clone(), vec![step]));
            if let Some(why) = self.no_longer(lane, &entry.action, pass) {
                self.undo(tx, lane, &entry, &why, pass).await?;
            }
        }
        Ok(())
    }
}

impl Queue {
    /// Whether what was over may be undone again: nothing that came after it keeps the same out, or is about to, and the last
    /// undoing is longer ago.
    async fn may_undo_again(tx: &mut Tx, entry: &Entry, since_us: i64) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM outbox WHERE (undoes = ?1 AND created_us > ?2) OR (target = ?3 AND queue = ?4 AND n > ?5 \
                   AND undoes IS NULL AND state IN ('pending', 'delivered')) LIMIT 1";
        let query = sqlx::query(sql).bind(&entry.action.id).bind(since_us);
        let query = query.bind(&entry.action.target).bind(&entry.action.queue).bind(entry.n);
        Ok(query.fetch_optional(&mut **tx).await?.is_none())
    }

    /// Takes it in as delivered.
    async fn adopt(tx: &mut Tx, action: &Action, remote: Option<&str>, step: NewStep) -> Result<Entry, StoreError> {
        Queue::insert(tx, action, State::Delivered, &[step]).await?;
        let sql = "UPDATE outbox SET attempts = 1, remote_ref = ? WHERE action_id = ?";
        sqlx::query(sql).bind(remote).bind(&action.id).execute(&mut **tx).await?;
        note_containment(tx, action, State::Delivered, action.created_us).await?;
        let (entry, _) = Queue::entry_in(tx, &action.id).await?.expect("it was inserted");
        Ok(entry)
    }

    /// The same for one that is known as never sent; it keeps what is known of it.
    async fn take_up(
        tx: &mut Tx,
        entry: Entry,
        state: State,
        found: &Action,
        remote: Option<&str>,
        step: NewStep,
    ) -> Result<Entry, StoreError> {
        let sql = "UPDATE outbox SET state = 'delivered', attempts = 1, dry_run = 0, remote_ref = ?, expires_us = ? \
                   WHERE n = ? AND state = ? AND attempts = 0";
        let query = sqlx::query(sql).bind(remote).bind(found.expires_us).bind(entry.n).bind(state.name());
        query.execute(&mut **tx).await?;
        let action = Action { expires_us: found.expires_us, dry_run: false, ..entry.action };
        note_containment(tx, &Action { renews: true, ..action.clone() }, State::Delivered, found.created_us).await?;
        write_steps(tx, &action, found.created_us, &[step]).await?;
        Ok(Entry { action, attempts: 1, ..entry })
    }
}

/// What was done there, as far as the entry tells.
fn action_of(lane: &Lane, found: &InForce, now_us: i64) -> Option<Action> {
    let id = found.action_id.clone()?;
    let scope = Scope::parse(&found.entity);
    let kind = found.kind.or_else(|| lane.common.kinds.iter().copied().find(|kind| kind.contains()))?;
    let (entity_kind, entity_value) = match (kind, scope) {
        (Kind::Block, Some(scope)) => (if scope.is_address() { ADDRESS } else { NETWORK }, scope.to_string()),
        (Kind::Block, None) => return None,
        _ => (PRINCIPAL, found.entity.clone()),
    };
    let ends_us = found.until_us.unwrap_or(now_us.saturating_add(HOUR_US)).min(now_us.saturating_add(LASTS_US_MAX));
    Some(Action {
        id,
        op: Op::Apply,
        undoes: None,
        incident_id: String::new(),
        alert_id: String::new(),
        detector: String::new(),
        entity_kind: entity_kind.to_owned(),
        queue: queue_of(kind, entity_kind, &entity_value),
        entity_value,
        target: lane.name().to_owned(),
        kind,
        body: Vec::new(),
        dry_run: false,
        created_us: now_us,
        about_us: now_us,
        expires_us: Some(ends_us),
        // It was let through before.
        renews: true,
    })
}
