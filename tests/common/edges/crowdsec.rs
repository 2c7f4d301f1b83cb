//! CrowdSec's local API as version 1.4 has it: a machine's login, alerts with decisions that end by themselves.

use gatewatch::respond::Clock;
use serde_json::{Value, json};

use super::{Asked, Edge, keys, text};

#[derive(Clone, Debug)]
struct Decision {
    id: u64,
    value: String,
    ends_us: i64,
}

#[derive(Clone, Debug)]
struct Alert {
    id: u64,
    posted: Value,
    decisions: Vec<Decision>,
}

pub struct Lapi {
    alerts: Vec<Alert>,
    made: u64,
    clock: Clock,
}

impl Lapi {
    pub fn new(clock: Clock) -> Lapi {
        Lapi { alerts: Vec::new(), made: 0, clock }
    }

    /// Who is banned, as often as there is a decision that says so, and by whom.
    pub fn lines(&self) -> Vec<String> {
        let now_us = (self.clock)();
        let decisions = self.alerts.iter().flat_map(|alert| alert.decisions.iter().map(move |one| (alert, one)));
        let in_force = decisions.filter(|(_, one)| one.ends_us > now_us);
        in_force.map(|(alert, one)| format!("ban {} by {}", one.value, alert.posted["scenario"])).collect()
    }

    /// `cscli decisions delete`, and a ban of somebody else's.
    pub fn remove(&mut self, address: &str) {
        self.alerts.iter_mut().for_each(|alert| alert.decisions.retain(|one| one.value != address));
    }

    pub fn add(&mut self, address: &str) {
        self.made += 1;
        let decision = Decision { id: self.made, value: address.to_owned(), ends_us: i64::MAX };
        let posted = json!({ "scenario": "manual 'ban'", "decisions": [{ "origin": "cscli" }] });
        self.alerts.push(Alert { id: self.made, posted, decisions: vec![decision] });
    }

    fn show(&self, alert: &Alert) -> Value {
        let now_us = (self.clock)();
        let decision = |one: &Decision| {
            let left = (one.ends_us.saturating_sub(now_us)) as f64 / 1e6;
            json!({ "id": one.id, "value": one.value, "duration": format!("{left:.3}s"), "type": "ban" })
        };
        let decisions: Vec<Value> = alert.decisions.iter().map(decision).collect();
        json!({ "id": alert.id, "decisions": decisions, "events": alert.posted["events"] })
    }

    fn post(&mut self, body: &Value) -> Result<(u16, Value), String> {
        let mut ids = Vec::new();
        for alert in body.as_array().ok_or("the body is a list of alerts")? {
            let needed =
                ["scenario", "scenario_hash", "scenario_version", "message", "events_count", "start_at", "stop_at"];
            let others = ["capacity", "leakspeed", "simulated", "source", "events", "decisions", "remediation"];
            keys(alert, &[&needed[..], &others].concat(), &[])?;
            let stop = chrono::DateTime::parse_from_rfc3339(text(alert, "stop_at")?).map_err(|_| "stop_at")?;
            let mut decisions = Vec::new();
            for decision in alert["decisions"].as_array().ok_or("`decisions` is a list")? {
                keys(decision, &["origin", "type", "scope", "value", "duration", "scenario"], &[])?;
                let seconds = text(decision, "duration")?.strip_suffix('s').and_then(|text| text.parse::<i64>().ok());
                let ends_us = stop.timestamp_micros() + seconds.ok_or("a duration in seconds")? * 1_000_000;
                self.made += 1;
                decisions.push(Decision { id: self.made, value: text(decision, "value")?.to_owned(), ends_us });
            }
            self.made += 1;
            ids.push(self.made.to_string());
            self.alerts.push(Alert { id: self.made, posted: alert.clone(), decisions });
        }
        Ok((201, json!(ids)))
    }

    fn list(&self, asked: &Asked) -> Result<(u16, Value), String> {
        let now_us = (self.clock)();
        let origin = |alert: &Alert, wanted: &str| alert.posted["decisions"][0]["origin"] == wanted;
        let wanted = |alert: &&Alert| {
            asked.query("ip").is_none_or(|ip| alert.posted["source"]["value"] == ip)
                && asked.query("scenario").is_none_or(|scenario| alert.posted["scenario"] == scenario)
                && asked.query("origin").is_none_or(|wanted| origin(alert, wanted))
                && (asked.query("has_active_decision") != Some("true")
                    || alert.decisions.iter().any(|one| one.ends_us > now_us))
        };
        let found: Vec<Value> = self.alerts.iter().rev().filter(wanted).map(|alert| self.show(alert)).collect();
        Ok((200, found.into()))
    }
}

impl Edge for Lapi {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        let (method, path) = asked.route();
        let ["v1", rest @ ..] = path.as_slice() else { return Err("no such path".to_owned()) };
        if let ("POST", ["watchers", "login"]) = (method, rest) {
            let body = asked.json();
            if body["machine_id"] != "gatewatch" || body["password"] != "not-a-real-password" {
                return Ok((401, json!({ "message": "incorrect Username or Password" })));
            }
            let ends = chrono::DateTime::from_timestamp_micros((self.clock)() + 3_600_000_000).ok_or("a time")?;
            return Ok((200, json!({ "code": 200, "expire": ends.to_rfc3339(), "token": "not-a-real-token" })));
        }
        if asked.header("authorization") != "Bearer not-a-real-token" {
            return Ok((401, json!({ "message": "cookie token is empty" })));
        }
        match (method, rest) {
            ("POST", ["alerts"]) => self.post(&asked.json()),
            ("GET", ["alerts"]) => self.list(asked),
            ("GET", ["alerts", id]) => match self.alerts.iter().find(|alert| alert.id.to_string() == *id) {
                Some(alert) => Ok((200, self.show(alert))),
                None => Ok((404, json!({ "message": "object not found" }))),
            },
            ("DELETE", ["decisions", id]) => {
                let before: usize = self.alerts.iter().map(|alert| alert.decisions.len()).sum();
                self.alerts.iter_mut().for_each(|alert| alert.decisions.retain(|one| one.id.to_string() != *id));
                let after: usize = self.alerts.iter().map(|alert| alert.decisions.len()).sum();
                Ok((200, json!({ "nbDeleted": (before - after).to_string() })))
            }
            _ => Err("no such call".to_owned()),
        }
    }
}
