//! One look at what is on disk: which lane lies where now, which files are new, which are gone.
//!
//! Promises: every lane that has something to read is open before a record is read of any that was found with it. A lane
//! is in the registry before its first record is handed out.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::find::{self, Found, Look};
use super::identity::{Content, FileId, Head};
use super::lane::Followed;
use super::place::{Copy, Heads, Place, is_still, place};
use super::tail::Tail;
use super::{FollowSource, QUIET_US};
use crate::ingest::shown::shown;
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
        let mut look = self.config.patterns.look();
        if self.watch.set(&self.watched(&look.folders)) {
            // What appeared there before it was watched.
            look = self.config.patterns.look();
        }
        let Look { found, refused, folders } = look;
        self.unreadable.clear();
        (self.waiting, self.resting) = (0, None);
        let still: BTreeSet<PathBuf> = refused.iter().map(|refused| refused.path.clone()).collect();
        for refused in refused {
            if refused.is_error {
                self.unreadable.insert(refused.path.clone(), refused.why.clone());
            }
            self.tell_once(refused.path, refused.why);
        }
        self.note_whether_something_is_there(!found.is_empty(), now_us);
        let mut strangers = Vec::new();
        let mut seen = BTreeSet::new();
        self.by_path.clear();
        // After a start nothing is placed yet; the newest lane of a place counts.
        let unplaced = self.lanes.iter().filter(|(_, lane)| !lane.home && lane.former.is_none());
        let unplaced: HashMap<FileId, i32> = unplaced.map(|(number, lane)| (lane.id, *number)).collect();
        for (index, file) in found.iter().enumerate() {
            let known = self.places.get(&file.id).or_else(|| unplaced.get(&file.id)).copied();
            match known.and_then(|known| self.at_home(known, file, index + 1 == found.len(), now_us)) {
                Some(number) => _ = seen.insert(number),
                None => strangers.push(file),
            }
        }
        self.strangers = strangers.iter().map(|found| found.real.clone()).collect();
        self.note_what_is_gone(&found, &seen, now_us);
        if !strangers.is_empty() {
            let mut heads = Heads::of(&self.lanes);
            self.newest_of = Some(self.lanes.iter().map(|(number, lane)| (lane.path.clone(), *number)).collect());
            for file in strangers {
                match self.receive(file, &mut heads, now_us) {
                    // Gone again; the next look shows.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => self.cannot_read(file, &error),
                    Ok(()) => {}
                }
            }
            self.newest_of = None;
        }
        if self.scanned_us.is_none() {
            self.tell_what_went_unread();
        }
        self.tell_who_waits(now_us);
        self.forget_what_was_told(still);
        metrics::gauge!(metric::PARTITIONS, "source" => self.name.to_string())
            .set(self.lanes.values().filter(|lane| lane.tail.is_some()).count() as f64);
        // Links lead to folders that were not watched: what happened there meanwhile is seen by looking again.
        if self.watch.set(&self.watched(&folders)) {
            self.scan_wanted = true;
            self.hot.extend(self.lanes.keys());
        }
        // That it was not there at the first start is known from now on.
        self.unsaved |= std::mem::replace(&mut self.first_start, false);
        Ok(())
    }

    fn cannot_read(&mut self, found: &Found, error: &io::Error) {
        let why = find::in_words(error);
        self.unreadable.insert(found.path.clone(), why.clone());
        self.tell_once(found.path.clone(), format!("{why}; it is tried again"));
    }

    /// What can be read again, or is gone, is told anew when it fails the next time. `still`: what is refused now.
    fn forget_what_was_told(&mut self, mut still: BTreeSet<PathBuf>) {
        if self.told.is_empty() {
            return;
        }
        still.extend(self.unreadable.keys().cloned());
        still
            .extend(self.lanes.values().filter(|lane| lane.fails && lane.tail.is_some()).map(|lane| lane.path.clone()));
        self.told.retain(|(path, _)| still.contains(path));
    }

    fn note_whether_something_is_there(&mut self, there: bool, now_us: i64) {
        if there {
            self.nothing_since_us = None;
        } else if self.nothing_since_us.is_none() {
            self.nothing_since_us = Some(now_us);
            let patterns = self.config.patterns.texts().join(", ");
            tracing::warn!(source = &*self.name, patterns, "no file matches yet: they are waited for");
        }
    }

    /// After a start: files that are gone, and of which it is not known that they were read to their end. Told once.
    fn tell_what_went_unread(&mut self) {
        for lane in self.lanes.values_mut().filter(|lane| !lane.home && lane.done.is_none()) {
            lane.done = Some((lane.handed.end, 0));
            self.unsaved = true;
            tracing::warn!(
                source = &*self.name,
                file = %shown(&lane.path),
                byte = lane.handed.end,
                "was renamed, deleted or cut while nothing followed it: what was written to it behind this byte is not read; \
                 name the place that rotated files go to as well, for example access.log.1"
            );
        }
    }

    /// Files beyond those that may be open at once.
    fn tell_who_waits(&mut self, now_us: i64) {
        if self.waiting == 0 {
            self.waiting_since_us = None;
        } else if self.waiting_since_us.is_none() {
            self.waiting_since_us = Some(now_us);
            tracing::info!(
                source = &*self.name,
                files = self.waiting,
                "{} files are open: these wait until others were read to their end",
                self.open_max
            );
        }
    }

    /// Those of the patterns, and those in which files lie that are read; for a while also when no path leads there any more.
    fn watched(&self, folders: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
        let lie = self.lanes.values().filter(|lane| lane.home).filter_map(|lane| lane.real.parent());
        let mut watched = folders.clone();
        for folder in lie {
            if !watched.contains(folder) {
                watched.insert(folder.to_owned());
            }
        }
        watched
    }

    /// The lane whose file lies there, if it still does.
    fn at_home(&mut self, known: i32, found: &Found, newest: bool, now_us: i64) -> Option<i32> {
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
                        file = %shown(&found.path),
                        "is another file than the one that was read there before: it is read from its beginning"
                    );
                    (lane.home, lane.former) = (false, Some(lane.id));
                    lane.lost_us.get_or_insert(now_us);
                    self.places.remove(&found.id);
                    return None;
                }
                Err(error) => {
                    self.cannot_read(found, &error);
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
    fn receive(&mut self, found: &Found, heads: &mut Heads, now_us: i64) -> io::Result<()> {
        if let Some(copy) = self.copies.get_mut(&found.id).filter(|copy| copy.is_unchanged(found)) {
            if now_us - copy.since_us >= QUIET_US && !std::mem::replace(&mut copy.told, true) {
                let of = self.lanes.get(&copy.number).map(|lane| shown(&lane.path).to_string());
                tracing::warn!(
                    source = &*self.name,
                    file = %shown(&found.path),
                    bytes = found.size,
                    of,
                    "holds nothing but what another file holds that is read already: these bytes are left out"
                );
            }
            return Ok(());
        }
        self.copies.remove(&found.id);
        if found.size == 0 {
            return Ok(());
        }
        let seen = self.undecided.get(&found.id).filter(|(size, _)| *size == found.size).map(|(_, us)| *us);
        let settled = seen.is_some_and(|us| (now_us - us).abs() >= QUIET_US) || self.has_been_quiet(found, now_us);
        let decided = match place(&self.lanes, heads, found, settled)? {
            Place::Undecided => false,
            Place::Cut(number) => {
                self.replaced(number, now_us);
                false
            }
            Place::Copy(number) => {
                tracing::info!(
                    source = &*self.name,
                    file = %shown(&found.path),
                    "is a copy of a file that is read already: it is left out"
                );
                self.copies.insert(found.id, Copy { number, found: found.clone(), since_us: now_us, told: false });
                true
            }
            Place::Of(number, content) => {
                self.move_to(number, found, content);
                true
            }
            Place::Beyond(number, line, content, head) => {
                self.receive_longer(number, line, found, content, head, heads, now_us)?
            }
            Place::New(content, head) => {
                heads.add(self.next_number, &head);
                self.admit(found, content, head, None, now_us)?;
                true
            }
        };
        match decided {
            true => _ = self.undecided.remove(&found.id),
            false => _ = self.undecided.insert(found.id, (found.size, seen.unwrap_or(now_us))),
        }
        Ok(())
    }

    /// A file that holds what a lane does that is read elsewhere, and more. False when that lane has to be read first.
    #[allow(clippy::too_many_arguments, reason = "what was found of one file")]
    fn receive_longer(
        &mut self,
        number: i32,
        line: u64,
        found: &Found,
        content: Content,
        head: Head,
        heads: &mut Heads,
        now_us: i64,
    ) -> io::Result<bool> {
        let Some(lane) = self.lanes.get(&number) else { return Ok(false) };
        if !lane.is_at_end(self.hot.contains(&number)) {
            self.awaited.insert(number);
            return Ok(false);
        }
        if lane.lost_us.is_some() && lane.path == found.path {
            // Whoever writes the file writes it anew each time, and puts it in the place of the one before.
            self.move_to(number, found, content);
        } else {
            heads.add(self.next_number, &head);
            self.admit(found, content, head, Some((number, line)), now_us)?;
        }
        Ok(true)
    }

    /// It was written long ago, by the clock of its file system.
    fn has_been_quiet(&self, found: &Found, now_us: i64) -> bool {
        now_us - found.written / 1000 >= QUIET_US
    }

    /// A new lane. `behind`: a lane that holds what stands before this byte.
    fn admit(
        &mut self,
        found: &Found,
        content: Content,
        head: Head,
        behind: Option<(i32, u64)>,
        now_us: i64,
    ) -> io::Result<()> {
        let number = self.next_number;
        let lane = self.lane(number);
        let mut followed = Followed::new(lane, found, head, self.filling(), now_us);
        if self.first_start && self.config.start_at_end {
            // The last byte is what was read: what follows it is new.
            match content.packed {
                true => followed.done = Some((found.size, found.written)),
                false => followed.begin_at(&content, content.end_of_text()?)?,
            }
        } else if let Some((before, byte)) = behind {
            followed.begin_at(&content, byte)?;
            followed.after = Some(before);
            tracing::info!(
                source = &*self.name,
                file = %shown(&found.path),
                byte,
                "begins with all that another file holds: it is read from there on"
            );
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
        self.note_path(number);
        Ok(())
    }

    /// The lane is read on in another file that holds its content.
    pub(super) fn move_to(&mut self, number: i32, found: &Found, content: Content) {
        let now_us = (self.clock)();
        let Some(lane) = self.lanes.get_mut(&number) else { return };
        tracing::info!(
            source = &*self.name,
            file = %shown(&found.path),
            byte = lane.handed.end,
            "holds what was read as {} so far: it is read on from there",
            shown(&lane.path)
        );
        self.places.remove(&lane.id);
        lane.take_place(found);
        self.open_files -= usize::from(lane.tail.take().is_some());
        self.note_path(number);
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
        if self.open_files >= self.open_max && !self.make_room() {
            self.waiting += 1;
            let read = self.lanes.get(&number).map_or(0, |lane| lane.handed.end);
            return self.note_lag(number, content.size().saturating_sub(read));
        }
        let is_new = |lane: &Followed| !lane.open && lane.handed.next == lane.begin;
        let before = match self.lanes.get(&number).is_some_and(is_new) {
            true => self.predecessor(number, found),
            false => None,
        };
        let Some(lane) = self.lanes.get_mut(&number) else { return };
        lane.take_place(found);
        let tail = Tail::new(content, lane.handed.next, &self.limits);
        self.open_files += usize::from(lane.tail.replace(tail).is_none());
        (lane.read_us, lane.end_us, lane.was_at_end) = (now_us, None, false);
        self.hot.insert(number);
        if !std::mem::replace(&mut lane.open, true) {
            let opened = lane.lane.clone();
            if let Some(before) = before {
                self.signals.push_back(Signal::Succeeds { lane: opened.clone(), before });
            }
            self.signals.push_back(Signal::Opened { lane: opened });
        }
    }

    /// Closes the file that was at its end for longest; false when none is. All are asked once in a scan.
    fn make_room(&mut self) -> bool {
        let mut resting = self.resting.take().unwrap_or_else(|| self.at_their_end());
        let mut closed = false;
        while !closed && let Some(number) = resting.pop_front() {
            closed = self.rest(number);
        }
        self.resting = Some(resting);
        closed
    }

    /// The open files that were read to their end, those that were quiet for longest first.
    fn at_their_end(&self) -> VecDeque<i32> {
        let at_end = |(number, lane): &(&i32, &Followed)| {
            let between_lines = lane.tail.as_ref().is_some_and(|tail| !tail.cutter.is_within());
            between_lines && lane.lost_us.is_none() && lane.is_at_end(self.hot.contains(number))
        };
        let mut numbers: Vec<(i64, i32)> =
            self.lanes.iter().filter(at_end).map(|(number, lane)| (lane.read_us, *number)).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|(_, number)| number).collect()
    }

    /// A path has a newer lane.
    fn note_path(&mut self, number: i32) {
        let (Some(newest_of), Some(lane)) = (&mut self.newest_of, self.lanes.get(&number)) else { return };
        let newest = newest_of.entry(lane.path.clone()).or_insert(number);
        *newest = number.max(*newest);
    }

    /// The lane in whose place this one came: that with which it begins, or the last one under its path, or else of its
    /// pattern.
    fn predecessor(&self, number: i32, found: &Found) -> Option<schemas::Lane> {
        if let Some(after) = self.lanes.get(&number).and_then(|lane| lane.after) {
            return Some(self.lane(after));
        }
        let before = || self.lanes.range(..number).rev().map(|(_, lane)| lane);
        let is_of_path = |lane: &&Followed| lane.path.as_os_str() == found.path.as_os_str();
        let same_path = match self.newest_of.as_ref().map(|newest_of| newest_of.get(&found.path)) {
            Some(None) => None,
            Some(Some(newest)) if *newest < number && self.lanes.get(newest).as_ref().is_some_and(is_of_path) => {
                self.lanes.get(newest)
            }
            _ => before().find(is_of_path),
        };
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
                lane.home = false;
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
            self.note_lag(*number, 0);
            self.lanes.remove(number);
        }
    }

    /// Whether a lane waits to be read.
    pub(super) fn has_ready(&self) -> bool {
        self.hot.iter().any(|number| self.is_ready(*number))
    }
}

fn is_still_or_short(lane: &Followed, content: &Content) -> io::Result<bool> {
    use super::identity::Fit;
    Ok(lane.handed.fits(content)? != Fit::Other)
}
