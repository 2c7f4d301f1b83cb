//! Promises of the walls, against real ones: a blocked address is refused for real and others are not, a revert lifts the
//! block, and what was changed behind our back is seen. nginx, ModSecurity and HAProxy by their requests, AWS WAF by moto.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::haproxy::Haproxy;
use common::moto::Moto;
use common::nginx::Nginx;
use common::orders::{HOUR_US, attempt, block, deliver, do_all, entities, lift, order, read_back, refusal, target};
use common::wall_us;
use gatewatch::respond::action::Op;
use gatewatch::respond::target::Order;
use gatewatch::respond::{Action, Attempt, Delivery, Target};

const ATTACKER: &str = "203.0.113.7";
const OTHER: &str = "203.0.113.8";
const NETWORK: &str = "2001:db8:5::/64";
const INSIDE: &str = "2001:db8:5::1";

/// The status of a request that a trusted proxy passes on for this client.
fn status(port: u16, path: &str, client: &str) -> u16 {
    use std::io::{Read, Write};
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    let head = format!("GET {path} HTTP/1.1\r\nHost: api\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");

    text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

/// nginx reloads after it was told, not before it answers the teller, and those of before answer beside the new ones until
/// they have gone.
#[allow(clippy::disallowed_methods, reason = "a deadline for another program")]
fn until(nginx: &Nginx, client: &str, wanted: u16) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let got = status(nginx.port(), "/wall/ok", client);
        let workers = nginx.workers();
        if got == wanted && workers == 1 {
            return;
        }
        let late = std::time::Instant::now() >= deadline;
        assert!(!late, "{client} gets {got}, not {wanted}, of {workers} workers");
        // The only way to wait for what another program will answer.
        std::thread::sleep(Duration::from_millis(10));
    }
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

/// A request is refused, others pass, undoing lifts it, drift is seen and mended: the same story for both files.
async fn a_file_story(nginx: &Nginx, wall: &dyn Target, list: &str) {
    assert_eq!(status(nginx.port(), "/wall/ok", ATTACKER), 200);
    let (first, second) = (block("ac-1", ATTACKER), block("ac-2", NETWORK));
    for outcome in do_all(wall, &[first.clone(), second.clone()]).await {
        assert!(matches!(outcome, Delivery::Delivered { .. }), "{outcome:?}");
    }
    until(nginx, ATTACKER, 403);
    until(nginx, INSIDE, 403);
    assert_eq!(status(nginx.port(), "/wall/ok", OTHER), 200);
    let there = read_back(wall).await;
    assert_eq!(there.iter().map(|entry| entry.entity.as_str()).collect::<Vec<_>>(), [ATTACKER, NETWORK]);
    assert_eq!(there[0].until_us, first.expires_us);

    // Somebody takes lines out; the next look sees it, and the same action mends it.
    let text = std::fs::read_to_string(nginx.path(list)).expect("the list");
    let kept: Vec<&str> = text.lines().filter(|line| !line.contains(ATTACKER)).collect();
    std::fs::write(nginx.path(list), kept.join("\n")).expect("changed");
    assert_eq!(entities(wall).await, [NETWORK]);
    deliver(wall, order(&first, 1)).await;
    assert_eq!(std::fs::read_to_string(nginx.path(list)).expect("the list"), text);

    // The same again has no second effect, nor has the undoing of what is gone.
    deliver(wall, order(&first, 2)).await;
    assert_eq!(std::fs::read_to_string(nginx.path(list)).expect("the list"), text);
    assert_eq!(deliver(wall, order(&lift(&first), 1)).await.0, format!("{ATTACKER} is taken off the list"));
    until(nginx, ATTACKER, 200);
    assert_eq!(status(nginx.port(), "/wall/ok", INSIDE), 403);
    assert_eq!(deliver(wall, order(&lift(&first), 1)).await.0, format!("{ATTACKER} was gone already"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_refuses_who_is_on_the_list() {
    let files = [("wall/ok", "ok"), ("gatewatch.conf", "")];
    let nginx = off_thread(move || Nginx::walled("", &files, "include gatewatch.conf;")).await;
    let (list, test, reload) = (nginx.path("gatewatch.conf"), nginx.command("-t"), nginx.command("-s, reload"));
    let yaml =
        format!("nginx: [{{ name: edge, file: {}, test: {test}, reload: {{ command: {reload} }} }}]", list.display());
    let wall = target(&yaml);
    a_file_story(&nginx, wall.as_ref(), "gatewatch.conf").await;

    // A thousand in one call, and one reload.
    let many: Vec<Action> =
        (0..1_000).map(|n| block(&format!("ac-m{n}"), &format!("198.51.100.{}", n % 250)).clone()).collect();
    assert_eq!(wall.orders_max(), 1_000);
    assert!(do_all(wall.as_ref(), &many).await.iter().all(|outcome| matches!(outcome, Delivery::Delivered { .. })));
    until(&nginx, "198.51.100.249", 403);
    assert_eq!(read_back(wall.as_ref()).await.len(), 251);

    // A day later nothing of it is wanted by anybody, whatever became of the reverts.
    let late = Action { expires_us: Some(wall_us() + 25 * HOUR_US), ..block("ac-late", OTHER) };
    let tomorrow = Attempt { number: 1, now_us: wall_us() + 24 * HOUR_US };
    deliver(wall.as_ref(), Order { attempt: tomorrow, ..order(&late, 1) }).await;
    assert_eq!(entities(wall.as_ref()).await, [OTHER]);
    until(&nginx, "198.51.100.249", 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_nginx_would_not_take_is_put_back() {
    let files = [("wall/ok", "ok"), ("gatewatch.conf", "")];
    let nginx = off_thread(move || Nginx::walled("", &files, "include gatewatch.conf;")).await;
    let (list, test, pid) = (nginx.path("gatewatch.conf"), nginx.command("-t"), nginx.path("nginx.pid"));
    let yaml = format!(
        "nginx: [{{ name: edge, file: {}, test: {test}, reload: {{ pid_file: {} }} }}]",
        list.display(),
        pid.display()
    );
    let wall = target(&yaml);
    let first = block("ac-1", ATTACKER);
    deliver(wall.as_ref(), order(&first, 1)).await;
    until(&nginx, ATTACKER, 403);

    // Somebody else broke nginx's configuration: nothing may be reloaded, and the list stays as it was.
    let before = std::fs::read_to_string(&list).expect("the list");
    let conf = std::fs::read_to_string(nginx.path("nginx.conf")).expect("the configuration");
    std::fs::write(nginx.path("nginx.conf"), format!("{conf}\nnonsense;\n")).expect("broken");
    let second = block("ac-2", OTHER);
    let outcome = wall.carry_out(order(&second, 1)).await;
    let (kind, reason) = refusal(&outcome);
    assert_eq!(kind, "retry");
    assert!(reason.contains("the file is as before") && reason.contains("nonsense"), "{reason}");
    assert_eq!(std::fs::read_to_string(&list).expect("the list"), before);
    std::fs::write(nginx.path("nginx.conf"), conf).expect("mended");
    deliver(wall.as_ref(), order(&second, 2)).await;
    until(&nginx, OTHER, 403);

    // Nor is a line of somebody else's ever lost.
    let mine = "allow 192.0.2.1;\n";
    std::fs::write(&list, mine).expect("changed");
    let outcome = wall.carry_out(order(&first, 1)).await;
    let (kind, reason) = refusal(&outcome);
    assert!(kind == "failed" && reason.contains("line 1 is not Gatewatch's"), "{reason}");
    assert_eq!(std::fs::read_to_string(&list).expect("the list"), mine);
    assert_eq!(wall.read_back(wall_us()).await.expect("it can be read"), Some(vec![]), "and ours are not there");
    // What is ours is taken out of it all the same.
    std::fs::write(&list, format!("{mine}{}", before.split_once('\n').expect("a header").1)).expect("changed");
    let lifted = Action { op: Op::Revert, undoes: Some(first.id.clone()), ..first.clone() };
    deliver(wall.as_ref(), order(&lifted, 1)).await;
    assert_eq!(std::fs::read_to_string(&list).expect("the list"), mine);
    until(&nginx, ATTACKER, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn modsecurity_refuses_who_is_on_the_list() {
    let rules = "SecRuleEngine On\nSecRule REMOTE_ADDR \"@ipMatchFromFile {folder}/block.txt\" \"id:900700,phase:1,deny,status:403\"\n";
    // An empty list says nothing that the rule could take.
    let files = [("wall/ok", "ok"), ("rules.conf", rules), ("block.txt", "")];
    let head = "load_module /usr/lib/nginx/modules/ngx_http_modsecurity_module.so;";
    let server = "modsecurity on; modsecurity_rules_file {folder}/rules.conf;";
    let nginx = off_thread(move || Nginx::walled(head, &files, server)).await;
    let (list, test, reload) = (nginx.path("block.txt"), nginx.command("-t"), nginx.command("-s, reload"));
    let yaml = format!(
        "modsecurity: [{{ name: waf, file: {}, test: {test}, reload: {{ command: {reload} }} }}]",
        list.display()
    );
    a_file_story(&nginx, target(&yaml).as_ref(), "block.txt").await;
}

async fn an_haproxy_story(haproxy: &mut Haproxy, wall: &dyn Target, list: &str, delete: &str) {
    let port = haproxy.port();
    let (first, second) = (block("ac-1", ATTACKER), block("ac-2", NETWORK));
    for outcome in do_all(wall, &[first.clone(), second.clone()]).await {
        assert!(matches!(outcome, Delivery::Delivered { .. }), "{outcome:?}");
    }
    let check = |expected: [u16; 3]| {
        let got = [ATTACKER, INSIDE, OTHER].map(|client| status(port, "/", client));
        assert_eq!(got, expected, "{list}");
    };
    check([403, 403, 200]);
    assert_eq!(entities(wall).await, [ATTACKER, NETWORK]);
    let until_us = read_back(wall).await[0].until_us.expect("an end");
    assert_eq!(until_us.div_euclid(1_000_000), first.expires_us.expect("an end").div_euclid(1_000_000));

    // Told again it stands there once: one deletion lifts it.
    deliver(wall, order(&first, 2)).await;
    haproxy.typed(&format!("{delete} {ATTACKER}"));
    check([200, 403, 200]);
    assert_eq!(entities(wall).await, [NETWORK], "seen behind our back");
    deliver(wall, order(&first, 1)).await;
    check([403, 403, 200]);

    // A new process has it from the file.
    haproxy.restart();
    check([403, 403, 200]);
    let newer = block("ac-3", ATTACKER);
    deliver(wall, order(&newer, 1)).await;
    let (answer, _) = deliver(wall, order(&lift(&first), 1)).await;
    assert_eq!(answer, format!("{ATTACKER} stays: action ac-3 holds it now"));
    deliver(wall, order(&lift(&newer), 1)).await;
    check([200, 403, 200]);
    deliver(wall, order(&lift(&newer), 1)).await;
    haproxy.restart();
    check([200, 403, 200]);
    assert_eq!(entities(wall).await, [NETWORK]);
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_refuses_at_once_and_after_a_reload_by_an_acl() {
    let mut haproxy = off_thread(Haproxy::start).await;
    let (socket, acl) = (haproxy.path("admin.sock"), haproxy.path("block.acl"));
    let yaml = format!("haproxy: [{{ name: edge, socket: {}, acl: {} }}]", socket.display(), acl.display());
    let wall = target(&yaml);
    an_haproxy_story(&mut haproxy, wall.as_ref(), "block.acl", &format!("del acl {}", acl.display())).await;

    // The file lost it and the process was not told: an attempt that is repeated tells it.
    let third = block("ac-9", ATTACKER);
    deliver(wall.as_ref(), order(&third, 1)).await;
    std::fs::write(&acl, "").expect("emptied");
    deliver(wall.as_ref(), order(&lift(&third), 2)).await;
    assert_eq!(status(haproxy.port(), "/", ATTACKER), 200);

    let strange = target(&yaml.replace("block.acl", "other.acl"));
    let outcome = strange.carry_out(order(&third, 1)).await;
    assert_eq!(refusal(&outcome).0, "failed", "{outcome:?}");
    assert!(format!("{outcome:?}").contains("Unknown ACL identifier"), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_refuses_at_once_and_after_a_reload_by_a_map() {
    let mut haproxy = off_thread(Haproxy::start).await;
    let (socket, map) = (format!("127.0.0.1:{}", haproxy.admin_port()), haproxy.path("block.map"));
    let wall = target(&format!("haproxy: [{{ name: edge, socket: '{socket}', map: {} }}]", map.display()));
    an_haproxy_story(&mut haproxy, wall.as_ref(), "block.map", &format!("del map {}", map.display())).await;
    // An entry of somebody else's is not ours to tell of.
    haproxy.typed(&format!("add map {} 192.0.2.99 office", map.display()));
    assert_eq!(entities(wall.as_ref()).await, [NETWORK]);

    // A process that is not there is waited for.
    let gone = target("haproxy: [{ name: edge, socket: /nowhere/admin.sock, acl: /nowhere/block.acl }]");
    assert_eq!(refusal(&gone.carry_out(order(&block("ac-1", ATTACKER), 1)).await).0, "retry");
}

fn aws(moto: &Moto, v4: &str, v6: &str, own: bool) -> Arc<dyn Target> {
    target(&format!(
        "aws_waf: [{{ name: waf, region: eu-central-1, url: '{}', own: {own}, v4: {{ name: four, id: '{v4}' }}, \
         v6: {{ name: six, id: '{v6}' }}, access_key_id: {{ env: key }}, secret_access_key: {{ env: secret }}, \
         session_token: {{ env: token }} }}]",
        moto.endpoint()
    ))
}

async fn moto() -> (Moto, String, String, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().to_owned();
    let moto = off_thread(move || Moto::start(&path)).await;
    let v4 = moto.ip_set("four", "IPV4", &["192.0.2.1/32", "198.51.100.0/24"]).await;
    let v6 = moto.ip_set("six", "IPV6", &[]).await;
    (moto, v4, v6, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ip_set_keeps_the_addresses_of_others() {
    let (moto, v4, v6, _folder) = moto().await;
    let wall = aws(&moto, &v4, &v6, false);
    let actions = [block("ac-1", ATTACKER), block("ac-2", NETWORK), block("ac-3", "192.0.2.1")];
    let outcomes = do_all(wall.as_ref(), &actions).await;
    let refs: Vec<&str> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Delivery::Delivered { remote_ref, .. } => remote_ref.as_deref().expect("a reference"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(refs, ["added", "added", "kept"]);
    assert_eq!(moto.addresses("four", &v4).await, ["192.0.2.1/32", "198.51.100.0/24", "203.0.113.7/32"]);
    assert_eq!(moto.addresses("six", &v6).await, [NETWORK]);
    assert_eq!(moto.get("four", &v4).await["IPSet"]["Description"], "by A. Example");
    assert_eq!(entities(wall.as_ref()).await, ["192.0.2.1", "198.51.100.0/24", ATTACKER, NETWORK]);

    // Changed behind our back: seen.
    moto.replace("four", &v4, &["192.0.2.1/32".to_owned(), "198.51.100.0/24".to_owned()]).await;
    assert_eq!(entities(wall.as_ref()).await, ["192.0.2.1", "198.51.100.0/24", NETWORK]);
    deliver(wall.as_ref(), order(&actions[0], 2)).await;

    let lifts: Vec<Action> = actions.iter().map(lift).collect();
    let orders: Vec<Order<'_>> = lifts
        .iter()
        .zip(refs)
        .map(|(lift, reference)| Order { remote_ref: Some(reference), ..order(lift, 1) })
        .collect();
    for outcome in wall.carry_out_all(&orders).await {
        assert!(matches!(outcome, Delivery::Delivered { .. }), "{outcome:?}");
    }
    assert_eq!(moto.addresses("four", &v4).await, ["192.0.2.1/32", "198.51.100.0/24"]);
    assert!(moto.addresses("six", &v6).await.is_empty());

    let nowhere = aws(&moto, "00000000-0000-0000-0000-000000000000", &v6, false);
    let outcome = nowhere.carry_out(order(&actions[0], 1)).await;
    assert_eq!(refusal(&outcome), ("failed", "AWS WAF answered GetIPSet with 400 WAFNonexistentItemException"));
    assert!(!format!("{outcome:?}").contains("not-a-real"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_of_one_ip_set_lose_nothing() {
    let (moto, v4, v6, _folder) = moto().await;
    let (one, two) = (aws(&moto, &v4, &v6, false), aws(&moto, &v4, &v6, false));
    let write = async |wall: &dyn Target, net: &str| {
        for n in 0..4 {
            deliver(wall, order(&block(&format!("ac-{net}-{n}"), &format!("203.0.113.{net}{n}")), 1)).await;
        }
    };
    tokio::join!(write(one.as_ref(), "1"), write(two.as_ref(), "2"));
    let mut expected: Vec<String> = (10..14).chain(20..24).map(|n| format!("203.0.113.{n}/32")).collect();
    expected.extend(["192.0.2.1/32".to_owned(), "198.51.100.0/24".to_owned()]);
    expected.sort();
    assert_eq!(moto.addresses("four", &v4).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_ip_set_is_refused_or_merged_and_parted_again() {
    let (moto, v4, v6, _folder) = moto().await;
    let full: Vec<String> = (0..10_000).map(|n| format!("198.18.{}.{}/32", n / 256, n % 256)).collect();
    moto.replace("four", &v4, &full).await;
    let action = block("ac-1", ATTACKER);
    let outcome = attempt(aws(&moto, &v4, &v6, false).as_ref(), order(&action, 1)).await;
    let (kind, reason) = refusal(&outcome);
    assert!(kind == "failed" && reason.contains("the IP set is full (10000 addresses)"), "{reason}");
    assert_eq!(moto.addresses("four", &v4).await.len(), 10_000);

    let wall = aws(&moto, &v4, &v6, true);
    deliver(wall.as_ref(), order(&action, 1)).await;
    let merged = moto.addresses("four", &v4).await;
    assert_eq!(
        merged,
        ["198.18.0.0/19", "198.18.32.0/22", "198.18.36.0/23", "198.18.38.0/24", "198.18.39.0/28", "203.0.113.7/32"]
    );
    let one = lift(&block("ac-0", "198.18.39.1"));
    deliver(wall.as_ref(), Order { remote_ref: Some("added"), ..order(&one, 1) }).await;
    let parted = moto.addresses("four", &v4).await;
    assert!(
        parted.contains(&"198.18.39.0/32".to_owned()) && parted.contains(&"198.18.39.8/29".to_owned()),
        "{parted:?}"
    );
    assert!(!parted.iter().any(|text| text == "198.18.39.1/32" || text == "198.18.39.0/28"), "{parted:?}");
}
