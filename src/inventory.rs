//! The inventory: which endpoints there are, as the events of the lake tell, beside what OpenAPI documents say of them.
//!
//! Promises: an endpoint is one that was answered (200 to 399) at least once, so that the guesses of a scan are none; what is documented
//! and was never asked for is listed, too. Lists are bounded, and counts are of the lake, not of a sample.
//! Never: changes the lake.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;
use schemas::Operation;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::query::{self, QueryLimits};

/// Hosts, statuses and the like that are named of one endpoint.
const NAMED_MAX: usize = 12;

/// One endpoint. Times are RFC 3339 UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    pub method: String,
    pub path: String,
    /// None: documented, and never asked for.
    pub first_seen: Option<String>,
    pub last_seen: Option<String>,
    pub requests: u64,
    /// 200 to 399.
    pub answered: u64,
    /// 401 and 403.
    pub refused: u64,
    /// 500 and more.
    pub failed: u64,
    /// Who was answered, as far as the gateway says.
    pub principals: u64,
    pub tenants: u64,
    pub addresses: u64,
    /// Answered without a principal and without a credential.
    pub anonymous: u64,
    pub hosts: Vec<String>,
    /// Kinds of credentials that were answered.
    pub authentication: Vec<String>,
    /// Classes of secrets and personal data that were removed from its requests.
    pub sensitive: Vec<String>,
    pub statuses: Vec<i64>,
    /// None: no document covers it.
    pub documented: Option<bool>,
    pub deprecated: bool,
    pub owner: Option<String>,
    pub risk: Option<String>,
}

impl Endpoint {
    pub fn is_undocumented(&self) -> bool {
        self.documented != Some(true)
    }
}

/// What is listed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// A condition on the time of the events.
    pub when: &'a str,
    /// Endpoints that were never answered, too.
    pub unanswered: bool,
}

/// The endpoints, by path and method.
pub async fn list(
    session: &SessionContext,
    wanted: Wanted<'_>,
    documents: &[Operation],
) -> anyhow::Result<Vec<Endpoint>> {
    let mut all = seen(session, wanted).await?;
    for operation in documents {
        let key = (operation.template.clone(), operation.method.clone());
        let endpoint = all.entry(key).or_insert_with(|| Endpoint {
            method: operation.method.clone(),
            path: operation.template.clone(),
            ..Endpoint::default()
        });
        endpoint.documented = Some(true);
        endpoint.deprecated |= operation.deprecated;
        endpoint.owner = operation.owner.clone().or(endpoint.owner.take());
        endpoint.risk = operation.risk.clone().or(endpoint.risk.take());
    }
    if !documents.is_empty() {
        // Some document is there, and this one is in none.
        all.values_mut().for_each(|endpoint| endpoint.documented = Some(endpoint.documented == Some(true)));
    }
    Ok(all.into_values().collect())
}

type All = BTreeMap<(String, String), Endpoint>;

async fn seen(session: &SessionContext, wanted: Wanted<'_>) -> anyhow::Result<All> {
    let answered = "status BETWEEN 200 AND 399";
    let list = |column: &str| {
        format!(
            "array_to_string(array_sort(array_agg(DISTINCT arrow_cast({column}, 'Utf8')) FILTER (WHERE {column} IS NOT NULL AND {answered})), '\n') AS {column}"
        )
    };
    let count = |what: &str, name: &str| format!("count(*) FILTER (WHERE {what}) AS {name}");
    let different = |column: &str| format!("count(DISTINCT {column}) FILTER (WHERE {answered}) AS {column}s");
    let columns = [
        "arrow_cast(endpoint, 'Utf8') AS endpoint".to_owned(),
        "arrow_cast(min(time), 'Int64') AS first".to_owned(),
        "arrow_cast(max(time), 'Int64') AS last".to_owned(),
        "count(*) AS requests".to_owned(),
        count(answered, "answered"),
        count("status IN (401, 403)", "refused"),
        count("status >= 500", "failed"),
        different("principal"),
        different("tenant"),
        different("client_ip"),
        count(&format!("{answered} AND principal IS NULL AND credential IS NULL"), "anonymous"),
        list("host"),
        list("credential_kind"),
        "array_to_string(array_sort(array_agg(DISTINCT arrow_cast(status, 'Int64')) FILTER (WHERE status > 0)), '\n') AS statuses".to_owned(),
        "arrow_cast(max(arrow_cast(documented, 'Int64')), 'Int64') AS documented".to_owned(),
    ];
    let having = if wanted.unanswered { "true" } else { "count(*) FILTER (WHERE status BETWEEN 200 AND 399) > 0" };
    let sql = format!(
        "SELECT {} FROM events WHERE endpoint IS NOT NULL AND {} GROUP BY endpoint HAVING {having}",
        columns.join(", "),
        wanted.when
    );
    let mut all = All::new();
    for batch in ask(session, &sql).await? {
        for row in 0..batch.num_rows() {
            let endpoint = of_row(&batch, row);
            all.insert((endpoint.path.clone(), endpoint.method.clone()), endpoint);
        }
    }
    let sql = format!(
        "SELECT DISTINCT arrow_cast(endpoint, 'Utf8') AS endpoint, arrow_cast(class, 'Utf8') AS class FROM \
         (SELECT endpoint, unnest(redactions) AS class FROM events WHERE endpoint IS NOT NULL AND redactions IS NOT NULL AND {}) \
         ORDER BY class",
        wanted.when
    );
    for batch in ask(session, &sql).await? {
        let (endpoints, classes) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
        for row in 0..batch.num_rows() {
            let (method, path) = named(endpoints.value(row));
            if let Some(endpoint) = all.get_mut(&(path, method)) {
                endpoint.sensitive.push(classes.value(row).to_owned());
            }
        }
    }
    Ok(all)
}

async fn ask(session: &SessionContext, sql: &str) -> anyhow::Result<Vec<RecordBatch>> {
    let limits = QueryLimits { rows_max: usize::MAX, ..QueryLimits::default() };
    Ok(query::run(session, sql, limits).await.context("reading events")?.batches)
}

/// Method and path of `GET /v1/orders/{id}`.
fn named(endpoint: &str) -> (String, String) {
    let (method, path) = endpoint.split_once(' ').unwrap_or(("-", endpoint));
    (method.to_owned(), path.to_owned())
}

fn of_row(batch: &RecordBatch, row: usize) -> Endpoint {
    let text = |at: usize| batch.column(at).as_string::<i32>();
    let number = |at: usize| batch.column(at).as_primitive::<Int64Type>();
    let count = |at: usize| number(at).value(row).unsigned_abs();
    let list = |at: usize| -> Vec<String> {
        let texts = if text(at).is_valid(row) { text(at).value(row) } else { "" };
        texts.split('\n').filter(|text| !text.is_empty()).take(NAMED_MAX).map(str::to_owned).collect()
    };
    let (method, path) = named(text(0).value(row));
    Endpoint {
        method,
        path,
        first_seen: Some(schemas::time_text(number(1).value(row))),
        last_seen: Some(schemas::time_text(number(2).value(row))),
        requests: count(3),
        answered: count(4),
        refused: count(5),
        failed: count(6),
        principals: count(7),
        tenants: count(8),
        addresses: count(9),
        anonymous: count(10),
        hosts: list(11),
        authentication: list(12),
        statuses: list(13).iter().filter_map(|status| status.parse().ok()).collect(),
        documented: number(14).is_valid(row).then(|| number(14).value(row) > 0),
        ..Endpoint::default()
    }
}

/// An OpenAPI document with these endpoints: a beginning for whoever has to write it.
pub fn skeleton(endpoints: &[Endpoint]) -> Value {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for endpoint in endpoints {
        let method = endpoint.method.to_ascii_lowercase();
        if !METHODS.contains(&method.as_str()) {
            continue;
        }
        let (path, parameters) = parameters(&endpoint.path);
        let statuses = endpoint.statuses.iter().filter(|status| (100..600).contains(*status));
        let mut responses: Map<String, Value> =
            statuses.map(|status| (status.to_string(), json!({ "description": "seen" }))).collect();
        if responses.is_empty() {
            responses.insert("default".to_owned(), json!({ "description": "never seen" }));
        }
        let mut operation = json!({
            "summary": format!("{} {}", endpoint.method, endpoint.path),
            "responses": responses,
            "x-first-seen": endpoint.first_seen,
            "x-last-seen": endpoint.last_seen,
            "x-requests": endpoint.requests,
            "x-authentication": endpoint.authentication,
            "x-answered-without-authentication": endpoint.anonymous,
            "x-sensitive": endpoint.sensitive,
        });
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        paths.entry(path).or_default().insert(method, operation);
    }
    let hosts: BTreeSet<&String> = endpoints.iter().flat_map(|endpoint| &endpoint.hosts).collect();
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Endpoints that are asked for and in no document", "version": "0" },
        "x-hosts": hosts.into_iter().take(NAMED_MAX).collect::<Vec<_>>(),
        "paths": paths,
    })
}

/// What a path item may have.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// The path with each parameter under a name of its own, and what a document says of them.
fn parameters(path: &str) -> (String, Vec<Value>) {
    let (mut text, mut names, mut rest) = (String::new(), Vec::<String>::new(), path);
    while let Some((before, name, behind)) = next_parameter(rest) {
        let same = names.iter().filter(|known| known.trim_end_matches(|c: char| c.is_ascii_digit()) == name).count();
        let own = if same == 0 { name.to_owned() } else { format!("{name}{}", same + 1) };
        text.push_str(&format!("{before}{{{own}}}"));
        names.push(own);
        rest = behind;
    }
    text.push_str(rest);
    let told = |name: &String| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    (text, names.iter().map(told).collect())
}

fn next_parameter(text: &str) -> Option<(&str, &str, &str)> {
    let open = text.find('{')?;
    let close = open + text[open..].find('}')?;
    Some((&text[..open], &text[open + 1..close], &text[close + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skeleton_names_each_parameter_once_and_is_a_document() {
        let endpoint = |method: &str, path: &str| Endpoint {
            method: method.to_owned(),
            path: path.to_owned(),
            statuses: vec![200, 404],
            hosts: vec!["api.shop.example".to_owned()],
            ..Endpoint::default()
        };
        let endpoints =
            [endpoint("GET", "/v1/a/{id}/b/{id}"), endpoint("POST", "/v1/a/{id}/b/{id}"), endpoint("PURGE", "/v1/x")];
        let document = skeleton(&endpoints);
        let item = &document["paths"]["/v1/a/{id}/b/{id2}"];
        assert_eq!(item["get"]["parameters"][1]["name"], "id2");
        assert_eq!(item["post"]["responses"]["404"]["description"], "seen");
        assert_eq!(document["paths"].as_object().map(Map::len), Some(1), "a method that no document can have");
        let operations = schemas::Templates::operations(&document.to_string(), "skeleton").expect("a document");
        let named: Vec<_> = operations.iter().map(|one| (one.method.as_str(), one.template.as_str())).collect();
        assert_eq!(named, [("GET", "/v1/a/{id}/b/{id2}"), ("POST", "/v1/a/{id}/b/{id2}")]);
    }
}
