//! The simulated gateway: takes a while, fails now and then, and sends nothing.
//!
//! For load runs and for trying out how clients cope. Owns latency and failure rate. Never sends
//! anything and never shows the code.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{Accepted, Channel, Gateway, SendClass, SendError, SettingError, Sms};
use crate::entropy::Entropy;

/// How the simulated provider behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimulatedSettings {
    /// Share of sends that fail as if the provider were down, 0 to 1. Default 0.05: often enough that a
    /// client without a "try again" shows it.
    pub failure_rate: f64,
    /// How long every send takes, in milliseconds, failed ones too. Default 200, a common time of real
    /// providers.
    pub latency_ms: u64,
}

impl Default for SimulatedSettings {
    fn default() -> Self {
        Self { failure_rate: 0.05, latency_ms: 200 }
    }
}

/// Longest latency that may be set, in milliseconds: beyond it every send would be a time-out.
const LATENCY_MS_MAX: u64 = 60_000;

/// A provider that sends nothing.
#[derive(Debug, Clone)]
pub struct Simulated {
    settings: SimulatedSettings,
    entropy: Arc<dyn Entropy>,
}

impl Simulated {
    /// Checks the settings. Failures are drawn from `entropy`, one draw per send where any may fail.
    pub fn new(settings: SimulatedSettings, entropy: Arc<dyn Entropy>) -> Result<Self, SettingError> {
        if !(0.0..=1.0).contains(&settings.failure_rate) {
            return Err(SettingError::new("simulated.failure_rate", "must be a number from 0 to 1"));
        }
        if settings.latency_ms > LATENCY_MS_MAX {
            return Err(SettingError::new("simulated.latency_ms", "must be at most 60000"));
        }
        Ok(Self { settings, entropy })
    }

    fn fails(&self) -> bool {
        if self.settings.failure_rate <= 0.0 {
            return false;
        }
        // The upper 53 bits, exact in an f64, as a number from 0 up to but not including 1.
        let drawn = (self.entropy.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        drawn < self.settings.failure_rate
    }
}

#[async_trait]
impl Gateway for Simulated {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn channels(&self) -> &[Channel] {
        &Channel::ALL
    }

    fn is_real(&self) -> bool {
        false
    }

    async fn send(&self, _: &Sms) -> Result<Accepted, SendError> {
        // No time is not even the rest of the timer's millisecond.
        if self.settings.latency_ms > 0 {
            tokio::time::sleep(Duration::from_millis(self.settings.latency_ms)).await;
        }
        if self.fails() {
            return Err(SendError::new(SendClass::ProviderDown, "simulated failure"));
        }
        Ok(Accepted::default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::time::Instant;

    use super::*;
    use crate::record::PhoneNumber;

    /// Evenly spread draws: after 2^k of them every interval of that width was hit once.
    #[derive(Debug, Default)]
    struct Spread(AtomicU64);

    impl Entropy for Spread {
        fn fill(&self, buffer: &mut [u8]) {
            let draw = self.0.fetch_add(1, Ordering::Relaxed).reverse_bits();
            buffer.copy_from_slice(&draw.to_le_bytes());
        }
    }

    async fn failures(failure_rate: f64, sends: u32) -> u32 {
        let settings = SimulatedSettings { failure_rate, latency_ms: 0 };
        let gateway = Simulated::new(settings, Arc::new(Spread::default())).unwrap();
        let sms = Sms::notice(1, PhoneNumber::from_e164("+989123456789").unwrap(), "");
        let mut failed = 0;
        for _ in 0..sends {
            match gateway.send(&sms).await {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.class, SendClass::ProviderDown);
                    failed += 1;
                }
            }
        }
        failed
    }

    #[tokio::test(start_paused = true)]
    async fn the_failure_rate_is_kept_with_its_ends() {
        assert_eq!(failures(0.0, 1024).await, 0);
        assert_eq!(failures(1.0, 1024).await, 1024);
        assert_eq!(failures(0.25, 1024).await, 256);
    }

    #[tokio::test(start_paused = true)]
    async fn every_send_takes_the_latency() {
        let gateway = Simulated::new(SimulatedSettings::default(), Arc::new(Spread::default())).unwrap();
        let sms = Sms::notice(1, PhoneNumber::from_e164("+989123456789").unwrap(), "");
        let begin = Instant::now();
        // The first draw is zero, below any rate above zero: a failure takes the latency too.
        assert!(gateway.send(&sms).await.is_err());
        assert_eq!(begin.elapsed(), Duration::from_millis(200));
        assert!(gateway.send(&sms).await.is_ok());
        assert_eq!(begin.elapsed(), Duration::from_millis(400));
    }

    #[test]
    fn rates_outside_zero_to_one_are_refused() {
        for failure_rate in [-0.01, 1.01, f64::NAN, f64::INFINITY] {
            let settings = SimulatedSettings { failure_rate, latency_ms: 0 };
            let error = Simulated::new(settings, Arc::new(Spread::default())).unwrap_err();
            assert_eq!(error.setting, "simulated.failure_rate");
        }
        let settings = SimulatedSettings { latency_ms: 60_001, ..SimulatedSettings::default() };
        assert!(Simulated::new(settings, Arc::new(Spread::default())).is_err());
    }
}
