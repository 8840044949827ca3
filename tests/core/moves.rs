//! An account that moves to another number: each step, repeated, interrupted, raced.

use expect_test::expect;

use super::script::plays;

/// Security 73, v1.md: the account moves, all sessions end, and the check answers with a new one.
#[test]
fn an_account_moves() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        t=1s patch s name=Ada → alive s opened 0 user 1 name Ada
        B: t=2s start b v1/phone_change by=A.s → ✉0 issued b pending 6 digits till 5m2s, 5 tries, resend 4× from 32s [sending]
        B: t=3s check b right ⇢ no: session needed
        B: t=3s check b right by=A.t ⇢ no: session needed
        B: t=3s check b right session=x ⇢ no: session needed
        B: t=3s check @v1/phone_change right by=A.s → claimed from A by b
        B: t=3s move is move A to B
        B: t=3s forgotten is never
        t=3s release B s → released user 1
        t=3s move is move A to B
        t=3s forgotten is never
        t=3s auth s ⇢ no: no account
        B: t=3s adopt A s session=n → signed in n gen 0 user 1 known till 30d3s
        B: t=3s auth n ⇢ alive n opened 3s user 1 name Ada
        B: t=3s move is no move
        t=3s drop-parcel B 1 → done
        t=3s move is no move
        t=3s user is None
        B: t=3s user is Some(1)
        # The old number begins anew.
        t=1m start c → ✉0 issued c pending 6 digits till 6m, 5 tries, resend 4× from 1m30s [sending]
        t=1m check c right session=o → signed in o gen 0 user 4 new till 30d1m
    "#]]);
}

/// DESIGN 2: each step may be repeated, and whoever finds a record in the middle can finish it.
#[test]
fn every_step_may_be_repeated() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        B: t=1s start b v1/phone_change by=A.s → ✉0 issued b pending 6 digits till 5m1s, 5 tries, resend 4× from 31s [sending]
        B: t=1s check b right by=A.s → claimed from A by b
        B: t=1s check b right by=A.s ⇢ no: already approved
        t=1s release B s → released user 1
        t=1s release B s ⇢ released user 1
        t=1s release C s ⇢ no: unfinished move A to B
        t=1s release B x ⇢ no: unfinished move A to B
        B: t=1s adopt A s → done
        B: t=1s adopt A s ⇢ done
        B: t=1s adopt A s session=n → signed in n gen 0 user 1 known till 30d1s
        B: t=1s release A s ⇢ no: nothing to move
        t=1s drop-parcel C 1 ⇢ done
        t=1s drop-parcel B 2 ⇢ done
        t=1s drop-parcel B 1 → done
        t=1s drop-parcel B 1 ⇢ done
        t=1s release B s ⇢ no: nothing to move
        B: t=1s drop-claim A s ⇢ done
        B: t=1s auth n ⇢ alive n opened 1s user 1 name -
    "#]]);
}

/// Between claim and arrival nobody signs in on either number: it would have two accounts.
#[test]
fn nobody_signs_in_meanwhile() {
    plays(&expect![[r#"
        t=0 start a wide/login → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        B: t=1s start b v1/phone_change by=A.s → ✉0 issued b pending 6 digits till 5m1s, 5 tries, resend 4× from 31s [sending]
        B: t=1s start c wide/login → ✉0 issued c pending 6 digits till 5m1s, 5 tries, resend 7× from 1s [sending]
        B: t=1s start d wide/login → ✉0 issued d pending 6 digits till 5m1s, 5 tries, resend 7× from 1s [sending]
        B: t=1s check d right grant=g → granted g till 10m1s
        B: t=1s check b right by=A.s → claimed from A by b
        B: t=2s check c right session=x ⇢ no: unfinished move A to B
        B: t=2s check c right → approved c new
        B: t=2s redeem c x ⇢ no: unfinished move A to B
        B: t=2s register g x ⇢ no: unfinished move A to B
        B: t=2s start e wide/phone_change by=C.z → ✉0 issued e pending 6 digits till 5m2s, 5 tries, resend 7× from 2s [sending]
        B: t=2s check e right by=C.z ⇢ no: unfinished move A to B
        t=2s release B s → released user 1
        t=2s start f wide/login → ✉0 issued f pending 6 digits till 5m2s, 5 tries, resend 7× from 2s [sending]
        t=2s check f right session=y ⇢ no: unfinished move A to B
        B: t=2s adopt A s → done
        t=2s drop-parcel B 1 → done
        t=2s check f right session=y → signed in y gen 0 user 6 new till 30d2s
        B: t=2s redeem c x → signed in x gen 0 user 1 known till 30d2s
    "#]]);
}

/// The session that asked has ended before the account could be fetched: the claim is dropped.
#[test]
fn nothing_to_release() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        B: t=1s start b v1/phone_change by=A.s → ✉0 issued b pending 6 digits till 5m1s, 5 tries, resend 4× from 31s [sending]
        t=2s end s → done
        B: t=3s check b right by=A.s → claimed from A by b
        t=3s release B s ⇢ no: nothing to move
        B: t=3s drop-claim A x ⇢ done
        B: t=3s drop-claim C s ⇢ done
        B: t=3s drop-claim A s → done
        B: t=3s drop-claim A s ⇢ done
        B: t=3s move is no move
        t=3s user is Some(1)
        B: t=40s start c → ✉0 issued c pending 6 digits till 5m40s, 5 tries, resend 4× from 1m10s [sending]
        B: t=40s check c right session=n → signed in n gen 0 user 2 new till 30d40s
    "#]]);
}

/// A number that has an account takes no other; the code is burnt all the same.
#[test]
fn the_new_number_is_taken() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        B: t=0 start k → ✉0 issued k pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        B: t=0 check k right session=t → signed in t gen 0 user 2 new till 30d
        B: t=30s start b v1/phone_change by=A.s → ✉0 issued b pending 6 digits till 5m30s, 5 tries, resend 4× from 1m [sending]
        B: t=30s check b right by=A.s → no: account exists
        B: t=30s check b right by=A.s ⇢ no: already approved
        B: t=30s move is no move
        B: t=30s user is Some(2)
    "#]]);
}

/// The drop of the parcel got lost. The account, erased or moved on since, must not come back.
#[test]
fn a_forgotten_parcel_revives_nothing() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        B: t=1s start b v1/phone_change by=A.s → ✉0 issued b pending 6 digits till 5m1s, 5 tries, resend 4× from 31s [sending]
        B: t=1s check b right by=A.s → claimed from A by b
        t=1s release B s → released user 1
        B: t=1s adopt A s session=n → signed in n gen 0 user 1 known till 30d1s
        B: t=2s erase n → done
        # Found in the middle, and finished.
        t=3s move is move A to B
        t=3s release B s ⇢ released user 1
        B: t=3s adopt A s ⇢ no: nothing to move
        B: t=3s adopt A s session=z ⇢ no: nothing to move
        B: t=3s user is None
        t=3s drop-parcel B 1 → done
        t=3s move is no move
    "#]]);
}

/// A late finisher of one move cannot drop or fill the claim of the next one between the same numbers.
#[test]
fn a_late_step_does_not_touch_the_next_move() {
    plays(&expect![[r#"
        t=0 start a wide/login → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        B: t=0 start b wide/phone_change by=A.s → ✉0 issued b pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        B: t=0 check b right by=A.s → claimed from A by b
        t=0 release B s → released user 1
        B: t=0 adopt A s session=n → signed in n gen 0 user 1 known till 30d
        t=0 drop-parcel B 1 → done
        B: t=1s erase n → done
        t=1s start c wide/login → ✉0 issued c pending 6 digits till 5m1s, 5 tries, resend 7× from 1s [sending]
        t=1s check c right session=s2 → signed in s2 gen 0 user 3 new till 30d1s
        B: t=1s start d wide/phone_change by=A.s2 → ✉0 issued d pending 6 digits till 5m1s, 5 tries, resend 7× from 1s [sending]
        B: t=1s check d right by=A.s2 → claimed from A by d
        B: t=1s adopt A s ⇢ no: nothing to move
        B: t=1s drop-claim A s ⇢ done
        t=1s release B s2 → released user 3
        B: t=1s adopt A s2 → done
        B: t=1s user is Some(3)
    "#]]);
}

/// A receipt or grant of the old number from before the move opens nothing after it.
#[test]
fn nothing_of_before_the_move_signs_in() {
    plays(&expect![[r#"
        t=0 start a wide/login → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        t=0 start c wide/login → ✉0 issued c pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check c right → approved c known
        t=0 start d wide/login → ✉0 issued d pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check d right grant=g → granted g till 10m
        B: t=0 start b wide/phone_change by=A.s → ✉0 issued b pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        B: t=0 check b right by=A.s → claimed from A by b
        B: t=0 redeem b x ⇢ no: unfinished move A to B
        t=0 release B s → released user 1
        B: t=0 adopt A s → done
        t=0 drop-parcel B 1 → done
        t=1s redeem c x ⇢ no: receipt invalid
        t=1s register g x ⇢ no: grant invalid
        t=1s user is None
    "#]]);
}

/// A session claims once at a number: a second code of its, still about when the account has arrived and been erased,
/// does not fetch it out of a parcel that nobody dropped.
#[test]
fn a_session_claims_once() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check a right session=s → signed in s gen 0 user 1 new till 30d
        B: t=1s start b v1/phone_change by=A.s → ✉0 issued b pending 6 digits till 5m1s, 5 tries, resend 4× from 31s [sending]
        B: t=31s start c v1/phone_change by=A.s → ✉0 issued c pending 6 digits till 5m31s, 5 tries, resend 4× from 1m1s [sending]
        B: t=32s check b right by=A.s → claimed from A by b
        t=32s release B s → released user 1
        B: t=32s adopt A s session=n → signed in n gen 0 user 1 known till 30d32s
        B: t=33s erase n → done
        B: t=33s check c right by=A.s ⇢ no: session needed
        B: t=33s check @v1/phone_change right by=A.s ⇢ no: session needed
        B: t=33s move is no move
        B: t=33s user is None
        t=33s move is move A to B
    "#]]);
}
