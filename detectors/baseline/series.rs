//! Any sampled series, scored online: one point in, a score in 0..1 and a decision out.
//!
//! Method. A handful of statistics is followed, each against its own past (`channel`): the value, its jump from the
//! level just before, its mean over three spans, its roughness (so that a series which freezes or starts to shake is
//! seen), and, once a daily or weekly season is established (`season`), the distance from it and its mean over two
//! spans. Each says how rare its present value is in this very series (`rarity`); the rarest counts. That is the idea of
//! the anomaly likelihood (Lavin and Ahmad 2015): not how far, but how far for a series like this, so one threshold
//! fits all. Tails are learned from peaks over a threshold, as for `History`.
//!
//! Episodes. Once something was surprising, the same again is not news: the score stays low until the surprise grows,
//! or has been calm for about `calm_points`. A shift of level thus alerts once, and by the time the calm would end
//! the new level is part of what is ordinary.
//!
//! Promises: no look-ahead, constant memory (about 10 kB), under 2 microseconds a point (and 4 for its `Outlook`), no alert in the
//! first 49 points; any sampling interval, irregular ones and gaps too. Values that are no numbers are passed over.
//! Limits: a season other than a day or a week is not learned as such.

mod outlook;
#[cfg(test)]
mod outlook_tests;

use serde::{Deserialize, Serialize};

pub use self::outlook::Outlook;
use super::bits;
use super::channel::{Channel, SURPRISE_MAX};
use super::season::Season;

/// Shares with which the three running means move: spans of about 6, 24 and 96 points.
const SPANS: [f64; 3] = [1.0 / 6.0, 1.0 / 24.0, 1.0 / 96.0];
/// The same for the two means of the distance from the season.
const SEASON_SPANS: [f64; 2] = [1.0 / 12.0, 1.0 / 48.0];
const FAST: f64 = 0.3;
const ROUGH: f64 = 1.0 / 16.0;
const ROUGH_AFTER: f64 = 32.0;
/// Scores rise to their full height over this many points.
const WARM_POINTS: f64 = 100.0;
/// Differences below this share of the series' own spread mean nothing.
const FLOOR_SHARE: f64 = 0.02;
/// One point moves the season by at most this many spreads.
const SEASON_BOUND: f64 = 6.0;
/// A gap of this many usual intervals: what was just before no longer says anything.
const GAP: f64 = 20.0;
/// The surprise (minus log10 of the tail) at which the score is one half.
const HALF: f64 = 4.0;
/// Values beyond this are taken for this, so that squares stay finite.
const VALUE_MAX: f64 = 1e150;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesParams {
    /// Score from which a point is an alert. 0.44 is a tail of about 7 in 10,000 of this series' own history.
    pub alert_score: f64,
    /// Points the long-run statistics remember.
    pub memory: f64,
    /// Points over which an episode fades once it is calm.
    pub calm_points: f64,
}

impl Default for SeriesParams {
    fn default() -> Self {
        SeriesParams { alert_score: 0.44, memory: 4096.0, calm_points: 200.0 }
    }
}

/// The answer for one point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// 0 ordinary to 1 never seen the like; comparable between series.
    pub anomaly_score: f64,
    /// True at the first point of an episode, and again if it becomes ten times rarer.
    pub alert: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    params: SeriesParams,
    #[serde(with = "bits")]
    count: f64,
    at_us: i64,
    #[serde(with = "bits")]
    interval_us: f64,
    #[serde(with = "bits")]
    last: f64,
    /// The level just before: a mean of about the last five points.
    #[serde(with = "bits")]
    fast: f64,
    #[serde(with = "bits::many")]
    means: Vec<f64>,
    #[serde(with = "bits")]
    rough: f64,
    #[serde(with = "bits::many")]
    season_means: Vec<f64>,
    season: Season,
    value: Channel,
    jump: Channel,
    mean: Vec<Channel>,
    roughness: Channel,
    off_season: Channel,
    off_season_mean: Vec<Channel>,
    episode: Episode,
}

impl Series {
    pub fn new(params: SeriesParams) -> Self {
        Series {
            params,
            count: 0.0,
            at_us: 0,
            interval_us: 0.0,
            last: 0.0,
            fast: 0.0,
            means: vec![0.0; SPANS.len()],
            rough: 0.0,
            season_means: vec![0.0; SEASON_SPANS.len()],
            season: Season::new(),
            value: Channel::default(),
            jump: Channel::default(),
            mean: vec![Channel::default(); SPANS.len()],
            roughness: Channel::default(),
            off_season: Channel::default(),
            off_season_mean: vec![Channel::default(); SEASON_SPANS.len()],
            episode: Episode::default(),
        }
    }

    /// Scores the next point, then learns it. A value that is not a number scores 0 and teaches nothing.
    pub fn observe(&mut self, time_us: i64, value: f64) -> Scored {
        if !value.is_finite() {
            return Scored { anomaly_score: 0.0, alert: false };
        }
        let value = value.clamp(-VALUE_MAX, VALUE_MAX);
        self.keep_time(time_us, value);
        let floor = FLOOR_SHARE * self.value.spread();
        let bound = SEASON_BOUND * self.value.spread().max(1e-12);
        let plain = self.surprise_plain(value, floor);
        let season = self.season.observe(time_us, value, bound);
        let seasonal = season.map_or(0.0, |expected| self.surprise_seasonal(time_us, value - expected, floor));
        self.fast += FAST * (value - self.fast);
        self.last = value;
        self.count += 1.0;
        let (news, alert) = self.episode.news(plain.max(seasonal), self.count, &self.params);
        Scored { anomaly_score: score(news) * warm(self.count), alert }
    }

    /// The usual interval, and a fresh start of the short memory after a gap.
    fn keep_time(&mut self, time_us: i64, value: f64) {
        let (elapsed, gap) = self.elapsed(time_us);
        if self.count == 0.0 {
            self.means.fill(value);
        } else {
            let share = 1.0 / self.count.min(32.0);
            self.interval_us += share * (elapsed.min(if gap { self.interval_us } else { elapsed }) - self.interval_us);
        }
        if self.count == 0.0 || gap {
            self.fast = value;
            self.last = value;
        }
        self.at_us = time_us;
    }

    /// Since the last point, and whether that is a gap.
    fn elapsed(&self, time_us: i64) -> (f64, bool) {
        let elapsed = time_us.saturating_sub(self.at_us).max(0) as f64;
        (elapsed, self.count >= 2.0 && elapsed > GAP * self.interval_us)
    }

    fn surprise_plain(&mut self, value: f64, floor: f64) -> f64 {
        let memory = self.params.memory;
        let mut most = self.value.observe(value, memory, floor);
        most = most.max(self.jump.observe(value - self.fast, memory, floor));
        for ((mean, channel), span) in self.means.iter_mut().zip(&mut self.mean).zip(SPANS) {
            *mean += span.max(1.0 / (self.count + 1.0)) * (value - *mean);
            if self.count > 2.0 / span {
                most = most.max(channel.observe(*mean, memory, floor));
            }
        }
        self.rough += ROUGH * ((value - self.last).abs() - self.rough);
        if self.count > ROUGH_AFTER {
            let log = (self.rough + FLOOR_SHARE * self.jump.spread() + 1e-9).ln();
            most = most.max(self.roughness.observe(log, memory, 0.0));
        }
        most
    }

    fn surprise_seasonal(&mut self, time_us: i64, off: f64, floor: f64) -> f64 {
        let memory = self.params.memory;
        let mut most = self.off_season.observe(off, memory, floor);
        for ((mean, channel), span) in self.season_means.iter_mut().zip(&mut self.off_season_mean).zip(SEASON_SPANS) {
            *mean += span * (off - *mean);
            most = most.max(channel.observe(*mean, memory, floor));
        }
        if self.season.settled(time_us) { most } else { 0.0 }
    }
}

/// A surprise as a score: 0 for none, one half at `HALF`, towards 1 for the never seen.
fn score(surprise: f64) -> f64 {
    surprise / (surprise + HALF)
}

/// How much of a score counts after so many points.
fn warm(count: f64) -> f64 {
    (count / WARM_POINTS).min(1.0)
}

/// What has been reported of the current episode, so that it is reported once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Episode {
    /// Surprise last reported in full, fading.
    #[serde(with = "bits")]
    held: f64,
    /// Surprise last alerted, fading likewise.
    #[serde(with = "bits")]
    alerted: f64,
    #[serde(with = "bits")]
    since: f64,
}

impl Episode {
    /// News begin at this surprise; below it nothing is held against what follows.
    const LEAST: f64 = 1.5;
    /// More surprise than held by this much (a tail half as large) is news; by `WORSE` it alerts anew.
    const MORE: f64 = 0.3;
    const WORSE: f64 = 1.0;
    /// While the surprise stays above this share of the held one, the episode goes on, up to `LASTS` calm times.
    const ONGOING: f64 = 0.7;
    const LASTS: f64 = 4.0;
    /// What is held below this is forgotten.
    const GONE: f64 = 0.2;

    /// The part of the surprise that is news, and whether to alert.
    fn news(&mut self, surprise: f64, count: f64, params: &SeriesParams) -> (f64, bool) {
        let fresh = surprise > self.held + Self::MORE || self.held < Self::GONE;
        let news = if fresh { surprise } else { 0.5 * (surprise - self.held).max(0.0) };
        let alert = score(news) * warm(count) >= params.alert_score && surprise >= self.alerted + Self::WORSE;
        if news >= Self::LEAST && news >= self.held {
            self.held = surprise;
            self.since = count;
        } else if surprise <= Self::ONGOING * self.held || count - self.since >= Self::LASTS * params.calm_points {
            let kept = 1.0 - 1.0 / params.calm_points.max(1.0);
            self.held *= kept;
            self.alerted *= kept;
        }
        if alert {
            self.alerted = surprise;
        }
        (news, alert)
    }

    /// The surprise from which `news` alerts at this count; none where none is large enough. Of a surprise that is not fresh at most
    /// half of `MORE` is news, which alerts at no bar in use.
    fn bar(&self, count: f64, params: &SeriesParams) -> Option<f64> {
        let score = params.alert_score / warm(count);
        let fresh = if self.held < Self::GONE { 0.0 } else { self.held + Self::MORE };
        let bar = (HALF * score / (1.0 - score)).max(fresh).max(self.alerted + Self::WORSE);
        (score < 1.0 && bar <= SURPRISE_MAX).then_some(bar)
    }
}
