//! Promise: a record that was pushed and acknowledged is in the lake once, whatever happens to the service; above the rate
//! limit senders are told to wait and lose nothing. With the real program, real senders (nginx, logger, curl), real kills.
//!
//! An HTTP batch is acknowledged by its 200. Syslog over TCP is acknowledged where the sender ends its side and then reads
//! the end of the connection without an error. What was not acknowledged may be in the lake, once, or not at all; senders
//! here never send the same record twice, so that every row that is there too often would be the service's fault.
//!
//! `GATEWATCH_SEED` repeats the moments of the kills; the seed is printed.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may panic, and prints its seed

mod common;

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::nginx::Nginx;
use common::process::{free_port, program, run};
use common::program::{number, query};
use common::pusher::{connect, post, syslog};
use common::service::Service;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

const KILLS: u32 = 6;
const TOKEN: &str = "not-a-real-token-41c7";
const BEARER: &str = "Authorization: Bearer not-a-real-token-41c7\r\n";

struct Setup {
    folder: TempDir,
    config: PathBuf,
}

impl Setup {
    /// A configuration with these sources, written in YAML at the indentation of the list.
    fn new(sources: &str) -> Setup {
        let folder = tempfile::tempdir().expect("a folder");
        let token = folder.path().join("token");
        fs::write(&token, TOKEN).expect("written");
        let text = format!(
            "data_dir: {}\nsources:\n{}lake:\n  checkpoint_every: 300ms\n",
            folder.path().join("data").display(),
            sources.replace("TOKEN_FILE", &token.display().to_string())
        );
        let config = folder.path().join("gatewatch.yaml");
        fs::write(&config, text).expect("written");
        Setup { folder, config }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// How many rows there are with each user agent, by which the tests tell records apart.
    fn agents(&self) -> HashMap<String, i64> {
        let rows = query(&self.data(), "select user_agent, count(*) n from events group by 1");
        let pair =
            |row: &serde_json::Value| (row["user_agent"].as_str().unwrap().to_owned(), row["n"].as_i64().unwrap());
        rows.iter().map(pair).collect()
    }

    /// Waits until the lake has so many rows.
    fn wait_for_rows(&self, service: &mut Service, rows: i64, condition: &str) {
        while number(&self.data(), &format!("select count(*) from events where {condition}")) < rows {
            service.wait_for("checkpoint", 60);
        }
    }
}

/// An entry as nginx writes it; the agent is its name.
fn record(agent: &str) -> String {
    format!(
        "{{\"time_iso8601\":\"2026-01-05T10:00:00+00:00\",\"remote_addr\":\"192.0.2.7\",\"request_method\":\"GET\",\
         \"request_uri\":\"/v1/items\",\"status\":200,\"http_user_agent\":\"{agent}\"}}"
    )
}

#[allow(clippy::disallowed_methods, reason = "a test is told its seed through the environment")]
fn seed() -> u64 {
    let seed = std::env::var("GATEWATCH_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| common::wall_us().unsigned_abs());
    println!("GATEWATCH_SEED={seed}");
    seed
}

/// What became of the batches of a sender: the agents of each, and whether it was acknowledged.
type Sent = Vec<(Vec<String>, bool)>;

/// Sends batch after batch until it is told to stop; a service that is not there is tried again at once, with new records.
fn sender(
    name: &'static str,
    stop: Arc<AtomicBool>,
    mut send: impl FnMut(&[String]) -> bool + Send + 'static,
) -> JoinHandle<Sent> {
    thread::spawn(move || {
        let mut sent = Sent::new();
        while !stop.load(Ordering::Relaxed) {
            let batch = sent.len();
            let agents: Vec<String> = (0..20).map(|entry| format!("{name}/{batch}/{entry}")).collect();
            let acknowledged = send(&agents);
            sent.push((agents, acknowledged));
            if !acknowledged {
                pause();
            }
        }
        sent
    })
}

/// A sender whose peer is away tries again a little later.
#[allow(clippy::disallowed_methods, reason = "senders of the real world wait before they try again")]
fn pause() {
    thread::sleep(Duration::from_millis(20));
}

fn ndjson(agents: &[String]) -> String {
    agents.iter().map(|agent| record(agent) + "\n").collect()
}

#[test]
fn acknowledged_records_are_there_once_after_kills() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed());
    let (http, tcp) = (free_port(), free_port());
    let setup = Setup::new(&format!(
        "  - name: edge\n    kind: nginx_json\n    http: {{ listen: \"127.0.0.1:{http}\", token: {{ file: TOKEN_FILE }} }}\n  \
         - name: shop\n    kind: nginx_json\n    syslog: {{ tcp: \"127.0.0.1:{tcp}\" }}\n"
    ));
    let stop = Arc::new(AtomicBool::new(false));
    let posts = move |agents: &[String]| {
        post(http, "/edge", BEARER, ndjson(agents).as_bytes()).is_ok_and(|answer| answer.status == 200)
    };
    let lines = move |agents: &[String]| {
        let text: String =
            agents.iter().map(|agent| format!("<190>Jan  5 10:00:00 gw nginx: {}\n", record(agent))).collect();
        syslog(tcp, text.as_bytes()).is_ok()
    };
    let counted = move |agents: &[String]| {
        let message = |agent: &String| format!("<190>1 2026-01-05T10:00:00Z gw nginx - - - {}", record(agent));
        let text: String = agents.iter().map(message).map(|text| format!("{} {text}", text.len())).collect();
        syslog(tcp, text.as_bytes()).is_ok()
    };
    let senders = [
        sender("http-a", stop.clone(), posts),
        sender("http-b", stop.clone(), posts),
        sender("lines", stop.clone(), lines),
        sender("counted", stop.clone(), counted),
    ];
    for _ in 0..KILLS {
        let mut service = Service::start(&setup.config);
        service.wait_for("listening for syslog over TCP", 60);
        service.kill_after(Duration::from_millis(rng.random_range(100..1_500)));
    }
    let mut service = Service::start(&setup.config);
    service.wait_for("listening for syslog over TCP", 60);
    service.wait_for("checkpoint", 60);
    stop.store(true, Ordering::Relaxed);
    let sent: Sent = senders.into_iter().flat_map(|sender| sender.join().expect("a sender does not panic")).collect();
    // Lanes are read in order: once these are there, everything before them is.
    assert_eq!(post(http, "/edge", BEARER, record("last").as_bytes()).expect("answered").status, 200);
    syslog(tcp, record("last").as_bytes()).expect("answered");
    setup.wait_for_rows(&mut service, 2, "user_agent = 'last'");
    service.stop();

    let mut there = setup.agents();
    assert_eq!(there.remove("last"), Some(2));
    let mut acknowledged = [0; 2];
    for (agents, was_acknowledged) in &sent {
        let counts: Vec<i64> = agents.iter().map(|agent| there.remove(agent).unwrap_or(0)).collect();
        if *was_acknowledged {
            acknowledged[usize::from(!agents[0].starts_with("http"))] += 1;
            assert!(counts.iter().all(|count| *count == 1), "{}: {counts:?}", agents[0]);
        } else {
            assert!(counts.iter().all(|count| *count <= 1), "{}: {counts:?}", agents[0]);
            // A body is taken whole or not at all.
            let whole = counts.iter().all(|count| *count == counts[0]);
            assert!(whole || !agents[0].starts_with("http"), "{}: {counts:?}", agents[0]);
        }
    }
    assert_eq!(there, HashMap::new(), "rows that nobody sent");
    assert_eq!(number(&setup.data(), "select count(*) from rejects"), 0);
    println!("batches: {}, acknowledged: {} by HTTP, {} by syslog", sent.len(), acknowledged[0], acknowledged[1]);
    assert!(acknowledged.iter().all(|batches| *batches > 20), "{acknowledged:?}");
}

#[test]
fn a_flood_above_the_rate_is_told_to_wait_and_loses_nothing() {
    let port = free_port();
    let setup = Setup::new(&format!(
        "  - name: edge\n    kind: nginx_json\n    http:\n      listen: \"127.0.0.1:{port}\"\n      token: {{ file: TOKEN_FILE }}\n      \
         records_per_second: 50\n      burst: 300\n"
    ));
    let mut service = Service::start(&setup.config);
    service.wait_for("listening for HTTP", 60);
    let flood = (0..4).map(|sender| {
        thread::spawn(move || {
            let mut accepted = Vec::new();
            let mut told_to_wait = 0;
            for batch in 0..50 {
                let agents: Vec<String> = (0..20).map(|entry| format!("{sender}/{batch}/{entry}")).collect();
                let answer = post(port, "/edge", BEARER, ndjson(&agents).as_bytes()).expect("answered");
                match answer.status {
                    200 => accepted.extend(agents),
                    429 => {
                        let seconds = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok());
                        assert!(seconds.is_some_and(|seconds| seconds >= 1), "{}", answer.text);
                        told_to_wait += 1;
                    }
                    other => panic!("{other}: {}", answer.text),
                }
            }
            (accepted, told_to_wait)
        })
    });
    let flood: Vec<_> = flood.collect::<Vec<_>>().into_iter().map(|sender| sender.join().expect("no panic")).collect();
    let refused: usize = flood.iter().map(|(_, refused)| refused).sum();
    let accepted: Vec<&String> = flood.iter().flat_map(|(accepted, _)| accepted).collect();
    println!("accepted: {} records, told to wait: {refused} of 200 batches", accepted.len());
    assert!(accepted.len() >= 300 && refused > 0, "{} accepted, {refused} refused", accepted.len());
    setup.wait_for_rows(&mut service, accepted.len() as i64, "true");
    service.stop();
    let there = setup.agents();
    assert_eq!(there.len(), accepted.len());
    assert!(accepted.iter().all(|agent| there.get(*agent) == Some(&1)));
}

#[test]
fn real_senders_are_heard_over_udp_and_tcp() {
    let (udp, tcp) = (free_port(), free_port());
    let setup = Setup::new(&format!(
        "  - name: edge\n    kind: nginx_json\n    syslog: {{ udp: \"127.0.0.1:{udp}\", tcp: \"127.0.0.1:{tcp}\", \
         allow: [127.0.0.0/8] }}\n"
    ));
    let mut service = Service::start(&setup.config);
    service.wait_for("listening for syslog over UDP", 60);

    let nginx = Nginx::logging_to(&format!("syslog:server=127.0.0.1:{udp},tag=nginx json"));
    let url = format!("{}/v1/orders", nginx.url());
    for request in 0..20 {
        run(Command::new(program("curl")).args(["-s", "-A", &format!("client-{request}"), &url]));
    }
    for (arguments, agent) in
        [(&["--rfc5424"][..], "rfc5424"), (&["--rfc3164"], "rfc3164"), (&["--octet-count"], "counted")]
    {
        let port = tcp.to_string();
        let mut logger = Command::new(program("logger"));
        logger.args(["--tcp", "--server", "127.0.0.1", "--port", &port]).args(arguments).args(["--", &record(agent)]);
        run(&mut logger);
    }
    setup.wait_for_rows(&mut service, 23, "true");
    service.stop();
    let there = setup.agents();
    for request in 0..20 {
        assert_eq!(there.get(&format!("client-{request}")), Some(&1));
    }
    for agent in ["rfc5424", "rfc3164", "counted"] {
        assert_eq!(there.get(agent), Some(&1), "{agent}");
    }
    let rows = query(&setup.data(), "select path, status, client_ip from events where user_agent = 'client-7'");
    assert_eq!(rows[0]["path"], "/v1/orders");
    assert_eq!((rows[0]["status"].as_i64(), rows[0]["client_ip"].as_str()), (Some(200), Some("127.0.0.1")));
}

/// An authority made for the test, and a certificate of it: PEM files `ca.pem`, `NAME.pem` and `NAME.key`.
fn certificates(folder: &Path, names: &[&str]) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut ca = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "an invented authority");
    let ca = rcgen::CertifiedIssuer::self_signed(ca, key).expect("signed");
    fs::write(folder.join("ca.pem"), ca.pem()).expect("written");
    for name in names {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &ca).expect("signed");
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("written");
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("written");
    }
}

/// Sends syslog over TLS as `client` and waits for the answer.
fn syslog_over_tls(folder: &Path, port: u16, client: Option<&str>, text: &str) -> std::io::Result<()> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    let certificate = |name: &str| CertificateDer::from_pem_file(folder.join(name)).expect("a certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate("ca.pem")).expect("an authority");
    common::install_crypto();
    let builder = rustls::ClientConfig::builder().with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let key = PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).expect("a key");
            builder.with_client_auth_cert(vec![certificate(&format!("{name}.pem"))], key).expect("a pair")
        }
    };
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let session = rustls::ClientConnection::new(Arc::new(config), name).expect("a session");
    let mut stream = rustls::StreamOwned::new(session, connect(port)?);
    stream.write_all(text.as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()?;
    stream.sock.shutdown(std::net::Shutdown::Write)?;
    match stream.read(&mut [0; 1])? {
        0 => Ok(()),
        _ => Err(std::io::Error::other("syslog says nothing")),
    }
}

#[test]
fn tls_is_spoken_and_secrets_are_in_no_file() {
    let (https, tls) = (free_port(), free_port());
    let setup = Setup::new(&format!(
        "  - name: edge\n    kind: nginx_json\n    http:\n      listen: \"127.0.0.1:{https}\"\n      path: /logs/edge\n      \
         token: {{ file: TOKEN_FILE }}\n      tls: {{ cert: DIR/server.pem, key: DIR/server.key }}\n  - name: shop\n    \
         kind: nginx_json\n    syslog:\n      tls: {{ listen: \"127.0.0.1:{tls}\", cert: DIR/server.pem, key: DIR/server.key, \
         client_ca: DIR/ca.pem }}\n"
    ));
    let folder = setup.folder.path();
    let text = fs::read_to_string(&setup.config).expect("written before");
    fs::write(&setup.config, text.replace("DIR", &folder.display().to_string())).expect("written");
    certificates(folder, &["server", "client"]);
    let mut service = Service::start(&setup.config);
    service.wait_for("listening for syslog over TCP", 60);

    let secrets = ["canary-password-8812", "ghp_canaryCANARYcanaryCANARYcanaryCANA12"];
    let with_secrets = |agent: &str| {
        record(agent).replace("/v1/items", &format!("/v1/login?password={}&note={}", secrets[0], secrets[1]))
    };
    let body = folder.join("body.json");
    fs::write(&body, with_secrets("curl")).expect("written");
    let curl = |token: &str| {
        let mut curl = Command::new(program("curl"));
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"]).arg(folder.join("ca.pem"));
        curl.arg("-H").arg(format!("Authorization: Bearer {token}")).arg("--data-binary");
        curl.arg(format!("@{}", body.display())).arg(format!("https://127.0.0.1:{https}/logs/edge"));
        run(&mut curl)
    };
    assert_eq!((curl(TOKEN).as_str(), curl("wrong").as_str()), ("200", "401"));
    let message = format!("<190>1 2026-01-05T10:00:00Z gw nginx - - - {}\n", with_secrets("tls"));
    syslog_over_tls(folder, tls, Some("client"), &message).expect("acknowledged");
    syslog_over_tls(folder, tls, None, &message).expect_err("without a certificate nobody is heard");
    setup.wait_for_rows(&mut service, 2, "true");
    let said = service.stop().join("\n");

    let there = setup.agents();
    assert_eq!((there.get("curl"), there.get("tls"), there.len()), (Some(&1), Some(&1), 2));
    fs::remove_file(&body).expect("ours");
    let mut files = Vec::new();
    walk(&setup.data(), &mut files);
    assert!(
        files.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "seg")).count() >= 2,
        "the spool was read"
    );
    for secret in secrets.iter().chain(&[TOKEN]) {
        assert!(!said.contains(secret), "the log has {secret}");
        for (path, bytes) in &files {
            let found = memchr::memmem::find(bytes, secret.as_bytes());
            assert_eq!(found, None, "{} has {secret}", path.display());
        }
    }
}

fn walk(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push((path.clone(), fs::read(&path).expect("a file")));
        }
    }
}
