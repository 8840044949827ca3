//! What can go wrong with keys and tokens, as kinds to branch on. No text here holds a secret or a path.

use std::io;

use super::{Algorithm, UnknownScope, WeakSecret};

/// A secret file could not be used. Stops the start; the CLI prints it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// The file system refused. `file` is the bare name, never the path.
    #[error("{file}: cannot {action}: {source}")]
    Io {
        /// Bare file name.
        file: String,
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// Group or others have rights on the file, so the secrets in it must be taken as known.
    #[error("{file}: mode {mode:04o} gives others access to secrets: chmod 600 it, and rotate if it was readable")]
    Exposed {
        /// Bare file name.
        file: String,
        /// Permission bits found.
        mode: u32,
    },
    /// The content is not what this version writes. `detail` names a place or a rule, never a value.
    #[error("{file}: malformed: {detail}")]
    Malformed {
        /// Bare file name.
        file: String,
        /// Which rule, or the line and column.
        detail: String,
    },
    /// The file holds as many entries as it may.
    #[error("{file}: full, at most {max} entries: remove old ones first")]
    Full {
        /// Bare file name.
        file: String,
        /// The limit.
        max: usize,
    },
    /// No entry has this id.
    #[error("no key has this id")]
    NotFound,
    /// The key is the one in use.
    #[error("the key is in use: rotate first, and let what it made run out")]
    InUse,
    /// A secret given from outside is no secret.
    #[error("secret refused: {0}")]
    Weak(#[from] WeakSecret),
    /// A shared secret was given beside an algorithm that signs with a private key.
    #[error("a shared signing secret needs token.algorithm HS256, HS384 or HS512, not {0}")]
    SecretNeedsHmac(Algorithm),
    /// An API key's name is empty, too long or not printable.
    #[error("a key's name is 1 to 64 printable characters")]
    Name,
    /// An API key's scope is not one of ours.
    #[error(transparent)]
    Scope(#[from] UnknownScope),
    /// The crypto library could not make or read a key.
    #[error("the crypto library refused: {0}")]
    Crypto(&'static str),
}

/// A token could not be made: our own fault, never the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// No active key of the algorithm.
    #[error("no active {0} signing key")]
    NoKey(Algorithm),
    /// The claims are no JSON object, or an extra claim would overwrite one of ours.
    #[error("claims refused: {0}")]
    Claims(&'static str),
    /// The token would be longer than any reader takes.
    #[error("token too long")]
    TooLong,
    /// The crypto library refused to sign.
    #[error("signing failed")]
    Signing,
}

/// Why a token was not accepted. The canonical API tells "expired" and "invalid" apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Well signed and meant for us, but over.
    #[error("token expired")]
    Expired,
    /// Well signed by us, of another kind than asked for: a receipt where an access token belongs.
    #[error("token of another type")]
    WrongType,
    /// Good, and the account it names has been erased.
    #[error("token of nobody")]
    UserGone,
    /// Anything else. On purpose without detail: a forger is told nothing.
    #[error("token invalid")]
    Invalid,
}
