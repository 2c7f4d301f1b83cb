//! Every kind of target converges, doubles nothing and loses nothing, whatever goes wrong on the way to it: refusals with and
//! without a time to wait, resets, silence, answers that trickle, break off or get lost, bulk changes that stop half-way,
//! entries changed behind our back, and SIGKILL at any moment.
//!
//! The oracle is the same story undisturbed: what the counterparties hold in the middle and at its end.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "one test starts this program again, to kill it")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use common::alerts::{closing, opening, outbox, tell};
use common::far::{ATTACKER, Far, Making, PRINCIPAL, SECOND, STRANGER, configuration};
use common::faults::{ASKED_US, Fault, Form, Traffic};
use common::wall_us;
use futures::StreamExt;
use gatewatch::respond::actions::KINDS;
use gatewatch::respond::{Clock, Outbox};
use schemas::Alert;
use schemas::alert::{Entity, Severity};
use tokio::sync::watch;

const PLENTY: Duration = Duration::from_secs(240);
/// 2026-03-02T10:00:00Z: all stories begin then, so that all of them have the same ids.
const BEGIN_US: i64 = 1_772_445_600_000_000;
/// For so long somebody is kept out.
const TTL_US: i64 = 100 * 3_600_000_000;
const ALL: [&str; 6] = ["notify", "case", "page", "block", "revoke", "throttle"];
/// Requests that are spoilt in each part of a story; no attempt has more.
const SPOILT: usize = 6;
/// What is waited for an answer where none is to come.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

/// What each counterparty holds, by the target's name.
type Holdings = BTreeMap<String, Vec<String>>;

/// A clock that runs so many times as fast, and that can be put forward.
#[derive(Clone)]
struct Hands {
    started_us: i64,
    speed: i64,
    ahead_us: Arc<AtomicI64>,
}

impl Hands {
    fn new(speed: i64) -> Hands {
        Hands { started_us: wall_us(), speed, ahead_us: Arc::default() }
    }

    /// The same hands in another process.
    fn taken_over(started_us: i64, ahead_us: i64) -> Hands {
        Hands { started_us, speed: 1, ahead_us: Arc::new(AtomicI64::new(ahead_us)) }
    }

    fn now(&self) -> i64 {
        BEGIN_US + (wall_us() - self.started_us) * self.speed + self.ahead_us.load(Ordering::SeqCst)
    }

    fn advance(&self, us: i64) {
        self.ahead_us.fetch_add(us, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let hands = self.clone();
        Arc::new(move || hands.now())
    }
}

/// A folder in memory, where there is one: durability is not what this is about, and a kill keeps it.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder")
}

struct World {
    hands: Hands,
    folder: tempfile::TempDir,
    fars: Vec<Far>,
    traffic: Traffic,
    timeout: Duration,
    concurrency: usize,
}

impl World {
    async fn new(speed: i64, timeout: Duration, concurrency: usize) -> World {
        let (hands, folder) = (Hands::new(speed), folder());
        let traffic: Traffic = Arc::new(watch::channel(0).0);
        let making =
            Making { clock: hands.clock(), holds: timeout * 2, traffic: Arc::clone(&traffic), folder: folder.path() };
        let fars = making.all().await;
        World { hands, folder, fars, traffic, timeout, concurrency }
    }

    fn yaml(&self) -> (String, BTreeMap<String, String>) {
        let (targets, secrets) = configuration(&self.fars);
        let yaml = format!(
            "dry_run: false\ntell: [open, updated, closed]\nincidents: {{ quiet: 0s }}\nguard: {{ ttl: 100h, alert_age_max: 1000h }}\n\
             reconcile_every: 1d\ndelivery: {{ timeout: {}ms, backoff_first: 1ms, backoff_max: 4ms, attempts_max: 100, \
             breaker_failures: 1000000, concurrency: {} }}\n{targets}",
            self.timeout.as_millis(),
            self.concurrency
        );
        (yaml, secrets)
    }

    async fn outbox(&self) -> Arc<Outbox> {
        let (yaml, secrets) = self.yaml();
        let secrets: Vec<(&str, &str)> = secrets.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        outbox(&self.folder.path().join("state.db"), &yaml, &secrets, self.hands.clock()).await
    }

    fn spoil(&self, fault: Option<Fault>, times: usize) {
        match fault {
            Some(fault) => self.fars.iter().for_each(|far| far.spoil(fault, times)),
            None => self.heal(),
        }
    }

    fn heal(&self) {
        self.fars.iter().for_each(Far::heal);
    }

    fn holdings(&self) -> Holdings {
        self.fars.iter().map(|far| (far.name.clone(), far.holds())).collect()
    }

    fn problems(&self) -> Vec<String> {
        self.fars.iter().flat_map(Far::problems).collect()
    }

    /// Doubled is only what the contract gives no way to tell, and no oftener than an answer or a process got lost.
    fn compare(&self, expected: &Holdings, lost: usize, story: &str) {
        for far in &self.fars {
            let (mut found, expected) = (far.holds(), &expected[&far.name]);
            if far.may_double {
                let more = found.len().saturating_sub(expected.len());
                let hidden = lost + far.proxy().map_or(0, |proxy| proxy.hidden());
                assert!(more <= hidden, "{story}, {}: {more} too many, {hidden} answers were lost", far.name);
                found.dedup();
            }
            assert_eq!(&found, expected, "{story}, {}", far.name);
        }
    }
}

fn attacks() -> Vec<Alert> {
    let mut principal = opening("al-3", "192.0.2.1", BEGIN_US);
    principal.entity = Entity { kind: "principal".to_owned(), value: PRINCIPAL.to_owned() };
    principal.detector = "auth-burst-principal".to_owned();
    vec![opening("al-1", ATTACKER, BEGIN_US), opening("al-2", SECOND, BEGIN_US), principal]
}

/// The first attacker does something worse as well.
fn worse() -> Alert {
    let detector = "endpoint-sweep".to_owned();
    Alert { detector, severity: Severity::Critical, ..opening("al-4", ATTACKER, BEGIN_US) }
}

fn ends() -> Vec<Alert> {
    let mut all = attacks();
    all.push(worse());
    all.iter().map(closing).collect()
}

async fn settle(outbox: &Arc<Outbox>, story: &str) {
    let left = outbox.drain(PLENTY).await.expect("drains");
    assert_eq!(left, 0, "{story}: some were not delivered: {:?}", outbox.counts().await.expect("counts"));
}

/// Attacks are told, get worse and go on, somebody changes the lists, the attacks end and so do the blocks; each part with the fault.
/// What was held in the middle and at the end.
async fn live(world: &World, fault: Option<Fault>, times: usize, expected: Option<&Oracle>) -> Oracle {
    let story = format!("{fault:?}");
    let outbox = world.outbox().await;
    world.spoil(fault, times);
    tell(&outbox, &attacks(), &ALL, world.hands.now()).await;
    settle(&outbox, &story).await;
    world.spoil(fault, times);
    tell(&outbox, &[worse()], &ALL, world.hands.now()).await;
    settle(&outbox, &story).await;
    // More than half of each block is over and the attacks go on: all are renewed.
    world.spoil(fault, times);
    world.hands.advance(TTL_US * 2 / 3);
    for _ in 0..2 {
        settle(&outbox, &story).await;
    }
    world.fars.iter().for_each(Far::meddle);
    world.spoil(fault, times);
    for _ in 0..=2 * times {
        outbox.reconcile().await.expect("read back");
        settle(&outbox, &story).await;
        let unspoilt = |far: &Far| far.proxy().is_none_or(|proxy| !proxy.is_spoiling());
        if expected.is_some_and(|expected| world.holdings() == expected.middle) || world.fars.iter().all(unspoilt) {
            break;
        }
        if matches!(fault, Some(Fault::Busy(_))) {
            // A reading that was told to wait comes again after that time.
            world.hands.advance(ASKED_US);
        }
    }
    let middle = world.holdings();
    if let Some(expected) = expected {
        world.compare(&expected.middle, 0, &format!("{story}, in the middle"));
    }
    world.spoil(fault, times);
    tell(&outbox, &ends(), &ALL, world.hands.now()).await;
    settle(&outbox, &story).await;
    world.spoil(fault, times);
    world.hands.advance(2 * TTL_US);
    for _ in 0..3 {
        settle(&outbox, &story).await;
    }
    if let Some(expected) = expected {
        world.compare(&expected.end, 0, &format!("{story}, at the end"));
    }
    assert_eq!(world.problems(), Vec::<String>::new(), "{story}");
    let parked = outbox.parked(None, 100).await.expect("the parked actions");
    assert!(parked.is_empty(), "{story}: {parked:#?}");
    Oracle { middle, end: world.holdings() }
}

struct Oracle {
    middle: Holdings,
    end: Holdings,
}

/// The story without a fault; that it is the right one is asserted, too.
async fn oracle() -> Oracle {
    let world = World::new(1, LONG, 2).await;
    let oracle = live(&world, None, 0, None).await;
    let named: BTreeSet<&str> = world.fars.iter().map(|far| far.kind).collect();
    assert_eq!(named, KINDS.iter().copied().collect(), "a kind of target without a counterparty here");
    for far in &world.fars {
        let (middle, end) = (&oracle.middle[&far.name], &oracle.end[&far.name]);
        match far.kind {
            "kong" => assert_eq!((middle.len(), end.len()), (2, 0), "revoked and throttled"),
            "keycloak" => {
                assert_eq!(middle[..], ["\"alice\" enabled false", "0 sessions"].map(str::to_owned));
                assert_eq!(end[..], ["\"alice\" enabled true", "0 sessions"].map(str::to_owned));
            }
            "cloudflare" | "fastly" | "aws_waf" | "crowdsec" | "haproxy" | "nginx" | "modsecurity" => {
                let has = |list: &[String], address: &str| list.iter().any(|line| line.contains(address));
                let files = ["nginx", "modsecurity"].contains(&far.kind);
                assert!(has(middle, ATTACKER) && has(middle, SECOND), "{}: {middle:?}", far.name);
                assert_eq!(has(middle, STRANGER), !files, "{}: {middle:?}", far.name);
                assert_eq!(end.len(), usize::from(!files), "{}: {end:?}", far.name);
            }
            "jira" | "thehive" | "servicenow" | "splunk_soar" | "xsoar" => {
                assert_eq!(end.len(), 3, "{}: {end:?}", far.name);
                assert!(end.iter().all(|line| line.contains(": closed 1,")), "{}: {end:?}", far.name);
            }
            "pagerduty" | "opsgenie" | "alertmanager" => {
                assert!(middle.iter().all(|line| line.ends_with("opened 1, open")), "{}: {middle:?}", far.name);
                assert!(end.iter().all(|line| line.ends_with("opened 1, over")), "{}: {end:?}", far.name);
                assert_eq!(end.len(), 3, "{}: {end:?}", far.name);
            }
            _ => assert_eq!((middle.len(), end.len()), (4, 7), "{}: three opened, one worse, three over", far.name),
        }
    }
    oracle
}

/// One story with this fault, against the oracle; each wire must have been hit.
async fn with(fault: Fault, oracle: &Oracle) {
    let silent = matches!(fault, Fault::BlackHole | Fault::Drip);
    let busy = matches!(fault, Fault::Busy(_));
    // Where times to wait are looked at, attempts come one after the other, and half a minute takes 300 ms.
    let (speed, concurrency) = if busy { (100, 1) } else { (1, 2) };
    let world = World::new(speed, if silent { SHORT } else { LONG }, concurrency).await;
    live(&world, Some(fault), if busy { 2 } else { SPOILT }, Some(oracle)).await;
    for far in &world.fars {
        assert!(far.proxy().is_none_or(|proxy| proxy.spoilt() > 0), "{fault:?} never came to {}", far.name);
    }
}

const FAULTS: [Fault; 13] = [
    Fault::Busy(Form::Seconds),
    Fault::Busy(Form::Imf),
    Fault::Busy(Form::Rfc850),
    Fault::Busy(Form::Asctime),
    Fault::Status(500),
    Fault::Status(503),
    Fault::Reset,
    Fault::BlackHole,
    Fault::Trickle,
    Fault::Drip,
    Fault::Lost,
    Fault::Covered,
    Fault::CutShort,
];

/// Stories that are under way at the same time.
const AT_ONCE: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_target_converges_through_every_fault() {
    let oracle = oracle().await;
    let stories = FAULTS.map(|fault| with(fault, &oracle));
    futures::stream::iter(stories).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_target_converges_where_requests_come_twice() {
    let oracle = oracle().await;
    with(Fault::Twice, &oracle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_changes_that_stop_half_way_are_completed() {
    let world = World::new(1, LONG, 2).await;
    let outbox = world.outbox().await;
    let bulks: Vec<&Far> = world.fars.iter().filter(|far| far.halve(2)).collect();
    assert_eq!(bulks.iter().map(|far| far.kind).collect::<Vec<_>>(), ["cloudflare", "fastly"]);
    let alerts: Vec<Alert> =
        (0..8).map(|n| opening(&format!("al-{n}"), &format!("198.18.{n}.7"), world.hands.now())).collect();
    tell(&outbox, &alerts, &["block"], world.hands.now()).await;
    settle(&outbox, "half of a bulk").await;
    let mut all: Vec<String> = (0..8).map(|n| format!("198.18.{n}.7 ours")).collect();
    all.sort();
    for far in &bulks {
        assert_eq!(far.holds(), all, "{}", far.name);
        far.halve(2);
    }
    let over: Vec<Alert> = alerts.iter().map(closing).collect();
    tell(&outbox, &over, &["block"], world.hands.now()).await;
    world.hands.advance(2 * TTL_US);
    for _ in 0..3 {
        settle(&outbox, "half of a bulk").await;
    }
    bulks.iter().for_each(|far| assert_eq!(far.holds(), [""; 0], "{}", far.name));
    assert_eq!(world.problems(), [""; 0]);
}

const CHILD: &str = "GATEWATCH_TEST_FAULTS_CHILD";

/// What a process is to do, and when it lives.
#[derive(serde::Serialize, serde::Deserialize)]
struct Errand {
    part: String,
    yaml: String,
    secrets: BTreeMap<String, String>,
    store: std::path::PathBuf,
    started_us: i64,
    ahead_us: i64,
}

/// Not a test by itself: the process that the next test kills. It does one part of the story and says when that is done.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_responds_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let errand: Errand = serde_json::from_slice(&std::fs::read(path).expect("an errand")).expect("JSON");
    let hands = Hands::taken_over(errand.started_us, errand.ahead_us);
    let secrets: Vec<(&str, &str)> =
        errand.secrets.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let outbox = outbox(&errand.store, &errand.yaml, &secrets, hands.clock()).await;
    match errand.part.as_str() {
        "attacks" => {
            tell(&outbox, &attacks(), &ALL, hands.now()).await;
            settle(&outbox, "attacks").await;
            tell(&outbox, &[worse()], &ALL, hands.now()).await;
        }
        "repairs" => {
            settle(&outbox, "renewals").await;
            outbox.reconcile().await.expect("read back");
        }
        "ends" => drop(tell(&outbox, &ends(), &ALL, hands.now()).await),
        _ => {}
    }
    for _ in 0..3 {
        settle(&outbox, &errand.part).await;
    }
    let parked = outbox.parked(None, 100).await.expect("the parked actions");
    assert!(parked.is_empty(), "{}: {parked:#?}", errand.part);
    println!("\nDONE {}", errand.part);
}

fn child(errand: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child_that_responds_until_it_is_killed", "--nocapture"])
        .env(CHILD, errand)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts")
}

/// Runs a process until it is done, or until so many more requests came; whether it was done.
async fn run_or_kill(world: &World, errand: &Path, requests: Option<usize>) -> bool {
    let mut child = child(errand);
    let output = child.stdout.take().expect("piped");
    let said_done = tokio::task::spawn_blocking(move || {
        let mut lines = std::io::BufReader::new(output).lines().map_while(Result::ok);
        lines.any(|line| line.starts_with("DONE"))
    });
    let mut traffic = world.traffic.subscribe();
    let enough = *traffic.borrow() + requests.unwrap_or(usize::MAX / 2);
    let done = tokio::select! {
        done = said_done => done.expect("reads"),
        _ = traffic.wait_for(|seen| *seen >= enough) => false,
    };
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    done
}

/// After how many requests the processes of one part are killed.
const KILLED_AFTER: [usize; 6] = [1, 9, 25, 40, 70, 110];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_over_kill_9() {
    let oracle = oracle().await;
    let world = World::new(1, LONG, 2).await;
    let faults = [Fault::Lost, Fault::Covered, Fault::Status(503), Fault::Reset, Fault::CutShort];
    let (yaml, secrets) = world.yaml();
    let mut kills = 0;
    for (part, ahead_us) in
        [("attacks", 0), ("repairs", TTL_US * 2 / 3), ("ends", TTL_US * 2 / 3), ("over", 3 * TTL_US)]
    {
        world.hands.ahead_us.store(ahead_us, Ordering::SeqCst);
        let errand = Errand {
            part: part.to_owned(),
            yaml: yaml.clone(),
            secrets: secrets.clone(),
            store: world.folder.path().join("state.db"),
            started_us: world.hands.started_us,
            ahead_us,
        };
        let path = world.folder.path().join("errand.json");
        std::fs::write(&path, serde_json::to_vec(&errand).expect("plain data")).expect("written");
        if part == "repairs" {
            world.fars.iter().for_each(Far::meddle);
        }
        for (round, requests) in KILLED_AFTER.into_iter().enumerate() {
            for (n, far) in world.fars.iter().enumerate() {
                far.spoil(faults[(n + round) % faults.len()], 2);
            }
            kills += usize::from(!run_or_kill(&world, &path, Some(requests)).await);
        }
        world.heal();
        assert!(run_or_kill(&world, &path, None).await, "{part}: the last process is left in peace");
        match part {
            "repairs" => world.compare(&oracle.middle, kills * 2, "killed, in the middle"),
            "over" => world.compare(&oracle.end, kills * 2, "killed, at the end"),
            _ => {}
        }
    }
    assert!(kills >= 8, "{kills} processes were killed");
    assert_eq!(world.problems(), Vec::<String>::new());
}
