//! Vonage Messages' own rows: the request as documented, both ways to sign in, and its codes over the wire.

use std::sync::Arc;

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use otpd::{
    clock::SystemClock,
    entropy::OsEntropy,
    sms::{
        Gateway, SendClass, Sms,
        outbound::HttpLimits,
        vonage_messages::{VonageMessages, VonageMessagesSettings},
    },
};

use crate::{
    fake_http::{FakeHttp, Reply, Step},
    fake_vonage_messages::{API_KEY, API_SECRET, APPLICATION_ID, SENDER, refusal, start},
    kit::{REFERENCE, TEXT, TO, assert_hidden, patient, send, sender, sms},
    subject::{Account, Fake, Reason, Subject},
};

/// What the contract is run over.
pub(crate) async fn subject() -> Subject {
    Subject {
        name: "vonage_messages",
        config: format!("api_key = \"{API_KEY}\"\napi_secret = \"{API_SECRET}\"\nfrom = \"{SENDER}\"\n"),
        wire_to: "989123456789",
        secrets: &[API_SECRET, "wrong-secret-5f1c", "Basic "],
        make,
        fake: Fake::Http(start(None).await, refused),
    }
}

fn make(base_url: &str, account: Account, limits: HttpLimits) -> Arc<dyn Gateway> {
    let secret = if account == Account::Good { API_SECRET } else { "wrong-secret-5f1c" };
    let settings = VonageMessagesSettings { api_secret: Some(secret.into()), limits, ..settings(base_url.to_owned()) };
    Arc::new(made(settings))
}

fn refused(reason: Reason, lie: bool) -> Reply {
    let (status, code) = match reason {
        Reason::Number => (422, "1040"),
        Reason::Settings => (422, "1120"),
        Reason::Credentials => (401, "unauthorized"),
        Reason::Credit => (402, "1070"),
    };
    refusal(if lie { 202 } else { status }, code)
}

pub(crate) fn settings(base_url: String) -> VonageMessagesSettings {
    VonageMessagesSettings {
        base_url,
        api_key: Some(API_KEY.to_owned()),
        api_secret: Some(API_SECRET.into()),
        from: SENDER.to_owned(),
        limits: patient(),
        ..VonageMessagesSettings::default()
    }
}

pub(crate) fn made(settings: VonageMessagesSettings) -> VonageMessages {
    VonageMessages::new(settings, Arc::new(SystemClock), Arc::new(OsEntropy)).unwrap()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Digits without a plus, the code's life in seconds, our reference and where receipts go.
#[tokio::test]
async fn the_request_is_as_documented() {
    let fake = start(None).await;
    let url = "https://otp.example.com/v1/receipts/vonage_messages";
    let gateway = made(VonageMessagesSettings { receipts_url: Some(url.to_owned()), ..settings(fake.base_url()) });
    for (text, valid_s, ttl) in [(TEXT, 120, "120"), ("caf\u{e9}: 482913", 0, "20"), ("کد: 482913", u32::MAX, "604800")]
    {
        let accepted = gateway.send(&Sms { text: text.to_owned(), valid_s, ..sms(TO) }).await.unwrap();
        assert!(accepted.provider_id.unwrap().starts_with("aaaaaaaa-"));
        let taken = fake.taken().pop().unwrap();
        assert_eq!(taken.to, "989123456789");
        let expected = pairs(&[
            ("message_type", "text"),
            ("channel", "sms"),
            ("from", SENDER),
            ("text", text),
            ("ttl", ttl),
            ("sms", r#"{"encoding_type":"auto"}"#),
            ("client_ref", REFERENCE),
            ("webhook_url", url),
            ("webhook_version", "v1"),
        ]);
        assert_eq!(taken.fields, expected);
    }
    let notice = Sms { reference: String::new(), ..sms(TO) };
    made(settings(fake.base_url())).send(&notice).await.unwrap();
    let taken = fake.taken().pop().unwrap();
    assert_eq!((taken.field("client_ref"), taken.field("webhook_url")), (None, None));
    assert_eq!(fake.violations(), Vec::<&str>::new());
}

/// A key pair as files hold one.
fn key_pair() -> (String, String) {
    let pem = |label: &str, der: &[u8]| {
        let body: Vec<_> = BASE64_STANDARD.encode(der).into_bytes().chunks(64).map(<[u8]>::to_vec).collect();
        let lines: String = body.iter().map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect();
        format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
    };
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    (pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", public.as_ref()))
}

/// An application signs in by tokens that its key signed, a new one for each request; another's key opens nothing.
#[tokio::test]
async fn an_application_signs_in_by_its_key() {
    let (private, public) = key_pair();
    let fake = start(Some(&public)).await;
    let application = |key: &str| {
        made(VonageMessagesSettings {
            api_key: None,
            api_secret: None,
            application_id: Some(APPLICATION_ID.to_owned()),
            private_key: Some(key.into()),
            ..settings(fake.base_url())
        })
    };
    let gateway = application(&private);
    for _ in 0..3 {
        gateway.send(&sms(TO)).await.unwrap();
    }
    assert_eq!((fake.taken().len(), fake.violations()), (3, Vec::new()));
    let (other, _) = key_pair();
    let error = application(&other).send(&sms(TO)).await.unwrap_err();
    assert_hidden(&format!("{error:?} {gateway:?}"), &[APPLICATION_ID, "PRIVATE"]);
    assert_eq!((error.class, fake.violations()), (SendClass::AuthFailed, vec!["credentials"]));
}

/// security 111: each code in a failure of HTTP and inside a success. `None` is a second try that was taken.
#[tokio::test]
async fn every_code_its_class_and_its_tries() {
    use SendClass as C;
    let fake: FakeHttp = start(None).await;
    let table = [
        ("1000", None),
        ("1010", Some(C::BadConfig)),
        ("1020", Some(C::BadConfig)),
        ("1030", None),
        ("1040", Some(C::InvalidNumber)),
        ("1050", Some(C::OptedOut)),
        ("1060", Some(C::AuthFailed)),
        ("1070", Some(C::InsufficientCredit)),
        ("1120", Some(C::BadConfig)),
        ("1160", Some(C::UnverifiedRecipient)),
        ("1170", Some(C::InvalidNumber)),
        ("1190", Some(C::InvalidNumber)),
        ("1210", Some(C::FraudBlocked)),
        ("1240", Some(C::OptedOut)),
        ("1241", None),
        ("1250", Some(C::Unroutable)),
        ("1320", Some(C::UnknownOutcome)),
        ("1331", None),
        ("low-balance", Some(C::InsufficientCredit)),
        ("unavailable-legal", Some(C::RegionDenied)),
    ];
    for (code, class) in table {
        for status in [422, 202] {
            // A policy of its own per row: what one row does to the breaker must not reach the next.
            let sender = sender(Arc::new(made(settings(fake.base_url()))));
            let (before, taken) = (fake.requests(), fake.taken().len());
            fake.next(Step::Answer(refusal(status, code)));
            let report = send(&sender, TO).await;
            assert_hidden(&format!("{report:?} {sender:?}"), &[API_SECRET, API_KEY]);
            let shown = report.result.as_ref().err().map(|error| (error.class, error.detail.clone()));
            assert_eq!(shown, class.map(|class| (class, format!("vonage_messages {code}"))), "{status}");
            let tries = if class.is_none() { 2 } else { 1 };
            assert_eq!((fake.requests() - before, fake.taken().len() - taken), (tries, tries - 1), "{status} {code}");
        }
    }
    assert_eq!(fake.violations(), Vec::<&str>::new());
}
