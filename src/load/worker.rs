//! One connection and the person at it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    connection::{Asked, Connection},
    dice::Dice,
    measure::{Came, Kind},
    pace,
    run::Run,
    speech::{Answer, Speech},
};

/// Tries to connect before it counts as broken.
const CONNECT_TRIES: u32 = 3;
/// Pause between them.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);

/// Why an operation ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The connection broke: whether the server has acted is not known.
    Gone,
    /// An answer that leads nowhere.
    Refused,
}

/// Asks, and measures.
pub(super) struct Worker {
    pub(super) run: Arc<Run>,
    nth: usize,
    pub(super) speech: Speech,
    pub(super) dice: Dice,
    connection: Option<Connection>,
    /// When the operation's first request should have gone out.
    due: Option<Instant>,
}

impl Worker {
    pub(super) fn new(run: Arc<Run>, nth: usize) -> Self {
        let speech = Speech::new(run.stage.target.address);
        let dice = Dice::new(run.plan.seed, nth as u64 + 1);
        Self { run, nth, speech, dice, connection: None, due: None }
    }

    /// Operation after operation until there is none any more.
    pub(super) async fn work(mut self) {
        while let Some(ticket) = self.run.schedule.claim() {
            let (from, late) = pace::begin(ticket).await;
            self.run.begun(from, late);
            self.due = Some(from);
            let done = self.operate().await;
            self.due = None;
            self.run.done(from, done.is_ok());
        }
    }

    /// When what is done now began.
    pub(super) fn began(&self) -> Instant {
        self.due.unwrap_or_else(Instant::now)
    }

    /// Counts a whole operation.
    pub(super) fn count_flow(&self, from: Instant) {
        self.run.measure.count(self.nth, Kind::Flow, from, Came::Status(200));
    }

    /// Sends a request. An answer of another status than these ends the operation; only 429 and 503 may always come.
    pub(super) async fn ask(&mut self, kind: Kind, request: Asked, expected: &[u16]) -> Result<u16, Stop> {
        let from = self.due.take().unwrap_or_else(Instant::now);
        let came = self.exchange(request).await;
        self.run.measure.count(self.nth, kind, from, came);
        match came {
            Came::Status(status) if expected.contains(&status) => Ok(status),
            Came::Status(429 | 503) => Err(Stop::Refused),
            Came::Status(status) => {
                let answer = self.answer();
                let code = if answer.code.is_empty() { &answer.error } else { &answer.code };
                self.run.unexpected(format!("{}: {status} {code}", kind.name()));
                Err(Stop::Refused)
            }
            Came::Broken => {
                self.run.unexpected(format!("{}: no answer", kind.name()));
                Err(Stop::Gone)
            }
            Came::Killed | Came::NeverBegun => Err(Stop::Gone),
        }
    }

    /// The fields of the last answer.
    pub(super) fn answer(&self) -> Answer<'_> {
        self.connection.as_ref().map(|connection| Answer::read(connection.body())).unwrap_or_default()
    }

    /// The last answer as it came.
    pub(super) fn body(&self) -> &[u8] {
        self.connection.as_ref().map(Connection::body).unwrap_or_default()
    }

    /// Sends a request that counts in no figure.
    pub(super) async fn inquire(&mut self, request: Asked) -> Came {
        self.exchange(request).await
    }

    async fn exchange(&mut self, request: Asked) -> Came {
        if !self.connect().await {
            return Came::Broken;
        }
        let kills = self.run.gate.kills();
        let Some(connection) = &mut self.connection else { return Came::Broken };
        match connection.ask(request).await {
            Ok(status) => Came::Status(status),
            Err(_) => {
                self.connection = None;
                let was_killed = self.run.gate.kills() != kills || !self.run.gate.is_open();
                if was_killed { Came::Killed } else { Came::Broken }
            }
        }
    }

    /// A connection that can be used; waits for a server that was killed. What was not sent is not in doubt, so this is
    /// where a closed connection should be noticed.
    async fn connect(&mut self) -> bool {
        let mut tries = 0;
        while tries < CONNECT_TRIES {
            if !self.run.gate.is_open() {
                self.connection = None;
                self.run.gate.passed().await;
            }
            if let Some(connection) = &mut self.connection {
                if connection.is_usable().await {
                    return true;
                }
                self.connection = None;
            }
            let kills = self.run.gate.kills();
            match Connection::open(self.run.stage.target.address).await {
                Ok(connection) => self.connection = Some(connection),
                Err(_) if self.run.gate.kills() != kills || !self.run.gate.is_open() => {}
                Err(_) => {
                    tries += 1;
                    tokio::time::sleep(CONNECT_PAUSE).await;
                }
            }
        }
        false
    }
}
