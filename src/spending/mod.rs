//! Keeps the guard: one lock, a ledger that survives crashes, a journal, metrics, and word to who wants to know.
//!
//! `guard` decides; this part gives it the time and remembers for it. Start at [`Keeper::reserve`].
//!
//! ```text
//! reserve ── refused ──> Refusal
//!    │ allowed, and the ledger covers it
//! Reservation ── sending() ── settle(n) ──> n tries were billed
//!    │               └── dropped ──> outcome unknown: all tries count as billed
//!    └── dropped ──> nothing was sent: money and counts come back
//! ```
//!
//! **What survives what.** Before money beyond the leased amount is spent, a further block of the budget (1 %, or one
//! message) is made durable in `spend.ledger`; after a crash all that was leased counts as spent. So no budget is ever
//! exceeded, and a crash costs at most one block per budget. What the other rules remember is written to `guard.state`
//! every few seconds and at an orderly stop: a crash forgets the sends of those seconds.

mod keeper;
mod ledger;
mod meters;
mod reservation;
mod state_file;

#[cfg(test)]
mod tests;

pub use keeper::{Asker, Keeper, KeeperParts, KeeperSettings, OnEvent, Refusal};
pub use ledger::{Ledger, LedgerFault};
pub use reservation::Reservation;
