//! Fuzzing on stable: inputs made from the case files and from hostile texts, changed at random, for every shape of
//! record, for envelopes, mapping files, forms, redaction and templates.
//!
//! `cargo run -p schemas --example fuzz -- TARGET SECONDS [SEED [NUMBER]]` runs one target for that
//! much processor time (`json`, `text`, `w3c`, `logfmt`,
//! `envelope`, `mapping`, `form`, `redaction`, `templates`, or `all`); `tests/fuzz_targets.rs` runs a few inputs of each. With
//! `GATEWATCH_REFERENCE` the field cases are part of the corpus. An input depends on the seed and its number alone: with
//! NUMBER the run begins there and tells each number before it runs it (for a crash that ends the process), and with 0 SECONDS
//! only that one is run, and printed in hex.
//!
//! Promises: an input that panics, loses a record, takes more than `TIME_MAX` plus `TIME_PER_KIB_MAX` of processor time, or a
//! run whose memory grows by more than `GROWTH_KIB_MAX` from its first half to its second, is a failure, told with seed and number.
//! Never: a claim about what is kept or removed; other tests do that.

pub mod corpus;
mod hostile;
mod inputs;
mod measure;
mod mutate;
mod random;
pub mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use corpus::Corpus;
use measure::{Meter, resident};
use targets::{Outcome, Sources, Target};

pub use inputs::input;
pub use measure::processor;

const TIME_MAX: Duration = Duration::from_secs(1);
/// A line of twenty bytes that fits no form of a text source costs up to 0.1 ms, for all forms are tried.
const TIME_PER_KIB_MAX: Duration = Duration::from_millis(8);
/// For a file that operators write, in which a few lines may stand for millions: reading gives up at the parser's budget.
const TIME_SETUP_MAX: Duration = Duration::from_secs(15);
/// Caches fill until they are full; what they hold is bounded in `limits.rs`.
pub const GROWTH_KIB_MAX: u64 = 64 << 10;
/// Normalisers are made anew after so many inputs.
const GENERATION: u64 = 20_000;
/// Memory is looked at after so many.
pub const SAMPLED_EVERY: u64 = 25;
/// Shorter inputs say little of the time per byte.
const RATED_BYTES_MIN: usize = 4 << 10;

/// What a run was like.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub inputs: u64,
    pub bytes: u64,
    pub outcome: Outcome,
    /// The slowest input: its time, bytes and number.
    pub slowest: (Duration, usize, u64),
    /// The slowest for its length, of those that have `RATED_BYTES_MIN`: microseconds per KiB, bytes and number.
    pub per_kib: (f64, usize, u64),
    /// Resident KiB after every `SAMPLED_EVERY` inputs.
    pub resident: Vec<u64>,
    pub peak_kib: u64,
}

impl Report {
    /// How much higher memory was in the second half of the run than in the first, in KiB.
    pub fn growth_kib(&self) -> u64 {
        let (first, second) = self.resident.split_at(self.resident.len() / 2);
        let highest = |half: &[u64]| half.iter().copied().max();
        highest(second).unwrap_or(0).saturating_sub(highest(first).unwrap_or(u64::MAX))
    }

    /// A few lines about a run that took so long.
    pub fn text(&self, took: Duration) -> String {
        let (outcome, seconds) = (self.outcome, took.as_secs_f64());
        let (inputs, mb) = (self.inputs as f64 / seconds, self.bytes as f64 / seconds / 1e6);
        let mut text = format!("{} inputs, {inputs:.0}/s, {mb:.1} MB/s; ", self.inputs);
        text += &format!("{} records, {} events, {} rejects\n", outcome.records, outcome.events, outcome.rejects);
        let (slowest, bytes, number) = self.slowest;
        let millis = slowest.as_secs_f64() * 1e3;
        text += &format!("slowest: {millis:.1} ms for {bytes} bytes, number {number}\n");
        let (rate, bytes, number) = self.per_kib;
        text += &format!("slowest per KiB: {rate:.0} us, of {bytes} bytes, number {number}\n");
        let resident = |kib: Option<&u64>| kib.map_or("-".to_string(), u64::to_string);
        let (first, last) = (resident(self.resident.first()), resident(self.resident.last()));
        text += &format!("resident KiB: {first} after the first inputs, {last} after the last, ");
        text + &format!("{} more in the second half, peak {}", self.growth_kib(), self.peak_kib)
    }
}

/// Runs inputs of `target` from number `first` on, as long as `goes_on` says yes to the next number. An error tells what
/// failed, and the input.
pub fn run(
    corpus: &Corpus,
    target: Target,
    seed: u64,
    first: u64,
    mut goes_on: impl FnMut(u64) -> bool,
) -> Result<Report, String> {
    let (mut report, mut sources, mut meter) = (Report::default(), Sources::new(corpus), Meter::new());
    let mut number = first;
    while goes_on(number) {
        let (of, input) = input(corpus, target, seed, number);
        let fault = |what: String| {
            format!("target {} seed {seed} number {number}: {what}\n{}", target.name(), input.dump(corpus))
        };
        let mut work = || catch_unwind(AssertUnwindSafe(|| sources.check(corpus, of, &input)));
        let (done, took) = meter.time(&mut work);
        let outcome = done.map_err(|_| fault("panicked".to_string()))?.map_err(fault)?;
        let kib = input.len() as f64 / 1024.0;
        let base = if input.setup.is_some() { TIME_SETUP_MAX } else { TIME_MAX };
        let longest = base + TIME_PER_KIB_MAX.mul_f64(kib);
        // Once more, and again, for what else the machine may have done: a hang hangs each time.
        if took > longest && (0..2).all(|_| meter.time(&mut work).1 > longest) {
            return Err(fault(format!("took {took:?} for {} bytes", input.len())));
        }
        report.slowest = report.slowest.max((took, input.len(), number));
        let rate = |took: Duration| took.as_secs_f64() * 1e6 / kib;
        if input.len() >= RATED_BYTES_MIN && rate(took) > report.per_kib.0 {
            // Once more, for what else the machine may have done.
            let again = meter.time(&mut work).1;
            let rate = rate(took.min(again));
            if rate > report.per_kib.0 {
                report.per_kib = (rate, input.len(), number);
            }
        }
        report.inputs += 1;
        report.bytes += input.len() as u64;
        report.outcome.records += outcome.records;
        report.outcome.events += outcome.events;
        report.outcome.rejects += outcome.rejects;
        number += 1;
        if report.inputs.is_multiple_of(SAMPLED_EVERY) {
            report.resident.push(resident().0);
        }
        if report.inputs.is_multiple_of(GENERATION) {
            sources.clear();
        }
    }
    report.peak_kib = resident().1;
    Ok(report)
}
