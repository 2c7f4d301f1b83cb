//! The APIs of the counterparties that do not run here, as strict servers with a state: edges (Cloudflare's lists, Fastly's
//! ACLs, AWS WAF's IP sets, HAProxy's Data Plane API, CrowdSec's local API), gateways and identity providers (Kong,
//! Keycloak), case systems, on-call systems and chat.
//!
//! Promises: what the published contract does not know is a problem that the test asserts to be absent: another path, a
//! missing or wrong credential, a field too many or too few, a value of the wrong type. Effects are kept as the real one
//! keeps them, and can be changed behind the client's back.
//! Never: accepts on trust.

pub mod aws_waf;
pub mod cases;
pub mod cloudflare;
pub mod crowdsec;
pub mod dataplane;
pub mod fastly;
pub mod hooks;
pub mod jira;
pub mod keycloak;
pub mod kong;
pub mod pagers;
pub mod servicenow;
pub mod slack;
pub mod splunk_soar;
pub mod thehive;
pub mod xsoar;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Decoded, part by part.
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub text: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// `GET a/b`, for matching.
    pub fn route(&self) -> (&str, Vec<&str>) {
        (&self.method, self.path.iter().map(String::as_str).collect())
    }
}

/// An API with its state.
pub trait Edge: Send + 'static {
    /// The answer; `Err` says what the contract does not know.
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String>;
}

struct Shared<E> {
    edge: E,
    /// Answers in place of the edge's, with the effect or without.
    faults: VecDeque<Fault>,
    asked: Vec<Asked>,
    problems: Vec<String>,
}

/// What goes wrong with the next request of a method; others before it are not touched.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub method: &'static str,
    pub status: u16,
    pub retry_after: Option<&'static str>,
    /// The effect happens all the same.
    pub applies: bool,
}

pub struct Server<E> {
    address: SocketAddr,
    shared: Arc<Mutex<Shared<E>>>,
    task: tokio::task::JoinHandle<()>,
}

impl<E> Drop for Server<E> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<E: Edge> Server<E> {
    pub async fn start(edge: E) -> Server<E> {
        let shared = Shared { edge, faults: VecDeque::new(), asked: Vec::new(), problems: Vec::new() };
        let shared = Arc::new(Mutex::new(shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(deal_with::<E>).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Server { address, shared, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn fault(&self, fault: Fault) {
        self.lock().faults.push_back(fault);
    }

    /// Look at the state, or change it behind the client's back.
    pub fn edge<T>(&self, with: impl FnOnce(&mut E) -> T) -> T {
        with(&mut self.lock().edge)
    }

    /// The requests since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.lock().asked)
    }

    /// In one line each.
    pub fn lines(&self) -> Vec<String> {
        let line = |asked: Asked| format!("{} /{}", asked.method, asked.path.join("/"));
        self.asked().into_iter().map(line).collect()
    }

    pub fn problems(&self) -> Vec<String> {
        self.lock().problems.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shared<E>> {
        self.shared.lock().expect("no holder panics")
    }
}

async fn deal_with<E: Edge>(
    State(shared): State<Arc<Mutex<Shared<E>>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, String) {
    let decode = |text: &str| {
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(format!("k={}", text.replace('+', "%2B")).as_bytes()).into_owned().collect();
        pairs[0].1.clone()
    };
    let asked = Asked {
        method: method.to_string(),
        path: uri.path().trim_start_matches('/').split('/').map(decode).collect(),
        query: url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect(),
        headers,
        text: String::from_utf8(body.to_vec()).expect("UTF-8"),
    };
    let mut shared = shared.lock().expect("no holder panics");
    let hit = shared.faults.front().is_some_and(|fault| fault.method == asked.method);
    let fault = if hit { shared.faults.pop_front() } else { None };
    let mut headers = HeaderMap::new();
    let mut reply = (200, Value::Null);
    if fault.is_none_or(|fault| fault.applies) {
        reply = shared.edge.answer(&asked).unwrap_or_else(|problem| {
            shared.problems.push(format!("{} {}: {problem}", asked.method, uri));
            (400, serde_json::json!({ "message": problem }))
        });
    }
    if let Some(fault) = fault {
        reply = (fault.status, serde_json::json!({ "message": "told to fail" }));
        if let Some(wait) = fault.retry_after {
            headers.insert("retry-after", wait.parse().expect("a header"));
        }
    }
    shared.asked.push(asked);
    let text = if reply.1.is_null() { String::new() } else { reply.1.to_string() };
    (StatusCode::from_u16(reply.0).expect("a status"), headers, text)
}

/// Exactly these keys, or these with some of the others.
pub fn keys(value: &Value, needed: &[&str], others: &[&str]) -> Result<(), String> {
    let object = value.as_object().ok_or_else(|| format!("no object: {value}"))?;
    if let Some(missing) = needed.iter().find(|key| !object.contains_key(**key)) {
        return Err(format!("`{missing}` is missing in {value}"));
    }
    match object.keys().find(|key| !needed.contains(&key.as_str()) && !others.contains(&key.as_str())) {
        Some(strange) => Err(format!("`{strange}` is not known in {value}")),
        None => Ok(()),
    }
}

pub fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, String> {
    value[key].as_str().ok_or_else(|| format!("`{key}` is no text in {value}"))
}
