//! Keys of tokens as readers elsewhere see them: the JWKS, every algorithm, rotation (`v1.md`, Tokens).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, Validation, decode, jwk::JwkSet};
use otpd::{
    entropy::OsEntropy,
    token::{Algorithm, SigningKeyFile},
};
use serde_json::{Value, json};

use crate::{
    harness::{START, TestApp},
    harness_tokens::{ANNA, BELA, PUBLIC, Person, claims, header},
};

/// Checks a token as a back end does that has nothing but the key set. The tests' clock is not that of the library.
fn check_offline(jwks: &Value, token: &str) -> Option<Value> {
    let keys: JwkSet = serde_json::from_value(jwks.clone()).unwrap();
    let kid = header(token)["kid"].as_str().unwrap().to_owned();
    let key = DecodingKey::from_jwk(keys.find(&kid)?).unwrap();
    let algorithm = serde_json::from_value(header(token)["alg"].clone()).unwrap();
    let mut rules = Validation::new(algorithm);
    rules.validate_exp = false;
    rules.set_audience(&["https://id.example"]);
    rules.set_issuer(&["https://id.example"]);
    decode::<Value>(token, &key, &rules).ok().map(|data| data.claims)
}

async fn jwks(app: &TestApp) -> Value {
    let answer = app.get("/.well-known/jwks.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    answer.body
}

/// v1.md: receipts and access tokens are checkable offline under an asymmetric algorithm; security 68: by public keys.
#[tokio::test]
async fn tokens_are_checked_offline_under_every_asymmetric_algorithm() {
    for (algorithm, alg, members) in [
        ("EdDSA", "EdDSA", ["crv", "x"].as_slice()),
        ("ES256", "ES256", &["crv", "x", "y"]),
        ("RS256", "RS256", &["e", "n"]),
    ] {
        let app = TestApp::with(&format!("{PUBLIC}\ntoken.algorithm = {algorithm}")).await;
        let receipt = app.receipt(ANNA, "login").await;
        let person = Person::of(&app.redeem(&receipt).await);
        let keys = jwks(&app).await;
        for token in [&receipt, &person.access] {
            assert_eq!(header(token)["alg"], alg);
            assert_eq!(check_offline(&keys, token).unwrap(), claims(token), "{algorithm}");
            let altered = token.replacen('.', ".e30", 1);
            assert!(check_offline(&keys, &altered).is_none(), "{algorithm}");
        }
        assert_eq!(app.get_as(&person.access, "/v1/me").await.status, 200, "{algorithm}");
        for key in keys["keys"].as_array().unwrap() {
            let public = ["alg", "kid", "kty", "use"].iter().chain(members);
            for name in key.as_object().unwrap().keys() {
                assert!(public.clone().any(|known| known == name), "{algorithm}: {name} in {key}");
            }
        }
        assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
    }
}

/// v1.md: the set is empty under HS*, whose tokens our own routes still take.
#[tokio::test]
async fn shared_keys_are_never_published() {
    for algorithm in ["HS256", "HS384", "HS512"] {
        let app = TestApp::with(&format!("token.algorithm = {algorithm}")).await;
        let person = app.person(ANNA).await;
        assert_eq!(header(&person.access)["alg"], algorithm);
        assert_eq!(jwks(&app).await, json!({ "keys": [] }));
        assert_eq!(app.get_as(&person.access, "/v1/me").await.status, 200);
    }
}

/// security 68: a rotated key verifies until it is removed; then its tokens are refused, the sessions live on.
#[tokio::test]
async fn old_keys_verify_until_they_are_removed() {
    let changes = format!("{PUBLIC}\ntoken.algorithm = ES256");
    let app = TestApp::with(&changes).await;
    let old = app.person(ANNA).await;
    let file = SigningKeyFile::new(&app.directory().join("signing.keys"));
    file.rotate(Algorithm::Es256, START, &OsEntropy).unwrap();

    let app = app.restart(&changes).await;
    let new = app.person(BELA).await;
    let keys = jwks(&app).await;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    let old_kid = header(&old.access)["kid"].as_str().unwrap().to_owned();
    assert_ne!(header(&new.access)["kid"], old_kid.as_str());
    for person in [&old, &new] {
        assert_eq!(app.get_as(&person.access, "/v1/me").await.status, 200);
        assert!(check_offline(&keys, &person.access).is_some());
    }

    let file = SigningKeyFile::new(&app.directory().join("signing.keys"));
    file.remove(&old_kid, Algorithm::Es256).unwrap();
    let app = app.restart(&changes).await;
    app.get_as(&old.access, "/v1/me").await.refused(401, "token_invalid");
    assert_eq!(app.get_as(&new.access, "/v1/me").await.status, 200);
    let keys = jwks(&app).await;
    assert!(check_offline(&keys, &old.access).is_none());
    let refreshed = Person::of(&app.refresh(&old.refresh).await);
    assert_eq!(app.get_as(&refreshed.access, "/v1/me").await.status, 200, "the session is no key's");
    app.stop().await;
}

/// security 65–67: forged headers, kinds and signatures are 401, with no more said than that.
#[tokio::test]
async fn forged_tokens_are_refused_at_the_door() {
    let app = TestApp::start().await;
    let person = app.person(ANNA).await;
    let parts: Vec<&str> = person.access.split('.').collect();
    let kid = header(&person.access)["kid"].clone();
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut tokens = vec![format!("{}.{}.", parts[0], parts[1]), format!("{}.{}", parts[0], parts[1])];
    for alg in [json!("none"), json!("None"), json!("nOnE"), json!(""), json!("HS512"), json!("ES256"), json!(null)] {
        let header = text(&json!({ "typ": "at+jwt", "alg": alg, "kid": kid }));
        tokens.push(format!("{header}.{}.{}", parts[1], parts[2]));
        tokens.push(format!("{header}.{}.", parts[1]));
    }
    for kid in ["../../x", "", "0000000000000000", &"k".repeat(4_000)] {
        let header = text(&json!({ "typ": "at+jwt", "alg": "HS256", "kid": kid }));
        tokens.push(format!("{header}.{}.{}", parts[1], parts[2]));
    }
    let embedded = json!({ "typ": "at+jwt", "alg": "HS256", "kid": kid,
        "jwk": { "kty": "oct", "k": "AAAA" }, "jku": "http://127.0.0.1:1/keys" });
    tokens.push(format!("{}.{}.{}", text(&embedded), parts[1], parts[2]));
    let mut said = claims(&person.access);
    said["user_id"] = 999.into();
    said["sub"] = "999".into();
    tokens.push(format!("{}.{}.{}", parts[0], text(&said), parts[2]));
    for token in &tokens {
        let answer = app.get_as(token, "/v1/me").await;
        answer.refused(401, "token_invalid");
        assert_eq!(answer.body["detail"], Value::Null, "a forger is told nothing");
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"otpd\", error=\"invalid_token\"");
    }
    assert_eq!(app.get_as(&person.access, "/v1/me").await.status, 200);
}
