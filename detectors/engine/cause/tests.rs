//! What is a part of what, when it stops to be, and that neither cuts nor restarts nor other detectors change it.

use schemas::{Alert, Lane};
use serde_json::{Value, json};

use super::*;
use crate::engine::{Engine, EngineLimits};
use crate::parse_rule;
use crate::testkit::batch_of;

/// 2026-03-01T12:00:00Z
const NOON: i64 = 1_772_366_400_000_000;

fn rule(id: &str, entity: &str, at_least: u32, more: &str) -> Arc<Rule> {
    let severity = if more.contains("severity:") { "" } else { "severity: low\n" };
    let text = format!(
        "id: {id}\ntitle: A test\n{severity}entity: {entity}\nquiet: 1m\nnotes: none\n\
         method: {{ threshold: {{ at_least: {at_least}, within: 10s }} }}\n{more}"
    );
    Arc::new(parse_rule(&text, "test.yaml").unwrap_or_else(|error| panic!("{error}\n{text}")))
}

/// Three of one endpoint, and five of all.
fn endpoint_and_whole() -> Vec<Arc<Rule>> {
    vec![rule("all", "whole", 5, ""), rule("one", "endpoint", 3, "part_of: [all]")]
}

fn lane() -> Lane {
    Lane::new("test", 0)
}

fn engine(rules: &[Arc<Rule>]) -> Engine {
    let mut engine = Engine::new(rules.to_vec(), EngineLimits::default()).unwrap();
    engine.open(&lane(), 0);
    engine
}

fn event(at: f64, client: &str, endpoint: &str) -> Value {
    json!({ "time": NOON + (at * 1e6) as i64, "client_ip": client, "endpoint": endpoint })
}

/// One event a second from one client, of these endpoints, from `from` on.
fn of(from: i64, endpoints: &str) -> Vec<Value> {
    let name = |(n, c): (usize, char)| event((from + n as i64) as f64, "203.0.113.7", &c.to_string());
    endpoints.chars().enumerate().map(name).collect()
}

/// Folds all of these rows.
fn feed(engine: &mut Engine, rows: &[Value]) -> Vec<Alert> {
    engine.push(&lane(), batch_of(rows).unwrap()).unwrap();
    engine.idle(&lane());
    engine.advance().unwrap()
}

fn alerts(rules: &[Arc<Rule>], rows: &[Value]) -> Vec<Alert> {
    let mut engine = engine(rules);
    let mut alerts = feed(&mut engine, rows);
    alerts.extend(engine.finish().unwrap());
    alerts
}

/// Time, detector, entity, revision, state, and the detector of what it is a part of.
fn brief(alerts: &[Alert]) -> Vec<String> {
    let one = |alert: &Alert| {
        let at = (parse_rfc3339(&alert.updated).unwrap() - NOON) / 1_000_000;
        let Alert { detector, entity, revision, state, part_of, .. } = alert;
        let lead = part_of.as_ref().map(|id| &alerts.iter().find(|lead| lead.id == *id).unwrap().detector);
        let lead = lead.map_or(String::new(), |lead| format!(", part of {lead}"));
        format!("{at} {detector}/{} {revision} {state:?}{lead}", entity.value)
    };
    alerts.iter().map(one).collect()
}

fn parts(alert: &Alert) -> Vec<String> {
    let listed = alert.evidence["parts"]["listed"].as_array().map(Vec::as_slice).unwrap_or_default();
    let one = |part: &Value| {
        format!(
            "{}/{} {}",
            part["detector"].as_str().unwrap(),
            part["entity"]["value"].as_str().unwrap(),
            part["observed"]
        )
    };
    let mut parts: Vec<String> = listed.iter().map(one).collect();
    parts.insert(0, alert.evidence["parts"]["count"].to_string());
    parts
}

#[test]
fn what_fails_with_the_whole_is_a_part_of_its_alert() {
    let told = alerts(&endpoint_and_whole(), &[of(0, "aaabbbccc"), of(200, "x")].concat());
    let want = [
        "2 one/a 0 Open",
        // It opened just before: the one cause shows only now.
        "4 all/ 0 Open",
        "4 one/a 1 Updated, part of all",
        "5 one/b 0 Open, part of all",
        "5 all/ 1 Updated",
        "8 one/c 0 Open, part of all",
        // Its own doubling; there are not twice as many parts yet.
        "62 one/a 2 Closed, part of all",
        "65 one/b 1 Closed, part of all",
        "68 all/ 2 Closed",
        "68 one/c 1 Closed, part of all",
    ];
    assert_eq!(brief(&told), want);
    assert_eq!(parts(&told[1]), ["1", "one/a 3.0"]);
    assert_eq!(parts(&told[4]), ["2", "one/a 3.0", "one/b 3.0"]);
    assert_eq!(parts(&told[8]), ["3", "one/a 3.0", "one/b 3.0", "one/c 3.0"]);
    assert!(told.iter().all(|alert| (alert.detector == "all") == alert.evidence.get("parts").is_some()));
}

#[test]
fn what_opened_long_before_is_another_matter() {
    // The endpoint goes on for twenty minutes before everything fails.
    let mut rows: Vec<Value> = (0..1_200).step_by(4).map(|at| event(at as f64, "203.0.113.7", "a")).collect();
    rows.extend(of(1_197, "bcd"));
    rows.sort_by_key(|row| row["time"].as_i64());
    let rules = vec![rule("all", "whole", 5, ""), rule("one", "endpoint", 3, "part_of: [all]")];
    let told = alerts(&rules, &rows);
    assert_eq!(brief(&told), ["8 one/a 0 Open", "1199 all/ 0 Open"]);
}

#[test]
fn graver_louder_or_real_ones_are_no_parts() {
    let is_part = |whole: &str, one: &str| {
        let rules = [rule("all", "whole", 2, whole), rule("one", "client_ip", 3, &format!("part_of: [all]\n{one}"))];
        let told = alerts(&rules, &of(0, "abc"));
        let parts = told.iter().filter(|alert| alert.part_of.is_some()).count();
        assert_eq!(told.iter().filter(|alert| alert.state == State::Open).count(), 2);
        parts == 1
    };
    assert!(is_part("respond: [page]", "respond: [case, notify]"));
    assert!(is_part("severity: high", "severity: medium"));
    assert!(!is_part("severity: medium", "severity: high"));
    assert!(!is_part("respond: [case]", "respond: [page]"));
    // The whole cannot be blocked, so this is no more than it could ask for.
    assert!(is_part("respond: [page, case]", "respond: [block, case]"));
    assert!(!is_part("respond: [notify]", "respond: [block, case]"));
    assert!(is_part("dry_run: true", "dry_run: true") && is_part("dry_run: false", "dry_run: true"));
    assert!(!is_part("dry_run: true", "dry_run: false"));
    let of_a_client = |client: &str, one: &str| {
        let one = format!("part_of: [client]\n{one}");
        let told = alerts(&[rule("client", "client_ip", 2, client), rule("one", "client_ip", 3, &one)], &of(0, "abc"));
        told.iter().any(|alert| alert.part_of.is_some())
    };
    assert!(of_a_client("respond: [block]", "respond: [block]"));
    assert!(!of_a_client("respond: [page, case]", "respond: [block]"));
}

#[test]
fn what_one_client_did_is_a_part_of_the_alert_about_it() {
    let rules = [rule("client", "client_ip", 4, ""), rule("end", "endpoint", 6, "part_of: [client]")];
    let at = |n: usize, client: &str| event(n as f64 * 0.5, client, "a");
    let lone: Vec<Value> = (0..9).map(|n| at(n, "203.0.113.7")).collect();
    let told = alerts(&rules, &lone);
    assert_eq!(brief(&told)[..2], ["1 client/203.0.113.7 0 Open", "2 end/a 0 Open, part of client"]);
    // Of two clients each made half: it is nobody's.
    let both: Vec<Value> = (0..12).map(|n| at(n, ["203.0.113.7", "203.0.113.8"][n % 2])).collect();
    let told = alerts(&rules, &both);
    assert!(told.iter().all(|alert| alert.part_of.is_none()) && told.len() == 4, "{:?}", brief(&told));
    // Nor is it that of an address that nobody vouches for.
    let claimed = |row: &Value| {
        let mut row = row.clone();
        row["client_ip_source"] = "unproven".into();
        row
    };
    let told = alerts(&rules, &lone.iter().map(claimed).collect::<Vec<_>>());
    assert!(told.iter().all(|alert| alert.part_of.is_none()) && told.len() >= 2, "{:?}", brief(&told));
}

#[test]
fn two_detectors_of_one_client_are_one_alert_whichever_comes_first() {
    let rules = [rule("few", "client_ip", 3, "part_of: [many]"), rule("many", "client_ip", 5, "part_of: [few]")];
    let told = alerts(&rules, &of(0, "aaaaaa"));
    assert_eq!(
        brief(&told)[..3],
        ["2 few/203.0.113.7 0 Open", "4 many/203.0.113.7 0 Open, part of few", "4 few/203.0.113.7 1 Updated"]
    );
    let another = alerts(&rules, &[of(0, "aaa"), vec![event(3.0, "203.0.113.8", "a")]].concat());
    assert_eq!(brief(&another), ["2 few/203.0.113.7 0 Open"]);
}

#[test]
fn a_part_of_a_part_belongs_to_the_first() {
    let rules = [
        rule("client", "client_ip", 3, ""),
        rule("all", "whole", 5, "part_of: [client]"),
        rule("one", "endpoint", 6, "part_of: [all]"),
    ];
    let told = alerts(&rules, &of(0, "aaaaaaa"));
    let opened: Vec<String> = brief(&told).into_iter().filter(|line| line.contains("Open")).collect();
    assert_eq!(
        opened,
        ["2 client/203.0.113.7 0 Open", "4 all/ 0 Open, part of client", "5 one/a 0 Open, part of client"]
    );
}

#[test]
fn a_part_that_goes_on_alone_is_told_and_one_that_ends_is_not() {
    let mut rows = of(0, "aaabbb");
    // `b` goes on, too rarely for the whole.
    rows.extend((7..130).step_by(4).map(|at| event(at as f64, "203.0.113.7", "b")));
    let told = alerts(&endpoint_and_whole(), &[rows, of(400, "x")].concat());
    let later: Vec<String> =
        brief(&told).into_iter().filter(|line| line.contains("/b") || line.contains("all/")).collect();
    let want = [
        "4 all/ 0 Open",
        "5 one/b 0 Open, part of all",
        "5 all/ 1 Updated",
        "71 all/ 2 Closed",
        // A minute after what it was a part of: it would be over, too.
        "131 one/b 1 Updated",
        "187 one/b 2 Closed",
    ];
    assert_eq!(later, want);
    assert_eq!(brief(&told).iter().filter(|line| line.contains("/a") && !line.contains("part of")).count(), 1);
}

#[test]
fn what_is_left_of_one_outage_is_a_part_of_the_next() {
    let mut rows = of(0, "aaabbb");
    // `b` goes on, too rarely for the whole, until everything fails again, before it would be told as an alert of its own.
    rows.extend((7..110).step_by(4).map(|at| event(at as f64, "203.0.113.7", "b")));
    rows.extend(of(110, "aaabbb"));
    let told = alerts(&endpoint_and_whole(), &[rows, of(400, "x")].concat());
    let later: Vec<String> = brief(&told).into_iter().filter(|line| line.contains("/b")).collect();
    assert_eq!(
        later,
        ["5 one/b 0 Open, part of all", "112 one/b 1 Updated, part of all", "175 one/b 2 Closed, part of all"]
    );
    let opened = brief(&told).into_iter().filter(|line| line.contains("all/") && line.contains("Open"));
    assert_eq!(opened.collect::<Vec<_>>(), ["4 all/ 0 Open", "112 all/ 0 Open"]);
}

#[test]
fn cuts_and_restarts_change_nothing() {
    let mut rules = endpoint_and_whole();
    rules.push(rule("client", "client_ip", 4, "part_of: [all]"));
    let mut rows = of(0, "aaabbbabcabdddaeeeaaab");
    rows.extend((30..200).step_by(3).map(|at| event(at as f64, "203.0.113.8", if at % 2 == 0 { "a" } else { "b" })));
    rows.extend([of(260, "aabbbaaabb"), of(500, "x")].concat());
    for (offset, row) in rows.iter_mut().enumerate() {
        row["offset"] = offset.into();
    }
    let whole: Vec<String> = alerts(&rules, &rows).iter().map(text).collect();
    assert!(whole.len() > 20 && whole.iter().any(|told| told.contains("part_of")));
    for cut in 0..rows.len() {
        let mut first = engine(&rules);
        let mut told = feed(&mut first, &rows[..cut]);
        let mut next = Engine::restore(rules.clone(), EngineLimits::default(), &first.snapshot()).unwrap();
        assert_eq!(next.notes(), [] as [String; 0]);
        told.extend(feed(&mut next, &rows[cut..]));
        told.extend(next.finish().unwrap());
        assert_eq!(told.iter().map(text).collect::<Vec<_>>(), whole, "cut at {cut}");
    }
}

#[test]
fn very_many_are_counted_and_listed_in_part() {
    let rules = vec![rule("all", "whole", 5, ""), rule("one", "endpoint", 2, "part_of: [all]")];
    let names = (0..STANDING_MAX + 100).flat_map(|n| [n, n]);
    let rows: Vec<Value> =
        names.enumerate().map(|(at, n)| event(at as f64 * 0.001, "203.0.113.7", &n.to_string())).collect();
    let told = alerts(&rules, &rows);
    let opened = told.iter().filter(|alert| alert.detector == "one" && alert.state == State::Open);
    assert_eq!((opened.clone().count(), opened.filter(|alert| alert.part_of.is_some()).count()), (2_100, 1_997));
    let last = told.iter().rfind(|alert| alert.detector == "all").unwrap();
    assert_eq!(last.evidence["parts"]["listed"].as_array().unwrap().len(), LISTED_MAX);
    assert!(last.evidence["parts"]["count"].as_u64().unwrap() >= 1_024);
}

#[test]
fn other_detectors_leave_parts_and_revisions_right() {
    let mut engine = engine(&endpoint_and_whole());
    let told = feed(&mut engine, &of(0, "aaabbb"));
    assert_eq!(brief(&told)[2], "4 one/a 1 Updated, part of all");
    // The whole is no longer looked at: its alert is closed, and what goes on is told.
    let closed = engine.reload(vec![rule("one", "endpoint", 3, "")]).unwrap();
    assert_eq!(closed.iter().map(|a| (a.detector.as_str(), a.revision)).collect::<Vec<_>>(), [("all", 2)]);
    let rows: Vec<Value> = (8..80).step_by(4).map(|at| event(at as f64, "203.0.113.7", "a")).collect();
    let mut later = feed(&mut engine, &rows);
    later.extend(feed(&mut engine, &of(300, "x")));
    let later: Vec<String> = brief(&[told, later].concat())[5..].to_vec();
    assert_eq!(later, ["65 one/b 1 Closed, part of all", "65 one/a 2 Updated", "136 one/a 3 Closed"]);
}

#[test]
fn what_others_do_is_no_part_of_what_one_client_did_to_the_whole() {
    let rules = [
        rule("client", "client_ip", 3, ""),
        rule("all", "whole", 5, "part_of: [client]"),
        rule("one", "endpoint", 6, "part_of: [all]"),
    ];
    let mut rows = of(0, "aaaaa");
    rows.extend((0..6).map(|n| event(5.0 + f64::from(n) * 0.5, "203.0.113.8", "b")));
    let told = alerts(&rules, &rows);
    let opened: Vec<String> = brief(&told).into_iter().filter(|line| line.contains("Open")).collect();
    let want = [
        "2 client/203.0.113.7 0 Open",
        "4 all/ 0 Open, part of client",
        "6 client/203.0.113.8 0 Open",
        "7 one/b 0 Open",
    ];
    assert_eq!(opened, want);
}

#[test]
fn an_alert_that_is_kept_open_hides_nothing_for_long() {
    // The client's alert is kept open for hours by one request in four seconds.
    let mut rows: Vec<Value> = (0..7_400).step_by(4).map(|at| event(at as f64, "203.0.113.7", "x")).collect();
    rows.extend([of(3_001, "aaa"), of(7_201, "aaa")].concat());
    rows.sort_by_key(|row| row["time"].as_i64());
    let rules = [rule("client", "client_ip", 3, ""), rule("more", "client_ip", 5, "part_of: [client]")];
    let told = brief(&alerts(&rules, &rows));
    let opened: Vec<&String> = told.iter().filter(|line| line.contains("more/") && line.contains("Open")).collect();
    assert_eq!(opened, ["3003 more/203.0.113.7 0 Open, part of client", "7203 more/203.0.113.7 0 Open"]);
    assert_eq!(told.iter().filter(|line| line.contains(" client/") && line.contains("Open")).count(), 1);
    // What is about the whole holds what it does to endpoints for a day, and whoever is to be blocked for an hour.
    let endpoint = "part_of: [client]";
    for (entity, more) in
        [("client_ip", "part_of: [client]\nrespond: [block]"), ("principal", endpoint), ("endpoint", endpoint)]
    {
        rows.iter_mut().for_each(|row| (row["principal"], row["endpoint"]) = ("anna".into(), "x".into()));
        let rules = [rule("client", "whole", 3, "respond: [page]"), rule("more", entity, 5, more)];
        let opened: Vec<String> =
            brief(&alerts(&rules, &rows)).into_iter().filter(|line| line.contains("Open")).collect();
        let parts = opened.iter().filter(|line| line.contains("more/") && line.ends_with("part of client")).count();
        let alone = opened.iter().filter(|line| line.contains("more/") && !line.ends_with("part of client")).count();
        assert_eq!((parts, alone), if entity == "endpoint" { (2, 0) } else { (1, 1) }, "{entity}: {opened:?}");
    }
}

#[test]
fn a_forged_address_makes_its_owner_the_author_of_nothing() {
    let rules = [rule("client", "client_ip", 3, ""), rule("end", "endpoint", 6, "part_of: [client]")];
    let mut rows = of(0, "xyz");
    rows.extend((0..6).map(|n| {
        let mut row = event(3.0 + f64::from(n) * 0.5, "203.0.113.7", "a");
        row["client_ip_source"] = "unproven".into();
        row
    }));
    let told = alerts(&rules, &rows);
    let end = told.iter().find(|alert| alert.detector == "end").unwrap();
    assert_eq!((&end.part_of, &end.evidence["client_ips"]), (&None, &Value::Null));
}
