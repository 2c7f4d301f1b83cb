//! A source that says what a test tells it to, opened again and again.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use schemas::RawBatch;

use super::*;
use crate::ingest::merged::{Merged, Named};
use crate::ingest::testing::Told::{CaughtUp, Ended, Opened, Records};
use crate::ingest::testing::{Told, clock, told};

enum Say {
    Opened(i32),
    Record(i32, i64),
    CaughtUp(i32),
    Ended(i32),
    Fail,
    Panic,
    Nothing,
}

/// Says these things; at the end nothing more, or that it is finished.
struct Script {
    name: &'static str,
    steps: VecDeque<Say>,
    goes_on: bool,
    ends: bool,
    paused: Arc<Mutex<Vec<i32>>>,
}

impl Source for Script {
    fn next(&mut self, _timeout: Duration) -> Result<Option<Signal>, IngestError> {
        let lane = |partition| Lane::new(self.name, partition);
        Ok(Some(match self.steps.pop_front() {
            Some(Say::Opened(partition)) => Signal::Opened { lane: lane(partition) },
            Some(Say::Record(partition, offset)) => {
                let mut records = RawBatch::new();
                records.push(offset, 0, b"{}");
                Signal::Records { lane: lane(partition), records }
            }
            Some(Say::CaughtUp(partition)) => Signal::CaughtUp { lane: lane(partition) },
            Some(Say::Ended(partition)) => Signal::Ended { lane: lane(partition) },
            Some(Say::Fail) => return Err(failure()),
            Some(Say::Panic) => panic!("nobody thought of {}", "this"),
            Some(Say::Nothing) | None => return Ok(None),
        }))
    }

    fn finished(&self) -> bool {
        self.ends && self.steps.is_empty()
    }

    fn pause(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.paused.lock().expect("no panic").extend(lanes.iter().map(|lane| lane.partition));
        Ok(())
    }

    fn resume(&mut self, _lanes: &[Lane]) -> Result<(), IngestError> {
        Ok(())
    }

    fn goes_on_after(&self, _error: &IngestError) -> bool {
        self.goes_on
    }
}

fn failure() -> IngestError {
    IngestError::File { path: "a.log".into(), message: "torn".into() }
}

struct Setup {
    retried: Retried,
    health: Health,
    hand: Arc<AtomicI64>,
    paused: Arc<Mutex<Vec<i32>>>,
}

/// Opens these scripts one after the other; `None` fails to open.
fn setup(once: bool, ends: bool, goes_on: bool, scripts: Vec<Option<Vec<Say>>>) -> Setup {
    let (clock, hand) = clock();
    let paused = Arc::new(Mutex::new(Vec::new()));
    let (mut scripts, noted) = (VecDeque::from(scripts), paused.clone());
    let open = move || -> Result<Box<dyn Source>, IngestError> {
        let steps = scripts.pop_front().flatten().ok_or_else(failure)?;
        Ok(Box::new(Script { name: "edge", steps: steps.into(), goes_on, ends, paused: noted.clone() }))
    };
    let health = Health::default();
    let retried = Retried::first("edge", once, Box::new(open), health.clone(), clock).expect("opens, or is retried");
    Setup { retried, health, hand, paused }
}

impl Setup {
    /// What it says within some turns.
    fn says(&mut self) -> Vec<Told> {
        let turn = |_| self.retried.next(Duration::ZERO).expect("never an error").map(told);
        (0..20).filter_map(turn).collect()
    }

    fn pass(&self, us: i64) {
        self.hand.fetch_add(us, Ordering::Relaxed);
    }

    fn is(&self) -> super::super::health::SourceHealth {
        self.health.all().remove("edge").expect("there is an entry")
    }
}

#[test]
fn a_failure_ends_the_lanes_and_the_source_is_opened_again_later_each_time() {
    let scripts = vec![
        Some(vec![Say::Opened(0), Say::Record(0, 0), Say::Opened(1), Say::Fail]),
        None,
        None,
        Some(vec![Say::Opened(0), Say::Nothing, Say::Record(0, 1)]),
    ];
    let mut setup = setup(false, false, false, scripts);
    assert_eq!(setup.says(), [Opened(0), Records(0, 1, 2, 1), Opened(1), Ended(0), Ended(1)]);
    assert!(setup.retried.is_away() && !setup.retried.finished());
    let mut waits = Vec::new();
    for failures in 1..=3 {
        let is = setup.is();
        assert_eq!((is.failures, is.error.as_deref()), (failures, Some("a.log: torn")));
        let wait_us = is.next_try_us.expect("it is tried again") - (setup.retried.clock)();
        setup.pass(wait_us - 1);
        assert_eq!(setup.says(), [], "not before its time");
        setup.pass(1);
        waits.push(wait_us);
        if failures < 3 {
            assert_eq!(setup.says(), []);
        }
    }
    for (wait_us, most_us) in waits.iter().zip([1_000_000, 2_000_000, 4_000_000]) {
        assert!((most_us / 2..=most_us).contains(wait_us), "{waits:?}");
    }
    assert_eq!(setup.says(), [Opened(0), Records(0, 1, 2, 2)]);
    let is = setup.is();
    assert_eq!((is.failures, is.error, is.next_try_us, is.since_us), (3, None, None, None));
}

#[test]
fn the_wait_does_not_grow_beyond_a_minute() {
    let mut setup = setup(false, false, false, Vec::new());
    for _ in 0..40 {
        let wait_us = setup.is().next_try_us.expect("it is tried again") - (setup.retried.clock)();
        assert!(wait_us <= WAIT_MAX_US);
        setup.pass(WAIT_MAX_US);
        assert_eq!(setup.says(), []);
    }
    assert_eq!(setup.is().failures, 41);
}

#[test]
fn a_source_that_is_opened_and_says_nothing_is_well_after_a_while() {
    let scripts = vec![Some(vec![Say::Fail]), Some(vec![Say::Opened(0)])];
    let mut setup = setup(false, false, false, scripts);
    setup.says();
    setup.pass(WAIT_MAX_US);
    assert_eq!(setup.says(), [Opened(0)]);
    assert!(setup.is().error.is_some(), "it may fail again at once");
    setup.pass(WELL_AFTER_US);
    setup.says();
    assert_eq!(setup.is().error, None);
}

#[test]
fn a_pause_outlives_a_failure() {
    let scripts = vec![Some(vec![Say::Opened(3), Say::Nothing, Say::Fail]), Some(vec![Say::Opened(3)])];
    let mut setup = setup(false, false, false, scripts);
    assert_eq!(setup.retried.next(Duration::ZERO).expect("says").map(told), Some(Opened(3)));
    setup.retried.pause(&[Lane::new("edge", 3)]).expect("paused");
    setup.says();
    setup.pass(WAIT_MAX_US);
    setup.says();
    assert_eq!(*setup.paused.lock().expect("no panic"), [3, 3]);
}

#[test]
fn one_damaged_file_of_several_does_not_end_the_others() {
    let steps = || vec![Say::Opened(0), Say::Opened(1), Say::Fail, Say::Record(1, 0), Say::Ended(0), Say::Ended(1)];
    let all = [Opened(0), Opened(1), Records(1, 1, 2, 1), Ended(0), Ended(1)];
    // Where nothing else is read, the run ends, and knows why.
    let mut setup_once = setup(true, true, true, vec![Some(steps())]);
    assert_eq!(setup_once.says(), all);
    assert!(setup_once.retried.finished());
    assert_eq!(setup_once.health.given_up(), [("edge".to_owned(), "a.log: torn".to_owned())]);
    // Where other sources go on, it is tried again.
    let mut again = setup(false, true, true, vec![Some(steps()), Some(vec![Say::Opened(0), Say::Ended(0)])]);
    assert_eq!(again.says(), all);
    assert!(!again.retried.finished() && again.is().error.is_some());
    again.pass(WAIT_MAX_US);
    assert_eq!(again.says(), [Opened(0), Ended(0)]);
    assert!(again.retried.finished());
    assert_eq!(again.health.given_up(), []);
}

#[test]
fn the_others_go_on() {
    let Setup { retried, health, .. } = setup(false, false, false, vec![Some(vec![Say::Opened(0), Say::Fail])]);
    let (clock, _) = clock();
    let open = || -> Result<Box<dyn Source>, IngestError> {
        let steps = [Say::Opened(0), Say::Record(0, 0), Say::CaughtUp(0), Say::Nothing, Say::Record(0, 1)].into();
        Ok(Box::new(Script { name: "shop", steps, goes_on: false, ends: true, paused: Arc::default() }))
    };
    let good = Retried::first("shop", false, Box::new(open), health.clone(), clock).expect("opens");
    let named = |name: &str, source| Named { name: name.to_owned(), source: Box::new(source) };
    let mut both = Merged::new(vec![named("edge", retried), named("shop", good)]);
    let mut said = Vec::new();
    for _ in 0..30 {
        said.extend(both.next(Duration::ZERO).expect("never an error").map(told));
    }
    let expected = [Opened(0), Opened(0), Records(0, 1, 2, 1), Ended(0), CaughtUp(0), Records(0, 1, 2, 2)];
    assert_eq!(said, expected);
    assert!(!both.finished(), "the one that failed may come back");
}

#[test]
fn settings_that_cannot_be_right_are_an_error_of_the_start() {
    let open = || Err(IngestError::Kafka { brokers: "a:9092".into(), message: "bogus may not be set here".into() });
    let first = Retried::first("edge", false, Box::new(open), Health::default(), clock().0);
    assert!(first.err().expect("refused").to_string().contains("bogus may not be set here"));
}

#[test]
fn a_bug_of_one_source_is_its_failure() {
    let scripts =
        vec![Some(vec![Say::Opened(0), Say::Panic]), Some(vec![Say::Opened(0), Say::Record(0, 0), Say::CaughtUp(0)])];
    let mut setup = setup(false, false, true, scripts);
    assert_eq!(setup.says(), [Opened(0), Ended(0)]);
    assert_eq!(setup.is().error.as_deref(), Some("edge: nobody thought of this; this is a bug"));
    setup.pass(WAIT_FIRST_US);
    assert_eq!(setup.says()[0], Opened(0), "it is opened again");
    assert_eq!(setup.is().error, None);
}

#[test]
fn an_address_in_use_is_tried_again_and_a_wrong_one_is_refused() {
    let (clock, _) = clock();
    let first = |error: fn() -> IngestError| {
        let open = move || -> Result<Box<dyn Source>, IngestError> { Err(error()) };
        Retried::first("edge", false, Box::new(open), Health::default(), clock.clone()).map(drop)
    };
    assert!(first(|| IngestError::InUse { address: "127.0.0.1:1".into(), message: "taken".into() }).is_ok());
    assert!(first(|| IngestError::Listen { address: "127.0.0.1:1".into(), message: "no".into() }).is_err());
}

#[test]
fn a_source_that_was_read_to_its_end_is_neither_up_nor_down() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        let mut setup = setup(false, true, true, vec![Some(vec![Say::Opened(0), Say::Record(0, 0), Say::Ended(0)])]);
        assert_eq!(setup.retried.next(Duration::ZERO).expect("never an error").map(told), Some(Opened(0)));
        assert!(recorder.handle().render().contains("gatewatch_source_up{source=\"edge\"} 1"));
        setup.says();
        assert!(setup.retried.finished());
    });
    let text = recorder.handle().render();
    assert!(text.contains("gatewatch_source_up{source=\"edge\"} NaN"), "{text}");
}
