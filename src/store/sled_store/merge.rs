//! Several runs read as one, and written as one: which of them, and when.
//!
//! Runs are of tiers by their size, each ten times the one below; ten of a tier become one of the next. So a number is
//! written once by its fold and once per tier, and of a hundred million numbers there are at most some forty runs.
//! Deletions stay as long as there is an older run that may have what they delete; when a third of all entries are
//! deletions, everything becomes one. When there are as many runs as there may be, two of a tier are enough: however low
//! that limit is, there is always something to merge.

use std::{
    ops::{Bound, ControlFlow, Range},
    sync::Arc,
};

use super::{
    chunk::{Entry, Number},
    engine::EngineError,
    run::{Cursor, Run},
    runs::Runs,
    tree::Tree,
};

/// So many runs of a tier become one.
const FAN: usize = 10;
/// And so many while folds wait for it.
const FAN_IN_HASTE: usize = 2;
/// Entries that a run of the lowest tier has at most; fewer are not worth a tier of their own.
const LOWEST_TIER: u64 = 4_096;
/// A third of all entries may be deletions.
const ENTRIES_PER_DELETION: u64 = 3;

/// Runs as one: each number once, with the word of the newest run that has one.
pub(super) struct Merged {
    /// Newest first.
    cursors: Vec<Cursor>,
    /// Which cursor stands at the lowest number.
    lowest: Option<(Number, usize)>,
}

impl Merged {
    /// `runs` oldest first.
    pub(super) fn new(runs: &[Arc<Run>], from: Bound<Number>) -> Result<Self, EngineError> {
        let cursors = runs.iter().rev().map(|run| Cursor::new(&run.parts, from)).collect::<Result<_, _>>()?;
        let mut merged = Self { cursors, lowest: None };
        merged.find_lowest();
        Ok(merged)
    }

    fn find_lowest(&mut self) {
        let numbers = self.cursors.iter().enumerate();
        // Of equal ones the first is kept: the newest.
        self.lowest = numbers.filter_map(|(at, cursor)| Some((cursor.number()?, at))).min();
    }

    /// The number that comes next; `None` at the end.
    pub(super) fn number(&self) -> Option<Number> {
        self.lowest.map(|(number, _)| number)
    }

    /// Hands out the next entry; false at the end.
    pub(super) fn take(&mut self, to: impl FnOnce(Entry<'_>) -> Result<(), EngineError>) -> Result<bool, EngineError> {
        let Some((number, at)) = self.lowest else { return Ok(false) };
        self.cursors.get(at).and_then(Cursor::entry).map_or(Ok(()), to)?;
        for cursor in &mut self.cursors {
            if cursor.number() == Some(number) {
                cursor.advance()?;
            }
        }
        self.find_lowest();
        Ok(true)
    }
}

/// The neighbours that are to become one run, if it is time for some: `fan` of a tier.
fn due(runs: &[Arc<Run>], fan: usize) -> Option<Range<usize>> {
    let entries: u64 = runs.iter().map(|run| run.entries).sum();
    let deletions: u64 = runs.iter().map(|run| run.deletions).sum();
    if deletions * ENTRIES_PER_DELETION > entries {
        return Some(0..runs.len());
    }
    let tier = |run: &Run| (run.entries / LOWEST_TIER).checked_ilog(FAN as u64).map_or(0, |above| above + 1);
    // From the newest on: a run behind a larger one counts as of the larger one's tier, since only neighbours can merge.
    let (mut group, mut highest) = (runs.len()..runs.len(), 0);
    for (at, run) in runs.iter().enumerate().rev() {
        if tier(run) > highest {
            if group.len() >= fan {
                return Some(group);
            }
            (group, highest) = (at + 1..at + 1, tier(run));
        }
        group.start = at;
    }
    (group.len() >= fan).then_some(group)
}

impl Runs {
    /// Merges some runs if it is time to; answers whether. `pace` is called after each `slice` of entries, and may end it:
    /// then nothing has changed. One at a time.
    pub(super) fn merge(
        &self,
        tree: &Tree,
        slice: usize,
        mut pace: impl FnMut() -> Result<ControlFlow<()>, EngineError>,
    ) -> Result<bool, EngineError> {
        let list = self.list();
        let fan = if self.is_full() { FAN_IN_HASTE } else { FAN };
        let Some(these) = due(&list, fan) else { return Ok(false) };
        let is_oldest = these.start == 0;
        let mut merged = Merged::new(list.get(these.clone()).unwrap_or_default(), Bound::Unbounded)?;
        drop(list);
        let mut run = self.writer(tree);
        let mut taken = 0_usize;
        while merged.take(|entry| if entry.1.is_none() && is_oldest { Ok(()) } else { run.put(entry) })? {
            taken += 1;
            if taken.is_multiple_of(slice) && pace()?.is_break() {
                self.retire(run.abandon()?);
                return Ok(false);
            }
        }
        drop(merged);
        self.replace(tree, these, run.finish()?)?;
        Ok(true)
    }
}
