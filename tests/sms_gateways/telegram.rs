//! Telegram's own rows: the request as documented, what cannot go by it, and its reasons over the wire.

use std::{sync::Arc, time::Duration};

use otpd::{
    record::Code,
    sms::{
        Gateway, SendClass, Sms,
        outbound::HttpLimits,
        telegram::{Telegram, TelegramSettings},
    },
};

use crate::{
    fake_http::{FakeHttp, Reply, Step},
    fake_telegram::{ACCESS_TOKEN, CHANNEL, refusal, start},
    kit::{CODE, REFERENCE, TO, assert_hidden, patient, send, sender, sms},
    subject::{Account, Fake, Reason, Subject},
};

const WRONG_TOKEN: &str = "AAEFAAAAwrong:token5f1c";

/// What the contract is run over.
pub(crate) async fn subject() -> Subject {
    Subject {
        name: "telegram",
        config: format!("access_token = \"{ACCESS_TOKEN}\"\n"),
        wire_to: TO,
        secrets: &[ACCESS_TOKEN, WRONG_TOKEN, "Bearer "],
        make,
        fake: Fake::Http(start().await, refused),
    }
}

fn make(base_url: &str, account: Account, limits: HttpLimits) -> Arc<dyn Gateway> {
    let token = if account == Account::Good { ACCESS_TOKEN } else { WRONG_TOKEN };
    let base_url = base_url.to_owned();
    let settings = TelegramSettings { base_url, access_token: token.into(), limits, ..TelegramSettings::default() };
    Arc::new(Telegram::new(settings).unwrap())
}

fn refused(reason: Reason, lie: bool) -> Reply {
    let (status, word) = match reason {
        Reason::Number => (400, "PHONE_NUMBER_INVALID"),
        Reason::Settings => (400, "SENDER_NOT_VERIFIED"),
        Reason::Credentials => (401, "ACCESS_TOKEN_INVALID"),
        Reason::Credit => (400, "BALANCE_NOT_ENOUGH"),
    };
    refusal(if lie { 200 } else { status }, word)
}

fn gateway(fake: &FakeHttp, channel: Option<&str>) -> Arc<dyn Gateway> {
    let settings = TelegramSettings {
        base_url: fake.base_url(),
        access_token: ACCESS_TOKEN.into(),
        sender_username: channel.map(str::to_owned),
        receipts_url: None,
        limits: patient(),
    };
    Arc::new(Telegram::new(settings).unwrap())
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The code alone goes out, leading zeros kept, with its life within what Telegram takes.
#[tokio::test]
async fn the_request_is_as_documented() {
    let fake = start().await;
    for (code, valid_s, ttl) in [(CODE, 120, "120"), ("0042", 0, "30"), ("00000001", u32::MAX, "3600")] {
        let message = Sms { code: Code::from_digits(code), valid_s, ..sms(TO) };
        assert!(gateway(&fake, None).send(&message).await.unwrap().provider_id.unwrap().starts_with("823498273"));
        assert_eq!(fake.taken().pop().unwrap().fields, pairs(&[("code", code), ("ttl", ttl), ("payload", REFERENCE)]));
    }
    gateway(&fake, Some(CHANNEL)).send(&sms(TO)).await.unwrap();
    let expected = pairs(&[("code", CODE), ("ttl", "120"), ("sender_username", CHANNEL), ("payload", REFERENCE)]);
    let taken = fake.taken().pop().unwrap();
    assert_eq!((taken.to.as_str(), taken.fields), (TO, expected));
    assert_eq!(fake.violations(), Vec::<&str>::new());
}

/// Receipts come to our URL, with our reference.
#[tokio::test]
async fn a_receipt_is_asked_for() {
    let fake = start().await;
    let url = "https://otp.example.com/v1/receipts/telegram";
    let settings = TelegramSettings {
        base_url: fake.base_url(),
        access_token: ACCESS_TOKEN.into(),
        receipts_url: Some(url.to_owned()),
        ..TelegramSettings::default()
    };
    Telegram::new(settings).unwrap().send(&sms(TO)).await.unwrap();
    let expected = pairs(&[("code", CODE), ("ttl", "120"), ("payload", REFERENCE), ("callback_url", url)]);
    assert_eq!(fake.taken().pop().unwrap().fields, expected);
}

/// A notice, and a code that Telegram does not take, are refused before anything is sent.
#[tokio::test]
async fn what_is_no_short_code_does_not_go_by_telegram() {
    let fake = start().await;
    for code in [None, Code::from_digits("123456789"), Code::from_digits("0123456789")] {
        let report = gateway(&fake, None).send(&Sms { code, ..sms(TO) }).await;
        assert_eq!(report.unwrap_err().class, SendClass::BadConfig);
    }
    assert_eq!(fake.requests(), 0);
}

/// A channel that is not the account's is told to the operator and not tried again.
#[tokio::test]
async fn a_strange_channel_is_a_setting_to_mend() {
    let fake = start().await;
    let report = send(&sender(gateway(&fake, Some("other_codes"))), TO).await;
    let error = report.result.unwrap_err();
    assert_eq!(
        (error.class, error.detail.as_str(), report.tries),
        (SendClass::BadConfig, "telegram SENDER_NOT_OWNED", 1)
    );
    assert_eq!((fake.violations(), fake.taken()), (vec!["sender_username"], Vec::new()));
}

/// The wait that a flood names goes before a header's.
#[tokio::test]
async fn a_flood_says_how_long_to_wait() {
    let fake = start().await;
    let header = Reply { retry_after_s: Some(9), ..refusal(429, "FLOOD_WAIT") };
    let both = Reply { retry_after_s: Some(9), ..refusal(429, "FLOOD_WAIT_17") };
    for (reply, seconds) in [(refusal(200, "FLOOD_WAIT_17"), 17), (both, 17), (header, 9)] {
        fake.next(Step::Answer(reply));
        let error = gateway(&fake, None).send(&sms(TO)).await.unwrap_err();
        assert_eq!((error.class, error.retry_after), (SendClass::Throttled, Some(Duration::from_secs(seconds))));
    }
}

/// security 111: each reason, in a failure of HTTP and inside a success. `None` is a second try that was taken.
#[tokio::test]
async fn every_reason_its_class_and_its_tries() {
    use SendClass as C;
    let fake = start().await;
    let sender = sender(gateway(&fake, None));
    let table = [
        ("ACCESS_TOKEN_INVALID", Some(C::AuthFailed)),
        ("ACCESS_TOKEN_REQUIRED", Some(C::AuthFailed)),
        ("PHONE_NUMBER_INVALID", Some(C::InvalidNumber)),
        ("PHONE_NUMBER_NOT_FOUND", Some(C::Unroutable)),
        ("PHONE_NUMBER_NOT_AVAILABLE", Some(C::Unroutable)),
        ("BALANCE_NOT_ENOUGH", Some(C::InsufficientCredit)),
        ("FLOOD_WAIT_0", None),
        ("SENDER_USERNAME_INVALID", Some(C::BadConfig)),
        ("SENDER_NOT_VERIFIED", Some(C::BadConfig)),
        ("CODE_INVALID", Some(C::BadConfig)),
        ("TTL_INVALID", Some(C::BadConfig)),
        ("MESSAGE_ALREADY_SENT", Some(C::UnknownOutcome)),
        ("NEW_REASON", Some(C::BadConfig)),
    ];
    for (word, class) in table {
        for status in [400, 200] {
            let (before, taken) = (fake.requests(), fake.taken().len());
            fake.next(Step::Answer(refusal(status, word)));
            let report = send(&sender, TO).await;
            assert_hidden(&format!("{report:?} {sender:?}"), &[ACCESS_TOKEN]);
            let shown = report.result.as_ref().err().map(|error| (error.class, error.detail.clone()));
            assert_eq!(shown, class.map(|class| (class, format!("telegram {word}"))), "{status}");
            let tries = if class.is_none() { 2 } else { 1 };
            assert_eq!((fake.requests() - before, fake.taken().len() - taken), (tries, tries - 1), "{status} {word}");
        }
    }
    assert_eq!(fake.violations(), Vec::<&str>::new());
}
