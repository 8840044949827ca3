//! Asking for codes: cooldown, windows, resends, who pays for a failed send.

use expect_test::expect;

use super::script::plays;

/// v1.md: a start within 30 s of the number's last send, by whatever door, sends nothing; a success lifts it.
#[test]
fn a_cooldown_follows_every_send_and_a_success_lifts_it() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=30s-1ms start b ⇢ no: cooldown until 30s
        t=30s-1ms start b v1/reset ⇢ no: cooldown until 30s
        t=30s start b → ✉0 issued b pending 6 digits till 5m30s, 5 tries, resend 4× from 1m [sending]
        t=30s+1ms check b right → approved b new
        t=30s+1ms start c → ✉0 issued c pending 6 digits till 5m30s1ms, 5 tries, resend 4× from 1m1ms [sending]
        t=30s+1ms start d ⇢ no: cooldown until 1m1ms
        t=1m start d ⇢ no: cooldown until 1m1ms
    "#]]);
}

/// A success lifts the cooldown of what was sent before it, in the same millisecond too, and of nothing after.
#[test]
fn a_lifted_cooldown_is_lifted_once() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=1s check a right → approved a new
        t=1s start b → ✉0 issued b pending 6 digits till 5m1s, 5 tries, resend 4× from 31s [sending]
        t=1s start c ⇢ no: cooldown until 31s
        t=1s settle b 0 failed → done
        t=1s start c → ✉0 issued c pending 6 digits till 5m1s, 5 tries, resend 4× from 31s [sending]
        t=1s start d ⇢ no: cooldown until 31s
    "#]]);
}

/// v1.md: 3 sends per number in 120 s, all dialects counted; security 30.
#[test]
fn all_doors_share_one_window() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=30s start b four/login → ✉0 issued b pending 4 digits till 2m30s, 3 tries, resend 2× from 40s [sending]
        t=30s start c four/login → ✉0 issued c pending 4 digits till 2m30s, 3 tries, resend 2× from 40s [sending]
        t=30s start d four/login ⇢ no: window until 2m
        t=1m start d ⇢ no: window until 2m
        t=2m-1ms start d ⇢ no: window until 2m
        t=2m start d → ✉0 issued d pending 6 digits till 7m, 5 tries, resend 4× from 2m30s [sending]
        t=2m start e four/login ⇢ no: window until 2m30s
        t=2m30s-1ms start e four/login ⇢ no: window until 2m30s
        t=2m30s start e four/login → ✉0 issued e pending 4 digits till 4m30s, 3 tries, resend 2× from 2m40s [sending]
        t=2m30s start f four/login ⇢ no: address until 1d
    "#]]);
}

/// A door with a wider window of its own is not held by the narrower one, and the other way round.
#[test]
fn each_door_holds_its_own_limit_against_the_whole_list() {
    plays(&expect![[r#"
        t=0 5× start a wide/login → ✉0 issued a5 pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=30s start b v1/login ⇢ no: window until 2m
        t=30s start c wide/login → ✉0 issued c pending 6 digits till 5m30s, 5 tries, resend 7× from 30s [sending]
        t=2m start b v1/login ⇢ no: address until 1d
    "#]]);
}

/// v1.md: 10 sends a day, resends counted; keyed callers are not bound by the address's half.
#[test]
fn ten_sends_a_day() {
    plays(&expect![[r#"
        t=0 start a keyed → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=1m start b keyed → ✉0 issued b pending 6 digits till 6m, 5 tries, resend 4× from 1m30s [sending]
        t=1m30s resend b keyed → ✉1 issued b pending 6 digits till 6m, 5 tries, resend 3× from 2m30s [sending sending]
        t=3m start d keyed → ✉0 issued d pending 6 digits till 8m, 5 tries, resend 4× from 3m30s [sending]
        t=4m start e keyed → ✉0 issued e pending 6 digits till 9m, 5 tries, resend 4× from 4m30s [sending]
        t=5m start f keyed → ✉0 issued f pending 6 digits till 10m, 5 tries, resend 4× from 5m30s [sending]
        t=6m start g keyed → ✉0 issued g pending 6 digits till 11m, 5 tries, resend 4× from 6m30s [sending]
        t=7m start h keyed → ✉0 issued h pending 6 digits till 12m, 5 tries, resend 4× from 7m30s [sending]
        t=8m start i keyed → ✉0 issued i pending 6 digits till 13m, 5 tries, resend 4× from 8m30s [sending]
        t=9m start j keyed → ✉0 issued j pending 6 digits till 14m, 5 tries, resend 4× from 9m30s [sending]
        t=10m start k keyed ⇢ no: day until 1d
        t=11m resend j keyed ⇢ no: day until 1d
        t=1d-1ms start k keyed ⇢ no: day until 1d
        t=1d start k keyed → ✉0 issued k pending 6 digits till 1d5m, 5 tries, resend 4× from 1d30s [sending]
        t=1d+30s start l keyed ⇢ no: day until 1d1m
        t=1d+1m start l keyed → ✉0 issued l pending 6 digits till 1d6m, 5 tries, resend 4× from 1d1m30s [sending]
    "#]]);
}

/// v1.md: at most half of the day's sends from one address, keyed callers aside.
#[test]
fn an_address_has_half_of_the_day() {
    plays(&expect![[r#"
        t=0 start a addr=1 → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=2m start b addr=1 → ✉0 issued b pending 6 digits till 7m, 5 tries, resend 4× from 2m30s [sending]
        t=4m start c addr=1 → ✉0 issued c pending 6 digits till 9m, 5 tries, resend 4× from 4m30s [sending]
        t=6m start d addr=1 → ✉0 issued d pending 6 digits till 11m, 5 tries, resend 4× from 6m30s [sending]
        t=7m resend d addr=1 → ✉1 issued d pending 6 digits till 11m, 5 tries, resend 3× from 8m [sending sending]
        t=8m start e addr=1 ⇢ no: address until 1d
        t=8m resend d addr=1 ⇢ no: address until 1d
        t=8m start e addr=2 → ✉0 issued e pending 6 digits till 13m, 5 tries, resend 4× from 8m30s [sending]
        t=10m start f addr=1 keyed → ✉0 issued f pending 6 digits till 15m, 5 tries, resend 4× from 10m30s [sending]
        t=1d start g addr=1 ⇢ no: address until 1d2m
    "#]]);
}

/// v1.md: resends 30, 60, 120, 120 s after the send before; the code stays, and so does its end (security 41).
#[test]
fn resends_wait_longer_each_time() {
    plays(&expect![[r#"
        t=0 start a life=10m → ✉0 issued a pending 6 digits till 10m, 5 tries, resend 4× from 30s [sending]
        t=30s-1ms resend a ⇢ no: cooldown until 30s
        t=30s resend a → ✉1 issued a pending 6 digits till 10m, 5 tries, resend 3× from 1m30s [sending sending]
        t=1m30s-1ms resend a ⇢ no: cooldown until 1m30s
        t=1m30s resend a → ✉2 issued a pending 6 digits till 10m, 5 tries, resend 2× from 3m30s [sending sending sending]
        t=3m30s-1ms resend a ⇢ no: cooldown until 3m30s
        t=3m30s resend a → ✉3 issued a pending 6 digits till 10m, 5 tries, resend 1× from 5m30s [sending sending sending sending]
        t=5m30s resend a addr=2 → ✉4 issued a pending 6 digits till 10m, 5 tries, resend 0× from 7m30s [sending sending sending sending sending]
        t=8m resend a addr=2 ⇢ no: resends until 10m
        t=9m check a right → approved a new
        t=9m resend a addr=2 ⇢ no: already approved
        read nobody ⇢ no: unknown
        resend nobody ⇢ no: unknown
    "#]]);
}

/// A resend also waits for the number's cooldown after another challenge, and its window.
#[test]
fn a_resend_is_a_send_like_any_other() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=40s start b → ✉0 issued b pending 6 digits till 5m40s, 5 tries, resend 4× from 1m10s [sending]
        t=41s resend a ⇢ no: cooldown until 1m10s
        t=1m10s-1ms resend a ⇢ no: cooldown until 1m10s
        t=1m10s resend a → ✉1 issued a pending 6 digits till 5m, 5 tries, resend 3× from 2m10s [sending sending]
        t=1m50s resend b ⇢ no: window until 2m
        t=2m resend b → ✉1 issued b pending 6 digits till 5m40s, 5 tries, resend 3× from 3m [sending sending]
    "#]]);
}

/// DESIGN 1, security 17: a certain failure gives window and cooldown back and ends the challenge.
#[test]
fn a_failed_send_is_given_back() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=1s settle a 0 failed → done
        t=1s read a ⇢ a failed 6 digits till 5m, 5 tries, resend 4× from 30s [failed]
        t=1s check a right ⇢ no: closed
        t=1s resend a ⇢ no: closed
        t=1s cancel a ⇢ no: closed
        t=1s start b → ✉0 issued b pending 6 digits till 5m1s, 5 tries, resend 4× from 31s [sending]
        t=31s start c → ✉0 issued c pending 6 digits till 5m31s, 5 tries, resend 4× from 1m1s [sending]
        t=61s start d → ✉0 issued d pending 6 digits till 6m1s, 5 tries, resend 4× from 1m31s [sending]
        t=62s settle d 0 failed → done
        t=62s settle d 0 failed ⇢ done
        t=62s settle d 0 accepted ⇢ done
        t=62s settle d 1 failed ⇢ done
        t=62s start e → ✉0 issued e pending 6 digits till 6m2s, 5 tries, resend 4× from 1m32s [sending]
        t=92s start f ⇢ no: window until 2m1s
    "#]]);
}

/// The fault is the number's: the send stays spent, or a dead number would be free to hammer with.
#[test]
fn a_dead_number_pays_for_its_failures() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=1s settle a 0 dead → done
        t=1s read a ⇢ a failed 6 digits till 5m, 5 tries, resend 4× from 30s [failed]
        t=2s start b ⇢ no: cooldown until 30s
        t=30s start b → ✉0 issued b pending 6 digits till 5m30s, 5 tries, resend 4× from 1m [sending]
        t=30s settle b 0 dead → done
        t=60s start c → ✉0 issued c pending 6 digits till 6m, 5 tries, resend 4× from 1m30s [sending]
        t=60s settle c 0 dead → done
        t=90s start d ⇢ no: window until 2m
    "#]]);
}

/// An unknown outcome keeps challenge, window and cooldown; and a good one does.
#[test]
fn an_unknown_outcome_keeps_everything() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=5s settle a 0 unknown → done
        t=5s start b ⇢ no: cooldown until 30s
        t=6s check a wrong → no: wrong, 4 left
        t=7s check a right → approved a new
        t=8s start b → ✉0 issued b pending 6 digits till 5m8s, 5 tries, resend 4× from 38s [sending]
        t=8s settle b 0 accepted → done
        t=8s read b ⇢ b pending 6 digits till 5m8s, 5 tries, resend 4× from 38s [accepted]
    "#]]);
}

/// A failed resend is given back, and the first send keeps the challenge alive.
#[test]
fn a_failed_resend_leaves_the_challenge() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=1s settle a 0 accepted → done
        t=30s resend a → ✉1 issued a pending 6 digits till 5m, 5 tries, resend 3× from 1m30s [accepted sending]
        t=31s settle a 1 failed → done
        t=31s read a ⇢ a pending 6 digits till 5m, 5 tries, resend 4× from 30s [accepted failed]
        t=31s resend a → ✉2 issued a pending 6 digits till 5m, 5 tries, resend 3× from 1m31s [accepted failed sending]
        t=32s check a right → approved a new
        t=32s settle a 2 failed → done
        t=32s read a ⇢ a approved 6 digits till 5m, 4 tries, resend 4× from 30s [accepted failed failed]
    "#]]);
}

/// Only a send that arrived too late to matter: settling what is unknown changes nothing.
#[test]
fn a_result_of_nothing_is_nothing() {
    plays(&expect![[r#"
        t=0 settle a 0 failed ⇢ done
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 settle a 7 failed ⇢ done
        t=1d+5m start b → ✉0 issued b pending 6 digits till 1d10m, 5 tries, resend 4× from 1d5m30s [sending]
        t=1d+5m settle a 0 failed ⇢ done
    "#]]);
}

/// v1.md: `code_length` and `custom_code`; a chosen code is only ever a digest, so a resend needs it once more.
#[test]
fn chosen_codes() {
    plays(&expect![[r#"
        t=0 start a keyed code=000123 → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=1s check a 123 ⇢ no: format
        t=1s check a 000124 → no: wrong, 4 left
        t=30s resend a keyed ⇢ no: chosen code needed
        t=30s resend a keyed code=000124 ⇢ no: chosen code needed
        t=30s resend a keyed code=000123 → ✉1 issued a pending 6 digits till 5m, 4 tries, resend 3× from 1m30s [sending sending]
        t=31s check a 000123 → approved a new
        t=31s start b keyed digits=8 → ✉0 issued b pending 8 digits till 5m31s, 5 tries, resend 4× from 1m1s [sending]
        t=32s check b 000123 ⇢ no: format
        t=32s check b right → approved b new
        t=33s start c keyed code=9999 digits=8 life=1m ⇢ no: window until 2m
        t=34s check @v1/login 9999 ⇢ no: already approved
    "#]]);
}

/// DESIGN 2: ten challenges; the one that is finished longest makes room, never a live one while there is another.
#[test]
fn ten_challenges_are_kept() {
    plays(&expect![[r#"
        t=0 start a wide/login → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 start b wide/login → ✉0 issued b pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=1s check b right → approved b new
        t=2s cancel a → a canceled 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=3s start c wide/login → ✉0 issued c pending 6 digits till 5m3s, 5 tries, resend 7× from 3s [sending]
        t=3s start d wide/login → ✉0 issued d pending 6 digits till 5m3s, 5 tries, resend 7× from 3s [sending]
        t=3s start e wide/login → ✉0 issued e pending 6 digits till 5m3s, 5 tries, resend 7× from 3s [sending]
        t=3s start f wide/login → ✉0 issued f pending 6 digits till 5m3s, 5 tries, resend 7× from 3s [sending]
        t=3s start g wide/login → ✉0 issued g pending 6 digits till 5m3s, 5 tries, resend 7× from 3s [sending]
        t=3s start h wide/login → ✉0 issued h pending 6 digits till 5m3s, 5 tries, resend 7× from 3s [sending]
        t=3s start i wide/login → ✉0 issued i pending 6 digits till 5m3s, 5 tries, resend 7× from 3s [sending]
        t=3s start j wide/login → ✉0 issued j pending 6 digits till 5m3s, 5 tries, resend 7× from 3s [sending]
        t=4s read b via=v1 ⇢ b approved 6 digits till 5m, 4 tries, resend 4× from 33s [sending]
        t=4s start k wide/login → ✉0 issued k pending 6 digits till 5m4s, 5 tries, resend 7× from 4s [sending]
        t=4s read b ⇢ no: unknown
        t=4s read a ⇢ a canceled 6 digits till 5m, 5 tries, resend 7× from 4s [sending]
        t=4s start l wide/login → ✉0 issued l pending 6 digits till 5m4s, 5 tries, resend 7× from 4s [sending]
        t=4s read a ⇢ no: unknown
        t=4s read c ⇢ c pending 6 digits till 5m3s, 5 tries, resend 7× from 4s [sending]
        t=4s start m wide/login → ✉0 issued m pending 6 digits till 5m4s, 5 tries, resend 7× from 4s [sending]
        t=4s read c ⇢ no: unknown
        t=4s check d right → approved d new
    "#]]);
}
