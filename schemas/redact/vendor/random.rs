//! Was this made by a generator or by a person? Keys are told from words, slugs and names of files by how letters and
//! digits follow each other.
//!
//! Promises: looks at 64 bytes at most; no allocation.
//! Never: finds a number of digits alone random: that is what most numbers are.

/// Bytes that are looked at.
const LOOKED_AT: usize = 64;
/// Shorter pieces between separators say nothing: `mlx`, `q4`, `v2`.
const PIECE_MIN: usize = 6;

/// Per letter, the letters that often follow it in words and names.
const FOLLOWERS: [&str; 26] = [
    "bcdfgiklmnprstuvwy",
    "aeilorsuy",
    "acehiklorstuy",
    "adegilorsuvy",
    "acdefgilmnpqrstvwxy",
    "aefilortu",
    "aeghilnorsuy",
    "aeiortuy",
    "abcdefgklmnoprstvz",
    "aeosu",
    "einsaoy",
    "adefiklostuvy",
    "abeimopsuy",
    "acdefgiklnostuvy",
    "abcdfgiklmnoprstuvwxy",
    "adehiloprstuy",
    "u",
    "acdegiklmnorstuvy",
    "acehiklmnopqstuwy",
    "acehilmorstuwy",
    "abcdegilmnprstx",
    "aeio",
    "aehinorsw",
    "aeiptm",
    "aeimnops",
    "aeioz",
];

static COMMON: [u32; 26] = common();

const fn common() -> [u32; 26] {
    let mut table = [0u32; 26];
    let mut i = 0;
    while i < 26 {
        let followers = FOLLOWERS[i].as_bytes();
        let mut j = 0;
        while j < followers.len() {
            table[i] |= 1 << (followers[j] - b'a');
            j += 1;
        }
        i += 1;
    }
    table
}

/// Does `text` look generated? `piece_min`: so long must its longest run of letters and digits be.
pub(crate) fn looks_random(text: &[u8], piece_min: usize) -> bool {
    let text = &text[..text.len().min(LOOKED_AT)];
    let (mut odd, mut common, mut longest) = (0u32, 0u32, 0usize);
    for piece in text.split(|b| !b.is_ascii_alphanumeric()) {
        longest = longest.max(piece.len());
        if piece.len() >= PIECE_MIN {
            let (piece_odd, piece_common) = pairs(piece);
            odd += piece_odd;
            common += piece_common;
        }
    }
    longest >= piece_min && odd >= 4 && odd * 20 >= common * 9
}

/// Pairs of neighbours that words do not have, and those that they have.
fn pairs(piece: &[u8]) -> (u32, u32) {
    let (mut odd, mut common) = (0, 0);
    for pair in piece.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        match (a.is_ascii_digit(), b.is_ascii_digit()) {
            (true, true) => {}
            (false, false) if a.is_ascii_lowercase() && b.is_ascii_uppercase() => {}
            (false, false) => {
                let (a, b) = (a.to_ascii_lowercase() - b'a', b.to_ascii_lowercase() - b'a');
                if COMMON[usize::from(a)] >> b & 1 == 1 { common += 1 } else { odd += 1 }
            }
            _ => odd += 1,
        }
    }
    (odd, common)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_look_random_and_words_do_not() {
        for key in [
            "pPWzUB4q60sskDI1EDL0Y6",
            "e0b6e9aba45ee6ebc57f4590641e1f03",
            "kd8sjw2mxq09vbtz",
            "QZXWKPRTVBNMLKJH",
            "na1-4b1c9f0e-77d2-4a6b-9c3e-2f8d1a5b6c7d",
            "xkqjzvwpbtrmhgfd",
        ] {
            assert!(looks_random(key.as_bytes(), 10), "{key}");
        }
        for word in [
            "live_migration_of_disks",
            "config_registry_http_proxy",
            "package-version-2024-01-15",
            "configHttpProxyPort",
            "1234567890123456789",
            "hub_download_timeout_seconds",
            "Donaudampfschifffahrt",
            "benachrichtigungen-einstellungen",
            "large-latest-2411",
            "q4_k_m-gguf",
            "international-shipping-rates",
            "",
        ] {
            assert!(!looks_random(word.as_bytes(), 10), "{word}");
        }
    }
}
