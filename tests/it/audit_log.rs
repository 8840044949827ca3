//! The audit events of the whole process, kept by request id: a test that names its requests finds its own.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, OnceLock},
    time::Duration,
};

use tracing::{
    Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt as _};

/// What an event said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Event {
    pub(crate) event: String,
    pub(crate) outcome: String,
    request_id: String,
}

impl Visit for Event {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "event" => value.clone_into(&mut self.event),
            "outcome" => value.clone_into(&mut self.outcome),
            "request_id" => value.clone_into(&mut self.request_id),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// The events so far, the newest of each request.
#[derive(Debug, Default)]
pub(crate) struct AuditLog(Mutex<BTreeMap<String, Event>>);

impl AuditLog {
    /// Waits up to ten seconds for the event of a request.
    pub(crate) async fn wait_for(&self, request_id: &str) -> Event {
        for _ in 0..1_000 {
            if let Some(event) = self.0.lock().unwrap().get(request_id).cloned() {
                return event;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no audit event of request {request_id}")
    }
}

struct Collect(&'static AuditLog);

impl<S: Subscriber> Layer<S> for Collect {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "audit" {
            let mut heard = Event::default();
            event.record(&mut heard);
            self.0.0.lock().unwrap().insert(heard.request_id.clone(), heard);
        }
    }
}

/// Collects from now on; the process has one log.
pub(crate) fn install() -> &'static AuditLog {
    static LOG: OnceLock<AuditLog> = OnceLock::new();
    static INSTALLED: OnceLock<()> = OnceLock::new();
    let log = LOG.get_or_init(AuditLog::default);
    INSTALLED.get_or_init(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Collect(log))).unwrap();
    });
    log
}
