//! The screen: what it says, how wide it is, and that it has no colour unless asked.

use super::score::{alert, all_found, plan};
use super::*;

const LAKE: Tables<'static> = Tables { folder: "./demo lake", query: "bin/gatewatch query --data-dir './demo lake'" };

fn run<'a>(redactions: &'a [(String, u64)], lake: Option<Tables<'a>>) -> Run<'a> {
    let program = "bin/gatewatch";
    Run { seed: 1, events: 200_000, rejects: 0, bytes: 151_000_000, seconds: 1.9, redactions, program, lake }
}

fn redactions() -> Vec<(String, u64)> {
    let classes = ["jwt", "api_key", "cookie", "email", "bearer", "card", "private_key", "cloud_key", "session"];
    classes.iter().map(|class| ((*class).to_owned(), 112_345)).collect()
}

#[test]
fn a_perfect_run_reads_well() {
    let plan = plan();
    let alerts = all_found(&plan);
    let (score, redactions) = (super::super::score(&plan, &alerts), redactions());
    let text = render(&plan, &score, &run(&redactions, Some(LAKE)), false);
    for line in [
        "Gatewatch demo, seed 1: 200,000 requests in 30 hours",
        "ATTACKS  8 planted, 8 found",
        "  ✓ Endpoint sweep                 203.0.113.77   Mon 21:05:12  40 s         endpoint-sweep",
        "LOOK-ALIKES  12 beside them, harmless: 12 stayed quiet",
        "    Endpoint sweep                 ✓ Docs crawler  ✓ Uptime monitor  ✓ Office behind one address",
        "SPEED     105,263 events/s, 79.5 MB/s: 200,000 records in 1.9 s, 0 rejects",
        "LAKE      ./demo lake (Delta Lake tables)",
        "  bin/gatewatch query --data-dir './demo lake' \\",
        "    \"SELECT date_trunc('minute', time) AS minute, count(DISTINCT endpoint) AS endpoints,",
        "     WHERE client_ip = '203.0.113.77' GROUP BY 1 ORDER BY 1\"",
        "     WHERE id = 'client-errors' ORDER BY revision\"",
    ] {
        assert!(text.lines().any(|had| had == line), "no line {line:?} in\n{text}");
    }
    assert!(!text.contains("OTHER ALERTS") && !text.contains('\u{1b}'));
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(text.lines().count() <= 48, "{} lines", text.lines().count());
    assert_eq!(text.matches("gatewatch query").count(), 3);
}

#[test]
fn a_bad_run_says_so() {
    let plan = plan();
    let crawler = plan.look_alike("docs-crawler").unwrap();
    let stranger = |n| schemas::alert::Entity { kind: "client_ip".into(), value: format!("2001:db8::{n}") };
    let mut alerts = vec![alert("x", "endpoint-sweep", &crawler.entities[0], crawler.start_us)];
    alerts.extend((0..7).map(|n| alert(&format!("s{n}"), "traffic-spike-ip", &stranger(n), plan.start_us + 7)));
    let text = render(&plan, &super::super::score(&plan, &alerts), &run(&[], None), false);
    for part in [
        "8 planted, 0 found",
        "missed",
        "    Endpoint sweep                 ✗ Docs crawler (endpoint-sweep)  ✓ Uptime monitor\n                                   ✓ Office",
        "OTHER ALERTS  7 that belong to nothing planted",
        "    and 2 more",
        "REDACTED  nothing",
        "none: this run kept nothing",
        "\n  bin/gatewatch demo --data-dir ./demo-lake\n",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn colour_only_adds_escapes() {
    let plan = plan();
    let score = super::super::score(&plan, &all_found(&plan));
    let (redactions, colourless) = (redactions(), |text: String| {
        let mut plain = String::new();
        let mut escaped = false;
        for c in text.chars() {
            match (escaped, c) {
                (false, '\u{1b}') => escaped = true,
                (true, 'm') => escaped = false,
                (true, _) => {}
                (false, c) => plain.push(c),
            }
        }
        plain.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    });
    let run = run(&redactions, Some(LAKE));
    let (with, without) = (render(&plan, &score, &run, true), render(&plan, &score, &run, false));
    assert!(with.contains("\u{1b}[32m"));
    assert_eq!(colourless(with), without.trim_end());
}
