//! Every bound of the service in one place: what it limits and what happens when it is reached. The bounds of
//! normalising and detection are in those crates' own `limits`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Batches between the reader and the engine, besides one for each thread that normalises, and jobs that wait for one of
/// these threads. Full: the reader waits.
pub const READ_QUEUE_BATCHES: usize = 4;
/// Threads that normalise, and among which detectors are divided; a configuration that asks for more: refused. Without a word
/// there are as many as processors, up to so many: what each of them remembers of texts takes memory.
pub const THREADS_MAX: usize = 64;
pub const THREADS_DEFAULT_MAX: usize = 4;
/// Tellings of alerts, each of one step of detection, that wait for the outbox. Full: detection waits.
pub const TELLINGS_WAITING_MAX: usize = 64;
/// Rows the merge may hold back before lanes that are ahead are paused. They resume at half of it.
pub const HELD_ROWS_MAX: usize = 65_536;
/// Event rows of one checkpoint; reached: commit now, but while the one before fails or its upkeep goes on: then the bytes count.
pub const CHECKPOINT_ROWS_MAX: usize = 262_144;
/// Bytes of event columns of one checkpoint; reached: commit now.
pub const CHECKPOINT_BYTES_MAX: usize = 256 << 20;
/// Alert tellings and rejects of one checkpoint; reached: commit now.
pub const CHECKPOINT_SIDE_ROWS_MAX: usize = 50_000;
/// Bytes of the states of lanes in one checkpoint; lanes beyond it begin to learn anew after a restart.
pub const LANE_STATES_BYTES_MAX: usize = 128 << 20;
/// Bytes of an OpenAPI document; larger: refused.
pub const OPENAPI_BYTES_MAX: u64 = 32 << 20;
/// Action steps copied to the lake in one commit; the rest follow in the next.
pub const ACTION_STEPS_MAX: u32 = 10_000;
/// Actions that ended longer ago leave the outbox; their steps stay in the lake.
pub const OUTBOX_KEPT_US: i64 = 30 * 86_400_000_000;
/// Entries of the audit copied to the lake in one commit; the rest follow in the next.
pub const AUDIT_ENTRIES_MAX: u32 = 10_000;
/// Bytes of an entry's detail; longer: its length and hash stand in its place. Bytes of who and about what: cut.
pub const AUDIT_DETAIL_BYTES_MAX: usize = 16 << 10;
pub const AUDIT_TEXT_BYTES_MAX: usize = 256;
/// Entries of the audit, and time, after which a head is signed.
pub const AUDIT_HEAD_ENTRIES_MAX: i64 = 256;
pub const AUDIT_HEAD_AGE_US: i64 = 60_000_000;
/// Entries that are in the lake and older than this leave the state store.
pub const AUDIT_KEPT_US: i64 = 30 * 86_400_000_000;
/// Rejects, and bytes of their records, that are replayed in one commit; more follow in the next.
pub const REPLAY_ROWS_MAX: usize = 2_000;
pub const REPLAY_BYTES_MAX: u64 = 32 << 20;
/// Bytes of a record; longer: a reject `oversized`, with its length.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Bytes of the body of a request that pushes records; a configuration that asks for more: refused.
pub const BODY_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a spool; a configuration that asks for less: refused.
pub const SPOOL_BYTES_MIN: u64 = 64 << 20;
/// Connections of one listener; a configuration that asks for more: refused.
pub const CONNECTIONS_MAX: usize = 65_536;
/// Bytes of a configuration, detector or mapping file; larger: refused.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a database of addresses; larger: refused, it is held in memory.
pub const GEO_BYTES_MAX: u64 = 1 << 30;
/// How long it takes at most until a replaced database is noticed, while records come.
pub const GEO_ASKED_EVERY_US: i64 = 5_000_000;
/// Detector files loaded from folders; more: refused.
pub const DETECTOR_FILES_MAX: usize = 10_000;
/// Files of Sigma rules loaded from a folder; more: refused. The public collection has 4,000.
pub const SIGMA_FILES_MAX: usize = 50_000;
/// Bytes of one event that `sigma test` reads; larger: refused.
pub const SIGMA_EVENT_BYTES_MAX: u64 = 4 << 20;
/// Events that `sigma test` holds to put them in order of time for correlations; more: refused.
pub const SIGMA_EVENTS_MAX: usize = 1_000_000;

/// Whether there may be so many threads.
pub fn check_threads(threads: usize) -> Result<usize, String> {
    let may = (1..=THREADS_MAX).contains(&threads);
    may.then_some(threads).ok_or_else(|| format!("{threads}; expected 1 to {THREADS_MAX}"))
}

/// Takes as many open files as the system lets this process have: many systems begin with 1,024.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where that is refused it stays as it was; whoever opens files asks how many there may be.
    let _refused = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).is_err();
}

/// Files, connections and all else that this process may have open at once.
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

const _: () = assert!(CHECKPOINT_ROWS_MAX >= HELD_ROWS_MAX / 2, "held rows must fit a checkpoint's memory budget");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_files_may_be_open_as_the_system_allows() {
        raise_open_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!((limit.current, open_files()), (limit.maximum, limit.maximum.unwrap_or(u64::MAX)));
    }
}
