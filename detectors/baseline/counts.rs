//! What is usual for one entity that is counted in windows, and the judgement of its next window: events, different values, and
//! amounts, which are counts in units of a typical event's amount.
//!
//! Method. A window is compared with the entity's *busy level*, not with its mean: the 0.9 expectile of its windows (Newey and
//! Powell 1987), so that nights, weekends and gaps hardly lower what is expected and Monday is no alert. Today's level may lift
//! that to twice as much. How busy windows scatter is learned from upward steps between them: opening hours are no noise. Level
//! and scatter lean on those of the entities around (`Pool`; credibility, Bühlmann 1967), so there is an opinion from the first
//! window on. After two weeks an hour of the week in which it is quiet lowers the level, to a quarter at most (`hours.rs`): an
//! attack at night is held against the night. A window is a breach when three things agree: it is `sigmas` spreads above what is expected; its tail
//! probability, the larger one of a negative binomial's and of one learned from how often and how far this entity has been
//! beyond 3 sigmas before (Hill 1975: who bursts daily is no news), is fifty times smaller than the Gaussian one; and the change
//! matters (`min_change`). Beside the single window runs a sum over windows (Page 1954) of how much likelier three times
//! the expected level is than one and a half times it; it finds what grows slowly or stays just under the bar.
//!
//! What is told is not learned: while an episode is open its windows are held back, and when it is over their mean is
//! taught once, bounded. A shift that stays is the new level after `ACCEPTED_US`. Other windows teach at most three spreads.
//!
//! Figures (ten-minute windows that scatter as 10 % beyond Poisson, entities alike): after a day the smallest count found is 9, 13,
//! 143 and 434 where 0.2, 1, 30 and 100 are usual; `past_tests.rs` asserts bounds near that.
//! Never: knows what the entity is.

use serde::{Deserialize, Serialize};

use super::excursions::{Excursions, Learning, OUTER, SUM_BREACH, SUM_OF};
use super::hours::{Hours, When};
use super::pool::Pool;
use super::{Direction, Judgement, Kind, Look, Params, Past, Window, bits, tails};

/// Windows kept as evidence.
const RECENT: usize = 8;
/// The busy level is this expectile of the windows. Offices are open a quarter of the week; at 0.95 a steady entity would be
/// expected a third above its mean.
const BUSY: f64 = 0.9;
/// How fast the expectile moves: five times a mean of the same memory, as most windows weigh 0.1 or 0.9 of that.
const BUSY_GAIN: f64 = 5.0;
/// Windows in the memory of what is going on today: two hours of ten minutes.
const FAST_WINDOWS: f64 = 12.0;
/// Today may lift what is expected so far, never lower it.
const LIFT: f64 = 2.0;
/// A quiet hour lowers what is expected to a quarter at most: a colleague who works one night is no attack.
const QUIET: f64 = 4.0;
/// Windows from which on the hours of the week are learned: who came once or twice has none.
const HOURS_AFTER: u64 = 48;
/// Relative variance beyond Poisson's that is believed.
const SCATTER: (f64, f64) = (0.02, 3.0);
/// Within this many sigmas a window is ordinary and its tail, the costly part, is not worked out.
const ORDINARY: f64 = 1.0;
/// Who bursts is known after a few bursts. Counts have power-law tails (Hill 1975).
const LEARNING: Learning = Learning { share: 0.13, unseen: 1_000.0, excess: |outward| (outward / OUTER).min(1e6).ln() };
/// Share by which the tail probability must undercut the Gaussian one of the same number of sigmas.
const TAIL_SHARE: f64 = 0.02;
/// Within so many spreads things are as before.
const CALM: f64 = 2.0;
/// A window teaches at most so many spreads above the level; an episode so many times that, once.
const BOUND: f64 = 3.0;
const EPISODE_BOUND: f64 = 4.0;
/// Values beyond this are taken for this, so that squares stay finite.
const VALUE_MAX: f64 = 1e60;
/// An amount's unit is learned from windows of at most so many times what was expected of their events.
const UNIT_BOUND: f64 = 5.0;
/// Events of the entities around that a unit begins with.
const UNIT_PRIOR: f64 = 20.0;

/// Closed windows of one entity, condensed; about 160 bytes whatever their number, and 200 more for its hours of the week.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    windows: u64,
    #[serde(with = "bits")]
    busy: f64,
    #[serde(with = "bits")]
    fast: f64,
    /// Of upward steps between busy windows: mean square beyond chance, mean square of the level, and how many.
    #[serde(with = "bits")]
    steps: f64,
    #[serde(with = "bits")]
    steps_level: f64,
    stepped: u32,
    excursions: Excursions,
    /// Windows of the episode that were held back, and their mean.
    held: u32,
    #[serde(with = "bits")]
    held_mean: f64,
    /// Of amounts: of how many events how much, bounded.
    #[serde(with = "bits")]
    unit_events: f64,
    #[serde(with = "bits")]
    unit_amount: f64,
    recent: [f32; RECENT],
    hours: Option<Box<Hours>>,
}

/// What the next window should be, in units.
#[derive(Clone, Copy)]
struct Prediction {
    level: f64,
    /// Relative variance beyond Poisson's.
    scatter: f64,
}

impl Prediction {
    fn between(&self) -> f64 {
        self.scatter * self.level * self.level
    }

    fn spread(&self) -> f64 {
        (self.level + self.between()).sqrt()
    }

    /// How many spreads below the level, on the scale on which a negative binomial's is the same everywhere (Anscombe 1948): a
    /// count cannot be three of its own spreads below a level that scatters.
    fn below(&self, value: f64) -> f64 {
        let stable = |count: f64| (self.scatter * count).sqrt().asinh() * 2.0 / self.scatter.sqrt();
        stable(self.level) - stable(value)
    }

    /// How much likelier a window is under the larger of `SUM_OF` than under the smaller (negative binomials, natural log).
    fn likelier(&self, value: f64) -> f64 {
        let (high, low, scatter) = (SUM_OF.0 * self.level, SUM_OF.1 * self.level, self.scatter);
        let (beyond_high, beyond_low) = (1.0 + scatter * high, 1.0 + scatter * low);
        value * (high * beyond_low / (low * beyond_high)).ln() - (beyond_high / beyond_low).ln() / scatter
    }
}

impl Past for Counts {
    const GROWS: bool = true;
    const LENDS_TO_ALL: bool = true;
    type Pool = Pool;

    fn judge(&self, p: &Params, pool: &Pool, window: Window, look: Look) -> Option<Judgement> {
        let Window { value, when, .. } = window;
        if !value.is_finite() {
            return None;
        }
        let unit = self.unit(p, pool);
        let value = value.clamp(0.0, VALUE_MAX) / unit;
        let down = p.direction == Direction::Down || p.direction == Direction::Both && value < self.busy.min(self.fast);
        // Of what it has at least: a night is no silence.
        let level = if down { self.fast.min(self.busy) } else { self.usual(when).max(self.fast.min(LIFT * self.busy)) };
        let at = self.lean(level, p, pool, unit);
        let sigmas = if down { -at.below(value) } else { (value - at.level) / at.spread() };
        let outward = if down { -sigmas } else { sigmas };
        let mut tail = self.tail(&at, value, (outward, down), pool);
        let warm = self.windows as f64 / f64::from(p.warmup_windows.max(1));
        if warm < 1.0 && tail < 1.0 && !down {
            // What others do may explain it, too, until the own past is long enough.
            let others = Counts::default().lean(0.0, p, pool, unit);
            tail = tail.powf(warm) * tails::count_at_least(value, others.level, others.between()).powf(1.0 - warm);
        }
        let changed = (value - at.level).abs() >= p.min_change * at.level;
        let shock = outward >= p.sigmas && tail <= TAIL_SHARE * tails::student(p.sigmas, 1e6) && changed;
        let sum = if down { self.excursions.sum } else { self.excursions.sum_with(at.likelier(value)) };
        let summed = look == Look::Whole && !down && sum >= SUM_BREACH && value > at.level;
        let (expected, spread) = (at.level * unit, at.spread() * unit);
        Some(Judgement { expected, spread, sigmas, tail, breach: shock || summed, calm: outward <= CALM, sum })
    }

    fn teach(&mut self, p: &Params, pool: &Pool, window: Window, judged: Option<&Judgement>) {
        let Window { value, events, when } = window;
        let Some(judged) = judged else { return };
        let unit = self.unit(p, pool);
        self.note(value);
        self.excursions.learn(&LEARNING, p, self.windows, judged.sigmas);
        (self.excursions.sum, self.held, self.held_mean) = (judged.sum, 0, 0.0);
        let value = value.clamp(0.0, judged.expected + BOUND * judged.spread + unit);
        if p.kind == Kind::Amount && events > 0.0 {
            self.learn_unit(p, value, events, unit);
        }
        if self.windows >= HOURS_AFTER {
            self.hours.get_or_insert_default().teach(when, value / unit);
        }
        self.learn(p, value / unit, unit);
    }

    fn hold(&mut self, p: &Params, pool: &Pool, window: Window, judged: Option<&Judgement>, accepted: u32) {
        let value = window.value;
        let Some(judged) = judged else { return };
        let unit = self.unit(p, pool);
        self.note(value);
        if self.held == 0 {
            self.excursions.learn(&LEARNING, p, self.windows, judged.sigmas);
        }
        self.excursions.sum = 0.0;
        self.held = self.held.saturating_add(1);
        self.held_mean += (value.clamp(0.0, VALUE_MAX) / unit - self.held_mean) / f64::from(self.held);
        if self.held >= accepted {
            let level = self.held_mean.max(least(p, unit));
            (self.busy, self.fast, self.held, self.held_mean) = (level, level, 0, 0.0);
            // The hours of before are those of another level.
            self.hours = None;
        }
    }

    fn let_go(&mut self, p: &Params, pool: &Pool) {
        if self.held > 0 {
            let unit = self.unit(p, pool);
            let at = self.lean(self.busy.max(self.fast.min(LIFT * self.busy)), p, pool, unit);
            let bound = at.level + BOUND * at.spread() + 1.0;
            self.learn(p, self.held_mean.min(EPISODE_BOUND * bound), unit);
        }
        (self.held, self.held_mean, self.excursions.sum) = (0, 0.0, 0.0);
    }

    fn teach_quiet(&mut self, p: &Params, pool: &Pool, windows: u64, until: When) {
        // After a whole memory of them more change nothing that matters.
        let most = u64::from(p.history_windows.max(2));
        for back in (0..windows.min(most)).rev() {
            let window = Window { when: until.earlier(back), ..Window::default() };
            let judged = self.judge(p, pool, window, Look::Whole);
            self.teach(p, pool, window, judged.as_ref());
        }
        self.windows += windows.saturating_sub(most);
    }

    fn lend(pool: &mut Pool, p: &Params, own: &Counts, _: Window) {
        pool.look(own, f64::from(p.history_windows));
    }

    fn knows_hours(&self) -> bool {
        self.hours.as_ref().is_some_and(|hours| hours.is_known())
    }

    fn windows(&self) -> u64 {
        self.windows
    }

    fn recent(&self) -> Vec<f64> {
        super::last_of(&self.recent, self.windows)
    }
}

impl Counts {
    /// The busy level, in units, and how busy windows scatter: what a pool is made of.
    pub(super) fn level(&self) -> f64 {
        self.busy
    }

    pub(super) fn scatter(&self) -> f64 {
        (self.steps.max(0.0) / self.steps_level.max(1e-9)).clamp(SCATTER.0, SCATTER.1)
    }

    /// How often windows were far beyond what was usual, and how far.
    pub(super) fn bursts(&self) -> (f64, f64) {
        (self.excursions.often, self.excursions.far)
    }

    /// Amount and events that the unit was learned from.
    pub(super) fn unit_parts(&self) -> (f64, f64) {
        (self.unit_amount, self.unit_events)
    }

    /// The busy level, or what it gets to at this time of the week, where that is known.
    fn usual(&self, when: When) -> f64 {
        let most = self.hours.as_ref().and_then(|hours| hours.most(when));
        most.map_or(self.busy, |most| most.clamp(self.busy / QUIET, self.busy))
    }

    /// As it would judge if it knew no hours of the week.
    #[cfg(test)]
    pub(super) fn forget_hours(&mut self) {
        self.hours = None;
    }

    fn memory(&self, p: &Params) -> f64 {
        (self.windows.max(1) as f64).min(f64::from(p.history_windows.max(2)))
    }

    /// The amount of a typical event; 1 where events are counted.
    fn unit(&self, p: &Params, pool: &Pool) -> f64 {
        if p.kind != Kind::Amount {
            return 1.0;
        }
        let typical = pool.unit().unwrap_or(p.floor).max(1.0);
        ((self.unit_amount + UNIT_PRIOR * typical) / (self.unit_events + UNIT_PRIOR)).max(1.0)
    }

    fn lean(&self, level: f64, p: &Params, pool: &Pool, unit: f64) -> Prediction {
        // Steps of a level near one say little about how it scatters.
        let own = f64::from(self.stepped) * (level / (level + 1.0)).powi(2);
        let scatter = ((pool.scatter() + own * self.scatter()) / (1.0 + own)).clamp(SCATTER.0, SCATTER.1);
        let windows = self.windows as f64;
        let (lent, between) = (pool.level(), pool.between());
        let worth = ((1.0 / lent + scatter) / between).max(0.25);
        let share = worth / (windows + worth);
        let level = (1.0 - share) * level + share * lent;
        Prediction { level: level.max(least(p, unit)), scatter: scatter + share * (1.0 + scatter) * between }
    }

    fn tail(&self, at: &Prediction, value: f64, (outward, down): (f64, bool), pool: &Pool) -> f64 {
        if outward < ORDINARY {
            return 1.0;
        }
        let model = if down {
            tails::count_at_most(value, at.level, at.between())
        } else {
            tails::count_at_least(value, at.level, at.between())
        };
        if outward <= OUTER {
            return model;
        }
        let own = self.excursions.tail(&LEARNING, self.windows, outward);
        model.max(own).max(pool.burst_tail(self.windows as f64, (LEARNING.excess)(outward)))
    }

    fn note(&mut self, value: f64) {
        self.recent[(self.windows % RECENT as u64) as usize] = value as f32;
        self.windows += 1;
    }

    fn learn_unit(&mut self, p: &Params, value: f64, events: f64, unit: f64) {
        let memory = f64::from(p.history_windows.max(2));
        let fade = 1.0 - 1.0 / memory;
        self.unit_events = self.unit_events * fade + events;
        self.unit_amount = self.unit_amount * fade + value.min(UNIT_BOUND * unit * events);
    }

    fn learn(&mut self, p: &Params, value: f64, unit: f64) {
        // An empty window lowers the level and never says that the entity is steady.
        let value = value.max(least(p, unit));
        if self.busy == 0.0 {
            (self.busy, self.fast) = (value, value);
            return;
        }
        if value.max(self.fast) >= 0.5 * self.busy {
            self.stepped = self.stepped.saturating_add(1);
            let share = 1.0 / f64::from(self.stepped).min(f64::from(p.history_windows.max(2)));
            let (up, level) = ((value - self.fast).max(0.0), self.fast.max(0.5 * self.busy));
            // Of a symmetric step half is upward; what chance alone makes of it goes.
            self.steps += share * (2.0 * up * up - self.fast - self.steps);
            self.steps_level += share * (level * level - self.steps_level);
        }
        let memory = self.memory(p);
        self.fast += (value - self.fast) * (1.0 / memory).max(1.0 / FAST_WINDOWS);
        let weight = if value > self.busy { BUSY } else { 1.0 - BUSY };
        self.busy += (BUSY_GAIN * weight / memory).min(1.0) * (value - self.busy);
    }
}

/// The smallest level that means anything, in units.
fn least(p: &Params, unit: f64) -> f64 {
    let floor = if p.floor > 0.0 { p.floor / unit } else { 1.0 };
    floor.clamp(1e-6, VALUE_MAX)
}
