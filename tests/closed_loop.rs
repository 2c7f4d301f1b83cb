//! Story: a burst of 401s from a new address, through a real nginx, a real Kafka and the service, becomes a ban that a
//! bouncer reads from a real CrowdSec, a case at the webhook receiver, and rows in the actions table. And the whole loop on one
//! machine: nginx's log is followed, and nginx obeys what becomes of it. `scripts/closed-loop.sh` shows it to a person.

#![allow(clippy::print_stderr, reason = "a person may watch")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::alertmanager::Alertmanager;
use common::crowdsec::{Crowdsec, MACHINE};
use common::kafka::{Broker, Given};
use common::nginx::Nginx;
use common::program::{self, WEBHOOK_SECRET};
use common::receiver::Receiver;
use common::service::Service;

const ATTACKER: &str = "203.0.113.66";
const BYSTANDER: &str = "198.51.100.20";

/// One request over one connection; the answer's status line.
fn request(nginx: &Nginx, path: &str, client: &str) -> String {
    let address = nginx.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).expect("nginx listens");
    let text = format!(
        "GET {path} HTTP/1.1\r\nHost: api.example.com\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(text.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_burst_of_401_is_banned_at_the_waf_and_has_a_case() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let crowdsec = Crowdsec::start();
    let receiver = runtime.block_on(Receiver::start(&[WEBHOOK_SECRET], common::wall_clock()));
    let nginx = Nginx::start();
    let broker = Broker::shared();
    let topic = broker.topic(1);
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("gatewatch.yaml");
    let text = format!(
        "data_dir: {data}\nsources:\n  - name: edge\n    kind: nginx_json\n    trusted_proxies: [127.0.0.0/8]\n    kafka:\n      \
         brokers: {brokers}\n      topic: {topic}\n      group: closed-loop\n      idle_after: 200ms\nlake:\n  \
         checkpoint_every: 500ms\nrespond:\n  dry_run: false\n  targets:\n    webhook:\n      - name: soar\n        url: {hook}\n        \
         kinds: [case]\n        secrets: [{{ env: GATEWATCH_TEST_WEBHOOK_SECRET }}]\n    crowdsec:\n      - name: waf\n        \
         url: {lapi}\n        machine_id: {MACHINE}\n        password: {{ env: GATEWATCH_TEST_CROWDSEC_PASSWORD }}\n",
        data = folder.path().join("data").display(),
        brokers = broker.brokers(),
        hook = receiver.url(),
        lapi = crowdsec.url(),
    );
    fs::write(&config, text).expect("the configuration is written");
    let mut service = Service::start(&config);
    service.wait_for("gatewatch runs", 60);

    for n in 0..60 {
        assert!(request(&nginx, "/login", ATTACKER).contains("401"));
        if n % 3 == 0 {
            assert!(request(&nginx, "/v1/orders/1", BYSTANDER).contains("200"));
        }
    }
    let log = fs::read_to_string(nginx.access_log()).expect("nginx wrote its log");
    assert_eq!(log.lines().count(), 80);
    broker.produce(&topic, 0, log.lines().map(|line| Given::value(line.as_bytes())));

    runtime.block_on(receiver.wait_for_requests(1));
    assert_eq!(receiver.violations(), Vec::<String>::new());
    let case = receiver.effects().remove(0).body;
    assert_eq!(case["incident"]["subject"]["value"], ATTACKER);
    service.wait_for("caught up", 60);
    let decisions = wait_for_decision(&runtime, &crowdsec);
    assert_eq!(decisions.len(), 1, "one attacker, one ban: {decisions:?}");
    assert_eq!(decisions[0]["type"], "ban");
    assert!(runtime.block_on(crowdsec.decisions(BYSTANDER)).is_empty(), "nobody else is banned");
    service.stop();

    let steps = program::query(
        &folder.path().join("data"),
        "select target, kind, step from actions where entity_value = '203.0.113.66' and step = 'delivered' order by target",
    );
    let delivered: Vec<(&str, &str)> =
        steps.iter().map(|row| (row["target"].as_str().unwrap_or(""), row["kind"].as_str().unwrap_or(""))).collect();
    assert!(delivered.contains(&("soar", "case")), "{delivered:?}");
    assert!(delivered.contains(&("waf", "block")), "{delivered:?}");
}

/// Asks as a bouncer does, until the ban is there; bounded.
fn wait_for_decision(runtime: &tokio::runtime::Runtime, crowdsec: &Crowdsec) -> Vec<serde_json::Value> {
    runtime.block_on(async {
        let mut beat = tokio::time::interval(Duration::from_millis(100));
        for _ in 0..200 {
            let decisions = crowdsec.decisions(ATTACKER).await;
            if !decisions.is_empty() {
                return decisions;
            }
            beat.tick().await;
        }
        panic!("no ban within 20 seconds");
    })
}

/// Ten refusals within two seconds; over when two seconds were quiet.
const BURST: &str = "id: burst\ntitle: Burst of refused logins\nseverity: high\nowasp: [API2:2023]\nattack: [T1110]\n\
    where: status = 401\nentity: client_ip\nmethod: { threshold: { at_least: 10, within: 2s } }\nquiet: 2s\n\
    respond: [block, page, case]\ndry_run: false\nnotes: A test.\n";

/// What the attacker gets until it is what is wanted; how many requests that took. Somebody else is served all the time, which
/// is also what moves event time on.
#[allow(clippy::disallowed_methods, reason = "an attacker takes time between two requests")]
fn knock(nginx: &Nginx, attacker: bool, until: impl Fn() -> bool) -> usize {
    for n in 0..600 {
        if attacker {
            request(nginx, "/private/x", ATTACKER);
        }
        assert!(request(nginx, "/v1/orders/1", BYSTANDER).contains("200"), "nobody else is touched");
        if until() {
            return n;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it does not come about within half a minute");
}

#[test]
fn the_whole_loop_on_one_machine() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (crowdsec, nginx) = (Crowdsec::start(), Nginx::gate());
    let receiver = runtime.block_on(Receiver::start(&[WEBHOOK_SECRET], common::wall_clock()));
    let mut pager = runtime.block_on(Alertmanager::start());
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("burst.yaml"), BURST).expect("the detector is written");
    let config = folder.path().join("gatewatch.yaml");
    let text = format!(
        "data_dir: {data}\nsources:\n  - {{ name: edge, kind: nginx_json, files: [{log}], follow: true, lateness: 0s }}\n\
         detectors: {{ catalogue: false, paths: [{rule}] }}\nlake: {{ checkpoint_every: 500ms }}\n\
         respond:\n  dry_run: false\n  incidents: {{ quiet: 0s }}\n  guard: {{ ttl: 3s }}\n  targets:\n    \
         nginx: [{{ name: edge, file: {deny}, test: {test}, reload: {{ command: {reload} }} }}]\n    \
         crowdsec: [{{ name: waf, url: '{lapi}', machine_id: {MACHINE}, password: {{ env: GATEWATCH_TEST_CROWDSEC_PASSWORD }} }}]\n    \
         alertmanager: [{{ name: pager, url: 'http://127.0.0.1:{pager}', kinds: [page] }}]\n    \
         webhook: [{{ name: soar, url: '{hook}', kinds: [case], secrets: [{{ env: GATEWATCH_TEST_WEBHOOK_SECRET }}] }}]\n",
        data = folder.path().join("data").display(),
        log = nginx.access_log().display(),
        rule = folder.path().join("burst.yaml").display(),
        deny = nginx.path("deny.conf").display(),
        test = nginx.command("-t, -q"),
        reload = nginx.command("-s, reload"),
        lapi = crowdsec.url(),
        pager = pager.port,
        hook = receiver.url(),
    );
    fs::write(&config, text).expect("the configuration is written");
    let mut service = Service::start(&config);
    service.wait_for("gatewatch runs", 60);

    let is_refused = || request(&nginx, "/private/x", ATTACKER).contains("403");
    let is_listed = || fs::read_to_string(nginx.path("deny.conf")).expect("a list").contains(ATTACKER);
    // Both: a worker of before a reload may answer once more by the list of before.
    let is_denied = || is_listed() && is_refused();
    eprintln!("an attacker tries passwords at nginx");
    let tries = knock(&nginx, true, is_denied);
    eprintln!("nginx denies it after {tries} tries; everybody else is served");
    let decisions = wait_for_decision(&runtime, &crowdsec);
    assert_eq!(decisions[0]["type"], "ban");
    eprintln!("CrowdSec has the ban, too");
    let (status, incident) = runtime.block_on(pager.next());
    assert_eq!(status, "firing");
    runtime.block_on(receiver.wait_for_requests(1));
    assert_eq!(receiver.effects()[0].body["incident"]["id"], incident.as_str(), "one incident, paged and cased");
    eprintln!("on-call is paged and the case is open: {incident}");

    // Out of the list, and nginx has read that.
    let is_let_go = || !is_listed() && !is_refused();
    let quiet = knock(&nginx, false, is_let_go);
    eprintln!("it gave up; its block ended by itself after {quiet} more requests of others");
    assert_eq!(runtime.block_on(pager.next()), ("resolved".to_owned(), incident.clone()));
    eprintln!("the page is resolved");

    eprintln!("it comes back");
    knock(&nginx, true, is_denied);
    eprintln!("and is denied again, for twice as long");
    assert_eq!(runtime.block_on(pager.next()), ("firing".to_owned(), incident.clone()));
    knock(&nginx, false, is_let_go);
    assert_eq!(runtime.block_on(pager.next()), ("resolved".to_owned(), incident.clone()));
    runtime.block_on(receiver.wait_for_requests(4));
    let told: Vec<String> =
        receiver.effects().iter().map(|e| e.body["type"].as_str().unwrap_or("").to_owned()).collect();
    assert_eq!(told, ["incident.open", "incident.closed", "incident.open", "incident.closed"]);
    assert_eq!(receiver.violations(), Vec::<String>::new());
    service.stop();
    eprintln!("it gave up again: lifted, resolved, closed");

    let data = folder.path().join("data");
    let steps = program::query(
        &data,
        "select target, op, count(*) as n from actions where step = 'delivered' and kind = 'block' and incident_id <> '' group by 1, 2 order by 1, 2",
    );
    let count = |target: &str, op: &str| {
        let row = steps.iter().find(|row| row["target"] == target && row["op"] == op);
        row.and_then(|row| row["n"].as_i64()).unwrap_or(0)
    };
    assert!(count("edge", "apply") >= 2 && count("waf", "apply") >= 2, "{steps:?}");
    assert!(count("edge", "revert") >= 2, "each end at nginx is an undoing: {steps:?}");
    // What its own blocks denied is known as such, and nothing else is.
    let denied = program::query(
        &data,
        "select client_ip, status, denied_by_us is true as ours, count(*) as n from events where status in (401, 403) group by 1, 2, 3",
    );
    let ours = |row: &&serde_json::Value| row["ours"] == true;
    assert!(denied.iter().filter(ours).all(|row| row["status"] == 403 && row["client_ip"] == ATTACKER), "{denied:?}");
    assert!(denied.iter().any(|row| ours(&row)), "{denied:?}");
    assert!(denied.iter().all(|row| row["status"] != 403 || row["ours"] == true), "all of them: {denied:?}");
    let verified =
        program::gatewatch().args(["audit", "verify", "--data-dir", program::path(&data)]).output().expect("runs");
    let said = String::from_utf8_lossy(&verified.stdout).into_owned() + &String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success(), "{said}");
    let told = program::query(
        &data,
        "select what, count(*) as n from audit where what in ('alert_update', 'incident', 'plan', 'action_step') group by 1 order by 1",
    );
    assert_eq!(told.len(), 4, "the audit tells it from end to end: {told:?}");
    eprintln!("the audit tells it from end to end, and verifies: {}", said.lines().next().unwrap_or_default());
}
