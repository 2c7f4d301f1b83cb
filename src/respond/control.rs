//! The control loop: what is wanted against what is in force, until they agree.
//!
//! A pass looks at every wanted containment and every target that does its kind: what is missing is applied, what is half over
//! while the attack goes on is renewed, what nobody wants any more is undone. From time to time the targets are read
//! back, so that what was changed behind our back is repaired.
//! Promises: a pass is one transaction and is idempotent: after a crash, a restart or a changed configuration the next one
//! converges. What a rail refused is looked at again in the next pass, and told once. Nobody is contained while the kill
//! switch is pulled; with `lift` what is in force is undone.
//! Never: speaks to a target but to read it back; what is to be done goes through the outbox.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use schemas::incident::Status;
use tokio::sync::watch;

use super::action::{Action, Kind, Op, State, StepKind, hex_id};
use super::guard::{Behind, Circumstances, Reason, Verdict};
use super::halt::{self, Live};
use super::incident::book;
use super::message;
use super::outbox::{HOUR_US, Lane, Outbox, TakenIn, insert, locked, micros};
use super::plan;
use super::queue::{Entry, NewStep, Queue, Tx};
use super::scope::Scope;
use super::wanted::{self, Stand, Wanted};
use crate::metric;
use crate::store::StoreError;

/// Wanted containments looked at in one pass; far above any budget.
const WANTED_MAX: u32 = 10_000;
const QUIET_MAX: u32 = 1_000;
/// What a rail refused is looked at again after this time.
const HELD_AGAIN_US: i64 = 1_000_000;
/// Why somebody is not contained yet.
pub(super) const LOOKING: &str = "who else is behind it is being looked up";
/// For so long an answer about who is behind an address holds.
const BEHIND_KEPT_US: i64 = 600_000_000;
const BEHIND_TIMEOUT: Duration = Duration::from_secs(5);
/// Answers that are remembered; all are forgotten beyond.
const BEHIND_MAX: usize = 10_000;
/// What ends this soon is not worth a repair.
const NEAR_END_US: i64 = 2_000_000;
/// The pause after the state store failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What a pass found to be done later.
struct Pass {
    now_us: i64,
    live: Arc<Live>,
    taken: TakenIn,
    /// When something is due next.
    next_us: i64,
    /// Who has to be looked up before they can be judged.
    unknown: Vec<Scope>,
    in_force: HashSet<String>,
    /// Offenders that were let through in the last hour, by their queues: those of a dry run, and the others.
    offenders: [HashSet<String>; 2],
    held: u64,
}

impl Pass {
    fn new(now_us: i64, live: Arc<Live>) -> Pass {
        Pass {
            now_us,
            live,
            taken: TakenIn { pending: 0, new: Vec::new() },
            next_us: now_us.saturating_add(HOUR_US),
            unknown: Vec::new(),
            in_force: HashSet::new(),
            offenders: [HashSet::new(), HashSet::new()],
            held: 0,
        }
    }

    /// How many there were besides this one.
    fn offenders_besides(&self, queue: &str, dry_run: bool) -> u32 {
        let all = &self.offenders[usize::from(!dry_run)];
        u32::try_from(all.len() - usize::from(all.contains(queue))).unwrap_or(u32::MAX)
    }
}

impl Outbox {
    /// Keeps the targets as they are wanted until told to stop.
    pub(super) async fn control(&self, mut stop: watch::Receiver<bool>) {
        let mut next_us = i64::MIN;
        let mut first = true;
        while !*stop.borrow() {
            let now_us = (self.clock)();
            let pause = match self.beat(now_us, &mut next_us, first).await {
                Ok(()) => halt::LOOK_EVERY,
                Err(error) => {
                    tracing::error!(%error, "what is wanted cannot be held against what is in force; it is tried again");
                    STORE_PAUSE
                }
            };
            first = false;
            tokio::select! {
                _ = stop.changed() => {}
                () = self.wake.notified() => next_us = i64::MIN,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One look: what people changed, what has become quiet, what is due.
    async fn beat(&self, now_us: i64, next_us: &mut i64, first: bool) -> Result<(), StoreError> {
        let changed = self.changes.refresh(now_us).await? | self.guard.refresh();
        if changed || first {
            self.lanes.iter().for_each(|lane| lane.wake.notify_one());
        }
        let drifted = self.read_back_due(now_us).await?;
        if changed || first || drifted || now_us >= *next_us {
            *next_us = self.pass(changed || first).await?;
        }
        Ok(())
    }

    /// One whole pass; when the next one is due. `rails`: what is in force is held against the rails, too.
    pub async fn pass(&self, rails: bool) -> Result<i64, StoreError> {
        loop {
            let now_us = (self.clock)();
            let mut tx = self.queue.begin().await?;
            let mut pass = Pass::new(now_us, self.changes.live());
            pass.offenders = Queue::offenders_since(&mut tx, now_us.saturating_sub(HOUR_US)).await?;
            self.close_quiet(&mut tx, &mut pass).await?;
            if rails {
                self.hold_against_rails(&mut tx, &mut pass).await?;
            }
            for wanted in wanted::all(&mut tx, WANTED_MAX).await? {
                self.converge(&mut tx, &wanted, &mut pass).await?;
            }
            Queue::commit(tx).await?;
            pass.taken.new.iter().for_each(|(action, steps)| self.say(action, steps));
            if !pass.taken.new.is_empty() {
                self.lanes.iter().for_each(|lane| lane.wake.notify_one());
            }
            metrics::gauge!(metric::CONTAINED).set(pass.in_force.len() as f64);
            metrics::gauge!(metric::HELD).set(pass.held as f64);
            if pass.unknown.is_empty() {
                return Ok(pass.next_us);
            }
            self.look_behind(&pass.unknown, now_us).await;
        }
    }

    async fn close_quiet(&self, tx: &mut Tx, pass: &mut Pass) -> Result<(), StoreError> {
        let quiet_us = micros(self.config.incidents.quiet);
        for row in book::quiet(tx, pass.now_us.saturating_sub(quiet_us), QUIET_MAX).await? {
            self.close(tx, row, pass.now_us, &mut pass.taken).await?;
        }
        if let Some(next_us) = book::next_quiet(tx).await? {
            pass.next_us = pass.next_us.min(next_us.saturating_add(quiet_us));
        }
        Ok(())
    }

    /// What is in force and may no longer be is undone: a changed list, a switch to dry run, the kill switch.
    async fn hold_against_rails(&self, tx: &mut Tx, pass: &mut Pass) -> Result<(), StoreError> {
        for lane in &self.lanes {
            for entry in Queue::all_in_force(tx, lane.name()).await? {
                let why = self.no_longer(lane, &entry.action, pass);
                if let Some(why) = why {
                    self.undo(tx, lane, &entry, &why, pass).await?;
                }
            }
            for (entry, state) in Queue::all_unsent(tx, lane.name()).await? {
                if let Some(why) = self.no_longer(lane, &entry.action, pass) {
                    self.cancel(tx, lane, &entry, state, &why, pass).await?;
                }
            }
        }
        Ok(())
    }

    fn no_longer(&self, lane: &Lane, action: &Action, pass: &Pass) -> Option<String> {
        if let Some(halt) = pass.live.halt.as_ref().filter(|halt| halt.lift) {
            return Some(format!("halted by {}: {}", halt.actor, halt.reason));
        }
        if self.is_dry(lane) {
            return Some("the target was switched to dry run".to_owned());
        }
        // Age is no reason to undo: a block outlives the news of its attack.
        let still = self.guard.may_still(action, &pass.live.never, action.about_us);
        still.err().map(|(_, words)| words)
    }

    async fn converge(&self, tx: &mut Tx, wanted: &Wanted, pass: &mut Pass) -> Result<(), StoreError> {
        let queue = wanted.queue();
        // Of a flood most are here: there is still no room, and nothing else has to be known.
        let besides = pass.offenders_besides(&queue, wanted.dry_run);
        let is_full = self.guard.refused_by_budget(wanted.severity, besides);
        if wanted.stand == Stand::Active && wanted.held.is_some() && wanted.held == is_full {
            pass.held += 1;
            pass.next_us = pass.next_us.min(pass.now_us + HELD_AGAIN_US);
            return Ok(());
        }
        let incident = book::row(tx, &wanted.incident_id).await?;
        let over = incident.as_ref().is_none_or(|row| row.status == Status::Closed);
        let (mut anything, mut held) = (false, None);
        for lane in self.lanes.iter().filter(|lane| lane.common.kinds.contains(&wanted.kind)) {
            if let Some(row) = &incident {
                let change = super::incident::Change { row: row.clone(), event: None, alert: None };
                if !lane.common.when.holds(&plan::case(&change, 0, pass.now_us)) {
                    continue;
                }
            }
            if wanted.stand == Stand::Lift {
                anything |= self.lift(tx, lane, &queue, "nobody wants it any more", pass).await?;
                continue;
            }
            let newest = Queue::newest(tx, lane.name(), &queue).await?;
            let need = self.need(wanted, newest.as_ref(), pass);
            anything |= need.stands;
            if let Some(expires_us) = need.apply_until_us {
                let nth = newest.as_ref().map_or(0, |(entry, _)| entry.n);
                let action = wanted::action(
                    wanted,
                    lane.name(),
                    nth,
                    Op::Apply,
                    wanted.dry_run || self.is_dry(lane),
                    pass.now_us,
                );
                let action = Action { renews: need.renews, expires_us: Some(expires_us), ..action };
                let why = self.apply(tx, wanted, action, pass).await?;
                anything |= why.as_deref().is_none_or(|why| why == LOOKING);
                held = held.or(why);
            }
        }
        if held.is_some() {
            pass.held += 1;
            pass.next_us = pass.next_us.min(pass.now_us + HELD_AGAIN_US);
        }
        if held != wanted.held {
            wanted::hold(tx, wanted, held.as_deref()).await?;
        }
        // A lifted one is remembered until its incident is over, so that the next alert does not ask for it again.
        let ended = wanted.stand != Stand::Active && !anything && (over || wanted.stand == Stand::Ending);
        if ended {
            wanted::drop(tx, wanted).await?;
        }
        Ok(())
    }

    /// What this target needs for it.
    fn need(&self, wanted: &Wanted, newest: Option<&(Entry, State)>, pass: &mut Pass) -> Need {
        let now_us = pass.now_us;
        let whole_us = now_us.saturating_add(wanted.ttl_us);
        let active = wanted.stand == Stand::Active;
        // An attack that was over before anybody could act still has its time.
        let rest_us = wanted.attack_us.max(wanted.since_us).saturating_add(wanted.ttl_us);
        let missed = (rest_us > now_us + NEAR_END_US).then_some(rest_us);
        let Some((entry, state)) = newest.filter(|(entry, _)| entry.action.created_us >= wanted.since_us) else {
            let apply_until_us = if active { Some(whole_us) } else { missed };
            return Need { stands: false, apply_until_us, renews: false };
        };
        let ends_us = entry.action.expires_us.unwrap_or(i64::MIN);
        match state {
            State::Pending | State::Awaiting | State::Parked => Need { stands: true, ..Need::default() },
            State::Delivered | State::DryRun if ends_us > now_us => {
                pass.in_force.insert(wanted.queue());
                // Half of it left: time enough to renew it before it ends.
                let renew_us = ends_us.saturating_sub(wanted.ttl_us / 2);
                let due = active && now_us >= renew_us;
                pass.next_us = pass.next_us.min(if active { renew_us.max(now_us + 1) } else { ends_us });
                Need { stands: true, apply_until_us: due.then_some(whole_us), renews: true }
            }
            // It was taken away behind our back, before its end.
            State::Expired if !active && ends_us > now_us + NEAR_END_US => {
                Need { stands: false, apply_until_us: Some(ends_us), renews: true }
            }
            // Refused so far: there may be room by now.
            State::Suppressed if !active => Need { stands: false, apply_until_us: missed, renews: false },
            _ => Need { stands: false, apply_until_us: active.then_some(whole_us), renews: false },
        }
    }

    /// Makes the action durable if the rails let it pass; else why not.
    async fn apply(
        &self,
        tx: &mut Tx,
        wanted: &Wanted,
        action: Action,
        pass: &mut Pass,
    ) -> Result<Option<String>, StoreError> {
        if let Some(halt) = &pass.live.halt {
            return Ok(Some(format!("halted by {}: {}", halt.actor, halt.reason)));
        }
        let offenders = pass.offenders_besides(&action.queue, action.dry_run);
        let around = Circumstances {
            now_us: pass.now_us,
            severity: wanted.severity,
            offenders_last_hour: offenders,
            never: &pass.live.never,
        };
        let mut verdict = self.guard.judge(&action, &around);
        if matches!(verdict, Verdict::Send | Verdict::DryRun) && !action.renews {
            match self.preflight(&action, pass) {
                Preflight::Unknown => return Ok(Some(LOOKING.to_owned())),
                Preflight::Known(Verdict::Send) if wanted.approve && verdict == Verdict::Send => {
                    verdict = Verdict::Ask("the policy asks for a person's word".to_owned());
                }
                Preflight::Known(Verdict::Send) => {}
                Preflight::Known(refusal) => verdict = self.narrower(tx, wanted, refusal).await?,
            }
        }
        match &verdict {
            Verdict::Suppress(_, words) if wanted.held.as_deref() == Some(words) => return Ok(Some(words.clone())),
            Verdict::Suppress(..) | Verdict::Send | Verdict::DryRun | Verdict::Ask(_) => {}
        }
        let why = match &verdict {
            Verdict::Suppress(_, words) => Some(words.clone()),
            _ => None,
        };
        if matches!(verdict, Verdict::Send | Verdict::DryRun) && !action.renews {
            pass.offenders[usize::from(!action.dry_run)].insert(action.queue.clone());
        }
        if !Queue::knows(tx, &action.id).await? {
            let steps = insert(tx, &action, verdict).await?;
            pass.taken.new.push((action, steps));
        }
        Ok(why)
    }

    fn preflight(&self, action: &Action, pass: &mut Pass) -> Preflight {
        let (Some(scope), true) = (Scope::of(action), self.bystanders.is_some()) else {
            return Preflight::Known(Verdict::Send);
        };
        match locked(&self.behind).get(&scope.to_string()) {
            Some((at_us, found)) if pass.now_us.saturating_sub(*at_us) < BEHIND_KEPT_US => match found {
                Ok(behind) => Preflight::Known(self.guard.judge_shared(behind)),
                Err(error) => Preflight::Known(Verdict::Ask(format!("nobody knows who else is behind it: {error}"))),
            },
            _ => {
                pass.unknown.push(scope);
                Preflight::Unknown
            }
        }
    }

    async fn look_behind(&self, scopes: &[Scope], now_us: i64) {
        let Some(bystanders) = &self.bystanders else { return };
        for scope in scopes {
            let asked = tokio::time::timeout(BEHIND_TIMEOUT, bystanders.behind(scope, now_us)).await;
            let found: Result<Behind, String> =
                asked.unwrap_or_else(|_| Err(format!("no answer within {BEHIND_TIMEOUT:?}")));
            let mut known = locked(&self.behind);
            if known.len() >= BEHIND_MAX {
                known.clear();
            }
            known.insert(scope.to_string(), (now_us, found));
        }
    }

    /// A block that would hit others gives way to taking the attacker's own credentials, where some target does that.
    async fn narrower(&self, tx: &mut Tx, wanted: &Wanted, refusal: Verdict) -> Result<Verdict, StoreError> {
        let (Verdict::Ask(words) | Verdict::Suppress(_, words)) = &refusal else { return Ok(refusal) };
        if wanted.kind != Kind::Block {
            return Ok(refusal);
        }
        let Some(alert) = serde_json::from_slice::<schemas::Message>(&wanted.body).ok().and_then(|m| m.alert) else {
            return Ok(refusal);
        };
        let able = |kind: &Kind| self.lanes.iter().any(|lane| lane.common.kinds.contains(kind));
        for kind in [Kind::Revoke, Kind::Throttle].into_iter().filter(|kind| able(kind)) {
            if let Some(entity) = plan::entity_for(&alert, kind, self.config.guard.ipv6_prefix) {
                let words = format!(
                    "{words}; {} of {} {} instead",
                    kind.name(),
                    entity.kind,
                    message::shorten(&entity.value, 80)
                );
                let narrow =
                    Wanted { kind, entity_kind: entity.kind, entity_value: entity.value, held: None, ..wanted.clone() };
                wanted::want(tx, &narrow).await?;
                self.wake.notify_one();
                return Ok(Verdict::Suppress(Reason::Shared, words));
            }
        }
        Ok(refusal)
    }

    /// Cancels what waits and undoes what is in force; whether anything is left to wait for.
    async fn lift(
        &self,
        tx: &mut Tx,
        lane: &Lane,
        queue: &str,
        why: &str,
        pass: &mut Pass,
    ) -> Result<bool, StoreError> {
        let mut left = false;
        for (entry, state) in Queue::unsent(tx, lane.name(), queue).await? {
            self.cancel(tx, lane, &entry, state, why, pass).await?;
        }
        for entry in Queue::in_force(tx, lane.name(), queue).await? {
            left = true;
            self.undo(tx, lane, &entry, why, pass).await?;
        }
        Ok(left || Queue::reverts_waiting(tx, lane.name(), queue).await?)
    }

    /// It is not sent; where an attempt may have had its effect, that is undone.
    async fn cancel(
        &self,
        tx: &mut Tx,
        lane: &Lane,
        entry: &Entry,
        state: State,
        why: &str,
        pass: &mut Pass,
    ) -> Result<(), StoreError> {
        let step = NewStep::new(StepKind::Cancelled, why);
        if Queue::settle_in(tx, entry, state, State::Cancelled, pass.now_us, step.clone()).await? {
            pass.taken.new.push((entry.action.clone(), vec![step]));
            if entry.attempts > 0 {
                self.undo(tx, lane, entry, why, pass).await?;
            }
        }
        Ok(())
    }

    /// Plans the undoing of an action, once at a time.
    async fn undo(
        &self,
        tx: &mut Tx,
        lane: &Lane,
        entry: &Entry,
        why: &str,
        pass: &mut Pass,
    ) -> Result<(), StoreError> {
        let Some(nth) = Queue::next_revert(tx, &entry.action.id).await? else { return Ok(()) };
        let action = Action {
            id: hex_id(&["revert", &entry.action.id, &nth.to_string()]),
            op: Op::Revert,
            undoes: Some(entry.action.id.clone()),
            dry_run: false,
            created_us: pass.now_us,
            about_us: pass.now_us,
            expires_us: None,
            renews: false,
            target: lane.name().to_owned(),
            ..entry.action.clone()
        };
        let steps = vec![NewStep::new(StepKind::Planned, format!("undoes {}: {why}", entry.action.id))];
        Queue::insert(tx, &action, State::Pending, &steps).await?;
        pass.taken.new.push((action, steps));
        Ok(())
    }

    /// What ends at a target that does not end it by itself is undone there.
    pub(super) async fn undo_ended(&self, lane: &Lane, entries: &[Entry], now_us: i64) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut tx = self.queue.begin().await?;
        let mut pass = Pass::new(now_us, self.changes.live());
        for entry in entries {
            // What came after it stands in its place, or is about to; then that one's end counts.
            let newest = Queue::newest(&mut tx, lane.name(), &entry.action.queue).await?;
            match newest.filter(|(newer, _)| newer.n > entry.n) {
                Some((_, State::Pending | State::Awaiting)) => {}
                Some((newer, State::Delivered)) => {
                    let step = NewStep::new(StepKind::Expired, format!("renewed by {}", newer.action.id));
                    Queue::settle_in(&mut tx, entry, State::Delivered, State::Expired, now_us, step).await?;
                }
                _ => self.undo(&mut tx, lane, entry, "its time is over", &mut pass).await?,
            }
        }
        Queue::commit(tx).await
    }

    /// Reads every target back now, whosever turn it is.
    pub async fn reconcile(&self) -> Result<(), StoreError> {
        for lane in &self.lanes {
            self.read_back(lane, (self.clock)()).await?;
        }
        Ok(())
    }

    /// Reads back the targets whose turn it is; true when something was not as it should be.
    async fn read_back_due(&self, now_us: i64) -> Result<bool, StoreError> {
        let mut drifted = false;
        for lane in &self.lanes {
            if !lane.common.kinds.iter().any(|kind| kind.contains()) || self.is_dry(lane) {
                continue;
            }
            {
                let mut next_us = locked(&lane.read_next_us);
                if now_us < *next_us {
                    continue;
                }
                *next_us = now_us.saturating_add(micros(self.config.reconcile_every));
            }
            drifted |= self.read_back(lane, now_us).await?;
        }
        Ok(drifted)
    }

    /// Holds one target's own list against ours.
    pub(super) async fn read_back(&self, lane: &Lane, now_us: i64) -> Result<bool, StoreError> {
        // Before the list is asked for: what is delivered meanwhile is no drift.
        let mut tx = self.queue.begin().await?;
        let ours = Queue::all_in_force(&mut tx, lane.name()).await?;
        let ended = Queue::ended_since(&mut tx, lane.name(), now_us.saturating_sub(HOUR_US)).await?;
        Queue::commit(tx).await?;
        if ours.is_empty() && ended.is_empty() {
            return Ok(false);
        }
        let asked = tokio::time::timeout(self.delivery.timeout, lane.target.read_back(now_us)).await;
        let there = match asked.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.delivery.timeout))) {
            Ok(Some(there)) => there,
            Ok(None) => return Ok(false),
            Err(error) => {
                tracing::warn!(target = lane.name(), error, "what is in force cannot be read back; it is tried again");
                return Ok(false);
            }
        };
        let there: HashSet<(Option<Kind>, String)> =
            there.into_iter().map(|entry| (entry.kind, entry.entity)).collect();
        // A list that ran out of room holds some of ours as one network.
        let names = there.iter().filter_map(|(_, text)| Scope::parse(text));
        let networks: Vec<Scope> = names.filter(|scope| !scope.is_address()).collect();
        let is_named = |kind: Kind, name: &str| {
            [None, Some(kind)].into_iter().any(|kind| there.contains(&(kind, name.to_owned())))
        };
        let is_there = |kind: Kind, name: &str| {
            let within = |scope: Scope| networks.iter().any(|network| network.contains(&scope));
            is_named(kind, name) || Scope::parse(name).is_some_and(within)
        };
        let mut tx = self.queue.begin().await?;
        let mut pass = Pass::new(now_us, self.changes.live());
        let name = |action: &Action| Scope::of(action).map_or_else(|| action.entity_value.clone(), |s| s.to_string());
        let held: HashSet<(Kind, String)> = ours.iter().map(|entry| (entry.action.kind, name(&entry.action))).collect();
        for entry in ours {
            let lasts = entry.action.expires_us.is_some_and(|ends| ends > now_us + NEAR_END_US);
            if lasts && !is_there(entry.action.kind, &name(&entry.action)) {
                let step = NewStep::new(StepKind::Drifted, "it is not there any more, and not by us");
                if Queue::settle_in(&mut tx, &entry, State::Delivered, State::Expired, now_us, step.clone()).await? {
                    metrics::counter!(metric::DRIFTED, "target" => lane.name().to_owned()).increment(1);
                    pass.taken.new.push((entry.action, vec![step]));
                }
            }
        }
        for entry in ended {
            let name = name(&entry.action);
            let kind = entry.action.kind;
            if is_named(kind, &name) && !held.contains(&(kind, name)) {
                metrics::counter!(metric::DRIFTED, "target" => lane.name().to_owned()).increment(1);
                self.undo(&mut tx, lane, &entry, "it is still there, or there again", &mut pass).await?;
            }
        }
        Queue::commit(tx).await?;
        pass.taken.new.iter().for_each(|(action, steps)| self.say(action, steps));
        if !pass.taken.new.is_empty() {
            lane.wake.notify_one();
        }
        Ok(!pass.taken.new.is_empty())
    }
}

#[derive(Default)]
struct Need {
    /// It is in force there, or on its way.
    stands: bool,
    /// It is to be applied, to last until then.
    apply_until_us: Option<i64>,
    renews: bool,
}

enum Preflight {
    Unknown,
    Known(Verdict),
}
