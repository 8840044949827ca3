//! From a draft to a settled send: after the commit, outside the actor, so that a slow provider delays one request
//! and no mailbox.

use crate::{
    record::{Command, DeliveryState, Draft, Label, Outcome, PhoneNumber, Request, SECOND, SendResult},
    sms::{
        SendClass, Sms,
        sender::{SendPermit, SendReport},
        text::{self, CodeFacts},
    },
};

use super::{Answer, Dialect, Failure, Origin, Service, audit, verification::Verification};

impl Service {
    /// Asks for a send and makes it, to its end: a client that hangs up between commit and send must not leave a code
    /// that nobody was sent.
    pub(super) async fn issue(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        command: Command,
    ) -> Result<Answer<Verification>, Failure> {
        let Some(permit) = self.parts.sender.reserve() else {
            self.meters.refused(dialect.name, "overloaded");
            return Err(Failure::SendsOverloaded);
        };
        let request = self.request(origin, command);
        self.to_its_end(dialect, origin, |service, dialect, origin| async move {
            service.issue_now(&dialect, &origin, phone, request, permit).await
        })
        .await
    }

    async fn issue_now(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        request: Request,
        permit: SendPermit,
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
        let sms = self.message(dialect, phone, &draft, reply.now.0);
        let report = self.parts.sender.send(permit, &sms).await;
        self.expect_receipt(&sms, &report);
        audit::sent(dialect, origin, phone, &draft, &report);
        self.settle(dialect, answer, &draft, report).await
    }

    fn message(&self, dialect: &Dialect, phone: PhoneNumber, draft: &Draft, now_ms: u64) -> Sms {
        let texts = &self.parts.texts;
        let valid_s = u32::try_from(draft.expires_at.0.saturating_sub(now_ms) / SECOND).unwrap_or(u32::MAX);
        let host = draft.facts.origin.as_deref().and_then(|origin| texts.webotp_host(origin));
        let hash = draft.facts.app_hash.as_deref().and_then(|hash| texts.app_hash(hash));
        let text = texts.code(&CodeFacts {
            code: text::Code(draft.code.reveal()),
            valid_s,
            locale: draft.facts.locale.as_deref(),
            webotp_host: host.as_ref(),
            app_hash: hash.as_ref(),
            own: dialect.text.as_deref(),
        });
        // Of the challenge and its send, so that a send that is made up for after a crash is the same message.
        let parts: [&[u8]; 3] = [&phone.as_u64().to_be_bytes(), &draft.nonce.to_be_bytes(), &[draft.delivery]];
        let id = u128::from_be_bytes(self.parts.keys.tag("message", &parts));
        let reference = self.parts.keys.reference(draft.key, phone, draft.nonce, draft.delivery);
        Sms { reference, code: Some(draft.code.clone()), valid_s, ..Sms::notice(id, phone, &text) }
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
        let route = Label::new(report.route).unwrap_or(Label::of("other"));
        let (result, state) = match &report.result {
            Ok(_) => (SendResult::Accepted, DeliveryState::Accepted),
            Err(error) if error.class.certain() => {
                let number_at_fault = error.class.number_at_fault();
                (SendResult::Failed { number_at_fault }, DeliveryState::Failed)
            }
            Err(_) => (SendResult::Unknown, DeliveryState::Unknown),
        };
        let phone = answer.value.phone;
        let settle = Command::Settle { nonce: draft.nonce, delivery: draft.delivery, route, result };
        let policy = std::sync::Arc::clone(&dialect.policy);
        if let Some(last) = answer.value.view.deliveries.last_mut() {
            last.route = Some(route);
            last.state = state;
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
