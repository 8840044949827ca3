//! Blocks of one client address at one number: some wrong answers in a row, and that pair waits.
//!
//! Only for doors whose policy has a [`BlockPolicy`]. A block names the pair, so a stranger elsewhere cannot lock the
//! owner out; the number's own budgets stand above it.

use serde::{Deserialize, Serialize};

use super::{
    outcome::Refusal,
    policy::BlockPolicy,
    time::{Millis, UnixMillis},
};

/// Most addresses remembered for each kind of secret; beyond, the one that would be forgotten first goes.
pub(super) const BLOCKS_MAX: usize = 8;

/// What was answered wrongly; each is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Asked {
    Code,
    Password,
}

/// One address and its wrong answers in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Strikes {
    asked: Asked,
    address: u64,
    count: u8,
    blocked: bool,
    /// Until when it is blocked; if it is not, when it is forgotten.
    until: UnixMillis,
}

/// The addresses that answered wrongly at this number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Blocks(Vec<Strikes>);

impl Blocks {
    fn of(&self, asked: Asked, address: u64) -> Option<&Strikes> {
        self.0.iter().find(|strikes| strikes.asked == asked && strikes.address == address)
    }

    /// Wrong answers in a row of this address.
    pub(super) fn count(&self, asked: Asked, address: u64) -> u8 {
        self.of(asked, address).map_or(0, |strikes| strikes.count)
    }

    /// May this address answer now?
    pub(super) fn may_answer(&self, asked: Asked, address: u64) -> Result<(), Refusal> {
        match self.of(asked, address).filter(|strikes| strikes.blocked) {
            Some(strikes) => Err(Refusal::AddressBlocked { until: strikes.until }),
            None => Ok(()),
        }
    }

    /// Counts a wrong answer; the time of the block if it was the last one.
    pub(super) fn strike(
        &mut self,
        policy: &BlockPolicy,
        asked: Asked,
        address: u64,
        now: UnixMillis,
    ) -> Option<UnixMillis> {
        let count = self.count(asked, address).saturating_add(1);
        // One that was found late is entered at its own time, which may be before that of the strikes after it.
        let not_before = self.of(asked, address).map_or(now, |strikes| strikes.until);
        self.0.retain(|strikes| strikes.asked != asked || strikes.address != address);
        if self.0.iter().filter(|strikes| strikes.asked == asked).count() >= BLOCKS_MAX {
            let of_kind = self.0.iter().enumerate().filter(|(_, strikes)| strikes.asked == asked);
            if let Some((least, _)) = of_kind.min_by_key(|(_, strikes)| (strikes.blocked, strikes.until)) {
                self.0.remove(least);
            }
        }
        let (blocked, until) = (count >= policy.strikes, now.plus(policy.block_ms).max(not_before));
        self.0.push(Strikes { asked, address, count, blocked, until });
        blocked.then_some(until)
    }

    /// A right answer: nothing is held against the address any more, but for a block that runs.
    pub(super) fn forgive(&mut self, asked: Asked, address: u64) {
        self.0.retain(|strikes| strikes.asked != asked || strikes.address != address || strikes.blocked);
    }

    /// An unlock.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many addresses are remembered for the secret that most are remembered for.
    pub(super) fn most_of_a_kind(&self) -> usize {
        let of = |asked: Asked| self.0.iter().filter(|strikes| strikes.asked == asked).count();
        of(Asked::Code).max(of(Asked::Password))
    }

    /// Does every block that ran in `before` still run, and no shorter? One may only go for want of room.
    pub(super) fn hold(&self, before: &Self, now: UnixMillis) -> bool {
        let running = before.0.iter().filter(|strikes| strikes.blocked && now < strikes.until);
        let mut kept = running.map(|old| (old.asked, self.of(old.asked, old.address), old.until));
        kept.all(|(asked, new, until)| match new {
            Some(new) => new.blocked && new.until >= until,
            None => self.0.iter().filter(|strikes| strikes.asked == asked).count() >= BLOCKS_MAX,
        })
    }

    pub(super) fn forget_at(&self) -> Option<UnixMillis> {
        self.0.iter().map(|strikes| strikes.until).max()
    }

    pub(super) fn purge(&mut self, now: UnixMillis) {
        self.0.retain(|strikes| now < strikes.until);
    }

    /// One clock ran ahead: what is left of each wait starts from now.
    pub(super) fn rebase(&mut self, wrong: UnixMillis, now: UnixMillis) {
        for strikes in &mut self.0 {
            let left: Millis = strikes.until.since(wrong);
            strikes.until = now.plus(left).min(strikes.until);
        }
    }
}
