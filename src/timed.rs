//! How long a connection of an HTTP listener may take: to send the head of a request, to be answered, to send the next one.
//!
//! Promises: a connection past its deadline fails at once, whoever waits for it, and gives its place back. So connections
//! that say nothing cannot keep the others out for longer than that, and one that waits can be closed to make room.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use axum::extract::connect_info::ConnectInfo;
use axum::middleware::Next;
use axum::response::Response;
use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::clock::Stopwatch;

/// From connecting to the end of the first head.
const FIRST_HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// From an answer to the end of the next head; longer than senders keep an idle connection.
pub const NEXT_HEAD_TIME_MAX: Duration = Duration::from_secs(90);
/// For a request with one, to the end of its answer.
const BODY_TIME_MAX: Duration = Duration::from_secs(15);
/// For a request without a body.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// What a request knows of its connection.
#[derive(Clone)]
pub struct TimedPeer {
    deadline: Arc<Deadline>,
    /// Where it came from, where the listener says.
    pub address: Option<SocketAddr>,
}

impl TimedPeer {
    /// To be called by the `Connected` of a listener.
    pub fn of<I>(connection: &Timed<I>) -> TimedPeer {
        TimedPeer { deadline: connection.deadline.clone(), address: None }
    }

    pub fn at(self, address: SocketAddr) -> TimedPeer {
        TimedPeer { address: Some(address), ..self }
    }
}

/// That of the connection on which a request came.
pub fn deadline_of(request: &Request) -> Option<Arc<Deadline>> {
    request.extensions().get::<ConnectInfo<TimedPeer>>().map(|info| info.0.deadline.clone())
}

/// Where the request came from.
pub fn peer_of(request: &Request) -> Option<SocketAddr> {
    request.extensions().get::<ConnectInfo<TimedPeer>>().and_then(|info| info.0.address)
}

/// Layer of a router whose requests have small bodies or none: sets the deadline for the answer and for the next head.
pub async fn limit(request: Request, next: Next) -> Response {
    let deadline = deadline_of(&request);
    let time = if request.method().is_safe() { ANSWER_TIME_MAX } else { BODY_TIME_MAX };
    deadline.iter().for_each(|deadline| deadline.answers_within(time));
    let response = next.run(request).await;
    deadline.iter().for_each(|deadline| deadline.waits_for(NEXT_HEAD_TIME_MAX));
    response
}

/// When a connection is closed unless something happens before.
pub struct Deadline {
    since: Stopwatch,
    at_ms: AtomicU64,
    /// Since when it waits for a head; never while a request is being answered.
    waits_ms: AtomicU64,
    /// Whoever waits for the connection.
    waiting: AtomicWaker,
}

/// Not at all.
const NEVER: u64 = u64::MAX;

impl Deadline {
    /// Of a connection that has so long for its first head.
    pub fn new(first_head: Duration) -> Deadline {
        Deadline {
            since: Stopwatch::start(),
            at_ms: AtomicU64::new(millis(first_head)),
            waits_ms: AtomicU64::new(0),
            waiting: AtomicWaker::new(),
        }
    }

    fn answers_within(&self, time: Duration) {
        self.waits_ms.store(NEVER, Ordering::Relaxed);
        self.set(time);
    }

    fn waits_for(&self, time: Duration) {
        // From the first head on it is not silent any more.
        self.waits_ms.store(millis(self.since.elapsed()).max(1), Ordering::Relaxed);
        self.set(time);
    }

    /// For how long it has waited for a head; none while a request is being answered.
    pub fn waited(&self) -> Option<Duration> {
        let since_ms = Some(self.waits_ms.load(Ordering::Relaxed)).filter(|ms| *ms != NEVER)?;
        Some(self.since.elapsed().saturating_sub(Duration::from_millis(since_ms)))
    }

    /// Whether it has never sent a head.
    pub fn is_silent(&self) -> bool {
        self.waits_ms.load(Ordering::Relaxed) == 0
    }

    /// The connection fails now.
    pub fn close(&self) {
        self.at_ms.store(0, Ordering::Relaxed);
        self.waiting.wake();
    }

    pub fn set(&self, from_now: Duration) {
        self.at_ms.store(millis(self.since.elapsed() + from_now), Ordering::Relaxed);
    }

    fn left(&self) -> Duration {
        let at_ms = self.at_ms.load(Ordering::Relaxed);
        Duration::from_millis(at_ms.saturating_sub(millis(self.since.elapsed())))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A connection that fails once its deadline is past. It keeps its place among those that may be open until it is closed.
pub struct Timed<I> {
    io: I,
    _place: Box<dyn Send + Sync>,
    deadline: Arc<Deadline>,
    /// Wakes whoever waits at the deadline that it was made for.
    alarm: Option<(u64, Pin<Box<Sleep>>)>,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Timed<I> {
    pub fn new(io: I, place: impl Send + Sync + 'static) -> Timed<I> {
        Timed::with(io, place, Arc::new(Deadline::new(FIRST_HEAD_TIME_MAX)))
    }

    pub fn with(io: I, place: impl Send + Sync + 'static, deadline: Arc<Deadline>) -> Timed<I> {
        Timed { io, _place: Box::new(place), deadline, alarm: None }
    }

    fn poll<T>(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut I>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let this = self.get_mut();
        if this.deadline.left().is_zero() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        match act(Pin::new(&mut this.io), context) {
            Poll::Pending => this.wait(context),
            ready => ready,
        }
    }

    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.deadline.waiting.register(context.waker());
        loop {
            let left = self.deadline.left();
            if left.is_zero() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            let at_ms = self.deadline.at_ms.load(Ordering::Relaxed);
            let (armed_ms, alarm) = self.alarm.get_or_insert_with(|| (at_ms, Box::pin(tokio::time::sleep(left))));
            if *armed_ms != at_ms {
                (*armed_ms, *alarm) = (at_ms, Box::pin(tokio::time::sleep(left)));
            }
            if alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            // It rang; the deadline says whether it was moved meanwhile.
            self.alarm = None;
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Timed<I> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll(context, |io, context| io.poll_read(context, into))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Timed<I> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(context, |io, context| io.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(context, |io, context| io.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(context, |io, context| io.poll_shutdown(context))
    }
}
