//! Where it is measured: stores on a real disk, servers over them, the limit beside them.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use otpd::load::{
    self, Codes, Derived, Gateway, Inbox, Numbers, OwnServer, Pace, Plan, Report, Scenario, ServerPlan, Stage, Target,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    Outcome,
    fill::{self, Kind},
    limit::{self, Bare},
};

/// The program that is measured.
const OTPD: &str = env!("CARGO_BIN_EXE_otpd");

/// Builds it as `cargo build --release` does. `cargo bench` has built one with what tests want of the libraries (a clock of
/// tokio's that can be stopped, say): that is another program, which the compiler's profile does not fit.
fn build_what_ships() -> Outcome<()> {
    let target = Path::new(OTPD).ancestors().nth(2).ok_or("otpd lies in no target directory")?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--bin", "otpd", "--target-dir"]).arg(target);
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
    if status.success() { Ok(()) } else { Err("otpd could not be built as it ships".into()) }
}

/// Digits of a code; the default of `codes.digits`.
const DIGITS: u8 = 6;

/// A store that outlives its servers, and the numbers that are next.
#[derive(Debug, Clone)]
pub(crate) struct Ground {
    directory: PathBuf,
    numbers: Arc<Numbers>,
}

impl Ground {
    /// Where the server's data is.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Records that it has: those it was filled with, and those that were left behind since.
    pub(crate) fn records(&self) -> u64 {
        self.numbers.drawn()
    }

    /// Bytes of everything in the data directory, on the disk.
    pub(crate) fn bytes(&self) -> Outcome<u64> {
        bytes_under(&self.data())
    }
}

fn bytes_under(path: &Path) -> Outcome<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut sum = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        // Blocks: a file that was made long before it is written is not as large as it says.
        sum += if metadata.is_dir() { bytes_under(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(sum)
}

/// By whom a server sends, and so how its codes are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Nobody; codes are derived in this process.
    Simulated,
    /// A stand-in of Twilio in this process.
    Twilio,
}

/// A running otpd.
pub(crate) struct Otpd {
    pub(crate) server: Arc<OwnServer>,
    pub(crate) stage: Stage,
}

impl Otpd {
    pub(crate) async fn resident(&self) -> Outcome<f64> {
        let bytes =
            self.server.resident_bytes().await.ok_or("the system does not tell how much memory a process has")?;
        Ok(bytes as f64)
    }

    /// What `/metrics` says.
    pub(crate) async fn metrics(&self) -> Outcome<String> {
        let mut stream = tokio::net::TcpStream::connect(self.server.ops_address()).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: otpd\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        if answer.starts_with("HTTP/1.1 200") { Ok(answer) } else { Err("/metrics answers with an error".into()) }
    }

    /// A metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> Outcome<f64> {
        let text = self.metrics().await?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.map_or(Ok(0.0), |figure| figure.trim().parse())?)
    }

    /// One stretch of load on it.
    pub(crate) async fn drive(&self, plan: &Plan) -> Outcome<Report> {
        drive(plan, &self.stage).await
    }

    /// Ends it in order, so that the next one over its store has nothing to recover.
    pub(crate) async fn stop(self) -> Outcome<()> {
        Ok(self.server.stop().await?)
    }
}

/// Runs a plan; an answer that should not have come is an error, because then something else is measured.
pub(crate) async fn drive(plan: &Plan, stage: &Stage) -> Outcome<Report> {
    let report = load::drive(plan, stage).await?;
    if let Some((what, times)) = report.unexpected.first_key_value() {
        return Err(format!("{}: unexpected {what} ({times} times)", report.scenario).into());
    }
    if let Some(rule) = report.broken().next() {
        return Err(format!("{}: {} broken {} times", report.scenario, rule.name, rule.broken).into());
    }
    Ok(report)
}

/// Of a closed loop: so many that both cores have work while most of them wait for the disk, be it ten times slower than ours.
const CONNECTIONS: usize = 128;

/// A closed loop, nothing done twice on purpose.
pub(crate) fn plan(scenario: Scenario, warm_up: Duration, duration: Duration) -> Plan {
    Plan { connections: CONNECTIONS, warm_up, duration, again_each: 0, pace: Pace::Closed, ..Plan::new(scenario) }
}

/// A stand-in of Twilio in this process.
pub(crate) async fn inbox() -> Outcome<Inbox> {
    Ok(Inbox::start(([127, 0, 0, 1], 0).into()).await?)
}

/// A bare server, and the load's way to it.
pub(crate) async fn bare(name: &str, provider: Option<&Inbox>) -> Outcome<(Stage, Bare)> {
    let server = Bare::start(name, provider.map(Inbox::address)).await?;
    Ok((Stage::new(Target::limit(server.address), Codes::None, fill::SEED), server))
}

/// Everything there is; it goes away when this is dropped.
pub(crate) struct Lab {
    home: TempDir,
    made: u32,
    filled: HashMap<u64, Ground>,
    pub(crate) limit: Stage,
    _limit: Bare,
}

impl Lab {
    /// Builds otpd and starts the limit. Stores are made on the disk of the build directory: a temporary directory may be memory.
    pub(crate) async fn open() -> Outcome<Self> {
        build_what_ships()?;
        let home = tempfile::Builder::new().prefix("compare-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let (limit, server) = bare(limit::NAME, None).await?;
        Ok(Self { home, made: 0, filled: HashMap::new(), limit, _limit: server })
    }

    /// Where all of it lies.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A store without records.
    pub(crate) fn empty_ground(&mut self) -> Outcome<Ground> {
        self.made += 1;
        let directory = self.home.path().join(format!("ground-{}", self.made));
        fs::create_dir_all(directory.join("data"))?;
        Ok(Ground { directory, numbers: Arc::new(Numbers::new(fill::SEED)) })
    }

    /// A store with so many records, the same one for all rows, which leave more records behind.
    pub(crate) async fn ground(&mut self, records: u64) -> Outcome<Ground> {
        if records == 0 {
            return self.empty_ground();
        }
        if let Some(ground) = self.filled.get(&records) {
            return Ok(ground.clone());
        }
        let ground = self.empty_ground()?;
        super::note(&format!("filling a store with {records} records"));
        let took_s = fill::fill(&ground.data(), records, 0, Kind::People).await?;
        ground.numbers.skip(records);
        super::note(&format!("filled in {took_s:.1} s, {} MiB on disk", ground.bytes()? >> 20));
        self.filled.insert(records, ground.clone());
        Ok(ground)
    }

    /// Removes a store that is not needed any more.
    pub(crate) fn clear(&self, ground: &Ground) -> Outcome<()> {
        Ok(fs::remove_dir_all(&ground.directory)?)
    }

    /// Starts a server over a store, with these settings beside the defaults (TOML).
    pub(crate) async fn serve(&self, ground: &Ground, by: By, settings: &str) -> Outcome<Otpd> {
        let config = ground.directory.join("otpd.toml");
        fs::write(&config, settings)?;
        let inbox = match by {
            By::Simulated => None,
            By::Twilio => Some(inbox().await?),
        };
        let plan = ServerPlan {
            binary: OTPD.into(),
            parent: ground.directory.clone(),
            config: Some(config),
            gateway: inbox.as_ref().map_or(Gateway::Simulated, Gateway::to),
            keep: true,
        };
        let server = Arc::new(OwnServer::start_in(plan, ground.directory.clone()).await?);
        let codes = match inbox {
            Some(inbox) => Codes::Inbox(inbox),
            None => Codes::Derived(Arc::new(Derived::open(&ground.data(), DIGITS)?)),
        };
        let stage = Stage::new(Target::v1(server.address()), codes, fill::SEED).own(Arc::clone(&server));
        Ok(Otpd { server, stage: Stage { numbers: Arc::clone(&ground.numbers), ..stage } })
    }
}
