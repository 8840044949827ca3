//! A server of a test's own: the binary, its settings, its metrics.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use otpd::load::{Gateway, OwnServer, ServerPlan};
use reqwest::Method;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

/// Held by the test that runs.
pub(crate) static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Longest wait for what comes within milliseconds on a machine with nothing else to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// Files that are open beside the connections, on either side.
const OTHER_FILES: u64 = 500;

/// As many connections as are wanted, or as this machine lets one process have: then it says so. Raises the soft limit of
/// open files, which the server inherits.
pub(crate) fn connections_possible(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let needed = (wanted as u64 + OTHER_FILES).min(hard);
    if limit.current.is_some_and(|soft| soft < needed) {
        println!("raising the limit of open files from {:?} to {needed}", limit.current);
        setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum }).unwrap();
    }
    let possible = wanted.min(usize::try_from(hard.saturating_sub(OTHER_FILES)).unwrap_or(wanted));
    if possible < wanted {
        println!("only {possible} connections: a process may have no more than {hard} open files here");
    }
    possible
}

/// A running server. Ended when dropped.
pub(crate) struct Server {
    pub(crate) own: Arc<OwnServer>,
    client: reqwest::Client,
    next: AtomicU64,
    _home: tempfile::TempDir,
}

/// What of an answer matters here.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) retry_after: Option<u64>,
    pub(crate) took: Duration,
}

impl Server {
    /// The binary over an empty directory on a real disk, with these settings, a simulated gateway and no limit per address.
    pub(crate) async fn start(settings: &str) -> Self {
        let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let config = home.path().join("otpd.toml");
        fs::write(&config, settings).unwrap();
        let plan = ServerPlan {
            binary: env!("CARGO_BIN_EXE_otpd").into(),
            parent: home.path().to_owned(),
            config: Some(config),
            gateway: Gateway::Simulated,
            keep: false,
        };
        let own = Arc::new(OwnServer::start(plan).await.unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { own, client, next: AtomicU64::new(989_120_000_000), _home: home }
    }

    /// Asks for a code for a number that nobody had before.
    pub(crate) async fn start_one(&self) -> Answer {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.ask(Method::POST, "/v1/verifications", json!({ "to": format!("+{number}") })).await
    }

    /// A request. An answer must come.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Value) -> Answer {
        let begun = Instant::now();
        let url = format!("http://{}{path}", self.own.address());
        let response = self.client.request(method, url).json(&body).send().await.unwrap();
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap_or_default();
        let code = body.get("code").and_then(Value::as_str).unwrap_or_default().to_owned();
        Answer { status, code, retry_after, took: begun.elapsed() }
    }

    /// A series of `/metrics`; 0 if it is not there.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let url = format!("http://{}/metrics", self.own.ops_address());
        let page = self.client.get(url).send().await.unwrap().text().await.unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a series is as wanted.
    pub(crate) async fn until(&self, series: &str, wanted: impl Fn(f64) -> bool) {
        let begun = Instant::now();
        loop {
            let value = self.metric(series).await;
            if wanted(value) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{series} stays at {value}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The load is over: who comes now is served, as soon as what was taken before is done.
    pub(crate) async fn is_served_again(&self) {
        let begun = Instant::now();
        let mut refused = 0;
        loop {
            let answer = self.start_one().await;
            if answer.status == 201 {
                println!("served again after {:?} and {refused} refusals", begun.elapsed());
                return;
            }
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(begun.elapsed() < Duration::from_secs(4), "still refused: {answer:?}");
            refused += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
