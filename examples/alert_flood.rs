//! What a flood of alerts costs the response stage: so many updates of alerts by so many attackers are told, all of them to one
//! receiver on loopback, then one incident that pages and blocks.
//!
//! `cargo run --example alert_flood [UPDATES] [ATTACKERS]`. Prints how long taking in and delivering took, how soon the page
//! and the block that came last were there, the size of the state store, and peak memory.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)] // it measures, on a terminal

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gatewatch::respond::config::{RespondConfig, Secret};
use gatewatch::respond::{Clock, Outbox};
use gatewatch::store::Store;
use schemas::Alert;
use schemas::alert::{Entity, Severity, State, Window};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Alerts that are told at once, as the pipeline does.
const TOLD_AT_ONCE: usize = 200;

/// What came, and when the first of the urgent kinds did.
#[derive(Default)]
struct Came {
    ids: HashSet<String>,
    requests: usize,
    first_page: Option<(Instant, usize)>,
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>().expect("a number"));
    let (updates, attackers) = (numbers.next().unwrap_or(100_000), numbers.next().unwrap_or(5_000));
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(flood(updates, attackers));
}

async fn flood(updates: usize, attackers: usize) {
    let folder = tempfile::tempdir().unwrap();
    let came: Arc<Mutex<Came>> = Arc::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let list = folder.path().join("deny.conf");
    tokio::spawn(receive(listener, Arc::clone(&came)));
    let yaml = format!(
        "dry_run: false\ntell: [open, updated, closed]\nincidents: {{ quiet: 0s }}\ntargets:\n  webhook:\n    - {{ name: soar, url: \
         'http://{address}/', secrets: [{{ env: SOAR }}] }}\n  nginx:\n    - {{ name: edge, file: {}, test: [], \
         reload: {{ command: ['true'] }} }}\n",
        list.display()
    );
    let config: RespondConfig = serde_saphyr::from_str(&yaml).unwrap();
    // Visibly no real one: base64 of "not a real secret, only for tests".
    let secret = "whsec_bm90IGEgcmVhbCBzZWNyZXQsIG9ubHkgZm9yIHRlc3Rz";
    let targets = config.targets.build(&|_| Ok(Secret::new(secret))).unwrap();
    let store = Store::open(&folder.path().join("state.db")).await.unwrap();
    let clock: Clock = Arc::new(now_us);
    let outbox = Arc::new(Outbox::new(store, config, targets, &[], clock, 1).unwrap());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let begin = Instant::now();
    let running = tokio::spawn(Arc::clone(&outbox).run(stopped));

    let notes = ["notify".to_owned()];
    let each = updates / attackers;
    for revision in 0..each {
        for first in (0..attackers).step_by(TOLD_AT_ONCE) {
            let alerts: Vec<Alert> = (first..attackers.min(first + TOLD_AT_ONCE))
                .map(|n| alert(n, u32::try_from(revision).unwrap(), revision + 1 == each))
                .collect();
            let told: Vec<(&Alert, &[String])> = alerts.iter().map(|alert| (alert, notes.as_slice())).collect();
            outbox.tell(&told, now_us()).await.unwrap();
        }
    }
    let taken_in = begin.elapsed();
    let waited = waiting(&outbox).await;
    // The last of all is urgent.
    let urgent = Alert { severity: Severity::Critical, ..alert(attackers, 0, false) };
    let kinds = ["page", "block"].map(str::to_owned);
    let queued = Instant::now();
    outbox.tell(&[(&urgent, kinds.as_slice())], now_us()).await.unwrap();
    let mut blocked = None;
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    while waiting(&outbox).await > 0 || blocked.is_none() {
        beat.tick().await;
        if blocked.is_none() && std::fs::read_to_string(&list).is_ok_and(|text| text.contains("deny ")) {
            blocked = Some(queued.elapsed());
        }
    }
    let drained = begin.elapsed();
    stop.send(true).unwrap();
    running.await.unwrap();
    let size: u64 =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    let came = came.lock().unwrap();
    let (page_at, after) = came.first_page.expect("the page came");
    println!("{updates} updates of {attackers} attackers taken in after {:.1} s", taken_in.as_secs_f64());
    println!("{waited} actions waited then; all delivered after {:.1} s", drained.as_secs_f64());
    println!("{} messages came, {} of them different", came.requests, came.ids.len());
    println!(
        "the page that was told last came {:.2} s after it, {} messages before it",
        page_at.duration_since(queued).as_secs_f64(),
        after
    );
    println!("the block that was told last was there {:.2} s after it", blocked.unwrap().as_secs_f64());
    println!("state store {:.1} MB, peak memory {} MB", size as f64 / 1e6, peak_mb());
}

async fn waiting(outbox: &Outbox) -> u64 {
    let counts = outbox.counts().await.unwrap();
    counts.iter().filter(|count| count.state == "pending").map(|count| count.actions).sum()
}

fn now_us() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

fn alert(attacker: usize, revision: u32, closed: bool) -> Alert {
    let time = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let state = match (revision, closed) {
        (_, true) => State::Closed,
        (0, _) => State::Open,
        _ => State::Updated,
    };
    Alert {
        id: format!("al-{attacker}"),
        revision,
        state,
        detector: "auth-burst-ip".to_owned(),
        title: "Many refused logins from one address".to_owned(),
        severity: Severity::Medium,
        entity: Entity { kind: "client_ip".to_owned(), value: format!("2001:db8:{attacker:x}::7") },
        opened: time.clone(),
        updated: time.clone(),
        window: Window { start: time.clone(), end: time },
        observed: 60.0 + f64::from(revision),
        expected: None,
        threshold: 50.0,
        score: 0.8,
        events: 60 + u64::from(revision),
        owasp: vec!["API2:2023".to_owned()],
        attack: vec!["T1110".to_owned()],
        evidence: serde_json::json!({ "statuses": { "401": 60 }, "paths": ["/login", "/v1/orders/{id}"] }),
        dry_run: false,
        part_of: None,
    }
}

async fn receive(listener: TcpListener, came: Arc<Mutex<Came>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, Arc::clone(&came)));
    }
}

async fn answer(mut stream: TcpStream, came: Arc<Mutex<Came>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::new();
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let head = end.map(|end| String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase());
        let header = |name: &str| head.as_ref()?.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        let length: usize = header("content-length: ").and_then(|text| text.parse().ok()).unwrap_or(0);
        match end.map(|end| end + 4 + length).filter(|whole| bytes.len() >= *whole) {
            Some(whole) => {
                let body: serde_json::Value = serde_json::from_slice(&bytes[whole - length..whole]).unwrap();
                {
                    let mut came = came.lock().unwrap();
                    if body["kind"] == "page" && came.first_page.is_none() {
                        came.first_page = Some((Instant::now(), came.requests));
                    }
                    came.requests += 1;
                    came.ids.insert(header("webhook-id: ").unwrap());
                }
                bytes.drain(..whole);
                stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await?;
            }
            None if stream.read_buf(&mut bytes).await? == 0 => return Ok(()),
            None => {}
        }
    }
}

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1000
}
