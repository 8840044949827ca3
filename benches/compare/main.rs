//! The table of figures: otpd beside a bare server that does nothing ([`limit`]), on the same machine in the same run,
//! under the same load from the same generator (`otpd::load`), one after the other: A B A B A. Both servers are processes
//! of their own; otpd is held while the limit is measured.
//!
//! ```text
//! cargo bench --bench compare                                  the short rows: some five minutes
//! cargo bench --bench compare -- --all                         every row, steady, with a million records
//! cargo bench --bench compare -- --rows steady,login --records 10000000
//! cargo bench --bench compare -- --all --markdown > table.md   for the README
//! ```
//!
//! | File | Noun |
//! |---|---|
//! | `limit` | the bare server |
//! | `floor` | otpd's outline without its work: axum, an actor per number, group commits, tokens |
//! | `lab` `fill` | stores, servers over them, load on them; stores that have records already |
//! | `speed` | how many: otpd beside the limit, and beside itself with more records |
//! | `waits` | how long: starts at half the sustainable rate, a restart after a kill, a scrape under load |
//! | `room` | how much: memory over time, of actors, numbers and connections; the files of the store |
//! | `table` | what was measured and what must be |

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench: its output is what it is for")]

mod fill;
mod floor;
mod lab;
mod limit;
mod room;
mod speed;
mod table;
mod waits;

use std::{
    error::Error,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use clap::Parser as _;
use otpd::load::Machine;
use tokio::signal::unix::{SignalKind, signal};

use self::{lab::Lab, table::Row};

/// As the server has.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A result whose error is for a person.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Runs otpd and a bare server in turn under the same load, and prints figures beside what must be reached.
#[derive(Debug, Clone, clap::Parser)]
struct Options {
    /// Every row, each in its steady state: a million records before, windows of a minute. An hour or so.
    #[arg(long)]
    all: bool,
    /// Only these rows.
    #[arg(long, value_enum, value_delimiter = ',')]
    rows: Vec<Which>,
    /// Records in the store before the steady rows; given, all rows but burst and floor are steady ones. 1000 to 100000000.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    records: Option<u64>,
    /// Rounds, each of otpd and the limit. 1 to 100.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Measured seconds of otpd in each round, instead of 60 in a steady row and 2 in a short one. 1 to 3600.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: Option<u64>,
    /// In the end the rows as a Markdown table.
    #[arg(long)]
    markdown: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A row, or several that are measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// What otpd's outline costs by itself: as many actors, commits, tokens and messages, and nothing else.
    Floor,
    /// Starts of new numbers, in a warm burst of 2 s.
    Burst,
    /// The same with records in the store, and long enough for all that is put off.
    Steady,
    /// Whole sign-ins, the code through a stand-in of Twilio.
    Login,
    /// Whole sign-ins with the simulated gateway.
    LoginSimulated,
    /// The profile with a valid token.
    Profile,
    /// 99th percentile of a start at half the sustainable rate.
    Latency,
    /// How long /metrics takes under load.
    Scrape,
    /// Memory of 10,000 connections that say nothing.
    Idle,
    /// Memory of a live number.
    Actors,
    /// Memory under load over time.
    Memory,
    /// Memory of a number that is not live.
    Known,
    /// Throughput with records in the store, beside an empty one.
    Scale,
    /// From kill -9 under load until ready.
    Recovery,
    /// Size of the store's files, garbage collected.
    Files,
}

impl Which {
    const SHORT: [Self; 9] = [
        Self::Floor,
        Self::Burst,
        Self::Login,
        Self::LoginSimulated,
        Self::Profile,
        Self::Latency,
        Self::Scrape,
        Self::Idle,
        Self::Actors,
    ];

    fn is_short(self) -> bool {
        Self::SHORT.contains(&self)
    }
}

/// How large and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// In the store before it begins. 0: a short row.
    pub(crate) records: u64,
    pub(crate) rounds: u32,
    /// Measured time of otpd in a round.
    pub(crate) window: Duration,
    /// Load before the first round.
    pub(crate) warm_up: Duration,
}

impl Scale {
    fn of(which: Which, options: &Options) -> Self {
        let is_steady = options.all || options.records.is_some() || !which.is_short();
        let is_steady = is_steady && !matches!(which, Which::Burst | Which::Floor);
        // A server that is not full of live numbers yet has not put any away: 50,000 of them come in some three seconds.
        let (records, seconds, warm_up) =
            if is_steady { (options.records.unwrap_or(1_000_000), 60, 15) } else { (0, 2, 3) };
        Self {
            records,
            rounds: options.rounds,
            window: Duration::from_secs(options.seconds.unwrap_or(seconds)),
            warm_up: Duration::from_secs(warm_up),
        }
    }

    /// What it is called in the table.
    pub(crate) fn name(self) -> String {
        match self.records {
            0 => format!("{} s windows", self.window.as_secs()),
            records => format!("steady, {records} records before, {} s windows", self.window.as_secs()),
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((first, _)) if first == limit::NAME => limit::serve(),
        Some((first, rest)) if first == floor::NAME => floor::serve(rest),
        Some((first, rest)) if first == fill::NAME => fill::run(rest),
        _ => measure(&Options::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// All rows that were asked for. One that fails is told, and the others are measured all the same.
fn measure(options: &Options) -> Outcome<()> {
    let wanted = |which: &Which| {
        if options.rows.is_empty() { options.all || which.is_short() } else { options.rows.contains(which) }
    };
    // One thread, as `otpd load` has: it shares the cores with the server.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut rows, mut failed) = (Vec::new(), 0);
    let place = place();
    eprintln!("{place}");
    let all = async {
        let mut lab = Lab::open().await?;
        for which in <Which as clap::ValueEnum>::value_variants().iter().copied().filter(|which| wanted(which)) {
            let (began, before) = (Instant::now(), Ticks::now());
            match row(&mut lab, which, Scale::of(which, options)).await {
                Ok(mut some) => {
                    some.iter_mut().for_each(|row| row.beside += &stolen(before, Ticks::now()));
                    some.iter().for_each(|row| eprintln!("{row}"));
                    rows.extend(some);
                }
                Err(error) => {
                    failed += 1;
                    eprintln!("{which:?}: not measured: {error}");
                }
            }
            note(&format!("{which:?} took {:.0} s", began.elapsed().as_secs_f64()));
        }
        Outcome::Ok(())
    };
    runtime.block_on(async {
        tokio::select! {
            done = all => done,
            // The servers end with us, and their stores go.
            () = told_to_stop() => Err("stopped by a signal before the end".into()),
        }
    })?;
    if options.markdown {
        println!("{}\n{place}", table::markdown(&rows));
    } else {
        rows.iter().for_each(|row| println!("{row}"));
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} rows were not measured").into()) }
}

async fn told_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

async fn row(lab: &mut Lab, which: Which, scale: Scale) -> Outcome<Vec<Row>> {
    let one = match which {
        Which::Burst => speed::beside_the_limit(lab, speed::BURST, scale).await,
        Which::Steady => speed::beside_the_limit(lab, speed::STEADY, scale).await,
        Which::Login => speed::beside_the_limit(lab, speed::LOGIN, scale).await,
        Which::LoginSimulated => speed::beside_the_limit(lab, speed::LOGIN_SIMULATED, scale).await,
        Which::Profile => speed::beside_the_limit(lab, speed::PROFILE, scale).await,
        Which::Scale => speed::scale(lab, scale).await,
        Which::Latency => waits::latency(lab, scale).await,
        Which::Scrape => waits::scrape(lab, scale).await,
        Which::Recovery => waits::recovery(lab, scale).await,
        Which::Idle => room::idle(lab).await,
        Which::Known => room::known(lab, scale).await,
        Which::Floor => return speed::floors(lab, scale).await,
        Which::Actors => return room::actors(lab, scale).await,
        Which::Memory => return room::memory(lab, scale).await,
        Which::Files => return room::files(lab, scale).await,
    };
    one.map(|row| vec![row])
}

/// The machine and the commit.
fn place() -> String {
    let Machine { cores, cpu, kernel } = Machine::here();
    let git = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output().ok();
    let commit = git.filter(|output| output.status.success()).and_then(|output| String::from_utf8(output.stdout).ok());
    let commit = commit.map_or_else(|| "unknown".to_owned(), |commit| commit.trim().to_owned());
    format!("{cores} cores of {cpu}, Linux {kernel}, commit {commit}; servers and generator share the machine.")
}

/// Processor time of the machine since it started, in ticks.
#[derive(Debug, Clone, Copy)]
struct Ticks {
    /// While something wanted to run, and the host ran others.
    stolen: u64,
    all: u64,
}

impl Ticks {
    /// `None` where the system does not say.
    fn now() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        // user, nice, system, idle, iowait, irq, softirq, steal; guests' are in user.
        let ticks = stat.lines().next()?.split_whitespace().skip(1).take(8).map(str::parse);
        let ticks: Vec<u64> = ticks.collect::<Result<_, _>>().ok()?;
        Some(Self { stolen: *ticks.get(7)?, all: ticks.iter().sum() })
    }
}

/// What the host took away in between: what was measured meanwhile is of a machine that much slower, and of a longer tail.
fn stolen(before: Option<Ticks>, after: Option<Ticks>) -> String {
    let (Some(before), Some(after)) = (before, after) else { return String::new() };
    let share = after.stolen.saturating_sub(before.stolen) as f64 / after.all.saturating_sub(before.all).max(1) as f64;
    format!("; the host took {:.1} % of the processors", share * 100.0)
}

/// Tells what is done meanwhile.
pub(crate) fn note(text: &str) {
    eprintln!("  … {text}");
}
