//! Runs against a map that knows what must be there: whatever is added, merged, dropped, read meanwhile or left behind by a
//! kill.

use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{super::tree::await_unlock, *};

type Model = BTreeMap<u64, Option<Vec<u8>>>;

fn open(directory: &tempfile::TempDir) -> (Tree, Runs) {
    open_with(directory, 64)
}

fn open_with(directory: &tempfile::TempDir, max: usize) -> (Tree, Runs) {
    let tree = Tree::open(directory.path(), 16).unwrap();
    let runs = Runs::open(&tree, max).unwrap();
    (tree, runs)
}

fn kill((tree, runs): (Tree, Runs)) {
    drop(runs);
    tree.close_abruptly();
}

fn add(tree: &Tree, runs: &Runs, entries: &Model) {
    let mut run = runs.writer(tree);
    for (number, value) in entries {
        run.put((number.to_be_bytes(), value.as_deref())).unwrap();
    }
    runs.add(tree, run.finish().unwrap().unwrap()).unwrap();
}

/// Merges while it is time to; `slices` of so many entries until it is given up.
fn merge(tree: &Tree, runs: &Runs, mut slices: usize) -> usize {
    let mut merges = 0;
    let mut pace = || {
        slices = slices.saturating_sub(1);
        Ok(if slices == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    while runs.merge(tree, 100, &mut pace).unwrap() {
        merges += 1;
    }
    runs.drop_retired(tree, || ControlFlow::Continue(())).unwrap();
    merges
}

fn all(runs: &Runs, from: Bound<u64>, limit: usize) -> Vec<(u64, Vec<u8>)> {
    let key = |number: u64| Key::from(number.to_be_bytes());
    let entries = runs.range(&(from.map(key), Bound::Excluded(key(u64::MAX >> 8))), limit).unwrap();
    let entries = entries.into_iter();
    entries.map(|(key, value)| (u64::from_be_bytes(number_of(&key).unwrap()), value.to_vec())).collect()
}

fn live(model: &Model, from: Bound<u64>, limit: usize) -> Vec<(u64, Vec<u8>)> {
    let range = model.range((from, Bound::Unbounded));
    range.filter_map(|(number, value)| Some((*number, value.clone()?))).take(limit).collect()
}

fn check(runs: &Runs, model: &Model, random: &mut StdRng) {
    assert_eq!(all(runs, Bound::Unbounded, usize::MAX), live(model, Bound::Unbounded, usize::MAX));
    for _ in 0..50 {
        let number = random.random_range(0..NUMBERS);
        let expected = model.get(&number).cloned().flatten();
        assert_eq!(runs.get(number.to_be_bytes()).unwrap().map(|value| value.to_vec()), expected, "{number}");
        for from in [Bound::Included(number), Bound::Excluded(number)] {
            assert_eq!(all(runs, from, 7), live(model, from, 7));
        }
    }
}

const NUMBERS: u64 = 3_000;

/// Hundreds of folds with new, changed and deleted numbers; merges in between, some given up; kills at any point.
#[test]
fn runs_read_as_what_was_written_last() {
    for seed in 0..4 {
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let directory = tempfile::tempdir().unwrap();
        let (mut store, mut model, mut merges) = (open(&directory), Model::new(), 0);
        for _ in 0..60 {
            let count = random.random_range(1..400);
            let entries: Model = (0..count)
                .map(|_| {
                    let value = vec![random.random(); random.random_range(0..600)];
                    (random.random_range(0..NUMBERS), random.random_bool(0.8).then_some(value))
                })
                .collect();
            add(&store.0, &store.1, &entries);
            model.extend(entries);
            if random.random_bool(0.5) {
                merges += merge(&store.0, &store.1, if random.random_bool(0.3) { 2 } else { usize::MAX });
            }
            if random.random_bool(0.1) {
                // Written, and never listed.
                let mut run = store.1.writer(&store.0);
                run.put((1_u64.to_be_bytes(), None)).unwrap();
                run.finish().unwrap();
                kill(store);
                store = open(&directory);
            }
            check(&store.1, &model, &mut random);
        }
        assert!(merges > 2, "{merges}");
        merge(&store.0, &store.1, usize::MAX);
        let parts: usize = store.1.list().iter().map(|run| run.parts.len()).sum();
        assert_eq!(store.0.part_ids().len(), parts, "what was replaced is dropped");
    }
}

/// Whoever reads a run that is replaced reads on; its parts go when the reader has gone.
#[test]
fn what_is_being_read_is_not_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let (tree, runs) = open(&directory);
    let entries: Model = (0..NUMBERS).map(|number| (number, Some(vec![1; 100]))).collect();
    for _ in 0..10 {
        add(&tree, &runs, &entries);
    }
    let mut reader = Merged::new(&runs.list(), Bound::Unbounded).unwrap();
    assert_eq!(merge(&tree, &runs, usize::MAX), 1);
    assert_eq!((runs.len(), tree.part_ids().len()), (1, 11));
    let mut read = 0;
    while reader.take(|_| Ok(())).unwrap() {
        read += 1;
    }
    assert_eq!(read, NUMBERS);
    drop(reader);
    merge(&tree, &runs, usize::MAX);
    assert_eq!(tree.part_ids().len(), 1);
}

/// Ten of a size become one; a deletion is kept as long as something below may be what it deletes.
#[test]
fn runs_become_few_and_deletions_go_with_what_they_delete() {
    let directory = tempfile::tempdir().unwrap();
    let (tree, runs) = open(&directory);
    let old: Model = (0..30_000).map(|number| (number, Some(vec![1; 10]))).collect();
    add(&tree, &runs, &old);
    for round in 0..40 {
        add(&tree, &runs, &Model::from([(round, None), (50_000 + round, Some(vec![2]))]));
        merge(&tree, &runs, usize::MAX);
        assert!(runs.len() <= 11, "{} runs", runs.len());
    }
    let weights = |runs: &Runs| runs.list().iter().map(|run| (run.entries, run.deletions)).collect::<Vec<_>>();
    let kept: u64 = weights(&runs).iter().map(|(_, deletions)| deletions).sum();
    assert_eq!(kept, 40, "what they delete is in the large run still");
    assert!(all(&runs, Bound::Unbounded, 1) == [(40, vec![1; 10])]);
    // A third of all: everything becomes one.
    add(&tree, &runs, &(0..20_000).map(|number| (number, None)).collect());
    merge(&tree, &runs, usize::MAX);
    assert_eq!(weights(&runs), [(10_040, 0)]);
    // Nothing is left: no run is.
    add(&tree, &runs, &(0..60_000).map(|number| (number, None)).collect());
    merge(&tree, &runs, usize::MAX);
    assert_eq!((runs.len(), tree.part_ids().len()), (0, 0));
}

/// Whatever their sizes are: a full list is never one of which nothing is due, so no fold waits for ever.
#[test]
fn a_full_list_has_always_something_to_merge() {
    let directory = tempfile::tempdir().unwrap();
    let (tree, runs) = open_with(&directory, 4);
    for size in [50_000, 5_000, 50, 50, 5_000, 50, 50, 50] {
        assert!(!runs.is_full());
        add(&tree, &runs, &(0..size).map(|number| (number, Some(vec![1]))).collect());
        merge(&tree, &runs, usize::MAX);
    }
    assert_eq!(all(&runs, Bound::Unbounded, usize::MAX).len(), 50_000);
}

/// Runs are read over the borders of their parts, and by the filters that a writer leaves.
#[test]
fn a_run_of_several_parts_reads_as_one() {
    let directory = tempfile::tempdir().unwrap();
    let (tree, runs) = open(&directory);
    let entries: Model = (0..1_000).map(|number| (3 * number, Some(vec![7; 100_000]))).collect();
    add(&tree, &runs, &entries);
    let parts = runs.list().iter().map(|run| run.parts.len()).sum::<usize>();
    assert_eq!(parts, 3);
    kill((tree, runs));
    let (_tree, runs) = open(&directory);
    for number in 0..3_000 {
        assert_eq!(runs.get(u64::to_be_bytes(number)).unwrap().is_some(), number % 3 == 0);
        let next = all(&runs, Bound::Excluded(number), 1).first().map(|(number, _)| *number);
        assert_eq!(next, Some(3 * (number / 3) + 3).filter(|next| *next < 3_000));
    }
}

/// What an earlier layout would have left: numbers and an event, one by one.
fn write_one_by_one(directory: &tempfile::TempDir, numbers: u64) {
    let before = sled::Config::new().path(directory.path()).open().unwrap();
    let one_by_one = before.open_tree("snapshots").unwrap();
    for number in 0..numbers {
        one_by_one.insert(number.to_be_bytes(), &number.to_be_bytes()[..]).unwrap();
    }
    one_by_one.insert([0xFF; 10], &b"event"[..]).unwrap();
    before.flush().unwrap();
    drop((one_by_one, before));
    await_unlock(&directory.path().join("db")).unwrap();
}

/// A store of before there were runs is taken over, events and all; also once more, if a kill came before the old entries
/// were dropped.
#[test]
fn a_store_of_single_entries_is_adopted() {
    let directory = tempfile::tempdir().unwrap();
    let expected: Model = (0..500_u64).map(|number| (number, Some(number.to_be_bytes().to_vec()))).collect();
    write_one_by_one(&directory, 500);
    for opening in 0..3 {
        let (tree, runs) = open(&directory);
        assert_eq!(runs.len(), if opening < 2 { 1 } else { 2 });
        assert_eq!(all(&runs, Bound::Unbounded, usize::MAX), live(&expected, Bound::Unbounded, usize::MAX));
        assert_eq!(tree.get(&Key::from([0xFF; 10])).unwrap().as_deref(), Some(&b"event"[..]));
        assert!(tree.begin_adoption().unwrap().is_none());
        kill((tree, runs));
        if opening == 1 {
            write_one_by_one(&directory, 500);
        }
    }
}
