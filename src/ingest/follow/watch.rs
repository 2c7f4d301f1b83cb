//! Wakes the source when something happens in the folders of its files (inotify).
//!
//! Promises: what happened is merged, so memory is bounded however much happens. Where the system gives no watches the
//! source looks for itself, less often (`is_blind`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{EventKind, ModifyKind};
use notify::{ErrorKind, Event, RecommendedWatcher, RecursiveMode, Watcher};

use super::identity::FileId;
use crate::ingest::shown::shown;

/// Folders watched at once; those beyond are looked at by the sweep alone.
const FOLDERS_MAX: usize = 8192;
/// Paths remembered between two looks; more: everything is looked at.
const PATHS_MAX: usize = 8192;

/// What happened since the last look.
#[derive(Default)]
pub struct News {
    /// Files that were written to.
    pub written: BTreeSet<PathBuf>,
    /// Something appeared, went or was renamed.
    pub changed: bool,
    /// What went, or was renamed.
    pub gone: BTreeSet<PathBuf>,
    /// Events were lost: anything may have happened.
    pub unknown: bool,
}

pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// With what was there when the watch began.
    folders: BTreeMap<PathBuf, Option<FileId>>,
    news: Arc<Mutex<News>>,
    wake: Receiver<()>,
    /// Keeps the channel open where there is no watcher.
    _waker: SyncSender<()>,
    /// A folder is not watched.
    blind: bool,
    /// Why some are not, as it was told.
    told: BTreeSet<String>,
}

impl Watch {
    pub fn new(source: &str) -> Watch {
        let (waker, wake) = sync_channel(1);
        let news = Arc::new(Mutex::new(News::default()));
        let (noted, woken) = (news.clone(), waker.clone());
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if note(&mut noted.lock().unwrap_or_else(PoisonError::into_inner), event) {
                // A full channel has a wake-up in it already.
                let _full = woken.try_send(()).is_err();
            }
        });
        if let Err(error) = &watcher {
            tracing::warn!(source, %error, "files cannot be watched: they are looked at every second instead");
        }
        Watch {
            watcher: watcher.ok(),
            folders: BTreeMap::new(),
            news,
            wake,
            _waker: waker,
            blind: false,
            told: BTreeSet::new(),
        }
    }

    /// Nothing will be told.
    pub fn is_blind(&self) -> bool {
        self.watcher.is_none() || self.blind
    }

    /// Watches these folders and no others; true when one is new, so that what happened in it before is looked for.
    pub fn set(&mut self, wanted: &BTreeSet<PathBuf>) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        self.blind = false;
        let stays = |folder: &PathBuf, is: &Option<FileId>| wanted.contains(folder) && id_of(folder) == *is;
        let gone: Vec<PathBuf> =
            self.folders.iter().filter(|(folder, is)| !stays(folder, is)).map(|(folder, _)| folder.clone()).collect();
        for gone in gone {
            // One that is deleted is not watched any more.
            let _gone = watcher.unwatch(&gone).is_err();
            self.folders.remove(&gone);
        }
        let mut new = false;
        for folder in wanted {
            if self.folders.contains_key(folder) {
                continue;
            }
            let failed = match self.folders.len() < FOLDERS_MAX {
                true => watcher.watch(folder, RecursiveMode::NonRecursive).err(),
                false => Some(notify::Error::new(ErrorKind::MaxFilesWatch)),
            };
            let Some(error) = failed else {
                self.folders.insert(folder.clone(), id_of(folder));
                new = true;
                continue;
            };
            if !folder.exists() {
                // Gone again: the next look does not find it.
                continue;
            }
            self.blind = true;
            if self.told.len() < FOLDERS_MAX && self.told.insert(why(&error, folder)) {
                tracing::warn!("{}: files are looked at every second instead", why(&error, folder));
            }
        }
        new
    }

    /// A folder went away: when it comes back it is watched anew.
    pub fn forget(&mut self, folder: &Path) {
        if self.folders.remove(folder).is_some()
            && let Some(watcher) = &mut self.watcher
        {
            let _gone = watcher.unwatch(folder).is_err();
        }
    }

    /// Whether a folder went or another one lies there: while one of its files is open the system does not tell.
    pub fn is_elsewhere(&self) -> bool {
        self.folders.iter().any(|(folder, is)| id_of(folder) != *is)
    }

    pub fn take(&mut self) -> News {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for news; false when there were none.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.wake.recv_timeout(timeout).is_ok()
    }
}

fn id_of(folder: &Path) -> Option<FileId> {
    std::fs::metadata(folder).ok().map(|meta| FileId::of(&meta))
}

/// Why a folder is not watched. What the system has too few of is told once, not for each folder.
fn why(error: &notify::Error, folder: &Path) -> String {
    match &error.kind {
        ErrorKind::MaxFilesWatch => "the system gives no more watches (fs.inotify.max_user_watches)".to_owned(),
        ErrorKind::Io(error) => format!("{}: cannot be watched: {error}", shown(folder)),
        _ => format!("{}: cannot be watched: {error}", shown(folder)),
    }
}

/// False for what is no news: files that are opened and read.
fn note(news: &mut News, event: notify::Result<Event>) -> bool {
    let Ok(event) = event else {
        news.unknown = true;
        return true;
    };
    if event.need_rescan() {
        news.unknown = true;
        return true;
    }
    match event.kind {
        EventKind::Access(_) => return false,
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => {}
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)) => {
            news.changed = true;
            if news.gone.len() < PATHS_MAX {
                news.gone.extend(event.paths.iter().cloned());
            }
        }
        _ => news.changed = true,
    }
    if news.written.len() + event.paths.len() > PATHS_MAX {
        news.unknown = true;
        news.written.clear();
    } else {
        news.written.extend(event.paths);
    }
    true
}
