//! Detector files: what is read, and what each mistake is answered with.

use super::*;

const GOOD: &str = "\
id: good-one
title: A good one
severity: high
owasp: [API2:2023]
attack: [T1110.001, T1595]
where: status = 401
entity: client_ip+endpoint
method: { threshold: { at_least: 20, within: 5m } }
first_seen_within: 1h
quiet: 10m
respond: [page, case]
dry_run: false
notes: |
  What it sees.
runbook:
  - First this.
  - Then that.
";

fn error(yaml: &str) -> String {
    parse_rule(yaml, "x.yaml").expect_err(yaml).to_string()
}

/// The good file with one line replaced (or dropped, when `new` is empty).
fn with(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    GOOD.replace(old, new)
}

#[test]
fn a_good_file_is_read_in_full() {
    let rule = parse_rule(GOOD, "x.yaml").unwrap();
    assert_eq!((rule.id.as_str(), rule.severity, rule.dry_run), ("good-one", Severity::High, false));
    assert_eq!(rule.entity.to_string(), "client_ip+endpoint");
    assert_eq!(rule.filter.unwrap().sql(), "status = 401");
    assert_eq!(rule.method.identity(), "Threshold { at_least: 20, within_us: 300000000 }");
    assert_eq!((rule.first_seen_within_us, rule.quiet_us), (Some(3_600_000_000), 600_000_000));
    assert_eq!(rule.runbook, ["First this.", "Then that."]);
}

#[test]
fn what_a_detector_needs_is_known() {
    let needs = |yaml: &str| parse_rule(yaml, "x").unwrap().needs().into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(needs(GOOD), "client_ip endpoint status");
    let method =
        |method: &str| with("threshold: { at_least: 20, within: 5m }", method).replace("first_seen_within: 1h\n", "");
    let sum = method("sum: { of: response_bytes, at_least: 20, within: 5m }");
    assert_eq!(needs(&sum), "client_ip endpoint response_bytes status");
    let one = method("distinct: { of: object_id, at_least: 20, within: 5m }");
    assert_eq!(needs(&one), "client_ip endpoint object_id status");
    let ratio = method("ratio: { of: grpc_status = 16, at_least: 0.5, min_events: 20, within: 5m }");
    assert_eq!(needs(&ratio), "client_ip endpoint grpc_status status");
}

#[test]
fn defaults_are_cautious() {
    let rule = parse_rule(
        &with("dry_run: false\n", "").replace("quiet: 10m\n", "").replace("respond: [page, case]\n", ""),
        "x",
    )
    .unwrap();
    assert!(rule.dry_run && rule.respond.is_empty());
    assert_eq!(rule.quiet_us, 300_000_000);
    let hour = parse_rule(&with("within: 5m", "within: 1h").replace("quiet: 10m\n", ""), "x").unwrap();
    assert_eq!(hour.quiet_us, 3_600_000_000, "an episode lasts at least as long as the window");
}

#[test]
fn every_method_is_read() {
    let cases = [
        ("{ distinct: { of: [endpoint, object_id], at_least: 100, within: 1m } }", "distinct"),
        ("{ sum: { of: response_bytes, at_least: 50000000, within: 10m } }", "sum"),
        ("{ ratio: { of: \"status >= 500\", at_least: 0.25, min_events: 20, within: 5m } }", "ratio"),
        ("{ baseline: { of: count, window: 5m } }", "baseline"),
        (
            "{ baseline: { of: sum(response_bytes), window: 10m, history: 2d, warmup: 12, floor: 50000, min_change: 3 } }",
            "baseline",
        ),
        (
            "{ baseline: { of: 'ratio(\"status BETWEEN 400 AND 499\")', window: 5m, min_events: 20, parent: whole } }",
            "baseline",
        ),
        ("{ baseline: { of: ratio(status >= 500), window: 5m } }", "baseline"),
        ("{ baseline: { of: \"distinct(endpoint, method)\", window: 1h, direction: both } }", "baseline"),
        ("{ baseline: { of: count, window: 5m, parent: principal_kind } }", "baseline"),
        ("{ percentile: { of: latency_us, p: 99.9, window: 10m, times: 4, at_least: 2000000 } }", "percentile"),
        ("{ enumeration: { of: [endpoint, object_id], within: 1h, refused: 20 } }", "enumeration"),
    ];
    for (method, name) in cases {
        let yaml = with("{ threshold: { at_least: 20, within: 5m } }", method)
            .replace("first_seen_within: 1h\n", "")
            .replace("quiet: 10m\n", "");
        let rule = parse_rule(&yaml, "x.yaml").unwrap_or_else(|error| panic!("{method}: {error}"));
        assert!(rule.method.identity().to_lowercase().starts_with(name), "{:?}", rule.method);
    }
}

#[test]
fn durations_of_a_baseline_become_windows() {
    let method = "{ baseline: { of: count, window: 10m, history: 1d, warmup: 6, sigmas: 4, min_value: 200 } }";
    let yaml = with("{ threshold: { at_least: 20, within: 5m } }", method)
        .replace("first_seen_within: 1h\n", "")
        .replace("quiet: 10m\n", "");
    let rule = parse_rule(&yaml, "x.yaml").unwrap();
    let identity = rule.method.identity();
    for part in
        ["baseline Count 600000000 ", "history_windows: 144", "warmup_windows: 6", "sigmas: 4.0", "} 200 1 None"]
    {
        assert!(identity.contains(part), "{part} in {identity}");
    }
    assert_eq!(rule.quiet_us, 1_200_000_000);
}

#[test]
fn each_mistake_names_its_place_and_what_was_expected() {
    let method = "{ threshold: { at_least: 20, within: 5m } }";
    let cases = [
        (
            with("at_least: 20", "at_least: 0"),
            "x.yaml:8:34: method.threshold.at_least: expected a whole number from 1 to 1000000, found 0",
        ),
        (
            with("at_least: 20", "at_least: twenty"),
            "x.yaml:8:34: method.threshold.at_least: expected a whole number from 1 to 1000000, found `twenty`",
        ),
        (
            with("within: 5m", "within: 5"),
            "x.yaml:8:46: method.threshold.within: expected a duration from 1s to 31d (30s, 5m, 1h, 7d), found 5",
        ),
        (
            with("within: 5m", "within: 90d"),
            "x.yaml:8:46: method.threshold.within: expected a duration from 1s to 31d (30s, 5m, 1h, 7d), found `90d`",
        ),
        (
            with(", within: 5m", ""),
            "x.yaml:8:22: method.threshold.within: missing; expected a duration from 1s to 31d (30s, 5m, 1h, 7d)",
        ),
        (
            with("within: 5m", "within: 5m, wihtin: 1m"),
            "x.yaml:8:50: method.threshold.wihtin: unknown key; expected one of at_least, within",
        ),
        (
            with(method, "{ threshold: { at_least: 1, within: 1m }, sum: {} }"),
            "x.yaml:8:9: method: expected exactly one of {methods}, found 2 of them",
        ),
        (
            with(method, "{ treshold: {} }"),
            "x.yaml:8:11: method.treshold: unknown method `treshold`; expected one of {methods}",
        ),
        (with(method, "threshold"), "x.yaml:8:9: method: expected a mapping with one of {methods}, found `threshold`"),
        (
            with(method, "{ distinct: { of: endpont, at_least: 5, within: 1m } }"),
            "x.yaml:8:27: method.distinct.of: unknown column `endpont`; did you mean `endpoint`?",
        ),
        (
            with(method, "{ sum: { of: endpoint, at_least: 5, within: 1m } }"),
            "x.yaml:8:22: method.sum.of: expected a column of whole numbers; `endpoint` is not",
        ),
        (
            with(method, "{ ratio: { of: \"status >\", at_least: 0.5, min_events: 5, within: 1m } }"),
            "x.yaml:8:24: method.ratio.of: not valid SQL: ",
        ),
        (
            with(method, "{ ratio: { of: \"status > 1\", at_least: 50, min_events: 5, within: 1m } }"),
            "x.yaml:8:48: method.ratio.at_least: expected a number from 0.001 to 1, found 50",
        ),
        (
            with(method, "{ baseline: { of: median(latency_us), window: 5m } }"),
            "x.yaml:8:27: method.baseline.of: expected count, sum(column), ratio(\"condition\") or distinct(column, ...), found `median(latency_us)`",
        ),
        (
            with(method, "{ baseline: { of: count, window: 5m, warmup: 1s } }"),
            "x.yaml:8:54: method.baseline.warmup: expected a duration of at least 1 windows (30m, 1d) or a number of windows, found `1s`",
        ),
        (
            with(method, "{ baseline: { of: count, window: 5m, parent: client_ip+endpoint } }"),
            "x.yaml:8:54: method.baseline.parent: expected principal_kind, a single column other than the entity, or whole; found `client_ip+endpoint`",
        ),
        (
            with("severity: high", "severity: severe"),
            "x.yaml:3:11: severity: expected info, low, medium, high or critical, found `severe`",
        ),
        (
            with("id: good-one", "id: Good One"),
            "x.yaml:1:5: id: expected lower-case letters, digits and dashes, at most 64, starting with a letter, found `Good One`",
        ),
        (with("id: good-one\n", ""), "x.yaml:1:1: id: missing; expected lower-case letters"),
        (
            with("API2:2023", "API2"),
            "x.yaml:4:9: owasp: expected OWASP identifiers like API4:2023 or A01:2021; found `API2`",
        ),
        (with("T1595", "1595"), "x.yaml:5:21: attack: expected a list of texts, found 1595 in it"),
        (with("status = 401", "statuz = 401"), "x.yaml:6:8: where: unknown column `statuz`; did you mean `status`?"),
        (
            with("client_ip+endpoint", "client_ip+path"),
            "x.yaml:7:9: entity: expected one of client_ip, principal, credential, endpoint, tenant, asn, whole, or two of them as a+b; found `client_ip+path`",
        ),
        (
            with("entity: client_ip+endpoint", "entity: whole"),
            "x.yaml:9:20: first_seen_within: expected only with an entity other than whole and a threshold, distinct, sum or sequence method",
        ),
        (with("quiet: 10m", "quiet: 1m"), "x.yaml:10:8: quiet: expected at least 5m"),
        (
            with("[page, case]", "[page, shout]"),
            "x.yaml:11:17: respond: expected block, case, page, notify; found `shout`",
        ),
        (
            with("[page, case]", "[block, case]"),
            "x.yaml:11:10: respond: block needs entity client_ip; the entity is client_ip+endpoint",
        ),
        (with("dry_run: false", "dry_run: maybe"), "x.yaml:12:10: dry_run: expected true or false, found `maybe`"),
        (with("notes: |\n  What it sees.\n", ""), "x.yaml:1:1: notes: missing; expected what it sees"),
        (with("runbook:", "run_book:"), "x.yaml:15:1: run_book: unknown key; expected one of id, title,"),
        ("- a list".to_owned(), "x.yaml:1:1: expected a mapping, found a list"),
        (format!("{GOOD}id: again\n"), "x.yaml:18:1: not valid YAML: "),
        ("id: [".to_owned(), "not valid YAML: "),
        (String::new(), "x.yaml"),
    ];
    let methods: Vec<&str> = crate::method::METHODS.iter().map(|(name, ..)| *name).collect();
    let mut wrong = Vec::new();
    for (yaml, expected) in cases {
        let (found, expected) = (error(&yaml), expected.replace("{methods}", &methods.join(", ")));
        if !found.contains(&expected) || !found.starts_with("x.yaml") || found.lines().count() != 1 {
            wrong.push(format!("expected {expected}\nfound    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_what_counts_makes_the_state_another() {
    let identity = |yaml: &str| parse_rule(yaml, "x.yaml").unwrap().state_identity();
    let good = identity(GOOD);
    assert_eq!(identity(&with("title: A good one", "title: Another")), good);
    assert_eq!(identity(&with("where: status = 401", "where: status  =  401 -- as before")), good);
    for (old, new) in
        [("= 401", "= 403"), ("at_least: 20", "at_least: 21"), ("quiet: 10m", "quiet: 11m"), ("+endpoint", "+tenant")]
    {
        assert_ne!(identity(&with(old, new)), good, "{new}");
    }
}
