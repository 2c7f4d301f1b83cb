//! Backtest: the events of the lake through the same engine, with the detectors of today or those somebody wants to have.
//!
//! Lane by lane, in the order of offsets, so that each event stands where it stood when it was read; what is told has the ids it had
//! then. Several sets of detectors look at one reading.
//!
//! Promises: the same events and detectors tell the same alerts as the service did, where each lane was read in the order of its
//! offsets; memory is bounded by lanes and by what the engine holds, not by the length of the time.
//! Never: writes into the lake, sends anything, learns something that stays.

pub mod blocks;
pub mod compare;
mod lanes;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context;
use datafusion::prelude::SessionContext;
use detectors::{Engine, EngineLimits, Rule};
use schemas::{Alert, Lane};

use self::lanes::Rows;

/// From when to when, in microseconds since 1970; open where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Events before it are not read at all.
    pub read_from_us: Option<i64>,
    /// Alerts that opened before it are not told.
    pub from_us: Option<i64>,
    /// Events from here on are not read.
    pub to_us: Option<i64>,
}

impl Period {
    /// As a condition on a column of times.
    pub fn sql(from_us: Option<i64>, to_us: Option<i64>, column: &str) -> String {
        let mut sql = "true".to_owned();
        let mut add = |sign: &str, us: Option<i64>| {
            if let Some(us) = us {
                sql += &format!(" AND {column} {sign} '{}'", schemas::time_text(us));
            }
        };
        add(">=", from_us);
        add("<", to_us);
        sql
    }

    /// Texts of times are all of one length, so their order is that of the times.
    fn tells(&self, alert: &Alert) -> bool {
        self.from_us.is_none_or(|from_us| alert.opened >= schemas::time_text(from_us))
    }
}

/// What a backtest needs besides the events.
pub struct Backtest {
    pub period: Period,
    /// The sets of detectors that look.
    pub sets: Vec<Vec<Arc<Rule>>>,
    /// By source name, and of the sources that are not named.
    pub lateness_us: HashMap<String, i64>,
    pub lateness_else_us: i64,
    pub hash_key: (u64, u64),
    pub threads: usize,
}

/// The last telling of each alert, by its id.
pub type Alerts = BTreeMap<String, Alert>;

/// What came of it.
#[derive(Debug, Default)]
pub struct Done {
    pub events: u64,
    pub lanes: usize,
    /// The first and the last time of an event.
    pub times_us: Option<(i64, i64)>,
    /// Of each set of detectors.
    pub alerts: Vec<Alerts>,
}

impl Backtest {
    /// Reads the events once. `progress` is told how many were read, of how many.
    pub async fn run(&self, session: &SessionContext, mut progress: impl FnMut(u64, u64)) -> anyhow::Result<Done> {
        let mut lanes = lanes::of(session, self.period).await?;
        let total = lanes.iter().map(Rows::len).sum();
        let mut done = Done { lanes: lanes.len(), ..Done::default() };
        let mut engines = Vec::new();
        for rules in &self.sets {
            let limits = EngineLimits { hash_key: self.hash_key, ..EngineLimits::default() };
            let mut engine = Engine::new(rules.clone(), limits)?.on_threads(self.threads);
            lanes.iter().for_each(|rows| engine.open(rows.lane(), self.lateness_us(rows.lane())));
            engines.push(engine);
            done.alerts.push(Alerts::new());
        }
        while let Some(next) = self.next(&lanes, &engines) {
            let Some(batch) = lanes[next].next(session).await? else {
                let gone = lanes.swap_remove(next);
                engines.iter_mut().for_each(|engine| engine.close(gone.lane()));
                continue;
            };
            done.events += batch.num_rows() as u64;
            done.times_us =
                lanes::times_us(&batch).into_iter().chain(done.times_us).reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
            for (engine, alerts) in engines.iter_mut().zip(&mut done.alerts) {
                engine.push(lanes[next].lane(), batch.clone())?;
                self.note(engine.advance()?, alerts);
            }
            progress(done.events, total);
        }
        for (engine, alerts) in engines.iter_mut().zip(&mut done.alerts) {
            self.note(engine.finish().context("the end of the events")?, alerts);
        }
        Ok(done)
    }

    fn lateness_us(&self, lane: &Lane) -> i64 {
        self.lateness_us.get(&*lane.source).copied().unwrap_or(self.lateness_else_us)
    }

    /// The lane that the others wait for, so that little is held back.
    fn next(&self, lanes: &[Rows], engines: &[Engine]) -> Option<usize> {
        let laggard = engines.iter().find_map(Engine::laggard);
        let at = laggard.and_then(|lane| lanes.iter().position(|rows| *rows.lane() == lane));
        at.or_else(|| (!lanes.is_empty()).then_some(0))
    }

    fn note(&self, told: Vec<Alert>, alerts: &mut Alerts) {
        for alert in told.into_iter().filter(|alert| self.period.tells(alert)) {
            alerts.insert(alert.id.clone(), alert);
        }
    }
}
