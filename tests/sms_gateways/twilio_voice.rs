//! Twilio Voice's own rows: the request as documented, what is said, magic numbers, and its codes over the wire.

use std::sync::Arc;

use otpd::{
    record::Code,
    sms::{
        Channel, Gateway, SendClass, Sms,
        outbound::HttpLimits,
        twilio_voice::{TwilioVoice, TwilioVoiceSettings},
    },
};

use crate::{
    fake_twilio::{ACCOUNT_SID, AUTH_TOKEN, Behaviour, FakeTwilio, Kind, SENDER},
    kit::{REFERENCE, TO, assert_hidden, patient, send, sender, sms},
    subject::{Account, Fake, Subject},
};

/// What the contract is run over.
pub(crate) async fn subject() -> Subject {
    Subject {
        name: "twilio_voice",
        config: format!("account_sid = \"{ACCOUNT_SID}\"\nauth_token = \"{AUTH_TOKEN}\"\nfrom = \"{SENDER}\"\n"),
        wire_to: TO,
        secrets: &[AUTH_TOKEN, ACCOUNT_SID, "wrong-token", "Basic "],
        make,
        fake: Fake::Twilio(FakeTwilio::start().await),
    }
}

fn make(base_url: &str, account: Account, limits: HttpLimits) -> Arc<dyn Gateway> {
    let token = if account == Account::Good { AUTH_TOKEN } else { "wrong-token" };
    let settings = TwilioVoiceSettings { auth_token: token.into(), limits, ..settings(base_url.to_owned()) };
    Arc::new(TwilioVoice::new(settings).unwrap())
}

pub(crate) fn settings(base_url: String) -> TwilioVoiceSettings {
    TwilioVoiceSettings {
        base_url,
        account_sid: ACCOUNT_SID.to_owned(),
        auth_token: AUTH_TOKEN.into(),
        from: SENDER.to_owned(),
        app: "Acme & Sons".to_owned(),
        limits: patient(),
        ..TwilioVoiceSettings::default()
    }
}

fn call(code: &str, locale: &str) -> Sms {
    Sms { channel: Channel::Voice, code: Code::from_digits(code), locale: locale.to_owned(), ..sms(TO) }
}

/// The whole form; the code stands in it alone, leading zeros kept, in the language of the message.
#[tokio::test]
async fn the_request_is_as_documented() {
    let fake = FakeTwilio::start().await;
    let url = "https://otp.example.com/v1/receipts/twilio_voice";
    let gateway =
        TwilioVoice::new(TwilioVoiceSettings { receipts_url: Some(url.to_owned()), ..settings(fake.base_url()) });
    let gateway = gateway.unwrap();
    assert_eq!(gateway.channels(), [Channel::Voice]);
    let pause = "<break time=\"700ms\"/>";
    for (locale, tag, first, again, last) in [
        (
            "en",
            "language=\"en-US\" voice=\"Polly.Joanna\"",
            "Hello. Your Acme &amp; Sons code is:",
            "Once more, your code is:",
            "Goodbye.",
        ),
        (
            "fa",
            "language=\"en-US\" voice=\"Polly.Joanna\"",
            "Hello. Your Acme &amp; Sons code is:",
            "Once more, your code is:",
            "Goodbye.",
        ),
        (
            "tr-tr",
            "language=\"tr-TR\" voice=\"Polly.Filiz\"",
            "Merhaba. Acme &amp; Sons kodunuz:",
            "Tekrar ediyorum, kodunuz:",
            "Hoşça kalın.",
        ),
    ] {
        let accepted = gateway.send(&call("0482", locale)).await.unwrap();
        let taken = fake.messages().pop().unwrap();
        assert!(accepted.provider_id.is_some_and(|sid| sid == taken.sid && sid.starts_with("CA")));
        let digits = format!("{pause}0{pause}4{pause}8{pause}2");
        let twiml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Say {tag}>{first}{digits}</Say><Pause length=\"1\"/>\
             <Say {tag}>{again}{digits}</Say><Say {tag}>{last}</Say></Response>"
        );
        let callback = format!("{url}?ref={REFERENCE}");
        let expected =
            [("To", TO), ("From", SENDER), ("Twiml", &*twiml), ("Timeout", "25"), ("StatusCallback", &*callback)];
        assert_eq!(taken.fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(taken.kind, Kind::Call);
    }
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// Every language passes the fake, which reads TwiML as Twilio does.
#[tokio::test]
async fn every_language_is_understood() {
    let fake = FakeTwilio::start().await;
    let gateway = TwilioVoice::new(settings(fake.base_url())).unwrap();
    for locale in ["en", "es", "fr", "de", "pt", "ru", "tr", "ar", "hi", "id", "fa", "sw"] {
        gateway.send(&call("482913", locale)).await.unwrap();
        let said = fake.messages().pop().unwrap().body;
        assert_eq!(said.matches("4 8 2 9 1 3").count(), 2, "{said}");
        assert!(said.contains("Acme & Sons"), "{said}");
    }
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// A notice cannot be called: it is refused before anything is sent.
#[tokio::test]
async fn what_is_no_code_is_not_called() {
    let fake = FakeTwilio::start().await;
    let gateway = TwilioVoice::new(settings(fake.base_url())).unwrap();
    let error = gateway.send(&Sms { code: None, ..call("1", "en") }).await.unwrap_err();
    assert_eq!((error.class, fake.requests()), (SendClass::BadConfig, 0));
}

/// Twilio's magic numbers for calls, end to end.
#[tokio::test]
async fn magic_numbers() {
    let fake = FakeTwilio::start().await;
    let gateway = TwilioVoice::new(settings(fake.base_url())).unwrap();
    for (to, class) in [
        ("+15005550001", SendClass::InvalidNumber),
        ("+15005550002", SendClass::Unroutable),
        ("+15005550003", SendClass::RegionDenied),
        ("+15005550004", SendClass::RegionDenied),
    ] {
        assert_eq!(gateway.send(&sms(to)).await.unwrap_err().class, class, "{to}");
    }
    for from in ["+15005550001", "+12025550199"] {
        let gateway = TwilioVoice::new(TwilioVoiceSettings { from: from.to_owned(), ..settings(fake.base_url()) });
        assert_eq!(gateway.unwrap().send(&sms(TO)).await.unwrap_err().class, SendClass::BadConfig, "{from}");
    }
    assert!(fake.messages().is_empty());
}

/// The codes of calls over the wire, and whether the call is tried once more.
#[tokio::test]
async fn every_code_its_class_and_its_tries() {
    use Behaviour as B;
    use SendClass as C;
    let fake = FakeTwilio::start().await;
    let table = [
        (B::Refuse(400, 13224), Some(C::Unroutable)),
        (B::Refuse(400, 21202), Some(C::FraudBlocked)),
        (B::Refuse(400, 21210), Some(C::BadConfig)),
        (B::Refuse(400, 21215), Some(C::RegionDenied)),
        (B::Refuse(400, 21217), Some(C::InvalidNumber)),
        (B::Refuse(400, 21219), Some(C::UnverifiedRecipient)),
        (B::Refuse(403, 10005), Some(C::AuthFailed)),
        (B::Refuse(429, 10004), None),
        (B::FailedMessage(13224), Some(C::Unroutable)),
    ];
    for (behaviour, class) in table {
        let sender = sender(Arc::new(TwilioVoice::new(settings(fake.base_url())).unwrap()));
        fake.next(behaviour);
        let report = send(&sender, TO).await;
        assert_hidden(&format!("{report:?} {sender:?}"), &[AUTH_TOKEN, ACCOUNT_SID, "Basic "]);
        assert_eq!(report.result.as_ref().err().map(|error| error.class), class, "{behaviour:?}");
        assert_eq!(report.tries, if class.is_none() { 2 } else { 1 }, "{behaviour:?}");
    }
    assert_eq!(fake.violations(), Vec::<String>::new());
}
