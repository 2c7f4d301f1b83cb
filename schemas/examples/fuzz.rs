//! Runs a fuzz target for a while; how, and what is a failure, is told in `tests/fuzz/mod.rs`.
//!
//! Exits with 1 after a failure, whose input is on standard error.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)] // it measures, on a terminal

#[path = "../tests/fuzz/mod.rs"]
mod fuzz;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use fuzz::corpus::Corpus;
use fuzz::targets::Target;
use fuzz::{GROWTH_KIB_MAX, processor};

/// An input that has taken so much processor time hangs.
const HANG: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(100);
const TOLD: Duration = Duration::from_secs(30);

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(1)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).map(|text| text.parse::<u64>());
    let target = Target::ALL.into_iter().find(|target| Some(&target.name()) == arguments.first());
    let (Some(target), Some(Ok(seconds)), Ok(seed), Ok(first)) =
        (target, number(1), number(2).unwrap_or(Ok(1)), number(3).unwrap_or(Ok(0)))
    else {
        let names: Vec<String> = Target::ALL.map(Target::name).to_vec();
        fail(&format!("expected TARGET SECONDS [SEED [NUMBER]], TARGET one of {}", names.join(", ")))
    };
    let (tells, corpus) = (number(3).is_some(), Arc::new(Corpus::read()));
    if seconds == 0 {
        print!("{}", fuzz::input(&corpus, target, seed, first).1.dump(&corpus));
    }
    println!("target {} seed {seed} for {seconds} s", target.name());
    let (done, outcome) = sync_channel(1);
    let (at, is_over) = (Arc::new(AtomicU64::new(first)), Arc::new(AtomicBool::new(false)));
    let (its_at, its_corpus, its_end) = (at.clone(), corpus.clone(), is_over.clone());
    let start = processor();
    // A thread of its own: its stack is as small as that of the service's threads.
    std::thread::spawn(move || {
        let report = fuzz::run(&its_corpus, target, seed, first, |number| {
            its_at.store(number, Ordering::Relaxed);
            if tells {
                eprintln!("number {number}");
            }
            number == first || !its_end.load(Ordering::Relaxed)
        });
        drop(done.send(report));
    });
    let (mut last, mut since, mut told) = (first, start, start);
    let report = loop {
        is_over.store((processor() - start).as_secs() >= seconds, Ordering::Relaxed);
        match outcome.recv_timeout(LOOK) {
            Ok(report) => break report,
            Err(RecvTimeoutError::Disconnected) => fail("the run ended without a report"),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let (number, now) = (at.load(Ordering::Relaxed), processor());
        if number != last {
            (last, since) = (number, now);
        }
        if now - since > HANG {
            let input = fuzz::input(&corpus, target, seed, number).1;
            fail(&format!("target {} seed {seed} number {number} hangs\n{}", target.name(), input.dump(&corpus)));
        }
        if now - told > TOLD {
            told = now;
            println!("at number {number} after {} s", (now - start).as_secs());
        }
    };
    match report {
        Ok(report) => {
            println!("{}", report.text(processor() - start));
            if report.growth_kib() > GROWTH_KIB_MAX {
                fail("memory grows");
            }
        }
        Err(fault) => fail(&fault),
    }
}
