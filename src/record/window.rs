//! The sends of a number, all doors in one list, and the limits that are held against it.

use serde::{Deserialize, Serialize};

use super::{command::Sender, outcome::SendLimit, policy::Policy, state::SENDS_KEPT_MS, time::UnixMillis};

/// Most sends the list can hold: the largest `limits.sends_per_day`.
pub const SENDS_MAX: usize = 50;

/// One send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) at: UnixMillis,
    pub(super) address: u64,
    pub(super) challenge: u64,
    pub(super) delivery: u8,
    /// True once a check has succeeded after it: it starts no cooldown any more.
    pub(super) answered: bool,
}

/// The day's sends of a number, in the order they were made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SendLog {
    sends: Vec<Sent>,
}

/// What is left of a door's send window, for the `RateLimit` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendQuota {
    /// Sends the window allows.
    pub most: u8,
    /// Length of the window.
    pub window_ms: u64,
    /// Sends left in it.
    pub remaining: u8,
    /// When the next one comes back.
    pub reset_at: UnixMillis,
}

/// No send, and when one may be asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limited {
    pub(super) limit: SendLimit,
    pub(super) retry_at: UnixMillis,
}

impl SendLog {
    pub(super) fn times(&self) -> Vec<UnixMillis> {
        self.sends.iter().map(|sent| sent.at).collect()
    }

    /// Sends after `from`.
    pub(super) fn count_since(&self, from: UnixMillis) -> usize {
        self.sends.iter().filter(|sent| sent.at > from).count()
    }

    /// May a challenge be started now?
    pub(super) fn may_start(&self, policy: &Policy, sender: Sender, now: UnixMillis) -> Result<(), Limited> {
        if sender.unpaid {
            return Ok(());
        }
        match self.cools_until(policy).filter(|until| now < *until) {
            Some(retry_at) => Err(Limited { limit: SendLimit::Cooldown, retry_at }),
            None => self.may_send(policy, sender, now),
        }
    }

    /// When the cooldown after the last send ends; `None` if a success has lifted it.
    pub(super) fn cools_until(&self, policy: &Policy) -> Option<UnixMillis> {
        self.sends.last().filter(|last| !last.answered).map(|last| last.at.plus(policy.cooldown_ms))
    }

    /// Do window, day and the share of the address allow one more send?
    pub(super) fn may_send(&self, policy: &Policy, sender: Sender, now: UnixMillis) -> Result<(), Limited> {
        if sender.unpaid {
            return Ok(());
        }
        let per_day = usize::from(policy.sends_per_day).min(SENDS_MAX);
        let all = |_: &Sent| true;
        self.room(SendLimit::Window, usize::from(policy.sends_max), policy.send_window_ms, now, all)?;
        self.room(SendLimit::Day, per_day, SENDS_KEPT_MS, now, all)?;
        if sender.keyed {
            return Ok(());
        }
        let share = usize::from(policy.sends_per_day_per_address);
        self.room(SendLimit::Address, share, SENDS_KEPT_MS, now, |sent| sent.address == sender.address)
    }

    fn room(
        &self,
        limit: SendLimit,
        most: usize,
        window_ms: u64,
        now: UnixMillis,
        counted: impl Fn(&Sent) -> bool,
    ) -> Result<(), Limited> {
        let inside = |sent: &&Sent| counted(sent) && now < sent.at.plus(window_ms);
        let mut ends: Vec<UnixMillis> = self.sends.iter().filter(inside).map(|sent| sent.at.plus(window_ms)).collect();
        if ends.len() < most {
            return Ok(());
        }
        ends.sort_unstable();
        // Room comes when as many have left the window as stand at or above the limit.
        let leaver = ends.len() - most;
        let retry_at = ends.get(leaver).copied().unwrap_or_else(|| now.plus(window_ms));
        Err(Limited { limit, retry_at })
    }

    /// What is left of the door's window.
    pub(super) fn quota(&self, policy: &Policy, now: UnixMillis) -> SendQuota {
        let inside = self.sends.iter().filter(|sent| now < sent.at.plus(policy.send_window_ms));
        let (count, oldest) = inside.fold((0_u8, None), |(count, oldest): (u8, Option<UnixMillis>), sent| {
            (count.saturating_add(1), Some(oldest.map_or(sent.at, |at| at.min(sent.at))))
        });
        SendQuota {
            most: policy.sends_max,
            window_ms: policy.send_window_ms,
            remaining: policy.sends_max.saturating_sub(count),
            reset_at: oldest.map_or(now, |at| at.plus(policy.send_window_ms)),
        }
    }

    /// Who asked for the last send of a challenge; whether by a key is not kept, so the share of an address binds.
    pub(super) fn sender_of(&self, challenge: u64) -> Option<Sender> {
        let last = self.sends.iter().rfind(|sent| sent.challenge == challenge)?;
        Some(Sender { address: last.address, keyed: false, unpaid: false })
    }

    pub(super) fn add(&mut self, sent: Sent) {
        self.sends.push(sent);
    }

    /// A certain failure gives the send back.
    pub(super) fn give_back(&mut self, challenge: u64, delivery: u8) {
        self.sends.retain(|sent| (sent.challenge, sent.delivery) != (challenge, delivery));
    }

    /// A check succeeded. Marked on the sends and not kept as a time: within one millisecond, or while the clock
    /// stands behind, a time could not say whether it came before a send or after.
    pub(super) fn succeeded(&mut self) {
        for sent in &mut self.sends {
            sent.answered = true;
        }
    }

    pub(super) fn forget_at(&self) -> Option<UnixMillis> {
        self.sends.last().map(|last| last.at.plus(SENDS_KEPT_MS))
    }

    pub(super) fn purge(&mut self, now: UnixMillis) {
        self.sends.retain(|sent| now < sent.at.plus(SENDS_KEPT_MS));
    }

    pub(super) fn rebase(&mut self, now: UnixMillis) {
        for sent in &mut self.sends {
            sent.at = sent.at.min(now);
        }
    }
}
