//! TheHive 5: an incident is an alert in its inbox, kept up to date until it is over; what it names are observables.
//!
//! Promises: one alert per incident: `type`, `source` and the incident's id as `sourceRef` are unique there, so a second
//! creation is refused by TheHive itself and the alert that is there is taken. Updates set the same fields to the same
//! values however often they are delivered. What clients chose stands in a code block.
//! Never: touches a case that an analyst made of the alert, or the status of an alert that is imported or closed.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::StatusCode;
use schemas::alert::{Entity, Severity};
use schemas::incident::Incident;
use serde_json::{Value, json};

use super::case::{self, Api, Call, CaseSystem, Found, Telling, entities, filled, word};
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use crate::respond::action::{Kind, scrub};
use crate::respond::config::{Address, ConfigError, SecretRef};
use crate::respond::message::shorten;
use crate::respond::scope::Scope;
use crate::respond::target::{Delivery, Order, Target};

/// The longest title that TheHive takes, and what we put into a description, which may be far longer.
const TITLE_CHARS_MAX: usize = 512;
const TEXT_CHARS_MAX: usize = 32 * 1024;
const OBSERVABLE_CHARS_MAX: usize = 512;
/// Observables of one alert; the subject comes first, so it is always among them.
const OBSERVABLES_MAX: usize = 100;

http_target_config! {
    /// `respond.targets.thehive`
    pub struct Config {
        /// Such as `https://thehive.example.com`.
        pub url: Address,
        /// The API key of a user of the organisation.
        pub token: SecretRef,
        /// Where the user belongs to several.
        #[serde(default)]
        pub organisation: Option<String>,
        /// The alert's `type`.
        #[serde(default = "default_type")]
        pub alert_type: String,
        /// The alert's `source`; two Gatewatches that tell one TheHive need two.
        #[serde(default = "default_source")]
        pub source: String,
        #[serde(default)]
        pub tags: Vec<String>,
        /// 0 clear, 1 green, 2 amber, 3 amber and strict, 4 red.
        #[serde(default = "default_tlp")]
        pub tlp: u8,
        #[serde(default = "default_tlp")]
        pub pap: u8,
        /// The status of an alert whose incident is over; empty leaves it as it is.
        #[serde(default = "default_close")]
        pub close_status: String,
    }
    able: &[Kind::Case]; by default: Config::ABLE;
}

fn default_type() -> String {
    "api-security".to_owned()
}

fn default_source() -> String {
    "gatewatch".to_owned()
}

fn default_tlp() -> u8 {
    2
}

fn default_close() -> String {
    "Ignored".to_owned()
}

impl TargetConfig for Config {
    fn common(&self) -> Common {
        self.as_common()
    }

    fn able(&self) -> &'static [Kind] {
        Config::ABLE
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        filled(at, "alert_type", &self.alert_type, "a word such as api-security")?;
        filled(at, "source", &self.source, "a word such as gatewatch")?;
        if self.tlp > 4 {
            return Err(ConfigError::new(format!("{at}.tlp"), "between 0 (clear) and 4 (red)"));
        }
        if self.pap > 3 {
            return Err(ConfigError::new(format!("{at}.pap"), "between 0 (clear) and 3 (red)"));
        }
        check_url(at, "url", &self.url, &self.reach())
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        std::iter::once(&self.token).chain(secrets_of(Some(&self.url), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let token = make.secret("token", &self.token)?;
        let mut headers = case::bearer(&make.at, "token", &token)?;
        if let Some(organisation) = &self.organisation {
            let wrong =
                |_| ConfigError::new(format!("{}.organisation", make.at), "holds characters that no header can carry");
            headers.insert("x-organisation", organisation.parse().map_err(wrong)?);
        }
        let api = Api::new("TheHive", make, &self.url, &self.reach(), headers)?;
        Ok(Arc::new(TheHive { api, config: self.clone() }))
    }
}

pub struct TheHive {
    api: Api,
    config: Config,
}

impl Target for TheHive {
    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        case::carry_out(self, order).boxed()
    }
}

impl CaseSystem for TheHive {
    async fn find(&self, telling: &Telling) -> Result<Option<Found>, Delivery> {
        let is = |field: &str, value: &str| json!({ "_eq": { "_field": field, "_value": value } });
        let body = json!({ "query": [
            { "_name": "listAlert" },
            { "_name": "filter", "_and": [
                is("type", &self.config.alert_type),
                is("source", &self.config.source),
                is("sourceRef", &telling.incident().id),
            ]},
            { "_name": "page", "from": 0, "to": 1 },
        ]});
        let call = Call::post("finding the alert", &["api", "v1", "query"], &body).with(&[("name", "alerts")]);
        let answer = self.api.ask(&call, telling.now_us).await?;
        let alerts = answer.as_array().ok_or_else(|| self.api.not_understood(&call, &answer))?;
        match alerts.first() {
            Some(alert) => {
                let case = word(&alert["_id"]).ok_or_else(|| self.api.not_understood(&call, &answer))?;
                Ok(Some(Found { case, told: false }))
            }
            None => Ok(None),
        }
    }

    async fn open(&self, telling: &Telling) -> Result<String, Delivery> {
        let incident = telling.incident();
        let own = ["gatewatch".to_owned()];
        let tags = own.iter().chain(&incident.owasp).chain(&incident.attack).chain(&self.config.tags);
        let mut body = self.state(telling);
        body["type"] = self.config.alert_type.as_str().into();
        body["source"] = self.config.source.as_str().into();
        body["sourceRef"] = incident.id.as_str().into();
        body["tags"] = json!(tags.collect::<Vec<_>>());
        body["tlp"] = self.config.tlp.into();
        body["pap"] = self.config.pap.into();
        if let Ok(opened) = chrono::DateTime::parse_from_rfc3339(&incident.opened) {
            body["date"] = opened.timestamp_millis().into();
        }
        body["observables"] = observables(incident).into();
        let call = Call::post("opening the alert", &["api", "v1", "alert"], &body);
        let answer = self.api.send(&call, telling.now_us).await?;
        if answer.status == StatusCode::BAD_REQUEST && answer.text().contains("already exist") {
            // An attempt whose answer got lost made it between our look and now.
            let found = self.find(telling).await?;
            return found.map(|found| found.case).ok_or_else(|| self.api.refusal(&call, &answer));
        }
        if !answer.status.is_success() {
            return Err(self.api.refusal(&call, &answer));
        }
        let alert: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        word(&alert["_id"]).ok_or_else(|| self.api.not_understood(&call, &alert))
    }

    async fn update(&self, case: &str, telling: &Telling) -> Result<String, Delivery> {
        self.set(case, self.state(telling), telling).await?;
        let added = self.add_observables(case, telling).await?;
        Ok(format!("updated, {added} observables added"))
    }

    async fn close(&self, case: &str, telling: &Telling) -> Result<String, Delivery> {
        let call_path = ["api", "v1", "alert", case];
        let call = Call::get("reading the alert", &call_path, &[]);
        let alert = self.api.ask(&call, telling.now_us).await?;
        let mut state = self.state(telling);
        let stage = word(&alert["stage"]).unwrap_or_default();
        let done = match stage.as_str() {
            "Imported" => "updated; an analyst has made a case of it",
            "Closed" => "updated; it is closed already",
            _ if self.config.close_status.is_empty() => "updated",
            _ => {
                state["status"] = self.config.close_status.as_str().into();
                "closed"
            }
        };
        self.set(case, state, telling).await?;
        Ok(done.to_owned())
    }
}

impl TheHive {
    /// What changes over the life of an alert.
    fn state(&self, telling: &Telling) -> Value {
        let facts = telling.lines(TEXT_CHARS_MAX).replace("```", "'''");
        json!({
            "title": telling.headline(TITLE_CHARS_MAX),
            "description": format!("```\n{facts}\n```"),
            "severity": severity(telling.incident().severity),
        })
    }

    async fn set(&self, case: &str, state: Value, telling: &Telling) -> Result<(), Delivery> {
        let path = ["api", "v1", "alert", case];
        self.api.ask(&Call::patch("updating the alert", &path, &state), telling.now_us).await.map(drop)
    }

    /// Add what the incident names and the alert does not hold yet; how many.
    async fn add_observables(&self, case: &str, telling: &Telling) -> Result<usize, Delivery> {
        let body = json!({ "query": [
            { "_name": "getAlert", "idOrName": case },
            { "_name": "observables" },
            { "_name": "page", "from": 0, "to": OBSERVABLES_MAX },
        ]});
        let call = Call::post("reading the observables", &["api", "v1", "query"], &body);
        let call = call.with(&[("name", "alert-observables")]);
        let answer = self.api.ask(&call, telling.now_us).await?;
        let there = answer.as_array().ok_or_else(|| self.api.not_understood(&call, &answer))?;
        let same = |one: &Value, other: &Value| one["dataType"] == other["dataType"] && one["data"] == other["data"];
        let mut added = 0;
        for observable in observables(telling.incident()) {
            if there.len() + added >= OBSERVABLES_MAX || there.iter().any(|one| same(one, &observable)) {
                continue;
            }
            let path = ["api", "v1", "alert", case, "observable"];
            self.api.ask(&Call::post("adding an observable", &path, &observable), telling.now_us).await?;
            added += 1;
        }
        Ok(added)
    }
}

fn observables(incident: &Incident) -> Vec<Value> {
    entities(incident).into_iter().take(OBSERVABLES_MAX).map(observable).collect()
}

fn observable(entity: &Entity) -> Value {
    let address = Scope::of_entity(&entity.kind, &entity.value).filter(Scope::is_address);
    let (kind, data) = match address {
        Some(address) => ("ip", address.to_string()),
        None => ("other", shorten(&scrub(&entity.value), OBSERVABLE_CHARS_MAX)),
    };
    json!({ "dataType": kind, "data": data, "message": entity.kind, "tags": ["gatewatch"] })
}

/// TheHive knows four: low, medium, high, critical.
fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Info | Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}
