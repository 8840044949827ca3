//! A whole server of one test's own: memory store, scripted gateway, a clock that the test moves, port 0.
//!
//! Its helpers are verbs. Everything goes over a real socket; nothing of another test is visible.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use otpd::{
    app::{App, Ended, World},
    clock::Clock,
    entropy::Entropy,
    record::UnixMillis,
    settings::Settings,
    shutdown::Shutdown,
    sms::Channel,
    store::memory::MemoryStore,
    token::{ApiKeys, Scope},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

pub(crate) use crate::harness_gateway::{RECEIPTS_KEY, Script, ScriptedGateway, wrong};
use crate::{answer_rules, counting::CountingStore, documented};

/// The time that every test begins at: 2026-01-01T00:00:00Z.
pub(crate) const START: UnixMillis = UnixMillis(1_767_225_600_000);

/// A clock that stands still until the test moves it.
#[derive(Debug)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }

    pub(crate) fn set(&self, to: UnixMillis) {
        self.0.store(to.0, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

/// Pseudo-random bytes from a seed (SplitMix64), so that a failing test fails again.
#[derive(Debug)]
pub(crate) struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let mut word = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A running server and its world.
pub(crate) struct TestApp {
    pub(crate) address: SocketAddr,
    pub(crate) ops_address: SocketAddr,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) gateway: Arc<ScriptedGateway>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) client: reqwest::Client,
    /// Two back ends' keys, and an administrator's.
    pub(crate) keys: Keys,
    /// Counts what is read of the store: one load is one actor started.
    pub(crate) counting: Arc<CountingStore>,
    shutdown: Shutdown,
    running: tokio::task::JoinHandle<Ended>,
    directory: tempfile::TempDir,
}

/// API keys of a test server; they stand in its key file before it starts.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) backend: String,
    pub(crate) other: String,
    pub(crate) admin: String,
}

impl Keys {
    fn make(directory: &Path) -> Self {
        let keys = ApiKeys::open(&directory.join("api.keys")).unwrap();
        let entropy = SeededEntropy::new(11);
        let key = |name, scopes: &[Scope]| {
            let (_, secret) = keys.create(name, scopes, START, &entropy).unwrap();
            secret.expose_secret().to_owned()
        };
        Self { backend: key("backend", &[]), other: key("other", &[]), admin: key("admin", &[Scope::Admin]) }
    }
}

/// Settings for tests: the defaults on free ports, without the limit per address (all clients here are one) and without
/// a breaker (the gateway fails on purpose).
pub(crate) fn settings(toml: &str) -> Settings {
    let file = tempfile::NamedTempFile::new().unwrap();
    let ground = "[server]\nlisten = \"127.0.0.1:0\"\n[ops]\nlisten = \"127.0.0.1:0\"\n[sms]\nbreaker_open_ms = 0\n";
    std::fs::write(file.path(), ground).unwrap();
    let lines = toml.lines().filter_map(|line| line.split_once('='));
    let pairs = lines.map(|(key, value)| {
        let name = format!("OTPD__{}", key.trim().to_uppercase().replace('.', "__"));
        (name, value.trim().trim_matches('"').to_owned())
    });
    let off = ("OTPD__LIMITS__IP_PER_MINUTE".to_owned(), "0".to_owned());
    Settings::load(Some(file.path()), [off].into_iter().chain(pairs)).unwrap()
}

impl TestApp {
    /// A server with default settings.
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// A server with some settings changed, one `section.key = value` a line.
    pub(crate) async fn with(changes: &str) -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(START.0)));
        let directory = tempfile::tempdir().unwrap();
        let keys = Keys::make(directory.path());
        Self::over(changes, Arc::new(MemoryStore::new(false)), clock, (directory, keys)).await
    }

    /// The same with a gateway that can also send by WhatsApp and call.
    pub(crate) async fn with_all_channels(changes: &str) -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(START.0)));
        let directory = tempfile::tempdir().unwrap();
        let keys = Keys::make(directory.path());
        let gateway = ScriptedGateway::with(&Channel::ALL);
        Self::by(gateway, changes, Arc::new(MemoryStore::new(false)), clock, (directory, keys)).await
    }

    /// A server over key files that are there already.
    pub(crate) async fn in_directory(changes: &str, directory: tempfile::TempDir) -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(START.0)));
        let keys = Keys::make(directory.path());
        Self::over(changes, Arc::new(MemoryStore::new(false)), clock, (directory, keys)).await
    }

    /// A server over a store, a clock and a key directory that are there already.
    async fn over(
        changes: &str,
        store: Arc<MemoryStore>,
        clock: Arc<TestClock>,
        of: (tempfile::TempDir, Keys),
    ) -> Self {
        Self::by(ScriptedGateway::default(), changes, store, clock, of).await
    }

    async fn by(
        gateway: ScriptedGateway,
        changes: &str,
        store: Arc<MemoryStore>,
        clock: Arc<TestClock>,
        (directory, keys): (tempfile::TempDir, Keys),
    ) -> Self {
        let gateway = Arc::new(gateway);
        let counting = Arc::new(CountingStore::over(Arc::clone(&store)));
        let mut settings = settings(changes);
        settings.store.path = directory.path().to_owned();
        let world = World {
            clock: Arc::clone(&clock) as _,
            // A restart at another time draws other bytes.
            entropy: Arc::new(SeededEntropy::new(clock.now().0)),
            store: Some(Arc::clone(&counting) as _),
            gateway: Some(Arc::clone(&gateway) as _),
        };
        let shutdown = Shutdown::new(Duration::from_secs(5));
        let app = App::start(&settings, world, shutdown.clone()).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let (address, ops_address) = (app.address(), app.ops_address());
        documented::doors(address, ops_address);
        if !settings.dev.show_codes {
            answer_rules::watch(address, &gateway);
        }
        let running = tokio::spawn(app.run());
        Self { address, ops_address, clock, gateway, store, client, keys, counting, shutdown, running, directory }
    }

    /// Stops in order and starts again over the same store, clock and keys.
    pub(crate) async fn restart(self, changes: &str) -> Self {
        self.shutdown.begin();
        assert_eq!(self.running.await.unwrap(), Ended::Stopped);
        let store = Arc::new(self.store.connect());
        Self::over(changes, store, self.clock, (self.directory, self.keys)).await
    }

    /// Starts again over the same store, clock and keys as after a crash: what was under way is never finished here.
    pub(crate) async fn crash(self, changes: &str) -> Self {
        self.running.abort();
        let store = Arc::new(self.store.connect());
        Self::over(changes, store, self.clock, (self.directory, self.keys)).await
    }

    /// Begins the stop.
    pub(crate) fn begin_stop(&self) {
        self.shutdown.begin();
    }

    /// Stops in order.
    pub(crate) async fn stop(self) {
        self.stop_and_keep().await;
    }

    /// Stops in order; what it has left in the data directory.
    pub(crate) async fn stop_and_keep(self) -> tempfile::TempDir {
        self.shutdown.begin();
        assert_eq!(self.running.await.unwrap(), Ended::Stopped);
        self.directory
    }

    /// The data directory: key files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// `POST` with a JSON body.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::read(self.client.post(self.url(path)).json(&body)).await
    }

    /// `GET`.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::read(self.client.get(self.url(path))).await
    }

    /// `GET` with an access token.
    pub(crate) async fn get_as(&self, token: &str, path: &str) -> Answer {
        Answer::read(self.client.get(self.url(path)).bearer_auth(token)).await
    }

    /// `POST` with an access token or API key.
    pub(crate) async fn post_as(&self, token: &str, path: &str, body: Value) -> Answer {
        Answer::read(self.client.post(self.url(path)).bearer_auth(token).json(&body)).await
    }

    /// `POST` with an `Idempotency-Key`.
    pub(crate) async fn post_once(&self, key: &str, path: &str, body: Value) -> Answer {
        Answer::read(self.client.post(self.url(path)).header("idempotency-key", key).json(&body)).await
    }

    /// `POST` of bytes as they are, said to be JSON.
    pub(crate) async fn post_raw(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.client.post(self.url(path)).header("content-type", "application/json");
        Answer::read(request.body(body)).await
    }

    /// `POST` as a proxy in front of us that forwards for `client`.
    pub(crate) async fn post_for(&self, client: &str, path: &str, body: Value) -> Answer {
        Answer::read(self.client.post(self.url(path)).header("x-forwarded-for", client).json(&body)).await
    }

    /// Checks a code by id.
    pub(crate) async fn check(&self, id: &str, code: &str) -> Answer {
        self.post(&format!("/v1/verifications/{id}/check"), json!({ "code": code })).await
    }

    /// Checks a code by number, purpose `login`.
    pub(crate) async fn check_number(&self, to: &str, code: &str) -> Answer {
        self.post("/v1/verifications/check", json!({ "to": to, "code": code })).await
    }

    /// Asks for the same code again.
    pub(crate) async fn resend(&self, id: &str) -> Answer {
        self.post(&format!("/v1/verifications/{id}/resend"), json!({})).await
    }

    /// Changes written so far, that of `id`'s last send included: its result is entered after the answer, and a read
    /// is served behind it.
    pub(crate) async fn settled_changes(&self, id: &str) -> usize {
        let read = self.get(&format!("/v1/verifications/{id}")).await.is(200);
        assert!(!read.raw.contains("\"sending\""), "{read:?}");
        self.counting.changes()
    }

    /// Moves the clock by milliseconds.
    pub(crate) fn wait_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    /// Moves the clock by seconds.
    pub(crate) fn wait_s(&self, seconds: u64) {
        self.wait_ms(seconds * 1_000);
    }

    /// Starts a verification; its id.
    pub(crate) async fn start_for(&self, to: &str) -> String {
        let answer = self.post("/v1/verifications", json!({ "to": to })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.text("id")
    }

    /// Signs a number in from nothing; the answer of `/v1/sessions`.
    pub(crate) async fn sign_in(&self, to: &str) -> Answer {
        let id = self.start_for(to).await;
        let code = self.gateway.code(to);
        let answer = self.post("/v1/sessions", json!({ "verification_id": id, "code": code })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) raw: String,
    pub(crate) body: Value,
}

impl Answer {
    /// Sends a request and reads its answer, which must be one that the OpenAPI document has.
    pub(crate) async fn read(request: reqwest::RequestBuilder) -> Self {
        let (client, request) = request.build_split();
        let request = request.unwrap();
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = client.execute(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let address = response.remote_addr();
        let raw = response.text().await.unwrap();
        if !documented::is_ops(address) {
            documented::hold((method.as_str(), &path), status, &headers, &raw);
        }
        let body = serde_json::from_str(&raw).unwrap_or(Value::Null);
        let answer = Self { status, headers, raw, body };
        answer_rules::hold(&answer, address, &path);
        answer
    }

    /// Asserts the status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Asserts what `Retry-After` and the body say of the wait.
    #[track_caller]
    pub(crate) fn waits(&self, seconds: u64) -> &Self {
        assert_eq!(self.header("retry-after"), seconds.to_string(), "{self:?}");
        assert_eq!(self.body["retry_after"], seconds, "{self:?}");
        self
    }

    /// Asserts the one field that the problem points at.
    #[track_caller]
    pub(crate) fn points_at(&self, pointer: &str) -> &Self {
        assert_eq!(self.body["errors"][0]["pointer"], pointer, "{self:?}");
        assert_eq!(self.body["errors"].as_array().map(Vec::len), Some(1), "{self:?}");
        self
    }

    /// A text field of the body.
    pub(crate) fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field} in {self:?}")).to_owned()
    }

    /// A header as text, empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts status and problem code.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> &Self {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{self:?}");
        self
    }
}
