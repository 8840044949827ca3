//! Clocks that jump: behind by up to an hour time stands still, further back it starts anew; nothing revives.

use expect_test::expect;

use super::script::plays;

/// DESIGN 2, I8: an hour back at most, and the record's own time goes on from the latest it saw.
#[test]
fn a_clock_slightly_behind_stands_still() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=4m start b → ✉0 issued b pending 6 digits till 9m, 5 tries, resend 4× from 4m30s [sending]
        t=6m start c → ✉0 issued c pending 6 digits till 11m, 5 tries, resend 4× from 6m30s [sending]
        # a ended at 5m, and a committed decision saw 6m.
        t=4m check a right ⇢ no: expired
        t=6m-1h start d ⇢ no: cooldown until 6m30s
        t=6m-1h check b wrong → no: wrong, 4 left
        t=6m-1h read b ⇢ b pending 6 digits till 9m, 4 tries, resend 4× from 6m30s [sending]
        t=6m30s start d → ✉0 issued d pending 6 digits till 11m30s, 5 tries, resend 4× from 7m [sending]
    "#]]);
}

/// What was approved, spent or delayed stays so.
#[test]
fn standing_still_revives_nothing() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=10s check a right → approved a new
        t=1m10s start b → ✉0 issued b pending 6 digits till 6m10s, 5 tries, resend 4× from 1m40s [sending]
        t=30s redeem a s ⇢ no: receipt invalid
        t=30s check b right session=s1 → signed in s1 gen 0 user 2 new till 30d1m10s
        t=2m refresh s1 0 → signed in s1 gen 1 user 2 known till 30d1m10s
        t=2m30s refresh s1 1 → signed in s1 gen 2 user 2 known till 30d1m10s
        t=1m refresh s1 0 → no: refresh reused
        t=0 auth s1 ⇢ no: session unknown
    "#]]);
}

/// More than an hour behind: the clock that ran ahead was wrong. What was open ends, limits restart from now.
#[test]
fn a_clock_that_ran_ahead() {
    plays(&expect![[r#"
        t=100d start a wide/login → ✉0 issued a pending 6 digits till 100d5m, 5 tries, resend 7× from 100d [sending]
        t=100d start b wide/login → ✉0 issued b pending 6 digits till 100d5m, 5 tries, resend 7× from 100d [sending]
        t=100d check b right → approved b new
        t=100d start c wide/login → ✉0 issued c pending 6 digits till 100d5m, 5 tries, resend 7× from 100d [sending]
        t=100d check c right grant=g → granted g till 100d10m
        t=100d check a wrong → no: wrong, 4 left
        t=0 read a → a expired 6 digits till 0, 4 tries, resend 7× from 0 [sending]
        t=0 check a right ⇢ no: expired
        t=0 redeem b s ⇢ no: receipt invalid
        t=0 register g s ⇢ no: grant invalid
        t=0 resend a ⇢ no: expired
        t=0 start d v1/login ⇢ no: window until 2m
        t=2m-1ms start d v1/login ⇢ no: window until 2m
        t=2m start e wide/login → ✉0 issued e pending 6 digits till 7m, 5 tries, resend 7× from 2m [sending]
        t=2m check e right → approved e new
        t=2m redeem e s → signed in s gen 0 user 3 new till 30d2m
        t=2m auth s ⇢ alive s opened 2m user 3 name -
    "#]]);
}

/// A cooldown that runs is not lifted by setting the clock back, and restarts only once; a lifted one stays lifted.
#[test]
fn cooldowns_restart() {
    plays(&expect![[r#"
        t=1d start a → ✉0 issued a pending 6 digits till 1d5m, 5 tries, resend 4× from 1d30s [sending]
        t=1d check a right → approved a new
        t=1d start b → ✉0 issued b pending 6 digits till 1d5m, 5 tries, resend 4× from 1d30s [sending]
        t=0 start c → no: cooldown until 30s
        t=0 cancel b ⇢ no: expired
        t=0 unlock ⇢ done
        t=10s start c ⇢ no: cooldown until 30s
        t=30s start c → ✉0 issued c pending 6 digits till 5m30s, 5 tries, resend 4× from 1m [sending]
        B: t=1d start k → ✉0 issued k pending 6 digits till 1d5m, 5 tries, resend 4× from 1d30s [sending]
        B: t=1d check k right → approved k new
        B: t=0 start l → ✉0 issued l pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
    "#]]);
}

/// A running delay keeps what is left of it, and no more.
#[test]
fn delays_restart() {
    plays(&expect![[r#"
        t=2d start a wide/login → ✉0 issued a pending 6 digits till 2d5m, 5 tries, resend 7× from 2d [sending]
        t=2d 5× check @wide/login wrong → no: wrong, 0 left
        t=2d start b wide/login → ✉0 issued b pending 6 digits till 2d5m, 5 tries, resend 7× from 2d [sending]
        t=2d check @wide/login wrong → no: wrong, 4 left
        t=2d+10s start c wide/login → ✉0 issued c pending 6 digits till 2d5m10s, 5 tries, resend 7× from 2d10s [sending]
        t=0 start d wide/login → ✉0 issued d pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check @wide/login right ⇢ no: delayed until 20s
        t=20s-1ms check @wide/login right ⇢ no: delayed until 20s
        t=20s check @wide/login wrong → no: wrong, 4 left
        t=20s failures is 7
    "#]]);
}

/// Sessions keep what was left of them and their age: no fresh sign-in, no second grace (security 63).
#[test]
fn sessions_keep_their_age() {
    plays(&expect![[r#"
        t=60d start a wide/login → ✉0 issued a pending 6 digits till 60d5m, 5 tries, resend 7× from 60d [sending]
        t=60d check a right session=s → signed in s gen 0 user 1 new till 90d
        t=60d start b wide/login → ✉0 issued b pending 6 digits till 60d5m, 5 tries, resend 7× from 60d [sending]
        t=60d check b right session=r → signed in r gen 0 user 1 known till 90d
        t=61d refresh r 0 → signed in r gen 1 user 1 known till 90d
        t=61d+1m start c wide/login → ✉0 issued c pending 6 digits till 61d6m, 5 tries, resend 7× from 61d1m [sending]
        t=0 auth s → alive s opened -1d1m user 1 name -
        t=0 refresh r 0 → no: refresh reused
        t=0 refresh s 0 → signed in s gen 1 user 1 known till 28d23h59m
        t=29d-1m-1ms auth s ⇢ alive s opened -1d1m user 1 name -
        t=29d-1m auth s ⇢ no: session unknown
    "#]]);
}

/// An hour behind exactly is still standing still; a millisecond more is not.
#[test]
fn the_hour_is_exact() {
    plays(&expect![[r#"
        t=2h start a → ✉0 issued a pending 6 digits till 2h5m, 5 tries, resend 4× from 2h30s [sending]
        t=1h check a right → approved a new
        B: t=2h start k → ✉0 issued k pending 6 digits till 2h5m, 5 tries, resend 4× from 2h30s [sending]
        B: t=1h-1ms check k right → no: expired
    "#]]);
}

/// A kept answer whose send was dated by the wrong clock is not in flight for years.
#[test]
fn no_answer_is_in_flight_for_years() {
    plays(&expect![[r#"
        t=900d start a key=k → ✉0 issued a pending 6 digits till 900d5m, 5 tries, resend 4× from 900d30s [sending]
        t=0 start a key=k → issued a pending 6 digits till 900d5m, 5 tries, resend 4× from 900d30s [sending] (replayed)
        t=1m start b key=l → ✉0 issued b pending 6 digits till 6m, 5 tries, resend 4× from 1m30s [sending]
        t=1m start b key=l ⇢ no: in flight until 1m30s
    "#]]);
}
