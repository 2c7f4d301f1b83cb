//! Splunk SOAR: an incident is a container, what it names are artifacts with CEF fields.
//!
//! Promises: one container per incident: our id is its `source_data_identifier`, which SOAR takes once. Playbooks run when
//! the last artifact is in, not before. Updates set the same fields to the same values, and an artifact is looked for
//! before it is added, because SOAR itself would add it twice.
//! Never: changes the owner, label or tags of a container, or the status of one that is closed.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use schemas::alert::{Entity, Severity};
use schemas::incident::Incident;
use serde_json::{Map, Value, json};

use super::case::{self, Api, Call, CaseSystem, Found, Telling, entities, filled, word};
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use crate::respond::action::{Kind, scrub};
use crate::respond::config::{Address, ConfigError, SecretRef};
use crate::respond::http::Answer;
use crate::respond::message::shorten;
use crate::respond::target::{Delivery, Order, Target};

const NAME_CHARS_MAX: usize = 255;
const TEXT_CHARS_MAX: usize = 16 * 1024;
const VALUE_CHARS_MAX: usize = 512;
/// Artifacts of one container; the subject comes first, so it is always among them.
const ARTIFACTS_MAX: usize = 100;

http_target_config! {
    /// `respond.targets.splunk_soar`
    pub struct Config {
        /// Such as `https://soar.example.com:8443`.
        pub url: Address,
        /// Of an automation user.
        pub token: SecretRef,
        /// The container's label; it must exist there.
        #[serde(default = "default_label")]
        pub label: String,
        #[serde(default = "default_sensitivity")]
        pub sensitivity: String,
        #[serde(default)]
        pub tags: Vec<String>,
        /// Let the playbooks of the label run on new artifacts.
        #[serde(default = "yes")]
        pub run_automation: bool,
        /// The status of a container whose incident is over; empty leaves it as it is.
        #[serde(default = "default_close_status")]
        pub close_status: String,
    }
    able: &[Kind::Case]; by default: Config::ABLE;
}

fn default_label() -> String {
    "events".to_owned()
}

fn default_sensitivity() -> String {
    "amber".to_owned()
}

fn yes() -> bool {
    true
}

fn default_close_status() -> String {
    "closed".to_owned()
}

impl TargetConfig for Config {
    fn common(&self) -> Common {
        self.as_common()
    }

    fn able(&self) -> &'static [Kind] {
        Config::ABLE
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        filled(at, "label", &self.label, "a label that exists there, such as events")?;
        if !["white", "green", "amber", "red"].contains(&self.sensitivity.as_str()) {
            let problem = format!("`{}` is no sensitivity; expected white, green, amber or red", self.sensitivity);
            return Err(ConfigError::new(format!("{at}.sensitivity"), problem));
        }
        check_url(at, "url", &self.url, &self.reach())
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        std::iter::once(&self.token).chain(secrets_of(Some(&self.url), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let token = make.secret("token", &self.token)?;
        let headers = case::secret_header("ph-auth-token", &make.at, "token", &token)?;
        let api = Api::new("Splunk SOAR", make, &self.url, &self.reach(), headers)?;
        Ok(Arc::new(SplunkSoar { api, config: self.clone() }))
    }
}

pub struct SplunkSoar {
    api: Api,
    config: Config,
}

impl Target for SplunkSoar {
    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        case::carry_out(self, order).boxed()
    }
}

impl CaseSystem for SplunkSoar {
    async fn find(&self, telling: &Telling) -> Result<Option<Found>, Delivery> {
        let wanted = format!("\"{}\"", telling.incident().id.replace('"', ""));
        let query = [("_filter_source_data_identifier", wanted.as_str()), ("page_size", "1")];
        let call = Call::get("finding the container", &["rest", "container"], &query);
        let answer = self.ask(&call, telling).await?;
        let found = answer["data"].as_array().ok_or_else(|| self.api.not_understood(&call, &answer))?;
        match found.first() {
            Some(container) => {
                let case = word(&container["id"]).ok_or_else(|| self.api.not_understood(&call, &answer))?;
                Ok(Some(Found { case, told: false }))
            }
            None => Ok(None),
        }
    }

    /// Container and artifacts in one call: there is no time at which it is half there, and SOAR starts the playbooks after
    /// the last artifact by itself.
    async fn open(&self, telling: &Telling) -> Result<String, Delivery> {
        let incident = telling.incident();
        let mut body = self.state(telling);
        let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
        set("label", self.config.label.as_str().into());
        set("sensitivity", self.config.sensitivity.as_str().into());
        set("status", "new".into());
        set("source_data_identifier", incident.id.as_str().into());
        set("start_time", incident.opened.as_str().into());
        set("tags", json!(self.config.tags));
        let mut artifacts: Vec<Value> = artifacts(incident).collect();
        if !self.config.run_automation {
            set("run_automation", false.into());
            artifacts.iter_mut().for_each(|artifact| artifact["run_automation"] = false.into());
        }
        set("artifacts", artifacts.into());
        let body = Value::Object(body);
        let call = Call::post("opening the container", &["rest", "container"], &body);
        let answer = self.api.send(&call, telling.now_us).await?;
        let container: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        // An attempt whose answer got lost made it between our look and now.
        if let Some(existing) = word(&container["existing_container_id"]) {
            return Ok(existing);
        }
        let container = self.understand(&call, &answer)?;
        word(&container["id"]).ok_or_else(|| self.api.not_understood(&call, &container))
    }

    async fn update(&self, case: &str, telling: &Telling) -> Result<String, Delivery> {
        let path = ["rest", "container", case];
        let body = Value::Object(self.state(telling));
        self.ask(&Call::post("updating the container", &path, &body), telling).await?;
        let added = self.add_artifacts(case, telling).await?;
        Ok(format!("updated, {added} artifacts added"))
    }

    async fn close(&self, case: &str, telling: &Telling) -> Result<String, Delivery> {
        let path = ["rest", "container", case];
        let call = Call::get("reading the container", &path, &[]);
        let answer = self.ask(&call, telling).await?;
        let status = word(&answer["status"]).ok_or_else(|| self.api.not_understood(&call, &answer))?;
        let over = ["closed", "resolved", &self.config.close_status].contains(&status.as_str());
        let mut body = self.state(telling);
        if !over && !self.config.close_status.is_empty() {
            body.insert("status".to_owned(), self.config.close_status.as_str().into());
        }
        let body = Value::Object(body);
        self.ask(&Call::post("closing the container", &path, &body), telling).await?;
        Ok(if over { format!("updated; it is {status} already") } else { "closed".to_owned() })
    }
}

impl SplunkSoar {
    /// What changes over the life of a container.
    fn state(&self, telling: &Telling) -> Map<String, Value> {
        Map::from_iter([
            ("name".to_owned(), telling.headline(NAME_CHARS_MAX).into()),
            ("description".to_owned(), telling.lines(TEXT_CHARS_MAX).into()),
            ("severity".to_owned(), severity(telling.incident().severity).into()),
        ])
    }

    /// Add what the incident names and the container does not hold yet; how many.
    async fn add_artifacts(&self, case: &str, telling: &Telling) -> Result<usize, Delivery> {
        let (page, container) = (ARTIFACTS_MAX.to_string(), case);
        let query = [("_filter_container", container), ("page_size", page.as_str())];
        let call = Call::get("reading the artifacts", &["rest", "artifact"], &query);
        let answer = self.ask(&call, telling).await?;
        let there = answer["data"].as_array().ok_or_else(|| self.api.not_understood(&call, &answer))?;
        let number: u64 =
            case.parse().map_err(|_| Delivery::failed(format!("`{case}` is no number of a container")))?;
        let id = |artifact: &Value| artifact["source_data_identifier"].clone();
        let missing: Vec<Value> = artifacts(telling.incident())
            .filter(|artifact| !there.iter().any(|one| id(one) == id(artifact)))
            .take(ARTIFACTS_MAX.saturating_sub(there.len()))
            .collect();
        let added = missing.len();
        for (n, mut artifact) in missing.into_iter().enumerate() {
            artifact["container_id"] = number.into();
            artifact["run_automation"] = (self.config.run_automation && n + 1 == added).into();
            self.ask(&Call::post("adding an artifact", &["rest", "artifact"], &artifact), telling).await?;
        }
        Ok(added)
    }

    async fn ask(&self, call: &Call<'_>, telling: &Telling) -> Result<Value, Delivery> {
        let answer = self.api.send(call, telling.now_us).await?;
        self.understand(call, &answer)
    }

    /// SOAR tells some failures with 200 and `failed`.
    fn understand(&self, call: &Call<'_>, answer: &Answer) -> Result<Value, Delivery> {
        if !answer.status.is_success() {
            return Err(self.api.refusal(call, answer));
        }
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if value["failed"] == true {
            let reason = format!("Splunk SOAR refused ({})", call.what());
            return Err(Delivery::Failed { reason, answer: answer.text() });
        }
        if value.is_object() { Ok(value) } else { Err(self.api.not_understood(call, &value)) }
    }
}

fn artifacts(incident: &Incident) -> impl Iterator<Item = Value> {
    entities(incident).into_iter().take(ARTIFACTS_MAX).map(|entity| artifact(incident, entity))
}

fn artifact(incident: &Incident, entity: &Entity) -> Value {
    let value = shorten(&scrub(&entity.value), VALUE_CHARS_MAX);
    let (field, contains) = field(&entity.kind);
    let mut cef = json!({ "deviceVendor": "Gatewatch", "externalId": incident.id, "message": incident.title });
    cef[field] = value.as_str().into();
    let mut artifact = json!({
        "name": format!("{} {value}", entity.kind),
        "label": "event",
        "source_data_identifier": format!("{}:{}:{value}", incident.id, entity.kind),
        "severity": severity(incident.severity),
        "cef": cef,
    });
    if !contains.is_empty() {
        artifact["cef_types"] = json!({ field: [contains] });
    }
    artifact
}

/// The CEF field of a kind of entity, and what it contains, by which playbooks choose their actions.
fn field(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "client_ip" => ("sourceAddress", "ip"),
        "principal" => ("sourceUserName", "user name"),
        "network" | "range" => ("sourceNetwork", ""),
        "endpoint" => ("apiEndpoint", ""),
        "credential" => ("apiCredential", ""),
        "tenant" => ("apiTenant", ""),
        _ => ("entity", ""),
    }
}

/// SOAR comes with three.
fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info | Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High | Severity::Critical => "high",
    }
}
