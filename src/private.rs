//! The data folder is for its owner alone: folders 0700, files 0600, whatever the umask of whoever starts the program.
//!
//! Promises: what is made below a data folder from here on is private, also what libraries make; what an earlier run
//! left open is closed.
//! Never: changes the mode of anything that is not Gatewatch's own.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};

/// What Gatewatch keeps in a data folder.
const OURS: [&str; 10] = [
    "follow",
    "keys",
    "lake",
    "lock",
    "replayed",
    "spool",
    "state.db",
    "state.db-wal",
    "state.db-shm",
    ".gatewatch-demo",
];
const STATE: &str = "state.db";

/// Makes the data folder, or closes what is open of an existing one. `all` says that everything the process writes lies
/// below it; a lake in another folder keeps the caller's umask, for other programs may have to read it.
pub fn data_folder(folder: &Path, all: bool) -> anyhow::Result<()> {
    if all {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    }
    close(folder).with_context(|| folder.display().to_string())?;
    // The database library makes its side files with the mode of the file that is there.
    let state = folder.join(STATE);
    if !all && !state.exists() {
        let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&state);
        made.map(drop).with_context(|| state.display().to_string())?;
    }
    Ok(())
}

/// Held for as long as the service runs: two of them would read each other's records and write over each other's positions.
pub fn lock(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join("lock");
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = opened.with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            bail!("{}: another service has this data_dir open; expected one service for each data_dir", path.display())
        }
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn close(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut only_ours = true;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let ours = entry.file_name().to_str().is_some_and(is_ours);
        only_ours &= ours;
        if ours && !entry.file_type()?.is_symlink() {
            keep_private(&entry.path())?;
        }
    }
    if only_ours {
        keep_private(folder)?;
    }
    Ok(())
}

/// What is last read of a topic has a file for each source (`ingest::kafka`).
fn is_ours(name: &str) -> bool {
    OURS.contains(&name) || (name.starts_with("kafka-") && name.ends_with(".marks"))
}

fn keep_private(path: &Path) -> io::Result<()> {
    let meta = match fs::metadata(path) {
        // A side file of the database that was closed since the folder was listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        meta => meta?,
    };
    if meta.mode() & 0o077 == 0 {
        return Ok(());
    }
    let mode = if meta.is_dir() { 0o700 } else { 0o600 };
    match fs::set_permissions(path, Permissions::from_mode(mode)) {
        // Somebody else's folder that we may use, as a volume of a container: what is made in it is private.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            tracing::warn!(path = %path.display(), mode = format!("{:04o}", meta.mode() & 0o7777), "others can open this");
            Ok(())
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").mode() & 0o777
    }

    #[test]
    fn a_data_folder_belongs_to_one_service() {
        let folder = tempfile::tempdir().expect("a folder");
        let held = lock(folder.path()).expect("free");
        let error = lock(folder.path()).expect_err("held").to_string();
        assert!(error.contains("another service has this data_dir open"), "{error}");
        drop(held);
        lock(folder.path()).expect("free again");
    }

    #[test]
    fn what_goes_while_the_folder_is_looked_through_is_no_error() {
        let folder = tempfile::tempdir().expect("a folder");
        keep_private(&folder.path().join("state.db-wal")).expect("gone");
    }

    #[test]
    fn an_open_data_folder_is_closed_and_strangers_things_are_left_alone() {
        let parent = tempfile::tempdir().expect("a folder");
        let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
        let folder = parent.path().join("data");
        data_folder(&folder, false).expect("made");
        assert_eq!((mode(&folder), mode(&folder.join(STATE))), (0o700, 0o600));

        fs::create_dir(folder.join("lake")).expect("made");
        for (path, mode) in [(&*folder, 0o755), (&folder.join("lake"), 0o755), (&folder.join(STATE), 0o644)] {
            open(path, mode);
        }
        data_folder(&folder, false).expect("closed");
        assert_eq!((mode(&folder), mode(&folder.join("lake")), mode(&folder.join(STATE))), (0o700, 0o700, 0o600));

        let tool = folder.join("tool.sh");
        fs::write(&tool, "").expect("made");
        for (path, mode) in [(&*folder, 0o755), (&tool, 0o755), (&folder.join("lake"), 0o755)] {
            open(path, mode);
        }
        data_folder(&folder, false).expect("closed");
        assert_eq!((mode(&folder), mode(&tool), mode(&folder.join("lake"))), (0o755, 0o755, 0o700));
    }
}
