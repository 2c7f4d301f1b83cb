//! Kong's Admin API: consumers, and plugins of which a consumer has one of each name.

use serde_json::{Value, json};

use super::{Asked, Edge, keys};

#[derive(Default)]
pub struct Kong {
    /// (id, username, custom_id)
    pub consumers: Vec<(&'static str, &'static str, Option<&'static str>)>,
    pub plugins: Vec<Value>,
    /// Plugins of one page, where that is less than is asked for.
    pub page: Option<usize>,
}

impl Kong {
    fn consumer(&self, name: &str) -> Option<&(&'static str, &'static str, Option<&'static str>)> {
        self.consumers.iter().find(|(id, username, _)| *id == name || *username == name)
    }

    fn list(&self, asked: &Asked, chosen: impl Fn(&Value) -> bool) -> Result<(u16, Value), String> {
        let size: usize = asked.query("size").map_or(Ok(100), str::parse).map_err(|_| "a strange size")?;
        if !(1..=1_000).contains(&size) {
            return Err("size is between 1 and 1000".to_owned());
        }
        let size = self.page.unwrap_or(size);
        let from: usize = asked.query("offset").map_or(Ok(0), str::parse).map_err(|_| "a strange offset")?;
        let all: Vec<&Value> = self.plugins.iter().filter(|plugin| chosen(plugin)).collect();
        let data: Vec<&Value> = all.iter().skip(from).take(size).copied().collect();
        let mut page = json!({ "data": data, "next": null });
        if from + size < all.len() {
            page["offset"] = (from + size).to_string().into();
            page["next"] = "/plugins?offset=".into();
        }
        Ok((200, page))
    }

    fn check(plugin: &Value) -> Result<(), String> {
        let config = &plugin["config"];
        match plugin["name"].as_str() {
            Some("request-termination") => {
                keys(config, &[], &["status_code", "message", "body", "content_type", "trigger", "echo"])?;
                let status = config["status_code"].as_u64().unwrap_or(503);
                if !(100..=599).contains(&status) {
                    return Err(format!("status_code {status}"));
                }
            }
            Some("rate-limiting") => {
                keys(config, &["minute"], &["limit_by", "policy", "second", "hour", "fault_tolerant"])?;
                if config["minute"].as_u64().is_none_or(|n| n == 0) || config["limit_by"] != "consumer" {
                    return Err(format!("config {config}"));
                }
            }
            other => return Err(format!("plugin {other:?}")),
        }
        let tags = plugin["tags"].as_array().ok_or("`tags` is a list")?;
        let strange = |tag: &Value| tag.as_str().is_none_or(|tag| tag.is_empty() || tag.contains([',', '/']));
        match tags.iter().find(|tag| strange(tag)) {
            Some(tag) => Err(format!("tag {tag}")),
            None => Ok(()),
        }
    }

    fn put(&mut self, consumer: &str, id: &str, mut plugin: Value) -> Result<(u16, Value), String> {
        keys(&plugin, &["name"], &["config", "tags", "enabled", "protocols", "instance_name"])?;
        Kong::check(&plugin)?;
        if id.len() != 36 {
            return Err(format!("{id} is no UUID"));
        }
        let twin = |other: &Value| {
            other["id"] != id
                && other["name"] == plugin["name"]
                && other["consumer"]["id"] == consumer
                && other["route"].is_null()
        };
        if self.plugins.iter().any(twin) {
            return Ok((
                409,
                json!({ "code": 5, "name": "unique constraint violation", "message": "UNIQUE violation" }),
            ));
        }
        plugin["id"] = id.into();
        plugin["consumer"] = json!({ "id": consumer });
        plugin["route"] = Value::Null;
        self.plugins.retain(|other| other["id"] != id);
        self.plugins.push(plugin.clone());
        Ok((200, plugin))
    }
}

impl Edge for Kong {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        if asked.header("kong-admin-token") != "not-a-real-token" {
            return Ok((401, json!({ "message": "Invalid RBAC credentials" })));
        }
        let not_found = Ok((404, json!({ "message": "Not found" })));
        let show = |consumer: &(&str, &str, Option<&str>)| json!({ "id": consumer.0, "username": consumer.1, "custom_id": consumer.2, "tags": null });
        match (asked.method.as_str(), asked.route().1.as_slice()) {
            ("GET", ["consumers"]) => {
                let wanted = asked.query("custom_id").ok_or("custom_id")?;
                let found: Vec<Value> =
                    self.consumers.iter().filter(|consumer| consumer.2 == Some(wanted)).map(show).collect();
                Ok((200, json!({ "data": found, "next": null })))
            }
            ("GET", ["consumers", name]) => self.consumer(name).map_or(not_found, |consumer| Ok((200, show(consumer)))),
            ("GET", ["consumers", name, "plugins"]) => {
                let Some(id) = self.consumer(name).map(|consumer| consumer.0) else { return not_found };
                self.list(asked, |plugin| plugin["consumer"]["id"] == id)
            }
            ("PUT", ["consumers", name, "plugins", id]) => {
                let Some(consumer) = self.consumer(name).map(|consumer| consumer.0) else { return not_found };
                self.put(consumer, id, asked.json())
            }
            ("GET", ["plugins"]) => {
                let wanted = asked.query("tags").ok_or("tags")?.to_owned();
                self.list(asked, |plugin| {
                    plugin["tags"].as_array().is_some_and(|tags| tags.contains(&wanted.clone().into()))
                })
            }
            ("PATCH", ["plugins", id]) => {
                let Some(place) = self.plugins.iter().position(|plugin| plugin["id"] == *id) else { return not_found };
                let body = asked.json();
                keys(&body, &[], &["config", "tags", "enabled"])?;
                let mut plugin = self.plugins[place].clone();
                for (key, value) in body.as_object().expect("checked") {
                    plugin[key] = value.clone();
                }
                Kong::check(&plugin)?;
                self.plugins[place] = plugin.clone();
                Ok((200, plugin))
            }
            ("DELETE", ["plugins", id]) => {
                self.plugins.retain(|plugin| plugin["id"] != *id);
                Ok((204, Value::Null))
            }
            _ => Err("no such path".to_owned()),
        }
    }
}
