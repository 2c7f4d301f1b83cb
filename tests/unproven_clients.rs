//! From records to actions: an address that nobody to be trusted vouches for is judged and told of, and never blocked.

use detectors::{Engine, EngineLimits};
use gatewatch::respond::RespondConfig;
use gatewatch::respond::guard::{Circumstances, Guard, Verdict};
use gatewatch::respond::plan::plan;
use schemas::alert::State;
use schemas::{Alert, Keys, Lane, Normaliser, RawBatch, SourceConfig};

/// Envoy's default format logs no peer: only the list says who it was.
fn probing() -> RawBatch {
    let mut raw = RawBatch::new();
    for n in 0..14 {
        let line = format!(
            "[2026-11-27T10:00:{:02}.000Z] \"GET /old-{} HTTP/1.1\" 404 - 0 9 3 2 \"192.0.2.50, 203.0.113.66\" \
             \"curl/8.5.0\" \"id-{n}\" \"api.shop.example\" \"192.0.2.80:8080\"",
            n * 3,
            char::from(b'a' + n)
        );
        raw.push(i64::from(n), 1_795_773_600_000_000, line.as_bytes());
    }
    raw
}

fn opened(source: &SourceConfig) -> Vec<Alert> {
    let mut normaliser = Normaliser::new(source, &Keys::new("k1", b"fake")).expect("a source");
    let lane = Lane::new("edge", 0);
    let mut engine = Engine::new(detectors::catalogue(), EngineLimits::default()).expect("an engine");
    engine.open(&lane, 0);
    engine.push(&lane, normaliser.normalise(&lane, &probing()).events).expect("events");
    let mut alerts = engine.advance().expect("alerts");
    alerts.extend(engine.finish().expect("alerts"));
    alerts.retain(|alert| alert.state == State::Open);
    alerts
}

fn verdicts(alert: &Alert) -> Vec<Verdict> {
    let config = RespondConfig { dry_run: false, ..RespondConfig::default() };
    let asked = ["block".to_owned(), "notify".to_owned()];
    let around = Circumstances { now_us: 0, alert_opened_us: Some(0), blocked_until_us: None, blocks_last_hour: 0 };
    let guard = Guard::new(&config.guard, &[]).expect("a guard");
    plan(alert, &asked, &config, &[], 0).iter().map(|action| guard.judge(action, &around)).collect()
}

#[test]
fn an_unproven_client_is_told_of_and_never_blocked() {
    let alerts = opened(&SourceConfig { name: "edge".into(), ..SourceConfig::new("envoy") });
    let alert = alerts.iter().find(|alert| alert.detector == "path-probing").expect("found all the same");
    assert_eq!((&*alert.entity.kind, &*alert.entity.value), ("client_ip", "203.0.113.66"));
    assert_eq!(alert.evidence["client_ip_source"], "unproven");
    let verdicts = verdicts(alert);
    assert!(
        matches!(&verdicts[0], Verdict::Suppress(_, why) if why.starts_with("client address unproven")),
        "{verdicts:?}"
    );
    assert_eq!(verdicts[1], Verdict::Send);
}

#[test]
fn who_says_that_one_proxy_writes_the_list_gets_blocks() {
    let source = SourceConfig { name: "edge".into(), trusted_hops: 1, ..SourceConfig::new("envoy") };
    let alerts = opened(&source);
    let alert = alerts.iter().find(|alert| alert.detector == "path-probing").expect("found");
    assert_eq!((&*alert.entity.kind, &*alert.entity.value), ("client_ip", "203.0.113.66"));
    assert_eq!(alert.evidence.get("client_ip_source"), None);
    assert_eq!(verdicts(alert)[0], Verdict::Send);
}
