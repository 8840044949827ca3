//! One or two nodes over one store, each with a clock that can jump, and their crashes and restarts.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use otpd::{
    clock::Clock,
    phone::{Directory, DirectorySettings, Parts, SweepSettings, Sweeper},
    record::{
        BlockPolicy, Door, GuessPolicy, HOUR, Keyring, LOGIN, Label, MINUTE, Move, PHONE_CHANGE, PhoneNumber, Policy,
        SECOND, UnixMillis,
    },
    store::{
        SnapshotStore,
        committer::{Committer, CommitterSettings},
        memory::MemoryStore,
    },
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{ledger::Ledger, lots::Lots, steps, store::Connection};

/// Wall time of the simulation's beginning.
const EPOCH_MS: u64 = 1_800_000_000_000;
/// Ids per lease: few, so that leases are taken often.
const LEASE: u64 = 5;

/// A node's wall clock: virtual time and an offset that jumps.
#[derive(Debug)]
pub(crate) struct SimClock {
    began: Instant,
    offset_ms: AtomicI64,
}

impl SimClock {
    pub(crate) fn jump(&self, by_ms: i64) {
        self.offset_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    pub(crate) fn align(&self, with: &Self) {
        self.offset_ms.store(with.offset_ms.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> UnixMillis {
        let virtual_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap();
        UnixMillis((EPOCH_MS + virtual_ms).saturating_add_signed(self.offset_ms.load(Ordering::Relaxed)))
    }
}

/// One process: what is lost with it.
pub(crate) struct Node {
    pub(crate) store: Arc<Connection>,
    pub(crate) directory: Directory,
    pub(crate) moves: mpsc::Receiver<Move>,
    pub(crate) sweeper: Sweeper,
    /// Cancelled when the node crashes: its callers hear nothing more.
    pub(crate) life: CancellationToken,
    /// Cancelled by the committer when the store has failed for good.
    pub(crate) fatal: CancellationToken,
    user_ids: std::ops::Range<u64>,
}

/// All nodes and what they share.
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) clocks: Vec<Arc<SimClock>>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) policies: Vec<(Door, Arc<Policy>)>,
    /// Looks at the disk past every fault.
    pub(crate) disk: MemoryStore,
    keys: Arc<Keyring>,
    began: Instant,
}

impl World {
    pub(crate) fn new(nodes: usize) -> Self {
        let began = Instant::now();
        let disk = MemoryStore::new(nodes > 1);
        let clock = |_| Arc::new(SimClock { began, offset_ms: AtomicI64::new(0) });
        let mut world = Self {
            nodes: Vec::new(),
            clocks: (0..nodes).map(clock).collect(),
            ledger: Arc::default(),
            policies: policies(),
            disk,
            keys: Arc::new(Keyring::new((1, &[7; 32]), &[])),
            began,
        };
        world.nodes = (0..nodes).map(|node| world.boot(node)).collect();
        world
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// Virtual milliseconds since the beginning, clock jumps aside.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    /// The latest that any node's clock shows.
    pub(crate) fn latest_ms(&self) -> u64 {
        self.clocks.iter().map(|clock| clock.now().0).max().unwrap()
    }

    fn boot(&self, node: usize) -> Node {
        let store = Arc::new(Connection::new(self.disk.connect(), &self.ledger));
        let port: Arc<dyn SnapshotStore> = store.clone();
        let fatal = CancellationToken::new();
        let on_fatal = fatal.clone();
        let committer = Committer::start_as_task(
            Arc::clone(&port),
            CommitterSettings::default(),
            Box::new(move |_| on_fatal.cancel()),
        );
        let (sender, moves) = mpsc::channel(4);
        let clock = Arc::clone(&self.clocks[node]);
        let parts = Parts {
            store: port,
            committer,
            clock,
            keys: Arc::clone(&self.keys),
            moves: sender,
            events: otpd::record::EventFilter::default(),
        };
        let directory = Directory::new(parts, DirectorySettings { shards: 2, ..DirectorySettings::default() });
        let sweeper = Sweeper::new(&directory, SweepSettings { records_per_tick: 12, ..SweepSettings::default() });
        Node { store, directory, moves, sweeper, life: CancellationToken::new(), fatal, user_ids: 0..0 }
    }

    /// `kill -9` and a restart. What is left of the old process can neither write nor be heard; it ends in the
    /// background, so that the simulation's memory stays small.
    pub(crate) async fn crash(&mut self, node: usize, kept: usize) -> usize {
        let lost = self.nodes[node].store.crash(kept).await;
        self.nodes[node].life.cancel();
        let reborn = self.boot(node);
        let dead = std::mem::replace(&mut self.nodes[node], reborn);
        tokio::spawn(async move { dead.directory.drain(Duration::from_mins(1)).await });
        lost
    }

    /// A user id that nobody has; `None` while the store refuses.
    pub(crate) async fn user_id(&mut self, node: usize) -> Option<u64> {
        let node = &mut self.nodes[node];
        if node.user_ids.is_empty() {
            node.user_ids = node.store.lease_user_ids(LEASE).await.ok()?;
        }
        node.user_ids.next()
    }

    /// What the store has must be what the ledger says, to the byte.
    pub(crate) async fn compare(&self, phones: &[PhoneNumber]) -> Result<(), String> {
        for phone in phones {
            let found = self.disk.load(*phone).await.map_err(|fault| fault.to_string())?;
            if found.as_ref() != self.ledger().snapshot(*phone) {
                return Err(format!("{phone}: the store has something that was never committed"));
            }
        }
        Ok(())
    }

    /// Actors that failed in the nodes that live: none may.
    pub(crate) fn failed_actors(&self) -> u64 {
        self.nodes.iter().map(|node| node.directory.census().failed).sum()
    }
}

/// Doors: `/v1`, a dialect that supersedes, a purpose that signs nobody in, the phone change, and a dialect that blocks
/// addresses and takes passwords.
fn policies() -> Vec<(Door, Arc<Policy>)> {
    let v1 = Label::of("v1");
    let ours = Policy {
        session_life_ms: 4 * HOUR,
        sends_per_day: 24,
        sends_per_day_per_address: 8,
        guesses: GuessPolicy {
            free: steps::GUESSES_FREE,
            delay_ms: steps::GUESS_DELAY_MS,
            delay_max_ms: steps::GUESS_DELAY_MAX_MS,
            stop_at: steps::GUESSES_STOP_AT,
        },
        ..Policy::default()
    };
    let dialect = Policy {
        code_digits: 4,
        code_life_ms: 2 * MINUTE,
        attempts_max: 3,
        sends_max: 5,
        send_window_ms: 10 * MINUTE,
        cooldown_ms: 0,
        resend_after_ms: vec![10 * SECOND, MINUTE],
        supersedes: true,
        ..ours.clone()
    };
    let blocking = Policy {
        attempts_max: 5,
        supersedes: false,
        block: Some(BlockPolicy { strikes: steps::STRIKES, block_ms: steps::BLOCK_MS }),
        ..dialect.clone()
    };
    let payment = Door { dialect: v1, purpose: Label::of("payment") };
    let (ours, dialect) = (Arc::new(ours), Arc::new(dialect));
    vec![
        (Door { dialect: v1, purpose: LOGIN }, Arc::clone(&ours)),
        (Door { dialect: Label::of("other"), purpose: LOGIN }, dialect),
        (payment, Arc::clone(&ours)),
        (Door { dialect: v1, purpose: PHONE_CHANGE }, ours),
        (Door { dialect: Label::of("blocking"), purpose: LOGIN }, Arc::new(blocking)),
    ]
}

/// A clock jump: forward by minutes, hours or days, or back by less or more than the hour that the core forgives.
pub(crate) fn jump(lots: &mut Lots) -> i64 {
    let ms = match lots.weighted(&[30, 10, 5, 30, 15]) {
        0 => lots.between(1, 60) * MINUTE,
        1 => lots.between(1, 30) * 60 * MINUTE,
        2 => lots.between(24, 72) * HOUR,
        3 => return -i64::try_from(lots.between(1, 50) * MINUTE).unwrap(),
        _ => return -i64::try_from(lots.between(61, 30 * 60) * MINUTE).unwrap(),
    };
    i64::try_from(ms).unwrap()
}
