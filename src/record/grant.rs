//! Registration grants: a proved number may register once, for a short time.

use serde::{Deserialize, Serialize};

use super::{policy::Door, seal::KeyId, time::UnixMillis};

/// Most grants a record keeps; the oldest ends when one more is given.
pub(super) const GRANTS_MAX: usize = 4;

/// The right to register the number, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Grant {
    pub(super) nonce: u64,
    pub(super) key: KeyId,
    pub(super) door: Door,
    pub(super) expires_at: UnixMillis,
}
