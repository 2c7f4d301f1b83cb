//! The key that signs the audit chain (ed25519), and the public keys that are given to whoever checks it.
//!
//! `audit.key` is the private key (PKCS#8 in PEM, for its owner alone), made once; `audit.pub` lists its public key first
//! and every earlier one after it. OpenSSL reads both.
//!
//! Promises: of several processes that make the key at once one wins and all use the winner's. A public key that was
//! listed stays listed.
//! Never: prints a private key.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use aws_lc_rs::digest;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::file;

/// What stands before the 32 bytes of an ed25519 key in DER.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";
/// Keys of one file.
const KEYS_MAX: usize = 1_000;

/// A key that signs.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// A key by which a signature is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub bytes: [u8; 32],
}

impl SigningKey {
    /// The key of a folder; `None` when there is none.
    pub fn read(folder: &Path) -> anyhow::Result<Option<SigningKey>> {
        let path = private_file(folder);
        match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.map(drop).with_context(|| path.display().to_string())?,
        }
        file::check_private(&path)?;
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let wrong = || anyhow!("{}: is no key; expected an ed25519 key as PKCS#8 in PEM", path.display());
        let der = blocks(&text, PRIVATE).and_then(|mut found| found.pop()).ok_or_else(wrong)?;
        SigningKey::of(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| wrong())?).map(Some)
    }

    /// The key of a folder, made now when there is none, with its public key listed beside it.
    pub fn read_or_make(folder: &Path) -> anyhow::Result<SigningKey> {
        let key = match SigningKey::read(folder)? {
            Some(key) => key,
            None => {
                let path = private_file(folder);
                file::put_once(&path, generate()?.pem()?.as_bytes())
                    .with_context(|| format!("making the key {}", path.display()))?;
                let made = SigningKey::read(folder)?;
                made.with_context(|| format!("{}: went away as it was made", path.display()))?
            }
        };
        list(folder, key.public())?;
        Ok(key)
    }

    /// A new key that is not in the folder yet; its public key is listed before anything is signed with it.
    pub fn next(folder: &Path) -> anyhow::Result<SigningKey> {
        let key = generate()?;
        list(folder, key.public())?;
        Ok(key)
    }

    /// Takes the place of the folder's key.
    pub fn install(&self, folder: &Path) -> anyhow::Result<()> {
        file::replace(&private_file(folder), self.pem()?.as_bytes(), 0o600)
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    fn of(pair: Ed25519KeyPair) -> anyhow::Result<SigningKey> {
        let bytes = pair.public_key().as_ref().try_into().context("an ed25519 key has 32 bytes")?;
        Ok(SigningKey { pair, public: PublicKey { bytes } })
    }

    fn pem(&self) -> anyhow::Result<String> {
        let der = self.pair.to_pkcs8v1().map_err(|_| anyhow!("the key cannot be written"))?;
        Ok(block(PRIVATE, der.as_ref()))
    }
}

impl PublicKey {
    /// The first 16 hexadecimal digits of the SHA-256 of its 32 bytes.
    pub fn id(&self) -> String {
        file::digits(&digest::digest(&digest::SHA256, &self.bytes).as_ref()[..8])
    }

    pub fn base64(&self) -> String {
        BASE64_STANDARD.encode(self.bytes)
    }

    pub fn from_base64(text: &str) -> Option<PublicKey> {
        Some(PublicKey { bytes: BASE64_STANDARD.decode(text).ok()?.try_into().ok()? })
    }

    /// Whether the signature is by this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.bytes).verify(message, signature).is_ok()
    }

    pub fn pem(&self) -> String {
        let der = [SPKI_PREFIX.as_slice(), &self.bytes].concat();
        format!("key {}\n{}", self.id(), block(PUBLIC, &der))
    }

    /// The public keys of a text, in order.
    pub fn parse_all(text: &str) -> anyhow::Result<Vec<PublicKey>> {
        let wrong = || anyhow!("is no list of public keys; expected ed25519 keys in PEM, as audit.pub has them");
        let found = blocks(text, PUBLIC).ok_or_else(wrong)?;
        let key = |der: &Vec<u8>| {
            let bytes = der.strip_prefix(&SPKI_PREFIX)?;
            Some(PublicKey { bytes: bytes.try_into().ok()? })
        };
        let keys: Option<Vec<PublicKey>> = found.iter().map(key).collect();
        keys.filter(|keys| !keys.is_empty()).ok_or_else(wrong)
    }

    /// The public keys in a file.
    pub fn read_all(path: &Path) -> anyhow::Result<Vec<PublicKey>> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        PublicKey::parse_all(&text).with_context(|| path.display().to_string())
    }
}

fn generate() -> anyhow::Result<SigningKey> {
    SigningKey::of(Ed25519KeyPair::generate().map_err(|_| anyhow!("the system's random numbers are not available"))?)
}

/// Puts a public key first in the list, whatever else is in it.
fn list(folder: &Path, key: &PublicKey) -> anyhow::Result<()> {
    let path = public_file(folder);
    let mut keys = match path.exists() {
        true => PublicKey::read_all(&path)?,
        false => Vec::new(),
    };
    if keys.first() == Some(key) {
        return Ok(());
    }
    keys.retain(|listed| listed != key);
    keys.insert(0, key.clone());
    if keys.len() > KEYS_MAX {
        bail!("{}: more than {KEYS_MAX} keys", path.display());
    }
    let text: String = keys.iter().map(PublicKey::pem).collect();
    file::replace(&path, text.as_bytes(), 0o644)
}

/// Where the private key is.
pub fn private_file(folder: &Path) -> PathBuf {
    folder.join("audit.key")
}

/// Where the public keys are.
pub fn public_file(folder: &Path) -> PathBuf {
    folder.join("audit.pub")
}

fn block(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
}

/// What the blocks of this label hold; `None` when one is broken.
fn blocks(text: &str, label: &str) -> Option<Vec<Vec<u8>>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let inside = |rest: &str| {
        let body: String = rest.split_once(&end)?.0.split_whitespace().collect();
        BASE64_STANDARD.decode(body).ok()
    };
    text.split(&begin).skip(1).take(KEYS_MAX + 1).map(inside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_key_is_made_once_and_its_public_key_is_listed() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("keys");
        assert!(SigningKey::read(&folder).expect("no key").is_none());
        let makers: Vec<_> = (0..6)
            .map(|_| {
                let folder = folder.clone();
                std::thread::spawn(move || SigningKey::read_or_make(&folder).expect("made").public().clone())
            })
            .collect();
        let made: Vec<PublicKey> = makers.into_iter().map(|maker| maker.join().expect("no panic")).collect();
        assert!(made.iter().all(|key| *key == made[0]));
        assert_eq!(PublicKey::read_all(&public_file(&folder)).expect("listed"), made[..1]);
        assert_eq!(fs::metadata(private_file(&folder)).expect("there").mode() & 0o777, 0o600);
        let mut names: Vec<_> =
            fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        assert_eq!(names, ["audit.key", "audit.pub"]);
    }

    #[test]
    fn a_signature_is_by_one_key_over_one_message() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = SigningKey::read_or_make(folder.path()).expect("made");
        let new = SigningKey::next(folder.path()).expect("made");
        new.install(folder.path()).expect("installed");
        let now = SigningKey::read(folder.path()).expect("read").expect("there");
        assert_eq!(now.public(), new.public());
        let listed = PublicKey::read_all(&public_file(folder.path())).expect("listed");
        assert_eq!(listed, [new.public().clone(), old.public().clone()]);
        let signature = old.sign(b"message");
        assert!(listed[1].verifies(b"message", &signature));
        assert!(!listed[0].verifies(b"message", &signature) && !listed[1].verifies(b"messages", &signature));
        assert_eq!(PublicKey::from_base64(&listed[0].base64()).as_ref(), Some(&listed[0]));
    }
}
