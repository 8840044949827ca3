//! From a draft to a settled send: after the commit, outside the actor, so that a slow provider delays one request
//! and no mailbox.

use crate::{
    record::{
        AUTO, ChallengeView, Command, DeliveryState, Draft, Label, Outcome, PhoneNumber, Request, SECOND, SendResult,
    },
    sms::{
        Channel, SendClass, Sms,
        country::Country,
        routes::{Destination, Plan, Way},
        sender::{NoPermit, SendPermit, SendReport},
        text::{self, CodeFacts},
    },
};

use super::{Answer, Dialect, Failure, Origin, Service, audit, auto::Sent, number, verification::Verification};

/// A message that may be sent: who may be asked, and the right to.
pub(super) enum Clearance {
    /// These may be asked.
    Send(Plan, SendPermit),
    /// A test number: nothing is sent.
    Test(Way),
}

impl Service {
    /// Asks for a send and makes it, to its end: a client that hangs up between commit and send must not leave a code
    /// that nobody was sent. `way` is by what to send; `None` leaves it to the challenge.
    pub(super) async fn issue(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        way: Option<Way>,
        command: Command,
    ) -> Result<Answer<Verification>, Failure> {
        let request = self.request(origin, command);
        self.proven(dialect, origin, phone, request.idempotency.as_ref())?;
        let clearance =
            self.clear(phone, way).inspect_err(|failure| self.not_cleared(dialect, origin, phone, failure))?;
        self.to_its_end(dialect, origin, |service, dialect, origin| async move {
            service.issue_now(&dialect, &origin, phone, request, clearance).await
        })
        .await
    }

    /// May a message go to this number now? Nothing is decided before, so a refusal changes nothing.
    fn clear(&self, phone: PhoneNumber, way: Option<Way>) -> Result<Clearance, Failure> {
        if self.parts.test_numbers.contains_key(&phone) {
            return Ok(Clearance::Test(way.unwrap_or(Way::Auto)));
        }
        self.clear_plan(self.parts.sender.plan(destination(phone), way.unwrap_or(Way::Auto)))
    }

    /// The same for a plan that is made.
    pub(super) fn clear_plan(&self, plan: Plan) -> Result<Clearance, Failure> {
        match self.parts.sender.reserve(&plan) {
            Ok(permit) => Ok(Clearance::Send(plan, permit)),
            Err(NoPermit::Overloaded) => Err(Failure::SendsOverloaded),
            Err(NoPermit::NoRoute) => Err(Failure::ChannelUnsupported),
            Err(NoPermit::AllFailing { retry_after }) => Err(Failure::NoRoute { retry_after }),
        }
    }

    fn not_cleared(&self, dialect: &Dialect, origin: &Origin, phone: PhoneNumber, failure: &Failure) {
        let reason = match failure {
            Failure::SendsOverloaded => "overloaded",
            Failure::DestinationNotPermitted => "destination",
            Failure::DestinationClosed { .. } => "destination_closed",
            _ => "no_route",
        };
        self.meters.refused(dialect.name, reason);
        audit::refused("code_requested", dialect, origin, phone, failure);
    }

    async fn issue_now(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        request: Request,
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
        self.meters.issued(dialect.name, draft.door.purpose, draft.channel);
        audit::done("code_requested", dialect, origin, phone);
        let (report, plan) = match clearance {
            Clearance::Send(plan, permit) => {
                let plan = self.plan_of(plan, &answer.value.view, &draft);
                let sms = self.message(dialect, phone, &draft, reply.now.0);
                (self.parts.sender.send(permit, sms, &plan).await, Some(plan))
            }
            Clearance::Test(way) => (SendReport::of_a_test(way), None),
        };
        audit::sent(dialect, origin, phone, &draft, &report);
        if let Some(plan) = plan.filter(|_| report.billed > 0) {
            let is_auto = answer.value.view.channel == AUTO;
            let sent = Sent { draft: draft.clone(), report: report.clone(), steps_left: plan.len().saturating_sub(1) };
            self.watch(dialect, origin, plan.destination(), is_auto, sent);
        }
        self.settle(dialect, answer, &draft, report).await
    }

    /// The plan of a draft. A resend knows by what only now; one that left the way to us goes on where it stopped.
    fn plan_of(&self, cleared: Plan, view: &ChallengeView, draft: &Draft) -> Plan {
        let sender = &self.parts.sender;
        let before = view.deliveries.iter().rev().find(|delivery| delivery.number < draft.delivery);
        let Some(before) = before else { return cleared };
        let plan = sender.plan(cleared.destination(), way(draft.channel));
        match (before.route, Channel::named(before.channel.as_str())) {
            (Some(route), Some(channel)) if draft.channel == AUTO => sender.after(plan, route.as_str(), channel),
            _ => plan,
        }
    }

    pub(super) fn message(&self, dialect: &Dialect, phone: PhoneNumber, draft: &Draft, now_ms: u64) -> Sms {
        let texts = &self.parts.texts;
        let valid_s = u32::try_from(draft.expires_at.0.saturating_sub(now_ms) / SECOND).unwrap_or(u32::MAX);
        let host = draft.facts.origin.as_deref().and_then(|origin| texts.webotp_host(origin));
        let hash = draft.facts.app_hash.as_deref().and_then(|hash| texts.app_hash(hash));
        let facts = CodeFacts {
            code: text::Code(draft.code.reveal()),
            valid_s,
            locale: draft.facts.locale.as_deref(),
            webotp_host: host.as_ref(),
            app_hash: hash.as_ref(),
            own: dialect.text.as_deref(),
        };
        let (text, locale) = (texts.code(&facts), texts.picked(&facts).to_owned());
        // Of the challenge and its send, so that a send that is made up for after a crash is the same message.
        let parts: [&[u8]; 3] = [&phone.as_u64().to_be_bytes(), &draft.nonce.to_be_bytes(), &[draft.delivery]];
        let id = u128::from_be_bytes(self.parts.keys.tag("message", &parts));
        let reference = self.parts.keys.reference(draft.key, phone, draft.nonce, draft.delivery);
        Sms { reference, locale, code: Some(draft.code.clone()), valid_s, ..Sms::notice(id, phone, &text) }
    }

    /// Tells the actor what a send came to that nobody waits for.
    pub(super) fn tell_result(&self, dialect: &Dialect, phone: PhoneNumber, draft: &Draft, report: &SendReport) {
        let (settle, _) = settle(draft, report);
        self.parts.directory.tell(phone, std::sync::Arc::clone(&dialect.policy), settle.into());
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
        let policy = std::sync::Arc::clone(&dialect.policy);
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
fn replay(answer: Answer<Verification>) -> Result<Answer<Verification>, Failure> {
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

/// Where a message to this number goes.
pub(super) fn destination(number: PhoneNumber) -> Destination {
    let country = number::region_of(number).and_then(|region| Country::named(&region.to_string()));
    Destination { number, country }
}

/// By what a record's channel says to send; one that has no name any more goes as a text.
pub(super) fn way(channel: Label) -> Way {
    if channel == AUTO { Way::Auto } else { Way::Channel(Channel::named(channel.as_str()).unwrap_or(Channel::Sms)) }
}
