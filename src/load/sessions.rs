//! People who are signed in: each is one worker's at a time while its refresh token rotates.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::header::HeaderValue;
use tokio::time::Instant;

use super::{dice::Dice, speech};

/// A person's tokens.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) number: u64,
    /// The access token as a header.
    pub(super) access: HeaderValue,
    pub(super) refresh: Box<str>,
    /// When the server told of the newest.
    pub(super) acknowledged: Instant,
}

impl Session {
    pub(super) fn new(number: u64, access: &str, refresh: &str) -> Self {
        Self { number, access: speech::bearer(access), refresh: refresh.into(), acknowledged: Instant::now() }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Vec<Session>>);

impl Sessions {
    fn all(&self) -> MutexGuard<'_, Vec<Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, session: Session) {
        self.all().push(session);
    }

    pub(super) fn len(&self) -> usize {
        self.all().len()
    }

    /// Takes any one out.
    pub(super) fn take(&self, dice: &mut Dice) -> Option<Session> {
        let mut all = self.all();
        let at = dice.below(all.len() as u64);
        if all.is_empty() { None } else { Some(all.swap_remove(usize::try_from(at).ok()?)) }
    }

    /// The access token of any one, and whose it is.
    pub(super) fn look(&self, dice: &mut Dice) -> Option<(u64, HeaderValue)> {
        let all = self.all();
        let at = usize::try_from(dice.below(all.len() as u64)).ok()?;
        all.get(at).map(|session| (session.number, session.access.clone()))
    }

    pub(super) fn drain(&self) -> Vec<Session> {
        std::mem::take(&mut *self.all())
    }
}
