//! What each target does with an input, and what must be true of it.
//!
//! Promises: every record has an outcome, but where only directives of a W3C file are in it; a mapping that parsed makes
//! a source; a scrubbed text is bounded.

use std::sync::Arc;

use arrow::array::{AsArray, types::Int64Type};
use schemas::{Keys, Lane, Mapping, Normaliser, RawBatch, SourceConfig, Templates, event_json, limits, scrub};

use super::corpus::{Corpus, LOGFMT_MAPPING};
use super::inputs::Input;

const NOW: i64 = 1_790_000_000_000_000;
/// Escapes make four bytes of one; replacements are short.
const SCRUBBED_BYTES_MAX: usize = 4 * limits::SEARCH_BYTES_MAX + limits::FINDINGS_MAX * 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Json,
    Text,
    W3c,
    Logfmt,
    Envelope,
    Mapping,
    Form,
    Redaction,
    Templates,
    All,
}

impl Target {
    pub const ALL: [Target; 10] = [
        Target::Json,
        Target::Text,
        Target::W3c,
        Target::Logfmt,
        Target::Envelope,
        Target::Mapping,
        Target::Form,
        Target::Redaction,
        Target::Templates,
        Target::All,
    ];

    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// The kinds whose records it begins with.
    pub fn kinds(self, corpus: &Corpus) -> Vec<usize> {
        match self {
            Target::Json => corpus.numbers(super::corpus::Kind::has_json),
            Target::Text | Target::Form => corpus.numbers(super::corpus::Kind::has_lines),
            Target::W3c => corpus.numbers(super::corpus::Kind::has_w3c),
            Target::Redaction | Target::Templates => corpus.numbers(|kind| kind.name == "kong"),
            Target::Logfmt | Target::Envelope | Target::Mapping | Target::All => corpus.numbers(|_| true),
        }
    }
}

/// What became of the records of an input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub records: u64,
    pub events: u64,
    pub rejects: u64,
}

/// The normalisers, kept from input to input: one for each kind, and one that is never made anew.
pub struct Sources {
    made: Vec<Option<Normaliser>>,
    /// Of `key=value` lines, whatever kind the records are of.
    logfmt: Option<Normaliser>,
    kept: Option<Normaliser>,
    kept_kind: Option<usize>,
    offset: i64,
}

impl Sources {
    pub fn new(corpus: &Corpus) -> Sources {
        let made = corpus.kinds.iter().map(|_| None).collect();
        Sources { made, logfmt: None, kept: None, kept_kind: None, offset: 0 }
    }

    /// Forgets all but the kept one.
    pub fn clear(&mut self) {
        self.made.iter_mut().for_each(|made| *made = None);
        self.logfmt = None;
    }

    /// Runs an input. An error says what is not as it must be.
    pub fn check(&mut self, corpus: &Corpus, target: Target, input: &Input) -> Result<Outcome, String> {
        let kind = corpus.kinds[input.kind].name;
        let setup = input.setup.as_deref().unwrap_or_default();
        match target {
            Target::Mapping | Target::Form if kind != "nginx" => match Mapping::parse(setup, "fuzz.yaml") {
                Ok(mapping) => {
                    let config = SourceConfig { mapping: Some(mapping), ..SourceConfig::new("mapping") };
                    self.fresh(&config, true, input)
                }
                Err(error) => message_is_short(&error.to_string(), setup),
            },
            Target::Form => {
                let config = SourceConfig { log_format: Some(setup.to_string()), ..SourceConfig::new(kind) };
                match Normaliser::new(&config, &keys()) {
                    Ok(_) => self.fresh(&config, false, input),
                    Err(error) => message_is_short(&error.to_string(), setup),
                }
            }
            Target::Templates => self.templates(setup, input),
            Target::Redaction => self.redaction(corpus, input),
            Target::Logfmt => {
                let (slot, offset) = (&mut self.logfmt, &mut self.offset);
                if slot.is_none() {
                    let mapping = Mapping::parse(LOGFMT_MAPPING, "logfmt.yaml").map_err(|error| error.to_string())?;
                    let config = SourceConfig { mapping: Some(mapping), ..SourceConfig::new("mapping") };
                    *slot = Some(normaliser(&config)?);
                }
                run(slot.as_mut().ok_or("no source")?, false, offset, &input.records)
            }
            _ => self.by_kind(corpus, input.kind, &input.records),
        }
    }

    /// A normaliser of the kind; of the first kind that was asked for, half of the records go to the one that is kept.
    fn by_kind(&mut self, corpus: &Corpus, kind: usize, records: &[Vec<u8>]) -> Result<Outcome, String> {
        let of = &corpus.kinds[kind];
        let kept = *self.kept_kind.get_or_insert(kind);
        let slot = if kind == kept && self.offset % 2 == 0 { &mut self.kept } else { &mut self.made[kind] };
        if slot.is_none() {
            let hops = usize::from(kind.is_multiple_of(3));
            let networks =
                if kind % 3 == 1 { vec!["192.0.2.0/24".to_string(), "unix:".to_string()] } else { Vec::new() };
            *slot = Some(normaliser(&SourceConfig {
                trusted_hops: hops,
                trusted_proxies: networks,
                client_ip_header: kind.is_multiple_of(2),
                tokenise_principal: kind % 4 == 1,
                time_zone: (kind % 5 == 1).then(|| "Europe/Berlin".to_string()),
                ahead_max_us: (kind % 2 == 1).then_some(3_600_000_000),
                ..SourceConfig::new(of.name)
            })?);
        }
        run(slot.as_mut().ok_or("no source")?, of.has_w3c(), &mut self.offset, records)
    }

    /// A source of its own for these records.
    fn fresh(&mut self, config: &SourceConfig, w3c: bool, input: &Input) -> Result<Outcome, String> {
        run(&mut normaliser(config)?, w3c, &mut self.offset, &input.records)
    }

    fn redaction(&mut self, corpus: &Corpus, input: &Input) -> Result<Outcome, String> {
        let texts: Vec<_> = input.records.iter().map(|record| String::from_utf8_lossy(record)).collect();
        for text in &texts {
            let kept = scrub(text);
            if kept.len() > SCRUBBED_BYTES_MAX {
                return Err(format!("{} bytes became {} bytes", text.len(), kept.len()));
            }
            scrub(&kept);
        }
        let record = serde_json::json!({
            "started_at": 1_790_000_000_000_u64, "client_ip": "203.0.113.7", "response": {"status": 200},
            "request": {"method": "GET", "uri": format!("/{}?{}", texts[0], texts[1]), "headers": {
                "user-agent": texts[2], "authorization": texts[1], "cookie": texts[0], "referer": texts[2], "host": texts[1]}},
        });
        self.by_kind(corpus, input.kind, &[record.to_string().into_bytes()])
    }

    fn templates(&mut self, document: &str, input: &Input) -> Result<Outcome, String> {
        let lines: Vec<&str> = document.lines().collect();
        let mut templates = match Templates::openapi(document, "fuzz.yaml") {
            Ok(templates) => templates,
            Err(error) => {
                message_is_short(&error.to_string(), document)?;
                Templates::default()
            }
        };
        match Templates::list(&lines, "fuzz") {
            Ok(list) => templates.merge(list),
            Err(error) => {
                message_is_short(&error.to_string(), document)?;
            }
        }
        let config = SourceConfig { templates: Some(Arc::new(templates)), ..SourceConfig::new("kong") };
        let mut source = normaliser(&config)?;
        let outcome = run(&mut source, false, &mut self.offset, &input.records)?;
        // Whatever a saved state may have become, it is taken or refused.
        let _ = source.restore(&lane(), document.as_bytes());
        Ok(outcome)
    }
}

fn keys() -> Keys {
    Keys::new("k1", b"fake token key").with_seal("s1", &[7; 32])
}

fn lane() -> Lane {
    Lane::new("fuzz", 0)
}

fn normaliser(config: &SourceConfig) -> Result<Normaliser, String> {
    Normaliser::new(config, &keys()).map_err(|error| format!("what was checked makes no source: {error}"))
}

/// An error may quote a word of the file, not all of it.
fn message_is_short(message: &str, setup: &str) -> Result<Outcome, String> {
    match message.len() > 4096 + setup.len() * 8 {
        true => Err(format!("a message of {} bytes about a file of {}", message.len(), setup.len())),
        false => Ok(Outcome::default()),
    }
}

/// Hands the records over in one batch, and looks for what became of each.
fn run(source: &mut Normaliser, w3c: bool, offset: &mut i64, records: &[Vec<u8>]) -> Result<Outcome, String> {
    let mut raw = RawBatch::new();
    let first = *offset;
    let lines = records.iter().flat_map(|record| match w3c {
        true => record.split(|b| *b == b'\n').collect::<Vec<_>>(),
        false => vec![&record[..]],
    });
    let lines: Vec<&[u8]> = lines.collect();
    for line in &lines {
        raw.push(*offset, NOW, line);
        *offset += 1;
    }
    let lane = lane();
    let normalised = source.normalise(&lane, &raw);
    let mut seen = vec![false; lines.len()];
    let offsets = normalised.events.column_by_name("offset").ok_or("no column offset")?;
    let of_events = offsets.as_primitive::<Int64Type>().values().iter().copied();
    for at in of_events.chain(normalised.rejects.iter().map(|reject| reject.offset)) {
        *seen.get_mut((at - first) as usize).ok_or("an outcome of no record")? = true;
    }
    let lost = seen.iter().zip(&lines).position(|(seen, line)| !(*seen || w3c && line.contains(&b'#')));
    if let Some(lost) = lost {
        return Err(format!("record {lost} has neither an event nor a reject"));
    }
    if normalised.events.num_rows() > 0 && first % 16 == 0 {
        event_json(&normalised.events, 0);
    }
    if let Some(state) = normalised.state.filter(|_| first % 64 == 0) {
        source.restore(&lane, &state).map_err(|error| format!("its own state is refused: {error}"))?;
    }
    Ok(Outcome {
        records: lines.len() as u64,
        events: normalised.events.num_rows() as u64,
        rejects: normalised.rejects.len() as u64,
    })
}
