//! ServiceNow by its Table API: an incident is a record, its changes are work notes, its end is a state.
//!
//! Promises: one record per incident: it carries our id as `correlation_id`, by which it is found before one is made. A
//! note is written once. A record that is resolved, closed or cancelled already keeps its state.
//! Never: changes a field that the team works with after the record was made, but those of closing.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::StatusCode;
use schemas::alert::Severity;
use serde_json::{Map, Value, json};

use super::case::{self, Api, Call, CaseSystem, Found, Telling, break_up, filled, word};
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use crate::respond::action::Kind;
use crate::respond::config::{Address, ConfigError, SecretRef};
use crate::respond::target::{Delivery, Order, Target};

/// The lengths of `short_description`, and of the texts that we write; the columns are longer.
const SUMMARY_CHARS_MAX: usize = 160;
const TEXT_CHARS_MAX: usize = 4000;
const OWN_FIELDS: [&str; 5] =
    ["short_description", "description", "correlation_id", "correlation_display", "work_notes"];

http_target_config! {
    /// `respond.targets.servicenow`
    pub struct Config {
        /// Such as `https://example.service-now.com`.
        pub url: Address,
        /// With `password`, basic authentication.
        #[serde(default)]
        pub user: Option<String>,
        #[serde(default)]
        pub password: Option<SecretRef>,
        /// An OAuth access token, instead of user and password.
        #[serde(default)]
        pub token: Option<SecretRef>,
        #[serde(default = "default_table")]
        pub table: String,
        /// Further fields of a new record, such as `assignment_group` and `caller_id`. They win over `impact` and `urgency`,
        /// which follow from the severity.
        #[serde(default)]
        pub fields: BTreeMap<String, String>,
        /// The state of a record whose incident is over; empty leaves it as it is.
        #[serde(default = "default_close_state")]
        pub close_state: String,
        #[serde(default = "default_close_code")]
        pub close_code: String,
        /// Instead of what Gatewatch says about the end.
        #[serde(default)]
        pub close_notes: Option<String>,
        /// The states in which a record is over.
        #[serde(default = "default_closed_states")]
        pub closed_states: Vec<String>,
    }
    able: &[Kind::Case]; by default: Config::ABLE;
}

fn default_table() -> String {
    "incident".to_owned()
}

/// Resolved, in the table `incident`.
fn default_close_state() -> String {
    "6".to_owned()
}

fn default_close_code() -> String {
    "Solution provided".to_owned()
}

/// Resolved, closed and cancelled, in the table `incident`.
fn default_closed_states() -> Vec<String> {
    ["6", "7", "8"].map(str::to_owned).to_vec()
}

impl TargetConfig for Config {
    fn common(&self) -> Common {
        self.as_common()
    }

    fn able(&self) -> &'static [Kind] {
        Config::ABLE
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        match (&self.user, &self.password, &self.token) {
            (Some(_), Some(_), None) | (None, None, Some(_)) => {}
            _ => return Err(ConfigError::new(at, "expected either `user` and `password`, or `token`")),
        }
        let named = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if self.table.is_empty() || !self.table.chars().all(named) {
            let problem = format!("`{}` is no name of a table, such as incident", self.table);
            return Err(ConfigError::new(format!("{at}.table"), problem));
        }
        if let Some(own) = self.fields.keys().find(|field| OWN_FIELDS.contains(&field.as_str())) {
            let problem = "is written from the incident; name other fields only";
            return Err(ConfigError::new(format!("{at}.fields.{own}"), problem));
        }
        if !self.close_state.is_empty() {
            filled(
                at,
                "close_code",
                &self.close_code,
                "a resolution code of your instance, such as Solution provided",
            )?;
        }
        check_url(at, "url", &self.url, &self.reach())
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        self.password.iter().chain(&self.token).chain(secrets_of(Some(&self.url), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let headers = match (&self.user, &self.password, &self.token) {
            (Some(user), Some(password), _) => case::basic(user, &make.secret("password", password)?),
            (_, _, Some(token)) => case::bearer(&make.at, "token", &make.secret("token", token)?)?,
            _ => return Err(ConfigError::new(&make.at, "expected either `user` and `password`, or `token`")),
        };
        let api = Api::new("ServiceNow", make, &self.url, &self.reach(), headers)?;
        Ok(Arc::new(ServiceNow { api, config: self.clone() }))
    }
}

pub struct ServiceNow {
    api: Api,
    config: Config,
}

impl Target for ServiceNow {
    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        case::carry_out(self, order).boxed()
    }
}

/// A record as far as we look at it.
struct Record {
    state: String,
    noted: bool,
}

impl CaseSystem for ServiceNow {
    async fn find(&self, telling: &Telling) -> Result<Option<Found>, Delivery> {
        // `^` joins the conditions of such a query; our ids have none.
        let wanted = format!("correlation_id={}^ORDERBYsys_created_on", telling.incident().id.replace('^', ""));
        let fields = ("sysparm_fields", "sys_id,description");
        let query = [("sysparm_query", wanted.as_str()), fields, ("sysparm_limit", "1")];
        let path = ["api", "now", "table", &self.config.table];
        let call = Call::get("finding the record", &path, &query);
        let answer = self.api.ask(&call, telling.now_us).await?;
        let records = answer["result"].as_array().ok_or_else(|| self.api.not_understood(&call, &answer))?;
        match records.first() {
            Some(record) => {
                let case = word(&record["sys_id"]).ok_or_else(|| self.api.not_understood(&call, &answer))?;
                let text = record["description"].as_str().unwrap_or_default();
                Ok(Some(Found { case, told: text.contains(&telling.mark()) }))
            }
            None => Ok(None),
        }
    }

    async fn open(&self, telling: &Telling) -> Result<String, Delivery> {
        let incident = telling.incident();
        let (impact, urgency) = weight(incident.severity);
        let mut record: Map<String, Value> = Map::new();
        let mut set = |name: &str, value: &str| record.insert(name.to_owned(), value.into());
        set("impact", impact);
        set("urgency", urgency);
        for (name, value) in &self.config.fields {
            set(name, value);
        }
        set("short_description", &telling.headline(SUMMARY_CHARS_MAX));
        set("description", &telling.description(TEXT_CHARS_MAX));
        set("correlation_id", &incident.id);
        set("correlation_display", "Gatewatch");
        let body = Value::Object(record);
        let path = ["api", "now", "table", &self.config.table];
        let call = Call::post("opening the record", &path, &body).with(&[("sysparm_fields", "sys_id,number")]);
        let answer = self.api.ask(&call, telling.now_us).await?;
        word(&answer["result"]["sys_id"]).ok_or_else(|| self.api.not_understood(&call, &answer))
    }

    async fn update(&self, case: &str, telling: &Telling) -> Result<String, Delivery> {
        let record = self.read(case, telling).await?;
        if record.noted {
            return Ok("has the note already".to_owned());
        }
        let body = json!({ "work_notes": note(telling) });
        let (path, query) = (self.record(case), [("sysparm_fields", "sys_id")]);
        let call = Call::patch("adding a work note", &path, &body).with(&query);
        let answer = self.api.send(&call, telling.now_us).await?;
        // A closed record is read only, as ServiceNow comes.
        if answer.status == StatusCode::FORBIDDEN && self.is_over(&record) {
            return Ok("is closed there and takes no more notes".to_owned());
        }
        match answer.status.is_success() {
            true => Ok("noted".to_owned()),
            false => Err(self.api.refusal(&call, &answer)),
        }
    }

    async fn close(&self, case: &str, telling: &Telling) -> Result<String, Delivery> {
        if self.config.close_state.is_empty() {
            return self.update(case, telling).await;
        }
        let record = self.read(case, telling).await?;
        if self.is_over(&record) {
            return Ok(format!("is in state {} already", record.state));
        }
        let notes = self.config.close_notes.clone().unwrap_or_else(|| telling.headline(SUMMARY_CHARS_MAX));
        let mut body = json!({
            "state": self.config.close_state, "close_code": self.config.close_code, "close_notes": notes,
        });
        if !record.noted {
            body["work_notes"] = note(telling).into();
        }
        let (path, query) = (self.record(case), [("sysparm_fields", "sys_id")]);
        self.api.ask(&Call::patch("closing the record", &path, &body).with(&query), telling.now_us).await?;
        Ok("closed".to_owned())
    }
}

impl ServiceNow {
    fn record<'a>(&'a self, case: &'a str) -> [&'a str; 5] {
        ["api", "now", "table", &self.config.table, case]
    }

    fn is_over(&self, record: &Record) -> bool {
        record.state == self.config.close_state || self.config.closed_states.contains(&record.state)
    }

    /// With display values: only then a journal field such as `work_notes` holds its entries.
    async fn read(&self, case: &str, telling: &Telling) -> Result<Record, Delivery> {
        let path = self.record(case);
        let query = [("sysparm_display_value", "all"), ("sysparm_fields", "sys_id,state,work_notes")];
        let call = Call::get("reading the record", &path, &query);
        let answer = self.api.ask(&call, telling.now_us).await?;
        let record = &answer["result"];
        let state = word(&record["state"]["value"]).ok_or_else(|| self.api.not_understood(&call, &answer))?;
        let notes = record["work_notes"]["display_value"].as_str().unwrap_or_default();
        Ok(Record { state, noted: notes.contains(&telling.mark()) })
    }
}

/// A work note. `[code]` would have ServiceNow show what follows as HTML.
fn note(telling: &Telling) -> String {
    break_up(&telling.note(TEXT_CHARS_MAX), "[code")
}

/// Impact and urgency, of which ServiceNow makes the priority: 1 for critical to 5 for info, as it comes.
fn weight(severity: Severity) -> (&'static str, &'static str) {
    match severity {
        Severity::Critical => ("1", "1"),
        Severity::High => ("2", "1"),
        Severity::Medium => ("2", "2"),
        Severity::Low => ("3", "2"),
        Severity::Info => ("3", "3"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_state_is_written_with_or_without_quotes() {
        for state in ["6", "'6'"] {
            let text = format!(
                "servicenow: [{{ name: s, url: 'https://example.service-now.com', token: {{ env: T }}, \
                 close_state: {state}, closed_states: [{state}] }}]"
            );
            let config: crate::respond::actions::TargetsConfig = serde_saphyr::from_str(&text).expect(&text);
            assert_eq!(config.servicenow[0].close_state, "6");
            assert_eq!(config.servicenow[0].closed_states, ["6"]);
        }
    }

    #[test]
    fn one_way_to_log_in_is_named_and_fields_of_ours_are_not() {
        let refused = |rest: &str| {
            let text = format!("servicenow: [{{ name: s, url: 'https://example.service-now.com', {rest} }}]");
            let config: crate::respond::actions::TargetsConfig = serde_saphyr::from_str(&text).expect(&text);
            config.check().expect_err(&text).at
        };
        assert_eq!(refused("user: gatewatch"), "targets.servicenow[0]");
        assert_eq!(refused("user: g, password: { env: P }, token: { env: T }"), "targets.servicenow[0]");
        assert_eq!(refused("token: { env: T }, table: 'incident?x'"), "targets.servicenow[0].table");
        let own = "targets.servicenow[0].fields.correlation_id";
        assert_eq!(refused("token: { env: T }, fields: { correlation_id: x }"), own);
        assert_eq!(refused("token: { env: T }, close_code: ''"), "targets.servicenow[0].close_code");
    }
}
