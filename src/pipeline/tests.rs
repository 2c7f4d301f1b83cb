//! The loop between reader, engine and lake, with a source that says what a test tells it to.

mod outage;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use detectors::{Engine, EngineLimits};
use schemas::{Keys, Lane, Normaliser, RawBatch, SourceConfig};
use tokio::runtime::{Handle, Runtime};

use super::*;
use crate::clock;
use crate::ingest::{Signal, Source};
use crate::lake::{Lake, LakeConfig, Maintenance};
use crate::query::{self, QueryLimits};

/// Says these things in this order, and at the end that it failed, if it is to.
struct Script {
    steps: VecDeque<Step>,
    fails: bool,
}

enum Step {
    Say(Signal),
    Do(Box<dyn FnOnce() + Send>),
}

impl Source for Script {
    fn next(&mut self, _timeout: Duration) -> Result<Option<Signal>, IngestError> {
        match self.steps.pop_front() {
            Some(Step::Say(signal)) => Ok(Some(signal)),
            Some(Step::Do(act)) => {
                act();
                Ok(None)
            }
            None if std::mem::take(&mut self.fails) => {
                Err(IngestError::File { path: "script".into(), message: "torn".into() })
            }
            None => Ok(None),
        }
    }

    fn finished(&self) -> bool {
        self.steps.is_empty() && !self.fails
    }

    fn pause(&mut self, _lanes: &[Lane]) -> Result<(), IngestError> {
        Ok(())
    }

    fn resume(&mut self, _lanes: &[Lane]) -> Result<(), IngestError> {
        Ok(())
    }
}

fn lane() -> Lane {
    Lane::new("edge", 0)
}

fn nth(partition: i32) -> Lane {
    Lane::new("edge", partition)
}

fn opened() -> Step {
    Step::Say(Signal::Opened { lane: lane() })
}

fn ended() -> Step {
    Step::Say(Signal::Ended { lane: lane() })
}

/// Records of these offsets; every third is a reject.
fn records(offsets: std::ops::Range<i64>) -> Step {
    let mut records = RawBatch::new();
    for offset in offsets {
        let line =
            format!("192.0.2.7 - - [05/Jan/2026:10:00:{:02} +0000] \"GET /a HTTP/1.1\" 200 1 \"-\" \"-\"", offset % 60);
        records.push(offset, 0, if offset % 3 == 2 { b"broken" } else { line.as_bytes() });
    }
    Step::Say(Signal::Records { lane: lane(), records })
}

/// Requests of these offsets for other people each, from some clients.
fn visits(offsets: std::ops::Range<i64>) -> Step {
    visits_of(lane(), offsets)
}

fn visits_of(lane: Lane, offsets: std::ops::Range<i64>) -> Step {
    let mut records = RawBatch::new();
    for offset in offsets {
        let letter = |n: i64| char::from(b'a' + (n % 26) as u8);
        let name: String = [letter(offset * 7), letter(offset / 26), letter(offset), 'x'].iter().collect();
        let line = format!(
            "192.0.2.{} - - [05/Jan/2026:10:{:02}:{:02} +0000] \"GET /users/{name}/posts HTTP/1.1\" 200 1 \"-\" \"-\"",
            offset % 20,
            offset / 60,
            offset % 60
        );
        records.push(offset, 0, line.as_bytes());
    }
    Step::Say(Signal::Records { lane, records })
}

/// Log-ins that one client of each lane fails.
fn guesses_of(lane: Lane, offsets: std::ops::Range<i64>) -> Step {
    let mut records = RawBatch::new();
    for offset in offsets {
        let line = format!(
            "198.51.100.{} - - [05/Jan/2026:10:{:02}:{:02} +0000] \"POST /login HTTP/1.1\" 401 1 \"-\" \"-\"",
            lane.partition,
            offset / 60,
            offset % 60
        );
        records.push(offset, 0, line.as_bytes());
    }
    Step::Say(Signal::Records { lane, records })
}

struct Kept {
    _folder: tempfile::TempDir,
    config: LakeConfig,
    runtime: Runtime,
}

impl Kept {
    fn new() -> Kept {
        let folder = tempfile::tempdir().expect("a folder");
        let config = LakeConfig::new(&folder.path().join("lake").display().to_string(), clock::now_us);
        Kept { _folder: folder, config, runtime: crate::app::runtime().expect("a runtime") }
    }

    fn run(&self, steps: Vec<Step>, fails: bool) -> Result<Totals, PipelineError> {
        self.run_on(1, steps, fails)
    }

    fn run_on(&self, threads: usize, steps: Vec<Step>, fails: bool) -> Result<Totals, PipelineError> {
        let script = Script { steps: steps.into(), fails };
        run_on(threads, &self.config, self.runtime.handle(), "one", script, |_| {})
    }
}

fn run(
    config: &LakeConfig,
    runtime: &Handle,
    instance: &str,
    script: Script,
    progress: impl FnMut(&Totals),
) -> Result<Totals, PipelineError> {
    run_on(1, config, runtime, instance, script, progress)
}

/// Runs a script to its end, into one checkpoint unless the loop needs more.
fn run_on(
    threads: usize,
    config: &LakeConfig,
    runtime: &Handle,
    instance: &str,
    script: Script,
    progress: impl FnMut(&Totals),
) -> Result<Totals, PipelineError> {
    run_with(threads, config, runtime, instance, script, progress, |_| {})
}

/// The same, with a pipeline that is changed before.
fn run_with(
    threads: usize,
    config: &LakeConfig,
    runtime: &Handle,
    instance: &str,
    script: Script,
    progress: impl FnMut(&Totals),
    change: impl FnOnce(&mut Pipeline<'_>),
) -> Result<Totals, PipelineError> {
    let keys = Keys::new("k1", b"fake");
    let source = SourceConfig { name: "edge".into(), kind: "combined".into(), ..SourceConfig::default() };
    let normaliser = Normaliser::new(&source, &keys).expect("a normaliser");
    let engine = Engine::new(detectors::catalogue(), EngineLimits::default()).expect("an engine").on_threads(threads);
    let (lake, recovered) = runtime.block_on(Lake::open(config, instance)).expect("a lake");
    let lane_states = recovered.map(|recovered| recovered.lane_states).unwrap_or_default();
    let normalisers = HashMap::from([(Arc::from("edge"), normaliser)]);
    let never = Duration::from_secs(3600);
    let when =
        LedgerConfig { every: never, rows: 1_000_000, maintain_every: never, maintenance: Maintenance::default() };
    let mut ledger = Ledger::new(runtime.clone(), lake, None, clock::system(), when);
    ledger.keep_lane_states(lane_states.clone());
    let prepare = Arc::new(Prepare::new(Arc::default(), &engine));
    let mut pipeline = Pipeline {
        lanes: Lanes::of(&engine),
        engine,
        ledger: Some(ledger),
        outlets: Vec::new(),
        prepare,
        lateness_us: Box::new(|_| 0),
        stop: Arc::new(AtomicBool::new(false)),
        swap: Arc::default(),
        progress: Box::new(progress),
        watcher: Box::new(Nobody),
        totals: Totals::default(),
    };
    change(&mut pipeline);
    let reader = Reader::new(Box::new(script), normalisers, Arc::new(Controls::default()));
    pipeline.run(reader.continuing(lane_states).on_threads(threads))?;
    Ok(pipeline.totals)
}

impl Kept {
    fn answer(&self, sql: &str) -> String {
        self.answers(sql).into_iter().next().unwrap_or_default()
    }

    fn answers(&self, sql: &str) -> Vec<String> {
        let limits = QueryLimits::default();
        self.runtime.block_on(async {
            let session = query::session(&self.config.uri, &Default::default(), limits).await.expect("a session");
            let answer = query::run(&session, sql, limits).await.expect(sql);
            let mut bytes = Vec::new();
            query::write(&answer, query::Format::Csv, &mut bytes).expect("written");
            String::from_utf8(bytes).expect("text").lines().skip(1).map(str::to_string).collect()
        })
    }

    fn stored(&self) -> [String; 2] {
        let counts = |table: &str| self.answer(&format!("SELECT count(*), count(DISTINCT \"offset\") FROM {table}"));
        [counts("events"), counts("rejects")]
    }
}

#[test]
fn a_lane_that_is_lost_and_comes_back_is_stored_once() {
    let kept = Kept::new();
    // Lost before a commit; the reader looked up the position of then, so it reads the same again and more.
    let steps =
        vec![opened(), records(0..30), ended(), opened(), records(0..20), records(20..45), records(45..60), ended()];
    let totals = kept.run(steps, false).expect("runs");
    assert_eq!(kept.stored(), ["40,40", "20,20"]);
    assert_eq!((totals.events, totals.rejects), (40, 20), "what was left out is not counted either");
}

#[test]
fn a_lane_that_another_copy_took_meanwhile_fences_what_was_read_of_it() {
    let kept = Kept::new();
    let (config, runtime) = (kept.config.clone(), kept.runtime.handle().clone());
    let (noted, notice) = std::sync::mpsc::sync_channel(8);
    // Once this copy has the records, and before it takes the lane up again, another one commits them.
    let other_commits = move || {
        notice.recv().expect("this copy read");
        let script = Script { steps: [opened(), records(0..30), ended()].into(), fails: false };
        run(&config, &runtime, "other", script, |_| {}).expect("the other copy commits");
    };
    let steps =
        [opened(), records(0..30), Step::Do(Box::new(other_commits)), ended(), opened(), records(0..30), ended()];
    let script = Script { steps: steps.into(), fails: false };
    let result = run(&kept.config, kept.runtime.handle(), "one", script, |_| {
        // The other copy waits for the first word only.
        let _nobody = noted.send(()).is_err();
    });
    let error = result.expect_err("fenced").to_string();
    assert!(error.contains("fenced") && error.contains("edge/0"), "{error}");
    assert_eq!(kept.stored(), ["20,20", "10,10"]);
}

/// After a restart: the source that opens first says nothing about the lanes of another one, whose group may join later.
#[test]
fn a_source_that_reads_closes_only_lanes_of_its_own() {
    let mut engine = Engine::new(detectors::catalogue(), EngineLimits::default()).expect("an engine");
    let [edge, gone, shop] = [("edge", 0), ("edge", 1), ("shop", 0)].map(|(source, n)| Lane::new(source, n));
    for lane in [&edge, &gone, &shop] {
        engine.open(lane, 0);
    }
    let prepare = Arc::new(Prepare::new(Arc::default(), &engine));
    let mut pipeline = Pipeline {
        lanes: Lanes::of(&engine),
        engine,
        ledger: None,
        outlets: Vec::new(),
        prepare,
        lateness_us: Box::new(|_| 0),
        stop: Arc::new(AtomicBool::new(false)),
        swap: Arc::default(),
        progress: Box::new(|_| {}),
        watcher: Box::new(Nobody),
        totals: Totals::default(),
    };
    let controls = Controls::default();
    pipeline.step(Read::Opened(edge.clone()), &controls).expect("opened");
    pipeline.step(Read::CaughtUp(edge.clone()), &controls).expect("caught up");
    assert_eq!(pipeline.engine.lanes(), [edge, shop]);
}

#[test]
fn what_was_read_before_a_failure_is_kept() {
    let kept = Kept::new();
    let error = kept.run(vec![opened(), records(0..30)], true).expect_err("torn");
    assert!(error.to_string().contains("torn"), "{error}");
    assert_eq!(kept.stored(), ["20,20", "10,10"]);
}

#[test]
fn replaced_databases_count_from_the_next_batch() {
    let read = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/tests/data/geo").join(name);
        Arc::new(schemas::Geo::new(vec![std::fs::read(path).expect("data")]).expect("a database"))
    };
    let source = SourceConfig { name: "edge".into(), kind: "combined".into(), ..SourceConfig::default() };
    let normaliser = Normaliser::new(&source, &Keys::new("k1", b"fake")).expect("a normaliser");
    let steps = vec![opened(), records(0..2), records(2..4), records(4..6), ended()];
    let mut answers = vec![None, None, Some(read("city-new.mmdb"))];
    let reader = Reader::new(
        Box::new(Script { steps: steps.into(), fails: false }),
        HashMap::from([(Arc::from("edge"), normaliser)]),
        Arc::new(Controls::default()),
    );
    let reader = reader.with_geo(read("city.mmdb"), Box::new(move || answers.remove(0)));
    let (sender, queue) = sync_channel(16);
    let engine = Engine::new(Vec::new(), EngineLimits::default()).expect("an engine");
    reader.run(&sender, &Prepare::new(Arc::default(), &engine));
    let mut turns = Turns::new(queue);
    let reads =
        std::iter::from_fn(|| turns.next(Duration::from_secs(60)).ok().filter(|read| !matches!(read, Read::Finished)));
    let countries = reads.filter_map(|read| match read {
        Read::Batch(batch) => Some(schemas::event_json(&batch.events, 0)["country"].clone()),
        _ => None,
    });
    assert_eq!(countries.collect::<Vec<_>>(), ["DE", "DE", "AT"]);
}

/// What was learned of paths goes with the checkpoint: a copy that was killed shows the same endpoints as one that was not.
#[test]
fn a_kill_between_commits_changes_no_endpoint() {
    let endpoints = |kept: &Kept| kept.answers("SELECT endpoint FROM events ORDER BY \"offset\"");
    let whole = Kept::new();
    whole.run(vec![opened(), visits(0..40), visits(40..130), ended()], false).expect("runs");
    let expected = endpoints(&whole);
    assert_eq!(
        (expected.len(), expected[0].as_str(), expected[129].as_str()),
        (130, "GET /users/aaax/posts", "GET /users/{slug}/posts")
    );

    let killed = Kept::new();
    killed.run(vec![opened(), visits(0..20), ended()], false).expect("runs");
    // Reads on, learns, and is gone before it commits.
    let script = Script { steps: vec![opened(), visits(20..90)].into(), fails: false };
    let killing =
        || run(&killed.config, killed.runtime.handle(), "one", script, |totals| assert!(totals.events < 70, "killed"));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(killing)).expect_err("killed");
    assert_eq!(endpoints(&killed).len(), 20);
    killed.run(vec![opened(), visits(20..23), ended()], false).expect("runs");
    killed.run(vec![opened(), visits(23..90), visits(90..130), ended()], false).expect("runs");
    assert_eq!(endpoints(&killed), expected);
}

/// Lanes of one source go through several threads; what comes out is the same, over a restart and for a lane that goes on in
/// the place of another one, too.
#[test]
fn any_number_of_threads_gives_the_same_rows_and_alerts() {
    let script = |from: i64| {
        let mut steps: Vec<Step> = (0..5).map(|n| Step::Say(Signal::Opened { lane: nth(n) })).collect();
        for part in 0..6 {
            let offsets = from + part * 15..from + (part + 1) * 15;
            for partition in 0..5 {
                let of = nth(partition);
                steps.push(if partition == 4 {
                    guesses_of(of, offsets.clone())
                } else {
                    visits_of(of, offsets.clone())
                });
            }
        }
        steps.extend((0..5).map(|n| Step::Say(Signal::Ended { lane: nth(n) })));
        steps
    };
    let outcome = |threads: usize| {
        let kept = Kept::new();
        kept.run_on(threads, script(0), false).expect("runs");
        let mut steps = script(90);
        // In the midst of it: a file that goes on under another name.
        steps.insert(20, Step::Say(Signal::Succeeds { lane: nth(9), before: nth(2) }));
        steps.insert(21, Step::Say(Signal::Opened { lane: nth(9) }));
        steps.insert(22, visits_of(nth(9), 0..40));
        steps.push(Step::Say(Signal::Ended { lane: nth(9) }));
        let totals = kept.run_on(threads, steps, false).expect("goes on");
        let events = kept.answers("SELECT * FROM events ORDER BY partition, \"offset\"");
        let alerts = kept.answers("SELECT * FROM alerts ORDER BY id, revision");
        (events, alerts, totals.events)
    };
    let (events, alerts, second) = outcome(1);
    assert_eq!((events.len(), second), (940, 490));
    let learned = events.iter().filter(|row| row.contains("GET /users/{slug}/posts")).count();
    assert!(learned > 500 && !alerts.is_empty(), "{learned} rows with a learned name, {} alerts", alerts.len());
    for threads in [2, 3, 8] {
        let (other_events, other_alerts, _) = outcome(threads);
        assert_eq!(other_events, events, "{threads} threads");
        assert_eq!(other_alerts, alerts, "{threads} threads");
    }
}

#[test]
fn a_checkpoint_that_fails_for_a_moment_is_tried_again_and_lands_once() {
    let kept = Kept::new();
    let lake = std::path::PathBuf::from(&kept.config.uri);
    let fail = move || {
        let (events, away) = (lake.join("events"), lake.join("away"));
        std::fs::rename(&events, &away).expect("the table was made");
        std::fs::write(&events, "no folder").expect("written");
        // A second state shows that an attempt was made; one that fails before it stores its state shows nothing, so that is
        // waited for a few seconds and no longer.
        std::thread::spawn(move || {
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..3_000 {
                let states = states_of(&lake);
                seen.extend(states);
                if seen.len() > 1 {
                    break;
                }
                std::thread::park_timeout(Duration::from_millis(1));
            }
            std::fs::remove_file(&events).expect("there");
            std::fs::rename(&away, &events).expect("there");
        });
    };
    let steps = vec![opened(), records(0..9), Step::Do(Box::new(fail)), ended()];
    let totals = kept.run(steps, false).expect("it goes on");
    assert_eq!((totals.events, totals.rejects), (6, 3));
    assert_eq!(kept.stored(), ["6,6", "3,3"]);
}

/// The state files of a lake, by what tells two writings of the same one apart.
fn states_of(lake: &std::path::Path) -> Vec<(u64, i64, i64)> {
    use std::os::unix::fs::MetadataExt;
    let mut folders = vec![lake.join("_state")];
    let mut states = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                // What is being put is written aside.
                Ok(meta) if !entry.file_name().to_string_lossy().contains('#') => {
                    states.push((meta.ino(), meta.mtime(), meta.mtime_nsec()));
                }
                _ => {}
            }
        }
    }
    states
}
