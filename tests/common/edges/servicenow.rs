//! ServiceNow's Table API: records of the table `incident`, with work notes.

use serde_json::{Value, json};

use super::cases::{Case, place};
use super::{Asked, Edge, keys, text};

#[derive(Default)]
pub struct ServiceNow {
    pub records: Vec<Case>,
}

impl Edge for ServiceNow {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        if asked.header("authorization") != "Bearer not-a-real-token" {
            return Ok((401, json!({ "error": { "message": "User Not Authenticated" }, "status": "failure" })));
        }
        let (method, path) = asked.route();
        let ["api", "now", "table", "incident", rest @ ..] = path.as_slice() else {
            return Err("no such path".to_owned());
        };
        let body = asked.json();
        match (method, rest) {
            ("GET", []) => {
                let query = asked.query("sysparm_query").ok_or("sysparm_query")?;
                let wanted = query.strip_prefix("correlation_id=").and_then(|rest| rest.split('^').next());
                let wanted = wanted.ok_or_else(|| format!("query {query}"))?;
                let found = self.records.iter().enumerate().filter(|(_, record)| record.incident == wanted);
                let show = |(n, record): (usize, &Case)| json!({ "sys_id": n.to_string(), "description": record.text });
                Ok((200, json!({ "result": found.map(show).collect::<Vec<_>>() })))
            }
            ("POST", []) => {
                let needed = ["short_description", "description", "correlation_id", "correlation_display"];
                keys(&body, &needed, &["impact", "urgency"])?;
                let (incident, text) =
                    (text(&body, "correlation_id")?.to_owned(), text(&body, "description")?.to_owned());
                self.records.push(Case { incident, text, ..Case::default() });
                Ok((201, json!({ "result": { "sys_id": (self.records.len() - 1).to_string(), "number": "INC1" } })))
            }
            ("GET", [id]) => {
                if asked.query("sysparm_display_value") != Some("all") {
                    return Err("journal fields are empty without display values".to_owned());
                }
                let record = &self.records[place(&self.records, id, "")?];
                let state = if record.closed > 0 { "6" } else { "1" };
                let notes = json!({ "display_value": record.notes.join("\n\n"), "value": "" });
                Ok((
                    200,
                    json!({ "result": { "state": { "value": state, "display_value": "?" }, "work_notes": notes } }),
                ))
            }
            ("PATCH", [id]) => {
                keys(&body, &[], &["work_notes", "state", "close_code", "close_notes"])?;
                let n = place(&self.records, id, "")?;
                let record = &mut self.records[n];
                record.notes.extend(body["work_notes"].as_str().map(str::to_owned));
                record.closed += u32::from(body["state"] == "6");
                Ok((200, json!({ "result": { "sys_id": id } })))
            }
            _ => Err("no such call".to_owned()),
        }
    }
}
