//! Promise: whenever the service crashes, between any two writes to its lake or within one, and however often, each record is an
//! event or a reject once, and the alerts are those of a run that never crashed, in the lake and on the desk.
//!
//! The whole service but its sources and its targets, over a bucket in memory and a state store whose users die with the crash. A seed says everything that is left to chance: how records
//! are cut into batches, on how many threads, when a checkpoint is made and the lake is tidied up, and at which writes it crashes.

#[path = "any_crash/bucket.rs"]
mod bucket;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bucket::Life;
use gatewatch::app::{self, Job, Keep};
use gatewatch::clock;
use gatewatch::ingest::{IngestError, Positions, Signal, Source};
use gatewatch::lake::{Lake, LakeConfig, Maintenance, RetainDays};
use gatewatch::pipeline::{LedgerConfig, Nobody};
use gatewatch::query::{self, QueryLimits};
use gatewatch::respond::incident::desk::{self, WhichAlerts};
use gatewatch::respond::{Outbox, RespondConfig};
use gatewatch::store::Store;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use schemas::{Keys, Lane, RawBatch, SourceConfig};
use tokio::runtime::Runtime;

/// Records of each lane.
const RECORDS: i64 = 60;
const LANES: i32 = 2;
/// Crashes of a run, at most; each at one of the next so many writes.
const CRASHES_MAX: u32 = 4;
const WRITES: u32 = 16;

struct Chance(ChaCha8Rng);

impl Chance {
    fn below(&mut self, bound: u32) -> u32 {
        self.0.next_u32() % bound
    }
}

/// The lines of a lane are the same in each run; where they are cut is not.
struct Script(VecDeque<Signal>);

impl Script {
    fn new(positions: &dyn Positions, chance: &mut Chance) -> anyhow::Result<Script> {
        let lanes: Vec<Lane> = (0..LANES).map(|partition| Lane::new("edge", partition)).collect();
        let mut signals: VecDeque<Signal> = lanes.iter().map(|lane| Signal::Opened { lane: lane.clone() }).collect();
        let mut next = positions.next_offsets(&lanes)?.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>();
        while next.iter().any(|at| *at < RECORDS) {
            let which = chance.below(LANES as u32) as usize;
            let end = RECORDS.min(next[which] + 1 + i64::from(chance.below(25)));
            if next[which] < end {
                let mut records = RawBatch::new();
                (next[which]..end).for_each(|at| records.push(at, 0, line(which as i64, at).as_bytes()));
                signals.push_back(Signal::Records { lane: lanes[which].clone(), records });
                next[which] = end;
            }
        }
        signals.extend(lanes.into_iter().map(|lane| Signal::Ended { lane }));
        Ok(Script(signals))
    }
}

/// Now and then no line; four clients, whose alerts open, are told again and close.
fn line(lane: i64, at: i64) -> String {
    if at % 13 == 5 {
        return format!("no line {lane} {at}");
    }
    let (client, second) = (lane * 2 + (at / 11) % 2, at * 5 + lane);
    let (minute, second) = (second / 60, second % 60);
    let word = ["alpha", "beta", "gamma"][(at % 3) as usize];
    format!(
        "192.0.2.{client} - - [05/Jan/2026:10:{minute:02}:{second:02} +0000] \"GET /v1/{word}/{at} HTTP/1.1\" 404 12 \"-\" \"x\""
    )
}

impl Source for Script {
    fn next(&mut self, _timeout: Duration) -> Result<Option<Signal>, IngestError> {
        Ok(self.0.pop_front())
    }

    fn finished(&self) -> bool {
        self.0.is_empty()
    }

    fn pause(&mut self, _lanes: &[Lane]) -> Result<(), IngestError> {
        Ok(())
    }

    fn resume(&mut self, _lanes: &[Lane]) -> Result<(), IngestError> {
        Ok(())
    }
}

const RULE: &str = "id: three\ntitle: Three\nseverity: low\nentity: client_ip\nquiet: 50s\nnotes: of a test\n\
                    method: { threshold: { at_least: 3, within: 20s } }\n";

fn lake_of(name: &str) -> LakeConfig {
    LakeConfig::new(&format!("s3://{name}/lake"), clock::now_us)
}

/// What outlives a life of the service.
struct Kept {
    bucket: String,
    folder: tempfile::TempDir,
}

impl Kept {
    fn new(bucket: String) -> Kept {
        Kept { bucket, folder: tempfile::tempdir().expect("a folder") }
    }

    fn store(&self) -> std::path::PathBuf {
        self.folder.path().join("state.db")
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        bucket::forget(&self.bucket);
    }
}

/// One life of the service: to the end of its records, or to its crash.
fn run(kept: &Kept, life: &Arc<Life>, chance: &mut Chance) -> anyhow::Result<()> {
    bucket::live(&kept.bucket, life);
    let runtime = app::runtime()?;
    let store = runtime.block_on(Store::open(&kept.store()))?;
    let outbox = Outbox::new(store.clone(), RespondConfig::default(), Vec::new(), &[], clock::system(), 1)?;
    let result = run_with(&runtime, &kept.bucket, Arc::new(outbox), chance);
    if result.is_ok() {
        runtime.block_on(store.close());
    }
    // What waited to be told dies with it.
    runtime.shutdown_background();
    result
}

fn run_with(runtime: &Runtime, name: &str, outbox: Arc<Outbox>, chance: &mut Chance) -> anyhow::Result<()> {
    let few = |chance: &mut Chance| if chance.below(2) == 0 { 0 } else { 3_600 };
    let ledger = LedgerConfig {
        every: Duration::from_secs(few(chance)),
        rows: 10 + chance.below(100) as usize,
        maintain_every: Duration::from_secs(few(chance)),
        maintenance: Maintenance {
            compact_after_files: 2,
            retain: RetainDays { events: None, alerts: None, actions: None, rejects: None, audit: None },
            vacuum_after: Duration::ZERO,
            ..Maintenance::default()
        },
    };
    let threads = 1 + chance.below(2) as usize;
    let keys = Keys::new("k1", b"fake");
    let job = Job {
        sources: vec![SourceConfig { name: "edge".into(), kind: "combined".into(), ..SourceConfig::default() }],
        geo: None,
        lateness_us: HashMap::new(),
        open: Box::new(|positions| Ok(Box::new(Script::new(&*positions, chance)?))),
        keys,
        threads: Some(threads),
        rules: vec![Arc::new(detectors::parse_rule(RULE, "three").expect("a rule"))],
        keep: Some(Keep { lake: lake_of(name), instance: "one".into(), ledger, audit: None }),
        outbox: Some(outbox),
        outlets: Vec::new(),
        stop: Arc::default(),
        swap: Arc::default(),
        progress: Box::new(|_| {}),
        watcher: Box::new(Nobody),
    };
    app::run(job, runtime.handle()).map(drop)
}

/// What the lake holds: positions of events and rejects, and every telling of an alert; and how each alert stands on the desk.
fn held(kept: &Kept) -> [String; 4] {
    let runtime = app::runtime().expect("a runtime");
    runtime.block_on(async {
        let session = query::session(&lake_of(&kept.bucket).uri, &HashMap::new(), QueryLimits::default()).await;
        let session = session.expect("a session");
        let mut answers = Vec::new();
        for sql in [
            "SELECT partition, \"offset\", client_ip, endpoint FROM events ORDER BY 1, 2, 3, 4",
            "SELECT partition, \"offset\", code FROM rejects ORDER BY 1, 2, 3",
            "SELECT * FROM alerts ORDER BY id, revision, state",
        ] {
            let answer = query::run(&session, sql, QueryLimits::default()).await.expect(sql);
            let mut bytes = Vec::new();
            query::write(&answer, query::Format::Csv, &mut bytes).expect("written");
            answers.push(String::from_utf8(bytes).expect("text"));
        }
        let store = Store::open(&kept.store()).await.expect("the store opens");
        let which = WhichAlerts { limit: u32::MAX, ..WhichAlerts::default() };
        let known = desk::alerts(&store, &which).await.expect("alerts");
        let shown = known.iter().map(|(alert, _)| format!("{} {} {:?}\n", alert.id, alert.revision, alert.state));
        let mut shown: Vec<String> = shown.collect();
        shown.sort();
        answers.push(shown.concat());
        answers.try_into().expect("four")
    })
}

/// From here on lakes are in memory.
fn begin() {
    // The program names its own kinds of storage with its first lake.
    let folder = tempfile::tempdir().expect("a folder");
    let first = LakeConfig::new(&folder.path().display().to_string(), clock::now_us);
    drop(app::runtime().expect("a runtime").block_on(Lake::open(&first, "one")).expect("a lake"));
    bucket::install();
}

fn check(seeds: std::ops::Range<u64>) {
    begin();
    let (mut expected, mut crashes) = (None, 0);
    let lives = u64::from(CRASHES_MAX) * (seeds.end - seeds.start);
    for seed in seeds {
        let kept = Kept::new(format!("seed-{seed}"));
        let mut chance = Chance(ChaCha8Rng::seed_from_u64(seed));
        // The first is the run without a crash that all others are compared with.
        let most = if expected.is_none() { 0 } else { 1 + chance.below(CRASHES_MAX) };
        for _ in 0..most {
            let life = Life::of(1 + i64::from(chance.below(WRITES)), chance.below(2) == 0);
            let result = run(&kept, &life, &mut chance);
            assert!(result.is_ok() || life.is_over(), "seed {seed}: {result:?}");
            crashes += u64::from(life.is_over());
        }
        run(&kept, &Life::unbounded(), &mut chance).unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        let found = held(&kept);
        let expected = expected.get_or_insert_with(|| {
            assert_eq!(found[0].lines().count() + found[1].lines().count() - 2, (RECORDS * i64::from(LANES)) as usize);
            assert!(found[2].lines().count() > 8, "alerts open, are told again and close: {}", found[2]);
            assert!(found[3].lines().count() > 2, "alerts are on the desk: {}", found[3]);
            found.clone()
        });
        assert_eq!(found, *expected, "seed {seed}");
    }
    assert!(crashes > lives / 5, "only {crashes} crashes");
}

#[test]
fn a_crash_at_any_write_loses_nothing_and_doubles_nothing() {
    check(0..60);
}

#[test]
#[ignore = "ten thousand seeds take half an hour"]
fn ten_thousand_seeds_of_crashes_lose_nothing_and_double_nothing() {
    check(0..10_000);
}

#[test]
fn each_of_the_first_writes_can_be_the_last() {
    begin();
    let chance = || Chance(ChaCha8Rng::seed_from_u64(7));
    let whole = Kept::new("whole".to_owned());
    run(&whole, &Life::unbounded(), &mut chance()).expect("a run");
    let (expected, mut last) = (held(&whole), 0);
    // How many there are depends on how often there is time for a checkpoint.
    'writes: loop {
        last += 1;
        for does_last in [false, true] {
            let kept = Kept::new(format!("last-{last}-{does_last}"));
            let (mut chance, life) = (chance(), Life::of(last, does_last));
            let result = run(&kept, &life, &mut chance);
            if !life.is_over() {
                result.expect("a run without a crash");
                break 'writes;
            }
            run(&kept, &Life::unbounded(), &mut chance).expect("the next run");
            assert_eq!(held(&kept), expected, "write {last}, done: {does_last}");
        }
    }
    assert!(last > 8, "{last} writes");
}
