//! A proxy before a counterparty that spoils what passes: HTTP, SMTP or one line per connection.
//!
//! Promises: a schedule says which requests are spoilt: after none that passed, after one, after two and so on, so that each
//! request of an attempt is hit in turn; then all is well. A request before the time that a 429 named is a problem that the
//! test asserts to be absent. What was spoilt with its effect done is counted.
//! Never: changes a request; a repetition is byte for byte.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use gatewatch::respond::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a client is told to wait by `Busy`.
pub const ASKED_US: i64 = 30_000_000;

/// How a time to wait is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Seconds,
    /// `Mon, 02 Mar 2026 10:00:30 GMT`
    Imf,
    /// `Monday, 02-Mar-26 10:00:30 GMT`
    Rfc850,
    /// `Mon Mar  2 10:00:30 2026`
    Asctime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429 and how long to wait, without effect.
    Busy(Form),
    /// This status, without effect.
    Status(u16),
    /// The connection is reset, without effect.
    Reset,
    /// Taken and never answered, without effect.
    BlackHole,
    /// Done, and answered byte by byte.
    Trickle,
    /// Done, and the answer begins and never ends.
    Drip,
    /// Done, and the connection is reset instead of the answer.
    Lost,
    /// Done, and something in between answers 502.
    Covered,
    /// Done, and the answer breaks off in the middle.
    CutShort,
    /// What may be repeated without asking (GET, PUT, DELETE) comes twice; the second answer is told.
    Twice,
}

impl Fault {
    /// Done at the other end, although nobody here knows.
    pub fn hides_an_effect(self) -> bool {
        matches!(self, Fault::Drip | Fault::Lost | Fault::Covered | Fault::CutShort)
    }
}

/// What is spoken through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Http,
    Smtp,
    /// A line, an answer, the end: HAProxy's admin socket.
    Line,
}

/// Grows with each request that came to any of the proxies that share it.
pub type Traffic = Arc<watch::Sender<usize>>;

#[derive(Default)]
struct Schedule {
    fault: Option<Fault>,
    /// So many pass before the next fault.
    pass: usize,
    after: usize,
    left: usize,
}

#[derive(Default)]
struct State {
    schedule: Schedule,
    not_before_us: i64,
    problems: Vec<String>,
    /// Requests whose effect happened and whose answer was kept back.
    hidden: usize,
    spoilt: usize,
}

struct Shared {
    wire: Wire,
    server: SocketAddr,
    clock: Clock,
    state: Mutex<State>,
    traffic: Traffic,
    /// How long a black hole holds a connection: longer than the client waits.
    holds: Duration,
}

pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    pub async fn start(wire: Wire, server: SocketAddr, clock: Clock, holds: Duration, traffic: Traffic) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let shared = Shared { wire, server, clock, state: Mutex::default(), traffic, holds };
        let shared = Arc::new(shared);
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Proxy { address, shared, task }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Spoil that many requests: the first at once, and before each next one more passes than before the last.
    pub fn spoil(&self, fault: Fault, times: usize) {
        self.state().schedule = Schedule { fault: Some(fault), left: times, ..Schedule::default() };
    }

    /// From now on all is well.
    pub fn heal(&self) {
        self.state().schedule.left = 0;
    }

    pub fn is_spoiling(&self) -> bool {
        self.state().schedule.left > 0
    }

    pub fn problems(&self) -> Vec<String> {
        self.state().problems.clone()
    }

    pub fn hidden(&self) -> usize {
        self.state().hidden
    }

    pub fn spoilt(&self) -> usize {
        self.state().spoilt
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no holder panics")
    }
}

impl Shared {
    /// What becomes of a request that came now.
    fn next(&self) -> Option<Fault> {
        self.traffic.send_modify(|seen| *seen += 1);
        let now_us = (self.clock)();
        let mut state = self.state.lock().expect("no holder panics");
        if now_us < state.not_before_us {
            let early_us = state.not_before_us - now_us;
            state.problems.push(format!("{early_us} us before the time that was named"));
        }
        let schedule = &mut state.schedule;
        let fault = schedule.fault.filter(|_| schedule.left > 0)?;
        if schedule.pass > 0 {
            schedule.pass -= 1;
            return None;
        }
        schedule.after += 1;
        schedule.pass = schedule.after;
        schedule.left -= 1;
        state.spoilt += 1;
        state.hidden += usize::from(fault.hides_an_effect());
        Some(fault)
    }

    /// The header's value, and from when on the client may come again.
    fn asked(&self, form: Form) -> String {
        let now_us = (self.clock)();
        // Dates have whole seconds.
        let until_us = (now_us + ASKED_US + 999_999).div_euclid(1_000_000) * 1_000_000;
        let until = chrono::DateTime::from_timestamp_micros(until_us).expect("a time");
        let (text, until_us) = match form {
            Form::Seconds => ((ASKED_US / 1_000_000).to_string(), now_us + ASKED_US),
            Form::Imf => (until.format("%a, %d %b %Y %H:%M:%S GMT").to_string(), until_us),
            Form::Rfc850 => (until.format("%A, %d-%b-%y %H:%M:%S GMT").to_string(), until_us),
            Form::Asctime => (until.format("%a %b %e %H:%M:%S %Y").to_string(), until_us),
        };
        self.state.lock().expect("no holder panics").not_before_us = until_us;
        text
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // A connection that breaks is what this is for.
        tokio::spawn(async move {
            match shared.wire {
                Wire::Http => serve_http(client, &shared).await,
                Wire::Smtp => serve_smtp(client, &shared).await,
                Wire::Line => serve_line(client, &shared).await,
            }
        });
    }
}

async fn serve_http(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(request) = read_message(&mut client, &mut buffer).await? {
        let fault = shared.next();
        let said = match fault {
            Some(Fault::Busy(form)) => head(429, &format!("Retry-After: {}\r\n", shared.asked(form))),
            Some(Fault::Status(status)) => head(status, ""),
            Some(Fault::Reset) => return client.set_zero_linger(),
            Some(Fault::BlackHole) => return hold(client, shared).await,
            Some(Fault::Twice) if [&b"GET "[..], b"PUT ", b"DELETE "].iter().any(|verb| request.starts_with(verb)) => {
                forward(shared.server, &request).await?;
                forward(shared.server, &request).await?
            }
            _ => forward(shared.server, &request).await?,
        };
        match fault {
            Some(Fault::Lost) => return client.set_zero_linger(),
            Some(Fault::Covered) => client.write_all(&head(502, "")).await?,
            Some(Fault::CutShort) => {
                client.write_all(&said[..said.len() - 1]).await?;
                return client.shutdown().await;
            }
            Some(Fault::Drip) => return drip(client, b"HTTP/1.1 200 OK\r\nX-Padding: ").await,
            Some(Fault::Trickle) => trickle(&mut client, &said).await?,
            _ => client.write_all(&said).await?,
        }
    }
    Ok(())
}

/// A session's fault is its first reply, or that of the mail itself.
async fn serve_smtp(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let fault = shared.next();
    match fault {
        Some(Fault::Busy(_) | Fault::Status(_)) => return client.write_all(b"421 4.3.2 come back later\r\n").await,
        Some(Fault::Reset) => return client.set_zero_linger(),
        Some(Fault::BlackHole) => return hold(client, shared).await,
        _ => {}
    }
    let mut server = TcpStream::connect(shared.server).await?;
    let (mut sent, mut said, mut tail) = (vec![0; 64 * 1024], vec![0; 64 * 1024], Vec::new());
    loop {
        tokio::select! {
            read = client.read(&mut sent) => {
                let sent = &sent[..read?];
                if sent.is_empty() {
                    return Ok(());
                }
                tail.extend_from_slice(sent);
                server.write_all(sent).await?;
            }
            read = server.read(&mut said) => {
                let said = &said[..read?];
                if said.is_empty() {
                    return Ok(());
                }
                let taken = tail.ends_with(b"\r\n.\r\n");
                match fault {
                    Some(Fault::Lost | Fault::Covered | Fault::CutShort) if taken => return client.set_zero_linger(),
                    Some(Fault::Drip) if taken => return drip(client, b"250-").await,
                    Some(Fault::Trickle) => trickle(&mut client, said).await?,
                    _ => client.write_all(said).await?,
                }
            }
        }
    }
}

async fn serve_line(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let fault = shared.next();
    match fault {
        Some(Fault::Reset | Fault::Busy(_) | Fault::Status(_)) => return client.set_zero_linger(),
        Some(Fault::BlackHole) => return hold(client, shared).await,
        _ => {}
    }
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        if client.read_buf(&mut line).await? == 0 {
            return Ok(());
        }
    }
    let mut server = TcpStream::connect(shared.server).await?;
    server.write_all(&line).await?;
    let mut said = Vec::new();
    server.read_to_end(&mut said).await?;
    match fault {
        Some(Fault::Lost | Fault::Covered | Fault::CutShort) => client.set_zero_linger(),
        Some(Fault::Drip) => drip(client, b"").await,
        Some(Fault::Trickle) => trickle(&mut client, &said).await,
        _ => client.write_all(&said).await,
    }
}

fn head(status: u16, more: &str) -> Vec<u8> {
    let body = r#"{"message":"told to fail"}"#;
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} Told\r\n{more}Content-Type: application/json\r\nContent-Length: {length}\r\n");
    format!("{head}\r\n{body}").into_bytes()
}

/// One request to the server on a connection of its own; the whole answer.
async fn forward(server: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    server.write_all(request).await?;
    let answer = read_message(&mut server, &mut Vec::new()).await?;
    answer.ok_or_else(|| io::Error::other("the server closed before it answered"))
}

/// A request or an answer, with the length that its head names; `None` at the end of the connection.
async fn read_message(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            assert!(!head.contains("transfer-encoding"), "a length is expected: {head}");
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            let whole = end + 4 + length.unwrap_or(0);
            if buffer.len() >= whole {
                return Ok(Some(buffer.drain(..whole).collect()));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

async fn trickle(client: &mut TcpStream, said: &[u8]) -> io::Result<()> {
    client.set_nodelay(true)?;
    for byte in said {
        client.write_all(&[*byte]).await?;
        client.flush().await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Until the client has had enough.
async fn drip(mut client: TcpStream, start: &[u8]) -> io::Result<()> {
    client.write_all(start).await?;
    let mut beat = tokio::time::interval(Duration::from_millis(10));
    loop {
        beat.tick().await;
        client.write_all(b"x").await?;
    }
}

/// Reads nothing, says nothing; closed at last, as a firewall forgets a connection.
async fn hold(client: TcpStream, shared: &Shared) -> io::Result<()> {
    tokio::time::sleep(shared.holds).await;
    drop(client);
    Ok(())
}
