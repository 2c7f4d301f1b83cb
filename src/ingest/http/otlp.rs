//! OTLP/HTTP logs, in JSON and in protobuf: the log records of a request, each group with its resource and scope, as
//! records of OTLP JSON that stay well below the record limit.
//!
//! Promises: JSON is passed on as it was written; protobuf becomes what the specification says its JSON is.

use std::borrow::Cow;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::Refusal;
use super::body::{Taken, not_json};
use crate::ingest::ReadLimits;

/// Log records, and bytes of them, in one record; a record holds at least one.
const GROUP_RECORDS_MAX: usize = 256;
const GROUP_BYTES_MAX: usize = 128 << 10;

/// Log records of one scope, at least one. All texts are JSON.
pub(super) struct Group<'a> {
    /// Shared by all scopes of the resource.
    pub(super) resource: Option<Rc<Cow<'a, str>>>,
    pub(super) scope: Option<Cow<'a, str>>,
    pub(super) records: Vec<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, alias = "resource_logs", rename = "resourceLogs")]
    resources: Option<Vec<Resource<'a>>>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
    #[serde(borrow, default, alias = "scope_logs", rename = "scopeLogs")]
    scopes: Vec<Scope<'a>>,
}

#[derive(Deserialize)]
struct Scope<'a> {
    #[serde(borrow)]
    scope: Option<&'a RawValue>,
    #[serde(borrow, default, alias = "log_records", rename = "logRecords")]
    records: Vec<&'a RawValue>,
}

/// The groups of a request in JSON; `None` when it is none. An object without `resourceLogs` is an empty request only
/// where the source speaks OTLP, and it is empty.
pub(super) fn json(value: &str, is_otlp: bool) -> Result<Option<Vec<Group<'_>>>, String> {
    let named = ["resourceLogs", "resource_logs"]
        .iter()
        .any(|name| memchr::memmem::find(value.as_bytes(), name.as_bytes()).is_some());
    if !named {
        let is_empty = value.strip_prefix('{').is_some_and(|rest| rest.trim_ascii() == "}");
        return Ok((is_otlp && is_empty).then(Vec::new));
    }
    let request: Request<'_> = match serde_json::from_str(value) {
        Ok(request) => request,
        Err(error) if is_otlp => {
            return Err(not_json(&error).message + "; expected resourceLogs, scopeLogs, logRecords");
        }
        // The word stands somewhere in a record of another kind.
        Err(_) => return Ok(None),
    };
    let Some(resources) = request.resources else { return Ok(None) };
    let mut groups = Vec::new();
    for resource in resources {
        let text = text_of(resource.resource).map(Rc::new);
        for scope in resource.scopes.into_iter().filter(|scope| !scope.records.is_empty()) {
            let records = scope.records.into_iter().map(|record| Cow::Borrowed(record.get())).collect();
            groups.push(Group { resource: text.clone(), scope: text_of(scope.scope), records });
        }
    }
    Ok(Some(groups))
}

fn text_of(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
    value.map(|value| Cow::Borrowed(value.get()))
}

/// Appends the groups as records.
pub(super) fn write(
    groups: &[Group<'_>],
    observed_us: i64,
    limits: &ReadLimits,
    taken: &mut Taken,
) -> Result<(), Refusal> {
    for group in groups {
        let mut rest = group.records.as_slice();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take(GROUP_RECORDS_MAX).take_while(|record| {
                bytes += record.len();
                bytes <= GROUP_BYTES_MAX
            });
            let (records, others) = rest.split_at(fits.count().max(1));
            taken.push(observed_us, one(group, records).as_bytes(), limits)?;
            taken.entries += records.len();
            rest = others;
        }
    }
    Ok(())
}

fn one(group: &Group<'_>, records: &[Cow<'_, str>]) -> String {
    let mut text = String::from("{\"resourceLogs\":[{");
    if let Some(resource) = &group.resource {
        text += &format!("\"resource\":{resource},");
    }
    text += "\"scopeLogs\":[{";
    if let Some(scope) = &group.scope {
        text += &format!("\"scope\":{scope},");
    }
    text += "\"logRecords\":[";
    text += &records.join(",");
    text += "]}]}]}";
    text
}
