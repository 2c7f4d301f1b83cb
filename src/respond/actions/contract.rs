//! Contract cases: what a target sends, field by field, and what it makes of the answers, without the server it is for.
//!
//! A case is a file `KIND/cases/*.json`: a configuration and steps. In each step one message is carried out; the requests
//! that it leads to must be those of the case, in order and in every part, and they are answered as the case says.
//! Promises: a request that the case does not name, or one part of it that differs, fails; a secret in an outcome fails.
//! Never: contacts anything but a receiver on loopback.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use schemas::Message;
use schemas::incident::Event;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::TargetsConfig;
use crate::respond::action::{Action, Kind, Op};
use crate::respond::config::{Secret, SecretRef};
use crate::respond::message::tests as messages;
use crate::respond::target::{Attempt, Delivery, Order, Target};

/// Headers that the HTTP client sets on its own.
const TRANSPORT: [&str; 5] = ["host", "user-agent", "content-length", "accept-encoding", "connection"];

/// A request as it came, without the headers of the transport.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub method: String,
    pub path: String,
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// JSON as such, other text as a string, nothing as null; the same in an answer.
    #[serde(default)]
    pub body: Value,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reply {
    pub status: u16,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: Value,
}

impl Reply {
    pub(crate) fn json(status: u16, body: Value) -> Reply {
        Reply { status, headers: BTreeMap::new(), body }
    }
}

type Answering = Arc<Mutex<Box<dyn FnMut(&Request) -> Reply + Send>>>;

/// An HTTP server on a free loopback port.
pub(crate) struct Receiver {
    pub url: String,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    pub(crate) async fn start(answering: impl FnMut(&Request) -> Reply + Send + 'static) -> Receiver {
        let answering: Answering = Arc::new(Mutex::new(Box::new(answering)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(answer).with_state(answering);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("serves until it is ended") });
        Receiver { url, task }
    }
}

async fn answer(
    State(answering): State<Answering>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let url = url::Url::parse(&format!("http://receiver{uri}")).expect("a request has an address");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let own = headers.iter().filter(|(name, _)| !TRANSPORT.contains(&name.as_str()));
    let request = Request {
        method: method.to_string(),
        path: url.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        headers: own.map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
        body: match body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&body).unwrap_or_else(|_| text(&body).into()),
        },
    };
    let reply = (answering.lock().expect("no holder panics"))(&request);
    let body = match reply.body {
        Value::Null => String::new(),
        Value::String(text) => text,
        json => json.to_string(),
    };
    let mut response = (StatusCode::from_u16(reply.status).expect("a status"), body).into_response();
    for (name, value) in reply.headers {
        let name: axum::http::HeaderName = name.parse().expect("a header's name");
        response.headers_mut().insert(name, value.parse().expect("a header's value"));
    }
    response
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What the case is about, for people.
    about: String,
    /// `respond.targets`; `{url}` stands for the receiver.
    targets: TargetsConfig,
    /// By the name of the environment variable that the configuration names.
    secrets: BTreeMap<String, String>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    event: Event,
    kind: Kind,
    /// Merged into the message of the tests.
    #[serde(default)]
    message: Value,
    #[serde(default = "first")]
    attempt: u32,
    /// So long after the first step.
    #[serde(default)]
    seconds: i64,
    /// Take it back instead.
    #[serde(default)]
    revert: bool,
    /// What earlier steps returned is not known any more.
    #[serde(default)]
    forgotten: bool,
    /// What was returned in steps before the case begins.
    #[serde(default)]
    remote_ref: Option<String>,
    /// Kind and value of who it is about, over the action of the tests.
    #[serde(default)]
    entity: Option<(String, String)>,
    exchanges: Vec<Exchange>,
    outcome: Outcome,
}

fn first() -> u32 {
    1
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    request: Request,
    answer: Reply,
}

/// With a part of the reason, or of the answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Outcome {
    Delivered { remote_ref: Option<String>, answer: String },
    Retry { after_s: Option<u64>, reason: String },
    Later { after_s: u64, reason: String },
    Failed { reason: String },
}

impl Outcome {
    fn holds(&self, delivery: &Delivery) -> bool {
        match (self, delivery) {
            (Outcome::Delivered { remote_ref, answer }, Delivery::Delivered { answer: came, remote_ref: kept }) => {
                remote_ref == kept && came.contains(answer)
            }
            (Outcome::Retry { after_s, reason }, Delivery::Retry { after, reason: came, .. }) => {
                *after_s == after.map(|after| after.as_secs()) && came.contains(reason)
            }
            (Outcome::Later { after_s, reason }, Delivery::Later { after, reason: came }) => {
                *after_s == after.as_secs() && came.contains(reason)
            }
            (Outcome::Failed { reason }, Delivery::Failed { reason: came, .. }) => came.contains(reason),
            _ => false,
        }
    }
}

/// The target of a configuration that names one.
pub(crate) fn build(targets: &TargetsConfig, secrets: &BTreeMap<String, String>) -> Arc<dyn Target> {
    let resolve = |reference: &SecretRef| match reference {
        SecretRef::Env(name) => secrets.get(name).map(Secret::new).ok_or(format!("{name} is not among the secrets")),
        SecretRef::File(path) => Err(format!("{path} is no environment variable")),
    };
    let ready = targets.build(&resolve).expect("a configuration that can be built");
    assert_eq!(ready.len(), 1, "one target in each case");
    Arc::clone(&ready[0].target)
}

/// The action of the tests with its message changed.
pub(crate) fn action(event: Event, kind: Kind, change: &Value) -> Action {
    let mut action = messages::action(event, kind);
    let mut body: Value = serde_json::from_slice(&action.body).expect("JSON");
    merge(&mut body, change);
    let message: Message = serde_json::from_value(body).expect("still a message");
    action.body = serde_json::to_vec(&message).expect("plain data");
    action.id = format!("ac-{}-{}", kind.name(), message.incident.revision);
    action
}

fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (into, change) => *into = change.clone(),
    }
}

/// What is still to come in the present step, and what came instead.
#[derive(Default)]
struct Script {
    expected: std::collections::VecDeque<Exchange>,
    problems: Vec<String>,
}

impl Script {
    fn play(&mut self, request: &Request) -> Reply {
        let Some(exchange) = self.expected.pop_front() else {
            self.problems.push(format!("an unexpected request: {request:#?}"));
            return Reply::json(599, Value::Null);
        };
        if exchange.request != *request {
            self.problems.push(format!("expected {:#?}\ncame {request:#?}", exchange.request));
        }
        exchange.answer
    }
}

/// Plays one case.
async fn walk(path: &Path) {
    let name = path.display();
    let text = std::fs::read_to_string(path).expect("a case is readable");
    let script = Arc::new(Mutex::new(Script::default()));
    let play = Arc::clone(&script);
    let receiver = Receiver::start(move |request| play.lock().expect("no holder panics").play(request)).await;
    let text = text.replace("{url}", &receiver.url);
    let case: Case = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(!case.steps.is_empty() && case.about.len() > 10, "{name} is empty");
    let target = build(&case.targets, &case.secrets);
    let mut known: Option<String> = None;
    for (n, step) in case.steps.iter().enumerate() {
        let mut action = action(step.event, step.kind, &step.message);
        if step.revert {
            (action.op, action.undoes) = (Op::Revert, Some(action.id.clone()));
        }
        if let Some((kind, value)) = step.entity.clone() {
            (action.entity_kind, action.entity_value) = (kind, value);
        }
        known = step.remote_ref.clone().or(known.filter(|_| !step.forgotten));
        script.lock().expect("no holder panics").expected = step.exchanges.iter().cloned().collect();
        let attempt = Attempt { number: step.attempt, now_us: action.created_us + step.seconds * 1_000_000 };
        let delivery = target.carry_out(Order { action: &action, attempt, remote_ref: known.as_deref() }).await;
        let script = script.lock().expect("no holder panics");
        assert!(script.problems.is_empty(), "{name}, step {n}: {}", script.problems.join("\n"));
        assert!(script.expected.is_empty(), "{name}, step {n}: {} requests did not come", script.expected.len());
        assert!(step.outcome.holds(&delivery), "{name}, step {n}: expected {:?}, came {delivery:?}", step.outcome);
        let shown = format!("{delivery:?}");
        for secret in case.secrets.values() {
            assert!(!shown.contains(secret.as_str()), "{name}, step {n}: a secret in {shown}");
        }
        if let Delivery::Delivered { remote_ref: Some(remote_ref), .. } = delivery {
            known = Some(remote_ref);
        }
    }
}

fn pages(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths
}

/// A page's blocks of YAML: whole ones, and lists of the page's own kind of target.
fn blocks(page: &str) -> Vec<String> {
    let blocks = page.split("```yaml\n").skip(1);
    blocks.filter_map(|rest| rest.split_once("```").map(|(block, _)| block.to_owned())).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    respond: crate::respond::RespondConfig,
}

/// What a page shows can be copied as it stands.
#[test]
fn the_pages_of_targets_show_configurations_that_work() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/targets");
    let mut shown = 0;
    for page in pages(&folder) {
        let kind = page.file_stem().and_then(|name| name.to_str()).expect("a page's name").to_owned();
        let text = std::fs::read_to_string(&page).expect("a page is UTF-8");
        for block in blocks(&text) {
            let whole = if block.starts_with("respond:") {
                block.clone()
            } else {
                format!("respond:\n  targets:\n    {kind}:\n{block}")
            };
            let written: Written =
                serde_saphyr::from_str(&whole).unwrap_or_else(|error| panic!("{}: {error}\n{whole}", page.display()));
            written.respond.check().unwrap_or_else(|error| panic!("{}: {error}\n{whole}", page.display()));
            assert!(!written.respond.targets.all().is_empty(), "{}: a block without a target", page.display());
            shown += 1;
        }
    }
    assert!(shown > 0, "no configuration on any page");
}

#[tokio::test]
async fn every_target_keeps_to_its_contract() {
    // An error says that another test of this program was first, with the same choice.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let pattern = concat!(env!("CARGO_MANIFEST_DIR"), "/src/respond/actions/*/cases/*.json");
    let mut walked = 0;
    for path in glob::glob(pattern).expect("a pattern") {
        walk(&path.expect("a readable folder")).await;
        walked += 1;
    }
    assert!(walked > 0, "no cases");
}
