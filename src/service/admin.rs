//! What administrators may do to a number: clear its locks, shut its account and open it again.

use super::{Answer, Dialect, Failure, Origin, Service, audit};
use crate::record::{Command, Outcome, PhoneNumber};

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
