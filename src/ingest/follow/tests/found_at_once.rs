//! What the watches see: files behind links, in folders that come back, and as many as there are. The clock stands still,
//! so that no look at everything helps.

use super::*;

/// What comes next; waits for it.
fn next(source: &mut FollowSource) -> Told {
    for _ in 0..600 {
        if let Some(signal) = source.next(Duration::from_millis(100)).expect("it goes on") {
            return told(signal);
        }
    }
    panic!("nothing within a minute")
}

/// Lets the source see what happened before.
fn look(source: &mut FollowSource) {
    while source.next(Duration::from_millis(200)).expect("it goes on").is_some() {}
}

#[test]
fn a_file_behind_a_link_comes_back_some_time_after_it_was_renamed() {
    let on = Fixture::new();
    fs::create_dir_all(on.at("containers")).expect("made");
    fs::create_dir_all(on.at("pods/one")).expect("made");
    on.write("pods/one/0.log", "one\n");
    std::os::unix::fs::symlink("../pods/one/0.log", on.at("containers/a.log")).expect("linked");
    let mut source = on.start_with(&["containers/*.log"], false);
    assert_eq!([next(&mut source), next(&mut source)], [Opened(0), Records(0, 1, 3, 1)]);
    for n in 1..4 {
        look(&mut source);
        fs::rename(on.at("pods/one/0.log"), on.at(&format!("pods/one/0.log.{n}"))).expect("renamed");
        // The link leads to nothing when this is looked at.
        look(&mut source);
        // It is made, and written to some time later.
        on.write("pods/one/0.log", "");
        look(&mut source);
        on.write("pods/one/0.log", &format!("file {n}\n"));
        let said = [next(&mut source), next(&mut source), next(&mut source)];
        assert_eq!(said, [Succeeds(n, n - 1), Opened(n), Records(n, 1, 6, 1)]);
        on.write("pods/one/0.log", "more\n");
        assert_eq!(next(&mut source), Records(n, 1, 4, 8));
    }
}

#[test]
fn a_folder_that_was_deleted_and_made_anew_is_watched_again() {
    let on = Fixture::new();
    on.write("a.log", "one\n");
    let mut source = on.start();
    assert_eq!([next(&mut source), next(&mut source)], [Opened(0), Records(0, 1, 3, 1)]);
    look(&mut source);
    fs::remove_dir_all(on.at("")).expect("removed");
    fs::create_dir_all(on.at("")).expect("made");
    // The watches tell nothing of it, for a file in it is still open.
    on.pass(BLIND_SWEEP_US);
    look(&mut source);
    on.write("b.log", "two and more\n");
    assert_eq!(
        [next(&mut source), next(&mut source), next(&mut source)],
        [Succeeds(1, 0), Opened(1), Records(1, 1, 12, 1)]
    );
}

/// The time that the first scan alone would take, if each file were held against each other one, is minutes.
#[test]
fn more_files_than_can_be_open_are_read_within_seconds() {
    const FILES: usize = 3000;
    const OPEN: usize = 500;
    let on = Fixture { clock: Arc::new(crate::clock::now_us), ..Fixture::new() };
    fs::create_dir_all(on.at("")).expect("a folder");
    for n in 0..FILES {
        fs::write(on.at(&format!("{n:05}.log")), format!("the line of file {n}\n")).expect("written");
    }
    let mut source = on.start();
    source.open_max = OPEN;
    let since = crate::clock::Stopwatch::start();
    let (mut records, mut scans, mut last) = (0, 0, None);
    while records < FILES {
        assert!(since.elapsed() < Duration::from_secs(300), "{records} records after {scans} looks");
        if let Some(Signal::Records { records: some, .. }) =
            source.next(Duration::from_millis(100)).expect("it goes on")
        {
            records += some.len();
        }
        if std::mem::replace(&mut last, source.scanned_us) != source.scanned_us {
            scans += 1;
        }
    }
    assert_eq!((records, source.open_files, source.waiting), (FILES, OPEN, 0));
    assert_eq!(source.open_files, source.lanes.values().filter(|lane| lane.tail.is_some()).count());
    assert!(scans < 30, "{scans} looks at everything");
}

#[test]
fn files_that_wait_for_minutes_are_a_trouble() {
    let on = Fixture::new();
    for n in 0..3 {
        on.write(&format!("{n}.log"), &format!("file {n}, a line without its end"));
    }
    let mut source = on.start();
    source.open_max = 2;
    on.said(&mut source);
    assert_eq!(source.trouble(), None, "a moment is nothing");
    on.pass(WAITING_US);
    on.said(&mut source);
    assert_eq!(
        source.trouble().as_deref(),
        Some("files that wait since 2 min to be opened: 1; 2 are open, and have more to be read")
    );
    for n in 0..3 {
        on.write(&format!("{n}.log"), "\n");
    }
    on.said(&mut source);
    on.said(&mut source);
    assert_eq!((source.trouble(), source.waiting), (None, 0));
}
