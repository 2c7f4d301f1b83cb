//! Promise: what is changed while the service runs is checked first, taken whole or refused whole, and costs nothing: no line
//! is lost or read twice, no count begins anew that need not, no alert stays open whose detector is gone.

mod common;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use common::http::{Answer, get, until};
use common::program::{folder, number, path, query, run};
use common::service::Service;
use tempfile::TempDir;

const CLIENT: &str = "203.0.113.7";
const OTHER: &str = "203.0.113.8";

/// A service on one followed log, with a folder of detectors and nothing else.
struct Desk {
    folder: TempDir,
    config: PathBuf,
    log: PathBuf,
    checkpoint_every: &'static str,
    /// How long the log rests before all that was read is committed.
    idle_after: &'static str,
    /// Lines written so far.
    written: i64,
}

impl Desk {
    fn new() -> Desk {
        let folder = folder();
        let (config, log) = (folder.path().join("gatewatch.yaml"), folder.path().join("a.log"));
        fs::create_dir(folder.path().join("detectors")).expect("a folder");
        fs::write(&log, "").expect("written");
        let desk = Desk { folder, config, log, checkpoint_every: "1s", idle_after: "1s", written: 0 };
        desk.configure("");
        desk
    }

    /// The configuration, with more at its end.
    fn configure(&self, more: &str) {
        let at = self.folder.path();
        let text = format!(
            "data_dir: {0}/data\ndetectors: {{ catalogue: false, paths: [{0}/detectors] }}\nlake: {{ checkpoint_every: {1} }}\nsources:\n  \
             - {{ name: edge, kind: combined, files: [{0}/a.log], follow: true, lateness: 0s, idle_after: {2} }}\n{more}",
            at.display(),
            self.checkpoint_every,
            self.idle_after
        );
        replace(&self.config, &text);
    }

    fn detector(&self, id: &str, at_least: u32, title: &str) {
        let text = format!(
            "id: {id}\ntitle: {title}\nseverity: low\nentity: client_ip\nquiet: 1h\nnotes: of a test\n\
             method: {{ threshold: {{ at_least: {at_least}, within: 30m }} }}\n"
        );
        replace(&self.file_of(id), &text);
    }

    fn file_of(&self, id: &str) -> PathBuf {
        self.folder.path().join("detectors").join(format!("{id}.yaml"))
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn write(&mut self, client: &str, lines: usize) {
        let time = chrono::DateTime::from_timestamp_micros(common::wall_us())
            .expect("a time")
            .format("%d/%b/%Y:%H:%M:%S +0000");
        let line = format!("{client} - - [{time}] \"GET /v1/items HTTP/1.1\" 200 12 \"-\" \"curl/8.5.0\"\n");
        let mut log = OpenOptions::new().append(true).open(&self.log).expect("the log is there");
        log.write_all(line.repeat(lines).as_bytes()).expect("written");
        self.written += lines as i64;
    }

    /// Every line is an event, once.
    fn nothing_is_lost_or_twice(&self) {
        let data = self.data();
        assert_eq!(number(&data, "select count(*) from events"), self.written);
        assert_eq!(number(&data, "select count(distinct \"offset\") from events"), self.written);
    }
}

/// As editors do: written beside it, then put in its place.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("written");
    fs::rename(&beside, path).expect("renamed");
}

fn events_read(service: &mut Service, count: i64) {
    let words = format!("gatewatch_events_total{{source=\"edge\"}} {count}");
    until(service.address(), "/metrics", |answer| answer.body.contains(&words));
}

#[test]
fn detectors_are_swapped_while_lines_come_in() {
    let mut desk = Desk::new();
    desk.detector("three", 3, "First");
    desk.detector("gone", 2, "Gone");
    let mut service = Service::start(&desk.config);
    service.wait_for("gatewatch runs", 60);
    desk.write(CLIENT, 2);
    service.wait_for("alert opened: Gone", 60);

    // One goes, one comes, one gets another title. What `three` has counted stays counted.
    desk.detector("five", 5, "Five");
    desk.detector("three", 3, "Another title");
    fs::remove_file(desk.file_of("gone")).unwrap();
    service.wait_for("other detectors run from here on", 60);
    service.line_with(&["the detectors have changed", "removed=\"gone\""], 60);
    service.line_with(&["alert closed: Gone"], 60);
    desk.write(CLIENT, 1);
    service.wait_for("alert opened: Another title", 60);
    let status = get(service.address(), "/status").json();
    let ids: Vec<&str> =
        status["detection"]["detectors"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["five", "three"]);

    // Nothing has changed: said when somebody asks.
    service.signal("HUP");
    service.wait_for("nothing has changed in the configuration or the detectors", 60);

    // A wrong one is refused with all that came with it; what ran goes on.
    desk.detector("three", 1, "Not taken");
    replace(&desk.file_of("wrong"), "id: wrong\ntitle: x\n");
    service.wait_for("is refused, what ran before goes on", 60);
    let line = service.line_with(&["wrong.yaml", "gatewatch check --config"], 60);
    assert!(line.contains("warning=\"reload\""), "{line}");
    assert_eq!(run(&["check", "--config", path(&desk.config)]).code, 2);
    let metrics = get(service.address(), "/metrics").body;
    assert!(metrics.contains("gatewatch_config_last_reload_successful 0"), "{metrics}");
    assert!(metrics.contains("gatewatch_warnings{warning=\"reload\"} 1"), "{metrics}");
    desk.write(OTHER, 2);
    events_read(&mut service, 5);
    assert!(!service.said.iter().any(|line| line.contains("Not taken")));

    // Mended, it is taken, and the warning is over.
    fs::remove_file(desk.file_of("wrong")).unwrap();
    service.wait_for("other detectors run from here on", 60);
    desk.write(OTHER, 1);
    service.wait_for("alert opened: Not taken", 60);
    let metrics = get(service.address(), "/metrics").body;
    assert!(metrics.contains("gatewatch_config_last_reload_successful 1"), "{metrics}");
    assert!(metrics.contains("gatewatch_warnings{warning=\"reload\"} 0"), "{metrics}");
    service.stop();

    desk.nothing_is_lost_or_twice();
    let sql = "select detector, state, evidence from alerts where state = 'closed' order by 1";
    let closed: Vec<String> =
        query(&desk.data(), sql).iter().map(|row| format!("{} {}", row["detector"], row["evidence"])).collect();
    // `three` gave way to one that counts to another number.
    assert_eq!(closed.len(), 2, "{closed:?}");
    assert!(closed.iter().all(|row| row.contains("the detector was changed or taken away")), "{closed:?}");
    let changes = "select detail from audit where what = 'configuration' order by n";
    assert_eq!(query(&desk.data(), changes).len(), 2);
}

#[test]
fn a_new_source_begins_and_the_others_go_on_where_they_were() {
    let mut desk = Desk::new();
    desk.detector("three", 3, "First");
    let mut service = Service::start(&desk.config);
    service.wait_for("gatewatch runs", 60);
    desk.write(CLIENT, 2);
    events_read(&mut service, 2);

    let more = desk.folder.path().join("more.log");
    fs::write(&more, fs::read(&desk.log).unwrap()).unwrap();
    desk.configure(&format!("  - {{ name: more, kind: combined, files: [{}], follow: true }}\n", more.display()));
    service.wait_for("the service begins again with it", 60);
    service.wait_for("gatewatch runs", 60);
    // Two of `edge` before, and two of the new source.
    service.wait_for("alert opened: First", 60);
    desk.write(CLIENT, 1);
    let address = |service: &Service| {
        let line = service.said.iter().rev().find_map(|line| line.rsplit_once("metrics and status: http://"));
        line.expect("it listens again").1.trim().parse().expect("an address")
    };
    let is_read = |answer: &Answer| answer.body.contains("gatewatch_events_total{source=\"edge\"} 3");
    let shown = until(address(&service), "/metrics", is_read).body;
    assert!(shown.contains("gatewatch_source_up{source=\"more\"} 1"), "{shown}");

    // Away again: what it counted stays, what it is now is nobody's.
    desk.configure("");
    service.wait_for("the service begins again with it", 60);
    service.wait_for("gatewatch runs", 60);
    let shown = until(address(&service), "/metrics", |answer| answer.body.contains("gatewatch_source_up")).body;
    assert!(shown.contains("gatewatch_events_total{source=\"more\"} 2"), "{shown}");
    assert!(!shown.contains("gatewatch_source_up{source=\"more\"}"), "{shown}\n{}", service.said.join("\n"));
    let said = service.stop();

    let by_source = query(&desk.data(), "select source, count(*) as n from events group by 1 order by 1");
    assert_eq!(by_source.iter().map(|row| row["n"].as_i64()).collect::<Vec<_>>(), [Some(3), Some(2)]);
    let starts = "select count(*) from audit where what in ('start', 'stop')";
    assert_eq!(number(&desk.data(), starts), 6, "{}", said.join("\n"));
    let changed = query(&desk.data(), "select detail from audit where what = 'configuration'");
    assert!(changed.len() == 2 && changed[0]["detail"].to_string().contains("sources"), "{changed:?}");
}

#[test]
fn a_configuration_with_which_it_cannot_begin_is_given_up_for_the_one_before() {
    let mut desk = Desk::new();
    desk.detector("three", 3, "First");
    let mut service = Service::start(&desk.config);
    service.wait_for("gatewatch runs", 60);
    desk.write(CLIENT, 2);
    events_read(&mut service, 2);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    desk.configure(&format!("observe: {{ listen: {} }}\n", taken.local_addr().unwrap()));
    service.wait_for("cannot begin with the new configuration and goes back to the one before", 60);
    service.wait_for("gatewatch runs", 60);
    desk.write(CLIENT, 1);
    service.wait_for("alert opened: First", 60);
    // It is not tried again unasked, and that it is refused is seen.
    let refused = "gatewatch_config_last_reload_successful 0";
    service.line_with(&["warning=\"reload\"", "could not begin with it"], 60);
    // It listens anew.
    let listening = service.said.iter().rev().find_map(|line| line.rsplit_once("metrics and status: http://"));
    let address = listening.expect("an address").1.trim().parse().expect("an address");
    until(address, "/metrics", |answer| answer.body.contains(refused));
    for _ in 0..3 {
        desk.write(OTHER, 1);
        service.wait_for("checkpoint", 60);
    }
    let back = service.said.iter().filter(|line| line.contains("goes back to the one before")).count();
    assert_eq!(back, 1, "{}", service.said.join("\n"));
    // Detectors have nothing to do with that.
    desk.detector("four", 4, "Second");
    service.line_with(&["the detectors have changed", "added=\"four\""], 60);
    drop(taken);
    service.signal("HUP");
    service.wait_for("the service begins again with it", 60);
    service.wait_for("gatewatch runs", 60);
    service.stop();
    desk.nothing_is_lost_or_twice();
}

#[test]
fn a_source_that_cannot_be_opened_is_refused_before_anything_ends() {
    let mut desk = Desk::new();
    desk.detector("three", 3, "First");
    let mut service = Service::start(&desk.config);
    service.wait_for("gatewatch runs", 60);
    desk.write(CLIENT, 2);
    events_read(&mut service, 2);
    let at = desk.folder.path().display().to_string();
    let good = fs::read_to_string(&desk.config).expect("read");
    fs::write(desk.folder.path().join("ca.pem"), "no certificate").expect("written");
    for (more, words) in [
        ("properties: { session.timeout.ms: \"abc\" }".to_owned(), "session.timeout.ms"),
        (format!("tls: {{ ca: {at}/ca.pem }}"), "ssl.ca.location"),
    ] {
        let topic = format!(
            "  - {{ name: k, kind: combined, kafka: {{ brokers: \"127.0.0.1:1\", topic: t, group: g, {more} }} }}\n"
        );
        replace(&desk.config, &(good.clone() + &topic));
        service.line_with(&["the configuration was changed and is refused", words], 60);
        let checked = run(&["check", "--config", path(&desk.config)]);
        assert!(checked.code == 2 && checked.stderr.contains(words), "{}", checked.stderr);
    }
    desk.write(CLIENT, 1);
    service.wait_for("alert opened: First", 60);
    assert!(!service.said.iter().any(|line| line.contains("begins again")), "{}", service.said.join("\n"));
    service.stop();
    desk.nothing_is_lost_or_twice();
}

/// An older state store is put back, in which an alert is open that is over since: nobody else would close it.
#[test]
fn what_is_open_in_an_older_state_store_alone_is_closed() {
    let mut desk = Desk::new();
    desk.detector("guesses", 3, "Guesses");
    let text = fs::read_to_string(desk.file_of("guesses"))
        .expect("read")
        .replace("quiet: 1h", "quiet: 2s")
        .replace("within: 30m", "within: 2s");
    replace(&desk.file_of("guesses"), &text);
    let mut service = Service::start(&desk.config);
    service.wait_for("gatewatch runs", 60);
    desk.write(CLIENT, 3);
    service.line_with(&["alert opened: Guesses"], 60);
    service.stop();
    let kept = desk.folder.path().join("kept");
    fs::create_dir(&kept).expect("a folder");
    let is_store = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("state.db");
    let stores = |from: &Path, to: &Path| {
        let old = fs::read_dir(to).expect("a folder").flatten().filter(is_store);
        old.for_each(|entry| fs::remove_file(entry.path()).expect("removed"));
        for entry in fs::read_dir(from).expect("a folder").flatten().filter(is_store) {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
    };
    stores(&desk.data(), &kept);
    let mut service = Service::start(&desk.config);
    service.wait_for("gatewatch runs", 60);
    desk.write(OTHER, 1);
    service.line_with(&["alert closed: Guesses"], 60);
    service.stop();

    stores(&kept, &desk.data());
    let mut service = Service::start(&desk.config);
    service.line_with(&["open in the state store and not in detection", "alerts_closed=1"], 60);
    service.stop();
    let listed = run(&["alerts", "list", "--format", "json", "--data-dir", path(&desk.data())]).stdout;
    assert!(listed.contains("\"state\":\"closed\"") && !listed.contains("\"state\":\"open\""), "{listed}");
}

/// The state store is lost, or an older one is put back, while an attack goes on: what detection holds open is told again.
#[test]
fn what_is_open_is_told_again_to_a_state_store_that_does_not_know_it() {
    let mut desk = Desk::new();
    let list = desk.folder.path().join("block.txt");
    fs::write(&list, "").expect("written");
    desk.configure(&format!(
        "respond:\n  dry_run: false\n  guard: {{ ttl: 1h }}\n  targets:\n    \
         modsecurity: [{{ name: wall, file: {}, reload: {{ command: [/bin/true] }} }}]\n",
        list.display()
    ));
    desk.detector("guesses", 3, "Guesses");
    let text = fs::read_to_string(desk.file_of("guesses")).expect("read");
    replace(&desk.file_of("guesses"), &(text + "respond: [block]\ndry_run: false\n"));
    let mut service = Service::start(&desk.config);
    service.wait_for("gatewatch runs", 60);
    desk.write(CLIENT, 3);
    service.line_with(&["action delivered", "wall", CLIENT], 60);
    service.stop();

    for entry in fs::read_dir(desk.data()).expect("a folder").flatten() {
        if entry.file_name().to_string_lossy().starts_with("state.db") {
            fs::remove_file(entry.path()).expect("removed");
        }
    }
    fs::write(&list, "").expect("written");
    let mut service = Service::start(&desk.config);
    service.line_with(&["unknown to the state store", "alerts=1"], 60);
    service.line_with(&["action delivered", "wall", CLIENT], 60);
    assert!(blocked(&list));
    service.stop();
    let open = run(&["incidents", "list", "--status", "open", "--format", "json", "--data-dir", path(&desk.data())]);
    assert!(open.stdout.contains(CLIENT), "{}", open.stdout);
    // Once, and not to the lake, which knew it.
    let mut service = Service::start(&desk.config);
    service.wait_for("gatewatch runs", 60);
    let said = service.stop();
    assert!(!said.iter().any(|line| line.contains("unknown to the state store")), "{}", said.join("\n"));
    assert_eq!(number(&desk.data(), "select count(*) from alerts"), 1);
}

#[test]
fn a_storm_of_changes_and_signals_loses_nothing_and_doubles_nothing() {
    let mut desk = Desk::new();
    desk.detector("many", 40, "Many");
    let mut service = Service::start(&desk.config);
    service.wait_for("gatewatch runs", 60);
    for round in 0..6 {
        desk.write(CLIENT, 3);
        // Another redaction begins the service again, another title does not.
        match round % 2 {
            0 => {
                desk.configure(&format!(
                    "redaction: {{ classes: {{ phone: {} }} }}\n",
                    if round % 4 == 0 { "drop" } else { "mask" }
                ));
                desk.write(CLIENT, 3);
                service.signal("HUP");
                service.wait_for("gatewatch runs", 60);
            }
            _ => {
                desk.detector("many", 40, &format!("Many {round}"));
                desk.write(CLIENT, 3);
                service.wait_for("other detectors run from here on", 60);
            }
        }
    }
    // Thirty-six so far; the fortieth opens the one alert, with the newest title.
    desk.write(CLIENT, 4);
    service.wait_for("alert opened: Many 5", 60);
    service.stop();
    desk.nothing_is_lost_or_twice();
    assert_eq!(number(&desk.data(), "select count(*) from alerts where state = 'open'"), 1);
}

#[test]
fn files_that_are_named_from_the_folder_one_is_in_are_watched_too() {
    let desk = Desk::new();
    desk.detector("three", 3, "First");
    let text = fs::read_to_string(&desk.config).unwrap();
    let folder = format!("{}/", desk.folder.path().display());
    replace(&desk.config, &text.replace(&format!("paths: [{folder}"), "paths: ["));
    let mut service = Service::start_in(desk.folder.path(), Path::new("gatewatch.yaml"), &[]);
    service.wait_for("gatewatch runs", 60);
    desk.detector("three", 3, "Second");
    service.wait_for("other detectors run from here on", 60);
    // Folders are read with those in them, and watched so.
    let team = desk.folder.path().join("detectors/team");
    fs::create_dir(&team).expect("a folder");
    let own = fs::read_to_string(desk.file_of("three")).expect("read").replace("id: three", "id: four");
    replace(&team.join("four.yaml"), &own);
    service.line_with(&["the detectors have changed", "added=\"four\""], 60);
    replace(&team.join("four.yaml"), &own.replace("Second", "Third"));
    service.line_with(&["the detectors have changed", "changed=\"four\""], 60);
    replace(&desk.config, &(text + "redaction: { classes: { phone: drop } }\n"));
    service.wait_for("the service begins again with it", 60);
    service.wait_for("gatewatch runs", 60);
    service.stop();
}

#[test]
fn a_signal_before_it_runs_ends_nothing() {
    let desk = Desk::new();
    desk.detector("three", 3, "First");
    let mut service = Service::start(&desk.config);
    // As soon as it says anything its signals are heard.
    service.line_with(&["gatewatch"], 60);
    service.signal("HUP");
    service.line_with(&["gatewatch runs"], 60);
    service.stop();
}

/// What is in force at the wall.
fn blocked(list: &Path) -> bool {
    fs::read_to_string(list).is_ok_and(|text| text.contains(CLIENT))
}

/// The service is down when a detector goes, and another is made to count something else: nobody else would close their alerts,
/// and their blocks would be renewed for ever.
#[test]
fn what_a_detector_left_open_that_is_gone_at_the_next_start_is_closed() {
    let mut desk = Desk::new();
    let list = desk.folder.path().join("block.txt");
    fs::write(&list, "").expect("written");
    desk.configure(&format!(
        "respond:\n  dry_run: false\n  incidents: {{ quiet: 0s }}\n  guard: {{ ttl: 10s }}\n  targets:\n    \
         modsecurity: [{{ name: wall, file: {}, reload: {{ command: [/bin/true] }} }}]\n",
        list.display()
    ));
    for (id, at_least) in [("gone", 2), ("kept", 3), ("other", 4)] {
        desk.detector(id, at_least, id);
    }
    let text = fs::read_to_string(desk.file_of("gone")).expect("read");
    replace(&desk.file_of("gone"), &(text + "respond: [block]\ndry_run: false\n"));
    let mut service = Service::start(&desk.config);
    service.wait_for("gatewatch runs", 60);
    desk.write(CLIENT, 4);
    for id in ["gone", "kept", "other"] {
        service.line_with(&[&format!("alert opened: {id}")], 60);
    }
    service.line_with(&["action delivered", "wall", CLIENT], 60);
    assert!(blocked(&list));
    service.stop();

    fs::remove_file(desk.file_of("gone")).expect("removed");
    desk.detector("other", 5, "other");
    let mut service = Service::start(&desk.config);
    service.line_with(&["alert closed: gone"], 60);
    service.line_with(&["alert closed: other"], 60);
    // Others are heard of all the time, which would renew it: its ten seconds are over within some checkpoints of one.
    let mut checkpoints = 0;
    while blocked(&list) && checkpoints < 30 {
        desk.write(OTHER, 1);
        service.wait_for("checkpoint", 60);
        checkpoints += 1;
    }
    assert!(!blocked(&list), "it is let go");
    service.stop();
    let closed = query(&desk.data(), "select detector, state from alerts where state = 'closed' order by detector");
    let closed: Vec<&str> = closed.iter().filter_map(|row| row["detector"].as_str()).collect();
    assert_eq!(closed, ["gone", "other"]);
    let open = run(&["incidents", "list", "--status", "open", "--format", "json", "--data-dir", path(&desk.data())]);
    assert!(!open.stdout.contains("gone"), "{}", open.stdout);

    // Once is enough.
    let mut service = Service::start(&desk.config);
    service.wait_for("gatewatch runs", 60);
    service.stop();
    assert_eq!(number(&desk.data(), "select count(*) from alerts where state = 'closed'"), 2);
}

#[test]
fn what_a_changed_detector_told_before_a_crash_stays_open() {
    let mut desk = Desk::new();
    desk.checkpoint_every = "1h";
    desk.configure("");
    desk.detector("three", 3, "First");
    let mut service = Service::start(&desk.config);
    service.wait_for("gatewatch runs", 60);
    desk.write(CLIENT, 4);
    service.wait_for("alert opened: First", 60);
    service.stop();

    // Another number at a start, and another one while it runs: each time killed before a checkpoint is due.
    desk.detector("three", 4, "Second");
    let mut service = Service::start(&desk.config);
    service.wait_for("gatewatch runs", 60);
    desk.write(OTHER, 4);
    service.wait_for("alert opened: Second", 60);
    service.kill();
    let mut service = Service::start(&desk.config);
    // What was told before is told again, and committed.
    service.wait_for("caught up", 60);
    desk.detector("three", 5, "Third");
    service.wait_for("alert closed: Second", 60);
    service.wait_for("checkpoint", 60);
    desk.write("203.0.113.77", 5);
    service.wait_for("alert opened: Third", 60);
    service.kill();
    let mut service = Service::start(&desk.config);
    service.wait_for("caught up", 60);
    service.stop();

    desk.nothing_is_lost_or_twice();
    let told = query(&desk.data(), "select title, entity_value, state from alerts_latest order by opened");
    let told: Vec<String> = told
        .iter()
        .map(|row| format!("{} {} {}", row["title"], row["entity_value"], row["state"]).replace('"', ""))
        .collect();
    assert_eq!(
        told,
        [format!("First {CLIENT} closed"), format!("Second {OTHER} closed"), "Third 203.0.113.77 open".to_owned()]
    );
    let kept = run(&["alerts", "list", "--format", "json", "--data-dir", path(&desk.data())]);
    assert_eq!(kept.stdout.matches("\"state\":\"closed\"").count(), 2, "{}", kept.stdout);
}

#[test]
fn what_a_detector_told_before_a_crash_is_closed_though_it_is_changed_before_it_tells_it_again() {
    let mut desk = Desk::new();
    (desk.checkpoint_every, desk.idle_after) = ("1h", "1h");
    desk.configure("");
    desk.detector("three", 3, "First");
    let mut service = Service::start(&desk.config);
    service.wait_for("gatewatch runs", 60);
    desk.write(CLIENT, 4);
    service.wait_for("alert opened: First", 60);
    // It is said before it is kept.
    let listed = || run(&["alerts", "list", "--format", "json", "--data-dir", path(&desk.data())]).stdout;
    let deadline = common::wall_us() + 60_000_000;
    while !listed().contains("\"state\":\"open\"") {
        assert!(common::wall_us() < deadline, "the alert is not kept");
    }
    service.kill();

    // What it read is away for a while.
    let away = desk.log.with_extension("away");
    fs::rename(&desk.log, &away).expect("renamed");
    let mut service = Service::start(&desk.config);
    service.wait_for("gatewatch runs", 60);
    desk.detector("three", 4, "Second");
    service.wait_for("alert closed: First", 60);
    fs::rename(&away, &desk.log).expect("renamed");
    service.wait_for("alert opened: Second", 60);
    service.stop();

    desk.nothing_is_lost_or_twice();
    let told = query(&desk.data(), "select title, state from alerts_latest order by title");
    let told: Vec<String> =
        told.iter().map(|row| format!("{} {}", row["title"], row["state"]).replace('"', "")).collect();
    assert_eq!(told, ["First closed", "Second open"]);
}
