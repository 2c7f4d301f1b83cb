//! Keys of many vendors, words that begin as they do, and bounds.

use super::*;

fn found(text: &str) -> Vec<(&'static str, &str)> {
    let mut findings = Vec::new();
    find(text, &mut findings);
    findings.iter().map(|f| (f.class.name(), &text[f.start..f.end])).collect()
}

/// `count` characters of `alphabet` that look generated and are the same in every run.
fn generated(alphabet: &str, count: usize) -> String {
    let letters = alphabet.as_bytes();
    let mut state = 88_172_645_463_325_252u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(letters[(state >> 20) as usize % letters.len()])
    };
    (0..count).map(|_| next()).collect()
}

const HEX: &str = "0123456789abcdef";
const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
const CAPITALS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Vendors' shapes: the class, what stands before, the alphabet and count, what stands behind.
#[rustfmt::skip]
const SHAPES_KNOWN: &[(&str, &str, &str, usize, &str)] = &[
    ("vendor_key", "crsr_", HEX, 64, ""), ("vendor_key", "Ab12Cd_", LETTERS, 29, "_mmk"), ("vendor_key", "0b8cf5a3-5c1e-4f0e-9c38-", HEX, 12, ":fx"),
    ("github_token", "ghp_", LETTERS, 36, ""), ("github_token", "github_pat_", LETTERS, 82, ""), ("gitlab_token", "glpat-", LETTERS, 20, ""),
    ("gitlab_token", "glptt-", HEX, 40, ""), ("slack_token", "xoxb-123456789012-", LETTERS, 24, ""), ("slack_token", "xapp-1-A0-", HEX, 64, ""),
    ("stripe_key", "sk_live_", LETTERS, 24, ""), ("stripe_key", "whsec_", LETTERS, 32, ""), ("aws_key", "AKIA", CAPITALS, 16, ""),
    ("gcp_key", "AIza", LETTERS, 35, ""), ("gcp_key", "GOCSPX-", LETTERS, 28, ""), ("gcp_key", "ya29.a0", LETTERS, 120, ""),
    ("gcp_key", "1//0", LETTERS, 90, ""), ("vendor_key", "sk-", LETTERS, 48, ""), ("vendor_key", "sk-proj-", LETTERS, 150, ""),
    ("vendor_key", "sk-ant-api03-", LETTERS, 95, ""), ("vendor_key", "sk-or-v1-", HEX, 64, ""), ("vendor_key", "gsk_", LETTERS, 52, ""),
    ("vendor_key", "xai-", LETTERS, 80, ""), ("vendor_key", "pplx-", LETTERS, 48, ""), ("vendor_key", "hf_", LETTERS, 34, ""),
    ("vendor_key", "r8_", LETTERS, 37, ""), ("vendor_key", "nvapi-", LETTERS, 64, ""), ("vendor_key", "tvly-", LETTERS, 32, ""),
    ("vendor_key", "pcsk_", LETTERS, 60, ""), ("vendor_key", "SK", HEX, 32, ""), ("vendor_key", "SG.", LETTERS, 66, ""),
    ("vendor_key", "key-", HEX, 32, ""), ("vendor_key", "", HEX, 32, "-us12"), ("vendor_key", "xkeysib-", HEX, 64, ""),
    ("vendor_key", "re_", LETTERS, 32, ""), ("vendor_key", "shpss_", HEX, 32, ""), ("vendor_key", "EAAA", LETTERS, 60, ""),
    ("vendor_key", "sq0csp-", LETTERS, 43, ""), ("vendor_key", "access_token$production$", LOWER, 40, ""), ("vendor_key", "rzp_live_", LETTERS, 14, ""),
    ("vendor_key", "FLWSECK-", HEX, 32, "-X"), ("vendor_key", "hvs.", LETTERS, 90, ""), ("vendor_key", "hvb.", LETTERS, 90, ""),
    ("vendor_key", "dp.pt.", LETTERS, 43, ""), ("vendor_key", "dp.st.dev.", LETTERS, 40, ""), ("vendor_key", "pul-", HEX, 40, ""),
    ("vendor_key", "AGE-SECRET-KEY-1", CAPITALS, 58, ""), ("vendor_key", "dop_v1_", HEX, 64, ""), ("vendor_key", "doo_v1_", HEX, 64, ""),
    ("vendor_key", "HRKU-AA", LETTERS, 58, ""), ("vendor_key", "rnd_", LETTERS, 28, ""), ("vendor_key", "nfp_", LETTERS, 36, ""),
    ("vendor_key", "LTAI5t", LETTERS, 18, ""), ("vendor_key", "AKID", LETTERS, 32, ""), ("vendor_key", "tskey-auth-", LETTERS, 45, ""),
    ("vendor_key", "dapi", HEX, 32, ""), ("vendor_key", "pscale_pw_", LETTERS, 43, ""), ("vendor_key", "napi_", LOWER, 64, ""),
    ("vendor_key", "sbp_", HEX, 40, ""), ("vendor_key", "npm_", LETTERS, 36, ""), ("vendor_key", "pypi-AgEIcHlwaS5vcmc", LETTERS, 100, ""),
    ("vendor_key", "rubygems_", HEX, 48, ""), ("vendor_key", "cio", LETTERS, 32, ""), ("vendor_key", "oy2", LOWER, 43, ""),
    ("vendor_key", "dckr_pat_", LETTERS, 27, ""), ("vendor_key", "AKCp", LETTERS, 69, ""), ("vendor_key", "ATATT3xFfGF0", LETTERS, 172, ""),
    ("vendor_key", "ATBB", LETTERS, 32, ""), ("vendor_key", "lin_api_", LETTERS, 40, ""), ("vendor_key", "ntn_", LETTERS, 46, ""),
    ("vendor_key", "figd_", LETTERS, 40, ""), ("vendor_key", "PMAK-", HEX, 58, ""), ("vendor_key", "NRAK-", CAPITALS, 27, ""),
    ("vendor_key", "glsa_", LETTERS, 41, ""), ("vendor_key", "dt0c01.", CAPITALS, 88, ""), ("vendor_key", "phc_", LETTERS, 43, ""),
    ("vendor_key", "sntryu_", HEX, 64, ""), ("vendor_key", "00", LETTERS, 40, ""), ("vendor_key", "abc8Q~", LETTERS, 34, ""),
    ("vendor_key", "1234567890:AA", LETTERS, 33, ""), ("vendor_key", "RGAPI-", LOWER, 36, ""), ("vendor_key", "bkua_", HEX, 40, ""),
    ("vendor_key", "CCIPAT_", LETTERS, 60, ""), ("vendor_key", "squ_", HEX, 40, ""), ("vendor_key", "snyk_uat.", LETTERS, 60, ""),
    ("vendor_key", "acme_live_", LETTERS, 24, ""), ("vendor_key", "acme_pat_", HEX, 40, ""), ("vendor_key", "secret-token:", LETTERS, 30, ""),
    ("vendor_key", "Zg93xkQplw0Wnm.atlasv1.", LETTERS, 67, ""), ("vendor_key", "xprv", LETTERS, 107, ""), ("password", "$2b$12$", LETTERS, 53, ""),
    ("vendor_key", "SUA", CAPITALS, 55, ""), ("vendor_key", "SBX", CAPITALS, 53, ""),
];

/// A slash behind them may be theirs.
#[test]
fn keys_that_hold_slashes_are_found_to_their_end() {
    for (class, before, alphabet, count) in [
        ("vendor_key", "MDAxY2xvY2F0aW9uIG", LETTERS, 90),
        ("password", "$krb5tgs$23$*svc$CORP.EXAMPLE$http/web1*$", HEX, 700),
        ("password", "ENC(", LETTERS, 32),
    ] {
        let key = format!("{before}{}", generated(alphabet, count));
        for (left, right) in [("", ""), ("/cb?state=", "&x=1"), ("\"", "\""), ("a ", " b"), ("'", ")'")] {
            assert_eq!(found(&format!("{left}{key}{right}")), [(class, &key[..])], "{left}{right}");
        }
    }
}

#[test]
fn keys_are_found_whole_wherever_a_word_begins() {
    let mut wrong = Vec::new();
    for (class, before, alphabet, count, behind) in SHAPES_KNOWN {
        let key = format!("{before}{}{behind}", generated(alphabet, *count));
        for (left, right) in [("", ""), ("/cb?state=", "&x=1"), ("\"", "\""), ("/v1/", "/x"), ("a ", ". b")] {
            let text = format!("{left}{key}{right}");
            if found(&text) != [(*class, &key[..])] {
                wrong.push(format!("{class} {key} in {text}: found {:?}", found(&text)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_word_in_a_key_makes_it_no_less_a_key() {
    for key in [
        "ghp_examplefakefakefake",
        "glpat-placeholder1234",
        "sk_live_testfakeexample",
        "xoxb-fake-fake-fake",
        "AKIAIOSFODNN7EXAMPLE",
    ] {
        assert_eq!(found(key).len(), 1, "{key}");
    }
}

#[test]
fn words_that_begin_or_go_on_so_stay() {
    for text in [
        "/disk_live_migration",
        "highs_and_lows",
        "/npm_config_registry_default",
        "page_token=next",
        "hf_hub_download_timeout",
        "secret_santa_gift_list",
        "/key-features-and-benefits",
        "/api-reference/authentication",
        "sk-SK",
        "SKELETON-KEY-COLLECTION",
        "test_driven_development_course",
        "/live-streaming-services",
        "mistral_large_latest_instruct",
        "contact-us",
        "pat-riot-act",
        "AKIARA-hotel-booking",
        "user_test_results_page",
        "/assets/app.3f2a9b8c7d6e5f4a.js",
        "/orders/550e8400-e29b-41d4-a716-446655440000",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "price=$6$",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "/services/Technology/Boston",
        "/api-docs/v2/swagger-resources-configuration",
    ] {
        assert_eq!(found(text), [], "in {text}");
    }
}

#[test]
fn an_aws_secret_beside_its_id_goes_too() {
    let secret = "jczU9YGP6SxWw4iUiE6LapkRgRsaITgqLpaKoJce";
    for text in [format!("AKIAYNQRFVPXGTDRKNUY:{secret}"), format!("secret {secret} id AKIAYNQRFVPXGTDRKNUY")] {
        let all = found(&text);
        assert!(
            all.contains(&("aws_key", secret)) && all.iter().any(|(_, key)| key.contains("AKIAYNQRFVPXGTDRKNUY")),
            "{all:?}"
        );
    }
    assert_eq!(found(secret), [], "alone it may be anything");
}

#[test]
fn addresses_of_chat_webhooks_are_keys() {
    let secret = generated(LETTERS, 24);
    assert_eq!(
        found(&format!("/relay/services/T0ABCDEFG/B0ABCDEFG/{secret}")),
        [("slack_token", &format!("T0ABCDEFG/B0ABCDEFG/{secret}")[..])]
    );
    let hook = format!("1234567890/{secret}");
    assert_eq!(found(&format!("/api/webhooks/{hook}?wait=1")), [("vendor_key", &hook[..])]);
    assert_eq!(found("/hooks/catch/1234567/o2r5gqi/"), [("vendor_key", "1234567/o2r5gqi")]);
    assert_eq!(found("/webhooks/1234567/deliveries"), []);
    let teams = "550e8400-e29b-41d4-a716-446655440000@f47ac10b-58cc-4372-a567-0e02b2c3d479/IncomingWebhook/\
        4bf92f3577b34da6a3ce929d0e0e4736/9f86d081-884c-4d65-9a2f-eaa0c55ad015";
    assert!(found(&format!("/webhookb2/{teams}?x=1")).contains(&("vendor_key", teams)));
}

#[test]
fn keys_of_several_parts_go_whole() {
    let (hex, letters) = (generated(HEX, 32), generated(LETTERS, 64));
    let pick = |from: usize, count: usize| &letters[from..from + count];
    for key in [
        format!("1/1199999999999999:{hex}"),
        format!("2/1199999999999999/1200000000000001:{hex}"),
        format!("0.550e8400-e29b-41d4-a716-446655440000.{}:{}==", pick(0, 30), pick(30, 22)),
        format!("{}.{}:{}", pick(0, 6), pick(8, 6), pick(20, 43)),
        format!("{}.{}", pick(0, 8), pick(8, 32)),
        format!("ATATT3xFfGF0{letters}=1A2B3C4D"),
        format!("AQE{letters}-{}=-{}", pick(0, 43), pick(7, 16)),
        format!("FLWSECK_TEST{}", &hex[..12]),
        format!("eyJrIjoi{letters}"),
        format!("u+{}", pick(3, 18)),
    ] {
        for text in [key.clone(), format!("a {key}, b"), format!("q={key}&x=1")] {
            assert!(found(&text).contains(&("vendor_key", &key[..])), "{key} in {text}: {:?}", found(&text));
        }
    }
    let base58 = letters.replace(['0', 'O', 'I', 'l'], "7");
    let wallet = format!("K{}", &base58[..51]);
    assert_eq!(found(&format!("wallet {wallet} x")), [("vendor_key", &wallet[..])]);
    for text in ["main1234.d41d8cd98f00b204e9800998ecf8427e.js", "10.0.0.1:8080", "db.example:5432/orders"] {
        assert_eq!(found(text), [], "in {text}");
    }
}

#[test]
fn the_rule_set_is_read() {
    assert!(generated::RULES.len() > 350, "{} rules", generated::RULES.len());
    assert!(SHAPES.shapes.len() > 800, "{} shapes", SHAPES.shapes.len());
}

#[test]
fn every_prefix_finds_a_key_that_follows_it() {
    // Rules of exact forms want their own characters; two of the widest alphabets do for all others.
    let missing: Vec<&str> = SHAPES
        .shapes
        .iter()
        .filter(|shape| shape.rows.iter().any(|row| row.proof != Proof::Exact && row.proof != Proof::Mixed))
        .map(|shape| shape.prefix)
        .filter(|prefix| {
            let before = if prefix.starts_with(['_', '-']) { "acme" } else { "" };
            // Behind the path of a webhook stands a number first.
            let prefix = if prefix.contains("hooks/") { format!("{prefix}1234567/") } else { prefix.to_string() };
            let key = |alphabet| format!("{before}{prefix}{}", generated(alphabet, 120));
            [LOWER, CAPITALS].iter().all(|alphabet| found(&key(alphabet)).is_empty())
        })
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn hostile_texts_take_linear_time() {
    for piece in ["sk-", "ghp_", "a_live_", "Q~", "$2a$", "AKIA", ":AA", "key_key-", "eyJ.", "a.bbbbbb.", "-us1"] {
        let mut findings = Vec::new();
        find(&piece.repeat(16_384 / piece.len()), &mut findings);
        assert!(findings.len() <= 16_384);
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_searched_on_character_boundaries(text in "(ghp_|sk-|AKIA|xoxb-|key_|Q~|/services/T|ä|[A-Za-z0-9_./%-]{0,40}){0,8}") {
        let mut findings = Vec::new();
        find(&text, &mut findings);
        for finding in findings {
            proptest::prop_assert!(text.get(finding.start..finding.end).is_some_and(|t| !t.is_empty()));
        }
    }
}
