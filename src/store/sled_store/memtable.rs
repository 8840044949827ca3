//! What the log has and sled has not yet, in memory: reads look here first.
//!
//! Two maps: the current one, which takes what was just made durable, and for the time of a fold the one that is being
//! written into sled. A key is looked for in both under one lock, so that none is missed on its way from the one to
//! the other. A deletion is an entry, too: sled may still have the key.

use std::{
    collections::BTreeMap,
    iter::Peekable,
    ops::Bound,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use sled::IVec;

use super::key::Key;

/// Wanted states by key, sorted as sled has them; `None`: deleted.
pub(super) type Ops = BTreeMap<Key, Option<IVec>>;

/// Bounds of a range of keys.
pub(super) type KeyRange = (Bound<Key>, Bound<Key>);

/// The two maps.
#[derive(Debug, Default)]
pub(super) struct Memtable {
    maps: RwLock<Maps>,
}

#[derive(Debug, Default)]
struct Maps {
    current: Ops,
    /// With the log's last record that it holds.
    folding: Option<(Arc<Ops>, u64)>,
}

impl Memtable {
    /// What would be there after a restart.
    pub(super) fn of(replayed: Ops) -> Self {
        Self { maps: RwLock::new(Maps { current: replayed, folding: None }) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Maps> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Maps> {
        self.maps.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: ask sled. `Some(None)`: deleted, whatever sled says.
    pub(super) fn get(&self, key: &Key) -> Option<Option<IVec>> {
        let maps = self.read();
        let folding = || maps.folding.as_ref().and_then(|(folding, _)| folding.get(key));
        maps.current.get(key).or_else(folding).cloned()
    }

    /// Takes in what is durable.
    pub(super) fn apply(&self, ops: Ops) {
        self.write().current.extend(ops);
    }

    pub(super) fn is_folding(&self) -> bool {
        self.read().folding.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.read().current.is_empty()
    }

    /// Makes the current map the one to fold: all that the log has up to its record `upto`. Not while another is folded.
    pub(super) fn rotate(&self, upto: u64) {
        let mut maps = self.write();
        debug_assert!(maps.folding.is_none(), "one fold at a time");
        let folding = Arc::new(std::mem::take(&mut maps.current));
        maps.folding = Some((folding, upto));
    }

    /// What was rotated, until [`Self::folded`].
    pub(super) fn folding(&self) -> Option<(Arc<Ops>, u64)> {
        self.read().folding.clone()
    }

    /// sled has all of it now.
    pub(super) fn folded(&self) {
        let folded = self.write().folding.take();
        drop(folded); // outside of the lock: freeing some 100,000 entries takes a while
    }

    /// The entries of a range up to the one with which `limit` of them are no deletions, and the key of that one; `None`
    /// if the range ended before.
    pub(super) fn range(&self, range: &KeyRange, limit: usize) -> (Ops, Option<Key>) {
        let maps = self.read();
        let empty = Ops::new();
        let below = maps.folding.as_ref().map_or(&empty, |(folding, _)| folding);
        let (mut found, mut live) = (Ops::new(), 0);
        let mut merged = merge(maps.current.range(*range), below.range(*range));
        while let Some((key, value)) = merged() {
            found.insert(*key, value.clone());
            live += usize::from(value.is_some());
            if live >= limit {
                return (found, Some(*key));
            }
        }
        (found, None)
    }
}

/// Steps through two sorted sequences as one; of equal keys the upper one's counts.
fn merge<'a, I: Iterator<Item = (&'a Key, &'a Option<IVec>)>>(
    upper: I,
    lower: I,
) -> impl FnMut() -> Option<(&'a Key, &'a Option<IVec>)> {
    let (mut upper, mut lower): (Peekable<I>, Peekable<I>) = (upper.peekable(), lower.peekable());
    move || {
        let Some((key, _)) = upper.peek() else { return lower.next() };
        match lower.next_if(|(other, _)| other <= key) {
            Some((other, value)) if other < *key => Some((other, value)),
            _ => upper.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(entries: &[(u8, Option<u8>)]) -> Ops {
        entries.iter().map(|(key, value)| (Key::from([*key]), value.map(|value| IVec::from(&[value])))).collect()
    }

    const ALL: KeyRange = (Bound::Unbounded, Bound::Unbounded);

    #[test]
    fn the_newest_of_both_maps_is_found_and_a_deletion_hides_what_is_below() {
        let memtable = Memtable::of(ops(&[(1, Some(1)), (2, Some(1)), (3, Some(1))]));
        memtable.rotate(7);
        assert_eq!(memtable.folding().map(|(folding, upto)| (folding.len(), upto)), Some((3, 7)));
        memtable.apply(ops(&[(2, None), (4, Some(2))]));
        assert_eq!(memtable.get(&Key::from([1])), Some(Some(IVec::from(&[1]))));
        assert_eq!(memtable.get(&Key::from([2])), Some(None));
        assert_eq!(memtable.get(&Key::from([9])), None);
        let (found, end) = memtable.range(&ALL, 9);
        assert_eq!((found, end), (ops(&[(1, Some(1)), (2, None), (3, Some(1)), (4, Some(2))]), None));
        let (found, end) = memtable.range(&ALL, 2);
        assert_eq!((found, end), (ops(&[(1, Some(1)), (2, None), (3, Some(1))]), Some(Key::from([3]))));
        memtable.folded();
        assert_eq!(memtable.get(&Key::from([1])), None);
        assert_eq!(memtable.get(&Key::from([2])), Some(None), "sled has it still");
        assert!(!memtable.is_empty() && !memtable.is_folding());
    }
}
