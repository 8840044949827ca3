//! Checking codes: tries, expiry, single use, where a code is good, the guess budget.

use expect_test::expect;
use otpd::record::{Code, Command, DAY, Label, MINUTE, OnMatch, Outcome, Refusal, SECOND, Target};

use super::{
    script::plays,
    world::{T0, World, door, start},
};

/// v1.md: five tries; the last wrong one and every later check, the right one too (security 18, 32).
#[test]
fn tries_by_id_run_out() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=1s check a wrong → no: wrong, 4 left
        t=1s check a wrong → no: wrong, 3 left
        t=1s check a wrong → no: wrong, 2 left
        t=1s check a wrong → no: wrong, 1 left
        t=1s check a wrong → no: wrong, 0 left
        t=1s check a wrong ⇢ no: exhausted
        t=1s check a right ⇢ no: exhausted
        t=1s read a ⇢ a maxattemptsreached 6 digits till 5m, 0 tries, resend 4× from 30s [sending]
        # By number it has tries of its own.
        t=1s check @v1/login right → approved a new
    "#]]);
}

/// Tries by number are counted apart: a stranger who knows the number does not spend those of the id's holder.
#[test]
fn tries_by_number_are_counted_apart() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=1s 5× check @v1/login wrong → no: wrong, 0 left
        t=1s check @v1/login right ⇢ no: exhausted
        t=1s read a ⇢ a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=1s failures is 5
        t=1s check a wrong → no: wrong, 4 left
        t=1s check a right → approved a new
        t=1s failures is 0
    "#]]);
}

/// Security 5: what has not the form costs no try, by id and by number.
#[test]
fn another_length_costs_nothing() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=1s 9× check a 12345 ⇢ no: format
        t=1s 9× check @v1/login 1234567 ⇢ no: format
        t=1s failures is 0
        t=1s commits is Some(1)
        t=1s check a right → approved a new
    "#]]);
}

/// Security 8, 9: good until the last millisecond of its life, and not a millisecond longer.
#[test]
fn a_code_ends_on_the_millisecond() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=30s start b life=1m → ✉0 issued b pending 6 digits till 1m30s, 5 tries, resend 4× from 1m [sending]
        t=90s-1ms read b ⇢ b pending 6 digits till 1m30s, 5 tries, resend 4× from 1m [sending]
        t=90s check b right ⇢ no: expired
        t=90s check @v1/login right ⇢ no: expired
        t=90s read b ⇢ b expired 6 digits till 1m30s, 5 tries, resend 4× from 1m [sending]
        t=90s cancel b ⇢ no: expired
        t=90s resend b ⇢ no: expired
        t=5m-1ms check a right → approved a new
    "#]]);
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=5m check a right ⇢ no: expired
        t=5m check a wrong ⇢ no: expired
    "#]]);
}

/// Security 10: a code is accepted once, by whichever way it comes the second time.
#[test]
fn a_code_works_once() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=1s check a right → approved a new
        t=1s check a right ⇢ no: already approved
        t=1s check @v1/login right ⇢ no: already approved
        t=1s check a wrong ⇢ no: already approved
        t=1s cancel a ⇢ no: already approved
        t=1s read a ⇢ a approved 6 digits till 5m, 4 tries, resend 4× from 30s [sending]
        t=1s+1d-1ms read a ⇢ a approved 6 digits till 5m, 4 tries, resend 4× from 30s [sending]
        t=1s+1d read a ⇢ no: unknown
        t=1s+1d check a right ⇢ no: unknown
    "#]]);
}

/// Security 13: where a new code supersedes, the old one is never good alongside; `/v1` keeps each for its id.
#[test]
fn superseding_and_several_pending() {
    plays(&expect![[r#"
        t=0 start a four/login → ✉0 issued a pending 4 digits till 2m, 3 tries, resend 2× from 10s [sending]
        t=1s start b four/login → ✉0 issued b pending 4 digits till 2m1s, 3 tries, resend 2× from 11s [sending]
        t=2s check a right ⇢ no: closed
        t=2s check @four/login of:a → no: wrong, 2 left
        t=2s check b right → approved b new
        t=2s read a ⇢ a canceled 4 digits till 2m, 3 tries, resend 2× from 10s [sending]
        t=2m start c → ✉0 issued c pending 6 digits till 7m, 5 tries, resend 4× from 2m30s [sending]
        t=2m30s start d → ✉0 issued d pending 6 digits till 7m30s, 5 tries, resend 4× from 3m [sending]
        t=2m31s check c right → approved c new
        t=2m31s check @v1/login of:c → no: wrong, 4 left
        t=2m31s check d right → approved d new
    "#]]);
}

/// By number only the newest counts; one that its starter takes back does not hide the one before it.
#[test]
fn the_newest_by_number() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=30s start b → ✉0 issued b pending 6 digits till 5m30s, 5 tries, resend 4× from 1m [sending]
        t=31s check @v1/login of:a → no: wrong, 4 left
        t=32s cancel b → b canceled 6 digits till 5m30s, 5 tries, resend 4× from 1m [sending]
        t=32s cancel b ⇢ b canceled 6 digits till 5m30s, 5 tries, resend 4× from 1m [sending]
        t=33s check @v1/login of:b → no: wrong, 4 left
        t=33s check @v1/login of:a → approved a new
        t=33s check @v1/reset 000000 ⇢ no: nothing pending
        t=33s check b right ⇢ no: closed
    "#]]);
}

/// Security 14: a code is good at its own door, purpose, number and challenge, and nowhere else.
#[test]
fn the_cross_matrix() {
    plays(&expect![[r#"
        t=0 start c v1/login → ✉0 issued c pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 start d four/login → ✉0 issued d pending 4 digits till 2m, 3 tries, resend 2× from 10s [sending]
        t=0 start a wide/login → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 start b wide/reset → ✉0 issued b pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 start e wide/login → ✉0 issued e pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        B: start f wide/login → ✉0 issued f pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=1s check a of:b → no: wrong, 4 left
        t=1s check a of:c → no: wrong, 3 left
        t=1s check a of:d ⇢ no: format
        t=1s check a of:e → no: wrong, 2 left
        t=1s check a of:f → no: wrong, 1 left
        t=1s check @wide/reset of:a → no: wrong, 4 left
        t=1s check @wide/login of:a → no: wrong, 4 left
        t=1s check @four/login of:e ⇢ no: format
        t=1s check @none/login of:e ⇢ no: nothing pending
        B: check f of:e → no: wrong, 4 left
        B: check a of:a ⇢ no: unknown
        t=1s check a right → approved a new
        t=1s check b right → approved b new
        t=1s check @wide/login right → approved e new
        B: check f right → approved f new
    "#]]);
}

/// Only codes of `login` and `signup` sign anyone in (v1.md, tokens).
#[test]
fn a_code_for_something_else_signs_nobody_in() {
    plays(&expect![[r#"
        t=0 start a wide/reset → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 start b wide/signup → ✉0 issued b pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 start c wide/login → ✉0 issued c pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=1s check a right session=s1 ⇢ no: not for sign-in
        t=1s check a right → approved a new
        t=1s redeem a s1 ⇢ no: receipt invalid
        t=1s check b right session=s2 → signed in s2 gen 0 user 3 new till 30d1s
        t=1s check c right session=s3 → signed in s3 gen 0 user 3 known till 30d1s
        t=1s redeem c s4 ⇢ no: receipt invalid
    "#]]);
}

/// Security 19, 20; DESIGN 2: from the sixth failure by number on, 30 s doubling to an hour.
#[test]
fn guesses_wait_longer_each_time() {
    plays(&expect![[r#"
        t=0 start a wide/login → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 5× check @wide/login wrong → no: wrong, 0 left
        t=0 start b wide/login → ✉0 issued b pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=1s check @wide/login wrong → no: wrong, 4 left
        t=1s check @wide/login right ⇢ no: delayed until 31s
        t=31s-1ms check @wide/login wrong ⇢ no: delayed until 31s
        t=31s check @wide/login wrong → no: wrong, 3 left
        t=1m31s-1ms check @wide/login right ⇢ no: delayed until 1m31s
        t=1m31s check @wide/login wrong → no: wrong, 2 left
        t=3m31s check @wide/login wrong → no: wrong, 1 left
        t=4m commits is Some(11)
        t=6m start c four/login → ✉0 issued c pending 4 digits till 8m, 3 tries, resend 2× from 6m10s [sending]
        # Another door, another purpose, another dialect: the same budget.
        t=6m check @four/login right ⇢ no: delayed until 7m31s
        t=7m31s check @four/login wrong → no: wrong, 2 left
        t=20m start d wide/reset → ✉0 issued d pending 6 digits till 25m, 5 tries, resend 7× from 20m [sending]
        t=20m check @wide/reset wrong → no: wrong, 4 left
        t=52m start e wide/login → ✉0 issued e pending 6 digits till 57m, 5 tries, resend 7× from 52m [sending]
        t=52m check @wide/login wrong → no: wrong, 4 left
        t=1h51m59s check @wide/login wrong ⇢ no: expired
        t=1h52m start f wide/login → ✉0 issued f pending 6 digits till 1h57m, 5 tries, resend 7× from 1h52m [sending]
        t=1h52m check @wide/login wrong → no: wrong, 4 left
        t=2h52m start g wide/login → ✉0 issued g pending 6 digits till 2h57m, 5 tries, resend 7× from 2h52m [sending]
        t=2h52m check @wide/login wrong → no: wrong, 4 left
        t=2h52m failures is 14
        # By id nobody waits, and that success ends the delay.
        t=2h53m check g right → approved g new
        t=2h53m failures is 0
        t=2h53m start h wide/login → ✉0 issued h pending 6 digits till 2h58m, 5 tries, resend 7× from 2h53m [sending]
        t=2h53m check @wide/login wrong → no: wrong, 4 left
    "#]]);
}

/// NIST 3.2.2: the count ends, and then a success by id or an unlock starts it anew; success by number resets too.
#[test]
fn guesses_stop() {
    plays(&expect![[r#"
        t=0 start a harsh/login → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check @harsh/login wrong → no: wrong, 4 left
        t=0 check @harsh/login wrong → no: wrong, 3 left
        t=1s check @harsh/login wrong → no: wrong, 2 left
        t=3s check @harsh/login wrong → no: wrong, 1 left
        t=7s check @harsh/login wrong → no: wrong, 0 left
        t=7s start b harsh/login → ✉0 issued b pending 6 digits till 5m7s, 5 tries, resend 4× from 37s [sending]
        t=11s check @harsh/login wrong → no: wrong, 4 left
        t=1h start c harsh/login → ✉0 issued c pending 6 digits till 1h5m, 5 tries, resend 4× from 1h30s [sending]
        t=1h check @harsh/login right ⇢ no: stopped until 1d11s
        t=1h check c right → approved c new
        t=1h start d harsh/login → ✉0 issued d pending 6 digits till 1h5m, 5 tries, resend 4× from 1h30s [sending]
        t=1h check @harsh/login wrong → no: wrong, 4 left
        t=1h check @harsh/login right → approved d new
        t=1h failures is 0
        t=2h start e harsh/login → ✉0 issued e pending 6 digits till 2h5m, 5 tries, resend 4× from 2h30s [sending]
        t=2h check @harsh/login wrong → no: wrong, 4 left
        t=2h check @harsh/login wrong → no: wrong, 3 left
        t=2h check @harsh/login right ⇢ no: delayed until 2h1s
        t=2h unlock → done
        t=2h unlock ⇢ done
        t=2h check @harsh/login right → approved e new
    "#]]);
}

/// DESIGN 2: without an account forgotten a day after the last failure; with one, never by itself.
#[test]
fn when_failures_are_forgotten() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 5× check @v1/login wrong → no: wrong, 0 left
        t=30s start b → ✉0 issued b pending 6 digits till 5m30s, 5 tries, resend 4× from 1m [sending]
        t=31s check @v1/login wrong → no: wrong, 4 left
        t=1d start c → ✉0 issued c pending 6 digits till 1d5m, 5 tries, resend 4× from 1d30s [sending]
        t=1d check @v1/login wrong → no: wrong, 4 left
        t=1d failures is 7
        t=2d start d → ✉0 issued d pending 6 digits till 2d5m, 5 tries, resend 4× from 2d30s [sending]
        t=2d check @v1/login wrong → no: wrong, 4 left
        t=2d failures is 1
        B: t=2d start k → ✉0 issued k pending 6 digits till 2d5m, 5 tries, resend 4× from 2d30s [sending]
        B: t=2d check k right session=s → signed in s gen 0 user 1 new till 32d
        B: t=2d start l → ✉0 issued l pending 6 digits till 2d5m, 5 tries, resend 4× from 2d30s [sending]
        B: t=2d 3× check @v1/login wrong → no: wrong, 2 left
        B: t=4d start m → ✉0 issued m pending 6 digits till 4d5m, 5 tries, resend 4× from 4d30s [sending]
        B: t=4d check @v1/login wrong → no: wrong, 4 left
        B: t=4d failures is 4
    "#]]);
}

/// A check with nothing pending, or while delayed, costs nothing and writes nothing.
#[test]
fn nothing_pending_costs_nothing() {
    plays(&expect![[r#"
        t=0 check @v1/login 000000 ⇢ no: nothing pending
        t=0 check a 000000 ⇢ no: unknown
        t=0 cancel a ⇢ no: unknown
        t=0 commits is None
        t=0 failures is 0
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 commits is Some(1)
        t=1s check @v1/signup 000000 ⇢ no: nothing pending
        t=1s commits is Some(1)
    "#]]);
}

/// Security 55: whether a number is known shows only with the right code.
#[test]
fn known_or_new_shows_after_success() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        B: start k → ✉0 issued k pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        B: t=1s check k right → approved k new
        B: t=2s redeem k s → signed in s gen 0 user 1 new till 30d2s
        B: t=2m start l → ✉0 issued l pending 6 digits till 7m, 5 tries, resend 4× from 2m30s [sending]
        t=2m start b → ✉0 issued b pending 6 digits till 7m, 5 tries, resend 4× from 2m30s [sending]
        t=2m check b wrong → no: wrong, 4 left
        B: t=2m check l wrong → no: wrong, 4 left
        t=2m check b right → approved b new
        B: t=2m check l right → approved l known
    "#]]);
}

/// Security 59: a code is good under the key it was made with until that key is removed.
#[test]
fn removed_keys_end_their_codes() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=30s start b keyed code=424242 → ✉0 issued b pending 6 digits till 5m30s, 5 tries, resend 4× from 1m [sending]
        keys 2 1 is done
        t=60s start c → ✉0 issued c pending 6 digits till 6m, 5 tries, resend 4× from 1m30s [sending]
        t=61s check a right → approved a new
        keys 2 is done
        t=62s check b 424242 → no: wrong, 4 left
        t=2m30s resend b keyed code=424242 ⇢ no: chosen code needed
        t=2m30s check c right → approved c new
        t=2m30s start d → ✉0 issued d pending 6 digits till 7m30s, 5 tries, resend 4× from 3m [sending]
        keys 3 is done
        t=3m resend d ⇢ no: closed
        t=3m check d right → no: wrong, 4 left
    "#]]);
}

/// NIST SP 800-63B 3.2.2 with the figures as they ship: a guesser who asks for codes whenever it is let, and guesses
/// whenever it is let, has a hundred guesses, and needs more than three days for them.
#[test]
fn a_hundred_guesses_are_the_end() {
    let mut world = World::new();
    let (v1, at) = (Label::of("v1"), door("v1/login"));
    for turn in 1..10_000 {
        let code = Code::from_digits("000000").unwrap();
        let check =
            Command::Check { target: Target::Newest(at), code, on_match: OnMatch::Approve, session: None, address: 0 };
        let until = match world.decide('A', v1, &check.into()).outcome {
            Outcome::Refused(Refusal::WrongCode { .. }) => continue,
            Outcome::Refused(Refusal::GuessDelayed { until }) => until,
            Outcome::Refused(Refusal::GuessStopped { .. }) => break,
            _ => {
                let mut start = start(turn, at);
                start.sender.keyed = true;
                match world.decide('A', v1, &Command::Start(Box::new(start)).into()).outcome {
                    Outcome::Refused(Refusal::SendLimited { retry_at, .. }) => retry_at,
                    _ => continue,
                }
            }
        };
        world.now = until;
    }
    assert_eq!(world.record('A').failures(), 100);
    assert!(world.now > T0.plus(3 * DAY), "{:?}", world.now);
}

/// A code that ran out is counted once, by the first commit after its end.
#[test]
fn lapses_are_counted_once() {
    let mut world = World::new();
    let v1 = Label::of("v1");
    let begin = |after, nonce, world: &mut World| {
        world.now = T0.plus(after);
        world.decide('A', v1, &Command::Start(Box::new(start(nonce, door("v1/login")))).into()).lapsed
    };
    assert_eq!(begin(0, 1, &mut world), 0);
    assert_eq!(begin(MINUTE, 2, &mut world), 0);
    // A refusal commits nothing, so it counts nothing.
    assert_eq!(begin(6 * MINUTE, 3, &mut world), 2);
    assert_eq!(begin(6 * MINUTE + SECOND, 4, &mut world), 0);
    assert_eq!(begin(11 * MINUTE, 5, &mut world), 1);
    assert_eq!(begin(12 * MINUTE, 6, &mut world), 0);
}
