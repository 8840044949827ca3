//! A whole server of one test's own: memory store, scripted gateway, a clock that the test moves, port 0.
//!
//! Its helpers are verbs. Everything goes over a real socket; nothing of another test is visible.

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use otpd::{
    app::{App, Ended, World},
    clock::Clock,
    entropy::Entropy,
    record::UnixMillis,
    settings::Settings,
    shutdown::Shutdown,
    sms::{Accepted, Gateway, SendClass, SendError, Sms},
    store::{SnapshotStore, memory::MemoryStore},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

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

/// What the gateway does with a message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Script {
    Accept,
    Fail(SendClass),
    /// Waits until [`ScriptedGateway::release`].
    Hold,
}

/// A gateway that keeps what it was given and does what it was told.
#[derive(Default)]
pub(crate) struct ScriptedGateway {
    sent: Mutex<Vec<(String, String)>>,
    script: Mutex<VecDeque<Script>>,
    arrived: Notify,
    released: Notify,
}

impl fmt::Debug for ScriptedGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScriptedGateway")
    }
}

impl ScriptedGateway {
    /// The next sends do this, in order; then all are accepted again.
    pub(crate) fn next(&self, scripts: impl IntoIterator<Item = Script>) {
        self.script.lock().unwrap().extend(scripts);
    }

    /// Lets held messages go.
    pub(crate) fn release(&self) {
        self.released.notify_waiters();
    }

    /// Returns when `count` messages have come in all.
    pub(crate) async fn arrived(&self, count: usize) {
        loop {
            let next = self.arrived.notified();
            if self.sent().len() >= count {
                return;
            }
            next.await;
        }
    }

    /// All messages so far: number and text.
    pub(crate) fn sent(&self) -> Vec<(String, String)> {
        self.sent.lock().unwrap().clone()
    }

    /// Messages to one number.
    pub(crate) fn sent_to(&self, to: &str) -> Vec<String> {
        self.sent().into_iter().filter(|(number, _)| number == to).map(|(_, text)| text).collect()
    }

    /// The code of the newest message to a number.
    pub(crate) fn code(&self, to: &str) -> String {
        let text = self.sent_to(to).pop().unwrap_or_else(|| panic!("no message to {to}"));
        let digits = text.split(|c: char| !c.is_ascii_digit()).find(|part| part.len() >= 4);
        digits.unwrap_or_else(|| panic!("no code in the message")).to_owned()
    }
}

#[async_trait]
impl Gateway for ScriptedGateway {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn is_real(&self) -> bool {
        false
    }

    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let script = self.script.lock().unwrap().pop_front().unwrap_or(Script::Accept);
        let released = self.released.notified();
        self.sent.lock().unwrap().push((sms.to.to_e164(), sms.text.clone()));
        self.arrived.notify_waiters();
        match script {
            Script::Accept => Ok(Accepted::default()),
            Script::Fail(class) => Err(SendError::new(class, "scripted")),
            Script::Hold => {
                released.await;
                Ok(Accepted::default())
            }
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
    shutdown: Shutdown,
    running: tokio::task::JoinHandle<Ended>,
    directory: tempfile::TempDir,
}

/// Settings for tests: the defaults on free ports, without the limit per address (all clients here are one).
pub(crate) fn settings(toml: &str) -> Settings {
    let file = tempfile::NamedTempFile::new().unwrap();
    let ground = "[server]\nlisten = \"127.0.0.1:0\"\n[ops]\nlisten = \"127.0.0.1:0\"\n";
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
        Self::over(changes, Arc::new(MemoryStore::new(false)), clock, tempfile::tempdir().unwrap()).await
    }

    /// A server over key files that are there already.
    pub(crate) async fn in_directory(changes: &str, directory: tempfile::TempDir) -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(START.0)));
        Self::over(changes, Arc::new(MemoryStore::new(false)), clock, directory).await
    }

    /// A server over a store, a clock and a key directory that are there already.
    async fn over(changes: &str, store: Arc<MemoryStore>, clock: Arc<TestClock>, directory: tempfile::TempDir) -> Self {
        let gateway = Arc::new(ScriptedGateway::default());
        let mut settings = settings(changes);
        settings.store.path = directory.path().to_owned();
        let world = World {
            clock: Arc::clone(&clock) as _,
            // A restart at another time draws other bytes.
            entropy: Arc::new(SeededEntropy::new(clock.now().0)),
            store: Some(Arc::clone(&store) as Arc<dyn SnapshotStore>),
            gateway: Some(Arc::clone(&gateway) as _),
        };
        let shutdown = Shutdown::new(Duration::from_secs(5));
        let app = App::start(&settings, world, shutdown.clone()).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let (address, ops_address) = (app.address(), app.ops_address());
        let running = tokio::spawn(app.run());
        Self { address, ops_address, clock, gateway, store, client, shutdown, running, directory }
    }

    /// Stops in order and starts again over the same store, clock and keys.
    pub(crate) async fn restart(self, changes: &str) -> Self {
        self.shutdown.begin();
        assert_eq!(self.running.await.unwrap(), Ended::Stopped);
        let store = Arc::new(self.store.connect());
        Self::over(changes, store, self.clock, self.directory).await
    }

    /// Begins the stop.
    pub(crate) fn begin_stop(&self) {
        self.shutdown.begin();
    }

    /// Stops in order.
    pub(crate) async fn stop(self) {
        self.shutdown.begin();
        assert_eq!(self.running.await.unwrap(), Ended::Stopped);
    }

    /// The data directory: key files.
    pub(crate) fn directory(&self) -> &std::path::Path {
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
    /// Sends a request and reads its answer.
    pub(crate) async fn read(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let raw = response.text().await.unwrap();
        let body = serde_json::from_str(&raw).unwrap_or(Value::Null);
        Self { status, headers, raw, body }
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
