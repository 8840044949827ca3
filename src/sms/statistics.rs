//! How gateways fare, per country: how many of their codes are used, and how soon one arrives.
//!
//! Figures of this process and of late: they fade with a half-life, so a gateway that was bad an hour ago is tried
//! again. Kept in memory only; after a restart everyone begins with the benefit of the doubt.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics::gauge;
use tokio::time::Instant;

use crate::{guard::Country, metrics as names};

/// How long figures last and when silence is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatisticsSettings {
    /// After this time a send or a success counts half, in milliseconds. Default 30 minutes: long enough for a small
    /// country to have figures, short enough to forgive an outage by lunch.
    pub half_life_ms: u64,
    /// How long a message of channel `auto` may be silent before the next route is tried, in milliseconds, while there
    /// are no figures. Default 20,000: most codes arrive within ten seconds, and after thirty people give up.
    pub silence_ms: u64,
    /// Bounds of that time once there are figures. Default 8,000 and 60,000.
    pub silence_min_ms: u64,
    /// See `silence_min_ms`.
    pub silence_max_ms: u64,
}

impl Default for StatisticsSettings {
    fn default() -> Self {
        Self { half_life_ms: 1_800_000, silence_ms: 20_000, silence_min_ms: 8_000, silence_max_ms: 60_000 }
    }
}

/// A send this young may still be verified, so it says nothing about conversion yet. Most people type within a minute.
const RIPE: Duration = Duration::from_secs(90);
/// Sends are taken together in steps of this length until they are ripe.
const STEP: Duration = Duration::from_secs(10);
/// What a gateway without figures is taken for: as if it had sent so many, and so many had been verified.
const PRIOR: (f64, f64) = (5.0, 4.0);
/// Samples of times to arrive that are kept.
const TIMES_KEPT: usize = 64;
/// Fewer are no figure.
const TIMES_MIN: usize = 8;
/// Silence is long when it lasts half as long again as nine of ten messages took.
const SILENCE_FACTOR: (u32, u32) = (3, 2);

/// Figures of one gateway in one country.
#[derive(Debug, Default)]
struct Cell {
    /// Sends that are not ripe: when their step ends, and how many.
    unripe: VecDeque<(Instant, u32)>,
    sent: f64,
    verified: f64,
    /// When `sent` and `verified` were last brought up to date.
    at: Option<Instant>,
    /// Times to receipt or check, the newest last.
    times: VecDeque<Duration>,
}

impl Cell {
    /// Fades what is counted and takes in what has become ripe.
    fn advance(&mut self, half_life: Duration, now: Instant) {
        let since = self.at.replace(now).map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let kept = 0.5_f64.powf(since.as_secs_f64() / half_life.as_secs_f64());
        self.sent *= kept;
        self.verified *= kept;
        while let Some((end, count)) = self.unripe.front().copied().filter(|(end, _)| *end + RIPE <= now) {
            debug_assert!(end <= now, "a step ends before it is ripe");
            self.sent += f64::from(count);
            self.unripe.pop_front();
        }
    }

    fn conversion(&self) -> f64 {
        // A check may come before its send is ripe.
        let sent = self.sent.max(self.verified);
        (self.verified + PRIOR.1) / (sent + PRIOR.0)
    }

    /// The time within which nine of ten arrived.
    fn usual(&self) -> Option<Duration> {
        let mut times: Vec<Duration> = self.times.iter().copied().collect();
        times.sort_unstable();
        let ninth = times.get(times.len() * 9 / 10).copied();
        ninth.filter(|_| times.len() >= TIMES_MIN)
    }
}

/// The figures of all gateways and countries.
#[derive(Debug)]
pub(super) struct Statistics {
    settings: StatisticsSettings,
    /// At most as many as there are gateways times countries.
    cells: Mutex<HashMap<(&'static str, Option<Country>), Cell>>,
}

impl Statistics {
    pub(super) fn new(settings: StatisticsSettings) -> Self {
        Self { settings, cells: Mutex::default() }
    }

    /// A gateway took a message.
    pub(super) fn sent(&self, gateway: &'static str, country: Option<Country>, now: Instant) {
        self.with(gateway, country, now, |cell| match cell.unripe.back_mut().filter(|(end, _)| now < *end) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => {
                cell.unripe.push_back((now + STEP, 1));
                let place = Country::label(country);
                gauge!(names::ROUTE_CONVERSION, "route" => gateway, "country" => place).set(cell.conversion());
            }
        });
    }

    /// The code of a message was given, so long after it was sent.
    pub(super) fn verified(&self, gateway: &'static str, country: Option<Country>, after: Duration, now: Instant) {
        self.with(gateway, country, now, |cell| {
            cell.verified += 1.0;
            cell.times.push_back(after);
            let place = Country::label(country);
            gauge!(names::ROUTE_CONVERSION, "route" => gateway, "country" => place).set(cell.conversion());
        });
    }

    /// A receipt said that a message has arrived, so long after it was sent.
    pub(super) fn delivered(&self, gateway: &'static str, country: Option<Country>, after: Duration, now: Instant) {
        self.with(gateway, country, now, |cell| cell.times.push_back(after));
    }

    /// Share of its codes that are used, 0 to 1; what a newcomer is taken for without figures.
    pub(super) fn conversion(&self, gateway: &'static str, country: Option<Country>, now: Instant) -> f64 {
        self.with(gateway, country, now, |cell| cell.conversion())
    }

    /// How long a message by this gateway may be silent before it should be tried another way.
    pub(super) fn silence(&self, gateway: &'static str, country: Option<Country>, now: Instant) -> Duration {
        let StatisticsSettings { silence_ms, silence_min_ms, silence_max_ms, .. } = self.settings;
        let (least, most) = (Duration::from_millis(silence_min_ms), Duration::from_millis(silence_max_ms));
        let usual = self.with(gateway, country, now, |cell| cell.usual());
        match usual {
            Some(usual) => (usual * SILENCE_FACTOR.0 / SILENCE_FACTOR.1).clamp(least, most.max(least)),
            None => Duration::from_millis(silence_ms),
        }
    }

    fn with<T>(
        &self,
        gateway: &'static str,
        country: Option<Country>,
        now: Instant,
        act: impl FnOnce(&mut Cell) -> T,
    ) -> T {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = cells.entry((gateway, country)).or_default();
        cell.advance(Duration::from_millis(self.settings.half_life_ms.max(1)), now);
        let result = act(cell);
        while cell.times.len() > TIMES_KEPT {
            cell.times.pop_front();
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: &str = "twilio";

    fn statistics() -> (Statistics, Instant, Option<Country>) {
        (Statistics::new(StatisticsSettings::default()), Instant::now(), "IR".parse().ok())
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 0.01, "{found} is not {expected}");
    }

    #[test]
    fn conversion_counts_what_had_time_to_be_verified_and_fades() {
        let (statistics, now, country) = statistics();
        let conversion = |at| statistics.conversion(GATEWAY, country, at);
        close(conversion(now), 0.8);
        for _ in 0..100 {
            statistics.sent(GATEWAY, country, now);
        }
        close(conversion(now + Duration::from_secs(60)), 0.8);
        let ripe = now + STEP + RIPE;
        close(conversion(ripe), 4.0 / 105.0);
        close(statistics.conversion(GATEWAY, "US".parse().ok(), ripe), 0.8);
        for _ in 0..50 {
            statistics.verified(GATEWAY, country, Duration::from_secs(9), ripe);
        }
        close(conversion(ripe), 54.0 / 105.0);
        close(conversion(ripe + Duration::from_secs(1_800)), 29.0 / 55.0);
        close(conversion(ripe + Duration::from_secs(36_000)), 0.8);
    }

    #[test]
    fn silence_is_long_when_most_have_arrived() {
        let (statistics, now, country) = statistics();
        let silence = |at| statistics.silence(GATEWAY, country, at);
        for _ in 0..TIMES_MIN - 1 {
            statistics.delivered(GATEWAY, country, Duration::from_secs(12), now);
            assert_eq!(silence(now), Duration::from_secs(20));
        }
        statistics.delivered(GATEWAY, country, Duration::from_secs(12), now);
        assert_eq!(silence(now), Duration::from_secs(18));
        for _ in 0..TIMES_KEPT {
            statistics.verified(GATEWAY, country, Duration::from_secs(1), now);
        }
        assert_eq!(silence(now), Duration::from_secs(8), "not below the least");
        for _ in 0..TIMES_KEPT {
            statistics.delivered(GATEWAY, country, Duration::from_secs(500), now);
        }
        assert_eq!(silence(now), Duration::from_secs(60), "not above the most");
    }
}
