//! Files that are not what their length says: of the kernel, with room for what will be written, with holes; and files that
//! cannot be read as text.

use std::os::unix::fs::FileExt;

use super::*;

/// The kernel says 4096 bytes, and gives a few.
const ODD: &str = "/sys/class/net/lo/mtu";

#[test]
fn a_file_that_gives_less_than_its_length_holds_nobody_up() {
    let on = Fixture::new();
    on.write("a.log", "one\n");
    std::os::unix::fs::symlink(ODD, on.at("odd.log")).expect("linked");
    assert_ne!(fs::metadata(ODD).expect("there").len(), fs::read(ODD).expect("readable").len() as u64);
    let mut source = on.start();
    let count = |said: &[Told]| said.iter().filter(|told| matches!(told, Records(..))).count();
    assert_eq!(count(&on.said(&mut source)), 2);
    // Behind `idle_after`, more than once: it is no news each time.
    for _ in 0..2 {
        assert_eq!(on.said(&mut source), []);
        on.pass(1_000_000);
        let mut said = on.said(&mut source);
        said.sort_by_key(|told| format!("{told:?}"));
        assert_eq!(said, [CaughtUp(0), CaughtUp(1)]);
        assert!(source.hot.is_empty());
    }
    on.write("a.log", "two\n");
    assert_eq!(count(&on.said(&mut source)), 1, "the other one goes on");
}

#[test]
fn what_is_left_to_read_without_a_word_keeps_others_waiting_for_a_while_alone() {
    let on = Fixture::new();
    on.write("a.log", "a line without its end");
    // A hole that takes minutes to read.
    fs::OpenOptions::new().write(true).open(on.at("a.log")).and_then(|file| file.set_len(1 << 40)).expect("longer");
    let end = fs::OpenOptions::new().write(true).open(on.at("a.log")).expect("open");
    end.write_all_at(b"\n", (1 << 40) - 1).expect("written");
    let mut source = on.start();
    assert_eq!(told(source.next(Duration::ZERO).expect("it goes on").expect("a signal")), Opened(0));
    for _ in 0..2 {
        assert!(source.next(Duration::ZERO).expect("it goes on").is_none());
        assert_eq!(source.hot.len(), 1, "there is more");
    }
}

#[test]
fn room_behind_the_text_is_read_when_it_is_written() {
    const ROOM: u64 = 1 << 20;
    for away in [false, true] {
        let mut on = Fixture::new();
        fs::create_dir_all(on.at("")).expect("a folder");
        let file = fs::File::create(on.at("a.log")).expect("a file");
        file.set_len(ROOM).expect("room");
        let mut source = on.start();
        assert_eq!(on.commit(&mut source), [], "nothing but room");
        let (mut at, mut half) = (0, "");
        for n in 0..200 {
            // Each time a line, and the beginning of the next one.
            let text = format!("{} {n:03}\nli", if half.is_empty() { "line" } else { "ne" });
            file.write_all_at(text.as_bytes(), at).expect("written");
            (at, half) = (at + text.len() as u64, "li");
            let said = on.commit(&mut source);
            let opened = usize::from(n == 0 || (away && n % 50 == 1));
            let next = 9 * n as i64 + 1;
            assert_eq!(said[opened..], [Records(0, 1, 8, next)], "{n}");
            if away && n % 50 == 0 {
                source = on.start();
            }
        }
        assert_eq!(source.lanes[&0].tail.as_ref().map(|tail| (tail.has_moved(), tail.left())), Some((false, 2)));
        // Cut to what was written, as writers do at the end; then longer.
        file.set_len(at).expect("cut");
        assert_eq!(on.commit(&mut source), []);
        file.write_all_at(b"ne 200\nlast\n", at).expect("written");
        assert_eq!(on.commit(&mut source), [Records(0, 2, 12, 1810)]);
    }
}

#[test]
fn a_hole_with_text_behind_it_is_stepped_over_wherever_it_is() {
    let mut on = Fixture::new();
    on.write("a.log", "one\n");
    let mut source = on.start();
    on.commit(&mut source);
    let file = fs::OpenOptions::new().write(true).open(on.at("a.log")).expect("open");
    file.write_all_at(b"two\n", 300_000).expect("written");
    assert_eq!(on.commit(&mut source), [Records(0, 1, 3, 300_001)]);
    // Room, and text far behind its beginning: it makes the file longer.
    file.set_len(400_000).expect("room");
    assert_eq!(on.commit(&mut source), []);
    file.write_all_at(b"three\n", 500_000).expect("written");
    assert_eq!(on.commit(&mut source), [Records(0, 1, 5, 500_001)]);
}

#[test]
fn a_first_start_at_the_end_begins_where_the_text_ends() {
    let mut on = Fixture::new();
    on.write("a.log", "old\n");
    let file = fs::OpenOptions::new().write(true).open(on.at("a.log")).expect("open");
    file.set_len(200_000).expect("room");
    let mut source = on.start_with(&["*.log"], true);
    assert_eq!(on.commit(&mut source), [Opened(0)]);
    file.write_all_at(b"new\n", 4).expect("written");
    assert_eq!(on.commit(&mut source), [Records(0, 1, 3, 5)]);
}

#[test]
fn what_is_no_text_is_named_and_not_read() {
    let on = Fixture::new();
    on.write("a.log", "one\n");
    fs::write(on.at("a.log.2.xz"), b"\xFD7zXZ\0\0\x04 and so on\n").expect("written");
    let mut source = on.start();
    assert_eq!(on.said(&mut source), [Opened(0), Records(0, 1, 3, 1)]);
    let trouble = source.trouble().expect("one cannot be read");
    assert!(trouble.contains("a.log.2.xz cannot be read: this is xz: unpack it first"), "{trouble}");
}

#[test]
fn a_file_that_fails_a_second_time_is_told_again() {
    let on = Fixture::new();
    on.write("a.log", "one\n");
    let mut source = on.start();
    // What nobody may read: a link that leads to itself, for root may read the rest.
    let link = on.at("loop.log");
    for _ in 0..2 {
        std::os::unix::fs::symlink(&link, &link).expect("linked");
        on.said(&mut source);
        on.said(&mut source);
        assert_eq!(source.told.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>(), std::slice::from_ref(&link));
        fs::remove_file(&link).expect("removed");
        on.said(&mut source);
        assert!(source.told.is_empty(), "it is over");
    }
}

#[test]
fn no_more_files_are_open_than_half_of_those_that_may_be() {
    assert_eq!([1, 1024, 1 << 20, u64::MAX].map(open_max), [1, 512, OPEN_MAX, OPEN_MAX]);
}
