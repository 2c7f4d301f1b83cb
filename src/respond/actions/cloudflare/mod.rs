//! Cloudflare: items of an account's IP list, which rules name by `ip.src in $list`.
//!
//! Promises: an item of ours carries a comment that names the action; items of others stay. Delivered means done: the bulk
//! operation was followed to its end. One that lasts longer than an attempt is found again by the next, which looks at the
//! list before it writes.
//! Never: replaces the list as a whole; starts an operation while one is pending, because Cloudflare refuses it.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::{Client, Method, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::ask::{below, read, settle};
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use super::entries::{Changes, Entries, Entry, Mark};
use crate::respond::action::{Kind, Op, scrub};
use crate::respond::config::{Address, ConfigError, Secret, SecretRef};
use crate::respond::http;
use crate::respond::scope::Scope;
use crate::respond::target::{Delivery, Order, ReadBack, Target, Unread};

const WHO: &str = "Cloudflare";
/// Orders of one bulk operation.
const ORDERS_MAX: usize = 1_000;
/// Items of one page, the most there is.
const PAGE_ITEMS: usize = 500;
/// Pages that are read; a list that is longer is refused rather than half known.
const PAGES_MAX: usize = 40;
/// How often an operation is looked at within an attempt, and how long to wait before each.
const POLLS: [u64; 8] = [100, 200, 400, 800, 1_000, 1_500, 2_000, 2_000];
/// What to wait where a pending operation is in the way and Cloudflare names no time.
const PENDING_AFTER: Duration = Duration::from_secs(5);

http_target_config! {
    /// `respond.targets.cloudflare`
    pub struct Config {
        pub account_id: String,
        pub list_id: String,
        /// With the right to edit Account Filter Lists.
        pub token: SecretRef,
        /// Where the API is, if not at Cloudflare.
        #[serde(default)]
        pub url: Option<Address>,
    }
    able: &[Kind::Block]; by default: Config::ABLE;
}

impl TargetConfig for Config {
    fn common(&self) -> Common {
        self.as_common()
    }

    fn able(&self) -> &'static [Kind] {
        Config::ABLE
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        for (key, id) in [("account_id", &self.account_id), ("list_id", &self.list_id)] {
            if id.len() != 32 || !id.chars().all(|c| c.is_ascii_hexdigit()) {
                return Err(ConfigError::new(format!("{at}.{key}"), format!("`{id}` is not 32 hexadecimal digits")));
            }
        }
        self.url.as_ref().map_or(Ok(()), |url| check_url(at, "url", url, &self.reach()))
    }

    fn lists(&self) -> Vec<(&'static str, String)> {
        vec![("list_id", format!("the list {} of Cloudflare", self.list_id.to_ascii_lowercase()))]
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        std::iter::once(&self.token).chain(secrets_of(self.url.as_ref(), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let reach = self.reach();
        let at_cloudflare = Address::Plain("https://api.cloudflare.com/client/v4".to_owned());
        let base = make.url("url", self.url.as_ref().unwrap_or(&at_cloudflare), &reach)?;
        let lists = below(&base, &["accounts", &self.account_id, "rules", "lists"]);
        Ok(Arc::new(Cloudflare {
            items: below(&lists, &[&self.list_id, "items"]),
            operations: below(&lists, &["bulk_operations"]),
            client: make.client(&reach)?,
            token: make.secret("token", &self.token)?,
            writing: Mutex::new(()),
        }))
    }
}

pub struct Cloudflare {
    items: Url,
    operations: Url,
    client: Client,
    token: Secret,
    writing: Mutex<()>,
}

#[derive(Deserialize)]
struct Envelope<T> {
    result: Option<T>,
    success: bool,
    #[serde(default)]
    errors: Vec<Value>,
    #[serde(default)]
    result_info: Option<ResultInfo>,
}

#[derive(Deserialize)]
struct ResultInfo {
    #[serde(default)]
    cursors: Option<Cursors>,
}

#[derive(Deserialize)]
struct Cursors {
    #[serde(default)]
    after: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    #[serde(default)]
    ip: Option<String>,
    #[serde(default)]
    comment: Option<String>,
}

#[derive(Deserialize)]
struct Started {
    operation_id: String,
}

#[derive(Deserialize)]
struct Operation {
    status: String,
    #[serde(default)]
    error: Option<String>,
}

impl Target for Cloudflare {
    fn concurrency_max(&self) -> Option<usize> {
        Some(1)
    }

    fn orders_max(&self) -> usize {
        ORDERS_MAX
    }

    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        async move { self.carry_out_orders(&[order]).await.pop().unwrap_or_else(|| Delivery::retry("no outcome")) }
            .boxed()
    }

    fn carry_out_all<'a>(&'a self, orders: &'a [Order<'a>]) -> BoxFuture<'a, Vec<Delivery>> {
        self.carry_out_orders(orders).boxed()
    }

    fn read_back(&self, now_us: i64) -> BoxFuture<'_, ReadBack> {
        async move { self.entries(now_us).await.map(|entries| Some(entries.in_force())).map_err(Unread::from) }.boxed()
    }
}

impl Cloudflare {
    async fn carry_out_orders(&self, orders: &[Order<'_>]) -> Vec<Delivery> {
        let _writing = self.writing.lock().await;
        let now_us = orders.first().map_or(0, |order| order.attempt.now_us);
        let mut entries = match self.entries(now_us).await {
            Ok(entries) => entries,
            Err(failure) => return vec![failure; orders.len()],
        };
        entries.drop_ended(now_us);
        let outcomes = orders.iter().map(|order| too_wide(order).unwrap_or_else(|| entries.take(order))).collect();
        settle(outcomes, self.put_in_force(entries.changes(), now_us).await)
    }

    /// Writing an address again replaces the item's comment.
    async fn put_in_force(&self, changes: Changes, now_us: i64) -> Result<(), Delivery> {
        let taken_over = changes.taken_over.iter().map(|(scope, mark, _)| (scope, mark));
        let written = changes.added.iter().map(|(scope, mark)| (scope, mark)).chain(taken_over);
        let items: Vec<Value> =
            written.map(|(scope, mark)| json!({ "ip": scope.to_string(), "comment": mark.to_string() })).collect();
        if !items.is_empty() {
            self.change(Method::POST, &Value::Array(items), now_us).await?;
        }
        let gone: Vec<Value> = changes.removed.iter().map(|(_, id)| json!({ "id": id })).collect();
        if !gone.is_empty() {
            self.change(Method::DELETE, &json!({ "items": gone }), now_us).await?;
        }
        Ok(())
    }

    /// Start a bulk operation and follow it to its end.
    async fn change(&self, method: Method, body: &Value, now_us: i64) -> Result<(), Delivery> {
        let request = self.client.request(method, self.items.clone()).json(body);
        let started: Started = self.call(request, now_us).await?.0;
        for wait_ms in POLLS {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            let request = self.client.get(below(&self.operations, &[&started.operation_id]));
            // The operation goes on, whatever this look comes to; the next attempt sees in the list what it did.
            let looked = self.call(request, now_us).await.map_err(|failure| match failure {
                Delivery::Failed { reason, answer } => Delivery::Retry { after: None, reason, answer },
                failure => failure,
            });
            let operation: Operation = looked?.0;
            match operation.status.as_str() {
                "completed" => return Ok(()),
                "failed" => {
                    let answer = scrub(operation.error.as_deref().unwrap_or_default());
                    let reason = "Cloudflare's bulk operation failed".to_owned();
                    return Err(Delivery::Retry { after: None, reason, answer });
                }
                _ => {}
            }
        }
        let reason = "Cloudflare's bulk operation is still under way".to_owned();
        Err(Delivery::Retry { after: Some(PENDING_AFTER), reason, answer: String::new() })
    }

    async fn entries(&self, now_us: i64) -> Result<Entries, Delivery> {
        let mut list = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut url = self.items.clone();
            url.query_pairs_mut().append_pair("per_page", &PAGE_ITEMS.to_string());
            if let Some(cursor) = &cursor {
                url.query_pairs_mut().append_pair("cursor", cursor);
            }
            let (items, info): (Vec<Item>, _) = self.call(self.client.get(url), now_us).await?;
            list.extend(items.into_iter().filter_map(|item| {
                let entry = match item.comment.as_deref().and_then(Mark::parse) {
                    Some(mark) => Entry::Ours { mark, id: item.id },
                    None => Entry::Other,
                };
                Some((Scope::parse(item.ip.as_deref()?)?, entry))
            }));
            cursor = info.and_then(|info| info.cursors?.after).filter(|after| !after.is_empty());
            if cursor.is_none() {
                return Ok(Entries::new(list));
            }
        }
        Err(Delivery::failed(format!("the list has more than {} items", PAGES_MAX * PAGE_ITEMS)))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        now_us: i64,
    ) -> Result<(T, Option<ResultInfo>), Delivery> {
        let answer = http::send(request.bearer_auth(self.token.reveal()), now_us).await;
        let answer = answer.map_err(|problem| Delivery::retry(format!("{WHO}: {problem}")))?;
        if !answer.status.is_success() {
            return Err(match http::judge(&answer, WHO) {
                Delivery::Retry { after, reason, answer: text } if answer.status == StatusCode::TOO_MANY_REQUESTS => {
                    Delivery::Retry { after: after.or(Some(PENDING_AFTER)), reason, answer: text }
                }
                outcome => outcome,
            });
        }
        let envelope: Envelope<T> = read(&answer, WHO)?;
        match envelope.result {
            Some(result) if envelope.success => Ok((result, envelope.result_info)),
            _ => {
                let said = Value::Array(envelope.errors).to_string();
                Err(Delivery::Failed { reason: "Cloudflare refused the call".to_owned(), answer: scrub(&said) })
            }
        }
    }
}

/// Lists take IPv4 from /8 and IPv6 from /12 on.
fn too_wide(order: &Order<'_>) -> Option<Delivery> {
    let scope = Scope::of(order.action).filter(|_| order.action.op == Op::Apply)?;
    let least = if scope.is_v4() { 8 } else { 12 };
    (scope.net().prefix_len() < least).then(|| Delivery::failed(format!("a list takes no network wider than /{least}")))
}
