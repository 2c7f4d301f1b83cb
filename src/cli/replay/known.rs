//! What was read of each file by earlier replays, so that another file under the same name and with the same first line is
//! not taken for it: how far it was read, and a hash of the bytes before that.
//!
//! Never: holds bytes of a log.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::ingest::follow::{Content, Fit, Mark, find, write_private};

#[derive(Default, Serialize, Deserialize)]
struct Known {
    /// How many files with this name and first line came before.
    generation: u32,
    mark: Mark,
}

/// Which file of this name and first line the one at `path` is: 0 is the first. True when it is another one than the last
/// time. A packed file is not told apart.
pub fn generation(data_dir: &Path, name: &str, path: &Path) -> anyhow::Result<(u32, bool)> {
    let place = place(data_dir, name);
    let Ok(text) = fs::read(&place) else { return Ok((0, false)) };
    let known: Known = serde_json::from_slice(&text).with_context(|| format!("{}: is damaged", place.display()))?;
    let content = content(path)?;
    if content.packed || known.mark.fits(&content)? == Fit::Same {
        return Ok((known.generation, false));
    }
    Ok((known.generation + 1, true))
}

/// Notes that `bytes` of a file were read.
pub fn note(data_dir: &Path, name: &str, path: &Path, generation: u32, bytes: u64) -> anyhow::Result<()> {
    let content = content(path)?;
    if content.packed {
        return Ok(());
    }
    let known = Known { generation, mark: Mark::at(&content, bytes)? };
    let place = place(data_dir, name);
    write_private(&place, &serde_json::to_vec(&known)?).with_context(|| place.display().to_string())
}

fn place(data_dir: &Path, name: &str) -> PathBuf {
    data_dir.join("replayed").join(format!("{name}.json"))
}

fn content(path: &Path) -> anyhow::Result<Content> {
    find::open(path).and_then(Content::new).with_context(|| path.display().to_string())
}
