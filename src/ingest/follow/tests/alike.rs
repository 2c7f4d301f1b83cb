//! Files that begin as others do: what is in both is read once, and what is in one alone is read, too.

use super::*;

/// All records of what was said, by lane.
fn counts(said: &[Told]) -> BTreeMap<i32, usize> {
    let mut counts = BTreeMap::new();
    for told in said {
        if let Records(number, count, ..) = told {
            *counts.entry(*number).or_default() += count;
        }
    }
    counts
}

/// A header that is longer than no head, and requests behind it.
const HEADER: &str = "#Version: 1.0\n#Fields: date time c-ip cs-method cs-uri-stem sc-status\n";

#[test]
fn a_file_that_begins_with_all_of_another_one_is_read_behind_it() {
    let mut on = Fixture::new();
    on.write("10.log", HEADER);
    let mut source = on.start();
    assert_eq!(counts(&on.commit(&mut source)), BTreeMap::from([(0, 2)]));
    on.write("11.log", &format!("{HEADER}{}", lines(0..3)));
    let said = on.commit(&mut source);
    assert_eq!(said[..2], [Succeeds(1, 0), Opened(1)], "it goes on with the columns that were named");
    assert_eq!(counts(&said), BTreeMap::from([(1, 3)]));
    // The header's own file is read on, and so is the other one, also after a restart.
    on.write("10.log", &lines(7..8));
    on.write("11.log", &lines(3..5));
    assert_eq!(counts(&on.commit(&mut source)), BTreeMap::from([(0, 1), (1, 2)]));
    on.write("11.log", &lines(5..6));
    assert_eq!(counts(&on.commit_start()), BTreeMap::from([(1, 1)]));
}

#[test]
fn both_are_read_when_they_are_found_together() {
    // One line and more; the same first 1,420 bytes and then others; one that ends in the midst of a line of the other.
    let long = lines(0..158);
    for (first, second, expected) in [
        (lines(0..1), lines(0..4), [1, 3]),
        (format!("{long}one of the first\n"), format!("{long}one of the second\n"), [159, 159]),
        (format!("{}line 0", lines(0..3)), lines(0..5), [3, 2]),
    ] {
        let mut on = Fixture::new();
        on.write("a.log", &first);
        on.write("b.log", &second);
        let mut source = on.start();
        let said = on.commit(&mut source);
        assert_eq!(counts(&said), BTreeMap::from([(0, expected[0]), (1, expected[1])]), "{said:?}");
        assert_eq!(counts(&on.commit_start()), BTreeMap::new());
    }
}

#[test]
fn a_copy_is_left_out_until_it_is_written_to() {
    for away in [false, true] {
        let mut on = Fixture::new();
        on.write("x.log", &lines(0..200));
        let mut source = on.start();
        on.commit(&mut source);
        fs::copy(on.at("x.log"), on.at("y.log")).expect("copied");
        assert_eq!(on.commit(&mut source), []);
        on.write("y.log", &lines(300..302));
        if away {
            source = on.start();
        }
        assert_eq!(counts(&on.commit(&mut source)), BTreeMap::from([(1, 2)]));
        on.write("x.log", &lines(400..401));
        on.write("y.log", &lines(302..303));
        assert_eq!(counts(&on.commit(&mut source)), BTreeMap::from([(0, 1), (1, 1)]));
    }
}

#[test]
fn a_copy_that_is_not_whole_yet_is_waited_for() {
    let mut on = Fixture::new();
    on.write("x.log", &lines(0..200));
    let mut source = on.start();
    on.commit(&mut source);
    let text = lines(0..200);
    on.write("x.log.1", &text[..600]);
    assert_eq!(on.commit(&mut source), []);
    on.write("x.log.1", &text[600..]);
    assert_eq!(on.commit(&mut source), []);
    // Another file that begins so is read when it goes on otherwise, or not at all.
    on.write("y.log", &text[..600]);
    assert_eq!(on.commit(&mut source), []);
    on.write("y.log", "\nanother line\n");
    assert!(counts(&on.commit(&mut source)).contains_key(&1));
    on.write("z.log", &lines(0..3));
    assert_eq!(on.commit(&mut source), []);
    on.pass(2 * QUIET_US);
    assert_eq!(counts(&on.commit(&mut source)), BTreeMap::from([(2, 3)]));
}

#[test]
fn a_file_that_is_cut_and_written_longer_with_the_same_head_is_another_one() {
    let mut on = Fixture::new();
    on.write("a.log", &format!("{}{}", lines(0..120), lines(200..240)));
    let mut source = on.start();
    on.commit(&mut source);
    // The same first 1,080 bytes, and it is longer than what was read.
    fs::write(on.at("a.log"), format!("{}{}", lines(0..120), lines(300..390))).expect("written");
    assert_eq!(counts(&on.commit(&mut source)), BTreeMap::from([(1, 210)]));
    assert_eq!(counts(&on.commit_start()), BTreeMap::new());
}

#[test]
fn a_file_that_is_replaced_by_a_longer_one_is_read_on_at_once() {
    let mut on = Fixture::new();
    on.write("a.log", &lines(0..200));
    let mut source = on.start();
    on.commit(&mut source);
    for round in 200..205 {
        let text = format!("{}{}", fs::read_to_string(on.at("a.log")).expect("readable"), lines(round..round + 1));
        fs::write(on.at("aside"), text).expect("written");
        fs::rename(on.at("aside"), on.at("a.log")).expect("renamed");
        assert_eq!(counts(&on.commit(&mut source)), BTreeMap::from([(0, 1)]), "no time went by");
    }
    assert_eq!(counts(&on.commit_start()), BTreeMap::new());
}

#[test]
fn short_files_are_told_apart_by_hundreds() {
    let mut on = Fixture::new();
    for n in 0..300 {
        on.write(&format!("{n}.log"), &format!("short {n}\n"));
    }
    let mut source = on.start();
    assert_eq!(counts(&on.commit(&mut source)).values().sum::<usize>(), 300);
}

#[test]
fn files_beyond_those_that_may_be_open_take_turns() {
    let mut on = Fixture::new();
    for n in 0..10 {
        on.write(&format!("{n}.log"), &format!("first of {n}\n"));
    }
    let mut source = on.start();
    source.open_max = 3;
    let mut all = 0;
    for _ in 0..10 {
        all += counts(&on.commit(&mut source)).values().sum::<usize>();
        on.pass(BLIND_SWEEP_US);
    }
    assert_eq!(all, 10, "{} wait", source.waiting);
    on.write("0.log", "second of 0\n");
    on.write("9.log", "second of 9\n");
    assert_eq!(counts(&on.commit(&mut source)).values().sum::<usize>(), 2, "those that change go first");
}
