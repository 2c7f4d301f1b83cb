//! Jira, Cloud and Data Center: an incident is an issue, its changes are comments, its end is a transition.
//!
//! Promises: one issue per incident: it carries the label `gatewatch-<incident>`, by which it is found before one is made.
//! Text of clients stands in `{noformat}` and can neither become markup nor mention anybody. An issue that a person moved
//! to a status of the category Done is not moved again.
//! Never: changes summary, description, priority or assignee of an issue after it was made: they are the team's.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use schemas::alert::Severity;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::case::{self, Api, Call, CaseSystem, Found, Telling, break_up, filled, word};
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use crate::respond::action::Kind;
use crate::respond::config::{Address, ConfigError, SecretRef};
use crate::respond::target::{Delivery, Order, Target};

/// The longest summary and the longest text of a description or comment that Jira takes.
const SUMMARY_CHARS_MAX: usize = 255;
const TEXT_CHARS_MAX: usize = 32_767;
/// The newest comments that are looked through for our own.
const COMMENTS_MAX: &str = "100";
/// Cloud's search shows a new issue after seconds; the request that makes it may last as long as an attempt.
const SEARCH_LAG: Duration = Duration::from_secs(25);
/// Incidents whose creation is remembered; all are forgotten beyond, and what is not known is waited for.
const CREATIONS_MAX: usize = 10_000;
/// The fields that are ours to fill in.
const OWN_FIELDS: [&str; 6] = ["project", "issuetype", "summary", "description", "labels", "priority"];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edition {
    #[default]
    Cloud,
    DataCenter,
}

http_target_config! {
    /// `respond.targets.jira`
    pub struct Config {
        /// Such as `https://example.atlassian.net`.
        pub url: Address,
        #[serde(default)]
        pub edition: Edition,
        /// The e-mail address that the API token belongs to; without it the token is sent as a bearer token, as Data
        /// Center's personal access tokens are.
        #[serde(default)]
        pub user: Option<String>,
        pub token: SecretRef,
        /// The project's key.
        pub project: String,
        #[serde(default = "default_issue_type")]
        pub issue_type: String,
        #[serde(default)]
        pub labels: Vec<String>,
        /// From a severity to the name of a priority; none is set where it says nothing.
        #[serde(default)]
        pub priorities: BTreeMap<Severity, String>,
        /// Further fields of a new issue, as Jira's API has them.
        #[serde(default)]
        pub fields: BTreeMap<String, Value>,
        /// The transition, or the status it leads to, when the incident is over; empty leaves the issue as it is.
        #[serde(default = "default_close")]
        pub close_transition: String,
        /// The resolution to set in that transition, where its screen asks for one.
        #[serde(default)]
        pub resolution: Option<String>,
    }
    able: &[Kind::Case]; by default: Config::ABLE;
}

fn default_issue_type() -> String {
    "Task".to_owned()
}

fn default_close() -> String {
    "Done".to_owned()
}

impl TargetConfig for Config {
    fn common(&self) -> Common {
        self.as_common()
    }

    fn able(&self) -> &'static [Kind] {
        Config::ABLE
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        filled(at, "project", &self.project, "the key of a project, such as SEC")?;
        filled(at, "issue_type", &self.issue_type, "the name of an issue type, such as Task")?;
        if let Some(label) = self.labels.iter().find(|label| label.is_empty() || label.contains(char::is_whitespace)) {
            let problem = format!("`{label}` is no label: Jira's labels have no spaces");
            return Err(ConfigError::new(format!("{at}.labels"), problem));
        }
        if let Some(own) = self.fields.keys().find(|field| OWN_FIELDS.contains(&field.as_str())) {
            let problem = "is set by other keys or by the incident; name other fields only";
            return Err(ConfigError::new(format!("{at}.fields.{own}"), problem));
        }
        check_url(at, "url", &self.url, &self.reach())
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        std::iter::once(&self.token).chain(secrets_of(Some(&self.url), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let token = make.secret("token", &self.token)?;
        let headers = match &self.user {
            Some(user) => case::basic(user, &token),
            None => case::bearer(&make.at, "token", &token)?,
        };
        let api = Api::new("Jira", make, &self.url, &self.reach(), headers)?;
        Ok(Arc::new(Jira { api, config: self.clone(), creations: Mutex::default() }))
    }
}

pub struct Jira {
    api: Api,
    config: Config,
    /// By incident: when the last request to make its issue was sent whose answer did not come; none where none was.
    creations: Mutex<HashMap<String, Option<i64>>>,
}

impl Target for Jira {
    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        case::carry_out(self, order).boxed()
    }
}

impl CaseSystem for Jira {
    async fn find(&self, telling: &Telling) -> Result<Option<Found>, Delivery> {
        if telling.attempt <= 1 {
            self.remember(telling, None);
        }
        let jql = format!("labels = {} ORDER BY created ASC", quote(&label(telling)));
        let query = [("jql", jql.as_str()), ("fields", "description"), ("maxResults", "1")];
        let path: &[&str] = match self.config.edition {
            Edition::Cloud => &["rest", "api", "2", "search", "jql"],
            Edition::DataCenter => &["rest", "api", "2", "search"],
        };
        let call = Call::get("finding the issue", path, &query);
        let answer = self.api.ask(&call, telling.now_us).await?;
        let issues = answer["issues"].as_array().ok_or_else(|| self.api.not_understood(&call, &answer))?;
        match issues.first() {
            Some(issue) => {
                let case = word(&issue["key"]).ok_or_else(|| self.api.not_understood(&call, &answer))?;
                let text = issue["fields"]["description"].as_str().unwrap_or_default();
                Ok(Some(Found { case, told: text.contains(&telling.mark()) }))
            }
            None => match self.search_lags(telling) {
                Some(after) => Err(Delivery::Later {
                    after,
                    reason: "an issue of the last attempt may not be in Jira's search yet".to_owned(),
                }),
                None => Ok(None),
            },
        }
    }

    async fn open(&self, telling: &Telling) -> Result<String, Delivery> {
        let mut fields: Map<String, Value> = self.config.fields.clone().into_iter().collect();
        let own = ["gatewatch".to_owned(), label(telling)];
        let labels: Vec<&String> = own.iter().chain(&self.config.labels).collect();
        fields.insert("project".to_owned(), json!({ "key": self.config.project }));
        fields.insert("issuetype".to_owned(), json!({ "name": self.config.issue_type }));
        fields.insert("summary".to_owned(), telling.headline(SUMMARY_CHARS_MAX).into());
        fields.insert("description".to_owned(), noformat(|max| telling.description(max)).into());
        fields.insert("labels".to_owned(), json!(labels));
        if let Some(priority) = self.config.priorities.get(&telling.incident().severity) {
            fields.insert("priority".to_owned(), json!({ "name": priority }));
        }
        let body = json!({ "fields": fields });
        let call = Call::post("opening the issue", &["rest", "api", "2", "issue"], &body);
        // Before it is sent: the attempt may be cut off at any point from here on.
        self.remember(telling, Some(telling.now_us));
        let answer = self.api.send(&call, telling.now_us).await?;
        if answer.status.is_client_error() {
            self.remember(telling, None);
        }
        let answer = self.api.read(&call, &answer)?;
        let key = word(&answer["key"]).ok_or_else(|| self.api.not_understood(&call, &answer))?;
        self.creations().remove(&telling.incident().id);
        Ok(key)
    }

    async fn update(&self, case: &str, telling: &Telling) -> Result<String, Delivery> {
        let path = ["rest", "api", "2", "issue", case, "comment"];
        let query = [("orderBy", "-created"), ("maxResults", COMMENTS_MAX)];
        let call = Call::get("reading the comments", &path, &query);
        let answer = self.api.ask(&call, telling.now_us).await?;
        let comments = answer["comments"].as_array().ok_or_else(|| self.api.not_understood(&call, &answer))?;
        let mark = telling.mark();
        if comments.iter().any(|comment| comment["body"].as_str().is_some_and(|body| body.contains(&mark))) {
            return Ok("has the comment already".to_owned());
        }
        let body = json!({ "body": noformat(|max| telling.note(max)) });
        self.api.ask(&Call::post("adding a comment", &path, &body), telling.now_us).await?;
        Ok("commented".to_owned())
    }

    async fn close(&self, case: &str, telling: &Telling) -> Result<String, Delivery> {
        let commented = self.update(case, telling).await?;
        if self.config.close_transition.is_empty() {
            return Ok(commented);
        }
        let issue = ["rest", "api", "2", "issue", case];
        let call = Call::get("reading the status", &issue, &[("fields", "status")]);
        let answer = self.api.ask(&call, telling.now_us).await?;
        let status = &answer["fields"]["status"];
        if status["statusCategory"]["key"] == "done" {
            return Ok(format!("{commented}; it is {} already", word(&status["name"]).unwrap_or_default()));
        }
        let transition = self.transition(case, telling).await?;
        let mut body = json!({ "transition": { "id": transition } });
        if let Some(resolution) = &self.config.resolution {
            body["fields"] = json!({ "resolution": { "name": resolution } });
        }
        let path = ["rest", "api", "2", "issue", case, "transitions"];
        self.api.ask(&Call::post("closing the issue", &path, &body), telling.now_us).await?;
        Ok(format!("{commented} and closed"))
    }
}

impl Jira {
    fn creations(&self) -> std::sync::MutexGuard<'_, HashMap<String, Option<i64>>> {
        self.creations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, telling: &Telling, sent_us: Option<i64>) {
        let mut creations = self.creations();
        if creations.len() >= CREATIONS_MAX {
            creations.clear();
        }
        creations.insert(telling.incident().id.clone(), sent_us);
    }

    /// How long until the search can be believed that there is no issue. An attempt of a process before this one, of which
    /// nothing is known, may have made it a moment ago.
    fn search_lags(&self, telling: &Telling) -> Option<Duration> {
        if self.config.edition != Edition::Cloud || telling.attempt <= 1 {
            return None;
        }
        let sent_us = (*self.creations().entry(telling.incident().id.clone()).or_insert(Some(telling.now_us)))?;
        let age = Duration::from_micros(u64::try_from(telling.now_us.saturating_sub(sent_us)).unwrap_or(0));
        SEARCH_LAG.checked_sub(age).filter(|rest| !rest.is_zero())
    }

    /// The id of the transition to the end, as the workflow offers it from where the issue is.
    async fn transition(&self, case: &str, telling: &Telling) -> Result<String, Delivery> {
        let path = ["rest", "api", "2", "issue", case, "transitions"];
        let call = Call::get("reading the transitions", &path, &[]);
        let answer = self.api.ask(&call, telling.now_us).await?;
        let offered = answer["transitions"].as_array().ok_or_else(|| self.api.not_understood(&call, &answer))?;
        let wanted = self.config.close_transition.to_lowercase();
        let named = |name: &Value| name.as_str().is_some_and(|name| name.to_lowercase() == wanted);
        let found = offered
            .iter()
            .find(|transition| named(&transition["name"]))
            .or_else(|| offered.iter().find(|transition| named(&transition["to"]["name"])));
        if let Some(id) = found.and_then(|transition| word(&transition["id"])) {
            return Ok(id);
        }
        let names: Vec<&str> = offered.iter().filter_map(|transition| transition["name"].as_str()).collect();
        Err(Delivery::failed(format!(
            "issue {case} offers no transition `{}`; it offers: {}",
            self.config.close_transition,
            names.join(", ")
        )))
    }
}

/// The label by which an incident's issue is found.
fn label(telling: &Telling) -> String {
    format!("gatewatch-{}", telling.incident().id)
}

/// A string of JQL.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Text that Jira shows as it is. `text` is made for a number of characters that leaves room for the frame.
fn noformat(text: impl Fn(usize) -> String) -> String {
    let (mut max, frame) = (TEXT_CHARS_MAX, "{noformat}\n\n{noformat}".len());
    loop {
        let quoted = break_up(&text(max - frame), "{noformat");
        let over = (quoted.chars().count() + frame).saturating_sub(TEXT_CHARS_MAX);
        if over == 0 {
            return format!("{{noformat}}\n{quoted}\n{{noformat}}");
        }
        // Breaking up made it longer than there is room for.
        max -= over;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_frame_and_fits() {
        let text = noformat(|max| "{noformat}[~admin] ".repeat(10_000).chars().take(max).collect());
        assert!(text.chars().count() <= TEXT_CHARS_MAX);
        assert_eq!(text.matches("{noformat}").count(), 2, "the two of the frame");
        assert_eq!(quote(r#"a"b\c"#), r#""a\"b\\c""#);
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_key() {
        let refused = |rest: &str| {
            let text =
                format!("jira: [{{ name: j, url: 'https://example.atlassian.net', token: {{ env: T }}, {rest} }}]");
            let config: crate::respond::actions::TargetsConfig = serde_saphyr::from_str(&text).expect(&text);
            config.check().expect_err(&text).at
        };
        assert_eq!(refused("project: ''"), "targets.jira[0].project");
        assert_eq!(refused("project: SEC, labels: ['a b']"), "targets.jira[0].labels");
        assert_eq!(refused("project: SEC, fields: { labels: [x] }"), "targets.jira[0].fields.labels");
        assert_eq!(refused("project: SEC, kinds: [page]"), "targets.jira[0].kinds");
    }
}
