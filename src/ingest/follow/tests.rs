//! Followed files: what is read of them through every rotation, and across starts.

mod alike;
mod found_at_once;
mod odd;
mod packed;

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use tempfile::TempDir;

use super::super::testing::Told::{CaughtUp, Ended, Opened, Records, Succeeds};
use super::super::testing::{Stored, Told, clock, told};
use super::*;

/// A folder, and what the lake holds of its files.
struct Fixture {
    folder: TempDir,
    stored: HashMap<Lane, i64>,
    hand: Arc<std::sync::atomic::AtomicI64>,
    clock: Clock,
}

impl Fixture {
    fn new() -> Fixture {
        let (clock, hand) = clock();
        Fixture { folder: tempfile::tempdir().expect("a folder"), stored: HashMap::new(), hand, clock }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join("logs").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.at("")).expect("a folder");
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.at(name)).expect("a file");
        file.write_all(text.as_bytes()).expect("written");
    }

    fn start(&self) -> FollowSource {
        self.start_with(&["*.log*"], false)
    }

    fn start_with(&self, patterns: &[&str], start_at_end: bool) -> FollowSource {
        let patterns: Vec<PathBuf> = patterns.iter().map(|pattern| self.at(pattern)).collect();
        let config = FollowConfig {
            patterns: Patterns::new(&patterns).expect("patterns"),
            start_at_end,
            idle_after: Duration::from_secs(1),
            registry: self.folder.path().join("follow/web.json"),
        };
        let stored = Arc::new(Stored(self.stored.clone()));
        FollowSource::new(config, "web", ReadLimits::default(), stored, self.clock.clone()).expect("it starts")
    }

    /// Time goes by.
    fn pass(&self, us: i64) {
        self.hand.fetch_add(us, std::sync::atomic::Ordering::Relaxed);
    }

    /// What the source says until it has nothing to say, after a look at everything.
    fn said(&self, source: &mut FollowSource) -> Vec<Told> {
        source.scan_wanted = true;
        source.hot.extend(source.lanes.keys());
        let mut all = Vec::new();
        while let Some(signal) = source.next(Duration::ZERO).expect("it goes on") {
            all.push(told(signal));
        }
        all
    }

    /// The same, and the lake has it.
    fn commit(&mut self, source: &mut FollowSource) -> Vec<Told> {
        let said = self.said(source);
        let positions: Vec<(Lane, i64)> = said
            .iter()
            .filter_map(|told| match told {
                Records(number, _, _, next) => Some((Lane::new("web", *number), *next)),
                _ => None,
            })
            .collect();
        source.committed(&positions).expect("noted");
        self.stored.extend(positions);
        said
    }
}

fn gzip(from: &Path, to: &Path) {
    let mut encoder = flate2::write::GzEncoder::new(fs::File::create(to).expect("a file"), flate2::Compression::fast());
    encoder.write_all(&fs::read(from).expect("readable")).expect("written");
    encoder.finish().expect("written");
}

/// Lines of eight bytes and a newline.
fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|n| format!("line {n:03}\n")).collect()
}

#[test]
fn lines_are_read_as_they_are_written_and_only_with_their_newline() {
    let mut on = Fixture::new();
    on.write("a.log", "one\ntw");
    let mut source = on.start();
    assert_eq!(on.commit(&mut source), [Opened(0), Records(0, 1, 3, 1)]);
    on.write("a.log", "o\nthree\n");
    assert_eq!(on.commit(&mut source), [Records(0, 2, 8, 9)]);
    on.pass(1_000_000);
    assert_eq!(on.said(&mut source), [CaughtUp(0)]);
    drop(source);
    on.write("a.log", "four\n");
    assert_eq!(on.commit_start(), [Opened(0), Records(0, 1, 4, 15)]);
}

#[test]
fn what_was_not_committed_is_read_again_from_the_same_offsets() {
    let mut on = Fixture::new();
    on.write("a.log", &lines(0..3));
    on.commit_start();
    on.write("a.log", &lines(3..5));
    assert_eq!(on.said(&mut on.start()), [Opened(0), Records(0, 2, 16, 37)]);
    assert_eq!(on.said(&mut on.start()), [Opened(0), Records(0, 2, 16, 37)]);
}

impl Fixture {
    #[allow(clippy::wrong_self_convention)]
    fn commit_start(&mut self) -> Vec<Told> {
        let mut source = self.start();
        self.commit(&mut source)
    }
}

#[test]
fn a_renamed_file_goes_on_and_the_new_one_succeeds_it() {
    for away in [false, true] {
        let mut on = Fixture::new();
        on.write("a.log", &lines(0..3));
        let mut source = on.start();
        on.commit(&mut source);
        fs::rename(on.at("a.log"), on.at("a.log.1")).expect("renamed");
        on.write("a.log.1", &lines(3..4));
        on.write("a.log", &lines(4..6));
        if away {
            source = on.start();
        }
        let said = on.commit(&mut source);
        let count = |told: &Told| if let Records(_, count, ..) = told { *count } else { 0 };
        assert_eq!(said.iter().map(count).sum::<usize>(), 3, "{said:?}");
        assert!(said.contains(&Succeeds(1, 0)) && said.contains(&Records(1, 2, 16, 10)), "{said:?}");
        assert!(said.contains(&Records(0, 1, 8, 28)), "{said:?}");
        // A late writer, after the file was looked at under its new name.
        on.write("a.log.1", &lines(6..7));
        assert_eq!(on.commit(&mut source), [Records(0, 1, 8, 37)]);
    }
}

#[test]
fn a_file_that_was_copied_and_cut_is_read_on_in_the_copy() {
    for away in [false, true] {
        let mut on = Fixture::new();
        on.write("a.log", &lines(0..200));
        let mut source = on.start();
        on.commit(&mut source);
        if !away {
            on.write("a.log", &lines(200..203));
        }
        // Written after our last look.
        on.write("a.log", &lines(203..205));
        fs::copy(on.at("a.log"), on.at("a.log.1")).expect("copied");
        fs::File::create(on.at("a.log")).expect("cut");
        on.write("a.log", "line 500\n");
        if away {
            source = on.start();
        }
        let said = on.commit(&mut source);
        let all: usize = said.iter().map(|told| if let Records(_, count, ..) = told { *count } else { 0 }).sum();
        assert_eq!(all, if away { 3 } else { 6 }, "{said:?}");
        assert!(said.contains(&Records(1, 1, 8, 1)), "{said:?}");
        assert_eq!(on.said(&mut on.start()).iter().filter(|told| matches!(told, Records(..))).count(), 0);
    }
}

#[test]
fn a_file_that_was_cut_and_written_anew_is_another_one_also_with_the_same_head() {
    for (second, count) in [(lines(0..20), 20), (format!("{}{}", lines(0..150), "other\n".repeat(60)), 210)] {
        let mut on = Fixture::new();
        on.write("a.log", &lines(0..160));
        on.commit_start();
        fs::write(on.at("a.log"), second).expect("written");
        let said = on.commit_start();
        let all: usize = said.iter().map(|told| if let Records(1, count, ..) = told { *count } else { 0 }).sum();
        assert_eq!(all, count, "{said:?}");
    }
}

#[test]
fn a_hole_of_nuls_is_stepped_over() {
    let mut on = Fixture::new();
    on.write("a.log", &lines(0..100));
    let mut source = on.start();
    on.commit(&mut source);
    // A writer that does not append goes on where it was.
    fs::write(on.at("a.log"), [&[0; 900][..], b"line 100\n"].concat()).expect("written");
    let said = on.commit(&mut source);
    assert!(said.contains(&Records(1, 1, 8, 901)), "{said:?}");
    assert_eq!(on.said(&mut on.start()).iter().filter(|told| matches!(told, Records(..))).count(), 0);
}

#[test]
fn a_file_is_known_again_when_it_is_packed() {
    for away in [false, true] {
        let mut on = Fixture::new();
        on.write("a.log.1", &lines(0..300));
        let mut source = on.start();
        on.commit(&mut source);
        on.write("a.log.1", &lines(300..302));
        if !away {
            on.commit(&mut source);
        }
        gzip(&on.at("a.log.1"), &on.at("a.log.2.gz"));
        fs::remove_file(on.at("a.log.1")).expect("removed");
        if away {
            source = on.start();
            assert_eq!(on.commit(&mut source), [Opened(0), Records(0, 2, 16, 2710), Ended(0)]);
        } else {
            assert_eq!(on.commit(&mut source), []);
            on.pass(QUIET_US);
            let said = on.commit(&mut source);
            assert!(!said.iter().any(|told| matches!(told, Records(..))) && said.contains(&Ended(0)), "{said:?}");
        }
        assert_eq!(on.said(&mut on.start()), [], "it is done");
    }
}

#[test]
fn a_deleted_file_is_read_to_its_end_and_its_last_line_needs_no_newline() {
    let mut on = Fixture::new();
    on.write("a.log", &lines(0..1));
    let mut source = on.start();
    on.commit(&mut source);
    let mut writer = fs::OpenOptions::new().append(true).open(on.at("a.log")).expect("open");
    fs::remove_file(on.at("a.log")).expect("removed");
    on.said(&mut source);
    writer.write_all(b"late\nlast").expect("written");
    assert_eq!(on.commit(&mut source), [Records(0, 1, 4, 10)]);
    on.pass(QUIET_US);
    let said = on.commit(&mut source);
    assert!(said.ends_with(&[Records(0, 1, 4, 15), Ended(0)]), "{said:?}");
}

#[test]
fn numbers_are_never_given_out_again() {
    let mut on = Fixture::new();
    on.write("a.log", &lines(0..2));
    on.commit_start();
    fs::remove_file(on.folder.path().join("follow/web.json")).expect("removed");
    let said = on.commit_start();
    assert_eq!(said, [Opened(1), Records(1, 2, 16, 10)], "what the lake knows as 0 is another file");
}

#[test]
fn nothing_there_is_waited_for_and_the_end_is_where_it_may_begin() {
    let on = Fixture::new();
    let mut source = on.start_with(&["sub/*.log"], true);
    assert_eq!(on.said(&mut source), []);
    drop(source);
    let mut on = Fixture::new();
    on.write("old.log", "old\nhal");
    let mut source = on.start_with(&["*.log"], true);
    assert_eq!(on.commit(&mut source), [Opened(0)]);
    on.write("old.log", "f\nnew\n");
    on.write("new.log", "first\n");
    let mut said = on.commit(&mut source);
    said.retain(|told| matches!(told, Records(..)));
    said.sort_by_key(|told| format!("{told:?}"));
    assert_eq!(said, [Records(0, 1, 3, 10), Records(1, 1, 5, 1)]);
}

#[test]
fn the_watches_wake_the_source() {
    let on = Fixture::new();
    fs::create_dir_all(on.folder.path()).expect("there");
    let mut source = on.start_with(&["pods/*/*.log"], false);
    assert!(source.next(Duration::ZERO).expect("nothing yet").is_none());
    let next = |source: &mut FollowSource| {
        for _ in 0..600 {
            if let Some(signal) = source.next(Duration::from_millis(100)).expect("it goes on") {
                return told(signal);
            }
        }
        panic!("nothing within a minute")
    };
    fs::create_dir_all(on.at("pods/one")).expect("made");
    on.write("pods/one/a.log", "one\n");
    assert_eq!([next(&mut source), next(&mut source)], [Opened(0), Records(0, 1, 3, 1)]);
    on.write("pods/one/a.log", "two\n");
    assert_eq!(next(&mut source), Records(0, 1, 3, 5));
}

#[test]
fn a_packed_file_that_is_cut_gives_what_it_has() {
    let mut on = Fixture::new();
    on.write("plain", &lines(0..5000));
    gzip(&on.at("plain"), &on.at("a.log.gz"));
    let packed = fs::read(on.at("a.log.gz")).expect("readable");
    fs::write(on.at("a.log.gz"), &packed[..packed.len() - 9]).expect("written");
    let mut source = on.start();
    let said = on.commit(&mut source);
    let all: usize = said.iter().map(|told| if let Records(_, count, ..) = told { *count } else { 0 }).sum();
    assert!((4000..5000).contains(&all), "{said:?}");
    // The rest comes: it was being written.
    fs::OpenOptions::new()
        .append(true)
        .open(on.at("a.log.gz"))
        .and_then(|mut file| file.write_all(&packed[packed.len() - 9..]))
        .expect("written");
    let more = on.commit(&mut source);
    let rest: usize = more.iter().map(|told| if let Records(_, count, ..) = told { *count } else { 0 }).sum();
    assert_eq!((all + rest, more.last()), (5000, Some(&Ended(0))), "{more:?}");
}

#[test]
fn what_cannot_be_read_is_a_trouble_until_it_can() {
    let mut on = Fixture::new();
    let mut source = on.start_with(&["sub/*.log"], false);
    on.said(&mut source);
    assert_eq!(source.trouble(), None, "files may come");
    on.pass(NOTHING_US);
    let trouble = source.trouble().expect("none came for long");
    assert!(trouble.contains("no file matches") && trouble.contains("sub/*.log since 5 min"), "{trouble}");
    fs::create_dir_all(on.at("sub")).expect("made");
    on.write("sub/a.log", "one\n");
    on.commit(&mut source);
    assert_eq!(source.trouble(), None);
    // What nobody may read: a link that leads to itself, for root may read the rest.
    std::os::unix::fs::symlink(on.at("sub/loop.log"), on.at("sub/loop.log")).expect("linked");
    on.write("sub/a.log", "two\n");
    assert_eq!(on.commit(&mut source), [Records(0, 1, 3, 5)], "the others are read");
    let trouble = source.trouble().expect("one cannot be read");
    assert!(trouble.contains("loop.log cannot be read: "), "{trouble}");
    fs::remove_file(on.at("sub/loop.log")).expect("removed");
    on.commit(&mut source);
    assert_eq!(source.trouble(), None);
}

#[test]
fn what_comes_after_a_first_start_without_files_is_new() {
    let mut on = Fixture::new();
    let mut source = on.start_with(&["*.log"], true);
    on.said(&mut source);
    drop(source);
    on.write("a.log", "one\ntwo\n");
    let mut source = on.start_with(&["*.log"], true);
    assert_eq!(on.commit(&mut source), [Opened(0), Records(0, 2, 6, 5)]);
}
