//! What each change tells the operator's back end, and that nothing else does.

use expect_test::expect;
use otpd::record::{Event, EventFilter, Occurred, PhoneNumber, UnixMillis, UserChange};

use super::script::tells;

#[test]
fn a_sign_in() {
    tells(&expect![[r#"
        t=0 start a ⇒ verification.created a
        t=0 settle a 0 accepted ⇒ nothing
        t=1s check a wrong ⇒ nothing
        t=2s read a ⇒ nothing
        t=3s check a right ⇒ verification.approved a
        t=3s check a right ⇒ nothing
        t=4s redeem a s ⇒ user.created 1, session.created s of 1
        t=4s redeem a s2 ⇒ nothing
        t=5s refresh s 0 ⇒ nothing
        t=5s auth s ⇒ nothing
        t=6s patch s name=Ada ⇒ user.updated 1
        t=6s patch s name=Ada ⇒ nothing
        t=7s end s ⇒ session.ended s of 1 (SignedOut)
        t=7s end s ⇒ nothing
        # With an account already, and at once.
        t=1m start b ⇒ verification.created b
        t=1m check b right session=u ⇒ verification.approved b, session.created u of 1
    "#]]);
}

#[test]
fn a_registration_is_one_user_and_no_update() {
    tells(&expect![[r#"
        t=0 start a ⇒ verification.created a
        t=0 check a right grant=g ⇒ verification.approved a
        t=1s register g s name=Ada password=x ⇒ user.created 1, session.created s of 1
        t=2s shut ⇒ user.deactivated 1
        t=2s shut ⇒ nothing
        t=3s open ⇒ user.activated 1
        t=4s erase s ⇒ session.ended s of 1 (UserDeleted), user.deleted 1
    "#]]);
}

#[test]
fn verifications_that_come_to_nothing() {
    tells(&expect![[r#"
        t=0 start a ⇒ verification.created a
        t=0 cancel a ⇒ verification.canceled a (Holder)
        t=0 cancel a ⇒ nothing
        t=1m start b ⇒ verification.created b
        t=1m settle b 0 failed ⇒ verification.failed b
        t=2m start c ⇒ verification.created c
        t=2m 4× check c wrong ⇒ nothing
        t=2m check c wrong ⇒ verification.max_attempts_reached c (by id)
        t=2m check c wrong ⇒ nothing
        # By number, and then by id.
        t=3m start d ⇒ verification.created d
        t=3m 4× check @v1/login wrong ⇒ nothing
        t=3m check @v1/login wrong ⇒ verification.max_attempts_reached d (by number)
        t=3m 5× check d wrong ⇒ verification.max_attempts_reached d (by id)
        # Nobody notices that it is over before the next change, and that one tells once.
        t=4m start e ⇒ verification.created e
        t=20m read e ⇒ nothing
        t=20m check e right ⇒ nothing
        t=21m start f ⇒ verification.expired c, verification.expired d, verification.expired e, verification.created f
        t=22m cancel f ⇒ verification.canceled f (Holder)
        # A dialect whose starts supersede, before and after the time of the one before.
        B: t=0 start h four/login ⇒ verification.created h
        B: t=10s start i four/login ⇒ verification.canceled h (Superseded), verification.created i
        B: t=10m start j four/login ⇒ verification.expired i, verification.created j
    "#]]);
}

/// The number has ten at most: the oldest live one goes.
#[test]
fn too_many_verifications() {
    tells(&expect![[r#"
        t=0 10× start a wide/login ⇒ verification.created a10
        t=1s start b wide/login ⇒ verification.canceled a1 (Displaced), verification.created b
    "#]]);
}

#[test]
fn sessions_end_for_a_reason() {
    tells(&expect![[r#"
        t=0 10× start a wide/login ⇒ verification.created a10
        t=0 check a1 right session=s1 ⇒ verification.approved a1, user.created 1, session.created s1 of 1
        t=0 check a2 right session=s2 ⇒ verification.approved a2, session.created s2 of 1
        t=0 check a3 right session=s3 ⇒ verification.approved a3, session.created s3 of 1
        t=0 check a4 right session=s4 ⇒ verification.approved a4, session.created s4 of 1
        t=0 check a5 right session=s5 ⇒ verification.approved a5, session.created s5 of 1
        t=0 check a6 right session=s6 ⇒ verification.approved a6, session.created s6 of 1
        t=0 check a7 right session=s7 ⇒ verification.approved a7, session.created s7 of 1
        t=0 check a8 right session=s8 ⇒ verification.approved a8, session.created s8 of 1
        t=0 check a9 right session=s9 ⇒ verification.approved a9, session.created s9 of 1
        t=0 check a10 right session=s10 ⇒ verification.approved a10, session.created s10 of 1
        t=1s start b wide/login ⇒ verification.created b
        t=1s check b right session=s11 ⇒ verification.approved b, session.ended s1 of 1 (Displaced), session.created s11 of 1
        t=1s end s3 by=s2 ⇒ session.ended s3 of 1 (SignedOut)
        # A retired refresh token.
        t=1m refresh s4 0 ⇒ nothing
        t=2m refresh s4 0 ⇒ session.reuse_detected s4 of 1, session.ended s4 of 1 (Reuse)
    "#]]);
}

#[test]
fn an_account_that_moves_is_told_where_it_arrives() {
    tells(&expect![[r#"
        t=0 start a ⇒ verification.created a
        t=0 check a right session=s ⇒ verification.approved a, user.created 1, session.created s of 1
        B: t=2s start b v1/phone_change by=A.s ⇒ verification.created b
        B: t=3s check b right by=A.s ⇒ verification.approved b
        t=3s release B s ⇒ session.ended s of 1 (PhoneChanged)
        t=3s release B s ⇒ nothing
        B: t=3s adopt A s session=n ⇒ user.phone_changed 1 from A, session.created n of 1
        B: t=3s adopt A s ⇒ nothing
        t=3s drop-parcel B 1 ⇒ nothing
        # Interrupted: adopted without a session, and a claim that is dropped.
        C: t=5s start c v1/phone_change by=B.n ⇒ verification.created c
        C: t=5s check c right by=B.n ⇒ verification.approved c
        B: t=6s release C n ⇒ session.ended n of 1 (PhoneChanged)
        C: t=6s adopt B n ⇒ user.phone_changed 1 from B
        C: t=7s start d ⇒ verification.created d
        C: t=7s check d right session=o ⇒ verification.approved d, session.created o of 1
        C: t=8s erase o ⇒ session.ended o of 1 (UserDeleted), user.deleted 1
        # The old number begins anew.
        t=1m start e ⇒ verification.created e
        t=1m check e right session=p ⇒ verification.approved e, user.created 4, session.created p of 4
    "#]]);
}

/// What is over is noticed by whatever changes next.
#[test]
fn a_session_that_is_over() {
    tells(&expect![[r#"
        t=0 start a ⇒ verification.created a
        t=0 check a right session=s ⇒ verification.approved a, user.created 1, session.created s of 1
        t=1d start b ⇒ verification.created b
        t=1d check b right session=u ⇒ verification.approved b, session.created u of 1
        t=30d1s auth s ⇒ nothing
        t=30d1s auth u ⇒ nothing
        t=30d1s patch u name=Ada ⇒ session.ended s of 1 (Expired), user.updated 1
    "#]]);
}

/// A clock that ran ahead by months ends what was pending, and sessions that were over by it.
#[test]
fn a_clock_that_jumps_back() {
    tells(&expect![[r#"
        t=0 start a ⇒ verification.created a
        t=0 check a right session=s ⇒ verification.approved a, user.created 1, session.created s of 1
        t=100d start b ⇒ verification.created b, session.ended s of 1 (Expired)
        t=1m start c ⇒ verification.expired b
    "#]]);
}

#[test]
fn passwords_tell_of_sessions_alone() {
    tells(&expect![[r#"
        t=0 start a ⇒ verification.created a
        t=0 check a right grant=g ⇒ verification.approved a
        t=0 register g s password=x ⇒ user.created 1, session.created s of 1
        t=1s compare p ⇒ nothing
        t=1s compared p ⇒ nothing
        t=2s compare q ⇒ nothing
        t=2s compared q session=u ⇒ session.created u of 1
    "#]]);
}

/// What stands in stores must be read by every later otpd.
#[test]
fn golden_bytes() {
    let phone = PhoneNumber::try_from(989_121_000_001).unwrap();
    let event = Event::User { change: UserChange::PhoneChanged { from: phone }, user_id: 7 };
    let bytes = Occurred { at: UnixMillis(1_790_000_000_000), phone, event }.encode();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    expect!["01fd006c50c4a0010000fd41b2344ce60000000103fd41b2344ce600000007"].assert_eq(&hex);
    assert_eq!(Occurred::decode(&bytes[..bytes.len() - 1]), None);
    assert_eq!(Occurred::decode(&[&bytes[..], &[0]].concat()), None);
    assert_eq!(Occurred::decode(&[]), None);
}

#[test]
fn a_filter_wants_what_its_patterns_cover() {
    let filter = |patterns: &[&str]| EventFilter::new(patterns.iter().map(|pattern| (*pattern).to_owned()));
    let wanted = |patterns: &[&str]| Event::NAMES.iter().filter(|name| filter(patterns).wants(name)).count();
    assert_eq!(wanted(&["*"]), Event::NAMES.len());
    assert_eq!(wanted(&["user.*", "user.created"]), 6);
    assert_eq!(wanted(&["session.ended"]), 1);
    assert_eq!(wanted(&["user", "use.*", "user.create", ".*", ""]), 0);
    assert!(filter(&[]).is_off() && !filter(&["*"]).is_off());
    assert_eq!(filter(&["user.*", "users.*"]).idle_pattern(&Event::NAMES.into_iter()), Some("users.*"));
}
