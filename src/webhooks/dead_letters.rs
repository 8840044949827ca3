//! Events that could not be delivered, as administrators see them: list, deliver after all, throw away.

use std::{fmt, sync::Arc};

use tokio::sync::mpsc;

use super::render::{Told, time};
use crate::store::{Entry, Shelf, SnapshotStore, StoreFault, Verdict};

/// What public ids of events begin with.
pub const EVENT_ID_PREFIX: &str = "evt_";

/// The public id of an event, as in `webhook-id`.
pub fn event_id(id: u64) -> String {
    format!("{EVENT_ID_PREFIX}{id}")
}

/// Reads a public id.
pub fn parse_event_id(text: &str) -> Option<u64> {
    let digits = text.strip_prefix(EVENT_ID_PREFIX)?;
    let id: u64 = digits.parse().ok()?;
    // One spelling each: no sign, no zeros in front.
    (event_id(id) == text && id > 0).then_some(id)
}

/// One of them, without what would name a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its public id.
    pub id: String,
    /// Its type; `unreadable` for bytes of a newer otpd.
    pub name: &'static str,
    /// When it happened, RFC 3339; empty if unreadable.
    pub timestamp: String,
    /// Whose it is, masked.
    pub phone_masked: Option<String>,
    /// Deliveries that were tried; 0: it came when too many waited.
    pub tries: u8,
}

impl DeadLetter {
    fn of(entry: &Entry) -> Self {
        let told = Told::decode(&entry.event);
        Self {
            id: event_id(entry.id),
            name: told.as_ref().map_or("unreadable", Told::name),
            timestamp: told.as_ref().map(|told| time(told.at())).unwrap_or_default(),
            phone_masked: told.as_ref().and_then(Told::phone).map(|phone| phone.masked()),
            tries: entry.tries,
        }
    }
}

/// The list. It stays readable when webhooks are switched off.
#[derive(Clone)]
pub struct DeadLetters {
    store: Arc<dyn SnapshotStore>,
    /// Tells the dispatcher, if there is one, which it has to look at again.
    put_back: Option<mpsc::Sender<u64>>,
}

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters").field("counts", &self.store.outbox().counts()).finish()
    }
}

impl DeadLetters {
    /// Those of a store whose outbox nobody empties.
    pub fn new(store: Arc<dyn SnapshotStore>) -> Self {
        Self { store, put_back: None }
    }

    pub(super) fn with_dispatcher(store: Arc<dyn SnapshotStore>, put_back: mpsc::Sender<u64>) -> Self {
        Self { store, put_back: Some(put_back) }
    }

    /// Up to `limit` of them after the event `after` (0: from the oldest), and the event to go on after.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn list(&self, after: u64, limit: usize) -> Result<(Vec<DeadLetter>, Option<u64>), StoreFault> {
        let entries = self.store.outbox().entries(Shelf::Dead, after, limit.saturating_add(1)).await?;
        let next = if entries.len() > limit { entries.get(limit.wrapping_sub(1)).map(|entry| entry.id) } else { None };
        Ok((entries.iter().take(limit).map(DeadLetter::of).collect(), next))
    }

    /// Puts one back among those that wait, as if it were new. False: there is none.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn retry(&self, id: u64) -> Result<bool, StoreFault> {
        let was_there = self.settle(id, Verdict::Revived).await?;
        if let Some(put_back) = self.put_back.as_ref().filter(|_| was_there) {
            // If it has too many of them in hand, this one waits for the next start.
            let _told = put_back.try_send(id);
        }
        Ok(was_there)
    }

    /// Throws one away. False: there is none.
    ///
    /// # Errors
    /// The store did not take it.
    pub async fn drop_letter(&self, id: u64) -> Result<bool, StoreFault> {
        self.settle(id, Verdict::Dropped).await
    }

    async fn settle(&self, id: u64, verdict: Verdict) -> Result<bool, StoreFault> {
        Ok(self.store.outbox().settle(vec![(id, verdict)]).await? > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        assert_eq!(parse_event_id(&event_id(41)), Some(41));
        for bad in ["", "41", "evt_", "evt_041", "evt_+41", "evt_0", "evt_41 ", "EVT_41", "evt_99999999999999999999"] {
            assert_eq!(parse_event_id(bad), None, "{bad:?}");
        }
    }
}
