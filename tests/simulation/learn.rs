//! What an answer teaches, and whether it could be true: the rules of single commands.

use otpd::{
    phone::Reply,
    record::{Account, Command, DAY, Outcome, Refusal, SignIn, SignedIn, Status},
};

use super::{
    judge::{Case, Judgement, rule},
    person::Granted,
};

/// Index of the door whose codes sign nobody in.
pub(crate) const PAYMENT: usize = 2;

impl Case<'_> {
    /// Judges and remembers the answer to this command. A replay taught what it says the first time.
    pub(crate) fn learn(&mut self, reply: &Reply) -> Judgement {
        if let Outcome::SignedIn(session) = &reply.outcome {
            self.opened(session)?;
        }
        let command = &self.op.command;
        match command {
            Command::Start(_) | Command::Resend { .. } | Command::Advance { .. } => self.sent(reply),
            Command::Check { .. } => self.compared(reply),
            Command::Cancel { nonce } => {
                if matches!(&reply.outcome, Outcome::Verification(view) if view.status == Status::Canceled) {
                    let moment = self.moment;
                    let asked = self.person.asked_mut(*nonce);
                    let lost = asked.as_ref().is_some_and(|asked| asked.approved.is_some_and(|at| at < self.op.asked));
                    asked.into_iter().for_each(|asked| asked.canceled = asked.canceled.or(Some(moment)));
                    return rule(!lost, "an approved challenge was canceled");
                }
                Ok(())
            }
            Command::Read { nonce } => self.read(*nonce, reply),
            Command::Redeem { nonce, sign_in } => self.redeemed(*nonce, *sign_in, reply),
            Command::Register { nonce, .. } => self.registered(*nonce, reply),
            Command::BeginPassword { nonce, .. } => {
                let moment = self.moment;
                if let Outcome::Comparing(hash) = &reply.outcome
                    && let Some(compared) = self.person.compared_mut(*nonce)
                {
                    (compared.begun, compared.hash) = (Some(moment), hash.clone());
                }
                Ok(())
            }
            Command::EndPassword { nonce, right, .. } => self.password_compared(*nonce, right.is_some(), reply),
            Command::Refresh { session, generation, rotate } => self.refreshed(*session, *generation, *rotate, reply),
            Command::Authenticate { session } | Command::UpdateProfile { session, .. } => {
                self.written(&reply.outcome);
                match &reply.outcome {
                    Outcome::Authenticated { account, .. } => self.authenticated(*session, account),
                    outcome => self.unknown(*session, outcome),
                }
            }
            Command::Export { session } => match &reply.outcome {
                Outcome::Exported(export) => self.authenticated(*session, &export.account),
                outcome => self.unknown(*session, outcome),
            },
            Command::EndSession { session, by } => {
                let (moment, done) = (self.moment, reply.outcome == Outcome::Done);
                if let Some(held) = self.person.held_mut(*session) {
                    held.doubts -= u32::from(!done);
                    held.ended = held.ended.or_else(|| done.then_some(moment));
                }
                by.map_or(Ok(()), |by| self.unknown(by, &reply.outcome))
            }
            Command::Erase { session } => {
                self.departed(reply.outcome == Outcome::Done && !reply.replayed);
                self.unknown(*session, &reply.outcome)
            }
            Command::Release { .. } => {
                self.departed(matches!(reply.outcome, Outcome::Released(_)));
                Ok(())
            }
            Command::Settle { .. }
            | Command::Receipt { .. }
            | Command::Unlock
            | Command::ReadGrant { .. }
            | Command::Identify
            | Command::SetActive { .. }
            | Command::Adopt { .. }
            | Command::DropParcel { .. }
            | Command::DropClaim { .. } => Ok(()),
        }
    }

    /// What was never answered may have been done: sessions opened at the same time may have gone with the account.
    pub(crate) fn perhaps_done(&mut self) {
        let asked_at = self.op.asked;
        if matches!(self.op.command, Command::Erase { .. } | Command::Release { .. }) {
            let later = self.person.held.iter_mut().filter(|held| held.asked > asked_at);
            later.for_each(|held| held.doubts += 1);
        }
    }

    /// Takes back the doubts of a request that was certainly not done.
    pub(crate) fn not_done(&mut self) {
        match &self.op.command {
            Command::EndSession { session, .. } | Command::Refresh { session, .. } => {
                self.person.held_mut(*session).into_iter().for_each(|held| held.doubts -= 1);
            }
            Command::Erase { .. } | Command::Release { .. } => self.departed(false),
            Command::UpdateProfile { .. } => self.settle_write(false),
            _ => {}
        }
        let key = self.op.key.filter(|_| self.op.other_body);
        for key in self.person.keys.iter_mut().filter(|it| Some(it.key) == key) {
            key.foreign -= 1;
        }
    }

    fn sent(&mut self, reply: &Reply) -> Judgement {
        let Outcome::Issued(view) = &reply.outcome else { return Ok(()) };
        let moment = self.moment;
        if let Some(asked) = self.person.asked_mut(view.nonce) {
            asked.expires_at = asked.expires_at.min(view.expires_at.0);
            asked.told = asked.told.or(Some(moment));
            if let Some(draft) = &reply.draft {
                let same = asked.code.as_ref().is_none_or(|code| code.matches(&draft.code));
                asked.code = Some(draft.code.clone());
                return rule(same, "a resend sent another code");
            }
        }
        Ok(())
    }

    /// A code was compared, or not.
    fn compared(&mut self, reply: &Reply) -> Judgement {
        let (asked_at, moment) = (self.op.asked, self.moment);
        match &reply.outcome {
            Outcome::Refused(Refusal::WrongCode { attempts_remaining, .. }) => {
                let Some(nonce) = self.by_id() else {
                    self.person.wrong_by_number += 1;
                    return Ok(());
                };
                let Some(asked) = self.person.asked_mut(nonce) else { return Ok(()) };
                rule(!self.op.right || asked.chosen, "a right code was called wrong")?;
                let told = asked.told_remaining.insert(*attempts_remaining, moment);
                rule(told.is_none(), "I1 two wrong codes cost one try")
            }
            Outcome::Refused(Refusal::StruckOut { .. }) => {
                self.person.wrong_by_number += u64::from(self.by_id().is_none());
                rule(!self.op.right || self.by_id().is_none(), "a right code was called wrong")
            }
            Outcome::Approved { .. } | Outcome::SignedIn(_) | Outcome::Granted { .. } | Outcome::Claimed { .. } => {
                if let Outcome::Granted { nonce, .. } = reply.outcome
                    && !reply.replayed
                {
                    self.person.grants.push(Granted { nonce, used: None });
                }
                if reply.replayed { Ok(()) } else { self.approved(reply, asked_at) }
            }
            _ => Ok(()),
        }
    }

    /// A password signs in its own account, once, for a comparison that was begun, and never without being right.
    fn password_compared(&mut self, nonce: u64, was_right: bool, reply: &Reply) -> Judgement {
        let (asked_at, moment, at) = (self.op.asked, self.moment, reply.now.0.max(self.op.seen_at));
        let good = was_right && self.op.comparable_until.is_some_and(|until| at < until);
        let lets_in = matches!(reply.outcome, Outcome::SignedIn(_) | Outcome::Refused(Refusal::Inactive));
        rule(lets_in || !good, "a right password was refused")?;
        rule(was_right || !lets_in, "a wrong password let someone in")?;
        let passwords = &self.ledger.passwords;
        let Some(compared) = self.person.compared.iter_mut().find(|it| it.nonce == nonce) else { return Ok(()) };
        let once = !lets_in || compared.ended.is_none_or(|at| at > asked_at);
        let was_begun = compared.begun.is_some_and(|at| at < asked_at);
        if was_begun || lets_in {
            compared.ended = compared.ended.or(Some(moment));
        }
        rule(once, "a comparison was ended twice")?;
        let Outcome::SignedIn(session) = &reply.outcome else { return Ok(()) };
        // What was compared is known only if its begin was answered.
        let Some(_) = compared.begun else { return Ok(()) };
        let owner = compared.hash.as_ref().and_then(|hash| passwords.get(hash.expose()));
        rule(owner == Some(&session.user_id), "a password opened another account than its own")
    }

    fn approved(&mut self, reply: &Reply, asked_at: u64) -> Judgement {
        let (right, by_id, seen_at, moment) = (self.op.right, self.by_id().is_some(), self.op.seen_at, self.moment);
        let door = self.op.door;
        let is_session = matches!(reply.outcome, Outcome::SignedIn(_));
        rule(!is_session || by_id || door != PAYMENT, "a code of another purpose signed someone in")?;
        let Some(asked) = self.checked(&reply.outcome) else { return Ok(()) };
        let rules = [
            (asked.door == door, "a code was good at another door"),
            (!is_session || asked.door != PAYMENT, "a code of another purpose signed someone in"),
            (right || !by_id, "a wrong code was approved"),
            (asked.approved.is_none(), "I3 a code was approved twice"),
            (asked.canceled.is_none_or(|at| at > asked_at), "I3 the code of a canceled challenge was approved"),
            (reply.now.0 < asked.expires_at, "I8 a code was approved after its time"),
            (seen_at < asked.expires_at, "I8 a code was approved after its time was seen to be over"),
            (
                !by_id || asked.told_remaining.get(&0).is_none_or(|at| *at > asked_at),
                "I4 a code was approved without a try",
            ),
        ];
        asked.approved = Some(moment);
        match reply.outcome {
            Outcome::Approved { at, .. } => asked.approved_at = at.0,
            _ => asked.redeemed = Some(moment),
        }
        rules.into_iter().try_for_each(|(holds, name)| rule(holds, name))
    }

    /// A session was opened, or its tokens were told again.
    fn opened(&mut self, session: &SignedIn) -> Judgement {
        let (asked_at, moment) = (self.op.asked, self.moment);
        let Some(held) = self.person.held_mut(session.session) else {
            return Err("a session that nobody asked for".to_owned());
        };
        rule(held.ended.is_none_or(|at| at > asked_at), "tokens for a session that has ended")?;
        held.opened = held.opened.or(Some(moment));
        held.user_id = session.user_id;
        held.generation = held.generation.max(session.generation);
        held.expires_at = session.expires_at.0;
        Ok(())
    }

    fn read(&self, nonce: u64, reply: &Reply) -> Judgement {
        let Some(asked) = self.person.asked(nonce) else { return Ok(()) };
        let known = asked.told.is_some_and(|at| at < self.op.asked);
        let stored = self.ledger.seen(self.person.phone).and_then(|seen| seen.challenge(nonce));
        let stored = stored.is_some_and(|challenge| reply.now.0 < challenge.created_at + DAY);
        match &reply.outcome {
            Outcome::Verification(view) => {
                let approved = asked.approved.is_some_and(|at| at < self.op.asked);
                let canceled = asked.canceled.is_some_and(|at| at < self.op.asked);
                rule(!approved || view.status == Status::Approved, "I10 an approval was lost")?;
                rule(!canceled || view.status == Status::Canceled, "I10 a cancellation was lost")
            }
            Outcome::Refused(Refusal::UnknownChallenge) => rule(!known || !stored, "I10 a challenge was lost"),
            outcome => Err(format!("a read was answered with {outcome:?}")),
        }
    }

    fn redeemed(&mut self, nonce: u64, sign_in: SignIn, reply: &Reply) -> Judgement {
        if reply.outcome == Outcome::Refused(Refusal::Inactive) && self.op.key.is_none() {
            let moment = self.moment;
            self.person.asked_mut(nonce).into_iter().for_each(|asked| asked.redeemed = asked.redeemed.or(Some(moment)));
        }
        let Outcome::SignedIn(session) = &reply.outcome else { return Ok(()) };
        if reply.replayed {
            return Ok(());
        }
        rule(session.session == sign_in.session, "a receipt opened another session")?;
        let life_ms = self.policy(self.op.door).receipt_life_ms;
        let (asked_at, moment) = (self.op.asked, self.moment);
        let Some(asked) = self.person.asked_mut(nonce) else { return Ok(()) };
        let rules = [
            (asked.redeemed.is_none(), "a receipt worked twice"),
            (asked.voided.is_none_or(|at| at > asked_at), "a receipt outlived its account"),
            (asked.door != PAYMENT, "a code of another purpose signed someone in"),
            (asked.approved.is_none() || reply.now.0 < asked.approved_at + life_ms, "a receipt worked after its time"),
        ];
        asked.redeemed = Some(moment);
        rules.into_iter().try_for_each(|(holds, name)| rule(holds, name))
    }

    fn registered(&mut self, nonce: u64, reply: &Reply) -> Judgement {
        let signed_in = matches!(reply.outcome, Outcome::SignedIn(_)) && !reply.replayed;
        let moment = self.moment;
        self.person.registered |= signed_in;
        let Some(grant) = self.person.grants.iter_mut().find(|grant| grant.nonce == nonce && signed_in) else {
            return Ok(());
        };
        let fresh = grant.used.is_none();
        grant.used = Some(moment);
        rule(fresh, "a grant worked twice")
    }

    /// One chain: the newest token brings its successor, the one before it the same again for a moment, others end it.
    fn refreshed(&mut self, session: u64, generation: u32, rotate: bool, reply: &Reply) -> Judgement {
        let grace_ms = self.policy(self.op.door).refresh_grace_ms;
        let rotated_at =
            self.ledger.seen(self.person.phone).and_then(|seen| seen.session(session)).map(|it| it.rotated_at);
        let moment = self.moment;
        if let Some(held) = self.person.held_mut(session) {
            held.doubts -= 1;
            if reply.outcome == Outcome::Refused(Refusal::RefreshReused) {
                held.ended = held.ended.or(Some(moment));
            }
        }
        let Outcome::SignedIn(signed_in) = &reply.outcome else { return self.unknown(session, &reply.outcome) };
        let next = signed_in.generation == generation + 1;
        rule(next || (!rotate && signed_in.generation == generation), "a refresh chain forked")?;
        // The ledger's rotation may be a later one only if others refreshed meanwhile.
        let late = self.op.alone.is_some() && rotated_at.is_some_and(|at| reply.now.0 > at + grace_ms);
        rule(!(next && late), "a retired token was good after its grace")
    }

    fn authenticated(&mut self, session: u64, account: &Account) -> Judgement {
        let asked_at = self.op.asked;
        if let Some(held) = self.person.held(session) {
            rule(held.ended.is_none_or(|at| at > asked_at), "a session that has ended was alive")?;
            let same = held.opened.is_none() || held.user_id == account.user_id;
            rule(same, "a session became another user's")?;
        }
        let bio = account.profile.bio.as_deref();
        let current = self.bios.may_be(account.user_id, bio, asked_at);
        rule(current, "I10 a profile is not as it was last written")
    }

    /// A session was said to have ended: could it have?
    fn unknown(&self, session: u64, outcome: &Outcome) -> Judgement {
        let Some(held) = self.person.held(session) else { return Ok(()) };
        let opened = held.opened.is_some_and(|at| at < self.op.asked);
        let is_gone = matches!(outcome, Outcome::Refused(Refusal::SessionUnknown | Refusal::NoAccount));
        let lost = is_gone && opened && held.ended.is_none();
        rule(!lost || self.may_be_over(held), "I10 a session was lost")
    }

    fn written(&mut self, outcome: &Outcome) {
        self.settle_write(matches!(outcome, Outcome::Authenticated { .. }));
    }

    fn settle_write(&mut self, made: bool) {
        let Command::UpdateProfile { session, patch } = &self.op.command else { return };
        let user_id = self.person.held(*session).map(|held| held.user_id);
        if let (Some(user_id), Some(Some(text))) = (user_id, &patch.bio) {
            self.bios.settle(user_id, text, self.moment, made);
        }
    }

    /// The account went, or did not: all sessions and receipts that were there before went with it.
    fn departed(&mut self, gone: bool) {
        let (asked_at, moment) = (self.op.asked, self.moment);
        for held in &mut self.person.held {
            if !gone {
                held.doubts -= u32::from(held.asked < asked_at);
            } else if held.opened.is_some_and(|at| at < asked_at) {
                held.ended = held.ended.or(Some(moment));
            } else {
                // Opened at the same time: before it or after it.
                held.doubts += u32::from(held.asked > asked_at);
            }
        }
        // A release is answered the same when it is repeated, and then nothing goes with it.
        let gone = gone && matches!(self.op.command, Command::Erase { .. });
        for asked in self.person.asked.iter_mut().filter(|_| gone) {
            if asked.approved.is_some_and(|at| at < asked_at) {
                asked.voided = asked.voided.or(Some(moment));
            }
        }
    }
}
