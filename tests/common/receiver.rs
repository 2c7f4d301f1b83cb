//! A strict receiver of signed webhooks: what a careful customer's endpoint would do, and a fault injector.
//!
//! Promises: an effect is applied at most once per `webhook-id`; everything that a careful receiver would object to is
//! kept as a violation: a wrong signature or time, a body that is not the published message, the same id with
//! another body, a message about an incident told after a newer one. What it answers is told per request.
//! Never: accepts on trust; a test asserts `violations()` to be empty at its end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A secret for tests, visibly not a real one: base64 of "not-a-real-secret-for-tests-1234".
pub const SECRET: &str = "whsec_bm90LWEtcmVhbC1zZWNyZXQtZm9yLXRlc3RzLTEyMzQ=";

const HEAD_BYTES_MAX: usize = 16 * 1024;
const BODY_BYTES_MAX: usize = 256 * 1024;
const TIME_TOLERANCE_S: i64 = 300;

pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What to do with one request.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub retry_after: Option<String>,
    /// Whether the effect happens. A lost answer with an effect is the uncertain case.
    pub applies: bool,
    pub delay: Duration,
    pub end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A whole answer; the connection stays open.
    Whole,
    /// Status and headers, then the connection closes in the middle of the body.
    AfterHeaders,
    /// A reset instead of an answer.
    Reset,
}

impl Reply {
    /// This status; the effect happens with a 2xx.
    pub fn status(status: u16) -> Reply {
        let applies = (200..300).contains(&status);
        Reply { status, retry_after: None, applies, delay: Duration::ZERO, end: End::Whole }
    }

    pub fn accept() -> Reply {
        Reply::status(202)
    }

    pub fn retry_after(status: u16, value: &str) -> Reply {
        Reply { retry_after: Some(value.to_owned()), ..Reply::status(status) }
    }

    /// The effect happens and the answer gets lost.
    pub fn lost(end: End) -> Reply {
        Reply { applies: true, end, ..Reply::status(202) }
    }

    pub fn after(self, delay: Duration) -> Reply {
        Reply { delay, ..self }
    }
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at_us: i64,
    pub id: String,
    pub timestamp: i64,
    pub signature: String,
    pub body: Value,
    /// What was answered.
    pub status: u16,
}

/// One effect: a message that was taken in, once.
#[derive(Clone, Debug)]
pub struct Effect {
    pub id: String,
    pub body: Value,
}

#[derive(Default)]
struct State {
    script: VecDeque<Reply>,
    otherwise: Option<Reply>,
    seen: Vec<Seen>,
    bodies: BTreeMap<String, Vec<u8>>,
    effects: Vec<Effect>,
    violations: Vec<String>,
}

struct Shared {
    keys: Vec<hmac::Key>,
    clock: Clock,
    state: Mutex<State>,
    /// Grows with each request that was dealt with.
    dealt: watch::Sender<usize>,
}

pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Listen on a free loopback port and accept everything until told otherwise.
    pub async fn start(secrets: &[&str], clock: Clock) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let keys = secrets.iter().map(|secret| key(secret)).collect();
        let shared = Arc::new(Shared { keys, clock, state: Mutex::default(), dealt: watch::channel(0).0 });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Receiver { address, shared, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks/gatewatch", self.address)
    }

    /// What to answer to the next requests, one each; then `otherwise` again.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state().script.extend(replies);
    }

    /// What to answer when the script is at its end; at first 202.
    pub fn otherwise(&self, reply: Reply) {
        self.state().otherwise = Some(reply);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    pub fn effects(&self) -> Vec<Effect> {
        self.state().effects.clone()
    }

    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Wait until this many requests were dealt with; panics after half a minute.
    pub async fn wait_for_requests(&self, count: usize) {
        let mut dealt = self.shared.dealt.subscribe();
        let wait = tokio::time::timeout(Duration::from_secs(30), dealt.wait_for(|dealt| *dealt >= count)).await;
        assert!(wait.is_ok(), "only {} of {count} requests came", self.seen().len());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no holder panics")
    }
}

fn key(secret: &str) -> hmac::Key {
    let bytes = STANDARD.decode(secret.strip_prefix("whsec_").expect("a webhook secret")).expect("base64");
    hmac::Key::new(hmac::HMAC_SHA256, &bytes)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // A connection that breaks is the client's affair; what it sent until then was dealt with.
        tokio::spawn(async move { serve(stream, &shared).await });
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await? {
        let reply = deal_with(shared, &request);
        if !reply.delay.is_zero() {
            tokio::time::sleep(reply.delay).await;
        }
        let result = answer(&mut stream, &reply).await;
        shared.dealt.send_modify(|dealt| *dealt += 1);
        if !result? {
            break;
        }
    }
    Ok(())
}

struct Request {
    method: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// The next request of a connection; `None` at its end.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if buffer.len() > HEAD_BYTES_MAX || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let method = lines.next().and_then(|line| line.split(' ').next()).unwrap_or_default().to_owned();
    let split = |line: &str| line.split_once(':').map(|(k, v)| (k.to_ascii_lowercase(), v.trim().to_owned()));
    let headers: BTreeMap<String, String> = lines.filter_map(split).collect();
    let length: usize = headers.get("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
    if length > BODY_BYTES_MAX {
        return Ok(None);
    }
    let end = head_end + 4 + length;
    while buffer.len() < end {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    let body = buffer[head_end + 4..end].to_vec();
    buffer.drain(..end);
    Ok(Some(Request { method, headers, body }))
}

/// Send what was told; whether the connection goes on.
async fn answer(stream: &mut TcpStream, reply: &Reply) -> io::Result<bool> {
    if reply.end == End::Reset {
        stream.set_zero_linger()?;
        return Ok(false);
    }
    let body = format!("{{\"status\":{}}}", reply.status);
    let wait = reply.retry_after.as_ref().map(|value| format!("Retry-After: {value}\r\n")).unwrap_or_default();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {} Told\r\n{wait}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
        reply.status
    );
    if reply.end == End::AfterHeaders {
        stream.write_all(head.as_bytes()).await?;
        stream.shutdown().await?;
        return Ok(false);
    }
    // In one piece: two small ones would wait for each other's acknowledgement.
    stream.write_all((head + &body).as_bytes()).await?;
    Ok(true)
}

/// Check, keep and decide; the effect and its record are one step.
fn deal_with(shared: &Shared, request: &Request) -> Reply {
    let now_us = (shared.clock)();
    let mut problems = Vec::new();
    check_envelope(shared, request, now_us, &mut problems);
    let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    check_body(&body, &mut problems);

    let mut state = shared.state.lock().expect("no holder panics");
    let id = request.header("webhook-id").to_owned();
    // How things stand is looked up at each attempt.
    let mut lasting = body.clone();
    lasting.as_object_mut().map(|message| message.remove("standing"));
    let lasting = lasting.to_string().into_bytes();
    match state.bodies.get(&id) {
        Some(first) if *first != lasting => problems.push("same webhook-id, another body".to_owned()),
        Some(_) => {}
        None => {
            state.bodies.insert(id.clone(), lasting);
        }
    }
    let scripted = state.script.pop_front().or_else(|| state.otherwise.clone()).unwrap_or_else(Reply::accept);
    let reply = if problems.is_empty() { scripted } else { Reply::status(400) };
    if reply.applies && !state.effects.iter().any(|effect| effect.id == id) {
        check_order(&state, &body, &mut problems);
        state.effects.push(Effect { id: id.clone(), body: body.clone() });
    }
    state.violations.extend(problems.into_iter().map(|problem| format!("{id}: {problem}")));
    state.seen.push(Seen {
        at_us: now_us,
        id,
        timestamp: request.header("webhook-timestamp").parse().unwrap_or_default(),
        signature: request.header("webhook-signature").to_owned(),
        body,
        status: reply.status,
    });
    reply
}

fn check_envelope(shared: &Shared, request: &Request, now_us: i64, problems: &mut Vec<String>) {
    let (id, timestamp) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    if request.method != "POST" {
        problems.push(format!("method {}", request.method));
    }
    if request.header("content-type") != "application/json" {
        problems.push(format!("content type {}", request.header("content-type")));
    }
    if id.is_empty() || id.contains('.') {
        problems.push(format!("webhook-id `{id}`"));
    }
    let seconds: i64 = timestamp.parse().unwrap_or(i64::MIN / 2);
    if (seconds - now_us.div_euclid(1_000_000)).abs() > TIME_TOLERANCE_S {
        problems.push(format!("webhook-timestamp `{timestamp}` is too far from now"));
    }
    let message = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &request.body].concat();
    let signatures = request.header("webhook-signature").split(' ').filter_map(|one| one.strip_prefix("v1,"));
    let signatures: Vec<Vec<u8>> = signatures.filter_map(|text| STANDARD.decode(text).ok()).collect();
    let valid = |key: &hmac::Key| signatures.iter().any(|tag| hmac::verify(key, &message, tag).is_ok());
    if !shared.keys.iter().any(valid) {
        problems.push("no signature that verifies".to_owned());
    }
}

fn check_body(body: &Value, problems: &mut Vec<String>) {
    expect_keys(body, &["type", "timestamp", "kind", "incident", "alert", "standing"], "body", problems);
    let closed = match body["type"].as_str() {
        Some("incident.open" | "incident.updated") => false,
        Some("incident.closed") => true,
        _ => {
            problems.push(format!("type {}", body["type"]));
            return;
        }
    };
    if !matches!(body["kind"].as_str(), Some("notify" | "case" | "page")) {
        problems.push(format!("kind {}", body["kind"]));
    }
    let incident = &body["incident"];
    if (incident["status"] == "closed") != closed || body["timestamp"] != incident["updated"] {
        problems.push("type or timestamp differ from the incident's".to_owned());
    }
    check_incident(incident, problems);
    if !body["alert"].is_null() {
        check_alert(&body["alert"], problems);
    }
}

/// The published incident, field by field, from its description and not from the type that writes it.
fn check_incident(incident: &Value, problems: &mut Vec<String>) {
    let all = [
        "id",
        "revision",
        "status",
        "title",
        "severity",
        "score",
        "subject",
        "opened",
        "updated",
        "entities",
        "detectors",
        "alerts",
        "alerts_open",
        "owasp",
        "attack",
        "assignee",
        "verdict",
    ];
    expect_keys(incident, &all, "incident", problems);
    let mut expect = |name: &str, holds: bool| {
        if !holds {
            problems.push(format!("incident.{name} is {}", incident[name]));
        }
    };
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    expect("id", incident["id"].as_str().is_some_and(|id| id.starts_with("in-")));
    expect("title", text(&incident["title"]));
    expect("revision", incident["revision"].is_u64());
    expect("score", incident["score"].as_f64().is_some_and(|score| score > 0.0));
    expect("status", matches!(incident["status"].as_str(), Some("open" | "acknowledged" | "closed")));
    expect("subject", is_entity(&incident["subject"]));
    expect("alerts", incident["alerts"].as_u64().is_some_and(|alerts| alerts > 0));
    expect("alerts_open", incident["alerts_open"].is_u64());
    for name in ["entities", "detectors"] {
        expect(name, incident[name].as_array().is_some_and(|list| !list.is_empty()));
    }
}

/// The published alert, field by field, from its description and not from the type that writes it.
fn check_alert(alert: &Value, problems: &mut Vec<String>) {
    const TEXTS: [&str; 3] = ["id", "detector", "title"];
    const TIMES: [&str; 2] = ["opened", "updated"];
    const NUMBERS: [&str; 3] = ["observed", "threshold", "score"];
    const LISTS: [&str; 2] = ["owasp", "attack"];
    let others = ["revision", "state", "severity", "entity", "window", "expected", "events", "evidence", "dry_run"];
    // Of what is a part of another alert, the id of that.
    let part = ["part_of"];
    let part: &[&str] = if alert.get("part_of").is_some() { &part } else { &[] };
    let all = [&TEXTS[..], &TIMES, &NUMBERS, &LISTS, &others, part].concat();
    expect_keys(alert, &all, "alert", problems);
    let mut expect = |name: &str, holds: bool| {
        if !holds {
            problems.push(format!("alert.{name} is {}", alert[name]));
        }
    };
    let text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    let time = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok()
    };
    TEXTS.iter().for_each(|name| expect(name, text(&alert[*name])));
    TIMES.iter().for_each(|name| expect(name, time(&alert[*name])));
    NUMBERS.iter().for_each(|name| expect(name, alert[*name].is_number()));
    for name in LISTS {
        expect(name, alert[name].as_array().is_some_and(|list| list.iter().all(text)));
    }
    let severities = ["info", "low", "medium", "high", "critical"];
    expect("severity", alert["severity"].as_str().is_some_and(|word| severities.contains(&word)));
    expect("revision", alert["revision"].is_u64());
    expect("events", alert["events"].as_u64().is_some_and(|events| events > 0));
    expect("expected", alert["expected"].is_null() || alert["expected"].is_number());
    expect("dry_run", alert["dry_run"] == false);
    expect("part_of", part.is_empty() || text(&alert["part_of"]));
    expect("entity", is_entity(&alert["entity"]));
    expect("window", time(&alert["window"]["start"]) && time(&alert["window"]["end"]));
    expect("evidence", alert["evidence"].is_object());
}

/// A kind and a value, which is empty where the entity is the whole.
fn is_entity(entity: &Value) -> bool {
    let text = |name: &str| entity[name].as_str().unwrap_or_default();
    !text("kind").is_empty() && text("value").is_empty() == (text("kind") == "whole")
}

fn expect_keys(value: &Value, expected: &[&str], what: &str, problems: &mut Vec<String>) {
    let expected: BTreeSet<&str> = expected.iter().copied().collect();
    let found: BTreeSet<&str> =
        value.as_object().map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default();
    if found != expected {
        let differing: Vec<&&str> = found.symmetric_difference(&expected).collect();
        problems.push(format!("{what}: unexpected or missing {differing:?}"));
    }
}

/// Of one incident and kind, what is told comes in order.
fn check_order(state: &State, body: &Value, problems: &mut Vec<String>) {
    let same = |other: &Value| other["incident"]["id"] == body["incident"]["id"] && other["kind"] == body["kind"];
    let revision = |body: &Value| body["incident"]["revision"].as_u64();
    let newest =
        state.effects.iter().filter(|effect| same(&effect.body)).filter_map(|effect| revision(&effect.body)).max();
    if newest >= revision(body) && newest.is_some() {
        problems.push("a message about an incident after a newer one".to_owned());
    }
}
