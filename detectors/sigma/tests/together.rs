//! Many rules at once: the pre-filter against judging every rule.

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::super::{JsonEvent, Rules};
use super::load;

/// Texts of few letters, so that rules and events meet often; letters whose folding is not that of ASCII among them.
fn word() -> impl Strategy<Value = String> {
    "[abAB/k\u{212a}s\u{17f}\u{3a3}\u{3c2}]{0,4}"
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => word().prop_map(|word| json!(word).to_string()),
        2 => (word(), word()).prop_map(|(one, two)| json!(format!("{one}*{two}")).to_string()),
        1 => (word(), word()).prop_map(|(one, two)| json!(format!("{one}?{two}")).to_string()),
        1 => (0..4_i32).prop_map(|number| number.to_string()),
        1 => Just("null".to_owned()),
    ]
}

fn key() -> impl Strategy<Value = String> {
    let modifiers = prop_oneof![
        Just(""),
        Just("|contains"),
        Just("|contains|all"),
        Just("|startswith"),
        Just("|endswith|cased"),
        Just("|contains|neq"),
        Just("|windash|contains"),
    ];
    (prop_oneof![Just("u"), Just("v")], modifiers).prop_map(|(field, modifiers)| format!("{field}{modifiers}"))
}

fn selection() -> impl Strategy<Value = String> {
    let line = (key(), proptest::collection::vec(value(), 1..4)).prop_map(|(key, values)| {
        let values: Vec<String> = values
            .into_iter()
            .map(|value| if key.contains('|') && value == "null" { "1".to_owned() } else { value })
            .collect();
        format!("{{{}: [{}]}}", json!(key), values.join(", "))
    });
    let expression = (word(), any::<bool>(), "[ab]{1,2}").prop_map(|(word, ignore_case, class)| {
        let flag = if ignore_case { "|i" } else { "" };
        format!("{{\"u|re{flag}\": {}}}", json!(format!("{}([{class}]|ab)+", regex::escape(&word))))
    });
    let keywords = proptest::collection::vec(word(), 1..3)
        .prop_map(|words| format!("[{}]", json!(words).to_string().trim_matches(['[', ']'])));
    prop_oneof![5 => line, 1 => expression, 1 => keywords]
}

fn condition() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("s1"),
        Just("s1 and s2"),
        Just("s1 or s2"),
        Just("s1 and not s2"),
        Just("not s1"),
        Just("1 of s*"),
        Just("2 of s*"),
        Just("all of them"),
        Just("(s1 or s2) and s3"),
    ]
}

fn rules() -> impl Strategy<Value = String> {
    let one = (selection(), selection(), selection(), condition());
    proptest::collection::vec(one, 1..12).prop_map(|all| {
        let rule = |(nr, (s1, s2, s3, condition))| {
            format!("title: r{nr}\ndetection:\n  s1: {s1}\n  s2: {s2}\n  s3: {s3}\n  condition: {condition}\n---\n")
        };
        all.into_iter().enumerate().map(rule).collect()
    })
}

fn event() -> impl Strategy<Value = Json> {
    let value = prop_oneof![
        6 => (word(), word(), word()).prop_map(|(a, b, c)| json!(format!("{a}{b}{c}"))),
        1 => (0..4_i32).prop_map(|number| json!(number)),
        1 => proptest::collection::vec(word(), 0..3).prop_map(|words| json!(words)),
        1 => Just(Json::Null),
    ];
    proptest::collection::btree_map("[uvw]", value, 0..3).prop_map(|fields| json!(fields))
}

fn agree(rules: &Rules, event: &Map<String, Json>) -> Result<(), TestCaseError> {
    let event = JsonEvent(event);
    let view = rules.view(&event);
    prop_assert_eq!(rules.matches(&view), rules.matches_one_by_one(&view));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_prefilter_leaves_out_no_rule_that_matches(text in rules(), events in proptest::collection::vec(event(), 1..20)) {
        let rules = load(&text);
        prop_assert!(rules.rules().len() + rules.problems.len() > 0);
        for event in &events {
            agree(&rules, event.as_object().expect("an object"))?;
        }
    }
}

#[test]
fn of_a_thousand_rules_few_are_judged() {
    let rule = |nr: usize| {
        format!(
            "title: r{nr}\ndetection:\n  selection:\n    cs-method: GET\n    cs-uri-query|contains: ['/p{nr}/a', '/q{nr}/b']\n  condition: \
             selection\n---\n"
        )
    };
    let rules = load(&(0..1_000).map(rule).collect::<String>());
    assert_eq!(rules.problems, []);
    assert_eq!(rules.without_literal(), 0);
    let event = json!({"cs-method": "GET", "cs-uri-query": "/x/p77/a?y=1"});
    let event = JsonEvent(event.as_object().unwrap());
    let view = rules.view(&event);
    assert_eq!(rules.prefilter.candidates(&view), [77]);
    assert_eq!(rules.matches(&view), [77]);
}
