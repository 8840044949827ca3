//! Before a send is decided: who may be asked to make it, whether it may be made at all, and the money for it.
//!
//! A refusal here changes nothing, neither in the record nor in what is spent.

use std::{cmp::Reverse, time::Duration};

use crate::{
    guard::{Ask, Prices},
    phone::Fault,
    record::{Code, Command, Outcome, PhoneNumber, Refusal, Request, SECOND, UnixMillis},
    sms::{
        Channel,
        routes::{Destination, Plan, Way},
        segments,
        sender::{NoPermit, SendPermit, UNCERTAIN_MAX},
    },
    spending::{self, Asker, Reservation},
};

use super::{
    Answer, Dialect, Failure, Origin, Service, audit, number::destination, sending::replay, verification::Verification,
};

/// A message that may be sent: who may be asked, and the right to.
pub(super) enum Clearance {
    /// These may be asked, and the money for it is set aside.
    Send(Box<Plan>, SendPermit, Reservation),
    /// A test number: nothing is sent.
    Test(Way),
}

impl Service {
    /// May a message of so many parts go to this number now? Nothing is decided before, so a refusal changes nothing.
    pub(super) async fn clear(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        (way, parts): (Way, u8),
    ) -> Result<Clearance, Failure> {
        if self.parts.test_numbers.contains_key(&phone) {
            return Ok(Clearance::Test(way));
        }
        let plan = self.parts.sender.plan(destination(phone), way);
        self.clear_plan(dialect, origin, plan, parts).await
    }

    /// The same for a plan that is made.
    pub(super) async fn clear_plan(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        plan: Plan,
        parts: u8,
    ) -> Result<Clearance, Failure> {
        let permit = self.parts.sender.reserve(&plan).map_err(|no| match no {
            NoPermit::Overloaded => Failure::SendsOverloaded,
            NoPermit::NoRoute => Failure::ChannelUnsupported,
            NoPermit::AllFailing { retry_after } => Failure::NoRoute { retry_after },
        })?;
        let asker = Asker { request_id: &origin.request_id, dialect: dialect.name, address: origin.address };
        let reservation = self.set_aside(asker, &plan, parts).await?;
        Ok(Clearance::Send(Box::new(plan), permit, reservation))
    }

    /// Asks the guard, and sets the money for a message aside.
    pub(super) async fn set_aside(&self, asker: Asker<'_>, plan: &Plan, parts: u8) -> Result<Reservation, Failure> {
        let keeper = &self.parts.keeper;
        if keeper.is_idle() {
            return Ok(Reservation::free());
        }
        let ask = ask_of(&keeper.policy().prices, plan, parts);
        keeper.reserve(&ask, asker).await.map_err(|refusal| match refusal {
            spending::Refusal::NotPermitted(rule) => Failure::DestinationNotPermitted { rule: rule.name() },
            spending::Refusal::Closed { rule, retry_at } => {
                Failure::DestinationClosed { rule: rule.name(), retry_after: self.until(retry_at) }
            }
            spending::Refusal::BudgetSpent { retry_at } => Failure::BudgetSpent { retry_after: self.until(retry_at) },
            spending::Refusal::LedgerFailed => Failure::Fault(Fault::StorageRefused),
        })
    }

    fn until(&self, at: UnixMillis) -> Duration {
        Duration::from_millis(at.since(self.now()))
    }

    /// What a message is billed as. A start's is known; one that is sent again is taken for the longest there is.
    pub(super) fn parts_of(&self, dialect: &Dialect, command: &Command) -> u8 {
        let Command::Start(start) = command else { return self.parts.texts.parts_most() };
        let asked = start.chosen.as_ref().map(Code::digits).or(start.digits);
        let digits = asked.unwrap_or(dialect.policy.code_digits);
        let valid_s = start.life_ms.unwrap_or(dialect.policy.code_life_ms) / SECOND;
        let valid_s = u32::try_from(valid_s).unwrap_or(u32::MAX);
        let (text, _) = self.text(dialect, &start.facts, (&"0".repeat(usize::from(digits)), valid_s));
        parts(&text)
    }

    /// Nothing more may be sent now; a retry of what was sent is answered all the same.
    pub(super) async fn not_cleared(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        (request, failure): (&Request, Failure),
    ) -> Result<Answer<Verification>, Failure> {
        if request.idempotency.is_some() {
            // Asks for nothing itself, so all that can come of it is what was kept under the key.
            let kept = Request { command: Command::Read { nonce: 0 }, idempotency: request.idempotency };
            let reply = self.ask(dialect, phone, kept.into()).await?;
            match reply.outcome.clone() {
                Outcome::Issued(view) => {
                    return replay(Answer::of(&reply, Verification::new(&self.parts.keys, phone, view)));
                }
                Outcome::Refused(Refusal::IdempotencyMismatch) => return Err(self.unexpected(dialect, &reply)),
                _ => {}
            }
        }
        let reason = match failure {
            Failure::SendsOverloaded => "overloaded",
            Failure::DestinationNotPermitted { .. } => "destination",
            Failure::DestinationClosed { .. } => "destination_closed",
            Failure::BudgetSpent { .. } => "budget",
            Failure::ChannelUnsupported => "channel",
            _ => "no_route",
        };
        self.meters.refused(dialect.name, reason);
        audit::refused("code_requested", dialect, origin, phone, &failure);
        Err(failure)
    }
}

/// What the guard is asked for a message of so many parts: whoever of the plan sends it, it costs no more than this.
fn ask_of(prices: &Prices, plan: &Plan, parts: u8) -> Ask {
    let Destination { number, country, kind } = plan.destination();
    // A call has no parts.
    let billed = |channel: Channel| if channel == Channel::Voice { 1 } else { parts };
    let cost = |channel: &Channel| prices.of(number, channel.label()).times(u64::from(billed(*channel)));
    let channel = plan.channels().min_by_key(|channel| Reverse(cost(channel))).unwrap_or(Channel::Sms);
    let tries_max = if plan.len() > 1 { UNCERTAIN_MAX } else { 1 };
    Ask { number, country, kind, channel: channel.label(), parts: billed(channel), tries_max }
}

/// What a text is billed as.
pub(super) fn parts(text: &str) -> u8 {
    u8::try_from(segments::parts(text)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        guard::Micros,
        sms::{console::Console, routes::Routes},
    };

    /// Text messages are paid by part and calls are not, so the dearest part is not the dearest message.
    #[test]
    fn the_dearest_way_of_a_plan_is_set_aside() {
        let number = PhoneNumber::from_e164("+989123456789").unwrap();
        let routes = Routes::only(Arc::new(Console::stdout()));
        let plan = routes.plan(destination(number), Way::Auto);
        let ask = |prices: &[(Channel, u64)], parts| {
            let mut table = Prices::default();
            for (channel, price) in prices {
                assert!(table.add("98", Some(channel.label()), Micros(*price)));
            }
            let ask = ask_of(&table, &plan, parts);
            (ask.channel.as_str().to_owned(), ask.parts, ask.tries_max)
        };
        let prices = [(Channel::Sms, 20), (Channel::Voice, 50), (Channel::Whatsapp, 5)];
        assert_eq!(ask(&prices, 2), ("voice".to_owned(), 1, 2));
        assert_eq!(ask(&prices, 3), ("sms".to_owned(), 3, 2), "three parts cost more than the call");
        assert_eq!(ask(&[], 2), ("sms".to_owned(), 2, 2), "the first way where all cost the same");
    }
}
