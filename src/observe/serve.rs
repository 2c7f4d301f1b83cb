//! The HTTP routes: `/metrics`, `/healthz`, `/readyz`, `/status`; those of `api` and `approval` are under the same roof.
//!
//! Promises: answers from memory and the outbox's own counts, in a moment. Any other path or method gets a fixed answer, so
//! nothing that a client writes comes back. Connections are few at a time, and fewer of one peer; one that says nothing is closed,
//! and makes room for a new one at once where there is none. So nobody who only connects keeps the others out.
//! Never: changes anything; `api` and `approval` do, for who may.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use axum::extract::State;
use axum::extract::connect_info::Connected;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::IncomingStream;
use axum::{Json, Router, middleware};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::api::Access;
use super::board::{Board, Phase};
use super::recorder::Recorder;
use super::status::{self, Status};
use crate::ingest::network::one_peer;
use crate::respond::Outbox;
use crate::timed::{self, Deadline, Timed, TimedPeer};

/// Connections at a time. One more closes the one that has waited longest without a request; where all are being answered, the
/// new one is closed.
const CONNECTIONS_MAX: usize = 256;
/// Of one peer; with one more the same among its own.
const CONNECTIONS_OF_PEER_MAX: usize = CONNECTIONS_MAX / 8;
/// From connecting to the end of the first head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);

/// What the routes answer from.
#[derive(Clone)]
pub struct Shown {
    pub board: Arc<Board>,
    pub recorder: Recorder,
    pub outbox: Arc<Outbox>,
    /// Who may do something over HTTP.
    pub access: Access,
}

/// Takes the address, or says whose key to change.
pub fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "observe.listen: {address} is in use, perhaps by another copy of Gatewatch; expected a free address, or off"
        ),
        _ => anyhow!("observe.listen: {address}: {error}"),
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers until `stop` is said.
pub async fn serve(listener: TcpListener, shown: Shown, mut stop: watch::Receiver<bool>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let listener = Few { listener, places: Arc::default() };
    let stopped = async move {
        // A dropped sender means the same as a spoken word.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let routes = routes(shown).into_make_service_with_connect_info::<TimedPeer>();
    axum::serve(listener, routes).with_graceful_shutdown(stopped).await
}

fn routes(shown: Shown) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_allowed)
        .merge(super::approval::routes())
        .layer(middleware::from_fn(timed::limit))
        .with_state(shown)
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, shown.recorder.render()).into_response()
}

async fn healthz(State(shown): State<Shown>) -> Response {
    let (code, body) = health_of(&shown.board);
    (code, Json(body)).into_response()
}

/// Does the step loop move?
fn health_of(board: &Board) -> (StatusCode, serde_json::Value) {
    let phase = board.phase();
    match board.unhealthy() {
        None => (StatusCode::OK, json!({ "healthy": true, "phase": phase })),
        Some(reason) => {
            (StatusCode::SERVICE_UNAVAILABLE, json!({ "healthy": false, "phase": phase, "reason": reason }))
        }
    }
}

/// Is everything open that can be? A source that fails and is retried does not keep the others from being read.
async fn readyz(State(shown): State<Shown>) -> Response {
    let phase = shown.board.phase();
    let ready = phase == Phase::Running;
    let sources: serde_json::Map<String, serde_json::Value> =
        status::sources_in_words(&shown.board).into_iter().collect();
    let lake = if phase == Phase::Starting { "opening" } else { "open" };
    let body = json!({ "ready": ready, "phase": phase, "lake": lake, "sources": sources });
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(body)).into_response()
}

async fn status(State(shown): State<Shown>) -> Json<Status> {
    Json(Status::of(&shown.board, &shown.recorder.samples(), &shown.outbox).await)
}

async fn nothing_here() -> Response {
    let body = json!({ "error": "nothing is here", "paths": ["/metrics", "/healthz", "/readyz", "/status"] });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

async fn not_allowed() -> Response {
    let allow = [(header::ALLOW, "GET, HEAD")];
    (StatusCode::METHOD_NOT_ALLOWED, allow, Json(json!({ "error": "expected GET or HEAD" }))).into_response()
}

/// A listener with few places.
struct Few {
    listener: tokio::net::TcpListener,
    places: Arc<Places>,
}

/// Who is connected.
#[derive(Default)]
struct Places {
    seats: Mutex<Seats>,
}

#[derive(Default)]
struct Seats {
    /// The number of the next one.
    next: u64,
    taken: Vec<Seat>,
}

struct Seat {
    n: u64,
    peer: IpAddr,
    deadline: Arc<Deadline>,
}

/// Gives its place back when the connection is gone.
struct Place {
    n: u64,
    places: Arc<Places>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.seats().taken.retain(|seat| seat.n != self.n);
    }
}

impl Places {
    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, if need be that of a connection that waits; none where all are being answered.
    fn take(self: &Arc<Places>, address: IpAddr, deadline: &Arc<Deadline>) -> Option<Place> {
        let (mut seats, peer) = (self.seats(), one_peer(address));
        let of_peer = seats.taken.iter().filter(|seat| seat.peer == peer).count();
        if of_peer >= CONNECTIONS_OF_PEER_MAX {
            seats.make_room(|seat| seat.peer == peer)?;
        } else if seats.taken.len() >= CONNECTIONS_MAX {
            seats.make_room(|_| true)?;
        }
        let n = seats.next;
        seats.next += 1;
        seats.taken.push(Seat { n, peer, deadline: Arc::clone(deadline) });
        Some(Place { n, places: Arc::clone(self) })
    }
}

impl Seats {
    /// Closes one of these that waits: before the others one that never said anything, the longest first.
    fn make_room(&mut self, among: impl Fn(&Seat) -> bool) -> Option<()> {
        let waiting = self.taken.iter().enumerate().filter(|(_, seat)| among(seat));
        let waiting = waiting.filter_map(|(at, seat)| Some((seat.deadline.is_silent(), seat.deadline.waited()?, at)));
        let (_, _, at) = waiting.max_by_key(|(silent, waited, at)| (*silent, *waited, std::cmp::Reverse(*at)))?;
        self.taken.remove(at).deadline.close();
        Some(())
    }
}

impl axum::serve::Listener for Few {
    type Io = Timed<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Timed<TcpStream>, SocketAddr) {
        loop {
            let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
            let deadline = Arc::new(Deadline::new(HEAD_TIME_MAX));
            if let Some(place) = self.places.take(address.ip(), &deadline) {
                return (Timed::with(stream, place, deadline), address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Few>> for TimedPeer {
    fn connect_info(stream: IncomingStream<'_, Few>) -> TimedPeer {
        TimedPeer::of(stream.io()).at(*stream.remote_addr())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::observe::board::testing::board;

    async fn ask(from: &str, to: SocketAddr) -> String {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::new(from.parse().expect("an address"), 0)).expect("a loopback address");
        let mut stream = socket.connect(to).await.expect("connects");
        let request = b"GET /healthz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        answer
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_only_connects_keeps_nobody_out() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let places: Arc<Places> = Arc::default();
        let few = Few { listener, places: Arc::clone(&places) };
        let routes = Router::new().route("/healthz", get(async || "well")).layer(middleware::from_fn(timed::limit));
        let routes = routes.into_make_service_with_connect_info::<TimedPeer>();
        let serving = tokio::spawn(async move { axum::serve(few, routes).await });
        let mut silent = Vec::new();
        for _ in 0..300 {
            silent.push(TcpStream::connect(address).await.expect("connects"));
        }
        for from in ["127.0.0.2", "127.0.0.1"] {
            let answer = tokio::time::timeout(Duration::from_secs(2), ask(from, address)).await.expect("at once");
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("well"), "{from}: {answer}");
        }
        assert!(places.seats().taken.len() <= CONNECTIONS_OF_PEER_MAX, "one peer has its part and no more");
        // The first of them was closed for a later one.
        let closed = tokio::time::timeout(Duration::from_secs(2), silent[0].read(&mut [0; 1])).await.expect("at once");
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
        // From many peers: the places are all taken, and still there is one.
        for n in 0..300 {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            let from = format!("127.0.1.{}:0", n % 200 + 1);
            socket.bind(from.parse().expect("an address")).expect("a loopback address");
            silent.push(socket.connect(address).await.expect("connects"));
        }
        let answer = tokio::time::timeout(Duration::from_secs(2), ask("127.0.0.3", address)).await.expect("at once");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(places.seats().taken.len() <= CONNECTIONS_MAX);
        serving.abort();
    }

    #[test]
    fn a_loop_that_hangs_is_unhealthy() {
        let (board, seconds) = board();
        seconds.store(1000, Ordering::Relaxed);
        assert_eq!(health_of(&board).0, 200, "it starts");
        board.beat();
        seconds.store(1060, Ordering::Relaxed);
        assert_eq!(health_of(&board).0, 200);
        seconds.store(1061, Ordering::Relaxed);
        let (code, body) = health_of(&board);
        assert_eq!((code.as_u16(), &body["healthy"]), (503, &json!(false)));
        assert_eq!(body["reason"], "the step loop has not moved for 61 s");
        board.beat();
        assert_eq!(health_of(&board).0, 200, "it goes on");
        seconds.store(2000, Ordering::Relaxed);
        board.set_phase(Phase::Stopping);
        assert_eq!(health_of(&board).0, 200, "it ends");
    }
}
