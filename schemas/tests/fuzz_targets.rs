//! A few inputs of each fuzz target, so that they cannot rot. How to run them for long is told in `fuzz/mod.rs`.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)] // it measures, and is told by the environment where data is

mod fuzz;

use fuzz::corpus::Corpus;
use fuzz::targets::Target;
use fuzz::{GROWTH_KIB_MAX, SAMPLED_EVERY};

const INPUTS: u64 = 150;

#[test]
fn every_target_runs() {
    let corpus = Corpus::read();
    for target in Target::ALL {
        let (name, start) = (target.name(), fuzz::processor());
        let report = fuzz::run(&corpus, target, 1, 0, |number| number < INPUTS);
        let report = report.unwrap_or_else(|fault| panic!("{fault}"));
        println!("{name}: {}", report.text(fuzz::processor() - start));
        assert_eq!((report.inputs, report.resident.len() as u64), (INPUTS, INPUTS / SAMPLED_EVERY), "{name}");
        assert!(report.resident.iter().all(|kib| *kib > 0), "{name}: memory is not told here: {:?}", report.resident);
        assert!(report.growth_kib() <= GROWTH_KIB_MAX, "{name}: {:?}", report.resident);
        let outcome = report.outcome;
        assert!(outcome.events > 0 && outcome.records >= INPUTS / 2, "{name} reads hardly anything: {outcome:?}");
    }
}

#[test]
fn an_input_is_the_same_in_every_run() {
    let corpus = Corpus::read();
    for target in Target::ALL {
        for number in 0..20 {
            let dump = || fuzz::input(&corpus, target, 7, number).1.dump(&corpus);
            assert_eq!(dump(), dump(), "{} {number}", target.name());
        }
    }
}
