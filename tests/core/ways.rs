//! By what a code travels: another channel on request, another way after silence, and no way at all for test numbers.

use expect_test::expect;

use super::script::plays;

/// A challenge that leaves the way to us goes another way while nothing is heard of it; it costs what a resend costs.
#[test]
fn a_silent_message_goes_another_way() {
    plays(&expect![[r#"
        t=0 start a auto → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 settle a 0 accepted by=sms → done
        t=10s advance a 0 → ✉1 issued a pending 6 digits till 5m, 5 tries, resend 3× from 1m10s [accepted sending]
        t=10s settle a 1 accepted by=voice → done
        t=11s advance a 0 ⇢ done
        t=20s receipt a 1 sent → moved voice of 10s
        t=25s advance a 1 → ✉2 issued a pending 6 digits till 5m, 5 tries, resend 2× from 2m25s [accepted sent sending]
        t=25s settle a 2 unknown by=voice → done
        t=40s advance a 2 ⇢ done
        t=41s start b ⇢ no: cooldown until 55s
        t=2m5s advance a 2 → ✉3 issued a pending 6 digits till 5m, 5 tries, resend 1× from 4m5s [accepted sent unknown sending]
    "#]]);
}

/// Whatever was heard of it ends the search: a receipt, a try of any kind, an end.
#[test]
fn one_that_was_heard_of_stays() {
    plays(&expect![[r#"
        t=0 start a auto → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 advance a 0 ⇢ done
        t=0 settle a 0 accepted → done
        t=5s receipt a 0 delivered → moved sms of 0
        t=10s advance a 0 ⇢ done
        B: start b auto → ✉0 issued b pending 6 digits till 5m10s, 5 tries, resend 4× from 40s [sending]
        B: settle b 0 accepted → done
        B: check b wrong → no: wrong, 4 left
        B: advance b 0 ⇢ done
        C: start c auto → ✉0 issued c pending 6 digits till 5m10s, 5 tries, resend 4× from 40s [sending]
        C: settle c 0 accepted → done
        C: check c right → approved c new
        C: advance c 0 ⇢ done
        D: start d auto → ✉0 issued d pending 6 digits till 5m10s, 5 tries, resend 4× from 40s [sending]
        D: settle d 0 failed → done
        D: advance d 0 ⇢ done
        E: start e auto life=1m → ✉0 issued e pending 6 digits till 1m10s, 5 tries, resend 4× from 40s [sending]
        E: settle e 0 accepted → done
        t=2m E: advance e 0 ⇢ done
        E: advance f 0 ⇢ done
    "#]]);
}

/// Only those that left the way to us, only with their own code, and a message that will not arrive at once.
#[test]
fn others_stay_at_their_way() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 settle a 0 accepted → done
        t=10s advance a 0 ⇢ done
        B: start b auto code=123456 → ✉0 issued b pending 6 digits till 5m10s, 5 tries, resend 4× from 40s [sending]
        B: settle b 0 accepted → done
        B: receipt b 0 undelivered → moved sms of 10s
        B: advance b 0 wrong ⇢ done
        B: advance b 0 → ✉1 issued b pending 6 digits till 5m10s, 5 tries, resend 3× from 1m10s [undelivered sending]
    "#]]);
}

/// A resend may name the channel; the challenge keeps its own.
#[test]
fn a_resend_goes_by_the_channel_it_names() {
    plays(&expect![[r#"
        t=0 start a → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 settle a 0 accepted → done
        t=30s resend a via=voice → ✉1 issued a pending 6 digits till 5m, 5 tries, resend 3× from 1m30s [accepted sending]
        t=30s settle a 1 accepted by=voice → done
        t=30s receipt a 1 delivered → moved voice of 30s
        t=90s resend a → ✉2 issued a pending 6 digits till 5m, 5 tries, resend 2× from 3m30s [accepted delivered sending]
        t=90s settle a 2 accepted → done
        t=91s receipt a 2 sent → moved sms of 1m30s
    "#]]);
}

/// A test number has every limit on guessing and none on sending.
#[test]
fn a_test_number_is_sent_nothing_and_counted_nothing() {
    plays(&expect![[r#"
        t=0 start a unpaid code=123456 → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 start b unpaid code=123456 → ✉0 issued b pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 start c unpaid code=123456 → ✉0 issued c pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 start d unpaid code=123456 → ✉0 issued d pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 start e → ✉0 issued e pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 start f ⇢ no: cooldown until 30s
        t=0 start g unpaid code=123456 → ✉0 issued g pending 6 digits till 5m, 5 tries, resend 4× from 30s [sending]
        t=0 check g wrong → no: wrong, 4 left
        t=0 check g 123456 → approved g new
    "#]]);
}
