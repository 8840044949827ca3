//! A circuit breaker: a gateway that keeps failing is left alone for a while, then asked by one message.
//!
//! ```text
//! closed ── as many faults in a row as allowed, or one that a person must mend ──> open
//!   ▲                                                                               │ its time is over
//!   └── a good answer ── probing <── one message is let through ────────────────────┘
//!                           └── another fault ──> open, twice as long
//! ```
//!
//! Pure: the time is an argument. Owns when a gateway may be asked; never asks it.

use std::time::Duration;

use tokio::time::Instant;

use super::SendClass;

/// When a breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Faults in a row that open it, 1 to 1,000. Default 5: one lost packet is no reason, five are.
    pub failures: u32,
    /// How long it stays open at first, in milliseconds, up to 600,000. Default 5,000; doubles each time that the
    /// probe fails. 0: it never opens.
    pub open_ms: u64,
    /// Longest time open, in milliseconds, up to 3,600,000. Default 120,000: a provider that is back is used within
    /// two minutes.
    pub open_max_ms: u64,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, open_ms: 5_000, open_max_ms: 120_000 }
    }
}

/// Where a breaker stands, for metrics: 0, 1, 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Every message passes.
    Closed,
    /// One message is on its way to find out.
    Probing,
    /// No message passes.
    Open,
}

/// What a message did to the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was closed and is open now.
    Opened,
    /// It was open and is closed again.
    Closed,
}

/// What an answer says about the gateway, whatever it says about the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    /// It works.
    Good,
    /// It says nothing about it: the destination is at fault.
    Neutral,
    /// It may pass.
    Faulty,
    /// It will not pass before a person has mended it: credentials, credit.
    Broken,
}

/// What the answer to one message says about the gateway.
fn health(result: Result<(), SendClass>) -> Health {
    match result {
        Ok(()) => Health::Good,
        // The provider judged the number: it is up and knows us.
        Err(SendClass::InvalidNumber | SendClass::Landline | SendClass::Unroutable | SendClass::OptedOut) => {
            Health::Good
        }
        Err(SendClass::UnverifiedRecipient | SendClass::RegionDenied | SendClass::FraudBlocked) => Health::Neutral,
        Err(SendClass::Throttled | SendClass::BadConfig | SendClass::ProviderDown | SendClass::UnknownOutcome) => {
            Health::Faulty
        }
        Err(SendClass::AuthFailed | SendClass::InsufficientCredit) => Health::Broken,
    }
}

/// The breaker of one gateway.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: BreakerSettings,
    faults: u32,
    /// How long it was or is open; the settings' own when it is closed.
    open_for: Duration,
    position: Position,
}

#[derive(Debug, Clone, Copy)]
enum Position {
    Closed,
    Open {
        until: Instant,
    },
    /// A probe is under way since then; one that never comes back is replaced after `open_for`.
    Probing {
        since: Instant,
    },
}

impl Breaker {
    pub(super) fn new(settings: BreakerSettings) -> Self {
        let open_for = Duration::from_millis(settings.open_ms);
        Self { settings, faults: 0, open_for, position: Position::Closed }
    }

    /// May a message go now? True makes it the probe, if one is due.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        let admitted = self.wait(now).is_zero();
        if admitted && !matches!(self.position, Position::Closed) {
            self.position = Position::Probing { since: now };
        }
        admitted
    }

    /// How long until a message may go; zero: now.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        match self.position {
            Position::Closed => Duration::ZERO,
            Position::Open { until } => until.saturating_duration_since(now),
            Position::Probing { since } => (since + self.open_for).saturating_duration_since(now),
        }
    }

    /// Takes in what a message came to.
    pub(super) fn heard(&mut self, result: Result<(), SendClass>, now: Instant) -> Option<Change> {
        if self.settings.open_ms == 0 {
            return None;
        }
        let was_closed = matches!(self.position, Position::Closed);
        match health(result) {
            Health::Good => {
                self.faults = 0;
                self.open_for = Duration::from_millis(self.settings.open_ms);
                self.position = Position::Closed;
                (!was_closed).then_some(Change::Closed)
            }
            // A probe that learnt nothing: the next message is one again.
            Health::Neutral => {
                if let Position::Probing { .. } = self.position {
                    self.position = Position::Open { until: now };
                }
                None
            }
            Health::Faulty | Health::Broken => {
                self.faults = self.faults.saturating_add(1);
                let enough = self.faults >= self.settings.failures || health(result) == Health::Broken;
                match self.position {
                    Position::Closed if enough => self.open(now),
                    Position::Closed => {}
                    Position::Probing { .. } => {
                        let longest = Duration::from_millis(self.settings.open_max_ms.max(self.settings.open_ms));
                        self.open_for = (self.open_for * 2).min(longest);
                        self.open(now);
                    }
                    // Of a message that was under way when it opened.
                    Position::Open { .. } => {}
                }
                (was_closed && enough).then_some(Change::Opened)
            }
        }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.position {
            Position::Closed => BreakerState::Closed,
            Position::Probing { .. } => BreakerState::Probing,
            Position::Open { .. } => BreakerState::Open,
        }
    }

    fn open(&mut self, now: Instant) {
        self.position = Position::Open { until: now + self.open_for };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWN: Result<(), SendClass> = Err(SendClass::ProviderDown);

    fn breaker() -> (Breaker, Instant) {
        let settings = BreakerSettings { failures: 3, open_ms: 1_000, open_max_ms: 3_000 };
        (Breaker::new(settings), Instant::now())
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_opens_after_faults_in_a_row_alone() {
        let (mut breaker, now) = breaker();
        for _ in 0..10 {
            assert_eq!([DOWN, DOWN, Ok(())].map(|result| breaker.heard(result, now)), [None; 3]);
        }
        // A refusal of the number is a sign of life; one of the destination is none.
        assert_eq!(breaker.heard(DOWN, now), None);
        assert_eq!(breaker.heard(Err(SendClass::InvalidNumber), now), None);
        assert_eq!(breaker.heard(DOWN, now), None);
        assert_eq!(breaker.heard(Err(SendClass::RegionDenied), now), None);
        assert_eq!(breaker.heard(DOWN, now), None);
        assert!(breaker.admit(now));
        assert_eq!(breaker.heard(DOWN, now), Some(Change::Opened));
        assert!(!breaker.admit(now));
        assert_eq!((breaker.state(), breaker.wait(now)), (BreakerState::Open, ms(1_000)));
    }

    #[test]
    fn what_a_person_must_mend_opens_it_at_once() {
        for class in [SendClass::AuthFailed, SendClass::InsufficientCredit] {
            let (mut breaker, now) = breaker();
            assert_eq!(breaker.heard(Err(class), now), Some(Change::Opened));
            assert!(!breaker.admit(now));
        }
    }

    #[test]
    fn one_probe_at_a_time_closes_it_or_doubles_the_wait() {
        let (mut breaker, mut now) = breaker();
        breaker.heard(Err(SendClass::AuthFailed), now);
        for open_ms in [1_000, 2_000, 3_000, 3_000] {
            assert!(!breaker.admit(now + ms(open_ms - 1)));
            now += ms(open_ms);
            assert!(breaker.admit(now), "the probe");
            assert_eq!(breaker.state(), BreakerState::Probing);
            assert!(!breaker.admit(now), "no second one");
            assert_eq!(breaker.heard(DOWN, now), None, "it was open before");
        }
        now += ms(3_000);
        assert!(breaker.admit(now));
        assert_eq!(breaker.heard(Ok(()), now), Some(Change::Closed));
        assert!(breaker.admit(now) && breaker.admit(now));
        assert_eq!(breaker.heard(Err(SendClass::AuthFailed), now), Some(Change::Opened));
        assert!(breaker.admit(now + ms(1_000)), "the wait begins anew");
    }

    #[test]
    fn a_probe_that_never_comes_back_or_learns_nothing_is_replaced() {
        let (mut breaker, now) = breaker();
        breaker.heard(Err(SendClass::AuthFailed), now);
        assert!(breaker.admit(now + ms(1_000)));
        assert!(!breaker.admit(now + ms(1_999)));
        assert!(breaker.admit(now + ms(2_000)), "the first probe was lost");
        assert_eq!(breaker.heard(Err(SendClass::RegionDenied), now + ms(2_000)), None);
        assert!(breaker.admit(now + ms(2_000)), "it learnt nothing");
    }

    #[test]
    fn none_opens_where_it_is_off() {
        let mut breaker = Breaker::new(BreakerSettings { open_ms: 0, ..BreakerSettings::default() });
        let now = Instant::now();
        for _ in 0..100 {
            assert_eq!(breaker.heard(Err(SendClass::AuthFailed), now), None);
            assert!(breaker.admit(now));
        }
    }

    /// What was under way when it opened neither prolongs nor closes by a fault; a late success closes it.
    #[test]
    fn late_answers_of_before() {
        let (mut breaker, now) = breaker();
        breaker.heard(Err(SendClass::AuthFailed), now);
        assert_eq!(breaker.heard(DOWN, now + ms(500)), None);
        assert_eq!(breaker.wait(now + ms(500)), ms(500));
        assert_eq!(breaker.heard(Ok(()), now + ms(600)), Some(Change::Closed));
    }
}
