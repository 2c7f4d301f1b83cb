//! Unpacks a stream that is gzip or zstd, told by its first bytes; anything else is passed on as it is.
//!
//! Promises: gzip of several members and zstd of several frames are read to their end, and a stream that ends within one
//! is an error. Packings that cannot be read are named instead of being taken for text.

use std::io::{self, BufReader, Cursor, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;

/// Packed bytes read at a time.
const PACKED_BYTES: usize = 256 << 10;
/// Unpacked bytes taken at a time: when damage is met, what was unpacked in the same step is lost with it.
const STEP_BYTES: usize = 16 << 10;
const GZIP: &[u8] = &[0x1F, 0x8B];
const ZSTD: &[u8] = &[0x28, 0xB5, 0x2F, 0xFD];
/// A zstd stream may begin with a skippable frame; the low half of the first byte is free.
const ZSTD_SKIPPABLE: &[u8] = &[0x2A, 0x4D, 0x18];

/// So many tell all of them apart.
pub const FIRST_BYTES: usize = 6;

/// First bytes of what is often seen in a log folder and cannot be read, with what to do about it.
const UNREADABLE: [(&[u8], &str); 6] = [
    (b"BZh", "this is bzip2: unpack it first, for example with `bzcat FILE | gatewatch replay -`"),
    (b"\xFD7zXZ\0", "this is xz: unpack it first, for example with `xzcat FILE | gatewatch replay -`"),
    (b"PK\x03\x04", "this is a zip archive: unpack it first"),
    (b"PAR1", "this is a Parquet file, not a log: its rows can be read with SQL"),
    (b"\xFF\xFE", "this is UTF-16 text: convert it first, for example with `iconv -f UTF-16 -t UTF-8`"),
    (b"\xFE\xFF", "this is UTF-16 text: convert it first, for example with `iconv -f UTF-16 -t UTF-8`"),
];

/// The records in `stream`, unpacked. Reads only as many of its first bytes as it takes to tell, so that a short line of
/// a stream that goes on later is not held up.
pub fn unpack<R: Read + Send + 'static>(mut stream: R) -> io::Result<Box<dyn Read + Send>> {
    let mut first = Vec::with_capacity(8);
    while is_undecided(&first) && stream.by_ref().take(1).read_to_end(&mut first)? > 0 {}
    unreadable(&first)?;
    let is_gzip = first.starts_with(GZIP);
    let is_zstd = !is_gzip && is_packed(&first);
    let whole = Cursor::new(first).chain(stream);
    if is_gzip {
        return Ok(Box::new(Named {
            name: "gzip",
            inner: MultiGzDecoder::new(BufReader::with_capacity(PACKED_BYTES, whole)),
        }));
    }
    if is_zstd {
        let packed = BufReader::with_capacity(PACKED_BYTES, whole);
        return Ok(Box::new(Named { name: "zstd", inner: zstd::stream::read::Decoder::with_buffer(packed)? }));
    }
    Ok(Box::new(whole))
}

/// An error that says what to do where what begins with these bytes cannot be read.
pub fn unreadable(first: &[u8]) -> io::Result<()> {
    match UNREADABLE.iter().find(|(magic, _)| first.starts_with(magic)) {
        Some((_, advice)) => Err(io::Error::new(ErrorKind::InvalidData, *advice)),
        None => Ok(()),
    }
}

/// Whether what begins with these bytes is packed.
pub fn is_packed(first: &[u8]) -> bool {
    let skippable = first.get(1..4) == Some(ZSTD_SKIPPABLE) && first[0] & 0xF0 == 0x50;
    first.starts_with(GZIP) || first.starts_with(ZSTD) || skippable
}

/// More bytes could still make one of the known beginnings.
fn is_undecided(first: &[u8]) -> bool {
    let begins = |magic: &[u8]| magic.len() > first.len() && magic.starts_with(first);
    let skippable =
        first.first().is_some_and(|byte| byte & 0xF0 == 0x50) && begins(&[&first[..1], ZSTD_SKIPPABLE].concat());
    begins(GZIP) || begins(ZSTD) || skippable || UNREADABLE.iter().any(|(magic, _)| begins(magic))
}

/// Says in an error which packing was being read.
struct Named<R> {
    name: &'static str,
    inner: R,
}

impl<R: Read> Read for Named<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(STEP_BYTES);
        self.inner.read(&mut buffer[..most]).map_err(|error| match error.kind() {
            ErrorKind::Interrupted | ErrorKind::WouldBlock => error,
            ErrorKind::UnexpectedEof => io::Error::new(error.kind(), format!("the {} data ends early", self.name)),
            _ => io::Error::new(error.kind(), format!("the {} data is damaged: {error}", self.name)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    pub fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("a vector takes all");
        encoder.finish().expect("a vector takes all")
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).expect("a slice does not fail")
    }

    fn read(packed: Vec<u8>) -> io::Result<String> {
        let mut text = String::new();
        unpack(Cursor::new(packed))?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn plain_text_is_passed_on_however_short() {
        for text in ["", "a", "P", "PAR", "PAR2", "Z*", "{\"a\":1}", "a longer line\nand another\n"] {
            assert_eq!(read(text.into()).expect("plain"), text);
        }
    }

    #[test]
    fn members_and_frames_follow_each_other() {
        assert_eq!(read([gzip(b"one\n"), gzip(b""), gzip(b"two\n")].concat()).expect("gzip"), "one\ntwo\n");
        assert_eq!(read([zstd(b"one\n"), zstd(b"two\n")].concat()).expect("zstd"), "one\ntwo\n");
        let skippable = [&[0x5A, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3], zstd(b"one\n").as_slice()].concat();
        assert_eq!(read(skippable).expect("zstd"), "one\n");
    }

    #[test]
    fn packed_data_that_ends_early_or_is_damaged_is_an_error() {
        for (name, packed) in [("gzip", gzip(&[b'x'; 5000])), ("zstd", zstd(&[b'x'; 5000]))] {
            let short = read(packed[..packed.len() - 5].to_vec()).expect_err("short");
            assert_eq!(short.to_string(), format!("the {name} data ends early"));
        }
        let mut packed = gzip(b"0123456789 0123456789 abcdefgh");
        packed[15] ^= 0xFF;
        let damaged = read(packed).expect_err("damaged").to_string();
        assert!(damaged.starts_with("the gzip data is damaged: "), "{damaged}");
        let trailing = read([zstd(b"one\n"), b"rubbish".to_vec()].concat()).expect_err("trailing").to_string();
        assert!(trailing.starts_with("the zstd data is damaged: "), "{trailing}");
    }

    #[test]
    fn other_packings_are_named() {
        for (first, word) in [(&b"BZh91AY"[..], "bzip2"), (b"\xFD7zXZ\0\0", "xz"), (b"\xFF\xFEa\0", "UTF-16")] {
            let error = read(first.to_vec()).expect_err(word).to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
