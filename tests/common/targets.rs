//! Single targets of the response stage and actions for them, without an outbox.

use std::collections::HashMap;
use std::sync::Arc;

use gatewatch::respond::action::{Action, Kind, Op};
use gatewatch::respond::actions::TargetsConfig;
use gatewatch::respond::config::{Secret, SecretRef};
use gatewatch::respond::target::{Attempt, Delivery, Order, Target};
use schemas::Message;
use schemas::alert::Severity;
use schemas::incident::{Event, Incident, Status};

use super::alerts::opening;

/// The one target of this configuration, as a service would build it.
pub fn target(yaml: &str, secrets: &[(&str, &str)]) -> Arc<dyn Target> {
    super::install_crypto();
    let config: TargetsConfig = serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
    let secrets: HashMap<&str, &str> = secrets.iter().copied().collect();
    let resolve = |reference: &SecretRef| match reference {
        SecretRef::Env(name) => {
            secrets.get(name.as_str()).map(|s| Secret::new(*s)).ok_or_else(|| format!("{reference} is not set"))
        }
        SecretRef::File(_) => Err(format!("{reference} is not used here")),
    };
    let mut ready = config.build(&resolve).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ready.len(), 1, "one target");
    ready.remove(0).target
}

/// An incident that is told.
pub struct Told {
    pub id: String,
    pub address: String,
    pub severity: Severity,
    pub opened_us: i64,
}

impl Told {
    /// The action that tells this event of it; the same event is the same action.
    pub fn action(&self, event: Event, kind: Kind) -> Action {
        let alert = opening("al-1", &self.address, self.opened_us);
        let incident = Incident {
            id: self.id.clone(),
            revision: event as u32,
            status: if event == Event::Closed { Status::Closed } else { Status::Open },
            title: alert.title.clone(),
            severity: self.severity,
            score: 60.0,
            subject: alert.entity.clone(),
            opened: alert.opened.clone(),
            updated: alert.updated.clone(),
            entities: vec![alert.entity.clone()],
            detectors: vec![alert.detector.clone()],
            alerts: 1,
            alerts_open: u64::from(event != Event::Closed),
            owasp: alert.owasp.clone(),
            attack: alert.attack.clone(),
            assignee: None,
            verdict: None,
        };
        let timestamp = alert.updated.clone();
        let message =
            Message { event, timestamp, kind: kind.name().to_owned(), incident, alert: Some(alert), standing: None };
        Action {
            id: format!("ac-{}-{}-{}", self.id, kind.name(), event as u32),
            op: Op::Apply,
            undoes: None,
            incident_id: self.id.clone(),
            alert_id: "al-1".to_owned(),
            detector: "auth-burst-ip".to_owned(),
            entity_kind: "client_ip".to_owned(),
            entity_value: self.address.clone(),
            target: "target".to_owned(),
            kind,
            queue: format!("incident:{}", self.id),
            body: serde_json::to_vec(&message).expect("plain data"),
            dry_run: false,
            created_us: self.opened_us,
            about_us: self.opened_us,
            expires_us: None,
            renews: false,
        }
    }
}

/// One attempt, now.
pub async fn deliver(target: &dyn Target, action: &Action, attempt: u32, remote_ref: Option<&str>) -> Delivery {
    let attempt = Attempt { number: attempt, now_us: super::wall_us() };
    target.carry_out(Order { action, attempt, remote_ref }).await
}
