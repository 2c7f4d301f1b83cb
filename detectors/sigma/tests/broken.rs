//! Files that are broken, and files that ask for too much.

use proptest::prelude::*;

use super::super::{File, Rules};
use super::{line, load, refused, rule};

#[test]
fn each_complaint_says_where_what_and_what_was_expected() {
    refused("", 0, "empty; expected a Sigma rule");
    refused("title: [a\n", 1, "not valid YAML");
    refused("title: a\ntitle: b\n", 2, "duplicate");
    refused("- a\n- b\n", 1, "a list; expected a mapping");
    refused("title: x\nid: 5\ndetection: {}\n", 2, "id: 5; expected text");
    refused("title: x\n", 1, "no detection; expected");
    refused("title: x\ndetection: 5\n", 2, "detection: 5; expected a mapping");
    refused("id: x\ndetection:\n  a: {u: 1}\n  condition: a\n", 1, "no title; expected");
    refused("title: x\ndetection:\n  a: {u: 1}\n", 2, "no condition; expected");
    refused(&line("u|like: a"), 6, "unknown modifier `like`; expected one of: contains");
    refused(&line("u|re: 'a(?=b)'"), 6, "look-ahead");
    refused(&line("u|re: '(a){1000}{1000}{1000}'"), 6, "size limit");
    refused(&line("u|re: '('"), 6, "unclosed group");
    refused(&line("u|expand: '%names%'"), 6, "pipeline");
    refused(&line("u|cidr: 192.0.2.0/33"), 6, "expected one like");
    refused(&line("u|gt: many"), 6, "expected a number");
    refused(&line("u|contains|startswith: a"), 6, "expected one");
    refused(&line("u|base64: 'a*'"), 6, "wildcard");
    refused(&line("u|base64offset: 'a'"), 6, "too short");
    refused(&line("u|i: a"), 6, "without `re`");
    refused(&line("u|exists: maybe"), 6, "true or false");
    refused(&line("u: [[a]]"), 6, "a list among its values");
    refused(&line("u: {v: a}"), 6, "a mapping; expected a value");
    refused(&line("u|contains: null"), 6, "expected text");
    refused(&rule("  selection: {}\n  condition: selection"), 5, "an empty selection");
    refused(
        &rule("  selection: {u: a}\n  condition: selektion"),
        6,
        "`selektion`, which is no selection; expected one of: selection",
    );
    refused(&rule("  selection: {u: a}\n  condition: 1 of filter_*"), 6, "fits no selection");
    refused(&rule("  selection: {u: a}\n  condition: 3 of selection*"), 6, "only 1 fit");
    refused(&rule("  selection: {u: a}\n  condition: selection and"), 6, "the condition is not understood");
    refused(&rule("  selection: {u: a}\n  condition: selection | count() > 5"), 6, "expected a correlation");
    refused(&format!("sigma-version: 9\n{}", line("u: a")), 1, "sigma-version");
}

#[test]
fn a_broken_document_costs_itself_alone() {
    let text =
        format!("{}---\ntitle: broken\ndetection: 1\n---\n{}", line("u: a"), line("u: b").replace("id: r", "id: s"));
    let rules = load(&text);
    assert_eq!(rules.rules().len(), 2);
    assert_eq!(rules.problems.len(), 1);
    assert_eq!(rules.problems[0].to_string(), "rules.yml:10: detection: 1; expected a mapping");
}

#[test]
fn an_id_is_held_once() {
    let text = line("u: a");
    let rules = Rules::load(&[File { name: "a.yml", text: &text }, File { name: "b.yml", text: &text }]);
    assert_eq!(rules.rules().len(), 1);
    assert_eq!(
        rules.problems[0].to_string(),
        "b.yml:2: `r` is already the id of a rule in a.yml; expected an id of its own"
    );
}

#[test]
fn what_is_odd_is_noted_and_runs() {
    let rules = load(&format!("status: tested\n{}", line("u: a")));
    assert_eq!(rules.rules().len(), 1);
    assert!(rules.notes[0].what.contains("invalid status"), "{:?}", rules.notes);
}

#[test]
fn nests_bombs_and_long_files_are_refused() {
    let deep = format!("title: {}a{}\n", "[".repeat(2_000), "]".repeat(2_000));
    assert_eq!(load(&deep).problems.len(), 1);
    let parens =
        rule(&format!("  selection: {{u: a}}\n  condition: {}selection{}", "(".repeat(5_000), ")".repeat(5_000)));
    assert_eq!(load(&parens).problems.len(), 1);
    let nots = rule(&format!("  selection: {{u: a}}\n  condition: {}selection", "not ".repeat(10_000)));
    assert_eq!(load(&nots).problems.len(), 1);
    let both =
        rule(&format!("  selection: {{u: a}}\n  condition: {}selection{}", "not (".repeat(5_000), ")".repeat(5_000)));
    assert_eq!(load(&both).problems.len(), 1);
    let long = rule(&format!(
        "  selection: {{u: a}}\n  condition: selection{}",
        " or not selection and selection".repeat(400)
    ));
    assert_eq!(load(&long).problems, []);
    let path = format!("sigma-version: 3\n{}", line(&format!("? {}\n    : x", "a[any].".repeat(100_000))));
    assert_eq!(load(&path).problems.len(), 1);
    let bomb = (1..9).fold("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, nr| {
        let before = vec![format!("*a{}", nr - 1); 10].join(", ");
        format!("{text}a{nr}: &a{nr} [{before}]\n")
    });
    assert_eq!(load(&bomb).problems.len(), 1);
    assert!(load(&"# long\n".repeat(200_000)).problems[0].what.contains("bytes; expected at most"));
}

const WHOLE: &str = "title: A rule\nid: r\nstatus: test\nlogsource:\n  category: proxy\ndetection:\n  selection:\n    c-uri|contains|all:\n      \
    - '/a*'\n      - \"b?\"\n    sc-status: [200, null]\n  filter:\n    - u|re|i: '^a(b|c){2}'\n    - word\n  condition: selection and not 1 of \
    filter*\n---\ntitle: C\ncorrelation:\n  type: value_count\n  rules: [r]\n  group-by: [c-ip]\n  timespan: 5m\n  condition:\n    gte: 3\n    \
    field: u\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever a file holds, it is loaded or refused.
    #[test]
    fn no_file_is_a_panic(cuts in proptest::collection::vec((0..WHOLE.len(), 0..12_usize, "[ -~\n]{0,6}"), 1..5)) {
        let mut text = WHOLE.to_owned();
        for (at, length, put) in cuts {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &put);
        }
        let rules = load(&text);
        prop_assert!(rules.rules().len() + rules.correlations().len() + rules.problems.len() > 0);
    }

    #[test]
    fn no_expression_is_a_panic(expression in "[a-c(){}\\[\\]^$|*+?.\\\\,0-9:&~<>-]{0,24}") {
        let quoted = expression.replace('\'', "''");
        let _either = load(&line(&format!("u|re: '{quoted}'")));
    }
}
