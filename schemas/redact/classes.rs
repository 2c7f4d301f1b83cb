//! The classes of secrets and personal data: ONE table. What the `redactions` column may hold are their names, and those of
//! the classes of the configuration.
//!
//! Promises: a class is a number below 64, so that a set of them is a word.
//! Never: looks at a text.

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
    PRIVATE_KEY "private_key" "shape: -----BEGIN ... PRIVATE KEY----- and what follows; lines of a key file; private members of a JWK";
    CARD "card" "shape: 13 to 19 digits of a card issuer with a right check digit, however grouped, or a magnetic stripe; masked ****-1234, also key cvv, card_number";
    IBAN "iban" "shape: an account number of a known country with right check digits (mod 97)";
    PHONE "phone" "shape: a telephone number; also key phone, mobile, tel";
    HEALTH_ID "health_id" "shape or key: insurance and patient numbers of public health systems";
    EMAIL "email" "shape: name@host.domain or name@[address]; masked n***@[REDACTED:email]";
    USERINFO "userinfo" "shape: user:password@ in a URL";
    ENCODED "encoded" "still encoded after as many decodings as are followed: removed unread";
}

const _: () = assert!(
    CLASSES.len() <= OWN_FIRST as usize,
    "a set of classes is 64 bits, the last 16 for classes of the configuration"
);

/// The first number of the configuration's own classes.
pub(crate) const OWN_FIRST: u8 = 48;
/// How many there may be.
pub(crate) const OWN_MAX: usize = 16;

impl Class {
    pub(crate) fn name(self) -> &'static str {
        CLASSES.get(usize::from(self.0)).map_or("own", |class| class.name)
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

    /// The names, in the order of the table, written over `names`; `name` knows those of the configuration.
    pub(crate) fn names(self, name: impl Fn(Class) -> &'static str, names: &mut Vec<&'static str>) {
        names.clear();
        let mut rest = self.0;
        while rest != 0 {
            names.push(name(Class(rest.trailing_zeros() as u8)));
            rest &= rest - 1;
        }
    }
}

/// Is this the name of a class, so that what says it may be a mark of ours?
pub(crate) fn is_known(name: &str) -> bool {
    CLASSES.iter().any(|class| class.name == name) || super::policy::is_own(name)
}
