//! Spending and fraud: may this message be sent, and what may it cost? Pure: data, and functions over data.
//!
//! Start at [`Guard::ask`]. Like `record`, nothing here has a clock, randomness, I/O or a log, so a journal of what was
//! asked replays to the very same decisions. `spending` keeps it: lock, durable ledger, journal, metrics.
//!
//! | File | Noun |
//! |---|---|
//! | `country` `kind` `money` | the words a destination and its price are said in |
//! | `policy` `prices` | the figures of every rule; what a message costs |
//! | `engine` `snapshot` | the guard: ask, settle, verified; its bytes |
//! | `budget` | money reserved and spent on a day |
//! | `send_log` | the sends of the last window, oldest first |
//! | `velocity` `runs` `conversion` | three looks at numbers that never answer with their code |
//! | `event` | what operators are told |
//!
//! # What each rule is for
//!
//! Fraudsters ask for codes to numbers they earn from: ranges they rented, asked in order or shuffled, never typing a code.
//! `runs` finds numbers that follow one another, `velocity` many numbers of one block, `conversion` blocks whose codes are
//! not used. A number that proved itself lately (`verified`) is never refused by these three, nor counted. Budgets are
//! the last line: what a day may cost at most, whatever happens.

mod budget;
mod conversion;
mod country;
mod engine;
mod event;
mod kind;
mod money;
mod policy;
mod prices;
mod recent;
mod runs;
mod send_log;
pub mod snapshot;
mod velocity;

#[cfg(test)]
mod tests;

pub use budget::{Scope, Standing};
pub use country::{COUNTRIES, Country, NotACountry};
pub use engine::{Ask, Guard, Settled, Settlement, Ticket, Verdict};
pub use event::GuardEvent;
pub use kind::NumberKind;
pub use money::{Micros, NotMoney};
pub use policy::{
    BudgetRule, ConversionRule, CountryRule, GuardLimits, GuardPolicy, KindRule, Level, Mode, RULES, Rule, RunsRule,
    VelocityRule,
};
pub use prices::Prices;
