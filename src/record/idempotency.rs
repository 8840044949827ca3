//! Kept answers: a retry with the same key gets the same outcome and changes nothing.

use serde::{Deserialize, Serialize};

use super::{
    command::IdempotencyKey,
    outcome::Outcome,
    time::{DAY, UnixMillis},
};

/// Most kept answers of a number; the oldest goes when one more comes.
pub const ANSWERS_MAX: usize = 16;
/// How long an answer is kept.
pub(super) const ANSWERS_KEPT_MS: u64 = DAY;

/// The outcome of one request with an `Idempotency-Key`: digests and figures, no body, code or token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptAnswer {
    pub(super) key: [u8; 16],
    pub(super) body: [u8; 16],
    pub(super) at: UnixMillis,
    pub(super) outcome: Outcome,
}

impl KeptAnswer {
    pub(super) fn new(key: IdempotencyKey, mut outcome: Outcome, at: UnixMillis) -> Self {
        if let Some(view) = outcome.view_mut() {
            view.metadata = Vec::new();
        }
        Self { key: key.key, body: key.body, at, outcome }
    }

    /// Is this outcome kept? Only what is small and says nothing of a person: repeating one of the others does no
    /// harm, and a profile must not outlive its erasure here.
    pub(super) fn keeps(outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Issued(_)
            | Outcome::Approved { .. }
            | Outcome::Verification(_)
            | Outcome::SignedIn(_)
            | Outcome::Granted { .. }
            | Outcome::Claimed { .. }
            | Outcome::Done => true,
            Outcome::Authenticated { .. }
            | Outcome::Exported(_)
            | Outcome::Released(_)
            | Outcome::Refused(_)
            | Outcome::Identified(_)
            | Outcome::Comparing(_)
            | Outcome::Received(_) => false,
        }
    }

    /// The session that the answer would sign tokens for.
    #[expect(clippy::wildcard_enum_match_arm, reason = "only one outcome opens a session")]
    pub(super) fn session(&self) -> Option<u64> {
        match &self.outcome {
            Outcome::SignedIn(signed_in) => Some(signed_in.session),
            _ => None,
        }
    }

    pub(super) fn forget_at(&self) -> UnixMillis {
        self.at.plus(ANSWERS_KEPT_MS)
    }
}
