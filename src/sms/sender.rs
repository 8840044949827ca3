//! The sending policy over one gateway: how many at once, how long, and whether to try again.
//!
//! Owns the in-flight limit, the safety-net time limit, the one retry and the metrics of a route. Never
//! decides whether a person may get an SMS, and never weakens a limit: a retry belongs to the send that was
//! counted (security 45). Never repeats a send that may have happened (security 44).
//!
//! ```text
//! reserve() ── none left ──> None: certainly nothing was sent; refuse before deciding anything
//!     │
//!  SendPermit ──> send() ── accepted ───────────────────────────> SendReport
//!                   │ ── refused, retryable, wait is short ──> wait, one more try ──> SendReport
//!                   └── refused otherwise, or unknown ────────> SendReport
//! ```

use std::{fmt, sync::Arc, time::Duration};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{self, Instant},
};

use super::{Accepted, Gateway, SendClass, SendError, SettingError, Sms};
use crate::entropy::Entropy;

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
}

impl Default for SenderSettings {
    fn default() -> Self {
        Self { inflight_max: 512, attempt_timeout_ms: 10_000, retry_backoff_ms: 250, retry_after_max_ms: 2_000 }
    }
}

impl SenderSettings {
    /// Longest time [`Sender::send`] can take: two tries and the wait between them. A deadline after which
    /// a send without a result is taken for lost must be longer.
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
    /// The gateway's name.
    pub route: &'static str,
    /// The provider's answer to the last try.
    pub result: Result<Accepted, SendError>,
    /// Tries made, 1 or 2.
    pub tries: u8,
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

/// Sends through one gateway within the limits.
#[derive(Debug)]
pub struct Sender {
    gateway: Arc<dyn Gateway>,
    settings: SenderSettings,
    entropy: Arc<dyn Entropy>,
    slots: Arc<Semaphore>,
    meters: Meters,
}

impl Sender {
    /// A sender over `gateway`; the jitter of retries is drawn from `entropy`. Make it after the metrics
    /// recorder was installed: it keeps the handles.
    pub fn new(
        gateway: Arc<dyn Gateway>,
        settings: SenderSettings,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, SettingError> {
        settings.check()?;
        let meters = Meters::new(gateway.name());
        Ok(Self { gateway, settings, entropy, slots: Arc::new(Semaphore::new(settings.inflight_max)), meters })
    }

    /// The gateway's name: the route in metrics and answers.
    pub fn route(&self) -> &'static str {
        self.gateway.name()
    }

    /// The gateway in use of that name.
    pub fn gateway(&self, name: &str) -> Option<&Arc<dyn Gateway>> {
        (self.gateway.name() == name).then_some(&self.gateway)
    }

    /// True if messages leave this machine.
    pub fn is_real(&self) -> bool {
        self.gateway.is_real()
    }

    /// Takes a slot, or answers `None` at once if all are in use (counted as `overloaded`). To be called
    /// before the commit, so that a refusal for load changes nothing.
    pub fn reserve(&self) -> Option<SendPermit> {
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(permit) => {
                self.meters.inflight.increment(1.0);
                Some(SendPermit { _permit: permit, inflight: self.meters.inflight.clone() })
            }
            Err(_) => {
                self.meters.overloaded.increment(1);
                None
            }
        }
    }

    /// Sends `sms`, with at most one retry, in at most [`SenderSettings::longest_send`]. `permit` must come
    /// from this sender's [`reserve`](Self::reserve) and is given back at the end.
    ///
    /// Dropping the future midway leaves an unknown outcome that nobody reports: run it in a task of its own
    /// where a client's hang-up would drop it.
    pub async fn send(&self, permit: SendPermit, sms: &Sms) -> SendReport {
        let begin = Instant::now();
        let mut result = self.attempt(sms).await;
        let mut tries = 1;
        if let Some(wait) = result.as_ref().err().and_then(|error| self.wait_before_retry(error)) {
            time::sleep(wait).await;
            self.meters.retries.increment(1);
            result = self.attempt(sms).await;
            tries = 2;
        }
        self.meters.seconds.record(begin.elapsed());
        self.meters.count(&result);
        drop(permit);
        SendReport { route: self.route(), result, tries }
    }

    async fn attempt(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let limit = Duration::from_millis(self.settings.attempt_timeout_ms);
        match time::timeout(limit, self.gateway.send(sms)).await {
            Ok(result) => result,
            // Nobody knows how far the gateway had come.
            Err(_) => Err(SendError::new(SendClass::UnknownOutcome, format!("{} timeout", self.route()))),
        }
    }

    /// How long to wait before the second try; `None` if there must be none.
    fn wait_before_retry(&self, error: &SendError) -> Option<Duration> {
        if !error.class.retryable() {
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
}

/// The route's metrics, their handles looked up once.
struct Meters {
    accepted: Counter,
    overloaded: Counter,
    failed: Vec<(SendClass, Counter)>,
    retries: Counter,
    seconds: Histogram,
    inflight: Gauge,
}

impl Meters {
    fn new(route: &'static str) -> Self {
        let sends = |outcome| counter!("otpd_sms_sends_total", "route" => route, "outcome" => outcome);
        Self {
            accepted: sends("accepted"),
            overloaded: sends("overloaded"),
            failed: SendClass::ALL.map(|class| (class, sends(class.label()))).into(),
            retries: counter!("otpd_sms_retries_total", "route" => route),
            seconds: histogram!("otpd_sms_send_seconds", "route" => route),
            inflight: gauge!("otpd_sms_inflight"),
        }
    }

    fn count(&self, result: &Result<Accepted, SendError>) {
        match result {
            Ok(_) => self.accepted.increment(1),
            Err(error) => {
                for (_, counter) in self.failed.iter().filter(|(class, _)| *class == error.class) {
                    counter.increment(1);
                }
            }
        }
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meters")
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Mutex};

    use async_trait::async_trait;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::record::PhoneNumber;

    /// One scripted answer; `None` never answers.
    type Step = Option<Result<Accepted, SendError>>;

    /// Gives the scripted answers in order and notes when it was asked.
    #[derive(Debug, Default)]
    struct Scripted {
        steps: Mutex<VecDeque<Step>>,
        asked: Mutex<Vec<Instant>>,
    }

    #[async_trait]
    impl Gateway for Scripted {
        fn name(&self) -> &'static str {
            "scripted"
        }

        fn is_real(&self) -> bool {
            false
        }

        async fn send(&self, _: &Sms) -> Result<Accepted, SendError> {
            self.asked.lock().unwrap().push(Instant::now());
            let step = self.steps.lock().unwrap().pop_front().expect("a step is left");
            match step {
                Some(result) => result,
                None => std::future::pending().await,
            }
        }
    }

    /// Draws the same number always.
    #[derive(Debug)]
    struct Fixed(u64);

    impl Entropy for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.copy_from_slice(&self.0.to_le_bytes());
        }
    }

    fn sms() -> Sms {
        Sms::notice(1, PhoneNumber::from_e164("+989123456789").unwrap(), "482913")
    }

    fn failure(class: SendClass, retry_after_ms: Option<u64>) -> Step {
        Some(Err(SendError { class, detail: "x".to_owned(), retry_after: retry_after_ms.map(Duration::from_millis) }))
    }

    fn sender(steps: Vec<Step>, draw: u64, inflight_max: usize) -> (Sender, Arc<Scripted>) {
        let gateway = Arc::new(Scripted { steps: Mutex::new(steps.into()), ..Scripted::default() });
        let settings = SenderSettings { inflight_max, ..SenderSettings::default() };
        (Sender::new(gateway.clone(), settings, Arc::new(Fixed(draw))).unwrap(), gateway)
    }

    /// The gap between the two tries in milliseconds, and the outcome; steps left over are tries not made.
    async fn run(steps: Vec<Step>, draw: u64) -> (SendReport, Option<u64>) {
        let (sender, gateway) = sender(steps, draw, 1);
        let report = sender.send(sender.reserve().unwrap(), &sms()).await;
        let asked = gateway.asked.lock().unwrap();
        assert_eq!(asked.len(), usize::from(report.tries));
        let gap = asked.get(1).map(|second| u64::try_from((*second - asked[0]).as_millis()).unwrap());
        (report, gap)
    }

    /// security 44: each class, its retry, and never more than two tries.
    #[tokio::test(start_paused = true)]
    async fn each_class_is_tried_again_only_where_that_is_safe() {
        for class in SendClass::ALL {
            let (report, _) = run(vec![failure(class, None), Some(Ok(Accepted::default()))], 0).await;
            let retried = matches!(class, SendClass::Throttled | SendClass::ProviderDown);
            assert_eq!(
                (report.result.is_ok(), report.tries),
                if retried { (true, 2) } else { (false, 1) },
                "{class:?}"
            );

            let twice = vec![failure(class, None), failure(class, None), Some(Ok(Accepted::default()))];
            let (report, _) = run(twice, 0).await;
            assert_eq!(report.result.unwrap_err().class, class);
            assert_eq!(report.tries, if retried { 2 } else { 1 });
        }
    }

    /// The wait before the second try: jitter from half to one and a half, `Retry-After` up to its limit.
    #[tokio::test(start_paused = true)]
    async fn the_wait_before_the_second_try() {
        use SendClass::{ProviderDown, Throttled};
        // (class, retry-after in ms, draw, wait in ms)
        let table = [
            (ProviderDown, None, 0, Some(125)),
            (ProviderDown, None, 250, Some(375)),
            (ProviderDown, None, 251, Some(125)),
            (Throttled, None, 100, Some(225)),
            (Throttled, Some(1_000), 0, Some(1_000)),
            (Throttled, Some(0), 0, Some(125)),
            (Throttled, Some(2_000), 0, Some(2_000)),
            (Throttled, Some(2_001), 0, None),
            (ProviderDown, Some(30_000), 0, None),
        ];
        for (class, retry_after, draw, wait) in table {
            let (report, gap) = run(vec![failure(class, retry_after), Some(Ok(Accepted::default()))], draw).await;
            assert_eq!(gap, wait, "{class:?} {retry_after:?} {draw}");
            assert_eq!(report.result.is_ok(), wait.is_some());
        }
    }

    /// security 44: a gateway that never answers is an unknown outcome after the limit, and not repeated.
    #[tokio::test(start_paused = true)]
    async fn silence_is_an_unknown_outcome() {
        let begin = Instant::now();
        let (report, _) = run(vec![None, Some(Ok(Accepted::default()))], 0).await;
        assert_eq!(begin.elapsed(), Duration::from_secs(10));
        let error = report.result.unwrap_err();
        assert_eq!((error.class, error.detail.as_str()), (SendClass::UnknownOutcome, "scripted timeout"));
        assert_eq!((report.tries, report.route), (1, "scripted"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_send_is_what_the_settings_say() {
        // Just inside every limit: each try ends at the last moment and the wait is the longest.
        #[derive(Debug)]
        struct Late;
        #[async_trait]
        impl Gateway for Late {
            fn name(&self) -> &'static str {
                "late"
            }
            fn is_real(&self) -> bool {
                false
            }
            async fn send(&self, _: &Sms) -> Result<Accepted, SendError> {
                time::sleep(Duration::from_millis(9_999)).await;
                let retry_after = Some(Duration::from_secs(2));
                Err(SendError { retry_after, ..SendError::new(SendClass::Throttled, "late") })
            }
        }
        let settings = SenderSettings::default();
        let sender = Sender::new(Arc::new(Late), settings, Arc::new(Fixed(0))).unwrap();
        let begin = Instant::now();
        let report = sender.send(sender.reserve().unwrap(), &sms()).await;
        assert_eq!(report.tries, 2);
        assert_eq!(begin.elapsed() + Duration::from_millis(2), settings.longest_send());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_sender_refuses_at_once_and_takes_again_when_one_ends() {
        let (sender, gateway) = sender(vec![None, Some(Ok(Accepted::default()))], 0, 2);
        let (first, second) = (sender.reserve().unwrap(), sender.reserve().unwrap());
        assert!(sender.reserve().is_none());
        drop(second);
        let second = sender.reserve().unwrap();
        assert!(sender.reserve().is_none());

        // Neither a hung send nor a dropped one keeps its slot.
        let hung = time::timeout(Duration::from_secs(1), sender.send(first, &sms())).await;
        assert!(hung.is_err());
        assert!(sender.send(second, &sms()).await.result.is_ok());
        assert_eq!(gateway.asked.lock().unwrap().len(), 2);
        let _both = (sender.reserve().unwrap(), sender.reserve().unwrap());
        assert!(sender.reserve().is_none());
    }

    #[test]
    fn outcomes_are_counted_once_per_send() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let steps = vec![
            Some(Ok(Accepted::default())),
            failure(SendClass::ProviderDown, None),
            Some(Ok(Accepted::default())),
            failure(SendClass::OptedOut, None),
        ];
        let (sender, _) = metrics::with_local_recorder(&recorder, || sender(steps, 0, 1));
        let permit = sender.reserve().unwrap();
        assert!(page.render().contains("otpd_sms_inflight 1"));
        assert!(sender.reserve().is_none());
        drop(permit);
        for _ in 0..3 {
            runtime.block_on(sender.send(sender.reserve().unwrap(), &sms()));
        }
        let page = page.render();
        for line in [
            r#"otpd_sms_sends_total{route="scripted",outcome="accepted"} 2"#,
            r#"otpd_sms_sends_total{route="scripted",outcome="opted_out"} 1"#,
            r#"otpd_sms_sends_total{route="scripted",outcome="overloaded"} 1"#,
            r#"otpd_sms_sends_total{route="scripted",outcome="provider_down"} 0"#,
            r#"otpd_sms_retries_total{route="scripted"} 1"#,
            r#"otpd_sms_send_seconds_count{route="scripted"} 3"#,
            "otpd_sms_inflight 0",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn limits_out_of_range_are_refused() {
        let good = SenderSettings::default();
        let table = [
            (SenderSettings { inflight_max: 0, ..good }, "sender.inflight_max"),
            (SenderSettings { inflight_max: usize::MAX, ..good }, "sender.inflight_max"),
            (SenderSettings { attempt_timeout_ms: 0, ..good }, "sender.attempt_timeout_ms"),
            (SenderSettings { retry_backoff_ms: u64::MAX, ..good }, "sender.retry_backoff_ms"),
            (SenderSettings { retry_after_max_ms: u64::MAX, ..good }, "sender.retry_after_max_ms"),
        ];
        for (settings, setting) in table {
            assert_eq!(settings.check().unwrap_err().setting, setting);
        }
    }
}
