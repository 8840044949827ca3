//! `Idempotency-Key`: the same outcome again, and nothing happens twice.

use expect_test::expect;

use super::script::plays;

/// v1.md: in flight while sending; then the same answer, showing what the send came to.
#[test]
fn a_retry_gets_the_same_answer() {
    plays(&expect![[r#"
        t=0 start a key=k → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=1s start a key=k ⇢ no: in flight until 30s
        t=2s settle a 0 accepted → done
        t=3s start a key=k ⇢ issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [accepted] (replayed)
        t=4s check a wrong → no: wrong, 4 left
        t=5s start a key=k ⇢ issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [accepted] (replayed)
        t=5s start a key=k body=other ⇢ no: another body
        t=5s start b key=l ⇢ no: cooldown until 30s
        t=6s check a right key=m → approved a new
        t=7s check a right key=m ⇢ approved a new (replayed)
        t=8s redeem a s key=n → signed in s gen 0 user 1 new till 30d8s
        t=9s redeem a s key=n ⇢ signed in s gen 0 user 1 new till 30d8s (replayed)
        t=9s auth s ⇢ alive s opened 8s user 1 name -
        t=1d-1ms start a key=k ⇢ issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [accepted] (replayed)
        t=1d start z key=k body=a → ✉0 issued z pending 6 digits till 1d5m, 5 tries, resend 4× from 1d30s [sending]
    "#]]);
}

/// DESIGN 1: no result within the deadline means that the process ended in between: sent once more, and only once.
#[test]
fn a_lost_send_is_made_once_more() {
    plays(&expect![[r#"
        t=0 start a key=k → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=30s-1ms start a key=k ⇢ no: in flight until 30s
        t=30s start a key=k → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 1m [sending]
        t=31s start a key=k ⇢ no: in flight until 1m
        t=60s start a key=k ⇢ issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending] (replayed)
        t=60s settle a 0 accepted → done
        t=61s start a key=k ⇢ issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [accepted] (replayed)
        t=62s check a right → approved a new
    "#]]);
}

/// A lost send fills no further place in the window, whatever other doors have sent since.
#[test]
fn a_lost_send_is_no_second_send() {
    plays(&expect![[r#"
        t=0 start a key=k → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 5× start b wide/login → ✉0 issued b5 pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=30s start a key=k → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 1m [sending]
        t=30s settle a 0 failed → done
        t=30s start c key=k ⇢ no: window until 2m
        t=2m start c addr=2 key=k → ✉0 issued c pending 6 digits till 7m, 5 tries, resend 4× from 2m30s [sending]
    "#]]);
}

/// A lost resend too; a lost send of a challenge that is over is not made again.
#[test]
fn lost_resends_and_dead_challenges() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 settle a 0 accepted → done
        t=30s resend a key=r → ✉1 issued a pending 6 digits till 5m, 5 tries, resend 3× from 1m30s [accepted sending]
        t=1m resend a key=r → ✉1 issued a pending 6 digits till 5m, 5 tries, resend 3× from 2m [accepted sending]
        t=1m settle a 1 unknown → done
        t=2m resend a key=r ⇢ issued a pending 6 digits till 5m, 5 tries, resend 3× from 1m30s [accepted unknown] (replayed)
        t=2m start b key=s → ✉0 issued b pending 6 digits till 7m, 5 tries, resend 4× from 2m30s [sending]
        t=2m1s cancel b → b canceled 6 digits till 7m, 5 tries, resend 4× from 2m30s [sending]
        t=2m30s start b key=s ⇢ issued b pending 6 digits till 7m, 5 tries, resend 4× from 2m30s [sending] (replayed)
        t=4m start c key=t → ✉0 issued c pending 6 digits till 9m, 5 tries, resend 4× from 4m30s [sending]
        t=9m start c key=t ⇢ issued c pending 6 digits till 9m, 5 tries, resend 4× from 4m30s [sending] (replayed)
    "#]]);
}

/// A chosen code comes with the retry; nothing of it was kept.
#[test]
fn a_lost_send_of_a_chosen_code() {
    plays(&expect![[r#"
        t=0 start a keyed code=424242 key=k → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=30s start a keyed code=424242 key=k → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 1m [sending]
        t=31s check a 424242 → approved a new
    "#]]);
}

/// v1.md: refusals and failed sends are not kept: a retry after one is judged anew.
#[test]
fn refusals_are_not_kept() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=1s start b key=k ⇢ no: cooldown until 30s
        t=30s start b key=k → ✉0 issued b pending 6 digits till 5m30s, 5 tries, resend 4× from 1m [sending]
        t=30s settle b 0 failed → done
        t=31s start c key=k → ✉0 issued c pending 6 digits till 5m31s, 5 tries, resend 4× from 1m1s [sending]
        t=31s check c wrong key=w → no: wrong, 4 left
        t=31s check c wrong key=w → no: wrong, 3 left
        t=31s check c right key=w → approved c new
    "#]]);
}

/// Sixteen answers are kept; the oldest goes.
#[test]
fn sixteen_answers_are_kept() {
    plays(&expect![[r#"
        t=0 start a wide/login key=1 → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 settle a 0 accepted → done
        t=0 check a right session=s key=2 → signed in s gen 0 user 1 new till 30d
        t=0 refresh s 0 key=3 → signed in s gen 1 user 1 known till 30d
        t=0 refresh s 1 key=4 → signed in s gen 2 user 1 known till 30d
        t=0 refresh s 2 key=5 → signed in s gen 3 user 1 known till 30d
        t=0 refresh s 3 key=6 → signed in s gen 4 user 1 known till 30d
        t=0 refresh s 4 key=7 → signed in s gen 5 user 1 known till 30d
        t=0 refresh s 5 key=8 → signed in s gen 6 user 1 known till 30d
        t=0 refresh s 6 key=9 → signed in s gen 7 user 1 known till 30d
        t=0 refresh s 7 key=10 → signed in s gen 8 user 1 known till 30d
        t=0 refresh s 8 key=11 → signed in s gen 9 user 1 known till 30d
        t=0 refresh s 9 key=12 → signed in s gen 10 user 1 known till 30d
        t=0 refresh s 10 key=13 → signed in s gen 11 user 1 known till 30d
        t=0 refresh s 11 key=14 → signed in s gen 12 user 1 known till 30d
        t=0 refresh s 12 key=15 → signed in s gen 13 user 1 known till 30d
        t=0 refresh s 13 key=16 → signed in s gen 14 user 1 known till 30d
        t=0 start a wide/login key=1 ⇢ issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [accepted] (replayed)
        t=0 refresh s 14 key=17 → signed in s gen 15 user 1 known till 30d
        t=0 check a right session=s key=2 ⇢ signed in s gen 0 user 1 new till 30d (replayed)
        t=0 start b wide/login key=1 body=else → ✉0 issued b pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
    "#]]);
}

/// Security 71: a retry signs no tokens for a session that has ended, however it ended.
#[test]
fn a_retry_revives_no_session() {
    plays(&expect![[r#"
        t=0 start a wide/login → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check a right key=c → approved a new
        t=0 redeem a s key=k → signed in s gen 0 user 1 new till 30d
        t=1s redeem a s key=k ⇢ signed in s gen 0 user 1 new till 30d (replayed)
        t=2s end s → done
        t=2s redeem a s key=k ⇢ no: receipt invalid
        t=3s start b wide/login → ✉0 issued b pending 6 digits till 5m3s, 5 tries, resend 7× from 3s [sending]
        t=3s check b right session=r key=l → signed in r gen 0 user 1 known till 30d3s
        t=4s refresh r 0 key=m → signed in r gen 1 user 1 known till 30d3s
        t=60s refresh r 0 → no: refresh reused
        t=60s refresh r 0 key=m ⇢ no: session unknown
        t=60s check b right session=r key=l ⇢ no: already approved
        t=61s start d wide/login → ✉0 issued d pending 6 digits till 6m1s, 5 tries, resend 7× from 1m1s [sending]
        t=61s check d right session=q key=n → signed in q gen 0 user 1 known till 30d1m1s
        t=62s erase q → done
        t=62s check d right session=q key=n ⇢ no: already approved
    "#]]);
}

/// A profile is not among what is kept.
#[test]
fn no_profile_is_kept() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        t=1s patch s name=Ada key=k → alive s opened 0 user 1 name Ada
        t=2s patch s name=Bea → alive s opened 0 user 1 name Bea
        t=3s patch s name=Ada key=k → alive s opened 0 user 1 name Ada
    "#]]);
}
