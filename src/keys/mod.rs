//! The keys of tokens and seals: from the configuration by reference, or made once and kept beside the data.
//!
//! Promises: a made key is random, readable by its owner alone, and the same on the next run, so tokens stay equal.
//! Never: prints a key.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use aws_lc_rs::digest;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use schemas::Keys;

use crate::config::{self, KeyRef, KeysSection};

/// Names the key that is given in the environment, for one-off runs.
const TOKEN_VARIABLE: &str = "GATEWATCH_TOKEN_KEY";
const KEY_BYTES: usize = 32;

/// The keys of the service.
pub fn from_config(section: &KeysSection, data_dir: &Path) -> anyhow::Result<Keys> {
    let keys = match &section.token {
        Some(key) => Keys::new(&key.id, config::resolve(&key.secret).context("keys.token")?.as_bytes()),
        None => of_data_dir(data_dir)?,
    };
    match &section.seal {
        None => Ok(keys),
        Some(key) => Ok(keys.with_seal(&key.id, &seal_bytes(key)?)),
    }
}

/// Finds what is wrong with the configured keys.
pub fn check(section: &KeysSection) -> anyhow::Result<()> {
    if let Some(key) = &section.token {
        config::resolve(&key.secret).context("keys.token")?;
    }
    section.seal.as_ref().map_or(Ok(()), |key| seal_bytes(key).map(drop))
}

fn seal_bytes(key: &KeyRef) -> anyhow::Result<[u8; KEY_BYTES]> {
    let text = config::resolve(&key.secret).context("keys.seal")?;
    let decoded = || BASE64_STANDARD.decode(&text).ok()?.try_into().ok();
    hex(&text).or_else(decoded).context("keys.seal: expected 32 bytes as 64 hexadecimal digits or in base64")
}

/// What tells keys apart that nobody named: tokens of two keys must not look alike.
fn id_of(key: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, key);
    hash.as_ref()[..4].iter().fold("k".to_owned(), |id, byte| id + &format!("{byte:02x}"))
}

/// The key of a data folder: from the environment, else the folder's own, made when it has none yet.
pub fn of_data_dir(data_dir: &Path) -> anyhow::Result<Keys> {
    if let Some(keys) = from_environment() {
        return Ok(keys);
    }
    let path = data_dir.join("keys").join("token.key");
    if !path.exists() {
        make(&path)?;
    }
    let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    let Some(key) = hex(text.trim_end()) else {
        bail!("{}: is not a key; expected 64 hexadecimal digits", path.display());
    };
    Ok(Keys::new(&id_of(&key), &key))
}

/// A key for a run that keeps nothing: from the environment, else random and forgotten.
pub fn of_the_moment() -> anyhow::Result<Keys> {
    match from_environment() {
        Some(keys) => Ok(keys),
        None => Ok(Keys::new("k0", &random()?)),
    }
}

fn from_environment() -> Option<Keys> {
    config::environment(TOKEN_VARIABLE).map(|secret| Keys::new(&id_of(secret.as_bytes()), secret.as_bytes()))
}

fn random() -> anyhow::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut key).map_err(|_| anyhow::anyhow!("the system's random numbers are not available"))?;
    Ok(key)
}

fn make(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().expect("the key path has a folder");
    fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    let text: String = random()?.iter().map(|byte| format!("{byte:02x}")).collect();
    // Whole or not at all: a crash here must not leave half a key behind.
    let unfinished = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path).with_context(|| format!("{}", path.display()))
}

fn hex(text: &str) -> Option<[u8; KEY_BYTES]> {
    if text.len() != KEY_BYTES * 2 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; KEY_BYTES];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}
