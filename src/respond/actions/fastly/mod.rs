//! Fastly: entries of an access control list, which VCL asks by `client.ip ~ name`. In force within seconds, without a new
//! version of the service.
//!
//! Promises: an entry of ours carries a comment that names the action; the list is read before it is written; changes go in
//! bulks of at most 1,000. Entries of others stay, and an address that somebody excepted (`negated`) is not blocked.
//! Never: creates or deletes a list.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::{Client, RequestBuilder, Url};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::ask::{ask, below, read, settle};
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use super::entries::{Changes, Entries, Entry, Mark};
use crate::respond::action::Kind;
use crate::respond::config::{Address, ConfigError, Secret, SecretRef};
use crate::respond::scope::Scope;
use crate::respond::target::{Delivery, Order, ReadBack, Target, Unread};

const WHO: &str = "Fastly";
/// Changes of one bulk, by Fastly.
const BULK_MAX: usize = 1_000;
const PAGE_ENTRIES: usize = 100;
/// Pages that are read; a list that is longer is refused rather than half known.
const PAGES_MAX: usize = 100;

http_target_config! {
    /// `respond.targets.fastly`
    pub struct Config {
        pub service_id: String,
        pub acl_id: String,
        pub token: SecretRef,
        /// Where the API is, if not at Fastly.
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
        for (key, id) in [("service_id", &self.service_id), ("acl_id", &self.acl_id)] {
            if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric()) {
                return Err(ConfigError::new(format!("{at}.{key}"), format!("`{id}` is no id of letters and digits")));
            }
        }
        self.url.as_ref().map_or(Ok(()), |url| check_url(at, "url", url, &self.reach()))
    }

    fn lists(&self) -> Vec<(&'static str, String)> {
        vec![("acl_id", format!("the access control list {} of Fastly", self.acl_id))]
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        std::iter::once(&self.token).chain(secrets_of(self.url.as_ref(), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let reach = self.reach();
        let at_fastly = Address::Plain("https://api.fastly.com".to_owned());
        let base = make.url("url", self.url.as_ref().unwrap_or(&at_fastly), &reach)?;
        Ok(Arc::new(Fastly {
            entries: below(&base, &["service", &self.service_id, "acl", &self.acl_id, "entries"]),
            client: make.client(&reach)?,
            token: make.secret("token", &self.token)?,
            writing: Mutex::new(()),
        }))
    }
}

pub struct Fastly {
    entries: Url,
    client: Client,
    token: Secret,
    writing: Mutex<()>,
}

impl Target for Fastly {
    fn concurrency_max(&self) -> Option<usize> {
        Some(1)
    }

    fn orders_max(&self) -> usize {
        BULK_MAX
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

impl Fastly {
    async fn carry_out_orders(&self, orders: &[Order<'_>]) -> Vec<Delivery> {
        let _writing = self.writing.lock().await;
        let now_us = orders.first().map_or(0, |order| order.attempt.now_us);
        let mut entries = match self.entries(now_us).await {
            Ok(entries) => entries,
            Err(failure) => return vec![failure; orders.len()],
        };
        entries.drop_ended(now_us);
        let outcomes = orders.iter().map(|order| entries.take(order)).collect();
        settle(outcomes, self.put_in_force(entries.changes(), now_us).await)
    }

    async fn put_in_force(&self, changes: Changes, now_us: i64) -> Result<(), Delivery> {
        let mut operations = Vec::new();
        operations.extend(changes.added.iter().map(|(scope, mark)| entry("create", *scope, mark)));
        operations.extend(changes.taken_over.iter().map(|(scope, mark, id)| {
            let mut change = entry("update", *scope, mark);
            change["id"] = id.as_str().into();
            change
        }));
        operations.extend(changes.removed.iter().map(|(_, id)| json!({ "op": "delete", "id": id })));
        for bulk in operations.chunks(BULK_MAX) {
            let request = self.client.patch(self.entries.clone()).json(&json!({ "entries": bulk }));
            ask(self.signed(request), WHO, now_us).await?;
        }
        Ok(())
    }

    async fn entries(&self, now_us: i64) -> Result<Entries, Delivery> {
        let mut list = Vec::new();
        for page in 1..=PAGES_MAX {
            let mut url = self.entries.clone();
            let per_page = PAGE_ENTRIES.to_string();
            url.query_pairs_mut().append_pair("page", &page.to_string()).append_pair("per_page", &per_page);
            let answer = ask(self.signed(self.client.get(url)), WHO, now_us).await?;
            let shown: Vec<Value> = read(&answer, WHO)?;
            let last = shown.len() < PAGE_ENTRIES;
            list.extend(shown.iter().filter_map(known));
            if last {
                return Ok(Entries::new(list));
            }
        }
        Err(Delivery::failed(format!("the ACL has more than {} entries", PAGES_MAX * PAGE_ENTRIES)))
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        request.header("Fastly-Key", self.token.reveal())
    }
}

fn entry(op: &str, scope: Scope, mark: &Mark) -> Value {
    let mut entry = json!({ "op": op, "ip": scope.net().addr().to_string(), "comment": mark.to_string() });
    if !scope.is_address() {
        entry["subnet"] = scope.net().prefix_len().into();
    }
    entry
}

/// Numbers come as numbers or as text.
fn known(shown: &Value) -> Option<(Scope, Entry)> {
    let text = |key: &str| match &shown[key] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(true) => "1".to_owned(),
        _ => String::new(),
    };
    let (ip, subnet) = (text("ip"), text("subnet"));
    let scope = Scope::parse(&if subnet.is_empty() { ip } else { format!("{ip}/{subnet}") })?;
    let entry = match Mark::parse(&text("comment")) {
        _ if text("negated") == "1" => Entry::Excepted,
        Some(mark) => Entry::Ours { mark, id: text("id") },
        None => Entry::Other,
    };
    Some((scope, entry))
}
