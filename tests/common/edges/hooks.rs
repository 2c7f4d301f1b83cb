//! Webhooks that start something or post a card: Teams' workflows, Tines' stories, Shuffle's workflows. The address is the
//! credential; a body names itself by `id` where the contract has one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Asked, Edge, keys, text};

/// Where the three listen; visibly no real address.
pub const TEAMS_PATH: &str = "/workflows/not-a-real-workflow/triggers/manual/paths/invoke";
pub const TINES_PATH: &str = "/webhook/not-a-real-path/not-a-real-secret";
pub const SHUFFLE_PATH: &str = "/api/v1/hooks/webhook_not-a-real-id";

/// Cards in the order in which they came; a workflow's webhook cannot tell that it had one before.
#[derive(Default)]
pub struct Teams {
    pub cards: Vec<String>,
}

impl Edge for Teams {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        if asked.method != "POST" || format!("/{}", asked.path.join("/")) != TEAMS_PATH {
            return Err("no such path".to_owned());
        }
        let body = asked.json();
        keys(&body, &["type", "attachments"], &[])?;
        let attachment = &body["attachments"][0];
        keys(attachment, &["contentType", "content"], &["contentUrl"])?;
        let card = &attachment["content"];
        if card["type"] != "AdaptiveCard" || attachment["contentType"] != "application/vnd.microsoft.card.adaptive" {
            return Err(format!("no card: {attachment}"));
        }
        self.cards.push(text(&card["body"][0]["inlines"][0], "text")?.to_owned());
        Ok((202, Value::Null))
    }
}

/// Stories that a body started, by its id: a story that knows ids starts once.
pub struct Story {
    path: &'static str,
    success: Value,
    pub started: BTreeMap<String, Value>,
}

impl Story {
    pub fn tines() -> Story {
        Story { path: TINES_PATH, success: json!({ "status": "ok" }), started: BTreeMap::new() }
    }

    pub fn shuffle() -> Story {
        Story { path: SHUFFLE_PATH, success: json!({ "success": true }), started: BTreeMap::new() }
    }

    pub fn lines(&self) -> Vec<String> {
        let line = |(id, body): (&String, &Value)| format!("started {id}: {}", body["type"]);
        self.started.iter().map(line).collect()
    }
}

impl Edge for Story {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        if asked.method != "POST" || format!("/{}", asked.path.join("/")) != self.path {
            return Err("no such path".to_owned());
        }
        let mut body = asked.json();
        keys(&body, &["id", "type", "timestamp", "kind", "incident", "alert", "standing"], &[])?;
        // How things stand is looked up at each attempt.
        body.as_object_mut().map(|message| message.remove("standing"));
        let id = text(&body, "id")?.to_owned();
        if self.started.get(&id).is_some_and(|first| *first != body) {
            return Err(format!("another body under the same id {id}"));
        }
        self.started.insert(id, body);
        Ok((200, self.success.clone()))
    }
}
