//! The sending policy over the gateways: how many messages at once, who is asked, in which order, and when to stop.
//!
//! Owns the in-flight limit, failover and the one retry. Never decides whether a person may get a message, and never
//! weakens a limit: whoever is asked, it is the send that was counted (security 45). After a provider that may have
//! sent, at most one more is asked (security 44).
//!
//! ```text
//! reserve(plan) ── no slot, or all breakers open ──> certainly nothing was sent; refuse before deciding anything
//!     │
//!  SendPermit ──> send(plan) ── the first gateway whose breaker lets it
//!                   ├── accepted, or the number is at fault ───────────> SendReport
//!                   ├── certainly not sent, another may ───────────────> the next gateway, at once
//!                   ├── certainly not sent, nobody else ── short wait ─> the same once more
//!                   └── may have been sent ── once ────────────────────> the next gateway, with the same code
//! ```

use std::{fmt, sync::Arc, time::Duration};

use metrics::{Counter, Gauge, counter, gauge};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{self, Instant},
};

use super::{
    Accepted, Channel, Gateway, SendClass, SendError, SettingError, Sms,
    breaker::{BreakerSettings, Change},
    line::Line,
    routes::{Destination, Leg, Order, Plan, Routes, Way},
    statistics::{Statistics, StatisticsSettings},
};
use crate::{entropy::Entropy, guard::Country, metrics as names};

/// Limits of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderSettings {
    /// Most sends at once, waits for a retry included, 1 to 65,536. Default 512: at a usual 200 ms per send that is
    /// 2,500 a second, more than any account is allowed; beyond it the provider is stuck, and waiting only
    /// hides that.
    pub inflight_max: usize,
    /// Longest time of one try, in milliseconds, 1 to 60,000. Default 10,000. A safety net: keep it above the
    /// gateway's own limit, which knows better what a time-out means.
    pub attempt_timeout_ms: u64,
    /// Wait before the one retry, in milliseconds, up to 10,000; the true wait is drawn from half to one and
    /// a half of it, so that sends which failed together do not come back together. Default 250.
    pub retry_backoff_ms: u64,
    /// Longest `Retry-After` that is waited out, in milliseconds, up to 60,000. Default 2,000: a person waits
    /// at the other end. If the provider asks for more, there is no second try.
    pub retry_after_max_ms: u64,
    /// In which order the gateways of a row are asked.
    pub order: Order,
    /// When a gateway is left alone.
    pub breaker: BreakerSettings,
    /// How long figures last.
    pub statistics: StatisticsSettings,
}

impl Default for SenderSettings {
    fn default() -> Self {
        Self {
            inflight_max: 512,
            attempt_timeout_ms: 10_000,
            retry_backoff_ms: 250,
            retry_after_max_ms: 2_000,
            order: Order::default(),
            breaker: BreakerSettings::default(),
            statistics: StatisticsSettings::default(),
        }
    }
}

impl SenderSettings {
    /// Longest time [`Sender::send`] can take, whoever is asked: two tries and the longest wait between them; further
    /// gateways get what is left of it. A deadline after which a send without a result is taken for lost must be longer.
    pub fn longest_send(&self) -> Duration {
        let longest_wait = (self.retry_backoff_ms.saturating_mul(3) / 2).max(self.retry_after_max_ms);
        Duration::from_millis(self.attempt_timeout_ms.saturating_mul(2).saturating_add(longest_wait))
    }

    fn check(&self) -> Result<(), SettingError> {
        let table = [
            ("sender.inflight_max", (1..=65_536).contains(&self.inflight_max), "must be 1 to 65536"),
            ("sender.attempt_timeout_ms", (1..=60_000).contains(&self.attempt_timeout_ms), "must be 1 to 60000"),
            ("sender.retry_backoff_ms", self.retry_backoff_ms <= 10_000, "must be at most 10000"),
            ("sender.retry_after_max_ms", self.retry_after_max_ms <= 60_000, "must be at most 60000"),
        ];
        match table.into_iter().find(|(_, holds, _)| !holds) {
            Some((setting, _, reason)) => Err(SettingError::new(setting, reason)),
            None => Ok(()),
        }
    }
}

/// What a send came to.
#[derive(Debug, Clone)]
pub struct SendReport {
    /// The gateway that gave `result`.
    pub route: &'static str,
    /// The channel it was asked for.
    pub channel: Channel,
    /// Its answer.
    pub result: Result<Accepted, SendError>,
    /// Tries made, at all gateways together.
    pub tries: u8,
    /// How many of them may be billed: taken, or without an answer. At most 2.
    pub billed: u8,
}

/// The route of a message to a test number.
pub const TEST_ROUTE: &str = "test";

impl SendReport {
    /// What a message to a test number comes to: nothing was sent, and the code is good.
    pub fn of_a_test(way: Way) -> Self {
        let channel = match way {
            Way::Channel(channel) => channel,
            Way::Auto => Channel::Sms,
        };
        Self { route: TEST_ROUTE, channel, result: Ok(Accepted::default()), tries: 0, billed: 0 }
    }
}

/// The right to send one message. Dropping it unused gives it back.
#[must_use = "a permit that is dropped lets somebody else send"]
pub struct SendPermit {
    _permit: OwnedSemaphorePermit,
    inflight: Gauge,
}

impl Drop for SendPermit {
    fn drop(&mut self) {
        self.inflight.decrement(1.0);
    }
}

impl fmt::Debug for SendPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendPermit")
    }
}

/// Why a message cannot be sent now. Nothing was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPermit {
    /// As many sends as allowed are under way.
    Overloaded,
    /// No gateway is configured for it.
    NoRoute,
    /// Everyone who could is failing.
    AllFailing {
        /// When the first of them is asked again.
        retry_after: Duration,
    },
}

/// Who is told when a gateway is left alone or used again.
pub type OnChange = Box<dyn Fn(&'static str, Change) + Send + Sync>;

/// Sends through the gateways within the limits.
pub struct Sender {
    routes: Routes,
    lines: Vec<Line>,
    settings: SenderSettings,
    entropy: Arc<dyn Entropy>,
    slots: Arc<Semaphore>,
    inflight: Gauge,
    overloaded: Counter,
    statistics: Statistics,
    on_change: Option<OnChange>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl Sender {
    /// A sender over `routes`; the jitter of retries is drawn from `entropy`. Make it after the metrics
    /// recorder was installed: it keeps the handles.
    pub fn new(routes: Routes, settings: SenderSettings, entropy: Arc<dyn Entropy>) -> Result<Self, SettingError> {
        settings.check()?;
        let lines = routes.gateways().iter().map(|gateway| Line::new(Arc::clone(gateway), settings.breaker)).collect();
        Ok(Self {
            routes,
            lines,
            settings,
            entropy,
            slots: Arc::new(Semaphore::new(settings.inflight_max)),
            inflight: gauge!(names::SMS_INFLIGHT),
            overloaded: counter!(names::OVERLOAD, "limit" => "sms_inflight"),
            statistics: Statistics::new(settings.statistics),
            on_change: None,
        })
    }

    /// The same, telling `on_change` of every breaker that opens or closes.
    #[must_use]
    pub fn telling(self, on_change: OnChange) -> Self {
        Self { on_change: Some(on_change), ..self }
    }

    /// True if messages may leave this machine.
    pub fn is_real(&self) -> bool {
        self.lines.iter().any(|line| line.gateway.is_real())
    }

    /// The gateway of that name, if it is in use.
    pub fn gateway(&self, name: &str) -> Option<&Arc<dyn Gateway>> {
        self.lines.iter().map(|line| &line.gateway).find(|gateway| gateway.name() == name)
    }

    /// Who may be asked for a message, in the order in force.
    pub fn plan(&self, destination: Destination, way: Way) -> Plan {
        let mut plan = self.routes.plan(destination, way);
        if self.settings.order == Order::Adaptive {
            let now = Instant::now();
            // Channels stay in their order; within one, sorting is stable, so equals stay as they are written.
            let score = |leg: &Leg| {
                let name = self.lines.get(leg.line).map_or("", Line::name);
                let conversion = self.statistics.conversion(name, destination.country, now);
                // In steps of 2 %: less is noise.
                (conversion * 50.0).round()
            };
            for of_one_channel in plan.legs.chunk_by_mut(|a, b| a.channel == b.channel) {
                of_one_channel.sort_by(|a, b| score(b).total_cmp(&score(a)));
            }
        }
        plan
    }

    /// The plan with the steps first that come after this one, then those before it, and this one itself last.
    #[must_use]
    pub fn after(&self, plan: Plan, route: &str, channel: Channel) -> Plan {
        let is_used = |leg: &Leg| leg.channel == channel && self.lines.get(leg.line).is_some_and(|l| l.name() == route);
        let mut plan = plan;
        if let Some(at) = plan.legs.iter().position(is_used) {
            plan.legs.rotate_left(at + 1);
        }
        plan
    }

    /// Takes a slot, or says at once why not. To be called before the commit, so that a refusal changes nothing.
    pub fn reserve(&self, plan: &Plan) -> Result<SendPermit, NoPermit> {
        let mut waits = plan.legs.iter().filter_map(|leg| self.lines.get(leg.line)).map(Line::wait);
        let first = waits.next().ok_or(NoPermit::NoRoute)?;
        let retry_after = waits.fold(first, Duration::min);
        if !retry_after.is_zero() {
            return Err(NoPermit::AllFailing { retry_after });
        }
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(permit) => {
                self.inflight.increment(1.0);
                Ok(SendPermit { _permit: permit, inflight: self.inflight.clone() })
            }
            Err(_) => {
                self.overloaded.increment(1);
                if let Some(line) = plan.legs.first().and_then(|leg| self.lines.get(leg.line)) {
                    line.count_overload();
                }
                Err(NoPermit::Overloaded)
            }
        }
    }

    /// Sends `sms` by the first gateway of the plan that takes it, in at most [`SenderSettings::longest_send`].
    /// `permit` must come from this sender's [`reserve`](Self::reserve) and is given back at the end.
    ///
    /// Dropping the future midway leaves an unknown outcome that nobody reports: run it in a task of its own
    /// where a client's hang-up would drop it.
    pub async fn send(&self, permit: SendPermit, sms: Sms, plan: &Plan) -> SendReport {
        let mut course = Course::new(sms, &self.settings);
        let legs = self.lines_of(plan);
        for (at, (channel, line)) in legs.iter().copied().enumerate() {
            if !course.may_ask(line) {
                continue;
            }
            course.sms.channel = channel;
            let is_last = at + 1 == legs.len();
            let result = self.ask(line, &mut course, is_last).await;
            if result.is_ok() {
                self.statistics.sent(line.name(), plan.destination.country, Instant::now());
            }
            if course.ends_with((line.name(), channel), result) {
                break;
            }
        }
        drop(permit);
        course.report(plan.first_channel().unwrap_or(Channel::Sms))
    }

    fn lines_of(&self, plan: &Plan) -> Vec<(Channel, &Line)> {
        let mut lines = Vec::with_capacity(plan.legs.len());
        for leg in &plan.legs {
            lines.extend(self.lines.get(leg.line).map(|line| (leg.channel, line)));
        }
        lines
    }

    /// Asks one gateway, a second time if that is safe and nobody else is left.
    async fn ask(&self, line: &Line, course: &mut Course, is_last: bool) -> Result<Accepted, SendError> {
        let begin = Instant::now();
        let mut result = self.attempt(line, course).await;
        let wait = result.as_ref().err().and_then(|error| self.wait_before_retry(error, is_last));
        // A retry without time would turn a certain failure into an unknown outcome.
        if let Some(wait) = wait.filter(|wait| course.left() >= *wait + course.ask_min) {
            time::sleep(wait).await;
            if line.admit() {
                line.count_retry();
                result = self.attempt(line, course).await;
            }
        }
        line.count(&result, begin.elapsed());
        result
    }

    async fn attempt(&self, line: &Line, course: &mut Course) -> Result<Accepted, SendError> {
        course.tries = course.tries.saturating_add(1);
        let limit = Duration::from_millis(self.settings.attempt_timeout_ms).min(course.left());
        let (result, change) = line.attempt(&course.sms, limit).await;
        if let (Some(change), Some(on_change)) = (change, &self.on_change) {
            on_change(line.name(), change);
        }
        result
    }

    /// How long to wait before the same gateway is asked again; `None` if it must not be, or if another is at hand: a
    /// provider that is down is left at once, one that throttles is first given the moment it asks for.
    fn wait_before_retry(&self, error: &SendError, is_last: bool) -> Option<Duration> {
        if !error.class.retryable() || (error.class == SendClass::ProviderDown && !is_last) {
            return None;
        }
        let backoff = self.settings.retry_backoff_ms;
        let jittered = Duration::from_millis(backoff / 2 + self.entropy.draw() % (backoff + 1));
        match error.retry_after {
            Some(asked) if asked > Duration::from_millis(self.settings.retry_after_max_ms) => None,
            Some(asked) => Some(asked.max(jittered)),
            None => Some(jittered),
        }
    }

    /// The code of a message by this gateway was given, so long after it was sent.
    pub fn verified(&self, route: &str, country: Option<Country>, after: Duration) {
        if let Some(line) = self.line(route) {
            self.statistics.verified(line.name(), country, after, Instant::now());
        }
    }

    /// A receipt said that a message by this gateway has arrived, so long after it was sent.
    pub fn delivered(&self, route: &str, country: Option<Country>, after: Duration) {
        if let Some(line) = self.line(route) {
            self.statistics.delivered(line.name(), country, after, Instant::now());
        }
    }

    /// How long a message by this gateway may be silent before another way should be tried.
    pub fn silence(&self, route: &str, country: Option<Country>) -> Duration {
        self.line(route).map_or_else(
            || Duration::from_millis(self.settings.statistics.silence_ms),
            |line| self.statistics.silence(line.name(), country, Instant::now()),
        )
    }

    fn line(&self, route: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name() == route)
    }
}

/// A message on its way through a plan.
struct Course {
    sms: Sms,
    deadline: Instant,
    ask_min: Duration,
    tries: u8,
    /// Tries that may have sent it; the first of them is kept.
    uncertain: u8,
    unknown: Option<(&'static str, Channel, SendError)>,
    /// What the last gateway said that was asked.
    last: Option<(&'static str, Channel, Result<Accepted, SendError>)>,
}

/// Less time than this, or than a whole try, is none: a gateway that is asked for so short can only leave another unknown
/// outcome.
const ASK_MIN: Duration = Duration::from_millis(500);

impl Course {
    fn new(sms: Sms, settings: &SenderSettings) -> Self {
        let deadline = Instant::now() + settings.longest_send();
        let ask_min = ASK_MIN.min(Duration::from_millis(settings.attempt_timeout_ms));
        Self { sms, deadline, ask_min, tries: 0, uncertain: 0, unknown: None, last: None }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Is there time, and does its breaker let it?
    fn may_ask(&self, line: &Line) -> bool {
        (self.tries == 0 || self.left() >= self.ask_min) && line.admit()
    }

    /// Takes in an answer; true if nobody else is to be asked.
    fn ends_with(&mut self, (route, channel): (&'static str, Channel), result: Result<Accepted, SendError>) -> bool {
        let ends = match &result {
            Ok(_) => true,
            Err(error) if error.class.certain() => !error.class.others_may(),
            Err(error) => {
                self.uncertain = self.uncertain.saturating_add(1);
                self.unknown.get_or_insert_with(|| (route, channel, error.clone()));
                self.uncertain >= UNCERTAIN_MAX
            }
        };
        self.last = Some((route, channel, result));
        ends
    }

    /// What the whole came to: a message that somebody may have sent is not one that certainly failed.
    fn report(self, channel: Channel) -> SendReport {
        let accepted = self.last.as_ref().is_some_and(|(_, _, result)| result.is_ok());
        let (route, channel, result) = match (self.last, self.unknown) {
            (Some(last), _) if accepted => last,
            (_, Some((route, channel, error))) => (route, channel, Err(error)),
            (Some(last), None) => last,
            // All breakers opened since the permit was given.
            (None, None) => ("other", channel, Err(SendError::new(SendClass::ProviderDown, "no gateway is left"))),
        };
        SendReport { route, channel, result, tries: self.tries, billed: self.uncertain + u8::from(accepted) }
    }
}

/// Most tries of one message that may have sent it (security 44).
pub const UNCERTAIN_MAX: u8 = 2;

#[cfg(test)]
mod tests;
