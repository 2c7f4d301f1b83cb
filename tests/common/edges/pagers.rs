//! On-call systems: PagerDuty's Events API v2, Opsgenie's Alert API and Alertmanager's API v2. What is sent again under the
//! same key changes the alert that is there; after its end it is a new one.

use std::collections::BTreeMap;

use gatewatch::respond::Clock;
use serde_json::{Value, json};

use super::{Asked, Edge, keys, text};

/// Of 32 letters and digits, as the real ones.
pub const INTEGRATION_KEY: &str = "f4kef4kef4kef4kef4kef4kef4kef4ke";

/// The alerts of one key: how many were opened, and whether the last one still is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paged {
    pub opened: u32,
    pub open: bool,
}

pub type Pages = BTreeMap<String, Paged>;

pub fn lines(pages: &Pages) -> Vec<String> {
    let line = |(key, paged): (&String, &Paged)| {
        format!("page {key}: opened {}, {}", paged.opened, if paged.open { "open" } else { "over" })
    };
    pages.iter().map(line).collect()
}

fn fire(pages: &mut Pages, key: &str) {
    let paged = pages.entry(key.to_owned()).or_default();
    paged.opened += u32::from(!paged.open);
    paged.open = true;
}

fn end(pages: &mut Pages, key: &str) {
    if let Some(paged) = pages.get_mut(key) {
        paged.open = false;
    }
}

#[derive(Default)]
pub struct Pagerduty {
    pub pages: Pages,
}

impl Edge for Pagerduty {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        if asked.route() != ("POST", vec!["v2", "enqueue"]) {
            return Err("no such path".to_owned());
        }
        let body = asked.json();
        if body["routing_key"] != INTEGRATION_KEY {
            return Ok((400, json!({ "status": "invalid event", "message": "Event object is invalid" })));
        }
        let key = text(&body, "dedup_key")?.to_owned();
        match text(&body, "event_action")? {
            "trigger" => {
                keys(
                    &body,
                    &["routing_key", "event_action", "dedup_key", "payload"],
                    &["client", "client_url", "links"],
                )?;
                let payload = &body["payload"];
                keys(
                    payload,
                    &["summary", "source", "severity"],
                    &["timestamp", "component", "group", "class", "custom_details"],
                )?;
                if !["critical", "error", "warning", "info"].contains(&text(payload, "severity")?) {
                    return Err(format!("severity {}", payload["severity"]));
                }
                fire(&mut self.pages, &key);
            }
            "resolve" => {
                keys(&body, &["routing_key", "event_action", "dedup_key"], &[])?;
                end(&mut self.pages, &key);
            }
            other => return Err(format!("event_action {other}")),
        }
        Ok((202, json!({ "status": "success", "message": "Event processed", "dedup_key": key })))
    }
}

/// Takes requests in, and says what became of each from the second look on.
#[derive(Default)]
pub struct Opsgenie {
    pub pages: Pages,
    /// What became of each request, and whether it was asked for before; by its id.
    requests: Vec<(Value, bool)>,
}

impl Opsgenie {
    fn take(&mut self, action: &str, alias: &str, done: bool) -> (u16, Value) {
        let status = if done { format!("{action}d alert") } else { "Alert does not exist".to_owned() };
        let data = json!({
            "success": done, "isSuccess": done, "action": action, "status": status, "alias": alias, "alertId": "a-1",
            "processedAt": "2026-03-02T10:00:00.000Z", "integrationId": "i-1",
        });
        self.requests.push((data, false));
        let id = format!("r-{}", self.requests.len() - 1);
        (202, json!({ "result": "Request will be processed", "took": 0.1, "requestId": id }))
    }

    fn look(&mut self, id: &str) -> Result<(u16, Value), String> {
        let at = id.strip_prefix("r-").and_then(|text| text.parse::<usize>().ok()).ok_or("no such request")?;
        let (data, asked) = self.requests.get_mut(at).ok_or("no such request")?;
        if !std::mem::replace(asked, true) {
            let message = "Request not found. It might not be processed, yet.";
            return Ok((404, json!({ "message": message, "took": 0.1, "requestId": "q-1" })));
        }
        Ok((200, json!({ "data": data, "took": 0.1, "requestId": "q-1" })))
    }
}

impl Edge for Opsgenie {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        if asked.header("authorization") != "GenieKey not-a-real-key" {
            return Ok((401, json!({ "message": "Could not authenticate" })));
        }
        let (method, path) = asked.route();
        let body = asked.json();
        match (method, path.as_slice()) {
            ("POST", ["v2", "alerts"]) => {
                let others = ["description", "entity", "source", "priority", "tags", "details"];
                keys(&body, &["message", "alias"], &others)?;
                if text(&body, "message")?.chars().count() > 130 {
                    return Err("a message of more than 130 characters".to_owned());
                }
                let alias = text(&body, "alias")?;
                fire(&mut self.pages, alias);
                Ok(self.take("Create", alias, true))
            }
            ("POST", ["v2", "alerts", alias, "close"]) if asked.query("identifierType") == Some("alias") => {
                keys(&body, &[], &["source", "note", "user"])?;
                let open = self.pages.get(*alias).is_some_and(|paged| paged.open);
                end(&mut self.pages, alias);
                Ok(self.take("Close", alias, open))
            }
            ("GET", ["v2", "alerts", "requests", id]) => self.look(id),
            _ => Err("no such call".to_owned()),
        }
    }
}

pub struct Alertmanager {
    pub pages: Pages,
    clock: Clock,
}

impl Alertmanager {
    pub fn new(clock: Clock) -> Alertmanager {
        Alertmanager { pages: Pages::new(), clock }
    }
}

impl Edge for Alertmanager {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        if asked.route() != ("POST", vec!["api", "v2", "alerts"]) {
            return Err("no such path".to_owned());
        }
        let body = asked.json();
        for alert in body.as_array().ok_or("the body is a list of alerts")? {
            keys(alert, &["labels"], &["annotations", "startsAt", "endsAt", "generatorURL"])?;
            keys(&alert["labels"], &["alertname", "incident"], &[])?;
            let time = |key: &str| {
                let time = chrono::DateTime::parse_from_rfc3339(text(alert, key)?);
                time.map(|time| time.timestamp_micros()).map_err(|_| format!("`{key}` is no time in {alert}"))
            };
            let (starts_us, ends_us) = (time("startsAt")?, time("endsAt")?);
            if starts_us > ends_us {
                return Ok((400, json!("start time must be before end time")));
            }
            let incident = text(&alert["labels"], "incident")?;
            if ends_us > (self.clock)() { fire(&mut self.pages, incident) } else { end(&mut self.pages, incident) }
        }
        Ok((200, Value::Null))
    }
}
