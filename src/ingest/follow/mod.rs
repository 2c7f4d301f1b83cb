//! Log files as they are written, by patterns. A lane is a content: it keeps its number when its file is renamed, copied or
//! packed, and its positions are offsets of bytes (unpacked ones where it is packed).
//!
//! Promises: each line once, across rotation by renaming, by copying and cutting, by packing, by deleting, and across kills
//! of the service at any moment. A line reaches the pipeline when its newline is written; inotify says so. A file that
//! cannot be read fails alone: it is told, and tried again.
//! Never: holds more of a file than a chunk and a line; waits for a FIFO; writes bytes of a log to disk.

mod cut;
pub mod find;
mod identity;
mod lane;
mod place;
mod registry;
mod scan;
mod tail;
mod tend;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemas::Lane;

pub use self::identity::{Content, Fit, Mark};
pub use self::registry::write_private;

use self::lane::Followed;
use self::place::{Copy, copy_of};
use self::registry::Registry;
use self::tail::{Pause, Tail};
use self::watch::Watch;
use self::{find::Patterns, identity::FileId};
use super::batch::Filling;
use super::shown::shown;
use super::{Clock, IngestError, Positions, ReadLimits, Signal, Source};
use crate::limits;
use crate::metric;

/// Files open at once, and no more than half of what the process may have; the rest waits until one of them is quiet.
const OPEN_MAX: usize = 4096;
/// A file to which no path leads any more is read for so long after its last line.
const QUIET_US: i64 = 60_000_000;
/// A file to which nothing was written for so long is closed until it is written to again.
const REST_US: i64 = 300_000_000;
/// Where no file matches for so long, something may be wrong with the pattern.
const NOTHING_US: i64 = 300_000_000;
/// Files that wait for so long to be opened are told of.
const WAITING_US: i64 = 120_000_000;
/// What the registry may learn later is written at most so often.
const SAVE_US: i64 = 1_000_000;
/// Everything is looked at so often, whatever the watches say.
const SWEEP_US: i64 = 10_000_000;
const BLIND_SWEEP_US: i64 = 1_000_000;
/// The longest wait before lanes are tended.
const WAIT: Duration = Duration::from_millis(50);
/// So many turns without a word, and others are asked first, whatever is left to read.
const TURNS_MAX: usize = 64;

/// What to follow, and how.
#[derive(Clone, Debug)]
pub struct FollowConfig {
    pub patterns: Patterns,
    /// Files that exist at the very first start are read from their end.
    pub start_at_end: bool,
    /// A file at its end for so long no longer holds the others back.
    pub idle_after: Duration,
    /// Where it is kept which lane is which file.
    pub registry: PathBuf,
}

pub struct FollowSource {
    config: FollowConfig,
    name: Arc<str>,
    limits: ReadLimits,
    positions: Arc<dyn Positions>,
    clock: Clock,
    lanes: BTreeMap<i32, Followed>,
    /// By where they lie: the lanes whose file is on disk.
    places: BTreeMap<FileId, i32>,
    copies: BTreeMap<FileId, Copy>,
    /// When files that are not decided yet were first seen as they are: length and time.
    undecided: BTreeMap<FileId, (u64, i64)>,
    /// Lanes that have to be read to their end before an undecided file can be decided.
    awaited: BTreeSet<i32>,
    by_path: BTreeMap<PathBuf, i32>,
    /// Where files lie that were found and are no lane's yet, with their links followed.
    strangers: BTreeSet<PathBuf>,
    next_number: i32,
    signals: VecDeque<Signal>,
    /// What is left to read of all lanes together.
    lag_bytes: u64,
    /// Lanes in which there may be something to read.
    hot: BTreeSet<i32>,
    turn: i32,
    watch: Watch,
    scan_wanted: bool,
    /// When the last look at everything ended, and how long it took.
    scanned_us: Option<i64>,
    scan_took_us: i64,
    /// When the watched folders were last looked for.
    folders_us: i64,
    /// Lanes that were not read since.
    round: BTreeSet<i32>,
    /// The registry has to be written before anything else is said.
    unsaved: bool,
    /// What the registry does not know can be found out again: it is written within a second.
    stale: bool,
    saved_us: i64,
    first_start: bool,
    /// What was told, and is not told again as long as it is so.
    told: BTreeSet<(PathBuf, String)>,
    /// Files and folders that the last look could not read, and why.
    unreadable: BTreeMap<PathBuf, String>,
    /// Since when no file matches.
    nothing_since_us: Option<i64>,
    /// So many files may be open, so many are; those that wait until others are closed.
    open_max: usize,
    open_files: usize,
    waiting: usize,
    /// Since when some wait.
    waiting_since_us: Option<i64>,
    /// Lanes that could be closed, those that were quiet for longest first; not looked for yet in this scan when `None`.
    resting: Option<VecDeque<i32>>,
    /// The newest lane of each path, while new files are taken in.
    newest_of: Option<HashMap<PathBuf, i32>>,
}

impl FollowSource {
    /// Knows the files again that were followed before. Files need not be there yet.
    pub fn new(
        config: FollowConfig,
        source_name: &str,
        limits: ReadLimits,
        positions: Arc<dyn Positions>,
        clock: Clock,
    ) -> Result<FollowSource, IngestError> {
        let registry = Registry::load(&config.registry)?;
        let mut source = FollowSource {
            name: source_name.into(),
            limits,
            positions,
            lanes: BTreeMap::new(),
            places: BTreeMap::new(),
            copies: BTreeMap::new(),
            undecided: BTreeMap::new(),
            awaited: BTreeSet::new(),
            by_path: BTreeMap::new(),
            strangers: BTreeSet::new(),
            next_number: 0,
            signals: VecDeque::new(),
            lag_bytes: 0,
            hot: BTreeSet::new(),
            turn: 0,
            watch: Watch::new(source_name),
            scan_wanted: true,
            scanned_us: None,
            scan_took_us: 0,
            folders_us: 0,
            round: BTreeSet::new(),
            unsaved: false,
            stale: false,
            saved_us: 0,
            first_start: registry.is_none(),
            told: BTreeSet::new(),
            unreadable: BTreeMap::new(),
            nothing_since_us: None,
            open_max: open_max(limits::open_files()),
            open_files: 0,
            waiting: 0,
            waiting_since_us: None,
            resting: None,
            newest_of: None,
            clock,
            config,
        };
        match registry {
            Some(registry) => source.restore(registry)?,
            None => source.next_number = source.first_free_number()?,
        }
        metrics::gauge!(metric::SOURCE_UP, "source" => source.name.to_string()).set(1.0);
        Ok(source)
    }

    fn lane(&self, number: i32) -> Lane {
        Lane { source: self.name.clone(), partition: number }
    }

    fn filling(&self) -> Filling {
        Filling::new(self.limits.clone(), self.clock.clone())
    }

    fn restore(&mut self, registry: Registry) -> Result<(), IngestError> {
        let now_us = (self.clock)();
        self.next_number = registry.next;
        let lanes: Vec<Lane> = registry.lanes.iter().map(|entry| self.lane(entry.number)).collect();
        let positions = self.look_up(&lanes)?;
        for ((lane, entry), next) in lanes.into_iter().zip(registry.lanes).zip(positions) {
            let filling = self.filling();
            self.lanes.insert(entry.number, Followed::restored(lane, entry, next, filling, now_us));
        }
        Ok(())
    }

    fn look_up(&self, lanes: &[Lane]) -> Result<Vec<Option<i64>>, IngestError> {
        self.positions.next_offsets(lanes).map_err(|error| {
            let message = format!("cannot look up where to continue: {error:#}");
            IngestError::File { path: self.name.to_string(), message }
        })
    }

    /// Without a registry the lake may still know lanes of this name; their numbers are not given out again.
    fn first_free_number(&self) -> Result<i32, IngestError> {
        const AT_ONCE: i32 = 256;
        let mut first = 0;
        loop {
            let lanes: Vec<Lane> = (first..first + AT_ONCE).map(|number| self.lane(number)).collect();
            let known = self.look_up(&lanes)?;
            match known.iter().rposition(Option::is_some) {
                Some(last) if last + 1 == known.len() => first += AT_ONCE,
                Some(last) => first += last as i32 + 1,
                None => break,
            }
        }
        if first > 0 {
            tracing::warn!(
                source = &*self.name,
                registry = %shown(&self.config.registry),
                "the lake has files of this source that the registry does not know: all files are read from their beginning"
            );
        }
        Ok(first)
    }

    fn save(&mut self) -> Result<(), IngestError> {
        let entries = self.lanes.values().map(Followed::entry).collect();
        Registry::new(self.next_number, entries).save(&self.config.registry)?;
        (self.unsaved, self.stale, self.saved_us) = (false, false, (self.clock)());
        Ok(())
    }

    fn save_if_due(&mut self) -> Result<(), IngestError> {
        let late = self.stale && ((self.clock)() - self.saved_us).abs() >= SAVE_US;
        if self.unsaved || late { self.save() } else { Ok(()) }
    }

    /// Takes in what the watches saw.
    fn look(&mut self) -> Result<(), IngestError> {
        let now_us = (self.clock)();
        let news = self.watch.take();
        for path in news.written {
            match self.by_path.get(&path) {
                Some(number) => {
                    self.hot.insert(*number);
                    // A file that was closed is opened again.
                    self.scan_wanted |= self.lanes.get(number).is_none_or(|lane| lane.tail.is_none());
                }
                None => {
                    self.scan_wanted |= self.strangers.contains(&path) || self.config.patterns.match_path(&path);
                }
            }
        }
        // Also where there is one of that name again: it is another one, which nobody watches.
        for folder in news.gone {
            self.watch.forget(&folder);
        }
        // Where files wait until others are closed, some may be at their end once all were read.
        let room = self.waiting > 0 && !self.round.iter().any(|number| self.is_ready(*number));
        let every_us = if self.watch.is_blind() || room { BLIND_SWEEP_US } else { SWEEP_US };
        let sweep = self.scanned_us.is_none_or(|scanned_us| (now_us - scanned_us).abs() >= every_us);
        if (now_us - self.folders_us).abs() >= BLIND_SWEEP_US {
            self.folders_us = now_us;
            self.scan_wanted |= self.watch.is_elsewhere();
        }
        self.scan_wanted |= news.changed || news.unknown || sweep;
        if news.unknown || sweep {
            self.hot.extend(self.lanes.iter().filter(|(_, lane)| lane.tail.is_some()).map(|(number, _)| *number));
            self.note_lag_of_paused();
        }
        if self.scan_is_due(now_us) {
            self.scan(now_us)?;
            let ended_us = (self.clock)();
            (self.scanned_us, self.scan_took_us) = (Some(ended_us), (ended_us - now_us).max(0));
            self.round.clone_from(&self.hot);
        }
        self.save_if_due()
    }

    /// Looking at everything takes time where there are many files: what it found is handed out first, and at least half
    /// of the time is left for reading.
    fn scan_is_due(&self, now_us: i64) -> bool {
        let rested = |ended_us: i64| (now_us - ended_us).abs() >= self.scan_took_us;
        self.scan_wanted && self.signals.is_empty() && self.scanned_us.is_none_or(rested)
    }

    fn is_ready(&self, number: i32) -> bool {
        self.lanes.get(&number).is_some_and(|lane| !lane.paused && lane.tail.is_some())
    }

    /// Reads a batch of the next lane that may have something.
    fn read_turn(&mut self) -> Result<Option<Signal>, IngestError> {
        let ready = |number: &&i32| self.is_ready(**number);
        let next = self.hot.range(self.turn + 1..).find(ready).or_else(|| self.hot.iter().find(ready)).copied();
        let Some(number) = next else { return Ok(None) };
        self.turn = number;
        self.round.remove(&number);
        let signal = self.read(number);
        let tail = self.lanes.get(&number).and_then(|lane| lane.tail.as_ref());
        self.note_lag(number, tail.map_or(0, Tail::left));
        self.save_if_due()?;
        Ok(signal)
    }

    fn read(&mut self, number: i32) -> Option<Signal> {
        let now_us = (self.clock)();
        let lane = self.lanes.get_mut(&number)?;
        let tail = lane.tail.as_mut()?;
        let pause = tail.read(&lane.head, &mut lane.filling);
        if matches!(pause, Ok(Pause::More | Pause::End)) {
            self.stale |= lane.grow_head();
        }
        let records = lane.take_records();
        if records.is_none() && matches!(pause, Ok(Pause::End)) {
            self.stale |= lane.catch_up_with_the_lake();
        }
        if records.is_some() {
            (lane.read_us, lane.end_us, lane.damage) = (now_us, None, None);
        }
        let signal = records.map(|records| Signal::Records { lane: lane.lane.clone(), records });
        lane.fails = pause.is_err();
        match pause {
            Ok(Pause::More) => lane.was_at_end = false,
            Ok(Pause::End) if lane.tail.as_ref().is_some_and(|tail| tail.content.packed) => {
                if signal.is_none() {
                    self.finish(number);
                    return self.signals.pop_front();
                }
            }
            Ok(Pause::End) => {
                self.hot.remove(&number);
                lane.end_us.get_or_insert(now_us);
                lane.was_at_end = true;
                self.scan_wanted |= self.awaited.remove(&number);
            }
            Ok(Pause::Replaced) => self.replaced(number, now_us),
            Ok(Pause::Damaged(error)) => {
                self.hot.remove(&number);
                let length = lane.tail.as_ref().map_or(0, |tail| tail.content.size());
                lane.damage = Some((error.to_string(), length));
                lane.end_us.get_or_insert(now_us);
            }
            Err(error) => {
                self.hot.remove(&number);
                lane.end_us.get_or_insert(now_us);
                let path = lane.path.clone();
                self.unreadable.insert(path.clone(), find::in_words(&error));
                self.tell_once(path, format!("cannot be read: {error}; it is tried again"));
            }
        }
        signal
    }

    /// The file was cut, or another one was written in its place. What was not read of it may be in a copy.
    fn replaced(&mut self, number: i32, now_us: i64) {
        self.hot.remove(&number);
        let Some(lane) = self.lanes.get_mut(&number) else { return };
        tracing::info!(source = &*self.name, file = %shown(&lane.path), "was cut or replaced: it is read as a new file");
        self.places.remove(&lane.id);
        lane.former = Some(lane.id);
        if lane.was_at_end && lane.tail.as_ref().is_some_and(|tail| !tail.cutter.is_within()) {
            // As far as we can know it was read to its end.
            lane.done = Some((lane.handed.end, 0));
            self.unsaved = true;
        }
        self.open_files -= usize::from(lane.tail.take().is_some());
        (lane.home, lane.lost_us) = (false, Some(now_us));
        lane.end_us.get_or_insert(now_us);
        self.scan_wanted = true;
        self.move_to_copy(number);
    }

    /// Reads on in a copy of the lane's content, if there is one; true when there is.
    fn move_to_copy(&mut self, number: i32) -> bool {
        let Some(found) = copy_of(&self.copies, number) else { return false };
        self.copies.remove(&found.id);
        match self.open_content(number, &found) {
            Ok(Some(content)) => self.move_to(number, &found, content),
            // Not a copy any more, or gone: the next look finds out what it is.
            _ => self.scan_wanted = true,
        }
        self.places.contains_key(&found.id)
    }

    fn tell_once(&mut self, path: PathBuf, why: String) {
        if self.told.len() < OPEN_MAX && self.told.insert((path.clone(), why.clone())) {
            metrics::counter!(metric::SOURCE_FAILURES, "source" => self.name.to_string()).increment(1);
            tracing::warn!(source = &*self.name, file = %shown(&path), "{why}");
        }
    }

    /// So many bytes of this lane are left to read.
    fn note_lag(&mut self, number: i32, bytes: u64) {
        if let Some(lane) = self.lanes.get_mut(&number) {
            self.lag_bytes = self.lag_bytes.saturating_sub(lane.lag_bytes).saturating_add(bytes);
            lane.lag_bytes = bytes;
            metrics::gauge!(metric::LAG_BYTES, "source" => self.name.to_string()).set(self.lag_bytes as f64);
        }
    }

    /// What grows while nobody reads it.
    fn note_lag_of_paused(&mut self) {
        let left =
            |(number, lane): (&i32, &Followed)| Some((*number, lane.tail.as_ref().filter(|_| lane.paused)?.left()));
        let left: Vec<(i32, u64)> = self.lanes.iter().filter_map(left).collect();
        left.into_iter().for_each(|(number, bytes)| self.note_lag(number, bytes));
    }

    fn set_paused(&mut self, lanes: &[Lane], paused: bool) {
        for lane in lanes {
            if let Some(followed) = self.lanes.get_mut(&lane.partition) {
                followed.paused = paused;
            }
        }
    }
}

/// How many files a source has open at once where the process may have so many.
fn open_max(files: u64) -> usize {
    usize::try_from(files / 2).unwrap_or(usize::MAX).clamp(1, OPEN_MAX)
}

/// The first of those that cannot be read, and how many there are.
fn in_one_line(unreadable: &BTreeMap<PathBuf, String>) -> Option<String> {
    let (path, why) = unreadable.first_key_value()?;
    let path = shown(path);
    Some(match unreadable.len() {
        1 => format!("{path} cannot be read: {why}"),
        many => format!("{many} files cannot be read, among them {path}: {why}"),
    })
}

impl Source for FollowSource {
    fn next(&mut self, timeout: Duration) -> Result<Option<Signal>, IngestError> {
        let mut left = timeout;
        for _ in 0..TURNS_MAX {
            self.look()?;
            if let Some(signal) = self.signals.pop_front() {
                return Ok(Some(signal));
            }
            if let Some(signal) = self.read_turn()? {
                return Ok(Some(signal));
            }
            self.tend();
            if self.signals.is_empty() && !self.scan_is_due((self.clock)()) && !self.has_ready() {
                if left.is_zero() {
                    return Ok(None);
                }
                let wait = left.min(WAIT);
                // A wake-up counts as a moment, so that ever so many of them end.
                let woken = self.watch.wait(wait);
                left -= if woken { wait.min(Duration::from_millis(1)) } else { wait };
            }
        }
        Ok(None)
    }

    /// Files may always come.
    fn finished(&self) -> bool {
        false
    }

    fn pause(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.set_paused(lanes, true);
        Ok(())
    }

    fn resume(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.set_paused(lanes, false);
        self.hot.extend(lanes.iter().map(|lane| lane.partition));
        Ok(())
    }

    fn at_end(&self) -> Vec<Lane> {
        let is_read = |(number, lane): &(&i32, &Followed)| {
            lane.open && !lane.paused && lane.tail.is_some() && lane.damage.is_none() && !self.hot.contains(number)
        };
        self.lanes.iter().filter(is_read).map(|(_, lane)| lane.lane.clone()).collect()
    }

    fn trouble(&self) -> Option<String> {
        let nothing = || {
            let since_us = self.nothing_since_us.filter(|since_us| (self.clock)() - since_us >= NOTHING_US)?;
            let minutes = ((self.clock)() - since_us) / 60_000_000;
            let patterns = self.config.patterns.texts().join(", ");
            Some(format!("no file matches {patterns} since {minutes} min: is the path right?"))
        };
        let waiting = || {
            let since_us = self.waiting_since_us.filter(|since_us| (self.clock)() - since_us >= WAITING_US)?;
            let minutes = ((self.clock)() - since_us) / 60_000_000;
            let (files, open) = (self.waiting, self.open_files);
            Some(format!(
                "files that wait since {minutes} min to be opened: {files}; {open} are open, and have more to be read"
            ))
        };
        in_one_line(&self.unreadable).or_else(waiting).or_else(nothing)
    }

    fn committed(&mut self, positions: &[(Lane, i64)]) -> Result<(), IngestError> {
        let mut news = false;
        for (lane, next) in positions {
            if let Some(followed) = self.lanes.get_mut(&lane.partition) {
                news |= followed.commit(*next);
            }
        }
        if news {
            self.forget_old();
        }
        if news || self.stale {
            self.save()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
