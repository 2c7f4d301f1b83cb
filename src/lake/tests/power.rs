//! Power loss: every file of a lake cut at every place that matters, one at a time; the lake opens, names what is gone, and what is
//! not gone is there once.

use std::path::Path;

use super::*;
use crate::lake::mend::{Damage, mend};

/// Every file below a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// A file with only its first bytes, with none, filled with zeros, or gone.
fn cuts(whole: &[u8]) -> Vec<Option<Vec<u8>>> {
    let middle = whole.len() / 2;
    let mut cuts: Vec<Option<Vec<u8>>> = [0, middle].into_iter().map(|length| Some(whole[..length].to_vec())).collect();
    cuts.push(Some(vec![0; whole.len()]));
    cuts.push(None);
    cuts
}

async fn reopen(folder: &Folder) -> (Vec<Damage>, i64) {
    let damages = mend(&folder.config).await.unwrap();
    let (mut lake, _) = folder.open("a").await;
    let at = lake.refresh_positions(&[lane(0)]).await.unwrap();
    (damages, at[0].1.unwrap_or(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_lake_is_left_alone() {
    let folder = Folder::new();
    assert_eq!(mend(&folder.config).await.unwrap(), [], "there is none yet");
    let (mut lake, _) = folder.open("a").await;
    lake.commit(&checkpoint(0, 10)).await.unwrap();
    drop(lake);
    let before = files(folder.folder.path());
    assert_eq!(reopen(&folder).await, (vec![], 10));
    assert_eq!(files(folder.folder.path()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_file_is_cut_the_lake_opens_and_says_what_is_gone() {
    let template = Folder::new();
    let (mut lake, _) = template.open("a").await;
    lake.commit(&checkpoint(0, 10)).await.unwrap();
    lake.commit(&checkpoint(10, 20)).await.unwrap();
    drop(lake);
    let root = template.folder.path();
    let whole: Vec<(PathBuf, Vec<u8>)> = files(root)
        .into_iter()
        .map(|path| (path.strip_prefix(root).unwrap().to_path_buf(), std::fs::read(path).unwrap()))
        .collect();
    let mut tried = 0;
    for (victim, content) in &whole {
        let name = victim.display().to_string();
        // An entry amid a log was synced long before; the last one is what a power loss can cut.
        let log: Vec<&PathBuf> =
            whole.iter().map(|(path, _)| path).filter(|path| path.parent() == victim.parent()).collect();
        let is_log = name.contains("_delta_log");
        if is_log && log.last() != Some(&victim) {
            continue;
        }
        for cut in cuts(content) {
            if cut.is_none() && is_log {
                // Then it is a lake of one commit less, which no one can tell.
                continue;
            }
            tried += 1;
            let folder = Folder::new();
            for (path, content) in &whole {
                let path = folder.folder.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, content).unwrap();
            }
            let path = folder.folder.path().join(victim);
            match &cut {
                Some(cut) => std::fs::write(&path, cut).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            let length = cut.as_ref().map(Vec::len);
            let (damages, at) = reopen(&folder).await;
            let events = folder.events().await;
            if is_log {
                let is_named = damages.iter().any(|damage| name.ends_with(&damage.path) && damage.rows == 0);
                assert!(is_named, "{name} cut to {length:?}: {damages:?}");
                let expected = if name.contains("events") { 10 } else { 20 };
                assert_eq!((at, events), (expected, expected), "{name} cut to {length:?}");
            } else if name.ends_with(".parquet") {
                let gone: u64 = damages.iter().map(|damage| damage.rows).sum();
                assert!(damages.len() == 1 && gone > 0 && name.ends_with(&damages[0].path), "{name}: {damages:?}");
                if name.contains("events") {
                    assert_eq!((at, events), (20, 20 - gone as i64), "{name} cut to {length:?}");
                    assert!(damages[0].what.contains("offsets"), "{damages:?}");
                }
            } else {
                // A state file: detection begins anew, no event is gone.
                assert_eq!((damages, at, events), (vec![], 20, 20), "{name} cut to {length:?}");
            }
            // Once mended it stays so, and work goes on.
            assert_eq!(reopen(&folder).await, (vec![], at), "{name}");
            let (mut lake, _) = folder.open("a").await;
            lake.refresh_positions(&[lane(0)]).await.unwrap();
            lake.commit(&checkpoint(at, at + 5)).await.unwrap();
            assert_eq!(folder.events().await, events + 5, "{name} cut to {length:?}");
        }
    }
    assert!(tried > 20, "{tried}");
}
