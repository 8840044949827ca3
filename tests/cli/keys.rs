//! API keys, signing keys, sealing keys.

use std::time::Duration;

use serde_json::json;

use super::harness::Place;

/// How often a key is tried until the server has looked at the file; it does once a second.
const TRIES: u32 = 100;

/// A secret is alone on standard output; a running server takes a new key and refuses a revoked one within seconds.
#[tokio::test]
async fn api_keys_come_and_go_while_the_server_runs() {
    let place = Place::new();
    let server = place.serve().await;
    let made = place.run(&["keys", "create", "--name", "shop back end", "--scope", "admin"]).await;
    assert!(!made.err.contains("sk_"), "the secret is on standard output alone");
    let secret = made.well();
    let secret = secret.strip_suffix('\n').unwrap();
    assert!(secret.starts_with("sk_") && secret.len() == 46 && !secret.contains('\n'));

    let listed = place.run(&["keys", "list"]).await.well();
    assert!(listed.starts_with("ID") && listed.contains("shop back end") && listed.contains("admin"), "{listed}");
    assert!(listed.contains("active") && !listed.contains(secret));
    let id = listed.split_whitespace().find(|word| word.starts_with("key_")).unwrap().to_owned();

    let unlock = || server.post("/v1/admin/unlock", Some(secret), json!({ "to": "+14155550101" }));
    let mut seen = Vec::new();
    until(204, unlock, &mut seen).await;
    assert!(seen.iter().all(|status| *status == 401), "before it was known: {seen:?}");

    let revoked = place.run(&["keys", "revoke", &id]).await;
    assert!(revoked.err.contains("is revoked"));
    revoked.well();
    seen.clear();
    until(401, unlock, &mut seen).await;
    assert!(seen.iter().all(|status| *status == 204), "before it was known: {seen:?}");
    assert!(place.run(&["keys", "list"]).await.well().contains("revoked 20"));
}

/// Asks until the status is the wanted one; what came before stands in `seen`.
async fn until<F, A>(wanted: u16, ask: F, seen: &mut Vec<u16>)
where
    F: Fn() -> A,
    A: Future<Output = (u16, serde_json::Value)>,
{
    for _ in 0..TRIES {
        match ask().await.0 {
            status if status == wanted => return,
            status => seen.push(status),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never {wanted}: {seen:?}");
}

#[tokio::test]
async fn api_keys_that_cannot_be_are_refused() {
    let place = Place::new();
    assert!(place.run(&["keys", "list"]).await.err.contains("No API keys yet"));
    place.run(&["keys", "revoke", "key_0123456789abcdef"]).await.failed(1, "there is no API key key_0123456789abcdef");
    let pasted = place.run(&["keys", "revoke", "sk_pasted-secret"]).await;
    pasted.failed(1, "ids begin with key_");
    assert!(!pasted.err.contains("pasted-secret"), "a secret in the wrong place is not repeated");
    place.run(&["keys", "create", "--name", ""]).await.failed(1, "1 to 64");
    place.run(&["keys", "create", "--name", "a", "--scope", "root"]).await.failed(2, "the only scope is admin");
    place.run(&["keys", "create"]).await.failed(2, "--name");
}

/// A rotated key signs after a restart, the one before verifies until it is removed.
#[tokio::test]
async fn signing_keys_are_rotated_and_removed() {
    let place = Place::new();
    let server = place.serve().await;
    let old = server.sign_in("+14155550102").await;
    let access = old["access_token"].as_str().unwrap().to_owned();
    server.stop().await;

    let keys = place.run(&["signing-keys", "list"]).await.well();
    let first = key_of(&keys, "signs and verifies");
    place.run(&["signing-keys", "remove", &first, "--yes"]).await.failed(1, "in use");
    let rotated = place.run(&["signing-keys", "rotate"]).await;
    assert!(rotated.err.contains("restart") && rotated.err.contains("15 minutes"), "{rotated:?}");
    let second = rotated.well().trim().to_owned();
    let server = place.serve().await;
    assert_eq!(server.me(&access).await.0, 200, "the key before still verifies");
    server.stop().await;

    let asked = place.run(&["signing-keys", "remove", &first]).await;
    asked.failed(1, "--yes");
    assert!(asked.err.contains("every token it signed is refused"), "{asked:?}");
    place.run(&["signing-keys", "remove", &first, "--yes"]).await.well();
    place.run(&["signing-keys", "remove", &first, "--yes"]).await.failed(1, "there is no signing key");
    let keys = place.run(&["signing-keys", "list"]).await.well();
    assert!(keys.contains(&second) && !keys.contains(&first), "{keys}");
    let server = place.serve().await;
    assert_eq!(server.me(&access).await.0, 401, "its tokens are gone with it");
    let refresh = json!({ "grant_type": "refresh_token", "refresh_token": old["refresh_token"] });
    assert_eq!(server.post("/oauth/token", None, refresh).await.0, 200, "the session is not");
    place.run(&["signing-keys", "rotate", "--algorithm", "none"]).await.failed(2, "not one of HS256");
}

/// Sessions live on after a rotation, and end with the key they hang on.
#[tokio::test]
async fn sealing_keys_are_rotated_and_removed() {
    let place = Place::new();
    let server = place.serve().await;
    let tokens = server.sign_in("+14155550103").await;
    server.stop().await;
    assert_eq!(place.run(&["sealing-keys", "rotate"]).await.well(), "2\n");
    let server = place.serve().await;
    let refresh = json!({ "grant_type": "refresh_token", "refresh_token": tokens["refresh_token"] });
    let (status, tokens) = server.post("/oauth/token", None, refresh).await;
    assert_eq!(status, 200, "{tokens}");
    server.stop().await;

    place.run(&["sealing-keys", "remove", "2", "--yes"]).await.failed(1, "in use");
    let asked = place.run(&["sealing-keys", "remove", "1"]).await;
    asked.failed(1, "--yes");
    assert!(asked.err.contains("every session and open code under it is over"), "{asked:?}");
    place.run(&["sealing-keys", "remove", "1", "--yes"]).await.well();
    let keys = place.run(&["sealing-keys", "list"]).await.well();
    assert_eq!(keys.lines().count(), 2, "{keys}");
    assert!(keys.contains("seals and opens"), "{keys}");
    let server = place.serve().await;
    let refresh = json!({ "grant_type": "refresh_token", "refresh_token": tokens["refresh_token"] });
    assert_eq!(server.post("/oauth/token", None, refresh).await.0, 400);
}

fn key_of(table: &str, state: &str) -> String {
    let line = table.lines().find(|line| line.contains(state)).unwrap_or_else(|| panic!("{table}"));
    line.split_whitespace().next().unwrap().to_owned()
}
