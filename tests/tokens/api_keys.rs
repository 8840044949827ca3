//! API keys: made, shown once, checked, revoked, and read again while the server runs.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use otpd::{
    entropy::OsEntropy,
    record::UnixMillis,
    token::{API_KEYS_MAX, ApiKey, ApiKeys, KeyFault, RECHECK, Scope, UnknownScope},
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::NOW;

/// A directory, and the CLI's side of it: an instance of its own, as a process of its own would have.
fn home() -> (TempDir, PathBuf, ApiKeys) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data/api.keys");
    let cli = ApiKeys::open(&path).unwrap();
    (directory, path, cli)
}

fn create(keys: &ApiKeys, name: &str, scopes: &[Scope]) -> (ApiKey, String) {
    let (key, secret) = keys.create(name, scopes, NOW, &OsEntropy).unwrap();
    (key, secret.expose_secret().to_owned())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn put_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn overwrite(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    put_mode(path, 0o600);
}

/// security 120, 124: the secret is shown once and kept as a digest, in a file of the owner's alone.
#[test]
fn keys_are_made_listed_checked_and_revoked() {
    let (_directory, path, keys) = home();
    assert!(!path.exists(), "no file until there is a key");
    assert_eq!(keys.list().unwrap(), []);

    let (plain, plain_secret) = create(&keys, "shop back end", &[]);
    let (admin, admin_secret) = create(&keys, "support", &[Scope::Admin]);
    assert_eq!(keys.list().unwrap(), [plain.clone(), admin.clone()]);
    for (key, secret) in [(&plain, &plain_secret), (&admin, &admin_secret)] {
        assert!(secret.starts_with("sk_") && secret.len() == 46, "{}", secret.len());
        assert!(secret.bytes().skip(3).all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert!(key.id.starts_with("key_") && key.id.len() == 20);
        let caller = keys.authenticate(secret).unwrap();
        assert_eq!((&*caller.id, caller.may(Scope::Admin)), (key.id.as_str(), *key == admin));
    }
    let content = fs::read_to_string(&path).unwrap();
    assert!(!content.contains(&plain_secret[3..]) && !content.contains(&admin_secret[3..]));
    assert!(content.contains("\"created_at\": \"2026-09-21T14:13:20Z\""), "{content}");
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));

    let later = UnixMillis(NOW.0 + 1_000);
    assert_eq!(keys.revoke(&plain.id, later).unwrap().revoked_at, Some(later));
    assert_eq!(keys.authenticate(&plain_secret), None, "at once where it was revoked");
    assert!(keys.authenticate(&admin_secret).is_some());
    let again = keys.revoke(&plain.id, UnixMillis(NOW.0 + 9_000)).unwrap();
    assert_eq!(again.revoked_at, Some(later), "the first time stays");
    assert!(matches!(keys.revoke("key_0000000000000000", NOW), Err(KeyFault::NotFound)));
    assert_eq!(keys.list().unwrap().len(), 2, "a revoked key is still listed");
}

#[test]
fn what_is_no_key_authenticates_nobody() {
    let (_directory, _path, keys) = home();
    let (_, secret) = create(&keys, "shop", &[]);
    let (padded, spaced, long) = (format!("{secret}="), format!(" {}", &secret[1..]), "s".repeat(1_000_000));
    for wrong in ["", "sk_", &secret[..45], &secret[3..], &padded, &spaced, &secret.to_ascii_uppercase(), &long] {
        assert_eq!(keys.authenticate(wrong), None);
    }
    for place in 0..secret.len() {
        let mut other = secret.clone().into_bytes();
        other[place] = if other[place] == b'x' { b'y' } else { b'x' };
        assert_eq!(keys.authenticate(std::str::from_utf8(&other).unwrap()), None);
    }
    assert!(keys.authenticate(&secret).is_some());
}

#[test]
fn names_and_scopes_are_checked() {
    let (_directory, _path, keys) = home();
    for name in ["", "line\nbreak", "bell\u{7}", &"n".repeat(65)] {
        assert!(matches!(keys.create(name, &[], NOW, &OsEntropy), Err(KeyFault::Name)), "{name:?}");
    }
    create(&keys, &"ن".repeat(64), &[]);
    assert_eq!("admin".parse(), Ok(Scope::Admin));
    for scope in ["", "Admin", "root", "admin "] {
        assert_eq!(scope.parse::<Scope>(), Err(UnknownScope));
    }
}

/// What another process makes or revokes is known to the running server within [`RECHECK`], and the file is
/// not looked at more often than that.
#[tokio::test(start_paused = true)]
async fn the_running_server_follows_the_file() {
    let (_directory, path, cli) = home();
    let server = ApiKeys::open(&path).unwrap();
    let almost = RECHECK - Duration::from_millis(1);
    let (key, secret) = create(&cli, "shop", &[]);
    tokio::time::advance(almost).await;
    assert_eq!(server.authenticate(&secret), None, "a second is not over");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(&*server.authenticate(&secret).unwrap().id, key.id.as_str());

    cli.revoke(&key.id, NOW).unwrap();
    tokio::time::advance(almost).await;
    assert!(server.authenticate(&secret).is_some(), "within the second");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(server.authenticate(&secret), None, "revoked");
}

/// A bad edit keeps the last good keys, stops a start, and is not written over.
#[tokio::test(start_paused = true)]
async fn a_bad_edit_keeps_the_last_good_keys() {
    let (_directory, path, cli) = home();
    let (_, secret) = create(&cli, "shop", &[]);
    let server = ApiKeys::open(&path).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    let entry: Value = serde_json::from_str(&good).unwrap();
    let digest = entry["keys"][0]["digest"].as_str().unwrap();
    let twice = json!({"version": 1, "keys": [entry["keys"][0], entry["keys"][0]]}).to_string();
    let bad = [
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        good.replace("\"version\": 1", "\"version\": 2"),
        good.replace("\"name\"", "\"nom\""),
        good.replace("\"scopes\": []", "\"scopes\": [\"root\"]"),
        good.replace(digest, "c2hvcnQ"),
        twice,
    ];
    for text in &bad {
        assert_ne!(*text, good);
        overwrite(&path, text);
        tokio::time::advance(RECHECK).await;
        assert!(server.authenticate(&secret).is_some(), "{text}");
        assert!(ApiKeys::open(&path).is_err(), "a start with it is refused: {text}");
        assert!(cli.create("other", &[], NOW, &OsEntropy).is_err(), "and no edit goes over it: {text}");
    }
}

/// security 123: a file that became readable by others is not taken over until that is put right; one that
/// was taken away is no keys.
#[tokio::test(start_paused = true)]
async fn exposed_and_missing_files_while_running() {
    let (_directory, path, cli) = home();
    let (_, secret) = create(&cli, "shop", &[]);
    let server = ApiKeys::open(&path).unwrap();
    let good = fs::read_to_string(&path).unwrap();

    fs::write(&path, r#"{"version":1,"keys":[]}"#).unwrap();
    put_mode(&path, 0o644);
    tokio::time::advance(RECHECK).await;
    assert!(server.authenticate(&secret).is_some(), "not taken over");
    put_mode(&path, 0o600);
    tokio::time::advance(RECHECK).await;
    assert_eq!(server.authenticate(&secret), None, "taken over");

    overwrite(&path, &good);
    tokio::time::advance(RECHECK).await;
    assert!(server.authenticate(&secret).is_some());
    fs::remove_file(&path).unwrap();
    tokio::time::advance(RECHECK).await;
    assert_eq!(server.authenticate(&secret), None, "taken away");
}

/// The file is bounded: at the limit revoked keys make room, the oldest first, and live ones never.
#[test]
fn revoked_keys_make_room_and_live_ones_do_not() {
    let (_directory, path, keys) = home();
    let (first, first_secret) = create(&keys, "first", &[]);
    let mut file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let id = |place: usize| format!("key_{place:016x}");
    for place in 1..API_KEYS_MAX {
        let mut entry = file["keys"][0].clone();
        entry["id"] = json!(id(place));
        entry["digest"] = json!(format!("{place:042}A"));
        file["keys"].as_array_mut().unwrap().push(entry);
    }
    overwrite(&path, &file.to_string());
    assert!(matches!(keys.create("one more", &[], NOW, &OsEntropy), Err(KeyFault::Full { max: API_KEYS_MAX, .. })));

    keys.revoke(&id(5), NOW).unwrap();
    keys.revoke(&id(3), NOW).unwrap();
    let (_, secret) = create(&keys, "one more", &[]);
    let ids: Vec<_> = keys.list().unwrap().into_iter().map(|key| key.id).collect();
    assert_eq!(ids.len(), API_KEYS_MAX);
    assert!(!ids.contains(&id(3)) && ids.contains(&id(5)) && ids.contains(&first.id));
    assert!(keys.authenticate(&first_secret).is_some() && keys.authenticate(&secret).is_some());
}

/// security 118, 120.
#[test]
fn debug_texts_hold_no_secret() {
    let (_directory, path, keys) = home();
    let (key, secret) = keys.create("shop", &[Scope::Admin], NOW, &OsEntropy).unwrap();
    let caller = keys.authenticate(secret.expose_secret()).unwrap();
    let all = format!("{key:?} {secret:?} {caller:?}");
    assert!(!all.contains(&secret.expose_secret()[3..]));
    assert!(!format!("{keys:?}").contains(path.to_str().unwrap()));
}
