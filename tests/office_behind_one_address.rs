//! Promise: 200 honest users behind the address of an attacker are not cut off. Who is behind an address is asked of the events
//! that the service itself stored; then a person is asked. The name that the attacker only claims costs nobody an account, and an
//! attacker who is alone behind an address is blocked by the same service in the same minute.

mod common;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use common::crowdsec::{Crowdsec, MACHINE};
use common::edges::Server;
use common::edges::kong::Kong;
use common::program::{self, folder, number, path, run};
use common::service::Service;
use common::wall_us;

/// An office from which somebody claims the name of one of its accounts.
const OFFICE: &str = "203.0.113.7";
/// An office from which somebody without an account attacks.
const CAMPUS: &str = "198.51.100.7";
/// Nobody but the attacker.
const ALONE: &str = "192.0.2.66";
const USERS: usize = 200;
const GOOD: usize = 3;
const REFUSED: usize = 20;

const DETECTOR: &str = "id: refused\ntitle: A client is refused\nseverity: high\nnotes: For this test.\nentity: client_ip\n\
                        where: status = 401\nmethod: { threshold: { at_least: 15, within: 5m } }\nrespond: [block]\n\
                        dry_run: false\n";

fn line(address: &str, user: &str, ago_s: i64, status: u16, n: usize) -> String {
    let time = chrono::DateTime::from_timestamp_micros(wall_us() - ago_s * 1_000_000).expect("a time");
    let time = time.format("%d/%b/%Y:%H:%M:%S +0000");
    format!("{address} - {user} [{time}] \"GET /v1/orders/{n} HTTP/1.1\" {status} 99 \"-\" \"curl/8.5.0\"\n")
}

fn append(log: &Path, lines: impl IntoIterator<Item = String>) {
    let mut file = OpenOptions::new().append(true).open(log).expect("the log");
    file.write_all(lines.into_iter().collect::<String>().as_bytes()).expect("written");
}

/// Ten ordinary minutes in both offices, until so long ago.
fn honest(since_s: i64) -> impl Iterator<Item = String> {
    [OFFICE, CAMPUS].into_iter().flat_map(move |address| {
        (0..USERS * GOOD).map(move |n| {
            let ago_s = i64::try_from(USERS * GOOD - n).expect("small");
            line(address, &format!("user-{}", n % USERS), since_s + ago_s, 200, n)
        })
    })
}

fn attack(address: &'static str, user: &'static str) -> impl Iterator<Item = String> {
    (0..REFUSED).map(move |n| line(address, user, 1, 401, n))
}

/// A followed log, of which more may be said, one detector, and both a wall for addresses and a gateway for accounts.
fn both_ways(data: &Path, log: &Path, more: &str, detector: &Path, (lapi, kong): (&str, &str)) -> String {
    format!(
        "data_dir: {data}\nsources: [{{ name: edge, kind: combined, files: [{log}], follow: true{more} }}]\n\
         detectors: {{ catalogue: false, paths: [{detector}] }}\nlake: {{ checkpoint_every: 500ms }}\nrespond:\n  \
         dry_run: false\n  targets:\n    crowdsec: [{{ name: waf, url: '{lapi}', machine_id: {MACHINE}, \
         password: {{ env: GATEWATCH_TEST_CROWDSEC_PASSWORD }} }}]\n    \
         kong: [{{ name: gw, url: '{kong}', token: {{ env: TEST_KONG_TOKEN }} }}]\n",
        data = data.display(),
        log = log.display(),
        detector = detector.display(),
    )
}

#[test]
fn an_office_is_not_blocked_for_the_attacker_behind_its_address() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let crowdsec = Crowdsec::start();
    let edge = Kong { consumers: vec![("11111111-1111-4111-8111-111111111111", "mallory", None)], ..Kong::default() };
    let kong = runtime.block_on(Server::start(edge));
    let folder = folder();
    let (log, data) = (program::file(&folder, "access.log", ""), folder.path().join("data"));
    append(&log, honest(4_000));
    let detector = program::file(&folder, "refused.yaml", DETECTOR);
    let config = both_ways(&data, &log, "", &detector, (&crowdsec.url(), &kong.url()));
    let config = program::file(&folder, "gatewatch.yaml", config);
    let mut service = Service::start_with(&config, &[("TEST_KONG_TOKEN", "not-a-real-token")]);
    let stored = i64::try_from(2 * USERS * GOOD).expect("small");
    loop {
        service.wait_for("checkpoint", 60);
        if number(&data, "SELECT count(*) FROM events") == stored {
            break;
        }
    }

    append(&log, attack(OFFICE, "mallory").chain(attack(CAMPUS, "-")).chain(attack(ALONE, "-")));
    // The lone one is out: the detector, the loop and the wall work.
    service.line_with(&["action delivered", "waf", ALONE], 60);
    for office in [OFFICE, CAMPUS] {
        let asked = service.line_with(&["action waits for a person to agree", office], 60);
        // Ten minutes of the day before are stored: that is little, and enough to know who is there.
        let why = "less than an hour of the day before is stored, and 200 principals of 0 tenants were there already, with 600 good";
        assert!(asked.contains(why), "{asked}");
    }

    let decisions = |address: &str| runtime.block_on(crowdsec.decisions(address)).len();
    assert_eq!([OFFICE, CAMPUS, ALONE].map(decisions), [0, 0, 1]);
    // No name of the log is held for the attacker's.
    assert_eq!(kong.edge(|edge| edge.plugins.clone()).len(), 0);
    assert_eq!(kong.problems(), [""; 0]);

    // The person who was asked sees why, and their word is what lets it through.
    let waiting = run(&["actions", "list", "--state", "awaiting", "--format", "json", "--data-dir", path(&data)]);
    let waiting: Vec<serde_json::Value> =
        waiting.stdout.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect();
    assert_eq!(waiting.len(), 2, "{waiting:?}");
    let campus = waiting.iter().find(|row| row.to_string().contains(CAMPUS)).expect("both wait");
    let id = campus["id"].as_str().expect("an id");
    let approved = run(&["actions", "approve", id, "--as", "noor", "--data-dir", path(&data)]);
    assert_eq!(approved.code, 0, "{}", approved.stderr);
    service.line_with(&["action delivered", "waf", CAMPUS], 60);
    assert_eq!([OFFICE, CAMPUS, ALONE].map(decisions), [0, 1, 1]);
    service.stop();
}

/// Nobody has looked yet: the first log is read, and nothing of it is stored when the alerts open. The offices are not cut off, and
/// the one who is alone is blocked with the first rows that are stored, for a quarter of an hour at a time.
#[test]
fn right_after_an_installation_nobody_is_taken_for_alone() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let crowdsec = Crowdsec::start();
    let folder = folder();
    let (log, data) = (program::file(&folder, "access.log", ""), folder.path().join("data"));
    append(&log, honest(10).chain(attack(OFFICE, "mallory")).chain(attack(CAMPUS, "-")).chain(attack(ALONE, "-")));
    let detector = program::file(&folder, "refused.yaml", DETECTOR);
    let config = format!(
        "data_dir: {data}\nsources: [{{ name: edge, kind: combined, files: [{log}], follow: true }}]\n\
         detectors: {{ catalogue: false, paths: [{detector}] }}\nlake: {{ checkpoint_every: 3s }}\nrespond:\n  \
         dry_run: false\n  targets:\n    crowdsec: [{{ name: waf, url: '{lapi}', machine_id: {MACHINE}, \
         password: {{ env: GATEWATCH_TEST_CROWDSEC_PASSWORD }} }}]\n",
        data = data.display(),
        log = log.display(),
        detector = detector.display(),
        lapi = crowdsec.url(),
    );
    let mut service = Service::start(&program::file(&folder, "gatewatch.yaml", config));
    service.line_with(&["action delivered", "waf", ALONE], 60);
    for office in [OFFICE, CAMPUS] {
        let asked = service.line_with(&["action waits for a person to agree", office], 60);
        assert!(asked.contains("200 principals of 0 tenants were there already, with 600 good requests"), "{asked}");
    }
    let decisions = |address: &str| runtime.block_on(crowdsec.decisions(address));
    assert_eq!([OFFICE, CAMPUS].map(|address| decisions(address).len()), [0, 0]);
    service.stop();
    let lasts_s = "SELECT CAST(date_part('epoch', expires) - date_part('epoch', time) AS BIGINT) FROM actions WHERE step = 'delivered' \
                   AND kind = 'block' AND op = 'apply'";
    let lasts_s = number(&data, lasts_s);
    assert!((800..=900).contains(&lasts_s), "it lasts {lasts_s} s");
}

const DELETES: &str = "id: deletes\ntitle: A client deletes much\nseverity: high\nnotes: For this test.\nentity: client_ip\n\
                       where: method = 'DELETE'\nmethod: { threshold: { at_least: 15, within: 5m } }\nrespond: [block]\n\
                       dry_run: false\n";

/// One of the 200 attacks under their own name, at a gateway that verifies it: that account is what is taken, and the office works on.
#[test]
fn an_attacker_in_an_office_loses_the_account_and_nobody_else_anything() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let crowdsec = Crowdsec::start();
    let edge = Kong { consumers: vec![("11111111-1111-4111-8111-111111111111", "mallory", None)], ..Kong::default() };
    let kong = runtime.block_on(Server::start(edge));
    let folder = folder();
    let (log, data) = (program::file(&folder, "access.log", ""), folder.path().join("data"));
    let deletes = (0..REFUSED).map(|n| line(OFFICE, "mallory", 1, 200, n).replace("GET", "DELETE"));
    append(&log, honest(4_000).chain(deletes));
    let detector = program::file(&folder, "deletes.yaml", DELETES);
    let config = both_ways(&data, &log, ", verifies_credentials: true", &detector, (&crowdsec.url(), &kong.url()));
    let config = program::file(&folder, "gatewatch.yaml", config);
    let mut service = Service::start_with(&config, &[("TEST_KONG_TOKEN", "not-a-real-token")]);
    service.line_with(&["action delivered", "gw", "mallory"], 60);
    assert_eq!(kong.edge(|edge| edge.plugins.len()), 1);
    assert_eq!(kong.edge(|edge| edge.plugins[0]["name"].clone()), "request-termination");
    service.stop();
    assert_eq!(runtime.block_on(crowdsec.decisions(OFFICE)).len(), 0);
    assert_eq!(kong.problems(), [""; 0]);
}
