//! The figures a decision goes by: data only, one [`Policy`] per door, made from the settings.

use super::{
    label::Label,
    time::{DAY, HOUR, MINUTE, Millis, SECOND},
};

/// Where a code was asked for, and so the only place where it is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Door {
    /// The API that issued it: `v1` or a dialect's name.
    pub dialect: Label,
    /// What it was asked for: `login`, `signup`, `phone_change`, or the client's own.
    pub purpose: Label,
}

/// The channel that leaves it to us by what a code travels.
pub const AUTO: Label = Label::of("auto");
/// The purpose of signing in.
pub const LOGIN: Label = Label::of("login");
/// How a session was opened that a password opened; no code is ever asked for at such a door.
pub const PASSWORD: Label = Label::of("password");
/// The purpose of signing in for the first time.
pub const SIGNUP: Label = Label::of("signup");
/// The reserved purpose of moving an account to the number.
pub const PHONE_CHANGE: Label = Label::of("phone_change");

impl Door {
    /// True if a code of this door may open a session: one asked for something else must not sign anyone in.
    pub fn may_sign_in(&self) -> bool {
        self.purpose == LOGIN || self.purpose == SIGNUP
    }
}

/// Everything a decision at one door goes by.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Digits of a derived code, 4–10.
    pub code_digits: u8,
    /// Life of a code.
    pub code_life_ms: Millis,
    /// Wrong checks a challenge allows; counted by id and by number apart.
    pub attempts_max: u8,
    /// Sends of all doors allowed within `send_window_ms` when this door asks.
    pub sends_max: u8,
    /// Length of the send window, at most a day.
    pub send_window_ms: Millis,
    /// A start this soon after the number's last send is refused, unless a check succeeded since; 0 is off.
    pub cooldown_ms: Millis,
    /// Waits before the first, second, … resend after the send before it; their count caps the resends.
    pub resend_after_ms: Vec<Millis>,
    /// Whether a start ends earlier pending challenges of the same door.
    pub supersedes: bool,
    /// How long a send may stay without a result before a retry with the same key sends once more.
    pub send_deadline_ms: Millis,
    /// Life of a receipt, from the successful check to its redemption.
    pub receipt_life_ms: Millis,
    /// Life of a session from its sign-in.
    pub session_life_ms: Millis,
    /// How long the same old refresh token still gets the same successor.
    pub refresh_grace_ms: Millis,
    /// How long after a sign-in a number may be changed.
    pub fresh_login_ms: Millis,
    /// Sends of all doors per number and day.
    pub sends_per_day: u8,
    /// How many of them one client address may ask for, callers with a key aside: half, so that a stranger cannot use
    /// up an owner's day.
    pub sends_per_day_per_address: u8,
    /// The number's own guess budget; wrong passwords have one of the same figures.
    pub guesses: GuessPolicy,
    /// Whether wrong answers block the address they came from; for doors that one has.
    pub block: Option<BlockPolicy>,
}

/// When an address has to wait at one number, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockPolicy {
    /// Wrong answers in a row that block.
    pub strikes: u8,
    /// Length of the block, and how long a wrong answer is remembered; at most a day.
    pub block_ms: Millis,
}

/// Consecutive failures of checks by number alone (NIST SP 800-63B 3.2.2: at most 100, with a growing delay).
#[derive(Debug, Clone)]
pub struct GuessPolicy {
    /// Failures without a delay.
    pub free: u16,
    /// Delay after the first failure beyond the free ones; doubles with each further one.
    pub delay_ms: Millis,
    /// Longest delay.
    pub delay_max_ms: Millis,
    /// Failures after which checks by number end until a success by id or an unlock.
    pub stop_at: u16,
}

impl Default for Policy {
    /// The defaults of `/v1`, as `contracts/v1.md` and `config.toml` have them.
    fn default() -> Self {
        Self {
            code_digits: 6,
            code_life_ms: 5 * MINUTE,
            attempts_max: 5,
            sends_max: 3,
            send_window_ms: 2 * MINUTE,
            cooldown_ms: 30 * SECOND,
            resend_after_ms: vec![30 * SECOND, MINUTE, 2 * MINUTE, 2 * MINUTE],
            supersedes: false,
            send_deadline_ms: 30 * SECOND,
            receipt_life_ms: MINUTE,
            session_life_ms: 30 * DAY,
            refresh_grace_ms: 10 * SECOND,
            fresh_login_ms: 10 * MINUTE,
            sends_per_day: 10,
            sends_per_day_per_address: 5,
            guesses: GuessPolicy { free: 5, delay_ms: 30 * SECOND, delay_max_ms: HOUR, stop_at: 100 },
            block: None,
        }
    }
}
