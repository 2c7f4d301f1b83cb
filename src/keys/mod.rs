//! The keys of tokens, seals and signatures: from the configuration by reference, or made once and kept in a folder of keys.
//!
//! Promises: a made key is random, readable by its owner alone, and the same on the next run, so tokens stay equal. A
//! key that is too short, or a key file that others can read, is refused.
//! Never: prints a key.

mod file;
mod material;
pub mod signing;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use schemas::Keys;

use crate::config::{self, KeyRef, KeysSection};
use crate::ingest::spool::SpoolKey;
use crate::respond::SecretRef;
use material::Material;
pub use material::is_id;

/// Names the key that is given in the environment, for one-off runs.
const TOKEN_VARIABLE: &str = "GATEWATCH_TOKEN_KEY";

/// The keys of the service; made where none are configured.
pub fn from_config(section: &KeysSection, data_dir: &Path) -> anyhow::Result<Keys> {
    let folder = folder(section, data_dir);
    let keys = match given_tokens(section)? {
        Some(keys) => keys,
        None => keys_of(&file::read_or_make(&token_file(&folder), 'k')?),
    };
    let keys = configured_seals(section, keys)?;
    if section.seal.is_empty() && section.seal_rejects {
        return with_made_seal(keys, &file::read_or_make(&seal_file(&folder), 's')?);
    }
    Ok(keys)
}

/// The key of the spools; made when there is none.
pub fn spool(section: &KeysSection, data_dir: &Path) -> anyhow::Result<SpoolKey> {
    let path = spool_file(&folder(section, data_dir));
    let key = file::read_or_make(&path, 'p')?;
    let wrong = || format!("{}: expected a made key, of 32 bytes", path.display());
    let bytes = key.bytes.as_slice().try_into().with_context(wrong)?;
    Ok(SpoolKey { id: key.id.with_context(wrong)?, bytes })
}

/// The key of the links with which people agree to actions; made when there is none.
pub fn approve(section: &KeysSection, data_dir: &Path) -> anyhow::Result<Vec<u8>> {
    Ok(file::read_or_make(&approve_file(&folder(section, data_dir)), 'a')?.bytes)
}

/// The same, where it was made already.
pub fn existing_approve(section: &KeysSection, data_dir: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    Ok(file::read(&approve_file(&folder(section, data_dir)))?.map(|key| key.bytes))
}

/// The keys of a data folder: from the environment, else the folder's own, made when it has none yet.
pub fn of_data_dir(data_dir: &Path) -> anyhow::Result<Keys> {
    from_config(&KeysSection::default(), data_dir)
}

/// The keys there are, without making any: to find tokens and to open what was sealed.
pub fn existing(section: &KeysSection, data_dir: &Path) -> anyhow::Result<Keys> {
    let folder = folder(section, data_dir);
    let made = |path: PathBuf| file::read(&path);
    let keys = match given_tokens(section)? {
        Some(keys) => keys,
        None => match made(token_file(&folder))? {
            Some(key) => keys_of(&key),
            None => {
                bail!("there is no key in {}: nothing was kept there yet, or its keys are elsewhere", folder.display())
            }
        },
    };
    // One that was made before another one was configured opens what it sealed.
    match made(seal_file(&folder))? {
        Some(key) => with_made_seal(configured_seals(section, keys)?, &key),
        None => configured_seals(section, keys),
    }
}

/// A key for a run that keeps nothing: from the environment, else random and forgotten.
pub fn of_the_moment() -> anyhow::Result<Keys> {
    match from_environment()? {
        Some(keys) => Ok(keys),
        None => Ok(Keys::new("k0", &file::random::<{ material::KEY_BYTES }>()?)),
    }
}

/// Finds what is wrong with the keys, configured or made. Makes none.
pub fn check(section: &KeysSection, data_dir: &Path) -> anyhow::Result<()> {
    let folder = folder(section, data_dir);
    let keys = given_tokens(section)?;
    if keys.is_none() {
        file::read(&token_file(&folder))?;
    }
    let keys = configured_seals(section, keys.unwrap_or_else(|| Keys::new("check", b"check")))?;
    if let Some(key) = file::read(&seal_file(&folder))? {
        with_made_seal(keys, &key)?;
    }
    file::read(&spool_file(&folder))?;
    signing::SigningKey::read(&folder)?;
    file::read(&approve_file(&folder))?;
    Ok(())
}

/// What to tell whoever keeps keys in a folder that others may write to: they can put keys of their own there.
pub fn open_folder(section: &KeysSection, data_dir: &Path) -> Option<String> {
    let folder = folder(section, data_dir);
    let mode = std::fs::metadata(&folder).ok()?.mode() & 0o7777;
    let shown = folder.display();
    // With the sticky bit nobody replaces what is another's.
    (mode & 0o022 != 0 && mode & 0o1000 == 0).then(|| {
        format!(
            "the folder of the keys ({shown}) can be written by others than its owner (mode {mode:04o}): they can replace keys; \
             expected 0700: chmod 700 {shown}"
        )
    })
}

/// What to tell whoever keeps keys in the same tree of folders as the lake: one backup holds both.
pub fn beside_the_lake(section: &KeysSection, data_dir: &Path, lake_uri: &str) -> Option<String> {
    if lake_uri.contains("://") && !lake_uri.starts_with("file://") {
        return None;
    }
    let lake = absolute(Path::new(lake_uri.strip_prefix("file://").unwrap_or(lake_uri)));
    let root = lake.parent().filter(|root| root.components().count() > 1).unwrap_or(&lake);
    let folder = folder(section, data_dir);
    let made_token = section.token.is_empty() && config::environment(TOKEN_VARIABLE).is_none();
    let made_seal = section.seal.is_empty() && section.seal_rejects;
    let made = (made_token || made_seal).then(|| folder.clone());
    let files = section.token.iter().chain(&section.seal).filter_map(|key| match &key.secret {
        SecretRef::File(path) => Some(PathBuf::from(path)),
        SecretRef::Env(_) => None,
    });
    let beside = files.chain(made).find(|path| absolute(path).starts_with(root))?;
    Some(format!(
        "the keys ({}) and the lake ({}) are below {}: a backup of it holds both, and who has both can read sealed \
         rejects and test guesses against tokens. Keep the keys apart: move their folder and set keys.dir, or name keys \
         in keys.token and keys.seal",
        beside.display(),
        lake.display(),
        root.display()
    ))
}

fn absolute(path: &Path) -> PathBuf {
    // What does not exist yet is compared as it is written.
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

/// Where made keys are.
pub fn folder(section: &KeysSection, data_dir: &Path) -> PathBuf {
    section.dir.clone().unwrap_or_else(|| data_dir.join("keys"))
}

fn token_file(folder: &Path) -> PathBuf {
    folder.join("token.key")
}

fn seal_file(folder: &Path) -> PathBuf {
    folder.join("seal.key")
}

fn spool_file(folder: &Path) -> PathBuf {
    folder.join("spool.key")
}

fn approve_file(folder: &Path) -> PathBuf {
    folder.join("approve.key")
}

fn keys_of(key: &Material) -> Keys {
    let derived = || material::derived_id(&key.bytes);
    Keys::new(&key.id.clone().unwrap_or_else(derived), &key.bytes)
}

fn with_made_seal(keys: Keys, key: &Material) -> anyhow::Result<Keys> {
    let bytes = key.bytes.as_slice().try_into().context("a made key has 32 bytes")?;
    Ok(keys.with_seal(key.id.as_deref().unwrap_or("seal"), bytes))
}

/// The token keys that somebody named: in the configuration, else in the environment.
fn given_tokens(section: &KeysSection) -> anyhow::Result<Option<Keys>> {
    match configured_tokens(section)? {
        Some(keys) => Ok(Some(keys)),
        None => from_environment(),
    }
}

/// The configured token keys, one after the other; `None` when none are.
fn configured_tokens(section: &KeysSection) -> anyhow::Result<Option<Keys>> {
    let mut in_order: Vec<&KeyRef> = section.token.iter().collect();
    in_order.sort_by_key(|key| key.from_us());
    let mut keys: Option<Keys> = None;
    for key in in_order {
        let material = secret(key).and_then(|text| Material::of_token(&text));
        let material = material.with_context(|| format!("keys.token: {}", key.id))?;
        if let Some(id) = material.id.filter(|id| *id != key.id) {
            bail!(
                "keys.token: {}: its file names it {id}; expected the same id, for it stands before every token",
                key.id
            );
        }
        keys = Some(match keys {
            None => Keys::new(&key.id, &material.bytes),
            Some(keys) => keys.then(key.from_us(), &key.id, &material.bytes),
        });
    }
    Ok(keys.map(|keys| keys.with_overlap(section.overlap.us)))
}

fn configured_seals(section: &KeysSection, keys: Keys) -> anyhow::Result<Keys> {
    section.seal.iter().try_fold(keys, |keys, key| {
        let at = || format!("keys.seal: {}", key.id);
        let text = secret(key).with_context(at)?;
        let bytes = material::seal_bytes(&text).context("expected 32 bytes as 64 hexadecimal digits or in base64");
        Ok(keys.with_seal(&key.id, &bytes.with_context(at)?))
    })
}

/// The text of a key that is named; its file must be for its owner alone.
fn secret(key: &KeyRef) -> anyhow::Result<String> {
    if let SecretRef::File(path) = &key.secret {
        file::check_private(Path::new(path))?;
    }
    config::resolve(&key.secret)
}

fn from_environment() -> anyhow::Result<Option<Keys>> {
    let Some(text) = config::environment(TOKEN_VARIABLE) else { return Ok(None) };
    let key = Material::of_token(&text).with_context(|| format!("the environment variable {TOKEN_VARIABLE}"))?;
    Ok(Some(keys_of(&key)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_of_keys_that_others_can_write_to_is_told_of() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let keys = folder.path().join("keys");
        assert_eq!(open_folder(&KeysSection::default(), folder.path()), None, "there is none yet");
        std::fs::create_dir(&keys).expect("ours");
        for (mode, is_open) in [(0o777, true), (0o770, true), (0o1777, false), (0o755, false), (0o700, false)] {
            std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(mode)).expect("ours");
            let told = open_folder(&KeysSection::default(), folder.path());
            assert_eq!(told.is_some(), is_open, "{mode:04o}: {told:?}");
        }
    }
}
