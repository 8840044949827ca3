//! Everything that can be asked of a number's record.

use std::sync::Arc;

use super::{
    account::{Account, PasswordHash, ProfilePatch},
    challenge::{Arrival, MessageFacts},
    code::Code,
    label::Label,
    number::PhoneNumber,
    policy::Door,
    session::{SessionRef, SignIn},
    time::Millis,
};

/// A command and how a retry of it is known.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is asked.
    pub command: Command,
    /// The caller's `Idempotency-Key`, if one came.
    pub idempotency: Option<IdempotencyKey>,
}

impl From<Command> for Request {
    fn from(command: Command) -> Self {
        Self { command, idempotency: None }
    }
}

impl From<Command> for Arc<Request> {
    fn from(command: Command) -> Self {
        Self::new(command.into())
    }
}

/// Digests of an `Idempotency-Key` (with its caller) and of the body it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Keyed digest of caller and key.
    pub key: [u8; 16],
    /// Keyed digest of operation and body.
    pub body: [u8; 16],
}

/// Who asks for a send, as far as the limits are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Keyed digest of the client's address (IPv6 by /64).
    pub address: u64,
    /// A caller with an API key: the share of one address does not bind it.
    pub keyed: bool,
    /// A test number: nothing is sent, so nothing is counted that is there to save money.
    pub unpaid: bool,
}

/// Which challenge a check is against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The one with this nonce.
    Id(u64),
    /// The newest of this door.
    Newest(Door),
}

/// What a right code brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMatch {
    /// Approval, and a receipt that can be redeemed once.
    Approve,
    /// A session at once.
    SignIn(SignIn),
    /// A registration grant with these 64 random bits and this life.
    Grant {
        /// The grant's own random bits.
        nonce: u64,
        /// How long it can be used.
        life_ms: Millis,
    },
}

/// Asks for a code.
#[derive(Debug, Clone)]
pub struct Start {
    /// 64 random bits for the challenge.
    pub nonce: u64,
    /// Where it is asked for.
    pub door: Door,
    /// By what to send.
    pub channel: Label,
    /// A caller's own code, 4–10 digits.
    pub chosen: Option<Code>,
    /// Digits of the code, if not the policy's.
    pub digits: Option<u8>,
    /// Life of the code, if not the policy's.
    pub life_ms: Option<Millis>,
    /// Who asks.
    pub sender: Sender,
    /// What the text is made from.
    pub facts: MessageFacts,
    /// The caller's notes, at most 512 bytes in all.
    pub metadata: Vec<(String, String)>,
    /// A phone change names the session that asks.
    pub bound_to: Option<SessionRef>,
}

impl Start {
    /// A code of the policy's own form, by SMS.
    pub fn plain(nonce: u64, door: Door, sender: Sender) -> Self {
        Self {
            nonce,
            door,
            channel: Label::of("sms"),
            chosen: None,
            digits: None,
            life_ms: None,
            sender,
            facts: MessageFacts::default(),
            metadata: Vec::new(),
            bound_to: None,
        }
    }
}

/// What a send came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendResult {
    /// The provider took it.
    Accepted,
    /// Certainly not sent.
    Failed {
        /// The fault is the number's: window and cooldown stay spent.
        number_at_fault: bool,
    },
    /// It may have been sent.
    Unknown,
}

impl Command {
    /// True if it changes nothing, whatever it is answered: at most limits that begin anew after the clock was set back.
    pub fn only_reads(&self) -> bool {
        matches!(
            self,
            Self::Read { .. }
                | Self::ReadGrant { .. }
                | Self::Identify
                | Self::Authenticate { .. }
                | Self::Export { .. }
        )
    }

    /// The caller's own code, if the command sends one.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only two commands can carry one")]
    pub(super) fn chosen_code(&self) -> Option<&Code> {
        match self {
            Self::Start(start) => start.chosen.as_ref(),
            Self::Resend { chosen, .. } => chosen.as_ref(),
            _ => None,
        }
    }
}

/// Everything that can be asked of a record.
#[derive(Debug, Clone)]
pub enum Command {
    /// Ask for a code.
    Start(Box<Start>),
    /// Send the same code again.
    Resend {
        /// Which challenge.
        nonce: u64,
        /// Who asks.
        sender: Sender,
        /// By what to send this time; `None`: by the challenge's own channel.
        channel: Option<Label>,
        /// The caller's own code once more, for a challenge that has one (only its digest is kept).
        chosen: Option<Code>,
    },
    /// Send the same code another way, because nothing was heard of one that left the way to us: neither a receipt that
    /// it arrived nor a check. It costs what a resend costs. Nothing happens if something was heard meanwhile.
    Advance {
        /// Which challenge.
        nonce: u64,
        /// The send that was waited for; nothing happens if it is not the last.
        past: u8,
        /// The code that was sent: a chosen one is kept as a digest alone.
        code: Code,
    },
    /// Tell what a send came to.
    Settle {
        /// Which challenge.
        nonce: u64,
        /// Which of its sends.
        delivery: u8,
        /// By which route.
        route: Label,
        /// By which channel in the end.
        channel: Label,
        /// What it came to.
        result: SendResult,
    },
    /// Tell what a receipt says of a send. Touches nothing that anyone signs in by.
    Receipt {
        /// Which challenge.
        nonce: u64,
        /// Which of its sends.
        delivery: u8,
        /// Whose receipt it is.
        route: Label,
        /// How far the message has come.
        arrival: Arrival,
    },
    /// Check a code.
    Check {
        /// Against which challenge.
        target: Target,
        /// What was typed.
        code: Code,
        /// What a match brings. A challenge bound to a session brings a claim instead.
        on_match: OnMatch,
        /// The caller's own session; a bound challenge is good with the right one alone.
        session: Option<SessionRef>,
        /// Keyed digest of the client's address, for doors that block one.
        address: u64,
    },
    /// End a challenge.
    Cancel {
        /// Which.
        nonce: u64,
    },
    /// Look at a challenge.
    Read {
        /// Which.
        nonce: u64,
    },
    /// Turn an approval into a session.
    Redeem {
        /// Which challenge.
        nonce: u64,
        /// For the new session.
        sign_in: SignIn,
    },
    /// Turn a registration grant into an account and a session.
    Register {
        /// Which grant.
        nonce: u64,
        /// What the new account begins with.
        profile: ProfilePatch,
        /// What the person will sign in with.
        password: Option<PasswordHash>,
        /// For the new session.
        sign_in: SignIn,
    },
    /// Is this registration grant good? Asked before a password is hashed for it.
    ReadGrant {
        /// Which grant.
        nonce: u64,
    },
    /// Who has this number, if anyone?
    Identify,
    /// Begin to compare a password: counts the try and gives the hash.
    BeginPassword {
        /// 64 random bits that name the comparison.
        nonce: u64,
        /// Keyed digest of the client's address.
        address: u64,
        /// Tell apart that the number has no account; else it is compared like any other.
        reveal: bool,
    },
    /// Tell what a comparison came to.
    EndPassword {
        /// Which.
        nonce: u64,
        /// Where the password was given.
        door: Door,
        /// The password was right: the session to open.
        right: Option<SignIn>,
        /// The same password hashed anew, under figures that have changed since.
        renewed: Option<PasswordHash>,
    },
    /// Shut the account or open it again (an administrator's).
    SetActive {
        /// Whether people may sign in.
        active: bool,
    },
    /// Ask for the next refresh token.
    Refresh {
        /// Which session.
        session: u64,
        /// The generation of the token that came.
        generation: u32,
        /// Whether this door rotates.
        rotate: bool,
    },
    /// Is this session alive, and whose is it?
    Authenticate {
        /// Which session.
        session: u64,
    },
    /// Everything the record has for its owner.
    Export {
        /// The session that asks.
        session: u64,
    },
    /// Change the profile.
    UpdateProfile {
        /// The session that asks.
        session: u64,
        /// The change.
        patch: Box<ProfilePatch>,
    },
    /// End a session. Ending one that is gone is a success.
    EndSession {
        /// The session that asks; `None` when a token stands for itself.
        by: Option<u64>,
        /// Which.
        session: u64,
    },
    /// Remove account, profile and sessions.
    Erase {
        /// The session that asks.
        session: u64,
    },
    /// Clear delays and counts of failures (an administrator's). What was sent stays counted.
    Unlock,
    /// Phone change, on the old number: make the account a parcel for `to`.
    Release {
        /// The new number.
        to: PhoneNumber,
        /// The session that asked.
        session: u64,
    },
    /// Phone change, on the new number: take the account.
    Adopt {
        /// The old number.
        from: PhoneNumber,
        /// The session that asked.
        session: u64,
        /// The account.
        account: Box<Account>,
        /// For the new session; `None` when a lost change is finished later.
        sign_in: Option<SignIn>,
    },
    /// Phone change, on the old number: the account has arrived.
    DropParcel {
        /// The new number.
        to: PhoneNumber,
        /// The account.
        user_id: u64,
    },
    /// Phone change, on the new number: there is nothing to take.
    DropClaim {
        /// The old number.
        from: PhoneNumber,
        /// The session that asked.
        session: u64,
    },
}
