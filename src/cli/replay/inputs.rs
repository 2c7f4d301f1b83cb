//! What a replay reads: its files as sources of their own, and where the lake says each of them continues.
//!
//! Promises: the lane of a file has the same name on every run, so that nothing of it is counted twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemas::Lane;

use super::known;
use crate::clock;
use crate::ingest::file::{self, FileSource};
use crate::ingest::merged::{Merged, Named};
use crate::ingest::stdin::StdinSource;
use crate::ingest::{Positions, ReadLimits, Source};

/// A pipe that is silent for so long no longer holds other files back.
const IDLE_AFTER: Duration = Duration::from_secs(5);

pub struct Inputs {
    list: Vec<Input>,
    /// How far reading has come, in bytes of the files as they are on disk.
    read: Mutex<Vec<file::Progress>>,
    /// By name: how many records the lake had when the file was opened.
    kept: Kept,
}

type Kept = Arc<Mutex<BTreeMap<String, i64>>>;

/// One thing to read: its lane's source name says which file it was, the same on every run.
struct Input {
    path: PathBuf,
    name: String,
    bytes: u64,
    /// The name that path and first line give, and the how many-th file it is that has them.
    base: String,
    generation: u32,
}

impl Input {
    fn new(path: &Path) -> anyhow::Result<Input> {
        let path = path.to_owned();
        if path.as_os_str() == "-" {
            // Each stream is another one, although all have the same name to the system.
            let name = format!("stdin@{:x}", clock::now_us());
            return Ok(Input { path, base: name.clone(), name, bytes: 0, generation: 0 });
        }
        let identity = file::identity(&path)?;
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let plain: String =
            file_name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        let bytes = std::fs::metadata(&path).map_or(0, |meta| meta.len());
        let name = format!("{plain}@{}", &identity[..8]);
        Ok(Input { base: name.clone(), name, path, bytes, generation: 0 })
    }

    fn is_stdin(&self) -> bool {
        self.path.as_os_str() == "-"
    }
}

impl Inputs {
    pub fn new(paths: &[PathBuf]) -> anyhow::Result<Inputs> {
        let list: Vec<Input> = paths.iter().map(|path| Input::new(path)).collect::<anyhow::Result<_>>()?;
        for (index, input) in list.iter().enumerate() {
            if list[..index].iter().any(|earlier| earlier.name == input.name) {
                anyhow::bail!("{}: is named twice", input.path.display());
            }
        }
        Ok(Inputs { list, read: Mutex::default(), kept: Kept::default() })
    }

    /// Files that took the place of those that earlier replays read, first line and all, get a name of their own. Gives
    /// their paths.
    pub fn tell_apart(&mut self, data_dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let mut others = Vec::new();
        for input in self.list.iter_mut().filter(|input| !input.is_stdin()) {
            let (generation, is_other) = known::generation(data_dir, &input.base, &input.path)?;
            if generation > 0 {
                input.name = format!("{}.{generation}", input.base);
            }
            input.generation = generation;
            others.extend(is_other.then(|| input.path.clone()));
        }
        Ok(others)
    }

    /// Notes what was read, for the next replay.
    pub fn note(&self, data_dir: &Path) -> anyhow::Result<()> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let files = self.list.iter().filter(|input| !input.is_stdin());
        for (input, read) in files.zip(read.iter()) {
            known::note(data_dir, &input.base, &input.path, input.generation, read.read_bytes())?;
        }
        Ok(())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|input| input.name.as_str())
    }

    /// Name and path of each.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.list.iter().map(|input| (input.name.as_str(), input.path.as_path()))
    }

    /// When the file of this name was last written, in microseconds since 1970; none of standard input.
    pub fn written_us(&self, name: &str) -> Option<i64> {
        let input = self.list.iter().find(|input| input.name == name && !input.is_stdin())?;
        file::written_us(&input.path)
    }

    /// The file that is the only input.
    pub fn only_file(&self) -> Option<&Path> {
        match self.list.as_slice() {
            [one] if !one.is_stdin() => Some(&one.path),
            _ => None,
        }
    }

    /// What a person calls the input of this name.
    pub fn shown(&self, name: &str) -> String {
        match self.list.iter().find(|input| input.name == name) {
            Some(input) if !input.is_stdin() => input.path.display().to_string(),
            _ => "standard input".to_owned(),
        }
    }

    /// Bytes to read; none when that is unknown.
    pub fn bytes(&self) -> Option<u64> {
        self.list.iter().map(|input| (!input.is_stdin()).then_some(input.bytes)).sum()
    }

    pub fn bytes_read(&self) -> u64 {
        // A panic while holding this lock or the other one leaves plain values behind; they stay usable.
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.iter().map(file::Progress::read_bytes).sum()
    }

    /// The same files in the same order are one job: a second run continues the first.
    pub fn instance(&self) -> String {
        let names: Vec<&str> = self.names().collect();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, names.join("\n").as_bytes());
        let short: String = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("replay-{short}")
    }

    pub fn open(&self, positions: Arc<dyn Positions>) -> anyhow::Result<Box<dyn Source>> {
        let positions: Arc<dyn Positions> = Arc::new(Noted { positions, kept: self.kept.clone() });
        let mut sources = Vec::new();
        for input in &self.list {
            let (name, limits) = (input.name.as_str(), ReadLimits::default());
            let source: Box<dyn Source> = if input.is_stdin() {
                Box::new(StdinSource::new(name, limits, IDLE_AFTER, positions.clone(), clock::system())?)
            } else {
                let paths = std::slice::from_ref(&input.path);
                let source = FileSource::new(paths, name, limits, positions.clone(), clock::system())?;
                self.read.lock().unwrap_or_else(PoisonError::into_inner).push(source.progress());
                Box::new(source)
            };
            sources.push(Named { name: input.name.clone(), source });
        }
        Ok(Box::new(Merged::new(sources)))
    }

    /// The files of which the lake had records when they were opened, and how many.
    pub fn kept(&self) -> Vec<(String, u64)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |input: &Input| {
            let records = kept.get(&input.name).filter(|records| **records > 0)?;
            Some((input.path.display().to_string(), records.unsigned_abs()))
        };
        self.list.iter().filter_map(of).collect()
    }
}

/// Positions that are noted as they are asked.
struct Noted {
    positions: Arc<dyn Positions>,
    kept: Kept,
}

impl Positions for Noted {
    fn next_offset(&self, lane: &Lane) -> anyhow::Result<Option<i64>> {
        let next = self.positions.next_offset(lane)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(next.map(|records| (lane.source.to_string(), records)));
        Ok(next)
    }
}
