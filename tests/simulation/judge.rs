//! Holds every answer against what was promised before, and against what is durable at that very moment.
//!
//! Here are the rules that hold for any command: what is acknowledged is in the store, what is refused has changed
//! nothing, sends keep their limits, and a key brings its answer again. Rules of single commands are in `learn`.

use otpd::{
    phone::{Fault, Reply},
    record::{Command, DAY, Door, Outcome, PHONE_CHANGE, Policy, Received, Refusal, SendResult, Target},
};

use super::{
    ledger::Ledger,
    op::Op,
    person::{Asked, Bios, Held, Moment, Person, Sent},
};

/// One answer and what it is judged by.
pub(crate) struct Case<'a> {
    pub(crate) op: &'a Op,
    pub(crate) person: &'a mut Person,
    pub(crate) bios: &'a mut Bios,
    pub(crate) ledger: &'a Ledger,
    pub(crate) policies: &'a [(Door, std::sync::Arc<Policy>)],
    /// When the answer came.
    pub(crate) moment: Moment,
    /// The latest that any clock shows.
    pub(crate) latest: u64,
}

pub(crate) type Judgement = Result<(), String>;

/// `Err` with the rule unless it holds.
pub(crate) fn rule(holds: bool, rule: &str) -> Judgement {
    if holds { Ok(()) } else { Err(rule.to_owned()) }
}

impl Case<'_> {
    pub(crate) fn judge(&mut self, answer: &Result<Reply, Fault>) -> Judgement {
        match answer {
            Ok(reply) => {
                self.promised(reply)?;
                if writes_nothing(&self.op.command, &reply.outcome) {
                    self.unchanged()?;
                }
                self.shut(reply)?;
                self.replays(reply)?;
                self.issued(reply)?;
                self.learn(reply)?;
                self.keep(reply);
                Ok(())
            }
            Err(Fault::Unknown) => {
                self.perhaps_done();
                Ok(())
            }
            Err(Fault::Unreadable | Fault::Quarantined { .. }) => Err(format!("{answer:?} of a sound record")),
            Err(Fault::Overloaded { .. } | Fault::Busy | Fault::Draining | Fault::StorageRefused) => {
                self.unchanged()?;
                self.not_done();
                Ok(())
            }
        }
    }

    pub(crate) fn policy(&self, door: usize) -> &Policy {
        &self.policies[door].1
    }

    pub(crate) fn by_id(&self) -> Option<u64> {
        match &self.op.command {
            Command::Check { target: Target::Id(nonce), .. } => Some(*nonce),
            _ => None,
        }
    }

    /// I10, commit before reply: what an answer says is durable when it is heard.
    fn promised(&self, reply: &Reply) -> Judgement {
        let Some(past) = self.ledger.past(self.person.phone) else {
            let says_nothing = writes_nothing(&self.op.command, &reply.outcome) || reply.outcome == Outcome::Done;
            return rule(says_nothing, "I10 an answer about a number that was never stored");
        };
        let durable = match &reply.outcome {
            Outcome::Issued(view) => {
                let sent = reply.draft.as_ref().is_none_or(|draft| past.sent.contains(&(draft.nonce, draft.delivery)));
                sent && past.challenges.contains(&view.nonce)
            }
            Outcome::Approved { view, .. } | Outcome::Claimed { view, .. } => past.approved.contains(&view.nonce),
            Outcome::Granted { .. } => self.by_id().is_none_or(|nonce| past.approved.contains(&nonce)),
            Outcome::SignedIn(session) => {
                past.sessions.get(&session.session).is_some_and(|generation| *generation >= session.generation)
            }
            Outcome::Refused(Refusal::WrongCode { attempts_remaining, .. }) => match self.by_id() {
                None => past.compared_by_number > self.person.wrong_by_number,
                Some(nonce) => self.person.asked(nonce).is_none_or(|asked| {
                    let spent = self.policy(asked.door).attempts_max - attempts_remaining;
                    past.tries_by_id.get(&nonce).is_some_and(|tries| *tries >= spent)
                }),
            },
            Outcome::Refused(Refusal::RefreshReused) | Outcome::Done => match &self.op.command {
                Command::Refresh { session, .. } | Command::EndSession { session, .. } => {
                    let stored = self.ledger.seen(self.person.phone).and_then(|seen| seen.session(*session));
                    stored.is_none_or(|stored| stored.expires_at <= reply.now.0.max(self.op.seen_at))
                }
                Command::Erase { session } => {
                    let held = self.person.held(*session).filter(|held| held.opened.is_some());
                    held.is_none_or(|held| self.ledger.places.is_erased(held.user_id))
                }
                Command::Settle { nonce, delivery, result: SendResult::Failed { number_at_fault: false }, .. } => {
                    self.ledger.seen(self.person.phone).is_none_or(|seen| !seen.keeps_failed(*nonce, *delivery))
                }
                Command::SetActive { active } => {
                    let seen = self.ledger.seen(self.person.phone).filter(|_| self.op.alone.is_some());
                    seen.is_none_or(|seen| seen.is_shut() != *active)
                }
                _ => true,
            },
            Outcome::Authenticated { .. } => match &self.op.command {
                Command::UpdateProfile { patch, .. } => patch.bio.iter().flatten().all(|bio| past.bios.contains(bio)),
                _ => true,
            },
            Outcome::Comparing(_) => {
                matches!(&self.op.command, Command::BeginPassword { nonce, .. } if past.begun.contains(nonce))
            }
            Outcome::Refused(Refusal::StruckOut { .. }) => {
                self.by_id().is_some() || past.compared_by_number > self.person.wrong_by_number
            }
            Outcome::Refused(Refusal::WrongPassword { .. }) => match &self.op.command {
                Command::EndPassword { nonce, .. } => {
                    // One whose begin was never answered may begin behind its end.
                    let compared = self.person.compared.iter().find(|compared| compared.nonce == *nonce);
                    let begun = compared.is_some_and(|compared| compared.begun.is_some_and(|at| at < self.op.asked));
                    let stored = self.ledger.seen(self.person.phone).and_then(|seen| seen.comparing(*nonce));
                    stored.is_none() || !begun
                }
                _ => false,
            },
            Outcome::Received(Received::Moved { .. }) => self.has_come(),
            Outcome::Received(_)
            | Outcome::Verification(_)
            | Outcome::Exported(_)
            | Outcome::Released(_)
            | Outcome::Identified(_)
            | Outcome::Refused(_) => true,
        };
        rule(durable, "I10 what was acknowledged is not in the store")
    }

    /// A message that a receipt moved is as far in the store, or further.
    fn has_come(&self) -> bool {
        let Command::Receipt { nonce, delivery, arrival, .. } = &self.op.command else { return false };
        let stored = self.ledger.seen(self.person.phone).and_then(|seen| seen.delivery(*nonce, *delivery));
        stored.is_none_or(|stored| stored.has_come(*arrival))
    }

    /// I9: the store has the very version it had before, unless times were brought back or the record was forgotten.
    fn unchanged(&self) -> Judgement {
        let Some(before) = self.op.alone else { return Ok(()) };
        let after = self.ledger.seen(self.person.phone);
        let same = after.map(|seen| seen.version) == before;
        let allowed = after.is_none_or(|seen| seen.seen_at < self.op.seen_at);
        rule(same || allowed, "I9 an answer that changes nothing came with a change")
    }

    /// A shut account lets nobody in, and nobody is told of one that is not shut.
    fn shut(&self, reply: &Reply) -> Judgement {
        let Some(was_shut) = self.op.was_shut else { return Ok(()) };
        let lets_in =
            matches!(reply.outcome, Outcome::SignedIn(_) | Outcome::Authenticated { .. } | Outcome::Exported(_));
        rule(!(was_shut && lets_in), "a shut account let someone in")?;
        // Whoever brings an account may bring one that is shut.
        let brings = matches!(self.op.command, Command::Adopt { .. });
        let inactive = reply.outcome == Outcome::Refused(Refusal::Inactive);
        rule(was_shut || brings || !inactive, "an account was said to be shut that is not")
    }

    /// A retry with the same key brings the answer of the first, and nothing happens twice.
    fn replays(&self, reply: &Reply) -> Judgement {
        let Some(key) = self.op.key.and_then(|key| self.person.keys.iter().find(|it| it.key == key)) else {
            return rule(!reply.replayed, "a replay without a key");
        };
        if key.foreign > u32::from(self.op.other_body) {
            return Ok(());
        }
        let mismatch = reply.outcome == Outcome::Refused(Refusal::IdempotencyMismatch);
        rule(!mismatch || self.op.other_body, "a key was refused with its own body")?;
        let used = |nonce: &&u64| {
            let past = self.ledger.past(self.person.phone);
            past.is_some_and(|past| past.challenges.contains(nonce) || past.sessions.contains_key(nonce))
        };
        let gone = key.may_be_gone(self.ledger.past(self.person.phone), self.latest)
            || self.session_is_over(key.kept.as_ref().map(|(outcome, _)| outcome));
        let twice = key.nonces.iter().filter(used).count() > 1 && !gone;
        rule(!twice, "a key was used twice").map_err(|rule| format!("{rule}: {key:?}"))?;
        let Some((kept, _)) = key.kept.as_ref().filter(|_| !gone) else { return Ok(()) };
        if matches!((kept, &reply.outcome), (Outcome::Claimed { .. }, Outcome::Refused(_))) {
            return Ok(()); // a claim's answer becomes the session that came of it, and goes with that
        }
        if reply.outcome == Outcome::Refused(Refusal::Inactive) && matches!(kept, Outcome::SignedIn(_)) {
            return Ok(()); // no tokens while the account is shut
        }
        if self.op.other_body {
            return rule(mismatch, "a key was taken with another body");
        }
        let in_flight = matches!(reply.outcome, Outcome::Refused(Refusal::IdempotencyInFlight { .. }));
        let repeated = reply.draft.is_some() && same_answer(kept, &reply.outcome);
        // The answer of the first may arrive behind its replay.
        let overtaken = key.told > self.op.asked;
        let replayed = (reply.replayed || overtaken) && same_answer(kept, &reply.outcome);
        rule(replayed || repeated || in_flight, "a kept answer was not given again")
    }

    /// May the session have ended for a reason that needs no request of its own?
    pub(crate) fn may_be_over(&self, held: &Held) -> bool {
        let past = self.ledger.past(self.person.phone);
        past.is_none_or(|past| held.may_be_over(self.person, past, self.latest))
    }

    /// An answer that would sign tokens goes with its session.
    fn session_is_over(&self, kept: Option<&Outcome>) -> bool {
        let Some(Outcome::SignedIn(session)) = kept else { return false };
        let held = self.person.held(session.session);
        held.is_none_or(|held| held.ended.is_some() || self.may_be_over(held))
    }

    /// I6: a send that was acknowledged keeps every limit, by the history of all that were.
    fn issued(&mut self, reply: &Reply) -> Judgement {
        let (Outcome::Issued(view), Some(draft)) = (&reply.outcome, &reply.draft) else { return Ok(()) };
        let breaks = self.ledger.past(self.person.phone).map(|past| past.breaks.as_slice()).unwrap_or_default();
        self.person.follow(breaks);
        let (address, is_start) = match &self.op.command {
            Command::Start(start) => ((!start.sender.keyed).then_some(start.sender.address), true),
            Command::Resend { sender, .. } => ((!sender.keyed).then_some(sender.address), false),
            Command::Advance { .. } => (None, false),
            _ => return Err("a message with something else than a send".to_owned()),
        };
        let known = |sent: &Sent| (sent.nonce, sent.delivery) == (draft.nonce, draft.delivery);
        let delivery = view.deliveries.iter().find(|delivery| delivery.number == draft.delivery);
        let Some(delivery) = delivery else { return Err("a message for a send that is not there".to_owned()) };
        if delivery.repeated {
            return rule(self.op.key.is_some(), "a message was sent again that nobody asked for again");
        }
        rule(!self.person.sends.iter().any(known), "a message was handed out twice")?;
        let sent = Sent {
            nonce: draft.nonce,
            delivery: draft.delivery,
            // Times may have been brought back between the commit and now.
            at: self.ledger.seen(self.person.phone).map_or(delivery.at.0, |seen| seen.seen_at.min(delivery.at.0)),
            door: self.op.door,
            address,
            is_start,
            asked: self.op.asked,
            answered: self.moment,
            given_back: false,
        };
        // Between two breaks of the number's time nobody outside can tell which limits it was held against.
        let judged = if breaks.len() > self.op.breaks { Ok(()) } else { self.within_limits(&sent) };
        self.person.sends.push(sent);
        judged
    }

    fn within_limits(&self, new: &Sent) -> Judgement {
        let policy = self.policy(new.door);
        let earlier = |sent: &&Sent| !sent.given_back && sent.answered < new.asked && sent.at <= new.at;
        let before: Vec<&Sent> = self.person.sends.iter().filter(earlier).collect();
        let within = |length: u64| before.iter().filter(move |sent| new.at < sent.at + length);
        let window = within(policy.send_window_ms).count();
        rule(window < usize::from(policy.sends_max), "I6 more sends than the window allows")?;
        rule(within(DAY).count() < usize::from(policy.sends_per_day), "I6 more sends than the day allows")?;
        let share = within(DAY).filter(|sent| new.address.is_some() && sent.address == new.address).count();
        rule(share < usize::from(policy.sends_per_day_per_address), "I6 more sends than one address may have")?;
        let lifted = |last: &&&Sent| self.person.may_succeed > 0 || self.person.succeeded >= last.asked;
        let last = before.last().filter(|last| new.is_start && !lifted(last));
        let cooled = last.is_none_or(|last| new.at >= last.at + policy.cooldown_ms);
        rule(cooled, "I6 a send within the cooldown")
    }

    /// Remembers the answer of a key.
    fn keep(&mut self, reply: &Reply) {
        let (key, now, moment) = (self.op.key, self.latest, self.moment);
        let kept = is_kept(&self.op.command, &reply.outcome) && !self.op.other_body;
        let Some(key) = self.person.keys.iter_mut().find(|it| Some(it.key) == key) else { return };
        if self.op.other_body && matches!(reply.outcome, Outcome::Refused(_)) {
            key.foreign -= 1;
        }
        let repeated = matches!(&reply.outcome, Outcome::Issued(view) if view.deliveries.iter().any(|it| it.repeated));
        if kept && !reply.replayed && !repeated {
            // Done now, whatever was before: that answer had gone.
            (key.clock_peak, key.send_failed) = (0, false);
            key.breaks = self.op.breaks;
            key.nonces.retain(|nonce| Some(*nonce) == self.op.nonce());
        }
        if let Outcome::Issued(view) = &reply.outcome
            && repeated
            && view.created_at.0 >= key.asked_at + DAY
        {
            // Started when the first answer had gone; its own was never heard, and this is the message sent once more.
            key.nonces.retain(|nonce| *nonce == view.nonce);
        }
        if kept && (key.kept.is_none() || !reply.replayed) {
            (key.kept, key.told) = (Some((reply.outcome.clone(), now.min(reply.now.0))), moment);
        }
    }

    /// The challenge an answer is about.
    pub(crate) fn checked(&mut self, outcome: &Outcome) -> Option<&mut Asked> {
        let nonce = match outcome {
            Outcome::Approved { view, .. } | Outcome::Claimed { view, .. } => Some(view.nonce),
            _ => self.by_id(),
        };
        self.person.asked_mut(nonce?)
    }
}

/// Answers with which nothing may have been written.
fn writes_nothing(command: &Command, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Refused(
            Refusal::WrongCode { .. }
            | Refusal::StruckOut { .. }
            | Refusal::WrongPassword { .. }
            | Refusal::RefreshReused,
        ) => false,
        Outcome::Refused(Refusal::Inactive) => !matches!(
            command,
            Command::Check { .. } | Command::Redeem { .. } | Command::EndPassword { .. } | Command::Adopt { .. }
        ),
        Outcome::Identified(_) | Outcome::Received(Received::Unknown | Received::Known) => true,
        Outcome::Done if matches!(command, Command::ReadGrant { .. }) => true,
        Outcome::Refused(Refusal::NothingToMove) => !matches!(command, Command::Release { .. }),
        Outcome::Refused(Refusal::AccountExists) => !matches!(command, Command::Check { .. }),
        Outcome::Refused(_) | Outcome::Exported(_) => true,
        Outcome::Authenticated { .. } => matches!(command, Command::Authenticate { .. }),
        Outcome::Verification(_) => matches!(command, Command::Read { .. }),
        _ => false,
    }
}

/// Answers that a key keeps for a day: those of a change.
fn is_kept(command: &Command, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Issued(_)
        | Outcome::Approved { .. }
        | Outcome::SignedIn(_)
        | Outcome::Granted { .. }
        | Outcome::Claimed { .. } => true,
        Outcome::Done => matches!(command, Command::Erase { .. }),
        _ => false,
    }
}

/// The same answer, whatever its sends have come to meanwhile.
fn same_answer(kept: &Outcome, found: &Outcome) -> bool {
    match (kept, found) {
        (Outcome::Issued(kept), Outcome::Issued(found)) => {
            (kept.nonce, kept.created_at) == (found.nonce, found.created_at)
        }
        (Outcome::Approved { view: kept, at, .. }, Outcome::Approved { view: found, at: again, .. }) => {
            (kept.nonce, at) == (found.nonce, again)
        }
        (Outcome::Claimed { view: kept, .. }, Outcome::Claimed { view: found, .. }) => kept.nonce == found.nonce,
        // Once the account has arrived, the answer is the session that was opened with it.
        (Outcome::Claimed { .. }, Outcome::SignedIn(session)) => session.door.purpose == PHONE_CHANGE,
        (kept, found) => kept == found,
    }
}
