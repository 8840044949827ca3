//! A number that all connections are at.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::worker::Stop;

/// The number, and what the server said of it to anybody.
#[derive(Debug)]
pub(super) struct Hot {
    pub(super) number: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    newest: Option<Box<str>>,
    /// Verifications that were approved once; at most as many as messages per day.
    approved: HashSet<Box<str>>,
    /// Messages that were acknowledged.
    accepted: u64,
    /// Requests for one that were not answered.
    in_doubt: u64,
}

impl Hot {
    pub(super) fn new(number: u64) -> Self {
        Self { number, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The verification that was begun last, as far as is known.
    pub(super) fn newest(&self) -> Option<Box<str>> {
        self.state().newest.clone()
    }

    pub(super) fn began(&self, id: Box<str>) {
        self.state().newest = Some(id);
    }

    /// Counts a request for a message; `done` is the status of one that was sent.
    pub(super) fn sent(&self, asked: Result<u16, Stop>, done: u16) {
        let mut state = self.state();
        match asked {
            Ok(status) => state.accepted += u64::from(status == done),
            Err(_) => state.in_doubt += 1,
        }
    }

    /// Notes that a code of this verification was accepted; false if one was before.
    pub(super) fn approved(&self, id: &str) -> bool {
        self.state().approved.insert(id.into())
    }

    /// Messages that were acknowledged, and how many of those that came nobody asked for.
    pub(super) fn messages(&self, came: u32) -> (u64, u64) {
        let state = self.state();
        (state.accepted, u64::from(came).saturating_sub(state.accepted + state.in_doubt))
    }
}
