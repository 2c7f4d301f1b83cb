//! Key files: those a person made, which must be for their owner alone, and those that are made here.
//!
//! Promises: a made key is random, has a random id, and is readable by its owner alone from the moment it exists. Of
//! several processes that make one at the same time one wins, and all of them read the winner's.
//! Never: writes over a key, unless told to; prints one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use super::material::{KEY_BYTES, Material};

/// Longest key file.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Refuses a key file that others may read or write.
pub fn check_private(path: &Path) -> anyhow::Result<()> {
    let meta = fs::metadata(path).with_context(|| path.display().to_string())?;
    if meta.is_file() && meta.mode() & 0o077 != 0 {
        let (mode, path) = (meta.mode() & 0o7777, path.display());
        bail!(
            "{path}: others than its owner can use it (mode {mode:04o}); expected a key for its owner alone: chmod 600 {path}"
        );
    }
    if meta.len() > FILE_BYTES_MAX {
        bail!("{}: {} bytes; expected a key", path.display(), meta.len());
    }
    Ok(())
}

/// The made key at `path`; `None` when there is none.
pub fn read(path: &Path) -> anyhow::Result<Option<Material>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map(drop).with_context(|| path.display().to_string())?,
    }
    check_private(path)?;
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let text = text.trim_end();
    let Some(key) = Material::made(text).or_else(|| Material::made_before(text)) else {
        bail!("{}: is no key; expected an id, a colon and {} hexadecimal digits", path.display(), 2 * KEY_BYTES);
    };
    Ok(Some(key))
}

/// The made key at `path`, made now when there is none; `letter` begins its id.
pub fn read_or_make(path: &Path, letter: char) -> anyhow::Result<Material> {
    if let Some(key) = read(path)? {
        return Ok(key);
    }
    make(path, letter).with_context(|| format!("making the key {}", path.display()))?;
    match read(path)? {
        Some(key) => Ok(key),
        None => bail!("{}: went away as it was made", path.display()),
    }
}

/// Makes the key, unless another process was faster.
fn make(path: &Path, letter: char) -> anyhow::Result<()> {
    let text = format!("{letter}{}:{}\n", digits(&random::<4>()?), digits(&random::<KEY_BYTES>()?));
    put_once(path, text.as_bytes())
}

/// Puts a file there unless there is one, which stays. Whole or not at all: the name appears when the content is on disk.
pub fn put_once(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    put(path, content, 0o600, |unfinished| match fs::hard_link(unfinished, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        done => done,
    })
}

/// Puts a file there in the place of the one that was, whole or not at all.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    put(path, content, mode, |unfinished| fs::rename(unfinished, path))
}

fn put(path: &Path, content: &[u8], mode: u32, place: impl FnOnce(&Path) -> io::Result<()>) -> anyhow::Result<()> {
    let folder = path.parent().context("a key path has a folder")?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(|| folder.display().to_string())?;
    let unfinished = path.with_extension(format!("new-{}", digits(&random::<8>()?)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&unfinished)?;
    let placed = file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| place(&unfinished));
    match fs::remove_file(&unfinished) {
        // It was renamed.
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        removed => removed?,
    }
    placed?;
    File::open(folder)?.sync_all()?;
    tracing::debug!(file = %path.display(), "made a key");
    Ok(())
}

pub fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("the system's random numbers are not available"))?;
    Ok(bytes)
}

pub fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_made_key_is_random_private_and_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys/token.key");
        assert!(read(&path).expect("no key").is_none());
        let made = read_or_make(&path, 'k').expect("made");
        let again = read_or_make(&path, 'k').expect("read");
        assert_eq!((&made.id, &made.bytes), (&again.id, &again.bytes));
        let other = read_or_make(&folder.path().join("other.key"), 'k').expect("made");
        assert!(made.id != other.id && made.bytes != other.bytes);
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("a folder"))), (0o600, 0o700));
        assert_eq!(fs::read_dir(folder.path().join("keys")).expect("a folder").count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_cure() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token.key");
        read_or_make(&path, 'k').expect("made");
        for mode in [0o640, 0o604, 0o620, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
            let error = read(&path).err().expect("refused").to_string();
            assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("ours");
        assert!(read(&path).is_ok());
    }
}
