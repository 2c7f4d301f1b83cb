//! Promise: an incident is one alert of a real Alertmanager from its opening to its closing, whatever its severity does and
//! however often a message comes; Alertmanager tells its receivers that it fires once, and that it is over once.

mod common;

use common::alertmanager::Alertmanager;
use common::targets::{Told, deliver, target};
use common::wall_us;
use gatewatch::respond::Delivery;
use gatewatch::respond::action::Kind;
use schemas::alert::Severity;
use schemas::incident::Event;

async fn ok(target: &dyn gatewatch::respond::Target, told: &Told, event: Event, attempt: u32) {
    let delivery = deliver(target, &told.action(event, Kind::Page), attempt, None).await;
    let Delivery::Delivered { remote_ref, .. } = &delivery else { panic!("{delivery:?}") };
    assert_eq!(remote_ref.as_deref(), Some(told.id.as_str()));
}

#[tokio::test]
async fn an_incident_is_one_alert_until_it_is_closed() {
    let mut alertmanager = Alertmanager::start().await;
    let yaml = format!(
        "alertmanager: [{{ name: am, url: 'http://127.0.0.1:{}', labels: {{ team: api }} }}]",
        alertmanager.port
    );
    let page = target(&yaml, &[]);
    let told = |id: &str, severity| Told {
        id: id.to_owned(),
        address: "203.0.113.7".to_owned(),
        severity,
        opened_us: wall_us() - 600_000_000,
    };
    let mut first = told("in-1", Severity::Medium);
    ok(&*page, &first, Event::Open, 1).await;
    ok(&*page, &first, Event::Open, 2).await;
    assert_eq!(alertmanager.next().await, ("firing".to_owned(), "in-1".to_owned()));
    let before = alertmanager.alerts("in-1").await;
    assert_eq!(before.len(), 1, "{before:?}");
    assert_eq!(before[0]["labels"], serde_json::json!({ "alertname": "gatewatch", "incident": "in-1", "team": "api" }));
    assert_eq!(before[0]["annotations"]["severity"], "medium");
    let end = before[0]["endsAt"].as_str().and_then(|end| chrono::DateTime::parse_from_rfc3339(end).ok());
    let left_us = end.expect("a time").timestamp_micros() - wall_us();
    assert!((6 * 86_400_000_000..=7 * 86_400_000_000).contains(&left_us), "it fires for {left_us} us more");

    first.severity = Severity::Critical;
    ok(&*page, &first, Event::Updated, 1).await;
    let after = alertmanager.alerts("in-1").await;
    assert_eq!(after.len(), 1, "{after:?}");
    assert_eq!(after[0]["fingerprint"], before[0]["fingerprint"], "it is the same alert");
    assert_eq!(after[0]["annotations"]["severity"], "critical");

    ok(&*page, &told("in-2", Severity::Low), Event::Open, 1).await;
    assert_eq!(alertmanager.next().await, ("firing".to_owned(), "in-2".to_owned()));
    ok(&*page, &first, Event::Closed, 1).await;
    ok(&*page, &first, Event::Closed, 2).await;
    assert_eq!(alertmanager.next().await, ("resolved".to_owned(), "in-1".to_owned()));
    assert_eq!(alertmanager.alerts("in-1").await, Vec::<serde_json::Value>::new());
    assert_eq!(alertmanager.alerts("in-2").await.len(), 1, "another incident goes on");
    assert!(alertmanager.told.try_recv().is_err(), "each was told once");
}
