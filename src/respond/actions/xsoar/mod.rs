//! Cortex XSOAR 8 and 6: an incident there for each incident here, with its details kept up to date until it is closed.
//!
//! Promises: one incident per incident: it carries our id in a field, `dbotMirrorId` unless configured otherwise, by which
//! it is searched before one is made. Updates set details and severity to the same values however often they are
//! delivered, and give way to somebody who changed the incident at the same moment. A closed one stays closed.
//! Never: writes to the war room, where text can be a command.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::HeaderMap;
use schemas::alert::Severity;
use schemas::incident::Verdict;
use serde_json::{Value, json};

use super::case::{self, Api, Call, CaseSystem, Found, Telling, filled, word};
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use crate::respond::action::Kind;
use crate::respond::config::{Address, ConfigError, SecretRef};
use crate::respond::target::{Delivery, Order, Target};

const NAME_CHARS_MAX: usize = 200;
const TEXT_CHARS_MAX: usize = 16 * 1024;
/// The field that XSOAR's integrations keep the id of a mirrored incident in.
const MIRROR_ID: &str = "dbotMirrorId";
/// `status` of an incident: 0 pending, 1 active, 2 closed, 3 archived.
const CLOSED: u64 = 2;

fn default_version() -> u8 {
    8
}

http_target_config! {
    /// `respond.targets.xsoar`
    pub struct Config {
        /// Of the API: `https://api-example.xdr.eu.paloaltonetworks.com` for 8, `https://xsoar.example.com` for 6.
        pub url: Address,
        /// 8, or 6.
        #[serde(default = "default_version")]
        pub version: u8,
        pub key: SecretRef,
        /// The number that belongs to the key; 8 has one, 6 has none.
        #[serde(default)]
        pub key_id: Option<u64>,
        #[serde(default = "default_type")]
        pub incident_type: String,
        /// The field for our id: `dbotMirrorId`, or the short name of a custom field, in small letters.
        #[serde(default = "default_id_field")]
        pub id_field: String,
        /// Further custom fields of a new incident, by their short names.
        #[serde(default)]
        pub custom_fields: BTreeMap<String, Value>,
        /// Start the investigation and its playbook at once.
        #[serde(default = "yes")]
        pub investigate: bool,
        /// The reason for closing; an incident with the verdict `false` is closed as `False Positive`. Empty leaves it open.
        #[serde(default = "default_close_reason")]
        pub close_reason: String,
    }
    able: &[Kind::Case]; by default: Config::ABLE;
}

fn default_type() -> String {
    "Unclassified".to_owned()
}

fn default_id_field() -> String {
    MIRROR_ID.to_owned()
}

fn yes() -> bool {
    true
}

fn default_close_reason() -> String {
    "Resolved".to_owned()
}

impl TargetConfig for Config {
    fn common(&self) -> Common {
        self.as_common()
    }

    fn able(&self) -> &'static [Kind] {
        Config::ABLE
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        let wrong = |key: &str, problem: String| Err(ConfigError::new(format!("{at}.{key}"), problem));
        match (self.version, self.key_id) {
            (8, None) => return wrong("key_id", "version 8 needs the number of the key".to_owned()),
            (6, Some(_)) => return wrong("key_id", "version 6 knows none; leave it out".to_owned()),
            (6 | 8, _) => {}
            (other, _) => return wrong("version", format!("{other} is not known here; expected 8 or 6")),
        }
        let short = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if self.id_field != MIRROR_ID && !short(&self.id_field) {
            let expected = "expected dbotMirrorId, or the short name of a custom field: small letters and digits";
            return wrong("id_field", format!("`{}` is no name of a field; {expected}", self.id_field));
        }
        if let Some(name) = self.custom_fields.keys().find(|name| !short(name)) {
            let expected = "small letters and digits, `Scan IP` is scanip";
            return wrong("custom_fields", format!("`{name}` is no short name of a custom field: {expected}"));
        }
        filled(at, "incident_type", &self.incident_type, "the name of an incident type")?;
        check_url(at, "url", &self.url, &self.reach())
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        std::iter::once(&self.key).chain(secrets_of(Some(&self.url), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let key = make.secret("key", &self.key)?;
        let mut headers: HeaderMap = case::secret_header("authorization", &make.at, "key", &key)?;
        if let Some(id) = self.key_id {
            headers.insert("x-xdr-auth-id", id.into());
        }
        let api = Api::new("XSOAR", make, &self.url, &self.reach(), headers)?;
        Ok(Arc::new(Xsoar { api, config: self.clone() }))
    }
}

pub struct Xsoar {
    api: Api,
    config: Config,
}

impl Target for Xsoar {
    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        case::carry_out(self, order).boxed()
    }
}

/// An incident there, as far as we look at it.
struct Remote {
    id: String,
    /// For optimistic locking: a change that names another one is refused.
    version: i64,
    status: u64,
}

impl CaseSystem for Xsoar {
    async fn find(&self, telling: &Telling) -> Result<Option<Found>, Delivery> {
        let id = telling.incident().id.replace(['"', '\\'], "");
        let found = self.search(json!({ "query": format!("{}:\"{id}\"", self.config.id_field) }), telling).await?;
        Ok(found.map(|remote| Found { case: remote.id, told: false }))
    }

    async fn open(&self, telling: &Telling) -> Result<String, Delivery> {
        let incident = telling.incident();
        let mut custom = self.config.custom_fields.clone();
        let mut body = json!({
            "name": telling.headline(NAME_CHARS_MAX),
            "type": self.config.incident_type,
            "severity": severity(incident.severity),
            "details": telling.lines(TEXT_CHARS_MAX),
            "occurred": incident.opened,
            "createInvestigation": self.config.investigate,
        });
        if self.config.id_field == MIRROR_ID {
            body[MIRROR_ID] = incident.id.as_str().into();
        } else {
            custom.insert(self.config.id_field.clone(), incident.id.as_str().into());
        }
        if !custom.is_empty() {
            let key = if self.config.version == 6 { "CustomFields" } else { "customFields" };
            body[key] = json!(custom);
        }
        let path = self.path(&["incident"]);
        let call = Call::post("opening the incident", &path, &body);
        let answer = self.api.ask(&call, telling.now_us).await?;
        word(&answer["id"]).ok_or_else(|| self.api.not_understood(&call, &answer))
    }

    async fn update(&self, case: &str, telling: &Telling) -> Result<String, Delivery> {
        let remote = self.read(case, telling).await?;
        if remote.status >= CLOSED {
            return Ok("is closed already".to_owned());
        }
        let body = json!({
            "id": remote.id,
            "version": remote.version,
            "severity": severity(telling.incident().severity),
            "details": telling.lines(TEXT_CHARS_MAX),
        });
        let path = self.path(&["incident"]);
        self.change(&Call::post("updating the incident", &path, &body), telling).await?;
        Ok("updated".to_owned())
    }

    async fn close(&self, case: &str, telling: &Telling) -> Result<String, Delivery> {
        if self.config.close_reason.is_empty() {
            return self.update(case, telling).await;
        }
        let remote = self.read(case, telling).await?;
        if remote.status >= CLOSED {
            return Ok("is closed already".to_owned());
        }
        let reason = match telling.incident().verdict {
            Some(Verdict::False) => "False Positive",
            _ => &self.config.close_reason,
        };
        let body = json!({
            "id": remote.id,
            "version": remote.version,
            "closeReason": reason,
            "closeNotes": telling.lines(TEXT_CHARS_MAX),
        });
        let path = self.path(&["incident", "close"]);
        self.change(&Call::post("closing the incident", &path, &body), telling).await?;
        Ok("closed".to_owned())
    }
}

impl Xsoar {
    fn path<'a>(&self, rest: &[&'a str]) -> Vec<&'a str> {
        let prefix: &[&str] = match self.config.version {
            6 => &[],
            _ => &["xsoar", "public", "v1"],
        };
        [prefix, rest].concat()
    }

    async fn search(&self, mut filter: Value, telling: &Telling) -> Result<Option<Remote>, Delivery> {
        // Without a size the answer is empty.
        (filter["page"], filter["size"]) = (0.into(), 1.into());
        let body = json!({ "filter": filter });
        let path = self.path(&["incidents", "search"]);
        let call = Call::post("finding the incident", &path, &body);
        let answer = self.api.ask(&call, telling.now_us).await?;
        let found = match &answer["data"] {
            Value::Array(found) => found.first(),
            Value::Null if answer["total"].is_u64() => None,
            _ => return Err(self.api.not_understood(&call, &answer)),
        };
        let Some(found) = found else { return Ok(None) };
        match (word(&found["id"]), found["version"].as_i64(), found["status"].as_u64()) {
            (Some(id), Some(version), Some(status)) => Ok(Some(Remote { id, version, status })),
            _ => Err(self.api.not_understood(&call, &answer)),
        }
    }

    async fn read(&self, case: &str, telling: &Telling) -> Result<Remote, Delivery> {
        let found = self.search(json!({ "id": [case] }), telling).await?;
        found.ok_or_else(|| Delivery::failed(format!("incident {case} is not in XSOAR, or not visible with this key")))
    }

    /// A change that somebody else's overtook is tried again with what they made of it.
    async fn change(&self, call: &Call<'_>, telling: &Telling) -> Result<(), Delivery> {
        let answer = self.api.send(call, telling.now_us).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        let text = answer.text();
        match self.api.refusal(call, &answer) {
            Delivery::Failed { reason, answer } if text.to_lowercase().contains("version") => {
                Err(Delivery::Retry { after: None, reason: format!("{reason}: changed at the same moment"), answer })
            }
            other => Err(other),
        }
    }
}

/// XSOAR's numbers: 0.5 informational, 1 low, 2 medium, 3 high, 4 critical.
fn severity(severity: Severity) -> Value {
    match severity {
        Severity::Info => json!(0.5),
        Severity::Low => json!(1),
        Severity::Medium => json!(2),
        Severity::High => json!(3),
        Severity::Critical => json!(4),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_version_has_its_key_id_or_has_none_and_fields_have_short_names() {
        let refused = |rest: &str| {
            let text = format!("xsoar: [{{ name: x, url: 'https://xsoar.example.com', key: {{ env: K }}, {rest} }}]");
            let config: crate::respond::actions::TargetsConfig = serde_saphyr::from_str(&text).expect(&text);
            config.check().expect_err(&text).at
        };
        assert_eq!(refused("version: 8"), "targets.xsoar[0].key_id");
        assert_eq!(refused("version: 6, key_id: 3"), "targets.xsoar[0].key_id");
        assert_eq!(refused("version: 7"), "targets.xsoar[0].version");
        assert_eq!(refused("key_id: 3, id_field: 'Gatewatch Id'"), "targets.xsoar[0].id_field");
        assert_eq!(refused("key_id: 3, custom_fields: { 'Scan IP': x }"), "targets.xsoar[0].custom_fields");
    }
}
