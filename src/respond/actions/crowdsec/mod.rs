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
use schemas::Message;

use self::api::{Api, CallError, RemoteAlert};
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use crate::respond::action::{Action, Kind, Op};
use crate::respond::config::{Address, ConfigError, SecretRef};
use crate::respond::message;
use crate::respond::scope::Scope;
use crate::respond::target::{Attempt, Delivery, Order, ReadBack, Target};

http_target_config! {
    /// `respond.targets.crowdsec`
    pub struct Config {
        /// Of the local API, such as `http://127.0.0.1:8080`.
        pub url: Address,
        /// A machine made with `cscli machines add`.
        pub machine_id: String,
        pub password: SecretRef,
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
        if self.machine_id.is_empty() {
            return Err(ConfigError::new(format!("{at}.machine_id"), "the name given to `cscli machines add`"));
        }
        check_url(at, "url", &self.url, &self.reach())
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        std::iter::once(&self.password).chain(secrets_of(Some(&self.url), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let reach = self.reach();
        let (url, client) = (make.url("url", &self.url, &reach)?, make.client(&reach)?);
        let password = make.secret("password", &self.password)?;
        Ok(Arc::new(Crowdsec { api: Api::new(client, url, self.machine_id.clone(), password) }))
    }
}

pub struct Crowdsec {
    api: Api,
}

impl Target for Crowdsec {
    /// Its database is a file by default: of two writes at once it may answer one with an error and keep half of it, a
    /// decision that no look finds.
    fn concurrency_max(&self) -> Option<usize> {
        Some(1)
    }

    fn ends_by_itself(&self) -> bool {
        true
    }

    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        let Order { action, attempt, remote_ref } = order;
        async move {
            let done = match action.op {
                Op::Apply => self.block(action, attempt).await,
                // `remote_ref` is the id of our alert at LAPI; its decisions are deleted.
                Op::Revert => self.unblock(action, remote_ref, attempt).await,
            };
            done.unwrap_or_else(CallError::into_delivery)
        }
        .boxed()
    }

    fn read_back(&self, now_us: i64) -> BoxFuture<'_, ReadBack> {
        async move { self.api.in_force(now_us).await.map(Some).map_err(|error| error.into_delivery().into()) }.boxed()
    }
}

impl Crowdsec {
    async fn block(&self, action: &Action, attempt: Attempt) -> Result<Delivery, CallError> {
        let ban = Ban::of(action, attempt.now_us)?;
        // The first attempt cannot have been made before; each later one may follow a post whose answer got lost.
        let posted = match attempt.number {
            0 | 1 => None,
            _ => self.api.find(&ban.scope, &ban.scenario, &action.id, attempt.now_us).await?,
        };
        let remote = match posted {
            Some(alert) => alert,
            None => self.api.post(&ban.body(action), attempt.now_us).await?,
        };
        Ok(confirm(&remote))
    }

    async fn unblock(
        &self,
        action: &Action,
        remote_ref: Option<&str>,
        attempt: Attempt,
    ) -> Result<Delivery, CallError> {
        let alert = match remote_ref.and_then(|id| id.parse().ok()) {
            Some(id) => self.api.alert(id, attempt.now_us).await?,
            // Its answer got lost, so it has to be looked for.
            None => {
                let scope = Scope::of(action).ok_or_else(|| CallError::refused("the entity is no address"))?;
                let undone = action.undoes.as_deref().unwrap_or(&action.id);
                self.api.find(&scope, &scenario_of(action), undone, attempt.now_us).await?
            }
        };
        let Some(alert) = alert else {
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

fn scenario_of(action: &Action) -> String {
    format!("gatewatch/{}", action.detector)
}

/// What is asked of LAPI.
struct Ban {
    scope: Scope,
    scenario: String,
    message: Message,
    seconds: i64,
    now: String,
}

impl Ban {
    fn of(action: &Action, now_us: i64) -> Result<Ban, CallError> {
        let scope =
            Scope::of(action).ok_or_else(|| CallError::refused("the entity is neither an IP address nor a network"))?;
        let message = message::read(action).map_err(|problem| CallError::refused(&problem))?;
        let left_us = action.expires_us.unwrap_or(now_us).saturating_sub(now_us);
        if left_us < 1_000_000 {
            return Err(CallError::refused("the block ends before it can begin"));
        }
        Ok(Ban { scope, scenario: scenario_of(action), message, seconds: left_us / 1_000_000, now: rfc3339(now_us) })
    }

    /// A ban ends at `stop_at` + duration, so `stop_at` is now and the duration is what is left.
    fn body(&self, action: &Action) -> serde_json::Value {
        let meta = |key: &str, value: &str| serde_json::json!({ "key": key, "value": value });
        let incident = &self.message.incident;
        let events = self.message.alert.as_ref().map_or(1, |alert| alert.events);
        let (kind, value) = (if self.scope.is_address() { "Ip" } else { "Range" }, self.scope.to_string());
        let mut source = serde_json::json!({ "scope": kind, "value": value });
        source[if self.scope.is_address() { "ip" } else { "range" }] = value.as_str().into();
        serde_json::json!([{
            "scenario": self.scenario,
            "scenario_hash": "",
            "scenario_version": "",
            "message": format!("{} ({})", incident.title, incident.id),
            "events_count": events.min(i32::MAX as u64),
            "start_at": incident.opened.as_str().min(self.now.as_str()),
            "stop_at": self.now,
            "capacity": 0,
            "leakspeed": "0s",
            "simulated": false,
            "remediation": true,
            "source": source,
            "events": [{ "timestamp": self.now, "meta": [
                meta(api::ACTION_KEY, &action.id),
                meta("gatewatch_incident", &incident.id),
                meta("gatewatch_alert", &action.alert_id),
                meta("gatewatch_detector", &action.detector),
            ]}],
            "decisions": [{
                "origin": api::ORIGIN,
                "type": "ban",
                "scope": kind,
                "value": value,
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
    use crate::respond::message::tests::action as planned;
    use schemas::incident::Event;

    #[test]
    fn the_ban_lasts_until_the_actions_end_however_late_it_is_sent() {
        let planned_us = 1_772_445_610_000_000; // 2026-03-02T10:00:10Z
        let action = Action { expires_us: Some(planned_us + 14_400_000_000), ..planned(Event::Open, Kind::Block) };
        let action = Action { entity_value: "::ffff:203.0.113.7".to_owned(), ..action };
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

    #[test]
    fn a_network_is_a_range() {
        let action = Action {
            entity_kind: "network".to_owned(),
            entity_value: "2001:db8::/64".to_owned(),
            ..planned(Event::Open, Kind::Block)
        };
        let body = Ban::of(&action, action.created_us).ok().expect("a ban").body(&action);
        assert_eq!(
            body[0]["source"],
            serde_json::json!({ "scope": "Range", "value": "2001:db8::/64", "range": "2001:db8::/64" })
        );
        assert_eq!(body[0]["decisions"][0]["scope"], "Range");
    }
}
