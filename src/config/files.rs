//! Files that people wrote: configurations, detectors, mappings, OpenAPI documents.
//!
//! Promises: a folder, or a file beyond its size limit, is named with what was expected.
//! Never: reads a log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use schemas::Templates;

use crate::limits;

/// Reads a text file that a person wrote, within the size limit.
pub fn read_text(path: &Path) -> anyhow::Result<String> {
    read_text_up_to(path, limits::CONFIG_BYTES_MAX)
}

/// Reads an OpenAPI document, which may be longer.
pub fn read_document(path: &Path) -> anyhow::Result<String> {
    read_text_up_to(path, limits::OPENAPI_BYTES_MAX)
}

/// The endpoints that OpenAPI documents and a list name; `place` is what errors call the list.
pub fn templates(documents: &[PathBuf], list: &[String], place: &str) -> anyhow::Result<Option<Arc<Templates>>> {
    let mut all = Templates::list(list, place)?;
    for path in documents {
        let text = read_document(path)?;
        all.merge(Templates::openapi(&text, &path.display().to_string())?);
    }
    Ok((!all.is_empty()).then(|| Arc::new(all)))
}

fn read_text_up_to(path: &Path, bytes_max: u64) -> anyhow::Result<String> {
    let meta = std::fs::metadata(path).with_context(|| format!("{}", path.display()))?;
    if meta.is_dir() {
        bail!("{}: is a directory; expected a file", path.display());
    }
    if meta.len() > bytes_max {
        bail!("{}: {} bytes; expected at most {bytes_max}", path.display(), meta.len());
    }
    std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))
}
