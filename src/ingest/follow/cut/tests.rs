//! Records, their offsets, and reading on behind any of them.

use std::sync::Arc;

use schemas::RawBatch;

use super::*;

fn limits() -> ReadLimits {
    ReadLimits { record_bytes: 100, kept_bytes: 10, ..ReadLimits::default() }
}

/// Number of records, their bytes, and where to go on; each batch has one record where the cutter lets it.
fn read(input: &[u8], chunk: usize, next: i64) -> Vec<(u64, i64)> {
    let mut cutter = Cutter::new(next, &limits());
    let one = ReadLimits { batch_records: 1, ..limits() };
    let mut filling = Filling::new(one, Arc::new(|| 0));
    let mut all = Vec::new();
    let mut take = |filling: &mut Filling| {
        let batch: RawBatch = filling.take();
        all.extend(batch.next_offset().map(|next| (batch.bytes(), next)));
    };
    loop {
        while !cutter.cut(&mut filling) {
            take(&mut filling);
        }
        let at = cutter.end() as usize;
        let rest = input.get(at..).unwrap_or_default();
        let bytes = rest.len().min(chunk);
        let read = cutter.add(chunk, |buffer| {
            buffer[..bytes].copy_from_slice(&rest[..bytes]);
            Ok::<usize, ()>(bytes)
        });
        if read == Ok(0) {
            break;
        }
    }
    take(&mut filling);
    cutter.finish(&mut filling);
    take(&mut filling);
    all
}

/// Whatever the chunks, the records are these; and read on behind any of them, those after it.
#[track_caller]
fn check(input: &[u8], expected: &[(u64, i64)]) {
    for chunk in [1, 3, 64, 100_000] {
        assert_eq!(read(input, chunk, 0), expected, "chunks of {chunk}");
        for (index, (_, next)) in expected.iter().enumerate() {
            assert_eq!(read(input, chunk, *next), expected[index + 1..], "chunks of {chunk} from {next}");
        }
    }
}

#[test]
fn offsets_are_those_of_first_bytes() {
    check(b"one\ntwo\r\nthree", &[(3, 1), (3, 5), (5, 10)]);
    check(b"one\n\n\r\ntwo\n", &[(3, 1), (3, 8)]);
    check(b"\xEF\xBB\xBFone\ntwo\n", &[(3, 4), (3, 8)]);
    check(b"\0\0\0one\n\0\0two\n", &[(3, 4), (3, 10)]);
    check(b"", &[]);
}

#[test]
fn a_line_over_the_limit_is_one_record_with_its_length() {
    let input = [b"a\n".as_slice(), &[b'x'; 1000], b"\nb\n"].concat();
    check(&input, &[(1, 1), (1000, 3), (1, 1004)]);
}

#[test]
fn parts_of_container_lines_are_put_together() {
    let line = |stream: &str, flag: &str, text: &str| format!("2026-01-24T01:34:36.7Z {stream} {flag} {text}\n");
    let whole = line("stdout", "F", "whole");
    let parts = [line("stdout", "P", "ab"), line("stdout", "P", "cd"), line("stdout", "F", "ef")];
    let prefix = whole.len() as u64 - 6;
    let after = whole.len() + parts.concat().len();
    let input = [whole.clone(), parts.concat(), whole.clone()].concat();
    check(input.as_bytes(), &[(prefix + 5, 1), (prefix + 6, whole.len() as i64 + 1), (prefix + 5, after as i64 + 1)]);
}

#[test]
fn lines_of_the_other_stream_wait_for_the_one_that_is_put_together() {
    let line = |stream: &str, flag: &str, text: &str| format!("2026-01-24T01:34:36.7Z {stream} {flag} {text}\n");
    let (a, b) = (line("stdout", "P", "ab"), line("stdout", "F", "cd"));
    let (e1, e2) = (line("stderr", "F", "x"), line("stderr", "F", "yy"));
    let input = [a.clone(), e1.clone(), e2.clone(), b.clone(), "next\n".to_owned()].concat();
    let released = (a.len() + e1.len() + e2.len()) as i64;
    let prefix = a.len() as u64 - 3;
    let seen = read(input.as_bytes(), 1000, 0);
    // All that one line releases comes in one batch.
    let bytes = (prefix + 4) + (prefix + 1) + (prefix + 2);
    assert_eq!(seen, [(bytes, released + 2), (4, released + b.len() as i64 + 1)]);
    assert_eq!(read(input.as_bytes(), 1000, released + 2), seen[1..]);
}

#[test]
fn what_is_put_together_stays_within_the_limit() {
    let part = "2026-01-24T01:34:36.7Z stdout P xxxxxxxxxx\n";
    let input = [part.repeat(50).as_str(), "2026-01-24T01:34:36.7Z stdout F y\n"].concat();
    let seen = read(input.as_bytes(), 64, 0);
    assert_eq!(seen, [(32 + 50 * 10 + 1, 1)]);
}
