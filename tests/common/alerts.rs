//! Alerts and an outbox for the tests of the response stage.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use gatewatch::respond::config::{RespondConfig, Secret, SecretRef};
use gatewatch::respond::{Clock, Outbox, Step};
use gatewatch::store::Store;
use schemas::Alert;
use schemas::alert::{Entity, Severity, State, Window};

/// An alert that opens now, as detectors tell it.
pub fn opening(id: &str, address: &str, now_us: i64) -> Alert {
    let time = |us: i64| {
        let time = chrono::DateTime::from_timestamp_micros(us).expect("a time");
        time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
    };
    Alert {
        id: id.to_owned(),
        revision: 0,
        state: State::Open,
        detector: "auth-burst-ip".to_owned(),
        title: "Many refused logins from one address".to_owned(),
        severity: Severity::High,
        entity: Entity { kind: "client_ip".to_owned(), value: address.to_owned() },
        opened: time(now_us),
        updated: time(now_us),
        window: Window { start: time(now_us - 60_000_000), end: time(now_us) },
        observed: 60.0,
        expected: None,
        threshold: 50.0,
        score: 0.8,
        events: 60,
        owasp: vec!["API2:2023".to_owned()],
        attack: vec!["T1110".to_owned()],
        evidence: serde_json::json!({ "statuses": { "401": 60 }, "paths": ["/login"] }),
        dry_run: false,
        part_of: None,
    }
}

pub fn closing(open: &Alert) -> Alert {
    Alert { state: State::Closed, revision: 1, ..open.clone() }
}

/// An outbox over the state store at `path`, as a service would build it from this configuration.
pub async fn outbox(path: &Path, yaml: &str, secrets: &[(&str, &str)], clock: Clock) -> Arc<Outbox> {
    super::install_crypto();
    let config: RespondConfig = serde_saphyr::from_str(yaml).expect("a valid configuration");
    let secrets: HashMap<String, String> =
        secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let resolve = |reference: &SecretRef| match reference {
        SecretRef::Env(name) => secrets.get(name).map(Secret::new).ok_or_else(|| format!("{reference} is not set")),
        SecretRef::File(_) => Err(format!("{reference} is not used here")),
    };
    let targets = config.targets.build(&resolve).expect("targets");
    let store = Store::open(path).await.expect("the store opens");
    let proxies = ["192.0.2.80".to_owned()];
    Arc::new(Outbox::new(store, config, targets, &proxies, clock, 1).expect("an outbox"))
}

pub fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

/// Tell these alerts, all with the same list of responses; how many actions are new.
pub async fn tell(outbox: &Outbox, alerts: &[Alert], kinds: &[&str], now_us: i64) -> usize {
    let kinds = words(kinds);
    let alerts: Vec<(&Alert, &[String])> = alerts.iter().map(|alert| (alert, kinds.as_slice())).collect();
    outbox.tell(&alerts, now_us).await.expect("the telling is stored")
}

pub async fn steps(outbox: &Outbox) -> Vec<Step> {
    let steps = outbox.steps_after(0, 100_000).await.expect("the steps can be read");
    assert!(steps.windows(2).all(|pair| pair[0].seq < pair[1].seq), "steps are in order");
    steps
}

/// The steps of all actions in order, by name.
pub async fn step_names(outbox: &Outbox) -> Vec<String> {
    steps(outbox).await.into_iter().map(|step| step.step).collect()
}
