//! What the naive model answers, worked out from the facts of its history.

use otpd::record::{Arrival, DAY, Door, HOUR, Label, MINUTE, Millis, Policy, Sender};

use super::{
    asks::{Ask, Settled, Typed, Wanted},
    model::{Challenge, Delivered, End, Event, Facts, Secret, Sent, Session},
    world::policy,
};

/// How a check comes, and where from.
#[derive(Clone, Copy)]
struct By {
    number: bool,
    address: u64,
}

impl Facts {
    /// The answer in words; what is to happen is added to `happened`.
    pub(crate) fn answer(&self, ask: Ask, now: u64, happened: &mut Vec<Event>) -> String {
        match ask {
            Ask::Start { nonce, door, sender } => self.start(nonce, door, sender, now, happened),
            Ask::Resend { nonce, sender } => self.resend(nonce, sender, now, happened),
            Ask::Settle { nonce, send, route, result } => self.settle((nonce, send), route, result, now, happened),
            Ask::Receipt { nonce, send, route, arrival } => self.receipt((nonce, send), route, arrival, happened),
            Ask::CheckById { nonce, via, typed, wanted, address } => {
                if let Some(blocked) = policy(via).block.and_then(|_| self.blocked(Secret::Code, address)) {
                    return blocked;
                }
                let Some(challenge) = self.challenges.iter().find(|challenge| challenge.nonce == nonce) else {
                    return "unknown".to_owned();
                };
                self.check(challenge, By { number: false, address }, typed, wanted, now, happened)
            }
            Ask::CheckByNumber { door, typed, wanted, address } => {
                if let Some(blocked) = policy(door.dialect).block.and_then(|_| self.blocked(Secret::Code, address)) {
                    return blocked;
                }
                let of_door = || self.challenges.iter().rev().filter(|challenge| challenge.door == door);
                let stands = of_door().find(|challenge| matches!(challenge.end, End::Open | End::Approved { .. }));
                let Some(challenge) = stands.or_else(|| of_door().next()) else { return "nothing pending".to_owned() };
                self.check(challenge, By { number: true, address }, typed, wanted, now, happened)
            }
            Ask::Cancel { nonce } => self.cancel(nonce, now, happened),
            Ask::Read { nonce } => self.read(nonce, now),
            Ask::Redeem { nonce, session, user } => self.redeem(nonce, session, user, now, happened),
            Ask::Register { nonce, session, user, password } => {
                if let Some(no) = self.no_grant(nonce) {
                    return no.to_owned();
                }
                happened.push(Event::Registered { nonce, password });
                self.sign_in(session, user, now, happened)
            }
            Ask::ReadGrant { nonce } => self.no_grant(nonce).unwrap_or("done").to_owned(),
            Ask::Identify => format!("user {:?} password {:?} shut {}", self.user, self.password, self.shut),
            Ask::Begin { nonce, via, address, reveal } => self.begin(nonce, via, address, reveal, now, happened),
            Ask::Tell { nonce, via, right, session, renewed } => {
                self.tell(nonce, via, right.then_some((session, renewed)), now, happened)
            }
            Ask::Activate { .. } if self.user.is_none() => "no account".to_owned(),
            Ask::Activate { active } => {
                if self.shut == active {
                    happened.push(Event::Shut { shut: !active });
                }
                "done".to_owned()
            }
            Ask::Refresh { session, generation } => self.refresh(session, generation, now, happened),
            Ask::Authenticate { .. } if self.user.is_none() => "no account".to_owned(),
            Ask::Authenticate { session } => self.session_or(session, |_| "alive".to_owned()),
            Ask::End { session } => {
                if self.sessions.iter().any(|open| open.nonce == session) {
                    happened.push(Event::Ended { session });
                }
                "done".to_owned()
            }
            Ask::Erase { session } => self.session_or(session, |_| {
                happened.push(Event::Erased);
                "done".to_owned()
            }),
            Ask::Unlock => {
                if self.is_locked() {
                    happened.push(Event::Unlocked);
                }
                "done".to_owned()
            }
        }
    }

    fn redeem(&self, nonce: u64, session: u64, user: u64, now: u64, happened: &mut Vec<Event>) -> String {
        let known = self.challenges.iter().find(|challenge| challenge.nonce == nonce);
        let good = known.is_some_and(|challenge| {
            let signs_in = matches!(challenge.door.purpose.as_str(), "login" | "signup");
            let fresh = now < challenge.ended + MINUTE;
            challenge.end == End::Approved { redeemed: false } && signs_in && fresh
        });
        if !good {
            return "receipt invalid".to_owned();
        }
        happened.push(Event::Redeemed { nonce });
        self.sign_in(session, user, now, happened)
    }

    fn sent(&self, (nonce, send): (u64, usize)) -> Option<(u64, Delivered)> {
        let known = self.challenges.iter().find(|challenge| challenge.nonce == nonce)?;
        known.sends.get(send).copied()
    }

    fn receipt(
        &self,
        (nonce, send): (u64, usize),
        route: Label,
        arrival: Arrival,
        happened: &mut Vec<Event>,
    ) -> String {
        let Some((sent_at, delivered)) = self.sent((nonce, send)) else { return "no such message".to_owned() };
        let is_news = match delivered {
            Delivered::Waiting => true,
            Delivered::Settled(by) => by == route,
            Delivered::Received(by, Arrival::Sent) => by == route && arrival != Arrival::Sent,
            Delivered::Failed | Delivered::Received(_, Arrival::Delivered | Arrival::Undelivered) => false,
        };
        if !is_news {
            return "no news".to_owned();
        }
        happened.push(Event::Received { nonce, send, route, arrival });
        format!("moved {sent_at}")
    }

    fn settle(
        &self,
        (nonce, send): (u64, usize),
        route: Label,
        result: Settled,
        now: u64,
        happened: &mut Vec<Event>,
    ) -> String {
        let is_news = match self.sent((nonce, send)) {
            Some((_, Delivered::Waiting)) => true,
            // What one gateway could not bring, another took after it.
            Some((_, Delivered::Received(by, Arrival::Undelivered))) => by != route && result == Settled::Accepted,
            _ => false,
        };
        if is_news {
            let failed = matches!(result, Settled::Failed | Settled::Dead);
            let given_back = result == Settled::Failed;
            happened.push(Event::Settled { nonce, send, route, failed, given_back, at: now });
        }
        "done".to_owned()
    }

    fn session_or(&self, session: u64, answer: impl FnOnce(&Session) -> String) -> String {
        match self.sessions.iter().find(|open| open.nonce == session) {
            None => "session unknown".to_owned(),
            Some(_) if self.shut => "inactive".to_owned(),
            Some(open) => answer(open),
        }
    }

    fn no_grant(&self, nonce: u64) -> Option<&'static str> {
        match self.grants.iter().any(|(grant, _)| *grant == nonce) {
            false => Some("grant invalid"),
            true => self.user.is_some().then_some("account exists"),
        }
    }

    fn sign_in(&self, session: u64, user: u64, now: u64, happened: &mut Vec<Event>) -> String {
        if self.shut {
            return "inactive".to_owned();
        }
        happened.push(Event::SignedIn { session, user, at: now });
        let known = self.user.is_some();
        format!("signed in {session} gen 0 user {} new {}", self.user.unwrap_or(user), !known)
    }

    /// Wrong answers of an address so far, and until when they are remembered.
    fn strikes(&self, secret: Secret, address: u64) -> (u8, u64) {
        let known = self.strikes.iter().find(|it| (it.secret, it.address) == (secret, address));
        known.map_or((0, 0), |known| (known.count, known.until))
    }

    fn blocked(&self, secret: Secret, address: u64) -> Option<String> {
        let (count, until) = self.strikes(secret, address);
        (count >= 3).then(|| format!("blocked {until}"))
    }

    fn begin(&self, nonce: u64, via: Label, address: u64, reveal: bool, now: u64, happened: &mut Vec<Event>) -> String {
        let policy = policy(via);
        if reveal && self.user.is_none() {
            return "no account".to_owned();
        }
        if let Some(blocked) = self.blocked(Secret::Password, address) {
            return blocked;
        }
        if self.passwords.count >= 100 {
            return "stopped".to_owned();
        }
        if now < self.passwords.delayed {
            return format!("delayed {}", self.passwords.delayed);
        }
        let own = self.comparing.iter().filter(|comparing| comparing.address == address).count();
        let left = policy.block.map_or(8, |block| block.strikes - self.strikes(Secret::Password, address).0);
        if own >= usize::from(left) || self.comparing.len() >= 8 {
            return "busy".to_owned();
        }
        happened.push(Event::Begun { nonce, address, at: now });
        format!("comparing {:?}", self.password)
    }

    fn tell(
        &self,
        nonce: u64,
        via: Label,
        right: Option<(u64, Option<u64>)>,
        now: u64,
        happened: &mut Vec<Event>,
    ) -> String {
        let Some(comparing) = self.comparing.iter().find(|comparing| comparing.nonce == nonce) else {
            return "wrong password None".to_owned();
        };
        let (secret, address, blocks) = (Secret::Password, comparing.address, policy(via).block.is_some());
        happened.push(Event::Over { nonce });
        match right.filter(|_| self.password.is_some()) {
            Some((session, renewed)) => {
                happened.push(Event::PasswordRight { renewed });
                happened.extend(blocks.then_some(Event::Forgiven { secret, address }));
                self.sign_in(session, 0, now, happened)
            }
            None if blocks => {
                happened.push(Event::Struck { secret, address, at: now });
                let (count, until) = self.strikes(secret, address);
                let blocked = (count >= 2).then_some(until.max(now + HOUR));
                format!("wrong password {blocked:?}")
            }
            None => "wrong password None".to_owned(),
        }
    }

    /// When the next start may come for the cooldown's sake.
    fn cooled(&self, policy: &Policy) -> u64 {
        self.sends.last().filter(|last| !last.answered).map_or(0, |last| last.at + policy.cooldown_ms)
    }

    /// Window, day, address: how many are inside, and when enough of them will have left.
    fn limits(&self, policy: &Policy, sender: Sender, now: u64) -> Option<String> {
        let limit = |name: &str, most: usize, length: Millis, of: Option<u64>| {
            let counts = |at: u64| {
                let inside = |sent: &&Sent| sent.at + length > at && of.is_none_or(|address| address == sent.address);
                self.sends.iter().filter(inside).count() >= most
            };
            let mut ends: Vec<u64> = self.sends.iter().map(|sent| sent.at + length).collect();
            ends.sort_unstable();
            counts(now).then(|| format!("{name} {}", ends.into_iter().find(|at| !counts(*at)).unwrap()))
        };
        let day = usize::from(policy.sends_per_day);
        let share = usize::from(policy.sends_per_day_per_address);
        limit("window", usize::from(policy.sends_max), policy.send_window_ms, None)
            .or_else(|| limit("day", day, DAY, None))
            .or_else(|| if sender.keyed { None } else { limit("address", share, DAY, Some(sender.address)) })
    }

    fn start(&self, nonce: u64, door: Door, sender: Sender, now: u64, happened: &mut Vec<Event>) -> String {
        let policy = policy(door.dialect);
        let cooled = self.cooled(&policy);
        if now < cooled {
            return format!("cooldown {cooled}");
        }
        if let Some(limit) = self.limits(&policy, sender, now) {
            return limit;
        }
        happened.push(Event::Started { nonce, door, at: now });
        happened.push(Event::Sent { nonce, address: sender.address, at: now });
        "issued".to_owned()
    }

    fn resend(&self, nonce: u64, sender: Sender, now: u64, happened: &mut Vec<Event>) -> String {
        let Some(challenge) = self.challenges.iter().find(|challenge| challenge.nonce == nonce) else {
            return "unknown".to_owned();
        };
        if let Some(over) = challenge.over(now) {
            return over.to_owned();
        }
        let policy = policy(challenge.door.dialect);
        if challenge.by_id >= policy.attempts_max {
            return "exhausted".to_owned();
        }
        let (left, at) = (challenge.resends_left(&policy), self.resend_at(challenge, &policy));
        if left == 0 || challenge.sends.len() >= 8 {
            return format!("resends {}", challenge.until);
        }
        if now < at {
            return format!("cooldown {at}");
        }
        if let Some(limit) = self.limits(&policy, sender, now) {
            return limit;
        }
        happened.push(Event::Sent { nonce, address: sender.address, at: now });
        "issued".to_owned()
    }

    fn resend_at(&self, challenge: &Challenge, policy: &Policy) -> u64 {
        let counted: Vec<u64> = challenge.counted().collect();
        let waits = &policy.resend_after_ms;
        let wait = waits[counted.len().saturating_sub(1).min(waits.len() - 1)];
        (counted.last().unwrap_or(&challenge.created) + wait).max(self.cooled(policy))
    }

    fn check(
        &self,
        challenge: &Challenge,
        By { number: by_number, address }: By,
        typed: Typed,
        wanted: Wanted,
        now: u64,
        happened: &mut Vec<Event>,
    ) -> String {
        let (nonce, policy) = (challenge.nonce, policy(challenge.door.dialect));
        if let Some(over) = challenge.over(now) {
            return over.to_owned();
        }
        let signs_in = matches!(challenge.door.purpose.as_str(), "login" | "signup");
        if matches!(wanted, Wanted::Session { .. }) && !signs_in {
            return "not for sign-in".to_owned();
        }
        if by_number && self.codes.count >= 100 {
            return "stopped".to_owned();
        }
        if by_number && now < self.codes.delayed {
            return format!("delayed {}", self.codes.delayed);
        }
        let spent = if by_number { challenge.by_number } else { challenge.by_id };
        if spent >= policy.attempts_max {
            return "exhausted".to_owned();
        }
        if typed == Typed::Short {
            return "format".to_owned();
        }
        happened.push(Event::Compared { nonce, by_number, right: typed == Typed::Right, at: now });
        let secret = Secret::Code;
        if typed == Typed::Wrong && policy.block.is_some() {
            happened.push(Event::Struck { secret, address, at: now });
            if self.strikes(secret, address).0 == 2 {
                return format!("struck out {}", now + HOUR);
            }
        }
        if typed == Typed::Wrong {
            return format!("wrong {}", policy.attempts_max - spent - 1);
        }
        happened.extend(policy.block.map(|_| Event::Forgiven { secret, address }));
        match wanted {
            Wanted::Approval => format!("approved new {}", self.user.is_none()),
            Wanted::Session { session, user } => {
                happened.push(Event::Redeemed { nonce });
                self.sign_in(session, user, now, happened)
            }
            Wanted::Grant { nonce: grant } => {
                happened.push(Event::Redeemed { nonce });
                happened.push(Event::Granted { nonce: grant, until: now + 10 * MINUTE });
                format!("granted {}", now + 10 * MINUTE)
            }
        }
    }

    fn cancel(&self, nonce: u64, now: u64, happened: &mut Vec<Event>) -> String {
        let Some(challenge) = self.challenges.iter().find(|challenge| challenge.nonce == nonce) else {
            return "unknown".to_owned();
        };
        if challenge.end == End::Canceled {
            return self.read(nonce, now);
        }
        if let Some(over) = challenge.over(now) {
            return over.to_owned();
        }
        happened.push(Event::Canceled { nonce, at: now });
        self.read(nonce, now).replace("Pending", "Canceled").replace("MaxAttemptsReached", "Canceled")
    }

    fn read(&self, nonce: u64, now: u64) -> String {
        let Some(challenge) = self.challenges.iter().find(|challenge| challenge.nonce == nonce) else {
            return "unknown".to_owned();
        };
        let policy = policy(challenge.door.dialect);
        let tries = policy.attempts_max - challenge.by_id;
        let status = match challenge.end {
            End::Approved { .. } => "Approved",
            End::Canceled | End::Superseded => "Canceled",
            End::Failed => "Failed",
            End::Open if now >= challenge.until => "Expired",
            End::Open if tries == 0 => "MaxAttemptsReached",
            End::Open => "Pending",
        };
        let (resends, at) = (challenge.resends_left(&policy), self.resend_at(challenge, &policy));
        format!("{status} tries {tries} resends {resends} from {at}")
    }

    fn refresh(&self, session: u64, generation: u32, now: u64, happened: &mut Vec<Event>) -> String {
        let user = self.user.unwrap_or_default();
        if self.shut {
            return "inactive".to_owned();
        }
        self.session_or(session, |open| {
            if generation == open.generation {
                happened.push(Event::Refreshed { session, at: now });
                format!("signed in {session} gen {} user {user} new false", generation + 1)
            } else if generation + 1 == open.generation && now - open.rotated <= 10_000 {
                format!("signed in {session} gen {} user {user} new false", open.generation)
            } else {
                happened.push(Event::Ended { session });
                "refresh reused".to_owned()
            }
        })
    }
}

impl Challenge {
    /// Why it takes no code any more.
    fn over(&self, now: u64) -> Option<&'static str> {
        match self.end {
            End::Approved { .. } => Some("already approved"),
            End::Canceled | End::Superseded | End::Failed => Some("closed"),
            End::Open => (now >= self.until).then_some("expired"),
        }
    }

    /// Times of the sends that did not fail.
    fn counted(&self) -> impl Iterator<Item = u64> {
        self.sends.iter().filter(|(_, delivered)| *delivered != Delivered::Failed).map(|(at, _)| *at)
    }

    fn resends_left(&self, policy: &Policy) -> usize {
        (policy.resend_after_ms.len() + 1).saturating_sub(self.counted().count().max(1))
    }
}
