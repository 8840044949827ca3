//! What the log promises: nothing replayed that was not written, nothing written that is not replayed.

use super::*;

const LIMIT: u64 = 4 << 20;

fn ops(n: u64) -> Ops {
    let key = Key::from((n % 7).to_be_bytes());
    let value =
        (!n.is_multiple_of(5)).then(|| IVec::from(vec![n.to_le_bytes()[0]; usize::try_from(n * 37 % 900).unwrap()]));
    Ops::from([(key, value), (Key::from(*b"last"), Some(IVec::from(&n.to_be_bytes())))])
}

fn open(directory: &Path, epoch: u64, folded: u64) -> Result<(Wal, u64), WalError> {
    let (wal, ops) = Wal::open(directory, epoch, folded, LIMIT)?;
    let last = ops.get(&Key::from(*b"last")).map(|last| last.as_ref().unwrap().as_ref().try_into().unwrap());
    Ok((wal, last.map_or(0, u64::from_be_bytes)))
}

fn append(wal: &mut Wal, records: u64) {
    for _ in 0..records {
        wal.append(&ops(wal.last() + 1)).unwrap();
        wal.sync().unwrap();
    }
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn what_was_appended_is_replayed_as_it_was_last_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let (mut wal, _) = open(directory.path(), 1, 0).unwrap();
    append(&mut wal, 100);
    drop(wal);
    let mut expected = Ops::new();
    (1..=100).for_each(|n| expected.extend(ops(n)));
    let (wal, replayed) = Wal::open(directory.path(), 2, 0, LIMIT).unwrap();
    assert_eq!(replayed, expected);
    assert_eq!(wal.last(), 100);
    drop(wal);
    let (_, behind) = Wal::open(directory.path(), 3, 99, LIMIT).unwrap();
    assert_eq!(behind, ops(100));
}

/// Cut anywhere, the log begins anew right there, and what is behind the cut is never taken for new.
#[test]
fn a_torn_tail_is_left_out_and_written_over() {
    let directory = tempfile::tempdir().unwrap();
    let (mut wal, _) = open(directory.path(), 1, 0).unwrap();
    append(&mut wal, 20);
    let whole = std::fs::read(&segments(directory.path())[0]).unwrap();
    let ends: Vec<usize> = records(&whole).map(|found| found.end).collect();
    for cut in (0..ends[19]).step_by(13) {
        let torn = tempfile::tempdir().unwrap();
        // The rest of the block that the cut hits never reached the disk; what is behind it did.
        let mut bytes = whole.clone();
        bytes[cut] ^= 0xFF;
        std::fs::write(torn.path().join("segment-0"), &bytes).unwrap();
        let kept = ends.iter().filter(|end| **end <= cut).count() as u64;
        let (mut wal, last) = open(torn.path(), 2, 0).unwrap();
        assert_eq!((wal.last(), last), (kept, kept), "cut at {cut}");
        // As long as the record that was torn: right behind it stands one of the epoch before.
        append(&mut wal, 1);
        drop(wal);
        let (wal, last) = open(torn.path(), 3, 0).unwrap();
        assert_eq!((wal.last(), last), (kept + 1, kept + 1), "cut at {cut}");
    }
}

/// Segments are used in turn: sealed, forgotten, written over, and never more of them than are needed.
#[test]
fn segments_are_reused_and_old_contents_stay_old() {
    let directory = tempfile::tempdir().unwrap();
    let (mut wal, _) = open(directory.path(), 1, 0).unwrap();
    let mut folded = 0;
    for round in 0..20 {
        append(&mut wal, 1 + round % 5);
        wal.seal().unwrap();
        let upto = wal.last();
        append(&mut wal, round % 3);
        // Killed here, everything behind the mark is there.
        let (again, last) = open(directory.path(), 2 + round, folded).unwrap();
        assert_eq!(last, wal.last(), "round {round}");
        drop(std::mem::replace(&mut wal, again));
        folded = upto;
        wal.forget(folded).unwrap();
        let (again, last) = open(directory.path(), 2 + round, folded).unwrap();
        assert_eq!(last.max(folded), wal.last(), "round {round}");
        drop(std::mem::replace(&mut wal, again));
        assert!(segments(directory.path()).len() <= 3, "round {round}");
    }
}

/// A restart in good order finds nothing to replay, and takes a segment that is there.
#[test]
fn restarts_pile_up_no_segments() {
    let directory = tempfile::tempdir().unwrap();
    let mut folded = 0;
    for epoch in 1..20 {
        let (mut wal, last) = open(directory.path(), epoch, folded).unwrap();
        assert_eq!(last, 0);
        append(&mut wal, 3);
        wal.seal().unwrap();
        folded = wal.last();
        wal.forget(folded).unwrap();
    }
    assert_eq!(folded, 57);
    assert_eq!(segments(directory.path()).len(), 2);
}

/// Records that were durable and are gone are no reason to start without them.
#[test]
fn a_missing_segment_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let (mut wal, _) = open(directory.path(), 1, 0).unwrap();
    append(&mut wal, 3);
    wal.seal().unwrap();
    append(&mut wal, 3);
    drop(wal);
    std::fs::remove_file(&segments(directory.path())[0]).unwrap();
    assert!(matches!(open(directory.path(), 2, 0), Err(WalError::Damaged(0))));
    // What sled has is not missed.
    assert_eq!(open(directory.path(), 2, 3).unwrap().1, 6);
}

#[test]
fn files_grow_ahead_and_to_their_limit_only() {
    let directory = tempfile::tempdir().unwrap();
    let (mut wal, _) = open(directory.path(), 1, 0).unwrap();
    let length = |wal: &Wal| wal.active.file.metadata().unwrap().len();
    append(&mut wal, 1);
    assert_eq!(length(&wal), STEP);
    let long = Ops::from([(Key::from(*b"k"), Some(IVec::from(vec![1; 100_000])))]);
    while wal.has_room(100_020) {
        wal.append(&long).unwrap();
        wal.sync().unwrap();
    }
    assert_eq!(length(&wal), LIMIT);
    assert_eq!(wal.last(), 1 + LIMIT / 100_030);
    assert!(wal.is_half_full());
}
