//! A server of the generator's own: the binary as a child, over a directory of its own, killed and started as one likes.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::{
    process::{Child, Command},
    time::Instant,
};

use super::{
    LoadError,
    connection::Connection,
    inbox::{ACCOUNT_SID, AUTH_TOKEN, Inbox, SENDER},
    process::Sample,
    speech::Speech,
};

/// How long a start or an end may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// By whom the own server sends.
#[derive(Debug, Clone)]
pub enum Gateway {
    /// Twilio's form, to this inbox.
    Twilio(SocketAddr),
    /// Nobody: sends take no time and always succeed.
    Simulated,
}

impl Gateway {
    /// Sends to this inbox.
    pub fn to(inbox: &Inbox) -> Self {
        Self::Twilio(inbox.address())
    }
}

/// What the own server is started from.
#[derive(Debug, Clone)]
pub struct ServerPlan {
    /// The program.
    pub binary: PathBuf,
    /// A directory that is there; the server gets a new one in it. On a real disk, or a flush costs nothing.
    pub parent: PathBuf,
    /// Settings of the server's that differ from the defaults, a TOML file. What the generator needs goes before it.
    pub config: Option<PathBuf>,
    /// By whom it sends.
    pub gateway: Gateway,
    /// Leave the directory when it ends.
    pub keep: bool,
}

impl ServerPlan {
    /// The running program itself as the server, its directory beside the program.
    ///
    /// # Errors
    /// The program's place is not known.
    pub fn of_this_program(gateway: Gateway) -> Result<Self, LoadError> {
        let binary = fs::read_link("/proc/self/exe")
            .map_err(|error| LoadError::new(format!("where this program is cannot be read: {}", error.kind())))?;
        let parent = binary.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { binary, parent, config: None, gateway, keep: false })
    }

    /// What the server is started with, as variables of its environment; the directory aside.
    ///
    /// What stands in the file is left as it is, where the generator can do with it: limits per address, which would
    /// otherwise be what is measured because all load comes from one, and the guard against pumping attacks, which a load
    /// of new numbers is; it goes on working and counting, and refuses nobody.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn variables(&self) -> Result<Vec<(String, String)>, LoadError> {
        let text = match &self.config {
            Some(path) => fs::read_to_string(path)
                .map_err(|error| LoadError::new(format!("the file of settings cannot be read: {}", error.kind())))?,
            None => String::new(),
        };
        // A file that is no TOML is the server's to complain about.
        let written: toml::Table = text.parse().unwrap_or_default();
        let mut variables = vec![("log.format", "json".to_owned())];
        let mut wishes = vec![
            ("limits.ip_per_minute", "0"),
            ("server.connections_max", "65536"),
            ("server.connections_per_ip_max", "65536"),
        ];
        match self.gateway {
            Gateway::Twilio(inbox) => {
                variables.push(("sms.gateway", "twilio".to_owned()));
                variables.push(("sms.twilio.base_url", format!("http://{inbox}")));
                variables.push(("sms.twilio.account_sid", ACCOUNT_SID.to_owned()));
                variables.push(("sms.twilio.auth_token", AUTH_TOKEN.to_owned()));
                variables.push(("sms.twilio.from", SENDER.to_owned()));
                let guard = ["fraud.velocity_mode", "fraud.runs", "fraud.conversion"];
                wishes.extend(guard.map(|rule| (rule, "record_only")));
            }
            Gateway::Simulated => {
                variables.push(("sms.gateway", "simulated".to_owned()));
                wishes.extend([("sms.simulated.latency_ms", "0"), ("sms.simulated.failure_rate", "0.0")]);
            }
        }
        let open = wishes.into_iter().filter(|(key, _)| !is_set(&written, key));
        variables.extend(open.map(|(key, value)| (key, value.to_owned())));
        Ok(variables.into_iter().map(|(key, value)| (variable(key), value)).collect())
    }
}

/// The variable of a key.
fn variable(key: &str) -> String {
    format!("OTPD__{}", key.replace('.', "__").to_uppercase())
}

fn is_set(written: &toml::Table, key: &str) -> bool {
    let Some((section, rest)) = key.split_once('.') else { return written.contains_key(key) };
    written.get(section).and_then(toml::Value::as_table).is_some_and(|section| is_set(section, rest))
}

/// A running server; it ends, and its directory goes, when this is dropped.
#[derive(Debug)]
pub struct OwnServer {
    plan: ServerPlan,
    directory: PathBuf,
    address: SocketAddr,
    ops: SocketAddr,
    life: tokio::sync::Mutex<Child>,
    /// What the lives before this one have used.
    spent: Mutex<Sample>,
    /// Something went wrong: the log must be there to be read.
    faulty: AtomicBool,
}

/// The line that says that it is ready.
#[derive(Deserialize)]
struct Ready {
    message: String,
    listen: SocketAddr,
    ops: SocketAddr,
}

impl OwnServer {
    /// Starts one over an empty directory and waits until it is ready.
    ///
    /// # Errors
    /// The directory cannot be made, or the server does not get ready; the text says where its log is.
    pub async fn start(plan: ServerPlan) -> Result<Self, LoadError> {
        let directory = new_directory(&plan.parent)?;
        Self::start_in(plan, directory).await
    }

    /// Starts one over a directory that is there, and whatever its `data` has: several lives of one store, say.
    ///
    /// # Errors
    /// The server does not get ready; the text says where its log is.
    pub async fn start_in(plan: ServerPlan, directory: PathBuf) -> Result<Self, LoadError> {
        // An earlier life's log says where that one listened.
        let _ = fs::remove_file(directory.join("log"));
        let free: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut child = spawn(&plan, &directory, free, free)?;
        let ready = match announced(&mut child, &directory).await {
            Ok(ready) => ready,
            Err(error) => {
                let _ = child.kill().await;
                return Err(error);
            }
        };
        let (address, ops) = (ready.listen, ready.ops);
        let (life, spent) = (tokio::sync::Mutex::new(child), Mutex::default());
        let server = Self { plan, directory, address, ops, life, spent, faulty: AtomicBool::new(false) };
        server.await_ready().await?;
        Ok(server)
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operators connect.
    pub fn ops_address(&self) -> SocketAddr {
        self.ops
    }

    /// Its directory: `data`, and its `log`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its data.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Kills it (SIGKILL), and says when.
    pub(super) async fn kill(&self) -> Instant {
        let mut life = self.life.lock().await;
        if let Some(sample) = life.id().and_then(Sample::of) {
            let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
            spent.cpu += sample.cpu;
            spent.rss_peak_kib = spent.rss_peak_kib.max(sample.rss_peak_kib);
        }
        let at = Instant::now();
        let _ = life.kill().await;
        at
    }

    /// Starts it again over the same directory, at the same addresses, and waits until it is ready.
    pub(super) async fn revive(&self) -> Result<(), LoadError> {
        *self.life.lock().await = spawn(&self.plan, &self.directory, self.address, self.ops)?;
        self.await_ready().await
    }

    /// Processor time of all its lives, memory of this one.
    pub(super) async fn sample(&self) -> Option<Sample> {
        let now = Sample::of(self.life.lock().await.id()?)?;
        let spent = *self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Sample { cpu: now.cpu + spent.cpu, rss_peak_kib: now.rss_peak_kib.max(spent.rss_peak_kib), ..now })
    }

    /// Memory that it has now, in bytes; `None`: the system does not tell.
    pub async fn resident_bytes(&self) -> Option<u64> {
        self.sample().await.map(|sample| sample.rss_kib * 1024)
    }

    /// Holds it (SIGSTOP): what it would do meanwhile takes no processor time from another one that is measured.
    ///
    /// # Errors
    /// It has ended.
    pub async fn pause(&self) -> Result<(), LoadError> {
        self.signal(&*self.life.lock().await, Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// It has ended.
    pub async fn resume(&self) -> Result<(), LoadError> {
        self.signal(&*self.life.lock().await, Signal::CONT)
    }

    fn signal(&self, life: &Child, signal: Signal) -> Result<(), LoadError> {
        let pid = life.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| self.fault("it has ended before it was told to"))?;
        kill_process(pid, signal).map_err(|error| self.fault(&format!("it takes no signal: {}", error.kind())))
    }

    /// Stops it in order (SIGTERM).
    ///
    /// # Errors
    /// It does not end, or not well.
    pub async fn stop(&self) -> Result<(), LoadError> {
        let mut life = self.life.lock().await;
        self.signal(&life, Signal::TERM)?;
        match tokio::time::timeout(PATIENCE, life.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(_) => Err(self.fault("it did not end well")),
            Err(_) => Err(self.fault("it does not end")),
        }
    }

    fn fault(&self, what: &str) -> LoadError {
        self.faulty.store(true, Ordering::Relaxed);
        fault(&self.directory, what)
    }

    /// Ready is what its own door for operators says.
    async fn await_ready(&self) -> Result<(), LoadError> {
        let (speech, until) = (Speech::new(self.ops), Instant::now() + PATIENCE);
        while Instant::now() < until {
            if let Ok(mut connection) = Connection::open(self.ops).await
                && connection.ask(speech.readyz()).await == Ok(200)
            {
                return Ok(());
            }
            if let Ok(Some(_)) = self.life.lock().await.try_wait() {
                return Err(self.fault("it ended instead of getting ready"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(self.fault("it does not get ready"))
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let _ = self.life.get_mut().start_kill();
        if !self.plan.keep && !*self.faulty.get_mut() {
            // What cannot be removed is left to whoever named the place.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Names the log, which stays.
fn fault(directory: &Path, what: &str) -> LoadError {
    let log = directory.join("log");
    let last = fs::read_to_string(&log).unwrap_or_default();
    let last = last.lines().last().unwrap_or_default().to_owned();
    LoadError::new(format!("the own server: {what}; the last line of its log {}: {last}", log.display()))
}

fn new_directory(parent: &Path) -> Result<PathBuf, LoadError> {
    let cannot = |error: std::io::Error| {
        LoadError::new(format!(
            "no directory can be made in {}: {} (--data names another)",
            parent.display(),
            error.kind()
        ))
    };
    for nth in 0..1000_u32 {
        let directory = parent.join(format!("load-{}-{nth}", std::process::id()));
        match fs::create_dir(&directory) {
            Ok(()) => return fs::canonicalize(directory).map_err(cannot),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot(error)),
        }
    }
    Err(cannot(std::io::ErrorKind::AlreadyExists.into()))
}

fn spawn(plan: &ServerPlan, directory: &Path, listen: SocketAddr, ops: SocketAddr) -> Result<Child, LoadError> {
    let cannot = |error: std::io::Error| LoadError::new(format!("the own server cannot be started: {}", error.kind()));
    let log = fs::OpenOptions::new().create(true).append(true).open(directory.join("log")).map_err(cannot)?;
    let mut command = Command::new(&plan.binary);
    if let Some(config) = &plan.config {
        command.arg("--config").arg(fs::canonicalize(config).map_err(cannot)?);
    }
    command.arg("serve").env_clear().envs(plan.variables()?).current_dir(directory);
    command.env("OTPD__STORE__PATH", directory.join("data"));
    command.env("OTPD__SERVER__LISTEN", listen.to_string()).env("OTPD__OPS__LISTEN", ops.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true).spawn().map_err(cannot)
}

/// Reads in the log where it listens.
async fn announced(child: &mut Child, directory: &Path) -> Result<Ready, LoadError> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
        let ready = log.lines().filter_map(|line| serde_json::from_str::<Ready>(line).ok());
        if let Some(ready) = ready.into_iter().find(|event| event.message == "otpd is ready") {
            return Ok(ready);
        }
        if let Ok(Some(_)) = child.try_wait() {
            return Err(fault(directory, "it ended instead of getting ready"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(fault(directory, "it does not get ready"))
}
