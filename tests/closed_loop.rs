//! Story: a burst of 401s from a new address, through a real nginx, a real Kafka and the service, becomes a ban that a
//! bouncer reads from a real CrowdSec, a case at the webhook receiver, and rows in the actions table.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

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
    assert_eq!(case["data"]["entity"]["value"], ATTACKER);
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
