//! One lane: a content, wherever it lies. What is known of it, how far it is read and committed, and its open file.
//!
//! Promises: the marks of batches that were handed out are kept until they are committed, so that the registry says of a
//! committed position what stands before it.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use schemas::{Lane, RawBatch};

use super::find::Found;
use super::identity::{Content, FileId, Head, Mark, hash};
use super::registry::Entry;
use super::tail::Tail;
use crate::ingest::batch::Filling;

/// Batches that may wait to be committed before the oldest of their marks are let go; the registry then says less.
const MARKS_MAX: usize = 100_000;

pub struct Followed {
    pub lane: Lane,
    pub id: FileId,
    pub path: PathBuf,
    pub real: PathBuf,
    pub pattern: usize,
    pub head: Head,
    pub begin: i64,
    /// The lane whose content it begins with: what was learned there holds here.
    pub after: Option<i32>,
    /// How far it was handed out,
    pub handed: Mark,
    /// and committed, and what lies between.
    pub committed: Mark,
    unsettled: VecDeque<Mark>,
    pub done: Option<(u64, i64)>,
    /// Its file is on disk, as far as we know.
    pub home: bool,
    /// The place where this content was, and is not any more.
    pub former: Option<FileId>,
    pub tail: Option<Tail>,
    /// All of the open file was handed out when it was last read.
    pub was_at_end: bool,
    /// It could not be read when that was last tried.
    pub fails: bool,
    /// That its lines have no newlines.
    pub returns_told: bool,
    /// `Opened` was said, and no `Ended`.
    pub open: bool,
    pub paused: bool,
    pub filling: Filling,
    /// Since when nothing more was there to read, unless `CaughtUp` was said since.
    pub end_us: Option<i64>,
    /// Bytes that are left to read, as they were last counted.
    pub lag_bytes: u64,
    /// When something was last read.
    pub read_us: i64,
    /// Since when no path leads to the file.
    pub lost_us: Option<i64>,
    /// Packed data ended before its end, at this length of the file.
    pub damage: Option<(String, u64)>,
}

impl Followed {
    pub fn new(lane: Lane, found: &Found, head: Head, filling: Filling, now_us: i64) -> Followed {
        Followed {
            lane,
            id: found.id,
            path: found.path.clone(),
            real: found.real.clone(),
            pattern: found.pattern,
            head,
            begin: 0,
            after: None,
            handed: Mark::default(),
            committed: Mark::default(),
            unsettled: VecDeque::new(),
            done: None,
            home: true,
            former: None,
            tail: None,
            was_at_end: false,
            fails: false,
            returns_told: false,
            open: false,
            paused: false,
            filling,
            end_us: None,
            lag_bytes: 0,
            read_us: now_us,
            lost_us: None,
            damage: None,
        }
    }

    /// As the registry knows it, with the lake's position; its file is not looked for yet.
    pub fn restored(lane: Lane, entry: Entry, next: Option<i64>, filling: Filling, now_us: i64) -> Followed {
        let next = next.unwrap_or(0).max(entry.begin);
        let handed = Mark { next, ..entry.committed.clone() };
        Followed {
            lane,
            id: entry.id,
            real: entry.path.clone(),
            path: entry.path,
            pattern: 0,
            head: entry.head,
            begin: entry.begin,
            after: None,
            handed,
            committed: entry.committed,
            unsettled: VecDeque::new(),
            done: entry.done,
            home: false,
            former: None,
            tail: None,
            was_at_end: false,
            fails: false,
            returns_told: false,
            open: false,
            paused: false,
            filling,
            end_us: None,
            lag_bytes: 0,
            read_us: now_us,
            lost_us: Some(now_us),
            damage: None,
        }
    }

    /// What lies before this byte is not read.
    pub fn begin_at(&mut self, content: &Content, byte: u64) -> io::Result<()> {
        self.begin = i64::try_from(byte).unwrap_or(i64::MAX);
        self.handed = Mark { next: self.begin, ..Mark::at(content, byte)? };
        self.committed = self.handed.clone();
        Ok(())
    }

    /// Everything that is there was handed out, but for a line without its end. `hot`: it is still to be read.
    pub fn is_at_end(&self, hot: bool) -> bool {
        let Some(tail) = &self.tail else { return self.done.is_some() };
        let has_more = tail.content.packed || tail.has_moved() || (hot && tail.cutter.is_within());
        !has_more
    }

    pub fn entry(&self) -> Entry {
        Entry {
            number: self.lane.partition,
            id: self.id,
            path: self.path.clone(),
            head: self.head.clone(),
            begin: self.begin,
            committed: self.committed.clone(),
            // Not before the lake has what was read: after a kill it has to be read again.
            done: self.done.filter(|_| self.is_committed()),
        }
    }

    pub fn take_place(&mut self, found: &Found) {
        self.id = found.id;
        self.home = true;
        self.done = None;
        self.damage = None;
        self.seen_at(found);
    }

    pub fn seen_at(&mut self, found: &Found) {
        self.path.clone_from(&found.path);
        self.real.clone_from(&found.real);
        self.pattern = found.pattern;
        self.lost_us = None;
    }

    /// Hands over what was read.
    pub fn take_records(&mut self) -> Option<RawBatch> {
        if self.filling.is_empty() {
            return None;
        }
        let records = self.filling.take();
        let next = records.next_offset()?;
        let (end, tail) = self.tail.as_ref().map_or((0, &[][..]), |tail| tail.cutter.read());
        self.handed = Mark { next, end, tail: hash(tail) };
        self.unsettled.push_back(self.handed.clone());
        if self.unsettled.len() > MARKS_MAX {
            self.unsettled.pop_front();
        }
        Some(records)
    }

    /// The first bytes of a file that is being written become more; true when they did.
    pub fn grow_head(&mut self) -> bool {
        let Some(tail) = self.tail.as_ref().filter(|_| !self.head.is_whole()) else { return false };
        match Head::of(&tail.content) {
            Ok(head) if head.length > self.head.length => {
                self.head = head;
                true
            }
            // An error shows again when the file is read.
            _ => false,
        }
    }

    /// After a kill the lake may be ahead of the registry. When nothing more was there to hand out, what was read is what the
    /// lake has; true when that was news.
    pub fn catch_up_with_the_lake(&mut self) -> bool {
        let Some(tail) = self.tail.as_ref().filter(|_| self.is_committed() && self.handed.next > self.committed.next)
        else {
            return false;
        };
        let (end, tail) = tail.cutter.read();
        self.handed = Mark { next: self.handed.next, end, tail: hash(tail) };
        self.committed = self.handed.clone();
        true
    }

    /// The lake holds everything below `next`; true when that is news.
    pub fn commit(&mut self, next: i64) -> bool {
        let mut news = false;
        while self.unsettled.front().is_some_and(|mark| mark.next <= next) {
            self.committed = self.unsettled.pop_front().unwrap_or_default();
            news = true;
        }
        news
    }

    /// Nothing of a plain file is left to read or to commit.
    pub fn is_wholly_committed(&self, content: &Content) -> bool {
        let read = self.handed.next == self.committed.next && content.size() == self.committed.end;
        read && !content.packed && !self.open
    }

    pub fn is_committed(&self) -> bool {
        self.unsettled.is_empty()
    }
}
