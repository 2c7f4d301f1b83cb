//! Promise: nothing fails in silence. Each warning is provoked by its cause; alerts and actions are lines of the log; metrics,
//! health and status say what happened, against known inputs; a source that fails fails alone.

mod common;

use std::fmt::Write;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use common::http::{collector, get, request, until, until_settled};
use common::kafka::{Broker, Given};
use common::program::{self, WEBHOOK_SECRET, file, folder, number, path, run};
use common::receiver::{Receiver, Reply};
use common::service::Service;
use gatewatch::metric::{Kind, METRICS};
use gatewatch::observe::recorder::Samples;
use tempfile::TempDir;

/// When these tests began, some seconds earlier, as logs in the combined format write it.
fn clf(seconds_ago: i64) -> String {
    static BEGAN: LazyLock<i64> = LazyLock::new(common::wall_us);
    let time = chrono::DateTime::from_timestamp_micros(*BEGAN - seconds_ago * 1_000_000).expect("a time");
    time.format("%d/%b/%Y:%H:%M:%S +0000").to_string()
}

fn combined(client: &str, seconds_ago: i64, path: &str, status: u16) -> String {
    format!("{client} - - [{}] \"GET {path} HTTP/1.1\" {status} 12 \"-\" \"curl/8.5.0\"\n", clf(seconds_ago))
}

/// A record of nginx_json whose status is this JSON value.
fn nginx(second: usize, status: &str) -> String {
    format!(
        "{{\"time_iso8601\":\"2026-01-05T10:{:02}:{:02}+00:00\",\"remote_addr\":\"192.0.2.7\",\"request_method\":\"GET\",\
         \"request_uri\":\"/v1/orders\",\"status\":{status},\"body_bytes_sent\":512,\"request_time\":0.012,\
         \"http_user_agent\":\"curl/8.5.0\",\"host\":\"api.example.com\"}}\n",
        second / 60,
        second % 60
    )
}

/// A configuration: these sources (the lines below `sources:`), and more sections.
fn config(folder: &TempDir, sources: &str, more: &str) -> PathBuf {
    let data = folder.path().join("data");
    file(folder, "gatewatch.yaml", format!("data_dir: {}\nsources:\n{sources}{more}", data.display()))
}

fn files_source(name: &str, kind: &str, log: &Path) -> String {
    format!("  - {{ name: {name}, kind: {kind}, files: [{}] }}\n", log.display())
}

/// A topic nobody serves: it keeps the service running, and fails.
fn nobodys_topic(name: &str) -> String {
    format!("  - {{ name: {name}, kind: kong, kafka: {{ brokers: \"127.0.0.1:1\", topic: t, group: g }} }}\n")
}

fn topic_source(name: &str, broker: &Broker, topic: &str, more: &str) -> String {
    let brokers = broker.brokers();
    format!(
        "  - {{ name: {name}, kind: combined, {more}kafka: {{ brokers: \"{brokers}\", topic: {topic}, group: {topic}, \
         idle_after: 200ms }} }}\n"
    )
}

fn webhook(url: &str, delivery: &str) -> String {
    format!(
        "respond:\n  dry_run: false\n  delivery: {{ {delivery} }}\n  targets:\n    webhook:\n      - {{ name: soar, url: \"{url}\", \
         kinds: [case], secrets: [{{ env: GATEWATCH_TEST_WEBHOOK_SECRET }}] }}\n"
    )
}

fn produce(broker: &Broker, topic: &str, lines: &str) {
    broker.produce(topic, 0, lines.lines().map(|line| Given::value(line.as_bytes())));
}

/// A record that is none, with something in it that nobody shall see.
const BROKEN: &str = "broken not-a-real-secret-5d1e";

/// One client is refused sixty times.
fn burst(client: &str) -> String {
    (0..60).map(|n| combined(client, 60 - n / 2, "/login", 401)).collect()
}

#[test]
fn shares_that_are_unusual_are_told_with_count_and_cure() {
    let folder = folder();
    let wrong: String = (0..40).map(|_| combined("192.0.2.7", 60, "/", 200)).collect();
    let tenths: String =
        (0..14).map(|n| nginx(n, "200")).chain((0..126).map(|_| combined("192.0.2.7", 60, "/", 200))).collect();
    let mut late: String = (0..1_500).map(|n| combined("192.0.2.7", 1_500 - n, "/", 200)).collect();
    (0..5).for_each(|_| late.push_str(&combined("192.0.2.8", 200, "/", 200)));
    let damaged: String = (0..100).map(|n| nginx(n, if n % 10 == 3 { "\"many\"" } else { "200" })).collect();
    let logs = [
        ("wrong", "nginx_json", wrong),
        ("tenths", "nginx_json", tenths),
        ("late", "combined", late),
        ("damaged", "nginx_json", damaged),
    ];
    let sources: String = logs
        .iter()
        .map(|(name, kind, text)| files_source(name, kind, &file(&folder, &format!("{name}.log"), text)))
        .collect();
    let ran = run(&["run", "--config", path(&config(&folder, &sources, ""))]);
    // Of a finite source of which nothing became an event the run fails, and says which.
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let end = "source wrong: no record became an event, all 40 are rejects; is kind: nginx_json right?";
    assert!(ran.stderr.contains(end) && !ran.stderr.contains("source tenths: no record"), "{}", ran.stderr);
    for words in [
        &[
            "warning=\"rejects\"",
            "about=\"wrong\"",
            "count=40",
            "40 of the last 40 records are rejects, 40 of them invalid_json (",
            "is kind: nginx_json right? `gatewatch explain --source nginx_json FILE`",
        ][..],
        &[
            "warning=\"rejects\"",
            "about=\"tenths\"",
            "126 of the last 140 records are rejects, 126 of them invalid_json (",
        ],
        &[
            "warning=\"late\"",
            "about=\"late\"",
            "5 of the last 1505 events came late",
            "set lateness: 199s on this source",
        ],
        &["warning=\"damaged\"", "about=\"damaged: status\"", "status is damaged in 10 of the last 100 events"],
        &[
            "warning=\"blind\"",
            "about=\"late: principal\"",
            "principal was never filled in 1505 events of this source: account-many-addresses, ",
            " brute-force-principal, brute-force-principal-day, ",
            " password-spraying, password-spraying-day, password-spraying-whole, ",
            " cannot see there",
            "let the gateway log what principal is made of",
        ],
    ] {
        let found = ran.stderr.lines().filter(|line| words.iter().all(|word| line.contains(word))).count();
        assert_eq!(found, 1, "{words:?}: {}", ran.stderr);
    }
    // And no others of these kinds.
    assert_eq!(ran.stderr.matches("warning=\"rejects\"").count(), 2, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("warning=\"late\"").count(), 1, "{}", ran.stderr);
    assert_eq!(number(&folder.path().join("data"), "select count(*) from events"), 14 + 1_505 + 100);
}

#[test]
fn what_the_configuration_leaves_open_is_told_by_check_and_at_the_start() {
    let folder = folder();
    let detector = "id: mine\ntitle: Mine\nseverity: high\nentity: client_ip\nmethod: { threshold: { at_least: 5, within: 1m } }\n\
                    respond: [block, page]\nnotes: What it sees.\n";
    let detector = file(&folder, "mine.yaml", detector);
    let sources = nobodys_topic("edge").replace("127.0.0.1:1", "127.0.0.1:1, localhost");
    let more = format!(
        "detectors: {{ catalogue: false, paths: [{}] }}\nobserve: {{ listen: \"0.0.0.0:0\" }}\n{}",
        detector.display(),
        webhook("http://127.0.0.1:1/", "timeout: 1s").replace("[case]", "[page]"),
    );
    let config = config(&folder, &sources, &more);
    let ran = run(&["check", "--config", path(&config)]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains(": well-formed, with 3 warnings; 1 source, 1 detector, 1 target, "), "{}", ran.stdout);
    let told = [
        "block: no target takes `block`, which these detectors ask for: mine",
        "edge: kafka.brokers names no port for localhost: 9092 is taken",
        "observe.listen: metrics and status are open to whoever reaches 0.0.0.0:0",
    ];
    for words in told {
        assert!(ran.stderr.contains(&format!("warning: {words}; ")), "{words}: {}", ran.stderr);
    }
    let mut service = Service::start(&config);
    for words in told {
        let (about, message) = words.split_once(": ").expect("two parts");
        service.line_with(&["WARN", message, &format!("about=\"{about}\"")], 60);
    }
    service.kill();
}

#[test]
fn alerts_actions_and_a_silent_source_are_lines_of_the_log_and_figures() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let receiver = runtime.block_on(Receiver::start(&[WEBHOOK_SECRET], common::wall_clock()));
    let (broker, folder) = (Broker::shared(), folder());
    let topic = broker.topic(1);
    let sources = topic_source("edge", &broker, &topic, "silent_after: 4s, ");
    let more = format!("lake: {{ checkpoint_every: 300ms }}\n{}", webhook(&receiver.url(), "timeout: 5s"));
    let mut service = Service::start(&config(&folder, &sources, &more));
    let address = service.address();
    let calm: String = (0..40).map(|n| combined("198.51.100.20", 100 - n, "/v1/items", 200)).collect();
    produce(
        &broker,
        &topic,
        &format!("{calm}{}{BROKEN}\n{}", burst("203.0.113.66"), combined("203.0.113.67", -900, "/", 200)),
    );

    let opened =
        service.line_with(&["alert opened: ", "entity=\"203.0.113.66\"", "detector=\"auth-burst-new-ip\""], 60);
    for words in ["WARN", "severity=\"high\"", "entity_kind=\"client_ip\"", "observed=", "threshold=", "alert="] {
        assert!(opened.contains(words), "{words}: {opened}");
    }
    let suppressed = service.line_with(&["action suppressed", "kind=\"block\"", "entity=\"203.0.113.66\""], 60);
    assert!(
        suppressed.contains("why=\"no target takes `block`\"") && suppressed.contains("target=\"none\""),
        "{suppressed}"
    );
    service.line_with(&["action delivered", "kind=\"case\"", "target=\"soar\"", "entity=\"203.0.113.66\""], 60);

    let is_committed = |answer: &common::http::Answer| answer.json()["checkpoint"]["uncommitted_rows"] == 0;
    let status = until(address, "/status", |answer| {
        let status = answer.json();
        status["sources"][0]["records"] == 102
            && status["detection"]["detectors"].as_array().is_some_and(|all| all.iter().any(|d| d["open"] == 1))
            && is_committed(answer)
    });
    let status = status.json();
    let edge = &status["sources"][0];
    assert_eq!((&edge["name"], &edge["state"], &edge["partitions"]), (&"edge".into(), &"up".into(), &1.into()));
    assert_eq!(
        (&edge["events"], &edge["late"], &edge["ahead"], &edge["failures"]),
        (&101.into(), &0.into(), &1.into(), &0.into())
    );
    assert_eq!(edge["rejects"], serde_json::json!({ "invalid_line": 1 }));
    assert!(edge["last_record"].is_string() && edge["last_event"].is_string(), "{edge}");
    let blocks = &status["response"]["suppressed"]["block"]["no_target"];
    assert!(blocks.as_u64().is_some_and(|blocks| blocks >= 1), "{}", status["response"]);
    assert_eq!(status["response"]["targets"][0]["breaker"], "closed");
    let lag = until(address, "/status", |answer| answer.json()["sources"][0]["lag_records"] == 0);
    assert_eq!(lag.status, 200);

    let text = get(address, "/metrics");
    assert!(text.head.contains("text/plain; version=0.0.4"), "{}", text.head);
    the_metrics_are_as_described(&text.body);
    let samples = Samples::parse(&text.body);
    let edge = [("source", "edge")];
    for (name, expected) in [
        ("gatewatch_records_total", 102),
        ("gatewatch_events_total", 101),
        ("gatewatch_rejects_total", 1),
        ("gatewatch_ahead_total", 1),
        ("gatewatch_late_total", 0),
        ("gatewatch_source_up", 1),
        ("gatewatch_partitions", 1),
        ("gatewatch_source_failures_total", 0),
    ] {
        assert_eq!(samples.value(name, &edge), Some(f64::from(expected)), "{name}");
    }
    let bytes =
        calm.len() + burst("203.0.113.66").len() + BROKEN.len() + combined("203.0.113.67", -900, "/", 200).len() - 101;
    assert_eq!(samples.count("gatewatch_record_bytes_total", &edge), bytes as u64);
    let burst = [("detector", "auth-burst-new-ip")];
    assert_eq!(samples.count("gatewatch_alerts_total", &[burst[0], ("state", "opened")]), 1);
    assert_eq!(samples.count("gatewatch_alerts_open", &burst), 1);
    assert_eq!(
        samples.count("gatewatch_alert_delay_seconds_count", &[]),
        samples.count("gatewatch_alerts_total", &[("state", "opened")])
    );
    assert_eq!(
        samples.count("gatewatch_action_steps_total", &[("target", "soar"), ("kind", "case"), ("step", "delivered")]),
        receiver.effects().len() as u64
    );
    assert_eq!(samples.count("gatewatch_delivery_seconds_count", &[("target", "soar")]), receiver.seen().len() as u64);
    assert!(samples.count("gatewatch_checkpoints_total", &[("result", "committed")]) >= 1);
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_start_time_seconds"] {
        assert!(samples.value(name, &[]).is_some_and(|value| value > 0.0), "{name}");
    }

    // Silence is told, and ends with the next record.
    let silent = service.line_with(&["warning=\"silent\"", "about=\"edge\"", "nothing came from this source for"], 60);
    assert!(silent.contains("silent_after of the source"), "{silent}");
    assert!(get(address, "/status").body.contains("\"warning\":\"silent\""));
    produce(&broker, &topic, &combined("198.51.100.20", 0, "/v1/items", 200));
    service.line_with(&["is over: nothing came from this source"], 60);

    let screen = program::run(&["status", "--url", &format!("http://{address}")]);
    assert_eq!(screen.code, 0, "{}", screen.stderr);
    for words in [
        "gatewatch ",
        "instance main: running",
        "SOURCE",
        "edge",
        "combined",
        "auth-burst-new-ip",
        "no_target",
        "soar",
        "live",
    ] {
        assert!(screen.stdout.contains(words), "{words}: {}", screen.stdout);
    }
    let json = program::run(&["status", "--url", &format!("http://{address}"), "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["sources"][0]["events"], 102);

    let shown = [get(address, "/status").body, get(address, "/metrics").body, get(address, "/readyz").body];
    assert!(shown.iter().all(|text| !text.contains("not-a-real-secret")), "a record is shown");
    let said = service.stop();
    assert!(said.iter().all(|line| !line.contains("not-a-real-secret")), "a record is logged");
    let stopping = ["stopping: nothing more is read", "waiting_actions=", "seconds_max=10"];
    assert!(said.iter().any(|line| stopping.iter().all(|words| line.contains(words))), "{}", said.join("\n"));
    assert!(
        said.iter().any(|line| line.contains("gatewatch stopped; everything read is committed")),
        "{}",
        said.join("\n")
    );
}

/// Each family is one of the table's, with its text and type.
fn the_metrics_are_as_described(text: &str) {
    let mut families = 0;
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            families += 1;
            let metric = METRICS
                .iter()
                .find(|metric| metric.name == name)
                .unwrap_or_else(|| panic!("{name} is no metric of ours"));
            let expected = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            assert_eq!(kind, expected, "{name}");
            assert!(text.contains(&format!("# HELP {name} {}", metric.help)), "{name}");
        }
    }
    assert!(families > 35, "{families} families");
}

#[test]
fn a_target_that_does_not_answer_and_parked_actions_are_warnings() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let receiver = runtime.block_on(Receiver::start(&[WEBHOOK_SECRET], common::wall_clock()));
    receiver.otherwise(Reply::status(500));
    let folder = folder();
    let log = file(&folder, "attack.log", burst("203.0.113.66"));
    let sources = files_source("edge", "combined", &log) + &nobodys_topic("other");
    let more = webhook(
        &receiver.url(),
        "attempts_max: 2, backoff_first: 10ms, backoff_max: 20ms, breaker_failures: 1, breaker_open: 1500ms",
    );
    let mut service = Service::start(&config(&folder, &sources, &more));
    let address = service.address();
    service.line_with(&["warning=\"breaker\"", "about=\"soar\"", "does not answer as it should (", "500"], 60);
    service.line_with(&["action parked, it waits for a person", "kind=\"case\"", "target=\"soar\""], 60);
    service.line_with(&["warning=\"parked\"", "about=\"soar\"", "1 actions were given up on"], 60);
    let status = until(address, "/status", |answer| answer.json()["response"]["targets"][0]["parked"] == 1).json();
    assert_eq!(status["response"]["targets"][0]["pending"], 0);
    let samples = Samples::parse(&get(address, "/metrics").body);
    assert_eq!(samples.count("gatewatch_outbox_parked", &[("target", "soar")]), 1);
    assert_eq!(samples.count("gatewatch_warnings", &[("warning", "parked")]), 1);
    service.stop();
}

#[test]
fn what_waits_for_a_person_and_the_kill_switch_are_warnings() {
    let folder = folder();
    let log = file(&folder, "attack.log", burst("203.0.113.66"));
    let sources = files_source("edge", "combined", &log) + &nobodys_topic("other");
    let list = file(&folder, "deny.conf", "");
    let more = format!(
        "respond:\n  dry_run: false\n  policy: [{{ do: [block], approve: true }}]\n  targets:\n    nginx: [{{ name: edge, \
         file: {}, test: [], reload: {{ command: [\"true\"] }} }}]\n",
        list.display()
    );
    let config = config(&folder, &sources, &more);
    let mut service = Service::start(&config);
    let address = service.address();
    service.line_with(&["action waits for a person to agree", "target=\"edge\"", "203.0.113.66"], 60);
    service.line_with(&["warning=\"awaiting\"", "about=\"edge\"", "1 actions wait for a person to agree"], 60);
    let samples = Samples::parse(&get(address, "/metrics").body);
    assert_eq!(samples.count("gatewatch_outbox_awaiting", &[("target", "edge")]), 1);
    let halted = program::run(&[
        "actions",
        "halt",
        "--reason",
        "wrong people",
        "--as",
        "a.example",
        "--config",
        program::path(&config),
    ]);
    assert_eq!(halted.code, 0, "{}", halted.stderr);
    service.line_with(&["warning=\"halted\"", "pulled by a.example: wrong people"], 60);
    let resumed = program::run(&["actions", "resume", "--config", program::path(&config)]);
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    service.line_with(&["is over: nobody is contained"], 60);
    assert_eq!(std::fs::read_to_string(&list).expect("the list"), "", "nobody agreed");
    service.stop();
}

/// A gzip file whose second half is torn, and how many of its lines can be read.
fn torn(folder: &TempDir) -> PathBuf {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut text = String::new();
    for n in 0..20_000u64 {
        let _ = writeln!(
            text,
            "{}",
            combined("192.0.2.9", 60, &format!("/a{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)), 200).trim_end()
        );
    }
    std::io::Write::write_all(&mut packer, text.as_bytes()).expect("packed");
    let mut bytes = packer.finish().expect("packed");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xFF);
    file(folder, "torn.log.gz", bytes)
}

#[test]
fn a_source_that_fails_fails_alone_and_is_seen_until_it_is_well() {
    let folder = folder();
    let torn = torn(&folder);
    let good: String = (0..100).map(|n| combined("192.0.2.7", 200 - n, "/v1/items", 200)).collect();
    let good = file(&folder, "good.log", good);
    let sources =
        files_source("torn", "combined", &torn) + &files_source("good", "combined", &good) + &nobodys_topic("away");
    let mut service = Service::start(&config(&folder, &sources, "lake: { checkpoint_every: 300ms }\n"));
    let address = service.address();
    let line = service.line_with(&["this source fails and is tried again; the others go on", "source=\"torn\""], 60);
    assert!(line.contains("torn.log.gz: the gzip data is damaged"), "{line}");
    let failing = |answer: &common::http::Answer| {
        let status = answer.json();
        status["sources"][1]["events"] == 100
            && status["sources"][2]["state"] == "failing"
            && status["sources"][0]["failures"].as_u64() >= Some(2)
    };
    until(address, "/status", failing);
    let of_torn = |what: &'static str| move |status: &serde_json::Value| status["sources"][0][what].as_u64();
    let status = until_settled(address, "/status", of_torn("failures"), of_torn("records"));
    assert_eq!((&status["sources"][0]["state"], &status["sources"][1]["state"]), (&"failing".into(), &"ended".into()));
    assert!(status["sources"][0]["next_try"].is_string(), "{status}");
    assert!(status["sources"][2]["error"].as_str().is_some_and(|error| error.contains("127.0.0.1:1")), "{status}");
    let read = status["sources"][0]["events"].as_u64().expect("a count");
    assert!((5_000..20_000).contains(&read), "what is before the damage is read, once: {read}");
    let ready = get(address, "/readyz");
    assert_eq!((ready.status, &ready.json()["ready"]), (200, &true.into()));
    assert_eq!(ready.json()["sources"]["torn"]["state"], "failing");
    let samples = Samples::parse(&get(address, "/metrics").body);
    let up = |source| samples.value("gatewatch_source_up", &[("source", source)]);
    assert_eq!((up("torn"), up("away"), up("good")), (Some(0.0), Some(0.0), None), "one that ended is neither");
    assert!(samples.count("gatewatch_source_failures_total", &[("source", "torn")]) >= 2);

    // Mended: the same lines and more, of which the new ones are read.
    let records = status["sources"][0]["records"].as_u64().expect("a count");
    let lines: String = (0..records + 7).map(|_| combined("192.0.2.9", 1, "/mended", 200)).collect();
    fs::write(&torn, lines).expect("written");
    service.line_with(&["this source can be read again", "source=\"torn\""], 60);
    until(address, "/status", |answer| answer.json()["sources"][0]["events"] == read + 7);
    service.stop();
    let data = folder.path().join("data");
    assert_eq!(number(&data, "select count(*) from events where source = 'torn'"), read as i64 + 7);
    assert_eq!(number(&data, "select count(distinct \"offset\") from events where source = 'torn'"), read as i64 + 7);
    assert_eq!(number(&data, "select count(*) from events where source = 'good'"), 100);
}

#[test]
fn a_run_over_files_reads_the_good_ones_and_fails_for_the_damaged_one() {
    let folder = folder();
    let torn = torn(&folder);
    let good = file(&folder, "good.log", combined("192.0.2.7", 10, "/v1/items", 200).repeat(30_000));
    let sources = files_source("torn", "combined", &torn) + &files_source("good", "combined", &good);
    let ran = run(&["run", "--config", path(&config(&folder, &sources, ""))]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("gatewatch: source torn: ") && ran.stderr.contains("the gzip data is damaged"),
        "{}",
        ran.stderr
    );
    assert_eq!(number(&folder.path().join("data"), "select count(*) from events where source = 'good'"), 30_000);
}

#[test]
fn health_and_readiness_follow_the_life_of_the_service() {
    let folder = folder();
    // A bucket that takes connections and says nothing: the lake cannot be opened.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let endpoint = silent.local_addr().expect("an address");
    let bucket = format!(
        "lake: {{ uri: \"s3://a/b\", options: {{ aws_endpoint: \"http://{endpoint}\", aws_allow_http: \"true\", aws_region: x, \
         aws_access_key_id: a, aws_secret_access_key: not-a-secret }} }}\n"
    );
    let starting = config(&folder, &nobodys_topic("edge"), &bucket);
    let mut service = Service::start(&starting);
    let address = service.address();
    assert_eq!(get(address, "/healthz").status, 200);
    let ready = get(address, "/readyz");
    assert_eq!(
        (ready.status, &ready.json()["phase"], &ready.json()["lake"]),
        (503, &"starting".into(), &"opening".into())
    );
    service.kill();

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let receiver = runtime.block_on(Receiver::start(&[WEBHOOK_SECRET], common::wall_clock()));
    receiver.otherwise(Reply::accept().after(Duration::from_secs(4)));
    let log = file(&folder, "attack.log", burst("203.0.113.66"));
    let sources = files_source("edge", "combined", &log) + &nobodys_topic("away");
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("bound");
    manager.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    let heard = || {
        let mut buffer = [0; 64];
        let bytes = manager.recv(&mut buffer).expect("a word");
        String::from_utf8_lossy(&buffer[..bytes]).into_owned()
    };
    let environment = [("NOTIFY_SOCKET", path(&socket)), ("WATCHDOG_USEC", "3000000")];
    let running = config(&folder, &sources, &webhook(&receiver.url(), "timeout: 10s"));
    let mut service = Service::start_with(&running, &environment);
    let address = service.address();
    assert_eq!(heard(), "READY=1");
    let ready = get(address, "/readyz");
    assert_eq!((ready.status, &ready.json()["lake"]), (200, &"open".into()), "{}", ready.body);
    assert_eq!(heard(), "WATCHDOG=1");
    until(address, "/status", |answer| answer.json()["response"]["targets"][0]["in_flight"] == 1);
    service.terminate();
    let stopping = until(address, "/readyz", |answer| answer.status == 503).json();
    assert_eq!((&stopping["ready"], &stopping["phase"]), (&false.into(), &"stopping".into()));
    while heard() != "STOPPING=1" {}
    service.ended();
}

#[test]
fn nothing_that_a_client_writes_comes_back_and_an_address_in_use_is_named() {
    let folder = folder();
    let mut service = Service::start(&config(&folder, &nobodys_topic("edge"), ""));
    let address = service.address();
    let marker = "canary7f3a";
    for (method, target, expected) in [
        ("GET", "/canary7f3a?canary7f3a", 404),
        ("GET", "/metrics/canary7f3a", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/status?canary7f3a", 405),
        ("HEAD", "/status", 200),
        ("HEAD", "/canary7f3a", 404),
        ("GET", "/status?canary7f3a", 200),
    ] {
        let answer = request(address, method, target);
        assert_eq!(answer.status, expected, "{method} {target}");
        assert!(!answer.head.contains(marker) && !answer.body.contains(marker), "{method} {target}: {}", answer.body);
        assert!(method != "HEAD" || answer.body.is_empty(), "{method} {target}: {}", answer.body);
    }
    let second = common::program::folder();
    let taken = config(&second, &nobodys_topic("edge"), &format!("observe: {{ listen: \"{address}\" }}\n"));
    let ran = run(&["run", "--config", path(&taken)]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("observe.listen: {address} is in use")), "{}", ran.stderr);
    service.kill();

    let nobody = run(&["status", "--url", &format!("http://{address}")]);
    assert_eq!(nobody.code, 1, "{}", nobody.stderr);
    for words in [&format!("http://{address}/: nothing answers"), "observe.listen", "status --config FILE"] {
        assert!(nobody.stderr.contains(words), "{words}: {}", nobody.stderr);
    }
}

#[test]
fn spans_go_to_a_collector_and_hold_no_content() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let receiver = runtime.block_on(Receiver::start(&[WEBHOOK_SECRET], common::wall_clock()));
    let (folder, (address, received)) = (folder(), collector());
    let log = file(&folder, "attack.log", burst("203.0.113.66"));
    let more = format!(
        "observe: {{ otlp: {{ endpoint: \"http://{address}\" }} }}\n{}",
        webhook(&receiver.url(), "timeout: 5s")
    );
    let ran = run(&["run", "--config", path(&config(&folder, &files_source("edge", "combined", &log), &more))]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let requests: Vec<(String, Vec<u8>)> = received.try_iter().collect();
    assert!(!requests.is_empty() && requests.iter().all(|(path, _)| path == "/v1/traces"));
    let all: Vec<u8> = requests.into_iter().flat_map(|(_, body)| body).collect();
    let holds = |words: &str| all.windows(words.len()).any(|part| part == words.as_bytes());
    for words in ["gatewatch", "batch", "checkpoint", "delivery", "edge", "soar"] {
        assert!(holds(words), "{words}");
    }
    assert!(!holds("203.0.113.66") && !holds("/login"), "content in a span");
    assert!(!ran.stderr.contains("batch{"), "spans are no lines of the log: {}", ran.stderr);
}

#[test]
fn connections_that_say_nothing_do_not_keep_others_out_and_a_reload_is_no_end() {
    let folder = folder();
    let log = file(&folder, "a.log", combined("198.51.100.7", 5, "/v1/items", 200));
    let source = format!("  - {{ name: edge, kind: combined, files: [{}], follow: true }}\n", log.display());
    let config = config(&folder, &source, "");
    let mut service = Service::start(&config);
    let address = service.address();
    let silent: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    assert_eq!(get(address, "/healthz").status, 200);
    drop(silent);

    service.wait_for("gatewatch runs", 60);
    service.signal("HUP");
    service.line_with(&["nothing has changed in the configuration or the detectors"], 60);
    let mut second = Service::start(&config);
    second.line_with(&["another service has this data_dir open"], 60);
    assert_eq!(get(address, "/healthz").status, 200);
    service.stop();
}
