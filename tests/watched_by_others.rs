//! Promise: Gatewatch can be watched by others. The dashboard and the alert rules ask for metrics that exist; a real
//! Prometheus that scrapes a real service answers all their queries; each rule fires on its cause and has a page.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::gateway::{Entry, Gateway, write};
use common::process::{free_port, program, run};
use common::program::{WEBHOOK_SECRET, folder};
use common::prometheus::{Prometheus, RULES, dashboard, filled_in, queries, rules, text};
use common::receiver::Receiver;
use common::service::Service;
use common::wall_clock;
use gatewatch::metric::METRICS;
use serde_json::Value;

const RULES_PAGE: &str = "docs/dashboards.md";

/// Panels that show nothing while one followed file is read and all is well, with what they need: `each_rule_fires` has it.
const NEED_MORE: &[(&str, &str)] = &[
    ("Lag in records", "a source of kind Kafka, HTTP or syslog"),
    ("Refused by listeners", "a listener that refused something"),
    ("Spool", "a source of kind HTTP or syslog"),
    ("Detectors that cannot see", "a detector whose column is never filled, for as long as it takes to be sure"),
];

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Words that begin with `prefix`, each with what follows it.
fn words<'a>(text: &'a str, prefix: &str) -> Vec<(&'a str, &'a str)> {
    let starts = text.match_indices(prefix).map(|(at, _)| at);
    let whole = starts.filter(|at| !text[..*at].ends_with(is_word));
    whole.map(|at| text[at..].split_at(text[at..].find(|c| !is_word(c)).unwrap_or(text.len() - at))).collect()
}

/// The labels that a selector right behind a metric's name asks for: `{source=~"edge",code!="x"}`.
fn labels(behind: &str) -> Vec<&str> {
    let Some((inside, _)) = behind.strip_prefix('{').and_then(|rest| rest.split_once('}')) else { return Vec::new() };
    inside.split(',').filter_map(|matcher| matcher.split(['=', '!']).next()).map(str::trim).collect()
}

/// Names and labels that exist nowhere, as complaints.
fn unknown(place: &str, query: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (name, behind) in words(query, "gatewatch_").into_iter().chain(words(query, "process_")) {
        let metric = METRICS.iter().find(|m| [m.name, &format!("{}_bucket", m.name)].contains(&name));
        let Some(metric) = metric else {
            found.push(format!("{place}: no metric is called {name}"));
            continue;
        };
        // What Prometheus adds to every series.
        let known = |label: &&str| metric.labels.contains(label) || ["job", "instance"].contains(label);
        found.extend(
            labels(behind).iter().filter(|label| !known(label)).map(|l| format!("{place}: {name} has no label {l}")),
        );
    }
    found
}

#[test]
fn dashboard_and_rules_ask_for_metrics_that_exist() {
    let (queries, rules) = (queries(), rules());
    assert!(queries.len() > 50 && rules.len() > 20, "{} queries, {} rules", queries.len(), rules.len());
    let mut complaints: Vec<String> =
        queries.iter().chain(&rules).flat_map(|(place, query)| unknown(place, query)).collect();
    for variable in dashboard()["templating"]["list"].as_array().expect("variables") {
        complaints.extend(unknown("a variable", variable["definition"].as_str().unwrap_or_default()));
    }
    assert_eq!(complaints, Vec::<String>::new());
    // The check itself sees what is wrong.
    assert_eq!(unknown("x", "rate(gatewatch_nonsense_total[5m])").len(), 1);
    assert_eq!(unknown("x", "gatewatch_source_up{colour=\"red\",source=\"edge\"}").len(), 1);
}

#[test]
fn the_dashboard_is_one_that_grafana_takes() {
    let dashboard = dashboard();
    let variables: Vec<&str> = dashboard["templating"]["list"]
        .as_array()
        .expect("variables")
        .iter()
        .filter_map(|variable| variable["name"].as_str())
        .collect();
    assert_eq!(variables, ["datasource", "instance", "source"]);
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a title");
        let kind = panel["type"].as_str().expect("a type");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: its id is another panel's");
        let at = &panel["gridPos"];
        assert!(places.insert((at["x"].as_u64(), at["y"].as_u64())), "{title}: lies on another panel");
        // `graph`, `singlestat` and `table-old` are gone from Grafana.
        assert!(["row", "stat", "timeseries", "state-timeline", "table"].contains(&kind), "{title}: {kind}");
        if kind != "row" {
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
            assert!(panel["description"].as_str().is_some_and(|d| d.ends_with('.')), "{title} explains nothing");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
}

#[test]
fn every_rule_has_a_page_that_says_what_to_do() {
    let (text, page) = (text(RULES), text(RULES_PAGE));
    let rules = rules();
    for (name, _) in &rules {
        let link = format!("runbook_url: {RULES_PAGE}#{}\n", name.to_lowercase());
        assert_eq!(text.matches(&link).count(), 1, "{name} has no link to its page");
        let section = page.split(&format!("\n### {name}\n")).nth(1).unwrap_or_default();
        let section = section.split("\n#").next().unwrap_or_default();
        assert!(section.len() > 100, "{RULES_PAGE} has no section for {name}");
    }
    for part in ["summary: ", "description: >-\n", "severity: "] {
        assert_eq!(text.matches(part).count(), rules.len(), "each rule has one {part:?}");
    }
    let sections = page.matches("\n### Gatewatch").count();
    assert_eq!(sections, rules.len(), "a section of {RULES_PAGE} is about no rule");
}

/// promtool's own tests: beside the rules, one or more per rule.
#[test]
fn each_rule_fires_on_its_cause_and_is_quiet_without() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus");
    let promtool = |arguments: [&str; 3]| run(Command::new(program("promtool")).args(arguments).current_dir(&folder));
    promtool(["check", "rules", "gatewatch.rules.yml"]);
    promtool(["test", "rules", "gatewatch.rules.test.yml"]);
    let tests = text("packaging/prometheus/gatewatch.rules.test.yml");
    for (name, _) in rules() {
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "{name} has no test");
    }
}

/// A gateway's log that is written to until this is dropped: a scan at the beginning, then ordinary requests, lines
/// that nobody can read, and lines with an odd value.
fn gateway(log: PathBuf) -> Gateway {
    for path in 0..40 {
        let path = format!("/guess-{path}.php");
        write(&log, Entry { client: "203.0.113.66", path: &path, status: 404, bytes: "0", ..Entry::default() }.line());
    }
    Gateway::open(move || {
        write(&log, "no log line at all\n");
        write(&log, Entry { bytes: "\"plenty\"", ..Entry::default() }.line());
        for client in 1..20 {
            let client = format!("198.51.100.{client}");
            write(&log, Entry { client: &client, ..Entry::default() }.line());
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_gets_an_answer_to_every_query_of_the_dashboard() {
    common::install_crypto();
    let folder = folder();
    let (log, port) = (folder.path().join("access.log"), free_port());
    fs::write(&log, "").expect("written");
    let receiver = Receiver::start(&[WEBHOOK_SECRET], wall_clock()).await;
    // Detectors ask for blocks, too, which no target takes: that is what GatewatchNoTarget is for.
    let configuration = format!(
        "data_dir: {data}
observe: {{ listen: 127.0.0.1:{port} }}
lake: {{ checkpoint_every: 1s }}
sources:
  - {{ name: edge, kind: nginx_json, files: [{log}], follow: true, lateness: 500ms }}
respond:
  dry_run: false
  targets:
    webhook:
      - {{ name: soar, url: \"{url}\", kinds: [case], secrets: [{{ env: GATEWATCH_TEST_WEBHOOK_SECRET }}] }}
",
        data = folder.path().join("data").display(),
        log = log.display(),
        url = receiver.url(),
    );
    let file = folder.path().join("gatewatch.yaml");
    fs::write(&file, configuration).expect("written");
    let service = Service::start(&file);
    let prometheus = Prometheus::start(folder.path(), &text(RULES), "500ms");
    prometheus.scrape("gatewatch", &[("edge", port)]);
    let gateway = gateway(log);

    prometheus.wait_for("up{job=\"gatewatch\"} == 1", 20).await;
    prometheus.wait_for("gatewatch_delivery_seconds_count{target=\"soar\"} > 0", 20).await;
    // The alert rules are loaded, and the one whose cause is there fires.
    prometheus.wait_for("ALERTS{alertname=\"GatewatchNoTarget\",alertstate=\"firing\",kind=\"block\"}", 10).await;
    // Every counter has been there for two scrapes: rates have something to go by.
    prometheus.wait_for("rate(gatewatch_actions_suppressed_total[10s])", 10).await;
    prometheus.wait_for("rate(gatewatch_checkpoints_total{result=\"committed\"}[10s]) > 0", 10).await;

    let mut empty = Vec::new();
    for (panel, query) in queries() {
        let result = prometheus.ask(&filled_in(&query)).await;
        // A restart is an annotation: there was none.
        if result.is_empty() && panel != "Restarts" && !NEED_MORE.iter().any(|(title, _)| *title == panel) {
            empty.push(format!("{panel}: {query}"));
        }
    }
    assert!(empty.is_empty(), "no data:\n{}", empty.join("\n"));
    let loaded = prometheus.get("/api/v1/rules", &[]).await;
    let loaded = loaded["data"]["groups"][0]["rules"].as_array().cloned().expect("rules");
    assert_eq!(loaded.len(), rules().len());
    let unwell: Vec<&Value> = loaded.iter().filter(|rule| rule["health"] != "ok").collect();
    assert!(unwell.is_empty(), "rules that cannot be evaluated: {unwell:?}");

    drop(gateway);
    service.stop();
    prometheus.wait_for("up{job=\"gatewatch\"} == 0", 10).await;
    assert_eq!(receiver.violations(), Vec::<String>::new());
}
