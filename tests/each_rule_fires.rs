//! Promise: each alert rule fires on its cause, and on a healthy service none does. The causes are real (services with
//! careless settings, a bucket that hangs, a service that is killed), and so is the Prometheus that watches them, with our rules,
//! of which only the times are shorter. Every query of the dashboard has an answer there.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use common::gateway::{Entry, Gateway, write};
use common::process::free_port;
use common::program::WEBHOOK_SECRET;
use common::prometheus::{Prometheus, RULES, filled_in, queries, rules, text};
use common::receiver::Receiver;
use common::s3::{BUCKET, Bucket};
use common::service::Service;
use common::{pusher, wall_clock};
use serde_json::Value;
use tempfile::TempDir;

/// The times of the rules, and what the test has in their place: nothing else of them is changed.
const SHORTER: &[(&str, &str)] = &[
    ("for: 1m\n", "for: 3s\n"),
    ("for: 2m\n", "for: 10s\n"),
    ("for: 5m\n", "for: 5s\n"),
    ("for: 10m\n", "for: 5s\n"),
    ("for: 15m\n", "for: 5s\n"),
    ("for: 30m\n", "for: 5s\n"),
    ("[5m]", "[5s]"),
    ("[10m]", "[10s]"),
    ("[15m]", "[15s]"),
    ("[30m]", "[60s]"),
    ("[1h]", "[60s]"),
    ("offset 1h", "offset 60s"),
    // Seconds of silence, and without a checkpoint.
    ("> 900", "> 15"),
    ("> 120", "> 15"),
];

/// What is provoked: the rule, and the labels of its alert.
const FIRES: &[(&str, &str)] = &[
    ("GatewatchNotScraped", "severity=\"critical\""),
    ("GatewatchDown", "instance=\"killed\""),
    ("GatewatchRestarting", "instance=\"killed\""),
    ("GatewatchFileDescriptors", "instance=\"flooded\""),
    ("GatewatchSourceDown", "instance=\"careless\",source=\"nobody\""),
    ("GatewatchSourceSilent", "instance=\"careless\",source=\"quiet\""),
    ("GatewatchSourceSilent", "instance=\"careless\",source=\"never\""),
    ("GatewatchRejects", "instance=\"careless\",source=\"garbage\""),
    ("GatewatchDamaged", "instance=\"careless\",source=\"odd\",column=\"response_bytes\""),
    ("GatewatchLate", "instance=\"careless\",source=\"late\""),
    ("GatewatchDetectorBlind", "instance=\"careless\",source=\"nameless\",detector=\"brute-force-principal\""),
    ("GatewatchUnevaluated", "instance=\"careless\""),
    ("GatewatchSendersRefused", "instance=\"careless\",source=\"pushed\",reason=\"rate\""),
    ("GatewatchTargetBreakerOpen", "instance=\"careless\",target=\"soar\""),
    ("GatewatchActionsParked", "instance=\"careless\",target=\"soar\""),
    ("GatewatchNoTarget", "instance=\"careless\",kind=\"block\""),
    ("GatewatchWatermarkStuck", "instance=\"stopped-clock\""),
    ("GatewatchEntitiesEvicted", "instance=\"flooded\",detector=\"many\""),
    ("GatewatchCheckpointFailing", "instance=\"broken-lake\""),
    ("GatewatchCheckpointOld", "instance=\"slow-bucket\""),
    ("GatewatchLagGrowing", "instance=\"slow-bucket\",source=\"pushed\""),
    ("GatewatchSpoolNearlyFull", "instance=\"slow-bucket\",source=\"pushed\""),
];

/// They see nothing in logs without credentials and objects, and say so; here nobody is to be told.
const UNFED: &str = "object-walk, credentials-tried-day";

/// More clients than a detector has room for; then so many more at a time, for whom others go every few seconds.
const CROWD: u32 = 210_000;
const MORE_CLIENTS: u32 = 500;
/// Of these, more than four fifths are in use once there are `CONNECTIONS`.
const OPEN_FILES: u64 = 200;
const CONNECTIONS: usize = 145;
/// Long requests, so that few of them fill four fifths of the smallest spool.
const PARCELS: usize = 13;
const PARCEL_RECORDS: usize = 4_300;

/// The real rules with shorter times.
fn shorter() -> String {
    let mut rules = text(RULES);
    for (time, shorter) in SHORTER {
        assert!(rules.contains(time), "no rule has the time {time:?} any more");
        rules = rules.replace(time, shorter);
    }
    let is_long = |word: &&str| {
        let word = word.trim_end_matches([')', ']']);
        let time = word.rsplit_once('[').map_or(word, |(_, time)| time);
        let number = time.strip_suffix(['m', 'h', 'd', 'w']);
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let code = rules.lines().filter(|line| !line.trim_start().starts_with('#'));
    let long: Vec<&str> = code.flat_map(str::split_whitespace).filter(is_long).collect();
    assert!(long.is_empty(), "times that have no shorter one: {long:?}");
    rules
}

/// A service that Prometheus watches under its name.
struct Watched {
    name: &'static str,
    port: u16,
    folder: PathBuf,
    service: Service,
}

impl Watched {
    /// `HERE` in the configuration stands for its folder.
    fn start(root: &TempDir, name: &'static str, configuration: &str) -> Watched {
        let (folder, port) = (root.path().join(name), free_port());
        fs::create_dir_all(&folder).expect("a folder");
        let configuration = format!("data_dir: HERE/data\nobserve: {{ listen: 127.0.0.1:{port} }}\n{configuration}");
        let here = folder.display().to_string();
        fs::write(folder.join("gatewatch.yaml"), configuration.replace("HERE", &here)).expect("written");
        let service = Service::start(&folder.join("gatewatch.yaml"));
        Watched { name, port, folder, service }
    }

    fn kill_and_start(&mut self) {
        self.service.kill();
        self.service = Service::start(&self.folder.join("gatewatch.yaml"));
    }
}

/// A detector of one's own, below the folder of a service.
fn detector(root: &TempDir, service: &str, id: &str, condition: &str) {
    let text = format!(
        "id: {id}\ntitle: Of our own\nseverity: low\nentity: client_ip\n{condition}method: {{ threshold: {{ at_least: 1000000, \
         within: 1h }} }}\nrespond: [case]\nnotes: What it sees.\n"
    );
    fs::create_dir_all(root.path().join(service)).expect("a folder");
    fs::write(root.path().join(service).join(format!("{id}.yaml")), text).expect("written");
}

/// All is well: it reads, finds, tells, blocks and keeps.
fn healthy(root: &TempDir, receiver: &Receiver) -> Watched {
    let configuration = format!(
        "lake: {{ checkpoint_every: 1s }}
detectors: {{ disabled: [{UNFED}] }}
sources:
  - {{ name: edge, kind: nginx_json, files: [HERE/access.log], follow: true, lateness: 10s }}
respond:
  dry_run: false
  targets:
    webhook:
      - {{ name: soar, url: \"{}\", secrets: [{{ env: GATEWATCH_TEST_WEBHOOK_SECRET }}] }}
    nginx:
      - {{ name: gate, file: HERE/deny.conf, test: [], reload: {{ command: [\"true\"] }} }}
",
        receiver.url()
    );
    let healthy = Watched::start(root, "healthy", &configuration);
    fs::write(healthy.folder.join("deny.conf"), "").expect("written");
    write(&healthy.folder.join("access.log"), scan());
    healthy
}

/// One whose sources, detector and target all have something wrong with them.
fn careless(root: &TempDir, pushed: u16) -> Watched {
    detector(root, "careless", "cast", "where: \"CAST(user_agent AS INT) > 5\"\n");
    let followed = ["quiet", "never", "garbage", "odd", "late", "nameless"].map(|name| {
        format!("  - {{ name: {name}, kind: nginx_json, files: [HERE/{name}.log], follow: true, lateness: 10s }}\n")
    });
    let configuration = format!(
        "lake: {{ checkpoint_every: 1s }}
detectors: {{ paths: [HERE/cast.yaml], disabled: [{UNFED}] }}
sources:
{}  - {{ name: nobody, kind: kong, kafka: {{ brokers: \"127.0.0.1:1\", topic: t, group: g }} }}
  - {{ name: pushed, kind: nginx_json, http: {{ listen: 127.0.0.1:{pushed}, records_per_second: 1 }} }}
respond:
  dry_run: false
  delivery: {{ attempts_max: 2, backoff_first: 10ms, backoff_max: 20ms, breaker_failures: 1, breaker_open: 1s }}
  targets:
    webhook:
      - {{ name: soar, url: \"http://127.0.0.1:1/\", kinds: [case], secrets: [{{ env: GATEWATCH_TEST_WEBHOOK_SECRET }}] }}
",
        followed.concat()
    );
    let careless = Watched::start(root, "careless", &configuration);
    fs::write(careless.folder.join("never.log"), "").expect("written");
    write(&careless.folder.join("quiet.log"), ordinary("alice"));
    write(&careless.folder.join("nameless.log"), scan());
    careless
}

/// One source of followed files, and nothing else.
fn plain(root: &TempDir, name: &'static str, more: &str) -> Watched {
    let source = "sources:\n  - { name: edge, kind: nginx_json, files: [HERE/access.log], follow: true }\n";
    Watched::start(root, name, &format!("lake: {{ checkpoint_every: 1s }}\n{source}{more}"))
}

/// One that a crowd of clients asks, and that has many connections.
fn flooded(root: &TempDir, listener: u16) -> Watched {
    detector(root, "flooded", "many", "");
    let more = format!(
        "  - {{ name: lines, kind: combined, syslog: {{ tcp: 127.0.0.1:{listener}, connections_max: 400 }} }}
detectors: {{ catalogue: false, paths: [HERE/many.yaml] }}\n"
    );
    let flooded = plain(root, "flooded", &more);
    flooded.service.limit_open_files(OPEN_FILES);
    flooded
}

/// One whose lake is in a bucket, and whose records are pushed.
fn slow_bucket(root: &TempDir, bucket: &Bucket, pushed: u16) -> Watched {
    let options = bucket.options();
    let options: Vec<String> = options.iter().map(|(key, value)| format!("{key}: \"{value}\"")).collect();
    let configuration = format!(
        "lake: {{ uri: \"s3://{BUCKET}/lake\", checkpoint_every: 1s, checkpoint_rows: 1000, options: {{ {} }} }}
sources:
  - {{ name: pushed, kind: nginx_json, http: {{ listen: 127.0.0.1:{pushed}, spool_max: 64MiB }} }}\n",
        options.join(", ")
    );
    Watched::start(root, "slow-bucket", &configuration)
}

/// Somebody looks for what is not there.
fn scan() -> String {
    let paths = (0..40).map(|path| format!("/guess-{path}.php"));
    let line = |path: String| {
        Entry { client: "203.0.113.66", path: &path, status: 404, bytes: "0", ..Entry::default() }.line()
    };
    paths.map(line).collect()
}

/// Requests of some clients, with the name that they logged in with.
fn ordinary(user: &str) -> String {
    let line = |client: u8| Entry { client: &format!("198.51.100.{client}"), user, ..Entry::default() }.line();
    (1..20).map(line).collect()
}

/// What the gateways write all the time.
fn traffic(root: &Path) -> Gateway {
    let root = root.to_owned();
    let stopped = Entry::default().line().repeat(10);
    Gateway::open(move || {
        write(&root.join("healthy/access.log"), ordinary("alice"));
        write(&root.join("broken-lake/access.log"), ordinary("alice"));
        write(&root.join("stopped-clock/access.log"), &stopped);
        let careless = |name: &str, line: String| {
            write(&root.join("careless").join(name), ordinary("alice") + &line + &line);
        };
        careless("garbage.log", "no log line at all\n".to_owned());
        careless("odd.log", Entry { user: "alice", bytes: "\"plenty\"", ..Entry::default() }.line());
        careless("late.log", Entry { user: "alice", seconds_ago: 60, ..Entry::default() }.line());
        write(&root.join("careless/nameless.log"), ordinary("").repeat(2));
    })
}

/// A crowd of clients of which each comes once, and ever more of them.
fn crowd(log: PathBuf) -> Gateway {
    let mut clients = 0..CROWD;
    Gateway::open(move || {
        let line = Entry { client: "CLIENT", ..Entry::default() }.line();
        let of = |client: u32| line.replace("CLIENT", &format!("2001:db8:{:x}:{:x}::1", client >> 16, client & 0xffff));
        write(&log, clients.clone().map(of).collect::<String>());
        clients = clients.end..clients.end + MORE_CLIENTS;
    })
}

/// Sends a record again and again, taken or not.
fn sender(port: u16) -> Gateway {
    Gateway::open(move || {
        let body = Entry { user: "alice", ..Entry::default() }.line();
        pusher::post(port, "/pushed", "", body.as_bytes()).expect("an answer");
    })
}

/// Waits until the rule fires for these labels, unless it did before.
async fn fires(prometheus: &Prometheus, rule: &str, labels: &str) {
    let alert = format!("ALERTS{{alertname=\"{rule}\",alertstate=\"firing\",{labels}}}");
    prometheus.wait_for(&format!("last_over_time({alert}[10m])"), 60).await;
}

/// The rules that have fired so far, each with the source it is about, if any; `labels` says where.
async fn fired(prometheus: &Prometheus, labels: &str) -> BTreeSet<(String, String)> {
    let alerts = format!("last_over_time(ALERTS{{alertstate=\"firing\",{labels}}}[10m])");
    let found = prometheus.ask(&format!("count by (alertname, source) ({alerts})")).await;
    let label = |alert: &Value, name: &str| alert["metric"][name].as_str().unwrap_or_default().to_owned();
    found.iter().map(|alert| (label(alert, "alertname"), label(alert, "source"))).collect()
}

/// Kills it until it has started three times more, and then for good.
async fn kill_again_and_again(killed: &mut Watched, prometheus: &Prometheus) {
    for times in 1..=3 {
        killed.kill_and_start();
        let seen = format!("changes(process_start_time_seconds{{instance=\"{}\"}}[60s]) >= {times}", killed.name);
        prometheus.wait_for(&seen, 30).await;
    }
    killed.service.kill();
}

/// A file in the place of a folder of the lake: nothing can be written there.
fn break_lake(broken: &Watched) {
    let events = broken.folder.join("data/lake/events");
    fs::rename(&events, broken.folder.join("away")).expect("the table was made");
    fs::write(events, "no folder").expect("written");
}

/// The bucket hangs, and more and more is pushed.
async fn hang(bucket: &Bucket, pushed: u16, prometheus: &Prometheus) -> Gateway {
    let post = |body: &str| pusher::post(pushed, "/pushed", "", body.as_bytes()).expect("an answer").status;
    assert_eq!(post(&Entry::default().line()), 200);
    prometheus.wait_for("gatewatch_checkpoints_total{instance=\"slow-bucket\",result=\"committed\"} > 0", 60).await;
    bucket.hang();
    let path = format!("/v1/orders/{}", "x".repeat(800));
    let parcel = Entry { path: &path, ..Entry::default() }.line().repeat(PARCEL_RECORDS);
    for _ in 0..PARCELS {
        assert_eq!(post(&parcel), 200);
    }
    sender(pushed)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_fires_on_its_cause_and_none_on_a_healthy_service() {
    common::install_crypto();
    let root = common::program::folder();
    let receiver = Receiver::start(&[WEBHOOK_SECRET], wall_clock()).await;
    let prometheus = Prometheus::start(root.path(), &shorter(), "1s");
    let bucket = Bucket::start(root.path()).await;
    let (refused, stored, lines) = (free_port(), free_port(), free_port());
    let mut killed = plain(&root, "killed", "");
    let broken = plain(&root, "broken-lake", "");
    let (careless, flooded) = (careless(&root, refused), flooded(&root, lines));
    let others = [healthy(&root, &receiver), plain(&root, "stopped-clock", ""), slow_bucket(&root, &bucket, stored)];
    let gateways = traffic(root.path());
    // Nobody has told Prometheus of them yet.
    fires(&prometheus, "GatewatchNotScraped", "").await;
    let all = [&killed, &broken, &careless, &flooded].into_iter().chain(&others);
    let targets: Vec<(&str, u16)> = all.map(|watched| (watched.name, watched.port)).collect();
    prometheus.scrape("gatewatch", &targets);
    for (name, _) in &targets {
        // Lake and sources are open.
        prometheus.wait_for(&format!("gatewatch_detector_entities{{instance=\"{name}\"}}"), 60).await;
    }

    break_lake(&broken);
    let senders = [sender(refused), hang(&bucket, stored, &prometheus).await];
    let connect = |_| TcpStream::connect(("127.0.0.1", lines)).expect("it listens");
    let connections: Vec<TcpStream> = (0..CONNECTIONS).map(connect).collect();
    let crowd = crowd(flooded.folder.join("access.log"));
    kill_again_and_again(&mut killed, &prometheus).await;

    for (rule, labels) in FIRES {
        fires(&prometheus, rule, labels).await;
    }
    // A rule that is added wants a cause here.
    let named = |(name, _): &(String, String)| name.clone();
    let all: BTreeSet<String> = fired(&prometheus, "").await.iter().map(named).collect();
    assert_eq!(all, rules().iter().map(named).collect());
    assert_eq!(fired(&prometheus, "instance=\"healthy\"").await, BTreeSet::new());
    // Nor does a rule fire on the cause of another.
    assert_eq!(fired(&prometheus, "instance=\"careless\"").await, causes_of("careless"));
    // Where everything has happened every panel of the dashboard has something to show.
    for (panel, query) in queries() {
        let result = prometheus.ask(&filled_in(&query)).await;
        assert!(!result.is_empty(), "{panel} shows nothing: {query}");
    }
    // It was not quiet because it did nothing.
    prometheus.wait_for("gatewatch_delivery_seconds_count{instance=\"healthy\"} > 0", 10).await;
    prometheus.wait_for("gatewatch_checkpoints_total{instance=\"healthy\",result=\"committed\"} > 10", 10).await;
    drop((gateways, senders, crowd, connections));
    assert_eq!(receiver.violations(), Vec::<String>::new());
}

/// Of a service, what the table says: the rules, each with its source.
fn causes_of(instance: &str) -> BTreeSet<(String, String)> {
    let label = |labels: &str, name: &str| {
        let value = labels.split(',').find_map(|label| label.strip_prefix(&format!("{name}=\"")));
        value.unwrap_or_default().trim_end_matches('"').to_owned()
    };
    let mine = FIRES.iter().filter(|(_, labels)| label(labels, "instance") == instance);
    mine.map(|(rule, labels)| ((*rule).to_owned(), label(labels, "source"))).collect()
}
