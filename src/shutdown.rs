//! Stopping: one token that every part watches, begun by SIGTERM or SIGINT, with a deadline.
//!
//! The first signal begins the stop: readiness turns 503, doors close, what is open may finish until the deadline. A
//! second signal ends the process at once. Owns the order to stop; what stopping means is each part's own.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Told to stop, and by when. Clones are one and the same.
#[derive(Debug, Clone)]
pub struct Shutdown {
    token: CancellationToken,
    began: Arc<std::sync::OnceLock<Instant>>,
    deadline: Duration,
}

impl Shutdown {
    /// Not begun; once begun, open work has `deadline` to finish.
    #[must_use]
    pub fn new(deadline: Duration) -> Self {
        Self { token: CancellationToken::new(), began: Arc::default(), deadline }
    }

    /// Begins the stop. Later calls change nothing, the deadline neither.
    pub fn begin(&self) {
        self.began.get_or_init(Instant::now);
        self.token.cancel();
    }

    /// True from [`Shutdown::begin`] on: refuse new work.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Returns when the stop has begun.
    pub async fn draining(&self) {
        self.token.cancelled().await;
    }

    /// Returns when the stop has begun and its time is over.
    pub async fn expired(&self) {
        self.draining().await;
        tokio::time::sleep(self.remaining()).await;
    }

    /// Time left to finish; the whole deadline before the stop has begun.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.began.get().map_or(self.deadline, |began| self.deadline.saturating_sub(began.elapsed()))
    }

    /// The token itself, for parts that want to know only when.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Begins the stop at the first SIGTERM or SIGINT; the second ends the process with 128 + its number, as shells
    /// spell it (130 for Ctrl-C).
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn on_signals(&self) -> io::Result<JoinHandle<()>> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Two are all that matter; more than four waiting would mean that nobody listens.
        let (sender, signals) = mpsc::channel(4);
        let shutdown = self.clone();
        Ok(tokio::spawn(async move {
            let forward = async move {
                loop {
                    let received = tokio::select! {
                        _ = terminate.recv() => SignalKind::terminate(),
                        _ = interrupt.recv() => SignalKind::interrupt(),
                    };
                    if sender.send(received.as_raw_value()).await.is_err() {
                        return;
                    }
                }
            };
            tokio::join!(forward, shutdown.follow(signals, |code| std::process::exit(code)));
        }))
    }

    /// The rule of [`Shutdown::on_signals`], with the signals' numbers and the end of the process as arguments.
    pub async fn follow(&self, mut signals: mpsc::Receiver<i32>, exit: impl FnOnce(i32)) {
        if let Some(signal) = signals.recv().await {
            tracing::info!(signal, seconds = self.deadline.as_secs(), "stopping");
            self.begin();
        }
        if let Some(signal) = signals.recv().await {
            tracing::warn!(signal, "stopping at once");
            exit(128 + signal);
        }
    }
}
