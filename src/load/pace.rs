//! When operations begin: as soon as the one before has ended (closed loop), or at times of their own (open loop).

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::dice::Dice;

/// How operations follow each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Each connection begins its next operation when the last has ended. A server that slows down is asked less.
    Closed,
    /// So many begin per second, whatever the server does, and latency counts from the moment they should have begun.
    Open {
        /// Operations per second, above 0 and at most 1,000,000.
        rate: f64,
        /// How they are spread.
        spacing: Spacing,
    },
}

/// How the beginnings of an open loop are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// The same time between any two.
    Even,
    /// As independent people come: exponential times between two.
    Poisson,
}

/// An operation to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    /// When it should have begun; in a closed loop whenever it does.
    pub(super) due: Option<Instant>,
}

/// Hands out operations until the time is over or the number is reached.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) measured_from: Instant,
    pub(super) ends: Instant,
    count_max: u64,
    state: Mutex<State>,
    rate: Option<(f64, Spacing)>,
}

#[derive(Debug)]
struct State {
    next: Instant,
    dice: Dice,
    /// Handed out since the warm-up.
    given: u64,
}

/// How long after the end an open loop goes on with what should have begun before it. What has not begun then, never does.
pub(super) const DRAIN: Duration = Duration::from_secs(10);

impl Schedule {
    pub(super) fn new(pace: Pace, seed: u64, begins: Instant, times: (Duration, Duration), count: Option<u64>) -> Self {
        let (warm_up, duration) = times;
        let rate = match pace {
            Pace::Closed => None,
            Pace::Open { rate, spacing } => Some((rate, spacing)),
        };
        let measured_from = begins + warm_up;
        Self {
            measured_from,
            ends: measured_from + duration,
            count_max: count.unwrap_or(u64::MAX),
            state: Mutex::new(State { next: begins, dice: Dice::new(seed, 0x0_9ACE), given: 0 }),
            rate,
        }
    }

    /// The next operation; `None`: there is none any more.
    pub(super) fn claim(&self) -> Option<Ticket> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let at = if self.rate.is_some() { state.next } else { now };
        if at >= self.ends || state.given >= self.count_max || now >= self.ends + DRAIN {
            return None;
        }
        if at >= self.measured_from {
            state.given += 1;
        }
        let Some((rate, spacing)) = self.rate else { return Some(Ticket { due: None }) };
        state.advance(rate, spacing);
        Some(Ticket { due: Some(at) })
    }

    /// What should have begun and never did: when each was due.
    pub(super) fn unstarted(&self) -> Vec<Instant> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some((rate, spacing)), mut left) = (self.rate, Vec::new()) else { return Vec::new() };
        let now = Instant::now();
        while state.next < self.ends.min(now) && state.given < self.count_max && left.len() < UNSTARTED_MAX {
            left.push(state.next);
            state.given += 1;
            state.advance(rate, spacing);
        }
        left
    }
}

/// Most operations that are listed as never begun; by then the figures say all there is to say.
const UNSTARTED_MAX: usize = 10_000_000;

impl State {
    fn advance(&mut self, rate: f64, spacing: Spacing) {
        let gap = match spacing {
            Spacing::Even => 1.0 / rate,
            // 1 - share is above 0, so the logarithm is finite.
            Spacing::Poisson => -(1.0 - self.dice.share()).ln() / rate,
        };
        self.next += Duration::from_secs_f64(gap);
    }
}

/// The runtime's timer ticks each millisecond, so a sleeper may wake up to two late. That is the generator's fault, not
/// the server's: who waited for the due time and woke within this counts from there.
pub(super) const TIMER_SLACK: Duration = Duration::from_millis(2);

/// Waits until an operation is due. When it counts as begun, and whether that was late.
pub(super) async fn begin(ticket: Ticket) -> (Instant, bool) {
    let Some(due) = ticket.due else { return (Instant::now(), false) };
    let waits = due > Instant::now();
    if waits {
        tokio::time::sleep_until(due).await;
    }
    let now = Instant::now();
    let late = now.saturating_duration_since(due) > TIMER_SLACK;
    (if waits && !late { now } else { due }, late)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dues(pace: Pace, seed: u64, count: Option<u64>) -> (Instant, Vec<Duration>) {
        let begins = Instant::now();
        let schedule = Schedule::new(pace, seed, begins, (Duration::ZERO, Duration::from_secs(10)), count);
        let dues = std::iter::from_fn(|| schedule.claim()).filter_map(|ticket| ticket.due);
        (begins, dues.map(|due| due - begins).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_loop_has_its_own_times() {
        let even = Pace::Open { rate: 100.0, spacing: Spacing::Even };
        let (_, times) = dues(even, 1, None);
        assert_eq!(times.len(), 1000);
        assert_eq!(times[100], Duration::from_secs(1));
        assert_eq!(dues(even, 1, Some(7)).1.len(), 7);

        let poisson = Pace::Open { rate: 100.0, spacing: Spacing::Poisson };
        let times = dues(poisson, 1, None).1;
        assert_eq!(times, dues(poisson, 1, None).1, "a seed gives the same times");
        assert_ne!(times, dues(poisson, 2, None).1);
        assert!((900..1100).contains(&times.len()), "{}", times.len());
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_began_is_counted() {
        let pace = Pace::Open { rate: 10.0, spacing: Spacing::Even };
        let times = (Duration::ZERO, Duration::from_secs(2));
        let schedule = Schedule::new(pace, 1, Instant::now(), times, None);
        assert!(schedule.claim().is_some());
        tokio::time::sleep(Duration::from_secs(2) + DRAIN).await;
        assert!(schedule.claim().is_none());
        assert_eq!(schedule.unstarted().len(), 19);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_beginning_counts_from_when_it_was_due() {
        let due = Instant::now() + Duration::from_secs(1);
        assert_eq!(begin(Ticket { due: Some(due) }).await, (due, false));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(begin(Ticket { due: Some(due) }).await, (due, true));
    }
}
