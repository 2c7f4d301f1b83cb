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

#[derive(Default)]
pub struct Opsgenie {
    pub pages: Pages,
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
                fire(&mut self.pages, text(&body, "alias")?);
            }
            ("POST", ["v2", "alerts", alias, "close"]) if asked.query("identifierType") == Some("alias") => {
                keys(&body, &[], &["source", "note", "user"])?;
                end(&mut self.pages, alias);
            }
            _ => return Err("no such call".to_owned()),
        }
        Ok((202, json!({ "result": "Request will be processed", "took": 0.1, "requestId": "r-1" })))
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
