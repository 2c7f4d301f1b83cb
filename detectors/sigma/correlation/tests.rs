//! Correlations over events a few seconds apart.

use serde_json::{Value as Json, json};

use super::super::tests::load;
use super::super::{JsonEvent, Rules};

/// Three rules by the value of `k`, and a correlation.
fn rules(correlation: &str) -> String {
    let rule = |name: &str| {
        format!("title: {name}\nname: {name}\ndetection:\n  selection: {{k: {name}}}\n  condition: selection\n---\n")
    };
    format!("{}{}{}title: C\nid: c\ncorrelation:\n{correlation}\n", rule("a"), rule("b"), rule("d"))
}

/// Which events, by the second at which they come, hold a correlation of the name.
fn held(text: &str, id: &str, events: &[(i64, Json)]) -> Vec<u64> {
    let rules = load(text);
    assert_eq!(rules.problems, [], "{text}");
    run(&rules, id, events)
}

fn run(rules: &Rules, id: &str, events: &[(i64, Json)]) -> Vec<u64> {
    let mut state = rules.correlator();
    let mut fired = Vec::new();
    for (second, event) in events {
        let event = JsonEvent(event.as_object().expect("an object"));
        let view = rules.view(&event);
        let matched = rules.matches(&view);
        fired.extend(rules.hold(&mut state, second * 1_000_000, &matched, &view, *second as u64));
    }
    fired.extend(rules.finish(&mut state));
    assert_eq!(state.forgotten(), 0);
    fired.iter().filter(|one| rules.correlations()[one.correlation].0.id == id).map(|one| one.tag).collect()
}

fn e(k: &str, ip: &str, v: impl Into<Json>) -> Json {
    json!({"k": k, "ip": ip, "v": v.into()})
}

#[test]
fn event_count_is_by_group_and_window() {
    let text = rules("  type: event_count\n  rules: [a]\n  group-by: [ip]\n  timespan: 10s\n  condition: {gte: 3}");
    let at = |second: i64, ip: &str| (second, e("a", ip, 0));
    assert_eq!(held(&text, "c", &[at(1, "x"), at(2, "X"), at(3, "x"), at(4, "x")]), [3, 4]);
    assert_eq!(held(&text, "c", &[at(1, "x"), at(2, "y"), at(3, "x"), at(4, "y")]), [0_u64; 0]);
    assert_eq!(held(&text, "c", &[at(1, "x"), at(2, "x"), at(11, "x")]), [11], "the first is ten seconds old");
    assert_eq!(held(&text, "c", &[at(1, "x"), at(2, "x"), at(12, "x")]), [0_u64; 0], "the first is too old");
    let no_group = [(1, json!({"k": "a"})), (2, json!({"k": "a"})), (3, json!({"k": "a"}))];
    assert_eq!(held(&text, "c", &no_group), [0_u64; 0], "without a group there is nothing to count");
    let whole = rules("  type: event_count\n  rules: [a]\n  timespan: 10s\n  condition: {gt: 1, lt: 3}");
    assert_eq!(held(&whole, "c", &[at(1, "x"), at(2, "y"), at(3, "z")]), [2], "a range, over all");
}

#[test]
fn one_event_of_two_rules_counts_once() {
    let twice = "title: t\nname: t\ndetection:\n  selection: {k: a}\n  condition: selection\n---\n";
    let text = rules("  type: event_count\n  rules: [a, t]\n  group-by: [ip]\n  timespan: 10s\n  condition: {gte: 2}");
    assert_eq!(held(&format!("{twice}{text}"), "c", &[(1, e("a", "x", 0)), (2, e("a", "x", 0))]), [2]);
}

#[test]
fn value_count_is_of_different_values() {
    let text = rules(
        "  type: value_count\n  rules: [a, b]\n  group-by: [ip]\n  timespan: 10s\n  condition: {field: v, gte: 3}",
    );
    let at = |second: i64, k: &str, v: &str| (second, e(k, "x", v));
    assert_eq!(held(&text, "c", &[at(1, "a", "p"), at(2, "b", "q"), at(3, "a", "P"), at(4, "a", "r")]), [4]);
    assert_eq!(held(&text, "c", &[at(1, "a", "p"), at(2, "b", "q"), at(12, "a", "r")]), [0_u64; 0]);
    let pairs = text.replace("field: v", "field: [v, k]");
    assert_eq!(held(&pairs, "c", &[at(1, "a", "p"), at(2, "b", "p"), at(3, "a", "q")]), [3]);
}

#[test]
fn sums_averages_and_percentiles() {
    let of = |kind: &str, condition: &str| {
        rules(&format!(
            "  type: {kind}\n  rules: a\n  group-by: ip\n  timespan: 10s\n  condition: {{field: v, {condition}}}"
        ))
    };
    let events = |values: &[f64]| -> Vec<(i64, Json)> {
        values.iter().zip(1..).map(|(value, second)| (second, e("a", "x", *value))).collect()
    };
    assert_eq!(held(&of("value_sum", "gt: 100"), "c", &events(&[60.0, 40.0, 1.0])), [3]);
    assert_eq!(held(&of("value_avg", "gte: 0.5"), "c", &events(&[0.0, 0.5, 1.0, 0.4])), [3]);
    assert_eq!(held(&of("value_median", "gt: 9"), "c", &events(&[1.0, 18.0, 9.0, 10.0])), [2, 4]);
    assert_eq!(held(&of("value_percentile", "percentile: 75, gte: 3.25"), "c", &events(&[1.0, 2.0, 3.0, 4.0])), [4]);
    assert_eq!(held(&of("value_percentile", "percentile: 0, lt: 1"), "c", &events(&[2.0, 0.0])), [2]);
    let text = [(1, e("a", "x", "70")), (2, e("a", "x", "none")), (3, e("a", "x", 40))];
    assert_eq!(held(&of("value_sum", "gt: 100"), "c", &text), [3], "numbers in texts count, other texts do not");
    let apart = [(1, e("a", "x", 60)), (12, e("a", "x", 60))];
    assert_eq!(held(&of("value_sum", "gt: 100"), "c", &apart), [0_u64; 0]);
}

#[test]
fn a_percentile_without_its_number_is_how_rare_a_value_is() {
    let text =
        rules("  type: value_percentile\n  rules: a\n  group-by: ip\n  timespan: 1h\n  condition: {field: v, lte: 1}");
    let mut events: Vec<(i64, Json)> = (0..100).map(|second| (second, e("a", "x", "common"))).collect();
    events.push((100, e("a", "x", "rare")));
    assert_eq!(held(&text, "c", &events), [100]);
    events.push((101, e("a", "x", "common")));
    assert_eq!(held(&text, "c", &events), [100]);
}

#[test]
fn temporal_is_all_of_them_in_any_order() {
    let text = rules("  type: temporal\n  rules: [a, b, d]\n  group-by: [ip]\n  timespan: 10s");
    let at = |second: i64, k: &str| (second, e(k, "x", 0));
    assert_eq!(held(&text, "c", &[at(1, "d"), at(2, "a"), at(3, "b"), at(4, "k")]), [3]);
    assert_eq!(held(&text, "c", &[at(1, "d"), at(2, "a"), at(12, "b")]), [0_u64; 0]);
    assert_eq!(held(&text, "c", &[(1, e("d", "y", 0)), at(2, "a"), at(3, "b")]), [0_u64; 0]);
    let two = rules("  type: temporal\n  rules: [a, b, d]\n  group-by: [ip]\n  timespan: 10s\n  condition: {gte: 2}");
    assert_eq!(held(&two, "c", &[at(1, "d"), at(2, "a")]), [2]);
}

#[test]
fn temporal_with_a_condition_in_words() {
    let of = |condition: &str| {
        rules(&format!(
            "  type: temporal\n  rules: [a, b, d]\n  group-by: [ip]\n  timespan: 10s\n  condition: {condition}"
        ))
    };
    let at = |second: i64, k: &str| (second, e(k, "x", 0));
    assert_eq!(held(&of("a and (b or d)"), "c", &[at(1, "b"), at(2, "a"), at(3, "d")]), [2, 3]);
    // What must not come is waited for.
    let without = of("a and not b and not d");
    assert_eq!(held(&without, "c", &[at(1, "a"), at(5, "b"), at(20, "a"), at(40, "k")]), [20]);
    assert_eq!(held(&without, "c", &[at(1, "a"), at(11, "k")]), [1], "the window is over with the last event");
    assert_eq!(held(&without, "c", &[at(1, "a"), at(10, "k")]), [0_u64; 0], "it is not over yet");
    assert_eq!(held(&without, "c", &[at(1, "a"), at(11, "b"), at(30, "k")]), [0_u64; 0]);
    assert_eq!(held(&without, "c", &[at(1, "a"), at(12, "b"), at(30, "k")]), [1]);
}

#[test]
fn ordered_is_in_the_order_of_the_rules() {
    let text = rules("  type: temporal_ordered\n  rules: [a, b, d]\n  group-by: [ip]\n  timespan: 10s");
    let at = |second: i64, k: &str| (second, e(k, "x", 0));
    assert_eq!(held(&text, "c", &[at(1, "a"), at(2, "b"), at(3, "d")]), [3]);
    assert_eq!(held(&text, "c", &[at(1, "b"), at(2, "a"), at(3, "d")]), [0_u64; 0]);
    assert_eq!(held(&text, "c", &[at(1, "a"), at(5, "a"), at(6, "b"), at(15, "d")]), [15], "the later `a` is in time");
    assert_eq!(held(&text, "c", &[at(1, "a"), at(6, "b"), at(12, "d")]), [0_u64; 0]);
    let words = rules("  type: temporal_ordered\n  rules: [a, b]\n  timespan: 10s\n  condition: a and b");
    assert_eq!(held(&words, "c", &[at(1, "a"), at(2, "b"), at(3, "a")]), [2]);
}

#[test]
fn one_event_is_not_two_steps() {
    let twice = "title: t\nname: t\ndetection:\n  selection: {k: a}\n  condition: selection\n---\n";
    let text = rules("  type: temporal_ordered\n  rules: [a, t]\n  group-by: [ip]\n  timespan: 10s");
    assert_eq!(held(&format!("{twice}{text}"), "c", &[(1, e("a", "x", 0)), (2, e("a", "x", 0))]), [2]);
}

#[test]
fn aliases_join_fields_of_different_names() {
    let text = rules(
        "  type: temporal\n  rules: [a, b]\n  group-by: [address]\n  timespan: 10s\n  aliases:\n    address: {a: src, b: dst}",
    );
    let a = (1, json!({"k": "a", "src": "192.0.2.1"}));
    assert_eq!(held(&text, "c", &[a.clone(), (2, json!({"k": "b", "dst": "192.0.2.1"}))]), [2]);
    assert_eq!(held(&text, "c", &[a, (2, json!({"k": "b", "src": "192.0.2.1"}))]), [0_u64; 0]);
}

#[test]
fn correlations_of_correlations() {
    // The outer one comes first in the file.
    let outer = "title: Outer\nid: outer\ncorrelation:\n  type: temporal_ordered\n  rules: [c, b]\n  group-by: [ip]\n  timespan: 1m\n---\n";
    let inner = rules("  type: event_count\n  rules: [a]\n  group-by: [ip]\n  timespan: 10s\n  condition: {gte: 3}");
    let text = format!("{outer}{inner}");
    let mut events: Vec<(i64, Json)> = (1..4).map(|second| (second, e("a", "x", 0))).collect();
    events.push((20, e("b", "y", 0)));
    events.push((21, e("b", "x", 0)));
    assert_eq!(held(&text, "outer", &events), [21]);
    let rules = load(&text);
    let told: Vec<(&str, bool)> = rules.correlations().iter().map(|(about, told)| (about.id.as_str(), *told)).collect();
    assert_eq!(told, [("c", false), ("outer", true)], "what another correlates is not told for itself");
}

#[test]
fn rules_of_a_correlation_are_told_when_it_says_so() {
    let correlation = "  type: event_count\n  rules: [a]\n  timespan: 10s\n  condition: {gte: 3}";
    let told = |text: &str| load(text).rules().iter().map(|rule| rule.told).collect::<Vec<_>>();
    assert_eq!(told(&rules(correlation)), [false, true, true]);
    assert_eq!(told(&format!("{}generate: true\n", rules(correlation))), [true, true, true]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let complaint = |correlation: &str| {
        let loaded = load(&rules(correlation));
        assert_eq!(loaded.problems.len(), 1, "{correlation}: {:?}", loaded.problems);
        loaded.problems[0].to_string()
    };
    let base = "  type: event_count\n  rules: [a]\n  timespan: 10s\n  condition: {gte: 3}";
    let with = |from: &str, to: &str| complaint(&base.replace(from, to));
    for (from, to, line, words) in [
        ("[a]", "[nobody]", 23, "`nobody` is the id or name of no rule that is loaded"),
        ("[a]", "[c]", 23, "`c` cannot run itself, or the two name each other"),
        ("[a]", "[]", 23, "no rules; expected"),
        ("[a]", "5", 23, "correlation: rules: 5; expected a text or a list of texts"),
        ("10s", "soon", 24, "expected a number and s, m, h or d"),
        ("10s", "0s", 24, "more than nothing"),
        ("event_count", "event_sum", 22, "Unknown correlation type"),
        ("event_count", "value_count", 25, "value_count without a field"),
        ("gte: 3", "many: 3", 25, "must have an operator"),
        ("gte: 3", "gte: lots", 25, "gte"),
        ("{gte: 3}", "a", 25, "expected a bound"),
        ("  rules", "  rule: x\n  rules", 23, "correlation: `rule` is not known; expected one of: type, rules"),
    ] {
        let said = with(from, to);
        assert!(said.contains(words) && said.contains(&format!(":{line}: ")), "{to}: {said}, not in line {line}");
    }
    let share = "  type: value_percentile\n  rules: [a]\n  timespan: 10s\n  condition: {field: v, gte: 500}";
    assert!(complaint(share).contains("expected a `percentile`"));
    let ordered = "  type: temporal_ordered\n  rules: [a, b]\n  timespan: 10s\n  condition: b and a";
    assert!(complaint(ordered).contains("takes its order from `rules`"));
    let absent = "  type: temporal\n  rules: [a, b]\n  timespan: 10s\n  condition: not a and not b";
    assert!(complaint(absent).contains("expected a rule that has to match"));
}
