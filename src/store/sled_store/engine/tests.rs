//! Reads, writes and folds as one, and what is there again wherever a fold stood when the process ended.

use super::{
    super::{run::Run, walk::PAGE},
    *,
};
use crate::record::snapshot::SCHEMA;

fn open(directory: &tempfile::TempDir) -> Engine {
    let settings = SledSettings { cache_mib: 16, log_mib: 1, ..SledSettings::at(directory.path()) };
    Engine::open(&settings).unwrap()
}

fn phone(number: u64) -> PhoneNumber {
    PhoneNumber::try_from(989_120_000_000 + number).unwrap()
}

fn bytes(version: u64, length: usize) -> Vec<u8> {
    let mut bytes = Header { schema: SCHEMA, version, forget_at: None }.to_bytes().to_vec();
    bytes.resize(length.max(bytes.len()), 7);
    bytes
}

fn change(number: u64, from: u64, to: u64) -> Change {
    let version = |version: u64| (version > 0).then_some(version);
    let next = version(to).map(|version| Snapshot { version, bytes: bytes(version, 100) });
    Change { phone: phone(number), expected: version(from), next, events: Vec::new() }
}

fn commit(engine: &Engine, batch: &[Change]) {
    let mut wal = engine.writer().unwrap();
    let planned = engine.plan(batch).unwrap();
    assert!(planned.outcomes.iter().all(|outcome| *outcome == Committed::Done));
    engine.write(&mut wal, planned.ops, true).unwrap();
}

fn versions(engine: &Engine, limit: usize) -> Vec<(u64, u64)> {
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = engine.scan(after, limit).unwrap();
        assert!(page.records.len() <= limit);
        found.extend(page.records.iter().map(|(phone, it)| (phone.as_u64() - 989_120_000_000, it.version)));
        let Some(next) = page.next else { return found };
        after = Some(next);
    }
}

/// A run with these entries, newer than all others.
fn add_run(engine: &Engine, entries: &[(Number, Option<IVec>)]) {
    let run = write_run(engine, entries);
    engine.runs.add(&engine.tree, run).unwrap();
}

fn write_run(engine: &Engine, entries: &[(Number, Option<IVec>)]) -> Run {
    let mut run = engine.runs.writer(&engine.tree);
    entries.iter().for_each(|(number, value)| run.put((*number, value.as_deref())).unwrap());
    run.finish().unwrap().unwrap()
}

/// As a kill leaves it.
fn close_abruptly(engine: Engine) {
    let Engine { runs, tree, .. } = engine;
    drop(runs);
    tree.close_abruptly();
}

#[test]
fn a_value_without_header_matches_no_version_and_stops_no_scan() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(&directory);
    add_run(&engine, &[(phone(0).to_key(), Some(IVec::from(b"?")))]);
    assert!(matches!(engine.load(phone(0)), Err(EngineError::Headless)));
    for expected in [None, Some(0), Some(u64::MAX)] {
        let batch = [Change { phone: phone(0), expected, next: None, events: Vec::new() }];
        let planned = engine.plan(&batch).unwrap();
        assert!(planned.ops.is_empty());
        assert_eq!(planned.outcomes, [Committed::Conflict]);
    }
    assert!(engine.scan(None, 10).unwrap().records.is_empty());
    assert!(engine.scan(None, 1).unwrap().records.is_empty());
}

/// Reads are the same whether a number is in a run, in what is being folded, or in what came since, and a
/// deletion in an upper layer hides what is below.
#[test]
fn runs_and_both_maps_read_as_one() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(&directory);
    commit(&engine, &(0..9).map(|n| change(n, 0, 1)).collect::<Vec<_>>());
    assert_eq!(engine.fold(|| ()).unwrap(), 9);
    commit(&engine, &[change(1, 1, 2), change(2, 1, 0), change(10, 0, 1), change(11, 0, 1)]);
    engine.rotate(&mut engine.writer().unwrap()).unwrap();
    commit(&engine, &[change(1, 2, 3), change(3, 1, 0), change(2, 0, 5), change(10, 1, 0), change(12, 0, 1)]);
    let expected = [(0, 1), (1, 3), (2, 5), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1), (11, 1), (12, 1)];
    for limit in 1..12 {
        assert_eq!(versions(&engine, limit), expected, "limit {limit}");
    }
    assert_eq!(engine.load(phone(1)).unwrap().map(|found| found.version), Some(3));
    assert_eq!(engine.load(phone(10)).unwrap(), None);
    assert_eq!(engine.fold(|| ()).unwrap(), 4, "the rotated map first");
    assert_eq!(versions(&engine, 3), expected);
    assert_eq!(engine.fold(|| ()).unwrap(), 5);
    assert_eq!(versions(&engine, 3), expected);
    assert_eq!(engine.fold(|| ()).unwrap(), 0);
}

/// Whatever stage a fold had reached when the process ended, what is read afterwards is the same.
#[test]
fn what_was_written_is_there_again_wherever_a_fold_stood() {
    let directory = tempfile::tempdir().unwrap();
    let expected = [(0, 3), (2, 1), (3, 1)];
    for stage in 0..6 {
        let engine = open(&directory);
        let before = versions(&engine, 10);
        let reset: Vec<_> = before.iter().map(|(n, version)| change(*n, *version, 0)).collect();
        commit(&engine, &reset);
        commit(&engine, &[change(0, 0, 1), change(1, 0, 1)]);
        commit(&engine, &[change(0, 1, 2), change(2, 0, 1)]);
        if stage > 0 {
            engine.rotate(&mut engine.writer().unwrap()).unwrap();
        }
        commit(&engine, &[change(0, 2, 3), change(1, 1, 0), change(3, 0, 1)]);
        let (folding, upto) = engine.memtable.folding().unwrap_or_default();
        if stage > 1 {
            let folding: Vec<_> = folding.iter().map(|(key, value)| (number_of(key).unwrap(), value.clone())).collect();
            let run = write_run(&engine, &folding);
            if stage > 2 {
                engine.runs.add(&engine.tree, run).unwrap();
            }
        }
        if stage > 3 {
            engine.tree.set_counter(FOLDED, upto).unwrap();
        }
        if stage > 4 {
            engine.memtable.folded();
            engine.writer().unwrap().forget(upto).unwrap();
        }
        close_abruptly(engine);
        let engine = open(&directory);
        engine.merge(|| ControlFlow::Continue(())).unwrap();
        let listed: usize = engine.runs.list().iter().map(|run| run.parts.len()).sum();
        assert_eq!(engine.tree.part_ids().len(), listed, "what is in no run is dropped");
        assert_eq!(versions(&engine, 10), expected, "stage {stage}");
        engine.close().unwrap();
    }
}

/// A log without room is a refusal before anything is touched, and over with the fold.
#[test]
fn a_full_log_refuses_until_it_is_folded() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(&directory);
    let fill = |number: u64| -> Result<(), EngineError> {
        let mut wal = engine.writer()?;
        engine.make_room(&mut wal, 1, 100_000)?;
        let next = Some(Snapshot { version: 1, bytes: bytes(1, 100_000) });
        let batch = [Change { phone: phone(number), expected: None, next, events: Vec::new() }];
        let planned = engine.plan(&batch)?;
        engine.write(&mut wal, planned.ops, true)
    };
    // Two segments of 1 MiB: the second begins by itself.
    let written = (0..).take_while(|number| fill(*number).is_ok()).count() as u64;
    assert_eq!(written, 20);
    assert!(matches!(fill(written), Err(EngineError::Behind)));
    assert_eq!(engine.fold(|| ()).unwrap(), 10);
    fill(written).unwrap();
    engine.fold(|| ()).unwrap();
    assert_eq!(versions(&engine, 100).len(), 21);
    close_abruptly(engine);
    assert_eq!(versions(&open(&directory), 100).len(), 21);
}

/// Builds a filter, and calls `between` after each of its pages.
fn build_filter(engine: &Engine, mut between: impl FnMut()) {
    let mut walk = engine.begin_filter().unwrap();
    assert!(walk.is_some());
    while let Some(left) = walk {
        walk = engine.filter_page(left).unwrap();
        between();
    }
}

/// A number that is there is found whatever the filter has seen of it: in a run, in the memtable, written or deleted
/// and written again while the filter was built.
#[test]
fn the_filter_hides_nothing_and_answers_for_what_is_new() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(&directory);
    let numbers = 3 * PAGE as u64;
    let written: Vec<_> = (100..100 + numbers).map(|number| change(number, 0, 1)).collect();
    let (first, second) = written.split_at(2 * PAGE);
    commit(&engine, first);
    engine.fold(|| ()).unwrap();
    commit(&engine, second);
    let mut page = 0;
    build_filter(&engine, || {
        // Before and behind the walk: deleted and written again, and new.
        let (low, high) = (100 + page, 99 + numbers - page);
        commit(&engine, &[change(low, 1, 0), change(high, 1, 0), change(page, 0, 1), change(high + 1_000, 0, 1)]);
        engine.fold(|| ()).unwrap();
        commit(&engine, &[change(low, 0, 2), change(high, 0, 2)]);
        page += 1;
    });
    assert!(page >= 2);
    commit(&engine, &[change(2 * numbers, 0, 1)]);
    let there = (0..page).chain(100..100 + numbers).chain([99 + numbers + 1_000, 2 * numbers]);
    for number in there {
        assert!(engine.load(phone(number)).unwrap().is_some(), "{number}");
    }
    let absent = |number: &u64| !engine.filter.may_have(&Key::from(phone(*number).to_key()));
    assert!((3 * numbers..4 * numbers).filter(absent).count() > 3 * PAGE - 10);
    assert!(engine.begin_filter().unwrap().is_none(), "it is good for long");
}

/// Between its slices others have their turn.
#[test]
fn a_fold_rests_after_each_slice() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(&directory);
    let written: Vec<_> = (0..SLICE as u64 * 5 / 2).map(|number| change(number, 0, 1)).collect();
    commit(&engine, &written);
    let mut rests = 0;
    assert_eq!(engine.fold(|| rests += 1).unwrap(), written.len());
    assert_eq!(rests, 2);
}
