//! Twilio Verify's own rows: the requests as documented, the end that it wants to be told, and its codes over the wire.

use std::{sync::Arc, time::Duration};

use otpd::{
    clock::{Clock, SystemClock},
    record::Code,
    sms::{
        Channel, Gateway, SendClass, Sms,
        outbound::HttpLimits,
        receipt::Verdict,
        twilio_verify::{TwilioVerify, TwilioVerifySettings},
    },
};

use crate::{
    fake_twilio::{ACCOUNT_SID, AUTH_TOKEN, Behaviour, FakeTwilio, VERIFY_SID},
    kit::{CODE, REFERENCE, TO, assert_hidden, patient, send, sender, sms},
    subject::{Account, Fake, Subject},
};

/// What the contract is run over.
pub(crate) async fn subject() -> Subject {
    Subject {
        name: "twilio_verify",
        config: format!(
            "account_sid = \"{ACCOUNT_SID}\"\nauth_token = \"{AUTH_TOKEN}\"\nservice_sid = \"{VERIFY_SID}\"\n"
        ),
        wire_to: TO,
        secrets: &[AUTH_TOKEN, ACCOUNT_SID, "wrong-token", "Basic "],
        make,
        fake: Fake::Twilio(FakeTwilio::start().await),
    }
}

fn make(base_url: &str, account: Account, limits: HttpLimits) -> Arc<dyn Gateway> {
    let token = if account == Account::Good { AUTH_TOKEN } else { "wrong-token" };
    let settings = TwilioVerifySettings { auth_token: token.into(), limits, ..settings(base_url.to_owned()) };
    Arc::new(TwilioVerify::new(settings, clock()).unwrap())
}

fn settings(base_url: String) -> TwilioVerifySettings {
    TwilioVerifySettings {
        base_url,
        account_sid: ACCOUNT_SID.to_owned(),
        auth_token: AUTH_TOKEN.into(),
        service_sid: VERIFY_SID.to_owned(),
        limits: patient(),
        ..TwilioVerifySettings::default()
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

fn gateway(fake: &FakeTwilio) -> TwilioVerify {
    TwilioVerify::new(settings(fake.base_url()), clock()).unwrap()
}

/// A message whose reference ends in this digit.
fn numbered(number: u8) -> Sms {
    Sms { reference: format!("00112233445566778899aabbccddeeff-{number}"), ..sms(TO) }
}

fn reference(number: u8) -> String {
    numbered(number).reference
}

/// The whole form, by each channel, and in the languages that Verify has.
#[tokio::test]
async fn the_request_is_as_documented() {
    let fake = FakeTwilio::start().await;
    let gateway = gateway(&fake);
    assert_eq!(gateway.channels(), Channel::ALL);
    for (channel, locale, code, named, language) in [
        (Channel::Sms, "en", CODE, "sms", Some("en")),
        (Channel::Voice, "pt-pt", "0042", "call", Some("pt-BR")),
        (Channel::Whatsapp, "fa", "0000000001", "whatsapp", None),
    ] {
        let sms = Sms { channel, locale: locale.to_owned(), code: Code::from_digits(code), ..sms(TO) };
        let accepted = gateway.send(&sms).await.unwrap();
        let taken = fake.messages().pop().unwrap();
        assert!(accepted.provider_id.is_some_and(|sid| sid == taken.sid && sid.starts_with("VE")));
        let expected = [("To", TO), ("Channel", named), ("CustomCode", code)];
        let expected = expected.into_iter().chain(language.map(|language| ("Locale", language)));
        let expected: Vec<_> = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(taken.fields, expected);
    }
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// What has no code that Verify takes is refused before anything is sent.
#[tokio::test]
async fn what_is_no_code_does_not_go_by_verify() {
    let fake = FakeTwilio::start().await;
    for code in [None, Code::from_digits("123")] {
        let error = gateway(&fake).send(&Sms { code, ..sms(TO) }).await.unwrap_err();
        assert_eq!(error.class, SendClass::BadConfig);
    }
    assert_eq!(fake.requests(), 0);
}

/// The sixth start for a number is refused while five are open, and not tried again; an end that is told, or ten
/// minutes, make room.
#[tokio::test]
async fn the_end_is_told_or_the_sixth_start_is_refused() {
    let fake = FakeTwilio::start().await;
    let gateway = Arc::new(gateway(&fake));
    for (verdict, status) in [(Verdict::Approved, "approved"), (Verdict::Canceled, "canceled")] {
        for number in 1..=5 {
            gateway.send(&numbered(number)).await.unwrap();
        }
        let report = send(&sender(Arc::clone(&gateway) as Arc<dyn Gateway>), TO).await;
        let error = report.result.unwrap_err();
        assert_eq!((error.class, error.detail.as_str()), (SendClass::Throttled, "twilio_verify 60203"));
        assert_eq!((error.retry_after, report.tries), (Some(Duration::from_secs(600)), 1));

        let sid = fake.messages().pop().unwrap().sid;
        gateway.conclude(&reference(5), verdict).await;
        assert_eq!(fake.feedback().pop().unwrap(), (sid, status.to_owned()));
        gateway.send(&numbered(6)).await.unwrap();
        fake.pass(Duration::from_secs(600));
    }
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// An end is told once; a reference that is not known asks for nothing; one that Twilio has closed already is no fault.
#[tokio::test]
async fn an_end_is_told_once() {
    let fake = FakeTwilio::start().await;
    let gateway = gateway(&fake);
    gateway.send(&numbered(1)).await.unwrap();
    gateway.send(&numbered(2)).await.unwrap();
    gateway.send(&Sms { reference: String::new(), ..sms(TO) }).await.unwrap();
    let before = fake.requests();
    gateway.conclude("", Verdict::Approved).await;
    gateway.conclude(REFERENCE, Verdict::Approved).await;
    assert_eq!(fake.requests(), before);
    gateway.conclude(&reference(1), Verdict::Approved).await;
    gateway.conclude(&reference(1), Verdict::Approved).await;
    assert_eq!((fake.requests() - before, fake.feedback().len()), (1, 1));
    // The same verification at Twilio by another reference of ours: it is over.
    gateway.conclude(&reference(2), Verdict::Canceled).await;
    assert_eq!((fake.requests() - before, fake.feedback().len()), (2, 1));
}

/// What becomes of an end is counted, and nothing hangs on it.
#[test]
fn ends_are_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let fake = FakeTwilio::start().await;
            let settings = TwilioVerifySettings { pending_max: 2, ..settings(fake.base_url()) };
            let gateway = TwilioVerify::new(settings, clock()).unwrap();
            for number in 1..=3 {
                gateway.send(&numbered(number)).await.unwrap();
            }
            gateway.conclude(&reference(1), Verdict::Approved).await;
            for behaviour in [Behaviour::Refuse(401, 20003), Behaviour::Accept] {
                fake.next(behaviour);
                gateway
                    .conclude(&reference(if behaviour == Behaviour::Accept { 3 } else { 2 }), Verdict::Approved)
                    .await;
            }
            assert_eq!(fake.feedback().len(), 1);
        });
    });
    let text = handle.render();
    for outcome in ["forgotten", "failed", "told"] {
        let line = format!("otpd_sms_feedback_total{{route=\"twilio_verify\",outcome=\"{outcome}\"}} 1");
        assert!(text.contains(&line), "{text}");
    }
}

/// A feedback that lies: a success of HTTP that is none, or that speaks of another end.
#[tokio::test]
async fn a_lie_about_an_end_is_not_believed_and_breaks_nothing() {
    let fake = FakeTwilio::start().await;
    let gateway = gateway(&fake);
    for behaviour in [Behaviour::Embedded(20003), Behaviour::Html(200), Behaviour::Drop, Behaviour::Status(503)] {
        gateway.send(&numbered(1)).await.unwrap();
        fake.next(behaviour);
        gateway.conclude(&reference(1), Verdict::Approved).await;
        fake.pass(Duration::from_secs(600));
    }
}

/// The codes of Verify over the wire, and whether the start is tried once more.
#[tokio::test]
async fn every_code_its_class_and_its_tries() {
    use SendClass as C;
    let fake = FakeTwilio::start().await;
    let table = [
        (400, 60200, Some(C::InvalidNumber)),
        (429, 60202, None),
        (429, 60203, Some(C::Throttled)),
        (400, 60204, Some(C::BadConfig)),
        (400, 60205, Some(C::Landline)),
        (429, 60207, None),
        (429, 60212, None),
        (403, 60223, Some(C::BadConfig)),
        (400, 60243, Some(C::BadConfig)),
        (500, 60401, None),
        (500, 60403, None),
        (403, 60410, Some(C::FraudBlocked)),
        (400, 60600, Some(C::Unroutable)),
        (400, 60605, Some(C::RegionDenied)),
        (400, 60610, Some(C::Unroutable)),
        (400, 68008, Some(C::BadConfig)),
        (401, 20003, Some(C::AuthFailed)),
        (400, 21608, Some(C::UnverifiedRecipient)),
    ];
    for (status, code, class) in table {
        fake.pass(Duration::from_secs(600));
        let sender = sender(Arc::new(gateway(&fake)));
        fake.next(Behaviour::Refuse(status, code));
        let report = send(&sender, TO).await;
        assert_hidden(&format!("{report:?} {sender:?}"), &[AUTH_TOKEN, ACCOUNT_SID, "Basic "]);
        let shown = report.result.as_ref().err().map(|error| (error.class, error.detail.clone()));
        assert_eq!(shown, class.map(|class| (class, format!("twilio_verify {code}"))));
        assert_eq!(report.tries, if class.is_none() { 2 } else { 1 }, "{code}");
    }
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// A parameter of ours that Twilio does not take is a setting to mend, not the number's fault.
#[tokio::test]
async fn a_service_that_is_not_the_accounts_is_a_setting_to_mend() {
    let fake = FakeTwilio::start().await;
    let settings = TwilioVerifySettings { service_sid: format!("VA{:032x}", 7), ..settings(fake.base_url()) };
    let error = TwilioVerify::new(settings, clock()).unwrap().send(&sms(TO)).await.unwrap_err();
    assert_eq!((error.class, error.detail.as_str()), (SendClass::BadConfig, "twilio_verify 20404"));
    assert_eq!(fake.violations(), ["path"]);
}
