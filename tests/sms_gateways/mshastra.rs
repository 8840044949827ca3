//! mShastra's own rows: the request as documented, both alphabets, and its codes and words over the wire.

use std::sync::Arc;

use otpd::sms::{
    Gateway, SendClass, Sms,
    mshastra::{Mshastra, MshastraSettings},
    receipt::secret_path::UnsignedReceipts,
};

use crate::{
    fake_http::{FakeHttp, Reply, Step},
    fake_mshastra::{PASSWORD, SENDER, USER, in_words, start, verdict},
    kit::{TEXT, TO, assert_hidden, patient, send, sender, sms},
};

fn gateway(fake: &FakeHttp, sender: &str) -> Arc<dyn Gateway> {
    let settings = MshastraSettings {
        base_url: fake.base_url(),
        user: USER.to_owned(),
        password: PASSWORD.into(),
        sender: sender.to_owned(),
        receipts: UnsignedReceipts::default(),
        limits: patient(),
    };
    Arc::new(Mshastra::new(settings).unwrap())
}

/// Digits without a plus; what is not ASCII goes as Unicode.
#[tokio::test]
async fn a_text_goes_in_its_alphabet() {
    let fake = start().await;
    let gateway = gateway(&fake, SENDER);
    for (text, language) in [(TEXT, "English"), ("کد: 482913", "Unicode"), ("caf\u{e9}: 482913", "Unicode")] {
        let accepted = gateway.send(&Sms { text: text.to_owned(), ..sms(TO) }).await.unwrap();
        assert!(accepted.provider_id.unwrap().starts_with("71"));
        let taken = fake.taken().pop().unwrap();
        assert_eq!(taken.to, "989123456789");
        let expected = [("msg", text), ("sender", SENDER), ("language", language)];
        assert_eq!(taken.fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    assert_eq!(fake.violations(), Vec::<&str>::new());
}

/// A sender that is not the profile's is told to the operator and not tried again.
#[tokio::test]
async fn a_strange_sender_is_a_setting_to_mend() {
    let fake = start().await;
    let report = send(&sender(gateway(&fake, "Other")), TO).await;
    let error = report.result.unwrap_err();
    assert_eq!((error.class, error.detail.as_str(), report.tries), (SendClass::BadConfig, "mshastra 012", 1));
    assert_eq!((fake.violations(), fake.taken()), (vec!["sender"], Vec::new()));
}

/// security 111: HTTP says 200 throughout. `Ok` is a second try that was taken; what means nothing is never repeated.
#[tokio::test]
async fn every_verdict_its_class_and_its_tries() {
    use SendClass as C;
    let fake = start().await;
    let json = |body: &str| Reply::new(200, body);
    let table = [
        (verdict("001"), Some(C::InvalidNumber), "mshastra 001"),
        (verdict("003"), Some(C::BadConfig), "mshastra 003"),
        (verdict("005"), Some(C::AuthFailed), "mshastra 005"),
        (verdict("006"), Some(C::OptedOut), "mshastra 006"),
        (verdict("007"), Some(C::InvalidNumber), "mshastra 007"),
        (verdict("008"), Some(C::InvalidNumber), "mshastra 008"),
        (verdict("009"), Some(C::AuthFailed), "mshastra 009"),
        (verdict("010"), Some(C::AuthFailed), "mshastra 010"),
        (verdict("011"), Some(C::AuthFailed), "mshastra 011"),
        (verdict("012"), Some(C::BadConfig), "mshastra 012"),
        (verdict("013"), None, ""),
        (verdict("71,989123456789,006"), Some(C::OptedOut), "mshastra 006"),
        (verdict("099"), Some(C::UnknownOutcome), "mshastra 099"),
        (in_words("Authorization failed"), Some(C::AuthFailed), "mshastra refusal in words"),
        (in_words("Insufficient balance"), Some(C::InsufficientCredit), "mshastra refusal in words"),
        (in_words("unsuccessful"), Some(C::UnknownOutcome), "mshastra answer of no known meaning"),
        (json("[]"), Some(C::UnknownOutcome), "mshastra unreadable answer"),
        (json("000"), Some(C::UnknownOutcome), "mshastra unreadable answer"),
    ];
    for (reply, class, detail) in table {
        // A policy of its own per row: the breaker of one must not refuse the next.
        let sender = sender(gateway(&fake, SENDER));
        let (before, taken) = (fake.requests(), fake.taken().len());
        fake.next(Step::Answer(reply.clone()));
        let report = send(&sender, TO).await;
        assert_hidden(&format!("{report:?} {sender:?}"), &[USER, PASSWORD]);
        let shown = report.result.as_ref().err().map(|error| (error.class, error.detail.as_str()));
        assert_eq!(shown, class.map(|class| (class, detail)), "{reply:?}");
        let tries = if class.is_none() { 2 } else { 1 };
        assert_eq!((fake.requests() - before, fake.taken().len() - taken), (tries, tries - 1), "{reply:?}");
    }
    assert_eq!(fake.violations(), Vec::<&str>::new());
}

/// Older forms of a success, in words and composite.
#[tokio::test]
async fn every_form_of_a_success() {
    let fake = start().await;
    let gateway = gateway(&fake, SENDER);
    for (reply, id) in [(in_words("send success"), Some("71")), (verdict("71,989123456789,000"), None)] {
        fake.next(Step::Answer(reply));
        assert_eq!(gateway.send(&sms(TO)).await.unwrap().provider_id.as_deref(), id);
    }
}
