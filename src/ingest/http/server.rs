//! The HTTP listeners: one for each address, shared by the sources that name it, each at its path.
//!
//! Promises: an address is bound when its first source is attached and let go with the last one; then requests under way
//! are answered first. A path that is configured and whose source is not attached just now is answered with 503, so that
//! senders come back. The head of a request arrives within its time, or the connection is closed.
//! Never: is called from an asynchronous task; attaching and detaching wait.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::Connected;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use axum::serve::{IncomingStream, Listener};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::answer::{Form, Refusal};
use super::{AFTER_FULL, HttpConfig, Route};
use crate::ingest::IngestError;
use crate::ingest::accept::{self, Accepting, Connection, Wire};
use crate::ingest::network::Networks;
use crate::timed::{self, NEXT_HEAD_TIME_MAX, Timed, TimedPeer};

/// What a request may take beyond the time of its body.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
/// How long requests under way may take when a listener is let go.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// All listeners of a service.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Handle,
    /// By address: the paths that the configuration names.
    known: HashMap<SocketAddr, BTreeSet<String>>,
    servers: Mutex<HashMap<SocketAddr, Server>>,
}

/// A listener that is open.
struct Server {
    routes: Arc<Routes>,
    stop: watch::Sender<bool>,
    done: JoinHandle<()>,
}

struct Routes {
    known: BTreeSet<String>,
    attached: RwLock<HashMap<String, Arc<Route>>>,
}

impl Hub {
    /// For the sources of a configuration; opens nothing yet.
    pub fn new(runtime: Handle, configs: &[&HttpConfig]) -> Hub {
        let mut known: HashMap<SocketAddr, BTreeSet<String>> = HashMap::new();
        for config in configs {
            known.entry(config.listen).or_default().insert(config.path.clone());
        }
        Hub { inner: Arc::new(Inner { runtime, known, servers: Mutex::default() }) }
    }

    /// Opens the way to a source, until what is returned is dropped.
    pub fn attach(&self, route: Route) -> Result<Attached, IngestError> {
        let (address, path) = (route.config.listen, route.config.path.clone());
        let route = Arc::new(route);
        let mut servers = self.inner.servers();
        if let Some(server) = servers.get(&address) {
            server.routes.write().insert(path.clone(), route);
        } else {
            servers.insert(address, self.inner.open(&route)?);
        }
        Ok(Attached { inner: self.inner.clone(), address, path })
    }
}

/// The way to a source; it is closed when this is dropped.
pub struct Attached {
    inner: Arc<Inner>,
    address: SocketAddr,
    path: String,
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut servers = self.inner.servers();
        let Some(server) = servers.get(&self.address) else { return };
        let mut routes = server.routes.write();
        routes.remove(&self.path);
        let is_last = routes.is_empty();
        drop(routes);
        if is_last && let Some(server) = servers.remove(&self.address) {
            // No more connections; those that are open end with the request that is under way.
            server.stop.send_replace(true);
            let done = async { tokio::time::timeout(DRAIN_TIME_MAX, server.done).await };
            if self.inner.runtime.block_on(done).is_err() {
                tracing::warn!(address = %self.address, "requests were still under way when the listener was closed");
            }
        }
    }
}

impl Inner {
    fn servers(&self) -> MutexGuard<'_, HashMap<SocketAddr, Server>> {
        // Whole servers are put in and taken out; a panic in between leaves the map usable.
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, first: &Arc<Route>) -> Result<Server, IngestError> {
        let config = &first.config;
        let tls = config.tls.as_ref().map(|tls| tls.acceptor()).transpose()?;
        let listener = accept::bind(&self.runtime, config.listen)?;
        let known = self.known.get(&config.listen).cloned().unwrap_or_default();
        // There before the first request can be.
        let attached = HashMap::from([(config.path.clone(), first.clone())]);
        let routes = Arc::new(Routes { known, attached: RwLock::new(attached) });
        let (stop, mut stopped) = watch::channel(false);
        let accepting = Accepting {
            name: first.source.clone(),
            tls,
            connections_max: config.connections_max,
            // A proxy before it is one peer; silence is short here.
            of_peer_max: config.connections_max,
            allow: Networks::default(),
            resets: false,
        };
        let app = Router::new().fallback(answer).with_state(routes.clone());
        let address = config.listen;
        let done = self.runtime.spawn(async move {
            let (connections, accepted) = accept::accept(listener, accepting);
            let incoming = Incoming { address, connections };
            let serve = axum::serve(incoming, app.into_make_service_with_connect_info::<TimedPeer>());
            let stopping = async move {
                // The sender going away is a reason to stop, too.
                let _gone = stopped.wait_for(|stop| *stop).await.is_err();
            };
            if let Err(error) = serve.with_graceful_shutdown(stopping).await {
                tracing::error!(%address, %error, "an HTTP listener failed");
            }
            // A task that panicked holds no listener any more.
            let _panicked = accepted.await.is_err();
        });
        tracing::info!(address = %config.listen, tls = config.tls.is_some(), "listening for HTTP");
        Ok(Server { routes, stop, done })
    }
}

impl Routes {
    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<String, Arc<Route>>> {
        self.attached.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, path: &str) -> Result<Arc<Route>, Refusal> {
        let path = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
        let attached = self.attached.read().unwrap_or_else(PoisonError::into_inner);
        attached.get(path).cloned().ok_or_else(|| match self.known.contains(path) {
            true => {
                let message = "the source of this path cannot take anything just now";
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", message).after(AFTER_FULL)
            }
            false => {
                Refusal::new(StatusCode::NOT_FOUND, "shape", "no source has this path; expected one of `http.path`")
            }
        })
    }
}

async fn answer(State(routes): State<Arc<Routes>>, request: Request) -> Response<Body> {
    let deadline = timed::deadline_of(&request);
    let response = match routes.find(request.uri().path()) {
        Ok(route) => {
            deadline.iter().for_each(|deadline| deadline.set(route.config.body_timeout + ANSWER_TIME_MAX));
            route.answer(request).await
        }
        Err(refusal) => refusal.answer(Form::Json),
    };
    deadline.iter().for_each(|deadline| deadline.set(NEXT_HEAD_TIME_MAX));
    response
}

/// The connections of a listener, as the server takes them.
struct Incoming {
    address: SocketAddr,
    connections: mpsc::Receiver<Connection>,
}

impl Listener for Incoming {
    type Io = Timed<Wire>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Timed<Wire>, SocketAddr) {
        match self.connections.recv().await {
            Some(Connection { wire, peer, seat }) => (Timed::new(wire, seat), peer),
            // The accepting task ends after this; there is nothing more to come.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Connected<IncomingStream<'_, Incoming>> for TimedPeer {
    fn connect_info(stream: IncomingStream<'_, Incoming>) -> TimedPeer {
        TimedPeer::of(stream.io())
    }
}
