//! Containment targets, driven directly: built from YAML as a service would build them, given actions one by one.

use std::sync::Arc;

use gatewatch::respond::action::Op;
use gatewatch::respond::actions::TargetsConfig;
use gatewatch::respond::config::{Secret, SecretRef};
use gatewatch::respond::target::{InForce, Order};
use gatewatch::respond::{Action, Attempt, Delivery, Kind, Target};

use super::wall_us;

pub const HOUR_US: i64 = 3_600_000_000;

/// The only target of this configuration. A secret `{ env: X }` is `not-a-real-X`.
pub fn target(yaml: &str) -> Arc<dyn Target> {
    super::install_crypto();
    let config: TargetsConfig = serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
    let resolve = |reference: &SecretRef| match reference {
        SecretRef::Env(name) => Ok(Secret::new(format!("not-a-real-{name}"))),
        SecretRef::File(_) => Err(format!("{reference} is not used here")),
    };
    let ready = config.build(&resolve).unwrap_or_else(|error| panic!("{yaml}: {error}"));
    assert_eq!(ready.len(), 1);
    Arc::clone(&ready[0].target)
}

/// To be done now, for an hour.
pub fn apply(id: &str, kind: Kind, entity_kind: &str, entity: &str) -> Action {
    let created_us = wall_us();
    Action {
        id: id.to_owned(),
        op: Op::Apply,
        undoes: None,
        incident_id: "in-0123456789abcdef".to_owned(),
        alert_id: "al-1".to_owned(),
        detector: "auth-burst-ip".to_owned(),
        entity_kind: entity_kind.to_owned(),
        entity_value: entity.to_owned(),
        target: "wall".to_owned(),
        kind,
        queue: format!("{entity_kind}:{entity}"),
        body: Vec::new(),
        dry_run: false,
        created_us,
        about_us: created_us,
        expires_us: Some(created_us + HOUR_US),
        renews: false,
    }
}

pub fn block(id: &str, entity: &str) -> Action {
    apply(id, Kind::Block, if entity.contains('/') { "network" } else { "client_ip" }, entity)
}

pub fn lift(action: &Action) -> Action {
    let id = format!("{}-lift", action.id);
    Action { id, op: Op::Revert, undoes: Some(action.id.clone()), ..action.clone() }
}

pub fn order(action: &Action, number: u32) -> Order<'_> {
    Order { action, attempt: Attempt { number, now_us: wall_us() }, remote_ref: None }
}

/// One attempt; where the target notes something first, the next one at once, as the outbox makes it.
pub async fn attempt(target: &dyn Target, order: Order<'_>) -> Delivery {
    match target.carry_out(order).await {
        Delivery::Noted { remote_ref } => {
            let attempt = Attempt { number: order.attempt.number + 1, ..order.attempt };
            target.carry_out(Order { remote_ref: Some(&remote_ref), attempt, ..order }).await
        }
        outcome => outcome,
    }
}

/// One attempt, which must be delivered: the answer and the reference.
pub async fn deliver(target: &dyn Target, order: Order<'_>) -> (String, Option<String>) {
    match attempt(target, order).await {
        Delivery::Delivered { answer, remote_ref } => (answer, remote_ref),
        other => panic!("{}: {other:?}", order.action.id),
    }
}

/// A first attempt at each, and the next at those about which something was noted first.
pub async fn do_all(target: &dyn Target, actions: &[Action]) -> Vec<Delivery> {
    let orders: Vec<Order<'_>> = actions.iter().map(|action| order(action, 1)).collect();
    let mut outcomes = target.carry_out_all(&orders).await;
    assert_eq!(outcomes.len(), actions.len());
    let noted = |outcome: &Delivery| match outcome {
        Delivery::Noted { remote_ref } => Some(remote_ref.clone()),
        _ => None,
    };
    let notes: Vec<Option<String>> = outcomes.iter().map(noted).collect();
    let again: Vec<usize> = (0..actions.len()).filter(|n| notes[*n].is_some()).collect();
    let orders: Vec<Order<'_>> =
        again.iter().map(|n| Order { remote_ref: notes[*n].as_deref(), ..order(&actions[*n], 2) }).collect();
    if !orders.is_empty() {
        for (n, outcome) in again.into_iter().zip(target.carry_out_all(&orders).await) {
            outcomes[n] = outcome;
        }
    }
    outcomes
}

pub async fn read_back(target: &dyn Target) -> Vec<InForce> {
    target.read_back(wall_us()).await.expect("it can be asked").expect("it can say")
}

/// What is in force there, by name.
pub async fn entities(target: &dyn Target) -> Vec<String> {
    read_back(target).await.into_iter().map(|entry| entry.entity).collect()
}

/// Why it was not delivered, and whether it may be later.
pub fn refusal(delivery: &Delivery) -> (&'static str, &str) {
    match delivery {
        Delivery::Retry { reason, .. } => ("retry", reason),
        Delivery::Later { reason, .. } => ("later", reason),
        Delivery::Failed { reason, .. } => ("failed", reason),
        Delivery::Delivered { answer, .. } => panic!("delivered: {answer}"),
        Delivery::Noted { remote_ref } => panic!("noted: {remote_ref}"),
    }
}
