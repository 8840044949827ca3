//! Twilio's own rows: its codes, magic numbers and validity over the wire, retries and certificates.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use otpd::sms::{
    Gateway as _, SendClass, Sms,
    twilio::{Twilio, TwilioSettings},
};
use tokio::net::TcpListener;

use crate::{
    fake_twilio::{ACCOUNT_SID, AUTH_TOKEN, Behaviour, FakeTwilio, SENDER, SERVICE_SID},
    kit::{self, REFERENCE, TO, assert_hidden, send, sms},
};

/// Limits that no healthy answer meets.
fn patient(base_url: String) -> TwilioSettings {
    TwilioSettings {
        base_url,
        account_sid: ACCOUNT_SID.to_owned(),
        auth_token: AUTH_TOKEN.into(),
        from: Some(SENDER.to_owned()),
        limits: kit::patient(),
        ..TwilioSettings::default()
    }
}

fn sender(settings: TwilioSettings) -> otpd::sms::sender::Sender {
    kit::sender(Arc::new(Twilio::new(settings).unwrap()))
}

#[tokio::test]
async fn a_message_arrives_as_it_was_given() {
    let fake = FakeTwilio::start().await;
    let gateway = Twilio::new(patient(fake.base_url())).unwrap();
    let text = "کد: 000123 & 100% +a=b\n@example.com #000123";
    for (valid_s, validity) in [(0, 6), (120, 120), (u32::MAX, 36_000)] {
        let sms = Sms { text: text.to_owned(), valid_s, ..sms(TO) };
        let accepted = gateway.send(&sms).await.unwrap();
        let message = fake.messages().pop().unwrap();
        assert_eq!((message.to.as_str(), message.body.as_str()), (TO, text));
        assert_eq!(message.validity_s, Some(validity));
        assert_eq!(accepted.provider_id, Some(message.sid));
    }
    assert_eq!(fake.newest_code(TO).as_deref(), Some("000123"));
    assert_eq!(fake.wait_for_code(TO, 3).await, "000123");
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// Receipts come to our URL, with our reference in its query; a notice has none and asks for none.
#[tokio::test]
async fn a_receipt_is_asked_for() {
    let fake = FakeTwilio::start().await;
    let url = "https://otp.example.com/v1/receipts/twilio";
    let gateway =
        Twilio::new(TwilioSettings { receipts_url: Some(url.to_owned()), ..patient(fake.base_url()) }).unwrap();
    gateway.send(&sms(TO)).await.unwrap();
    gateway.send(&Sms { reference: String::new(), ..sms(TO) }).await.unwrap();
    let callbacks: Vec<_> = fake.messages().into_iter().map(|message| message.status_callback).collect();
    assert_eq!(callbacks, [Some(format!("{url}?ref={REFERENCE}")), None]);
}

#[tokio::test]
async fn a_messaging_service_sends_too() {
    let fake = FakeTwilio::start().await;
    let service = Some(SERVICE_SID.to_owned());
    let sender = sender(TwilioSettings { from: None, messaging_service_sid: service, ..patient(fake.base_url()) });
    assert!(send(&sender, TO).await.result.is_ok());
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// security 44 and 111: what each behaviour of the provider comes to, and whether it is repeated. `Ok` is a second
/// try that the provider accepted.
#[tokio::test]
async fn every_behaviour_its_class_and_its_tries() {
    use Behaviour as B;
    use SendClass as C;
    let fake = FakeTwilio::start().await;
    let table = [
        (B::Accept, None, 1, ""),
        (B::AcceptWithoutBody, Some(C::UnknownOutcome), 1, "twilio unreadable success"),
        (B::Embedded(21211), Some(C::InvalidNumber), 1, "twilio 21211"),
        (B::Embedded(20429), None, 2, ""),
        (B::FailedMessage(30007), Some(C::FraudBlocked), 1, "twilio 30007"),
        (B::Refuse(400, 21211), Some(C::InvalidNumber), 1, "twilio 21211"),
        (B::Refuse(400, 21614), Some(C::Landline), 1, "twilio 21614"),
        (B::Refuse(400, 21612), Some(C::Unroutable), 1, "twilio 21612"),
        (B::Refuse(400, 21610), Some(C::OptedOut), 1, "twilio 21610"),
        (B::Refuse(400, 21608), Some(C::UnverifiedRecipient), 1, "twilio 21608"),
        (B::Refuse(400, 21408), Some(C::RegionDenied), 1, "twilio 21408"),
        (B::Refuse(400, 30450), Some(C::FraudBlocked), 1, "twilio 30450"),
        (B::Refuse(401, 20003), Some(C::AuthFailed), 1, "twilio 20003"),
        (B::Refuse(402, 99999), Some(C::InsufficientCredit), 1, "twilio 99999"),
        (B::Refuse(400, 21606), Some(C::BadConfig), 1, "twilio 21606"),
        (B::Refuse(400, 99999), Some(C::BadConfig), 1, "twilio 99999"),
        (B::Refuse(429, 21611), None, 2, ""),
        (B::Throttle(0), None, 2, ""),
        (B::Throttle(3), Some(C::Throttled), 1, "twilio 20429"),
        (B::Refuse(500, 20500), None, 2, ""),
        (B::Status(503), None, 2, ""),
        (B::Html(502), None, 2, ""),
        (B::Html(403), Some(C::AuthFailed), 1, "twilio http 403"),
        (B::Html(200), Some(C::UnknownOutcome), 1, "twilio unreadable success"),
        (B::MalformedJson, Some(C::UnknownOutcome), 1, "twilio unreadable success"),
        (B::Drop, Some(C::UnknownOutcome), 1, "twilio connection lost"),
    ];
    for (behaviour, class, tries, detail) in table {
        // A connection of its own per row: what one row does to it must not reach the next.
        let sender = sender(patient(fake.base_url()));
        let before = fake.requests();
        fake.next(behaviour);
        let report = send(&sender, TO).await;
        assert_hidden(&format!("{report:?} {sender:?}"), &[AUTH_TOKEN, ACCOUNT_SID, "Basic "]);
        assert_eq!(fake.requests() - before, usize::from(tries), "{behaviour:?}: requests on the wire");
        assert_eq!((report.route, report.tries), ("twilio", tries), "{behaviour:?}");
        let shown = report.result.as_ref().err().map(|error| (error.class, error.detail.as_str()));
        assert_eq!(shown, class.map(|class| (class, detail)), "{behaviour:?}");
    }
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// security 44: a failure is repeated once, never twice.
#[tokio::test]
async fn a_provider_that_stays_down_is_asked_twice() {
    let fake = FakeTwilio::start().await;
    fake.otherwise(Behaviour::Status(500));
    let report = send(&sender(patient(fake.base_url())), TO).await;
    assert_eq!(report.result.unwrap_err().class, SendClass::ProviderDown);
    assert_eq!((report.tries, fake.requests()), (2, 2));
}

/// `Retry-After` reaches the policy, which waits it out.
#[tokio::test]
async fn retry_after_is_waited_out() {
    let fake = FakeTwilio::start().await;
    fake.next(Behaviour::Throttle(1));
    let begin = Instant::now();
    let report = send(&sender(patient(fake.base_url())), TO).await;
    assert!(report.result.is_ok() && report.tries == 2, "{report:?}");
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

/// security 107: an answer of one gibibyte is cut off at the limit.
#[tokio::test]
async fn a_huge_answer_is_not_read() {
    let fake = FakeTwilio::start().await;
    fake.next(Behaviour::Huge);
    let report = send(&sender(patient(fake.base_url())), TO).await;
    assert_eq!(report.result.unwrap_err().class, SendClass::UnknownOutcome);
    assert_eq!(fake.requests(), 1);
    // 64 KiB are read; the rest of what left the fake lies in socket buffers.
    assert!(fake.streamed_bytes() < 64 * 1024 * 1024, "{} bytes", fake.streamed_bytes());
}

/// Twilio's magic numbers, end to end.
#[tokio::test]
async fn magic_numbers() {
    let fake = FakeTwilio::start().await;
    let recipients = [
        ("+15005550001", SendClass::InvalidNumber),
        ("+15005550002", SendClass::Unroutable),
        ("+15005550003", SendClass::RegionDenied),
        ("+15005550004", SendClass::OptedOut),
        ("+15005550009", SendClass::Landline),
    ];
    let gateway = Twilio::new(TwilioSettings { from: Some("+15005550006".to_owned()), ..patient(fake.base_url()) });
    let gateway = gateway.unwrap();
    for (to, class) in recipients {
        assert_eq!(gateway.send(&sms(to)).await.unwrap_err().class, class, "{to}");
    }
    let senders = [
        ("+15005550001", SendClass::BadConfig),
        ("+15005550007", SendClass::BadConfig),
        ("+15005550008", SendClass::Throttled),
        ("+12025550199", SendClass::BadConfig),
    ];
    for (from, class) in senders {
        let gateway = Twilio::new(TwilioSettings { from: Some(from.to_owned()), ..patient(fake.base_url()) }).unwrap();
        assert_eq!(gateway.send(&sms(TO)).await.unwrap_err().class, class, "{from}");
    }
    assert!(fake.messages().is_empty());
}

#[tokio::test]
async fn wrong_credentials_are_told_apart() {
    let fake = FakeTwilio::start().await;
    let wrong_token = TwilioSettings { auth_token: "wrong-token".into(), ..patient(fake.base_url()) };
    let wrong_account = TwilioSettings { account_sid: format!("AC{:032x}", 7), ..patient(fake.base_url()) };
    for (settings, class, rule) in
        [(wrong_token, SendClass::AuthFailed, "credentials"), (wrong_account, SendClass::BadConfig, "path")]
    {
        let report = send(&sender(settings), TO).await;
        assert_eq!(report.result.unwrap_err().class, class);
        assert_eq!(fake.violations().last().unwrap(), rule);
    }
}

/// security 107: a certificate nobody vouches for ends the connection before anything is sent.
#[tokio::test]
async fn an_unknown_certificate_is_refused() {
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = tokio_rustls::rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let mut refused = 0;
        while refused < 2 {
            let (socket, _) = listener.accept().await.unwrap();
            assert!(acceptor.accept(socket).await.is_err(), "the client must not finish the handshake");
            refused += 1;
        }
    });
    let report = send(&sender(patient(format!("https://localhost:{port}"))), TO).await;
    let error = report.result.unwrap_err();
    assert_eq!((error.class, report.tries), (SendClass::ProviderDown, 2), "{error}");
    server.await.unwrap();
}
