//! What administrators may do: to a number clear its locks, shut its account and open it again; to events that could not
//! be delivered look at them, deliver them after all and throw them away.

use super::{Answer, Dialect, Failure, Origin, Service, audit};
use crate::{
    phone::Fault,
    record::{Command, Outcome, PhoneNumber},
    store::StoreFault,
    webhooks::DeadLetter,
};

/// What becomes of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetterFate {
    /// It is delivered after all.
    Retry,
    /// It is thrown away.
    Drop,
}

impl Service {
    /// Clears delays, blocks and counts of failures of a number.
    pub async fn unlock(&self, dialect: &Dialect, origin: &Origin, phone: PhoneNumber) -> Result<Answer<()>, Failure> {
        self.administer(dialect, origin, phone, Command::Unlock, "number_unlocked").await
    }

    /// Shuts the account of a number, or opens it again. While it is shut nobody signs in, and no token is good.
    pub async fn set_active(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        active: bool,
    ) -> Result<Answer<()>, Failure> {
        let event = if active { "account_activated" } else { "account_deactivated" };
        self.administer(dialect, origin, phone, Command::SetActive { active }, event).await
    }

    /// Events that could not be delivered, from the oldest on: those after the event `after`, and the event to go on
    /// after.
    pub async fn dead_letters(&self, after: u64, limit: usize) -> Result<(Vec<DeadLetter>, Option<u64>), Failure> {
        self.parts.dead_letters.list(after, limit).await.map_err(|fault| unstored(&fault))
    }

    /// Delivers one of them after all, or throws it away. False: there is no such one.
    pub async fn decide_dead_letter(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        id: u64,
        fate: DeadLetterFate,
    ) -> Result<bool, Failure> {
        self.to_its_end(dialect, origin, move |service, dialect, origin| async move {
            let letters = &service.parts.dead_letters;
            let (event, was_there) = match fate {
                DeadLetterFate::Retry => ("dead_letter_retried", letters.retry(id).await),
                DeadLetterFate::Drop => ("dead_letter_dropped", letters.drop_letter(id).await),
            };
            let was_there = was_there.map_err(|fault| unstored(&fault))?;
            if was_there {
                audit::done_to_letter(event, &dialect, &origin, id);
            }
            Ok(was_there)
        })
        .await
    }

    async fn administer(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        command: Command,
        event: &'static str,
    ) -> Result<Answer<()>, Failure> {
        let request = self.request(origin, command);
        self.to_its_end(dialect, origin, move |service, dialect, origin| async move {
            let reply = service.ask(&dialect, phone, request).await?;
            match reply.outcome {
                Outcome::Done => {
                    audit::done(event, &dialect, &origin, phone);
                    Ok(Answer::of(&reply, ()))
                }
                _ => Err(service.unexpected(&dialect, &reply)),
            }
        })
        .await
    }
}

fn unstored(fault: &StoreFault) -> Failure {
    tracing::warn!(%fault, "dead letters not reached");
    Failure::Fault(match fault {
        StoreFault::Refused(_) => Fault::StorageRefused,
        StoreFault::Unknown(_) => Fault::Unknown,
    })
}
