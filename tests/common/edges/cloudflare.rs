//! Cloudflare's Lists API: items with ids, pages with cursors, and bulk operations of which one may be pending at a time.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Asked, Edge, keys, text};

pub const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
pub const LIST: &str = "fedcba9876543210fedcba9876543210";

#[derive(Clone, Debug)]
pub struct Item {
    pub id: String,
    pub ip: String,
    pub comment: String,
}

pub struct Cloudflare {
    pub items: Vec<Item>,
    /// How many looks at an operation say that it is not done.
    pub looks: usize,
    /// Items of one page, whatever is asked for.
    pub page: usize,
    /// What the next operation fails with.
    pub fails: Option<&'static str>,
    /// What the next operations fail with when they have done half of what they were asked: the first half of each list.
    pub breaks: usize,
    /// An operation comes to its end although nobody looks at it.
    pub in_background: bool,
    pending: Option<(String, usize, Change)>,
    /// What became of the operations that are over, which can be looked at again.
    over: BTreeMap<String, Value>,
    made: usize,
}

enum Change {
    Add(Vec<(String, String)>),
    Remove(Vec<String>),
}

impl Cloudflare {
    pub fn new() -> Cloudflare {
        Cloudflare {
            items: Vec::new(),
            looks: 2,
            page: 500,
            fails: None,
            breaks: 0,
            in_background: false,
            pending: None,
            over: BTreeMap::new(),
            made: 0,
        }
    }

    pub fn put(&mut self, ip: &str, comment: &str) {
        self.made += 1;
        let (ip, comment, id) = (ip.to_owned(), comment.to_owned(), format!("{:032x}", self.made));
        // An address that is there already is replaced.
        match self.items.iter_mut().find(|item| item.ip == ip) {
            Some(item) => item.comment = comment,
            None => self.items.push(Item { id, ip, comment }),
        }
    }

    /// The pending operation comes to its end while nobody looks.
    pub fn finish(&mut self) {
        if let Some((id, _, change)) = self.pending.take() {
            self.end(&id, change);
        }
    }

    /// The operation is carried out, or fails as it was told to.
    fn end(&mut self, id: &str, mut change: Change) {
        let mut state = json!({ "id": id, "status": "completed", "completed": "2026-03-02T10:00:00Z" });
        if self.breaks > 0 {
            self.breaks -= 1;
            match &mut change {
                Change::Add(items) => items.truncate(items.len() / 2),
                Change::Remove(ids) => ids.truncate(ids.len() / 2),
            }
            self.carry_out(change);
            state = json!({ "id": id, "status": "failed", "error": "half of it is done" });
        } else if let Some(error) = self.fails.take() {
            state = json!({ "id": id, "status": "failed", "error": error });
        } else {
            self.carry_out(change);
        }
        self.over.insert(id.to_owned(), state);
    }

    fn carry_out(&mut self, change: Change) {
        match change {
            Change::Add(items) => items.iter().for_each(|(ip, comment)| self.put(ip, comment)),
            Change::Remove(ids) => self.items.retain(|item| !ids.contains(&item.id)),
        }
    }

    fn start(&mut self, change: Change) -> (u16, Value) {
        if self.pending.is_some() {
            let error = json!({ "code": 10018, "message": "there is a pending operation" });
            return (429, json!({ "result": null, "success": false, "errors": [error], "messages": [] }));
        }
        self.made += 1;
        let id = format!("{:032x}", self.made);
        self.pending = Some((id.clone(), self.looks, change));
        (200, done(json!({ "operation_id": id })))
    }

    fn look(&mut self, id: &str) -> Result<(u16, Value), String> {
        if let Some(state) = self.over.get(id) {
            return Ok((200, done(state.clone())));
        }
        let Some((pending, looks, _)) = self.pending.as_mut().filter(|(pending, ..)| pending == id) else {
            return Err("no such operation".to_owned());
        };
        if *looks > 0 {
            *looks -= 1;
            let status = if *looks > 0 { "pending" } else { "running" };
            return Ok((200, done(json!({ "id": pending, "status": status }))));
        }
        self.finish();
        self.look(id)
    }
}

fn done(result: Value) -> Value {
    json!({ "result": result, "success": true, "errors": [], "messages": [] })
}

impl Edge for Cloudflare {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        if asked.header("authorization") != "Bearer not-a-real-token" {
            return Ok((
                403,
                json!({ "success": false, "errors": [{ "code": 10000, "message": "Authentication error" }] }),
            ));
        }
        let (method, path) = asked.route();
        let ["client", "v4", "accounts", ACCOUNT, "rules", "lists", rest @ ..] = path.as_slice() else {
            return Err("no such path".to_owned());
        };
        if self.in_background && !matches!(rest, ["bulk_operations", _]) {
            self.finish();
        }
        match (method, rest) {
            ("GET", [LIST, "items"]) => {
                let per_page: usize = asked.query("per_page").and_then(|n| n.parse().ok()).unwrap_or(25);
                if !(1..=500).contains(&per_page) {
                    return Err("per_page is between 1 and 500".to_owned());
                }
                let from: usize = asked.query("cursor").map_or(Ok(0), str::parse).map_err(|_| "a strange cursor")?;
                let until = (from + per_page.min(self.page)).min(self.items.len());
                let show = |item: &Item| json!({ "id": item.id, "ip": item.ip, "comment": item.comment });
                let mut page = done(self.items[from..until].iter().map(show).collect());
                if until < self.items.len() {
                    page["result_info"] = json!({ "cursors": { "after": until.to_string() } });
                }
                Ok((200, page))
            }
            ("POST", [LIST, "items"]) => {
                let mut items = Vec::new();
                for item in asked.json().as_array().ok_or("the body is a list of items")? {
                    keys(item, &["ip"], &["comment"])?;
                    items.push((text(item, "ip")?.to_owned(), text(item, "comment")?.to_owned()));
                }
                Ok(self.start(Change::Add(items)))
            }
            ("DELETE", [LIST, "items"]) => {
                let body = asked.json();
                keys(&body, &["items"], &[])?;
                let mut ids = Vec::new();
                for item in body["items"].as_array().ok_or("`items` is a list")? {
                    keys(item, &["id"], &[])?;
                    ids.push(text(item, "id")?.to_owned());
                }
                Ok(self.start(Change::Remove(ids)))
            }
            ("GET", ["bulk_operations", id]) => self.look(id),
            _ => Err("no such path".to_owned()),
        }
    }
}
