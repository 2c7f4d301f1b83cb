//! Promises of the edges and identity providers that do not run here, against strict servers of their published contracts:
//! done once, undone by the right action only, read back, nothing of others touched, and no secret told.

mod common;

use std::time::Duration;

use common::edges::cloudflare::{ACCOUNT, Cloudflare, LIST};
use common::edges::dataplane::{Dataplane, MAP};
use common::edges::fastly::{ACL, Fastly, SERVICE};
use common::edges::keycloak::{ALICE, Keycloak};
use common::edges::kong::Kong;
use common::edges::{Fault, Server};
use common::orders::{apply, block, deliver, do_all, entities, lift, order, read_back, refusal, target};
use gatewatch::respond::target::Order;
use gatewatch::respond::{Action, Delivery, Kind, Target};
use serde_json::json;

const ATTACKER: &str = "203.0.113.7";
const BUSY: Fault = Fault { method: "GET", status: 429, retry_after: Some("7"), applies: false };

/// The effect happens, and a proxy in between answers that it does not know.
fn lost(method: &'static str) -> Fault {
    Fault { method, status: 502, retry_after: None, applies: true }
}

fn all_delivered(outcomes: &[Delivery]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Delivery::Delivered { .. }))
}

/// A busy server is waited for as long as it says.
async fn busy(wall: &dyn Target, action: &Action) {
    let outcome = wall.carry_out(order(action, 1)).await;
    assert!(
        matches!(&outcome, Delivery::Retry { after: Some(wait), .. } if *wait == Duration::from_secs(7)),
        "{outcome:?}"
    );
}

fn cloudflare(server: &Server<Cloudflare>, token: &str) -> std::sync::Arc<dyn Target> {
    target(&format!(
        "cloudflare: [{{ name: edge, url: '{}/client/v4', account_id: {ACCOUNT}, list_id: {LIST}, token: {{ env: {token} }} }}]",
        server.url()
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudflare_items_are_ours_by_their_comment() {
    let server = Server::start(Cloudflare::new()).await;
    let items = format!("/client/v4/accounts/{ACCOUNT}/rules/lists/{LIST}/items");
    server.edge(|edge| {
        edge.page = 1;
        edge.put("198.51.100.9", "of A. Example");
        edge.put("198.51.100.10", "of A. Example too");
    });
    let wall = cloudflare(&server, "token");
    let actions = [block("ac-1", ATTACKER), block("ac-2", "2001:db8::/48"), block("ac-3", "198.51.100.9")];
    assert!(all_delivered(&do_all(wall.as_ref(), &actions).await));
    // Both pages, one operation for all, followed to its end.
    let asked = server.asked();
    let lines: Vec<String> = asked.iter().map(|asked| format!("{} {}", asked.method, asked.path.len())).collect();
    assert_eq!(lines, ["GET 8", "GET 8", "POST 8", "GET 8", "GET 8", "GET 8"]);
    assert_eq!(format!("/{}", asked[2].path.join("/")), items);
    assert_eq!((asked[0].query("per_page"), asked[1].query("cursor")), (Some("500"), Some("1")));
    let until = chrono::DateTime::from_timestamp_micros(actions[0].expires_us.expect("an end")).expect("a time");
    let comment = format!(
        "gatewatch ac-1 until {} for in-0123456789abcdef",
        until.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
    );
    assert_eq!(asked[2].json()[0], json!({ "ip": ATTACKER, "comment": comment }));
    assert_eq!(asked[2].json().as_array().map(Vec::len), Some(2), "what others put there is not written");
    assert_eq!(entities(wall.as_ref()).await, [ATTACKER, "2001:db8::/48"]);
    assert_eq!(read_back(wall.as_ref()).await[0].until_us, actions[0].expires_us);

    // The same again writes nothing, what was taken away is seen and mended.
    server.asked();
    deliver(wall.as_ref(), order(&actions[0], 2)).await;
    assert!(server.asked().iter().all(|asked| asked.method == "GET"));
    server.edge(|edge| edge.items.retain(|item| item.ip != ATTACKER));
    assert_eq!(entities(wall.as_ref()).await, ["2001:db8::/48"]);
    deliver(wall.as_ref(), order(&actions[0], 1)).await;

    // A newer action holds it; only that one's end takes it off.
    let newer = block("ac-4", ATTACKER);
    deliver(wall.as_ref(), order(&newer, 1)).await;
    deliver(wall.as_ref(), order(&lift(&actions[0]), 1)).await;
    assert_eq!(entities(wall.as_ref()).await, [ATTACKER, "2001:db8::/48"]);
    deliver(wall.as_ref(), order(&lift(&newer), 1)).await;
    deliver(wall.as_ref(), order(&lift(&newer), 2)).await;
    deliver(wall.as_ref(), order(&lift(&actions[2]), 1)).await;
    deliver(wall.as_ref(), order(&lift(&actions[1]), 1)).await;
    let left: Vec<String> = server.edge(|edge| edge.items.iter().map(|item| item.comment.clone()).collect());
    assert_eq!(left, ["of A. Example", "of A. Example too"]);
    assert_eq!(server.problems(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudflare_is_waited_for_and_never_asked_twice() {
    let server = Server::start(Cloudflare::new()).await;
    let wall = cloudflare(&server, "token");
    let action = block("ac-1", ATTACKER);
    server.fault(BUSY);
    busy(wall.as_ref(), &action).await;
    // The answer to the writing is lost: an operation is pending, and no other may begin.
    server.fault(lost("POST"));
    assert_eq!(refusal(&wall.carry_out(order(&action, 1)).await).0, "retry");
    let outcome = wall.carry_out(order(&action, 2)).await;
    assert!(
        matches!(&outcome, Delivery::Retry { after: Some(_), answer, .. } if answer.contains("pending")),
        "{outcome:?}"
    );
    // It comes to its end, and is found by looking: nothing is written again.
    server.edge(Cloudflare::finish);
    server.asked();
    deliver(wall.as_ref(), order(&action, 3)).await;
    assert!(server.asked().iter().all(|asked| asked.method == "GET"));
    assert_eq!(server.edge(|edge| edge.items.len()), 1);

    // One that fails is tried again.
    server.edge(|edge| edge.fails = Some("the list is being changed"));
    let failing = block("ac-5", "203.0.113.9");
    let outcome = wall.carry_out(order(&failing, 1)).await;
    assert_eq!(refusal(&outcome), ("retry", "Cloudflare's bulk operation failed"));
    deliver(wall.as_ref(), order(&failing, 2)).await;

    // Somebody else's operation is in the way.
    server.edge(|edge| edge.looks = usize::MAX);
    let outcome = wall.carry_out(order(&block("ac-2", "203.0.113.8"), 1)).await;
    assert!(
        matches!(&outcome, Delivery::Retry { after: Some(_), reason, .. } if reason.contains("still under way")),
        "{outcome:?}"
    );
    let outcome = wall.carry_out(order(&block("ac-2", "203.0.113.8"), 2)).await;
    assert!(
        matches!(&outcome, Delivery::Retry { after: Some(_), answer, .. } if answer.contains("pending")),
        "{outcome:?}"
    );

    let wide = do_all(wall.as_ref(), &[block("ac-3", "203.0.0.0/7"), block("ac-4", "2001::/11")]).await;
    assert_eq!(wide.iter().map(|outcome| refusal(outcome).0).collect::<Vec<_>>(), ["failed", "failed"]);
    let stranger = cloudflare(&server, "other").carry_out(order(&action, 1)).await;
    assert_eq!(refusal(&stranger).0, "failed");
    assert!(!format!("{stranger:?}").contains("not-a-real"));
    assert_eq!(server.problems(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn fastly_entries_are_ours_by_their_comment() {
    let server = Server::start(Fastly::default()).await;
    let yaml = format!(
        "fastly: [{{ name: edge, url: '{}', service_id: {SERVICE}, acl_id: {ACL}, token: {{ env: token }} }}]",
        server.url()
    );
    let wall = target(&yaml);
    server.edge(|edge| {
        (0..150).for_each(|n| edge.put(&format!("198.51.100.{n}"), None, false, "of A. Example"));
        edge.put("192.0.2.1", None, true, "our own monitor");
    });
    let actions = [block("ac-1", ATTACKER), block("ac-2", "2001:db8::/48"), block("ac-3", "198.51.100.120")];
    assert!(all_delivered(&do_all(wall.as_ref(), &actions).await));
    let asked = server.asked();
    assert_eq!(asked.iter().map(|asked| asked.method.as_str()).collect::<Vec<_>>(), ["GET", "GET", "PATCH"]);
    let written = asked[2].json()["entries"].clone();
    assert_eq!(written.as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&written[0]["op"], &written[0]["ip"], &written[0]["subnet"]),
        (&json!("create"), &json!(ATTACKER), &json!(null))
    );
    assert_eq!((&written[1]["ip"], &written[1]["subnet"]), (&json!("2001:db8::"), &json!(48)));
    assert_eq!(entities(wall.as_ref()).await, [ATTACKER, "2001:db8::/48"]);

    // Who was excepted is not blocked, and the exception stays.
    let outcome = wall.carry_out(order(&block("ac-4", "192.0.2.1"), 1)).await;
    assert!(refusal(&outcome).1.contains("somebody excepted 192.0.2.1"), "{outcome:?}");

    // A lost answer leaves one entry.
    let fifth = block("ac-5", "203.0.113.8");
    server.fault(lost("PATCH"));
    assert_eq!(refusal(&wall.carry_out(order(&fifth, 1)).await).0, "retry");
    deliver(wall.as_ref(), order(&fifth, 2)).await;
    server.fault(BUSY);
    busy(wall.as_ref(), &fifth).await;

    let newer = block("ac-6", ATTACKER);
    deliver(wall.as_ref(), order(&newer, 1)).await;
    deliver(wall.as_ref(), order(&lift(&actions[0]), 1)).await;
    assert_eq!(entities(wall.as_ref()).await, [ATTACKER, "203.0.113.8", "2001:db8::/48"]);
    for action in [&newer, &newer, &fifth, &actions[1], &actions[2]] {
        deliver(wall.as_ref(), order(&lift(action), 1)).await;
    }
    assert!(entities(wall.as_ref()).await.is_empty());
    assert_eq!(server.edge(|edge| edge.entries.len()), 151);
    let stranger = target(&yaml.replace("env: token", "env: other")).carry_out(order(&fifth, 1)).await;
    assert_eq!(refusal(&stranger).0, "failed");
    assert!(!format!("{stranger:?}").contains("not-a-real"));
    assert_eq!(server.problems(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_fastly_entries_go_in_one_bulk() {
    let server = Server::start(Fastly::default()).await;
    let wall = target(&format!(
        "fastly: [{{ name: edge, url: '{}', service_id: {SERVICE}, acl_id: {ACL}, token: {{ env: token }} }}]",
        server.url()
    ));
    let many: Vec<Action> =
        (0..wall.orders_max()).map(|n| block(&format!("ac-{n}"), &format!("198.18.{}.{}", n / 250, n % 250))).collect();
    assert!(all_delivered(&do_all(wall.as_ref(), &many).await));
    assert_eq!(server.edge(|edge| edge.entries.len()), 1_000);
    assert_eq!(server.lines().iter().filter(|line| line.starts_with("PATCH")).count(), 1);
    assert_eq!(read_back(wall.as_ref()).await.len(), 1_000);
    assert_eq!(server.problems(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_plane_api_is_told_to_keep_what_it_is_told() {
    let server = Server::start(Dataplane::default()).await;
    let yaml = format!(
        "haproxy: [{{ name: edge, url: '{}', map: {MAP}, user: gatewatch, password: {{ env: password }} }}]",
        server.url()
    );
    let wall = target(&yaml);
    server.edge(|edge| edge.entries.push(("192.0.2.1".to_owned(), "office".to_owned())));
    let actions = [block("ac-1", ATTACKER), block("ac-2", "2001:db8::/48"), block("ac-3", "192.0.2.1")];
    assert!(all_delivered(&do_all(wall.as_ref(), &actions).await));
    let lines = server.lines();
    let entries = format!("/v3/services/haproxy/runtime/maps/{MAP}/entries");
    assert_eq!(lines, [format!("GET {entries}"), format!("POST {entries}"), format!("POST {entries}")]);
    let until = actions[0].expires_us.expect("an end") / 1_000_000;
    let (seen, kept) = server.edge(|edge| (edge.entries.clone(), edge.on_disk.clone()));
    assert_eq!(seen[1], (ATTACKER.to_owned(), format!("gatewatch:ac-1:{until}")));
    assert_eq!((seen.len(), &kept), (3, &seen));
    assert_eq!(entities(wall.as_ref()).await, [ATTACKER, "2001:db8::/48"]);

    server.edge(|edge| edge.entries.retain(|(key, _)| key != ATTACKER));
    assert_eq!(entities(wall.as_ref()).await, ["2001:db8::/48"], "seen behind our back");
    server.fault(lost("POST"));
    assert_eq!(refusal(&wall.carry_out(order(&actions[0], 1)).await).0, "retry");
    deliver(wall.as_ref(), order(&actions[0], 2)).await;
    server.fault(BUSY);
    busy(wall.as_ref(), &actions[0]).await;

    let newer = block("ac-4", ATTACKER);
    deliver(wall.as_ref(), order(&newer, 1)).await;
    deliver(wall.as_ref(), order(&lift(&actions[0]), 1)).await;
    assert_eq!(entities(wall.as_ref()).await, [ATTACKER, "2001:db8::/48"]);
    for action in [&newer, &newer, &actions[1], &actions[2]] {
        deliver(wall.as_ref(), order(&lift(action), 1)).await;
    }
    let left = server.edge(|edge| (edge.entries.clone(), edge.on_disk.clone()));
    assert_eq!((&left.0, left.0.len(), left.0[0].1.as_str()), (&left.1, 1, "office"));
    let stranger = target(&yaml.replace("env: password", "env: other")).carry_out(order(&newer, 1)).await;
    assert_eq!(refusal(&stranger).0, "failed");
    assert!(!format!("{stranger:?}").contains("not-a-real"));
    assert_eq!(server.problems(), [""; 0]);
}

fn principal(id: &str, kind: Kind, name: &str) -> Action {
    apply(id, kind, "principal", name)
}

#[tokio::test(flavor = "multi_thread")]
async fn kong_refuses_or_slows_a_consumer_and_nothing_else() {
    let server = Server::start(Kong::default()).await;
    server.edge(|edge| {
        edge.consumers = vec![
            ("11111111-1111-4111-8111-111111111111", "alice", Some("cust-7")),
            ("22222222-2222-4222-8222-222222222222", "partner/é b", None),
        ];
        edge.page = Some(1);
    });
    let yaml =
        format!("kong: [{{ name: gw, url: '{}', token: {{ env: token }}, requests_per_minute: 5 }}]", server.url());
    let wall = target(&yaml);
    let revoke = principal("ac-1", Kind::Revoke, "cust-7");
    let (_, id) = deliver(wall.as_ref(), order(&revoke, 1)).await;
    let plugin = server.edge(|edge| edge.plugins[0].clone());
    assert_eq!(plugin["id"], id.expect("the plugin's id"));
    assert_eq!(plugin["consumer"]["id"], "11111111-1111-4111-8111-111111111111");
    assert_eq!(plugin["config"], json!({ "status_code": 403, "message": "Access is suspended" }));
    let until = revoke.expires_us.expect("an end") / 1_000_000;
    let tags =
        json!(["gatewatch", "gatewatch:action:ac-1", "gatewatch:principal:cust-7", format!("gatewatch:until:{until}")]);
    assert_eq!(plugin["tags"], tags);

    // A lost answer, and the same again: one plugin.
    let throttle = principal("ac-2", Kind::Throttle, "partner/é b");
    server.fault(lost("PUT"));
    assert_eq!(refusal(&wall.carry_out(order(&throttle, 1)).await).0, "retry");
    deliver(wall.as_ref(), order(&throttle, 2)).await;
    deliver(wall.as_ref(), order(&throttle, 2)).await;
    server.fault(BUSY);
    busy(wall.as_ref(), &throttle).await;
    assert_eq!(server.edge(|edge| edge.plugins.len()), 2);
    assert_eq!(server.edge(|edge| edge.plugins[1]["config"]["minute"].clone()), 5);
    assert_eq!(entities(wall.as_ref()).await, ["cust-7", "partner/é b"]);
    assert_eq!(read_back(wall.as_ref()).await[0].until_us, Some(until * 1_000_000));

    // Switched off or deleted behind our back: seen, and mended.
    server.edge(|edge| edge.plugins[0]["enabled"] = false.into());
    assert_eq!(entities(wall.as_ref()).await, ["partner/é b"]);
    deliver(wall.as_ref(), order(&revoke, 1)).await;
    assert_eq!(entities(wall.as_ref()).await.len(), 2);

    // The newer action holds it.
    let newer = principal("ac-3", Kind::Revoke, "alice");
    deliver(wall.as_ref(), order(&newer, 1)).await;
    assert_eq!(server.edge(|edge| edge.plugins.len()), 2);
    deliver(wall.as_ref(), order(&lift(&revoke), 1)).await;
    assert_eq!(server.edge(|edge| edge.plugins.len()), 2);
    deliver(wall.as_ref(), order(&lift(&newer), 1)).await;
    deliver(wall.as_ref(), order(&lift(&newer), 1)).await;
    deliver(wall.as_ref(), order(&lift(&throttle), 1)).await;
    assert_eq!(server.edge(|edge| edge.plugins.len()), 0);
    assert_eq!(server.problems(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn kong_leaves_plugins_of_others_and_says_so() {
    let server = Server::start(Kong::default()).await;
    let alice = "11111111-1111-4111-8111-111111111111";
    let theirs = json!({ "id": "33333333-3333-4333-8333-333333333333", "name": "rate-limiting", "enabled": true,
        "config": { "minute": 600, "limit_by": "consumer" }, "tags": ["billing"], "consumer": { "id": alice }, "route": null });
    server.edge(|edge| {
        edge.consumers = vec![(alice, "alice", None)];
        edge.plugins = vec![theirs.clone()];
    });
    let yaml = format!("kong: [{{ name: gw, url: '{}', token: {{ env: token }} }}]", server.url());
    let wall = target(&yaml);
    let throttle = principal("ac-1", Kind::Throttle, "alice");
    let outcome = wall.carry_out(order(&throttle, 1)).await;
    assert!(refusal(&outcome).1.contains("a rate-limiting plugin of somebody else's"), "{outcome:?}");
    deliver(wall.as_ref(), order(&lift(&throttle), 1)).await;
    let revoke = principal("ac-2", Kind::Revoke, "alice");
    deliver(wall.as_ref(), order(&revoke, 1)).await;
    assert_eq!(server.edge(|edge| edge.plugins.len()), 2);
    assert_eq!(server.edge(|edge| edge.plugins[0].clone()), theirs);

    // Nobody of that name, an id in place of a name, an address: no consumer.
    for nobody in ["bob", alice, "..", ""] {
        let outcome = wall.carry_out(order(&principal("ac-3", Kind::Revoke, nobody), 1)).await;
        assert_eq!(refusal(&outcome), ("failed", "Kong has no consumer with this username or custom_id"), "{nobody}");
    }
    let outcome = wall.carry_out(order(&apply("ac-4", Kind::Revoke, "client_ip", ATTACKER), 1)).await;
    assert_eq!(refusal(&outcome), ("failed", "the entity is a client_ip, not a principal"));
    let stranger = target(&yaml.replace("env: token", "env: other")).carry_out(order(&revoke, 1)).await;
    assert_eq!(refusal(&stranger).0, "failed");
    assert_eq!(server.problems(), [""; 0]);
}

fn keycloak(server: &Server<Keycloak>, disable: bool) -> std::sync::Arc<dyn Target> {
    target(&format!(
        "keycloak: [{{ name: idp, url: '{}', realm: shop, client_id: gatewatch, client_secret: {{ env: secret }}, \
         disable: {disable} }}]",
        server.url()
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn keycloak_ends_sessions() {
    let server = Server::start(Keycloak::new()).await;
    let wall = keycloak(&server, false);
    let revoke = principal("ac-1", Kind::Revoke, "Alice");
    let (answer, id) = deliver(wall.as_ref(), order(&revoke, 1)).await;
    assert_eq!((answer.as_str(), id.as_deref()), ("sessions ended", Some(format!("{ALICE} sessions").as_str())));
    assert_eq!(
        server.lines(),
        [
            "POST /realms/shop/protocol/openid-connect/token".to_owned(),
            "GET /admin/realms/shop/users".to_owned(),
            format!("POST /admin/realms/shop/users/{ALICE}/logout"),
        ]
    );
    assert_eq!(server.edge(|edge| (edge.sessions, edge.users[0]["enabled"].clone())), (0, json!(true)));
    // By the `sub` of her tokens too; a token that is no longer good is replaced, once.
    server.edge(|edge| edge.tokens += 1);
    deliver(wall.as_ref(), order(&principal("ac-2", Kind::Revoke, ALICE), 1)).await;
    assert_eq!(server.edge(|edge| edge.tokens), 3);
    let reference = id.as_deref();
    let (answer, _) = deliver(wall.as_ref(), Order { remote_ref: reference, ..order(&lift(&revoke), 1) }).await;
    assert!(answer.starts_with("nothing to undo"), "{answer}");

    let outcome = wall.carry_out(order(&principal("ac-3", Kind::Revoke, "ali"), 1)).await;
    assert_eq!(refusal(&outcome), ("failed", "the realm has no user with this name or id"));
    let wrong = target(&format!(
        "keycloak: [{{ name: idp, url: '{}', realm: shop, client_id: gatewatch, client_secret: {{ env: wrong }} }}]",
        server.url()
    ));
    let outcome = wrong.carry_out(order(&revoke, 1)).await;
    assert_eq!(refusal(&outcome).0, "failed");
    assert!(!format!("{outcome:?}").contains("not-a-real"), "{outcome:?}");
    assert_eq!(server.problems(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keycloak_enables_again_whom_we_disabled_and_nobody_else() {
    let server = Server::start(Keycloak::new()).await;
    let wall = keycloak(&server, true);
    let before = server.edge(|edge| edge.users[0].clone());
    let revoke = principal("ac-1", Kind::Revoke, "alice");
    let (answer, reference) = deliver(wall.as_ref(), order(&revoke, 1)).await;
    assert_eq!(answer, "disabled, sessions ended");
    let mut disabled = before.clone();
    disabled["enabled"] = false.into();
    assert_eq!(server.edge(|edge| edge.users[0].clone()), disabled, "nothing else changed");
    let undo = lift(&revoke);
    for answer in ["the user is enabled again", "the user was enabled already"] {
        assert_eq!(
            deliver(wall.as_ref(), Order { remote_ref: reference.as_deref(), ..order(&undo, 1) }).await.0,
            answer
        );
    }
    assert_eq!(server.edge(|edge| edge.users[0].clone()), before);

    // Whom somebody else disabled stays disabled.
    server.edge(|edge| edge.users[0]["enabled"] = false.into());
    let second = principal("ac-2", Kind::Revoke, "alice");
    let (answer, reference) = deliver(wall.as_ref(), order(&second, 1)).await;
    assert_eq!(answer, "was disabled already and will stay so; sessions ended");
    deliver(wall.as_ref(), Order { remote_ref: reference.as_deref(), ..order(&lift(&second), 1) }).await;
    assert_eq!(server.edge(|edge| edge.users[0]["enabled"].clone()), false);

    // That the answer was lost does not make it somebody else's doing, nor that the process was another one.
    server.edge(|edge| edge.users[0]["enabled"] = true.into());
    let third = principal("ac-3", Kind::Revoke, "alice");
    let noted = format!("{ALICE} disabled");
    assert_eq!(wall.carry_out(order(&third, 1)).await, Delivery::Noted { remote_ref: noted.clone() });
    assert_eq!(server.edge(|edge| edge.users[0]["enabled"].clone()), true, "nothing is done before it is written down");
    server.fault(lost("PUT"));
    let second = Order { remote_ref: Some(&noted), ..order(&third, 2) };
    assert_eq!(refusal(&wall.carry_out(second).await).0, "retry");
    assert_eq!(server.edge(|edge| edge.users[0]["enabled"].clone()), false);
    let wall = keycloak(&server, true);
    let (answer, reference) = deliver(wall.as_ref(), Order { remote_ref: Some(&noted), ..order(&third, 3) }).await;
    assert_eq!(answer, "disabled, sessions ended");
    // What renews it is ours as well.
    let renewal = principal("ac-4", Kind::Revoke, "alice");
    let renewed = deliver(wall.as_ref(), Order { remote_ref: reference.as_deref(), ..order(&renewal, 1) }).await;
    assert_eq!(renewed, (answer, reference.clone()));
    deliver(wall.as_ref(), Order { remote_ref: reference.as_deref(), ..order(&lift(&third), 1) }).await;
    assert_eq!(server.edge(|edge| edge.users[0]["enabled"].clone()), true);
    assert_eq!(server.problems(), [""; 0]);
}

/// What the pages of these targets tell people to write.
#[test]
fn the_documented_configurations_are_taken_as_they_stand() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/targets");
    let mut blocks = 0;
    for kind in ["aws_waf", "cloudflare", "fastly", "haproxy", "keycloak", "kong", "modsecurity", "nginx"] {
        let page = std::fs::read_to_string(folder.join(format!("{kind}.md"))).expect("a page");
        for text in page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().expect("an end")) {
            let whole: std::collections::BTreeMap<String, gatewatch::respond::RespondConfig> =
                serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{kind}: {error}"));
            whole["respond"].check().unwrap_or_else(|error| panic!("{kind}: {error}"));
            blocks += 1;
        }
    }
    assert_eq!(blocks, 9);
}
