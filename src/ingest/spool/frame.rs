//! What is in a spool's files: a segment begins with a header and holds frames, and a frame holds records, sealed.
//!
//! A segment has a key of its own, made of the spool's key and the segment's header, so that no two frames share key and
//! nonce: the nonce is the place of the frame in its segment, and a segment is only ever written once. The head of a
//! frame (length, numbers) is readable, checked by a CRC to find the next frame, and authenticated with the frame.
//!
//! Promises: a frame that opens is as it was written, in the place where it was written. Records have no Debug and no
//! Display, and none is readable without the key.
//! Never: touches a file.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use memchr::memmem;

/// Of a segment's header: mark, first number, salt, id of the key.
pub(super) const HEADER_BYTES: usize = 8 + 8 + SALT_BYTES + KEY_ID_BYTES;
pub(super) const SALT_BYTES: usize = 16;
const KEY_ID_BYTES: usize = 32;
/// Of a frame's head: mark, length of what is sealed, first number, count, CRC of these.
pub(super) const HEAD_BYTES: usize = 4 + 4 + 8 + 4 + 4;
pub(super) const TAG_BYTES: usize = 16;
/// What a record takes besides its bytes: arrival, length, kept length.
const RECORD_HEAD_BYTES: usize = 8 + 8 + 4;

const SEGMENT_MARK: &[u8; 8] = b"GWSPOOL1";
const FRAME_MARK: &[u8; 4] = b"GWF1";

/// The key of all spools of a service; it is in no output.
#[derive(Clone)]
pub struct SpoolKey {
    /// At most 32 bytes.
    pub id: String,
    pub bytes: [u8; 32],
}

/// Records on their way into the spool, in the form in which a frame holds them.
#[derive(Default)]
pub struct Parcel {
    pub(super) bytes: Vec<u8>,
    pub(super) records: u32,
}

impl Parcel {
    /// Appends a record of `length` bytes, of which `kept` is all or the head.
    pub fn push(&mut self, observed_us: i64, kept: &[u8], length: u64) {
        self.bytes.extend_from_slice(&observed_us.to_le_bytes());
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&length_u32(kept.len()).to_le_bytes());
        self.bytes.extend_from_slice(kept);
        self.records += 1;
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records as usize
    }

    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes that its records take.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that it takes in a frame of its own, at most.
    pub(super) fn frame_bytes(&self) -> u64 {
        (HEAD_BYTES + self.bytes.len() + TAG_BYTES) as u64
    }
}

/// The first bytes of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The number of its first record.
    pub(super) first: u64,
    pub(super) salt: [u8; SALT_BYTES],
    pub(super) key_id: String,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(SEGMENT_MARK);
        bytes[8..16].copy_from_slice(&self.first.to_le_bytes());
        bytes[16..16 + SALT_BYTES].copy_from_slice(&self.salt);
        let id = self.key_id.as_bytes();
        let length = id.len().min(KEY_ID_BYTES);
        bytes[16 + SALT_BYTES..][..length].copy_from_slice(&id[..length]);
        bytes
    }

    /// `None`: no segment begins like this.
    pub(super) fn decode(bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.get(..HEADER_BYTES).filter(|bytes| bytes.starts_with(SEGMENT_MARK))?;
        let (salt, id) = bytes[16..].split_at(SALT_BYTES);
        let id = id.split(|byte| *byte == 0).next()?;
        Some(Header {
            first: u64_at(bytes, 8),
            salt: salt.try_into().ok()?,
            key_id: std::str::from_utf8(id).ok()?.to_owned(),
        })
    }
}

/// Seals and opens the frames of one segment.
pub(super) struct Cipher(LessSafeKey);

impl Cipher {
    pub(super) fn new(key: &SpoolKey, source: &str, header: &Header) -> Cipher {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key.bytes));
        for part in [b"gatewatch spool segment\0".as_slice(), source.as_bytes(), b"\0", &header.encode()] {
            context.update(part);
        }
        let own = UnboundKey::new(&AES_256_GCM, context.sign().as_ref()).expect("HMAC-SHA-256 makes 32 bytes");
        Cipher(LessSafeKey::new(own))
    }

    /// The frame at `at` of the segment, with the records of all parcels, of which the first one has the number `first`.
    pub(super) fn seal<'p>(&self, at: u64, first: u64, parcels: impl Iterator<Item = &'p Parcel> + Clone) -> Vec<u8> {
        let sealed = parcels.clone().map(|parcel| parcel.bytes.len()).sum::<usize>() + TAG_BYTES;
        let head =
            Head { first, count: parcels.clone().map(|parcel| parcel.records).sum(), sealed: length_u32(sealed) };
        let head = head.encode();
        let mut frame = Vec::with_capacity(HEAD_BYTES + sealed);
        frame.extend_from_slice(&head);
        parcels.for_each(|parcel| frame.extend_from_slice(&parcel.bytes));
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce(at), Aad::from(&head), &mut frame[HEAD_BYTES..])
            .expect("a frame is far below what AES-GCM can seal");
        frame.extend_from_slice(tag.as_ref());
        frame
    }

    /// The records of the frame at `at`; `None` when it is not as it was written. `sealed` is what follows its head.
    pub(super) fn open(&self, at: u64, head: &Head, mut sealed: Vec<u8>) -> Option<Contents> {
        let length = self.0.open_in_place(nonce(at), Aad::from(&head.encode()), &mut sealed).ok()?.len();
        sealed.truncate(length);
        Some(Contents { bytes: sealed, at: 0, number: head.first, left: head.count })
    }
}

/// What the head of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The number of its first record, and how many there are.
    pub(super) first: u64,
    pub(super) count: u32,
    /// Bytes of what is sealed, with its tag.
    pub(super) sealed: u32,
}

impl Head {
    fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..4].copy_from_slice(FRAME_MARK);
        bytes[4..8].copy_from_slice(&self.sealed.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.first.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.count.to_le_bytes());
        let sum = crc(&bytes[..20]);
        bytes[20..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// `None`: no frame begins like this.
    pub(super) fn decode(bytes: &[u8]) -> Option<Head> {
        let bytes = bytes.get(..HEAD_BYTES).filter(|bytes| bytes.starts_with(FRAME_MARK))?;
        (u32_at(bytes, 20) == crc(&bytes[..20])).then(|| Head {
            first: u64_at(bytes, 8),
            count: u32_at(bytes, 16),
            sealed: u32_at(bytes, 4),
        })
    }

    /// Bytes of the whole frame.
    pub(super) fn frame_bytes(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.sealed)
    }

    /// The number after its last record.
    pub(super) fn next(&self) -> u64 {
        self.first + u64::from(self.count)
    }
}

/// Where the next frame begins in bytes of a segment that begin with something else.
pub(super) fn find(bytes: &[u8]) -> Option<usize> {
    memmem::find_iter(bytes, FRAME_MARK).find(|at| Head::decode(&bytes[*at..]).is_some())
}

/// The records of a frame that was opened.
pub(super) struct Contents {
    bytes: Vec<u8>,
    at: usize,
    /// The number of the next record.
    number: u64,
    left: u32,
}

/// One record of a frame.
pub(super) struct Record<'c> {
    pub(super) number: u64,
    pub(super) observed_us: i64,
    pub(super) kept: &'c [u8],
    pub(super) length: u64,
}

impl Contents {
    pub(super) fn next(&mut self) -> Option<Record<'_>> {
        if self.left == 0 {
            return None;
        }
        // What opened is what `Parcel` wrote, so the lengths are right; a short one ends the frame all the same.
        let head = self.bytes.get(self.at..self.at + RECORD_HEAD_BYTES)?;
        let observed_us = u64_at(head, 0).cast_signed();
        let (length, kept) = (u64_at(head, 8), u32_at(head, 16) as usize);
        let from = self.at + RECORD_HEAD_BYTES;
        let number = self.number;
        (self.at, self.number, self.left) = (from + kept, number + 1, self.left - 1);
        Some(Record { number, observed_us, kept: self.bytes.get(from..from + kept)?, length })
    }

    /// Passes over the records below this number.
    pub(super) fn skip_to(&mut self, number: u64) {
        while self.number < number && self.next().is_some() {}
    }
}

fn nonce(at: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&at.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn length_u32(length: usize) -> u32 {
    u32::try_from(length).expect("bodies and frames are bounded far below 4 GiB")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// What is kept of each record, and its length. Only tests look into records.
#[cfg(test)]
impl Parcel {
    pub fn kept(&self) -> Vec<(String, u64)> {
        let mut contents = Contents { bytes: self.bytes.clone(), at: 0, number: 0, left: self.records };
        let mut all = Vec::new();
        while let Some(record) = contents.next() {
            all.push((String::from_utf8_lossy(record.kept).into_owned(), record.length));
        }
        all
    }
}
