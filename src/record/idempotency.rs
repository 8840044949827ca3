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

    pub(super) fn forget_at(&self) -> UnixMillis {
        self.at.plus(ANSWERS_KEPT_MS)
    }
}
