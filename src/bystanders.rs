//! Who else is behind an address: asked of the lake before anybody is blocked.
//!
//! Promises: bounded in time, rows and memory; what it cannot find out is an error, which the guard takes for "ask a person".
//! Never: sees what is not committed yet; that is at most one checkpoint.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::query::{self, QueryError, QueryLimits};
use crate::respond::scope::Scope;
use crate::respond::{Behind, Bystanders};

/// How far back is looked.
const DAY_US: i64 = 24 * 3_600_000_000;
const LIMITS: QueryLimits = QueryLimits { rows_max: 100_000, memory_bytes: 256 << 20, timeout: Duration::from_secs(5) };

pub struct LakeBystanders {
    pub uri: String,
    pub options: HashMap<String, String>,
}

impl Bystanders for LakeBystanders {
    fn behind<'a>(&'a self, scope: &'a Scope, now_us: i64) -> BoxFuture<'a, Result<Behind, String>> {
        self.ask(scope, now_us).boxed()
    }
}

impl LakeBystanders {
    async fn ask(&self, scope: &Scope, now_us: i64) -> Result<Behind, String> {
        let session = match query::session(&self.uri, &self.options, LIMITS).await {
            Ok(session) => session,
            // Nothing was ever committed, so nobody is known.
            Err(QueryError::NoLake { .. }) => return Ok(Behind::default()),
            Err(error) => return Err(error.to_string()),
        };
        let output = query::run(&session, &question(scope, now_us), LIMITS).await.map_err(|e| e.to_string())?;
        let mut behind = Behind::default();
        let (mut principals, mut tenants) = (HashSet::new(), HashSet::new());
        for batch in &output.batches {
            let text = |n: usize| arrow::compute::cast(batch.column(n), &arrow::datatypes::DataType::Utf8);
            let wrong = |error: arrow::error::ArrowError| error.to_string();
            let (addresses, whos, whose) = (text(0).map_err(wrong)?, text(1).map_err(wrong)?, text(2).map_err(wrong)?);
            let (addresses, whos, whose) =
                (addresses.as_string::<i32>(), whos.as_string::<i32>(), whose.as_string::<i32>());
            let counts = batch.column(3).as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                if !Scope::parse(addresses.value(row)).is_some_and(|address| scope.contains(&address)) {
                    continue;
                }
                behind.good_requests += counts.value(row).unsigned_abs();
                if whos.is_valid(row) {
                    principals.insert(whos.value(row).to_owned());
                }
                if whose.is_valid(row) {
                    tenants.insert(whose.value(row).to_owned());
                }
            }
        }
        // More than can be looked at is more than anybody may block without asking.
        behind.principals = if output.truncated { u64::MAX } else { principals.len() as u64 };
        behind.tenants = tenants.len() as u64;
        Ok(behind)
    }
}

/// Good requests of the last day by address, principal and tenant. A network is cut out of what begins like it.
fn question(scope: &Scope, now_us: i64) -> String {
    let since = chrono::DateTime::from_timestamp_micros(now_us.saturating_sub(DAY_US)).unwrap_or_default();
    let address = if scope.is_address() {
        format!("client_ip = '{scope}'")
    } else {
        let separator = if scope.is_v4() { '.' } else { ':' };
        let text = scope.net().addr().to_string();
        // Two groups are written the same in every address of a network of at least 32 bits.
        let groups: Vec<&str> = text.split(separator).take(2).filter(|group| !group.is_empty()).collect();
        let wide = scope.net().prefix_len() < if scope.is_v4() { 16 } else { 32 } || groups.len() < 2;
        if wide {
            "true".to_owned()
        } else {
            format!("client_ip LIKE '{}{separator}%'", groups.join(&separator.to_string()))
        }
    };
    format!(
        "SELECT client_ip, principal, tenant, count(*) FROM events WHERE {address} AND status BETWEEN 100 AND 399 \
         AND day >= DATE '{}' AND time >= TIMESTAMP '{}' GROUP BY client_ip, principal, tenant",
        since.format("%Y-%m-%d"),
        since.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_asked_for_by_how_its_addresses_begin() {
        let asked = |text: &str| question(&Scope::parse(text).expect("a scope"), 1_772_445_600_000_000);
        assert!(asked("203.0.113.7").contains("WHERE client_ip = '203.0.113.7' AND status BETWEEN 100 AND 399"));
        assert!(
            asked("203.0.113.7")
                .contains("day >= DATE '2026-03-01' AND time >= TIMESTAMP '2026-03-01T10:00:00.000000Z'")
        );
        assert!(asked("203.0.113.0/24").contains("client_ip LIKE '203.0.%'"));
        assert!(asked("2001:db8:0:5::/64").contains("client_ip LIKE '2001:db8:%'"));
        assert!(asked("2001:db8::/64").contains("client_ip LIKE '2001:db8:%'"));
        assert!(asked("2001::/32").contains("WHERE true"));
    }
}
