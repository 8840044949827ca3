//! Signing keys: first start, rotation, what is published, what comes from outside.

use std::{collections::HashSet, fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use otpd::{
    entropy::OsEntropy,
    token::{
        Algorithm, KeyFault, KeyState, SigningKeyFile, SigningKeys, SigningOptions, TokenError, TokenMaker,
        TokenSettings, WeakSecret,
    },
};
use serde_json::{Value, json};

use crate::kit::{Home, ISSUER, NOW, NOW_S, access, at, part};

fn kids_of(file: &SigningKeyFile) -> HashSet<String> {
    file.list().unwrap().into_iter().map(|key| key.kid).collect()
}

/// security 68: the new key signs, the old one verifies until it is removed, then its tokens are dead.
#[test]
fn rotation_of_signing_keys() {
    for algorithm in [Algorithm::Hs256, Algorithm::EdDsa] {
        let home = Home::new(algorithm);
        let (before, old_kid) = (home.maker(), home.kid());
        let old = access(&before);

        let info = home.file().rotate(algorithm, at(NOW_S + 5), &OsEntropy).unwrap();
        assert_eq!((info.kid.clone(), info.state, info.created_at), (home.kid(), KeyState::Active, at(NOW_S + 5)));
        let former = home.file().list().unwrap().into_iter().find(|key| key.kid == old_kid).unwrap();
        assert_eq!(former.state, KeyState::Verify);
        assert!(before.read_access(access(&before).token.expose(), NOW).is_ok(), "the running server goes on");

        let after = home.maker();
        let new = access(&after);
        assert_eq!(part(new.token.expose(), 0)["kid"], info.kid);
        assert!(after.read_access(old.token.expose(), NOW).is_ok(), "the old key verifies");
        assert_eq!(before.read_access(new.token.expose(), NOW), Err(TokenError::Invalid), "known after a restart only");
        let shown = if algorithm.is_hmac() { 0 } else { 2 };
        assert_eq!(after.keys().jwks()["keys"].as_array().unwrap().len(), shown);

        assert!(matches!(home.file().remove(&info.kid, algorithm), Err(KeyFault::InUse)));
        assert!(matches!(home.file().remove("nobody", algorithm), Err(KeyFault::NotFound)));
        home.file().remove(&old_kid, algorithm).unwrap();
        let last = home.maker();
        assert_eq!(last.read_access(old.token.expose(), NOW), Err(TokenError::Invalid), "the retired key is dead");
        assert!(last.read_access(new.token.expose(), NOW).is_ok());
        assert!(!last.keys().jwks().to_string().contains(&old_kid));
    }
}

/// A changed `token.algorithm` makes its own key; the former's tokens live on; its key can then be removed.
#[test]
fn a_change_of_algorithm_keeps_old_tokens() {
    let mut home = Home::new(Algorithm::Hs256);
    let (old, old_kid) = (access(&home.maker()), home.kid());
    home.algorithm = Algorithm::EdDsa;
    let maker = home.maker();
    assert_eq!(part(access(&maker).token.expose(), 0)["alg"], "EdDSA");
    assert!(maker.read_access(old.token.expose(), NOW).is_ok());
    home.file().remove(&old_kid, Algorithm::EdDsa).unwrap();
    assert_eq!(home.maker().read_access(old.token.expose(), NOW), Err(TokenError::Invalid));
    let hs512 = home.entry(Algorithm::Hs512)["kid"].as_str().unwrap().to_owned();
    assert!(matches!(home.file().remove(&hs512, Algorithm::EdDsa), Err(KeyFault::InUse)), "usr_otp needs it");
}

/// security 68: the published set has public members only, and a stranger verifies with it.
#[test]
fn jwks_is_public_and_sufficient() {
    for algorithm in Algorithm::ALL {
        let home = Home::new(algorithm);
        let maker = home.maker();
        let jwks = maker.keys().jwks();
        if algorithm.is_hmac() {
            assert_eq!(*jwks, json!({"keys": []}), "{algorithm}");
            continue;
        }
        let keys = jwks["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 1, "the HS512 key beside is not shown");
        let members: HashSet<_> = keys[0].as_object().unwrap().keys().map(String::as_str).collect();
        let allowed = HashSet::from(["kty", "use", "alg", "kid", "n", "e", "crv", "x", "y"]);
        assert!(members.is_subset(&allowed), "{algorithm}: {members:?}");
        assert_eq!((&keys[0]["alg"], &keys[0]["use"]), (&json!(algorithm.name()), &json!("sig")));

        let made = access(&maker);
        let header = jsonwebtoken::decode_header(made.token.expose()).unwrap();
        let set: JwkSet = serde_json::from_value(jwks.clone()).unwrap();
        let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[ISSUER]);
        validation.set_issuer(&[ISSUER]);
        validation.validate_exp = false; // by the machine's clock, which a test must not ask
        let data = jsonwebtoken::decode::<Value>(made.token.expose(), &key, &validation).unwrap();
        assert_eq!(data.claims["sub"], "42");
    }
}

/// security 124: modes of what a first start makes. And first starts at one moment come out as one file.
#[test]
fn first_starts_make_one_private_file() {
    let home = Home::new(Algorithm::EdDsa);
    let kids: Vec<HashSet<_>> = std::thread::scope(|scope| {
        let start = || home.keys().keys().map(|key| key.kid.clone()).collect();
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    let on_disk = kids_of(&home.file());
    assert!(kids.iter().all(|kids| *kids == on_disk) && on_disk.len() == 2, "EdDSA and HS512, once each");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&home.path()), mode(home.path().parent().unwrap())), (0o600, 0o700));

    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o640)).unwrap();
    let fault = SigningKeys::open(&home.path(), &SigningOptions::default(), NOW, &OsEntropy).unwrap_err();
    assert!(matches!(fault, KeyFault::Exposed { mode: 0o640, .. }), "{fault}");
}

/// An edited file that breaks a rule stops the start and is not written over.
#[test]
fn broken_key_files_are_refused() {
    let home = Home::new(Algorithm::EdDsa);
    home.keys();
    home.file().rotate(Algorithm::EdDsa, NOW, &OsEntropy).unwrap();
    let good = fs::read_to_string(home.path()).unwrap();
    let keys = home.file().list().unwrap();
    let (first, last) = (&keys[0].kid, &keys[2].kid);
    for (from, to) in [
        ("\"version\": 1", "\"version\": 9"),
        ("\"verify\"", "\"active\""),
        ("\"verify\"", "\"retired\""),
        (first.as_str(), last.as_str()),
        (first.as_str(), "../../x"),
        ("\"EdDSA\"", "\"ES256\""),
        ("\"EdDSA\"", "\"none\""),
        ("\"private\": \"", "\"private\": \"AAAA"),
    ] {
        assert!(good.contains(from));
        let broken = good.replacen(from, to, 1);
        fs::write(home.path(), &broken).unwrap();
        let options = SigningOptions { algorithm: Algorithm::EdDsa, ..SigningOptions::default() };
        let fault = SigningKeys::open(&home.path(), &options, NOW, &OsEntropy).unwrap_err();
        assert!(matches!(fault, KeyFault::Malformed { .. }), "{to}: {fault}");
        assert_eq!(fs::read_to_string(home.path()).unwrap(), broken);
    }
}

fn open_with(home: &Home, secret: &str, algorithm: Algorithm, tolerate: bool) -> Result<SigningKeys, KeyFault> {
    let extra_secret = Some(secret.as_bytes().to_vec().into());
    let options = SigningOptions { algorithm, extra_secret, tolerate_known_secret: tolerate };
    SigningKeys::open(&home.path(), &options, NOW, &OsEntropy)
}

/// A shared secret signs instead of the file's key, others verify with it, and it is never written.
#[test]
fn a_shared_secret_signs_and_stays_out_of_the_file() {
    let home = Home::new(Algorithm::Hs256);
    let before = access(&home.maker());
    let secret = "q8Zk2-Vw7xN4tR9bLm3Hs6Yc1Pd5Fj0GaTeUiOoKvXzQ";
    let keys = Arc::new(open_with(&home, secret, Algorithm::Hs256, false).unwrap());
    let maker = TokenMaker::new(TokenSettings::new(ISSUER), Arc::clone(&keys), Arc::new(OsEntropy));
    let made = access(&maker);
    let kid = part(made.token.expose(), 0)["kid"].as_str().unwrap().to_owned();
    assert!(kid.starts_with("env-") && !kids_of(&home.file()).contains(&kid));
    let content = fs::read_to_string(home.path()).unwrap();
    assert!(!content.contains(secret) && !content.contains(&URL_SAFE_NO_PAD.encode(secret)));
    assert!(maker.read_access(before.token.expose(), NOW).is_ok(), "the file's key verifies on");
    assert!(!format!("{keys:?}").contains(secret));

    let (message, signature) = made.token.expose().rsplit_once('.').unwrap();
    let theirs = DecodingKey::from_secret(secret.as_bytes());
    let theirs = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &theirs, jsonwebtoken::Algorithm::HS256);
    assert!(theirs.unwrap(), "a back end that holds the secret verifies");

    let again = open_with(&home, secret, Algorithm::Hs256, false).unwrap();
    assert!(again.keys().any(|key| key.kid == kid), "the same id over restarts");
    let other = open_with(&home, &secret.replace('8', "7"), Algorithm::Hs256, false).unwrap();
    assert!(!other.keys().any(|key| key.kid == kid), "another id for another secret");
}

/// security 69: short, regular and printed secrets stop the start, and the fault does not repeat them.
#[test]
fn weak_shared_secrets_are_refused() {
    let home = Home::new(Algorithm::Hs256);
    let printed = "django-insecure-rq1k3nfrru@$ds6bwf$t&3hk*s7bg5ef3it&o@s*6_jbbbfp(j";
    for (secret, weakness) in [
        ("changeme", WeakSecret::TooShort),
        ("changeme-changeme-changeme-changeme", WeakSecret::Known),
        (printed, WeakSecret::Known),
        ("00000000000000000000000000000000", WeakSecret::LowEntropy),
    ] {
        let fault = open_with(&home, secret, Algorithm::Hs256, false).unwrap_err();
        assert!(matches!(fault, KeyFault::Weak(found) if found == weakness), "{secret}: {fault}");
        assert!(!format!("{fault} {fault:?}").contains(secret));
    }
    assert!(!home.path().exists(), "refused before anything is made");
    assert!(open_with(&home, printed, Algorithm::Hs256, true).is_ok(), "an original's .env works in development");
    let good = "q8Zk2-Vw7xN4tR9bLm3Hs6Yc1Pd5Fj0GaTeUiOoKvXzQ";
    let fault = open_with(&home, good, Algorithm::EdDsa, false).unwrap_err();
    assert!(matches!(fault, KeyFault::SecretNeedsHmac(Algorithm::EdDsa)), "{fault}");
}
