//! Passwords: registering with one, and comparing in two steps with the try counted in the first.
//!
//! `compare c` begins a comparison, `compared c` ends it: wrong, or right with `session=`. What follows `password=`
//! stands for its hash.

use expect_test::expect;
use otpd::record::{Command, DAY, Label, MINUTE, Outcome, Refusal, SignIn};

use super::{
    script::plays,
    world::{T0, World, door},
};

/// dialects.md, `phone_password`: a code gives a grant, the grant registers once with a password, and that signs in.
#[test]
fn registering_and_signing_in() {
    plays(&expect![[r#"
        t=0 who ⇢ nobody
        t=0 compare c0 ⇢ no: no account
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 look g ⇢ no: grant invalid
        t=1s check @pair/registration right grant=g → granted g till 10m1s
        t=1s look g ⇢ done
        t=2s register g s password=secret → signed in s gen 0 user 1 new till 30d2s
        t=2s look g ⇢ no: grant invalid
        t=2s who ⇢ user 1 password
        t=2s auth s ⇢ alive s opened 2s user 1 name -
        t=3s compare c → comparing with secret
        t=3s compared c session=r → signed in r gen 0 user 1 known till 30d3s
        t=3s auth r ⇢ alive r opened 3s user 1 name -
        t=3s compare d → comparing with secret
        t=3s compared d → no: wrong password
        t=3s auth s ⇢ alive s opened 2s user 1 name -
    "#]]);
}

/// The order in which a grant is judged: an account on its way, then the grant, then whether there is an account.
#[test]
fn how_a_grant_is_judged() {
    plays(&expect![[r#"
        t=0 look g ⇢ no: grant invalid
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        B: look g ⇢ no: grant invalid
        t=10m-1ms look g ⇢ done
        t=10m look g ⇢ no: grant invalid
        t=10m commits is Some(2)
        t=10m start b pair/registration → ✉0 issued b pending 4 digits till 20m, 5 tries, resend 7× from 10m [sending]
        t=10m check @pair/registration right grant=h → granted h till 20m
        t=10m start d pair/registration → ✉0 issued d pending 4 digits till 20m, 5 tries, resend 7× from 10m [sending]
        t=10m check @pair/registration right grant=i → granted i till 20m
        t=10m register h s password=secret → signed in s gen 0 user 1 new till 30d10m
        t=10m look h ⇢ no: grant invalid
        t=10m look i ⇢ no: account exists
        t=10m register i r password=other ⇢ no: account exists
        t=11m erase s → done
        t=11m look i ⇢ no: grant invalid
        B: t=0 start k v1/login → ✉0 issued k pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        B: t=0 check k right session=o → signed in o gen 0 user 3 new till 30d
        t=12m start e pair/registration → ✉0 issued e pending 4 digits till 22m, 5 tries, resend 7× from 12m [sending]
        t=12m check @pair/registration right grant=j → granted j till 22m
        t=12m start f v1/phone_change by=B.o → ✉0 issued f pending 6 digits till 17m, 5 tries, resend 4× from 12m30s [sending]
        t=12m check f right by=B.o → claimed from B by f
        t=12m look j ⇢ no: unfinished move B to A
        t=12m register j q password=secret ⇢ no: unfinished move B to A
        t=12m drop-claim B o → done
        t=12m look j ⇢ done
    "#]]);
}

/// Of two that register with one grant at once, one has the account, and her password stands.
#[test]
fn one_grant_makes_one_account() {
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 look g ⇢ done
        t=0 look g ⇢ done
        t=1s register g s password=first → signed in s gen 0 user 1 new till 30d1s
        t=1s register g r password=second ⇢ no: grant invalid
        t=1s who ⇢ user 1 password
        t=1s auth s ⇢ alive s opened 1s user 1 name -
        t=1s auth r ⇢ no: session unknown
        t=1s compare c → comparing with first
    "#]]);
}

/// A retry with the same key gets the same session; no password is kept with the answer.
#[test]
fn a_retry_registers_once() {
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=1s register g s password=first key=k → signed in s gen 0 user 1 new till 30d1s
        t=1s register g s password=first key=k ⇢ signed in s gen 0 user 1 new till 30d1s (replayed)
        t=1s compare c → comparing with first
    "#]]);
}

/// Security 11, 12: the try is counted before anything is compared; each of an address's three, right or wrong.
#[test]
fn a_try_is_counted_first() {
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=1s commits is Some(3)
        t=1s compare c → comparing with secret
        t=1s commits is Some(4)
        t=1s compare d → comparing with secret
        t=1s compare e → comparing with secret
        t=1s compare f ⇢ no: busy
        t=1s compare f addr=2 → comparing with secret
        t=1s commits is Some(7)
        t=2s compared c → no: wrong password
        t=2s compare f ⇢ no: busy
        t=2s compared d → no: wrong password
        t=2s compare f ⇢ no: busy
        t=2s compared e session=r → signed in r gen 0 user 1 known till 30d2s
        t=2s compare f → comparing with secret
        t=2s compared c session=r2 ⇢ no: wrong password
        t=2s compared nobody session=r2 ⇢ no: wrong password
    "#]]);
}

/// dialects.md: three wrong passwords block that address for an hour, and a right one is refused then. A stranger's block
/// is not the owner's (security 21).
#[test]
fn three_strikes_block_the_address() {
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=1s compare c addr=2 → comparing with secret
        t=1s compared c → no: wrong password
        t=2s compare c addr=2 → comparing with secret
        t=2s compared c → no: wrong password
        t=3s compare c addr=2 → comparing with secret
        t=3s compared c → no: wrong password, blocked until 1h3s
        t=3s commits is Some(9)
        t=4s compare c addr=2 ⇢ no: blocked until 1h3s
        t=4s compare d addr=1 → comparing with secret
        t=4s compared d session=r → signed in r gen 0 user 1 known till 30d4s
        t=4s commits is Some(11)
        t=1h3s-1ms compare c addr=2 ⇢ no: blocked until 1h3s
        t=1h3s compare c addr=2 → comparing with secret
        t=1h3s compared c → no: wrong password
        t=1h3s compare c addr=2 → comparing with secret
        t=1h3s compared c session=r2 → signed in r2 gen 0 user 1 known till 30d1h3s
    "#]]);
}

/// A success clears the count of its address; wrong ones are forgotten an hour after the last.
#[test]
fn success_clears_the_strikes() {
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=1s compare c → comparing with secret
        t=1s compared c → no: wrong password
        t=1s compare c → comparing with secret
        t=1s compared c → no: wrong password
        t=1s compare c → comparing with secret
        t=1s compared c session=r → signed in r gen 0 user 1 known till 30d1s
        t=1s compare c → comparing with secret
        t=1s compared c → no: wrong password
        t=1s compare c → comparing with secret
        t=1s compared c → no: wrong password
        t=1h1s compare c → comparing with secret
        t=1h1s compared c → no: wrong password
        t=1h1s compare c → comparing with secret
        t=1h1s compared c → no: wrong password
    "#]]);
}

/// Security 19, 20: wrong passwords of all addresses share a count of the number's, with the same growing delay, and it
/// ends at the last.
#[test]
fn the_number_counts_too() {
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=1s compare c via=harsh addr=1 → comparing with secret
        t=1s compared c via=harsh → no: wrong password
        t=1s compare c via=harsh addr=2 → comparing with secret
        t=1s compared c via=harsh → no: wrong password
        t=1s compare c via=harsh addr=3 ⇢ no: delayed until 2s
        t=2s-1ms compare c via=harsh addr=4 ⇢ no: delayed until 2s
        t=2s compare c via=harsh addr=4 → comparing with secret
        t=2s compared c via=harsh → no: wrong password
        t=4s compare c via=harsh → comparing with secret
        t=8s-1ms compare d via=harsh ⇢ no: delayed until 8s
        t=8s compare d via=harsh → comparing with secret
        t=12s compare e via=harsh → comparing with secret
        t=1d compare f via=harsh ⇢ no: stopped until 2d
        t=9d compare f via=harsh ⇢ no: stopped until 10d
        # Codes have a count of their own.
        t=9d failures is 0
        t=9d start b harsh/login → ✉0 issued b pending 6 digits till 9d5m, 5 tries, resend 4× from 9d30s [sending]
        t=9d check @harsh/login right → approved b known
        t=9d compare f via=harsh ⇢ no: stopped until 10d
        t=9d start b2 harsh/login → ✉0 issued b2 pending 6 digits till 9d5m, 5 tries, resend 4× from 9d30s [sending]
        t=9d check b2 right → approved b2 known
        t=9d compare f via=harsh → comparing with secret
    "#]]);
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=1s 2× compare c via=harsh → comparing with secret
        t=1s compare d via=harsh ⇢ no: delayed until 2s
        t=1s unlock → done
        t=1s compare d via=harsh → comparing with secret
        t=1s compared d via=harsh session=r → signed in r gen 0 user 1 known till 30d1s
        t=1s compare e via=harsh → comparing with secret
        t=1s compared c via=harsh → no: wrong password
    "#]]);
}

/// An unlock clears blocks, counts and delays; what is being compared goes on.
#[test]
fn an_unlock_clears_all() {
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=1s compare c → comparing with secret
        t=1s compared c → no: wrong password
        t=1s compare c → comparing with secret
        t=1s compared c → no: wrong password
        t=1s compare c → comparing with secret
        t=1s compared c → no: wrong password, blocked until 1h1s
        t=1s compare d addr=2 → comparing with secret
        t=1s compare e ⇢ no: blocked until 1h1s
        t=2s unlock → done
        t=2s unlock ⇢ done
        t=2s compare e → comparing with secret
        t=2s compared e → no: wrong password
        t=2s compared d session=r → signed in r gen 0 user 1 known till 30d2s
        t=2s commits is Some(14)
    "#]]);
}

/// A number without an account, and one without a password, are compared like any other; nobody gets in.
#[test]
fn nothing_to_compare_with() {
    plays(&expect![[r#"
        t=0 compare c ⇢ no: no account
        t=0 commits is None
        t=0 compare c hide → comparing with any
        t=0 compared c → no: wrong password
        t=0 compare c hide → comparing with any
        t=0 compared c session=r → no: wrong password
        t=0 compare c hide → comparing with any
        t=0 compared c → no: wrong password, blocked until 1h
        t=0 compare c hide ⇢ no: blocked until 1h
        t=0 user is None
        t=0 forgotten is 1d
    "#]]);
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        t=1s who ⇢ user 1 no password
        t=1s compare c → comparing with any
        t=1s compared c session=r → no: wrong password
        t=1s auth r ⇢ no: session unknown
    "#]]);
}

/// Security 77: a hash of older figures is replaced with the sign-in that it allowed, and by nothing else.
#[test]
fn a_renewed_hash() {
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=1s compare c → comparing with secret
        t=1s compared c renewed=forged → no: wrong password
        t=1s compare c → comparing with secret
        t=1s compared c session=r renewed=secret2 → signed in r gen 0 user 1 known till 30d1s
        t=1s compare d → comparing with secret2
    "#]]);
}

/// NIST SP 800-63B 3.2.2 with the figures as they ship: whoever tries passwords from as many addresses as it likes,
/// whenever it is let, and lets a part of them get lost, has a hundred tries and needs more than three days for them.
#[test]
fn a_hundred_passwords_are_the_end() {
    let mut world = World::new();
    let (pair, door) = (Label::of("pair"), door("pair/password"));
    let mut compared = 0_u64;
    for turn in 1..10_000_u64 {
        let begin = Command::BeginPassword { nonce: turn, address: turn / 2, reveal: false };
        let until = match world.decide('A', pair, &begin.into()).outcome {
            Outcome::Comparing(_) => {
                compared += 1;
                let sign_in = SignIn { session: turn, user_id: turn, client: Label::of("otpd") };
                let right = turn.is_multiple_of(2).then_some(sign_in);
                if !turn.is_multiple_of(5) {
                    let end = Command::EndPassword { nonce: turn, door, right, renewed: None };
                    let outcome = world.decide('A', pair, &end.into()).outcome;
                    assert!(matches!(outcome, Outcome::Refused(Refusal::WrongPassword { .. })));
                }
                continue;
            }
            Outcome::Refused(Refusal::GuessDelayed { until }) => until,
            Outcome::Refused(Refusal::AddressBlocked { .. }) => continue,
            Outcome::Refused(Refusal::PasswordBusy) => world.now.plus(MINUTE),
            outcome => {
                assert!(matches!(outcome, Outcome::Refused(Refusal::GuessStopped { .. })), "{outcome:?}");
                break;
            }
        };
        world.now = until;
    }
    assert_eq!(compared, 100);
    assert!(world.now > T0.plus(3 * DAY), "{:?}", world.now);
}
