//! One run of the server and what all runs share.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use super::{
    api::{Api, Outcome, Stop},
    fake_twilio::FakeTwilio,
    server::{Lines, Server},
};

/// Figures and facts of the whole test.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    acknowledged: AtomicU64,
    proofs: AtomicU64,
    /// Requests that a server died over, by kind: those that had happened, and those that had not.
    settled: Mutex<BTreeMap<&'static str, [u64; 2]>>,
    /// Every user id and the number it was first seen with.
    users: Mutex<HashMap<u64, String>>,
}

impl Tally {
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub(crate) fn proofs(&self) -> u64 {
        self.proofs.load(Ordering::Relaxed)
    }

    /// Every kind of request that a server died over, with how many had happened and how many had not.
    pub(crate) fn settled(&self) -> BTreeMap<&'static str, [u64; 2]> {
        self.settled.lock().unwrap().clone()
    }
}

/// One run.
pub(crate) struct Scene {
    pub(crate) api: Api,
    pub(crate) fake: Arc<FakeTwilio>,
    pub(crate) lines: Lines,
    tally: Arc<Tally>,
    /// Proofs change things, too; only load leads to the kill.
    loading: AtomicBool,
    /// Acknowledgements left until the kill.
    left: AtomicU64,
    killing: AtomicBool,
    enough: Notify,
}

impl Scene {
    pub(crate) fn new(server: &Server, fake: &Arc<FakeTwilio>, tally: &Arc<Tally>, acknowledgements: u64) -> Self {
        Self {
            api: Api::new(server.address),
            fake: Arc::clone(fake),
            lines: server.lines.clone(),
            tally: Arc::clone(tally),
            loading: AtomicBool::new(false),
            left: AtomicU64::new(acknowledgements),
            killing: AtomicBool::new(false),
            enough: Notify::new(),
        }
    }

    /// From now on acknowledgements lead to the kill.
    pub(crate) fn begin_load(&self) {
        self.loading.store(true, Ordering::Release);
    }

    /// The server has acknowledged one more fact.
    pub(crate) fn acknowledged(&self) {
        self.tally.acknowledged.fetch_add(1, Ordering::Relaxed);
        if self.loading.load(Ordering::Acquire) && self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.killing.store(true, Ordering::Release);
            self.enough.notify_one();
        }
    }

    /// One fact was found to hold.
    pub(crate) fn proved(&self) {
        self.tally.proofs.fetch_add(1, Ordering::Relaxed);
    }

    /// It is known what became of a request that the server died over.
    pub(crate) fn settled(&self, kind: &'static str, happened: bool) {
        self.tally.settled.lock().unwrap().entry(kind).or_default()[usize::from(!happened)] += 1;
    }

    /// Returns when it is time for the kill.
    pub(crate) async fn enough(&self) {
        self.enough.notified().await;
    }

    /// True once the kill was decided: from then on requests may stay without an answer.
    pub(crate) fn is_killing(&self) -> bool {
        self.killing.load(Ordering::Acquire)
    }

    /// A user id that this number has for the first time.
    pub(crate) fn born(&self, user_id: u64, phone: &str) -> Outcome<()> {
        match self.tally.users.lock().unwrap().insert(user_id, phone.to_owned()) {
            None => Ok(()),
            Some(other) => Err(Stop::Broken(format!("user id {user_id} of {phone} was {other}'s"))),
        }
    }

    /// The code of the newest message to a number, and how many messages with a code it has had.
    pub(crate) fn code(&self, phone: &str) -> (usize, Option<String>) {
        let messages = self.fake.messages_to(phone);
        let codes: Vec<&str> = messages.iter().filter_map(|message| message.code()).collect();
        (codes.len(), codes.last().map(|code| (*code).to_owned()))
    }
}
