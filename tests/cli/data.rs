//! The data directory: its rights, its lock, its keys; export and import.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::harness::Place;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// security 124: what a first start makes is its owner's alone.
#[tokio::test]
async fn a_first_start_makes_private_files() {
    let place = Place::new();
    let server = place.serve().await;
    assert_eq!(mode(&place.data()), 0o700);
    for file in ["signing.keys", "sealing.keys"] {
        assert_eq!(mode(&place.data().join(file)), 0o600, "{file}");
    }
    assert_eq!(mode(&place.data().join("db")), 0o700);
    place.run(&["keys", "create", "--name", "a"]).await.well();
    assert_eq!(mode(&place.data().join("api.keys")), 0o600);
    server.stop().await;
}

/// security 34: the second process on one directory says so and ends; the first is not disturbed.
#[tokio::test]
async fn one_process_at_a_time() {
    let place = Place::new();
    let server = place.serve().await;
    let tokens = server.sign_in("+14155550110").await;
    let told = "another otpd has this data directory open";
    place.run(&["serve"]).await.failed(1, told);
    let out = place.path("out.jsonl");
    place.run(&["export", "--out", out.to_str().unwrap()]).await.failed(1, told);
    assert!(!out.exists(), "nothing half done is left");
    let file = place.path("in.jsonl");
    fs::write(&file, "{\"otpd_export\":1,\"schema\":3,\"records\":0,\"user_ids_leased\":0}\n").unwrap();
    place.run(&["import", file.to_str().unwrap()]).await.failed(1, told);
    assert_eq!(server.me(tokens["access_token"].as_str().unwrap()).await.0, 200);
    server.stop().await;
}

/// Records without the keys that they hang on: refused at every start, not at the first alone.
#[tokio::test]
async fn lost_sealing_keys_stop_the_start() {
    let place = Place::new();
    let server = place.serve().await;
    server.sign_in("+14155550111").await;
    server.stop().await;
    let (file, aside) = (place.data().join("sealing.keys"), place.path("aside"));
    fs::rename(&file, &aside).unwrap();
    for _ in 0..2 {
        place.run(&["serve"]).await.failed(1, "sealing.keys is missing, and the store has records");
        assert!(!file.exists(), "no new keys in the place of the lost");
    }
    fs::rename(&aside, &file).unwrap();
    place.serve().await.stop().await;
}

/// A place with two people signed in, stopped; their tokens, and the export of its data.
async fn exported(place: &Place) -> (Vec<Value>, PathBuf) {
    let server = place.serve().await;
    let mut tokens = Vec::new();
    for to in ["+14155550112", "+989121234567"] {
        let signed_in = server.sign_in(to).await;
        let access = signed_in["access_token"].as_str().unwrap();
        let profile = json!({ "name": "Åsa \"چای\"\n2", "email": "a@example.com" });
        assert_eq!(server.patch_me(access, profile).await.0, 200);
        tokens.push(signed_in);
    }
    // One that has asked for a code and no more.
    let open = json!({ "to": "+14155550113" });
    assert_eq!(server.post("/v1/verifications", None, open).await.0, 201);
    server.stop().await;
    let file = place.path("all.jsonl");
    let said = place.run(&["export", "--out", file.to_str().unwrap()]).await;
    assert!(said.err.contains("Exported 3 records.") && said.err.contains("sealing.keys"), "{said:#?}");
    assert_eq!(said.well(), "");
    (tokens, file)
}

/// Export, import elsewhere, export: the same bytes; and with the same keys the sessions live on.
#[tokio::test]
async fn what_is_exported_lives_on_elsewhere() {
    let (old, new) = (Place::new(), Place::new());
    let (tokens, file) = exported(&old).await;
    assert_eq!(mode(&file), 0o600);
    let lines = fs::read_to_string(&file).unwrap();
    let header: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(header, json!({ "otpd_export": 1, "schema": 3, "records": 3, "user_ids_leased": 1000 }));
    let numbers: Vec<_> = lines.lines().skip(1).map(|line| line.split('"').nth(3).unwrap()).collect();
    assert_eq!(numbers, ["+14155550112", "+14155550113", "+989121234567"]);
    old.run(&["export", "--out", file.to_str().unwrap()]).await.failed(1, "exists already");
    assert_eq!(old.run(&["export"]).await.well(), lines, "standard output has the same");

    let said = new.run(&["import", file.to_str().unwrap()]).await;
    assert!(said.err.contains("Imported 3 records.") && said.err.contains("no sealing.keys"), "{said:#?}");
    said.well();
    assert_eq!(new.run(&["export"]).await.well(), lines, "to the byte");
    new.run(&["serve"]).await.failed(1, "sealing.keys is missing");
    for key in ["sealing.keys", "signing.keys"] {
        fs::copy(old.data().join(key), new.data().join(key)).unwrap();
    }

    let server = new.serve().await;
    for token in &tokens {
        let (status, me) = server.me(token["access_token"].as_str().unwrap()).await;
        assert_eq!((status, me["name"].as_str()), (200, Some("Åsa \"چای\"\n2")), "{me}");
    }
    let refresh = json!({ "grant_type": "refresh_token", "refresh_token": tokens[0]["refresh_token"] });
    assert_eq!(server.post("/oauth/token", None, refresh).await.0, 200);
    // A new person gets an id that nobody had.
    let newcomer = server.sign_in("+14155550114").await;
    let (_, me) = server.me(newcomer["access_token"].as_str().unwrap()).await;
    assert_eq!(me["user_id"], 1001);
    server.stop().await;
}

/// Into a store with records only when asked; what it has stays; no user id means two people.
#[tokio::test]
async fn merging_keeps_what_is_there() {
    let (old, new) = (Place::new(), Place::new());
    let (_, file) = exported(&old).await;
    let file = file.to_str().unwrap();
    old.run(&["import", file]).await.failed(1, "has records already");
    let said = old.run(&["import", file, "--merge"]).await;
    assert!(said.err.contains("Imported 0 records.") && said.err.contains("Kept 3 records"), "{said:#?}");

    // Another server's first user has the id 1, too.
    let server = new.serve().await;
    server.sign_in("+14155550115").await;
    server.stop().await;
    let before = new.run(&["export"]).await.well();
    new.run(&["import", file, "--merge"]).await.failed(1, "line 2: user id 1 is another number's");
    assert_eq!(new.run(&["export"]).await.well(), before, "nothing was written");
}

/// The first bad line is named, and nothing is written, not even a database.
#[tokio::test]
async fn bad_files_change_nothing() {
    let (old, new) = (Place::new(), Place::new());
    let (_, file) = exported(&old).await;
    let good = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let bad = new.path("bad.jsonl");
    let refused = async |text: String, told: &str| {
        fs::write(&bad, text).unwrap();
        let said = new.run(&["import", bad.to_str().unwrap()]).await;
        said.failed(1, told);
        assert!(!said.err.contains("4155550112"), "nobody's number is told: {said:#?}");
        assert!(!new.data().exists(), "nothing was touched: {told}");
    };
    refused(String::new(), "the file is empty").await;
    refused(lines[1..].join("\n"), "line 1: is not the first line").await;
    refused(good.replacen("\"otpd_export\":1", "\"otpd_export\":2", 1), "line 1: has form 2").await;
    refused(lines[..3].join("\n"), "not whole: its first line promises 3 records, and 2 follow").await;
    refused([lines[0], lines[1], lines[1], lines[2]].join("\n"), "line 3: the number stands on an earlier").await;
    refused(good.replacen("\"user_id\":2", "\"user_id\":1", 1), "line 4: the user id stands on line 2").await;
    refused(good.replacen("\"user_id\":2", "\"user_id\":2000", 1), "line 4: a user id is 0 or above").await;
    refused(good.replacen("\"guesses\"", "\"gusses\"", 1), "line 2: record").await;
    let cut = &good[..good.len() - 20];
    refused(cut.to_owned(), "line 4: is no JSON at column").await;
    new.run(&["import", "missing.jsonl"]).await.failed(1, "cannot be read");
    new.run(&["export"]).await.failed(1, "there is no data yet");
}
