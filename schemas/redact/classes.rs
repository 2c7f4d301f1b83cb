//! The classes of secrets and personal data, and how each is found: ONE table of classes, one of key names, one of
//! shapes. What the `redactions` column may hold are the names of the first.
//!
//! Promises: adding a kind of secret is one line in one of these tables.
//! Never: looks at a text.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

/// A class, by its place in `CLASSES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(pub(crate) u8);

/// One class: its name in `redactions` and in the replacement text, and how it is found.
pub struct ClassInfo {
    pub name: &'static str,
    pub found: &'static str,
}

macro_rules! classes {
    ($($constant:ident $name:literal $found:literal;)*) => {
        /// Every class, in the order of their numbers.
        pub static CLASSES: &[ClassInfo] = &[$(ClassInfo { name: $name, found: $found }),*];
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Number { $($constant),* }
        impl Class {
            $(pub(crate) const $constant: Class = Class(Number::$constant as u8);)*
        }
    };
}

classes! {
    AUTHORIZATION "authorization" "header Authorization or Proxy-Authorization, or a key of that name; kept as token";
    COOKIE "cookie" "header Cookie or Set-Cookie, or a key of that name; the session in it kept as token";
    API_KEY "api_key" "header or key such as x-api-key, apikey, api_key, key; kept as token where it is the credential";
    PASSWORD "password" "key such as password, passwd, pwd, passphrase, pin";
    TOKEN "token" "key such as token, access_token, refresh_token, id_token, csrf_token, assertion";
    SECRET "secret" "key such as secret, client_secret, aws_secret_access_key, private_key, credentials";
    SIGNATURE "signature" "key such as sig, signature, hmac, X-Amz-Signature";
    CODE "code" "key such as code, otp, verification_code, magic";
    SESSION "session" "key such as session, sid, JSESSIONID, PHPSESSID";
    NATIONAL_ID "national_id" "key such as ssn, tax_id, passport";
    JWT "jwt" "shape: three base64url parts with dots, the first a JSON object";
    BEARER "bearer" "shape: the word Bearer and a token";
    BASIC "basic" "shape: the word Basic and base64 of user:password";
    AWS_KEY "aws_key" "shape: AKIA or ASIA and 16 capitals or digits";
    GCP_KEY "gcp_key" "shape: AIza..., ya29... or GOCSPX-...";
    GITHUB_TOKEN "github_token" "shape: ghp_, gho_, ghu_, ghs_, ghr_ or github_pat_ and a token";
    GITLAB_TOKEN "gitlab_token" "shape: glpat-, gldt- or glrt- and a token";
    SLACK_TOKEN "slack_token" "shape: xoxb- and its siblings, xapp-";
    STRIPE_KEY "stripe_key" "shape: sk_live_, rk_live_, their _test_ forms, whsec_";
    VENDOR_KEY "vendor_key" "shape: prefixed keys of other vendors: npm_, hvs., SG., dop_v1_, sk-ant-, shpat_ ...";
    PRIVATE_KEY "private_key" "shape: -----BEGIN ... PRIVATE KEY----- and what follows";
    CARD "card" "shape: 13 to 19 digits of a card issuer with a right check digit; masked ****-1234, also key cvv, card_number";
    IBAN "iban" "shape: an account number of a known country with right check digits (mod 97)";
    PHONE "phone" "shape: a telephone number; also key phone, mobile, tel";
    HEALTH_ID "health_id" "shape or key: insurance and patient numbers of public health systems";
    EMAIL "email" "shape: name@host.domain; masked n***@[REDACTED:email]";
    USERINFO "userinfo" "shape: user:password@ in a URL";
    ENCODED "encoded" "still encoded after as many decodings as are followed: removed unread";
}

const _: () = assert!(CLASSES.len() <= 64, "a set of classes is 64 bits");

impl Class {
    pub(crate) fn name(self) -> &'static str {
        CLASSES[usize::from(self.0)].name
    }
}

/// A set of classes: what was removed from a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found(u64);

impl Found {
    pub(crate) fn add(&mut self, class: Class) {
        self.0 |= 1 << class.0;
    }

    pub(crate) fn merge(&mut self, other: Found) {
        self.0 |= other.0;
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names, in the order of the table, written over `names`.
    pub(crate) fn names(self, names: &mut Vec<&'static str>) {
        names.clear();
        let mut rest = self.0;
        while rest != 0 {
            names.push(CLASSES[rest.trailing_zeros() as usize].name);
            rest &= rest - 1;
        }
    }
}

/// Names of keys (query, JSON, form, matrix parameters, headers in text) whose value is removed, lower case without
/// separators: `X-Api-Key` and `x_api_key` are `xapikey`.
#[rustfmt::skip]
static KEYS_EXACT: &[(Class, &[&str])] = &[
    (Class::AUTHORIZATION, &["authorization", "proxyauthorization", "auth", "authheader"]),
    (Class::COOKIE, &["cookie", "setcookie", "cookies"]),
    (Class::API_KEY, &["key", "apikey", "xapikey", "subscriptionkey", "ocpapimsubscriptionkey", "appkey", "accesskeyid",
        "apitoken", "xgoogapikey", "functionskey", "xfunctionskey", "authkey", "licensekey", "licencekey", "serialkey"]),
    (Class::PASSWORD, &["password", "passwd", "pwd", "pass", "passphrase", "pin", "passcode", "pw", "psw", "senha", "passwort"]),
    (Class::TOKEN, &["token", "jwt", "assertion", "samlresponse", "samlrequest", "bearer", "ticket", "xsrf", "csrf", "saml",
        "xauth", "tkn", "accesstok", "clientassertion", "logintokenhash", "idtokenhint"]),
    (Class::SECRET, &["secret", "credential", "credentials", "creds", "privatekey", "accesskey", "secretkey", "encryptionkey",
        "signingkey", "masterkey", "connectionstring", "accountkey", "sharedaccesskey", "awssecretaccesskey"]),
    (Class::SIGNATURE, &["sig", "signature", "hmac", "xhubsignature", "xhubsignature256"]),
    (Class::CODE, &["code", "otp", "totp", "mfa", "mfacode", "magic", "verificationcode", "authcode", "authorizationcode",
        "codeverifier", "devicecode", "recoverycode", "invitecode", "smscode", "onetimecode", "2fa", "otpcode", "pincode",
        "securitycode", "accesscode", "backupcode", "confirmationcode"]),
    (Class::SESSION, &["session", "sess", "sid", "sessid", "connectsid", "xsession", "sessiontoken", "sessionkey", "aspxauth"]),
    (Class::NATIONAL_ID, &["ssn", "socialsecuritynumber", "socialsecurity", "taxid", "nationalid", "passport",
        "passportnumber", "nino", "driverslicense", "iban"]),
    (Class::CARD, &["cvv", "cvc", "cvv2", "cardnumber", "creditcard", "creditcardnumber", "ccnumber", "ccnum", "cardno"]),
];

/// The same, where the name only ends so: `new_password`, `csrfToken`, `X-Amz-Signature`, `ASP.NET_SessionId`.
#[rustfmt::skip]
static KEYS_ENDING: &[(Class, &[&str])] = &[
    (Class::AUTHORIZATION, &["authorization"]),
    (Class::API_KEY, &["apikey", "subscriptionkey"]),
    (Class::PASSWORD, &["password", "passwd", "passphrase", "passwordhash"]),
    (Class::TOKEN, &["token", "jwt", "securitytoken"]),
    (Class::SECRET, &["secret", "secretkey", "secretaccesskey", "privatekey", "credentials", "accesskey"]),
    (Class::SIGNATURE, &["signature"]),
    (Class::SESSION, &["sessionid", "sessid", "sessiontoken"]),
];

/// The same, where it is the last word of the name: `user_pass`, `smtp-pwd`, `userPin`. Words such as `code` and `key`
/// are not here: `country_code` and `sort_key` say nothing secret.
#[rustfmt::skip]
static KEYS_LAST_WORD: &[(Class, &[&str])] = &[
    (Class::AUTHORIZATION, &["auth"]),
    (Class::PASSWORD, &["pass", "pwd", "pw", "psw", "pin", "passcode"]),
    (Class::SECRET, &["creds", "credential"]),
    (Class::SIGNATURE, &["sig", "hmac"]),
    (Class::CODE, &["otp", "totp", "mfa"]),
    (Class::TOKEN, &["csrf", "xsrf", "tkn"]),
    (Class::SESSION, &["sid", "sess", "session"]),
    (Class::NATIONAL_ID, &["ssn", "iban"]),
    (Class::CARD, &["cvv", "cvc"]),
];

type KeyTable = (FxHashMap<&'static [u8], Class>, [Vec<(&'static [u8], Class)>; 32]);

static KEYS: LazyLock<KeyTable> = LazyLock::new(|| {
    let exact = KEYS_EXACT.iter().flat_map(|(class, keys)| keys.iter().map(|k| (k.as_bytes(), *class))).collect();
    let mut ending: [Vec<(&'static [u8], Class)>; 32] = Default::default();
    for (class, keys) in KEYS_ENDING {
        for key in *keys {
            let last = key.as_bytes()[key.len() - 1];
            ending[usize::from(last & 31)].push((key.as_bytes(), *class));
        }
    }
    (exact, ending)
});

/// Bytes of a normalised key that are looked at; of a longer key the last ones.
const KEY_BYTES: usize = 48;

/// The class of the values under a key of this name, if they are to be removed. `name` may be percent-encoded, quoted
/// in brackets (`user[password]`), dotted (`user.session`), in any case.
pub(crate) fn key_class(name: &[u8]) -> Option<Class> {
    let mut buffer = [0u8; KEY_BYTES];
    class_of(normalise(name, &mut buffer))
        .or_else(|| {
            let dot = name.iter().rposition(|&b| b == b'.')?;
            class_of(normalise(&name[dot + 1..], &mut buffer))
        })
        .or_else(|| {
            let word = normalise(last_word(name)?, &mut buffer);
            let known = |(_, words): &&(Class, &[&str])| words.iter().any(|known| known.as_bytes() == word);
            KEYS_LAST_WORD.iter().find(known).map(|(class, _)| *class)
        })
}

/// What follows the last separator or step from lower to upper case, when there is one.
fn last_word(name: &[u8]) -> Option<&[u8]> {
    let end = name.iter().rposition(|&b| b != b']').map_or(0, |i| i + 1);
    let name = &name[..end];
    let step = |i: usize| name[i].is_ascii_uppercase() && name[i - 1].is_ascii_lowercase();
    (1..name.len()).rev().find_map(|i| match name[i - 1] {
        b'_' | b'-' | b'.' | b'[' => Some(&name[i..]),
        _ if step(i) => Some(&name[i..]),
        _ => None,
    })
}

fn class_of(key: &[u8]) -> Option<Class> {
    if key.len() < 2 {
        return None;
    }
    let (exact, ending) = &*KEYS;
    if let Some(class) = exact.get(key) {
        return Some(*class);
    }
    let candidates = &ending[usize::from(key[key.len() - 1] & 31)];
    candidates.iter().find(|(end, _)| key.ends_with(end)).map(|(_, class)| *class)
}

fn normalise<'b>(name: &[u8], buffer: &'b mut [u8; KEY_BYTES]) -> &'b [u8] {
    // From the right, so that the ending of a long name is what is kept.
    let mut at = KEY_BYTES;
    let mut i = name.len();
    let mut closed = false;
    while i > 0 && at > 0 {
        i -= 1;
        let (byte, width) = match encoded_at(name, i) {
            Some(byte) => (byte, 2),
            None => (name[i], 0),
        };
        i -= width;
        closed = closed || byte == b']';
        if byte == b'[' && closed {
            // `user[password]` is about the password, `password[]` and `password[0]` too.
            if !buffer[at..].iter().all(u8::is_ascii_digit) {
                break;
            }
            at = KEY_BYTES;
        }
        if byte.is_ascii_alphanumeric() {
            at -= 1;
            buffer[at] = byte.to_ascii_lowercase();
        }
    }
    &buffer[at..]
}

/// The byte that `%XX` stands for, when it ends at `i`.
fn encoded_at(name: &[u8], i: usize) -> Option<u8> {
    if i < 2 || name[i - 2] != b'%' {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16);
    Some((digit(name[i - 1])? * 16 + digit(name[i])?) as u8)
}

/// What may follow a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// `A-Z0-9`.
    Capitals,
    /// `A-Za-z0-9_-.`, the characters of vendors' keys.
    Key,
    /// A JWT: the same and `=`, and there must be a dot.
    Dotted,
    /// What RFC 6750 allows a bearer token, and percent escapes.
    Bearer,
    /// Base64 of something with a colon in it.
    Basic,
    /// `... PRIVATE KEY`, up to the end of the block.
    Pem,
}

/// A shape: a prefix, and at least `least` characters of its tail.
pub(crate) struct Shape {
    pub(crate) class: Class,
    pub(crate) prefix: &'static str,
    pub(crate) tail: Tail,
    pub(crate) least: usize,
}

const fn shape(class: Class, prefix: &'static str, tail: Tail, least: usize) -> Shape {
    Shape { class, prefix, tail, least }
}

/// The shapes. Minimum lengths are below what vendors issue, so that a cut key is found too.
#[rustfmt::skip]
pub(crate) static SHAPES: &[Shape] = &[
    shape(Class::JWT, "eyJ", Tail::Dotted, 8), shape(Class::JWT, "eyA", Tail::Dotted, 8),
    shape(Class::JWT, "ewo", Tail::Dotted, 8), shape(Class::JWT, "ew0", Tail::Dotted, 8),
    shape(Class::BEARER, "Bearer ", Tail::Bearer, 4), shape(Class::BEARER, "bearer ", Tail::Bearer, 4),
    shape(Class::BEARER, "BEARER ", Tail::Bearer, 4), shape(Class::BEARER, "Bearer+", Tail::Bearer, 4),
    shape(Class::BEARER, "bearer+", Tail::Bearer, 4),
    shape(Class::BASIC, "Basic ", Tail::Basic, 4), shape(Class::BASIC, "basic ", Tail::Basic, 4),
    shape(Class::BASIC, "BASIC ", Tail::Basic, 4), shape(Class::BASIC, "Basic+", Tail::Basic, 4),
    shape(Class::AWS_KEY, "AKIA", Tail::Capitals, 12), shape(Class::AWS_KEY, "ASIA", Tail::Capitals, 12),
    shape(Class::GCP_KEY, "AIza", Tail::Key, 20), shape(Class::GCP_KEY, "ya29.", Tail::Key, 12),
    shape(Class::GCP_KEY, "GOCSPX-", Tail::Key, 10),
    shape(Class::GITHUB_TOKEN, "ghp_", Tail::Key, 8), shape(Class::GITHUB_TOKEN, "gho_", Tail::Key, 8),
    shape(Class::GITHUB_TOKEN, "ghu_", Tail::Key, 8), shape(Class::GITHUB_TOKEN, "ghs_", Tail::Key, 8),
    shape(Class::GITHUB_TOKEN, "ghr_", Tail::Key, 8), shape(Class::GITHUB_TOKEN, "github_pat_", Tail::Key, 8),
    shape(Class::GITLAB_TOKEN, "glpat-", Tail::Key, 8), shape(Class::GITLAB_TOKEN, "gldt-", Tail::Key, 8),
    shape(Class::GITLAB_TOKEN, "glrt-", Tail::Key, 8),
    shape(Class::SLACK_TOKEN, "xoxa-", Tail::Key, 8), shape(Class::SLACK_TOKEN, "xoxb-", Tail::Key, 8),
    shape(Class::SLACK_TOKEN, "xoxp-", Tail::Key, 8), shape(Class::SLACK_TOKEN, "xoxr-", Tail::Key, 8),
    shape(Class::SLACK_TOKEN, "xoxs-", Tail::Key, 8), shape(Class::SLACK_TOKEN, "xoxe.", Tail::Key, 8),
    shape(Class::SLACK_TOKEN, "xoxe-", Tail::Key, 8), shape(Class::SLACK_TOKEN, "xoxo-", Tail::Key, 8),
    shape(Class::SLACK_TOKEN, "xoxc-", Tail::Key, 8), shape(Class::SLACK_TOKEN, "xoxd-", Tail::Key, 8),
    shape(Class::SLACK_TOKEN, "xapp-", Tail::Key, 8),
    shape(Class::STRIPE_KEY, "sk_live_", Tail::Key, 8), shape(Class::STRIPE_KEY, "rk_live_", Tail::Key, 8),
    shape(Class::STRIPE_KEY, "sk_test_", Tail::Key, 8), shape(Class::STRIPE_KEY, "rk_test_", Tail::Key, 8),
    shape(Class::STRIPE_KEY, "whsec_", Tail::Key, 8),
    shape(Class::VENDOR_KEY, "npm_", Tail::Key, 24), shape(Class::VENDOR_KEY, "hvs.", Tail::Key, 16),
    shape(Class::VENDOR_KEY, "SG.", Tail::Key, 24), shape(Class::VENDOR_KEY, "dop_v1_", Tail::Key, 16),
    shape(Class::VENDOR_KEY, "sk-ant-", Tail::Key, 8), shape(Class::VENDOR_KEY, "sk-proj-", Tail::Key, 8),
    shape(Class::VENDOR_KEY, "shpat_", Tail::Key, 16), shape(Class::VENDOR_KEY, "pypi-", Tail::Key, 24),
    shape(Class::VENDOR_KEY, "hf_", Tail::Key, 24),
    shape(Class::PRIVATE_KEY, "-----BEGIN", Tail::Pem, 0),
];
