//! Segments of a path that are secrets because of the word before them: `/reset-password/<token>`, `/sessions/<id>/refresh`,
//! `/bot<id>:<secret>/`, `/services/T../B../<secret>`.
//!
//! Promises: linear time; an ordinary word or a number behind a telling word stays: `/sessions/42`, `/verify/email`.
//! Never: looks further than the next two segments.

use super::classes::Class;
use super::find::Finding;
use super::rules::{self, Kind};
use super::values::is_random;

/// Words of a segment after which a drawn segment is a secret.
#[rustfmt::skip]
pub(crate) static TELLING: &[(&str, Class)] = &[
    ("reset", Class::TOKEN), ("verify", Class::TOKEN), ("verification", Class::TOKEN), ("verifications", Class::TOKEN), ("invite", Class::TOKEN), ("invites", Class::TOKEN),
    ("invitation", Class::TOKEN), ("invitations", Class::TOKEN), ("confirm", Class::TOKEN), ("confirmation", Class::TOKEN), ("confirmations", Class::TOKEN), ("activate", Class::TOKEN),
    ("activation", Class::TOKEN), ("session", Class::SESSION), ("sessions", Class::SESSION), ("token", Class::TOKEN), ("tokens", Class::TOKEN), ("webhook", Class::TOKEN), ("webhooks", Class::TOKEN),
    ("hook", Class::TOKEN), ("hooks", Class::TOKEN), ("magic", Class::TOKEN), ("unsubscribe", Class::TOKEN), ("subscribe", Class::TOKEN), ("share", Class::TOKEN), ("shared", Class::TOKEN), ("shares", Class::TOKEN), ("s", Class::TOKEN), ("download", Class::TOKEN),
    ("downloads", Class::TOKEN), ("password", Class::PASSWORD), ("passwords", Class::PASSWORD), ("oauth", Class::CODE), ("oauth2", Class::CODE), ("callback", Class::CODE), ("login", Class::TOKEN), ("signin", Class::TOKEN), ("signup", Class::TOKEN), ("logout", Class::TOKEN), ("auth", Class::TOKEN),
    ("sso", Class::TOKEN), ("otp", Class::CODE), ("code", Class::CODE), ("codes", Class::CODE), ("key", Class::API_KEY), ("keys", Class::API_KEY), ("apikey", Class::API_KEY), ("apikeys", Class::API_KEY), ("secret", Class::SECRET), ("secrets", Class::SECRET),
    ("register", Class::TOKEN), ("recover", Class::TOKEN), ("recovery", Class::TOKEN), ("unlock", Class::TOKEN), ("approve", Class::TOKEN), ("accept", Class::TOKEN), ("join", Class::TOKEN), ("access", Class::TOKEN), ("link", Class::TOKEN), ("links", Class::TOKEN), ("ticket", Class::TOKEN), ("tickets", Class::TOKEN), ("grant", Class::TOKEN),
    ("credential", Class::SECRET), ("credentials", Class::SECRET), ("jwt", Class::TOKEN), ("bearer", Class::TOKEN), ("optout", Class::TOKEN), ("refresh", Class::TOKEN), ("revoke", Class::TOKEN), ("validate", Class::TOKEN), ("check", Class::TOKEN), ("signed", Class::SIGNATURE), ("sig", Class::SIGNATURE), ("signature", Class::SIGNATURE), ("forgot", Class::TOKEN), ("change", Class::TOKEN), ("deactivate", Class::TOKEN), ("redeem", Class::CODE), ("claim", Class::CODE), ("voucher", Class::CODE), ("gift", Class::CODE), ("setup", Class::TOKEN), ("onboarding", Class::TOKEN), ("enroll", Class::TOKEN), ("pair", Class::TOKEN), ("device", Class::TOKEN), ("calendar", Class::TOKEN), ("feed", Class::TOKEN), ("ical", Class::TOKEN), ("preview", Class::TOKEN), ("guest", Class::TOKEN), ("impersonate", Class::TOKEN), ("integration", Class::TOKEN), ("integrations", Class::TOKEN), ("incoming", Class::TOKEN), ("trigger", Class::TOKEN), ("notify", Class::TOKEN), ("auth0", Class::TOKEN), ("saml", Class::TOKEN), ("sid", Class::SESSION), ("bot", Class::TOKEN), ("resetpassword", Class::TOKEN),
    ("mfa", Class::CODE), ("2fa", Class::CODE), ("totp", Class::CODE), ("onetime", Class::CODE), ("passcode", Class::CODE), ("pin", Class::CODE), ("passwordless", Class::TOKEN), ("resend", Class::TOKEN), ("restore", Class::TOKEN),
    // The same in other languages, as they stand in paths: with and without their accents.
    ("einladung", Class::TOKEN), ("einladungen", Class::TOKEN), ("zuruecksetzen", Class::TOKEN), ("zurücksetzen", Class::TOKEN), ("bestaetigen", Class::TOKEN), ("bestätigen", Class::TOKEN), ("bestaetigung", Class::TOKEN), ("bestätigung", Class::TOKEN),
    ("passwd", Class::PASSWORD), ("changepw", Class::PASSWORD), ("changepassword", Class::PASSWORD), ("changepasswd", Class::PASSWORD), ("setpassword", Class::PASSWORD), ("newpassword", Class::PASSWORD), ("resetpw", Class::PASSWORD), ("pwd", Class::PASSWORD), ("passphrase", Class::PASSWORD), ("passord", Class::PASSWORD), ("heslo", Class::PASSWORD), ("mdp", Class::PASSWORD), ("losenord", Class::PASSWORD), ("lösenord", Class::PASSWORD), ("salasana", Class::PASSWORD), ("jelszo", Class::PASSWORD),
    ("passwort", Class::PASSWORD), ("kennwort", Class::PASSWORD), ("aktivieren", Class::TOKEN), ("abmelden", Class::TOKEN), ("freigabe", Class::TOKEN), ("anmelden", Class::TOKEN),
    ("restablecer", Class::TOKEN), ("verificar", Class::TOKEN), ("verificacion", Class::TOKEN), ("verificación", Class::TOKEN), ("confirmar", Class::TOKEN), ("invitacion", Class::TOKEN), ("invitación", Class::TOKEN), ("contrasena", Class::PASSWORD), ("contraseña", Class::PASSWORD), ("activar", Class::TOKEN),
    ("convite", Class::TOKEN), ("redefinir", Class::TOKEN), ("senha", Class::PASSWORD), ("recuperar", Class::TOKEN), ("ativar", Class::TOKEN),
    ("conferma", Class::TOKEN), ("verifica", Class::TOKEN), ("invito", Class::TOKEN), ("reimposta", Class::TOKEN), ("ripristina", Class::TOKEN), ("attiva", Class::TOKEN),
    ("reinitialiser", Class::TOKEN), ("réinitialiser", Class::TOKEN), ("confirmer", Class::TOKEN), ("verifier", Class::TOKEN), ("vérifier", Class::TOKEN), ("partage", Class::TOKEN), ("motdepasse", Class::PASSWORD),
    ("uitnodiging", Class::TOKEN), ("bevestigen", Class::TOKEN), ("wachtwoord", Class::PASSWORD), ("zaproszenie", Class::TOKEN), ("potwierdz", Class::TOKEN), ("haslo", Class::PASSWORD), ("hasło", Class::PASSWORD), ("davet", Class::TOKEN), ("dogrula", Class::TOKEN), ("doğrula", Class::TOKEN), ("sifre", Class::PASSWORD), ("şifre", Class::PASSWORD),
    ("приглашение", Class::TOKEN), ("подтверждение", Class::TOKEN), ("подтвердить", Class::TOKEN), ("сброс", Class::TOKEN), ("пароль", Class::PASSWORD), ("активация", Class::TOKEN),
    ("重置密码", Class::PASSWORD), ("重置", Class::TOKEN), ("验证", Class::TOKEN), ("邀请", Class::TOKEN), ("激活", Class::TOKEN), ("密码", Class::PASSWORD), ("確認", Class::TOKEN), ("招待", Class::TOKEN), ("パスワード", Class::PASSWORD), ("초대", Class::TOKEN), ("인증", Class::TOKEN), ("비밀번호", Class::PASSWORD),
];

/// Behind these stands what was sent to a person for once, and a word of the program's own: also a short text of letters and
/// digits is the secret.
static SENT: &[&str] = &[
    "reset",
    "verify",
    "verification",
    "verifications",
    "invite",
    "invites",
    "invitation",
    "invitations",
    "confirm",
    "confirmation",
    "confirmations",
    "activate",
    "activation",
    "magic",
    "unsubscribe",
    "recover",
    "recovery",
    "unlock",
    "redeem",
    "voucher",
    "gift",
    "otp",
    "mfa",
    "2fa",
    "totp",
    "onetime",
    "passcode",
    "passwordless",
    "optout",
    "forgot",
    "resetpassword",
];

/// Behind these a number is a code that was sent; the others number things.
static ONE_TIME: &[&str] = &["otp", "mfa", "2fa", "totp", "onetime", "passcode"];

/// Directly behind these a number of so many digits is one; others number things there, too: `/code/404`.
static CODES: &[(&str, std::ops::RangeInclusive<usize>)] =
    &[("verify", 6..=6), ("verification", 6..=6), ("code", 6..=6), ("pin", 4..=6)];

/// After these a UUID or a hash is an ordinary name of a thing.
static OFTEN_IDS: [&str; 20] = [
    "s",
    "share",
    "shared",
    "shares",
    "download",
    "downloads",
    "key",
    "keys",
    "ticket",
    "tickets",
    "device",
    "calendar",
    "feed",
    "preview",
    "links",
    "check",
    "integration",
    "integrations",
    "change",
    "trigger",
];

/// Directly behind these a UUID, or a hash as long as one, lets in whoever has it; a shorter one names a thing, and so does any of
/// them one segment further on: `/auth/users/...`.
static OFTEN_LINKS: [&str; 6] = ["login", "auth", "link", "access", "join", "callback"];
/// Hexadecimal digits of a UUID.
const UUID_DIGITS: usize = 32;
/// Segments behind a telling word that may be its secret.
const BEHIND: usize = 2;

pub(crate) fn segments(text: &str, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let mut start = 0;
    let mut told = None;
    let mut left = 0;
    while start < bytes.len() {
        let end = bytes[start..].iter().position(|&b| is_edge(b)).map_or(bytes.len(), |i| start + i);
        let segment = &bytes[start..end];
        if let Some((from, class)) = bot(segment) {
            findings.push(Finding { start: start + from, end, class, whole: true });
        } else if let Some(told) =
            told.filter(|told: &Told| told.is_secret(segment, left == BEHIND) && rules::has(rules::SEGMENT))
        {
            findings.push(Finding { start, end, class: told.class, whole: true });
        }
        match telling(segment) {
            Some(by) => (told, left) = (Some(by), BEHIND),
            None if left > 1 => left -= 1,
            None => told = None,
        }
        // What follows a `?` or a blank is another text.
        if end < bytes.len() && bytes[end] != b'/' {
            told = None;
        }
        start = end + 1;
    }
}

/// `/hooks/catch/<account>/<secret>`: secrets so short that they look like words.
pub(crate) fn hooks(text: &str, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(at) = memchr::memmem::find(&bytes[from..], b"/hooks/").map(|i| from + i) {
        from = at + 7;
        let mut segments = bytes[from..].split(|&b| is_edge(b));
        let (Some(verb), Some(account), Some(secret)) = (segments.next(), segments.next(), segments.next()) else {
            return;
        };
        let is_hook = matches!(verb, b"catch" | b"standard") && account.iter().all(u8::is_ascii_digit);
        let start = from + verb.len() + account.len() + 2;
        if is_hook && secret.len() >= 4 && bytes[start - 1] == b'/' && rules::has(rules::SEGMENT) {
            findings.push(Finding { start, end: start + secret.len(), class: Class::TOKEN, whole: true });
        }
    }
}

fn is_edge(b: u8) -> bool {
    matches!(
        b,
        b'/' | b'?'
            | b'#'
            | b'&'
            | b' '
            | b'\t'
            | b'"'
            | b'\''
            | b'<'
            | b'>'
            | b';'
            | b','
            | b')'
            | b'('
            | b'\r'
            | b'\n'
            | b'='
    )
}

/// Is there a telling word at all?
pub(crate) fn any_telling(text: &str) -> bool {
    text.as_bytes().split(|&b| b == b'/').any(|segment| telling(segment).is_some())
}

/// What a telling word says of the next segment.
#[derive(Clone, Copy)]
struct Told {
    class: Class,
    /// UUIDs and hashes are ordinary names of things there.
    ids: bool,
    /// So they are, but for long ones directly behind it.
    links: bool,
    sent: bool,
    one_time: bool,
    /// Digits of a number that is a code directly behind it.
    code: Option<&'static std::ops::RangeInclusive<usize>>,
}

impl Told {
    /// `next`: the segment stands directly behind the word.
    fn is_secret(self, segment: &[u8], next: bool) -> bool {
        let digits = || segment.iter().filter(|b| b.is_ascii_hexdigit()).count();
        let is_name = self.ids || self.links;
        (is_random(segment) && !(is_name && is_id(segment)))
            || (self.links && next && is_id(segment) && digits() >= UUID_DIGITS)
            || (self.sent && is_short_code(segment))
            || (self.one_time && (4..=10).contains(&segment.len()) && segment.iter().all(u8::is_ascii_digit))
            || (next
                && self.code.is_some_and(|digits| digits.contains(&segment.len()))
                && segment.iter().all(u8::is_ascii_digit))
            || (next && !is_name && is_drawn_of_letters(segment))
    }
}

/// `lfUhjtyxypvtxpkkzQfs`: letters in both cases that make no words. Names of programs have a vowel in each: `orderStatusUpdated`.
fn is_drawn_of_letters(segment: &[u8]) -> bool {
    let is_vowel = |b: &u8| matches!(b.to_ascii_lowercase(), b'a' | b'e' | b'i' | b'o' | b'u' | b'y');
    let inner = segment.iter().skip(1).filter(|b| b.is_ascii_uppercase()).count();
    if segment.len() < 16 || inner == 0 || !segment.iter().all(u8::is_ascii_alphabetic) {
        return false;
    }
    let humps = segment.chunk_by(|_, next| !next.is_ascii_uppercase());
    let (silent, count, longest) = humps.fold((0, 0, 0), |(silent, count, longest), hump| {
        let run = hump.split(is_vowel).map(<[u8]>::len).max().unwrap_or(0);
        (silent + usize::from(hump.len() > 1 && !hump.iter().any(is_vowel)), count + 1, longest.max(run))
    });
    silent * 2 > count || longest >= SILENT_RUN
}

/// So many consonants in a row are in no word.
const SILENT_RUN: usize = 7;

/// `k3wmlu4Mt`, `X7K9QZ`: letters and digits mixed. A word with a number in it or at its end is none: `oauth2`, `v2beta`.
fn is_short_code(segment: &[u8]) -> bool {
    let has = |is: fn(&u8) -> bool| segment.iter().any(is);
    let turns = segment.windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count();
    let is_mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    (6..=24).contains(&segment.len())
        && segment.iter().all(u8::is_ascii_alphanumeric)
        && (turns >= 3 || (turns == 2 && is_mixed))
}

/// What a segment says of the next one: by a word in it, in any spelling (`verify-email`, `verifyEmail`, `opt_out`).
fn telling(segment: &[u8]) -> Option<Told> {
    if segment.len() > 48 || segment.is_empty() {
        return None;
    }
    let mut lower = [0u8; 48];
    let lower = &mut lower[..segment.len()];
    lower.copy_from_slice(segment);
    lower.make_ascii_lowercase();
    let is_sign = |b: u8| matches!(b, b'-' | b'_' | b'.' | b':');
    let (mut from, mut first): (_, Option<Told>) = (0, None);
    for at in 1..=segment.len() {
        let is_edge = at == segment.len()
            || is_sign(segment[at])
            || (segment[at].is_ascii_uppercase() && segment[at - 1].is_ascii_lowercase());
        if is_edge {
            if let Some(told) = told_by(&lower[from..at]) {
                // `/access-logs/<uuid>` is a thing, `/magic-link/<uuid>` is not.
                let ends = at == segment.len();
                let told = Told {
                    ids: told.ids || (told.links && !ends),
                    links: told.links && ends,
                    code: told.code.filter(|_| from == 0 && ends),
                    ..told
                };
                // `/verify-otp/482913`: a later word may say more of it.
                let sent = |first: Told| Told { one_time: first.one_time || told.one_time, ..first };
                first = Some(first.map_or(told, sent));
            }
            from = at + usize::from(at < segment.len() && is_sign(segment[at]));
        }
    }
    if first.is_some() {
        return first;
    }
    // Two words that are one: `opt-out`, `oneTime`.
    let joined: Vec<u8> = lower.iter().copied().filter(|&b| !is_sign(b)).collect();
    told_by(&joined)
}

fn told_by(word: &[u8]) -> Option<Told> {
    let place = place_of(word)?;
    let (word, class) = TELLING[place];
    let is_in = |words: &[&str]| words.contains(&word);
    rules::on(Kind::Telling, place).then(|| Told {
        class,
        ids: is_in(&OFTEN_IDS),
        links: is_in(&OFTEN_LINKS),
        sent: is_in(SENT),
        one_time: is_in(ONE_TIME),
        code: CODES.iter().find(|(known, _)| *known == word).map(|(_, digits)| digits),
    })
}

fn place_of(word: &[u8]) -> Option<usize> {
    use std::sync::LazyLock;
    static PLACES: LazyLock<rustc_hash::FxHashMap<&'static [u8], usize>> =
        LazyLock::new(|| TELLING.iter().enumerate().map(|(place, (word, _))| (word.as_bytes(), place)).collect());
    PLACES.get(word).copied()
}

/// A UUID, a hexadecimal number, or one of these with a short ending.
fn is_id(segment: &[u8]) -> bool {
    segment.iter().all(|&b| b.is_ascii_hexdigit() || b == b'-')
}

/// `bot<id>:<secret>` and `<id>:<secret>` of a messenger's bots.
fn bot(segment: &[u8]) -> Option<(usize, Class)> {
    let rest = segment.strip_prefix(b"bot").or_else(|| segment.strip_prefix(b"BOT")).unwrap_or(segment);
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let secret = rest.get(digits + 1..).filter(|_| (6..=14).contains(&digits) && rest[digits] == b':')?;
    let is_key = secret.len() >= 20 && secret.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    (is_key && rules::has(rules::BOT)).then_some((segment.len() - rest.len(), Class::TOKEN))
}

#[cfg(test)]
mod tests {
    use super::super::scrub;

    #[test]
    fn what_was_sent_to_a_person_goes_however_short_it_is() {
        for (path, gone) in [
            ("/reset/k3wmlu4Mt", "k3wmlu4Mt"),
            ("/invite/exu6QdcNW/accept", "exu6QdcNW"),
            ("/verify/X7K9QZ4M2B1C", "X7K9QZ4M2B1C"),
            ("/verify/9f8e7d6c5b4a", "9f8e7d6c5b4a"),
            ("/otp/123456", "123456"),
            ("/verify-otp/482913", "482913"),
            ("/verifyOtp/0042", "0042"),
            ("/verify/123456", "123456"),
            ("/code/482913", "482913"),
            ("/v1/pin/1234", "1234"),
            ("/webhook/lfUhjtyxypvtxpkkzQfs", "lfUhjtyxypvtxpkkzQfs"),
            ("/login/2fa/0042", "0042"),
            ("/verifyEmail/k3wmlu4Mtexu6QdcNWa81", "k3wmlu4Mtexu6QdcNWa81"),
            ("/magicLink/k3wmlu4Mtexu6QdcNWa81", "k3wmlu4Mtexu6QdcNWa81"),
            ("/opt-out/k3wmlu4Mtexu6QdcNWa81", "k3wmlu4Mtexu6QdcNWa81"),
            ("/oneTime/k3wmlu4Mtexu6QdcNWa81", "k3wmlu4Mtexu6QdcNWa81"),
            ("/einladung/k3wmlu4Mtexu6QdcNWa81", "k3wmlu4Mtexu6QdcNWa81"),
            ("/passwort-zur%C3%BCcksetzen/k3wmlu4Mtexu6QdcNWa81", "k3wmlu4Mtexu6QdcNWa81"),
            ("/подтверждение/k3wmlu4Mtexu6QdcNWa81", "k3wmlu4Mtexu6QdcNWa81"),
            ("/重置密码/k3wmlu4Mtexu6QdcNWa81", "k3wmlu4Mtexu6QdcNWa81"),
        ] {
            let kept = scrub(path);
            assert!(!kept.contains(gone) && kept.contains("[REDACTED:"), "{path} -> {kept}");
        }
    }

    #[test]
    fn a_uuid_directly_behind_a_word_of_entry_lets_in_and_goes() {
        let (uuid, hash) = ("0b8cf5a3-5c1e-4f0e-9c38-2f1d7a6b4e90", "0b8cf5a35c1e4f0e9c382f1d7a6b4e90");
        for word in super::OFTEN_LINKS {
            for secret in [uuid, hash] {
                let path = format!("/v1/{word}/{secret}/x");
                let kept = scrub(&path);
                assert!(!kept.contains("5c1e") && kept.contains("[REDACTED:"), "{word}: {kept}");
                let other = format!("/v1/{word}/users/{secret}");
                assert_eq!(scrub(&other), other);
            }
            let thing = format!("/v1/{word}-entries/{uuid}");
            assert_eq!(scrub(&thing), thing);
            let short = format!("/v1/{word}/0b8cf5a35c1e4f0e");
            assert_eq!(scrub(&short), short);
        }
        let thing = format!("/v1/download/{uuid}");
        assert_eq!(scrub(&thing), thing);
    }

    #[test]
    fn words_and_numbers_of_things_stay_behind_a_telling_word() {
        for path in [
            "/verify/email",
            "/verify/step2",
            "/login/oauth2/callback",
            "/reset/v2beta",
            "/confirm/42",
            "/verify/30563",
            "/code/404",
            "/code/DE",
            "/codes/482913",
            "/zip-code/560001",
            "/code/v2/482913",
            "/pin/1234567890123456",
            "/webhook/orderStatusUpdated",
            "/webhooks/InvoicePaid",
            "/sessions/20260101",
            "/share/2024q1",
            "/gift/cards2go",
            "/otp/12",
            "/activate/sha256",
        ] {
            assert_eq!(scrub(path), path);
        }
    }
}
