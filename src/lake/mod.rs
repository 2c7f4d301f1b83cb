//! The lake: the Delta tables `events`, `alerts`, `actions`, `rejects` and `audit`, and the checkpoints of this copy.
//!
//! One checkpoint is one commit to `events`. It adds the event rows since the last checkpoint, moves the marker of every
//! lane (`gatewatch/<source>/<partition>`: the next offset), and numbers the checkpoint of this instance. The state file
//! stored before it holds what a restart needs and the alerts and rejects of the checkpoint, which are appended to their
//! tables after it; after a crash in between, opening the lake appends them. Positions come from here and nowhere else.
//!
//! Promises: each event, telling, reject and action row is stored once, whatever crashes when. A writer whose lanes were
//! taken over is refused with `Fenced` before it can store anything.
//! Never: decides when to checkpoint; deletes a row, except by `maintain`.

mod action_row;
mod append;
mod audit_row;
mod encode;
mod error;
mod lanes;
mod layout;
mod log;
mod maintain;
mod markers;
mod mend;
mod pins;
mod rows;
mod state;
mod storage;
mod synced;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use chrono::NaiveDate;
use deltalake::kernel::Action;
use deltalake::{ObjectStore, ObjectStoreError};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use schemas::{Alert, Lane, Reject};
use url::Url;

pub use action_row::ActionRow;
pub use append::{ActionLog, AuditLog};
pub use audit_row::AuditRow;
pub(crate) use encode::fit;
pub use error::LakeError;
pub use lanes::stored_lane_states;
pub use layout::{DAY, Table};
pub use maintain::{MaintainReport, Maintenance, RetainDays, TableReport, maintain};
pub use mend::{Damage, mend};
pub use pins::Pinned;

use error::During;
use log::{Change, Place, TableLog};
use state::State;
pub(crate) use storage::{check as check_storage, root_url, table as open_table};

/// Size at which a data file is closed and the next one begun.
pub const FILE_BYTES_TARGET: u64 = 128 << 20;
/// State files of committed checkpoints that are kept: the last one, and the one before it.
const STATES_KEPT: i64 = 2;
const INSTANCE_BYTES_MAX: usize = 64;

/// Where the lake is.
#[derive(Clone)]
pub struct LakeConfig {
    /// A local folder, or `s3://bucket/prefix`.
    pub uri: String,
    /// Storage options: credentials, endpoint, region.
    pub options: HashMap<String, String>,
    pub file_bytes_target: u64,
    /// The clock: microseconds since 1970. Only notes when files were written; no row depends on it.
    pub now_us: fn() -> i64,
}

impl LakeConfig {
    pub fn new(uri: &str, now_us: fn() -> i64) -> LakeConfig {
        LakeConfig { uri: uri.to_string(), options: HashMap::new(), file_bytes_target: FILE_BYTES_TARGET, now_us }
    }
}

impl std::fmt::Debug for LakeConfig {
    /// The options may hold credentials: only their names are shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let options: Vec<&String> = self.options.keys().collect();
        f.debug_struct("LakeConfig").field("uri", &self.uri).field("options", &options).finish_non_exhaustive()
    }
}

/// Everything between two checkpoints.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    pub events: Vec<RecordBatch>,
    /// The next offset of each lane these rows, rejects and this snapshot cover.
    pub positions: Vec<(Lane, i64)>,
    pub snapshot: Vec<u8>,
    /// Tellings since the last checkpoint.
    pub alerts: Vec<Alert>,
    pub rejects: Vec<Reject>,
    /// What lanes have to know to go on at their positions, as far as it is kept.
    pub lane_states: Vec<(Lane, Arc<[u8]>)>,
}

/// What a restart continues from.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovered {
    pub checkpoint: i64,
    /// Of every lane this instance committed: where it stands now, also if another copy moved it since.
    pub positions: Vec<(Lane, i64)>,
    /// Empty when the state file was lost.
    pub snapshot: Vec<u8>,
    /// Of lanes that no other copy moved since.
    pub lane_states: Vec<(Lane, Arc<[u8]>)>,
}

/// What a checkpoint became.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Committed {
    pub checkpoint: i64,
    /// Version of the `events` table.
    pub version: u64,
    pub rows: usize,
    pub files: usize,
    pub bytes: u64,
    /// Whether the alerts and rejects are in their tables, too. If not, the next commit or opening brings them there.
    pub told: bool,
}

/// The lake, opened by one instance for writing.
pub struct Lake {
    config: LakeConfig,
    instance: String,
    root: Arc<dyn ObjectStore>,
    events: TableLog,
    alerts: TableLog,
    rejects: TableLog,
    actions: ActionLog,
    audit: AuditLog,
    /// Number of the last committed checkpoint, 0 before the first.
    checkpoint: i64,
    /// Where each lane stood when this writer last looked or committed; none: never committed.
    held: BTreeMap<Lane, Option<i64>>,
    /// Lanes this instance committed.
    own: BTreeMap<Lane, i64>,
    /// Committed, but its alerts and rejects are not in their tables yet.
    unfinished: Option<State>,
}

/// A checkpoint whose files are stored, not yet committed.
struct Prepared {
    state: State,
    digest: i64,
    adds: Vec<Action>,
    /// Lanes of the checkpoint and their next offsets.
    moves: Vec<(Lane, i64)>,
    report: Committed,
}

impl Lake {
    /// Opens the lake, creates the tables when they are missing, and completes a checkpoint that a crash cut short.
    pub async fn open(config: &LakeConfig, instance: &str) -> Result<(Lake, Option<Recovered>), LakeError> {
        check_instance(instance)?;
        let root_url = root_url(&config.uri)?;
        let open = |table| TableLog::open(place(config, &root_url, table));
        let mut lake = Lake {
            root: root_store(config, &root_url)?,
            events: open(Table::Events).await?,
            alerts: open(Table::Alerts).await?,
            rejects: open(Table::Rejects).await?,
            actions: ActionLog::open(config, instance).await?,
            audit: AuditLog::open(config, instance).await?,
            config: config.clone(),
            instance: instance.to_string(),
            checkpoint: 0,
            held: BTreeMap::new(),
            own: BTreeMap::new(),
            unfinished: None,
        };
        let recovered = lake.recover().await?;
        Ok((lake, recovered))
    }

    /// The next offset to read of a lane, as this writer last saw it. None when nothing of it was ever committed, or
    /// when `refresh_positions` was never asked for it.
    pub fn next_offset(&self, lane: &Lane) -> Option<i64> {
        self.held.get(lane).copied().flatten()
    }

    /// Reads where these lanes stand now. To be called for every lane that is taken up, since another copy may have
    /// moved it; what is returned is where to continue.
    pub async fn refresh_positions(&mut self, lanes: &[Lane]) -> Result<Vec<(Lane, Option<i64>)>, LakeError> {
        self.events.refresh().await?;
        let mut positions = Vec::with_capacity(lanes.len());
        for lane in lanes {
            let position = self.events.marker(&lane_id(lane)).await?;
            self.held.insert(lane.clone(), position);
            positions.push((lane.clone(), position));
        }
        Ok(positions)
    }

    /// Stores a checkpoint. After a retryable error the same call may be repeated: what was committed is not committed
    /// twice. After `Fenced` the lake must be opened again.
    pub async fn commit(&mut self, checkpoint: &Checkpoint) -> Result<Committed, LakeError> {
        self.finish().await?;
        self.check_positions(checkpoint)?;
        let prepared = self.prepare(checkpoint).await?;
        let mut report = self.commit_prepared(prepared).await?;
        match self.finish().await {
            Ok(()) => report.told = true,
            // The checkpoint stands: an error here would make the caller repeat it.
            Err(error) => tracing::warn!(%error, "alerts and rejects of checkpoint {} wait", report.checkpoint),
        }
        self.drop_states(report.checkpoint - STATES_KEPT).await;
        Ok(report)
    }

    /// Number of the last committed checkpoint, 0 before the first.
    pub fn checkpoint(&self) -> i64 {
        self.checkpoint
    }

    /// Appends action rows once: those numbered above the marker, which then becomes `through`.
    pub async fn append_actions(&mut self, rows: &[ActionRow], through: i64) -> Result<usize, LakeError> {
        self.actions.append(rows, through).await
    }

    /// The highest number of an action row stored by this instance.
    pub fn actions_marker(&self) -> Option<i64> {
        self.actions.marker()
    }

    /// Appends entries of the audit once: those numbered above the marker, which then becomes `through`.
    pub async fn append_audit(&mut self, rows: &[AuditRow], through: i64) -> Result<usize, LakeError> {
        self.audit.append(rows, through).await
    }

    /// The highest number of an audit entry stored by this instance.
    pub fn audit_marker(&self) -> Option<i64> {
        self.audit.marker()
    }

    /// Compacts, expires and vacuums. The same as the free function `maintain`, which may run beside this writer.
    pub async fn maintain(&mut self, policy: &Maintenance, today: NaiveDate) -> Result<MaintainReport, LakeError> {
        maintain(&self.config, policy, today).await
    }

    fn check_positions(&self, checkpoint: &Checkpoint) -> Result<(), LakeError> {
        let mut moved = false;
        for (lane, asked) in &checkpoint.positions {
            match self.next_offset(lane) {
                Some(held) if *asked < held => {
                    return Err(LakeError::Backwards { lane: lane.to_string(), held, asked: *asked });
                }
                held => moved |= held != Some(*asked),
            }
        }
        if !moved && checkpoint.events.iter().any(|batch| batch.num_rows() > 0) {
            let message = "no position moves with these rows: they would be stored twice".to_string();
            return Err(LakeError::Rows { table: Table::Events.name(), message });
        }
        Ok(())
    }

    /// Stores the data files and the state file. Nothing refers to them yet.
    async fn prepare(&self, checkpoint: &Checkpoint) -> Result<Prepared, LakeError> {
        let number = self.checkpoint + 1;
        let label = format!("{number:010}-{}", self.instance);
        let files = encode::encode(Table::Events, &checkpoint.events, &label, self.config.file_bytes_target)?;
        let mut own = self.own.clone();
        own.extend(checkpoint.positions.iter().cloned());
        let some = |rows: RecordBatch| (rows.num_rows() > 0).then_some(rows);
        let state = State {
            instance: self.instance.clone(),
            checkpoint: number,
            positions: own.into_iter().collect(),
            snapshot: checkpoint.snapshot.clone(),
            alerts: some(rows::alerts(&checkpoint.alerts)?),
            rejects: some(rows::rejects(&checkpoint.rejects)?),
            lane_states: checkpoint.lane_states.clone(),
        };
        let file = state.encode().map_err(|e| LakeError::rows("state", e))?;
        let path = state::path(&self.instance, number, file.digest);
        let put = self.root.put(&Path::from(path.as_str()), file.bytes.into()).await;
        put.during(|| format!("store {path}"))?;
        let report = Committed {
            checkpoint: number,
            version: 0,
            rows: files.iter().map(|f| f.rows).sum(),
            files: files.len(),
            bytes: files.iter().map(|f| f.bytes.len() as u64).sum(),
            told: false,
        };
        let adds = append::store(&self.events, files, self.config.now_us, true).await?;
        Ok(Prepared { state, digest: file.digest, adds, moves: checkpoint.positions.clone(), report })
    }

    /// The commit point.
    async fn commit_prepared(&mut self, prepared: Prepared) -> Result<Committed, LakeError> {
        let Prepared { state, digest, adds, moves, mut report } = prepared;
        let mut expects = vec![(instance_id(&self.instance), Some(self.checkpoint).filter(|n| *n > 0))];
        let mut sets = vec![
            (instance_id(&self.instance), state.checkpoint),
            // Which state file belongs to the checkpoint: two writers of one name would differ here.
            (state_id(&self.instance), digest),
        ];
        for (lane, next) in &moves {
            let held = self.next_offset(lane);
            expects.push((lane_id(lane), held));
            if held != Some(*next) {
                sets.push((lane_id(lane), *next));
            }
        }
        let change = Change { operation: Change::append(), actions: adds, sets, expects };
        report.version = self.events.commit(&change).await?;
        self.checkpoint = state.checkpoint;
        self.own = state.positions.iter().cloned().collect();
        self.held.extend(moves.into_iter().map(|(lane, next)| (lane, Some(next))));
        self.unfinished = Some(State { snapshot: Vec::new(), lane_states: Vec::new(), ..state });
        Ok(report)
    }

    /// Appends the alerts and rejects of a committed checkpoint, unless they are there.
    async fn finish(&mut self) -> Result<(), LakeError> {
        let Some(state) = &self.unfinished else { return Ok(()) };
        let app_id = instance_id(&self.instance);
        for (log, rows) in [(&mut self.alerts, &state.alerts), (&mut self.rejects, &state.rejects)] {
            if let Some(rows) = rows {
                append::append_once(log, &self.config, &app_id, state.checkpoint, rows).await?;
            }
        }
        self.unfinished = None;
        Ok(())
    }

    async fn recover(&mut self) -> Result<Option<Recovered>, LakeError> {
        let Some(number) = self.events.marker(&instance_id(&self.instance)).await? else {
            return Ok(None);
        };
        let digest = self.events.marker(&state_id(&self.instance)).await?.unwrap_or_default();
        self.checkpoint = number;
        let state = match read_state(&*self.root, &self.instance, number, digest).await {
            Ok(state) => state,
            // Lanes go on where the log says. What only this file had is gone, and somebody is told.
            Err(error @ (LakeError::StateDamaged { .. } | LakeError::StateMissing { .. })) => {
                tracing::error!(
                    "{error}; detection starts without a past, and alerts and rejects of checkpoint {number} that were not in \
                     their tables yet are gone"
                );
                let (positions, snapshot, lane_states) = (Vec::new(), Vec::new(), Vec::new());
                return Ok(Some(Recovered { checkpoint: number, positions, snapshot, lane_states }));
            }
            Err(error) => return Err(error),
        };
        let mut positions = Vec::with_capacity(state.positions.len());
        for (lane, committed) in &state.positions {
            let now = self.events.marker(&lane_id(lane)).await?.unwrap_or(*committed);
            self.held.insert(lane.clone(), Some(now));
            self.own.insert(lane.clone(), now);
            positions.push((lane.clone(), now));
        }
        let State { snapshot, mut lane_states, .. } = state;
        // Where another copy went on, what this one knew is of no use.
        let committed: BTreeMap<&Lane, i64> = state.positions.iter().map(|(lane, at)| (lane, *at)).collect();
        lane_states.retain(|(lane, _)| committed.get(lane) == self.own.get(lane));
        self.unfinished = Some(State { snapshot: Vec::new(), lane_states: Vec::new(), ..state });
        self.finish().await?;
        self.drop_states(number - STATES_KEPT).await;
        Ok(Some(Recovered { checkpoint: number, positions, snapshot, lane_states }))
    }

    /// Removes the state files of checkpoints up to `through`. They are of no use any more; failing is no harm.
    async fn drop_states(&self, through: i64) {
        let folder = Path::from(state::folder(&self.instance));
        let listed: Result<Vec<_>, _> = self.root.list(Some(&folder)).try_collect().await;
        let old = |path: &Path| path.filename().and_then(state::number).is_some_and(|number| number <= through);
        let result = match listed {
            Err(error) => Err(error),
            Ok(files) => {
                let mut result = Ok(());
                for file in files.iter().filter(|f| old(&f.location)) {
                    result = result.and(self.root.delete(&file.location).await);
                }
                result
            }
        };
        if let Err(error) = result {
            tracing::warn!(%error, "could not remove old state files");
        }
    }
}

async fn read_state(root: &dyn ObjectStore, instance: &str, checkpoint: i64, digest: i64) -> Result<State, LakeError> {
    let path = state::path(instance, checkpoint, digest);
    let bytes = match root.get(&Path::from(path.as_str())).await {
        Ok(found) => found.bytes().await.during(|| format!("read {path}"))?,
        Err(ObjectStoreError::NotFound { .. }) => return Err(LakeError::StateMissing { checkpoint, path }),
        Err(error) => return Err(error).during(|| format!("read {path}")),
    };
    let state =
        State::decode(&bytes, digest).map_err(|message| LakeError::StateDamaged { path: path.clone(), message })?;
    if state.instance != instance || state.checkpoint != checkpoint {
        let message = format!("it is checkpoint {} of {}", state.checkpoint, state.instance);
        return Err(LakeError::StateDamaged { path, message });
    }
    Ok(state)
}

/// Where lanes stand in the lake, for a reader that has no writer at hand. None when nothing of one was ever committed.
pub async fn stored_positions(config: &LakeConfig, lanes: &[Lane]) -> Result<Vec<Option<i64>>, LakeError> {
    let place = place(config, &root_url(&config.uri)?, Table::Events);
    if !place.exists().await? {
        return Ok(vec![None; lanes.len()]);
    }
    let mut log = TableLog::open(place).await?;
    let mut positions = Vec::with_capacity(lanes.len());
    for lane in lanes {
        positions.push(log.marker(&lane_id(lane)).await?);
    }
    Ok(positions)
}

fn lane_id(lane: &Lane) -> String {
    format!("gatewatch/{lane}")
}

fn instance_id(instance: &str) -> String {
    format!("gatewatch/instance/{instance}")
}

fn state_id(instance: &str) -> String {
    format!("gatewatch/state/{instance}")
}

/// An instance name is part of file names and markers. At least one letter, because `gatewatch/instance/7` could also be
/// partition 7 of a source called `instance`.
pub fn check_instance(instance: &str) -> Result<(), LakeError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fits = !instance.is_empty() && instance.len() <= INSTANCE_BYTES_MAX && !instance.starts_with('.');
    if fits && instance.chars().all(plain) && instance.chars().any(|c| c.is_ascii_alphabetic()) {
        return Ok(());
    }
    Err(LakeError::Config(format!(
        "instance name `{instance}`: up to {INSTANCE_BYTES_MAX} of A-Z a-z 0-9 . _ -, with at least one letter, not \
         starting with a dot"
    )))
}

pub(crate) fn place(config: &LakeConfig, root: &Url, table: Table) -> Place {
    let mut url = root.clone();
    url.set_path(&format!("{}{}/", root.path(), table.name()));
    Place { table, url, options: config.options.clone() }
}

fn root_store(config: &LakeConfig, root: &Url) -> Result<Arc<dyn ObjectStore>, LakeError> {
    let open = storage::table(root.clone(), &config.options).and_then(|builder| builder.build_storage());
    Ok(open.during(|| format!("open {root}"))?.object_store(None))
}
