//! From records to actions: an address that nobody to be trusted vouches for is judged and told of, and never blocked.

mod common;

use common::alerts::{outbox, tell};
use common::receiver::SECRET;
use common::{wall_clock, wall_us};
use detectors::{Engine, EngineLimits};
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

/// What becomes of a block and of a message because of this alert, through a whole outbox whose targets take both.
fn steps(alert: &Alert) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let config = "dry_run: true\nguard: { alert_age_max: 3650d }\ntargets:\n  webhook: [{ name: soar, url: 'http://127.0.0.1:9/', secrets: [{ env: SOAR }] }]\n  \
                  crowdsec: [{ name: waf, url: 'http://127.0.0.1:9/', machine_id: m, password: { env: SOAR } }]\n";
    runtime.block_on(async {
        let path = folder.path().join("state.db");
        let outbox = outbox(&path, config, &[("SOAR", SECRET)], wall_clock()).await;
        tell(&outbox, std::slice::from_ref(alert), &["block", "notify"], wall_us()).await;
        outbox.pass(true).await.expect("a pass");
        let steps = common::alerts::steps(&outbox).await;
        steps
            .iter()
            .filter(|step| step.step != "planned")
            .map(|step| format!("{}: {}: {}", step.kind, step.step, step.detail))
            .collect()
    })
}

#[test]
fn an_unproven_client_is_told_of_and_never_blocked() {
    let alerts = opened(&SourceConfig { name: "edge".into(), ..SourceConfig::new("envoy") });
    let alert = alerts.iter().find(|alert| alert.detector == "path-probing").expect("found all the same");
    assert_eq!((&*alert.entity.kind, &*alert.entity.value), ("client_ip", "203.0.113.66"));
    assert_eq!(alert.evidence["client_ip_source"], "unproven");
    assert_eq!(
        steps(alert),
        [
            "notify: dry_run: would be sent",
            "block: suppressed: client address unproven: nobody to be trusted says that it made these requests"
        ]
    );
}

#[test]
fn who_says_that_one_proxy_writes_the_list_gets_blocks() {
    let source = SourceConfig { name: "edge".into(), trusted_hops: 1, ..SourceConfig::new("envoy") };
    let alerts = opened(&source);
    let alert = alerts.iter().find(|alert| alert.detector == "path-probing").expect("found");
    assert_eq!((&*alert.entity.kind, &*alert.entity.value), ("client_ip", "203.0.113.66"));
    assert_eq!(alert.evidence.get("client_ip_source"), None);
    assert_eq!(steps(alert), ["notify: dry_run: would be sent", "block: dry_run: would be sent"]);
}
