//! What share of one entity's events is usual (errors of all requests), and the judgement of its next window.
//!
//! Method. Two predictions of the next window run side by side: the mean of the whole memory (`slow`) and that of about
//! the last seven windows (`fast`); the one that has erred less is used, so a steady series is compared with its
//! long-run mean and a series with days and nights with the hour before. Means and mean squared errors are
//! exponentially weighted and start as plain averages (Welford 1962; EWMA control charts, Roberts 1959). The spread of
//! a window adds up: error between windows, estimation error of the mean (large while history is short), sampling
//! error of this very window (binomial). A floor is added to the share that is expected, never to the spread. The tail is
//! the largest of three: the beta-binomial, Student t with as many degrees of freedom as windows, and a tail learned from how
//! often and how far this entity has been beyond 3 sigmas before (peaks over threshold) - a series that bursts daily is not news.
//! A window that is looked at while it runs, for the k-th time, must be k (k + 1) times less likely: over all looks the chance
//! of a false breach stays that of one (union bound). Beside the single window runs a sum over windows (Page 1954) of how much
//! likelier three times the expected odds are than one and a half times them, under beta-binomials, where the share can still change so
//! much; it finds what grows slowly or stays just under the bar. A few good windows lower what it expects no further than the whole
//! memory does.
//!
//! Figures (after two weeks of five-minute windows of 20 to 200 events): a share just below the bar is found after five windows or so, with
//! no false alert more in the simulations of `past_tests.rs`.
//!
//! Teaching is bounded (winsorised, Huber 1964) at 4 spreads. What is told is not learned: windows of an episode are held
//! back, and when it is over their mean is taught once. A shift that stays is the new level in the end.
//! Never: knows the time of day, or what the entity is.

use serde::{Deserialize, Serialize};

use super::excursions::{Excursions, Learning, OUTER, SUM_BREACH, SUM_OF};
use super::hours::When;
use super::{Direction, Judgement, Look, Params, Past, Window, bits, tails};

/// Windows kept as evidence.
const RECENT: usize = 8;
/// Teaching is bounded at this many spreads.
const HUBER: f64 = 4.0;
/// Within this many sigmas a window is ordinary and its tail, the costly part, is not worked out.
const ORDINARY: f64 = 1.0;
/// Bursts of errors become habits later than bursts of traffic. A share is bounded by 1, so its tail is exponential in sigmas;
/// more excess than 50 teaches no more.
const LEARNING: Learning =
    Learning { share: 0.05, unseen: 100.0, excess: |outward| (outward - OUTER).min(50.0) / OUTER };
/// Share by which the tail probability must undercut the Gaussian one of the same number of sigmas.
const TAIL_SHARE: f64 = 0.02;
/// Event counts beyond this are taken for this, so that squares stay finite.
const EVENTS_MAX: f64 = 1e60;
/// The fast mean forgets with this share per window: a memory of about seven windows.
const FAST: f64 = 0.25;
/// What is usual where nothing is known: one in twenty, give or take as much.
const UNKNOWN: Level = Level { mean: 0.05, error: 0.0025 };
/// What is lent is worth so many events, as its scatter says (credibility, Bühlmann 1967): one window of many tells more.
const WORTH: (f64, f64) = (10.0, 200.0);
/// Within so many spreads things are as before.
const CALM: f64 = 2.0;

/// Closed windows of one entity, condensed. About 120 bytes whatever their number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    windows: u64,
    /// Effective windows in memory, at most `history_windows`.
    #[serde(with = "bits")]
    weight: f64,
    /// Mean events per taught window: what makes a window a large one.
    #[serde(with = "bits")]
    exposure: f64,
    slow: Level,
    fast: Level,
    excursions: Excursions,
    /// Windows of the episode that were held back, and their mean.
    held: u32,
    #[serde(with = "bits")]
    held_mean: f64,
    recent: [f32; RECENT],
}

/// One running prediction, and how it errs beyond sampling noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Level {
    #[serde(with = "bits")]
    mean: f64,
    #[serde(with = "bits")]
    error: f64,
}

/// What the next window should be.
#[derive(Clone, Copy)]
struct Prediction {
    mean: f64,
    /// The larger of that and what the whole memory says: a few good windows make no attack of the next.
    high: f64,
    /// Variance without this window's sampling error.
    between: f64,
    sampling: f64,
    freedom: f64,
}

impl Prediction {
    fn spread(&self) -> f64 {
        (self.between + self.sampling).sqrt()
    }

    /// How much likelier a window of `n` events is under the larger of `SUM_OF` times the expected odds than under the smaller
    /// (beta-binomials that scatter in proportion to their mean, natural logarithm).
    fn likelier(&self, value: f64, n: f64) -> f64 {
        let mean = self.high.clamp(1e-6, 1.0 - 1e-6);
        let (odds, scatter) = (mean / (1.0 - mean), self.between / (mean * mean));
        let at = |times: f64| {
            let share = times * odds / (1.0 + times * odds);
            tails::hits_likelihood(value * n, n, share, scatter * share * share)
        };
        at(SUM_OF.0) - at(SUM_OF.1)
    }
}

impl Past for Rates {
    const GROWS: bool = false;
    /// Those who are refused often are not like the others, unless the detector says who is alike.
    const LENDS_TO_ALL: bool = false;
    /// The past of typical windows of the entities around.
    type Pool = Rates;

    fn judge(&self, p: &Params, pool: &Rates, window: Window, look: Look) -> Option<Judgement> {
        let Window { value, events: n, .. } = window;
        if !value.is_finite() || !n.is_finite() || n < 1.0 {
            return None;
        }
        // Of somebody new, when nobody is known who is alike, the first window says what is usual.
        if self.windows == 0 && pool.weight < warm(p) {
            return None;
        }
        let (at, value, n) = (self.predict(p, Some(pool), n), value.clamp(0.0, 1.0), n.min(EVENTS_MAX));
        let sigmas = (value - at.mean) / at.spread();
        let outward = p.direction.outward(sigmas);
        let tail = (self.tail(p, &at, (value, n), outward) * look.price()).min(1.0);
        let changed = (value - at.mean).abs() >= p.min_change * at.mean;
        let shock = outward >= p.sigmas && tail <= TAIL_SHARE * tails::student(p.sigmas, 1e6) && changed;
        let sums = look == Look::Whole && p.direction != Direction::Down;
        // What cannot change so much any more is no news, however often it happens: an endpoint that always fails.
        let has_room = at.high * (1.0 + p.min_change) <= 1.0;
        let likelier = if has_room { at.likelier(value, n) } else { f64::NEG_INFINITY };
        let sum = if sums { self.excursions.sum_with(likelier) } else { self.excursions.sum };
        // Also this window must speak for it: an ordinary one is no breach because of those before.
        let summed = sums && likelier > 0.0 && sum >= SUM_BREACH;
        let (expected, spread, calm) = (at.mean, at.spread(), outward <= CALM);
        Some(Judgement { expected, spread, sigmas, tail, breach: shock || summed, calm, sum })
    }

    fn teach(&mut self, p: &Params, _: &Rates, window: Window, judged: Option<&Judgement>) {
        let Window { value, events: n, .. } = window;
        if !value.is_finite() || !n.is_finite() || n < 1.0 {
            return;
        }
        (self.held, self.held_mean) = (0, 0.0);
        self.excursions.sum = judged.map_or(0.0, |judged| judged.sum);
        self.learn(p, value, n);
    }

    fn hold(&mut self, p: &Params, _: &Rates, window: Window, judged: Option<&Judgement>, accepted: u32) {
        let Window { value, events: n, .. } = window;
        if !value.is_finite() || n < 1.0 {
            return;
        }
        self.note(value);
        if self.held == 0
            && let Some(judged) = judged
        {
            self.excursions.learn(&LEARNING, p, self.windows, judged.sigmas);
        }
        self.excursions.sum = 0.0;
        self.held = self.held.saturating_add(1);
        self.held_mean += (value - self.held_mean) / f64::from(self.held);
        if self.held >= accepted {
            // It starts again from there, keeping how this entity scatters.
            (self.slow.mean, self.fast.mean) = (self.held_mean, self.held_mean);
            self.weight = self.weight.min(RECENT as f64);
            (self.held, self.held_mean) = (0, 0.0);
        }
    }

    fn let_go(&mut self, p: &Params, _: &Rates) {
        if self.held > 0 {
            self.learn(p, self.held_mean, self.exposure.max(1.0));
        }
        (self.held, self.held_mean, self.excursions.sum) = (0, 0.0, 0.0);
    }

    /// Of a share, silence says nothing: it is about windows in which something happened.
    fn teach_quiet(&mut self, _: &Params, _: &Rates, _: u64, _: When) {}

    fn lend(pool: &mut Rates, p: &Params, _: &Rates, Window { value, events: n, .. }: Window) {
        if value.is_finite() && n >= 1.0 {
            pool.learn(p, value, n);
        }
    }

    fn windows(&self) -> u64 {
        self.windows
    }

    fn recent(&self) -> Vec<f64> {
        super::last_of(&self.recent, self.windows)
    }
}

impl Rates {
    fn note(&mut self, value: f64) {
        self.recent[(self.windows % RECENT as u64) as usize] = value as f32;
        self.windows += 1;
    }

    fn learn(&mut self, p: &Params, value: f64, n: f64) {
        let (value, n) = (value.clamp(0.0, 1.0), n.clamp(0.0, EVENTS_MAX));
        let at = self.predict(p, None, n);
        if self.weight >= 4.0 {
            self.excursions.learn(&LEARNING, p, self.windows, (value - at.mean) / at.spread());
        }
        self.note(value);
        self.weight = (self.weight + 1.0).min(f64::from(p.history_windows.max(2)));
        self.exposure += (n - self.exposure) / self.weight;
        // A share of a few events knows less than a share of many.
        let trust = 2.0 * n / (n + self.exposure.max(1.0));
        let bound = if self.weight > 4.0 { HUBER * at.spread() } else { f64::INFINITY };
        let slow_share = (trust / self.weight).min(1.0);
        let fast_share = (trust * FAST.max(1.0 / self.weight)).min(1.0);
        self.slow.teach(value, n, bound, slow_share, slow_share);
        self.fast.teach(value, n, bound, fast_share, slow_share);
    }

    /// What it lends, and how many events that is worth.
    fn lent(&self, warm: f64) -> (Level, f64) {
        let level = if self.weight >= warm { self.slow } else { UNKNOWN };
        (level, (level.mean * (1.0 - level.mean) / level.error.max(1e-9)).clamp(WORTH.0, WORTH.1))
    }

    fn predict(&self, p: &Params, pool: Option<&Rates>, n: f64) -> Prediction {
        let warm = warm(p);
        let own = if self.prefers_fast(warm) { self.fast } else { self.slow };
        let (lent, worth) = pool.map_or((own, 0.0), |pool| pool.lent(warm));
        let exposure = self.exposure.max(1.0);
        let borrowed = worth / exposure;
        let total = (self.weight + borrowed).max(1.0);
        let mix = |own: f64, lent: f64| (own * self.weight + lent * borrowed) / (self.weight + borrowed).max(1e-9);
        // Jeffreys prior: half a hit and half a miss. No error ever seen is not "errors cannot happen".
        let trials = (self.weight * self.exposure + worth).max(1.0);
        let share = |own: f64| {
            let mean = (mix(own, lent.mean) * trials + 0.5) / (trials + 1.0);
            (mean + p.floor.max(0.0)).clamp(0.0, 1.0)
        };
        let (mean, high) = (share(own.mean), share(own.mean.max(self.slow.mean)));
        let dispersion = mix(own.error, lent.error).max(0.0);
        // The mean of so many windows is itself uncertain, by their spread over the root of their number.
        let between = dispersion + (dispersion + sampling(mean, exposure)) / total;
        let (sampling, freedom) = (sampling(mean, n).max(1e-12), self.weight + warm - 1.0);
        Prediction { mean, high, between, sampling, freedom }
    }

    /// The fast mean wins only when it is clearly better: on a steady series both err alike and the slow one is calmer.
    fn prefers_fast(&self, warm: f64) -> bool {
        let noise = sampling(self.slow.mean, self.exposure);
        self.weight >= warm && self.fast.error + noise < 0.8 * (self.slow.error + noise)
    }

    fn tail(&self, p: &Params, at: &Prediction, (value, n): (f64, f64), outward: f64) -> f64 {
        if outward < ORDINARY {
            return 1.0;
        }
        let below = p.direction == Direction::Down || (p.direction == Direction::Both && value < at.mean);
        let model = if below {
            tails::hits_at_most(value * n, n, at.mean, at.between)
        } else {
            tails::hits_at_least(value * n, n, at.mean, at.between)
        };
        model.max(tails::student(outward, at.freedom)).max(self.excursions.tail(&LEARNING, self.windows, outward))
    }
}

fn warm(p: &Params) -> f64 {
    f64::from(p.warmup_windows.max(2))
}

impl Level {
    fn teach(&mut self, value: f64, n: f64, bound: f64, share: f64, error_share: f64) {
        let off = (value - self.mean).clamp(-bound, bound);
        if error_share < 1.0 {
            self.error += error_share * (off * off - sampling(self.mean, n) - self.error);
        }
        self.mean += share * off;
        if self.mean.abs() < 1e-12 {
            self.mean = 0.0; // a series of zeros arrives at zero instead of creeping towards it
        }
    }
}

/// Variance that the window would have if nothing but chance were at work.
fn sampling(mean: f64, n: f64) -> f64 {
    mean.clamp(0.0, 1.0) * (1.0 - mean.clamp(0.0, 1.0)) / n.max(1.0)
}
