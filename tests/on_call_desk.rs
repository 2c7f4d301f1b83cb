//! Promise: people work on incidents and actions by verbs and over HTTP, and what they say is done: taken, judged, suppressed,
//! approved, retried, taken back, halted. An id that is none is refused in words; without the token nothing is shown; opening a
//! signed link changes nothing, its form approves, and a forged or old one does not count.

mod common;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::alerts::{opening, outbox, tell};
use common::http::{Answer, get, send, until_answer};
use common::program::{Ran, file, folder, path, run};
use common::receiver::SECRET;
use common::service::Service;
use common::{wall_clock, wall_us};
use gatewatch::config::KeysSection;
use gatewatch::respond::Outbox;
use gatewatch::respond::link::{Links, LinksConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

const PLENTY: Duration = Duration::from_secs(30);
const ATTACKER: &str = "203.0.113.7";
const TOKEN: &str = "not-a-real-token-91b2c4";
const BASE: &str = "https://gatewatch.example.com";
const DAY_US: i64 = 86_400_000_000;

/// Nobody is at either target: a case is given up on at once, a block waits for a person.
const RESPOND: &str = "dry_run: false
policy: [{ do: [block, case], approve: true }]
incidents: { quiet: 1d }
delivery: { attempts_max: 1, breaker_failures: 1000, timeout: 2s }
targets:
  webhook: [{ name: soar, url: \"http://127.0.0.1:1/\", secrets: [{ env: SOAR }], kinds: [case] }]
  crowdsec: [{ name: waf, url: \"http://127.0.0.1:1/\", machine_id: m, password: { env: SOAR } }]
";

async fn response(data: &Path) -> Arc<Outbox> {
    outbox(&data.join("state.db"), RESPOND, &[("SOAR", SECRET)], wall_clock()).await
}

/// Works on the state of a service that does not run.
fn in_between<T>(data: &Path, work: impl AsyncFnOnce(&Arc<Outbox>) -> T) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let outbox = response(data).await;
        let done = work(&outbox).await;
        outbox.store().close().await;
        done
    })
}

/// An attacker was told of: a case that nobody took, and a block that waits.
fn attacked(data: &Path) {
    in_between(data, async |outbox| {
        let now_us = wall_us();
        tell(outbox, &[opening("al-burst-1", ATTACKER, now_us)], &[], now_us).await;
        outbox.drain(PLENTY).await.expect("drains");
    });
}

/// A verb on this data folder.
fn verb(data: &Path, words: &[&str]) -> Ran {
    run(&[words, &["--data-dir", path(data)]].concat())
}

fn done(data: &Path, words: &[&str]) -> Ran {
    let ran = verb(data, words);
    assert_eq!(ran.code, 0, "{words:?}: {}{}", ran.stdout, ran.stderr);
    ran
}

/// The rows of a list.
fn rows(data: &Path, words: &[&str]) -> Vec<Value> {
    let ran = done(data, &[words, &["--format", "json"]].concat());
    ran.stdout.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

fn shown(data: &Path, what: &str, id: &str) -> Value {
    serde_json::from_str(&done(data, &[what, "show", id, "--format", "json"]).stdout).expect("one JSON object")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn refused(data: &Path, words: &[&str], code: i32, why: &[&str]) {
    let ran = verb(data, words);
    assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{words:?}: {}", ran.stderr);
    why.iter().for_each(|part| assert!(ran.stderr.contains(part), "{words:?}: {part} is not in: {}", ran.stderr));
}

#[test]
fn an_incident_is_listed_shown_taken_and_judged() {
    let folder = folder();
    let data = folder.path();
    refused(data, &["incidents", "list"], 2, &["state.db", "there is no such file", "--config"]);
    assert!(!data.join("state.db").exists(), "looking makes no store");
    attacked(data);

    let all = rows(data, &["incidents", "list", "--status", "open"]);
    assert_eq!((all.len(), all[0]["subject"]["value"].as_str()), (1, Some(ATTACKER)), "{all:?}");
    let id = text(&all[0]["id"]);
    assert_eq!(rows(data, &["incidents", "list", "--entity", ATTACKER]).len(), 1);
    assert_eq!(rows(data, &["incidents", "list", "--entity", "203.0.113.8"]).len(), 0);
    assert_eq!(rows(data, &["incidents", "list", "--status", "closed"]).len(), 0);
    let table = done(data, &["incidents", "list"]).stdout;
    assert!(table.contains(&id[..12]) && table.contains("client_ip 203.0.113.7"), "{table}");
    let csv = done(data, &["incidents", "list", "--format", "csv"]).stdout;
    assert!(csv.starts_with("id,revision,status,severity,") && csv.contains(&id), "{csv}");

    // By its beginning, with and without `in-`; what fits nothing or too much is refused.
    for beginning in [&id[..9], &id[3..9]] {
        assert_eq!(shown(data, "incidents", beginning)["incident"]["id"], json!(id), "{beginning}");
    }
    refused(data, &["incidents", "show", "in-ffffffff"], 1, &["no incident has the id in-ffffffff"]);
    refused(data, &["incidents", "show", &id[..6]], 2, &["too short", "at least 6 characters"]);
    in_between(data, async |outbox| {
        tell(outbox, &[opening("al-burst-2", ATTACKER, wall_us())], &[], wall_us()).await;
    });
    refused(data, &["alerts", "show", "al-burst"], 2, &["begins the ids of several alerts", "al-burst-1, al-burst-2"]);
    let alert = shown(data, "alerts", "al-burst-2");
    assert_eq!((&alert["alert"]["events"], &alert["incident_id"]), (&json!(60), &json!(id)));
    assert_eq!(rows(data, &["alerts", "list", "--incident", &id[..9]]).len(), 2);

    done(data, &["incidents", "comment", &id[..9], "a partner's\u{1b}[31m load test?", "--as", "noor"]);
    refused(data, &["incidents", "comment", &id[..9], " "], 2, &["the comment: is empty"]);
    refused(data, &["incidents", "comment", &id[..9], &"x".repeat(513)], 2, &["513 characters; expected at most 512"]);
    done(data, &["incidents", "assign", &id[..9], "--as", "noor"]);
    let file = shown(data, "incidents", &id);
    assert_eq!((&file["incident"]["status"], &file["incident"]["assignee"]), (&json!("acknowledged"), &json!("noor")));
    assert_eq!(file["notes"][0]["text"], "a partner's [31m load test?");
    let screen = done(data, &["incidents", "show", &id]).stdout;
    for part in ["ALERTS", "ACTIONS", "NOTES", "al-burst-1", "noor", "load test?", "awaiting", "parked", "soar", "waf"]
    {
        assert!(screen.contains(part), "{part} is not in: {screen}");
    }
    assert!(!screen.contains('\u{1b}'), "{screen}");

    // Its alerts are still open; a person's word closes it all the same, and the block goes with a wrong alarm.
    let close = ["incidents", "close", &id[..9], "--verdict", "false", "--reason", "a load test"];
    done(data, &close);
    in_between(data, async |outbox| assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0, "nothing is left"));
    let closed = shown(data, "incidents", &id);
    assert_eq!((&closed["incident"]["status"], &closed["incident"]["verdict"]), (&json!("closed"), &json!("false")));
    let last = closed["notes"].as_array().and_then(|notes| notes.last()).expect("a note");
    assert_eq!((&last["what"], &last["text"]), (&json!("close"), &json!("false: a load test")));
    assert_eq!(rows(data, &["actions", "list", "--state", "awaiting"]).len(), 0, "nobody is asked any more");
    refused(data, &close, 1, &["is closed already"]);
}

#[test]
fn actions_are_approved_retried_halted_and_taken_back_by_verbs() {
    let folder = folder();
    let data = folder.path();
    attacked(data);
    let waiting = rows(data, &["actions", "list", "--state", "awaiting", "--target", "waf"]);
    let id = text(&waiting[0]["id"]);
    let contained = rows(data, &["actions", "contained"]);
    assert_eq!(contained[0]["why_not"], format!("a person has to agree: action {id}"), "{contained:?}");
    let file = shown(data, "actions", &id[..8]);
    assert_eq!((&file["action"]["expires"], file["action"]["lasts_seconds"].is_i64()), (&Value::Null, true));
    for reserved in ["gatewatch", "Link", "system"] {
        refused(data, &["actions", "approve", &id[..8], "--as", reserved], 2, &["is the system itself"]);
    }
    let approved = done(data, &["actions", "approve", &id[..8], "--as", "noor"]);
    assert!(approved.stdout.contains(" goes to waf until "), "{}", approved.stdout);
    let file = shown(data, "actions", &id[..8]);
    assert_eq!(file["action"]["state"], "pending");
    assert!(file["action"]["expires"].is_string(), "{file}");
    let steps: Vec<String> = file["steps"].as_array().expect("steps").iter().map(|step| text(&step["step"])).collect();
    assert_eq!(steps, ["planned", "awaiting", "approved"]);
    assert!(text(&file["steps"][2]["detail"]).starts_with("by noor; it lasts until "), "{file}");
    refused(data, &["actions", "approve", &id[..8]], 1, &["is pending", "only one that is awaiting"]);
    refused(data, &["actions", "show", "ffffffffff"], 1, &["no action has the id ffffffffff"]);

    let parked = text(&rows(data, &["actions", "list", "--state", "parked"])[0]["id"]);
    refused(data, &["actions", "retry", &id[..8]], 1, &["is pending", "only a parked one"]);
    assert!(done(data, &["actions", "retry", "--all", "--target", "waf"]).stdout.starts_with("0 parked actions"));
    refused(
        data,
        &["actions", "retry", "--all", "--target", "nosuch"],
        1,
        &["no action of a target \"nosuch\"", "waf"],
    );
    done(data, &["actions", "retry", &parked]);
    assert_eq!(shown(data, "actions", &parked)["action"]["state"], "pending");

    // The kill switch: seen by whoever looks, heeded by the service, and let go of once.
    done(data, &["actions", "halt", "--reason", "customers are locked out", "--lift", "--as", "noor"]);
    let looked = done(data, &["actions", "contained"]);
    assert!(looked.stderr.contains("HALTED") && looked.stderr.contains("by noor: customers are locked out"));
    in_between(data, async |outbox| {
        let now_us = wall_us();
        tell(outbox, &[opening("al-burst-9", "198.51.100.9", now_us)], &[], now_us).await;
        outbox.drain(Duration::from_secs(3)).await.expect("drains");
    });
    let halted = rows(data, &["actions", "contained"]);
    let new = halted.iter().find(|row| row["entity_value"] == "198.51.100.9").expect("wanted");
    assert_eq!(new["why_not"], "halted by noor: customers are locked out");
    done(data, &["actions", "resume"]);
    refused(data, &["actions", "resume"], 1, &["is not pulled"]);

    // The switch took back what waited; what comes after it can be taken back as well.
    assert_eq!(shown(data, "actions", &id)["action"]["state"], "cancelled");
    refused(data, &["actions", "revert", &id[..8], "--reason", "x"], 1, &["is cancelled"]);
    in_between(data, async |outbox| outbox.drain(Duration::from_secs(3)).await.expect("drains"));
    let again = rows(data, &["actions", "list", "--state", "awaiting", "--target", "waf"]);
    let again = again.iter().find(|row| row["entity_value"] == ATTACKER).expect("wanted again");
    let id = text(&again["id"]);
    done(data, &["actions", "revert", &id[..8], "--reason", "our own office"]);
    assert_eq!(shown(data, "actions", &id)["action"]["state"], "cancelled");
    refused(data, &["actions", "revert", &parked, "--reason", "x"], 1, &["a message cannot be taken back"]);
}

#[test]
fn suppressions_and_the_never_block_list_are_heeded_until_they_end() {
    let folder = folder();
    let data = folder.path();
    attacked(data);
    let told = |id: &str, address: &str| {
        in_between(data, async |outbox| {
            tell(outbox, &[opening(id, address, wall_us())], &[], wall_us()).await;
            outbox.drain(Duration::from_secs(3)).await.expect("drains");
        });
        rows(data, &["incidents", "list", "--entity", address]).len()
    };
    let add = ["suppressions", "add", "client_ip", "198.51.100.7", "--reason", "penetration test", "--for", "24h"];
    let added = done(data, &add);
    assert!(added.stdout.starts_with("1: client_ip 198.51.100.7 is suppressed until "), "{}", added.stdout);
    assert!(added.stderr.contains("no alert is about"), "{}", added.stderr);
    assert_eq!(told("al-pentest-1", "198.51.100.7"), 0);
    assert_eq!(shown(data, "alerts", "al-pentest-1")["incident_id"], Value::Null);
    let all = rows(data, &["suppressions", "list"]);
    assert_eq!((all.len(), &all[0]["reason"]), (1, &json!("penetration test")));
    done(data, &["suppressions", "end", "1"]);
    refused(data, &["suppressions", "end", "1"], 1, &["no suppression in force has the number 1"]);
    assert_eq!(told("al-pentest-2", "198.51.100.7"), 1);
    refused(data, &[&add[..7], &["400d"]].concat(), 2, &["at most 365d"]);
    refused(data, &[&add[..7], &["soon"]].concat(), 2, &["--for", "expected for example"]);

    let added = done(data, &["never-block", "add", "198.51.100.77/24", "--reason", "the office", "--as", "noor"]);
    assert!(added.stderr.contains("198.51.100.77/24 lies in 198.51.100.0/24"), "{}", added.stderr);
    let all = rows(data, &["never-block", "list"]);
    assert_eq!(
        (&all[0]["entity"], &all[0]["owner"], &all[0]["expires"]),
        (&json!("198.51.100.0/24"), &json!("noor"), &Value::Null)
    );
    assert_eq!(told("al-office-1", "198.51.100.99"), 1);
    let contained = rows(data, &["actions", "contained"]);
    let office = contained.iter().find(|row| row["entity_value"] == "198.51.100.99").expect("wanted");
    assert_eq!(office["in_force"], json!([]));
    assert!(text(&office["why_not"]).contains("198.51.100.0/24"), "{office}");
    refused(data, &["never-block", "add", "office", "--reason", "x"], 2, &["expected one such as 203.0.113.7"]);
    for everything in ["0.0.0.0/0", "::/0", "128.0.0.0/1"] {
        refused(data, &["never-block", "add", everything, "--reason", "x"], 2, &["--yes-everything"]);
    }
    done(data, &["never-block", "remove", "198.51.100.0/24"]);
    refused(data, &["never-block", "remove", "198.51.100.0/24"], 1, &["is not on the list"]);
}

/// A service that reads nothing, over the state in `data`; `more` is added to its configuration.
fn service(folder: &TempDir, more: &str) -> (Service, PathBuf) {
    let respond: String = RESPOND.lines().map(|line| format!("  {line}\n")).collect();
    let data = folder.path().join("data");
    let text = format!(
        "data_dir: {}\nsources:\n  - {{ name: edge, kind: kong, kafka: {{ brokers: \"127.0.0.1:1\", topic: t, group: g }} }}\n\
         respond:\n{respond}{more}",
        data.display()
    );
    let config = file(folder, "gatewatch.yaml", text);
    let environment = [("SOAR", SECRET), ("GATEWATCH_TEST_API_TOKEN", TOKEN)];
    (Service::start_with(&config, &environment), config)
}

/// With the token.
fn call(address: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let body = body.map(Value::to_string).unwrap_or_default();
    let token = format!("Bearer {TOKEN}");
    let headers = [("Authorization", token.as_str()), ("X-Actor", "noor")];
    send(address, method, &format!("/api/v1/{path}"), &headers, body.as_bytes())
}

#[test]
fn the_api_does_what_the_verbs_do_for_who_has_the_token() {
    let folder = folder();
    let data = folder.path().join("data");
    attacked(&data);
    let (mut service, _) = service(&folder, "observe: { api: { token: { env: GATEWATCH_TEST_API_TOKEN } } }\n");
    let address = service.address();

    // Without the token, or with another one, nothing is said of what is there.
    for (path, authorization) in [
        ("/api/v1/incidents", ""),
        ("/api/v1/incidents", "Bearer not-a-real-token-91b2c5"),
        ("/api/v1/incidents", "Basic not-a-real-token-91b2c4"),
        ("/api/v1/nothing", "Bearer "),
        ("/api/v1", ""),
    ] {
        let answer = send(address, "GET", path, &[("Authorization", authorization)], b"");
        assert_eq!(answer.status, 401, "{path} {authorization}: {}", answer.body);
        assert!(answer.head.to_ascii_lowercase().contains("www-authenticate: bearer"), "{}", answer.head);
        assert!(!answer.body.contains(ATTACKER));
    }
    assert_eq!(send(address, "POST", "/api/v1/halt", &[], b"{\"reason\":\"x\"}").status, 401);
    assert_eq!(call(address, "GET", "halt", None).json(), json!({ "halt": null }));

    let incidents = call(address, "GET", "incidents?status=open", None).json();
    let id = text(&incidents["incidents"][0]["id"]);
    assert_eq!(call(address, "GET", &format!("incidents/{}", &id[..9]), None).json()["incident"]["id"], json!(id));
    assert_eq!(call(address, "GET", "alerts", None).json()["alerts"][0]["alert"]["id"], "al-burst-1");
    for (method, path, body, status, words) in [
        ("GET", "incidents/in-ffffffff", None, 404, "no incident has the id in-ffffffff"),
        ("GET", "incidents/in-f", None, 400, "too short"),
        ("GET", "incidents?colour=red", None, 400, "colour"),
        ("GET", "incidents?status=red", None, 400, "acknowledged"),
        ("GET", "incidents?limit=0", None, 400, "between 1 and 1000"),
        ("GET", "nothing", None, 404, "POST resume"),
        ("PUT", "halt", None, 405, "not with PUT"),
        ("POST", "halt", Some(json!({ "reason": "x", "colour": 1 })), 400, "unknown field `colour`"),
        ("POST", "halt", Some(json!({})), 400, "missing field `reason`"),
        ("POST", "resume", None, 409, "not pulled"),
        ("POST", "halt", Some(json!({ "reason": "x".repeat(70_000) })), 413, "at most 65536 bytes"),
        ("DELETE", "suppressions/7", None, 404, "no suppression in force"),
    ] {
        let answer = call(address, method, path, body.as_ref());
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        let said = answer.json();
        assert!(said["error"].is_string() && !said["expected"].is_null(), "{said}");
        assert!(answer.body.contains(words), "{method} {path}: {}", answer.body);
    }

    let note = call(address, "POST", &format!("incidents/{id}/comment"), Some(&json!({ "text": "seen" })));
    assert_eq!(note.status, 200, "{}", note.body);
    let taken = call(address, "POST", &format!("incidents/{id}/assign"), None);
    assert_eq!(taken.json()["incident"]["assignee"], "noor");
    let file = call(address, "GET", &format!("incidents/{id}"), None).json();
    assert_eq!((&file["notes"][0]["actor"], &file["notes"][0]["text"]), (&json!("noor"), &json!("seen")));

    // What is approved goes out at once: nobody is at the target, so it is given up on.
    let action = text(&call(address, "GET", "actions?state=awaiting", None).json()["actions"][0]["id"]);
    assert_eq!(call(address, "POST", &format!("actions/{action}/approve"), None).status, 200);
    until_answer(
        || call(address, "GET", &format!("actions/{action}"), None),
        |it| it.body.contains("\"state\":\"parked\""),
    );
    assert_eq!(call(address, "POST", &format!("actions/{action}/approve"), None).status, 409);

    let made = json!({ "entity_kind": "client_ip", "entity_value": "198.51.100.7", "reason": "test", "for": "1h" });
    let made = call(address, "POST", "suppressions", Some(&made));
    assert_eq!((made.status, made.json()), (201, json!({ "n": 1 })), "{}", made.body);
    assert_eq!(call(address, "GET", "suppressions", None).json()["suppressions"][0]["owner"], "noor");
    assert_eq!(call(address, "DELETE", "suppressions/1", None).status, 200);
    let made = call(address, "POST", "never-block", Some(&json!({ "entity": "192.0.2.0/24", "reason": "the office" })));
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(call(address, "DELETE", "never-block/192.0.2.0%2F24", None).status, 200);
    assert_eq!(call(address, "DELETE", "never-block/192.0.2.0/24", None).status, 404);

    // Nobody goes by a name of the system, and what is no object is not taken for one.
    let token = format!("Bearer {TOKEN}");
    let halt = json!({ "reason": "a test" }).to_string();
    let headers = [("Authorization", token.as_str()), ("X-Actor", "gatewatch")];
    let forged = send(address, "POST", "/api/v1/halt", &headers, halt.as_bytes());
    assert!(forged.status == 400 && forged.body.contains("is the system itself"), "{}", forged.body);
    let list = call(address, "POST", "halt", Some(&json!(["a test", true])));
    assert!(list.status == 400 && list.body.contains("the body: is no JSON object"), "{}", list.body);
    let wide = call(address, "POST", "never-block", Some(&json!({ "entity": "::/0", "reason": "x" })));
    assert!(wide.status == 400 && wide.body.contains("everything"), "{}", wide.body);

    // What another process says is seen by the running service, and the other way round.
    done(&data, &["actions", "halt", "--reason", "by verb", "--as", "noor"]);
    let contained = call(address, "GET", "contained", None).json();
    assert_eq!(contained["halt"]["reason"], "by verb");
    assert_eq!(contained["contained"][0]["why_not"], "halted by noor: by verb");
    assert_eq!(call(address, "POST", "resume", None).status, 200);
    refused(&data, &["actions", "resume"], 1, &["is not pulled"]);

    done(&data, &["incidents", "close", &id, "--verdict", "expected", "--reason", "a load test"]);
    until_answer(
        || call(address, "GET", &format!("incidents/{id}"), None),
        |it| it.json()["incident"]["status"] == "closed",
    );
    let judged = json!({ "verdict": "expected", "reason": "a load test" });
    let again = call(address, "POST", &format!("incidents/{id}/close"), Some(&judged));
    assert_eq!(
        (again.status, again.json()["expected"].as_str()),
        (409, Some("an incident that is not closed, or another verdict"))
    );
    service.stop();
}

#[test]
fn a_link_is_opened_without_effect_and_its_form_approves_once() {
    let folder = folder();
    let data = folder.path().join("data");
    attacked(&data);
    let (mut service, config) = service(&folder, &format!("  links: {{ base: \"{BASE}\" }}\n"));
    let address = service.address();
    assert_eq!(get(address, "/api/v1/incidents").status, 404);
    assert!(get(address, "/api/v1/incidents").body.contains("observe.api"));

    let id = text(&rows(&data, &["actions", "list", "--state", "awaiting"])[0]["id"]);
    let key_file = data.join("keys/approve.key");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&key_file).expect("a key is made"));
    assert_eq!(mode & 0o777, 0o600);
    let config = path(&config);
    let ran = run(&["actions", "show", &id[..8], "--config", config, "--format", "json"]);
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
    let link = text(&shown["approve"]);
    let route = link.strip_prefix(BASE).expect("the base").to_owned();
    assert!(route.starts_with(&format!("/approve/{id}?until=")), "{route}");
    let state = || text(&self::shown(&data, "actions", &id)["action"]["state"]);

    // Chat programs fetch links, more than once.
    for _ in 0..3 {
        let page = get(address, &route);
        assert_eq!(page.status, 200, "{}", page.body);
        for part in [
            ATTACKER,
            "block",
            "waf",
            "the policy asks for a person",
            "Many refused logins",
            "from when you agree",
            "<form method=\"post\"",
        ] {
            assert!(page.body.contains(part), "{part} is not in: {}", page.body);
        }
        let head = page.head.to_ascii_lowercase();
        assert!(
            head.contains("content-security-policy: default-src 'none'") && head.contains("cache-control: no-store")
        );
        assert!(!page.body.contains("<script"));
    }
    assert_eq!(state(), "awaiting");

    let links = |key: &[u8]| Links::new(&LinksConfig { base: String::new(), incident: None }, key);
    let key = gatewatch::keys::existing_approve(&KeysSection::default(), &data).expect("readable").expect("made");
    let old = links(&key).approve(&id, wall_us() - DAY_US - 1_000_000);
    let forged = links(b"a key that somebody made up here").approve(&id, wall_us());
    let cut = &route[..route.len() - 1];
    for (route, status) in [(old.as_str(), 410), (forged.as_str(), 403), (cut, 403), (&format!("/approve/{id}"), 403)] {
        for method in ["GET", "POST"] {
            let answer = send(address, method, route, &[], b"");
            assert_eq!(answer.status, status, "{method} {route}: {}", answer.body);
            assert!(!answer.body.contains(ATTACKER), "{}", answer.body);
        }
    }
    assert_eq!(state(), "awaiting");

    let pulled = "<b>The kill switch is pulled</b> by noor (a test): nothing is sent until somebody resumes.";
    done(&data, &["actions", "halt", "--reason", "a test", "--as", "noor"]);
    until_answer(|| get(address, &route), |page| page.body.contains(pulled));
    done(&data, &["actions", "resume", "--as", "noor"]);
    until_answer(|| get(address, &route), |page| !page.body.contains(pulled));

    let approved = send(address, "POST", &route, &[("Content-Type", "application/x-www-form-urlencoded")], b"");
    assert_eq!(approved.status, 200, "{}", approved.body);
    assert!(approved.body.contains("Approved") && approved.body.contains(" It lasts "), "{}", approved.body);
    let steps = self::shown(&data, "actions", &id)["steps"].to_string();
    assert!(steps.contains("\"approved\"") && steps.contains("by link"), "{steps}");
    for method in ["GET", "POST"] {
        assert_eq!(send(address, method, &route, &[], b"").status, 409);
    }
    service.stop();
}
