//! Traces by OpenTelemetry: spans of batches read, checkpoints and deliveries go to a collector (OTLP over HTTP), when one is
//! configured.
//!
//! Promises: a span holds names of the configuration, numbers and times; never content. A collector that is away costs
//! spans, not time: what does not fit the queue is dropped, and said.
//! Never: reads a span back.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter as OtlpExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor};
use tracing_subscriber::Layer;

use crate::clock::Stopwatch;
use crate::telemetry::Collector;

/// Spans that wait to be sent; more are dropped.
const QUEUE_SPANS_MAX: usize = 4_096;
/// Spans of one request, and how long they wait for others.
const BATCH_SPANS_MAX: usize = 512;
const BATCH_AGE_MAX: Duration = Duration::from_secs(1);
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// What is left may take this long when the service stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
const TELL_AGAIN: Duration = Duration::from_secs(600);

/// Keeps the sending side; `finish` sends what is left.
pub struct Traces(SdkTracerProvider);

/// A collector at `endpoint`, to be given to the log.
pub fn start(endpoint: &str, instance: &str) -> anyhow::Result<(Traces, Collector)> {
    let address = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let mut exporter = OtlpExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(address)
        .with_timeout(SEND_TIMEOUT)
        .build()
        .context("observe.otlp.endpoint")?;
    let instance = opentelemetry::KeyValue::new("service.instance.id", instance.to_owned());
    let resource = Resource::builder_empty().with_service_name("gatewatch").with_attribute(instance).build();
    exporter.set_resource(&resource);
    let (sender, queue) = sync_channel(QUEUE_SPANS_MAX);
    let thread = std::thread::Builder::new().name("traces".to_owned()).spawn(move || send_all(&queue, &exporter))?;
    let queued = Queued { sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) };
    let provider = SdkTracerProvider::builder().with_span_processor(queued).with_resource(resource).build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("gatewatch"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false);
    Ok((Traces(provider), layer.boxed()))
}

impl Traces {
    /// Sends what is left, for a moment at most.
    pub fn finish(&self) {
        if let Err(error) = self.0.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::debug!(%error, "spans are left");
        }
    }
}

/// Spans on their way to the sending thread, which has an async runtime of its own.
#[derive(Debug)]
struct Queued {
    sender: Mutex<Option<SyncSender<SpanData>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl SpanProcessor for Queued {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        let sender = self.sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Full: the collector is away, which the sending side says.
        let _dropped = sender.as_ref().is_some_and(|sender| sender.try_send(span).is_err());
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        drop(self.sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let Some(thread) = thread else { return Err(OTelSdkError::AlreadyShutdown) };
        let since = Stopwatch::start();
        while !thread.is_finished() {
            if since.elapsed() > timeout {
                return Err(OTelSdkError::Timeout(timeout));
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// The thread's body: ends when the queue is closed and empty.
fn send_all(queue: &Receiver<SpanData>, exporter: &OtlpExporter) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "no traces: their thread has no async runtime"),
    };
    let mut told: Option<Stopwatch> = None;
    let mut open = true;
    while open {
        let mut batch = Vec::new();
        let since = Stopwatch::start();
        while batch.len() < BATCH_SPANS_MAX && open {
            match queue.recv_timeout(BATCH_AGE_MAX.saturating_sub(since.elapsed())) {
                Ok(span) => batch.push(span),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
        }
        if batch.is_empty() {
            continue;
        }
        let spans = batch.len();
        match runtime.block_on(exporter.export(batch)) {
            Ok(()) if told.take().is_some() => tracing::info!("the collector of traces answers again"),
            Ok(()) => {}
            Err(error) if told.is_none_or(|since| since.elapsed() > TELL_AGAIN) => {
                told = Some(Stopwatch::start());
                tracing::warn!(spans, "the collector of traces (observe.otlp.endpoint) does not take spans: {error}");
            }
            Err(_) => {}
        }
    }
}
