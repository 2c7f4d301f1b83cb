//! Slack's Web API: one channel's messages with metadata, in threads.

use gatewatch::respond::Clock;
use serde_json::{Value, json};

use super::{Asked, Edge, keys, text};

pub const CHANNEL: &str = "C024BE91L";

#[derive(Clone, Debug)]
pub struct Posted {
    pub ts: String,
    pub thread: Option<String>,
    pub action: String,
    pub incident: String,
    metadata: Value,
}

pub struct Slack {
    pub posted: Vec<Posted>,
    clock: Clock,
}

impl Slack {
    pub fn new(clock: Clock) -> Slack {
        Slack { posted: Vec::new(), clock }
    }

    /// Each message, with whether it stands in the thread of its incident's first.
    pub fn lines(&self) -> Vec<String> {
        let first =
            |one: &Posted| self.posted.iter().find(|other| other.incident == one.incident).map(|o| o.ts.clone());
        let line = |one: &Posted| match &one.thread {
            None => format!("message {}", one.action),
            Some(thread) if Some(thread) == first(one).as_ref() => format!("message {} in its thread", one.action),
            Some(_) => format!("message {} in a strange thread", one.action),
        };
        self.posted.iter().map(line).collect()
    }

    fn post(&mut self, body: &Value) -> Result<(u16, Value), String> {
        let others = ["thread_ts", "unfurl_links", "unfurl_media", "blocks"];
        keys(body, &["channel", "text", "metadata"], &others)?;
        if body["channel"] != CHANNEL {
            return Ok((200, json!({ "ok": false, "error": "channel_not_found" })));
        }
        let payload = &body["metadata"]["event_payload"];
        let thread = body["thread_ts"].as_str().map(str::to_owned);
        if thread.as_ref().is_some_and(|thread| !self.posted.iter().any(|one| one.ts == *thread)) {
            return Ok((200, json!({ "ok": false, "error": "thread_not_found" })));
        }
        let now_us = (self.clock)();
        // Never the same twice.
        let ts = format!("{}.{:06}", now_us / 1_000_000, self.posted.len() + 1);
        self.posted.push(Posted {
            ts: ts.clone(),
            thread,
            action: text(payload, "action")?.to_owned(),
            incident: text(payload, "incident")?.to_owned(),
            metadata: body["metadata"].clone(),
        });
        Ok((200, json!({ "ok": true, "channel": CHANNEL, "ts": ts })))
    }

    fn look(&self, asked: &Asked, thread: Option<&str>) -> Result<(u16, Value), String> {
        if asked.query("channel") != Some(CHANNEL) || asked.query("include_all_metadata") != Some("true") {
            return Err("channel or metadata".to_owned());
        }
        let oldest: f64 = asked.query("oldest").and_then(|text| text.parse().ok()).ok_or("oldest")?;
        let within = |one: &&Posted| {
            let of_thread = match thread {
                Some(thread) => one.ts == thread || one.thread.as_deref() == Some(thread),
                None => one.thread.is_none(),
            };
            of_thread && one.ts.parse::<f64>().is_ok_and(|ts| ts >= oldest)
        };
        let show = |one: &Posted| json!({ "ts": one.ts, "metadata": one.metadata });
        let found: Vec<Value> = self.posted.iter().rev().filter(within).map(show).collect();
        Ok((200, json!({ "ok": true, "messages": found, "has_more": false })))
    }
}

impl Edge for Slack {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        if asked.header("authorization") != "Bearer not-a-real-token" {
            return Ok((200, json!({ "ok": false, "error": "invalid_auth" })));
        }
        let (method, path) = asked.route();
        match (method, path.as_slice()) {
            ("POST", ["api", "chat.postMessage"]) => self.post(&asked.json()),
            ("GET", ["api", "conversations.history"]) => self.look(asked, None),
            ("GET", ["api", "conversations.replies"]) => self.look(asked, Some(asked.query("ts").ok_or("ts")?)),
            _ => Err("no such call".to_owned()),
        }
    }
}
