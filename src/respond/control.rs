//! The control loop: what is wanted against what is in force, until they agree.
//!
//! A pass looks at every wanted containment and every target that does its kind: what is missing is applied, what is half over
//! while the attack goes on is renewed, what nobody wants any more is undone (`undo.rs`).
//! Promises: a pass is idempotent, and so is each of its transactions: after a crash, a restart or a changed configuration the
//! next one converges. Letting go comes first, and what people change is heeded in the middle of a pass, however much is
//! wanted. What a rail refused is looked at again in the next pass, and told once. Nobody is contained while the kill switch
//! is pulled; with `lift` what is in force is undone.
//! Never: waits for a target or for the lake; what is to be done goes through the outbox, what is to be known is asked for
//! beside it (`preflight.rs`, `read_back.rs`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use super::action::{Action, Kind, Op, State};
use super::breaker::{STALE_US_MAX, lies_ahead};
use super::guard::{Circumstances, LITTLE, Reason, Verdict};
use super::halt::{self, Live};
use super::incident::{Row, book};
use super::message;
use super::narrow::Narrower;
use super::neighbours::{PART, is_kept_otherwise};
use super::outbox::{HOUR_US, Lane, Outbox, TakenIn, insert, micros};
use super::plan;
use super::preflight::{Grasp, LITTLE_TTL_US, Question, WAIT_US};
use super::queue::{Entry, Queue, Tx};
use super::replan::UNDECIDED;
use super::scope::{RANGE, Scope};
use super::undo::{POLICY_ASKS, had_its_time};
use super::wanted::{self, Brief, Stand, Wanted};
use crate::metric;
use crate::store::StoreError;

/// Rows of what is wanted that one transaction looks at: what people change is heeded between two of them.
const AT_ONCE: usize = 200;
const QUIET_MAX: u32 = 100;
/// What a rail refused is looked at again after this time.
const HELD_AGAIN_US: i64 = 1_000_000;
/// An undoing that was given up on is tried again after this time.
pub(super) const UNDO_AGAIN_US: i64 = 60_000_000;
/// Why somebody is not contained yet.
pub(super) const LOOKING: &str = "who else is behind it is being looked up";
const UNHEARD: &str = "no events come any more, so nobody can say that the attack goes on";
/// What ends this soon is not worth a repair.
pub(super) const NEAR_END_US: i64 = 2_000_000;
/// The pause after the state store failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// What a pass found to be done later.
pub(super) struct Pass {
    pub now_us: i64,
    pub live: Arc<Live>,
    pub taken: TakenIn,
    /// When something is due next.
    pub next_us: i64,
    /// Who has to be looked up before they can be judged.
    unknown: Vec<Question>,
    in_force: HashSet<String>,
    /// Offenders that were let through in the last hour, by their queues: those of a dry run, and the others.
    offenders: [HashSet<String>; 2],
    /// Ranges that are wanted in place of their parts (`neighbours.rs`).
    pub ranges: Vec<Scope>,
    held: u64,
    /// Of those, for whom the budget has no room.
    no_room: u64,
}

impl Pass {
    pub fn new(now_us: i64, live: Arc<Live>) -> Pass {
        Pass {
            now_us,
            live,
            taken: TakenIn { pending: 0, new: Vec::new() },
            next_us: now_us.saturating_add(UNDO_AGAIN_US),
            unknown: Vec::new(),
            in_force: HashSet::new(),
            offenders: [HashSet::new(), HashSet::new()],
            ranges: Vec::new(),
            held: 0,
            no_room: 0,
        }
    }

    /// How many stand before this one: nobody, where it is one of them and has its place already.
    fn offenders_before(&self, queue: &str, dry_run: bool) -> u32 {
        let all = &self.offenders[usize::from(!dry_run)];
        if all.contains(queue) { 0 } else { u32::try_from(all.len()).unwrap_or(u32::MAX) }
    }

    /// How many there were outside a range: those in it are the same offender.
    fn offenders_outside(&self, range: &Scope, dry_run: bool) -> u32 {
        let scope = |queue: &String| Scope::parse(queue.strip_prefix("block:")?);
        let all = self.offenders[usize::from(!dry_run)].iter();
        u32::try_from(all.filter(|queue| scope(queue).is_none_or(|scope| !range.contains(&scope))).count())
            .unwrap_or(u32::MAX)
    }
}

impl Outbox {
    /// Keeps the targets as they are wanted until told to stop. Look-ups and reading back go on beside it.
    pub(super) async fn control(&self, stop: watch::Receiver<bool>) {
        let beside =
            (self.keep_asking(stop.clone()), self.keep_learning(stop.clone()), self.keep_reading_back(stop.clone()));
        tokio::join!(self.keep(stop), beside.0, beside.1, beside.2);
    }

    async fn keep(&self, mut stop: watch::Receiver<bool>) {
        let (mut next_us, mut rails) = (i64::MIN, true);
        while !*stop.borrow() {
            let pause = match self.beat(&mut next_us, &mut rails).await {
                Ok(()) => halt::LOOK_EVERY,
                Err(error) => {
                    tracing::error!(%error, "what is wanted cannot be held against what is in force; it is tried again");
                    // What people changed was read, and perhaps not heeded.
                    rails = true;
                    STORE_PAUSE
                }
            };
            tokio::select! {
                _ = stop.changed() => {}
                () = self.wake.notified() => next_us = i64::MIN,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One look: what people changed, what has become quiet, what is due. `rails` holds until they were looked at.
    pub(super) async fn beat(&self, next_us: &mut i64, rails: &mut bool) -> Result<(), StoreError> {
        let now_us = (self.clock)();
        *rails |= self.changes.refresh(now_us).await? | self.guard.refresh();
        if self.decides_otherwise_now(now_us) {
            *next_us = i64::MIN;
        }
        self.tell_whom_we_keep_out(now_us).await?;
        if *rails {
            self.lanes.iter().for_each(|lane| lane.wake.notify_one());
        }
        if *rails || !lies_ahead(now_us, *next_us, UNDO_AGAIN_US) {
            let pass = self.pass_once(*rails).await?;
            (*next_us, *rails) = (pass.next_us, false);
            self.ask_behind(pass.unknown);
        }
        Ok(())
    }

    /// Passes until everybody is looked up who has to be; when the next one is due. `rails`: what is in force is held against
    /// the rails, too.
    pub async fn pass(&self, rails: bool) -> Result<i64, StoreError> {
        loop {
            let pass = self.pass_once(rails).await?;
            if pass.unknown.is_empty() {
                return Ok(pass.next_us);
            }
            self.find_behind(&pass.unknown).await;
        }
    }

    /// One whole pass. Who is to be let go comes first and is durable before anything else is looked at.
    async fn pass_once(&self, rails: bool) -> Result<Pass, StoreError> {
        let mut pass = Pass::new((self.clock)(), self.changes.live());
        self.let_go(&mut pass, rails).await?;
        self.plan_anew(&mut pass).await?;
        let mut tx = self.queue.begin().await?;
        // What is dated further ahead tells of a clock that was set back since.
        let hour = (pass.now_us.saturating_sub(HOUR_US), pass.now_us.saturating_add(STALE_US_MAX));
        pass.offenders = Queue::offenders_in(&mut tx, hour).await?;
        self.close_quiet(&mut tx, &mut pass).await?;
        let all = self.gather(&mut tx, &mut pass).await?;
        self.commit(tx, &mut pass).await?;
        let mut all = all.into_iter().peekable();
        while all.peek().is_some() {
            // A person does not wait for the end of a long list.
            if self.changes.refresh((self.clock)()).await? {
                pass.live = self.changes.live();
                self.let_go(&mut pass, true).await?;
            }
            pass.now_us = (self.clock)();
            let mut tx = self.queue.begin().await?;
            let mut looked_at = 0;
            while looked_at < AT_ONCE
                && let Some(brief) = all.next()
            {
                if !self.still_has_no_room(&brief, &mut pass)
                    && let Some(wanted) = wanted::row(&mut tx, &brief).await?
                {
                    self.converge(&mut tx, &wanted, &mut pass).await?;
                    looked_at += 1;
                }
            }
            self.commit(tx, &mut pass).await?;
        }
        metrics::gauge!(metric::CONTAINED).set(pass.in_force.len() as f64);
        metrics::gauge!(metric::HELD).set(pass.held as f64);
        self.no_room.store(pass.no_room, Ordering::Relaxed);
        Ok(pass)
    }

    /// Undoes what a rail or a person says no to.
    pub(super) async fn let_go(&self, pass: &mut Pass, rails: bool) -> Result<(), StoreError> {
        let mut tx = self.queue.begin().await?;
        if rails {
            self.hold_against_rails(&mut tx, pass).await?;
        }
        self.look_at_parked(&mut tx, pass).await?;
        let all = wanted::lifted(&mut tx).await?;
        self.let_ranges_go(&mut tx, &all).await?;
        let all = wanted::lifted(&mut tx).await?;
        self.commit(tx, pass).await?;
        for some in all.chunks(AT_ONCE) {
            let mut tx = self.queue.begin().await?;
            for brief in some {
                if let Some(wanted) = wanted::row(&mut tx, brief).await? {
                    self.converge(&mut tx, &wanted, pass).await?;
                }
            }
            self.commit(tx, pass).await?;
        }
        Ok(())
    }

    /// Makes it durable, and tells of it.
    pub(super) async fn commit(&self, tx: Tx, pass: &mut Pass) -> Result<(), StoreError> {
        Queue::commit(tx).await?;
        let new = std::mem::take(&mut pass.taken.new);
        new.iter().for_each(|(action, steps)| self.say(action, steps));
        if !new.is_empty() {
            self.lanes.iter().for_each(|lane| lane.wake.notify_one());
        }
        Ok(())
    }

    /// Of a flood most are here: the budget is still used up, and nothing else has to be known.
    fn still_has_no_room(&self, brief: &Brief, pass: &mut Pass) -> bool {
        let before = pass.offenders_before(&brief.queue(), brief.dry_run);
        let is_full = self.guard.refused_by_budget(brief.severity, before);
        let is_one = brief.stand == Stand::Active && self.is_range(brief).is_none();
        let no_room = is_one && brief.held.is_some() && brief.held == is_full;
        if no_room {
            pass.held += 1;
            pass.no_room += 1;
            pass.next_us = pass.next_us.min(pass.now_us + HELD_AGAIN_US);
        }
        no_room
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

    async fn converge(&self, tx: &mut Tx, wanted: &Wanted, pass: &mut Pass) -> Result<(), StoreError> {
        let queue = wanted.queue();
        let incidents = wanted::incidents(tx, wanted).await?;
        if wanted.stand == Stand::Lift && is_kept_otherwise(tx, wanted).await? {
            return Ok(());
        }
        // The parts of a range stand for themselves.
        let is_range = wanted.entity_kind == RANGE;
        let is_dropped = wanted.stand == Stand::Ending && (is_range || wanted::is_dropped(tx, wanted).await?);
        if is_dropped && is_kept_otherwise(tx, wanted).await? {
            return wanted::finish(tx, wanted).await;
        }
        let (mut anything, mut held, mut part, mut waits_for_release) = (false, None, None, false);
        for lane in self.lanes.iter().filter(|lane| lane.common.kinds.contains(&wanted.kind)) {
            if wanted.stand == Stand::Lift {
                anything |= self.lift(tx, lane, &queue, "nobody wants it any more", pass).await?;
                continue;
            }
            if is_dropped {
                let lasts = self.begin_no_more(tx, lane, &queue, pass).await?;
                anything |= lasts;
                if lasts {
                    pass.in_force.insert(queue.clone());
                }
                continue;
            }
            if !incidents.is_empty() && !incidents.iter().any(|row| self.is_meant(lane, row, pass.now_us)) {
                anything |= self.lift_judged(tx, lane, &queue, pass).await?;
                continue;
            }
            if let Some(range) = self.within_range(tx, lane, wanted, pass).await? {
                (anything, part) = (true, Some(format!("{PART}{range}")));
                continue;
            }
            let dry_run = wanted.dry_run || self.is_dry(lane);
            if let Some(narrower) = self.narrower_way(tx, wanted, dry_run, pass).await? {
                let words = match narrower {
                    // An attack that is over before it was needed leaves nothing to come back to.
                    Narrower::InForce(words) => {
                        anything |= self.lift(tx, lane, &queue, &words, pass).await?;
                        anything |= wanted.stand == Stand::Active;
                        words
                    }
                    Narrower::Coming(words) => {
                        anything = true;
                        pass.next_us = pass.next_us.min(pass.now_us + HELD_AGAIN_US);
                        words
                    }
                };
                part = Some(words);
                continue;
            }
            let newest = Queue::newest(tx, lane.name(), &queue).await?;
            let is_over = match &newest {
                Some((entry, State::Reverted)) if wanted.stand != Stand::Active => {
                    had_its_time(tx, &entry.action).await?
                }
                Some((entry, State::Awaiting)) => {
                    self.ask_no_more(tx, lane, entry, wanted, pass).await?;
                    false
                }
                _ => false,
            };
            let need = match is_over {
                true => Need::default(),
                false => self.need(wanted, newest.as_ref(), dry_run, pass),
            };
            if let Some((entry, _)) = newest.as_ref().filter(|_| need.in_force)
                && !Queue::is_being_undone(tx, &entry.action.id).await?
            {
                pass.in_force.insert(queue.clone());
            }
            if let Some((entry, _)) = newest.as_ref().filter(|_| need.overlong) {
                self.undo(tx, lane, entry, "the clock was set back, and it would last too long", pass).await?;
            }
            anything |= need.stands;
            if wanted.stand == Stand::Active && !need.stands && need.apply_until_us.is_none() {
                held = Some(UNHEARD.to_owned());
            }
            if let Some(expires_us) = need.apply_until_us {
                let nth = newest.as_ref().map_or(0, |(entry, _)| entry.n);
                let action = wanted::action(wanted, lane.name(), nth, Op::Apply, dry_run, pass.now_us);
                let action = Action { renews: need.renews, expires_us: Some(expires_us), ..action };
                let why = self.apply(tx, wanted, action, pass).await?;
                anything |= why.as_deref().is_none_or(|why| why == LOOKING || why == UNDECIDED);
                waits_for_release |= pass.live.halt.is_some();
                held = held.or(why);
            }
        }
        if held.is_some() {
            pass.held += 1;
            let before = pass.offenders_before(&queue, wanted.dry_run);
            pass.no_room += u64::from(held == self.guard.refused_by_budget(wanted.severity, before));
            // Letting go of the switch is seen anyway.
            let again_us = if pass.live.halt.is_some() { HOUR_US } else { HELD_AGAIN_US };
            pass.next_us = pass.next_us.min(pass.now_us + again_us);
        }
        let held = held.or(part);
        if held != wanted.held {
            wanted::hold(tx, wanted, held.as_deref()).await?;
        }
        // While everything is halted nobody is forgotten who would be kept out without that.
        let ended = match wanted.stand {
            Stand::Active => false,
            Stand::Ending => !anything && !waits_for_release,
            Stand::Lift => !anything,
        };
        if ended {
            wanted::finish(tx, wanted).await?;
        }
        Ok(())
    }

    /// Whether a target is told of what an incident is about.
    fn is_meant(&self, lane: &Lane, row: &Row, now_us: i64) -> bool {
        lane.common.when.holds(&plan::case(row, 0, now_us))
    }

    /// What this target needs for it.
    fn need(&self, wanted: &Wanted, newest: Option<&(Entry, State)>, dry_run: bool, pass: &mut Pass) -> Need {
        let now_us = pass.now_us;
        // Where no events come any more nobody can say that an attack goes on, nor that it is over.
        let heard_us = self.heard_us.load(Ordering::Relaxed).min(now_us);
        let whole_us = heard_us.saturating_add(wanted.ttl_us);
        let active = wanted.stand == Stand::Active && whole_us > now_us;
        // An attack that was over before anybody could act still has its time; but what gave way to something narrower is not begun
        // when that ends.
        let rest_us = wanted.attack_us.max(wanted.since_us).min(now_us).saturating_add(wanted.ttl_us);
        let missed = (wanted.narrower.is_none() && rest_us > now_us + NEAR_END_US).then_some(rest_us);
        // Wanted since a time that is still to come: the clock was set back.
        let is_of_now = |entry: &Entry| entry.action.created_us >= wanted.since_us || wanted.since_us > now_us;
        let Some((entry, state)) = newest.filter(|(entry, _)| is_of_now(entry)) else {
            let apply_until_us = if active { Some(whole_us) } else { missed };
            return Need { apply_until_us, ..Need::default() };
        };
        let ends_us = entry.action.expires_us.unwrap_or(i64::MIN);
        match state {
            State::Pending | State::Awaiting | State::Parked => Need { stands: true, ..Need::default() },
            // What only would have been done stands in the place of nothing that is to be done.
            State::DryRun if !dry_run => Need { apply_until_us: active.then_some(whole_us), ..Need::default() },
            State::Delivered | State::DryRun if ends_us > now_us => {
                // Half of it left: time enough to renew it before it ends.
                let renew_us = ends_us.saturating_sub(wanted.ttl_us / 2);
                // Dated ahead by a clock that was set back since: it would last for as long as that, too.
                let overlong = entry.action.created_us > now_us.saturating_add(STALE_US_MAX);
                let due = active && (overlong || whole_us > ends_us && now_us >= renew_us);
                let next_us = if active && now_us >= renew_us { now_us + HELD_AGAIN_US } else { renew_us };
                pass.next_us = pass.next_us.min(if active { next_us } else { ends_us });
                let apply_until_us = due.then_some(whole_us);
                let overlong = overlong && !active && *state == State::Delivered;
                Need { stands: true, in_force: true, apply_until_us, renews: true, overlong }
            }
            // It was taken away behind our back, before its end.
            State::Expired if !active && ends_us > now_us + NEAR_END_US => {
                Need { apply_until_us: Some(ends_us), renews: true, ..Need::default() }
            }
            // Refused so far: there may be room by now.
            State::Suppressed if !active => Need { apply_until_us: missed, ..Need::default() },
            // Undone by a rail or the kill switch, not because a clock that was set back would have prolonged it.
            State::Cancelled | State::Reverted if !active && entry.action.created_us <= now_us => {
                Need { apply_until_us: missed, ..Need::default() }
            }
            _ => Need { apply_until_us: active.then_some(whole_us), ..Need::default() },
        }
    }

    /// Makes the action durable if the rails let it pass; else why not.
    async fn apply(
        &self,
        tx: &mut Tx,
        wanted: &Wanted,
        mut action: Action,
        pass: &mut Pass,
    ) -> Result<Option<String>, StoreError> {
        if let Some(halt) = &pass.live.halt {
            return Ok(Some(format!("halted by {}: {}", halt.actor, halt.reason)));
        }
        if !action.renews && self.is_undecided(tx, pass.now_us).await? {
            return Ok(Some(UNDECIDED.to_owned()));
        }
        action.id = self.own_id(&action.id);
        let range = Scope::of(&action).filter(|_| action.entity_kind == RANGE);
        let offenders = match &range {
            Some(range) => pass.offenders_outside(range, action.dry_run),
            None => pass.offenders_before(&action.queue, action.dry_run),
        };
        let around = Circumstances {
            now_us: pass.now_us,
            severity: wanted.severity,
            offenders_last_hour: offenders,
            never: &pass.live.never,
        };
        let mut verdict = self.guard.judge(&action, &around);
        if matches!(verdict, Verdict::Send | Verdict::DryRun) && !action.renews {
            let found = self.preflight(wanted, &action, offenders, pass);
            if matches!(found, Preflight::OnLittle(Verdict::Send)) {
                action.expires_us = action.expires_us.map(|at| at.min(pass.now_us.saturating_add(LITTLE_TTL_US)));
                wanted::last_at_most(tx, wanted, LITTLE_TTL_US).await?;
            }
            match found {
                Preflight::Unknown => return Ok(Some(LOOKING.to_owned())),
                Preflight::Known(Verdict::Send) | Preflight::OnLittle(Verdict::Send)
                    if wanted.approve && verdict == Verdict::Send =>
                {
                    verdict = Verdict::Ask(POLICY_ASKS.to_owned());
                }
                Preflight::Known(Verdict::Send) | Preflight::OnLittle(Verdict::Send) => {}
                Preflight::Known(refusal) if range.is_some() => verdict = refusal,
                Preflight::Known(refusal) | Preflight::OnLittle(refusal) => {
                    verdict = self.narrower(tx, wanted, action.dry_run, refusal, pass).await?;
                }
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

    fn preflight(&self, wanted: &Wanted, action: &Action, offenders: u32, pass: &mut Pass) -> Preflight {
        let (Some(scope), true) = (Scope::of(action), self.preflight.asks()) else {
            return Preflight::Known(Verdict::Send);
        };
        let question = Question::of(scope, wanted);
        let waited_us = pass.now_us.abs_diff(wanted.since_us);
        let Some(found) = self.preflight.known(&question, waited_us, pass.now_us) else {
            // No more than could be blocked now: what does not fit is not worth a look at the lake.
            let room = self.guard.room(wanted.severity, offenders);
            let is_asked = pass.unknown.iter().any(|question| question.scope == scope);
            if !is_asked && pass.unknown.len() < usize::try_from(room).unwrap_or(usize::MAX) {
                pass.unknown.push(question);
            }
            return Preflight::Unknown;
        };
        let grasp = |known| question.grasp(known, waited_us);
        if action.entity_kind == RANGE {
            let found = found.and_then(|behind| match grasp(behind.known) {
                Grasp::Day => Ok(behind),
                Grasp::Little | Grasp::NotYet | Grasp::Nothing => Err(LITTLE.to_owned()),
            });
            return Preflight::Known(self.judge_range(found));
        }
        let ask = |why: &str| Preflight::Known(Verdict::Ask(format!("nobody knows who else is behind it: {why}")));
        match found {
            Ok(behind) => match grasp(behind.known) {
                Grasp::Day => Preflight::Known(self.guard.judge_shared(&behind)),
                Grasp::Little => Preflight::OnLittle(self.guard.judge_on_little(&behind, engine_saw(wanted))),
                Grasp::NotYet => Preflight::Unknown,
                Grasp::Nothing => ask("what was read before it is still not stored"),
            },
            Err(_) if waited_us < WAIT_US => Preflight::Unknown,
            Err(error) => ask(&error),
        }
    }

    /// A block that would hit others gives way to taking the attacker's own credentials, where some target does that. Where that
    /// has no effect, it stays refused.
    async fn narrower(
        &self,
        tx: &mut Tx,
        wanted: &Wanted,
        dry_run: bool,
        refusal: Verdict,
        pass: &Pass,
    ) -> Result<Verdict, StoreError> {
        let (Verdict::Ask(words) | Verdict::Suppress(_, words)) = &refusal else { return Ok(refusal) };
        if wanted.kind != Kind::Block {
            return Ok(refusal);
        }
        let Some(alert) = wanted.alert() else { return Ok(refusal) };
        let able = |kind: &Kind| self.lanes.iter().any(|lane| lane.common.kinds.contains(kind));
        for kind in [Kind::Revoke, Kind::Throttle].into_iter().filter(|kind| able(kind)) {
            let entity = plan::entity_for(&alert, kind, self.config.guard.ipv6_prefix);
            if let Some(entity) = entity.filter(|it| !self.config.guard.never_principals.contains(&it.value)) {
                let words = format!(
                    "{words}; {} of {} {} instead",
                    kind.name(),
                    entity.kind,
                    message::shorten(&entity.value, 80)
                );
                let wide = Wanted { narrower: Some(entity.value.clone()), ..wanted.clone() };
                wanted::give_way(tx, wanted, &entity.value).await?;
                let (entity_kind, entity_value) = (entity.kind, entity.value);
                let narrow = Wanted {
                    kind,
                    entity_kind,
                    entity_value,
                    held: None,
                    narrower: None,
                    instead: true,
                    ..wanted.clone()
                };
                if wanted::want(tx, &narrow).await? {
                    self.wake.notify_one();
                }
                if self.narrower_way(tx, &wide, dry_run, pass).await?.is_some() {
                    return Ok(Verdict::Suppress(Reason::Shared, words));
                }
            }
        }
        Ok(refusal)
    }
}

#[derive(Default)]
struct Need {
    /// It is in force there, or on its way.
    stands: bool,
    in_force: bool,
    /// It is to be applied, to last until then.
    apply_until_us: Option<i64>,
    renews: bool,
    /// It would be in force for longer than anybody meant.
    overlong: bool,
}

enum Preflight {
    Unknown,
    Known(Verdict),
    /// By less than is usually known.
    OnLittle(Verdict),
}

/// Principals that proved who they are from there, as the engine saw them: it sees what is not stored yet.
fn engine_saw(wanted: &Wanted) -> u64 {
    wanted.alert().and_then(|alert| alert.evidence["principals_behind"].as_u64()).unwrap_or(0)
}
