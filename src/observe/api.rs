//! `/api/v1`: incidents, alerts, actions and the switches of people, as the verbs of the command line have them.
//!
//! Promises: without a configured token there is no API; whoever does not show it learns nothing and changes nothing. A body is
//! bounded and read after the token; unknown fields and parameters are refused. Each answer is JSON; an error says what was
//! wrong and what was expected. What is changed is seen by the running service at once.
//! Never: speaks to a target, or changes anything on GET.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemas::incident::{Status, Verdict};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::serve::Shown;
use crate::clock;
use crate::config::Span;
use crate::ingest::http::Token;
use crate::respond::action::State as ActionState;
use crate::respond::halt::{self, Halt};
use crate::respond::incident::desk::{self, Deed, DeskError, Suppression, Which, WhichActions, WhichAlerts, words};
use crate::respond::incident::look::{self, What};
use crate::respond::link::Links;
use crate::timed;

/// Bytes of a body; a larger one is refused.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Entries of a list.
const LIMIT_MAX: u32 = 1_000;
const LIMIT_DEFAULT: u32 = 100;
/// Who acts, where the caller does not say.
const ACTOR: &str = "api";
const ACTOR_HEADER: &str = "x-actor";

/// Who may do something over HTTP.
#[derive(Clone, Default)]
pub struct Access {
    /// What callers of the API show; without one there is no API.
    pub token: Option<Token>,
    /// What signs the links with which people agree to actions; without it there are none.
    pub links: Option<Links>,
}

/// Every route, as it is told to whoever asks for another one.
const ROUTES: [&str; 21] = [
    "GET incidents",
    "GET incidents/{id}",
    "POST incidents/{id}/comment",
    "POST incidents/{id}/assign",
    "POST incidents/{id}/close",
    "GET alerts",
    "GET alerts/{id}",
    "GET actions",
    "GET actions/{id}",
    "POST actions/{id}/approve",
    "POST actions/{id}/revert",
    "POST actions/{id}/retry",
    "GET contained",
    "GET, POST suppressions",
    "DELETE suppressions/{n}",
    "GET, POST never-block",
    "DELETE never-block/{network}",
    "GET, POST halt",
    "POST resume",
    "GET /approve/{action}?until=..&sig=..",
    "POST /approve/{action}?until=..&sig=..",
];

/// What went wrong, and what was expected.
struct Refusal {
    code: StatusCode,
    error: String,
    expected: Value,
}

impl Refusal {
    fn new(code: StatusCode, error: impl Into<String>, expected: impl Into<Value>) -> Refusal {
        Refusal { code, error: error.into(), expected: expected.into() }
    }

    fn bad(error: impl Into<String>, expected: impl Into<Value>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, error, expected)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.error, "expected": self.expected }));
        if self.code == StatusCode::UNAUTHORIZED {
            return (self.code, [(header::WWW_AUTHENTICATE, "Bearer")], body).into_response();
        }
        (self.code, body).into_response()
    }
}

/// What the desk says no to, and a state store that fails.
impl<E: Into<DeskError>> From<E> for Refusal {
    fn from(error: E) -> Refusal {
        let error = error.into();
        let text = error.to_string();
        match error {
            DeskError::NoSuch { what, .. } => {
                Refusal::new(StatusCode::NOT_FOUND, text, format!("the id of an {what}, or its beginning"))
            }
            DeskError::Short(_) => Refusal::bad(text, format!("at least {} characters", look::ID_CHARS_MIN)),
            DeskError::Several { candidates, .. } => {
                let candidates: Vec<&str> = candidates.split(", ").collect();
                Refusal::bad(text, candidates)
            }
            DeskError::Words { problem, .. } => Refusal::bad(text, problem),
            DeskError::State { expected, .. } => Refusal::new(StatusCode::CONFLICT, text, expected),
            DeskError::Closed { .. } => {
                Refusal::new(StatusCode::CONFLICT, text, "an incident that is not closed, or another verdict")
            }
            DeskError::Store(error) => {
                tracing::error!(%error, "the state store does not answer the API");
                let code = StatusCode::SERVICE_UNAVAILABLE;
                Refusal::new(code, "the state store does not answer", "to be asked again in a moment")
            }
        }
    }
}

type Answer = Result<(StatusCode, Value), Refusal>;

fn ok(value: Value) -> Answer {
    Ok((StatusCode::OK, value))
}

/// Every request below `/api/v1`.
pub async fn api(State(shown): State<Shown>, path: Option<Path<String>>, request: Request) -> Response {
    let Some(token) = &shown.access.token else {
        let expected = "observe.api: { token: {env: NAME} } in the configuration of the service";
        return Refusal::new(StatusCode::NOT_FOUND, "the API is off", expected).into_response();
    };
    let peer = timed::peer_of(&request).map(|peer| peer.to_string());
    let (head, body) = request.into_parts();
    let authorization = head.headers.get(header::AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
    if !token.is_shown_by(authorization) {
        let expected = "the header Authorization: Bearer, with the token of observe.api";
        return Refusal::new(StatusCode::UNAUTHORIZED, "no token, or a wrong one", expected).into_response();
    }
    let path = path.map(|Path(path)| path).unwrap_or_default();
    let call = match Call::of(&head.method, head.uri.query(), &head.headers, body).await {
        Ok(call) => call,
        Err(refusal) => return refusal.into_response(),
    };
    let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let known = json!({ "via": "api", "token": "observe.api.token", "peer": peer });
    match desk::in_the_name_of(known, call.answer(&shown, &segments)).await {
        Ok((code, value)) => (code, Json(value)).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// A request whose sender may ask.
struct Call {
    method: Method,
    query: String,
    body: Bytes,
    actor: String,
    now_us: i64,
}

impl Call {
    async fn of(method: &Method, query: Option<&str>, headers: &HeaderMap, body: Body) -> Result<Call, Refusal> {
        let actor = match headers.get(ACTOR_HEADER) {
            None => ACTOR.to_owned(),
            Some(value) => {
                let name = value.to_str().map_err(|_| Refusal::bad("X-Actor: is no plain text", "a name"))?;
                desk::actor(name)?
            }
        };
        let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
            let error = "the body is larger than is taken, or broke off";
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error, format!("at most {BODY_BYTES_MAX} bytes"))
        })?;
        // What may be asked with GET may be asked with HEAD.
        let method = if method == Method::HEAD { Method::GET } else { method.clone() };
        Ok(Call { method, query: query.unwrap_or_default().to_owned(), body, actor, now_us: clock::now_us() })
    }

    /// The fields of the body.
    fn fields<T: DeserializeOwned>(&self, expected: &str) -> Result<T, Refusal> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        // An array would be read as the fields in order.
        let fields: Map<String, Value> = serde_json::from_slice(body).map_err(|error| {
            let problem = if error.is_data() { "is no JSON object".to_owned() } else { error.to_string() };
            Refusal::bad(format!("the body: {problem}"), expected)
        })?;
        serde_json::from_value(fields.into()).map_err(|error| Refusal::bad(format!("the body: {error}"), expected))
    }

    /// The parameters behind `?`, which are all of these.
    fn parameters(&self, known: &[&str]) -> Result<Parameters, Refusal> {
        let mut found = Parameters::default();
        for (name, value) in url::form_urlencoded::parse(self.query.as_bytes()) {
            if !known.contains(&&*name) {
                return Err(Refusal::bad(format!("no parameter is named {name:?}"), known));
            }
            found.0.push((name.into_owned(), value.into_owned()));
        }
        Ok(found)
    }

    async fn answer(&self, shown: &Shown, path: &[&str]) -> Answer {
        let get = self.method == Method::GET;
        match path {
            ["incidents"] if get => self.incidents(shown).await,
            ["incidents", id] if get => ok(json!(look::incident(shown.outbox.store(), id).await?)),
            ["alerts"] if get => self.alerts(shown).await,
            ["alerts", id] if get => ok(json!(look::alert(shown.outbox.store(), id).await?)),
            ["actions"] if get => self.actions(shown).await,
            ["actions", id] if get => self.action(shown, id).await,
            ["contained"] if get => self.contained(shown).await,
            ["suppressions"] if get => {
                ok(json!({ "suppressions": look::suppressions(shown.outbox.store(), self.now_us).await? }))
            }
            ["never-block"] if get => {
                ok(json!({ "never_block": look::never_block(shown.outbox.store(), self.now_us).await? }))
            }
            ["halt"] if get => ok(json!({ "halt": look::halt(shown.outbox.store(), self.now_us).await? })),
            _ => self.change(shown, path).await,
        }
    }

    /// What changes something.
    async fn change(&self, shown: &Shown, path: &[&str]) -> Answer {
        let (post, delete) = (self.method == Method::POST, self.method == Method::DELETE);
        let answer = match path {
            ["incidents", id, what] if post => self.work_on(shown, id, what).await,
            ["actions", id, what] if post => self.decide(shown, id, what).await,
            ["suppressions"] if post => self.suppress(shown).await,
            ["suppressions", n] if delete => self.unsuppress(shown, n).await,
            ["never-block"] if post => self.protect(shown).await,
            ["never-block", entity @ ..] if delete => self.unprotect(shown, &entity.join("/")).await,
            ["halt"] if post => self.halt(shown).await,
            ["resume"] if post => self.resume(shown).await,
            _ => Err(no_route(&self.method, path)),
        };
        if answer.is_ok() {
            let (actor, what) = (&self.actor, path.last().copied().unwrap_or_default());
            tracing::info!(actor, method = %self.method, route = path[0], what, "changed over the API");
            shown.outbox.look_now();
        }
        answer
    }

    async fn incidents(&self, shown: &Shown) -> Answer {
        let asked = self.parameters(&["status", "entity", "limit"])?;
        let status = asked.one_of("status", Status::parse, &Status::ALL.map(Status::name))?;
        let which = Which { status, entity: asked.get("entity"), limit: asked.limit()? };
        let rows = desk::incidents(shown.outbox.store(), &which).await?;
        ok(json!({ "incidents": rows.iter().map(|row| row.show()).collect::<Vec<_>>() }))
    }

    async fn alerts(&self, shown: &Shown) -> Answer {
        let asked = self.parameters(&["incident", "entity", "detector", "limit"])?;
        let incident = self.meant(shown, asked.get("incident")).await?;
        let (entity, detector, limit) = (asked.get("entity"), asked.get("detector"), asked.limit()?);
        let which = WhichAlerts { incident, entity, detector, open: false, limit };
        ok(json!({ "alerts": look::alerts(shown.outbox.store(), &which).await? }))
    }

    async fn actions(&self, shown: &Shown) -> Answer {
        let asked = self.parameters(&["state", "target", "incident", "limit"])?;
        let state = asked.one_of("state", ActionState::parse, &ActionState::ALL.map(ActionState::name))?;
        let incident = self.meant(shown, asked.get("incident")).await?;
        let which = WhichActions { state, target: asked.get("target"), incident, limit: asked.limit()? };
        ok(json!({ "actions": desk::actions(shown.outbox.store(), &which).await? }))
    }

    /// The incident whose id begins so.
    async fn meant(&self, shown: &Shown, id: Option<String>) -> Result<Option<String>, Refusal> {
        match id {
            Some(id) => Ok(Some(look::id(shown.outbox.store(), What::Incident, &id).await?)),
            None => Ok(None),
        }
    }

    async fn action(&self, shown: &Shown, id: &str) -> Answer {
        let mut file = look::action(shown.outbox.store(), id).await?;
        let waits = file.action.state == ActionState::Awaiting.name();
        let links = shown.access.links.as_ref().filter(|_| waits);
        file.approve = links.map(|links| links.approve(&file.action.id, self.now_us));
        ok(json!(file))
    }

    async fn contained(&self, shown: &Shown) -> Answer {
        let halt = look::halt(shown.outbox.store(), self.now_us).await?;
        let contained = look::contained(shown.outbox.store(), self.now_us).await?;
        ok(json!({ "halt": halt, "contained": contained }))
    }

    async fn work_on(&self, shown: &Shown, id: &str, what: &str) -> Answer {
        let deed = match what {
            "comment" => {
                let CommentBody { text } = self.fields("{\"text\": \"...\"}")?;
                Deed::Comment(words("the comment", &text)?)
            }
            "assign" => {
                let AssignBody { to } = self.fields("{\"to\": \"name\"}, or nothing to take it")?;
                Deed::Assign(to.map_or_else(|| Ok(self.actor.clone()), |to| desk::actor(&to))?)
            }
            "close" => {
                let CloseBody { verdict, reason } =
                    self.fields("{\"verdict\": \"true\", \"false\" or \"expected\", \"reason\": \"...\"}")?;
                Deed::Close(verdict, words("the reason", &reason)?)
            }
            _ => return Err(no_route(&self.method, &["incidents", id, what])),
        };
        let id = look::id(shown.outbox.store(), What::Incident, id).await?;
        let row = desk::act(shown.outbox.store(), &id, &deed, &self.actor, self.now_us).await?;
        ok(json!({ "incident": row.show() }))
    }

    async fn decide(&self, shown: &Shown, id: &str, what: &str) -> Answer {
        let store = shown.outbox.store();
        // What is asked for comes before whether it is there.
        let reason = match what {
            "revert" => {
                let ReasonBody { reason } = self.fields("{\"reason\": \"...\"}")?;
                words("the reason", &reason)?
            }
            "approve" | "retry" => {
                let NoBody {} = self.fields("no fields")?;
                String::new()
            }
            _ => return Err(no_route(&self.method, &["actions", id, what])),
        };
        let id = look::id(store, What::Action, id).await?;
        match what {
            "revert" => {
                // What was renewed since is shown as what stands in its place.
                let id = desk::revert(store, &id, &self.actor, &reason, self.now_us).await?;
                return ok(json!(look::action(store, &id).await?));
            }
            "retry" => desk::retry(store, &id, &self.actor, self.now_us).await?,
            _ => {
                if !desk::approve(store, &id, &self.actor, self.now_us).await? {
                    let state = look::action(store, &id).await?.action.state;
                    let error = format!("action {id} is {state}");
                    return Err(Refusal::new(StatusCode::CONFLICT, error, "an action that is awaiting"));
                }
            }
        }
        ok(json!(look::action(store, &id).await?))
    }

    async fn suppress(&self, shown: &Shown) -> Answer {
        let expected = "{\"entity_kind\": \"client_ip\", \"entity_value\": \"203.0.113.7\", \"reason\": \"...\", \"for\": \"24h\", \
                        \"detector\": \"auth-*\"}; the detector may be left out";
        let body: SuppressionBody = self.fields(expected)?;
        let entity = (body.entity_kind.as_str(), body.entity_value.as_str());
        let length_us = length_us(&body.length)?;
        let detector = body.detector.as_deref();
        let new = Suppression::new(entity, detector, &body.reason, length_us, &self.actor, self.now_us)?;
        let n = desk::suppress(shown.outbox.store(), &new).await?;
        Ok((StatusCode::CREATED, json!({ "n": n })))
    }

    async fn unsuppress(&self, shown: &Shown, n: &str) -> Answer {
        let number: i64 = n.parse().map_err(|_| Refusal::bad("that is no number", "the n of a suppression"))?;
        match desk::unsuppress(shown.outbox.store(), number, &self.actor, self.now_us).await? {
            true => ok(json!({ "n": number })),
            false => {
                let error = format!("no suppression in force has the number {number}");
                Err(Refusal::new(StatusCode::NOT_FOUND, error, "the n of a suppression in force"))
            }
        }
    }

    async fn protect(&self, shown: &Shown) -> Answer {
        let expected = "{\"entity\": \"203.0.113.0/24\", \"reason\": \"...\", \"for\": \"7d\"}; for may be left out";
        let body: NeverBody = self.fields(expected)?;
        let length = body.length.as_deref().map(length_us).transpose()?;
        let store = shown.outbox.store();
        let entity = (body.entity.as_str(), body.everything);
        let scope = desk::protect(store, entity, &body.reason, length, &self.actor, self.now_us).await?;
        Ok((StatusCode::CREATED, json!({ "entity": scope.to_string() })))
    }

    async fn unprotect(&self, shown: &Shown, entity: &str) -> Answer {
        let scope = desk::network(entity)?;
        match halt::unprotect(shown.outbox.store(), scope, &self.actor, self.now_us).await? {
            true => ok(json!({ "entity": scope.to_string() })),
            false => {
                let error = format!("{scope} is not on the list");
                Err(Refusal::new(StatusCode::NOT_FOUND, error, "an entry of the list"))
            }
        }
    }

    async fn halt(&self, shown: &Shown) -> Answer {
        let HaltBody { reason, lift } = self.fields("{\"reason\": \"...\", \"lift\": true}; lift may be left out")?;
        let reason = words("the reason", &reason)?;
        let halt = Halt { actor: self.actor.clone(), reason, since_us: self.now_us, lift };
        halt::pull(shown.outbox.store(), &halt).await?;
        ok(json!({ "halt": look::halt(shown.outbox.store(), self.now_us).await? }))
    }

    async fn resume(&self, shown: &Shown) -> Answer {
        let NoBody {} = self.fields("no fields")?;
        match halt::release(shown.outbox.store(), &self.actor, self.now_us).await? {
            true => ok(json!({ "halt": null })),
            false => {
                let expected = "to be called while it is pulled";
                Err(Refusal::new(StatusCode::CONFLICT, "the kill switch is not pulled", expected))
            }
        }
    }
}

fn no_route(method: &Method, path: &[&str]) -> Refusal {
    let known = ROUTES.iter().any(|route| {
        let pattern: Vec<&str> = route.rsplit(' ').next().unwrap_or_default().split('/').collect();
        let fits = |(part, asked): (&&str, &&str)| part.starts_with('{') || part == asked;
        pattern.len() == path.len() && pattern.iter().zip(path).all(fits)
    });
    match known {
        true => Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("not with {method}"), ROUTES.to_vec()),
        false => Refusal::new(StatusCode::NOT_FOUND, "nothing is here", ROUTES.to_vec()),
    }
}

fn length_us(text: &str) -> Result<i64, Refusal> {
    text.parse::<Span>().map(|span| span.us).map_err(|error| Refusal::bad(error, "for example 30m, 24h or 7d"))
}

/// What stands behind `?`.
#[derive(Default)]
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn one_of<T>(&self, name: &str, parse: fn(&str) -> Option<T>, known: &[&str]) -> Result<Option<T>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(None) };
        parse(&value).map(Some).ok_or_else(|| Refusal::bad(format!("{name}: {value:?} is none"), known))
    }

    fn limit(&self) -> Result<u32, Refusal> {
        let Some(value) = self.get("limit") else { return Ok(LIMIT_DEFAULT) };
        let fits = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
        fits.ok_or_else(|| Refusal::bad(format!("limit: {value:?}"), format!("between 1 and {LIMIT_MAX}")))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommentBody {
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AssignBody {
    to: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CloseBody {
    verdict: Verdict,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReasonBody {
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoBody {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SuppressionBody {
    entity_kind: String,
    entity_value: String,
    detector: Option<String>,
    reason: String,
    #[serde(rename = "for")]
    length: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NeverBody {
    entity: String,
    reason: String,
    #[serde(default)]
    everything: bool,
    #[serde(rename = "for")]
    length: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HaltBody {
    reason: String,
    #[serde(default)]
    lift: bool,
}
