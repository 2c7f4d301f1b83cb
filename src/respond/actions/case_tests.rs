//! The life of a case at each case system, with every answer lost once: played against receivers that keep state as the
//! genuine systems do.
//!
//! Promises: whichever answer gets lost after its effect, and whether or not the case's name was kept, there is one case in
//! the end, each change was told once, and it was closed once.
//! Never: scripts an order of requests; that is what contract cases are for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use schemas::incident::Event;
use serde_json::{Value, json};

use super::TargetsConfig;
use super::contract::{Receiver, Reply, Request, action, build};
use crate::respond::action::Kind;
use crate::respond::target::{Attempt, Delivery, Order, Target};

/// A case as the receivers keep it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Kept {
    ours: String,
    text: String,
    closed: u32,
    notes: Vec<String>,
    parts: Vec<Value>,
    version: i64,
}

type Cases = Vec<Kept>;
type Play = fn(&mut Cases, &Request) -> Reply;

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn found(cases: &Cases, ours: &str, shown: impl Fn(usize, &Kept) -> Value) -> Vec<Value> {
    cases.iter().enumerate().filter(|(_, kept)| kept.ours == ours).map(|(n, kept)| shown(n, kept)).collect()
}

fn open(cases: &mut Cases, ours: String, body: &Value, parts: &Value) -> usize {
    let parts = parts.as_array().cloned().unwrap_or_default();
    cases.push(Kept { ours, text: text(&body["description"]), parts, ..Kept::default() });
    cases.len() - 1
}

fn jira(cases: &mut Cases, request: &Request) -> Reply {
    let parts: Vec<&str> = request.path.trim_start_matches("/rest/api/2/").split('/').collect();
    let body = &request.body;
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["search"]) => {
            let label = request.query["jql"].split('"').nth(1).expect("a label").to_owned();
            let shown =
                |n: usize, kept: &Kept| json!({ "key": format!("SEC-{n}"), "fields": { "description": kept.text } });
            Reply::json(200, json!({ "issues": found(cases, &label, shown) }))
        }
        ("POST", ["issue"]) => {
            let n = open(cases, text(&body["fields"]["labels"][1]), &body["fields"], &Value::Null);
            Reply::json(201, json!({ "key": format!("SEC-{n}") }))
        }
        (method, ["issue", key, rest @ ..]) => {
            let kept = &mut cases[key.trim_start_matches("SEC-").parse::<usize>().expect("a key of ours")];
            let done = if kept.closed > 0 { "done" } else { "new" };
            match (method, rest) {
                ("GET", ["comment"]) => {
                    let comments: Vec<Value> = kept.notes.iter().map(|note| json!({ "body": note })).collect();
                    Reply::json(200, json!({ "comments": comments }))
                }
                ("POST", ["comment"]) => {
                    kept.notes.push(text(&body["body"]));
                    Reply::json(201, json!({ "id": "1" }))
                }
                ("GET", []) => Reply::json(
                    200,
                    json!({ "fields": { "status": { "name": done, "statusCategory": { "key": done } } } }),
                ),
                ("GET", ["transitions"]) => Reply::json(
                    200,
                    json!({ "transitions": [{ "id": "31", "name": "Done", "to": { "name": "Done" } }] }),
                ),
                ("POST", ["transitions"]) => {
                    kept.closed += 1;
                    Reply::json(204, Value::Null)
                }
                _ => Reply::json(405, Value::Null),
            }
        }
        _ => Reply::json(405, Value::Null),
    }
}

fn thehive(cases: &mut Cases, request: &Request) -> Reply {
    let body = &request.body;
    let parts: Vec<&str> = request.path.trim_start_matches("/api/v1/").split('/').collect();
    let number = |name: &str| name.trim_start_matches('~').parse::<usize>().expect("an id of ours");
    match (request.method.as_str(), parts.as_slice()) {
        ("POST", ["query"]) if request.query["name"] == "alerts" => {
            let ours = text(&body["query"][1]["_and"][2]["_eq"]["_value"]);
            Reply::json(200, found(cases, &ours, |n, _| json!({ "_id": format!("~{n}") })).into())
        }
        ("POST", ["query"]) => {
            Reply::json(200, cases[number(&text(&body["query"][0]["idOrName"]))].parts.clone().into())
        }
        ("POST", ["alert"]) => {
            let ours = text(&body["sourceRef"]);
            if cases.iter().any(|kept| kept.ours == ours) {
                return Reply::json(400, json!({ "type": "CreateError", "message": "Alert already exist" }));
            }
            let n = open(cases, ours, body, &body["observables"]);
            Reply::json(201, json!({ "_id": format!("~{n}") }))
        }
        ("GET", ["alert", id]) => {
            let stage = if cases[number(id)].closed > 0 { "Closed" } else { "New" };
            Reply::json(200, json!({ "stage": stage }))
        }
        ("PATCH", ["alert", id]) => {
            cases[number(id)].closed += u32::from(body["status"] == "Ignored");
            Reply::json(204, Value::Null)
        }
        ("POST", ["alert", id, "observable"]) => {
            cases[number(id)].parts.push(body.clone());
            Reply::json(201, json!([]))
        }
        _ => Reply::json(405, Value::Null),
    }
}

fn servicenow(cases: &mut Cases, request: &Request) -> Reply {
    let body = &request.body;
    let number = request.path.trim_start_matches("/api/now/table/incident").trim_start_matches('/');
    match (request.method.as_str(), number) {
        ("GET", "") => {
            let query = &request.query["sysparm_query"];
            let ours = query.trim_start_matches("correlation_id=").split('^').next().expect("an id").to_owned();
            let shown = |n: usize, kept: &Kept| json!({ "sys_id": n.to_string(), "description": kept.text });
            Reply::json(200, json!({ "result": found(cases, &ours, shown) }))
        }
        ("POST", "") => {
            let n = open(cases, text(&body["correlation_id"]), body, &Value::Null);
            Reply::json(201, json!({ "result": { "sys_id": n.to_string() } }))
        }
        ("GET", number) => {
            let kept = &cases[number.parse::<usize>().expect("an id of ours")];
            let state = if kept.closed > 0 { "6" } else { "1" };
            let notes = kept.notes.join("\n\n");
            let result = json!({ "state": { "value": state }, "work_notes": { "display_value": notes, "value": "" } });
            Reply::json(200, json!({ "result": result }))
        }
        ("PATCH", number) => {
            let kept = &mut cases[number.parse::<usize>().expect("an id of ours")];
            kept.notes.extend(body["work_notes"].as_str().map(str::to_owned));
            kept.closed += u32::from(body["state"] == "6");
            Reply::json(200, json!({ "result": {} }))
        }
        _ => Reply::json(405, Value::Null),
    }
}

fn xsoar(cases: &mut Cases, request: &Request) -> Reply {
    let body = &request.body;
    let id = text(&body["id"]);
    match request.path.trim_start_matches("/xsoar/public/v1") {
        "/incidents/search" => {
            let filter = &body["filter"];
            let shown = |n: usize, kept: &Kept| json!({ "id": n.to_string(), "version": kept.version, "status": if kept.closed > 0 { 2 } else { 1 } });
            let wanted = |n: usize, kept: &Kept| match filter["query"].as_str() {
                Some(query) => query == format!("dbotMirrorId:\"{}\"", kept.ours),
                None => filter["id"][0] == n.to_string().as_str(),
            };
            let all = cases.iter().enumerate().filter(|(n, kept)| wanted(*n, kept));
            let data: Vec<Value> = all.map(|(n, kept)| shown(n, kept)).collect();
            Reply::json(200, json!({ "total": data.len(), "data": data }))
        }
        "/incident" if id.is_empty() => {
            let n = open(cases, text(&body["dbotMirrorId"]), body, &Value::Null);
            Reply::json(200, json!({ "id": n.to_string() }))
        }
        path @ ("/incident" | "/incident/close") => {
            let kept = &mut cases[id.parse::<usize>().expect("an id of ours")];
            if body["version"] != kept.version {
                return Reply::json(400, json!({ "detail": "DB Version error" }));
            }
            kept.version += 1;
            kept.closed += u32::from(path == "/incident/close");
            Reply::json(200, json!({ "id": id }))
        }
        _ => Reply::json(405, Value::Null),
    }
}

fn splunk_soar(cases: &mut Cases, request: &Request) -> Reply {
    let body = &request.body;
    let parts: Vec<&str> = request.path.trim_start_matches("/rest/").split('/').collect();
    let number = |text: &str| text.parse::<usize>().expect("an id of ours");
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["container"]) => {
            let ours = request.query["_filter_source_data_identifier"].trim_matches('"').to_owned();
            Reply::json(200, json!({ "data": found(cases, &ours, |n, _| json!({ "id": n })) }))
        }
        ("POST", ["container"]) => {
            let ours = text(&body["source_data_identifier"]);
            if let Some(n) = cases.iter().position(|kept| kept.ours == ours) {
                return Reply::json(400, json!({ "failed": true, "existing_container_id": n }));
            }
            let n = open(cases, ours, body, &body["artifacts"]);
            Reply::json(200, json!({ "success": true, "id": n }))
        }
        ("GET", ["container", id]) => {
            let status = if cases[number(id)].closed > 0 { "closed" } else { "new" };
            Reply::json(200, json!({ "status": status }))
        }
        ("POST", ["container", id]) => {
            cases[number(id)].closed += u32::from(body["status"] == "closed");
            Reply::json(200, json!({ "success": true }))
        }
        ("GET", ["artifact"]) => {
            Reply::json(200, json!({ "data": cases[number(&request.query["_filter_container"])].parts }))
        }
        ("POST", ["artifact"]) => {
            let container = number(&body["container_id"].to_string());
            cases[container].parts.push(body.clone());
            Reply::json(200, json!({ "success": true }))
        }
        _ => Reply::json(405, Value::Null),
    }
}

/// A case system and what it holds.
struct System {
    target: Arc<dyn Target>,
    state: Arc<Mutex<Seen>>,
    _receiver: Receiver,
}

#[derive(Default)]
struct Seen {
    cases: Cases,
    requests: usize,
    /// The number of the request whose answer gets lost after its effect.
    lost: Option<usize>,
}

impl System {
    async fn start(config: &Value, play: Play) -> System {
        let state = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&state);
        let receiver = Receiver::start(move |request| {
            let mut seen = shared.lock().expect("no holder panics");
            let reply = play(&mut seen.cases, request);
            seen.requests += 1;
            if seen.lost == Some(seen.requests - 1) { Reply::json(502, Value::Null) } else { reply }
        })
        .await;
        let config = config.to_string().replace("{url}", &receiver.url);
        let targets: TargetsConfig = serde_json::from_str(&config).expect("a configuration");
        let secrets = BTreeMap::from([("SECRET".to_owned(), "fake-secret".to_owned())]);
        System { target: build(&targets, &secrets), state, _receiver: receiver }
    }

    /// What is left of an incident that was told by these messages, and how many requests there were.
    async fn live(&self, told: &[Event], lost: Option<usize>, forgetful: bool) -> (Cases, usize) {
        *self.state.lock().expect("no holder panics") = Seen { lost, ..Seen::default() };
        let mut known: Option<String> = None;
        for &event in told {
            known = known.filter(|_| !forgetful);
            known = self.tell(event, known).await;
        }
        let seen = self.state.lock().expect("no holder panics");
        (seen.cases.clone(), seen.requests)
    }

    /// Tell it until it is delivered.
    async fn tell(&self, event: Event, known: Option<String>) -> Option<String> {
        let revision = [Event::Open, Event::Updated, Event::Closed].iter().position(|one| *one == event);
        let mut change = json!({ "incident": { "revision": revision } });
        if event != Event::Open {
            let anna = json!({ "kind": "principal", "value": "anna" });
            change["incident"]["entities"] = json!([anna, { "kind": "client_ip", "value": "203.0.113.7" }]);
        }
        let action = action(event, Kind::Case, &change);
        for number in 1..=4 {
            let attempt = Attempt { number, now_us: action.created_us };
            match self.target.carry_out(Order { action: &action, attempt, remote_ref: known.as_deref() }).await {
                Delivery::Delivered { remote_ref, .. } => return remote_ref,
                Delivery::Retry { .. } | Delivery::Noted { .. } | Delivery::Later { .. } => {}
                Delivery::Failed { reason, answer } => panic!("{event:?}: {reason}: {answer}"),
            }
        }
        panic!("{event:?} was not delivered")
    }
}

/// Live once undisturbed, then with each answer lost, each time with and without the case's name; and the same where the
/// opening was never told, so that the update makes the case.
async fn one_case_whatever_gets_lost(config: Value, play: Play, notes: usize, parts: usize) {
    let system = System::start(&config, play).await;
    let whole = [Event::Open, Event::Updated, Event::Closed];
    // Without the opening there is one change less to note.
    for (told, notes) in [(&whole[..], notes), (&whole[1..], notes.saturating_sub(1))] {
        let (_, requests) = system.live(told, None, true).await;
        assert!(requests >= 4, "{requests} requests");
        for lost in [None].into_iter().chain((0..requests).map(Some)) {
            for forgetful in [false, true] {
                let (cases, _) = system.live(told, lost, forgetful).await;
                let kept = cases.first().expect("a case");
                let figures = (cases.len(), kept.closed, kept.notes.len(), kept.parts.len());
                let life = format!("{told:?}, {lost:?} lost, forgetful: {forgetful}");
                assert_eq!(figures, (1, 1, notes, parts), "{life}: {cases:#?}");
            }
        }
    }
}

#[tokio::test]
async fn a_case_is_told_once_that_the_attacker_is_back() {
    let config = json!({ "servicenow": [{ "name": "t", "url": "{url}", "token": { "env": "SECRET" } }] });
    let system = System::start(&config, servicenow).await;
    let (cases, _) = system.live(&[Event::Open, Event::Closed], None, false).await;
    let before = cases[0].notes.len();
    let again = action(Event::Open, Kind::Case, &json!({ "incident": { "revision": 3 } }));
    for number in 1..=2 {
        let attempt = Attempt { number, now_us: again.created_us };
        system.target.carry_out(Order { action: &again, attempt, remote_ref: Some("0") }).await;
    }
    let seen = system.state.lock().expect("no holder panics");
    assert_eq!((seen.cases.len(), seen.cases[0].notes.len()), (1, before + 1), "{:#?}", seen.cases);
    let note = seen.cases[0].notes.last().expect("a note");
    assert!(note.starts_with("Again: [high]") && note.ends_with("revision 3]"), "{note}");
}

#[tokio::test]
async fn jira_has_one_issue_whatever_gets_lost() {
    let config = json!({ "jira": [{ "name": "t", "url": "{url}", "edition": "data_center", "token": { "env": "SECRET" },
        "project": "SEC" }] });
    one_case_whatever_gets_lost(config, jira, 2, 0).await;
}

#[tokio::test]
async fn thehive_has_one_alert_whatever_gets_lost() {
    let config = json!({ "thehive": [{ "name": "t", "url": "{url}", "token": { "env": "SECRET" } }] });
    one_case_whatever_gets_lost(config, thehive, 0, 2).await;
}

#[tokio::test]
async fn servicenow_has_one_record_whatever_gets_lost() {
    let config = json!({ "servicenow": [{ "name": "t", "url": "{url}", "token": { "env": "SECRET" } }] });
    one_case_whatever_gets_lost(config, servicenow, 2, 0).await;
}

#[tokio::test]
async fn xsoar_has_one_incident_whatever_gets_lost() {
    let config = json!({ "xsoar": [{ "name": "t", "url": "{url}", "key": { "env": "SECRET" }, "key_id": 7 }] });
    one_case_whatever_gets_lost(config, xsoar, 0, 0).await;
}

#[tokio::test]
async fn splunk_soar_has_one_container_whatever_gets_lost() {
    let config = json!({ "splunk_soar": [{ "name": "t", "url": "{url}", "token": { "env": "SECRET" } }] });
    one_case_whatever_gets_lost(config, splunk_soar, 0, 2).await;
}
