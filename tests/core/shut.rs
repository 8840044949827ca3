//! An account that an administrator has shut: nobody signs in, and nothing of its sessions is good until it is opened.

use expect_test::expect;

use super::script::plays;

/// Shut, every way in is refused and says why; opened again, all that was is good.
#[test]
fn nobody_gets_in() {
    plays(&expect![[r#"
        t=0 shut ⇢ no: no account
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=1s refresh s 0 → signed in s gen 1 user 1 known till 30d
        t=1s start b wide/login → ✉0 issued b pending 6 digits till 5m1s, 5 tries, resend 7× from 1s [sending]
        t=1s check b right → approved b known
        t=1s shut → done
        t=1s shut ⇢ done
        t=1s who ⇢ user 1 password shut
        t=2s auth s ⇢ no: inactive
        t=2s refresh s 1 ⇢ no: inactive
        t=2s refresh s 0 ⇢ no: inactive
        t=2s export s ⇢ no: inactive
        t=2s patch s name=Ada ⇢ no: inactive
        t=2s erase s ⇢ no: inactive
        t=2s redeem b r → no: inactive
        t=2s start c wide/login → ✉0 issued c pending 6 digits till 5m2s, 5 tries, resend 7× from 2s [sending]
        t=2s check c right session=r → no: inactive
        t=2s compare d → comparing with secret
        t=2s compared d session=r → no: inactive
        t=2s compare d → comparing with secret
        t=2s compared d → no: wrong password
        t=3s open → done
        t=3s open ⇢ done
        t=3s auth s ⇢ alive s opened 0 user 1 name -
        t=3s auth r ⇢ no: session unknown
        t=3s refresh s 1 → signed in s gen 2 user 1 known till 30d
        t=3s compare d → comparing with secret
        t=3s compared d session=r → signed in r gen 0 user 1 known till 30d3s
        t=3s auth r ⇢ alive r opened 3s user 1 name -
        t=3s start e wide/login → ✉0 issued e pending 6 digits till 5m3s, 5 tries, resend 7× from 3s [sending]
        t=3s check e right session=q → signed in q gen 0 user 1 known till 30d3s
        t=3s patch s name=Ada → alive s opened 0 user 1 name Ada
        t=3s erase s → done
        t=3s shut ⇢ no: no account
    "#]]);
}

/// What was given while it was shut is spent all the same.
#[test]
fn what_was_given_is_spent() {
    plays(&expect![[r#"
        t=0 start a wide/login → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        t=0 start b wide/login → ✉0 issued b pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check b right → approved b known
        t=0 start c wide/login → ✉0 issued c pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=1s shut → done
        t=1s redeem b r → no: inactive
        t=1s check c right session=r → no: inactive
        t=1s open → done
        t=1s redeem b r ⇢ no: receipt invalid
        t=1s check c right session=r ⇢ no: already approved
    "#]]);
}

/// Security 71: a kept answer signs no tokens while the account is shut.
#[test]
fn a_retry_signs_nobody_in() {
    plays(&expect![[r#"
        t=0 start a wide/login → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check a right session=s key=k → signed in s gen 0 user 1 new till 30d
        t=1s shut → done
        t=1s check a right session=s key=k ⇢ no: inactive
        t=1s open → done
        t=1s check a right session=s key=k ⇢ signed in s gen 0 user 1 new till 30d (replayed)
    "#]]);
}

/// A refused change writes nothing, and its sessions can be ended while it is shut.
#[test]
fn a_refusal_changes_nothing() {
    plays(&expect![[r#"
        t=0 start a wide/login → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        t=1s shut → done
        t=1s commits is Some(3)
        t=1s patch s name=Ada ⇢ no: inactive
        t=1s commits is Some(3)
        t=1s end s → done
        t=1s open → done
        t=1s auth s ⇢ no: session unknown
    "#]]);
}

/// One that is shut while it moves arrives shut, and nobody is signed in with it.
#[test]
fn shut_on_its_way() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        B: t=1s start b v1/phone_change by=A.s → ✉0 issued b pending 6 digits till 5m1s, 5 tries, resend 4× from 31s [sending]
        B: t=1s check b right by=A.s → claimed from A by b
        t=1s shut → done
        t=1s release B s → released user 1
        t=1s open ⇢ no: no account
        B: t=1s adopt A s session=n → no: inactive
        B: t=1s adopt A s session=n ⇢ no: inactive
        B: t=1s adopt A s ⇢ done
        t=1s drop-parcel B 1 → done
        B: t=1s who ⇢ user 1 no password shut
        B: t=1s open → done
        B: t=1s who ⇢ user 1 no password
        B: t=1s adopt A s session=n → signed in n gen 0 user 1 known till 30d1s
    "#]]);
}
