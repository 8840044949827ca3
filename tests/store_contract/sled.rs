//! What only the embedded store promises: files, lock, reopening, disk space.

use std::{
    ffi::OsStr,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use otpd::store::{
    Committed, SnapshotStore, StoreFault,
    sled_store::{Durability, OpenError, SledSettings, SledStore},
};
use tempfile::TempDir;

use super::{check, check_load, delete, phone, put, scan_all, snapshot};

/// Names the store for the second process of `a_second_process_is_refused`.
const PATH_VARIABLE: &str = "OTPD_TEST_STORE_PATH";

pub(crate) fn fresh(durability: Durability) -> (Arc<SledStore>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Arc::new(open(directory.path(), durability).unwrap()), directory)
}

fn open(directory: &Path, durability: Durability) -> Result<SledStore, OpenError> {
    let path = directory.join("store/db");
    SledStore::open(&SledSettings { durability, cache_mib: 16, free_mib_min: 1, ..SledSettings::at(path) })
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
#[tokio::test]
async fn a_second_process_is_refused() {
    const IN_USE: i32 = 34;
    if let Some(path) = std::env::var_os(PATH_VARIABLE) {
        let in_use = matches!(open(Path::new(&path), Durability::Fsync), Err(OpenError::InUse));
        std::process::exit(if in_use { IN_USE } else { 1 });
    }
    let second = |path: &OsStr| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sled::a_second_process_is_refused"])
            .env(PATH_VARIABLE, path)
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .code()
    };
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
