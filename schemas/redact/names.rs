//! What the name of a key, header, flag, element or field says of its value: split into words, judged over the words.
//!
//! Promises: bounded work per name; `X-Api-Key`, `x_api_keys`, `XAPIKey2` and `user[apiKey]` are one. Names that were seen
//! before cost one comparison.
//! Never: looks at the value; the caller does where the answer is not certain.

use super::classes::Class;
use super::rules;
use super::words::{self, ABOUT, HARMLESS, NAME, NEUTRAL, STRONG, TELLING, VALUE, WEAK, Word};

/// What a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Nothing,
    /// The value is a secret.
    Secret(Class),
    /// It is one unless it is a plain word or a small number.
    Perhaps(Class),
    /// It is one if it looks drawn by a machine.
    Hardly(Class),
    /// The value is itself a name.
    Name,
    /// The value belongs to the name beside it.
    Value,
}

/// Bytes of a name that are looked at; of a longer one the last ones.
pub(crate) const NAME_BYTES_MAX: usize = 64;
const WORDS_MAX: usize = 12;

/// What names said before, at places chosen by hash; and the names of the configuration.
#[derive(Default)]
pub(crate) struct Memo {
    places: Vec<(u8, [u8; 24], Says)>,
    own: Vec<(Vec<u8>, Class)>,
}

impl Memo {
    const PLACES: usize = 512;

    pub(crate) fn new(own: Vec<(Vec<u8>, Class)>) -> Memo {
        Memo { places: Vec::new(), own }
    }

    #[inline]
    pub(crate) fn says(&mut self, name: &[u8]) -> Says {
        if name.len() > 24 || rules::any_out() {
            return self.read(name);
        }
        if self.places.is_empty() {
            self.places = vec![(0, [0; 24], Says::Nothing); Self::PLACES];
        }
        let hash = name.iter().fold(name.len(), |hash, &b| hash.wrapping_mul(31).wrapping_add(usize::from(b)));
        let place = (hash ^ (hash >> 9)) % Self::PLACES;
        let (length, text, known) = &mut self.places[place];
        if usize::from(*length) != name.len() || text[..name.len()] != *name {
            *length = name.len() as u8;
            text[..name.len()].copy_from_slice(name);
            let said = self.read(name);
            self.places[place].2 = said;
            return said;
        }
        *known
    }

    fn read(&self, name: &[u8]) -> Says {
        if !self.own.is_empty() {
            let letters = super::policy::letters(without_operator(name));
            let last = name.iter().rposition(|&b| b == b'.' || b == b'[').map(|i| super::policy::letters(&name[i..]));
            let is = |own: &Vec<u8>| *own == letters || last.as_ref() == Some(own);
            if let Some((_, class)) = self.own.iter().find(|(key, _)| is(key)) {
                return Says::Secret(*class);
            }
        }
        says(name)
    }
}

/// The words of a name, in lower case.
struct Words {
    bytes: [u8; NAME_BYTES_MAX * 2],
    ends: [u8; WORDS_MAX],
    count: usize,
}

impl Words {
    fn get(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { usize::from(self.ends[i - 1]) };
        &self.bytes[start..usize::from(self.ends[i])]
    }

    /// Words `i` to `j` in one piece.
    fn joined(&self, i: usize, j: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { usize::from(self.ends[i - 1]) };
        &self.bytes[start..usize::from(self.ends[j])]
    }
}

fn split(name: &[u8]) -> Words {
    let name = &name[name.len().saturating_sub(NAME_BYTES_MAX)..];
    let lowered = lower(name);
    let mut words = Words { bytes: [0; NAME_BYTES_MAX * 2], ends: [0; WORDS_MAX], count: 0 };
    let (mut at, mut open) = (0, 0);
    for (i, &b) in name.iter().enumerate() {
        let letter = b.is_ascii_alphanumeric() || b >= 0x80;
        let last = i.checked_sub(1).map_or(b' ', |i| name[i]);
        let next = name.get(i + 1).copied().unwrap_or(b' ');
        let step = b.is_ascii_uppercase()
            && (last.is_ascii_lowercase() || (last.is_ascii_uppercase() && next.is_ascii_lowercase()))
            || b.is_ascii_digit() != last.is_ascii_digit();
        if (!letter || step) && at > open {
            close(&mut words, at, &mut open);
        }
        if letter {
            words.bytes[at] = lowered.as_ref().map_or(b.to_ascii_lowercase(), |lowered| lowered[i]);
            at += 1;
        }
    }
    if at > open {
        close(&mut words, at, &mut open);
    }
    words
}

fn close(words: &mut Words, at: usize, open: &mut usize) {
    if words.count == WORDS_MAX {
        // A longer name: its last words are what counts.
        let first = usize::from(words.ends[0]);
        words.bytes.copy_within(first..at, 0);
        words.ends.copy_within(1.., 0);
        words.ends.iter_mut().for_each(|end| *end = end.saturating_sub(first as u8));
        words.count -= 1;
    }
    words.ends[words.count] = at as u8;
    words.count += 1;
    *open = at;
}

/// A name with letters beyond ASCII in lower case, where that has the same length.
fn lower(name: &[u8]) -> Option<Vec<u8>> {
    if name.is_ascii() {
        return None;
    }
    let text = std::str::from_utf8(name).ok()?.to_lowercase();
    (text.len() == name.len()).then(|| text.into_bytes())
}

/// What a name says, by its words. Of `x.key` and `x[key]`, where `x` says nothing, the last part does.
pub(crate) fn says(name: &[u8]) -> Says {
    let name = without_operator(name);
    let said = says_whole(name);
    let last = name.iter().rposition(|&b| b == b'.' || b == b'[').map(|i| &name[i + 1..]);
    match (said, last) {
        (Says::Hardly(class), Some(last)) if class != Class::PHONE => says_whole(last),
        _ => said,
    }
}

fn says_whole(name: &[u8]) -> Says {
    let mut words = split(name);
    if words.count == 0 {
        return Says::Nothing;
    }
    let whole = words.joined(0, words.count - 1);
    if let Some(word) = words::get(whole) {
        if word.flags & STRONG != 0 {
            return Says::Secret(word.class);
        }
        if word.flags & (NAME | VALUE) != 0 && word.flags & WEAK == 0 {
            return if word.flags & NAME != 0 { Says::Name } else { Says::Value };
        }
    }
    if words.count == WORDS_MAX {
        words.count = WORDS_MAX - 1;
    }
    let mut parts: Vec<Word> = Vec::new();
    let mut i = 0;
    while i < words.count {
        i += read_word(&words, i, &mut parts);
    }
    judge(&parts).unwrap_or_else(|| ending(words.joined(0, words.count - 1)))
}

/// `password[$eq]`, `password[]` and `password[0]` are about the password; so is `password.value`.
fn without_operator(mut name: &[u8]) -> &[u8] {
    while let Some(open) = name.iter().rposition(|&b| b == b'[' || b == b'.') {
        let part = &name[open + 1..];
        let part = part.strip_suffix(b"]").unwrap_or(part);
        if open == 0 || !(part.is_empty() || part[0] == b'$' || part.iter().all(u8::is_ascii_digit)) {
            break;
        }
        name = &name[..open];
    }
    name
}

const UNKNOWN: Word = Word { flags: 0, class: Class::SECRET, place: u16::MAX };
const NUMBER: Word = Word { flags: NEUTRAL, class: Class::SECRET, place: u16::MAX };

/// Reads the word at `i`, joined with the next where both are one (`pass word`, `api key`); how many words that were.
fn read_word(words: &Words, i: usize, parts: &mut Vec<Word>) -> usize {
    for last in [i + 2, i + 1].into_iter().filter(|&last| last < words.count) {
        if let Some(word) = words::get(words.joined(i, last))
            && word.flags & STRONG != 0
        {
            parts.push(word);
            return last - i + 1;
        }
    }
    let word = words.get(i);
    match words::get(word) {
        Some(known) => parts.push(known),
        None if word.iter().all(u8::is_ascii_digit) => parts.push(NUMBER),
        None => segment(word, parts),
    }
    1
}

/// Shortest word that is looked for inside another.
const INNER_MIN: usize = 3;

/// A word made of several (`accesstoken`, `clientsecret`): all of it must be known words, one of them a noun.
fn segment(word: &[u8], parts: &mut Vec<Word>) {
    let length = word.len();
    // The end of the last word on the best way to each place; fewest words win.
    let mut best = [(u8::MAX, 0u8); NAME_BYTES_MAX * 2 + 1];
    best[0] = (0, 0);
    for end in INNER_MIN..=length {
        for start in end.saturating_sub(20)..=end - INNER_MIN {
            let count = best[start].0;
            if count != u8::MAX && count + 1 < best[end].0 && words::get(&word[start..end]).is_some() {
                best[end] = (count + 1, start as u8);
            }
        }
    }
    if best[length].0 == u8::MAX {
        parts.push(UNKNOWN);
        return;
    }
    let (from, mut end) = (parts.len(), length);
    while end > 0 {
        let start = usize::from(best[end].1);
        parts.extend(words::get(&word[start..end]));
        end = start;
    }
    parts[from..].reverse();
    if !parts[from..].iter().any(|w| w.flags & (STRONG | WEAK) != 0) {
        parts.truncate(from);
        parts.push(UNKNOWN);
    }
}

fn judge(parts: &[Word]) -> Option<Says> {
    let is_noun = |w: &Word| w.flags & (STRONG | WEAK) != 0;
    // What stands behind the noun and changes nothing may look like a noun itself: `password_hash`, `token_sign`.
    let strong = parts.iter().rposition(|w| w.flags & STRONG != 0);
    let last = parts.iter().rposition(is_noun)?;
    let at = match strong {
        Some(strong) if parts[strong + 1..].iter().all(|w| w.flags & (NEUTRAL | WEAK) != 0) => strong,
        _ => last,
    };
    let noun = parts[at];
    let (before, after) = (&parts[..at], &parts[at + 1..]);
    let has = |words: &[Word], flag: u8| words.iter().any(|w| w.flags & flag != 0);
    if after.iter().any(|w| w.flags & ABOUT != 0 && w.flags & (NEUTRAL | WEAK | STRONG) == 0) {
        return Some(Says::Nothing);
    }
    let nearest = before.iter().rev().find(|w| w.flags & NEUTRAL == 0 || w.flags & HARMLESS != 0);
    let bendable =
        matches!(noun.class, Class::TOKEN | Class::API_KEY | Class::CODE | Class::SESSION | Class::SIGNATURE);
    if bendable
        && nearest.is_some_and(|w| w.flags & HARMLESS != 0 && w.flags & (STRONG | WEAK) == 0 && w.flags & TELLING == 0)
    {
        return Some(Says::Nothing);
    }
    if noun.flags & STRONG != 0 {
        return Some(Says::Secret(noun.class));
    }
    if noun.class == Class::PHONE {
        return Some(Says::Hardly(Class::PHONE));
    }
    if has(before, TELLING | STRONG) || before.iter().any(is_noun) {
        return Some(Says::Secret(noun.class));
    }
    let bare = before.iter().chain(after).all(|w| w.flags & NEUTRAL != 0);
    let rarely =
        matches!(noun.class, Class::TOKEN | Class::SECRET) || (noun.class == Class::SIGNATURE && !is_signature(noun));
    Some(if bare && !rarely { Says::Perhaps(noun.class) } else { Says::Hardly(noun.class) })
}

/// `sig` and `sign` name signatures; `hash`, `mac`, `digest` and `checksum` mostly something public.
fn is_signature(noun: Word) -> bool {
    words::all().get(usize::from(noun.place)).is_some_and(|word| word.starts_with("sig"))
}

/// Endings that name a secret whatever stands before them in the same word.
#[rustfmt::skip]
pub(crate) static ENDINGS: &[(&str, Class)] = &[
    ("password", Class::PASSWORD), ("passwd", Class::PASSWORD), ("passphrase", Class::PASSWORD), ("passwort", Class::PASSWORD),
    ("kennwort", Class::PASSWORD), ("passcode", Class::PASSWORD), ("secret", Class::SECRET), ("token", Class::TOKEN),
    ("apikey", Class::API_KEY), ("sessionid", Class::SESSION), ("sessid", Class::SESSION), ("credentials", Class::SECRET),
    ("signature", Class::SIGNATURE), ("privatekey", Class::SECRET), ("secretkey", Class::SECRET), ("accesskey", Class::SECRET),
    ("jwt", Class::TOKEN), ("cookie", Class::COOKIE),
];

fn ending(name: &[u8]) -> Says {
    let on = |place: usize| rules::on(rules::Kind::Ending, place);
    let mut known = ENDINGS.iter().enumerate().filter(|(place, _)| on(*place));
    known
        .find(|(_, (end, _))| name.ends_with(end.as_bytes()))
        .map_or(Says::Nothing, |(_, (_, class))| Says::Secret(*class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for (name, class) in [
            ("password", Class::PASSWORD),
            ("password1", Class::PASSWORD),
            ("pwd2", Class::PASSWORD),
            ("userPasswordConfirmation", Class::PASSWORD),
            ("user[password]", Class::PASSWORD),
            ("password[$eq]", Class::PASSWORD),
            ("PassWord", Class::PASSWORD),
            ("mdp", Class::PASSWORD),
            ("db-pass", Class::PASSWORD),
            ("api_keys", Class::API_KEY),
            ("APIkey", Class::API_KEY),
            ("X-Auth-Key", Class::API_KEY),
            ("app_key", Class::API_KEY),
            ("verify_code", Class::CODE),
            ("otp_code", Class::CODE),
            ("accesstoken", Class::TOKEN),
            ("authtoken", Class::TOKEN),
            ("clientsecret", Class::SECRET),
            ("X-Amz-Signature", Class::SIGNATURE),
            ("ASP.NET_SessionId", Class::SESSION),
            ("connect.sid", Class::SESSION),
            ("csrfToken", Class::TOKEN),
            ("aws_secret_access_key", Class::API_KEY),
            ("Пароль", Class::PASSWORD),
            ("oldPasswordHash", Class::PASSWORD),
            ("session_id", Class::SESSION),
        ] {
            assert_eq!(says(name.as_bytes()), Says::Secret(class), "{name}");
        }
        for name in ["code", "session", "key", "sid", "appid", "sign", "auth"] {
            assert!(matches!(says(name.as_bytes()), Says::Perhaps(_)), "{name}: {:?}", says(name.as_bytes()));
        }
    }

    #[test]
    fn names_of_other_things() {
        for name in [
            "page_token",
            "nextToken",
            "next_page_token",
            "continuationToken",
            "country_code",
            "zip_code",
            "zipcode",
            "status_code",
            "sort_key",
            "token_type",
            "password_policy",
            "tokens_used",
            "max_tokens",
            "bypass",
            "compass",
            "monkey",
            "keyboard",
            "mapping",
            "description",
            "author",
            "expires",
            "secret_name",
            "public_key",
            "idempotency_key",
            "disk_live_migration",
            "highs_and_lows",
            "session_count",
            "api_key_id",
            "cursor",
            "page",
            "sort",
            "q",
            "state",
            "user",
            "turkey",
            "passenger",
            "design",
            "campaign",
        ] {
            assert!(
                matches!(says(name.as_bytes()), Says::Nothing | Says::Name | Says::Hardly(_)),
                "{name}: {:?}",
                says(name.as_bytes())
            );
        }
    }
}
