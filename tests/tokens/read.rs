//! Tokens as we make them: what is accepted, by which reader, and when.

use std::sync::Arc;

use otpd::{
    entropy::OsEntropy,
    record::UnixMillis,
    token::{
        ACCESS_TYP, AccessClaims, Algorithm, Expected, HexId, RECEIPT_LIFE_S, RECEIPT_TYP, REFRESH_TYP, Shape,
        TOKEN_BYTES_MAX, TokenError, TokenFault, TokenMaker, TokenSettings,
    },
};
use serde_json::{Map, json};

use crate::kit::{
    Home, ISSUER, NOW, NOW_S, access, at, claims, forge, grant, part, phone, receipt_grant, refresh_grant,
};

/// security 65, 70: every algorithm signs and reads all three kinds; header and claims are exactly these.
#[test]
fn every_algorithm_round_trips() {
    for algorithm in Algorithm::ALL {
        let home = Home::new(algorithm);
        let maker = home.maker();
        let made = access(&maker);
        let token = made.token.expose();
        assert_eq!(part(token, 0), json!({"typ": ACCESS_TYP, "alg": algorithm.name(), "kid": home.kid()}));
        let mut expected = claims();
        expected["jti"] = json!(made.jti.to_string());
        expected["auth_time"] = json!(NOW_S - 62);
        assert_eq!(part(token, 1), expected);
        assert_eq!((made.issued_at_s, made.expires_at_s, made.expires_in_s()), (NOW_S, NOW_S + 900, 900));
        let read = maker.read_access(token, NOW).unwrap();
        let elsewhere = home.maker().read_access(token, NOW);
        assert_eq!(elsewhere.as_ref(), Ok(&read), "{algorithm}: what is remembered is what the token says");
        assert_eq!((read.user_id, read.phone_number, read.sid, read.jti), (42, phone(), HexId([0xA5; 16]), made.jti));

        let receipt = maker.receipt(&receipt_grant(), NOW).unwrap();
        let read = maker.read_receipt(receipt.token.expose(), NOW).unwrap();
        assert_eq!(home.maker().read_receipt(receipt.token.expose(), NOW).as_ref(), Ok(&read));
        assert_eq!((read.purpose.as_str(), read.phone_number, read.jti), ("login", phone(), HexId([0x3C; 16])));
        assert_eq!((read.iat, read.exp), (NOW_S, NOW_S + RECEIPT_LIFE_S));

        let refresh = maker.refresh_shaped(&refresh_grant(), &Shape::default(), NOW).unwrap();
        let read = maker.read_refresh(refresh.token.expose(), NOW).unwrap();
        assert_eq!((read.sid, read.generation, read.exp), (HexId([0xA5; 16]), 3, NOW_S + 86_400));

        assert!(home.maker().read_access(token, NOW).is_ok(), "{algorithm}: the keys stay over restarts");
        assert_ne!(access(&maker).jti, made.jti, "every token has its own id");
    }
}

/// security 65: no kind is taken for another, whatever its body says.
#[test]
fn kinds_are_not_swapped() {
    let home = Home::new(Algorithm::EdDsa);
    let maker = home.maker();
    let keys = maker.keys();
    let all = [
        (ACCESS_TYP, access(&maker).token),
        (RECEIPT_TYP, maker.receipt(&receipt_grant(), NOW).unwrap().token),
        (REFRESH_TYP, maker.refresh_shaped(&refresh_grant(), &Shape::default(), NOW).unwrap().token),
        ("JWT", keys.sign("JWT", &claims()).unwrap()),
        ("AT+JWT", keys.sign("AT+JWT", &claims()).unwrap()),
        ("application/at+jwt", keys.sign("application/at+jwt", &claims()).unwrap()),
        ("", keys.sign("", &claims()).unwrap()),
    ];
    for (typ, token) in &all {
        let token = token.expose();
        let outcome = |wanted: &str| if *typ == wanted { None } else { Some(TokenError::WrongType) };
        assert_eq!(maker.read_access(token, NOW).err(), outcome(ACCESS_TYP), "{typ} as access");
        assert_eq!(maker.read_receipt(token, NOW).err(), outcome(RECEIPT_TYP), "{typ} as receipt");
        assert_eq!(maker.read_refresh(token, NOW).err(), outcome(REFRESH_TYP), "{typ} as refresh");
    }
    let several = Expected { typ: &["JWT", ACCESS_TYP], issuer: ISSUER, audience: ISSUER, now: NOW, leeway_s: 0 };
    assert_eq!(
        all.iter().filter(|(_, token)| keys.verify::<AccessClaims>(token.expose(), &several).is_ok()).count(),
        2
    );

    // Right kind in the header, another kind's claims: the claims don't fit either.
    let dressed = keys.sign(ACCESS_TYP, &part(all[1].1.expose(), 1)).unwrap();
    assert_eq!(maker.read_access(dressed.expose(), NOW), Err(TokenError::Invalid));
    let dressed = keys.sign(RECEIPT_TYP, &part(all[0].1.expose(), 1)).unwrap();
    assert_eq!(maker.read_receipt(dressed.expose(), NOW), Err(TokenError::Invalid));
}

/// security 65: a token made for another issuer or audience is not ours, even under our key.
#[test]
fn other_issuers_and_audiences_are_refused() {
    let home = Home::new(Algorithm::Hs256);
    let keys = Arc::new(home.keys());
    let maker = |issuer: &str, audience: &str| {
        let settings = TokenSettings { audience: audience.to_owned(), ..TokenSettings::new(issuer) };
        TokenMaker::new(settings, Arc::clone(&keys), Arc::new(OsEntropy))
    };
    let ours = maker("https://a", "https://b");
    let made = access(&ours);
    assert!(ours.read_access(made.token.expose(), NOW).is_ok());
    for other in [maker("https://a", "https://a"), maker("https://b", "https://b"), maker("https://a/", "https://b")] {
        assert_eq!(other.read_access(made.token.expose(), NOW), Err(TokenError::Invalid));
    }
}

/// security 65, 70: `exp` is the first second that is too late, `nbf` the first that is not too early.
#[test]
fn times_hold_to_the_second() {
    let home = Home::new(Algorithm::Hs256);
    let maker = home.maker();
    let made = access(&maker);
    let read = |now: UnixMillis| maker.read_access(made.token.expose(), now).map(|claims| claims.user_id);
    assert_eq!(read(UnixMillis(NOW.0 - 1)), Err(TokenError::Invalid), "a millisecond before nbf");
    assert_eq!(read(NOW), Ok(42));
    assert_eq!(read(UnixMillis(at(NOW_S + 900).0 - 1)), Ok(42), "the last millisecond");
    assert_eq!(read(at(NOW_S + 900)), Err(TokenError::Expired));
    assert_eq!(read(UnixMillis(u64::MAX)), Err(TokenError::Expired));

    let receipt = maker.receipt(&receipt_grant(), NOW).unwrap();
    assert!(maker.read_receipt(receipt.token.expose(), at(NOW_S + 59)).is_ok());
    assert_eq!(maker.read_receipt(receipt.token.expose(), at(NOW_S + 60)), Err(TokenError::Expired));
    assert_eq!(maker.read_receipt(receipt.token.expose(), at(NOW_S - 1)), Err(TokenError::Invalid));

    let lenient = TokenSettings { leeway_s: 5, ..TokenSettings::new(ISSUER) };
    let lenient = TokenMaker::new(lenient, Arc::new(home.keys()), Arc::new(OsEntropy));
    let read = |now: u64| lenient.read_access(made.token.expose(), at(now)).err();
    let around = [read(NOW_S - 6), read(NOW_S - 5), read(NOW_S + 904), read(NOW_S + 905)];
    assert_eq!(around, [Some(TokenError::Invalid), None, None, Some(TokenError::Expired)]);

    // An end of time does not wrap round, and an `iat` ahead of `nbf` counts too.
    let mut odd = claims();
    odd["exp"] = json!(u64::MAX);
    let token = maker.keys().sign(ACCESS_TYP, &odd).unwrap();
    assert!(lenient.read_access(token.expose(), NOW).is_ok());
    odd["iat"] = json!(NOW_S + 1);
    let token = maker.keys().sign(ACCESS_TYP, &odd).unwrap();
    assert_eq!(maker.read_access(token.expose(), NOW), Err(TokenError::Invalid));
}

/// `usr_otp` and its like: another algorithm and life, the original's claims beside ours, good at every door.
#[test]
fn dialect_tokens_are_shaped_and_read_like_any() {
    let home = Home::new(Algorithm::Hs256);
    let maker = home.maker();
    let beside = [("user_id", "42"), ("created_at", "2026-11-20 08:18:21 +0000"), ("type", "access")];
    let beside = beside.map(|(name, value)| (name.to_owned(), json!(value)));
    let shape =
        Shape { algorithm: Some(Algorithm::Hs512), life_s: Some(604_800), beside: Map::from_iter(beside.clone()) };
    let made = maker.access_shaped(&grant(), &shape, NOW).unwrap();
    assert_eq!(part(made.token.expose(), 0)["alg"], "HS512");
    let written = part(made.token.expose(), 1);
    for (name, value) in &beside {
        assert_eq!(written[name], *value);
    }
    // By its maker, who remembers it, and by one who does not.
    let read = |maker: &TokenMaker| maker.read_access(made.token.expose(), NOW).unwrap();
    assert_eq!(read(&maker).user_id, 42);
    assert_eq!(read(&maker), read(&home.maker()));
    assert_eq!(made.expires_in_s(), 604_800);

    for (name, value) in [("exp", json!(9)), ("sid", json!("x")), ("user_id", json!("43")), ("user_id", json!(42))] {
        let shape = Shape { beside: Map::from_iter([(name.to_owned(), value)]), ..Shape::default() };
        let fault = maker.access_shaped(&grant(), &shape, NOW).unwrap_err();
        assert!(matches!(fault, TokenFault::Claims(_)), "{name}");
    }
    let shape = Shape { algorithm: Some(Algorithm::Es256), ..Shape::default() };
    assert_eq!(maker.access_shaped(&grant(), &shape, NOW).unwrap_err(), TokenFault::NoKey(Algorithm::Es256));
}

/// A token at the length limit is read; one above it is neither made nor read.
#[test]
fn token_length_has_one_limit_on_both_sides() {
    let home = Home::new(Algorithm::Hs256);
    let keys = home.keys();
    let expected = Expected { typ: &["JWT"], issuer: ISSUER, audience: ISSUER, now: NOW, leeway_s: 0 };
    let header = json!({"typ": "JWT", "alg": "HS256", "kid": home.kid()});
    let mut longest_read = 0;
    for padding in 5_000..6_500 {
        let mut padded = claims();
        padded["padding"] = json!("x".repeat(padding));
        let forged = forge(&header, &padded, &home.secret(), jsonwebtoken::Algorithm::HS256);
        let read = keys.verify::<AccessClaims>(&forged, &expected);
        match keys.sign("JWT", &padded) {
            Ok(token) => {
                assert!(read.is_ok() && keys.verify::<AccessClaims>(token.expose(), &expected).is_ok());
                longest_read = forged.len();
            }
            Err(fault) => {
                assert_eq!((fault, read), (TokenFault::TooLong, Err(TokenError::Invalid)));
                assert!(forged.len() > TOKEN_BYTES_MAX);
                break;
            }
        }
    }
    // Base64 grows by one or two characters a byte.
    assert!((TOKEN_BYTES_MAX - 1..=TOKEN_BYTES_MAX).contains(&longest_read), "{longest_read}");
}

/// security 118, 120: nothing that can be printed shows a secret, a token, a full number or a path.
#[test]
fn debug_texts_hold_no_secret() {
    let home = Home::new(Algorithm::Hs256);
    let maker = home.maker();
    let made = access(&maker);
    let read = maker.read_access(made.token.expose(), NOW).unwrap();
    let all = format!("{maker:?} {made:?} {read:?} {:?} {:?} {:?}", grant(), home.file(), home.file().list().unwrap());
    assert!(all.contains("token: ***"));
    let secret = home.entry(Algorithm::Hs256)["private"].as_str().unwrap().to_owned();
    let signature = made.token.expose().rsplit_once('.').unwrap().1;
    let path = home.directory.path().to_str().unwrap();
    for hidden in [secret.as_str(), signature, "9123456789", path] {
        assert!(!all.contains(hidden), "{hidden}");
    }
}
