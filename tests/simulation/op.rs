//! One request: what is asked of whom, and what was known when it was asked.

use otpd::record::{Account, Command, Move, OnMatch, SignIn};

use super::person::Moment;

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Op {
    /// Which person's number.
    pub(crate) who: usize,
    pub(crate) node: usize,
    /// Whose policy: an index of the world's doors.
    pub(crate) door: usize,
    pub(crate) command: Command,
    /// Which of the person's keys came with it.
    pub(crate) key: Option<[u8; 16]>,
    /// The key came with another body than before.
    pub(crate) other_body: bool,
    /// The code that is checked is that of the challenge it is checked against.
    pub(crate) right: bool,
    /// The code that is checked may be right for some challenge: a success would lift the cooldown.
    pub(crate) may_match: bool,
    /// Part of a phone change.
    pub(crate) chore: Option<Chore>,
    /// A retry of an earlier request with the same key.
    pub(crate) retry: bool,
    /// When it was asked.
    pub(crate) asked: Moment,
    /// Nothing else is under way for this number; the store's version when it was asked.
    pub(crate) alone: Option<Option<u64>>,
    /// Milliseconds after the others of its step.
    pub(crate) delay_ms: u64,
    /// The durable time of the number when it was asked.
    pub(crate) seen_at: u64,
    /// Breaks of the number's time before it was asked.
    pub(crate) breaks: usize,
    /// If nothing else is under way: was there an account, and was it shut?
    pub(crate) was_shut: Option<bool>,
    /// If nothing else is under way: until when the comparison that it ends was good, for an account with a password.
    pub(crate) comparable_until: Option<u64>,
}

impl Op {
    /// The random bits that show in the record if it is done.
    pub(crate) fn nonce(&self) -> Option<u64> {
        match &self.command {
            Command::Start(start) => Some(start.nonce),
            Command::Check { on_match: OnMatch::SignIn(sign_in), .. }
            | Command::Redeem { sign_in, .. }
            | Command::Register { sign_in, .. }
            | Command::EndPassword { right: Some(sign_in), .. } => Some(sign_in.session),
            _ => None,
        }
    }
}

/// A phone change under way, as the service drives it.
#[derive(Debug, Clone)]
pub(crate) struct Chore {
    pub(crate) change: Move,
    pub(crate) step: ChoreStep,
    pub(crate) sign_in: Option<SignIn>,
}

/// The next step of a phone change.
#[derive(Debug, Clone)]
pub(crate) enum ChoreStep {
    Release,
    Adopt(Box<Account>),
    DropParcel(u64),
    DropClaim,
}

impl Chore {
    /// From the start.
    pub(crate) fn begin(change: Move, sign_in: Option<SignIn>) -> Self {
        Self { change, step: ChoreStep::Release, sign_in }
    }

    /// The number that the next step asks, and the command.
    pub(crate) fn command(&self) -> (otpd::record::PhoneNumber, Command) {
        let Move { from, to, session } = self.change;
        match &self.step {
            ChoreStep::Release => (from, Command::Release { to, session }),
            ChoreStep::Adopt(account) => {
                (to, Command::Adopt { from, session, account: account.clone(), sign_in: self.sign_in })
            }
            ChoreStep::DropParcel(user_id) => (from, Command::DropParcel { to, user_id: *user_id }),
            ChoreStep::DropClaim => (to, Command::DropClaim { from, session }),
        }
    }
}
