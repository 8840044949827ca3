//! What Linux tells of a process and of the machine, from `/proc`. Where there is no such thing, nothing is told.

use std::{fs, time::Duration};

use serde::Serialize;

/// Processor time and memory of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// User and system time of all its threads so far, to 10 ms as a rule.
    pub(super) cpu: Duration,
    /// Resident memory now, in KiB.
    pub(super) rss_kib: u64,
    /// The most it ever was.
    pub(super) rss_peak_kib: u64,
}

impl Sample {
    pub(super) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in brackets and may have any letter in it; state is the first field after it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        let ticks = ticks(11)? + ticks(12)?;
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()
        };
        Some(Self {
            cpu: Duration::from_micros(ticks.saturating_mul(1_000_000) / per_second),
            rss_kib: kib("VmRSS").unwrap_or_default(),
            rss_peak_kib: kib("VmHWM").unwrap_or_default(),
        })
    }
}

/// The machine that a run was made on.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Machine {
    /// Cores that may be used.
    pub cores: usize,
    /// The processor's name.
    pub cpu: String,
    /// The kernel's version.
    pub kernel: String,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(':'));
        Self {
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            cpu: model.map_or("unknown", |(_, name)| name.trim()).to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_has_used_something() {
        let sample = Sample::of(std::process::id()).unwrap();
        assert!(sample.rss_kib > 0 && sample.rss_peak_kib >= sample.rss_kib);
        assert_eq!(Sample::of(u32::MAX), None);
        assert!(Machine::here().cores > 0);
    }
}
