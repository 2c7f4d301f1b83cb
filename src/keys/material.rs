//! What a key is made of: read from text, measured, and parsed from what a made key file holds.
//!
//! Promises: a token key has at least 32 bytes that can differ freely: digits of hexadecimal and base64 count for what
//! they stand for. An error says how many there are, never which.
//! Never: reads a file or the environment.

use anyhow::bail;
use aws_lc_rs::digest;
use base64::prelude::{BASE64_STANDARD, Engine as _};

/// Bytes of a key; more are as good.
pub const KEY_BYTES: usize = 32;
/// How to make one.
const HOW_TO_MAKE: &str = "`openssl rand -hex 32` makes one";

/// A key as text or a made file has it.
pub struct Material {
    /// What stands before its tokens, when the text says so.
    pub id: Option<String>,
    pub bytes: Vec<u8>,
}

impl Material {
    /// The token key that a text is. `id:` and 64 hexadecimal digits, as made key files have it, are the digits' bytes;
    /// any other text is a key as it stands.
    pub fn of_token(text: &str) -> anyhow::Result<Material> {
        if let Some(made) = Material::made(text) {
            return Ok(made);
        }
        let strength = strength(text);
        if strength < KEY_BYTES {
            bail!("a key of {strength} bytes; expected at least {KEY_BYTES}, all random; {HOW_TO_MAKE}");
        }
        Ok(Material { id: None, bytes: text.as_bytes().to_vec() })
    }

    /// A key with its id, as made key files have them.
    pub fn made(text: &str) -> Option<Material> {
        let (id, digits) = text.split_once(':')?;
        let bytes = hex(digits)?;
        is_id(id).then(|| Material { id: Some(id.to_owned()), bytes: bytes.to_vec() })
    }

    /// What a key file of an earlier version holds: digits alone. Its id is derived from them, so that it stays the same.
    pub fn made_before(text: &str) -> Option<Material> {
        hex(text).map(|bytes| Material { id: Some(derived_id(&bytes)), bytes: bytes.to_vec() })
    }
}

/// The sealing key that a text is: exactly 32 bytes.
pub fn seal_bytes(text: &str) -> Option<[u8; KEY_BYTES]> {
    let made = || Material::made(text)?.bytes.try_into().ok();
    hex(text).or_else(|| BASE64_STANDARD.decode(text).ok()?.try_into().ok()).or_else(made)
}

/// Whether this may stand before a token.
pub fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 32 && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// The id of a key that came without one: tokens of two keys must not look alike.
pub fn derived_id(key: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, key);
    hash.as_ref()[..4].iter().fold("k".to_owned(), |id, byte| id + &format!("{byte:02x}"))
}

pub fn hex(text: &str) -> Option<[u8; KEY_BYTES]> {
    if text.len() != KEY_BYTES * 2 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; KEY_BYTES];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}

/// How many bytes a text stands for at most.
fn strength(text: &str) -> usize {
    let unpadded = text.trim_end_matches('=');
    if text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        text.len() / 2
    } else if unpadded.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/-_".contains(&b)) {
        unpadded.len() * 3 / 4
    } else {
        text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_count_for_what_they_stand_for() {
        for (text, bytes) in [
            ("00".repeat(32), 32),
            ("ab".repeat(31), 31),
            ("A1b2".repeat(8), 16),
            ("A1g2".repeat(8), 24),
            ("0123456789abcdefghijklmnopqrstuvwxyzABCDEFG=".to_owned(), 32),
            ("four score and seven years ago our".to_owned(), 34),
            (String::new(), 0),
        ] {
            assert_eq!(strength(&text), bytes, "{text}");
        }
        assert!(Material::of_token("an invented key for tests").is_err());
        assert!(Material::of_token(&"c0".repeat(32)).is_ok_and(|key| key.bytes.len() == 64 && key.id.is_none()));
    }

    #[test]
    fn a_made_key_carries_its_id() {
        let digits = "0f".repeat(32);
        let made = Material::of_token(&format!("k12ab:{digits}")).expect("a made key");
        assert_eq!((made.id.as_deref(), made.bytes), (Some("k12ab"), vec![0x0f; 32]));
        for text in [format!(":{digits}"), format!("k 1:{digits}"), format!("k1:{}", &digits[2..]), digits.clone()] {
            assert!(Material::made(&text).is_none(), "{text}");
        }
        let before = Material::made_before(&digits).expect("an old key file");
        assert_eq!((before.id, before.bytes), (Some(derived_id(&[0x0f; 32])), vec![0x0f; 32]));
    }

    #[test]
    fn a_seal_key_is_32_bytes_in_one_of_three_spellings() {
        assert_eq!(seal_bytes(&"07".repeat(32)), Some([7; 32]));
        assert_eq!(seal_bytes(&BASE64_STANDARD.encode([7; 32])), Some([7; 32]));
        assert_eq!(seal_bytes(&format!("s1:{}", "07".repeat(32))), Some([7; 32]));
        assert_eq!(seal_bytes("/root"), None);
        assert_eq!(seal_bytes(&"07".repeat(31)), None);
    }
}
