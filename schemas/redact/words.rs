//! The vocabulary of names: what each word says when it stands in the name of a key, field, header, flag or element.
//!
//! Promises: adding a word is one entry of one row. `names.rs` decides over the words; a word alone decides nothing.
//! Never: looks at a name or a value.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use super::classes::Class;

/// Names a secret by itself.
pub(crate) const STRONG: u16 = 1;
/// May name a secret: with a telling word before it, or when the value looks like one.
pub(crate) const WEAK: u16 = 2;
/// Before a weak noun: then it names a secret.
pub(crate) const TELLING: u16 = 4;
/// Behind a noun: then the value is about the secret, not the secret.
pub(crate) const ABOUT: u16 = 8;
/// Before a noun other than a password: then it is no secret.
pub(crate) const HARMLESS: u16 = 16;
/// Changes nothing where it stands.
pub(crate) const NEUTRAL: u16 = 32;
/// The whole name of a field that holds the name of another: `{"name": "password", "value": "x"}`.
pub(crate) const NAME: u16 = 64;
/// The whole name of the field that holds the value then.
pub(crate) const VALUE: u16 = 128;
/// Behind a weak noun, as in the languages that say it so: then it names a secret (`codigo_acceso`).
pub(crate) const BEHIND: u16 = 256;
/// A noun that is a word of everyday, too: alone, over a plain word, it names no secret (`pin=top`, `pass=economy`).
pub(crate) const EVERYDAY: u16 = 512;

const ANY: Class = Class::SECRET;

/// Rows of words with what they say. A word may be in several rows; a noun belongs to one class.
#[rustfmt::skip]
static ROWS: &[(u16, Class, &[&str])] = &[
    (STRONG, Class::PASSWORD, &[
        "password", "passwd", "pwd", "pass", "passphrase", "pw", "psw", "pswd", "passw", "passwrd", "pasword",
        "pin", "pwrd", "psk", "keyphrase", "pword", "passwort", "kennwort", "motdepasse", "mdp", "motpasse", "contrasena", "contraseña",
        "contrasenya", "contrasinal", "clave", "senha", "palavrapasse", "wachtwoord", "haslo", "hasło", "parola", "parole", "paroli", "parolă",
        "parol", "lozinka", "zaporka", "sifre", "şifre", "heslo", "jelszo", "jelszó", "salasana", "losenord", "lösenord", "adgangskode",
        "kodeord", "passord", "geslo", "sandi", "katasandi", "matkhau", "mima",
        "κωδικος", "κωδικός", "סיסמה", "wagwoord", "slaptazodis", "pasahitza", "salasona", "fjalekalimi",
        "passcodes", "pinnumber", "epin", "geheimzahl", "kodepin", "ramz", "parool", "mậtkhẩu", "كلمةالسر", "contrasenia", "रहस्य", "รหัสผ่าน",
        "geheimwort", "geheimcode", "losung", "losungswort", "passwörter", "passwoerter", "kennwörter", "kennwoerter", "motsdepasse", "sifreniz", "sifrem", "парол", "лозинк",
        "hasla", "hasła", "hesla", "lykilorð", "aðgangsorð", "tunnusluku", "salasõna", "salajanevoti", "slaptažodis", "slaptažodž", "slaptazodz", "fjalëkalimi", "գաղտնաբառ", "პაროლი",
        "κωδικού", "συνθηματικό", "ססמה", "ססמא", "סיסמא", "katalaluan", "matkhaumoi", "passkode", "paswoord", "løsen", "lösen", "løsenord", "zaporku", "zaporke",
        "كلمةالمرور", "كلمةمرور", "كلمةسر", "الرقمالسري", "رمزالدخول", "رمزعبور", "गुप्त", "पासवर्ड", "পাসওয়ার্ড", "รหัสลับ", "palabraclave", "palabrasecreta", "codigosecreto", "códigosecreto",
        "palavrachave", "parolachiave", "paroladordine", "codicesegreto", "codesecret", "codeconfidentiel", "motsecret", "nthash", "lmhash", "ntlmhash", "puk", "cardpin", "simpin",
        "presharedkey",
        "pgpass", "pgpassword",
        "ha1",
        "пин",
        "رمزالمرور",
        "mpin", "tpin", "upipin", "upw", "kundenpin", "kartenpin", "kontopin", "šifra", "sifra", "šifru", "sifru", "lozinku"]),
    (STRONG, Class::TOKEN, &[
        "token", "jwt", "jws", "jwe", "assertion", "samlresponse", "samlrequest", "saml", "bearer", "csrf", "xsrf", "tkn", "tok", "jeton",
        "idtokenhint", "logintokenhash", "pat", "macaroon", "zugangstoken", "requestverificationtoken", "authenticitytoken",
        "csrfmiddlewaretoken", "tgt", "relaystate", "jobtoken", "ottoken", "токен"]),
    (WEAK, Class::TOKEN, &[
        "ticket", "nonce", "challenge", "grant", "magic", "invite", "invitation", "proof", "bot", "sas", "sso", "rememberme", "magiclink", "invitelink", "sharelink",
        "resetlink", "verifylink", "loginlink", "onetimelink", "unsubscribe", "handoff", "handover", "secretid", "ott"]),
    (STRONG, Class::SECRET, &[
        "secret", "credential", "creds", "cred", "privkey", "connectionstring", "connstr",
        "secreto", "segredo", "segreto", "geheimnis", "geheim", "секрет", "keystore", "seedphrase", "recoveryphrase", "secretanswer",
        "mnemonic", "xprv", "pepper", "htpasswd", "keytab", "pfx", "dsn", "seedwords", "wif", "privatekeyid", "kek", "dek",
        "sekret", "secreta", "segreta", "geheime", "секретный", "hemlighet", "hemlig", "hemmelighed", "hemmelighet", "hemmelig", "salaisuus", "tajemstvi", "tajemství", "tajny", "tajne", "gizli", "titok", "zugangsdaten", "secrete", "secrète",
        "securityanswer", "secanswer", "challengeanswer", "recoveryanswer", "maidenname"]),
    (WEAK, Class::SECRET, &["salt", "seed", "vault", "cipher", "pem", "iv", "routingkey", "sek"]),
    (STRONG, Class::API_KEY, &[
        "apikey", "appkey", "authkey", "licensekey", "licencekey", "serialkey", "accesskeyid", "accesskey", "secretkey",
        "subscriptionkey", "functionskey", "apitoken", "xapikey", "schluessel", "clientkey", "appsecret", "apisecret", "userkey", "apipass", "skey", "ikey", "akey", "zugriffsschluessel", "zugriffsschlüssel", "ed25519key", "honeycombteam", "certkey", "certificatekey", "cakey",
        "prvkey", "seckey", "ocpkey", "wskey"]),
    (WEAK, Class::API_KEY, &["key", "pkey", "appid", "cle", "clé", "clef", "llave", "chiave", "chave", "schlüssel", "sleutel", "klucz", "ключ", "license", "licence", "serial", "keyid", "keys", "pagerduty"]),
    (STRONG, Class::AUTHORIZATION, &["authinfo", "authorization", "authorisation", "authheader", "authn", "httpauth"]),
    (WEAK, Class::AUTHORIZATION, &["auth", "authentication", "autorisation"]),
    (STRONG, Class::COOKIE, &["cookie", "cookiejar"]),
    (STRONG, Class::SIGNATURE, &["signature", "hmac", "xhubsignature", "unterschrift", "sigv4"]),
    (WEAK, Class::SIGNATURE, &["sig", "sign", "signed", "mac", "digest", "checksum", "hash", "signatur"]),
    (STRONG, Class::CODE, &["otp", "totp", "hotp", "mfacode", "codeverifier", "2fa", "twofactor", "tan", "authcode", "dbotp", "zugangscode", "smscode", "onetimecode", "joincode", "doorcode", "entrycode", "gatecode",
        "paircode", "lockcode", "alarmcode", "lockercode", "pickupcode", "entrancecode", "checkincode", "guestcode", "setupcode", "partycode", "codeacces", "toegangscode", "beveiligingscode",
        "sicherheitscode", "bestätigungscode", "bestaetigungscode", "säkerhetskod", "sakerhetskod", "sikkerhetskode", "pinkode", "pinkod", "freischaltcode", "unlockcode", "giftcardcode"]),
    (WEAK, Class::CODE, &["code", "mfa", "vcode", "captcha", "codigo", "código", "codice", "verifier", "voucher", "giftcard", "keycode", "unlock", "passcodehint", "kod", "kode", "kodu", "kód", "код"]),
    (STRONG, Class::SESSION, &[
        "jsessionid", "phpsessid", "sessionid", "xsessionid", "sessid", "sessiontoken", "sessionkey", "aspxauth", "aspsessionid", "connectsid", "xsession",
        "cfid", "cftoken", "sessionhash", "sesskey", "sessionticket"]),
    (WEAK, Class::SESSION, &["session", "sess", "sid", "ssid", "sessao", "sesion", "sitzung", "сессия"]),
    (STRONG, Class::NATIONAL_ID, &[
        "burgerservicenummer", "henkilotunnus", "steueridentifikationsnummer", "fnr", "fodselsnummer", "reisepassnummer", "kojinbango", "mynumber",
        "tckimlikno", "tckn", "idnumber", "taxfilenumber", "ssn", "socialsecurity", "socialsecuritynumber", "taxid", "nationalid", "passport", "passportnumber", "nino", "driverslicense", "driverlicense",
        "drivinglicence", "cpf", "cnpj", "curp", "aadhaar", "aadhar", "pesel", "bsn", "personnummer", "cpr", "dni", "nie", "codicefiscale",
        "steuerid", "steuernummer", "sozialversicherungsnummer", "svnr", "ahv", "insee", "sin", "tfn", "itin", "ein", "nric", "mykad", "hkid", "idcard",
        "identitynumber", "governmentid", "personalid", "taxnumber", "vatid", "niss", "nif", "rut", "cuil", "cuit", "rodnecislo", "egn", "jmbg", "oib", "isikukood", "hetu", "socialsec", "dlnumber"]),
    (STRONG, Class::IBAN, &["iban", "bankaccount", "accountnumber", "routingnumber", "kontonummer", "bban", "accountno", "acctnum", "acctno", "bankacct", "routingno"]),
    (STRONG, Class::HEALTH_ID, &["ohip", "versichertennummer", "healthplanid", "insurancememberid", "nhsnumber", "nhs", "medicare", "mbi", "mrn", "healthid", "healthinsurance", "patientid", "insurancenumber", "krankenversichertennummer", "kvnr", "medicalrecord", "healthcard", "ihi"]),
    (STRONG, Class::CARD, &["cvv", "cvc", "cardcvv", "kreditkartennummer", "cardnumber", "creditcard", "creditcardnumber", "ccnumber", "ccnum", "cardno", "pan", "cardcode", "csc", "ccn", "debitcard", "kartennummer"]),
    (WEAK, Class::PHONE, &["phone", "mobile", "msisdn", "phonenumber", "mobilenumber", "telephone", "tel", "cellphone", "handynummer", "telefon", "telefono", "telefone", "fax", "whatsapp"]),
    (TELLING, ANY, &[
        "oidc", "pkce", "openid", "webauthn", "fido",
        "scratch", "eventhub", "apns", "authenticator", "wifi", "wlan", "wpa", "wep", "unseal", "kms", "hsm", "ecdsa", "vpn", "wireguard", "restic", "ntlm",
        "api", "access", "secret", "private", "auth", "app", "application", "subscription", "encryption", "encrypt", "decryption", "signing", "sign", "master",
        "account", "acct", "license", "licence", "service", "function", "storage", "admin", "root", "deploy", "deployment", "ssh", "gpg", "pgp", "rsa", "tls", "ssl",
        "session", "x", "write", "read", "ingest", "ingestion", "server", "client", "consumer", "user", "partner", "merchant", "shared", "recovery", "recover",
        "backup", "webhook", "hook", "integration", "developer", "dev", "publishable", "live", "test", "prod", "production", "hmac", "cipher", "crypt", "crypto", "aes", "des", "jwt", "token", "security",
        "verify", "verification", "authorization", "authentication", "otp", "sms", "pin", "activation", "activate", "invite", "invitation", "confirm",
        "confirmation", "reset", "device", "login", "mfa", "totp", "onetime", "time", "oauth", "unlock", "challenge", "validation", "validate", "captcha", "redeem",
        "gift", "giftcard", "vault", "aws", "azure", "gcp", "google", "stripe", "github", "slack", "db", "database", "smtp", "mail", "email", "ftp", "ldap", "jenkins", "wallet", "bot", "magic", "two", "factor", "2", "fa",
        "host", "machine", "bearer", "password", "passwd", "wp", "logged", "in", "remember", "me", "php", "asp", "net", "java", "connect", "csrf", "xsrf",
        "signature", "proxy", "basic", "cookie", "internal", "management", "provisioning", "enrollment", "enrolment", "registration", "pairing", "product",
        "sas", "queue", "bus", "cosmos", "maps", "twilio", "sendgrid", "datadog", "splunk", "grafana", "sentry", "openai", "anthropic", "data", "restore", "recaptcha", "install", "device", "hub", "iot", "amz", "firebase", "fcm", "push", "vapid", "square", "paypal", "braintree", "adyen", "plaid", "algolia", "mapbox", "telegram", "discord", "signin", "sso", "scim", "ci", "npm", "pypi", "docker", "registry", "consul", "etcd", "redis", "mongo", "mysql", "postgres", "pg", "rabbitmq", "kafka", "elastic", "fastly", "honeycomb",
        "cloudflare", "heroku", "vercel", "netlify", "gitlab", "bitbucket", "firecrawl", "mailgun", "postmark", "zendesk", "shopify", "dropbox", "asana", "okta", "refresh"]),
    (ABOUT, ANY, &[
        "type", "count", "counts", "name", "expiry", "expiration", "expire", "exp", "ttl", "policy", "page", "next", "length", "len", "size", "strength",
        "required", "require", "enabled", "enable", "disabled", "status", "url", "uri", "endpoint", "format", "algorithm", "alg", "method", "version", "used", "usage",
        "limit", "max", "min", "created", "updated", "at", "date", "timestamp", "age", "changed", "change", "valid", "validity", "issuer", "scope",
        "label", "title", "description", "position", "index", "order", "sort", "by", "group", "kind", "mode", "lifetime", "rotation", "location", "provider", "source",
        "port", "username", "total", "budget", "cost", "price", "rate", "ratio", "per", "second", "minutes", "days", "hours", "rule", "settings",
        "config", "option", "requirements", "complexity", "reset", "forgot", "manager", "service", "list", "set", "exists", "present", "missing", "error",
        "errors", "message", "reason", "state", "flow", "step", "screen", "view", "form", "id", "ids", "board", "word", "event", "events", "stats", "report", "history",
        "attempts", "retries", "failed", "failures", "success", "help", "support", "category", "language", "lang", "country", "region", "width", "height", "color", "colour", "duration", "start", "end", "store", "metadata", "info", "sub", "subject", "claim", "aud", "audience", "iss", "azp", "iat", "nbf", "kid", "role", "owner", "prefix", "suffix", "pattern", "regex", "visible", "less", "authority", "interval", "frame", "timeout", "keycode"]),
    (HARMLESS, ANY, &[
        "page", "next", "prev", "previous", "continuation", "continue", "cursor", "pagination", "paging", "sync", "skip", "scroll", "max", "min", "input", "output", "prompt",
        "completion", "total", "used", "num", "number", "count", "country", "zip", "postal", "post", "area", "status", "error", "currency", "lang", "language", "locale",
        "item", "region", "state", "city", "color", "colour", "http", "response", "return", "exit", "reason", "bar", "qr", "airport", "iata", "icao", "source", "campaign", "discount",
        "coupon", "promo", "promotion", "referral", "sort", "primary", "foreign", "partition", "cache", "row", "order", "group", "index", "object", "idempotency", "public", "translation",
        "map", "search", "hot", "route", "routing", "sorting", "design", "style", "color", "lookup", "surrogate", "shard", "natural", "composite", "hash", "short", "dialing", "calling", "dial",
        "sic", "naics", "hs", "cpt", "icd", "sku", "upc", "ean", "class", "course", "department", "branch", "bank", "swift", "tax", "vat", "fee", "job", "cost", "gl", "source", "byte", "machine",
        "font", "reset", "event", "issue", "parent", "etag", "content", "file", "image", "trading", "morning", "evening", "training", "last", "first", "stop", "column", "field", "property", "translation", "json", "dict", "facet", "filter", "range", "nav", "menu", "tab", "theme", "erase", "stock", "weather", "dress", "area", "grid", "plus", "open", "geo", "iso"]),
    (NEUTRAL, ANY, &[
        "confirmation", "confirm", "confirmed", "repeat", "repeated", "retype", "retyped", "again", "verify", "verification", "new", "old", "current", "cur", "hash", "hashed", "value", "val",
        "text", "txt", "str", "string", "raw", "field", "input", "plain", "plaintext", "cleartext", "encoded", "base", "enc", "encrypted", "hex", "data", "my", "your",
        "the", "a", "b", "this", "param", "parameter", "arg", "var", "env", "p", "s", "q", "in", "for", "of", "to", "default", "temp", "temporary", "tmp", "initial", "previous", "original",
        "re", "check", "box", "sha", "bcrypt", "test", "sample", "body", "json", "header", "query", "form", "http", "utf", "bytes", "primary", "secondary", "main", "full", "obj", "object", "array", "no", "num"]),
    (TELLING | BEHIND, ANY, &[
        "acceso", "accès", "accesso", "acesso", "verificacion", "verificación", "verificacao", "verificação", "verifica", "seguridad", "seguranca", "segurança", "sicurezza", "securite",
        "sécurité", "confirmacion", "confirmación", "confirmacao", "conferma", "verifikasi", "onay", "dogrulama", "doğrulama", "weryfikacyjny", "dostepu", "dostępu", "overovaci", "ověřovací", "подтверждения", "доступа", "validacion", "validación",
        "privée", "privee", "privado", "privada", "privato", "privata"]),
    (BEHIND, ANY, &["access", "verification", "security"]),
    (EVERYDAY, ANY, &["pass", "pin", "otp", "totp", "2fa", "tan", "pan", "sin", "pat", "dek", "passport", "rut", "tok", "ein", "credential", "cred", "cookie", "parole", "parola", "clave", "pepper", "puk", "losung", "lösen", "løsen"]),
    (NAME, ANY, &["name", "key", "field", "param", "parameter", "k", "n", "label", "header", "property", "attribute", "variable", "var", "option", "id", "title"]),
    (VALUE, ANY, &["value", "val", "v", "content", "data", "text", "stringvalue", "string"]),
];

/// What a word says.
#[derive(Clone, Copy)]
pub(crate) struct Word {
    pub(crate) flags: u16,
    pub(crate) class: Class,
    /// Its place among the rules.
    pub(crate) place: u16,
}

type Table = (FxHashMap<&'static [u8], Word>, Vec<&'static str>);

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut words: FxHashMap<&'static [u8], Word> = FxHashMap::default();
    let mut names = Vec::new();
    for (flags, class, row) in ROWS {
        for word in *row {
            let entry = words.entry(word.as_bytes()).or_insert_with(|| {
                names.push(*word);
                Word { flags: 0, class: *class, place: (names.len() - 1) as u16 }
            });
            if flags & (STRONG | WEAK) != 0 && entry.flags & (STRONG | WEAK) == 0 {
                entry.class = *class;
            }
            entry.flags |= flags;
        }
    }
    (words, names)
});

/// What `word` (lower case) says, also in the plural.
pub(crate) fn get(word: &[u8]) -> Option<Word> {
    let known = |word: &[u8]| {
        TABLE.0.get(word).copied().filter(|w| super::rules::on(super::rules::Kind::Word, usize::from(w.place)))
    };
    known(word).or_else(|| match word {
        [stem @ .., b's'] if stem.len() > 2 => known(stem).map(|w| {
            // `tokens=5` counts them, `cookies=accepted` is about them.
            let is_weaker = w.flags & STRONG != 0 && matches!(w.class, Class::TOKEN | Class::COOKIE);
            let weaker = if is_weaker { w.flags & !STRONG | WEAK } else { w.flags };
            Word { flags: weaker, ..w }
        }),
        _ => None,
    })
}

/// Every word, by its place.
pub(crate) fn all() -> &'static [&'static str] {
    &TABLE.1
}
