//! Kavenegar's own rows: the request as documented, templates, number forms, and its codes over the wire.

use std::sync::Arc;

use otpd::{
    record::Code,
    sms::{
        Gateway, SendClass, Sms,
        kavenegar::{Kavenegar, KavenegarSettings},
    },
};

use crate::{
    fake_http::{FakeHttp, Step},
    fake_kavenegar::{API_KEY, LINE, TEMPLATE, error, error_in_success, start},
    kit::{CODE, TEXT, TO, assert_hidden, patient, send, sender, sms},
};

/// `kit::ID` as Kavenegar is told it.
const LOCAL_ID: &str = "24348";

fn gateway(fake: &FakeHttp, change: impl FnOnce(&mut KavenegarSettings)) -> Arc<dyn Gateway> {
    let mut settings = KavenegarSettings {
        base_url: fake.base_url(),
        api_key: API_KEY.into(),
        limits: patient(),
        ..KavenegarSettings::default()
    };
    change(&mut settings);
    Arc::new(Kavenegar::new(&settings).unwrap())
}

fn fields(fake: &FakeHttp) -> Vec<(String, String)> {
    fake.taken().pop().unwrap().fields
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Without a template our text goes out, by the line that is set or by the account's own.
#[tokio::test]
async fn a_text_goes_by_a_line() {
    let fake = start().await;
    gateway(&fake, |_| {}).send(&sms(TO)).await.unwrap();
    assert_eq!(fields(&fake), pairs(&[("message", TEXT), ("localid", LOCAL_ID)]));
    let accepted = gateway(&fake, |settings| settings.sender = Some(LINE.to_owned())).send(&sms(TO)).await.unwrap();
    assert_eq!(fields(&fake), pairs(&[("message", TEXT), ("sender", LINE), ("localid", LOCAL_ID)]));
    assert_eq!(accepted.provider_id.as_deref(), Some("8792344"));
    assert_eq!(fake.violations(), Vec::<&str>::new());
}

/// With a template the code alone goes out, leading zeros kept; a notice has no code and goes as text.
#[tokio::test]
async fn a_code_goes_by_template_and_a_notice_as_text() {
    let fake = start().await;
    let gateway = gateway(&fake, |settings| {
        settings.template = Some(TEMPLATE.to_owned());
        settings.sender = Some(LINE.to_owned());
    });
    for code in [CODE, "0042", "0000000001"] {
        let accepted = gateway.send(&Sms { code: Code::from_digits(code), ..sms(TO) }).await.unwrap();
        assert!(accepted.provider_id.is_some(), "the answer has one object for a list");
        assert_eq!(fields(&fake), pairs(&[("template", TEMPLATE), ("token", code)]));
    }
    let notice = Sms { text: "Your Acme account was moved.".to_owned(), code: None, ..sms(TO) };
    gateway.send(&notice).await.unwrap();
    assert_eq!(
        fields(&fake),
        pairs(&[("message", "Your Acme account was moved."), ("sender", LINE), ("localid", LOCAL_ID)])
    );
    assert_eq!(fake.violations(), Vec::<&str>::new());
}

/// security 49: Iranian numbers are local, others begin with zeros; the fake refuses all else.
#[tokio::test]
async fn numbers_have_kavenegars_form() {
    let fake = start().await;
    let gateway = gateway(&fake, |_| {});
    for (to, wire) in [(TO, "09123456789"), ("+14155550123", "0014155550123"), ("+982112345678", "00982112345678")] {
        gateway.send(&sms(to)).await.unwrap();
        assert_eq!(fake.taken().pop().unwrap().to, wire);
    }
    assert_eq!(fake.violations(), Vec::<&str>::new());
}

/// A line or template that is not the account's is told to the operator and not tried again.
#[tokio::test]
async fn a_strange_line_or_template_is_a_setting_to_mend() {
    let fake = start().await;
    let line = gateway(&fake, |settings| settings.sender = Some("30001234".to_owned()));
    let template = gateway(&fake, |settings| settings.template = Some("other".to_owned()));
    for (gateway, rule, detail) in [(line, "sender", "kavenegar 412"), (template, "template", "kavenegar 424")] {
        let report = send(&sender(gateway), TO).await;
        let error = report.result.unwrap_err();
        assert_eq!((error.class, error.detail.as_str(), report.tries), (SendClass::BadConfig, detail, 1));
        assert_eq!(fake.violations().last(), Some(&rule));
    }
    assert!(fake.taken().is_empty());
}

/// Each documented code in its own HTTP status and inside a success; `Ok` is a second try that was taken.
#[tokio::test]
async fn every_code_its_class_and_its_tries() {
    use SendClass as C;
    let fake = start().await;
    let sender = sender(gateway(&fake, |_| {}));
    let table = [
        (400, Some(C::BadConfig)),
        (401, Some(C::AuthFailed)),
        (402, None),
        (403, Some(C::AuthFailed)),
        (404, Some(C::BadConfig)),
        (407, Some(C::AuthFailed)),
        (409, None),
        (411, Some(C::InvalidNumber)),
        (412, Some(C::BadConfig)),
        (413, Some(C::BadConfig)),
        (416, Some(C::AuthFailed)),
        (418, Some(C::InsufficientCredit)),
        (422, Some(C::BadConfig)),
        (424, Some(C::BadConfig)),
        (426, Some(C::BadConfig)),
        (429, None),
        (431, Some(C::BadConfig)),
        (432, Some(C::BadConfig)),
        (451, None),
        (501, Some(C::UnverifiedRecipient)),
        (607, Some(C::BadConfig)),
    ];
    for (code, class) in table {
        for reply in [error(code), error_in_success(code)] {
            let (before, taken) = (fake.requests(), fake.taken().len());
            fake.next(Step::Answer(reply));
            let report = send(&sender, TO).await;
            assert_hidden(&format!("{report:?} {sender:?}"), &[API_KEY]);
            assert_eq!(report.result.as_ref().err().map(|error| error.class), class, "{code}");
            let tries = if class.is_none() { 2 } else { 1 };
            assert_eq!((fake.requests() - before, fake.taken().len() - taken), (tries, tries - 1), "{code}");
        }
    }
    assert_eq!(fake.violations(), Vec::<&str>::new());
}
