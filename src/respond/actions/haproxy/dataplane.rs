//! HAProxy's Data Plane API, version 3: the entries of a map at run time, written to its file by the API (`force_sync`).
//!
//! Promises: an entry with a value that is not our mark is left alone; adding what is there and deleting what is gone are
//! successes.
//! Never: touches the configuration, and so needs no transaction.

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::respond::actions::ask::{ask, below, read, settle};
use crate::respond::actions::entries::{Entries, Entry, Mark};
use crate::respond::config::Secret;
use crate::respond::http;
use crate::respond::scope::Scope;
use crate::respond::target::{Delivery, Order, ReadBack, Target, Unread};

const WHO: &str = "the Data Plane API";
/// Orders of one call; each costs one request.
const ORDERS_MAX: usize = 50;

pub struct Dataplane {
    pub base: Url,
    pub client: Client,
    pub user: String,
    pub password: Secret,
    pub map: String,
    pub writing: Mutex<()>,
}

#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: String,
}

impl Target for Dataplane {
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

impl Dataplane {
    async fn carry_out_orders(&self, orders: &[Order<'_>]) -> Vec<Delivery> {
        let _writing = self.writing.lock().await;
        let now_us = orders.first().map_or(0, |order| order.attempt.now_us);
        let mut entries = match self.entries(now_us).await {
            Ok(entries) => entries,
            Err(failure) => return vec![failure; orders.len()],
        };
        entries.drop_ended(now_us);
        let outcomes = orders.iter().map(|order| entries.take(order)).collect();
        settle(outcomes, self.put_in_force(&entries, now_us).await)
    }

    async fn put_in_force(&self, entries: &Entries, now_us: i64) -> Result<(), Delivery> {
        let changes = entries.changes();
        for (scope, _) in &changes.removed {
            let answer =
                http::send(self.request(Method::DELETE, Some(*scope)), now_us).await.map_err(Delivery::retry)?;
            if !answer.status.is_success() && answer.status != StatusCode::NOT_FOUND {
                return Err(http::judge(&answer, WHO));
            }
        }
        for (scope, mark) in &changes.added {
            let body = serde_json::json!({ "key": scope.to_string(), "value": mark.compact() });
            ask(self.request(Method::POST, None).json(&body), WHO, now_us).await?;
        }
        for (scope, mark, _) in &changes.taken_over {
            let body = serde_json::json!({ "value": mark.compact() });
            ask(self.request(Method::PUT, Some(*scope)).json(&body), WHO, now_us).await?;
        }
        Ok(())
    }

    async fn entries(&self, now_us: i64) -> Result<Entries, Delivery> {
        let url = self.url(None);
        let answer =
            ask(self.client.get(url).basic_auth(&self.user, Some(self.password.reveal())), WHO, now_us).await?;
        let shown: Option<Vec<Shown>> = read(&answer, WHO)?;
        let list = shown.unwrap_or_default().into_iter().filter_map(|shown| {
            let entry = match Mark::parse_compact(&shown.value) {
                Some(mark) => Entry::Ours { mark, id: String::new() },
                None => Entry::Other,
            };
            Some((Scope::parse(&shown.key)?, entry))
        });
        Ok(Entries::new(list))
    }

    fn request(&self, method: Method, scope: Option<Scope>) -> RequestBuilder {
        let mut url = self.url(scope);
        url.query_pairs_mut().append_pair("force_sync", "true");
        self.client.request(method, url).basic_auth(&self.user, Some(self.password.reveal()))
    }

    fn url(&self, scope: Option<Scope>) -> Url {
        let key = scope.map(|scope| scope.to_string());
        let path = ["v3", "services", "haproxy", "runtime", "maps", &self.map, "entries"];
        below(&self.base, &path.into_iter().chain(key.as_deref()).collect::<Vec<_>>())
    }
}
