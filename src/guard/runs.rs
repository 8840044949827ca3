//! Runs of neighbouring numbers that were asked for and not verified.
//!
//! Every ask marks its number, a refused one too: whoever walks along a range keeps it closed. Order does not matter,
//! nor where blocks begin.

use serde::{Deserialize, Serialize};

use super::{policy::RunsRule, recent::Recent};
use crate::record::UnixMillis;

/// Numbers asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Runs {
    pub(super) marks: Recent,
}

impl Runs {
    /// True if the run that this marked number is in is too long.
    pub(super) fn too_long(&self, rule: &RunsRule, number: u64, now: UnixMillis) -> bool {
        let most = u64::from(rule.run_max);
        let reach = rule.gap.saturating_mul(most.saturating_add(1));
        let (mut below, mut above) = self.marks.around(number, reach);
        1 + chain(&mut below, rule, number, now) + chain(&mut above, rule, number, now) > most
    }
}

/// How many numbers follow one another without a gap, going away from `number`; at most one more than a run may have.
fn chain(marks: &mut dyn Iterator<Item = (u64, UnixMillis)>, rule: &RunsRule, number: u64, now: UnixMillis) -> u64 {
    let (mut last, mut length) = (number, 0);
    // What is too old waits for its turn to be forgotten, and is not there.
    for (next, _) in marks.filter(|(_, at)| now.since(*at) < rule.window_ms) {
        if next.abs_diff(last) > rule.gap || length > u64::from(rule.run_max) {
            break;
        }
        (last, length) = (next, length + 1);
    }
    length
}
