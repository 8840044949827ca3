//! The options of `otpd load`, and what cannot be asked for.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use reqwest::Url;

use super::unusable;
use crate::{
    cli::Failed,
    load::{CONNECTIONS_MAX, COUNT_MAX, DURATION_MAX, KillAt, Pace, RATE_MAX, SESSIONS_MAX, Scenario, Spacing},
};

/// Put load on a server, by people who sign in, and check that everything that must hold does.
///
/// Without --url it starts a server of its own over a new directory, with a provider on this machine that sends nothing,
/// and takes both away in the end. The exit code is 1 if a rule was broken or an answer came that should not have.
///
/// For a server that runs already: name it with --url, start the provider's stand-in with --inbox 127.0.0.1:8099, and give
/// that server sms.gateway = "twilio", sms.twilio.base_url = "http://127.0.0.1:8099" with the account, token and sender
/// that are printed; limits.ip_per_minute = 0, or its limit per address is what is measured; and fraud.velocity_mode,
/// fraud.runs and fraud.conversion not "auto", because new numbers that nobody signs in with are what an attack is.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Options {
    /// What people do; several, one after the other.
    #[arg(long = "scenario", value_enum, value_delimiter = ',', default_value = "login")]
    pub(super) scenarios: Vec<Scenario>,
    /// A running server, http://host:port; none: one of our own.
    #[arg(long, value_parser = url)]
    pub(super) url: Option<Url>,
    /// Where the stand-in of the provider listens, for a running server (127.0.0.1:8099).
    #[arg(long, value_name = "ADDRESS", requires = "url")]
    pub(super) inbox: Option<SocketAddr>,
    /// By whom our own server sends: over HTTP to the stand-in, or by the simulated gateway, without any provider.
    #[arg(long, value_enum, default_value = "twilio", conflicts_with = "url")]
    pub(super) gateway: GatewayName,
    /// Take a server or an address that is not on this machine. Only where you may.
    #[arg(long)]
    pub(super) beyond_loopback: bool,
    /// Connections, each with one operation at a time. 1 to 20000.
    #[arg(long, default_value_t = 64)]
    pub(super) connections: usize,
    /// Open loop: so many operations begin per second, and latency counts from when they should have begun. Up to 1000000.
    #[arg(long)]
    pub(super) rate: Option<f64>,
    /// How an open loop's operations are spread.
    #[arg(long, value_enum, default_value = "poisson", requires = "rate")]
    pub(super) spacing: SpacingName,
    /// Measured time, as in 500ms, 30s or 10m. At most 1h.
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(super) duration: Duration,
    /// Load before the measuring begins.
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub(super) warm_up: Duration,
    /// Most measured operations. Up to 100000000.
    #[arg(long)]
    pub(super) count: Option<u64>,
    /// Threads of the generator. 1 to 64. It shares the cores with the server.
    #[arg(long, default_value_t = 1)]
    pub(super) threads: usize,
    /// The same seed draws the same numbers and the same times. Without it one is drawn, and told.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// People signed in before profile, refresh and mixed begin; not fewer than connections. At most 200000.
    #[arg(long, default_value_t = 1000)]
    pub(super) sessions: usize,
    /// One sign-in of so many tries its code and its receipt again, which must be refused. 0: none.
    #[arg(long, default_value_t = 20)]
    pub(super) again_each: u64,
    /// Numbers that same-number and mixed press on at once. 1 to 1000.
    #[arg(long, default_value_t = 4)]
    pub(super) hot_numbers: usize,
    /// Kill our own server (SIGKILL) so long after the measuring began, start it again, and ask in the end for everything
    /// that it had acknowledged. Several times, if you like.
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "url")]
    pub(super) kill_at: Vec<Duration>,
    /// The same after so many operations.
    #[arg(long, value_name = "OPERATIONS", conflicts_with = "url")]
    pub(super) kill_after: Vec<u64>,
    /// Where our own server gets its directory: on a real disk. Without it: beside this program.
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub(super) data: Option<PathBuf>,
    /// Leave our own server's directory.
    #[arg(long, conflicts_with = "url")]
    pub(super) keep: bool,
    /// For machines.
    #[arg(long)]
    pub(super) json: bool,
    /// Write a page with pictures, one file that needs nothing else. A file of this name is overwritten.
    #[arg(long, value_name = "FILE.html")]
    pub(super) report: Option<PathBuf>,
}

/// By whom the own server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum GatewayName {
    Twilio,
    Simulated,
}

/// As [`Spacing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum SpacingName {
    Even,
    Poisson,
}

/// Most numbers that are pressed on.
const HOT_NUMBERS_MAX: usize = 1000;
/// Most threads.
const THREADS_MAX: usize = 64;
/// Most kills.
const KILLS_MAX: usize = 100;

impl Options {
    /// What is out of range, before anything is started.
    pub(super) fn check(&self) -> Result<(), Failed> {
        let in_range = [
            ("--connections", (1..=CONNECTIONS_MAX).contains(&self.connections), format!("1 to {CONNECTIONS_MAX}")),
            ("--threads", (1..=THREADS_MAX).contains(&self.threads), format!("1 to {THREADS_MAX}")),
            ("--duration", !self.duration.is_zero() && self.duration <= DURATION_MAX, "above 0 and at most 1h".into()),
            ("--warm-up", self.warm_up <= DURATION_MAX, "at most 1h".into()),
            ("--count", self.count.is_none_or(|n| (1..=COUNT_MAX).contains(&n)), format!("1 to {COUNT_MAX}")),
            ("--rate", self.rate.is_none_or(|n| n > 0.0 && n <= RATE_MAX), format!("above 0 and at most {RATE_MAX}")),
            ("--sessions", self.sessions <= SESSIONS_MAX, format!("at most {SESSIONS_MAX}")),
            ("--hot-numbers", (1..=HOT_NUMBERS_MAX).contains(&self.hot_numbers), format!("1 to {HOT_NUMBERS_MAX}")),
            ("--kill-at, --kill-after", self.kills().len() <= KILLS_MAX, format!("given at most {KILLS_MAX} times")),
        ];
        match in_range.into_iter().find(|(_, holds, _)| !holds) {
            Some((option, _, allowed)) => Err(unusable(format!("{option}: must be {allowed}"))),
            None => Ok(()),
        }
    }

    pub(super) fn pace(&self) -> Pace {
        let spacing = match self.spacing {
            SpacingName::Even => Spacing::Even,
            SpacingName::Poisson => Spacing::Poisson,
        };
        self.rate.map_or(Pace::Closed, |rate| Pace::Open { rate, spacing })
    }

    /// Those by time first, each kind in its order.
    pub(super) fn kills(&self) -> Vec<KillAt> {
        let (mut times, mut counts) = (self.kill_at.clone(), self.kill_after.clone());
        times.sort_unstable();
        counts.sort_unstable();
        times.into_iter().map(KillAt::Time).chain(counts.into_iter().map(KillAt::Operations)).collect()
    }
}

fn url(text: &str) -> Result<Url, &'static str> {
    const FORM: &str = "must be http://host:port";
    let url = Url::parse(text).map_err(|_| FORM)?;
    let plain = url.scheme() == "http" && url.has_host() && url.query().is_none() && url.path() == "/";
    if plain && url.username().is_empty() && url.fragment().is_none() { Ok(url) } else { Err(FORM) }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "must be a whole number with ms, s, m or h, as in 30s";
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| FORM)?;
    let unit_ms = match text.strip_prefix(digits).unwrap_or_default() {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(FORM),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or(FORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        for (text, ms) in [("500ms", 500), ("30s", 30_000), ("7", 7_000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)));
        }
        for text in ["", "s", "-1s", "1.5s", "1d", "99999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_plain_addresses_are_taken() {
        assert!(url("http://127.0.0.1:8080").is_ok());
        for text in ["https://127.0.0.1", "http://a:b@127.0.0.1", "127.0.0.1:80", "http://127.0.0.1/x", "http://h/?q"] {
            assert!(url(text).is_err(), "{text}");
        }
    }
}
