//! The thread that writes a spool: takes the parcels that wait, writes them as one frame, has the disk confirm it, and
//! answers.
//!
//! Promises: an answer of success comes after `fdatasync`, and for a new segment after `fsync` of its folder. When the
//! disk fails, every parcel of the frame is answered with the error, and the next frame goes into a new segment: what a
//! failed `fdatasync` left behind is not trusted again.
//! Never: waits for more parcels than there are.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use tokio::sync::{mpsc, oneshot};

use super::frame::{Cipher, HEADER_BYTES, Header, Parcel, SALT_BYTES, SpoolKey};
use super::segment::{self, Segment};
use super::{Reserved, SEGMENT_BYTES_MAX, Shared, SpoolError, Submission};
use crate::clock::Stopwatch;
use crate::ingest::shown::shown;

/// Parcels are joined up to this; a longer one is a frame of its own.
const FRAME_BYTES: u64 = 4 << 20;

pub(super) struct Writer {
    shared: Arc<Shared>,
    key: SpoolKey,
    active: Option<Active>,
    refused: Refused,
    /// Held as long as this thread may write.
    _lock: File,
}

/// The segment that is being written.
struct Active {
    file: File,
    cipher: Cipher,
    first: u64,
    /// Where the next frame goes.
    at: u64,
}

/// A line says so often that the disk takes nothing.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What was refused since that was told last.
#[derive(Default)]
struct Refused {
    parcels: u64,
    since_told: Option<Stopwatch>,
}

impl Refused {
    /// How many there are to be told of, when it is time to tell.
    fn note(&mut self, parcels: u64) -> Option<u64> {
        self.parcels += parcels;
        if self.since_told.as_ref().is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return None;
        }
        self.since_told = Some(Stopwatch::start());
        Some(std::mem::take(&mut self.parcels))
    }
}

type Waiting = (Parcel, Reserved, oneshot::Sender<Result<(), SpoolError>>);

impl Writer {
    pub(super) fn start(
        shared: Arc<Shared>,
        key: SpoolKey,
        queue: mpsc::Receiver<Submission>,
        lock: File,
    ) -> io::Result<JoinHandle<()>> {
        let writer = Writer { shared, key, active: None, refused: Refused::default(), _lock: lock };
        thread::Builder::new().name("spool".to_owned()).spawn(move || writer.run(queue))
    }

    fn run(mut self, mut queue: mpsc::Receiver<Submission>) {
        let mut closing = false;
        while !closing {
            let Some(first) = queue.blocking_recv() else { return };
            let mut waiting: Vec<Waiting> = Vec::new();
            let mut bytes = 0;
            let mut next = Some(first);
            while let Some(submission) = next {
                match submission {
                    Submission::Close => {
                        closing = true;
                        // Nothing new is queued from here on; what is queued is written.
                        queue.close();
                    }
                    Submission::Parcel { parcel, reserved, answer } => {
                        bytes += parcel.frame_bytes();
                        waiting.push((parcel, reserved, answer));
                    }
                }
                next = if closing || bytes < FRAME_BYTES { queue.try_recv().ok() } else { None };
            }
            if !waiting.is_empty() {
                self.write(waiting);
            }
        }
        // Whoever waits for room learns that there is nothing to wait for.
        drop(queue);
        self.shared.room.notify_waiters();
    }

    fn write(&mut self, waiting: Vec<Waiting>) {
        let written = self.write_frame(&waiting).map_err(|error| {
            let error = error.to_string();
            if let Some(refused) = self.refused.note(waiting.len() as u64) {
                let folder = shown(&self.shared.folder);
                tracing::error!(%folder, error, refused, "the spool cannot be written: what was sent is refused");
            }
            self.give_up_segment();
            SpoolError::Disk(error)
        });
        for (_, reserved, answer) in waiting {
            drop(reserved);
            // Who hung up does not want to know.
            let _gone = answer.send(written.clone()).is_err();
        }
        self.shared.tell();
    }

    fn write_frame(&mut self, waiting: &[Waiting]) -> io::Result<()> {
        let parcels = waiting.iter().map(|(parcel, _, _)| parcel);
        let first = self.shared.lock().next;
        let bytes: u64 = parcels.clone().map(Parcel::frame_bytes).sum();
        let active = self.segment_for(first, bytes)?;
        let frame = active.cipher.seal(active.at, first, parcels.clone());
        active.file.write_all(&frame)?;
        active.file.sync_data()?;
        active.at += frame.len() as u64;
        let next = first + parcels.map(|parcel| parcel.len() as u64).sum::<u64>();

        let mut state = self.shared.lock();
        state.next = next;
        state.bytes += frame.len() as u64;
        let segment = state.segments.back_mut().expect("the active segment is the last one");
        (segment.next, segment.bytes) = (next, segment.bytes + frame.len() as u64);
        drop(state);
        self.shared.grown.notify_all();
        Ok(())
    }

    /// The segment for a frame of so many bytes, a new one when the active one is large enough or there is none.
    fn segment_for(&mut self, first: u64, bytes: u64) -> io::Result<&mut Active> {
        let most = SEGMENT_BYTES_MAX.min(self.shared.bytes_max / 16);
        let fits = |active: &Active| active.at + bytes <= most || active.at == HEADER_BYTES as u64;
        let active = match self.active.take().filter(fits) {
            Some(active) => active,
            None => self.begin(first)?,
        };
        Ok(self.active.insert(active))
    }

    fn begin(&self, first: u64) -> io::Result<Active> {
        let mut salt = [0; SALT_BYTES];
        SystemRandom::new().fill(&mut salt).map_err(|_| io::Error::other("the system has no random numbers"))?;
        let header = Header { first, salt, key_id: self.key.id.clone() };
        let path = segment::path(&self.shared.folder, first);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let made = file
            .write_all(&header.encode())
            .and_then(|()| file.sync_all())
            .and_then(|()| File::open(&self.shared.folder)?.sync_all());
        if let Err(error) = made {
            // It holds nothing; where it stays, its name is in the way and says so.
            let _gone = fs::remove_file(&path).is_ok();
            return Err(error);
        }
        let bytes = HEADER_BYTES as u64;
        let mut state = self.shared.lock();
        state.active = Some(first);
        state.segments.push_back(Segment { first, next: first, bytes, damaged: false });
        state.bytes += bytes;
        drop(state);
        Ok(Active { cipher: Cipher::new(&self.key, &self.shared.source, &header), file, first, at: bytes })
    }

    /// After a failure: the segment ends behind its last confirmed frame, if it has one.
    fn give_up_segment(&mut self) {
        let Some(active) = self.active.take() else { return };
        let mut state = self.shared.lock();
        state.active = None;
        if active.at > HEADER_BYTES as u64 {
            // What cannot be cut is beyond the numbers of this segment, and left out when it is read.
            let _cut = active.file.set_len(active.at).is_ok();
            return;
        }
        if fs::remove_file(segment::path(&self.shared.folder, active.first)).is_ok() {
            state.segments.pop_back();
            state.bytes -= active.at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_full_disk_refuses_is_told_once_in_a_while_with_its_number() {
        let mut refused = Refused::default();
        assert_eq!(refused.note(2), Some(2), "the first at once");
        assert_eq!([refused.note(3), refused.note(4)], [None, None]);
        refused.since_told = None;
        assert_eq!(refused.note(1), Some(8), "with those that were passed over");
    }
}
