//! TheHive 5's API: alerts that are unique by type, source and reference, with observables.

use serde_json::{Value, json};

use super::cases::{Case, place};
use super::{Asked, Edge, keys, text};

#[derive(Default)]
pub struct TheHive {
    pub alerts: Vec<Case>,
}

impl TheHive {
    fn query(&self, asked: &Asked, body: &Value) -> Result<(u16, Value), String> {
        let first = &body["query"][0];
        match asked.query("name") {
            Some("alerts") => {
                let wanted = body["query"][1]["_and"].as_array().ok_or("a filter")?;
                let fields: Vec<&str> = wanted.iter().filter_map(|one| one["_eq"]["_field"].as_str()).collect();
                if first["_name"] != "listAlert" || fields != ["type", "source", "sourceRef"] {
                    return Err(format!("query {body}"));
                }
                let found = self.alerts.iter().enumerate();
                let found = found.filter(|(_, alert)| wanted[2]["_eq"]["_value"] == alert.incident.as_str());
                Ok((200, found.map(|(n, _)| json!({ "_id": format!("~{n}") })).collect()))
            }
            Some("alert-observables") if first["_name"] == "getAlert" => {
                Ok((200, self.alerts[place(&self.alerts, text(first, "idOrName")?, "~")?].parts.clone().into()))
            }
            other => Err(format!("query {other:?}")),
        }
    }

    fn create(&mut self, body: &Value) -> Result<(u16, Value), String> {
        let needed = ["type", "source", "sourceRef", "title", "description", "severity"];
        keys(body, &needed, &["tags", "tlp", "pap", "date", "observables"])?;
        if body["severity"].as_u64().is_none_or(|n| !(1..=4).contains(&n)) {
            return Err(format!("severity {}", body["severity"]));
        }
        let incident = text(body, "sourceRef")?.to_owned();
        if self.alerts.iter().any(|alert| alert.incident == incident) {
            return Ok((400, json!({ "type": "CreateError", "message": "Alert already exist" })));
        }
        let parts = body["observables"].as_array().cloned().unwrap_or_default();
        self.alerts.push(Case { incident, parts, ..Case::default() });
        Ok((201, json!({ "_id": format!("~{}", self.alerts.len() - 1) })))
    }
}

impl Edge for TheHive {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        if asked.header("authorization") != "Bearer not-a-real-token" {
            return Ok((401, json!({ "type": "AuthenticationError", "message": "Authentication failure" })));
        }
        let (method, path) = asked.route();
        let ["api", "v1", rest @ ..] = path.as_slice() else { return Err("no such path".to_owned()) };
        let body = asked.json();
        match (method, rest) {
            ("POST", ["query"]) => self.query(asked, &body),
            ("POST", ["alert"]) => self.create(&body),
            ("GET", ["alert", id]) => {
                let stage = if self.alerts[place(&self.alerts, id, "~")?].closed > 0 { "Closed" } else { "New" };
                Ok((200, json!({ "_id": id, "stage": stage })))
            }
            ("PATCH", ["alert", id]) => {
                keys(&body, &["title", "description", "severity"], &["status"])?;
                let n = place(&self.alerts, id, "~")?;
                self.alerts[n].closed += u32::from(body["status"] == "Ignored");
                Ok((204, Value::Null))
            }
            ("POST", ["alert", id, "observable"]) => {
                keys(&body, &["dataType", "data"], &["message", "tags"])?;
                let n = place(&self.alerts, id, "~")?;
                self.alerts[n].parts.push(body);
                Ok((201, json!([])))
            }
            _ => Err("no such call".to_owned()),
        }
    }
}
