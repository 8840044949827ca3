//! Which numbers the store may have, in a dozen bits each: a Bloom filter, so that the first look for a new number goes
//! neither into the memtable nor into sled. It says "certainly not" or "perhaps".
//!
//! A change's number is in it before the change can be seen. Numbers are never taken out; what was deleted makes it say
//! "perhaps" too often, until it is built anew from what there is: behind the start and behind the traffic, page by page.
//! Meanwhile changes go into both. Owns the bits; how the store is walked is the engine's business.

use std::sync::{
    Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicUsize, Ordering},
};

use fastbloom::{AtomicBloomFilter, BloomFilter};

use super::{chunk::Number, key::Key};

/// Bits set per number. With 13 bits of room per number 1 in 200 new ones is looked for in vain; with 4, 1 in 6.
const HASHES: u32 = 4;
/// Room per number below which it is built anew.
const BITS_PER_NUMBER_MIN: usize = 4;

/// Bits for each number of a part: 1 in 100 others is looked for in vain.
const BITS_PER_NUMBER: usize = 12;

/// Which numbers a part of a run has, which never change. It is kept with the part: what a number's bits are must stay as
/// it is, and a test holds it in place.
#[derive(Debug)]
pub(super) struct PartFilter(BloomFilter);

impl PartFilter {
    pub(super) fn of(numbers: &[Number]) -> Self {
        let bits = vec![0; (numbers.len() * BITS_PER_NUMBER).div_ceil(64).max(1)];
        let mut bloom = BloomFilter::from_vec(bits).hashes(HASHES);
        for number in numbers {
            bloom.insert_hash(hash(*number));
        }
        Self(bloom)
    }

    /// As it was kept; `None`: these are no bits of a filter.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks();
        let bits: Vec<_> = words.iter().copied().map(u64::from_be_bytes).collect();
        (rest.is_empty() && !bits.is_empty()).then(|| Self(BloomFilter::from_vec(bits).hashes(HASHES)))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.as_slice().iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// False: the part has nothing of it.
    pub(super) fn may_have(&self, number: Number) -> bool {
        self.0.contains_hash(hash(number))
    }
}

/// The last step of SplitMix64.
fn hash(number: Number) -> u64 {
    let mixed = u64::from_be_bytes(number);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The filter, and the next one while that is being built.
#[derive(Debug)]
pub(super) struct Filter {
    /// 0: none is kept.
    bits: usize,
    sets: RwLock<Sets>,
}

#[derive(Debug, Default)]
struct Sets {
    /// `None` before the first build is over: everything may be there.
    ready: Option<Arc<Set>>,
    building: Option<Arc<Set>>,
}

#[derive(Debug)]
struct Set {
    bloom: AtomicBloomFilter,
    /// Numbers that were new to it.
    numbers: AtomicUsize,
    /// So many of them are too many.
    numbers_max: AtomicUsize,
}

impl Set {
    fn new(bits: usize) -> Self {
        Self {
            bloom: AtomicBloomFilter::with_num_bits(bits).hashes(HASHES),
            numbers: AtomicUsize::new(0),
            numbers_max: AtomicUsize::new(bits / BITS_PER_NUMBER_MIN),
        }
    }

    fn insert(&self, key: &Key) {
        if !self.bloom.insert(key.as_ref()) {
            self.numbers.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_full(&self) -> bool {
        self.numbers.load(Ordering::Relaxed) > self.numbers_max.load(Ordering::Relaxed)
    }
}

impl Filter {
    /// A filter of so many MiB that knows nothing yet; 0: none.
    pub(super) fn new(mib: u64) -> Self {
        Self { bits: usize::try_from(mib << 23).unwrap_or_default(), sets: RwLock::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Sets> {
        self.sets.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Sets> {
        self.sets.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// False: the store has nothing of it, not even in the memtable.
    pub(super) fn may_have(&self, key: &Key) -> bool {
        self.read().ready.as_ref().is_none_or(|set| set.bloom.contains(key.as_ref()))
    }

    /// To be called with the turn to write, before what is written can be seen.
    pub(super) fn add<'a>(&self, keys: impl Iterator<Item = &'a Key>) {
        let sets = self.read();
        let sets: Vec<_> = [&sets.ready, &sets.building].into_iter().flatten().collect();
        if !sets.is_empty() {
            keys.for_each(|key| sets.iter().for_each(|set| set.insert(key)));
        }
    }

    /// Is there to be another one?
    pub(super) fn is_due(&self) -> bool {
        self.bits > 0 && self.read().ready.as_ref().is_none_or(|set| set.is_full())
    }

    /// Begins another one. To be called with the turn to write: what is written from now on is added to it, and what was
    /// written before has to be [noted](Self::note).
    pub(super) fn begin(&self) {
        let building = Arc::new(Set::new(self.bits.max(1)));
        self.write().building = Some(building);
    }

    /// Adds what the store has to the one that was begun.
    pub(super) fn note(&self, keys: impl Iterator<Item = Key>) {
        let building = self.read().building.clone();
        if let Some(set) = building {
            keys.for_each(|key| set.insert(&key));
        }
    }

    /// All there is has been noted: from now on it is the one that is asked.
    pub(super) fn finish(&self) {
        let mut sets = self.write();
        let Some(set) = sets.building.take() else { return };
        // More numbers than it has room for: the next time is when they have doubled.
        set.numbers_max.fetch_max(2 * set.numbers.load(Ordering::Relaxed), Ordering::Relaxed);
        let over = sets.ready.replace(set);
        drop(sets);
        drop(over); // outside of the lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(numbers: std::ops::Range<u64>) -> Vec<Key> {
        numbers.map(|number| Key::from(number.to_be_bytes())).collect()
    }

    fn has(filter: &Filter, keys: &[Key]) -> usize {
        keys.iter().filter(|key| filter.may_have(key)).count()
    }

    #[test]
    fn what_was_noted_or_added_may_be_there_and_hardly_anything_else() {
        let filter = Filter::new(1);
        let (old, new, others) = (keys(0..100_000), keys(100_000..200_000), keys(200_000..300_000));
        assert!(filter.is_due());
        assert_eq!(has(&filter, &others), others.len(), "nothing is known yet");
        filter.begin();
        filter.note(old.iter().copied());
        filter.add(new.iter());
        assert_eq!(has(&filter, &others), others.len(), "half of it is no answer");
        filter.finish();
        assert!(!filter.is_due());
        assert_eq!((has(&filter, &old), has(&filter, &new)), (old.len(), new.len()));
        let in_vain = has(&filter, &others);
        assert!(in_vain < 500, "{in_vain} of 100,000"); // 42 bits each: 1 in 14,000
    }

    #[test]
    fn a_full_one_is_built_anew_and_changes_go_into_both() {
        let filter = Filter::new(1);
        filter.begin();
        filter.finish();
        let (many, last) = (keys(0..3_000_000), keys(3_000_000..3_000_010));
        filter.add(many.iter());
        assert!(filter.is_due());
        filter.begin();
        filter.add(last.iter());
        assert_eq!(has(&filter, &last), last.len());
        filter.finish();
        assert!(!filter.is_due());
        assert_eq!(has(&filter, &last), last.len());
        assert!(has(&filter, &keys(0..1_000)) < 10, "they were deleted");
    }

    /// More numbers than bits must not have it built for ever.
    #[test]
    fn one_that_is_too_small_waits_until_they_are_twice_as_many() {
        let filter = Filter::new(1);
        filter.begin();
        filter.note(keys(0..3_000_000).into_iter());
        filter.finish();
        assert!(!filter.is_due());
    }

    #[test]
    fn a_part_is_asked_for_its_own_numbers_and_few_others() {
        let numbers: Vec<Number> = (0..10_000_u64).map(|number| (7 * number).to_be_bytes()).collect();
        let filter = PartFilter::from_bytes(&PartFilter::of(&numbers).to_bytes()).unwrap();
        assert!(numbers.iter().all(|number| filter.may_have(*number)));
        let others = (0..70_000_u64).filter(|number| number % 7 != 0 && filter.may_have(number.to_be_bytes()));
        let in_vain = others.count();
        assert!(in_vain < 900, "{in_vain} of 60,000");
        assert!(PartFilter::from_bytes(&[]).is_none() && PartFilter::from_bytes(&[0; 9]).is_none());
    }

    /// Parts on disk have these bits. If another version of the library sets others, their key must change with it.
    #[test]
    fn the_bits_of_a_number_stay_as_they_are() {
        let numbers: Vec<Number> = (0..5_u64).map(|number| (989_120_000_000 + number).to_be_bytes()).collect();
        let bits: String = PartFilter::of(&numbers).to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(bits, "200a04c0e009d034");
    }

    #[test]
    fn none_is_never_due() {
        let filter = Filter::new(0);
        assert!(!filter.is_due());
        assert_eq!(has(&filter, &keys(0..9)), 9);
    }
}
