//! A lake that takes nothing for a while: detection goes on, the loop goes round, and a stop does not wait for it.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex};

use super::*;

/// The longest that anything here takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// A lake that can be put out of order and mended.
struct Broken {
    events: PathBuf,
    away: PathBuf,
}

impl Broken {
    fn of(kept: &Kept) -> Broken {
        let lake = PathBuf::from(&kept.config.uri);
        Broken { events: lake.join("events"), away: lake.join("away") }
    }

    /// A file lies where the table was.
    fn begin(&self) {
        std::fs::rename(&self.events, &self.away).expect("the table was made");
        std::fs::write(&self.events, "no folder").expect("written");
    }

    fn end(&self) {
        std::fs::remove_file(&self.events).expect("there");
        std::fs::rename(&self.away, &self.events).expect("there");
    }
}

/// How many events were taken, and how often the loop went round.
#[derive(Default)]
struct Seen {
    counts: Mutex<(u64, u64)>,
    news: Condvar,
}

impl Seen {
    fn change(&self, change: impl FnOnce(&mut (u64, u64))) {
        change(&mut self.counts.lock().expect("no panic"));
        self.news.notify_all();
    }

    fn wait_for_events(&self, events: u64) {
        self.wait(|counts| counts.0 >= events);
    }

    /// From now on.
    fn wait_for_rounds(&self, rounds: u64) {
        let before = self.counts.lock().expect("no panic").1;
        self.wait(|counts| counts.1 >= before + rounds);
    }

    fn wait(&self, until: impl Fn(&(u64, u64)) -> bool) {
        let counts = self.counts.lock().expect("no panic");
        let waited = self.news.wait_timeout_while(counts, PATIENCE, |counts| !until(counts));
        assert!(!waited.expect("no panic").1.timed_out(), "it stands still");
    }
}

/// Counts the rounds.
struct Rounds(Arc<Seen>);

impl Watcher for Rounds {
    fn turned(&mut self, _engine: &Engine) {
        self.0.change(|counts| counts.1 += 1);
    }
}

/// Runs a script that waits for what is seen.
fn run_seen(
    kept: &Kept,
    seen: &Arc<Seen>,
    steps: Vec<Step>,
    change: impl FnOnce(&mut Pipeline<'_>),
) -> Result<Totals, PipelineError> {
    let script = Script { steps: steps.into(), fails: false };
    let progress = |totals: &Totals| seen.change(|counts| counts.0 = totals.events);
    run_with(1, &kept.config, kept.runtime.handle(), "one", script, progress, |pipeline| {
        pipeline.watcher = Box::new(Rounds(seen.clone()));
        change(pipeline);
    })
}

fn act(seen: &Arc<Seen>, act: impl FnOnce(&Seen) + Send + 'static) -> Step {
    let seen = seen.clone();
    Step::Do(Box::new(move || act(&seen)))
}

#[test]
fn a_lull_and_a_new_lane_during_an_outage_stop_neither_detection_nor_the_loop() {
    let (kept, seen) = (Kept::new(), Arc::new(Seen::default()));
    let (broken, mended) = (Broken::of(&kept), Broken::of(&kept));
    let steps = vec![
        opened(),
        records(0..9),
        act(&seen, move |seen| {
            seen.wait_for_events(6);
            broken.begin();
        }),
        Step::Say(Signal::CaughtUp { lane: lane() }),
        records(9..18),
        act(&seen, |seen| seen.wait_for_events(12)),
        Step::Say(Signal::Opened { lane: nth(1) }),
        act(&seen, move |seen| {
            seen.wait_for_rounds(5);
            mended.end();
        }),
        visits_of(nth(1), 0..4),
        ended(),
        Step::Say(Signal::Ended { lane: nth(1) }),
    ];
    let totals = run_seen(&kept, &seen, steps, |_| {}).expect("it goes on");
    assert_eq!((totals.events, totals.rejects), (16, 6));
    assert_eq!(kept.stored(), ["16,13", "6,6"], "each once");
}

#[test]
fn lanes_that_are_taken_away_during_an_outage_are_kept_and_the_loop_goes_round() {
    let (kept, seen) = (Kept::new(), Arc::new(Seen::default()));
    let (broken, mended) = (Broken::of(&kept), Broken::of(&kept));
    let steps = vec![
        opened(),
        records(0..9),
        act(&seen, move |seen| {
            seen.wait_for_events(6);
            broken.begin();
        }),
        Step::Say(Signal::Revoking { lanes: vec![lane()] }),
        act(&seen, move |seen| {
            seen.wait_for_rounds(5);
            mended.end();
        }),
    ];
    run_seen(&kept, &seen, steps, |_| {}).expect("it goes on");
    assert_eq!(kept.stored(), ["6,6", "3,3"]);
}

#[test]
fn a_stop_does_not_wait_for_a_lake_that_fails() {
    let (kept, seen) = (Kept::new(), Arc::new(Seen::default()));
    let (broken, stop) = (Broken::of(&kept), Arc::new(AtomicBool::new(false)));
    let told = stop.clone();
    let steps = vec![
        opened(),
        records(0..9),
        act(&seen, move |seen| {
            seen.wait_for_events(6);
            broken.begin();
            told.store(true, Ordering::Relaxed);
        }),
    ];
    let error = run_seen(&kept, &seen, steps, |pipeline| pipeline.stop = stop).expect_err("nothing is kept");
    assert!(matches!(error, PipelineError::NotKept(_)), "{error}");
}
