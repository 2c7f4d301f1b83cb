//! Secrets that follow a word: a scheme of HTTP authentication (`Token x`, `Digest username="x", ...`), a flag of a command
//! (`--password x`), a noun in a sentence (`password is x`).
//!
//! Promises: one search for all words, in any case, over blanks, tabs and `+`; linear time.
//! Never: takes a plain word for a secret: `basic auth`, `token expired`.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::classes::Class;
use super::decode;
use super::find::Finding;
use super::names::{Memo, NAME_BYTES_MAX, Says};
use super::pairs::confirmed;
use super::rules::{self, Kind};
use super::sql;
use super::values::{is_placeholder, is_plain, is_random, trim};

/// A word after which a secret may stand.
pub(crate) struct Scheme {
    pub(crate) word: &'static str,
    class: Class,
    /// Whatever follows is one; else it must look like one.
    certain: bool,
}

const fn scheme(word: &'static str, class: Class, certain: bool) -> Scheme {
    Scheme { word, class, certain }
}

#[rustfmt::skip]
pub(crate) static SCHEMES: &[Scheme] = &[
    scheme("bearer", Class::BEARER, true), scheme("basic", Class::BASIC, true), scheme("token", Class::BEARER, false), scheme("negotiate", Class::AUTHORIZATION, false),
    scheme("ntlm", Class::AUTHORIZATION, false), scheme("digest", Class::AUTHORIZATION, false), scheme("apikey", Class::API_KEY, false), scheme("api-key", Class::API_KEY, false),
    scheme("aws4-hmac-sha256", Class::AUTHORIZATION, false), scheme("aws4-ecdsa-p256-sha256", Class::AUTHORIZATION, false), scheme("aws", Class::AUTHORIZATION, false), scheme("hawk", Class::AUTHORIZATION, false), scheme("oauth", Class::BEARER, false), scheme("jwt", Class::BEARER, false),
    scheme("dpop", Class::BEARER, false), scheme("gnap", Class::BEARER, false), scheme("mac", Class::AUTHORIZATION, false), scheme("scram-sha-1", Class::AUTHORIZATION, false), scheme("scram-sha-256", Class::AUTHORIZATION, false),
    scheme("hmac", Class::AUTHORIZATION, false), scheme("signature", Class::SIGNATURE, false), scheme("vapid", Class::AUTHORIZATION, false), scheme("sso-key", Class::API_KEY, false), scheme("geniekey", Class::API_KEY, false), scheme("ssws", Class::API_KEY, false),
    scheme("privatetoken", Class::BEARER, false), scheme("sharedkey", Class::AUTHORIZATION, false), scheme("sharedaccesssignature", Class::SIGNATURE, false), scheme("googlelogin", Class::BEARER, false), scheme("key", Class::API_KEY, false), scheme("kerberos", Class::AUTHORIZATION, false), scheme("hoba", Class::AUTHORIZATION, false), scheme("mutual", Class::AUTHORIZATION, false), scheme("splunk", Class::API_KEY, false),
    // Nouns of a sentence.
    scheme("password", Class::PASSWORD, false), scheme("passwd", Class::PASSWORD, false), scheme("passphrase", Class::PASSWORD, false), scheme("secret", Class::SECRET, false), scheme("authorization", Class::AUTHORIZATION, false), scheme("pwd", Class::PASSWORD, false), scheme("pass", Class::PASSWORD, false), scheme("passwort", Class::PASSWORD, false), scheme("session", Class::SESSION, false),
    scheme("kennwort", Class::PASSWORD, false), scheme("contraseña", Class::PASSWORD, false), scheme("contrasena", Class::PASSWORD, false), scheme("senha", Class::PASSWORD, false), scheme("mot de passe", Class::PASSWORD, false), scheme("wachtwoord", Class::PASSWORD, false), scheme("hasło", Class::PASSWORD, false), scheme("пароль", Class::PASSWORD, false),
    scheme("lösenord", Class::PASSWORD, false), scheme("şifre", Class::PASSWORD, false), scheme("パスワード", Class::PASSWORD, false), scheme("密码", Class::PASSWORD, false), scheme("密碼", Class::PASSWORD, false), scheme("비밀번호", Class::PASSWORD, false),
    // SMTP, IMAP.
    scheme("auth plain", Class::BASIC, false), scheme("auth+plain", Class::BASIC, false), scheme("authenticate plain", Class::BASIC, false), scheme("authenticate+plain", Class::BASIC, false), scheme("auth login", Class::BASIC, false), scheme("auth+login", Class::BASIC, false), scheme("auth xoauth2", Class::BEARER, false), scheme("authenticate xoauth2", Class::BEARER, false),
    // A command of Windows, a name and a password.
    scheme("net user", Class::PASSWORD, false), scheme("net+user", Class::PASSWORD, false),
    // Words of SQL.
    scheme("identified", Class::PASSWORD, false), scheme("values", Class::PASSWORD, false), scheme("select", Class::PASSWORD, false),
];

static WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .build(SCHEMES.iter().map(|s| s.word))
        .expect("the schemes are a short fixed list")
});

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'+' | b'\r' | b'\n')
}

/// Secrets behind schemes and nouns.
pub(crate) fn schemes(text: &str, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for hit in WORDS.find_iter(bytes) {
        if hit.start() < done {
            continue;
        }
        let place = hit.pattern().as_usize();
        let starts = hit.start() == 0 || !bytes[hit.start() - 1].is_ascii_alphanumeric();
        let Some(&next) = bytes.get(hit.end()) else { return };
        if !starts || !(is_blank(next) || next == b'(' || next >= 0x80) || !rules::on(Kind::Scheme, place) {
            continue;
        }
        if matches!(SCHEMES[place].word, "values" | "select") {
            let in_rows = SCHEMES[place].word == "values";
            done = sql::values(bytes, hit.start(), hit.end(), in_rows, findings);
            continue;
        }
        if let Some((start, end)) = sql::password(bytes, hit.start(), hit.end(), SCHEMES[place].word) {
            findings.push(Finding { start, end, class: Class::PASSWORD, whole: true });
            done = end;
            continue;
        }
        // `password(x)`
        if next == b'(' && SCHEMES[place].class != Class::PASSWORD {
            continue;
        }
        if let Some(finding) = behind(bytes, hit.end() + usize::from(next == b'('), &SCHEMES[place]) {
            done = finding.end;
            findings.push(finding);
        }
    }
}

fn behind(bytes: &[u8], word_end: usize, scheme: &Scheme) -> Option<Finding> {
    let mut start = word_end + bytes[word_end..].iter().take_while(|&&b| is_blank(b)).count();
    if scheme.word.starts_with("net") {
        let name = bytes[start..].iter().take(NAME_BYTES_MAX).position(|&b| is_blank(b))?;
        start += name + bytes[start + name..].iter().take_while(|&&b| is_blank(b)).count();
    } else if !scheme.certain {
        start = over_filler(bytes, start);
    }
    let quoted = matches!(bytes.get(start), Some(b'"' | b'\''));
    start += usize::from(quoted);
    let rest = bytes.get(start..)?;
    let length = rest.iter().position(|&b| !is_credential(b)).unwrap_or(rest.len());
    let value = &rest[..length];
    let class = scheme.class;
    let end = if is_parameter(rest) && scheme.class != Class::SESSION {
        // `Digest username="x", ...`, `Token token="x"`: all of them, to the end of the line.
        start + rest.iter().position(|&b| matches!(b, b'\r' | b'\n')).unwrap_or(rest.len())
    } else if scheme.word == "basic" {
        is_basic(value).then_some(start + length)?
    } else if scheme.certain {
        (length >= 4 && !is_placeholder(value) && !is_of_the_topic(value)).then_some(start + length)?
    } else {
        let value = trim(value);
        (is_random(value) || is_passphrase(class, value)).then_some(start + length)?
    };
    Some(Finding { start, end, class, whole: false })
}

/// A word that follows when people speak of bearers: `bearer+of+news`, `bearer token`.
fn is_of_the_topic(value: &[u8]) -> bool {
    let word = value.split(|&b| b == b'+').next().unwrap_or(value);
    let word = word.strip_suffix(b".").unwrap_or(word);
    let is = |known: &&[u8]| word.eq_ignore_ascii_case(known);
    TOPIC.iter().any(is) || (word.len() < value.len() && SMALL.iter().any(is))
}

static SMALL: [&[u8]; 14] =
    [b"of", b"is", b"was", b"for", b"and", b"or", b"to", b"in", b"the", b"a", b"on", b"with", b"has", b"from"];

static TOPIC: [&[u8]; 12] = [
    b"token",
    b"tokens",
    b"auth",
    b"authentication",
    b"authorization",
    b"scheme",
    b"header",
    b"expected",
    b"required",
    b"bond",
    b"bonds",
    b"shares",
];

/// `password is x`, `Passwort lautet x`, `パスワードはx`: over one small word.
fn over_filler(bytes: &[u8], start: usize) -> usize {
    let rest = &bytes[start.min(bytes.len())..];
    let is = |filler: &&&str| {
        let filler = filler.as_bytes();
        rest.len() > filler.len()
            && rest[..filler.len()].eq_ignore_ascii_case(filler)
            && (!filler[0].is_ascii() || is_blank(rest[filler.len()]))
    };
    let length = FILLERS.iter().find(is).map_or(0, |filler| filler.len());
    start + length + rest[length..].iter().take_while(|&&b| length > 0 && is_blank(b)).count()
}

/// Those that end with a letter of ASCII stand before a blank.
#[rustfmt::skip]
static FILLERS: [&str; 26] = [
    "is", "was", "=", "to", "token", "bearer", "basic", "->", "-", "ist", "war", "lautet", "es", "era", "est", "jest", "är",
    "é", "è", "это", "は", "が", "是", "为", "은", "는",
];

/// People's passwords mix, too: letters with digits and signs, of any length from 6.
fn is_passphrase(class: Class, value: &[u8]) -> bool {
    let has = |test: fn(&u8) -> bool| value.iter().any(test);
    class == Class::PASSWORD
        && value.len() >= 6
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic)
        && !value.contains(&b'/')
}

fn is_credential(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(b, b'_' | b'-' | b'.' | b'~' | b'+' | b'/' | b'=' | b'%' | b':' | b'!' | b'$' | b'@' | b'*')
}

/// A parameter of a scheme: a name, `=`, and a value in quotes or drawn.
fn is_parameter(rest: &[u8]) -> bool {
    let name = rest
        .iter()
        .take(NAME_BYTES_MAX)
        .take_while(|&&b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        .count();
    let after = rest[name..].iter().position(|&b| !matches!(b, b' ' | b'\t')).map_or(rest.len(), |i| name + i);
    if !(2..NAME_BYTES_MAX).contains(&name) || rest.get(after) != Some(&b'=') {
        return false;
    }
    let value = &rest[after + 1..];
    let value = &value[..value.iter().position(|&b| matches!(b, b',' | b';' | b' ' | b'&')).unwrap_or(value.len())];
    matches!(value.first(), Some(b'"')) || is_random(value)
}

/// Base64 of `user:password`; of a long text without a colon it is taken to be one too.
pub(crate) fn is_basic(token: &[u8]) -> bool {
    let token =
        &token[..token.iter().position(|&b| !decode::is_base64(b) && b != b'=' && b != b'%').unwrap_or(token.len())];
    let mut plain = Vec::new();
    token.len() >= 16
        || (token.len() >= 4 && decode::base64_whole(token, &mut plain).is_some() && plain.contains(&b':'))
}

/// `--password x`, `-password x`, `--user name:x`; behind a command that is known for it also `-p x`, `-px` and `-u user:x`.
pub(crate) fn flags(text: &str, memo: &mut Memo, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    if !rules::has(rules::FLAG) {
        return;
    }
    let mut from = 0;
    while let Some(dash) = memchr::memchr(b'-', &bytes[from..]).map(|i| from + i) {
        from = dash + 1;
        if dash > 0
            && !is_blank(bytes[dash - 1])
            && !matches!(bytes[dash - 1], b'"' | b'\'' | b'=' | b'`' | b'(' | b'?' | b'&')
        {
            continue;
        }
        let dashes = bytes[dash..].iter().take(2).take_while(|&&b| b == b'-').count();
        let start = dash + dashes;
        let length = bytes[start..]
            .iter()
            .take(NAME_BYTES_MAX)
            .take_while(|&&b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
            .count();
        from = start + length;
        let name = &bytes[start..from];
        let equals = usize::from(bytes.get(from) == Some(&b'='));
        let blanks = bytes[from..].iter().take_while(|&&b| is_blank(b)).count();
        let value_start = from + equals.max(blanks);
        if length == 0 {
            continue;
        }
        if dashes == 1 && (length > 1 || matches!(bytes.get(from), Some(b'"' | b'\''))) {
            let value_end = flag_value_end(bytes, start + 1);
            let says = attached(bytes, dash, &bytes[start..value_end]);
            if let Some(class) = confirmed(says, &bytes[start + 1..value_end]) {
                findings.push(Finding { start: start + 1, end: value_end, class, whole: true });
                from = value_end;
                continue;
            }
        }
        if value_start == from || matches!(bytes.get(value_start), None | Some(b'-')) {
            continue;
        }
        let value_end = flag_value_end(bytes, value_start);
        let value = &bytes[value_start..value_end];
        let says = if length == 1 && dashes == 1 {
            short(bytes, dash, name[0], value)
        } else if matches!(name, b"user" | b"proxy-user") {
            user(bytes, dash, value)
        } else if equals == 1 {
            // A pair, see `pairs.rs`.
            Says::Nothing
        } else {
            memo.says(name)
        };
        if let Some(class) = confirmed(says, value) {
            findings.push(Finding { start: value_start, end: value_end, class, whole: true });
            from = value_end;
        }
    }
}

fn flag_value_end(bytes: &[u8], start: usize) -> usize {
    let rest = &bytes[start..];
    if let Some(&quote @ (b'"' | b'\'')) = rest.first()
        && let Some(end) = memchr::memchr(quote, &rest[1..])
    {
        return start + end + 2;
    }
    start + rest.iter().position(|&b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'&' | b'+')).unwrap_or(rest.len())
}

/// Does one of these commands stand before the flag at `dash`?
fn runs(bytes: &[u8], dash: usize, names: &[&[u8]]) -> bool {
    let before = &bytes[dash.saturating_sub(COMMAND_MAX)..dash];
    names.iter().any(|name| memchr::memmem::find(before, name).is_some())
}

/// `-pSECRET` of clients of databases, `-uuser:password` and `-bname=value` of curl: a flag with its value.
fn attached(bytes: &[u8], dash: usize, flag: &[u8]) -> Says {
    let (first, value) = (flag[0], &flag[1..]);
    let is_other = [&b"ort"[..], b"rotocol"].iter().any(|other| value.starts_with(other));
    let certain = match first {
        b'p' => !is_other && runs(bytes, dash, &[b"mysql", b"mariadb", b"sshpass"]),
        b'u' | b'U' | b'b' => runs(bytes, dash, &[b"curl"]),
        b'a' => runs(bytes, dash, &[b"redis-cli"]),
        b'w' => runs(bytes, dash, &[b"ldap"]),
        b'P' => runs(bytes, dash, &[b"sqlcmd", b"bcp"]),
        _ => false,
    };
    if certain { short(bytes, dash, first, value) } else { Says::Nothing }
}

/// `--user name:password`: of a known client, or when what stands behind the colon is no plain word or number.
fn user(bytes: &[u8], dash: usize, value: &[u8]) -> Says {
    let value = trim(value);
    let secret = memchr::memchr(b':', value).map(|colon| &value[colon + 1..]).filter(|s| !s.is_empty());
    let is_secret = secret.is_some_and(|secret| {
        !secret.starts_with(b"//") && (runs(bytes, dash, &[b"curl", b"wget"]) || !is_plain(secret))
    });
    if is_secret { Says::Secret(Class::USERINFO) } else { Says::Nothing }
}

/// `-p` and `-a` of clients of databases, `-u user:password` and `-b name=value` of curl.
fn short(bytes: &[u8], dash: usize, flag: u8, value: &[u8]) -> Says {
    let runs = |names: &[&[u8]]| runs(bytes, dash, names);
    match flag {
        b'p' if runs(&[
            b"mysql",
            b"sshpass",
            b"mongo",
            b"mariadb",
            b"docker login",
            b"sqlplus",
            b"ldap",
            b"htpasswd",
            b"az login",
        ]) =>
        {
            Says::Secret(Class::PASSWORD)
        }
        b'w' if runs(&[b"ldap"]) => Says::Secret(Class::PASSWORD),
        b'a' if runs(&[b"redis"]) => Says::Secret(Class::PASSWORD),
        b'b' if value.contains(&b'=') && runs(&[b"curl"]) => Says::Secret(Class::COOKIE),
        b'u' | b'U' if value.contains(&b':') && runs(&[b"curl", b"http", b"wget"]) => Says::Secret(Class::USERINFO),
        b'P' if runs(&[b"sqlcmd", b"bcp", b"unzip", b"zip "]) => Says::Secret(Class::PASSWORD),
        b'k' if runs(&[b"openssl"]) => Says::Secret(Class::PASSWORD),
        b'U' if value.contains(&b'%') && runs(&[b"smbclient", b"rpcclient"]) => Says::Secret(Class::USERINFO),
        _ => Says::Nothing,
    }
}

/// How far before a flag its command is looked for.
const COMMAND_MAX: usize = 256;
