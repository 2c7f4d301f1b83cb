//! The HTTP routes: `/metrics`, `/healthz`, `/readyz`, `/status`.
//!
//! Promises: answers from memory and the outbox's own counts, in a moment. Any other path or method gets a fixed answer, so
//! nothing that a client writes comes back. Connections are few at a time.
//! Never: changes anything.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::anyhow;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::board::{Board, Phase};
use super::recorder::Recorder;
use super::status::{self, Status};
use crate::respond::Outbox;

/// Connections at a time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 64;

/// What the routes answer from.
#[derive(Clone)]
pub struct Shown {
    pub board: Arc<Board>,
    pub recorder: Recorder,
    pub outbox: Arc<Outbox>,
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
    axum::serve(listener, routes(shown)).with_graceful_shutdown(stopped).await
}

fn routes(shown: Shown) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_allowed)
        .with_state(shown)
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, shown.recorder.render()).into_response()
}

/// Does the step loop move?
async fn healthz(State(shown): State<Shown>) -> Response {
    let phase = shown.board.phase();
    match shown.board.stalled() {
        None => (StatusCode::OK, Json(json!({ "healthy": true, "phase": phase }))).into_response(),
        Some(since) => {
            let reason = format!("the step loop has not moved for {} s", since.as_secs());
            let body = json!({ "healthy": false, "phase": phase, "reason": reason });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
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

/// A listener that accepts a connection only when there is a place for it.
struct Few {
    listener: tokio::net::TcpListener,
    places: Arc<Semaphore>,
}

/// A connection and its place.
struct Placed {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl axum::serve::Listener for Few {
    type Io = Placed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Placed, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed");
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
        (Placed { stream, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl AsyncRead for Placed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
