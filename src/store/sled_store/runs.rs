//! Which runs there are, from the oldest to the newest: a newer one's word on a number goes before an older one's.
//!
//! The folder adds runs at the end, the merger puts one in the place of several neighbours; each such change is one value
//! of sled, durable before the runs are seen and before what it replaces is dropped. Parts that the list does not name
//! are left over from a process that ended in the middle of it, and dropped behind the traffic.

use std::{
    collections::HashSet,
    fmt,
    ops::{Bound, ControlFlow, Range, RangeBounds as _},
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::AtomicU64},
};

use metrics::{Gauge, gauge};
use sled::IVec;

use super::{
    chunk::Number,
    engine::{EngineError, Entries, number_of},
    key::Key,
    memtable::KeyRange,
    merge::Merged,
    run::{Listed, Part, Run, RunWriter},
    tree::Tree,
};

/// All runs.
pub(super) struct Runs {
    /// Oldest first.
    list: RwLock<Arc<[Arc<Run>]>>,
    /// So many there may be.
    max: usize,
    /// One change of the list at a time.
    turn: Mutex<()>,
    /// Id of the next part: higher than any before.
    next_part: AtomicU64,
    /// Parts of the list no more, which somebody may still be reading.
    retired: Mutex<Vec<Arc<Part>>>,
    count: Gauge,
}

impl Runs {
    /// Opens the runs that are listed; parts that are in none are [to be dropped](Self::drop_retired).
    pub(super) fn open(tree: &Tree, max: usize) -> Result<Self, EngineError> {
        let listed = tree.list_of_runs()?.map(|list| decode(&list)).transpose()?.unwrap_or_default();
        let runs: Arc<[_]> =
            listed.into_iter().map(|run| run.open(tree).map(Arc::new)).collect::<Result<_, EngineError>>()?;
        let named: HashSet<_> = runs.iter().flat_map(|run| &run.parts).map(|part| part.id).collect();
        let there = tree.part_ids();
        let left_over = there.iter().filter(|id| !named.contains(id));
        let left_over = left_over.map(|id| Part::open(tree, *id, Number::default()).map(Arc::new));
        let retired = Mutex::new(left_over.collect::<Result<_, _>>()?);
        let runs = Self {
            list: RwLock::new(runs),
            max,
            turn: Mutex::default(),
            next_part: AtomicU64::new(there.iter().max().map_or(0, |highest| highest + 1)),
            retired,
            count: gauge!("otpd_store_runs"),
        };
        runs.adopt(tree)?;
        runs.count.set(runs.len() as f64);
        Ok(runs)
    }

    /// Numbers that stand one by one, as before there were runs, become the oldest run.
    fn adopt(&self, tree: &Tree) -> Result<(), EngineError> {
        let Some(entries) = tree.begin_adoption()? else { return Ok(()) };
        tracing::info!("the store's layout is an earlier one and is being converted");
        let mut run = self.writer(tree);
        for entry in entries {
            let (key, value) = entry?;
            // A key that is none of ours is passed over.
            if let Some(number) = Key::new(&key).as_ref().and_then(number_of) {
                run.put((number, Some(&value)))?;
            }
        }
        let run = run.finish()?;
        self.change(tree, |list| list.splice(0..0, run.map(Arc::new)).for_each(drop))?;
        tree.end_adoption()
    }

    pub(super) fn list(&self) -> Arc<[Arc<Run>]> {
        Arc::clone(&self.list.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn len(&self) -> usize {
        self.list.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// No more are to be added: every read is slow with so many.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.max
    }

    /// Half of what there may be: merges are to hurry.
    pub(super) fn is_half_full(&self) -> bool {
        self.len() >= self.max / 2
    }

    /// Of a run to be, which is to be [added](Self::add) or [put in the place of others](Self::replace).
    pub(super) fn writer<'a>(&'a self, tree: &'a Tree) -> RunWriter<'a> {
        RunWriter::new(tree, &self.next_part)
    }

    /// What is stored for a number.
    pub(super) fn get(&self, number: Number) -> Result<Option<IVec>, EngineError> {
        for run in self.list().iter().rev() {
            if let Some(found) = run.get(number)? {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The first `limit` entries of a range that are not deleted.
    pub(super) fn range(&self, range: &KeyRange, limit: usize) -> Result<Entries, EngineError> {
        let from = match &range.0 {
            Bound::Included(key) => number_of(key).map_or(Bound::Unbounded, Bound::Included),
            Bound::Excluded(key) => number_of(key).map_or(Bound::Unbounded, Bound::Excluded),
            Bound::Unbounded => Bound::Unbounded,
        };
        let mut merged = Merged::new(&self.list(), from)?;
        let mut entries = Entries::new();
        while entries.len() < limit
            && let Some(number) = merged.number()
            && range.contains(&Key::from(number))
        {
            merged.take(|(number, value)| {
                entries.extend(value.map(|value| (Key::from(number), IVec::from(value))));
                Ok(())
            })?;
        }
        Ok(entries)
    }

    /// Adds a run that is newer than all others.
    pub(super) fn add(&self, tree: &Tree, run: Run) -> Result<(), EngineError> {
        self.change(tree, |list| list.push(Arc::new(run)))
    }

    /// Puts a run in the place of some; what was there is dropped when nobody reads it any more.
    pub(super) fn replace(&self, tree: &Tree, these: Range<usize>, run: Option<Run>) -> Result<(), EngineError> {
        let mut replaced = Vec::new();
        self.change(tree, |list| replaced.extend(list.splice(these, run.map(Arc::new))))?;
        self.retire(replaced.iter().flat_map(|run| run.parts.iter().cloned()));
        Ok(())
    }

    fn change(&self, tree: &Tree, change: impl FnOnce(&mut Vec<Arc<Run>>)) -> Result<(), EngineError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = self.list().to_vec();
        change(&mut list);
        tree.set_list_of_runs(&encode(&list)?)?;
        self.count.set(list.len() as f64);
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = list.into();
        Ok(())
    }

    /// These are of no use any more.
    pub(super) fn retire(&self, parts: impl IntoIterator<Item = Arc<Part>>) {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).extend(parts);
    }

    /// Drops the retired parts that nobody reads: one at a time, `pace` between them.
    pub(super) fn drop_retired(
        &self,
        tree: &Tree,
        mut pace: impl FnMut() -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let mut retired = std::mem::take(&mut *self.retired.lock().unwrap_or_else(PoisonError::into_inner));
        while let Some(at) = retired.iter().position(|part| Arc::strong_count(part) == 1) {
            tree.drop_part(retired.swap_remove(at).id)?;
            if pace().is_break() {
                break;
            }
        }
        self.retire(retired);
        Ok(())
    }
}

fn encode(list: &[Arc<Run>]) -> Result<Vec<u8>, EngineError> {
    let list: Vec<_> = list.iter().map(|run| run.listed()).collect();
    bincode::serde::encode_to_vec(&list, bincode::config::standard()).map_err(|_| unreadable())
}

fn decode(list: &[u8]) -> Result<Vec<Listed>, EngineError> {
    let decoded = bincode::serde::decode_from_slice(list, bincode::config::standard());
    decoded.map(|(list, _)| list).map_err(|_| unreadable())
}

fn unreadable() -> EngineError {
    EngineError::Sled("the list of runs is damaged".to_owned())
}

impl fmt::Debug for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runs").field("runs", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
