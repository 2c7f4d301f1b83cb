use std::io::Write;
use std::sync::atomic::Ordering;

use super::super::testing::Told::{CaughtUp, Ended, Failed, Opened, Records};
use super::super::testing::{clock, joined, next, nothing, stored};
use super::*;

fn source<R: Read + Send + 'static>(stream: R, positions: Arc<dyn Positions>, clock: Clock) -> StdinSource {
    let opened =
        StdinSource::from_reader(stream, "web", ReadLimits::default(), Duration::from_secs(5), positions, clock);
    opened.expect("the thread starts")
}

#[test]
fn a_stream_is_one_lane_read_to_its_end() {
    let said = joined(&mut source(&b"one\ntwo"[..], nothing(), clock().0));
    assert_eq!(said, [Opened(0), Records(0, 2, 6, 2), Ended(0)]);
    let packed = zstd::encode_all(&b"one\ntwo\n"[..], 1).expect("packs");
    let said = joined(&mut source(io::Cursor::new(packed), stored(&[("web", 0, 1)]), clock().0));
    assert_eq!(said, [Opened(0), Records(0, 1, 3, 2), Ended(0)]);
    assert_eq!(joined(&mut source(io::empty(), nothing(), clock().0)), [Opened(0), Ended(0)]);
}

#[test]
fn lines_come_while_the_stream_stays_open_and_quiet_is_told_once() {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    let (clock, hand) = clock();
    writer.write_all(b"a\nhalf").expect("written");
    let mut source = source(reader, nothing(), clock);
    assert_eq!([next(&mut source), next(&mut source)], [Opened(0), Records(0, 1, 1, 1)]);
    assert!(matches!(source.next(Duration::ZERO), Ok(None)));
    hand.fetch_add(5_000_000, Ordering::Relaxed);
    assert_eq!(next(&mut source), CaughtUp(0));
    assert!(matches!(source.next(Duration::from_millis(1)), Ok(None)), "said once");
    writer.write_all(b" a line\n").expect("written");
    assert_eq!(next(&mut source), Records(0, 1, 11, 2));
    source.pause(&[Lane::new("web", 0)]).expect("paused");
    drop(writer);
    assert!(matches!(source.next(Duration::from_millis(1)), Ok(None)));
    source.resume(&[Lane::new("web", 0)]).expect("resumed");
    assert_eq!(joined(&mut source), [Ended(0)]);
}

#[test]
fn nothing_is_read_ahead_of_a_slow_consumer_beyond_the_bound() {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    let writing = thread::spawn(move || {
        let line = [[b'x'; 1023].as_slice(), b"\n"].concat();
        (0..10_000).try_for_each(|_| writer.write_all(&line)).is_ok()
    });
    let mut source = source(reader, nothing(), clock().0);
    assert_eq!(next(&mut source), Opened(0));
    let (mut records, mut bytes) = (0, 0);
    while !source.finished() {
        if let Records(0, count, length, _) = next(&mut source) {
            records += count;
            bytes += length;
        }
    }
    assert_eq!((records, bytes), (10_000, 10_230_000));
    assert!(writing.join().expect("no panic"));
}

#[test]
fn a_reading_thread_that_dies_is_not_the_end() {
    struct Dying;
    impl Read for Dying {
        fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
            panic!("on purpose")
        }
    }
    let said = joined(&mut source(Dying, nothing(), clock().0));
    let error = "standard input: reading ended unexpectedly, in line 1; the 0 lines before it are kept".to_string();
    assert_eq!(said, [Opened(0), Failed(error), Ended(0)]);
}

#[test]
fn a_broken_stream_keeps_the_lines_before_it() {
    struct Broken(&'static [u8]);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::other("torn")),
                bytes => Ok(bytes),
            }
        }
    }
    let said = joined(&mut source(Broken(b"one\ntwo "), nothing(), clock().0));
    let error = "standard input: torn, in line 2; the 1 lines before it are kept".to_string();
    assert_eq!(said, [Opened(0), Records(0, 1, 3, 1), Failed(error), Ended(0)]);
}
