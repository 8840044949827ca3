//! What happens to the node itself and is told to the operator's back end: routes, budgets, prefixes.
//!
//! Any part may tell it ([`Events::note`]), never waits for it and never fails because of it: a bounded queue, and what
//! does not fit is dropped and counted. `webhooks` puts it into the store's outbox, from where on it is delivered at
//! least once like any other event. Never a whole phone number: a prefix is masked by who tells it, as in `+98912***`.

use metrics::{Counter, counter};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::record::{decode_as, encode_as};

/// First byte of an encoded event of the node.
pub const KIND: u8 = 2;
/// Longest text in an event, in bytes; longer ones are cut. Ours are names and short words.
const TEXT_MAX: usize = 64;

/// Everything that can happen to the node and is told. New ones go to the end: older bytes have to stay readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeEvent {
    /// A gateway failed so often that it is not asked for now.
    RouteOpened {
        /// Its name.
        gateway: String,
    },
    /// It is asked again.
    RouteClosed {
        /// Its name.
        gateway: String,
    },
    /// A part of a budget is spent.
    BudgetThreshold(Budget),
    /// A budget is spent: nothing more is sent on it.
    BudgetExhausted(Budget),
    /// Messages to a block of numbers are refused, because too few of them are ever used.
    PrefixClosed(Prefix),
    /// They are sent again.
    PrefixReopened(Prefix),
}

/// A budget and how much of it is spent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// ISO 3166 country, as in `IR`; empty for the budget of all together.
    pub country: String,
    /// The limit, in millionths of the currency of the price table.
    pub limit_micros: u64,
    /// What is spent of it, reservations included, in the same unit.
    pub spent_micros: u64,
    /// Share that was crossed, in percent, 1 to 100.
    pub percent: u8,
}

/// A block of numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefix {
    /// Masked, as in `+98912***`.
    pub prefix: String,
    /// The rule that closed it.
    pub rule: String,
}

impl NodeEvent {
    /// Every type there is.
    pub const NAMES: [&'static str; 6] =
        ["route.opened", "route.closed", "budget.threshold", "budget.exhausted", "prefix.closed", "prefix.reopened"];

    /// Its type on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RouteOpened { .. } => "route.opened",
            Self::RouteClosed { .. } => "route.closed",
            Self::BudgetThreshold(_) => "budget.threshold",
            Self::BudgetExhausted(_) => "budget.exhausted",
            Self::PrefixClosed(_) => "prefix.closed",
            Self::PrefixReopened(_) => "prefix.reopened",
        }
    }

    fn texts_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::RouteOpened { gateway } | Self::RouteClosed { gateway } => vec![gateway],
            Self::BudgetThreshold(budget) | Self::BudgetExhausted(budget) => vec![&mut budget.country],
            Self::PrefixClosed(prefix) | Self::PrefixReopened(prefix) => vec![&mut prefix.prefix, &mut prefix.rule],
        }
    }
}

/// An event of the node and when it happened, in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// When.
    pub at_ms: u64,
    /// What.
    pub event: NodeEvent,
}

impl Noted {
    /// Its bytes in the store.
    pub fn encode(&self) -> Vec<u8> {
        encode_as(KIND, self)
    }

    /// Reads it back; `None` for bytes of another kind, of a newer otpd, or damaged ones.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        decode_as(KIND, bytes)
    }
}

/// The handle by which any part tells. Clones share one queue.
#[derive(Debug, Clone, Default)]
pub struct Events(Option<Queue>);

#[derive(Clone)]
struct Queue {
    sender: mpsc::Sender<NodeEvent>,
    lost: Counter,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queue({} free)", self.sender.capacity())
    }
}

impl Events {
    /// Nobody listens: notes are forgotten at once.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// A handle and where its notes arrive; at most `queue_max` of them wait.
    #[must_use]
    pub fn channel(queue_max: usize) -> (Self, mpsc::Receiver<NodeEvent>) {
        let (sender, receiver) = mpsc::channel(queue_max.max(1));
        (Self(Some(Queue { sender, lost: counter!("otpd_webhooks_total", "outcome" => "lost") })), receiver)
    }

    /// Tells that something happened. Never waits; when the queue is full the note is lost and counted.
    pub fn note(&self, mut event: NodeEvent) {
        let Some(queue) = &self.0 else { return };
        for text in event.texts_mut() {
            let end = (0..=TEXT_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text.truncate(end);
        }
        if queue.sender.try_send(event).is_err() {
            queue.lost.increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_dropped_and_nobody_waits() {
        let (events, mut queue) = Events::channel(1);
        for gateway in ["a".repeat(1_000), "b".to_owned()] {
            events.note(NodeEvent::RouteOpened { gateway });
        }
        assert_eq!(queue.try_recv(), Ok(NodeEvent::RouteOpened { gateway: "a".repeat(TEXT_MAX) }));
        assert!(queue.try_recv().is_err());
        Events::off().note(NodeEvent::RouteClosed { gateway: String::new() });
    }

    #[test]
    fn bytes_are_read_back_or_refused() {
        let budget = Budget { country: "IR".to_owned(), limit_micros: 5, spent_micros: 4, percent: 80 };
        let prefix = Prefix { prefix: "+98912***".to_owned(), rule: "unverified_ratio".to_owned() };
        let all = [
            NodeEvent::RouteOpened { gateway: "twilio".to_owned() },
            NodeEvent::RouteClosed { gateway: "twilio".to_owned() },
            NodeEvent::BudgetThreshold(budget.clone()),
            NodeEvent::BudgetExhausted(budget),
            NodeEvent::PrefixClosed(prefix.clone()),
            NodeEvent::PrefixReopened(prefix),
        ];
        for (event, name) in all.into_iter().zip(NodeEvent::NAMES) {
            assert_eq!(event.name(), name);
            let noted = Noted { at_ms: 7, event };
            let bytes = noted.encode();
            assert_eq!(Noted::decode(&bytes), Some(noted));
            assert_eq!(Noted::decode(&bytes[..bytes.len() - 1]), None);
            assert_eq!(Noted::decode(&[&[9], &bytes[1..]].concat()), None, "another kind");
        }
        assert_eq!(Noted::decode(&[]), None);
    }
}
