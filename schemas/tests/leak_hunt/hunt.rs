//! Plants samples, normalises the records in batches, searches all that comes out, and reports.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int8Type, Int16Type, Int32Type};
use schemas::{Keys, Lane, Normalised, Normaliser, RawBatch, event_json};
use serde_json::Value;

use super::Sample;
use super::known::KNOWN;
use super::places::{self, Place, Source};
use super::rng::{is_usual, seed};
use super::undo::{Needles, Undo};

/// Records to a batch.
const BATCH: usize = 256;
/// Every record is one of those that drift looks at.
const STEP: i64 = 64;
/// Columns that say where a record came from.
const POSITION: [&str; 6] = ["observed_time", "source", "gateway", "partition", "offset", "late"];

struct Planted {
    sample: Sample,
    place: usize,
    record: String,
}

/// Counts of one sample, and where it leaked first.
#[derive(Default)]
struct Count {
    planted: usize,
    leaked: usize,
    example: String,
}

pub struct Hunt {
    pub places: Vec<Place>,
    sources: Vec<Source>,
    /// Waiting for its batch, by source.
    waiting: Vec<Vec<Planted>>,
    normalisers: Vec<Normaliser>,
    undo: Undo,
    counts: BTreeMap<String, Count>,
}

impl Hunt {
    pub fn new() -> Hunt {
        let (sources, places) = places::all();
        let normalisers = sources.iter().map(normaliser).collect();
        let waiting = sources.iter().map(|_| Vec::new()).collect();
        Hunt { places, sources, waiting, normalisers, undo: Undo::default(), counts: BTreeMap::new() }
    }

    pub fn plant(&mut self, sample: &Sample, place: usize) {
        if !self.places[place].takes(&sample.text) {
            return;
        }
        let source = self.places[place].source;
        let record = self.places[place].record(&sample.text);
        self.waiting[source].push(Planted { sample: sample.clone(), place, record });
        if self.waiting[source].len() >= BATCH {
            self.search(source);
        }
    }

    fn search(&mut self, source: usize) {
        let planted = std::mem::take(&mut self.waiting[source]);
        let mut raw = RawBatch::new();
        for (index, one) in planted.iter().enumerate() {
            raw.push(index as i64 * STEP, 1_790_000_000_000_000, one.record.as_bytes());
        }
        let normaliser = &mut self.normalisers[source];
        let normalised = normaliser.normalise(&Lane::new("hunt", 0), &raw);
        let drift: Vec<String> = normaliser.drift().into_iter().map(|drift| drift.path).collect();
        // Its memory of keys is bounded: a new one for each batch remembers all.
        *normaliser = self::normaliser(&self.sources[source]);

        let mut texts: Vec<Vec<(String, String)>> = planted.iter().map(|_| Vec::new()).collect();
        let mut seen = vec![false; planted.len()];
        for row in 0..normalised.events.num_rows() {
            let event = event_json(&normalised.events, row);
            let index = (event["offset"].as_i64().expect("each event has its offset") / STEP) as usize;
            seen[index] = true;
            for (name, value) in event {
                match value {
                    _ if POSITION.contains(&name.as_str()) => {}
                    Value::Null => {}
                    Value::String(text) => texts[index].push((name, text)),
                    other => texts[index].push((name, other.to_string())),
                }
            }
        }
        for reject in &normalised.rejects {
            let index = (reject.offset / STEP) as usize;
            seen[index] = true;
            texts[index].push(("reject".into(), reject.detail.clone()));
        }
        let shared: Vec<(String, String)> = dictionaries(&normalised)
            .into_iter()
            .chain(drift.into_iter().map(|name| ("drift".to_string(), name)))
            .collect();
        for (index, one) in planted.into_iter().enumerate() {
            assert!(seen[index], "lost: {}", one.record);
            self.judge(&one, &texts[index], &shared);
        }
    }

    fn judge(&mut self, one: &Planted, texts: &[(String, String)], shared: &[(String, String)]) {
        let needles = Needles::new(&one.sample.parts);
        let count = self.counts.entry(one.sample.name.clone()).or_default();
        count.planted += 1;
        let undo = &mut self.undo;
        // The names of fields come from plantings as a key alone; others may have the same sample.
        let as_key = self.places[one.place].name.starts_with("(key)");
        let shared = shared.iter().filter(|(column, _)| as_key || column != "drift");
        let leak = texts.iter().chain(shared).find(|(_, text)| undo.reveals(text, &needles));
        if let Some((column, text)) = leak {
            count.leaked += 1;
            if count.example.is_empty() {
                let place = &self.places[one.place];
                count.example = format!("{} {} -> {column}: {text}", self.sources[place.source].name, place.name);
            }
        }
    }

    /// Prints the report of `class`, and fails when something leaked that is not known, or what is known leaked no more.
    pub fn finish(mut self, class: &str) {
        for source in 0..self.sources.len() {
            if !self.waiting[source].is_empty() {
                self.search(source);
            }
        }
        let planted: usize = self.counts.values().map(|c| c.planted).sum();
        let leaked: usize = self.counts.values().map(|c| c.leaked).sum();
        let leaking: BTreeSet<&String> = self.counts.iter().filter(|(_, c)| c.leaked > 0).map(|(n, _)| n).collect();
        println!(
            "seed {:#x}; {class}: {} samples, {planted} planted, {} samples leaked in {leaked} places ({:.3} %)",
            seed(),
            self.counts.len(),
            leaking.len(),
            100.0 * leaked as f64 / planted as f64
        );
        let known: Vec<_> = KNOWN.iter().filter(|(c, ..)| *c == class).collect();
        let mut unknown = String::new();
        for name in &leaking {
            if !known.iter().any(|(_, begin, _)| name.starts_with(begin)) {
                let count = &self.counts[*name];
                let _infallible = writeln!(unknown, "{name}: {} of {}; {}", count.leaked, count.planted, count.example);
            }
        }
        let cured: Vec<_> =
            known.iter().filter(|(_, begin, _)| !leaking.iter().any(|n| n.starts_with(begin))).collect();
        assert!(cured.is_empty() || !is_usual(), "{class}: these leak no more, take them out of KNOWN: {cured:?}");
        assert!(unknown.is_empty(), "{class}: these leaked:\n{unknown}");
    }
}

fn normaliser(source: &Source) -> Normaliser {
    Normaliser::new(&source.config, &Keys::new("k1", b"fake key of the leak hunt"))
        .expect("the source of a case is valid")
}

/// The column that shows one of `secrets`, of what becomes of one record of a kind.
pub fn reveals(kind: &str, record: &str, secrets: &[String]) -> Option<String> {
    let source = Source { name: kind.into(), config: schemas::SourceConfig::new(kind) };
    let mut raw = RawBatch::new();
    raw.push(0, 1_790_000_000_000_000, record.as_bytes());
    let mut normaliser = normaliser(&source);
    let normalised = normaliser.normalise(&Lane::new("hunt", 0), &raw);
    let mut texts: Vec<(String, String)> = dictionaries(&normalised);
    texts.extend(normaliser.drift().into_iter().map(|drift| ("drift".into(), drift.path)));
    texts.extend(normalised.rejects.iter().map(|reject| ("reject".into(), reject.detail.clone())));
    for row in 0..normalised.events.num_rows() {
        let event = event_json(&normalised.events, row).into_iter();
        texts.extend(
            event.map(|(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), str::to_string))),
        );
    }
    let (needles, mut undo) = (Needles::new(secrets), Undo::default());
    texts.into_iter().find(|(_, text)| undo.reveals(text, &needles)).map(|(name, text)| format!("{name}: {text}"))
}

/// What dictionaries hold: a value that no row shows is written to the lake all the same.
fn dictionaries(normalised: &Normalised) -> Vec<(String, String)> {
    let events = &normalised.events;
    let mut texts = Vec::new();
    for (field, column) in events.schema().fields().iter().zip(events.columns()) {
        let DataType::Dictionary(key, _) = field.data_type() else { continue };
        let used: BTreeSet<usize> = match key.as_ref() {
            DataType::Int8 => column.as_dictionary::<Int8Type>().keys_iter().flatten().collect(),
            DataType::Int16 => column.as_dictionary::<Int16Type>().keys_iter().flatten().collect(),
            _ => column.as_dictionary::<Int32Type>().keys_iter().flatten().collect(),
        };
        let values = column.as_any_dictionary().values();
        let Some(strings) = values.as_string_opt::<i32>() else { continue };
        for index in (0..strings.len()).filter(|i| !used.contains(i)) {
            texts.push((format!("dictionary {}", field.name()), strings.value(index).to_string()));
        }
    }
    texts
}
