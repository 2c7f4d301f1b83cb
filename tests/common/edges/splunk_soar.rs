//! Splunk SOAR's REST API: containers that are unique by their identifier, and artifacts, which it takes twice.

use serde_json::{Value, json};

use super::cases::{Case, place};
use super::{Asked, Edge, keys, text};

#[derive(Default)]
pub struct SplunkSoar {
    pub containers: Vec<Case>,
}

impl SplunkSoar {
    fn create(&mut self, body: &Value) -> Result<(u16, Value), String> {
        let needed = ["name", "description", "severity", "label", "source_data_identifier", "status", "artifacts"];
        keys(body, &needed, &["sensitivity", "start_time", "tags", "run_automation"])?;
        let incident = text(body, "source_data_identifier")?.to_owned();
        if let Some(n) = self.containers.iter().position(|one| one.incident == incident) {
            return Ok((400, json!({ "failed": true, "message": "duplicate", "existing_container_id": n })));
        }
        let parts = body["artifacts"].as_array().cloned().ok_or("`artifacts` is a list")?;
        self.containers.push(Case { incident, parts, ..Case::default() });
        Ok((200, json!({ "success": true, "id": self.containers.len() - 1 })))
    }
}

impl Edge for SplunkSoar {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        if asked.header("ph-auth-token") != "not-a-real-token" {
            return Ok((401, json!({ "failed": true, "message": "Invalid token" })));
        }
        let (method, path) = asked.route();
        let ["rest", rest @ ..] = path.as_slice() else { return Err("no such path".to_owned()) };
        let body = asked.json();
        match (method, rest) {
            ("GET", ["container"]) => {
                let wanted = asked.query("_filter_source_data_identifier").ok_or("a filter")?.trim_matches('"');
                let found = self.containers.iter().enumerate().filter(|(_, one)| one.incident == wanted);
                Ok((200, json!({ "data": found.map(|(n, _)| json!({ "id": n })).collect::<Vec<_>>() })))
            }
            ("POST", ["container"]) => self.create(&body),
            ("GET", ["container", id]) => {
                let status =
                    if self.containers[place(&self.containers, id, "")?].closed > 0 { "closed" } else { "new" };
                Ok((200, json!({ "id": id, "status": status })))
            }
            ("POST", ["container", id]) => {
                keys(&body, &["name", "description", "severity"], &["status"])?;
                let n = place(&self.containers, id, "")?;
                self.containers[n].closed += u32::from(body["status"] == "closed");
                Ok((200, json!({ "success": true })))
            }
            ("GET", ["artifact"]) => {
                let id = asked.query("_filter_container").ok_or("a filter")?;
                Ok((200, json!({ "data": self.containers[place(&self.containers, id, "")?].parts })))
            }
            ("POST", ["artifact"]) => {
                let needed = ["container_id", "name", "label", "source_data_identifier", "severity", "cef"];
                keys(&body, &needed, &["cef_types", "run_automation"])?;
                let n = place(&self.containers, &body["container_id"].to_string(), "")?;
                self.containers[n].parts.push(body);
                Ok((200, json!({ "success": true })))
            }
            _ => Err("no such call".to_owned()),
        }
    }
}
