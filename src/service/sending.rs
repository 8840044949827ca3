//! From a draft to a settled send: after the commit, outside the actor, so that a slow provider delays one request
//! and no mailbox.

use std::{sync::Arc, time::Duration};

use crate::{
    record::{
        AUTO, ChallengeView, Command, Delivery, DeliveryState, Draft, KeyId, Label, MessageFacts, Outcome, PhoneNumber,
        Request, SECOND, SendResult, UnixMillis, Verified,
    },
    sms::{
        Channel, SendClass, Sms,
        receipt::Verdict,
        routes::{Plan, Way},
        sender::{SendPermit, SendReport},
        text::{self, CodeFacts},
    },
    spending::Reservation,
};

use super::{
    Answer, Dialect, Failure, Origin, Service, audit, auto::Sent, clearance::Clearance, number::destination,
    verification::Verification,
};

impl Service {
    /// Asks for a send and makes it, to its end: a client that hangs up between commit and send must not leave a code
    /// that nobody was sent. `way` is by what to send.
    pub(super) async fn issue(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        way: Way,
        command: Command,
    ) -> Result<Answer<Verification>, Failure> {
        // Nobody asks for it where nothing is counted, and measuring a text is work.
        let parts = if self.parts.keeper.is_idle() { 1 } else { self.parts_of(dialect, &command) };
        let request = self.request(origin, command);
        self.proven(dialect, origin, phone, request.idempotency.as_ref())?;
        let clearance = match self.clear(dialect, origin, phone, (way, parts)).await {
            Ok(clearance) => clearance,
            Err(failure) => return Box::pin(self.not_cleared(dialect, origin, phone, (&request, failure))).await,
        };
        self.to_its_end(dialect, origin, |service, dialect, origin| async move {
            service.issue_now(&dialect, &origin, phone, request, clearance).await
        })
        .await
    }

    async fn issue_now(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        request: Arc<Request>,
        clearance: Clearance,
    ) -> Result<Answer<Verification>, Failure> {
        let reply = self.ask(dialect, phone, request).await?;
        let Outcome::Issued(view) = reply.outcome.clone() else {
            let failure = self.unexpected(dialect, &reply);
            audit::refused("code_requested", dialect, origin, phone, &failure);
            return Err(failure);
        };
        let mut answer = Answer::of(&reply, Verification::new(&self.parts.keys, phone, view));
        let Some(draft) = reply.draft else { return replay(answer) };
        answer.value.shown_code = self.parts.show_codes.then(|| draft.code.clone());
        self.meters.issued(dialect.name, draft.door.purpose);
        let (report, plan) = match clearance {
            Clearance::Send(plan, permit, reservation) => {
                let plan = self.plan_of(*plan, &answer.value.view, &draft);
                let sms = self.message(dialect, phone, &draft, reply.now.0);
                // Made up for after a crash: the money was set aside before it, and counts as spent since.
                let was_paid = answer.value.view.deliveries.last().is_some_and(|last| last.repeated);
                let reservation = if was_paid { Reservation::free() } else { reservation };
                (self.hand_over((permit, reservation), sms, &plan).await, Some(plan))
            }
            Clearance::Test(way) => (SendReport::of_a_test(way), None),
        };
        audit::sent(dialect, origin, phone, &draft, &report);
        let is_auto = answer.value.view.channel == AUTO;
        if let Some(plan) = plan.filter(|_| is_auto && report.billed > 0) {
            let sent = Sent { draft: draft.clone(), report: report.clone(), steps_left: plan.len().saturating_sub(1) };
            self.watch(dialect, origin, plan.destination(), sent);
        }
        self.settle(dialect, answer, &draft, report).await
    }

    /// Sends a message, bills what came of it, and remembers what its receipts will name it by.
    pub(super) async fn hand_over(
        &self,
        (permit, mut reservation): (SendPermit, Reservation),
        sms: Sms,
        plan: &Plan,
    ) -> SendReport {
        let reference = sms.reference.clone();
        reservation.sending();
        let report = self.parts.sender.send(permit, sms, plan).await;
        reservation.settle(report.billed);
        self.expect_receipt(&reference, &report);
        report
    }

    /// The plan of a draft: a resend that leaves the way to us goes on where the send before it stopped.
    fn plan_of(&self, cleared: Plan, view: &ChallengeView, draft: &Draft) -> Plan {
        let before = view.deliveries.iter().rev().find(|delivery| delivery.number < draft.delivery);
        let before = before.filter(|_| draft.channel == AUTO);
        let step = before.and_then(|before| Some((before.route?, Channel::named(before.channel.as_str())?)));
        match step {
            Some((route, channel)) => self.parts.sender.after(cleared, route.as_str(), channel),
            None => cleared,
        }
    }

    pub(super) fn message(&self, dialect: &Dialect, phone: PhoneNumber, draft: &Draft, now_ms: u64) -> Sms {
        let valid_s = u32::try_from(draft.expires_at.0.saturating_sub(now_ms) / SECOND).unwrap_or(u32::MAX);
        let (text, locale) = self.text(dialect, &draft.facts, (draft.code.reveal(), valid_s));
        // Of the challenge and its send, so that a send that is made up for after a crash is the same message.
        let parts: [&[u8]; 3] = [&phone.as_u64().to_be_bytes(), &draft.nonce.to_be_bytes(), &[draft.delivery]];
        let id = u128::from_be_bytes(self.parts.keys.tag("message", &parts));
        let reference = self.parts.keys.reference(draft.key, phone, draft.nonce, draft.delivery);
        Sms { reference, locale, code: Some(draft.code.clone()), valid_s, ..Sms::notice(id, phone, &text) }
    }

    /// The words of a code, and their language.
    pub(super) fn text(
        &self,
        dialect: &Dialect,
        facts: &MessageFacts,
        (code, valid_s): (&str, u32),
    ) -> (String, String) {
        let texts = &self.parts.texts;
        let host = facts.origin.as_deref().and_then(|origin| texts.webotp_host(origin));
        let hash = facts.app_hash.as_deref().and_then(|hash| texts.app_hash(hash));
        let facts = CodeFacts {
            code: text::Code(code),
            valid_s,
            locale: facts.locale.as_deref(),
            webotp_host: host.as_ref(),
            app_hash: hash.as_ref(),
            own: dialect.text.as_deref(),
        };
        (texts.code(&facts), texts.picked(&facts).to_owned())
    }

    /// A code was given: what routes, guard and providers want to know of it.
    pub(super) fn code_given(&self, phone: PhoneNumber, verified: &Verified, now: UnixMillis) {
        if self.parts.test_numbers.contains_key(&phone) {
            return;
        }
        self.parts.keeper.verified(phone);
        let last = verified.deliveries.iter().rev().find(|delivery| delivery.route.is_some());
        if let Some((delivery, route)) = last.and_then(|delivery| Some((delivery, delivery.route?))) {
            let after = Duration::from_millis(now.since(delivery.at));
            self.parts.sender.verified(route.as_str(), destination(phone).country, after);
        }
        self.conclude(phone, (verified.key, verified.nonce), &verified.deliveries, Verdict::Approved);
    }

    /// Tells the providers that want to know how a verification ended.
    pub(super) fn conclude(
        &self,
        phone: PhoneNumber,
        (key, nonce): (KeyId, u64),
        deliveries: &[Delivery],
        verdict: Verdict,
    ) {
        for delivery in deliveries {
            let gateway = delivery.route.and_then(|route| self.parts.sender.gateway(route.as_str()).cloned());
            let Some(gateway) = gateway.filter(|gateway| gateway.wants_verdicts()) else { continue };
            let reference = self.parts.keys.reference(key, phone, nonce, delivery.number);
            self.tasks.spawn(async move { gateway.conclude(&reference, verdict).await });
        }
    }

    /// Tells the actor what a send came to that nobody waits for.
    pub(super) fn tell_result(&self, dialect: &Dialect, phone: PhoneNumber, draft: &Draft, report: &SendReport) {
        let (settle, _) = settle(draft, report);
        self.parts.directory.tell(phone, Arc::clone(&dialect.policy), settle.into());
    }

    /// Tells the actor what the send came to. A good result is not waited for (the next command of this number is
    /// behind it all the same); a failure is, because the answer promises that the send was given back.
    async fn settle(
        &self,
        dialect: &Dialect,
        mut answer: Answer<Verification>,
        draft: &Draft,
        report: SendReport,
    ) -> Result<Answer<Verification>, Failure> {
        let (settle, state) = settle(draft, &report);
        let phone = answer.value.phone;
        let policy = Arc::clone(&dialect.policy);
        if let Some(last) = answer.value.view.deliveries.last_mut() {
            (last.route, last.channel, last.state) = (Some(route(&report)), report.channel.label(), state);
        }
        if state == DeliveryState::Accepted {
            self.parts.directory.tell(phone, policy, settle.into());
            return Ok(answer);
        }
        if let Err(fault) = self.parts.directory.ask(phone, policy, settle.into()).await {
            tracing::warn!(%phone, ?fault, "could not record what a send came to");
        }
        let verification = Box::new(answer.value);
        match report.result.map_err(|error| error.class) {
            Err(class) if class != SendClass::UnknownOutcome => Err(Failure::NotDelivered { verification, class }),
            _ => Err(Failure::DeliveryUnknown { verification }),
        }
    }
}

/// The gateway as a record keeps it.
fn route(report: &SendReport) -> Label {
    Label::new(report.route).unwrap_or(Label::of("other"))
}

/// What the actor is told of a send, and where that leaves the delivery.
fn settle(draft: &Draft, report: &SendReport) -> (Command, DeliveryState) {
    let (result, state) = match &report.result {
        Ok(_) => (SendResult::Accepted, DeliveryState::Accepted),
        Err(error) if error.class.certain() => {
            let number_at_fault = error.class.number_at_fault();
            (SendResult::Failed { number_at_fault }, DeliveryState::Failed)
        }
        Err(_) => (SendResult::Unknown, DeliveryState::Unknown),
    };
    let (nonce, delivery, channel) = (draft.nonce, draft.delivery, report.channel.label());
    (Command::Settle { nonce, delivery, route: route(report), channel, result }, state)
}

/// A kept answer; one whose send never had a good answer says so again.
pub(super) fn replay(answer: Answer<Verification>) -> Result<Answer<Verification>, Failure> {
    match answer.value.view.deliveries.last().map(|last| last.state) {
        Some(DeliveryState::Unknown | DeliveryState::Sending) => {
            Err(Failure::DeliveryUnknown { verification: Box::new(answer.value) })
        }
        Some(
            DeliveryState::Accepted
            | DeliveryState::Failed
            | DeliveryState::Sent
            | DeliveryState::Delivered
            | DeliveryState::Undelivered,
        )
        | None => Ok(answer),
    }
}

/// By what a record's channel says to send; one that has no name any more goes as a text.
pub(super) fn way(channel: Label) -> Way {
    if channel == AUTO { Way::Auto } else { Way::Channel(Channel::named(channel.as_str()).unwrap_or(Channel::Sms)) }
}
