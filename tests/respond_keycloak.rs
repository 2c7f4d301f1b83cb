//! Promises of the target `keycloak` against a real Keycloak: the sessions of one user end and of nobody else, who was disabled
//! by Gatewatch is enabled again and nobody else is, and what is refused says what to do.
//!
//! The same against a strict server of the published contract, with answers that get lost, is in `respond_edges.rs`.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::alerts::{opening, outbox, step_names, steps, tell};
use common::keycloak::{Realm, SECRET};
use common::orders::{apply, deliver, lift, order, refusal, target};
use common::{wall_clock, wall_us};
use gatewatch::respond::incident::desk;
use gatewatch::respond::target::{Attempt, Order};
use gatewatch::respond::{Action, Delivery, Kind, Outbox, Target};
use schemas::Alert;
use schemas::alert::Entity;
use serde_json::json;

const PLENTY: Duration = Duration::from_secs(240);
const MINUTE_US: i64 = 60_000_000;

fn entry(realm: &Realm, more: &str) -> String {
    format!("[{{ name: idp, url: '{}', client_secret: {{ env: secret }}, {more} }}]", realm.url())
}

/// As our documentation sets it up.
fn keycloak(realm: &Realm, disable: bool) -> Arc<dyn Target> {
    let more = format!("realm: {}, client_id: gatewatch, disable: {disable}", realm.name());
    target(&format!("keycloak: {}", entry(realm, &more)))
}

fn revoke(id: &str, user: &str) -> Action {
    apply(id, Kind::Revoke, "principal", user)
}

fn after<'a>(reference: Option<&'a str>, action: &'a Action) -> Order<'a> {
    Order { remote_ref: reference, ..order(action, 1) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_one_user_end_and_of_nobody_else() {
    let realm = Realm::new(&["ann", "anna", "bob"]).await;
    let idp = keycloak(&realm, false);
    let mut sessions = Vec::new();
    for name in ["ann", "ann", "anna", "bob"] {
        sessions.push(realm.log_in(name).await.expect("a session"));
    }
    assert_eq!((realm.sessions("ann").await, realm.sessions("anna").await, realm.sessions("bob").await), (2, 1, 1));

    let action = revoke("ac-1", "ann");
    let (answer, reference) = deliver(idp.as_ref(), order(&action, 1)).await;
    let ann = realm.id("ann").await;
    assert_eq!((answer.as_str(), reference.clone()), ("sessions ended", Some(format!("{ann} sessions"))));
    assert_eq!((realm.sessions("ann").await, realm.sessions("anna").await, realm.sessions("bob").await), (0, 1, 1));
    let mut go_on = Vec::new();
    for session in &sessions {
        go_on.push(realm.goes_on(session).await);
    }
    assert_eq!(go_on, [false, false, true, true]);

    // Nothing is left to undo, and she may come back.
    assert!(realm.is_enabled("ann").await);
    let undo = lift(&action);
    let (answer, _) = deliver(idp.as_ref(), after(reference.as_deref(), &undo)).await;
    assert!(answer.starts_with("nothing to undo"), "{answer}");
    realm.log_in("ann").await.expect("a session");

    // By the `sub` of her tokens.
    let anna = realm.id("anna").await;
    deliver(idp.as_ref(), order(&revoke("ac-2", &anna), 1)).await;
    assert_eq!((realm.sessions("ann").await, realm.sessions("anna").await, realm.sessions("bob").await), (1, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_we_disabled_is_enabled_again_and_nobody_else() {
    let realm = Realm::new(&["ann", "anna", "gone"]).await;
    realm.give_attributes("ann", &json!({ "team": ["blue"] })).await;
    realm.set_enabled("gone", false).await;
    let idp = keycloak(&realm, true);
    let before = realm.user("ann").await;
    let session = realm.log_in("ann").await.expect("a session");

    let action = revoke("ac-1", "ann");
    let noted = format!("{} disabled", realm.id("ann").await);
    assert_eq!(idp.carry_out(order(&action, 1)).await, Delivery::Noted { remote_ref: noted.clone() });
    assert!(realm.is_enabled("ann").await, "nothing is done before it is written down");
    let (answer, reference) = deliver(idp.as_ref(), after(Some(&noted), &action)).await;
    assert_eq!((answer.as_str(), reference.as_deref()), ("disabled, sessions ended", Some(noted.as_str())));
    assert!(!realm.goes_on(&session).await);
    let refused = realm.log_in("ann").await.expect_err("no session");
    assert_eq!(refused, "Account disabled");
    assert!(realm.is_enabled("anna").await);
    // What renews it after `disable` was taken out of the configuration keeps in mind what is to be undone.
    let (mild, renewal) = (keycloak(&realm, false), revoke("ac-r", "ann"));
    let renewed = deliver(mild.as_ref(), after(Some(&noted), &renewal)).await;
    assert_eq!(renewed, ("sessions ended".to_owned(), Some(noted.clone())));
    let undo = lift(&action);
    assert_eq!(deliver(idp.as_ref(), after(Some(&noted), &undo)).await.0, "the user is enabled again");
    let mut now = realm.user("ann").await;
    // Keycloak writes down since when tokens are good: the sessions were ended.
    now["notBefore"] = before["notBefore"].clone();
    assert_eq!(now, before, "nothing else changed");
    realm.log_in("ann").await.expect("a session");

    // A person disabled this one before; so it stays.
    let second = revoke("ac-2", "gone");
    let (answer, reference) = deliver(idp.as_ref(), order(&second, 1)).await;
    assert_eq!(answer, "was disabled already and will stay so; sessions ended");
    let undo = lift(&second);
    deliver(idp.as_ref(), after(reference.as_deref(), &undo)).await;
    assert!(!realm.is_enabled("gone").await);
}

/// Keycloak does not tell who disabled a user, so that nothing is claimed to be read back; what comes next says how it was
/// found.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_does_meanwhile_is_found() {
    let realm = Realm::new(&["ann", "anna"]).await;
    let idp = keycloak(&realm, true);
    let action = revoke("ac-1", "ann");
    let (_, reference) = deliver(idp.as_ref(), order(&action, 1)).await;
    assert!(!realm.is_enabled("ann").await);
    realm.set_enabled("ann", true).await;
    assert_eq!(idp.read_back(wall_us()).await, Ok(None));
    let undo = lift(&action);
    assert_eq!(deliver(idp.as_ref(), after(reference.as_deref(), &undo)).await.0, "the user was enabled already");
    assert!(realm.is_enabled("ann").await);
    // The attack goes on: what renews it disables again.
    let renewal = revoke("ac-2", "ann");
    assert_eq!(
        deliver(idp.as_ref(), after(reference.as_deref(), &renewal)).await,
        ("disabled, sessions ended".to_owned(), reference.clone())
    );
    assert!(!realm.is_enabled("ann").await);

    // Keycloak saves no user who does not fit the profile, which the realm was given later; the sessions end all the same.
    realm.need_a_staff_number().await;
    realm.log_in("anna").await.expect("a session");
    let third = revoke("ac-3", "anna");
    let noted = format!("{} disabled", realm.id("anna").await);
    let outcome = idp.carry_out(after(Some(&noted), &third)).await;
    let (when, reason) = refusal(&outcome);
    assert_eq!(when, "failed");
    assert!(reason.starts_with("not disabled, sessions ended: Keycloak does not save this user"), "{reason}");
    assert!(matches!(&outcome, Delivery::Failed { answer, .. } if answer.contains("staff")), "{outcome:?}");
    assert_eq!((realm.sessions("anna").await, realm.is_enabled("anna").await), (0, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_those_of_one_user_however_they_are_written() {
    let kept = ["ann", "anna", "mixed.case@example.com", "jane o'doe", "éva+ü", "o,hara & sons"];
    let realm = Realm::new(&kept).await;
    let idp = keycloak(&realm, true);
    let asked = ["ANN", "Mixed.Case@Example.com", "Jane O'Doe", "ÉVA+Ü", "O,Hara & Sons"];
    for (n, name) in asked.into_iter().enumerate() {
        let action = revoke(&format!("ac-{n}"), name);
        assert_eq!(deliver(idp.as_ref(), order(&action, 1)).await.0, "disabled, sessions ended", "{name}");
        assert!(!realm.is_enabled(&name.to_lowercase()).await, "{name}");
    }
    assert!(realm.is_enabled("anna").await);

    let unknown = "the realm has no user with this name or id";
    // Nobody, parts and patterns of names, somebody's e-mail address, and an id of nobody.
    for name in ["nobody", "an", "ann*", "ann%", "", "person-1@example.com", "0ba7a3fd-6fd8-48cd-a60b-2e8fd82d56e2"] {
        let outcome = idp.carry_out(order(&revoke("ac-u", name), 1)).await;
        assert_eq!(refusal(&outcome), ("failed", unknown), "{name}");
    }
    let outcome = idp.carry_out(order(&revoke("ac-t", "m***@k1:43335c95c310a4d41d8ceae238a4e6c7"), 1)).await;
    assert!(refusal(&outcome).1.contains("only as a token"), "{outcome:?}");
    // Without its own account it could not undo anything.
    let own = "service-account-gatewatch";
    let outcome = idp.carry_out(order(&revoke("ac-o", own), 1)).await;
    assert_eq!(refusal(&outcome), ("failed", "the user is the account of Gatewatch's own client, and is left alone"));
    assert!(realm.is_enabled(own).await && realm.is_enabled("anna").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_says_what_to_do() {
    let realm = Realm::new(&["ann"]).await;
    let name = realm.name();
    let with = |secret: &str, more: &str| {
        target(&format!("keycloak: {}", entry(&realm, more).replace("env: secret", &format!("env: {secret}"))))
    };
    let action = revoke("ac-1", "ann");
    let roleless = with("roleless", &format!("realm: {name}, client_id: roleless"));
    let elsewhere = with("secret", &format!("realm: master, client_realm: {name}, client_id: gatewatch"));
    let cases = [
        (with("wrong", &format!("realm: {name}, client_id: gatewatch")), "check `client_id` and `client_secret`"),
        (with("secret", &format!("realm: {name}, client_id: nobody")), "check `client_id` and `client_secret`"),
        (with("secret", &format!("realm: {name}, client_id: shop")), "service accounts roles on"),
        (with("secret", "realm: no-such-realm, client_id: gatewatch"), "no realm `no-such-realm` at this address"),
        (roleless.clone(), "its service account needs the role `manage-users` of `realm-management`"),
        (elsewhere, "`manage-users` of `master-realm`, which only clients of the realm `master` can have"),
    ];
    for (idp, words) in cases {
        let outcome = idp.carry_out(order(&action, 1)).await;
        let (when, reason) = refusal(&outcome);
        assert_eq!(when, "failed", "{reason}");
        assert!(reason.contains(words), "{reason}");
        assert!(!format!("{outcome:?}").contains("not-a-real"), "{outcome:?}");
    }
    // What was missing is there at once: the token from before does not know it.
    realm.allow(name, "roleless", "realm-management").await;
    deliver(roleless.as_ref(), order(&action, 1)).await;

    let client = realm.client_in_master().await;
    let master = with("secret", &format!("realm: {name}, client_realm: master, client_id: {client}, disable: true"));
    let outcome = master.carry_out(order(&action, 1)).await;
    assert!(refusal(&outcome).1.contains(&format!("`manage-users` of `{name}-realm`")), "{outcome:?}");
    realm.allow("master", &client, &format!("{name}-realm")).await;
    let (answer, reference) = deliver(master.as_ref(), order(&action, 1)).await;
    assert_eq!((answer.as_str(), realm.is_enabled("ann").await), ("disabled, sessions ended", false));
    let undo = lift(&action);
    deliver(master.as_ref(), after(reference.as_deref(), &undo)).await;
    assert!(realm.is_enabled("ann").await);
    // Of a realm that is not there nobody can say that the user is gone.
    let lost = with("secret", &format!("realm: no-such-realm, client_realm: master, client_id: {client}"));
    for outcome in [lost.carry_out(order(&action, 1)).await, lost.carry_out(after(reference.as_deref(), &undo)).await] {
        let (when, reason) = refusal(&outcome);
        assert_eq!(when, "failed");
        assert!(reason.contains("no realm `no-such-realm`"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_serves_until_it_ends_or_is_refused() {
    let realm = Realm::new(&["ann"]).await;
    let idp = keycloak(&realm, false);
    let action = revoke("ac-1", "ann");
    let at = |us: i64| Order { attempt: Attempt { number: 1, now_us: action.created_us + us }, ..order(&action, 1) };
    deliver(idp.as_ref(), at(0)).await;
    deliver(idp.as_ref(), at(4 * MINUTE_US)).await;
    assert_eq!(realm.tokens_given().await, 1, "one serves for its five minutes");
    deliver(idp.as_ref(), at(5 * MINUTE_US)).await;
    assert_eq!(realm.tokens_given().await, 2, "another in time");
    realm.lose_keys().await;
    realm.log_in("ann").await.expect("a session");
    deliver(idp.as_ref(), at(5 * MINUTE_US)).await;
    assert_eq!((realm.tokens_given().await, realm.sessions("ann").await), (3, 0), "another where one is refused");
}

fn alert(id: &str, user: &str) -> Alert {
    let entity = Entity { kind: "principal".to_owned(), value: user.to_owned() };
    Alert { entity, ..opening(id, "203.0.113.7", wall_us()) }
}

async fn over(folder: &Path, realm: &Realm) -> Arc<Outbox> {
    let more = format!("realm: {}, client_id: gatewatch, disable: true", realm.name());
    let yaml = format!(
        "dry_run: false\ndelivery: {{ backoff_first: 1ms, backoff_max: 20ms, timeout: 120s }}\ntargets:\n  keycloak: {}\n",
        entry(realm, &more)
    );
    outbox(&folder.join("state.db"), &yaml, &[("secret", SECRET)], wall_clock()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_disables_its_principal_until_somebody_takes_it_back() {
    let realm = Realm::new(&["ann", "anna"]).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let outbox = over(folder.path(), &realm).await;
    for name in ["ann", "anna"] {
        realm.log_in(name).await.expect("a session");
    }
    tell(&outbox, &[alert("al-1", "ann")], &["revoke"], wall_us()).await;
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    assert_eq!(step_names(&outbox).await, ["planned", "sent", "retry", "sent", "delivered"]);
    assert_eq!((realm.is_enabled("ann").await, realm.sessions("ann").await), (false, 0));
    assert_eq!((realm.is_enabled("anna").await, realm.sessions("anna").await), (true, 1));

    let delivered = steps(&outbox).await.pop().expect("steps");
    assert_eq!(delivered.answer, "disabled, sessions ended");
    desk::revert(outbox.store(), &delivered.action_id, "a.example", "it was a test", wall_us()).await.expect("planned");
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    assert!(realm.is_enabled("ann").await);

    // Nobody of this name: given up on at once, for a person to see.
    tell(&outbox, &[alert("al-2", "nobody")], &["revoke"], wall_us()).await;
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    let all = steps(&outbox).await;
    let of: Vec<&str> = all.iter().filter(|step| step.alert_id == "al-2").map(|step| step.step.as_str()).collect();
    assert_eq!(of, ["planned", "sent", "failed", "parked"]);
}
