//! A whole server of one test's own: memory store, scripted gateway, a clock that the test moves, port 0.
//!
//! Its helpers are verbs. Everything goes over a real socket; nothing of another test is visible.

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
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
    sms::{
        Accepted, Channel, Gateway, SendClass, SendError, Sms,
        receipt::{Receipt, ReceiptOf, ReceiptRefused, ReceiptRequest, ReceiptState},
    },
    store::memory::MemoryStore,
    token::{ApiKeys, Scope},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::sync::Notify;

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
    /// What it can send by; none: text messages.
    channels: &'static [Channel],
    sent: Mutex<Vec<(String, String)>>,
    ids: Mutex<Vec<u128>>,
    locales: Mutex<Vec<String>>,
    references: Mutex<Vec<String>>,
    /// Receipts name an id of the provider's own, `msg-` and the message's number.
    by_provider_id: AtomicBool,
    urls: Mutex<Vec<String>>,
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

    /// The ids of all messages so far.
    pub(crate) fn ids(&self) -> Vec<u128> {
        self.ids.lock().unwrap().clone()
    }

    /// The languages that all messages so far said they are in.
    pub(crate) fn locales(&self) -> Vec<String> {
        self.locales.lock().unwrap().clone()
    }

    /// What receipts are to name all messages so far by.
    pub(crate) fn references(&self) -> Vec<String> {
        self.references.lock().unwrap().clone()
    }

    /// From now on receipts name the provider's own ids.
    pub(crate) fn names_own_ids(&self) {
        self.by_provider_id.store(true, Ordering::SeqCst);
    }

    /// The URLs that signatures of receipts were to be checked against.
    pub(crate) fn receipt_urls(&self) -> Vec<String> {
        self.urls.lock().unwrap().clone()
    }

    /// Messages to one number.
    pub(crate) fn sent_to(&self, to: &str) -> Vec<String> {
        self.sent().into_iter().filter(|(number, _)| number == to).map(|(_, text)| text).collect()
    }

    /// The code of the newest message to a number.
    pub(crate) fn code(&self, to: &str) -> String {
        let text = self.sent_to(to).pop().unwrap_or_else(|| panic!("no message to {to}"));
        code_of(&text).unwrap_or_else(|| panic!("no code in the message"))
    }

    /// Every code that was handed over so far.
    pub(crate) fn codes(&self) -> Vec<String> {
        self.sent().iter().filter_map(|(_, text)| code_of(text)).collect()
    }
}

/// The code in a message: its first four digits or more in a row.
fn code_of(text: &str) -> Option<String> {
    text.split(|c: char| !c.is_ascii_digit()).find(|part| part.len() >= 4).map(str::to_owned)
}

/// A code of the same length that is not `code`, a different one for each `n` up to 9.
pub(crate) fn wrong(code: &str, n: u8) -> String {
    assert!((1..=9).contains(&n));
    let rotated = (code.as_bytes()[0] - b'0' + n) % 10;
    format!("{rotated}{}", &code[1..])
}

#[async_trait]
impl Gateway for ScriptedGateway {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn channels(&self) -> &[Channel] {
        if self.channels.is_empty() { &[Channel::Sms] } else { self.channels }
    }

    fn is_real(&self) -> bool {
        false
    }

    async fn send(&self, sms: &Sms) -> Result<Accepted, SendError> {
        let script = self.script.lock().unwrap().pop_front().unwrap_or(Script::Accept);
        let released = self.released.notified();
        self.ids.lock().unwrap().push(sms.id);
        self.locales.lock().unwrap().push(sms.locale.clone());
        self.references.lock().unwrap().push(sms.reference.clone());
        self.sent.lock().unwrap().push((sms.to.to_e164(), sms.text.clone()));
        let number = self.sent().len();
        self.arrived.notify_waiters();
        match script {
            Script::Accept => Ok(Accepted { provider_id: Some(format!("msg-{number}")) }),
            Script::Fail(class) => Err(SendError::new(class, "scripted")),
            Script::Hold => {
                released.await;
                Ok(Accepted::default())
            }
        }
    }

    fn receipts_by_provider_id(&self) -> bool {
        self.by_provider_id.load(Ordering::SeqCst)
    }

    /// `{"reference" or "id", "state"}` or a list of such, by the provider's key as a token or in the path.
    async fn read_receipts(&self, request: &ReceiptRequest<'_>) -> Result<Vec<Receipt>, ReceiptRefused> {
        self.urls.lock().unwrap().push(request.url.to_owned());
        let token = request.headers.get("authorization").and_then(|value| value.to_str().ok());
        if token != Some(&format!("Bearer {RECEIPTS_KEY}")) && request.secret != Some(RECEIPTS_KEY) {
            return Err(ReceiptRefused::Unsigned);
        }
        let query = (!request.query.is_empty()).then(|| json!({ "query": request.query }));
        let form = !request.body.starts_with(b"{") && !request.body.starts_with(b"[");
        let body = if form { query } else { serde_json::from_slice(request.body).ok() };
        let entries = match body {
            Some(Value::Array(entries)) => entries,
            Some(entry) => vec![entry],
            None if form => return Ok(Vec::new()),
            None => return Err(ReceiptRefused::Unreadable),
        };
        let receipt = |entry: &Value| {
            let text = |name: &str| entry[name].as_str().map(str::to_owned);
            let of = text("reference").map(ReceiptOf::Reference).or_else(|| text("id").map(ReceiptOf::ProviderId))?;
            let state = match entry["state"].as_str()? {
                "sent" => ReceiptState::Sent,
                "delivered" => ReceiptState::Delivered,
                "undelivered" => ReceiptState::Undelivered,
                _ => return None,
            };
            Some(Receipt { of, state, price_micros: None })
        };
        let read: Option<Vec<Receipt>> = entries.iter().filter(|entry| entry["query"].is_null()).map(receipt).collect();
        read.ok_or(ReceiptRefused::Unreadable)
    }
}

/// What the scripted provider signs its receipts with.
pub(crate) const RECEIPTS_KEY: &str = "receipts_key-0123456789abcdef";

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
        let gateway = ScriptedGateway { channels: &Channel::ALL, ..ScriptedGateway::default() };
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
