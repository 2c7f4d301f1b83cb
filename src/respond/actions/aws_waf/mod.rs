//! AWS WAF (WAFv2): addresses in IP sets, one for IPv4 and one for IPv6, that a rule of a web ACL blocks by.
//!
//! Promises: a set is changed by reading it, merging and writing it with its lock token, and again from the reading when
//! somebody else was faster, so that two writers lose nothing; addresses of others stay, which is why an address that is to
//! be added is noted first; a thousand actions cost one update; updates keep to one a second, as AWS asks.
//! Never: creates a set or a rule; empties a set; goes beyond a set's 10,000 addresses.

mod api;
mod set;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::aws::AwsCredential;
use rand::Rng;
use serde::Deserialize;
use tokio::sync::Mutex;

use self::api::{Api, ApiError};
use self::set::AddressSet;
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use super::entries::in_force;
use crate::clock::Stopwatch;
use crate::respond::action::Kind;
use crate::respond::config::{Address, ConfigError, SecretRef};
use crate::respond::scope::Scope;
use crate::respond::target::{Delivery, InForce, Order, ReadBack, Target};

/// Orders that one update carries out.
const ORDERS_MAX: usize = 1_000;
/// AWS allows one call that changes something a second, per account and region.
const BETWEEN_UPDATES: Duration = Duration::from_millis(1_000);
/// How often an update is tried again within an attempt because somebody else was faster.
const RACES_MAX: u32 = 6;

http_target_config! {
    /// `respond.targets.aws_waf`
    pub struct Config {
        pub region: String,
        /// `regional`, or `cloudfront`, which AWS keeps in us-east-1.
        #[serde(default)]
        pub scope: ScopeName,
        /// The set for IPv4.
        #[serde(default)]
        pub v4: Option<IpSet>,
        /// The set for IPv6.
        #[serde(default)]
        pub v6: Option<IpSet>,
        /// Nobody else writes to these sets, so that neighbouring addresses may be merged to a network when one is full.
        #[serde(default)]
        pub own: bool,
        pub access_key_id: SecretRef,
        pub secret_access_key: SecretRef,
        #[serde(default)]
        pub session_token: Option<SecretRef>,
        /// Where the API is, if not at AWS.
        #[serde(default)]
        pub url: Option<Address>,
    }
    able: &[Kind::Block]; by default: Config::ABLE;
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeName {
    #[default]
    Regional,
    Cloudfront,
}

impl ScopeName {
    fn at_aws(self) -> &'static str {
        match self {
            ScopeName::Regional => "REGIONAL",
            ScopeName::Cloudfront => "CLOUDFRONT",
        }
    }
}

/// As `aws wafv2 list-ip-sets` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IpSet {
    pub name: String,
    pub id: String,
}

impl TargetConfig for Config {
    fn common(&self) -> Common {
        self.as_common()
    }

    fn able(&self) -> &'static [Kind] {
        Config::ABLE
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        let shaped = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.region.is_empty() || !self.region.chars().all(shaped) {
            return Err(ConfigError::new(format!("{at}.region"), format!("`{}` is no region", self.region)));
        }
        if self.scope == ScopeName::Cloudfront && self.region != "us-east-1" {
            return Err(ConfigError::new(format!("{at}.region"), "sets of scope cloudfront are in us-east-1"));
        }
        if self.v4.is_none() && self.v6.is_none() {
            return Err(ConfigError::new(format!("{at}.v4"), "name at least one IP set: `v4`, `v6`"));
        }
        if self.v4.is_some() && self.v4 == self.v6 {
            return Err(ConfigError::new(format!("{at}.v6"), "an IP set holds one family: `v4` and `v6` are two sets"));
        }
        self.url.as_ref().map_or(Ok(()), |url| check_url(at, "url", url, &self.reach()))
    }

    fn lists(&self) -> Vec<(&'static str, String)> {
        let sets = [("v4", &self.v4), ("v6", &self.v6)];
        let named = |set: &IpSet| format!("the IP set {} in {}", set.id, self.region);
        sets.into_iter().filter_map(|(key, set)| Some((key, named(set.as_ref()?)))).collect()
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        let keys = [&self.access_key_id, &self.secret_access_key].into_iter().chain(&self.session_token);
        keys.chain(secrets_of(self.url.as_ref(), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let reach = self.reach();
        let at_aws = Address::Plain(format!("https://wafv2.{}.amazonaws.com/", self.region));
        let word = |key: &str, reference: &SecretRef| {
            let secret = make.secret(key, reference)?;
            // It goes into a header.
            if secret.reveal().is_empty() || !secret.reveal().chars().all(|c| c.is_ascii_graphic()) {
                return Err(ConfigError::new(format!("{}.{key}", make.at), "expected one word, as AWS gave it"));
            }
            Ok(secret.reveal().to_owned())
        };
        let credential = AwsCredential {
            key_id: word("access_key_id", &self.access_key_id)?,
            secret_key: word("secret_access_key", &self.secret_access_key)?,
            token: self.session_token.as_ref().map(|token| word("session_token", token)).transpose()?,
        };
        let api = Api {
            client: make.client(&reach)?,
            url: make.url("url", self.url.as_ref().unwrap_or(&at_aws), &reach)?,
            credential,
            region: self.region.clone(),
            scope: self.scope.at_aws(),
        };
        let (v4, v6) = (self.v4.clone(), self.v6.clone());
        Ok(Arc::new(AwsWaf { api, v4, v6, own: self.own, updated: Mutex::new(None) }))
    }
}

pub struct AwsWaf {
    api: Api,
    v4: Option<IpSet>,
    v6: Option<IpSet>,
    own: bool,
    /// Since the last update; held over an update, so that there is one at a time.
    updated: Mutex<Option<Stopwatch>>,
}

impl Target for AwsWaf {
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
        async move { self.in_force(now_us).await.map(Some).map_err(|error| error.into_delivery().into()) }.boxed()
    }
}

impl AwsWaf {
    async fn carry_out_orders(&self, orders: &[Order<'_>]) -> Vec<Delivery> {
        let mut outcomes: Vec<Option<Delivery>> = vec![None; orders.len()];
        for (is_v4, set) in [(true, &self.v4), (false, &self.v6)] {
            let of_family = |order: &Order<'_>| Scope::of(order.action).is_some_and(|scope| scope.is_v4() == is_v4);
            let (places, chosen): (Vec<usize>, Vec<Order<'_>>) =
                orders.iter().enumerate().filter(|(_, order)| of_family(order)).map(|(n, order)| (n, *order)).unzip();
            if chosen.is_empty() {
                continue;
            }
            let done = match set {
                Some(set) => self.update(set, &chosen).await,
                None => {
                    let family = if is_v4 { "v4" } else { "v6" };
                    vec![
                        Delivery::failed(format!("no IP set for this family is configured (`{family}`)"));
                        chosen.len()
                    ]
                }
            };
            for (place, outcome) in places.into_iter().zip(done) {
                outcomes[place] = Some(outcome);
            }
        }
        let neither = || Delivery::failed("the entity is neither an IP address nor a network");
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(neither)).collect()
    }

    async fn update(&self, set: &IpSet, orders: &[Order<'_>]) -> Vec<Delivery> {
        let now_us = orders.first().map_or(0, |order| order.attempt.now_us);
        let mut updated = self.updated.lock().await;
        for race in 0..=RACES_MAX {
            if race > 0 {
                // Somebody else was faster; not all who lost are to come again at the same moment.
                let jitter = rand::rng().random_range(0..300);
                tokio::time::sleep(Duration::from_millis(jitter)).await;
            }
            let remote = match self.api.get(set, now_us).await {
                Ok(remote) => remote,
                Err(error) => return vec![error.into_delivery(); orders.len()],
            };
            let mut addresses = AddressSet::new(&remote.addresses);
            let outcomes = orders.iter().map(|order| addresses.take(order, self.own)).collect();
            let list = match addresses.list(self.own) {
                Ok(None) => return outcomes,
                Ok(Some(list)) => list,
                Err(problem) => return super::ask::settle(outcomes, Err(Delivery::failed(problem))),
            };
            if let Some(left) = updated.and_then(|last| BETWEEN_UPDATES.checked_sub(last.elapsed())) {
                tokio::time::sleep(left).await;
            }
            let call = self.api.update(set, &remote, &list, now_us).await;
            *updated = Some(Stopwatch::start());
            match call {
                Ok(()) => return outcomes,
                Err(ApiError::Raced) => {}
                Err(error) => return super::ask::settle(outcomes, Err(error.into_delivery())),
            }
        }
        vec![ApiError::Raced.into_delivery(); orders.len()]
    }

    async fn in_force(&self, now_us: i64) -> Result<Vec<InForce>, ApiError> {
        let mut all = Vec::new();
        for set in [&self.v4, &self.v6].into_iter().flatten() {
            let remote = self.api.get(set, now_us).await?;
            all.extend(AddressSet::new(&remote.addresses).scopes().map(|scope| in_force(scope, None)));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_cannot_work_is_refused_with_its_key() {
        let v4 = "v4: { name: a, id: '1' }";
        for (text, at) in [
            ("region: eu-central-1".to_owned(), "v4"),
            (format!("region: 'eu central', {v4}"), "region"),
            (format!("region: eu-central-1, scope: cloudfront, {v4}"), "region"),
            (format!("region: eu-central-1, {v4}, v6: {{ name: a, id: '1' }}"), "v6"),
            (format!("region: eu-central-1, {v4}, url: 'http://aws.example.com'"), "url"),
        ] {
            let keys = "access_key_id: { env: A }, secret_access_key: { env: B }";
            let text = format!("aws_waf: [{{ name: waf, {keys}, {text} }}]");
            let config: crate::respond::actions::TargetsConfig = serde_saphyr::from_str(&text).expect(&text);
            assert_eq!(config.check().expect_err(&text).at, format!("targets.aws_waf[0].{at}"), "{text}");
        }
    }
}
