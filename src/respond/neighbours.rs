//! Neighbours: many IPv6 networks of one range that are to be kept out are met by the range, so that somebody who moves within
//! a /56 or /48 of their own fills no list and uses up no budget.
//!
//! Promises: the narrowest range that holds more than `guard.neighbours_max` of them, with those contained in the day before:
//! who comes back next door counts. The range passes every rail as a whole: one address of the never-block list in it, or one
//! principal who made good requests from it, and its parts stay what is wanted. While it is in force its parts are neither
//! applied nor renewed, and those in force are undone; when it no longer is, they are applied again. A part that a person lets
//! go lets the range go.
//! Never: takes an IPv4 range, whose neighbours are other people; asks a person about a range.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{Kind, State};
use super::control::{NEAR_END_US, Pass};
use super::guard::{Behind, Reason, Verdict};
use super::narrow::GIVES_WAY;
use super::outbox::{HOUR_US, Lane, Outbox, planned};
use super::queue::{Queue, Tx};
use super::scope::{NETWORK, RANGE, Scope};
use super::wanted::{self, Brief, Stand, Wanted};
use crate::audit;
use crate::store::StoreError;

/// The ranges that are tried, narrowest first: what a customer and what an organisation commonly gets.
const RANGES: [u8; 2] = [56, 48];
/// For so long somebody who was contained counts as a neighbour.
const REMEMBERED_US: i64 = 24 * HOUR_US;
/// How the reason begins for which a part is not in force by itself.
pub(super) const PART: &str = "kept out as part of ";

/// Whether what is lifted is kept as the other one of a range that was made of its parts and a network that a detector told of: they are
/// one entry at the targets.
pub(super) async fn is_kept_otherwise(tx: &mut Tx, wanted: &Wanted) -> Result<bool, StoreError> {
    let other = match wanted.entity_kind.as_str() {
        RANGE => NETWORK,
        NETWORK => RANGE,
        _ => return Ok(false),
    };
    let twin = wanted::find(tx, wanted.kind, other, &wanted.entity_value).await?;
    Ok(twin.is_some_and(|twin| twin.stand != Stand::Lift && !twin.dry_run))
}

impl Outbox {
    /// A range holds somebody who is to be let go: it is let go, too. Its parts are wanted again.
    pub(super) async fn let_ranges_go(&self, tx: &mut Tx, lifted: &[Brief]) -> Result<(), StoreError> {
        if !lifted.iter().any(|brief| self.is_part(brief).is_some()) {
            return Ok(());
        }
        for range in wanted::kept(tx).await?.iter().filter_map(|brief| self.is_wide(brief)) {
            let (mut holds, mut by_person) = (false, false);
            for brief in lifted.iter().filter(|it| self.is_part(it).is_some_and(|part| range.contains(&part))) {
                holds = true;
                if let Some(row) = wanted::row(tx, brief).await? {
                    by_person |= wanted::is_let_go(tx, &row).await?;
                }
            }
            for kind in [RANGE, NETWORK].into_iter().filter(|_| holds) {
                match by_person {
                    true => wanted::lift(tx, Kind::Block, kind, &range.to_string()).await?,
                    false => wanted::let_in(tx, Kind::Block, kind, &range.to_string()).await?,
                }
            }
        }
        Ok(())
    }

    /// Makes and ends what is wanted of ranges; all that is to be kept up then, ranges first.
    pub(super) async fn gather(&self, tx: &mut Tx, pass: &mut Pass) -> Result<Vec<Brief>, StoreError> {
        let all = wanted::kept(tx).await?;
        // What would only have been done makes no range, and is no part of one.
        let real = all.iter().filter(|brief| !brief.dry_run);
        let active: Vec<(Scope, &Brief)> = real
            .clone()
            .filter(|it| it.stand == Stand::Active && !it.held.as_deref().is_some_and(|why| why.starts_with(GIVES_WAY)))
            .filter_map(|it| Some((self.is_part(it)?, it)))
            .collect();
        // A detector may tell of a whole range by itself.
        let told: BTreeSet<Scope> = real
            .filter(|it| it.stand == Stand::Active && it.entity_kind != RANGE)
            .filter_map(|it| self.is_wide(it))
            .collect();
        let ranges: BTreeMap<Scope, &Brief> =
            all.iter().filter_map(|brief| Some((self.is_range(brief)?, brief))).collect();
        if ranges.is_empty() && active.is_empty() {
            return Ok(all);
        }
        let chosen = self.crowded(tx, &active, pass.now_us).await?;
        let mut changed = false;
        for (range, brief) in ranges.iter().filter(|(_, brief)| brief.stand == Stand::Active) {
            let inside = active.iter().filter(|(part, _)| range.contains(part));
            // One that is no longer crowded stays while half of them are there, so that it does not come and go.
            let is_left = !chosen.contains(range) && inside.clone().count() * 2 <= self.neighbours_max();
            if told.contains(range) {
                // One entry at the targets has one row.
                if let Some(row) = wanted::row(tx, brief).await? {
                    wanted::finish(tx, &row).await?;
                }
                changed = true;
            } else if is_left {
                wanted::end(tx, Kind::Block, RANGE, &range.to_string()).await?;
                changed = true;
            } else if let Some(told_us) = inside.map(|(_, part)| part.attack_us).max()
                && told_us > brief.attack_us
            {
                wanted::goes_on(tx, brief, told_us).await?;
            }
        }
        let is_active = |range: &&Scope| ranges.get(range).is_some_and(|brief| brief.stand == Stand::Active);
        for range in chosen.iter().filter(|range| !is_active(range) && !told.contains(range)) {
            let Some((_, worst)) = active.iter().find(|(part, _)| range.contains(part)) else { continue };
            let Some(lead) = wanted::row(tx, worst).await?.filter(|lead| !lead.approve) else { continue };
            let wide = Wanted {
                entity_kind: RANGE.to_owned(),
                entity_value: range.to_string(),
                since_us: pass.now_us,
                held: None,
                narrower: None,
                ..lead
            };
            if wanted::want(tx, &wide).await? {
                audit::pend(tx, pass.now_us, &planned(&wide)).await?;
            }
            changed = true;
        }
        let mut all = if changed { wanted::kept(tx).await? } else { all };
        all.sort_by_key(|brief| self.is_wide(brief).is_none());
        let wanted = all.iter().filter(|brief| brief.stand == Stand::Active && !brief.dry_run);
        pass.ranges = wanted.filter_map(|brief| self.is_wide(brief)).collect();
        Ok(all)
    }

    /// The ranges with more neighbours than are blocked one by one. A range inside a wider one is one neighbour of it.
    async fn crowded(
        &self,
        tx: &mut Tx,
        active: &[(Scope, &Brief)],
        now_us: i64,
    ) -> Result<BTreeSet<Scope>, StoreError> {
        let (most, mut chosen) = (self.neighbours_max(), BTreeSet::new());
        if most == 0 || active.is_empty() {
            return Ok(chosen);
        }
        let spared: Vec<Scope> = wanted::lifted(tx).await?.iter().filter_map(Brief::blocked).collect();
        let mut units: BTreeSet<Scope> = active.iter().map(|(part, _)| *part).collect();
        let before = wanted::contained_since(tx, now_us.saturating_sub(REMEMBERED_US)).await?;
        units.extend(before.into_iter().filter(|scope| self.is_narrow(scope)));
        for bits in RANGES.into_iter().filter(|bits| *bits < self.config.guard.ipv6_prefix) {
            let mut by_range: BTreeMap<Scope, Vec<Scope>> = BTreeMap::new();
            for unit in &units {
                if let Some(range) = Scope::around(unit.net().addr(), bits) {
                    by_range.entry(range).or_default().push(*unit);
                }
            }
            for (range, neighbours) in by_range {
                let attacked = active.iter().any(|(part, _)| range.contains(part));
                if neighbours.len() > most && attacked && !spared.iter().any(|scope| range.overlaps(scope)) {
                    units.retain(|unit| !range.contains(unit));
                    units.insert(range);
                    chosen.insert(range);
                }
            }
        }
        Ok(chosen)
    }

    /// The range that is in force at this target and holds this one, or is on its way there. Then what is in force of the part
    /// is undone.
    pub(super) async fn within_range(
        &self,
        tx: &mut Tx,
        lane: &Lane,
        wanted: &Wanted,
        pass: &mut Pass,
    ) -> Result<Option<Scope>, StoreError> {
        let Some(part) = Scope::of_entity(&wanted.entity_kind, &wanted.entity_value) else { return Ok(None) };
        let wider = pass.ranges.iter().filter(|range| range.contains(&part) && **range != part);
        for range in wider.copied().collect::<Vec<_>>() {
            let queue = wanted::queue_of(Kind::Block, RANGE, &range.to_string());
            let Some((entry, state)) = Queue::newest(tx, lane.name(), &queue).await? else { continue };
            let lasts = entry.action.expires_us.is_some_and(|ends_us| ends_us > pass.now_us + NEAR_END_US);
            match state {
                State::Pending if lasts => return Ok(Some(range)),
                State::Delivered if lasts && !Queue::is_being_undone(tx, &entry.action.id).await? => {
                    let why = format!("{range} is kept out instead");
                    self.lift(tx, lane, &wanted.queue(), &why, pass).await?;
                    wanted::offend_within(tx, wanted).await?;
                    return Ok(Some(range));
                }
                State::DryRun if lasts && self.is_dry(lane) => return Ok(Some(range)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Whether a range may be kept out in place of its parts: nobody who has proven to be somebody was well served there.
    pub(super) fn judge_range(&self, behind: Result<Behind, String>) -> Verdict {
        let refuse = |words: String| Verdict::Suppress(Reason::Shared, format!("its parts one by one: {words}"));
        match behind {
            Ok(Behind { principals: 0, .. }) => Verdict::Send,
            Ok(behind) => refuse(format!(
                "in the last day {} principals made {} good requests from the range",
                behind.principals, behind.good_requests
            )),
            Err(error) => refuse(format!("nobody knows who else is in the range: {error}")),
        }
    }

    fn neighbours_max(&self) -> usize {
        self.config.guard.neighbours_max as usize
    }

    /// As narrow as clients are blocked.
    fn is_narrow(&self, scope: &Scope) -> bool {
        !scope.is_v4() && scope.net().prefix_len() >= self.config.guard.ipv6_prefix
    }

    fn is_part(&self, brief: &Brief) -> Option<Scope> {
        brief.blocked().filter(|scope| self.is_narrow(scope))
    }

    /// One that was made here.
    pub(super) fn is_range(&self, brief: &Brief) -> Option<Scope> {
        brief.blocked().filter(|_| brief.entity_kind == RANGE)
    }

    /// Wider than clients are blocked one by one: made here, or an alert is about it.
    fn is_wide(&self, brief: &Brief) -> Option<Scope> {
        brief.blocked().filter(|scope| !scope.is_v4() && !self.is_narrow(scope))
    }
}

impl Brief {
    /// The address or network that is to be blocked, where this is about one.
    fn blocked(&self) -> Option<Scope> {
        let scope = Scope::of_entity(&self.entity_kind, &self.entity_value);
        scope.filter(|_| self.kind == Kind::Block)
    }
}
