//! Receipts: forward only, by the gateway that has the message, and nothing else is touched.

use expect_test::expect;
use otpd::record::{IdKind, SealedId};

use super::{
    script::plays,
    world::{phone, ring},
};

/// providers.md 15: in order, twice, out of order, and after an end.
#[test]
fn a_message_moves_forward() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 settle a 0 accepted → done
        t=1s receipt a 0 sent → moved sms of 0
        t=1s receipt a 0 sent ⇢ no news
        t=2s receipt a 0 delivered → moved sms of 0
        t=3s receipt a 0 sent ⇢ no news
        t=3s receipt a 0 undelivered ⇢ no news
        t=3s receipt a 0 delivered ⇢ no news
        t=3s read a ⇢ a pending 6 digits till 5m, 5 tries, resend 4× from 30s [delivered]
        t=30s resend a → ✉1 issued a pending 6 digits till 5m, 5 tries, resend 3× from 1m30s [delivered sending]
        t=30s settle a 1 unknown → done
        t=31s receipt a 1 undelivered → moved sms of 30s
        t=32s receipt a 1 delivered ⇢ no news
        t=32s receipt a 1 sent ⇢ no news
        t=33s read a ⇢ a pending 6 digits till 5m, 5 tries, resend 3× from 1m30s [delivered undelivered]
    "#]]);
}

/// security 115: of another message, of another gateway, of one that certainly was not sent.
#[test]
fn what_is_not_its_own_is_left() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 receipt b 0 sent ⇢ no such message
        t=0 receipt a 1 sent ⇢ no such message
        t=0 settle a 0 accepted → done
        t=1s receipt a 0 delivered of=vonage ⇢ no news
        t=1s read a ⇢ a pending 6 digits till 5m, 5 tries, resend 4× from 30s [accepted]
        t=30s start c → ✉0 issued c pending 6 digits till 5m30s, 5 tries, resend 4× from 1m [sending]
        t=30s settle c 0 dead → done
        t=31s receipt c 0 delivered ⇢ no news
        t=31s read c ⇢ c failed 6 digits till 5m30s, 5 tries, resend 4× from 1m [failed]
        t=2d receipt a 0 sent ⇢ no such message
        B: receipt a 0 sent ⇢ no such message
    "#]]);
}

/// A receipt that is faster than the answer of the call: it is the proof that the message went out.
#[test]
fn before_the_send_has_returned() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 receipt a 0 sent → moved sms of 0
        t=1s settle a 0 accepted ⇢ done
        t=1s read a ⇢ a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sent]
        t=30s resend a → ✉1 issued a pending 6 digits till 5m, 5 tries, resend 3× from 1m30s [sent sending]
        t=30s receipt a 1 delivered → moved sms of 30s
        t=31s settle a 1 unknown ⇢ done
        t=31s settle a 1 failed of=vonage ⇢ done
        t=31s read a ⇢ a pending 6 digits till 5m, 5 tries, resend 3× from 1m30s [sent delivered]
    "#]]);
}

/// What one gateway said would not arrive, and another took after it, has not come to its end.
#[test]
fn a_gateway_takes_over() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 receipt a 0 undelivered of=vonage → moved sms of 0
        t=0 settle a 0 accepted of=vonage ⇢ done
        t=0 settle a 0 unknown ⇢ done
        t=0 settle a 0 accepted → done
        t=0 read a ⇢ a pending 6 digits till 5m, 5 tries, resend 4× from 30s [accepted]
        t=1s receipt a 0 delivered of=vonage ⇢ no news
        t=1s receipt a 0 delivered → moved sms of 0
    "#]]);
}

/// A kept answer shows what is known, and a send that a receipt has proved is not made up for.
#[test]
fn kept_answers_follow() {
    plays(&expect![[r#"
        t=0 start a key=k → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 receipt a 0 sent → moved sms of 0
        t=1s start a key=k ⇢ issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sent] (replayed)
        t=40s start a key=k ⇢ issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sent] (replayed)
        t=41s receipt a 0 delivered → moved sms of 0
        t=41s start a key=k ⇢ issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [delivered] (replayed)
        t=41s check a right → approved a new
        t=42s receipt a 0 sent ⇢ no news
        t=42s redeem a s → signed in s gen 0 user 1 new till 30d42s
    "#]]);
}

/// security 116: neither tries, windows nor ends move; a receipt confirms nothing and revives nothing.
#[test]
fn nothing_else_moves() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 settle a 0 accepted → done
        t=1s 4× check a wrong → no: wrong, 1 left
        t=1s receipt a 0 undelivered → moved sms of 0
        t=1s read a ⇢ a pending 6 digits till 5m, 1 tries, resend 4× from 30s [undelivered]
        t=1s start b ⇢ no: cooldown until 30s
        t=1s check a wrong → no: wrong, 0 left
        t=30s start b → ✉0 issued b pending 6 digits till 5m30s, 5 tries, resend 4× from 1m [sending]
        t=30s settle b 0 accepted → done
        t=30s cancel b → b canceled 6 digits till 5m30s, 5 tries, resend 4× from 1m [accepted]
        t=31s receipt b 0 delivered → moved sms of 30s
        t=31s read b ⇢ b canceled 6 digits till 5m30s, 5 tries, resend 4× from 1m [delivered]
        t=6m receipt a 0 delivered ⇢ no news
        t=6m read a ⇢ a expired 6 digits till 5m, 0 tries, resend 4× from 1m [undelivered]
        failures is 0
    "#]]);
}

/// What a provider is told to name a send by: ours alone open, with an older key too, and as nothing else.
#[test]
fn references_are_sealed() {
    let (keys, number) = (ring(2, &[1]), phone('A'));
    let reference = keys.reference(1, number, 77, 3);
    let hex = reference.strip_suffix("-3").unwrap();
    assert_eq!(reference.len(), 34);
    let (opened, delivery) = keys.open_reference(&reference).unwrap();
    assert_eq!((opened.phone, opened.nonce, delivery), (number, 77, 3));
    assert_eq!(keys.reference(1, number, 77, 3), reference, "the same in every try");
    assert!(!reference.contains("98912"));
    let id = SealedId::from_hex(hex).unwrap();
    assert!(keys.open(IdKind::Verification, id).is_none() && keys.open(IdKind::Session, id).is_none());
    assert!(ring(3, &[]).open_reference(&reference).is_none());
    let verification = keys.seal(1, IdKind::Verification, number, 77).to_hex();
    for no in [
        String::new(),
        hex.to_owned(),
        format!("{hex}-"),
        format!("{hex}-10"),
        format!("{hex}-x"),
        format!("{hex}-+"),
        format!(" {reference}"),
        reference.to_uppercase(),
        format!("{verification}-3"),
        format!("ver_{reference}"),
    ] {
        assert!(keys.open_reference(&no).is_none(), "{no}");
    }
}
