//! The right to send one message, and its money.

use super::Keeper;
use crate::guard::{Micros, Ticket};

/// Money set aside for one message. Settles exactly once: by [`Reservation::settle`], or when it is dropped.
#[must_use = "a reservation that is dropped gives its money back"]
#[derive(Debug)]
pub struct Reservation {
    /// `None`: settled, or nothing to settle.
    open: Option<(Keeper, Ticket)>,
    cost: Micros,
    tries_max: u8,
    is_sending: bool,
}

impl Reservation {
    pub(super) fn new(keeper: Keeper, ticket: Ticket, cost: Micros, tries_max: u8) -> Self {
        Self { open: Some((keeper, ticket)), cost, tries_max, is_sending: false }
    }

    /// Of a message that no rule looks at, as a listed test number's, and that costs nothing.
    pub fn free() -> Self {
        Self { open: None, cost: Micros(0), tries_max: 0, is_sending: false }
    }

    /// What is set aside.
    pub fn cost(&self) -> Micros {
        self.cost
    }

    /// Call it before the first try: from now on a drop (a panic, a task that is gone) means an unknown outcome, and all
    /// tries count as billed.
    pub fn sending(&mut self) {
        self.is_sending = true;
    }

    /// What became of it. `billed_tries`: tries that were accepted, or whose outcome is unknown; 0 if certainly nothing
    /// was sent.
    pub fn settle(mut self, billed_tries: u8) {
        self.close(billed_tries);
    }

    fn close(&mut self, billed_tries: u8) {
        if let Some((keeper, ticket)) = self.open.take() {
            keeper.settle(ticket, billed_tries);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.close(if self.is_sending { self.tries_max } else { 0 });
    }
}
