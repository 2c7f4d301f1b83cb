//! The calls of Kong's Admin API (version 3) that this target makes.
//!
//! Promises: names are encoded as parts of a path, so that a principal cannot lead to another resource; lists are followed
//! over their pages, up to a bound.
//! Never: decides what is ours.

use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use crate::respond::actions::ask::{ask, below, read};
use crate::respond::config::Secret;
use crate::respond::http;
use crate::respond::target::Delivery;

const WHO: &str = "Kong";
const PAGE_PLUGINS: &str = "1000";
/// Pages that are read; what is longer is refused rather than half known.
const PAGES_MAX: usize = 100;

pub struct Api {
    pub base: Url,
    pub client: Client,
    pub token: Option<Secret>,
    pub token_header: String,
}

#[derive(Deserialize)]
struct Consumer {
    id: String,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    custom_id: Option<String>,
}

#[derive(Deserialize)]
pub struct Plugin {
    pub id: String,
    pub name: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    route: Option<Value>,
    #[serde(default)]
    service: Option<Value>,
}

fn yes() -> bool {
    true
}

impl Plugin {
    pub fn tags(&self) -> Vec<String> {
        self.tags.clone().unwrap_or_default()
    }

    pub fn is_ours(&self) -> bool {
        self.tags.iter().flatten().any(|tag| tag == super::OURS)
    }

    /// Kong takes one instance per consumer beside those that are for a route or service.
    pub fn on_every_route(&self) -> bool {
        self.route.is_none() && self.service.is_none()
    }
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    #[serde(default)]
    offset: Option<String>,
}

impl Api {
    /// The id of the consumer with this username or custom_id. Asked by name Kong also finds by id, which is no name.
    pub async fn consumer(&self, principal: &str, now_us: i64) -> Result<Option<String>, Delivery> {
        // What could be read as another part of the path names no consumer.
        if !principal.is_empty() && ![".", ".."].contains(&principal) {
            let request = self.request(Method::GET, below(&self.base, &["consumers", principal]));
            let answer =
                http::send(request, now_us).await.map_err(|problem| Delivery::retry(format!("{WHO}: {problem}")))?;
            if answer.status.is_success() {
                let consumer: Consumer = read(&answer, WHO)?;
                if [&consumer.username, &consumer.custom_id].into_iter().flatten().any(|name| name == principal) {
                    return Ok(Some(consumer.id));
                }
            } else if answer.status != StatusCode::NOT_FOUND {
                return Err(http::judge(&answer, WHO));
            }
        }
        let mut url = below(&self.base, &["consumers"]);
        url.query_pairs_mut().append_pair("custom_id", principal);
        let page: Page<Consumer> = read(&ask(self.request(Method::GET, url), WHO, now_us).await?, WHO)?;
        let mut exact = page.data.into_iter().filter(|consumer| consumer.custom_id.as_deref() == Some(principal));
        Ok(exact.next().map(|consumer| consumer.id))
    }

    pub async fn plugins_of(&self, consumer: &str, now_us: i64) -> Result<Vec<Plugin>, Delivery> {
        self.pages(below(&self.base, &["consumers", consumer, "plugins"]), now_us).await
    }

    pub async fn plugins_tagged(&self, tag: &str, now_us: i64) -> Result<Vec<Plugin>, Delivery> {
        let mut url = below(&self.base, &["plugins"]);
        url.query_pairs_mut().append_pair("tags", tag);
        self.pages(url, now_us).await
    }

    pub async fn put_plugin(&self, consumer: &str, id: &str, body: &Value, now_us: i64) -> Result<(), Delivery> {
        let url = below(&self.base, &["consumers", consumer, "plugins", id]);
        ask(self.request(Method::PUT, url).json(body), WHO, now_us).await.map(drop)
    }

    pub async fn patch_plugin(&self, id: &str, body: &Value, now_us: i64) -> Result<(), Delivery> {
        let url = below(&self.base, &["plugins", id]);
        ask(self.request(Method::PATCH, url).json(body), WHO, now_us).await.map(drop)
    }

    /// One that is gone is deleted.
    pub async fn delete_plugin(&self, id: &str, now_us: i64) -> Result<(), Delivery> {
        let request = self.request(Method::DELETE, below(&self.base, &["plugins", id]));
        let answer =
            http::send(request, now_us).await.map_err(|problem| Delivery::retry(format!("{WHO}: {problem}")))?;
        if answer.status.is_success() || answer.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        Err(http::judge(&answer, WHO))
    }

    async fn pages(&self, url: Url, now_us: i64) -> Result<Vec<Plugin>, Delivery> {
        let mut all = Vec::new();
        let mut offset: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut url = url.clone();
            url.query_pairs_mut().append_pair("size", PAGE_PLUGINS);
            if let Some(offset) = &offset {
                url.query_pairs_mut().append_pair("offset", offset);
            }
            let page: Page<Plugin> = read(&ask(self.request(Method::GET, url), WHO, now_us).await?, WHO)?;
            all.extend(page.data);
            offset = page.offset;
            if offset.is_none() {
                return Ok(all);
            }
        }
        Err(Delivery::failed("Kong has more plugins than are read"))
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.client.request(method, url);
        match &self.token {
            Some(token) => request.header(&self.token_header, token.reveal()),
            None => request,
        }
    }
}
