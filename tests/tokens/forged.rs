//! Tokens as we would never make them: every one is invalid, and no more is said.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm::{HS256, HS384, HS512};
use otpd::token::{ACCESS_TYP, Algorithm, TokenError};
use serde_json::{Value, json};

use crate::kit::{Home, ISSUER, NOW, NOW_S, access, claims, forge, sign_text, text};

/// security 66: what is not signed by the named key with that key's own algorithm is invalid.
#[test]
fn other_algorithms_and_secrets_are_invalid() {
    let home = Home::new(Algorithm::Hs256);
    let (maker, kid, secret) = (home.maker(), home.kid(), home.secret());
    let check = |name: &str, token: &str| assert_eq!(maker.read_access(token, NOW), Err(TokenError::Invalid), "{name}");
    let header = |alg: Value| json!({"typ": ACCESS_TYP, "alg": alg, "kid": kid});

    let good = forge(&header(json!("HS256")), &claims(), &secret, HS256);
    assert!(maker.read_access(&good, NOW).is_ok(), "the forger's tools do work with the right key");

    for none in ["none", "None", "nOnE", "NONE", "", "hs256", "HS257"] {
        check(none, &forge(&header(json!(none)), &claims(), &secret, HS256));
        check(none, &format!("{}.{}.", text(&header(json!(none))), text(&claims())));
    }
    check("alg a number", &forge(&header(json!(256)), &claims(), &secret, HS256));
    check("alg null", &forge(&header(json!(null)), &claims(), &secret, HS256));
    check("no alg", &forge(&json!({"typ": ACCESS_TYP, "kid": kid}), &claims(), &secret, HS256));
    check("other secret", &forge(&header(json!("HS256")), &claims(), &[9; 64], HS256));
    check("empty secret", &forge(&header(json!("HS256")), &claims(), b"", HS256));
    check("right secret, other hash", &forge(&header(json!("HS384")), &claims(), &secret, HS384));
    check("right secret, other hash, alg lies", &forge(&header(json!("HS256")), &claims(), &secret, HS512));

    let twice = URL_SAFE_NO_PAD.encode(format!(r#"{{"typ":"at+jwt","alg":"none","alg":"HS256","kid":"{kid}"}}"#));
    check("alg twice", &sign_text(&format!("{twice}.{}", text(&claims())), &secret, HS256));
    let crit = json!({"typ": ACCESS_TYP, "alg": "HS256", "kid": kid, "crit": ["b64"], "b64": false});
    check("crit", &forge(&crit, &claims(), &secret, HS256));
}

/// security 67: a key id is looked up exactly as it is, if it can be one at all.
#[test]
fn unknown_key_ids_are_invalid() {
    let home = Home::new(Algorithm::Hs256);
    let (maker, kid, secret) = (home.maker(), home.kid(), home.secret());
    let other = home.entry(Algorithm::Hs512)["kid"].as_str().unwrap().to_owned();
    let (long, longer) = ("a".repeat(65), "a".repeat(1_000_000));
    let (padded, prefixed) = (format!("{kid} "), format!("./{kid}"));
    let unknown = ["../../x", "", " ", "0000000000000000", "' or 1=1", "\u{0}", &kid[1..], &other, &padded, &prefixed];
    let values = unknown.iter().map(|kid| json!(kid)).chain([json!(long), json!(longer), json!(null), json!(1)]);
    for value in values.chain([json!([kid]), json!({"kid": kid})]) {
        let header = json!({"typ": ACCESS_TYP, "alg": "HS256", "kid": value});
        let forged = forge(&header, &claims(), &secret, HS256);
        assert_eq!(maker.read_access(&forged, NOW), Err(TokenError::Invalid), "{:.80}", value.to_string());
    }
    let forged = forge(&json!({"typ": ACCESS_TYP, "alg": "HS256"}), &claims(), &secret, HS256);
    assert_eq!(maker.read_access(&forged, NOW), Err(TokenError::Invalid), "no kid");
}

/// security 66: the shape of a token is exact, and no bit of it can be changed.
#[test]
fn malformed_and_altered_tokens_are_invalid() {
    let home = Home::new(Algorithm::Hs256);
    let maker = home.maker();
    let made = access(&maker);
    let good = made.token.expose();
    let check = |token: &str| assert_eq!(maker.read_access(token, NOW), Err(TokenError::Invalid), "{token}");
    for token in ["", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d", "{}.{}.", "\u{0}", "نشانه"] {
        check(token);
    }
    for token in [format!(" {good}"), format!("{good} "), format!("{good}="), format!("{good}."), format!("{good}.e30")]
    {
        check(&token);
    }
    let message = good.rsplit_once('.').unwrap().0;
    check(&good.replacen('.', "..", 1));
    check(message);
    check(&format!("{message}."));
    for place in 0..good.len() {
        let mut altered = good.as_bytes().to_vec();
        altered[place] = if altered[place] == b'A' { b'B' } else { b'A' };
        check(std::str::from_utf8(&altered).unwrap());
    }
    // 43 characters of signature hold 258 bits: the last two must be zero, or a token had several spellings.
    let (rest, last) = good.split_at(good.len() - 1);
    for other in ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).map(String::from) {
        if other != last {
            check(&format!("{rest}{other}"));
        }
    }
}

/// security 66: a public key is no HMAC secret, and no other curve or family passes for the key's own.
#[test]
fn asymmetric_keys_are_not_confused() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let home = Home::new(algorithm);
        let (maker, kid) = (home.maker(), home.kid());
        let check = |name: &str, token: &str| {
            assert_eq!(maker.read_access(token, NOW), Err(TokenError::Invalid), "{algorithm}: {name}");
        };
        let jwk = maker.keys().jwks()["keys"][0].clone();
        let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap_or_default()).unwrap();
        let point = [vec![4], member("x"), member("y")].concat();
        for public in [member("n"), member("x"), point, jwk.to_string().into_bytes()] {
            for (alg, hash) in [("HS256", HS256), ("HS512", HS512), (algorithm.name(), HS256)] {
                let header = json!({"typ": ACCESS_TYP, "alg": alg, "kid": kid});
                check("public key as secret", &forge(&header, &claims(), &public, hash));
            }
        }
        // The true signature under a header that says otherwise, and a stranger's key of the same kind.
        let made = access(&maker);
        let (message, signature) = made.token.expose().rsplit_once('.').unwrap();
        let payload = message.split_once('.').unwrap().1;
        for alg in ["ES384", "ES512", "RS384", "PS256", "Ed448", "ES256K", "none"] {
            let header = text(&json!({"typ": ACCESS_TYP, "alg": alg, "kid": kid}));
            check(alg, &format!("{header}.{payload}.{signature}"));
        }
        let stranger = access(&Home::new(algorithm).maker());
        check("a stranger's token", stranger.token.expose());
        check("a stranger's signature", &format!("{message}.{}", stranger.token.expose().rsplit_once('.').unwrap().1));
    }
}

/// security 67: keys and places of keys that a token brings along change nothing, in either direction.
#[test]
fn keys_brought_in_the_header_are_ignored() {
    let home = Home::new(Algorithm::Hs256);
    let maker = home.maker();
    let mine = [7; 64];
    let brought = [
        ("jwk", json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(mine)})),
        ("jwk", json!("not even an object")),
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5c", json!(17)),
    ];
    for (name, value) in brought {
        let mut header = json!({"typ": ACCESS_TYP, "alg": "HS256", "kid": home.kid()});
        header[name] = value;
        let forged = forge(&header, &claims(), &mine, HS256);
        assert_eq!(maker.read_access(&forged, NOW), Err(TokenError::Invalid), "{name}");
        let ours = forge(&header, &claims(), &home.secret(), HS256);
        assert!(maker.read_access(&ours, NOW).is_ok(), "{name} is not even parsed");
    }
}

/// security 70: a claim of a wrong type, out of range, missing or of an unknown value is invalid, never absent.
#[test]
fn claims_of_wrong_type_or_value_are_invalid() {
    let home = Home::new(Algorithm::Hs256);
    let (maker, kid, secret) = (home.maker(), home.kid(), home.secret());
    let read = |claims: &Value| {
        let header = json!({"typ": ACCESS_TYP, "alg": "HS256", "kid": kid});
        maker.read_access(&forge(&header, claims, &secret, HS256), NOW)
    };
    assert!(read(&claims()).is_ok());
    let later = NOW_S + 900;
    let bad = [
        ("exp", json!(["never", later.to_string(), null, [later], -1, true, 1e10, later as f64 + 0.5, {}, ""])),
        ("nbf", json!(["999", NOW_S.to_string(), null, -5, 0.5, [], false])),
        ("iat", json!(["now", null, NOW_S as f64 + 0.1, {}, -1])),
        ("iss", json!(["https://evil.example", null, [ISSUER], ""])),
        ("aud", json!([[ISSUER], ["other"], "other", null, {}, 1])),
        ("sub", json!([42, "43", null, "042"])),
        ("jti", json!(["short", 1, "3C".repeat(16), null])),
        ("sid", json!(["a5", "g5".repeat(16), "a5".repeat(17), null])),
        ("auth_time", json!(["1", -1, null])),
        ("token_type", json!(["refresh", "Access", null])),
        ("user_id", json!([43, "042", "+42", -42, 42.0, null, [42]])),
        ("phone_number", json!(["989123456789", "+0912345678", 989_123_456_789_u64, null])),
        ("phone_number_verified", json!(["true", 1, null])),
        ("amr", json!(["otp", [1], null])),
        ("client_id", json!([7, null])),
    ];
    for (name, values) in bad {
        for value in values.as_array().unwrap() {
            let mut spoilt = claims();
            spoilt[name] = value.clone();
            assert_eq!(read(&spoilt), Err(TokenError::Invalid), "{name}: {value}");
        }
    }
    for name in claims().as_object().unwrap().keys() {
        let mut spoilt = claims();
        spoilt.as_object_mut().unwrap().remove(name);
        assert_eq!(read(&spoilt), Err(TokenError::Invalid), "without {name}");
    }
    for payload in [json!([]), json!("claims"), json!(null), json!(1)] {
        assert_eq!(read(&payload), Err(TokenError::Invalid), "{payload}");
    }
}
