//! Derived codes, sealed ids, refresh tokens, and what may never show.

use otpd::record::{
    Code, Command, Door, IdKind, Keyring, PhoneNumber, Record, Request, Rules, SealedId, Start, decide,
};

use super::{
    script::login,
    world::{T0, door, phone, policy, ring, start},
};

/// The code that a start with this nonce sends.
fn code(keys: &Keyring, phone: PhoneNumber, nonce: u64, door: Door, digits: u8) -> String {
    let start = Start { digits: Some(digits), ..start(nonce, door) };
    let request = Request::from(Command::Start(Box::new(start)));
    let policy = policy(door.dialect);
    let decision = decide(Rules { policy: &policy, keys }, &Record::new(phone), &request, T0);
    decision.draft.unwrap().code.reveal().to_owned()
}

/// Numbers that look random and are the same in every run (SplitMix64).
fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Security 1: every digit position is uniform. Chi-square with 9 degrees of freedom; the bound is passed by chance
/// once in 10^6, and the codes are the same in every run.
#[test]
fn codes_are_uniform() {
    const SAMPLES: u64 = 50_000;
    let keys = ring(1, &[]);
    for digits in [4_u8, 6, 8, 10] {
        let mut counts = vec![[0_u32; 10]; usize::from(digits)];
        for sample in 0..SAMPLES {
            let code = code(&keys, phone('A'), mix(sample), login(), digits);
            assert_eq!(code.len(), usize::from(digits));
            for (place, digit) in code.bytes().enumerate() {
                counts[place][usize::from(digit - b'0')] += 1;
            }
        }
        let expected = f64::from(u32::try_from(SAMPLES).unwrap()) / 10.0;
        for (place, counts) in counts.iter().enumerate() {
            let chi: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
            assert!(chi < 46.0, "{digits} digits, place {place}: chi-square {chi}");
        }
    }
}

/// Security 2: a leading zero is a digit like any other, to the draft and back.
#[test]
fn leading_zeros_survive() {
    let keys = ring(1, &[]);
    let zeros = (0..2_000).map(mix).filter(|nonce| code(&keys, phone('A'), *nonce, login(), 6).starts_with('0'));
    let zeros: Vec<u64> = zeros.collect();
    assert!(zeros.len() > 100, "{} of 2000", zeros.len());
    for nonce in zeros {
        let sent = code(&keys, phone('A'), nonce, login(), 6);
        let (whole, short) = (Code::from_digits(&sent).unwrap(), Code::from_digits(sent.trim_start_matches('0')));
        assert_eq!(whole.digits(), 6);
        assert!(whole.matches(&Code::from_digits(&sent).unwrap()));
        assert!(short.is_none_or(|short| !whole.matches(&short)));
    }
}

/// Security 4, 14: the code hangs on key, number, nonce, dialect and purpose, and on no clock.
#[test]
fn codes_hang_on_all_they_are_bound_to() {
    let keys = ring(1, &[]);
    let of = |keys: &Keyring, number: char, nonce: u64, at: &str| code(keys, phone(number), nonce, door(at), 10);
    let own = of(&keys, 'A', 7, "v1/login");
    assert_eq!(own, of(&keys, 'A', 7, "v1/login"));
    let others = [
        of(&ring(2, &[]), 'A', 7, "v1/login"),
        of(&keys, 'B', 7, "v1/login"),
        of(&keys, 'A', 8, "v1/login"),
        of(&keys, 'A', 7, "v2/login"),
        of(&keys, 'A', 7, "v1/signup"),
        // The same letters, split elsewhere.
        of(&keys, 'A', 7, "v/1login"),
        of(&keys, 'A', 7, "v1l/ogin"),
    ];
    let mut all = others.to_vec();
    all.push(own);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 8);
    // A shorter code is no cut of a longer one's head that would give digits away.
    let starts_alike = (0..1_000).map(mix).filter(|nonce| {
        let ten = code(&keys, phone('A'), *nonce, login(), 10);
        ten.starts_with(&code(&keys, phone('A'), *nonce, login(), 4))
    });
    assert!(starts_alike.count() < 5);
}

/// Only 1 to 10 ASCII digits are a code.
#[test]
fn what_is_a_code() {
    for text in ["", "12345678901", "12 34", "-123", "+123", "1e5", "۱۲۳۴", "１２３４", "12\n34", "0x12"] {
        assert!(Code::from_digits(text).is_none(), "{text:?}");
    }
    for text in ["0", "0000", "1234567890"] {
        assert_eq!(Code::from_digits(text).unwrap().reveal(), text);
    }
}

const KINDS: [IdKind; 3] = [IdKind::Verification, IdKind::Grant, IdKind::Session];

/// DESIGN 2: an id opens to its number and nonce, as its own kind alone, with a ring that has its key.
#[test]
fn ids_open_as_their_own_kind() {
    let (keys, rotated, gone) = (ring(1, &[]), ring(2, &[1]), ring(2, &[]));
    let largest = PhoneNumber::try_from(999_999_999_999_999).unwrap();
    for (number, nonce) in [(phone('A'), 0), (phone('B'), u64::MAX), (largest, 1), (largest, 1 << 63)] {
        for kind in KINDS {
            let id = keys.seal(1, kind, number, nonce);
            assert_eq!(SealedId::from_hex(&id.to_hex()), Some(id));
            for ring in [&keys, &rotated] {
                let opened = ring.open(kind, id).unwrap();
                assert_eq!((opened.phone, opened.nonce), (number, nonce));
            }
            assert_eq!(gone.open(kind, id), None);
            for other in KINDS.into_iter().filter(|other| *other != kind) {
                assert_eq!(keys.open(other, id), None);
            }
            assert!(!id.to_hex().contains(&number.as_u64().to_string()));
            assert_ne!(rotated.seal(2, kind, number, nonce), id);
        }
    }
}

/// A made-up id gets past the zeros once in 16,384, as often as chance has it.
#[test]
fn made_up_ids_do_not_open() {
    let keys = ring(1, &[]);
    let blocks = (0..100_000_u64).map(|block| {
        let halves = [mix(2 * block).to_be_bytes(), mix(2 * block + 1).to_be_bytes()];
        SealedId(halves.concat().try_into().unwrap())
    });
    let opened = blocks.filter(|block| keys.open(IdKind::Verification, *block).is_some()).count();
    assert!((0..=17).contains(&opened), "{opened} of 100,000 opened; 5.4 are expected");
    let real = keys.seal(1, IdKind::Session, phone('A'), 42);
    for bit in 0..128 {
        let turned = SealedId((u128::from_be_bytes(real.0) ^ 1 << bit).to_be_bytes());
        assert!(keys.open(IdKind::Session, turned).is_none_or(|opened| opened.nonce != 42));
    }
}

/// Only 32 lower-case hexadecimal digits are an id.
#[test]
fn what_is_an_id() {
    let good = "00112233445566778899aabbccddeeff";
    assert!(SealedId::from_hex(good).is_some());
    let upper = good.to_uppercase();
    for text in [&good[1..], &upper, "+0112233445566778899aabbccddeeff", "", "0x112233445566778899aabbccddeeff"] {
        assert_eq!(SealedId::from_hex(text), None, "{text}");
    }
}

/// Security 62: a refresh token opens to its session and generation; with any bit changed, or cut, it does not.
#[test]
fn refresh_tokens_cannot_be_made_up() {
    let keys = ring(1, &[]);
    let token = keys.refresh_token(1, phone('A'), 42, 7);
    let (opened, generation) = keys.open_refresh(&token).unwrap();
    assert_eq!((opened.phone, opened.nonce, generation), (phone('A'), 42, 7));
    assert_eq!(ring(2, &[1]).open_refresh(&token).map(|(_, generation)| generation), Some(7));
    assert!(ring(2, &[]).open_refresh(&token).is_none());
    for bit in 0..token.len() * 8 {
        let mut turned = token;
        turned[bit / 8] ^= 1 << (bit % 8);
        assert!(keys.open_refresh(&turned).is_none(), "bit {bit}");
    }
    for length in 0..token.len() {
        assert!(keys.open_refresh(&token[..length]).is_none());
    }
    assert!(keys.open_refresh(&[token.as_slice(), &[0]].concat()).is_none());
    // The same session's next token shares nothing that would help to make it.
    let next = keys.refresh_token(1, phone('A'), 42, 8);
    assert_ne!(token[20..], next[20..]);
}

/// Digests for comparing: their parts do not run together, and a new key does not change them.
#[test]
fn tags_keep_their_parts_apart() {
    let keys = ring(1, &[]);
    let tag = |keys: &Keyring, parts: &[&[u8]]| keys.tag("address", parts);
    assert_ne!(tag(&keys, &[b"ab", b"c"]), tag(&keys, &[b"a", b"bc"]));
    assert_ne!(tag(&keys, &[b"a"]), keys.tag("body", &[b"a"]));
    assert_eq!(tag(&keys, &[b"a"]), tag(&ring(2, &[1]), &[b"a"]));
    assert_ne!(tag(&keys, &[b"a"]), tag(&ring(2, &[]), &[b"a"]));
}

/// Security 118, 119, 120: no `Debug` of the core shows a code, a whole number or a key.
#[test]
fn debug_shows_no_secret() {
    let keys = ring(1, &[]);
    let policy = policy(door("v1/login").dialect);
    let rules = Rules { policy: &policy, keys: &keys };
    let chosen = Code::from_digits("9081726354").unwrap();
    let shown = |value: &dyn std::fmt::Debug| format!("{value:?} {value:#?}");
    for chosen in [None, Some(chosen)] {
        let start = Start { digits: Some(10), chosen, ..start(7, login()) };
        let request = Request::from(Command::Start(Box::new(start)));
        let decision = decide(rules, &Record::new(phone('A')), &request, T0);
        let sent = decision.draft.as_ref().unwrap().code.reveal().to_owned();
        let check = Command::Check {
            target: otpd::record::Target::Id(7),
            code: Code::from_digits(&sent).unwrap(),
            on_match: otpd::record::OnMatch::Approve,
            session: None,
            address: 0,
        };
        let next = decision.next.as_ref().unwrap();
        let checked = decide(rules, next, &Request::from(check.clone()), T0);
        let all = [
            shown(&decision),
            shown(&decision.draft),
            shown(&decision.draft.as_ref().unwrap().code),
            shown(next),
            shown(&request),
            shown(&check),
            shown(&checked),
            shown(&keys),
            shown(&rules),
            shown(&keys.seal(1, IdKind::Session, phone('A'), 7)),
            shown(&phone('A')),
            format!("{}", phone('A')),
        ];
        for text in all {
            assert!(!text.contains(&sent), "a code shows");
            assert!(!text.contains(&phone('A').as_u64().to_string()), "a number shows: {text}");
            assert!(!text.contains("1, 1, 1, 1"), "a key shows");
        }
    }
}
