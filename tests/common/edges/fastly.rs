//! Fastly's ACL entries: pages, and bulk changes of at most 1,000, all of them or none.

use serde_json::{Value, json};

use super::{Asked, Edge, keys, text};

pub const SERVICE: &str = "SU1Z0isxPaozGVKXdv0eY";
pub const ACL: &str = "6tUXdegLTf5BCig0zGFrU3";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: String,
    pub ip: String,
    pub subnet: Option<u64>,
    pub negated: bool,
    pub comment: String,
}

#[derive(Default)]
pub struct Fastly {
    pub entries: Vec<Entry>,
    /// So many bulk changes stop half-way with an error of the server's, although the contract has all of them or none.
    pub breaks: usize,
    made: usize,
}

impl Fastly {
    pub fn put(&mut self, ip: &str, subnet: Option<u64>, negated: bool, comment: &str) {
        self.made += 1;
        let (id, ip, comment) = (format!("entry{}", self.made), ip.to_owned(), comment.to_owned());
        self.entries.push(Entry { id, ip, subnet, negated, comment });
    }

    fn change(&mut self, change: &Value) -> Result<(), String> {
        let subnet = match &change["subnet"] {
            Value::Null => None,
            bits => Some(bits.as_u64().ok_or_else(|| format!("`subnet` is no number in {change}"))?),
        };
        let place = |entries: &[Entry]| {
            let id = text(change, "id")?;
            entries.iter().position(|entry| entry.id == id).ok_or_else(|| format!("no entry {id}"))
        };
        match text(change, "op")? {
            "create" => {
                keys(change, &["op", "ip"], &["subnet", "negated", "comment"])?;
                let ip = text(change, "ip")?;
                ip.parse::<std::net::IpAddr>().map_err(|_| format!("{ip} is no address"))?;
                if self.entries.iter().any(|entry| entry.ip == ip && entry.subnet == subnet) {
                    return Err(format!("{ip} is there already"));
                }
                self.put(ip, subnet, false, text(change, "comment")?);
            }
            "update" => {
                keys(change, &["op", "id"], &["ip", "subnet", "negated", "comment"])?;
                let place = place(&self.entries)?;
                self.entries[place].comment = text(change, "comment")?.to_owned();
            }
            "delete" => {
                keys(change, &["op", "id"], &[])?;
                let place = place(&self.entries)?;
                self.entries.remove(place);
            }
            other => return Err(format!("op `{other}`")),
        }
        Ok(())
    }
}

impl Edge for Fastly {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        if asked.header("fastly-key") != "not-a-real-token" {
            return Ok((401, json!({ "msg": "Provided credentials are missing or invalid" })));
        }
        match (asked.method.as_str(), asked.route().1.as_slice()) {
            ("GET", ["service", SERVICE, "acl", ACL, "entries"]) => {
                let number = |name: &str| asked.query(name).and_then(|n| n.parse::<usize>().ok());
                let (page, per_page) = (number("page").unwrap_or(1), number("per_page").unwrap_or(20));
                let show = |entry: &Entry| {
                    let negated = if entry.negated { "1" } else { "0" };
                    json!({ "id": entry.id, "acl_id": ACL, "service_id": SERVICE, "ip": entry.ip, "subnet": entry.subnet,
                        "negated": negated, "comment": entry.comment, "created_at": "2026-03-02T10:00:00Z" })
                };
                Ok((200, self.entries.iter().skip((page - 1) * per_page).take(per_page).map(show).collect()))
            }
            ("PATCH", ["service", SERVICE, "acl", ACL, "entries"]) => {
                let body = asked.json();
                keys(&body, &["entries"], &[])?;
                let changes = body["entries"].as_array().ok_or("`entries` is a list")?;
                if changes.is_empty() || changes.len() > 1_000 {
                    return Err(format!("{} changes", changes.len()));
                }
                let before = self.entries.clone();
                if self.breaks > 0 {
                    self.breaks -= 1;
                    changes[..changes.len() / 2].iter().try_for_each(|change| self.change(change))?;
                    return Ok((500, json!({ "msg": "half of it is done" })));
                }
                for change in changes {
                    if let Err(problem) = self.change(change) {
                        self.entries = before;
                        return Err(problem);
                    }
                }
                Ok((200, json!({ "status": "ok" })))
            }
            _ => Err("no such path".to_owned()),
        }
    }
}
