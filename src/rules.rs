//! Finding detector files: the built-in catalogue, and the files and folders a person names.
//!
//! Promises: every broken file is reported, not only the first; two detectors with one id are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use detectors::Rule;
use detectors::catalogue::ENTRIES;

use crate::config::{DetectorsSection, read_text};
use crate::limits;

/// The place of the built-in detectors.
pub const CATALOGUE: &str = "the catalogue";

/// A detector, and where it comes from.
pub struct Found {
    pub rule: Arc<Rule>,
    /// The catalogue, or the file.
    pub place: String,
    /// As it is written.
    pub text: String,
}

/// All detectors that shall run.
pub fn load(section: &DetectorsSection) -> anyhow::Result<Vec<Arc<Rule>>> {
    Ok(find(section)?.into_iter().map(|found| found.rule).collect())
}

/// The same with their texts, in the order of their ids.
pub fn find(section: &DetectorsSection) -> anyhow::Result<Vec<Found>> {
    let (mut built_in, mut own) = (built_in()?, own(&section.paths)?);
    let known: BTreeSet<String> = built_in.iter().chain(&own).map(|found| found.rule.id.clone()).collect();
    disable(&mut built_in, &mut own, &section.disabled)?;
    if !section.catalogue {
        built_in.clear();
    }
    let found = unique(built_in.into_iter().chain(own))?;
    found.iter().try_for_each(|one| others_are_known(one, &known))?;
    Ok(found)
}

/// A detector names others that there are, also where this configuration leaves them out.
fn others_are_known(one: &Found, known: &BTreeSet<String>) -> anyhow::Result<()> {
    match one.rule.part_of.iter().find(|id| !known.contains(*id)) {
        Some(id) => bail!("{}: detector {}: part_of: there is no detector {id:?}", one.place, one.rule.id),
        None => Ok(()),
    }
}

pub fn built_in() -> anyhow::Result<Vec<Found>> {
    let found = |entry: &detectors::catalogue::Entry| {
        let rule = Arc::new(entry.rule()?);
        Ok(Found { rule, place: CATALOGUE.to_owned(), text: entry.detector.to_owned() })
    };
    ENTRIES.iter().map(found).collect()
}

/// The detectors in these files and folders.
pub fn own(paths: &[PathBuf]) -> anyhow::Result<Vec<Found>> {
    let (mut found, mut complaints) = (Vec::new(), Vec::new());
    for path in paths {
        for file in files(path)? {
            let (place, text) = (file.display().to_string(), read_text(&file)?);
            match detectors::parse_rule(&text, &place) {
                Ok(rule) => found.push(Found { rule: Arc::new(rule), place, text }),
                Err(error) => complaints.push(error.to_string()),
            }
        }
    }
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    Ok(found)
}

/// Leaves out what is disabled. An id of the catalogue means the built-in detector, also where the catalogue is left
/// out: an own one with that id then runs in its place. Any other id means an own one.
fn disable(built_in: &mut Vec<Found>, own: &mut Vec<Found>, disabled: &[String]) -> anyhow::Result<()> {
    for id in disabled.iter().collect::<BTreeSet<_>>() {
        let has = |list: &[Found]| list.iter().any(|found| found.rule.id == *id);
        let from = match (has(built_in), has(own)) {
            (true, _) => &mut *built_in,
            (false, true) => &mut *own,
            (false, false) => bail!("there is no detector {id:?} to disable"),
        };
        from.retain(|found| found.rule.id != *id);
    }
    Ok(())
}

fn unique(all: impl Iterator<Item = Found>) -> anyhow::Result<Vec<Found>> {
    let mut by_id: BTreeMap<String, Found> = BTreeMap::new();
    for found in all {
        let id = found.rule.id.clone();
        if let Some(other) = by_id.get(&id) {
            let way_out = if other.place == CATALOGUE { "; disable it to run the own one in its place" } else { "" };
            bail!("detector {id} is in {} and in {}; expected each id once{way_out}", other.place, found.place);
        }
        by_id.insert(id, found);
    }
    Ok(by_id.into_values().collect())
}

/// Detector files at a path: the file itself, or every `*.yaml` below the folder that is not in a `cases` folder.
pub fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let meta = fs::metadata(path).with_context(|| format!("{}", path.display()))?;
    if meta.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let found = yaml_below(path)?;
    if found.is_empty() {
        bail!("{}: holds no detector; expected *.yaml files", path.display());
    }
    Ok(found)
}

/// Every `*.yaml` below a folder, in order, except in folders named `cases`.
pub fn yaml_below(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
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
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "endpoint-sweep";

    /// A folder with one own detector: the built-in sweep with a title and an id of ours.
    fn own_detector(id: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let text = built_in().unwrap().into_iter().find(|found| found.rule.id == ID).unwrap().text;
        let text = text.replace("id: endpoint-sweep", &format!("id: {id}"));
        fs::write(folder.path().join("own.yaml"), text.replace("title: One client", "title: Our client")).unwrap();
        folder
    }

    fn section(catalogue: bool, folder: &tempfile::TempDir, disabled: &[&str]) -> DetectorsSection {
        let disabled = disabled.iter().map(|id| (*id).to_owned()).collect();
        DetectorsSection { catalogue, paths: vec![folder.path().to_owned()], disabled }
    }

    #[test]
    fn an_own_detector_takes_the_place_of_a_disabled_built_in_one() {
        let folder = own_detector(ID);
        let refused = load(&section(true, &folder, &[])).unwrap_err().to_string();
        assert!(refused.starts_with("detector endpoint-sweep is in the catalogue and in "), "{refused}");
        for catalogue in [true, false] {
            let rules = load(&section(catalogue, &folder, &[ID, ID])).unwrap();
            assert_eq!(rules.len(), if catalogue { ENTRIES.len() } else { 1 });
            let own = rules.iter().find(|rule| rule.id == ID).unwrap();
            assert!(own.title.starts_with("Our client"), "{}", own.title);
        }
    }

    #[test]
    fn a_detector_names_others_that_there_are() {
        let folder = own_detector("our-sweep");
        let text = fs::read_to_string(folder.path().join("own.yaml")).unwrap();
        let naming = |id: &str| {
            let text = text.replace("id: our-sweep", &format!("id: our-other\npart_of: [{id}]"));
            fs::write(folder.path().join("other.yaml"), text).unwrap();
            load(&section(false, &folder, &["our-sweep"])).map(|rules| rules.len()).map_err(|error| error.to_string())
        };
        assert_eq!((naming("our-sweep"), naming(ID)), (Ok(1), Ok(1)), "one that is disabled, and one of the catalogue");
        let refused = naming("our-swep").unwrap_err();
        assert!(
            refused.ends_with("other.yaml: detector our-other: part_of: there is no detector \"our-swep\""),
            "{refused}"
        );
    }

    #[test]
    fn what_is_disabled_does_not_run_and_must_be_there() {
        let folder = own_detector("our-sweep");
        let rules = load(&section(true, &folder, &["our-sweep", ID])).unwrap();
        assert_eq!(rules.len(), ENTRIES.len() - 1);
        assert!(rules.iter().all(|rule| rule.id != "our-sweep" && rule.id != ID));
        let refused = load(&section(true, &folder, &["endpoint-swep"])).unwrap_err().to_string();
        assert_eq!(refused, "there is no detector \"endpoint-swep\" to disable");
    }
}
