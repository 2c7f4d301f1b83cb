//! Cortex XSOAR 8: incidents with a version for optimistic locking.

use serde_json::{Value, json};

use super::cases::{Case, place};
use super::{Asked, Edge, keys, text};

#[derive(Default)]
pub struct Xsoar {
    pub incidents: Vec<Case>,
}

impl Xsoar {
    fn search(&self, body: &Value) -> Result<(u16, Value), String> {
        let filter = &body["filter"];
        if filter["size"].as_u64().is_none_or(|size| size == 0) {
            return Ok((200, json!({ "total": self.incidents.len(), "data": null })));
        }
        let wanted = |n: usize, one: &Case| match filter["query"].as_str() {
            Some(query) => query == format!("dbotMirrorId:\"{}\"", one.incident),
            None => filter["id"][0] == n.to_string().as_str(),
        };
        let show = |n: usize, one: &Case| {
            let status = if one.closed > 0 { 2 } else { 1 };
            json!({ "id": n.to_string(), "version": one.version, "status": status })
        };
        let found = self.incidents.iter().enumerate().filter(|(n, one)| wanted(*n, one));
        let data: Vec<Value> = found.map(|(n, one)| show(n, one)).collect();
        Ok((200, json!({ "total": data.len(), "data": data })))
    }
}

impl Edge for Xsoar {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        if asked.header("authorization") != "not-a-real-key" || asked.header("x-xdr-auth-id") != "7" {
            return Ok((401, json!({ "detail": "unauthorized" })));
        }
        let (method, path) = asked.route();
        let ["xsoar", "public", "v1", rest @ ..] = path.as_slice() else { return Err("no such path".to_owned()) };
        let body = asked.json();
        match (method, rest) {
            ("POST", ["incidents", "search"]) => self.search(&body),
            ("POST", ["incident"]) if body["id"].is_null() => {
                let needed = ["name", "type", "severity", "details", "occurred", "createInvestigation", "dbotMirrorId"];
                keys(&body, &needed, &[])?;
                self.incidents.push(Case { incident: text(&body, "dbotMirrorId")?.to_owned(), ..Case::default() });
                Ok((200, json!({ "id": (self.incidents.len() - 1).to_string() })))
            }
            ("POST", ["incident"] | ["incident", "close"]) => {
                let closes = rest.len() == 2;
                let other: &[&str] = if closes { &["closeReason", "closeNotes"] } else { &["severity", "details"] };
                keys(&body, &["id", "version"], other)?;
                let n = place(&self.incidents, text(&body, "id")?, "")?;
                let one = &mut self.incidents[n];
                if body["version"] != one.version {
                    return Ok((400, json!({ "detail": "DB Version error" })));
                }
                one.version += 1;
                one.closed += u32::from(closes);
                Ok((200, json!({ "id": n.to_string() })))
            }
            _ => Err("no such call".to_owned()),
        }
    }
}
