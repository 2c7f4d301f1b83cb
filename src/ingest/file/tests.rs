//! The file source: lines, compression, resuming, damage.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::super::testing::Told::{Ended, Failed, Opened, Records};
use super::super::testing::{Told, all, clock, next, nothing, stored, told};
use super::*;

/// A folder with one file of these bytes per element; names say nothing about the content.
fn files(contents: &[&[u8]]) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |(index, bytes): (usize, &&[u8])| {
        let path = folder.path().join(format!("{index}.log"));
        fs::write(&path, bytes).expect("a file");
        path
    };
    let paths = contents.iter().enumerate().map(write).collect();
    (folder, paths)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

fn source(paths: &[PathBuf], limits: ReadLimits, positions: Arc<dyn Positions>) -> FileSource {
    FileSource::new(paths, "web", limits, positions, clock().0).expect("the files open")
}

fn read(contents: &[&[u8]], positions: Arc<dyn Positions>) -> Vec<Told> {
    let (_folder, paths) = files(contents);
    all(&mut source(&paths, ReadLimits::default(), positions))
}

fn refusal(path: &Path) -> String {
    let opened = FileSource::new(&[path], "web", ReadLimits::default(), nothing(), clock().0);
    opened.err().expect("refused").to_string()
}

#[test]
fn plain_gzip_and_zstd_are_told_by_their_first_bytes() {
    let text: &[u8] = b"one\ntwo\nthree";
    let packed = [gzip(b"one\ntwo\n"), gzip(b"three")].concat();
    let frames =
        [zstd::encode_all(&b"one\n"[..], 1), zstd::encode_all(&b"two\nthree"[..], 1)].map(Result::unwrap).concat();
    for content in [text, &packed, &frames] {
        assert_eq!(read(&[content], nothing()), [Opened(0), Records(0, 3, 11, 3), Ended(0)]);
    }
}

#[test]
fn every_lane_opens_before_the_first_record_and_files_take_turns() {
    let limits = ReadLimits { batch_records: 2, ..ReadLimits::default() };
    let (_folder, paths) = files(&[b"a\nb\nc\n", b"d\n", b""]);
    assert_eq!(
        all(&mut source(&paths, limits, nothing())),
        [
            Opened(0),
            Opened(1),
            Opened(2),
            Records(0, 2, 2, 2),
            Records(1, 1, 1, 1),
            Ended(2),
            Records(0, 1, 1, 3),
            Ended(1),
            Ended(0)
        ]
    );
}

#[test]
fn a_lane_continues_at_its_position() {
    let content = gzip(b"a\nb\nc\n");
    assert_eq!(read(&[&content], stored(&[("web", 0, 2)])), [Opened(0), Records(0, 1, 1, 3), Ended(0)]);
    assert_eq!(read(&[&content], stored(&[("web", 0, 3)])), [Opened(0), Ended(0)]);
    assert_eq!(read(&[&content], stored(&[("other", 0, 2)])), [Opened(0), Records(0, 3, 3, 3), Ended(0)]);
}

#[test]
fn paused_lanes_give_nothing_until_resumed() {
    let (_folder, paths) = files(&[b"a\n", b"b\n"]);
    let mut source = source(&paths, ReadLimits::default(), nothing());
    assert_eq!([next(&mut source), next(&mut source)], [Opened(0), Opened(1)]);
    let lanes = [Lane::new("web", 0), Lane::new("web", 1)];
    source.pause(&lanes[..1]).expect("paused");
    assert_eq!([next(&mut source), next(&mut source)], [Records(1, 1, 1, 1), Ended(1)]);
    assert!(matches!(source.next(Duration::ZERO), Ok(None)) && !source.finished());
    source.resume(&lanes).expect("resumed");
    assert_eq!(all(&mut source), [Records(0, 1, 1, 1), Ended(0)]);
}

#[test]
fn a_giant_line_is_cut_and_those_around_it_are_whole() {
    let content = [b"before\n".as_slice(), &vec![b'x'; 5 << 20], b"\nafter\n"].concat();
    let limits = ReadLimits { batch_records: 1, ..ReadLimits::default() };
    for bytes in [content.clone(), gzip(&content)] {
        let (_folder, paths) = files(&[&bytes]);
        assert_eq!(
            all(&mut source(&paths, limits.clone(), nothing())),
            [Opened(0), Records(0, 1, 6, 1), Records(0, 1, 5 << 20, 2), Records(0, 1, 5, 3), Ended(0)]
        );
    }
}

#[test]
fn batches_end_at_a_mebibyte_of_kept_bytes() {
    let (_folder, paths) = files(&[&[[b'x'; 1023].as_slice(), b"\n"].concat().repeat(10_000)]);
    let told = all(&mut source(&paths, ReadLimits::default(), nothing()));
    let full = (1 << 20) / 1023 + 1;
    let batch = |n: usize, next: usize| Records(0, n, 1023 * n as u64, next as i64);
    let whole = 10_000 / full;
    let mut expected = vec![Opened(0)];
    expected.extend((1..=whole).map(|n| batch(full, n * full)));
    expected.extend([batch(10_000 - whole * full, 10_000), Ended(0)]);
    assert_eq!(told, expected);
}

#[test]
fn damage_in_the_middle_keeps_what_came_before_and_names_file_and_line() {
    let line =
        |n: usize| format!("{{\"n\":{n},\"padding\":\"{:x}\"}}\n", (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let text: String = (0..20_000).map(line).collect();
    let mut packed = gzip(text.as_bytes());
    let middle = packed.len() / 2;
    packed[middle..middle + 64].fill(0xFF);
    let (_folder, paths) = files(&[&packed, b"fine\n"]);
    let said = all(&mut source(&paths, ReadLimits { batch_records: 100_000, ..ReadLimits::default() }, nothing()));
    let Records(0, kept, _, _) = said[2] else { panic!("{said:?}") };
    assert!((5_000..15_000).contains(&kept), "{kept} lines before the damage");
    let start = format!("{}: the gzip data is damaged: ", paths[0].display());
    let near = format!("in line {} near byte ", kept + 1);
    let end = format!(" of the file; the {kept} lines before it are kept");
    let named = |error: &str| error.starts_with(&start) && error.contains(&near) && error.ends_with(&end);
    assert!(matches!(&said[4], Failed(error) if named(error)), "{:?}", said[4]);
    assert_eq!((&said[3], &said[5..]), (&Records(1, 1, 4, 1), [Ended(1), Ended(0)].as_slice()));
}

#[test]
fn a_packed_file_cut_short_keeps_its_complete_lines() {
    let packed = gzip(b"one\ntwo\nthr");
    let (_folder, paths) = files(&[&packed[..packed.len() - 8]]);
    let said = all(&mut source(&paths, ReadLimits::default(), nothing()));
    let (name, bytes) = (paths[0].display(), packed.len() - 8);
    let error = format!(
        "{name}: the gzip data ends early, in line 3 near byte {bytes} of the file; the 2 lines before it are kept"
    );
    assert_eq!(said, [Opened(0), Records(0, 2, 6, 2), Failed(error), Ended(0)]);
}

#[test]
fn what_cannot_be_read_is_refused_before_anything_starts() {
    let (folder, paths) = files(&[b"BZh91AY"]);
    let missing = folder.path().join("missing.log");
    assert_eq!(refusal(&missing), format!("{}: there is no such file", missing.display()));
    let directory = format!(
        "{}: this is a directory; name the files in it, for example with a pattern of the shell",
        folder.path().display()
    );
    assert_eq!(refusal(folder.path()), directory);
    assert!(refusal(&paths[0]).contains("this is bzip2: unpack it first"));
    let many = vec![paths[0].clone(); 513];
    let error = FileSource::new(&many, "web", ReadLimits::default(), nothing(), clock().0).err().expect("too many");
    assert_eq!(error.to_string(), "web: 513 files; at most 512 can be read together");
}

#[test]
fn a_position_that_cannot_be_looked_up_is_an_error() {
    struct Broken;
    impl Positions for Broken {
        fn next_offset(&self, _lane: &Lane) -> anyhow::Result<Option<i64>> {
            anyhow::bail!("the lake is away")
        }
    }
    let (_folder, paths) = files(&[b"a\n"]);
    let error =
        FileSource::new(&paths, "web", ReadLimits::default(), Arc::new(Broken), clock().0).err().expect("refused");
    assert!(error.to_string().ends_with("cannot look up where to continue: the lake is away"), "{error}");
}

#[test]
fn progress_counts_bytes_on_disk() {
    let packed = gzip(&b"line\n".repeat(1000));
    let (_folder, paths) = files(&[&packed, b"a\n"]);
    let mut source = source(&paths, ReadLimits::default(), nothing());
    let progress = source.progress();
    assert_eq!(progress.total_bytes(), packed.len() as u64 + 2);
    while !source.finished() {
        source.next(Duration::ZERO).expect("reads").map(told);
    }
    assert_eq!(progress.read_bytes(), progress.total_bytes());
}

#[test]
fn an_identity_follows_the_name_and_the_first_line() {
    let (folder, paths) = files(&[b"first\nsecond\n", b"first\nsecond\n", &gzip(b"first\r\n")]);
    let known = identity(&paths[0]).expect("readable");
    assert_eq!((known.len(), known == identity(&paths[1]).expect("readable")), (32, false));
    fs::write(&paths[0], b"first\nsecond\nthird\n").expect("written");
    assert_eq!(identity(&paths[0]).expect("readable"), known, "the log grew");
    fs::write(&paths[0], gzip(b"first\nsecond\n")).expect("written");
    assert_eq!(identity(&paths[0]).expect("readable"), known, "the log was packed under the same name");
    fs::write(&paths[0], b"other\nsecond\n").expect("written");
    assert_ne!(identity(&paths[0]).expect("readable"), known, "the log was rotated");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&paths[0], &link).expect("linked");
    assert_eq!(identity(&paths[0]).expect("readable"), identity(&link).expect("readable"));
    assert!(identity(folder.path()).is_err());
}

#[test]
fn a_file_that_became_shorter_is_another_one_and_says_so() {
    let said = read(&[b"a\nb\nc\n"], stored(&[("web", 0, 5)]));
    let Some(Failed(error)) = said.iter().find(|told| matches!(told, Failed(_))) else { panic!("{said:?}") };
    assert!(error.contains("it has 3 lines, fewer than were read of it before"), "{error}");
    assert_eq!(read(&[b"a\nb\nc\n"], stored(&[("web", 0, 3)])), [Opened(0), Ended(0)]);
}
