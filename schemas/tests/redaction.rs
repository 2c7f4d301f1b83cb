//! What redaction makes of texts, class by class: fixtures of what goes, and of what must stay as it is.

use std::borrow::Cow;

use schemas::{redact::CLASSES, scrub};

/// Texts and what becomes of them. Every class of the table is there.
const FIXTURES: &[(&str, &str)] = &[
    // By the name of the key.
    ("ann@mail.example:Fake-Pa55word", "a***@[REDACTED:email]:[REDACTED:password]"),
    (
        "x=ann@mail.example|fake4word,bob@mail.example;fake5word",
        "x=a***@[REDACTED:email]|[REDACTED:password],b***@[REDACTED:email];[REDACTED:password]",
    ),
    ("/x/SK0123456789abcdef0123456789abcdef.json", "/x/[REDACTED:vendor_key].json"),
    ("a=1&password=fake&b=2", "a=1&password=[REDACTED:password]&b=2"),
    ("PASSWD=fake", "PASSWD=[REDACTED:password]"),
    ("user%5Bpassword%5D=fake&x=1", "user%5Bpassword%5D=[REDACTED:password]&x=1"),
    ("user[password]=fake", "user[password]=[REDACTED:password]"),
    ("access_token=fake;b=2", "access_token=[REDACTED:token];b=2"),
    ("csrfToken=fake", "csrfToken=[REDACTED:token]"),
    ("client_secret=fake#x", "client_secret=[REDACTED:secret]"),
    ("X-Amz-Signature=fake&X-Amz-Date=20240101", "X-Amz-Signature=[REDACTED:signature]&X-Amz-Date=20240101"),
    ("code=fakeA9x2Kq&state=s", "code=[REDACTED:code]&state=s"),
    ("/app;jsessionid=fake1;v=1?x=1", "/app;jsessionid=[REDACTED:session];v=1?x=1"),
    ("key=fakeA9x2Kq", "key=[REDACTED:api_key]"),
    ("https://r.example/key=fakeA9x2Kq?x=key=fakeA9x2Kq", "https://r.example/key=[REDACTED:api_key]"),
    ("x_api_key=fakeA9x2Kq", "x_api_key=[REDACTED:api_key]"),
    ("user.session=fakeA9x2Kq", "user.session=[REDACTED:session]"),
    ("ssn=078051120", "ssn=[REDACTED:national_id]"),
    // What people choose holds any character.
    ("user=a&password=fa'ke;fa ke&b=2", "user=a&password=[REDACTED:password]&b=2"),
    ("password='fa'ke", "password=[REDACTED:password]"),
    ("password= fake fake", "password= [REDACTED:password]"),
    ("log=a&user_pass=fake", "log=a&user_pass=[REDACTED:password]"),
    ("smtpPwd=fake&otp_code=1", "smtpPwd=[REDACTED:password]&otp_code=[REDACTED:code]"),
    ("user[db-pass]=fake", "user[db-pass]=[REDACTED:password]"),
    (r#"{"credentials":{"user":"a}b","x":"fake"},"y":1}"#, r#"{"credentials":[REDACTED:secret],"y":1}"#),
    ("iban=DE68634931801885858541", "iban=[REDACTED:iban]"),
    ("x=phone%3D555-0100-123&y=1", "x=[REDACTED:phone]&y=1"),
    ("patient_id=p4711fake", "patient_id=[REDACTED:health_id]"),
    ("cvv=123", "cvv=[REDACTED:card]"),
    ("Authorization: Digest username=x", "Authorization: [REDACTED:authorization]"),
    ("Cookie: a=b; c=d", "Cookie: [REDACTED:cookie]"),
    // JSON, also in JSON, also without quotes around the value.
    (r#"{"user":"u","password":"fake pass"}"#, r#"{"user":"u","password":"[REDACTED:password]"}"#),
    (r#"{"pin": 1234, "x": 1}"#, r#"{"pin": [REDACTED:password], "x": 1}"#),
    (r#"{"token":["fake",{"a":1}],"x":1}"#, r#"{"token":[REDACTED:token],"x":1}"#),
    (r#"{"password":"fa\"ke","x":1}"#, r#"{"password":"[REDACTED:password]","x":1}"#),
    // By what stands around them.
    ("/users/bob.smith@mail.example.com.json", "/users/b***@[REDACTED:email].json"),
    ("u=alice@corp.de.pdf", "u=a***@[REDACTED:email].pdf"),
    ("x +14155647451 12", "x +**-**51 12"),
    ("AUTH PLAIN AGJvYgBmYWtlcGFzcw==", "AUTH PLAIN [REDACTED:basic]"),
    ("AUTHENTICATE+PLAIN+AGJvYgBmYWtlcGFzcw==", "AUTHENTICATE+PLAIN+[REDACTED:basic]"),
    ("auth login password fakeA9x2Kq", "auth login password [REDACTED:password]"),
    ("bob:fakeA9x2Kq@db", "[REDACTED:userinfo]@db"),
    ("filter[api_key]=fakeKey1234&x=1", "filter[api_key]=[REDACTED:api_key]&x=1"),
    ("filters[token]=fakeTok29z", "filters[token]=[REDACTED:token]"),
    ("bob:fake4word@db/shop and v:fake@db/shop", "[REDACTED:userinfo]@db/shop and [REDACTED:userinfo]@db/shop"),
    ("bob:v4fakE@db/shop, bob:tagfake@db/shop", "[REDACTED:userinfo]@db/shop, [REDACTED:userinfo]@db/shop"),
    ("repo:tag1234@registry.example/path", "[REDACTED:userinfo]@registry.example/path"),
    ("/x/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.json", "/x/[REDACTED:vendor_key].json"),
    ("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.fake~WyJzYWx0IiwibmFtZSIsIkZha2UiXQ~ y", "[REDACTED:jwt] y"),
    // By shape.
    ("x eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.fake y", "x [REDACTED:jwt] y"),
    ("Bearer fake-token", "Bearer [REDACTED:bearer]"),
    ("Basic dXNlcjpmYWtl", "Basic [REDACTED:basic]"),
    ("id AKIAFAKEFAKEFAKEFAKE.", "id [REDACTED:aws_key]."),
    ("/AIzaFakeFakeFakeFakeFakeFakeFakeFakeFak/", "/[REDACTED:gcp_key]/"),
    ("ghp_fakefakefakefake", "[REDACTED:github_token]"),
    ("glpat-fakefakefake", "[REDACTED:gitlab_token]"),
    ("xoxb-fake-fake-fake", "[REDACTED:slack_token]"),
    ("sk_live_fakefakefake", "[REDACTED:stripe_key]"),
    ("hvs.fakefakefakefakefake", "[REDACTED:vendor_key]"),
    ("-----BEGIN PRIVATE KEY-----\nfake\n-----END PRIVATE KEY----- x", "[REDACTED:private_key] x"),
    ("card 4111 1111 1111 1111 ok", "card ****-1111 ok"),
    ("3782-822463-10005", "****-0005"),
    ("/pay/5500005555555559/x", "/pay/****-5559/x"),
    ("/transfer/DE68634931801885858541/x", "/transfer/DE**-****-8541/x"),
    ("iban=DE68634931801885858541", "iban=[REDACTED:iban]"),
    ("phone=+14155555989", "phone=+**-**89"),
    ("nhs 943 476 5919", "nhs [REDACTED:health_id]"),
    ("/u/536-22-9677", "/u/***-**-9677"),
    ("mail to maria@example.com.", "mail to m***@[REDACTED:email]."),
    ("https://user:fake@db.example/x", "https://[REDACTED:userinfo]@db.example/x"),
    // Encoded: the whole value goes.
    ("email=maria%40example.com&x=1", "email=m***@[REDACTED:email]&x=1"),
    ("to=https%3A%2F%2Fx.example%2F%3Ftoken%3Dfake&x=1", "to=[REDACTED:token]&x=1"),
    ("to=https%253A%252F%252Fx.example%252F%253Ftoken%253Dfake&x=1", "to=[REDACTED:token]&x=1"),
    ("data=eyJwYXNzd29yZCI6ImZha2UifQ&x=1", "data=[REDACTED:password]&x=1"),
    ("state=eyJ1c2VyIjoiYW5hIiwicGFzc3dvcmQiOiLDsWFuZMO6MTIzIn0", "state=[REDACTED:password]"),
    ("a=1&q=cGFzc3dvcmQ90L/QsNGA0L7Qu9GMNzc", "a=1&q=[REDACTED:password]"),
    ("a=1&q=xcGFzc3dvcmQ90L/QsNGA0L7Qu9GMNzc", "a=1&q=[REDACTED:password]"),
    ("/d/cGFzc3dvcmQ9ZmFrZTEyMw==/x", "/d/[REDACTED:password]/x"),
    (r"q=\u0070assword\u003dfake", "q=[REDACTED:password]"),
    (r"\x22password\x22:\x22fake\x22", "[REDACTED:password]"),
    ("a%70assword%3Dfake", "[REDACTED:password]"),
    // Control characters are printed.
    ("a\u{0}b\u{1b}[31m", "a\\x00b\\x1b[31m"),
    // Encoded deeper than anyone follows.
    ("x=%25252525252525252541", "x=[REDACTED:encoded]"),
];

/// Texts that must stay as they are, and are not even copied.
const HARMLESS: &[&str] = &[
    "",
    "/v1/orders/550e8400-e29b-41d4-a716-446655440000",
    "page=2&sort=price&q=blue+shoes",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "ts=1614232668342&id=20240115123045",
    "/wp-content/plugins/some-plugin/assets/bootstrap.min.css?ver=5.9.3",
    "country_code=de&sort_key=name&bypass=1&compass=n&mapping=x",
    "monkey=1&tokens_used=5&zipcode=12345&keyboard=us&description=x",
    "https://shop.example/cart?step=2#top",
    "/v1/tokens:refresh",
    "time 12:30:45",
    "@handle and a@b",
    "password=",
    "password=****",
    "Authorization: REDACTED",
    "/.well-known/acme-challenge/x",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "1' or '1'='1",
    "Grüße aus Köln",
    "page[token]=abc123def&sort[token]=asc&filter[name]=anna&filter[token_type]=bearer",
    "image repo:tag1234@registry",
    "image repo:tag1234@registry/path",
    "repo:v2beta1@registry/team/app and repo:latest@registry/app, app:rc-3@mirror/x",
    "/static/key-0123456789abcdef.js",
    "name:v2beta1@host",
    "deploy:abc1234@prod",
    "2026-09-21T14:00:00Z@web1",
    "/i18n/messages@2x.de.json",
    "/npm/lodash@4.es.js",
    "/img/logo@2x.min.png",
    "auth plain text",
    "auth login failed",
    "250-AUTH PLAIN LOGIN",
    "+14 15 minutes",
];

#[test]
fn secrets_go() {
    let wrong: Vec<String> = FIXTURES
        .iter()
        .filter(|(text, expected)| scrub(text) != *expected)
        .map(|(text, expected)| format!("{text:?}\n  became   {:?}\n  expected {expected:?}", scrub(text)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_went_stays_gone() {
    let again = |text: &str| scrub(&scrub(text)).into_owned();
    let wrong: Vec<&str> = FIXTURES.iter().map(|(text, _)| *text).filter(|text| again(text) != scrub(text)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn harmless_texts_stay_and_are_borrowed() {
    let is_kept = |text: &str| matches!(scrub(text), Cow::Borrowed(kept) if kept == text);
    let wrong: Vec<_> = HARMLESS.iter().filter(|text| !is_kept(text)).map(|text| (text, scrub(text))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_class_has_a_fixture_a_name_and_a_description() {
    let all: String = FIXTURES.iter().map(|(_, expected)| *expected).collect();
    let mut names = std::collections::HashSet::new();
    for class in CLASSES {
        assert!(names.insert(class.name), "{} is there twice", class.name);
        assert!(class.found.len() > 10, "{} does not say how it is found", class.name);
        assert!(all.contains(&format!("[REDACTED:{}]", class.name)), "{} has no fixture", class.name);
    }
}

#[test]
fn long_texts_are_cut_behind_whole_secrets() {
    let filler = "word ".repeat(1635);
    let text = format!("{filler}4111 1111 1111 1111 {}", "x".repeat(20_000));
    assert!(filler.len() < 8192 && filler.len() + 19 > 8192);
    let kept = scrub(&text);
    assert!(kept.ends_with("****-1111…"), "{}", &kept[kept.len() - 30..]);
    let harmless = "word/".repeat(3000);
    assert_eq!(scrub(&harmless).len(), 8192 + '…'.len_utf8());
}

#[test]
fn a_text_full_of_secrets_is_replaced_whole() {
    assert_eq!(scrub(&"token=fake&".repeat(65)), "[REDACTED:token]");
}

/// Of a text made of nothing but beginnings of secrets, what is kept is short, and scrubbing it again changes nothing.
#[test]
fn texts_full_of_beginnings_are_cut_or_gone() {
    for piece in ["@", "a@", "eyJ", "password=", "{[", "%25", "\\\\", "////@", "Basic ", "-----BEGIN"] {
        let kept = scrub(&piece.repeat(1 << 20)).into_owned();
        assert!(kept.len() <= 8192 + '…'.len_utf8() && (kept.ends_with('…') || kept.contains("[REDACTED:")), "{piece}");
    }
    assert_eq!(scrub(&"eyJ".repeat(6)), "eyJ".repeat(6));
    assert_eq!(scrub(&format!("{}.x.y", "eyJ".repeat(6))), "[REDACTED:jwt]");
    assert_eq!(scrub("a@ b@@c //u:fake@h.example/@"), "a@ b@@c //[REDACTED:userinfo]@h.example/@");
}

/// Whatever the text, the bytes searched with all its decodings are bounded, and grow as its length does.
#[test]
fn the_work_on_hostile_texts_is_bounded() {
    use schemas::limits::{SEARCH_BYTES_MAX, SEARCH_WORK_MAX};
    let nested = |depth: usize| {
        (0..depth).fold("password=fake&".repeat(40), |text, _| data_encoding::BASE64.encode(text.as_bytes()))
    };
    let pieces = [
        "[REDACTED:password]",
        "[",
        "{",
        "\"",
        "password=",
        "password={",
        "password=[",
        "hash=x!",
        "salt=x|",
        "%25",
        "%2525",
        "%u0041",
        "&#38;",
        "&amp;",
        r"\\",
        r"\x5c",
        "=3D=3D=3D",
        "<p><![CDATA[",
        "<password>",
        "-p x mysql ",
        "Digest a=\"",
        "name=\"name\"",
        "a@",
        "u:p@",
        "://u:",
        "eyJ",
        "H4sIAAAA",
        "eJwAAAAA",
        "aGVsbG8gd29ybGQ",
        "4",
        "4 4-",
        "/reset/",
        "\"a\",",
        "a=b;",
        "PRIVATE KEY",
        "password: ",
        "OBQXG43X",
        "70617373776f7264",
        "\n",
        "\0",
    ];
    let own = [nested(3), nested(6)];
    for piece in pieces.into_iter().chain(own.iter().map(String::as_str)) {
        let (half, whole) =
            (piece.repeat(SEARCH_BYTES_MAX / 2 / piece.len() + 1), piece.repeat(SEARCH_BYTES_MAX / piece.len() + 1));
        let (one, two) = (schemas::redact::searched(&half), schemas::redact::searched(&whole));
        assert!(two <= SEARCH_WORK_MAX + 4 * SEARCH_BYTES_MAX, "{piece:?}: {two} bytes");
        assert!(two <= 3 * one + SEARCH_BYTES_MAX, "{piece:?}: {one}, then {two} bytes");
    }
    for text in [
        format!("{}:pässwörd@db.example/x", "ä".repeat(200)),
        format!("foo_key={}", "ä".repeat(400)),
        format!("x{}=1", "ö".repeat(90)),
    ] {
        assert!(!schemas::scrub(&text).contains("pässwörd"));
    }
    let many: String = (0..10_000).map(|i| format!("k{i}=v{i}&")).collect();
    assert!(schemas::redact::searched(&many) <= SEARCH_BYTES_MAX);
}
