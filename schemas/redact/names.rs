//! What the name of a key, header, flag, element or field says of its value: split into words, judged over the words.
//!
//! Promises: bounded work per name; `X-Api-Key`, `x_api_keys`, `XAPIKey2` and `user[apiKey]` are one. Names that were seen
//! before cost one comparison.
//! Never: looks at the value; the caller does where the answer is not certain.

use super::classes::Class;
use super::rules;
use super::words::{self, ABOUT, BEHIND, EVERYDAY, HARMLESS, NAME, NEUTRAL, STRONG, TELLING, VALUE, WEAK, Word};

/// What a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Nothing,
    /// The value is a secret.
    Secret(Class),
    /// It is one unless it is a plain word or a small number.
    Perhaps(Class),
    /// It is one unless it is a plain word, without digits: `pin=top`.
    Unless(Class),
    /// It is one if it looks drawn by a machine, be it a UUID: `invite=1b9d...`, and no digest with its algorithm.
    Drawn(Class),
    /// It is one if it looks drawn by a machine, and is no UUID.
    Hardly(Class),
    /// The value is itself a name.
    Name,
    /// The value belongs to the name beside it.
    Value,
}

impl Says {
    /// The class of the secret that may stand under the name.
    pub(crate) fn class(self) -> Option<Class> {
        match self {
            Says::Secret(class)
            | Says::Unless(class)
            | Says::Perhaps(class)
            | Says::Drawn(class)
            | Says::Hardly(class) => Some(class),
            Says::Nothing | Says::Name | Says::Value => None,
        }
    }
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
    // Of letters beyond ASCII.
    let is_capital = |i: usize| {
        let differs = |lowered: &Vec<u8>| lowered[i] != name[i] || lowered.get(i + 1) != name.get(i + 1);
        name[i] >= 0xc0 && lowered.as_ref().is_some_and(differs)
    };
    let mut words = Words { bytes: [0; NAME_BYTES_MAX * 2], ends: [0; WORDS_MAX], count: 0 };
    let (mut at, mut open) = (0, 0);
    let mut was_capital = true;
    for (i, &b) in name.iter().enumerate() {
        let letter = b.is_ascii_alphanumeric() || b >= 0x80;
        let last = i.checked_sub(1).map_or(b' ', |i| name[i]);
        let next = name.get(i + 1).copied().unwrap_or(b' ');
        let step = b.is_ascii_uppercase()
            && (last.is_ascii_lowercase() || (last.is_ascii_uppercase() && next.is_ascii_lowercase()))
            || b.is_ascii_digit() != last.is_ascii_digit()
            || is_capital(i) && !was_capital;
        if !(0x80..0xc0).contains(&b) {
            was_capital = is_capital(i) || b.is_ascii_uppercase();
        }
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
        (Says::Hardly(class) | Says::Drawn(class), Some(last)) if class != Class::PHONE => says_whole(last),
        // `filter[api_key]` asks for what has that key; `page[token]` and `sort[token]` are a page and an order.
        (Says::Nothing, Some(last)) if last.ends_with(b"]") && !orders(name) => match says_whole(last) {
            secret @ Says::Secret(_) => secret,
            _ => said,
        },
        _ => said,
    }
}

/// Is it about which rows come, in which order?
fn orders(name: &[u8]) -> bool {
    let outer = name.split(|&b| b == b'[').next().unwrap_or_default();
    [b"page".as_slice(), b"paging", b"pagination", b"cursor", b"sort", b"sorting", b"order", b"group", b"next", b"prev"]
        .iter()
        .any(|word| outer.eq_ignore_ascii_case(word))
}

fn says_whole(name: &[u8]) -> Says {
    let mut words = split(name);
    if words.count == 0 {
        return Says::Nothing;
    }
    let whole = words.joined(0, words.count - 1);
    if let Some(word) = words::get(whole) {
        if word.flags & STRONG != 0 {
            let is_everyday = word.flags & EVERYDAY != 0;
            return if is_everyday { Says::Unless(word.class) } else { Says::Secret(word.class) };
        }
        // `keyCode`: together they name something else.
        if word.flags == ABOUT {
            return Says::Nothing;
        }
        if word.flags & (NAME | VALUE) != 0 && word.flags & WEAK == 0 {
            return if word.flags & NAME != 0 { Says::Name } else { Says::Value };
        }
    }
    // `magic_link`, `vault_secret_id`, `one_time_link`: of several words, and no name of a secret by itself.
    let mut ends = (2..=words.count.min(3)).filter_map(|n| words::get(words.joined(words.count - n, words.count - 1)));
    if let Some(word) = ends.find(|word| is_drawn(*word)) {
        return Says::Drawn(word.class);
    }
    if words.count == WORDS_MAX {
        words.count = WORDS_MAX - 1;
    }
    let mut parts: Vec<Word> = Vec::new();
    let mut i = 0;
    while i < words.count {
        i += read_word(&words, i, &mut parts);
    }
    let whole = words.joined(0, words.count - 1);
    let said = judge(&parts).unwrap_or_else(|| ending(whole));
    match said {
        Says::Nothing | Says::Hardly(_) if whole.iter().any(u8::is_ascii_digit) => disguised(whole).unwrap_or(said),
        Says::Nothing if is_own_pass(whole) => Says::Unless(Class::PASSWORD),
        said => said,
    }
}

/// `pa55word`, `p4ssw0rd`, `s3cret`: digits that stand for letters.
fn disguised(name: &[u8]) -> Option<Says> {
    let mut letters = [0u8; NAME_BYTES_MAX * 2];
    for (letter, b) in letters.iter_mut().zip(name) {
        *letter = match b {
            b'0' => b'o',
            b'1' => b'i',
            b'3' => b'e',
            b'4' => b'a',
            b'5' => b's',
            b'7' => b't',
            b => *b,
        };
    }
    let name = &letters[..name.len()];
    let noun = words::get(name).filter(|word| word.flags & STRONG != 0).or_else(|| by_ending(name));
    noun.filter(|_| name.len() >= DISGUISED_MIN).map(|word| Says::Secret(word.class))
}

/// Letters of the shortest name that is read so.
const DISGUISED_MIN: usize = 5;

/// `upass`, `ftppass`: one word that ends with `pass`, and is none of English.
fn is_own_pass(name: &[u8]) -> bool {
    let ends: [&[u8]; 34] = [
        b"by",
        b"com",
        b"sur",
        b"tres",
        b"im",
        b"under",
        b"over",
        b"encom",
        b"boarding",
        b"season",
        b"ski",
        b"lift",
        b"battle",
        b"game",
        b"day",
        b"city",
        b"museum",
        b"band",
        b"high",
        b"low",
        b"all",
        b"back",
        b"stage",
        b"hall",
        b"rail",
        b"travel",
        b"train",
        b"bus",
        b"gate",
        b"fly",
        b"out",
        b"fast",
        b"multi",
        b"single",
    ];
    name.strip_suffix(b"pass").is_some_and(|before| !before.is_empty() && !ends.iter().any(|end| before.ends_with(end)))
}

/// The class of a secret that several words with blanks between them name by themselves: `api key`, `mật khẩu`.
pub(crate) fn of_words(name: &[u8]) -> Option<Class> {
    let words = split(name);
    let whole = words.count.checked_sub(1).map(|last| words.joined(0, last))?;
    words::get(whole).filter(|word| word.flags & STRONG != 0 && word.flags & EVERYDAY == 0).map(|word| word.class)
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
        None => unknown(word, parts),
    }
    1
}

/// A word that is in no table: made of known ones, ending like a secret, or a form of a word for a password.
fn unknown(word: &[u8], parts: &mut Vec<Word>) {
    if !segment(word, parts) {
        parts.push(by_ending(word).or_else(|| inflected(word)).unwrap_or(UNKNOWN));
    }
}

/// `lösenordet`, `wachtwoorden`, `паролем`: a word for a password with an ending of its language.
fn inflected(word: &[u8]) -> Option<Word> {
    let longest = word.len().checked_sub(1)?;
    let ending = if word.is_ascii() { INFLECTION_MAX } else { 2 * INFLECTION_MAX };
    let stems = (longest.saturating_sub(ending).max(STEM_MIN)..=longest).rev();
    // `passwordless` is English.
    let is_english = word.starts_with(b"passw") || word.starts_with(b"passp");
    let is_stem = |w: &Word| w.flags & STRONG != 0 && w.flags & EVERYDAY == 0 && w.class == Class::PASSWORD;
    stems.filter(|_| !is_english).filter_map(|length| words::get(&word[..length])).find(is_stem)
}

/// Bytes of the shortest word that is looked for without its ending, and of the longest ending.
const STEM_MIN: usize = 6;
const INFLECTION_MAX: usize = 6;

/// Shortest word that is looked for inside another.
const INNER_MIN: usize = 3;
const INNER_MAX: usize = 20;

/// A word made of several (`accesstoken`, `clientsecret`): all of it must be known words, one of them a noun.
fn segment(word: &[u8], parts: &mut Vec<Word>) -> bool {
    let length = word.len();
    // The end of the last word on the best way to each place; fewest words win.
    let mut best = [(u8::MAX, 0u8); NAME_BYTES_MAX * 2 + 1];
    best[0] = (0, 0);
    // A letter beyond ASCII is two bytes or three.
    let longest = if word.is_ascii() { INNER_MAX } else { 2 * INNER_MAX };
    for end in 2..=length {
        for start in end.saturating_sub(longest)..=end - 2 {
            let (count, piece) = (best[start].0, &word[start..end]);
            let is_long = piece.len() >= INNER_MIN || matches!(piece, b"pw" | b"db" | b"my" | b"wp" | b"pg");
            if is_long && count != u8::MAX && count + 1 < best[end].0 && words::get(piece).is_some() {
                best[end] = (count + 1, start as u8);
            }
        }
    }
    if best[length].0 == u8::MAX {
        return false;
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
        return false;
    }
    true
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
    let has = |words: &[Word], flag: u16| words.iter().any(|w| w.flags & flag != 0);
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
    if has(before, TELLING | STRONG) || before.iter().any(is_noun) || is_told_behind(noun, after) {
        return Some(Says::Secret(noun.class));
    }
    let bare = before.iter().chain(after).all(|w| w.flags & NEUTRAL != 0);
    let rarely =
        matches!(noun.class, Class::TOKEN | Class::SECRET) || (noun.class == Class::SIGNATURE && !is_signature(noun));
    Some(match (bare, rarely) {
        (true, false) => Says::Perhaps(noun.class),
        (true, true) if is_drawn(noun) => Says::Drawn(noun.class),
        _ => Says::Hardly(noun.class),
    })
}

/// `codigo_acceso`, `code_verification`: what the noun is for stands behind it.
fn is_told_behind(noun: Word, after: &[Word]) -> bool {
    // `key_access` is what a key may do.
    let is_foreign = || words::all().get(usize::from(noun.place)).is_some_and(|word| !word.starts_with("key"));
    let is_foreign_key = noun.class == Class::API_KEY && is_foreign();
    (noun.class == Class::CODE || is_foreign_key)
        && after.iter().any(|w| {
            let tells = BEHIND | if is_foreign_key { TELLING } else { 0 };
            w.flags & tells != 0 && w.flags & ABOUT == 0
        })
}

/// A noun whose value is a secret when it was drawn: a ticket, an invitation, a seed.
fn is_drawn(noun: Word) -> bool {
    noun.flags & WEAK != 0 && matches!(noun.class, Class::TOKEN | Class::SECRET)
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
    ("jwt", Class::TOKEN), ("cookie", Class::COOKIE), ("pw", Class::PASSWORD), ("pwd", Class::PASSWORD), ("psw", Class::PASSWORD),
    // Words of these languages are written in one piece.
    ("密码", Class::PASSWORD), ("密碼", Class::PASSWORD), ("口令", Class::PASSWORD), ("パスワード", Class::PASSWORD), ("パスコード", Class::PASSWORD), ("비밀번호", Class::PASSWORD), ("пароль", Class::PASSWORD),
    ("비번", Class::PASSWORD), ("암호", Class::PASSWORD), ("暗証番号", Class::PASSWORD), ("暗号", Class::PASSWORD), ("合言葉", Class::PASSWORD), ("秘密", Class::SECRET), ("비밀", Class::SECRET),
    ("비밀키", Class::SECRET), ("密钥", Class::SECRET), ("密鑰", Class::SECRET), ("秘钥", Class::SECRET), ("令牌", Class::TOKEN), ("トークン", Class::TOKEN), ("토큰", Class::TOKEN), ("验证码", Class::CODE),
    ("驗證碼", Class::CODE), ("校验码", Class::CODE), ("动态码", Class::CODE), ("認証コード", Class::CODE), ("認証番号", Class::CODE), ("確認コード", Class::CODE), ("인증번호", Class::CODE), ("인증코드", Class::CODE),
];

fn ending(name: &[u8]) -> Says {
    by_ending(name).map_or(Says::Nothing, |word| Says::Secret(word.class))
}

/// Bytes of the shortest of them that may also begin a word: `パスワード確認`.
const BEGIN_MIN: usize = 12;

/// The noun that a word ends with. The word itself is longer than two letters of it.
fn by_ending(word: &[u8]) -> Option<Word> {
    let begins = |end: &str| !end.is_ascii() && end.len() >= BEGIN_MIN && word.starts_with(end.as_bytes());
    let is = |(place, (end, _)): &(usize, &(&str, Class))| {
        (word.ends_with(end.as_bytes()) || begins(end))
            && (end.len() > 2 || word.len() > 3)
            && rules::on(rules::Kind::Ending, *place)
    };
    let (_, (_, class)) = ENDINGS.iter().enumerate().find(is)?;
    Some(Word { flags: STRONG, class: *class, place: u16::MAX })
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
