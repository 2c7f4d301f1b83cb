//! Where people and programs change what is done: the routes of the API, and the page behind a signed link.
//!
//! Promises: opening a link changes nothing, however often programs fetch it; its form does, while the action waits and the link
//! counts. The page runs no script, loads nothing, is in no frame and no cache, and says what would be done to whom and why.
//! Never: says of an action what a genuine link does not name.

use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde_json::json;

use super::api;
use super::serve::Shown;
use crate::clock;
use crate::respond::action::{State as ActionState, scrub};
use crate::respond::halt::Halt;
use crate::respond::incident::desk::{self, DeskError};
use crate::respond::incident::look::{self, ActionFile, IncidentFile};
use crate::respond::link::Refused;
use crate::timed;

/// Who agrees, as far as a link says.
const ACTOR: &str = "link";
const CSP: &str = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

pub fn routes() -> Router<Shown> {
    Router::new()
        .route("/api/v1", any(api::api))
        .route("/api/v1/", any(api::api))
        .route("/api/v1/{*path}", any(api::api))
        .route("/approve/{action}", get(ask).post(agree))
}

/// What would be done, and the form to agree.
async fn ask(State(shown): State<Shown>, Path(id): Path<String>, RawQuery(query): RawQuery) -> Response {
    match waiting(&shown, &id, query.as_deref()).await {
        Ok(file) => {
            let incident = look::incident(shown.outbox.store(), &file.action.incident_id).await.ok();
            page(
                StatusCode::OK,
                "Do you agree?",
                &asked(&file, incident.as_ref(), query.as_deref().unwrap_or_default(), &halted(&shown)),
            )
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// The form was sent: the action goes out.
async fn agree(
    State(shown): State<Shown>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let file = match waiting(&shown, &id, query.as_deref()).await {
        Ok(file) => file,
        Err(refusal) => return refusal.into_response(),
    };
    let known = json!({ "via": "link", "peer": timed::peer_of(&request).map(|peer| peer.to_string()) });
    match desk::in_the_name_of(known, shown.outbox.approve(&file.action.id, ACTOR)).await {
        Ok(true) => {
            tracing::info!(action = file.action.id, "approved by a signed link");
            shown.outbox.look_now();
            let lasts = file.action.lasts_seconds.map(|lasts| format!(" It lasts {} from now.", span(lasts)));
            let (deed, lasts) = (deed(&file), lasts.unwrap_or_default());
            let text = format!("<p>{deed} goes to {}.{lasts}</p>{}", html(&file.action.target), halted(&shown));
            page(StatusCode::OK, "Approved", &text)
        }
        // Somebody else was faster.
        Ok(false) => Refusal::NotWaiting("decided already".to_owned()).into_response(),
        Err(error) => Refusal::from(DeskError::from(error)).into_response(),
    }
}

/// Why there is nothing to agree to.
enum Refusal {
    Off,
    Link(Refused),
    Gone,
    NotWaiting(String),
    NoTarget(String),
    Failed,
}

impl From<DeskError> for Refusal {
    fn from(error: DeskError) -> Refusal {
        match error {
            DeskError::Store(error) => {
                tracing::error!(%error, "the state store does not answer a signed link");
                Refusal::Failed
            }
            _ => Refusal::Gone,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (code, title, text) = match self {
            Refusal::Off => {
                let text = "expected respond.links: { base: ADDRESS } in the configuration of the service";
                (StatusCode::NOT_FOUND, "Links are off", text.to_owned())
            }
            Refusal::Link(Refused::Forged) => {
                (StatusCode::FORBIDDEN, "This link is not ours", "expected a link as it was sent, whole".to_owned())
            }
            Refusal::Link(Refused::Old) => {
                let text = "a link counts for a day; gatewatch actions approve ID still works";
                (StatusCode::GONE, "This link is too old", text.to_owned())
            }
            Refusal::Gone => (StatusCode::NOT_FOUND, "There is no such action", "it ended long ago".to_owned()),
            Refusal::NotWaiting(state) => {
                (StatusCode::CONFLICT, "Nothing to agree to", format!("the action is {}", html(&state)))
            }
            Refusal::NoTarget(name) => {
                let text = format!("the configuration has no target {} any more; nobody would do it", html(&name));
                (StatusCode::CONFLICT, "There is no such target", text)
            }
            Refusal::Failed => {
                let text = "the state store does not answer; open the link again in a moment";
                (StatusCode::SERVICE_UNAVAILABLE, "Not now", text.to_owned())
            }
        };
        page(code, title, &format!("<p>{text}</p>"))
    }
}

/// The action that a genuine link names, while it waits for a person.
async fn waiting(shown: &Shown, id: &str, query: Option<&str>) -> Result<ActionFile, Refusal> {
    let links = shown.access.links.as_ref().ok_or(Refusal::Off)?;
    let (until, sig) = signature(query.unwrap_or_default()).ok_or(Refusal::Link(Refused::Forged))?;
    links.judge(id, until, &sig, clock::now_us()).map_err(Refusal::Link)?;
    let file = look::action(shown.outbox.store(), id).await?;
    if file.action.state != ActionState::Awaiting.name() {
        return Err(Refusal::NotWaiting(file.action.state.to_owned()));
    }
    if !shown.outbox.knows(&file.action.target) {
        return Err(Refusal::NoTarget(file.action.target));
    }
    Ok(file)
}

fn signature(query: &str) -> Option<(i64, String)> {
    let value = |name: &str| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    };
    Some((value("until")?.parse().ok()?, value("sig")?))
}

fn deed(file: &ActionFile) -> String {
    let action = &file.action;
    html(&format!("{} of {} {}", action.kind, action.entity_kind, action.entity_value))
}

/// A length of time as it is configured.
fn span(seconds: i64) -> String {
    let unit =
        [(86_400, "d"), (3_600, "h"), (60, "m")].into_iter().find(|(unit, _)| seconds > 0 && seconds % unit == 0);
    unit.map_or_else(|| format!("{seconds} s"), |(unit, name)| format!("{} {name}", seconds / unit))
}

/// While the kill switch is pulled nothing is sent, agreed to or not.
fn halted(shown: &Shown) -> String {
    let told = |halt: Halt| {
        let (actor, reason) = (html(&halt.actor), html(&halt.reason));
        format!(
            "<p><b>The kill switch is pulled</b> by {actor} ({reason}): nothing is sent until somebody resumes.</p>"
        )
    };
    shown.outbox.halt().map(told).unwrap_or_default()
}

/// `note` is a part of the page already.
fn asked(file: &ActionFile, incident: Option<&IncidentFile>, query: &str, note: &str) -> String {
    let action = &file.action;
    let mut rows = vec![
        ("What", deed(file)),
        ("Where", html(&action.target)),
        ("Why a person is asked", html(file.why_asked())),
        ("Detector", html(&action.detector)),
    ];
    if let Some(lasts) = action.lasts_seconds {
        rows.push(("Lasts", format!("{} from when you agree", span(lasts))));
    }
    if let Some(IncidentFile { incident, .. }) = incident {
        let severity = format!("{:?}", incident.severity).to_lowercase();
        rows.push(("Incident", html(&format!("{}: {}, {severity}", incident.id, incident.title))));
        rows.push(("Opened", html(&incident.opened)));
        rows.push(("Alerts", format!("{}, {} of them open", incident.alerts, incident.alerts_open)));
    }
    let rows: String = rows
        .into_iter()
        .map(|(name, value)| format!("<tr><th align=\"left\">{name}</th><td>{value}</td></tr>"))
        .collect();
    // Relative, so that it also works below a path of a reverse proxy.
    let form = format!("<form method=\"post\" action=\"?{}\"><button>Approve</button></form>", html(query));
    format!("{note}<table>{rows}</table>{form}<p>Whoever does not agree closes this page; nothing happens then.</p>")
}

fn page(code: StatusCode, title: &str, body: &str) -> Response {
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Gatewatch: {title}</title></head>\
         <body><h1>{title}</h1>{body}</body></html>\n"
    );
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CSP)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // The address is what lets somebody agree.
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    ];
    (code, headers, text).into_response()
}

/// Text from elsewhere as text of a page.
fn html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in scrub(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_is_text() {
        assert_eq!(html("<img src=x onerror='a'>&\"\u{202e}\n"), "&lt;img src=x onerror=&#39;a&#39;&gt;&amp;&quot;");
    }

    #[test]
    fn a_length_of_time_is_told_as_it_is_configured() {
        assert_eq!([20, 90, 1_800, 14_400, 172_800].map(span), ["20 s", "90 s", "30 m", "4 h", "2 d"]);
    }

    #[test]
    fn a_signature_is_read_from_the_query() {
        assert_eq!(signature("until=12&sig=ab"), Some((12, "ab".to_owned())));
        for query in ["", "until=x&sig=ab", "until=1", "sig=a"] {
            assert_eq!(signature(query), None, "{query}");
        }
    }
}
