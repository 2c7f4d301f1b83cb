//! Which lane a file on disk is: the one that lay there before, the copy or the packed form of one that is known, or a new
//! one.
//!
//! Promises: a content is read once, wherever it lies and however it is packed. A file that is not decided yet (it is being
//! copied or packed) is looked at again.
//! Never: reads records.

use std::collections::BTreeMap;
use std::io;

use super::find::{self, Found};
use super::identity::{Content, FileId, Fit, Head};
use super::lane::Followed;

/// What a file turned out to be.
pub enum Place {
    /// The content of this lane.
    Of(i32, Content),
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

/// Decides what a file is that lies where no lane's file lies. `settled`: it has not changed for a while, so that what is
/// missing will not come any more.
pub fn place(lanes: &BTreeMap<i32, Followed>, found: &Found, settled: bool) -> io::Result<Place> {
    let content = Content::new(find::open(&found.real)?)?;
    let head = Head::of(&content)?;
    if head.is_empty() {
        // Nothing but NULs, or packed data of which nothing can be unpacked (yet).
        return Ok(if settled && content.packed { Place::New(content, head) } else { Place::Undecided });
    }
    // The newest first: of two with the same beginning it is the likelier one.
    for (number, lane) in lanes.iter().rev() {
        if lane.former == Some(found.id) || lane.head.is_empty() || !could_hold(lane, &head) {
            continue;
        }
        if lane.head.begins(&content)? && holds(lane, &content, settled)? {
            return Ok(Place::Of(*number, content));
        }
    }
    if content.packed && !head.is_whole() && !settled {
        return Ok(Place::Undecided);
    }
    Ok(Place::New(content, head))
}

/// Saves reading: whole beginnings are compared by their hashes.
fn could_hold(lane: &Followed, head: &Head) -> bool {
    !(lane.head.is_whole() && head.is_whole()) || lane.head == *head
}

/// Whether a content with the same beginning is that of the lane.
fn holds(lane: &Followed, content: &Content, settled: bool) -> io::Result<bool> {
    if lane.handed.end == 0 {
        // After a kill the lake may know of a lane what the registry does not.
        return Ok(lane.head.is_whole() || lane.handed.next > lane.begin);
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
