//! Messages that leave the way to us (channel `auto`): when nothing is heard of one, the next way is tried by itself,
//! with the same code.
//!
//! ```text
//! sent, auto ──> wait as long as that gateway usually takes ──> nothing heard? ──> one step further in the plan
//!                    └── a receipt says that it will not arrive: at once
//! ```
//!
//! The record decides whether it is still silent and whether the number's limits allow a further send; here is only the
//! waiting. It lives in memory: a restart leaves a message at the way it went, and its holder may ask for a resend.

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use metrics::counter;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{Dialect, Origin, Service, audit, clearance::Clearance, verification::VerificationRef};
use crate::{
    metrics as names,
    record::{AUTO, Command, Draft, Outcome, PhoneNumber, Status},
    sms::{
        routes::{Destination, Way},
        sender::SendReport,
    },
};

/// Number, challenge, and which send of it: what becomes of one send says nothing of those after it.
type Message = (PhoneNumber, u64, u8);

/// Who is waited for.
#[derive(Debug)]
pub(super) struct Waiting {
    slots: Arc<Semaphore>,
    /// Rung when a receipt says that waiting is of no use.
    bells: DashMap<Message, Arc<Notify>>,
    /// The end of all waiting.
    closing: CancellationToken,
}

impl Waiting {
    /// Room for this many messages.
    pub(super) fn new(most: usize) -> Self {
        let slots = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self { slots, bells: DashMap::new(), closing: CancellationToken::new() }
    }

    /// Nobody is waited for any more.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    /// A message will not arrive.
    pub(super) fn ring(&self, message: Message) {
        if let Some(bell) = self.bells.get(&message) {
            bell.notify_one();
        }
    }

    /// Waits so long, or until it is rung for; false at the end of all waiting.
    async fn silent(&self, message: Message, long: Duration) -> bool {
        let bell = Arc::clone(self.bells.entry(message).or_default().value());
        let goes_on = tokio::select! {
            () = tokio::time::sleep(long) => true,
            () = bell.notified() => true,
            () = self.closing.cancelled() => false,
        };
        self.bells.remove(&message);
        goes_on
    }
}

/// A message that was sent, and what of its plan is left.
pub(super) struct Sent {
    pub(super) draft: Draft,
    pub(super) report: SendReport,
    /// Steps that may still be taken. A challenge started by hand again begins with all but the one just used.
    pub(super) steps_left: usize,
}

impl Service {
    /// Watches over a message that left the way to us, while there is a further one.
    pub(super) fn watch(&self, dialect: &Dialect, origin: &Origin, to: Destination, sent: Sent) {
        if sent.steps_left == 0 {
            return;
        }
        let waiting = &self.waiting;
        let Ok(slot) = Arc::clone(&waiting.slots).try_acquire_owned() else {
            counter!(names::OVERLOAD, "limit" => "auto_waiting").increment(1);
            return;
        };
        let (service, dialect, origin) = (self.clone(), dialect.clone(), origin.clone());
        self.tasks.spawn(async move {
            service.advance_while_silent(&dialect, &origin, to, sent).await;
            drop(slot);
        });
    }

    async fn advance_while_silent(&self, dialect: &Dialect, origin: &Origin, to: Destination, first: Sent) {
        let mut sent = Some(first);
        while let Some(last) = sent.take() {
            let silence = self.parts.sender.silence(last.report.route, to.country);
            if !self.waiting.silent((to.number, last.draft.nonce, last.draft.delivery), silence).await {
                return;
            }
            sent = self.advance(dialect, origin, to, last).await;
        }
    }

    /// One step further, if it is still silent; what was sent then, or `None` if this is the end of it.
    async fn advance(&self, dialect: &Dialect, origin: &Origin, to: Destination, last: Sent) -> Option<Sent> {
        let Sent { draft, report, steps_left } = last;
        // Most have been answered by now, and of those nothing is asked of the guard, nor written into its journal.
        let of = VerificationRef { phone: to.number, nonce: draft.nonce };
        let view = self.read(dialect, of).await.ok()?.value.view;
        let is_newest = view.deliveries.last().is_some_and(|newest| newest.number == draft.delivery);
        if view.status != Status::Pending || !is_newest {
            return None;
        }
        let plan = self.parts.sender.plan(to, Way::Auto);
        let plan = self.parts.sender.after(plan, report.route, report.channel).but_last();
        let clearance = self.clear_plan(dialect, origin, plan, self.parts.texts.parts_most()).await.ok()?;
        let command = Command::Advance { nonce: draft.nonce, past: draft.delivery, code: draft.code };
        let reply = self.ask(dialect, to.number, command.into()).await.ok()?;
        let (Outcome::Issued(view), Some(draft)) = (reply.outcome, reply.draft) else { return None };
        self.meters.issued(dialect.name, draft.door.purpose);
        audit::done("code_sent_another_way", dialect, origin, to.number);
        let Clearance::Send(plan, permit, reservation) = clearance else { return None };
        let sms = self.message(dialect, to.number, &draft, reply.now.0);
        let report = self.hand_over((permit, reservation), sms, &plan).await;
        audit::sent(dialect, origin, to.number, &draft, &report);
        debug_assert_eq!(view.channel, AUTO, "no other advances");
        self.tell_result(dialect, to.number, &draft, &report);
        let went_out = report.billed > 0;
        (went_out && steps_left > 1).then(|| Sent { draft, report, steps_left: steps_left - 1 })
    }
}
