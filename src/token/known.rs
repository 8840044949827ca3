//! Access tokens that we made, or whose signature was good once: it need not be checked again.
//!
//! An app sends the same token with each call for a quarter of an hour. What a signature, issuer, audience and kind say
//! of the same text never changes while the keys are loaded, so it is remembered; times are judged at each call, and
//! whether the session lives is asked of its record at each call.

use std::{fmt, sync::Arc};

use metrics::{Counter, counter};
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::AccessClaims;
use crate::metrics::ACCESS_TOKENS_READ;

/// A token's SHA-256: the token itself is a credential, and is kept nowhere.
type Print = [u8; 32];

/// Claims of well-signed tokens by the tokens' SHA-256. When there are as many as may be, those asked for least go.
pub(super) struct Known {
    claims: Option<Cache<Print, Arc<AccessClaims>>>,
    again: Counter,
    first: Counter,
}

impl Known {
    /// Room for so many. 0: none is remembered.
    pub(super) fn new(max: usize) -> Self {
        let counter = |signature: &'static str| counter!(ACCESS_TOKENS_READ, "signature" => signature);
        Self { claims: (max > 0).then(|| Cache::new(max)), again: counter("known"), first: counter("checked") }
    }

    /// What stands in a token: as remembered, or as `check` reads it. A token that `check` refuses is not remembered.
    pub(super) fn claims_of<E>(
        &self,
        token: &str,
        check: impl FnOnce() -> Result<AccessClaims, E>,
    ) -> Result<Arc<AccessClaims>, E> {
        if let Some(known) = self.claims.as_ref().and_then(|claims| claims.get(&print(token))) {
            self.again.increment(1);
            return Ok(known);
        }
        self.first.increment(1);
        check().map(|claims| self.remember(token, claims))
    }

    /// Remembers what stands in a token that is certainly ours.
    pub(super) fn remember(&self, token: &str, claims: AccessClaims) -> Arc<AccessClaims> {
        let claims = Arc::new(claims);
        if let Some(known) = &self.claims {
            known.insert(print(token), Arc::clone(&claims));
        }
        claims
    }
}

fn print(token: &str) -> Print {
    Sha256::digest(token).into()
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("tokens", &self.claims.as_ref().map_or(0, Cache::len)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::{
        record::PhoneNumber,
        token::{HexId, claims::Access},
    };

    fn claims(user_id: u64) -> AccessClaims {
        AccessClaims {
            iss: "https://a".to_owned(),
            sub: user_id.to_string(),
            aud: "https://a".to_owned(),
            client_id: "otpd".to_owned(),
            exp: 2,
            nbf: 1,
            iat: 1,
            jti: HexId([1; 16]),
            sid: HexId([2; 16]),
            auth_time: 1,
            token_type: Access::Access,
            user_id,
            phone_number: PhoneNumber::from_e164("+989123456789").unwrap(),
            phone_number_verified: true,
            amr: vec!["otp".to_owned()],
        }
    }

    /// How often each of these tokens is checked when they come in this order.
    fn checks(known: &Known, tokens: &[&str]) -> u32 {
        let checks = Cell::new(0);
        for (user_id, token) in (0..).zip(tokens) {
            let check = || {
                checks.set(checks.get() + 1);
                if token.is_empty() { Err("bad") } else { Ok(claims(user_id)) }
            };
            assert_eq!(known.claims_of(token, check).is_ok(), !token.is_empty());
        }
        checks.get()
    }

    #[test]
    fn a_good_token_is_checked_once_and_a_bad_one_each_time() {
        let known = Known::new(8);
        assert_eq!(checks(&known, &["a", "a", "b", "a", "b"]), 2);
        assert_eq!(checks(&known, &["", "", ""]), 3);
        known.remember("c", claims(7));
        assert_eq!(known.claims_of("c", || Err(())).unwrap().user_id, 7);
        assert_eq!(checks(&Known::new(0), &["a", "a", "a"]), 3, "without room");
    }

    #[test]
    fn there_are_never_more_than_there_may_be() {
        let known = Known::new(100);
        let tokens: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
        assert_eq!(checks(&known, &tokens.iter().map(String::as_str).collect::<Vec<_>>()), 10_000);
        let held = known.claims.as_ref().map_or(0, Cache::len);
        assert!((50..=100).contains(&held), "{held}");
        assert!(!format!("{known:?}").contains("9999"), "{known:?}");
    }
}
