//! The load generator: people who sign in, many at once, and what must hold while they do.
//!
//! [`drive()`] runs one [`Scenario`] against one server and reports. It remembers what it was told, so that it can ask
//! again: codes that were used, receipts that were redeemed, sessions that were acknowledged before a kill.
//!
//! | File | Noun |
//! |---|---|
//! | `scenario` | what people do, and how often |
//! | `pace` | when operations begin: closed loop, open loop |
//! | `worker` `flows` | one connection and the person at it; the steps of each operation |
//! | `connection` `speech` | HTTP with as little as possible around it; requests and the fields read of answers |
//! | `numbers` `dice` | whom, and chance with a seed |
//! | `inbox` `codes` | a provider that sends nothing; where codes come from |
//! | `server` `process` | a server of our own, killed and started; what it uses |
//! | `run` `sessions` `hot` `gate` | what all workers of a run share; people signed in before; the same numbers; is it alive |
//! | `invariant` `ledger` | what must hold; what was acknowledged, and whether a kill lost it |
//! | `measure` `report` | figures while it runs; figures in the end |
//! | [`table`] `page` `picture` | the report in words and cells, as a page, its pictures |
//!
//! It shares the machine with the server: an operation of its own costs about what one costs the bare server, which is
//! why it drives that one, too ([`Speaks::Limit`]).
//!
//! ```no_run
//! # async fn example() -> Result<(), otpd::load::LoadError> {
//! use std::sync::Arc;
//! use otpd::load::{self, Codes, Gateway, Inbox, OwnServer, Plan, Scenario, ServerPlan, Stage, Target};
//!
//! let inbox = Inbox::start(([127, 0, 0, 1], 0).into()).await?;
//! let server = Arc::new(OwnServer::start(ServerPlan::of_this_program(Gateway::to(&inbox))?).await?);
//! let stage = Stage::new(Target::v1(server.address()), Codes::Inbox(inbox), 7).own(server);
//! let report = load::drive(&Plan { connections: 64, ..Plan::new(Scenario::Login) }, &stage).await?;
//! println!("{} per second", report.operations_per_s);
//! # Ok(())
//! # }
//! ```

mod codes;
mod connection;
mod dice;
mod flows;
mod gate;
mod hot;
mod inbox;
mod invariant;
mod ledger;
mod measure;
mod numbers;
mod pace;
mod page;
mod picture;
mod process;
mod report;
mod run;
mod scenario;
mod server;
mod sessions;
mod speech;
pub mod table;
mod worker;

use std::{fmt, sync::Arc, time::Duration};

pub use self::{
    codes::{Codes, Derived},
    inbox::{ACCOUNT_SID, AUTH_TOKEN, Inbox, SENDER, SendLimits},
    invariant::Invariant,
    measure::{Answers, Kind, Second, Tally},
    numbers::{NUMBERS_MAX, Numbers},
    pace::{Pace, Spacing},
    page::page,
    process::Machine,
    report::{Kill, Latency, Report, Row, Usage},
    run::drive,
    scenario::Scenario,
    server::{Gateway, OwnServer, ServerPlan},
    speech::{Speaks, Target},
};

/// Why there is no report, in words for a person. No number and no code stands in it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(String);

impl LoadError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Most connections: one address has some 28,000 ports to connect from.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Longest run.
pub const DURATION_MAX: Duration = Duration::from_secs(3600);
/// Most operations of a run.
pub const COUNT_MAX: u64 = 100_000_000;
/// Most operations per second of an open loop.
pub const RATE_MAX: f64 = 1_000_000.0;
/// Most people signed in before a run.
pub const SESSIONS_MAX: usize = 200_000;

/// When the server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillAt {
    /// So long after the measuring began.
    Time(Duration),
    /// After so many operations.
    Operations(u64),
}

/// The server's figures that rules are held against; the defaults are those of `config.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Messages per number.
    pub sends: SendLimits,
    /// Wrong checks of one code, by each of two ways.
    pub attempts: u32,
    /// Life of a code.
    pub code_life: Duration,
    /// Life of an access token.
    pub access_life: Duration,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            sends: SendLimits { per_window: 3, window: Duration::from_secs(120), per_day: 10 },
            attempts: 5,
            code_life: Duration::from_secs(300),
            access_life: Duration::from_secs(900),
        }
    }
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What people do.
    pub scenario: Scenario,
    /// When operations begin.
    pub pace: Pace,
    /// Connections, and so the most operations under way at once. 1 to [`CONNECTIONS_MAX`].
    pub connections: usize,
    /// Load before the measuring begins.
    pub warm_up: Duration,
    /// Measured time, at most [`DURATION_MAX`].
    pub duration: Duration,
    /// Most measured operations, at most [`COUNT_MAX`].
    pub count: Option<u64>,
    /// Of all that is left to chance.
    pub seed: u64,
    /// People signed in before it begins, where the scenario needs some; at least as many as connections. At most
    /// [`SESSIONS_MAX`].
    pub sessions: usize,
    /// One sign-in of so many tries what must not work twice. 0: none.
    pub again_each: u64,
    /// Numbers that all connections press on at once.
    pub hot_numbers: usize,
    /// When the own server is killed.
    pub kills: Vec<KillAt>,
    /// What the server allows.
    pub figures: Figures,
}

impl Plan {
    /// Ten seconds of a closed loop on 64 connections after two of warm-up.
    pub fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            pace: Pace::Closed,
            connections: 64,
            warm_up: Duration::from_secs(2),
            duration: Duration::from_secs(10),
            count: None,
            seed: 1,
            sessions: 1000,
            again_each: 20,
            hot_numbers: 4,
            kills: Vec::new(),
            figures: Figures::default(),
        }
    }
}

/// Told of each second as it passes.
pub type OnSecond = Arc<dyn Fn(&Second) + Send + Sync>;

/// Where it is done: the same for several runs, so that no number comes twice.
#[derive(Clone)]
pub struct Stage {
    /// The server.
    pub target: Target,
    /// Where codes come from.
    pub codes: Codes,
    /// Whom to sign in.
    pub numbers: Arc<Numbers>,
    /// The server, if it is our own: then its use of the machine is told, and it can be killed.
    pub server: Option<Arc<OwnServer>>,
    /// Told of each second.
    pub on_second: Option<OnSecond>,
}

impl Stage {
    /// A stage of a server that somebody else runs.
    pub fn new(target: Target, codes: Codes, seed: u64) -> Self {
        Self { target, codes, numbers: Arc::new(Numbers::new(seed)), server: None, on_second: None }
    }

    /// The same with a server of our own.
    #[must_use]
    pub fn own(self, server: Arc<OwnServer>) -> Self {
        Self { server: Some(server), ..self }
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("target", &self.target).finish_non_exhaustive()
    }
}
