//! CrowdSec: an address is kept out by every bouncer of a CrowdSec local API (LAPI), from 1.4 on.
//!
//! Promises: one decision per action, although LAPI makes a new one for each post: before posting again after an uncertain
//! answer the alerts at LAPI are searched for our action id. The ban ends when the action says, however late it is
//! delivered. Delivered means read back: the decision was seen. Reverting deletes that decision and no other.
//! Never: extends or removes a decision that is not ours.

mod api;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use schemas::Alert;
use serde::Deserialize;

use self::api::{Api, CallError, RemoteAlert};
use super::TargetConfig;
use crate::respond::action::{Action, Kind};
use crate::respond::config::{ConfigError, Resolve, SecretRef, check_target};
use crate::respond::guard::address_of;
use crate::respond::http::{self, Transport};
use crate::respond::target::{Attempt, Delivery, Target};

/// `respond.targets.crowdsec`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub name: String,
    /// Of the local API, such as `http://127.0.0.1:8080`.
    pub url: String,
    /// A machine made with `cscli machines add`.
    pub machine_id: String,
    pub password: SecretRef,
    #[serde(default = "blocks")]
    pub kinds: Vec<Kind>,
    #[serde(default)]
    pub dry_run: Option<bool>,
    /// Allow http to another machine.
    #[serde(default)]
    pub insecure: bool,
    /// Certificates in PEM to trust besides the system's.
    #[serde(default)]
    pub ca: Option<SecretRef>,
    #[serde(default)]
    pub proxy: Option<String>,
}

const ABLE: &[Kind] = &[Kind::Block];

fn blocks() -> Vec<Kind> {
    ABLE.to_vec()
}

impl TargetConfig for Config {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        check_target(at, &self.name, &self.kinds, ABLE)?;
        if self.machine_id.is_empty() {
            return Err(ConfigError::new(format!("{at}.machine_id"), "the name given to `cscli machines add`"));
        }
        http::parse_url(&self.url, self.insecure, &format!("{at}.url")).map(|_| ())
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        std::iter::once(&self.password).chain(&self.ca).collect()
    }

    fn build(&self, at: &str, resolve: Resolve) -> Result<Arc<dyn Target>, ConfigError> {
        let lookup = |key: &str, reference: &SecretRef| {
            resolve(reference).map_err(|problem| ConfigError::new(format!("{at}.{key}"), problem))
        };
        let ca_pem = self.ca.as_ref().map(|reference| lookup("ca", reference)).transpose()?;
        let ca_pem = ca_pem.map(|pem| pem.reveal().to_owned());
        let client = Transport { ca_pem, proxy: self.proxy.clone() }.client(at)?;
        let url = http::parse_url(&self.url, self.insecure, &format!("{at}.url"))?;
        let api = Api::new(client, url, self.machine_id.clone(), lookup("password", &self.password)?);
        let (name, kinds, dry_run) = (self.name.clone(), self.kinds.clone(), self.dry_run);
        Ok(Arc::new(Crowdsec { name, kinds, dry_run, api }))
    }
}

pub struct Crowdsec {
    name: String,
    kinds: Vec<Kind>,
    dry_run: Option<bool>,
    api: Api,
}

impl Target for Crowdsec {
    fn name(&self) -> &str {
        &self.name
    }

    fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    fn dry_run(&self) -> Option<bool> {
        self.dry_run
    }

    /// Its database is a file by default: of two writes at once it may answer one with an error and keep half of it, a
    /// decision that no look finds.
    fn concurrency_max(&self) -> Option<usize> {
        Some(1)
    }

    fn deliver<'a>(&'a self, action: &'a Action, attempt: Attempt) -> BoxFuture<'a, Delivery> {
        async move { self.block(action, attempt).await.unwrap_or_else(CallError::into_delivery) }.boxed()
    }

    /// `remote_ref` is the id of our alert at LAPI; its decisions are deleted.
    fn revert<'a>(&'a self, remote_ref: &'a str, attempt: Attempt) -> BoxFuture<'a, Delivery> {
        async move { self.unblock(remote_ref, attempt).await.unwrap_or_else(CallError::into_delivery) }.boxed()
    }
}

impl Crowdsec {
    async fn block(&self, action: &Action, attempt: Attempt) -> Result<Delivery, CallError> {
        let ban = Ban::of(action, attempt.now_us)?;
        // The first attempt cannot have been made before; each later one may follow a post whose answer got lost.
        let posted = match attempt.number {
            0 | 1 => None,
            _ => self.api.find(&ban.address, &ban.scenario, &action.id, attempt.now_us).await?,
        };
        let remote = match posted {
            Some(alert) => alert,
            None => self.api.post(&ban.body(action), attempt.now_us).await?,
        };
        Ok(confirm(&remote))
    }

    async fn unblock(&self, remote_ref: &str, attempt: Attempt) -> Result<Delivery, CallError> {
        let id: u64 =
            remote_ref.parse().map_err(|_| CallError::refused("no LAPI alert id was kept for this action"))?;
        let Some(alert) = self.api.alert(id, attempt.now_us).await? else {
            return Ok(delivered("LAPI has no such alert any more".to_owned(), None));
        };
        let mut deleted = 0;
        for decision in alert.decisions.iter().flatten().filter(|decision| decision.in_force()) {
            self.api.delete_decision(decision.id, attempt.now_us).await?;
            deleted += 1;
        }
        Ok(delivered(format!("{deleted} decisions deleted"), None))
    }
}

/// The alert at LAPI, read back: without a decision nobody is blocked, whatever the status said.
fn confirm(alert: &RemoteAlert) -> Delivery {
    match alert.decisions.iter().flatten().next() {
        Some(decision) => {
            let answer = format!("alert {}, decision {}, {} left", alert.id, decision.id, decision.duration);
            delivered(answer, Some(alert.id.to_string()))
        }
        None => Delivery::Failed {
            reason: "LAPI kept the alert and made no decision; an allowlist may hold the address".to_owned(),
            answer: format!("alert {} without decisions", alert.id),
        },
    }
}

fn delivered(answer: String, remote_ref: Option<String>) -> Delivery {
    Delivery::Delivered { answer, remote_ref }
}

/// What is asked of LAPI.
struct Ban {
    address: String,
    scenario: String,
    alert: Alert,
    seconds: i64,
    now: String,
}

#[derive(Deserialize)]
struct Message {
    data: Alert,
}

impl Ban {
    fn of(action: &Action, now_us: i64) -> Result<Ban, CallError> {
        let address = address_of(action).ok_or_else(|| CallError::refused("the entity is not one IP address"))?;
        let message: Message = serde_json::from_slice(&action.body)
            .map_err(|error| CallError::refused(&format!("the action's body is not an alert: {error}")))?;
        let left_us = action.expires_us.unwrap_or(now_us).saturating_sub(now_us);
        if left_us < 1_000_000 {
            return Err(CallError::refused("the block ends before it can begin"));
        }
        Ok(Ban {
            address: address.to_string(),
            scenario: format!("gatewatch/{}", action.detector),
            alert: message.data,
            seconds: left_us / 1_000_000,
            now: rfc3339(now_us),
        })
    }

    /// A ban ends at `stop_at` + duration, so `stop_at` is now and the duration is what is left.
    fn body(&self, action: &Action) -> serde_json::Value {
        let meta = |key: &str, value: &str| serde_json::json!({ "key": key, "value": value });
        serde_json::json!([{
            "scenario": self.scenario,
            "scenario_hash": "",
            "scenario_version": "",
            "message": format!("{} ({})", self.alert.title, self.alert.id),
            "events_count": self.alert.events.min(i32::MAX as u64),
            "start_at": self.alert.opened.as_str().min(self.now.as_str()),
            "stop_at": self.now,
            "capacity": 0,
            "leakspeed": "0s",
            "simulated": false,
            "remediation": true,
            "source": { "scope": "Ip", "value": self.address, "ip": self.address },
            "events": [{ "timestamp": self.now, "meta": [
                meta(api::ACTION_KEY, &action.id),
                meta("gatewatch_alert", &self.alert.id),
                meta("gatewatch_detector", &action.detector),
            ]}],
            "decisions": [{
                "origin": "gatewatch",
                "type": "ban",
                "scope": "Ip",
                "value": self.address,
                "duration": format!("{}s", self.seconds),
                "scenario": self.scenario,
            }],
        }])
    }
}

fn rfc3339(us: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(us).unwrap_or(chrono::DateTime::UNIX_EPOCH);
    time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::config::RespondConfig;
    use crate::respond::plan::{self, Route};

    fn action(now_us: i64) -> Action {
        let alert = plan::tests::alert("::ffff:203.0.113.7");
        let route = Route { target: "waf".to_owned(), kinds: vec![Kind::Block], dry_run: None };
        plan::plan(&alert, &["block".to_owned()], &RespondConfig::default(), &[route], now_us).remove(0)
    }

    #[test]
    fn the_ban_lasts_until_the_actions_end_however_late_it_is_sent() {
        let planned_us = 1_772_445_610_000_000; // 2026-03-02T10:00:10Z
        let action = action(planned_us);
        let late_us = planned_us + 890_000_000;
        let body = Ban::of(&action, late_us).ok().expect("a ban").body(&action);
        assert_eq!(body[0]["decisions"][0]["duration"], format!("{}s", 14_400 - 890));
        assert_eq!(body[0]["decisions"][0]["value"], "203.0.113.7");
        assert_eq!(body[0]["stop_at"], "2026-03-02T10:15:00.000000Z");
        assert_eq!(body[0]["start_at"], "2026-03-02T10:00:00.000000Z");
        assert_eq!(body[0]["scenario"], "gatewatch/auth-burst-ip");
        assert_eq!(body[0]["events"][0]["meta"][0]["value"], action.id);
        assert!(Ban::of(&action, planned_us + 14_400_000_000).is_err());
    }
}
