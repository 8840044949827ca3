//! Tokens that we made, or whose signature was good once: it need not be checked again.
//!
//! An app comes with its receipt as soon as it has it, and sends the same access token with each call for a quarter of an
//! hour. What signature, issuer, audience and kind say of a text never changes while the keys are loaded, so it is
//! remembered. Times are judged at each call, and so is by the number's record whether the session lives and whether the
//! receipt was used. The claims of one who has erased her account stay in memory until others take their place; they sign
//! nobody in.

use std::{fmt, sync::Arc};

use metrics::{Counter, counter};
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use crate::metrics::TOKENS_READ;

/// A token's SHA-256: the token itself is a credential, and is kept nowhere.
type Fingerprint = [u8; 32];

/// Claims of well-signed tokens of one kind. When there are as many as may be, those asked for least go.
pub(super) struct Known<C> {
    claims: Option<Cache<Fingerprint, Arc<C>>>,
    known: Counter,
    checked: Counter,
}

impl<C> Known<C> {
    /// Room for so many. 0: none is remembered. `kind` is the metrics' word.
    pub(super) fn new(kind: &'static str, max: usize) -> Self {
        let counter = |outcome: &'static str| counter!(TOKENS_READ, "kind" => kind, "outcome" => outcome);
        Self { claims: (max > 0).then(|| Cache::new(max)), known: counter("known"), checked: counter("checked") }
    }

    /// What stands in a token: as remembered, or as `check` reads it. A token that `check` refuses is not remembered.
    pub(super) fn claims_of<E>(&self, token: &str, check: impl FnOnce() -> Result<C, E>) -> Result<Arc<C>, E> {
        if let Some(known) = self.claims.as_ref().and_then(|claims| claims.get(&fingerprint(token))) {
            self.known.increment(1);
            return Ok(known);
        }
        self.checked.increment(1);
        check().map(|claims| self.remember(token, claims))
    }

    /// Remembers what stands in a token that is certainly ours.
    pub(super) fn remember(&self, token: &str, claims: C) -> Arc<C> {
        let claims = Arc::new(claims);
        if let Some(known) = &self.claims {
            known.insert(fingerprint(token), Arc::clone(&claims));
        }
        claims
    }
}

fn fingerprint(token: &str) -> Fingerprint {
    Sha256::digest(token).into()
}

impl<C> fmt::Debug for Known<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("tokens", &self.claims.as_ref().map_or(0, Cache::len)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How often each of these tokens is checked when they come in this order. The empty one is never good.
    fn checks(known: &Known<String>, tokens: &[&str]) -> u32 {
        let checks = Cell::new(0);
        for token in tokens {
            let check = || {
                checks.set(checks.get() + 1);
                if token.is_empty() { Err("bad") } else { Ok(format!("claims of {token}")) }
            };
            let claims = known.claims_of(token, check);
            assert_eq!(claims.ok(), (!token.is_empty()).then(|| Arc::new(format!("claims of {token}"))));
        }
        checks.get()
    }

    #[test]
    fn a_good_token_is_checked_once_and_a_bad_one_each_time() {
        let known = Known::new("access", 8);
        assert_eq!(checks(&known, &["a", "a", "b", "a", "b"]), 2);
        assert_eq!(checks(&known, &["", "", ""]), 3);
        known.remember("c", "claims of c".to_owned());
        assert_eq!(checks(&known, &["c"]), 0, "what was made here");
        assert_eq!(checks(&Known::new("access", 0), &["a", "a", "a"]), 3, "without room");
    }

    #[test]
    fn there_are_never_more_than_there_may_be() {
        let known = Known::new("access", 100);
        let tokens: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
        assert_eq!(checks(&known, &tokens.iter().map(String::as_str).collect::<Vec<_>>()), 10_000);
        let held = known.claims.as_ref().map_or(0, Cache::len);
        assert!((50..=100).contains(&held), "{held}");
        assert_eq!(format!("{known:?}"), format!("Known {{ tokens: {held}, .. }}"));
    }
}
