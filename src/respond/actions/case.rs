//! What case systems have in common: how a message becomes a case, a note in it, or its end, and how they are asked.
//!
//! Promises: one case per incident. Where nothing is known of a case it is looked for by the incident's id before one is
//! made, so a lost answer, a lost state store or a replay finds the case that is there. A note names its revision and is
//! looked for before it is written.
//! Never: takes a case back, opens one for an incident that is over, or recreates one that a person deleted.

use std::future::Future;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use schemas::incident::{Event, Incident};
use schemas::{Message, alert::Entity};
use serde_json::Value;

use super::ask::below;
use super::common::{Make, Reach};
use crate::respond::action::{Op, scrub};
use crate::respond::config::{Address, ConfigError, Secret};
use crate::respond::http::{self, Answer};
use crate::respond::message;
use crate::respond::target::{Delivery, Order};

/// One message to tell a case system.
pub(super) struct Telling {
    pub message: Message,
    pub attempt: u32,
    pub now_us: i64,
}

impl Telling {
    pub fn incident(&self) -> &Incident {
        &self.message.incident
    }

    /// Names this message within its case, for people and for finding it again.
    pub fn mark(&self) -> String {
        format!("[{} revision {}]", self.incident().id, self.incident().revision)
    }

    pub fn headline(&self, chars_max: usize) -> String {
        message::headline(&self.message, chars_max)
    }

    /// What a person wants to know, one line each; at most that many characters.
    pub fn lines(&self, chars_max: usize) -> String {
        message::shorten(&message::text(&self.message), chars_max)
    }

    /// The text of a new case where notes are added later: the facts, and the mark of the message that it was made for.
    pub fn description(&self, chars_max: usize) -> String {
        let mark = self.mark();
        format!("{}\n{mark}", self.lines(chars_max.saturating_sub(mark.chars().count() + 1)))
    }

    /// A note: what happened, the facts, and the mark, which is never cut off.
    pub fn note(&self, chars_max: usize) -> String {
        let (head, mark) = (self.headline(255), self.mark());
        let left = chars_max.saturating_sub(head.chars().count() + mark.chars().count() + 2);
        format!("{head}\n{}\n{mark}", self.lines(left))
    }
}

/// A case that was found.
pub(super) struct Found {
    pub case: String,
    /// Whether it was made for this very message, so that there is no more to tell.
    pub told: bool,
}

/// A case system, as far as a message needs it. Cases go by the name that the system gave them.
pub(super) trait CaseSystem: Send + Sync {
    /// The case that carries the incident's id.
    fn find(&self, telling: &Telling) -> impl Future<Output = Result<Option<Found>, Delivery>> + Send;

    /// Make one that carries it.
    fn open(&self, telling: &Telling) -> impl Future<Output = Result<String, Delivery>> + Send;

    /// Tell it what changed; once, however often it is called. What was done, in words.
    fn update(&self, case: &str, telling: &Telling) -> impl Future<Output = Result<String, Delivery>> + Send;

    /// End it; what is over stays as it is. What was done, in words.
    fn close(&self, case: &str, telling: &Telling) -> impl Future<Output = Result<String, Delivery>> + Send;
}

pub(super) async fn carry_out(system: &impl CaseSystem, order: Order<'_>) -> Delivery {
    if order.action.op == Op::Revert {
        return Delivery::failed("a message cannot be taken back");
    }
    let message = match message::read(order.action) {
        Ok(message) => message,
        Err(problem) => return Delivery::failed(problem),
    };
    let telling = Telling { message, attempt: order.attempt.number, now_us: order.attempt.now_us };
    tell(system, &telling, order.remote_ref).await.unwrap_or_else(|failure| failure)
}

async fn tell(system: &impl CaseSystem, telling: &Telling, known: Option<&str>) -> Result<Delivery, Delivery> {
    let found = match known {
        Some(case) => Some(Found { case: case.to_owned(), told: false }),
        None => system.find(telling).await?,
    };
    let Some(Found { case, told }) = found else {
        if telling.message.event == Event::Closed {
            return Ok(Delivery::delivered("no case was opened for this incident", None));
        }
        let case = system.open(telling).await?;
        return Ok(Delivery::delivered(format!("case {case} opened"), Some(case)));
    };
    let done = match telling.message.event {
        Event::Open if telling.incident().revision == 0 => "is there already".to_owned(),
        Event::Open | Event::Updated if told => "tells it already".to_owned(),
        // One that opens again: the attacker is back. The case stays in the state in which people left it.
        Event::Open | Event::Updated => system.update(&case, telling).await?,
        Event::Closed => system.close(&case, telling).await?,
    };
    Ok(Delivery::delivered(scrub(&format!("case {case} {done}")), Some(case)))
}

/// How a case system is asked.
pub(super) struct Api {
    client: Client,
    base: Url,
    headers: HeaderMap,
    who: &'static str,
}

/// One question to it.
pub(super) struct Call<'a> {
    /// What for, in words: `finding the case`.
    what: &'static str,
    method: Method,
    path: &'a [&'a str],
    query: &'a [(&'a str, &'a str)],
    body: Option<&'a Value>,
}

impl<'a> Call<'a> {
    pub fn get(what: &'static str, path: &'a [&'a str], query: &'a [(&'a str, &'a str)]) -> Call<'a> {
        Call { what, method: Method::GET, path, query, body: None }
    }

    pub fn post(what: &'static str, path: &'a [&'a str], body: &'a Value) -> Call<'a> {
        Call { what, method: Method::POST, path, query: &[], body: Some(body) }
    }

    pub fn patch(what: &'static str, path: &'a [&'a str], body: &'a Value) -> Call<'a> {
        Call { what, method: Method::PATCH, path, query: &[], body: Some(body) }
    }

    pub fn what(&self) -> &'static str {
        self.what
    }

    pub fn with(self, query: &'a [(&'a str, &'a str)]) -> Call<'a> {
        Call { query, ..self }
    }
}

impl Api {
    pub fn new(
        who: &'static str,
        make: &Make,
        url: &Address,
        reach: &Reach,
        headers: HeaderMap,
    ) -> Result<Api, ConfigError> {
        Ok(Api { client: make.client(reach)?, base: make.url("url", url, reach)?, headers, who })
    }

    /// The answer, whatever its status.
    pub async fn send(&self, call: &Call<'_>, now_us: i64) -> Result<Answer, Delivery> {
        let mut url = below(&self.base, call.path);
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        let request = self.client.request(call.method.clone(), url).headers(self.headers.clone());
        let request = request.header(ACCEPT, "application/json");
        let request = match call.body {
            Some(body) => request.json(body),
            None => request,
        };
        http::send(request, now_us).await.map_err(|reason| Delivery::retry(format!("{}: {reason}", call.what)))
    }

    /// The JSON of a success; null where it has none.
    pub async fn ask(&self, call: &Call<'_>, now_us: i64) -> Result<Value, Delivery> {
        let answer = self.send(call, now_us).await?;
        self.read(call, &answer)
    }

    /// The same of an answer that came.
    pub fn read(&self, call: &Call<'_>, answer: &Answer) -> Result<Value, Delivery> {
        if !answer.status.is_success() {
            return Err(self.refusal(call, answer));
        }
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.body).map_err(|_| Delivery::Retry {
            after: None,
            reason: format!("{} answered with something that is not JSON ({})", self.who, call.what),
            answer: answer.text(),
        })
    }

    pub fn refusal(&self, call: &Call<'_>, answer: &Answer) -> Delivery {
        http::judge(answer, &format!("{}, {},", self.who, call.what))
    }

    /// For an answer that does not say what its documentation promises.
    pub fn not_understood(&self, call: &Call<'_>, answer: &Value) -> Delivery {
        let reason = format!("{}'s answer was not understood ({})", self.who, call.what);
        Delivery::Retry { after: None, reason, answer: scrub(&answer.to_string()) }
    }
}

/// The header of a name and password.
pub(super) fn basic(user: &str, password: &Secret) -> HeaderMap {
    let pair = STANDARD.encode(format!("{user}:{}", password.reveal()));
    let mut value = HeaderValue::from_str(&format!("Basic {pair}")).expect("base64 is a header value");
    value.set_sensitive(true);
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

pub(super) fn bearer(at: &str, key: &str, token: &Secret) -> Result<HeaderMap, ConfigError> {
    let value = secret_value(at, key, &format!("Bearer {}", token.reveal()))?;
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}

/// A secret as the value of a header of its own.
pub(super) fn secret_header(name: &str, at: &str, key: &str, secret: &Secret) -> Result<HeaderMap, ConfigError> {
    let wrong = |_| ConfigError::new(format!("{at}.{key}"), format!("`{}` is no name of a header", scrub(name)));
    let name: HeaderName = name.parse().map_err(wrong)?;
    Ok(HeaderMap::from_iter([(name, secret_value(at, key, secret.reveal())?)]))
}

fn secret_value(at: &str, key: &str, text: &str) -> Result<HeaderValue, ConfigError> {
    let wrong = |_| ConfigError::new(format!("{at}.{key}"), "the secret holds characters that no header can carry");
    let mut value = HeaderValue::from_str(text).map_err(wrong)?;
    value.set_sensitive(true);
    Ok(value)
}

/// A key that must say something.
pub(super) fn filled(at: &str, key: &str, text: &str, expected: &str) -> Result<(), ConfigError> {
    match text.trim().is_empty() {
        true => Err(ConfigError::new(format!("{at}.{key}"), format!("is empty; expected {expected}"))),
        false => Ok(()),
    }
}

/// A string, or a number as its digits: systems are not of one mind about ids.
pub(super) fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Text with a sequence that would end or begin markup broken by a space after its first character; case does not matter.
pub(super) fn break_up(text: &str, sequence: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut broken = String::with_capacity(text.len());
    let mut from = 0;
    for (at, _) in lower.match_indices(sequence) {
        broken.push_str(&text[from..=at]);
        broken.push(' ');
        from = at + 1;
    }
    broken.push_str(&text[from..]);
    broken
}

/// The entities of an incident, the subject among them, each once.
pub(super) fn entities(incident: &Incident) -> Vec<&Entity> {
    let mut entities: Vec<&Entity> = Vec::with_capacity(incident.entities.len() + 1);
    for entity in std::iter::once(&incident.subject).chain(&incident.entities) {
        if !entities.contains(&entity) {
            entities.push(entity);
        }
    }
    entities
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::action::Kind;
    use crate::respond::message::tests::message;

    #[test]
    fn a_note_keeps_its_mark_however_short_it_must_be() {
        let telling = Telling { message: message(Event::Updated, Kind::Case), attempt: 1, now_us: 0 };
        let note = telling.note(150);
        assert_eq!(note.chars().count(), 150);
        assert!(note.ends_with("…\n[in-0123456789abcdef revision 1]"), "{note}");
        assert!(telling.note(10_000).starts_with("Update: [high] Many refused logins"));
    }

    #[test]
    fn markup_is_broken_up_in_any_case() {
        assert_eq!(break_up("a{NoFormat}b{noformat}", "{noformat"), "a{ NoFormat}b{ noformat}");
        assert_eq!(break_up("/users/{id}", "{noformat"), "/users/{id}");
        assert_eq!(break_up("ä[code]", "[code"), "ä[ code]");
    }

    #[test]
    fn the_subject_is_one_of_the_entities_once() {
        let incident = message(Event::Open, Kind::Case).incident;
        assert_eq!(entities(&incident), [&incident.subject]);
    }
}
