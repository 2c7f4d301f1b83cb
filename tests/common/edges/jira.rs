//! Jira Data Center's REST API, version 2: issues with labels, comments and one transition to the end.

use serde_json::{Value, json};

use super::cases::{Case, place};
use super::{Asked, Edge, keys, text};

#[derive(Default)]
pub struct Jira {
    pub issues: Vec<Case>,
}

impl Jira {
    fn search(&self, asked: &Asked) -> Result<(u16, Value), String> {
        let jql = asked.query("jql").ok_or("jql")?;
        let label = jql.strip_prefix("labels = \"").and_then(|rest| rest.strip_suffix("\" ORDER BY created ASC"));
        let incident = label.and_then(|label| label.strip_prefix("gatewatch-")).ok_or_else(|| format!("jql {jql}"))?;
        let found = self.issues.iter().enumerate().filter(|(_, issue)| issue.incident == incident);
        let show =
            |(n, issue): (usize, &Case)| json!({ "key": format!("SEC-{n}"), "fields": { "description": issue.text } });
        Ok((200, json!({ "issues": found.map(show).collect::<Vec<_>>() })))
    }

    fn create(&mut self, body: &Value) -> Result<(u16, Value), String> {
        keys(body, &["fields"], &[])?;
        let fields = &body["fields"];
        keys(fields, &["project", "issuetype", "summary", "description", "labels"], &["priority"])?;
        if fields["project"]["key"] != "SEC" || fields["issuetype"]["name"] != "Task" {
            return Err(format!("project or issue type in {fields}"));
        }
        if text(fields, "summary")?.chars().count() > 255 {
            return Err("a summary of more than 255 characters".to_owned());
        }
        let labels: Vec<&str> = fields["labels"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let incident = labels.iter().find_map(|label| label.strip_prefix("gatewatch-")).ok_or("no label of ours")?;
        let (incident, text) = (incident.to_owned(), text(fields, "description")?.to_owned());
        self.issues.push(Case { incident, text, ..Case::default() });
        Ok((201, json!({ "id": "10000", "key": format!("SEC-{}", self.issues.len() - 1) })))
    }
}

impl Edge for Jira {
    fn answer(&mut self, asked: &Asked) -> Result<(u16, Value), String> {
        if asked.header("authorization") != "Bearer not-a-real-token" {
            return Ok((401, json!({ "errorMessages": ["You are not authenticated."] })));
        }
        let (method, path) = asked.route();
        let ["rest", "api", "2", rest @ ..] = path.as_slice() else { return Err("no such path".to_owned()) };
        let body = asked.json();
        if let ("GET", ["search"]) = (method, rest) {
            return self.search(asked);
        }
        if let ("POST", ["issue"]) = (method, rest) {
            return self.create(&body);
        }
        let ["issue", key, rest @ ..] = rest else { return Err("no such path".to_owned()) };
        let n = place(&self.issues, key, "SEC-")?;
        let issue = &mut self.issues[n];
        let done = if issue.closed > 0 { "done" } else { "new" };
        match (method, rest) {
            ("GET", ["comment"]) => {
                let comments: Vec<Value> = issue.notes.iter().map(|note| json!({ "body": note })).collect();
                Ok((200, json!({ "comments": comments })))
            }
            ("POST", ["comment"]) => {
                keys(&body, &["body"], &[])?;
                issue.notes.push(text(&body, "body")?.to_owned());
                Ok((201, json!({ "id": "1" })))
            }
            ("GET", []) => {
                Ok((200, json!({ "fields": { "status": { "name": done, "statusCategory": { "key": done } } } })))
            }
            ("GET", ["transitions"]) => {
                let offered = json!([{ "id": "31", "name": "Done", "to": { "name": "Done" } }]);
                Ok((200, json!({ "transitions": if issue.closed > 0 { json!([]) } else { offered } })))
            }
            ("POST", ["transitions"]) => {
                keys(&body, &["transition"], &[])?;
                if body["transition"]["id"] != "31" || issue.closed > 0 {
                    return Ok((
                        400,
                        json!({ "errorMessages": ["It seems that you have tried an invalid workflow operation"] }),
                    ));
                }
                issue.closed += 1;
                Ok((204, Value::Null))
            }
            _ => Err("no such call".to_owned()),
        }
    }
}
