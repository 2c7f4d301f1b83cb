//! HAProxy's Data Plane API, version 3: the entries of one map at run time, with basic authentication.

use serde_json::{Value, json};

use super::{Asked, Edge, keys, text};

pub const MAP: &str = "gatewatch.map";

#[derive(Default)]
pub struct Dataplane {
    /// Key and value, as `show map` lists them.
    pub entries: Vec<(String, String)>,
    /// What was written to the map's file.
    pub on_disk: Vec<(String, String)>,
}

impl Edge for Dataplane {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        // `gatewatch:not-a-real-password`
        if asked.header("authorization") != "Basic Z2F0ZXdhdGNoOm5vdC1hLXJlYWwtcGFzc3dvcmQ=" {
            return Ok((401, json!({ "code": 401, "message": "unauthenticated for invalid credentials" })));
        }
        let (method, path) = asked.route();
        let ["v3", "services", "haproxy", "runtime", "maps", MAP, "entries", key @ ..] = path.as_slice() else {
            return Err("no such path".to_owned());
        };
        let place = key.first().and_then(|key| self.entries.iter().position(|(known, _)| known == key));
        let missing = Ok((404, json!({ "code": 404, "message": "not found" })));
        let reply = match (method, key, place) {
            ("GET", [], _) => {
                let show = |(key, value): &(String, String)| json!({ "id": "0x55", "key": key, "value": value });
                return Ok((200, self.entries.iter().map(show).collect()));
            }
            ("POST", [], _) => {
                let body = asked.json();
                keys(&body, &["key", "value"], &["id"])?;
                let entry = (text(&body, "key")?.to_owned(), text(&body, "value")?.to_owned());
                if entry.1.contains(' ') {
                    return Err("a value of several words".to_owned());
                }
                if self.entries.iter().any(|(known, _)| *known == entry.0) {
                    return Ok((409, json!({ "code": 409, "message": "entry already exists" })));
                }
                self.entries.push(entry);
                (201, body)
            }
            ("PUT", [_], Some(place)) => {
                let body = asked.json();
                keys(&body, &["value"], &[])?;
                self.entries[place].1 = text(&body, "value")?.to_owned();
                (200, body)
            }
            ("DELETE", [_], Some(place)) => {
                self.entries.remove(place);
                (204, Value::Null)
            }
            ("PUT" | "DELETE", [_], None) => return missing,
            _ => return Err("no such call".to_owned()),
        };
        if asked.query("force_sync") == Some("true") {
            self.on_disk = self.entries.clone();
        }
        Ok(reply)
    }
}
