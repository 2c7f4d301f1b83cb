//! The HTTP routes: `/metrics`, `/healthz`, `/readyz`, `/status`; those of `api` and `approval` are under the same roof.
//!
//! Promises: answers from memory and the outbox's own counts, in a moment. Any other path or method gets a fixed answer, so
//! nothing that a client writes comes back. Connections are few at a time, and one that says nothing is closed.
//! Never: changes anything; `api` and `approval` do, for who may.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

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
use tokio::sync::{Semaphore, watch};

use super::api::Access;
use super::board::{Board, Phase};
use super::recorder::Recorder;
use super::status::{self, Status};
use crate::respond::Outbox;
use crate::timed::{self, Timed, TimedPeer};

/// Connections at a time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 64;

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
    let listener = Few { listener, places: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
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

/// A listener that accepts a connection only when there is a place for it. Silent ones give theirs back in time.
struct Few {
    listener: tokio::net::TcpListener,
    places: Arc<Semaphore>,
}

impl axum::serve::Listener for Few {
    type Io = Timed<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Timed<TcpStream>, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed");
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
        (Timed::new(stream, place), address)
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

    use super::*;
    use crate::observe::board::testing::board;

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
