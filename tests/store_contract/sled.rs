//! What only the embedded store promises: files, lock, reopening, disk space.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use otpd::store::{
    Committed, SnapshotStore, StoreFault,
    committer::{Committer, CommitterSettings},
    sled_store::{Durability, OpenError, SledSettings, SledStore},
};
use tempfile::TempDir;

use super::{check, check_load, delete, phone, put, scan_all, snapshot};

/// Names the store for the second process that some tests start.
pub(crate) const PATH_VARIABLE: &str = "OTPD_TEST_STORE_PATH";

pub(crate) fn fresh(durability: Durability) -> (Arc<SledStore>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Arc::new(open(directory.path(), durability).unwrap()), directory)
}

pub(crate) fn open(directory: &Path, durability: Durability) -> Result<SledStore, OpenError> {
    // Folds all the time, so that whatever a test does meets entries on their way from the log into the tree.
    let fold_every = Duration::from_millis(2);
    let path = directory.join("store/db");
    SledStore::open(&SledSettings { durability, cache_mib: 16, free_mib_min: 1, fold_every, ..SledSettings::at(path) })
}

/// This test binary once more, for one test alone, on the store at `path`.
pub(crate) fn myself(test: &str, path: &OsStr) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(PATH_VARIABLE, path);
    command
}

/// security 11 and 12: what was acknowledged is there after a restart.
#[tokio::test]
async fn a_reopened_store_has_everything() {
    for durability in [Durability::Fsync, Durability::Buffered] {
        let (store, directory) = fresh(durability);
        let batch: Vec<_> = (0..300).map(|n| put(n, None, n + 1, b'a')).collect();
        check(&*store, &batch, &[Committed::Done; 300]).await;
        check(&*store, &[put(0, Some(1), 2, b'b'), delete(1, Some(2))], &[Committed::Done; 2]).await;
        store.close().await.unwrap();

        let store = open(directory.path(), durability).unwrap();
        check_load(&store, 0, Some(snapshot(2, b'b'))).await;
        check_load(&store, 1, None).await;
        let mut expected: Vec<_> = (0..300).map(|n| (phone(n), n + 1)).collect();
        expected[0].1 = 2;
        expected.remove(1);
        assert_eq!(scan_all(&store, 64).await, expected);
        check(
            &store,
            &[put(299, Some(299), 9, b'x'), put(299, Some(300), 301, b'b')],
            &[Committed::Conflict, Committed::Done],
        )
        .await;
    }
}

/// The lock is free as soon as `close` has answered, or a quick restart would fail.
#[tokio::test]
async fn close_lets_go_of_the_lock() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let store = open(directory.path(), Durability::Fsync).unwrap();
        let batch: Vec<_> = (0..200).map(|n| put(round * 200 + n, None, 1, b'a')).collect();
        check(&store, &batch, &[Committed::Done; 200]).await;
        store.close().await.unwrap();
    }
}

/// security 34.
#[tokio::test]
async fn a_second_opening_is_refused() {
    let (store, directory) = fresh(Durability::Fsync);
    let refused = open(directory.path(), Durability::Fsync).unwrap_err();
    assert!(matches!(refused, OpenError::InUse));
    assert_eq!(refused.to_string(), "the store is already in use by another process");
    check(&*store, &[put(1, None, 1, b'a')], &[Committed::Done]).await;
}

/// security 34: this very test once more, in a process of its own, on the directory that is open here.
#[expect(clippy::disallowed_methods, reason = "tells the child process where its store is")]
#[tokio::test]
async fn a_second_process_is_refused() {
    const IN_USE: i32 = 34;
    if let Some(path) = std::env::var_os(PATH_VARIABLE) {
        let in_use = matches!(open(Path::new(&path), Durability::Fsync), Err(OpenError::InUse));
        std::process::exit(if in_use { IN_USE } else { 1 });
    }
    let second =
        |path: &OsStr| myself("sled::a_second_process_is_refused", path).stdout(Stdio::null()).status().unwrap().code();
    let (store, directory) = fresh(Durability::Fsync);
    assert_eq!(second(directory.path().as_os_str()), Some(IN_USE));
    check(&*store, &[put(1, None, 1, b'a')], &[Committed::Done]).await;
    store.close().await.unwrap();
    assert_eq!(second(directory.path().as_os_str()), Some(1), "once closed, the next process has it");
}

/// security 124: made 0700, parents too, and tightened if it was there before.
#[test]
fn the_directory_is_closed_to_others() {
    let (_store, directory) = fresh(Durability::Fsync);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory.path().join("store")), 0o700);
    assert_eq!(mode(&directory.path().join("store/db")), 0o700);

    let lax = tempfile::tempdir().unwrap();
    let path = lax.path().join("store/db");
    std::fs::create_dir_all(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let _store = open(lax.path(), Durability::Fsync).unwrap();
    assert_eq!(mode(&path), 0o700);
}

/// security 105: fails closed, still reads, recovers.
#[tokio::test]
async fn a_nearly_full_disk_refuses_changes_until_there_is_space() {
    let (store, _directory) = fresh(Durability::Fsync);
    check(&*store, &[put(1, None, 1, b'a')], &[Committed::Done]).await;

    store.set_free_mib_min(u64::MAX);
    assert_eq!(store.refusing(), Some("disk nearly full"));
    let refused = store.commit(&[put(1, Some(1), 2, b'b'), put(2, None, 1, b'b')]).await;
    assert!(matches!(refused, Err(StoreFault::Refused("disk nearly full"))));
    check_load(&*store, 1, Some(snapshot(1, b'a'))).await;
    check_load(&*store, 2, None).await;

    store.set_free_mib_min(1);
    assert_eq!(store.refusing(), None);
    check(&*store, &[put(1, Some(1), 2, b'b')], &[Committed::Done]).await;
}

/// What cannot be opened says why, without naming paths.
#[test]
fn a_store_that_cannot_be_opened_says_why() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("store"), b"a file in the way").unwrap();
    let error = open(directory.path(), Durability::Fsync).unwrap_err();
    assert!(matches!(error, OpenError::Directory(_)));
    assert!(!error.to_string().contains(directory.path().to_str().unwrap()));
}

/// Numbers that the process to be killed writes, each from version to version.
const WRITERS: usize = 16;

/// security 11 and 12: a process that commits is killed with SIGKILL, five times over. Each number is then at the
/// last version that was acknowledged, or at the next one, whose acknowledgement was under way.
#[expect(clippy::disallowed_methods, reason = "tells the child process where its store is")]
#[tokio::test]
async fn a_killed_process_has_lost_nothing_it_acknowledged() {
    if let Some(path) = std::env::var_os(PATH_VARIABLE) {
        return write_until_killed(Path::new(&path)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = [0; WRITERS];
    for round in 0..5 {
        let mut child = myself("sled::a_killed_process_has_lost_nothing_it_acknowledged", directory.path().as_os_str())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut lines, enough) = (0, 1000 + round * 37);
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            let mut words = line.split(' ');
            // What was written before the kill still arrives; the last line may be cut off.
            if let (Some("acknowledged"), Some(n), Some(version), Some("!")) =
                (words.next(), words.next(), words.next(), words.next())
            {
                acknowledged[n.parse::<usize>().unwrap()] = version.parse::<u64>().unwrap();
                lines += 1;
                if lines == enough {
                    child.kill().unwrap();
                }
            }
        }
        assert!(!child.wait().unwrap().success());
        assert!(lines >= enough, "it ended by itself");

        let store = open(directory.path(), Durability::Fsync).unwrap();
        for (n, last) in (0..).zip(acknowledged) {
            let stored = store.load(phone(n)).await.unwrap().map_or(0, |snapshot| snapshot.version);
            assert!(stored == last || stored == last + 1, "acknowledged {last}, found {stored}");
        }
        store.close().await.unwrap();
    }
}

async fn write_until_killed(directory: &Path) {
    let store = Arc::new(open(directory, Durability::Fsync).unwrap());
    let on_fatal = Box::new(|_: &StoreFault| std::process::abort());
    let committer = Committer::start(Arc::clone(&store) as _, CommitterSettings::default(), on_fatal).unwrap();
    let writers = (0..).take(WRITERS).map(|n| {
        let (committer, store) = (&committer, &store);
        async move {
            let mut now = store.load(phone(n)).await.unwrap().map(|snapshot| snapshot.version);
            loop {
                let next = now.unwrap_or(0) + 1;
                assert_eq!(committer.commit(put(n, now, next, b'a')).await.unwrap(), Committed::Done);
                // Straight to the pipe: what the test reads was acknowledged before.
                std::io::stdout().lock().write_all(format!("acknowledged {n} {next} !\n").as_bytes()).unwrap();
                now = Some(next);
            }
        }
    });
    let _never: Vec<()> = futures_util::future::join_all(writers).await;
}
