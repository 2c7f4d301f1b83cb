//! The history of one entity for one detector, and the judgement of its next window.
//!
//! Method. Two predictions of the next window run side by side: the mean of the whole memory (`slow`) and that of about
//! the last seven windows (`fast`); the one that has erred less is used, so a steady series is compared with its
//! long-run mean and a series with days and nights with the hour before. Means and mean squared errors are
//! exponentially weighted and start as plain averages (Welford 1962; EWMA control charts, Roberts 1959). The spread of
//! a window adds up: error between windows, estimation error of the mean (large while history is short), sampling
//! error of this very window (binomial, Poisson), floor. The tail is the largest of three: the over-dispersed count
//! model, Student t with as many degrees of freedom as windows, and a tail learned from how often and how far this
//! entity has been beyond 3 sigmas before (peaks over threshold; Hill 1975) - a series that bursts daily is not news.
//!
//! Teaching is bounded (winsorised, Huber 1964): a window moves the mean and the spread by at most 4 spreads' worth, so
//! one attack does not hide the next. A lasting shift is not an attack for ever: after 8 windows in a row beyond 3
//! sigmas on one side the history is re-based on those 8. So every window may be taught, the alerting ones too; a caller
//! that withholds them makes shifts alert until it teaches.
//!
//! Never: knows the time of day, or what the entity is.

use serde::{Deserialize, Serialize};

use super::{Direction, Judgement, Kind, Params, bits, tails};

/// Windows kept as evidence, and the length of a shift that becomes the new normal.
const RECENT: usize = 8;
/// Teaching is bounded at this many spreads.
const HUBER: f64 = 4.0;
/// Beyond this many sigmas the learned tail begins and a window counts towards a shift.
const OUTER: f64 = 3.0;
/// Within this many sigmas a window is ordinary and its tail, the costly part, is not worked out.
const ORDINARY: f64 = 1.0;
/// Prior of the learned tail's mean excess: that of Student t with 5 degrees of freedom, heavy on purpose.
const EXCESS_PRIOR: f64 = 0.2;
/// How much one excursion moves it: after an incident or two the same again still alerts, then it is a habit. Bursts
/// of traffic become habits sooner than bursts of errors.
const EXCESS_SHARE: f64 = 0.13;
const EXCESS_SHARE_RATE: f64 = 0.05;
/// More excess of a share than this teaches no more.
const EXCESS_SIGMAS_MAX: f64 = 50.0;
/// Share by which the tail probability must undercut the Gaussian one of the same number of sigmas.
const TAIL_SHARE: f64 = 0.02;
/// Smallest relative spread of an amount, for callers that give no floor.
const AMOUNT_SPREAD_MIN: f64 = 0.05;
/// Values and event counts beyond this are taken for this, so that squares stay finite.
const VALUE_MAX: f64 = 1e60;
/// The fast mean forgets with this share per window: a memory of about seven windows.
const FAST: f64 = 0.25;

/// Closed windows of one entity, condensed. About 110 bytes whatever their number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    windows: u64,
    /// Effective windows in memory, at most `history_windows`.
    #[serde(with = "bits")]
    weight: f64,
    /// Mean events per taught window: what makes a window a large one.
    #[serde(with = "bits")]
    exposure: f64,
    slow: Level,
    fast: Level,
    /// Share of windows beyond `OUTER`, and their mean log excess over it.
    #[serde(with = "bits")]
    outer_share: f64,
    #[serde(with = "bits")]
    outer_excess: f64,
    recent: [f32; RECENT],
    /// Windows in a row beyond `OUTER`: above if positive, below if negative.
    streak: i32,
}

/// One running prediction on the working scale, and how it errs beyond sampling noise (see `History::dispersion`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Level {
    #[serde(with = "bits")]
    mean: f64,
    #[serde(with = "bits")]
    error: f64,
}

/// What the next window should be, on the working scale.
#[derive(Clone, Copy)]
struct Prediction {
    mean: f64,
    /// Variance without this window's sampling error.
    between: f64,
    sampling: f64,
    freedom: f64,
}

impl Prediction {
    fn spread(&self) -> f64 {
        (self.between + self.sampling).sqrt()
    }
}

impl History {
    /// Compares a window with this history, helped by `parent` (the history of the typical member of its group, in the
    /// same unit) while the own one is short. `n`: events in the window. None while neither knows enough.
    pub fn judge(&self, p: &Params, parent: Option<&History>, value: f64, n: f64) -> Option<Judgement> {
        if !value.is_finite() || !n.is_finite() || (p.kind == Kind::Rate && n < 1.0) {
            return None;
        }
        let warm = f64::from(p.warmup_windows.max(2));
        let parent = parent.filter(|parent| parent.weight >= warm);
        if self.weight < warm && parent.is_none() {
            return None;
        }
        let prediction = self.predict(p, parent, n);
        let y = scale(p, value);
        let sigmas = (y - prediction.mean) / prediction.spread();
        let expected = unscale(p, prediction.mean);
        let spread = prediction.spread() * slope(p, expected);
        let outward = outward(p.direction, sigmas);
        let tail = self.tail(p, &prediction, value, n, outward);
        let changed = (value - expected).abs() >= p.min_change * expected.abs();
        let breach = outward >= p.sigmas && tail <= TAIL_SHARE * tails::student(p.sigmas, 1e6) && changed;
        Some(Judgement { expected, spread, sigmas, tail, breach })
    }

    /// Adds a closed window. Bounded, so a window that alerted may be taught as well.
    pub fn teach(&mut self, p: &Params, value: f64, n: f64) {
        if !value.is_finite() || !n.is_finite() || (p.kind == Kind::Rate && n < 1.0) {
            return;
        }
        let y = scale(p, value);
        let n = n.clamp(0.0, VALUE_MAX);
        let prediction = self.predict(p, None, n);
        if self.weight >= 4.0 {
            self.learn_outer(p, (y - prediction.mean) / prediction.spread());
        }
        self.recent[(self.windows % RECENT as u64) as usize] = value as f32;
        self.windows += 1;
        if self.streak.unsigned_abs() as usize >= RECENT {
            self.rebase(p);
            return;
        }
        let memory = f64::from(p.history_windows.max(2));
        self.weight = (self.weight + 1.0).min(memory);
        self.exposure += (n - self.exposure) / self.weight;
        let trust = self.trust(p, n);
        let bound = if self.weight > 4.0 { HUBER * prediction.spread() } else { f64::INFINITY };
        let slow_share = (trust / self.weight).min(1.0);
        let fast_share = (trust * FAST.max(1.0 / self.weight)).min(1.0);
        self.slow.teach(p, y, n, bound, slow_share, slow_share);
        self.fast.teach(p, y, n, bound, fast_share, slow_share);
    }

    /// Adds windows without events. They are zeros for a count; of a share or an amount they say nothing: those are
    /// about windows in which something happened.
    pub fn teach_quiet(&mut self, p: &Params, windows: u64) {
        if p.kind != Kind::Count {
            return;
        }
        // A series of zeros reaches a state that more zeros do not change, apart from the counter.
        let bound = 64 * u64::from(p.history_windows.max(2));
        for taught in 0..windows.min(bound) {
            let before = self.clone();
            self.teach(p, 0.0, 0.0);
            if before == (History { windows: before.windows, ..self.clone() }) {
                self.windows += windows - taught - 1;
                return;
            }
        }
        self.windows += windows.saturating_sub(bound);
    }

    /// Windows taught so far.
    pub fn windows(&self) -> u64 {
        self.windows
    }

    /// The last few windows taught, oldest first.
    pub fn recent(&self) -> Vec<f64> {
        let kept = self.windows.min(RECENT as u64);
        (self.windows - kept..self.windows).map(|i| f64::from(self.recent[(i % RECENT as u64) as usize])).collect()
    }

    fn predict(&self, p: &Params, parent: Option<&History>, n: f64) -> Prediction {
        let warm = f64::from(p.warmup_windows.max(2));
        let borrowed = parent.map_or(0.0, |_| warm);
        let total = (self.weight + borrowed).max(1.0);
        let own = if self.prefers_fast(p, warm) { self.fast } else { self.slow };
        let lent = parent.map_or(own, |parent| parent.slow);
        let mix = |own: f64, lent: f64| (own * self.weight + lent * borrowed) / total;
        let mut mean = mix(own.mean, lent.mean);
        if p.kind == Kind::Rate {
            // Jeffreys prior: half a hit and half a miss. No error ever seen is not "errors cannot happen".
            let trials = (self.weight * self.exposure).max(1.0);
            mean = ((mean * trials + 0.5) / (trials + 1.0)).clamp(0.0, 1.0);
        }
        let dispersion = mix(own.error, lent.error).max(0.0);
        let floor = p.floor.max(0.0) / slope(p, unscale(p, mean));
        let floor = if p.kind == Kind::Amount { floor.max(AMOUNT_SPREAD_MIN) } else { floor };
        let between = dispersion * unit(p, mean).powi(2);
        // The mean of `total` windows is itself uncertain, by their spread over the root of their number.
        let typical = sampling(p, mean, self.exposure);
        let between = between + (between + typical) / total + floor * floor;
        Prediction { mean, between, sampling: sampling(p, mean, n).max(1e-12), freedom: (total - 1.0).max(1.0) }
    }

    /// The fast mean wins only when it is clearly better: on a steady series both err alike and the slow one is calmer.
    fn prefers_fast(&self, p: &Params, warm: f64) -> bool {
        let noise = sampling(p, self.slow.mean, self.exposure) / unit(p, self.slow.mean).powi(2);
        self.weight >= warm && self.fast.error + noise < 0.8 * (self.slow.error + noise)
    }

    fn tail(&self, p: &Params, at: &Prediction, value: f64, n: f64, outward: f64) -> f64 {
        if outward < ORDINARY {
            return 1.0;
        }
        let below = p.direction == Direction::Down || (p.direction == Direction::Both && value < unscale(p, at.mean));
        let model = match (p.kind, below) {
            (Kind::Count, false) => tails::count_at_least(value, at.mean, at.between),
            (Kind::Count, true) => tails::count_at_most(value, at.mean, at.between),
            (Kind::Rate, false) => tails::hits_at_least(value * n, n, at.mean, at.between),
            (Kind::Rate, true) => tails::hits_at_most(value * n, n, at.mean, at.between),
            (Kind::Amount, _) => 0.0,
        };
        model.max(tails::student(outward, at.freedom)).max(self.learned_tail(p, outward))
    }

    fn learned_tail(&self, p: &Params, outward: f64) -> f64 {
        if outward <= OUTER {
            return 0.0;
        }
        // Rule of succession: what was not seen in n windows may still be an ordinary one in n.
        let unseen = 1.0 / (self.windows as f64 + 1.0);
        let mean_excess = if self.outer_share > 0.0 { self.outer_excess.max(0.05) } else { EXCESS_PRIOR };
        (self.outer_share + unseen) * (-excess(p, outward) / mean_excess).exp()
    }

    fn learn_outer(&mut self, p: &Params, sigmas: f64) {
        let outward = outward(p.direction, sigmas);
        // Rare events need a longer memory than the mean.
        let memory = (self.windows.max(1) as f64).min(4.0 * f64::from(p.history_windows.max(2)));
        // An excursion counts once however many windows it lasts: habits are learned, one long incident is not a habit.
        let outer = outward > OUTER && self.streak == 0;
        if outer {
            if self.outer_share == 0.0 {
                self.outer_excess = EXCESS_PRIOR;
            }
            let share = if p.kind == Kind::Rate { EXCESS_SHARE_RATE } else { EXCESS_SHARE };
            self.outer_excess += share * (excess(p, outward) - self.outer_excess);
        }
        self.outer_share += (f64::from(u8::from(outer)) - self.outer_share) / memory;
        if self.outer_share < 1e-12 {
            self.outer_share = 0.0;
        }
        self.streak = match sigmas {
            s if s > OUTER => self.streak.max(0) + 1,
            s if s < -OUTER => self.streak.min(0) - 1,
            _ => 0,
        };
    }

    /// A shift that lasted: start again from the last windows, keeping how this entity scatters.
    fn rebase(&mut self, p: &Params) {
        let mean = self.recent.iter().map(|&v| scale(p, f64::from(v))).sum::<f64>() / RECENT as f64;
        self.slow.mean = mean;
        self.fast.mean = mean;
        self.weight = self.weight.min(RECENT as f64);
        self.streak = 0;
    }

    /// How much one window teaches: a share of a few events knows less than a share of many.
    fn trust(&self, p: &Params, n: f64) -> f64 {
        if p.kind == Kind::Rate { 2.0 * n / (n + self.exposure.max(1.0)) } else { 1.0 }
    }
}

impl Level {
    fn teach(&mut self, p: &Params, y: f64, n: f64, bound: f64, share: f64, error_share: f64) {
        let off = (y - self.mean).clamp(-bound, bound);
        if error_share < 1.0 {
            let excess = off * off - sampling(p, self.mean, n);
            self.error += error_share * (excess / unit(p, self.mean).powi(2) - self.error);
        }
        self.mean += share * off;
        if self.mean.abs() < 1e-12 {
            self.mean = 0.0; // a series of zeros arrives at zero instead of creeping towards it
        }
    }
}

/// The scale on which windows are compared: amounts on a log scale that is linear below the floor.
fn scale(p: &Params, value: f64) -> f64 {
    match p.kind {
        Kind::Amount => (value.clamp(0.0, VALUE_MAX) / log_start(p)).ln_1p(),
        Kind::Rate => value.clamp(0.0, 1.0),
        Kind::Count => value.clamp(0.0, VALUE_MAX),
    }
}

fn unscale(p: &Params, y: f64) -> f64 {
    if p.kind == Kind::Amount { y.exp_m1() * log_start(p) } else { y }
}

/// Units of the value per unit of the working scale, at this value.
fn slope(p: &Params, value: f64) -> f64 {
    if p.kind == Kind::Amount { value.max(0.0) + log_start(p) } else { 1.0 }
}

fn log_start(p: &Params) -> f64 {
    if p.floor > 0.0 { p.floor } else { 1.0 }
}

/// Variance that the window would have if nothing but chance were at work.
fn sampling(p: &Params, mean: f64, n: f64) -> f64 {
    match p.kind {
        Kind::Count => mean.max(0.0),
        Kind::Rate => mean.clamp(0.0, 1.0) * (1.0 - mean.clamp(0.0, 1.0)) / n.max(1.0),
        Kind::Amount => 0.0,
    }
}

/// Errors of counts are kept relative to the level (a busy hour varies more), with 1 added for empty series.
fn unit(p: &Params, mean: f64) -> f64 {
    if p.kind == Kind::Count { mean.max(0.0) + 1.0 } else { 1.0 }
}

/// How far beyond `OUTER`, on the scale on which the learned tail is exponential. Counts and amounts have power-law
/// tails (Hill 1975: the log); a share is bounded by 1 and cannot, so its tail is exponential in sigmas, which are
/// scaled to agree with the log at `OUTER`.
fn excess(p: &Params, outward: f64) -> f64 {
    match p.kind {
        Kind::Rate => (outward - OUTER).min(EXCESS_SIGMAS_MAX) / OUTER,
        Kind::Count | Kind::Amount => (outward / OUTER).min(1e6).ln(),
    }
}

fn outward(direction: Direction, sigmas: f64) -> f64 {
    match direction {
        Direction::Up => sigmas,
        Direction::Down => -sigmas,
        Direction::Both => sigmas.abs(),
    }
}
