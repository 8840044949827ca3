//! Receipts, registration grants, sessions, refresh tokens, profile, erasure.

use expect_test::expect;

use super::script::plays;

/// v1.md: a receipt works once, for a minute; the first login makes the user.
#[test]
fn a_receipt_works_once_for_a_minute() {
    plays(&expect![[r#"
        t=0 redeem a s0 ⇢ no: receipt invalid
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 redeem a s0 ⇢ no: receipt invalid
        t=10s check a right → approved a new
        t=1m10s-1ms redeem a s1 → signed in s1 gen 0 user 3 new till 30d1m9s999ms
        t=1m10s-1ms redeem a s2 ⇢ no: receipt invalid
        t=2m start b → ✉0 issued b pending 6 digits till 7m, 5 tries, resend 4× from 2m30s [sending]
        t=2m check b right → approved b known
        t=3m redeem b s3 ⇢ no: receipt invalid
        t=3m start c v1/reset → ✉0 issued c pending 6 digits till 8m, 5 tries, resend 4× from 3m30s [sending]
        t=3m check c right → approved c known
        t=3m redeem c s4 ⇢ no: receipt invalid
        t=4m start d → ✉0 issued d pending 6 digits till 9m, 5 tries, resend 4× from 4m30s [sending]
        t=4m check d right → approved d known
        t=4m redeem d s5 → signed in s5 gen 0 user 3 known till 30d4m
    "#]]);
}

/// Security 16: a registration grant works once, for its life, for a number without an account.
#[test]
fn a_grant_registers_once() {
    plays(&expect![[r#"
        t=0 register g s0 ⇢ no: grant invalid
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check a right grant=g → granted g till 10m
        t=0 redeem a s0 ⇢ no: receipt invalid
        B: t=0 register g s0 ⇢ no: grant invalid
        t=10m-1ms register g s1 bio=2561 ⇢ no: profile too large
        t=10m-1ms register g s1 name=Ada → signed in s1 gen 0 user 5 new till 30d9m59s999ms
        t=10m-1ms auth s1 ⇢ alive s1 opened 9m59s999ms user 5 name Ada
        t=10m-1ms register g s2 ⇢ no: grant invalid
        t=11m start b → ✉0 issued b pending 6 digits till 16m, 5 tries, resend 4× from 11m30s [sending]
        t=11m check b right grant=h → granted h till 21m
        t=11m register h s2 ⇢ no: account exists
        B: t=0 start k → ✉0 issued k pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        B: t=0 check k right grant=i → granted i till 10m
        B: t=10m register i s3 ⇢ no: grant invalid
    "#]]);
}

/// Security 62, 63: the same old token gets the same successor for ten seconds; after them it ends the session.
#[test]
fn refresh_rotates() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        t=1m refresh s 0 → signed in s gen 1 user 1 known till 30d
        t=1m refresh s 0 ⇢ signed in s gen 1 user 1 known till 30d
        t=1m10s refresh s 0 ⇢ signed in s gen 1 user 1 known till 30d
        t=1m10s refresh s 1 → signed in s gen 2 user 1 known till 30d
        t=1m10s refresh s 1 ⇢ signed in s gen 2 user 1 known till 30d
        # Two generations old, within the grace of the newest: somebody else has a copy.
        t=1m11s refresh s 0 → no: refresh reused
        t=1m11s refresh s 2 ⇢ no: session unknown
        t=1m11s auth s ⇢ no: session unknown
    "#]]);
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        t=1m refresh s 0 → signed in s gen 1 user 1 known till 30d
        t=1m10s+1ms refresh s 0 → no: refresh reused
        t=1m10s+1ms refresh s 1 ⇢ no: session unknown
    "#]]);
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        # A door that does not rotate, and a token of a generation that never was.
        t=1m refresh s 0 keep ⇢ signed in s gen 0 user 1 known till 30d
        t=1h refresh s 0 keep ⇢ signed in s gen 0 user 1 known till 30d
        t=1h refresh s 0 → signed in s gen 1 user 1 known till 30d
        t=2h refresh s 1 keep ⇢ signed in s gen 1 user 1 known till 30d
        t=2h refresh s 2 → no: refresh reused
        t=2h refresh nobody 0 ⇢ no: session unknown
    "#]]);
}

/// Security 64: a session ends thirty days after its sign-in, however often it was refreshed.
#[test]
fn a_session_ends_after_thirty_days() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        t=29d refresh s 0 → signed in s gen 1 user 1 known till 30d
        t=30d-1ms auth s ⇢ alive s opened 0 user 1 name -
        t=30d-1ms refresh s 1 → signed in s gen 2 user 1 known till 30d
        t=30d auth s ⇢ no: session unknown
        t=30d refresh s 2 ⇢ no: session unknown
        user is Some(1)
        forgotten is never
    "#]]);
}

/// DESIGN 2: ten sessions, and the oldest ends; security 76: each sign-in is a session of its own.
#[test]
fn ten_sessions() {
    plays(&expect![[r#"
        t=0 start a wide/login → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check a right session=s1 → signed in s1 gen 0 user 1 new till 30d
        t=1s start b wide/login → ✉0 issued b pending 6 digits till 5m1s, 5 tries, resend 7× from 1s [sending]
        t=1s check b right session=s2 → signed in s2 gen 0 user 1 known till 30d1s
        t=2s start c wide/login → ✉0 issued c pending 6 digits till 5m2s, 5 tries, resend 7× from 2s [sending]
        t=2s check c right session=s3 → signed in s3 gen 0 user 1 known till 30d2s
        t=3s start d wide/login → ✉0 issued d pending 6 digits till 5m3s, 5 tries, resend 7× from 3s [sending]
        t=3s check d right session=s4 → signed in s4 gen 0 user 1 known till 30d3s
        t=4s start e wide/login → ✉0 issued e pending 6 digits till 5m4s, 5 tries, resend 7× from 4s [sending]
        t=4s check e right session=s5 → signed in s5 gen 0 user 1 known till 30d4s
        t=5s start f wide/login → ✉0 issued f pending 6 digits till 5m5s, 5 tries, resend 7× from 5s [sending]
        t=5s check f right session=s6 → signed in s6 gen 0 user 1 known till 30d5s
        t=6s start g wide/login → ✉0 issued g pending 6 digits till 5m6s, 5 tries, resend 7× from 6s [sending]
        t=6s check g right session=s7 → signed in s7 gen 0 user 1 known till 30d6s
        t=7s start h wide/login → ✉0 issued h pending 6 digits till 5m7s, 5 tries, resend 7× from 7s [sending]
        t=7s check h right session=s8 → signed in s8 gen 0 user 1 known till 30d7s
        t=8s start i wide/login → ✉0 issued i pending 6 digits till 5m8s, 5 tries, resend 7× from 8s [sending]
        t=8s check i right session=s9 → signed in s9 gen 0 user 1 known till 30d8s
        t=9s start j wide/login → ✉0 issued j pending 6 digits till 5m9s, 5 tries, resend 7× from 9s [sending]
        t=9s check j right session=s10 → signed in s10 gen 0 user 1 known till 30d9s
        t=9s auth s1 ⇢ alive s1 opened 0 user 1 name -
        t=10s start k wide/login → ✉0 issued k pending 6 digits till 5m10s, 5 tries, resend 7× from 10s [sending]
        t=10s check k right session=s11 → signed in s11 gen 0 user 1 known till 30d10s
        t=10s auth s1 ⇢ no: session unknown
        t=10s export s11 ⇢ user 1 sessions [s2 s3 s4 s5 s6 s7 s8 s9 s10 s11] challenges [b c d e f g h i j k] sends 11 failures 0
    "#]]);
}

/// Security 71, 72: a session ends at once; ending one's own that is gone is a success, another's is not.
#[test]
fn ending_sessions() {
    plays(&expect![[r#"
        t=0 start a wide/login → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check a right session=s1 → signed in s1 gen 0 user 1 new till 30d
        t=0 start b wide/login → ✉0 issued b pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check b right session=s2 → signed in s2 gen 0 user 1 known till 30d
        t=1s end s2 by=s1 → done
        t=1s auth s2 ⇢ no: session unknown
        t=1s refresh s2 0 ⇢ no: session unknown
        t=1s end s2 by=s1 ⇢ no: no such session
        t=1s end s1 by=s2 ⇢ no: session unknown
        t=1s end s1 → done
        t=1s end s1 ⇢ done
        t=1s export s1 ⇢ no: session unknown
        t=1s patch s1 name=Ada ⇢ no: session unknown
        t=1s erase s1 ⇢ no: session unknown
    "#]]);
}

/// The profile is bounded in bytes; a change that changes nothing writes nothing.
#[test]
fn a_profile_is_bounded() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        t=1s patch s name=Ada → alive s opened 0 user 1 name Ada
        t=1s patch s name=Ada ⇢ alive s opened 0 user 1 name Ada
        t=1s patch s bio=2557 → alive s opened 0 user 1 name Ada
        t=1s patch s bio=2558 ⇢ no: profile too large
        t=1s patch s name=- → alive s opened 0 user 1 name -
        t=1s patch s bio=2560 → alive s opened 0 user 1 name -
        t=1s patch nobody bio=1 ⇢ no: session unknown
        t=1s export s ⇢ user 1 sessions [s] challenges [a] sends 1 failures 0
    "#]]);
}

/// DESIGN 2, security 72: erasing ends every session and receipt and buys no fresh limits.
#[test]
fn erasing_buys_nothing() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=1s check a right session=s1 → signed in s1 gen 0 user 1 new till 30d1s
        t=1s start b → ✉0 issued b pending 6 digits till 5m1s, 5 tries, resend 4× from 31s [sending]
        t=31s start c → ✉0 issued c pending 6 digits till 5m31s, 5 tries, resend 4× from 1m1s [sending]
        t=32s check b right → approved b known
        t=32s 5× check @v1/login wrong → no: wrong, 0 left
        t=32s start d ⇢ no: window until 2m
        t=33s erase s1 → done
        t=33s user is None
        t=33s auth s1 ⇢ no: no account
        t=33s redeem b s2 ⇢ no: receipt invalid
        t=33s failures is 5
        t=33s start d ⇢ no: window until 2m
        t=2m1s start d → ✉0 issued d pending 6 digits till 7m1s, 5 tries, resend 4× from 2m31s [sending]
        t=2m2s check @v1/login wrong → no: wrong, 4 left
        t=2m2s check @v1/login right ⇢ no: delayed until 2m32s
        t=2m2s check d right session=s3 → signed in s3 gen 0 user 3 new till 30d2m2s
        t=2m2s auth s3 ⇢ alive s3 opened 2m2s user 3 name -
    "#]]);
}

/// A grant that was given before an erasure registers nobody after it.
#[test]
fn erasing_takes_grants() {
    plays(&expect![[r#"
        t=0 start a wide/login → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check a right grant=g → granted g till 10m
        t=0 start b wide/login → ✉0 issued b pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check b right session=s1 → signed in s1 gen 0 user 1 new till 30d
        t=1s erase s1 → done
        t=1s register g s2 ⇢ no: grant invalid
    "#]]);
}

/// When nothing is left to remember: the longest of code, window, failures and kept answers; never with an account.
#[test]
fn when_a_record_is_forgotten() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 forgotten is 1d5m
        t=1m settle a 0 failed → done
        t=1m forgotten is 1d1m
        t=2m start b key=k → ✉0 issued b pending 6 digits till 7m, 5 tries, resend 4× from 2m30s [sending]
        t=3m check @v1/login wrong → no: wrong, 4 left
        t=3m forgotten is 1d7m
        t=4m check b right → approved b new
        t=4m forgotten is 1d4m
        t=4m redeem b s → signed in s gen 0 user 1 new till 30d4m
        t=4m forgotten is never
        t=5m erase s → done
        t=5m forgotten is 1d4m
    "#]]);
}
