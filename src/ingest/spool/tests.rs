//! What is appended is handed over, once and whole, through restarts, damage, a full disk and a full spool; and none of
//! it lies on disk as it came.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::segment::path;
use super::*;
use crate::ingest::testing::{Told, clock, next, nothing, stored};
use crate::ingest::{Signal, Source};

struct Setup {
    folder: TempDir,
    runtime: Runtime,
}

fn key() -> SpoolKey {
    SpoolKey { id: "p00000001".to_owned(), bytes: [7; 32] }
}

impl Setup {
    fn new() -> Setup {
        Setup { folder: tempfile::tempdir().expect("a folder"), runtime: Runtime::new().expect("a runtime") }
    }

    fn config(&self) -> SpoolConfig {
        SpoolConfig {
            folder: self.folder.path().join("edge"),
            source: "edge".to_owned(),
            key: key(),
            bytes_max: 1 << 20,
            idle_after: Duration::from_secs(5),
        }
    }

    fn open_with(&self, config: SpoolConfig, next: Option<i64>) -> (Spool, SpoolSource) {
        let positions = next.map_or_else(nothing, |next| stored(&[("edge", 0, next)]));
        open(config, positions.as_ref(), ReadLimits::default(), clock().0).expect("opens")
    }

    fn open(&self, next: Option<i64>) -> (Spool, SpoolSource) {
        self.open_with(self.config(), next)
    }

    fn append(&self, spool: &Spool, texts: &[&str]) -> Result<(), SpoolError> {
        self.runtime.block_on(spool.append(parcel(texts)))
    }

    fn file(&self, first: u64) -> std::path::PathBuf {
        path(&self.config().folder, first)
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.config().folder).expect("a folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name != "lock").collect();
        names.sort();
        names
    }
}

fn parcel(texts: &[&str]) -> Parcel {
    let mut parcel = Parcel::default();
    texts.iter().for_each(|text| parcel.push(1_000_000, text.as_bytes(), text.len() as u64));
    parcel
}

fn records(count: usize, bytes: u64, next: i64) -> Told {
    Told::Records(0, count, bytes, next)
}

fn open_lane(source: &mut SpoolSource) {
    assert_eq!(next(source), Told::Opened(0));
}

fn is_quiet(source: &mut SpoolSource) -> bool {
    matches!(source.next(Duration::ZERO), Ok(None))
}

#[test]
fn what_is_appended_is_handed_over_and_goes_on_after_a_restart() {
    let setup = Setup::new();
    let (spool, mut source) = setup.open(None);
    open_lane(&mut source);
    assert!(is_quiet(&mut source));
    setup.append(&spool, &["one", "two"]).expect("accepted");
    setup.append(&spool, &["three"]).expect("accepted");
    assert_eq!(next(&mut source), records(3, 11, 3));
    assert!(is_quiet(&mut source));
    drop((spool, source));

    // Nothing was committed: all of it comes again, and what is new behind it.
    let (spool, mut source) = setup.open(None);
    open_lane(&mut source);
    setup.append(&spool, &["four"]).expect("accepted");
    assert_eq!(next(&mut source), records(4, 15, 4));
    drop((spool, source));

    // The lake has two of the records.
    let (_spool, mut source) = setup.open(Some(2));
    open_lane(&mut source);
    assert_eq!(next(&mut source), records(2, 9, 4));
}

#[test]
fn records_keep_their_time_and_their_length() {
    let setup = Setup::new();
    let (spool, mut source) = setup.open(None);
    let mut parcel = Parcel::default();
    parcel.push(5, b"head", 2_000_000);
    parcel.push(6, b"", 0);
    setup.runtime.block_on(spool.append(parcel)).expect("accepted");
    open_lane(&mut source);
    assert_eq!(next(&mut source), records(2, 2_000_000, 2));
    // The first one is longer than what is kept: a reject, with the time at which it came.
    drop((spool, source));
    let (_spool, mut source) = setup.open(None);
    open_lane(&mut source);
    let Ok(Some(Signal::Records { lane, records })) = source.next(Duration::ZERO) else { panic!("there are records") };
    let config = schemas::SourceConfig { name: "edge".into(), kind: "kong".into(), ..schemas::SourceConfig::default() };
    let mut normaliser =
        schemas::Normaliser::new(&config, &schemas::Keys::new("k1", b"an invented key")).expect("kong");
    let rejects = normaliser.normalise(&lane, &records).rejects;
    let told: Vec<_> = rejects.iter().map(|r| (r.offset, r.code, r.observed_us, r.length)).collect();
    assert_eq!(told, [(0, schemas::Code::Oversized, 5, 2_000_000), (1, schemas::Code::Empty, 6, 0)]);
}

#[test]
fn a_batch_ends_at_its_limits_and_the_rest_follows() {
    let setup = Setup::new();
    let limits = ReadLimits { batch_records: 2, ..ReadLimits::default() };
    let (spool, mut source) = open(setup.config(), nothing().as_ref(), limits, clock().0).expect("opens");
    open_lane(&mut source);
    setup.append(&spool, &["a", "b", "c"]).expect("accepted");
    setup.append(&spool, &["d"]).expect("accepted");
    assert_eq!(next(&mut source), records(2, 2, 2));
    assert_eq!(next(&mut source), records(2, 2, 4));
    let lane = Lane::new("edge", 0);
    source.pause(std::slice::from_ref(&lane)).expect("pauses");
    setup.append(&spool, &["e"]).expect("accepted");
    assert!(is_quiet(&mut source));
    source.resume(&[lane]).expect("resumes");
    assert_eq!(next(&mut source), records(1, 1, 5));
}

#[test]
fn many_senders_share_a_frame_and_each_is_answered() {
    let setup = Setup::new();
    let (spool, mut source) = setup.open(None);
    let all = (0..200).map(|_| {
        let spool = spool.clone();
        setup.runtime.spawn(async move { spool.append(parcel(&["a record"])).await })
    });
    for answer in all.collect::<Vec<_>>() {
        setup.runtime.block_on(answer).expect("no panic").expect("accepted");
    }
    open_lane(&mut source);
    assert_eq!(next(&mut source), records(200, 1600, 200));
}

#[test]
fn a_lane_at_its_end_says_so_once() {
    let setup = Setup::new();
    let (clock, hand) = clock();
    let (spool, mut source) = open(setup.config(), nothing().as_ref(), ReadLimits::default(), clock).expect("opens");
    open_lane(&mut source);
    hand.fetch_add(6_000_000, Ordering::Relaxed);
    assert_eq!(next(&mut source), Told::CaughtUp(0));
    assert!(is_quiet(&mut source));
    setup.append(&spool, &["one"]).expect("accepted");
    assert_eq!(next(&mut source), records(1, 3, 1));
    assert!(is_quiet(&mut source));
    hand.fetch_add(6_000_000, Ordering::Relaxed);
    assert_eq!(next(&mut source), Told::CaughtUp(0));
}

#[test]
fn a_full_spool_refuses_or_makes_wait_until_the_lake_has_the_records() {
    let setup = Setup::new();
    let (spool, mut source) = setup.open(None);
    open_lane(&mut source);
    let long = "x".repeat(100 << 10);
    let mut accepted = 0;
    while setup.append(&spool, &[&long]).is_ok() {
        accepted += 1;
    }
    assert_eq!(accepted, 10, "ten records of 100 KiB fit into 1 MiB");
    assert!(!spool.has_room(100 << 10));
    assert_eq!(setup.append(&spool, &[&long]), Err(SpoolError::Full));
    let waiting = {
        let (spool, long) = (spool.clone(), long.clone());
        setup.runtime.spawn(async move { spool.append_when_room(parcel(&[&long])).await })
    };
    let mut read = 0;
    while read < 10 {
        let Told::Records(_, count, _, _) = next(&mut source) else { panic!("records") };
        read += count;
    }
    assert!(!waiting.is_finished());
    source.committed(&[(Lane::new("edge", 0), 10)]).expect("committed");
    setup.runtime.block_on(waiting).expect("no panic").expect("accepted");
    assert_eq!(next(&mut source), records(1, 100 << 10, 11));
    drop((spool, source));

    // What the lake has is gone from the disk, and numbers go on.
    assert_eq!(setup.files().len(), 2, "{:?}", setup.files());
    let (spool, mut source) = setup.open(Some(11));
    assert_eq!(setup.files(), Vec::<String>::new());
    open_lane(&mut source);
    setup.append(&spool, &["next"]).expect("accepted");
    assert_eq!(next(&mut source), records(1, 4, 12));
}

#[test]
fn a_half_written_end_is_cut_and_its_numbers_are_given_again() {
    let setup = Setup::new();
    let (spool, source) = setup.open(None);
    setup.append(&spool, &["one"]).expect("accepted");
    setup.append(&spool, &["two, which will be cut"]).expect("accepted");
    drop((spool, source));
    let whole = fs::read(setup.file(0)).expect("the segment");
    let second = frame::find(&whole[frame::HEADER_BYTES + 1..]).expect("a second frame") + frame::HEADER_BYTES + 1;
    // Cut within its head, within its body, and left as zeros.
    for (end, zeros) in [(second + 3, 0), (whole.len() - 1, 0), (second, 4096), (second + 30, 0)] {
        let mut torn = whole[..end].to_vec();
        torn.resize(end + zeros, 0);
        fs::write(setup.file(0), torn).expect("written");
        let (_spool, mut source) = setup.open(None);
        open_lane(&mut source);
        assert_eq!(next(&mut source), records(1, 3, 1), "{end}");
        assert!(is_quiet(&mut source));
        assert_eq!(fs::metadata(setup.file(0)).expect("there").len(), second as u64);
    }
    let (spool, mut source) = setup.open(None);
    setup.append(&spool, &["2nd"]).expect("accepted");
    open_lane(&mut source);
    assert_eq!(next(&mut source), records(2, 6, 2));
    drop((spool, source));
    // A crash before the first frame leaves nothing but a header, or less.
    for bytes in [0, 20, frame::HEADER_BYTES] {
        fs::write(setup.file(2), &whole[..bytes]).expect("written");
        if bytes == frame::HEADER_BYTES {
            let header = frame::Header { first: 2, salt: [1; 16], key_id: key().id };
            fs::write(setup.file(2), header.encode()).expect("written");
        }
        let (spool, source) = setup.open(None);
        assert_eq!(setup.files().len(), 2, "{bytes}");
        drop((spool, source));
    }
}

#[test]
fn damage_costs_its_frame_and_what_follows_is_read() {
    let setup = Setup::new();
    let (spool, source) = setup.open(None);
    for text in ["one", "two", "three", "four"] {
        setup.append(&spool, &[text]).expect("accepted");
    }
    drop((spool, source));
    let whole = fs::read(setup.file(0)).expect("the segment");
    let mut starts = vec![frame::HEADER_BYTES];
    while let Some(at) = frame::find(&whole[starts[starts.len() - 1] + 1..]) {
        starts.push(starts[starts.len() - 1] + 1 + at);
    }
    assert_eq!(starts.len(), 4);
    // A bit of the second frame's body, of its head, and of its length.
    for at in [starts[1] + frame::HEAD_BYTES + 2, starts[1] + 1, starts[1] + 5] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(setup.file(0), &damaged).expect("written");
        let (spool, mut source) = setup.open(None);
        open_lane(&mut source);
        assert_eq!(next(&mut source), records(3, 12, 4), "{at}");
        setup.append(&spool, &["five"]).expect("accepted");
        assert_eq!(next(&mut source), records(1, 4, 5));
        // Done with, it is kept for whoever wants to look.
        source.committed(&[(Lane::new("edge", 0), 5)]).expect("committed");
        drop((spool, source));
        let names = setup.files();
        assert!(names.contains(&format!("{:020}.damaged", 0)), "{names:?}");
        fs::remove_dir_all(setup.config().folder).expect("removed");
        fs::create_dir(setup.config().folder).expect("made");
    }
}

#[test]
fn a_disk_that_fails_acknowledges_nothing_and_is_used_again_when_it_works() {
    let setup = Setup::new();
    let (spool, mut source) = setup.open(None);
    open_lane(&mut source);
    // A folder in the place of the first segment: it cannot be made.
    fs::create_dir(setup.file(0)).expect("made");
    let error = setup.append(&spool, &["lost"]).expect_err("not accepted");
    assert!(matches!(&error, SpoolError::Disk(why) if why.contains("exists")), "{error:?}");
    assert!(is_quiet(&mut source));
    fs::remove_dir(setup.file(0)).expect("removed");
    setup.append(&spool, &["kept"]).expect("accepted");
    assert_eq!(next(&mut source), records(1, 4, 1));
    assert!(spool.has_room(900 << 10), "what was refused takes no room");
}

#[test]
fn nothing_on_disk_is_readable_or_for_others() {
    use std::os::unix::fs::PermissionsExt;
    let setup = Setup::new();
    let (spool, source) = setup.open(None);
    let secret = "password=not-a-real-secret-7c41";
    setup.append(&spool, &[secret]).expect("accepted");
    drop((spool, source));
    let bytes = fs::read(setup.file(0)).expect("the segment");
    assert!(memchr::memmem::find(&bytes, b"not-a-real").is_none());
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&setup.config().folder), mode(&setup.file(0))), (0o700, 0o600));

    // Equal records do not look alike, and another key opens nothing.
    let other = SpoolKey { id: "p00000002".to_owned(), bytes: [8; 32] };
    let opened =
        open(SpoolConfig { key: other, ..setup.config() }, nothing().as_ref(), ReadLimits::default(), clock().0);
    let error = opened.err().expect("refused").to_string();
    assert!(error.contains("sealed with the key p00000001, and spool.key is p00000002"), "{error}");
}

#[test]
fn one_process_has_a_spool() {
    let setup = Setup::new();
    let (_spool, _source) = setup.open(None);
    let second = open(setup.config(), nothing().as_ref(), ReadLimits::default(), clock().0);
    let error = second.err().expect("refused").to_string();
    assert!(error.contains("another process has this spool open"), "{error}");
}

#[test]
fn numbers_go_on_behind_the_lake_when_the_folder_is_new() {
    let setup = Setup::new();
    let (spool, mut source) = setup.open(Some(41));
    open_lane(&mut source);
    setup.append(&spool, &["one"]).expect("accepted");
    assert_eq!(next(&mut source), records(1, 3, 42));
    drop((spool, source));
    // A lake that knows less, or nothing, gets what is here.
    let (_spool, mut source) = setup.open(None);
    open_lane(&mut source);
    assert_eq!(next(&mut source), records(1, 3, 42));
}

#[test]
fn a_source_that_is_let_go_answers_what_waited() {
    let setup = Setup::new();
    let (spool, source) = setup.open(None);
    drop(source);
    assert_eq!(setup.append(&spool, &["late"]), Err(SpoolError::Stopping));
    assert_eq!(setup.runtime.block_on(spool.append_when_room(parcel(&["late"]))), Err(SpoolError::Stopping));
}
