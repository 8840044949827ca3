//! Codes at a door that blocks addresses: three wrong answers in a row, and that pair of number and address waits.

use expect_test::expect;

use super::script::plays;

/// dialects.md, `phone_password`: the third wrong code blocks the address for an hour; another may still answer.
#[test]
fn the_third_wrong_code_blocks() {
    plays(&expect![[r#"
        t=0 start a pair/login → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=1s check @pair/login wrong → no: wrong, 4 left
        t=2s check @pair/login wrong → no: wrong, 3 left
        t=3s check @pair/login wrong → no: wrong, blocked until 1h3s
        t=3s commits is Some(4)
        t=3s check @pair/login right ⇢ no: blocked until 1h3s
        t=3s check a right ⇢ no: blocked until 1h3s
        t=3s check @pair/login wrong ⇢ no: blocked until 1h3s
        t=3s commits is Some(4)
        t=3s check @pair/login wrong addr=2 → no: wrong, 1 left
        t=3s check @pair/login right addr=2 → approved a new
    "#]]);
}

/// Blocked is blocked, whatever there is to answer: after the code's end too, and with the next one.
#[test]
fn a_block_outlives_its_code() {
    plays(&expect![[r#"
        t=0 start a pair/login → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 3× check @pair/login wrong → no: wrong, blocked until 1h
        t=1m check @pair/login right ⇢ no: blocked until 1h
        t=10m check @pair/login right ⇢ no: blocked until 1h
        t=10m check @pair/signup 0000 ⇢ no: blocked until 1h
        t=59m start b pair/login → ✉0 issued b pending 4 digits till 1h9m, 5 tries, resend 7× from 59m [sending]
        t=1h-1ms check @pair/login right ⇢ no: blocked until 1h
        t=1h check @pair/login right → approved b new
    "#]]);
}

/// Tries of the code, of the number and of the address are three counts: by id the address strikes out too.
#[test]
fn by_id_too() {
    plays(&expect![[r#"
        t=0 start a pair/login → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check a wrong → no: wrong, 4 left
        t=0 check @pair/login wrong → no: wrong, 4 left
        t=0 check a 123 ⇢ no: format
        t=0 check a wrong → no: wrong, blocked until 1h
        t=0 check a right ⇢ no: blocked until 1h
        t=0 failures is 1
        t=0 check a right addr=2 → approved a new
    "#]]);
}

/// A right code clears the strikes of its address, and of no other; wrong ones are forgotten an hour after the last.
#[test]
fn a_right_code_clears() {
    plays(&expect![[r#"
        t=0 start a pair/login → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check a wrong → no: wrong, 4 left
        t=0 check a wrong → no: wrong, 3 left
        t=0 check a wrong addr=2 → no: wrong, 2 left
        t=0 check a right → approved a new
        t=1s start b pair/login → ✉0 issued b pending 4 digits till 10m1s, 5 tries, resend 7× from 1s [sending]
        t=1s check b wrong → no: wrong, 4 left
        t=1s check b wrong → no: wrong, 3 left
        t=1s check b wrong addr=2 → no: wrong, 2 left
        t=1s check b wrong addr=2 → no: wrong, blocked until 1h1s
        t=1h start c pair/login → ✉0 issued c pending 4 digits till 1h10m, 5 tries, resend 7× from 1h [sending]
        t=1h check c wrong addr=2 ⇢ no: blocked until 1h1s
        t=1h1s check c wrong → no: wrong, 4 left
        t=1h1s check c wrong → no: wrong, 3 left
        t=1h1s check c right → approved c new
    "#]]);
}

/// Wrong codes and wrong passwords are counted apart.
#[test]
fn codes_and_passwords_apart() {
    plays(&expect![[r#"
        t=0 start a pair/registration → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check @pair/registration right grant=g → granted g till 10m
        t=0 register g s password=secret → signed in s gen 0 user 1 new till 30d
        t=0 start b pair/login → ✉0 issued b pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check b wrong → no: wrong, 4 left
        t=0 check b wrong → no: wrong, 3 left
        t=0 compare c → comparing with secret
        t=0 compared c → no: wrong password
        t=0 check b wrong → no: wrong, blocked until 1h
        t=0 compare c → comparing with secret
        t=0 compared c → no: wrong password
        t=0 compare c → comparing with secret
        t=0 compared c → no: wrong password, blocked until 1h
        t=0 check b right ⇢ no: blocked until 1h
    "#]]);
}

/// A door without blocks neither strikes nor asks.
#[test]
fn other_doors_do_not_block() {
    plays(&expect![[r#"
        t=0 start a wide/login → ✉0 issued a pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 4× check a wrong → no: wrong, 1 left
        t=0 check a right → approved a new
        t=0 start b pair/login → ✉0 issued b pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 3× check b wrong → no: wrong, blocked until 1h
        t=0 start c wide/login → ✉0 issued c pending 6 digits till 5m, 5 tries, resend 7× from 0 [sending]
        t=0 check c right → approved c new
        t=0 check b right ⇢ no: blocked until 1h
    "#]]);
}

/// An unlock ends the block.
#[test]
fn an_unlock_ends_the_block() {
    plays(&expect![[r#"
        t=0 start a pair/login → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 3× check a wrong → no: wrong, blocked until 1h
        t=0 check a right ⇢ no: blocked until 1h
        t=0 unlock → done
        t=0 unlock ⇢ done
        t=0 check a right → approved a new
    "#]]);
}

/// Clocks: within the hour time stands still; further back the block keeps what is left of it and no more.
#[test]
fn blocks_and_clocks() {
    plays(&expect![[r#"
        t=1d start a pair/login → ✉0 issued a pending 4 digits till 1d10m, 5 tries, resend 7× from 1d [sending]
        t=1d 3× check a wrong → no: wrong, blocked until 1d1h
        t=1d-1h check a right ⇢ no: blocked until 1d1h
        t=1d+20m start b pair/login → ✉0 issued b pending 4 digits till 1d30m, 5 tries, resend 7× from 1d20m [sending]
        t=0 check b right → no: blocked until 40m
        t=40m-1ms start c pair/login → ✉0 issued c pending 4 digits till 49m59s999ms, 5 tries, resend 7× from 39m59s999ms [sending]
        t=40m-1ms check c right ⇢ no: blocked until 40m
        t=40m check c right → approved c new
    "#]]);
    plays(&expect![[r#"
        # A clock that runs ahead ends it as time does; set back, it does not return.
        t=0 start a pair/login → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 3× check a wrong → no: wrong, blocked until 1h
        t=2h start b pair/login → ✉0 issued b pending 4 digits till 2h10m, 5 tries, resend 7× from 2h [sending]
        t=0 start c pair/login → ✉0 issued c pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 check c right → approved c new
    "#]]);
}

/// Eight addresses are remembered; beyond, those not blocked go first, the oldest of them before the others.
#[test]
fn room_for_eight() {
    plays(&expect![[r#"
        t=0 start a pair/login → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=0 3× check a wrong addr=1 → no: wrong, blocked until 1h
        t=1s check a wrong addr=2 → no: wrong, 1 left
        t=1s start b pair/login → ✉0 issued b pending 4 digits till 10m1s, 5 tries, resend 7× from 1s [sending]
        t=2s check b wrong addr=3 → no: wrong, 4 left
        t=2s check b wrong addr=4 → no: wrong, 3 left
        t=2s check b wrong addr=5 → no: wrong, 2 left
        t=2s check b wrong addr=6 → no: wrong, 1 left
        t=2s start c pair/login → ✉0 issued c pending 4 digits till 10m2s, 5 tries, resend 7× from 2s [sending]
        t=2s check c wrong addr=7 → no: wrong, 4 left
        t=2s check c wrong addr=8 → no: wrong, 3 left
        t=3s check c wrong addr=9 → no: wrong, 2 left
        # 2 had to go: its count begins anew. 1 is still blocked.
        t=3s check c right addr=1 ⇢ no: blocked until 1h
        t=3s start d pair/login → ✉0 issued d pending 4 digits till 10m3s, 5 tries, resend 7× from 3s [sending]
        t=3s check d wrong addr=2 → no: wrong, 4 left
        t=3s check d wrong addr=2 → no: wrong, 3 left
        t=3s check d right addr=2 → approved d new
    "#]]);
}

/// The wait of a block and the day of a record: it is remembered as long as anything of it matters.
#[test]
fn a_block_is_remembered() {
    plays(&expect![[r#"
        t=0 start a pair/login → ✉0 issued a pending 4 digits till 10m, 5 tries, resend 7× from 0 [sending]
        t=23h59m check a wrong ⇢ no: expired
        t=23h59m start b pair/login → ✉0 issued b pending 4 digits till 1d9m, 5 tries, resend 7× from 23h59m [sending]
        t=23h59m 3× check b wrong → no: wrong, blocked until 1d59m
        t=23h59m forgotten is 2d9m
    "#]]);
}
