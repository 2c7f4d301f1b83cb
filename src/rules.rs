//! Finding detector files: the built-in catalogue, and the files and folders a person names.
//!
//! Promises: every broken file is reported, not only the first; two detectors with one id are refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use detectors::Rule;

use crate::config::{DetectorsSection, read_text};
use crate::limits;

/// All detectors that shall run.
pub fn load(section: &DetectorsSection) -> anyhow::Result<Vec<Arc<Rule>>> {
    let mut found: Vec<(String, Arc<Rule>)> = Vec::new();
    if section.catalogue {
        found.extend(detectors::catalogue().into_iter().map(|rule| ("the catalogue".to_owned(), rule)));
    }
    let mut complaints = Vec::new();
    for path in &section.paths {
        for file in files(path)? {
            let name = file.display().to_string();
            match detectors::parse_rule(&read_text(&file)?, &name) {
                Ok(rule) => found.push((name, Arc::new(rule))),
                Err(error) => complaints.push(error.to_string()),
            }
        }
    }
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    unique(found, &section.disabled)
}

fn unique(found: Vec<(String, Arc<Rule>)>, disabled: &[String]) -> anyhow::Result<Vec<Arc<Rule>>> {
    let mut by_id: BTreeMap<String, (String, Arc<Rule>)> = BTreeMap::new();
    for (file, rule) in found {
        let id = rule.id.clone();
        if let Some((other, _)) = by_id.get(&id) {
            bail!("detector {id} is in {other} and in {file}; expected each id once");
        }
        by_id.insert(id, (file, rule));
    }
    for id in disabled {
        if by_id.remove(id).is_none() {
            bail!("detectors.disabled: there is no detector {id:?}");
        }
    }
    Ok(by_id.into_values().map(|(_, rule)| rule).collect())
}

/// Detector files at a path: the file itself, or every `*.yaml` below the folder that is not in a `cases` folder.
pub fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let meta = fs::metadata(path).with_context(|| format!("{}", path.display()))?;
    if meta.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
            let entry = entry.with_context(|| format!("{}", folder.display()))?.path();
            if entry.is_dir() && entry.file_name().is_some_and(|name| name != "cases") {
                folders.push(entry);
            } else if entry.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
                found.push(entry);
            }
        }
        if found.len() > limits::DETECTOR_FILES_MAX {
            bail!("{}: more than {} detector files", path.display(), limits::DETECTOR_FILES_MAX);
        }
    }
    if found.is_empty() {
        bail!("{}: holds no detector; expected *.yaml files", path.display());
    }
    found.sort();
    Ok(found)
}
