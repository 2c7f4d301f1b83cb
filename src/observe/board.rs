//! What is known of the running service, in one place: who writes it are the step loop and the watch, who reads it are the
//! HTTP routes.
//!
//! Promises: bounded by the configuration. Reading it waits for nobody but another short look.
//! Never: holds an event, a record, or a word of one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use detectors::Rule;

use super::warn::Warnings;
use crate::clock::{Clock, Stopwatch};
use crate::ingest::health::Health;

/// The step loop goes round many times a second; silent for so long, it hangs.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// What the configuration says of a source.
#[derive(Clone, Debug)]
pub struct SourceFacts {
    pub name: String,
    pub kind: String,
    pub lateness_us: i64,
    /// Nothing for so long is a warning; 0 is none.
    pub silent_us: i64,
}

/// What the service is made of.
pub struct Facts {
    pub instance: String,
    pub sources: Vec<SourceFacts>,
    pub checkpoint_every: Duration,
    pub dry_run: bool,
}

/// The detectors that run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetectorFacts {
    pub ids: Vec<String>,
    /// Columns that they need, and which ones do.
    pub needs: BTreeMap<String, Vec<String>>,
}

impl DetectorFacts {
    pub fn of(rules: &[Arc<Rule>]) -> DetectorFacts {
        let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for rule in rules {
            let columns = rule.needs().into_iter();
            columns.for_each(|column| needs.entry(column.to_owned()).or_default().push(rule.id.clone()));
        }
        DetectorFacts { ids: rules.iter().map(|rule| rule.id.clone()).collect(), needs }
    }
}

/// In which part of its life the service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Starting,
    Running,
    Stopping,
}

/// When records of a source came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    pub last_us: Option<i64>,
    /// The lake holds something of it from before the start.
    pub before: bool,
}

type Age = Box<dyn Fn() -> Duration + Send + Sync>;

pub struct Board {
    pub facts: Facts,
    /// Others after a reload.
    detectors: Mutex<Arc<DetectorFacts>>,
    pub started_us: i64,
    pub clock: Clock,
    pub health: Health,
    pub warnings: Warnings,
    phase: Mutex<Phase>,
    /// How long the service runs, whatever is done to the clock.
    age: Age,
    /// When the step loop last went round.
    beat: Mutex<Option<Duration>>,
    activity: Mutex<BTreeMap<String, Activity>>,
}

/// The data behind these locks is whole at any time, so a panic elsewhere does not make it unusable.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    pub fn new(facts: Facts, health: Health, clock: Clock) -> Board {
        let since = Stopwatch::start();
        Board::with_age(facts, health, clock, Box::new(move || since.elapsed()))
    }

    fn with_age(facts: Facts, health: Health, clock: Clock, age: Age) -> Board {
        Board {
            facts,
            detectors: Mutex::default(),
            started_us: clock(),
            clock,
            health,
            warnings: Warnings::default(),
            phase: Mutex::new(Phase::Starting),
            age,
            beat: Mutex::new(None),
            activity: Mutex::default(),
        }
    }

    pub fn detectors(&self) -> Arc<DetectorFacts> {
        locked(&self.detectors).clone()
    }

    pub fn set_detectors(&self, detectors: DetectorFacts) {
        *locked(&self.detectors) = Arc::new(detectors);
    }

    pub fn now_us(&self) -> i64 {
        (self.clock)()
    }

    pub fn phase(&self) -> Phase {
        *locked(&self.phase)
    }

    pub fn set_phase(&self, phase: Phase) {
        *locked(&self.phase) = phase;
    }

    /// The step loop goes round; true when it does for the first time.
    pub fn beat(&self) -> bool {
        let first = locked(&self.beat).replace((self.age)()).is_none();
        let mut phase = locked(&self.phase);
        if *phase == Phase::Starting {
            *phase = Phase::Running;
        }
        first
    }

    /// For how long the step loop has not moved, when that is too long. Before it starts and when it is done nobody waits.
    pub fn stalled(&self) -> Option<Duration> {
        let since = (self.age)().saturating_sub((*locked(&self.beat))?);
        (self.phase() == Phase::Running && since > STALLED_AFTER).then_some(since)
    }

    /// Why the service is not healthy, if it is not.
    pub fn unhealthy(&self) -> Option<String> {
        self.stalled().map(|since| format!("the step loop has not moved for {} s", since.as_secs()))
    }

    pub fn note_activity(&self, source: &str, change: impl FnOnce(&mut Activity)) {
        let mut all = locked(&self.activity);
        match all.get_mut(source) {
            Some(activity) => change(activity),
            None => change(all.entry(source.to_owned()).or_default()),
        }
    }

    pub fn activity(&self, source: &str) -> Activity {
        locked(&self.activity).get(source).copied().unwrap_or_default()
    }
}

#[cfg(test)]
pub mod testing {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A board of a service with one source, and the seconds that it runs: a test sets them.
    pub fn board() -> (Board, Arc<AtomicU64>) {
        let source = SourceFacts { name: "edge".into(), kind: "combined".into(), lateness_us: 0, silent_us: 0 };
        let facts = Facts {
            instance: "one".into(),
            sources: vec![source],
            checkpoint_every: Duration::from_secs(5),
            dry_run: true,
        };
        let seconds = Arc::new(AtomicU64::new(0));
        let (age, clock) = (seconds.clone(), seconds.clone());
        let age = Box::new(move || Duration::from_secs(age.load(Ordering::Relaxed)));
        let clock = Arc::new(move || (clock.load(Ordering::Relaxed) * 1_000_000) as i64);
        (Board::with_age(facts, Health::default(), clock, age), seconds)
    }
}
