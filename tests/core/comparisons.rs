//! Passwords that are being compared: lost, many at once, and what happens to the account meanwhile.

use expect_test::expect;

use super::script::plays;

/// Security 12: a comparison without an end (the process ended) is a wrong one after a minute, and its end comes too late.
#[test]
fn a_lost_comparison_was_wrong() {
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=1s compare c → comparing with secret
        t=1s compare d → comparing with secret
        t=1s compare e → comparing with secret
        t=1m1s-1ms compare f ⇢ no: busy
        t=1m1s-1ms compared e session=r → signed in r gen 0 user 1 known till 30d1m999ms
        t=1m1s compared d session=r2 → no: wrong password
        t=1m1s compare f → comparing with secret
        t=1m1s compare g ⇢ no: busy
        t=1m1s compare h ⇢ no: busy
        t=1m1s compared f → no: wrong password, blocked until 1h1m1s
        t=1m1s compared c session=r3 ⇢ no: wrong password
    "#]]);
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=1s compare c → comparing with secret
        t=1s compare d → comparing with secret
        t=1s compare e → comparing with secret
        # What was lost is not written down for a refusal, and says the same again.
        t=2m commits is Some(6)
        t=2m compare f ⇢ no: blocked until 1h1s
        t=2m compare f ⇢ no: blocked until 1h1s
        t=2m commits is Some(6)
        t=1h1s-1ms compare f ⇢ no: blocked until 1h1s
        t=1h1s compare f → comparing with secret
    "#]]);
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        # Found late, one that was lost shortens no block.
        t=1s compare c → comparing with secret
        t=1s compare d → comparing with secret
        t=1s compare e → comparing with secret
        t=50s compared d → no: wrong password
        t=50s compared e → no: wrong password
        t=2m compare f ⇢ no: blocked until 1h50s
        t=1h50s-1ms compare f ⇢ no: blocked until 1h50s
        t=1h50s compare f → comparing with secret
    "#]]);
}

/// No refusal writes, not even with something lost to be found: while blocked, busy, delayed or stopped (I9).
#[test]
fn refusals_write_nothing() {
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=1s compare c via=harsh → comparing with secret
        t=1s compare d via=harsh → comparing with secret
        t=2s compare e via=harsh → comparing with secret
        t=4s compare f via=harsh → comparing with secret
        t=8s compare g via=harsh → comparing with secret
        t=12s compare h via=harsh → comparing with secret
        t=5m commits is Some(9)
        t=5m compare i via=harsh ⇢ no: stopped until 1d5m
        t=5m compare i ⇢ no: blocked until 1h12s
        t=5m commits is Some(9)
    "#]]);
}

/// Never more comparisons at once than tries are left, and never more than eight at one number.
#[test]
fn parallel_comparisons() {
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=1s compare c addr=1 → comparing with secret
        t=1s compare d addr=1 → comparing with secret
        t=1s compare e addr=1 → comparing with secret
        t=1s compare f addr=1 ⇢ no: busy
        t=1s compare c2 addr=2 → comparing with secret
        t=1s compare d2 addr=2 → comparing with secret
        t=1s compared c → no: wrong password
        t=31s compare f addr=1 ⇢ no: busy
    "#]]);
    plays(&expect![[r#"
        t=0 start a harsh/signup → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check @harsh/signup right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=1s compare c1 via=v1 → comparing with secret
        t=1s compare c2 via=v1 addr=2 → comparing with secret
        t=1s compare c3 via=v1 addr=3 → comparing with secret
        t=1s compare c4 via=v1 addr=4 → comparing with secret
        t=1s compare c5 via=v1 addr=5 → comparing with secret
        t=1s unlock → done
        t=1s compare c6 via=v1 addr=6 → comparing with secret
        t=1s compare c7 via=v1 addr=7 → comparing with secret
        t=1s compare c8 via=v1 addr=8 → comparing with secret
        t=1s compare c9 via=v1 addr=9 ⇢ no: busy
        t=1s compared c1 via=v1 session=r → signed in r gen 0 user 1 known till 30d1s
        t=1s compare c9 via=v1 addr=9 → comparing with secret
    "#]]);
}

/// Security 72: an account that is erased while its password is being compared signs nobody in, nor does the next account
/// of the number.
#[test]
fn erased_while_comparing() {
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=1s compare c → comparing with secret
        t=2s erase s → done
        t=2s compared c session=r ⇢ no: wrong password
        t=2s who ⇢ nobody
        t=2s compare d ⇢ no: no account
    "#]]);
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=1s compare c → comparing with secret
        t=2s erase s → done
        t=3s start b pair/registration → ✉0 issued b pending 4 digits till 10m3s, 5 tries, resend 7× from 3s [sending]
        t=3s check @pair/registration right grant=h → granted h till 10m3s
        t=3s register h s2 password=other → signed in s2 gen 0 user 2 new till 30d3s
        t=4s compared c session=r ⇢ no: wrong password
        t=4s auth r ⇢ no: session unknown
        t=4s compare d → comparing with other
        t=4s compared d session=r2 → signed in r2 gen 0 user 2 known till 30d4s
        t=4s auth r2 ⇢ alive r2 opened 4s user 2 name -
    "#]]);
    plays(&expect![[r#"
        # Without an account something is compared all the same, if the door hides it; what registers meanwhile is not it.
        t=0 compare c hide → comparing with any
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=1s compared c session=r ⇢ no: wrong password
        t=1s auth r ⇢ no: session unknown
    "#]]);
}

/// Erasing buys no fresh tries: strikes, blocks and the number's count stay.
#[test]
fn erasing_buys_no_tries() {
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
        t=2s erase s → done
        t=2s compare c hide ⇢ no: blocked until 1h1s
        t=3s start b pair/registration → ✉0 issued b pending 4 digits till 10m3s, 5 tries, resend 7× from 3s [sending]
        t=3s check @pair/registration right grant=h → granted h till 10m3s
        t=3s register h s2 password=other → signed in s2 gen 0 user 2 new till 30d3s
        t=3s compare c ⇢ no: blocked until 1h1s
        t=3s compare c addr=2 → comparing with other
    "#]]);
}

/// The password moves with the account, and what is being compared on the old number signs nobody in.
#[test]
fn a_password_moves() {
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        B: t=1s start b v1/phone_change by=A.s → ✉0 issued b pending 6 digits till 5m1s, 5 tries, resend 4× from 31s [sending]
        B: t=1s compare k hide → comparing with any
        t=1s compare c → comparing with secret
        B: t=2s check b right by=A.s → claimed from A by b
        B: t=2s compare l hide ⇢ no: unfinished move A to B
        t=2s release B s → released user 1
        t=2s compared c session=r ⇢ no: wrong password
        t=2s compare d ⇢ no: unfinished move A to B
        B: t=2s adopt A s session=n → signed in n gen 0 user 1 known till 30d2s
        B: t=2s compared k session=r ⇢ no: wrong password
        t=2s drop-parcel B 1 → done
        t=2s compare d ⇢ no: no account
        B: t=3s compare m → comparing with secret
        B: t=3s compared m session=q → signed in q gen 0 user 1 known till 30d3s
        B: t=3s auth q ⇢ alive q opened 3s user 1 name -
    "#]]);
}

/// A clock that ran ahead: a block keeps what is left of it, and what is being compared has its minute from now on.
#[test]
fn passwords_and_clocks() {
    plays(&expect![[r#"
        t=10d start a pair/registration → ✉0 issued a pending 4 digits till 10d10m, 5 tries, resend 7× from 10d [sending]
        t=10d check @pair/registration right grant=g → granted g till 10d10m
        t=10d register g s password=secret → signed in s gen 0 user 1 new till 40d
        t=10d compare c → comparing with secret
        t=10d compared c → no: wrong password
        t=10d compare c → comparing with secret
        t=10d compared c → no: wrong password
        t=10d compare c → comparing with secret
        t=10d compared c → no: wrong password, blocked until 10d1h
        t=10d+10m compare d addr=2 → comparing with secret
        t=0 compare c → no: blocked until 50m
        t=0 compare e addr=2 → comparing with secret
        t=50m-1ms compare c ⇢ no: blocked until 50m
        t=50m compare c → comparing with secret
    "#]]);
    plays(&expect![[r#"
        t=10d start a pair/registration → ✉0 issued a pending 4 digits till 10d10m, 5 tries, resend 7× from 10d [sending]
        t=10d check @pair/registration right grant=g → granted g till 10d10m
        t=10d register g s password=secret → signed in s gen 0 user 1 new till 40d
        t=10d compare c → comparing with secret
        t=10d compare d → comparing with secret
        t=0 compared c session=r → signed in r gen 0 user 1 known till 30d
        t=1m-1ms compare e → comparing with secret
        t=1m compared d session=r2 → no: wrong password
    "#]]);
    plays(&expect![[r#"
        t=10d start a pair/registration → ✉0 issued a pending 4 digits till 10d10m, 5 tries, resend 7× from 10d [sending]
        t=10d check @pair/registration right grant=g → granted g till 10d10m
        t=10d register g s password=secret → signed in s gen 0 user 1 new till 40d
        t=10d compare c → comparing with secret
        # Half an hour back time stands still.
        t=10d-30m compared c session=r → signed in r gen 0 user 1 known till 40d
    "#]]);
}

/// Without an account failures are forgotten a day after the last, and the record with them.
#[test]
fn a_number_forgets_its_passwords() {
    plays(&expect![[r#"
        t=0 compare c hide → comparing with any
        t=0 forgotten is 1d
        t=1s compared c → no: wrong password
        t=1s forgotten is 1d
        t=1s unlock → done
        t=1s forgotten is 1s
        t=2s compare c hide → comparing with any
        t=2s unlock → done
        t=2s forgotten is 1d2s
    "#]]);
}
