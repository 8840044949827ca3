//! What must hold between a record and the next one of passwords under comparison and of blocked addresses.

use std::collections::BTreeSet;

use super::{
    ledger::{Guesses, Past},
    seen::{Seen, SeenComparing, SeenStrikes},
    steps::{BLOCK_MS, GUESSES_STOP_AT, STRIKES, Step, delay},
};

/// A comparison that nobody ends is a wrong one after this long.
pub(crate) const COMPARING_MS: u64 = 60_000;
/// Addresses that are remembered for each kind of secret.
const REMEMBERED: usize = 8;

impl Step<'_> {
    /// The count of wrong passwords: one more with each comparison that begins, and none again only by a success.
    pub(super) fn passwords(&mut self, past: &mut Past) {
        let before = self.before.map(|before| before.passwords.comparing.as_slice()).unwrap_or_default();
        let (has_account, now) = (self.before.is_some_and(|before| before.account.is_some()), self.after.seen_at);
        if past.wrong_passwords.are_forgotten(has_account, now) {
            past.wrong_passwords = Guesses::default();
        }
        let is_old = |new: &SeenComparing| before.iter().any(|old| old.nonce == new.nonce);
        let begun: Vec<u64> =
            self.after.passwords.comparing.iter().filter(|it| !is_old(it)).map(|it| it.nonce).collect();
        self.rule(begun.len() <= 1, "a step begins one comparison");
        for nonce in begun {
            self.rule(past.begun.insert(nonce), "a comparison that was over came back");
            let count = &past.wrong_passwords;
            let waited = count.shaken || now >= count.last_at + delay(count.failures);
            let left = count.failures < GUESSES_STOP_AT;
            let failures = count.failures.saturating_add(1);
            self.rule(waited, "I7 a password was compared within its delay");
            self.rule(left, "a password was compared after the last one");
            past.wrong_passwords = Guesses { failures, last_at: now, shaken: self.rebased };
        }
        let found = self.after.passwords.guesses.failures;
        let by_id = self.approved.is_some() && self.compared_by_id > 0;
        if by_id || self.unlocked || self.password_was_right() {
            past.wrong_passwords = Guesses::default();
        }
        let forgotten = found == 0 && past.wrong_passwords.shaken && !has_account;
        let expected = past.wrong_passwords.failures;
        self.rule(found == expected || forgotten, "the budget of passwords is neither refunded nor overdrawn");
        past.wrong_passwords.failures = found;
    }

    /// A comparison is over, nothing is counted any more, and a session is open or the account is shut.
    fn password_was_right(&self) -> bool {
        let Some(before) = self.before else { return false };
        let opened = self
            .after
            .sessions
            .iter()
            .any(|session| session.door.purpose == "password" && before.session(session.nonce).is_none());
        let ended = before.passwords.comparing.iter().any(|old| self.after.comparing(old.nonce).is_none());
        ended && self.after.passwords.guesses.failures == 0 && (opened || self.after.is_shut())
    }

    /// Strikes of the addresses: kept until their time, and one for every comparison that was not right.
    pub(super) fn blocks(&mut self) {
        let tries = self.after.passwords.comparing.iter().map(|comparing| comparing.address);
        let addresses: BTreeSet<u64> = tries.collect();
        let after = self.after;
        for address in addresses {
            let under_way = after.passwords.comparing.iter().filter(|it| it.address == address).count();
            let spent = usize::from(after.strikes("Password", address).map_or(0, |strikes| strikes.count));
            self.rule(under_way + spent <= usize::from(STRIKES), "I1 an address compares no more than it may");
        }
        let Some(before) = self.before.filter(|_| !self.rebased && !self.unlocked) else { return };
        for old in before.blocks.iter().filter(|old| after.seen_at < old.until) {
            self.strikes_stay(before, old);
        }
        self.comparisons_count(before);
    }

    fn strikes_stay(&mut self, before: &Seen, old: &SeenStrikes) {
        let is_full = self.after.blocks.iter().filter(|it| it.asked == old.asked).count() >= REMEMBERED;
        let forgiven = !old.blocked
            && match old.asked.as_str() {
                "Code" => self.approved.is_some(),
                _ => self.password_was_right() && before.passwords.comparing.iter().any(|it| it.address == old.address),
            };
        match self.after.strikes(&old.asked, old.address) {
            Some(new) => {
                let stays = new.count >= old.count && new.until >= old.until && (new.blocked || !old.blocked);
                self.rule(stays, "I7 a block never moves earlier");
                self.rule(new.count <= STRIKES, "an address was struck beyond its last");
            }
            None => self.rule(forgiven || is_full, "I1 strikes are never given back"),
        }
    }

    /// A comparison ends with a strike of its address or a sign-in, or its account has gone.
    fn comparisons_count(&mut self, before: &Seen) {
        let user = |seen: &Seen| seen.account.as_ref().map(|account| account.user_id);
        if user(before) != user(self.after) {
            self.rule(self.after.passwords.comparing.is_empty(), "what is compared is not about another account");
            let registers = before.account.is_none() && before.claim.is_none() && self.after.has_password();
            let burnt = before.grants.iter().any(|old| self.after.grants.iter().all(|new| new.nonce != old.nonce));
            self.rule(!registers || burnt, "a registration burns its grant");
            return;
        }
        let now = self.after.seen_at;
        let over = |old: &&SeenComparing| self.after.comparing(old.nonce).is_none() && now < old.at + BLOCK_MS;
        let gone: Vec<u64> = before.passwords.comparing.iter().filter(over).map(|it| it.address).collect();
        let (mut right, addresses) = (usize::from(self.password_was_right()), gone.iter().copied());
        for address in addresses.collect::<BTreeSet<_>>() {
            let ended = gone.iter().filter(|it| **it == address).count();
            let count = |seen: &Seen| {
                let strikes = seen.strikes("Password", address).filter(|strikes| now < strikes.until);
                usize::from(strikes.map_or(0, |strikes| strikes.count))
            };
            let struck = count(self.after) >= count(before) + ended;
            let was_right = right > 0;
            right -= usize::from(!struck && was_right);
            self.rule(struck || was_right, "I1 a comparison ends with a strike or a sign-in");
        }
    }
}
