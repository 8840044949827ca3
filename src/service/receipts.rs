//! Receipts: from what a provider posted to the records of the messages it is about.
//!
//! The gateway checks and reads; this opens the references and asks the numbers' actors, one receipt behind the other,
//! and waits for them: what was answered well is durable, and what could not be done is answered with a fault, upon
//! which the provider posts it again. That repeats nothing, because a message moves forward only. The work runs to its
//! end even if the provider hangs up. Receipts are advice: none confirms a phone or touches a limit (security 113 to 116).

mod provider_ids;

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use metrics::{Counter, Histogram, counter, histogram};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::provider_ids::ProviderIds;
use super::{Service, audit, number::destination};
use crate::{
    metrics as names,
    phone::Fault,
    record::{Arrival, Command, Label, Millis, Opened, Outcome, PhoneNumber, Policy, Received},
    sms::{
        receipt::{Receipt, ReceiptOf, ReceiptRefused, ReceiptRequest},
        sender::SendReport,
    },
};

/// Limits of receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptSettings {
    /// Posts worked on at once, 1 and up. Default 256: each is one small write.
    pub inflight_max: usize,
    /// Providers' own ids of messages remembered at once, 1 and up. Default 100,000, about 20 MiB.
    pub ids_max: usize,
    /// How long each is remembered, in milliseconds. Default a day.
    pub ids_life_ms: Millis,
}

impl Default for ReceiptSettings {
    fn default() -> Self {
        Self { inflight_max: 256, ids_max: 100_000, ids_life_ms: crate::record::DAY }
    }
}

/// Why receipts were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptFailure {
    /// No gateway of that name is in use, or it takes none.
    NotTaken,
    /// Not signed by the provider.
    Unsigned,
    /// The provider could not be asked whether they are true.
    Unconfirmed,
    /// As many are being worked on as may be.
    Overloaded,
    /// A number's actor could not be asked.
    Fault(Fault),
}

/// Who posted it, for the audit log.
#[derive(Debug, Clone)]
pub struct Poster {
    /// Ties answers, logs and audit events together.
    pub request_id: Arc<str>,
    /// The address it came from.
    pub address: IpAddr,
}

/// A receipt that moved its message.
#[derive(Debug, Clone, Copy)]
pub struct ReceiptSeen {
    /// The gateway's name.
    pub route: &'static str,
    /// Whose message.
    pub phone: PhoneNumber,
    /// Of which challenge.
    pub nonce: u64,
    /// Which send of it.
    pub delivery: u8,
    /// By what it was sent.
    pub channel: Label,
    /// How far it has come.
    pub arrival: Arrival,
    /// How long after its send was decided, in milliseconds.
    pub after_ms: Millis,
}

/// What is kept between receipts.
#[derive(Debug)]
pub(super) struct Receipts {
    slots: Arc<Semaphore>,
    ids: ProviderIds,
    /// No figure of a policy counts for a receipt.
    policy: Arc<Policy>,
    overloaded: Counter,
    meters: HashMap<&'static str, Meters>,
}

/// One gateway's metrics.
#[derive(Debug)]
struct Meters {
    outcomes: HashMap<&'static str, Counter>,
    seconds: Histogram,
}

impl Receipts {
    pub(super) fn new(settings: ReceiptSettings) -> Self {
        let meters = |route: &'static str| {
            let outcome =
                |outcome: &'static str| (outcome, counter!(names::RECEIPTS, "route" => route, "outcome" => outcome));
            let outcomes = names::RECEIPT_OUTCOMES.iter().copied().map(outcome).collect();
            (route, Meters { outcomes, seconds: histogram!(names::RECEIPT_SECONDS, "route" => route) })
        };
        Self {
            slots: Arc::new(Semaphore::new(settings.inflight_max)),
            ids: ProviderIds::new(settings.ids_max, settings.ids_life_ms),
            policy: Arc::default(),
            overloaded: counter!(names::OVERLOAD, "limit" => "receipts_inflight"),
            meters: names::SMS_ROUTES.iter().copied().map(meters).collect(),
        }
    }

    fn count(&self, route: &'static str, outcome: &'static str) {
        if let Some(counter) = self.meters.get(route).and_then(|meters| meters.outcomes.get(outcome)) {
            counter.increment(1);
        }
    }
}

impl Service {
    /// Takes what a provider posted; answers how many messages it moved. What is signed and cannot be read, and what is
    /// about no message of ours, is taken and moves none: the provider would only repeat it.
    ///
    /// # Errors
    /// Nothing of it is believed, or it may be posted again.
    pub async fn take_receipts(
        &self,
        gateway: &str,
        request: &ReceiptRequest<'_>,
        poster: &Poster,
    ) -> Result<usize, ReceiptFailure> {
        let gateway = Arc::clone(self.parts.sender.gateway(gateway).ok_or(ReceiptFailure::NotTaken)?);
        let route = gateway.name();
        let Ok(slot) = Arc::clone(&self.receipts.slots).try_acquire_owned() else {
            self.receipts.overloaded.increment(1);
            return Err(ReceiptFailure::Overloaded);
        };
        let receipts = match gateway.read_receipts(request).await {
            Ok(receipts) => receipts,
            Err(ReceiptRefused::Unreadable) => {
                self.receipts.count(route, "unreadable");
                audit::receipt(route, "ignored", "unreadable", None, poster);
                return Ok(0);
            }
            Err(ReceiptRefused::NotTaken) => return Err(ReceiptFailure::NotTaken),
            Err(ReceiptRefused::Unsigned) => {
                self.receipts.count(route, "refused");
                audit::receipt(route, "refused", "unsigned", None, poster);
                return Err(ReceiptFailure::Unsigned);
            }
            Err(ReceiptRefused::Unconfirmed) => {
                self.receipts.count(route, "unconfirmed");
                return Err(ReceiptFailure::Unconfirmed);
            }
        };
        let (service, poster) = (self.clone(), poster.clone());
        let task = self.tasks.spawn(async move { service.move_all(route, receipts, &poster, slot).await });
        task.await.unwrap_or(Err(ReceiptFailure::Fault(Fault::Unknown)))
    }

    async fn move_all(
        &self,
        route: &'static str,
        receipts: Vec<Receipt>,
        poster: &Poster,
        _slot: OwnedSemaphorePermit,
    ) -> Result<usize, ReceiptFailure> {
        let mut moved = 0;
        let mut failure = None;
        for receipt in receipts {
            // One that fails does not keep the others; the provider repeats all, and what has moved stays.
            match self.move_one(route, &receipt, poster).await {
                Ok(has_moved) => moved += usize::from(has_moved),
                Err(fault) => failure = Some(fault),
            }
        }
        failure.map_or(Ok(moved), |fault| Err(ReceiptFailure::Fault(fault)))
    }

    async fn move_one(&self, route: &'static str, receipt: &Receipt, poster: &Poster) -> Result<bool, Fault> {
        let Some((Opened { phone, nonce }, delivery)) = self.message_of(route, &receipt.of) else {
            self.receipts.count(route, "unknown");
            audit::receipt(route, "ignored", "unknown", None, poster);
            return Ok(false);
        };
        let arrival = Arrival::from(receipt.state);
        let label = Label::new(route).unwrap_or(Label::of("other"));
        let command = Command::Receipt { nonce, delivery, route: label, arrival };
        let policy = Arc::clone(&self.receipts.policy);
        let reply = self.parts.directory.ask(phone, policy, command.into()).await?;
        let Outcome::Received(received) = reply.outcome else { return Ok(false) };
        let moved = match received {
            Received::Unknown => Err("unknown"),
            Received::Known => Err("repeated"),
            Received::Moved { sent_at, channel } => {
                Ok(ReceiptSeen { route, phone, nonce, delivery, channel, arrival, after_ms: reply.now.since(sent_at) })
            }
        };
        match &moved {
            Ok(seen) => self.on_receipt(seen),
            Err(why) => self.receipts.count(route, why),
        }
        let (outcome, reason) = moved.map_or_else(|why| ("ignored", why), |seen| ("done", word(seen.arrival)));
        audit::receipt(route, outcome, reason, Some(phone), poster);
        Ok(outcome == "done")
    }

    /// A message has moved: what statistics are made of.
    fn on_receipt(&self, seen: &ReceiptSeen) {
        self.receipts.count(seen.route, word(seen.arrival));
        let after = Duration::from_millis(seen.after_ms);
        match seen.arrival {
            Arrival::Sent => {}
            Arrival::Delivered => self.parts.sender.delivered(seen.route, destination(seen.phone).country, after),
            Arrival::Undelivered => self.waiting.ring((seen.phone, seen.nonce, seen.delivery)),
        }
        if let Some(meters) = self.receipts.meters.get(seen.route)
            && seen.arrival == Arrival::Delivered
        {
            meters.seconds.record(after);
        }
    }

    /// Which send a receipt is about.
    fn message_of(&self, route: &'static str, of: &ReceiptOf) -> Option<(Opened, u8)> {
        let remembered;
        let reference = match of {
            ReceiptOf::Reference(reference) => reference.as_str(),
            ReceiptOf::ProviderId(id) => {
                remembered = self.receipts.ids.reference(route, id, self.now())?;
                &remembered
            }
        };
        self.parts.keys.open_reference(reference)
    }

    /// A message was handed over: if its receipts will name the provider's own id, that is remembered.
    pub(super) fn expect_receipt(&self, reference: &str, report: &SendReport) {
        let Some(id) = report.result.as_ref().ok().and_then(|accepted| accepted.provider_id.as_deref()) else { return };
        let gateway = self.parts.sender.gateway(report.route);
        if gateway.is_some_and(|gateway| gateway.receipts_by_provider_id()) && !reference.is_empty() {
            self.receipts.ids.remember(report.route, id, reference, self.now());
        }
    }
}

fn word(arrival: Arrival) -> &'static str {
    match arrival {
        Arrival::Sent => "sent",
        Arrival::Delivered => "delivered",
        Arrival::Undelivered => "undelivered",
    }
}
