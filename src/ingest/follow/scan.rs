//! One look at what is on disk: which lane lies where now, which files are new, which are gone.
//!
//! Promises: every lane that has something to read is open before a record is read of any that was found with it. A lane
//! is in the registry before its first record is handed out.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::find::{self, Found};
use super::identity::{Content, Head};
use super::lane::Followed;
use super::place::{Copy, Place, is_still, place};
use super::tail::Tail;
use super::{FollowSource, OPEN_MAX, QUIET_US};
use crate::ingest::{IngestError, Signal};
use crate::metric;

/// Files that are gone and committed are remembered, so that their copies are known when they come back.
const GONE_MAX: usize = 1000;

/// Bytes, and nanoseconds since 1970.
pub fn size_and_time(meta: &Metadata) -> (u64, i64) {
    (meta.len(), meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()))
}

impl FollowSource {
    pub(super) fn scan(&mut self, now_us: i64) -> Result<(), IngestError> {
        self.scan_wanted = false;
        self.watch.set(&self.folders());
        let (found, refused) = self.config.patterns.find();
        for (path, why) in refused {
            self.tell_once(path, why);
        }
        if found.is_empty() && !std::mem::replace(&mut self.nothing_told, true) {
            let patterns = self.config.patterns.texts().join(", ");
            tracing::warn!(source = &*self.name, patterns, "no file matches yet: they are waited for");
        }
        let mut strangers = Vec::new();
        let mut seen = BTreeSet::new();
        self.by_path.clear();
        for (index, file) in found.iter().enumerate() {
            match self.at_home(file, index + 1 == found.len(), now_us) {
                Some(number) => _ = seen.insert(number),
                None => strangers.push(file),
            }
        }
        for file in strangers {
            if let Err(error) = self.receive(file, now_us) {
                let why = match error.kind() {
                    // Gone again; the next look shows.
                    io::ErrorKind::NotFound => continue,
                    io::ErrorKind::PermissionDenied => "permission denied: this user may not read it".to_owned(),
                    _ => error.to_string(),
                };
                self.tell_once(file.path.clone(), format!("{why}; it is tried again"));
            }
        }
        self.note_what_is_gone(&found, &seen, now_us);
        metrics::gauge!(metric::PARTITIONS, "source" => self.name.to_string())
            .set(self.lanes.values().filter(|lane| lane.tail.is_some()).count() as f64);
        // Links lead to folders that were not watched: what happened there meanwhile is seen by looking again.
        if self.watch.set(&self.folders()) {
            self.scan_wanted = true;
            self.hot.extend(self.lanes.keys());
        }
        self.first_start = false;
        self.scanned_us = Some(now_us);
        Ok(())
    }

    /// Those of the patterns, and those to which links lead.
    fn folders(&self) -> BTreeSet<std::path::PathBuf> {
        let mut folders = self.config.patterns.folders();
        let linked = self.lanes.values().filter(|lane| lane.home && lane.lost_us.is_none());
        folders.extend(linked.filter_map(|lane| lane.real.parent()).map(std::path::Path::to_owned));
        folders
    }

    /// The lane whose file lies there, if it still does.
    fn at_home(&mut self, found: &Found, newest: bool, now_us: i64) -> Option<i32> {
        let known = self.places.get(&found.id).copied();
        // After a start nothing is placed yet.
        let known = known.or_else(|| {
            let lies = |(_, lane): &(&i32, &Followed)| !lane.home && lane.former.is_none() && lane.id == found.id;
            self.lanes.iter().rev().find(lies).map(|(number, _)| *number)
        })?;
        let lane = self.lanes.get_mut(&known)?;
        if lane.tail.is_none() && lane.done != Some((found.size, found.written)) {
            // Closed, or not looked at since the start: it may be another file by now.
            match find::open(&found.real).and_then(Content::new).and_then(|c| Ok((is_still(lane, &c)?, c))) {
                // One that was committed to its end is opened when it is written to; the newest shows that we are here.
                Ok((true, content)) if !newest && lane.is_wholly_committed(&content) => {
                    lane.done = Some((found.size, found.written));
                }
                Ok((true, content)) => self.settle_at(known, found, content, now_us),
                Ok((false, _)) => {
                    let lane = self.lanes.get_mut(&known)?;
                    tracing::info!(
                        source = &*self.name,
                        file = %found.path.display(),
                        "is another file than the one that was read there before: it is read from its beginning"
                    );
                    (lane.home, lane.former) = (false, Some(lane.id));
                    lane.lost_us.get_or_insert(now_us);
                    self.places.remove(&found.id);
                    return None;
                }
                Err(error) => {
                    self.tell_once(found.path.clone(), format!("{error}; it is tried again"));
                    return Some(known);
                }
            }
        }
        let lane = self.lanes.get_mut(&known)?;
        lane.home = true;
        lane.seen_at(found);
        self.places.insert(found.id, known);
        self.by_path.insert(found.path.clone(), known);
        self.by_path.insert(found.real.clone(), known);
        let grown = lane.tail.as_ref().is_some_and(|tail| tail.has_moved());
        let mended = lane.damage.as_ref().is_some_and(|(_, length)| *length != found.size);
        if grown || mended {
            self.hot.insert(known);
        }
        Some(known)
    }

    /// A file that lies where no lane's file lies.
    fn receive(&mut self, found: &Found, now_us: i64) -> io::Result<()> {
        if self.copies.get(&found.id).is_some_and(|copy| copy.is_unchanged(found)) {
            return Ok(());
        }
        self.copies.remove(&found.id);
        if found.size == 0 {
            return Ok(());
        }
        let seen = self.undecided.get(&found.id).filter(|(size, _)| *size == found.size).map(|(_, us)| *us);
        let settled = seen.is_some_and(|us| now_us - us >= QUIET_US) || self.has_been_quiet(found, now_us);
        match place(&self.lanes, found, settled)? {
            Place::Undecided => {
                self.undecided.insert(found.id, (found.size, seen.unwrap_or(now_us)));
                return Ok(());
            }
            Place::Of(number, content) => {
                let read_elsewhere = self.lanes.get(&number).is_some_and(|lane| lane.home);
                if read_elsewhere {
                    tracing::info!(
                        source = &*self.name,
                        file = %found.path.display(),
                        "is a copy of a file that is read already: it is left out"
                    );
                    self.copies.insert(found.id, Copy { number, found: found.clone() });
                } else {
                    self.move_to(number, found, content);
                }
            }
            Place::New(content, head) => self.admit(found, content, head, now_us),
        }
        self.undecided.remove(&found.id);
        Ok(())
    }

    /// It was written long ago, by the clock of its file system.
    fn has_been_quiet(&self, found: &Found, now_us: i64) -> bool {
        now_us - found.written / 1000 >= QUIET_US
    }

    /// A new lane.
    fn admit(&mut self, found: &Found, content: Content, head: Head, now_us: i64) {
        let number = self.next_number;
        let lane = self.lane(number);
        let mut followed = Followed::new(lane, found, head, self.filling(), now_us);
        if self.first_start && self.config.start_at_end {
            // The last byte is what was read: what follows it is new.
            followed.begin = i64::try_from(found.size).unwrap_or(i64::MAX);
            followed.handed.next = followed.begin;
            if content.packed {
                followed.done = Some((found.size, found.written));
            }
        }
        let done = followed.done.is_some();
        self.next_number += 1;
        self.lanes.insert(number, followed);
        self.places.insert(found.id, number);
        self.by_path.insert(found.path.clone(), number);
        self.by_path.insert(found.real.clone(), number);
        self.unsaved = true;
        if !done {
            self.settle_at(number, found, content, now_us);
        }
    }

    /// The lane is read on in another file that holds its content.
    pub(super) fn move_to(&mut self, number: i32, found: &Found, content: Content) {
        let now_us = (self.clock)();
        let Some(lane) = self.lanes.get_mut(&number) else { return };
        tracing::info!(
            source = &*self.name,
            file = %found.path.display(),
            byte = lane.handed.end,
            "holds what was read as {} so far: it is read on from there",
            lane.path.display()
        );
        self.places.remove(&lane.id);
        lane.take_place(found);
        lane.tail = None;
        self.places.insert(found.id, number);
        self.by_path.insert(found.path.clone(), number);
        self.by_path.insert(found.real.clone(), number);
        self.unsaved = true;
        self.settle_at(number, found, content, now_us);
    }

    /// The content of a copy, when it is still the lane's.
    pub(super) fn open_content(&self, number: i32, found: &Found) -> io::Result<Option<Content>> {
        let content = Content::new(find::open(&found.real)?)?;
        let Some(lane) = self.lanes.get(&number) else { return Ok(None) };
        Ok((lane.head.begins(&content)? && is_still_or_short(lane, &content)?).then_some(content))
    }

    /// Opens the lane in this file.
    fn settle_at(&mut self, number: i32, found: &Found, content: Content, now_us: i64) {
        let open = self.lanes.values().filter(|lane| lane.tail.is_some()).count();
        if open >= OPEN_MAX {
            let why = format!("{OPEN_MAX} files are open: this one and others wait until some are quiet");
            return self.tell_once(found.path.clone(), why);
        }
        let before = self.predecessor(number, found);
        let Some(lane) = self.lanes.get_mut(&number) else { return };
        lane.take_place(found);
        lane.tail = Some(Tail::new(content, lane.handed.next, &self.limits));
        (lane.read_us, lane.end_us) = (now_us, None);
        self.hot.insert(number);
        if !std::mem::replace(&mut lane.open, true) {
            let opened = lane.lane.clone();
            if let Some(before) = before.filter(|_| lane.handed.next == 0) {
                self.signals.push_back(Signal::Succeeds { lane: opened.clone(), before });
            }
            self.signals.push_back(Signal::Opened { lane: opened });
        }
    }

    /// The lane in whose place this one came: the last one under its path, or else of its pattern.
    fn predecessor(&self, number: i32, found: &Found) -> Option<schemas::Lane> {
        let before = || self.lanes.range(..number).rev().map(|(_, lane)| lane);
        let same_path = before().find(|lane| lane.path == found.path);
        same_path.or_else(|| before().find(|lane| lane.pattern == found.pattern)).map(|lane| lane.lane.clone())
    }

    fn note_what_is_gone(&mut self, found: &[Found], seen: &BTreeSet<i32>, now_us: i64) {
        let there: BTreeSet<_> = found.iter().map(|found| found.id).collect();
        self.copies.retain(|id, _| there.contains(id));
        self.undecided.retain(|id, _| there.contains(id));
        let mut orphans = Vec::new();
        for (number, lane) in &mut self.lanes {
            if seen.contains(number) || (lane.home && there.contains(&lane.id)) {
                continue;
            }
            lane.lost_us.get_or_insert(now_us);
            if lane.tail.is_none() && lane.home {
                (lane.home, lane.done) = (false, None);
                self.places.remove(&lane.id);
                orphans.push(*number);
            }
        }
        for number in orphans {
            self.move_to_copy(number);
        }
    }

    /// Lanes whose file is gone and that are committed: the newest of them are kept, to know their copies by.
    pub(super) fn forget_old(&mut self) {
        let gone = |lane: &Followed| !lane.home && !lane.open && lane.is_committed();
        let old: Vec<i32> = self.lanes.iter().filter(|(_, lane)| gone(lane)).map(|(number, _)| *number).collect();
        for number in old.iter().take(old.len().saturating_sub(GONE_MAX)) {
            self.lanes.remove(number);
        }
    }

    /// Whether a lane waits to be read.
    pub(super) fn has_ready(&self) -> bool {
        let ready = |number: &i32| self.lanes.get(number).is_some_and(|lane| !lane.paused && lane.tail.is_some());
        self.hot.iter().any(ready)
    }
}

fn is_still_or_short(lane: &Followed, content: &Content) -> io::Result<bool> {
    use super::identity::Fit;
    Ok(lane.handed.fits(content)? != Fit::Other)
}
