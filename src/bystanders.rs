//! Who else is behind addresses: asked of the lake before anybody is blocked.
//!
//! Promises: one look for many addresses, bounded in time, rows and memory; what it cannot find out is an error, which the guard
//! takes for "ask a person". Who counts has proven who they are, and was there before the attack began; where little of the time
//! before is stored, also who came since. Each answer says of what time anything is stored: an empty lake knows nothing of anybody.
//! Never: takes a name that a client merely claims for somebody; sees what is not committed yet.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use datafusion::prelude::SessionContext;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::query::{self, QueryError, QueryLimits};
use crate::respond::scope::Scope;
use crate::respond::{Behind, Bystanders, Owned, Question};

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
/// How far back is looked.
const DAY_US: i64 = 24 * 3_600_000_000;
const MINUTE_US: i64 = 60_000_000;
const LIMITS: QueryLimits = QueryLimits { rows_max: 100_000, memory_bytes: 256 << 20, timeout: Duration::from_secs(5) };
/// Endpoints that are known to ask who somebody is; the busiest of them.
const CHECKING_MAX: usize = 500;

pub struct LakeBystanders {
    pub uri: String,
    pub options: HashMap<String, String>,
}

impl Bystanders for LakeBystanders {
    fn behind<'a>(&'a self, asked: &'a [Question], now_us: i64) -> BoxFuture<'a, Result<Vec<Behind>, String>> {
        self.ask(asked, now_us).boxed()
    }

    fn credentials<'a>(&'a self, of: &'a [String], now_us: i64) -> BoxFuture<'a, Result<Vec<Owned>, String>> {
        async move {
            match query::session(&self.uri, &self.options, LIMITS).await {
                Ok(session) => credentials_of(&session, of, now_us).await,
                Err(QueryError::NoLake { .. }) => Ok(Vec::new()),
                Err(error) => Err(error.to_string()),
            }
        }
        .boxed()
    }
}

/// With which credentials the gateway let these principals in.
async fn credentials_of(session: &SessionContext, of: &[String], now_us: i64) -> Result<Vec<Owned>, String> {
    let of: Vec<String> = of.iter().map(|name| quoted(name)).collect();
    let sql = format!(
        "SELECT DISTINCT credential, principal FROM events WHERE {} AND principal IN ({}) AND credential IS NOT NULL \
         AND principal_source = 'gateway'",
        last_day(now_us),
        of.join(", ")
    );
    let (batches, _) = run(session, &sql).await?;
    let mut found = Vec::new();
    for batch in &batches {
        let (credentials, principals) = (texts(batch, 0)?, texts(batch, 1)?);
        let pairs = credentials.iter().flatten().zip(principals.iter().flatten());
        found.extend(pairs.map(|(credential, principal)| (credential.to_owned(), principal.to_owned())));
    }
    Ok(found)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl LakeBystanders {
    async fn ask(&self, asked: &[Question], now_us: i64) -> Result<Vec<Behind>, String> {
        let session = match query::session(&self.uri, &self.options, LIMITS).await {
            Ok(session) => session,
            // Nothing was ever committed: nobody is known, and nothing is known of nobody.
            Err(QueryError::NoLake { .. }) => return Ok(vec![Behind::default(); asked.len()]),
            Err(error) => return Err(error.to_string()),
        };
        ask_of(&session, asked, now_us).await
    }
}

async fn ask_of(session: &SessionContext, asked: &[Question], now_us: i64) -> Result<Vec<Behind>, String> {
    let known = known_times(session, now_us).await?;
    let until = |question: &Question| Question {
        before_us: if question.is_about_known_times(known) { question.before_us } else { now_us },
        ..question.clone()
    };
    let asked: &[Question] = &asked.iter().map(until).collect::<Vec<_>>();
    let (batches, _) = run(session, &who_checks(now_us)).await?;
    let named = |endpoint: String| Checks { endpoint, host: None };
    let mut checking: Vec<Checks> = asked.iter().flat_map(|question| question.checking.clone()).map(named).collect();
    for batch in &batches {
        let (endpoints, hosts) = (texts(batch, 0)?, texts(batch, 1)?);
        let one = |(endpoint, host): (Option<&str>, Option<&str>)| {
            Some(Checks { endpoint: endpoint?.to_owned(), host: Some(host.unwrap_or_default().to_owned()) })
        };
        checking.extend(endpoints.iter().zip(hosts.iter()).filter_map(one));
    }
    let (batches, truncated) = run(session, &who_was_there(asked, &checking, now_us)).await?;
    let mut found: Vec<Found> = asked.iter().map(|_| Found::default()).collect();
    for batch in &batches {
        let (addresses, whos, whose) = (texts(batch, 0)?, texts(batch, 1)?, texts(batch, 2)?);
        let counts = batch.column(3).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let Some(address) = Scope::parse(addresses.value(row)) else { continue };
            for (question, found) in asked.iter().zip(&mut found) {
                if question.scope.contains(&address) {
                    found.good_requests += counts.value(row).unsigned_abs();
                    found.principals.extend(whos.is_valid(row).then(|| whos.value(row).to_owned()));
                    found.tenants.extend(whose.is_valid(row).then(|| whose.value(row).to_owned()));
                }
            }
        }
    }
    let behind = |found: Found| Behind {
        // More than can be looked at is more than anybody may block without asking.
        principals: if truncated { u64::MAX } else { found.principals.len() as u64 },
        tenants: found.tenants.len() as u64,
        good_requests: found.good_requests,
        known,
    };
    Ok(found.into_iter().map(behind).collect())
}

/// An endpoint that asks who somebody is; at any host where an alert says so, which names none.
struct Checks {
    endpoint: String,
    host: Option<String>,
}

#[derive(Default)]
struct Found {
    principals: HashSet<String>,
    tenants: HashSet<String>,
    good_requests: u64,
}

async fn run(session: &SessionContext, sql: &str) -> Result<(Vec<RecordBatch>, bool), String> {
    let output = query::run(session, sql, LIMITS).await.map_err(|error| error.to_string())?;
    Ok((output.batches, output.truncated))
}

/// When the last event of the day happened, and the first of as many minutes before it as have events: one old line, or what was
/// stored before a long standstill, is no hour.
async fn known_times(session: &SessionContext, now_us: i64) -> Result<Option<(i64, i64)>, String> {
    // A clock that is ahead says nothing of what is stored.
    let sql = format!(
        "SELECT min(time), max(time), count(DISTINCT date_trunc('minute', time)) FROM events WHERE {} AND time <= {}",
        last_day(now_us),
        stamp(now_us)
    );
    let (batches, _) = run(session, &sql).await?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
    let time = |column: usize| {
        let column = arrow::compute::cast(batch.column(column), &MICROS).map_err(|error| error.to_string())?;
        let times = column.as_primitive::<TimestampMicrosecondType>();
        Ok::<_, String>(times.is_valid(0).then(|| times.value(0)))
    };
    let minutes = batch.column(2).as_primitive::<Int64Type>().value(0);
    Ok(time(0)?.zip(time(1)?).map(|(first_us, last_us)| (first_us.max(last_us - minutes * MINUTE_US), last_us)))
}

fn texts(batch: &RecordBatch, column: usize) -> Result<StringArray, String> {
    let cast = arrow::compute::cast(batch.column(column), &DataType::Utf8).map_err(|error| error.to_string())?;
    Ok(cast.as_string::<i32>().clone())
}

fn stamp(us: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(us).unwrap_or_default();
    format!("TIMESTAMP '{}'", time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
}

fn last_day(now_us: i64) -> String {
    let since_us = now_us.saturating_sub(DAY_US);
    let since = chrono::DateTime::from_timestamp_micros(since_us).unwrap_or_default();
    format!("day >= DATE '{}' AND time >= {}", since.format("%Y-%m-%d"), stamp(since_us))
}

/// Endpoints that refuse who does not say who they are: a good answer there means that a name is more than a claim.
fn who_checks(now_us: i64) -> String {
    format!(
        "SELECT endpoint, host FROM events WHERE status = 401 AND endpoint IS NOT NULL AND {} \
         GROUP BY endpoint, host ORDER BY count(*) DESC LIMIT {CHECKING_MAX}",
        last_day(now_us)
    )
}

/// Good requests of the last day by address, principal and tenant, of those whom somebody vouches for: the gateway that
/// authenticated them (older rows tell it of its consumers alone), or an endpoint that checks names and credentials. A token that
/// nobody had to verify is a claim like a name: anybody can write one. A network is cut out of what begins like it.
fn who_was_there(asked: &[Question], checking: &[Checks], now_us: i64) -> String {
    let there = |question: &Question| format!("({} AND time < {})", within(&question.scope), stamp(question.before_us));
    let there: Vec<String> = asked.iter().map(there).collect();
    let checked = |one: &Checks| match &one.host {
        None => format!("endpoint = {}", quoted(&one.endpoint)),
        Some(host) => format!("(endpoint = {} AND coalesce(host, '') = {})", quoted(&one.endpoint), quoted(host)),
    };
    let checked: Vec<String> = checking.iter().map(checked).collect();
    let checked = if checked.is_empty() { "false".to_owned() } else { format!("({})", checked.join(" OR ")) };
    format!(
        "SELECT client_ip, principal, tenant, count(*) FROM events WHERE status BETWEEN 100 AND 399 AND {} AND ({}) \
         AND (coalesce(principal_source = 'gateway', principal_kind = 'consumer') OR ((credential IS NOT NULL OR principal IS NOT NULL) AND {checked})) \
         GROUP BY client_ip, principal, tenant",
        last_day(now_us),
        there.join(" OR ")
    )
}

fn within(scope: &Scope) -> String {
    if scope.is_address() {
        return format!("client_ip = '{scope}'");
    }
    let separator = if scope.is_v4() { '.' } else { ':' };
    let text = scope.net().addr().to_string();
    // Two groups are written the same in every address of a network of at least 32 bits.
    let groups: Vec<&str> = text.split(separator).take(2).filter(|group| !group.is_empty()).collect();
    let wide = scope.net().prefix_len() < if scope.is_v4() { 16 } else { 32 }
        || groups.len() < 2
        // Then `::` may stand in its place in one address and not in another.
        || (!scope.is_v4() && groups.contains(&"0"));
    if wide {
        "true".to_owned()
    } else {
        format!("client_ip LIKE '{}{separator}%'", groups.join(&separator.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_772_445_600_000_000;

    fn question(text: &str, before_us: i64) -> Question {
        Question { scope: Scope::parse(text).expect("a scope"), before_us, opened_us: before_us, checking: Vec::new() }
    }

    #[test]
    fn a_network_is_asked_for_by_how_its_addresses_begin() {
        let asked = |text: &str| within(&Scope::parse(text).expect("a scope"));
        assert_eq!(asked("203.0.113.7"), "client_ip = '203.0.113.7'");
        assert_eq!(asked("203.0.113.0/24"), "client_ip LIKE '203.0.%'");
        assert_eq!(asked("2001:db8:0:5::/64"), "client_ip LIKE '2001:db8:%'");
        assert_eq!(asked("2001:db8::/64"), "client_ip LIKE '2001:db8:%'");
        assert_eq!(asked("2001::/32"), "true");
        assert_eq!(asked("2a00:0:0:1::/64"), "true", "2a00::1:a:b:c:d is in it");
    }

    /// Hour, minute, address, principal, its kind and source, credential, endpoint, status.
    type Row<'r> = (&'r str, &'r str, &'r str, &'r str, &'r str, &'r str, &'r str, &'r str, i32);

    /// An hour of the lake, of one address from whose second half on somebody attacks; and so many minutes of the hour before it.
    async fn lake(before_minutes: u32) -> SessionContext {
        let session = SessionContext::new();
        let rows = [
            // An office: tokens, names of the gateway's consumers, names at a page with a log-in.
            ("10", "'203.0.113.7'", "'anna'", "'user'", "'unproven'", "'tok:1'", "GET /orders", 200),
            ("11", "'203.0.113.7'", "'shop'", "'consumer'", "'gateway'", "NULL", "GET /orders", 200),
            ("12", "'203.0.113.7'", "'bela'", "'user'", "'unproven'", "NULL", "GET /inside", 200),
            ("13", "'198.51.100.1'", "NULL", "NULL", "NULL", "NULL", "GET /inside", 401),
            // Invented names on a page without one, before and in the attack.
            ("14", "'203.0.113.7'", "'nobody1'", "'user'", "'unproven'", "NULL", "GET /", 200),
            ("40", "'203.0.113.7'", "'nobody2'", "'user'", "'unproven'", "NULL", "GET /", 200),
            // A forged token, which a public page answers like any other, and one that calls itself a service.
            ("17", "'203.0.113.7'", "'forged1'", "'user'", "'unproven'", "'tok:8'", "GET /", 200),
            // A consumer by a name that anybody can write, and one of a row of before the column.
            ("19", "'203.0.113.7'", "'forged3'", "'consumer'", "'unproven'", "NULL", "GET /", 200),
            ("20", "'203.0.113.7'", "'store'", "'consumer'", "NULL", "NULL", "GET /", 200),
            ("18", "'203.0.113.7'", "'forged2'", "'service'", "'unproven'", "'tok:9'", "GET /", 200),
            // The same page of another host, which asks for no log-in.
            ("21", "'203.0.113.7'", "'forged4'", "'user'", "'unproven'", "'tok:7'", "GET /orders", 200),
            // Proven, but of the attack itself.
            ("41", "'203.0.113.7'", "'mallory'", "'user'", "'unproven'", "'tok:2'", "GET /orders", 200),
            // Refused.
            ("15", "'203.0.113.7'", "'carla'", "'user'", "'unproven'", "'tok:3'", "GET /orders", 401),
            ("16", "'2001:db8::5'", "'dora'", "'user'", "'unproven'", "'tok:4'", "GET /orders", 204),
        ];
        let row = |(hour, minute, address, who, kind, source, credential, endpoint, status): Row<'_>| {
            format!(
                "SELECT DATE '2026-03-02' AS day, TIMESTAMP '2026-03-02T{hour}:{minute}:00Z' AS time, {address} AS client_ip, \
                 {who} AS principal, {kind} AS principal_kind, {source} AS principal_source, {credential} AS credential, NULL AS tenant, \
                 CASE WHEN '{minute}' = '21' THEN 'www.example.com' ELSE 'api.example.com' END AS host, \
                 '{endpoint}' AS endpoint, {status} AS status"
            )
        };
        let now = rows.into_iter().map(|(minute, a, b, c, d, e, f, g)| row(("09", minute, a, b, c, d, e, f, g)));
        let before = |minute: u32| {
            row(("08", &format!("{minute:02}"), "'198.51.100.1'", "NULL", "NULL", "NULL", "NULL", "GET /", 200))
        };
        let rows: Vec<String> = now.chain((0..before_minutes).map(before)).collect();
        let table = format!("CREATE TABLE events AS {}", rows.join(" UNION ALL "));
        session.sql(&table).await.expect("a table").collect().await.expect("filled");
        session
    }

    #[tokio::test]
    async fn only_who_has_proven_it_and_was_there_before_counts() {
        let session = lake(60).await;
        let began_us = NOW_US - 30 * MINUTE_US;
        let asked = [question("203.0.113.7", began_us), question("2001:db8::/64", began_us)];
        let found = ask_of(&session, &asked, NOW_US).await.expect("answers");
        let known = Some((NOW_US - 93 * MINUTE_US, NOW_US - 19 * MINUTE_US));
        assert_eq!(found[0], Behind { principals: 4, tenants: 0, good_requests: 4, known });
        assert_eq!(found[1], Behind { principals: 1, tenants: 0, good_requests: 1, known });
        // The alert itself may show that a page asks for a log-in.
        let shown = Question { checking: vec!["GET /".to_owned()], ..question("203.0.113.7", began_us) };
        let found = ask_of(&session, &[shown], NOW_US).await.expect("answers");
        assert_eq!(found[0].principals, 8);
    }

    #[tokio::test]
    async fn a_principals_credentials_are_those_that_the_gateway_let_in() {
        let table = "CREATE TABLE events AS SELECT DATE '2026-03-02' AS day, TIMESTAMP '2026-03-02T09:00:00Z' AS time, * FROM (VALUES \
                     ('tok:1', 'o''neil', 'gateway'), ('tok:1', 'o''neil', 'gateway'), ('tok:2', 'o''neil', 'unproven'), \
                     ('tok:3', 'anna', 'gateway'), (NULL, 'o''neil', 'gateway')) AS t (credential, principal, principal_source)";
        let session = SessionContext::new();
        session.sql(table).await.expect("a table").collect().await.expect("filled");
        let found = credentials_of(&session, &["o'neil".to_owned()], NOW_US).await.expect("answers");
        assert_eq!(found, [("tok:1".to_owned(), "o'neil".to_owned())]);
    }

    /// Twenty minutes are stored of the time before: who came since counts, and it is said how little it is.
    #[tokio::test]
    async fn a_young_lake_says_that_it_is_young() {
        let asked = [question("203.0.113.7", NOW_US - 30 * MINUTE_US)];
        let found = ask_of(&lake(0).await, &asked, NOW_US).await.expect("answers");
        let known = Some((NOW_US - 33 * MINUTE_US, NOW_US - 19 * MINUTE_US));
        assert_eq!(found[0], Behind { principals: 5, tenants: 0, good_requests: 5, known });
        // One minute of an hour before that is no hour.
        let found = ask_of(&lake(1).await, &asked, NOW_US).await.expect("answers");
        let known = Some((NOW_US - 34 * MINUTE_US, NOW_US - 19 * MINUTE_US));
        assert_eq!(found[0], Behind { principals: 5, tenants: 0, good_requests: 5, known });
        // Two days later nothing is stored of the day.
        let found = ask_of(&lake(60).await, &asked, NOW_US + 2 * DAY_US).await.expect("answers");
        assert_eq!(found[0], Behind::default());
        let folder = tempfile::tempdir().expect("a folder");
        let uri = format!("file://{}/lake", folder.path().display());
        let empty = LakeBystanders { uri, options: HashMap::new() };
        assert_eq!(empty.behind(&asked, NOW_US).await.expect("answers"), [Behind::default()]);
    }
}
