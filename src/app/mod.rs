//! Composition: settings become parts, parts become a server; and the order in which it all stops.
//!
//! Stop order: readiness turns 503, doors close and finish what they have, sends under way end, actors are drained, posts end,
//! the last batch is flushed, the store is let go. Never the supervisors first: ractor kills their children.

pub(crate) mod dialects;
mod gateways;
pub mod guard;
mod node_events;
pub mod parts;
mod webhooks;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, SystemClock},
    entropy::{Entropy, OsEntropy},
    events::Events,
    http::{
        Router,
        dialect::{self, Collision},
        docs,
        listener::{self, ListenerSettings},
        middleware,
        ops::{self, Operations, Readiness},
        v1::{self, V1},
    },
    metrics::{Exporter, ExporterError},
    phone::{self, Directory, Sweeper},
    record::{Keyring, Move},
    service::{self, Dialect, Service, UserIds},
    settings::Settings,
    shutdown::Shutdown,
    sms::{Gateway, SettingError},
    spending::Keeper,
    store::{SnapshotStore, committer::Committer, sled_store::OpenError},
    token::{ApiKeys, KeyFault, TokenMaker},
    webhooks::Webhooks,
};

/// Numbers loaded in the middle of a phone change that may wait to be finished; what is dropped comes again with the
/// number's next activation.
const MOVES_QUEUE_MAX: usize = 1_024;

/// Connections that the system may keep until we accept them; it allows no more than its own limit (somaxconn, 4096 as a
/// rule). When that many come at once and the queue is full, some try again only after seconds.
const ACCEPT_QUEUE_MAX: u32 = 16_384;

/// What the last flush is given even when the deadline has passed: a healthy disk needs a hundredth of it.
const LAST_FLUSH_MIN: Duration = Duration::from_secs(5);

/// What posts of events that are under way are given at the end; what is not over is posted again after the start.
const LAST_POSTS_MAX: Duration = Duration::from_secs(2);

/// What a test puts in the place of the world.
#[derive(Clone)]
pub struct World {
    /// The time that decisions go by.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Instead of the embedded store of `store.path`.
    pub store: Option<Arc<dyn SnapshotStore>>,
    /// Instead of the gateway of `sms.gateway`.
    pub gateway: Option<Arc<dyn Gateway>>,
}

impl Default for World {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(OsEntropy), store: None, gateway: None }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("clock", &self.clock).field("entropy", &self.entropy).finish_non_exhaustive()
    }
}

/// What everything else stands on: records, and the keys that they hang on.
struct Ground {
    store: Arc<dyn SnapshotStore>,
    keyring: Arc<Keyring>,
    committer: Committer,
    store_failed: CancellationToken,
}

impl Ground {
    async fn lay(settings: &Settings, files: &parts::Files, world: &World) -> Result<Self, StartError> {
        let had_sealing_keys = files.sealing.exists();
        let store = match world.store.clone() {
            Some(store) => store,
            None => parts::open_store(settings, files).await?,
        };
        let store = parts::slowed(settings, store);
        if !had_sealing_keys {
            refuse_records(&*store).await?;
        }
        // Only now: keys made earlier would make the next start believe that nothing was lost.
        let keyring = parts::keyring(files, world)?;
        let store_failed = CancellationToken::new();
        let committer = parts::committer(settings, Arc::clone(&store), store_failed.clone())?;
        Ok(Self { store, keyring, committer, store_failed })
    }

    /// The numbers.
    fn directory(
        &self,
        settings: &Settings,
        world: &World,
        moves: mpsc::Sender<Move>,
    ) -> Result<Directory, StartError> {
        let parts = phone::Parts {
            store: Arc::clone(&self.store),
            committer: self.committer.clone(),
            clock: Arc::clone(&world.clock),
            keys: Arc::clone(&self.keyring),
            moves,
            events: webhooks::filter(settings)?,
        };
        Ok(Directory::new(parts, parts::directory_settings(settings)))
    }

    /// The use cases, and who keeps the money for them.
    fn service(
        &self,
        settings: &Settings,
        files: &parts::Files,
        world: &World,
        (directory, posts): (Directory, Option<&Webhooks>),
        public_url: &str,
    ) -> Result<(Service, Keeper), StartError> {
        let (store, keyring) = (&self.store, &self.keyring);
        let events = posts.map_or_else(Events::off, |posts| posts.events.clone());
        let sender = parts::sender(settings, world)?.telling(node_events::of_routes(events.clone()));
        let on_guard = node_events::of_the_guard(events.clone());
        let keeper = guard::keeper(settings, world, Arc::clone(keyring), sender.is_real(), on_guard)?;
        let service = Service::new(service::Parts {
            directory,
            sender,
            keeper: keeper.clone(),
            texts: parts::texts(settings)?,
            proof_of_work: parts::proof_of_work(settings, &*world.entropy),
            keys: Arc::clone(keyring),
            tokens: TokenMaker::new(
                parts::token_settings(settings, public_url),
                Arc::new(parts::signing_keys(settings, files, world)?),
                Arc::clone(&world.entropy),
            ),
            passwords: parts::passwords(settings, world)?,
            user_ids: UserIds::new(Arc::clone(store)),
            events,
            dead_letters: webhooks::dead_letters(posts, store),
            clock: Arc::clone(&world.clock),
            entropy: Arc::clone(&world.entropy),
            dialects: std::iter::once("v1").chain(dialect::ALL.iter().map(|spec| spec.name)).collect(),
            auto_waiting_max: settings.sms.auto_waiting_max,
            test_numbers: parts::test_numbers(settings),
            receipts: parts::receipts(settings),
            show_codes: settings.dev.show_codes,
        });
        Ok((service, keeper))
    }
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A key file cannot be used.
    #[error("{0}")]
    Keys(#[from] KeyFault),
    /// The store cannot be opened.
    #[error("store.path: {0}")]
    Store(#[from] OpenError),
    /// Records without the keys that their codes, ids and sessions hang on.
    #[error("sealing.keys is missing, and the store has records: bring the file back, or move the data away")]
    SealingKeysLost,
    /// A setting of messages or gateways that only its part can judge.
    #[error("{key}: {reason}")]
    Setting {
        /// The key, as in config.toml.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Another such setting.
    #[error("{0}: {1}")]
    Named(&'static str, String),
    /// Two APIs at one path.
    #[error("dialects.{}.base_paths: {}", .0.second, .0)]
    Collision(#[from] Collision),
    /// An address cannot be listened on.
    #[error("{0}: cannot listen on {1}: {2}")]
    Listen(&'static str, SocketAddr, std::io::ErrorKind),
    /// The metrics recorder.
    #[error("{0}")]
    Metrics(#[from] ExporterError),
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::ErrorKind),
}

impl StartError {
    /// The same, with the name of the variable that has set the key.
    #[must_use]
    pub fn placed(self, settings: &Settings) -> Self {
        if let Self::Setting { key, reason } = self {
            return Self::Setting { key: settings.place(&key), reason };
        }
        self
    }
}

/// The parts name their own fields; an operator knows the keys of config.toml.
impl From<SettingError> for StartError {
    fn from(error: SettingError) -> Self {
        let SettingError { setting, reason } = error;
        let key = match setting.as_str() {
            name if name == "webhooks" || name.starts_with("webhooks.") => name.to_owned(),
            "text.app" => "sms.app_name".to_owned(),
            name => {
                let own = name.strip_prefix("text.").or_else(|| name.strip_prefix("sender.")).unwrap_or(name);
                format!("sms.{own}")
            }
        };
        Self::Setting { key, reason }
    }
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Orderly; everything acknowledged is in the store.
    Stopped,
    /// A flush failed: neither store nor page cache can be trusted, so nothing more may be answered. The process has
    /// to end at once.
    StoreFailed,
}

/// A server that is bound and ready to run.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    ops_address: SocketAddr,
    service: Service,
    keeper: Keeper,
    directory: Directory,
    committer: Committer,
    posts: Option<Webhooks>,
    store_failed: CancellationToken,
    doors: Vec<JoinHandle<()>>,
    router: Router,
    ops_stop: CancellationToken,
    shutdown: Shutdown,
}

impl App {
    /// Builds everything and starts listening. Requests are answered from here on.
    ///
    /// # Errors
    /// Nothing is listening then, and the store is closed.
    pub async fn start(settings: &Settings, world: World, shutdown: Shutdown) -> Result<Self, StartError> {
        Self::assemble(settings, world, shutdown).await.map_err(|error| error.placed(settings))
    }

    async fn assemble(settings: &Settings, world: World, shutdown: Shutdown) -> Result<Self, StartError> {
        let exporter = Exporter::install()?;
        let (listener, address) = bind("server.listen", settings.server.listen)?;
        let (ops_listener, ops_address) = bind("ops.listen", settings.ops.listen)?;
        let public_url = settings.server.public_url(address);

        let files = parts::Files::new(&settings.store.path);
        let ground = Ground::lay(settings, &files, &world).await?;
        let (moves, reported_moves) = mpsc::channel::<Move>(MOVES_QUEUE_MAX);
        let directory = ground.directory(settings, &world, moves)?;
        let posts = webhooks::start(settings, &world, &ground.store, &ground.keyring)?;
        let (service, keeper) =
            ground.service(settings, &files, &world, (directory.clone(), posts.as_ref()), &public_url)?;
        let Ground { store, committer, store_failed, .. } = ground;
        let dialect = parts::v1_dialect(settings);
        let router = Self::router(settings, &files, &world, service.clone(), dialect.clone(), public_url)?;
        let operations =
            Operator { exporter: exporter.clone(), shutdown: shutdown.clone(), committer: committer.clone(), store };
        let ops_router =
            middleware::harden(ops::router(Arc::new(operations)), middleware::EdgeSettings::default(), &*world.entropy);

        tokio::spawn(service.clone().finish_reported_moves(dialect, reported_moves));
        tokio::spawn(Sweeper::new(&directory, parts::sweep_settings(settings)).run());
        tokio::spawn(exporter.upkeep(shutdown.token()));
        tokio::spawn(keeper.clone().run(shutdown.token()));
        let ops_stop = CancellationToken::new();
        let ops_settings = ListenerSettings { name: "ops", ..ListenerSettings::default() };
        let doors = vec![
            spawn_door(listener, router.clone(), parts::listener(settings)?, shutdown.token()),
            spawn_door(ops_listener, ops_router, ops_settings, ops_stop.clone()),
        ];
        Ok(Self {
            address,
            ops_address,
            service,
            keeper,
            directory,
            committer,
            posts,
            store_failed,
            doors,
            router,
            ops_stop,
            shutdown,
        })
    }

    /// The clients' routes.
    fn router(
        settings: &Settings,
        files: &parts::Files,
        world: &World,
        service: Service,
        dialect: Dialect,
        public_url: String,
    ) -> Result<Router, StartError> {
        let desks = dialects::desks(settings, &service)?;
        let oauth = desks.iter().filter(|desk| desk.place.spec.refresh_at_oauth).map(|desk| desk.place.spec.name);
        let v1 = Arc::new(V1 {
            refresh_of: oauth.collect(),
            service,
            dialect,
            api_keys: ApiKeys::open(&files.api)?,
            require_key: settings.api.require_key,
            ip_limiter: parts::ip_limiter(settings),
            numbers: parts::number_rules(settings)?,
            body_limits: parts::body_limits(settings),
            receipts: parts::receipt_door(settings),
            public_url,
        });
        service::number::warm_up(&v1.numbers);
        let dialects = dialect::router(&desks)?;
        Ok(middleware::harden(
            v1::router(v1).merge(dialects).merge(docs::router()),
            parts::edge(settings)?,
            &*world.entropy,
        ))
    }

    /// Where clients connect: the bound address, also when port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operators connect.
    pub fn ops_address(&self) -> SocketAddr {
        self.ops_address
    }

    /// What the clients' door serves, for whoever has requests and no socket.
    pub fn routes(&self) -> Router {
        self.router.clone()
    }

    /// Runs until the shutdown has begun, then stops in order within its deadline.
    pub async fn run(self) -> Ended {
        tokio::select! {
            () = self.shutdown.draining() => {}
            () = self.store_failed.cancelled() => return Ended::StoreFailed,
        }
        let store_failed = self.store_failed.clone();
        tokio::select! {
            ended = self.stop() => ended,
            () = store_failed.cancelled() => Ended::StoreFailed,
        }
    }

    async fn stop(self) -> Ended {
        let Self { service, keeper, directory, committer, posts, mut doors, ops_stop, shutdown, .. } = self;
        let ops_door = doors.pop();
        let in_order = async {
            for door in doors {
                // A listener only panics if a bug ends it; the rest is stopped all the same.
                let _ended = door.await;
            }
            service.finish().await;
            keeper.close().await;
        };
        if tokio::time::timeout(shutdown.remaining(), in_order).await.is_err() {
            tracing::warn!("requests or sends were still open at the deadline");
        }
        let left = directory.drain(shutdown.remaining()).await;
        if left > 0 {
            tracing::warn!(left, "actors were still busy at the deadline");
        }
        if let Some(posts) = posts {
            posts.finish(shutdown.remaining().min(LAST_POSTS_MAX)).await;
        }
        let closed = tokio::time::timeout(shutdown.remaining().max(LAST_FLUSH_MIN), committer.close()).await;
        ops_stop.cancel();
        if let Some(door) = ops_door {
            door.abort();
        }
        match closed {
            Ok(Ok(())) => {
                tracing::info!("stopped");
                Ended::Stopped
            }
            Ok(Err(fault)) => {
                tracing::error!(%fault, "the last flush failed");
                Ended::StoreFailed
            }
            Err(_) => {
                tracing::error!("the last flush did not end in time");
                Ended::StoreFailed
            }
        }
    }
}

/// Records hang on the sealing keys they were made with.
async fn refuse_records(store: &dyn SnapshotStore) -> Result<(), StartError> {
    let page = store.scan(None, 1).await;
    let page = page.map_err(|fault| StartError::Named("store.path", fault.to_string()))?;
    if page.records.is_empty() { Ok(()) } else { Err(StartError::SealingKeysLost) }
}

fn bind(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error: std::io::Error| StartError::Listen(key, address, error.kind());
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(failed)?;
    // A restart takes the port over although connections of the process before still fade away.
    socket.set_reuseaddr(true).map_err(failed)?;
    socket.bind(address).map_err(failed)?;
    let listener = socket.listen(ACCEPT_QUEUE_MAX).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn spawn_door(
    listener: TcpListener,
    router: Router,
    settings: ListenerSettings,
    stop: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let drained = listener::serve(listener, router, settings, stop).await;
        if drained.cut > 0 {
            tracing::warn!(connections = drained.cut, "connections were cut at the deadline");
        }
    })
}

/// What the operators' routes ask.
struct Operator {
    exporter: Exporter,
    shutdown: Shutdown,
    committer: Committer,
    store: Arc<dyn SnapshotStore>,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").finish_non_exhaustive()
    }
}

impl Operations for Operator {
    fn metrics(&self) -> String {
        self.exporter.render()
    }

    fn readiness(&self) -> Readiness {
        if self.shutdown.is_draining() {
            return Readiness::Draining;
        }
        let accepting = self.committer.accepting() && self.store.refusing().is_none();
        if accepting { Readiness::Ready } else { Readiness::StoreRefuses }
    }
}
