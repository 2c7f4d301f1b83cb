//! Rules over events, as a person writes both.
//!
//! Promises: each modifier, each form of a selection and of a condition has a case that matches and one that does not.
//! Never: a rule that another has written.

mod broken;
mod filters;
mod together;

use serde_json::{Value as Json, json};

use super::{File, JsonEvent, Rules};

/// A rule with this detection, indented as below `detection:`.
pub(super) fn rule(detection: &str) -> String {
    format!("title: A rule\nid: r\nlogsource: {{category: webserver}}\ndetection:\n{detection}\n")
}

/// A rule with one selection of one line.
fn line(line: &str) -> String {
    rule(&format!("  selection:\n    {line}\n  condition: selection"))
}

pub(super) fn load(text: &str) -> Rules {
    Rules::load(&[File { name: "rules.yml", text }])
}

fn ready(text: &str) -> Rules {
    let rules = load(text);
    assert_eq!(rules.problems, [], "{text}");
    rules
}

fn matches(text: &str, event: &Json) -> bool {
    let rules = ready(text);
    let event = JsonEvent(event.as_object().expect("an event is an object"));
    let view = rules.view(&event);
    let found = rules.matches(&view);
    assert_eq!(found, rules.matches_one_by_one(&view), "the pre-filter leaves nothing out: {text}");
    !found.is_empty()
}

#[track_caller]
fn check(text: &str, yes: &[Json], no: &[Json]) {
    for event in yes {
        assert!(matches(text, event), "{text}\n{event}");
    }
    for event in no {
        assert!(!matches(text, event), "{text}\n{event}");
    }
}

fn u(value: impl Into<Json>) -> Json {
    json!({"u": value.into()})
}

#[track_caller]
fn refused(text: &str, line: u64, words: &str) {
    let rules = load(text);
    let [problem] = rules.problems.as_slice() else { panic!("one problem, not {:?} of\n{text}", rules.problems) };
    assert!(problem.what.contains(words), "{problem}");
    assert_eq!(problem.line, line, "{problem} of\n{text}");
    assert!(rules.rules().is_empty(), "{text}");
}

#[test]
fn a_value_is_the_whole_field_in_any_case() {
    check(&line("u: Admin"), &[u("admin"), u("ADMIN")], &[u("admins"), u(""), u(Json::Null), json!({})]);
    check(&line("u: ''"), &[u("")], &[u("a"), u(Json::Null), json!({})]);
    check(&line("u: [a, b]"), &[u("B")], &[u("c")]);
    check(&line("u: 200"), &[u(200), u("200"), u(200.0)], &[u(201), u("2000"), u("x")]);
    check(&line("u: '200'"), &[u(200), u("200")], &[u(201)]);
    check(&line("u: true"), &[u(true), u("True"), u(1)], &[u(false), json!({})]);
    check(&line("u: null"), &[json!({}), u(Json::Null)], &[u(""), u(0)]);
    check(&line("u: [null, a]"), &[json!({}), u("a")], &[u("b")]);
    check(&line("u: []"), &[json!({})], &[u("a")]);
    check(&line("u: a"), &[u(json!(["x", "a"]))], &[u(json!(["x", "y"])), u(json!({"a": 1}))]);
    check(&line("a.b: x"), &[json!({"a": {"b": "x"}}), json!({"a.b": "x"})], &[json!({"b": "x"})]);
}

#[test]
fn wildcards_and_their_escapes() {
    check(&line("u: '/a*/b?'"), &[u("/a/b1"), u("/AXX/bé")], &[u("/a/b"), u("x/a/b1")]);
    check(&line(r"u: 'a\*b'"), &[u("a*b")], &[u("axb")]);
    check(&line(r"u: 'a\\*'"), &[u(r"a\b"), u(r"a\")], &[u("a*"), u("ab")]);
    check(&line(r"u: 'c:\win'"), &[u(r"C:\WIN")], &[u("c:win")]);
    check(&line("u: '*'"), &[u(""), u("x"), u(1)], &[json!({}), u(Json::Null)]);
    check(&line("u: '?*'"), &[u("x")], &[u("")]);
}

#[test]
fn places_in_a_text() {
    check(&line("u|contains: Cmd="), &[u("/?cmd=1")], &[u("/?cmd"), json!({})]);
    check(&line("u|startswith: /A"), &[u("/ab")], &[u("b/a")]);
    check(&line("u|endswith: .php"), &[u("/x.PHP")], &[u("/x.php5")]);
    check(&line("u|contains: 'a*b'"), &[u("xa--bx")], &[u("ba")]);
    check(&line("u|contains: 443"), &[u(14430), u("x443")], &[u(444)]);
    check(&line("u|contains|all: [a, b]"), &[u("xbxa")], &[u("xa")]);
    check(&line("u|all|startswith: [a, ab]"), &[u("abc")], &[u("ac")]);
    check(&line("u|contains|cased: Ab"), &[u("xAb")], &[u("xab")]);
    check(&line("u|cased: 'A?'"), &[u("Ab")], &[u("ab")]);
    check(&line("u|neq: a"), &[u("b"), json!({})], &[u("A")]);
    check(&line("u|contains|neq: [a, b]"), &[u("c")], &[u("xa"), u("b")]);
}

#[test]
fn expressions() {
    check(&line("u|re: '^/v[0-9]+/users$'"), &[u("/v12/users")], &[u("/V1/users"), u("/v/users")]);
    check(&line("u|re|i: 'select.+from'"), &[u("x SELECT a FROM b")], &[u("selectfrom")]);
    check(&line("u|re|m: '^b$'"), &[u("a\nb")], &[u("a\nbc")]);
    check(&line("u|re|s: 'a.b'"), &[u("a\nb")], &[u("ab")]);
    check(&line("u|re: 'a.b'"), &[u("a-b")], &[u("a\nb")]);
    check(&line("u|re: [x, y]"), &[u("ay")], &[u("a")]);
    check(&line("u|re: '\\${jndi:(ldap|rmi)'"), &[u("${jndi:rmi://")], &[u("${jndi:dns")]);
    check(&line("u|re: '^5..$'"), &[u(503)], &[u(403)]);
}

#[test]
fn encodings() {
    check(&line("u|base64|contains: admin:admin"), &[u("basic YWRtaW46YWRtaW4=")], &[u("YWRtaW4=")]);
    // `cmd.exe` after none, one and two bytes.
    let offsets = [u("Y21kLmV4ZQ=="), u("eGNtZC5leGU="), u("eHhjbWQuZXhl"), u("eHhjbWQuZXhlIC9j")];
    check(&line("u|base64offset|contains: cmd.exe"), &offsets, &[u("cmd.exe"), u("Y21kLmRsbA==")]);
    check(
        &line("u|wide|base64offset|contains: whoami"),
        &[u("x dwBoAG8AYQBtAGkA"), u("IAB3AGgAbwBhAG0AaQA=")],
        &[u("d2hvYW1p")],
    );
    check(&line("u|utf16le|base64: ab"), &[u("YQBiAA==")], &[u("AGEAYg==")]);
    check(&line("u|utf16be|base64: ab"), &[u("AGEAYg==")], &[u("YQBiAA==")]);
    check(&line("u|utf16|base64: ab"), &[u("//5hAGIA")], &[u("YQBiAA==")]);
    check(&line("u|wide|base64: é"), &[u("6QA=")], &[u("w6k=")]);
    check(&line("u|wide|contains: ab"), &[u("a\0b\0")], &[u("ab")]);
    let dashes = [u("x -enc y"), u("x /ENC y"), u("x \u{2013}enc y"), u("x \u{2015}enc y")];
    check(&line("u|windash|contains: ' -enc '"), &dashes, &[u("x enc y"), u("x +enc y")]);
    check(&line("u|windash|contains: '-a-b'"), &[u("/a-b")], &[u("-a/b")]);
    check(&line("u|windash|base64offset|contains: ' -e'"), &[u("IC9l"), u("IC1l")], &[u("ICtl")]);
    check(
        r#"{"title": "j", "detection": {"selection": {"u|contains": "\u001f"}, "condition": "selection"}}"#,
        &[u("a\u{1f}")],
        &[u("a")],
    );
}

#[test]
fn numbers_networks_times_and_other_fields() {
    check(&line("u|gte: 500"), &[u(500), u("503")], &[u(499), u("x"), json!({})]);
    check(&line("u|gt: 0.5"), &[u(0.6)], &[u(0.5)]);
    check(&line("u|lt: 0"), &[u(-1)], &[u(0)]);
    check(&line("u|lte: '10'"), &[u(10)], &[u(11)]);
    check(
        &line("u|cidr: [192.0.2.0/24, '2001:db8::/32']"),
        &[u("192.0.2.9"), u("2001:DB8::1")],
        &[u("198.51.100.1"), u("x")],
    );
    check(&line("u|exists: true"), &[u("a"), u(""), u(Json::Null)], &[json!({})]);
    check(&line("u|exists: false"), &[json!({})], &[u("a"), u(Json::Null)]);
    check(
        &line("u|fieldref: v"),
        &[json!({"u": "A", "v": "a"}), json!({"u": 5, "v": "5.0"})],
        &[json!({"u": "a", "v": "b"}), u("a")],
    );
    check(&line("u|fieldref|endswith: v"), &[json!({"u": "xa", "v": "A"})], &[json!({"u": "ax", "v": "a"})]);
    check(&line("u|fieldref|neq: v"), &[json!({"u": "a", "v": "b"})], &[json!({"u": "a", "v": "a"})]);
    check(&line("u|hour: [2, 3]"), &[u("2026-01-31T03:59:00Z")], &[u("2026-01-31T04:00:00Z"), u("x")]);
    check(&line("u|day: 31"), &[u("2026-01-31 03:59:00")], &[u("2026-01-30 03:59:00")]);
}

#[test]
fn keywords_are_looked_for_everywhere() {
    let words = rule("  keywords:\n    - 'sqlmap'\n    - 'a*z'\n    - 4711\n  condition: keywords");
    check(&words, &[json!({"x": {"y": ["my SQLMAP 1"]}}), u("xx a--z"), u(4711), u("47110")], &[u("za"), json!({})]);
    let all = rule("  keywords:\n    '|all':\n      - one\n      - two\n  condition: keywords");
    check(&all, &[json!({"x": "one", "y": "TWO"}), u("two one")], &[u("one")]);
    let expression = rule("  keywords:\n    '|re': 'a[0-9]b'\n  condition: keywords");
    check(&expression, &[u("xa1b")], &[u("ab")]);
    check(&rule("  keywords: single\n  condition: keywords"), &[u("a Single one")], &[u("double")]);
    let mixed = rule("  selection:\n    - word\n    - u: x\n  condition: selection");
    check(&mixed, &[u("x"), json!({"z": "the word"})], &[u("y")]);
}

#[test]
fn selections_and_conditions() {
    let both = rule("  selection:\n    u: a\n    v: b\n  condition: selection");
    check(&both, &[json!({"u": "a", "v": "b"})], &[json!({"u": "a"})]);
    let either = rule("  selection:\n    - u: a\n    - v: b\n  condition: selection");
    check(&either, &[u("a"), json!({"v": "b"})], &[u("b")]);
    let of = |condition: &str| {
        rule(&format!(
            "  sel_a:\n    a: 1\n  sel_b:\n    b: 1\n  sel_c:\n    c: 1\n  _hidden:\n    h: 1\n  condition: {condition}"
        ))
    };
    let (a, ab, abc) = (json!({"a": 1}), json!({"a": 1, "b": 1}), json!({"a": 1, "b": 1, "c": 1}));
    let one = [a.clone(), ab.clone(), abc.clone()];
    check(&of("1 of sel_*"), &one, &[json!({"h": 1})]);
    check(&of("any of them"), &one, &[json!({"h": 1})]);
    check(&of("2 of sel_*"), &one[1..], &one[..1]);
    check(&of("all of them"), &one[2..], &one[..2]);
    check(&of("sel_a and not (sel_b or sel_c)"), &one[..1], &one[1..]);
    check(&of("not sel_b and sel_a or sel_c"), &[a.clone(), abc.clone()], std::slice::from_ref(&ab));
    check(&of("[sel_b, sel_c]"), &one[1..], &one[..1]);
    check(&of("not 1 of sel_*"), &[json!({}), json!({"h": 1})], &one);
    check(&of("_hidden"), &[json!({"h": 1})], &one);
    // A filter on a field that is not there filters nothing.
    let filtered =
        rule("  selection:\n    u: a\n  filter:\n    v|startswith: b\n  condition: selection and not filter");
    check(&filtered, &[u("a"), json!({"u": "a", "v": "c"})], &[json!({"u": "a", "v": "bc"})]);
}

#[test]
fn our_own_events_are_seen_as_rules_name_them() {
    let text = rule(
        "  selection:\n    cs-method: POST\n    cs-uri-query|contains: '/admin/'\n    sc-status: 200\n  filter:\n    \
         src_ip|cidr: 192.0.2.0/24\n  condition: selection and not filter",
    );
    let rules = ready(&text);
    let row = super::columns::Row {
        method: Some("POST"),
        path: Some("/admin/users"),
        status: Some(200),
        client_ip: Some("198.51.100.7"),
        ..super::columns::Row::default()
    };
    let inside = super::columns::Row { client_ip: Some("192.0.2.7"), ..row };
    assert_eq!(rules.matches(&rules.view(&row)), [0]);
    assert_eq!(rules.matches(&rules.view(&inside)), [0_u32; 0]);
    assert_eq!(rules.rules()[0].fields, ["cs-method", "cs-uri-query", "sc-status", "src_ip"]);
}
