//! Files that are packed, and files that were cut.

use super::*;

fn count(said: &[Told]) -> usize {
    said.iter().map(|told| if let Records(_, count, ..) = told { *count } else { 0 }).sum()
}

#[test]
fn a_file_with_nuls_at_its_head_is_known_again_when_it_is_packed() {
    for away in [false, true] {
        let mut on = Fixture::new();
        on.write("a.log", &lines(0..100));
        let mut source = on.start();
        on.commit(&mut source);
        // A writer that does not append goes on where it was.
        fs::write(on.at("a.log"), [&[0; 900][..], lines(100..160).as_bytes()].concat()).expect("written");
        assert_eq!(count(&on.commit(&mut source)), 60);
        gzip(&on.at("a.log"), &on.at("a.log.2.gz"));
        fs::remove_file(on.at("a.log")).expect("removed");
        if away {
            source = on.start();
        }
        assert_eq!(count(&on.commit(&mut source)), 0, "it was read as it was");
    }
}

#[test]
fn a_small_packed_file_is_read_at_once_when_it_is_whole() {
    let mut on = Fixture::new();
    on.write("plain", &lines(0..4));
    gzip(&on.at("plain"), &on.at("whole"));
    let packed = fs::read(on.at("whole")).expect("readable");
    let mut source = on.start();
    assert_eq!(on.commit(&mut source), []);
    // It was written this very moment, by the clock of the source.
    on.hand.store(crate::clock::now_us(), std::sync::atomic::Ordering::Relaxed);
    fs::write(on.at("b.log.gz"), &packed[..packed.len() - 3]).expect("written");
    assert_eq!(on.commit(&mut source), [], "more may come");
    fs::write(on.at("b.log.gz"), &packed).expect("written");
    assert_eq!(on.commit(&mut source), [Opened(0), Records(0, 4, 32, 28), Ended(0)]);
}

#[test]
fn a_file_that_was_cut_at_its_end_while_it_was_followed_was_read() {
    let mut on = Fixture::new();
    on.write("a.log", &lines(0..30));
    let mut source = on.start();
    on.commit(&mut source);
    fs::write(on.at("a.log"), "another line\n").expect("written");
    on.commit(&mut source);
    drop(source);
    let source = on.start();
    assert_eq!(source.lanes[&0].done, Some((270, 0)), "nothing is told of it after the start");
    // One whose last lines were not read yet.
    let mut on = Fixture::new();
    on.write("a.log", &format!("{}half a line", lines(0..30)));
    let mut source = on.start();
    on.commit(&mut source);
    fs::write(on.at("a.log"), "another line\n").expect("written");
    on.commit(&mut source);
    drop(source);
    assert_eq!(on.start().lanes[&0].done, None);
}

#[test]
fn a_file_whose_lines_end_in_carriage_returns_alone_is_told() {
    let mut on = Fixture::new();
    on.write("a.log", "one\rtwo\rthree\r");
    on.write("b.log", "a line\r\nand half of one, 50%\r");
    let mut source = on.start();
    assert_eq!(count(&on.commit(&mut source)), 1);
    let told = |source: &FollowSource| [0, 1].map(|number| source.lanes[&number].returns_told);
    assert_eq!(told(&source), [false, false]);
    on.pass(QUIET_US);
    on.said(&mut source);
    let mut all = told(&source);
    all.sort_unstable();
    assert_eq!(all, [false, true]);
}
