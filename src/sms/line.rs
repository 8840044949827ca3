//! One gateway in use: its time limit, its breaker and its figures.
//!
//! Owns whether it may be asked now and how one message by it is counted. Never decides who is asked next.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::time::{self, Instant};

use super::{
    Accepted, Gateway, SendClass, SendError, Sms,
    breaker::{Breaker, BreakerSettings, BreakerState, Change},
};
use crate::metrics as names;

/// A gateway with what is known of it.
pub(super) struct Line {
    pub(super) gateway: Arc<dyn Gateway>,
    breaker: Mutex<Breaker>,
    meters: Meters,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.gateway.fmt(f)
    }
}

impl Line {
    pub(super) fn new(gateway: Arc<dyn Gateway>, breaker: BreakerSettings) -> Self {
        let meters = Meters::new(gateway.name());
        Self { gateway, breaker: Mutex::new(Breaker::new(breaker)), meters }
    }

    pub(super) fn name(&self) -> &'static str {
        self.gateway.name()
    }

    /// May it be asked now? True takes the right to: the message must follow.
    pub(super) fn admit(&self) -> bool {
        self.with_breaker(|breaker| breaker.admit(Instant::now()))
    }

    /// How long until it may be asked; zero: now.
    pub(super) fn wait(&self) -> Duration {
        self.with_breaker(|breaker| breaker.wait(Instant::now()))
    }

    /// One try, at most `limit` long, and what it did to the breaker.
    pub(super) async fn attempt(&self, sms: &Sms, limit: Duration) -> (Result<Accepted, SendError>, Option<Change>) {
        let result = match time::timeout(limit, self.gateway.send(sms)).await {
            Ok(result) => result,
            // Nobody knows how far the gateway had come.
            Err(_) => Err(SendError::new(SendClass::UnknownOutcome, format!("{} timeout", self.name()))),
        };
        let heard = result.as_ref().map(|_| ()).map_err(|error| error.class);
        let change = self.with_breaker(|breaker| breaker.heard(heard, Instant::now()));
        if let Some(change) = change {
            self.tell(change, heard);
        }
        (result, change)
    }

    /// Counts what a message by it came to.
    pub(super) fn count(&self, result: &Result<Accepted, SendError>, took: Duration) {
        self.meters.seconds.record(took);
        match result {
            Ok(_) => self.meters.accepted.increment(1),
            Err(error) => {
                for (_, counter) in self.meters.failed.iter().filter(|(class, _)| *class == error.class) {
                    counter.increment(1);
                }
            }
        }
    }

    pub(super) fn count_retry(&self) {
        self.meters.retries.increment(1);
    }

    pub(super) fn count_overload(&self) {
        self.meters.overloaded.increment(1);
    }

    fn tell(&self, change: Change, heard: Result<(), SendClass>) {
        let route = self.name();
        match (change, heard) {
            (Change::Opened, Err(SendClass::AuthFailed | SendClass::InsufficientCredit)) => {
                let class = heard.err().map(SendClass::label);
                tracing::error!(route, class, "the gateway refuses us until somebody mends it; others are used");
            }
            (Change::Opened, _) => {
                let class = heard.err().map(SendClass::label);
                tracing::warn!(route, class, "the gateway keeps failing and is left alone for a while");
            }
            (Change::Closed, _) => tracing::info!(route, "the gateway is used again"),
        }
    }

    fn with_breaker<T>(&self, act: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut breaker);
        self.meters.breaker.set(match breaker.state() {
            BreakerState::Closed => 0.0,
            BreakerState::Probing => 1.0,
            BreakerState::Open => 2.0,
        });
        result
    }
}

/// The route's metrics, their handles looked up once.
struct Meters {
    accepted: Counter,
    overloaded: Counter,
    failed: Vec<(SendClass, Counter)>,
    retries: Counter,
    seconds: Histogram,
    breaker: Gauge,
}

impl Meters {
    fn new(route: &'static str) -> Self {
        let sends = |outcome| counter!(names::SMS_SENDS, "route" => route, "outcome" => outcome);
        Self {
            accepted: sends("accepted"),
            overloaded: sends("overloaded"),
            failed: SendClass::ALL.map(|class| (class, sends(class.label()))).into(),
            retries: counter!(names::SMS_RETRIES, "route" => route),
            seconds: histogram!(names::SMS_SEND_SECONDS, "route" => route),
            breaker: gauge!(names::ROUTE_BREAKER, "route" => route),
        }
    }
}
