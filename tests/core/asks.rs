//! What the naive model is asked.

use otpd::record::{Arrival, Command, Door, Label, SendResult, Sender};

/// What is asked; a `right` code is the one of the challenge that the check is against.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask {
    Start { nonce: u64, door: Door, sender: Sender },
    Resend { nonce: u64, sender: Sender },
    Settle { nonce: u64, send: usize, route: Label, result: Settled },
    Receipt { nonce: u64, send: usize, route: Label, arrival: Arrival },
    CheckById { nonce: u64, via: Label, typed: Typed, wanted: Wanted, address: u64 },
    CheckByNumber { door: Door, typed: Typed, wanted: Wanted, address: u64 },
    Cancel { nonce: u64 },
    Read { nonce: u64 },
    Redeem { nonce: u64, session: u64, user: u64 },
    Register { nonce: u64, session: u64, user: u64, password: Option<u64> },
    ReadGrant { nonce: u64 },
    Identify,
    Begin { nonce: u64, via: Label, address: u64, reveal: bool },
    Tell { nonce: u64, via: Label, right: bool, session: u64, renewed: Option<u64> },
    Activate { active: bool },
    Refresh { session: u64, generation: u32 },
    Authenticate { session: u64 },
    End { session: u64 },
    Erase { session: u64 },
    Unlock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Typed {
    Right,
    Wrong,
    Short,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    Approval,
    Session { session: u64, user: u64 },
    Grant { nonce: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Accepted,
    Failed,
    Dead,
    Unknown,
}

/// One of two gateways, the first three times out of four.
pub(crate) fn route(choice: u8) -> Label {
    if choice < 192 { Label::of("console") } else { Label::of("simulated") }
}

/// What a send came to, in the record's words.
pub(crate) fn settle((nonce, send): (u64, usize), route: Label, result: Settled) -> Command {
    let result = match result {
        Settled::Accepted => SendResult::Accepted,
        Settled::Failed => SendResult::Failed { number_at_fault: false },
        Settled::Dead => SendResult::Failed { number_at_fault: true },
        Settled::Unknown => SendResult::Unknown,
    };
    Command::Settle { nonce, delivery: u8::try_from(send).unwrap(), route, channel: Label::of("sms"), result }
}
