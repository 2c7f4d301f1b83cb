//! Names of keys whose values are secrets: words, put together in the ways in which people name things.
//!
//! The lists are of this hunt; what is asked of the redactor is that it knows the kind of name, not these names.

use std::collections::BTreeSet;

use super::Sample;
use super::rng::Rng;

/// One word each, good for any of the ways below.
const WORDS: &[&str] =
    &["password", "passwd", "pwd", "passphrase", "passcode", "secret", "token", "apikey", "pin", "otp"];

/// Words for a password in other languages, in the forms in which they are typed.
const OTHER_LANGUAGES: &[&str] = &[
    "passwort",
    "kennwort",
    "contraseña",
    "contrasena",
    "contrasenia",
    "clave",
    "senha",
    "mdp",
    "motdepasse",
    "mot_de_passe",
    "mot-de-passe",
    "wachtwoord",
    "lösenord",
    "losenord",
    "adgangskode",
    "passord",
    "salasana",
    "heslo",
    "hasło",
    "haslo",
    "parola",
    "parolă",
    "jelszó",
    "jelszo",
    "şifre",
    "sifre",
    "parool",
    "slaptazodis",
    "geslo",
    "lozinka",
    "zaporka",
    "пароль",
    "parol",
    "密码",
    "口令",
    "mima",
    "パスワード",
    "비밀번호",
    "κωδικός",
    "kata_sandi",
    "katasandi",
    "mật_khẩu",
    "mat_khau",
    "geheim",
    "geheimnis",
    "schluessel",
    "schlüssel",
    "segreto",
    "jeton",
    "chave",
    "contrasenya",
    "סיסמה",
    "كلمة_السر",
    "pasahitza",
    "zugangscode",
    "zugriffstoken",
    "cle_api",
    "clave_api",
    "chave_api",
    "nuevaClave",
    "novaSenha",
    "passwort2",
    "kennwortNeu",
    "motDePasseConfirmation",
    "confirmar_senha",
    "repetir_contrasena",
    "wachtwoordHerhalen",
    "sekret",
    "geheimwort",
    "losung",
    "lösenordet",
    "wachtwoorden",
    "mots_de_passe",
    "codigo_acceso",
    "codigoVerificacion",
    "código_de_acceso",
    "code_verification",
    "sifreniz",
    "验证码",
    "短信验证码",
    "秘密",
    "登录密码",
    "暗証番号",
    "認証コード",
    "비번",
    "인증번호",
    "كلمة_المرور",
    "кодПодтверждения",
    "новый_пароль",
    "паролем",
    "salasanani",
    "passordet",
    "adgangskoden",
    "säkerhetskod",
    "toegangscode",
    "Sicherheitscode",
    "kode_verifikasi",
    "onay_kodu",
    "kata_laluan",
    "palabra_secreta",
    "palavra_chave",
    "κωδικού",
    "ססמה",
    "hemlighet",
    "tajemství",
];

/// Names of several words.
const COMPOUNDS: &[&str] = &[
    "access token",
    "refresh token",
    "id token",
    "auth token",
    "session token",
    "csrf token",
    "api token",
    "bearer token",
    "device token",
    "reset token",
    "invite token",
    "verification token",
    "oauth token",
    "login token",
    "security token",
    "api key",
    "app key",
    "access key",
    "secret key",
    "private key",
    "encryption key",
    "signing key",
    "master key",
    "subscription key",
    "account key",
    "storage key",
    "consumer key",
    "service key",
    "ssh key",
    "license key",
    "deploy key",
    "client secret",
    "app secret",
    "shared secret",
    "consumer secret",
    "webhook secret",
    "token secret",
    "totp secret",
    "session id",
    "session key",
    "auth code",
    "verification code",
    "security code",
    "mfa code",
    "backup code",
    "login code",
    "one time password",
    "user password",
    "admin password",
    "db password",
    "smtp password",
    "root password",
    "wifi password",
    "card number",
    "credit card",
    "card cvv",
    "account password",
    "password hash",
    "auth cookie",
    "client assertion",
    "recovery phrase",
    "seed phrase",
    "secret answer",
    "connection string",
    "private token",
    "temp password",
    "ftp pass",
    "oidc nonce",
    "pkce verifier",
    "clé api",
    "llave privada",
];

/// Names as programs and standards have them.
const AS_THEY_ARE: &[&str] = &[
    "dbpass",
    "upass",
    "mypass",
    "ftppass",
    "dbpwd",
    "adminpsw",
    "pkey",
    "cle_api",
    "clef",
    "cuit",
    "sifra",
    "pa55word",
    "p4ssw0rd",
    "s3cret",
    "userPa55word",
    "t0ken",
    "p\u{430}ssword",
    "\u{440}\u{430}ssw\u{43e}rd",
    "pass\u{200b}word",
    "ｐａｓｓｗｏｒｄ",
    "\u{1d429}\u{1d41a}\u{1d42c}\u{1d42c}\u{1d430}\u{1d428}\u{1d42b}\u{1d41d}",
    "PHPSESSID",
    "JSESSIONID",
    "ASP.NET_SessionId",
    "connect.sid",
    "sessid",
    "sid",
    "laravel_session",
    "ci_session",
    "_csrf",
    "xsrf",
    "csrfmiddlewaretoken",
    "authenticity_token",
    "__RequestVerificationToken",
    "X-CSRF-Token",
    "X-XSRF-TOKEN",
    "SAMLResponse",
    "SAMLRequest",
    "id_token_hint",
    "code_verifier",
    "device_code",
    "oauth_verifier",
    "oauth_signature",
    "assertion",
    "ticket",
    "X-Auth-Token",
    "X-Api-Key",
    "x-amz-security-token",
    "X-Amz-Signature",
    "X-Goog-Signature",
    "Proxy-Authorization",
    "X-Vault-Token",
    "X-Gitlab-Token",
    "PRIVATE-TOKEN",
    "Job-Token",
    "X-Hub-Signature-256",
    "X-Shopify-Access-Token",
    "X-Functions-Key",
    "X-Auth-Key",
    "Ocp-Apim-Subscription-Key",
    "authorization",
    "Authorization",
    "auth",
    "x-auth",
    "cookie",
    "Set-Cookie",
    "bearer",
    "jwt",
    "GITHUB_TOKEN",
    "GH_PAT",
    "NPM_TOKEN",
    "SLACK_BOT_TOKEN",
    "OPENAI_API_KEY",
    "STRIPE_SECRET_KEY",
    "DATADOG_API_KEY",
    "CI_JOB_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "DJANGO_SECRET_KEY",
    "SECRET_KEY_BASE",
    "RAILS_MASTER_KEY",
    "PGPASSWORD",
    "MYSQL_PWD",
    "MYSQL_ROOT_PASSWORD",
    "REDIS_PASSWORD",
    "DB_PASS",
    "DATABASE_PASSWORD",
    "SMTP_PASS",
    "ansible_become_pass",
    "spring.datasource.password",
    "javax.net.ssl.keyStorePassword",
    "user_pass",
    "userpass",
    "login_pwd",
    "loginPwd",
    "txtPassword",
    "j_password",
    "pma_password",
    "log_pwd",
    "os_password",
    "rememberme_token",
    "persistent_token",
    "api_secret",
    "apiSecret",
    "hmac",
    "hmac_key",
    "signature",
    "sig",
    "sign",
    "x_signature",
    "sas_token",
    "sastoken",
    "cvv",
    "cvv2",
    "cvc",
    "csc",
    "card_pan",
    "iban",
    "ssn",
    "social_security_number",
    "socialSecurityNumber",
    "passport_number",
    "national_id",
    "nationalIdNumber",
    "tax_id",
    "drivers_license",
    "bank_account",
    "account_number",
    "credential",
    "credentials",
    "creds",
    "client_key_data",
    "mnemonic",
    "seedphrase",
    "privkey",
    "priv_key",
    "private_key_pem",
    "keystore_pass",
    "truststorePassword",
    "tls_key",
    "enc_key",
    "aes_key",
    "hmacSecret",
    "pat",
    "access_pat",
    "gh_token",
    "glpat_token",
    "bot_token",
    "botToken",
    "webhook_token",
    "push_token",
    "fcm_token",
    "apns_token",
    "registration_token",
    "auth_session",
    "authsession",
    "session_cookie",
    "ssoToken",
    "sso_ticket",
    "magic_token",
    "magicLinkToken",
    "email_token",
    "unsubscribe_token",
    "confirm_token",
    "activation_key",
    "activation_code",
    "invite_code",
    "otp_code",
    "otpcode",
    "totp",
    "mfa_token",
    "2fa_code",
    "twofactor_code",
    "two_factor_token",
    "sms_code",
    "smscode",
    "verify_code",
    "verifycode",
    "passkey",
    "pass_key",
    "pass_phrase",
    "passPhrase",
    "unlock_code",
    "unlockPin",
    "pin_code",
    "pincode_secret",
    "atm_pin",
    "new_pin",
    "appid_secret",
    "appSecret",
    "app_secretkey",
    "secretkey",
    "secretaccesskey",
    "accesskeysecret",
    "accesskey",
    "accessKeyId",
    "dbpw",
    "bindpw",
    "adminpw",
    "rootpw",
    "smtppw",
    "userpw",
    "loginpw",
    "mypw",
    "pwhash",
    "keystorepw2",
    "wifi_key",
    "wpakey",
    "unseal_key",
    "kms_key",
    "dek",
    "cert_key",
    "certkey",
    "prvkey",
    "seckey",
    "ikey",
    "akey",
    "ocp_key",
    "cardpin",
    "kundenpin",
    "upw",
    "simpin",
    "paircode",
    "join_code",
    "door_code",
    "entryCode",
    "security_answer",
    "mothers_maiden_name",
    "ntlm_hash",
    "nt_hash",
    "vpn_key",
];

/// Names whose values are secrets where they are drawn.
pub const DRAWN: &[&str] = &[
    "magic_link",
    "magic",
    "invite",
    "invitation",
    "ticket",
    "seed",
    "salt",
    "sas",
    "sso",
    "remember_me",
    "rememberMe",
    "secret_id",
    "vault_secret_id",
    "routing_key",
    "one_time_link",
    "proof",
    "handoff",
];

/// A name in the writing that `style` has.
fn written(words: &[&str], style: usize) -> String {
    let upper = |w: &str| w[..1].to_uppercase() + &w[1..];
    match style {
        0 => words.join("_"),
        1 => words[0].to_string() + &words[1..].iter().map(|w| upper(w)).collect::<String>(),
        2 => words.iter().map(|w| upper(w)).collect(),
        3 => words.join("-"),
        4 => words.join("_").to_uppercase(),
        5 => words.concat(),
        6 => words.join("."),
        7 => words.iter().map(|w| upper(w)).collect::<Vec<_>>().join("-"),
        8 => words.concat().to_uppercase(),
        _ => words.iter().map(|w| upper(w)).collect::<Vec<_>>().join("_"),
    }
}

/// All names, each once, in a fixed order.
pub fn all() -> Vec<String> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for compound in COMPOUNDS {
        let words: Vec<&str> = compound.split(' ').collect();
        for style in 0..10 {
            names.insert(written(&words, style));
        }
        names.insert(format!("{}s", written(&words, 0)));
        names.insert(format!("{}2", written(&words, 1)));
        names.insert(format!("X-{}", written(&words, 7)));
        names.insert(format!("my_{}", written(&words, 0)));
        names.insert(format!("data[{}]", written(&words, 0)));
        names.insert(format!("{}_v2", written(&words, 0)));
    }
    for word in WORDS {
        for before in
            ["user", "new", "old", "current", "my", "admin", "login", "db", "confirm", "repeat", "temp", "account"]
        {
            names.insert(written(&[before, word], 0));
            names.insert(written(&[before, word], 1));
        }
        for before in ["user", "new", "old", "db"] {
            names.insert(written(&[before, word], 5));
        }
        for behind in ["confirmation", "confirm", "again", "value", "repeat", "new", "old", "field", "input"] {
            names.insert(written(&[word, behind], 0));
            names.insert(written(&[word, behind], 1));
        }
        for behind in ["1", "2", "_1", "-2", "s", "[]", "[0]"] {
            names.insert(format!("{word}{behind}"));
        }
        names.insert(format!("user[{word}]"));
        names.insert(format!("user.{word}"));
        names.insert(format!("login[user][{word}]"));
        names.insert(word.to_uppercase());
    }
    names.extend(OTHER_LANGUAGES.iter().map(|w| (*w).to_string()));
    names.extend(AS_THEY_ARE.iter().map(|w| (*w).to_string()));
    names.into_iter().collect()
}

/// Those of `DRAWN`, with what is drawn: letters and digits, hexadecimal, a UUID.
pub fn drawn() -> Vec<Sample> {
    let mut samples = Vec::new();
    for name in DRAWN {
        let mut rng = Rng::of(&format!("drawn {name}"));
        let hex = rng.text(b"0123456789abcdef", 32);
        let uuid = format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..]);
        for value in [rng.secret(12), rng.secret(24), hex, uuid] {
            samples.push(Sample {
                class: "names",
                name: format!("{name}, drawn"),
                text: format!("a=1&{name}={value}"),
                parts: vec![value],
            });
        }
    }
    samples
}

/// A value of the kind that `name` may have: mostly random letters and digits, at times letters alone or digits alone.
pub fn value(name: &str) -> String {
    let mut rng = Rng::of(name);
    let lower = name.to_lowercase();
    let chosen_by_people = ["pass", "pwd", "secret", "token"].iter().any(|w| lower.contains(w));
    match rng.below(8) {
        0 if chosen_by_people => format!("swordfish{}", rng.text(b"bcdghjklmnpqrstvwxz", 8)),
        1 if chosen_by_people => rng.digits(10),
        2 => rng.text(b"0123456789abcdef", 32),
        3 => rng.secret(40),
        _ => rng.secret(16),
    }
}

/// How a pair is written, for every name: query, form in a text, JSON, a header in a text.
pub const FORMS: [&str; 4] = ["query", "form", "json", "header"];

pub fn sample(name: &str, form: &str) -> Sample {
    let value = value(name);
    let text = match form {
        "query" => format!("{name}={value}"),
        "form" => format!("a=1&{name}={value}&b=2"),
        "json" => format!(r#"{{"a":1,"{name}":"{value}","b":[2]}}"#),
        _ => format!("x; {name}: {value}"),
    };
    Sample { class: "names", name: format!("{name} ({form})"), text, parts: vec![value] }
}
