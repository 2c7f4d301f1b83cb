//! The narrowest effective way first: what would hit others, too, gives way to taking an attacker's own credentials or rate.
//!
//! Promises: a narrow way counts while it is in force, and while it is on its way there: for a moment, or for as long as a person is
//! asked about it. One that is in dry run (where the wider is not), that a rail refused, or whose target failed, counts for nothing:
//! the wider is applied. When the narrow one takes effect later, the wider is undone. An attack that ends meanwhile takes both along.
//! Never: takes a wider way where a person let the principal go, or protects it.

use super::action::{Kind, State};
use super::control::Pass;
use super::incident::book;
use super::outbox::Outbox;
use super::plan;
use super::queue::{Queue, Tx};
use super::wanted::{self, Stand, Wanted};
use crate::store::StoreError;

/// From the narrowest.
pub(super) const WAYS: [Kind; 3] = [Kind::Revoke, Kind::Throttle, Kind::Block];
/// How the reason begins for which a wider way is not in force.
pub(super) const GIVES_WAY: &str = "gives way to ";
/// For so long a narrow way that nobody has answered yet is waited for.
const PATIENCE_US: i64 = 10_000_000;

/// The narrow way to which a wider one gives way, in words.
pub(super) enum Narrower {
    InForce(String),
    /// It may be in force soon: nothing wider is begun, and nothing is undone.
    Coming(String),
}

impl Outbox {
    /// What this gives way to at a target, which may be in dry run.
    pub(super) async fn narrower_way(
        &self,
        tx: &mut Tx,
        wanted: &Wanted,
        dry_run: bool,
        pass: &Pass,
    ) -> Result<Option<Narrower>, StoreError> {
        let Some(principal) = &wanted.narrower else { return Ok(None) };
        if self.config.guard.never_principals.contains(principal) {
            return Ok(Some(Narrower::InForce(format!("{GIVES_WAY}the protection of principal {principal}"))));
        }
        let mut coming = None;
        for kind in WAYS.into_iter().take_while(|kind| *kind != wanted.kind) {
            let Some(narrow) = wanted::find(tx, kind, "principal", principal).await? else { continue };
            let words = format!("{GIVES_WAY}{} of principal {principal}", kind.name());
            match self.effect(tx, &narrow, dry_run, pass.now_us).await? {
                Effect::InForce => return Ok(Some(Narrower::InForce(words))),
                Effect::Coming => coming = Some(Narrower::Coming(words)),
                Effect::None => {}
            }
        }
        Ok(coming)
    }

    async fn effect(&self, tx: &mut Tx, narrow: &Wanted, dry_run: bool, now_us: i64) -> Result<Effect, StoreError> {
        if narrow.stand == Stand::Lift {
            let is_let_go = wanted::is_let_go(tx, narrow).await?;
            return Ok(if is_let_go { Effect::InForce } else { Effect::None });
        }
        let Some(row) = book::row(tx, &narrow.incident_id).await? else { return Ok(Effect::None) };
        let case = plan::case(&row, 0, now_us);
        let (queue, mut effect) = (narrow.queue(), Effect::None);
        for lane in self.lanes.iter().filter(|it| it.common.kinds.contains(&narrow.kind) && it.common.when.holds(&case))
        {
            if (narrow.dry_run || self.is_dry(lane)) && !dry_run {
                continue;
            }
            for entry in Queue::in_force(tx, lane.name(), &queue).await? {
                let lasts = entry.action.expires_us.is_some_and(|ends_us| ends_us > now_us);
                if lasts && !Queue::is_being_undone(tx, &entry.action.id).await? {
                    return Ok(Effect::InForce);
                }
            }
            let newest = Queue::newest(tx, lane.name(), &queue).await?;
            let newest = newest.filter(|(entry, _)| entry.action.created_us >= narrow.since_us);
            let is_coming = match &newest {
                None => narrow.stand == Stand::Active && narrow.held.is_none(),
                Some((entry, State::DryRun)) if entry.action.expires_us.is_some_and(|ends_us| ends_us > now_us) => {
                    return Ok(Effect::InForce);
                }
                // A first attempt that failed moves the next one.
                Some((entry, State::Pending)) => {
                    let is_new = now_us.saturating_sub(entry.action.created_us) < PATIENCE_US;
                    is_new && entry.next_attempt_us <= entry.action.created_us
                }
                Some((_, state)) => *state == State::Awaiting,
            };
            if is_coming {
                effect = Effect::Coming;
            }
        }
        Ok(effect)
    }
}

/// What has come of a narrow way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    InForce,
    Coming,
    None,
}
