//! What a command comes to, in the core's own words.

use serde::{Deserialize, Serialize};

use super::{
    account::{Account, PasswordHash},
    challenge::{ChallengeView, Delivery, MessageFacts},
    code::Code,
    label::Label,
    number::PhoneNumber,
    policy::Door,
    seal::KeyId,
    session::{Session, SignedIn},
    state::Record,
    time::{Millis, UnixMillis},
    window::SendQuota,
};

/// The result of a decision.
#[derive(Debug)]
pub struct Decision {
    /// The record after it; `None`: nothing changed, nothing is written.
    pub next: Option<Record>,
    /// What the caller learns, once `next` is durable.
    pub outcome: Outcome,
    /// The message to send, once `next` is durable.
    pub draft: Option<Draft>,
    /// True if the outcome is the kept one of an earlier request with the same key.
    pub replayed: bool,
    /// Pending challenges that this decision found to have run out; counted when `next` is committed.
    pub lapsed: u8,
    /// The code was right: of which challenge; counted when `next` is committed.
    pub verified: Option<Verified>,
    /// What is left of the door's send window after it.
    pub quota: SendQuota,
}

/// A challenge whose code was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Which.
    pub nonce: u64,
    /// The key that its ids are sealed under.
    pub key: KeyId,
    /// How long after it was started.
    pub after_ms: Millis,
    /// Its sends.
    pub deliveries: Vec<Delivery>,
}

/// A message to be sent. The only place where a code leaves the core.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Which challenge.
    pub nonce: u64,
    /// The key that its ids are sealed under.
    pub key: KeyId,
    /// Which of its sends.
    pub delivery: u8,
    /// Where it was asked for.
    pub door: Door,
    /// By what to send.
    pub channel: Label,
    /// The code.
    pub code: Code,
    /// When it stops being good.
    pub expires_at: UnixMillis,
    /// What the text is made from.
    pub facts: MessageFacts,
}

/// What the caller learns. Serializable because answers are kept for retries, so it holds no code and no token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// A challenge was started or sent again; a draft goes with it unless it is a replay.
    Issued(ChallengeView),
    /// The code was right; the receipt may be redeemed until `receipt_until`.
    Approved {
        /// The challenge.
        view: ChallengeView,
        /// True if the number has no account yet.
        is_new_user: bool,
        /// When it was approved.
        at: UnixMillis,
    },
    /// How a challenge stands.
    Verification(ChallengeView),
    /// A session is open.
    SignedIn(SignedIn),
    /// A registration grant was given.
    Granted {
        /// Its own random bits.
        nonce: u64,
        /// The key its token is sealed under.
        key: KeyId,
        /// When it ends.
        expires_at: UnixMillis,
    },
    /// The session is alive.
    Authenticated {
        /// It.
        session: Session,
        /// Whose it is.
        account: Box<Account>,
    },
    /// Everything the record has for its owner.
    Exported(Box<Export>),
    /// Done; nothing to tell.
    Done,
    /// Phone change: the right code was given; the account has to be fetched.
    Claimed {
        /// The old number.
        from: PhoneNumber,
        /// The challenge.
        view: ChallengeView,
    },
    /// Phone change: the account is a parcel now.
    Released(Box<Account>),
    /// A business "no".
    Refused(Refusal),
    /// Who has the number.
    Identified(Option<Box<Account>>),
    /// Compare with this hash, then tell what came of it; `None`: there is no password, compare with any.
    Comparing(Option<PasswordHash>),
    /// What came of a receipt.
    Received(Received),
}

impl Outcome {
    /// The challenge it shows, if it shows one.
    #[expect(clippy::wildcard_enum_match_arm, reason = "four outcomes show a challenge, whatever else is added")]
    pub(super) fn view_mut(&mut self) -> Option<&mut ChallengeView> {
        match self {
            Self::Issued(view)
            | Self::Verification(view)
            | Self::Approved { view, .. }
            | Self::Claimed { view, .. } => Some(view),
            _ => None,
        }
    }
}

/// What came of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Received {
    /// No such message is known here, or not any more.
    Unknown,
    /// The message is known, and this is no news of it.
    Known,
    /// It has moved.
    Moved {
        /// When its send was decided.
        sent_at: UnixMillis,
        /// By what it was sent.
        channel: Label,
    },
}

/// Everything a record has for its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The account.
    pub account: Account,
    /// Open sessions.
    pub sessions: Vec<Session>,
    /// Challenges that are still known.
    pub challenges: Vec<ChallengeView>,
    /// Times of the day's sends.
    pub sends: Vec<UnixMillis>,
    /// Consecutive failures of checks by number.
    pub failures: u16,
}

/// Which limit refused a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SendLimit {
    /// Too soon after the last send.
    Cooldown,
    /// The door's window is full.
    Window,
    /// The day's sends are spent.
    Day,
    /// One address has had its half of the day's.
    Address,
    /// The challenge has no resend left.
    Resends,
}

/// A business "no".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// No such challenge, or it is forgotten.
    UnknownChallenge,
    /// Nothing pending at that door.
    NothingPending,
    /// Not as many digits as the code has; nothing was spent.
    CodeFormat,
    /// A wrong code; the try is spent.
    WrongCode {
        /// Tries left for this way of checking; 0: this was the last.
        attempts_remaining: u8,
        /// When the challenge runs out by itself.
        expires_at: UnixMillis,
    },
    /// All tries are spent.
    AttemptsExhausted {
        /// When the challenge runs out by itself.
        expires_at: UnixMillis,
    },
    /// The code's time is over.
    Expired,
    /// Canceled, superseded, or never sent.
    Closed,
    /// Its code was given before.
    AlreadyApproved,
    /// Checks by number wait.
    GuessDelayed {
        /// Until when.
        until: UnixMillis,
    },
    /// Checks by number have ended until a success by id or an unlock.
    GuessStopped {
        /// When a number without an account forgets; with one, when to ask again.
        until: UnixMillis,
    },
    /// No send now.
    SendLimited {
        /// By which limit.
        limit: SendLimit,
        /// When one may be asked for again.
        retry_at: UnixMillis,
    },
    /// A resend of a chosen code needs that code.
    ChosenCodeNeeded,
    /// The same key came with another body.
    IdempotencyMismatch,
    /// The first request with this key is still sending.
    IdempotencyInFlight {
        /// When its send counts as lost.
        until: UnixMillis,
    },
    /// A challenge of this purpose must not sign anyone in.
    NotForSignIn,
    /// This challenge is checked with the session that asked for it.
    SessionNeeded,
    /// The receipt is unknown, used or too old.
    ReceiptInvalid,
    /// The registration grant is unknown, used or too old.
    GrantInvalid,
    /// The session has ended or never was.
    SessionUnknown,
    /// The session to be ended is not one of this account.
    NoSuchSession,
    /// A retired refresh token came back: the session has been ended.
    RefreshReused,
    /// The sign-in is too long ago.
    NotFresh,
    /// The number already has an account.
    AccountExists,
    /// The profile would be too large.
    ProfileTooLarge,
    /// An account is on its way between this number and another; finish that first.
    MoveUnfinished(Move),
    /// Phone change: there is nothing to release, or nothing waits for the account that came. The move is over:
    /// what is left of it (claim or parcel) can be dropped.
    NothingToMove,
    /// A wrong code, and with it the last that this address may try for a while.
    StruckOut {
        /// Until when it is blocked.
        until: UnixMillis,
    },
    /// This address is blocked at this number.
    AddressBlocked {
        /// Until when.
        until: UnixMillis,
    },
    /// The number has no account.
    NoAccount,
    /// The account is shut.
    Inactive,
    /// A wrong password; the try is spent.
    WrongPassword {
        /// It was the address's last: blocked until then.
        blocked_until: Option<UnixMillis>,
    },
    /// As many passwords are being compared as tries are left; ask again in a moment.
    PasswordBusy,
}

/// An account on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The old number.
    pub from: PhoneNumber,
    /// The new number.
    pub to: PhoneNumber,
    /// The session that asked.
    pub session: u64,
}
