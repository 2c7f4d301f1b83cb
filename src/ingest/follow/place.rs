//! Which lane a file on disk is: the one that lay there before, the copy or the packed form of one that is known, or a new
//! one.
//!
//! Promises: a content is read once, wherever it lies and however it is packed. A file that is not decided yet (it is being
//! copied or packed) is looked at again.
//! Never: reads records.

use std::collections::{BTreeMap, HashMap};
use std::io;

use super::find::{self, Found};
use super::identity::{Against, Content, FileId, Fit, HEAD_BYTES, Head, hash};
use super::lane::Followed;

/// What a file turned out to be.
pub enum Place {
    /// The content of this lane, which is read nowhere else.
    Of(i32, Content),
    /// It holds nothing that this lane does not, which is read elsewhere.
    Copy(i32),
    /// It holds all that this lane does, which is read elsewhere, and more, from this byte on.
    Beyond(i32, u64, Content, Head),
    /// The file of this lane is not its content any more.
    Cut(i32),
    New(Content, Head),
    /// Nothing in it yet, or not enough of it to tell.
    Undecided,
}

/// Whether the file that lies where the lane's file lay is still that of the lane.
pub fn is_still(lane: &Followed, content: &Content) -> io::Result<bool> {
    if !content.packed && content.size() < lane.handed.next.max(0).unsigned_abs() {
        return Ok(false);
    }
    if !lane.head.begins(content)? {
        return Ok(false);
    }
    Ok(match lane.handed.fits(content)? {
        Fit::Same => true,
        Fit::Other => false,
        Fit::Short => content.packed,
    })
}

/// The lanes by their first bytes, so that a file is compared with those alone that begin as it does.
#[derive(Default)]
pub struct Heads(BTreeMap<(u64, u64), HashMap<String, Vec<i32>>>);

impl Heads {
    pub fn of(lanes: &BTreeMap<i32, Followed>) -> Heads {
        let mut heads = Heads::default();
        lanes.iter().for_each(|(number, lane)| heads.add(*number, &lane.head));
        heads
    }

    pub fn add(&mut self, number: i32, head: &Head) {
        if !head.is_empty() {
            let alike = self.0.entry((head.at, head.length)).or_default();
            alike.entry(head.hash.clone()).or_default().push(number);
        }
    }

    /// The lanes whose first bytes are those of the content, the newest first: of two with the same beginning it is the
    /// likelier one.
    fn begin(&self, content: &Content, head: &Head) -> io::Result<Vec<i32>> {
        let bytes = content.some(head.at, HEAD_BYTES)?;
        let mut numbers = Vec::new();
        for ((at, length), alike) in &self.0 {
            if *at == head.at && *length <= bytes.len() as u64 {
                numbers.extend(alike.get(&hash(&bytes[..*length as usize])).into_iter().flatten().copied());
            }
        }
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }
}

/// Decides what a file is that lies where no lane's file lies. `settled`: it has not changed for a while, so that what is
/// missing will not come any more.
pub fn place(lanes: &BTreeMap<i32, Followed>, heads: &Heads, found: &Found, settled: bool) -> io::Result<Place> {
    let content = Content::new(find::open(&found.real)?)?;
    let head = Head::of(&content)?;
    if head.is_empty() {
        // Nothing but NULs, or packed data of which nothing can be unpacked (yet).
        return Ok(if settled && content.packed { Place::New(content, head) } else { Place::Undecided });
    }
    // What a packed file has is all there will be, when it can be unpacked to its end. A large one is told by its first bytes.
    let settled = settled || (content.packed && !head.is_whole() && content.is_whole());
    let mut beyond = None;
    for number in heads.begin(&content, &head)? {
        let Some(lane) = lanes.get(&number).filter(|lane| lane.former != Some(found.id)) else { continue };
        if !lane.home {
            if holds(lane, &content, settled)? {
                return Ok(Place::Of(number, content));
            }
            continue;
        }
        let Some(home) = home_of(lane)? else { return Ok(Place::Undecided) };
        let against = content.against(&home)?;
        if !is_still(lane, &home)? {
            return Ok(Place::Cut(number));
        }
        match against {
            Against::Within => return Ok(Place::Copy(number)),
            Against::Beyond(line) => beyond = beyond.max(Some((line, number))),
            Against::Other => {}
        }
    }
    if !head.is_whole() && !settled && (content.packed || may_be_copied(lanes, &head)?) {
        return Ok(Place::Undecided);
    }
    Ok(match beyond {
        Some((line, number)) if line > 0 => Place::Beyond(number, line, content, head),
        _ => Place::New(content, head),
    })
}

/// Whether the few bytes of a file are those that an open one begins with: it may be its copy, as far as that is written.
fn may_be_copied(lanes: &BTreeMap<i32, Followed>, head: &Head) -> io::Result<bool> {
    let longer = |lane: &&Followed| lane.head.at == head.at && lane.head.length > head.length;
    for tail in lanes.values().filter(longer).filter_map(|lane| lane.tail.as_ref()) {
        let begins = tail.content.some(head.at, head.length as usize)?;
        if hash(&begins) == head.hash {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is read as the lane; none when another file lies there.
fn home_of(lane: &Followed) -> io::Result<Option<Content>> {
    if let Some(tail) = &lane.tail {
        return Ok(Some(tail.content.clone()));
    }
    match find::open(&lane.real).and_then(Content::new) {
        Ok(content) => Ok(Some(content).filter(|c| c.metadata().is_ok_and(|meta| FileId::of(&meta) == lane.id))),
        // Gone, or something else lies there.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a content with the same beginning is that of the lane.
fn holds(lane: &Followed, content: &Content, settled: bool) -> io::Result<bool> {
    if lane.handed.end == 0 {
        // After a kill the lake may know of a lane what the registry does not.
        let is_there = content.packed || content.size() >= lane.handed.next.max(0).unsigned_abs();
        return Ok(is_there && (lane.head.is_whole() || lane.handed.next > lane.begin));
    }
    Ok(match lane.handed.fits(content)? {
        Fit::Same => true,
        Fit::Other => false,
        // It is being written, or was made before we read to where we are.
        Fit::Short => lane.head.is_whole() || (content.packed && !settled),
    })
}

/// A file that holds the content of a lane that is read elsewhere, as it was when it was looked at.
#[derive(Clone, Debug)]
pub struct Copy {
    pub number: i32,
    pub found: Found,
    pub since_us: i64,
    pub told: bool,
}

impl Copy {
    pub fn is_unchanged(&self, found: &Found) -> bool {
        self.found.size == found.size && self.found.written == found.written
    }
}

/// The copies of a lane's content.
pub fn copy_of(copies: &BTreeMap<FileId, Copy>, number: i32) -> Option<Found> {
    // The longest: a copy that was made later holds more.
    let of = copies.values().filter(|copy| copy.number == number);
    of.max_by_key(|copy| copy.found.size).map(|copy| copy.found.clone())
}
