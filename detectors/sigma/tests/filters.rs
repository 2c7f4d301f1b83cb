//! Filters, and files with several documents.

use serde_json::json;

use super::super::{File, JsonEvent, Rules};
use super::{line, load};

const FILTER: &str = "title: The office\nlogsource:\n  category: webserver\nfilter:\n  rules:\n    - r\n  selection:\n    c-ip|cidr: \
    192.0.2.0/24\n  condition: not selection\n";

fn matched(rules: &Rules, event: serde_json::Value) -> Vec<String> {
    let event = JsonEvent(event.as_object().expect("an object"));
    let view = rules.view(&event);
    rules.matches(&view).into_iter().map(|rule| rules.rules()[rule as usize].about.id.clone()).collect()
}

#[test]
fn a_filter_holds_beside_the_rules_that_it_names() {
    let rule = line("u: a");
    let other = line("u: a").replace("id: r", "id: other");
    // The filter may come first.
    let files = [("filter.yml", FILTER), ("rule.yml", &rule), ("other.yml", &other)];
    let rules = Rules::load(&files.map(|(name, text)| File { name, text }));
    assert_eq!(rules.problems, []);
    assert_eq!(matched(&rules, json!({"u": "a", "c-ip": "192.0.2.7"})), ["other"]);
    assert_eq!(matched(&rules, json!({"u": "a", "c-ip": "198.51.100.7"})), ["r", "other"]);
    assert_eq!(matched(&rules, json!({"u": "b", "c-ip": "198.51.100.7"})), [""; 0]);
}

#[test]
fn a_filter_may_be_for_any_rule_of_its_log_source() {
    let any = FILTER.replace("\n    - r", " any");
    let rules = load(&format!("{any}---\n{}", line("u: a")));
    assert_eq!(rules.problems, []);
    assert_eq!(matched(&rules, json!({"u": "a", "c-ip": "192.0.2.7"})), [""; 0]);
    let elsewhere = any.replace("webserver", "proxy");
    let rules = load(&format!("{elsewhere}---\n{}", line("u: a")));
    assert_eq!(matched(&rules, json!({"u": "a", "c-ip": "192.0.2.7"})), ["r"]);
    assert!(rules.problems[0].what.contains("fits no rule"), "{:?}", rules.problems);
}

#[test]
fn a_filter_names_its_selections_for_itself() {
    let several =
        FILTER.replace("condition: not selection", "selection_b:\n    u: b\n  condition: not 1 of selection*");
    let rules = load(&format!("{several}---\n{}", line("u: [a, b]")));
    assert_eq!(rules.problems, []);
    assert_eq!(matched(&rules, json!({"u": "a"})), ["r"]);
    assert_eq!(matched(&rules, json!({"u": "b"})), [""; 0]);
}

#[test]
fn a_filter_without_rules_is_refused() {
    let rules = load(&format!("{}---\n{}", FILTER.replace("rules:\n    - r\n  ", ""), line("u: a")));
    assert_eq!(
        rules.problems[0].to_string(),
        "rules.yml:4: a filter without rules; expected a list of ids or names, or `any`"
    );
}

#[test]
fn documents_may_stand_on_a_common_one() {
    let text = "action: global\ntitle: Common\nlogsource: {category: proxy}\ndetection:\n  condition: selection\n---\nid: one\ndetection:\n  \
                selection: {u: a}\n---\nid: two\ndetection:\n  selection: {u: b}\n---\naction: repeat\nid: three\ndetection:\n  \
                selection: {u: c}\n---\naction: reset\n---\nid: four\ndetection:\n  selection: {u: d}\n";
    let rules = load(text);
    assert_eq!(matched(&rules, json!({"u": "a"})), ["one"]);
    assert_eq!(matched(&rules, json!({"u": "b"})), ["two"]);
    assert_eq!(matched(&rules, json!({"u": "c"})), ["three"]);
    assert_eq!(rules.problems.len(), 1, "{:?}", rules.problems);
    assert_eq!((rules.problems[0].line, rules.problems[0].what.as_str()), (22, "no title; expected a text"));
}
