//! Random numbers for the hunt: seeded, and a stream of its own for each label, so that a new sample changes no other.
//!
//! `generate` reads a small language of token shapes: `<class:length>` stands for random characters, the rest for itself.
//! No whole secret stands in the source, and what is made is random: nobody's key.

const SEED: u64 = 0x6a7e_0006_11ea_c0de;

/// Printed by every test; another seed (`GATEWATCH_SEED`, a number) is another hunt.
pub fn seed() -> u64 {
    static READ: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    let read = || std::env::var("GATEWATCH_SEED").ok().map(|text| text.parse().expect("GATEWATCH_SEED is a number"));
    *READ.get_or_init(|| read().unwrap_or(SEED))
}

/// Is it the usual hunt? What leaks by chance leaks in some hunts only.
#[allow(dead_code)] // used by one of the two tests that share this file
pub fn is_usual() -> bool {
    seed() == SEED
}

const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

pub struct Rng(u64);

impl Rng {
    /// The stream of `label`.
    pub fn of(label: &str) -> Rng {
        let hash =
            label.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        Rng(hash ^ seed())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// `length` characters of `alphabet`, beginning and ending with a letter or digit where it has them.
    pub fn text(&mut self, alphabet: &[u8], length: usize) -> String {
        let inner: Vec<u8> = alphabet.iter().copied().filter(u8::is_ascii_alphanumeric).collect();
        let ends = if inner.is_empty() { alphabet.to_vec() } else { inner };
        (0..length)
            .map(|i| if i == 0 || i + 1 == length { *self.pick(&ends) } else { *self.pick(alphabet) } as char)
            .collect()
    }

    pub fn digits(&mut self, length: usize) -> String {
        self.text(b"0123456789", length)
    }

    /// A value as people and programs choose secrets: letters of both cases and digits, certainly some of each.
    pub fn secret(&mut self, length: usize) -> String {
        loop {
            let text = self.text(ALNUM, length);
            let has = |class: fn(&u8) -> bool| text.bytes().filter(class).count() >= length / 8;
            if has(u8::is_ascii_digit) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) {
                return text;
            }
        }
    }
}

pub fn base64url(bytes: &[u8]) -> String {
    data_encoding::BASE64URL_NOPAD.encode(bytes)
}

/// A text of the shape `pattern`, and the random parts of it that must not be seen again.
pub fn generate(pattern: &str, rng: &mut Rng) -> (String, Vec<String>) {
    let mut text = String::new();
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some(open) = rest.find('<') {
        let close = open + rest[open..].find('>').expect("a pattern closes what it opens");
        text.push_str(&rest[..open]);
        let (class, length) = rest[open + 1..close].split_once(':').unwrap_or((&rest[open + 1..close], "0"));
        let part = piece(class, length, rng);
        if part.len() >= 8 && class != "x" {
            parts.push(part.clone());
        }
        if class == "basic" {
            let pair = data_encoding::BASE64.decode(part.as_bytes()).expect("it was encoded here");
            let pair = String::from_utf8(pair).expect("a text was encoded");
            parts.push(pair.rsplit(':').next().expect("a password").to_string());
        }
        text.push_str(&part);
        rest = &rest[close + 1..];
    }
    text.push_str(rest);
    assert!(!parts.is_empty(), "{pattern} has no secret part");
    (text, parts)
}

fn piece(class: &str, length: &str, rng: &mut Rng) -> String {
    let count = || length.parse::<usize>().expect("a length");
    let alphabet: &[u8] = match class {
        "d" => b"0123456789",
        "h" => b"0123456789abcdef",
        "H" => b"0123456789ABCDEF",
        "a" => b"abcdefghijklmnopqrstuvwxyz",
        "l" => b"abcdefghijklmnopqrstuvwxyz0123456789",
        // `x` is random, and no secret: the name of an account, a project.
        "x" => b"abcdefghijkmnpqrstuvwxyz",
        "U" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        "2" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
        "n" => ALNUM,
        "w" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_",
        "b" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        "u" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-",
        "c" => b"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
        "5" => b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
        "g" => {
            let part = |rng: &mut Rng, n| rng.text(b"0123456789abcdef", n);
            let (a, b, c) = (part(rng, 8), part(rng, 4), part(rng, 3));
            return format!("{a}-{b}-4{c}-9{}-{}", part(rng, 3), part(rng, 12));
        }
        // Base64 of a JSON object with a random value.
        "j" => {
            let value = rng.secret(count());
            return base64url(format!(r#"{{"org":"fake","k":"{value}","n":1}}"#).as_bytes());
        }
        "jwt" => {
            let header = base64url(br#"{"alg":"HS256","typ":"JWT"}"#);
            let payload = base64url(format!(r#"{{"sub":"{}","exp":1790000000}}"#, rng.secret(12)).as_bytes());
            return format!("{header}.{payload}.{}", rng.text(b"ABCDEFGHabcdefgh0123456789_-", 43));
        }
        "lines" => return (0..3).map(|_| rng.secret(60)).collect::<Vec<_>>().join("\n"),
        "basic" => {
            let pair = format!("{}:{}", rng.text(b"abcdefghijklmnop", 6), rng.secret(14));
            return data_encoding::BASE64.encode(pair.as_bytes());
        }
        _ => panic!("no class {class} of characters"),
    };
    // Real keys are random: a run that is all letters by chance would be another sample.
    loop {
        let text = rng.text(alphabet, count());
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        if count() < 12 || !alphabet.contains(&b'7') || alphabet.len() <= 10 || digits >= 2 {
            return text;
        }
    }
}
