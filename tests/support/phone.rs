//! A directory over a store in memory, with a clock that stands still until it is moved.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use otpd::{
    clock::Clock,
    entropy::{Entropy, OsEntropy},
    phone::{Directory, DirectorySettings, Fault, Parts, Reply},
    record::{
        Code, Command, Door, Keyring, LOGIN, Label, Move, OnMatch, Outcome, PhoneNumber, Policy, ProfilePatch, Record,
        Refusal, Sender, SignIn, Start, Target, UnixMillis, snapshot,
    },
    store::{
        Change, Committed, Outbox, Page, Snapshot, SnapshotStore, StoreFault,
        committer::{Committer, CommitterSettings},
        memory::MemoryStore,
    },
};
use tokio::sync::mpsc;

/// The door of every test.
pub(crate) const DOOR: Door = Door { dialect: Label::of("v1"), purpose: LOGIN };

/// The nth number.
pub(crate) fn phone(n: u64) -> PhoneNumber {
    PhoneNumber::try_from(989_120_000_000 + n).unwrap()
}

/// Stands still until it is moved.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

/// A memory store whose `load` can be made to panic for one number, and that counts.
#[derive(Debug)]
pub(crate) struct Rigged {
    pub(crate) inner: MemoryStore,
    poisoned: AtomicU64,
    pub(crate) loads: AtomicU64,
    pub(crate) conflicts: AtomicU64,
}

impl Rigged {
    pub(crate) fn new(inner: MemoryStore) -> Arc<Self> {
        Arc::new(Self { inner, poisoned: AtomicU64::new(0), loads: AtomicU64::new(0), conflicts: AtomicU64::new(0) })
    }

    pub(crate) fn poison(&self, phone: Option<PhoneNumber>) {
        self.poisoned.store(phone.map_or(0, PhoneNumber::as_u64), Ordering::Relaxed);
    }

    /// What the store has of a number.
    pub(crate) async fn record(&self, phone: PhoneNumber) -> Option<Record> {
        let found = self.inner.load(phone).await.unwrap()?;
        Some(snapshot::decode(phone, &found.bytes).unwrap())
    }

    pub(crate) async fn version(&self, phone: PhoneNumber) -> Option<u64> {
        self.inner.load(phone).await.unwrap().map(|found| found.version)
    }
}

#[async_trait]
impl SnapshotStore for Rigged {
    async fn load(&self, phone: PhoneNumber) -> Result<Option<Snapshot>, StoreFault> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        assert_ne!(self.poisoned.load(Ordering::Relaxed), phone.as_u64(), "a poisoned record");
        self.inner.load(phone).await
    }

    async fn commit(&self, batch: &[Change]) -> Result<Vec<Committed>, StoreFault> {
        let outcomes = self.inner.commit(batch).await?;
        let conflicts = outcomes.iter().filter(|outcome| **outcome == Committed::Conflict).count();
        self.conflicts.fetch_add(conflicts as u64, Ordering::Relaxed);
        Ok(outcomes)
    }

    async fn scan(&self, after: Option<PhoneNumber>, limit: usize) -> Result<Page, StoreFault> {
        self.inner.scan(after, limit).await
    }

    async fn lease_user_ids(&self, count: u64) -> Result<std::ops::Range<u64>, StoreFault> {
        self.inner.lease_user_ids(count).await
    }

    fn outbox(&self) -> &dyn Outbox {
        self.inner.outbox()
    }

    fn shared(&self) -> bool {
        self.inner.shared()
    }

    async fn close(&self) -> Result<(), StoreFault> {
        self.inner.close().await
    }
}

/// One process: a directory and what it works with.
pub(crate) struct World {
    pub(crate) directory: Directory,
    pub(crate) store: Arc<Rigged>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) moves: mpsc::Receiver<Move>,
    pub(crate) policy: Arc<Policy>,
}

impl World {
    pub(crate) fn new(settings: DirectorySettings) -> Self {
        Self::over(Rigged::new(MemoryStore::new(false)), settings)
    }

    pub(crate) fn over(store: Arc<Rigged>, settings: DirectorySettings) -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(1_800_000_000_000)));
        let port: Arc<dyn SnapshotStore> = store.clone();
        let committer = Committer::start_as_task(Arc::clone(&port), CommitterSettings::default(), Box::new(|_| ()));
        let (sender, moves) = mpsc::channel(4);
        let keys = Arc::new(Keyring::new((1, &[7; 32]), &[]));
        let parts = Parts {
            store: port,
            committer,
            clock: clock.clone(),
            keys,
            moves: sender,
            events: otpd::record::EventFilter::default(),
        };
        Self { directory: Directory::new(parts, settings), store, clock, moves, policy: Arc::new(Policy::default()) }
    }

    pub(crate) async fn ask(&self, phone: PhoneNumber, command: Command) -> Result<Reply, Fault> {
        self.directory.ask(phone, Arc::clone(&self.policy), command.into()).await
    }

    /// A request that can be sent off on a task of its own.
    pub(crate) fn asking(
        &self,
        phone: PhoneNumber,
        command: Command,
    ) -> impl Future<Output = Result<Reply, Fault>> + Send + use<> {
        let (directory, policy) = (self.directory.clone(), Arc::clone(&self.policy));
        async move { directory.ask(phone, policy, command.into()).await }
    }

    /// Starts a challenge; its nonce and its code.
    pub(crate) async fn challenge(&self, phone: PhoneNumber) -> (u64, Code) {
        let reply = self.ask(phone, start()).await.unwrap();
        let draft = reply.draft.expect("a first start sends");
        (draft.nonce, draft.code)
    }

    /// Signs in; the session's nonce.
    pub(crate) async fn sign_in(&self, phone: PhoneNumber) -> u64 {
        let (nonce, code) = self.challenge(phone).await;
        let sign_in = SignIn { session: nonce ^ 1, user_id: phone.as_u64(), client: Label::of("otpd") };
        let on_match = OnMatch::SignIn(sign_in);
        let check = Command::Check { target: Target::Id(nonce), code, on_match, session: None, address: 0 };
        let outcome = self.ask(phone, check).await.unwrap().outcome;
        let Outcome::SignedIn(signed_in) = outcome else { panic!("not signed in: {outcome:?}") };
        signed_in.session
    }

    /// Waits until all actors have ended.
    pub(crate) async fn emptied(&self) {
        within(|| self.directory.is_empty()).await;
    }
}

/// Lets the others run until `true`; a condition that never comes is a failure, not a hang.
pub(crate) async fn within(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("the condition comes true");
}

/// Asks for a code.
pub(crate) fn start() -> Command {
    start_with(None)
}

/// Asks for a code, say with another number's session.
pub(crate) fn start_with(bound_to: Option<otpd::record::SessionRef>) -> Command {
    Command::Start(Box::new(Start {
        nonce: OsEntropy.draw(),
        door: DOOR,
        channel: Label::of("sms"),
        chosen: None,
        digits: None,
        life_ms: None,
        sender: Sender { address: 1, keyed: true, unpaid: false },
        facts: otpd::record::MessageFacts::default(),
        metadata: Vec::new(),
        bound_to,
    }))
}

/// Checks a code by id.
pub(crate) fn check(nonce: u64, code: &Code) -> Command {
    check_at(Target::Id(nonce), code)
}

/// Checks a code by number alone.
pub(crate) fn check_by_number(code: &Code) -> Command {
    check_at(Target::Newest(DOOR), code)
}

fn check_at(target: Target, code: &Code) -> Command {
    Command::Check { target, code: code.clone(), on_match: OnMatch::Approve, session: None, address: 0 }
}

/// A code of the right length that is not `right`.
pub(crate) fn wrong(right: &Code) -> Code {
    let other = if right.reveal().starts_with('0') { "1" } else { "0" };
    let digits = right.reveal();
    Code::from_digits(&format!("{other}{}", &digits[1..])).unwrap()
}

/// Writes `text` into the profile: a change each time it differs.
pub(crate) fn write(session: u64, text: String) -> Command {
    let patch = ProfilePatch { bio: Some(Some(text)), ..ProfilePatch::default() };
    Command::UpdateProfile { session, patch: Box::new(patch) }
}

pub(crate) fn is_wrong(answer: &Result<Reply, Fault>) -> bool {
    matches!(answer, Ok(Reply { outcome: Outcome::Refused(Refusal::WrongCode { .. }), .. }))
}

pub(crate) fn is_approved(answer: &Result<Reply, Fault>) -> bool {
    matches!(answer, Ok(Reply { outcome: Outcome::Approved { .. }, .. }))
}

/// A small generator for drawing lots in tests; its seed is printed and can be given with `OTPD_SEED`.
pub(crate) struct Lots(u64);

impl Lots {
    #[expect(clippy::disallowed_methods, reason = "a test may be told its seed")]
    pub(crate) fn new(test: &str) -> Self {
        let given = std::env::var("OTPD_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| OsEntropy.draw());
        println!("{test}: OTPD_SEED={seed}");
        Self(seed | 1)
    }

    pub(crate) fn fork(&mut self) -> Self {
        Self(self.draw() | 1)
    }

    /// xorshift64*
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.draw() % most
    }
}
