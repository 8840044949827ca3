//! The real binary: started over a directory, killed, and its log read to the end.
//!
//! A child never outlives the test: tokio kills it when its handle is dropped, however the test ends.

use std::{
    future::Future,
    net::SocketAddr,
    path::Path,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
};

use super::{
    fake_twilio::{ACCOUNT_SID, AUTH_TOKEN, SENDER},
    ledger::GUESSES_FREE,
};

/// Longest wait for a start, an end or a log line, in seconds.
const WAIT_S: u64 = 30;

/// The lines of standard error so far. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    grown: watch::Receiver<usize>,
}

impl Lines {
    /// Returns the first line that fits; `None` if none has come in time or the log has ended without one.
    pub(crate) async fn find(&self, fits: impl Fn(&str) -> bool) -> Option<String> {
        let mut grown = self.grown.clone();
        let mut read = 0;
        let found = async {
            loop {
                {
                    let lines = self.lines.lock().unwrap();
                    if let Some(line) = lines[read..].iter().find(|line| fits(line)) {
                        return Some(line.clone());
                    }
                    read = lines.len();
                }
                grown.changed().await.ok()?;
            }
        };
        tokio::time::timeout(Duration::from_secs(WAIT_S), found).await.ok()?
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) lines: Lines,
    process: Process,
}

struct Process {
    child: Child,
    reading: JoinHandle<()>,
}

impl Server {
    /// Starts over `directory` and returns when the server answers.
    pub(crate) async fn start(directory: &Path, twilio: &str, trace: bool) -> Self {
        let (process, lines) = spawn(directory, twilio, trace);
        let ready = lines.find(|line| line.contains("otpd is ready")).await;
        let ready = ready.unwrap_or_else(|| panic!("no start: {:#?}", lines.lines.lock().unwrap()));
        let ready: Value = serde_json::from_str(&ready).unwrap();
        let address = |field: &str| ready[field].as_str().unwrap().parse::<SocketAddr>().unwrap();
        let readyz = reqwest::Client::builder().no_proxy().build().unwrap();
        let readyz = readyz.get(format!("http://{}/readyz", address("ops"))).send().await.unwrap();
        assert_eq!(readyz.status().as_u16(), 200, "it says that it is ready");
        Self { address: address("listen"), lines, process }
    }

    /// Starts and kills while the store is being opened; what it logged.
    pub(crate) async fn kill_at_first_line(directory: &Path, twilio: &str) -> Vec<String> {
        let (process, lines) = spawn(directory, twilio, false);
        lines.find(|_| true).await.expect("it warns of limits that are off before it opens anything");
        process.kill().await;
        taken(&lines)
    }

    /// SIGKILL when `moment` comes; what it logged.
    pub(crate) async fn kill_when(self, moment: impl Future<Output = ()>) -> Vec<String> {
        moment.await;
        self.process.kill().await;
        taken(&self.lines)
    }

    /// Stops in order; what it logged.
    pub(crate) async fn stop(self) -> Vec<String> {
        let Process { mut child, reading } = self.process;
        let pid = child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        assert!(ended(&mut child).await.success(), "a stop in order ends with 0");
        reading.await.unwrap();
        taken(&self.lines)
    }
}

impl Process {
    async fn kill(mut self) {
        self.child.start_kill().unwrap();
        let status = ended(&mut self.child).await;
        assert_eq!(status.code(), None, "it has ended by itself before the kill: {status}");
        self.reading.await.unwrap();
    }
}

async fn ended(child: &mut Child) -> ExitStatus {
    tokio::time::timeout(Duration::from_secs(WAIT_S), child.wait()).await.expect("it does not end").unwrap()
}

fn taken(lines: &Lines) -> Vec<String> {
    std::mem::take(&mut lines.lines.lock().unwrap())
}

fn spawn(directory: &Path, twilio: &str, trace: bool) -> (Process, Lines) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_otpd"))
        .env_clear()
        .envs(settings(directory, twilio, trace))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut read = BufReader::new(child.stderr.take().unwrap()).lines();
    let (grow, grown) = watch::channel(0);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let reading = tokio::spawn(async move {
        // A line that the kill cut short is not UTF-8 at worst; it is the last one.
        while let Ok(Some(line)) = read.next_line().await {
            kept.lock().unwrap().push(line);
            grow.send_modify(|count| *count += 1);
        }
    });
    (Process { child, reading }, Lines { lines, grown })
}

/// The defaults, but for limits that would hold up load from one address, and times that a busy machine needs.
fn settings(directory: &Path, twilio: &str, trace: bool) -> Vec<(String, String)> {
    let filter = if trace { "trace,sled=info" } else { "info,ractor=warn" };
    let settings = [
        ("SERVER__LISTEN", "127.0.0.1:0"),
        // The port changes with each start, and the issuer of tokens must not.
        ("SERVER__PUBLIC_URL", "http://otpd.test"),
        ("OPS__LISTEN", "127.0.0.1:0"),
        ("LOG__FORMAT", "json"),
        ("LOG__FILTER", filter),
        ("STORE__PATH", directory.to_str().unwrap()),
        ("STORE__COMMIT_TIMEOUT_MS", "30000"),
        ("STORE__WAIT_MAX_MS", "30000"),
        // Folded so often that kills find the log at every stage of it.
        ("STORE__FOLD_EVERY_MS", "30"),
        ("STORE__LOG_MIB", "1"),
        // Numbers are put away and swept all the time, so that kills meet these, too.
        ("STORE__SWEEP_TICK_MS", "10"),
        ("PHONE__IDLE_MS", "100"),
        ("PHONE__CALL_TIMEOUT_MS", "40000"),
        ("CODES__TTL_S", "600"),
        ("CODES__COOLDOWN_S", "0"),
        ("LIMITS__IP_PER_MINUTE", "0"),
        ("LIMITS__SENDS_PER_WINDOW", "50"),
        ("LIMITS__SENDS_PER_DAY", "50"),
        ("LIMITS__SENDS_PER_DAY_PER_IP", "50"),
        ("LIMITS__GUESS_FREE", &GUESSES_FREE.to_string()),
        ("LIMITS__GUESS_DELAY_S", "3600"),
        ("TOKEN__REFRESH_GRACE_S", "60"),
        ("TOKEN__FRESH_LOGIN_S", "3600"),
        ("SMS__GATEWAY", "twilio"),
        ("SMS__TWILIO__BASE_URL", twilio),
        ("SMS__TWILIO__ACCOUNT_SID", ACCOUNT_SID),
        ("SMS__TWILIO__AUTH_TOKEN", AUTH_TOKEN),
        ("SMS__TWILIO__FROM", SENDER),
    ];
    settings.iter().map(|(name, value)| (format!("OTPD__{name}"), (*value).to_owned())).collect()
}
