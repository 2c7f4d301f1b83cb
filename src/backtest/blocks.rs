//! What a block would have hit: the requests that came from an address while the detectors wanted it kept out.
//!
//! Promises: counts real requests of the lake, those from the opening of the alert on until so long after it; a network counts as
//! all its addresses.
//! Never: asks the guard rails of the response (never-block, preflight, budget, approval): it tells what they would have to hold.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use anyhow::Context;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use ipnet::IpNet;
use serde::Serialize;

use super::Period;
use crate::query::QueryError;

/// Principals of one block that are counted one by one; beyond them the number is what it is at least.
const PRINCIPALS_MAX: usize = 10_000;

/// An address that is kept out for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The alert that asks for it.
    pub alert: String,
    pub detector: String,
    /// An address or a network.
    pub entity: String,
    pub from_us: i64,
    pub to_us: i64,
}

/// What it hits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hit {
    pub alert: String,
    pub detector: String,
    pub entity: String,
    /// Requests in its time.
    pub requests: u64,
    /// Those of them that were answered well (200 to 399).
    pub answered: u64,
    /// Who was answered well, where the gateway says who it was.
    pub principals: u64,
}

/// What each of the blocks would have hit.
pub async fn hits(session: &SessionContext, blocks: &[Block]) -> anyhow::Result<Vec<Hit>> {
    let Some(from_us) = blocks.iter().map(|block| block.from_us).min() else { return Ok(Vec::new()) };
    let to_us = blocks.iter().map(|block| block.to_us).max();
    let mut counted = Counted::of(blocks);
    let sql = format!(
        "SELECT arrow_cast(client_ip, 'Utf8') AS client_ip, arrow_cast(time, 'Int64') AS time_us, status, \
         arrow_cast(CASE WHEN principal_source = 'unproven' THEN NULL ELSE principal END, 'Utf8') AS principal \
         FROM events WHERE client_ip IS NOT NULL AND {}",
        Period::sql(Some(from_us), to_us, "time")
    );
    let fail = |error: datafusion::error::DataFusionError| QueryError::Failed(error.to_string());
    let frame = session.sql(&sql).await.map_err(fail).context("reading requests")?;
    let mut stream = frame.execute_stream().await.map_err(fail).context("reading requests")?;
    while let Some(batch) = stream.next().await {
        counted.note(&batch.map_err(fail).context("reading requests")?);
    }
    Ok(counted.hits())
}

struct Counted<'a> {
    blocks: &'a [Block],
    hits: Vec<(Hit, BTreeSet<String>)>,
    addresses: HashMap<IpAddr, Vec<usize>>,
    networks: Vec<(IpNet, usize)>,
}

impl<'a> Counted<'a> {
    fn of(blocks: &'a [Block]) -> Counted<'a> {
        let mut addresses: HashMap<IpAddr, Vec<usize>> = HashMap::new();
        let (mut networks, mut hits) = (Vec::new(), Vec::new());
        for (at, block) in blocks.iter().enumerate() {
            if let Ok(address) = block.entity.parse() {
                addresses.entry(address).or_default().push(at);
            } else if let Ok(network) = block.entity.parse() {
                networks.push((network, at));
            }
            let Block { alert, detector, entity, .. } = block.clone();
            hits.push((Hit { alert, detector, entity, ..Hit::default() }, BTreeSet::new()));
        }
        Counted { blocks, hits, addresses, networks }
    }

    fn note(&mut self, batch: &RecordBatch) {
        let (addresses, principals) = (batch.column(0).as_string::<i32>(), batch.column(3).as_string::<i32>());
        let (times, statuses) =
            (batch.column(1).as_primitive::<Int64Type>(), batch.column(2).as_primitive::<Int32Type>());
        for row in 0..batch.num_rows() {
            let Ok(address) = addresses.value(row).parse::<IpAddr>() else { continue };
            let known = self.addresses.get(&address).into_iter().flatten().copied();
            let within = self.networks.iter().filter(|(network, _)| network.contains(&address)).map(|(_, at)| *at);
            for at in known.chain(within) {
                let (block, (hit, who)) = (&self.blocks[at], &mut self.hits[at]);
                if !(block.from_us..block.to_us).contains(&times.value(row)) {
                    continue;
                }
                hit.requests += 1;
                if statuses.is_valid(row) && (200..400).contains(&statuses.value(row)) {
                    hit.answered += 1;
                    if principals.is_valid(row) && who.len() < PRINCIPALS_MAX {
                        who.insert(principals.value(row).to_owned());
                    }
                }
            }
        }
    }

    fn hits(self) -> Vec<Hit> {
        self.hits.into_iter().map(|(hit, who)| Hit { principals: who.len() as u64, ..hit }).collect()
    }
}
