//! Moving an account to another number: two records, four steps, each repeatable.
//!
//! The steps themselves are the core's (`record::decide::account`); here is only their order. Whoever meets a
//! record in the middle calls [`Service::finish_move`] and goes on.

use std::{net::Ipv4Addr, time::Duration};

use tokio::sync::mpsc;

use crate::{
    phone::Fault,
    record::{
        Account, Command, Move, NO_NEW_USER, Outcome, PHONE_CHANGE, PhoneNumber, Refusal, SessionRef, SignIn, SignedIn,
    },
    sms::{Channel, Sms, routes::Way},
    spending::Asker,
    token::TokenError,
};

use super::{
    Answer, Dialect, Failure, Origin, Service, SignedInTokens, StartInput, User, audit, clearance::parts,
    number::destination, verification::Verification,
};

/// Tries to find a free place among the sends for the notice, a second apart.
const NOTICE_TRIES: u32 = 10;

impl Service {
    /// Starts a phone change: a code to the new number, bound to the session that asks. The sign-in must be fresh.
    pub async fn start_phone_change(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        user: &User,
        to: PhoneNumber,
    ) -> Result<Answer<Verification>, Failure> {
        let now = self.now();
        if now.since(user.session.opened_at) > dialect.policy.fresh_login_ms {
            let quota = crate::record::SendQuota { most: 0, window_ms: 0, remaining: 0, reset_at: now };
            let refusal = Refusal::NotFresh;
            let failure = Failure::Refused(super::Refused { refusal, now, quota });
            audit::refused("phone_change_requested", dialect, origin, user.phone, &failure);
            return Err(failure);
        }
        let bound_to = Some(user.session_ref());
        self.start(dialect, origin, StartInput { bound_to, ..StartInput::plain(to, PHONE_CHANGE) }).await
    }

    /// The right code was given on the new number: brings the account there and signs in.
    pub(super) async fn complete_move(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        from: PhoneNumber,
        to: PhoneNumber,
        session: Option<SessionRef>,
    ) -> Result<SignedInTokens, Failure> {
        let session = session.map(|session| session.nonce).ok_or(Failure::Internal("a claim without a session"))?;
        let sign_in = SignIn { session: self.draw(), user_id: NO_NEW_USER, client: Self::client_of(origin) };
        let (service, of) = (self.clone(), dialect.clone());
        let task =
            self.tasks.spawn(async move { service.finish_move(&of, Move { from, to, session }, Some(sign_in)).await });
        let moved = task.await.unwrap_or(Err(Failure::Internal("a phone change panicked")));
        let moved = moved.map_err(|failure| match failure {
            // The claim stands and the change will be finished: never "nothing was done".
            Failure::Fault(_) => Failure::Fault(Fault::Unknown),
            failure => failure,
        })?;
        audit::done("phone_left", dialect, origin, from);
        audit::done("phone_changed", dialect, origin, to);
        let signed_in = moved.ok_or(Failure::Internal("a phone change without a session"))?;
        self.sign(dialect, to, &signed_in, self.now())
    }

    /// Brings an account on its way to its new number. Every step may have been done before.
    pub(super) async fn finish_move(
        &self,
        dialect: &Dialect,
        unfinished: Move,
        sign_in: Option<SignIn>,
    ) -> Result<Option<SignedIn>, Failure> {
        let Move { from, to, session } = unfinished;
        let account = match self.step(dialect, from, Command::Release { to, session }).await? {
            Outcome::Released(account) => account,
            outcome => {
                // Nothing to fetch (the session ended meanwhile): the new number need not wait for it.
                self.step(dialect, to, Command::DropClaim { from, session }).await?;
                return Err(refused_move(&outcome));
            }
        };
        let adopt = Command::Adopt { from, session, account: account.clone(), sign_in };
        let signed_in = match self.step(dialect, to, adopt).await? {
            Outcome::SignedIn(signed_in) => Some(signed_in),
            Outcome::Done => None,
            Outcome::Refused(Refusal::NothingToMove | Refusal::Inactive) => {
                // It has been there before and has left again or been erased, or it has arrived and is shut: only the
                // parcel is a left-over.
                self.clear_parcel(dialect, from, to, account.user_id).await;
                return Err(Failure::Token(TokenError::Invalid));
            }
            outcome => {
                tracing::error!(%from, %to, "a moved account could not be adopted and waits on its old number");
                return Err(refused_move(&outcome));
            }
        };
        self.notify_old_number(dialect, from, &account);
        self.clear_parcel(dialect, from, to, account.user_id).await;
        Ok(signed_in)
    }

    /// The last step. The account has arrived whatever comes of it: a parcel that is left is dropped by the next who
    /// finds it.
    async fn clear_parcel(&self, dialect: &Dialect, from: PhoneNumber, to: PhoneNumber, user_id: u64) {
        if let Err(failure) = self.step(dialect, from, Command::DropParcel { to, user_id }).await {
            tracing::warn!(%from, %to, ?failure, "what is left of a phone change was not cleared");
        }
    }

    /// One step, without looking at unfinished moves again: that is what these steps mend.
    async fn step(&self, dialect: &Dialect, phone: PhoneNumber, command: Command) -> Result<Outcome, Failure> {
        let policy = std::sync::Arc::clone(&dialect.policy);
        Ok(self.parts.directory.ask(phone, policy, command.into()).await?.outcome)
    }

    /// Tells the old number. It is best effort: the account has moved whether or not the notice arrives. It is paid for
    /// like any message, and a test number gets none.
    fn notify_old_number(&self, dialect: &Dialect, from: PhoneNumber, account: &Account) {
        if self.parts.test_numbers.contains_key(&from) {
            return;
        }
        let (texts, asked) = (&self.parts.texts, account.profile.locale.as_deref());
        let (text, locale) = (texts.phone_changed(asked), texts.picked_for_notice(asked).to_owned());
        let facts = [from.as_u64(), account.user_id, account.verified_at.0].map(u64::to_be_bytes);
        let id = u128::from_be_bytes(self.parts.keys.tag("notice", &facts.each_ref().map(|fact| fact.as_slice())));
        let sms = Sms { locale, ..Sms::notice(id, from, &text) };
        // Whoever finishes a change may not be who asked for it.
        let asker = Asker { request_id: "", dialect: dialect.name, address: Ipv4Addr::UNSPECIFIED.into() };
        let service = self.clone();
        self.tasks.spawn(async move {
            for _ in 0..NOTICE_TRIES {
                let plan = service.parts.sender.plan(destination(from), Way::Channel(Channel::Sms));
                if let Ok(permit) = service.parts.sender.reserve(&plan) {
                    let Ok(reservation) = service.set_aside(asker, &plan, parts(&sms.text)).await else {
                        tracing::warn!(phone = %from, "the old number could not be told of its change: not permitted");
                        return;
                    };
                    if let Err(error) = service.hand_over((permit, reservation), sms, &plan).await.result {
                        tracing::warn!(phone = %from, %error, "the old number could not be told of its change");
                    }
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            tracing::warn!(phone = %from, "the old number could not be told of its change: too many sends");
        });
    }

    /// Finishes moves that the actors report when they load a record in the middle of one.
    pub async fn finish_reported_moves(self, dialect: Dialect, mut reported: mpsc::Receiver<Move>) {
        while let Some(unfinished) = reported.recv().await {
            if let Err(failure) = self.finish_move(&dialect, unfinished, None).await {
                tracing::warn!(from = %unfinished.from, to = %unfinished.to, ?failure, "a phone change did not finish");
            }
        }
    }
}

/// The asking session has ended: to the caller, its token is not good.
fn refused_move(outcome: &Outcome) -> Failure {
    match outcome {
        Outcome::Refused(_) => Failure::Token(TokenError::Invalid),
        _ => Failure::Internal("the core answered another question"),
    }
}
